//! What `/proc` says about processes and listeners. Everything here blocks for as long as reading
//! a few small files takes; nothing here runs on the async runtime.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    net::{Ipv4Addr, Ipv6Addr},
};

/// One process, as `/proc/<pid>/stat` shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its parent's id.
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// When it started, in clock ticks since boot. With the id it names a process for ever.
    pub start: u64,
    /// Dead and not yet waited for.
    pub zombie: bool,
}

/// One process, if it exists.
#[must_use]
pub fn process(pid: u32) -> Option<Process> {
    parse_stat(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The parts of a `stat` line that are needed here. Bytes, as a command's name need not be UTF-8,
/// and everything after the *last* parenthesis, as the name may hold `) S 1`.
fn parse_stat(pid: u32, stat: &[u8]) -> Option<Process> {
    let close = stat.iter().rposition(|&b| b == b')')?;
    let rest = String::from_utf8_lossy(stat.get(close + 1..)?);
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |n: usize| fields.get(n).copied();
    Some(Process {
        pid,
        parent: field(1)?.parse().ok()?,
        group: field(2)?.parse().ok()?,
        start: field(19)?.parse().ok()?,
        zombie: matches!(field(0)?, "Z" | "X"),
    })
}

/// Every process there is.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn processes() -> io::Result<Vec<Process>> {
    let pids = fs::read_dir("/proc")?.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    Ok(pids.filter_map(process).collect())
}

/// The direct children of a process.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn children(parent: u32) -> io::Result<Vec<Process>> {
    // The short way needs CONFIG_PROC_CHILDREN; its answer is exact for a caller without threads.
    if let Ok(list) = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")) {
        return Ok(list.split_ascii_whitespace().filter_map(|p| process(p.parse().ok()?)).collect());
    }
    Ok(processes()?.into_iter().filter(|p| p.parent == parent).collect())
}

/// A process and everything that descends from it. Orphans count: they become children of their
/// supervisor, which is subreaper or the first process of their namespace.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn family(root: u32) -> io::Result<HashSet<u32>> {
    let mut by_parent: HashMap<u32, Vec<u32>> = HashMap::new();
    for p in processes()? {
        by_parent.entry(p.parent).or_default().push(p.pid);
    }
    let (mut seen, mut todo) = (HashSet::new(), vec![root]);
    while let Some(pid) = todo.pop() {
        if seen.insert(pid) {
            todo.extend(by_parent.get(&pid).into_iter().flatten());
        }
    }
    Ok(seen)
}

/// The child of `parent` that is called `inner` inside its PID namespace.
#[must_use]
pub fn child_by_inner_pid(parent: u32, inner: u32) -> Option<Process> {
    children(parent).ok()?.into_iter().find(|p| {
        let status = fs::read_to_string(format!("/proc/{}/status", p.pid)).unwrap_or_default();
        let ids = status.lines().find_map(|l| l.strip_prefix("NSpid:")).unwrap_or_default();
        ids.split_ascii_whitespace().next_back().and_then(|id| id.parse().ok()) == Some(inner)
    })
}

/// Names this boot of the machine: process ids and start times mean nothing after another.
#[must_use]
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// Who answers a connection to `127.0.0.1` at a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listener {
    /// Only processes of the family that was asked about.
    Ours,
    /// Somebody else, by process id if that may be seen.
    Foreign(Option<u32>),
    /// Nobody.
    Nobody,
}

/// Says whether everything that listens on a port of the loopback address belongs to `root` or its
/// descendants. Host and services share one network namespace, so one table shows them all.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn listener(root: u32, port: u16) -> io::Result<Listener> {
    let mut wanted: HashSet<u64> = listening("/proc/net/tcp", port)?.into_iter().collect();
    wanted.extend(listening("/proc/net/tcp6", port).unwrap_or_default()); // absent without IPv6
    if wanted.is_empty() {
        return Ok(Listener::Nobody);
    }
    let ours = family(root)?;
    for pid in &ours {
        for inode in sockets(*pid) {
            wanted.remove(&inode);
        }
    }
    if wanted.is_empty() {
        return Ok(Listener::Ours);
    }
    let owner = processes()?.into_iter().find(|p| sockets(p.pid).any(|inode| wanted.contains(&inode)));
    Ok(Listener::Foreign(owner.map(|p| p.pid)))
}

/// The inodes of the sockets a process holds; none if it may not be looked at.
fn sockets(pid: u32) -> impl Iterator<Item = u64> {
    fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten().filter_map(|fd| {
        let target = fs::read_link(fd.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    })
}

/// The inodes of the sockets that listen on `port` and would answer at `127.0.0.1`.
fn listening(table: &str, port: u16) -> io::Result<Vec<u64>> {
    Ok(fs::read_to_string(table)?.lines().skip(1).filter_map(|line| parse_listening(line, port)).collect())
}

fn parse_listening(line: &str, port: u16) -> Option<u64> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (address, at) = fields.get(1)?.split_once(':')?;
    let here = *fields.get(3)? == LISTEN && u16::from_str_radix(at, 16).ok()? == port && answers_loopback(address)?;
    here.then(|| fields.get(9)?.parse().ok()).flatten()
}

/// Addresses are printed as 32-bit words in the machine's byte order.
fn answers_loopback(hex: &str) -> Option<bool> {
    let word = |n: usize| u32::from_str_radix(hex.get(n * 8..n * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    if hex.len() == 8 {
        let address = Ipv4Addr::from(word(0)?);
        return Some(address.is_unspecified() || address == Ipv4Addr::LOCALHOST);
    }
    let mut bytes = [0; 16];
    for (n, chunk) in bytes.chunks_exact_mut(4).enumerate() {
        chunk.copy_from_slice(&word(n)?);
    }
    let address = Ipv6Addr::from(bytes);
    Some(address.is_unspecified() || address.to_ipv4_mapped() == Some(Ipv4Addr::LOCALHOST))
}

#[cfg(test)]
mod tests {
    use super::{Listener, answers_loopback, children, family, listener, parse_stat, process};
    use std::{
        net::TcpListener,
        process::{Command, id},
    };

    #[test]
    fn a_name_cannot_forge_a_parent() {
        let tail = "5 6 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0 0";
        let p = parse_stat(9, format!("9 (x) S 1 \u{7} (y) Z 4 {tail}").as_bytes()).unwrap();
        assert_eq!((p.parent, p.group, p.start, p.zombie), (4, 5, 777, true));
        assert_eq!(parse_stat(9, b"9 (half"), None);
    }

    #[test]
    fn children_are_family() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(family(id()).unwrap().contains(&child.id()));
        assert!(!family(child.id()).unwrap().contains(&id()));
        assert!(children(id()).is_ok());
        assert!(process(child.id()).unwrap().start > 0);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(process(child.id()), None);
    }

    #[test]
    fn a_listener_belongs_to_its_family() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        // Children that other tests start at the same time hold the socket, too, between fork and exec.
        let becomes = |root: u32, expected: &Listener| (0..1_000).any(|_| listener(root, port).unwrap() == *expected);
        assert!(becomes(id(), &Listener::Ours));
        assert!(becomes(child.id(), &Listener::Foreign(Some(id()))));
        drop(socket);
        assert!(becomes(id(), &Listener::Nobody));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn only_what_answers_the_loopback_counts() {
        assert_eq!(answers_loopback("0100007F"), Some(true));
        assert_eq!(answers_loopback("00000000"), Some(true));
        assert_eq!(answers_loopback("0200A8C0"), Some(false));
        assert_eq!(answers_loopback("00000000000000000000000000000000"), Some(true));
        assert_eq!(answers_loopback("0000000000000000FFFF00000100007F"), Some(true));
        assert_eq!(answers_loopback("00000000000000000000000001000000"), Some(false));
        assert_eq!(answers_loopback("xyz"), None);
    }
}
