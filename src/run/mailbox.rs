//! Where sources leave what they heard until the loop takes it.
//!
//! Never blocks a source and never grows with the rate: *state* (rollouts, links, pasts, lists of
//! failed requests) keeps one slot per object, and what comes later replaces what waits there;
//! *history* (points, events, log lines) is a bounded queue that drops its oldest and counts them.

use crate::{
    model::{
        delta::Delta,
        event::LogLine,
        ident::{Key, TargetId, VersionId},
    },
    runtime::Link,
};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// Points and events that wait per source at most.
const HISTORY: usize = 4_096;
/// Log lines that wait at most.
const LOGS: usize = 8_192;

/// Shared by the loop and its sources.
#[derive(Debug, Default)]
pub struct Mailbox {
    inner: Mutex<Inner>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    sources: BTreeMap<TargetId, Queue>,
    logs: VecDeque<LogLine>,
    logs_dropped: u64,
    /// Which log stream is wanted: lines of an earlier one are not taken.
    logs_of: u64,
}

#[derive(Debug, Default)]
struct Queue {
    link: Option<Link>,
    /// Lists and state, taken before any history.
    state: VecDeque<Delta>,
    /// The number of the first of `state`, counted from the beginning.
    first: u64,
    /// Where in `state` an object waits.
    slots: HashMap<Slot, u64>,
    history: VecDeque<Delta>,
    dropped: u64,
}

/// What replaces what.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Slot {
    Rollout(Key),
    Past(Key, VersionId),
    Failed(Key, VersionId),
    Heartbeat,
}

fn slot(delta: &Delta) -> Option<Slot> {
    match delta {
        Delta::Apply { rollout } => Some(Slot::Rollout(rollout.key.clone())),
        Delta::Delete { key } => Some(Slot::Rollout(key.clone())),
        Delta::History { key, version, .. } => Some(Slot::Past(key.clone(), version.clone())),
        Delta::Failed { key, version, .. } => Some(Slot::Failed(key.clone(), version.clone())),
        Delta::Heartbeat { .. } => Some(Slot::Heartbeat),
        Delta::Init { .. } | Delta::InitDone { .. } | Delta::Point { .. } | Delta::Events { .. } => None,
    }
}

impl Queue {
    fn push(&mut self, delta: Delta) {
        if matches!(delta, Delta::Init { .. }) {
            // A full list follows: whatever waits is older than it.
            self.first += self.state.len() as u64;
            self.state.clear();
            self.slots.clear();
            self.history.clear();
        }
        if matches!(delta, Delta::Point { .. } | Delta::Events { .. }) {
            if self.history.len() >= HISTORY {
                self.history.pop_front();
                self.dropped += 1;
            }
            return self.history.push_back(delta);
        }
        if let Some(slot) = slot(&delta) {
            let next = self.first + self.state.len() as u64;
            let at = *self.slots.entry(slot).or_insert(next);
            if let Some(place) = self.state.get_mut(usize::try_from(at - self.first).unwrap_or(usize::MAX)) {
                *place = delta;
                return;
            }
        }
        self.state.push_back(delta);
    }

    fn pop(&mut self) -> Option<Delta> {
        let Some(delta) = self.state.pop_front() else { return self.history.pop_front() };
        self.first += 1;
        if let Some(slot) = slot(&delta) {
            self.slots.remove(&slot);
        }
        Some(delta)
    }
}

/// What the loop takes at once.
#[derive(Debug)]
pub enum Letter {
    /// A source is connected otherwise than before.
    Link(TargetId, Link),
    /// Something changed.
    Delta(TargetId, Delta),
    /// Log lines, oldest first, and how many before them were dropped.
    Logs(Vec<LogLine>, u64),
}

impl Mailbox {
    /// Leaves a change.
    pub fn delta(&self, target: &TargetId, delta: Delta) {
        self.queue(target, |q| q.push(delta));
    }

    /// Leaves how a source is connected.
    pub fn link(&self, target: &TargetId, link: Link) {
        self.queue(target, |q| q.link = Some(link));
    }

    /// Leaves a log line of the stream that [`Mailbox::follow_logs`] named; of another it is ignored.
    pub fn log(&self, stream: u64, line: LogLine) {
        let mut inner = self.lock();
        if inner.logs_of != stream {
            return;
        }
        inner.logs_dropped += line.lost;
        if inner.logs.len() >= LOGS {
            let oldest = inner.logs.pop_front().map_or(0, |oldest| oldest.lost);
            inner.logs_dropped += 1;
            if let Some(next) = inner.logs.front_mut() {
                // Counted already, and said where it is.
                next.lost = next.lost.saturating_add(oldest).saturating_add(1);
            }
        }
        inner.logs.push_back(line);
        drop(inner);
        self.arrived.notify_one();
    }

    /// From now on only lines of a new stream are taken, whose number is returned.
    pub fn follow_logs(&self) -> u64 {
        let mut inner = self.lock();
        inner.logs.clear();
        inner.logs_dropped = 0;
        inner.logs_of += 1;
        inner.logs_of
    }

    /// Resolves when something was left since the last time it resolved.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Takes the next letter; `None` when nothing waits. Links go first, then sources in turn (`turn`
    /// is counted by the caller), then log lines, at most 1,024 at once.
    pub fn take(&self, turn: usize) -> Option<Letter> {
        let mut inner = self.lock();
        for (target, queue) in &mut inner.sources {
            if let Some(link) = queue.link.take() {
                return Some(Letter::Link(target.clone(), link));
            }
        }
        let n = inner.sources.len().max(1);
        let mut order: Vec<_> = inner.sources.iter_mut().collect();
        order.rotate_left(turn % n);
        for (target, queue) in order {
            if let Some(delta) = queue.pop() {
                if queue.dropped > 0 {
                    tracing::warn!(target = %target.text(), dropped = std::mem::take(&mut queue.dropped), "points or events came too fast");
                }
                return Some(Letter::Delta(target.clone(), delta));
            }
        }
        if inner.logs.is_empty() {
            return None;
        }
        let n = inner.logs.len().min(1_024);
        let lines = inner.logs.drain(..n).collect();
        Some(Letter::Logs(lines, std::mem::take(&mut inner.logs_dropped)))
    }

    fn queue(&self, target: &TargetId, change: impl FnOnce(&mut Queue)) {
        let mut inner = self.lock();
        match inner.sources.get_mut(target) {
            Some(queue) => change(queue),
            None => change(inner.sources.entry(target.clone()).or_default()),
        }
        drop(inner);
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{HISTORY, LOGS, Letter, Mailbox};
    use crate::model::{
        delta::Delta,
        event::{LogLine, LogStream},
        history::Point,
        ident::{InstanceId, Key, Rev, Role, TargetId, VersionId},
        text::Raw,
        time::Time,
    };
    use chrono::DateTime;

    fn at(second: i64) -> Time {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn key(service: &str) -> Key {
        Key { target: TargetId::new("t"), scope: vec![], service: Raw::new(service), uid: None }
    }

    fn point(second: i64) -> Delta {
        let point = Point { at: at(second), secs: 1, requests: 1, errors: 0, slow: 0, p50: None, p99: None };
        Delta::Point { key: key("a"), version: VersionId::new("v"), point }
    }

    fn drain(mailbox: &Mailbox) -> Vec<Delta> {
        std::iter::from_fn(|| match mailbox.take(0)? {
            Letter::Delta(_, delta) => Some(delta),
            other => panic!("{other:?}"),
        })
        .collect()
    }

    #[test]
    fn state_is_replaced_and_history_is_bounded() {
        let (mailbox, target) = (Mailbox::default(), TargetId::new("t"));
        for second in 0..100_000 {
            mailbox.delta(&target, Delta::Delete { key: key("a") });
            mailbox.delta(&target, Delta::Heartbeat { server_time: at(second), rev: Rev(0) });
            mailbox.delta(&target, point(second));
        }
        let got = drain(&mailbox);
        assert_eq!(got.len(), HISTORY + 2);
        assert_eq!(got[0], Delta::Delete { key: key("a") });
        assert_eq!(got[1], Delta::Heartbeat { server_time: at(99_999), rev: Rev(0) });
        assert_eq!(*got.last().unwrap(), point(99_999), "the newest is kept");
        mailbox.delta(&target, Delta::Delete { key: key("a") });
        assert_eq!(drain(&mailbox).len(), 1, "a slot is free again once it was taken");
    }

    #[test]
    fn a_new_full_list_replaces_everything_that_waits() {
        let (mailbox, target) = (Mailbox::default(), TargetId::new("t"));
        let init = Delta::Init { version: 1, epoch: 2, server_time: at(0) };
        for delta in
            [Delta::Delete { key: key("a") }, point(1), init.clone(), Delta::Delete { key: key("b") }, Delta::InitDone { rev: Rev(3) }]
        {
            mailbox.delta(&target, delta);
        }
        mailbox.delta(&target, Delta::Delete { key: key("b") });
        assert_eq!(drain(&mailbox), [init, Delta::Delete { key: key("b") }, Delta::InitDone { rev: Rev(3) }]);
    }

    #[test]
    fn a_flood_of_one_source_does_not_starve_another() {
        let mailbox = Mailbox::default();
        let (a, b) = (TargetId::new("a"), TargetId::new("b"));
        for second in 0..100 {
            mailbox.delta(&a, point(second));
        }
        mailbox.delta(&b, point(0));
        let from: Vec<_> = (0..2).filter_map(|turn| mailbox.take(turn)).collect();
        assert!(from.iter().any(|l| matches!(l, Letter::Delta(t, _) if *t == b)), "{from:?}");
    }

    #[test]
    fn log_lines_are_bounded_counted_and_of_one_stream() {
        let mailbox = Mailbox::default();
        let line = |seq| LogLine {
            seq,
            at: at(0),
            service: "a".into(),
            role: Role::Stable,
            version: "v".into(),
            instance: InstanceId::new("i"),
            stream: LogStream::Out,
            line: "x".into(),
            lost: 0,
            nth: 0,
        };
        let stream = mailbox.follow_logs();
        for seq in 0..LOGS as u64 + 10 {
            mailbox.log(stream, line(seq));
        }
        match mailbox.take(0).unwrap() {
            Letter::Logs(lines, dropped) => {
                assert_eq!((lines.len(), lines[0].seq, dropped), (1_024, 10, 10));
                assert_eq!((lines[0].lost, lines[1].lost), (10, 0), "and said where they are missing");
            }
            other => panic!("{other:?}"),
        }
        // Also what was lost on the way here.
        mailbox.follow_logs();
        mailbox.log(stream + 1, LogLine { lost: 7, ..line(0) });
        assert!(matches!(mailbox.take(0), Some(Letter::Logs(lines, 7)) if lines.len() == 1));
        mailbox.follow_logs();
        mailbox.log(stream, line(0));
        assert!(mailbox.take(0).is_none());
    }
}
