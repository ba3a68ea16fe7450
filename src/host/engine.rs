//! The one owner of what the host remembers. Commands, observations and time come in; a new state is
//! written to disk, takes effect, and is told to whoever watches.
//!
//! Nothing here waits for a disk, a process or a network with the loop held: a state on its way to
//! the disk is [`Pending`], and what arrives meanwhile queues behind it. Only the way back does not
//! queue, whoever or whatever asks for it: it is computed from what is in effect, takes effect after
//! at most [`BACK_WAITS`](super::commit::BACK_WAITS), and what was pending is decided anew afterwards.

mod acting;
mod content;
mod draining;
mod judging;
mod looking;
mod measured;
mod opening;
mod picture;
mod preview;
mod routing;
mod service;
mod turning;
mod using;
mod vitals;

use super::{
    availability::Availability,
    bus::{Bus, Subscription},
    commit::{OTHERS_WAIT, Order, Pending, Refused, Reply, What},
    deploy::{Depot, Prepared},
    guests::Guests,
    instances::Instances,
    measured::Backend,
    prometheus::ServiceMetrics,
    proxy::Proxy,
    secret_check::SecretCheck,
    slots::Saver,
    state::HostState,
    tasks::Tasks,
    usage::Accounts,
};
use crate::{
    clock::Clock,
    conductor::life::Deployed,
    journal::JournalHandle,
    model::{
        event::Level,
        ident::{ActionId, Key, TargetId},
        rollout::Rollout,
        text::{Raw, Text},
        wire::{ActionRecord, ActionRequest, DeployRequest},
    },
};
use service::Service;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
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
    /// Which version an action would start anew; nothing is done. `None` if it would start none, or be
    /// refused or answered at once.
    Starts {
        /// What is about to be asked for.
        request: ActionRequest,
        /// For the answer.
        reply: oneshot::Sender<Option<Box<Deployed>>>,
    },
    /// What would refuse a deploy whatever it needs; nothing is done.
    Bars {
        /// What is about to be asked for.
        request: DeployRequest,
        /// For the answer.
        reply: oneshot::Sender<Option<Box<Refused>>>,
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
    /// Who looks at what.
    pub guests: Guests,
    /// What instances use.
    pub accounts: Accounts,
    /// What measures services, beside the host's own counters.
    pub backend: Option<Arc<Backend>>,
    /// For the host's own reverts.
    pub journal: JournalHandle,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// What a start of the host says it found, for every timeline.
    pub found: Vec<Text>,
    /// How often it is looked whether what may be needed is still there.
    pub look_every: Duration,
}

/// See the module.
pub struct Engine {
    state: HostState,
    saver: Saver<HostState>,
    pending: Option<Pending>,
    queue: VecDeque<Queued>,
    services: BTreeMap<String, Service>,
    /// The listener of a service whose first deploy is on its way to the disk.
    opening: Option<(String, Service)>,
    /// What the host itself has to say of a service: written with the next state.
    news: Vec<(String, Level, Text)>,
    /// After a write that failed, plans move again from then on.
    plans_from: Instant,
    instances: Instances,
    depot: Depot,
    guests: Guests,
    accounts: Accounts,
    backend: Option<Arc<Backend>>,
    journal: JournalHandle,
    clock: Arc<dyn Clock>,
    trouble: watch::Receiver<Option<Text>>,
    secrets: SecretCheck,
    testers: routing::TesterValues,
    tasks: Tasks,
    availability: Availability,
    look_every: Duration,
    /// When it is looked next, by the uptime.
    look_at: Duration,
    bus: Bus,
}

/// What waits behind a slow disk.
enum Queued {
    Order(Box<Order>),
    /// What became of an action that is on its way: known when it has arrived or was refused.
    Lookup(ActionId, oneshot::Sender<Option<ActionRecord>>),
}

/// What may wait behind a slow disk; more is refused.
const QUEUE: usize = 64;

impl Engine {
    /// Takes up what was found on disk: unfinished rollouts are held, nothing is forgotten.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { mut state, saver, instances, depot, guests, accounts, backend, journal, clock, found, look_every } = parts;
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
        let tasks = Tasks::new(instances.clone());
        Self {
            state,
            saver,
            pending: None,
            queue: VecDeque::new(),
            services: BTreeMap::new(),
            opening: None,
            news: Vec::new(),
            plans_from: Instant::now(),
            instances,
            depot,
            guests,
            accounts,
            backend,
            journal,
            clock,
            trouble,
            secrets: SecretCheck::default(),
            testers: routing::TesterValues::default(),
            tasks,
            availability: Availability::default(),
            look_every,
            look_at: Duration::ZERO,
            bus: Bus::new(epoch),
        }
    }

    /// Runs until cancelled, then drains: no new requests, those in flight finish, then the instances end.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>, cancel: CancellationToken) {
        let mut instances = self.instances.changed();
        let mut drift = self.depot.watchman.changed();
        let mut trouble = self.saver.trouble();
        let mut tasks = self.tasks.changed();
        let mut looked = self.availability.changed();
        let mut second = self.next_second();
        self.adopt();
        self.turn();
        loop {
            let due = self.due();
            // Each of them gets its turn: many clients that ask all the time do not stop the clock.
            tokio::select! {
                () = cancel.cancelled() => break,
                Some(command) = commands.recv() => self.command(command),
                settled = settle(&mut self.pending) => self.settled(settled),
                Ok(()) = instances.changed() => self.turn(),
                Ok(()) = drift.changed() => self.turn(),
                Ok(()) = trouble.changed() => self.turn(),
                Ok(()) = tasks.changed() => self.turn(),
                Ok(()) = looked.changed() => self.turn(),
                () = sleep_until(second) => {
                    second = self.next_second();
                    self.second();
                }
                () = sleep_until(due) => self.turn(),
            }
            self.work_off_queue();
        }
        // Whoever asks from now on is told that the host is ending.
        drop(commands);
        self.drain().await;
    }

    /// Seconds are closed on the clock's own seconds, so that the ten-second points are round. Asked
    /// anew each time: clocks are set, and drift.
    fn next_second(&self) -> Instant {
        let into = u64::from(self.clock.now().timestamp_subsec_millis().min(999));
        Instant::now() + Duration::from_millis(1_001 - into)
    }

    /// The next moment at which the plan, a drain or a countdown may move.
    fn due(&self) -> Instant {
        let (now, uptime) = (self.clock.now(), self.clock.uptime());
        let plans = self.state.services.values().filter_map(|s| s.life.next_deadline(now)).map(|at| crate::model::time::until(now, at));
        let drains = self.services.values().filter_map(Service::next_drain_end).map(|at| at.saturating_sub(uptime));
        // A second is the longest: the tick comes anyway.
        let wait = plans.chain(drains).min().unwrap_or(Duration::from_secs(1));
        Instant::now() + wait.clamp(Duration::from_millis(5), Duration::from_secs(1))
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Lookup { id, reply } if self.on_its_way(&id) => self.enqueue(Queued::Lookup(id, reply)),
            Command::Lookup { id, reply } => drop(reply.send(self.state.answered(&id).cloned())),
            Command::Subscribe { reply } => drop(reply.send(self.bus.subscribe(self.clock.now()))),
            Command::Rollouts { reply } => drop(reply.send(self.bus.rollouts().cloned().collect())),
            Command::Metrics { reply } => drop(reply.send(self.metrics())),
            Command::Starts { request, reply } => drop(reply.send(self.would_start(&request).map(Box::new))),
            Command::Bars { request, reply } => drop(reply.send(self.bars(&request))),
            Command::Act { request, by, reply } => self.order(What::Act(request), by, reply),
            Command::Deploy { request, prepared, by, reply } => self.order(What::Deploy(request, prepared), by, reply),
        }
    }

    fn order(&mut self, what: What, by: Text, reply: oneshot::Sender<Reply>) {
        let order = Order { what, by, reply, until: Instant::now() + OTHERS_WAIT };
        if order.is_way_back() {
            self.back(order);
        } else if self.pending.is_some() {
            self.enqueue(Queued::Order(Box::new(order)));
        } else {
            self.carry_out(order);
        }
    }

    /// Whether an action was asked for and is neither done nor refused yet.
    fn on_its_way(&self, id: &ActionId) -> bool {
        let pending = self.pending.as_ref().and_then(|p| p.waiting.as_ref()).map(|w| &w.order);
        let queued = self.queue.iter().filter_map(|q| if let Queued::Order(order) = q { Some(&**order) } else { None });
        pending.into_iter().chain(queued).any(|order| order.id() == id)
    }

    fn enqueue(&mut self, queued: Queued) {
        if self.queue.len() < QUEUE {
            self.queue.push_back(queued);
        } else if let Queued::Order(order) = queued {
            let _ = order.reply.send(Err(Refused::new(503, "too many actions wait for the disk; look again")));
        }
    }

    fn work_off_queue(&mut self) {
        while self.pending.is_none() {
            match self.queue.pop_front() {
                None => return,
                Some(Queued::Order(order)) => self.carry_out(*order),
                Some(Queued::Lookup(id, reply)) => drop(reply.send(self.state.answered(&id).cloned())),
            }
        }
    }

    async fn drain(mut self) {
        let wanted = self.state.services.values().flat_map(|s| s.life.wanted().pools);
        let grace = wanted.map(|deployed| deployed.spec.drain).max();
        let grace = grace.unwrap_or(Duration::from_secs(5));
        self.tasks.cancel();
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
