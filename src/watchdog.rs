//! Says in one line of text that something that must be written is not: because writing fails, or
//! because the disk does not answer. Shared by the host's state and the journal.
//!
//! Owner of "since when"; its thread sleeps for good while nothing is outstanding.

use crate::{clock::Clock, model::text::Text};
use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// A write that takes longer than this is said to hang.
const SLOW: Duration = Duration::from_millis(500);

/// The writer's side: it says when it begins and how it ended.
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct State {
    /// Since when something has been outstanding, by [`Clock::uptime`].
    since: Option<Duration>,
    /// What the last try said.
    why: Option<String>,
    /// Whether the banner is up.
    shown: bool,
    closed: bool,
}

impl Watchdog {
    /// Starts the thread; `what` begins every banner: `state not on disk`.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn start(what: &'static str, clock: Arc<dyn Clock>) -> io::Result<(Self, watch::Receiver<Option<Text>>)> {
        let (banner, seen) = watch::channel(None);
        let shared = Arc::new(Shared { state: Mutex::default(), wake: Condvar::new(), clock });
        let own = Arc::clone(&shared);
        std::thread::Builder::new().name("watchdog".into()).spawn(move || own.run(what, &banner))?;
        Ok((Self { shared }, seen))
    }

    /// A write begins. Its age counts from the first one that has not succeeded.
    pub(crate) fn begin(&self) {
        let now = self.shared.clock.uptime();
        self.shared.lock().since.get_or_insert(now);
        self.shared.wake.notify_one();
    }

    /// The write succeeded: nothing is outstanding.
    pub(crate) fn ok(&self) {
        let mut state = self.shared.lock();
        state.since = None;
        state.why = None;
        // The thread comes round by itself; it is woken only to take a banner down.
        if state.shown {
            self.shared.wake.notify_one();
        }
    }

    /// The write failed and will be tried again.
    pub(crate) fn failed(&self, why: String) {
        self.shared.lock().why = Some(why);
        self.shared.wake.notify_one();
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, what: &str, banner: &watch::Sender<Option<Text>>) {
        let mut state = self.lock();
        while !state.closed {
            let Some(since) = state.since else {
                if std::mem::take(&mut state.shown) {
                    banner.send_replace(None);
                }
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let age = self.clock.uptime().saturating_sub(since);
            let pause = if state.why.is_some() || age >= SLOW {
                let why = state.why.as_deref().unwrap_or("the disk does not answer");
                let line = match age.as_secs() {
                    0 => format!("{what}: {why}"),
                    seconds => format!("{what} for {seconds} s: {why}"),
                };
                banner.send_replace(Some(Text::clean(&line)));
                state.shown = true;
                Duration::from_secs(1)
            } else {
                SLOW.saturating_sub(age)
            };
            state = self.wake.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// What the system says, as the end of one of our lines: `no space left on device`.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::{Watchdog, plain};
    use crate::clock::SystemClock;
    use std::{io, sync::Arc, time::Duration};

    #[tokio::test]
    async fn a_banner_comes_with_a_failure_or_a_hang_and_goes_with_success() {
        let (dog, mut seen) = Watchdog::start("state not on disk", Arc::new(SystemClock::start())).unwrap();
        let limit = Duration::from_secs(20);
        dog.begin();
        dog.failed("no space left on device".into());
        let up = tokio::time::timeout(limit, seen.wait_for(Option::is_some)).await.unwrap().unwrap().clone();
        assert!(up.unwrap().as_str().ends_with(": no space left on device"));
        dog.ok();
        tokio::time::timeout(limit, seen.wait_for(Option::is_none)).await.unwrap().unwrap();
        dog.begin();
        let up = tokio::time::timeout(limit, seen.wait_for(Option::is_some)).await.unwrap().unwrap().clone();
        assert!(up.unwrap().as_str().ends_with("the disk does not answer"));
        drop(dog);
        assert!(tokio::time::timeout(limit, async { while seen.changed().await.is_ok() {} }).await.is_ok(), "the thread ends");
    }

    #[test]
    fn errors_read_as_the_end_of_a_line() {
        assert_eq!(plain(&io::Error::from_raw_os_error(28)), "no space left on device");
    }
}
