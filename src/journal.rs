//! The append-only record of what was decided and done: JSON lines, each with a number and the
//! SHA-256 of the line before, so that no line can be changed or taken out unnoticed.
//!
//! One module for the console, the command line and the host: several processes append to one file,
//! each holding its lock from reading the last line to the sync. Owner of the file's form; nobody
//! else writes it. Entries have no place for a secret: plans, reasons and verdicts only.
//!
//! The last line is not covered by a later one: [`Verified::head`] is its hash, to be kept elsewhere.

mod entry;
mod file;
mod handle;
mod read;
#[cfg(test)]
mod tests;

pub use entry::{Entry, Kind, Line, Planned};
pub use file::{Journal, Receipt};
pub use handle::JournalHandle;
pub use read::{Broken, Verified, open_intents, verify};

use crate::{model::text::Text, watchdog::plain};
use std::{io, path::Path};

/// The longest line in bytes.
pub const MAX_LINE: usize = 1 << 20;

/// Why the journal could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system says no.
    #[error("cannot {what} journal {place}: {}", plain(.source))]
    Io {
        /// `open`, `read`, `write`.
        what: &'static str,
        /// Which file.
        place: Text,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// One entry is too long.
    #[error("a journal line would have {0} bytes, the most is {MAX_LINE}")]
    TooLong(usize),
    /// An entry cannot be written as JSON.
    #[error("a journal line cannot be written as JSON: {0}")]
    Encode(#[source] serde_json::Error),
    /// The chain does not go on from what is there.
    #[error("journal {place} is damaged before its last line: keep it, move it away, and a new one starts by itself")]
    Damaged {
        /// Which file.
        place: Text,
    },
    /// Too much is waiting for the disk.
    #[error("the journal has too many lines that are not written yet")]
    Full,
    /// The journal's thread has ended.
    #[error("the journal is closed")]
    Closed,
}

fn fault(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError + use<> {
    let place = Text::from_bytes(path.as_os_str().as_encoded_bytes());
    move |source| JournalError::Io { what, place, source }
}
