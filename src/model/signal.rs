//! Measured series of a version.

use super::time::millis;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Which series.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalId {
    /// Requests per second.
    Requests,
    /// Share answered with 5xx or not at all.
    Errors,
    /// Share slower than stable's p99 at the start of the run.
    Slow,
    /// Median time to the response head.
    P50,
    /// 95th percentile of the time to the response head.
    P95,
    /// 99th percentile of the time to the response head.
    P99,
    /// Share that was not answered in time.
    Timeouts,
    /// Instances that were started again.
    Restarts,
    /// Cores in use, all instances.
    Cpu,
    /// Resident bytes, all instances.
    Memory,
    /// Requests meant for the version while it had no ready instance.
    Unavailable,
    /// Alerts that fire.
    Alerts,
}

impl SignalId {
    /// Its word in JSON, configuration and on the screen.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Errors => "errors",
            Self::Slow => "slow",
            Self::P50 => "p50",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::Timeouts => "timeouts",
            Self::Restarts => "restarts",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Unavailable => "unavailable",
            Self::Alerts => "alerts",
        }
    }
}

/// One series now.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Signal {
    /// Of its value.
    pub unit: Unit,
    /// What it covers.
    #[serde(with = "millis")]
    pub window: Duration,
    /// What is known.
    pub reading: Reading,
}

/// Units of a signal's value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Requests per second.
    PerSecond,
    /// Parts of one.
    Ratio,
    /// Milliseconds.
    Millis,
    /// Requests, restarts.
    Count,
    /// Cores.
    Cores,
    /// Bytes.
    Bytes,
}

/// What is known of a signal. No data, old data, no traffic and contradiction are four things, and
/// none of them is a value.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// Measured within the expected interval.
    Fresh(Sample),
    /// Measured too long ago.
    Stale {
        /// What it was.
        last: Sample,
        /// How long ago.
        #[serde(with = "millis")]
        age: Duration,
    },
    /// Never measured.
    Absent,
    /// There was nothing to measure.
    ZeroTraffic,
    /// Two sources disagree.
    Contradictory(Sample, Sample),
}

/// A measured value and what it rests on.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sample {
    /// `hits` of `of`.
    Counts {
        /// Those that count.
        hits: f64,
        /// All of them.
        of: f64,
    },
    /// A value.
    Gauge {
        /// In the signal's unit.
        value: f64,
        /// How many observations it rests on.
        n: u64,
    },
    /// No value, and what it is no less than: a quantile in the last bucket of a histogram, which has no
    /// upper edge.
    Floor {
        /// In the signal's unit.
        at_least: f64,
        /// How many observations it rests on.
        n: u64,
    },
}

impl Sample {
    /// In the signal's unit; `None` of nothing, and where only a floor is known.
    #[must_use]
    pub fn value(self) -> Option<f64> {
        match self {
            Self::Counts { hits, of } => (of > 0.0).then(|| hits / of),
            Self::Gauge { value, .. } => Some(value),
            Self::Floor { .. } => None,
        }
    }

    /// What it is no less than, where that is all that is known; in the signal's unit.
    #[must_use]
    pub const fn at_least(self) -> Option<f64> {
        match self {
            Self::Floor { at_least, .. } => Some(at_least),
            Self::Counts { .. } | Self::Gauge { .. } => None,
        }
    }

    /// How many observations it rests on.
    #[must_use]
    pub fn samples(self) -> u64 {
        match self {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count; saturates")]
            Self::Counts { of, .. } => of as u64,
            Self::Gauge { n, .. } | Self::Floor { n, .. } => n,
        }
    }
}

impl Reading {
    /// The sample, only if it is fresh.
    #[must_use]
    pub const fn fresh(&self) -> Option<Sample> {
        match self {
            Self::Fresh(sample) => Some(*sample),
            _ => None,
        }
    }

    /// Its word in JSON.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Fresh(_) => "fresh",
            Self::Stale { .. } => "stale",
            Self::Absent => "absent",
            Self::ZeroTraffic => "zero_traffic",
            Self::Contradictory(..) => "contradictory",
        }
    }
}
