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

/// How many points each resolution keeps.
const KEEP: (usize, usize, usize) = (120, 180, 288);

impl History {
    /// Adds a one-second point and folds full intervals into the coarser resolutions.
    pub fn push(&mut self, point: Point) {
        let at = point.at.timestamp();
        self.seconds.push_back(point);
        trim(&mut self.seconds, KEEP.0);
        if let Some(ten) = fold(&self.seconds, at, 10) {
            self.tens.push_back(ten);
            trim(&mut self.tens, KEEP.1);
            if let Some(five) = fold(&self.tens, at, 300) {
                self.fives.push_back(five);
                trim(&mut self.fives, KEEP.2);
            }
        }
    }

    /// Only what a console needs to draw the last 30 minutes.
    #[must_use]
    pub fn recent(&self) -> Self {
        Self { seconds: self.seconds.clone(), tens: self.tens.clone(), fives: VecDeque::new() }
    }
}

fn trim(points: &mut VecDeque<Point>, keep: usize) {
    while points.len() > keep {
        points.pop_front();
    }
}

/// The sum of the interval of `secs` that ends at `at`, if one ends there.
fn fold(fine: &VecDeque<Point>, at: i64, secs: u32) -> Option<Point> {
    if at % i64::from(secs) != 0 {
        return None;
    }
    let from = at - i64::from(secs);
    let mut inside = fine.iter().rev().take_while(|p| p.at.timestamp() > from);
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
}
