//! What the host remembers: written to disk before it takes effect, read after a crash.

use crate::{
    conductor::{life::Life, standing},
    judge::Ledger,
    model::{
        decided::{self, Decided},
        digest::Digest,
        event::{Event, Level},
        ident::{ActionId, RunId},
        text::Text,
        time::{Time, exact_millis},
        tried,
        version::About,
        wire::ActionRecord,
    },
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// Everything the host remembers.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct HostState {
    /// Each service that was ever deployed, by name.
    pub services: BTreeMap<String, ServiceState>,
    /// The last actions and deploys, oldest first: a repeated id gets its first answer.
    pub actions: VecDeque<ActionRecord>,
}

/// What the host remembers of one service.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ServiceState {
    /// The conductor's part.
    pub life: Life,
    /// Artifacts that were deployed and are in the store, newest first.
    #[serde(default)]
    pub artifacts: Vec<Digest>,
    /// What the store said of them when they were deployed.
    #[serde(default)]
    pub sealed: BTreeMap<Digest, About>,
    /// Runs so far; names the next one.
    pub runs: u64,
    /// Stable's p99 when the current run started: slower requests are slow.
    #[serde(with = "exact_millis::option", default)]
    pub slow_from: Option<Duration>,
    /// What the judge knows of the run and of stable, as of at most some seconds before a crash.
    #[serde(default)]
    pub ledger: Ledger,
    /// What was known of the run when its traffic was decided, the newest first; until the next run begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decided: Vec<Decided>,
    /// Candidate requests that failed since the run turned bad, likewise.
    #[serde(default)]
    pub failed_since_bad: u64,
    /// The last way back that was proved safe.
    #[serde(default)]
    pub safe: Option<Safe>,
    /// How long each way back took from the order to the router's confirmation, newest last.
    #[serde(default)]
    pub ways_back: VecDeque<u64>,
    /// The same of those for which instances had to be started.
    #[serde(default)]
    pub redeploys: VecDeque<u64>,
    /// The timeline, oldest first.
    #[serde(default)]
    pub events: VecDeque<Event>,
    /// Names the next event.
    #[serde(default)]
    pub next_event: u64,
}

/// A way back that was proved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Safe {
    /// When it was asked for: its name.
    pub asked: Time,
    /// Since when no request reached the version that was left.
    pub since: Time,
}

/// How much is kept: enough for a night, little enough for the preallocated slots.
const ACTIONS: usize = 256;
const EVENTS: usize = 200;
/// Of all services together: each keeps fewer where there are many.
const ALL_EVENTS: usize = 4_000;
const WAYS_BACK: usize = 50;
/// Versions that were left, likewise.
const ALL_LEFT: usize = 64;
/// Bytes of what checks left, likewise.
const ALL_TRIED: usize = 128 << 10;
/// Bytes of what was known of decisions, of one service and of all.
const DECIDED: usize = 32 << 10;
const ALL_DECIDED: usize = 192 << 10;

impl HostState {
    /// The answer an action already got.
    #[must_use]
    pub fn answered(&self, id: &ActionId) -> Option<&ActionRecord> {
        self.actions.iter().rev().find(|r| r.id == *id)
    }

    /// Keeps the whole within the slots, however many services there are.
    pub fn trim(&mut self) {
        let each = (ALL_EVENTS / self.services.len().max(1)).clamp(10, EVENTS);
        let left = (ALL_LEFT / self.services.len().max(1)).clamp(1, standing::LEFT);
        let tried = ALL_TRIED / self.services.len().max(1);
        let decided = (ALL_DECIDED / self.services.len().max(1)).min(DECIDED);
        for service in self.services.values_mut() {
            keep_last(&mut service.events, each);
            service.life.left.truncate(left);
            let run = service.life.run.as_ref().map(|r| &r.id);
            service.decided.retain(|d| Some(&d.run) == run);
            decided::keep(&mut service.decided, decided);
            if let Some(run) = &mut service.life.run {
                tried::keep(&mut run.tried, tried);
            }
        }
    }

    /// Remembers an answer.
    pub fn answer(&mut self, record: ActionRecord) {
        self.actions.push_back(record);
        keep_last(&mut self.actions, ACTIONS);
    }
}

impl ServiceState {
    /// A name no run of this service ever had.
    pub fn next_run(&mut self) -> RunId {
        self.runs += 1;
        RunId::new(self.runs.to_string())
    }

    /// Adds a line to the timeline.
    pub fn note(&mut self, at: Time, level: Level, by: Text, what: Text) {
        let run = self.life.run.as_ref().map(|r| r.id.clone());
        self.events.push_back(Event { seq: self.next_event, at, run, level, by, what });
        self.next_event += 1;
        keep_last(&mut self.events, EVENTS);
    }

    /// Notes that an artifact is deployed now, and what the store says of it.
    pub fn deploys(&mut self, artifact: Digest, about: About) {
        self.sealed.insert(artifact, about);
        self.artifacts.retain(|known| *known != artifact);
        self.artifacts.insert(0, artifact);
    }

    /// Lets go of artifacts beyond the last that are kept, unless something still needs them.
    pub fn keep_artifacts(&mut self, needed: impl Fn(&Digest) -> bool) {
        let Some(newest) = self.life.stable.as_ref().or(self.life.run.as_ref().map(|r| &r.candidate)) else { return };
        let keep = newest.spec.keep as usize;
        let mut place = 0;
        self.artifacts.retain(|artifact| {
            place += 1;
            place <= keep || needed(artifact)
        });
        self.sealed.retain(|artifact, _| self.artifacts.contains(artifact));
    }

    /// Every artifact that a version of this service could still be started from.
    pub fn needed(&self) -> impl Iterator<Item = Digest> + '_ {
        let life = &self.life;
        let deployed = life.stable.iter().chain(life.run.as_ref().map(|r| &r.candidate)).chain(life.warm.as_ref().map(|w| &w.deployed));
        let coming = life
            .run
            .iter()
            .flat_map(|run| run.returning.as_ref().map(|back| &back.to).into_iter().chain(run.then.as_ref().map(|next| &next.candidate)));
        deployed.chain(&life.past).chain(coming).map(|d| d.artifact)
    }

    /// The same and those that were left: whether they could be is told of each.
    pub fn told(&self) -> impl Iterator<Item = Digest> + '_ {
        self.needed().chain(self.life.left.iter().map(|d| d.artifact))
    }

    /// Remembers how long a way back took.
    pub fn went_back_in(&mut self, took: Duration, started: bool) {
        let ways = if started { &mut self.redeploys } else { &mut self.ways_back };
        ways.push_back(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        keep_last(ways, WAYS_BACK);
    }
}

fn keep_last<T>(queue: &mut VecDeque<T>, keep: usize) {
    while queue.len() > keep {
        queue.pop_front();
    }
}
