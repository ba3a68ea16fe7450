//! Who is who: targets, services, runs, versions, instances, actions.

use super::text::{Raw, Text};
use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! raw_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Raw);

        impl $name {
            /// Takes the exact name.
            #[must_use]
            pub fn new(exact: impl Into<CompactString>) -> Self {
                Self(Raw::new(exact))
            }

            /// The exact name, to send or compare.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }

            /// What may be drawn of it.
            #[must_use]
            pub fn text(&self) -> Text {
                self.0.text()
            }
        }
    };
}

raw_id!(
    /// A place where rollouts run, as the configuration names it.
    TargetId
);
raw_id!(
    /// One replacement of a stable version by a candidate. Unique within its service for ever.
    RunId
);
raw_id!(
    /// A version: the hash of its artifact and of the configuration it runs with.
    VersionId
);
raw_id!(
    /// One running copy of a version.
    InstanceId
);
raw_id!(
    /// A gate, by its name in the plan.
    GateId
);
raw_id!(
    /// An action, named by the client before it is sent, so that a lost answer can be looked up.
    ActionId
);

/// What is being rolled out, and where.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Key {
    /// The place.
    pub target: TargetId,
    /// From the outermost inwards (cluster, namespace); may be empty.
    #[serde(default)]
    pub scope: Vec<Raw>,
    /// The service's name there.
    pub service: Raw,
    /// Tells a service from another of the same name that was deleted before.
    #[serde(default)]
    pub uid: Option<Raw>,
}

/// A revision of a target's *facts*: it moves when a fact moves, never with a signal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rev(pub u64);

/// Which of a rollout's versions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The version to go back to.
    Stable,
    /// The version that is to replace it.
    Candidate,
    /// A version that was replaced and is still there.
    Superseded,
    /// A version beside the rollout.
    Experiment,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stable => "stable",
            Self::Candidate => "candidate",
            Self::Superseded => "superseded",
            Self::Experiment => "experiment",
        })
    }
}
