//! The life of one instance: started, probed, restarted with back-off, stopped. One task each.
//!
//! An instance keeps its name over restarts; every start gets a fresh process, port, `HOME` and
//! `TMPDIR`. Liveness is asked from the first readiness on: before that, only the plan's deadline
//! counts, so that a slow start is not killed by the probe that is to find a hung one.

use super::{
    Inner, PoolPlan, blocking,
    logs::InstanceLog,
    order::{Command, Ending, Order, Report},
    prepare::{self, Prepared},
    probe::{self, Answer, Kind},
    proc::{self, Listener},
    records::{Mark, Record},
    spawn::Supervisor,
};
use crate::model::{
    event::LogStream,
    ident::InstanceId,
    instance::{Instance, InstanceState},
    spec::Restart,
    text::Text,
};
use secrecy::zeroize::Zeroizing;
use std::{
    net::{Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::unix::pipe,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{self, Instant},
};

/// After the grace of a stop, the supervisor itself is killed, and the rest with it.
pub const LAST_RESORT: Duration = Duration::from_secs(15);
/// The longest grace of an instance that its liveness probe gave up.
const HUNG: Duration = Duration::from_secs(5);
/// How long a supervisor may take to get ready for its order.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// One instance.
pub struct Slot {
    inner: Arc<Inner>,
    plan: Arc<PoolPlan>,
    id: InstanceId,
    log: Arc<InstanceLog>,
    stop: watch::Receiver<Option<Duration>>,
    /// Whether there was a process of it before.
    started: bool,
    /// Why the last start came to its end.
    last_end: Option<Text>,
}

/// What became of one start.
struct Life {
    reason: Text,
    /// For how long it had been ready, at least once, when it ended.
    ready_for: Option<Duration>,
}

impl Life {
    const fn never_began(reason: Text) -> Self {
        Self { reason, ready_for: None }
    }
}

/// The pauses between starts.
struct BackOff {
    next: Duration,
    min: Duration,
    max: Duration,
}

impl BackOff {
    fn new(restart: &Restart) -> Self {
        Self { next: restart.min, min: restart.min, max: restart.max.max(restart.min) }
    }

    /// The pause after a life that was ready for so long.
    fn after(&mut self, ready_for: Option<Duration>) -> Duration {
        if ready_for.is_some_and(|ready| ready > self.max) {
            self.next = self.min;
        }
        let pause = self.next.min(self.max);
        self.next = pause.saturating_mul(2).min(self.max);
        pause
    }
}

impl Slot {
    /// A new instance that has not been started.
    pub fn new(inner: Arc<Inner>, plan: Arc<PoolPlan>, id: InstanceId, stop: watch::Receiver<Option<Duration>>) -> Self {
        let log = inner.hub.instance(plan.id.clone(), plan.service.clone(), plan.label.clone(), id.clone());
        Self { inner, plan, id, log: Arc::new(log), stop, started: false, last_end: None }
    }

    /// Runs it until it is stopped and nothing of it is left.
    pub async fn run(mut self) {
        let mut back_off = BackOff::new(&self.plan.runtime.restart);
        while self.grace().is_none() {
            let life = self.live().await;
            self.log.end(&life.reason);
            if self.grace().is_some() {
                break;
            }
            let pause = back_off.after(life.ready_for);
            self.update(|i| {
                i.state = InstanceState::BackOff;
                (i.pid, i.port) = (None, None);
                i.reason = Some(life.reason.clone());
            });
            self.last_end = Some(life.reason);
            tokio::select! {
                () = time::sleep(pause) => {}
                _ = self.stop.changed() => {}
            }
        }
        self.update(|i| {
            i.state = InstanceState::Ended;
            (i.pid, i.port) = (None, None);
        });
        let Self { inner, plan, id, log, .. } = self;
        drop(log);
        inner.forget(&plan.id, &id);
    }

    /// How long it may take to end, once it was stopped.
    fn grace(&self) -> Option<Duration> {
        // Nobody holds the other end: nobody wants it any more.
        if self.stop.has_changed().is_err() { Some(Duration::ZERO) } else { *self.stop.borrow() }
    }

    fn update(&self, change: impl FnOnce(&mut Instance)) {
        self.inner.update(&self.plan.id, &self.id, change);
    }

    /// One start, up to the end of everything it started.
    async fn live(&mut self) -> Life {
        let (inner, plan, log, name) = (self.inner.clone(), self.plan.clone(), self.log.clone(), self.id.as_str().to_owned());
        let prepared = match blocking(move || prepare::prepare(&inner, &plan, &log, &name)).await {
            Ok(prepared) => prepared,
            Err(why) => return Life::never_began(why),
        };
        let Prepared { order, port, secrets, file, record } = prepared;
        if let Some(pool) = self.inner.lock().pools.get_mut(&self.plan.id) {
            pool.secrets = secrets;
        }
        let (home, group) = (order.home.clone(), order.cgroup.clone());
        let life = if self.grace().is_some() {
            Life::never_began("stopped before it was started".into())
        } else {
            self.supervised(order, port, file.clone(), record).await
        };
        let inner = Arc::clone(&self.inner);
        let _ = blocking(move || {
            prepare::clean_up(&inner, &file, &home, group.as_ref(), port);
            Ok(())
        })
        .await;
        life
    }

    async fn supervised(&mut self, order: Order, port: u16, file: PathBuf, record: Record) -> Life {
        let spawned = self.inner.spawner.spawn(self.inner.namespaced, Some((file.clone(), record))).await;
        let supervisor = match spawned {
            Ok(Ok(supervisor)) => supervisor,
            Ok(Err(error)) => return Life::never_began(format!("cannot start a supervisor: {error}").into()),
            Err(_) => return Life::never_began("the host is stopping".into()),
        };
        let again = std::mem::replace(&mut self.started, true);
        self.update(|i| {
            i.state = InstanceState::Starting;
            i.port = Some(port);
            i.restarts = i.restarts.saturating_add(u32::from(again));
        });
        let Supervisor { mut child, control, reports, record } = supervisor;
        let family = child.id();
        let end = match Process::attach(self, control, reports, record, file, family, port) {
            Ok(mut process) => {
                process.run(&order).await;
                drop(order);
                process.into_end()
            }
            Err(error) => End { failed: Some(format!("pipes to the supervisor: {error}").into()), ..End::default() },
        };
        // Its output has ended, so it has or is about to.
        let status = blocking(move || child.wait().map_err(|e| e.to_string().into())).await;
        let reason = end.reason(self.grace().is_some(), || match &status {
            Ok(status) => format!("the supervisor died: {status}").into(),
            Err(why) => format!("the supervisor died: {why}").into(),
        });
        Life { reason, ready_for: end.ready_since.map(|since| since.elapsed()) }
    }
}

/// What is known of a life that ended.
#[derive(Default)]
struct End {
    failed: Option<Text>,
    given_up: Option<Text>,
    ending: Option<Ending>,
    ready_since: Option<Instant>,
}

impl End {
    fn reason(&self, stopped: bool, unknown: impl FnOnce() -> Text) -> Text {
        let how = self.ending.map(Ending::text);
        match (&self.failed, &self.given_up, how) {
            (Some(why), _, _) | (None, Some(why), _) => why.clone(),
            (None, None, Some(how)) if stopped => format!("stopped: {how}").into(),
            (None, None, Some(how)) => how.into(),
            (None, None, None) => unknown(),
        }
    }
}

/// A supervisor that runs, and what it and the probes said so far.
struct Process<'a> {
    slot: &'a mut Slot,
    control: pipe::Sender,
    reports: mpsc::Receiver<Report>,
    record: Record,
    file: PathBuf,
    /// The supervisor's process: everything that descends from it is ours.
    family: u32,
    at: SocketAddr,
    prober: Option<(JoinHandle<()>, mpsc::Receiver<Answer>)>,
    /// Answers of one kind in a row.
    yes: u32,
    no: u32,
    dead: u32,
    /// The supervisor is killed then.
    last_resort: Option<Instant>,
    end: End,
}

impl Drop for Process<'_> {
    fn drop(&mut self) {
        self.stop_probes();
    }
}

impl<'a> Process<'a> {
    fn attach(
        slot: &'a mut Slot,
        control: OwnedFd,
        reports: OwnedFd,
        record: Record,
        file: PathBuf,
        family: u32,
        port: u16,
    ) -> std::io::Result<Self> {
        let control = pipe::Sender::from_owned_fd(control)?;
        let pipe = pipe::Receiver::from_owned_fd(reports)?;
        let (tx, reports) = mpsc::channel(16);
        tokio::spawn(read(pipe, Arc::clone(&slot.log), tx));
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (prober, last_resort, end) = (None, None, End::default());
        Ok(Self { slot, control, reports, record, file, family, at, prober, yes: 0, no: 0, dead: 0, last_resort, end })
    }

    fn into_end(mut self) -> End {
        std::mem::take(&mut self.end)
    }

    fn stop_probes(&mut self) {
        if let Some((task, _)) = self.prober.take() {
            task.abort();
        }
    }

    /// Until nothing of it is left: the end of the supervisor's output says so.
    async fn run(&mut self, order: &Order) {
        let ready = time::timeout(HANDSHAKE, self.hand_over(order)).await;
        if !matches!(ready, Ok(Ok(()))) {
            self.end.failed.get_or_insert_with(|| "the supervisor does not answer".into());
            self.last_resort = Some(Instant::now()); // at once, unless its output has ended already
        }
        loop {
            let last_resort = self.last_resort.unwrap_or_else(Instant::now);
            let answer = async {
                match &mut self.prober {
                    Some((_, answers)) => answers.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                report = self.reports.recv() => match report {
                    Some(report) => self.hear(report).await,
                    None => return,
                },
                Some(answer) = answer => self.weigh(answer).await,
                Ok(()) = self.slot.stop.changed() => self.drain().await,
                () = time::sleep_until(last_resort), if self.last_resort.is_some() => self.kill().await,
            }
        }
    }

    /// Writes the namespace's first process down, then sends the order.
    async fn hand_over(&mut self, order: &Order) -> Result<(), ()> {
        if self.slot.inner.namespaced {
            match self.reports.recv().await {
                Some(Report::Init(pid)) => {
                    self.record.init = Mark::of(pid);
                    self.save().await?;
                }
                Some(Report::Failed(why)) => {
                    self.end.failed = Some(why);
                    return Err(());
                }
                _ => return Err(()),
            }
        }
        let mut line = Zeroizing::new(serde_json::to_vec(order).map_err(drop)?);
        line.push(b'\n');
        self.control.write_all(&line).await.map_err(drop)
    }

    async fn save(&mut self) -> Result<(), ()> {
        let (record, file) = (self.record.clone(), self.file.clone());
        let saved = blocking(move || record.save(&file).map_err(|e| format!("cannot write {}: {e}", file.display()).into())).await;
        saved.map_err(|why| self.end.failed = Some(why))
    }

    async fn hear(&mut self, report: Report) {
        match report {
            Report::Pid(inner) => {
                let init = self.record.init.map(|init| init.pid);
                let find = move || Ok(init.map_or_else(|| proc::process(inner), |init| proc::child_by_inner_pid(init, inner)));
                if let Ok(Some(found)) = blocking(find).await {
                    self.record.leader = Some(Mark { pid: found.pid, start: found.start });
                    self.slot.update(|i| i.pid = Some(found.pid));
                    if self.save().await.is_err() {
                        self.order_stop(Duration::ZERO).await; // never traffic without a record
                    }
                }
            }
            Report::Running if self.end.failed.is_none() && self.last_resort.is_none() => {
                let (readiness, liveness) = (self.slot.plan.runtime.readiness.clone(), self.slot.plan.runtime.liveness.clone());
                let (tx, answers) = mpsc::channel(1);
                self.prober = Some((tokio::spawn(probe::run(readiness, liveness, self.at, tx)), answers));
            }
            Report::Failed(why) => {
                self.end.failed.get_or_insert(why);
            }
            Report::Ended(ending) => {
                self.end.ending = Some(ending);
                self.stop_probes();
                let stopping = self.slot.grace().is_some();
                let given_up = self.end.given_up.clone();
                self.slot.update(|i| {
                    i.pid = None;
                    if !stopping {
                        i.state = InstanceState::NotReady;
                        i.reason = Some(given_up.unwrap_or_else(|| ending.text().into()));
                    }
                });
            }
            Report::Warning(what) => {
                tracing::warn!(instance = %self.slot.id.text(), %what, "supervisor");
            }
            _ => {}
        }
    }

    async fn weigh(&mut self, answer: Answer) {
        match answer.kind {
            Kind::Readiness => self.weigh_readiness(answer.result).await,
            Kind::Liveness => self.weigh_liveness(answer.result).await,
        }
    }

    async fn weigh_readiness(&mut self, result: Result<(), Text>) {
        let probe = &self.slot.plan.runtime.readiness;
        let (successes, failures) = (probe.successes.max(1), probe.failures.max(1));
        match result {
            Ok(()) => {
                (self.yes, self.no) = (self.yes.saturating_add(1), 0);
                let mut is_ready = false;
                self.slot.update(|i| is_ready = i.state == InstanceState::Ready);
                if is_ready || self.yes < successes {
                    return;
                }
                // Whoever answered may be anybody: only a listener of ours gets traffic.
                if let Err(why) = self.check_listener().await {
                    self.slot.update(|i| {
                        i.state = InstanceState::NotReady;
                        i.reason = Some(why);
                    });
                    return;
                }
                self.end.ready_since.get_or_insert_with(Instant::now);
                let last_end = self.slot.last_end.clone();
                self.slot.update(|i| {
                    i.state = InstanceState::Ready;
                    i.reason = last_end;
                });
            }
            Err(why) => {
                (self.yes, self.no) = (0, self.no.saturating_add(1));
                let gone = self.no >= failures;
                self.slot.update(|i| {
                    if i.state == InstanceState::Ready {
                        if gone {
                            i.state = InstanceState::NotReady;
                            i.reason = Some(format!("readiness: {} probes failed: {why}", failures).into());
                        }
                    } else {
                        i.reason = Some(format!("readiness: {why}").into());
                    }
                });
            }
        }
    }

    async fn check_listener(&self) -> Result<(), Text> {
        let (family, port) = (self.family, self.at.port());
        let _permit = self.slot.inner.scans.acquire().await;
        let found = blocking(move || proc::listener(family, port).map_err(|e| format!("cannot see who listens: {e}").into())).await?;
        match found {
            Listener::Ours => Ok(()),
            Listener::Nobody => Err(format!("port {port}: its listener is gone again").into()),
            Listener::Foreign(Some(pid)) => Err(format!("port {port} is answered by another process (pid {pid})").into()),
            Listener::Foreign(None) => Err(format!("port {port} is answered by another process").into()),
        }
    }

    async fn weigh_liveness(&mut self, result: Result<(), Text>) {
        let failures = self.slot.plan.runtime.liveness.as_ref().map_or(1, |p| p.failures.max(1));
        let Err(why) = result else {
            self.dead = 0;
            return;
        };
        if self.end.ready_since.is_none() {
            return;
        }
        self.dead += 1;
        if self.dead >= failures {
            let reason = Text::from(format!("liveness: {failures} probes failed: {why}"));
            self.end.given_up = Some(reason.clone());
            self.stop_probes();
            self.slot.update(|i| {
                i.state = InstanceState::NotReady;
                i.reason = Some(reason);
            });
            self.order_stop(self.slot.plan.runtime.drain.min(HUNG)).await;
        }
    }

    /// Somebody stopped the pool.
    async fn drain(&mut self) {
        self.stop_probes();
        self.slot.update(|i| i.state = InstanceState::Draining);
        let grace = self.slot.grace().unwrap_or_default();
        self.order_stop(grace).await;
    }

    async fn order_stop(&mut self, grace: Duration) {
        let latest = Instant::now() + grace + LAST_RESORT;
        self.last_resort = Some(self.last_resort.map_or(latest, |before| before.min(latest)));
        // If it ended meanwhile, the end of its output is about to say so.
        let _ = time::timeout(Duration::from_secs(1), self.control.write_all(Command::Stop(grace).line().as_bytes())).await;
    }

    /// The supervisor does not do its work: its end is the end of its namespace, or of the service
    /// by its parent-death signal and of the rest by its control group.
    async fn kill(&mut self) {
        self.last_resort = None;
        let (init, supervisor) = (self.record.init, self.record.supervisor);
        let _ = blocking(move || {
            for mark in init.into_iter().chain(supervisor) {
                let _ = mark.kill();
            }
            Ok(())
        })
        .await;
    }
}

/// Reads a supervisor's reports to their end: lines go to the log, the rest to the instance.
async fn read(pipe: pipe::Receiver, log: Arc<InstanceLog>, reports: mpsc::Sender<Report>) {
    let mut reader = BufReader::with_capacity(32 * 1024, pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        match Report::parse(&line) {
            Some(Report::Out(text)) => log.push(LogStream::Out, &text),
            Some(Report::Err(text)) => log.push(LogStream::Err, &text),
            Some(Report::Dropped(lines)) => log.push(LogStream::Err, format!("{lines} lines were lost: they came too fast").as_bytes()),
            Some(report) => drop(reports.send(report).await),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::BackOff;
    use crate::model::spec::Restart;
    use std::time::Duration;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_over_after_a_good_life() {
        let seconds = Duration::from_secs;
        let mut pauses = BackOff::new(&Restart { min: seconds(1), max: seconds(5) });
        let got: Vec<_> = [None, None, Some(seconds(5)), None, Some(seconds(6)), None].map(|ready| pauses.after(ready)).into();
        assert_eq!(got, [1, 2, 4, 5, 1, 2].map(seconds));
    }
}
