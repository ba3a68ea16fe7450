//! Nothing is sent before its intent is on disk; only the way back goes out while its line is written.

use super::Ledger;
use crate::{
    journal::Entry,
    model::{
        action::{Action, Observation, Outcome, Plan, Refusal},
        delta::Delta,
        event::LogLine,
        ident::{ActionId, Key},
        rollout::Rollout,
        wire::ActionRecord,
    },
    run::port::Port,
    runtime::{Ask, Fault, supervise::Policy},
};
use futures::{future::BoxFuture, stream::BoxStream};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Intents that wait for the action they belong to. Cheap to clone.
#[derive(Clone, Default)]
pub struct Intents(Arc<Mutex<HashMap<ActionId, Entry>>>);

impl Intents {
    /// Remembers the intent of an action that is sent next.
    pub fn put(&self, id: ActionId, intent: Entry) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, intent);
    }

    fn take(&self, id: &ActionId) -> Option<Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }
}

/// A runtime whose actions are journaled before they are sent.
pub struct Journaled {
    /// The runtime.
    pub inner: Arc<dyn Port>,
    /// The journal.
    pub journal: Ledger,
    /// Where the intents are.
    pub intents: Intents,
}

impl Port for Journaled {
    fn policy(&self) -> Policy {
        self.inner.policy()
    }

    fn watch(&self) -> BoxStream<'static, Result<Delta, Fault>> {
        self.inner.watch()
    }

    fn plan(&self, rollout: &Rollout, ask: &Ask) -> Result<Plan, Refusal> {
        self.inner.plan(rollout, ask)
    }

    fn apply(self: Arc<Self>, plan: Plan) -> BoxFuture<'static, Outcome> {
        Box::pin(async move {
            let intent = self.intents.take(&plan.id);
            let back = matches!(plan.action, Action::Back { .. });
            match intent {
                Some(intent) if back => self.journal.append_detached(intent),
                Some(intent) => {
                    if let Err(e) = self.journal.append(intent).await {
                        let why = format!("nothing was sent: {e}").into();
                        return Outcome::Refused { refusal: Refusal::NotNow { why } };
                    }
                }
                None => {}
            }
            Arc::clone(&self.inner).apply(plan).await
        })
    }

    fn resolve(self: Arc<Self>, id: ActionId) -> BoxFuture<'static, Result<Option<ActionRecord>, Fault>> {
        Arc::clone(&self.inner).resolve(id)
    }

    fn confirm(&self, plan: &Plan, rollout: &Rollout) -> Observation {
        self.inner.confirm(plan, rollout)
    }

    fn focus(&self, key: Option<&Key>) {
        self.inner.focus(key);
    }

    fn logs(&self, key: &Key, after: Option<u64>) -> BoxStream<'static, Result<LogLine, Fault>> {
        self.inner.logs(key, after)
    }
}
