//! What a version served while it has all the traffic, for the record. Pure: counters and times come in.

use super::meter::{Meter, Totals};
use crate::conductor::life::PoolId;
use std::time::Duration;

/// How often it is told.
pub const EVERY: Duration = Duration::from_secs(60);

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
            meter.head(Head::Answer { status, latency: Duration::from_millis(5) });
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
