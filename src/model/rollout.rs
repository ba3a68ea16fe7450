//! A rollout as it is seen: everything a screen or a script may show of it.

use super::{
    action::Action,
    back::{Proof, WayBack},
    backend::Backend,
    decided::{Alone, Decided, Decision},
    failed::Failed,
    gate::GateState,
    ident::{GateId, Key, Rev, Role, RunId},
    ratio::Weight,
    spec::Strategy,
    step::{Mark, Step, StepAt},
    text::{Raw, Text},
    time::{Time, millis},
    tried::Tried,
    version::{Track, Version},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// A rollout as it is seen.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Rollout {
    /// Which.
    pub key: Key,
    /// Its current or last run; `None` before the first.
    pub run: Option<RunId>,
    /// How a candidate replaces stable here.
    pub strategy: Strategy,
    /// Where it is in its life.
    pub phase: Phase,
    /// Why it is there, in one line.
    #[serde(default)]
    pub reason: Option<Text>,
    /// Who started the run, and when.
    #[serde(default)]
    pub started: Option<Started>,
    /// Everything that keeps it from moving by itself.
    pub holds: Vec<Hold>,
    /// Whether a person is waited for, and since when.
    #[serde(default)]
    pub attention: Option<Attention>,
    /// Its versions, stable first.
    pub tracks: Vec<Track>,
    /// The plan.
    pub steps: Vec<Step>,
    /// Where in the plan it is.
    #[serde(default)]
    pub at: Option<StepAt>,
    /// When the candidate's share changed in this run, oldest first; empty where the runtime does not tell.
    #[serde(default)]
    pub marks: Vec<Mark>,
    /// What happens next.
    pub next: Next,
    /// The gates that are judged now, in the order of the configuration: of the candidate, or of the version that
    /// [stands alone](Self::alone).
    pub gates: Vec<GateState>,
    /// The version that they judge where that is no candidate any more: it has all the traffic and bakes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alone: Option<Alone>,
    /// What was known of the run when its traffic was decided, the newest first: the way back, the promotion.
    /// Empty while it moves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decided: Vec<Decided>,
    /// All gates in one word and one sentence.
    #[serde(default)]
    pub verdict: Option<Summary>,
    /// Since when it has been bad, if it is.
    #[serde(default)]
    pub bad: Option<Bad>,
    /// The way back.
    pub back: WayBack,
    /// What proves the last way back, from the key that asked for it on.
    #[serde(default)]
    pub proof: Option<Proof>,
    /// Who acted last.
    #[serde(default)]
    pub last: Option<LastAction>,
    /// What is wrong beside the signals: drift, a disk that does not answer, connections that outlived a drain.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// Why nothing may move forward here, if so; the way back stays open.
    #[serde(default)]
    pub frozen: Option<Freeze>,
    /// Every version that is remembered, newest first: where an older one can be deployed from.
    #[serde(default)]
    pub versions: Vec<Known>,
    /// Other consoles that look at this rollout.
    #[serde(default)]
    pub present: Vec<Presence>,
    /// What the runtime itself analyses (Argo's analysis runs), beside our gates.
    #[serde(default)]
    pub analyses: Vec<Analysis>,
    /// Versions that the runtime runs beside it for a while (Argo's experiments), oldest first.
    #[serde(default)]
    pub experiments: Vec<Experiment>,
    /// What came of this run's checks and warm-ups, oldest first; where the host made them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<Tried>,
    /// Who else writes it, and would write it back: `Argo CD application shop`.
    #[serde(default)]
    pub owner: Option<Text>,
    /// Where its pod template is when the rollout itself has none: `Deployment/shop`.
    #[serde(default)]
    pub template: Option<Text>,
    /// Who measures it; `None` where nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<MeasuredBy>,
    /// What belongs to it is called so, for queries of a metrics backend: `stable_service`, `canary_service`,
    /// `ingress`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, Raw>,
    /// Where this picture comes from.
    pub seen: Seen,
}

/// Who measures a rollout: where its signals and the numbers of its gates come from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MeasuredBy {
    /// Of the signals of its versions: `counters of the host's own proxy`.
    pub signals: Text,
    /// Of the numbers that its gates are judged by.
    pub gates: Text,
    /// What a metrics backend is asked, by the name of the query, before names are filled in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub queries: BTreeMap<Text, Text>,
    /// Who is asked; `None` where nobody is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<Backend>,
}

impl MeasuredBy {
    /// By whoever routes its requests, and nobody else.
    #[must_use]
    pub fn by_the_host() -> Self {
        let own = Text::from("counters of the host's own proxy");
        Self { signals: own.clone(), gates: own, queries: BTreeMap::new(), backend: None }
    }
}

/// The line is stopped: no deploy, step or promotion.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Freeze {
    /// Who stopped it.
    pub by: Text,
    /// Why.
    pub reason: Text,
    /// Since when.
    pub since: Time,
    /// Until when; `None` until somebody lifts it.
    #[serde(default)]
    pub until: Option<Time>,
}

/// A version that is remembered.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Known {
    /// Which.
    pub version: Version,
    /// What is thought of it.
    pub standing: Standing,
    /// For how long it had all the traffic, in all.
    #[serde(with = "millis")]
    pub proven: Duration,
    /// Parts of one of its requests that failed in that time; `None` if it had none.
    #[serde(default)]
    pub error_ratio: Option<f64>,
    /// When it had traffic last; `None` while it has.
    #[serde(default)]
    pub until: Option<Time>,
    /// Whether its artifact is still there to be deployed.
    pub available: bool,
}

/// What is thought of a version.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Standing {
    /// It baked without a failed gate.
    Good,
    /// It has all the traffic and is not good yet.
    Baking {
        /// When it will be, if nothing happens.
        until: Time,
    },
    /// It never had all the traffic for long enough.
    Unproven,
    /// It was left because it was bad: by a gate or a person.
    Left {
        /// Why.
        reason: Text,
    },
    /// A person took it out of the candidates for the way back.
    Tainted {
        /// Who.
        by: Text,
        /// Why.
        reason: Text,
    },
}

/// Another console that looks at this rollout.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Presence {
    /// Who.
    pub who: Text,
    /// Since when.
    pub since: Time,
    /// Its own name: a console leaves itself out by it.
    #[serde(default)]
    pub console: Text,
}

/// An analysis of the runtime's own.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Analysis {
    /// Its name.
    pub name: Text,
    /// Where it belongs: `step`, `background`, `pre-promotion`, `post-promotion`, `experiment`.
    pub place: Text,
    /// Its state, in the runtime's word.
    pub phase: Text,
    /// Its line of reason.
    #[serde(default)]
    pub message: Option<Text>,
    /// Since when it runs.
    #[serde(default)]
    pub started: Option<Time>,
    /// What it measures.
    pub metrics: Vec<Metric>,
}

/// Versions beside a rollout, for a while.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Experiment {
    /// Its name.
    pub name: Text,
    /// Its state, in the runtime's word.
    pub phase: Text,
    /// Its line of reason.
    #[serde(default)]
    pub message: Option<Text>,
    /// Since when all of its versions are there.
    #[serde(default)]
    pub since: Option<Time>,
    /// When it ends by itself, if it does.
    #[serde(default)]
    pub ends: Option<Time>,
    /// What is measured of it, and with what verdict.
    #[serde(default)]
    pub runs: Vec<ExperimentRun>,
}

/// An analysis of an experiment, in brief; its measurements are among [`Rollout::analyses`], by its name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExperimentRun {
    /// What the experiment calls it.
    pub what: Text,
    /// The name of the analysis.
    pub name: Text,
    /// Its state, in the runtime's word.
    pub phase: Text,
    /// Its line of reason.
    #[serde(default)]
    pub message: Option<Text>,
}

/// One metric of an analysis.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Metric {
    /// Its name.
    pub name: Text,
    /// Its state, in the runtime's word.
    pub phase: Text,
    /// The last values, oldest first, as the runtime prints them.
    pub values: Vec<Text>,
    /// The condition that must hold: `result[0] >= 0.95`.
    #[serde(default)]
    pub condition: Text,
    /// How often it was measured, and how: `5 ok, 1 failed of at most 2`.
    pub counts: MetricCounts,
    /// Whether it is measured without consequences.
    #[serde(default)]
    pub dry_run: bool,
    /// When it was measured last.
    #[serde(default)]
    pub measured: Option<Time>,
    /// When it is measured next, if it is.
    #[serde(default)]
    pub next: Option<Time>,
    /// Its line of reason.
    #[serde(default)]
    pub message: Option<Text>,
    /// What it asks of a Prometheus; `None` of anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// How our own judge takes it, where that was asked for: `gate error-rate`, or why it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ours: Option<Text>,
}

/// What a metric of an analysis asks of a Prometheus. Arguments are filled in, except those that are secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Asked {
    /// The query.
    pub query: Raw,
    /// The condition that must hold; empty for none.
    pub success: Raw,
    /// The condition that must not hold; empty for none.
    pub failure: Raw,
}

/// How often a metric was measured, and with what result.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct MetricCounts {
    /// Successful measurements.
    pub successful: u32,
    /// Failed ones.
    pub failed: u32,
    /// Ones that said neither.
    pub inconclusive: u32,
    /// Ones that could not be made.
    pub error: u32,
    /// More failed ones than this end it; `None` never.
    #[serde(default)]
    pub failure_limit: Option<u32>,
    /// More that said neither than this end it undecided; `None` never.
    #[serde(default)]
    pub inconclusive_limit: Option<u32>,
    /// More in a row that could not be made than this end it; `None` never.
    #[serde(default)]
    pub error_limit: Option<u32>,
    /// How many are to be made; `None` until it is stopped.
    #[serde(default)]
    pub count: Option<u32>,
    /// Between two of them; `None` where it is measured once.
    #[serde(default, with = "millis::option")]
    pub every: Option<Duration>,
    /// So many successful ones in a row end it well; `None` where that is not asked for.
    #[serde(default)]
    pub success_limit: Option<u32>,
    /// Successful ones in a row, up to now.
    #[serde(default)]
    pub successes_in_a_row: u32,
    /// Ones in a row that could not be made, up to now.
    #[serde(default)]
    pub errors_in_a_row: u32,
}

/// Where a rollout is in its life.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing was ever deployed.
    Idle,
    /// It moves by itself.
    Progressing,
    /// It waits: see the holds.
    Held,
    /// Traffic is on its way back.
    Reverting,
    /// All traffic is back on stable.
    Reverted,
    /// The candidate became stable.
    Completed,
    /// It cannot go on: no version serves, or the candidate could not be started.
    Failed,
    /// A word of the runtime that we do not know.
    Unknown(Text),
}

impl Phase {
    /// Its word in JSON and on the screen.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Idle => "idle",
            Self::Progressing => "progressing",
            Self::Held => "held",
            Self::Reverting => "reverting",
            Self::Reverted => "reverted",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// Who started a run, and when.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Started {
    /// The actor.
    pub by: Text,
    /// When.
    pub at: Time,
}

/// Something that keeps a rollout from moving by itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Hold {
    /// A person paused it or set its weight.
    Manual {
        /// Who.
        by: Text,
        /// Since when.
        since: Time,
        /// The share that was set by hand; `None` for a pause.
        #[serde(default)]
        weight: Option<Weight>,
    },
    /// The plan pauses here.
    Step {
        /// Since when.
        since: Time,
        /// Until when; `None` waits for a person.
        until: Option<Time>,
    },
    /// A gate has not passed.
    Gate {
        /// Which.
        gate: GateId,
        /// Since when.
        since: Time,
        /// Its line of reason.
        reason: Text,
    },
    /// It stopped by itself (a restart of the host, a missed deadline) and stays until a person acts: a
    /// step goes on from the current step and skips nothing.
    Stopped {
        /// Since when.
        since: Time,
        /// Why.
        reason: Text,
    },
    /// The runtime's own analysis could not decide.
    Inconclusive {
        /// Since when.
        since: Time,
        /// What.
        reason: Text,
    },
    /// The line is stopped.
    Freeze {
        /// Who stopped it.
        by: Text,
        /// Since when.
        since: Time,
        /// Until when; `None` until somebody lifts it.
        until: Option<Time>,
        /// Why.
        reason: Text,
    },
    /// Instances, a router: something of the runtime.
    Backend {
        /// Since when.
        since: Time,
        /// What.
        reason: Text,
    },
}

impl Hold {
    /// Since when.
    #[must_use]
    pub const fn since(&self) -> Time {
        match self {
            Self::Manual { since, .. }
            | Self::Step { since, .. }
            | Self::Gate { since, .. }
            | Self::Stopped { since, .. }
            | Self::Inconclusive { since, .. }
            | Self::Freeze { since, .. }
            | Self::Backend { since, .. } => *since,
        }
    }

    /// Its word in JSON.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Manual { .. } => "manual",
            Self::Step { .. } => "step",
            Self::Gate { .. } => "gate",
            Self::Stopped { .. } => "stopped",
            Self::Inconclusive { .. } => "inconclusive",
            Self::Freeze { .. } => "freeze",
            Self::Backend { .. } => "backend",
        }
    }
}

/// Why a person is needed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attention {
    /// `failing`, `stuck`, `waiting` for a person, `baking`: it has all the traffic and is not good yet.
    pub kind: Text,
    /// Since when.
    pub since: Time,
}

/// What happens next.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Next {
    /// In one line.
    pub what: Text,
    /// When, if that is known.
    #[serde(default)]
    pub at: Option<Time>,
    /// Who moves: `plan`, `a person`, `nobody`.
    pub by: Text,
}

/// All gates in one word and one sentence.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// `pass`, `fail`, `wait` or `blind`: the worst.
    pub word: Text,
    /// Why.
    pub sentence: Text,
}

/// Since when a rollout has been bad and what that cost.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Bad {
    /// Since when a gate has failed.
    pub since: Time,
    /// Candidate requests that failed since then.
    pub failed: u64,
    /// Failed requests per second that waiting costs: candidate rate × max(0, its error ratio − stable's).
    pub per_second: f64,
    /// The gates that failed and have not passed since.
    #[serde(default)]
    pub gates: Vec<Failed>,
}

/// The last action of anyone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LastAction {
    /// Who.
    pub by: Text,
    /// What.
    pub action: Action,
    /// When it took effect.
    pub at: Time,
    /// What it did to the plan, such as `step 3 → 4`.
    #[serde(default)]
    pub effect: Text,
}

/// Something wrong that is no signal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// `drift`, `disk`, `drain`, `restart`, `secrets`, `taint`, `bake`, `sick` (one instance among its siblings), `leak`.
    pub kind: Text,
    /// In one line.
    pub what: Text,
    /// Since when.
    pub since: Time,
}

/// Where a picture comes from and how long it may be believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Seen {
    /// Moves when the source was started again: revisions of two epochs do not compare.
    pub epoch: u64,
    /// Moves with facts.
    pub rev: Rev,
    /// The source's clock when it was made.
    pub server_time: Time,
    /// The expected interval between two pictures.
    #[serde(with = "millis")]
    pub fresh_for: Duration,
}

impl Rollout {
    /// The track with this role.
    #[must_use]
    pub fn track(&self, role: Role) -> Option<&Track> {
        self.tracks.iter().find(|t| t.role == role)
    }

    /// The stable version's track.
    #[must_use]
    pub fn stable(&self) -> Option<&Track> {
        self.track(Role::Stable)
    }

    /// The candidate's track.
    #[must_use]
    pub fn candidate(&self) -> Option<&Track> {
        self.track(Role::Candidate)
    }

    /// The gates of the run: as they stand, or as they stood beside stable when it was decided. Those of a version
    /// that stands alone are no part of it.
    #[must_use]
    pub fn run_gates(&self) -> &[GateState] {
        // What went back from its bake did so for what it did alone.
        match self.decided.iter().find(|d| d.beside.is_some() || d.what == Decision::WentBack) {
            Some(decided) => &decided.gates,
            None if self.alone.is_some() => &[],
            None => &self.gates,
        }
    }

    /// The gate that speaks for all: by [`GateState::place`], the first of equals. One that has failed and has not
    /// passed since goes before what merely waits.
    #[must_use]
    pub fn worst_gate(&self) -> Option<&GateState> {
        self.gates.iter().min_by_key(|g| (g.place() > 0 && !self.has_failed(g), g.place()))
    }

    /// Whether a gate that decides has failed and has not passed since, whatever it says now.
    #[must_use]
    pub fn has_failed(&self, gate: &GateState) -> bool {
        self.failure(gate).is_some()
    }

    /// The same, with when and why.
    #[must_use]
    pub fn failure(&self, gate: &GateState) -> Option<&Failed> {
        self.failed().iter().find(|f| f.gate == gate.id).filter(|_| !gate.verdict.passed())
    }

    /// The same of a gate that says something else by now.
    #[must_use]
    pub fn failed_before(&self, gate: &GateState) -> Option<&Failed> {
        self.failure(gate).filter(|_| !gate.verdict.fails())
    }

    /// Every gate that failed and has not passed since.
    #[must_use]
    pub fn failed(&self) -> &[Failed] {
        self.bad.as_ref().map(|bad| bad.gates.as_slice()).unwrap_or_default()
    }
}
