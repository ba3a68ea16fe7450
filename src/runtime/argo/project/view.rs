//! A rollout and everything that belongs to it, as far as it is known.

use crate::{
    model::time::Time,
    runtime::argo::{
        kind::{Cover, Coverage, Kind},
        objects::{
            Manager, Meta,
            analysis::{AnalysisRun, Experiment},
            pod::Pod,
            rollout::Rollout,
            set::{ReplicaSet, Service, Workload},
        },
        project::controller::{self, Controller},
        store::{Store, memory::Memory},
        watch::Name,
    },
};

/// A rollout and everything that belongs to it.
pub struct View<'a> {
    /// The object.
    pub rollout: &'a Rollout,
    /// What the controller says of it.
    pub controller: Controller,
    /// Its ReplicaSets, newest revision first; `None` while they are not known.
    pub sets: Option<Vec<&'a ReplicaSet>>,
    /// The one of the version that is wanted.
    pub current: Option<&'a ReplicaSet>,
    /// The one that was promoted last.
    pub stable: Option<&'a ReplicaSet>,
    /// Its analysis runs, oldest first; `None` while they are not known.
    pub runs: Option<Vec<&'a AnalysisRun>>,
    /// Its experiments, oldest first; `None` while they are not known.
    pub experiments: Option<Vec<&'a Experiment>>,
    /// The workload that has its template.
    pub workload: Option<&'a Workload>,
    /// What was seen of it.
    pub memory: Option<&'a Memory>,
    /// The server's clock.
    pub now: Time,
    coverage: &'a Coverage,
    store: &'a Store,
}

impl<'a> View<'a> {
    /// Of the rollout of this name.
    #[must_use]
    pub fn of(store: &'a Store, name: &Name, now: Time, coverage: &'a Coverage) -> Option<Self> {
        let rollout = store.rollout(name)?;
        let uid = &*rollout.metadata.meta.uid;
        let sets = coverage.has(Kind::ReplicaSets).then(|| {
            let mut sets: Vec<_> = store.sets.owned_by(uid).collect();
            sets.sort_by(|a, b| b.metadata.revision().cmp(&a.metadata.revision()).then_with(|| a.metadata.name.cmp(&b.metadata.name)));
            sets
        });
        let with = |hash: &str| {
            // A hash that is not there yet is nobody's.
            let of = sets.iter().flatten().filter(|s| !hash.is_empty() && s.metadata.hash() == Some(hash));
            of.copied().max_by_key(|s| s.metadata.revision())
        };
        let (current, stable) = (with(&rollout.status.current_pod_hash), with(&rollout.status.stable_hash));
        let experiments = coverage.has(Kind::Experiments).then(|| by_age(store.experiments.owned_by(uid), |e| &e.metadata));
        let runs = coverage.has(Kind::AnalysisRuns).then(|| {
            let nested = experiments.iter().flatten().flat_map(|e| store.runs.owned_by(&e.metadata.uid));
            by_age(store.runs.owned_by(uid).chain(nested), |r| &r.metadata)
        });
        let workload = store.workload(rollout);
        Some(Self {
            controller: controller::controller(rollout, workload),
            rollout,
            current,
            stable,
            sets,
            runs,
            experiments,
            workload,
            memory: store.memory(uid),
            now,
            coverage,
            store,
        })
    }

    /// The pods of a ReplicaSet, oldest first; `None` while pods are not known.
    #[must_use]
    pub fn pods(&self, set: &ReplicaSet) -> Option<Vec<&'a Pod>> {
        self.coverage.has(Kind::Pods).then(|| by_age(self.store.pods.owned_by(&set.metadata.uid), |p| &p.metadata))
    }

    /// The ReplicaSets of an experiment.
    #[must_use]
    pub fn sets_of(&self, experiment: &Experiment) -> Vec<&'a ReplicaSet> {
        if self.sets.is_none() {
            return Vec::new();
        }
        by_age(self.store.sets.owned_by(&experiment.metadata.uid), |s| &s.metadata)
    }

    /// The service of this name in its namespace; `None` while services are not seen as they are now.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<Option<&'a Service>> {
        let named = || self.store.services.named(&self.rollout.metadata.meta.namespace, name).max_by_key(|s| s.metadata.version);
        self.knows(Kind::Services).then(named)
    }

    /// What was said about it, oldest first.
    pub fn said(&self) -> impl Iterator<Item = &'a crate::runtime::argo::store::timeline::Said> + use<'a> {
        self.store.said(&self.rollout.metadata.meta.uid)
    }

    /// Whether everything there is of a kind is known, now.
    #[must_use]
    pub fn knows(&self, kind: Kind) -> bool {
        matches!(self.coverage.of(kind), Cover::Whole)
    }

    /// The number of the update: the revision of the ReplicaSet that is wanted.
    #[must_use]
    pub fn revision(&self) -> Option<u64> {
        if self.rollout.status.current_pod_hash.is_empty() {
            return None;
        }
        self.current.and_then(|set| set.metadata.revision()).or_else(|| self.rollout.metadata.meta.revision())
    }

    /// The last one, beside the controller, who wrote what this is about.
    #[must_use]
    pub fn writer(&self, what: impl Fn(&Manager) -> bool) -> Option<&'a Manager> {
        self.rollout.metadata.managers.iter().filter(|m| !m.is_controller() && what(m)).max_by_key(|m| m.time)
    }

    /// When a condition became so; else when the rollout was made.
    #[must_use]
    pub fn since(&self, condition: Option<&crate::runtime::argo::objects::Condition>) -> Time {
        condition.and_then(|c| c.since.or(c.updated)).or(self.rollout.metadata.meta.created).unwrap_or(self.now)
    }

    /// Whether the candidate is another version than stable.
    #[must_use]
    pub fn is_updating(&self) -> bool {
        let status = &self.rollout.status;
        !status.current_pod_hash.is_empty() && !status.stable_hash.is_empty() && !self.rollout.is_promoted()
    }

    /// Whether it was given up.
    #[must_use]
    pub fn is_aborted(&self) -> bool {
        self.controller.reason() == "RolloutAborted"
    }
}

fn by_age<'a, T>(all: impl Iterator<Item = &'a T>, meta: impl Fn(&'a T) -> &'a Meta) -> Vec<&'a T> {
    let mut all: Vec<&T> = all.collect();
    all.sort_by(|a, b| {
        let (a, b) = (meta(a), meta(b));
        (a.created, &a.name).cmp(&(b.created, &b.name))
    });
    all
}
