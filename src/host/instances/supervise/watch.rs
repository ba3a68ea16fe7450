//! The supervisor proper: starts one service, passes on what it prints, and ends it with all of
//! its descendants. Kills only its *direct* children: nobody else can reap those, so their ids
//! cannot be used again between a look and a kill; orphans become direct children one pass later.

use super::{
    super::{
        cgroup,
        order::{Command as Order_, Ending, Order, Report, Splitter},
        proc,
    },
    SELF, drop_ambient,
    outbox::Outbox,
    own_mounts, parent, seal,
};
use crate::clock::{Clock, SystemClock};
use nix::sys::{
    signal::{SigSet, Signal as Caught},
    signalfd::{SfdFlags, SignalFd},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_setfl},
    io::Errno,
    process::{
        Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, kill_process, kill_process_group, pidfd_open,
        set_child_subreaper, set_parent_process_death_signal, wait, waitid, waitpid,
    },
};
use std::{
    collections::HashSet,
    io::{self, Read as _, Write as _},
    net::Shutdown,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::{ChildStderr, ChildStdout, Command, Stdio},
    time::Duration,
};

/// How long a service may take to end when its host died.
const HOST_GONE: Duration = Duration::from_secs(3);
/// How long descendants may take to end when the service itself ended.
const ORPHANS: Duration = Duration::from_secs(1);
/// Killing is given up after this long: a process in the kernel's hands cannot be killed.
const GIVE_UP: Duration = Duration::from_secs(10);
/// How long a slow host may take to read the last reports.
const LAST_FLUSH: Duration = Duration::from_secs(2);

/// Watches over one service until nothing of it is left.
pub fn run(expected: i32) -> io::Result<()> {
    let mut mask = SigSet::empty();
    for signal in [Caught::SIGTERM, Caught::SIGINT, Caught::SIGHUP, Caught::SIGCHLD] {
        mask.add(signal);
    }
    mask.thread_block()?; // first: from here on TERM is queued, not fatal
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    set_parent_process_death_signal(Some(Signal::TERM))?;
    set_child_subreaper(Some(getpid()))?;
    let first = getpid().as_raw_nonzero().get() == 1;
    if !first && parent() != expected {
        return Ok(()); // the host died before the death signal was set
    }
    if first {
        own_mounts()?;
        drop_ambient()?;
    }
    let mut control = Control::default();
    let Some(line) = control.first_line()? else { return Ok(()) };
    let mut outbox = Outbox::new()?;
    let clock = SystemClock::start();
    if line.is_empty() {
        outbox.push(&Report::Works, &clock); // asked only whether this isolation works
        outbox.flush();
        return Ok(());
    }
    let order: Order = serde_json::from_slice(&line)?;
    drop(line);
    if first && let Err(error) = seal(&order.root) {
        outbox.push(&Report::Warning(format!("the artifact is not mounted read-only: {error}").into()), &clock);
    }
    let service = Service::start(&order, &mut outbox, &clock)?;
    let mut watch = Watch { signals, control, outbox, clock, order, service, phase: Phase::Running, asked: HashSet::new() };
    watch.run()
}

/// The pipe from the host.
#[derive(Default)]
struct Control {
    buffer: Vec<u8>,
    closed: bool,
}

impl Control {
    /// Waits for the first line; `None` if the host is gone before it is complete.
    fn first_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        while !self.closed {
            if let Some(line) = self.line() {
                return Ok(Some(line));
            }
            self.read()?;
        }
        Ok(None)
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let end = self.buffer.iter().position(|&b| b == b'\n')?;
        let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
        line.pop();
        Some(line)
    }

    /// Reads once; after `poll` said so it does not block.
    fn read(&mut self) -> io::Result<()> {
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
struct Service {
    leader: Pid,
    /// Until it is reaped.
    alive: bool,
    exit: Option<OwnedFd>,
    /// Open until the program is executed or could not be.
    starting: Option<(UnixStream, String)>,
    out: Option<(ChildStdout, Splitter)>,
    err: Option<(ChildStderr, Splitter)>,
}

impl Service {
    fn start(order: &Order, outbox: &mut Outbox, clock: &dyn Clock) -> io::Result<Self> {
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
            exit: pidfd_open(leader, PidfdFlags::empty()).ok(), // for a host with SIGCHLD ignored
            starting: Some((ours, String::new())),
            out: out.map(|pipe| (pipe, Splitter::default())),
            err: err.map(|pipe| (pipe, Splitter::default())),
        })
    }
}

/// Where a supervisor is in its life. Times are uptimes of its clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Running,
    /// The service was asked to end; the rest is killed then.
    Ending(Duration),
    /// Everything is being killed; given up then.
    Killing(Duration),
}

struct Watch {
    signals: SignalFd,
    control: Control,
    outbox: Outbox,
    clock: SystemClock,
    order: Order,
    service: Service,
    phase: Phase,
    /// Descendants outside of the service's process group that were asked to end.
    asked: HashSet<u32>,
}

impl Watch {
    fn run(&mut self) -> io::Result<()> {
        loop {
            if self.reap()? {
                break;
            }
            let now = self.clock.uptime();
            let patience = match self.phase {
                Phase::Running => None,
                Phase::Ending(until) if now < until => Some(until - now),
                Phase::Ending(_) => {
                    self.phase = Phase::Killing(now + GIVE_UP);
                    continue;
                }
                Phase::Killing(until) if now < until => {
                    self.kill_children()?;
                    Some(Duration::from_millis(5))
                }
                Phase::Killing(_) => {
                    self.say(&Report::Warning("some processes cannot be killed".into()));
                    break;
                }
            };
            self.turn(patience)?;
        }
        self.last_lines();
        Ok(())
    }

    fn say(&mut self, report: &Report) {
        self.outbox.push(report, &self.clock);
    }

    /// Reaps everything that is dead. True: no descendant is left, as the system says (not `/proc`).
    fn reap(&mut self) -> io::Result<bool> {
        if self.service.alive {
            // Its leader stays unreaped until its group was told: the zombie keeps the group's number.
            let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            let ending = match waitid(WaitId::Pid(self.service.leader), look) {
                Ok(None) | Err(Errno::INTR) => {
                    // Adopted children may be zombies.
                    for child in proc::children(me())?.iter().filter(|c| c.zombie && Some(c.pid) != raw(self.service.leader)) {
                        if let Some(pid) = pid(child.pid) {
                            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
                        }
                    }
                    return Ok(false);
                }
                Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => Ending::Code(code),
                    (None, Some(signal)) => Ending::Signal(signal),
                    (None, None) => Ending::Unknown,
                },
                Err(_) => Ending::Unknown, // a host with SIGCHLD ignored
            };
            self.service.alive = false;
            self.read_starting();
            self.read_output();
            if self.phase == Phase::Running {
                let _ = kill_process_group(self.service.leader, Signal::TERM);
                self.phase = Phase::Ending(self.clock.uptime() + ORPHANS);
            }
            self.say(&Report::Ended(ending));
        }
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => break,
                Err(_) => return Ok(true),
            }
        }
        // Those who left the group have not heard of the end yet.
        if matches!(self.phase, Phase::Ending(_)) {
            for child in proc::children(me())? {
                let told = Some(child.group) == raw(self.service.leader) || !self.asked.insert(child.pid);
                if !told && let Some(pid) = pid(child.pid) {
                    let _ = kill_process(pid, Signal::TERM);
                }
            }
        }
        Ok(false)
    }

    /// Asks the service to end; what is left after `grace` is killed. A later call can only shorten it.
    fn end(&mut self, grace: Duration) {
        let until = self.clock.uptime() + grace;
        match self.phase {
            Phase::Running => {
                // Once: a second TERM means "at once" to some. Before it has its own group it is asked alone.
                if kill_process_group(self.service.leader, Signal::TERM).is_err() {
                    let _ = kill_process(self.service.leader, Signal::TERM);
                }
                self.phase = Phase::Ending(until);
            }
            Phase::Ending(before) => self.phase = Phase::Ending(before.min(until)),
            Phase::Killing(_) => {}
        }
    }

    fn host_gone(&mut self) {
        self.outbox.host_gone(Some(&self.order.last_words), &self.clock);
        self.end(HOST_GONE);
    }

    fn kill_children(&mut self) -> io::Result<()> {
        for child in proc::children(me())? {
            if let Some(pid) = pid(child.pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        Ok(())
    }

    /// Sleeps until something happens or `patience` is over, and handles what happened.
    fn turn(&mut self, patience: Option<Duration>) -> io::Result<()> {
        let stdin = rustix::stdio::stdin();
        let stdout = rustix::stdio::stdout();
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        if !self.control.closed {
            fds.push(PollFd::new(&stdin, PollFlags::IN));
        }
        if self.outbox.waits() {
            fds.push(PollFd::new(&stdout, PollFlags::OUT));
        }
        if let Some((socket, _)) = &self.service.starting {
            fds.push(PollFd::new(socket, PollFlags::IN));
        }
        if let Some((pipe, _)) = &self.service.out {
            fds.push(PollFd::new(pipe, PollFlags::IN));
        }
        if let Some((pipe, _)) = &self.service.err {
            fds.push(PollFd::new(pipe, PollFlags::IN));
        }
        if self.service.alive
            && let Some(exit) = &self.service.exit
        {
            fds.push(PollFd::new(exit, PollFlags::IN));
        }
        let timeout =
            patience.map(|p| Timespec { tv_sec: i64::try_from(p.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(p.subsec_nanos()) });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let controlled = !self.control.closed && fds.get(1).is_some_and(|f| !f.revents().is_empty());
        drop(fds);

        while let Some(signal) = self.signals.read_signal()? {
            match Caught::try_from(i32::try_from(signal.ssi_signo).unwrap_or_default()) {
                Ok(Caught::SIGINT) => self.end(Duration::ZERO), // the next host does not want to wait
                Ok(Caught::SIGTERM | Caught::SIGHUP) => self.host_gone(),
                _ => {}
            }
        }
        if controlled {
            self.control.read()?;
            while let Some(line) = self.control.line() {
                if let Some(Order_::Stop(grace)) = Order_::parse(&line) {
                    self.end(grace);
                }
            }
            if self.control.closed {
                self.host_gone();
            }
        }
        self.read_starting();
        self.read_output();
        if !self.outbox.flush() {
            self.host_gone();
        }
        Ok(())
    }

    /// Hears whether the program was executed.
    fn read_starting(&mut self) {
        let Some((socket, why)) = &mut self.service.starting else { return };
        let mut said = Vec::new();
        let open = matches!(socket.read_to_end(&mut said), Err(e) if e.kind() == io::ErrorKind::WouldBlock);
        why.push_str(&String::from_utf8_lossy(&said));
        if open {
            return;
        }
        let why = std::mem::take(why);
        self.service.starting = None;
        self.say(&if why.is_empty() { Report::Running } else { Report::Failed(why.into()) });
    }

    /// Passes on what the service printed, a bounded amount at a time.
    fn read_output(&mut self) {
        let mut lines = Vec::new();
        if let Some((pipe, splitter)) = &mut self.service.out
            && !read_lines(pipe, splitter, |line| lines.push(Report::Out(line)))
        {
            self.service.out = None;
        }
        if let Some((pipe, splitter)) = &mut self.service.err
            && !read_lines(pipe, splitter, |line| lines.push(Report::Err(line)))
        {
            self.service.err = None;
        }
        for line in &lines {
            self.say(line);
        }
    }

    /// Everything is dead: what is still in the pipes, then the host's time to read it.
    fn last_lines(&mut self) {
        let mut lines = Vec::new();
        if let Some((mut pipe, mut splitter)) = self.service.out.take() {
            while read_lines(&mut pipe, &mut splitter, |line| lines.push(Report::Out(line))) && readable(&pipe) {}
            lines.extend(splitter.rest().map(Report::Out));
        }
        if let Some((mut pipe, mut splitter)) = self.service.err.take() {
            while read_lines(&mut pipe, &mut splitter, |line| lines.push(Report::Err(line))) && readable(&pipe) {}
            lines.extend(splitter.rest().map(Report::Err));
        }
        for line in &lines {
            self.say(line);
        }
        let until = self.clock.uptime() + LAST_FLUSH;
        while self.outbox.flush() && self.outbox.waits() && self.clock.uptime() < until {
            let stdout = rustix::stdio::stdout();
            let _ = poll(&mut [PollFd::new(&stdout, PollFlags::OUT)], Some(&Timespec { tv_sec: 0, tv_nsec: 100_000_000 }));
        }
    }
}

/// Reads a few times without blocking. False once the pipe has ended; then its last line was handed out.
fn read_lines(pipe: &mut impl io::Read, splitter: &mut Splitter, mut each: impl FnMut(Vec<u8>)) -> bool {
    let mut chunk = [0; 16 * 1024];
    for _ in 0..8 {
        match pipe.read(&mut chunk) {
            Ok(0) => {
                splitter.rest().into_iter().for_each(each);
                return false;
            }
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

fn me() -> u32 {
    std::process::id()
}

fn raw(pid: Pid) -> Option<u32> {
    u32::try_from(pid.as_raw_nonzero().get()).ok()
}

fn pid(raw: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(raw).ok()?)
}
