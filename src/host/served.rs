//! What a version served while it has all the traffic, for the record. Pure: counters and times come in.
//!
//! Time counts for a bake only while somebody looks: a gate that cannot see the version, or a version of which no
//! instance is ready, stops the count; a gate that fails begins it anew.

use super::meter::{Meter, Totals};
use crate::conductor::life::PoolId;
use std::time::Duration;

/// How often it is told at least.
pub const EVERY: Duration = Duration::from_secs(60);

/// What a version served since it was told last.
#[derive(Debug, Default)]
pub struct Served {
    from: Option<(PoolId, Duration, Totals)>,
    /// For how long of that time it baked.
    clean: Duration,
    /// When it was looked at last, by the host's own clock.
    looked: Duration,
}

/// What the time since the last look is for the bake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bake {
    /// Nothing failed, and it could have been seen.
    Counts,
    /// Nobody could have seen a failure: it proves nothing, and what was before it stays proven.
    Waits,
    /// A gate fails: what was served before does not count.
    Anew,
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
    /// So much of that time counts for its bake.
    pub clean: Duration,
}

impl Served {
    /// What is to be told now: once a minute, and when the bake of which so much is `left` is over, which
    /// may be shorter or end within a minute. With another pool, or none, it starts anew: what it served of
    /// the minute before is not told.
    pub fn due(&self, pool: &PoolId, meter: &Meter, left: Option<Duration>, uptime: Duration) -> Option<Amount> {
        let (_, at, zero) = self.from.as_ref().filter(|(known, ..)| known == pool)?;
        let (elapsed, clean) = (uptime.saturating_sub(*at), self.clean);
        let now = meter.totals();
        let baked = left.is_some_and(|left| !clean.is_zero() && clean >= left);
        (elapsed >= EVERY || baked).then(|| Amount {
            requests: now.requests.saturating_sub(zero.requests),
            errors: now.errors.saturating_sub(zero.errors),
            elapsed,
            clean,
        })
    }

    /// Takes in what the time since the last look is worth; to be called before [`due`](Self::due).
    pub const fn look(&mut self, bake: Bake, uptime: Duration) {
        let since = uptime.saturating_sub(self.looked);
        self.clean = match bake {
            Bake::Counts => self.clean.saturating_add(since),
            Bake::Waits => self.clean,
            Bake::Anew => Duration::ZERO,
        };
        self.looked = uptime;
    }

    /// Counts from now on, if it was told or another pool serves.
    pub fn follow(&mut self, pool: Option<(&PoolId, &Meter)>, told: bool, uptime: Duration) {
        let Some((pool, meter)) = pool else {
            self.from = None;
            return;
        };
        if told || self.from.as_ref().is_none_or(|(known, ..)| known != pool) {
            self.from = Some((pool.clone(), uptime, meter.totals()));
            (self.clean, self.looked) = (Duration::ZERO, uptime);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bake, Served};
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
        served.look(Bake::Counts, seconds(70));
        let due = served.due(&one, &meter, None, seconds(70)).unwrap();
        assert_eq!((due.requests, due.errors, due.elapsed, due.clean), (4, 1, seconds(65), seconds(65)));
        served.follow(Some((&one, &meter)), false, seconds(70));
        assert_eq!(served.due(&one, &meter, None, seconds(70)), Some(due), "not told yet");
        served.follow(Some((&one, &meter)), true, seconds(70));
        assert_eq!(served.due(&one, &meter, None, seconds(71)), None);
        assert_eq!(served.due(&two, &meter, None, seconds(900)), None);
        served.follow(Some((&two, &meter)), false, seconds(900));
        served.look(Bake::Counts, seconds(960));
        let due = served.due(&two, &meter, None, seconds(960)).unwrap();
        assert_eq!((due.requests, due.clean), (0, seconds(60)), "of its own time only");
        served.follow(None, false, seconds(961));
        assert_eq!(served.due(&two, &meter, None, seconds(2_000)), None);
    }

    /// A version that bakes and is looked at every second from its fifth on.
    fn baking(meter: &Meter, looks: impl Iterator<Item = Bake>) -> (Served, u64) {
        let mut served = Served::default();
        served.follow(Some((&pool("v1"), meter)), false, Duration::from_secs(5));
        let mut at = 5;
        for look in looks {
            at += 1;
            served.look(look, Duration::from_secs(at));
        }
        (served, at)
    }

    #[test]
    fn the_end_of_a_bake_is_told_when_it_is_there_and_counts_only_what_came_after_a_failure() {
        use Bake::{Anew, Counts};
        let (meter, one, seconds) = (Meter::new(), pool("v1"), Duration::from_secs);
        let due = |looks: &[Bake]| {
            let (served, at) = baking(&meter, looks.iter().copied());
            served.due(&one, &meter, Some(seconds(3)), seconds(at)).map(|due| (due.elapsed, due.clean))
        };
        assert_eq!(due(&[Counts; 2]), None);
        assert_eq!(due(&[Counts; 3]), Some((seconds(3), seconds(3))));
        assert_eq!(due(&[Counts, Counts, Anew, Counts, Counts]), None, "a failure starts it anew");
        assert_eq!(due(&[Counts, Counts, Anew, Counts, Counts, Counts]), Some((seconds(6), seconds(3))));
        // What is told of a whole minute is no longer a bake by that, and the next minute goes on.
        let looks = std::iter::repeat_n(Counts, 59).chain([Anew, Counts, Counts]);
        let (mut served, at) = baking(&meter, looks);
        let minute = served.due(&one, &meter, Some(seconds(3)), seconds(at)).unwrap();
        assert_eq!((minute.elapsed, minute.clean), (seconds(62), seconds(2)));
        served.follow(Some((&one, &meter)), true, seconds(at));
        served.look(Counts, seconds(at + 1));
        assert_eq!(served.due(&one, &meter, Some(seconds(1)), seconds(at + 1)).unwrap().clean, seconds(1));
    }

    #[test]
    fn what_nobody_could_see_proves_nothing_and_takes_nothing_away() {
        let (meter, one, seconds) = (Meter::new(), pool("v1"), Duration::from_secs);
        let looks = [Bake::Counts; 2].into_iter().chain([Bake::Waits; 50]);
        let (mut served, at) = baking(&meter, looks);
        assert_eq!(served.due(&one, &meter, Some(seconds(3)), seconds(at)), None, "50 s of blindness are no bake");
        served.look(Bake::Counts, seconds(at + 1));
        let due = served.due(&one, &meter, Some(seconds(3)), seconds(at + 1)).unwrap();
        assert_eq!((due.elapsed, due.clean), (seconds(53), seconds(3)), "it goes on where it was");
    }
}
