//! The control socket: where it is, who may open it, and whether another host has it.

use rustix::fs::{Mode, chmod};
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};
use tokio::net::{UnixListener, UnixStream};

/// Why the control socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another host listens there.
    #[error("another host listens on {}; end it, or give this one its own [host] socket", .0.display())]
    Taken(PathBuf),
    /// Something else is in the way.
    #[error("{} is in the way: {}; remove it or set another [host] socket", .0.display(), .1)]
    InTheWay(PathBuf, &'static str),
    /// The system refused.
    #[error("control socket {}: {}", .0.display(), .1)]
    Io(PathBuf, io::Error),
}

/// Listens on the socket: directory 0700, socket 0600, a dead host's socket replaced.
///
/// # Errors
/// See [`SocketError`].
pub async fn listen(path: &Path) -> Result<UnixListener, SocketError> {
    let io = |e| SocketError::Io(path.to_owned(), e);
    if let Some(dir) = path.parent() {
        private_directory(dir).map_err(|why| match why {
            Ok(e) => SocketError::Io(dir.to_owned(), e),
            Err(what) => SocketError::InTheWay(dir.to_owned(), what),
        })?;
    }
    if let Ok(found) = fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(SocketError::InTheWay(path.to_owned(), "it is no socket"));
        }
        if UnixStream::connect(path).await.is_ok() {
            return Err(SocketError::Taken(path.to_owned()));
        }
        fs::remove_file(path).map_err(io)?;
    }
    let listener = UnixListener::bind(path).map_err(io)?;
    chmod(path, Mode::from_raw_mode(0o600)).map_err(|e| io(e.into()))?;
    Ok(listener)
}

/// A directory of our own that nobody else can look into; made when it is missing.
fn private_directory(dir: &Path) -> Result<(), Result<io::Error, &'static str>> {
    match fs::symlink_metadata(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(Ok),
        Err(e) => Err(Ok(e)),
        Ok(found) if !found.is_dir() => Err(Err("it is no directory")),
        Ok(found) if found.uid() != rustix::process::geteuid().as_raw() => Err(Err("it belongs to somebody else")),
        Ok(found) if found.permissions().mode() & 0o077 != 0 && found.permissions().mode() & 0o1000 != 0 => {
            Err(Err("it is shared with everybody"))
        }
        Ok(_) => Ok(()),
    }
}
