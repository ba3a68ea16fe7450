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
//! - Losing ready instances holds the plan and moves no weight: the proxy spills to stable. Of a rolling
//!   replacement the share follows the instances, down at once and up only with all of the batch ready.
//! - A check or warm-up ends its step when it worked, and stops the run when it did not. What it left as
//!   evidence goes to the timeline.
//! - A freeze stops the plan and no brake. A way back, and what it starts again, goes on.

use super::{
    Note,
    life::{Cause, Life, Observed, Run, RunState, TaskSeen, TaskState},
    rolling::{self, Pair},
    sight::Sight,
    words,
};
use crate::model::{
    event::Level,
    gate::{Arm, GateState, Verdict},
    ratio::Weight,
    spec::OnFail,
    step::{Pause, StepSpec},
    text::Text,
    time::{Time, after},
    tried::{self, Answer, Tried},
};
use std::time::Duration;

/// Lines of a task's evidence that go to the timeline, the last ones: all that is kept is in [`Run::tried`].
const EVIDENCE: usize = 20;
/// Bytes of evidence that a run keeps.
pub const TRIED: usize = 8 << 10;

/// What the plan does next.
enum Move {
    Nothing,
    Clear,
    Begin,
    Miss,
    Declare,
    Tried,
    Leave,
    Batch(Pair),
    Complete,
    Arrive,
    Next,
}

impl Life {
    /// Makes every move that is due. To be called on every change and at least once a second; calling
    /// it again with the same arguments changes nothing and says nothing.
    pub fn advance(&mut self, seen: &Observed, gates: &[GateState], now: Time) -> Vec<Note> {
        let sight = Sight { seen, gates, now };
        let mut notes: Vec<Note> = self.thaw_in_time(now).into_iter().collect();
        // Each move takes the plan forward or ends it, so there cannot be more than steps, batches and ends.
        for _ in 0..self.most_moves() {
            self.observe(&sight);
            if let Some(note) = self.brake(&sight).or_else(|| self.watch_baking(&sight)).or_else(|| self.come_back(&sight)) {
                notes.push(note);
                continue;
            }
            match self.due(&sight) {
                Move::Nothing => break,
                Move::Clear => notes.extend(self.clear(now)),
                Move::Begin => notes.push(self.begin(now)),
                Move::Miss => notes.extend(self.miss(&sight)),
                Move::Declare => notes.extend(self.follow(now)),
                Move::Tried => notes.extend(self.tried(&sight)),
                Move::Leave => notes.push(self.leave(&"plan".into(), "done", now)),
                Move::Batch(to) => notes.extend(self.take_batch(to, now)),
                Move::Complete => notes.extend(self.complete(now)),
                Move::Arrive => notes.extend(self.arrive(now)),
                Move::Next => notes.extend(self.start_next(now)),
            }
        }
        notes.extend(self.cool(now));
        notes.extend(self.ripen());
        notes
    }

    fn most_moves(&self) -> usize {
        let Some(run) = &self.run else { return 1 };
        let steps = run.plan().len() + 4;
        let batches = run.bounds().map_or(1, |b| b.new.saturating_add(b.old).saturating_add(2) as usize);
        steps.saturating_mul(batches).saturating_add(12)
    }

    /// When [`Life::advance`] must be called again at the latest; `None` when only changes matter.
    #[must_use]
    pub fn next_deadline(&self, now: Time) -> Option<Time> {
        let run = self.run.as_ref();
        let moves = run.filter(|r| !r.is_held());
        let ready = moves.filter(|r| r.candidate.spec.deadline.on_fail != OnFail::Advise || r.from.is_none()).and_then(Run::ready_by);
        let back = run.and_then(|r| r.returning.as_ref()).filter(|b| !b.serves && !b.missed);
        let back = back.map(|b| after(b.since, b.to.spec.deadline.ready));
        let thaw = self.frozen.as_ref().and_then(|f| f.until);
        let cools = self.warm.as_ref().filter(|_| !self.fails_baking()).map(|w| w.until);
        [cools, ready, moves.and_then(Run::ends), back, thaw].into_iter().flatten().filter(|t| *t > now).min()
    }

    /// Keeps what is remembered of observations: convergence, what lags since when, what is bad since
    /// when, what a batch carries.
    fn observe(&mut self, sight: &Sight<'_>) {
        self.carry(sight);
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
        for gate in sight.judging(run).filter(|g| g.verdict.passed()).collect::<Vec<_>>() {
            run.passes(&gate.id);
        }
        for gate in sight.failing(run).collect::<Vec<_>>() {
            run.fails(gate);
        }
        if sight.failing(run).next().is_none() {
            (run.overruled, run.overruled_both) = (None, false);
        }
        run.bad_since = if run.bad.is_empty() { None } else { run.bad_since.or(Some(sight.now)) };
        if converges {
            self.touch();
        }
    }

    /// What the ready instances of a rolling replacement carry; on its way back the candidate keeps only
    /// what the others cannot.
    fn carry(&mut self, sight: &Sight<'_>) {
        let Some(run) = &mut self.run else { return };
        let (Some(ready), Some(bounds)) = (sight.ready_pair(run), run.bounds()) else { return };
        let whole = sight.all_ready(run);
        if run.is_moving() {
            if let Some(batch) = &mut run.batch {
                batch.share = rolling::share(ready);
                batch.ready |= whole;
            }
        } else if matches!(run.state, RunState::Reverting { .. }) && bounds.left_behind(ready.old) < run.weight {
            run.declare(bounds.left_behind(ready.old), sight.now);
            self.touch();
        }
    }

    /// A failed gate goes back by itself or stops the run, whatever step it is at and whoever paused it.
    fn brake(&mut self, sight: &Sight<'_>) -> Option<Note> {
        let run = self.run.as_ref()?;
        if let Some(gate) = sight.reverting(run) {
            let why = format!("gate {} failed {}", gate.id.text(), gate.verdict.reason()).into();
            let by = format!("gate {}", gate.id.text()).into();
            // With nowhere to go it stops.
            if let Some(note) = self.go_back(&by, Some(&why), Level::Bad, &sight.seen.gone, sight.now) {
                return Some(note);
            }
        }
        let run = self.run.as_ref()?;
        // A stop of another cause gives way: a person who lifts it must know of the gate.
        if run.stopped.as_ref().is_some_and(|s| s.cause == Cause::Gate) {
            return None;
        }
        let gate = sight.failing_anew(run).next()?;
        let why: Text = format!("gate {} failed {}", gate.id.text(), gate.verdict.reason()).into();
        let by = format!("gate {}", gate.id.text()).into();
        Some(self.stop(Cause::Gate, Some(gate.id.clone()), &why, by, sight.now))
    }

    /// Gates of a version that has all the traffic and is not good yet: a failure starts the baking
    /// anew, and goes back only where its owner asked for that and it is a switch.
    fn watch_baking(&mut self, sight: &Sight<'_>) -> Option<Note> {
        let (stable, run) = self.baking()?;
        let since = run.over()?;
        let (id, label, bake) = (stable.id.clone(), stable.label.clone(), stable.spec.bake);
        let fails = |g: &&GateState| matches!(g.verdict, Verdict::Fail { .. });
        let why = |g: &GateState| Text::from(format!("gate {} failed {}", g.id.text(), g.verdict.reason()));
        let by = |g: &GateState| Text::from(format!("gate {}", g.id.text()));
        let blames = |g: &&GateState| g.on_fail == OnFail::Revert && matches!(g.verdict, Verdict::Fail { who: Arm::Candidate, .. });
        let anew = |g: &&GateState| !run.bad.contains(&g.id);
        let failed = sight.baking(since).filter(fails).find(anew);
        let switch = matches!(self.route(&sight.seen.gone), Some(super::back::Route::Warm(_)));
        if let Some(gate) = sight.baking(since).find(blames).filter(|_| switch) {
            return self.go_back(&by(gate), Some(&why(gate)), Level::Bad, &sight.seen.gone, sight.now);
        }
        if let Some(gate) = failed {
            let served = self.record(&id).baked;
            let run = self.run.as_mut()?;
            run.fails(gate);
            run.bad_since = run.bad_since.or(Some(sight.now));
            let record = self.record_mut(&id);
            (record.baked, record.due) = (Duration::ZERO, None);
            self.moved();
            let what = format!("{}; {label} had baked for {}", why(gate), words::span(served)).into();
            return Some(Note { level: Level::Bad, by: by(gate), what });
        }
        let passes = |g: &&GateState| g.verdict.passed() && run.bad.contains(&g.id);
        let gate = sight.baking(since).find(passes)?.id.clone();
        let run = self.run.as_mut()?;
        run.passes(&gate);
        let all = run.bad.is_empty();
        if all {
            run.bad_since = None;
            self.record_mut(&id).due = Some(after(sight.now, bake));
            // What bakes anew is as likely to be left as what just began to.
            let keep_warm = self.stable.as_ref().map(|s| s.spec.keep_warm).unwrap_or_default();
            if let Some(warm) = &mut self.warm {
                warm.until = warm.until.max(after(sight.now, keep_warm));
            }
        }
        self.moved();
        let anew = if all { format!(": {label} bakes anew") } else { String::new() };
        Some(Note { level: Level::Info, by: format!("gate {}", gate.text()).into(), what: format!("passes again{anew}").into() })
    }

    /// The candidate was not ready in time.
    fn miss(&mut self, sight: &Sight<'_>) -> Option<Note> {
        let run = self.run.as_mut()?;
        let deadline = &run.candidate.spec.deadline;
        let why: Text = format!("{} after {}", sight.ready_text(run), humantime::format_duration(deadline.ready)).into();
        let (by, on_fail): (Text, OnFail) = ("deadline".into(), deadline.on_fail);
        if run.from.is_none() {
            run.state = RunState::Failed { why: why.clone() };
            run.step_since = sight.now;
            self.moved();
            return Some(Note { level: Level::Bad, by, what: format!("failed: {why}; still trying").into() });
        }
        if on_fail == OnFail::Revert
            && let Some(note) = self.go_back(&by, Some(&why), Level::Bad, &sight.seen.gone, sight.now)
        {
            return Some(note);
        }
        Some(self.stop(Cause::Deadline, None, &why, by, sight.now))
    }

    /// The share that is wanted now. That it follows instances up and down is no news and moves nobody's
    /// picture of the plan.
    fn follow(&mut self, now: Time) -> Option<Note> {
        let run = self.run.as_mut()?;
        if run.batch.is_some() && run.traffic.is_some() {
            run.declare(run.planned(), now);
            self.touch();
            return None;
        }
        self.declare_planned(now);
        let weight = self.run.as_ref().map(|r| r.weight).unwrap_or_default();
        Some(Note::plan(format!("weight {weight}, as planned")))
    }

    /// A check or warm-up has ended.
    fn tried(&mut self, sight: &Sight<'_>) -> Vec<Note> {
        let Some((run, task)) = self.run.as_ref().and_then(|run| Some((run, sight.task(run)?))) else { return Vec::new() };
        let Some(step) = run.current() else { return Vec::new() };
        let (kind, on_fail) = match step {
            StepSpec::Check(check) => ("check", check.on_fail),
            _ => ("warm", OnFail::Hold),
        };
        let by = Text::from(kind);
        let mut notes = Vec::new();
        let came = came_of(step, task);
        if let Some(run) = &mut self.run {
            run.tried.extend(came);
            tried::keep(&mut run.tried, TRIED);
        }
        match &task.state {
            TaskState::Running(_) => {}
            TaskState::Done(what) => {
                let mut note = self.leave(&"plan".into(), "done", sight.now);
                note.what = format!("{}: {what}", note.what).into();
                notes.push(note);
                notes.extend(evidence(task, &by, Level::Info));
            }
            TaskState::Failed(what) => {
                let why: Text = format!("{kind} failed: {what}").into();
                let back = match on_fail {
                    OnFail::Revert => self.go_back(&by, Some(&why), Level::Bad, &sight.seen.gone, sight.now),
                    OnFail::Advise => {
                        let mut note = self.leave(&by, "left", sight.now);
                        note = Note { level: Level::Warn, what: format!("{}: {why}", note.what).into(), ..note };
                        Some(note)
                    }
                    OnFail::Hold => None,
                };
                notes.push(back.unwrap_or_else(|| self.stop(Cause::Check, None, &why, by.clone(), sight.now)));
                notes.extend(evidence(task, &by, Level::Bad));
            }
        }
        notes
    }

    /// The old version has ended: the candidate may start.
    fn clear(&mut self, now: Time) -> Option<Note> {
        let run = self.run.as_mut()?;
        run.ending.clear();
        run.step_since = now;
        let label = run.candidate.label.clone();
        self.moved();
        let old = self.stable.as_ref().map(|s| s.label.clone()).unwrap_or_default();
        Some(Note::plan(format!("{old} has ended: {label} starts")))
    }

    /// What was kept warm for long enough is let go; not while it is the way back from a version that fails.
    fn cool(&mut self, now: Time) -> Option<Note> {
        if self.fails_baking() {
            return None;
        }
        let warm = self.warm.take_if(|w| w.until <= now)?;
        self.moved();
        Some(Note::plan(format!("{} is no longer kept warm", warm.deployed.label)))
    }

    fn due(&self, sight: &Sight<'_>) -> Move {
        let Some(run) = &self.run else { return Move::Nothing };
        let frozen = self.frozen.is_some();
        match &run.state {
            RunState::Starting if run.is_held() => Move::Nothing,
            RunState::Starting if !run.ending.is_empty() && sight.ended(&run.ending) && !frozen => Move::Clear,
            RunState::Starting if run.ending.is_empty() && sight.all_ready(run) => {
                if frozen {
                    Move::Nothing
                } else {
                    Move::Begin
                }
            }
            RunState::Starting => missed(run, sight),
            RunState::Stepping if run.is_held() => Move::Nothing,
            RunState::Stepping if frozen => due_frozen(run),
            RunState::Stepping => due_step(run, sight),
            RunState::Reverting { .. } => {
                let decided = run.returning.as_ref().map_or(run.weight == Weight::ZERO, |back| back.serves);
                if decided && sight.programmed(run) { Move::Arrive } else { Move::Nothing }
            }
            RunState::Reverted { .. } if run.then.is_some() && !frozen => Move::Next,
            // There is nothing to protect and everything to gain: it serves as soon as it can.
            RunState::Failed { .. } if sight.all_ready(run) && !frozen => Move::Begin,
            RunState::Reverted { .. } | RunState::Completed { .. } | RunState::Failed { .. } => Move::Nothing,
        }
    }
}

/// What is kept of a task that has ended.
fn came_of(step: &StepSpec, task: &TaskSeen) -> Option<Tried> {
    let (passed, result) = match &task.state {
        TaskState::Running(_) => return None,
        TaskState::Done(what) => (true, what.clone()),
        TaskState::Failed(why) => (false, why.clone()),
    };
    let (kind, what) = (step.kind().into(), step.tries()?);
    let (since, took, answers) = (task.since, task.took, task.answers.clone());
    Some(Tried { step: task.step, kind, what, since, took, passed, result, answers, dropped: 0 }.trimmed())
}

/// What a task left, for the timeline.
fn evidence(task: &TaskSeen, by: &Text, level: Level) -> impl Iterator<Item = Note> {
    let lines: Vec<Text> = task.answers.iter().flat_map(Answer::said).collect();
    let skip = lines.len().saturating_sub(EVIDENCE);
    lines.into_iter().skip(skip).map(move |what| Note { level, by: by.clone(), what })
}

fn missed(run: &Run, sight: &Sight<'_>) -> Move {
    let advised = run.from.is_some() && run.candidate.spec.deadline.on_fail == OnFail::Advise;
    if !advised && run.ready_by().is_some_and(|by| by <= sight.now) { Move::Miss } else { Move::Nothing }
}

/// Less traffic is never frozen: the share of a rolling replacement still falls with its instances.
fn due_frozen(run: &Run) -> Move {
    if run.batch.is_some() && run.planned() < run.weight { Move::Declare } else { Move::Nothing }
}

fn due_step(run: &Run, sight: &Sight<'_>) -> Move {
    let planned = run.planned();
    if run.weight != planned {
        let settled = planned < run.weight || sight.short(run).is_none();
        if settled && sight.may_raise(run, planned) {
            return Move::Declare;
        }
        return missed(run, sight);
    }
    let tried = tried(run, sight);
    if tried == Some(true) {
        return Move::Tried;
    }
    if sight.short(run).is_some() {
        return missed(run, sight);
    }
    if tried.is_some() {
        return Move::Tried;
    }
    if run.all_done() {
        return Move::Complete;
    }
    if run.between_batches() {
        return next_batch(run, sight).filter(|_| sight.eyes(run)).map_or(Move::Nothing, Move::Batch);
    }
    if step_done(run, sight) && sight.may_raise(run, run.planned_at(run.step + 1)) { Move::Leave } else { Move::Nothing }
}

/// The next batch; `None` while nothing may be taken away or started.
pub(super) fn next_batch(run: &Run, sight: &Sight<'_>) -> Option<Pair> {
    let (pair, bounds, ready) = (run.pair()?, run.bounds()?, sight.ready_pair(run)?);
    Some(bounds.after(pair, ready)).filter(|next| *next != pair)
}

/// Whether the current step's check or warm-up has ended, and whether badly: that must not wait for
/// instances, as going on must.
fn tried(run: &Run, sight: &Sight<'_>) -> Option<bool> {
    let advises = match run.current()? {
        StepSpec::Check(check) => check.on_fail == OnFail::Advise,
        StepSpec::Warm(_) => false,
        _ => return None,
    };
    match &sight.task(run)?.state {
        TaskState::Running(_) => None,
        TaskState::Done(_) => Some(false),
        TaskState::Failed(_) => Some(!advises),
    }
}

/// Whether the current step has what it waits for; that the router and the instances are where they
/// should be is asked before.
pub(super) fn step_done(run: &Run, sight: &Sight<'_>) -> bool {
    match run.current() {
        // A check ends its step by its result, see `tried`.
        Some(StepSpec::Pause(Pause::Manual) | StepSpec::Check(_) | StepSpec::Warm(_) | StepSpec::Native(_)) => false,
        Some(StepSpec::Pause(Pause::For(_))) => run.ends().is_some_and(|end| end <= sight.now),
        Some(StepSpec::Gate(_)) => sight.pending(run).is_empty(),
        Some(StepSpec::Weight(_) | StepSpec::Scale(_)) | None => true,
    }
}
