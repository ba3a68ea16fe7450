//! The journal on a thread of its own, for those who must not block.

use super::{Entry, Journal, JournalError, Receipt};
use crate::{
    clock::Clock,
    model::text::Text,
    watchdog::{Watchdog, plain},
};
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    time::Duration,
};
use tokio::sync::{oneshot, watch};

/// How many lines may wait for the disk.
const QUEUE: usize = 256;
/// How long after a failed write the next one is tried.
const RETRY: Duration = Duration::from_secs(1);

/// Appends without blocking the caller; clones share one thread, which ends with the last of them.
#[derive(Clone)]
pub struct JournalHandle {
    jobs: SyncSender<Job>,
    trouble: watch::Receiver<Option<Text>>,
    lost: Arc<watch::Sender<u64>>,
}

enum Job {
    /// A line, and who waits for it; nobody for one that is written when possible.
    Line(Box<Entry>, Option<oneshot::Sender<Result<Receipt, JournalError>>>),
    /// Answered when every line before it was tried.
    Flush(oneshot::Sender<Result<(), JournalError>>),
}

impl JournalHandle {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(journal: Journal, clock: Arc<dyn Clock>) -> Result<Self, JournalError> {
        let threads = |e| super::fault("start the thread of", journal.path())(e);
        let (watchdog, trouble) = Watchdog::start("journal not on disk", clock).map_err(threads)?;
        let (jobs, queue) = sync_channel(QUEUE);
        let lost = Arc::new(watch::Sender::new(0));
        let writer = Writer { journal: journal.clone(), watchdog, waiting: VecDeque::new(), lost: Arc::clone(&lost) };
        std::thread::Builder::new().name("journal".into()).spawn(move || writer.run(&queue)).map_err(threads)?;
        Ok(Self { jobs, trouble, lost })
    }

    /// Appends and waits until the line is on disk, after every line that was handed over before.
    ///
    /// # Errors
    /// See [`Journal::append`]; such a line is not tried again. Also when too many lines wait.
    pub async fn append(&self, entry: Entry) -> Result<Receipt, JournalError> {
        let (answer, answered) = oneshot::channel();
        self.hand_over(Job::Line(Box::new(entry), Some(answer)))?;
        answered.await.unwrap_or(Err(JournalError::Closed))
    }

    /// Appends while the caller goes on: for the way back. A line that cannot be written is tried
    /// again every second; meanwhile [`JournalHandle::trouble`] says so. Lines beyond 256 that wait
    /// are lost and counted by [`JournalHandle::lost`].
    pub fn append_detached(&self, entry: Entry) {
        if self.hand_over(Job::Line(Box::new(entry), None)).is_err() {
            self.lost.send_modify(|lost| *lost += 1);
        }
    }

    /// Waits until every line that was handed over is on disk, as before an exit.
    ///
    /// # Errors
    /// Why the oldest one that waits cannot be written.
    pub async fn flush(&self) -> Result<(), JournalError> {
        let (answer, answered) = oneshot::channel();
        self.hand_over(Job::Flush(answer))?;
        answered.await.unwrap_or(Err(JournalError::Closed))
    }

    /// A line for the banner while writing fails or hangs.
    #[must_use]
    pub fn trouble(&self) -> watch::Receiver<Option<Text>> {
        self.trouble.clone()
    }

    /// How many detached lines were lost.
    #[must_use]
    pub fn lost(&self) -> watch::Receiver<u64> {
        self.lost.subscribe()
    }

    fn hand_over(&self, job: Job) -> Result<(), JournalError> {
        self.jobs.try_send(job).map_err(|e| match e {
            TrySendError::Full(_) => JournalError::Full,
            TrySendError::Disconnected(_) => JournalError::Closed,
        })
    }
}

/// The thread's own state.
struct Writer {
    journal: Journal,
    watchdog: Watchdog,
    /// Detached lines that could not be written, oldest first.
    waiting: VecDeque<Box<Entry>>,
    lost: Arc<watch::Sender<u64>>,
}

impl Writer {
    fn run(mut self, queue: &Receiver<Job>) {
        loop {
            let job = if self.waiting.is_empty() {
                queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else if self.waiting.len() < QUEUE {
                queue.recv_timeout(RETRY)
            } else {
                // The queue behind this one fills up now, and whoever hands over is told.
                std::thread::sleep(RETRY);
                queue.try_recv().map_err(|_| RecvTimeoutError::Timeout)
            };
            // Lines keep their order: one fails if those before it do.
            let before = self.catch_up();
            match job {
                Ok(Job::Line(entry, Some(answer))) => {
                    let written = before.and_then(|()| self.write(&entry));
                    // Whoever waits is told, and the line is not tried again: nothing is outstanding.
                    if self.waiting.is_empty() {
                        self.watchdog.ok();
                    }
                    let _ = answer.send(written);
                }
                Ok(Job::Line(entry, None)) => {
                    if before.and_then(|()| self.write(&entry)).is_err_and(|e| self.may_work_later(&e)) {
                        self.waiting.push_back(entry);
                    }
                }
                Ok(Job::Flush(answer)) => drop(answer.send(before)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
    }

    fn catch_up(&mut self) -> Result<(), JournalError> {
        while let Some(entry) = self.waiting.pop_front() {
            if let Err(error) = self.write(&entry)
                && self.may_work_later(&error)
            {
                self.waiting.push_front(entry);
                return Err(error);
            }
        }
        Ok(())
    }

    fn write(&self, entry: &Entry) -> Result<Receipt, JournalError> {
        self.watchdog.begin();
        let written = self.journal.append(entry);
        match &written {
            Err(JournalError::Io { source, .. }) => self.watchdog.failed(plain(source)),
            Err(damaged @ JournalError::Damaged { .. }) => self.watchdog.failed(damaged.to_string()),
            _ if self.waiting.is_empty() => self.watchdog.ok(),
            _ => {}
        }
        written
    }

    /// A line that can never be written must not stand in the way of others.
    fn may_work_later(&self, error: &JournalError) -> bool {
        let may = matches!(error, JournalError::Io { .. } | JournalError::Damaged { .. });
        if !may {
            self.lost.send_modify(|lost| *lost += 1);
        }
        may
    }
}
