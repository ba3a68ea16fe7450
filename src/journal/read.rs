//! Reading: is the chain whole, and what was begun and never answered.

use super::{Entry, JournalError, Kind, Line, MAX_LINE, fault};
use crate::model::{action::Outcome, digest::Digest, ident::ActionId, text::Text};
use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

/// A chain that is whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    /// How many lines it has.
    pub lines: u64,
    /// The hash of the last one; equal to one kept elsewhere, nothing before it was changed.
    pub head: Option<Digest>,
}

/// The first place where a chain is not whole.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("journal line {line}: {why}")]
pub struct Broken {
    /// Counted from 1; 0 when the file cannot be read at all.
    pub line: u64,
    /// What is wrong, in one line.
    pub why: Text,
}

/// Checks every number and hash. Waits for whoever is appending.
///
/// # Errors
/// The first place where the chain is not whole.
pub fn verify(path: &Path) -> Result<Verified, Broken> {
    let mut seen = Verified { lines: 0, head: None };
    let broken = |line: u64, why: String| Broken { line, why: Text::clean(&why) };
    let mut lines = Lines::open(path).map_err(|e| broken(0, e.to_string()))?;
    while let Some(bytes) = lines.next().map_err(|e| broken(seen.lines + 1, fault("read", path)(e).to_string()))? {
        let number = seen.lines + 1;
        let Some(text) = bytes.strip_suffix(b"\n") else {
            return Err(broken(number, "has no end: it was torn by a crash; the next line that is written moves it aside".into()));
        };
        let line: Line = serde_json::from_slice(text).map_err(|e| broken(number, format!("is no journal line: {e}")))?;
        if line.seq != number {
            return Err(broken(number, format!("says it is line {}: lines are missing or were added", line.seq)));
        }
        if line.prev != seen.head {
            return Err(broken(number, "does not carry the hash of the line before: one of the two was changed".into()));
        }
        seen = Verified { lines: number, head: Some(Digest::of(text)) };
    }
    Ok(seen)
}

/// Intents whose outcome is not known, oldest first: there is no outcome line, or it says that no
/// answer came and nothing confirmed or contradicted it since. A journal that does not exist has none.
///
/// Lines that cannot be read are passed over: [`verify`] is what finds them.
///
/// # Errors
/// When the system says no.
pub fn open_intents(path: &Path) -> Result<Vec<Entry>, JournalError> {
    let mut lines = match Lines::open(path) {
        Err(JournalError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut open: Vec<(ActionId, Entry)> = Vec::new();
    let mut closed = BTreeSet::new();
    while let Some(bytes) = lines.next().map_err(fault("read", path))? {
        let Ok(Line { entry, .. }) = serde_json::from_slice::<Line>(bytes) else { continue };
        let Some(id) = entry.id.clone() else { continue };
        match entry.kind {
            Kind::Intent if !closed.contains(&id) => open.push((id, entry)),
            Kind::Outcome if !matches!(entry.outcome, Some(Outcome::Unknown { .. })) => drop(closed.insert(id)),
            Kind::Observation if !matches!(entry.observation, None | Some(crate::model::action::Observation::Pending { .. })) => {
                closed.insert(id);
            }
            _ => {}
        }
    }
    Ok(open.into_iter().filter(|(id, _)| !closed.contains(id)).map(|(_, entry)| entry).collect())
}

/// The lines of a journal, of bounded length, read under a shared lock.
struct Lines {
    file: BufReader<File>,
    line: Vec<u8>,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, JournalError> {
        let file = File::open(path).map_err(fault("open", path))?;
        file.lock_shared().map_err(fault("lock", path))?;
        Ok(Self { file: BufReader::with_capacity(64 << 10, file), line: Vec::new() })
    }

    /// The next line with its end; a longer one than is ever written comes in pieces, without an end.
    fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        let most = MAX_LINE as u64 + 1;
        let read = self.file.by_ref().take(most).read_until(b'\n', &mut self.line)?;
        Ok((read > 0).then_some(self.line.as_slice()))
    }
}
