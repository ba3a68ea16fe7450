//! What an instance of a configuration would need, looked at before any is started. Blocks.

use super::{Instances, Listener, RuntimeSpec, SecretSource, order::Identity, prepare, proc, secrets};
use crate::model::text::Text;
use nix::unistd::{Gid, getgrouplist};
use rustix::fs::{Access, access};
use std::{ffi::CString, fs, io, os::unix::fs::MetadataExt as _, path::Path};

impl Instances {
    /// User, secrets and directories, one line for each that is not as it must be. `store` is where
    /// artifacts are unpacked below.
    #[must_use]
    pub fn preflight(&self, runtime: &RuntimeSpec, store: &Path) -> Vec<Text> {
        let mut failures = Vec::new();
        let settings = &self.0.settings;
        match runtime.user.as_deref().map(prepare::resolve).transpose() {
            Err(why) => failures.push(why),
            Ok(user) => {
                if let Some(user) = user.flatten() {
                    failures.extend([store, &settings.run_dir].into_iter().filter_map(|dir| closed(dir, &user)));
                }
            }
        }
        let missing = runtime.secrets.iter().filter_map(|(name, source)| self.secret_there(name, source).err());
        failures.extend(missing);
        for dir in [&settings.run_dir, &settings.log_dir] {
            if let Err(e) = access(dir, Access::WRITE_OK | Access::EXEC_OK) {
                failures.push(format!("{} cannot be written: {}", dir.display(), io::Error::from(e)).into());
            }
        }
        failures
    }

    /// Whether a value can be had now.
    ///
    /// # Errors
    /// Why not, by name and place.
    pub fn secret_there(&self, name: &str, source: &SecretSource) -> Result<(), Text> {
        secrets::one(name, source, &self.0.settings.lookup).map(drop)
    }

    /// Which other process listens on a port; `None` if it is this host, or nobody that can be seen.
    #[must_use]
    pub fn taken_by(&self, port: u16) -> Option<String> {
        match proc::listener(std::process::id(), port) {
            Ok(Listener::Foreign(Some(pid))) => Some(format!("another process (pid {pid})")),
            Ok(Listener::Foreign(None)) => Some("another process".to_owned()),
            Ok(Listener::Ours | Listener::Nobody) | Err(_) => None,
        }
    }
}

/// The first directory on the way that a user may not pass.
fn closed(dir: &Path, user: &Identity) -> Option<Text> {
    let name = CString::new(user.name.as_str()).ok()?;
    let groups = getgrouplist(&name, Gid::from_raw(user.gid)).unwrap_or_default();
    let mut way: Vec<&Path> = dir.ancestors().collect();
    way.reverse();
    let shut = way.into_iter().find(|part| {
        let Ok(found) = fs::metadata(part) else { return false };
        let bit = if found.uid() == user.uid {
            0o100
        } else if found.gid() == user.gid || groups.iter().any(|g| g.as_raw() == found.gid()) {
            0o010
        } else {
            0o001
        };
        found.mode() & bit == 0
    })?;
    Some(format!("user {} may not pass {}: chmod o+x it, or choose another place for store and run", user.name, shut.display()).into())
}
