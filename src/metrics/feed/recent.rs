//! What one version did lately: its signals, and points for its sparks.

use super::{Pace, before, gates::is_edge, source::Source};
use crate::{
    metrics::{
        counting::{self, Increment},
        outcome::Outcome,
        preset::{Queries, What},
    },
    model::{
        code::Code,
        history::Point,
        ident::GateId,
        interval::Buckets,
        signal::{Reading, Sample, Signal, SignalId, Unit},
        spec::{GateSignal, GateSpec},
        time::{Time, elapsed},
    },
};
use std::{collections::BTreeMap, time::Duration};

/// What signals cover, where samples come often enough.
const WINDOW: Duration = Duration::from_secs(60);

/// At most so many seconds are added up.
const KEPT: usize = 4_000;

/// Points that nobody fetched.
const POINTS: usize = 2_000;

/// What signals, points and the second source take for an error.
#[derive(Clone, PartialEq, Debug)]
pub enum Failed {
    /// A series of its own counts them.
    Own,
    /// Requests with one of these codes: those of the first gate over errors.
    Coded(Vec<Code>),
    /// Nothing tells them.
    Unknown,
}

impl Failed {
    /// As the first gate over errors says it; 5xx where none does.
    pub fn of(queries: &Queries, gates: &[GateSpec]) -> Self {
        if queries.get(What::Errors).is_some() {
            return Self::Own;
        }
        let usual = || GateSpec::new(GateId::new("errors"), GateSignal::Errors);
        let gate = gates.iter().find(|g| g.signal == GateSignal::Errors).cloned().unwrap_or_else(usual);
        if queries.can_judge(&gate).is_ok() { Self::Coded(gate.errors) } else { Self::Unknown }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct Recent {
    failed: Failed,
    /// A candidate may have nothing but requests that reached no instance of it.
    is_candidate: bool,
    beats: BTreeMap<Time, Beat>,
    /// Up to here points were made.
    pointed: Time,
    points: Vec<Point>,
}

/// What came until one moment.
#[derive(Clone, Debug, Default)]
pub struct Beat {
    pub requests: f64,
    /// Failed ones.
    pub errors: f64,
    pub service_errors: f64,
    pub timeouts: f64,
    pub restarts: f64,
    below: BTreeMap<u64, f64>,
}

impl Beat {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.service_errors += other.service_errors;
        self.timeouts += other.timeouts;
        self.restarts += other.restarts;
        for (edge, n) in &other.below {
            *self.below.entry(*edge).or_default() += n;
        }
    }

    fn buckets(&self) -> Buckets {
        counting::buckets(&self.below)
    }

    /// Slower than an edge, of all; `None` where no bucket ends there.
    fn slow(&self, from: f64) -> Option<Sample> {
        let buckets = self.buckets();
        if !buckets.edges.iter().any(|edge| is_edge(*edge, from)) {
            return None;
        }
        let fast: f64 = buckets.edges.iter().zip(&buckets.counts).filter(|(e, _)| **e <= from || is_edge(**e, from)).map(|(_, n)| n).sum();
        let of: f64 = buckets.counts.iter().sum();
        Some(Sample::Counts { hits: of - fast, of })
    }
}

impl Recent {
    /// From `since` on.
    pub const fn new(since: Time, failed: Failed) -> Self {
        Self { failed, is_candidate: false, beats: BTreeMap::new(), pointed: since, points: Vec::new() }
    }

    /// Of the candidate.
    pub const fn of_candidate(mut self) -> Self {
        self.is_candidate = true;
        self
    }

    /// Takes in what came of one query.
    pub fn add(&mut self, what: What, came: &[Increment]) {
        let failed = |i: &Increment| {
            let is_any = |codes: &[Code]| [i.class.outcome, i.class.grpc].into_iter().flatten().any(|outcome| outcome.is_any(codes));
            match &self.failed {
                Failed::Coded(codes) => is_any(codes),
                Failed::Own => what.is_beside() && is_any(&Code::usual()),
                Failed::Unknown => false,
            }
        };
        for i in came {
            let beat = self.beats.entry(i.at).or_default();
            match what {
                What::Requests => {
                    beat.requests += i.amount;
                    beat.errors += if failed(i) { i.amount } else { 0.0 };
                }
                What::Unreached | What::Unserved => {
                    beat.requests += i.amount;
                    beat.errors += if failed(i) { i.amount } else { 0.0 };
                    beat.timeouts += if i.class.outcome.is_some_and(Outcome::is_timeout) { i.amount } else { 0.0 };
                }
                What::Errors => beat.errors += i.amount,
                What::ServiceErrors => beat.service_errors += i.amount,
                What::Timeouts => beat.timeouts += i.amount,
                What::Restarts => beat.restarts += i.amount,
                What::Latency => {
                    if let Some(edge) = i.class.edge {
                        *beat.below.entry(edge.to_bits()).or_default() += i.amount;
                    }
                }
                What::Ready | What::Cpu | What::Memory => {}
            }
        }
    }

    /// Makes the points that are over, and forgets what no signal covers any more.
    pub fn settle(&mut self, until: Option<Time>, slow: Option<f64>, every: Duration) {
        let Some(until) = until else { return };
        let step = i64::try_from(every.as_secs()).unwrap_or(i64::MAX).max(1);
        let secs = u32::try_from(step).unwrap_or(u32::MAX);
        let end_of = |at: Time| {
            let seconds = at.timestamp() + i64::from(at.timestamp_subsec_nanos() > 0);
            Time::from_timestamp(seconds.div_euclid(step) * step + if seconds.rem_euclid(step) > 0 { step } else { 0 }, 0)
        };
        let mut sums: BTreeMap<Time, Beat> = BTreeMap::new();
        for (at, beat) in self.beats.range(self.pointed..).filter(|(at, _)| **at > self.pointed) {
            if let Some(end) = end_of(*at).filter(|end| *end <= until) {
                sums.entry(end).or_default().add(beat);
            }
        }
        for (at, sum) in sums {
            self.pointed = self.pointed.max(at);
            let buckets = sum.buckets();
            let hits = slow.map_or(0, |from| match sum.slow(from) {
                Some(Sample::Counts { hits, .. }) => whole(hits),
                _ => 0,
            });
            let errors = whole(sum.errors);
            // A point of a chart is drawn at its floor.
            let drawn = |sample: Sample| sample.value().or(sample.at_least());
            let [p50, p99] = [0.5, 0.99].map(|q| quantile(&buckets, q).and_then(drawn));
            self.points.push(Point { at, secs, requests: whole(sum.requests), errors, slow: hits, p50, p99 });
        }
        let surplus = self.points.len().saturating_sub(POINTS);
        self.points.drain(..surplus);
        let pointed = self.pointed;
        if let Some((newest, _)) = self.beats.last_key_value() {
            // The last one before the window tells where the first one in it begins.
            let from = self.anchor(before(*newest, WINDOW.max(every * 4)));
            self.beats.retain(|at, _| from.is_none_or(|from| *at >= from) || *at > pointed);
        }
        while self.beats.len() > KEPT {
            self.beats.pop_first();
        }
    }

    /// Hands out the points.
    pub fn points(&mut self) -> Vec<Point> {
        std::mem::take(&mut self.points)
    }

    /// What came in the window before `newest`, and how long that is.
    pub fn sum(&self, newest: Time, pace: Pace) -> (Beat, Duration) {
        let window = WINDOW.max(pace.window());
        let from = before(newest, window);
        let mut sum = Beat::default();
        self.beats.range(..=newest).filter(|(at, _)| **at > from).for_each(|(_, beat)| sum.add(beat));
        // The very first sample has nothing before it: what came until it is not known.
        let began = self.anchor(from).or_else(|| self.beats.first_key_value().map(|(first, _)| *first));
        (sum, began.map_or(Duration::ZERO, |began| elapsed(newest, began)))
    }

    /// The last moment something came at or before this.
    fn anchor(&self, from: Time) -> Option<Time> {
        self.beats.range(..=from).next_back().map(|(at, _)| *at)
    }

    /// Signals of the version.
    pub fn signals(
        &self,
        sources: &BTreeMap<What, Source>,
        queries: &Queries,
        slow: Option<f64>,
        pace: Pace,
        now: Time,
    ) -> BTreeMap<SignalId, Signal> {
        let own = if self.failed == Failed::Own { What::Errors } else { What::Requests };
        let of = |what: What| -> Option<(Beat, Duration, Duration)> {
            let there = |what: &What| sources.get(what).filter(|s| s.is_there() && !s.is_together());
            let beside = || What::BESIDE.iter().filter(|_| self.is_candidate && what == What::Requests).find_map(there);
            let source = there(&what).or_else(beside)?;
            let newest = source.newest()?;
            let (sum, covered) = self.sum(newest, pace);
            Some((sum, covered, elapsed(now, source.sampled(pace)?)))
        };
        let old = |what: What, age: Duration| age > pace.stale_after() || sources.get(&what).is_some_and(|s| s.trouble().is_some());
        let reading = |what: What, from: What, of_nothing: bool, sample: &dyn Fn(&Beat, f64) -> Option<Sample>| {
            let there = of(what).or_else(|| of(from).filter(|_| queries.may_be_zero(what)));
            let Some((sum, covered, age)) = there else { return (Reading::Absent, Duration::ZERO) };
            let reading = match sample(&sum, covered.as_secs_f64()) {
                Some(last) if old(what, age) => Reading::Stale { last, age },
                Some(sample) => Reading::Fresh(sample),
                None if of_nothing => Reading::ZeroTraffic,
                None => Reading::Absent,
            };
            (reading, covered)
        };
        let counts = |hits: f64, of: f64| (of > 0.0).then_some(Sample::Counts { hits, of });
        let mut all = BTreeMap::new();
        let mut put = |id, unit, (reading, window): (Reading, Duration)| {
            all.insert(id, Signal { unit, window, reading });
        };
        let rate = |sum: &Beat, secs: f64| (secs > 0.0).then(|| Sample::Gauge { value: sum.requests / secs, n: whole(sum.requests) });
        put(SignalId::Requests, Unit::PerSecond, reading(What::Requests, What::Requests, false, &rate));
        let errors = |sum: &Beat, _: f64| counts(sum.errors, sum.requests);
        let (mut failed, covered) = reading(own, What::Requests, true, &errors);
        if self.failed == Failed::Unknown {
            failed = Reading::Absent;
        }
        if let (Some((sum, _, _)), Some(one @ Sample::Counts { hits, of })) = (of(What::Requests), failed.fresh())
            && sources.get(&What::ServiceErrors).is_some_and(Source::is_there)
            && disagree(hits, sum.service_errors)
        {
            failed = Reading::Contradictory(one, Sample::Counts { hits: sum.service_errors, of });
        }
        put(SignalId::Errors, Unit::Ratio, (failed, covered));
        let timeouts = |sum: &Beat, _: f64| counts(sum.timeouts, sum.requests);
        put(SignalId::Timeouts, Unit::Ratio, reading(What::Timeouts, What::Requests, true, &timeouts));
        let restarts = |sum: &Beat, _: f64| Some(Sample::Gauge { value: sum.restarts, n: whole(sum.restarts) });
        put(SignalId::Restarts, Unit::Count, reading(What::Restarts, What::Restarts, false, &restarts));
        if let Some(from) = slow {
            let hits = |sum: &Beat, _: f64| sum.slow(from).filter(|s| s.value().is_some());
            let tells = !sources.get(&What::Latency).is_some_and(|source| source.cannot_tell_slow(from));
            put(SignalId::Slow, Unit::Ratio, reading(What::Latency, What::Latency, tells, &hits));
        }
        for (id, q) in [(SignalId::P50, 0.5), (SignalId::P95, 0.95), (SignalId::P99, 0.99)] {
            let at = |sum: &Beat, _: f64| {
                let buckets = sum.buckets();
                quantile(&buckets, q)
            };
            put(id, Unit::Millis, reading(What::Latency, What::Latency, true, &at));
        }
        for (id, unit, what) in [(SignalId::Cpu, Unit::Cores, What::Cpu), (SignalId::Memory, Unit::Bytes, What::Memory)] {
            let value = sources.get(&what).and_then(Source::value);
            let reading = value.map_or(Reading::Absent, |(at, value)| {
                let (last, age) = (Sample::Gauge { value, n: 1 }, elapsed(now, at));
                if old(what, age) { Reading::Stale { last, age } } else { Reading::Fresh(last) }
            });
            put(id, unit, (reading, pace.window()));
        }
        all
    }
}

/// Whether one source saw errors and the other none.
pub fn disagree(one: f64, other: f64) -> bool {
    /// Fewer may lie on either side of a scrape.
    const ENOUGH: f64 = 5.0;
    (one >= ENOUGH && other <= 0.0) || (other >= ENOUGH && one <= 0.0)
}

/// A quantile, evenly within its bucket. In the last bucket only a floor is known: the last edge.
fn quantile(buckets: &Buckets, q: f64) -> Option<Sample> {
    let n: f64 = buckets.counts.iter().sum();
    let samples = whole(n);
    let (mut below, mut low) = (0.0, 0.0);
    for (edge, count) in buckets.edges.iter().zip(&buckets.counts) {
        if n > 0.0 && *count > 0.0 && below + count >= q * n {
            return Some(Sample::Gauge { value: low + (edge - low) * ((q * n - below) / count).clamp(0.0, 1.0), n: samples });
        }
        below += count;
        low = *edge;
    }
    buckets.edges.last().filter(|_| n > 0.0).map(|edge| Sample::Floor { at_least: *edge, n: samples })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count; saturates")]
fn whole(n: f64) -> u64 {
    n.round().max(0.0) as u64
}
