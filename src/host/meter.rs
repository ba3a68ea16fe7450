//! What became of one version's requests. The proxy writes, everyone else reads; counters only grow.
//!
//! - A request *starts* when the version is picked for it, under the router's lock.
//! - It *counts* (class, error, latency) when its response head goes down or when it fails before;
//!   it stays *in flight* until the end of its body.
//! - An *error* is a 5xx or no answer, or what the version's first gate over errors takes for one
//!   ([`Meter::count_as_errors`]), so that the screen and the gate never contradict each other. What is
//!   exported for others to scrape stays 5xx, whatever is configured: it is the class. A client that goes away is `aborted` and no error.
//! - *Latency* is the time from arrival to the response head, taken of every answer of an instance
//!   and of every time-out. Upgrades are left out; so are answers of the proxy itself when no
//!   instance was there, which would make a version that is down look fast.

mod latency;
mod window;

pub use latency::{BOUNDS, Latencies};
pub use window::{RATE_SECONDS, Window};

use crate::model::{code::Code, event::FailedRequest, history::Point, ident::InstanceId, time::Time};
use chrono::DateTime;
use latency::Tallied;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use window::Seconds;

/// How many failed requests are kept.
const KEPT: usize = 50;

/// For so many seconds what an instance counted is kept once nobody counts for it any more. Whoever scrapes wants
/// to see the last of it, and Prometheus looks back five minutes: it knows nothing of who is scraped less often.
const PART_KEPT: u32 = 300;

/// With more parts than this those that are left longest go sooner. A hundred instances and as many series of each
/// as there are buckets stay below the 2,000 up to which samples are counted one by one.
const MOST_PARTS: usize = 116;

/// Statuses that may count as errors, one by one; what is above them all is kept with the last.
const FIRST_STATUS: u16 = 400;
const STATUSES: usize = 200;

/// No request has started, no threshold is frozen.
const NONE: u64 = u64::MAX;

/// The counters of one version.
#[derive(Debug)]
pub struct Meter {
    started: AtomicU64,
    requests: AtomicU64,
    class: [AtomicU64; 5],
    /// Answers of each status from [`FIRST_STATUS`] on.
    statuses: [AtomicU64; STATUSES],
    /// One bit for each of those statuses: whether it is an error.
    failing: [AtomicU64; STATUSES.div_ceil(64)],
    errors: AtomicU64,
    timeouts: AtomicU64,
    slow: AtomicU64,
    aborted: AtomicU64,
    unavailable: AtomicU64,
    upstream_failures: AtomicU64,
    retries: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    in_flight: AtomicU64,
    upgraded: AtomicU64,
    /// Microseconds since 1970; `i64::MIN` before the first request.
    last_start: AtomicI64,
    /// Microseconds; `NONE` until it is frozen.
    threshold: AtomicU64,
    timed: Mutex<Timed>,
    failed: Mutex<VecDeque<FailedRequest>>,
    failed_revision: AtomicU64,
    parts: Mutex<BTreeMap<InstanceId, Kept>>,
    /// What no instance answered: the proxy did, where none was there.
    nowhere: Part,
}

/// A part, and for how many seconds nobody has counted for it.
#[derive(Debug, Default)]
struct Kept {
    part: Arc<Part>,
    left: u32,
}

/// One instance's part of a version's requests, by the same definitions. Counters only grow.
#[derive(Debug, Default)]
pub struct Part {
    requests: AtomicU64,
    class: [AtomicU64; 5],
    errors: AtomicU64,
    slow: AtomicU64,
    timeouts: AtomicU64,
    latencies: Tallied,
}

/// What was counted of one instance since it first got a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counted {
    /// Those that it answered, or that failed on it.
    pub requests: u64,
    /// The same by class, as in [`Totals`].
    pub class: [u64; 5],
    /// Answered with an error or not at all.
    pub errors: u64,
    /// Slower than the frozen threshold.
    pub slow: u64,
    /// Not answered in time.
    pub timeouts: u64,
    /// How long its answers took, and the time-outs.
    pub latencies: Latencies,
}

/// What is counted by time.
#[derive(Debug)]
struct Timed {
    seconds: Seconds,
    ever: Latencies,
}

/// What was counted since the version got its first request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Requests for which the version was picked.
    pub started: u64,
    /// Those that were answered or failed, with the answers that the proxy gave in its place.
    pub requests: u64,
    /// Answers by class, from 1xx (upgrades) to 5xx.
    pub class: [u64; 5],
    /// Answered with an error or not at all: see the [module](self).
    pub errors: u64,
    /// Not answered in time: the proxy did instead.
    pub timeouts: u64,
    /// Slower than the frozen threshold; 0 until one is frozen.
    pub slow: u64,
    /// The client went away before the end of the answer. Without a head it is not in `requests`.
    pub aborted: u64,
    /// Meant for this version while it had no ready instance.
    pub unavailable: u64,
    /// Instances that could not be connected, closed, answered nonsense, nothing in time or half a body.
    pub upstream_failures: u64,
    /// Sent again on a fresh connection.
    pub retries: u64,
    /// Bytes of request bodies and of upgraded connections from the client.
    pub bytes_in: u64,
    /// Bytes of response bodies and of upgraded connections to the client.
    pub bytes_out: u64,
    /// Requests now between start and end of the body, upgraded ones left out.
    pub in_flight: u64,
    /// Upgraded connections now open.
    pub upgraded: u64,
    /// When the last request started.
    pub last_start: Option<Time>,
}

/// How a request ended or what its response head said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Head {
    /// An instance answered.
    Answer { status: u16, latency: Duration },
    /// An instance agreed to an upgrade.
    Upgrade,
    /// No instance answered; the proxy did. The time is given only when it was waited for an answer.
    Substitute { status: u16, waited: Option<Duration> },
}

impl Meter {
    pub(super) fn new() -> Self {
        let zero = AtomicU64::default;
        let meter = Self {
            started: zero(),
            requests: zero(),
            class: std::array::from_fn(|_| zero()),
            statuses: std::array::from_fn(|_| zero()),
            failing: std::array::from_fn(|_| zero()),
            errors: zero(),
            timeouts: zero(),
            slow: zero(),
            aborted: zero(),
            unavailable: zero(),
            upstream_failures: zero(),
            retries: zero(),
            bytes_in: zero(),
            bytes_out: zero(),
            in_flight: zero(),
            upgraded: zero(),
            last_start: AtomicI64::new(i64::MIN),
            threshold: AtomicU64::new(NONE),
            timed: Mutex::new(Timed { seconds: Seconds::default(), ever: Latencies::default() }),
            failed: Mutex::default(),
            failed_revision: zero(),
            parts: Mutex::default(),
            nowhere: Part::default(),
        };
        meter.count_as_errors(&Code::usual());
        meter
    }

    /// From now on these answers are errors; what was counted before stays.
    pub fn count_as_errors(&self, codes: &[Code]) {
        for (word, statuses) in self.failing.iter().zip((FIRST_STATUS..).step_by(64)) {
            let bit = |i: u16| u64::from(codes.iter().any(|c| c.is_status(statuses + i))) << i;
            word.store((0..64).map(bit).sum(), Relaxed);
        }
    }

    /// Whether these answers, and no others, are what counts as an error now: then the instances' parts are
    /// counted by them too.
    #[must_use]
    pub fn counts_as_errors(&self, codes: &[Code]) -> bool {
        (FIRST_STATUS..).take(STATUSES).all(|status| self.is_error(status) == codes.iter().any(|c| c.is_status(status)))
    }

    fn is_error(&self, status: u16) -> bool {
        let place = status.checked_sub(FIRST_STATUS).map(|place| usize::from(place).min(STATUSES - 1));
        place.is_some_and(|place| self.failing.get(place / 64).is_some_and(|word| word.load(Relaxed) >> (place % 64) & 1 == 1))
    }

    /// Everything counted so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            // What is derived is read before what it is derived from, so that no sum is ahead of its parts.
            errors: self.errors.load(Relaxed),
            timeouts: self.timeouts.load(Relaxed),
            slow: self.slow.load(Relaxed),
            class: std::array::from_fn(|i| self.class.get(i).map_or(0, |c| c.load(Relaxed))),
            requests: self.requests.load(Relaxed),
            aborted: self.aborted.load(Relaxed),
            unavailable: self.unavailable.load(Relaxed),
            upstream_failures: self.upstream_failures.load(Relaxed),
            retries: self.retries.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            upgraded: self.upgraded.load(Relaxed),
            started: self.started.load(Relaxed),
            last_start: DateTime::from_timestamp_micros(self.last_start.load(Relaxed)),
        }
    }

    /// Answers that count as errors by these codes.
    #[must_use]
    pub fn failed_by(&self, codes: &[Code]) -> u64 {
        let counted = |(status, count): (u16, &AtomicU64)| codes.iter().any(|c| c.is_status(status)).then(|| count.load(Relaxed));
        (FIRST_STATUS..).zip(&self.statuses).filter_map(counted).sum()
    }

    /// Closes the current second: what was counted since the last tick. Call it once a second: that is also how
    /// parts are let go of that nobody counts for any more.
    pub fn tick(&self, now: Time) -> Point {
        self.forget_parts();
        self.timed().seconds.close(now)
    }

    /// The last 60 s, up to the last tick.
    #[must_use]
    pub fn window(&self) -> Window {
        self.timed().seconds.window()
    }

    /// Requests that were answered or failed in whole seconds since then, within the last 60 s.
    #[must_use]
    pub fn requests_since(&self, since: Time) -> u64 {
        self.timed().seconds.requests_since(since)
    }

    /// From now on a request that takes longer than this is *slow*. What was counted before stays.
    pub fn freeze_threshold(&self, slower_than: Duration) {
        self.threshold.store(micros(slower_than).min(NONE - 1), Relaxed);
    }

    /// The last 50 requests that failed, oldest first.
    #[must_use]
    pub fn failed(&self) -> Vec<FailedRequest> {
        self.kept().iter().cloned().collect()
    }

    /// Counts up with each failed request, so that nobody copies the list for nothing.
    #[must_use]
    pub fn failed_revision(&self) -> u64 {
        self.failed_revision.load(Relaxed)
    }

    /// All latencies so far.
    #[must_use]
    pub fn latencies(&self) -> Latencies {
        self.timed().ever
    }

    /// A request was given to this version.
    pub(super) fn start(&self, now: Time) {
        self.started.fetch_add(1, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
        self.last_start.fetch_max(now.timestamp_micros(), Relaxed);
    }

    /// A request that was started or upgraded is over.
    pub(super) fn end(&self, upgraded: bool) {
        (if upgraded { &self.upgraded } else { &self.in_flight }).fetch_sub(1, Relaxed);
    }

    /// What each instance had of it. One that left the table is still here for [five minutes](PART_KEPT); when it
    /// returns later, it begins anew.
    #[must_use]
    pub fn parts(&self) -> Vec<(InstanceId, Counted)> {
        self.counted().iter().map(|(id, kept)| (id.clone(), kept.part.read())).collect()
    }

    /// What no instance had of it.
    #[must_use]
    pub fn nowhere(&self) -> Counted {
        self.nowhere.read()
    }

    /// The counters of an instance; they count as long as it is in the table or has requests.
    pub(super) fn part(&self, instance: &InstanceId) -> Arc<Part> {
        let mut counted = self.counted();
        let kept = counted.entry(instance.clone()).or_default();
        kept.left = 0;
        Arc::clone(&kept.part)
    }

    fn forget_parts(&self) {
        let mut counted = self.counted();
        counted.retain(|_, kept| {
            kept.left = if Arc::strong_count(&kept.part) > 1 { 0 } else { kept.left + 1 };
            kept.left <= PART_KEPT
        });
        while counted.len() > MOST_PARTS {
            let longest = counted.iter().filter(|(_, kept)| kept.left > 0).max_by_key(|(_, kept)| kept.left);
            let Some(longest) = longest.map(|(id, _)| id.clone()) else { return };
            counted.remove(&longest);
        }
    }

    fn counted(&self) -> MutexGuard<'_, BTreeMap<InstanceId, Kept>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The response head goes down; `part` is that of the instance which answered or failed, if one did.
    pub(super) fn head(&self, head: Head, part: Option<&Part>) {
        let (status, latency) = match head {
            Head::Answer { status, latency } => (status, Some(latency)),
            Head::Upgrade => {
                self.upgraded.fetch_add(1, Relaxed);
                self.in_flight.fetch_sub(1, Relaxed);
                (101, None)
            }
            Head::Substitute { status, waited } => (status, waited),
        };
        let error = self.is_error(status);
        let timeout = matches!(head, Head::Substitute { waited: Some(_), .. });
        let latency = latency.map(micros);
        let slow = latency.is_some_and(|l| l > self.threshold.load(Relaxed));
        self.requests.fetch_add(1, Relaxed);
        let part = part.unwrap_or(&self.nowhere);
        part.requests.fetch_add(1, Relaxed);
        part.errors.fetch_add(u64::from(error), Relaxed);
        part.slow.fetch_add(u64::from(slow), Relaxed);
        part.timeouts.fetch_add(u64::from(timeout), Relaxed);
        if let Some(latency) = latency {
            part.latencies.record(latency);
        }
        let class = usize::from(status / 100).checked_sub(1);
        for all in [&self.class, &part.class] {
            if let Some(class) = class.and_then(|i| all.get(i)) {
                class.fetch_add(1, Relaxed);
            }
        }
        if let Some(place) = status.checked_sub(FIRST_STATUS).map(|place| usize::from(place).min(STATUSES - 1))
            && let Some(count) = self.statuses.get(place)
        {
            count.fetch_add(1, Relaxed);
        }
        if error {
            self.errors.fetch_add(1, Relaxed);
        }
        if timeout {
            self.timeouts.fetch_add(1, Relaxed);
        }
        if slow {
            self.slow.fetch_add(1, Relaxed);
        }
        let mut timed = self.timed();
        timed.seconds.count(error, slow, latency);
        if let Some(latency) = latency {
            timed.ever.record(latency);
        }
    }

    /// The client went away.
    pub(super) fn abort(&self) {
        self.aborted.fetch_add(1, Relaxed);
        self.timed().seconds.abort();
    }

    /// A request was meant for this version while it had no ready instance.
    pub(super) fn unavailable(&self) {
        self.unavailable.fetch_add(1, Relaxed);
    }

    /// An instance failed a request.
    pub(super) fn upstream_failed(&self) {
        self.upstream_failures.fetch_add(1, Relaxed);
    }

    /// A request is sent again.
    pub(super) fn retry(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    /// Bytes came from the client.
    pub(super) fn take_in(&self, bytes: usize) {
        self.bytes_in.fetch_add(bytes as u64, Relaxed);
    }

    /// Bytes go to the client.
    pub(super) fn give_out(&self, bytes: usize) {
        self.bytes_out.fetch_add(bytes as u64, Relaxed);
    }

    /// Keeps a failed request, in place of the oldest.
    pub(super) fn keep(&self, request: FailedRequest) {
        let mut kept = self.kept();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(request);
        self.failed_revision.fetch_add(1, Relaxed);
    }

    fn timed(&self) -> MutexGuard<'_, Timed> {
        self.timed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<FailedRequest>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    fn read(&self) -> Counted {
        // Parts are read before the whole, as in `totals`.
        let (errors, slow, timeouts) = (self.errors.load(Relaxed), self.slow.load(Relaxed), self.timeouts.load(Relaxed));
        let (class, latencies) = (std::array::from_fn(|i| self.class.get(i).map_or(0, |c| c.load(Relaxed))), self.latencies.read());
        Counted { requests: self.requests.load(Relaxed), class, errors, slow, timeouts, latencies }
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
