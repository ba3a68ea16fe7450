//! How urgently a rollout needs somebody: the order of the fleet. Pure.

use crate::model::{
    gate::Verdict,
    rollout::{Hold, Phase, Rollout, Standing},
    spec::OnFail,
    time::Time,
};

/// How urgent, most urgent first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Urgency {
    /// A person must decide.
    Waiting,
    /// A gate failed, or it could not be started.
    Failing,
    /// It should move by itself and does not.
    Stuck,
    /// Nobody knows: its target is silent.
    Stale,
    /// The newest version has all the traffic and is not yet proven.
    Baking,
    /// It moves by itself.
    Running,
    /// Nothing is to be done.
    Healthy,
}

impl Urgency {
    /// Every one, most urgent first.
    pub const ALL: [Self; 7] = [Self::Waiting, Self::Failing, Self::Stuck, Self::Stale, Self::Baking, Self::Running, Self::Healthy];

    /// Its word on the screen.
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
        }
    }
}

/// A rollout's place among others: what has been so for longer goes first, what nobody knows the
/// beginning of goes last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rank {
    /// How urgent.
    pub urgency: Urgency,
    /// Since when, if that is known.
    pub since: Option<Time>,
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |r: &Self| (r.urgency, r.since.is_none(), r.since);
        key(self).cmp(&key(other))
    }
}

/// The rank of a rollout; `silent` is when it was heard of last, if that is too long ago.
///
/// What waited, failed or was stuck when its target fell silent keeps its place: it may still be so.
#[must_use]
pub fn rank(rollout: &Rollout, silent: Option<Time>) -> Rank {
    let known = last_known(rollout);
    match silent {
        Some(_) if known.urgency > Urgency::Stale => Rank { urgency: Urgency::Stale, since: silent },
        _ => known,
    }
}

fn last_known(r: &Rollout) -> Rank {
    let entered = || r.at.map(|at| at.since).or_else(|| r.last.as_ref().map(|l| l.at)).or_else(|| r.started.as_ref().map(|s| s.at));
    let is = |urgency, since| Rank { urgency, since };
    if let Some(attention) = &r.attention {
        let urgency = match attention.kind.as_str() {
            "waiting" => Some(Urgency::Waiting),
            "failing" => Some(Urgency::Failing),
            "stuck" => Some(Urgency::Stuck),
            _ => None,
        };
        if let Some(urgency) = urgency {
            return is(urgency, Some(attention.since));
        }
    }
    match &r.phase {
        Phase::Failed => is(Urgency::Failing, entered()),
        Phase::Unknown(_) => is(Urgency::Stuck, entered()),
        Phase::Progressing | Phase::Held => {
            let failed = r.gates.iter().find(|g| matches!(g.verdict, Verdict::Fail { .. }) && g.on_fail != OnFail::Advise);
            if let Some(gate) = failed {
                return is(Urgency::Failing, Some(r.bad.map_or(gate.since, |bad| bad.since)));
            }
            let oldest = |wanted: fn(&Hold) -> bool| r.holds.iter().filter(|h| wanted(h)).map(Hold::since).min();
            if let Some(since) = oldest(for_a_person) {
                return is(Urgency::Waiting, Some(since));
            }
            match oldest(|h| matches!(h, Hold::Gate { .. } | Hold::Backend { .. })) {
                Some(since) if r.phase == Phase::Held => is(Urgency::Stuck, Some(since)),
                _ => is(Urgency::Running, entered()),
            }
        }
        Phase::Reverting => is(Urgency::Running, r.proof.as_ref().map(|p| p.asked).or_else(entered)),
        // Until it is proven that nothing reaches the bad version any more, it is not over.
        Phase::Reverted if r.proof.as_ref().is_some_and(|p| p.safe_since.is_none()) => {
            is(Urgency::Running, r.proof.as_ref().map(|p| p.asked))
        }
        Phase::Idle | Phase::Completed | Phase::Reverted => {
            let stable = r.stable().map(|t| &t.version.id);
            let bakes = |k: &&crate::model::rollout::Known| Some(&k.version.id) == stable && matches!(k.standing, Standing::Baking { .. });
            is(if r.versions.iter().any(|k| bakes(&k)) { Urgency::Baking } else { Urgency::Healthy }, entered())
        }
    }
}

/// Whether nothing but a person ends it.
fn for_a_person(hold: &Hold) -> bool {
    matches!(hold, Hold::Manual { .. } | Hold::Step { until: None, .. } | Hold::Stopped { .. } | Hold::Inconclusive { .. })
}

#[cfg(test)]
mod tests {
    use super::{Rank, Urgency, rank};
    use crate::{
        app::tests::fixture::{gate, rollout, t0, version},
        model::{
            gate::{Arm, Verdict},
            ident::Role,
            rollout::{Attention, Hold, Known, Phase, Rollout, Standing},
            time::{Time, after},
        },
    };
    use std::time::Duration;

    fn at(seconds: u64) -> Time {
        after(t0(), Duration::from_secs(seconds))
    }

    /// The rollout of the fixture, changed, and what it is then.
    fn of(change: impl FnOnce(&mut Rollout)) -> Urgency {
        let mut r = rollout();
        r.phase = Phase::Progressing;
        r.holds.clear();
        change(&mut r);
        rank(&r, None).urgency
    }

    #[test]
    fn each_condition_has_its_rank() {
        assert_eq!(of(|_| {}), Urgency::Running);
        assert_eq!(of(|r| r.holds = vec![Hold::Step { since: at(1), until: Some(at(30)) }]), Urgency::Running, "it ends by itself");
        assert_eq!(of(|r| r.holds = vec![Hold::Step { since: at(1), until: None }]), Urgency::Waiting);
        assert_eq!(of(|r| r.holds = vec![Hold::Manual { by: "ben".into(), since: at(1), weight: None }]), Urgency::Waiting);
        let backend = |r: &mut Rollout| r.holds = vec![Hold::Backend { since: at(1), reason: "1/2 ready".into() }];
        assert_eq!(of(backend), Urgency::Running, "it may still become ready");
        assert_eq!(
            of(|r| {
                backend(r);
                r.phase = Phase::Held;
            }),
            Urgency::Stuck
        );
        let fail = Verdict::Fail { who: Arm::Candidate, why: "9 %".into() };
        assert_eq!(of(|r| r.gates = vec![gate(fail.clone())]), Urgency::Failing);
        assert_eq!(
            of(|r| {
                r.gates = vec![gate(fail.clone())];
                r.gates[0].on_fail = crate::model::spec::OnFail::Advise;
            }),
            Urgency::Running,
            "advice is no failure"
        );
        assert_eq!(of(|r| r.phase = Phase::Failed), Urgency::Failing);
        assert_eq!(of(|r| r.phase = Phase::Unknown("odd".into())), Urgency::Stuck);
        assert_eq!(of(|r| r.phase = Phase::Idle), Urgency::Healthy);
        assert_eq!(of(|r| r.attention = Some(Attention { kind: "stuck".into(), since: at(3) })), Urgency::Stuck);
        let baking = |r: &mut Rollout| {
            r.phase = Phase::Completed;
            let standing = Standing::Baking { until: at(9_000) };
            let known = |label: &str, standing: Standing| Known {
                version: version(label),
                standing,
                proven: Duration::ZERO,
                error_ratio: None,
                until: None,
                available: true,
            };
            r.versions = vec![known("v42", Standing::Unproven), known("v41", standing)];
        };
        assert_eq!(of(baking), Urgency::Baking);
        let other = |r: &mut Rollout| {
            baking(r);
            r.tracks.iter_mut().for_each(|t| t.role = if t.version.label.as_str() == "v42" { Role::Stable } else { Role::Superseded });
        };
        assert_eq!(of(other), Urgency::Healthy, "only what has the traffic bakes");
    }

    #[test]
    fn silence_hides_nothing_that_was_worse() {
        let mut r = rollout();
        assert_eq!(rank(&r, Some(at(5))), rank(&r, None), "it waited for a person and may still");
        r.holds.clear();
        r.phase = Phase::Completed;
        assert_eq!(rank(&r, Some(at(5))), Rank { urgency: Urgency::Stale, since: Some(at(5)) });
    }

    #[test]
    fn what_has_been_so_for_longer_goes_first() {
        let rank = |urgency, since: Option<u64>| Rank { urgency, since: since.map(at) };
        let sorted = [
            rank(Urgency::Waiting, Some(9)),
            rank(Urgency::Failing, Some(1)),
            rank(Urgency::Failing, Some(2)),
            rank(Urgency::Failing, None),
            rank(Urgency::Healthy, Some(0)),
        ];
        assert!(sorted.is_sorted(), "{sorted:?}");
        assert!(Urgency::ALL.is_sorted());
    }
}
