//! What proves that a way back worked. Pure: counters and time come in, the proof comes out.

use crate::model::{
    back::Proof,
    ratio::Weight,
    text::Text,
    time::{Time, after, elapsed},
    version::Version,
};
use std::time::Duration;

/// No request may have reached the left version for this long before it is called safe.
pub const QUIET: Duration = Duration::from_secs(30);

/// Stable's errors may be this many percentage points above what they were before.
const AS_BEFORE: f64 = 0.5;

/// Watches one way back from the order to `SAFE since`.
#[derive(Clone, PartialEq, Debug)]
pub struct Watch {
    left: Version,
    asked: Time,
    /// Set when the router does not send anything to the left version any more.
    switched: Option<Switched>,
    safe_since: Option<Time>,
}

#[derive(Clone, PartialEq, Debug)]
struct Switched {
    at: Time,
    left_started: u64,
    stable_started: u64,
    errors_before: Option<f64>,
}

/// What is counted now.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Counted {
    /// The left version's share as the router does it.
    pub programmed: Weight,
    /// Requests that ever started on the left version.
    pub left_started: u64,
    /// When the last of them started.
    pub left_last: Option<Time>,
    /// Those still in flight, without upgraded connections.
    pub in_flight: u64,
    /// Upgraded connections that are still open.
    pub upgraded: u64,
    /// Requests that ever started on the version that serves now.
    pub stable_started: u64,
    /// Its error ratio over the last minute, if it had requests.
    pub stable_errors: Option<f64>,
}

impl Watch {
    /// From the order on.
    #[must_use]
    pub const fn new(left: Version, asked: Time) -> Self {
        Self { left, asked, switched: None, safe_since: None }
    }

    /// When the way back that is watched was asked for.
    #[must_use]
    pub const fn asked(&self) -> Time {
        self.asked
    }

    /// Called after every change of the counters and at least once a second.
    pub fn observe(&mut self, counted: &Counted, now: Time) -> Proof {
        if self.switched.is_none() && counted.programmed == Weight::ZERO {
            self.switched = Some(Switched {
                at: now,
                left_started: counted.left_started,
                stable_started: counted.stable_started,
                errors_before: counted.stable_errors,
            });
        }
        let (missing, safe_at) = self.missing(counted, now);
        let quiet_from = counted.left_last.unwrap_or(self.asked).max(self.asked);
        if missing.is_empty() {
            self.safe_since.get_or_insert(quiet_from);
        } else {
            self.safe_since = None;
        }
        Proof {
            left: self.left.clone(),
            asked: self.asked,
            programmed: counted.programmed.into(),
            last_request: counted.left_last,
            requests_after: self.requests_after(counted),
            in_flight: counted.in_flight,
            upgraded: counted.upgraded,
            safe_at,
            safe_since: self.safe_since,
            missing,
        }
    }

    fn requests_after(&self, counted: &Counted) -> u64 {
        self.switched.as_ref().map_or(0, |s| counted.left_started.saturating_sub(s.left_started))
    }

    /// What is still not true, and when it will be if nothing happens.
    fn missing(&self, counted: &Counted, now: Time) -> (Vec<Text>, Option<Time>) {
        let Some(switched) = &self.switched else {
            return (vec![format!("the router still gives it {}", counted.programmed).into()], None);
        };
        let mut missing = Vec::new();
        let after_switch = self.requests_after(counted);
        let quiet_from = counted.left_last.map_or(switched.at, |last| last.max(switched.at));
        let quiet = elapsed(now, quiet_from);
        if counted.programmed != Weight::ZERO {
            missing.push(format!("the router gives it {} again", counted.programmed).into());
        }
        if quiet < QUIET && after_switch > 0 {
            missing.push(format!("{after_switch} requests reached it after the switch").into());
        }
        if counted.upgraded > 0 {
            missing.push(format!("{} upgraded connections are open on it", counted.upgraded).into());
        }
        if counted.in_flight > 0 {
            missing.push(format!("{} requests are in flight on it", counted.in_flight).into());
        }
        if counted.stable_started == switched.stable_started {
            missing.push("no traffic since the switch: silence proves nothing".into());
        }
        if let (Some(before), Some(errors)) = (switched.errors_before, counted.stable_errors)
            && errors * 100.0 > before * 100.0 + AS_BEFORE
        {
            missing.push(format!("stable fails {:.2} %, before {:.2} %", errors * 100.0, before * 100.0).into());
        }
        let only_time = missing.is_empty();
        if quiet < QUIET {
            missing.push(format!("{} s without a request on it", QUIET.as_secs()).into());
        }
        (missing, (only_time || quiet < QUIET).then(|| after(quiet_from, QUIET)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Counted, QUIET, Watch};
    use crate::model::{
        ident::VersionId,
        ratio::Weight,
        time::{Time, after},
        version::Version,
    };
    use std::time::Duration;

    fn left() -> Version {
        Version { id: VersionId::new("v42"), label: "v42".into(), revision: None, parts: vec![], config: None }
    }

    fn at(seconds: u64) -> Time {
        after(Time::UNIX_EPOCH, Duration::from_secs(seconds))
    }

    fn quiet() -> Counted {
        Counted {
            programmed: Weight::ZERO,
            left_started: 100,
            left_last: Some(at(99)),
            in_flight: 0,
            upgraded: 0,
            stable_started: 1_000,
            stable_errors: Some(0.002),
        }
    }

    #[test]
    fn safe_only_after_thirty_quiet_seconds_with_traffic() {
        let mut watch = Watch::new(left(), at(100));
        let early = watch.observe(&quiet(), at(100));
        assert_eq!((early.safe_since, early.safe_at), (None, Some(after(at(100), QUIET))));
        assert_eq!(watch.observe(&quiet(), at(140)).safe_since, None, "no traffic proves nothing");
        let served = Counted { stable_started: 1_200, ..quiet() };
        assert_eq!(watch.observe(&served, at(129)).safe_since, None);
        assert_eq!(watch.observe(&served, at(130)).safe_since, Some(at(100)));
        assert!(watch.observe(&served, at(130)).missing.is_empty());
    }

    #[test]
    fn a_late_request_starts_the_wait_again_and_is_counted() {
        let mut watch = Watch::new(left(), at(100));
        watch.observe(&quiet(), at(100));
        let late = Counted { left_started: 101, left_last: Some(at(110)), stable_started: 1_200, ..quiet() };
        let proof = watch.observe(&late, at(131));
        assert_eq!((proof.requests_after, proof.safe_since, proof.safe_at), (1, None, Some(at(140))));
        assert_eq!(watch.observe(&late, at(140)).safe_since, Some(at(110)));
    }

    #[test]
    fn open_connections_and_worse_errors_are_said() {
        let mut watch = Watch::new(left(), at(100));
        watch.observe(&quiet(), at(100));
        let busy = Counted { in_flight: 3, upgraded: 41, stable_started: 1_200, stable_errors: Some(0.04), ..quiet() };
        let proof = watch.observe(&busy, at(200));
        assert_eq!((proof.in_flight, proof.upgraded, proof.safe_since), (3, 41, None));
        assert_eq!(proof.missing.len(), 3);
    }
}
