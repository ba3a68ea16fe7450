//! One version beside an absolute limit, as e-values: a point estimate that is looked at again and again
//! breaks a limit by chance. With a true 0.5 % and a limit of 1 %, half of all 40-minute runs would
//! fail; these odds do so in 0.03 % of them at 0.8 %.
//!
//! Counts are taken as Poisson, `expected` is what the limit allows. Over it: the mean over r of
//! `exp(x ln r - expected (r - 1))`. Under it: the mean over c in {0, 1/4, 1/2} of
//! `exp(x ln c + expected (1 - c))`, which without any error passes 20 from 3.65 expected errors on.

use super::{
    mixture::root,
    odds::{PerRatio, Product, detect, ln_excess, ln_mean, reaches},
};
use serde::{Deserialize, Deserializer, Serialize};
use std::f64::consts::LN_2;

/// Whether a ratio is over a limit.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Over {
    run: Product,
    /// The same since a change: it forgets what spoke against it. See [`super::odds::Change`], which also knows
    /// what excuses a candidate beside stable; nothing excuses one that is over its limit.
    #[serde(deserialize_with = "written")]
    change: PerRatio,
}

/// A detector as it is written, or as hosts wrote it that were there before: what they knew is not begun anew.
fn written<'de, D: Deserializer<'de>>(from: D) -> Result<PerRatio, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Now(PerRatio),
        Before { ln: PerRatio },
    }
    Ok(match Written::deserialize(from)? {
        Written::Now(ln) | Written::Before { ln } => ln,
    })
}

impl Over {
    /// Takes in x events where the limit allows `expected`.
    pub fn add(&mut self, x: f64, expected: f64, phi: f64) {
        let ln = ln_excess(x, expected);
        self.run.add(&ln, phi);
        let part = 1.0 / phi;
        for (sum, ln) in self.change.iter_mut().zip(ln) {
            *sum = detect(*sum, ln * part);
        }
    }

    /// The logarithm of the odds over the whole run.
    #[must_use]
    pub fn ln_odds(&self) -> f64 {
        self.run.ln_odds()
    }

    /// The same of the change detector: a limit may be broken after healthy hours too.
    #[must_use]
    pub fn ln_change(&self) -> f64 {
        ln_mean(&self.change)
    }

    /// Whether either of them is at its line or above.
    #[must_use]
    pub fn crosses(&self, ln_line: f64, ln_change: f64) -> bool {
        self.run.reaches(ln_line) || reaches(&self.change, ln_change)
    }
}

/// Whether a ratio is under a limit: sums that are discounted already.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Under {
    hits: f64,
    expected: f64,
}

impl Under {
    /// Takes in x events where the limit allows `expected`.
    pub fn add(&mut self, x: f64, expected: f64, phi: f64) {
        self.hits += x / phi;
        self.expected += expected / phi;
    }

    /// The logarithm of the odds.
    #[must_use]
    pub fn ln_odds(&self) -> f64 {
        ln_mean(&self.each())
    }

    /// Whether they are at a line or above.
    #[must_use]
    pub fn reaches(&self, ln_line: f64) -> bool {
        reaches(&self.each(), ln_line)
    }

    /// Of none of what the limit allows, of a quarter and of half of it: the odds are their mean.
    fn each(&self) -> [f64; 3] {
        let one = |c: f64, ln_c: f64| {
            let hits = if self.hits > 0.0 { self.hits * ln_c } else { 0.0 };
            hits + self.expected * (1.0 - c)
        };
        [if self.hits > 0.0 { f64::NEG_INFINITY } else { self.expected }, one(0.25, -2.0 * LN_2), one(0.5, -LN_2)]
    }

    /// How much more of `expected` it takes until the odds reach a line, if hits come at `part` of what
    /// the limit allows; `None` if they never do.
    #[must_use]
    pub fn until(&self, ln_line: f64, part: f64) -> Option<f64> {
        // What is less than half an event is none.
        let after = |more: f64| {
            let coming = part * more;
            let hits = self.hits + if self.hits > 0.0 || coming >= 0.5 { coming } else { 0.0 };
            Self { hits, expected: self.expected + more }.ln_odds()
        };
        let mut high = 1.0;
        while after(high) < ln_line {
            high *= 2.0;
            if high > 1e7 {
                return None;
            }
        }
        Some(root(0.0, high, |more| ln_line - after(more)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_host_wrote_is_read() {
        let before = r#"{"run":[1.0,2.0,3.0,4.0,5.0,6.0],"change":{"ln":[6.0,5.0,4.0,3.0,2.0,1.0]}}"#;
        let read: Over = serde_json::from_str(before).unwrap();
        assert_eq!(read.change, [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]);
        assert_eq!(serde_json::from_str::<Over>(&serde_json::to_string(&read).unwrap()).unwrap(), read);
    }

    #[test]
    fn without_errors_3_65_expected_ones_pass() {
        let at = |expected: f64| {
            let mut under = Under::default();
            under.add(0.0, expected, 1.0);
            under.ln_odds().exp()
        };
        assert!(at(3.64) < 20.0 && at(3.65) >= 20.0, "{} {}", at(3.64), at(3.65));
        let missing = Under::default().until(20.0_f64.ln(), 0.0).unwrap();
        assert!((missing - 3.65).abs() < 0.01, "{missing}");
        // Bursts of ten need ten times as many.
        let mut bursts = Under::default();
        bursts.add(0.0, 36.5, 10.0);
        assert!((bursts.ln_odds().exp() - 20.0).abs() < 0.2);
    }

    #[test]
    fn errors_make_it_longer_and_too_many_never_pass() {
        let line = 20.0_f64.ln();
        let mut under = Under::default();
        under.add(2.0, 1.0, 1.0);
        let quiet = under.until(line, 0.0).unwrap();
        let some = under.until(line, 0.25).unwrap();
        assert!(quiet > 3.65 && some > quiet, "{quiet} {some}");
        assert_eq!(under.until(line, 1.0), None);
        // What is said to be missing is what is missing.
        let mut then = under;
        then.add(some * 0.25, some, 1.0);
        assert!((then.ln_odds() - line).abs() < 1e-6);
    }

    #[test]
    fn over_the_limit_by_a_factor_of_two_is_seen_by_expected_events_not_by_chance() {
        let mut over = Over::default();
        let mut minutes = 0;
        while over.ln_odds() < 100.0_f64.ln() {
            over.add(2.0, 1.0, 1.0);
            minutes += 1;
        }
        assert!((15..=22).contains(&minutes), "{minutes}");
        let mut healthy = Over::default();
        for _ in 0..360 {
            healthy.add(0.5, 1.0, 1.0);
        }
        assert!(healthy.ln_odds() < -10.0 && healthy.ln_change() < 0.1);
        let mut late = 0;
        while healthy.ln_change() < 10_000.0_f64.ln() {
            healthy.add(3.0, 1.0, 1.0);
            late += 1;
        }
        assert!(late < 15 && healthy.ln_odds() < 100.0_f64.ln(), "{late}: the whole run would see it much later");
    }
}
