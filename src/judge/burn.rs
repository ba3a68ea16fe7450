//! How fast a version spends the service's error budget, over several windows at once, and how much of
//! the budget this run has spent.
//!
//! A burn rate of 1 spends the budget of 30 days in exactly 30 days. The pairs of windows and their
//! rates are those of the Site Reliability Workbook, chapter "Alerting on SLOs". A service's own alert
//! sees a broken canary late (at 5 % weight even one that fails always is 5 % of the errors), so the
//! rate is told of each version's own requests; `blast` is what the candidate's part of the traffic does
//! to the whole service. What stops a run is the budget: see [`spent`].

use super::{
    mixture,
    odds::{PerRatio, RATIOS, ln_excess, ln_mean, price},
};
use crate::model::interval::Count;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What the budget is for, in seconds: 30 days.
pub const PERIOD: f64 = 30.0 * 86_400.0;

/// A pair of windows that alerts when the burn rate is above `rate` in both.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Pair {
    /// How urgent, and which: `page 1h/5m`.
    pub name: &'static str,
    /// The long window in seconds.
    pub long: f64,
    /// The short one: a twelfth.
    pub short: f64,
    /// The burn rate.
    pub rate: f64,
}

/// From the most urgent to the least.
pub const PAIRS: [Pair; 4] = [
    Pair { name: "page 1h/5m", long: 3_600.0, short: 300.0, rate: 14.4 },
    Pair { name: "page 6h/30m", long: 21_600.0, short: 1_800.0, rate: 6.0 },
    Pair { name: "ticket 1d/2h", long: 86_400.0, short: 7_200.0, rate: 3.0 },
    Pair { name: "ticket 3d/6h", long: 259_200.0, short: 21_600.0, rate: 1.0 },
];

impl Pair {
    /// The part of the period's budget that is gone when the pair alerts, at exactly its rate.
    #[must_use]
    pub fn budget(&self) -> f64 {
        self.rate * self.long / PERIOD
    }

    /// The error ratio that is exactly its rate.
    #[must_use]
    pub fn ratio(&self, slo: f64) -> f64 {
        self.rate * (1.0 - slo)
    }

    /// Seconds from a step to this error ratio until it alerts; `None` if it never does.
    #[must_use]
    pub fn fires_after(&self, ratio: f64, slo: f64) -> Option<f64> {
        let after = self.ratio(slo) / ratio * self.long;
        (after <= self.long * (1.0 + 1e-9)).then_some(after)
    }
}

/// Burn rate of an error ratio; `slo` in parts of one.
#[must_use]
pub fn rate(ratio: f64, slo: f64) -> f64 {
    ratio / (1.0 - slo)
}

/// The part of the period's budget that a run has spent: errors of the candidate above what stable's
/// ratio would have given. `all` are the requests of both versions in `secs`, from which the budget of
/// the period is projected. `None` without traffic.
#[must_use]
pub fn spent(excess: f64, all: f64, secs: f64, slo: f64) -> Option<f64> {
    let budget = all / secs * PERIOD * (1.0 - slo);
    (secs > 0.0 && budget > 0.0).then(|| excess.max(0.0) / budget)
}

/// How many times stable's ratio the candidate's errors may be, beside [`RATIOS`]: an excess that is small
/// beside what stable has anyway spends the budget too, where traffic is large.
const LITTLE: [f64; 3] = [1.02, 1.05, 1.1];
/// `ln LITTLE`, to the last bit; a test compares them.
const LN_LITTLE: [f64; 3] = [0.019_802_627_296_179_712, 0.048_790_164_169_432_05, 0.095_310_179_804_324_93];
/// The chance that stable's usual ratio is above the bound that is taken for it.
const USUAL: f64 = 0.01;

/// The odds that the candidate's errors are above what stable's ratio gives at all, discounted for bursts.
/// The excess of a healthy candidate wanders: at ten requests a minute with errors in bursts of five, it is a
/// hundredth of the month's budget at some time in one run of fifteen. So the budget stops a run only when
/// its excess is more than chance gives.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Above {
    /// Of [`LITTLE`], then of [`RATIOS`].
    ln: [f64; LITTLE.len() + RATIOS.len()],
    /// While nothing is beside it: stable's ratio, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usual: Option<f64>,
}

impl Above {
    /// Takes in x errors of the candidate and y of stable, at the candidate's share `w` of the requests;
    /// `ln` are the likelihoods of [`RATIOS`].
    pub fn add(&mut self, x: f64, y: f64, w: f64, ln: &PerRatio, phi: f64) {
        // Intervals without an error are the usual ones.
        if x + y > 0.0 {
            self.put(|r, ln_r| x * ln_r - (x + y) * price(w, r), ln, phi);
        }
    }

    /// The same of a version that has nothing beside it; `usual` are stable's counts before.
    pub fn add_alone(&mut self, count: Count, usual: Count, phi: f64) {
        let most = *self.usual.get_or_insert_with(|| mixture::share(usual.hits / phi, usual.of / phi, USUAL, 1_000.0).1);
        let expected = count.of * most;
        self.put(|r, ln_r| count.hits * ln_r - expected * (r - 1.0), &ln_excess(count.hits, expected), phi);
    }

    fn put(&mut self, little: impl Fn(f64, f64) -> f64, ln: &PerRatio, phi: f64) {
        let part = 1.0 / phi;
        let little = LITTLE.iter().zip(LN_LITTLE).map(|(r, ln_r)| little(*r, ln_r));
        for (sum, ln) in self.ln.iter_mut().zip(little.chain(ln.iter().copied())) {
            *sum += ln * part;
        }
    }

    /// The logarithm of the odds.
    #[must_use]
    pub fn ln_odds(&self) -> f64 {
        ln_mean(&self.ln)
    }
}

/// Seconds of a full cell of each ring, and how far back it goes: minutes for an hour, ten minutes for six
/// hours, hours for three days.
const RINGS: [(f64, f64); 3] = [(60.0, 3_600.0), (600.0, 21_600.0), (3_600.0, 259_200.0)];

/// One version's counts of the last three days. A ring hands what is full on to the coarser one, so an
/// interval touches one cell, and the rest only once a minute.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Windows {
    /// What came last to each ring and is not full.
    open: [Cell; RINGS.len()],
    /// Oldest first.
    full: Box<[VecDeque<Cell>; RINGS.len()]>,
}

/// Seconds, hits, of.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
struct Cell(f64, f64, f64);

impl Windows {
    /// Takes in an interval of so many seconds, after a gap in which nothing was counted.
    pub fn add(&mut self, gap: f64, secs: f64, count: Count) {
        // Less than an interval is jitter. A time without requests burns nothing.
        if gap > secs {
            self.rest(gap);
        }
        let mut new = Cell(secs, count.hits, count.of);
        for (ring, open) in self.open.iter_mut().enumerate() {
            let Some(full) = open.add(new, ring) else { break };
            self.full.get_mut(ring).into_iter().for_each(|cells| push(cells, full, ring));
            new = full;
        }
    }

    /// Lets a time pass: what came before it lies behind it in every ring.
    fn rest(&mut self, gap: f64) {
        let mut before = Cell::default();
        for (ring, (cells, open)) in self.full.iter_mut().zip(&mut self.open).enumerate() {
            let full = open.add(before, ring).unwrap_or_default();
            let open = std::mem::take(open);
            let (_, span) = of(ring);
            [full, open, Cell(gap.min(span), 0.0, 0.0)].into_iter().for_each(|cell| push(cells, cell, ring));
            before = full.and(open);
        }
    }

    /// What was counted in the last so many seconds, and how many of them are known.
    #[must_use]
    pub fn last(&self, secs: f64) -> (Count, f64) {
        // The finest that goes back that far, behind what the finer ones have not handed on.
        let reach = RINGS.iter().position(|(_, span)| *span >= secs).unwrap_or(RINGS.len() - 1);
        let open = self.open.iter().take(reach + 1);
        let full = self.full.get(reach).into_iter().flat_map(|cells| cells.iter().rev());
        let mut sum = Cell::default();
        for cell in open.chain(full) {
            if sum.0 >= secs * 0.999 {
                break;
            }
            sum = sum.and(*cell);
        }
        (Count::new(sum.1, sum.2), sum.0)
    }

    /// The pairs that alert. A version that is younger than a window burnt nothing before it was there.
    #[must_use]
    pub fn alerts(&self, slo: f64) -> Vec<&'static str> {
        let burns = |secs: f64, pair: &Pair| {
            let (count, known) = self.last(secs);
            count.ratio().is_some_and(|ratio| rate(ratio, slo) * (known / secs).min(1.0) > pair.rate)
        };
        PAIRS.iter().filter(|p| burns(p.long, p) && burns(p.short, p)).map(|p| p.name).collect()
    }
}

/// Of a ring: see [`RINGS`].
fn of(ring: usize) -> (f64, f64) {
    RINGS.get(ring).copied().unwrap_or_default()
}

/// Adds what is full, and drops what is older than the ring goes back.
fn push(cells: &mut VecDeque<Cell>, full: Cell, ring: usize) {
    if !full.is_empty() {
        cells.push_back(full);
    }
    let (grain, span) = of(ring);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 72")]
    let most = (span / grain) as usize;
    while cells.len() > most {
        cells.pop_front();
    }
}

impl Cell {
    fn is_empty(&self) -> bool {
        self.0 <= 0.0
    }

    /// Takes in what came; what was there and has no room for it is full, and returned.
    fn add(&mut self, new: Self, ring: usize) -> Option<Self> {
        let (grain, _) = of(ring);
        if self.is_empty() || self.0 + new.0 <= grain * 1.01 {
            *self = self.and(new);
            return None;
        }
        Some(std::mem::replace(self, new))
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 + other.0, self.1 + other.1, self.2 + other.2)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::odds::{ln_likelihood, ln_likelihoods, prices},
        *,
    };

    #[test]
    fn published_table_of_windows() {
        let want =
            [(0.02, [0.0144, 0.072, 0.144]), (0.05, [0.006, 0.03, 0.06]), (0.10, [0.003, 0.015, 0.03]), (0.10, [0.001, 0.005, 0.01])];
        for (pair, (budget, ratios)) in PAIRS.iter().zip(want) {
            assert!((pair.budget() - budget).abs() < 1e-9, "{pair:?}");
            assert!((pair.long / pair.short - 12.0).abs() < 1e-9);
            for (slo, ratio) in [0.999, 0.995, 0.99].into_iter().zip(ratios) {
                assert!((pair.ratio(slo) - ratio).abs() < 1e-9, "{pair:?} {slo}");
            }
        }
        for (ratio, minutes) in [(1.0, 0.864), (0.1, 8.64), (0.02, 43.2), (0.0144, 60.0)] {
            let after = PAIRS[0].fires_after(ratio, 0.999).unwrap() / 60.0;
            assert!((after - minutes).abs() < 1e-9, "{ratio}: {after}");
        }
        assert_eq!(PAIRS[0].fires_after(0.01, 0.999), None);
    }

    #[test]
    fn windows_alert_when_both_burn_and_the_short_one_ends_it() {
        let mut w = Windows::default();
        let minutes = |w: &mut Windows, n: u32, ratio: f64| (0..n * 6).for_each(|_| w.add(0.0, 10.0, Count::new(ratio * 100.0, 100.0)));
        minutes(&mut w, 60, 0.0);
        assert!(w.alerts(0.999).is_empty());
        // 10 % failing fires the first pair 8.64 minutes later.
        minutes(&mut w, 8, 0.1);
        assert!(w.alerts(0.999).is_empty());
        minutes(&mut w, 1, 0.1);
        assert_eq!(w.alerts(0.999), ["page 1h/5m"]);
        minutes(&mut w, 6, 0.0);
        assert!(!w.alerts(0.999).contains(&"page 1h/5m"), "the short window ends it");
    }

    #[test]
    fn what_burnt_before_a_gap_is_as_old_as_it_is() {
        let mut w = Windows::default();
        (0..60).for_each(|_| w.add(0.0, 60.0, Count::new(10.0, 100.0)));
        assert_eq!(w.alerts(0.999).len(), 4, "an hour at 100 times the budget's rate");
        w.add(1_800.0, 60.0, Count::new(0.0, 100.0));
        let (hour, known) = w.last(3_600.0);
        assert!((known - 3_600.0).abs() < 61.0 && (hour.of - 3_000.0).abs() < 201.0, "{hour:?} {known}");
        assert!(!w.alerts(0.999).contains(&"page 1h/5m"), "nothing failed in the last five minutes");
        w.add(1e9, 60.0, Count::new(0.0, 100.0));
        assert!(w.alerts(0.999).is_empty() && w.full.iter().all(|cells| cells.len() < 80));
    }

    #[test]
    fn three_days_take_no_more_room_than_three_hours() {
        let mut w = Windows::default();
        for _ in 0..40_000 {
            w.add(0.0, 10.0, Count::new(0.0, 100.0));
        }
        let cells: Vec<usize> = w.full.iter().map(VecDeque::len).collect();
        assert_eq!(cells, [60, 36, 72]);
        let (count, known) = w.last(259_200.0);
        assert!((known - 259_200.0).abs() < 3_601.0 && (count.of / known - 10.0).abs() < 1e-6);
    }

    #[test]
    fn odds_of_little_ratios_are_those_of_any_other() {
        for (r, ln) in LITTLE.iter().zip(LN_LITTLE) {
            assert!((r.ln() - ln).abs() < 1e-16, "{r}");
        }
        let (x, y, w) = (30.0, 70.0, 0.25);
        let mut above = Above::default();
        above.add(x, y, w, &ln_likelihoods(x, y, &prices(w)), 2.0);
        for (got, r) in above.ln.iter().zip(LITTLE.iter().chain(&RATIOS)) {
            assert!((got - ln_likelihood(x, y, w, *r) / 2.0).abs() < 1e-12, "{r}");
        }
    }

    #[test]
    fn only_errors_above_stables_ratio_spend_budget() {
        // 1,000 requests a minute at 99.9 %: 43,200 errors in 30 days.
        let part = spent(432.0, 60_000.0, 3_600.0, 0.999).unwrap();
        assert!((part - 0.01).abs() < 1e-9, "{part}");
        assert_eq!(spent(-5.0, 60_000.0, 3_600.0, 0.999), Some(0.0));
        assert_eq!(spent(5.0, 0.0, 3_600.0, 0.999), None);
    }
}
