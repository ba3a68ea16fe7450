//! How a child of ours lives apart from whoever started it, and ends with them.

use std::{
    io::{self, Read},
    thread,
};
use tokio_util::sync::CancellationToken;

/// Leaves the terminal's session, so that Ctrl-Z and Ctrl-C there do not reach us. The token is
/// cancelled when standard input ends, which it does when the process that holds its other end ends,
/// in whatever way.
///
/// # Errors
/// When no thread can be started.
pub fn live_apart() -> io::Result<CancellationToken> {
    // A group leader cannot leave its session; then it is out of the terminal's reach already.
    let _ = rustix::process::setsid();
    let closed = CancellationToken::new();
    let token = closed.clone();
    // A thread of its own: a blocking read must not hold up the runtime, not even at its end.
    thread::Builder::new().name("stdin".into()).spawn(move || {
        let mut byte = [0];
        let mut stdin = io::stdin().lock();
        loop {
            match stdin.read(&mut byte) {
                Ok(n) if n > 0 => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        token.cancel();
    })?;
    Ok(closed)
}
