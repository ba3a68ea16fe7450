//! One instance beside its siblings of the same version: which of them is sick while all together look well.
//!
//! Time is cut into intervals. In one, an instance had the share `w` of the requests, and of the failures
//! `x` are its own and `y` its siblings'. If it is as good as they are, the [odds](super::odds) `L(r)` that it
//! is `r` times as bad are worth one on average. Failures come in bursts, and a burst is one event however many
//! requests it takes: so an interval speaks *for* a sick instance at most as much as one failure does,
//!
//! ```text
//! ln L(r) = min(x ln r - (x + y) ln(1 + w (r - 1)),  ln r - ln(1 + w (r - 1)))
//! ```
//!
//! and against it as much as there is. A burst of any length falls on it with the chance `w` and on others with
//! `1 - w`, so the average stays at or below one, whatever the length. What speaks for it is summed up from where
//! it was last nothing (a change detector), so that an instance that turns sick late is seen as soon as one that
//! always was. With healthy instances the chance of a false name is at most one in [`LINE`] an interval, over all
//! instances and signals together: their number multiplies the line.
//!
//! To be told it must matter too: three times its siblings' share of failures and a percent of the requests above
//! it, in the last intervals. It is told until it has been close to its siblings for as long.

use super::words;
use crate::model::{ident::InstanceId, interval::Count, signal::SignalId};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// A false name in so many intervals, at most: more than a week of seconds.
pub const LINE: f64 = 1e6;

/// An interval is at least this long,
const SHORTEST: Duration = Duration::from_secs(1);
/// and has this many requests for each instance.
const REQUESTS: u64 = 20;
/// Without any request for so long nothing is known any more.
const OLD: Duration = Duration::from_secs(120);
/// Intervals that the figures are taken from.
const RECENT: usize = 15;
/// How many times as bad an instance may be, each thought equally likely. What is less bad is of no interest.
const RATIOS: [f64; 2] = [3.0, 10.0];
const EACH: f64 = 0.5;
/// Failures below this are chance, whatever the odds.
const LEAST: f64 = 5.0;
/// How many times its siblings' share an instance must have, and how far above it must be, to be told…
const WORSE: (f64, f64) = (3.0, 0.01);
/// …and not to be told any more.
const NEAR: (f64, f64) = (2.0, 0.005);

/// What is compared.
const SIGNALS: [SignalId; 2] = [SignalId::Errors, SignalId::Slow];

/// An instance as it stands: counters that only grow while `restarts` stays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Which.
    pub instance: InstanceId,
    /// How often its process was started again: another one is compared anew.
    pub restarts: u32,
    /// Whether it was ready for long enough for its latencies to say anything.
    pub warm: bool,
    /// Requests that it answered or that failed on it.
    pub requests: u64,
    /// Of them, those that failed.
    pub errors: u64,
    /// Of them, those that were slow.
    pub slow: u64,
}

/// Why an instance is the sick one.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sick {
    /// What it does worse: errors or slow.
    pub signal: SignalId,
    /// Its share of them of late, in parts of one.
    pub own: f64,
    /// That of its siblings in the same time.
    pub siblings: f64,
}

impl Sick {
    /// `18 % errors, its siblings 0.4 %`.
    #[must_use]
    pub fn why(&self) -> String {
        format!("{} {}, its siblings {}", words::percent(self.own), self.signal.word(), words::percent(self.siblings))
    }
}

/// The instances of one version.
#[derive(Debug, Default)]
pub struct Siblings {
    /// When the open interval began, and how they stood then.
    open: Option<(Duration, Vec<Seen>)>,
    known: BTreeMap<(InstanceId, SignalId), Course>,
}

/// What is known of one signal of one instance.
#[derive(Debug, Default)]
struct Course {
    /// Logarithms of the evidence for each ratio; never below nothing.
    ln: [f64; RATIOS.len()],
    /// The last intervals: its own, and its siblings'.
    recent: VecDeque<(Count, Count)>,
    sick: bool,
}

impl Siblings {
    /// Takes in how all instances of the version stand, `now` by a clock that is never set. Ends the interval if
    /// it is long enough, and begins the next.
    pub fn feed(&mut self, now: Duration, seen: Vec<Seen>) {
        let Some((since, then)) = self.open.take() else {
            self.open = Some((now, seen));
            return;
        };
        // What is gone or was started again is not what was judged, and one alone has no siblings.
        let restarts = |all: &[Seen], id: &InstanceId| all.iter().find(|s| s.instance == *id).map(|s| s.restarts);
        let stays = |id: &InstanceId| restarts(&seen, id).is_some_and(|n| restarts(&then, id).is_none_or(|then| then == n));
        self.known.retain(|(id, _), _| seen.len() > 1 && stays(id));
        let came = came(&then, &seen);
        let requests: u64 = came.iter().map(|s| s.requests).sum();
        let enough = REQUESTS.saturating_mul(came.len() as u64);
        if now.saturating_sub(since) > OLD && requests == 0 {
            // A version without traffic is neither.
            self.known.clear();
        }
        if now.saturating_sub(since) < SHORTEST || came.len() < 2 || requests < enough {
            // An instance that is new, or whose counters began anew, is counted from now on.
            let goes_on = |s: &Seen| came.iter().any(|c| c.instance == s.instance);
            let began = |s: Seen| then.iter().find(|t| t.instance == s.instance && goes_on(t)).cloned().unwrap_or(s);
            self.open = Some((since, seen.into_iter().map(began).collect()));
            return;
        }
        for signal in SIGNALS {
            self.compare(signal, &came);
        }
        self.open = Some((now, seen));
    }

    /// Why an instance is sick, if it is.
    #[must_use]
    pub fn sick(&self, instance: &InstanceId) -> Option<Sick> {
        SIGNALS.into_iter().find_map(|signal| {
            let course = self.known.get(&(instance.clone(), signal)).filter(|c| c.sick)?;
            let (own, siblings) = course.shares();
            Some(Sick { signal, own, siblings })
        })
    }

    /// Every sick instance, by name.
    pub fn all_sick(&self) -> impl Iterator<Item = (&InstanceId, Sick)> {
        let errors = self.known.keys().filter(|(_, signal)| *signal == SignalId::Errors);
        errors.filter_map(|(id, _)| Some((id, self.sick(id)?)))
    }

    fn compare(&mut self, signal: SignalId, came: &[Seen]) {
        let counts: Vec<(&InstanceId, Count)> = came.iter().filter_map(|s| Some((&s.instance, count(s, signal)?))).collect();
        let mut all = Count::default();
        for (_, count) in &counts {
            all += *count;
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 100 instances of two signals")]
        let line = (LINE * (counts.len() * SIGNALS.len()) as f64).ln();
        for (id, own) in counts {
            let others = Count::new(all.hits - own.hits, all.of - own.of);
            self.known.entry((id.clone(), signal)).or_default().take(own, others, line);
        }
    }
}

impl Course {
    fn take(&mut self, own: Count, others: Count, line: f64) {
        if own.of <= 0.0 || others.of <= 0.0 {
            return;
        }
        let share = own.of / (own.of + others.of);
        for (ln, r) in self.ln.iter_mut().zip(RATIOS) {
            let (one, any) = (r.ln(), (share * (r - 1.0)).ln_1p());
            let said = own.hits * one - (own.hits + others.hits) * any;
            *ln = (*ln + said.min(one - any)).max(0.0);
        }
        self.recent.push_back((own, others));
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        if self.sick {
            if self.recent.len() == RECENT && !self.is_beyond(NEAR) {
                *self = Self::default();
            }
        } else {
            let most = self.ln.iter().copied().fold(0.0, f64::max);
            let mean = self.ln.iter().map(|ln| (ln - most).exp()).sum::<f64>() * EACH;
            self.sick = most + mean.ln() >= line && self.is_beyond(WORSE);
        }
    }

    fn sums(&self) -> (Count, Count) {
        let mut sums = (Count::default(), Count::default());
        for (own, others) in &self.recent {
            sums.0 += *own;
            sums.1 += *others;
        }
        sums
    }

    fn shares(&self) -> (f64, f64) {
        let (own, others) = self.sums();
        (own.hits / own.of.max(1.0), others.hits / others.of.max(1.0))
    }

    fn is_beyond(&self, (times, above): (f64, f64)) -> bool {
        let (own, others) = self.shares();
        self.sums().0.hits >= LEAST && own >= times * others && own >= others + above
    }
}

/// What came of each instance since then, of those that went on counting.
fn came(then: &[Seen], now: &[Seen]) -> Vec<Seen> {
    let since = |s: &Seen| {
        let t = then.iter().find(|t| t.instance == s.instance && t.restarts == s.restarts)?;
        Some(Seen {
            warm: t.warm && s.warm,
            requests: s.requests.checked_sub(t.requests)?,
            errors: s.errors.checked_sub(t.errors)?,
            slow: s.slow.checked_sub(t.slow)?,
            ..s.clone()
        })
    };
    now.iter().filter_map(since).collect()
}

/// `None` where it says nothing: latencies of an instance that is not warm.
#[expect(clippy::cast_precision_loss, reason = "requests of an interval")]
fn count(seen: &Seen, signal: SignalId) -> Option<Count> {
    let hits = match signal {
        SignalId::Slow if seen.warm => seen.slow,
        SignalId::Slow => return None,
        _ => seen.errors,
    };
    // The whole is read after its parts.
    Some(Count::new(hits.min(seen.requests) as f64, seen.requests as f64))
}

#[cfg(test)]
mod tests;
