//! What is looked at because a rollout is open.

use super::{Objects, Watch};
use crate::runtime::argo::kind::{Cover, Kind};

impl<O: Objects> Watch<O> {
    /// Looks at what belongs to the open rollout, and no longer at what belonged to another one.
    pub(super) fn refocus(&mut self) {
        let open = self.open.borrow_and_update().clone();
        let wanted = open.and_then(|name| Some((name.clone(), self.rollouts.get(&name)?.needs.clone())));
        if wanted == self.looking {
            return;
        }
        let before = std::mem::replace(&mut self.looking, wanted);
        for (id, fed) in std::mem::take(&mut self.fed) {
            if fed.kind == Kind::Rollouts {
                self.fed.insert(id, fed);
                continue;
            }
            fed.stop.abort();
            self.objects.swap(fed.kind, None, &[]);
            self.coverage.set(fed.kind, Cover::NotAsked);
            self.gaps.remove(&fed.kind);
        }
        self.dirty.extend(before.map(|(name, _)| name));
        if let Some((name, needs)) = self.looking.clone() {
            for query in needs.queries(&name) {
                self.coverage.set(query.kind, Cover::Coming);
                self.feed(query, None);
            }
            self.dirty.insert(name);
        }
        self.soon();
    }
}
