//! The last 60 seconds of a version: closed seconds with sparse histograms, merged when asked.

use crate::model::{
    history::Point,
    time::{Time, elapsed},
};
use hdrhistogram::Histogram;
use std::{collections::VecDeque, time::Duration};

/// How far back the window goes.
const SPAN: Duration = Duration::from_secs(60);

/// A tick may come this late before the clock is no longer believed.
const LATE: Duration = Duration::from_secs(10);

/// Over how many of them a rate is taken: long enough to be steady, short enough to follow a switch.
pub const RATE_SECONDS: usize = 10;

/// The longest latency that is told apart, in microseconds.
const LONGEST: u64 = 3_600_000_000;

/// What was counted in the last 60 s, up to the last tick.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Window {
    /// Requests that were answered or failed.
    pub requests: u64,
    /// Answered with an error or not at all.
    pub errors: u64,
    /// Slower than the frozen threshold.
    pub slow: u64,
    /// Left by their client.
    pub aborted: u64,
    /// What it covers, in seconds: less than 60 only in the first minute.
    pub secs: f64,
    /// Requests per second over the last 10 s.
    pub rate: f64,
    /// Median latency in milliseconds; `None` without any.
    pub p50: Option<f64>,
    /// 95th percentile, likewise.
    pub p95: Option<f64>,
    /// 99th percentile, likewise.
    pub p99: Option<f64>,
    /// Latencies that the percentiles rest on.
    pub n: u64,
}

/// The open second and the closed ones.
#[derive(Debug)]
pub struct Seconds {
    open: Counts,
    latencies: Histogram<u32>,
    /// When the open second began; `None` before the first tick.
    since: Option<Time>,
    closed: VecDeque<Second>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    requests: u64,
    errors: u64,
    slow: u64,
    aborted: u64,
}

#[derive(Debug)]
struct Second {
    from: Time,
    to: Time,
    counts: Counts,
    /// Latency in microseconds, and how often.
    latencies: Box<[(u64, u32)]>,
}

impl Default for Seconds {
    fn default() -> Self {
        Self { open: Counts::default(), latencies: histogram(), since: None, closed: VecDeque::new() }
    }
}

impl Seconds {
    pub fn count(&mut self, error: bool, slow: bool, latency: Option<u64>) {
        self.open.requests += 1;
        self.open.errors += u64::from(error);
        self.open.slow += u64::from(slow);
        if let Some(latency) = latency {
            self.latencies.saturating_record(latency);
        }
    }

    pub fn abort(&mut self) {
        self.open.aborted += 1;
    }

    pub fn close(&mut self, now: Time) -> Point {
        let counts = std::mem::take(&mut self.open);
        let n = self.latencies.len();
        let point = Point {
            at: now,
            secs: 1,
            requests: counts.requests,
            errors: counts.errors,
            slow: counts.slow,
            p50: percentile(&self.latencies, n, 0.5),
            p99: percentile(&self.latencies, n, 0.99),
        };
        let latencies = self.latencies.iter_recorded().map(|v| (v.value_iterated_to(), v.count_at_value())).collect();
        self.latencies.reset();
        // A clock that was set forward, or a machine that slept, would make one second an hour.
        let second = now - chrono::Duration::seconds(1);
        let from = self.since.replace(now).filter(|since| *since <= now && elapsed(now, *since) <= LATE).unwrap_or(second);
        self.closed.push_back(Second { from, to: now, counts, latencies });
        // Also when the clock was set back: then what seems to lie in the future is forgotten.
        self.closed.retain(|s| s.to <= now && elapsed(now, s.to) < SPAN);
        point
    }

    /// Requests of the closed seconds that began at or after this time, within the last 60 s.
    pub fn requests_since(&self, since: Time) -> u64 {
        self.closed.iter().filter(|s| s.from >= since).map(|s| s.counts.requests).sum()
    }

    pub fn window(&self) -> Window {
        let mut all = histogram();
        let mut window = Window::default();
        for second in &self.closed {
            window.requests += second.counts.requests;
            window.errors += second.counts.errors;
            window.slow += second.counts.slow;
            window.aborted += second.counts.aborted;
            for (value, count) in &second.latencies {
                all.saturating_record_n(*value, *count);
            }
        }
        if let (Some(first), Some(last)) = (self.closed.front(), self.closed.back()) {
            window.secs = elapsed(last.to, first.from).as_secs_f64();
        }
        let latest = self.closed.iter().rev().take(RATE_SECONDS);
        if let (Some(first), Some(last)) = (latest.clone().next_back(), self.closed.back()) {
            let requests: u64 = latest.map(|s| s.counts.requests).sum();
            window.rate = float(requests) / elapsed(last.to, first.from).as_secs_f64().max(1.0);
        }
        window.n = all.len();
        window.p50 = percentile(&all, window.n, 0.5);
        window.p95 = percentile(&all, window.n, 0.95);
        window.p99 = percentile(&all, window.n, 0.99);
        window
    }
}

#[expect(clippy::cast_precision_loss, reason = "requests of ten seconds")]
const fn float(n: u64) -> f64 {
    n as f64
}

/// In milliseconds, at most 0.1 % above the exact value.
#[expect(clippy::cast_precision_loss, reason = "at most an hour in microseconds")]
fn percentile(histogram: &Histogram<u32>, n: u64, quantile: f64) -> Option<f64> {
    (n > 0).then(|| histogram.value_at_quantile(quantile) as f64 / 1_000.0)
}

#[expect(clippy::expect_used, reason = "the bounds are constants, and a test makes one")]
fn histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1, LONGEST, 3).expect("valid bounds")
}
