//! What the host's control API takes and gives, beside [`Delta`](super::delta::Delta).
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /v1/watch?console=&name=` | – | NDJSON of `Delta` |
//! | `PUT /v1/presence` | [`LookRequest`] | – |
//! | `GET /v1/rollouts` | – | `Vec<Rollout>` |
//! | `GET /v1/logs?service=&track=&after=&last=&follow=` | – | NDJSON of `LogLine` |
//! | `POST /v1/actions` | [`ActionRequest`] | [`ActionRecord`] |
//! | `GET /v1/actions/{id}` | – | [`ActionRecord`] |
//! | `POST /v1/deploy` | [`DeployRequest`] | [`ActionRecord`] |
//! | `GET /metrics` | – | Prometheus text |
//!
//! Every refusal is an [`ApiError`]: 400 bad request, 403 denied, 404 unknown, 409 moved or not now.

use super::{
    action::{Action, Belief, Outcome, Refusal},
    digest::Digest,
    ident::{ActionId, RunId},
    rollout::Rollout,
    text::{Raw, Text},
    time::Time,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `POST /v1/actions`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ActionRequest {
    /// Made by the client; a second request with it does nothing and gets the first one's record.
    pub id: ActionId,
    /// What to do.
    pub action: Action,
    /// What was believed.
    pub belief: Belief,
    /// The person's own name for themselves; the kernel's user is added by the host.
    #[serde(default)]
    pub name: Option<Text>,
    /// Why.
    #[serde(default)]
    pub reason: Option<Text>,
    /// Overrides a failed gate; needs a reason.
    #[serde(default)]
    pub force: bool,
    /// Only the fast way back is wanted.
    #[serde(default)]
    pub switch_only: bool,
}

/// `PUT /v1/presence`: what a console that watches has open.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LookRequest {
    /// The console, as it named itself when it began to watch.
    pub console: Raw,
    /// The service that is open; none on the fleet's screen.
    #[serde(default)]
    pub service: Option<Raw>,
}

/// `POST /v1/deploy`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DeployRequest {
    /// Made by the client.
    pub id: ActionId,
    /// Which service of the host's configuration.
    pub service: Raw,
    /// Which artifact.
    pub artifact: Digest,
    /// Whether a rollout in progress goes back first instead of refusing this one.
    #[serde(default)]
    pub replace: bool,
    /// An OCI image layout to take it from; the host's own store when absent.
    #[serde(default)]
    pub layout: Option<PathBuf>,
    /// The person's own name for themselves.
    #[serde(default)]
    pub name: Option<Text>,
    /// Why.
    #[serde(default)]
    pub reason: Option<Text>,
}

/// What became of an action or a deploy.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ActionRecord {
    /// Its name.
    pub id: ActionId,
    /// Whoever asked: the kernel's user and, in brackets, the claimed name.
    pub by: Text,
    /// Which run it belongs to, or started.
    #[serde(default)]
    pub run: Option<RunId>,
    /// What was answered.
    pub outcome: Outcome,
    /// When it was answered.
    pub at: Time,
}

/// Every answer that is not 2xx.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ApiError {
    /// One line: what, where, what to do.
    pub message: Text,
    /// Set when an action was refused.
    #[serde(default)]
    pub refusal: Option<Refusal>,
    /// Every failure, where several things were looked at: one line each.
    #[serde(default)]
    pub failures: Vec<Text>,
    /// The fresh state, so that whoever was refused can look again.
    #[serde(default)]
    pub rollout: Option<Box<Rollout>>,
}
