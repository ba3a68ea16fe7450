//! Whether secrets are still there and what they were when the instances started. Only hashes.

use super::instances::Instances;
use crate::{
    conductor::life::{Deployed, PoolId},
    model::{
        digest::Digest,
        text::Text,
        time::{Time, elapsed},
    },
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How often a pool's secrets are looked at.
const EVERY: Duration = Duration::from_secs(10);

/// What was found last, by pool. Cheap to clone.
#[derive(Clone, Default)]
pub struct SecretCheck(Arc<Mutex<BTreeMap<PoolId, Found>>>);

/// What was found of one pool's secrets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Their hash now, or which is missing.
    pub hash: Result<Option<Digest>, Text>,
    /// When they were looked at.
    pub at: Time,
}

impl SecretCheck {
    /// Looks at a pool's secrets in the background, if it was not done lately.
    pub fn look(&self, instances: &Instances, deployed: &Deployed, now: Time) {
        if deployed.spec.secrets.is_empty() || self.found(&deployed.pool()).is_some_and(|f| elapsed(now, f.at) < EVERY) {
            return;
        }
        let (pool, runtime) = (deployed.pool(), deployed.spec.runtime());
        // Noted before it is known, so that a slow file is not asked for again every second.
        let before = self.found(&pool).map_or(Ok(None), |f| f.hash);
        self.note(pool.clone(), Found { hash: before, at: now });
        let (own, instances) = (self.clone(), instances.clone());
        tokio::spawn(async move {
            let hash = instances.secrets_now(&runtime).await;
            own.note(pool, Found { hash, at: now });
        });
    }

    /// What was found last.
    #[must_use]
    pub fn found(&self, pool: &PoolId) -> Option<Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(pool).cloned()
    }

    /// Forgets pools that are gone.
    pub fn retain(&self, keep: impl Fn(&PoolId) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|pool, _| keep(pool));
    }

    fn note(&self, pool: PoolId, found: Found) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(pool, found);
    }
}
