//! Which rollout needs a person first. One order for every list of rollouts, on the screen and in text.

use super::{
    back::How,
    instance::InstanceState,
    rollout::{Hold, Phase, Rollout, Standing},
    time::{Time, elapsed},
};
use std::{cmp::Ordering, time::Duration};

/// How much a rollout needs a person; the most urgent is the smallest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Urgent {
    /// It goes on only when a person acts.
    Waiting,
    /// A version is bad, or none serves.
    Failing,
    /// It should move and does not.
    Stuck,
    /// What is known of it is too old to say.
    Stale,
    /// It got all the traffic and has to prove itself.
    Baking,
    /// It moves by itself.
    Running,
    /// It has all the traffic and all its instances.
    Healthy,
    /// Nothing was ever deployed.
    Idle,
}

impl Urgent {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 8] =
        [Self::Waiting, Self::Failing, Self::Stuck, Self::Stale, Self::Baking, Self::Running, Self::Healthy, Self::Idle];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Failing => "failing",
            Self::Stuck => "stuck",
            Self::Stale => "stale",
            Self::Baking => "baking",
            Self::Running => "running",
            Self::Healthy => "healthy",
            Self::Idle => "idle",
        }
    }
}

/// How urgent a rollout is, and since when. Sorted ascending, the most urgent comes first, and of equals
/// the one that has been so for longest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Urgency {
    /// How much.
    pub how: Urgent,
    /// Since when, where that is known.
    pub since: Option<Time>,
}

impl Ord for Urgency {
    fn cmp(&self, other: &Self) -> Ordering {
        let age = |u: &Self| (u.since.is_none(), u.since);
        self.how.cmp(&other.how).then_with(|| age(self).cmp(&age(other)))
    }
}

impl PartialOrd for Urgency {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// How urgent a rollout is. `stale` says that its source has been silent for too long: then it is at
/// least [`Urgent::Stale`], and what was known to be worse stays so.
#[must_use]
pub fn urgency(rollout: &Rollout, stale: bool) -> Urgency {
    let known = known(rollout);
    let old = Urgency { how: Urgent::Stale, since: Some(rollout.seen.server_time) };
    if stale && known.how > Urgent::Stale { old } else { known }
}

/// In words: `waiting for you since 14:02 (32 m)`, `healthy`, `nothing deployed`.
#[must_use]
pub fn sentence(urgency: &Urgency, now: Time) -> String {
    let word = match urgency.how {
        Urgent::Waiting => "waiting for you",
        Urgent::Idle => return "nothing deployed".into(),
        how => how.word(),
    };
    let Some(since) = urgency.since else { return word.into() };
    let age = elapsed(now, since);
    // A time of day says nothing about another day.
    let clock = if age < DAY && since.date_naive() == now.date_naive() { "%H:%M" } else { "%m-%d %H:%M" };
    format!("{word} since {} ({})", since.format(clock), short(age))
}

const DAY: Duration = Duration::from_hours(24);

/// `8 s`, `32 m`, `3 h`, `2 d`, rounded down.
fn short(age: Duration) -> String {
    match age.as_secs() {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3_600 => format!("{} m", s / 60),
        s @ 3_600..86_400 => format!("{} h", s / 3_600),
        s => format!("{} d", s / 86_400),
    }
}

fn known(r: &Rollout) -> Urgency {
    let some = |how, since: Time| Urgency { how, since: Some(since) };
    let entered = r.at.map(|at| at.since).or_else(|| r.started.as_ref().map(|s| s.at));
    // What the source itself says goes before what can be read from the rest.
    if let Some(attention) = &r.attention {
        let said = [Urgent::Waiting, Urgent::Failing, Urgent::Stuck, Urgent::Baking].into_iter();
        if let Some(how) = said.into_iter().find(|u| u.word() == attention.kind.as_str()) {
            return some(how, attention.since);
        }
    }
    if let Some(bad) = r.bad {
        return some(Urgent::Failing, bad.since);
    }
    match &r.phase {
        Phase::Idle => Urgency { how: Urgent::Idle, since: None },
        Phase::Failed => Urgency { how: Urgent::Failing, since: entered },
        Phase::Held => held(r).unwrap_or(Urgency { how: Urgent::Stuck, since: entered }),
        Phase::Progressing | Phase::Reverting => Urgency { how: Urgent::Running, since: entered },
        Phase::Completed | Phase::Reverted => at_rest(r),
        Phase::Unknown(_) => Urgency { how: Urgent::Stuck, since: entered },
    }
}

/// The worst hold, and of equals the oldest.
fn held(r: &Rollout) -> Option<Urgency> {
    let of = |hold: &Hold| {
        let how = match hold {
            Hold::Manual { .. } | Hold::Stopped { .. } | Hold::Inconclusive { .. } | Hold::Step { until: None, .. } => Urgent::Waiting,
            Hold::Gate { .. } | Hold::Backend { .. } | Hold::Freeze { .. } => Urgent::Stuck,
            Hold::Step { .. } => Urgent::Running,
        };
        Urgency { how, since: Some(hold.since()) }
    };
    r.holds.iter().map(of).min()
}

/// Of a rollout that has nowhere to go.
fn at_rest(r: &Rollout) -> Urgency {
    let Some(stable) = r.stable() else { return Urgency { how: Urgent::Failing, since: None } };
    let (ready, desired) = stable.pools.iter().fold((0, 0), |(ready, desired), p| (ready + p.ready, desired + p.desired));
    if ready < desired {
        let missing = stable.pools.iter().flat_map(|p| &p.instances).filter(|i| i.state != InstanceState::Ready);
        let since = missing.map(|i| i.since).min();
        return Urgency { how: if ready == 0 { Urgent::Failing } else { Urgent::Stuck }, since };
    }
    let baking = r.versions.iter().any(|k| k.version.id == stable.version.id && matches!(k.standing, Standing::Baking { .. }));
    let since = match r.back.how {
        How::Already { since } => Some(since),
        _ => None,
    };
    Urgency { how: if baking && r.phase == Phase::Completed { Urgent::Baking } else { Urgent::Healthy }, since }
}

#[cfg(test)]
mod tests;
