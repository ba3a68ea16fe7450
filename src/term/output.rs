//! Frames out: one `write()` each, which never blocks the loop.
//!
//! A frame is written at once, without blocking, through a description of the terminal that is
//! opened for that (setting the flag on standard output would set it for the shell too). What the
//! terminal does not take is written by a thread that may block.
//!
//! At most one frame is under way. While it is, the loop goes on reading keys, signals and changes,
//! and draws nothing; what is drawn next shows the latest state, so a slow link gets fewer frames and
//! never an old one.

use super::{session, signal};
use crate::clock::Clock;
use rustix::{
    fd::OwnedFd,
    fs::{Mode, OFlags, open},
    stdio::stdout,
    termios::ttyname,
};
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
pub struct Output {
    /// Fails with [`io::ErrorKind::WouldBlock`] instead of waiting.
    at_once: Option<Box<dyn Write + Send>>,
    /// A frame, how much of it is written, and when that began.
    frames: mpsc::SyncSender<(Vec<u8>, usize, Duration)>,
    written: tokio::sync::mpsc::Receiver<Written>,
    since: Option<Duration>,
    spare: Vec<u8>,
    clock: Arc<dyn Clock>,
}

impl Output {
    /// Writes to the terminal, as long as it is claimed.
    ///
    /// # Errors
    /// When the system has no descriptor or thread left.
    pub fn terminal(clock: Arc<dyn Clock>) -> io::Result<Self> {
        let fd = rustix::io::fcntl_dupfd_cloexec(stdout(), 3)?;
        let at_once = not_blocking().ok().map(|fd| Box::new(Terminal(fd)) as Box<dyn Write + Send>);
        Self::to(Terminal(fd), at_once, clock)
    }

    /// Writes to anything: at once where that does not block, else on a thread.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn to(mut sink: impl Write + Send + 'static, at_once: Option<Box<dyn Write + Send>>, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let (frames, next) = mpsc::sync_channel::<(Vec<u8>, usize, Duration)>(1);
        let (done, written) = tokio::sync::mpsc::channel(1);
        let time = Arc::clone(&clock);
        thread::Builder::new().name("output".into()).spawn(move || {
            signal::leave_continue_to_the_loop();
            while let Ok((mut buffer, from, began)) = next.recv() {
                let frame = session::writing();
                let result = sink.write_all(buffer.get(from..).unwrap_or_default());
                let ended = time.uptime();
                drop(frame);
                buffer.clear();
                if done.blocking_send(Written { began, ended, result, buffer }).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { at_once, frames, written, since: None, spare: Vec::with_capacity(64 * 1024), clock })
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

    /// Writes a frame, or starts to: `None` while it is [`Output::under_way`]. Only while no other is;
    /// an empty one is not written.
    pub fn send(&mut self, frame: Vec<u8>) -> Option<Written> {
        if frame.is_empty() {
            self.spare = frame;
            return None;
        }
        let began = self.clock.uptime();
        let written = match &mut self.at_once {
            Some(sink) => {
                let _frame = session::writing();
                loop {
                    match sink.write(&frame) {
                        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                        Err(e) if e.kind() == io::ErrorKind::WouldBlock => break Ok(0),
                        other => break other,
                    }
                }
            }
            None => Ok(0),
        };
        match written {
            Ok(n) if n < frame.len() => {
                self.since = Some(began);
                // Only this side holds a frame, so there is room; a thread that is gone never reports.
                let _ = self.frames.send((frame, n, began));
                None
            }
            other => {
                self.spare = frame;
                self.spare.clear();
                Some(Written { began, ended: self.clock.uptime(), result: other.map(drop), buffer: Vec::new() })
            }
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

/// The terminal behind standard output, opened again.
fn not_blocking() -> io::Result<OwnedFd> {
    let name = ttyname(stdout(), Vec::new())?;
    Ok(open(name, OFlags::WRONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?)
}

/// A terminal, unbuffered; writes nothing once it was given back.
struct Terminal(OwnedFd);

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !session::is_claimed() {
            return Ok(bytes.len());
        }
        match rustix::io::write(&self.0, bytes) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
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

    fn output(sink: &Counting, at_once: Option<Box<dyn Write + Send>>) -> Output {
        Output::to(sink.clone(), at_once, Arc::new(SystemClock::start())).unwrap()
    }

    #[tokio::test]
    async fn a_frame_is_one_write_whatever_its_size() {
        let (thread, at_once) = (Counting::default(), Counting::default());
        let mut output = output(&thread, Some(Box::new(at_once.clone())));
        for size in [1, 1_024, 70_000, 1_000_000] {
            assert!(output.send(vec![b'x'; size]).is_some_and(|w| w.result.is_ok()));
        }
        assert!(output.send(Vec::new()).is_none() && output.under_way().is_none(), "nothing to write is nothing written");
        assert_eq!(*at_once.0.lock().unwrap(), [1, 1_024, 70_000, 1_000_000]);
        assert!(thread.0.lock().unwrap().is_empty());
    }

    /// Takes ten bytes, then would block.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = bytes.len().min(10 - self.0);
            self.0 += n;
            if n == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(n) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_the_terminal_does_not_take_is_written_by_the_thread() {
        let thread = Counting::default();
        let mut output = output(&thread, Some(Box::new(Full(0))));
        for size in [100, 7] {
            assert!(output.send(vec![b'x'; size]).is_none() && output.under_way().is_some());
            let written = output.written().await;
            assert!(written.result.is_ok() && written.ended >= written.began && output.under_way().is_none());
        }
        assert_eq!(*thread.0.lock().unwrap(), [90, 7]);
    }

    #[tokio::test]
    async fn a_terminal_that_is_gone_is_an_error() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::other("gone"))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut output = output(&Counting::default(), Some(Box::new(Gone)));
        assert!(output.send(vec![b'x']).is_some_and(|w| w.result.is_err()));
    }
}
