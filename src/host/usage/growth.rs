//! Whether memory grows, and by how much.

use std::time::Duration;

/// Below this many readings nothing is said: two minutes of them.
const ENOUGH: usize = 12;
/// At most this many are kept; when they are, every other one goes, so that they cover any time.
const MOST: usize = 256;
/// A slope must stand this many standard errors above zero.
const CERTAIN: f64 = 5.0;
/// Growth over the whole time that is less than this share of the level is none.
const SHARE: f64 = 0.02;
/// So is growth of less than this many bytes.
const LEAST: f64 = 1_048_576.0;

/// A course of memory, from the start of a process on.
#[derive(Default)]
pub struct Growth {
    /// Seconds and bytes.
    points: Vec<(f64, f64)>,
    /// Of every so many readings one is kept.
    stride: u32,
    skipped: u32,
}

impl Growth {
    /// A reading; time never goes back.
    #[expect(clippy::cast_precision_loss, reason = "bytes of one machine")]
    pub fn add(&mut self, at: Duration, bytes: u64) {
        if self.skipped < self.stride {
            self.skipped += 1;
            return;
        }
        self.skipped = 0;
        self.points.push((at.as_secs_f64(), bytes as f64));
        if self.points.len() >= MOST {
            let mut keep = false;
            self.points.retain(|_| {
                keep = !keep;
                keep
            });
            self.stride = self.stride * 2 + 1;
        }
    }

    /// Bytes per hour; 0 when it does not grow; `None` as long as that cannot be said.
    ///
    /// The line of least squares, without the first fifth: what starts, grows.
    #[must_use]
    pub fn per_hour(&self) -> Option<f64> {
        let points = self.points.get(self.points.len() / 5..)?;
        if points.len() < ENOUGH {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 256")]
        let n = points.len() as f64;
        let (mean_x, mean_y) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
        let (mut xx, mut xy) = (0.0, 0.0);
        for (x, y) in points {
            xx += (x - mean_x).powi(2);
            xy += (x - mean_x) * (y - mean_y);
        }
        if xx <= 0.0 {
            return None;
        }
        let slope = xy / xx;
        let residual: f64 = points.iter().map(|(x, y)| (y - mean_y - slope * (x - mean_x)).powi(2)).sum();
        let error = (residual / (n - 2.0) / xx).sqrt();
        let span = points.last()?.0 - points.first()?.0;
        let grown = slope * span;
        let grows = slope > CERTAIN * error && grown > (SHARE * mean_y).max(LEAST);
        Some(if grows { slope * 3_600.0 } else { 0.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::{Growth, MOST};
    use proptest::prelude::*;
    use std::time::Duration;

    const MB: u64 = 1 << 20;

    fn course(bytes: impl IntoIterator<Item = u64>) -> Growth {
        let mut growth = Growth::default();
        for (n, bytes) in bytes.into_iter().enumerate() {
            growth.add(Duration::from_secs(10 * n as u64), bytes);
        }
        growth
    }

    #[test]
    fn a_leak_is_measured() {
        // A megabyte every ten seconds, with noise of three.
        let leak = course((0..90).map(|n| 100 * MB + n * MB + (n * 7 % 4) * MB));
        let slope = leak.per_hour().unwrap() / MB as f64;
        assert!((slope - 360.0).abs() < 20.0, "{slope}");
    }

    #[test]
    fn noise_a_warm_start_and_a_sawtooth_are_flat() {
        let flat = |growth: Growth| growth.per_hour() == Some(0.0);
        assert!(flat(course((0..90).map(|n| 100 * MB + (n * 7919 % 13) * MB))));
        assert!(flat(course((0..90).map(|n| 20 * MB + 80 * MB.min(n * MB / 10)))), "it starts in its first fifth");
        assert!(flat(course((0..200).map(|n| 100 * MB + n % 10 * 5 * MB))), "a garbage collector");
        assert!(flat(course((0..90).map(|n| 100 * MB + n * 1_000))), "a kilobyte is nothing");
    }

    #[test]
    fn too_little_is_said_so() {
        assert_eq!(course((0..11).map(|n| n * MB)).per_hour(), None);
        assert_eq!(Growth::default().per_hour(), None);
    }

    proptest! {
        #[test]
        fn any_course_is_bounded_and_its_slope_a_number(bytes in prop::collection::vec(any::<u64>(), 0..2_000)) {
            let growth = course(bytes);
            prop_assert!(growth.points.len() <= MOST);
            prop_assert!(growth.per_hour().is_none_or(f64::is_finite));
        }

        #[test]
        fn a_slope_is_kept_however_long_it_is(hours in 1_u64..12) {
            let readings = hours * 360;
            let growth = course((0..readings).map(|n| 100 * MB + n * MB));
            let slope = growth.per_hour().unwrap() / MB as f64;
            prop_assert!((slope - 360.0).abs() < 1.0, "{slope}");
        }
    }
}
