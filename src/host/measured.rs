//! What a metrics backend says of each service, for its judge. One task per service asks; the engine only
//! hands over what is to be followed and takes what has come, and waits for neither.
//!
//! ```text
//! engine ── Following (a slot) ──► task: Feed ◄─ answers ─ backend
//!   judge ◄── intervals, looks, alerts (a mailbox) ──┘
//! ```
//!
//! When the backend is away the mailbox stays as it is, and what it says of its series grows old with the
//! clock: gates become blind, and nothing else changes. Intervals wait in the mailbox until they are taken;
//! while many wait, nothing more is asked, so nothing is lost and memory is bounded.

mod task;

use crate::{
    clock::Clock,
    judge::Look,
    metrics::{
        Metrics as _, Origin,
        alerts::{self, Board, Whom},
        feed::{Course, Pace, Subject, note_ready},
        preset::Queries,
        prometheus::Prometheus,
        template::{self, Variables},
    },
    model::{
        gate::Arm,
        ident::GateId,
        interval::{Interval, Query, Sensor, SensorState},
        rollout::MeasuredBy,
        signal::{Reading, Signal, SignalId},
        spec::{GateSignal, GateSpec},
        text::Text,
        time::{Time, elapsed},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Moves of the shares that are kept: those of a long run, by hand.
const MOVES: usize = 200;

/// What measures all services of a host.
pub struct Backend {
    /// Is asked.
    pub client: Prometheus,
    /// What is asked.
    pub queries: Queries,
    /// Where that is written.
    pub origin: Origin,
    /// How often, and how late.
    pub pace: Pace,
    /// What is filled in besides what a service itself says.
    pub variables: Variables,
    /// What fires, asked once for all services.
    pub board: Board,
}

impl Backend {
    /// Who measures what, for people.
    #[must_use]
    pub fn told(&self) -> MeasuredBy {
        let own = MeasuredBy::by_the_host();
        let asked = Text::from(format!("{}, preset {}", self.client.place(), self.origin.preset));
        let signals = if self.sees_more() { asked.clone() } else { own.signals };
        MeasuredBy { signals, gates: asked, queries: self.queries.written(), backend: self.client.met() }
    }

    /// Whether its series are others than the proxy's own counters.
    #[must_use]
    pub fn sees_more(&self) -> bool {
        self.origin.preset != "host"
    }
}

/// What is to be followed.
#[derive(Clone, Debug, Default)]
pub struct Following {
    /// Counts the subjects: what was measured of another one is nobody's.
    number: u64,
    subject: Subject,
    gates: Vec<GateSpec>,
    course: Course,
    /// When instances of the version that is judged got ready.
    ready_at: BTreeSet<Time>,
    /// Alerts count from here on; `None` while no run is judged.
    run_since: Option<Time>,
    /// Its name.
    service: String,
}

impl Following {
    /// Whom alerts are about.
    fn whom(&self) -> Whom<'_> {
        Whom::of(&self.service, &self.subject.stable)
    }
}

/// What came of it.
#[derive(Debug, Default)]
struct Mail {
    number: u64,
    /// When the looks were taken; `None` before the first.
    at: Option<Time>,
    intervals: VecDeque<(GateId, Interval)>,
    looks: BTreeMap<GateId, (Vec<Sensor>, Vec<Query>)>,
    signals: [BTreeMap<SignalId, Signal>; 2],
    slow_from: Option<Duration>,
    alerts: Option<Alerts>,
    trouble: Option<Text>,
    /// A query that is needed and finds nothing.
    unfound: Option<Text>,
}

/// What fires, as of when it was asked.
#[derive(Debug)]
struct Alerts {
    at: Time,
    query: Query,
    firing: Vec<Text>,
}

/// One service's measurements. Its task ends with it.
pub struct Measured {
    backend: Arc<Backend>,
    following: watch::Sender<Following>,
    mail: Arc<Mutex<Mail>>,
    /// Of which subject: what it is told apart by.
    key: Option<Key>,
    /// The end of each gate's last interval that was taken.
    taken: BTreeMap<GateId, Time>,
    _task: DropGuard,
}

/// What makes a subject another one.
#[derive(Clone, PartialEq, Debug)]
pub struct Key {
    /// The run that is judged.
    pub run: Option<String>,
    /// Its version, by id and label.
    pub candidate: Option<(String, Text)>,
    /// What it is compared with.
    pub stable: Option<(String, Text)>,
    /// What is judged.
    pub gates: Vec<GateSpec>,
}

/// What is told about a subject that is followed anew.
pub struct Begin {
    /// When the run began, or from when on it is measured.
    pub since: Time,
    /// Where each gate goes on.
    pub judged: BTreeMap<GateId, Time>,
    /// What is slow, if that is known.
    pub slow_from: Option<Duration>,
    /// Alerts count from here on.
    pub run_since: Option<Time>,
}

impl Measured {
    /// Starts to ask; nothing is followed yet. Call it within the runtime.
    #[must_use]
    pub fn start(backend: Arc<Backend>, service: &str, clock: Arc<dyn Clock>) -> Self {
        let (following, wanted) = watch::channel(Following { service: service.to_owned(), ..Following::default() });
        let mail = Arc::new(Mutex::new(Mail::default()));
        let cancel = CancellationToken::new();
        let asking = task::run(Arc::clone(&backend), wanted, Arc::clone(&mail), clock);
        tokio::spawn(cancel.clone().run_until_cancelled_owned(asking));
        Self { backend, following, mail, key: None, taken: BTreeMap::new(), _task: cancel.drop_guard() }
    }

    /// Who is asked.
    #[must_use]
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Follows a subject; `begin` is asked when it is another one than before. What was measured of that
    /// one and not taken is dropped.
    pub fn follow(&mut self, key: Key, begin: impl FnOnce() -> Begin) {
        if self.key.as_ref() == Some(&key) {
            return;
        }
        let begin = begin();
        let alone = key.stable.is_none();
        let mut judged = begin.judged;
        for (gate, taken) in &self.taken {
            let known = judged.entry(gate.clone()).or_insert(*taken);
            *known = (*known).max(*taken);
        }
        let service = self.following.borrow().service.clone();
        let values = |(id, label): &(String, Text)| values(&service, (id, label.as_str()), &self.backend.variables);
        let subject = Subject {
            since: begin.since,
            // A version that stands alone is measured as stable is.
            stable: key.stable.as_ref().or(key.candidate.as_ref()).map(values).unwrap_or_default(),
            candidate: key.candidate.as_ref().filter(|_| !alone).map(values),
            slow_from: begin.slow_from,
            judged,
            // A host has measured stable for as long as it is stable.
            look_back: Duration::ZERO,
        };
        self.following.send_modify(|following| {
            following.number += 1;
            following.subject = subject;
            following.gates = key.gates.iter().filter(|g| g.signal != GateSignal::Alerts).cloned().collect();
            following.course.clear();
            following.ready_at.clear();
            following.run_since = begin.run_since;
        });
        self.key = Some(key);
    }

    /// Says that the candidate's share is this from now on, and that intervals end at `since`, when the
    /// weight converged.
    pub fn moved(&mut self, share: Option<f64>, since: Option<Time>, now: Time) {
        self.following.send_if_modified(|following| {
            let course = &mut following.course;
            let before = course.len();
            if course.last().is_none_or(|(_, last)| *last != share) {
                course.push((now, share));
            }
            if let Some(since) = since.filter(|since| !course.iter().any(|(at, _)| at == since)) {
                // A weight is there from the moment at which the router was seen to do it.
                course.retain(|(at, _)| *at < since);
                course.push((since, share));
                return true;
            }
            course.drain(..course.len().saturating_sub(MOVES));
            course.len() != before
        });
    }

    /// Says when instances of the version that is judged got ready, as often as one likes.
    pub fn got_ready(&mut self, at: impl IntoIterator<Item = Time>) {
        self.following.send_if_modified(|following| {
            let ready_at = &mut following.ready_at;
            let newest = ready_at.last().copied();
            note_ready(ready_at, at);
            ready_at.last().copied() != newest
        });
    }

    /// Intervals of what is followed now, each gate's in the order of time. They are handed out once.
    pub fn intervals(&mut self) -> Vec<(GateId, Interval)> {
        let alone = self.key.as_ref().is_some_and(|key| key.stable.is_none() && key.candidate.is_some());
        let mut mail = lock(&self.mail);
        if mail.number != self.following.borrow().number {
            return Vec::new();
        }
        let came: Vec<(GateId, Interval)> = mail.intervals.drain(..).map(|(gate, i)| (gate, if alone { turned(i) } else { i })).collect();
        drop(mail);
        for (gate, interval) in &came {
            self.taken.insert(gate.clone(), interval.end);
        }
        came
    }

    /// What a gate rests on now. What was said of it a while ago has grown older since.
    #[must_use]
    pub fn look(&self, gate: &GateSpec, now: Time) -> Look {
        let mail = lock(&self.mail);
        let is_ours = mail.number == self.following.borrow().number;
        if gate.signal == GateSignal::Alerts {
            let told = mail.alerts.as_ref().filter(|_| is_ours);
            let age = told.map(|alerts| elapsed(now, alerts.at));
            let sensor = alerts::sensor(self.noted("alerts", &mail), age, self.backend.pace);
            let queries = told.map(|alerts| alerts.query.clone()).into_iter().collect();
            return Look { sensors: vec![sensor], queries, alerts: told.map(|a| a.firing.clone()).unwrap_or_default() };
        }
        let (Some(at), Some((sensors, queries))) = (mail.at.filter(|_| is_ours), mail.looks.get(&gate.name)) else {
            let name = self.noted(gate.signal.word(), &mail);
            let sensor = Sensor { name, arm: Arm::Both, state: SensorState::Absent, age: None, required: true };
            return Look { sensors: vec![sensor], ..Look::default() };
        };
        let since = elapsed(now, at);
        let aged = |sensor: &Sensor| {
            let age = sensor.age.map(|age| age + since);
            let is_old = age.is_some_and(|age| age > self.backend.pace.stale_after());
            let state = if is_old && sensor.state == SensorState::Fresh { SensorState::Stale } else { sensor.state };
            Sensor { state, age, ..sensor.clone() }
        };
        Look { sensors: sensors.iter().map(aged).collect(), queries: queries.clone(), alerts: Vec::new() }
    }

    fn noted(&self, name: &str, mail: &Mail) -> Text {
        match &mail.trouble {
            Some(trouble) => format!("{name} ({trouble})").into(),
            None => format!("{name} from {}", crate::metrics::Metrics::place(&self.backend.client)).into(),
        }
    }

    /// A version's signals as the backend has them; empty for a version that is not followed.
    #[must_use]
    pub fn signals(&self, version: &str, now: Time) -> BTreeMap<SignalId, Signal> {
        let Some(key) = &self.key else { return BTreeMap::new() };
        let is = |side: &Option<(String, Text)>| side.as_ref().is_some_and(|(id, _)| id == version);
        let index = if is(&key.candidate) && key.stable.is_some() {
            0
        } else if is(&key.candidate) || is(&key.stable) {
            1
        } else {
            2
        };
        let mail = lock(&self.mail);
        let at = mail.at.filter(|_| mail.number == self.following.borrow().number);
        let (Some(at), Some(signals)) = (at, mail.signals.get(index)) else { return BTreeMap::new() };
        let since = elapsed(now, at);
        let aged = |signal: &Signal| {
            let reading = match signal.reading.clone() {
                Reading::Fresh(last) if since > self.backend.pace.stale_after() => Reading::Stale { last, age: since },
                Reading::Stale { last, age } => Reading::Stale { last, age: age + since },
                other => other,
            };
            Signal { reading, ..signal.clone() }
        };
        signals.iter().map(|(id, signal)| (*id, aged(signal))).collect()
    }

    /// From where on a request is slow in this run, once that is known: an edge of the backend's buckets.
    #[must_use]
    pub fn slow_from(&self, run: &str) -> Option<Duration> {
        self.key.as_ref().filter(|key| key.run.as_deref() == Some(run))?;
        let mail = lock(&self.mail);
        mail.slow_from.filter(|_| mail.number == self.following.borrow().number)
    }

    /// What is wrong with the backend or with what it is asked, in one line.
    #[must_use]
    pub fn trouble(&self) -> Option<Text> {
        let mail = lock(&self.mail);
        mail.trouble.clone().or_else(|| mail.unfound.clone())
    }

    /// Alerts about the service that fire and began after the run did.
    #[must_use]
    pub fn firing(&self) -> Vec<Text> {
        let mail = lock(&self.mail);
        let told = mail.alerts.as_ref().filter(|_| mail.number == self.following.borrow().number);
        told.map(|alerts| alerts.firing.clone()).unwrap_or_default()
    }
}

/// What is filled into the queries of a version of this host, which has an id and a label. What is
/// configured goes before.
#[must_use]
pub fn values(service: &str, (id, label): (&str, &str), configured: &Variables) -> Variables {
    let own = [
        ("service", service),
        ("stable_service", service),
        ("canary_service", service),
        ("ingress", service),
        ("version", id),
        ("pod_hash", id),
        (template::LABEL, label),
    ];
    own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).chain(configured.clone()).collect()
}

/// A version that stands alone was measured as stable is, and is judged as a candidate is.
fn turned(interval: Interval) -> Interval {
    let latency = interval.latency.map(|l| crate::model::interval::Latency { candidate: l.stable, stable: l.candidate });
    Interval { candidate: interval.stable, stable: interval.candidate, instances: Vec::new(), latency, ..interval }
}

/// Nobody holds it while waiting for anything.
fn lock(mail: &Mutex<Mail>) -> MutexGuard<'_, Mail> {
    mail.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
