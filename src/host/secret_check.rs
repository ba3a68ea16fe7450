//! Whether secrets are still there and what they were when the instances started. Only hashes.

use super::instances::Instances;
use crate::{
    conductor::life::{Deployed, PoolId},
    model::{digest::Digest, text::Text, time::Time},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How often a pool's secrets are looked at.
const EVERY: Duration = Duration::from_secs(5);

/// What was found last, by pool. Cheap to clone.
#[derive(Clone, Default)]
pub struct SecretCheck(Arc<Mutex<BTreeMap<PoolId, Found>>>);

/// What was found of one pool's secrets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Their hash now, or which is missing; `None` until they were looked at.
    pub hash: Option<Result<Option<Digest>, Text>>,
    /// When they were looked at.
    pub at: Time,
    /// The same by the host's uptime, which nobody sets.
    asked: Duration,
}

impl SecretCheck {
    /// Looks at a pool's secrets in the background, if it was not done lately.
    pub fn look(&self, instances: &Instances, deployed: &Deployed, now: Time, uptime: Duration) {
        let before = self.found(&deployed.pool());
        let lately = before.as_ref().is_some_and(|f| uptime.saturating_sub(f.asked) < EVERY);
        if deployed.spec.secrets.is_empty() || lately {
            return;
        }
        let (pool, runtime) = (deployed.pool(), deployed.spec.runtime());
        // Noted before it is known, so that a slow file is not asked for again every second.
        let (hash, at) = before.map_or((None, now), |f| (f.hash, f.at));
        self.note(pool.clone(), Found { hash, at, asked: uptime });
        let (own, instances) = (self.clone(), instances.clone());
        tokio::spawn(async move {
            let hash = Some(instances.secrets_now(&runtime).await);
            own.note(pool, Found { hash, at: now, asked: uptime });
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
