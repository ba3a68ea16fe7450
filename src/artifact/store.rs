//! A host's artifacts: a layout, and read-only copies of what runs.

use super::{
    ArtifactRef, Layout, UnpackError, Unpacked, durable,
    layout::{LayoutError, failed},
    unpack::unpack,
};
use crate::model::digest::Digest;
use std::{
    fs::{self, Permissions},
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// The artifacts below one directory: the layout `oci`, and in `unpacked` one copy for each artifact
/// that was unpacked, named by the digest's hex digits.
#[derive(Debug, Clone)]
pub struct Store {
    layout: Layout,
    unpacked: PathBuf,
}

impl Store {
    /// Opens a store, which is created if it is not there.
    ///
    /// # Errors
    /// When the directories cannot be made, or `oci` is something else than a layout.
    pub fn open(root: &Path) -> Result<Self, LayoutError> {
        fs::create_dir_all(root).map_err(failed("create", root))?;
        let layout = Layout::create(&root.join("oci"))?;
        let unpacked = root.join("unpacked");
        fs::create_dir_all(&unpacked).map_err(failed("create", &unpacked))?;
        // A service may run as another user than the host.
        fs::set_permissions(&unpacked, Permissions::from_mode(0o755)).map_err(failed("protect", &unpacked))?;
        let lock = unpacked.join(LOCK);
        durable::lock_file(&lock).map_err(failed("create", &lock))?;
        Ok(Self { layout, unpacked })
    }

    /// The sealed artifacts.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Makes sure that the store has what somebody named, and returns its digest.
    ///
    /// # Errors
    /// When it is not where it was said to be, or cannot be copied.
    pub fn fetch(&self, artifact: &ArtifactRef) -> Result<Digest, LayoutError> {
        match artifact {
            ArtifactRef::Store(digest) => self.layout.describe(digest).map(|_| ())?,
            ArtifactRef::Layout { dir, digest } => self.import(&Layout::open(dir)?, digest)?,
        }
        Ok(*artifact.digest())
    }

    /// Copies an artifact from another layout, hashing every byte, with what its index entry says of
    /// its origin. What is here already is kept if it is sound.
    ///
    /// # Errors
    /// When it is not there, is damaged, was not sealed by cutover, or cannot be written.
    pub fn import(&self, from: &Layout, digest: &Digest) -> Result<(), LayoutError> {
        let image = from.image(digest)?;
        let origin = from.origin(digest)?;
        let path = from.blob_path(&image.layer.digest);
        self.layout.add(&image, &origin, &mut |out| {
            let file = from.open_blob(&image, image.layer)?;
            copy(file.take(image.layer.size.saturating_add(1)), out, &path)
        })?;
        Ok(())
    }

    /// The verified copy of an artifact. All bytes are hashed, whether the copy was there or is made
    /// now; a copy that drifted is never repaired behind the back of what runs from it.
    ///
    /// # Errors
    /// See [`UnpackError`].
    pub fn unpack(&self, digest: &Digest) -> Result<Unpacked, UnpackError> {
        let root = self.copy_of(digest);
        let verified = |root: PathBuf| Unpacked::verified(root, *digest, &self.layout);
        if !exists(&root)? {
            let _lock = self.lock()?;
            // Somebody else may have made it while we waited.
            if !exists(&root)? {
                durable::sweep(&self.unpacked);
                return unpack(&self.layout, &self.layout.image(digest)?, &root);
            }
        }
        verified(root).map_err(|drift| UnpackError::Drift { digest: *digest, drift })
    }

    /// Removes the copy and keeps the sealed layer, so that the next [`Store::unpack`] makes a fresh
    /// one: the way out of drift, once nothing runs from the copy.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn discard(&self, digest: &Digest) -> Result<(), LayoutError> {
        let _lock = self.lock()?;
        durable::sweep(&self.unpacked);
        let root = self.copy_of(digest);
        // Away from its name at once: what is half removed must never be taken for a copy.
        let away = durable::new_dir(&self.unpacked).map_err(failed("write into", &self.unpacked))?.keep();
        match fs::rename(&root, &away) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &root)(e)),
            _ => {}
        }
        durable::remove_tree(&away).map_err(failed("remove", &away))
    }

    /// Removes an artifact: its index entry, the blobs that no other artifact uses, its copy.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn remove(&self, digest: &Digest) -> Result<(), LayoutError> {
        self.layout.remove(digest)?;
        self.discard(digest)
    }

    /// Whether there is a copy of an artifact; whether it is sound is not looked at.
    #[must_use]
    pub fn has_copy(&self, digest: &Digest) -> bool {
        self.copy_of(digest).exists()
    }

    fn copy_of(&self, digest: &Digest) -> PathBuf {
        self.unpacked.join(digest.hex())
    }

    fn lock(&self) -> Result<fs::File, LayoutError> {
        let path = self.unpacked.join(LOCK);
        durable::lock(&path).map_err(failed("lock", &path))
    }
}

/// Held while copies are made or removed.
const LOCK: &str = "lock";

fn exists(path: &Path) -> Result<bool, LayoutError> {
    path.try_exists().map_err(failed("read", path))
}

/// Copies bytes and tells apart which side failed.
fn copy(mut from: impl Read, to: &mut dyn io::Write, source: &Path) -> Result<(), LayoutError> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = match from.read(&mut buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(failed("read", source))?,
        };
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        to.write_all(bytes).map_err(failed("write the copy of", source))?;
    }
}
