//! What the processes of instances use: each instance's own and all that came of it, together.
//!
//! One thread reads `/proc` once, whatever the number of instances: every second while one of them is young, else
//! every ten; without any it reads nothing. How memory grows is said only when the growth stands out of its own
//! noise, from when the instance was warm. A process that was started again begins anew.

mod growth;

use super::instances::Instances;
use crate::{
    clock::Clock,
    conductor::life::PoolId,
    model::{
        ident::InstanceId,
        instance::{Instance, InstanceState, Usage},
    },
};
use growth::Course;
use procfs::process::{Process, Stat, all_processes};
use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// How often it is read, and what processor time is taken over.
pub const EVERY: Duration = Duration::from_secs(10);

/// How often it is read while a process is younger than [`YOUNG`].
const SOON: Duration = Duration::from_secs(1);
const YOUNG: Duration = Duration::from_secs(60);

/// A family tree deeper than this is not followed: it is being grown faster than it is read.
const DEEPEST: usize = 64;

/// What was read last, by instance.
#[derive(Clone, Default)]
pub struct Accounts {
    told: Arc<Mutex<HashMap<InstanceId, Usage>>>,
    /// How long instances warm up.
    warmups: Arc<Mutex<HashMap<PoolId, Duration>>>,
}

impl Accounts {
    /// Reads on until cancelled.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(instances: Instances, clock: Arc<dyn Clock>, cancel: CancellationToken) -> io::Result<Self> {
        let accounts = Self::default();
        let shared = accounts.clone();
        std::thread::Builder::new().name("usage".into()).spawn(move || {
            let mut books = Books::default();
            while !cancel.is_cancelled() {
                let pools = instances.status();
                let warmups = lock(&shared.warmups).clone();
                let warmup = |pool| warmups.get(pool).copied().unwrap_or_default();
                let running: Vec<Running> =
                    pools.iter().flat_map(|p| p.instances.iter().map(|i| Running { instance: i, warmup: warmup(&p.id) })).collect();
                let now = clock.uptime();
                *lock(&shared.told) = books.read(&running, now);
                lock(&shared.warmups).retain(|pool, _| pools.iter().any(|p| p.id == *pool));
                wait(&cancel, if books.is_young(now) { SOON } else { EVERY });
            }
        })?;
        Ok(accounts)
    }

    /// What an instance uses, if that was read.
    #[must_use]
    pub fn of(&self, id: &InstanceId) -> Option<Usage> {
        lock(&self.told).get(id).cloned()
    }

    /// What the memory of a pool's instances does for so long after they are ready is no growth.
    pub fn warm_up(&self, pool: &PoolId, warmup: Duration) {
        lock(&self.warmups).insert(pool.clone(), warmup);
    }
}

/// Nobody holds it while waiting for anything.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread that sleeps in long pieces would hold up the end of the host.
fn wait(cancel: &CancellationToken, span: Duration) {
    for _ in 0..span.as_millis() / 500 {
        if cancel.is_cancelled() {
            return;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// What must be remembered from one reading to the next.
#[derive(Default)]
struct Books(HashMap<InstanceId, Account>);

/// An instance, and how long it warms up.
struct Running<'a> {
    instance: &'a Instance,
    warmup: Duration,
}

struct Account {
    /// Of the main process: another one is another account.
    started: u64,
    opened: Duration,
    /// Processor time of each process of the family, in ticks, when it was looked at last.
    ticks: BTreeMap<i32, u64>,
    looked: Duration,
    cpu: Option<f64>,
    course: Course,
}

impl Books {
    /// Everything that can be said of these instances now.
    fn read(&mut self, running: &[Running<'_>], now: Duration) -> HashMap<InstanceId, Usage> {
        self.0.retain(|id, _| running.iter().any(|r| r.instance.id == *id && r.instance.pid.is_some()));
        if running.iter().all(|r| r.instance.pid.is_none()) {
            return HashMap::new();
        }
        let table = Table::read();
        running.iter().filter_map(|r| Some((r.instance.id.clone(), self.account(r, &table, now)?))).collect()
    }

    /// Whether a process was not there yet a while ago.
    fn is_young(&self, now: Duration) -> bool {
        self.0.values().any(|a| now.saturating_sub(a.opened) < YOUNG)
    }

    fn account(&mut self, running: &Running<'_>, table: &Table, now: Duration) -> Option<Usage> {
        let Running { instance, warmup } = running;
        let (id, pid) = (&instance.id, i32::try_from(instance.pid?).ok()?);
        let family = table.family(pid);
        let main = family.first()?;
        let ticks: BTreeMap<i32, u64> = family.iter().map(|s| (s.pid, s.utime + s.stime)).collect();
        let memory = family.iter().map(|s| s.rss.saturating_mul(procfs::page_size())).sum();
        let new =
            || Account { started: main.starttime, opened: now, ticks: ticks.clone(), looked: now, cpu: None, course: Course::default() };
        let account = self.0.entry(id.clone()).or_insert_with(new);
        if account.started != main.starttime {
            *account = new();
        }
        // A second of a few ticks says little.
        let since = now.saturating_sub(account.looked);
        if since >= EVERY {
            let used: u64 = ticks.iter().map(|(pid, now)| now.saturating_sub(account.ticks.get(pid).copied().unwrap_or(0))).sum();
            account.cpu = cores(used, since);
            (account.ticks, account.looked) = (ticks, now);
        }
        account.course.add(now, memory);
        if instance.state == InstanceState::Ready {
            account.course.ready(now);
        }
        let (cpu, growth) = (account.cpu, account.course.growth(*warmup));
        // Of a family of which one may not be looked into, the sum would be too low.
        let descriptors: Option<usize> = family.iter().map(|s| Process::new(s.pid).ok()?.fd_count().ok()).sum();
        Some(Usage {
            cpu,
            memory: Some(memory),
            memory_slope: growth.map(|g| g.per_hour),
            memory_over: growth.map(|g| g.over),
            descriptors: descriptors.map(|n| u32::try_from(n).unwrap_or(u32::MAX)),
            probe_failures: None,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "ticks of ten seconds")]
fn cores(ticks: u64, over: Duration) -> Option<f64> {
    let seconds = ticks as f64 / procfs::ticks_per_second() as f64;
    (!over.is_zero()).then(|| seconds / over.as_secs_f64())
}

/// Every process that can be seen.
struct Table {
    processes: HashMap<i32, Stat>,
    children: HashMap<i32, Vec<i32>>,
}

impl Table {
    fn read() -> Self {
        // What ends while it is read is not there; where nothing can be read, nothing is said.
        let all = all_processes().into_iter().flatten().filter_map(|p| p.ok()?.stat().ok());
        let processes: HashMap<i32, Stat> = all.map(|stat| (stat.pid, stat)).collect();
        let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
        for stat in processes.values() {
            children.entry(stat.ppid).or_default().push(stat.pid);
        }
        Self { processes, children }
    }

    /// A process and all that came of it, itself first.
    fn family(&self, pid: i32) -> Vec<&Stat> {
        let mut family: Vec<&Stat> = Vec::new();
        let mut generation = vec![pid];
        for _ in 0..DEEPEST {
            family.extend(generation.iter().filter_map(|pid| self.processes.get(pid)));
            generation = generation.iter().filter_map(|pid| self.children.get(pid)).flatten().copied().collect();
            if generation.is_empty() {
                break;
            }
        }
        family
    }
}

#[cfg(test)]
mod tests {
    use super::{Books, Running, Table};
    use crate::model::{
        ident::InstanceId,
        instance::{Instance, InstanceState},
        time::Time,
    };
    use std::{
        process::{Child, Command, Stdio},
        time::Duration,
    };

    struct Ended(Child);

    impl Drop for Ended {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn instance(pid: u32) -> Instance {
        Instance {
            id: InstanceId::new("web-1"),
            state: InstanceState::Ready,
            since: Time::UNIX_EPOCH,
            created: None,
            pid: Some(pid),
            port: None,
            restarts: 0,
            reason: None,
            in_flight: 0,
            node: None,
            parts: Vec::new(),
            usage: None,
            sick: None,
        }
    }

    #[test]
    fn a_process_and_its_children_are_one_account() {
        // A shell that works, with a child that sleeps and holds a file open.
        let script = "sleep 60 3</dev/null & trap 'kill $!' EXIT; while :; do :; done";
        let child = Ended(Command::new("sh").args(["-c", script]).stdin(Stdio::null()).spawn().unwrap());
        let pid = child.0.id();
        let family = || Table::read().family(i32::try_from(pid).unwrap()).len();
        for _ in 0..200 {
            if family() == 2 {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(family(), 2);
        let mut books = Books::default();
        let running = instance(pid);
        let of = |instance| [Running { instance, warmup: Duration::ZERO }];
        let first = books.read(&of(&running), Duration::from_secs(10)).remove(&InstanceId::new("web-1")).unwrap();
        assert!(first.memory > Some(0) && first.descriptors >= Some(7), "{first:?}");
        assert_eq!((first.cpu, first.probe_failures), (None, None), "nothing to compare with yet");
        std::thread::sleep(Duration::from_millis(600));
        // Ten seconds by the clock that is told, a twentieth of them in truth.
        let second = books.read(&of(&running), Duration::from_secs(20)).remove(&InstanceId::new("web-1")).unwrap();
        assert!(second.cpu.is_some_and(|cpu| cpu > 0.003 && cpu < 0.2), "{second:?}");
        assert!(books.is_young(Duration::from_secs(69)) && !books.is_young(Duration::from_secs(70)));
        let sleeper = Table::read().children.remove(&i32::try_from(pid).unwrap()).unwrap();
        drop(child);
        for pid in sleeper {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        assert!(books.read(&of(&running), Duration::from_secs(30)).is_empty(), "it is gone");
    }

    #[test]
    fn without_instances_nothing_is_read() {
        let mut books = Books::default();
        assert!(books.read(&[], Duration::from_secs(1)).is_empty());
    }
}
