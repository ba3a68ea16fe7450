//! What instances print: the last lines of each in memory, all of them in files for a while.
//!
//! One lock gives every line its number, so readers see them in order. A host that is started again goes on
//! above the numbers of the one before: whoever comes back with the last one they saw misses nothing.
//! Memory is bounded by lines and bytes per instance and by the number of ended instances.

mod files;

pub(super) use files::{file_name, instance_id};

use super::order::LastWords;
use crate::{
    clock::Clock,
    conductor::life::PoolId,
    model::{
        event::{LogLine, LogStream},
        ident::{InstanceId, Role},
        text::Text,
        time::Time,
    },
};
use std::{
    collections::{HashMap, VecDeque},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::broadcast;

/// Lines kept in memory of each instance.
const RING_LINES: usize = 2_000;
/// Bytes of text kept in memory of each instance.
const RING_BYTES: usize = 512 * 1024;
/// Instances that ended and are still kept in memory.
const ENDED_KEPT: usize = 50;
/// Numbers that a host which is started leaves out: above all lines of the one before that readers may have
/// seen and no file has.
const APART: u64 = 1 << 20;
/// Lines that a slow reader of the live stream may be behind before it loses some.
const BEHIND: usize = 4_096;

/// Everything that instances print. Cheap to clone.
#[derive(Clone)]
pub struct LogHub(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    live: broadcast::Sender<LogLine>,
    files: files::Writer,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct State {
    seq: u64,
    rings: HashMap<Who, Ring>,
    ended: VecDeque<Who>,
    /// The greatest number of an instance so far, by service.
    numbers: HashMap<String, u64>,
    roles: HashMap<PoolId, Role>,
    /// Lines so far of each service, by the role of the version that printed them.
    counts: HashMap<(Text, Role), u64>,
}

impl State {
    fn tail(&self, filter: &LogFilter, after: u64) -> Vec<LogLine> {
        let lines = self.rings.values().flat_map(|ring| {
            let from = ring.lines.partition_point(|line| line.seq <= after);
            ring.lines.range(from..)
        });
        let mut lines: Vec<LogLine> = lines.filter(|line| filter.wants(line)).cloned().collect();
        lines.sort_unstable_by_key(|line| line.seq);
        let surplus = filter.last.map_or(0, |last| lines.len().saturating_sub(last));
        lines.split_off(surplus)
    }
}

/// An instance of a service. Names of instances are unique within their service.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
struct Who {
    service: Text,
    instance: InstanceId,
}

#[derive(Default)]
struct Ring {
    lines: VecDeque<LogLine>,
    bytes: usize,
}

impl Ring {
    fn push(&mut self, line: LogLine) {
        self.bytes += line.line.as_str().len();
        self.lines.push_back(line);
        while self.lines.len() > RING_LINES || self.bytes > RING_BYTES {
            let Some(old) = self.lines.pop_front() else { break };
            self.bytes -= old.line.as_str().len();
        }
    }
}

/// Which lines are wanted. The default wants all that are in memory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LogFilter {
    /// Of one service only.
    pub service: Option<Text>,
    /// Printed by an instance whose version had this role at that moment.
    pub role: Option<Role>,
    /// Of one version only, by its label.
    pub version: Option<Text>,
    /// Of one instance only.
    pub instance: Option<InstanceId>,
    /// Only lines that contain this.
    pub contains: Option<String>,
    /// At most so many, the newest.
    pub last: Option<usize>,
}

impl LogFilter {
    /// Whether a line is wanted, its number and [`LogFilter::last`] aside.
    #[must_use]
    pub fn wants(&self, line: &LogLine) -> bool {
        fn is<T: PartialEq>(wanted: Option<&T>, found: &T) -> bool {
            wanted.is_none_or(|w| w == found)
        }
        is(self.service.as_ref(), &line.service)
            && is(self.role.as_ref(), &line.role)
            && is(self.version.as_ref(), &line.version)
            && is(self.instance.as_ref(), &line.instance)
            && self.contains.as_ref().is_none_or(|part| line.line.as_str().contains(part.as_str()))
    }
}

impl LogHub {
    /// Opens the logs below `dir`, with the last lines that earlier hosts kept there. Blocks.
    ///
    /// # Errors
    /// When the directory cannot be read or no thread can be had.
    pub(in crate::host) fn open(dir: PathBuf, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let kept = files::load(&dir, ENDED_KEPT, RING_BYTES as u64)?;
        let last = kept.iter().map(|line| line.seq).max();
        let mut state = State { numbers: files::last_numbers(&dir)?, seq: last.unwrap_or_default(), ..State::default() };
        // Each keeps its number, but for those without: what a supervisor wrote when its host was gone.
        let numbered = kept.iter().map(|line| line.seq).filter(|seq| *seq > 0);
        let mut numbers: Vec<u64> = numbered.collect();
        let distinct = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        let keep = numbers.len() == distinct;
        for line in kept {
            let line = if keep && line.seq > 0 {
                line
            } else {
                state.seq += 1;
                LogLine { seq: state.seq, nth: 0, ..line }
            };
            let who = Who { service: line.service.clone(), instance: line.instance.clone() };
            if !state.rings.contains_key(&who) {
                state.ended.push_back(who.clone());
            }
            state.rings.entry(who).or_default().push(line);
        }
        // Where clocks were set the order of time is not that of the numbers.
        for ring in state.rings.values_mut() {
            ring.lines.make_contiguous().sort_by_key(|line| line.seq);
        }
        if last.is_some() {
            state.seq += APART;
        }
        let files = files::Writer::start(dir)?;
        Ok(Self(Arc::new(Shared { state: Mutex::new(state), live: broadcast::Sender::new(BEHIND), files, clock })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the last line so far.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.lock().seq
    }

    /// Lines in memory with a number greater than `after`, in the order of their numbers.
    #[must_use]
    pub fn tail(&self, filter: &LogFilter, after: u64) -> Vec<LogLine> {
        self.lock().tail(filter, after)
    }

    /// [`LogHub::tail`], and how many lines of the filter's service and role there ever were: whoever asks
    /// twice knows how many of them were never in an answer.
    #[must_use]
    pub fn tail_of(&self, filter: &LogFilter, after: u64) -> (Vec<LogLine>, u64) {
        let state = self.lock();
        let fits = |(service, role): &(Text, Role)| {
            filter.service.as_ref().is_none_or(|s| s == service) && filter.role.as_ref().is_none_or(|r| r == role)
        };
        let all = state.counts.iter().filter(|(of, _)| fits(of)).map(|(_, lines)| lines).sum();
        (state.tail(filter, after), all)
    }

    /// Every line from now on. A reader that is more than 4,096 lines behind is told that it lost some.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<LogLine> {
        self.0.live.subscribe()
    }

    /// The role of each pool's version: written into the lines printed from now on.
    pub fn set_roles(&self, roles: HashMap<PoolId, Role>) {
        self.lock().roles = roles;
    }

    /// Returns once every line so far is in its file. Blocks.
    pub(super) fn flush(&self) {
        self.0.files.flush();
    }

    /// The number that the next instance of a service gets, greater than that of any whose log is kept.
    pub(super) fn next_number(&self, service: &Text) -> u64 {
        let mut state = self.lock();
        let last = state.numbers.entry(file_name(service.as_str())).or_default();
        *last += 1;
        *last
    }

    /// The log of a new instance.
    pub(in crate::host) fn instance(&self, pool: PoolId, service: Text, version: Text, instance: InstanceId) -> InstanceLog {
        let who = Who { service, instance };
        self.lock().rings.entry(who.clone()).or_default();
        InstanceLog { hub: self.clone(), pool, version, who }
    }
}

/// Where one instance's lines go. Dropped when the instance ended for good.
pub struct InstanceLog {
    hub: LogHub,
    pool: PoolId,
    version: Text,
    who: Who,
}

impl InstanceLog {
    /// Makes the log file, so that the instance's name is never given again, and room for it. Blocks.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn make_file(&self) -> io::Result<()> {
        self.hub.0.files.make(&self.who)
    }

    /// Where that file is.
    pub fn path(&self) -> PathBuf {
        self.hub.0.files.path(&self.who)
    }

    /// Takes a line of the service.
    pub fn push(&self, stream: LogStream, line: &[u8]) {
        self.add(stream, Text::from_bytes(line));
    }

    /// Takes the reason why a process of this instance ended or was not started.
    pub fn end(&self, why: &Text) {
        self.add(LogStream::End, why.clone());
    }

    fn add(&self, stream: LogStream, line: Text) {
        let at = self.hub.0.clock.now();
        let mut state = self.hub.lock();
        state.seq += 1;
        let mut line = LogLine { seq: state.seq, stream, line, ..self.like(&state, at) };
        *state.counts.entry((line.service.clone(), line.role)).or_default() += 1;
        line.nth = state.counts.iter().filter(|((service, _), _)| *service == line.service).map(|(_, lines)| lines).sum();
        self.hub.0.files.write(&self.who, &line);
        if self.hub.0.live.receiver_count() > 0 {
            let _ = self.hub.0.live.send(line.clone());
        }
        state.rings.entry(self.who.clone()).or_default().push(line);
    }

    /// An empty line of this instance.
    fn like(&self, state: &State, at: Time) -> LogLine {
        LogLine {
            seq: 0,
            at,
            service: self.who.service.clone(),
            role: state.roles.get(&self.pool).copied().unwrap_or(Role::Candidate),
            version: self.version.clone(),
            instance: self.who.instance.clone(),
            stream: LogStream::Out,
            line: Text::default(),
            lost: 0,
            nth: 0,
        }
    }

    /// What a supervisor needs to go on with this log when the host is gone.
    #[must_use]
    pub fn last_words(&self) -> LastWords {
        let like = self.like(&self.hub.lock(), self.hub.0.clock.now());
        LastWords { file: self.hub.0.files.path(&self.who), like }
    }
}

impl Drop for InstanceLog {
    fn drop(&mut self) {
        self.hub.0.files.close(&self.who);
        let mut state = self.hub.lock();
        state.ended.push_back(self.who.clone());
        while state.ended.len() > ENDED_KEPT {
            if let Some(oldest) = state.ended.pop_front() {
                state.rings.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests;
