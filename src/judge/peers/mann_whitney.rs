//! By how much the values of one sample are above those of another, without knowing how they are
//! distributed: the Mann-Whitney test, as a confidence interval for the shift (Hodges and Lehmann).
//! What R calls `wilcox.test(conf.int = TRUE)`, in its approximation for large samples.

use super::brent;
use statrs::distribution::{ContinuousCDF, Normal};

/// Two samples, sorted.
#[derive(Clone, PartialEq, Debug)]
pub struct Samples {
    x: Vec<f64>,
    y: Vec<f64>,
}

/// By how much x is above y, in their unit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Shift {
    /// At least this.
    pub low: f64,
    /// At most this.
    pub high: f64,
    /// Most likely this.
    pub estimate: f64,
}

/// The sum of the ranks of x among both, and the correction for ties, the sum of `t^3 - t`.
struct Ranks {
    sum: f64,
    ties: f64,
}

impl Samples {
    /// Of what was measured; what is no finite number is left out.
    #[must_use]
    pub fn new(x: &[f64], y: &[f64]) -> Self {
        let sorted = |values: &[f64]| {
            let mut values: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        Self { x: sorted(x), y: sorted(y) }
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers of samples")]
    fn sizes(&self) -> (f64, f64) {
        (self.x.len() as f64, self.y.len() as f64)
    }

    /// Ranks of `x - shift` among y; equal values share the mean of theirs.
    #[expect(clippy::float_cmp, reason = "ties are values that are exactly equal")]
    fn ranks(&self, shift: f64) -> Ranks {
        let mut x = self.x.iter().map(|v| v - shift).peekable();
        let mut y = self.y.iter().copied().peekable();
        let mut ranks = Ranks { sum: 0.0, ties: 0.0 };
        let mut below = 0.0;
        while let Some(next) = x.peek().into_iter().chain(y.peek()).copied().reduce(f64::min) {
            let (mut own, mut other) = (0.0, 0.0);
            while x.next_if(|v| *v == next).is_some() {
                own += 1.0;
            }
            while y.next_if(|v| *v == next).is_some() {
                other += 1.0;
            }
            let t: f64 = own + other;
            ranks.sum += own * (below + (t + 1.0) / 2.0);
            ranks.ties += t.powi(3) - t;
            below += t;
            if t == 0.0 {
                break;
            }
        }
        ranks
    }

    /// Mann and Whitney's U: in how many pairs x is above y, ties as halves.
    #[must_use]
    pub fn u(&self) -> f64 {
        let (m, _) = self.sizes();
        self.ranks(0.0).sum - m * (m + 1.0) / 2.0
    }

    /// How many standard deviations the ranks of `x - shift` are above their mean; no number where all
    /// values are the same.
    #[must_use]
    pub fn deviation(&self, shift: f64, continuity: bool) -> f64 {
        let (m, n) = self.sizes();
        let ranks = self.ranks(shift);
        let above = ranks.sum - m * (m + 1.0) / 2.0 - m * n / 2.0;
        let half = if continuity && above != 0.0 { 0.5 * above.signum() } else { 0.0 };
        let sigma = (m * n / 12.0 * ((m + n + 1.0) - ranks.ties / ((m + n) * (m + n - 1.0)))).sqrt();
        (above - half) / sigma
    }

    /// The chance of a difference like this between samples of the same kind, both sides; no number
    /// where all values are the same.
    #[must_use]
    pub fn p_value(&self, continuity: bool) -> f64 {
        2.0 * Normal::standard().cdf(-self.deviation(0.0, continuity).abs())
    }

    /// The shift, with an interval that holds it in this part of all cases. `None` without samples, or
    /// where a shift makes all values the same.
    #[must_use]
    pub fn shift(&self, confidence: f64) -> Option<Shift> {
        let least = self.x.first()? - self.y.last()?;
        let most = self.x.last()? - self.y.first()?;
        let z = Normal::standard().inverse_cdf((1.0 - confidence) / 2.0);
        let beyond = |q: f64| move |shift: f64| self.deviation(shift, true) - q;
        let end = |q: f64| {
            let beyond = beyond(q);
            let ends = (beyond(least), beyond(most));
            if ends.0.is_nan() || ends.1.is_nan() {
                None
            } else if ends.0 <= 0.0 {
                Some(least)
            } else if ends.1 >= 0.0 {
                Some(most)
            } else {
                brent::root(least, most, beyond)
            }
        };
        Some(Shift { low: end(-z)?, high: end(z)?, estimate: brent::root(least, most, beyond(0.0))? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, want: f64, tolerance: f64) {
        assert!((got - want).abs() <= tolerance, "{got} is not {want}");
    }

    #[test]
    fn small_vectors() {
        near(Normal::standard().inverse_cdf(0.01), -2.326_348, 1e-6);
        let shift = Samples::new(&[10.0, 20.0, 30.0, 40.0], &[1.0, 2.0, 3.0, 4.0]).shift(0.95).unwrap();
        assert_eq!((shift.low, shift.high), (6.0, 39.0));
        near(shift.estimate, 22.5, 1e-4);
    }

    #[test]
    fn the_plain_test_has_the_documented_p_values() {
        let samples = Samples::new(&[19.0, 22.0, 16.0, 29.0, 24.0], &[20.0, 11.0, 17.0, 12.0]);
        assert_eq!(samples.u(), 17.0);
        near(samples.p_value(true), 0.111_346_886_533_140_41, 1e-10);
        near(samples.p_value(false), 0.086_410_732_973_7, 1e-10);
    }

    /// Ninety times of control and experiment, as R was given them.
    #[test]
    fn r_says_the_same_to_its_last_digit() {
        let control = [
            1.5, 6.0, 5.0, 2.5, 2.5, 2.0, 2.0, 3.5, 3.0, 3.0, 3.0, 2.0, 3.0, 8.0, 4.0, 2.5, 3.0, 2.5, 2.5, 2.0, 2.5, 2.0, 2.0, 2.5, 3.5,
            3.0, 1.5, 5.0, 2.5, 5.5, 2.0, 2.5, 3.5, 2.0, 2.5, 4.0, 2.0, 2.0, 2.0, 2.0, 5.5, 4.5, 4.0, 3.0, 3.0, 3.5, 2.5, 3.0, 2.5, 4.0,
            6.0, 2.0, 5.0, 6.0, 3.5, 3.0, 54.5, 3.0, 5.0, 6.0, 3.5, 4.5, 2.5, 2.0, 6.0, 5.0, 2.5, 3.5, 2.0, 3.0, 2.5, 3.5, 3.5, 2.5, 3.0,
            4.5, 3.0, 15.5, 5.0, 2.5, 3.0, 4.0, 3.5, 4.0, 4.0, 2.0, 4.5, 2.5, 4.0, 3.0,
        ];
        let experiment = [
            2.5, 2.5, 2.0, 2.5, 3.5, 2.0, 3.5, 1.5, 3.0, 3.0, 2.5, 3.5, 2.0, 2.5, 2.0, 2.0, 5.0, 3.0, 2.0, 1.5, 2.0, 4.0, 3.0, 2.5, 3.0,
            2.0, 2.0, 2.0, 2.5, 3.5, 1.5, 1.5, 3.5, 2.0, 2.5, 2.5, 3.0, 3.5, 2.5, 6.5, 2.5, 4.0, 2.5, 3.0, 2.5, 6.5, 2.5, 3.0, 1.5, 2.0,
            2.5, 3.0, 7.5, 1.5, 2.0, 4.0, 2.5, 2.0, 2.5, 3.5, 4.0, 2.5, 3.0, 2.5, 2.0, 3.5, 3.0, 16.5, 3.0, 3.0, 7.0, 4.5, 5.0, 2.0, 3.5,
            6.0, 1.5, 3.0, 2.5, 4.0, 3.0, 1.5, 5.0, 3.0, 2.5, 5.5, 3.0, 1.5, 2.5, 6.0,
        ];
        let shift = Samples::new(&experiment, &control).shift(0.95).unwrap();
        near(shift.low, -0.500_002_521_696_696, 1e-6);
        near(shift.high, -3.486_287_505_871_302e-5, 1e-6);
        near(shift.estimate, -0.499_94, 1e-4);
    }

    #[test]
    fn what_cannot_be_ranked_has_no_shift() {
        assert_eq!(Samples::new(&[], &[1.0]).shift(0.98), None);
        assert_eq!(Samples::new(&[f64::NAN], &[1.0]).shift(0.98), None, "no number is no sample");
        assert_eq!(Samples::new(&[3.0], &[1.0]).shift(0.98), None, "moved by two they are the same");
        assert_eq!(Samples::new(&[3.0, 3.0], &[1.0, 1.0]).shift(0.98), None);
    }
}
