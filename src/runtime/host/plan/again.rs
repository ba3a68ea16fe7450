//! What was deployed before, once more: the same candidate, or an older version.

use super::{
    Draft,
    facts::{
        candidate_weight, could_be_deployed, not_held, not_now, remembered, running, spoken_against, standing, stopped, thawed,
        trial_failed, unsafe_to_leave, weights,
    },
};
use crate::model::{
    action::{Refusal, Shift},
    back::How,
    ident::VersionId,
    ratio::Weight,
    rollout::{Known, Phase, Rollout},
    spec::Strategy,
};

pub fn retry(r: &Rollout) -> Result<Draft, Refusal> {
    let failed = failed_without_traffic(r);
    match &r.phase {
        Phase::Held if failed => not_held(r)?,
        Phase::Reverted | Phase::Failed => {}
        Phase::Completed => return Err(not_now("the run is completed: there is nothing to try again")),
        Phase::Progressing | Phase::Held => return Err(not_now("the run goes on; revert goes back first")),
        _ => {
            running(r)?;
        }
    }
    thawed(r)?;
    let left = r.candidate().map(|t| &t.version).or_else(|| r.proof.as_ref().map(|p| &p.left));
    let label = left.map_or_else(|| "the candidate".into(), |v| v.label.clone());
    if left.and_then(|v| r.known(&v.id)).is_some_and(|known| !known.available) {
        return Err(not_now(format!("the artifact of {label} is not in the store any more: deploy it from where it is")));
    }
    let mut draft = Draft { title: format!("RETRY {label} from step 1"), ..Draft::default() };
    draft.notes.extend(trial_failed(r).filter(|_| failed).cloned());
    draft.note("fresh instances; no traffic before they are ready");
    if r.strategy == Strategy::Recreate && failed {
        draft.warn(format!("nothing serves in between: {label} ends before the new instances start"));
    } else {
        nothing_in_between(r, &mut draft);
    }
    draft.warns.extend(left.and_then(|v| r.known(&v.id)).and_then(spoken_against));
    draft.weights = weights(r, Weight::ZERO);
    Ok(draft)
}

/// Whether it stopped because the candidate was not ready in time or failed a check or a warm-up, and nothing
/// serves from it: it is started over without going back first.
fn failed_without_traffic(r: &Rollout) -> bool {
    let late = stopped(r).is_some() && r.attention.as_ref().is_some_and(|a| a.kind.as_str() == "stuck");
    (late || trial_failed(r).is_some()) && candidate_weight(r) == Weight::ZERO
}

pub fn undo(r: &Rollout, to: &VersionId) -> Result<Draft, Refusal> {
    let known = remembered(r, to)?;
    let label = &known.version.label;
    let stable = r.stable().filter(|_| !matches!(r.phase, Phase::Progressing | Phase::Held));
    match &r.phase {
        _ if stable.is_some_and(|t| t.version.id == *to) => {
            return Err(Refusal::AlreadySo { what: format!("{label} has all the traffic already").into() });
        }
        Phase::Completed | Phase::Reverted | Phase::Failed => {}
        // A slow way back that does not get there is no reason to try nothing else.
        Phase::Reverting if matches!(r.back.how, How::Redeploy { .. }) => {}
        Phase::Progressing | Phase::Held => return Err(not_now("a run is in progress; revert goes back first")),
        _ => {
            running(r)?;
        }
    }
    thawed(r)?;
    if !known.available {
        return Err(not_now(format!("the artifact of {label} is not in the store any more; {}", could_be_deployed(r))));
    }
    let from = stable.map_or(String::new(), |t| format!("{} → ", t.version.label));
    let mut draft = Draft { title: format!("UNDO {from}{label}, {}", through(r, known)), ..Draft::default() };
    draft.note(standing(known));
    if stable.is_some() {
        draft.note("fresh instances; no traffic before they are ready");
    }
    // No traffic moves before the new run's first step; without anything that serves it gets all of it.
    let (others, share) = if stable.is_some() { (weights(r, Weight::ZERO), Weight::ZERO) } else { (Vec::new(), Weight::FULL) };
    let listed = stable.is_some() && r.tracks.iter().any(|t| t.version.id == *to);
    let new = Shift { version: label.clone(), before: Weight::ZERO, after: share };
    draft.weights = others.into_iter().chain((!listed).then_some(new)).collect();
    draft.warns.extend(stable.and_then(|track| unsafe_to_leave(&track.version)));
    if let Some(against) = spoken_against(known) {
        draft.warns.push(against);
        draft.needs_reason = true;
    }
    nothing_in_between(r, &mut draft);
    Ok(draft)
}

/// The steps that the version goes through: its own, frozen with it when it was deployed. They are known
/// here only where they are those of the run that is shown.
fn through(r: &Rollout, known: &Known) -> String {
    let shown = r.candidate().or_else(|| r.stable()).map(|t| &t.version);
    let same = shown.is_some_and(|v| v.config.is_some() && v.config == known.version.config);
    if !same || r.steps.is_empty() {
        return "through the steps it was deployed with".into();
    }
    let labels: Vec<&str> = r.steps.iter().map(|s| s.label.as_str()).collect();
    format!("through {}, then 100 %", labels.join(", "))
}

fn nothing_in_between(r: &Rollout, draft: &mut Draft) {
    if r.strategy == Strategy::Recreate
        && let Some(stable) = r.stable()
    {
        draft.warn(format!("nothing serves in between: {} ends before the new instances start", stable.version.label));
    }
}
