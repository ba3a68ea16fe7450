//! From the proxy's counters to signals and shares.

use super::meter::{Totals, Window};
use crate::model::signal::{Reading, Sample, Signal, SignalId, Unit};
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
