//! The terminal: claiming and giving it back, what it can do, bytes in, frames out, signals.
//!
//! Owner of the only process-wide state of this crate: whether the terminal is claimed, and how it
//! was before ([`session`]). Invariants: whatever ends the process, the terminal is given back; while
//! it is claimed nobody but [`output`] writes to it and nobody but [`input`] reads from it; a frame
//! is one `write()`.
//!
//! Keys are read and decoded here and not by crossterm's event stream, because this console acts on
//! letters and must know when each byte came. crossterm 0.29 reads inside `poll_next` of the loop: a
//! sequence that arrives in two pieces blocks the loop until the next byte, a closed terminal spins
//! there for ever, and of a sequence it does not know it hands on the tail as typed letters
//! (`ESC [ > 0 ; 95 ; 0 c` ends in the key that resumes a rollout). `vte` recognises every sequence.

pub mod ability;
pub mod canvas;
pub mod clipboard;
pub mod decode;
pub mod input;
pub mod output;
pub mod session;
pub mod signal;

/// Why the console cannot run here.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Input or output is no terminal.
    #[error("no terminal: {which} is not one; for scripts there are `cutover get`, `wait` and the acting verbs")]
    NoTerminal {
        /// `standard input` or `standard output`.
        which: &'static str,
    },
    /// The terminal cannot place text.
    #[error("the terminal cannot be drawn on: {why}; set TERM to what it is, or use `cutover get --watch`")]
    Dumb {
        /// What was found in the environment.
        why: &'static str,
    },
    /// The terminal refused.
    #[error("cannot {what} the terminal: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
}

impl Unusable {
    /// Wraps what the system says.
    pub(crate) fn io(what: &'static str) -> impl Fn(rustix::io::Errno) -> Self {
        move |e| Self::Io { what, source: e.into() }
    }
}
