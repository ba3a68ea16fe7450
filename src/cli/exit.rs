//! Exit codes: 0 done · 1 ended in another state than the one asked for · 2 usage, configuration,
//! unknown rollout · 3 backend unreachable or denied · 4 refused · 5 timed out · 130 ctrl-c.

use crate::model::action::Refusal;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use std::{
    fmt::Display,
    future::Future,
    io::{self, Write},
    thread,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

/// A way to end that is not success, with the one line to print.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exit {
    code: u8,
    reason: &'static str,
    line: Option<String>,
    told: bool,
}

impl Exit {
    fn new(code: u8, reason: &'static str, line: impl Display) -> Self {
        Self { code, reason, line: Some(line.to_string()), told: false }
    }

    /// 1: the rollout is or ended in another state than the one asked for, or something broke.
    pub fn failed(line: impl Display) -> Self {
        Self::new(1, "failed", line)
    }

    /// 2: usage, configuration, unknown rollout, no terminal.
    pub fn usage(line: impl Display) -> Self {
        Self::new(2, "usage", line)
    }

    /// 3: backend unreachable or denied.
    pub fn unreachable(line: impl Display) -> Self {
        Self::new(3, "unreachable", line)
    }

    /// 4: refused; 3 for want of a right.
    #[must_use]
    pub fn refused(refusal: &Refusal) -> Self {
        let code = if matches!(refusal, Refusal::Denied { .. }) { 3 } else { 4 };
        Self::new(code, refusal.word(), refusal)
    }

    /// 4: refused here, before anything was asked.
    pub fn not_sent(line: impl Display) -> Self {
        Self::new(4, "not_sent", line)
    }

    /// 5: timed out.
    pub fn timed_out(line: impl Display) -> Self {
        Self::new(5, "timed_out", line)
    }

    /// A code of its own, with nothing left to say.
    #[must_use]
    pub const fn silent(code: u8) -> Self {
        Self { code, reason: "signal", line: None, told: false }
    }

    /// The code.
    #[must_use]
    pub const fn code(&self) -> u8 {
        self.code
    }

    /// The same after an answer was printed: standard output has its JSON already.
    #[must_use]
    pub fn told(self) -> Self {
        Self { told: true, ..self }
    }

    /// Whether an answer was printed before it.
    #[must_use]
    pub const fn is_told(&self) -> bool {
        self.told
    }

    /// The same, saying which rollout or target it is about.
    #[must_use]
    pub fn about(self, what: &crate::model::text::Text) -> Self {
        Self { line: self.line.map(|line| format!("{what}: {line}")), ..self }
    }

    /// Says it on standard error and goes on: another one decides about the code.
    pub fn complain(&self) {
        if let Some(line) = &self.line {
            let _ = writeln!(io::stderr().lock(), "cutover: {line}");
        }
    }

    /// Why, in a word for scripts.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// What to print, on standard error.
    #[must_use]
    pub fn line(&self) -> Option<&str> {
        self.line.as_deref()
    }
}

/// Runs a future on a runtime of its own. SIGINT, SIGTERM and SIGHUP end it with 128 and their number,
/// by returning, so that what is held is let go.
///
/// # Errors
/// When there is no runtime to be had, or a signal came.
pub fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(Exit::failed)?;
    let done = runtime.block_on(async {
        let mut int = signal(SignalKind::interrupt()).map_err(Exit::failed)?;
        let mut term = signal(SignalKind::terminate()).map_err(Exit::failed)?;
        let mut hup = signal(SignalKind::hangup()).map_err(Exit::failed)?;
        tokio::select! {
            done = work => Ok(done),
            _ = int.recv() => Err(Exit::silent(130)),
            _ = term.recv() => Err(Exit::silent(143)),
            _ = hup.recv() => Err(Exit::silent(129)),
        }
    });
    runtime.shutdown_background();
    done
}

/// What a failed write to standard output means: a reader that has seen enough is no failure.
///
/// # Errors
/// Every other reason.
pub fn closed(error: io::Error) -> Result<(), Exit> {
    if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(Exit::failed(format!("cannot print: {error}"))) }
}

/// Ends when whoever reads standard output through a pipe has gone, also while nothing is written.
pub async fn reader_gone() {
    let (gone, told) = oneshot::channel();
    // A thread that ends with the process: the poll has no end where the reader stays, or is a file.
    let watching = thread::Builder::new().name("reader".into()).spawn(move || {
        let stdout = io::stdout();
        // Errors and hang-ups come unasked.
        while let Err(Errno::INTR) = poll(&mut [PollFd::new(&stdout, PollFlags::empty())], None) {}
        let _ = gone.send(());
    });
    if watching.is_err() || told.await.is_err() {
        std::future::pending().await
    }
}
