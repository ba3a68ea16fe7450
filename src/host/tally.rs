//! From the proxy's counters to the judge's intervals: what came since the last look, for both versions
//! over the same time.
//!
//! Counters only grow while the host runs, and begin at zero when it starts; so does this. An interval
//! never spans two weights or two versions: whoever calls closes it first. Its length is taken from a
//! clock that is never set.

mod parts;

use super::{
    instances::PoolStatus,
    meter::{Latencies, Meter},
};
use crate::{
    conductor::life::{PoolId, Run},
    model::{
        ident::GateId,
        interval::{Count, Interval, Latency},
        ratio::Weight,
        spec::{GateSignal, GateSpec},
        time::Time,
    },
};
use parts::Parts;
use std::{collections::BTreeMap, time::Duration};

/// Shorter than this nothing was counted.
const NOTHING: Duration = Duration::from_millis(1);

/// One version as it is counted.
pub struct Side<'a> {
    /// Which start of it.
    pub pool: PoolId,
    /// Its requests.
    pub meter: &'a Meter,
    /// Its instances.
    pub status: Option<&'a PoolStatus>,
}

/// Zero points of what is counted.
#[derive(Debug, Default)]
pub struct Tally {
    gates: BTreeMap<GateId, Open>,
    /// Ready instance-seconds of each pool, and up to when they are counted.
    ready: BTreeMap<PoolId, f64>,
    counted_to: Option<Duration>,
    /// Requests that were dealt when the split was looked at last.
    dealt: Option<[(PoolId, u64); 2]>,
    bad: Option<Bad>,
}

/// An interval that is not over.
#[derive(Debug)]
struct Open {
    since: Duration,
    /// What slow requests were compared with.
    threshold: Option<Duration>,
    candidate: Option<(PoolId, Mark)>,
    stable: Option<(PoolId, Mark)>,
}

/// Counters as they stood.
#[derive(Clone, Debug, Default)]
struct Mark {
    hits: u64,
    of: f64,
    latencies: Latencies,
    /// The same of each instance, where they are told apart.
    parts: Option<Parts>,
}

/// An interval that is over.
#[derive(Clone, PartialEq, Debug)]
pub struct Closed {
    /// What is judged.
    pub judged: Interval,
    /// What went to instances that were still warming up, where they can be told from the others: to be fed
    /// after the other. Where they cannot, `judged` itself is marked as [warming](Interval::warming).
    pub shown: Option<Interval>,
}

/// Since when a run is bad, the candidate's errors then, and those that a host before this one counted.
#[derive(Debug)]
struct Bad {
    since: Time,
    zero: u64,
    before: u64,
}

impl Tally {
    /// Counts instance-seconds. Call it on every look, before [`Self::close`].
    pub fn look(&mut self, sides: [Option<&Side<'_>>; 2], uptime: Duration) {
        let span = self.counted_to.replace(uptime).map_or(0.0, |then| uptime.saturating_sub(then).as_secs_f64());
        let shown: Vec<&Side<'_>> = sides.into_iter().flatten().collect();
        self.ready.retain(|pool, _| shown.iter().any(|s| s.pool == *pool));
        for side in shown {
            #[expect(clippy::cast_precision_loss, reason = "at most 100 instances")]
            let ready = side.status.map_or(0.0, |s| s.ready.len() as f64);
            *self.ready.entry(side.pool.clone()).or_default() += ready * span;
        }
    }

    /// Whether a gate's interval is over.
    #[must_use]
    pub fn is_due(&self, gate: &GateSpec, uptime: Duration) -> bool {
        self.gates.get(&gate.name).is_none_or(|open| uptime.saturating_sub(open.since) >= gate.interval)
    }

    /// How long ago a gate's last interval ended; `None` before the first began.
    #[must_use]
    pub fn age(&self, gate: &GateSpec, uptime: Duration) -> Option<Duration> {
        self.gates.get(&gate.name).map(|open| uptime.saturating_sub(open.since))
    }

    /// What came of a gate's signal since its last interval, which ends the one and begins the next.
    /// `None` where there is no whole one: the versions or the threshold are other ones than when it
    /// began, or nothing was compared.
    pub fn close(
        &mut self,
        gate: &GateSpec,
        sides: [Option<&Side<'_>>; 2],
        threshold: Option<Duration>,
        programmed: Option<Weight>,
        (now, uptime): (Time, Duration),
    ) -> Option<Closed> {
        let [candidate, stable] = sides.map(|side| side.map(|s| (s.pool.clone(), self.mark(gate, s))));
        let open = Open { since: uptime, threshold, candidate, stable };
        let next = Open { candidate: open.candidate.clone(), stable: open.stable.clone(), ..open };
        let before = self.gates.insert(gate.name.clone(), next)?;
        let span = uptime.saturating_sub(before.since);
        let pools = |o: &Open| [&o.candidate, &o.stable].map(|s| s.as_ref().map(|(pool, _)| pool.clone()));
        let unknown = gate.signal == GateSignal::Slow && threshold.is_none();
        if span < NOTHING || pools(&before) != pools(&open) || before.threshold != threshold || unknown {
            return None;
        }
        // Hits and what they are hits of are read one after the other: an answer in between is in one of
        // them only. Where all requests fail, that must not look like more failures than requests.
        let counted = |ends: Ends<'_>| {
            let count = ends.map_or_else(Count::default, Mark::between);
            if gate.signal == GateSignal::Restarts { count } else { Count::new(count.hits.min(count.of), count.of) }
        };
        let latencies = |ends: Ends<'_>| {
            let nothing = Latencies::default();
            let (then, now) = ends.map_or((&nothing, &nothing), |(then, now)| (&then.latencies, &now.latencies));
            now.since(then)
        };
        let parts = |ends: Ends<'_>| {
            let (then, now) = ends?;
            Some(parts::between(gate, then.parts.as_ref()?, now.parts.as_ref()?))
        };
        let (own, other) = (ends(&before.candidate, &open.candidate), ends(&before.stable, &open.stable));
        let start = chrono::Duration::from_std(span).ok().and_then(|span| now.checked_sub_signed(span)).unwrap_or(now);
        let [candidate, _] = sides;
        let warming = candidate.map(|side| parts::warming(side, gate.warmup, start)).unwrap_or_default();
        let mut judged = Interval {
            share: programmed.map(|weight| weight.percent() / 100.0),
            warming: !warming.is_empty(),
            latency: gate.signal.quantile().map(|_| Latency { candidate: latencies(own), stable: latencies(other) }),
            instances: parts::counts(parts(other)),
            ..Interval::new(start, now, counted(own), counted(other))
        };
        let parts = parts(own).filter(|_| judged.warming && gate.signal.is_latency());
        let shown = parts.and_then(|parts| parts::take_out(&mut judged, &parts, &warming));
        Some(Closed { judged, shown })
    }

    fn mark(&self, gate: &GateSpec, side: &Side<'_>) -> Mark {
        // Hits are read before what they are hits of.
        let hits = match gate.signal {
            GateSignal::Errors => side.meter.failed_by(&gate.errors),
            GateSignal::Restarts => side.status.map_or(0, |s| s.instances.iter().map(|i| u64::from(i.restarts)).sum()),
            GateSignal::Slow | GateSignal::Timeouts | GateSignal::P50 | GateSignal::P95 | GateSignal::P99 | GateSignal::Alerts => 0,
        };
        let latencies = if gate.signal.quantile().is_some() { side.meter.latencies() } else { Latencies::default() };
        // Parts are read before the whole.
        let parts = parts::of(gate, side);
        let totals = side.meter.totals();
        #[expect(clippy::cast_precision_loss, reason = "below 2^53 requests nothing is lost")]
        let requests = totals.requests as f64;
        let (hits, of) = match gate.signal {
            GateSignal::Slow => (totals.slow, requests),
            GateSignal::Timeouts => (totals.timeouts, requests),
            GateSignal::Restarts => (hits, self.ready.get(&side.pool).copied().unwrap_or_default()),
            GateSignal::Errors | GateSignal::P50 | GateSignal::P95 | GateSignal::P99 | GateSignal::Alerts => (hits, requests),
        };
        Mark { hits, of, latencies, parts }
    }

    /// Requests that were dealt to candidate and stable since the last look; `None` at the first one.
    pub fn dealt(&mut self, candidate: &Side<'_>, stable: &Side<'_>) -> Option<(f64, f64)> {
        let now = [candidate, stable].map(|side| (side.pool.clone(), side.meter.totals().started));
        let before = self.dealt.replace(now.clone())?;
        let same = before.iter().zip(&now).all(|(a, b)| a.0 == b.0);
        #[expect(clippy::cast_precision_loss, reason = "requests of a second")]
        let since = |i: usize| Some(now.get(i)?.1.saturating_sub(before.get(i)?.1) as f64);
        same.then(|| since(0).zip(since(1))).flatten()
    }

    /// Forgets what was counted of gates that are not there any more.
    pub fn retain(&mut self, gates: &[GateSpec]) {
        self.gates.retain(|id, _| gates.iter().any(|g| g.name == *id));
    }

    /// After a start: a run that was bad already had so many failed requests.
    pub fn resume(&mut self, run: Option<&Run>, failed: u64) {
        self.bad = run.and_then(|r| r.bad_since).map(|since| Bad { since, zero: 0, before: failed });
    }

    /// Follows since when the run is bad.
    pub fn follow_bad(&mut self, since: Option<Time>, candidate: &Meter) {
        if self.bad.as_ref().map(|b| b.since) != since {
            self.bad = since.map(|since| Bad { since, zero: candidate.totals().errors, before: 0 });
        }
    }

    /// Candidate requests that failed since the run turned bad.
    #[must_use]
    pub fn failed_since_bad(&self, candidate: &Meter) -> u64 {
        self.bad.as_ref().map_or(0, |bad| bad.before + candidate.totals().errors.saturating_sub(bad.zero))
    }
}

/// Counters at both ends of an interval.
type Ends<'a> = Option<(&'a Mark, &'a Mark)>;

fn ends<'a>(then: &'a Option<(PoolId, Mark)>, now: &'a Option<(PoolId, Mark)>) -> Ends<'a> {
    Some((&then.as_ref()?.1, &now.as_ref()?.1))
}

impl Mark {
    fn between((then, now): (&Self, &Self)) -> Count {
        #[expect(clippy::cast_precision_loss, reason = "below 2^53 requests nothing is lost")]
        let hits = now.hits.saturating_sub(then.hits) as f64;
        Count::new(hits, (now.of - then.of).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::meter::Head, *};
    use crate::model::{ident::VersionId, instance::InstanceState, time::after};
    use proptest::prelude::*;

    fn gate(signal: &str) -> GateSpec {
        toml::from_str(&format!("name = \"g\"\nsignal = \"{signal}\"\nerrors = [\"5xx\", \"429\"]")).unwrap()
    }

    fn pool(version: &str) -> PoolId {
        PoolId { version: VersionId::new(version), generation: 1 }
    }

    fn at(second: u64) -> (Time, Duration) {
        let span = Duration::from_secs(second);
        (after(Time::UNIX_EPOCH, span), span)
    }

    fn answer(meter: &Meter, status: u16, n: u64) {
        (0..n).for_each(|_| meter.head(Head::Answer { status, latency: Duration::from_millis(30) }, None));
    }

    #[test]
    fn an_interval_is_what_came_since_the_last_one() {
        let (candidate, stable) = (Meter::new(), Meter::new());
        let own = Side { pool: pool("v42"), meter: &candidate, status: None };
        let other = Side { pool: pool("v41"), meter: &stable, status: None };
        let mut tally = Tally::default();
        let g = gate("errors");
        let close = |tally: &mut Tally, second, weight: Option<f64>| {
            let weight = weight.map(|w| Weight::from_percent(w).unwrap());
            tally.close(&g, [Some(&own), Some(&other)], None, weight, at(second)).map(|closed| closed.judged)
        };
        answer(&candidate, 500, 7);
        assert!(close(&mut tally, 0, None).is_none(), "what came before the first look is nobody's");
        assert!(!tally.is_due(&g, Duration::from_secs(9)) && tally.is_due(&g, Duration::from_secs(10)));
        answer(&candidate, 500, 2);
        answer(&candidate, 429, 1);
        answer(&candidate, 404, 1);
        answer(&candidate, 200, 6);
        answer(&stable, 200, 90);
        let interval = close(&mut tally, 10, Some(10.0)).unwrap();
        assert_eq!((interval.candidate, interval.stable, interval.share), (Count::new(3.0, 10.0), Count::new(0.0, 90.0), Some(0.1)));
        assert_eq!((interval.start, interval.end), (at(0).0, at(10).0));
        let empty = close(&mut tally, 20, None).unwrap();
        assert_eq!((empty.candidate, empty.stable), (Count::default(), Count::default()));
        // Another candidate: what is counted of it has another beginning.
        let next = Side { pool: pool("v43"), meter: &candidate, status: None };
        assert!(tally.close(&g, [Some(&next), Some(&other)], None, None, at(30)).is_none());
        assert!(tally.close(&g, [Some(&next), Some(&other)], None, None, at(40)).is_some());
    }

    #[test]
    fn slow_requests_count_from_when_it_is_known_what_is_slow() {
        let (candidate, stable) = (Meter::new(), Meter::new());
        let own = Side { pool: pool("v42"), meter: &candidate, status: None };
        let other = Side { pool: pool("v41"), meter: &stable, status: None };
        let (mut tally, g) = (Tally::default(), gate("slow"));
        let mut close =
            |second, slow: Option<u64>| tally.close(&g, [Some(&own), Some(&other)], slow.map(Duration::from_millis), None, at(second));
        assert!(close(0, None).is_none() && close(10, None).is_none() && close(20, Some(20)).is_none());
        candidate.freeze_threshold(Duration::from_millis(20));
        answer(&candidate, 200, 5);
        assert_eq!(close(30, Some(20)).unwrap().judged.candidate, Count::new(5.0, 5.0));
    }

    #[test]
    fn latencies_come_in_buckets_and_timeouts_are_the_proxys() {
        let meter = Meter::new();
        let side = Side { pool: pool("v42"), meter: &meter, status: None };
        let (mut tally, p99, timeouts) = (Tally::default(), gate("p99"), GateSpec { name: GateId::new("t"), ..gate("timeouts") });
        tally.close(&p99, [Some(&side), None], None, None, at(0));
        tally.close(&timeouts, [Some(&side), None], None, None, at(0));
        answer(&meter, 200, 3);
        answer(&meter, 504, 1);
        meter.head(Head::Substitute { status: 504, waited: Some(Duration::from_secs(30)) }, None);
        let latency = tally.close(&p99, [Some(&side), None], None, None, at(10)).unwrap().judged.latency.unwrap();
        assert_eq!(latency.candidate.counts.iter().sum::<f64>(), 5.0);
        assert_eq!(latency.candidate.edges.len() + 1, latency.candidate.counts.len());
        let interval = tally.close(&timeouts, [Some(&side), None], None, None, at(10)).unwrap().judged;
        assert_eq!(interval.candidate, Count::new(1.0, 5.0), "an upstream's own 504 is an error and no time-out");
    }

    #[test]
    fn an_interval_in_which_an_instance_warmed_up_is_marked_to_its_end() {
        let side = |ready: u64| PoolStatus {
            id: pool("v42"),
            service: "web".into(),
            desired: 1,
            instances: vec![
                serde_json::from_value(serde_json::json!({ "id": "v42-1", "state": InstanceState::Ready, "since": at(ready).0 })).unwrap(),
            ],
            ready: Vec::new(),
            leaving: Vec::new(),
            trouble: None,
            secrets: None,
        };
        let meter = Meter::new();
        let status = side(5);
        let own = Side { pool: pool("v42"), meter: &meter, status: Some(&status) };
        let (mut tally, g) = (Tally::default(), GateSpec { warmup: Duration::from_secs(30), ..gate("slow") });
        let mut warm = |second| {
            tally.close(&g, [Some(&own), None], Some(Duration::from_millis(20)), None, at(second)).is_some_and(|i| i.judged.warming)
        };
        warm(0);
        let marked: Vec<bool> = [10, 20, 30, 40, 50].into_iter().map(&mut warm).collect();
        assert_eq!(marked, [true, true, true, true, false], "the one from 30 s to 40 s holds five seconds of warming up");
    }

    proptest! {
        /// Requests, and a wall clock that is set to and fro: nothing is counted twice, nothing is lost.
        #[test]
        fn intervals_add_up_whatever_the_clock_says(
            steps in prop::collection::vec((0..40_u64, any::<bool>(), -100_000_i64..100_000, any::<bool>()), 1..80),
        ) {
            let meter = Meter::new();
            let side = Side { pool: pool("v42"), meter: &meter, status: None };
            let (mut tally, g) = (Tally::default(), gate("errors"));
            let mut uptime = Duration::ZERO;
            tally.close(&g, [Some(&side), None], None, None, (Time::UNIX_EPOCH, uptime));
            let (mut sent, mut failed, mut seen) = (0, 0, Count::default());
            let mut bad_from = None;
            for (n, fails, jump, bad) in steps {
                answer(&meter, if fails { 503 } else { 200 }, n);
                sent += n;
                failed += if fails { n } else { 0 };
                uptime += Duration::from_secs(1);
                let now = Time::UNIX_EPOCH + chrono::Duration::seconds(jump);
                let interval = tally.close(&g, [Some(&side), None], None, None, (now, uptime)).unwrap().judged;
                prop_assert_eq!((interval.end - interval.start).num_seconds(), 1);
                seen += interval.candidate;
                tally.follow_bad(bad.then_some(Time::UNIX_EPOCH), &meter);
                // It turned bad at the end of a step, so that one's errors were before.
                let since_bad = if bad { failed - *bad_from.get_or_insert(failed) } else { 0 };
                if !bad {
                    bad_from = None;
                }
                prop_assert_eq!(tally.failed_since_bad(&meter), since_bad);
            }
            prop_assert_eq!(seen, Count::new(failed as f64, sent as f64));
        }
    }
}
