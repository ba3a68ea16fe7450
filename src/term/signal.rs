//! Signals, and a thread that ends the process when the loop does not.
//!
//! | signal | what happens | exit code |
//! |---|---|---|
//! | SIGINT | as if quit; a second one ends the process at once | 130 |
//! | SIGTERM | as if quit | 143 |
//! | SIGHUP, closed terminal | as if quit | 129 |
//! | SIGTSTP | give the terminal back and stop, as ctrl-z | – |
//! | SIGCONT | claim it again and paint everything | – |
//! | SIGWINCH | the size is read again at the next frame | – |

use super::session;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long the loop has to end after a signal asked it to.
const GRACE: Duration = Duration::from_secs(3);

/// A signal that came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caught {
    /// SIGTERM.
    Terminate,
    /// SIGHUP.
    Hangup,
    /// SIGINT.
    Interrupt,
    /// SIGTSTP.
    Stop,
    /// SIGCONT.
    Continue,
    /// SIGWINCH.
    Resize,
}

impl Caught {
    /// 128 and the signal's number, for those that end the process.
    #[must_use]
    pub const fn exit_code(self) -> Option<u8> {
        match self {
            Self::Terminate => Some(143),
            Self::Hangup => Some(129),
            Self::Interrupt => Some(130),
            Self::Stop | Self::Continue | Self::Resize => None,
        }
    }
}

/// The signals that the loop listens to.
#[derive(Debug)]
pub struct Signals {
    each: [(Caught, Signal); 6],
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// When a handler cannot be installed.
    pub fn listen() -> io::Result<Self> {
        let tstp = rustix::process::Signal::TSTP.as_raw();
        let cont = rustix::process::Signal::CONT.as_raw();
        Ok(Self {
            each: [
                (Caught::Terminate, signal(SignalKind::terminate())?),
                (Caught::Hangup, signal(SignalKind::hangup())?),
                (Caught::Interrupt, signal(SignalKind::interrupt())?),
                (Caught::Continue, signal(SignalKind::from_raw(cont))?),
                (Caught::Stop, signal(SignalKind::from_raw(tstp))?),
                (Caught::Resize, signal(SignalKind::window_change())?),
            ],
        })
    }

    /// The next one; those that end the process first. Loses nothing when it is dropped.
    pub async fn next(&mut self) -> Caught {
        std::future::poll_fn(|cx| {
            for (caught, signal) in &mut self.each {
                if signal.poll_recv(cx).is_ready() {
                    return std::task::Poll::Ready(*caught);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

/// Leaves SIGCONT to the thread of the loop: its handler then runs there before the loop can read a
/// key that was typed while the process was stopped. For every thread that is started here.
pub(super) fn leave_continue_to_the_loop() {
    let mut cont = nix::sys::signal::SigSet::empty();
    cont.add(nix::sys::signal::Signal::SIGCONT);
    let _ = cont.thread_block();
}

static LOOP_ENDED: AtomicBool = AtomicBool::new(false);

/// Starts a thread that gives the terminal back and ends the process when a signal asked for that and
/// the loop has not ended within 3 s, or when SIGINT comes a second time.
///
/// It does not listen through tokio: of two runtimes the other may take a signal out of tokio's pipe, and
/// then the loop learns of a SIGCONT too late.
///
/// # Errors
/// When the thread cannot be started.
pub fn watchdog() -> io::Result<()> {
    static STARTED: AtomicBool = AtomicBool::new(false);
    LOOP_ENDED.store(false, Ordering::SeqCst);
    if STARTED.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGHUP, SIGINT])?;
    let watch = move || {
        leave_continue_to_the_loop();
        let (mut asked, mut interrupts) = (false, 0);
        for number in signals.forever() {
            let code = 128 + number;
            interrupts += u32::from(number == SIGINT);
            if interrupts > 1 {
                end(code);
            }
            if !std::mem::replace(&mut asked, true) {
                // A thread of its own, because this one waits for the next signal.
                let _ = thread::Builder::new().name("grace".into()).spawn(move || {
                    leave_continue_to_the_loop();
                    thread::sleep(GRACE);
                    if !LOOP_ENDED.load(Ordering::SeqCst) {
                        end(code);
                    }
                });
            }
        }
    };
    thread::Builder::new().name("watchdog".into()).spawn(watch).map(drop)
}

/// From now on the process ends in its own time; only a second SIGINT still ends it at once.
pub fn loop_ended() {
    LOOP_ENDED.store(true, Ordering::SeqCst);
}

fn end(code: i32) {
    session::restore();
    std::process::exit(code);
}
