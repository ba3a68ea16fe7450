//! A version's share of the traffic: what the plan says, what the router was told, what was seen.

use super::{controller::set_weight, view::View};
use crate::{
    model::{ratio::Ratio, version::Share},
    runtime::argo::objects::set::ReplicaSet,
};

/// Which version a share is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Of<'a> {
    /// The one that was promoted last.
    Stable(&'a str),
    /// The one that is to replace it.
    Candidate(&'a str),
    /// Neither.
    Other(&'a str),
}

impl<'a> Of<'a> {
    const fn hash(self) -> &'a str {
        match self {
            Self::Stable(hash) | Self::Candidate(hash) | Self::Other(hash) => hash,
        }
    }
}

/// A version's share.
#[must_use]
pub fn share(view: &View<'_>, of: Of<'_>, set: Option<&ReplicaSet>) -> Share {
    if view.rollout.is_blue_green() {
        let attached = attached(view, of.hash());
        return Share { declared: attached, programmed: attached, seen: None, ..Share::default() };
    }
    let routed = view.rollout.routing().is_some();
    let seen = if routed { None } else { by_replicas(view, set) };
    Share {
        declared: declared(view, of),
        programmed: programmed(view, of),
        basis: if seen.is_some() { "replicas".into() } else { "".into() },
        sticky: false,
        seen,
    }
}

/// All of it or nothing: what the active service selects. Nothing is known before it selects anything.
fn attached(view: &View<'_>, hash: &str) -> Option<Ratio> {
    let active = &*view.rollout.status.blue_green.active_selector;
    (!active.is_empty()).then(|| Ratio { parts: u64::from(active == hash), whole: 1 })
}

fn declared(view: &View<'_>, of: Of<'_>) -> Option<Ratio> {
    let whole = u64::from(view.rollout.whole());
    let candidate = if view.is_updating() { u64::try_from(set_weight(view.rollout)).unwrap_or_default().min(whole) } else { 0 };
    let parts = match of {
        Of::Candidate(_) if view.rollout.status.stable_hash.is_empty() => whole,
        Of::Candidate(_) => candidate,
        Of::Stable(_) => whole - candidate,
        Of::Other(_) => 0,
    };
    Some(Ratio { parts, whole })
}

/// What the router was told, by the hash of the pods it was told of. Without a router nobody knows.
fn programmed(view: &View<'_>, of: Of<'_>) -> Option<Ratio> {
    view.rollout.routing()?;
    let weights = view.rollout.status.canary.weights.as_ref()?;
    let parts = weights.all().filter(|d| &*d.pod_template_hash == of.hash()).map(|d| u64::from(d.weight)).sum();
    Some(Ratio { parts, whole: u64::from(view.rollout.whole()) })
}

/// Without a router the share follows the pods.
fn by_replicas(view: &View<'_>, set: Option<&ReplicaSet>) -> Option<Ratio> {
    let all = view.sets.as_ref()?.iter().map(|s| u64::from(s.status.available_replicas)).sum();
    Some(Ratio { parts: u64::from(set?.status.available_replicas), whole: all }).filter(|r| r.whole > 0)
}

/// Whether all traffic goes to stable, as far as the router was told; yes where there is none to ask.
#[must_use]
pub fn router_agrees(view: &View<'_>) -> bool {
    let status = &view.rollout.status;
    if view.rollout.is_blue_green() {
        let active = &*status.blue_green.active_selector;
        return active.is_empty() || active == &*status.stable_hash;
    }
    match (&status.canary.weights, view.rollout.routing()) {
        (Some(weights), Some(_)) => weights.all().all(|d| d.weight == 0 || d.pod_template_hash == status.stable_hash),
        _ => true,
    }
}
