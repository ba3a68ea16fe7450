//! What proves that a way back worked. Pure: counters and time come in, the proof comes out.

use crate::model::{
    back::Proof,
    ratio::Weight,
    text::Text,
    time::{Time, after},
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
    /// Since when it had been safe before the host was started again: as long as no request reaches the left
    /// version, that its counters are gone takes nothing back.
    proved: Option<Time>,
    /// When it will be, by the wall clock. Moves only with a request, or when that clock is set.
    safe_at: Option<Time>,
}

#[derive(Clone, PartialEq, Debug)]
struct Switched {
    left_started: u64,
    /// How many had started on the left version when the last of them was seen, and the host's uptime then:
    /// the wait is not measured by the wall clock, which may be set.
    last: (u64, Duration),
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
        Self { left, asked, switched: None, safe_since: None, proved: None, safe_at: None }
    }

    /// The same for a way back that had been safe since then, when the host before this one wrote so.
    #[must_use]
    pub fn proved(self, since: Option<Time>) -> Self {
        Self { proved: since, ..self }
    }

    /// Since when it is safe, as it was observed last; before the first time as it was written.
    #[must_use]
    pub fn safe_since(&self) -> Option<Time> {
        self.safe_since.or(self.proved)
    }

    /// When the way back that is watched was asked for.
    #[must_use]
    pub const fn asked(&self) -> Time {
        self.asked
    }

    /// Called after every change of the counters and at least once a second; `uptime` never goes back.
    pub fn observe(&mut self, counted: &Counted, now: Time, uptime: Duration) -> Proof {
        if self.switched.is_none() && counted.programmed == Weight::ZERO {
            self.switched = Some(Switched {
                left_started: counted.left_started,
                last: (counted.left_started, uptime),
                stable_started: counted.stable_started,
                errors_before: counted.stable_errors,
            });
        }
        if let Some(switched) = self.switched.as_mut().filter(|s| s.last.0 != counted.left_started) {
            switched.last = (counted.left_started, uptime);
            self.proved = None;
        }
        let quiet = self.switched.as_ref().map(|s| uptime.saturating_sub(s.last.1));
        let missing = self.missing(counted, quiet);
        self.expect(quiet, missing.len(), now);
        let quiet_from = counted.left_last.unwrap_or(self.asked).max(self.asked);
        if missing.is_empty() {
            self.safe_since.get_or_insert(self.proved.unwrap_or(quiet_from));
        } else {
            self.safe_since = None;
        }
        // Time is one of the things that are missing while there was too little of it.
        let unproved = missing.len() == 1 && self.is_silent(counted) && self.proved.is_none();
        Proof {
            left: self.left.clone(),
            asked: self.asked,
            programmed: counted.programmed.into(),
            last_request: counted.left_last,
            requests_after: self.requests_after(counted),
            in_flight: counted.in_flight,
            upgraded: counted.upgraded,
            safe_at: self.safe_at,
            safe_since: self.safe_since,
            unproved_since: unproved.then_some(quiet_from),
            missing,
        }
    }

    fn requests_after(&self, counted: &Counted) -> u64 {
        self.switched.as_ref().map_or(0, |s| counted.left_started.saturating_sub(s.left_started))
    }

    /// Whether no request has come since the switch to the version that serves.
    fn is_silent(&self, counted: &Counted) -> bool {
        self.switched.as_ref().is_some_and(|s| s.stable_started == counted.stable_started)
    }

    /// When it will be safe if nothing happens: known while time is all that is missing.
    fn expect(&mut self, quiet: Option<Duration>, missing: usize, now: Time) {
        let quiet = quiet.filter(|_| self.proved.is_none());
        let Some(left) = quiet.map(|quiet| QUIET.saturating_sub(quiet)).filter(|left| missing == 0 || !left.is_zero()) else {
            self.safe_at = None;
            return;
        };
        let due = after(now, left);
        let same = self.safe_at.is_some_and(|at| left.is_zero() || (due - at).abs() < chrono::Duration::seconds(1));
        if !same {
            self.safe_at = Some(due);
        }
    }

    /// What is still not true.
    fn missing(&self, counted: &Counted, quiet: Option<Duration>) -> Vec<Text> {
        let (Some(switched), Some(quiet)) = (&self.switched, quiet) else {
            return vec![format!("the router still gives it {}", counted.programmed).into()];
        };
        let mut missing = Vec::new();
        let after_switch = self.requests_after(counted);
        if counted.programmed != Weight::ZERO {
            missing.push(format!("the router gives it {} again", counted.programmed).into());
        }
        if quiet < QUIET && after_switch > 0 {
            missing.push(format!("{} reached it after the switch", count(after_switch, "request")).into());
        }
        if counted.upgraded > 0 {
            missing.push(format!("{} open on it", count(counted.upgraded, "upgraded connection")).into());
        }
        if counted.in_flight > 0 {
            missing.push(format!("{} in flight on it", count(counted.in_flight, "request")).into());
        }
        let proved = self.proved.is_some();
        if self.is_silent(counted) && !proved {
            missing.push("no traffic since the switch: silence proves nothing".into());
        }
        if let (Some(before), Some(errors)) = (switched.errors_before, counted.stable_errors)
            && errors * 100.0 > before * 100.0 + AS_BEFORE
        {
            missing.push(format!("stable fails {:.2} %, before {:.2} %", errors * 100.0, before * 100.0).into());
        }
        if quiet < QUIET && !proved {
            missing.push(format!("{} s without a request on it", QUIET.as_secs()).into());
        }
        missing
    }
}

/// `1 request`, `3 requests`.
fn count(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::{Counted, QUIET, Watch};
    use crate::model::{
        back::{Proof, Proved},
        ident::VersionId,
        ratio::Weight,
        time::{Time, after},
        version::Version,
    };
    use std::time::Duration;

    fn left() -> Version {
        Version {
            id: VersionId::new("v42"),
            label: "v42".into(),
            revision: None,
            parts: vec![],
            config: None,
            back_unsafe: None,
            measured_as: None,
        }
    }

    /// By both clocks.
    fn look(watch: &mut Watch, counted: &Counted, second: u64) -> Proof {
        watch.observe(counted, at(second), Duration::from_secs(second))
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
        let early = look(&mut watch, &quiet(), 100);
        assert_eq!((early.safe_since, early.safe_at), (None, Some(after(at(100), QUIET))));
        assert_eq!(look(&mut watch, &quiet(), 140).safe_since, None, "no traffic proves nothing");
        let served = Counted { stable_started: 1_200, ..quiet() };
        assert_eq!(look(&mut watch, &served, 129).safe_since, None);
        assert_eq!(look(&mut watch, &served, 130).safe_since, Some(at(100)));
        assert!(look(&mut watch, &served, 130).missing.is_empty());
    }

    #[test]
    fn silence_ends_as_not_proved_and_the_first_request_proves_it() {
        let mut watch = Watch::new(left(), at(100));
        let proof = look(&mut watch, &quiet(), 100);
        assert_eq!((proof.proved(), proof.unproved_since), (Proved::Waiting, None), "there may still be requests");
        assert_eq!(look(&mut watch, &quiet(), 129).proved(), Proved::Waiting);
        for second in [130, 131, 86_400] {
            let proof = look(&mut watch, &quiet(), second);
            assert_eq!((proof.proved(), proof.unproved_since, proof.safe_at), (Proved::Unproved, Some(at(100)), None), "{second}");
            let missing: Vec<&str> = proof.missing.iter().map(|m| m.as_str()).collect();
            assert_eq!(missing, ["no traffic since the switch: silence proves nothing"]);
        }
        // One that is open keeps it from any end.
        let open = look(&mut watch, &Counted { upgraded: 1, ..quiet() }, 86_401);
        assert_eq!((open.proved(), open.missing.len()), (Proved::Waiting, 2));
        let served = look(&mut watch, &Counted { stable_started: 1_001, ..quiet() }, 86_402);
        assert_eq!((served.proved(), served.safe_since, served.unproved_since), (Proved::Safe, Some(at(100)), None));
        // A request on what was left starts the wait anew, whatever it was called before.
        let mut watch = Watch::new(left(), at(100));
        look(&mut watch, &quiet(), 100);
        assert_eq!(look(&mut watch, &quiet(), 140).proved(), Proved::Unproved);
        let late = Counted { left_started: 101, left_last: Some(at(141)), ..quiet() };
        assert_eq!(look(&mut watch, &late, 141).proved(), Proved::Waiting);
        assert_eq!((look(&mut watch, &late, 171).proved(), look(&mut watch, &late, 171).unproved_since), (Proved::Unproved, Some(at(141))));
    }

    #[test]
    fn what_was_safe_before_a_restart_is_safe_until_a_request_says_otherwise() {
        // The counters begin anew, and so do the requests.
        let anew = || Counted { left_started: 0, left_last: None, stable_started: 0, stable_errors: None, ..quiet() };
        let mut watch = Watch::new(left(), at(100)).proved(Some(at(105)));
        let first = look(&mut watch, &anew(), 500);
        assert_eq!((first.proved(), first.safe_since, first.safe_at, first.missing.len()), (Proved::Safe, Some(at(105)), None, 0));
        assert_eq!(look(&mut watch, &Counted { upgraded: 1, ..anew() }, 501).proved(), Proved::Waiting, "what can be seen counts");
        assert_eq!(look(&mut watch, &anew(), 502).safe_since, Some(at(105)));
        let late = Counted { left_started: 1, left_last: Some(at(503)), ..anew() };
        let said = look(&mut watch, &late, 503);
        assert_eq!((said.proved(), said.requests_after), (Proved::Waiting, 1));
        let served = Counted { stable_started: 9, ..late };
        assert_eq!((look(&mut watch, &served, 532).proved(), look(&mut watch, &served, 533).safe_since), (Proved::Waiting, Some(at(503))));
        // What was not proved by then is not now.
        let mut watch = Watch::new(left(), at(100)).proved(None);
        look(&mut watch, &anew(), 500);
        assert_eq!(look(&mut watch, &anew(), 600).proved(), Proved::Unproved);
    }

    #[test]
    fn a_late_request_starts_the_wait_again_and_is_counted() {
        let mut watch = Watch::new(left(), at(100));
        look(&mut watch, &quiet(), 100);
        let late = Counted { left_started: 101, left_last: Some(at(110)), stable_started: 1_200, ..quiet() };
        let proof = look(&mut watch, &late, 110);
        assert_eq!((proof.requests_after, proof.safe_since, proof.safe_at), (1, None, Some(at(140))));
        assert_eq!(look(&mut watch, &late, 139).safe_since, None);
        assert_eq!(look(&mut watch, &late, 140).safe_since, Some(at(110)));
    }

    #[test]
    fn open_connections_and_worse_errors_are_said() {
        let mut watch = Watch::new(left(), at(100));
        look(&mut watch, &quiet(), 100);
        let busy = Counted { in_flight: 3, upgraded: 41, stable_started: 1_200, stable_errors: Some(0.04), ..quiet() };
        let proof = look(&mut watch, &busy, 200);
        assert_eq!((proof.in_flight, proof.upgraded, proof.safe_since), (3, 41, None));
        assert_eq!(proof.missing.len(), 3);
    }

    #[test]
    fn a_wall_clock_that_is_set_makes_nothing_safe_sooner_or_later() {
        for jump in [-86_400_i64, -3_600, -31, 31, 3_600, 86_400] {
            let mut watch = Watch::new(left(), at(100_000));
            let mut seen = Vec::new();
            for second in 0..60_u64 {
                let wall = at(100_000 + second) + chrono::Duration::seconds(if second < 10 { 0 } else { jump });
                let counted = Counted { left_last: Some(at(99_999)), stable_started: 1_000 + second, ..quiet() };
                let proof = watch.observe(&counted, wall, Duration::from_secs(second));
                if let Some(safe_at) = proof.safe_at.filter(|_| proof.safe_since.is_none()) {
                    assert!((safe_at - wall).num_seconds() <= 30 && safe_at >= wall, "{jump} {second}: {safe_at} {wall}");
                }
                seen.push(proof.safe_since.is_some());
            }
            assert_eq!(seen.iter().position(|safe| *safe), Some(30), "{jump}");
            assert!(seen.iter().skip(30).all(|safe| *safe));
        }
    }
}
