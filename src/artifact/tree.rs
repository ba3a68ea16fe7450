//! What is in a directory: the entries an artifact is made of, and the state of each on disk.

use super::{
    breach::{Breach, Count, Fault, check_path, check_tree},
    shown,
};
use crate::model::text::Text;
use std::{
    fs::{self, Metadata},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

/// One entry of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// From the root, parts separated by `/`, none at either end.
    pub path: String,
    /// What it is.
    pub kind: Kind,
}

/// What an entry is, and all that the digest covers of it besides its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A directory.
    Dir,
    /// A file.
    File {
        /// Whether its owner may execute it.
        exec: bool,
        /// In bytes.
        size: u64,
    },
    /// A symbolic link.
    Link {
        /// Where it points, as it is written.
        target: String,
    },
}

/// The state of a file on disk: if it does not change, neither did the content, as far as a stat can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stat {
    pub dev: u64,
    pub ino: u64,
    pub mode: u32,
    pub size: u64,
    pub mtime: (i64, i64),
    pub ctime: (i64, i64),
}

impl From<&Metadata> for Stat {
    fn from(m: &Metadata) -> Self {
        Self {
            dev: m.dev(),
            ino: m.ino(),
            mode: m.mode(),
            size: m.size(),
            mtime: (m.mtime(), m.mtime_nsec()),
            ctime: (m.ctime(), m.ctime_nsec()),
        }
    }
}

/// An entry that was found on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub entry: Entry,
    pub stat: Stat,
}

/// A directory as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tree {
    /// The directory itself.
    pub root: Stat,
    /// Everything below it, sorted by the bytes of the path, so that a directory comes before what is in it.
    pub found: Vec<Found>,
}

/// A directory could not be listed, or contains what an artifact must not.
#[derive(Debug, thiserror::Error)]
pub(super) enum WalkError {
    #[error(transparent)]
    Breach(#[from] Breach),
    #[error("cannot read `{path}`: {source}")]
    Io { path: Text, source: io::Error },
}

impl Tree {
    /// Lists a directory. Its entries follow the rules of `breach` in all but [`check_tree`].
    pub(super) fn walk(root: &Path) -> Result<Self, WalkError> {
        let fail = |path: &Path| {
            let path = shown(path);
            move |source| WalkError::Io { path, source }
        };
        let top = fs::metadata(root).map_err(fail(root))?;
        let mut found = Vec::new();
        let mut count = Count::default();
        let mut dirs = vec![(root.to_owned(), String::new())];
        while let Some((dir, prefix)) = dirs.pop() {
            for item in fs::read_dir(&dir).map_err(fail(&dir))? {
                let item = item.map_err(fail(&dir))?;
                let mut path = prefix.clone().into_bytes();
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(item.file_name().as_bytes());
                let path = check_path(&path)?.to_owned();
                let metadata = item.metadata().map_err(fail(&item.path()))?;
                let kind = kind(&path, &item.path(), &metadata)?;
                count.add(path.as_bytes(), if let Kind::File { size, .. } = kind { size } else { 0 })?;
                if kind == Kind::Dir {
                    dirs.push((item.path(), path.clone()));
                }
                found.push(Found { entry: Entry { path, kind }, stat: Stat::from(&metadata) });
            }
        }
        found.sort_by(|a, b| a.entry.path.cmp(&b.entry.path));
        Ok(Self { root: Stat::from(&top), found })
    }

    /// Checks what concerns all entries together.
    pub(super) fn check(&self) -> Result<(), Breach> {
        check_tree(&self.entries())
    }

    /// The entries without their state.
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.found.iter().map(|f| f.entry.clone()).collect()
    }
}

impl Found {
    /// Where it is, below this root.
    pub(super) fn below(&self, root: &Path) -> PathBuf {
        root.join(&self.entry.path)
    }
}

fn kind(path: &str, full: &Path, metadata: &Metadata) -> Result<Kind, WalkError> {
    let file_type = metadata.file_type();
    let special = |what| Err(Fault::Special { what }.at(path.as_bytes()).into());
    if file_type.is_dir() {
        Ok(Kind::Dir)
    } else if file_type.is_file() {
        // The owner's bit decides, as in git.
        Ok(Kind::File { exec: metadata.mode() & 0o100 != 0, size: metadata.len() })
    } else if file_type.is_symlink() {
        let target = fs::read_link(full).map_err(|source| WalkError::Io { path: shown(full), source })?;
        let target = target.to_str().ok_or_else(|| Fault::NotUtf8.at(path.as_bytes()))?;
        if target.chars().any(char::is_control) {
            return Err(Fault::Control.at(path.as_bytes()).into());
        }
        Ok(Kind::Link { target: target.to_owned() })
    } else if file_type.is_socket() {
        special("socket")
    } else if file_type.is_fifo() {
        special("named pipe")
    } else {
        special("device")
    }
}
