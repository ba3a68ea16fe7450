//! The host's durable state: on disk before it takes effect.
//!
//! Two files of a fixed size are written in place in turn, so that saving needs no free block on a
//! filesystem that overwrites in place, and the last state that was acknowledged is never the one
//! being written. [`Slots`] owns both files and the lock of their directory.
//!
//! Invariants: the slot that holds the last acknowledged state is not touched until the other one
//! is synced; a slot counts only if its SHA-256 is right; what was found at the start is put on
//! disk once more before anything relies on it (a process that died between write and sync leaves
//! it in the page cache only, where it looks the same).

mod file;
mod format;
mod saver;
#[cfg(test)]
mod tests;

pub use file::{FilePort, RealFile};
pub use saver::{SaveError, SaveTicket, Saver};

use crate::{
    clock::{Clock, SystemClock},
    model::text::Text,
    watchdog::plain,
};
use format::{HEADER, Seen};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    marker::PhantomData,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Bytes of each slot unless somebody asks for another size: 1 MiB.
pub const CAPACITY: usize = 1 << 20;

const NAMES: [&str; 2] = ["a", "b"];

/// Two slots and who may write them. Dropping it frees the directory.
pub struct Slots<T> {
    ports: [Box<dyn FilePort>; 2],
    capacity: usize,
    clock: Arc<dyn Clock>,
    /// The slot that is written next: never the one that holds the last acknowledged state.
    next: usize,
    /// The highest sequence used so far, by failed writes too.
    seq: u64,
    /// The loaded slot and its bytes until they are known to be on disk.
    unconfirmed: Option<(usize, Vec<u8>)>,
    /// Held for its lock.
    _lock: Option<File>,
    holds: PhantomData<fn(&T)>,
}

/// What was on disk.
#[derive(Clone, PartialEq, Debug)]
pub struct Loaded<T> {
    /// The last state, if there was one.
    pub state: Option<T>,
    /// Its sequence; 0 without a state.
    pub seq: u64,
    /// What was found, one line each, for the host's events.
    pub found: Vec<Text>,
}

/// Why state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SlotsError {
    /// A second host was started.
    #[error("state directory {dir} is used by another host: stop that one, or set host.state to another directory")]
    Busy {
        /// Which directory.
        dir: String,
    },
    /// The system says no.
    #[error("cannot {what} {place}: {}", plain(.source))]
    Io {
        /// `open`, `read`, `write`.
        what: &'static str,
        /// Which file or directory.
        place: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The state has outgrown its slot.
    #[error("the state has {need} bytes, a slot holds {have}: remove services that are not used any more")]
    TooLarge {
        /// Bytes of the state.
        need: usize,
        /// Bytes that fit.
        have: usize,
    },
    /// The state cannot be written as JSON.
    #[error("the state cannot be written as JSON: {0}")]
    Encode(#[source] serde_json::Error),
    /// A whole slot holds something else.
    #[error("slot {slot} in {dir} is whole but cannot be understood: {source}; was it written by another version of cutover?")]
    Decode {
        /// `a` or `b`.
        slot: &'static str,
        /// Which directory.
        dir: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A newer cutover has written it.
    #[error("slot {slot} in {dir} has format {found}, this cutover knows {known}: upgrade cutover")]
    Newer {
        /// `a` or `b`.
        slot: &'static str,
        /// Which directory.
        dir: String,
        /// The format found.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// No crash leaves this behind: the disk, or somebody, has changed what was synced.
    #[error("no slot in {dir} is whole: restore it, or move the slots away to start without any deployed version")]
    Damaged {
        /// Which directory.
        dir: String,
    },
}

impl<T: Serialize + DeserializeOwned> Slots<T> {
    /// Locks the directory, creates what is missing, and reads the last state.
    ///
    /// `capacity` is the size of each slot in bytes; slots that exist grow to it and never shrink.
    ///
    /// # Errors
    /// When another host has the directory, the system says no, or what is there is not usable.
    pub fn open(dir: &Path, capacity: usize) -> Result<(Self, Loaded<T>), SlotsError> {
        let io = |what, path: &Path| {
            let place = shown(path);
            move |source| SlotsError::Io { what, place, source }
        };
        if !dir.exists() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io("create", dir))?;
            // So that the directory itself survives a power cut; not every parent lets us.
            let _ = dir.parent().map(File::open).and_then(Result::ok).map(|parent| parent.sync_all());
        }
        let path = dir.join("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(io("open", &path))?;
        lock.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => SlotsError::Busy { dir: shown(dir) },
            TryLockError::Error(source) => io("lock", &path)(source),
        })?;
        let open = |name: &str| -> Result<Box<dyn FilePort>, SlotsError> {
            let path: PathBuf = dir.join(format!("slot-{name}"));
            Ok(Box::new(RealFile::open(&path, capacity).map_err(io("open", &path))?))
        };
        let [a, b] = NAMES;
        let (mut slots, loaded) = Self::with_ports([open(a)?, open(b)?], capacity, Arc::new(SystemClock::start()), dir)?;
        slots._lock = Some(lock);
        Ok((slots, loaded))
    }

    /// The same over any files, without a lock; `dir` only names them in errors.
    ///
    /// # Errors
    /// See [`Slots::open`].
    pub fn with_ports(
        mut ports: [Box<dyn FilePort>; 2],
        capacity: usize,
        clock: Arc<dyn Clock>,
        dir: &Path,
    ) -> Result<(Self, Loaded<T>), SlotsError> {
        let mut found = Vec::new();
        let mut best: Option<(usize, format::Whole, Vec<u8>)> = None;
        let mut states = [false; 2];
        for ((index, port), torn) in ports.iter_mut().enumerate().zip(&mut states) {
            let name = name(index);
            let bytes = port.read_all().map_err(|source| SlotsError::Io {
                what: "read",
                place: format!("slot {name} in {}", shown(dir)),
                source,
            })?;
            match format::read(&bytes) {
                Seen::Blank => {}
                Seen::Torn => *torn = true,
                Seen::Newer(version) => {
                    return Err(SlotsError::Newer { slot: name, dir: shown(dir), found: version, known: format::VERSION });
                }
                Seen::Whole(whole) => {
                    if best.as_ref().is_none_or(|(_, other, _)| whole.seq > other.seq) {
                        best = Some((index, whole, bytes));
                    }
                }
            }
        }
        let [first_torn, second_torn] = states;
        let mut slots = Self { ports, capacity, clock, next: 0, seq: 0, unconfirmed: None, _lock: None, holds: PhantomData };
        let Some((index, whole, bytes)) = best else {
            // The second slot is written only after the first one was synced once.
            if second_torn {
                return Err(SlotsError::Damaged { dir: shown(dir) });
            }
            found.push(Text::clean(if first_torn {
                "slot a was torn while the first state was written: nothing was deployed before it"
            } else {
                "no state yet: nothing was deployed before"
            }));
            return Ok((slots, Loaded { state: None, seq: 0, found }));
        };
        let payload = bytes.get(HEADER..whole.end).unwrap_or_default();
        let state = serde_json::from_slice(payload).map_err(|source| SlotsError::Decode { slot: name(index), dir: shown(dir), source })?;
        let torn = match (first_torn, second_torn) {
            (true, _) => "slot a was torn in mid-write, ",
            (_, true) => "slot b was torn in mid-write, ",
            _ => "",
        };
        let at = whole.at.map_or_else(|| "an unknown time".into(), |at| at.format("%Y-%m-%d %H:%M:%SZ").to_string());
        found.push(Text::clean(&format!("{torn}took slot {} from {at}, state {}", name(index), whole.seq)));
        slots.next = 1 - index;
        slots.seq = whole.seq;
        slots.unconfirmed = Some((index, bytes.get(..whole.end).unwrap_or_default().to_vec()));
        if let Err(error) = slots.confirm() {
            found.push(Text::clean(&format!("it cannot be put on disk again before it is used: {error}")));
        }
        Ok((slots, Loaded { state: Some(state), seq: whole.seq, found }))
    }

    /// Writes a state and returns its sequence once it is on disk. May take as long as the disk
    /// does: [`Saver`] is for those who cannot wait.
    ///
    /// # Errors
    /// When it does not fit or the system says no. The last acknowledged state is still there then,
    /// and a later write may succeed.
    pub fn write(&mut self, state: &T) -> Result<u64, SlotsError> {
        let payload = serde_json::to_vec(state).map_err(SlotsError::Encode)?;
        let have = self.capacity.saturating_sub(HEADER);
        if payload.len() > have {
            return Err(SlotsError::TooLarge { need: payload.len(), have });
        }
        self.confirm()?;
        // A failed write has used its number up, so that two contents never share one.
        self.seq += 1;
        let bytes = format::write(self.seq, self.clock.now(), &payload);
        self.put(self.next, &bytes)?;
        self.next = 1 - self.next;
        Ok(self.seq)
    }

    /// Puts the loaded state on disk where it is. The same bytes over themselves: whatever a crash
    /// tears, the slot holds what it held.
    fn confirm(&mut self) -> Result<(), SlotsError> {
        if let Some((index, bytes)) = self.unconfirmed.take()
            && let Err(error) = self.put(index, &bytes)
        {
            self.unconfirmed = Some((index, bytes));
            return Err(error);
        }
        Ok(())
    }

    fn put(&mut self, index: usize, bytes: &[u8]) -> Result<(), SlotsError> {
        let io = |source| SlotsError::Io { what: "write", place: format!("slot {}", name(index)), source };
        // A sync that failed may have forgotten the pages: a retry must write them again, as this does.
        let port = self.ports.get_mut(index).ok_or_else(|| io(io::ErrorKind::NotFound.into()))?;
        port.write_at(0, bytes).and_then(|()| port.sync()).map_err(io)
    }
}

fn name(index: usize) -> &'static str {
    NAMES.get(index).copied().unwrap_or("?")
}

fn shown(path: &Path) -> String {
    Text::from_bytes(path.as_os_str().as_encoded_bytes()).as_str().to_owned()
}
