//! Versions and the tracks they are on.

use super::{
    digest::Digest,
    ident::{Role, VersionId},
    instance::{Growth, Pool, Usage},
    ratio::Ratio,
    signal::{Signal, SignalId},
    text::{Raw, Text},
    time::Time,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Artifacts plus the configuration they run with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Version {
    /// What the runtime calls it.
    pub id: VersionId,
    /// What people call it.
    pub label: Text,
    /// Its source revision, if the artifact says it.
    #[serde(default)]
    pub revision: Option<Text>,
    /// Its artifacts.
    pub parts: Vec<Part>,
    /// Hash of the configuration it runs with.
    #[serde(default)]
    pub config: Option<Digest>,
    /// Why going back from it is not safe (a migration, say), as its artifact says. Shown, never blocking.
    #[serde(default)]
    pub back_unsafe: Option<Text>,
    /// What its series call it in a metrics backend, where the runtime tells: a label of its pods, say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_as: Option<Raw>,
}

/// One artifact of a version.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Part {
    /// The container, or empty where there is one artifact only.
    #[serde(default)]
    pub container: Text,
    /// What was asked for.
    pub declared: Artifact,
    /// What was verified to run.
    #[serde(default)]
    pub running: Option<Digest>,
    /// Whether instances of this version run different digests of it.
    #[serde(default)]
    pub differs: bool,
    /// When all its bytes were read last, where that is done.
    #[serde(default)]
    pub checked: Option<Time>,
    /// What was found that is not as it was sealed or started; then nothing is said to be verified.
    #[serde(default)]
    pub wrong: Option<Text>,
}

/// Sealed content, or what stands for it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Artifact {
    /// Sealed.
    Digest(Digest),
    /// A name that can move: shown as not sealed.
    Tag(Text),
    /// Sealed by a name that is no digest (a machine image).
    Opaque(Text),
}

impl Version {
    /// The first 12 hex digits of its artifact's digest, or its tag.
    #[must_use]
    pub fn short_digest(&self) -> Text {
        match self.parts.first().map(|p| &p.declared) {
            Some(Artifact::Digest(d)) => d.short().into(),
            Some(Artifact::Tag(t) | Artifact::Opaque(t)) => t.clone(),
            None => Text::default(),
        }
    }

    /// What a person tells it by: the first 12 hex digits of its digest; where it was not asked for by one, what the
    /// runtime calls it: a pod hash.
    #[must_use]
    pub fn short_id(&self) -> Text {
        match self.parts.first().map(|p| &p.declared) {
            Some(Artifact::Digest(d)) => d.short().into(),
            _ => self.id.text(),
        }
    }

    /// Whether it was asked for by a tag, which can be another artifact tomorrow.
    #[must_use]
    pub fn is_tag(&self) -> bool {
        matches!(self.parts.first().map(|p| &p.declared), Some(Artifact::Tag(_)))
    }
}

/// One version's place in a rollout.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Track {
    /// Who it is.
    pub role: Role,
    /// Where it is attached (active, preview, an alias), if the strategy attaches.
    #[serde(default)]
    pub slot: Option<Text>,
    /// The address where it is reached while it has no traffic, as long as somebody answers there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Text>,
    /// What runs there.
    pub version: Version,
    /// Its instances.
    pub pools: Vec<Pool>,
    /// Its share of the default route.
    pub share: Share,
    /// What is measured of it.
    #[serde(default)]
    pub signals: BTreeMap<SignalId, Signal>,
    /// What is known of its artifact, where the runtime has it.
    #[serde(default)]
    pub about: Option<About>,
}

impl Track {
    /// How the memory of the instance went that grew most since it was warm, once that can be said of one.
    #[must_use]
    pub fn growth(&self) -> Option<Growth> {
        let used = self.pools.iter().flat_map(|p| &p.instances).filter_map(|i| i.usage.as_ref());
        used.filter_map(Usage::growth).max_by_key(|growth| (growth.bytes, growth.over))
    }
}

/// What is known of an artifact.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct About {
    /// Its annotations.
    #[serde(default)]
    pub annotations: BTreeMap<Text, Text>,
    /// Bytes of its content.
    #[serde(default)]
    pub size: Option<u64>,
    /// Where it is kept.
    #[serde(default)]
    pub store: Option<Text>,
    /// When it was sealed.
    #[serde(default)]
    pub sealed: Option<Time>,
}

/// A track's share of the traffic: said, done, seen.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Share {
    /// What the plan says.
    #[serde(default)]
    pub declared: Option<Ratio>,
    /// What the router says it does.
    #[serde(default)]
    pub programmed: Option<Ratio>,
    /// What was counted over the last minute, in units of `basis`.
    #[serde(default)]
    pub seen: Option<Ratio>,
    /// What was counted: `requests`, `replicas`, `connections`.
    #[serde(default)]
    pub basis: Text,
    /// Whether clients stay on the version they were dealt to: then what is seen of requests may be off
    /// although the router does what is declared, and no split is judged.
    #[serde(default)]
    pub sticky: bool,
}
