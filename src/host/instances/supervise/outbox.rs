//! Reports on their way to the host: never waits for it, keeps a bounded amount, counts what it
//! throws away. Once the host is gone, lines go to the instance's log file instead.

use super::super::order::{Ending, LastWords, Report};
use crate::{
    clock::Clock,
    model::{
        event::{LogLine, LogStream},
        text::Text,
    },
};
use rustix::{
    fs::{OFlags, fcntl_setfl},
    io::Errno,
};
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write as _},
};

/// Beyond this, the service's lines are thrown away and counted.
const ROOM: usize = 1024 * 1024;

/// What waits to be written to standard output.
pub struct Outbox {
    bytes: VecDeque<u8>,
    dropped: u64,
    /// The start of the first line has been written already.
    torn: bool,
    broken: bool,
    last_words: Option<(File, LogLine)>,
}

impl Outbox {
    /// Takes standard output over.
    pub fn new() -> io::Result<Self> {
        fcntl_setfl(rustix::stdio::stdout(), OFlags::NONBLOCK)?;
        Ok(Self { bytes: VecDeque::new(), dropped: 0, torn: false, broken: false, last_words: None })
    }

    /// Takes a report.
    pub fn push(&mut self, report: &Report, clock: &dyn Clock) {
        if self.broken || self.last_words.is_some() {
            return self.keep(report, clock);
        }
        if matches!(report, Report::Out(_) | Report::Err(_)) {
            if self.bytes.len() > ROOM {
                self.dropped += 1;
                return;
            }
            if self.dropped > 0 {
                self.bytes.extend(Report::Dropped(std::mem::take(&mut self.dropped)).line());
            }
        }
        self.bytes.extend(report.line());
    }

    /// The host is gone: from now on, lines go to the log file. What it had not read of the pipe is
    /// lost with it.
    pub fn host_gone(&mut self, words: &LastWords, clock: &dyn Clock) {
        if self.last_words.is_some() {
            return;
        }
        let file = File::options().append(true).create(true).open(&words.file);
        self.last_words = file.ok().map(|file| (file, words.like.clone()));
        let waiting: Vec<u8> = std::mem::take(&mut self.bytes).into();
        for report in waiting.split(|&b| b == b'\n').skip(usize::from(self.torn)).filter_map(Report::parse) {
            self.keep(&report, clock);
        }
        if std::mem::take(&mut self.dropped) > 0 {
            self.keep(&Report::Failed("lines were lost".into()), clock);
        }
    }

    fn keep(&mut self, report: &Report, clock: &dyn Clock) {
        let Some((file, like)) = &mut self.last_words else { return };
        let (stream, line) = match report {
            Report::Out(line) => (LogStream::Out, Text::from_bytes(line)),
            Report::Err(line) => (LogStream::Err, Text::from_bytes(line)),
            Report::Ended(ending) => (LogStream::End, end_without_host(*ending)),
            Report::Failed(why) => (LogStream::End, why.clone()),
            _ => return,
        };
        let line = LogLine { at: clock.now(), stream, line, ..like.clone() };
        if let Ok(mut json) = serde_json::to_vec(&line) {
            json.push(b'\n');
            let _ = file.write_all(&json);
        }
    }

    /// Whether something waits to be written.
    pub fn waits(&self) -> bool {
        !self.broken && !self.bytes.is_empty()
    }

    /// Writes what the pipe takes now. False once nobody reads it any more.
    pub fn flush(&mut self) -> bool {
        while self.waits() {
            let (front, _) = self.bytes.as_slices();
            match rustix::io::write(rustix::stdio::stdout(), front) {
                Ok(written) => self.torn = self.bytes.drain(..written).next_back().is_some_and(|b| b != b'\n'),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => self.broken = true,
            }
            if self.bytes.is_empty() && self.dropped > 0 {
                self.bytes.extend(Report::Dropped(std::mem::take(&mut self.dropped)).line());
            }
        }
        !self.broken
    }
}

fn end_without_host(ending: Ending) -> Text {
    format!("the host died: {}", ending.text()).into()
}
