//! Artifacts: sealed content that is named by its digest, and the read-only copy that runs.
//!
//! # What is sealed
//!
//! [`seal`](seal()) turns a directory into one image in an OCI image layout on disk ([`Layout`]): one
//! uncompressed tar layer, one configuration, one manifest. The artifact's digest is the manifest's.
//! It covers paths, bytes, executable bits and links and **nothing else**: entries are sorted by path,
//! times, owners and other mode bits are constants, the configuration names a constant platform and no
//! time. Hard links are sealed as separate files. So the same content has the same digest, whenever
//! and wherever it is sealed. Version, revision, time and source are annotations of the index entry;
//! they can change without changing the artifact.
//!
//! # Why nothing else has to be trusted
//!
//! Because sealing is a pure function of the content, and the configuration and the manifest are pure
//! functions of the layer, a copy is verified by *sealing it again* (without writing) and comparing
//! the digest. So the only thing that has to be remembered about an artifact is its digest, which the
//! host's state holds: there is no list of expected hashes beside the copy that could be changed
//! together with a file, and the check works after a restart and even when the sealed layer is gone.
//! The price is that only layers in exactly this form can be unpacked: an image that another tool made
//! is refused, with the hint to seal its directory.
//!
//! Hashing everything before every start would be slow. So [`Unpacked`] also holds a *baseline*, the
//! inode, size, mode, mtime and ctime of every entry, taken in the same pass as a successful hashing
//! of all bytes (entries are listed before and after, and must not differ). It lives in memory only:
//! after a restart all bytes are hashed again, and a new baseline is taken. Nobody can set a ctime, so
//! permissions, which root ignores, play no part. What a baseline cannot see (a disk that returns
//! other bytes, a write within the same clock tick of some milliseconds as the baseline on kernels
//! before 6.13) [`Unpacked::verify_bytes`] finds.
//!
//! # State and invariants
//!
//! A [`Layout`] and a [`Store`] own their directories. Files appear in them by rename after they
//! were synced, so a kill or a full disk leaves them valid; writers of one layout are serialised by a
//! lock on its `oci-layout` file, copies by a lock in `unpacked`. Nothing here is async: callers on a
//! runtime use a blocking thread.

mod archive;
mod breach;
mod copy;
mod drift;
mod durable;
mod image;
mod layer;
mod layout;
mod seal;
mod secrets;
mod store;
mod tree;
mod unpack;

pub use breach::{Breach, Fault};
pub use copy::Unpacked;
pub use drift::{Change, Drift};
pub use layout::{ANNOTATION_REVERT, Described, Layout, LayoutError, back_unsafe};
pub use seal::{Prepared, SealError, SealOptions, Sealed, prepare, seal};
pub use secrets::{SecretFinding, SecretKind};
pub use store::Store;
pub use unpack::UnpackError;

use crate::model::{
    digest::{Digest, NotADigest},
    text::Text,
};
use std::{fmt, os::unix::ffi::OsStrExt, path::Path, path::PathBuf, str::FromStr};

/// The most bytes the files of an artifact may have in all: 2 GiB.
pub const MAX_BYTES: u64 = 2 << 30;
/// The most files, directories and links an artifact may have.
pub const MAX_ENTRIES: usize = 100_000;

/// How an artifact is named on the command line and on the wire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ArtifactRef {
    /// `sha256:…`, in the host's store.
    Store(Digest),
    /// `oci:DIR@sha256:…`, in an OCI image layout.
    Layout {
        /// The layout's directory.
        dir: PathBuf,
        /// The manifest's digest.
        digest: Digest,
    },
}

/// The text names no artifact.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not an artifact: expected sha256:… or oci:DIR@sha256:…, as `cutover seal` prints it ({why})")]
pub struct NotAnArtifact {
    text: Text,
    why: Text,
}

impl ArtifactRef {
    /// The digest it names.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        match self {
            Self::Store(digest) | Self::Layout { digest, .. } => digest,
        }
    }
}

impl fmt::Display for ArtifactRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(digest) => digest.fmt(f),
            Self::Layout { dir, digest } => write!(f, "oci:{}@{digest}", dir.display()),
        }
    }
}

impl FromStr for ArtifactRef {
    type Err = NotAnArtifact;

    fn from_str(s: &str) -> Result<Self, NotAnArtifact> {
        let bad = |why: &str| NotAnArtifact { text: Text::clean(s), why: Text::clean(why) };
        let digest = |text: &str| text.parse::<Digest>().map_err(|e: NotADigest| bad(&e.to_string()));
        let Some(rest) = s.strip_prefix("oci:") else {
            return Ok(Self::Store(digest(s)?));
        };
        let (dir, name) = rest.rsplit_once('@').ok_or_else(|| bad("no `@sha256:…` after the directory"))?;
        if dir.is_empty() {
            return Err(bad("no directory between `oci:` and `@`"));
        }
        Ok(Self::Layout { dir: PathBuf::from(dir), digest: digest(name)? })
    }
}

/// What may be shown of a path.
fn shown(path: &Path) -> Text {
    Text::from_bytes(path.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::ArtifactRef;
    use crate::model::digest::Digest;

    #[test]
    fn references_are_written_and_read_back() {
        let digest = Digest::of(b"x");
        for text in [digest.to_string(), format!("oci:/srv/a@b/layout@{digest}"), format!("oci:relative dir@{digest}")] {
            let parsed: ArtifactRef = text.parse().expect("valid");
            assert_eq!(parsed.to_string(), text);
            assert_eq!(*parsed.digest(), digest);
        }
        for bad in ["", "v42", "oci:", "oci:dir", &format!("oci:@{digest}"), "oci:dir@v42", &format!("oci:dir:{digest}")] {
            let error = bad.parse::<ArtifactRef>().expect_err(bad).to_string();
            assert!(error.contains("is not an artifact") && !error.contains('\n'), "{error}");
        }
    }
}
