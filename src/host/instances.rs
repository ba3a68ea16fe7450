//! Running copies of versions: real child processes, started fresh for every version and never
//! changed in place.
//!
//! [`Instances`] owns every process of the host. Each instance is a task of its own (`slot`) with a
//! supervisor process of ours between host and service (`supervise`), so that nothing survives the
//! host: see `supervise` for how. Processes are written down before they get traffic (`records`);
//! the next host ends what is left of them and starts fresh.
//!
//! Isolation, from best to least: a PID and mount namespace per instance (as root, or where user
//! namespaces are allowed); else a supervisor that is subreaper, with a control group that the next
//! host sweeps. Only in the first is the artifact also *mounted* read-only; in the second its
//! permissions protect it, which do not bind root. Without either namespaces or control groups, a
//! service that left its session survives if host *and* supervisor are killed with KILL.

mod cgroup;
mod logs;
mod once;
mod order;
mod preflight;
mod prepare;
mod probe;
mod proc;
mod records;
mod scale;
mod secrets;
mod slot;
mod spawn;
mod start;
mod supervise;

pub use logs::{LogFilter, LogHub};
pub use once::Ran;
pub use prepare::Beside;
pub use records::{Leftover, Leftovers};
pub use secrets::Lookup;
pub use start::{Abilities, abilities};
pub use supervise::supervise;

use crate::{
    clock::Clock,
    conductor::life::PoolId,
    model::{
        digest::Digest,
        ident::{InstanceId, Role},
        instance::{Instance, InstanceState},
        spec::{RuntimeSpec, SecretSource},
        text::Text,
    },
};
use proc::Listener;
use secrecy::SecretString;
use slot::Slot;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ffi::OsString,
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, watch},
    time,
};
use tokio_util::sync::CancellationToken;

/// Nobody waits longer for an instance to end, whatever was asked for.
const LONGEST_GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// What [`Instances::start`] needs to know.
#[derive(Clone)]
pub struct InstanceSettings {
    /// Unique per state directory; names control groups.
    pub host_id: String,
    /// Records of processes, and `HOME` and `TMPDIR` of instances. Services with a `user` of their
    /// own must be able to pass through it.
    pub run_dir: PathBuf,
    /// Log files, which outlive their instances and the host.
    pub log_dir: PathBuf,
    /// How instances are kept apart.
    pub isolation: Isolation,
    /// Program and first arguments of the hidden subcommand.
    pub supervisor: Vec<OsString>,
    /// Where secrets that are variables of the host's environment come from.
    pub lookup: Lookup,
}

impl InstanceSettings {
    /// The usual settings: the best isolation there is, this very program as supervisor.
    #[must_use]
    pub fn new(host_id: impl Into<String>, run_dir: PathBuf, log_dir: PathBuf, lookup: Lookup) -> Self {
        let supervisor = ["/proc/self/exe", "supervise"].map(OsString::from).to_vec();
        Self { host_id: host_id.into(), run_dir, log_dir, isolation: Isolation::Auto, supervisor, lookup }
    }
}

/// How instances are kept apart, and how surely they end with the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Isolation {
    /// The best that works here.
    Auto,
    /// A PID and mount namespace for each, or no start at all.
    PidNamespace,
    /// A supervisor, and a control group where one can be had.
    Plain,
}

/// Which instances there should be.
#[derive(Clone)]
pub struct PoolPlan {
    /// Which start of which version.
    pub id: PoolId,
    /// Of which service.
    pub service: Text,
    /// What people call the version.
    pub label: Text,
    /// What it runs with.
    pub runtime: RuntimeSpec,
    /// The unpacked, read-only artifact: working directory.
    pub root: PathBuf,
    /// Whether the artifact is still what was sealed. Called on a blocking thread before every
    /// start; what it says is shown as `drift: …`, nothing is started, and it is asked again later.
    pub verify: Verify,
}

/// See [`PoolPlan::verify`].
pub type Verify = Arc<dyn Fn() -> Result<(), Text> + Send + Sync>;

/// A pool as it is now.
#[derive(Clone, PartialEq, Debug)]
pub struct PoolStatus {
    /// Which.
    pub id: PoolId,
    /// Of which service.
    pub service: Text,
    /// How many instances there should be; 0 once it was stopped.
    pub desired: u32,
    /// Each of them, oldest first. Their `in_flight` is the proxy's to say.
    pub instances: Vec<Instance>,
    /// Who may get traffic, and where.
    pub ready: Vec<(InstanceId, SocketAddr)>,
    /// Those there are too many of, which get no new traffic and were not told to end yet: see [`Instances::end`].
    pub leaving: Vec<InstanceId>,
    /// Why instances do not start or are not ready, the worst reason.
    pub trouble: Option<Text>,
    /// Keyed hash of the secrets at the last start; `None` without secrets or before.
    pub secrets: Option<Digest>,
}

/// Every process of the host. Cheap to clone; when the last clone and the last instance are gone,
/// so are their processes.
#[derive(Clone)]
pub struct Instances(Arc<Inner>);

struct Inner {
    settings: InstanceSettings,
    clock: Arc<dyn Clock>,
    spawner: spawn::Spawner,
    namespaced: bool,
    /// Where groups are made; `None` with namespaces, or where the system has none to give.
    cgroups: Option<PathBuf>,
    hub: LogHub,
    /// Of the hashes of secrets.
    key: [u8; 32],
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    /// How many may look through `/proc` at once.
    scans: Semaphore,
    runtime: Handle,
    /// Ends what runs once.
    closing: CancellationToken,
    /// Held as long as we live: two hosts on one directory would end each other's instances.
    _lock: File,
}

#[derive(Default)]
struct State {
    pools: BTreeMap<PoolId, Pool>,
    /// Handed out and not yet given back.
    ports: HashSet<u16>,
    closed: bool,
    /// Commands that run once and have not ended.
    once: usize,
}

struct Pool {
    plan: Arc<PoolPlan>,
    stopped: bool,
    slots: Vec<Entry>,
    secrets: Option<Digest>,
}

struct Entry {
    view: Instance,
    stop: watch::Sender<Option<Duration>>,
    /// One too many: no new traffic.
    leaving: bool,
    /// Its process, while there is one.
    leader: Option<records::Mark>,
}

impl Instances {
    /// Sees to it that these instances run. A pool that was stopped gets new ones; of one that runs
    /// already only the number may differ: it grows by new instances, and those that are too many, first
    /// those that are not ready, then the newest, get no new traffic and wait for [`Instances::end`]. Must be called within the runtime.
    pub fn ensure(&self, plan: PoolPlan) {
        let mut state = self.0.lock();
        if state.closed {
            return;
        }
        let plan = Arc::new(plan);
        let pool = state.pools.entry(plan.id.clone()).or_insert_with(|| Pool {
            plan: Arc::clone(&plan),
            stopped: true,
            slots: Vec::new(),
            secrets: None,
        });
        if !pool.stopped && pool.plan.runtime.instances == plan.runtime.instances {
            return;
        }
        pool.stopped = false;
        pool.plan = Arc::clone(&plan);
        for _ in 0..pool.resize(plan.runtime.instances) {
            let number = self.0.hub.next_number(&plan.service);
            let id = logs::instance_id(plan.id.version.as_str(), plan.id.generation, number);
            let (stop, stopped) = watch::channel(None);
            let view = Instance {
                id: id.clone(),
                state: InstanceState::Starting,
                since: self.0.clock.now(),
                created: None,
                pid: None,
                port: None,
                restarts: 0,
                reason: None,
                in_flight: 0,
                node: None,
                parts: Vec::new(),
                usage: None,
                sick: None,
            };
            pool.slots.push(Entry { view, stop, leaving: false, leader: None });
            self.0.runtime.spawn(Slot::new(Arc::clone(&self.0), Arc::clone(&plan), id, stopped).run());
        }
        drop(state);
        self.0.bump();
    }

    /// Asks every instance of a pool to end (TERM) and kills what is left after `grace`. The pool
    /// leaves [`Instances::status`] once all of them ended; its logs stay.
    pub fn stop(&self, id: &PoolId, grace: Duration) {
        let grace = grace.min(LONGEST_GRACE);
        let mut state = self.0.lock();
        let Some(pool) = state.pools.get_mut(id) else { return };
        pool.stopped = true;
        pool.slots.iter().for_each(|slot| slot.end(grace));
        if pool.slots.is_empty() {
            state.pools.remove(id);
        }
        drop(state);
        self.0.bump();
    }

    /// Every pool as it is now.
    #[must_use]
    pub fn status(&self) -> Vec<PoolStatus> {
        self.0.lock().pools.values().map(Pool::status).collect()
    }

    /// Moves with every change of [`Instances::status`].
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// What the instances print.
    #[must_use]
    pub fn logs(&self) -> LogHub {
        self.0.hub.clone()
    }

    /// The role of each pool's version, for the lines they print from now on.
    pub fn set_roles(&self, roles: HashMap<PoolId, Role>) {
        self.0.hub.set_roles(roles);
    }

    /// How instances are really kept apart: never [`Isolation::Auto`].
    #[must_use]
    pub fn isolation(&self) -> Isolation {
        if self.0.namespaced { Isolation::PidNamespace } else { Isolation::Plain }
    }

    /// Whether the secrets of a configuration can be read now, and their keyed hash, to compare
    /// with [`PoolStatus::secrets`].
    ///
    /// # Errors
    /// The first secret that is missing, by name and place.
    pub async fn secrets_now(&self, runtime: &RuntimeSpec) -> Result<Option<Digest>, Text> {
        let (inner, runtime) = (Arc::clone(&self.0), runtime.clone());
        blocking(move || secrets::read(&runtime, &inner.settings.lookup, &inner.key).map(|s| s.hash)).await
    }

    /// One value that the host itself needs.
    ///
    /// # Errors
    /// Why it cannot be had, by name and place.
    pub async fn secret(&self, name: &str, source: &SecretSource) -> Result<SecretString, Text> {
        let (inner, name, source) = (Arc::clone(&self.0), name.to_owned(), source.clone());
        blocking(move || secrets::one(&name, &source, &inner.settings.lookup)).await
    }

    /// Ends every instance, each with this grace, and returns when nothing of ours is left. Nothing
    /// can be started any more.
    pub async fn shutdown(&self, grace: Duration) {
        let mut changed = self.changed();
        let pools: Vec<PoolId> = {
            let mut state = self.0.lock();
            state.closed = true;
            self.0.closing.cancel();
            state.pools.keys().cloned().collect()
        };
        for pool in &pools {
            self.stop(pool, grace);
        }
        let left = || {
            let state = self.0.lock();
            !state.pools.is_empty() || state.once > 0
        };
        let all_ended = async { while left() && changed.changed().await.is_ok() {} };
        // Each slot has its own, shorter last resort; this one is for a disk that hangs.
        if time::timeout(grace.min(LONGEST_GRACE) + slot::LAST_RESORT * 2, all_ended).await.is_err() {
            tracing::warn!("some instances have not ended");
        }
        let hub = self.0.hub.clone();
        let _ = tokio::task::spawn_blocking(move || hub.flush()).await;
    }
}

impl Pool {
    fn status(&self) -> PoolStatus {
        let instances: Vec<Instance> = self.slots.iter().map(Entry::shown).collect();
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let ready = instances.iter().filter(|i| i.state == InstanceState::Ready);
        let ready = ready.filter_map(|i| Some((i.id.clone(), at(i.port?)))).collect();
        let worst = |state| instances.iter().find(|i| i.state == state && i.reason.is_some());
        let trouble = worst(InstanceState::BackOff).or_else(|| worst(InstanceState::NotReady)).and_then(|i| i.reason.clone());
        let desired = if self.stopped { 0 } else { self.plan.runtime.instances };
        PoolStatus {
            id: self.plan.id.clone(),
            service: self.plan.service.clone(),
            desired,
            ready,
            leaving: self.leaving(),
            trouble,
            secrets: self.secrets,
            instances,
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bump(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    /// Changes what is shown of an instance; its `since` moves with its state.
    fn update(&self, pool: &PoolId, id: &InstanceId, change: impl FnOnce(&mut Instance)) {
        let mut state = self.lock();
        let slot = state.pools.get_mut(pool).and_then(|p| p.slots.iter_mut().find(|s| s.view.id == *id));
        let Some(slot) = slot else { return };
        let before = slot.view.clone();
        change(&mut slot.view);
        if slot.view.state != before.state {
            slot.view.since = self.clock.now();
        }
        let moved = slot.view != before;
        drop(state);
        if moved {
            self.bump();
        }
    }

    /// An instance ended for good.
    fn forget(&self, pool: &PoolId, id: &InstanceId) {
        let mut state = self.lock();
        if let Some(found) = state.pools.get_mut(pool) {
            found.slots.retain(|s| s.view.id != *id);
            if found.stopped && found.slots.is_empty() {
                state.pools.remove(pool);
            }
        }
        drop(state);
        self.bump();
    }
}

/// Runs something that blocks; a panic in it is an error like any other.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Text> + Send + 'static) -> Result<T, Text> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err("the host failed on the way to start it; its own log says more".into()),
    }
}
