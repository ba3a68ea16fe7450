//! From the objects of a cluster to a rollout as people see it.
//!
//! Pure: objects, the server's clock and what is covered in; a [`Rollout`] out. What is not known is absent:
//! a kind that is not watched is never an empty one.

pub mod analyses;
pub mod back;
pub mod controller;
pub mod experiments;
pub mod holds;
pub mod images;
pub mod life;
pub mod owner;
pub mod pods;
pub mod shares;
pub mod steps;
pub mod switch;
#[cfg(test)]
mod tests;
pub mod tracks;
pub mod view;

use super::{findings, kind::Coverage, objects, store::Store, watch::Name};
use crate::model::{
    ident::{Key, Rev, RunId, TargetId},
    rollout::{Rollout, Seen, Started},
    spec::Strategy,
    text::{Raw, Text},
    time::Time,
};
use std::{collections::BTreeMap, time::Duration};
use view::View;

/// A rollout as it is by the server's clock; `None` if there is none of this name. Its target and where the
/// picture comes from are left to whoever asks.
#[must_use]
pub fn project(store: &Store, name: &Name, now: Time, coverage: &Coverage) -> Option<Rollout> {
    let view = View::of(store, name, now, coverage)?;
    let meta = &view.rollout.metadata.meta;
    let (phase, reason) = life::phase(&view);
    let steps = steps::steps(&view);
    let holds = holds::holds(&view);
    let findings = findings::findings(&view, &phase);
    let attention = holds::attention(&view, &phase, &holds, &findings);
    let tracks = tracks::tracks(&view);
    let next = life::next(&view, &phase, &steps, &holds);
    Some(Rollout {
        key: Key {
            target: TargetId::new(""),
            scope: vec![Raw::new(&*meta.namespace)],
            service: Raw::new(&*meta.name),
            uid: Some(Raw::new(&*meta.uid)),
        },
        run: view.revision().map(|r| RunId::new(r.to_string())),
        strategy: if view.rollout.is_blue_green() { Strategy::BlueGreen } else { Strategy::Canary },
        reason,
        started: started(&view),
        attention,
        at: steps::at(&view),
        next,
        gates: Vec::new(),
        verdict: None,
        bad: None,
        back: back::back(&view, &phase),
        proof: None,
        last: None,
        findings,
        frozen: None,
        versions: tracks::known(&view),
        present: Vec::new(),
        analyses: analyses::analyses(&view),
        experiments: experiments::experiments(&view),
        tried: Vec::new(),
        alone: None,
        decided: Vec::new(),
        owner: owner::owner(meta, &view.rollout.metadata.managers),
        template: template(view.rollout),
        measured: None,
        // The object does not keep when it set which weight.
        marks: Vec::new(),
        names: names(view.rollout),
        seen: Seen { epoch: 0, rev: Rev(0), server_time: now, fresh_for: Duration::from_secs(60) },
        phase,
        holds,
        tracks,
        steps,
    })
}

/// The object that has its template, when it is not the rollout itself.
fn template(rollout: &objects::rollout::Rollout) -> Option<Text> {
    let workload = rollout.spec.workload_ref.as_ref().filter(|w| !w.name.is_empty())?;
    Some(Text::clean(&format!("{}/{}", workload.kind, workload.name)))
}

/// What its services and its ingress are called.
fn names(rollout: &objects::rollout::Rollout) -> BTreeMap<String, Raw> {
    let strategy = &rollout.spec.strategy;
    let canary = strategy.canary.as_ref().map(|c| [("stable_service", &c.stable_service), ("canary_service", &c.canary_service)]);
    let switch = strategy.blue_green.as_ref().map(|b| [("stable_service", &b.active_service), ("canary_service", &b.preview_service)]);
    let routing = strategy.canary.as_ref().and_then(|c| c.traffic_routing.as_ref());
    let ingress = routing.and_then(|r| r.nginx.as_ref()).map(|nginx| ("ingress", &nginx.stable_ingress));
    let all = canary.into_iter().chain(switch).flatten().chain(ingress);
    all.filter(|(_, name)| !name.is_empty()).map(|(key, name)| (key.to_owned(), Raw::new(&**name))).collect()
}

/// Who started the run: the program that wrote the pod template last, as far as the object says it.
fn started(view: &View<'_>) -> Option<Started> {
    let writer = view.writer(|m| m.subresource.is_empty() && m.fields.spec.iter().any(|f| &**f == "f:template"))?;
    let made = view.current.and_then(|set| set.metadata.created);
    // The time is that of its last write, of whatever field.
    let at = match (made, writer.time) {
        (Some(made), Some(wrote)) => made.min(wrote),
        (made, wrote) => made.or(wrote)?,
    };
    Some(Started { by: Text::clean(&writer.name), at })
}
