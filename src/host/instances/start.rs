//! The start of [`Instances`]: one host per directory, what an earlier one left is ended, and the
//! kind of isolation is found out once.

use super::{
    Inner, InstanceSettings, Instances, Isolation, LogHub, State, cgroup,
    order::Report,
    records::{self, Leftovers},
    secrets,
    spawn::Spawner,
};
use crate::{clock::Clock, model::text::Text};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FlockOperation, flock},
};
use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf, absolute},
    sync::{Arc, Mutex},
    thread,
};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, watch},
};
use tokio_util::sync::CancellationToken;

/// How long a supervisor that only says whether it works may take.
const PROBE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

impl Instances {
    /// Takes the directories over, ends what an earlier host left and says what it found. Blocks,
    /// usually for a few milliseconds, a few seconds if leftovers resist. Call it within the runtime.
    ///
    /// # Errors
    /// When another host uses the directories, they cannot be used, or supervisors cannot be started.
    pub fn start(mut settings: InstanceSettings, clock: Arc<dyn Clock>) -> io::Result<(Self, Leftovers)> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        // Supervisors and services have working directories of their own.
        settings.run_dir = absolute(settings.run_dir)?;
        settings.log_dir = absolute(settings.log_dir)?;
        // Passable, for services with a user of their own; what is private in it says so itself.
        make_dir(&settings.run_dir, 0o711)?;
        make_dir(&records_dir(&settings.run_dir), 0o700)?;
        make_dir(&settings.log_dir, 0o700)?;
        let lock = lock(&settings.run_dir.join("lock"))?;

        let cgroups = cgroup::base();
        let leftovers = records::sweep(&records_dir(&settings.run_dir), cgroups.as_deref(), &group_prefix(&settings.host_id))?;
        let homes = homes_dir(&settings.run_dir);
        if let Err(error) = fs::remove_dir_all(&homes)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, dir = %homes.display(), "cannot remove what earlier instances left");
        }
        make_dir(&homes, 0o711)?;

        let key = secrets::key(&settings.run_dir.join("secrets.key"))?;
        let hub = LogHub::open(settings.log_dir.clone(), Arc::clone(&clock))?;
        let spawner = Spawner::start(settings.supervisor.clone())?;
        let namespaced = choose(&spawner, settings.isolation)?;
        let cgroups = if namespaced { None } else { cgroups };
        let isolation = if namespaced { "PID namespaces" } else { "supervisors" };
        tracing::info!(isolation, control_groups = cgroups.is_some(), "instances are kept apart");

        let inner = Inner {
            settings,
            clock,
            spawner,
            namespaced,
            cgroups,
            hub,
            key,
            state: Mutex::new(State::default()),
            changed: watch::Sender::new(0),
            scans: Semaphore::new(2),
            runtime,
            closing: CancellationToken::new(),
            _lock: lock,
        };
        Ok((Self(Arc::new(inner)), leftovers))
    }
}

/// Where processes are written down.
pub fn records_dir(run_dir: &Path) -> PathBuf {
    run_dir.join("records")
}

/// Where instances have their `HOME` and `TMPDIR`. Short: names of Unix sockets have 107 bytes.
pub fn homes_dir(run_dir: &Path) -> PathBuf {
    run_dir.join("i")
}

/// How the names of this host's control groups start. No host's is the start of another's.
pub fn group_prefix(host_id: &str) -> String {
    let id: String = host_id.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("cutover.{id}.")
}

fn make_dir(dir: &Path, mode: u32) -> io::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(mode).create(dir);
    made.map_err(|e| io::Error::new(e.kind(), format!("cannot make {}: {e}", dir.display())))
}

fn lock(path: &Path) -> io::Result<File> {
    let file = File::options().write(true).create(true).truncate(false).open(path)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|e| match e {
        rustix::io::Errno::WOULDBLOCK => io::Error::other(format!("another host uses {}; stop it first", path.display())),
        e => e.into(),
    })?;
    Ok(file)
}

/// Whether instances get namespaces.
fn choose(spawner: &Spawner, isolation: Isolation) -> io::Result<bool> {
    if isolation != Isolation::Plain {
        match works(spawner, true) {
            Ok(()) => return Ok(true),
            Err(why) if isolation == Isolation::PidNamespace => {
                return Err(io::Error::other(format!("no PID namespaces here: {why}")));
            }
            Err(why) => tracing::warn!(%why, "no PID namespaces here: instances are kept apart less well"),
        }
    }
    works(spawner, false).map(|()| false).map_err(|why| io::Error::other(format!("cannot start a supervisor: {why}")))
}

/// How instances could be kept apart by whoever asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Abilities {
    /// A PID namespace for each instance, or why not.
    pub namespaces: Result<(), Text>,
    /// A supervisor without one, or why not.
    pub supervisors: Result<(), Text>,
    /// Whether a control group can be made.
    pub control_groups: bool,
}

/// Tries it. Blocks for a few milliseconds; nothing is left running. `supervisor` is as in
/// [`InstanceSettings::supervisor`].
///
/// # Errors
/// When the system gives no thread.
pub fn abilities(supervisor: &[OsString]) -> io::Result<Abilities> {
    let spawner = Spawner::start(supervisor.to_vec())?;
    Ok(Abilities { namespaces: works(&spawner, true), supervisors: works(&spawner, false), control_groups: cgroup::base().is_some() })
}

/// Starts a supervisor that only says whether it could do everything up to the service itself.
fn works(spawner: &Spawner, namespaced: bool) -> Result<(), Text> {
    let answer = spawner.spawn(namespaced, None);
    // A thread of its own, as this one may belong to the runtime, which must not be waited on there.
    let asked = thread::scope(|scope| {
        let asking = scope.spawn(move || {
            let mut supervisor = answer.blocking_recv().map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
            let said = ask(supervisor.control.into(), supervisor.reports.into());
            if said.is_err() {
                let _ = supervisor.child.kill();
            }
            let _ = supervisor.child.wait();
            said
        });
        asking.join().unwrap_or_else(|_| Err("it could not be asked".to_owned()))
    });
    asked.map_err(Into::into)
}

fn ask(mut control: File, mut reports: File) -> Result<(), String> {
    let _ = control.write_all(b"\n"); // an order of nothing; if it died, its end says so
    let mut said = Vec::new();
    loop {
        match poll(&mut [PollFd::new(&reports, PollFlags::IN)], Some(&PROBE)) {
            Ok(0) => return Err("no answer within 10s".to_owned()),
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.to_string()),
            Ok(_) => {}
        }
        let mut chunk = [0; 1024];
        let n = reports.read(&mut chunk).map_err(|e| e.to_string())?;
        said.extend(chunk.iter().take(n));
        let reports: Vec<Report> = said.split(|&b| b == b'\n').filter_map(Report::parse).collect();
        if reports.contains(&Report::Works) {
            return Ok(());
        }
        if n == 0 {
            let why = reports.into_iter().find_map(|r| if let Report::Failed(why) = r { Some(why) } else { None });
            return Err(why.map_or_else(|| "it ended without a word".to_owned(), |why| why.to_string()));
        }
    }
}
