//! How large a difference is, in the measures that Kayenta knows.

use super::mann_whitney::Samples;

#[expect(clippy::cast_precision_loss, reason = "numbers of samples")]
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The mean of one to the mean of the other; no number if either is 0.
#[must_use]
pub fn mean_ratio(one: &[f64], other: &[f64]) -> f64 {
    let (a, b) = (mean(one), mean(other));
    if a == 0.0 || b == 0.0 { f64::NAN } else { a / b }
}

/// The chance that a value of one is above a value of the other, ties as halves.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "numbers of samples")]
pub fn cles(one: &[f64], other: &[f64]) -> f64 {
    Samples::new(one, other).u() / (one.len() as f64 * other.len() as f64)
}

/// By how many of their common standard deviations the means differ (Cohen's d).
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "numbers of samples")]
pub fn cohens_d(one: &[f64], other: &[f64]) -> f64 {
    let squares = |values: &[f64]| values.iter().map(|v| (v - mean(values)).powi(2)).sum::<f64>();
    let common = (squares(one) + squares(other)) / (one.len() as f64 + other.len() as f64 - 2.0);
    (mean(one) - mean(other)) / common.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        let five = |value: f64| [value; 5];
        assert_eq!(mean_ratio(&five(10.0), &five(1.0)), 10.0);
        assert_eq!(mean_ratio(&five(10.0), &five(100.0)), 0.1);
        assert!(mean_ratio(&five(10.0), &five(0.0)).is_nan() && mean_ratio(&five(0.0), &five(10.0)).is_nan());
        let (low, high) = ([1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]);
        assert_eq!([cles(&low, &low), cles(&low, &high), cles(&high, &low)], [0.5, 0.0, 1.0]);
        let d = cohens_d(&[5.0, 5.0, 5.0, 10.0, 10.0, 10.0], &[1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
        assert!((d - 3.038_21).abs() < 1e-5, "{d}");
    }
}
