//! The one form of a layer: a GNU tar stream that is a pure function of the entries and their bytes.
//!
//! Changing a byte of this form changes every digest there is; golden digests in the tests pin it.

use super::{
    shown,
    tree::{Entry, Found, Kind, Stat, Tree},
};
use crate::model::{digest::Digest, text::Text};
use sha2::{Digest as _, Sha256};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};
use tar::{EntryType, Header};

/// The largest layer there can be: all bytes, and for every entry two long names with their headers.
pub(super) const MAX_LAYER: u64 = super::MAX_BYTES + super::MAX_ENTRIES as u64 * (16 << 10);

const BLOCK: usize = 512;
const CHUNK: usize = 256 << 10;

/// What the stream consists of.
pub(super) enum Part<'a> {
    /// Headers, padding, the end.
    Frame(&'a [u8]),
    /// Bytes of a file.
    Body(&'a Entry, &'a [u8]),
}

impl<'a> Part<'a> {
    /// The bytes, whatever they are.
    pub(super) const fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Frame(bytes) | Self::Body(_, bytes) => bytes,
        }
    }
}

/// A stream that could not be finished; `E` is what the receiver says.
#[derive(Debug)]
pub(super) enum Broken<E> {
    /// A file cannot be read.
    Read { path: Text, source: io::Error },
    /// A file is not what it was when it was listed, or changed while it was read.
    Changed { path: Text },
    /// The receiver does not go on.
    Receiver(E),
}

/// The digest and length of a stream.
#[derive(Default)]
pub(super) struct Hasher {
    sha: Sha256,
    length: u64,
}

impl Hasher {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.sha.update(bytes);
        self.length += bytes.len() as u64;
    }

    pub(super) fn finish(self) -> (Digest, u64) {
        (Digest::from_array(self.sha.finalize().into()), self.length)
    }
}

/// Passes the layer of a tree to `receive`, part by part.
pub(super) fn stream<E>(root: &Path, tree: &Tree, receive: &mut dyn FnMut(Part<'_>) -> Result<(), E>) -> Result<(), Broken<E>> {
    let mut buffer = vec![0; CHUNK];
    for found in &tree.found {
        receive(Part::Frame(&headers(&found.entry))).map_err(Broken::Receiver)?;
        if let Kind::File { size, .. } = found.entry.kind {
            body(root, found, &mut buffer, receive)?;
            let rest = usize::try_from(size % BLOCK as u64).unwrap_or(0);
            if rest > 0 {
                let zeros = [0; BLOCK];
                receive(Part::Frame(zeros.get(rest..).unwrap_or_default())).map_err(Broken::Receiver)?;
            }
        }
    }
    receive(Part::Frame(&[0; 2 * BLOCK])).map_err(Broken::Receiver)
}

fn body<E>(root: &Path, found: &Found, buffer: &mut [u8], receive: &mut dyn FnMut(Part<'_>) -> Result<(), E>) -> Result<(), Broken<E>> {
    let path = found.below(root);
    let failed = |source| Broken::Read { path: shown(Path::new(&found.entry.path)), source };
    let changed = || Broken::Changed { path: shown(Path::new(&found.entry.path)) };
    let mut file = open(&path).map_err(failed)?;
    let same = |file: &File| file.metadata().map(|m| Stat::from(&m) == found.stat);
    if !same(&file).map_err(failed)? {
        return Err(changed());
    }
    let mut left = found.stat.size;
    loop {
        let read = match file.read(buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(failed)?,
        };
        if read == 0 {
            break;
        }
        // A file that grew would make the stream something else than its header says.
        left = left.checked_sub(read as u64).ok_or_else(changed)?;
        receive(Part::Body(&found.entry, buffer.get(..read).unwrap_or_default())).map_err(Broken::Receiver)?;
    }
    if left > 0 || !same(&file).map_err(failed)? { Err(changed()) } else { Ok(()) }
}

/// Opens a file that was listed as one: never through a link, never waiting for the other end of a pipe.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// The blocks before an entry's bytes.
pub(super) fn headers(entry: &Entry) -> Vec<u8> {
    let mut blocks = Vec::with_capacity(BLOCK);
    let (path, link, mode, size, kind) = match &entry.kind {
        Kind::Dir => (format!("{}/", entry.path), "", 0o755, 0, EntryType::Directory),
        Kind::File { exec, size } => (entry.path.clone(), "", if *exec { 0o755 } else { 0o644 }, *size, EntryType::Regular),
        Kind::Link { target } => (entry.path.clone(), target.as_str(), 0o777, 0, EntryType::Symlink),
    };
    long_name(&mut blocks, EntryType::GNULongLink, link);
    long_name(&mut blocks, EntryType::GNULongName, &path);
    blocks.extend_from_slice(header(&path, link, mode, size, kind).as_bytes());
    blocks
}

/// How GNU tar writes a name that does not fit its field.
fn long_name(blocks: &mut Vec<u8>, kind: EntryType, name: &str) {
    if name.len() <= 100 {
        return;
    }
    let size = name.len() + 1;
    blocks.extend_from_slice(header("././@LongLink", "", 0o644, size as u64, kind).as_bytes());
    blocks.extend_from_slice(name.as_bytes());
    blocks.resize(blocks.len() + 1, 0);
    blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
}

fn header(path: &str, link: &str, mode: u32, size: u64, kind: EntryType) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    if let Some(gnu) = header.as_gnu_mut() {
        // Not by `set_path`, which rewrites what it thinks unclean: a link's target is sealed as it is.
        for (field, name) in [(&mut gnu.name, path), (&mut gnu.linkname, link)] {
            for (to, from) in field.iter_mut().zip(name.bytes()) {
                *to = from;
            }
        }
    }
    header.set_cksum();
    header
}
