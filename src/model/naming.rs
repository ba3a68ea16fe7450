//! From what a person calls a version to the version: its label, its id, or the beginning of its digest.

use super::{
    ident::VersionId,
    rollout::{Known, Rollout, Standing},
    version::Artifact,
};

/// A beginning of fewer hex digits than this names no artifact.
pub const SHORTEST: usize = 4;

/// Why a name is no version's.
#[derive(Clone, PartialEq, Debug)]
pub enum NoVersion<'a> {
    /// No version that is remembered is called so.
    Unknown,
    /// Several are.
    Several(Vec<&'a Known>),
}

impl Rollout {
    /// What is remembered of a version.
    #[must_use]
    pub fn known(&self, version: &VersionId) -> Option<&Known> {
        self.versions.iter().find(|k| k.version.id == *version)
    }

    /// The version that a person calls so.
    ///
    /// # Errors
    /// When none is called so, or several are.
    pub fn version_called(&self, name: &str) -> Result<&Known, NoVersion<'_>> {
        // The exact id first: it names one version whatever others are labelled.
        if let Some(exact) = self.versions.iter().find(|k| k.version.id.as_str() == name) {
            return Ok(exact);
        }
        let labelled: Vec<&Known> = self.versions.iter().filter(|k| k.version.label.as_str() == name).collect();
        let called = if labelled.is_empty() { self.versions.iter().filter(|k| begins(k, name)).collect() } else { labelled };
        match called.as_slice() {
            [] => Err(NoVersion::Unknown),
            [one] => Ok(one),
            _ => Err(NoVersion::Several(called)),
        }
    }

    /// Versions that an undo could go to, the best first: good ones, then those that nobody knows
    /// anything against; of equals the newest. What serves, what is gone and what was left or tainted
    /// is not among them.
    #[must_use]
    pub fn undoable(&self) -> Vec<&Known> {
        let serving = self.stable().map(|t| &t.version.id);
        let could = |k: &&Known| k.available && Some(&k.version.id) != serving;
        let rank = |k: &&Known| match k.standing {
            Standing::Good => Some(0),
            Standing::Baking { .. } | Standing::Unproven => Some(1),
            Standing::Left { .. } | Standing::Tainted { .. } => None,
        };
        let mut all: Vec<&Known> = self.versions.iter().filter(could).filter(|k| rank(k).is_some()).collect();
        all.sort_by_key(rank);
        all
    }
}

/// Whether the version's id or an artifact's digest begins like this.
fn begins(known: &Known, name: &str) -> bool {
    let hex = name.strip_prefix("sha256:").unwrap_or(name);
    if hex.len() < SHORTEST {
        return false;
    }
    let digest = known.version.parts.iter().any(|p| matches!(&p.declared, Artifact::Digest(d) if d.hex().starts_with(hex)));
    digest || known.version.id.as_str().starts_with(name)
}

impl Standing {
    /// In one word: `good`, `baking`, `unproven`, `left`, `tainted`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Baking { .. } => "baking",
            Self::Unproven => "unproven",
            Self::Left { .. } => "left",
            Self::Tainted { .. } => "tainted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::NoVersion;
    use crate::model::{
        digest::Digest,
        ident::VersionId,
        rollout::{Known, Rollout, Standing},
        version::{Artifact, Part, Version},
    };
    use std::time::Duration;

    fn known(label: &str, content: &str, standing: Standing) -> Known {
        let part = Part {
            container: "".into(),
            declared: Artifact::Digest(Digest::of(content.as_bytes())),
            running: None,
            differs: false,
            checked: None,
            wrong: None,
        };
        let version = Version {
            id: VersionId::new(format!("id-{content}")),
            label: label.into(),
            revision: None,
            parts: vec![part],
            config: None,
            back_unsafe: None,
            measured_as: None,
        };
        Known { version, standing, proven: Duration::ZERO, error_ratio: None, until: None, available: true }
    }

    fn rollout(versions: Vec<Known>) -> Rollout {
        let json = serde_json::json!({
            "key": { "target": "t", "service": "web" }, "run": null, "strategy": "canary", "phase": "completed", "holds": [],
            "tracks": [{ "role": "stable", "version": versions[0].version, "pools": [], "share": {} }], "steps": [],
            "next": { "what": "", "by": "" }, "gates": [], "back": { "how": { "kind": "switch" }, "checks": [] },
            "seen": { "epoch": 1, "rev": 1, "server_time": "2026-01-01T00:00:00Z", "fresh_for": 1000 },
        });
        Rollout { versions, ..serde_json::from_value(json).unwrap() }
    }

    #[test]
    fn by_label_id_or_the_beginning_of_a_digest() {
        let r = rollout(vec![
            known("v43", "c", Standing::Unproven),
            known("v42", "b", Standing::Good),
            known("v41", "a", Standing::Good),
            known("v41", "a2", Standing::Good),
        ]);
        let id = |name: &str| r.version_called(name).map(|k| k.version.id.as_str().to_owned());
        assert_eq!(id("v42"), Ok("id-b".into()));
        assert_eq!(id("id-a"), Ok("id-a".into()), "exact before a beginning of another");
        let hex = Digest::of(b"b").hex();
        for name in [&hex[..12], &hex[..4], &format!("sha256:{hex}"), "id-b"] {
            assert_eq!(id(name), Ok("id-b".into()), "{name}");
        }
        assert_eq!(id(&hex[..3]), Err(NoVersion::Unknown), "too short");
        assert_eq!(id("v4"), Err(NoVersion::Unknown), "a label is not guessed");
        assert!(matches!(r.version_called("v41"), Err(NoVersion::Several(two)) if two.len() == 2));
    }

    #[test]
    fn an_undo_goes_to_the_newest_good_version_that_does_not_serve() {
        let left = Standing::Left { reason: "errors".into() };
        let tainted = Standing::Tainted { by: "ana".into(), reason: "leaks".into() };
        let r = rollout(vec![
            known("v46", "46", Standing::Good),
            known("v45", "45", left),
            known("v44", "44", Standing::Unproven),
            known("v43", "43", tainted),
            Known { available: false, ..known("v42", "42", Standing::Good) },
            known("v41", "41", Standing::Good),
            known("v40", "40", Standing::Good),
        ]);
        let labels: Vec<&str> = r.undoable().iter().map(|k| k.version.label.as_str()).collect();
        assert_eq!(labels, ["v41", "v40", "v44"]);
    }
}
