//! Whether memory grows, and by how much: what a process takes once it is warm and does not give back.

use std::time::Duration;

/// Below this many readings nothing is said: two minutes of them, once it has run for a while.
const ENOUGH: usize = 12;
/// At most this many are kept; when they are, only those twice as far apart stay, so that they cover any time.
const MOST: usize = 256;
const MOST_F: f64 = 256.0;
/// A slope must stand this many standard errors above zero.
const CERTAIN: f64 = 5.0;
/// Growth over the whole time that is less than this share of the level is none.
const SHARE: f64 = 0.02;
/// So is growth of less than this many bytes.
const LEAST: f64 = 1_048_576.0;
/// The lowest of each third must be above that of the one before by this share of the growth: what fills up once
/// and what is collected again and again comes to rest, or back.
const RISES: f64 = 0.25;

/// A course of memory, from the start of a process on.
#[derive(Default)]
pub struct Course {
    /// Seconds and bytes.
    points: Vec<(f64, f64)>,
    /// Seconds between two that are kept, at least.
    gap: f64,
    /// When it was ready for the first time, in the same seconds.
    ready: Option<f64>,
}

/// What can be said of a course.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Growth {
    /// Bytes per hour; 0 when it does not grow.
    pub per_hour: f64,
    /// Over what time: since it was warm.
    pub over: Duration,
}

impl Course {
    /// A reading; time never goes back.
    #[expect(clippy::cast_precision_loss, reason = "bytes of one machine")]
    pub fn add(&mut self, at: Duration, bytes: u64) {
        let at = at.as_secs_f64();
        if self.points.last().is_some_and(|(last, _)| at - last < self.gap) {
            return;
        }
        self.points.push((at, bytes as f64));
        if self.points.len() >= MOST {
            let (first, last) = (self.points.first().map_or(at, |p| p.0), at);
            // By time and not by number: young processes are read more often.
            self.gap = (self.gap * 2.0).max((last - first) * 2.0 / MOST_F);
            let (gap, mut before) = (self.gap, f64::NEG_INFINITY);
            self.points.retain(|(at, _)| {
                let keep = at - before >= gap;
                before = if keep { *at } else { before };
                keep
            });
        }
    }

    /// It is ready; what counts is when it was so for the first time.
    pub fn ready(&mut self, at: Duration) {
        self.ready.get_or_insert(at.as_secs_f64());
    }

    /// What it did since it was warm: `warmup` after it was ready, and without the first fifth; what starts,
    /// grows. `None` as long as that cannot be said.
    ///
    /// It grows if the line of least squares does, for certain, and if what it never falls below does so too.
    #[must_use]
    pub fn growth(&self, warmup: Duration) -> Option<Growth> {
        let (first, last) = (self.points.first()?.0, self.points.last()?.0);
        let warm = (self.ready? + warmup.as_secs_f64()).max(first + (last - first) / 5.0);
        let points = self.points.get(self.points.partition_point(|p| p.0 < warm)..)?;
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
        let span = last - points.first()?.0;
        let grown = slope * span;
        let grows = slope > CERTAIN * error && grown > (SHARE * mean_y).max(LEAST) && rises(points, RISES * grown);
        Some(Growth { per_hour: if grows { slope * 3_600.0 } else { 0.0 }, over: Duration::try_from_secs_f64(span).unwrap_or_default() })
    }
}

/// Whether the lowest of each third is so far above that of the third before.
fn rises(points: &[(f64, f64)], by: f64) -> bool {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return false };
    let third = (last.0 - first.0) / 3.0;
    let mut lowest = [f64::INFINITY; 3];
    for (at, bytes) in points {
        let nth = if *at < first.0 + third { 0 } else { 1 + usize::from(*at >= first.0 + 2.0 * third) };
        if let Some(lowest) = lowest.get_mut(nth) {
            *lowest = lowest.min(*bytes);
        }
    }
    let [a, b, c] = lowest;
    b - a > by && c - b > by
}

#[cfg(test)]
mod tests {
    use super::{Course, Growth, MOST};
    use proptest::prelude::*;
    use std::time::Duration;

    const MB: u64 = 1 << 20;
    const WARMUP: Duration = Duration::from_secs(120);

    fn course(bytes: impl IntoIterator<Item = u64>) -> Course {
        let mut course = Course::default();
        course.ready(Duration::ZERO);
        for (n, bytes) in bytes.into_iter().enumerate() {
            course.add(Duration::from_secs(10 * n as u64), bytes);
        }
        course
    }

    fn megabytes(growth: Growth) -> f64 {
        growth.per_hour / MB as f64
    }

    #[test]
    fn a_leak_is_measured_from_when_it_was_warm() {
        // A megabyte every ten seconds, with noise of three.
        let leak = course((0..90).map(|n| 100 * MB + n * MB + (n * 7 % 4) * MB)).growth(WARMUP).unwrap();
        assert!((megabytes(leak) - 360.0).abs() < 20.0, "{leak:?}");
        assert_eq!(leak.over, Duration::from_secs(890 - 180), "without its first fifth");
        let leak = course((0..30).map(|n| 100 * MB + n * MB)).growth(WARMUP).unwrap();
        assert_eq!((megabytes(leak).round() as u64, leak.over), (360, Duration::from_secs(290 - 120)));
        // Collected again and again, and a little more stays each time.
        let sawtooth = course((0..400).map(|n| 100 * MB + n * MB / 4 + n % 20 * 3 * MB)).growth(WARMUP).unwrap();
        assert!((megabytes(sawtooth) - 90.0).abs() < 20.0, "{sawtooth:?}");
    }

    #[test]
    fn noise_a_warm_start_a_sawtooth_and_a_cache_that_fills_up_are_flat() {
        let flat = |course: Course| course.growth(WARMUP).map(|g| g.per_hour) == Some(0.0);
        assert!(flat(course((0..90).map(|n| 100 * MB + (n * 7919 % 13) * MB))));
        assert!(flat(course((0..90).map(|n| 20 * MB + 80 * MB.min(n * MB / 10)))), "it starts in its first fifth");
        assert!(flat(course((0..200).map(|n| 100 * MB + n % 10 * 5 * MB))), "a garbage collector");
        assert!(flat(course((0..90).map(|n| 100 * MB + n * 1_000))), "a kilobyte is nothing");
        assert!(flat(course((0..360).map(|n| 100 * MB + n.min(160) * MB))), "it came to rest");
        let fills = |n: i32| 500.0 * (1.0 - (-f64::from(n) / 60.0).exp());
        assert!(flat(course((0..360).map(|n| 100 * MB + fills(n) as u64 * MB))), "a cache");
        assert!(flat(course((0..90).map(|n| if n < 70 { 100 * MB } else { 400 * MB }))), "one big thing, once");
    }

    #[test]
    fn too_little_is_said_so() {
        assert_eq!(course((0..20).map(|n| n * MB)).growth(WARMUP), None, "two minutes to get warm, and two more");
        assert!(course((0..24).map(|n| n * MB)).growth(WARMUP).is_some());
        assert_eq!(Course::default().growth(WARMUP), None);
        let mut never_ready = Course::default();
        (0..90).for_each(|n| never_ready.add(Duration::from_secs(n * 10), n * MB));
        assert_eq!(never_ready.growth(WARMUP), None);
    }

    proptest! {
        #[test]
        fn any_course_is_bounded_and_its_slope_a_number(readings in prop::collection::vec((0..5_000_u64, any::<u64>()), 0..2_000)) {
            let mut course = Course::default();
            course.ready(Duration::ZERO);
            let mut at = 0;
            for (pause, bytes) in readings {
                at += pause;
                course.add(Duration::from_secs(at), bytes);
            }
            prop_assert!(course.points.len() <= MOST);
            prop_assert!(course.growth(WARMUP).is_none_or(|g| g.per_hour.is_finite() && g.per_hour >= 0.0));
        }

        #[test]
        fn a_slope_is_kept_however_long_it_is(hours in 1_u64..12, young in 0..200_u64) {
            let mut course = Course::default();
            course.ready(Duration::ZERO);
            let mut add = |second: u64| course.add(Duration::from_secs(second), 100 * MB + second * MB / 10);
            (0..young).for_each(&mut add);
            (young..hours * 3_600).step_by(10).for_each(&mut add);
            let growth = course.growth(WARMUP).unwrap();
            prop_assert!((megabytes(growth) - 360.0).abs() < 1.0, "{:?}", growth);
            prop_assert!(growth.over.as_secs() as f64 > 0.75 * (hours * 3_600) as f64);
        }
    }
}
