//! What people can do to a rollout: actions, what they believed, the calls that carry them out,
//! and what became of them.

use super::{
    ident::{ActionId, GateId, Key, Rev, RunId, VersionId},
    ratio::Weight,
    text::{Raw, Text},
    time::{Time, millis},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What to do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verb")]
pub enum Action {
    /// Leave the current step as passed.
    Step,
    /// Leave a gate that has not passed; [`ActionRequest::reason`](super::wire::ActionRequest) is required.
    SkipGate,
    /// Stop moving.
    Pause,
    /// Lift a manual pause (and a weight set by hand).
    Resume,
    /// Finish the rollout now.
    Promote,
    /// All traffic to this version, the fastest way.
    Back {
        /// The version the person saw as the way back.
        to: VersionId,
    },
    /// The same candidate again, from step 0, with fresh instances.
    Retry,
    /// Give the candidate this share and hold there.
    SetWeight {
        /// The candidate's share.
        weight: Weight,
    },
    /// Deploy an older version again, through the plan.
    Undo {
        /// Which.
        to: VersionId,
    },
    /// Stop the line: no deploy, step or promotion.
    Freeze {
        /// Until when; `None` until it is lifted.
        until: Option<Time>,
    },
    /// Lift a freeze.
    Thaw,
    /// Take a version out of the candidates for the way back.
    Taint {
        /// Which.
        version: VersionId,
    },
}

impl Action {
    /// Its verb, as on the command line.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Step | Self::SkipGate => "step",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Promote => "promote",
            Self::Back { .. } => "revert",
            Self::Retry => "retry",
            Self::SetWeight { .. } => "weight",
            Self::Undo { .. } => "undo",
            Self::Freeze { .. } => "freeze",
            Self::Thaw => "thaw",
            Self::Taint { .. } => "taint",
        }
    }

    /// The verb in the past, for "ana paused it 8 s ago".
    #[must_use]
    pub const fn past(&self) -> &'static str {
        match self {
            Self::Step => "stepped",
            Self::SkipGate => "skipped a gate",
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Promote => "promoted",
            Self::Back { .. } => "went back",
            Self::Retry => "retried",
            Self::SetWeight { .. } => "set the weight",
            Self::Undo { .. } => "deployed an older version",
            Self::Freeze { .. } => "stopped the line",
            Self::Thaw => "lifted the freeze",
            Self::Taint { .. } => "tainted a version",
        }
    }
}

/// What a person saw when they decided. The way back believes only in `key`, `run` and its own `to`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Belief {
    /// Which rollout.
    pub key: Key,
    /// Which run of it.
    pub run: Option<RunId>,
    /// The facts it was decided on.
    pub rev: Rev,
    /// The step that was current, from 0.
    pub at: Option<usize>,
    /// The stable version.
    pub stable: Option<VersionId>,
    /// The candidate.
    pub candidate: Option<VersionId>,
}

/// The exact calls that carry out an action, to be shown before they are sent.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// What it does.
    pub action: Action,
    /// The name under which it is sent.
    pub id: ActionId,
    /// What it was made from.
    pub belief: Belief,
    /// In a few words: `BACK by switch, about 1 s`.
    pub title: Text,
    /// In the order they are sent; every prefix is safe.
    pub calls: Vec<Call>,
    /// Each weight before and after.
    pub weights: Vec<Shift>,
    /// What else to know: instances touched, steps skipped, gates not passed.
    pub notes: Vec<Text>,
    /// What speaks against it, without blocking it.
    pub warns: Vec<Text>,
    /// How long it takes, if that was measured.
    #[serde(with = "millis::option", default)]
    pub takes: Option<Duration>,
    /// Whether a reason must be given.
    #[serde(default)]
    pub needs_reason: bool,
}

/// A track's weight before and after a plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Shift {
    /// The version's label.
    pub version: Text,
    /// Now.
    pub before: Weight,
    /// Then.
    pub after: Weight,
}

/// One request of a plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Call {
    /// HTTP method.
    pub verb: Text,
    /// Path at the target.
    pub path: Raw,
    /// JSON body.
    pub body: serde_json::Value,
    /// What must still be so for the target to carry it out.
    pub guard: Guard,
    /// Whether sending it twice does no more than once.
    pub repeatable: bool,
}

/// What must still be so when a call arrives.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// The target compares these facts itself.
    Facts(Vec<Fact>),
    /// Nothing is compared: read back afterwards.
    ReadBack,
}

/// A fact that a guard compares.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fact {
    /// Its name: `run`, `step`, `stable`, `candidate`, `to`.
    pub name: Text,
    /// What it must be.
    pub is: Raw,
}

/// What the target answered.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// Nothing was done.
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// It was taken; done only when an observation confirms it.
    Accepted {
        /// Whether anything had to change.
        changed: bool,
        /// When the target took it.
        at: Time,
    },
    /// Some calls were taken, the next failed.
    Partial {
        /// How many.
        done: usize,
        /// What then went wrong.
        then: Text,
    },
    /// It was sent and no answer came: resolved by observation, never sent again blindly.
    Unknown {
        /// When it was sent.
        sent: Time,
        /// What went wrong.
        why: Text,
    },
}

/// Why nothing was done.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum Refusal {
    /// It is so already.
    #[error("{what}")]
    AlreadySo {
        /// Since when and by whom.
        what: Text,
    },
    /// What the action was decided on is too old to act on.
    #[error("the view is stale: {what}")]
    Stale {
        /// How old.
        what: Text,
    },
    /// A guarded fact moved.
    #[error("{what}")]
    Moved {
        /// Which, from what to what, by whom.
        what: Text,
    },
    /// It makes no sense now.
    #[error("{why}")]
    NotNow {
        /// Why, and what could be done instead.
        why: Text,
    },
    /// Whoever asked may not.
    #[error("denied: {what}")]
    Denied {
        /// What is missing.
        what: Text,
    },
    /// A gate speaks against it.
    #[error("gate {} has not passed: {why}", gate.text())]
    Guarded {
        /// Which.
        gate: GateId,
        /// Its line of reason.
        why: Text,
    },
    /// The line is stopped.
    #[error("frozen {why}")]
    Frozen {
        /// Why and until when.
        why: Text,
    },
    /// This target cannot do that.
    #[error("this target cannot {verb}")]
    Unsupported {
        /// What.
        verb: Text,
    },
    /// This target is read-only.
    #[error("this target is read-only")]
    ReadOnly,
}

impl Refusal {
    /// Its word in JSON.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::AlreadySo { .. } => "already_so",
            Self::Stale { .. } => "stale",
            Self::Moved { .. } => "moved",
            Self::NotNow { .. } => "not_now",
            Self::Denied { .. } => "denied",
            Self::Guarded { .. } => "guarded",
            Self::Frozen { .. } => "frozen",
            Self::Unsupported { .. } => "unsupported",
            Self::ReadOnly => "read_only",
        }
    }
}

/// What was seen after an action.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "observation")]
pub enum Observation {
    /// It is so.
    Confirmed,
    /// What is still not true.
    Pending {
        /// In one line.
        missing: Text,
    },
    /// Somebody else made it otherwise.
    Contradicted {
        /// Who, or what.
        by: Text,
    },
}
