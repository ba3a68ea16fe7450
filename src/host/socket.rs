//! The control socket: where it is, who may open it, and whether another host has it.

use super::api::Access;
use rustix::fs::{Gid, Mode, chmod, chown};
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, FileTypeExt},
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
    #[error("{} is in the way and is no socket; remove it or set another [host] socket", .0.display())]
    InTheWay(PathBuf),
    /// The system refused.
    #[error("control socket {}: {}", .0.display(), .1)]
    Io(PathBuf, io::Error),
}

/// Listens on the socket, with the mode that follows from who may use it; its directory is made if it is
/// missing, a dead host's socket replaced. Whether a directory that is there can be trusted is for whoever chose it to check.
///
/// # Errors
/// See [`SocketError`].
pub async fn listen(path: &Path, access: &Access) -> Result<UnixListener, SocketError> {
    let io = |e| SocketError::Io(path.to_owned(), e);
    if let Some(dir) = path.parent().filter(|dir| !dir.exists()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
        let (_, group) = access.socket();
        give(dir, access.directory(), group).map_err(io)?;
    }
    if let Ok(found) = fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(SocketError::InTheWay(path.to_owned()));
        }
        if UnixStream::connect(path).await.is_ok() {
            return Err(SocketError::Taken(path.to_owned()));
        }
        fs::remove_file(path).map_err(io)?;
    }
    let listener = UnixListener::bind(path).map_err(io)?;
    let (mode, group) = access.socket();
    give(path, mode, group).map_err(io)?;
    Ok(listener)
}

/// The group first: until it has the mode, nobody else may open it.
fn give(path: &Path, mode: Mode, group: Option<u32>) -> io::Result<()> {
    if let Some(group) = group {
        chown(path, None, Some(Gid::from_raw(group)))?;
    }
    Ok(chmod(path, mode)?)
}
