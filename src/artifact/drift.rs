//! Drift: what differs between an unpacked copy and what was sealed.

use super::tree::{Found, Kind, Stat, Tree};
use crate::model::text::Text;
use std::fmt;

/// The first thing that differs; no new instance may start from this copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// Where, from the root of the copy; `.` is the root itself.
    pub path: Text,
    /// What.
    pub change: Change,
}

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It was not sealed.
    Added,
    /// It is gone.
    Missing,
    /// It is a file, a directory or a link, and was sealed as something else.
    Kind,
    /// Other bytes, the same length.
    Bytes,
    /// Another length.
    Size {
        /// In bytes, as sealed.
        was: u64,
        /// In bytes, now.
        is: u64,
    },
    /// Other permissions.
    Mode {
        /// As unpacked.
        was: u32,
        /// Now.
        is: u32,
    },
    /// A link that points elsewhere.
    Link,
    /// It was written or changed, as its times say; only [`Unpacked::verify_bytes`](super::Unpacked::verify_bytes) could say whether its bytes are the same.
    Touched,
    /// Another file under the same name.
    Replaced,
    /// It cannot be read.
    Unreadable {
        /// The system's reason.
        why: Text,
    },
    /// Something of it is not what was sealed, and what cannot be told.
    Unknown {
        /// Why not.
        why: Text,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added => f.write_str("was added"),
            Self::Missing => f.write_str("is missing"),
            Self::Kind => f.write_str("is of another kind than was sealed"),
            Self::Bytes => f.write_str("has other bytes than were sealed"),
            Self::Size { was, is } => write!(f, "has {is} bytes, sealed were {was}"),
            Self::Mode { was, is } => write!(f, "has mode {is:04o}, unpacked was {was:04o}"),
            Self::Link => f.write_str("points elsewhere than was sealed"),
            Self::Touched => f.write_str("was written to or changed since it was verified"),
            Self::Replaced => f.write_str("was replaced by another file"),
            Self::Unreadable { why } => write!(f, "cannot be read: {why}"),
            Self::Unknown { why } => write!(f, "is not what was sealed ({why})"),
        }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.path, self.change)
    }
}

impl std::error::Error for Drift {}

impl Change {
    /// This change at a path from the root.
    pub(super) fn at(self, path: &str) -> Drift {
        Drift { path: if path.is_empty() { ".".into() } else { Text::clean(path) }, change: self }
    }
}

/// The permissions an unpacked entry has; a link has none of its own.
pub(super) const fn mode(kind: &Kind) -> Option<u32> {
    match kind {
        Kind::Dir | Kind::File { exec: true, .. } => Some(0o555),
        Kind::File { exec: false, .. } => Some(0o444),
        Kind::Link { .. } => None,
    }
}

/// What differs in state between two listings of the same directory.
///
/// An entry that came or went also changes its directory, and a file says more than its directory:
/// so names first, then files and links, then directories.
pub(super) fn stat(was: &Tree, is: &Tree) -> Option<Drift> {
    if let Some(drift) = names(was, is) {
        return Some(drift);
    }
    let pairs = || was.found.iter().zip(&is.found);
    let is_dir = |found: &Found| found.entry.kind == Kind::Dir;
    let files = pairs().filter(|(was, _)| !is_dir(was)).chain(pairs().filter(|(was, _)| is_dir(was)));
    let drift = files.map(|(was, is)| entry(was, is)).find_map(|d| d);
    drift.or_else(|| one(&was.root, &is.root).map(|change| change.at("")))
}

/// What came or went.
pub(super) fn names(was: &Tree, is: &Tree) -> Option<Drift> {
    let mut old = was.found.iter().map(|f| f.entry.path.as_str()).peekable();
    let mut new = is.found.iter().map(|f| f.entry.path.as_str()).peekable();
    loop {
        match (old.peek(), new.peek()) {
            (None, None) => return None,
            (Some(a), Some(b)) if a == b => {
                old.next();
                new.next();
            }
            (Some(a), Some(b)) if a < b => return Some(Change::Missing.at(a)),
            (Some(a), None) => return Some(Change::Missing.at(a)),
            (_, Some(b)) => return Some(Change::Added.at(b)),
        }
    }
}

fn entry(was: &Found, is: &Found) -> Option<Drift> {
    let change = content(&was.entry.kind, &is.entry.kind).or_else(|| one(&was.stat, &is.stat));
    change.map(|change| change.at(&was.entry.path))
}

/// What differs of what is sealed, besides bytes.
pub(super) fn content(was: &Kind, is: &Kind) -> Option<Change> {
    match (was, is) {
        (Kind::Dir, Kind::Dir) => None,
        (Kind::File { size: was, .. }, Kind::File { size: is, .. }) => (was != is).then_some(Change::Size { was: *was, is: *is }),
        (Kind::Link { target: was }, Kind::Link { target: is }) => (was != is).then_some(Change::Link),
        _ => Some(Change::Kind),
    }
}

fn one(was: &Stat, is: &Stat) -> Option<Change> {
    let bits = 0o7777;
    if was.mode & bits != is.mode & bits {
        return Some(Change::Mode { was: was.mode & bits, is: is.mode & bits });
    }
    if (was.dev, was.ino) != (is.dev, is.ino) {
        return Some(Change::Replaced);
    }
    (was != is).then_some(Change::Touched)
}
