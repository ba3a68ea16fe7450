//! The kinds of objects that are looked at, and whether they could be.

use crate::model::text::Text;
use std::{collections::BTreeMap, fmt};

/// A kind of object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// What is rolled out.
    Rollouts,
    /// Its versions.
    ReplicaSets,
    /// Their instances.
    Pods,
    /// Measurements.
    AnalysisRuns,
    /// Versions beside it.
    Experiments,
    /// What the controller says.
    Events,
    /// Where a rollout with a `workloadRef` has its template.
    Deployments,
    /// The same: ReplicaSets that are looked at for their template only.
    Templates,
    /// The same, of the kind that is nothing but a template.
    PodTemplates,
    /// What attaches traffic to versions.
    Services,
}

impl Kind {
    /// As it stands in paths and permissions.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Rollouts => "rollouts",
            Self::ReplicaSets | Self::Templates => "replicasets",
            Self::Pods => "pods",
            Self::AnalysisRuns => "analysisruns",
            Self::Experiments => "experiments",
            Self::Events => "events",
            Self::Deployments => "deployments",
            Self::PodTemplates => "podtemplates",
            Self::Services => "services",
        }
    }

    /// The path of its group and version.
    #[must_use]
    pub const fn root(self) -> &'static str {
        match self {
            Self::Rollouts | Self::AnalysisRuns | Self::Experiments => "/apis/argoproj.io/v1alpha1",
            Self::ReplicaSets | Self::Deployments | Self::Templates => "/apis/apps/v1",
            Self::Pods | Self::Events | Self::PodTemplates | Self::Services => "/api/v1",
        }
    }

    /// The kind that a `workloadRef` names; `None` for one that no controller knows.
    #[must_use]
    pub fn of_workload(name: &str) -> Option<Self> {
        match name {
            "Deployment" => Some(Self::Deployments),
            "ReplicaSet" => Some(Self::Templates),
            "PodTemplate" => Some(Self::PodTemplates),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.plural())
    }
}

/// How much of a kind is known.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Cover {
    /// Nobody has asked.
    #[default]
    NotAsked,
    /// It was asked for and has not come.
    Coming,
    /// All of it.
    Whole,
    /// We may not, or it is not installed: for people.
    Denied(Text),
    /// What was known before the connection broke: for people.
    Old(Text),
}

/// How much is known of each kind.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Coverage(BTreeMap<Kind, Cover>);

impl Coverage {
    /// Of this kind.
    #[must_use]
    pub fn of(&self, kind: Kind) -> &Cover {
        self.0.get(&kind).unwrap_or(&Cover::NotAsked)
    }

    /// Whether all of this kind is known, or was known last.
    #[must_use]
    pub fn has(&self, kind: Kind) -> bool {
        matches!(self.of(kind), Cover::Whole | Cover::Old(_))
    }

    /// Sets how much is known; true if that is news.
    pub fn set(&mut self, kind: Kind, cover: Cover) -> bool {
        self.0.insert(kind, cover.clone()).unwrap_or_default() != cover
    }

    /// Kinds that are not (or no longer) known as they should be, with the reason.
    pub fn gaps(&self) -> impl Iterator<Item = (Kind, &Text)> {
        self.0.iter().filter_map(|(kind, cover)| match cover {
            Cover::Denied(why) | Cover::Old(why) => Some((*kind, why)),
            _ => None,
        })
    }
}
