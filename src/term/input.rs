//! Keys in: everything that can be read at once is one batch.

use super::decode::{Decoder, InputBatch};
use crate::clock::Clock;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::OwnedFd,
    io::Errno,
};
use std::{io, time::Duration};
use tokio::io::{Interest, unix::AsyncFd};

/// How much is read at once at most, in bytes; more is another batch.
const AT_ONCE: usize = 64 * 1024;

/// The reading end of the terminal. Reads only while somebody waits for it, so a stopped program
/// takes no keys from its shell.
#[derive(Debug)]
pub struct Keyboard {
    fd: AsyncFd<OwnedFd>,
    decoder: Decoder,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decoder")
    }
}

/// What was read.
#[derive(Debug)]
pub enum Read {
    /// Keys, and when they were read ([`Clock::uptime`]).
    Batch(InputBatch, Duration),
    /// The terminal is gone.
    Closed,
}

impl Keyboard {
    /// Reads standard input, which must be a terminal in the mode that
    /// [`Session`](super::session::Session) sets: a read of nothing returns at once.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn new() -> io::Result<Self> {
        let fd = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
        #[expect(deprecated, reason = "its successor is unsafe for types that change their descriptor; an `OwnedFd` does not")]
        let fd = AsyncFd::with_interest(fd, Interest::READABLE)?;
        Ok(Self { fd, decoder: Decoder::default(), bytes: Vec::new() })
    }

    /// Throws away what can be read now and what was read of an unfinished key.
    pub fn discard(&mut self) {
        fill(self.fd.get_ref(), &mut self.bytes);
        self.decoder.reset();
    }

    /// The next batch. Loses nothing when it is dropped.
    pub async fn read(&mut self, clock: &dyn Clock) -> Read {
        loop {
            let Ok(mut ready) = self.fd.readable().await else { return Read::Closed };
            let filled = fill(self.fd.get_ref(), &mut self.bytes);
            if filled != Filled::More {
                ready.clear_ready(); // readiness is reported once per arrival: only what is drained may be waited for again
            }
            if !self.bytes.is_empty() {
                // Stamped after the read: a key may be older than this, never younger.
                let at = clock.uptime();
                return Read::Batch(self.decoder.feed(&self.bytes, at), at);
            }
            if filled == Filled::Closed {
                return Read::Closed;
            }
        }
    }
}

#[derive(PartialEq)]
enum Filled {
    /// Nothing is left.
    Drained,
    /// More is left than is taken at once.
    More,
    /// The terminal is gone.
    Closed,
}

fn fill(fd: &OwnedFd, bytes: &mut Vec<u8>) -> Filled {
    let mut chunk = [0; 4096];
    bytes.clear();
    while bytes.len() < AT_ONCE {
        match rustix::io::read(fd, &mut chunk) {
            Ok(0) if hung_up(fd) => return Filled::Closed,
            Ok(0) | Err(Errno::AGAIN) => return Filled::Drained,
            Ok(n) => bytes.extend_from_slice(chunk.get(..n).unwrap_or_default()),
            Err(Errno::INTR) => {}
            Err(_) => return Filled::Closed,
        }
    }
    Filled::More
}

/// A read of nothing is "nothing typed" in the mode that is set, and "gone" after a hang-up.
fn hung_up(fd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let _ = poll(&mut fds, Some(&now));
    fds.iter().any(|fd| fd.revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL))
}
