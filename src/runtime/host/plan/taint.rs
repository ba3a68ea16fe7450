//! Taking a version out of the candidates for the way back.

use super::{
    Draft,
    facts::{remembered, standing, unmoved},
};
use crate::model::{
    action::Refusal,
    ident::VersionId,
    rollout::{Rollout, Standing},
};

pub fn taint(r: &Rollout, version: &VersionId) -> Result<Draft, Refusal> {
    let known = remembered(r, version)?;
    let label = &known.version.label;
    if let Standing::Tainted { by, reason } = &known.standing {
        return Err(Refusal::AlreadySo { what: format!("{label} is tainted already by {by}: {reason}").into() });
    }
    let mut draft = Draft { title: format!("TAINT {label}"), needs_reason: true, weights: unmoved(r), ..Draft::default() };
    draft.note(standing(known));
    draft.note("the way back does not choose it any more; no traffic moves");
    if r.tracks.iter().any(|t| t.version.id == *version && super::facts::weight(t) > crate::model::ratio::Weight::ZERO) {
        draft.warn(format!("{label} has traffic now and keeps it"));
    }
    if !r.undoable().iter().any(|k| k.version.id != *version) {
        draft.warn("no other version is left that could be gone back to");
    }
    Ok(draft)
}
