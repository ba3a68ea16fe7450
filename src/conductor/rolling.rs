//! The arithmetic of a rolling replacement: how many instances of each version there should be, and
//! which share follows from it.
//!
//! With N instances configured (the greater number of the two versions for the ceiling, the smaller for
//! the floor), `surge` and `unavailable` mean what people know from Kubernetes' `maxSurge` and
//! `maxUnavailable`, as counts:
//!
//! - never more than N + surge instances are wanted, of both versions together;
//! - never fewer than N − unavailable are ready because of the replacement (what crashes by itself is
//!   another matter: then nothing is taken away).
//!
//! A **batch** takes away as many old instances as readiness allows and starts as many new ones as the
//! ceiling allows. It is over when every new instance is ready. The share follows the ready instances of
//! both versions, rounded down, so that the new version never gets more than its instances carry. A gate
//! that fails or cannot see keeps the next batch back.
//!
//! In the plan, the steps before the first `gate` stand before any traffic and are taken once, on the
//! instances of the first batch; the steps from the first `gate` on are taken after each batch. Without
//! a `gate` step, a batch follows as soon as the one before it is ready. A promotion leaves the steps
//! out and keeps the batches. The way back starts the old instances that are missing: stable gets at
//! once the share that its ready instances carry, all of it when no more than `unavailable` are missing.
//! When the last old instance is gone there is nothing to keep warm: the way back is a re-deploy then.

use super::life::PoolId;
use crate::model::{ratio::Weight, spec::Rolling, time::Time};
use serde::{Deserialize, Serialize};

/// How far a rolling replacement is: what is wanted now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Batch {
    /// Instances of the candidate.
    pub new: u32,
    /// Instances of the version it replaces.
    pub old: u32,
    /// The instances of that version.
    pub pool: PoolId,
    /// How many it is configured to have.
    pub was: u32,
    /// Since when these numbers are wanted.
    pub since: Time,
    /// Whether every new instance has been ready since then.
    #[serde(default)]
    pub ready: bool,
    /// The share that the ready instances of both carry.
    #[serde(default)]
    pub share: Weight,
    /// Whether a person left the remaining steps out.
    #[serde(default)]
    pub hurried: bool,
}

/// What is configured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Bounds {
    /// Instances the candidate has in the end.
    pub new: u32,
    /// Instances the version before it has.
    pub old: u32,
    pub rolling: Rolling,
}

/// Instances, wanted or ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pair {
    pub new: u32,
    pub old: u32,
}

impl Bounds {
    /// At most this many instances are wanted.
    pub fn ceiling(self) -> u32 {
        self.new.max(self.old).saturating_add(self.rolling.surge)
    }

    /// At least this many stay ready.
    pub fn floor(self) -> u32 {
        self.new.min(self.old).saturating_sub(self.rolling.unavailable)
    }

    /// The batch after `wanted`; the same if there is nothing left to do or nothing may be done.
    pub fn after(self, wanted: Pair, ready: Pair) -> Pair {
        let spare = ready.new.saturating_add(ready.old.min(wanted.old)).saturating_sub(self.floor());
        let next = self.with_old(wanted, wanted.old.saturating_sub(spare));
        if next != wanted || wanted.old == 0 {
            return next;
        }
        // Stuck: old instances that are not ready use up the ceiling and carry nothing. They go first.
        self.with_old(wanted, ready.old.min(wanted.old))
    }

    fn with_old(self, wanted: Pair, old: u32) -> Pair {
        let room = self.ceiling().saturating_sub(old);
        Pair { old, new: self.new.min(room).max(wanted.new) }
    }

    /// The first batch of all, with every old instance there.
    pub fn first(self) -> Pair {
        let all = Pair { new: 0, old: self.old };
        self.after(all, all)
    }

    /// Whether everything is replaced.
    pub fn done(self, wanted: Pair) -> bool {
        wanted.old == 0 && wanted.new >= self.new
    }

    /// What the candidate keeps on the way back: what the old version's ready instances cannot carry.
    pub fn left_behind(self, old_ready: u32) -> Weight {
        if old_ready >= self.old.saturating_sub(self.rolling.unavailable).max(1) { Weight::ZERO } else { part(old_ready, self.old).rest() }
    }
}

/// The candidate's share by ready instances, rounded down.
pub(super) fn share(ready: Pair) -> Weight {
    part(ready.new, ready.new.saturating_add(ready.old))
}

fn part(of: u32, whole: u32) -> Weight {
    let bp = (u64::from(of) * 10_000).checked_div(u64::from(whole)).unwrap_or(0).min(10_000);
    u16::try_from(bp).ok().and_then(Weight::from_bp).unwrap_or(Weight::ZERO)
}

#[cfg(test)]
mod tests {
    use super::{Bounds, Pair, share};
    use crate::model::{ratio::Weight, spec::Rolling};
    use proptest::prelude::*;

    fn bounds(new: u32, old: u32, surge: u32, unavailable: u32) -> Bounds {
        Bounds { new, old, rolling: Rolling { surge, unavailable } }
    }

    /// Every batch until the end, each ready at once.
    fn batches(bounds: Bounds) -> Vec<(u32, u32)> {
        let mut at = bounds.first();
        let mut seen = vec![(at.new, at.old)];
        while !bounds.done(at) {
            let next = bounds.after(at, at);
            assert_ne!(next, at, "never stuck: {bounds:?} {at:?}");
            seen.push((next.new, next.old));
            at = next;
        }
        seen
    }

    #[test]
    fn batches_are_as_large_as_the_bounds_allow() {
        assert_eq!(batches(bounds(4, 4, 1, 0)), [(1, 4), (2, 3), (3, 2), (4, 1), (4, 0)]);
        assert_eq!(batches(bounds(4, 4, 0, 1)), [(1, 3), (2, 2), (3, 1), (4, 0)]);
        assert_eq!(batches(bounds(4, 4, 2, 1)), [(3, 3), (4, 0)]);
        assert_eq!(batches(bounds(1, 1, 1, 0)), [(1, 1), (1, 0)]);
        assert_eq!(batches(bounds(2, 6, 1, 0)), [(2, 2), (2, 0)]);
        assert_eq!(batches(bounds(6, 2, 1, 0)), [(5, 2), (6, 0)]);
    }

    #[test]
    fn old_instances_that_are_not_ready_do_not_block_for_ever() {
        let four = bounds(4, 4, 1, 0);
        let at = Pair { new: 1, old: 4 };
        assert_eq!(four.after(at, Pair { new: 1, old: 2 }), Pair { new: 3, old: 2 });
        assert_eq!(four.after(at, Pair { new: 1, old: 0 }), Pair { new: 4, old: 0 });
    }

    #[test]
    fn the_share_is_what_ready_instances_carry() {
        assert_eq!(share(Pair { new: 1, old: 2 }).bp(), 3333);
        assert_eq!(share(Pair { new: 2, old: 0 }), Weight::FULL);
        assert_eq!(share(Pair { new: 0, old: 0 }), Weight::ZERO);
        let four = bounds(4, 4, 1, 1);
        assert_eq!([0, 1, 2, 3, 4].map(|ready| four.left_behind(ready).bp()), [10_000, 7500, 5000, 0, 0]);
        assert_eq!(bounds(1, 1, 0, 1).left_behind(0), Weight::FULL, "nothing ready carries nothing");
    }

    proptest! {
        #[test]
        fn an_obedient_machine_stays_within_the_bounds(new in 1..20_u32, old in 1..20_u32, surge in 0..4_u32, unavailable in 0..4_u32) {
            prop_assume!(surge + unavailable > 0);
            let bounds = bounds(new, old, surge, unavailable);
            let mut before = Pair { new: 0, old };
            for (new, old) in batches(bounds) {
                prop_assert!(new + old <= bounds.ceiling());
                // What was ready before is ready until the new ones are.
                prop_assert!(before.new + old >= bounds.floor(), "{bounds:?}: {before:?} then {old} old");
                prop_assert!(new >= before.new && old <= before.old);
                before = Pair { new, old };
            }
        }
    }
}
