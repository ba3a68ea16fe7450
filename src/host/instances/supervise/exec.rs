//! The last step before the service's program: become the user, leave the supervisor's session,
//! drop what must not be inherited, and execute.

use super::{super::order::Order, parent};
use nix::{
    sys::signal::SigSet,
    unistd::{Gid, Uid, initgroups, setgid, setuid},
};
use rustix::{
    fs::{Access, Mode, access},
    process::{Signal, chdir, set_parent_process_death_signal, setsid, umask},
};
use std::{
    convert::Infallible,
    ffi::CString,
    io::{self, ErrorKind, Read as _, Write as _},
    os::unix::{net::UnixStream, process::CommandExt as _},
    path::Path,
    process::{Command, ExitCode, Stdio},
};

/// Reads the order from the socket on standard input and executes its command. Says on the same
/// socket why it could not; the socket closes without a word when it could.
pub fn run(expected: i32) -> ExitCode {
    let Ok(socket) = rustix::stdio::stdin().try_clone_to_owned() else { return ExitCode::FAILURE };
    let mut socket = UnixStream::from(socket);
    let mut text = String::new();
    let order = socket.read_to_string(&mut text).and_then(|_| Ok(serde_json::from_str::<Order>(&text)?));
    let why = match order {
        Ok(order) => match start(&order, expected) {
            Err(why) => why,
            Ok(never) => match never {},
        },
        Err(error) => format!("supervisor: {error}"),
    };
    let _ = socket.write_all(why.as_bytes());
    ExitCode::FAILURE
}

fn start(order: &Order, expected: i32) -> Result<Infallible, String> {
    // A session of its own: no terminal, and a process group that signals to the host do not reach.
    setsid().map_err(|e| failed("cannot start a session", e))?;
    if let Some(user) = &order.user {
        let name = CString::new(user.name.as_str()).map_err(|e| e.to_string())?;
        let become_user = || {
            initgroups(&name, Gid::from_raw(user.gid))?;
            setgid(Gid::from_raw(user.gid))?;
            setuid(Uid::from_raw(user.uid))
        };
        become_user().map_err(|e| failed(&format!("cannot become user {}", user.name), e))?;
    }
    // After the change of user, which clears it.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|e| failed("no parent-death signal", e))?;
    if parent() != expected {
        return Err("the supervisor died".to_owned());
    }
    umask(Mode::from_raw_mode(0o022));
    SigSet::all().thread_unblock().map_err(|e| failed("cannot unblock signals", e))?; // the supervisor's mask is inherited
    close_fds::set_fds_cloexec(3, &[]); // whatever the host had inherited itself
    let whom = order.user.as_ref().map_or_else(String::new, |u| format!(" as user {}", u.name));
    chdir(&order.root).map_err(|e| failed(&format!("cannot enter the artifact{whom}"), e))?;
    access(&order.home, Access::EXEC_OK | Access::WRITE_OK).map_err(|e| failed(&format!("cannot use the instance's HOME{whom}"), e))?;
    let (program, args) = order.command.split_first().ok_or("the command is empty")?;
    let error =
        Command::new(program).args(args).env_clear().envs(order.environment.iter().map(|(k, v)| (k, v))).stdin(Stdio::null()).exec();
    Err(refused(program, &error))
}

fn failed(what: &str, error: impl Into<io::Error>) -> String {
    format!("{what}: {}", error.into())
}

/// Why a program could not be executed, in the terms of whoever wrote the command.
fn refused(program: &str, error: &io::Error) -> String {
    let path = Path::new(program);
    let place = match (path.is_absolute(), program.contains('/')) {
        (true, _) => "on this machine",
        (false, true) => "in the artifact",
        (false, false) => "in PATH",
    };
    match error.kind() {
        ErrorKind::NotFound if program.contains('/') && path.exists() => {
            format!("command {program} names an interpreter or loader that does not exist")
        }
        ErrorKind::NotFound => format!("command {program} not found {place}"),
        ErrorKind::PermissionDenied => format!("command {program} may not be executed"),
        _ => format!("command {program}: {error}"),
    }
}
