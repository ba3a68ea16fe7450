//! Claiming the terminal and giving it back, on every way out.
//!
//! Owner of the process-wide facts *is it claimed* and *how was it before*. They are static because
//! a panic hook and a watchdog thread must be able to give it back without asking anyone.

use super::Unusable;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::OwnedFd,
    io::Errno,
    process::{Signal, getpgid, getpgrp, getsid, kill_current_process_group},
    stdio::{dup2_stderr, stderr, stdin, stdout},
    termios::{OptionalActions, QueueSelector, SpecialCodeIndex, Termios, isatty, tcflush, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr},
};
use std::{
    io,
    sync::{
        Mutex, MutexGuard, Once, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::sync::Notify;

/// Alternate screen, bracketed paste, no cursor. Asks about synchronised updates before it erases: a
/// terminal that does not know the question and prints a part of it shows nothing of that.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?2004h\x1b[?25l\x1b[?2026$p\x1b[0m\x1b[2J\x1b[H";
/// The reverse, in the reverse order; first it ends a synchronised update that may be open.
const LEAVE: &[u8] = b"\x1b[?2026l\x1b[0m\x1b[?25h\x1b[?2004l\x1b[?1049l";

static CLAIMED: AtomicBool = AtomicBool::new(false);
static PANICKED: AtomicBool = AtomicBool::new(false);
static PANIC: Notify = Notify::const_new();
/// How everything was before it was claimed.
static BEFORE: Mutex<Option<Before>> = Mutex::new(None);
/// Held while a frame is written: what gives the terminal back waits for its end, but not for ever.
static WRITING: Mutex<()> = Mutex::new(());

struct Before {
    termios: Termios,
    /// Where standard error went, if that was the terminal: meanwhile it goes nowhere, because one
    /// line of a library tears the screen.
    stderr: Option<OwnedFd>,
}

/// The claim on the terminal; dropped, it gives it back.
#[derive(Debug)]
pub struct Session(());

impl Session {
    /// Checks that standard input and output are a terminal, puts it into raw mode and onto the
    /// alternate screen, and sees to it that a panic gives it back.
    ///
    /// # Errors
    /// When it is no terminal, or refuses. Nothing is changed then.
    pub fn claim() -> Result<Self, Unusable> {
        if !isatty(stdin()) {
            return Err(Unusable::NoTerminal { which: "standard input" });
        }
        if !isatty(stdout()) {
            return Err(Unusable::NoTerminal { which: "standard output" });
        }
        hook_panics();
        crossterm::style::force_color_output(true); // colour is decided in `ability`; with NO_COLOR crossterm also deletes attributes
        take().map_err(Unusable::io("claim"))?;
        Ok(Self(()))
    }

    /// Stops this process group, if there is a shell to continue it. The caller claims the terminal
    /// again ([`Session::reclaim`]) when SIGCONT comes. False if there is no such shell: nothing happened.
    ///
    /// SIGSTOP, because SIGTSTP is discarded in an orphaned group; the whole group, because a wrapper
    /// such as `cargo run` must stop too.
    #[must_use]
    pub fn stop(&self) -> bool {
        if !has_job_control() {
            return false;
        }
        restore();
        kill_current_process_group(Signal::STOP).is_ok()
    }

    /// Claims the terminal again after a stop, and throws away what was typed meanwhile. Waits up to
    /// half a second for the shell to hand it over.
    ///
    /// # Errors
    /// When this process is still in the background, or the terminal refuses.
    pub fn reclaim(&self) -> io::Result<()> {
        for _ in 0..10 {
            if in_foreground() {
                take()?;
                tcflush(stdin(), QueueSelector::IFlush)?;
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Err(io::Error::other("still in the background"))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        restore();
    }
}

/// Whether the terminal is claimed now.
#[must_use]
pub fn is_claimed() -> bool {
    CLAIMED.load(Ordering::SeqCst)
}

/// Resolves when any thread or task has panicked: the screen is gone then, so the loop must end.
pub async fn panicked() {
    if !PANICKED.load(Ordering::SeqCst) {
        PANIC.notified().await;
    }
}

/// Columns and rows; 80x24 where the terminal does not say.
#[must_use]
pub fn size() -> (u16, u16) {
    match tcgetwinsize(stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => (80, 24),
    }
}

/// Keeps [`restore`] from cutting into a frame while it is held.
pub(super) fn writing() -> MutexGuard<'static, ()> {
    WRITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the terminal back. Safe to call at any time, from any thread, as often as one likes; does not
/// allocate, ignores errors, waits at most half a second for a frame that is being written.
pub fn restore() {
    if !CLAIMED.swap(false, Ordering::SeqCst) {
        return;
    }
    let _frame = end_of_frame();
    if can_write() {
        let _ = rustix::io::write(stdout(), LEAVE);
    }
    let mut before = match BEFORE.try_lock() {
        Ok(before) => before,
        Err(TryLockError::Poisoned(before)) => before.into_inner(),
        Err(TryLockError::WouldBlock) => return,
    };
    if let Some(Before { termios, stderr }) = before.take() {
        // From the background it would stop this process for ever, and the modes are the shell's now.
        if in_foreground() {
            let _ = tcsetattr(stdin(), OptionalActions::Now, &termios);
        }
        if let Some(fd) = stderr {
            let _ = dup2_stderr(fd);
        }
    }
}

fn take() -> rustix::io::Result<()> {
    let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    let claimed_already = before.is_some(); // stopped from outside: what is set now may be ours
    let termios = match &*before {
        Some(before) => before.termios.clone(),
        None => tcgetattr(stdin())?,
    };
    let mut raw = termios.clone();
    raw.make_raw();
    // A read of nothing returns at once: no reader ever hangs in the loop.
    raw.special_codes[SpecialCodeIndex::VMIN] = 0;
    raw.special_codes[SpecialCodeIndex::VTIME] = 0;
    tcsetattr(stdin(), OptionalActions::Now, &raw)?;
    if !claimed_already {
        let stderr = if isatty(stderr()) { silence_stderr().ok() } else { None };
        *before = Some(Before { termios, stderr });
    }
    CLAIMED.store(true, Ordering::SeqCst);
    drop(before);
    if let Err(e) = rustix::io::write(stdout(), ENTER) {
        restore();
        return Err(e);
    }
    Ok(())
}

fn silence_stderr() -> rustix::io::Result<OwnedFd> {
    let saved = rustix::io::fcntl_dupfd_cloexec(stderr(), 3)?;
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC, rustix::fs::Mode::empty())?;
    dup2_stderr(&null)?;
    Ok(saved)
}

/// Waits for the frame that is being written; if the terminal takes nothing, throws away what waits in it.
fn end_of_frame() -> Option<MutexGuard<'static, ()>> {
    for attempt in 0..50 {
        match WRITING.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(guard)) => return Some(guard.into_inner()),
            Err(TryLockError::WouldBlock) => {
                if attempt == 40 {
                    let _ = tcflush(stdout(), QueueSelector::OFlush);
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
    None
}

fn can_write() -> bool {
    let out = stdout();
    let mut fds = [PollFd::new(&out, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        match poll(&mut fds, Some(&now)) {
            Err(Errno::INTR) => {}
            Ok(_) => return fds.iter().any(|fd| fd.revents().contains(PollFlags::OUT)),
            Err(_) => return false,
        }
    }
}

/// Whether changing the terminal's modes is ours to do. Yes where the terminal does not control us.
fn in_foreground() -> bool {
    tcgetpgrp(stdin()).map_or(true, |foreground| foreground == getpgrp())
}

/// Whether a shell made a group for us that it will continue: a session leader has nobody above it,
/// and in its group nobody does job control.
fn has_job_control() -> bool {
    match (getpgid(None), getsid(None)) {
        (Ok(group), Ok(session)) => group != session,
        _ => false,
    }
}

fn hook_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            report(panic);
            PANICKED.store(true, Ordering::SeqCst);
            PANIC.notify_one();
        }));
    });
}
