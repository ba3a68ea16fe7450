//! An unpacked copy, and whether it still is what was sealed.

use super::{
    drift::{self, Change, Drift},
    image::{Blob, image},
    layer::{Broken, Hasher, Part, stream},
    layout::Layout,
    tree::{Kind, Tree, WalkError},
    unpack::survey,
};
use crate::model::digest::Digest;
use std::{
    collections::BTreeMap,
    io::{self, Read},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

/// A read-only copy of an artifact that was verified, byte by byte, when this value was made.
#[derive(Debug)]
pub struct Unpacked {
    root: PathBuf,
    digest: Digest,
    /// Where the sealed layer is, to tell what changed. Nothing is believed because of it.
    layout: Layout,
    baseline: Tree,
}

impl Unpacked {
    /// Verifies a copy and takes its baseline.
    pub(super) fn verified(root: PathBuf, digest: Digest, layout: &Layout) -> Result<Self, Drift> {
        match verify(&root, &digest, layout, &mut |_| ControlFlow::Continue(()))? {
            Some(baseline) => Ok(Self { root, digest, layout: layout.clone(), baseline }),
            None => Err(Change::Unknown { why: "it was not read to its end".into() }.at("")),
        }
    }

    /// The same copy at another place: it was renamed, which changes its root and nothing in it.
    pub(super) fn moved(mut self, root: PathBuf) -> Result<Self, Drift> {
        let now = walk(&root)?;
        self.baseline.root = now.root.clone();
        self.root = root;
        drift::stat(&self.baseline, &now).map_or(Ok(self), Err)
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Which artifact it is a copy of.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Compares inode, size, mode, mtime and ctime of every entry with what they were when the bytes
    /// were verified, and looks for entries that came or went. Reads no bytes.
    ///
    /// # Errors
    /// The first difference.
    pub fn verify_stat(&self) -> Result<(), Drift> {
        drift::stat(&self.baseline, &walk(&self.root)?).map_or(Ok(()), Err)
    }

    /// Hashes all bytes and compares with the digest. `pace` is told the bytes that were read since it
    /// was last called, at most 256 KiB, and may sleep to limit the rate.
    ///
    /// # Errors
    /// The first difference.
    pub fn verify_bytes(&self, pace: &mut dyn FnMut(u64)) -> Result<(), Drift> {
        self.verify_bytes_until(&mut |bytes| {
            pace(bytes);
            ControlFlow::Continue(())
        })
        .map(|_| ())
    }

    /// Like [`Unpacked::verify_bytes`], and ends with `Break` as soon as `pace` says so.
    ///
    /// # Errors
    /// The first difference.
    pub fn verify_bytes_until(&self, pace: &mut dyn FnMut(u64) -> ControlFlow<()>) -> Result<ControlFlow<()>, Drift> {
        let verified = verify(&self.root, &self.digest, &self.layout, pace)?;
        Ok(if verified.is_some() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    }
}

fn walk(root: &Path) -> Result<Tree, Drift> {
    Tree::walk(root).map_err(|error| match error {
        WalkError::Breach(breach) => Drift { path: breach.path, change: Change::Unknown { why: breach.fault.to_string().into() } },
        WalkError::Io { path, source } => Drift { path, change: Change::Unreadable { why: source.to_string().into() } },
    })
}

/// Seals the copy again, without writing. `None` when `pace` ended it.
fn verify(root: &Path, digest: &Digest, layout: &Layout, pace: &mut dyn FnMut(u64) -> ControlFlow<()>) -> Result<Option<Tree>, Drift> {
    let before = walk(root)?;
    for found in &before.found {
        mode(&found.entry.path, found.stat.mode, &found.entry.kind)?;
    }
    mode("", before.root.mode, &Kind::Dir)?;
    let mut hasher = Hasher::default();
    let streamed = stream(root, &before, &mut |part: Part<'_>| {
        hasher.add(part.bytes());
        let go_on = if let Part::Body(_, bytes) = part { pace(bytes.len() as u64) } else { ControlFlow::Continue(()) };
        if go_on.is_break() { Err(()) } else { Ok(()) }
    });
    match streamed {
        Err(Broken::Receiver(())) => return Ok(None),
        Err(Broken::Changed { path }) => return Err(Drift { path, change: Change::Touched }),
        Err(Broken::Read { path, source }) => return Err(Drift { path, change: Change::Unreadable { why: source.to_string().into() } }),
        Ok(()) => {}
    }
    let (layer, size) = hasher.finish();
    if image(Blob { digest: layer, size }).map(|image| image.manifest.digest).ok() != Some(*digest) {
        return Err(explain(root, &before, digest, layout));
    }
    // Nothing may have moved while it was read, or the baseline would not belong to the bytes.
    drift::stat(&before, &walk(root)?).map_or(Ok(Some(before)), Err)
}

fn mode(path: &str, is: u32, kind: &Kind) -> Result<(), Drift> {
    match drift::mode(kind) {
        Some(was) if is & 0o7777 != was => Err(Change::Mode { was, is: is & 0o7777 }.at(path)),
        _ => Ok(()),
    }
}

/// What differs from the sealed layer, if that is still there and sound.
fn explain(root: &Path, tree: &Tree, digest: &Digest, layout: &Layout) -> Drift {
    let unknown = |why: String| Change::Unknown { why: why.into() }.at("");
    let mut sealed = BTreeMap::new();
    let listed = layout.image(digest).map_err(|e| e.to_string()).and_then(|image| {
        let mut each = |entry: &super::tree::Entry, bytes: &mut dyn Read| {
            sealed.insert(entry.path.clone(), hash(bytes)?);
            Ok(())
        };
        survey(layout, &image, &mut each).map_err(|e| e.to_string())
    });
    let entries = match listed {
        Ok(entries) => entries,
        Err(why) => return unknown(format!("which file, the sealed layer cannot tell: {why}")),
    };
    let is: BTreeMap<_, _> = tree.found.iter().map(|found| (found.entry.path.as_str(), found)).collect();
    for entry in &entries {
        let Some(found) = is.get(entry.path.as_str()) else {
            return Change::Missing.at(&entry.path);
        };
        if let Some(change) = drift::content(&entry.kind, &found.entry.kind) {
            return change.at(&entry.path);
        }
        if let (Some(was), Some(is)) = (drift::mode(&entry.kind), drift::mode(&found.entry.kind))
            && was != is
        {
            return Change::Mode { was, is }.at(&entry.path);
        }
    }
    let was: std::collections::BTreeSet<_> = entries.iter().map(|entry| entry.path.as_str()).collect();
    if let Some(path) = is.keys().find(|path| !was.contains(*path)) {
        return Change::Added.at(path);
    }
    for (path, was) in &sealed {
        let now = super::layer::open(&root.join(path)).and_then(|mut file| hash(&mut file));
        match now {
            Err(e) => return Change::Unreadable { why: e.to_string().into() }.at(path),
            Ok(now) if now != *was => return Change::Bytes.at(path),
            Ok(_) => {}
        }
    }
    unknown("every file is as it was sealed, but not their sealed form".to_owned())
}

fn hash(bytes: &mut dyn Read) -> io::Result<Digest> {
    let mut hashing = super::layout::Hashing { inner: io::sink(), hasher: Hasher::default() };
    io::copy(bytes, &mut hashing)?;
    Ok(hashing.hasher.finish().0)
}
