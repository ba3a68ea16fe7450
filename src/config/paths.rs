//! Where things are when the configuration does not say it, and directories that are ours alone.

use super::{Config, Env};
use crate::{model::text::Text, watchdog::plain};
use std::{
    fs::DirBuilder,
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

/// Where things are, configured or by default.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Paths {
    /// The socket of the host's control API.
    pub socket: PathBuf,
    /// The host's state.
    pub state: PathBuf,
    /// The host's artifacts.
    pub store: PathBuf,
    /// Unpacked artifacts and the private directories of instances.
    pub run: PathBuf,
    /// The record of actions.
    pub journal: PathBuf,
}

impl Paths {
    /// What the configuration says, else the default for this environment.
    #[must_use]
    pub fn new(config: &Config, env: &Env) -> Self {
        // A system service keeps its things where systemd's `StateDirectory=` puts them.
        let system = |xdg: Option<&Path>| env.is_root() && xdg.is_none();
        let state_home = base(env, env.xdg_state_home.as_deref(), ".local/state");
        let host_state = if system(env.xdg_state_home.as_deref()) { "/var/lib/cutover".into() } else { state_home.join("cutover/host") };
        let store = if system(env.xdg_data_home.as_deref()) {
            "/var/lib/cutover/store".into()
        } else {
            base(env, env.xdg_data_home.as_deref(), ".local/share").join("cutover/store")
        };
        let state = config.host.state.clone().unwrap_or(host_state);
        Self {
            socket: config.host.socket.clone().unwrap_or_else(|| default_socket(env)),
            store: config.host.store.clone().unwrap_or(store),
            run: config.host.run.clone().unwrap_or_else(|| state.join("run")),
            state,
            journal: config.journal.path.clone().unwrap_or_else(|| state_home.join("cutover/journal.jsonl")),
        }
    }
}

/// Somebody without a home directory gets a place of their own below the temporary directory.
fn base(env: &Env, xdg: Option<&Path>, below_home: &str) -> PathBuf {
    env.base(xdg, below_home).unwrap_or_else(|| env.temp().join(format!("cutover-{}", env.uid)).join(below_home))
}

/// The host's socket when the configuration does not name one: in `$XDG_RUNTIME_DIR/cutover`, else in
/// `/run/cutover` for root, else in `cutover-UID` below the temporary directory.
///
/// The host makes its directory with [`private_dir`]; whoever connects calls [`check_private`] on it
/// first, because anybody can make a directory below the temporary one.
#[must_use]
pub fn default_socket(env: &Env) -> PathBuf {
    let dir = match &env.xdg_runtime_dir {
        Some(dir) => dir.join("cutover"),
        None if env.is_root() => "/run/cutover".into(),
        None => env.temp().join(format!("cutover-{}", env.uid)),
    };
    dir.join("host.sock")
}

/// Why a directory is not ours alone.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// The system says no.
    #[error("cannot use directory {dir}: {}", plain(.source))]
    Io {
        /// Which.
        dir: Text,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It is no directory, or a link to one.
    #[error("{dir} is a link or no directory: remove it, or set host.socket")]
    NoDirectory {
        /// Which.
        dir: Text,
    },
    /// It is somebody else's.
    #[error("directory {dir} belongs to user {owner} and not to {uid}: remove it, or set host.socket")]
    Foreign {
        /// Which.
        dir: Text,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        uid: u32,
    },
    /// Others may look into it.
    #[error("directory {dir} is open to others (mode {mode:03o}): chmod 700 {dir}")]
    Open {
        /// Which.
        dir: Text,
        /// Its permissions.
        mode: u32,
    },
}

/// Makes a directory 0700 unless it is there, and checks that it is ours alone.
///
/// # Errors
/// When it is not, or cannot be made.
pub fn private_dir(dir: &Path, uid: u32) -> Result<(), PathError> {
    let io = |source| PathError::Io { dir: Text::clean(&super::read::shown(dir)), source };
    if let Some(parent) = dir.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(io)?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(io(e)),
        _ => {}
    }
    check_private(dir, uid)
}

/// Checks that a directory is ours alone: no link, our own, and
/// closed to others. The check holds afterwards too, for only its owner can change it then.
///
/// # Errors
/// When it is not, or is not there.
pub fn check_private(dir: &Path, uid: u32) -> Result<(), PathError> {
    let name = Text::clean(&super::read::shown(dir));
    let seen = match dir.symlink_metadata() {
        Ok(seen) => seen,
        Err(source) => return Err(PathError::Io { dir: name, source }),
    };
    if !seen.is_dir() {
        return Err(PathError::NoDirectory { dir: name });
    }
    if seen.uid() != uid {
        return Err(PathError::Foreign { dir: name, owner: seen.uid(), uid });
    }
    match seen.mode() & 0o777 {
        mode if mode & 0o077 != 0 => Err(PathError::Open { dir: name, mode }),
        _ => Ok(()),
    }
}
