//! From raw samples to what came between two of them. Pure, and the same whatever order samples come in.
//!
//! `increase` over consecutive windows loses what lies between the last sample of one and the first of the
//! next, and scales the rest. Here every sample is used once, from the one before it on, however often and
//! however late it is answered:
//!
//! - a counter that goes down was reset, and its new value came since;
//! - a series that begins on a target that was scraped before, by this query or by another one, began at
//!   zero, so its first value counts: the first error of a version is not lost;
//! - a series on a target that was never seen has its zero point at its first sample. The target may be as
//!   new as it looks, or old and only now scraped, and nothing in the samples tells which: its whole life
//!   would come as one burst. What is lost is one scrape interval of a new instance, in errors and in
//!   requests alike;
//! - no number, infinite or negative values (stale markers too) are no samples.

mod native;
mod targets;

use super::{
    Labels, Series, Value,
    outcome::{Outcome, Values},
};
use crate::model::time::Time;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};
pub use targets::Targets;

/// Samples this much older than a series' newest are forgotten, and come too late to be counted.
const KEPT: chrono::Duration = chrono::Duration::minutes(15);

/// A target that was silent for so long is forgotten with its series.
const GONE: chrono::Duration = chrono::Duration::hours(1);

/// A target that was silent for so long is not waited for any more.
const LEFT: chrono::Duration = chrono::Duration::minutes(10);

/// Over more than this a gauge is not assumed to have stayed what it was.
const LEVEL_HOLDS: chrono::Duration = chrono::Duration::minutes(5);

/// How labels of a series are read.
#[derive(Clone, PartialEq, Debug)]
pub struct Reads {
    /// See [`super::preset::Queries`].
    pub code_label: Option<String>,
    /// Likewise.
    pub code_values: Values,
    /// Likewise.
    pub grpc_label: Option<String>,
    /// Likewise.
    pub instance_label: Option<String>,
    /// A label whose value changes while the series goes on: it is no part of what a series is.
    pub changing_label: Option<String>,
    /// By what `le` is multiplied to be in milliseconds; `None` where there are no buckets.
    pub to_millis: Option<f64>,
    /// Whether it is a gauge, whose value counts per second.
    pub level: bool,
}

/// What is told apart of what is counted.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Class {
    /// What became of it.
    pub outcome: Option<Outcome>,
    /// Its gRPC code, where that is another label.
    pub grpc: Option<Outcome>,
    /// The upper edge of its bucket in milliseconds; infinite for all.
    pub edge: Option<f64>,
    /// On which instance; `None` where they cannot be told apart.
    pub instance: Option<Arc<str>>,
}

/// What came until a sample since the one before.
#[derive(Clone, PartialEq, Debug)]
pub struct Increment {
    /// When that sample was taken.
    pub at: Time,
    /// How many; for a gauge, its value times seconds.
    pub amount: f64,
    /// What.
    pub class: Arc<Class>,
}

/// How many of the targets of one query are heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Coverage {
    /// Targets whose newest sample is at most three scrapes older than the newest of all.
    pub fresh: usize,
    /// Targets.
    pub all: usize,
    /// As old as this is what they say: the newest sample, or, where most of them are silent, that of the
    /// middle one.
    pub sampled: Time,
}

/// All series of one query of one version.
#[derive(Debug)]
pub struct Counter {
    reads: Reads,
    tracks: HashMap<(Labels, u64), Track>,
    /// First and newest sample of each target of these series.
    targets: HashMap<Labels, (Time, Time)>,
    /// From when on samples were wanted, and until when a first one does not mean that a series is new.
    watched: Option<(Time, Time)>,
    /// Series of which it is not known yet whether they began at zero.
    undecided: BTreeSet<(Labels, u64)>,
    /// The first sample of each instance that was born while this was watching.
    born: HashMap<Arc<str>, Time>,
    known: HashMap<Arc<str>, Time>,
    /// When targets appeared while this was watching.
    appeared: BTreeSet<Time>,
    newest: Option<Time>,
    started: bool,
    /// Whether the last answer had a series that was not known, or not so.
    grew: bool,
}

/// One counter in an answer.
struct Line {
    labels: Labels,
    edge: f64,
    target: Labels,
    /// The value of the label that changes.
    variant: Option<String>,
    /// Oldest first.
    points: Vec<(Time, f64)>,
}

#[derive(Debug)]
struct Track {
    target: Labels,
    class: Arc<Class>,
    /// Oldest first; the first of them is the zero point, or counts itself.
    samples: Vec<(Time, f64)>,
    from_zero: bool,
    /// The first one, while it may turn out to count itself.
    zero: Option<(Time, f64)>,
    /// Older samples are not known any more.
    forgotten: bool,
    /// What the label that changes said with the newest sample.
    variant: Option<String>,
}

impl Counter {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new(reads: Reads) -> Self {
        Self {
            reads,
            tracks: HashMap::new(),
            targets: HashMap::new(),
            watched: None,
            undecided: BTreeSet::new(),
            born: HashMap::new(),
            known: HashMap::new(),
            appeared: BTreeSet::new(),
            newest: None,
            started: false,
            grew: false,
        }
    }

    /// The newest sample that was used.
    #[must_use]
    pub const fn newest(&self) -> Option<Time> {
        self.newest
    }

    /// How many of its targets were scraped lately; `None` before any was. One that was silent for ten
    /// minutes, or for twice `stale`, is no target any more: it was scaled away.
    #[must_use]
    pub fn coverage(&self, scrape: chrono::Duration, stale: chrono::Duration) -> Option<Coverage> {
        let newest = self.newest?;
        let mut last: Vec<Time> =
            self.targets.values().map(|(_, last)| *last).filter(|last| newest - *last <= LEFT.max(stale * 2)).collect();
        last.sort_unstable_by(|a, b| b.cmp(a));
        let fresh = last.iter().filter(|last| newest - **last <= scrape * 3).count();
        let middle = last.get(last.len().saturating_sub(1) / 2).copied();
        Some(Coverage { fresh, all: last.len(), sampled: if fresh * 2 < last.len() { middle? } else { newest } })
    }

    /// How many series there are.
    #[must_use]
    pub fn series(&self) -> usize {
        self.tracks.len()
    }

    /// Whether the last answer had a series that was not known, or one whose changing label has another value.
    #[must_use]
    pub const fn has_grown(&self) -> bool {
        self.grew
    }

    /// Whether both count one and the same series: all of its labels are the same, the changing one too as it
    /// was seen last. Two versions that only that one tells apart are two, at any one time.
    #[must_use]
    pub fn shares_series(&self, other: &Self) -> bool {
        let is_other = |series, track: &Track| other.tracks.get(series).is_some_and(|other| other.variant == track.variant);
        self.tracks.iter().any(|(series, track)| is_other(series, track))
    }

    /// When an instance was seen first, if it was born while this was watching.
    #[must_use]
    pub fn born(&self, instance: &str) -> Option<Time> {
        self.born.get(instance).copied()
    }

    /// When targets appeared while this was watching.
    pub fn appeared(&self) -> impl Iterator<Item = Time> {
        self.appeared.iter().copied()
    }

    /// Takes in the samples of a window that begins at `from`, and notes who was scraped when. In its first
    /// one and a half scrapes (`scrape` is how often) a first sample does not mean that anything is new.
    /// What came is in no order; [`Self::births`] has the rest.
    pub fn take(&mut self, series: &[Series], from: Time, scrape: chrono::Duration, targets: &mut Targets) -> Vec<Increment> {
        let early = from + scrape * 3 / 2;
        self.watched.get_or_insert((from, early));
        let lines: Vec<Line> = series.iter().flat_map(|one| self.read(one, early, targets)).collect();
        // Instances first: whether a sample is of one that warms up must not depend on the order.
        for line in &lines {
            self.note_birth(line, early);
        }
        let (before, mut turned) = (self.tracks.len(), false);
        let mut all = Vec::new();
        for Line { labels, edge, target, variant, points } in lines {
            let key = (labels, edge.to_bits());
            let reads = &self.reads;
            // Another edge of a histogram that was there is nothing that began.
            let may_be_new = !reads.level && !self.tracks.contains_key(&(key.0.clone(), f64::INFINITY.to_bits()));
            if may_be_new && !self.tracks.contains_key(&key) {
                self.undecided.insert(key.clone());
            }
            let track = self.tracks.entry(key).or_insert_with_key(|(labels, _)| Track {
                target,
                class: Arc::new(class(reads, labels, edge)),
                samples: Vec::new(),
                from_zero: false,
                zero: points.first().copied().filter(|_| may_be_new),
                forgotten: false,
                variant: None,
            });
            turned |= track.turn(variant, &points);
            for (at, value) in points {
                if let Some(amount) = track.add(at, value, reads.level) {
                    all.push(Increment { at, amount, class: track.class.clone() });
                }
            }
            track.trim();
        }
        self.started |= !series.is_empty();
        self.grew = turned || self.tracks.len() > before;
        self.forget();
        all
    }

    /// First values of series that began on a target that was scraped before. Which ones those are may turn
    /// out when another query is answered.
    pub fn births(&mut self, targets: &Targets) -> Vec<Increment> {
        let Some((from, early)) = self.watched else { return Vec::new() };
        let (tracks, newest) = (&mut self.tracks, self.newest);
        let mut came = Vec::new();
        self.undecided.retain(|key| {
            let Some(track) = tracks.get_mut(key) else { return false };
            let Some((at, amount)) = track.zero.filter(|(at, _)| *at > early && newest.is_none_or(|newest| newest - *at < GONE)) else {
                track.zero = None;
                return false;
            };
            if !targets.was_scraped(&track.target, from, at) {
                return true;
            }
            (track.zero, track.from_zero) = (None, true);
            came.push(Increment { at, amount, class: track.class.clone() });
            false
        });
        came
    }

    /// A series as counters, and who was scraped when.
    fn read(&mut self, one: &Series, early: Time, targets: &mut Targets) -> Vec<Line> {
        let target = self.target(&one.labels);
        let changing = self.reads.changing_label.as_deref();
        let labels = changing.map_or_else(|| one.labels.clone(), |name| one.labels.without(&[name]));
        let variant = changing.and_then(|name| one.labels.get(name));
        let mut read = Vec::new();
        for (edge, points) in lines(one, self.reads.to_millis) {
            let (Some((first, _)), Some((last, _))) = (points.first().copied(), points.last().copied()) else { continue };
            if (self.started || first > early) && !self.targets.contains_key(&target) {
                self.appeared.insert(first);
            }
            if read.is_empty() {
                targets.note(&target, &points);
            }
            let seen = self.targets.entry(target.clone()).or_insert((first, last));
            *seen = (seen.0.min(first), seen.1.max(last));
            self.newest = self.newest.max(Some(last));
            read.push(Line { labels: labels.clone(), edge, target: target.clone(), variant: variant.map(str::to_owned), points });
        }
        read
    }

    /// Notes since when an instance is seen, and whether it began while this was watching.
    fn note_birth(&mut self, line: &Line, early: Time) {
        let Some(name) = self.reads.instance_label.as_deref().and_then(|label| line.labels.get(label)) else { return };
        let Some((first, _)) = line.points.first().copied() else { return };
        match self.known.get_mut(name) {
            None => {
                let name: Arc<str> = name.into();
                if self.started || first > early {
                    self.born.insert(name.clone(), first);
                }
                self.known.insert(name, first);
            }
            Some(seen) if first < *seen => {
                *seen = first;
                if let Some(born) = self.born.get_mut(name) {
                    *born = first;
                }
            }
            Some(_) => {}
        }
    }

    /// What tells targets apart: who was scraped. A series that came without them is told by its instance.
    fn target(&self, labels: &Labels) -> Labels {
        let names = ["job", "instance"].into_iter().chain(self.reads.instance_label.as_deref());
        let scraped = labels.get("instance").is_some();
        let of = names.take(if scraped { 2 } else { 3 });
        Labels::new(of.filter_map(|name| Some((name.to_owned(), labels.get(name)?.to_owned()))))
    }

    fn forget(&mut self) {
        let Some(newest) = self.newest else { return };
        self.targets.retain(|_, (_, last)| newest - *last < GONE);
        let targets = &self.targets;
        // A series is measured against its own target: while that is silent, all of it may come back.
        self.tracks.retain(|_, track| {
            let last = track.samples.last().map(|(at, _)| *at);
            targets.get(&track.target).zip(last).is_some_and(|((_, newest), last)| *newest - last < KEPT)
        });
        let tracks = &self.tracks;
        self.targets.retain(|target, _| tracks.values().any(|t| t.target == *target));
        let lately = |at: &Time| newest - *at < GONE * 24;
        self.born.retain(|_, at| lately(at));
        self.appeared.retain(lately);
        let instances: std::collections::HashSet<&Arc<str>> = tracks.values().filter_map(|t| t.class.instance.as_ref()).collect();
        self.known.retain(|name, _| instances.contains(name));
    }
}

impl Track {
    /// Notes what the changing label says, if these are the newest samples. True where it said something else.
    fn turn(&mut self, variant: Option<String>, points: &[(Time, f64)]) -> bool {
        let is_newer = points.last().map(|(at, _)| *at) > self.samples.last().map(|(at, _)| *at);
        let turns = is_newer && self.variant != variant;
        if turns {
            self.variant = variant;
        }
        turns
    }

    /// What a sample adds. One between two others adds what a reset between them hid, which is never
    /// less than nothing.
    fn add(&mut self, at: Time, value: f64, level: bool) -> Option<f64> {
        let place = match self.samples.binary_search_by_key(&at, |(at, _)| *at) {
            Ok(_) => return None,
            Err(place) => place,
        };
        let before = place.checked_sub(1).and_then(|i| self.samples.get(i)).copied();
        let next = self.samples.get(place).copied();
        if before.is_none() && self.forgotten {
            return None;
        }
        if before.is_none() && self.zero.is_some() {
            self.zero = Some((at, value));
        }
        self.samples.insert(place, (at, value));
        let first = |v: f64| if self.from_zero && !level { v } else { 0.0 };
        let step = |from: (Time, f64), to: (Time, f64)| match level {
            true => from.1 * (to.0 - from.0).min(LEVEL_HOLDS).as_seconds_f64(),
            false => rise(from.1, to.1),
        };
        let now = (at, value);
        Some(match (before, next) {
            (None, None) => first(value),
            (Some(before), None) => step(before, now),
            (None, Some(next)) => first(value) + step(now, next) - first(next.1),
            (Some(before), Some(next)) => step(before, now) + step(now, next) - step(before, next),
        })
    }

    fn trim(&mut self) {
        let Some((newest, _)) = self.samples.last().copied() else { return };
        let old = self.samples.partition_point(|(at, _)| newest - *at > KEPT);
        if old > 0 {
            self.samples.drain(..old);
            self.forgotten = true;
        }
    }
}

/// What a counter grew by between two samples.
fn rise(from: f64, to: f64) -> f64 {
    if to >= from { to - from } else { to }
}

fn class(reads: &Reads, labels: &Labels, edge: f64) -> Class {
    let label = |name: &Option<String>| name.as_deref().and_then(|name| labels.get(name));
    Class {
        outcome: label(&reads.code_label).and_then(|value| reads.code_values.read(value)),
        grpc: label(&reads.grpc_label).and_then(|value| Values::Grpc.read(value)),
        edge: reads.to_millis.map(|_| edge),
        instance: label(&reads.instance_label).map(Into::into),
    }
}

/// The class of an aggregated series.
#[must_use]
pub fn class_of(reads: &Reads, labels: &Labels) -> Class {
    let edge = reads.to_millis.map_or(0.0, |scale| edge(labels, scale).unwrap_or(f64::INFINITY));
    class(reads, labels, edge)
}

/// Counters of a series: itself, or the buckets of a native histogram as if they were classic ones.
fn lines(series: &Series, to_millis: Option<f64>) -> Vec<(f64, Vec<(Time, f64)>)> {
    let number = |value: &Value| match value {
        Value::Number(n) => (n.is_finite() && *n >= 0.0).then_some(*n),
        Value::Histogram(native) => (to_millis.is_none() && native.count.is_finite() && native.count >= 0.0).then_some(native.count),
    };
    let mut numbers: Vec<(Time, f64)> = series.points.iter().filter_map(|p| Some((p.at, number(&p.value)?))).collect();
    numbers.sort_by_key(|(at, _)| *at);
    let Some(scale) = to_millis else { return vec![(0.0, numbers)] };
    let mut lines = Vec::new();
    if let Some(edge) = edge(&series.labels, scale) {
        lines.push((edge, numbers));
    }
    lines.extend(native::lines(series, scale));
    lines
}

/// The upper edge of a classic bucket in milliseconds.
fn edge(labels: &Labels, scale: f64) -> Option<f64> {
    let le: f64 = labels.get("le")?.parse().ok()?;
    (le >= 0.0).then_some(le * scale)
}

/// Counts per bucket from counts at or below each edge, which aggregation and lateness may have put out of
/// order: none is less than nothing.
#[must_use]
pub fn buckets(cumulative: &BTreeMap<u64, f64>) -> crate::model::interval::Buckets {
    let mut out = crate::model::interval::Buckets::default();
    let mut below = 0.0;
    for (bits, count) in cumulative {
        let edge = f64::from_bits(*bits);
        if edge.is_finite() {
            out.edges.push(edge);
        }
        out.counts.push((count - below).max(0.0));
        below = count.max(below);
    }
    if out.counts.len() == out.edges.len() {
        // Without a bucket for all of them nothing is known above the last edge.
        out.counts.push(0.0);
    }
    out
}

#[cfg(test)]
mod tests;
