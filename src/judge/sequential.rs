//! Two older sequential tests, for a second opinion beside the gate's own odds: Wald's probability ratio
//! test (1945), which also decides for "good", and the mixture test of Johari, Pekelis and Walsh,
//! "Always valid inference" (2017), which compares two shares that need not be small.

/// Errors of both kinds that Wald's test is allowed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Wald {
    /// The share that is fine.
    pub p0: f64,
    /// The share that is not.
    pub p1: f64,
    /// The chance of rejecting what is fine.
    pub alpha: f64,
    /// The chance of accepting what is not.
    pub beta: f64,
}

/// What Wald's test says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Said {
    /// It is fine.
    Good,
    /// It is not.
    Bad,
    /// Not enough was seen.
    Open,
}

impl Wald {
    /// The logarithm of the likelihood ratio at which it says bad, and at which it says good.
    #[must_use]
    pub fn bounds(&self) -> (f64, f64) {
        (((1.0 - self.beta) / self.alpha).ln(), (self.beta / (1.0 - self.alpha)).ln())
    }

    /// What one error and one success add.
    #[must_use]
    pub fn steps(&self) -> (f64, f64) {
        ((self.p1 / self.p0).ln(), ((1.0 - self.p1) / (1.0 - self.p0)).ln())
    }

    /// What it says of `hits` of `of`.
    #[must_use]
    pub fn says(&self, hits: f64, of: f64) -> Said {
        let ((bad, good), (error, success)) = (self.bounds(), self.steps());
        let ln = hits * error + (of - hits) * success;
        if ln >= bad {
            Said::Bad
        } else if ln <= good {
            Said::Good
        } else {
            Said::Open
        }
    }

    /// How many requests it takes on average if the share is `p`.
    #[must_use]
    pub fn expected(&self, p: f64) -> f64 {
        let ((bad, good), (error, success)) = (self.bounds(), self.steps());
        let chance = if p >= self.p1 { 1.0 - self.beta } else { self.alpha };
        (chance * bad + (1.0 - chance) * good) / (p * error + (1.0 - p) * success)
    }
}

/// The mixture test of two means of normal values with variance `s2`, n pairs, difference `d`; `tau2`
/// is the variance of the differences that are thought likely.
#[must_use]
pub fn mixture_normal(n: f64, d: f64, s2: f64, tau2: f64) -> f64 {
    ln_mixture(n, d, 2.0 * s2, tau2).exp()
}

/// The same of two shares.
#[must_use]
pub fn mixture_shares(n: f64, one: f64, other: f64, tau2: f64) -> f64 {
    ln_mixture(n, other - one, one * (1.0 - one) + other * (1.0 - other), tau2).exp()
}

fn ln_mixture(n: f64, d: f64, v: f64, tau2: f64) -> f64 {
    if v <= 0.0 {
        return 0.0;
    }
    let all = v + n * tau2;
    0.5 * (v / all).ln() + n * n * tau2 * d * d / (2.0 * v * all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, want: f64) {
        assert!((got / want - 1.0).abs() < 1e-12, "{got} is not {want}");
    }

    #[test]
    fn published_vectors_of_the_mixture_test() {
        near(mixture_normal(1_000.0, 0.1, 1.0, 0.01), 3.278_721_627_526_389);
        for (n, one, other, want) in [
            (1_000.0, 0.01, 0.02, 1.766_799_219_957_545_7),
            (2_000.0, 0.01, 0.02, 6.878_112_565_529_973),
            (5_000.0, 0.01, 0.02, 705.326_833_289_821_3),
            (10_000.0, 0.01, 0.01, 0.139_339_770_635_385_05),
        ] {
            near(mixture_shares(n, one, other, 1e-4), want);
        }
        near(mixture_shares(10.0, 0.0, 0.0, 1e-4), 1.0);
    }

    #[test]
    fn published_vectors_of_walds_test() {
        let wald = Wald { p0: 0.01, p1: 0.02, alpha: 0.05, beta: 0.2 };
        near(wald.bounds().0, 2.772_588_722_239_781);
        near(wald.bounds().1, -1.558_144_618_046_549_7);
        near(wald.steps().0, std::f64::consts::LN_2);
        near(wald.steps().1, -0.010_152_371_464_017_962);
        let expected = |w: Wald| [w.expected(w.p0), w.expected(w.p1)].map(|n| (n * 10.0).round() / 10.0);
        assert_eq!(expected(wald), [430.1, 487.1]);
        assert_eq!(expected(Wald { p0: 0.001, p1: 0.005, ..wald }), [559.3, 470.1]);
        assert_eq!(wald.says(0.0, 153.0), Said::Open);
        assert_eq!(wald.says(0.0, 154.0), Said::Good);
        assert_eq!(wald.says(4.0, 4.0), Said::Bad);
    }
}
