//! Files that are there completely or not at all, also after a crash or on a full disk.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};
use tempfile::{Builder, NamedTempFile, TempDir};

/// What is not yet, or no longer, in its place starts with this.
const UNFINISHED: &str = ".cutover-";

/// A file in `dir` that vanishes unless it is published.
pub(super) fn new_file(dir: &Path) -> io::Result<NamedTempFile> {
    // Readable like any other file, as the umask allows: a layout is read by other tools too.
    Builder::new().prefix(UNFINISHED).permissions(Permissions::from_mode(0o644)).tempfile_in(dir)
}

/// A private directory in `dir` that vanishes unless it is kept.
pub(super) fn new_dir(dir: &Path) -> io::Result<TempDir> {
    Builder::new().prefix(UNFINISHED).permissions(Permissions::from_mode(0o700)).tempdir_in(dir)
}

/// Puts a complete file in its place, instead of what is there; it is on disk when this returns.
pub(super) fn publish(file: NamedTempFile, to: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(to).map_err(|e| e.error)?;
    to.parent().map_or(Ok(()), sync_dir)
}

/// [`publish`] of these bytes.
pub(super) fn write(to: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = new_file(to.parent().unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    publish(file, to)
}

/// Makes names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// An empty file for [`lock`], if there is none. It is made in place: a temporary one could be swept away.
pub(super) fn lock_file(path: &Path) -> io::Result<()> {
    File::options().write(true).create(true).truncate(false).open(path).map(|_| ())
}

/// Waits until nobody else holds the lock; it is held until the file is dropped. The file must exist.
pub(super) fn lock(path: &Path) -> io::Result<File> {
    // Opened for writing because network file systems refuse an exclusive lock otherwise.
    let file = File::options().read(true).write(true).open(path)?;
    file.lock()?;
    Ok(file)
}

/// Removes what a killed process left unfinished. Only while holding the lock that every writer of
/// `dir` takes. What cannot be removed stays: it does no harm.
pub(super) fn sweep(dir: &Path) {
    for item in fs::read_dir(dir).into_iter().flatten().flatten() {
        if is_unfinished(&item.file_name()) {
            let _ = if item.file_type().is_ok_and(|t| t.is_dir()) { remove_tree(&item.path()) } else { fs::remove_file(item.path()) };
        }
    }
}

/// Whether a file of this name is one that was never finished.
pub(super) fn is_unfinished(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with(UNFINISHED)
}

/// Removes a directory that may be read-only, with everything in it.
pub(super) fn remove_tree(dir: &Path) -> io::Result<()> {
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        fs::set_permissions(&dir, Permissions::from_mode(0o700))?;
        for item in fs::read_dir(&dir)? {
            let item = item?;
            if item.file_type()?.is_dir() {
                dirs.push(item.path());
            }
        }
    }
    fs::remove_dir_all(dir)
}
