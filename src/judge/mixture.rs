//! Bounds that hold at all times at once, from mixtures of likelihood ratios: Howard, Ramdas, McAuliffe,
//! Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences" (2021).
//!
//! Each mixture turns a deviation `s` at intrinsic time `v` (a sum of variances) into the logarithm of
//! an e-value. A bound is the deviation at which it reaches a line. Each is tuned to be sharpest at an
//! intrinsic time `v_opt`, and is valid at all others.

use statrs::function::gamma::{gamma_ur, ln_gamma};

/// Turns a deviation into the logarithm of an e-value that grows with it.
pub trait Mixture {
    /// Of a deviation `s >= 0` at intrinsic time `v > 0`.
    fn ln_value(&self, s: f64, v: f64) -> f64;

    /// The largest deviation there can be.
    fn most(&self, v: f64) -> f64 {
        let mut most = v.max(1.0);
        while self.ln_value(most, v) < 700.0 && most < 1e15 {
            most *= 2.0;
        }
        most
    }

    /// The deviation at which the e-value is `1 / alpha`.
    fn bound(&self, v: f64, alpha: f64) -> f64 {
        let line = -alpha.ln();
        let high = self.most(v);
        if self.ln_value(high, v) < line { high } else { bisect(0.0, high, |s| self.ln_value(s, v) < line) }
    }
}

/// How the normal mixture is tuned: the variance of what it mixes over.
#[must_use]
pub fn best_rho(v_opt: f64, alpha: f64) -> f64 {
    let line = -2.0 * alpha.ln();
    v_opt / (line + line.ln_1p())
}

/// For deviations of bounded or normal variables, to both sides.
#[derive(Clone, Copy, Debug)]
pub struct Normal {
    rho: f64,
}

impl Normal {
    /// Sharpest at `v_opt` for `alpha`.
    #[must_use]
    pub fn new(v_opt: f64, alpha: f64) -> Self {
        Self { rho: best_rho(v_opt, alpha) }
    }
}

impl Mixture for Normal {
    fn ln_value(&self, s: f64, v: f64) -> f64 {
        0.5 * (self.rho / (v + self.rho)).ln() + s * s / (2.0 * (v + self.rho))
    }
}

/// For shares: steps of at most `g` down and `h` up.
#[derive(Clone, Copy, Debug)]
pub struct BetaBinomial {
    r: f64,
    g: f64,
    h: f64,
    start: f64,
}

impl BetaBinomial {
    /// Sharpest at `v_opt` for `alpha`, to both sides.
    #[must_use]
    pub fn new(v_opt: f64, alpha: f64, g: f64, h: f64) -> Self {
        let r = (best_rho(v_opt, alpha) - g * h).max(1e-3 * g * h);
        let mut mixture = Self { r, g, h, start: 0.0 };
        mixture.start = mixture.ln_beta(0.0, 0.0);
        mixture
    }

    fn ln_beta(&self, s: f64, v: f64) -> f64 {
        let Self { r, g, h, .. } = *self;
        ln_beta((r + v - g * s) / (g * (g + h)), (r + v + h * s) / (h * (g + h)))
    }
}

impl Mixture for BetaBinomial {
    fn ln_value(&self, s: f64, v: f64) -> f64 {
        let Self { g, h, start, .. } = *self;
        v / (g * h) * (g + h).ln() - (v + h * s) / (h * (g + h)) * g.ln() - (v - g * s) / (g * (g + h)) * h.ln() + self.ln_beta(s, v)
            - start
    }

    fn most(&self, v: f64) -> f64 {
        v / self.g
    }
}

/// For counts of rare events, upwards: `c` is the size of a step.
#[derive(Clone, Copy, Debug)]
pub struct GammaPoisson {
    rho: f64,
    c: f64,
    start: f64,
}

impl GammaPoisson {
    /// Sharpest at `v_opt` for `alpha`.
    #[must_use]
    pub fn new(v_opt: f64, alpha: f64, c: f64) -> Self {
        let rho = best_rho(v_opt, 2.0 * alpha);
        let part = rho / (c * c);
        let start = part * part.ln() - ln_gamma(part) - gamma_ur(part, part).ln();
        Self { rho, c, start }
    }
}

impl Mixture for GammaPoisson {
    fn ln_value(&self, s: f64, v: f64) -> f64 {
        let square = self.c * self.c;
        let time = (v + self.rho) / square;
        let events = s / self.c + time;
        self.start + ln_gamma(events) + gamma_ur(events, time).ln() - events * time.ln() + v / square
    }
}

/// Where a share lies that was measured as `hits` of `of`: bounds that hold however often they are
/// looked at, with a chance of at most `alpha` of ever being wrong.
#[must_use]
pub fn share(hits: f64, of: f64, alpha: f64, t_opt: f64) -> (f64, f64) {
    let (line, seen) = (-alpha.ln(), hits / of);
    // Above 0 where p is excluded.
    let beyond = |p: f64| {
        let variance = p * (1.0 - p);
        BetaBinomial::new(variance * t_opt, alpha, p, 1.0 - p).ln_value((seen - p) * of, variance * of) - line
    };
    let low = if seen > 0.0 { root(0.0, seen, beyond) } else { 0.0 };
    let high = if seen < 1.0 { root(1.0, seen, beyond) } else { 1.0 };
    (low, high)
}

/// Where a function falls to 0 between `above` and `below`, to a part in 1e9: by false position (the
/// Illinois rule), which takes a fifth of the steps of halving. At `above` it may be infinite. If it falls
/// nowhere, that is `above`.
pub(super) fn root(mut above: f64, mut below: f64, value: impl Fn(f64) -> f64) -> f64 {
    // Halved until the value is a number: at 0 and 1 it is none.
    let (mut up, mut down) = (f64::INFINITY, value(below));
    for _ in 0..80 {
        let straight = above + (below - above) * up / (up - down);
        let strictly = |p: f64| (p - above) * (p - below) < 0.0;
        let guess = if up.is_finite() && down.is_finite() && strictly(straight) { straight } else { f64::midpoint(above, below) };
        let at_guess = value(guess);
        if at_guess > 0.0 || at_guess.is_nan() {
            // The end that stays loses half its weight, or the other one would creep.
            (above, up, down) = (guess, if at_guess.is_nan() { f64::INFINITY } else { at_guess }, down / 2.0);
        } else {
            (below, down, up) = (guess, at_guess, up / 2.0);
        }
        if (above - below).abs() <= 1e-9 * above.abs().min(below.abs()).max(1e-6) || at_guess.abs() < 1e-9 {
            break;
        }
    }
    if down.abs() < up.abs() { below } else { above }
}

/// Where a condition that holds at `low` stops holding.
pub(super) fn bisect(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if holds(middle) { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// The logarithm of Euler's beta function.
pub(super) fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against halving, over what gates see: no error at all to nothing but errors.
    #[test]
    fn shares_are_where_halving_finds_them() {
        for of in [1.0, 7.3, 50.0, 1_000.0, 123_456.0] {
            for part in [0.0, 1e-4, 0.003, 0.01, 0.2, 0.5, 0.97, 1.0] {
                let hits = of * part;
                let excluded = |p: f64| {
                    let variance = p * (1.0 - p);
                    BetaBinomial::new(variance * 1_000.0, 0.05, p, 1.0 - p).ln_value((part - p) * of, variance * of) >= 20.0_f64.ln()
                };
                let low = if part > 0.0 { bisect(0.0, part, |p| p <= 0.0 || excluded(p)) } else { 0.0 };
                let high = if part < 1.0 { bisect(part, 1.0, |p| p < 1.0 && !excluded(p)) } else { 1.0 };
                let got = share(hits, of, 0.05, 1_000.0);
                assert!((got.0 - low).abs() < 1e-7 && (got.1 - high).abs() < 1e-7, "{hits} of {of}: {got:?}, {low} {high}");
            }
        }
    }

    fn near(got: f64, want: f64) {
        assert!((got - want).abs() < 1e-5, "{got} is not {want}");
    }

    #[test]
    fn published_vectors_of_mixtures() {
        near(best_rho(100.0, 0.05), 12.600_56);
        let normal = Normal::new(100.0, 0.05);
        near(normal.ln_value(10.0, 100.0), -0.651_005_2);
        near(normal.bound(100.0, 0.05), 30.352_09);
        let share = BetaBinomial::new(100.0, 0.05, 0.2, 0.8);
        near(share.ln_value(10.0, 100.0), -0.694_101_2);
        near(share.bound(100.0, 0.05), 31.430_8);
        let events = GammaPoisson::new(100.0, 0.05, 2.0);
        near(events.ln_value(10.0, 100.0), -0.069_912_19);
        near(events.bound(100.0, 0.05), 30.194_9);
    }

    #[test]
    fn published_vectors_of_shares() {
        for ((hits, of, t_opt), (low, high)) in [
            ((700.0, 1000.0, 100.0), (0.651_629, 0.745_949)),
            ((15.0, 50.0, 50.0), (0.129_556, 0.511_896)),
            ((5.0, 50.0, 50.0), (0.013_021, 0.269_264)),
            ((1.0, 50.0, 50.0), (0.0, 0.134_89)),
            ((1.0, 2.0, 50.0), (0.0, 1.0)),
            ((0.0, 1.0, 50.0), (0.0, 1.0)),
            ((1.0, 1.0, 50.0), (0.0, 1.0)),
            ((100.0, 200.0, 1.0), (0.328_923, 0.671_076)),
        ] {
            let got = share(hits, of, 0.05, t_opt);
            near(got.0, low);
            near(got.1, high);
        }
    }
}
