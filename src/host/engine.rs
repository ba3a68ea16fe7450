//! The one owner of what the host remembers. Commands, observations and time come in; a new state is
//! written to disk, takes effect, and is told to whoever watches.
//!
//! Nothing here waits for a disk, a process or a network with the loop held: a state on its way to
//! the disk is [`Pending`], and what arrives meanwhile queues behind it. Only the way back does not
//! queue: it is computed from what is in effect, takes effect after at most
//! [`BACK_WAITS`](super::commit::BACK_WAITS), and whatever was pending is refused.

mod acting;
mod picture;
mod service;
mod turning;

use super::{
    bus::{Bus, Subscription},
    commit::{Pending, Reply},
    deploy::{Depot, Prepared},
    instances::Instances,
    prometheus::ServiceMetrics,
    proxy::Proxy,
    secret_check::SecretCheck,
    slots::Saver,
    state::HostState,
};
use crate::{
    clock::Clock,
    journal::JournalHandle,
    model::{
        action::Action,
        ident::{ActionId, Key, TargetId},
        rollout::Rollout,
        spec::ServiceSpec,
        text::{Raw, Text},
        time::Time,
        wire::{ActionRecord, ActionRequest, DeployRequest},
    },
};
use service::Service;
use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval_at, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// What the host calls itself; every client replaces it by its own name for the target.
pub const SELF: &str = "host";

/// What can be asked of the engine.
pub enum Command {
    /// Do something to a rollout.
    Act {
        /// What.
        request: ActionRequest,
        /// Who.
        by: Text,
        /// For the answer.
        reply: oneshot::Sender<Reply>,
    },
    /// Start a rollout.
    Deploy {
        /// What was asked for.
        request: DeployRequest,
        /// What was prepared for it.
        prepared: Box<Prepared>,
        /// Who.
        by: Text,
        /// For the answer.
        reply: oneshot::Sender<Reply>,
    },
    /// What became of an action.
    Lookup {
        /// Its name.
        id: ActionId,
        /// For the answer.
        reply: oneshot::Sender<Option<ActionRecord>>,
    },
    /// A full picture and all changes from then on.
    Subscribe {
        /// For the answer.
        reply: oneshot::Sender<Subscription>,
    },
    /// Every rollout as it is now.
    Rollouts {
        /// For the answer.
        reply: oneshot::Sender<Vec<Rollout>>,
    },
    /// What a scraper wants to know.
    Metrics {
        /// For the answer.
        reply: oneshot::Sender<Vec<ServiceMetrics>>,
    },
}

/// What the engine works with.
pub struct Parts {
    /// What was found on disk.
    pub state: HostState,
    /// Writes it.
    pub saver: Saver<HostState>,
    /// Runs instances.
    pub instances: Instances,
    /// Artifacts and configuration.
    pub depot: Depot,
    /// For the host's own reverts.
    pub journal: JournalHandle,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// What a start of the host says it found, for every timeline.
    pub found: Vec<Text>,
}

/// See the module.
pub struct Engine {
    state: HostState,
    saver: Saver<HostState>,
    pending: Option<Pending>,
    queue: VecDeque<Command>,
    services: BTreeMap<String, Service>,
    instances: Instances,
    depot: Depot,
    journal: JournalHandle,
    clock: Arc<dyn Clock>,
    trouble: watch::Receiver<Option<Text>>,
    secrets: SecretCheck,
    bus: Bus,
}

/// Commands that may wait behind a slow disk; more are refused.
const QUEUE: usize = 64;

impl Engine {
    /// Takes up what was found on disk: unfinished rollouts are held, nothing is forgotten.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { mut state, saver, instances, depot, journal, clock, found } = parts;
        let now = clock.now();
        for service in state.services.values_mut() {
            for what in &found {
                service.note(now, crate::model::event::Level::Info, "host".into(), what.clone());
            }
            let notes = service.life.recover(now, &"a restart of the host".into());
            acting::note_all(service, now, notes);
        }
        let epoch = u64::try_from(now.timestamp_millis()).unwrap_or_default();
        let trouble = saver.trouble();
        Self {
            state,
            saver,
            pending: None,
            queue: VecDeque::new(),
            services: BTreeMap::new(),
            instances,
            depot,
            journal,
            clock,
            trouble,
            secrets: SecretCheck::default(),
            bus: Bus::new(epoch),
        }
    }

    /// Opens the listener of a service of the configuration.
    ///
    /// # Errors
    /// When its port is taken.
    pub fn open(&mut self, spec: &ServiceSpec) -> io::Result<SocketAddr> {
        let proxy = Proxy::bind(spec.name.as_str().into(), spec.listen, spec.proxy.clone(), Arc::clone(&self.clock))?;
        let addr = proxy.local_addr();
        self.services.insert(spec.name.clone(), Service::new(proxy));
        Ok(addr)
    }

    /// Opens listeners of services that are remembered but no longer configured: they keep serving.
    ///
    /// # Errors
    /// When a port is taken.
    pub fn open_remembered(&mut self) -> io::Result<()> {
        let missing: Vec<ServiceSpec> = self
            .state
            .services
            .iter()
            .filter(|(name, _)| !self.services.contains_key(*name))
            .filter_map(|(_, s)| s.life.stable.as_ref().or(s.life.run.as_ref().map(|r| &r.candidate)))
            .map(|d| d.spec.clone())
            .collect();
        missing.iter().try_for_each(|spec| self.open(spec).map(drop))
    }

    /// Runs until cancelled, then drains: no new requests, those in flight finish, then the instances end.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>, cancel: CancellationToken) {
        let mut instances = self.instances.changed();
        let mut drift = self.depot.watchman.changed();
        let mut trouble = self.saver.trouble();
        let mut second = interval_at(self.next_second(), Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Skip);
        self.adopt();
        self.turn();
        loop {
            let due = self.due();
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                Some(command) = commands.recv() => self.command(command).await,
                settled = settle(&mut self.pending) => self.settled(settled),
                Ok(()) = instances.changed() => self.turn(),
                Ok(()) = drift.changed() => self.turn(),
                Ok(()) = trouble.changed() => self.turn(),
                _ = second.tick() => {
                    self.second();
                    self.turn();
                }
                () = sleep_until(due) => self.turn(),
            }
            self.work_off_queue().await;
        }
        self.drain().await;
    }

    /// Seconds are closed on the clock's own seconds, so that the ten-second points are round.
    fn next_second(&self) -> Instant {
        let into = u64::from(self.clock.now().timestamp_subsec_millis().min(999));
        Instant::now() + Duration::from_millis(1_000 - into)
    }

    /// The next moment at which the plan, a drain or a countdown may move.
    fn due(&self) -> Instant {
        let now = self.clock.now();
        let soonest = self
            .state
            .services
            .values()
            .filter_map(|s| s.life.next_deadline(now))
            .chain(self.services.values().filter_map(|s| s.next_drain_end()))
            .min();
        // A second is the longest: the tick comes anyway.
        let wait = soonest.map_or(Duration::from_secs(1), |at: Time| crate::model::time::until(now, at));
        Instant::now() + wait.clamp(Duration::from_millis(5), Duration::from_secs(1))
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Lookup { id, reply } => drop(reply.send(self.state.answered(&id).cloned())),
            Command::Subscribe { reply } => drop(reply.send(self.bus.subscribe(self.clock.now()))),
            Command::Rollouts { reply } => drop(reply.send(self.bus.rollouts().cloned().collect())),
            Command::Metrics { reply } => drop(reply.send(self.metrics())),
            Command::Act { request, by, reply } if matches!(request.action, Action::Back { .. }) => self.back(request, by, reply).await,
            other if self.pending.is_some() => self.enqueue(other),
            Command::Act { request, by, reply } => self.act(request, by, reply),
            Command::Deploy { request, prepared, by, reply } => self.deploy(request, *prepared, by, reply),
        }
    }

    fn enqueue(&mut self, command: Command) {
        if self.queue.len() < QUEUE {
            self.queue.push_back(command);
        } else if let Command::Act { reply, .. } | Command::Deploy { reply, .. } = command {
            let _ = reply.send(Err(super::commit::Refused::new(503, "too many actions wait for the disk; look again")));
        }
    }

    async fn work_off_queue(&mut self) {
        while self.pending.is_none() {
            let Some(command) = self.queue.pop_front() else { return };
            self.command(command).await;
        }
    }

    async fn drain(mut self) {
        let grace = self.state.services.values().filter_map(|s| s.life.stable.as_ref()).map(|d| d.spec.drain).max();
        let grace = grace.unwrap_or(Duration::from_secs(5));
        let proxies: Vec<Proxy> = std::mem::take(&mut self.services).into_values().map(Service::into_proxy).collect();
        futures::future::join_all(proxies.iter().map(|p| p.shutdown(grace))).await;
        self.instances.shutdown(grace).await;
        if let Err(e) = self.saver.close(Duration::from_secs(2)).await {
            tracing::error!("the last state is not on disk: {e}");
        }
    }

    fn key(name: &str) -> Key {
        Key { target: TargetId::new(SELF), scope: Vec::new(), service: Raw::new(name), uid: None }
    }
}

async fn settle(pending: &mut Option<Pending>) -> Result<(), super::slots::SaveError> {
    match pending {
        Some(pending) => pending.settled().await,
        None => std::future::pending().await,
    }
}
