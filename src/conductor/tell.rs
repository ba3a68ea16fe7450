//! What is said of a run: its phase, what holds it, what happens next and by whom, the way back.
//! The screen shows these values and computes none of them.

use super::{
    freeze::freeze_text,
    life::{Cause, Deployed, Life, Observed, Returning, Run, RunState, TaskState},
    plan::label,
    sight::{Pending, Sight},
};
use crate::model::{
    action::Action,
    back::How,
    gate::{GateState, Verdict},
    ratio::Weight,
    rollout::{Attention, Hold, Next, Phase},
    spec::OnFail,
    step::{Pause, Step, StepAt, StepSpec},
    text::Text,
    time::{Time, after},
};

/// The conductor's part of a [`Rollout`](crate::model::rollout::Rollout).
#[derive(Clone, PartialEq, Debug)]
pub struct Telling {
    /// Where it is in its life. What waits only for time or for requests still progresses.
    pub phase: Phase,
    /// Why it is there, in one line.
    pub reason: Option<Text>,
    /// Everything that keeps it from moving, worst first.
    pub holds: Vec<Hold>,
    /// Whether a person is waited for, and since when.
    pub attention: Option<Attention>,
    /// The plan; empty for a first deploy.
    pub steps: Vec<Step>,
    /// The current step, while there is one.
    pub at: Option<StepAt>,
    /// What happens next; the time that is left is `next.at`.
    pub next: Next,
    /// How the way back goes.
    pub how: How,
    /// Where the way back goes, or went.
    pub to: Option<Deployed>,
    /// What starts by itself once it is back, unless somebody wants to be back.
    pub then: Option<Text>,
}

impl Life {
    /// Says everything that the conductor knows.
    #[must_use]
    pub fn view(&self, seen: &Observed, gates: &[GateState], now: Time) -> Telling {
        let sight = Sight { seen, gates, now };
        let run = self.run.as_ref();
        let holds = self.holds(&sight);
        Telling {
            phase: phase(run, &holds, &sight),
            reason: self.reason(),
            attention: self.attention(&sight),
            steps: run.map(steps).unwrap_or_default(),
            at: run.and_then(|r| {
                let ends = if r.is_held() { None } else { r.ends() };
                r.at().map(|index| StepAt { index, since: r.step_since, ends })
            }),
            next: run.map_or_else(|| next("nothing is deployed", None, NOBODY), |r| self.next(r, &sight)),
            how: self.how(seen),
            to: self.goes_to(seen).cloned(),
            then: run.and_then(|r| r.then.as_ref()).map(|t| t.candidate.label.clone()),
            holds,
        }
    }

    fn reason(&self) -> Option<Text> {
        let run = self.run.as_ref()?;
        match &run.state {
            RunState::Failed { why } => Some(why.clone()),
            RunState::Reverting { by, .. } | RunState::Reverted { by, .. } => {
                let last = self.last.as_ref().filter(|l| matches!(l.action, Action::Back { .. }));
                Some(last.map_or_else(|| format!("by {by}").into(), |l| l.effect.clone()))
            }
            RunState::Starting | RunState::Stepping => {
                let stopped = run.stopped.as_ref().map(|s| s.why.clone());
                stopped.or_else(|| run.manual.as_ref().map(|m| m.text().into()))
            }
            RunState::Completed { .. } => {
                let gates: Vec<_> = run.bad.iter().map(|g| g.text().to_string()).collect();
                (!gates.is_empty()).then(|| format!("fails while it bakes: {}", gates.join(", ")).into())
            }
        }
    }

    fn holds(&self, sight: &Sight<'_>) -> Vec<Hold> {
        let Some(run) = &self.run else { return Vec::new() };
        let mut holds = holds(run, sight);
        if let Some(f) = self.frozen.as_ref().filter(|_| run.is_moving() || run.then.is_some()) {
            // After what fails: a freeze is meant, a failure is not.
            let at = sight.failing(run).count().min(holds.len());
            holds.insert(at, Hold::Freeze { by: f.by.clone(), since: f.since, until: f.until, reason: f.reason.clone() });
        }
        holds
    }

    fn attention(&self, sight: &Sight<'_>) -> Option<Attention> {
        let run = self.run.as_ref()?;
        let some = |kind: &str, since: Time| Some(Attention { kind: kind.into(), since });
        let waits = run.is_moving() || run.then.is_some();
        if let Some(known) = attention(run, sight) {
            return Some(known);
        }
        if let Some(freeze) = self.frozen.as_ref().filter(|_| waits) {
            return some("waiting", freeze.since);
        }
        match (&run.state, self.baking()) {
            (RunState::Completed { .. } | RunState::Reverted { .. }, Some(_)) if run.bad_since.is_some() => {
                some("failing", run.bad_since.unwrap_or(sight.now))
            }
            (RunState::Completed { at }, Some(_)) => some("baking", *at),
            _ => None,
        }
    }

    fn next(&self, run: &Run, sight: &Sight<'_>) -> Next {
        match &run.state {
            RunState::Reverting { .. } => self.next_back(run, sight),
            RunState::Reverted { .. } => match (&run.then, &self.frozen) {
                (Some(then), Some(freeze)) => {
                    let label = &then.candidate.label;
                    next(format!("{label} when the freeze is over, R calls it off: {}", freeze_text(freeze)), freeze.until, PERSON)
                }
                (Some(then), None) => next(format!("{} starts", then.candidate.label), None, PLAN),
                (None, freeze) => {
                    let retry = once_thawed(freeze.is_some(), &format!("t retries {}", run.candidate.label));
                    next(format!("nothing by itself; {retry}"), None, PERSON)
                }
            },
            RunState::Failed { .. } => {
                let retry = once_thawed(self.frozen.is_some(), "t retries");
                next(format!("100 % if it gets ready after all; {retry}"), None, PLAN)
            }
            RunState::Completed { .. } => match (&self.warm, self.baking()) {
                (Some(warm), Some((stable, _))) if self.fails_baking() => {
                    let (old, new) = (&warm.deployed.label, &stable.label);
                    next(format!("{old} stays warm while {new} fails; R goes back to it"), None, PERSON)
                }
                (Some(warm), _) => next(format!("{} is torn down", warm.deployed.label), Some(warm.until), PLAN),
                (None, Some((stable, _))) if run.bad.is_empty() => {
                    if let Some(gate) = self.bakes_unseen(sight.gates) {
                        let what = format!("{} bakes on once gate {} sees again", stable.label, gate.id.text());
                        return next(what, None, PLAN);
                    }
                    next(format!("{} is good if no gate fails", stable.label), self.record(&stable.id).due, PLAN)
                }
                (None, Some((stable, _))) => next(format!("{} bakes anew once its gates pass; R goes back", stable.label), None, PERSON),
                (None, None) => next("nothing", None, NOBODY),
            },
            RunState::Starting | RunState::Stepping if !run.ending.is_empty() && !run.is_held() && self.frozen.is_none() => {
                let old = self.stable.as_ref().map(|s| s.label.clone()).unwrap_or_default();
                next(format!("{old} ends, then {} starts: the service is away", run.candidate.label), None, PLAN)
            }
            RunState::Starting | RunState::Stepping if self.frozen.is_some() && !run.is_held() => self.next_frozen(),
            RunState::Starting | RunState::Stepping => run.next(sight, self.frozen.is_some()),
        }
    }
}

impl Life {
    fn next_frozen(&self) -> Next {
        let Some(freeze) = &self.frozen else { return next("nothing", None, NOBODY) };
        match freeze.until {
            Some(until) => next(format!("the freeze by {} ends: nothing moves forward before", freeze.by), Some(until), PLAN),
            None => next(format!("frozen by {} until somebody thaws it: nothing moves forward", freeze.by), None, PERSON),
        }
    }

    /// What a way back still waits for.
    fn next_back(&self, run: &Run, sight: &Sight<'_>) -> Next {
        let left = &run.candidate.label;
        let then = run.then.as_ref().map(|t| format!(", then {} starts; R calls it off", t.candidate.label)).unwrap_or_default();
        let Some(back) = &run.returning else {
            if run.weight == Weight::ZERO {
                return next(format!("the router takes the canary to 0 %{then}"), None, PLAN);
            }
            return next(format!("{left} keeps {} until the old instances are ready again{then}", run.weight), None, PLAN);
        };
        let Returning { to, .. } = back;
        if !back.ending.is_empty() {
            return next(format!("{left} ends, then {} starts: the service is away{then}", to.label), None, PLAN);
        }
        if back.serves {
            return next(format!("the router gives {} all the traffic{then}", to.label), None, PLAN);
        }
        let meanwhile = if back.alone { "the service is away".to_owned() } else { format!("{left} keeps serving") };
        let ready = sight.ready_of_text(to);
        if back.missed {
            let elsewhere = self.route(&sight.seen.gone).map_or(then, |r| format!("; R goes to {}", r.to().label));
            return next(format!("held: {} {ready}, {meanwhile}{elsewhere}", to.label), None, PERSON);
        }
        next(format!("all traffic to {} when it is ready: {ready}; {meanwhile}{then}", to.label), None, PLAN)
    }
}

const PLAN: &str = "plan";
const PERSON: &str = "a person";
const NOBODY: &str = "nobody";

/// What a person can do, unless a freeze refuses it until it is over.
fn once_thawed(frozen: bool, what: &str) -> String {
    if frozen { format!("{what} once thawed") } else { what.to_owned() }
}

/// Where every gate that fails says that stable is sick too: it must fit beside its label in 80 columns.
fn both_text(frozen: bool) -> String {
    format!("stable is sick too: going back does not help; {}", once_thawed(frozen, "s goes on with a reason"))
}

fn next(what: impl Into<Text>, at: Option<Time>, by: &str) -> Next {
    Next { what: what.into(), at, by: by.into() }
}

impl Run {
    fn next(&self, sight: &Sight<'_>, frozen: bool) -> Next {
        if let Some(held) = self.next_held(sight, frozen) {
            return held;
        }
        let raised = self.planned_at(self.step + 1);
        let last = if self.batch.is_some() && self.step + 1 >= self.plan().len() && !self.replaced() {
            "the next batch".to_owned()
        } else if self.step + 1 >= self.plan().len() {
            format!("100 %, then {} is stable", self.candidate.label)
        } else {
            self.ahead().to_string()
        };
        if self.state == RunState::Starting {
            let away = if self.alone() { "; the service is away" } else { "" };
            return next(format!("{} when all are ready: {}{away}", label(self, 0), sight.ready_text(self)), None, PLAN);
        }
        if let Some(short) = sight.short(self) {
            let what = if self.all_done() { "promotion".into() } else { last };
            return if self.converged.is_some() && !sight.all_ready(self) && self.behind(sight) {
                next(format!("held: {short}"), None, PLAN)
            } else {
                next(format!("{what} when it is settled: {short}"), None, PLAN)
            };
        }
        if self.weight != self.planned() {
            return self.blind_next(sight).unwrap_or_else(|| next(self.planned().to_string(), None, PLAN));
        }
        match self.current() {
            None if self.between_batches() => self.blind_next(sight).unwrap_or_else(|| next("the next batch", None, PLAN)),
            None => next(format!("{} is stable", self.candidate.label), None, PLAN),
            Some(step @ (StepSpec::Check(_) | StepSpec::Warm(_))) => {
                let how = match sight.task(self).map(|t| &t.state) {
                    Some(TaskState::Running(what) | TaskState::Done(what) | TaskState::Failed(what)) => format!(": {what}"),
                    None => String::new(),
                };
                next(format!("{last} when the {} works{how}", step.kind()), None, PLAN)
            }
            Some(StepSpec::Pause(Pause::Manual)) => next(format!("paused by the plan: s goes on to {last}"), None, PERSON),
            Some(StepSpec::Gate(_)) if !sight.pending(self).is_empty() && sight.fails_both(self) => next(both_text(false), None, PERSON),
            Some(StepSpec::Gate(_)) if !sight.pending(self).is_empty() => gate_next(&sight.pending(self), &last, sight.now),
            _ if !sight.may_raise(self, raised) && self.ends().is_none_or(|end| end <= sight.now) => {
                self.blind_next(sight).unwrap_or_else(|| next(last, None, PLAN))
            }
            _ => next(last, self.ends(), PLAN),
        }
    }

    /// Whether it lags behind what it was, and not because a step or a batch just asked for more: that has
    /// as long as a start has.
    fn behind(&self, sight: &Sight<'_>) -> bool {
        let starts = self.batch.as_ref().is_some_and(|b| !b.ready) || matches!(self.current(), Some(StepSpec::Scale(_)));
        let more = starts || self.instances_at(self.step) > sight.ready(self).0 && self.weight != self.planned();
        let late = self.short.is_some_and(|since| sight.now >= after(since, self.candidate.spec.deadline.ready));
        // A step that asks for more may begin in the moment in which the last one converged.
        let lost = self.converged.is_some_and(|at| self.short.is_some_and(|s| s > at));
        if more { late && self.converged.is_some() } else { lost }
    }

    /// Whether every instance is replaced.
    fn replaced(&self) -> bool {
        self.pair().zip(self.bounds()).is_none_or(|(pair, bounds)| bounds.done(pair))
    }

    /// What a person is waited for, if one is.
    fn next_held(&self, sight: &Sight<'_>, frozen: bool) -> Option<Next> {
        let can = |what: &str| once_thawed(frozen, what);
        if let Some(manual) = &self.manual {
            // The brakes work in a pause too: whoever paused must know.
            let armed =
                self.candidate.spec.gates.iter().any(|g| g.on_fail() == OnFail::Revert) && self.traffic.is_some() && self.from.is_some();
            let armed = if armed { "; gates still go back" } else { "" };
            return Some(next(format!("{}: c resumes{armed}", manual.text()), None, PERSON));
        }
        let stopped = self.stopped.as_ref()?;
        let what = match (stopped.cause, &stopped.gate) {
            (Cause::Gate, Some(_)) if sight.fails_both(self) => both_text(frozen),
            (Cause::Gate, Some(_)) if let Some(gate) = sight.still_stopped(self) => {
                format!("held by gate {}: nothing moves by itself", gate.text())
            }
            (Cause::Gate, Some(gate)) => format!("gate {} passes again: {}", gate.text(), can("s goes on")),
            (Cause::Deadline, _) if !sight.all_ready(self) => {
                let helps = if self.failed_untouched() { can("t retries") } else { "R goes back".to_owned() };
                format!("held: {}; {helps}", stopped.why)
            }
            // What came of it is the reason of the hold; here stands what can be done, which must not be cut.
            (Cause::Check, _) => {
                let kind = self.current().map_or("check", StepSpec::kind);
                format!("held: the {kind} failed; {}", can("t starts over, s leaves it with a reason"))
            }
            (Cause::Deadline | Cause::Gate, _) => format!("held: {}; {}", stopped.why, can("s goes on")),
            (Cause::Restart, _) => format!("held after {}: {}", stopped.why, can(&format!("s goes on from {}", self.place()))),
        };
        Some(next(what, None, PERSON))
    }

    fn blind_next(&self, sight: &Sight<'_>) -> Option<Next> {
        let gate = sight.failing(self).chain(sight.blind(self)).next()?;
        if let Verdict::Wait { missing, .. } = &gate.verdict {
            return Some(next(format!("held by gate {}: {missing}", gate.id.text()), None, PLAN));
        }
        if sight.fails_both(self) {
            return Some(next(both_text(false), None, PERSON));
        }
        let what = format!("held by gate {} {}: nothing moves by itself", gate.id.text(), gate.verdict.word());
        Some(next(what, None, PERSON))
    }
}

fn gate_next(pending: &[Pending], last: &str, now: Time) -> Next {
    let stuck = pending.iter().find(|p| p.word != "WAIT");
    if let Some(gate) = stuck {
        return next(format!("held by gate {} {}: nothing moves by itself", gate.gate.text(), gate.word), None, PERSON);
    }
    if let Some(gate) = pending.iter().find(|p| p.worse) {
        return next(format!("held by gate {}: {}", gate.gate.text(), gate.reason), None, PLAN);
    }
    // All must pass, so the last of them tells the time and what it lacks; one that cannot tell may be the last.
    let slowest = pending.iter().rev().max_by_key(|p| p.eta.unwrap_or(std::time::Duration::MAX));
    let Some(Pending { gate, reason, eta, .. }) = slowest else { return next(last, None, PLAN) };
    let gates = match pending.len() {
        1 => format!("gate {} passes", gate.text()),
        n => format!("{n} gates pass, last {}", gate.text()),
    };
    next(format!("{last} when {gates}: {reason}"), eta.map(|eta| after(now, eta)), PLAN)
}

fn steps(run: &Run) -> Vec<Step> {
    run.plan().iter().enumerate().map(|(i, spec)| Step { spec: spec.clone(), label: label(run, i) }).collect()
}

fn phase(run: Option<&Run>, holds: &[Hold], sight: &Sight<'_>) -> Phase {
    let Some(run) = run else { return Phase::Idle };
    match run.state {
        RunState::Reverting { .. } => Phase::Reverting,
        RunState::Reverted { .. } => Phase::Reverted,
        RunState::Completed { .. } => Phase::Completed,
        RunState::Failed { .. } => Phase::Failed,
        RunState::Starting | RunState::Stepping => {
            let waits = |hold: &Hold| match hold {
                Hold::Manual { .. }
                | Hold::Stopped { .. }
                | Hold::Freeze { .. }
                | Hold::Inconclusive { .. }
                | Hold::Step { until: None, .. } => true,
                Hold::Step { .. } => false,
                // Requests that are still to come will tell.
                Hold::Gate { gate, .. } => !sight.pending(run).iter().any(|p| p.gate == *gate && p.word == "WAIT"),
                // On the way to a weight it is part of the step; afterwards it is a loss.
                Hold::Backend { .. } => run.state == RunState::Stepping && run.behind(sight),
            };
            if run.is_held() || holds.iter().any(waits) { Phase::Held } else { Phase::Progressing }
        }
    }
}

/// Worst first: gates that fail, people, a run that stopped, instances, gates that wait, pauses.
fn holds(run: &Run, sight: &Sight<'_>) -> Vec<Hold> {
    if !run.is_moving() {
        return Vec::new();
    }
    let mut holds: Vec<Hold> = Vec::new();
    let stopped = run.stopped.as_ref();
    for gate in sight.failing(run) {
        holds.push(Hold::Gate { gate: gate.id.clone(), since: gate.since, reason: format!("FAIL {}", gate.verdict.reason()).into() });
    }
    if let Some((stop, gate)) = stopped.and_then(|s| s.gate.as_ref().map(|g| (s, g)))
        && !names(&holds, gate)
    {
        holds.push(Hold::Gate { gate: gate.clone(), since: stop.since, reason: stop.why.clone() });
    }
    if let Some(manual) = &run.manual {
        holds.push(Hold::Manual { by: manual.by.clone(), since: manual.since, weight: manual.weight });
    }
    if let Some(stop) = stopped.filter(|s| s.gate.is_none()) {
        holds.push(Hold::Stopped { since: stop.since, reason: stop.why.clone() });
    }
    if let Some(reason) = sight.short(run).filter(|_| stopped.is_none_or(|s| s.cause != Cause::Deadline)) {
        holds.push(Hold::Backend { since: run.short.unwrap_or(run.step_since), reason });
    }
    for gate in blocking_blind(run, sight) {
        if !names(&holds, &gate.id) {
            holds.push(Hold::Gate {
                gate: gate.id.clone(),
                since: gate.since,
                reason: format!("{} {}", gate.verdict.word(), gate.verdict.reason()).into(),
            });
        }
    }
    if run.state == RunState::Stepping {
        for gate in sight.pending(run) {
            if !names(&holds, &gate.gate) {
                holds.push(Hold::Gate { gate: gate.gate, since: gate.since, reason: format!("{} {}", gate.word, gate.reason).into() });
            }
        }
        match run.current() {
            Some(StepSpec::Pause(Pause::Manual)) => holds.push(Hold::Step { since: run.step_since, until: None }),
            Some(StepSpec::Pause(Pause::For(_))) if run.ends().is_some_and(|end| end > sight.now) => {
                let until = if run.is_held() { None } else { run.ends() };
                holds.push(Hold::Step { since: run.step_since, until });
            }
            _ => {}
        }
    }
    holds
}

fn names(holds: &[Hold], id: &crate::model::ident::GateId) -> bool {
    holds.iter().any(|h| matches!(h, Hold::Gate { gate, .. } if gate == id))
}

/// Gates that cannot see, where more traffic is due.
fn blocking_blind<'a>(run: &Run, sight: &Sight<'a>) -> Vec<&'a GateState> {
    let due = run.weight != run.planned() || super::advance::step_done(run, sight);
    let to = if run.weight == run.planned() { run.planned_at(run.step + 1) } else { run.planned() };
    if due && !run.all_done() && to > run.weight { sight.blind(run).collect() } else { Vec::new() }
}

fn attention(run: &Run, sight: &Sight<'_>) -> Option<Attention> {
    let some = |kind: &str, since: Time| Some(Attention { kind: kind.into(), since });
    if matches!(run.state, RunState::Failed { .. }) {
        return some("failing", run.step_since);
    }
    if let Some(back) = run.returning.as_ref().filter(|b| b.missed) {
        return some("stuck", after(back.since, back.to.spec.deadline.ready));
    }
    if !run.is_moving() {
        return None;
    }
    match &run.stopped {
        Some(stopped) if stopped.cause == Cause::Gate => return some("failing", run.bad_since.unwrap_or(stopped.since)),
        Some(stopped) if stopped.cause == Cause::Check => return some("failing", stopped.since),
        Some(stopped) if stopped.cause == Cause::Deadline => return some("stuck", stopped.since),
        _ => {}
    }
    if sight.failing(run).next().is_some() {
        return some("failing", run.bad_since.unwrap_or(sight.now));
    }
    if let Some(since) = run.manual.as_ref().map(|m| m.since).or_else(|| run.stopped.as_ref().map(|s| s.since)) {
        return some("waiting", since);
    }
    if let Some(short) = run.short.filter(|_| run.behind(sight)) {
        return some("stuck", short);
    }
    if run.state == RunState::Starting {
        return run.ready_by().filter(|by| *by <= sight.now).and_then(|by| some("stuck", by));
    }
    if let Some(gate) = blocking_blind(run, sight).first() {
        return some("stuck", gate.since);
    }
    if let Some(gate) = sight.pending(run).iter().find(|p| p.word != "WAIT") {
        return some("stuck", gate.since);
    }
    matches!(run.current(), Some(StepSpec::Pause(Pause::Manual))).then(|| Attention { kind: "waiting".into(), since: run.step_since })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ident::GateId;

    #[test]
    fn the_gate_that_passes_last_tells_its_time_and_what_it_lacks() {
        let now = Time::UNIX_EPOCH;
        let gate = |name: &str, reason: &str, eta: Option<u64>| Pending {
            gate: GateId::new(name),
            word: "WAIT",
            reason: reason.into(),
            worse: false,
            since: now,
            eta: eta.map(std::time::Duration::from_secs),
        };
        let said = |pending: &[Pending]| {
            let Next { what, at, .. } = gate_next(pending, "25 %", now);
            (what.to_string(), at.map(|at| (at - now).num_seconds()))
        };
        let (errors, restarts) = (|| gate("errors", "391 more requests", Some(120)), || gate("restarts", "888 more minutes", Some(9_000)));
        assert_eq!(said(&[errors()]), ("25 % when gate errors passes: 391 more requests".into(), Some(120)));
        let both = ("25 % when 2 gates pass, last restarts: 888 more minutes".into(), Some(9_000));
        assert_eq!(said(&[errors(), restarts()]), both);
        assert_eq!(said(&[restarts(), errors()]), both, "in whatever order");
        let open = gate("slow", "no traffic yet", None);
        let worse = Pending { worse: true, ..gate("slowness", "worse 29:1, fails at 100:1", Some(60)) };
        assert_eq!(said(&[errors(), worse]), ("held by gate slowness: worse 29:1, fails at 100:1".into(), None), "no time is promised");
        assert_eq!(said(&[errors(), open, restarts()]), ("25 % when 3 gates pass, last slow: no traffic yet".into(), None));
    }
}
