//! Whether what runs is still what was sealed: metadata before every start, every byte when the host
//! starts and again in the background, at a limited rate.

use crate::{
    artifact::{Drift, Unpacked},
    clock::Clock,
    model::{digest::Digest, text::Text, time::Time},
};
use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{Arc, PoisonError, RwLock, mpsc},
    thread,
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Between two rounds of the background verification.
const BETWEEN_ROUNDS: Duration = Duration::from_secs(30);

/// How long it reads ahead of its rate before it pauses.
const PIECE: Duration = Duration::from_millis(500);

/// Unpacked artifacts in use, and what was found wrong with them. Cheap to clone.
#[derive(Clone)]
pub struct Watchman {
    shared: Arc<Shared>,
}

struct Shared {
    known: RwLock<BTreeMap<Digest, Known>>,
    changed: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
}

#[derive(Clone)]
struct Known {
    unpacked: Arc<Unpacked>,
    drift: Option<Text>,
    verified: Time,
}

impl Watchman {
    /// Nothing is under watch yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::new(Shared { known: RwLock::default(), changed: watch::Sender::new(0), clock }) }
    }

    /// Takes an artifact under watch; its bytes were verified just now.
    pub fn watch(&self, unpacked: Unpacked) -> Arc<Unpacked> {
        let unpacked = Arc::new(unpacked);
        let known = Known { unpacked: Arc::clone(&unpacked), drift: None, verified: self.shared.clock.now() };
        self.shared.known.write().unwrap_or_else(PoisonError::into_inner).insert(*unpacked.digest(), known);
        self.tell();
        unpacked
    }

    /// Its unpacked copy, if it is under watch.
    #[must_use]
    pub fn unpacked(&self, digest: &Digest) -> Option<Arc<Unpacked>> {
        self.shared.known.read().unwrap_or_else(PoisonError::into_inner).get(digest).map(|k| Arc::clone(&k.unpacked))
    }

    /// Lets go of artifacts that are no longer in use.
    pub fn retain(&self, keep: impl Fn(&Digest) -> bool) {
        self.shared.known.write().unwrap_or_else(PoisonError::into_inner).retain(|d, _| keep(d));
    }

    /// Lets go of copies that drifted and that nothing uses any more: the next deploy of such an
    /// artifact makes a fresh copy.
    pub fn forget_drifted(&self, in_use: impl Fn(&Digest) -> bool) {
        self.shared.known.write().unwrap_or_else(PoisonError::into_inner).retain(|d, known| known.drift.is_none() || in_use(d));
    }

    /// What was found wrong, if something was: `` `bin/serve` has other bytes than were sealed``.
    #[must_use]
    pub fn drift(&self, digest: &Digest) -> Option<Text> {
        self.shared.known.read().unwrap_or_else(PoisonError::into_inner).get(digest).and_then(|k| k.drift.clone())
    }

    /// Moves with everything that is found out about a copy.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// For the start of an instance: what was found before, else the metadata of every file now.
    ///
    /// # Errors
    /// The drift in one line.
    pub fn verify(&self, digest: &Digest) -> Result<(), Text> {
        if let Some(drift) = self.drift(digest) {
            return Err(drift);
        }
        let unpacked = self.unpacked(digest).ok_or_else(|| Text::from("its artifact is not unpacked"))?;
        unpacked.verify_stat().map_err(|drift| self.found(&unpacked, &drift))
    }

    fn found(&self, unpacked: &Arc<Unpacked>, drift: &Drift) -> Text {
        let what = Text::from(drift.to_string());
        // A fresh copy that was made meanwhile is another one.
        if let Some(known) = self.shared.known.write().unwrap_or_else(PoisonError::into_inner).get_mut(unpacked.digest())
            && Arc::ptr_eq(&known.unpacked, unpacked)
        {
            known.drift = Some(what.clone());
        }
        self.tell();
        what
    }

    /// Wakes whoever waits for news of copies.
    pub fn tell(&self) {
        self.shared.changed.send_modify(|n| *n += 1);
    }

    /// Reads all bytes of everything under watch every half minute, at most `rate` bytes a second, until
    /// cancelled. Must be called within the runtime.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn patrol(&self, rate: u64, cancel: CancellationToken) -> std::io::Result<()> {
        let watchman = self.clone();
        let (running, ended) = mpsc::channel::<()>();
        thread::Builder::new().name("patrol".into()).spawn(move || {
            let mut walk = Walk { ended, rate: rate.max(1), owed: Duration::ZERO };
            while walk.pause(BETWEEN_ROUNDS).is_continue() {
                watchman.round(&mut walk);
            }
        })?;
        tokio::spawn(async move {
            cancel.cancelled().await;
            drop(running);
        });
        Ok(())
    }

    fn round(&self, walk: &mut Walk) {
        let all: Vec<Arc<Unpacked>> = {
            let known = self.shared.known.read().unwrap_or_else(PoisonError::into_inner);
            // Drift stays drift, whatever the bytes are by now.
            known.values().filter(|k| k.drift.is_none()).map(|k| Arc::clone(&k.unpacked)).collect()
        };
        for unpacked in all {
            match unpacked.verify_bytes_until(&mut |bytes| walk.pace(bytes)) {
                Ok(ControlFlow::Break(())) => return,
                Ok(ControlFlow::Continue(())) => {
                    if let Some(known) = self.shared.known.write().unwrap_or_else(PoisonError::into_inner).get_mut(unpacked.digest()) {
                        known.verified = self.shared.clock.now();
                    }
                    self.tell();
                }
                // The copy may have been let go meanwhile; then nobody starts from it.
                Err(drift) => {
                    let what = self.found(&unpacked, &drift);
                    tracing::error!(artifact = %unpacked.digest(), "drift: {what}");
                }
            }
        }
    }

    /// When all its bytes were verified last.
    #[must_use]
    pub fn verified_at(&self, digest: &Digest) -> Option<Time> {
        self.shared.known.read().unwrap_or_else(PoisonError::into_inner).get(digest).map(|k| k.verified)
    }
}

/// Sleeps in few, long pieces: every one wakes the machine.
struct Walk {
    /// Closed when the host ends.
    ended: mpsc::Receiver<()>,
    /// Bytes a second.
    rate: u64,
    /// What was read faster than that.
    owed: Duration,
}

impl Walk {
    fn pace(&mut self, bytes: u64) -> ControlFlow<()> {
        self.owed += Duration::from_micros(bytes.saturating_mul(1_000_000) / self.rate);
        if self.owed < PIECE {
            return self.pause(Duration::ZERO);
        }
        let owed = std::mem::take(&mut self.owed);
        self.pause(owed)
    }

    /// `Break` at once when the host ends.
    fn pause(&self, span: Duration) -> ControlFlow<()> {
        match self.ended.recv_timeout(span) {
            Err(mpsc::RecvTimeoutError::Timeout) => ControlFlow::Continue(()),
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => ControlFlow::Break(()),
        }
    }
}
