//! The only place where time is read. Everything that decides or shows time is handed a [`Clock`]
//! or an instant, so that tests own it.

use crate::model::time::{Time, after};
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Wall time for people, monotonic time for spans.
pub trait Clock: Send + Sync {
    /// Now, as this machine's clock says. May jump.
    fn now(&self) -> Time;

    /// Since this clock was made. Never goes back.
    fn uptime(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Starts counting [`Clock::uptime`] now.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Time {
        chrono::Utc::now()
    }

    fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that stands still until it is moved: for tests.
#[derive(Debug)]
pub struct ManualClock {
    at: Mutex<(Time, Duration)>,
}

impl ManualClock {
    /// Stands at `now`, with no uptime.
    #[must_use]
    pub const fn new(now: Time) -> Self {
        Self { at: Mutex::new((now, Duration::ZERO)) }
    }

    /// Moves both readings forward.
    pub fn advance(&self, span: Duration) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        *at = (after(at.0, span), at.1.saturating_add(span));
    }

    /// Sets the wall clock alone, as an administrator does.
    pub fn set(&self, now: Time) {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).0 = now;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Time {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn uptime(&self) -> Duration {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

/// A clock that follows tokio's paused time, from an instant on: for tests that wait.
#[cfg(test)]
pub(crate) struct PausedClock {
    start: Time,
    began: tokio::time::Instant,
}

#[cfg(test)]
impl PausedClock {
    /// Stands at `start` now. Call it within the runtime.
    pub(crate) fn new(start: Time) -> Self {
        Self { start, began: tokio::time::Instant::now() }
    }
}

#[cfg(test)]
impl Clock for PausedClock {
    fn now(&self) -> Time {
        after(self.start, self.uptime())
    }

    fn uptime(&self) -> Duration {
        self.began.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, ManualClock, SystemClock};
    use crate::model::time::elapsed;
    use chrono::DateTime;
    use std::time::Duration;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let start = DateTime::from_timestamp(1_000, 0).unwrap();
        let clock = ManualClock::new(start);
        clock.advance(Duration::from_millis(1_500));
        assert_eq!((elapsed(clock.now(), start), clock.uptime()), (Duration::from_millis(1_500), Duration::from_millis(1_500)));
        clock.set(start);
        assert_eq!((clock.now(), clock.uptime()), (start, Duration::from_millis(1_500)));
    }

    #[test]
    fn uptime_never_goes_back() {
        let clock = SystemClock::start();
        let first = clock.uptime();
        assert!(clock.uptime() >= first);
    }
}
