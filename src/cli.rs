//! The command line: one file per subcommand, each thin.

pub mod act;
pub mod config;
pub mod connect;
pub mod console;
pub mod demo;
pub mod deploy;
pub mod doctor;
pub mod exit;
pub mod freeze;
pub mod get;
pub mod host;
pub mod judge;
mod logging;
pub mod logs;
pub mod manual;
pub mod pipe;
mod record;
pub mod seal;
pub mod undo;
pub mod wait;

use crate::{
    clock::SystemClock,
    config::{ColorChoice, Env, Flags, Loaded},
    metrics::prometheus::Servers,
};
use clap::{Parser, Subcommand};
use exit::Exit;
use std::{ffi::OsString, io::Write, path::PathBuf, process::ExitCode, sync::Arc};

/// The terminal console for live rollouts.
///
/// Without a subcommand it opens the console on the configured targets.
#[derive(Parser, Debug)]
#[command(name = "cutover", version, max_term_width = 100)]
pub struct Cli {
    /// What all subcommands share.
    #[command(flatten)]
    pub global: Global,
    /// What to do; the console when absent.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// What all subcommands share.
#[derive(clap::Args, Clone, Debug)]
pub struct Global {
    /// Configuration file [default: $CUTOVER_CONFIG, then $XDG_CONFIG_HOME/cutover/config.toml].
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The target to look at, by its name in the configuration.
    #[arg(long, global = true, value_name = "NAME")]
    pub target: Option<String>,
    /// A cluster with Argo Rollouts, by its context in the kubeconfig; one that the configuration does not name is looked at only.
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "target")]
    pub context: Option<String>,
    /// The namespace to look at in clusters; may be repeated [default: all of them].
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Vec<String>,
    /// Act as this user in clusters.
    #[arg(long = "as", global = true, value_name = "USER")]
    pub acts_as: Option<String>,
    /// Only look: every acting key and verb is off.
    #[arg(long, global = true)]
    pub read_only: bool,
    /// Colours [default: auto: when the terminal has them, unless `NO_COLOR` is set].
    #[arg(long, global = true, value_enum)]
    pub color: Option<ColorChoice>,
    /// Draw with ASCII only.
    #[arg(long, global = true)]
    pub ascii: bool,
    /// Where our own log goes besides the console's log panel.
    #[arg(long, global = true, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
}

/// The subcommands.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// A real rollout on this machine, in one command; nothing is left behind.
    Demo(demo::DemoArgs),
    /// The embedded single-machine runtime, as a service.
    Host(host::HostArgs),
    /// Seal a directory as an immutable artifact and print its digest.
    Seal(seal::SealArgs),
    /// Start a rollout; prints service@run.
    Deploy(deploy::DeployArgs),
    /// Show rollouts.
    Get(get::GetArgs),
    /// Leave the current step as passed.
    Step(act::ActArgs),
    /// Stop moving.
    Pause(act::ActArgs),
    /// Lift a manual pause.
    Resume(act::ActArgs),
    /// Finish the rollout now.
    Promote(act::ActArgs),
    /// All traffic back to the good version, the fastest way.
    Revert(act::RevertArgs),
    /// The same candidate again, from step 0, with fresh instances.
    Retry(act::ActArgs),
    /// Give the candidate a share of the traffic and hold there.
    Weight(act::WeightArgs),
    /// Deploy an older version again, through its steps.
    Undo(undo::UndoArgs),
    /// Stop the line: no deploy, step, promotion or undo; pausing and the way back stay open.
    Freeze(freeze::FreezeArgs),
    /// Lift a freeze.
    Thaw(freeze::ThawArgs),
    /// Take a version out of the candidates for the way back.
    Taint(undo::TaintArgs),
    /// Wait until a rollout is in a state.
    Wait(wait::WaitArgs),
    /// What the instances of a rollout print.
    Logs(logs::LogsArgs),
    /// Check this machine, the configuration and every target, and say what to do.
    Doctor(doctor::DoctorArgs),
    /// The configured gates on what is past: how often they stop a healthy release, what they would have caught.
    #[command(subcommand)]
    Judge(judge::JudgeVerb),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(config::ConfigVerb),
    /// Print the JSON Schema of what `get -o json` prints.
    Schema,
    /// Print the script that completes the command line.
    Completions(manual::CompletionArgs),
    /// Print the manual page, or write all of them.
    Man(manual::ManArgs),
    /// The sample service of the demo.
    #[command(hide = true)]
    Sample(demo::sample::SampleArgs),
    /// The load generator of the demo.
    #[command(hide = true)]
    Load(demo::load::LoadArgs),
    /// The Prometheus of the demo.
    #[command(hide = true)]
    Scraper(demo::scraper::ScraperArgs),
}

impl Verb {
    /// Whether whoever asked reads JSON, of errors too.
    fn prints_json(&self) -> bool {
        match self {
            Self::Get(args) => args.output == get::Output::Json,
            Self::Step(args) | Self::Pause(args) | Self::Resume(args) | Self::Promote(args) | Self::Retry(args) => args.how.prints_json(),
            Self::Revert(args) => args.act.how.prints_json(),
            Self::Weight(args) => args.act.how.prints_json(),
            Self::Undo(args) => args.how.prints_json(),
            Self::Freeze(args) => args.how.prints_json(),
            Self::Thaw(args) => args.how.prints_json(),
            Self::Taint(args) => args.how.prints_json(),
            Self::Doctor(args) => args.output == act::Output::Json,
            Self::Judge(verb) => verb.prints_json(),
            _ => false,
        }
    }
}

/// What a subcommand works with.
pub struct Context {
    /// Flags of all subcommands.
    pub global: Global,
    /// The process environment, read once.
    pub env: Env,
    /// The metrics backends that are asked, whose limits all of their clients share.
    pub servers: Servers,
}

impl Context {
    /// The configuration in effect.
    ///
    /// # Errors
    /// One line; exit code 2.
    pub fn load(&self) -> Result<Loaded, Exit> {
        let flags = Flags { color: self.global.color, read_only: self.global.read_only };
        let loaded = crate::config::load(self.global.config.as_deref(), &self.env).map_err(Exit::usage)?;
        Ok(loaded.with_flags(flags))
    }
}

/// Runs the program with these arguments (the first is its name).
#[must_use]
pub fn main(args: impl IntoIterator<Item = OsString>, env: Env) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => {
            let code = u8::try_from(e.exit_code()).unwrap_or(2);
            let _ = e.print();
            return ExitCode::from(code);
        }
    };
    let cx = Context { global: cli.global, env, servers: Servers::new(Arc::new(SystemClock::start())) };
    let json = cli.verb.as_ref().is_some_and(Verb::prints_json);
    match run(cli.verb, &cx) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            if json && !exit.is_told() {
                let error = serde_json::json!({ "schema": get::json::SCHEMA, "reason": exit.reason(), "message": exit.line() });
                let _ = writeln!(std::io::stdout(), "{error}");
            }
            if let Some(line) = exit.line() {
                let _ = writeln!(std::io::stderr().lock(), "cutover: {line}");
            }
            ExitCode::from(exit.code())
        }
    }
}

fn run(verb: Option<Verb>, cx: &Context) -> Result<(), Exit> {
    // Not locked: whatever runs below prints from several threads.
    let mut out = std::io::stdout();
    match verb {
        None => console::run(cx, console::Start::Configured),
        Some(Verb::Demo(args)) => demo::run(&args, cx),
        Some(Verb::Host(args)) => host::run(&args, cx),
        Some(Verb::Seal(args)) => {
            seal::run(&args, &cx.load()?.paths.store, &mut out, &mut std::io::stderr()).map(drop).map_err(Exit::usage)
        }
        Some(Verb::Deploy(args)) => deploy::run(&args, cx, &mut out),
        Some(Verb::Get(args)) => get::run(&args, cx, &mut out),
        Some(Verb::Step(args)) => act::step(&args, cx, &mut out),
        Some(Verb::Pause(args)) => act::pause(&args, cx, &mut out),
        Some(Verb::Resume(args)) => act::resume(&args, cx, &mut out),
        Some(Verb::Promote(args)) => act::promote(&args, cx, &mut out),
        Some(Verb::Revert(args)) => act::revert(&args, cx, &mut out),
        Some(Verb::Retry(args)) => act::retry(&args, cx, &mut out),
        Some(Verb::Weight(args)) => act::weight(&args, cx, &mut out),
        Some(Verb::Undo(args)) => undo::undo(&args, cx, &mut out),
        Some(Verb::Freeze(args)) => freeze::freeze(&args, cx, &mut out),
        Some(Verb::Thaw(args)) => freeze::thaw(&args, cx, &mut out),
        Some(Verb::Taint(args)) => undo::taint(&args, cx, &mut out),
        Some(Verb::Wait(args)) => wait::run(&args, cx, &mut out),
        Some(Verb::Logs(args)) => logs::run(&args, cx, &mut out),
        Some(Verb::Doctor(args)) => doctor::run(&args, cx, &mut out),
        Some(Verb::Judge(verb)) => judge::run(&verb, cx, &mut out),
        Some(Verb::Config(verb)) => config::run(&verb, cx, &mut out),
        Some(Verb::Schema) => get::print_schema(&mut out),
        Some(Verb::Completions(args)) => manual::completions(&args, &mut out),
        Some(Verb::Man(args)) => manual::man(&args, &mut out),
        Some(Verb::Sample(args)) => exit::block_on(demo::sample::run(args))?.map_err(Exit::failed),
        Some(Verb::Load(args)) => exit::block_on(demo::load::run(args))?.map_err(Exit::failed),
        Some(Verb::Scraper(args)) => demo::scraper::become_one(&args).map(drop).map_err(Exit::failed),
    }
}
