//! The supervisor proper: starts one service, passes on what it prints, and ends it with all of
//! its descendants. Kills only its *direct* children: nobody else can reap those, so their ids
//! cannot be used again between a look and a kill; orphans become direct children one pass later.

use super::{
    super::{
        cgroup,
        order::{Command, Ending, LastWords, Order, Report},
        proc,
    },
    drop_ambient,
    outbox::Outbox,
    own_mounts, parent, seal,
    service::{Control, Service, pump},
};
use crate::clock::{Clock as _, SystemClock};
use nix::sys::{
    signal::{SigSet, Signal as Caught},
    signalfd::{SfdFlags, SignalFd},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{
        Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, kill_process, kill_process_group, set_child_subreaper,
        set_parent_process_death_signal, wait, waitid, waitpid,
    },
};
use std::{
    collections::HashSet,
    io::{self, Read as _},
    path::PathBuf,
    time::Duration,
};

/// How long a service may take to end when its host died.
const HOST_GONE: Duration = Duration::from_secs(3);
/// How long descendants may take to end when the service itself ended.
const ORPHANS: Duration = Duration::from_secs(1);
/// Killing is given up after this long: a process in the kernel's hands cannot be killed.
const GIVE_UP: Duration = Duration::from_secs(10);
/// A death signal comes a little before the end of the pipe: so long nothing is sent to a host that
/// may be dying and would never read it.
const DOUBT: Duration = Duration::from_millis(500);
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
    let (last_words, group) = (order.last_words.clone(), order.cgroup.clone());
    drop(order); // with its secrets
    let mut watch = Watch {
        signals,
        control,
        outbox,
        clock,
        first,
        last_words,
        group,
        service,
        phase: Phase::Running,
        doubt: None,
        asked: HashSet::new(),
    };
    watch.run()
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
    /// Whether this is the first process of a PID namespace.
    first: bool,
    last_words: LastWords,
    group: Option<PathBuf>,
    service: Service,
    phase: Phase,
    /// Until then it is not known whether the host lives.
    doubt: Option<Duration>,
    /// Descendants outside of the service's process group that were asked to end.
    asked: HashSet<u32>,
}

impl Watch {
    fn run(&mut self) -> io::Result<()> {
        // A stop that was sent while the service was being started came with its order, in one read: the pipe
        // is empty by now, and nothing would wake us for it.
        self.obey();
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
                    self.kill()?;
                    Some(Duration::from_millis(5))
                }
                Phase::Killing(_) => {
                    self.say(&Report::Warning("some processes cannot be killed".into()));
                    break;
                }
            };
            self.turn(patience)?;
        }
        self.last_lines()
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
            self.read_output(false);
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

    /// Does what the host said and was read.
    fn obey(&mut self) {
        while let Some(line) = self.control.line() {
            if let Some(Command::Stop(grace)) = Command::parse(&line) {
                self.end(grace);
            }
        }
    }

    fn host_gone(&mut self) {
        self.outbox.host_gone(&self.last_words, &self.clock);
        self.end(HOST_GONE);
    }

    /// Kills everything, as fast as it may be forking.
    fn kill(&mut self) -> io::Result<()> {
        if self.first {
            // All of the namespace but its first process, at one blow.
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(-1), Caught::SIGKILL);
            return Ok(());
        }
        if let Some(group) = &self.group {
            let _ = cgroup::kill(group);
        }
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
        let doubt = self.doubt();
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        if !self.control.closed {
            fds.push(PollFd::new(&stdin, PollFlags::IN));
        }
        if self.outbox.waits() && doubt.is_none() {
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
        let timeout = [patience, doubt]
            .into_iter()
            .flatten()
            .min()
            .map(|p| Timespec { tv_sec: i64::try_from(p.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(p.subsec_nanos()) });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let controlled = !self.control.closed && fds.get(1).is_some_and(|f| !f.revents().is_empty());
        drop(fds);

        while let Some(signal) = self.signals.read_signal()? {
            match Caught::try_from(i32::try_from(signal.ssi_signo).unwrap_or_default()) {
                Ok(Caught::SIGINT) => self.end(Duration::ZERO), // the next host does not want to wait
                // By hand, or by the host's death: then the pipe ends too.
                Ok(Caught::SIGTERM | Caught::SIGHUP) => {
                    self.doubt.get_or_insert(self.clock.uptime() + DOUBT);
                    self.end(HOST_GONE);
                }
                _ => {}
            }
        }
        if controlled {
            self.control.read()?;
            self.obey();
            if self.control.closed {
                self.host_gone();
            }
        }
        self.read_starting();
        self.read_output(false);
        if self.doubt().is_none() && !self.outbox.flush() {
            self.host_gone();
        }
        Ok(())
    }

    /// For how much longer it is not known whether the host lives.
    fn doubt(&self) -> Option<Duration> {
        let left = self.doubt?.saturating_sub(self.clock.uptime());
        (!self.control.closed && !left.is_zero()).then_some(left)
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

    /// Passes on what the service printed: a bounded amount, or all there is.
    fn read_output(&mut self, all: bool) {
        let mut lines = Vec::new();
        pump(&mut self.service.out, all, |line| lines.push(Report::Out(line)));
        pump(&mut self.service.err, all, |line| lines.push(Report::Err(line)));
        for line in &lines {
            self.say(line);
        }
    }

    /// Everything is dead: what is still in the pipes, then the host's time to read it.
    fn last_lines(&mut self) -> io::Result<()> {
        self.read_output(true);
        while self.doubt().is_some() {
            self.turn(None)?;
        }
        let until = self.clock.uptime() + LAST_FLUSH;
        while self.outbox.flush() && self.outbox.waits() && self.clock.uptime() < until {
            let stdout = rustix::stdio::stdout();
            let _ = poll(&mut [PollFd::new(&stdout, PollFlags::OUT)], Some(&Timespec { tv_sec: 0, tv_nsec: 100_000_000 }));
        }
        Ok(())
    }
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
