//! The `cutover` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|verb| verb == "supervise") {
        return cutover::host::instances::supervise(args);
    }
    ExitCode::SUCCESS
}
