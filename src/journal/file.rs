//! Appending: lock, read the last line, write, sync.

use super::{Entry, JournalError, Kind, Line, MAX_LINE, fault};
use crate::model::{digest::Digest, text::Text};
use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// A journal that can be appended to.
///
/// The file is opened anew for every line: a journal that was moved away while we ran is followed by
/// a new one, never written on where nobody looks.
#[derive(Clone, Debug)]
pub struct Journal {
    path: PathBuf,
}

/// A line that is on disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// Its number.
    pub seq: u64,
    /// Its hash, which the next line carries.
    pub hash: Digest,
}

/// Where the chain goes on.
struct End {
    seq: u64,
    hash: Option<Digest>,
    /// Bytes of the file up to the end of the last whole line.
    len: u64,
    /// What stands after it.
    torn: Vec<u8>,
}

impl Journal {
    /// Creates what is missing (directory 0700, file 0600) and checks that it may be written.
    ///
    /// # Errors
    /// When the system says no.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let journal = Self { path: path.to_owned() };
        journal.file()?;
        Ok(journal)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one line and returns when it is on disk. Blocks as long as the disk, or another
    /// process that appends, takes.
    ///
    /// # Errors
    /// When the line is too long, the journal is damaged, or the system says no; nothing of the line
    /// is left in the file then.
    pub fn append(&self, entry: &Entry) -> Result<Receipt, JournalError> {
        let mut file = self.file()?;
        file.lock().map_err(fault("lock", &self.path))?;
        let mut end = self.end(&mut file)?;
        if !end.torn.is_empty() {
            self.keep_aside(&mut file, &mut end, entry)?;
        }
        self.put(&mut file, &mut end, entry)
    }

    fn file(&self) -> Result<File, JournalError> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).mode(0o600);
        match options.open(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            other => return other.map_err(fault("open", &self.path)),
        }
        let make = || {
            let dir = self.path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            let file = options.clone().create(true).open(&self.path)?;
            File::open(dir)?.sync_all()?;
            Ok(file)
        };
        make().map_err(fault("create", &self.path))
    }

    /// Looks for the last whole line from the end.
    fn end(&self, file: &mut File) -> Result<End, JournalError> {
        let io = |e| fault("read", &self.path)(e);
        let len = file.metadata().map_err(io)?.len();
        let mut window = 16 << 10;
        loop {
            let from = len.saturating_sub(window);
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(from)).map_err(io)?;
            file.take(len - from).read_to_end(&mut bytes).map_err(io)?;
            if let Some(end) = last_line(&bytes, from) {
                return Ok(end);
            }
            // Two lines of full length, of which the last may be torn.
            if from == 0 || window > 2 * (MAX_LINE as u64 + 1) {
                return Err(JournalError::Damaged { place: Text::from_bytes(self.path.as_os_str().as_encoded_bytes()) });
            }
            window *= 4;
        }
    }

    /// Moves a torn line to a file of its own and writes a line that says so.
    fn keep_aside(&self, file: &mut File, end: &mut End, entry: &Entry) -> Result<(), JournalError> {
        let io = |e| fault("repair", &self.path)(e);
        // Named by what it holds, so that a repair that was cut off is done again over itself.
        let name = format!("torn-{}-{}", end.seq + 1, Digest::of(&end.torn).short());
        let mut aside = self.path.clone().into_os_string();
        aside.push(format!(".{name}"));
        let aside = PathBuf::from(aside);
        let keep = || {
            let mut kept = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
            kept.write_all(&end.torn)?;
            kept.sync_all()?;
            let dir = aside.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(dir)?.sync_all()?;
            file.set_len(end.len)
        };
        keep().map_err(io)?;
        let bytes = std::mem::take(&mut end.torn).len();
        let note = format!("a line of {bytes} bytes was torn by a crash; it is kept in journal file {name}");
        let mut line = Entry::new(Kind::Repair, entry.at, Text::clean("journal"));
        line.note = Some(Text::clean(&note));
        self.put(file, end, &line).map(drop)
    }

    fn put(&self, file: &mut File, end: &mut End, entry: &Entry) -> Result<Receipt, JournalError> {
        let line = Line { seq: end.seq + 1, prev: end.hash, entry: entry.clone() };
        let mut bytes = serde_json::to_vec(&line).map_err(JournalError::Encode)?;
        if bytes.len() > MAX_LINE {
            return Err(JournalError::TooLong(bytes.len()));
        }
        let hash = Digest::of(&bytes);
        bytes.push(b'\n');
        if let Err(error) = file.write_all(&bytes).and_then(|()| file.sync_data()) {
            // Whoever appends next begins where we did; if even this fails, they find a torn line.
            let _ = file.set_len(end.len);
            return Err(fault("write", &self.path)(error));
        }
        *end = End { seq: line.seq, hash: Some(hash), len: end.len + bytes.len() as u64, torn: Vec::new() };
        Ok(Receipt { seq: line.seq, hash })
    }
}

/// The last whole line of the end of a file that begins at `from`, if it is in there. At most one
/// line can be torn, because each is synced before the next; with or without its line end, since a
/// crash may leave zeros in front of it.
fn last_line(bytes: &[u8], from: u64) -> Option<End> {
    let ends: Vec<usize> = bytes.iter().enumerate().rev().filter(|(_, b)| **b == b'\n').map(|(i, _)| i).take(3).collect();
    let whole = |end: usize, start: usize| -> Option<End> {
        let text = bytes.get(start..end)?;
        let line: Line = serde_json::from_slice(text).ok()?;
        let torn = bytes.get(end + 1..)?.to_vec();
        Some(End { seq: line.seq, hash: Some(Digest::of(text)), len: from + end as u64 + 1, torn })
    };
    // Where the line that ends at `ends[i]` starts, if that is in sight.
    let start = |i: usize| match ends.get(i + 1) {
        Some(before) => Some(before + 1),
        None => (from == 0).then_some(0),
    };
    let blank = |torn: &[u8]| End { seq: 0, hash: None, len: 0, torn: torn.to_vec() };
    let Some(&last) = ends.first() else { return (from == 0).then(|| blank(bytes)) };
    if let Some(end) = whole(last, start(0)?) {
        return Some(end);
    }
    // The last line that ends is torn: only if nothing stands after it, for only one can be.
    if last + 1 != bytes.len() {
        return None;
    }
    match ends.get(1) {
        Some(&before) => whole(before, start(1)?),
        None => Some(blank(bytes)),
    }
}
