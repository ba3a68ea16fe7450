//! The demo in a terminal: it opens, and however it ends, nothing of it is left.

use super::{Person, command};
use crate::support::{host::marked, need, pty::Pty};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Starts the demo in a directory of its own.
pub fn demo(dir: &Path, args: &[&str], cols: u16, rows: u16) -> Pty {
    let mut all = vec!["demo"];
    all.extend(args);
    Pty::spawn(command(dir, "ana", &all), cols, rows)
}

/// Waits until the screen shows a text, longer than anything else may take.
#[track_caller]
pub fn shows_within(pty: &mut Pty, text: &str, limit: Duration) -> Duration {
    let began = Instant::now();
    while !pty.screen().contains(text) {
        assert!(began.elapsed() < limit, "{text:?} is not shown after {limit:?}\n{}", pty.screen());
        pty.waits(Duration::from_millis(50));
    }
    began.elapsed()
}

/// What has the directory in its command line or environment, and what is in it.
#[track_caller]
fn nothing_left(dir: &Path, why: &str) {
    nothing_left_within(dir, why, Duration::from_secs(5));
}

#[track_caller]
fn nothing_left_within(dir: &Path, why: &str, limit: Duration) {
    let ended = Instant::now();
    let marker = dir.display().to_string();
    let files = || fs::read_dir(dir).unwrap().flatten().map(|e| e.path()).collect::<Vec<_>>();
    while !(marked(&marker).is_empty() && files().is_empty()) {
        assert!(ended.elapsed() < limit, "{why}: {:?} live on, {:?} are left", marked(&marker), files());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The sockets that listen for TCP on this machine, by inode: another one on the same port is another one.
fn listening() -> BTreeMap<u64, String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let socket = |line: &str| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        (cells.get(3) == Some(&"0A")).then(|| Some((cells.get(9)?.parse().ok()?, (*cells.get(1)?).to_owned())))?
    };
    tables.iter().flat_map(|table| table.lines().filter_map(socket)).collect()
}

/// Those of them that something of this directory has open.
fn ports(dir: &Path) -> BTreeMap<u64, String> {
    let (all, marker) = (listening(), dir.display().to_string());
    let files = marked(&marker).into_iter().filter_map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).ok()).flatten().flatten();
    let sockets = files.filter_map(|file| {
        let link = fs::read_link(file.path()).ok()?;
        link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok()
    });
    sockets.filter_map(|inode| Some((inode, all.get(&inode)?.clone()))).collect()
}

/// How a demo ends that nobody ends with `q`.
fn ends(end: &str, prometheus: bool) {
    let dir = tempfile::Builder::new().prefix("cutover-test-").tempdir().unwrap();
    let args: &[&str] = if prometheus { &["--scenario", "errors", "--prometheus"] } else { &["--scenario", "errors"] };
    let mut pty = demo(dir.path(), args, 80, 24);
    shows_within(&mut pty, "CANARY step ", Duration::from_secs(60));
    let had = ports(dir.path());
    // The service's own, those of its instances, and with a Prometheus that and what it scrapes.
    assert!(had.len() >= if prometheus { 5 } else { 3 }, "{end}: {had:?}");
    let code = match end {
        "term" => {
            pty.signal(Signal::TERM);
            Some(143)
        }
        "hup" => {
            pty.signal(Signal::HUP);
            Some(129)
        }
        "kill" => {
            pty.signal(Signal::KILL);
            None
        }
        "ctrl-c" => {
            pty.presses("\x03");
            Some(0)
        }
        "q" => {
            pty.presses("q");
            Some(0)
        }
        _ => {
            pty.close("?");
            Some(129)
        }
    };
    let status = pty.ends();
    assert!(code.is_none_or(|code| status.exit_code() == code), "{end}: {status:?}");
    if !matches!(end, "closed" | "kill") {
        pty.assert_restored();
    }
    // Who was killed could end nothing: what it started notices by itself.
    nothing_left_within(dir.path(), end, Duration::from_secs(if end == "kill" { 30 } else { 5 }));
    let open = listening();
    let left: Vec<_> = had.iter().filter(|(inode, _)| open.contains_key(inode)).collect();
    assert!(left.is_empty(), "{end}: ports {left:?}");
}

#[test]
fn five_rollouts_open_in_the_fleet() {
    let dir = tempfile::Builder::new().prefix("cutover-test-").tempdir().unwrap();
    let mut pty = demo(dir.path(), &[], 80, 24);
    let took = shows_within(&mut pty, "running ", Duration::from_secs(30));
    println!("demo to a live rollout in the fleet: {took:?} (debug build)");
    for service in ["checkout", "mailer", "pricing", "search", "storefront"] {
        shows_within(&mut pty, service, Duration::from_secs(30));
    }
    // What waits for a person does so before anybody pressed a key.
    shows_within(&mut pty, "waiting ", Duration::from_secs(30));
    pty.presses("q");
    assert_eq!(pty.ends().exit_code(), 0);
    pty.assert_restored();
    nothing_left(dir.path(), "q");
}

#[test]
fn q_leaves_nothing_behind() {
    let dir = tempfile::Builder::new().prefix("cutover-test-").tempdir().unwrap();
    let mut pty = demo(dir.path(), &["--scenario", "errors"], 80, 24);
    let took = shows_within(&mut pty, "CANARY step ", Duration::from_secs(30));
    println!("demo to live canary: {took:?} (debug build)");
    // The last line of a frame comes last.
    for part in ["R back to v41", "demo/checkout", "stable v41", "canary v42"] {
        pty.shows(part);
    }
    // A second terminal joins with the path that was printed.
    let printed = String::from_utf8_lossy(&pty.bytes).into_owned();
    let (_, path) = printed.split_once("cutover -c ").expect("how to join is printed");
    let path = path.split_whitespace().next().unwrap().to_owned();
    let mut second = Pty::spawn(command(dir.path(), "ben", &["-c", &path]), 80, 24);
    second.shows("CANARY step ");
    second.presses("q");
    assert_eq!(second.ends().exit_code(), 0);
    pty.presses("q");
    assert_eq!(pty.ends().exit_code(), 0);
    pty.assert_restored();
    nothing_left(dir.path(), "q");
}

#[test]
fn nor_does_a_signal_or_a_window_that_is_closed() {
    thread::scope(|scope| {
        for end in ["term", "hup", "ctrl-c", "closed", "kill"] {
            scope.spawn(move || ends(end, false));
        }
    });
}

#[test]
fn nor_does_its_prometheus() {
    if !need("prometheus") {
        return;
    }
    thread::scope(|scope| {
        for end in ["q", "term", "closed", "kill"] {
            scope.spawn(move || ends(end, true));
        }
    });
}

/// The command line of a process.
fn command_of(pid: i32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}

#[test]
fn nor_does_a_demo_whose_parts_were_killed() {
    if !need("prometheus") {
        return;
    }
    let dir = tempfile::Builder::new().prefix("cutover-test-").tempdir().unwrap();
    let mut pty = demo(dir.path(), &["--scenario", "errors", "--prometheus"], 80, 24);
    shows_within(&mut pty, "CANARY step ", Duration::from_secs(60));
    let marker = dir.path().display().to_string();
    let running = |what: &str| marked(&marker).into_iter().filter(|pid| command_of(*pid).contains(what)).collect::<Vec<_>>();
    assert_eq!(running("prometheus --config.file").len(), 1);
    // Its Prometheus belongs to the load generator, and nobody else could end it.
    for (part, takes_along) in [(" load ", "prometheus --config.file"), (" host ", "cutover sample")] {
        let [pid] = running(part)[..] else { panic!("one {part}: {:?}", running(part)) };
        assert!(!running(takes_along).is_empty(), "{takes_along}");
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        let killed = Instant::now();
        while !running(takes_along).is_empty() {
            assert!(killed.elapsed() < Duration::from_secs(10), "{takes_along} lives on without {part}");
            thread::sleep(Duration::from_millis(20));
        }
    }
    pty.presses("q");
    assert_eq!(pty.ends().exit_code(), 0);
    pty.assert_restored();
    nothing_left(dir.path(), "q");
}
