//! From a request to deploy to a version that can run: everything that can fail before anything moves.

use super::{commit::Refused, drift::Watchman};
use crate::{
    artifact::{Described, Layout, Store, UnpackError},
    model::{digest::Digest, spec::ServiceSpec, text::Text, wire::DeployRequest},
};
use std::{
    collections::BTreeMap,
    path::Path,
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
        Self { store, watchman, reload, making: Arc::default(), attempts: Arc::default() }
    }

    /// Blocking: imports, hashes and unpacks. Leaves nothing half-done: what fails here changed no service.
    ///
    /// # Errors
    /// One line: 404 for what is not there, 400 for what cannot be used.
    pub fn prepare(&self, request: &DeployRequest) -> Result<Prepared, Box<Refused>> {
        let services = (self.reload)().map_err(|e| Refused::new(400, e))?;
        let name = request.service.as_str();
        let Some(spec) = services.iter().find(|s| s.name == name) else {
            return Err(Refused::new(404, unknown_service(name, &services)));
        };
        if let Some(layout) = &request.layout {
            let from = Layout::open(layout).map_err(|e| Refused::new(404, e.to_string()))?;
            self.store.import(&from, &request.artifact).map_err(|e| Refused::new(400, e.to_string()))?;
        }
        let described = self.store.layout().describe(&request.artifact).map_err(|e| Refused::new(404, e.to_string()))?;
        let root = self.unpack(&request.artifact).map_err(|e| Refused::new(400, e))?;
        command_found(spec, &root).map_err(|e| Refused::new(400, e))?;
        Ok(Prepared { spec: spec.clone(), described })
    }

    /// Unpacks an artifact and hashes every byte, unless it is under watch already. A copy that
    /// drifted while nobody watched it, so that nothing runs from it, is replaced by a fresh one.
    ///
    /// # Errors
    /// Why it cannot run, in one line.
    pub fn unpack(&self, digest: &Digest) -> Result<std::path::PathBuf, Text> {
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

/// A program with a slash must be in the artifact; one without is looked up when it starts.
fn command_found(spec: &ServiceSpec, root: &Path) -> Result<(), String> {
    let Some(program) = spec.command.first() else { return Err("the service has no command".into()) };
    if !program.contains('/') || Path::new(program).is_absolute() || root.join(program).exists() {
        return Ok(());
    }
    Err(format!("command `{program}` of service `{}` is not in the artifact", spec.name))
}
