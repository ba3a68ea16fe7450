//! Towards the candidate: the next step, all of them, or a share set by hand.

use super::{
    Draft,
    facts::{
        all_ready, candidate_weight, change, converged, count, failed_gates, gate_line, instances, is_trial, manual, not_held, not_now,
        not_passed, place, planned, planned_at, running, stopped, thawed, trial_failed, trials_ahead, unsafe_to_leave, weight, weights,
    },
};
use crate::{
    model::{
        action::{Action, Refusal},
        ratio::Weight,
        rollout::Rollout,
        spec::Strategy,
        step::{Gates, StepSpec},
    },
    runtime::Ask,
};

pub fn step(r: &Rollout, ask: &Ask) -> Result<Draft, Refusal> {
    running(r)?;
    thawed(r)?;
    not_held(r)?;
    let mut draft = Draft::default();
    failed_gates(r, ask, &mut draft)?;
    let failed = trial_failed(r);
    if let Some(reason) = stopped(r).filter(|_| failed.is_none()) {
        draft.title = format!("STEP goes on{}", place(r));
        // A reason that was given does not make it a skip.
        draft.action = Some(Action::Step);
        draft.note(format!("held after {reason}; nothing is skipped"));
        draft.weights = weights(r, planned(r).unwrap_or_else(|| candidate_weight(r)));
        return Ok(draft);
    }
    let Some((at, current)) = r.at.and_then(|at| Some((at.index, r.steps.get(at.index)?))) else {
        return Err(not_now("no step is left"));
    };
    let skippable = matches!(current.spec, StepSpec::Gate(_)) || is_trial(&current.spec);
    if ask.action == Action::SkipGate && !skippable {
        return Err(not_now(format!("step {} is no gate: step leaves it", at + 1)));
    }
    let next = planned_at(r, at + 1).unwrap_or_else(|| candidate_weight(r));
    draft.note(match r.steps.get(at + 1) {
        Some(step) => format!("step {} → {} of {} ({})", at + 1, at + 2, r.steps.len(), step.label),
        None => format!("step {} was the last: it completes", at + 1),
    });
    draft.title = match &current.spec {
        StepSpec::Weight(_) | StepSpec::Scale(_) => {
            converged(r)?;
            format!("STEP{}", change(r, next))
        }
        StepSpec::Pause(_) | StepSpec::Native(_) => format!("STEP{}", change(r, next)),
        StepSpec::Check(_) | StepSpec::Warm(_) => leave_untried(r, &current.spec, next, &mut draft),
        StepSpec::Gate(gates) => skip_gates(r, gates, next, &mut draft),
    };
    switches_at_once(r, next, &mut draft);
    draft.weights = weights(r, next);
    Ok(draft)
}

/// A check or a warm-up that has not succeeded: whoever leaves it says why, as with a gate.
fn leave_untried(r: &Rollout, what: &StepSpec, next: Weight, draft: &mut Draft) -> String {
    let name = if matches!(what, StepSpec::Check(_)) { "CHECK" } else { "WARM-UP" };
    draft.needs_reason = true;
    draft.action = Some(Action::SkipGate);
    match trial_failed(r) {
        Some(why) => draft.note(why.clone()),
        None => draft.note(format!("the {} has not ended yet", name.to_lowercase())),
    }
    format!("SKIP {name}{}", change(r, next))
}

/// Gates of this step that neither pass nor fail are skipped, with a reason; so are those that fail both
/// versions, which were warned of already.
fn skip_gates(r: &Rollout, gates: &Gates, next: Weight, draft: &mut Draft) -> String {
    let mut open = not_passed(r, gates);
    draft.notes.extend(open.iter().map(|g| gate_line(r, g)));
    open.extend(r.gates.iter().filter(|g| gates.includes(&g.id) && g.verdict.fails_both()));
    if open.is_empty() {
        return format!("STEP{}", change(r, next));
    }
    draft.action = Some(Action::SkipGate);
    draft.needs_reason = true;
    let names: Vec<String> = open.iter().map(|g| g.id.text().to_string()).collect();
    format!("SKIP GATE {}{}", names.join(", "), change(r, next))
}

/// Said where a strategy has one switch, and this is it.
fn switches_at_once(r: &Rollout, to: Weight, draft: &mut Draft) {
    if r.strategy == Strategy::BlueGreen && to == Weight::FULL && candidate_weight(r) < to {
        draft.note("all traffic switches at once");
    }
}

pub fn promote(r: &Rollout, ask: &Ask) -> Result<Draft, Refusal> {
    if r.phase == crate::model::rollout::Phase::Completed {
        let label = r.stable().map_or_else(Default::default, |t| t.version.label.clone());
        return Err(Refusal::AlreadySo { what: format!("{label} is stable already").into() });
    }
    running(r)?;
    thawed(r)?;
    not_held(r)?;
    let candidate = r.candidate().ok_or_else(|| not_now("there is no candidate"))?;
    let mut draft = Draft::default();
    failed_gates(r, ask, &mut draft)?;
    all_ready(r, candidate)?;
    let left = r.at.map_or(0, |at| r.steps.len().saturating_sub(at.index));
    let by = if r.strategy == Strategy::BlueGreen { " by switch" } else { "" };
    draft.title = format!("PROMOTE {}{by}{}", candidate.version.label, change(r, Weight::FULL));
    let shares = change(r, Weight::FULL).replacen(':', ",", 1);
    draft.note(format!("PROMOTE skips {}{shares}; step = next step only", count(left, "step")));
    let gates = not_passed(r, &Gates::All);
    draft.needs_reason |= !gates.is_empty();
    draft.notes.extend(gates.into_iter().map(|g| gate_line(r, g)));
    trials_ahead(r, &mut draft);
    if let Some(stable) = r.stable() {
        let (_, desired) = instances(stable);
        let label = &stable.version.label;
        match r.strategy {
            Strategy::Canary | Strategy::BlueGreen => {
                draft.note(format!(
                    "{} of {label} {} warm for the way back",
                    count(desired as usize, "instance"),
                    if desired == 1 { "stays" } else { "stay" }
                ));
            }
            Strategy::Rolling => {
                draft.note("the remaining instances are replaced batch by batch");
                draft.note(format!("nothing of {label} stays warm: the way back is a re-deploy then"));
            }
            Strategy::Recreate => draft.note(format!("nothing of {label} is left: the way back is a re-deploy")),
        }
    }
    switches_at_once(r, Weight::FULL, &mut draft);
    draft.weights = weights(r, Weight::FULL);
    Ok(draft)
}

pub fn set_weight(r: &Rollout, to: Weight, ask: &Ask) -> Result<Draft, Refusal> {
    running(r)?;
    let candidate = r.candidate().ok_or_else(|| not_now("there is no candidate"))?;
    match r.strategy {
        Strategy::BlueGreen if to > weight(candidate) && to < Weight::FULL => {
            return Err(not_now("blue-green switches all traffic at once: step goes on, promote switches now"));
        }
        Strategy::Canary | Strategy::BlueGreen => {}
        Strategy::Rolling => return Err(not_now("the share follows the instances that are replaced: it cannot be set")),
        Strategy::Recreate => return Err(not_now("only one version runs at a time: there is no traffic to share")),
    }
    let (mut draft, now, held) = (Draft::default(), weight(candidate), manual(r));
    if let Some(held) = held.as_ref().filter(|h| h.weight == Some(to) && now == to) {
        return Err(Refusal::AlreadySo { what: format!("already {}", held.text()).into() });
    }
    if to > now {
        thawed(r)?;
        // A share set by hand may be set again by hand; a pause must be lifted first.
        if let Some(paused) = held.filter(|h| h.weight.is_none()) {
            return Err(paused.refusal());
        }
        failed_gates(r, ask, &mut draft)?;
        converged(r)?;
        let gates = not_passed(r, &Gates::All);
        draft.needs_reason |= !gates.is_empty();
        draft.notes.extend(gates.into_iter().map(|g| gate_line(r, g)));
        trials_ahead(r, &mut draft);
    } else if to < now {
        draft.warns.extend(unsafe_to_leave(&candidate.version));
    }
    draft.title = format!("WEIGHT{} and hold there", change(r, to));
    let then = planned(r).map_or_else(String::new, |w| format!(", at {w}"));
    draft.notes.insert(0, format!("resume goes on from the current step{then}").into());
    draft.weights = weights(r, to);
    Ok(draft)
}
