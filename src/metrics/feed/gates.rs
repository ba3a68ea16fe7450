//! Intervals of one gate that are not over: increments are kept until every query was answered for later.

use super::{CANDIDATE, STABLE};
use crate::{
    metrics::{
        counting::{self, Increment},
        outcome::Outcome,
    },
    model::{
        interval::{Buckets, Count, Interval, Latency},
        spec::{GateSignal, GateSpec},
        time::{Time, elapsed},
    },
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Fewer latencies than this say nothing of a p99.
const ENOUGH: f64 = 100.0;

/// A version that was silent for longer holds up no interval.
const SILENT: chrono::Duration = chrono::Duration::minutes(10);

/// Increments that may wait; with more the oldest are given up.
const WAITING: usize = 400_000;

/// What decides where intervals end and what they say.
pub struct Closing<'a> {
    /// From when on which share.
    pub course: &'a [(Time, Option<f64>)],
    /// What is slow.
    pub slow: &'a Slow,
    /// When something of the version that is judged began to serve. Counts that name their instance are
    /// judged by when that one was born; an interval with others is shown as a whole.
    pub births: &'a [Birth],
    /// See [`super::Pace::settles`].
    pub settles: Duration,
}

/// Something began to serve then. Where a backend adds up, only between which two of its windows is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Birth {
    /// Not before.
    pub earliest: Time,
    /// Not after.
    pub latest: Time,
}

impl From<Time> for Birth {
    fn from(at: Time) -> Self {
        Self { earliest: at, latest: at }
    }
}

impl Birth {
    /// Whether it was too short a time ago in some part of an interval.
    fn warms(self, (start, end): (Time, Time), warmup: chrono::Duration) -> bool {
        self.earliest <= end && start - self.latest < warmup
    }
}

/// One gate's interval.
#[derive(Debug)]
pub struct Open {
    /// Whose.
    pub gate: GateSpec,
    /// Whether two versions are compared.
    pub has_candidate: bool,
    since: Time,
    /// The end of the last interval.
    start: Time,
    /// The last end that was passed.
    passed: Time,
    pieces: Vec<Piece>,
    /// The newest sample of each version up to there.
    last: [Option<Time>; 2],
}

#[derive(Debug)]
struct Piece {
    arm: usize,
    hits: bool,
    of: bool,
    /// It reached no instance.
    beside: bool,
    warming: bool,
    came: Increment,
}

/// What one version counted in an interval.
#[derive(Debug, Default)]
struct Sum {
    count: Count,
    /// At or below each edge, by its bits: edges are not negative, so bits sort as they do.
    below: BTreeMap<u64, f64>,
    instances: BTreeMap<Arc<str>, Count>,
    /// Whether one of its buckets ends where slow begins.
    tells_slow: bool,
}

impl Open {
    /// From `since` on.
    pub const fn new(gate: GateSpec, since: Time, has_candidate: bool) -> Self {
        Self { gate, has_candidate, since, start: since, passed: since, pieces: Vec::new(), last: [None; 2] }
    }

    /// Takes in what came. What came before the beginning is nobody's; what is late belongs to the
    /// interval that is open.
    pub fn add(&mut self, arm: usize, (hits, of): (bool, bool), came: &[Increment], is_warming: impl Fn(&Increment) -> bool) {
        let latency = self.gate.signal.is_latency();
        for i in came.iter().filter(|i| i.at > self.since) {
            self.pieces.push(Piece { arm, hits, of, beside: false, warming: latency && is_warming(i), came: i.clone() });
        }
        self.give_up();
    }

    /// Takes in requests that reached no instance. They are counted in the intervals of the others: who sent them is
    /// scraped at other moments than instances are.
    pub fn add_beside(&mut self, arm: usize, came: &[Increment]) {
        for i in came.iter().filter(|i| i.at > self.since && i.amount > 0.0) {
            self.pieces.push(Piece { arm, hits: true, of: true, beside: true, warming: false, came: i.clone() });
        }
        self.give_up();
    }

    fn give_up(&mut self) {
        if self.pieces.len() > WAITING {
            self.pieces.sort_by_key(|p| p.came.at);
            self.pieces.drain(..WAITING / 2);
        }
    }

    /// The intervals that are over by `until`.
    pub fn close(&mut self, until: Time, closing: &Closing<'_>, least_phi: f64) -> Vec<Interval> {
        let mut closed = Vec::new();
        // In one order, so that sums of fractions are the same however they came.
        self.pieces.sort_by_key(|p| (p.came.at, p.arm));
        while let Some(end) = self.next_end(closing.course).filter(|end| *end <= until) {
            self.passed = end;
            let arms: &[usize] = if self.has_candidate { &[CANDIDATE, STABLE] } else { &[STABLE] };
            let mut new = [false; 2];
            for piece in self.pieces.iter().take_while(|p| p.came.at <= end).filter(|p| !p.beside) {
                if let (Some(new), Some(last)) = (new.get_mut(piece.arm), self.last.get_mut(piece.arm)) {
                    *new |= piece.of && piece.came.at > self.start;
                    *last = (*last).max(Some(piece.came.at));
                }
            }
            let is_new = |arm: &usize| new.get(*arm).copied().unwrap_or_default();
            let speaks = |arm: &usize| self.last.get(*arm).copied().flatten().is_some_and(|last| end - last < SILENT);
            // Counts of both are of the same time: a version whose sample is missing is waited for.
            if !arms.iter().any(is_new) || arms.iter().any(|arm| speaks(arm) && !is_new(arm)) {
                continue;
            }
            closed.extend(self.sum(end, closing, least_phi));
        }
        closed
    }

    fn next_end(&self, course: &[(Time, Option<f64>)]) -> Option<Time> {
        let step = i64::try_from(self.gate.interval.as_millis()).unwrap_or(i64::MAX).max(1_000);
        let on_clock = Time::from_timestamp_millis((self.passed.timestamp_millis().div_euclid(step) + 1).checked_mul(step)?)?;
        let moved = course.iter().map(|(from, _)| *from).find(|from| *from > self.passed);
        Some(moved.map_or(on_clock, |moved| moved.min(on_clock)))
    }

    fn sum(&mut self, end: Time, closing: &Closing<'_>, least_phi: f64) -> Option<Interval> {
        let over = self.pieces.partition_point(|p| p.came.at <= end);
        let slow = closing.slow.at(self.start);
        let mut sums = [Sum::default(), Sum::default()];
        let mut warmed = Sum::default();
        let mut newest = self.start;
        // A version that stands alone is measured as stable is.
        let judged = if self.has_candidate { CANDIDATE } else { STABLE };
        let mut is_nameless = false;
        for piece in self.pieces.drain(..over) {
            // What is counted beside says nothing of how far the others are.
            if !piece.beside {
                newest = newest.max(piece.came.at);
                is_nameless |= piece.arm == judged && piece.came.class.instance.is_none();
            }
            match sums.get_mut(piece.arm) {
                Some(_) if piece.warming && piece.arm == CANDIDATE => warmed.add(&self.gate, &piece, slow),
                Some(_) if piece.warming => {}
                Some(sum) => sum.add(&self.gate, &piece, slow),
                None => {}
            }
        }
        let start = std::mem::replace(&mut self.start, newest);
        if newest <= start || (self.gate.signal == GateSignal::Slow && slow.is_none()) {
            return None;
        }
        // Without such a bucket all of its requests would look slow.
        let cannot_tell = |sum: &Sum| self.gate.signal == GateSignal::Slow && sum.count.of > 0.0 && !sum.tells_slow;
        if sums.iter().any(cannot_tell) {
            return None;
        }
        let [candidate, stable] = sums;
        let warmup = super::span(self.gate.warmup);
        let warming = self.gate.signal.is_latency() && is_nameless && closing.births.iter().any(|b| b.warms((start, newest), warmup));
        let course = closing.course.iter().rev().find(|(from, _)| *from < newest);
        // What was not scraped yet is not missing.
        let unseen = |from: Time, share: f64| share > 0.0 && candidate.count.of <= 0.0 && elapsed(newest, from) < closing.settles;
        let share = course.and_then(|(from, share)| share.filter(|share| !unseen(*from, *share)));
        Some(Interval {
            share,
            warming,
            latency: self.gate.signal.quantile().map(|_| Latency { candidate: candidate.buckets(), stable: stable.buckets() }),
            instances: if stable.instances.len() > 1 { stable.instances.values().copied().collect() } else { Vec::new() },
            warmed: if cannot_tell(&warmed) { Count::default() } else { warmed.count },
            least_phi,
            ..Interval::new(start, newest, candidate.count, stable.count)
        })
    }
}

impl Sum {
    fn add(&mut self, gate: &GateSpec, piece: &Piece, slow: Option<f64>) {
        let class = &piece.came.class;
        let amount = piece.came.amount;
        if let Some(edge) = class.edge {
            let all = edge.is_infinite();
            self.tells_slow |= slow.is_some_and(|slow| is_edge(edge, slow));
            // Slow is what is not at or below the edge.
            let hits = match slow.filter(|_| gate.signal == GateSignal::Slow) {
                Some(slow) if is_edge(edge, slow) => -amount,
                Some(_) if all => amount,
                _ => 0.0,
            };
            self.put(Count::new(hits, if all { amount } else { 0.0 }), class.instance.as_ref());
            if gate.signal.quantile().is_some() {
                *self.below.entry(edge.to_bits()).or_default() += amount;
            }
            return;
        }
        let late = piece.beside && gate.signal == GateSignal::Timeouts;
        let is_hit = |outcome: Outcome| if late { outcome.is_timeout() } else { outcome.is_any(&gate.errors) };
        let failed = || [class.outcome, class.grpc].into_iter().flatten().any(is_hit);
        let counts = piece.hits && (!piece.of || failed());
        let count = Count::new(if counts { amount } else { 0.0 }, if piece.of { amount } else { 0.0 });
        self.put(count, class.instance.as_ref());
    }

    fn put(&mut self, count: Count, instance: Option<&Arc<str>>) {
        self.count += count;
        if let Some(name) = instance {
            *self.instances.entry(name.clone()).or_default() += count;
        }
    }

    fn buckets(&self) -> Buckets {
        counting::buckets(&self.below)
    }
}

/// Whether a bucket ends where slow begins. The one is in milliseconds of the series, the other went
/// through a state in whole microseconds.
pub fn is_edge(edge: f64, slow: f64) -> bool {
    (edge - slow).abs() <= 1e-3 + slow * 1e-9
}

/// What is slow: the edge of the bucket nearest to stable's p99, frozen with the run.
#[derive(Debug)]
pub struct Slow {
    from: Option<Duration>,
    /// From when on that is known.
    known: Time,
    /// Not before this: the run's beginning.
    since: Time,
    waiting: Vec<Increment>,
    below: BTreeMap<u64, f64>,
    settled: Option<Time>,
}

impl Slow {
    /// `from` is what was frozen before.
    pub const fn new(from: Option<Duration>, since: Time) -> Self {
        Self { from, known: since, since, waiting: Vec::new(), below: BTreeMap::new(), settled: None }
    }

    /// Stable's latencies.
    pub fn add(&mut self, came: &[Increment]) {
        if self.from.is_none() {
            let early = super::before(self.since, super::BEFORE);
            self.waiting.extend(came.iter().filter(|i| i.at > early).cloned());
        }
    }

    /// Freezes it with what was measured when the run began, or else as soon as that is enough: sample by
    /// sample, so that it is the same edge whenever they were read.
    pub fn settle(&mut self, until: Option<Time>) {
        self.settled = self.settled.max(until);
        let Some(until) = until else { return };
        if self.from.is_some() {
            return;
        }
        self.waiting.sort_by_key(|i| i.at);
        let ready = self.waiting.partition_point(|i| i.at <= until);
        let ready: Vec<Increment> = self.waiting.drain(..ready).collect();
        for together in ready.chunk_by(|a, b| a.at == b.at) {
            let Some(at) = together.first().map(|i| i.at) else { continue };
            if at > self.since && self.freeze(self.since) {
                return;
            }
            for i in together {
                if let Some(edge) = i.class.edge {
                    *self.below.entry(edge.to_bits()).or_default() += i.amount;
                }
            }
            if at > self.since && self.freeze(at) {
                return;
            }
        }
        if until >= self.since {
            self.freeze(self.since);
        }
    }

    fn freeze(&mut self, at: Time) -> bool {
        let buckets = counting::buckets(&self.below);
        let Some(edge) = nearest_edge(&buckets, 0.99).filter(|_| buckets.counts.iter().sum::<f64>() >= ENOUGH) else { return false };
        self.from = Duration::try_from_secs_f64(edge / 1_000.0).ok();
        self.known = at;
        self.waiting.clear();
        self.from.is_some()
    }

    /// What was frozen.
    pub const fn from(&self) -> Option<Duration> {
        self.from
    }

    /// The same in milliseconds.
    pub fn millis(&self) -> Option<f64> {
        self.from.map(|d| d.as_secs_f64() * 1_000.0)
    }

    /// What it is for an interval that began then. What was known when the run began holds before it too.
    fn at(&self, start: Time) -> Option<f64> {
        self.millis().filter(|_| self.known <= start.max(self.since))
    }

    /// Until when it is decided; intervals after that wait.
    pub fn settled(&self) -> Option<Time> {
        if self.from.is_some() { Some(Time::MAX_UTC) } else { self.settled }
    }
}

/// The edge nearest to a quantile, which is assumed to lie evenly in its bucket; above all edges, the last.
fn nearest_edge(buckets: &Buckets, q: f64) -> Option<f64> {
    let wanted = q * buckets.counts.iter().sum::<f64>();
    let (mut below, mut low) = (0.0, 0.0);
    for (edge, count) in buckets.edges.iter().zip(&buckets.counts) {
        if below + count >= wanted && *count > 0.0 {
            let inside = (wanted - below) / count;
            return Some(if inside < 0.5 && low > 0.0 { low } else { *edge });
        }
        below += count;
        low = *edge;
    }
    buckets.edges.last().copied()
}
