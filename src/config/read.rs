//! Reading a configuration file that nobody else could have written.

use super::ConfigError;
use crate::{model::text::Text, watchdog::plain};
use rustix::fs::OFlags;
use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

/// The longest configuration in bytes: 1 MiB.
const MOST: u64 = 1 << 20;

/// A path as it may be printed.
pub fn shown(path: &Path) -> String {
    Text::from_bytes(path.as_os_str().as_encoded_bytes()).as_str().to_owned()
}

/// The file's text, or nothing if there is no such file.
pub fn read_if_there(path: &Path, uid: u32) -> Result<Option<String>, ConfigError> {
    match open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        file => text(path, uid, file).map(Some),
    }
}

/// The file's text.
pub fn read(path: &Path, uid: u32) -> Result<String, ConfigError> {
    text(path, uid, open(path))
}

fn open(path: &Path) -> io::Result<File> {
    // Non-blocking: a pipe in its place would keep us waiting for a writer.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn text(path: &Path, uid: u32, file: io::Result<File>) -> Result<String, ConfigError> {
    let file_name = || Text::clean(&shown(path));
    let unreadable = |why: String| ConfigError::Read { file: file_name(), why };
    let io = |e: io::Error| unreadable(plain(&e));
    let refused = |why| ConfigError::Refused { file: file_name(), why };

    let file = file.map_err(io)?;
    let seen = file.metadata().map_err(io)?;
    if !seen.is_file() {
        return Err(unreadable("it is no regular file".into()));
    }
    if seen.len() > MOST {
        return Err(unreadable(format!("it has {} bytes, the most is {MOST}", seen.len())));
    }
    let chmod = format!("chmod go-w {}", shown(path));
    foreign(&seen, uid, "it", &chmod).map_err(refused)?;
    // Whoever may write the directory can put another file in its place.
    let real = path.canonicalize().map_err(io)?;
    if let Some(dir) = real.parent() {
        let seen = dir.metadata().map_err(io)?;
        let sticky = seen.mode() & 0o1000 != 0;
        if !sticky {
            let name = format!("its directory {}", shown(dir));
            foreign(&seen, uid, &name, &format!("chmod go-w {}", shown(dir))).map_err(refused)?;
        }
    }
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes).map_err(io)?;
    String::from_utf8(bytes).map_err(|e| {
        let good = e.as_bytes().get(..e.utf8_error().valid_up_to()).unwrap_or_default();
        let line = good.iter().filter(|b| **b == b'\n').count() + 1;
        unreadable(format!("line {line} is not UTF-8 text"))
    })
}

/// Whether somebody else may write it: then why it is refused.
fn foreign(seen: &Metadata, uid: u32, what: &str, chmod: &str) -> Result<(), String> {
    if seen.uid() != uid && seen.uid() != 0 {
        return Err(format!("{what} belongs to user {}: it must belong to user {uid} or to root", seen.uid()));
    }
    match seen.mode() & 0o7777 {
        mode if mode & 0o022 != 0 => Err(format!("{what} may be written by others (mode {mode:03o}): {chmod}")),
        _ => Ok(()),
    }
}
