//! Objects of one kind, by identity, by what controls them and by name.

use crate::runtime::argo::objects::{
    Meta,
    analysis::{AnalysisRun, Experiment},
    pod::Pod,
    rollout::Rollout,
    set::{Event, ReplicaSet, Service, Workload},
};
use serde::de::DeserializeOwned;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

type Uid = Box<str>;

/// Identities of objects that are gone: a change of one of them that comes late brings it back no more.
const GONE: usize = 4_096;

/// What can be held in a table.
pub trait Held: DeserializeOwned {
    /// What it says of itself.
    fn meta(&self) -> &Meta;
}

macro_rules! held {
    ($($kind:ty),*) => { $(
        impl Held for $kind {
            fn meta(&self) -> &Meta {
                &self.metadata
            }
        }
    )* };
}
held!(ReplicaSet, Pod, AnalysisRun, Experiment, Workload, Service, Event);

impl Held for Rollout {
    fn meta(&self) -> &Meta {
        &self.metadata.meta
    }
}

/// Objects of one kind.
#[derive(Debug)]
pub struct Table<T> {
    objects: HashMap<Uid, T>,
    /// Whoever controls them.
    owned: HashMap<Uid, BTreeSet<Uid>>,
    gone: HashSet<Uid>,
    /// The same, oldest first.
    going: VecDeque<Uid>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { objects: HashMap::new(), owned: HashMap::new(), gone: HashSet::new(), going: VecDeque::new() }
    }
}

impl<T: Held> Table<T> {
    /// An object as it is now; false if it is known newer, or gone.
    pub fn take(&mut self, object: T) -> bool {
        let meta = object.meta();
        // Revisions that are no numbers do not compare: then what comes last is newest.
        let late = self.objects.get(&meta.uid).is_some_and(|held| meta.version != 0 && meta.version < held.meta().version);
        if late || self.gone.contains(&meta.uid) {
            return false;
        }
        self.put(object);
        true
    }

    /// An object as a list has it: the truth also where it is older than what is known.
    pub fn put(&mut self, object: T) {
        let uid = object.meta().uid.clone();
        let owner = object.meta().controller().map(|o| o.uid.clone());
        let before = self.objects.insert(uid.clone(), object);
        let before = before.and_then(|b| b.meta().controller().map(|o| o.uid.clone()));
        if before != owner {
            if let Some(before) = before {
                self.disown(&before, &uid);
            }
            if let Some(owner) = owner {
                self.owned.entry(owner).or_default().insert(uid);
            }
        }
    }

    fn disown(&mut self, owner: &str, uid: &str) {
        if let Some(owned) = self.owned.get_mut(owner) {
            owned.remove(uid);
            if owned.is_empty() {
                self.owned.remove(owner);
            }
        }
    }

    /// It is gone for good.
    pub fn remove(&mut self, uid: &str) {
        self.forget(uid);
        if self.gone.insert(uid.into()) {
            self.going.push_back(uid.into());
            if self.going.len() > GONE
                && let Some(oldest) = self.going.pop_front()
            {
                self.gone.remove(&oldest);
            }
        }
    }

    fn forget(&mut self, uid: &str) {
        if let Some(object) = self.objects.remove(uid)
            && let Some(owner) = object.meta().controller()
        {
            self.disown(&owner.uid, uid);
        }
    }

    /// Whether it is known to be gone.
    pub fn is_gone(&self, uid: &str) -> bool {
        self.gone.contains(uid)
    }

    /// The identities of all objects in a namespace, or everywhere.
    pub fn uids(&self, namespace: Option<&str>) -> Vec<Uid> {
        let within = |o: &&T| namespace.is_none_or(|ns| &*o.meta().namespace == ns);
        self.objects.values().filter(within).map(|o| o.meta().uid.clone()).collect()
    }

    /// Objects of a namespace, or of all, that are not named are forgotten.
    pub fn keep_only<'a>(&mut self, namespace: Option<&str>, uids: impl Iterator<Item = &'a str>) {
        let keep: HashSet<&str> = uids.collect();
        for uid in self.uids(namespace) {
            if !keep.contains(&*uid) {
                self.forget(&uid);
            }
        }
        self.gone.clear();
        self.going.clear();
    }

    /// These are all objects in a namespace, or everywhere: also what is newer here gives way, for a restored
    /// cluster counts from further back.
    pub fn swap(&mut self, namespace: Option<&str>, objects: impl Iterator<Item = T>) {
        let objects: Vec<T> = objects.collect();
        self.keep_only(namespace, objects.iter().map(|o| &*o.meta().uid));
        for object in objects {
            self.put(object);
        }
    }

    /// The object with this identity.
    pub fn get(&self, uid: &str) -> Option<&T> {
        self.objects.get(uid)
    }

    /// All of them, in no order.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.objects.values()
    }

    /// What this one controls, by identity.
    pub fn owned_by(&self, uid: &str) -> impl Iterator<Item = &T> {
        self.owned.get(uid).into_iter().flatten().filter_map(|uid| self.objects.get(uid))
    }

    /// Objects of this name.
    pub fn named(&self, namespace: &str, name: &str) -> impl Iterator<Item = &T> {
        self.objects.values().filter(move |o| &*o.meta().name == name && &*o.meta().namespace == namespace)
    }
}
