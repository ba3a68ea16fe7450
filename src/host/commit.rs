//! On disk before it takes effect; the way back waits for the disk at most 20 ms.

use super::{
    deploy::Prepared,
    slots::{SaveError, Saver},
    state::HostState,
};
use crate::model::{
    action::{Action, Refusal},
    ident::ActionId,
    text::Text,
    wire::{ActionRecord, ActionRequest, ApiError, DeployRequest},
};
use futures::future::BoxFuture;
use std::time::Duration;
use tokio::{sync::oneshot, time::Instant};

/// The way back takes effect after this long whatever the disk does.
pub const BACK_WAITS: Duration = Duration::from_millis(20);

/// Everything else is given up this long after it was asked for, and nothing of it was done.
pub const OTHERS_WAIT: Duration = Duration::from_secs(5);

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
        Box::new(Self { status, error: ApiError { message: message.into(), refusal: None, failures: Vec::new(), rollout: None } })
    }

    /// What was looked at before a deploy is not as it must be: nothing was started.
    #[must_use]
    pub fn preflight(failures: Vec<Text>) -> Box<Self> {
        let all: Vec<&str> = failures.iter().map(Text::as_str).collect();
        let message = Text::from(format!("preflight: {}", all.join("; ")));
        let refusal = Some(Refusal::NotNow { why: message.clone() });
        Box::new(Self { status: 409, error: ApiError { message, refusal, failures, rollout: None } })
    }

    /// A refusal that clients understand.
    #[must_use]
    pub fn refusal(status: u16, refusal: Refusal) -> Box<Self> {
        Box::new(Self {
            status,
            error: ApiError { message: refusal.to_string().into(), refusal: Some(refusal), rollout: None, failures: Vec::new() },
        })
    }
}

/// What somebody asked for.
pub enum What {
    /// To do something to a rollout.
    Act(ActionRequest),
    /// To start one, with what was prepared for it.
    Deploy(DeployRequest, Box<Prepared>),
}

/// Somebody who asked for something and waits for an answer.
pub struct Order {
    /// What for.
    pub what: What,
    /// Who.
    pub by: Text,
    /// For the answer.
    pub reply: oneshot::Sender<Reply>,
    /// It is refused if it is not on disk then.
    pub until: Instant,
}

impl Order {
    /// The client's name for it.
    #[must_use]
    pub const fn id(&self) -> &ActionId {
        match &self.what {
            What::Act(request) => &request.id,
            What::Deploy(request, _) => &request.id,
        }
    }

    /// Whether it waits for nobody.
    #[must_use]
    pub const fn is_way_back(&self) -> bool {
        matches!(&self.what, What::Act(ActionRequest { action: Action::Back { .. }, .. }))
    }
}

/// Somebody who gets this answer when it is on disk.
pub struct Waiting {
    /// Who waits, and what for.
    pub order: Order,
    /// The answer.
    pub record: ActionRecord,
}

/// A state on its way to the disk.
pub struct Pending {
    /// What takes effect then.
    pub next: HostState,
    /// Who waits for it; nobody when the plan moved by itself.
    pub waiting: Option<Waiting>,
    /// Whether it takes effect even if it is not on disk in time: a way back.
    pub anyway: bool,
    // Made once: a future made anew at every turn would start its time-out anew.
    written: BoxFuture<'static, Result<(), SaveError>>,
}

impl Pending {
    /// Hands the state to the disk; what is not there in time must not take effect.
    pub fn start(saver: &Saver<HostState>, next: HostState, waiting: Option<Waiting>) -> Self {
        let now = Instant::now();
        let wait = waiting.as_ref().map_or(OTHERS_WAIT, |w| w.order.until.saturating_duration_since(now));
        Self::new(saver, next, waiting, false, wait)
    }

    /// Hands a way back to the disk, which has 20 ms.
    pub fn way_back(saver: &Saver<HostState>, next: HostState, waiting: Option<Waiting>) -> Self {
        Self::new(saver, next, waiting, true, BACK_WAITS)
    }

    fn new(saver: &Saver<HostState>, mut next: HostState, waiting: Option<Waiting>, anyway: bool, wait: Duration) -> Self {
        next.trim();
        let written = Box::pin(saver.save(next.clone()).wait(wait));
        Self { next, waiting, anyway, written }
    }

    /// Until it is on disk, or will not be in time. Safe to be dropped and called again.
    ///
    /// # Errors
    /// What went wrong.
    pub async fn settled(&mut self) -> Result<(), SaveError> {
        (&mut self.written).await
    }
}
