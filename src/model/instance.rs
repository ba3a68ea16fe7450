//! Running copies of a version.

use super::{
    ident::InstanceId,
    text::Text,
    time::{Time, millis, spell},
    version::Part,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

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
    /// By how many bytes per hour its memory grows since it is warm, once that can be said; 0 is flat.
    #[serde(default)]
    pub memory_slope: Option<f64>,
    /// Over what time that was measured.
    #[serde(default, with = "millis::option")]
    pub memory_over: Option<Duration>,
    /// Open file descriptors, where they may be counted.
    #[serde(default)]
    pub descriptors: Option<u32>,
    /// Probes that failed since it was ready for the first time, where probes are made.
    #[serde(default)]
    pub probe_failures: Option<u64>,
}

/// How the memory of an instance went since it was warm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Growth {
    /// By so many bytes; 0 is flat.
    pub bytes: u64,
    /// In this time.
    #[serde(with = "millis")]
    pub over: Duration,
}

/// Growth is a leak once it is this part of what the instance took when it was warm.
const LEAK: u64 = 10;

impl Growth {
    /// `512 MB in 3 h 10 m`; `flat`.
    #[must_use]
    pub fn text(&self) -> String {
        if self.bytes == 0 { "flat".into() } else { format!("{} in {}", size(self.bytes), spell(self.over)) }
    }
}

impl Usage {
    /// How its memory went since it was warm, once that can be said.
    #[must_use]
    pub fn growth(&self) -> Option<Growth> {
        let (slope, over) = (self.memory_slope.filter(|s| s.is_finite())?, self.memory_over?);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; saturates")]
        let bytes = (slope.max(0.0) * over.as_secs_f64() / 3_600.0) as u64;
        Some(Growth { bytes: bytes.min(self.memory.unwrap_or(bytes)), over })
    }

    /// Whether it takes more and more: it grew by a tenth of what it took when it was warm, and goes on.
    #[must_use]
    pub fn leaks(&self) -> bool {
        self.growth()
            .zip(self.memory)
            .is_some_and(|(growth, now)| growth.bytes > 0 && growth.bytes.saturating_mul(LEAK) >= now - growth.bytes)
    }
}

/// Bytes in at most 8 columns: `512 B`, `1.2 kB`, `340 MB`. Thousands, as disks and networks count; cut
/// off, never rounded up.
#[must_use]
pub fn size(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..1_000 => return format!("{bytes} B"),
        1_000..1_000_000 => (1_000, "kB"),
        1_000_000..1_000_000_000 => (1_000_000, "MB"),
        1_000_000_000..1_000_000_000_000 => (1_000_000_000, "GB"),
        _ => (1_000_000_000_000, "TB"),
    };
    let (whole, tenth) = (bytes / unit, bytes % unit * 10 / unit);
    if whole < 10 && tenth > 0 { format!("{whole}.{tenth} {name}") } else { format!("{} {name}", whole.min(9_999)) }
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
