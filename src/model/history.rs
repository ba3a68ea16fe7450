//! A version's traffic over time, in three resolutions: 1 s for 2 min, 10 s for 30 min, 5 min for 24 h.

use super::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What was counted in one interval.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Point {
    /// The interval's end.
    pub at: Time,
    /// Its length in seconds: 1, 10 or 300.
    pub secs: u32,
    /// Requests that ended or failed in it.
    pub requests: u64,
    /// Those answered with 5xx or not at all.
    pub errors: u64,
    /// Those slower than the frozen threshold.
    pub slow: u64,
    /// Median time to the response head in milliseconds; `None` without requests. In coarse
    /// intervals the largest of the finer ones, so that a spike stays visible.
    pub p50: Option<f64>,
    /// The 99th percentile, likewise.
    pub p99: Option<f64>,
}

/// Points of one version, oldest first in each resolution.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct History {
    /// 1 s for 2 min.
    pub seconds: VecDeque<Point>,
    /// 10 s for 30 min.
    pub tens: VecDeque<Point>,
    /// 5 min for 24 h.
    pub fives: VecDeque<Point>,
}

/// How far back one looks: each span has a resolution of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Span {
    /// 2 min, second by second.
    Minutes,
    /// 30 min in intervals of 10 s.
    #[default]
    HalfHour,
    /// 24 h in intervals of 5 min.
    Day,
}

impl Span {
    /// Each of them, the shortest first.
    pub const ALL: [Self; 3] = [Self::Minutes, Self::HalfHour, Self::Day];

    /// Seconds that one point covers.
    #[must_use]
    pub const fn interval(self) -> u32 {
        match self {
            Self::Minutes => 1,
            Self::HalfHour => 10,
            Self::Day => 300,
        }
    }

    /// Points that are kept at most.
    #[must_use]
    pub const fn points(self) -> usize {
        match self {
            Self::Minutes => 120,
            Self::HalfHour => 180,
            Self::Day => 288,
        }
    }

    /// In words: `2 min`, `30 min`, `24 h`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Minutes => "2 min",
            Self::HalfHour => "30 min",
            Self::Day => "24 h",
        }
    }
}

impl History {
    /// Adds a one-second point and folds full intervals into the coarser resolutions. Points may come
    /// late, and the clock may have been set: what lies in the future then is forgotten.
    pub fn push(&mut self, point: Point) {
        let at = point.at;
        for points in [&mut self.seconds, &mut self.tens, &mut self.fives] {
            while points.back().is_some_and(|p| p.at >= at) {
                points.pop_back();
            }
        }
        let before = self.seconds.back().map(|p| p.at.timestamp());
        self.seconds.push_back(point);
        trim(&mut self.seconds, Span::Minutes.points());
        if let Some(ten) = fold(&self.seconds, before, at.timestamp(), 10) {
            let before = self.tens.back().map(|p| p.at.timestamp());
            self.tens.push_back(ten);
            trim(&mut self.tens, Span::HalfHour.points());
            if let Some(five) = fold(&self.tens, before, at.timestamp(), 300) {
                self.fives.push_back(five);
                trim(&mut self.fives, Span::Day.points());
            }
        }
    }

    /// The points of one span.
    #[must_use]
    pub const fn of(&self, span: Span) -> &VecDeque<Point> {
        match span {
            Span::Minutes => &self.seconds,
            Span::HalfHour => &self.tens,
            Span::Day => &self.fives,
        }
    }
}

fn trim(points: &mut VecDeque<Point>, keep: usize) {
    while points.len() > keep {
        points.pop_front();
    }
}

/// The sum of the interval of `secs` that has just ended, if one has between `before` and `at`.
fn fold(fine: &VecDeque<Point>, before: Option<i64>, at: i64, secs: u32) -> Option<Point> {
    let end = at - at.rem_euclid(i64::from(secs));
    if before.is_some_and(|before| before >= end) || (before.is_none() && at != end) {
        return None;
    }
    let from = end - i64::from(secs);
    let ended = fine.iter().rev().skip_while(|p| p.at.timestamp() > end);
    let mut inside = ended.take_while(|p| p.at.timestamp() > from);
    let mut sum = Point { secs, ..inside.next()?.clone() };
    for p in inside {
        sum.requests += p.requests;
        sum.errors += p.errors;
        sum.slow += p.slow;
        sum.p50 = larger(sum.p50, p.p50);
        sum.p99 = larger(sum.p99, p.p99);
    }
    Some(sum)
}

fn larger(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::{History, Point};
    use chrono::DateTime;

    #[test]
    fn coarse_points_are_sums_and_keep_spikes() {
        let mut history = History::default();
        for second in 1..=1_200 {
            let Some(at) = DateTime::from_timestamp(second, 0) else { continue };
            let p99 = if second == 605 { 900.0 } else { 10.0 };
            history.push(Point { at, secs: 1, requests: 3, errors: 1, slow: 0, p50: Some(5.0), p99: Some(p99) });
        }
        assert_eq!((history.seconds.len(), history.tens.len(), history.fives.len()), (120, 120, 4));
        assert!(history.tens.iter().all(|p| (p.requests, p.errors, p.secs) == (30, 10, 10)));
        assert_eq!(history.fives.iter().map(|p| p.requests).sum::<u64>(), 3_600);
        assert_eq!(history.tens.iter().filter(|p| p.p99 == Some(900.0)).count(), 1);
    }

    fn point(at: i64) -> Option<Point> {
        Some(Point { at: DateTime::from_timestamp(at, 0)?, secs: 1, requests: 1, errors: 0, slow: 0, p50: None, p99: None })
    }

    #[test]
    fn a_late_second_loses_no_interval() {
        let mut history = History::default();
        for second in (1..=60).filter(|s| s % 10 != 0).filter_map(point) {
            history.push(second);
        }
        assert_eq!(history.tens.iter().map(|p| p.requests).collect::<Vec<_>>(), [9; 5]);
    }

    #[test]
    fn a_clock_that_is_set_leaves_points_in_order_and_counts_none_twice() {
        for jump in [-4_000, -100, -7, -1, 0, 1, 7, 100, 4_000] {
            let mut history = History::default();
            for second in (10_001..=10_400).map(|s| if s > 10_205 { s + jump } else { s }).filter_map(point) {
                history.push(second);
                for points in [&history.seconds, &history.tens, &history.fives] {
                    assert!(points.iter().zip(points.iter().skip(1)).all(|(a, b)| a.at < b.at), "{jump}");
                    assert!(points.iter().all(|p| p.requests <= u64::from(p.secs)), "{jump}");
                }
            }
        }
    }
}
