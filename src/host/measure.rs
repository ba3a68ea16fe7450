//! From the proxy's counters to signals, shares and the judge's arms.

use super::meter::{Meter, Totals, Window};
use crate::{
    conductor::life::{PoolId, Run},
    judge::Counts,
    model::{
        ident::RunId,
        signal::{Reading, Sample, Signal, SignalId, Unit},
        time::Time,
    },
};
use std::{collections::BTreeMap, time::Duration};

/// What signals cover.
const WINDOW: Duration = Duration::from_secs(60);

/// What a rate covers.
const RATE_SPAN: Duration = Duration::from_secs(super::meter::RATE_SECONDS as u64);

/// Below this many requests in the window a p99 is not a number to freeze a threshold from.
pub const ENOUGH_FOR_P99: u64 = 100;

/// The signals of one version now.
#[must_use]
pub fn signals(window: &Window, totals: &Totals) -> BTreeMap<SignalId, Signal> {
    let nothing_yet = window.secs <= 0.0;
    let covered = Duration::try_from_secs_f64(window.secs).unwrap_or_default().min(WINDOW);
    let counts = |hits: u64| match window.requests {
        0 if nothing_yet => Reading::Absent,
        0 => Reading::ZeroTraffic,
        of => Reading::Fresh(Sample::Counts { hits: float(hits), of: float(of) }),
    };
    let millis = |value: Option<f64>| match value {
        Some(value) => Reading::Fresh(Sample::Gauge { value, n: window.n }),
        None if nothing_yet => Reading::Absent,
        None => Reading::ZeroTraffic,
    };
    let rate = match nothing_yet {
        true => Reading::Absent,
        false => Reading::Fresh(Sample::Gauge { value: rate(window), n: window.requests }),
    };
    let of = |unit, reading| Signal { unit, window: covered, reading };
    let requests = Signal { unit: Unit::PerSecond, window: covered.min(RATE_SPAN), reading: rate };
    BTreeMap::from([
        (SignalId::Requests, requests),
        (SignalId::Errors, of(Unit::Ratio, counts(window.errors))),
        (SignalId::Slow, of(Unit::Ratio, counts(window.slow))),
        (SignalId::P50, of(Unit::Millis, millis(window.p50))),
        (SignalId::P99, of(Unit::Millis, millis(window.p99))),
        (SignalId::Unavailable, of(Unit::Count, Reading::Fresh(Sample::Gauge { value: float(totals.unavailable), n: totals.started }))),
    ])
}

/// Requests per second over the last 10 s: after a switch the last minute says nothing of now.
#[must_use]
pub const fn rate(window: &Window) -> f64 {
    window.rate
}

/// Share of failed requests in the window; `None` without requests.
#[must_use]
pub fn error_ratio(window: &Window) -> Option<f64> {
    (window.requests > 0).then(|| float(window.errors) / float(window.requests))
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests")]
fn float(n: u64) -> f64 {
    n as f64
}

/// Counts since this weight converged: a fresh start whenever the weight of a run converges anew.
#[derive(Debug, Default)]
pub struct Baseline {
    of: Option<(RunId, Time, Option<Duration>)>,
    totals: BTreeMap<PoolId, Totals>,
    bad: Option<(Time, u64)>,
}

impl Baseline {
    /// Moves the zero points if the run's weight converged anew, it turned bad, or what is slow became
    /// known (requests before were not compared with it). Call it before [`Self::counts`].
    pub fn follow(&mut self, run: Option<&Run>, slow_from: Option<Duration>, meters: &[(PoolId, &Meter)]) {
        let of = run.and_then(|r| Some((r.id.clone(), r.converged?, slow_from)));
        if self.of != of {
            self.totals = meters.iter().map(|(pool, meter)| (pool.clone(), meter.totals())).collect();
            self.of = of;
        }
        let bad_since = run.and_then(|r| r.bad_since);
        if self.bad.map(|(since, _)| since) != bad_since {
            let errors = |run: &Run| meters.iter().find(|(pool, _)| *pool == run.candidate.pool()).map_or(0, |(_, m)| m.totals().errors);
            self.bad = bad_since.zip(run.map(errors));
        }
    }

    /// What was counted since then; `None` before the weight converged.
    #[must_use]
    pub fn counts(&self, pool: &PoolId, meter: &Meter) -> Option<Counts> {
        self.of.as_ref()?;
        let now = meter.totals();
        let zero = self.totals.get(pool);
        let since = |now: u64, then: Option<u64>| now.saturating_sub(then.unwrap_or(0));
        Some(Counts {
            requests: since(now.requests, zero.map(|t| t.requests)),
            errors: since(now.errors, zero.map(|t| t.errors)),
            slow: since(now.slow, zero.map(|t| t.slow)),
        })
    }

    /// Since when evidence is counted.
    #[must_use]
    pub fn since(&self) -> Option<Time> {
        self.of.as_ref().map(|(_, since, _)| *since)
    }

    /// Candidate requests that failed since it turned bad.
    #[must_use]
    pub fn failed_since_bad(&self, meter: &Meter) -> u64 {
        self.bad.map_or(0, |(_, zero)| meter.totals().errors.saturating_sub(zero))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::meter::Head, Baseline, Meter};
    use crate::{
        conductor::NewRun,
        conductor::life::{Deployed, Life, Observed, PoolSeen},
        model::{digest::Digest, ident::RunId, spec::ServiceSpec, time::Time},
    };
    use chrono::DateTime;
    use proptest::prelude::*;
    use std::time::Duration;

    fn at(second: i64) -> Time {
        DateTime::from_timestamp(1_790_000_000 + second, 0).unwrap()
    }

    /// A life whose first version is stable and whose second has converged at a weight.
    fn canary(now: i64) -> Life {
        let spec: ServiceSpec = serde_json::from_value(serde_json::json!({
            "name": "web", "listen": "127.0.0.1:0", "command": ["x"], "readiness": { "path": "/" },
            "steps": [{ "weight": 10 }, { "pause": "manual" }],
        }))
        .unwrap();
        let mut life = Life::default();
        for (run, second) in [("1", 0), ("2", now)] {
            let artifact = Digest::of(run.as_bytes());
            let (id, spec) = (spec.runtime().version("web", &artifact), spec.clone());
            let candidate = Deployed { id, generation: 0, artifact, label: run.into(), revision: None, spec, at: at(second) };
            life.deploy(NewRun { id: RunId::new(run), candidate, by: "ana".into(), now: at(second) }).unwrap();
            for _ in 0..4 {
                let wanted = life.wanted();
                let pools = wanted.pools.iter().map(|d| PoolSeen { pool: d.pool(), desired: 1, ready: 1, trouble: None }).collect();
                life.advance(
                    &Observed { pools, programmed: Some((wanted.candidate, wanted.weight)), ..Observed::default() },
                    &[],
                    at(second),
                );
            }
        }
        life
    }

    proptest! {
        /// Requests, seconds of a wall clock that is set to and fro, and thresholds that become known: what is
        /// counted since the weight converged is never more than what came since, and windows stay windows.
        #[test]
        fn evidence_is_what_came_since_whatever_the_clock_says(
            steps in prop::collection::vec((0..40_u64, any::<bool>(), -100_000_i64..100_000, 0..10_u8), 1..80),
        ) {
            let life = canary(100);
            let mut run = life.run.clone().unwrap();
            prop_assert!(run.converged.is_some());
            let pool = run.candidate.pool();
            let (meter, mut baseline) = (Meter::new(), Baseline::default());
            let (mut since, mut slow_from) = (0, None);
            for (requests, fails, jump, what) in steps {
                match what {
                    0 => run.converged = Some(at(jump)),
                    1 => slow_from = Some(Duration::from_millis(jump.unsigned_abs())),
                    2 => run.bad_since = run.bad_since.map_or(Some(at(jump)), |_| None),
                    _ => {}
                }
                let before = baseline.of.clone();
                baseline.follow(Some(&run), slow_from, &[(pool.clone(), &meter)]);
                if baseline.of != before {
                    since = 0;
                }
                for _ in 0..requests {
                    let status = if fails { 500 } else { 200 };
                    meter.head(Head::Answer { status, latency: Duration::from_millis(5) });
                }
                since += requests;
                let counts = baseline.counts(&pool, &meter).unwrap();
                prop_assert_eq!(counts.requests, since);
                prop_assert!(counts.errors <= counts.requests && counts.slow <= counts.requests);
                prop_assert!(baseline.failed_since_bad(&meter) <= meter.totals().errors);
                prop_assert_eq!(baseline.since(), run.converged);
                let point = meter.tick(at(jump));
                prop_assert_eq!(point.requests, requests);
                let window = meter.window();
                prop_assert!(window.secs > 0.0 && window.secs <= 200.0, "{} s", window.secs);
                prop_assert!(super::rate(&window).is_finite() && window.errors <= window.requests);
                prop_assert!(super::signals(&window, &meter.totals()).values().all(|s| s.window <= super::WINDOW));
            }
            baseline.follow(None, None, &[]);
            prop_assert!(baseline.counts(&pool, &meter).is_none());
        }
    }
}
