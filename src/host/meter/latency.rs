//! All latencies of a version in fixed buckets, as Prometheus wants them: exact at each bound, never reset.

use crate::model::interval::Buckets;
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// The upper bounds of the buckets in microseconds, inclusive. Above the last one there is one more bucket.
pub const BOUNDS: [u64; 16] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000,
    60_000_000,
];

/// The same buckets where each request of one instance is counted at once.
#[derive(Debug, Default)]
pub(super) struct Tallied {
    counts: [AtomicU64; BOUNDS.len() + 1],
    sum_micros: AtomicU64,
}

impl Tallied {
    pub fn record(&self, micros: u64) {
        if let Some(count) = self.counts.get(BOUNDS.partition_point(|bound| *bound < micros)) {
            count.fetch_add(1, Relaxed);
            self.sum_micros.fetch_add(micros, Relaxed);
        }
    }

    pub fn read(&self) -> Latencies {
        let count = |i: usize| self.counts.get(i).map_or(0, |c| c.load(Relaxed));
        Latencies { counts: std::array::from_fn(count), above: count(BOUNDS.len()), sum_micros: self.sum_micros.load(Relaxed) }
    }
}

/// Counts per bucket, and the sum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Latencies {
    counts: [u64; BOUNDS.len()],
    above: u64,
    sum_micros: u64,
}

impl Latencies {
    pub(super) fn record(&mut self, micros: u64) {
        *self.counts.get_mut(BOUNDS.partition_point(|bound| *bound < micros)).unwrap_or(&mut self.above) += 1;
        self.sum_micros = self.sum_micros.saturating_add(micros);
    }

    /// Each bucket's upper bound with the number of latencies at or below it.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> {
        BOUNDS.iter().zip(self.counts).scan(0, |sum, (bound, count)| {
            *sum += count;
            Some((Duration::from_micros(*bound), *sum))
        })
    }

    /// What came since an earlier look, with edges in milliseconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of requests, and bounds of a minute")]
    pub fn since(&self, earlier: &Self) -> Buckets {
        let more = |now: &u64, then: &u64| now.saturating_sub(*then) as f64;
        let counts = self.counts.iter().zip(&earlier.counts).map(|(now, then)| more(now, then));
        Buckets {
            edges: BOUNDS.iter().map(|micros| *micros as f64 / 1_000.0).collect(),
            counts: counts.chain([more(&self.above, &earlier.above)]).collect(),
        }
    }

    /// The smallest bound that this share of them is at or below; `None` of nothing or above them all.
    #[must_use]
    pub fn bound_of(&self, share: f64) -> Option<Duration> {
        #[expect(clippy::cast_precision_loss, reason = "counts of requests")]
        let needed = self.count() as f64 * share;
        #[expect(clippy::cast_precision_loss, reason = "counts of requests")]
        let found = self.cumulative().find(|(_, below)| *below > 0 && *below as f64 >= needed);
        found.map(|(bound, _)| bound)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.above
    }

    /// Their sum.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_micros)
    }
}
