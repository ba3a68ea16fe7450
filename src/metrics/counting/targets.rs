//! Who was scraped when, as all queries of a rollout saw it.
//!
//! A counter of errors has no series before the first error, and mostly a query of its own. Whether its first
//! value came since the scrape before, or since the process began, is told by the requests of the same target.

use super::{GONE, KEPT, Labels};
use crate::model::time::Time;
use std::collections::{BTreeSet, HashMap};

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Targets {
    all: HashMap<Labels, Scrapes>,
    newest: Option<Time>,
}

/// When one target was scraped.
#[derive(Debug)]
struct Scrapes {
    first: Time,
    /// Those of the last quarter of an hour before the last one.
    lately: BTreeSet<Time>,
}

impl Targets {
    /// Notes when a target was scraped, oldest first.
    pub(super) fn note(&mut self, target: &Labels, samples: &[(Time, f64)]) {
        let (Some((first, _)), Some((last, _))) = (samples.first().copied(), samples.last().copied()) else { return };
        if !self.all.contains_key(target) {
            self.all.insert(target.clone(), Scrapes { first, lately: BTreeSet::new() });
        }
        let Some(scrapes) = self.all.get_mut(target) else { return };
        scrapes.first = scrapes.first.min(first);
        scrapes.lately.extend(samples.iter().map(|(at, _)| *at));
        while scrapes.lately.first().zip(scrapes.lately.last()).is_some_and(|(first, last)| *last - *first > KEPT) {
            scrapes.lately.pop_first();
        }
        self.newest = self.newest.max(Some(last));
    }

    /// Whether a target was scraped at or after `from` and before `until`.
    pub(super) fn was_scraped(&self, target: &Labels, from: Time, until: Time) -> bool {
        let Some(scrapes) = self.all.get(target).filter(|scrapes| scrapes.first < until && from < until) else { return false };
        scrapes.first >= from || scrapes.lately.range(from..until).next().is_some()
    }

    /// Forgets those that were silent for an hour.
    pub fn forget(&mut self) {
        let Some(newest) = self.newest else { return };
        self.all.retain(|_, scrapes| scrapes.lately.last().is_some_and(|last| newest - *last < GONE));
    }
}
