//! The embedded host as a runtime: a client of its control API over its Unix socket.
//!
//! It keeps no state: what it knows of a rollout it is handed. `plan` decides and words, `confirm`
//! compares, `client` talks.

pub mod client;
pub mod confirm;
pub mod plan;
pub mod seat;

use super::{Ask, Fault, Runtime, supervise::Policy};
use crate::{
    clock::Clock,
    model::{
        action::{Observation, Outcome, Plan, Refusal},
        delta::Delta,
        event::LogLine,
        ident::{ActionId, Key, Role, TargetId},
        rollout::Rollout,
        text::{Raw, Text},
        wire::{ActionRecord, ApiError, DeployRequest},
    },
};
use client::Client;
use futures::{Stream, StreamExt};
use seat::Seat;
use std::{path::PathBuf, sync::Arc, time::Duration};

/// One host.
#[derive(Clone)]
pub struct HostRuntime {
    target: TargetId,
    client: Client,
    seat: Option<Seat>,
}

impl HostRuntime {
    /// The host that listens on this socket; nothing is connected yet.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(target: TargetId, socket: PathBuf, clock: Arc<dyn Clock>) -> Result<Self, Fault> {
        Ok(Self { target, client: Client::new(socket, clock)?, seat: None })
    }

    /// As a console, whose watch other consoles are told of.
    #[must_use]
    pub fn seated(self, seat: Seat) -> Self {
        Self { seat: Some(seat), ..self }
    }

    /// What the configuration calls it.
    #[must_use]
    pub const fn target(&self) -> &TargetId {
        &self.target
    }

    /// Its socket, for faults and messages.
    #[must_use]
    pub const fn place(&self) -> &Text {
        self.client.place()
    }

    /// Every rollout as it is now, in one answer: for the command line.
    ///
    /// # Errors
    /// When the host cannot be asked.
    pub async fn rollouts(&self) -> Result<Vec<Rollout>, Fault> {
        let mut rollouts = self.client.rollouts().await?;
        for rollout in &mut rollouts {
            rollout.key.target = self.target.clone();
        }
        Ok(rollouts)
    }

    /// What instances print: for the command line. Ends with what is there, or follows.
    pub fn log_lines(&self, asked: &LogAsk) -> impl Stream<Item = Result<LogLine, Fault>> + Send + use<> {
        self.client.log_lines(asked)
    }

    /// Starts a rollout, or says why not.
    ///
    /// # Errors
    /// The host's refusal, or why it could not be asked.
    pub async fn deploy(&self, request: &DeployRequest) -> Result<ActionRecord, Refused> {
        self.client.deploy(request).await
    }
}

/// Which lines of instances are wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogAsk {
    /// Of which service.
    pub service: Raw,
    /// Of which version only, by what it was when it printed.
    pub track: Option<Role>,
    /// At most so many of those that are there.
    pub last: Option<usize>,
    /// Whether what comes is wanted, too.
    pub follow: bool,
}

/// Why a request that is no action was not carried out.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum Refused {
    /// The host said no.
    #[error("{}", .0.message)]
    Said(Box<ApiError>),
    /// It could not be asked, or its answer was lost.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Runtime for HostRuntime {
    fn watch(&self) -> impl Stream<Item = Result<Delta, Fault>> + Send + 'static {
        let target = self.target.clone();
        let deltas = match &self.seat {
            Some(seat) => seat.clone().watch(self.client.clone(), self.client.watch(&seat.query())).boxed(),
            None => self.client.watch(&[]).boxed(),
        };
        deltas.map(move |delta| delta.map(|d| d.of(&target)))
    }

    fn focus(&self, key: Option<&Key>) {
        if let Some(seat) = &self.seat {
            seat.opens(key.filter(|key| key.target == self.target).map(|key| &key.service));
        }
    }

    /// A socket on this machine costs nothing to try.
    fn policy(&self) -> Policy {
        Policy { longest: Duration::from_secs(2), ..Policy::default() }
    }

    fn plan(&self, rollout: &Rollout, ask: &Ask) -> Result<Plan, Refusal> {
        plan::plan(rollout, ask)
    }

    async fn apply(&self, plan: &Plan) -> Outcome {
        self.client.apply(plan).await
    }

    async fn resolve(&self, id: &ActionId) -> Result<Option<ActionRecord>, Fault> {
        self.client.resolve(id).await
    }

    fn confirm(&self, plan: &Plan, rollout: &Rollout) -> Observation {
        confirm::confirm(plan, rollout)
    }

    fn logs(&self, key: &Key, after: Option<u64>) -> impl Stream<Item = Result<LogLine, Fault>> + Send + 'static {
        self.client.logs(key, after)
    }
}
