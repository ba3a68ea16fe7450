//! Pods: what they run, and what is wrong with them.

use super::{
    Meta,
    lenient::{Str, count, flag, list, maybe, object, text, when, whole},
};
use crate::model::time::Time;
use serde::Deserialize;

/// One pod.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Who it is.
    #[serde(deserialize_with = "object")]
    pub metadata: Meta,
    /// Where it should be.
    #[serde(deserialize_with = "object")]
    pub spec: Spec,
    /// What it is.
    #[serde(deserialize_with = "object")]
    pub status: Status,
}

/// Where a pod should be.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// The machine, once that is decided.
    #[serde(deserialize_with = "text")]
    pub node_name: Str,
    /// Its containers that are started before the others and stay (sidecars) or end.
    #[serde(deserialize_with = "list")]
    pub init_containers: Vec<Init>,
}

/// A container that is started before the others.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Init {
    /// Its name.
    #[serde(deserialize_with = "text")]
    pub name: Str,
    /// `Always` for one that stays.
    #[serde(deserialize_with = "text")]
    pub restart_policy: Str,
}

/// What a pod is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    #[serde(deserialize_with = "text")]
    pub phase: Str,
    /// Why, in one word, when something is wrong with all of it (`Evicted`).
    #[serde(deserialize_with = "text")]
    pub reason: Str,
    /// What holds of it.
    #[serde(deserialize_with = "conditions")]
    pub conditions: Conditions,
    /// Of each container.
    #[serde(deserialize_with = "list")]
    pub container_statuses: Vec<ContainerStatus>,
    /// Of each container that is started before the others.
    #[serde(deserialize_with = "list")]
    pub init_container_statuses: Vec<ContainerStatus>,
}

/// The conditions of a pod that matter.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Conditions {
    /// Whether it may get traffic, and since when that is so.
    pub ready: Option<(bool, Option<Time>)>,
    /// Why it has no machine, if it has none.
    pub unscheduled: Option<Str>,
}

fn conditions<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Conditions, D::Error> {
    let all: Vec<super::Condition> = list(d)?;
    let find = |kind: &str| all.iter().find(|c| &*c.kind == kind);
    Ok(Conditions {
        ready: find("Ready").map(|c| (&*c.status == "True", c.since)),
        unscheduled: find("PodScheduled")
            .filter(|c| &*c.status == "False")
            .map(|c| if c.message.is_empty() { c.reason.clone() } else { c.message.clone() }),
    })
}

/// One container, as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerStatus {
    /// Its name.
    #[serde(deserialize_with = "text")]
    pub name: Str,
    /// What was asked for.
    #[serde(deserialize_with = "text")]
    pub image: Str,
    /// What runs, as the runtime names it; empty before it was fetched.
    #[serde(rename = "imageID", deserialize_with = "text")]
    pub image_id: Str,
    /// Whether it may get traffic.
    #[serde(deserialize_with = "flag")]
    pub ready: bool,
    /// How often it was started again.
    #[serde(deserialize_with = "count")]
    pub restart_count: u32,
    /// Now.
    #[serde(deserialize_with = "object")]
    pub state: State,
    /// Before it was started last.
    #[serde(deserialize_with = "object")]
    pub last_state: State,
}

/// What a container does; all absent: it waits.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct State {
    /// It has not started.
    #[serde(deserialize_with = "maybe")]
    pub waiting: Option<Waiting>,
    /// It runs.
    #[serde(deserialize_with = "maybe")]
    pub running: Option<Running>,
    /// It has ended.
    #[serde(deserialize_with = "maybe")]
    pub terminated: Option<Terminated>,
}

/// Why a container has not started.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Waiting {
    /// In one word: `CrashLoopBackOff`, `ImagePullBackOff`, `ContainerCreating`.
    #[serde(deserialize_with = "text")]
    pub reason: Str,
}

/// Since when a container runs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Running {
    /// Since when.
    #[serde(deserialize_with = "when")]
    pub started_at: Option<Time>,
}

/// How a container ended.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Terminated {
    /// In one word: `Error`, `OOMKilled`, `Completed`.
    #[serde(deserialize_with = "text")]
    pub reason: Str,
    /// Its exit code.
    #[serde(deserialize_with = "whole")]
    pub exit_code: Option<i64>,
    /// The signal that ended it, if one did.
    #[serde(deserialize_with = "whole")]
    pub signal: Option<i64>,
    /// When.
    #[serde(deserialize_with = "when")]
    pub finished_at: Option<Time>,
}
