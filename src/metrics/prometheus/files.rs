//! Files with credentials and certificates: read whole, and read again when they have changed.

use crate::cause::plain;
use rustix::fs::OFlags;
use std::{
    fs::{File, Metadata},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

/// No certificate and no token is longer.
const LONGEST: u64 = 1 << 20;
/// How long a disk may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Files as they were when they were read.
#[derive(Debug, Default)]
pub struct Stamps(Vec<(PathBuf, Option<Stamp>)>);

/// What changes with a file, also when another one is renamed into its place.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamps {
    /// Reads a file and remembers how it was before. Blocks.
    ///
    /// # Errors
    /// Why it cannot be read, with its path.
    pub fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        self.0.push((path.to_owned(), stamp(path)));
        read(path).map_err(|e| format!("{}: {}", path.display(), plain(&e.to_string())))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The files, as they are to be looked at again.
    #[must_use]
    pub fn again(&self) -> Self {
        Self(self.0.clone())
    }

    /// Whether every file is still the same. Blocks.
    #[must_use]
    pub fn hold(&self) -> bool {
        self.0.iter().all(|(path, then)| then.is_some() && stamp(path) == *then)
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let of = |m: Metadata| Stamp {
        device: m.dev(),
        inode: m.ino(),
        size: m.size(),
        modified: (m.mtime(), m.mtime_nsec()),
        changed: (m.ctime(), m.ctime_nsec()),
    };
    std::fs::metadata(path).ok().map(of)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Not blocking: a pipe in place of a file must not hold anything up.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("is not a file"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::other("has more than 1048576 bytes"));
    }
    Ok(bytes)
}

/// Does what blocks where it holds nobody up; a disk that hangs is not waited for.
///
/// # Errors
/// When it takes too long.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    match tokio::time::timeout(LIMIT, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(e)) => Err(format!("reading files failed: {e}")),
        Err(_) => Err(format!("reading files takes longer than {} s", LIMIT.as_secs())),
    }
}
