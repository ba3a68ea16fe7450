//! The host's `/metrics`: Prometheus text format 0.0.4 of what the host knows. Pure.
//!
//! Units are seconds, bytes and ratios. States (phase, hold, verdict) are one series per value with 0
//! or 1, so that an alert can say `cutover_gate_verdict{verdict="fail"} == 1`.
//!
//! What is judged (requests, time-outs, latencies) is a series per instance, called `slot`: `instance` is what a
//! scrape calls the host. What no instance answered has none. An instance that is gone takes its series with it, some
//! minutes later, so that a scraper has seen the last of it; no series ever falls.

use super::meter::{Counted, Totals};
use crate::model::{
    gate::Verdict,
    ident::{GateId, InstanceId, Role, VersionId},
    ratio::Weight,
    rollout::{Hold, Phase},
    text::Text,
};
use std::{
    collections::BTreeSet,
    fmt::{self, Display, Write},
};

/// The content type to serve it with.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is known of one service.
#[derive(Clone, PartialEq, Debug)]
pub struct ServiceMetrics {
    /// Its name.
    pub service: Text,
    /// Where its rollout is.
    pub phase: Phase,
    /// What keeps it from moving.
    pub holds: Vec<Hold>,
    /// Whether the line is stopped, also while nothing rolls out.
    pub frozen: bool,
    /// The kind of each thing that was found: `drift`, `sick`, `bake`, …
    pub findings: Vec<Text>,
    /// Its gates and what they say.
    pub gates: Vec<(GateId, Verdict)>,
    /// Requests that had no version to go to.
    pub unrouted: u64,
    /// Requests that were cut because they outlived a drain.
    pub outlived: u64,
    /// Its versions.
    pub versions: Vec<VersionMetrics>,
}

/// What is known of one version.
#[derive(Clone, PartialEq, Debug)]
pub struct VersionMetrics {
    /// Its place in the rollout.
    pub role: Role,
    /// What people call it.
    pub label: Text,
    /// What it is.
    pub id: VersionId,
    /// Its counters.
    pub totals: Totals,
    /// Requests of testers, which are in none of them.
    pub tested: u64,
    /// What each of its instances counted.
    pub parts: Vec<(InstanceId, Counted)>,
    /// What none of them did.
    pub nowhere: Counted,
    /// Its share as the plan says.
    pub declared: Option<Weight>,
    /// Its share as the router does.
    pub programmed: Option<Weight>,
    /// Instances that may get traffic.
    pub ready: u32,
    /// Instances there should be.
    pub desired: u32,
    /// How often each of its instances was started again, by its name.
    pub restarts: Vec<(Text, u32)>,
}

const PHASES: [&str; 8] = ["idle", "progressing", "held", "reverting", "reverted", "completed", "failed", "unknown"];
const HOLDS: [&str; 6] = ["manual", "step", "gate", "stopped", "freeze", "backend"];
const VERDICTS: [&str; 4] = ["pass", "fail", "wait", "blind"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// A counter of [`Totals`] with its name and meaning.
type Counter = (&'static str, &'static str, fn(&Totals) -> u64);

const COUNTERS: [Counter; 9] = [
    ("cutover_requests_started_total", "Requests for which the version was picked.", |t| t.started),
    ("cutover_request_errors_total", "Requests answered with 5xx or not at all.", |t| t.class[4]),
    ("cutover_slow_requests_total", "Requests slower than the threshold frozen at the start of the run.", |t| t.slow),
    ("cutover_aborted_requests_total", "Requests whose client went away before the end of the answer.", |t| t.aborted),
    ("cutover_unavailable_requests_total", "Requests meant for the version while it had no ready instance.", |t| t.unavailable),
    ("cutover_upstream_failures_total", "Instances that did not answer, not in time, not in HTTP or not to the end.", |t| {
        t.upstream_failures
    }),
    ("cutover_retries_total", "Requests sent again on a fresh connection.", |t| t.retries),
    ("cutover_request_bytes_total", "Bytes of request bodies and from upgraded clients.", |t| t.bytes_in),
    ("cutover_response_bytes_total", "Bytes of response bodies and to upgraded clients.", |t| t.bytes_out),
];

/// A gauge of [`VersionMetrics`] with its name and meaning; absent is absent, never 0.
type Gauge = (&'static str, &'static str, fn(&VersionMetrics) -> Option<f64>);

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
const GAUGES: [Gauge; 7] = [
    ("cutover_requests_in_flight", "Requests between start and end of the body.", |v| Some(v.totals.in_flight as f64)),
    ("cutover_upgraded_connections", "Upgraded connections that are open.", |v| Some(v.totals.upgraded as f64)),
    ("cutover_last_request_timestamp_seconds", "When the last request started.", |v| {
        v.totals.last_start.map(|t| t.timestamp_micros() as f64 / 1e6)
    }),
    ("cutover_declared_weight_ratio", "Share of the traffic that the plan says.", |v| v.declared.map(|w| w.percent() / 100.0)),
    ("cutover_programmed_weight_ratio", "Share of the traffic that the router deals.", |v| v.programmed.map(|w| w.percent() / 100.0)),
    ("cutover_instances_ready", "Instances that may get traffic.", |v| Some(f64::from(v.ready))),
    ("cutover_instances_desired", "Instances there should be.", |v| Some(f64::from(v.desired))),
];

/// All of it as text.
#[must_use]
pub fn render(services: &[ServiceMetrics]) -> String {
    let mut page = Page(String::with_capacity(4_096));
    page.family("cutover_phase", "gauge", "1 for the phase the rollout is in.");
    for s in services {
        for phase in PHASES {
            page.sample("cutover_phase", &[("service", &s.service), ("phase", &phase)], u8::from(s.phase.word() == phase));
        }
    }
    page.family("cutover_holds", "gauge", "Holds that keep the rollout from moving by itself.");
    for s in services {
        for kind in HOLDS {
            let holds = s.holds.iter().filter(|h| h.kind() == kind).count();
            page.sample("cutover_holds", &[("service", &s.service), ("kind", &kind)], holds);
        }
    }
    page.family("cutover_frozen", "gauge", "1 while nothing may move forward.");
    for s in services {
        page.sample("cutover_frozen", &[("service", &s.service)], u8::from(s.frozen));
    }
    page.family("cutover_findings", "gauge", "What is wrong and no other figure says, by kind; a kind that is not there is not found.");
    for s in services {
        let kinds: BTreeSet<&str> = s.findings.iter().map(Text::as_str).collect();
        for kind in kinds {
            let found = s.findings.iter().filter(|f| f.as_str() == kind).count();
            page.sample("cutover_findings", &[("service", &s.service), ("kind", &kind)], found);
        }
    }
    page.family("cutover_gate_verdict", "gauge", "1 for what the gate says.");
    for s in services {
        for (gate, verdict) in &s.gates {
            for word in VERDICTS {
                let says = verdict.word().eq_ignore_ascii_case(word);
                let labels: [Label<'_>; 3] = [("service", &s.service), ("gate", &gate.text()), ("verdict", &word)];
                page.sample("cutover_gate_verdict", &labels, u8::from(says));
            }
        }
    }
    page.family("cutover_unrouted_requests_total", "counter", "Requests that had no version to go to.");
    for s in services {
        page.sample("cutover_unrouted_requests_total", &[("service", &s.service)], s.unrouted);
    }
    let versions = || services.iter().flat_map(|s| s.versions.iter().map(move |v| (s, v)));
    page.family("cutover_outlived_requests_total", "counter", "Requests that were cut because they outlived a drain.");
    for s in services {
        page.sample("cutover_outlived_requests_total", &[("service", &s.service)], s.outlived);
    }
    page.family("cutover_requests_total", "counter", "Requests answered or failed, by class of the status that went down.");
    for (s, v) in versions() {
        for (slot, counted) in v.slots() {
            for (class, count) in CLASSES.iter().zip(counted.class) {
                page.slot("cutover_requests_total", (s, v, slot), Some(("class", class)), count);
            }
        }
    }
    page.family("cutover_timed_out_requests_total", "counter", "Requests that were not answered in time.");
    for (s, v) in versions() {
        for (slot, counted) in v.slots() {
            page.slot("cutover_timed_out_requests_total", (s, v, slot), None, counted.timeouts);
        }
    }
    page.family("cutover_tester_requests_total", "counter", "Requests of testers; they are in no other figure.");
    for (s, v) in versions() {
        page.version("cutover_tester_requests_total", s, v, None, v.tested);
    }
    for (name, help, value) in COUNTERS {
        page.family(name, "counter", help);
        for (s, v) in versions() {
            page.version(name, s, v, None, value(&v.totals));
        }
    }
    page.family("cutover_instance_restarts_total", "counter", "Times that instances were started again.");
    for (s, v) in versions() {
        for (slot, restarts) in &v.restarts {
            page.version("cutover_instance_restarts_total", s, v, Some(("slot", slot)), restarts);
        }
    }
    for (name, help, value) in GAUGES {
        page.family(name, "gauge", help);
        for (s, v) in versions() {
            if let Some(value) = value(v) {
                page.version(name, s, v, None, value);
            }
        }
    }
    page.family("cutover_request_duration_seconds", "histogram", "Time from arrival to the response head, upgrades left out.");
    for (s, v) in versions() {
        v.slots().for_each(|(slot, counted)| page.histogram((s, v, slot), counted));
    }
    page.0
}

/// A label's name and value.
type Label<'a> = (&'static str, &'a dyn Display);

/// Whose a series is: the instance's of a version, or that of none of them.
type Whose<'a> = (&'a ServiceMetrics, &'a VersionMetrics, Option<&'a InstanceId>);

impl VersionMetrics {
    fn slots(&self) -> impl Iterator<Item = (Option<&InstanceId>, &Counted)> {
        self.parts.iter().map(|(id, counted)| (Some(id), counted)).chain([(None, &self.nowhere)])
    }
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn version(&mut self, name: &str, s: &ServiceMetrics, v: &VersionMetrics, extra: Option<Label<'_>>, value: impl Display) {
        self.slot(name, (s, v, None), extra, value);
    }

    fn slot(&mut self, name: &str, (s, v, slot): Whose<'_>, extra: Option<Label<'_>>, value: impl Display) {
        let (id, slot) = (v.id.text(), slot.map(InstanceId::text));
        let mut labels: Vec<Label<'_>> = vec![("service", &s.service), ("role", &v.role), ("version", &v.label), ("version_id", &id)];
        labels.extend(slot.as_ref().map(|slot| -> Label<'_> { ("slot", slot) }));
        labels.extend(extra);
        self.sample(name, &labels, value);
    }

    fn histogram(&mut self, whose: Whose<'_>, counted: &Counted) {
        let (name, latencies) = ("cutover_request_duration_seconds", &counted.latencies);
        for (bound, count) in latencies.cumulative() {
            self.slot(&format!("{name}_bucket"), whose, Some(("le", &bound.as_secs_f64())), count);
        }
        self.slot(&format!("{name}_bucket"), whose, Some(("le", &"+Inf")), latencies.count());
        self.slot(&format!("{name}_sum"), whose, None, latencies.sum().as_secs_f64());
        self.slot(&format!("{name}_count"), whose, None, latencies.count());
    }

    fn sample(&mut self, name: &str, labels: &[Label<'_>], value: impl Display) {
        self.line(format_args!("{name}"));
        for (i, (label, text)) in labels.iter().enumerate() {
            let open = if i == 0 { '{' } else { ',' };
            self.line(format_args!("{open}{label}=\"{}\"", Escaped(*text)));
        }
        self.line(format_args!("{} {value}\n", if labels.is_empty() { "" } else { "}" }));
    }

    fn line(&mut self, text: fmt::Arguments<'_>) {
        // Writing to a `String` cannot fail.
        let _ = self.0.write_fmt(text);
    }
}

/// A label's value with `\`, `"` and line ends escaped.
struct Escaped<'a>(&'a dyn Display);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.to_string().chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
