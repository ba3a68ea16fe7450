//! The port to whatever runs an application's versions: one file or folder per runtime.
//!
//! A runtime only watches, plans, applies and confirms. It never sleeps, retries or reconnects
//! itself: `supervise` wraps every source alike and says how it is connected as data.

pub mod argo;
pub mod host;
pub mod supervise;

use crate::model::{
    action::{Action, Observation, Outcome, Plan, Refusal},
    delta::Delta,
    event::LogLine,
    ident::{ActionId, Key},
    rollout::Rollout,
    text::Text,
    time::Time,
    wire::ActionRecord,
};
use futures::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};
use std::future::Future;
use tokio::sync::mpsc;

/// Reads and drives rollouts of one kind of place.
pub trait Runtime: Send + Sync + 'static {
    /// Changes from a full list on. Ends with the fault that ended it.
    fn watch(&self) -> impl Stream<Item = Result<Delta, Fault>> + Send + 'static;

    /// The exact calls for an action, with their guards, or why not. Pure.
    ///
    /// # Errors
    /// The refusal, complete enough to be shown.
    fn plan(&self, rollout: &Rollout, ask: &Ask) -> Result<Plan, Refusal>;

    /// Sends a plan. One whose answer was lost is [`Outcome::Unknown`]: it is not sent again.
    fn apply(&self, plan: &Plan) -> impl Future<Output = Outcome> + Send;

    /// What became of an action whose answer was lost. `None` says that the target has never heard of it:
    /// that nothing happened. Whoever sends actions to a target that keeps no record of them cannot say
    /// that, and answers a fault.
    ///
    /// # Errors
    /// When the target cannot be asked, or remembers no actions that it was sent.
    fn resolve(&self, id: &ActionId) -> impl Future<Output = Result<Option<ActionRecord>, Fault>> + Send;

    /// Whether an accepted plan is true now. Pure.
    fn confirm(&self, plan: &Plan, rollout: &Rollout) -> Observation;

    /// How it is connected again after it was lost.
    fn policy(&self) -> supervise::Policy {
        supervise::Policy::default()
    }

    /// This rollout is open, and no other: what belongs to it is worth looking at.
    fn focus(&self, _key: Option<&Key>) {}

    /// What the instances of a rollout print, from after line `after` (all that is kept without it) on.
    /// Nothing where the runtime has none. Ends with the fault that ended it.
    fn logs(&self, _key: &Key, _after: Option<u64>) -> impl Stream<Item = Result<LogLine, Fault>> + Send + 'static {
        futures::stream::empty()
    }
}

/// A stream of what `work` tells, and at last why it ended. Everything is done by whoever reads, and
/// nothing when nobody does.
pub fn driven(
    work: impl Future<Output = Fault> + Send + 'static,
    told: mpsc::Receiver<Delta>,
) -> impl Stream<Item = Result<Delta, Fault>> + Send + 'static {
    let told = stream::unfold(told, |mut told| async move { told.recv().await.map(|delta| (Ok(delta), told)) });
    stream::select(told, stream::once(work).map(Err))
}

/// What a person or script asks for, beside the verb.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ask {
    /// The verb.
    pub action: Action,
    /// The name to send it under.
    pub id: ActionId,
    /// Who asks, as they call themselves.
    pub name: Option<Text>,
    /// Why.
    pub reason: Option<Text>,
    /// Overrides a failed gate; needs a reason.
    pub force: bool,
    /// Only the fast way back is wanted.
    pub switch_only: bool,
}

/// Why a source ended or an answer is missing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "fault")]
pub enum Fault {
    /// Nobody answers there.
    #[error("cannot reach {place}: {why}")]
    Unreachable {
        /// Socket or address.
        place: Text,
        /// What the system says.
        why: Text,
    },
    /// Somebody answers and does not let us in.
    #[error("{place} denies access: {what}")]
    Denied {
        /// Socket or address.
        place: Text,
        /// What is missing.
        what: Text,
    },
    /// Nothing came for too long.
    #[error("{place} has been silent for {seconds} s")]
    Silent {
        /// Socket or address.
        place: Text,
        /// For how long.
        seconds: u64,
    },
    /// What came cannot be understood.
    #[error("{place} answers something else: {what}")]
    Protocol {
        /// Socket or address.
        place: Text,
        /// What.
        what: Text,
    },
    /// What is known of it does not lead there: its configuration is wrong.
    #[error("{place} cannot be used: {what}")]
    Unusable {
        /// Context or address.
        place: Text,
        /// What is wrong, and what to do.
        what: Text,
    },
    /// There is nothing to prove who we are with.
    #[error("no credential for {place}: {what}")]
    NoCredential {
        /// Context or address.
        place: Text,
        /// Why.
        what: Text,
    },
    /// It cannot prove that it is what we look for, or we cannot to it.
    #[error("{place} is not trusted: {why}")]
    Untrusted {
        /// Context or address.
        place: Text,
        /// Why.
        why: Text,
    },
    /// It does not have what we look for.
    #[error("{place} has no {what}")]
    Lacks {
        /// Context or address.
        place: Text,
        /// What.
        what: Text,
    },
    /// The source closed the stream.
    #[error("{place} closed the connection")]
    Closed {
        /// Socket or address.
        place: Text,
    },
}

impl Fault {
    /// What a person can do about it, if anything.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        let is_host = |place: &Text| place.as_str().starts_with('/');
        match self {
            Self::Unreachable { place, .. } | Self::Denied { place, .. } | Self::Protocol { place, .. } if !is_host(place) => None,
            Self::Unreachable { .. } => Some("is the host running? start it with `cutover host`, or try `cutover demo`"),
            Self::Denied { .. } => Some("run as the user who runs the host"),
            Self::Protocol { .. } => Some("is the host of another version?"),
            _ => None,
        }
    }
}

/// How a source is connected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Link {
    /// Not yet, or not any more.
    Connecting {
        /// How often it was tried.
        attempt: u32,
        /// When it is tried next.
        next_at: Time,
        /// Why the last attempt ended.
        last: Option<Fault>,
    },
    /// It is there.
    Live {
        /// Since when.
        since: Time,
    },
    /// It is there and silent for longer than expected.
    Stale {
        /// When it was heard last.
        since: Time,
    },
    /// It does not let us in; tried again all the same.
    Denied {
        /// What is missing.
        what: Text,
        /// Since when.
        since: Time,
    },
}
