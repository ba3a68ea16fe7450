//! Whether what may be needed is still there: looked at every minute, before it is needed, in the
//! background. Manifest and sizes of every artifact that a version could be started from (their bytes are
//! the watchman's), each running instance against what was started, and whatever else a version needs that
//! would have to be started for a way back: command, ports, user, room on the disk.

use super::{deploy::Depot, instances::Instances};
use crate::{
    conductor::life::{Deployed, PoolId},
    model::{digest::Digest, ident::InstanceId, text::Text, time::Time, version::About},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// How often it is looked.
pub const EVERY: Duration = Duration::from_secs(60);

/// What was found last. Cheap to clone.
#[derive(Clone, Default)]
pub struct Availability(Arc<Shared>);

struct Shared {
    found: Mutex<Found>,
    changed: watch::Sender<u64>,
    looking: AtomicBool,
}

impl Default for Shared {
    fn default() -> Self {
        Self { found: Mutex::default(), changed: watch::Sender::new(0), looking: AtomicBool::new(false) }
    }
}

/// What was found.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Found {
    /// Artifacts from which nothing could be started, and why.
    pub gone: BTreeMap<Digest, Text>,
    /// What the store says of those that are there.
    pub about: BTreeMap<Digest, About>,
    /// Instances that are not what was started, and what is different.
    pub strayed: Vec<(PoolId, InstanceId, Text)>,
    /// Versions that would have to be started for the way back, and what they lack: looked at as before a
    /// deploy.
    pub lacks: BTreeMap<PoolId, Vec<Text>>,
    /// When it was looked; `None` before the first time.
    pub at: Option<Time>,
}

impl Availability {
    /// Looks, unless somebody is at it; `returns` are the versions that a way back would have to start. Must
    /// be called within the runtime.
    pub fn look(&self, depot: &Depot, instances: &Instances, artifacts: BTreeSet<Digest>, returns: Vec<Deployed>, now: Time) {
        if self.0.looking.swap(true, Ordering::AcqRel) {
            return;
        }
        let (own, depot, instances) = (self.clone(), depot.clone(), instances.clone());
        tokio::task::spawn_blocking(move || {
            let lacks = returns.iter().map(|to| (to.pool(), depot.lacks(to))).collect();
            let mut found = Found { strayed: instances.strayed(), lacks, at: Some(now), ..Found::default() };
            for artifact in artifacts {
                match look_at(&depot, &artifact) {
                    Ok(about) => drop(found.about.insert(artifact, about)),
                    Err(why) => drop(found.gone.insert(artifact, why)),
                }
            }
            *own.lock() = found;
            own.0.looking.store(false, Ordering::Release);
            own.0.changed.send_modify(|n| *n += 1);
        });
    }

    /// What was found last.
    #[must_use]
    pub fn found(&self) -> Found {
        self.lock().clone()
    }

    /// Moves with every look that ended.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        self.0.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn look_at(depot: &Depot, artifact: &Digest) -> Result<About, Text> {
    let layout = depot.store.layout();
    let described = layout.describe(artifact).map_err(|e| Text::from(e.to_string()))?;
    if !layout.contains(artifact) {
        return Err(
            format!("artifact {}: a file of it in `{}` is gone or has another size", artifact.short(), layout.dir().display()).into()
        );
    }
    if let Some(drift) = depot.watchman.drift(artifact) {
        return Err(format!("drift: {drift}").into());
    }
    Ok(described.about(layout))
}
