//! `cutover demo`: a real rollout on this machine, in one command. A private directory, a host, a
//! sample service sealed twice, an open-loop load generator, and the console; nothing is left behind.
//!
//! No other room knows that there is a demo: the host is an ordinary host, reached over its socket.

mod headless;
pub mod load;
pub mod sample;
mod scenario;
mod stage;

use super::{
    Context, console,
    exit::{self, Exit},
};
use scenario::Scenario;
use stage::Stage;
use std::{io::Write, time::Duration};

/// Arguments of `cutover demo`.
#[derive(clap::Args, Debug)]
pub struct DemoArgs {
    /// Which story.
    #[arg(long, default_value = scenario::DEFAULT)]
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
    /// Print the same life as lines instead of opening the console.
    #[arg(long)]
    headless: bool,
    /// How long, with --headless.
    #[arg(long = "for", default_value = "90s", value_parser = humantime::parse_duration, requires = "headless")]
    span: Duration,
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
        let mut out = std::io::stdout().lock();
        for (name, about) in scenario::list().map_err(Exit::failed)? {
            writeln!(out, "{name:10} {about}").map_err(Exit::failed)?;
        }
        return Ok(());
    }
    let scenario = scenario::find(&args.scenario).map_err(Exit::usage)?.faster(args.speed);
    if !args.headless {
        console::needs_terminal()?;
    }
    if !args.headless {
        let _ = writeln!(
            std::io::stderr(),
            "demo `{}`: {}\nsealing two versions, starting a host and its traffic ...",
            args.scenario,
            scenario.about
        );
    }
    let stage = Stage::set(&scenario, args.seed, cx).map_err(Exit::failed)?;
    if args.headless {
        let done = exit::block_on(headless::tell(&scenario, &stage, args.span))?;
        stage.strike();
        return done;
    }
    let joins = format!("join from elsewhere: cutover -c {}", stage.config().display());
    let _ = writeln!(std::io::stderr(), "{joins}");
    let start = console::Start::Open { target: stage::TARGET.into(), service: scenario.service.clone(), say: joins };
    let shown = console::run(&stage.context(cx), start);
    stage.strike();
    shown
}

/// The pieces of a scenario that `--speed` changes.
impl Scenario {
    fn faster(mut self, speed: f64) -> Self {
        for (_, behaviour) in &mut self.versions {
            for point in behaviour.errors.iter_mut().chain(&mut behaviour.slow) {
                point[0] /= speed;
            }
        }
        let pauses = self.host.get_mut("service").and_then(toml::Value::as_array_mut).into_iter().flatten();
        for step in pauses.filter_map(|s| s.get_mut("steps")?.as_array_mut()).flatten() {
            let Some(pause) = step.get_mut("pause") else { continue };
            if let Some(Ok(span)) = pause.as_str().map(humantime::parse_duration) {
                *pause = humantime::format_duration(round(span.div_f64(speed))).to_string().into();
            }
        }
        self.expect.within = self.expect.within.div_f64(speed.min(1.0));
        self
    }
}

/// Whole milliseconds: what configuration can hold.
fn round(span: Duration) -> Duration {
    Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1))
}
