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
//! | back | all traffic to stable (after a promotion: to the version kept warm), in any state | nowhere to go |
//! | retry | the same candidate with fresh instances, as a new run | a run in progress |
//!
//! A gate that fails is overruled only by `force` with a reason. What is not ready is never forced.

use super::{
    Note,
    ask::Ordered,
    life::{Cause, Life, Manual, Observed, Run, RunState},
    sight::{Pending, Sight},
    words,
};
use crate::model::{
    action::{Action, Refusal},
    event::Level,
    gate::GateState,
    ident::{GateId, VersionId},
    ratio::Weight,
    rollout::LastAction,
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
            Action::Back { to } => self.back(ask, to, sight.now),
            Action::Pause => self.pause(ask, sight.now),
            Action::Resume => self.resume(ask, sight),
            Action::Step => self.step(ask, false, sight),
            Action::SkipGate => self.step(ask, true, sight),
            Action::SetWeight { weight } => self.set_weight(ask, *weight, sight),
            Action::Promote => self.promote(ask, sight),
            Action::Retry => self.retry(ask, sight.now),
            Action::Undo { .. } | Action::Freeze { .. } | Action::Thaw | Action::Taint { .. } => {
                Err(Refusal::Unsupported { verb: ask.action.verb().into() })
            }
        }
    }

    fn back(&mut self, ask: &Ordered, to: &VersionId, now: Time) -> Result<Note, Refusal> {
        let Some(run) = &self.run else { return not_now("nothing was ever deployed") };
        match (&run.state, self.way_back()) {
            (RunState::Completed { .. }, None) => {
                let others: Vec<_> = self.past.iter().map(|p| p.label.as_str()).collect();
                let why = match others.first() {
                    None => "no version before this one is kept".into(),
                    Some(last) => format!("{last} is no longer warm; could be deployed: {}", others.join(", ")),
                };
                not_now(why)
            }
            (_, None) => not_now("first deploy: there is no version to go back to"),
            (_, Some(goes)) if goes != *to => {
                let label = self.label_of(&goes);
                Err(Refusal::Moved { what: format!("the way back goes to {label} now").into() })
            }
            (RunState::Reverted { at, .. }, Some(goes)) => {
                already(format!("already back on {} since {}", self.label_of(&goes), words::second(*at)))
            }
            (RunState::Reverting { asked, by }, Some(goes)) => {
                already(format!("already going back to {}: {by} {}", self.label_of(&goes), words::second(*asked)))
            }
            _ => self
                .go_back(&ask.by, ask.reason.as_ref(), Level::Warn, now)
                .map_or_else(|| not_now("there is no version to go back to"), Ok),
        }
    }

    fn label_of(&self, id: &VersionId) -> Text {
        let known = self.stable.iter().chain(self.warm.as_ref().map(|w| &w.deployed)).chain(&self.past);
        known.into_iter().find(|d| d.id == *id).map_or_else(|| id.text(), |d| d.label.clone())
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
        if skip && !at_gate {
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
        let word = if pending.is_empty() { "left" } else { "skipped" };
        let note = self.leave(&ask.by, word, sight.now);
        self.acted(ask, format!("step {before} → {}", before + 1), sight.now);
        Ok(note.because(ask.reason.as_ref()))
    }

    fn set_weight(&mut self, ask: &Ordered, weight: Weight, sight: &Sight<'_>) -> Result<Note, Refusal> {
        let run = self.moving()?;
        if run.from.is_none() {
            return not_now("first deploy: there is no other version to share the traffic with");
        }
        if let Some(manual) = run.manual.as_ref().filter(|m| m.weight == Some(weight) && run.weight == weight) {
            return already(format!("already {}", manual.text()));
        }
        if weight > run.weight {
            // A share set by hand may be set again by hand; a pause must be lifted first.
            if run.manual.as_ref().is_some_and(|m| m.weight.is_none()) {
                run.not_paused()?;
            }
            run.not_failed(ask, sight)?;
            run.settled(sight)?;
            if let Some(gate) = sight.pending(run).first().filter(|_| !ask.reasoned()) {
                return Err(guarded(gate, "; to go over it give a reason"));
            }
            run.overrule(ask, sight);
            if run.state == RunState::Starting {
                run.state = RunState::Stepping;
                run.step_since = sight.now;
            }
        }
        let before = run.weight;
        run.declare(weight, sight.now);
        run.manual = Some(Manual { by: ask.by.clone(), since: sight.now, weight: Some(weight) });
        Ok(self.acted(ask, format!("{before} → {weight}, held there"), sight.now))
    }

    fn promote(&mut self, ask: &Ordered, sight: &Sight<'_>) -> Result<Note, Refusal> {
        if let Some(Run { state: RunState::Completed { at }, candidate, .. }) = &self.run {
            return already(format!("{} has been stable since {}", candidate.label, words::second(*at)));
        }
        let run = self.moving()?;
        run.not_paused()?;
        if run.stopped.is_none() && run.state == RunState::Stepping && run.all_done() {
            return already("100 % is under way already".to_owned());
        }
        run.not_failed(ask, sight)?;
        run.settled(sight)?;
        if let Some(gate) = sight.pending_ahead(run).first().filter(|_| !ask.reasoned()) {
            return Err(guarded(gate, "; to promote over it give a reason"));
        }
        let (skipped, before) = (run.plan().len().saturating_sub(run.step), run.weight);
        run.stopped = None;
        run.overrule(ask, sight);
        run.state = RunState::Stepping;
        run.step = run.plan().len();
        run.step_since = sight.now;
        run.declare(run.planned(), sight.now);
        let steps = if skipped == 1 { "step" } else { "steps" };
        Ok(self.acted(ask, format!("skipped {skipped} {steps}, {before} → 100 %"), sight.now))
    }

    fn retry(&mut self, ask: &Ordered, now: Time) -> Result<Note, Refusal> {
        let candidate = self.retriable()?;
        let effect = format!("run {} tries {} again", ask.fresh.text(), candidate.label);
        self.start(ask.fresh.clone(), candidate, ask.by.clone(), now);
        Ok(self.acted(ask, effect, now))
    }

    /// Remembers who did it and says so.
    fn acted(&mut self, ask: &Ordered, effect: String, now: Time) -> Note {
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

    fn not_paused(&self) -> Result<(), Refusal> {
        self.manual.as_ref().map_or(Ok(()), |m| not_now(format!("{}, c resumes", m.text())))
    }

    /// No gate fails, and the one that stopped the run has passed since.
    fn not_failed(&self, ask: &Ordered, sight: &Sight<'_>) -> Result<(), Refusal> {
        if ask.force && ask.reasoned() {
            return Ok(());
        }
        let forced = if ask.force { "; to force it give a reason" } else { "" };
        if let Some(gate) = sight.failing(self).next() {
            let why = format!("FAIL {}{forced}", gate.verdict.reason()).into();
            return Err(Refusal::Guarded { gate: gate.id.clone(), why });
        }
        match sight.still_stopped(self) {
            Some((gate, why)) => Err(Refusal::Guarded { gate, why: format!("{why}{forced}").into() }),
            None => Ok(()),
        }
    }

    fn settled(&self, sight: &Sight<'_>) -> Result<(), Refusal> {
        sight.short(self).map_or(Ok(()), not_now)
    }

    fn overrule(&mut self, ask: &Ordered, sight: &Sight<'_>) {
        if ask.force && sight.failing(self).next().is_some() {
            self.overruled = Some(sight.now);
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
