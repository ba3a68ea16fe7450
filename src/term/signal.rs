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
use std::{
    io,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
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

static LOOP_ENDED: AtomicBool = AtomicBool::new(false);

/// Starts a thread that gives the terminal back and ends the process when a signal asked for that and
/// the loop has not ended within 3 s, or when SIGINT comes a second time.
///
/// # Errors
/// When the thread cannot be started.
pub fn watchdog() -> io::Result<()> {
    static ONCE: Once = Once::new();
    LOOP_ENDED.store(false, Ordering::SeqCst);
    let mut started = Ok(());
    ONCE.call_once(|| {
        started = thread::Builder::new().name("watchdog".into()).spawn(watch).map(drop);
    });
    started
}

/// From now on the process ends in its own time; only a second SIGINT still ends it at once.
pub fn loop_ended() {
    LOOP_ENDED.store(true, Ordering::SeqCst);
}

fn watch() {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let code = runtime.block_on(async {
        let Ok(mut signals) = Signals::listen() else { return None };
        let mut interrupts = 0;
        let mut asked = None;
        let give_up = tokio::time::sleep(Duration::MAX);
        tokio::pin!(give_up);
        loop {
            tokio::select! {
                caught = signals.next() => {
                    interrupts += u32::from(caught == Caught::Interrupt);
                    if interrupts > 1 {
                        return Caught::Interrupt.exit_code();
                    }
                    if asked.is_none() && caught.exit_code().is_some() {
                        asked = caught.exit_code();
                        give_up.as_mut().reset(tokio::time::Instant::now() + GRACE);
                    }
                }
                () = &mut give_up => {
                    if !LOOP_ENDED.load(Ordering::SeqCst) {
                        return asked;
                    }
                    give_up.as_mut().reset(tokio::time::Instant::now() + Duration::from_secs(86_400));
                }
            }
        }
    });
    if let Some(code) = code {
        session::restore();
        std::process::exit(code.into());
    }
}
