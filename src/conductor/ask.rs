//! An action as it is asked for, and what it would be answered.

use super::life::{Deployed, Life, Observed, Run};
use crate::model::{
    action::{Action, Belief, Refusal},
    gate::GateState,
    ident::{Key, Rev, RunId, TargetId, VersionId},
    ratio::Weight,
    text::{Raw, Text},
    time::Time,
};

/// An action with everything it comes with.
#[derive(Clone, PartialEq, Debug)]
pub struct Ordered {
    /// What to do.
    pub action: Action,
    /// What was believed. Its `key` is the caller's to check.
    pub belief: Belief,
    /// Who wants it.
    pub by: Text,
    /// Why.
    pub reason: Option<Text>,
    /// Overrides a failed gate; needs a reason.
    pub force: bool,
    /// Only the fast way back is wanted: a switch to what runs.
    pub switch_only: bool,
    /// The name of the run that a retry or an undo starts.
    pub fresh: RunId,
}

impl Ordered {
    pub(super) fn reasoned(&self) -> bool {
        self.reason.as_ref().is_some_and(|r| !r.as_str().trim().is_empty())
    }
}

impl Life {
    /// What somebody believes who looks now.
    #[must_use]
    pub fn belief(&self, key: Key) -> Belief {
        let run = self.run.as_ref();
        Belief {
            key,
            run: run.map(|r| r.id.clone()),
            rev: Rev(self.rev),
            at: run.and_then(Run::at),
            stable: self.stable.as_ref().map(|s| s.id.clone()),
            candidate: self.shown_candidate().cloned(),
        }
    }

    /// The version that a picture shows as the candidate: none once it is stable, or is what was left.
    pub(super) fn shown_candidate(&self) -> Option<&VersionId> {
        let candidate = self.run.as_ref().map(|r| &r.candidate)?;
        let is = |other: &Deployed| other.pool() == candidate.pool();
        let elsewhere = self.stable.as_ref().is_some_and(is) || self.warm.as_ref().is_some_and(|w| is(&w.deployed));
        (!elsewhere).then_some(&candidate.id)
    }

    /// What an action would be answered now; `None` if it would be carried out. Where `force` is set
    /// and for actions that never come without one ([`Action::SkipGate`], a freeze, a taint), a reason is
    /// taken for granted.
    #[must_use]
    pub fn refusal(&self, action: &Action, force: bool, seen: &Observed, gates: &[GateState], now: Time) -> Option<Refusal> {
        let nobody = Key { target: TargetId::new(""), scope: Vec::new(), service: Raw::default(), uid: None };
        let ask = Ordered {
            action: action.clone(),
            belief: self.belief(nobody),
            by: Text::default(),
            reason: (force || matches!(action, Action::SkipGate | Action::Freeze { .. } | Action::Taint { .. })).then(|| "asked".into()),
            force,
            switch_only: false,
            fresh: RunId::new(""),
        };
        self.clone().act(&ask, seen, gates, now).err()
    }

    /// Every action with what it would be answered now. The weight asked about is one hundredth of a
    /// percent more than now: whether an increase is allowed.
    #[must_use]
    pub fn allowed(&self, seen: &Observed, gates: &[GateState], now: Time) -> Vec<(Action, Option<Refusal>)> {
        let weight = self.run.as_ref().map(|r| r.weight).unwrap_or_default();
        let more = Weight::from_bp(weight.bp() + 1).unwrap_or(Weight::FULL);
        let to = self.way_back(seen).unwrap_or_else(|| VersionId::new(""));
        [
            Action::Step,
            Action::SkipGate,
            Action::Pause,
            Action::Resume,
            Action::SetWeight { weight: more },
            Action::Promote,
            Action::Back { to },
            Action::Retry,
            Action::Freeze { until: None },
            Action::Thaw,
        ]
        .into_iter()
        .map(|action| {
            let refusal = self.refusal(&action, false, seen, gates, now);
            (action, refusal)
        })
        .collect()
    }
}
