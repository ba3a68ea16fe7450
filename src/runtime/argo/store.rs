//! The objects of a cluster as they are known, and how they belong together.
//!
//! Objects are joined by the identity of what controls them, never by selector, hash or name: pods of an
//! experiment match a rollout's selector, and one hash may name three ReplicaSets. What comes late or
//! twice changes nothing: an object is never older than it was, and one that is gone stays gone.

pub mod memory;
pub mod table;
pub mod timeline;

use super::{
    kind::{Coverage, Kind},
    objects::{
        self,
        analysis::{AnalysisRun, Experiment},
        pod::Pod,
        rollout::Rollout,
        set::{Deployment, Event, ReplicaSet},
    },
    project,
    watch::{Name, Objects},
};
use crate::model::{self, time::Time};
use memory::Memory;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use table::{Held, Table};
use timeline::Timelines;

/// The objects of a target.
#[derive(Debug, Default)]
pub struct Store {
    pub(super) rollouts: Table<Rollout>,
    pub(super) sets: Table<ReplicaSet>,
    pub(super) pods: Table<Pod>,
    pub(super) runs: Table<AnalysisRun>,
    pub(super) experiments: Table<Experiment>,
    pub(super) deployments: Table<Deployment>,
    timelines: Timelines,
    /// What was seen of each rollout while it was known, by its identity.
    memories: BTreeMap<Box<str>, Memory>,
    /// The server's clock when the last change was heard.
    now: Time,
}

/// What a change touched.
pub type Touched = BTreeSet<Name>;

impl Store {
    /// Changes that follow are heard at this time of the server's clock.
    pub fn at(&mut self, now: Time) {
        self.now = now;
    }

    /// An object is there, or otherwise than it was. What cannot be read changes nothing.
    pub fn take(&mut self, kind: Kind, json: &[u8]) -> Touched {
        match kind {
            Kind::Rollouts => read::<Rollout>(json).map(|o| self.take_rollout(o, false)),
            Kind::ReplicaSets => read::<ReplicaSet>(json).map(|o| {
                let touched = self.owner_of(&o.metadata);
                self.sets.take(o);
                touched
            }),
            Kind::Pods => read::<Pod>(json).map(|o| {
                let touched = self.owner_of(&o.metadata);
                self.pods.take(o);
                touched
            }),
            Kind::AnalysisRuns => read::<AnalysisRun>(json).map(|o| {
                let touched = self.owner_of(&o.metadata);
                self.runs.take(o);
                self.claim();
                touched
            }),
            Kind::Experiments => read::<Experiment>(json).map(|o| {
                let touched = self.owner_of(&o.metadata);
                self.experiments.take(o);
                self.claim();
                touched
            }),
            Kind::Deployments => read::<Deployment>(json).map(|o| {
                let touched = self.users_of(&o);
                self.deployments.take(o);
                for name in &touched {
                    self.remember(name);
                }
                touched
            }),
            Kind::Events => read::<Event>(json).map(|o| self.take_event(o)),
        }
        .unwrap_or_default()
    }

    /// An object is gone.
    pub fn drop_object(&mut self, kind: Kind, json: &[u8]) -> Touched {
        #[derive(serde::Deserialize, Default)]
        #[serde(default)]
        struct Bare {
            #[serde(deserialize_with = "objects::lenient::object")]
            metadata: objects::Meta,
        }
        let Ok(Bare { metadata }) = objects::decode(json) else { return Touched::new() };
        let touched = match kind {
            Kind::Rollouts => Touched::from([name_of(&metadata)]),
            Kind::Events | Kind::Deployments => Touched::new(),
            _ => self.owner_of(&metadata),
        };
        let uid = &metadata.uid;
        match kind {
            Kind::Rollouts => {
                self.rollouts.remove(uid);
                self.forget(uid);
            }
            Kind::ReplicaSets => self.sets.remove(uid),
            Kind::Pods => self.pods.remove(uid),
            Kind::AnalysisRuns => self.runs.remove(uid),
            Kind::Experiments => self.experiments.remove(uid),
            Kind::Deployments => self.deployments.remove(uid),
            // What was said was said: events vanish after an hour.
            Kind::Events => {}
        }
        touched
    }

    /// These are all objects of a kind, in this namespace or everywhere.
    pub fn replace<'a>(&mut self, kind: Kind, namespace: Option<&str>, objects: impl Iterator<Item = &'a [u8]>) {
        match kind {
            Kind::Rollouts => {
                let all: Vec<Rollout> = objects.filter_map(read).collect();
                let before = self.rollouts.uids(namespace);
                self.rollouts.keep_only(namespace, all.iter().map(|o| &*o.metadata.meta.uid));
                for uid in before {
                    if self.rollouts.get(&uid).is_none() {
                        self.forget(&uid);
                    }
                }
                for rollout in all {
                    self.take_rollout(rollout, true);
                }
            }
            Kind::ReplicaSets => self.sets.swap(namespace, objects.filter_map(read)),
            Kind::Pods => self.pods.swap(namespace, objects.filter_map(read)),
            Kind::AnalysisRuns => {
                self.runs.swap(namespace, objects.filter_map(read));
                self.claim();
            }
            Kind::Experiments => {
                self.experiments.swap(namespace, objects.filter_map(read));
                self.claim();
            }
            Kind::Deployments => self.deployments.swap(namespace, objects.filter_map(read)),
            Kind::Events => {
                // A list is in the order of names, which mean nothing.
                let mut all: Vec<Event> = objects.filter_map(read).collect();
                all.sort_by_key(Event::at);
                for event in all {
                    self.take_event(event);
                }
            }
        }
    }

    /// The rollout of this name: of several, the one that was made last.
    pub(super) fn rollout(&self, name: &Name) -> Option<&Rollout> {
        self.rollouts.named(&name.namespace, &name.name).max_by_key(|r| (r.metadata.meta.created, r.metadata.meta.version))
    }

    /// What was seen of a rollout while it was known.
    pub(super) fn memory(&self, uid: &str) -> Option<&Memory> {
        self.memories.get(uid)
    }

    /// The workload that has a rollout's template, if it is known.
    pub(super) fn workload(&self, rollout: &Rollout) -> Option<&Deployment> {
        let wanted = rollout.spec.workload_ref.as_ref().filter(|w| &*w.kind == "Deployment")?;
        self.deployments.named(&rollout.metadata.meta.namespace, &wanted.name).max_by_key(|d| d.metadata.version)
    }

    /// What was said about a rollout, oldest first.
    pub(super) fn said(&self, uid: &str) -> impl Iterator<Item = &timeline::Said> {
        self.timelines.of(uid)
    }

    /// The names of all rollouts.
    pub fn names(&self) -> impl Iterator<Item = Name> {
        self.rollouts.all().map(|r| name_of(&r.metadata.meta))
    }

    fn take_rollout(&mut self, rollout: Rollout, listed: bool) -> Touched {
        let uid = rollout.metadata.meta.uid.clone();
        let name = name_of(&rollout.metadata.meta);
        if self.rollouts.is_gone(&uid) {
            return Touched::new();
        }
        // Also what comes too late says something about the past.
        self.memories.entry(uid.clone()).or_default().learn(&rollout);
        let before = self.rollouts.get(&uid).map(memory::Place::of);
        let news = if listed {
            self.rollouts.put(rollout);
            true
        } else {
            self.rollouts.take(rollout)
        };
        if news && let (Some(now), Some(memory)) = (self.rollouts.get(&uid), self.memories.get_mut(&uid)) {
            memory.step(before, &memory::Place::of(now), self.now);
        }
        self.remember(&name);
        self.claim();
        Touched::from([name])
    }

    /// Looks which writes the controller has not answered.
    fn remember(&mut self, name: &Name) {
        let Some(rollout) = self.rollout(name) else { return };
        let (uid, glance) = (rollout.metadata.meta.uid.clone(), memory::Glance::of(rollout, self.workload(rollout)));
        if let Some(memory) = self.memories.get_mut(&uid) {
            memory.hold(glance, self.now);
        }
    }

    fn forget(&mut self, uid: &str) {
        self.memories.remove(uid);
        self.timelines.forget(uid);
    }

    fn take_event(&mut self, event: Event) -> Touched {
        let owner = self.rollout_of(&event.involved_object.uid, 0).map(|r| (r.metadata.meta.uid.clone(), name_of(&r.metadata.meta)));
        match owner {
            Some((uid, name)) => {
                self.timelines.say(&uid, event);
                Touched::from([name])
            }
            None => {
                self.timelines.keep(event);
                Touched::new()
            }
        }
    }

    /// Events that came before what they are about.
    fn claim(&mut self) {
        for event in self.timelines.unclaimed() {
            self.take_event(event);
        }
    }

    fn owner_of(&self, meta: &objects::Meta) -> Touched {
        let owner = meta.controller().and_then(|o| self.rollout_of(&o.uid, 0));
        owner.map(|r| name_of(&r.metadata.meta)).into_iter().collect()
    }

    /// The rollout that an object belongs to, over at most three others.
    fn rollout_of(&self, uid: &str, depth: u8) -> Option<&Rollout> {
        if let Some(rollout) = self.rollouts.get(uid) {
            return Some(rollout);
        }
        let metas = [
            self.sets.get(uid).map(Held::meta),
            self.experiments.get(uid).map(Held::meta),
            self.runs.get(uid).map(Held::meta),
            self.pods.get(uid).map(Held::meta),
        ];
        let owner = metas.into_iter().flatten().next()?.controller()?;
        if depth < 3 { self.rollout_of(&owner.uid, depth + 1) } else { None }
    }

    fn users_of(&self, deployment: &Deployment) -> Touched {
        let Deployment { metadata, .. } = deployment;
        let uses = |r: &&Rollout| {
            r.metadata.meta.namespace == metadata.namespace && r.spec.workload_ref.as_ref().is_some_and(|w| w.name == metadata.name)
        };
        self.rollouts.all().filter(uses).map(|r| name_of(&r.metadata.meta)).collect()
    }
}

impl Objects for Store {
    fn at(&mut self, now: Time) {
        Self::at(self, now);
    }

    fn swap(&mut self, kind: Kind, namespace: Option<&str>, objects: &[Box<RawValue>]) {
        self.replace(kind, namespace, objects.iter().map(|o| o.get().as_bytes()));
    }

    fn apply(&mut self, kind: Kind, object: &RawValue) {
        self.take(kind, object.get().as_bytes());
    }

    fn delete(&mut self, kind: Kind, object: &RawValue) {
        self.drop_object(kind, object.get().as_bytes());
    }

    fn project(&self, name: &Name, now: Time, coverage: &Coverage) -> Option<model::rollout::Rollout> {
        project::project(self, name, now, coverage)
    }

    fn is_waiting(&self, name: &Name) -> bool {
        let memory = self.rollout(name).and_then(|r| self.memory(&r.metadata.meta.uid));
        memory.is_some_and(|memory| memory.open().next().is_some())
    }

    fn events(&self, name: &Name, after: u64) -> Vec<model::event::Event> {
        self.rollout(name).map(|r| self.timelines.after(&r.metadata.meta.uid, after)).unwrap_or_default()
    }
}

/// An object; `None` if it cannot be read or has no identity.
fn read<T: Held>(json: &[u8]) -> Option<T> {
    objects::decode::<T>(json).ok().filter(|o| !o.meta().uid.is_empty())
}

fn name_of(meta: &objects::Meta) -> Name {
    Name { namespace: meta.namespace.to_string(), name: meta.name.to_string() }
}
