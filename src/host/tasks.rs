//! What is tried on a candidate before its traffic: checks and warm-ups, each once, in the background.
//!
//! - **Owner of state:** [`Tasks`], within the engine. A task has a name, (run, step, when the step was
//!   entered); what ended under a name is not tried again, what was cancelled before its end is.
//! - Nothing of it is on disk: after a crash the processes of a check end as instances do, and the next
//!   host tries it again.
//! - Requests go to the instances directly, so no counter of the proxy knows of them.

mod ask;
mod check;
mod warm;

use super::instances::{Instances, PoolStatus};
use crate::{
    conductor::life::{PoolId, Task, TaskSeen, TaskState},
    model::{
        ident::{InstanceId, RunId},
        step::StepSpec,
        text::Text,
        tried::Answer,
    },
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

/// See the module.
pub struct Tasks {
    instances: Instances,
    of: BTreeMap<String, Vec<Entry>>,
    changed: watch::Sender<u64>,
}

struct Entry {
    task: Task,
    told: Told,
    cancel: CancellationToken,
}

/// What is known of a task while it runs, and who is told when that changes.
#[derive(Clone)]
struct Told {
    seen: Arc<Mutex<Seen>>,
    began: Instant,
    changed: watch::Sender<u64>,
}

struct Seen {
    state: TaskState,
    /// `None` until it has ended.
    took: Option<Duration>,
    answers: Vec<Answer>,
}

/// Where a task is tried.
struct Place {
    instances: Instances,
    pool: PoolId,
    ready: Vec<(InstanceId, SocketAddr)>,
    cancel: CancellationToken,
    told: Told,
}

/// How a task ended, and what is kept of it.
struct Outcome {
    state: TaskState,
    answers: Vec<Answer>,
}

impl Tasks {
    /// Nothing is tried yet.
    #[must_use]
    pub fn new(instances: Instances) -> Self {
        Self { instances, of: BTreeMap::new(), changed: watch::Sender::new(0) }
    }

    /// Moves with everything that ends.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Sees to it that a service's task is tried, and no other. It starts once every instance it is to be
    /// tried on is ready. Must be called within the runtime.
    pub fn keep(&mut self, service: &str, run: Option<&RunId>, wanted: Option<&Task>, pools: &[PoolStatus]) {
        let entries = self.of.entry(service.to_owned()).or_default();
        entries.retain(|entry| {
            let is_wanted = wanted.is_some_and(|wanted| entry.is(wanted));
            let keep = is_wanted || (run == Some(&entry.task.run) && entry.told.has_ended());
            if !keep {
                entry.cancel.cancel();
            }
            keep
        });
        let Some(task) = wanted.filter(|wanted| !entries.iter().any(|e| e.is(wanted))) else { return };
        let Some(pool) = pools.iter().find(|p| p.id == task.pool) else { return };
        if pool.desired == 0 || pool.ready.len() < pool.desired as usize {
            return;
        }
        let entry = Entry { task: task.clone(), told: Told::new(self.changed.clone()), cancel: CancellationToken::new() };
        let place = Place {
            instances: self.instances.clone(),
            pool: task.pool.clone(),
            ready: pool.ready.clone(),
            cancel: entry.cancel.clone(),
            told: entry.told.clone(),
        };
        tokio::spawn(attempt(task.what.clone(), place));
        entries.push(entry);
    }

    /// How a service's tasks stand.
    #[must_use]
    pub fn seen(&self, service: &str) -> Vec<TaskSeen> {
        let entries = self.of.get(service).into_iter().flatten();
        let seen = entries.map(|entry| {
            let (seen, Task { run, step, since, .. }) = (entry.told.seen(), &entry.task);
            let took = seen.took.unwrap_or_else(|| entry.told.began.elapsed());
            TaskSeen { run: run.clone(), step: *step, since: *since, state: seen.state.clone(), took, answers: seen.answers.clone() }
        });
        seen.collect()
    }

    /// The host ends.
    pub fn cancel(&mut self) {
        std::mem::take(&mut self.of).into_values().flatten().for_each(|entry| entry.cancel.cancel());
    }
}

impl Entry {
    fn is(&self, task: &Task) -> bool {
        (&self.task.run, self.task.step, self.task.since) == (&task.run, task.step, task.since)
    }
}

impl Told {
    fn new(changed: watch::Sender<u64>) -> Self {
        let seen = Seen { state: TaskState::Running("starts".into()), took: None, answers: Vec::new() };
        Self { seen: Arc::new(Mutex::new(seen)), began: Instant::now(), changed }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_ended(&self) -> bool {
        !matches!(self.seen().state, TaskState::Running(_))
    }

    /// How far it is. Nobody is woken: who looks every second sees it.
    fn progress(&self, what: String) {
        self.seen().state = TaskState::Running(what.into());
    }

    fn end(&self, outcome: Outcome) {
        *self.seen() = Seen { state: outcome.state, took: Some(self.began.elapsed()), answers: outcome.answers };
        self.changed.send_modify(|n| *n += 1);
    }
}

async fn attempt(what: StepSpec, place: Place) {
    let (cancel, told) = (place.cancel.clone(), place.told.clone());
    let outcome = match what {
        StepSpec::Check(check) => check::attempt(check, place).await,
        StepSpec::Warm(warm) => warm::attempt(warm, place).await,
        other => Outcome::failed(format!("the host has nothing to try at a `{}` step", other.kind()), Vec::new()),
    };
    if !cancel.is_cancelled() {
        told.end(outcome);
    }
}

impl Outcome {
    fn done(what: impl Into<Text>, answers: Vec<Answer>) -> Self {
        Self { state: TaskState::Done(what.into()), answers }
    }

    fn failed(why: impl Into<Text>, answers: Vec<Answer>) -> Self {
        Self { state: TaskState::Failed(why.into()), answers }
    }
}

/// `1 instance`, `3 requests`.
fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
