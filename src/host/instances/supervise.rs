//! The hidden subcommand `supervise`: the parent of each service. One thread, no async runtime.
//!
//! ```text
//! host ─┬─ launch ── watch (first process of a PID and mount namespace) ── exec → service
//!       └─ watch (subreaper) ── exec → service                    where no namespace is allowed
//! ```
//!
//! The end of the pipe on standard input, or TERM as parent-death signal, means that the host is
//! gone: the service is asked to end, and whatever is left after 3 s is killed, until the system
//! says that no descendant is left. In a namespace the end of its first process ends all others.

mod exec;
mod outbox;
mod service;
mod watch;

use super::order::Report;
use nix::sched::{CloneFlags, unshare};
use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change, mount_remount},
    process::{Signal, getegid, geteuid, getppid, set_parent_process_death_signal},
    thread::{CapabilitySet, capabilities, clear_ambient_capability_set, configure_capability_in_ambient_set, set_capabilities},
};
use std::{
    ffi::OsString,
    fs,
    io::{self, Write as _},
    path::Path,
    process::{Command, ExitCode},
};

/// What runs again when a part of this subcommand starts the next: survives that the binary is
/// replaced, which its path would not.
const SELF: &str = "/proc/self/exe";

/// Runs the part of the subcommand that the arguments name. `main` calls it before anything else:
/// the process must have one thread only.
#[must_use]
pub fn supervise(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<String> = args.map(|a| a.to_string_lossy().into_owned()).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match *args.as_slice() {
        ["launch", parent] => launch(number(parent)),
        ["watch", parent] => watch::run(number(parent)),
        ["exec", parent] => return exec::run(number(parent)),
        _ => {
            let _ = writeln!(io::stderr(), "`cutover supervise` is started by the host only");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The host reads it as the reason why nothing was started.
            let _ = io::stdout().write_all(&Report::Failed(format!("supervisor: {error}").into()).line());
            ExitCode::FAILURE
        }
    }
}

fn number(text: &str) -> i32 {
    text.parse().unwrap_or(-1)
}

/// The parent's process id; 0 when it is outside of this PID namespace.
fn parent() -> i32 {
    getppid().map_or(0, |p| p.as_raw_nonzero().get())
}

/// Makes the namespaces and starts their first process, whose end it waits for.
fn launch(expected: i32) -> io::Result<()> {
    let (user, group) = (geteuid(), getegid());
    let mut flags = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS;
    if !user.is_root() {
        flags |= CloneFlags::CLONE_NEWUSER;
    }
    unshare(flags)?;
    if !user.is_root() {
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("{0} {0} 1", user.as_raw()))?;
        fs::write("/proc/self/gid_map", format!("{0} {0} 1", group.as_raw()))?;
        // Executing as a user other than root drops every capability that is not ambient.
        let mut sets = capabilities(None)?;
        sets.inheritable |= CapabilitySet::SYS_ADMIN;
        set_capabilities(None, sets)?;
        configure_capability_in_ambient_set(CapabilitySet::SYS_ADMIN, true)?;
    }
    // After the change of user namespace, which clears it. The next process gets TERM by this one's death.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if parent() != expected {
        return Ok(()); // the host died before the death signal was set
    }
    let mut init = Command::new(SELF).args(["supervise", "watch", "0"]).spawn()?;
    // It says nothing before it got its order, which the host sends after this line.
    io::stdout().write_all(&Report::Init(init.id()).line())?;
    let _ = init.wait()?;
    Ok(())
}

/// Makes the namespace's own view of files: no mount leaks out, `/proc` shows only its processes.
fn own_mounts() -> io::Result<()> {
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
    mount("proc", "/proc", "proc", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, None)?;
    Ok(())
}

/// Makes the artifact read-only for everything in this mount namespace, root's children included.
fn seal(root: &Path) -> io::Result<()> {
    use rustix::fs::StatVfsMountFlags as Had;
    mount_bind(root, root)?;
    // Flags that a less privileged namespace may not clear must be named again.
    let had = rustix::fs::statvfs(root)?.f_flag;
    let mut flags = MountFlags::BIND | MountFlags::RDONLY;
    for (was, keep) in [
        (Had::NOSUID, MountFlags::NOSUID),
        (Had::NODEV, MountFlags::NODEV),
        (Had::NOEXEC, MountFlags::NOEXEC),
        (Had::NOATIME, MountFlags::NOATIME),
        (Had::NODIRATIME, MountFlags::NODIRATIME),
        (Had::RELATIME, MountFlags::RELATIME),
    ] {
        if had.contains(was) {
            flags |= keep;
        }
    }
    mount_remount(root, flags, "")?;
    Ok(())
}

/// Takes back what [`launch`] had to keep over the execution: the service gets no capability.
fn drop_ambient() -> io::Result<()> {
    clear_ambient_capability_set()?;
    Ok(())
}
