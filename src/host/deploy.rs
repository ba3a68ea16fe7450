//! From a request to deploy to a version that can run: everything that can fail before anything moves.

use super::{
    commit::Refused,
    drift::Watchman,
    preflight::{self, Machine},
};
use crate::{
    artifact::{Described, Layout, LayoutError, Store, UnpackError},
    conductor::life::Deployed,
    model::{digest::Digest, spec::ServiceSpec, text::Text, wire::DeployRequest},
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How soon what could not be unpacked is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Reads the services of the configuration file as it is now.
pub type Reload = Arc<dyn Fn() -> Result<Vec<ServiceSpec>, Text> + Send + Sync>;

/// An artifact that is in the store, verified and unpacked, and the configuration to run it with.
pub struct Prepared {
    /// The service as the file says it now; frozen from here on.
    pub spec: ServiceSpec,
    /// The artifact.
    pub described: Described,
}

/// Where deploys find what they need.
#[derive(Clone)]
pub struct Depot {
    /// The host's own store.
    pub store: Arc<Store>,
    /// Watches what was unpacked.
    pub watchman: Watchman,
    /// Reads the configuration.
    pub reload: Reload,
    /// One copy at a time is made, so that none is made anew under another's feet.
    making: Arc<Mutex<()>>,
    attempts: Arc<Mutex<BTreeMap<Digest, Attempt>>>,
    /// One deploy at a time is prepared, so that what a failed one takes back is its own.
    preparing: Arc<Mutex<()>>,
    machine: Option<Machine>,
}

/// An artifact that is unpacked in the background, or could not be.
struct Attempt {
    since: Instant,
    /// `None` while it is tried for the first time.
    failed: Option<Text>,
    running: bool,
}

impl Depot {
    /// A depot of this store.
    #[must_use]
    pub fn new(store: Arc<Store>, watchman: Watchman, reload: Reload) -> Self {
        Self { store, watchman, reload, making: Arc::default(), attempts: Arc::default(), preparing: Arc::default(), machine: None }
    }

    /// The same for candidates that are to run on this machine, which is looked at before each deploy.
    #[must_use]
    pub fn on(self, machine: Machine) -> Self {
        Self { machine: Some(machine), ..self }
    }

    /// Blocking: imports, hashes, unpacks, and looks at everything that can be known before an instance is
    /// started. Leaves nothing half-done: what fails here changed no service, and took back what it made.
    ///
    /// # Errors
    /// 404 for what is not there, 400 for what cannot be read, in one line; 409 with every failure.
    pub fn prepare(&self, request: &DeployRequest) -> Result<Prepared, Box<Refused>> {
        let services = (self.reload)().map_err(|e| Refused::new(400, e))?;
        let name = request.service.as_str();
        let Some(spec) = services.iter().find(|s| s.name == name) else {
            return Err(Refused::new(404, unknown_service(name, &services)));
        };
        let _preparing = self.preparing.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = &request.artifact;
        let from = request.layout.as_deref().map(Layout::open).transpose().map_err(|e| Refused::new(404, e.to_string()))?;
        let source = from.as_ref().unwrap_or(self.store.layout());
        let described = source.describe(digest).map_err(|e| match e {
            LayoutError::Damaged { .. } => Refused::preflight(vec![e.to_string().into()]),
            _ => Refused::new(404, e.to_string()),
        })?;
        let (sealed, copied) = (self.store.layout().contains(digest), self.store.has_copy(digest));
        let imports = from.as_ref().filter(|_| !sealed);
        let mut failures = self.machine.as_ref().map(|m| m.check(spec, &self.store)).unwrap_or_default();
        let room = preflight::room(&self.store, digest, described.bytes, u64::from(imports.is_some()) + u64::from(!copied));
        if let Some(why) = room {
            failures.push(why);
        } else if let Err(why) = self.unpack_from(from.as_ref(), digest).and_then(|root| preflight::command(spec, &root)) {
            failures.push(why);
        }
        if failures.is_empty() {
            return Ok(Prepared { spec: spec.clone(), described });
        }
        if !sealed || !copied {
            self.take_back(digest, sealed);
        }
        Err(Refused::preflight(failures))
    }

    /// Blocking, and quick: looks at everything that a version which is remembered needs to be started
    /// again, as [`prepare`](Self::prepare) does for a new one. A copy that has to be made is made later,
    /// in the background; whether there is room for it is known now.
    ///
    /// # Errors
    /// 409 with every failure.
    pub fn again(&self, version: &Deployed) -> Result<(), Box<Refused>> {
        let failures = self.lacks(version);
        if failures.is_empty() { Ok(()) } else { Err(Refused::preflight(failures)) }
    }

    /// Blocking, and quick: everything that a version which is remembered lacks to be started again.
    #[must_use]
    pub fn lacks(&self, version: &Deployed) -> Vec<Text> {
        let (spec, digest) = (&version.spec, &version.artifact);
        let mut failures = self.machine.as_ref().map(|m| m.check(spec, &self.store)).unwrap_or_default();
        let layout = self.store.layout();
        match layout.describe(digest) {
            Err(e) => failures.push(e.to_string().into()),
            Ok(_) if !layout.contains(digest) => {
                failures.push(
                    format!("artifact {}: a file of it in `{}` is gone or has another size", digest.short(), layout.dir().display()).into(),
                );
            }
            Ok(described) => match self.watchman.unpacked(digest).filter(|_| self.watchman.drift(digest).is_none()) {
                Some(copy) => failures.extend(preflight::command(spec, copy.root()).err()),
                None => failures.extend(preflight::room(&self.store, digest, described.bytes, u64::from(!self.store.has_copy(digest)))),
            },
        }
        failures
    }

    fn unpack_from(&self, from: Option<&Layout>, digest: &Digest) -> Result<PathBuf, Text> {
        if let Some(from) = from {
            self.store.import(from, digest).map_err(|e| Text::from(e.to_string()))?;
        }
        self.unpack(digest)
    }

    /// Removes what a deploy that cannot be has made.
    fn take_back(&self, digest: &Digest, sealed: bool) {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        self.watchman.retain(|other| other != digest);
        let removed = if sealed { self.store.discard(digest) } else { self.store.remove(digest) };
        if let Err(e) = removed {
            tracing::warn!("{} cannot be removed again: {e}", digest.short());
        }
    }

    /// Unpacks an artifact and hashes every byte, unless it is under watch already. A copy that
    /// drifted while nobody watched it, so that nothing runs from it, is replaced by a fresh one.
    ///
    /// # Errors
    /// Why it cannot run, in one line.
    pub fn unpack(&self, digest: &Digest) -> Result<PathBuf, Text> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(drift) = self.watchman.drift(digest) {
            return Err(format!("{}: drift: {drift}", digest.short()).into());
        }
        if let Some(unpacked) = self.watchman.unpacked(digest) {
            return Ok(unpacked.root().to_owned());
        }
        // Hashes every byte, whether the copy is made now or was there.
        let unpacked = self.store.unpack(digest).or_else(|e| match e {
            UnpackError::Drift { .. } => {
                tracing::error!("{e}; nothing runs from it: it is made anew");
                self.store.discard(digest)?;
                self.store.unpack(digest)
            }
            other => Err(other),
        });
        Ok(self.watchman.watch(unpacked.map_err(|e| Text::from(e.to_string()))?).root().to_owned())
    }

    /// The same in the background, tried again every 5 s; the watchman tells when it is there. Why it
    /// could not be done so far, if it was tried. Must be called within the runtime.
    pub fn unpack_soon(&self, digest: &Digest) -> Option<Text> {
        let mut attempts = self.attempts();
        let attempt = attempts.entry(*digest).or_insert(Attempt { since: Instant::now(), failed: None, running: false });
        let failed = attempt.failed.clone();
        if !attempt.running && (failed.is_none() || attempt.since.elapsed() >= RETRY) {
            (attempt.running, attempt.since) = (true, Instant::now());
            let (own, digest) = (self.clone(), *digest);
            tokio::task::spawn_blocking(move || own.attempt(&digest));
        }
        failed
    }

    fn attempt(&self, digest: &Digest) {
        match self.unpack(digest) {
            Ok(_) => drop(self.attempts().remove(digest)),
            Err(why) => {
                tracing::error!("{why}");
                self.attempts().insert(*digest, Attempt { since: Instant::now(), failed: Some(why), running: false });
                self.watchman.tell();
            }
        }
    }

    fn attempts(&self) -> MutexGuard<'_, BTreeMap<Digest, Attempt>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown_service(name: &str, services: &[ServiceSpec]) -> String {
    let nearest = services.iter().map(|s| (strsim::osa_distance(&s.name, name), &s.name)).min();
    match nearest {
        Some((distance, nearest)) if distance <= 3 => format!("no service `{name}` in the configuration; did you mean `{nearest}`?"),
        _ => format!("no service `{name}` in the configuration; it has {}", list(services)),
    }
}

fn list(services: &[ServiceSpec]) -> String {
    if services.is_empty() {
        return "none".into();
    }
    services.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ")
}
