//! Reading a layer that may be hostile.
//!
//! Entries are taken raw, so that only the few kinds a sealed layer has are ever interpreted: no
//! extended headers, no sparse files, no hard links.

use super::{
    breach::{Breach, Count, Fault, MAX_NAME, check_path},
    tree::{Entry, Kind},
};
use std::io::{self, Read};
use tar::{Archive, EntryType};

/// Why an archive could not be read.
#[derive(Debug)]
pub(super) enum ArchiveError {
    /// It contains what an artifact must not.
    Breach(Breach),
    /// It is no archive, ends too early, or `each` failed.
    Io(io::Error),
}

impl From<Breach> for ArchiveError {
    fn from(breach: Breach) -> Self {
        Self::Breach(breach)
    }
}

impl From<io::Error> for ArchiveError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Passes every entry with its bytes to `each`, and returns all entries in their order. What
/// concerns all entries together is not checked here.
pub(super) fn read(reader: impl Read, each: &mut dyn FnMut(&Entry, &mut dyn Read) -> io::Result<()>) -> Result<Vec<Entry>, ArchiveError> {
    let mut archive = Archive::new(reader);
    let mut entries = Vec::new();
    let mut count = Count::default();
    let mut long_path: Option<Vec<u8>> = None;
    let mut long_link: Option<Vec<u8>> = None;
    for item in archive.entries()?.raw(true) {
        let mut item = item?;
        let header = item.header();
        let entry_type = header.entry_type();
        if matches!(entry_type, EntryType::GNULongName | EntryType::GNULongLink) {
            let name = if entry_type == EntryType::GNULongName { &mut long_path } else { &mut long_link };
            if name.is_some() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "two long names for one entry").into());
            }
            *name = Some(long_name(&mut item)?);
            continue;
        }
        let mode = header.mode()?;
        let raw = long_path.take().unwrap_or_else(|| header.path_bytes().into_owned());
        let raw = if entry_type == EntryType::Directory { raw.strip_suffix(b"/").unwrap_or(&raw) } else { &raw };
        let path = check_path(raw)?.to_owned();
        let link = long_link.take().or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        let kind = match entry_type {
            EntryType::Directory => Kind::Dir,
            EntryType::Regular => Kind::File { exec: mode & 0o100 != 0, size: item.size() },
            EntryType::Symlink => Kind::Link { target: target(raw, &link.unwrap_or_default())? },
            other => return Err(Fault::Special { what: special(other) }.at(raw).into()),
        };
        if mode & 0o7000 != 0 {
            return Err(Fault::Privileged.at(raw).into());
        }
        count.add(raw, item.size())?;
        let entry = Entry { path, kind };
        if matches!(entry.kind, Kind::File { .. }) {
            each(&entry, &mut item)?;
        }
        entries.push(entry);
    }
    if long_path.is_some() || long_link.is_some() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a long name without an entry").into());
    }
    Ok(entries)
}

fn long_name(item: &mut (impl Read + ?Sized)) -> Result<Vec<u8>, ArchiveError> {
    let mut name = Vec::new();
    item.take(MAX_NAME as u64 + 2).read_to_end(&mut name)?;
    if name.last() == Some(&0) {
        name.pop();
    }
    if name.len() > MAX_NAME { Err(Fault::TooLong.at(name.get(..64).unwrap_or_default()).into()) } else { Ok(name) }
}

fn target(path: &[u8], target: &[u8]) -> Result<String, Breach> {
    match std::str::from_utf8(target) {
        Err(_) => Err(Fault::NotUtf8.at(path)),
        Ok(text) if text.chars().any(char::is_control) => Err(Fault::Control.at(path)),
        Ok(text) => Ok(text.to_owned()),
    }
}

const fn special(entry_type: EntryType) -> &'static str {
    match entry_type {
        EntryType::Link => "hard link",
        EntryType::Char | EntryType::Block => "device",
        EntryType::Fifo => "named pipe",
        EntryType::GNUSparse => "sparse file",
        EntryType::XHeader | EntryType::XGlobalHeader => "extended header",
        _ => "entry of an unknown kind",
    }
}
