//! The single moves that plan and people make. Each leaves a [`Life`] whose [`Wanted`](super::life::Wanted)
//! is safe, so that a host may crash between any two of them.

use super::{
    Note,
    life::{Cause, Deployed, Failure, Life, Run, RunState, Stopped, Warm},
    plan::label,
    rolling::Pair,
};
use crate::model::{
    event::Level,
    failed::Failed,
    gate::GateState,
    ident::GateId,
    ratio::Weight,
    spec::Strategy,
    step::Mark,
    text::Text,
    time::{Time, after},
};

/// Changes of the share that are kept of a run: a rolling replacement makes one for each batch.
const MARKS: usize = 64;

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
            let (label, all) = (&run.candidate.label, run.instances());
            format!("{label} ready, {all} of {all}: it starts at {}", run.weight)
        });
        Note::plan(what.unwrap_or_default())
    }

    /// From one batch of instances to the next.
    pub(super) fn take_batch(&mut self, to: Pair, now: Time) -> Option<Note> {
        let run = self.run.as_mut()?;
        run.next_batch(to, now);
        let (label, all) = (&run.candidate.label, run.candidate.spec.instances);
        let what = format!("next batch: {} of {all} {label}, {} of the old", to.new, to.old);
        self.moved();
        Some(Note::plan(what))
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
        run.share(Weight::FULL, now);
        run.forget_troubles();
        // Where the old instances are gone there is nothing to keep warm.
        let warms = matches!(run.strategy(), Strategy::Canary | Strategy::BlueGreen);
        let candidate = run.candidate.clone();
        let (label, keep) = (candidate.label.clone(), candidate.spec.keep.max(2) as usize);
        let keep_warm = candidate.spec.keep_warm;
        let old = self.stable.replace(candidate.clone());
        let mut what = format!("{label} is stable");
        if let Some(old) = old {
            self.retire(&old.id, now);
            self.remember(old.clone());
            if warms {
                what = format!("{what}; {} is kept warm for {}", old.label, humantime::format_duration(keep_warm));
                self.warm = Some(Warm { deployed: old, until: after(now, keep_warm) });
            }
        }
        self.keep_past(keep);
        self.crown(&candidate.id, candidate.spec.bake, now);
        self.moved();
        Some(Note::plan(what))
    }

    /// A version is one of those before.
    pub(super) fn remember(&mut self, old: Deployed) {
        self.past.retain(|p| p.id != old.id);
        self.past.insert(0, old);
    }

    /// Lets go of versions beyond those that are kept, of which stable is one.
    pub(super) fn keep_past(&mut self, keep: usize) {
        if let Some(stable) = &self.stable {
            self.past.retain(|p| p.id != stable.id);
        }
        self.past.truncate(keep.saturating_sub(1));
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
            self.share(weight, now);
            self.converged = None;
            self.short = None;
        }
        if weight > Weight::ZERO && self.traffic.is_none() {
            self.traffic = Some(now);
        }
    }

    /// Sets the declared share and keeps when that was.
    pub(super) fn share(&mut self, weight: Weight, now: Time) {
        if weight == self.weight {
            return;
        }
        self.weight = weight;
        self.marks.push(Mark { at: now, weight });
        let surplus = self.marks.len().saturating_sub(MARKS);
        self.marks.drain(..surplus);
    }

    pub(super) fn enter(&mut self, step: usize, now: Time) {
        let instances = self.instances();
        self.step = step;
        self.step_since = now;
        self.aim(instances, now);
    }

    /// Declares what the plan wants now; with more traffic it waits for instances that are still to
    /// start. `before` is how many there should be so far.
    pub(super) fn aim(&mut self, before: u32, now: Time) {
        let planned = self.planned();
        if planned <= self.weight || self.instances_at(self.step) <= before {
            self.declare(planned, now);
        }
    }

    pub(super) fn forget_troubles(&mut self) {
        self.manual = None;
        self.stopped = None;
        self.short = None;
        self.bad_since = None;
        self.bad.clear();
        self.failures.clear();
        (self.overruled, self.overruled_both) = (None, false);
    }

    /// A gate fails: it is bad until it passes.
    pub(super) fn fails(&mut self, gate: &GateState) {
        if !self.bad.contains(&gate.id) {
            self.bad.push(gate.id.clone());
            self.failures.insert(gate.id.clone(), Failure { at: gate.since, why: gate.verdict.reason().clone() });
        }
    }

    /// A gate passes.
    pub(super) fn passes(&mut self, gate: &GateId) {
        self.bad.retain(|bad| bad != gate);
        self.failures.remove(gate);
    }

    /// The gates that failed and have not passed since. Those that stopped the run stand until they pass or a
    /// person goes on over them.
    #[must_use]
    pub fn failed(&self) -> Vec<Failed> {
        let stopped = self.stopped.as_ref().filter(|s| s.cause == Cause::Gate);
        let first = stopped.and_then(|s| s.gate.as_ref());
        let failed = |gate: &GateId| {
            let known = self.failures.get(gate).cloned();
            let since = self.bad_since.or_else(|| stopped.map(|s| s.since)).unwrap_or(self.step_since);
            let Failure { at, why } = known.unwrap_or(Failure { at: since, why: Text::default() });
            Failed { gate: gate.clone(), at, why, stands: stopped.is_some() }
        };
        let mut all: Vec<Failed> = self.bad.iter().map(failed).collect();
        // The one that stopped it speaks first.
        all.sort_by_key(|f| Some(&f.gate) != first);
        all
    }

    /// The next batch; its steps are taken from the switch on.
    pub(super) fn next_batch(&mut self, to: Pair, now: Time) {
        let (first, last) = (self.switch_at(), self.plan().len());
        let Some(batch) = &mut self.batch else { return };
        batch.new = to.new;
        batch.old = to.old;
        batch.since = now;
        batch.ready = false;
        self.step = if batch.hurried { last } else { first };
        self.step_since = now;
        // Evidence counts from here: gates judge each batch.
        self.converged = None;
        self.short = None;
    }
}
