//! `cutover demo`: real rollouts on this machine, in one command. A private directory, a host, sample
//! services whose versions are sealed with their faults, an open-loop load generator, and the console;
//! nothing is left behind.
//!
//! No other room knows that there is a demo: the host is an ordinary host, reached over its socket.

mod headless;
pub mod load;
pub mod sample;
mod scenario;
pub mod scraper;
mod stage;
mod tidy;

use super::{
    Context, console,
    exit::{self, Exit},
};
use crate::{
    clock::{Clock, SystemClock},
    ui::text::wrap,
};
use stage::Stage;
use std::{io::Write, time::Duration};

/// Arguments of `cutover demo`.
#[derive(clap::Args, Debug)]
pub struct DemoArgs {
    /// Which story: a name of --list, or a file of your own (./story.toml).
    #[arg(long, value_name = "NAME|FILE", default_value = scenario::DEFAULT)]
    scenario: String,
    /// Lists the stories.
    #[arg(long)]
    list: bool,
    /// Seeds arrivals and faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Makes pauses and faults this many times faster, 0.1 to 10.
    #[arg(long, default_value_t = 1.0, value_parser = speed)]
    speed: f64,
    /// Judge by a Prometheus that scrapes the demo's host, as in production; it must be installed.
    #[arg(long)]
    prometheus: bool,
    /// Print the same life as lines instead of opening the console; 1 if it does not end as expected.
    #[arg(long)]
    headless: bool,
    /// How long at most, with --headless [default: as long as the story says that it may take].
    #[arg(long = "for", value_name = "SPAN", value_parser = humantime::parse_duration, requires = "headless")]
    span: Option<Duration>,
}

fn speed(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|s| (0.1..=10.0).contains(s)).ok_or_else(|| "expected 0.1 to 10".into())
}

/// Plays the scenario.
///
/// # Errors
/// See [`exit`]; with `--headless` 1 when the scenario did not end as its file expects.
pub fn run(args: &DemoArgs, cx: &Context) -> Result<(), Exit> {
    if args.list {
        return list();
    }
    let scenario = scenario::find(&args.scenario, args.speed, cx.env.uid).map_err(Exit::usage)?;
    if !args.headless {
        console::needs_terminal()?;
    }
    if args.prometheus {
        scraper::look_for().map_err(Exit::usage)?;
    }
    let clock = SystemClock::start();
    let versions: usize = scenario.parts.values().map(|part| part.versions.len()).sum();
    let story = format!("demo `{}`: {}", args.scenario, scenario.about);
    // A script reads lines, a person words that are whole.
    let story = if args.headless { story } else { wrap(&story, 78).join("\n") };
    say(&format!("{story}\nsealing {versions} versions, starting a host and its traffic ..."));
    let stage = Stage::set(&scenario, args.seed, args.prometheus, cx).map_err(Exit::failed)?;
    say(&format!("ready after {:.1} s", clock.uptime().as_secs_f64()));
    if args.headless {
        let told = exit::block_on(async {
            tokio::select! {
                told = headless::tell(&scenario, &stage, args.span) => told,
                // Nobody hears how it ends.
                () = exit::reader_gone() => Ok(()),
            }
        });
        stage.strike();
        return told?;
    }
    let joins = format!("join from elsewhere: cutover -c {}", stage.config().display());
    say(&joins);
    let mut services = scenario.parts.keys();
    let start = match (services.next(), services.next()) {
        (Some(only), None) => console::Start::Open { target: stage::TARGET.into(), service: only.clone(), say: joins },
        _ => console::Start::Saying(joins),
    };
    let shown = console::run(&stage.context(cx), start);
    stage.strike();
    shown
}

fn list() -> Result<(), Exit> {
    let mut out = std::io::stdout().lock();
    for (name, about) in scenario::list().map_err(Exit::failed)? {
        writeln!(out, "{name:16} {about}").map_err(Exit::failed)?;
    }
    Ok(())
}

/// Before the console has the terminal, and beside what --headless prints.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
