//! The server's clock, from the `Date` of its answers, which has whole seconds.

use crate::model::time::Time;
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::{Mutex, PoisonError};

/// How far the server's clock is from ours: somewhere between two bounds that answers narrow down.
#[derive(Debug, Default)]
pub struct ServerTime(Mutex<Option<(TimeDelta, TimeDelta)>>);

impl ServerTime {
    /// An answer: its `Date`, and our clock before the request and after the head of the answer.
    pub fn heard(&self, date: &str, sent: Time, received: Time) {
        let Ok(date) = DateTime::parse_from_rfc2822(date) else { return };
        let date = date.with_timezone(&Utc);
        // It was made in the second that `date` begins, between sending and receiving.
        let (least, most) = (date - received, date + TimeDelta::seconds(1) - sent);
        let mut bounds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let narrowed = bounds.map(|(low, high)| (low.max(least), high.min(most))).filter(|(low, high)| low <= high);
        // What contradicts everything before says that a clock was set.
        *bounds = Some(narrowed.unwrap_or((least, most)));
    }

    /// The server's clock when ours is `now`. Where the two may agree, they do.
    #[must_use]
    pub fn at(&self, now: Time) -> Time {
        let bounds = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match bounds {
            Some((least, most)) if least > TimeDelta::zero() || most < TimeDelta::zero() => now + (least + most) / 2,
            _ => now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ServerTime;
    use chrono::{DateTime, TimeDelta, Utc};

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_800_000_000_000 + ms).unwrap()
    }

    fn date(ms: i64) -> String {
        at(ms).format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }

    #[test]
    fn clocks_that_may_agree_do() {
        let time = ServerTime::default();
        assert_eq!(time.at(at(5)), at(5));
        time.heard(&date(300), at(300), at(310));
        assert_eq!(time.at(at(400)), at(400));
        time.heard("yesterday", at(0), at(0));
        assert_eq!(time.at(at(400)), at(400));
    }

    #[test]
    fn a_server_minutes_away_is_known_to_half_a_second_and_better_with_time() {
        let time = ServerTime::default();
        for (now, most) in [(0, 500), (700, 300), (1_900, 120)] {
            time.heard(&date(now + 300_050), at(now), at(now + 10));
            let off = (time.at(at(now)) - at(now + 300_050)).abs();
            assert!(off <= TimeDelta::milliseconds(most + 20), "{off} at {now}");
        }
        // The server's clock is set back.
        time.heard(&date(-60_000), at(3_000), at(3_010));
        assert!((time.at(at(3_000)) - at(-60_000)).abs() <= TimeDelta::milliseconds(1_020));
    }
}
