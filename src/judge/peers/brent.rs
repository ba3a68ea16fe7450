//! A root of a function, by Brent's method ("Algorithms for Minimization without Derivatives", 1973,
//! chapter 4), with the tolerances that R and Kayenta use.
//!
//! The function that is solved here is made of steps, so that digits below the tolerance belong to the
//! order in which this method happens to try, and not to the root. Published figures have those digits:
//! every step here is as it is there.

/// How close to the root it comes.
const TOLERANCE: f64 = 1e-4;
const MOST: u32 = 1_000;

/// A point and the function's value there.
#[derive(Clone, Copy)]
struct Point {
    at: f64,
    value: f64,
}

/// Where `f` crosses zero between `low` and `high`. Where it has the same sign at both, the end that it
/// is led to. `None` where `f` is no number, or if it takes more than a thousand steps.
pub(super) fn root(low: f64, high: f64, f: impl Fn(f64) -> f64) -> Option<f64> {
    let point = |at: f64| {
        let value = f(at);
        (!value.is_nan()).then_some(Point { at, value })
    };
    let (mut last, mut best) = (point(low)?, point(high)?);
    if last.value == 0.0 {
        return Some(last.at);
    }
    // `best` and `other` lie on both sides of the root; `last` is the best of the step before.
    let mut other = last;
    for _ in 0..=MOST {
        let moved = best.at - last.at;
        if other.value.abs() < best.value.abs() {
            (last, best, other) = (best, other, best);
        }
        let least = 2.0 * f64::EPSILON * best.at.abs() + TOLERANCE / 2.0;
        let half = (other.at - best.at) / 2.0;
        if half.abs() <= least || best.value == 0.0 {
            return Some(best.at);
        }
        let mut step = half;
        if moved.abs() >= least && last.value.abs() > best.value.abs() {
            step = interpolated(last, best, other, moved, least).unwrap_or(half);
        }
        if step.abs() < least {
            step = if step > 0.0 { least } else { -least };
        }
        last = best;
        best = point(best.at + step)?;
        let same = (best.value > 0.0 && other.value > 0.0) || (best.value < 0.0 && other.value < 0.0);
        if same {
            other = last;
        }
    }
    None
}

/// A step by a line through two points, or by a parabola through three; `None` where half the way is
/// safer.
#[expect(clippy::float_cmp, reason = "whether two points are the same one")]
fn interpolated(last: Point, best: Point, other: Point, moved: f64, least: f64) -> Option<f64> {
    let across = other.at - best.at;
    let (p, q) = if last.at == other.at {
        let t = best.value / last.value;
        (across * t, 1.0 - t)
    } else {
        let (q, t1, t2) = (last.value / other.value, best.value / other.value, best.value / last.value);
        let p = t2 * (across * q * (q - t1) - (best.at - last.at) * (t1 - 1.0));
        (p, (q - 1.0) * (t1 - 1.0) * (t2 - 1.0))
    };
    let (p, q) = if p > 0.0 { (p, -q) } else { (-p, q) };
    let taken = p < 0.75 * across * q - (least * q).abs() / 2.0 && p < (moved * q / 2.0).abs();
    taken.then(|| p / q)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_found_to_the_tolerance() {
        let near = |found: Option<f64>, want: f64| assert!((found.unwrap() - want).abs() < TOLERANCE, "{found:?} is not {want}");
        near(root(0.0, 2.0, |x| x * x - 2.0), 2.0_f64.sqrt());
        near(root(-4.0, 3.0, |x| (x + 3.0) * (x - 1.0).powi(2)), -3.0);
        near(root(0.0, 10.0, f64::cos), 2.5 * std::f64::consts::PI);
        near(root(-1.0, 3.0, |x| if x < 0.7 { 1.0 } else { -1.0 }), 0.7);
    }

    #[test]
    fn a_root_at_an_end_is_taken_and_no_number_is_none() {
        assert_eq!(root(1.0, 5.0, |x| x - 1.0), Some(1.0));
        assert_eq!(root(1.0, 5.0, |x| x - 5.0), Some(5.0));
        assert_eq!(root(1.0, 5.0, |_| f64::NAN), None);
        assert!(root(1.0, 5.0, |x| x).is_some_and(|x| (1.0..=5.0).contains(&x)), "the same sign at both ends");
    }
}
