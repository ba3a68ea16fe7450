//! From a request to deploy to a version that can run: everything that can fail before anything moves.

use super::{commit::Refused, drift::Watchman};
use crate::{
    artifact::{Described, Layout, Store},
    model::{digest::Digest, spec::ServiceSpec, text::Text, wire::DeployRequest},
};
use std::{path::Path, sync::Arc};

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
}

impl Depot {
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

    /// Unpacks an artifact and hashes every byte, unless it is under watch already.
    ///
    /// # Errors
    /// Why it cannot run, in one line.
    pub fn unpack(&self, digest: &Digest) -> Result<std::path::PathBuf, Text> {
        if let Some(drift) = self.watchman.drift(digest) {
            return Err(format!("{}: {drift}", digest.short()).into());
        }
        if let Some(unpacked) = self.watchman.unpacked(digest) {
            return Ok(unpacked.root().to_owned());
        }
        // Hashes every byte, whether the copy is made now or was there.
        let unpacked = self.store.unpack(digest).map_err(|e| Text::from(e.to_string()))?;
        Ok(self.watchman.watch(unpacked).root().to_owned())
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
