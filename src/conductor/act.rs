//! What people do. All or nothing: a refused action leaves everything as it was.
//!
//! | verb | does | refused |
//! |---|---|---|
//! | step | leaves the current step as passed; over a stop that was no gate it goes on where it was | paused by hand, not settled, gate not passed |
//! | skip gate | leaves a gate step that waits or is blind; needs a reason | as step, or a gate that fails |
//! | pause | stops the plan, in any run that moves | – |
//! | resume | lifts a manual pause and a weight set by hand, nothing else | nothing paused by hand |
//! | weight | declares a share and holds there; less is always allowed, 100 % is no promotion | more: as step |
//! | promote | leaves all steps; done when the router confirms 100 % and all are ready | as step, for every gate that is left |
//! | back | the fastest way back, in any state: see [`super::back`] | nowhere to go |
//! | retry | the same candidate with fresh instances from step 0, as a new run, after one that was left, failed or stopped before it had traffic | a run in progress |
//! | undo | an older version as a new run through its plan | as a deploy |
//! | freeze, thaw | stops the line, lets it go on | without a reason |
//! | taint | takes a version out of the candidates for the way back | without a reason |
//!
//! While the line is frozen, everything that goes forward is refused: step, skip, promote, more weight,
//! retry and undo. A step that is a check or a warm-up is left before it worked only with a reason.
//!
//! A gate that fails is overruled only by `force` with a reason; where every gate that fails says that
//! stable is sick too, a reason is enough, since going back does not help. What is not ready is never forced.

use super::{
    Note,
    ask::Ordered,
    freeze::freeze_text,
    life::{Cause, Life, Manual, Observed, Run, RunState, TaskState},
    sight::{Pending, Sight},
    words,
};
use crate::model::{
    action::{Action, Refusal},
    event::Level,
    failed::{self, Onward},
    gate::GateState,
    ident::{GateId, VersionId},
    ratio::Weight,
    rollout::{Freeze, LastAction},
    spec::Strategy,
    step::{Pause, StepSpec},
    text::Text,
    time::Time,
};

/// What an action did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Acted {
    /// Whether anything had to change. What is so already is [`Refusal::AlreadySo`].
    pub changed: bool,
    /// For the timeline.
    pub notes: Vec<Note>,
}

impl Life {
    /// Carries out an action, or refuses it and changes nothing. The caller sees to it that one action
    /// id comes here once, and calls [`Life::advance`] afterwards.
    ///
    /// # Errors
    /// Why it is not done; [`Refusal::AlreadySo`] when it is so already.
    pub fn act(&mut self, ask: &Ordered, seen: &Observed, gates: &[GateState], now: Time) -> Result<Acted, Refusal> {
        self.guard(ask, now)?;
        let mut next = self.clone();
        let note = next.perform(ask, &Sight { seen, gates, now })?;
        *self = next;
        Ok(Acted { changed: true, notes: vec![note] })
    }

    fn perform(&mut self, ask: &Ordered, sight: &Sight<'_>) -> Result<Note, Refusal> {
        match &ask.action {
            Action::Back { to } => self.back(ask, to, sight),
            Action::Pause => self.pause(ask, sight.now),
            Action::Resume => self.resume(ask, sight),
            Action::Step => self.step(ask, false, sight),
            Action::SkipGate => self.step(ask, true, sight),
            Action::SetWeight { weight } => self.set_weight(ask, *weight, sight),
            Action::Promote => self.promote(ask, sight),
            Action::Retry => self.retry(ask, sight.now),
            Action::Undo { to } => self.undo(ask, to, sight.seen, sight.now),
            Action::Freeze { until } => self.freeze(ask, *until, sight.now),
            Action::Thaw => self.thaw(ask, sight.now),
            Action::Taint { version } => self.mark(ask, version, sight.now),
        }
    }

    fn freeze(&mut self, ask: &Ordered, until: Option<Time>, now: Time) -> Result<Note, Refusal> {
        let Some(reason) = ask.reason.clone().filter(|_| ask.reasoned()) else {
            return not_now("a freeze needs a reason: it is what everybody else reads");
        };
        if self.is_frozen_like(until, &reason) {
            return already(format!("already frozen {}", self.frozen.as_ref().map(freeze_text).unwrap_or_default()));
        }
        if until.is_some_and(|until| until <= now) {
            return not_now("the end of the freeze has passed already");
        }
        self.frozen = Some(Freeze { by: ask.by.clone(), reason, since: now, until });
        let end = until.map_or_else(String::new, |until| format!(" until {}", words::minute(until)));
        Ok(self.acted(ask, format!("frozen{end}"), now))
    }

    fn thaw(&mut self, ask: &Ordered, now: Time) -> Result<Note, Refusal> {
        let Some(freeze) = self.frozen.take() else { return already("nothing is frozen".to_owned()) };
        Ok(self.acted(ask, format!("thawed what {} froze {}", freeze.by, words::minute(freeze.since)), now))
    }

    fn mark(&mut self, ask: &Ordered, version: &VersionId, now: Time) -> Result<Note, Refusal> {
        let Some(reason) = ask.reason.clone().filter(|_| ask.reasoned()) else {
            return not_now("a taint needs a reason: it is what everybody else reads");
        };
        if !self.remembered().any(|d| d.id == *version) {
            let known: Vec<_> = self.remembered().map(|d| d.label.to_string()).collect();
            return not_now(format!("no such version is remembered: there are {}", known.join(", ")));
        }
        if let Some(taint) = self.record(version).taint {
            return already(format!(
                "{} was tainted by {} {}: {}",
                self.label_of(version),
                taint.by,
                words::minute(taint.at),
                taint.reason
            ));
        }
        let note = self.taint(version, &ask.by, &reason, now);
        Ok(self.acted(ask, note.what.to_string(), now))
    }

    fn pause(&mut self, ask: &Ordered, now: Time) -> Result<Note, Refusal> {
        let run = self.moving()?;
        if let Some(manual) = &run.manual {
            return already(format!("already {}", manual.text()));
        }
        run.manual = Some(Manual { by: ask.by.clone(), since: now, weight: None });
        let effect = format!("paused at {}", run.place());
        Ok(self.acted(ask, effect, now))
    }

    fn resume(&mut self, ask: &Ordered, sight: &Sight<'_>) -> Result<Note, Refusal> {
        let run = self.moving()?;
        if run.manual.is_none() {
            return already(format!("nothing paused by hand{}", run.hint(sight)));
        }
        run.manual = None;
        // Less traffic at once; more only by the plan and its rules, which go on from here.
        if run.planned() < run.weight {
            run.declare(run.planned(), sight.now);
        }
        let effect = format!("resumed at {}, {}", run.place(), run.weight);
        Ok(self.acted(ask, effect, sight.now))
    }

    fn step(&mut self, ask: &Ordered, skip: bool, sight: &Sight<'_>) -> Result<Note, Refusal> {
        self.moving()?;
        self.not_frozen()?;
        let run = self.moving()?;
        let stop = run.stopped.as_ref().map(|s| s.cause);
        run.not_paused()?;
        run.not_failed(ask, sight)?;
        if run.state == RunState::Starting {
            if !sight.all_ready(run) {
                return not_now(sight.ready_text(run));
            }
            if stop.is_none() {
                return not_now("all ready: the plan starts by itself");
            }
            self.begin(sight.now);
            return Ok(self.acted(ask, "went on from the start".into(), sight.now));
        }
        let at_gate = matches!(run.current(), Some(StepSpec::Gate(_)));
        let task = run.unfinished().first().copied().filter(|at| *at == run.step);
        if skip && !at_gate && task.is_none() {
            return not_now(format!("{} is no gate", run.place()));
        }
        let lifts = matches!(stop, Some(Cause::Restart | Cause::Deadline)) || (stop.is_some() && run.all_done());
        if lifts && !skip {
            run.stopped = None;
            run.overrule(ask, sight);
            let effect = format!("went on from {}", run.place());
            return Ok(self.acted(ask, effect, sight.now));
        }
        if let Some(short) = sight.short(run) {
            return not_now(short);
        }
        if run.all_done() {
            return not_now("every step is done: 100 % follows by itself");
        }
        if run.between_batches() {
            return not_now("the next batch follows by itself");
        }
        if task.is_some() && !(ask.reasoned() && (skip || stop == Some(Cause::Check))) {
            return not_now(run.task_text(sight));
        }
        if !skip && run.weight != run.planned() {
            // The step was entered and its share not given, for a gate that cannot see.
            run.stopped = None;
            run.overrule(ask, sight);
            self.declare_planned(sight.now);
            let effect = self.run.as_ref().map(|r| format!("{} at {}", r.place(), r.weight)).unwrap_or_default();
            return Ok(self.acted(ask, effect, sight.now));
        }
        let pending = sight.pending(run);
        if let Some(gate) = pending.first() {
            if !skip && !ask.force {
                return Err(guarded(gate, ""));
            }
            if !ask.reasoned() {
                return Err(guarded(gate, "; to skip it give a reason"));
            }
        }
        let before = run.step + 1;
        run.stopped = None;
        run.overrule(ask, sight);
        let word = if pending.is_empty() && task.is_none() { "left" } else { "skipped" };
        let note = self.leave(&ask.by, word, sight.now);
        self.acted(ask, format!("step {before} → {}", before + 1), sight.now);
        Ok(note.because(ask.reason.as_ref()))
    }

    fn set_weight(&mut self, ask: &Ordered, weight: Weight, sight: &Sight<'_>) -> Result<Note, Refusal> {
        let run = self.moving()?;
        if run.from.is_none() {
            return not_now("first deploy: there is no other version to share the traffic with");
        }
        match run.strategy() {
            Strategy::Rolling => return not_now("the share follows the instances: p pauses, R goes back"),
            Strategy::Recreate => return not_now("only one version runs at a time: there is nothing to share"),
            Strategy::BlueGreen if weight > run.weight && weight < Weight::FULL => {
                return not_now("blue-green switches all traffic at once: s goes on, P promotes");
            }
            Strategy::Canary | Strategy::BlueGreen => {}
        }
        if let Some(manual) = run.manual.as_ref().filter(|m| m.weight == Some(weight) && run.weight == weight) {
            return already(format!("already {}", manual.text()));
        }
        if weight > run.weight {
            self.not_frozen()?;
            let run = self.moving()?;
            // A share set by hand may be set again by hand; a pause must be lifted first.
            if run.manual.as_ref().is_some_and(|m| m.weight.is_none()) {
                run.not_paused()?;
            }
            run.not_failed(ask, sight)?;
            run.settled(sight)?;
            let all = run.candidate.spec.instances.max(1);
            if weight == Weight::FULL && run.instances() < all {
                return not_now(format!("canary has {} of {all} instances: P promotes", run.instances()));
            }
            if let Some(gate) = sight.pending(run).first().filter(|_| !ask.reasoned()) {
                return Err(guarded(gate, "; to go over it give a reason"));
            }
            run.tasks_skipped(ask)?;
            run.overrule(ask, sight);
            if run.state == RunState::Starting {
                run.state = RunState::Stepping;
                run.step_since = sight.now;
            }
        }
        let run = self.moving()?;
        let before = run.weight;
        run.declare(weight, sight.now);
        run.manual = Some(Manual { by: ask.by.clone(), since: sight.now, weight: Some(weight) });
        Ok(self.acted(ask, format!("{before} → {weight}, held there"), sight.now))
    }

    fn promote(&mut self, ask: &Ordered, sight: &Sight<'_>) -> Result<Note, Refusal> {
        if let Some(Run { state: RunState::Completed { at }, candidate, .. }) = &self.run {
            return already(format!("{} has been stable since {}", candidate.label, words::second(*at)));
        }
        self.moving()?;
        self.not_frozen()?;
        let run = self.moving()?;
        run.not_paused()?;
        let hurried = run.steps_over() && run.batch.as_ref().is_some_and(|b| b.hurried);
        if run.stopped.is_none() && run.state == RunState::Stepping && (run.all_done() || hurried) {
            return already("100 % is under way already".to_owned());
        }
        run.not_failed(ask, sight)?;
        run.settled(sight)?;
        if let Some(gate) = sight.pending_ahead(run).first().filter(|_| !ask.reasoned()) {
            return Err(guarded(gate, "; to promote over it give a reason"));
        }
        run.tasks_skipped(ask)?;
        let (skipped, before, instances) = (run.plan().len().saturating_sub(run.step), run.weight, run.instances());
        run.stopped = None;
        run.overrule(ask, sight);
        run.state = RunState::Stepping;
        run.step = run.plan().len();
        run.step_since = sight.now;
        if let Some(batch) = &mut run.batch {
            batch.hurried = true;
        }
        run.aim(instances, sight.now);
        let steps = if skipped == 1 { "step" } else { "steps" };
        Ok(self.acted(ask, format!("skipped {skipped} {steps}, {before} → 100 %"), sight.now))
    }

    fn retry(&mut self, ask: &Ordered, now: Time) -> Result<Note, Refusal> {
        let candidate = self.retriable()?;
        self.not_frozen()?;
        let effect = format!("run {} tries {} again", ask.fresh.text(), candidate.label);
        self.start(ask.fresh.clone(), candidate, ask.by.clone(), now);
        Ok(self.acted(ask, effect, now))
    }

    /// Remembers who did it and says so.
    pub(super) fn acted(&mut self, ask: &Ordered, effect: String, now: Time) -> Note {
        let effect = Text::from(effect);
        self.last = Some(LastAction { by: ask.by.clone(), action: ask.action.clone(), at: now, effect: effect.clone() });
        self.moved();
        Note { level: Level::Info, by: ask.by.clone(), what: effect }.because(ask.reason.as_ref())
    }

    fn moving(&mut self) -> Result<&mut Run, Refusal> {
        let run = self.run.as_mut().ok_or_else(|| Refusal::NotNow { why: "nothing was ever deployed".into() })?;
        match &run.state {
            RunState::Starting | RunState::Stepping => Ok(run),
            RunState::Reverting { .. } => not_now("going back"),
            RunState::Reverted { .. } => not_now("all traffic is back: t retries"),
            RunState::Failed { .. } => not_now("failed: t retries"),
            RunState::Completed { .. } => not_now("no rollout in progress"),
        }
    }
}

impl Run {
    /// The checks and warm-ups that are still to come, the current one included.
    fn unfinished(&self) -> Vec<usize> {
        let task = |(_, step): &(usize, &StepSpec)| matches!(step, StepSpec::Check(_) | StepSpec::Warm(_));
        self.plan().iter().enumerate().skip(self.step).filter(task).map(|(i, _)| i).collect()
    }

    /// What is tried before traffic is left out only with a reason.
    fn tasks_skipped(&self, ask: &Ordered) -> Result<(), Refusal> {
        match self.unfinished().first() {
            Some(at) if !ask.reasoned() => {
                let kind = self.plan().get(*at).map_or("check", StepSpec::kind);
                not_now(format!("the {kind} of step {} has not worked yet; to go over it give a reason", at + 1))
            }
            _ => Ok(()),
        }
    }

    /// How the check or warm-up of the current step stands, and what to do about it.
    fn task_text(&self, sight: &Sight<'_>) -> String {
        let kind = self.current().map_or("check", StepSpec::kind);
        if let Some(stopped) = self.stopped.as_ref().filter(|s| s.cause == Cause::Check) {
            return format!("{}; t starts over, to leave it give a reason", stopped.why);
        }
        match sight.task(self).map(|t| &t.state) {
            Some(TaskState::Running(what)) => format!("{kind} runs: {what}; to skip it give a reason"),
            _ => format!("{kind} has not ended; to skip it give a reason"),
        }
    }

    /// Its state in one word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self.state {
            RunState::Starting => "starting",
            RunState::Stepping => "stepping",
            RunState::Reverting { .. } => "reverting",
            RunState::Reverted { .. } => "reverted",
            RunState::Completed { .. } => "completed",
            RunState::Failed { .. } => "failed",
        }
    }

    pub(super) fn not_paused(&self) -> Result<(), Refusal> {
        self.manual.as_ref().map_or(Ok(()), |m| not_now(format!("{}, c resumes", m.text())))
    }

    /// No gate fails, and the one that stopped the run has passed since.
    fn not_failed(&self, ask: &Ordered, sight: &Sight<'_>) -> Result<(), Refusal> {
        let how = Onward { action: &ask.action, force: ask.force, reasoned: ask.reasoned() };
        let gates: Vec<&GateState> = sight.judging(self).collect();
        failed::refusal(gates.into_iter(), &self.failed(), how).map_or(Ok(()), Err)
    }

    fn settled(&self, sight: &Sight<'_>) -> Result<(), Refusal> {
        sight.short(self).map_or(Ok(()), not_now)
    }

    fn overrule(&mut self, ask: &Ordered, sight: &Sight<'_>) {
        let both = sight.fails_both(self);
        if (ask.force || both) && sight.failing(self).next().is_some() {
            (self.overruled, self.overruled_both) = (Some(sight.now), both);
        }
    }

    /// What helps instead of `resume`.
    fn hint(&self, sight: &Sight<'_>) -> &'static str {
        match self.current() {
            _ if self.stopped.is_some() => "; s goes on",
            Some(StepSpec::Gate(_)) if !sight.pending(self).is_empty() => "; s skips the gate",
            Some(StepSpec::Pause(Pause::For(_) | Pause::Manual)) => "; s ends the pause",
            _ => "",
        }
    }
}

impl Manual {
    /// `paused by ana 02:14`, `held at 10 % by ana 02:14`.
    pub(super) fn text(&self) -> String {
        let at = words::minute(self.since);
        match self.weight {
            Some(weight) => format!("held at {weight} by {} {at}", self.by),
            None => format!("paused by {} {at}", self.by),
        }
    }
}

fn guarded(gate: &Pending, hint: &str) -> Refusal {
    Refusal::Guarded { gate: GateId::clone(&gate.gate), why: format!("{} {}{hint}", gate.word, gate.reason).into() }
}

fn not_now<T>(why: impl Into<Text>) -> Result<T, Refusal> {
    Err(Refusal::NotNow { why: why.into() })
}

fn already<T>(what: String) -> Result<T, Refusal> {
    Err(Refusal::AlreadySo { what: what.into() })
}
