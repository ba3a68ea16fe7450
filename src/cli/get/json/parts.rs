//! The smaller parts of a rollout: versions, gates, analyses, people, proof.

use super::{At, at, evidence::Evidence, exact, ms};
use crate::model::{
    back,
    gate::GateState,
    rollout::{self, Known, Standing},
    step,
    version::{self, Artifact as Kind},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Artifacts plus the configuration they run with.
#[derive(Serialize, JsonSchema)]
pub struct Version {
    /// What the runtime calls it.
    id: String,
    /// What people call it.
    label: String,
    /// Its source revision.
    revision: Option<String>,
    /// Its artifacts.
    artifacts: Vec<Artifact>,
    /// Hash of the configuration it runs with.
    config: Option<String>,
    /// Why going back from it is not safe.
    back_unsafe: Option<String>,
}

/// One artifact: sealed and named by its digest, or a tag.
#[derive(Serialize, JsonSchema)]
struct Artifact {
    /// The container; empty where there is one artifact only.
    name: String,
    /// What it is sealed by.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^sha256:[0-9a-f]{64}$"))]
    digest: Option<String>,
    /// A name that can move, or one that is no digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    /// What was verified to run; `null` when nothing runs, when nobody looked, or when something is wrong.
    running: Option<String>,
    /// Whether instances run different contents.
    differs: bool,
    /// When all its bytes were read last.
    checked: Option<At>,
    /// What was found that is not as it was sealed or started.
    wrong: Option<String>,
}

impl From<&version::Version> for Version {
    fn from(v: &version::Version) -> Self {
        let artifact = |p: &version::Part| {
            let (digest, tag) = match &p.declared {
                Kind::Digest(digest) => (Some(digest.to_string()), None),
                Kind::Tag(tag) | Kind::Opaque(tag) => (None, Some(tag.to_string())),
            };
            Artifact {
                name: p.container.to_string(),
                digest,
                tag,
                running: p.running.map(|d| d.to_string()),
                differs: p.differs,
                checked: p.checked.map(At),
                wrong: p.wrong.as_ref().map(ToString::to_string),
            }
        };
        Self {
            id: exact(&v.id.0),
            label: v.label.to_string(),
            revision: v.revision.as_ref().map(ToString::to_string),
            artifacts: v.parts.iter().map(artifact).collect(),
            config: v.config.map(|d| d.to_string()),
            back_unsafe: v.back_unsafe.as_ref().map(ToString::to_string),
        }
    }
}

/// A version that is remembered.
#[derive(Serialize, JsonSchema)]
pub struct KnownVersion {
    /// Which.
    version: Version,
    /// What is thought of it.
    #[schemars(extend("enum" = ["good", "baking", "unproven", "left", "tainted"]))]
    standing: &'static str,
    /// Who tainted it.
    by: Option<String>,
    /// Why it was left or tainted.
    reason: Option<String>,
    /// When it will be good, while it bakes.
    good_at: Option<At>,
    /// For how long it had all the traffic, in all.
    proven_ms: u64,
    /// Parts of one of its requests that failed in that time.
    error_ratio: Option<f64>,
    /// When it had traffic last; `null` while it has.
    until: Option<At>,
    /// Whether its artifact is there to be deployed.
    available: bool,
}

impl From<&Known> for KnownVersion {
    fn from(k: &Known) -> Self {
        let (by, reason, good_at) = match &k.standing {
            Standing::Good | Standing::Unproven => (None, None, None),
            Standing::Baking { until } => (None, None, Some(At(*until))),
            Standing::Left { reason } => (None, Some(reason.to_string()), None),
            Standing::Tainted { by, reason } => (Some(by.to_string()), Some(reason.to_string()), None),
        };
        Self {
            version: Version::from(&k.version),
            standing: k.standing.word(),
            by,
            reason,
            good_at,
            proven_ms: ms(k.proven),
            error_ratio: k.error_ratio,
            until: at(k.until),
            available: k.available,
        }
    }
}

/// Who did something, and when.
#[derive(Serialize, JsonSchema)]
pub struct By {
    /// Who.
    pub by: String,
    /// When.
    pub at: At,
}

/// The line is stopped.
#[derive(Serialize, JsonSchema)]
pub struct Freeze {
    /// Who stopped it.
    by: String,
    /// Why.
    reason: String,
    /// Since when.
    since: At,
    /// Until when; `null` until it is lifted.
    until: Option<At>,
}

impl From<&rollout::Freeze> for Freeze {
    fn from(f: &rollout::Freeze) -> Self {
        Self { by: f.by.to_string(), reason: f.reason.to_string(), since: At(f.since), until: at(f.until) }
    }
}

/// What happens next.
#[derive(Serialize, JsonSchema)]
pub struct Next {
    /// In one line.
    what: String,
    /// When, if that is known.
    at: Option<At>,
    /// Who moves: `plan`, `a person`, `nobody`.
    by: String,
}

impl From<&rollout::Next> for Next {
    fn from(n: &rollout::Next) -> Self {
        Self { what: n.what.to_string(), at: at(n.at), by: n.by.to_string() }
    }
}

/// When the candidate's declared share changed.
#[derive(Serialize, JsonSchema)]
pub struct Mark {
    /// When it was declared.
    at: At,
    /// The candidate's share from then on, in percent.
    weight: f64,
}

impl From<&step::Mark> for Mark {
    fn from(m: &step::Mark) -> Self {
        Self { at: At(m.at), weight: m.weight.percent() }
    }
}

/// A gate as it stands.
#[derive(Serialize, JsonSchema)]
pub struct Gate {
    /// Its name.
    name: String,
    /// What it says.
    #[schemars(extend("enum" = ["pass", "fail", "wait", "blind"]))]
    verdict: String,
    /// Why, in one line.
    reason: String,
    /// Since when it says so.
    since: At,
    /// When it failed, if it did and has not passed since, whatever it says now: nothing advances by itself.
    failed_at: Option<At>,
    /// Why it failed then.
    failed_why: Option<String>,
    /// What it looks at.
    signal: &'static str,
    /// The rule in words.
    rule: String,
    /// What a failure does.
    #[schemars(extend("enum" = ["hold", "revert", "advise"]))]
    on_fail: Value,
    /// What it rests on; `null` where a runtime does not tell.
    pub(super) evidence: Option<Evidence>,
}

impl From<&GateState> for Gate {
    fn from(g: &GateState) -> Self {
        let fails = Some(g).filter(|g| g.verdict.fails());
        Self {
            name: exact(&g.id.0),
            verdict: g.verdict.word().to_lowercase(),
            reason: g.verdict.reason().to_string(),
            since: At(g.since),
            failed_at: fails.map(|_| At(g.since)),
            failed_why: fails.map(|g| g.verdict.reason().to_string()),
            signal: g.signal.word(),
            rule: g.rule.to_string(),
            on_fail: serde_json::to_value(g.on_fail).unwrap_or_default(),
            evidence: g.evidence.as_ref().map(Evidence::from),
        }
    }
}

impl Gate {
    /// One of a rollout, which knows whether it failed before.
    pub fn of(r: &rollout::Rollout, g: &GateState) -> Self {
        let mut told = Self::from(g);
        if let Some(failed) = r.failure(g) {
            (told.failed_at, told.failed_why) = (Some(At(failed.at)), Some(failed.why.to_string()));
        }
        told
    }
}

/// All gates in one word and one sentence.
#[derive(Serialize, JsonSchema)]
pub struct Verdict {
    /// The worst.
    #[schemars(extend("enum" = ["pass", "fail", "wait", "blind"]))]
    word: String,
    /// Why.
    sentence: String,
}

impl From<&rollout::Summary> for Verdict {
    fn from(v: &rollout::Summary) -> Self {
        Self { word: v.word.to_string(), sentence: v.sentence.to_string() }
    }
}

/// Since when a rollout has been bad, and what that cost.
#[derive(Serialize, JsonSchema)]
pub struct Bad {
    /// Since when a gate has failed.
    since: At,
    /// Candidate requests that failed since then.
    failed: u64,
    /// Failed requests per second that waiting costs.
    per_second: f64,
    /// The gates that failed and have not passed since.
    gates: Vec<String>,
}

impl From<&rollout::Bad> for Bad {
    fn from(b: &rollout::Bad) -> Self {
        Self {
            since: At(b.since),
            failed: b.failed,
            per_second: b.per_second,
            gates: b.gates.iter().map(|f| f.gate.text().to_string()).collect(),
        }
    }
}

/// Who measures a rollout.
#[derive(Serialize, JsonSchema)]
pub struct Measured {
    /// Where the signals of its versions come from.
    signals: String,
    /// Where the numbers of its gates come from.
    gates: String,
    /// What a metrics backend is asked, by the name of the query, before names are filled in.
    queries: BTreeMap<String, String>,
    /// The metrics backend that is asked; null where nobody is.
    backend: Option<Backend>,
}

/// A metrics backend as it was met last.
#[derive(Serialize, JsonSchema)]
pub struct Backend {
    /// Its address without anything secret.
    url: String,
    /// Since when it answers; null while it does not, or was not asked yet.
    answers_since: Option<At>,
    /// Since when it does not answer.
    silent_since: Option<At>,
    /// What it, or the way to it, said instead.
    trouble: Option<String>,
    /// How far its clock is ahead of the asker's; null where they agree.
    ahead_secs: Option<i64>,
    /// What is taken of it.
    limits: String,
}

impl From<&rollout::MeasuredBy> for Measured {
    fn from(m: &rollout::MeasuredBy) -> Self {
        let queries = m.queries.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
        let backend = m.backend.as_ref().map(|b| Backend {
            url: b.place.to_string(),
            answers_since: b.answers.map(At),
            silent_since: b.trouble.as_ref().map(|silent| At(silent.since)),
            trouble: b.trouble.as_ref().map(|silent| silent.why.to_string()),
            ahead_secs: b.ahead,
            limits: b.limits.to_string(),
        });
        Self { signals: m.signals.to_string(), gates: m.gates.to_string(), queries, backend }
    }
}

/// An analysis of the runtime's own.
#[derive(Serialize, JsonSchema)]
pub struct Analysis {
    /// Its name.
    name: String,
    /// Where it belongs: `step`, `background`, …
    place: String,
    /// Its state, in the runtime's word.
    phase: String,
    /// Its line of reason.
    message: Option<String>,
    /// Since when it runs.
    started: Option<At>,
    /// What it measures.
    metrics: Vec<Metric>,
}

/// One metric of an analysis.
#[derive(Serialize, JsonSchema)]
struct Metric {
    /// Its name.
    name: String,
    /// Its state, in the runtime's word.
    phase: String,
    /// The last values, oldest first.
    values: Vec<String>,
    /// The condition that must hold.
    condition: String,
    /// Successful measurements.
    successful: u32,
    /// Failed ones.
    failed: u32,
    /// Ones that said neither.
    inconclusive: u32,
    /// Ones that could not be made.
    error: u32,
    /// More failed ones than this end it; null: never, or not known.
    failure_limit: Option<u32>,
    /// More that said neither than this end it undecided.
    inconclusive_limit: Option<u32>,
    /// More in a row that could not be made than this end it.
    error_limit: Option<u32>,
    /// So many successful ones in a row end it well.
    success_limit: Option<u32>,
    /// Successful ones in a row, up to now.
    successes_in_a_row: u32,
    /// Ones in a row that could not be made, up to now.
    errors_in_a_row: u32,
    /// How many are to be made; null: until it is stopped.
    count: Option<u32>,
    /// When it was measured last.
    measured: Option<At>,
    /// When it is measured next.
    next: Option<At>,
    /// Whether it is measured without consequences.
    dry_run: bool,
    /// Its line of reason.
    message: Option<String>,
    /// The query that a Prometheus is asked; null of another provider.
    query: Option<String>,
    /// As which gate our own judge takes it (`gate NAME`), or why it does not (`none: …`); null where
    /// that was not asked for.
    ours: Option<String>,
}

impl From<&rollout::Analysis> for Analysis {
    fn from(a: &rollout::Analysis) -> Self {
        let metric = |m: &rollout::Metric| Metric {
            name: m.name.to_string(),
            phase: m.phase.to_string(),
            values: m.values.iter().map(ToString::to_string).collect(),
            condition: m.condition.to_string(),
            successful: m.counts.successful,
            failed: m.counts.failed,
            inconclusive: m.counts.inconclusive,
            error: m.counts.error,
            failure_limit: m.counts.failure_limit,
            inconclusive_limit: m.counts.inconclusive_limit,
            error_limit: m.counts.error_limit,
            success_limit: m.counts.success_limit,
            successes_in_a_row: m.counts.successes_in_a_row,
            errors_in_a_row: m.counts.errors_in_a_row,
            count: m.counts.count,
            measured: at(m.measured),
            next: at(m.next),
            dry_run: m.dry_run,
            message: m.message.as_ref().map(ToString::to_string),
            query: m.asked.as_ref().map(|asked| asked.query.text().to_string()),
            ours: m.ours.as_ref().map(ToString::to_string),
        };
        Self {
            name: a.name.to_string(),
            place: a.place.to_string(),
            phase: a.phase.to_string(),
            message: a.message.as_ref().map(ToString::to_string),
            started: at(a.started),
            metrics: a.metrics.iter().map(metric).collect(),
        }
    }
}

/// Versions that the runtime runs beside a rollout for a while.
#[derive(Serialize, JsonSchema)]
pub struct Experiment {
    /// Its name.
    name: String,
    /// Its state, in the runtime's word.
    phase: String,
    /// Its line of reason.
    message: Option<String>,
    /// Since when all of its versions are there.
    since: Option<At>,
    /// When it ends by itself.
    ends_at: Option<At>,
    /// What is measured of it.
    analyses: Vec<ExperimentRun>,
}

/// An analysis of an experiment; its measurements are in the rollout's `analyses`, under `name`.
#[derive(Serialize, JsonSchema)]
struct ExperimentRun {
    /// What the experiment calls it.
    what: String,
    /// The name of the analysis.
    name: String,
    /// Its state, in the runtime's word.
    phase: String,
    /// Its line of reason.
    message: Option<String>,
}

impl From<&rollout::Experiment> for Experiment {
    fn from(e: &rollout::Experiment) -> Self {
        let run = |r: &rollout::ExperimentRun| ExperimentRun {
            what: r.what.to_string(),
            name: r.name.to_string(),
            phase: r.phase.to_string(),
            message: r.message.as_ref().map(ToString::to_string),
        };
        Self {
            name: e.name.to_string(),
            phase: e.phase.to_string(),
            message: e.message.as_ref().map(ToString::to_string),
            since: at(e.since),
            ends_at: at(e.ends),
            analyses: e.runs.iter().map(run).collect(),
        }
    }
}

/// What proves the last way back: what is true already, and what is not yet.
#[derive(Serialize, JsonSchema)]
pub struct Proof {
    /// The version that was left.
    left: Version,
    /// When the switch was asked for.
    asked: At,
    /// What the router says of the left version, in percent.
    programmed: Option<f64>,
    /// The last request that started on it.
    last_request: Option<At>,
    /// Requests that started on it after the router was switched.
    requests_after: u64,
    /// Requests still in flight on it.
    in_flight: u64,
    /// Upgraded connections still open on it.
    upgraded: u64,
    /// How far it is: `unproved` where nothing is missing but requests, which alone can make it `safe`.
    #[schemars(extend("enum" = ["waiting", "unproved", "safe"]))]
    state: &'static str,
    /// When it will be safe if nothing happens.
    safe_at: Option<At>,
    /// Since when it is.
    safe_since: Option<At>,
    /// Since when it is unproved.
    unproved_since: Option<At>,
    /// What is still not true, worst first.
    missing: Vec<String>,
}

impl From<&back::Proof> for Proof {
    fn from(p: &back::Proof) -> Self {
        Self {
            left: Version::from(&p.left),
            asked: At(p.asked),
            programmed: super::track::percent(Some(p.programmed)),
            last_request: at(p.last_request),
            requests_after: p.requests_after,
            in_flight: p.in_flight,
            upgraded: p.upgraded,
            state: p.proved().word(),
            safe_at: at(p.safe_at),
            safe_since: at(p.safe_since),
            unproved_since: at(p.unproved_since),
            missing: p.missing.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Something wrong that is no signal.
#[derive(Serialize, JsonSchema)]
pub struct Finding {
    /// `drift`, `disk`, `drain`, `restart`, `secrets`, …
    kind: String,
    /// In one line.
    what: String,
    /// Since when.
    since: At,
}

impl From<&rollout::Finding> for Finding {
    fn from(f: &rollout::Finding) -> Self {
        Self { kind: f.kind.to_string(), what: f.what.to_string(), since: At(f.since) }
    }
}

/// The last action of anyone.
#[derive(Serialize, JsonSchema)]
pub struct Action {
    /// Who.
    by: String,
    /// The verb, as on the command line.
    verb: &'static str,
    /// The action with what it was given, as it is sent.
    action: Value,
    /// When it took effect.
    at: At,
    /// What it did to the plan.
    effect: String,
}

impl From<&rollout::LastAction> for Action {
    fn from(l: &rollout::LastAction) -> Self {
        let action = serde_json::to_value(&l.action).unwrap_or_default();
        Self { by: l.by.to_string(), verb: l.action.verb(), action, at: At(l.at), effect: l.effect.to_string() }
    }
}

/// Another console that looks at it.
#[derive(Serialize, JsonSchema)]
pub struct Present {
    /// Who.
    who: String,
    /// Since when.
    since: At,
}

impl From<&rollout::Presence> for Present {
    fn from(p: &rollout::Presence) -> Self {
        Self { who: p.who.to_string(), since: At(p.since) }
    }
}
