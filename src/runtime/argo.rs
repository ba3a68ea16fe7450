//! Argo Rollouts, through the Kubernetes API of a cluster.
//!
//! ```text
//! connect   kubeconfig, credential, client: nothing happens before the first request
//! watch     lists and watches of what is needed, each mending itself → objects, as text
//! objects   slim types of them, tolerant of older and newer clusters
//! store     the objects that are known, joined by what controls them
//! project   what they mean → rollouts;  findings: what no status word says
//! plan      the way back, to be looked at
//! ```
//!
//! It is looked at only: nothing is ever written.

pub mod connect;
pub mod findings;
pub mod kind;
pub mod objects;
mod plan;
pub mod project;
pub mod store;
pub mod time;
pub mod watch;

use super::{Ask, Fault, Runtime, driven, supervise::Policy};
use crate::{
    clock::Clock,
    model::{
        action::{Observation, Outcome, Plan, Refusal},
        delta::Delta,
        ident::{ActionId, Key, TargetId},
        rollout::Rollout,
        text::Text,
        wire::ActionRecord,
    },
};
use connect::{Session, Settings};
use futures::Stream;
use std::{
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{mpsc, watch::Sender};
use watch::{
    Name, Objects, Watch,
    feed::{Patience, signs::Signs},
    once::once,
};

/// Deltas that wait to be taken.
const DELTAS: usize = 256;

/// What objects are understood by.
pub type Known = store::Store;

/// One cluster, or some namespaces of it.
pub struct ArgoRuntime<O = Known> {
    session: Arc<Session>,
    open: Sender<Option<Name>>,
    epoch: AtomicU64,
    patience: Patience,
    /// Outlives every connection.
    signs: Arc<Signs>,
    place: Text,
    objects: PhantomData<fn() -> O>,
}

impl<O: Objects> ArgoRuntime<O> {
    /// Nothing is read, run or connected yet.
    #[must_use]
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Self {
        // Each start of a source has a number that none before it had, also in an earlier process.
        let epoch = AtomicU64::new(u64::try_from(clock.now().timestamp_millis()).unwrap_or_default());
        let place = settings.place();
        let session = Arc::new(Session::new(settings, clock));
        Self { session, open: Sender::new(None), epoch, patience: Patience::default(), signs: Arc::default(), place, objects: PhantomData }
    }

    /// With another patience.
    #[must_use]
    pub const fn patient(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// What the configuration calls it.
    #[must_use]
    pub fn target(&self) -> &TargetId {
        &self.session.settings().target
    }

    /// Its context, for faults and messages.
    #[must_use]
    pub const fn place(&self) -> &Text {
        &self.place
    }

    /// Every rollout as it is now, with everything that belongs to it: for the command line.
    ///
    /// # Errors
    /// When rollouts cannot be listed.
    pub async fn rollouts(&self) -> Result<Vec<Rollout>, Fault> {
        once::<O>(&self.session).await
    }
}

impl<O: Objects> Runtime for ArgoRuntime<O> {
    fn watch(&self) -> impl Stream<Item = Result<Delta, Fault>> + Send + 'static {
        let epoch = self.epoch.fetch_add(1, Ordering::Relaxed);
        let (out, deltas) = mpsc::channel(DELTAS);
        let how = (self.patience, Arc::clone(&self.signs));
        let watch = Watch::<O>::new(Arc::clone(&self.session), self.open.subscribe(), how, epoch, out);
        driven(watch.run(), deltas)
    }

    /// Bookmarks come every minute: before that, silence means nothing. Time limits of our own are shorter.
    fn policy(&self) -> Policy {
        Policy { stale: Duration::from_secs(120), silent: Duration::from_secs(240), ..Policy::default() }
    }

    fn plan(&self, rollout: &Rollout, ask: &Ask) -> Result<Plan, Refusal> {
        plan::plan(rollout, ask)
    }

    /// Nothing is sent.
    async fn apply(&self, _plan: &Plan) -> Outcome {
        Outcome::Refused { refusal: Refusal::ReadOnly }
    }

    /// Nothing was ever sent.
    async fn resolve(&self, _id: &ActionId) -> Result<Option<ActionRecord>, Fault> {
        Ok(None)
    }

    fn confirm(&self, _plan: &Plan, _rollout: &Rollout) -> Observation {
        Observation::Pending { missing: Refusal::ReadOnly.to_string().into() }
    }

    fn focus(&self, key: Option<&Key>) {
        let name = key.map(|key| Name {
            namespace: key.scope.last().map(|ns| ns.as_str().to_owned()).unwrap_or_default(),
            name: key.service.as_str().to_owned(),
        });
        self.open.send_if_modified(|open| {
            let other = *open != name;
            *open = name;
            other
        });
    }
}
