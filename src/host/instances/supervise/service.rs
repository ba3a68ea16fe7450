//! The ends of the pipes that a supervisor holds: to its host, and to the service it started.

use super::{
    super::{
        cgroup,
        order::{Order, Report, Splitter},
    },
    SELF,
    outbox::Outbox,
};
use crate::clock::Clock;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_setfl},
    io::Errno,
    process::{Pid, PidfdFlags, getpid, pidfd_open},
};
use std::{
    io::{self, Write as _},
    net::Shutdown,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::{ChildStderr, ChildStdout, Command, Stdio},
};

/// The pipe from the host.
#[derive(Default)]
pub struct Control {
    buffer: Vec<u8>,
    /// The host is gone.
    pub closed: bool,
}

impl Control {
    /// Waits for the first line; `None` if the host is gone before it is complete.
    pub fn first_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        while !self.closed {
            if let Some(line) = self.line() {
                return Ok(Some(line));
            }
            self.read()?;
        }
        Ok(None)
    }

    /// The next line without its end, if it is complete.
    pub fn line(&mut self) -> Option<Vec<u8>> {
        let end = self.buffer.iter().position(|&b| b == b'\n')?;
        let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
        line.pop();
        Some(line)
    }

    /// Reads once; after `poll` said so it does not block.
    pub fn read(&mut self) -> io::Result<()> {
        let mut chunk = vec![0; 64 * 1024];
        match rustix::io::read(rustix::stdio::stdin(), &mut chunk) {
            Ok(0) => self.closed = true,
            Ok(n) => self.buffer.extend(chunk.iter().take(n)),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// The service's own process and its pipes.
pub struct Service {
    /// Its process, leader of its process group.
    pub leader: Pid,
    /// Until it is reaped.
    pub alive: bool,
    /// Readable once it ended, also where SIGCHLD is ignored.
    pub exit: Option<OwnedFd>,
    /// Open until the program is executed or could not be.
    pub starting: Option<(UnixStream, String)>,
    /// Its standard output, until it ends.
    pub out: Option<(ChildStdout, Splitter)>,
    /// Its standard error, until it ends.
    pub err: Option<(ChildStderr, Splitter)>,
}

impl Service {
    /// Starts it: a process that waits for its part of the order, then executes the command.
    pub fn start(order: &Order, outbox: &mut Outbox, clock: &dyn Clock) -> io::Result<Self> {
        let (mut ours, theirs) = UnixStream::pair()?;
        let mut child = Command::new(SELF)
            .args(["supervise", "exec", &getpid().to_string()])
            .env_clear()
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(group) = &order.cgroup
            && let Err(error) = cgroup::enter(group, child.id())
        {
            outbox.push(&Report::Warning(format!("no control group: {error}").into()), clock);
        }
        let sent = serde_json::to_vec(order)?;
        // If it died at once, its end says so.
        let _ = ours.write_all(&sent).and_then(|()| ours.shutdown(Shutdown::Write));
        ours.set_nonblocking(true)?;
        outbox.push(&Report::Pid(child.id()), clock);
        let (out, err) = (child.stdout.take(), child.stderr.take());
        for pipe in [out.as_ref().map(AsFd::as_fd), err.as_ref().map(AsFd::as_fd)].into_iter().flatten() {
            fcntl_setfl(pipe, OFlags::NONBLOCK)?;
        }
        let leader = Pid::from_child(&child);
        Ok(Self {
            leader,
            alive: true,
            exit: pidfd_open(leader, PidfdFlags::empty()).ok(),
            starting: Some((ours, String::new())),
            out: out.map(|pipe| (pipe, Splitter::default())),
            err: err.map(|pipe| (pipe, Splitter::default())),
        })
    }
}

/// Reads one of the service's streams, and closes it at its end.
pub fn pump<P: io::Read + AsFd>(stream: &mut Option<(P, Splitter)>, all: bool, mut each: impl FnMut(Vec<u8>)) {
    let Some((pipe, splitter)) = stream else { return };
    while read_lines(pipe, splitter, &mut each) {
        if !all {
            return;
        }
        if !readable(pipe) {
            break; // held open by somebody who is none of ours
        }
    }
    splitter.rest().into_iter().for_each(each);
    *stream = None;
}

/// Reads a few times without blocking. False once the pipe has ended.
fn read_lines(pipe: &mut impl io::Read, splitter: &mut Splitter, mut each: impl FnMut(Vec<u8>)) -> bool {
    let mut chunk = [0; 16 * 1024];
    for _ in 0..8 {
        match pipe.read(&mut chunk) {
            Ok(0) => return false,
            Ok(n) => splitter.feed(chunk.get(..n).unwrap_or_default(), &mut each),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
    true
}

/// Whether something can be read now (the end of the pipe counts).
fn readable(pipe: &impl AsFd) -> bool {
    poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|n| n > 0)
}
