//! What is read of Kubernetes objects: slim types of our own.
//!
//! They know the few fields that mean something here, tolerate older and newer definitions of them (see
//! [`lenient`]) and forget the rest, so that 10,000 pods are small.

pub mod analysis;
pub mod duration;
pub mod lenient;
pub mod pod;
pub mod rollout;
pub mod set;
pub mod step;

use crate::model::time::Time;
use lenient::{Marks, Str, flag, keys, list, marks, object, text, when};
use serde::{Deserialize, de::DeserializeOwned};

/// What every object says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Meta {
    /// Its name.
    #[serde(deserialize_with = "text")]
    pub name: Str,
    /// The namespace it is in.
    #[serde(deserialize_with = "text")]
    pub namespace: Str,
    /// Tells it from others of the same name.
    #[serde(deserialize_with = "text")]
    pub uid: Str,
    /// Moves with every change of it.
    #[serde(rename = "resourceVersion", deserialize_with = "revision")]
    pub version: u64,
    /// Moves with every change of its spec.
    #[serde(deserialize_with = "lenient::whole")]
    pub generation: Option<i64>,
    /// When it was made.
    #[serde(rename = "creationTimestamp", deserialize_with = "when")]
    pub created: Option<Time>,
    /// When it was asked to go, if it was.
    #[serde(rename = "deletionTimestamp", deserialize_with = "when")]
    pub deleted: Option<Time>,
    /// Labels that mean something.
    #[serde(deserialize_with = "marks")]
    pub labels: Marks,
    /// Annotations that mean something.
    #[serde(deserialize_with = "marks")]
    pub annotations: Marks,
    /// What it belongs to.
    #[serde(rename = "ownerReferences", deserialize_with = "list")]
    pub owners: Vec<Owner>,
}

fn revision<'de, D: serde::Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
    Ok(lenient::text(d)?.parse().unwrap_or_default())
}

impl Meta {
    /// What controls it.
    #[must_use]
    pub fn controller(&self) -> Option<&Owner> {
        self.owners.iter().find(|o| o.controller).or_else(|| self.owners.first())
    }

    /// The hash of the pod template it belongs to.
    #[must_use]
    pub fn hash(&self) -> Option<&str> {
        self.labels.get("rollouts-pod-template-hash")
    }

    /// The number of the update it belongs to.
    #[must_use]
    pub fn revision(&self) -> Option<u64> {
        self.annotations.get("rollout.argoproj.io/revision")?.parse().ok()
    }
}

/// What an object belongs to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// Its identity.
    #[serde(deserialize_with = "text")]
    pub uid: Str,
    /// Whether it controls the object.
    #[serde(deserialize_with = "flag")]
    pub controller: bool,
}

/// Who wrote what: one entry of `managedFields`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Manager {
    /// The program, as it calls itself.
    #[serde(rename = "manager", deserialize_with = "text")]
    pub name: Str,
    /// When it wrote last.
    #[serde(deserialize_with = "when")]
    pub time: Option<Time>,
    /// `status`, or empty for everything else.
    #[serde(deserialize_with = "text")]
    pub subresource: Str,
    /// What it wrote.
    #[serde(rename = "fieldsV1", deserialize_with = "object")]
    pub fields: Fields,
}

/// The fields that somebody wrote, one level deep.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Fields {
    /// Of the spec.
    #[serde(rename = "f:spec", deserialize_with = "keys")]
    pub spec: Vec<Str>,
    /// Of the status.
    #[serde(rename = "f:status", deserialize_with = "keys")]
    pub status: Vec<Str>,
}

impl Manager {
    /// Whether this is the controller of rollouts itself.
    #[must_use]
    pub fn is_controller(&self) -> bool {
        matches!(&*self.name, "rollouts-controller" | "argo-rollouts" | "argo-rollouts-controller")
    }
}

/// A condition of a status.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type", deserialize_with = "text")]
    pub kind: Str,
    /// `True`, `False` or `Unknown`.
    #[serde(deserialize_with = "text")]
    pub status: Str,
    /// Why, in one word.
    #[serde(deserialize_with = "text")]
    pub reason: Str,
    /// Why, for people.
    #[serde(deserialize_with = "text")]
    pub message: Str,
    /// When it was said last.
    #[serde(rename = "lastUpdateTime", deserialize_with = "when")]
    pub updated: Option<Time>,
    /// Since when the status is so.
    #[serde(rename = "lastTransitionTime", deserialize_with = "when")]
    pub since: Option<Time>,
}

/// A pod template, as far as it says what runs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Template {
    /// What its pods say of themselves.
    #[serde(deserialize_with = "object")]
    pub metadata: TemplateMeta,
    /// Its pods.
    #[serde(deserialize_with = "object")]
    pub spec: PodSpec,
}

/// What the pods of a template say of themselves.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TemplateMeta {
    /// Their labels, as far as they mean something here.
    #[serde(deserialize_with = "object")]
    pub labels: VersionLabels,
}

/// How pods are labelled with their version. Only templates are read so: there may be 10,000 pods.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct VersionLabels {
    /// What Istio calls the version.
    #[serde(deserialize_with = "text")]
    version: Str,
    /// What Kubernetes recommends, and charts write.
    #[serde(rename = "app.kubernetes.io/version", deserialize_with = "text")]
    recommended: Str,
}

impl VersionLabels {
    /// The version that they say: Istio's label goes first.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        [&*self.version, &*self.recommended].into_iter().find(|value| !value.is_empty())
    }
}

/// What a pod is to run.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    /// In order.
    #[serde(deserialize_with = "list")]
    pub containers: Vec<Container>,
    /// Before the others.
    #[serde(deserialize_with = "list")]
    pub init_containers: Vec<Container>,
}

/// One container of a pod.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Its name.
    #[serde(deserialize_with = "text")]
    pub name: Str,
    /// What was asked for.
    #[serde(deserialize_with = "text")]
    pub image: Str,
}

/// An object, or whatever a bookmark or a stub has of it.
///
/// # Errors
/// When it is no JSON object.
pub fn decode<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(json)
}
