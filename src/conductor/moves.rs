//! The single moves that plan and people make. Each leaves a [`Life`] whose [`Wanted`](super::life::Wanted)
//! is safe, so that a host may crash between any two of them.

use super::{
    Note,
    life::{Cause, Life, Run, RunState, Stopped, Warm},
    plan::label,
};
use crate::model::{
    action::Action,
    event::Level,
    ident::GateId,
    ratio::Weight,
    rollout::LastAction,
    text::Text,
    time::{Time, after},
};

impl Life {
    /// A fact moved.
    pub(super) fn touch(&mut self) {
        self.rev = self.rev.saturating_add(1);
    }

    /// A transition happened: what anybody believed before is out of date.
    pub(super) fn moved(&mut self) {
        self.touch();
        self.moved = self.rev;
    }

    /// Declares the share that the plan wants now.
    pub(super) fn declare_planned(&mut self, now: Time) {
        if let Some(run) = &mut self.run {
            run.declare(run.planned(), now);
        }
        self.moved();
    }

    /// From readiness to the first step.
    pub(super) fn begin(&mut self, now: Time) -> Note {
        if let Some(run) = &mut self.run {
            run.state = RunState::Stepping;
            run.stopped = None;
            run.short = None;
            run.enter(0, now);
        }
        self.moved();
        let what = self.run.as_ref().map(|run| {
            let (label, all) = (&run.candidate.label, run.candidate.spec.instances);
            format!("{label} ready, {all} of {all}: it starts at {}", run.weight)
        });
        Note::plan(what.unwrap_or_default())
    }

    /// From the current step to the next, by whomever.
    pub(super) fn leave(&mut self, by: &Text, word: &str, now: Time) -> Note {
        let mut what = String::new();
        if let Some(run) = &mut self.run {
            what = format!("{} {word}: {}", run.place(), label(run, run.step));
            let before = run.weight;
            run.enter(run.step + 1, now);
            if run.weight != before {
                what = format!("{what}; {before} → {}", run.weight);
            }
        }
        self.moved();
        Note { level: Level::Info, by: by.clone(), what: what.into() }
    }

    /// The candidate becomes stable; what was stable is kept warm.
    pub(super) fn complete(&mut self, now: Time) -> Option<Note> {
        let run = self.run.as_mut()?;
        run.state = RunState::Completed { at: now };
        run.weight = Weight::FULL;
        run.forget_troubles();
        let candidate = run.candidate.clone();
        let (label, keep) = (candidate.label.clone(), candidate.spec.keep.max(2) as usize);
        let keep_warm = candidate.spec.keep_warm;
        let old = self.stable.replace(candidate.clone());
        let mut what = format!("{label} is stable");
        if let Some(old) = old {
            what = format!("{what}; {} is kept warm for {}", old.label, humantime::format_duration(keep_warm));
            self.past.retain(|p| p.id != old.id);
            self.past.insert(0, old.clone());
            self.warm = Some(Warm { deployed: old, until: after(now, keep_warm) });
        }
        // Stable itself is one of those that are kept.
        self.past.retain(|p| p.id != candidate.id);
        self.past.truncate(keep - 1);
        self.moved();
        Some(Note::plan(what))
    }

    /// All traffic to stable, now. After a promotion the warm version is stable again first; for the
    /// instances and the router it is the same switch.
    pub(super) fn go_back(&mut self, by: &Text, why: Option<&Text>, level: Level, now: Time) -> Option<Note> {
        let completed = matches!(self.run.as_ref()?.state, RunState::Completed { .. });
        if completed {
            let warm = self.warm.take()?;
            self.past.retain(|p| p.id != warm.deployed.id);
            self.stable = Some(warm.deployed);
        }
        let to = self.stable.as_ref()?;
        let run = self.run.as_mut()?;
        run.state = RunState::Reverting { asked: now, by: by.clone() };
        run.weight = Weight::ZERO;
        run.converged = None;
        run.manual = None;
        run.stopped = None;
        run.short = None;
        let effect: Text = match why {
            Some(why) => format!("back on {}: {why}", to.label).into(),
            None => format!("back on {}", to.label).into(),
        };
        let action = Action::Back { to: to.id.clone() };
        self.last = Some(LastAction { by: by.clone(), action, at: now, effect: effect.clone() });
        self.moved();
        Some(Note { level, by: by.clone(), what: effect })
    }

    /// The run stops until a person acts.
    pub(super) fn stop(&mut self, cause: Cause, gate: Option<GateId>, why: &Text, by: Text, now: Time) -> Note {
        if let Some(run) = &mut self.run {
            run.stopped = Some(Stopped { why: why.clone(), since: now, gate, cause });
        }
        self.moved();
        Note { level: Level::Bad, by, what: format!("held: {why}").into() }
    }
}

impl Run {
    /// Sets the declared share. Evidence and convergence count anew when it changes.
    pub(super) fn declare(&mut self, weight: Weight, now: Time) {
        if weight != self.weight {
            self.weight = weight;
            self.converged = None;
            self.short = None;
        }
        if weight > Weight::ZERO && self.traffic.is_none() {
            self.traffic = Some(now);
        }
    }

    fn enter(&mut self, step: usize, now: Time) {
        self.step = step;
        self.step_since = now;
        self.declare(self.planned(), now);
    }

    fn forget_troubles(&mut self) {
        self.manual = None;
        self.stopped = None;
        self.short = None;
        self.bad_since = None;
        self.bad.clear();
        self.overruled = None;
    }

    /// The way back is confirmed.
    pub(super) fn arrive(&mut self, now: Time) {
        if let RunState::Reverting { asked, by } = &self.state {
            self.state = RunState::Reverted { asked: *asked, at: now, by: by.clone(), left: self.candidate.id.clone() };
            self.forget_troubles();
        }
    }
}
