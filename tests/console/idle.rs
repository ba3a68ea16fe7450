//! What the console and the host cost while nothing happens. Bounds are wide: what is held here does
//! not wobble, figures are printed by `cargo bench --bench console`.

use super::{Person, command, service};
use crate::support::{
    host::Host,
    pty::{Pty, wakeups},
};
use rustix::process::Pid;
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// What was counted in a few seconds.
struct Counted {
    seconds: f64,
    /// By the console, and by the host if there is one.
    woken: (f64, f64),
    bytes: f64,
    frames: f64,
}

fn count(pty: &mut Pty, host: Option<Pid>) -> Counted {
    // First frames, answers of the terminal, the first full second.
    pty.waits(Duration::from_secs(2));
    let woken = |pty: &Pty| (wakeups(pty.pid()), host.map_or(0, wakeups));
    let (before, bytes, began) = (woken(pty), pty.bytes.len(), Instant::now());
    pty.keys("\x1b[?2026;2$y"); // from now on each frame has a beginning
    pty.waits(Duration::from_secs(6));
    let (after, seconds) = (woken(pty), began.elapsed().as_secs_f64());
    let written = String::from_utf8_lossy(&pty.bytes[bytes..]);
    let per_second = |n: u64| n as f64 / seconds;
    Counted {
        seconds,
        // A thread that ended takes its count with it.
        woken: (per_second(after.0.saturating_sub(before.0)), per_second(after.1.saturating_sub(before.1))),
        bytes: per_second(written.len() as u64),
        frames: per_second(written.matches("\x1b[?2026h").count() as u64),
    }
}

impl Counted {
    /// Only the clock moves.
    #[track_caller]
    fn assert_still(&self, what: &str) {
        let Self { seconds, woken, bytes, frames } = self;
        println!("{what}: woken {:.1}/s, host {:.1}/s, {bytes:.0} B/s in {frames:.1} frames/s, {seconds:.1} s", woken.0, woken.1);
        assert!(*frames <= 2.5, "{what}: {frames} frames/s");
        assert!(*bytes <= 200.0, "{what}: {bytes} B/s");
        assert!(woken.0 <= 10.0, "{what}: the console is woken {} times a second", woken.0);
        assert!(woken.1 <= 20.0, "{what}: the host is woken {} times a second", woken.1);
    }
}

#[test]
fn a_completed_rollout_without_traffic_costs_a_clock() {
    let host = Host::start(&service().replace("100ms", "1s"));
    let digest = host.seal("v1", &[("behaviour.toml", "median_ms = 1.0\n")]);
    host.ok(&["deploy", "web", &digest]);
    host.ok(&["wait", "web", "--for", "completed", "--timeout", "60s"]);
    let mut pty = open(&host.dir, &host);
    pty.shows("live");
    let pid = Pid::from_child(host.child.as_ref().unwrap());
    count(&mut pty, Some(pid)).assert_still("completed");
}

#[test]
fn a_host_that_does_not_answer_costs_a_clock() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::prepare(dir.path(), &service());
    let _deaf = std::os::unix::net::UnixListener::bind(dir.path().join("host.sock")).unwrap();
    let mut pty = open(dir.path(), &host);
    pty.shows("connecting");
    count(&mut pty, None).assert_still("connecting");
}

#[test]
fn a_long_journal_does_not_hold_up_the_first_frame() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::prepare(dir.path(), &service());
    // Whoever reads it waits for its writer: as on a disk that does not answer.
    let journal = fs::File::create(dir.path().join("journal.jsonl")).unwrap();
    journal.lock().unwrap();
    let mut pty = open(dir.path(), &host);
    pty.shows("no host found");
    drop(journal);
    pty.keys("?");
    pty.shows("HELP");
}

fn open(home: &Path, host: &Host) -> Pty {
    Pty::spawn(command(home, "ana", &["-c", host.config().to_str().unwrap()]), 80, 24)
}
