//! The port to whatever keeps series of measurements: what can be asked of it, and what it answers.
//!
//! ```text
//! preset     what a stack's series are called          ─┐
//! template   names of a rollout put into them           ├─► questions ─► backend ─► answers, as series
//! counting   raw samples → what came between two looks  │
//! feed       answers → intervals, sensors, signals     ─┘  judged by `judge`, drawn by the console
//! ```
//!
//! A backend is only asked. It never waits and asks again by itself, and what it cannot answer is a
//! [`Trouble`], never a number.

pub mod alerts;
pub mod borrowed;
pub mod check;
pub mod counting;
mod counts;
pub mod feed;
pub mod outcome;
pub mod preset;
pub mod prometheus;
pub mod recording;
mod selector;
pub mod template;
pub mod traffic;

use crate::model::{
    backend::Backend,
    text::{Raw, Text},
    time::Time,
};
use std::{collections::BTreeMap, fmt, future::Future, time::Duration};

/// A backend that says when it wants to be asked again is asked no later than this: a gate that is blind for
/// an hour because a proxy said so helps nobody.
pub const SPARED: Duration = Duration::from_secs(60);

/// What is said of a query whose series are those of both versions: each would look as good as the other.
pub const TOGETHER: &str = "it counts both versions together: tell them apart by {{version}}, {{pod_hash}} or another label";

/// A metrics backend.
pub trait Metrics: Send + Sync + 'static {
    /// What a query is at a time: one point of every series, or, for a selector of a range, all the raw
    /// samples in it.
    fn instant(&self, query: &str, at: Time) -> impl Future<Output = Result<Answer, Trouble>> + Send;

    /// What a query is at times `step` apart, both ends included.
    fn range(&self, query: &str, from: Time, to: Time, step: Duration) -> impl Future<Output = Result<Answer, Trouble>> + Send;

    /// The alerts that fire now.
    fn alerts(&self) -> impl Future<Output = Result<Vec<Alert>, Trouble>> + Send;

    /// Its address without anything secret, for faults and evidence.
    fn place(&self) -> &Text;

    /// How it was met so far; `None` where nobody is asked, such as a file.
    fn met(&self) -> Option<Backend> {
        None
    }

    /// Whether it can know of a selector at all: a backend that is asked now can, a file has what was kept.
    fn keeps(&self, _selector: &str) -> bool {
        true
    }
}

/// What was answered.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Answer {
    /// Unsorted; no two have the same labels.
    pub series: Vec<Series>,
    /// What the backend warned of. With any warning the answer is partial.
    pub warnings: Vec<Text>,
    /// What the backend remarks of the query: that it is not of a counter, say. The answer is whole.
    pub infos: Vec<Text>,
    /// How far the backend's clock is ahead of ours; negative when it is behind, `None` when it did not
    /// say. Whole seconds, so up to one second means nothing.
    pub ahead: Option<chrono::Duration>,
}

/// Clocks that differ by more put samples at the wrong step.
const APART: chrono::Duration = chrono::Duration::seconds(2);

impl Answer {
    /// That the clock of `place`, which answered, is not like ours, in one line; `None` where it is.
    #[must_use]
    pub fn clock_is_apart(&self, place: &Text) -> Option<String> {
        let ahead = self.ahead.filter(|ahead| ahead.abs() > APART)?;
        let way = if ahead > chrono::Duration::zero() { "ahead of" } else { "behind" };
        Some(format!("the clock of {place} is {} s {way} this one", ahead.num_seconds().abs()))
    }
}

/// One series.
#[derive(Clone, PartialEq, Debug)]
pub struct Series {
    /// What it is told apart by, its name included (`__name__`).
    pub labels: Labels,
    /// Oldest first.
    pub points: Vec<Point>,
}

/// One sample.
#[derive(Clone, PartialEq, Debug)]
pub struct Point {
    /// When it was taken; of an instant query the time that was asked for.
    pub at: Time,
    /// What it was.
    pub value: Value,
}

/// The value of a sample.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// A number; not always a finite one.
    Number(f64),
    /// A native histogram.
    Histogram(Native),
}

/// A native histogram: disjoint buckets with counts of their own.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Native {
    /// Observations.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// Lower edge, upper edge, observations between them; rising.
    pub buckets: Vec<(f64, f64, f64)>,
}

/// The labels of a series, sorted by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Labels(Vec<(Raw, Raw)>);

impl Labels {
    /// In any order; of two labels of one name the last one counts.
    #[must_use]
    pub fn new(labels: impl IntoIterator<Item = (String, String)>) -> Self {
        let sorted: std::collections::BTreeMap<String, String> = labels.into_iter().collect();
        Self(sorted.into_iter().map(|(name, value)| (Raw::new(name), Raw::new(value))).collect())
    }

    /// The exact value of a label.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(label, _)| label.as_str().cmp(name)).ok()?;
        self.0.get(at).map(|(_, value)| value.as_str())
    }

    /// All of them but these.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Self {
        Self(self.0.iter().filter(|(name, _)| !names.contains(&name.as_str())).cloned().collect())
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// An alert that fires.
#[derive(Clone, PartialEq, Debug)]
pub struct Alert {
    /// Its labels, its name included (`alertname`).
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
    /// Since when it is active.
    pub since: Time,
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Trouble {
    /// Nobody answers there.
    #[error("cannot reach {place}: {why}")]
    Unreachable {
        /// Address.
        place: Text,
        /// What the system says.
        why: Text,
    },
    /// It wants to know who we are, or does not let us.
    #[error("{place} denies access: {why}")]
    Denied {
        /// Address.
        place: Text,
        /// Status, and what it says.
        why: Text,
    },
    /// There is nothing to prove who we are with.
    #[error("no credential for {place}: {why}")]
    NoCredential {
        /// Address.
        place: Text,
        /// Why.
        why: Text,
    },
    /// It was given so long and did not answer.
    #[error("{place} did not answer within {seconds} s")]
    Slow {
        /// Address.
        place: Text,
        /// The limit.
        seconds: u64,
    },
    /// It cannot answer now: too many queries, or it is starting.
    #[error("{place} is busy: {why}")]
    Busy {
        /// Address.
        place: Text,
        /// Status, and what it says.
        why: Text,
        /// When it wants to be asked again.
        after: Option<Duration>,
    },
    /// The query does not parse.
    #[error("not a query: {why}")]
    Query {
        /// What the backend says of it.
        why: Text,
    },
    /// The query cannot be computed.
    #[error("the query fails: {why}")]
    Failed {
        /// What the backend says of it.
        why: Text,
    },
    /// More was answered than is taken.
    #[error("{place} answers more than {limit} bytes: the query matches too many series")]
    TooLarge {
        /// Address.
        place: Text,
        /// In bytes.
        limit: usize,
    },
    /// What came cannot be understood: a page of a proxy, say.
    #[error("{place} answers something else: {what}")]
    Protocol {
        /// Address.
        place: Text,
        /// What.
        what: Text,
    },
}

/// Where queries were written, so that a person finds the one that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Origin {
    /// The preset that has the others.
    pub preset: String,
    /// In which line of the configuration a query stands, by its name.
    pub lines: BTreeMap<String, usize>,
}

impl Origin {
    /// What a person has to know about what `place` answered to the query of this name, in one line; `None`
    /// where all is well.
    #[must_use]
    pub fn remark(&self, name: &str, place: &Text, answer: &Result<Answer, Trouble>) -> Option<Text> {
        match answer {
            Ok(answer) => answer.clock_is_apart(place).map(Text::from),
            Err(why) if why.is_about_the_query() => {
                let at = match self.lines.get(name) {
                    Some(line) => format!("query `{name}` at line {line}"),
                    None => format!("query `{name}` of the preset `{}`", self.preset),
                };
                Some(format!("{at}: {why}").into())
            }
            Err(why) => Some(why.to_string().into()),
        }
    }
}

impl Trouble {
    /// Whether it is the query that must be mended.
    #[must_use]
    pub const fn is_about_the_query(&self) -> bool {
        matches!(self, Self::Query { .. } | Self::Failed { .. } | Self::TooLarge { .. })
    }

    /// Whether asking again, later, may help.
    #[must_use]
    pub const fn passes(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Slow { .. } | Self::Busy { .. })
    }
}

impl fmt::Display for Labels {
    /// `{a="b", c="d"}`, cleaned.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.0.iter().enumerate() {
            write!(f, "{}{}=\"{}\"", if i == 0 { "" } else { ", " }, name.text(), value.text())?;
        }
        f.write_str("}")
    }
}
