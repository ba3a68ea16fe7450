//! Where a rollout is in its life, and what happens next.

use super::{analyses, controller::Word, holds, shares, steps, view::View};
use crate::{
    model::{
        rollout::{Hold, Next, Phase},
        step::Step as Shown,
        text::Text,
        time::Time,
    },
    runtime::argo::{kind::Kind, objects::step::Step},
};

/// Where it is in its life, and why.
#[must_use]
pub fn phase(view: &View<'_>) -> (Phase, Option<Text>) {
    let controller = &view.controller;
    let said = Some(controller.message.clone()).filter(|m| !m.is_empty());
    match &controller.word {
        Word::Paused => (Phase::Held, said),
        Word::Progressing => (Phase::Progressing, said),
        Word::Degraded if view.is_aborted() => (if is_back(view) { Phase::Reverted } else { Phase::Reverting }, said),
        Word::Degraded => (Phase::Failed, said),
        // It is promoted, and the router has not been told yet (recorded: 100 ms with 20 % on the new version).
        Word::Healthy if !shares::router_agrees(view) => (Phase::Progressing, Some(shares::disagreement(view).into())),
        Word::Healthy if view.rollout.replicas() == 0 => (Phase::Completed, Some("scaled to 0".into())),
        Word::Healthy => (Phase::Completed, said),
        Word::Other(word) => (Phase::Unknown(word.clone()), said),
    }
}

/// Whether weights and pods are back where they were.
fn is_back(view: &View<'_>) -> bool {
    let (rollout, status) = (view.rollout, &view.rollout.status);
    let enough = |ready: u32| ready >= rollout.replicas();
    if rollout.is_blue_green() || rollout.routing().is_some() {
        let stable = view.stable.map(|s| s.status.available_replicas);
        // With a switch the active version's pods are counted; with a router, those of both.
        let rest = if rollout.is_blue_green() {
            status.available_replicas
        } else {
            status.available_replicas.saturating_sub(status.updated_replicas)
        };
        return shares::router_agrees(view) && enough(stable.unwrap_or(rest));
    }
    // Without a router, pods are the weights.
    let gone = view.current.map_or(0, |s| s.spec.replicas) == 0 && status.updated_replicas == 0;
    gone && enough(view.stable.map_or(status.available_replicas, |s| s.status.available_replicas))
}

fn next_of(what: impl Into<Text>, at: Option<Time>, by: &str) -> Next {
    Next { what: what.into(), at, by: by.into() }
}

const PLAN: &str = "plan";
const PERSON: &str = "a person";
const NOBODY: &str = "nobody";

/// What happens next, when, and who moves.
#[must_use]
pub fn next(view: &View<'_>, phase: &Phase, plan: &[Shown], holds: &[Hold]) -> Next {
    let restart = view.rollout.spec.restart_at.filter(|at| Some(*at) != view.rollout.status.restarted_at);
    match phase {
        Phase::Held if !view.rollout.spec.paused && holds::is_left_over(view) => moving(view, plan, holds),
        Phase::Held => held(view, plan, holds),
        _ if !view.controller.is_current => next_of(view.controller.message.clone(), None, PLAN),
        Phase::Progressing => match restart.filter(|_| view.controller.message.as_str() == "rollout is restarting") {
            Some(at) if at > view.now => next_of("restart of all pods", Some(at), PLAN),
            Some(_) => next_of("restart of all pods", None, PLAN),
            None => moving(view, plan, holds),
        },
        Phase::Reverting if view.rollout.spec.paused => next_of("resume: nothing goes back while it is paused by hand", None, PERSON),
        Phase::Reverting => next_of("all traffic back on stable", None, PLAN),
        Phase::Reverted => match scale_down(view) {
            Some((label, at)) => next_of(format!("scale-down of {label}"), Some(at), PLAN),
            None => next_of("retry, or another version: the spec still wants the one that was given up", None, PERSON),
        },
        Phase::Failed if view.controller.reason() == "InvalidSpec" => next_of("a corrected spec", None, PERSON),
        Phase::Failed => next_of("go back, or wait: the controller still tries", None, PERSON),
        Phase::Completed => match (scale_down(view), restart) {
            (Some((label, at)), _) => next_of(format!("scale-down of {label}"), Some(at), PLAN),
            (None, Some(at)) => next_of("restart of all pods", Some(at), PLAN),
            (None, None) => next_of("nothing: no update in progress", None, NOBODY),
        },
        Phase::Idle | Phase::Unknown(_) => Next::default(),
    }
}

/// The next version that is scaled down, and when.
fn scale_down(view: &View<'_>) -> Option<(Text, Time)> {
    let kept = view.sets.iter().flatten().filter(|s| s.spec.replicas > 0);
    let due = kept.filter_map(|set| Some((set, set.deadline().filter(|at| *at > view.now)?))).min_by_key(|(_, at)| *at)?;
    let hash = due.0.metadata.hash()?;
    Some((super::tracks::version(view, hash, Some(due.0)).label, due.1))
}

fn held(view: &View<'_>, plan: &[Shown], holds: &[Hold]) -> Next {
    let then = after_step(view, plan);
    let timed = holds.iter().find_map(|h| if let Hold::Step { until, .. } = h { *until } else { None });
    if holds.iter().any(|h| matches!(h, Hold::Manual { .. })) {
        // Clocks do not stop: what became due meanwhile happens at once.
        return match timed {
            Some(until) if until <= view.now => next_of(format!("resume: then {then} at once"), None, PERSON),
            _ => next_of("resume", None, PERSON),
        };
    }
    if holds.iter().any(|h| matches!(h, Hold::Inconclusive { .. })) {
        return next_of(then, None, PERSON);
    }
    match timed {
        Some(until) => next_of(then, Some(until), PLAN),
        None => next_of(then, None, PERSON),
    }
}

/// What follows the current step.
fn after_step(view: &View<'_>, plan: &[Shown]) -> Text {
    if view.rollout.is_blue_green() {
        return "switch of the active service".into();
    }
    let following = view.rollout.step().and_then(|index| plan.get(index + 1));
    following.map_or_else(|| "promotion to 100 %".into(), |step| step.label.clone())
}

fn moving(view: &View<'_>, plan: &[Shown], holds: &[Hold]) -> Next {
    if let Some(Hold::Backend { reason, .. }) = holds.first() {
        return next_of(format!("held: {reason}"), None, NOBODY);
    }
    let (rollout, status) = (view.rollout, &view.rollout.status);
    let ready = view.current.map(|s| (s.status.available_replicas, s.spec.replicas)).filter(|(ready, all)| ready < all);
    if view.controller.word == Word::Healthy && !shares::router_agrees(view) {
        return next_of("all traffic on stable", None, PLAN);
    }
    if !view.is_updating() {
        let are = ready.map(|(ready, all)| format!(": {ready} of {all} are")).unwrap_or_default();
        return next_of(format!("all pods ready{are}"), None, PLAN);
    }
    let pods = ready.map(|(ready, all)| format!(" when all pods are ready: {ready} of {all} are"));
    if rollout.is_blue_green() {
        let active = shares::attached(view).0 == &*status.current_pod_hash;
        let what = if active { "promotion" } else { "switch of the active service" };
        let judged = analyses::is_switch_judged(view, active).then(|| " when its analysis is successful".to_owned());
        return next_of(format!("{what}{}", pods.or(judged).unwrap_or_default()), None, PLAN);
    }
    let until = steps::at(view).and_then(|at| at.ends);
    let waits = match rollout.current_step() {
        Some(Step::Analysis(_)) => " when its analysis is successful".to_owned(),
        Some(Step::Experiment(..)) => " when its experiment is successful".to_owned(),
        Some(Step::Plugin(_)) => steps::plugin(view).map_or_else(String::new, |said| format!(" when its plugin is done: {said}")),
        _ => pods.unwrap_or_default(),
    };
    let unknown = if view.knows(Kind::ReplicaSets) { waits } else { String::new() };
    next_of(format!("{}{unknown}", after_step(view, plan)), until, PLAN)
}
