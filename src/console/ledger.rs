//! The journal as the console sees it: there, or not to be had. Without it nothing but the way back is sent.

use crate::{
    journal::{Entry, JournalHandle},
    model::text::Text,
};
use std::time::Duration;

/// How long the end of the console waits for lines that are not on disk.
const AT_THE_END: Duration = Duration::from_secs(3);

/// See the module. Cheap to clone.
#[derive(Clone)]
pub enum Ledger {
    /// It is written.
    Open(JournalHandle),
    /// It cannot be opened: why, in one line.
    Closed(Text),
}

impl Ledger {
    /// Appends and waits for the disk.
    ///
    /// # Errors
    /// One line.
    pub async fn append(&self, entry: Entry) -> Result<(), String> {
        match self {
            Self::Open(journal) => journal.append(entry).await.map(drop).map_err(|e| e.to_string()),
            Self::Closed(why) => Err(why.to_string()),
        }
    }

    /// Appends while the caller goes on.
    pub fn append_detached(&self, entry: Entry) {
        if let Self::Open(journal) = self {
            journal.append_detached(entry);
        }
    }

    /// Why lines are not on disk, while they are not.
    #[must_use]
    pub fn trouble(&self) -> Option<Text> {
        match self {
            Self::Open(journal) => journal.trouble().borrow().clone(),
            Self::Closed(why) => Some(format!("{why}; nothing but the way back is sent").into()),
        }
    }

    /// Waits until every line is on disk, but not for a disk that hangs.
    pub async fn flush(&self) {
        if let Self::Open(journal) = self {
            let _ = tokio::time::timeout(AT_THE_END, journal.flush()).await;
        }
    }
}
