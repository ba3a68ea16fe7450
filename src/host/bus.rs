//! What watchers are told: a full picture first, then every change in order.

use crate::model::{
    delta::Delta,
    event::{Event, FailedRequest},
    history::{History, Point},
    ident::{Key, Rev, VersionId},
    rollout::Rollout,
    time::Time,
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::broadcast;

/// Version of the watch's wire format.
const WIRE: u32 = 1;

/// A watcher that is further behind starts again from a full picture.
const BACKLOG: usize = 1_024;

/// The present picture and whoever watches it. Owned by the engine, so that a new watcher's full
/// picture and the changes that follow never miss or repeat anything.
pub struct Bus {
    epoch: u64,
    rev: Rev,
    rollouts: BTreeMap<Key, Watched>,
    out: broadcast::Sender<Arc<Delta>>,
}

#[derive(Default)]
struct Watched {
    rollout: Option<Rollout>,
    history: BTreeMap<VersionId, History>,
    events: Vec<Event>,
    failed: BTreeMap<VersionId, Vec<FailedRequest>>,
}

/// A full picture and the changes that follow it.
pub struct Subscription {
    /// From `Init` to `InitDone`.
    pub picture: Vec<Arc<Delta>>,
    /// What happens next.
    pub changes: broadcast::Receiver<Arc<Delta>>,
}

impl Bus {
    /// An empty picture; `epoch` tells this start of the host from every other.
    #[must_use]
    pub fn new(epoch: u64) -> Self {
        Self { epoch, rev: Rev(0), rollouts: BTreeMap::new(), out: broadcast::channel(BACKLOG).0 }
    }

    /// See [`Seen::epoch`](crate::model::rollout::Seen::epoch).
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The revision of the whole host: moves when a fact of any rollout moves.
    #[must_use]
    pub const fn rev(&self) -> Rev {
        self.rev
    }

    /// What a new watcher gets.
    #[must_use]
    pub fn subscribe(&self, now: Time) -> Subscription {
        let changes = self.out.subscribe();
        let mut picture = vec![Delta::Init { version: WIRE, epoch: self.epoch, server_time: now }];
        for (key, watched) in &self.rollouts {
            let Some(rollout) = &watched.rollout else { continue };
            picture.push(Delta::Apply { rollout: Box::new(rollout.clone()) });
            for (version, history) in &watched.history {
                picture.push(Delta::History { key: key.clone(), version: version.clone(), history: history.clone() });
            }
            for (version, requests) in &watched.failed {
                picture.push(Delta::Failed { key: key.clone(), version: version.clone(), requests: requests.clone() });
            }
            picture.push(Delta::Events { key: key.clone(), events: watched.events.clone() });
        }
        picture.push(Delta::InitDone { rev: self.rev });
        Subscription { picture: picture.into_iter().map(Arc::new).collect(), changes }
    }

    /// Every rollout as it is now.
    pub fn rollouts(&self) -> impl Iterator<Item = &Rollout> {
        self.rollouts.values().filter_map(|w| w.rollout.as_ref())
    }

    /// One rollout as it is now.
    #[must_use]
    pub fn rollout(&self, key: &Key) -> Option<&Rollout> {
        self.rollouts.get(key)?.rollout.as_ref()
    }

    /// A rollout as it is now.
    pub fn apply(&mut self, rollout: Rollout) {
        let watched = self.rollouts.entry(rollout.key.clone()).or_default();
        // Each service counts its own facts: the highest of them would hide the others'.
        if watched.rollout.as_ref().is_none_or(|told| told.seen.rev != rollout.seen.rev) {
            self.rev.0 += 1;
        }
        let _ = self.out.send(Arc::new(Delta::Apply { rollout: Box::new(rollout.clone()) }));
        watched.rollout = Some(rollout);
    }

    /// A second of a version's traffic.
    pub fn point(&mut self, key: &Key, version: &VersionId, point: Point) {
        self.rollouts.entry(key.clone()).or_default().history.entry(version.clone()).or_default().push(point.clone());
        self.tell(Delta::Point { key: key.clone(), version: version.clone(), point });
    }

    /// The timeline as the host remembers it; what is new is told.
    pub fn events<'a>(&mut self, key: &Key, events: impl IntoIterator<Item = &'a Event>) {
        let watched = self.rollouts.entry(key.clone()).or_default();
        let known = watched.events.last().map(|e| e.seq);
        let new: Vec<Event> = events.into_iter().filter(|e| known.is_none_or(|k| e.seq > k)).cloned().collect();
        if new.is_empty() {
            return;
        }
        watched.events.extend(new.iter().cloned());
        let surplus = watched.events.len().saturating_sub(200);
        watched.events.drain(..surplus);
        self.tell(Delta::Events { key: key.clone(), events: new });
    }

    /// The failed requests that are kept of a version.
    pub fn failed(&mut self, key: &Key, version: &VersionId, requests: Vec<FailedRequest>) {
        let watched = self.rollouts.entry(key.clone()).or_default();
        watched.failed.insert(version.clone(), requests.clone());
        self.tell(Delta::Failed { key: key.clone(), version: version.clone(), requests });
    }

    /// Drops what is known of versions that are no longer there.
    pub fn retain(&mut self, key: &Key, keep: impl Fn(&VersionId) -> bool) {
        if let Some(watched) = self.rollouts.get_mut(key) {
            watched.history.retain(|v, _| keep(v));
            watched.failed.retain(|v, _| keep(v));
        }
    }

    /// Says that the host is there.
    pub fn heartbeat(&self, now: Time) {
        self.tell(Delta::Heartbeat { server_time: now, rev: self.rev });
    }

    fn tell(&self, delta: Delta) {
        // No watcher is no error.
        let _ = self.out.send(Arc::new(delta));
    }
}
