//! How much errors come in bursts: one bad call to a dependency fails ten requests. Evidence is divided
//! by it, or bursts would revert healthy releases.
//!
//! It is Pearson's dispersion of stable's errors over the last hour, not the variance of the counts:
//! that would measure the traffic, which differs from minute to minute with perfectly independent
//! errors. It counts as 1 unless chance explains that much in less than one case of ten; then it is
//! taken times 1.2. Below 20 errors nothing is known, and it is 10.
//!
//! Where instances can be told apart, those of one interval are compared with each other: errors that
//! rise for every instance alike touch both versions alike, and the comparison of the two versions needs
//! no discount for them. What is held to an absolute limit does, so there are two numbers.
//!
//! An hour is kept in at most 60 cells. Shorter intervals are merged as they get old, so that a state
//! has one size however often it is fed. What a cell keeps of its parts is enough to compare all of them
//! with each other: bursts within an interval are looked for between all intervals of the hour (360 of
//! ten seconds), and waves that are longer than one between the cells. Each has its own 90 %, and the
//! larger dispersion counts. The cells alone overlook small bursts: of a mean of 1.2, in intervals of
//! 10 s, they see 65 %, and one healthy release in 75 goes back; with both it is one in 400.
//!
//! An hour is an hour of time: while nothing is fed, what is known grows old all the same.

use crate::model::{
    interval::Count,
    time::{Time, elapsed},
};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ChiSquared, ContinuousCDF};
use std::{collections::VecDeque, sync::OnceLock};

/// What is looked back on, in seconds.
const HOUR: f64 = 3_600.0;
/// How many cells are kept.
const CELLS: usize = 60;
/// Fewer errors than this say nothing of bursts.
pub const ENOUGH: f64 = 20.0;
/// What is assumed then.
pub const UNKNOWN: f64 = 10.0;
/// Once chance does not explain it.
const SAFETY: f64 = 1.2;
/// The quantile of chi-square up to which chance explains it.
const CHANCE: f64 = 0.9;
/// Fewer comparisons between instances than this are not relied on.
const COMPARISONS: f64 = 10.0;

/// Stable's errors of the last hour.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Dispersion {
    /// How long a cell is, in seconds, until it is full.
    grain: f64,
    /// Those that are full, oldest first.
    cells: VecDeque<Cell>,
    /// What came last and is not full.
    #[serde(default, skip_serializing_if = "Cell::is_nothing")]
    open: Cell,
    /// Up to when it was fed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<Time>,
    /// Sums over the cells; none after it was read from a disk.
    #[serde(skip)]
    sums: Option<Sums>,
}

/// Sums over cells.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct Sums {
    secs: f64,
    count: Count,
    /// Of y^2 / n.
    squares: f64,
    cells: f64,
    /// Of y^2 / n and how many, of the intervals that the cells are made of.
    fine: f64,
    parts: f64,
    between: Between,
    /// Seconds of the oldest full cell; it lies elsewhere in memory, and mostly stays where it is.
    oldest: f64,
    /// How often cells were taken away again: what rounding leaves must not add up.
    taken: u32,
}

/// Seconds of the oldest full cell.
fn oldest(full: &VecDeque<Cell>) -> f64 {
    full.front().map_or(0.0, |cell| cell.secs)
}

impl Sums {
    fn of(full: &VecDeque<Cell>, open: &Cell) -> Self {
        let mut sums = Self { oldest: oldest(full), ..Self::default() };
        full.iter().chain([open]).for_each(|cell| sums.put(cell, 1.0));
        sums
    }

    /// Adds a cell, or takes it away with -1.
    fn put(&mut self, cell: &Cell, sign: f64) {
        self.secs += sign * cell.secs;
        self.taken += u32::from(sign < 0.0);
        if cell.count.of > 0.0 {
            self.count += Count::new(sign * cell.count.hits, sign * cell.count.of);
            self.squares += sign * cell.count.hits * cell.count.hits / cell.count.of;
            self.cells += sign;
            self.fine += sign * cell.fine();
            self.parts += sign * cell.parts.max(1.0);
            self.between.put(&cell.between, sign);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
struct Cell {
    /// Seconds.
    #[serde(rename = "s")]
    secs: f64,
    /// What was counted in them.
    #[serde(rename = "c")]
    count: Count,
    /// Sum of y^2 / n of the intervals it is made of; of one interval it is that of the cell.
    #[serde(rename = "q", default, skip_serializing_if = "is_zero")]
    squares: f64,
    /// How many those are; 0 stands for one.
    #[serde(rename = "k", default, skip_serializing_if = "is_zero")]
    parts: f64,
    /// What instances say beside each other.
    #[serde(rename = "b", default, skip_serializing_if = "Between::is_nothing")]
    between: Between,
}

/// Pearson's statistic between the instances of an interval, summed over intervals, each with the weight
/// of its errors: the dispersion is what they differ by altogether, divided by what chance would have them
/// differ by altogether. A mean of each interval's own dispersion takes a burst of ten for no more than
/// ten single errors, and with bursts of geometric size sees half of the dispersion there is.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
struct Between {
    /// Errors times Pearson's statistic.
    #[serde(rename = "x")]
    chi: f64,
    /// Errors times degrees of freedom: what chance gives, exactly, for errors that are independent.
    #[serde(rename = "e")]
    expected: f64,
    /// Half the variance that chance gives the first.
    #[serde(rename = "v")]
    spread: f64,
    /// Degrees of freedom.
    #[serde(rename = "f")]
    df: f64,
}

/// By what evidence is divided, at least 1.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Phi {
    /// A comparison of the two versions.
    pub pair: f64,
    /// One version beside a limit.
    pub alone: f64,
}

impl Default for Phi {
    /// What holds while nothing is known.
    fn default() -> Self {
        Self { pair: UNKNOWN, alone: UNKNOWN }
    }
}

impl Phi {
    /// At least this.
    #[must_use]
    pub const fn at_least(self, least: f64) -> Self {
        Self { pair: self.pair.max(least), alone: self.alone.max(least) }
    }
}

impl Dispersion {
    /// Seconds in which nothing was counted, up to the beginning of what is added next.
    #[must_use]
    pub fn gap(&self, start: Time) -> f64 {
        self.to.map_or(0.0, |to| elapsed(start, to).as_secs_f64())
    }

    /// Lets so many seconds pass in which nothing was counted.
    pub fn rest(&mut self, gap: f64) {
        // Less than an interval is jitter. An empty cell counts as time and as nothing else.
        if self.grain > 0.0 && gap > self.grain {
            self.add(gap.min(HOUR), Count::default(), &[]);
        }
    }

    /// Notes up to when it was fed.
    pub const fn fed_until(&mut self, end: Time) {
        self.to = Some(end);
    }

    /// Takes in an interval of stable's; `instances` are its parts where they can be told apart.
    pub fn add(&mut self, secs: f64, count: Count, instances: &[Count]) {
        let new = Cell { secs, count, between: Between::of(instances), ..Cell::default() };
        if self.grain <= 0.0 {
            self.grain = secs.min(HOUR);
        }
        let mut sums = self.sums.take().filter(|sums| sums.taken < 1_000).unwrap_or_else(|| Sums::of(&self.cells, &self.open));
        // Half an interval of grace: a second that came late must not make two cells of one.
        if !self.open.is_nothing() && self.open.secs + secs <= self.grain + secs / 2.0 {
            sums.put(&self.open, -1.0);
            self.open.take(new);
        } else {
            let full = std::mem::replace(&mut self.open, new);
            if self.cells.is_empty() {
                sums.oldest = full.secs;
            }
            self.cells.extend((!full.is_nothing()).then_some(full));
        }
        sums.put(&self.open, 1.0);
        while sums.secs - sums.oldest >= HOUR
            && let Some(cell) = self.cells.pop_front()
        {
            sums.put(&cell, -1.0);
            sums.oldest = oldest(&self.cells);
        }
        self.sums = Some(sums);
        if self.cells.len() >= CELLS {
            self.grain *= 2.0;
            let cells = std::mem::take(&mut self.cells);
            for cell in cells {
                match self.cells.back_mut() {
                    Some(last) if last.secs + cell.secs <= self.grain * 1.01 => last.take(cell),
                    _ => self.cells.push_back(cell),
                }
            }
            // Intervals of uneven length may refuse to merge.
            while self.cells.len() >= CELLS {
                self.cells.pop_front();
            }
            self.sums = Some(Sums::of(&self.cells, &self.open));
        }
    }

    /// The dispersion as it is known now.
    #[must_use]
    pub fn phi(&self) -> Phi {
        let Sums { count: all, squares, cells, fine, parts, between, .. } = self.sums.unwrap_or_else(|| Sums::of(&self.cells, &self.open));
        if all.hits < ENOUGH {
            return Phi::default();
        }
        // The sum of (y - n p)^2 / (n p) over cells, with p = all hits / all requests.
        let over_time = |squares: f64, n: f64| judged((squares * all.of / all.hits - all.hits) / (n - 1.0), n - 1.0);
        let alone = if cells < 2.0 { UNKNOWN } else { over_time(squares, cells).max(over_time(fine, parts)) };
        Phi { pair: between.phi().unwrap_or(alone), alone }
    }

    /// Forgets everything: another version is stable now.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Cell {
    fn is_nothing(&self) -> bool {
        self.secs <= 0.0
    }

    /// Sum of y^2 / n of its intervals.
    fn fine(&self) -> f64 {
        match self.parts > 0.0 {
            true => self.squares,
            false if self.count.of > 0.0 => self.count.hits * self.count.hits / self.count.of,
            false => 0.0,
        }
    }

    fn take(&mut self, other: Self) {
        let parts = |cell: &Self| if cell.count.of > 0.0 { cell.parts.max(1.0) } else { 0.0 };
        (self.squares, self.parts) = (self.fine() + other.fine(), parts(self) + parts(&other));
        self.secs += other.secs;
        self.count += other.count;
        self.between.put(&other.between, 1.0);
    }
}

impl Between {
    /// Of one interval. Without any error there is nothing to compare.
    fn of(instances: &[Count]) -> Self {
        let counted = || instances.iter().filter(|c| c.of > 0.0);
        let (mut all, mut n) = (Count::default(), 0.0);
        for count in counted() {
            all += *count;
            n += 1.0;
        }
        let Some(p) = all.ratio().filter(|p| *p > 0.0 && n >= 2.0) else { return Self::default() };
        let chi: f64 = counted().map(|c| (c.hits - c.of * p).powi(2) / (c.of * p)).sum();
        let parts: f64 = counted().map(|c| all.of / c.of).sum();
        // Of so many errors that are dealt out by chance (Haldane 1937): one alone, among instances of one
        // size, cannot vary.
        let variance = 2.0 * (n - 1.0) * (1.0 - 1.0 / all.hits) + (parts - n * n) / all.hits;
        Self { chi: all.hits * chi, expected: all.hits * (n - 1.0), spread: all.hits * all.hits * variance.max(0.0) / 2.0, df: n - 1.0 }
    }

    /// Adds another, or takes it away with -1.
    fn put(&mut self, other: &Self, sign: f64) {
        self.chi += sign * other.chi;
        self.expected += sign * other.expected;
        self.spread += sign * other.spread;
        self.df += sign * other.df;
    }

    /// The dispersion; `None` where too little was compared.
    fn phi(&self) -> Option<f64> {
        // As many degrees of freedom as give a mean and variance like these (Satterthwaite 1946).
        let df = self.expected * self.expected / self.spread.max(1e-9);
        (self.df >= COMPARISONS && self.expected > 0.0).then(|| judged(self.chi / self.expected, df))
    }

    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// A dispersion, as it is taken: as 1 where chance explains it.
fn judged(raw: f64, df: f64) -> f64 {
    if raw * df <= quantile(df) { 1.0 } else { (raw * SAFETY).max(1.0) }
}

/// The 90 % quantile of chi-square. Up to 100 degrees exact and computed once; beyond that by Wilson and
/// Hilferty, which is right to four digits there.
fn quantile(df: f64) -> f64 {
    static TABLE: OnceLock<Vec<f64>> = OnceLock::new();
    let table = TABLE.get_or_init(|| (1..=100).map(|df| exact(f64::from(df))).collect());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at least 1, and looked up")]
    let place = (df.round() as usize).wrapping_sub(1);
    table.get(place).copied().unwrap_or_else(|| wilson_hilferty(df))
}

fn exact(df: f64) -> f64 {
    ChiSquared::new(df).map_or_else(|_| wilson_hilferty(df), |chi| chi.inverse_cdf(CHANCE))
}

fn wilson_hilferty(df: f64) -> f64 {
    /// The 90 % quantile of the normal distribution.
    const Z: f64 = 1.281_551_565_544_6;
    let part = 2.0 / (9.0 * df);
    df * (1.0 - part + Z * part.sqrt()).powi(3)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(d: &Dispersion) -> impl Iterator<Item = &Cell> {
        d.cells.iter().chain([&d.open])
    }

    fn minutes(counts: &[(f64, f64)]) -> Dispersion {
        let mut d = Dispersion::default();
        counts.iter().for_each(|(hits, of)| d.add(60.0, Count::new(*hits, *of), &[]));
        d
    }

    #[test]
    fn quantiles_of_chi_square() {
        for (df, want) in [(1.0, 2.705_543), (5.0, 9.236_357), (59.0, 73.279_1), (100.0, 118.498), (200.0, 226.021)] {
            assert!((quantile(df) - want).abs() < 5e-3, "{df}: {}", quantile(df));
        }
    }

    #[test]
    fn below_20_errors_it_is_ten() {
        assert_eq!(Dispersion::default().phi(), Phi { pair: 10.0, alone: 10.0 });
        assert_eq!(minutes(&[(19.0, 1000.0), (0.0, 1000.0)]).phi().pair, 10.0);
        assert_eq!(minutes(&[(200.0, 1000.0)]).phi().alone, 10.0, "one cell is no comparison");
    }

    /// y = 5, 15, 10, 10 of 1000 each: expected 10, chi-square 2.5 + 2.5 = 5 of 3, below 6.25.
    #[test]
    fn chance_counts_as_one_and_more_than_chance_is_taken_times_1_2() {
        let even = minutes(&[(5.0, 1000.0), (15.0, 1000.0), (10.0, 1000.0), (10.0, 1000.0)]);
        assert_eq!(even.phi().alone, 1.0);
        // 0, 30, 0, 10: (10 + 40 + 10 + 0) = 60 of 3 is 20, times 1.2.
        let bursts = minutes(&[(0.0, 1000.0), (30.0, 1000.0), (0.0, 1000.0), (10.0, 1000.0)]);
        assert!((bursts.phi().alone - 24.0).abs() < 1e-9, "{:?}", bursts.phi());
    }

    #[test]
    fn traffic_that_rises_is_no_burst() {
        let ramp: Vec<(f64, f64)> = (1..=60).map(|i| (f64::from(i), f64::from(i) * 100.0)).collect();
        assert_eq!(minutes(&ramp).phi().alone, 1.0);
    }

    #[test]
    fn where_instances_are_known_they_are_compared_with_each_other() {
        let mut d = Dispersion::default();
        for minute in 0..60 {
            // Everything fails more every third minute, on all instances alike.
            let hits = if minute % 3 == 0 { 30.0 } else { 3.0 };
            let each = Count::new(hits / 3.0, 1000.0);
            d.add(60.0, Count::new(hits, 3000.0), &[each; 3]);
        }
        let phi = d.phi();
        assert_eq!(phi.pair, 1.0);
        assert!(phi.alone > 10.0, "{phi:?}");
        let mut sick = Dispersion::default();
        for _ in 0..60 {
            sick.add(60.0, Count::new(10.0, 2000.0), &[Count::new(10.0, 1000.0), Count::new(0.0, 1000.0)]);
        }
        assert!(sick.phi().pair > 10.0 && sick.phi().alone < 1.1, "{:?}", sick.phi());
    }

    /// Nine single errors and one burst of eleven, each on one of two instances: their squares are 130, of 20
    /// errors: 6.5, times 1.2. A mean of dispersions would be 2.
    #[test]
    fn a_burst_counts_for_as_many_errors_as_it_is() {
        let mut d = Dispersion::default();
        for k in 0..10 {
            let hits = if k == 0 { 11.0 } else { 1.0 };
            d.add(60.0, Count::new(hits, 2_000.0), &[Count::new(hits, 1_000.0), Count::new(0.0, 1_000.0)]);
        }
        assert!((d.phi().pair - 7.8).abs() < 1e-9, "{:?}", d.phi());
        // Between instances of one size, single errors are as even as they can be.
        let mut single = Dispersion::default();
        for _ in 0..30 {
            single.add(60.0, Count::new(1.0, 2_000.0), &[Count::new(1.0, 1_000.0), Count::new(0.0, 1_000.0)]);
        }
        assert_eq!(single.phi().pair, 1.0);
        let read: Dispersion = serde_json::from_str(&serde_json::to_string(&d).unwrap()).unwrap();
        assert_eq!(read.phi(), d.phi());
    }

    /// What is expected, and how much it varies, are those of errors that are dealt out by chance: in one of
    /// ten cases it is taken for bursts.
    #[test]
    fn chance_between_uneven_instances_counts_as_one_in_nine_of_ten() {
        use rand::{RngExt, SeedableRng, rngs::StdRng};
        let mut rng = StdRng::seed_from_u64(5);
        for (errors, intervals) in [(1, 60), (4, 30), (40, 15)] {
            let taken = (0..2_000).filter(|_| {
                let mut d = Dispersion::default();
                for _ in 0..intervals {
                    let mut instances = [300.0, 200.0, 100.0, 400.0].map(|of| Count::new(0.0, of));
                    for _ in 0..errors {
                        let mut place = rng.random::<f64>() * 1_000.0;
                        let hit = instances.iter_mut().find(|c| {
                            place -= c.of;
                            place < 0.0
                        });
                        hit.unwrap().hits += 1.0;
                    }
                    d.add(60.0, Count::new(f64::from(errors), 1_000.0), &instances);
                }
                d.phi().pair > 1.0
            });
            let percent = taken.count() as f64 / 20.0;
            assert!((6.0..14.0).contains(&percent), "{errors}: {percent} %");
        }
    }

    /// Ten seconds each: bursts that come every minute vanish in cells of a minute and more.
    #[test]
    fn bursts_are_seen_between_intervals_that_were_merged() {
        let mut d = Dispersion::default();
        for k in 0..360 {
            d.add(10.0, Count::new(if k % 6 == 0 { 6.0 } else { 0.0 }, 100.0), &[]);
        }
        let cells: f64 = all(&d).map(|c| c.parts.max(1.0)).sum();
        assert!(all(&d).count() <= CELLS && (cells - 360.0).abs() < 9.0, "{} {cells}", d.cells.len());
        // 6 in one of six, 1 expected in each: (25 + 5) / 6 a cell, times 1.2.
        assert!((d.phi().alone - 6.0).abs() < 0.1, "{:?}", d.phi());
        // Waves of ten minutes are seen between cells.
        let mut waves = Dispersion::default();
        for k in 0..360 {
            waves.add(10.0, Count::new(if k % 120 < 60 { 2.0 } else { 0.0 }, 100.0), &[]);
        }
        assert!(waves.phi().alone > 5.0, "{:?}", waves.phi());
    }

    #[test]
    fn what_is_known_grows_old_while_nothing_is_fed() {
        let at = |secs: u64| crate::model::time::after(Time::UNIX_EPOCH, std::time::Duration::from_secs(secs));
        let mut d = Dispersion::default();
        let feed = |d: &mut Dispersion, from: u64| {
            d.rest(d.gap(at(from)));
            d.add(60.0, Count::new(10.0, 1_000.0), &[]);
            d.fed_until(at(from + 60));
        };
        (0..30).for_each(|k| feed(&mut d, k * 60));
        assert_eq!(d.phi().alone, 1.0);
        let read: Dispersion = serde_json::from_str(&serde_json::to_string(&d).unwrap()).unwrap();
        assert_eq!(read.phi(), d.phi());
        // Half an hour of rest leaves what is younger than an hour; a day leaves nothing.
        let mut short = d.clone();
        feed(&mut short, 3_600);
        assert_eq!(short.phi().alone, 1.0);
        let mut day = d;
        feed(&mut day, 90_000);
        assert_eq!(day.phi(), Phi::default(), "one interval is not known to be anything");
    }

    #[test]
    fn an_hour_is_kept_in_at_most_60_cells_whatever_the_interval() {
        for secs in [1.0, 7.0, 10.0, 60.0, 600.0] {
            let mut d = Dispersion::default();
            let mut fed = 0.0;
            while fed < 20_000.0 {
                d.add(secs, Count::new(secs, secs * 100.0), &[]);
                fed += secs;
            }
            let covered: f64 = all(&d).map(|c| c.secs).sum();
            assert!(all(&d).count() <= CELLS && (3_600.0..7_300.0).contains(&covered), "{secs}: {} cells, {covered} s", d.cells.len());
            assert_eq!(d.phi().alone, 1.0);
            let read: Dispersion = serde_json::from_str(&serde_json::to_string(&d).unwrap()).unwrap();
            assert_eq!(read.phi(), d.phi());
            assert!(serde_json::to_vec(&d).unwrap().len() < 6_144);
        }
    }
}
