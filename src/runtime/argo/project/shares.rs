//! A version's share of the traffic: what the plan says, what the router was told, what was seen.

use super::{controller::set_weight, view::View};
use crate::{
    model::{ratio::Ratio, version::Share},
    runtime::argo::objects::{rollout::Weights, set::ReplicaSet},
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
        let status = &*view.rollout.status.blue_green.active_selector;
        let all_or_nothing = |active: &str| (!active.is_empty()).then(|| Ratio { parts: u64::from(active == of.hash()), whole: 1 });
        let (declared, programmed) = (all_or_nothing(status), all_or_nothing(attached(view).0));
        return Share { declared, programmed, seen: None, ..Share::default() };
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

/// The versions that the active and the preview service select: what the services themselves say, where they are
/// seen, else what the controller says that it told them. Empty before they select anything.
#[must_use]
pub fn attached<'a>(view: &View<'a>) -> (&'a str, &'a str) {
    let (spec, status) = (view.rollout.spec.strategy.blue_green.as_ref(), &view.rollout.status.blue_green);
    let of = |name: Option<&'a str>, says: &'a str| match name.and_then(|name| view.service(name)) {
        Some(service) => service.map_or("", |s| &s.spec.selector.hash),
        None => says,
    };
    let active = of(spec.map(|s| &*s.active_service), &status.active_selector);
    (active, of(spec.map(|s| &*s.preview_service).filter(|name| !name.is_empty()), &status.preview_selector))
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

/// Whether all traffic goes to stable, as far as the router was told and was asked; yes where there is none to ask.
#[must_use]
pub fn router_agrees(view: &View<'_>) -> bool {
    let status = &view.rollout.status;
    if view.rollout.is_blue_green() {
        let active = attached(view).0;
        return active.is_empty() || active == &*status.stable_hash;
    }
    match (&status.canary.weights, view.rollout.routing()) {
        (Some(weights), Some(_)) => {
            weights.verified != Some(false) && weights.all().all(|d| d.weight == 0 || d.pod_template_hash == status.stable_hash)
        }
        _ => true,
    }
}

/// What is wrong where the router does not agree with a word that says that all is well.
#[must_use]
pub fn disagreement(view: &View<'_>) -> &'static str {
    if view.rollout.is_blue_green() {
        return "healthy, but the active service still sends traffic to another version";
    }
    let weights = view.rollout.status.canary.weights.as_ref().filter(|_| view.rollout.routing().is_some());
    let elsewhere = |w: &Weights| w.all().any(|d| d.weight > 0 && d.pod_template_hash != view.rollout.status.stable_hash);
    if weights.is_some_and(|w| !elsewhere(w)) {
        "healthy, but the load balancer has not verified the weight"
    } else {
        "healthy, but the router still sends traffic to another version"
    }
}
