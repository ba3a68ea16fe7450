//! The first gate: a share of requests, the candidate's against stable's and against a limit.
//!
//! | | |
//! |---|---|
//! | blind | the counters are not fresh; a side is not measured; slow: stable's p99 was not known |
//! | wait | fewer candidate requests than the minimum; within the limit, but stable has too few to compare with |
//! | fail, candidate | over stable by more than the margin, or over the limit while stable is not |
//! | fail, both | over the limit like stable: going back would not help |
//! | pass | otherwise |
//!
//! No traffic is a measurement, not blindness: the candidate waits, with words of its own; against a
//! stable without traffic only the limit counts. Over the limit needs no comparison, so a stable that
//! gets a trickle beside a candidate at 99 % cannot delay that verdict.
//!
//! When both are over the limit, the candidate is blamed only if it is worse by more than the margin
//! *and* chance (three standard errors). It is a failure either way; but blame can send the traffic
//! back by itself, and two arms that are sick for the same reason differ by chance alone.

use super::{Arms, Counts, Judge, words};
use crate::model::{
    gate::{Arm, Evidence, Verdict},
    signal::Sample,
    spec::{GateSignal, GateSpec},
    time::Time,
};
use std::time::Duration;

/// See the [module](self).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FirstGate;

/// One side's share.
#[derive(Clone, Copy)]
struct Share {
    hits: u64,
    of: u64,
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53 requests in one step nothing is lost")]
impl Share {
    fn of(counts: Counts, signal: GateSignal) -> Self {
        let hits = match signal {
            GateSignal::Errors => counts.errors,
            GateSignal::Slow => counts.slow,
            _ => 0,
        };
        Self { hits: hits.min(counts.requests), of: counts.requests }
    }

    /// Percent; 0 of nothing, which is asked for only beside `of`.
    fn percent(self) -> f64 {
        if self.of == 0 { 0.0 } else { self.hits as f64 * 100.0 / self.of as f64 }
    }

    /// The square of the standard error, in percentage points squared.
    fn variance(self) -> f64 {
        let p = self.percent();
        if self.of == 0 { 0.0 } else { p * (100.0 - p) / self.of as f64 }
    }
}

impl Judge for FirstGate {
    fn judge(&self, gate: &GateSpec, arms: &Arms, _now: Time) -> (Verdict, Option<Evidence>) {
        let blind = |why: &str| (Verdict::Blind { why: why.into() }, None);
        if !arms.fresh {
            return blind("counters are stale");
        }
        let Some(candidate) = arms.candidate else { return blind("canary is not measured") };
        let Some(stable) = arms.stable else { return blind("stable is not measured") };
        if gate.signal == GateSignal::Slow && !arms.threshold_known {
            return blind("stable's p99 is unknown");
        }
        let (candidate, stable) = (Share::of(candidate, gate.signal), Share::of(stable, gate.signal));
        (verdict(gate, candidate, stable, arms.rate), Some(evidence(gate, candidate, stable, arms.since)))
    }
}

fn verdict(gate: &GateSpec, candidate: Share, stable: Share, rate: f64) -> Verdict {
    let enough = gate.retired_min_requests.unwrap_or(200);
    let missing = enough.saturating_sub(candidate.of);
    if missing > 0 {
        let text = format!("{} more requests", words::count(missing));
        let text = if candidate.of == 0 { format!("{text}, no traffic yet") } else { text };
        return Verdict::Wait { missing: text.into(), eta: eta(missing, rate) };
    }
    let (c, s) = (candidate.percent(), stable.percent());
    let (sick, stable_sick) = (c > gate.limit().unwrap_or(5.0), s > gate.limit().unwrap_or(5.0));
    let comparable = stable.of >= enough;
    let bar = s + gate.retired_margin.unwrap_or(1.0);
    let n = words::count(candidate.of);
    let fail = |who, why: String| Verdict::Fail { who, why: why.into() };

    if sick && stable_sick {
        let chance = 3.0 * (candidate.variance() + stable.variance()).sqrt();
        return if comparable && c - s > gate.retired_margin.unwrap_or(1.0).max(chance) {
            let (c, bar) = words::beside(c, bar);
            fail(Arm::Candidate, format!("{c}>{bar} % (n {n}), stable over the limit too"))
        } else {
            let (c, limit) = words::beside(c, gate.limit().unwrap_or(5.0));
            let (s, _) = words::beside(s, gate.limit().unwrap_or(5.0));
            fail(Arm::Both, format!("both {c}/{s}>{limit} % (n {n})"))
        };
    }
    if sick {
        let (c, limit) = words::beside(c, gate.limit().unwrap_or(5.0));
        return fail(Arm::Candidate, format!("{c}>{limit} % (n {n}), over the limit"));
    }
    if comparable && c > bar {
        let (c, bar) = words::beside(c, bar);
        return fail(Arm::Candidate, format!("{c}>{bar} % (n {n}), worse than stable"));
    }
    if stable.of > 0 && !comparable {
        let missing = enough - stable.of;
        return Verdict::Wait { missing: format!("{} more stable requests", words::count(missing)).into(), eta: None };
    }
    let bar = if comparable { bar.min(gate.limit().unwrap_or(5.0)) } else { gate.limit().unwrap_or(5.0) };
    let (c, bar) = words::beside(c, bar);
    let alone = if stable.of == 0 { ", stable has no traffic" } else { "" };
    Verdict::Pass { why: format!("{c}<={bar} % (n {n}){alone}").into() }
}

/// When that many more requests will have come.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn eta(missing: u64, rate: f64) -> Option<Duration> {
    if rate > 0.0 { Duration::try_from_secs_f64(missing as f64 / rate).ok() } else { None }
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53 requests in one step nothing is lost")]
fn evidence(gate: &GateSpec, candidate: Share, stable: Share, since: Time) -> Evidence {
    let sample = |share: Share| Sample::Counts { hits: share.hits as f64, of: share.of as f64 };
    Evidence { candidate: sample(candidate), stable: sample(stable), limit: gate.limit(), since, ..Evidence::default() }
}
