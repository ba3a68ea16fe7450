//! `cutover judge backtest`: past rollouts whose end is known.

use super::{
    Context, Exit, Output, Progress, Setting, WATCHED, columns, countable, new_file, print, recorded, spoken, tell_left_out, tell_uncounted,
};
use crate::{
    cli::exit,
    config::Loaded,
    metrics::{
        Metrics,
        alerts::{self, Board, Whom},
        preset::Asked,
        recording::{Head, Recorder},
        template::Variables,
    },
    model::{
        ident::GateId,
        spec::GateSpec,
        time::{Time, elapsed},
    },
    rehearse::{
        Run, Said, Stage,
        backtest::{Label, Played, Report, Row, report},
    },
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::Duration,
};

/// Arguments of `cutover judge backtest`.
#[derive(clap::Args, Debug)]
pub struct BacktestArgs {
    /// The runs: a TOML file of [[run]].
    pub runs: PathBuf,
    /// Gates to try, a TOML file of [[gate]] [default: those of the configuration].
    #[arg(long, value_name = "FILE")]
    pub gates: Option<PathBuf>,
    /// Use samples that were recorded, and ask nobody.
    #[arg(long, value_name = "FILE", conflicts_with = "record")]
    pub samples: Option<PathBuf>,
    /// Keep what is read, for --samples. A new file.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// A longer run is not read.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// The file of runs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Runs {
    #[serde(default)]
    run: Vec<Past>,
}

/// One of them.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Past {
    name: Option<String>,
    target: Option<String>,
    namespace: Option<String>,
    service: String,
    stable: Named,
    candidate: Named,
    since: toml::value::Datetime,
    until: toml::value::Datetime,
    label: Label,
    bad_from: Option<toml::value::Datetime>,
    #[serde(default)]
    shares: Vec<At>,
}

/// A version: its name, or what queries call it.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Named {
    Version(String),
    Values(Variables),
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct At {
    at: toml::value::Datetime,
    percent: f64,
}

/// The file of gates.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Gates {
    #[serde(default)]
    gate: Vec<GateSpec>,
}

/// Plays.
///
/// # Errors
/// One line: see [`exit`].
pub fn run(args: &BacktestArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    let loaded = cx.load()?;
    let Runs { run: runs } = file(&args.runs)?;
    if runs.is_empty() {
        return Err(Exit::usage(format!("{} has no [[run]]", args.runs.display())));
    }
    let gates = args.gates.as_deref().map(gates).transpose()?;
    let runs: Vec<Checked> = runs.into_iter().enumerate().map(|(n, past)| past.check(n, cx)).collect::<Result<_, _>>()?;
    let (used, played) = exit::block_on(play(args, cx, &loaded, gates.as_deref(), &runs))??;
    let report = report(&used, &played);
    print(args.output, "backtest", &report, &lines(&report), out)
}

fn file<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Exit> {
    let name = path.display();
    let text = fs::read_to_string(path).map_err(|e| Exit::usage(format!("cannot read {name}: {e}")))?;
    toml::from_str(&text).map_err(|e| {
        let line = e.span().and_then(|span| text.get(..span.start)).map_or(1, |before| before.matches('\n').count() + 1);
        Exit::usage(format!("{name}:{line}: {}", e.message().lines().next().unwrap_or_default()))
    })
}

fn gates(path: &Path) -> Result<Vec<GateSpec>, Exit> {
    let Gates { gate } = file(path)?;
    let mut seen = BTreeSet::new();
    if let Some(twice) = gate.iter().find(|g| !seen.insert(&g.name)) {
        return Err(Exit::usage(format!("{}: two gates are called {}", path.display(), twice.name.text())));
    }
    if gate.is_empty() {
        return Err(Exit::usage(format!("{} has no [[gate]]", path.display())));
    }
    Ok(gate)
}

/// A run that can be played.
struct Checked {
    past: Past,
    name: String,
    since: Time,
    until: Time,
    bad_from: Time,
    course: Vec<(Time, Option<f64>)>,
}

impl Past {
    fn check(self, n: usize, cx: &Context) -> Result<Checked, Exit> {
        let name = self.name.clone().unwrap_or_else(|| format!("{} {}", self.service, self.since));
        let wrong = |what: &str| Exit::usage(format!("run {} ({}): {what}", n + 1, name.escape_debug()));
        let time = |at: &toml::value::Datetime| {
            let read = chrono::DateTime::parse_from_rfc3339(&at.to_string().replace(' ', "T"));
            read.map(|t| t.to_utc()).map_err(|_| wrong(&format!("`{at}` is no time with a zone: write 2026-05-04T10:00:00Z")))
        };
        let (since, until) = (time(&self.since)?, time(&self.until)?);
        if until <= since || elapsed(until, since) > LONGEST {
            return Err(wrong("`until` must be after `since`, by at most 7 days"));
        }
        let bad_from = self.bad_from.as_ref().map_or(Ok(since), time)?;
        if self.bad_from.is_some() && (self.label == Label::Good || bad_from < since || bad_from > until) {
            return Err(wrong("`bad_from` is of a bad run, and between `since` and `until`"));
        }
        let mut course = Vec::new();
        for At { at, percent } in &self.shares {
            if !(0.0..=100.0).contains(percent) {
                return Err(wrong("a share is between 0 and 100 percent"));
            }
            course.push((time(at)?, Some(percent / 100.0)));
        }
        course.sort_by_key(|(at, _)| *at);
        if course.is_empty() {
            course.push((since, None));
        }
        let target = self.target.clone().or_else(|| cx.global.target.clone());
        Ok(Checked { past: Self { target, ..self }, name, since, until, bad_from, course })
    }
}

impl Checked {
    fn values(&self, version: &Named, configured: &Variables) -> Variables {
        let version = match version {
            Named::Version(name) => super::version(name),
            Named::Values(own) => own.clone(),
        };
        super::values(&self.past.service, self.past.namespace.as_deref(), version, configured)
    }
}

/// Plays every run; also the gates that were played, each once.
async fn play(
    args: &BacktestArgs,
    cx: &Context,
    loaded: &Loaded,
    gates: Option<&[GateSpec]>,
    runs: &[Checked],
) -> Result<(Vec<GateSpec>, Vec<Played>), Exit> {
    let progress = Progress::new();
    let recording = args.samples.as_deref().map(recorded).transpose()?;
    // Recordings put one after the other are one.
    let kept = args.record.as_deref().map(new_file).transpose()?;
    let (mut used, mut left_out): (Vec<GateSpec>, Vec<GateSpec>) = Default::default();
    let mut uncounted: BTreeMap<GateId, String> = BTreeMap::new();
    let mut played = Vec::new();
    for run in runs {
        let setting = Setting::of(loaded, &run.past.service, run.past.target.as_deref())?.with_gates(gates)?;
        let (said, without) = if let Some(recording) = &recording {
            one(&setting, recording, run, &progress).await?
        } else if let Some(kept) = &kept {
            let head = Head::new(&run.past.service, run.values(&run.past.stable, &setting.metrics.variables));
            let file = kept.try_clone().map_err(Exit::failed)?;
            let recorder = Recorder::new(setting.server(cx)?, BufWriter::new(file), &head).map_err(Exit::failed)?;
            let played = one(&setting, &recorder, run, &progress).await?;
            recorder.finish().map_err(|e| Exit::failed(format!("cannot record: {e}")))?;
            played
        } else {
            one(&setting, &setting.server(cx)?, run, &progress).await?
        };
        let (known, unknown): (Vec<GateSpec>, Vec<GateSpec>) = setting.alerts.into_iter().partition(|g| said.contains_key(&g.name));
        left_out.extend(unknown);
        let counted = setting.gates.iter().filter(|g| !without.contains_key(&g.name));
        used.extend(counted.chain(&known).filter(|g| !used.iter().any(|u| u.name == g.name)).cloned().collect::<Vec<_>>());
        for (gate, why) in without {
            let why = if runs.len() > 1 { format!("{why} (in {})", run.name) } else { why };
            uncounted.entry(gate).or_insert(why);
        }
        played.push(Played { name: run.name.clone(), label: run.past.label, bad_from: run.bad_from, since: run.since, said });
    }
    tell_left_out(&left_out);
    tell_uncounted(&uncounted);
    Ok((used, played))
}

/// Reads and plays one run; also why gates were left out of it.
async fn one(
    setting: &Setting<'_>,
    backend: &impl Metrics,
    run: &Checked,
    told: &Progress,
) -> Result<(BTreeMap<GateId, Said>, BTreeMap<GateId, String>), Exit> {
    let about = |exit: Exit| exit.about(&run.name.as_str().into());
    let variables = &setting.metrics.variables;
    let early = run.since - chrono::Duration::from_std(WATCHED).unwrap_or_default();
    let (stable, candidate) = (run.values(&run.past.stable, variables), run.values(&run.past.candidate, variables));
    let is_one = |(_, asked): (_, &Asked)| {
        let (old, new) = (asked.stable.fill(&stable, Duration::ZERO), asked.canary.fill(&candidate, Duration::ZERO));
        old.is_ok() && old == new
    };
    if setting.queries.all().any(is_one) {
        return Err(about(Exit::usage("stable and candidate are called the same: no version is compared with itself")));
    }
    let stable = setting.past(backend, &stable, false, (early, run.until), told).await.map_err(about)?;
    let candidate = setting.past(backend, &candidate, true, (run.since, run.until), told).await.map_err(about)?;
    for (who, history) in [("stable", &stable), ("the candidate", &candidate)] {
        // Samples from before the run are not of it.
        if history.ends().is_none_or(|last| last < run.since) || history.begins().is_none_or(|first| first > run.until) {
            return Err(about(Exit::failed(format!("no samples of {who} in that time: is it still kept, and is that its version?"))));
        }
    }
    if let Some(first) = stable.begins().filter(|first| *first - run.since > chrono::Duration::minutes(2)) {
        let line =
            format!("{}: samples of stable exist from {} on, later than the run", run.name.escape_debug(), first.format("%F %T UTC"));
        let _ = writeln!(std::io::stderr().lock(), "cutover: {line}");
    }
    let (gates, uncounted) = countable(setting.gates.clone(), &[&stable, &candidate]).map_err(about)?;
    let queries = setting.queries.clone();
    let stale_after = setting.pace().stale_after();
    let (since, until, course) = (run.since, run.until, run.course.clone());
    // Aside, so that ctrl-c ends it.
    let played = tokio::task::spawn_blocking(move || {
        let stage = Stage { queries: &queries, gates: &gates, look_back: WATCHED, stale_after };
        stage.play(&Run { since, until, course: &course, before: &stable, stable: &stable, candidate: &candidate })
    });
    let said = played.await.map_err(Exit::failed)?;
    if said.values().all(|said| said.intervals == 0) {
        return Err(about(Exit::failed("no interval could be counted: its samples are too far apart, or of one version only")));
    }
    let alerts = fired(setting, backend, run).await.map_err(about)?;
    Ok((said.into_iter().chain(alerts).collect(), uncounted))
}

/// What gates over alerts would have said: they fail from the first alert about the service on that began in
/// the run. Nothing of recorded samples that have no alerts.
async fn fired(setting: &Setting<'_>, backend: &impl Metrics, run: &Checked) -> Result<Vec<(GateId, Said)>, Exit> {
    if setting.alerts.is_empty() || !backend.keeps(alerts::FIRED) {
        return Ok(Vec::new());
    }
    let fired = alerts::past(backend, run.since, run.until).await.map_err(Exit::unreachable)?;
    let values = run.values(&run.past.stable, &setting.metrics.variables);
    let first = Board::new(setting.metrics.alerts()).first(Whom::of(&run.past.service, &values), run.since, &fired);
    let said = |gate: &GateSpec| Said { fails: first.map(|at| (at, gate.on_fail())).into_iter().collect(), ..Said::default() };
    Ok(setting.alerts.iter().map(|gate| (gate.name.clone(), said(gate))).collect())
}

fn lines(report: &Report) -> Vec<String> {
    let mut rows = vec![["RULE", "ON FAIL", "CAUGHT", "MISSED", "FALSE", "TIME TO CATCH", "WORST", "BLIND"].map(str::to_owned).to_vec()];
    for row in report.gates.iter().chain([&report.together]).chain(&report.peers) {
        rows.push(cells(row));
    }
    let mut lines = columns(&rows);
    lines.push(String::new());
    let mut runs = vec![["RUN", "LABEL", "OUTCOME", "STOPPED", "BY"].map(str::to_owned).to_vec()];
    for run in &report.runs {
        let stopped = run.stopped.map_or_else(|| "-".into(), |at| at.format("%F %T UTC").to_string());
        let label = if run.label == Label::Good { "good" } else { "bad" };
        let name = crate::model::text::Text::clean(&run.name).to_string();
        runs.push(vec![name, label.into(), run.outcome.into(), stopped, run.by.clone().unwrap_or_else(|| "-".into())]);
    }
    lines.extend(columns(&runs));
    lines
}

fn cells(row: &Row) -> Vec<String> {
    vec![
        row.name.clone(),
        row.on_fail.map_or_else(|| "-".into(), |f| format!("{f:?}").to_lowercase()),
        row.caught.text().0,
        row.missed.to_string(),
        row.falsely.text().0,
        spoken(row.seconds_to_catch),
        spoken(row.worst_seconds),
        spoken(row.blind_seconds),
    ]
}
