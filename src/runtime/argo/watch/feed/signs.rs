//! Which kinds have bookmarks at a cluster.

use crate::runtime::argo::kind::Kind;
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// The kinds that have had a bookmark, of any watch: only of these does silence say that a watch is dead. It
/// outlives lists and connections, for a watch from a revision that nobody knows never sends the first one.
#[derive(Debug, Default)]
pub struct Signs(Mutex<BTreeSet<Kind>>);

impl Signs {
    /// One of this kind came.
    pub fn note(&self, kind: Kind) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(kind);
    }

    /// Whether one of this kind ever came.
    #[must_use]
    pub fn has(&self, kind: Kind) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&kind)
    }
}
