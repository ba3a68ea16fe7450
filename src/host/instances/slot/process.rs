//! One supervisor of an instance while it runs: what it says, what the probes say, and what follows.

use super::{
    super::{
        blocking,
        logs::InstanceLog,
        order::{Command, Ending, Order, Report},
        probe::{self, Answer, Kind},
        proc::{self, Listener},
        records::{Mark, Record},
    },
    LAST_RESORT, Slot,
};
use crate::model::{
    event::LogStream,
    instance::{Instance, InstanceState},
    text::Text,
};
use secrecy::zeroize::Zeroizing;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::unix::pipe,
    sync::mpsc,
    task::JoinHandle,
    time::{self, Instant},
};

/// The longest grace of an instance that its liveness probe gave up.
const HUNG: Duration = Duration::from_secs(5);
/// How long a supervisor may take to get ready for its order.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What is known of a life that ended.
#[derive(Default)]
pub struct End {
    /// Why the service could not be started.
    pub failed: Option<Text>,
    /// Why its liveness probe gave it up.
    pub given_up: Option<Text>,
    /// How its process ended.
    pub ending: Option<Ending>,
    /// When it was ready first.
    pub ready_since: Option<Instant>,
}

impl End {
    /// The reason in one line; `unknown` if the supervisor died without a word.
    pub fn reason(&self, stopped: bool, unknown: impl FnOnce() -> Text) -> Text {
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
pub struct Process<'a> {
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
    /// Starts listening to a supervisor.
    pub fn attach(
        slot: &'a mut Slot,
        control: OwnedFd,
        reports: OwnedFd,
        record: Record,
        file: PathBuf,
        family: u32,
        port: u16,
    ) -> io::Result<Self> {
        let control = pipe::Sender::from_owned_fd(control)?;
        let pipe = pipe::Receiver::from_owned_fd(reports)?;
        let (tx, reports) = mpsc::channel(16);
        tokio::spawn(read(pipe, Arc::clone(&slot.log), tx));
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (prober, last_resort, end) = (None, None, End::default());
        Ok(Self { slot, control, reports, record, file, family, at, prober, yes: 0, no: 0, dead: 0, last_resort, end })
    }

    /// What is known of it once it ran.
    pub fn into_end(mut self) -> End {
        std::mem::take(&mut self.end)
    }

    fn stop_probes(&mut self) {
        if let Some((task, _)) = self.prober.take() {
            task.abort();
        }
    }

    /// Until nothing of it is left: the end of the supervisor's output says so.
    pub async fn run(&mut self, order: &Order) {
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
                biased; // an answer that came before the end of its process counts no more
                report = self.reports.recv() => match report {
                    Some(report) => self.hear(report).await,
                    None => return,
                },
                Ok(()) = self.slot.stop.changed() => self.drain().await,
                Some(answer) = answer => self.weigh(answer).await,
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
                    let mark = Mark { pid: found.pid, start: found.start };
                    self.record.leader = Some(mark);
                    self.slot.update(|i| i.pid = Some(found.pid));
                    self.slot.leads(Some(mark));
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
                self.slot.leads(None);
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
                let recovers = self.no > 0;
                (self.yes, self.no) = (self.yes.saturating_add(1), 0);
                let mut is_ready = false;
                self.slot.update(|i| is_ready = i.state == InstanceState::Ready);
                if (is_ready && !recovers) || (!is_ready && self.yes < successes) {
                    return;
                }
                // Whoever answered may be anybody: only a listener of ours gets traffic. One that
                // answered without a break is still the same.
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
                let once_ready = self.end.ready_since.is_some();
                self.slot.update(|i| {
                    // Until it is ready for the first time, "not yet" is no failure.
                    if once_ready {
                        failed_probe(i);
                    }
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
        self.slot.update(failed_probe);
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

/// Counts a probe that failed.
fn failed_probe(instance: &mut Instance) {
    let counted = &mut instance.usage.get_or_insert_default().probe_failures;
    *counted = Some(counted.unwrap_or_default().saturating_add(1));
}
