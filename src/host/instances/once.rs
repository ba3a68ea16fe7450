//! A command that runs once beside an instance, as that runs: under a supervisor of its own, in the same
//! kind of isolation, from the same unpacked artifact, as the same user, with the same environment and
//! secrets. It ends with all of its descendants, also when the host does; what it prints goes to a log of
//! its own, and the last lines of it to whoever asked.

use super::{
    Inner, Instances, PoolPlan, blocking,
    logs::{self, InstanceLog},
    order::{Command, Ending, Order, Report},
    prepare::{self, Beside, Prepared},
    proc,
    records::{Mark, Record},
    slot::LAST_RESORT,
    spawn::Supervisor,
};
use crate::{
    conductor::life::PoolId,
    model::{event::LogStream, text::Text},
};
use secrecy::{ExposeSecret as _, SecretString, zeroize::Zeroizing};
use std::{collections::VecDeque, os::fd::OwnedFd, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::unix::pipe,
    sync::mpsc,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

/// Lines that are kept, the last ones, and characters of each.
const LINES: usize = 40;
const COLUMNS: usize = 400;

/// Between TERM and KILL, for a command that took too long or is not wanted any more.
const GRACE: Duration = Duration::from_secs(1);

/// What became of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ran {
    /// Why it did not end with exit code 0 in time.
    pub result: Result<(), Text>,
    /// The last lines of its output, without secrets.
    pub lines: Vec<Text>,
}

impl Instances {
    /// Runs a command beside an instance of a running pool and returns when nothing of it is left: by
    /// itself, after `timeout`, soon after `cancel`, or when the host drains. Being dropped ends nothing.
    pub async fn run_once(&self, pool: &PoolId, beside: Beside, timeout: Duration, cancel: CancellationToken) -> Ran {
        let plan = {
            let mut state = self.0.lock();
            let plan = state.pools.get(pool).filter(|p| !p.stopped).map(|p| Arc::clone(&p.plan));
            let plan = plan.filter(|_| !state.closed);
            state.once += usize::from(plan.is_some());
            plan
        };
        let Some(plan) = plan else { return Ran { result: Err("its instances are being stopped".into()), lines: Vec::new() } };
        let inner = Arc::clone(&self.0);
        // On its own, so that it is cleaned up after also when nobody waits any more.
        let ran = self.0.runtime.spawn(async move {
            let ran = Run::new(&inner, &plan).live(beside, timeout, &cancel).await;
            inner.lock().once -= 1;
            inner.bump();
            ran
        });
        ran.await.unwrap_or_else(|_| Ran { result: Err("the host failed while it ran; its own log says more".into()), lines: Vec::new() })
    }
}

/// One command.
struct Run {
    inner: Arc<Inner>,
    plan: Arc<PoolPlan>,
    log: Arc<InstanceLog>,
    name: String,
    secrets: Vec<SecretString>,
    lines: VecDeque<Text>,
}

/// How far it came.
#[derive(Default)]
struct End {
    failed: Option<Text>,
    ending: Option<Ending>,
}

impl Run {
    fn new(inner: &Arc<Inner>, plan: &Arc<PoolPlan>) -> Self {
        let number = inner.hub.next_number(&plan.service);
        let id = logs::instance_id(plan.id.version.as_str(), plan.id.generation, number);
        let log = inner.hub.instance(plan.id.clone(), plan.service.clone(), plan.label.clone(), id.clone());
        Self {
            inner: Arc::clone(inner),
            plan: Arc::clone(plan),
            log: Arc::new(log),
            name: id.as_str().to_owned(),
            secrets: Vec::new(),
            lines: VecDeque::new(),
        }
    }

    async fn live(mut self, beside: Beside, timeout: Duration, cancel: &CancellationToken) -> Ran {
        let (inner, plan, log, name) = (Arc::clone(&self.inner), Arc::clone(&self.plan), Arc::clone(&self.log), self.name.clone());
        let result = match blocking(move || prepare::prepare(&inner, &plan, &log, &name, Some(&beside))).await {
            Err(why) => Err(why),
            Ok(Prepared { order, file, record, .. }) => {
                let secret = |(name, value): &(String, String)| {
                    self.plan.runtime.secrets.contains_key(name).then(|| SecretString::from(value.clone()))
                };
                self.secrets = order.environment.iter().filter_map(secret).collect();
                let (home, group) = (order.home.clone(), order.cgroup.clone());
                let result = self.supervised(order, file.clone(), record, timeout, cancel).await;
                let inner = Arc::clone(&self.inner);
                let _ = blocking(move || {
                    prepare::clean_up(&inner, &file, &home, group.as_ref(), None);
                    Ok(())
                })
                .await;
                result
            }
        };
        self.log.end(&match &result {
            Ok(()) => "check: exit code 0".into(),
            Err(why) => format!("check: {why}").into(),
        });
        Ran { result, lines: self.lines.into() }
    }

    async fn supervised(
        &mut self,
        order: Order,
        file: PathBuf,
        record: Record,
        timeout: Duration,
        cancel: &CancellationToken,
    ) -> Result<(), Text> {
        let spawned = self.inner.spawner.spawn(self.inner.namespaced, Some((file.clone(), record))).await;
        let supervisor = match spawned {
            Ok(Ok(supervisor)) => supervisor,
            Ok(Err(error)) => return Err(format!("cannot start a supervisor: {error}").into()),
            Err(_) => return Err("the host is stopping".into()),
        };
        let Supervisor { mut child, control, reports, record } = supervisor;
        let mut end = End::default();
        match attach(control, reports) {
            Ok((control, reports)) => Wire { control, reports, record, file }.run(self, order, timeout, cancel, &mut end).await,
            Err(error) => end.failed = Some(format!("pipes to the supervisor: {error}").into()),
        }
        // Its output has ended, so it has or is about to.
        let _ = blocking(move || child.wait().map_err(|e| e.to_string().into())).await;
        match (end.failed, end.ending) {
            (Some(why), _) => Err(why),
            (None, Some(Ending::Code(0))) => Ok(()),
            (None, Some(ending)) => Err(ending.text().into()),
            (None, None) => Err("its supervisor died".into()),
        }
    }

    fn print(&mut self, stream: LogStream, line: &[u8]) {
        let line = self.without_secrets(line);
        self.log.push(stream, &line);
        let text = Text::from_bytes(&line);
        let cut = match text.as_str().char_indices().nth(COLUMNS) {
            Some((end, _)) => format!("{}…", text.as_str().get(..end).unwrap_or_default()).into(),
            None => text,
        };
        self.lines.push_back(cut);
        if self.lines.len() > LINES {
            self.lines.pop_front();
        }
    }

    fn without_secrets(&self, line: &[u8]) -> Vec<u8> {
        let parts = self.secrets.iter().flat_map(|s| s.expose_secret().lines()).filter(|part| !part.trim().is_empty());
        parts.fold(line.to_vec(), |line, part| without(&line, part.as_bytes()))
    }
}

/// A line without a value.
fn without(line: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.windows(value.len()).position(|window| window == value) {
        let (before, from) = rest.split_at(at);
        out.extend_from_slice(before);
        out.extend_from_slice(b"***");
        rest = from.get(value.len()..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

fn attach(control: OwnedFd, reports: OwnedFd) -> std::io::Result<(pipe::Sender, mpsc::Receiver<Report>)> {
    let control = pipe::Sender::from_owned_fd(control)?;
    let pipe = pipe::Receiver::from_owned_fd(reports)?;
    let (tx, reports) = mpsc::channel(64);
    tokio::spawn(async move {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line).await, Ok(n) if n > 0) {
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            if let Some(report) = Report::parse(&line)
                && tx.send(report).await.is_err()
            {
                return;
            }
            line.clear();
        }
    });
    Ok((control, reports))
}

/// A supervisor that runs.
struct Wire {
    control: pipe::Sender,
    reports: mpsc::Receiver<Report>,
    record: Record,
    file: PathBuf,
}

impl Wire {
    async fn run(&mut self, run: &mut Run, order: Order, timeout: Duration, cancel: &CancellationToken, end: &mut End) {
        let deadline = Instant::now() + timeout;
        let closing = run.inner.closing.clone();
        let mut order = Some(order);
        if !run.inner.namespaced {
            self.send(order.take(), end).await;
        }
        let mut last_resort: Option<Instant> = None;
        loop {
            let why: Text = tokio::select! {
                biased;
                report = self.reports.recv() => match report {
                    None => return,
                    Some(Report::Init(pid)) => {
                        self.record.init = Mark::of(pid);
                        self.save(end).await;
                        self.send(order.take(), end).await;
                        continue;
                    }
                    Some(report) => {
                        self.hear(report, run, end).await;
                        continue;
                    }
                },
                () = time::sleep_until(last_resort.unwrap_or(deadline)), if last_resort.is_some() => {
                    self.kill().await;
                    last_resort = Some(Instant::now() + LAST_RESORT);
                    continue;
                }
                () = time::sleep_until(deadline), if last_resort.is_none() => format!("still running after {}", humantime::format_duration(timeout)).into(),
                () = cancel.cancelled(), if last_resort.is_none() => "it was not wanted any more".into(),
                () = closing.cancelled(), if last_resort.is_none() => "the host is stopping".into(),
            };
            if end.ending.is_none() {
                end.failed.get_or_insert(why);
            }
            last_resort = Some(Instant::now() + GRACE + LAST_RESORT);
            let _ = time::timeout(GRACE, self.control.write_all(Command::Stop(GRACE).line().as_bytes())).await;
        }
    }

    /// The order, once what it starts can be found again.
    async fn send(&mut self, order: Option<Order>, end: &mut End) {
        let Some(order) = order.filter(|_| end.failed.is_none()) else { return };
        let Ok(line) = serde_json::to_vec(&order) else { return };
        let mut line = Zeroizing::new(line);
        line.push(b'\n');
        if self.control.write_all(&line).await.is_err() {
            end.failed = Some("the supervisor does not answer".into());
        }
    }

    async fn save(&mut self, end: &mut End) {
        let (record, file) = (self.record.clone(), self.file.clone());
        let saved = blocking(move || record.save(&file).map_err(|e| format!("cannot write {}: {e}", file.display()).into())).await;
        if let Err(why) = saved {
            end.failed.get_or_insert(why);
        }
    }

    async fn hear(&mut self, report: Report, run: &mut Run, end: &mut End) {
        match report {
            Report::Out(line) => run.print(LogStream::Out, &line),
            Report::Err(line) => run.print(LogStream::Err, &line),
            Report::Dropped(lines) => run.print(LogStream::Err, format!("{lines} lines were lost: they came too fast").as_bytes()),
            Report::Pid(inner) => {
                let init = self.record.init.map(|init| init.pid);
                let find = move || Ok(init.map_or_else(|| proc::process(inner), |init| proc::child_by_inner_pid(init, inner)));
                if let Ok(Some(found)) = blocking(find).await {
                    self.record.leader = Some(Mark { pid: found.pid, start: found.start });
                    self.save(end).await;
                }
            }
            Report::Failed(why) => drop(end.failed.get_or_insert(why)),
            Report::Ended(ending) => end.ending = Some(ending),
            Report::Warning(what) => tracing::warn!(check = %run.name, %what, "supervisor"),
            Report::Init(_) | Report::Running | Report::Works => {}
        }
    }

    /// The supervisor does not do its work.
    async fn kill(&self) {
        let marks = [self.record.init, self.record.supervisor];
        let _ = blocking(move || {
            for mark in marks.into_iter().flatten() {
                let _ = mark.kill();
            }
            Ok(())
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::without;

    #[test]
    fn a_value_leaves_no_trace() {
        assert_eq!(without(b"a hunter2 b hunter2", b"hunter2"), b"a *** b ***");
        assert_eq!(without(b"hunter", b"hunter2"), b"hunter");
        assert_eq!(without(b"", b"hunter2"), b"");
    }
}
