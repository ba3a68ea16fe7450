//! What the processes of instances use: each instance's own and all that came of it, together.
//!
//! Every ten seconds one thread reads `/proc` once, whatever the number of instances; without any it
//! reads nothing. How memory grows is said only when the growth stands out of its own noise.

mod growth;

use super::instances::Instances;
use crate::{
    clock::Clock,
    model::{
        ident::InstanceId,
        instance::{Instance, Usage},
    },
};
use growth::Growth;
use procfs::process::{Process, Stat, all_processes};
use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// How often it is read.
pub const EVERY: Duration = Duration::from_secs(10);

/// A family tree deeper than this is not followed: it is being grown faster than it is read.
const DEEPEST: usize = 64;

/// What was read last, by instance.
#[derive(Clone, Default)]
pub struct Accounts(Arc<Mutex<HashMap<InstanceId, Usage>>>);

impl Accounts {
    /// Reads on until cancelled.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(instances: Instances, clock: Arc<dyn Clock>, cancel: CancellationToken) -> io::Result<Self> {
        let accounts = Self::default();
        let told = accounts.clone();
        std::thread::Builder::new().name("usage".into()).spawn(move || {
            let mut books = Books::default();
            while !cancel.is_cancelled() {
                let running: Vec<Instance> = instances.status().into_iter().flat_map(|p| p.instances).collect();
                let read = books.read(&running, clock.uptime());
                *told.0.lock().unwrap_or_else(PoisonError::into_inner) = read;
                wait(&cancel);
            }
        })?;
        Ok(accounts)
    }

    /// What an instance uses, if that was read.
    #[must_use]
    pub fn of(&self, id: &InstanceId) -> Option<Usage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}

/// A thread that sleeps in long pieces would hold up the end of the host.
fn wait(cancel: &CancellationToken) {
    for _ in 0..EVERY.as_millis() / 500 {
        if cancel.is_cancelled() {
            return;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// What must be remembered from one reading to the next.
#[derive(Default)]
struct Books(HashMap<InstanceId, Account>);

struct Account {
    /// Of the main process: another one is another account.
    started: u64,
    /// Processor time of each process of the family, in ticks, when it was read last.
    ticks: BTreeMap<i32, u64>,
    read: Duration,
    growth: Growth,
}

impl Books {
    /// Everything that can be said of these instances now.
    fn read(&mut self, instances: &[Instance], now: Duration) -> HashMap<InstanceId, Usage> {
        self.0.retain(|id, _| instances.iter().any(|i| i.id == *id && i.pid.is_some()));
        let with_pid: Vec<(&InstanceId, i32)> = instances.iter().filter_map(|i| Some((&i.id, i32::try_from(i.pid?).ok()?))).collect();
        if with_pid.is_empty() {
            return HashMap::new();
        }
        let table = Table::read();
        with_pid.into_iter().filter_map(|(id, pid)| Some((id.clone(), self.account(id, pid, &table, now)?))).collect()
    }

    fn account(&mut self, id: &InstanceId, pid: i32, table: &Table, now: Duration) -> Option<Usage> {
        let family = table.family(pid);
        let main = family.first()?;
        let ticks: BTreeMap<i32, u64> = family.iter().map(|s| (s.pid, s.utime + s.stime)).collect();
        let memory = family.iter().map(|s| s.rss.saturating_mul(procfs::page_size())).sum();
        let account = self.0.get_mut(id).filter(|a| a.started == main.starttime);
        let (cpu, slope) = match account {
            Some(account) => {
                let used: u64 = ticks.iter().map(|(pid, now)| now.saturating_sub(account.ticks.get(pid).copied().unwrap_or(0))).sum();
                let cpu = cores(used, now.saturating_sub(account.read));
                (account.ticks, account.read) = (ticks, now);
                account.growth.add(now, memory);
                (cpu, account.growth.per_hour())
            }
            None => {
                let mut growth = Growth::default();
                growth.add(now, memory);
                self.0.insert(id.clone(), Account { started: main.starttime, ticks, read: now, growth });
                // There is nothing to compare with yet.
                (None, None)
            }
        };
        // Of a family of which one may not be looked into, the sum would be too low.
        let descriptors: Option<usize> = family.iter().map(|s| Process::new(s.pid).ok()?.fd_count().ok()).sum();
        Some(Usage {
            cpu,
            memory: Some(memory),
            memory_slope: slope,
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
    use super::{Books, Table};
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
        let first = books.read(&[instance(pid)], Duration::from_secs(10)).remove(&InstanceId::new("web-1")).unwrap();
        assert!(first.memory > Some(0) && first.descriptors >= Some(7), "{first:?}");
        assert_eq!((first.cpu, first.probe_failures), (None, None), "nothing to compare with yet");
        std::thread::sleep(Duration::from_millis(600));
        let second = books.read(&[instance(pid)], Duration::from_millis(10_600)).remove(&InstanceId::new("web-1")).unwrap();
        assert!(second.cpu.is_some_and(|cpu| cpu > 0.05 && cpu < 3.0), "{second:?}");
        let sleeper = Table::read().children.remove(&i32::try_from(pid).unwrap()).unwrap();
        drop(child);
        for pid in sleeper {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        assert!(books.read(&[instance(pid)], Duration::from_secs(20)).is_empty(), "it is gone");
    }

    #[test]
    fn without_instances_nothing_is_read() {
        let mut books = Books::default();
        assert!(books.read(&[], Duration::from_secs(1)).is_empty());
    }
}
