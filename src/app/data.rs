//! What comes from outside becomes what is known: full lists swapped in at their end, nothing older
//! over something newer, no event twice.

use super::{
    desk::Staging,
    state::{LOG_LINES, Notice, State, View, Watched},
};
use crate::{
    model::{
        delta::Delta,
        event::{Event, LogLine},
        history::History,
        ident::{Key, TargetId, VersionId},
        rollout::{Rollout, Seen},
        text::Text,
        time::{Time, elapsed, span},
    },
    runtime::Link,
};
use chrono::TimeDelta;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// How long after a rollout opened by itself another one may still bring up the fleet.
const AT_THE_START: Duration = Duration::from_secs(2);
/// Two clocks that are so far apart are the same: servers say full seconds, and answers are under way.
const SAME_CLOCK: TimeDelta = TimeDelta::seconds(2);
/// How many events of a service are kept.
const EVENTS: usize = 500;
/// How many versions' pasts are kept beside those that have a track.
const PASTS: usize = 8;

impl State {
    /// Takes in a change; says which rollouts it touched.
    pub(super) fn take(&mut self, target: &TargetId, delta: Delta) -> Vec<Key> {
        match &delta {
            Delta::Init { server_time, .. } | Delta::Heartbeat { server_time, .. } => self.set_clock(target, *server_time),
            Delta::Apply { rollout } => self.set_clock(target, rollout.seen.server_time),
            _ => {}
        }
        match delta {
            Delta::Init { epoch, .. } => {
                self.desk.staging.insert(target.clone(), Staging { epoch, rollouts: BTreeMap::new() });
                Vec::new()
            }
            Delta::InitDone { .. } => self.swap(target),
            Delta::Apply { rollout } => self.apply(target, *rollout),
            Delta::Delete { key } => self.delete(target, key),
            Delta::Heartbeat { .. } => {
                for w in self.shared.rollouts.iter_mut().filter(|(k, _)| k.target == *target).map(|(_, w)| w) {
                    w.heard = self.shared.now;
                }
                Vec::new()
            }
            Delta::History { key, version, history } => self.touch(target, key, |w| replace_history(&mut w.history, version, history)),
            Delta::Point { key, version, point } => self.touch(target, key, |w| {
                let past = w.history.entry(version).or_default();
                if past.seconds.back().is_none_or(|last| last.at < point.at) {
                    past.push(point);
                }
            }),
            Delta::Events { key, events } => self.touch(target, key, |w| merge(&mut w.events, events)),
            Delta::Failed { key, version, requests } => self.touch(target, key, |w| {
                w.failed.insert(version, requests);
            }),
        }
    }

    /// Takes note of a target's clock. What it says takes a moment to get here, so a small difference is none.
    fn set_clock(&mut self, target: &TargetId, says: Time) {
        let known = self.shared.skews.get(target).copied().unwrap_or_default();
        let skew = says - self.shared.now;
        if (skew - known).abs() <= SAME_CLOCK {
            return;
        }
        if skew.abs() <= SAME_CLOCK {
            self.shared.skews.remove(target);
        } else {
            self.shared.skews.insert(target.clone(), skew);
        }
    }

    /// Changes what belongs to a rollout that is known, in the list that is coming in if there is one.
    fn touch(&mut self, target: &TargetId, key: Key, change: impl FnOnce(&mut Watched)) -> Vec<Key> {
        if key.target != *target {
            return Vec::new();
        }
        if let Some(staging) = self.desk.staging.get_mut(target) {
            if let Some(w) = staging.rollouts.get_mut(&key) {
                change(w);
            }
            return Vec::new();
        }
        let Some(w) = self.shared.rollouts.get_mut(&key) else { return Vec::new() };
        change(w);
        w.heard = self.shared.now;
        vec![key]
    }

    fn apply(&mut self, target: &TargetId, rollout: Rollout) -> Vec<Key> {
        let key = rollout.key.clone();
        if key.target != *target {
            return Vec::new();
        }
        let heard = self.shared.now;
        let fresh = |rollout| Watched { rollout, heard, history: BTreeMap::new(), events: VecDeque::new(), failed: BTreeMap::new() };
        if let Some(staging) = self.desk.staging.get_mut(target) {
            match staging.rollouts.get_mut(&key) {
                Some(w) if is_older(&rollout.seen, &w.rollout.seen) => {}
                Some(w) => w.rollout = rollout,
                None => {
                    staging.rollouts.insert(key, fresh(rollout));
                }
            }
            return Vec::new();
        }
        // Revisions of two epochs do not compare: only the current one counts.
        if self.desk.epochs.get(target).is_some_and(|epoch| *epoch != rollout.seen.epoch) {
            return Vec::new();
        }
        match self.shared.rollouts.get_mut(&key) {
            Some(w) if is_older(&rollout.seen, &w.rollout.seen) => return Vec::new(),
            Some(w) => {
                w.rollout = rollout;
                w.heard = heard;
                forget_pasts(w);
            }
            None => {
                self.shared.rollouts.insert(key.clone(), fresh(rollout));
            }
        }
        self.desk.gone.remove(&key);
        self.open_something();
        vec![key]
    }

    fn delete(&mut self, target: &TargetId, key: Key) -> Vec<Key> {
        if key.target != *target {
            return Vec::new();
        }
        if let Some(staging) = self.desk.staging.get_mut(target) {
            staging.rollouts.remove(&key);
            return Vec::new();
        }
        self.lose(&key);
        vec![key]
    }

    /// A rollout is gone. The open one stays, marked: nobody's screen changes under their hands.
    fn lose(&mut self, key: &Key) {
        if self.shared.open.as_ref() != Some(key) {
            self.shared.rollouts.remove(key);
        } else if self.shared.rollouts.contains_key(key) && !self.desk.gone.contains_key(key) {
            self.desk.gone.insert(key.clone(), self.shared.now);
            let text = format!("{} is gone from {}: this is what was known of it", key.service.text(), key.target.text());
            self.notice = Some(Notice { text: text.into(), bad: true, fades: None });
        }
    }

    /// The full list is complete: what it does not name is gone, all at once.
    fn swap(&mut self, target: &TargetId) -> Vec<Key> {
        let Some(staging) = self.desk.staging.remove(target) else { return Vec::new() };
        let same_epoch = self.desk.epochs.insert(target.clone(), staging.epoch) == Some(staging.epoch);
        let lost: Vec<Key> =
            self.shared.rollouts.keys().filter(|k| k.target == *target && !staging.rollouts.contains_key(*k)).cloned().collect();
        for key in &lost {
            self.lose(key);
        }
        let mut touched = lost;
        for (key, mut new) in staging.rollouts {
            if let Some(old) = self.shared.rollouts.remove(&key) {
                for (version, past) in old.history {
                    keep_coarse(new.history.entry(version).or_default(), past);
                }
                if same_epoch {
                    let mut events = old.events;
                    merge(&mut events, new.events.into());
                    new.events = events;
                    for (version, requests) in old.failed {
                        new.failed.entry(version).or_insert(requests);
                    }
                }
                forget_pasts(&mut new);
            }
            self.desk.gone.remove(&key);
            self.shared.rollouts.insert(key.clone(), new);
            touched.push(key);
        }
        self.open_something();
        touched
    }

    /// Until the first key the only rollout there is has the screen; several have the fleet's. Once it has
    /// been read for a while nothing takes the screen away.
    fn open_something(&mut self) {
        let first = |link: &Link| matches!(link, Link::Connecting { attempt: 0 | 1, last: None, .. });
        let fresh = self.desk.opened_itself.is_none_or(|at| self.shared.uptime < at + AT_THE_START);
        if !self.desk.touched && fresh {
            let mut keys = self.shared.rollouts.keys();
            match (self.view, &self.shared.open, keys.next(), keys.next()) {
                (View::Fleet, None, Some(only), None) if !self.shared.links.values().any(first) => {
                    self.shared.open = Some(only.clone());
                    self.view = View::Rollout;
                    self.desk.opened_itself = Some(self.shared.uptime);
                    self.first_panel();
                }
                (View::Rollout, Some(open), _, Some(_)) if self.desk.opened_itself.is_some() && !self.desk.gone.contains_key(open) => {
                    self.shared.open = None;
                    self.view = View::Fleet;
                }
                _ => {}
            }
        }
        if self.desk.baseline.is_none() {
            self.desk.baseline = self.shared.watched().map(|w| w.rollout.last.clone());
        }
    }

    pub(super) fn take_logs(&mut self, lines: Vec<LogLine>, dropped: u64) {
        self.shared.logs_dropped = self.shared.logs_dropped.saturating_add(dropped);
        for line in lines {
            // After a reconnect some lines come again; after a restart of the host the count starts again.
            let again = self.shared.logs.back().is_some_and(|last| line.seq <= last.seq && line.at <= last.at);
            if !again {
                self.shared.logs.push_back(line);
            }
        }
        let excess = self.shared.logs.len().saturating_sub(LOG_LINES);
        self.shared.logs.drain(..excess);
    }

    /// How long the open rollout's target has been silent, in words, if it is not live.
    pub(super) fn silence(&self, key: &Key) -> Option<Text> {
        let why = match self.shared.links.get(&key.target) {
            Some(Link::Live { .. }) => return None,
            Some(Link::Denied { what, .. }) => format!(": {what}"),
            Some(Link::Connecting { last: Some(fault), .. }) => format!(": {fault}"),
            Some(Link::Stale { .. } | Link::Connecting { last: None, .. }) | None => String::new(),
        };
        Some(match self.shared.rollouts.get(key) {
            Some(w) => format!("last heard {} ago{why}", span(elapsed(self.shared.now, w.heard))).into(),
            None => format!("{} was never heard{why}", key.target.text()).into(),
        })
    }
}

/// Whether `new` shows an older picture than `old`. Only within one epoch can that be said.
fn is_older(new: &Seen, old: &Seen) -> bool {
    new.epoch == old.epoch && (new.rev, new.server_time) < (old.rev, old.server_time)
}

/// Adds events in the order of their numbers, none twice, and keeps the newest.
fn merge(events: &mut VecDeque<Event>, new: Vec<Event>) {
    for event in new {
        match events.binary_search_by_key(&event.seq, |e| e.seq) {
            Ok(_) => {}
            Err(at) => events.insert(at, event),
        }
    }
    let excess = events.len().saturating_sub(EVENTS);
    events.drain(..excess);
}

fn replace_history(histories: &mut BTreeMap<VersionId, History>, version: VersionId, new: History) {
    if let Some(old) = histories.insert(version.clone(), new)
        && let Some(kept) = histories.get_mut(&version)
    {
        keep_coarse(kept, old);
    }
}

/// A source that was started again knows less than was sent before; the time before stays.
fn keep_coarse(new: &mut History, old: History) {
    if new.seconds.is_empty() && new.tens.is_empty() {
        *new = old;
    } else if new.fives.is_empty() {
        new.fives = old.fives;
    }
}

/// Versions come and go for as long as a console runs: only the latest pasts are kept.
fn forget_pasts(w: &mut Watched) {
    let shown = |v: &VersionId| w.rollout.tracks.iter().any(|t| t.version.id == *v);
    let mut others: Vec<_> =
        w.history.iter().filter(|(v, _)| !shown(v)).map(|(v, h)| (h.seconds.back().map(|p| p.at), v.clone())).collect();
    others.sort();
    let excess = others.len().saturating_sub(PASTS);
    for (_, version) in others.into_iter().take(excess) {
        w.history.remove(&version);
        w.failed.remove(&version);
    }
}
