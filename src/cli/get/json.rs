//! `cutover/v1`: the JSON of `cutover get -o json`. A format of its own, so that the wire between
//! console and host can change without breaking scripts. Its JSON Schema is derived from the types here.
//!
//! What is not known is `null`; a key is never left out. Instants are RFC 3339, durations milliseconds,
//! shares percent with two decimals. Within v1 keys may be added, and none goes or changes its meaning.

mod decided;
mod evidence;
mod parts;
mod track;
mod tried;

use crate::{
    judge,
    model::{
        back::How,
        rollout::{Hold, Rollout},
        text::Raw,
        time::Time,
        urgency::urgency,
    },
};
use decided::{Decided, Serving};
use parts::{
    Action, Analysis, Bad, By, Experiment, Finding, Freeze, Gate, KnownVersion, Mark, Measured, Next, Present, Proof, Verdict, Version,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::Serialize;
use serde_json::Value;
use std::{borrow::Cow, time::Duration};
use track::Track;
use tried::Tried;

/// Says which format it is.
pub const SCHEMA: &str = "cutover/v1";

/// The whole document.
#[must_use]
pub fn document(rollouts: &[Rollout]) -> Value {
    let document = Document { schema: SCHEMA, rollouts: rollouts.iter().map(One::from).collect() };
    serde_json::to_value(document).unwrap_or_default()
}

/// The JSON Schema (draft 2020-12) of [`document`].
#[must_use]
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<Document>();
    schema.insert("title".into(), format!("cutover get -o json ({SCHEMA})").into());
    schema.to_value()
}

/// What `cutover get -o json` prints.
#[derive(Serialize, JsonSchema)]
struct Document {
    /// The format: `cutover/v1`.
    #[schemars(extend("const" = SCHEMA))]
    schema: &'static str,
    /// Most urgent first.
    rollouts: Vec<One>,
}

/// An instant, RFC 3339.
#[derive(Clone, Copy, Serialize)]
#[serde(transparent)]
struct At(Time);

impl JsonSchema for At {
    fn schema_name() -> Cow<'static, str> {
        "Instant".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

fn at(time: Option<Time>) -> Option<At> {
    time.map(At)
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The exact name: what is compared and sent.
fn exact(raw: &Raw) -> String {
    raw.as_str().to_owned()
}

/// One rollout.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Rollout")]
struct One {
    /// The target's name in the configuration.
    target: String,
    /// From the outermost inwards: cluster, namespace. May be empty.
    scope: Vec<String>,
    /// The service.
    service: String,
    /// Its current or last run; `null` before the first.
    run: Option<String>,
    /// How a candidate replaces stable.
    #[schemars(extend("enum" = ["canary", "blue-green", "rolling", "recreate"]))]
    strategy: &'static str,
    /// Where it is in its life.
    #[schemars(extend("enum" = ["idle", "progressing", "held", "reverting", "reverted", "completed", "failed", "unknown"]))]
    phase: String,
    /// Why it is there, in one line.
    reason: Option<String>,
    /// How much it needs a person.
    urgency: Urgency,
    /// Whether a person is waited for.
    attention: Option<Attention>,
    /// Who started the run.
    started: Option<By>,
    /// Everything that keeps it from moving by itself.
    holds: Vec<Held>,
    /// Why nothing may move forward, if so.
    frozen: Option<Freeze>,
    /// Where in the plan it is.
    step: Option<Step>,
    /// The plan.
    steps: Vec<Planned>,
    /// When the candidate's share changed in this run, oldest first.
    marks: Vec<Mark>,
    /// What happens next.
    next: Next,
    /// Its versions in this rollout, stable first.
    tracks: Vec<Track>,
    /// The gates of the run: as they stand while it moves, and once it is over as they stood when that was decided.
    gates: Vec<Gate>,
    /// All of these gates in one word and one sentence.
    verdict: Option<Verdict>,
    /// What was known when the traffic of the run was decided, the newest first; empty while it moves.
    decided: Vec<Decided>,
    /// How the version that has all the traffic does until it is good; `null` where none is judged.
    serving: Option<Serving>,
    /// What came of this run's checks and warm-ups, oldest first.
    tried: Vec<Tried>,
    /// Since when it has been bad.
    bad: Option<Bad>,
    /// What the runtime itself analyses.
    analyses: Vec<Analysis>,
    /// Versions that the runtime runs beside it for a while.
    experiments: Vec<Experiment>,
    /// The way back.
    back: Back,
    /// What proves the last way back.
    proof: Option<Proof>,
    /// Every version that is remembered, newest first.
    versions: Vec<KnownVersion>,
    /// What is wrong beside the signals.
    findings: Vec<Finding>,
    /// The last action of anyone.
    last: Option<Action>,
    /// Other consoles that look at it.
    present: Vec<Present>,
    /// Who else writes it, and would write it back.
    owner: Option<String>,
    /// Where its pod template is when the rollout itself has none: `Deployment/shop`.
    template: Option<String>,
    /// Who measures it; `null` where nobody does.
    measured: Option<Measured>,
    /// Where this picture comes from.
    seen: Seen,
}

impl From<&Rollout> for One {
    fn from(r: &Rollout) -> Self {
        let urgency = urgency(r, None);
        let gates = r.run_gates();
        let now = r.decided.is_empty() && r.alone.is_none();
        let verdict = if now { r.verdict.clone() } else { judge::summary(gates) };
        Self {
            target: exact(&r.key.target.0),
            scope: r.key.scope.iter().map(exact).collect(),
            service: exact(&r.key.service),
            run: r.run.as_ref().map(|run| exact(&run.0)),
            strategy: r.strategy.word(),
            phase: r.phase.word().to_owned(),
            reason: r.reason.as_ref().map(ToString::to_string),
            urgency: Urgency { state: urgency.how.word(), since: at(urgency.since) },
            attention: r.attention.as_ref().map(|a| Attention { kind: a.kind.to_string(), since: At(a.since) }),
            started: r.started.as_ref().map(|s| By { by: s.by.to_string(), at: At(s.at) }),
            holds: r.holds.iter().map(Held::from).collect(),
            frozen: r.frozen.as_ref().map(Freeze::from),
            step: Step::of(r),
            steps: r.steps.iter().map(|s| Planned { kind: s.spec.kind(), label: s.label.to_string() }).collect(),
            marks: r.marks.iter().map(Mark::from).collect(),
            next: Next::from(&r.next),
            tracks: r.tracks.iter().map(Track::from).collect(),
            gates: gates.iter().map(|gate| if now { Gate::of(r, gate) } else { Gate::from(gate) }).collect(),
            verdict: verdict.as_ref().map(Verdict::from),
            decided: r.decided.iter().map(Decided::from).collect(),
            serving: Serving::of(r),
            tried: r.tried.iter().map(Tried::from).collect(),
            bad: r.bad.as_ref().map(Bad::from),
            analyses: r.analyses.iter().map(Analysis::from).collect(),
            experiments: r.experiments.iter().map(Experiment::from).collect(),
            back: Back::from(r),
            proof: r.proof.as_ref().map(Proof::from),
            versions: r.versions.iter().map(KnownVersion::from).collect(),
            findings: r.findings.iter().map(Finding::from).collect(),
            last: r.last.as_ref().map(Action::from),
            present: r.present.iter().map(Present::from).collect(),
            owner: r.owner.as_ref().map(ToString::to_string),
            template: r.template.as_ref().map(ToString::to_string),
            measured: r.measured.as_ref().map(Measured::from),
            seen: Seen { server_time: At(r.seen.server_time), epoch: r.seen.epoch, rev: r.seen.rev.0, fresh_for_ms: ms(r.seen.fresh_for) },
        }
    }
}

/// How much a rollout needs a person.
#[derive(Serialize, JsonSchema)]
struct Urgency {
    /// In the order of lists: the most urgent first.
    #[schemars(extend("enum" = ["waiting", "failing", "stuck", "stale", "baking", "running", "unproved", "healthy", "idle"]))]
    state: &'static str,
    /// Since when, where that is known.
    since: Option<At>,
}

/// Why a person is needed.
#[derive(Serialize, JsonSchema)]
struct Attention {
    /// `waiting`, `failing`, `stuck`, `baking`.
    kind: String,
    /// Since when.
    since: At,
}

/// Something that keeps it from moving by itself.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Hold")]
struct Held {
    /// What kind.
    #[schemars(extend("enum" = ["manual", "step", "gate", "stopped", "inconclusive", "freeze", "backend"]))]
    kind: &'static str,
    /// Since when.
    since: At,
    /// When it ends by itself.
    until: Option<At>,
    /// Who did it.
    by: Option<String>,
    /// Why, in one line.
    reason: Option<String>,
    /// The gate, of kind `gate`.
    gate: Option<String>,
    /// The share that was set by hand, in percent, of kind `manual`.
    weight: Option<f64>,
}

impl From<&Hold> for Held {
    fn from(hold: &Hold) -> Self {
        let mut held = Self { kind: hold.kind(), since: At(hold.since()), until: None, by: None, reason: None, gate: None, weight: None };
        match hold {
            Hold::Manual { by, weight, .. } => {
                held.by = Some(by.to_string());
                held.weight = weight.map(crate::model::ratio::Weight::percent);
            }
            Hold::Step { until, .. } => {
                held.until = at(*until);
                held.reason = Some(until.map_or_else(|| "until a person steps".to_owned(), |t| format!("until {}", t.to_rfc3339())));
            }
            Hold::Gate { gate, reason, .. } => {
                held.gate = Some(exact(&gate.0));
                held.reason = Some(format!("{}: {reason}", gate.text()));
            }
            Hold::Freeze { by, reason, until, .. } => {
                held.by = Some(by.to_string());
                held.reason = Some(reason.to_string());
                held.until = at(*until);
            }
            Hold::Stopped { reason, .. } | Hold::Inconclusive { reason, .. } | Hold::Backend { reason, .. } => {
                held.reason = Some(reason.to_string());
            }
        }
        held
    }
}

/// Where in the plan it is.
#[derive(Serialize, JsonSchema)]
struct Step {
    /// Counted from 0; equal to `count` when all are done.
    index: usize,
    /// How many there are.
    count: usize,
    /// What it does; `null` when all are done.
    kind: Option<&'static str>,
    /// In few words.
    label: Option<String>,
    /// When it was entered.
    since: At,
    /// When it ends by itself, if that is known.
    ends_at: Option<At>,
}

impl Step {
    fn of(r: &Rollout) -> Option<Self> {
        let now = r.at?;
        let step = r.steps.get(now.index);
        Some(Self {
            index: now.index,
            count: r.steps.len(),
            kind: step.map(|s| s.spec.kind()),
            label: step.map(|s| s.label.to_string()),
            since: At(now.since),
            ends_at: at(now.ends),
        })
    }
}

/// One step of the plan.
#[derive(Serialize, JsonSchema)]
struct Planned {
    /// What it does.
    #[schemars(extend("enum" = ["weight", "pause", "gate", "check", "warm", "scale", "native"]))]
    kind: &'static str,
    /// In few words.
    label: String,
}

/// The fastest way back.
#[derive(Serialize, JsonSchema)]
struct Back {
    /// How it goes; `null` where there is none.
    #[schemars(extend("enum" = ["switch", "redeploy", "already", null]))]
    how: Option<&'static str>,
    /// The version's label.
    to: Option<String>,
    /// The version.
    version: Option<Version>,
    /// Whether it is there and every check holds.
    ready: bool,
    /// What was checked.
    reasons: Vec<Check>,
    /// Why there is none.
    why: Option<String>,
    /// Since when it is back already.
    since: Option<At>,
    /// What starts by itself once it is back; `revert` calls it off.
    then: Option<String>,
    /// How many steps a re-deploy skips.
    skips: Option<usize>,
    /// How long it took at most; `null` if it was never measured.
    estimate_ms: Option<u64>,
    /// How often it was measured.
    measured: u32,
}

/// One thing that the way back needs.
#[derive(Serialize, JsonSchema)]
struct Check {
    /// What: `artifact`, `store`, `start`, `instances`, `config`, `secrets`, `disk`, `write`.
    name: String,
    /// Whether it is so; `partly` where what lacks is made on the way, as it is meant to be.
    #[schemars(extend("enum" = ["ok", "partly", "bad", "unknown"]))]
    state: &'static str,
    /// What was found.
    detail: String,
    /// When it was looked at.
    at: At,
}

impl From<&Rollout> for Back {
    fn from(r: &Rollout) -> Self {
        use crate::model::back::CheckState;
        let back = &r.back;
        let (how, why, since, skips) = match &back.how {
            How::Switch => (Some("switch"), None, None, None),
            How::Redeploy { steps } => (Some("redeploy"), None, None, Some(*steps)),
            How::Already { since } => (Some("already"), None, Some(At(*since)), None),
            How::None { why } => (None, Some(why.to_string()), None, None),
        };
        let check = |c: &crate::model::back::Check| Check {
            name: c.name.to_string(),
            state: match c.state {
                CheckState::Ok => "ok",
                CheckState::Partly => "partly",
                CheckState::Bad => "bad",
                CheckState::Unknown => "unknown",
            },
            detail: c.detail.to_string(),
            at: At(c.at),
        };
        Self {
            how,
            to: back.to.as_ref().map(|v| v.label.to_string()),
            version: back.to.as_ref().map(Version::from),
            ready: back.is_ready(),
            reasons: back.checks.iter().map(check).collect(),
            why,
            since,
            then: back.then.as_ref().map(ToString::to_string),
            skips,
            estimate_ms: back.measured.map(|m| ms(m.worst)),
            measured: back.measured.map_or(0, |m| m.n),
        }
    }
}

/// Where a picture comes from.
#[derive(Serialize, JsonSchema)]
struct Seen {
    /// The source's clock when it was made.
    server_time: At,
    /// Moves when the source was started again.
    epoch: u64,
    /// Moves with facts.
    rev: u64,
    /// The expected interval between two pictures.
    fresh_for_ms: u64,
}
