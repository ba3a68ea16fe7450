//! Pods as instances: where each is in its life, and what is wrong with it.

use super::images;
use crate::{
    model::{
        digest::Digest,
        ident::InstanceId,
        instance::{Instance, InstanceState},
        text::Text,
        time::Time,
        version::Part,
    },
    runtime::argo::objects::pod::{ContainerStatus, Pod, Terminated},
};
use std::collections::BTreeMap;

/// A pod as an instance; `usual` is what most of its version run of each container.
#[must_use]
pub fn instance(pod: &Pod, usual: &BTreeMap<Box<str>, Digest>, now: Time) -> Instance {
    let (state, since) = state(pod);
    Instance {
        id: InstanceId::new(&*pod.metadata.name),
        state,
        since: since.or(pod.metadata.created).unwrap_or(now),
        created: pod.metadata.created,
        pid: None,
        port: None,
        restarts: restarts(pod),
        reason: reason(pod, state),
        in_flight: 0,
        node: Some(Text::clean(&pod.spec.node_name)).filter(|n| !n.is_empty()),
        parts: pod.status.container_statuses.iter().map(|c| part(c, usual.get(&c.name))).collect(),
        usage: None,
        sick: None,
    }
}

fn part(container: &ContainerStatus, usual: Option<&Digest>) -> Part {
    let running = images::digest(&container.image_id);
    Part {
        container: Text::clean(&container.name),
        declared: images::artifact(&container.image),
        running,
        differs: running.is_some() && running.as_ref() != usual,
        checked: None,
        wrong: None,
    }
}

/// How often any of its containers was started again.
#[must_use]
pub fn restarts(pod: &Pod) -> u32 {
    pod.status.container_statuses.iter().fold(0, |sum, c| sum.saturating_add(c.restart_count))
}

/// Whether it may get traffic.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    pod.metadata.deleted.is_none() && pod.status.conditions.ready.as_ref().is_some_and(|(ready, _)| *ready)
}

fn state(pod: &Pod) -> (InstanceState, Option<Time>) {
    let status = &pod.status;
    let changed = status.conditions.ready.as_ref().and_then(|(_, since)| *since);
    if pod.metadata.deleted.is_some() {
        return (InstanceState::Draining, pod.metadata.deleted);
    }
    if matches!(&*status.phase, "Succeeded" | "Failed") {
        let ended = status.container_statuses.iter().filter_map(|c| c.state.terminated.as_ref()?.finished_at).max();
        return (InstanceState::Ended, ended.or(changed));
    }
    if all(pod).any(|c| waits_for(c) == Some("CrashLoopBackOff")) {
        return (InstanceState::BackOff, ended_last(pod).or(changed));
    }
    if is_ready(pod) {
        return (InstanceState::Ready, changed);
    }
    let runs = !status.container_statuses.is_empty() && status.container_statuses.iter().all(|c| c.state.running.is_some());
    // It started once and is not ready, or its containers end by themselves.
    let failed =
        all(pod).any(|c| waits_for(c).is_some_and(is_trouble) || c.state.terminated.as_ref().is_some_and(|t| t.exit_code != Some(0)));
    if failed || (runs && restarts(pod) > 0) {
        return (InstanceState::NotReady, changed);
    }
    (InstanceState::Starting, changed)
}

fn all(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.init_container_statuses.iter().chain(&pod.status.container_statuses)
}

fn waits_for(container: &ContainerStatus) -> Option<&str> {
    container.state.waiting.as_ref().map(|w| &*w.reason)
}

fn ended_last(pod: &Pod) -> Option<Time> {
    all(pod).filter_map(|c| c.last_state.terminated.as_ref().or(c.state.terminated.as_ref())?.finished_at).max()
}

/// Reasons for which a container waits and does not start by itself soon.
fn is_trouble(reason: &str) -> bool {
    !matches!(reason, "" | "ContainerCreating" | "PodInitializing")
}

/// What is wrong with a pod, or why a container of it ended last; as `kubectl get` names it.
fn reason(pod: &Pod, state: InstanceState) -> Option<Text> {
    let status = &pod.status;
    if state == InstanceState::Draining {
        return Some("terminating".into());
    }
    if !status.reason.is_empty() {
        return Some(Text::clean(&status.reason));
    }
    if let Some(why) = status.conditions.unscheduled.as_ref() {
        return Some(Text::clean(&format!("not scheduled: {why}")));
    }
    let last = all(pod).find_map(|c| c.last_state.terminated.as_ref()).map(ending);
    for container in &status.init_container_statuses {
        if let Some(word) = trouble(container) {
            return Some(Text::clean(&format!("init {}: {word}", container.name)));
        }
    }
    if let Some(word) = status.container_statuses.iter().find_map(trouble) {
        let last = last.filter(|l| *l != word).map(|l| format!(" after {l}")).unwrap_or_default();
        return Some(Text::clean(&format!("{word}{last}")));
    }
    last.map(|l| Text::clean(&l))
}

/// Why a container does not run, if that is no good sign.
fn trouble(container: &ContainerStatus) -> Option<String> {
    if let Some(reason) = waits_for(container) {
        return is_trouble(reason).then(|| reason.to_owned());
    }
    container.state.terminated.as_ref().filter(|t| t.exit_code != Some(0)).map(ending)
}

/// `OOMKilled`, `exit 1`, `signal 9`.
fn ending(ended: &Terminated) -> String {
    match (&*ended.reason, ended.signal.filter(|s| *s != 0), ended.exit_code) {
        (reason, _, _) if !reason.is_empty() && reason != "Error" => reason.to_owned(),
        (_, Some(signal), _) => format!("signal {signal}"),
        (_, _, Some(code)) => format!("exit {code}"),
        _ => "ended".to_owned(),
    }
}

/// What keeps a pod from getting traffic until somebody acts: a crash loop, an image that cannot be fetched, memory
/// that is too small, no machine.
#[must_use]
pub fn ill(pod: &Pod) -> Option<Text> {
    if pod.metadata.deleted.is_some() || is_ready(pod) {
        return None;
    }
    let (state, _) = state(pod);
    let init = pod.status.init_container_statuses.iter().any(|c| trouble(c).is_some());
    let sick = matches!(state, InstanceState::BackOff | InstanceState::NotReady)
        || (state == InstanceState::Ended && &*pod.status.phase == "Failed")
        || pod.status.conditions.unscheduled.is_some()
        || init;
    sick.then(|| reason(pod, state)).flatten()
}
