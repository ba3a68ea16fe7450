//! Which rollout needs a person first. One order for every list of rollouts, on the screen and in text.

use super::{
    back::{How, Proved},
    gate::Verdict,
    instance::InstanceState,
    rollout::{Hold, Known, Phase, Rollout, Standing},
    spec::OnFail,
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
    /// What is known of it is too old to say: its target is silent.
    Stale,
    /// The newest version has all the traffic and has to prove itself.
    Baking,
    /// It moves by itself.
    Running,
    /// It went back, and no request has come that would prove it.
    Unproved,
    /// It has all the traffic and all its instances.
    Healthy,
    /// Nothing was ever deployed.
    Idle,
}

impl Urgent {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 9] =
        [Self::Waiting, Self::Failing, Self::Stuck, Self::Stale, Self::Baking, Self::Running, Self::Unproved, Self::Healthy, Self::Idle];

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
            Self::Unproved => "unproved",
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

/// How urgent a rollout is. `silent` is when its source was heard of last, if that is too long ago:
/// then it is at least [`Urgent::Stale`], and what waited, failed or was stuck keeps its place: it may
/// still be so.
#[must_use]
pub fn urgency(rollout: &Rollout, silent: Option<Time>) -> Urgency {
    let known = known(rollout);
    match silent {
        Some(_) if known.how > Urgent::Stale => Urgency { how: Urgent::Stale, since: silent },
        _ => known,
    }
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
    let is = |how, since| Urgency { how, since };
    let entered = entered(r);
    let asked = r.proof.as_ref().map(|p| p.asked);
    // What the source itself says goes before what can be read from the rest. That it bakes, though, is
    // no answer to whether it runs.
    let said = |how: &[Urgent]| {
        let attention = r.attention.as_ref()?;
        how.iter().find(|u| u.word() == attention.kind.as_str()).map(|how| is(*how, Some(attention.since)))
    };
    if let Some(said) = said(&[Urgent::Waiting, Urgent::Failing, Urgent::Stuck]) {
        return said;
    }
    match &r.phase {
        Phase::Idle => is(Urgent::Idle, None),
        Phase::Failed => is(Urgent::Failing, entered),
        Phase::Unknown(_) => is(Urgent::Stuck, entered),
        Phase::Progressing | Phase::Held => failing(r).or_else(|| held(r)).unwrap_or_else(|| is(Urgent::Running, entered)),
        Phase::Reverting => is(Urgent::Running, asked.or(entered)),
        // Until it is proven that nothing reaches the bad version any more, it is not over; without requests it
        // never will be, and silence is no health.
        Phase::Reverted if r.proof.as_ref().is_some_and(|p| p.proved() != Proved::Safe) => down(r).unwrap_or_else(|| {
            let unproved = r.proof.as_ref().and_then(|p| p.unproved_since);
            unproved.map_or_else(|| is(Urgent::Running, asked), |since| is(Urgent::Unproved, Some(since)))
        }),
        Phase::Completed | Phase::Reverted => down(r).or_else(|| said(&[Urgent::Baking])).unwrap_or_else(|| at_rest(r, entered)),
    }
}

/// Since when it is where it is.
fn entered(r: &Rollout) -> Option<Time> {
    r.at.map(|at| at.since).or_else(|| r.last.as_ref().map(|l| l.at)).or_else(|| r.started.as_ref().map(|s| s.at))
}

/// A version that is bad while it still gets traffic. A gate that only advises fails nothing.
fn failing(r: &Rollout) -> Option<Urgency> {
    let failed = r.gates.iter().find(|g| matches!(g.verdict, Verdict::Fail { .. }) && g.on_fail != OnFail::Advise);
    let since = r.bad.as_ref().map(|bad| bad.since).or_else(|| failed.map(|gate| gate.since))?;
    Some(Urgency { how: Urgent::Failing, since: Some(since) })
}

/// The worst hold, and of equals the oldest.
fn held(r: &Rollout) -> Option<Urgency> {
    let of = |hold: &Hold| {
        let how = match hold {
            Hold::Manual { .. } | Hold::Stopped { .. } | Hold::Inconclusive { .. } | Hold::Step { until: None, .. } => Urgent::Waiting,
            // What is not ready may still become so, for as long as the rollout itself does not say that it is held.
            Hold::Gate { .. } | Hold::Backend { .. } | Hold::Freeze { .. } if r.phase == Phase::Held => Urgent::Stuck,
            _ => return None,
        };
        Some(Urgency { how, since: Some(hold.since()) })
    };
    r.holds.iter().filter_map(of).min()
}

/// A rollout that has nowhere to go and lacks instances: whatever it has proven before, it does not
/// serve now.
fn down(r: &Rollout) -> Option<Urgency> {
    let Some(stable) = r.stable() else { return Some(Urgency { how: Urgent::Failing, since: None }) };
    let (ready, desired) = stable.pools.iter().fold((0, 0), |(ready, desired), p| (ready + p.ready, desired + p.desired));
    if ready >= desired {
        return None;
    }
    let missing = stable.pools.iter().flat_map(|p| &p.instances).filter(|i| i.state != InstanceState::Ready);
    Some(Urgency { how: if ready == 0 { Urgent::Failing } else { Urgent::Stuck }, since: missing.map(|i| i.since).min() })
}

/// Of a rollout that has nowhere to go and all its instances.
fn at_rest(r: &Rollout, entered: Option<Time>) -> Urgency {
    let stable = r.stable().map(|t| &t.version.id);
    let bakes = |k: &Known| Some(&k.version.id) == stable && matches!(k.standing, Standing::Baking { .. });
    // What was gone back to is not the newest version, however short its own time was.
    let baking = r.phase == Phase::Completed && r.versions.iter().any(bakes);
    let back = match r.back.how {
        How::Already { since } => Some(since),
        _ => None,
    };
    Urgency { how: if baking { Urgent::Baking } else { Urgent::Healthy }, since: back.or(entered) }
}

#[cfg(test)]
mod tests;
