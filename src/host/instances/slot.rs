//! The life of one instance: started, probed, restarted with back-off, stopped. One task each.
//!
//! An instance keeps its name over restarts; every start gets a fresh process, port, `HOME` and
//! `TMPDIR`. Liveness is asked from the first readiness on: before that, only the plan's deadline
//! counts, so that a slow start is not killed by the probe that is to find a hung one.

mod process;

use super::{
    Inner, PoolPlan, blocking,
    logs::InstanceLog,
    order::Order,
    prepare::{self, Prepared},
    records::{Mark, Record},
    spawn::Supervisor,
};
use crate::model::{
    ident::InstanceId,
    instance::{Instance, InstanceState},
    spec::Restart,
    text::Text,
};
use process::{End, Process};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{sync::watch, time};

/// After the grace of a stop, the supervisor itself is killed, and the rest with it.
pub const LAST_RESORT: Duration = Duration::from_secs(15);

/// One instance.
pub struct Slot {
    inner: Arc<Inner>,
    plan: Arc<PoolPlan>,
    id: InstanceId,
    log: Arc<InstanceLog>,
    stop: watch::Receiver<Option<Duration>>,
    /// Whether there was a process of it before.
    started: bool,
    /// Why the last start came to its end.
    last_end: Option<Text>,
}

/// What became of one start.
struct Life {
    reason: Text,
    /// For how long it had been ready, at least once, when it ended.
    ready_for: Option<Duration>,
}

impl Life {
    const fn never_began(reason: Text) -> Self {
        Self { reason, ready_for: None }
    }
}

/// The pauses between starts.
struct BackOff {
    next: Duration,
    min: Duration,
    max: Duration,
}

impl BackOff {
    fn new(restart: &Restart) -> Self {
        Self { next: restart.min, min: restart.min, max: restart.max.max(restart.min) }
    }

    /// The pause after a life that was ready for so long.
    fn after(&mut self, ready_for: Option<Duration>) -> Duration {
        if ready_for.is_some_and(|ready| ready > self.max) {
            self.next = self.min;
        }
        let pause = self.next.min(self.max);
        self.next = pause.saturating_mul(2).min(self.max);
        pause
    }
}

impl Slot {
    /// A new instance that has not been started.
    pub fn new(inner: Arc<Inner>, plan: Arc<PoolPlan>, id: InstanceId, stop: watch::Receiver<Option<Duration>>) -> Self {
        let log = inner.hub.instance(plan.id.clone(), plan.service.clone(), plan.label.clone(), id.clone());
        Self { inner, plan, id, log: Arc::new(log), stop, started: false, last_end: None }
    }

    /// Runs it until it is stopped and nothing of it is left.
    pub async fn run(mut self) {
        let mut back_off = BackOff::new(&self.plan.runtime.restart);
        while self.grace().is_none() {
            let life = self.live().await;
            self.log.end(&life.reason);
            if self.grace().is_some() {
                break;
            }
            let pause = back_off.after(life.ready_for);
            self.update(|i| {
                i.state = InstanceState::BackOff;
                (i.pid, i.port) = (None, None);
                i.reason = Some(life.reason.clone());
            });
            self.last_end = Some(life.reason);
            tokio::select! {
                () = time::sleep(pause) => {}
                _ = self.stop.changed() => {}
            }
        }
        self.update(|i| {
            i.state = InstanceState::Ended;
            (i.pid, i.port) = (None, None);
        });
        let Self { inner, plan, id, log, .. } = self;
        drop(log);
        inner.forget(&plan.id, &id);
    }

    /// How long it may take to end, once it was stopped.
    fn grace(&self) -> Option<Duration> {
        // Nobody holds the other end: nobody wants it any more.
        if self.stop.has_changed().is_err() { Some(Duration::ZERO) } else { *self.stop.borrow() }
    }

    fn update(&self, change: impl FnOnce(&mut Instance)) {
        self.inner.update(&self.plan.id, &self.id, change);
    }

    /// Its process from now on, for whoever looks whether it still is what was started.
    fn leads(&self, leader: Option<Mark>) {
        let mut state = self.inner.lock();
        let slots = state.pools.get_mut(&self.plan.id).map(|pool| &mut pool.slots);
        if let Some(slot) = slots.and_then(|slots| slots.iter_mut().find(|s| s.view.id == self.id)) {
            slot.leader = leader;
        }
    }

    /// One start, up to the end of everything it started.
    async fn live(&mut self) -> Life {
        let (inner, plan, log, name) = (self.inner.clone(), self.plan.clone(), self.log.clone(), self.id.as_str().to_owned());
        let prepared = match blocking(move || prepare::prepare(&inner, &plan, &log, &name, None)).await {
            Ok(prepared) => prepared,
            Err(why) => return Life::never_began(why),
        };
        let Prepared { order, port, secrets, file, record } = prepared;
        if let Some(pool) = self.inner.lock().pools.get_mut(&self.plan.id) {
            pool.secrets = secrets;
        }
        let (home, group) = (order.home.clone(), order.cgroup.clone());
        let life = if self.grace().is_some() {
            Life::never_began("stopped before it was started".into())
        } else {
            self.supervised(order, port, file.clone(), record).await
        };
        let inner = Arc::clone(&self.inner);
        let _ = blocking(move || {
            prepare::clean_up(&inner, &file, &home, group.as_ref(), Some(port));
            Ok(())
        })
        .await;
        life
    }

    async fn supervised(&mut self, order: Order, port: u16, file: PathBuf, record: Record) -> Life {
        let spawned = self.inner.spawner.spawn(self.inner.namespaced, Some((file.clone(), record))).await;
        let supervisor = match spawned {
            Ok(Ok(supervisor)) => supervisor,
            Ok(Err(error)) => return Life::never_began(format!("cannot start a supervisor: {error}").into()),
            Err(_) => return Life::never_began("the host is stopping".into()),
        };
        let again = std::mem::replace(&mut self.started, true);
        self.update(|i| {
            i.state = InstanceState::Starting;
            i.port = Some(port);
            i.restarts = i.restarts.saturating_add(u32::from(again));
        });
        let Supervisor { mut child, control, reports, record } = supervisor;
        let family = child.id();
        let end = match Process::attach(self, control, reports, record, file, family, port) {
            Ok(mut process) => {
                process.run(&order).await;
                drop(order);
                process.into_end()
            }
            Err(error) => End { failed: Some(format!("pipes to the supervisor: {error}").into()), ..End::default() },
        };
        self.leads(None);
        // Its output has ended, so it has or is about to.
        let status = blocking(move || child.wait().map_err(|e| e.to_string().into())).await;
        let reason = end.reason(self.grace().is_some(), || match &status {
            Ok(status) => format!("the supervisor died: {status}").into(),
            Err(why) => format!("the supervisor died: {why}").into(),
        });
        Life { reason, ready_for: end.ready_since.map(|since| since.elapsed()) }
    }
}

#[cfg(test)]
mod tests {
    use super::BackOff;
    use crate::model::spec::Restart;
    use std::time::Duration;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_over_after_a_good_life() {
        let seconds = Duration::from_secs;
        let mut pauses = BackOff::new(&Restart { min: seconds(1), max: seconds(5) });
        let got: Vec<_> = [None, None, Some(seconds(5)), None, Some(seconds(6)), None].map(|ready| pauses.after(ready)).into();
        assert_eq!(got, [1, 2, 4, 5, 1, 2].map(seconds));
    }
}
