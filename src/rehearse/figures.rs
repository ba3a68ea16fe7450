//! Figures of a rehearsal.

use serde::Serialize;
use statrs::distribution::{Beta, ContinuousCDF};
use std::time::Duration;

/// How many of how many.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Part {
    /// So many.
    pub n: usize,
    /// Of so many.
    pub of: usize,
    /// Percent; `None` of nothing.
    pub percent: Option<f64>,
    /// Percent between which it lies in 95 of 100 cases, after Clopper and Pearson: independent runs assumed.
    pub between: Option<[f64; 2]>,
}

impl Part {
    /// `n` of `of`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "runs, a few thousand at most")]
    pub fn new(n: usize, of: usize) -> Self {
        let (hits, all) = (n as f64, of as f64);
        if of == 0 {
            return Self::default();
        }
        let quantile = |a: f64, b: f64, q: f64| Beta::new(a, b).map(|beta| beta.inverse_cdf(q)).ok();
        let low = if n == 0 { Some(0.0) } else { quantile(hits, all - hits + 1.0, 0.025) };
        let high = if n >= of { Some(1.0) } else { quantile(hits + 1.0, all - hits, 0.975) };
        let between = low.zip(high).map(|(low, high)| [low * 100.0, high * 100.0]);
        Self { n, of, percent: Some(hits * 100.0 / all), between }
    }

    /// `2/200`, and `1.0 % (0.1 to 3.6)` after it.
    #[must_use]
    pub fn text(&self) -> (String, String) {
        let share = match (self.percent, self.between) {
            (Some(percent), Some([low, high])) => format!("{percent:.1} % ({low:.1} to {high:.1})"),
            _ => "-".into(),
        };
        (format!("{}/{}", self.n, self.of), share)
    }
}

/// The middle one, of two the lower; `None` of nothing.
#[must_use]
pub fn median<T: Copy + PartialOrd>(mut all: Vec<T>) -> Option<T> {
    all.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    all.get(all.len().checked_sub(1)? / 2).copied()
}

/// A span in whole seconds, for JSON.
#[must_use]
pub fn seconds(span: Option<Duration>) -> Option<u64> {
    span.map(|s| s.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published: Clopper and Pearson's bounds of 0 of 200, 10 of 100 and 1 of 1.
    #[test]
    fn bounds_are_the_exact_ones() {
        let near = |part: Part, low: f64, high: f64| {
            let [l, h] = part.between.unwrap();
            assert!((l - low).abs() < 0.01 && (h - high).abs() < 0.01, "{l} {h}");
        };
        near(Part::new(0, 200), 0.0, 1.828);
        near(Part::new(10, 100), 4.901, 17.622);
        near(Part::new(1, 1), 2.5, 100.0);
        assert_eq!(Part::new(0, 0).between, None);
    }

    #[test]
    fn the_median_is_one_of_them() {
        assert_eq!(median(vec![3, 1, 2]), Some(2));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.0));
        assert_eq!(median(Vec::<u8>::new()), None);
    }
}
