//! Keeps a source connected and says how it is, the same way for every runtime.
//!
//! ```text
//! Connecting ── first delta ──► Live ── nothing for 2× the expected interval ──► Stale ── a delta ──► Live
//!     ▲  ▲                        │ fault                                          │ nothing for 10 s
//!     │  └────────────────────────┴────────────────────────────────────────────────┘
//!     └── fault: again after 0.8 s, 1.6 s, … 30 s, give or take a fifth; from the start after 2 min live
//! ```

use super::{Fault, Link};
use crate::{
    clock::Clock,
    model::{delta::Delta, text::Text, time::after},
};
use futures::{Stream, StreamExt};
use rand::{Rng, RngExt};
use std::{convert::Infallible, pin::pin, time::Duration};
use tokio::time::{sleep, timeout};

/// How patient to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Before the first new attempt.
    pub first: Duration,
    /// Before any new attempt, at most.
    pub longest: Duration,
    /// A source that was live for so long begins again with `first`.
    pub healthy: Duration,
    /// Silence that makes it stale, unless it said what to expect.
    pub stale: Duration,
    /// Silence that ends the connection.
    pub silent: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(800),
            longest: Duration::from_secs(30),
            healthy: Duration::from_secs(120),
            stale: Duration::from_secs(3),
            silent: Duration::from_secs(10),
        }
    }
}

impl Policy {
    /// The pause after this many failed attempts in a row (from 1), before chance has a word.
    #[must_use]
    pub fn pause(&self, failed: u32) -> Duration {
        let doubled = 2u32.saturating_pow(failed.saturating_sub(1));
        self.first.saturating_mul(doubled).min(self.longest)
    }

    fn jittered(&self, failed: u32, rng: &mut impl Rng) -> Duration {
        self.pause(failed).mul_f64(rng.random_range(0.8..=1.2)).min(self.longest)
    }
}

/// What a source has to say.
#[derive(Clone, PartialEq, Debug)]
pub enum Heard {
    /// It is connected otherwise than before.
    Link(Link),
    /// Something changed there.
    Delta(Delta),
}

/// Opens the source again and again and tells everything it says. Never returns; stop it by dropping it.
///
/// `place` names it in faults. Randomness is handed in, so that a seed gives the same pauses.
pub async fn supervise<S>(
    place: &Text,
    policy: Policy,
    clock: &dyn Clock,
    mut rng: impl Rng,
    open: impl Fn() -> S,
    mut tell: impl FnMut(Heard),
) -> Infallible
where
    S: Stream<Item = Result<Delta, Fault>>,
{
    let mut failed = 0;
    let mut denied = None;
    tell(Heard::Link(Link::Connecting { attempt: 1, next_at: clock.now(), last: None }));
    loop {
        let (fault, was_live) = once(place, policy, clock, open(), &mut tell).await;
        if was_live.is_some_and(|since| clock.uptime().saturating_sub(since) >= policy.healthy) {
            failed = 0;
        }
        failed += 1;
        if was_live.is_some() {
            denied = None;
        }
        let pause = policy.jittered(failed, &mut rng);
        tell(Heard::Link(match fault {
            Fault::Denied { what, .. } => Link::Denied { what, since: *denied.get_or_insert_with(|| clock.now()) },
            fault => {
                denied = None;
                Link::Connecting { attempt: failed + 1, next_at: after(clock.now(), pause), last: Some(fault) }
            }
        }));
        sleep(pause).await;
    }
}

/// One connection, until it ends: why, and since when it was live ([`Clock::uptime`]).
async fn once(
    place: &Text,
    policy: Policy,
    clock: &dyn Clock,
    source: impl Stream<Item = Result<Delta, Fault>>,
    tell: &mut impl FnMut(Heard),
) -> (Fault, Option<Duration>) {
    let mut source = pin!(source);
    let mut live_since = None;
    let (mut stale, mut expected) = (false, None);
    let mut heard_at = clock.now();
    loop {
        let stale_after = expected.map_or(policy.stale, |e: Duration| e.saturating_mul(2));
        let silent_after = policy.silent.max(stale_after.saturating_mul(2));
        let wait = match live_since {
            Some(_) if stale => silent_after.saturating_sub(stale_after), // so long it has been silent already
            Some(_) => stale_after,
            None => silent_after,
        };
        match timeout(wait, source.next()).await {
            Ok(Some(Ok(delta))) => {
                heard_at = clock.now();
                if stale || live_since.is_none() {
                    tell(Heard::Link(Link::Live { since: heard_at }));
                    live_since.get_or_insert_with(|| clock.uptime());
                    stale = false;
                }
                if let Delta::Apply { rollout } = &delta
                    && !rollout.seen.fresh_for.is_zero()
                {
                    expected = Some(rollout.seen.fresh_for);
                }
                tell(Heard::Delta(delta));
            }
            Ok(Some(Err(fault))) => return (fault, live_since),
            Ok(None) => return (Fault::Closed { place: place.clone() }, live_since),
            Err(_) if live_since.is_some() && !stale => {
                stale = true;
                tell(Heard::Link(Link::Stale { since: heard_at }));
            }
            Err(_) => return (Fault::Silent { place: place.clone(), seconds: silent_after.as_secs() }, live_since),
        }
    }
}

#[cfg(test)]
mod tests;
