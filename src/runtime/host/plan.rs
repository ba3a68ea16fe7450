//! From a rollout and a wish to the one call that carries it out, or to the reason why not. Pure.
//!
//! One file for the verbs that belong together. The host decides again with its own facts; what is
//! refused here is refused before anyone confirms it. A sentence that a person reads names verbs and no
//! keys: it is printed by the command line and drawn by the console, where keys can be bound anew.

mod again;
mod back;
mod facts;
mod forward;
mod hold;
mod taint;

use crate::{
    model::{
        action::{Action, Belief, Call, Fact, Guard, Plan, Refusal, Shift},
        ident::VersionId,
        rollout::Rollout,
        text::{Raw, Text},
        wire::ActionRequest,
    },
    runtime::Ask,
};
use std::time::Duration;

/// Where every action goes.
const PATH: &str = "/v1/actions";

/// See [`Runtime::plan`](crate::runtime::Runtime::plan).
///
/// # Errors
/// The refusal, complete enough to be shown.
pub fn plan(rollout: &Rollout, ask: &Ask) -> Result<Plan, Refusal> {
    if ask.force && ask.reason.is_none() {
        return Err(facts::not_now("overriding a gate needs a reason"));
    }
    let draft = match &ask.action {
        Action::Back { to } => back::back(rollout, to, ask.switch_only),
        Action::Pause => hold::pause(rollout),
        Action::Resume => hold::resume(rollout),
        Action::Freeze { until } => hold::freeze(rollout, *until, ask.reason.as_ref()),
        Action::Thaw => hold::thaw(rollout),
        Action::Step | Action::SkipGate => forward::step(rollout, ask),
        Action::Promote => forward::promote(rollout, ask),
        Action::SetWeight { weight } => forward::set_weight(rollout, *weight, ask),
        Action::Retry => again::retry(rollout),
        Action::Undo { to } => again::undo(rollout, to),
        Action::Taint { version } => taint::taint(rollout, version),
    }?;
    Ok(draft.finish(rollout, ask))
}

/// What the verbs differ in.
#[derive(Default)]
struct Draft {
    title: String,
    /// If it is not the one that was asked for.
    action: Option<Action>,
    weights: Vec<Shift>,
    notes: Vec<Text>,
    warns: Vec<Text>,
    takes: Option<Duration>,
    needs_reason: bool,
}

impl Draft {
    fn note(&mut self, note: impl Into<Text>) {
        self.notes.push(note.into());
    }

    fn warn(&mut self, warn: impl Into<Text>) {
        self.warns.push(warn.into());
    }

    fn finish(self, rollout: &Rollout, ask: &Ask) -> Plan {
        let action = self.action.unwrap_or_else(|| ask.action.clone());
        let belief = belief(rollout);
        let request = ActionRequest {
            id: ask.id.clone(),
            action: action.clone(),
            belief: belief.clone(),
            name: ask.name.clone(),
            reason: ask.reason.clone(),
            force: ask.force,
            switch_only: ask.switch_only,
        };
        let call = Call {
            verb: "POST".into(),
            path: Raw::new(PATH),
            body: serde_json::to_value(&request).unwrap_or_default(),
            guard: Guard::Facts(guarded(&belief, &action)),
            repeatable: true, // the host knows an action by its id
        };
        Plan {
            action,
            id: ask.id.clone(),
            belief,
            title: self.title.into(),
            calls: vec![call],
            weights: self.weights,
            notes: self.notes,
            warns: self.warns,
            takes: self.takes,
            needs_reason: self.needs_reason,
        }
    }
}

fn belief(rollout: &Rollout) -> Belief {
    Belief {
        key: rollout.key.clone(),
        run: rollout.run.clone(),
        rev: rollout.seen.rev,
        at: rollout.at.map(|at| at.index),
        stable: rollout.stable().map(|t| t.version.id.clone()),
        candidate: rollout.candidate().map(|t| t.version.id.clone()),
    }
}

/// What the host compares. The way back believes only in the run and in where it goes; a freeze and a
/// taint are true of the service and of a version whatever else moved.
fn guarded(belief: &Belief, action: &Action) -> Vec<Fact> {
    let fact = |name: &str, is: Option<Raw>| is.map(|is| Fact { name: name.into(), is });
    let run = fact("run", belief.run.as_ref().map(|r| r.0.clone()));
    let version = |v: &Option<VersionId>| v.as_ref().map(|v| v.0.clone());
    let to = match action {
        Action::Back { to } => return run.into_iter().chain(fact("to", Some(to.0.clone()))).collect(),
        Action::Freeze { .. } | Action::Thaw => return Vec::new(),
        Action::Taint { version } => return fact("version", Some(version.0.clone())).into_iter().collect(),
        Action::Undo { to } => Some(to.0.clone()),
        _ => None,
    };
    [
        run,
        fact("step", belief.at.map(|at| Raw::new(at.to_string()))),
        fact("stable", version(&belief.stable)),
        fact("candidate", version(&belief.candidate)),
        fact("to", to),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
pub(crate) mod tests;
