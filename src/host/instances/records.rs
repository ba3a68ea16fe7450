//! What a host writes down about its processes before they get traffic, and how the next host ends
//! what is left of them. A process is only ever killed when its id *and* its start time match, in
//! the same boot of the machine, or when it sits in a control group of ours. Nothing is adopted.

use super::{cgroup, proc};
use crate::model::text::Text;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal},
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, Write as _},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

/// Longer than the drain of a supervisor whose host died.
const PATIENCE: Duration = Duration::from_secs(4);

/// The processes of one instance.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// The boot in which the ids mean something.
    pub boot: String,
    /// Of which service.
    pub service: Text,
    /// Which instance.
    pub instance: Text,
    /// The supervisor's outermost process: a child of the host.
    pub supervisor: Option<Mark>,
    /// The first process of the PID namespace, if there is one.
    pub init: Option<Mark>,
    /// The service's own process, leader of its process group.
    pub leader: Option<Mark>,
    /// The control group of the service, if there is one.
    pub cgroup: Option<PathBuf>,
}

/// A process for ever: ids are used again, ids with start times are not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mark {
    /// Its id, as the host sees it.
    pub pid: u32,
    /// See [`proc::Process::start`].
    pub start: u64,
}

impl Mark {
    /// Marks a process that runs now.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        proc::process(pid).map(|p| Self { pid, start: p.start })
    }

    /// A handle on exactly this process, or `None` if it is gone. A signal sent through it cannot
    /// reach another process of the same id.
    fn open(self) -> Option<OwnedFd> {
        let pid = Pid::from_raw(i32::try_from(self.pid).ok()?)?;
        let handle = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // In this order: the process behind the handle cannot change after it was looked at.
        proc::process(self.pid).filter(|p| p.start == self.start && !p.zombie)?;
        Some(handle)
    }

    /// Kills exactly this process; false if it was gone.
    #[must_use]
    pub fn kill(self) -> bool {
        self.open().is_some_and(|handle| pidfd_send_signal(handle, Signal::KILL).is_ok())
    }
}

impl Record {
    /// Writes it in place of an older one. Survives the death of the host, not that of the machine,
    /// which ends the processes too.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn save(&self, file: &Path) -> io::Result<()> {
        let dir = file.parent().unwrap_or(Path::new("."));
        let mut fresh = tempfile::NamedTempFile::new_in(dir)?;
        serde_json::to_writer(&mut fresh, self)?;
        fresh.flush()?;
        fresh.persist(file)?;
        Ok(())
    }
}

/// What an earlier host left behind.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Leftovers {
    /// Every instance it had not cleaned up after.
    pub found: Vec<Leftover>,
}

/// One instance that an earlier host left behind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leftover {
    /// Of which service; empty if only its control group was found.
    pub service: Text,
    /// Which instance, or the name of the control group.
    pub instance: Text,
    /// How many of its processes still ran and were killed, as far as they could be counted.
    pub killed: usize,
    /// One of them could not be ended.
    pub survived: bool,
}

impl Leftovers {
    /// One line for the timeline, or `None` if there was nothing.
    #[must_use]
    pub fn line(&self) -> Option<Text> {
        if self.found.is_empty() {
            return None;
        }
        let killed: usize = self.found.iter().map(|l| l.killed).sum();
        let survived = self.found.iter().filter(|l| l.survived).count();
        let plural = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
        let mut line = format!("an earlier host left {}: ", plural(self.found.len(), "instance", "instances"));
        line += &if killed == 0 { "nothing of it still ran".to_owned() } else { plural(killed, "process", "processes") + " killed" };
        if survived > 0 {
            line += &format!(", {} could not be ended", plural(survived, "instance", "instances"));
        }
        Some(line.into())
    }
}

/// Ends everything that the records in `dir` name, then everything in control groups of this host,
/// and removes the records. Blocks, at most a few seconds.
///
/// # Errors
/// When the records cannot be listed.
pub fn sweep(dir: &Path, cgroups: Option<&Path>, prefix: &str) -> io::Result<Leftovers> {
    let boot = proc::boot_id();
    let mut ending = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "json") {
            let record: Record = fs::read(&path).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
            // All are told to end before any is waited for.
            let handles = if record.boot == boot { tell(&record) } else { Vec::new() };
            ending.push((path, record, handles));
        } else if path.is_file() {
            let _ = fs::remove_file(&path); // an unfinished record
        }
    }
    let mut found = Vec::new();
    for (path, record, handles) in ending {
        let told = handles.len();
        let mut survived = !handles.into_iter().all(|handle| wait(&handle, PATIENCE));
        let mut killed = told;
        if record.boot == boot {
            if let Some(supervisor) = record.supervisor
                && supervisor.kill()
            {
                survived = false; // it did not end in time, and is dead now
            }
            // Its supervisor was killed before it: what is left of the group, then the rest.
            if let Some(leader) = record.leader
                && let Some(handle) = leader.open()
            {
                let group = proc::process(leader.pid).filter(|p| p.group == leader.pid);
                if group.is_some()
                    && let Some(pid) = i32::try_from(leader.pid).ok().and_then(Pid::from_raw)
                {
                    let _ = kill_process_group(pid, Signal::KILL);
                }
                send(&handle, Signal::KILL);
                survived |= !wait(&handle, PATIENCE);
                killed += 1;
            }
        }
        killed += record.cgroup.as_deref().and_then(cgroup::sweep).unwrap_or_default();
        let _ = fs::remove_file(&path);
        found.push(Leftover { service: record.service, instance: record.instance, killed, survived });
    }
    for group in cgroups.and_then(|base| fs::read_dir(base).ok()).into_iter().flatten().flatten() {
        let name = group.file_name().to_string_lossy().into_owned();
        if !name.starts_with(prefix) {
            continue;
        }
        let killed = cgroup::sweep(&group.path()).unwrap_or_default();
        let survived = group.path().exists();
        if killed > 0 || survived {
            found.push(Leftover { service: Text::default(), instance: name.into(), killed, survived });
        }
    }
    Ok(Leftovers { found })
}

/// Tells the processes of a record to end, in the way that takes everything with them.
fn tell(record: &Record) -> Vec<OwnedFd> {
    // The end of a namespace's first process ends the namespace.
    let init = record.init.and_then(Mark::open).inspect(|handle| send(handle, Signal::KILL));
    let supervisor = record.supervisor.and_then(Mark::open).inspect(|handle| {
        // A supervisor takes INT as "no drain"; without a namespace only it can find every descendant.
        let signal = if record.init.is_some() { Signal::KILL } else { Signal::INT };
        send(handle, signal);
    });
    init.into_iter().chain(supervisor).collect()
}

/// Sends a signal to exactly this process, if it is still there.
fn send(handle: &OwnedFd, signal: Signal) {
    let _ = pidfd_send_signal(handle, signal);
}

/// Waits until a process has ended; false if it has not in time.
fn wait(handle: &OwnedFd, patience: Duration) -> bool {
    let patience = Timespec { tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX), tv_nsec: 0 };
    loop {
        match poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&patience)) {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.is_ok_and(|ready| ready > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Leftovers, Mark, Record, sweep};
    use crate::host::instances::proc::boot_id;
    use std::process::Command;

    #[test]
    fn a_process_is_killed_only_when_id_start_and_boot_match() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let mark = Mark::of(child.id()).unwrap();
        let record = |leader, boot: &str| Record {
            boot: boot.to_owned(),
            service: "checkout".into(),
            instance: "a-1-1".into(),
            leader: Some(leader),
            ..Record::default()
        };
        let file = dir.path().join("a.json");

        record(Mark { start: mark.start + 1, ..mark }, &boot_id()).save(&file).unwrap();
        let other_start = sweep(dir.path(), None, "").unwrap();
        record(mark, "another boot").save(&file).unwrap();
        let other_boot = sweep(dir.path(), None, "").unwrap();
        for leftovers in [other_start, other_boot] {
            assert_eq!(leftovers.found.iter().map(|l| l.killed).collect::<Vec<_>>(), [0]);
            assert_eq!(leftovers.line().unwrap().as_str(), "an earlier host left 1 instance: nothing of it still ran");
        }
        assert_eq!(child.try_wait().unwrap(), None, "it is not ours and must live");

        record(mark, &boot_id()).save(&file).unwrap();
        assert_eq!(sweep(dir.path(), None, "").unwrap().found[0].killed, 1);
        assert!(!child.wait().unwrap().success());
        assert_eq!(sweep(dir.path(), None, "").unwrap(), Leftovers::default());
    }

    #[test]
    fn a_torn_record_is_no_reason_to_stop() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.json"), "{\"boot\":").unwrap();
        assert_eq!(sweep(dir.path(), None, "").unwrap().found.len(), 1);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
