//! Where a run is in its plan, and what the plan says there. A first deploy has no plan: there is
//! nothing to share the traffic with, so 100 % follows readiness.
//!
//! | strategy | before traffic | traffic | the old version |
//! |---|---|---|---|
//! | canary | steps before the first `weight` | grows with the `weight` steps | stays complete, then warm |
//! | blue-green | steps before the first `gate` | one switch to 100 %, then the steps from that gate on | stays complete, then warm |
//! | rolling | steps before the first `gate` | follows the ready instances, see [`super::rolling`] | shrinks batch by batch |
//! | recreate | steps before the first `gate` | one switch to 100 %, then the steps from that gate on | ends first: nothing serves until the candidate does |
//!
//! A gate judges traffic, so the first `gate` step is where the switch must have happened; without one
//! it comes after the last step. `scale` says how many instances the candidate has from there on; at
//! 100 % it has what its version says, and gets the traffic only when they are ready.

use super::{
    life::{PoolId, Run, RunState},
    rolling::{Bounds, Pair},
};
use crate::model::{
    ratio::Weight,
    spec::{GateSpec, LAST_WEIGHT, OnFail, Strategy},
    step::{Pause, StepSpec},
    text::Text,
    time::{Time, after},
};

impl Run {
    /// The steps; none for a first deploy.
    #[must_use]
    pub fn plan(&self) -> &[StepSpec] {
        if self.from.is_some() { &self.candidate.spec.steps } else { &[] }
    }

    /// The current step; `None` when all are done and only 100 % is left.
    #[must_use]
    pub fn current(&self) -> Option<&StepSpec> {
        self.plan().get(self.step)
    }

    /// How the candidate replaces stable; a first deploy replaces nothing.
    #[must_use]
    pub fn strategy(&self) -> Strategy {
        if self.from.is_some() { self.candidate.spec.strategy } else { Strategy::Canary }
    }

    /// Whether nothing of the old version runs while this one does.
    #[must_use]
    pub fn alone(&self) -> bool {
        self.strategy() == Strategy::Recreate
    }

    /// Whether every step is taken, if not for the last time.
    pub(super) fn steps_over(&self) -> bool {
        self.step >= self.plan().len()
    }

    /// Whether every step is done, so that 100 % and the promotion follow.
    #[must_use]
    pub fn all_done(&self) -> bool {
        self.steps_over() && self.bounds().is_none_or(|bounds| self.pair().is_some_and(|pair| bounds.done(pair)))
    }

    /// Whether instances are still to be replaced once the steps of this batch are taken.
    pub(super) fn between_batches(&self) -> bool {
        self.steps_over() && !self.all_done()
    }

    /// The first step that needs traffic, where the strategy has one switch: the first gate.
    pub(super) fn switch_at(&self) -> usize {
        let plan = self.plan();
        plan.iter().position(|step| matches!(step, StepSpec::Gate(_))).unwrap_or(plan.len())
    }

    pub(super) fn bounds(&self) -> Option<Bounds> {
        let batch = self.batch.as_ref()?;
        let spec = &self.candidate.spec;
        Some(Bounds { new: spec.instances.max(1), old: batch.was, rolling: spec.rolling })
    }

    /// Instances wanted of both versions, where they are replaced in batches.
    pub(super) fn pair(&self) -> Option<Pair> {
        self.batch.as_ref().map(|batch| Pair { new: batch.new, old: batch.old })
    }

    /// How many instances the candidate should have now.
    #[must_use]
    pub fn instances(&self) -> u32 {
        if self.weight == Weight::FULL && self.batch.is_none() {
            self.candidate.spec.instances.max(1)
        } else {
            self.instances_at(self.step)
        }
    }

    /// How many instances the plan wants of the candidate at a step.
    pub(super) fn instances_at(&self, step: usize) -> u32 {
        let all = self.candidate.spec.instances.max(1);
        if let Some(batch) = &self.batch {
            return batch.new;
        }
        if self.planned_at(step) == Weight::FULL {
            return all;
        }
        let scale = |step: &StepSpec| if let StepSpec::Scale(n) = step { Some(*n) } else { None };
        self.plan().iter().take(step + 1).rev().find_map(scale).unwrap_or(all).max(1)
    }

    /// What has the candidate's place at the router, and the share it should have: the candidate, or on
    /// the slow way back the version that is started again.
    pub(super) fn place_wanted(&self) -> (Option<PoolId>, Weight) {
        match (&self.state, &self.returning) {
            (RunState::Reverted { .. } | RunState::Completed { .. }, _) => (None, Weight::ZERO),
            (RunState::Reverting { .. }, Some(back)) if !back.ending.is_empty() => (None, Weight::ZERO),
            (RunState::Reverting { .. }, Some(back)) => (Some(back.to.pool()), if back.serves { Weight::FULL } else { Weight::ZERO }),
            (RunState::Stepping | RunState::Reverting { .. }, _) => (Some(self.candidate.pool()), self.weight),
            (RunState::Starting, _) if !self.ending.is_empty() => (None, Weight::ZERO),
            (RunState::Starting | RunState::Failed { .. }, _) => (Some(self.candidate.pool()), Weight::ZERO),
        }
    }

    /// Whether the plan may still move: the candidate is being started or gets its steps.
    #[must_use]
    pub const fn is_moving(&self) -> bool {
        matches!(self.state, RunState::Starting | RunState::Stepping)
    }

    /// Whether the run has not come to its end: it moves, or traffic is on its way back.
    #[must_use]
    pub const fn in_progress(&self) -> bool {
        matches!(self.state, RunState::Starting | RunState::Stepping | RunState::Reverting { .. })
    }

    /// The step a person may believe in; `None` when there is no current one.
    #[must_use]
    pub fn at(&self) -> Option<usize> {
        (self.is_moving() && self.from.is_some()).then_some(self.step)
    }

    /// The candidate's share that the plan wants at the current step.
    #[must_use]
    pub fn planned(&self) -> Weight {
        self.planned_at(self.step)
    }

    /// The candidate's share that the plan wants at a step: that of the last weight up to there, or
    /// what the strategy says.
    #[must_use]
    pub fn planned_at(&self, step: usize) -> Weight {
        let plan = self.plan();
        match (self.strategy(), &self.batch) {
            (Strategy::Canary, _) => {}
            (Strategy::Rolling, Some(batch)) => return if step >= self.switch_at() { batch.share } else { Weight::ZERO },
            _ => return if step >= self.switch_at() { LAST_WEIGHT } else { Weight::ZERO },
        }
        if step >= plan.len() {
            return LAST_WEIGHT;
        }
        let weight = |step: &StepSpec| if let StepSpec::Weight(w) = step { Some(*w) } else { None };
        plan.iter().take(step + 1).rev().find_map(weight).unwrap_or(Weight::ZERO)
    }

    /// When the current step ends by itself: only a timed pause knows.
    #[must_use]
    pub fn ends(&self) -> Option<Time> {
        match (&self.state, self.current()) {
            (RunState::Stepping, Some(StepSpec::Pause(Pause::For(span)))) => Some(after(self.step_since, *span)),
            _ => None,
        }
    }

    /// Until when every instance must be ready: those that the run starts with, and those of a batch.
    #[must_use]
    pub fn ready_by(&self) -> Option<Time> {
        let since = match (&self.state, &self.batch) {
            (RunState::Starting, _) => self.step_since,
            (RunState::Stepping, Some(batch)) if !batch.ready => batch.since,
            _ => return None,
        };
        Some(after(since, self.candidate.spec.deadline.ready))
    }

    /// Whether anybody or anything keeps the plan from moving until a person acts.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.manual.is_some() || self.stopped.is_some()
    }

    /// The gates whose verdict decides; the others are only shown.
    pub(super) fn deciding(&self) -> impl Iterator<Item = &GateSpec> {
        self.candidate.spec.gates.iter().filter(|g| g.on_fail() != OnFail::Advise)
    }

    /// `step 3 of 7`, counted from 1 as people count.
    pub(super) fn place(&self) -> String {
        let count = self.plan().len();
        match (self.all_done(), self.steps_over(), &self.batch) {
            (false, true, Some(batch)) => format!("{} of {} replaced", batch.new.min(batch.was.saturating_sub(batch.old)), batch.was),
            (false, false, _) => format!("step {} of {count}", self.step + 1),
            _ => "the last step".into(),
        }
    }

    /// What comes after the current step, as it is labelled in the plan.
    pub(super) fn ahead(&self) -> Text {
        label(self, self.step + 1)
    }
}

/// A step's label; `100 %` after the last.
pub(super) fn label(run: &Run, step: usize) -> Text {
    match run.plan().get(step) {
        Some(spec) => spec.label(run.candidate.spec.gates.len()),
        None if run.batch.is_some() && !run.pair().zip(run.bounds()).is_some_and(|(pair, bounds)| bounds.done(pair)) => "next batch".into(),
        None => LAST_WEIGHT.to_string().into(),
    }
}
