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
        set::{Event, ReplicaSet, Service, Workload},
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
    pub(super) services: Table<Service>,
    /// Each kind that may have a template.
    workloads: BTreeMap<Kind, Table<Workload>>,
    timelines: Timelines,
    /// What was seen of each rollout while it was known, by its identity.
    memories: BTreeMap<Box<str>, Memory>,
    /// The server's clock when the last change was heard.
    now: Time,
}

/// How many objects there are between a rollout and what belongs to it, at most: a pod of a ReplicaSet of an
/// experiment.
const DEPTH: usize = 3;

/// What an object belongs to in the end.
enum Root<'a> {
    /// This one.
    Of(&'a Rollout),
    /// Nobody knows before the object with this identity is known.
    Missing(&'a str),
    /// No rollout.
    Nobody,
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
            Kind::ReplicaSets => read::<ReplicaSet>(json).map(|o| self.take_part(o, |store, o| store.sets.take(o))),
            Kind::Pods => read::<Pod>(json).map(|o| self.take_part(o, |store, o| store.pods.take(o))),
            Kind::AnalysisRuns => read::<AnalysisRun>(json).map(|o| self.take_part(o, |store, o| store.runs.take(o))),
            Kind::Experiments => read::<Experiment>(json).map(|o| self.take_part(o, |store, o| store.experiments.take(o))),
            Kind::Services => read::<Service>(json).map(|o| {
                self.services.take(o);
                Touched::new()
            }),
            Kind::Deployments | Kind::Templates | Kind::PodTemplates => read::<Workload>(json).map(|o| {
                let touched = self.users_of(&o);
                self.workloads.entry(kind).or_default().take(o);
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
            Kind::ReplicaSets | Kind::Pods | Kind::AnalysisRuns | Kind::Experiments => self.owner_of(&metadata),
            _ => Touched::new(),
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
            Kind::Services => self.services.remove(uid),
            Kind::Deployments | Kind::Templates | Kind::PodTemplates => self.workloads.entry(kind).or_default().remove(uid),
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
            Kind::ReplicaSets => {
                self.sets.swap(namespace, objects.filter_map(read));
                self.claim_all(self.sets.uids(namespace));
            }
            Kind::Pods => {
                self.pods.swap(namespace, objects.filter_map(read));
                self.claim_all(self.pods.uids(namespace));
            }
            Kind::AnalysisRuns => {
                self.runs.swap(namespace, objects.filter_map(read));
                self.claim_all(self.runs.uids(namespace));
            }
            Kind::Experiments => {
                self.experiments.swap(namespace, objects.filter_map(read));
                self.claim_all(self.experiments.uids(namespace));
            }
            Kind::Services => self.services.swap(namespace, objects.filter_map(read)),
            Kind::Deployments | Kind::Templates | Kind::PodTemplates => {
                self.workloads.entry(kind).or_default().swap(namespace, objects.filter_map(read));
            }
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
    pub(super) fn workload(&self, rollout: &Rollout) -> Option<&Workload> {
        let wanted = rollout.spec.workload_ref.as_ref()?;
        let of_kind = self.workloads.get(&Kind::of_workload(&wanted.kind)?)?;
        of_kind.named(&rollout.metadata.meta.namespace, &wanted.name).max_by_key(|d| d.metadata.version)
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
        self.claim(&uid);
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

    /// Something that belongs to a rollout.
    fn take_part<T: Held>(&mut self, object: T, put: impl FnOnce(&mut Self, T) -> bool) -> Touched {
        let (touched, uid) = (self.owner_of(object.meta()), object.meta().uid.clone());
        put(self, object);
        self.claim(&uid);
        touched
    }

    fn take_event(&mut self, event: Event) -> Touched {
        match self.root(&event.involved_object.uid) {
            Root::Of(rollout) => {
                let (uid, name) = (rollout.metadata.meta.uid.clone(), name_of(&rollout.metadata.meta));
                self.timelines.say(&uid, event);
                Touched::from([name])
            }
            Root::Missing(uid) => {
                // What else there is in a namespace will never belong to a rollout.
                if matches!(&*event.involved_object.kind, "Rollout" | "ReplicaSet" | "Pod" | "AnalysisRun" | "Experiment" | "") {
                    let missing: Box<str> = uid.into();
                    self.timelines.keep(&missing, event);
                }
                Touched::new()
            }
            Root::Nobody => Touched::new(),
        }
    }

    /// Events that came before the object with this identity.
    fn claim(&mut self, uid: &str) {
        for event in self.timelines.claimed(uid) {
            self.take_event(event);
        }
    }

    fn claim_all(&mut self, uids: Vec<Box<str>>) {
        for uid in uids {
            self.claim(&uid);
        }
    }

    fn owner_of(&self, meta: &objects::Meta) -> Touched {
        match meta.controller().map(|o| self.root(&o.uid)) {
            Some(Root::Of(rollout)) => Touched::from([name_of(&rollout.metadata.meta)]),
            _ => Touched::new(),
        }
    }

    /// The rollout that an object belongs to, over at most three others.
    fn root<'a>(&'a self, uid: &'a str) -> Root<'a> {
        let mut uid = uid;
        for _ in 0..=DEPTH {
            if let Some(rollout) = self.rollouts.get(uid) {
                return Root::Of(rollout);
            }
            let metas = [
                self.sets.get(uid).map(Held::meta),
                self.experiments.get(uid).map(Held::meta),
                self.runs.get(uid).map(Held::meta),
                self.pods.get(uid).map(Held::meta),
            ];
            let Some(meta) = metas.into_iter().flatten().next() else { return Root::Missing(uid) };
            let Some(owner) = meta.controller() else { return Root::Nobody };
            uid = &owner.uid;
        }
        Root::Nobody
    }

    fn users_of(&self, workload: &Workload) -> Touched {
        let metadata = &workload.metadata;
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
