//! `cutover judge`: the configured gates on what is past. It only reads.

mod aa;
mod backtest;
mod runs;

use super::{
    Context,
    exit::{self, Exit},
    get::{Output, json::SCHEMA},
};
use crate::{
    config::{Config, Loaded, MetricsConfig, TargetKind},
    metrics::{
        Metrics,
        feed::{
            Pace,
            history::{self, History, Reader},
        },
        preset::Queries,
        prometheus::Prometheus,
        recording::Recorded,
        template::{self, Variables},
    },
    model::{
        ident::GateId,
        spec::{GateSignal, GateSpec, ServiceSpec},
        text::Text,
        time::Time,
    },
    observe::How,
    rehearse::plan::{self, Leg},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufReader, IsTerminal, Write},
    path::Path,
    time::Duration,
};

/// What is looked at.
#[derive(clap::Subcommand, Debug)]
pub enum JudgeVerb {
    /// Stable beside itself: how often the gates would have stopped a healthy release.
    ///
    /// Its instances are divided at random into two groups; one of them plays the candidate through the
    /// plan, at random times of the past. It needs series that name an instance, and two instances. With few
    /// of them small shares cannot be played; what was played instead is printed. Gates whose samples cannot be
    /// counted one by one (a join, more than 2,000 series) are left out and named. Nothing is written but what
    /// --record asks for.
    Aa(aa::AaArgs),
    /// The past rollouts of a service, as the file that `judge backtest` plays.
    ///
    /// They are found in which versions had traffic when, by the query of requests, so the versions must be told
    /// apart by a label. What went through is called good, what went back or was taken back is called bad: look
    /// at it, and correct what you know better.
    Runs(runs::RunsArgs),
    /// Past rollouts whose end is known: what these gates would have caught, missed, and stopped for nothing.
    ///
    /// The runs are a file, which `cutover judge runs` writes: one [[run]] each with service, stable, candidate, since, until,
    /// label = "good" or "bad", and where they are known bad_from, target, namespace, name, and
    /// shares = [{ at = …, percent = 5 }]. A version is a text, or a table of what queries name
    /// ({ version = "…", pod_hash = "…" }). Beside our gates stands what the rules of Kayenta, Flagger and
    /// Argo Rollouts would have done. Gates whose samples cannot be counted one by one are left out and named.
    /// Nothing is written but what --record asks for.
    Backtest(backtest::BacktestArgs),
}

impl JudgeVerb {
    /// Whether whoever asked reads JSON.
    #[must_use]
    pub fn prints_json(&self) -> bool {
        match self {
            Self::Aa(args) => args.output == Output::Json,
            Self::Backtest(args) => args.output == Output::Json,
            Self::Runs(_) => false,
        }
    }
}

/// Looks.
///
/// # Errors
/// See [`exit`].
pub fn run(verb: &JudgeVerb, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    match verb {
        JudgeVerb::Aa(args) => aa::run(args, cx, out),
        JudgeVerb::Backtest(args) => backtest::run(args, cx, out),
        JudgeVerb::Runs(args) => runs::run(args, cx, out),
    }
}

/// So long of stable is known when a run begins, as far as dispersion looks back: a host has watched it, and a
/// console that judges a cluster from outside reads it.
const WATCHED: Duration = Duration::from_secs(3_600);

/// How one service is measured and judged.
struct Setting<'a> {
    metrics: &'a MetricsConfig,
    queries: Queries,
    gates: Vec<GateSpec>,
    /// Gates over alerts: they are no counts.
    alerts: Vec<GateSpec>,
    legs: Vec<Leg>,
}

impl<'a> Setting<'a> {
    /// Of a service at a target by its name; without a name, as the configuration has it.
    fn of(loaded: &'a Loaded, service: &str, target: Option<&str>) -> Result<Self, Exit> {
        let Config { targets, services, metrics, .. } = &loaded.config;
        let named = target.map(|name| {
            let found = targets.iter().find(|t| t.name == name);
            found.ok_or_else(|| Exit::usage(format!("no target `{}` in the configuration", name.escape_debug())))
        });
        let configured = services.iter().find(|s| s.name == service);
        let cluster = match named.transpose()? {
            Some(target) => Some(target).filter(|t| t.kind == TargetKind::Argo),
            None if configured.is_some() => None,
            None => match targets.iter().filter(|t| t.metrics.is_some()).collect::<Vec<_>>().as_slice() {
                [] => None,
                [one] => Some(*one),
                _ => return Err(Exit::usage("several targets have metrics: say which with --target")),
            },
        };
        let Some(target) = cluster else { return Self::of_host(metrics, configured, service) };
        let metrics = target.metrics.as_ref().ok_or_else(|| {
            Exit::usage(format!("{} has no [target.metrics]: without them nothing of its past is known", target.name.escape_debug()))
        })?;
        let queries = metrics.queries().map_err(Exit::usage)?;
        let gates = if target.gates.is_empty() { How::usual_gates(&queries) } else { target.gates.clone() };
        Ok(Self { metrics, queries, gates, alerts: Vec::new(), legs: plan::usual() })
    }

    fn of_host(metrics: &'a MetricsConfig, service: Option<&ServiceSpec>, name: &str) -> Result<Self, Exit> {
        let Some(service) = service else {
            return Err(Exit::usage(format!("no service `{}` in the configuration, and no target with metrics", name.escape_debug())));
        };
        let queries = metrics.queries().map_err(Exit::usage)?;
        let legs = match plan::legs(&service.steps) {
            none if none.is_empty() => plan::usual(),
            legs => legs,
        };
        Ok(Self { metrics, queries, gates: service.gates.clone(), alerts: Vec::new(), legs })
    }

    /// These gates instead, where there are some.
    fn with_gates(mut self, gates: Option<&[GateSpec]>) -> Result<Self, Exit> {
        if let Some(gates) = gates {
            self.gates = gates.to_vec();
        }
        // A gate over alerts has no part in the lines of the others.
        let (alerts, counted) = self.gates.into_iter().partition(|g| g.signal == GateSignal::Alerts);
        self.gates = counted;
        self.alerts = alerts;
        if self.gates.is_empty() { Err(Exit::usage("there is no gate to look at: add one to the configuration")) } else { Ok(self) }
    }

    const fn pace(&self) -> Pace {
        self.metrics.pace()
    }

    /// The server that keeps its past.
    fn server(&self, cx: &Context) -> Result<Prometheus, Exit> {
        let settings = self.metrics.prometheus().ok_or_else(|| {
            Exit::usage("nothing keeps a past here: set kind = \"prometheus\" and `url` in [metrics], or give --samples FILE")
        })?;
        Ok(Prometheus::new(settings, &cx.servers))
    }

    /// Reads the past of one version.
    async fn past(
        &self,
        backend: &impl Metrics,
        values: &Variables,
        is_candidate: bool,
        span: (Time, Time),
        told: &Progress,
    ) -> Result<History, Exit> {
        let reader = Reader::new(&self.queries, &self.gates, self.pace(), values, is_candidate, span).map_err(Exit::usage)?;
        history::read(reader, backend, |part| told.say("reading", part)).await.map_err(Exit::unreachable)
    }
}

/// The gates that can be played with these pasts, and why each of the others cannot.
///
/// # Errors
/// With one of the reasons, when there is none.
fn countable(gates: Vec<GateSpec>, pasts: &[&History]) -> Result<(Vec<GateSpec>, BTreeMap<GateId, String>), Exit> {
    let left_out: BTreeMap<GateId, String> = pasts.iter().flat_map(|past| past.left_out().clone()).collect();
    let gates: Vec<GateSpec> = gates.into_iter().filter(|gate| !left_out.contains_key(&gate.name)).collect();
    match left_out.values().next() {
        Some(why) if gates.is_empty() => Err(Exit::unreachable(why)),
        _ => Ok((gates, left_out)),
    }
}

/// Says which gates are not played because their samples cannot be counted: a line for each reason.
fn tell_uncounted(left_out: &BTreeMap<GateId, String>) {
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (gate, why) in left_out {
        reasons.entry(why).or_default().push(gate.text().to_string());
    }
    for (why, gates) in reasons {
        let _ = writeln!(std::io::stderr().lock(), "cutover: left out: {}: {}", gates.join(", "), Text::clean(why));
    }
}

/// What is filled into the queries of a version that is only named. What a configuration says goes before
/// what is known, and what is said of this version before both.
fn values(service: &str, namespace: Option<&str>, version: Variables, configured: &Variables) -> Variables {
    let mut values: Variables =
        ["service", "stable_service", "canary_service", "ingress"].map(|n| (n.to_owned(), service.to_owned())).into();
    values.extend(namespace.map(|namespace| ("namespace".to_owned(), namespace.to_owned())));
    values.extend(configured.clone());
    values.extend(version);
    values
}

/// A version that has one name, by whatever queries tell versions apart.
fn version(name: &str) -> Variables {
    ["version", "pod_hash", template::LABEL].map(|n| (n.to_owned(), name.to_owned())).into()
}

/// Says which gates are not played.
fn tell_left_out<'a>(gates: impl IntoIterator<Item = &'a GateSpec>) {
    let names: BTreeSet<String> = gates.into_iter().map(|g| g.name.text().to_string()).collect();
    if !names.is_empty() {
        let names: Vec<String> = names.into_iter().collect();
        let _ = writeln!(std::io::stderr().lock(), "cutover: left out, since what fired then is not known: {}", names.join(", "));
    }
}

/// Recorded samples.
fn recorded(file: &Path) -> Result<Recorded, Exit> {
    let name = file.display().to_string();
    let opened = File::open(file).map_err(|e| Exit::usage(format!("cannot read {name}: {e}")))?;
    Recorded::read(&name, BufReader::new(opened)).map_err(Exit::usage)
}

/// A file that is not there yet.
fn new_file(path: &Path) -> Result<File, Exit> {
    File::create_new(path).map_err(|e| Exit::usage(format!("cannot record to {}: {e}; it must be a new file", path.display())))
}

/// How far it is, on standard error while somebody looks.
struct Progress {
    looks: bool,
}

impl Progress {
    fn new() -> Self {
        Self { looks: std::io::stderr().is_terminal() }
    }

    fn say(&self, what: &str, part: f64) {
        if self.looks {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K{what} {:.0} %", part * 100.0);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.looks {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

/// Prints a report: its lines, or `{"schema":…, NAME: …}`.
fn print(output: Output, name: &str, report: &impl serde::Serialize, lines: &[String], out: &mut impl Write) -> Result<(), Exit> {
    match output {
        Output::Json => {
            let value = serde_json::to_value(report).map_err(Exit::failed)?;
            writeln!(out, "{}", serde_json::json!({ "schema": SCHEMA, name: value }))
        }
        Output::Table => lines.iter().try_for_each(|line| writeln!(out, "{line}")),
    }
    .or_else(exit::closed)
}

/// Columns as wide as their longest cell, two spaces between them.
fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let wide = |n: usize| rows.iter().filter_map(|row| row.get(n)).map(|cell| cell.chars().count()).max().unwrap_or_default();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().enumerate().map(|(n, cell)| format!("{cell:<wide$}", wide = wide(n))).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Seconds as a person says them.
fn spoken(seconds: Option<u64>) -> String {
    seconds.map_or_else(|| "-".into(), |s| humantime::format_duration(Duration::from_secs(s)).to_string())
}
