//! Where a run is in its plan, and what the plan says there. A first deploy has no plan: there is
//! nothing to share the traffic with, so 100 % follows readiness.

use super::life::{Run, RunState};
use crate::model::{
    ratio::Weight,
    spec::{GateSpec, LAST_WEIGHT, OnFail},
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

    /// Whether every step is done, so that 100 % and the promotion follow.
    #[must_use]
    pub fn all_done(&self) -> bool {
        self.step >= self.plan().len()
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

    /// The candidate's share that the plan wants at a step: that of the last weight up to there.
    #[must_use]
    pub fn planned_at(&self, step: usize) -> Weight {
        let plan = self.plan();
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

    /// Until when every instance must be ready.
    #[must_use]
    pub fn ready_by(&self) -> Option<Time> {
        matches!(self.state, RunState::Starting).then(|| after(self.step_since, self.candidate.spec.deadline.ready))
    }

    /// Whether anybody or anything keeps the plan from moving until a person acts.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.manual.is_some() || self.stopped.is_some()
    }

    /// The gates whose verdict decides; the others are only shown.
    pub(super) fn deciding(&self) -> impl Iterator<Item = &GateSpec> {
        self.candidate.spec.gates.iter().filter(|g| g.on_fail != OnFail::Advise)
    }

    /// `step 3 of 7`, counted from 1 as people count.
    pub(super) fn place(&self) -> String {
        let count = self.plan().len();
        if self.all_done() { "the last step".into() } else { format!("step {} of {count}", self.step + 1) }
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
        None => LAST_WEIGHT.to_string().into(),
    }
}
