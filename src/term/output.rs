//! Frames out: one `write()` each, on a thread of its own, because a write to a slow link blocks.
//!
//! At most one frame is under way. While it is, the loop goes on reading keys, signals and changes,
//! and draws nothing; what is drawn next shows the latest state, so a slow link gets fewer frames and
//! never an old one.

use super::session;
use crate::clock::Clock;
use rustix::{fd::OwnedFd, io::Errno};
use std::{
    io::{self, Write},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

/// What became of a frame.
#[derive(Debug)]
pub struct Written {
    /// When the write began ([`Clock::uptime`]).
    pub began: Duration,
    /// When it returned.
    pub ended: Duration,
    /// Whether it worked; if not, the terminal is gone.
    pub result: io::Result<()>,
    /// The emptied buffer, to be used again.
    pub buffer: Vec<u8>,
}

/// The writing end of the terminal.
#[derive(Debug)]
pub struct Output {
    frames: mpsc::SyncSender<Vec<u8>>,
    written: tokio::sync::mpsc::Receiver<Written>,
    since: Option<Duration>,
    spare: Vec<u8>,
    clock: ClockRef,
}

struct ClockRef(Arc<dyn Clock>);

impl std::fmt::Debug for ClockRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl Output {
    /// Writes to the terminal, as long as it is claimed.
    ///
    /// # Errors
    /// When the system has no descriptor or thread left.
    pub fn terminal(clock: Arc<dyn Clock>) -> io::Result<Self> {
        let fd = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
        Self::to(Terminal(fd), clock)
    }

    /// Writes to anything.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn to(mut sink: impl Write + Send + 'static, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let (frames, next) = mpsc::sync_channel::<Vec<u8>>(1);
        let (done, written) = tokio::sync::mpsc::channel(1);
        let time = Arc::clone(&clock);
        thread::Builder::new().name("output".into()).spawn(move || {
            while let Ok(mut buffer) = next.recv() {
                let frame = session::writing();
                let began = time.uptime();
                let result = sink.write_all(&buffer);
                let ended = time.uptime();
                drop(frame);
                buffer.clear();
                if done.blocking_send(Written { began, ended, result, buffer }).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { frames, written, since: None, spare: Vec::with_capacity(64 * 1024), clock: ClockRef(clock) })
    }

    /// Since when a frame is under way.
    #[must_use]
    pub const fn under_way(&self) -> Option<Duration> {
        self.since
    }

    /// An empty buffer for the next frame.
    #[must_use]
    pub fn buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.spare)
    }

    /// Starts writing. Only while nothing is [`Output::under_way`]; an empty frame is not written.
    pub fn send(&mut self, frame: Vec<u8>) {
        if frame.is_empty() {
            self.spare = frame;
        } else if self.frames.send(frame).is_ok() {
            self.since = Some(self.clock.0.uptime());
        }
    }

    /// The frame under way, when it is written. Waits for ever while none is. Loses nothing when dropped.
    pub async fn written(&mut self) -> Written {
        match self.written.recv().await {
            Some(mut written) => {
                self.since = None;
                self.spare = std::mem::take(&mut written.buffer);
                written
            }
            None => std::future::pending().await,
        }
    }
}

/// Standard output, unbuffered; writes nothing once the terminal was given back.
struct Terminal(OwnedFd);

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !session::is_claimed() {
            return Ok(bytes.len());
        }
        match rustix::io::write(&self.0, bytes) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Err(Errno::INTR) => Err(io::ErrorKind::Interrupted.into()),
            other => Ok(other?),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Output;
    use crate::clock::SystemClock;
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    #[derive(Clone, Default)]
    struct Counting(Arc<Mutex<Vec<usize>>>);

    impl Write for Counting {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().push(bytes.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_frame_is_one_write_whatever_its_size() {
        let sink = Counting::default();
        let mut output = Output::to(sink.clone(), Arc::new(SystemClock::start())).unwrap();
        for size in [1, 1_024, 70_000, 1_000_000] {
            output.send(vec![b'x'; size]);
            assert!(output.under_way().is_some());
            let written = output.written().await;
            assert!(written.result.is_ok() && written.ended >= written.began && output.under_way().is_none());
        }
        output.send(Vec::new());
        assert!(output.under_way().is_none(), "nothing to write is nothing written");
        assert_eq!(*sink.0.lock().unwrap(), [1, 1_024, 70_000, 1_000_000]);
    }
}
