//! Does the router do what it says? Requests of both versions against the declared share: Lindon and
//! Malek, "Anytime-valid inference for multinomial count data" (2022), known as a test for a sample
//! ratio mismatch.
//!
//! A share is off when the odds are over 100 *and* it differs by more than 1 pp or a tenth of the
//! weight, whichever is more: with enough requests the odds see differences that matter to nobody.
//! It is bad when it has been off for 60 s that were counted, none of them before the weight had
//! converged: a wall clock that is set does not make it bad.
//!
//! Those odds are of everything since the weight converged, so they see a router that goes wrong after
//! hours hours later. Beside them stands a change detector like that of errors (an e-CUSUM), over shares
//! that are once, twice and four times the tolerance off; its line is 10,000 x 60 s for looks of a second,
//! its own count of requests says how far the share is off since the change. A sliding window would see
//! the change as soon, and would have to be wide enough for a quiet service: the detector needs no width.
//!
//! It is fine only when it could have been seen to be off by twice the tolerance: a router that was found
//! out is not trusted again after one request. Nor is one that was mended held to its past: once what came
//! since it was worst speaks for the declared share as strongly as the detector has to speak against it,
//! counting begins anew. All requests together would be off for nine times as long as it was.
//!
//! Clients that stick to a version send requests that depend on each other, so that a share of requests
//! proves nothing: whoever feeds it leaves such a weight out.

use super::{
    mixture::{bisect, ln_beta},
    odds::ln_mean,
};
use crate::model::{
    interval::Count,
    ratio::Weight,
    time::{Time, elapsed},
};
use serde::{Deserialize, Serialize};
use statrs::function::gamma::ln_gamma;

/// Odds from which a share may be off.
pub const LINE: f64 = 100.0;
/// How strongly the declared share is believed in, in requests.
const PRIOR: f64 = 10_000.0;
/// How long it must be off, in seconds that were counted.
const FOR: f64 = 60.0;
/// The detector's line.
const CHANGED: f64 = 600_000.0;
/// One look counts for no more than this, in seconds: what is longer is a clock that was set or a host
/// that slept.
const LOOK: f64 = 30.0;
/// By how many tolerances the shares are off that the detector looks for, either way.
const OFF: [f64; 6] = [-4.0, -2.0, -1.0, 1.0, 2.0, 4.0];

/// Requests since a weight converged.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Split {
    /// Which weight, and since when.
    of: Option<(Weight, Time)>,
    requests: Count,
    /// When it was looked at last.
    #[serde(default)]
    last: Option<Time>,
    /// How long it has been off, in seconds.
    #[serde(default, rename = "off_secs")]
    off: Option<f64>,
    #[serde(default)]
    change: [Shift; OFF.len()],
}

/// One share that the router may have gone to.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
struct Shift {
    /// The logarithm of the odds since it was last unlikely.
    ln: f64,
    /// The most that they were since.
    #[serde(default)]
    peak: f64,
    /// Requests since then.
    requests: Count,
}

/// What the split says.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Seen {
    /// The share that the candidate got, and of how many requests.
    pub requests: Count,
    /// The declared one.
    pub declared: Weight,
    /// Since when the weight has been what it is.
    pub since: Time,
    /// The logarithm of the odds that the router does something else.
    pub ln_odds: f64,
    /// Whether it is off.
    pub off: bool,
    /// Whether it has been off for long enough.
    pub bad: bool,
    /// Requests that are missing before it could be called fine; 0 when it could.
    pub missing: f64,
}

impl Split {
    /// Takes in requests since the last time. `weight` is what the router is at and since when; `None`
    /// while that is unknown, where weights are made of replicas, or where clients stick.
    pub fn add(&mut self, weight: Option<(Weight, Time)>, candidate: f64, stable: f64, now: Time) {
        if self.of != weight {
            // What was counted across the change belongs to neither.
            *self = Self { of: weight, last: Some(now), ..Self::default() };
            return;
        }
        let secs = self.last.replace(now).map_or(0.0, |last| elapsed(now, last).as_secs_f64().min(LOOK));
        let Some(declared) = self.declared() else { return };
        let new = Count::new(candidate.max(0.0), (candidate + stable).max(0.0));
        self.requests += new;
        for (shift, off) in self.change.iter_mut().zip(OFF) {
            shift.add(new, declared, off * tolerance(declared));
        }
        if self.off.is_some() && self.is_mended() {
            *self = Self { of: self.of, last: self.last, ..Self::default() };
            return;
        }
        let (requests, ln) = self.told(declared);
        let differs = requests.ratio().is_some_and(|seen| (seen - declared).abs() > tolerance(declared));
        self.off = (differs && ln >= LINE.ln()).then(|| self.off.map_or(0.0, |off| off + secs));
    }

    /// What it says; `None` where there is nothing to be judged.
    #[must_use]
    pub fn seen(&self) -> Option<Seen> {
        let (declared, since) = self.of.filter(|_| self.requests.of > 0.0)?;
        let part = declared.percent() / 100.0;
        let (requests, ln_odds) = self.told(part);
        let bad = self.off.is_some_and(|off| off >= FOR);
        let missing = (enough(part) - self.requests.of).max(0.0);
        Some(Seen { requests, declared, since, ln_odds, off: self.off.is_some(), bad, missing })
    }

    /// Whether the share that was most likely once is as unlikely since, beside the declared one.
    fn is_mended(&self) -> bool {
        let worst = self.change.iter().max_by(|a, b| a.peak.total_cmp(&b.peak));
        worst.is_some_and(|shift| shift.peak - shift.ln >= CHANGED.ln())
    }

    fn declared(&self) -> Option<f64> {
        self.of.map(|(weight, _)| weight.percent() / 100.0)
    }

    /// The requests and the odds that are told: those of the detector once it is over its line, scaled to
    /// the line of the others.
    fn told(&self, declared: f64) -> (Count, f64) {
        let changed = ln_mean(&self.change.map(|shift| shift.ln));
        let most = self.change.iter().max_by(|a, b| a.ln.total_cmp(&b.ln));
        match most {
            Some(shift) if changed >= CHANGED.ln() => (shift.requests, changed - CHANGED.ln() + LINE.ln()),
            _ => (self.requests, ln_odds(self.requests, declared)),
        }
    }
}

impl Shift {
    /// Takes in requests; the share may have moved by `off`, in parts of one.
    fn add(&mut self, new: Count, declared: f64, off: f64) {
        let share = declared + off;
        if declared <= 0.0 || declared >= 1.0 || share <= 0.0 || share >= 1.0 {
            return;
        }
        if self.ln <= 0.0 {
            *self = Self::default();
        }
        self.ln += new.hits * (share / declared).ln() + (new.of - new.hits) * ((1.0 - share) / (1.0 - declared)).ln();
        self.peak = self.peak.max(self.ln);
        self.requests += new;
    }
}

/// So many requests show a share that is off by twice the tolerance.
fn enough(declared: f64) -> f64 {
    let off = 2.0 * tolerance(declared);
    let seen = if declared + off < 1.0 { declared + off } else { declared - off };
    let shows = |n: f64| ln_odds(Count::new(seen * n, n), declared) >= LINE.ln();
    let mut high = 1.0;
    while !shows(high) && high < 1e9 {
        high *= 2.0;
    }
    bisect(high / 2.0, high, |n| !shows(n)).ceil()
}

/// By how much a share may differ: 1 pp or a tenth of the weight, in parts of one.
#[must_use]
pub fn tolerance(declared: f64) -> f64 {
    (declared * 0.1).max(0.01)
}

/// The logarithm of the odds that the shares are not these. All or nothing declared and the other seen
/// is certain.
fn ln_odds(requests: Count, declared: f64) -> f64 {
    let (x, y) = (requests.hits, requests.of - requests.hits);
    if declared <= 0.0 || declared >= 1.0 {
        let other = if declared <= 0.0 { x } else { y };
        return if other > 0.0 { f64::MAX.ln() } else { 0.0 };
    }
    ln_two(x, y, declared, PRIOR)
}

/// Two counts against a share, the belief in which is worth `c` of them.
#[must_use]
pub fn ln_two(x: f64, y: f64, w: f64, c: f64) -> f64 {
    let (a, b) = (c * w, c * (1.0 - w));
    ln_beta(a + x, b + y) - ln_beta(a, b) - x * w.ln() - y * (1.0 - w).ln()
}

/// Any number of counts against their shares: the logarithms of the likelihood under the prior and
/// under the shares. Each item is a count, its share and its prior.
#[must_use]
pub fn ln_many(arms: &[(f64, f64, f64)]) -> (f64, f64) {
    let prior: f64 = arms.iter().map(|(_, _, a)| a).sum();
    let n: f64 = arms.iter().map(|(s, _, _)| s).sum();
    let mixed = ln_gamma(prior) - ln_gamma(prior + n) + arms.iter().map(|(s, _, a)| ln_gamma(a + s) - ln_gamma(*a)).sum::<f64>();
    (mixed, arms.iter().map(|(s, theta, _)| s * theta.ln()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::after;
    use std::time::Duration;

    fn near(got: f64, want: f64, tolerance: f64) {
        assert!((got - want).abs() < tolerance, "{got} is not {want}");
    }

    /// The likelihood of counts in an order, under a uniform prior, batch by batch.
    fn batches(batches: &[[f64; 3]], theta: [f64; 3]) -> Vec<(f64, f64)> {
        let (mut sums, mut all) = ([0.0; 3], Vec::new());
        let (mut mixed, mut shares) = (0.0, 0.0);
        for batch in batches {
            let arms = |sums: &[f64; 3]| [0, 1, 2].map(|i| (sums[i], theta[i], 1.0));
            let before = ln_many(&arms(&sums));
            sums.iter_mut().zip(batch).for_each(|(s, b)| *s += b);
            let now = ln_many(&arms(&sums));
            // The order within a batch is not known: its multinomial coefficient is the same for both.
            let orders = ln_gamma(batch.iter().sum::<f64>() + 1.0) - batch.iter().map(|b| ln_gamma(b + 1.0)).sum::<f64>();
            mixed += now.0 - before.0 + orders;
            shares += now.1 - before.1 + orders;
            all.push((mixed, shares));
        }
        all
    }

    #[test]
    fn published_vectors_of_three_arms() {
        let theta = [0.4, 0.4, 0.2];
        let got = batches(&[[20.0, 17.0, 9.0], [18.0, 21.0, 8.0], [4.0, 6.0, 4.0], [18.0, 19.0, 11.0]], theta);
        let want = [
            (-7.028_201_432_058_012, -4.077_640_646_606_198_5),
            (-11.947_847_738_358_888, -8.265_946_861_099_877),
            (-15.471_401_950_257_842, -11.610_743_519_545_139),
            (-19.964_845_210_903_86, -15.781_031_228_536_165),
        ];
        for (got, want) in got.iter().zip(want) {
            near(got.0, want.0, 1e-9);
            near(got.1, want.1, 1e-9);
        }
        near((got[3].0 - got[3].1).exp(), 0.015_240_270_456_864_217, 1e-10);
        let one = |i: usize| [0, 1, 2].map(|k| f64::from(u8::from(k == i)));
        let got = batches(&[one(0), one(1), one(0), one(1), one(2)], theta);
        let want = [
            (-1.098_612_288_668_109_6, -0.916_290_731_874_155),
            (-2.484_906_649_788_000_4, -1.832_581_463_748_31),
            (-3.401_197_381_662_155, -2.748_872_195_622_465),
            (-4.499_809_670_330_265, -3.665_162_927_496_62),
            (-6.445_719_819_385_578_5, -5.274_600_839_930_72),
        ];
        for (got, want) in got.iter().zip(want) {
            near(got.0, want.0, 1e-9);
            near(got.1, want.1, 1e-9);
        }
    }

    #[test]
    fn published_vectors_of_two_arms() {
        for (x, y, w, want) in [
            (0.0, 0.0, 0.1, 0.0),
            (5.0, 9.0, 0.1, 1.082_467),
            (10.0, 9.0, 0.1, 5.604_717),
            (15.0, 9.0, 0.1, 11.722_312),
            (10.0, 90.0, 0.1, -0.930_663),
            (25.0, 90.0, 0.1, 4.713_390),
            (3.0, 10.0, 0.05, 0.568_112),
            (8.0, 10.0, 0.05, 6.586_964),
            (20.0, 10.0, 0.5, 0.561_824),
            (30.0, 10.0, 0.5, 2.899_932),
        ] {
            near(ln_two(x, y, w, 20.0), want, 1e-6);
        }
        let uniform = |x: f64, y: f64, w: f64| {
            let (mixed, shares) = ln_many(&[(x, w, 1.0), (y, 1.0 - w, 1.0)]);
            mixed - shares
        };
        near(uniform(30.0, 10.0, 0.5), 3.454_324, 1e-6);
        near(uniform(10.0, 9.0, 0.1), 9.544_719, 1e-6);
    }

    fn at(second: u64) -> Time {
        after(Time::UNIX_EPOCH, Duration::from_secs(second))
    }

    /// Each second so many requests of each version; when it turned bad.
    fn bad_after(percent: f64, candidate: f64, stable: f64, seconds: u64) -> Option<u64> {
        let weight = Some((Weight::from_percent(percent).unwrap(), at(0)));
        let mut split = Split::default();
        (0..seconds).find(|s| {
            split.add(weight, candidate, stable, at(*s));
            split.seen().is_some_and(|seen| seen.bad)
        })
    }

    #[test]
    fn bad_is_what_is_certain_and_large_and_lasts() {
        assert_eq!(bad_after(10.0, 10.0, 90.0, 3_600), None, "exactly as declared");
        assert_eq!(bad_after(10.0, 1_090.0, 8_910.0, 3_600), None, "certain, and too little to matter");
        assert_eq!(bad_after(50.0, 54.0, 46.0, 3_600), None, "within a tenth of the weight");
        let off = bad_after(10.0, 20.0, 80.0, 3_600).unwrap();
        assert!((60..90).contains(&off), "{off}");
        assert!(bad_after(10.0, 0.0, 100.0, 3_600).is_some(), "the router does not know the canary");
        assert_eq!(bad_after(100.0, 100.0, 0.0, 3_600), None);
        assert_eq!(bad_after(100.0, 99.0, 1.0, 3_600), None, "1 pp");
        assert_eq!(bad_after(100.0, 90.0, 10.0, 3_600), None, "a tenth of the weight");
        assert!(bad_after(100.0, 85.0, 15.0, 3_600).is_some());
    }

    #[test]
    fn a_router_that_goes_wrong_after_hours_is_seen_at_once() {
        let weight = Some((Weight::from_percent(10.0).unwrap(), at(0)));
        let mut split = Split::default();
        let mut until = |from: u64, percent: f64| {
            (from..from + 21_600).find(|s| {
                split.add(weight, percent, 100.0 - percent, at(*s));
                split.seen().is_some_and(|seen| seen.bad)
            })
        };
        assert_eq!(until(0, 10.0), None);
        let bad = until(21_600, 15.0).unwrap() - 21_600;
        assert!((60..120).contains(&bad), "{bad} s; all requests together would see it after {} s", 21_600 / 4);
        let seen = split.seen().unwrap();
        assert!((seen.requests.ratio().unwrap() - 0.15).abs() < 0.01, "{seen:?}");
    }

    #[test]
    fn a_router_that_was_mended_is_fine_once_that_is_known() {
        for off in [0.0, 20.0, 40.0, 44.0, 57.0, 90.0] {
            let weight = Some((Weight::from_percent(50.0).unwrap(), at(0)));
            let mut split = Split::default();
            let mut add = |second: u64, percent: f64| {
                split.add(weight, percent, 100.0 - percent, at(second));
                split.seen().map(|seen| (seen.bad, seen.off, seen.missing))
            };
            let bad = (0..1_200).filter_map(|second| add(second, off)).filter(|(bad, ..)| *bad).count();
            assert!(bad > 1_000, "{off}: {bad}");
            let fine = (1_200..7_200).find(|second| add(*second, 50.0).is_some_and(|(bad, off, missing)| !bad && !off && missing <= 0.0));
            let took = fine.unwrap() - 1_200;
            assert!((15..240).contains(&took), "{off}: {took} s");
        }
    }

    #[test]
    fn a_clock_that_is_set_makes_nothing_bad() {
        let weight = Some((Weight::from_percent(10.0).unwrap(), at(0)));
        let mut split = Split::default();
        (0..10).for_each(|second| split.add(weight, 50.0, 50.0, at(second)));
        assert!(split.seen().unwrap().off);
        split.add(weight, 50.0, 50.0, at(90_000));
        assert!(!split.seen().unwrap().bad);
        // Set back, it stands still for one look and no longer.
        (0..70).for_each(|second| split.add(weight, 50.0, 50.0, at(second)));
        assert!(split.seen().unwrap().bad);
    }

    #[test]
    fn it_is_fine_only_when_it_could_have_been_seen_to_be_off() {
        for percent in [1.0, 10.0, 50.0, 99.0] {
            let declared = percent / 100.0;
            let n = enough(declared);
            let off = if declared < 0.9 { declared + 2.0 * tolerance(declared) } else { declared - 2.0 * tolerance(declared) };
            let at = |n: f64| ln_odds(Count::new(off * n, n), declared);
            assert!(at(n) >= LINE.ln() && at(n - 2.0) < LINE.ln() && n > 20.0, "{percent}: {n}");
        }
        assert_eq!(enough(1.0), 1.0, "one request that stable got shows it");
    }

    #[test]
    fn another_weight_starts_anew_and_an_unknown_one_is_not_judged() {
        let mut split = Split::default();
        let ten = Some((Weight::from_percent(10.0).unwrap(), at(0)));
        for second in 0..100 {
            split.add(ten, 50.0, 50.0, at(second));
        }
        assert!(split.seen().unwrap().bad);
        split.add(Some((Weight::from_percent(50.0).unwrap(), at(100))), 10.0, 90.0, at(100));
        assert_eq!(split.seen(), None, "counted across the change");
        for second in 101..300 {
            split.add(None, 50.0, 50.0, at(second));
            assert_eq!(split.seen(), None);
        }
    }
}
