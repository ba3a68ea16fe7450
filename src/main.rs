//! The `cutover` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    // The parent of a service: single-threaded, before anything else is set up.
    let verb = args.next();
    if verb.as_ref().is_some_and(|verb| verb == "supervise") {
        return cutover::host::instances::supervise(args);
    }
    // What becomes a credential plugin, away from our terminal.
    if verb.is_some_and(|verb| verb == cutover::helper::APART) {
        return cutover::helper::apart(args);
    }
    cutover::cli::main(std::env::args_os(), cutover::config::Env::from_process())
}
