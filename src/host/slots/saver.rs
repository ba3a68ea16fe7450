//! Saves state on a thread of its own, so that a disk that fails or hangs blocks nobody.
//!
//! Owner of the [`Slots`] while it runs. Always writes the newest state it was given; states that
//! were replaced before they were written count as saved when a newer one is.

use super::{Slots, SlotsError};
use crate::{
    model::text::Text,
    watchdog::{Watchdog, plain},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    future::{Future, IntoFuture},
    io,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// How long after a failed write the next one is tried, unless a newer state comes first.
const RETRY: Duration = Duration::from_secs(1);

/// Takes states to be saved. Dropping it lets the thread write what is outstanding once, then end.
pub struct Saver<T> {
    shared: Arc<Shared<T>>,
    done: watch::Receiver<Done>,
    trouble: watch::Receiver<Option<Text>>,
}

/// Waits for one [`Saver::save`]. Awaiting it waits as long as the disk takes.
#[derive(Clone, Debug)]
pub struct SaveTicket {
    number: u64,
    done: watch::Receiver<Done>,
}

/// Why a state is not known to be on disk. It is tried again all the same.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SaveError {
    /// A write with this state, or a newer one, failed.
    #[error("{0}")]
    Failed(Text),
    /// The disk has not answered in time.
    #[error("the disk has not answered within {} ms", .0.as_millis())]
    Slow(Duration),
    /// The saver has ended without having written it.
    #[error("the state was not written before the host ended")]
    Ended,
}

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    wake: Condvar,
}

struct Queue<T> {
    newest: Option<T>,
    /// Number of the newest state given.
    given: u64,
    closing: bool,
}

#[derive(Clone, Default, Debug)]
struct Done {
    /// Number of the newest state on disk.
    saved: u64,
    /// Number of the newest state whose write failed, and why; none after a success.
    failed: Option<(u64, Text)>,
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Saver<T> {
    /// Takes the slots and starts the threads.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(slots: Slots<T>) -> Result<Self, SlotsError> {
        let threads = |source: io::Error| SlotsError::Io { what: "start", place: "the thread that saves state".into(), source };
        let (watchdog, trouble) = Watchdog::start("state not on disk", Arc::clone(&slots.clock)).map_err(threads)?;
        let (progress, done) = watch::channel(Done::default());
        let shared = Arc::new(Shared { queue: Mutex::new(Queue { newest: None, given: 0, closing: false }), wake: Condvar::new() });
        let own = Arc::clone(&shared);
        let work = move || own.run(slots, &watchdog, &progress);
        std::thread::Builder::new().name("saver".into()).spawn(work).map_err(threads)?;
        Ok(Self { shared, done, trouble })
    }

    /// Hands over a state; returns at once.
    pub fn save(&self, state: T) -> SaveTicket {
        let mut queue = self.shared.lock();
        queue.newest = Some(state);
        queue.given += 1;
        self.shared.wake.notify_one();
        SaveTicket { number: queue.given, done: self.done.clone() }
    }

    /// A line for the banner while the last write fails or hangs.
    #[must_use]
    pub fn trouble(&self) -> watch::Receiver<Option<Text>> {
        self.trouble.clone()
    }

    /// Ends the thread and frees the directory, at most `timeout` later.
    ///
    /// # Errors
    /// When the newest state is not on disk then.
    pub async fn close(self, timeout: Duration) -> Result<(), SaveError> {
        let (number, mut done) = (self.shared.lock().given, self.done.clone());
        drop(self);
        // The sender goes with the thread, after the slots.
        let ended = async { while done.changed().await.is_ok() {} };
        if tokio::time::timeout(timeout, ended).await.is_err() {
            return Err(SaveError::Slow(timeout));
        }
        let last = done.borrow();
        last.verdict(number).unwrap_or(Err(SaveError::Ended))
    }
}

impl<T> Drop for Saver<T> {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.wake.notify_one();
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Serialize + DeserializeOwned> Shared<T> {
    fn run(&self, mut slots: Slots<T>, watchdog: &Watchdog, progress: &watch::Sender<Done>) {
        loop {
            let idle = |q: &mut Queue<T>| q.newest.is_none() && !q.closing;
            let mut queue = self.wake.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
            let number = queue.given;
            let Some(state) = queue.newest.take() else { break };
            drop(queue);

            watchdog.begin();
            match slots.write(&state) {
                Ok(_) => {
                    watchdog.ok();
                    progress.send_modify(|done| *done = Done { saved: number, failed: None });
                }
                Err(error) => {
                    let why = match &error {
                        SlotsError::Io { source, .. } => plain(source),
                        other => other.to_string(),
                    };
                    watchdog.failed(why);
                    progress.send_modify(|done| done.failed = Some((number, Text::clean(&error.to_string()))));
                    let mut queue = self.lock();
                    queue.newest.get_or_insert(state);
                    let same = |q: &mut Queue<T>| q.given == number && !q.closing;
                    let (queue, _) = self.wake.wait_timeout_while(queue, RETRY, same).unwrap_or_else(PoisonError::into_inner);
                    if queue.closing && queue.given == number {
                        break;
                    }
                }
            }
        }
        drop(slots);
    }
}

impl Done {
    fn verdict(&self, number: u64) -> Option<Result<(), SaveError>> {
        if self.saved >= number {
            return Some(Ok(()));
        }
        self.failed.as_ref().filter(|(n, _)| *n >= number).map(|(_, why)| Err(SaveError::Failed(why.clone())))
    }
}

impl SaveTicket {
    /// Waits, but not longer than `timeout`: 20 ms for the way back.
    ///
    /// # Errors
    /// When it is not known to be on disk then; it is tried again all the same.
    pub async fn wait(self, timeout: Duration) -> Result<(), SaveError> {
        tokio::time::timeout(timeout, self).await.unwrap_or(Err(SaveError::Slow(timeout)))
    }
}

impl IntoFuture for SaveTicket {
    type Output = Result<(), SaveError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(mut self) -> Self::IntoFuture {
        Box::pin(async move {
            match self.done.wait_for(|done| done.verdict(self.number).is_some()).await {
                Ok(done) => done.verdict(self.number).unwrap_or(Err(SaveError::Ended)),
                Err(_) => Err(SaveError::Ended),
            }
        })
    }
}
