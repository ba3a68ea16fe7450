//! What a source of measurements hands to the judge: counts of both versions in one interval, how far
//! its samples can be trusted, and the queries they came from. The host's own counters and a metrics
//! backend speak this alike.

use super::{
    gate::Arm,
    text::Text,
    time::{Time, millis},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `hits` of `of`: failed requests of requests, restarts of ready instance-seconds. Differences of raw
/// samples, so neither has to be whole.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Count {
    /// Those that count.
    pub hits: f64,
    /// All of them.
    pub of: f64,
}

/// One interval of one gate's signal, both versions over the same time.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Interval {
    /// When it began: the end of the one before.
    pub start: Time,
    /// When it ended: the time of its newest sample.
    pub end: Time,
    /// The candidate's.
    pub candidate: Count,
    /// Stable's.
    pub stable: Count,
    /// Stable's, instance by instance, where they can be told apart. Empty otherwise.
    #[serde(default)]
    pub instances: Vec<Count>,
    /// The share of the requests that the candidate should have had, parts of one; `None` where nobody
    /// knows. Without it a candidate that nothing reaches cannot be told from a quiet service.
    #[serde(default)]
    pub share: Option<f64>,
    /// Whether an instance of the candidate was still warming up and cannot be told from the others:
    /// such an interval is shown, and not judged for latency.
    #[serde(default)]
    pub warming: bool,
    /// What went to instances of the candidate that were still warming up and can be told from the others: shown,
    /// and no part of what is judged.
    #[serde(default)]
    pub warmed: Count,
    /// Latencies of both versions, for gates over quantiles.
    #[serde(default)]
    pub latency: Option<Latency>,
    /// The dispersion is at least this: 1 for counts that are exact, 2 where they were extrapolated.
    #[serde(default = "one")]
    pub least_phi: f64,
}

/// Latencies of both versions in one interval.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    /// The candidate's.
    pub candidate: Buckets,
    /// Stable's.
    pub stable: Buckets,
}

/// A histogram: how many latencies lie in each bucket.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Buckets {
    /// Upper edges in milliseconds, rising, inclusive.
    pub edges: Vec<f64>,
    /// How many lie in each; one more than edges, the last for what is above them all.
    pub counts: Vec<f64>,
}

impl Interval {
    /// An interval of exact counts.
    #[must_use]
    pub const fn new(start: Time, end: Time, candidate: Count, stable: Count) -> Self {
        Self {
            start,
            end,
            candidate,
            stable,
            instances: Vec::new(),
            share: None,
            warming: false,
            warmed: Count::new(0.0, 0.0),
            latency: None,
            least_phi: 1.0,
        }
    }
}

impl Count {
    /// `hits` of `of`.
    #[must_use]
    pub const fn new(hits: f64, of: f64) -> Self {
        Self { hits, of }
    }

    /// Parts of one; `None` of nothing.
    #[must_use]
    pub fn ratio(self) -> Option<f64> {
        (self.of > 0.0).then(|| self.hits / self.of)
    }
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.hits += other.hits;
        self.of += other.of;
    }
}

/// How far a measured series can be trusted now.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Sensor {
    /// What is measured, and where: `requests of canary`.
    pub name: Text,
    /// Of which version; both when it is common.
    pub arm: Arm,
    /// Its state.
    pub state: SensorState,
    /// How old its newest sample is; `None` without one.
    #[serde(with = "millis::option", default)]
    pub age: Option<Duration>,
    /// Whether the gate cannot be judged without it.
    #[serde(default)]
    pub required: bool,
}

/// The state of a sensor. Four of the five are not "ok", and they are four different things.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SensorState {
    /// It was measured within the expected interval.
    Fresh,
    /// The newest sample is too old.
    Stale,
    /// There is no such series.
    Absent,
    /// There was nothing to measure, although there should have been.
    ZeroTraffic,
    /// Two sources disagree: the proxy says 5xx, the service says none.
    Contradictory,
}

impl SensorState {
    /// Its words on the screen.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Absent => "absent",
            Self::ZeroTraffic => "no traffic",
            Self::Contradictory => "contradictory",
        }
    }
}

/// A question that was asked of a metrics backend, kept as evidence.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Query {
    /// What it asks for: `errors of canary`.
    pub name: Text,
    /// As it was sent.
    pub text: Text,
    /// The time it was evaluated for.
    pub at: Time,
    /// What the backend warned of; any warning means a partial answer.
    #[serde(default)]
    pub warnings: Vec<Text>,
    /// What the backend remarked of the query; the answer is whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub infos: Vec<Text>,
}

const fn one() -> f64 {
    1.0
}
