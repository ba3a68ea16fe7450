//! Gates and their verdicts.

use super::{
    ident::GateId,
    signal::{Sample, SignalId},
    spec::OnFail,
    text::Text,
    time::{Time, millis},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A gate as it stands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GateState {
    /// Its name.
    pub id: GateId,
    /// What it looks at.
    pub signal: SignalId,
    /// The rule in words: `at most stable + 1 pp, at most 5 %`.
    pub rule: Text,
    /// What a failure does.
    pub on_fail: OnFail,
    /// What it says.
    pub verdict: Verdict,
    /// Since when it says so.
    pub since: Time,
    /// What it rests on.
    #[serde(default)]
    pub evidence: Option<Evidence>,
}

/// The numbers a verdict rests on, counted since this weight converged.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Evidence {
    /// The candidate's.
    pub candidate: Sample,
    /// Stable's.
    pub stable: Sample,
    /// Percent.
    pub limit: f64,
    /// Percentage points.
    pub margin: f64,
    /// Since when they are counted.
    pub since: Time,
}

/// What a gate says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "word")]
pub enum Verdict {
    /// The candidate is good enough.
    Pass {
        /// One line.
        why: Text,
    },
    /// It is not.
    Fail {
        /// Who is sick.
        who: Arm,
        /// One line.
        why: Text,
    },
    /// Not enough evidence yet.
    Wait {
        /// What is missing, in one line.
        missing: Text,
        /// When it will be there at this traffic.
        #[serde(with = "millis::option", default)]
        eta: Option<Duration>,
    },
    /// A needed signal is not fresh.
    Blind {
        /// Which and since when, in one line.
        why: Text,
    },
}

/// Which side is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The candidate alone.
    Candidate,
    /// Stable alone.
    Stable,
    /// Both: going back does not help.
    Both,
}

impl Verdict {
    /// `pass`, `FAIL`, `WAIT` or `BLIND`, as on the screen.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Pass { .. } => "pass",
            Self::Fail { .. } => "FAIL",
            Self::Wait { .. } => "WAIT",
            Self::Blind { .. } => "BLIND",
        }
    }

    /// Its line of reason.
    #[must_use]
    pub const fn reason(&self) -> &Text {
        match self {
            Self::Pass { why } | Self::Fail { why, .. } | Self::Blind { why } => why,
            Self::Wait { missing, .. } => missing,
        }
    }

    /// Whether a plan may go on.
    #[must_use]
    pub const fn passed(&self) -> bool {
        matches!(self, Self::Pass { .. })
    }

    /// How bad it is: fail, blind, wait, pass.
    #[must_use]
    pub const fn rank(&self) -> u8 {
        match self {
            Self::Fail { .. } => 0,
            Self::Blind { .. } => 1,
            Self::Wait { .. } => 2,
            Self::Pass { .. } => 3,
        }
    }
}
