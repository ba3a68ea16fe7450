//! The way back, as it would be: it is looked at, nothing is sent.

use super::{images, switch, tracks, view::View};
use crate::{
    model::{
        back::{Check, CheckState, How, WayBack},
        rollout::Phase,
        text::Text,
        time::Time,
        version::{Artifact, Version},
    },
    runtime::argo::objects::set::ReplicaSet,
};

/// The fastest way back now.
#[must_use]
pub fn back(view: &View<'_>, phase: &Phase) -> WayBack {
    let status = &view.rollout.status;
    if status.current_pod_hash.is_empty() || status.stable_hash.is_empty() {
        return nowhere("nothing was promoted yet: there is no version to go back to");
    }
    // Paused by hand, what was given up stays where it is, and nobody is back.
    let stands = *phase == Phase::Reverting && view.rollout.spec.paused;
    if matches!(phase, Phase::Reverting | Phase::Reverted) && !stands {
        let since = status.aborted_at.unwrap_or_else(|| view.since(view.rollout.because("RolloutAborted")));
        return WayBack { to: Some(stable(view)), how: How::Already { since }, checks: Vec::new(), measured: None, then: None };
    }
    if view.is_updating() { abort(view) } else { undo(view) }
}

fn nowhere(why: &str) -> WayBack {
    WayBack { to: None, how: How::None { why: why.into() }, checks: Vec::new(), measured: None, then: None }
}

fn stable(view: &View<'_>) -> Version {
    tracks::version(view, &view.rollout.status.stable_hash, view.stable)
}

fn check(view: &View<'_>, name: &str, state: CheckState, detail: impl Into<Text>) -> Check {
    Check { name: name.into(), state, detail: detail.into(), at: view.now }
}

/// In the middle of an update: traffic goes back to stable, whose pods are there.
fn abort(view: &View<'_>) -> WayBack {
    let mut checks = vec![match view.stable {
        Some(set) => instances(view, set, true),
        None => check(view, "instances", CheckState::Unknown, "its pods are not known"),
    }];
    let bad = |name: &str, detail: &str| check(view, name, CheckState::Bad, detail);
    if view.rollout.spec.paused {
        checks.push(bad("pause", "paused by hand: an abort moves no traffic before it is resumed"));
    }
    if view.rollout.status.promote_full {
        checks.push(bad("promotion", "a full promotion is pending: an abort alone is ignored"));
    }
    if is_fast_rollback(view) {
        checks.push(bad("rollback", "this update is itself a rollback within its window: an abort is ignored"));
    }
    WayBack { to: Some(stable(view)), how: How::Switch, checks, measured: None, then: None }
}

/// Whether what is being rolled out is an older version within the window, which the controller finishes whatever
/// is asked of it.
fn is_fast_rollback(view: &View<'_>) -> bool {
    let made = |set: Option<&ReplicaSet>| set.and_then(|s| s.metadata.created);
    match (made(view.current), made(view.stable)) {
        (Some(current), Some(stable)) => current < stable && is_within_window(view, current, stable),
        _ => false,
    }
}

/// Whether fewer versions than the window allows were made between these two.
fn is_within_window(view: &View<'_>, older: Time, newer: Time) -> bool {
    let Some(window) = view.rollout.spec.rollback_window.as_ref().and_then(|w| w.revisions) else { return false };
    let within = |s: &&&ReplicaSet| !s.is_of_experiment() && s.metadata.created.is_some_and(|made| older < made && made < newer);
    let between = view.sets.iter().flatten().filter(within).count();
    i64::try_from(between).is_ok_and(|between| between < window)
}

/// Where the way back leads when there is no update to give up.
enum Target<'a> {
    /// This one was stable before.
    Older(&'a ReplicaSet),
    /// It has led here already.
    Gone,
    /// Nowhere, and why.
    Nowhere(String),
}

/// The version before stable, never one that is newer than it, nor one further when somebody has gone back.
fn target<'a>(view: &View<'_>, sets: &[&'a ReplicaSet]) -> Target<'a> {
    let stable = &*view.rollout.status.stable_hash;
    let hash = |set: &ReplicaSet| set.metadata.hash().unwrap_or_default().to_owned();
    let made = view.stable.and_then(|s| s.metadata.created);
    let is_newer = |set: &ReplicaSet| matches!((set.metadata.created, made), (Some(its), Some(made)) if its > made);
    let others: Vec<&ReplicaSet> =
        sets.iter().copied().filter(|s| !s.is_of_experiment() && s.metadata.hash().is_some_and(|h| h != stable)).collect();
    // What was seen to be stable is known better than any number says.
    let before = view.memory.and_then(|m| m.stable_before(stable));
    if let Some(set) = before.and_then(|before| others.iter().copied().find(|s| hash(s) == before)) {
        return if is_newer(set) { Target::Gone } else { Target::Older(set) };
    }
    let given_up = |set: &ReplicaSet| view.memory.is_some_and(|m| m.was_aborted(&hash(set)) && !m.was_stable(&hash(set)));
    // Going back gives an old version the next number: then it is older than one with a smaller number.
    let number = view.stable.and_then(|s| s.metadata.revision());
    let (newer, older): (Vec<&ReplicaSet>, Vec<&ReplicaSet>) = others.iter().partition(|s| is_newer(s));
    let mut left = newer.iter().filter(|s| s.metadata.revision() < number);
    if left.clone().any(|s| !given_up(s)) {
        return Target::Gone;
    }
    match older.iter().find(|s| !given_up(s)) {
        Some(set) => Target::Older(set),
        None if left.next().is_some() => Target::Gone,
        None if older.is_empty() => Target::Nowhere("first version: there is none to go back to".to_owned()),
        None => Target::Nowhere(could(&older)),
    }
}

/// After the promotion: the version before is deployed again. While its pods are kept, a switch is enough.
fn undo(view: &View<'_>) -> WayBack {
    let Some(sets) = &view.sets else { return nowhere("older versions are not known: its ReplicaSets are not seen") };
    let target = match target(view, sets) {
        Target::Older(set) => set,
        Target::Nowhere(why) => return nowhere(&why),
        Target::Gone => {
            let since = view.since(view.rollout.condition("Completed"));
            return WayBack { to: Some(stable(view)), how: How::Already { since }, checks: Vec::new(), measured: None, then: None };
        }
    };
    let version = tracks::version(view, target.metadata.hash().unwrap_or_default(), Some(target));
    let deadline = target.deadline().filter(|at| *at > view.now);
    let warm = view.rollout.is_blue_green() && deadline.is_some() && target.spec.replicas > 0;
    let mut checks = Vec::new();
    if warm || target.spec.replicas > 0 {
        checks.push(instances(view, target, warm));
    }
    if warm {
        return WayBack { to: Some(version), how: How::Switch, checks, measured: None, then: None };
    }
    let sealed = version.parts.iter().all(|p| matches!(p.declared, Artifact::Digest(_)));
    if sealed {
        checks.push(check(view, "artifact", CheckState::Unknown, "whether the registry still has it is not known"));
    } else {
        checks.push(check(
            view,
            "artifact",
            CheckState::Unknown,
            format!("{} is a tag, not sealed: it may be another image by now", tag(&version)),
        ));
    }
    let made = (target.metadata.created, view.stable.and_then(|s| s.metadata.created));
    let fast = matches!(made, (Some(older), Some(newer)) if older < newer && is_within_window(view, older, newer));
    if fast {
        checks.push(check(view, "window", CheckState::Ok, "within the rollback window: the controller skips the steps itself"));
    }
    WayBack { to: Some(version), how: How::Redeploy { steps: skipped(view) }, checks, measured: None, then: None }
}

/// What a full promotion skips of the plan.
fn skipped(view: &View<'_>) -> usize {
    if view.rollout.is_blue_green() { switch::waits(view) } else { view.rollout.steps().len() }
}

fn tag(version: &Version) -> Text {
    let tag = |a: &Artifact| if let Artifact::Tag(tag) = a { Some(tag.clone()) } else { None };
    version.parts.iter().find_map(|p| tag(&p.declared)).unwrap_or_default()
}

fn could(older: &[&ReplicaSet]) -> String {
    let name = |set: &&ReplicaSet| {
        let image = set.spec.template.spec.containers.first().map(|c| images::label(&c.image)).unwrap_or_default();
        set.metadata.revision().map_or_else(|| image.to_string(), |r| format!("{image} r{r}"))
    };
    let names: Vec<String> = older.iter().map(name).collect();
    format!("every older version was aborted; could be deployed: {}", names.join(", "))
}

/// Whether a version's pods are there, and enough of them; `warm` where the way back rests on that.
fn instances(view: &View<'_>, set: &ReplicaSet, warm: bool) -> Check {
    let (ready, all) = (set.status.available_replicas, view.rollout.replicas());
    let rest = all.saturating_sub(ready);
    let kept = set.deadline().filter(|at| *at > view.now).map(|at| format!(", kept until {}Z", at.format("%H:%M:%S"))).unwrap_or_default();
    let starts = match rest {
        0 => String::new(),
        1 => ", 1 is started on the way".to_owned(),
        _ => format!(", {rest} are started on the way"),
    };
    // Where pods are the weights, stable has as many as the plan wants it to have: the others are started on the way
    // back as they were meant to be. What should be there and is not, is bad.
    let planned = (view.rollout.shrinks_stable() || !warm) && ready >= set.spec.replicas;
    let state = match rest {
        0 => CheckState::Ok,
        _ if planned => CheckState::Partly,
        _ => CheckState::Bad,
    };
    check(view, "instances", state, format!("{ready} of {all} ready{starts}{kept}"))
}
