//! The versions of a rollout, and where each is attached.

use super::{
    images, pods,
    shares::{self, Of},
    view::View,
};
use crate::{
    model::{
        ident::{Role, VersionId},
        instance::{Fate, Pool},
        ratio::Ratio,
        rollout::{Known, Standing},
        text::{Raw, Text},
        version::{About, Share, Track, Version},
    },
    runtime::argo::objects::{
        PodSpec, Template,
        analysis::{Experiment, ExperimentTemplate},
        set::ReplicaSet,
    },
};
use std::{collections::BTreeMap, time::Duration};

/// Stable first, then the candidate, superseded versions that still have pods, and those of experiments.
#[must_use]
pub fn tracks(view: &View<'_>) -> Vec<Track> {
    let status = &view.rollout.status;
    let (stable, current) = (&*status.stable_hash, &*status.current_pod_hash);
    let mut tracks = Vec::new();
    if !stable.is_empty() {
        tracks.push(track(view, Role::Stable, Of::Stable(stable), view.stable));
    }
    if !current.is_empty() && current != stable {
        tracks.push(track(view, Role::Candidate, Of::Candidate(current), view.current));
    }
    let main = |set: &ReplicaSet| [view.stable, view.current].into_iter().flatten().any(|m| m.metadata.uid == set.metadata.uid);
    // Before the controller has named the first version, its ReplicaSet is there and superseded by nothing.
    let named = !current.is_empty();
    for set in view.sets.iter().flatten().filter(|s| named && !main(s)) {
        let there = set.spec.replicas > 0 || set.status.replicas > 0;
        if let Some(hash) = set.metadata.hash().filter(|_| there) {
            tracks.push(track(view, Role::Superseded, Of::Other(hash), Some(set)));
        }
    }
    for experiment in view.experiments.iter().flatten() {
        tracks.extend(experiment_tracks(view, experiment));
    }
    tell_apart(&mut tracks);
    tracks
}

fn track(view: &View<'_>, role: Role, of: Of<'_>, set: Option<&ReplicaSet>) -> Track {
    let (Of::Stable(hash) | Of::Candidate(hash) | Of::Other(hash)) = of;
    Track {
        role,
        slot: slot(view, hash),
        version: version(view, hash, set),
        pools: set.map(|set| pool(view, set)).or_else(|| counted(view, of)).into_iter().collect(),
        share: shares::share(view, of, set),
        signals: BTreeMap::new(),
        about: cause(view, hash, set),
        preview: None,
    }
}

/// Why a version was made, as whoever made it says. The controller copies it from the rollout, whose own is that of the
/// version that is wanted.
fn cause(view: &View<'_>, hash: &str, set: Option<&ReplicaSet>) -> Option<About> {
    let rollout = view.rollout;
    let wanted = || (hash == &*rollout.status.current_pod_hash && rollout.is_observed()).then_some(&rollout.metadata.meta);
    let meta = set.map(|s| &s.metadata).or_else(wanted)?;
    let said = meta.annotations.get(CAUSE).filter(|said| !said.is_empty())?;
    Some(About { annotations: BTreeMap::from([(CAUSE.into(), Text::clean(said))]), ..About::default() })
}

const CAUSE: &str = "kubernetes.io/change-cause";

/// The service that selects a version.
fn slot(view: &View<'_>, hash: &str) -> Option<Text> {
    let status = &view.rollout.status;
    if view.rollout.is_blue_green() {
        let (active, preview) = shares::attached(view);
        return match hash {
            _ if hash == active => Some("active".into()),
            _ if hash == preview => Some("preview".into()),
            _ => None,
        };
    }
    let (stable, other) = match &*status.canary.stable_ping_pong {
        "ping" => ("ping", "pong"),
        "pong" => ("pong", "ping"),
        _ => return None,
    };
    match hash {
        _ if hash == &*status.stable_hash => Some(stable.into()),
        _ if hash == &*status.current_pod_hash => Some(other.into()),
        _ => None,
    }
}

/// A version, from its ReplicaSet; from the rollout's own template while that is not known.
#[must_use]
pub fn version(view: &View<'_>, hash: &str, set: Option<&ReplicaSet>) -> Version {
    let rollout = view.rollout;
    // The template may be newer than what the controller speaks of.
    let own = || {
        let current = hash == &*rollout.status.current_pod_hash && rollout.is_observed();
        let template = rollout.spec.template.as_ref().or_else(|| view.workload.and_then(|w| w.template()));
        template.filter(|_| current)
    };
    let pods = set.and_then(|set| view.pods(set));
    let template = set.map(|set| &set.spec.template).or_else(own);
    let spec = template.map(|template| &template.spec);
    let revision = set.and_then(|s| s.metadata.revision()).or_else(|| {
        let current = hash == &*rollout.status.current_pod_hash;
        if current { view.revision() } else { None }
    });
    Version {
        id: VersionId::new(hash),
        measured_as: template.and_then(measured_as),
        label: label(spec).unwrap_or_else(|| Text::clean(hash)),
        revision: revision.map(|r| r.to_string().into()),
        parts: spec.map(|spec| images::parts(spec, pods.as_deref())).unwrap_or_default(),
        config: None,
        back_unsafe: None,
    }
}

/// What a mesh and the service itself call it: the version that its pods are labelled with; without one, the
/// tag of its image.
fn measured_as(template: &Template) -> Option<Raw> {
    let labelled = template.metadata.labels.version().map(Raw::new);
    labelled.or_else(|| label(Some(&template.spec)).map(|tag| Raw::new(tag.as_str())))
}

fn label(spec: Option<&PodSpec>) -> Option<Text> {
    spec?.containers.first().map(|c| images::label(&c.image)).filter(|l| !l.is_empty())
}

/// The pods of a ReplicaSet.
fn pool(view: &View<'_>, set: &ReplicaSet) -> Pool {
    let (pods, unseen) = view.pods(set).map_or_else(|| (Vec::new(), true), |pods| (pods, false));
    let usual = images::usual(&pods);
    Pool {
        name: Text::default(),
        desired: set.spec.replicas,
        ready: set.status.ready_replicas,
        restarts: pods.iter().fold(0, |sum, pod| sum.saturating_add(pods::restarts(pod))),
        instances: pods.iter().map(|pod| pods::instance(pod, &usual, view.now)).collect(),
        unseen,
        fate: fate(view, set),
    }
}

/// What becomes of pods that are not wanted any more: they go at a time that is set, or stay because it was said so.
fn fate(view: &View<'_>, set: &ReplicaSet) -> Option<Fate> {
    if set.spec.replicas == 0 {
        return None;
    }
    // The controller scales them down when it looks next.
    if let Some(at) = set.deadline() {
        return Some(Fate::Stopped { at });
    }
    let given_up = view.is_aborted() && view.is_updating() && view.current.is_some_and(|c| c.metadata.uid == set.metadata.uid);
    let kept = given_up && view.rollout.keeps_what_it_gave_up();
    kept.then(|| Fate::Kept { why: "abortScaleDownDelaySeconds 0".into() })
}

/// What the rollout itself says of a version's pods, where that is about one version only.
fn counted(view: &View<'_>, of: Of<'_>) -> Option<Pool> {
    let (rollout, status) = (view.rollout, &view.rollout.status);
    let (desired, ready) = match of {
        // With a switch, the active version's pods are counted, once there is one.
        Of::Stable(hash) if rollout.is_blue_green() && hash == &*status.blue_green.active_selector => {
            (rollout.replicas(), status.ready_replicas)
        }
        Of::Stable(_) if rollout.is_promoted() && status.replicas == status.updated_replicas => (rollout.replicas(), status.ready_replicas),
        Of::Candidate(_) if status.stable_hash.is_empty() && status.replicas == status.updated_replicas => {
            (rollout.replicas(), status.ready_replicas)
        }
        _ => return None,
    };
    Some(Pool { desired, ready, unseen: true, ..Pool::default() })
}

/// The versions of an experiment that runs or still has pods.
fn experiment_tracks(view: &View<'_>, experiment: &Experiment) -> Vec<Track> {
    let sets = view.sets_of(experiment);
    let mut tracks = Vec::new();
    for template in &experiment.spec.templates {
        let set = sets.iter().copied().find(|s| s.metadata.annotations.get("experiment.argoproj.io/template-name") == Some(&template.name));
        let there = set.is_some_and(|s| s.spec.replicas > 0 || s.status.replicas > 0);
        if there || !experiment.is_over() {
            tracks.push(experiment_track(view, experiment, template, set));
        }
    }
    tracks
}

fn experiment_track(view: &View<'_>, experiment: &Experiment, template: &ExperimentTemplate, set: Option<&ReplicaSet>) -> Track {
    let status = experiment.status.template_statuses.iter().find(|s| s.name == template.name);
    let hash = status.map(|s| &*s.pod_template_hash).filter(|h| !h.is_empty());
    let whole = u64::from(view.rollout.whole());
    let weights = view.rollout.status.canary.weights.as_ref();
    let weight = weights.zip(hash).and_then(|(w, hash)| w.additional.iter().find(|d| &*d.pod_template_hash == hash));
    let told = weight.map(|d| Ratio { parts: u64::from(d.weight), whole });
    let pods = set.and_then(|set| view.pods(set));
    let spec = set.map_or(&template.template.spec, |s| &s.spec.template.spec);
    let what = label(Some(spec)).unwrap_or_default();
    // Its hash may be that of the candidate, and it is not the candidate.
    let id = format!("{}-{}", experiment.metadata.name, template.name);
    let pool = set.map_or_else(
        || Pool {
            desired: u32::try_from(template.replicas.unwrap_or(1).max(0)).unwrap_or(u32::MAX),
            ready: status.map_or(0, |s| s.ready_replicas),
            unseen: true,
            ..Pool::default()
        },
        |set| pool(view, set),
    );
    Track {
        role: Role::Experiment,
        slot: None,
        version: Version {
            id: VersionId::new(id),
            label: Text::clean(&format!("{} {what}", template.name)),
            revision: experiment.metadata.revision().map(|r| r.to_string().into()),
            parts: images::parts(spec, pods.as_deref()),
            config: None,
            back_unsafe: None,
            measured_as: None,
        },
        pools: vec![pool],
        share: Share { declared: told, programmed: told, ..Share::default() },
        signals: BTreeMap::new(),
        about: None,
        preview: None,
    }
}

/// Versions of the same tag are told apart by their revision.
fn tell_apart(tracks: &mut [Track]) {
    let labels: Vec<Text> = tracks.iter().map(|t| t.version.label.clone()).collect();
    for track in tracks {
        if labels.iter().filter(|l| **l == track.version.label).count() > 1
            && let Some(revision) = &track.version.revision
        {
            track.version.label = format!("{} r{revision}", track.version.label).into();
        }
    }
}

/// Every revision that is kept, newest first.
#[must_use]
pub fn known(view: &View<'_>) -> Vec<Known> {
    let mut known: Vec<Known> = Vec::new();
    for set in view.sets.iter().flatten() {
        let Some(hash) = set.metadata.hash() else { continue };
        let mut version = version(view, hash, Some(set));
        if let Some(revision) = &version.revision {
            version.label = format!("{} r{revision}", version.label).into();
        }
        known.push(Known {
            standing: standing(view, hash),
            version,
            // The cluster does not say for how long it had the traffic, nor until when.
            proven: Duration::ZERO,
            error_ratio: None,
            until: None,
            available: true,
        });
    }
    known
}

/// What can be said of a version: Argo does not remember what became of it.
fn standing(view: &View<'_>, hash: &str) -> Standing {
    let given_up = hash == &*view.rollout.status.current_pod_hash && view.is_aborted();
    if given_up {
        return Standing::Left { reason: view.controller.message.clone() };
    }
    if view.memory.is_some_and(|m| m.was_aborted(hash) && !m.was_stable(hash)) {
        return Standing::Left { reason: "its rollout was aborted".into() };
    }
    Standing::Unproven
}
