//! Lines of the journal, written by a command that ends soon.

use crate::journal::{Entry, Journal, JournalError, Receipt};
use std::{io::Write, path::PathBuf, time::Duration};
use tokio::{task::JoinHandle, time::timeout};

/// How long a command waits for a disk.
const WAITS: Duration = Duration::from_secs(3);

/// Opens the journal and appends, on a thread of its own.
pub fn write(path: PathBuf, entry: Entry) -> JoinHandle<Result<Receipt, JournalError>> {
    tokio::task::spawn_blocking(move || Journal::open(&path)?.append(&entry))
}

/// Waits for the line to be on disk, but not for a disk that hangs.
///
/// # Errors
/// One line; the line may still be written later.
pub async fn at_most(writing: JoinHandle<Result<Receipt, JournalError>>) -> Result<(), String> {
    match timeout(WAITS, writing).await {
        Ok(Ok(Ok(_))) => Ok(()),
        Ok(Ok(Err(e))) => Err(e.to_string()),
        Ok(Err(_)) => Err("the journal could not be written".into()),
        Err(_) => Err(format!("the journal did not answer within {} s", WAITS.as_secs())),
    }
}

/// Says on standard error that a line is missing.
pub fn complain(written: Result<(), String>) {
    if let Err(why) = written {
        let _ = writeln!(std::io::stderr(), "cutover: {why}");
    }
}
