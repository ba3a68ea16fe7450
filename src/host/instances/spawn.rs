//! The one thread that starts supervisors. Their parent-death signal follows the *thread* that
//! started them, so it must live exactly as long as the host does.

use super::records::{Mark, Record};
use std::{
    ffi::OsString,
    io,
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};
use tokio::sync::oneshot;

/// Asks the thread for one supervisor.
struct Job {
    namespaced: bool,
    file: Option<(PathBuf, Record)>,
    reply: oneshot::Sender<io::Result<Supervisor>>,
}

/// A supervisor that runs and waits for its order.
pub struct Supervisor {
    /// Its process: a direct child of the host.
    pub child: Child,
    /// Its standard input. Closed means that the host is gone.
    pub control: OwnedFd,
    /// Its standard output.
    pub reports: OwnedFd,
    /// What was written down about it.
    pub record: Record,
}

/// Hands jobs to the thread; the last clone that goes ends it, and every supervisor with it.
#[derive(Clone)]
pub struct Spawner(mpsc::Sender<Job>);

impl Spawner {
    /// Starts the thread. `command` is the program and arguments of the hidden subcommand.
    ///
    /// # Errors
    /// When the command is empty or the system gives no thread.
    pub fn start(command: Vec<OsString>) -> io::Result<Self> {
        let (program, args) = command.split_first().ok_or_else(|| io::Error::other("no supervisor command"))?;
        let (program, args) = (program.clone(), args.to_vec());
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::Builder::new().name("spawn".to_owned()).spawn(move || {
            for job in queue {
                let spawned = spawn(&program, &args, job.namespaced, job.file);
                // Nobody waits any more: the pipes close, and the supervisor ends.
                if let Err(Ok(mut unwanted)) = job.reply.send(spawned) {
                    drop((unwanted.control, unwanted.reports));
                    let _ = unwanted.child.wait();
                }
            }
        })?;
        Ok(Self(jobs))
    }

    /// Starts one supervisor and writes its process down, if a file and what to write are given.
    /// Nothing of the service runs before the supervisor got its order.
    #[must_use]
    pub fn spawn(&self, namespaced: bool, file: Option<(PathBuf, Record)>) -> oneshot::Receiver<io::Result<Supervisor>> {
        let (reply, answer) = oneshot::channel();
        let _ = self.0.send(Job { namespaced, file, reply }); // a dead thread shows as a closed channel
        answer
    }
}

fn spawn(program: &OsString, args: &[OsString], namespaced: bool, file: Option<(PathBuf, Record)>) -> io::Result<Supervisor> {
    let mut child = Command::new(program)
        .args(args)
        .arg(if namespaced { "launch" } else { "watch" })
        .arg(std::process::id().to_string())
        .env_clear() // the host's own environment may hold secrets
        .current_dir("/")
        .process_group(0) // survives a kill of the host's whole group, and Ctrl-C
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    // Taken out, or waiting for the child would close its input and fake the host's death.
    let (Some(control), Some(reports)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("no pipes to the supervisor"));
    };
    let record = match file {
        None => Record::default(),
        Some((path, record)) => {
            let record = Record { supervisor: Mark::of(child.id()), ..record };
            if let Err(error) = record.save(&path) {
                drop((control, reports));
                let _ = child.wait();
                return Err(io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display())));
            }
            record
        }
    };
    Ok(Supervisor { child, control: control.into(), reports: reports.into(), record })
}
