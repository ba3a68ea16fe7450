//! What a version served while it has all the traffic, for the record. Pure: counters and times come in.

use super::meter::{Meter, Totals};
use crate::conductor::life::PoolId;
use std::time::Duration;

/// How often it is told at least.
pub const EVERY: Duration = Duration::from_secs(60);

/// What a version served since it was told last.
#[derive(Debug, Default)]
pub struct Served {
    from: Option<(PoolId, Duration, Totals)>,
    /// When a gate was seen failing last, by the host's own clock.
    bad: Duration,
}

/// What a version served in a length of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Amount {
    /// Requests that were answered or failed.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// In this time, by the host's own clock.
    pub elapsed: Duration,
    /// The end of that time in which no gate was failing.
    pub clean: Duration,
}

impl Served {
    /// What is to be told now: once a minute, and when the bake of which so much is `left` is over, which
    /// may be shorter or end within a minute. With another pool, or none, it starts anew: what it served of
    /// the minute before is not told.
    pub fn due(&self, pool: &PoolId, meter: &Meter, left: Option<Duration>, uptime: Duration) -> Option<Amount> {
        let (_, at, zero) = self.from.as_ref().filter(|(known, ..)| known == pool)?;
        let (elapsed, clean) = (uptime.saturating_sub(*at), uptime.saturating_sub(self.bad.max(*at)));
        let now = meter.totals();
        let baked = left.is_some_and(|left| !clean.is_zero() && clean >= left);
        (elapsed >= EVERY || baked).then(|| Amount {
            requests: now.requests.saturating_sub(zero.requests),
            errors: now.errors.saturating_sub(zero.errors),
            elapsed,
            clean,
        })
    }

    /// A gate is failing now: what was served before does not count for the bake.
    pub const fn fails(&mut self, uptime: Duration) {
        self.bad = uptime;
    }

    /// Counts from now on, if it was told or another pool serves.
    pub fn follow(&mut self, pool: Option<(&PoolId, &Meter)>, told: bool, uptime: Duration) {
        let Some((pool, meter)) = pool else {
            self.from = None;
            return;
        };
        if told || self.from.as_ref().is_none_or(|(known, ..)| known != pool) {
            self.from = Some((pool.clone(), uptime, meter.totals()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Served;
    use crate::{
        conductor::life::PoolId,
        host::meter::{Head, Meter},
        model::ident::VersionId,
    };
    use std::time::Duration;

    fn pool(version: &str) -> PoolId {
        PoolId { version: VersionId::new(version), generation: 1 }
    }

    fn answer(meter: &Meter, status: u16, times: u64) {
        for _ in 0..times {
            meter.head(Head::Answer { status, latency: Duration::from_millis(5) }, None);
        }
    }

    #[test]
    fn what_was_served_is_told_once_a_minute_and_once_only() {
        let (meter, mut served) = (Meter::new(), Served::default());
        let (one, two) = (pool("v1"), pool("v2"));
        let seconds = Duration::from_secs;
        served.follow(Some((&one, &meter)), false, seconds(5));
        answer(&meter, 200, 3);
        answer(&meter, 503, 1);
        assert_eq!(served.due(&one, &meter, None, seconds(64)), None);
        let due = served.due(&one, &meter, None, seconds(70)).unwrap();
        assert_eq!((due.requests, due.errors, due.elapsed, due.clean), (4, 1, seconds(65), seconds(65)));
        served.follow(Some((&one, &meter)), false, seconds(70));
        assert_eq!(served.due(&one, &meter, None, seconds(70)), Some(due), "not told yet");
        served.follow(Some((&one, &meter)), true, seconds(70));
        assert_eq!(served.due(&one, &meter, None, seconds(71)), None);
        assert_eq!(served.due(&two, &meter, None, seconds(900)), None);
        served.follow(Some((&two, &meter)), false, seconds(900));
        assert_eq!(served.due(&two, &meter, None, seconds(960)).unwrap().requests, 0);
        served.follow(None, false, seconds(961));
        assert_eq!(served.due(&two, &meter, None, seconds(2_000)), None);
    }

    #[test]
    fn the_end_of_a_bake_is_told_when_it_is_there_and_counts_only_what_came_after_a_failure() {
        let (meter, mut served) = (Meter::new(), Served::default());
        let one = pool("v1");
        let seconds = Duration::from_secs;
        served.follow(Some((&one, &meter)), false, seconds(5));
        assert_eq!(served.due(&one, &meter, Some(seconds(3)), seconds(7)), None);
        assert_eq!(served.due(&one, &meter, Some(seconds(3)), seconds(8)).unwrap().clean, seconds(3));
        served.fails(seconds(8));
        assert_eq!(served.due(&one, &meter, Some(seconds(3)), seconds(10)), None, "a failure starts it anew");
        let due = served.due(&one, &meter, Some(seconds(3)), seconds(11)).unwrap();
        assert_eq!((due.elapsed, due.clean), (seconds(6), seconds(3)));
        // What is told of a whole minute is no longer a bake by that.
        served.fails(seconds(64));
        let due = served.due(&one, &meter, Some(seconds(3)), seconds(66)).unwrap();
        assert_eq!((due.elapsed, due.clean), (seconds(61), seconds(2)));
        served.follow(Some((&one, &meter)), true, seconds(66));
        assert_eq!(served.due(&one, &meter, Some(seconds(3)), seconds(69)).unwrap().clean, seconds(3));
    }
}
