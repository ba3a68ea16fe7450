//! ReplicaSets, and what else has a pod template.

use super::{
    Condition, Meta, Template,
    lenient::{count, list, maybe, object, when, whole},
};
use crate::model::time::Time;
use serde::Deserialize;

/// One version's pods, as they should be.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ReplicaSet {
    /// Who it is.
    #[serde(deserialize_with = "object")]
    pub metadata: Meta,
    /// What it should be.
    #[serde(deserialize_with = "object")]
    pub spec: SetSpec,
    /// What it is.
    #[serde(deserialize_with = "object")]
    pub status: SetStatus,
}

/// What a ReplicaSet should be.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SetSpec {
    /// How many pods.
    #[serde(deserialize_with = "count")]
    pub replicas: u32,
    /// Of what.
    #[serde(deserialize_with = "object")]
    pub template: Template,
}

/// What a ReplicaSet is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SetStatus {
    /// Pods that are there.
    #[serde(deserialize_with = "count")]
    pub replicas: u32,
    /// Of these, ready ones.
    #[serde(deserialize_with = "count")]
    pub ready_replicas: u32,
    /// Of these, ready for long enough.
    #[serde(deserialize_with = "count")]
    pub available_replicas: u32,
    /// What speaks against it.
    #[serde(deserialize_with = "list")]
    pub conditions: Vec<Condition>,
}

impl ReplicaSet {
    /// When it is scaled down, if that was decided.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        super::lenient::instant(self.metadata.annotations.get("scale-down-deadline")?)
    }

    /// Whether an experiment made it.
    #[must_use]
    pub fn is_of_experiment(&self) -> bool {
        self.metadata.annotations.get("experiment.argoproj.io/name").is_some()
    }
}

/// Where a rollout with a `workloadRef` has its template: a Deployment, a ReplicaSet or a PodTemplate.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Workload {
    /// Who it is.
    #[serde(deserialize_with = "object")]
    pub metadata: Meta,
    /// What it should be.
    #[serde(deserialize_with = "maybe")]
    pub spec: Option<SetSpec>,
    /// A PodTemplate has it here.
    #[serde(deserialize_with = "maybe")]
    template: Option<Template>,
}

impl Workload {
    /// The template.
    #[must_use]
    pub fn template(&self) -> Option<&Template> {
        self.template.as_ref().or_else(|| self.spec.as_ref().map(|spec| &spec.template))
    }
}

/// What attaches traffic to versions.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Who it is.
    #[serde(deserialize_with = "object")]
    pub metadata: Meta,
    /// What it should be.
    #[serde(deserialize_with = "object")]
    pub spec: ServiceSpec,
}

/// What a service should be.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceSpec {
    /// Which pods get its traffic.
    #[serde(deserialize_with = "object")]
    pub selector: ServiceSelector,
}

/// Which pods get a service's traffic.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceSelector {
    /// Those of this version; of every version without it.
    #[serde(rename = "rollouts-pod-template-hash", deserialize_with = "super::lenient::text")]
    pub hash: super::lenient::Str,
}

/// Something that was said about an object.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Event {
    /// Who it is.
    #[serde(deserialize_with = "object")]
    pub metadata: Meta,
    /// What it is about.
    #[serde(deserialize_with = "object")]
    pub involved_object: Involved,
    /// In one word.
    #[serde(deserialize_with = "super::lenient::text")]
    pub reason: super::lenient::Str,
    /// For people.
    #[serde(deserialize_with = "super::lenient::text")]
    pub message: super::lenient::Str,
    /// `Normal` or `Warning`.
    #[serde(rename = "type", deserialize_with = "super::lenient::text")]
    pub kind: super::lenient::Str,
    /// How often it was said.
    #[serde(deserialize_with = "whole")]
    pub count: Option<i64>,
    /// When it was said first.
    #[serde(deserialize_with = "when")]
    pub first_timestamp: Option<Time>,
    /// When it was said last.
    #[serde(deserialize_with = "when")]
    pub last_timestamp: Option<Time>,
    /// When it was said, in newer ones.
    #[serde(deserialize_with = "when")]
    pub event_time: Option<Time>,
    /// How often and when it was said last, in newer ones.
    #[serde(deserialize_with = "maybe")]
    pub series: Option<Series>,
    /// Who said it.
    #[serde(deserialize_with = "object")]
    pub source: Source,
    /// Who said it, in newer ones.
    #[serde(deserialize_with = "super::lenient::text")]
    pub reporting_component: super::lenient::Str,
}

/// What an event is about.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Involved {
    /// Its kind.
    #[serde(deserialize_with = "super::lenient::text")]
    pub kind: super::lenient::Str,
    /// Its name.
    #[serde(deserialize_with = "super::lenient::text")]
    pub name: super::lenient::Str,
    /// Its identity.
    #[serde(deserialize_with = "super::lenient::text")]
    pub uid: super::lenient::Str,
}

/// An event that was said several times.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Series {
    /// How often.
    #[serde(deserialize_with = "whole")]
    pub count: Option<i64>,
    /// When last.
    #[serde(deserialize_with = "when")]
    pub last_observed_time: Option<Time>,
}

/// Who said an event.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Source {
    /// The program.
    #[serde(deserialize_with = "super::lenient::text")]
    pub component: super::lenient::Str,
}

impl Event {
    /// When it was said last.
    #[must_use]
    pub fn at(&self) -> Option<Time> {
        let series = self.series.as_ref().and_then(|s| s.last_observed_time);
        series.or(self.last_timestamp).or(self.event_time).or(self.first_timestamp).or(self.metadata.created)
    }

    /// How often it was said.
    #[must_use]
    pub fn times(&self) -> i64 {
        self.series.as_ref().and_then(|s| s.count).or(self.count).unwrap_or(1).max(1)
    }
}
