//! What host and supervisor say to each other over the supervisor's standard input and output.
//!
//! The host sends one [`Order`] (a line of JSON), then [`Command`] lines; the end of the pipe means
//! that the host is gone. The supervisor answers with [`Report`] lines, the service's own output
//! among them, so that a dead host never blocks or kills a service that prints.

use crate::model::{event::LogLine, text::Text};
use secrecy::zeroize::Zeroize as _;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// The longest line of a service that is kept, in bytes.
pub const LINE_MAX: usize = 8 * 1024;

/// Everything a supervisor must know to start one service. Holds secrets: not `Debug`, sent over a
/// pipe only.
#[derive(Serialize, Deserialize)]
pub struct Order {
    /// Program and arguments, `{port}` replaced.
    pub command: Vec<String>,
    /// The service's whole environment, secrets included.
    pub environment: Vec<(String, String)>,
    /// The unpacked artifact: working directory.
    pub root: PathBuf,
    /// Whom to become; `None` stays the host's user.
    pub user: Option<Identity>,
    /// The service's `HOME`, which its user must be able to enter.
    pub home: PathBuf,
    /// The control group to put the service in.
    pub cgroup: Option<PathBuf>,
    /// Where the last words go once the host is gone.
    pub last_words: LastWords,
}

impl Drop for Order {
    fn drop(&mut self) {
        for (_, value) in &mut self.environment {
            value.zeroize();
        }
    }
}

/// A resolved system user.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// Its name, for its supplementary groups.
    pub name: String,
    /// Its user id.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
}

/// How the supervisor keeps what a service prints after its host died.
#[derive(Clone, Serialize, Deserialize)]
pub struct LastWords {
    /// The instance's log file.
    pub file: PathBuf,
    /// A line to copy service, version, role and instance from.
    pub like: LogLine,
}

/// What the host tells a running supervisor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// Ask the service to end; kill what is left after this long.
    Stop(Duration),
}

impl Command {
    /// Its line, with the line end.
    #[must_use]
    pub fn line(self) -> String {
        let Self::Stop(grace) = self;
        format!("stop {}\n", grace.as_millis())
    }

    /// Reads a line without its end; `None` if it is no command.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let millis = std::str::from_utf8(line).ok()?.strip_prefix("stop ")?.parse().ok()?;
        Some(Self::Stop(Duration::from_millis(millis)))
    }
}

/// What a supervisor tells the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Report {
    /// The first process of a PID namespace, as the host sees it.
    Init(u32),
    /// The service's process, as the supervisor sees it.
    Pid(u32),
    /// The service's program runs.
    Running,
    /// The service could not be started.
    Failed(Text),
    /// The service's process ended.
    Ended(Ending),
    /// Something is not as it should be; the service runs all the same.
    Warning(Text),
    /// So many lines were thrown away because the host did not keep up.
    Dropped(u64),
    /// This kind of isolation works here.
    Works,
    /// A line of the service's standard output.
    Out(Vec<u8>),
    /// A line of the service's standard error.
    Err(Vec<u8>),
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// By itself, with this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Nobody could tell.
    Unknown,
}

impl Ending {
    /// In words: `exit code 3`, `killed by SIGSEGV`.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::Code(code) => format!("exit code {code}"),
            Self::Signal(number) => match nix::sys::signal::Signal::try_from(number) {
                Ok(signal) => format!("killed by {}", signal.as_str()),
                Err(_) => format!("killed by signal {number}"),
            },
            Self::Unknown => "ended, nobody knows how".to_owned(),
        }
    }
}

impl Report {
    /// Its line, with the line end. Line ends inside are replaced.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let (tag, rest) = match self {
            Self::Init(pid) => (b'i', pid.to_string().into_bytes()),
            Self::Pid(pid) => (b'p', pid.to_string().into_bytes()),
            Self::Running => (b'x', Vec::new()),
            Self::Failed(why) => (b'f', why.as_str().as_bytes().to_vec()),
            Self::Ended(Ending::Code(code)) => (b'c', code.to_string().into_bytes()),
            Self::Ended(Ending::Signal(signal)) => (b's', signal.to_string().into_bytes()),
            Self::Ended(Ending::Unknown) => (b'u', Vec::new()),
            Self::Warning(what) => (b'w', what.as_str().as_bytes().to_vec()),
            Self::Dropped(lines) => (b'd', lines.to_string().into_bytes()),
            Self::Works => (b'k', Vec::new()),
            Self::Out(line) => (b'o', line.clone()),
            Self::Err(line) => (b'e', line.clone()),
        };
        let mut out = Vec::with_capacity(rest.len() + 2);
        out.push(tag);
        out.extend(rest.into_iter().map(|b| if b == b'\n' { b' ' } else { b }));
        out.push(b'\n');
        out
    }

    /// Reads a line without its end; `None` if it is no report.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
            std::str::from_utf8(digits).ok()?.parse().ok()
        }
        let (tag, rest) = line.split_first()?;
        Some(match tag {
            b'i' => Self::Init(number(rest)?),
            b'p' => Self::Pid(number(rest)?),
            b'x' => Self::Running,
            b'f' => Self::Failed(Text::from_bytes(rest)),
            b'c' => Self::Ended(Ending::Code(number(rest)?)),
            b's' => Self::Ended(Ending::Signal(number(rest)?)),
            b'u' => Self::Ended(Ending::Unknown),
            b'w' => Self::Warning(Text::from_bytes(rest)),
            b'd' => Self::Dropped(number(rest)?),
            b'k' => Self::Works,
            b'o' => Self::Out(rest.to_vec()),
            b'e' => Self::Err(rest.to_vec()),
            _ => return None,
        })
    }
}

/// Cuts a stream of bytes into lines of at most [`LINE_MAX`] bytes; what is cut off is marked `…`.
#[derive(Default)]
pub struct Splitter {
    line: Vec<u8>,
    cut: bool,
}

impl Splitter {
    /// Takes the next bytes and hands out every line they complete.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(Vec<u8>)) {
        let mut parts = bytes.split(|&b| b == b'\n').peekable();
        while let Some(part) = parts.next() {
            let room = LINE_MAX - self.line.len().min(LINE_MAX);
            self.cut |= part.len() > room;
            self.line.extend(part.iter().take(room));
            if parts.peek().is_some() {
                each(self.take());
            }
        }
    }

    /// The line that was not ended, if there is one.
    pub fn rest(&mut self) -> Option<Vec<u8>> {
        (!self.line.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> Vec<u8> {
        let mut line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.cut) {
            // Not through the middle of a character: it would be drawn as a broken one.
            while line.last().is_some_and(|b| b & 0xc0 == 0x80) {
                line.pop();
            }
            if line.last().is_some_and(|b| *b >= 0xc0) {
                line.pop();
            }
            line.extend("…".as_bytes());
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::{Command, Ending, LINE_MAX, Report, Splitter};
    use std::time::Duration;

    #[test]
    fn reports_and_commands_survive_the_pipe() {
        for report in [
            Report::Init(17),
            Report::Pid(2),
            Report::Running,
            Report::Failed("command ./x not found in the artifact".into()),
            Report::Ended(Ending::Code(-3)),
            Report::Ended(Ending::Signal(11)),
            Report::Ended(Ending::Unknown),
            Report::Warning("no cgroup".into()),
            Report::Dropped(9),
            Report::Works,
            Report::Out(vec![0xff, b' ', 0x1b]),
            Report::Err(Vec::new()),
        ] {
            let line = report.line();
            assert_eq!(line.iter().filter(|b| **b == b'\n').count(), 1);
            assert_eq!(Report::parse(line.strip_suffix(b"\n").unwrap()), Some(report));
        }
        assert_eq!(Report::parse(b"?"), None);
        assert_eq!(Report::parse(b""), None);
        let stop = Command::Stop(Duration::from_millis(1_500));
        assert_eq!(Command::parse(stop.line().trim_end().as_bytes()), Some(stop));
        assert_eq!(Command::parse(b"stop soon"), None);
    }

    #[test]
    fn endings_are_said_in_words() {
        assert_eq!(Ending::Code(3).text(), "exit code 3");
        assert_eq!(Ending::Signal(11).text(), "killed by SIGSEGV");
        assert_eq!(Ending::Signal(40).text(), "killed by signal 40");
    }

    #[test]
    fn lines_are_split_wherever_the_bytes_are_torn() {
        let text = b"one\n\ntwo\nthree";
        for at in 0..text.len() {
            let (a, b) = text.split_at(at);
            let (mut lines, mut splitter) = (Vec::new(), Splitter::default());
            splitter.feed(a, |l| lines.push(l));
            splitter.feed(b, |l| lines.push(l));
            lines.extend(splitter.rest());
            assert_eq!(lines, [&b"one"[..], b"", b"two", b"three"], "torn at {at}");
        }
    }

    #[test]
    fn a_long_line_is_cut_between_characters_and_says_so() {
        let (mut lines, mut splitter) = (Vec::new(), Splitter::default());
        splitter.feed("ü".repeat(LINE_MAX).as_bytes(), |l| lines.push(l));
        splitter.feed(b"\nnext\n", |l| lines.push(l));
        assert_eq!(lines.len(), 2);
        let first = String::from_utf8(lines[0].clone()).unwrap();
        assert!(first.ends_with("ü…") && first.len() <= LINE_MAX + 3);
        assert_eq!(lines[1], b"next");
    }
}
