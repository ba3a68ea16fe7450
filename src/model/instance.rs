//! Running copies of a version.

use super::{ident::InstanceId, text::Text, time::Time, version::Part};
use serde::{Deserialize, Serialize};

/// Instances of one version in one place.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Pool {
    /// The region, zone or group; empty where there is one only.
    #[serde(default)]
    pub name: Text,
    /// How many there should be.
    pub desired: u32,
    /// How many may get traffic.
    pub ready: u32,
    /// How often one of them was started again, in all.
    pub restarts: u32,
    /// Each of them, oldest first.
    #[serde(default)]
    pub instances: Vec<Instance>,
    /// Whether only their numbers are known: none of them is seen, nor how often it was started again.
    #[serde(default)]
    pub unseen: bool,
    /// What becomes of them by themselves, if that is decided.
    #[serde(default)]
    pub fate: Option<Fate>,
}

/// What becomes of instances that are not wanted any more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Fate {
    /// They are stopped then.
    Stopped {
        /// When.
        at: Time,
    },
    /// They stay until somebody stops them.
    Kept {
        /// Why.
        why: Text,
    },
}

/// One running copy.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Instance {
    /// Its name.
    pub id: InstanceId,
    /// Where it is in its life.
    pub state: InstanceState,
    /// Since when it is in that state.
    pub since: Time,
    /// When it came to be, where the runtime keeps that.
    #[serde(default)]
    pub created: Option<Time>,
    /// Its process, while there is one.
    #[serde(default)]
    pub pid: Option<u32>,
    /// Its port, once it was handed out.
    #[serde(default)]
    pub port: Option<u16>,
    /// How often it was started again.
    #[serde(default)]
    pub restarts: u32,
    /// Why it is not ready, or why it ended last: exit code, signal, probe.
    #[serde(default)]
    pub reason: Option<Text>,
    /// Requests it is answering.
    #[serde(default)]
    pub in_flight: u64,
    /// The machine it runs on, where there are several.
    #[serde(default)]
    pub node: Option<Text>,
    /// What it runs, as it was seen to run.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// What it uses, where that is measured.
    #[serde(default)]
    pub usage: Option<Usage>,
    /// Why it is the sick one among healthy ones, if it is.
    #[serde(default)]
    pub sick: Option<Text>,
}

/// What an instance uses. What is not known is not zero.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Cores, over the last 10 s; nothing before it was read twice.
    #[serde(default)]
    pub cpu: Option<f64>,
    /// Resident bytes.
    #[serde(default)]
    pub memory: Option<u64>,
    /// By how many bytes per hour its memory grows, once that can be said.
    #[serde(default)]
    pub memory_slope: Option<f64>,
    /// Open file descriptors, where they may be counted.
    #[serde(default)]
    pub descriptors: Option<u32>,
    /// Probes that failed since it was ready for the first time, where probes are made.
    #[serde(default)]
    pub probe_failures: Option<u64>,
}

/// Where an instance is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// Its process runs, its readiness is not yet known.
    Starting,
    /// It may get traffic.
    Ready,
    /// It runs and must not get traffic.
    NotReady,
    /// It ended and waits to be started again.
    BackOff,
    /// It finishes what it has.
    Draining,
    /// It ended for good.
    Ended,
}

impl InstanceState {
    /// Its word on the screen.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::NotReady => "not ready",
            Self::BackOff => "back-off",
            Self::Draining => "draining",
            Self::Ended => "ended",
        }
    }
}
