//! Holding a rollout and letting it go: pause and resume of one run, freeze and thaw of the line.

use super::{
    Draft,
    facts::{
        at_step, candidate_weight, change, frozen, in_force, manual, moment, not_now, place, planned, running, stopped, unmoved, weights,
    },
};
use crate::model::{
    action::Refusal,
    rollout::{Phase, Rollout},
    step::StepSpec,
    text::Text,
    time::Time,
};

pub fn pause(r: &Rollout) -> Result<Draft, Refusal> {
    running(r)?;
    if let Some(held) = manual(r) {
        return Err(Refusal::AlreadySo { what: format!("already {}", held.text()).into() });
    }
    let mut draft = Draft { title: format!("PAUSE{}", place(r)), weights: unmoved(r), ..Draft::default() };
    draft.note("nothing moves by itself until it is resumed; a gate may still revert");
    Ok(draft)
}

pub fn resume(r: &Rollout) -> Result<Draft, Refusal> {
    running(r)?;
    let Some(held) = manual(r) else {
        let instead = match r.at.and_then(|at| r.steps.get(at.index)).map(|s| &s.spec) {
            _ if stopped(r).is_some() => "step goes on",
            Some(StepSpec::Gate(_)) => "step skips the gate",
            Some(StepSpec::Check(_)) => "step skips the check",
            Some(StepSpec::Pause(_)) => "step ends the pause",
            _ => "it moves by itself",
        };
        return Err(not_now(format!("nothing paused by hand; {instead}")));
    };
    let to = planned(r).unwrap_or_else(|| candidate_weight(r));
    let mut draft = Draft { title: format!("RESUME{}{}, {}", change(r, to), at_step(r), held.text()), ..Draft::default() };
    if let Some(freeze) = in_force(r) {
        draft.warn(format!("it stays frozen {}", frozen(freeze)));
    }
    draft.weights = weights(r, to);
    Ok(draft)
}

pub fn freeze(r: &Rollout, until: Option<Time>, reason: Option<&Text>) -> Result<Draft, Refusal> {
    let now = r.seen.server_time;
    if let Some(until) = until.filter(|until| *until <= now) {
        return Err(not_now(format!("{} has passed already (it is {} there)", moment(until, now), now.format("%H:%M"))));
    }
    let before = in_force(r);
    if let Some(same) = before.filter(|f| f.until == until && reason.is_none_or(|r| *r == f.reason)) {
        return Err(Refusal::AlreadySo { what: format!("already frozen {}", frozen(same)).into() });
    }
    let end = until.map_or_else(|| "until it is lifted".to_owned(), |until| format!("until {}", moment(until, now)));
    let mut draft = Draft { title: format!("FREEZE {} {end}", r.key.service.text()), needs_reason: true, ..Draft::default() };
    draft.note("no deploy, step, promotion or undo, and no more traffic for a candidate");
    draft.note("pausing and the way back stay open");
    if matches!(r.phase, Phase::Progressing | Phase::Held) {
        draft.note(format!("the run stays{}", place(r)));
    }
    if let Some(before) = before {
        draft.warn(format!("it replaces the freeze {}", frozen(before)));
    }
    draft.weights = unmoved(r);
    Ok(draft)
}

pub fn thaw(r: &Rollout) -> Result<Draft, Refusal> {
    let Some(freeze) = in_force(r) else {
        return Err(Refusal::AlreadySo { what: format!("{} is not frozen", r.key.service.text()).into() });
    };
    let mut draft = Draft { title: format!("THAW {}, frozen {}", r.key.service.text(), frozen(freeze)), ..Draft::default() };
    if matches!(r.phase, Phase::Progressing | Phase::Held) {
        draft.note(format!("the plan goes on{}, unless something else holds it", place(r)));
    }
    draft.weights = unmoved(r);
    Ok(draft)
}
