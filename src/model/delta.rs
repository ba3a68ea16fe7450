//! Changes of what is known of a target, in the order they happened. It is also one line of the
//! host's `GET /v1/watch`.

use super::{
    event::{Event, FailedRequest},
    history::{History, Point},
    ident::{Key, Rev, TargetId, VersionId},
    rollout::Rollout,
    time::Time,
};
use serde::{Deserialize, Serialize};

/// One change.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "delta")]
pub enum Delta {
    /// A full list follows, up to [`Delta::InitDone`]; what it does not name is gone.
    Init {
        /// Version of the wire format: 1.
        version: u32,
        /// See [`Seen::epoch`](super::rollout::Seen::epoch).
        epoch: u64,
        /// The source's clock.
        server_time: Time,
    },
    /// The full list is complete.
    InitDone {
        /// The revision it shows.
        rev: Rev,
    },
    /// A rollout as it is now.
    Apply {
        /// The whole of it.
        rollout: Box<Rollout>,
    },
    /// A rollout is gone.
    Delete {
        /// Which.
        key: Key,
    },
    /// A version's past, sent once.
    History {
        /// Of which rollout.
        key: Key,
        /// Of which version.
        version: VersionId,
        /// All of it.
        history: History,
    },
    /// The second that just ended.
    Point {
        /// Of which rollout.
        key: Key,
        /// Of which version.
        version: VersionId,
        /// What was counted.
        point: Point,
    },
    /// Things that happened.
    Events {
        /// To which rollout.
        key: Key,
        /// Oldest first.
        events: Vec<Event>,
    },
    /// The last failed requests of a version, all that are kept.
    Failed {
        /// Of which rollout.
        key: Key,
        /// Of which version.
        version: VersionId,
        /// Oldest first, at most 50.
        requests: Vec<FailedRequest>,
    },
    /// Nothing else changed; the source is there. At least every second.
    Heartbeat {
        /// The source's clock.
        server_time: Time,
        /// The revision that is current.
        rev: Rev,
    },
}

impl Delta {
    /// The same change of the target that we call so, whatever it calls itself.
    #[must_use]
    pub fn of(mut self, target: &TargetId) -> Self {
        match &mut self {
            Self::Apply { rollout } => rollout.key.target = target.clone(),
            Self::Delete { key }
            | Self::History { key, .. }
            | Self::Point { key, .. }
            | Self::Events { key, .. }
            | Self::Failed { key, .. } => key.target = target.clone(),
            Self::Init { .. } | Self::InitDone { .. } | Self::Heartbeat { .. } => {}
        }
        self
    }
}
