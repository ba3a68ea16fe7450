//! Unpacking: a sealed layer becomes a read-only copy.
//!
//! The layer is read twice. First everything is checked and hashed without writing a byte; then files
//! are written, links last, so that nothing is ever written through one; then the copy is sealed again
//! in memory, which hashes every byte that was written and must give the artifact's digest.

use super::{
    archive::{self, ArchiveError},
    breach::{Breach, check_tree},
    copy::Unpacked,
    drift::{Drift, mode},
    durable,
    image::Image,
    layer::Hasher,
    layout::{Hashing, Layout, LayoutError, failed},
    tree::{Entry, Kind},
};
use crate::model::{digest::Digest, text::Text};
use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, BufReader, Read},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

/// Why there is no copy. Nothing half-done is left.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The store cannot be used, or the artifact is not there or damaged.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The layer contains what an artifact must not.
    #[error("refused to unpack {digest}: {breach}")]
    Breach {
        /// The artifact.
        digest: Digest,
        /// What.
        breach: Breach,
    },
    /// The layer is no archive.
    #[error("cannot unpack {digest}: its layer cannot be read: {why}")]
    Archive {
        /// The artifact.
        digest: Digest,
        /// Why, perhaps in words from the layer.
        why: Text,
    },
    /// The layer is an archive in another form than sealing writes, so that no copy could be verified.
    #[error("refused to unpack {digest}: its layer is not in sealed form; seal its directory with `cutover seal`")]
    NotSealed {
        /// The artifact.
        digest: Digest,
    },
    /// There is a copy, and it is not what was sealed.
    #[error("the unpacked copy of {digest} drifted: {drift}")]
    Drift {
        /// The artifact.
        digest: Digest,
        /// What differs.
        drift: Drift,
    },
}

/// Reads a whole layer, checks everything about it and passes each file to `each`. Entries come back
/// sorted by path.
pub(super) fn survey(
    layout: &Layout,
    image: &Image,
    each: &mut dyn FnMut(&Entry, &mut dyn Read) -> io::Result<()>,
) -> Result<Vec<Entry>, UnpackError> {
    let digest = image.manifest.digest;
    let file = layout.open_blob(image, image.layer)?;
    let mut layer = Hashing { inner: file.take(image.layer.size.saturating_add(1)), hasher: Hasher::default() };
    let listed = archive::read(BufReader::with_capacity(256 << 10, &mut layer), each);
    // Whatever is wrong with it: if it is not even what was sealed, that is what to say.
    let path = layout.blob_path(&image.layer.digest);
    io::copy(&mut layer, &mut io::sink()).map_err(failed("read", &path))?;
    if layer.hasher.finish() != (image.layer.digest, image.layer.size) {
        return Err(layout.damaged(image, image.layer, "is not what its digest says").into());
    }
    let mut entries = listed.map_err(|error| match error {
        ArchiveError::Breach(breach) => UnpackError::Breach { digest, breach },
        ArchiveError::Io(e) => UnpackError::Archive { digest, why: e.to_string().into() },
    })?;
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    check_tree(&entries).map_err(|breach| UnpackError::Breach { digest, breach })?;
    Ok(entries)
}

/// Unpacks to `to`, which must not exist; its parent must, and be locked.
pub(super) fn unpack(layout: &Layout, image: &Image, to: &Path) -> Result<Unpacked, UnpackError> {
    let digest = image.manifest.digest;
    let parent = to.parent().unwrap_or(Path::new("."));
    let entries = survey(layout, image, &mut |_, _| Ok(()))?;
    let temporary = durable::new_dir(parent).map_err(failed("write into", parent))?;
    let written = write(layout, image, &entries, temporary.path()).and_then(|()| {
        Unpacked::verified(temporary.path().to_owned(), digest, layout).map_err(|drift| match drift.change {
            super::drift::Change::Unknown { .. } => UnpackError::NotSealed { digest },
            _ => UnpackError::Drift { digest, drift },
        })
    });
    let copy = written.and_then(|copy| {
        fs::rename(temporary.path(), to).map_err(failed("create", to))?;
        durable::sync_dir(parent).map_err(failed("write into", parent))?;
        copy.moved(to.to_owned()).map_err(|drift| UnpackError::Drift { digest, drift })
    });
    // It may be read-only already, which its own clean-up could not remove without being root.
    let left = temporary.keep();
    if copy.is_err() {
        let _ = durable::remove_tree(&left);
    }
    copy
}

fn write(layout: &Layout, image: &Image, entries: &[Entry], root: &Path) -> Result<(), UnpackError> {
    let of_kind = |wanted: fn(&Kind) -> bool| entries.iter().filter(move |entry| wanted(&entry.kind));
    for dir in of_kind(|kind| *kind == Kind::Dir) {
        let path = root.join(&dir.path);
        fs::create_dir(&path).map_err(failed("create", &path))?;
    }
    let mut trouble = None;
    let result = survey(layout, image, &mut |entry, bytes| {
        let path = root.join(&entry.path);
        file(&path, &entry.kind, bytes).map_err(|e| {
            trouble = Some(failed("write", &path)(e));
            io::ErrorKind::Other.into()
        })
    });
    if let Some(trouble) = trouble {
        return Err(trouble.into());
    }
    result?;
    for link in of_kind(|kind| matches!(kind, Kind::Link { .. })) {
        let path = root.join(&link.path);
        if let Kind::Link { target } = &link.kind {
            std::os::unix::fs::symlink(target, &path).map_err(failed("create", &path))?;
        }
    }
    for dir in of_kind(|kind| *kind == Kind::Dir).map(|dir| root.join(&dir.path)).chain([root.to_owned()]) {
        fs::set_permissions(&dir, Permissions::from_mode(0o555)).map_err(failed("protect", &dir))?;
    }
    // Once for everything: syncing 100,000 files one by one would take minutes.
    let whole = File::open(root).and_then(|dir| rustix::fs::syncfs(dir).map_err(io::Error::from));
    whole.map_err(failed("write", root))?;
    Ok(())
}

fn file(path: &Path, kind: &Kind, bytes: &mut dyn Read) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    io::copy(bytes, &mut file)?;
    file.set_permissions(Permissions::from_mode(mode(kind).unwrap_or(0o444)))
}

#[cfg(test)]
mod tests;
