//! The way back: is it ready, and has it worked.

use super::{
    ratio::Ratio,
    text::Text,
    time::{Time, millis},
    version::Version,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The fastest way back now.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct WayBack {
    /// The version it goes to.
    #[serde(default)]
    pub to: Option<Version>,
    /// How.
    pub how: How,
    /// What was checked, each with its own age.
    pub checks: Vec<Check>,
    /// How long it took so far; only when it was measured.
    #[serde(default)]
    pub measured: Option<Measured>,
    /// The version that starts by itself once it is back, as a deploy that replaces another does. Going back
    /// calls that off, also where it goes back already.
    #[serde(default)]
    pub then: Option<Text>,
}

/// How the way back goes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum How {
    /// Stable's instances are there: a switch of weights.
    Switch,
    /// The version is started again, the plan's steps are skipped.
    Redeploy {
        /// How many are skipped.
        steps: usize,
    },
    /// It was gone already.
    Already {
        /// Since when.
        since: Time,
    },
    /// There is nowhere to go.
    None {
        /// Why, and what could be deployed.
        why: Text,
    },
}

/// One thing the way back needs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Check {
    /// What: `artifact`, `store`, `start` (command, user, ports, room), `instances`, `config`, `secrets`,
    /// `disk`, `write`.
    pub name: Text,
    /// Whether it is so.
    pub state: CheckState,
    /// What was found, in few words.
    pub detail: Text,
    /// When it was looked at.
    pub at: Time,
}

/// Whether a check holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// It does.
    Ok,
    /// In part: what lacks is made on the way, as it is meant to be. Going back takes longer, and works.
    Partly,
    /// It does not; the way back is tried all the same.
    Bad,
    /// Not looked at yet.
    Unknown,
}

/// How long something took so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// The median, if there were enough to speak of one.
    #[serde(with = "millis::option", default)]
    pub usual: Option<Duration>,
    /// The longest.
    #[serde(with = "millis")]
    pub worst: Duration,
    /// Of how many.
    pub n: u32,
}

impl WayBack {
    /// Whether it is there and every check holds, or will on the way.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let holds = |c: &Check| matches!(c.state, CheckState::Ok | CheckState::Partly);
        matches!(self.how, How::Switch | How::Redeploy { .. }) && self.checks.iter().all(holds)
    }
}

/// What proves that a way back worked: what is already true, and what is not yet.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Proof {
    /// The version that was left.
    pub left: Version,
    /// When the switch was asked for.
    pub asked: Time,
    /// What the router says of the left version now.
    pub programmed: Ratio,
    /// The last request that started on the left version; `None` if it never had one.
    #[serde(default)]
    pub last_request: Option<Time>,
    /// Requests that started on it after the router was switched. Must stay 0.
    pub requests_after: u64,
    /// Requests still in flight on it.
    pub in_flight: u64,
    /// Upgraded connections (websockets) still open on it.
    pub upgraded: u64,
    /// When it will be safe if nothing happens.
    #[serde(default)]
    pub safe_at: Option<Time>,
    /// Since when the left version had no request, once all of it holds.
    #[serde(default)]
    pub safe_since: Option<Time>,
    /// Since when the left version had no request, where nothing is missing but requests: none has come to any
    /// version for so long that it would be safe with them. Routed, and not proved: silence proves nothing.
    #[serde(default)]
    pub unproved_since: Option<Time>,
    /// What is still not true, worst first.
    #[serde(default)]
    pub missing: Vec<Text>,
}

/// How far the proof of a way back is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proved {
    /// Something is not true yet.
    Waiting,
    /// All that can be seen without requests is; none has come. It goes on by itself with the first one.
    Unproved,
    /// All of it.
    Safe,
}

impl Proved {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Unproved => "unproved",
            Self::Safe => "safe",
        }
    }
}

impl Proof {
    /// How far it is.
    #[must_use]
    pub const fn proved(&self) -> Proved {
        match (self.safe_since, self.unproved_since) {
            (Some(_), _) => Proved::Safe,
            (None, Some(_)) => Proved::Unproved,
            (None, None) => Proved::Waiting,
        }
    }
}
