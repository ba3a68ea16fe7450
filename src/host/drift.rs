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
    sync::{Arc, PoisonError, RwLock},
    thread,
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

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

    /// Reads all bytes of everything under watch again and again, `rate` bytes a second, until cancelled.
    pub fn patrol(&self, rate: u64, cancel: CancellationToken) -> std::io::Result<()> {
        let watchman = self.clone();
        thread::Builder::new().name("patrol".into()).spawn(move || {
            while !cancel.is_cancelled() {
                watchman.round(rate.max(1), &cancel);
                pause(Duration::from_secs(5), &cancel);
            }
        })?;
        Ok(())
    }

    fn round(&self, rate: u64, cancel: &CancellationToken) {
        let all: Vec<Arc<Unpacked>> = {
            let known = self.shared.known.read().unwrap_or_else(PoisonError::into_inner);
            // Drift stays drift, whatever the bytes are by now.
            known.values().filter(|k| k.drift.is_none()).map(|k| Arc::clone(&k.unpacked)).collect()
        };
        for unpacked in all {
            let mut pace = |bytes: u64| {
                pause(Duration::from_millis(bytes.saturating_mul(1_000) / rate), cancel);
                if cancel.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            match unpacked.verify_bytes_until(&mut pace) {
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

/// Sleeps in short pieces, so that the host can end at once.
fn pause(span: Duration, cancel: &CancellationToken) {
    let mut left = span;
    while !left.is_zero() && !cancel.is_cancelled() {
        let piece = left.min(Duration::from_millis(100));
        thread::sleep(piece);
        left -= piece;
    }
}
