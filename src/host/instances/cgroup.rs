//! Control groups (v2) as a way to find every descendant of a service, however it hid: a process
//! cannot leave its group without the right to. Used where no PID namespace is allowed.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// The control group this process is in, if the system has version 2 mounted (alone or beside
/// version 1) and a group can be made below it.
#[must_use]
pub fn base() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let memberships = fs::read_to_string("/proc/self/cgroup").ok()?;
    let base = locate(&mounts, &memberships)?;
    let probe = base.join(format!("cutover-probe.{}", std::process::id()));
    fs::create_dir(&probe).ok()?;
    let usable = probe.join("cgroup.procs").exists();
    fs::remove_dir(&probe).ok()?;
    usable.then_some(base)
}

fn locate(mounts: &str, memberships: &str) -> Option<PathBuf> {
    let mount = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (at, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then_some(at)
    })?;
    let own = memberships.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(Path::new(mount).join(own.trim_start_matches('/')))
}

/// Makes a group.
///
/// # Errors
/// When the system refuses.
pub fn make(group: &Path) -> io::Result<()> {
    match fs::create_dir(group) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Moves a process into a group.
///
/// # Errors
/// When the system refuses.
pub fn enter(group: &Path, pid: u32) -> io::Result<()> {
    fs::write(group.join("cgroup.procs"), pid.to_string())
}

/// Kills everything in a group at one blow. Needs Linux 5.14.
///
/// # Errors
/// When the system cannot.
pub fn kill(group: &Path) -> io::Result<()> {
    fs::write(group.join("cgroup.kill"), "1")
}

/// Kills everything in a group and removes it. Says how many processes there were, or `None` if
/// there is no such group. Blocks for up to two seconds.
#[must_use]
pub fn sweep(group: &Path) -> Option<usize> {
    let members = fs::read_to_string(group.join("cgroup.procs")).ok()?;
    for _ in 0..400 {
        // On an older Linux one by one, looked up again until none is left.
        if kill(group).is_err() {
            for pid in fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default().lines() {
                if let Some(pid) = pid.parse().ok().and_then(rustix::process::Pid::from_raw) {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
            }
        }
        if fs::remove_dir(group).is_ok() || !group.exists() {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    Some(members.lines().count())
}

#[cfg(test)]
mod tests {
    use super::locate;
    use std::path::Path;

    #[test]
    fn version_two_is_found_alone_and_beside_version_one() {
        let hybrid = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(locate(hybrid, "1:cpu:/a\n0::/\n").as_deref(), Some(Path::new("/sys/fs/cgroup/unified")));
        let alone = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";
        assert_eq!(
            locate(alone, "0::/system.slice/cutover.service\n").as_deref(),
            Some(Path::new("/sys/fs/cgroup/system.slice/cutover.service"))
        );
        assert_eq!(locate("proc /proc proc rw 0 0\n", "0::/\n"), None);
    }
}
