//! `cutover judge aa`: stable beside itself.

use super::{
    Context, Exit, Output, Progress, Setting, WATCHED, columns, countable, new_file, print, recorded, spoken, tell_left_out,
    tell_uncounted, values,
};
use crate::{
    cli::{
        connect::{self, Named},
        exit,
    },
    config::Loaded,
    host::measured,
    metrics::{
        feed::history::History,
        recording::{Head, Recorder},
        template::Variables,
    },
    model::time::Time,
    observe,
    rehearse::{
        Stage,
        aa::{Report, Setup, Share, play},
        plan::{self, Leg},
    },
};
use std::{
    io::{BufWriter, Write},
    path::PathBuf,
    time::Duration,
};

/// Arguments of `cutover judge aa`.
#[derive(clap::Args, Debug)]
pub struct AaArgs {
    /// The service.
    pub service: Named,
    /// How long ago the past begins that is looked at; at most 31 days.
    #[arg(long, default_value = "24h", value_parser = humantime::parse_duration)]
    pub since: Duration,
    /// How long ago it ends.
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    pub until: Duration,
    /// How many rollouts are played.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub runs: u32,
    /// Of what is random: the same seed plays the same rollouts.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Shares and how long each lasts [default: the service's own steps, else 5, 10, 25 and 50 % for 10m each].
    #[arg(long, value_name = "5:10m,25:10m", value_parser = plan)]
    pub plan: Option<std::sync::Arc<[Leg]>>,
    /// What the series call stable, without asking its target: also one that was stable then.
    #[arg(long, value_name = "VERSION", conflicts_with = "samples")]
    pub stable: Option<String>,
    /// Use samples that were recorded, and ask nobody; all of them.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["record", "since", "until"])]
    pub samples: Option<PathBuf>,
    /// Keep what is read, for --samples. A new file.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Longer than this no past is read.
const LONGEST: Duration = Duration::from_secs(31 * 86_400);

fn plan(text: &str) -> Result<std::sync::Arc<[Leg]>, String> {
    plan::parse(text).map(Into::into)
}

/// Plays.
///
/// # Errors
/// One line: see [`exit`].
pub fn run(args: &AaArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    let loaded = cx.load()?;
    let service = &args.service.service;
    let now = connect::now();
    let (report, told) = exit::block_on(async {
        let progress = Progress::new();
        let (setting, stable, window) = if let Some(file) = &args.samples {
            let recording = recorded(file)?;
            let setting = Setting::of(&loaded, service, cx.global.target.as_deref())?.with_gates(None)?;
            let head = recording.head().ok_or_else(|| Exit::usage("no samples"))?;
            if head.service != *service {
                let (theirs, file) = (head.service.escape_debug(), file.display());
                return Err(Exit::usage(format!("{file} has samples of `{theirs}` and not of `{}`", service.escape_debug())));
            }
            let span = recording.span().ok_or_else(|| Exit::usage(format!("{} has no samples", file.display())))?;
            let stable = setting.past(&recording, &head.values, false, span, &progress).await?;
            (setting, stable, span)
        } else {
            let (setting, values) = match &args.stable {
                Some(version) => named(cx, &loaded, service, version)?,
                None => live(cx, &loaded, args).await?,
            };
            let long = args.since.checked_sub(args.until).filter(|span| *span <= LONGEST && !span.is_zero());
            let long = long.ok_or_else(|| Exit::usage("--since must be longer ago than --until, and by at most 31 days"))?;
            let ago = |span: Duration| chrono::Duration::from_std(span).ok().and_then(|span| now.checked_sub_signed(span));
            let until = ago(args.until + setting.pace().delay).ok_or_else(|| Exit::usage("--until is too long ago"))?;
            let since = until - chrono::Duration::from_std(long).map_err(Exit::usage)?;
            let server = setting.server(cx)?;
            let stable = if let Some(file) = &args.record {
                let head = Head::new(service, values.clone());
                let recorder = Recorder::new(server, BufWriter::new(new_file(file)?), &head).map_err(Exit::failed)?;
                let stable = setting.past(&recorder, &values, false, (since, until), &progress).await?;
                recorder.finish().map_err(|e| Exit::failed(format!("cannot record to {}: {e}", file.display())))?;
                stable
            } else {
                setting.past(&server, &values, false, (since, until), &progress).await?
            };
            (setting, stable, (since, until))
        };
        tell_left_out(&setting.alerts);
        let (window, told) = covered(service, &stable, window)?;
        let legs = args.plan.as_deref().map_or_else(|| setting.legs.clone(), <[Leg]>::to_vec);
        let (gates, uncounted) = countable(setting.gates, &[&stable])?;
        tell_uncounted(&uncounted);
        let queries = setting.queries;
        let stale_after = setting.metrics.pace().stale_after();
        let (runs, seed) = (usize::try_from(args.runs).unwrap_or(usize::MAX), args.seed);
        // Aside, so that ctrl-c ends it.
        let played = tokio::task::spawn_blocking(move || {
            let stage = Stage { queries: &queries, gates: &gates, look_back: WATCHED, stale_after };
            let setup = Setup { legs: &legs, runs, seed, window };
            #[expect(clippy::cast_precision_loss, reason = "10,000 at most")]
            let done = |n: usize| progress.say("playing", n as f64 / runs as f64);
            play(&stage, &setup, &stable, done)
        });
        let report = played.await.map_err(Exit::failed)?.map_err(|why| Exit::failed(format!("{}: {why}", service.escape_debug())))?;
        Ok((report, told))
    })??;
    if let Some(told) = told {
        let _ = writeln!(std::io::stderr().lock(), "cutover: {told}");
    }
    print(args.output, "aa", &report, &lines(&report), out)
}

/// The service as it runs now: how it is judged, and what stable is called.
async fn live<'a>(cx: &Context, loaded: &'a Loaded, args: &AaArgs) -> Result<(Setting<'a>, Variables), Exit> {
    let targets = connect::targets(cx)?;
    let rollout = connect::pick(connect::rollouts(&targets).await, &args.service)?;
    let is_host = targets.iter().any(|t| t.is(&rollout) && t.socket().is_some());
    let target = loaded.config.targets.iter().find(|t| t.name == rollout.key.target.as_str()).map(|t| t.name.as_str());
    let mut setting = Setting::of(loaded, rollout.key.service.as_str(), target)?.with_gates(None)?;
    let stable = rollout.stable().ok_or_else(|| Exit::failed(format!("{}: no version is stable yet", rollout.key.service.text())))?;
    let configured = &setting.metrics.variables;
    let values = if is_host {
        let version = &stable.version;
        measured::values(rollout.key.service.as_str(), (version.id.as_str(), version.label.as_str()), configured)
    } else {
        observe::values(&rollout, stable, configured)
    };
    let legs = plan::legs(rollout.steps.iter().map(|step| &step.spec));
    if !legs.is_empty() {
        setting.legs = legs;
    }
    Ok((setting, values))
}

/// A version that is named: it fills whatever queries tell versions by.
fn named<'a>(cx: &Context, loaded: &'a Loaded, service: &str, version: &str) -> Result<(Setting<'a>, Variables), Exit> {
    let setting = Setting::of(loaded, service, cx.global.target.as_deref())?.with_gates(None)?;
    let namespace = cx.global.namespace.first().map(String::as_str);
    let values = values(service, namespace, super::version(version), &setting.metrics.variables);
    Ok((setting, values))
}

/// What of a past there is, and a line where that is less than was asked for.
fn covered(service: &str, stable: &History, (since, until): (Time, Time)) -> Result<((Time, Time), Option<String>), Exit> {
    let (Some(first), Some(last)) = (stable.begins(), stable.ends()) else {
        return Err(Exit::failed(format!(
            "{}: no samples of stable in that time; `cutover doctor` asks for its series",
            service.escape_debug()
        )));
    };
    let late = first - since > chrono::Duration::minutes(2);
    let told = late.then(|| format!("samples exist from {} on: that is what is looked at", first.format("%F %T UTC")));
    Ok(((first.max(since), last.min(until)), told))
}

fn lines(report: &Report) -> Vec<String> {
    let mut rows =
        vec![["GATE", "ON FAIL", "FAILED", "95 %", "HELD", "PASSED", "TIME TO PASS", "REQUESTS", "PHI"].map(str::to_owned).to_vec()];
    for gate in &report.gates {
        let (fails, between) = gate.fails.text();
        rows.push(vec![
            gate.name.clone(),
            format!("{:?}", gate.on_fail).to_lowercase(),
            fails,
            between,
            gate.worse.text().0,
            gate.passed.text().0,
            spoken(gate.seconds_to_pass),
            format!("{:.0}", gate.samples),
            gate.phi.map_or_else(|| "-".into(), |phi| format!("{phi:.1}")),
        ]);
    }
    let mut lines = columns(&rows);
    let together = &report.together;
    for (what, part) in [("reverted", together.reverted), ("held", together.held), ("warned", together.advised)] {
        let (n, share) = part.text();
        lines.push(format!("a healthy release would have been {what}: {n}, {share}"));
    }
    let percents = |which: &dyn Fn(&Share) -> Option<f64>| {
        let all: Vec<String> = report.shares.iter().filter_map(which).map(percent).collect();
        all.join(", ")
    };
    lines.push(format!("{} runs with {} instances, shares played: {} %", report.runs, report.instances, percents(&|s| Some(s.played))));
    if report.shares.iter().any(|s| s.off) {
        let (asked, played) = (percents(&|s| s.off.then_some(s.asked)), percents(&|s| s.off.then_some(s.played)));
        lines.push(format!("more instances are needed to play {asked} %: {played} % was played instead"));
    }
    if report.side_by_side < report.runs {
        lines.push(format!(
            "the past holds {} such runs side by side: overlapping ones are not independent, the true interval is wider",
            report.side_by_side
        ));
    }
    lines
}

/// With one decimal, where there is one.
fn percent(percent: f64) -> String {
    let text = format!("{percent:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}
