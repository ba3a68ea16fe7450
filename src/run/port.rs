//! Any runtime, behind one type.

use crate::{
    model::{
        action::{Observation, Outcome, Plan, Refusal},
        delta::Delta,
        event::LogLine,
        ident::{ActionId, Key, TargetId},
        rollout::Rollout,
        text::Text,
        wire::ActionRecord,
    },
    runtime::{Ask, Fault, Runtime, supervise::Policy},
};
use futures::{StreamExt, future::BoxFuture, stream::BoxStream};
use std::sync::Arc;

/// A target and the runtime that reaches it.
#[derive(Clone)]
pub struct Place {
    /// The target.
    pub target: TargetId,
    /// Its socket or address, for faults.
    pub name: Text,
    /// How it is reached.
    pub port: Arc<dyn Port>,
}

/// [`Runtime`] as a trait object.
pub trait Port: Send + Sync {
    /// See [`Runtime::policy`].
    fn policy(&self) -> Policy;
    /// See [`Runtime::watch`].
    fn watch(&self) -> BoxStream<'static, Result<Delta, Fault>>;
    /// See [`Runtime::plan`].
    ///
    /// # Errors
    /// See [`Runtime::plan`].
    fn plan(&self, rollout: &Rollout, ask: &Ask) -> Result<Plan, Refusal>;
    /// See [`Runtime::apply`].
    fn apply(self: Arc<Self>, plan: Plan) -> BoxFuture<'static, Outcome>;
    /// See [`Runtime::resolve`].
    fn resolve(self: Arc<Self>, id: ActionId) -> BoxFuture<'static, Result<Option<ActionRecord>, Fault>>;
    /// See [`Runtime::confirm`].
    fn confirm(&self, plan: &Plan, rollout: &Rollout) -> Observation;
    /// See [`Runtime::focus`].
    fn focus(&self, key: Option<&Key>);
    /// See [`Runtime::logs`].
    fn logs(&self, key: &Key, after: Option<u64>) -> BoxStream<'static, Result<LogLine, Fault>>;
}

impl<R: Runtime> Port for R {
    fn policy(&self) -> Policy {
        Runtime::policy(self)
    }

    fn watch(&self) -> BoxStream<'static, Result<Delta, Fault>> {
        Runtime::watch(self).boxed()
    }

    fn plan(&self, rollout: &Rollout, ask: &Ask) -> Result<Plan, Refusal> {
        Runtime::plan(self, rollout, ask)
    }

    fn apply(self: Arc<Self>, plan: Plan) -> BoxFuture<'static, Outcome> {
        Box::pin(async move { Runtime::apply(&*self, &plan).await })
    }

    fn resolve(self: Arc<Self>, id: ActionId) -> BoxFuture<'static, Result<Option<ActionRecord>, Fault>> {
        Box::pin(async move { Runtime::resolve(&*self, &id).await })
    }

    fn confirm(&self, plan: &Plan, rollout: &Rollout) -> Observation {
        Runtime::confirm(self, plan, rollout)
    }

    fn focus(&self, key: Option<&Key>) {
        Runtime::focus(self, key);
    }

    fn logs(&self, key: &Key, after: Option<u64>) -> BoxStream<'static, Result<LogLine, Fault>> {
        Runtime::logs(self, key, after).boxed()
    }
}
