//! What is wrong and no status word says: writes that the controller never looked at, pods that crash behind
//! a calm phase, clocks that run while somebody has paused, keys that do something else than they seem to.
//!
//! Kinds: `lost`, `pods`, `router`, `digests`, `experiments`, `pause`, `promotion`, `retry`, `restart`, `clock`,
//! `deadline`, `quota`, `workload`, `service`, `deleting`, `step`.

use super::{
    kind::Kind,
    objects::{Manager, rollout::PluginStatus, step::Step},
    project::{controller::Word, holds, images, shares, steps, tracks, view::View},
    store::memory::{Open, Unanswered},
};
use crate::model::{
    rollout::{Finding, Phase},
    text::Text,
    time::{Time, elapsed, span},
};
use std::time::Duration;

/// A write is answered within 50 ms, usually; one that is not answered by now was overlooked. (All recorded cases
/// were found so, without a false alarm.)
const OVERLOOKED: Duration = Duration::from_secs(3);
/// After so long nobody may be there to look.
const NOBODY: Duration = Duration::from_secs(30);
/// How long a warning of the router is worth telling.
const WARNED: Duration = Duration::from_secs(60);

/// Everything that was found, the most important first.
#[must_use]
pub fn findings(view: &View<'_>, phase: &Phase) -> Vec<Finding> {
    let mut found = Vec::new();
    lost(view, &mut found);
    sick_pods(view, &mut found);
    router(view, &mut found);
    experiments(view, &mut found);
    paused(view, &mut found);
    pending(view, &mut found);
    retry(view, phase, &mut found);
    restart(view, phase, &mut found);
    cluster(view, &mut found);
    services(view, &mut found);
    digests(view, &mut found);
    plan(view, &mut found);
    found
}

fn finding(kind: &str, what: impl Into<Text>, since: Time) -> Finding {
    Finding { kind: kind.into(), what: what.into(), since }
}

/// Writes that the controller has not answered, and what heals them.
fn lost(view: &View<'_>, found: &mut Vec<Finding>) {
    let Some(memory) = view.memory else { return };
    for (write, Open { seen, before }) in memory.open() {
        // Who had written it last before this was there did not write this, whatever else they wrote.
        let writer = view.writer(|m| wrote(m, write) && (before.is_none() || m.time > before));
        // Who opens a console later learns from the object when it was written, in whole seconds.
        let since = writer.and_then(|w| w.time).map_or(seen, |wrote| wrote.min(seen));
        if elapsed(view.now, since) < OVERLOOKED {
            continue;
        }
        let what = match write {
            Unanswered::Abort => "abort sent",
            Unanswered::Promote => "promote sent",
            Unanswered::Full => "full promotion sent",
            Unanswered::Retry => "retry sent",
            Unanswered::Spec if view.rollout.status.observed_generation.is_empty() => "rollout made",
            Unanswered::Spec => "spec changed",
            Unanswered::Workload => "workload's template changed",
        };
        let by = writer.map(|w| format!(" by {}", Text::clean(&w.name))).unwrap_or_default();
        let ago = span(elapsed(view.now, since));
        let heals = match write {
            Unanswered::Spec if view.rollout.status.observed_generation.is_empty() => "is it running?",
            Unanswered::Spec | Unanswered::Workload
                if elapsed(view.now, since) > NOBODY && view.rollout.condition("InvalidSpec").is_none() =>
            {
                "any change of the object (an annotation) wakes it, if it is running: is it?"
            }
            // It has a queue of its own for what it cannot use.
            _ if view.rollout.condition("InvalidSpec").is_some() => "while the spec is invalid it looks every 20 s only",
            _ => "the same again does nothing, any other change of the object (an annotation) wakes it",
        };
        found.push(finding("lost", format!("{what} {ago} ago{by}: not noticed by the controller; {heals}"), since));
    }
}

/// Whether this is who wrote it. What somebody wrote of another field an hour ago says nothing of this one; a promote
/// that only takes pauses away leaves no trace.
fn wrote(manager: &Manager, write: Unanswered) -> bool {
    let status = |wanted: &[&str]| &*manager.subresource == "status" && manager.fields.status.iter().any(|f| wanted.contains(&&**f));
    match write {
        Unanswered::Abort | Unanswered::Retry => status(&["f:abort"]),
        Unanswered::Full => status(&["f:promoteFull"]),
        Unanswered::Promote => status(&["f:currentStepIndex", "f:pauseConditions", "f:controllerPause"]),
        Unanswered::Spec => matches!(&*manager.subresource, "" | "scale") && !manager.fields.spec.is_empty(),
        Unanswered::Workload => false,
    }
}

/// Pods that do not start, also where the phase says that all is calm.
fn sick_pods(view: &View<'_>, found: &mut Vec<Finding>) {
    let candidate = view.current.filter(|_| view.is_updating());
    let both = [("candidate", candidate), ("stable", view.stable)];
    for (who, set) in both.into_iter().filter_map(|(who, set)| Some((who, set?))) {
        let Some((what, since)) = holds::ill(view, set) else { continue };
        let behind = match view.controller.word {
            Word::Paused | Word::Healthy if who == "candidate" => format!(", behind the phase {}", view.controller.word.as_str()),
            _ => String::new(),
        };
        found.push(finding("pods", format!("{who}: {what}{behind}"), since));
    }
}

/// The router says something else than the phase, or complains.
fn router(view: &View<'_>, found: &mut Vec<Finding>) {
    // A service that sends it elsewhere is found by its name.
    let is_named = view.rollout.is_blue_green() && view.knows(Kind::Services);
    if view.controller.word == Word::Healthy && view.controller.is_current && !is_named && !shares::router_agrees(view) {
        found.push(finding("router", shares::disagreement(view), view.since(view.rollout.condition("Completed"))));
    }
    let complaint =
        |reason: &str| matches!(reason, "TrafficRoutingError" | "WeightVerifyError" | "TargetGroupVerifyError" | "LoadBalancerNotFound");
    let last = view.said().filter(|s| complaint(&s.reason)).max_by_key(|s| s.at);
    if let Some(said) = last.filter(|s| elapsed(view.now, s.at) < WARNED && view.controller.word != Word::Healthy) {
        found.push(finding("router", said.what.clone(), said.at));
    }
}

/// An experiment that cannot decide is made again and again, with pods, while the phase says that it waits.
fn experiments(view: &View<'_>, found: &mut Vec<Finding>) {
    let Some(all) = &view.experiments else { return };
    let status = &view.rollout.status;
    let stopped = status.pause_conditions.iter().find(|p| &*p.reason == "InconclusiveExperiment");
    let Some(pause) = stopped else { return };
    let current = |e: &&&crate::runtime::argo::objects::analysis::Experiment| {
        e.metadata.hash() == Some(&*status.current_pod_hash) && e.metadata.revision() == view.revision()
    };
    let since = pause.start_time.unwrap_or(view.now);
    if holds::is_left_over(view) {
        found.push(finding(
            "pause",
            "a pause for an experiment was left over: the next pause of the plan will not wait for anybody",
            since,
        ));
        return;
    }
    let count = all.iter().filter(current).count();
    if count > 1 {
        found.push(finding(
            "experiments",
            format!("{count} experiments made so far, and more while it waits: promote repeats them; skip the step or go back"),
            since,
        ));
    }
}

/// What a person's pause does not stop, and what it stops besides.
fn paused(view: &View<'_>, found: &mut Vec<Finding>) {
    if !view.rollout.spec.paused {
        return;
    }
    let since = holds::paused_since(view);
    let status = &view.rollout.status;
    let ends = status.pause_conditions.iter().find_map(|p| steps::pause_ends(view, p));
    if let Some(ends) = ends {
        let what = if view.rollout.is_blue_green() { "it is promoted" } else { "the next step begins" };
        let when = if ends <= view.now { "at once".to_owned() } else { format!("at {}Z or at once", ends.format("%H:%M:%S")) };
        found.push(finding("clock", format!("clocks run while it is paused by hand: when resumed, {what} {when}"), since));
    }
    if status.abort {
        found.push(finding("pause", "aborted while paused by hand: pods and services stay as they are until it is resumed", since));
    }
}

/// Pods that are to be started again: the word for where it is does not say so while it waits.
fn restart(view: &View<'_>, phase: &Phase, found: &mut Vec<Finding>) {
    let wanted = view.rollout.spec.restart_at.filter(|at| Some(*at) != view.rollout.status.restarted_at);
    let Some(at) = wanted.filter(|_| matches!(phase, Phase::Held | Phase::Failed | Phase::Reverting | Phase::Reverted)) else { return };
    let since = at.min(view.now);
    let what = if at > view.now {
        format!("all pods are to be started again at {}Z", at.format("%H:%M:%S"))
    } else {
        format!("all pods were to be started again at {}Z, and are not yet", at.format("%H:%M:%S"))
    };
    found.push(finding("restart", what, since));
}

/// What was asked for stands in the way of what may be asked for next.
fn pending(view: &View<'_>, found: &mut Vec<Finding>) {
    if view.rollout.status.promote_full && view.is_updating() {
        let since = view.memory.and_then(|m| m.entered()).unwrap_or(view.now);
        found.push(finding("promotion", "a full promotion is pending until every pod is ready: an abort alone is ignored", since));
    }
}

/// A retry within the delay of the scale-down goes live at once.
fn retry(view: &View<'_>, phase: &Phase, found: &mut Vec<Finding>) {
    if !view.rollout.is_blue_green() || !matches!(phase, Phase::Reverting | Phase::Reverted) {
        return;
    }
    if let Some(until) = view.current.and_then(|s| s.deadline()).filter(|at| *at > view.now) {
        let since = view.rollout.status.aborted_at.unwrap_or(view.now);
        let what = format!("a retry before {}Z goes live at once: it skips pause and analysis", until.format("%H:%M:%S"));
        found.push(finding("retry", what, since));
    }
}

/// What the cluster lacks.
fn cluster(view: &View<'_>, found: &mut Vec<Finding>) {
    let rollout = view.rollout;
    if let Some(at) = rollout.metadata.meta.deleted {
        found.push(finding("deleting", "it is being deleted", at));
    }
    if let Some(failure) = rollout.condition("ReplicaFailure").filter(|c| &*c.status == "True") {
        found.push(finding("quota", Text::clean(&failure.message), view.since(Some(failure))));
    }
    if view.controller.reason() == "ProgressDeadlineExceeded" {
        let since = view.since(rollout.because("ProgressDeadlineExceeded"));
        found.push(finding(
            "deadline",
            "timed out, and the controller still tries: a retry does nothing, a promotion goes on with pods that are not ready",
            since,
        ));
    }
    if let Some((at, since)) = holds::times_out(view) {
        let then = if rollout.spec.progress_deadline_abort { ", and is given up then" } else { "" };
        found.push(finding("deadline", format!("no progress since {}Z: times out at {}Z{then}", clock(since), clock(at)), since));
    }
    if let Some(wanted) = &rollout.spec.workload_ref
        && view.workload.is_none()
        && Kind::of_workload(&wanted.kind).is_some_and(|kind| view.knows(kind))
    {
        let since = rollout.metadata.meta.created.unwrap_or(view.now);
        found.push(finding(
            "workload",
            Text::clean(&format!("its template is in {} {}, which is not there", wanted.kind, wanted.name)),
            since,
        ));
    }
}

/// Services that are not there, or that send their traffic elsewhere than the controller says. While it is at
/// work it has told a service a moment before it says so.
fn services(view: &View<'_>, found: &mut Vec<Finding>) {
    let since = view.since(view.rollout.condition("Progressing"));
    let says = &view.rollout.status.blue_green;
    let active_or_preview = |name: &str| match &view.rollout.spec.strategy.blue_green {
        Some(spec) if *name == *spec.active_service => &*says.active_selector,
        Some(spec) if *name == *spec.preview_service => &*says.preview_selector,
        _ => "",
    };
    for name in view.rollout.services() {
        let what = match view.service(name) {
            None => continue,
            Some(None) => format!("its service {name} is not there"),
            Some(Some(service)) => {
                let (is, says) = (&*service.spec.selector.hash, active_or_preview(name));
                if view.controller.word == Word::Progressing || says.is_empty() || is == says {
                    continue;
                }
                let is = if is.is_empty() { "every version" } else { is };
                format!("service {name} sends its traffic to {is}, and the rollout says {says}")
            }
        };
        found.push(finding("service", Text::clean(&what), since));
    }
}

/// Pods of one version that do not run the same.
fn digests(view: &View<'_>, found: &mut Vec<Finding>) {
    for set in view.sets.iter().flatten() {
        let Some(pods) = view.pods(set) else { continue };
        let parts = images::parts(&set.spec.template.spec, Some(&pods));
        let Some(part) = parts.iter().find(|p| p.differs) else { continue };
        let Some(hash) = set.metadata.hash() else { continue };
        let label = tracks::version(view, hash, Some(set)).label;
        let since = pods.iter().filter_map(|p| p.metadata.created).max().unwrap_or(view.now);
        found.push(finding("digests", format!("{label}: pods run different digests of container {}", part.container), since));
    }
}

/// `03:12:09`.
fn clock(at: Time) -> impl std::fmt::Display {
    at.format("%H:%M:%S")
}

/// Steps that mean nothing here, and plugins that cannot do theirs.
fn plan(view: &View<'_>, found: &mut Vec<Finding>) {
    let all = view.rollout.steps();
    let since = view.rollout.metadata.meta.created.unwrap_or(view.now);
    if let Some(index) = all.iter().position(|s| *s == Step::Empty) {
        found.push(finding("step", format!("step {} is empty: this cluster does not know it", index + 1), since));
    }
    let sick = |p: &&PluginStatus| matches!(&*p.phase, "Failed" | "Error") && !view.rollout.is_promoted();
    for plugin in view.rollout.status.canary.step_plugin_statuses.iter().filter(sick) {
        let step = plugin.index.map(|index| format!("step {}: ", index.saturating_add(1))).unwrap_or_default();
        found.push(finding("step", format!("{step}plugin {}", steps::plugin_says(plugin)), plugin.started_at.unwrap_or(since)));
    }
}
