//! What could be seen by now, what will be seen when, and what a healthy candidate still lacks to pass.
//!
//! All of it is expectation: with errors as they come on average, the odds would reach the line at that
//! ratio or time; half of the time chance makes it a little later. A person who must decide whether to
//! wait needs that, not a guarantee.

use super::{
    dispersion::Phi,
    odds::{PerRatio, RATIOS, at, each, ln_ratio, prices},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Ratios that are told, smallest first.
const TOLD: [f64; 6] = [1.3, 1.5, 2.0, 3.0, 5.0, 10.0];
/// A smaller ratio is told if it is seen within this, in seconds.
const SOON: f64 = 1_800.0;
/// Beyond this nothing is promised, in seconds.
pub(super) const FOREVER: f64 = 7.0 * 86_400.0;

/// What the requests of a run would have shown, per error of stable's ratio. Sums of n/phi times what
/// an error adds for and against each ratio; nothing of it grows with the run.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Exposure {
    /// The candidate's requests.
    candidate: f64,
    /// The same times the price of an error.
    own: PerRatio,
    /// Stable's requests times the price of an error.
    other: PerRatio,
    /// The candidate's requests and stable's, times the price of an error by `r_max`.
    #[serde(default)]
    excuse: [f64; 2],
}

impl Exposure {
    /// Takes in requests of both versions; `prices` are those of the candidate's share.
    pub fn add(&mut self, candidate: f64, stable: f64, prices: &PerRatio, phi: f64) {
        let (candidate, stable) = (candidate / phi, stable / phi);
        self.candidate += candidate;
        for ((own, other), price) in self.own.iter_mut().zip(&mut self.other).zip(prices) {
            *own += candidate * price;
            *other += stable * price;
        }
    }

    /// The same for the odds that the candidate is not `r_max` times as bad; `price` is that of `r_max`.
    pub fn excuse(&mut self, candidate: f64, stable: f64, price: f64, phi: f64) {
        let [own, other] = &mut self.excuse;
        *own += candidate / phi * price;
        *other += stable / phi * price;
    }

    /// What one more second adds at these rates.
    #[must_use]
    pub fn second(candidate: f64, stable: f64, phi: f64) -> Self {
        let mut one = Self::default();
        if candidate > 0.0 && stable > 0.0 {
            one.add(candidate, stable, &prices(candidate / (candidate + stable)), phi);
        }
        one
    }

    /// Expected `ln L(r)` if the candidate were `ratio` times as bad as stable at error ratio `p`.
    fn expected(&self, ratio: f64, p: f64) -> PerRatio {
        each(|i| p * (ratio * (self.candidate * ln_ratio(i) - at(&self.own, i)) - at(&self.other, i)))
    }

    /// The smallest ratio whose odds would have reached the line by now; `None` if there is none up to 10.
    #[must_use]
    pub fn sees(&self, p: f64, ln_line: f64) -> Option<f64> {
        self.least(p, ln_line).filter(|least| *least <= 10.0)
    }

    /// The same without an end: stable may have so few errors that a candidate is seen by a share of them
    /// which is hundreds of times as much.
    #[must_use]
    pub fn least(&self, p: f64, ln_line: f64) -> Option<f64> {
        let line = ln_line + ln_count();
        let ratios = (0..RATIOS.len()).filter_map(|i| {
            let gain = self.candidate * ln_ratio(i) - at(&self.own, i);
            (gain > 0.0 && p > 0.0).then(|| (line / p + at(&self.other, i)) / gain)
        });
        let least = ratios.fold(f64::INFINITY, f64::min);
        least.is_finite().then_some(least)
    }

    /// The ratio up to which a candidate would have been shown to be within `r_max` by now, and so is held
    /// where it is seen, and does not fail.
    #[must_use]
    pub fn excused(&self, p: f64, ln_r_max: f64, ln_pass: f64) -> f64 {
        let [own, other] = self.excuse;
        let loss = self.candidate * ln_r_max - own;
        if p > 0.0 && loss > 0.0 { ((other - ln_pass / p) / loss).max(0.0) } else { 0.0 }
    }

    /// Seconds until a ratio would be seen, when each adds `second`.
    #[must_use]
    pub fn until(&self, ratio: f64, second: &Self, p: f64, ln_line: f64) -> Option<f64> {
        let line = ln_line + ln_count();
        let (now, more) = (self.expected(ratio, p), second.expected(ratio, p));
        let times = now.iter().zip(&more).filter(|(_, more)| **more > 0.0).map(|(now, more)| ((line - now) / more).max(0.0));
        let least = times.fold(f64::INFINITY, f64::min);
        (least <= FOREVER).then_some(least)
    }

    /// A smaller ratio than `sees`, and in how many seconds it is seen: the smallest within half an hour,
    /// or else the next one.
    #[must_use]
    pub fn soon(&self, sees: Option<f64>, second: &Self, p: f64, ln_line: f64) -> Option<(f64, f64)> {
        let smaller = TOLD.iter().copied().filter(|r| sees.is_none_or(|sees| *r < sees * 0.95));
        let timed: Vec<(f64, f64)> = smaller.filter_map(|r| Some((r, self.until(r, second, p, ln_line)?))).collect();
        timed.iter().find(|(_, secs)| *secs <= SOON).or(timed.last()).copied()
    }
}

/// How fast `ln S` grows per second against `r_max`, for a candidate with error ratio `own` beside stable
/// with `p`; not above 0 when it never passes.
#[must_use]
pub fn safety_per_second(rates: (f64, f64), own: f64, p: f64, r_max: f64, phi: f64) -> f64 {
    let (candidate, stable) = rates;
    if candidate <= 0.0 || stable <= 0.0 {
        return 0.0;
    }
    let w = candidate / (candidate + stable);
    let (x, y) = (candidate * own, stable * p);
    ((x + y) * (w * (r_max - 1.0)).ln_1p() - x * r_max.ln()) / phi
}

/// The smallest weight, in whole percent, at which a candidate as good as stable passes within some
/// seconds; `limit` is what the limit allows, in parts of one. `None` if it does at none.
#[must_use]
pub fn weight_within(secs: f64, all: f64, p: f64, r_max: f64, limit: Option<f64>, phi: Phi, ln_line: f64) -> Option<u8> {
    // What the limit must have allowed: the same at every weight.
    let needed = limit.and_then(|limit| super::limit::Under::default().until(ln_line, p / limit));
    (1..=90_u8).find(|percent| {
        let w = f64::from(*percent) / 100.0;
        let grows = safety_per_second((all * w, all * (1.0 - w)), p, p, r_max, phi.pair);
        let by_ratio = grows > 0.0 && ln_line / grows <= secs;
        let by_limit = limit.zip(needed).is_some_and(|(limit, needed)| needed <= all * w * limit * secs / phi.alone);
        by_ratio || by_limit
    })
}

/// `ln` of how many ratios share the odds.
#[expect(clippy::cast_precision_loss, reason = "six")]
fn ln_count() -> f64 {
    (RATIOS.len() as f64).ln()
}

/// Seconds as a span of whole ones, if it is one that anybody waits for.
#[must_use]
pub fn span(secs: f64) -> Option<Duration> {
    (secs.is_finite() && (0.0..=FOREVER).contains(&secs)).then(|| Duration::from_secs_f64(secs.ceil()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The candidate at 10 % of 1,000 requests a minute, 1 % errors.
    #[test]
    fn what_is_promised_is_what_happens_on_average() {
        let (p, line) = (0.01, 100.0_f64.ln());
        let second = Exposure::second(100.0 / 60.0, 900.0 / 60.0, 1.0);
        let mut seen = Exposure::default();
        assert_eq!(seen.sees(p, line), None);
        let until = seen.until(2.0, &second, p, line).unwrap();
        let prices = prices(0.1);
        let mut product = super::super::odds::Product::default();
        let mut minutes = 0.0;
        while product.ln_odds() < line {
            product.add(&super::super::odds::ln_likelihoods(2.0, 9.0, &prices), 1.0);
            seen.add(100.0, 900.0, &prices, 1.0);
            minutes += 1.0;
        }
        assert!((until / 60.0 - minutes).abs() < 4.0, "{until} s, {minutes} min");
        let sees = seen.sees(p, line).unwrap();
        assert!((1.85..2.1).contains(&sees), "{sees}");
        let (ratio, secs) = seen.soon(Some(sees), &second, p, line).unwrap();
        assert!(ratio == 1.5 && secs > SOON, "{ratio} {secs}");
    }

    #[test]
    fn more_traffic_sees_less_difference() {
        let mut last = 10.1;
        let mut seen = Exposure::default();
        for _ in 0..50 {
            seen.add(1_000.0, 9_000.0, &prices(0.1), 1.0);
            let now = seen.sees(0.01, 100.0_f64.ln()).unwrap_or(10.0);
            assert!(now <= last && now > 1.0);
            last = now;
        }
        assert!(last < 1.5, "{last}");
        assert_eq!(seen.sees(0.0, 4.6), None, "without any error nothing is known of a ratio");
    }

    fn phi(pair: f64, alone: f64) -> Phi {
        Phi { pair, alone }
    }

    /// d.7: pass against r_max = 3 at 5 % and 1,000 requests a minute takes 8 minutes at 1 % errors and 75
    /// at 0.1 %.
    #[test]
    fn a_weight_that_decides_is_found() {
        let line = 20.0_f64.ln();
        for (p, minutes) in [(0.01, 8.0), (0.001, 75.0)] {
            let grows = safety_per_second((50.0 / 60.0, 950.0 / 60.0), p, p, 3.0, 1.0);
            let expected = line / grows / 60.0;
            assert!((expected / minutes - 1.0).abs() < 0.1, "{p}: {expected}");
        }
        let at = |secs: f64| weight_within(secs, 1_000.0 / 60.0, 0.01, 3.0, None, phi(1.0, 1.0), line);
        assert!(matches!(at(600.0), Some(4 | 5)), "{:?}", at(600.0));
        assert!(at(180.0).unwrap() > 15);
        assert_eq!(at(5.0), None);
        let quiet = |alone| weight_within(600.0, 1_000.0 / 60.0, 0.0, 3.0, Some(0.01), phi(1.0, alone), line).unwrap();
        assert!(quiet(1.0) < 5, "no errors: by the limit");
        assert!((9 * quiet(1.0)..=10 * quiet(1.0)).contains(&quiet(10.0)), "a limit has a dispersion of its own: {}", quiet(10.0));
        assert_eq!(safety_per_second((0.0, 5.0), 0.1, 0.1, 3.0, 1.0), 0.0);
    }
}
