//! A version's past, second by second, from points that a backend measured over longer intervals.

use crate::model::{history::Point, time::after};
use std::time::Duration;

/// The same requests, spread evenly over the seconds of their interval: a screen draws seconds, and what
/// lies between two scrapes is not known better. No request is lost or counted twice.
pub fn seconds(point: &Point) -> impl Iterator<Item = Point> + use<> {
    let secs = u64::from(point.secs.max(1));
    let point = point.clone();
    (1..=secs).map(move |nth| {
        let part = |of: u64| of * nth / secs - of * (nth - 1) / secs;
        let at = point.at - (after(point.at, Duration::from_secs(secs - nth)) - point.at);
        Point { at, secs: 1, requests: part(point.requests), errors: part(point.errors), slow: part(point.slow), ..point }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    #[test]
    fn seconds_add_up_to_what_was_measured() {
        let at = DateTime::from_timestamp(1_000, 0).unwrap();
        for requests in [0, 1, 14, 15, 16, 1_000_003] {
            let point = Point { at, secs: 15, requests, errors: requests / 3, slow: 1, p50: Some(2.0), p99: None };
            let all: Vec<Point> = seconds(&point).collect();
            assert_eq!(all.len(), 15);
            assert_eq!(all.iter().map(|p| p.requests).sum::<u64>(), requests);
            assert_eq!(all.iter().map(|p| p.errors).sum::<u64>(), requests / 3);
            assert_eq!(all.last().map(|p| p.at), Some(at));
            assert!(all.windows(2).all(|pair| (pair[1].at - pair[0].at).num_seconds() == 1));
        }
    }
}
