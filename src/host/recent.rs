//! What a version did lately while it has all the traffic: evidence for its gates while it bakes, and what
//! it served, for the record. Pure: counters and times come in.

use super::meter::{Meter, Totals};
use crate::{conductor::life::PoolId, judge::Counts, model::time::Time};
use std::{collections::VecDeque, time::Duration};

/// How far back a version that bakes is judged: over all of its time a late failure would drown.
pub const WINDOW: Duration = Duration::from_secs(30 * 60);

/// How often the counters are kept, and how often it is told what was served.
pub const EVERY: Duration = Duration::from_secs(60);

/// The counters of a version that bakes, as they were each minute.
#[derive(Debug, Default)]
pub struct Recent {
    of: Option<(PoolId, Time, Option<Duration>)>,
    /// By uptime, since the wall clock may be set; the first one is the zero point.
    kept: VecDeque<(Duration, Time, Totals)>,
}

impl Recent {
    /// Keeps the counters when that is due, and starts anew for another pool, another time since which
    /// evidence counts, or another threshold of what is slow.
    pub fn follow(&mut self, of: (PoolId, Time, Option<Duration>), meter: &Meter, now: Time, uptime: Duration) {
        if self.of.as_ref() != Some(&of) {
            self.of = Some(of);
            self.kept.clear();
        }
        if self.kept.back().is_none_or(|(at, ..)| uptime.saturating_sub(*at) >= EVERY) {
            self.kept.push_back((uptime, now, meter.totals()));
        }
        // The zero point is the newest that is old enough.
        while self.kept.get(1).is_some_and(|(at, ..)| uptime.saturating_sub(*at) >= WINDOW) {
            self.kept.pop_front();
        }
    }

    /// Nothing bakes.
    pub fn clear(&mut self) {
        (self.of, self.kept) = (None, VecDeque::new());
    }

    /// What was counted since [`Self::since`]; `None` while nothing bakes.
    #[must_use]
    pub fn counts(&self, meter: &Meter) -> Option<Counts> {
        let (_, _, zero) = self.kept.front()?;
        let now = meter.totals();
        Some(Counts {
            requests: now.requests.saturating_sub(zero.requests),
            errors: now.errors.saturating_sub(zero.errors),
            slow: now.slow.saturating_sub(zero.slow),
        })
    }

    /// Since when it is counted: at first since when evidence counts at all.
    #[must_use]
    pub fn since(&self) -> Option<Time> {
        let (_, since, _) = self.of.as_ref()?;
        self.kept.front().map(|(_, at, _)| (*at).max(*since))
    }
}

/// What a version served since it was told last.
#[derive(Debug, Default)]
pub struct Served {
    from: Option<(PoolId, Duration, Totals)>,
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
}

impl Served {
    /// What is to be told now, once a minute. With another pool, or none, it starts anew: what it served
    /// of the minute before is not told.
    pub fn due(&self, pool: &PoolId, meter: &Meter, uptime: Duration) -> Option<Amount> {
        let (_, at, zero) = self.from.as_ref().filter(|(known, ..)| known == pool)?;
        let elapsed = uptime.saturating_sub(*at);
        let now = meter.totals();
        (elapsed >= EVERY).then(|| Amount {
            requests: now.requests.saturating_sub(zero.requests),
            errors: now.errors.saturating_sub(zero.errors),
            elapsed,
        })
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
    use super::{Recent, Served, WINDOW};
    use crate::{
        conductor::life::PoolId,
        host::meter::{Head, Meter},
        model::{ident::VersionId, time::Time},
    };
    use chrono::DateTime;
    use std::time::Duration;

    fn pool(version: &str) -> PoolId {
        PoolId { version: VersionId::new(version), generation: 1 }
    }

    fn at(second: u64) -> Time {
        DateTime::from_timestamp(1_790_000_000 + i64::try_from(second).unwrap(), 0).unwrap()
    }

    fn answer(meter: &Meter, status: u16, times: u64) {
        for _ in 0..times {
            meter.head(Head::Answer { status, latency: Duration::from_millis(5) });
        }
    }

    #[test]
    fn a_late_failure_does_not_drown_in_what_was_served_before() {
        let (meter, mut recent) = (Meter::new(), Recent::default());
        let of = (pool("v1"), at(0), None);
        for second in 0..4 * 3_600 {
            recent.follow(of.clone(), &meter, at(second), Duration::from_secs(second));
            answer(&meter, if second >= 4 * 3_600 - 600 { 500 } else { 200 }, 1);
        }
        let counts = recent.counts(&meter).unwrap();
        assert_eq!(counts.errors, 600);
        let window = WINDOW.as_secs()..=WINDOW.as_secs() + 60;
        assert!(window.contains(&counts.requests), "{}", counts.requests);
        let since = (at(4 * 3_600 - 1) - recent.since().unwrap()).num_seconds();
        assert!(window.contains(&u64::try_from(since).unwrap()), "{since}");
        // Less than the window is all there is, and nothing before it began.
        let mut fresh = Recent::default();
        fresh.follow((pool("v1"), at(90_000), None), &meter, at(80_000), Duration::from_secs(90_000));
        assert_eq!(fresh.since(), Some(at(90_000)), "a clock that was set back");
        assert_eq!(fresh.counts(&meter).unwrap().requests, 0);
        fresh.clear();
        assert_eq!((fresh.since(), fresh.counts(&meter).is_none()), (None, true));
    }

    #[test]
    fn what_was_served_is_told_once_a_minute_and_once_only() {
        let (meter, mut served) = (Meter::new(), Served::default());
        let (one, two) = (pool("v1"), pool("v2"));
        let seconds = Duration::from_secs;
        served.follow(Some((&one, &meter)), false, seconds(5));
        answer(&meter, 200, 3);
        answer(&meter, 503, 1);
        assert_eq!(served.due(&one, &meter, seconds(64)), None);
        let due = served.due(&one, &meter, seconds(70)).unwrap();
        assert_eq!((due.requests, due.errors, due.elapsed), (4, 1, seconds(65)));
        served.follow(Some((&one, &meter)), false, seconds(70));
        assert_eq!(served.due(&one, &meter, seconds(70)), Some(due), "not told yet");
        served.follow(Some((&one, &meter)), true, seconds(70));
        assert_eq!(served.due(&one, &meter, seconds(71)), None);
        assert_eq!(served.due(&two, &meter, seconds(900)), None);
        served.follow(Some((&two, &meter)), false, seconds(900));
        assert_eq!(served.due(&two, &meter, seconds(960)).unwrap().requests, 0);
        served.follow(None, false, seconds(961));
        assert_eq!(served.due(&two, &meter, seconds(2_000)), None);
    }
}
