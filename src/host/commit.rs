//! On disk before it takes effect; the way back waits for the disk at most 20 ms.

use super::{
    slots::{SaveError, Saver},
    state::HostState,
};
use crate::model::{
    text::Text,
    wire::{ActionRecord, ApiError},
};
use futures::future::BoxFuture;
use std::time::Duration;
use tokio::sync::oneshot;

/// The way back takes effect after this long whatever the disk does.
pub const BACK_WAITS: Duration = Duration::from_millis(20);

/// Everything else is given up after this long, and nothing of it was done.
const OTHERS_WAIT: Duration = Duration::from_secs(5);

/// What whoever asked is told.
pub type Reply = Result<ActionRecord, Box<Refused>>;

/// An answer that is not 2xx.
#[derive(Debug)]
pub struct Refused {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub error: ApiError,
}

impl Refused {
    /// A refusal of one line.
    #[must_use]
    pub fn new(status: u16, message: impl Into<Text>) -> Box<Self> {
        Box::new(Self { status, error: ApiError { message: message.into(), refusal: None, rollout: None } })
    }
}

/// Somebody who waits for an answer, and the answer they get when it is on disk.
pub struct Waiting {
    /// Whoever asked.
    pub reply: oneshot::Sender<Reply>,
    /// The answer.
    pub record: ActionRecord,
}

/// A state on its way to the disk.
pub struct Pending {
    /// What takes effect then.
    pub next: HostState,
    /// Who waits for it; nobody when the plan moved by itself.
    pub waiting: Option<Waiting>,
    // Made once: a future made anew at every turn would start its time-out anew.
    written: BoxFuture<'static, Result<(), SaveError>>,
}

impl Pending {
    /// Hands the state to the disk.
    pub fn start(saver: &Saver<HostState>, next: HostState, waiting: Option<Waiting>) -> Self {
        let written = Box::pin(saver.save(next.clone()).wait(OTHERS_WAIT));
        Self { next, waiting, written }
    }

    /// Until it is on disk, or will not be. Safe to be dropped and called again.
    ///
    /// # Errors
    /// What went wrong; nothing must take effect then.
    pub async fn settled(&mut self) -> Result<(), SaveError> {
        (&mut self.written).await
    }
}
