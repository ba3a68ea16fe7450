//! What happens by itself: the plan's steps, the gates' brakes, the end of a way back, the teardown of
//! what was kept warm.
//!
//! The order is the order of safety. First what brakes (a gate that goes back or stops), then what
//! moves on. Moving on needs all of: nobody holds it, the router does what is declared, every instance
//! of the candidate is ready, and for more traffic no gate that fails or cannot see. A manual pause
//! stops the plan, not the brakes: a gate with `on_fail = "revert"` still goes back by itself, since
//! its owner asked for that and a person who looks elsewhere needs it most.
//!
//! - A weight has *converged* when the router does it, whether or not an instance is missing: evidence
//!   counts from then, so that a canary that burns with one instance down is still judged. Its step is
//!   passed only when every instance is ready too.
//! - A pause by hand stops no clock, it makes the plan wait: a timed pause or a deadline that ran out
//!   meanwhile takes effect at `resume`.
//! - A gate's pass counts at a gate step only if it rests on requests since this weight converged; its
//!   failure counts if it rests on requests of this run.
//! - More traffic by itself needs eyes: a blind gate keeps a weight down even where no gate step stands
//!   before it. A gate that merely waits does not: the plan's author put the gate steps where they are.
//! - Losing ready instances holds the plan and moves no weight: the proxy spills to stable.

use super::{
    Note,
    life::{Cause, Life, Observed, Run, RunState},
    sight::Sight,
    words,
};
use crate::model::{
    event::Level,
    gate::GateState,
    spec::OnFail,
    step::{Pause, StepSpec},
    text::Text,
    time::Time,
};

/// What the plan does next.
enum Move {
    Nothing,
    Begin,
    Miss,
    Declare,
    Leave,
    Complete,
    Arrive,
}

impl Life {
    /// Makes every move that is due. To be called on every change and at least once a second; calling
    /// it again with the same arguments changes nothing and says nothing.
    pub fn advance(&mut self, seen: &Observed, gates: &[GateState], now: Time) -> Vec<Note> {
        let sight = Sight { seen, gates, now };
        let mut notes = Vec::new();
        // Each move takes the plan forward or ends it, so there cannot be more than steps and ends.
        let most = self.run.as_ref().map_or(0, |r| r.plan().len()) + 8;
        for _ in 0..most {
            self.observe(&sight);
            if let Some(note) = self.brake(&sight) {
                notes.push(note);
                continue;
            }
            let next = self.run.as_ref().map_or(Move::Nothing, |run| due(run, &sight));
            match next {
                Move::Nothing => break,
                Move::Begin => notes.push(self.begin(now)),
                Move::Miss => notes.extend(self.miss(&sight)),
                Move::Declare => {
                    self.declare_planned(now);
                    let weight = self.run.as_ref().map(|r| r.weight).unwrap_or_default();
                    notes.push(Note::plan(format!("weight {weight}, as planned")));
                }
                Move::Leave => notes.push(self.leave(&"plan".into(), "done", now)),
                Move::Complete => notes.extend(self.complete(now)),
                Move::Arrive => notes.extend(self.arrive(now)),
            }
        }
        notes.extend(self.cool(now));
        notes
    }

    /// When [`Life::advance`] must be called again at the latest; `None` when only changes matter.
    #[must_use]
    pub fn next_deadline(&self, now: Time) -> Option<Time> {
        let run = self.run.as_ref().filter(|r| !r.is_held());
        let ready = run.filter(|r| r.candidate.spec.deadline.on_fail != OnFail::Advise || r.from.is_none()).and_then(Run::ready_by);
        [self.warm.as_ref().map(|w| w.until), ready, run.and_then(Run::ends)].into_iter().flatten().filter(|t| *t > now).min()
    }

    /// Keeps what is remembered of observations: convergence, what lags since when, what is bad since when.
    fn observe(&mut self, sight: &Sight<'_>) {
        let Some(run) = self.run.as_mut().filter(|r| r.is_moving()) else { return };
        let converges = run.state == RunState::Stepping && run.converged.is_none() && sight.programmed(run);
        if converges {
            run.converged = Some(sight.now);
        }
        match (sight.short(run).is_some(), run.short) {
            (true, None) => run.short = Some(sight.now),
            (false, Some(_)) => run.short = None,
            _ => {}
        }
        for gate in sight.judging(run).filter(|g| g.verdict.passed()) {
            run.bad.retain(|bad| *bad != gate.id);
        }
        for gate in sight.failing(run) {
            if !run.bad.contains(&gate.id) {
                run.bad.push(gate.id.clone());
            }
        }
        if sight.failing(run).next().is_none() {
            run.overruled = None;
        }
        run.bad_since = if run.bad.is_empty() { None } else { run.bad_since.or(Some(sight.now)) };
        if converges {
            self.touch();
        }
    }

    /// A failed gate goes back by itself or stops the run, whatever step it is at and whoever paused it.
    fn brake(&mut self, sight: &Sight<'_>) -> Option<Note> {
        let run = self.run.as_ref()?;
        if let Some(gate) = sight.reverting(run) {
            let why = format!("gate {} failed {}", gate.id.text(), gate.verdict.reason()).into();
            return self.go_back(&format!("gate {}", gate.id.text()).into(), Some(&why), Level::Bad, sight.now);
        }
        // A stop of another cause gives way: a person who lifts it must know of the gate.
        if run.stopped.as_ref().is_some_and(|s| s.cause == Cause::Gate) {
            return None;
        }
        let gate = sight.failing_anew(run).next()?;
        let why: Text = format!("gate {} failed {}", gate.id.text(), gate.verdict.reason()).into();
        let by = format!("gate {}", gate.id.text()).into();
        Some(self.stop(Cause::Gate, Some(gate.id.clone()), &why, by, sight.now))
    }

    /// The candidate was not ready in time.
    fn miss(&mut self, sight: &Sight<'_>) -> Option<Note> {
        let run = self.run.as_mut()?;
        let deadline = &run.candidate.spec.deadline;
        let why: Text = format!("{} after {}", sight.ready_text(run), humantime::format_duration(deadline.ready)).into();
        let by: Text = "deadline".into();
        if run.from.is_none() {
            run.state = RunState::Failed { why: why.clone() };
            run.step_since = sight.now;
            self.moved();
            return Some(Note { level: Level::Bad, by, what: format!("failed: {why}; still trying").into() });
        }
        match deadline.on_fail {
            OnFail::Hold => Some(self.stop(Cause::Deadline, None, &why, by, sight.now)),
            OnFail::Revert => self.go_back(&by, Some(&why), Level::Bad, sight.now),
            OnFail::Advise => None,
        }
    }

    fn arrive(&mut self, now: Time) -> Option<Note> {
        let run = self.run.as_mut()?;
        let RunState::Reverting { asked, .. } = run.state else { return None };
        run.arrive(now);
        let label = &self.stable.as_ref()?.label;
        let what = format!("the router confirms {label} at 100 %, {} after it was asked", words::ago(now, asked));
        self.moved();
        Some(Note { level: Level::Info, by: "host".into(), what: what.into() })
    }

    /// What was kept warm for long enough is let go.
    fn cool(&mut self, now: Time) -> Option<Note> {
        let warm = self.warm.take_if(|w| w.until <= now)?;
        self.moved();
        Some(Note::plan(format!("{} is no longer kept warm", warm.deployed.label)))
    }
}

fn due(run: &Run, sight: &Sight<'_>) -> Move {
    match &run.state {
        RunState::Starting if run.is_held() => Move::Nothing,
        RunState::Starting if sight.all_ready(run) => Move::Begin,
        RunState::Starting => {
            let advised = run.from.is_some() && run.candidate.spec.deadline.on_fail == OnFail::Advise;
            if !advised && run.ready_by().is_some_and(|by| by <= sight.now) { Move::Miss } else { Move::Nothing }
        }
        RunState::Stepping => due_step(run, sight),
        RunState::Reverting { .. } if sight.programmed(run) => Move::Arrive,
        // There is nothing to protect and everything to gain: it serves as soon as it can.
        RunState::Failed { .. } if sight.all_ready(run) => Move::Begin,
        RunState::Reverting { .. } | RunState::Reverted { .. } | RunState::Completed { .. } | RunState::Failed { .. } => Move::Nothing,
    }
}

fn due_step(run: &Run, sight: &Sight<'_>) -> Move {
    if run.is_held() {
        return Move::Nothing;
    }
    let planned = run.planned();
    if run.weight != planned {
        let settled = planned < run.weight || sight.short(run).is_none();
        return if settled && sight.may_raise(run, planned) { Move::Declare } else { Move::Nothing };
    }
    if sight.short(run).is_some() {
        return Move::Nothing;
    }
    if run.all_done() {
        return Move::Complete;
    }
    if step_done(run, sight) && sight.may_raise(run, run.planned_at(run.step + 1)) { Move::Leave } else { Move::Nothing }
}

/// Whether the current step has what it waits for; that the router and the instances are where they
/// should be is asked before.
pub(super) fn step_done(run: &Run, sight: &Sight<'_>) -> bool {
    match run.current() {
        Some(StepSpec::Pause(Pause::Manual)) => false,
        Some(StepSpec::Pause(Pause::For(_))) => run.ends().is_some_and(|end| end <= sight.now),
        Some(StepSpec::Gate(_)) => sight.pending(run).is_empty(),
        Some(StepSpec::Weight(_)) | None => true,
        Some(StepSpec::Check(_) | StepSpec::Warm(_) | StepSpec::Scale(_) | StepSpec::Native(_)) => false,
    }
}
