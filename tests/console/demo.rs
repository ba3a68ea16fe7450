//! The demo in a terminal: it opens, and however it ends, nothing of it is left.

use super::{Person, command};
use crate::support::{host::marked, pty::Pty};
use rustix::process::Signal;
use std::{
    fs,
    path::Path,
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
    let ended = Instant::now();
    let marker = dir.display().to_string();
    while !marked(&marker).is_empty() {
        assert!(ended.elapsed() < Duration::from_secs(5), "{why}: {:?} live on", marked(&marker));
        std::thread::sleep(Duration::from_millis(20));
    }
    let left: Vec<_> = fs::read_dir(dir).unwrap().flatten().map(|e| e.path()).collect();
    assert!(left.is_empty(), "{why}: {left:?}");
}

#[test]
fn five_rollouts_open_in_the_fleet() {
    let dir = tempfile::Builder::new().prefix("cutover-test-").tempdir().unwrap();
    let mut pty = demo(dir.path(), &[], 80, 24);
    let took = shows_within(&mut pty, "canary ", Duration::from_secs(30));
    println!("demo to a live canary in the fleet: {took:?} (debug build)");
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
    for end in ["term", "ctrl-c", "closed"] {
        let dir = tempfile::Builder::new().prefix("cutover-test-").tempdir().unwrap();
        let mut pty = demo(dir.path(), &["--scenario", "errors"], 80, 24);
        shows_within(&mut pty, "CANARY step ", Duration::from_secs(30));
        let code = match end {
            "term" => {
                pty.signal(Signal::TERM);
                143
            }
            "ctrl-c" => {
                pty.presses("\x03");
                0
            }
            _ => {
                pty.close("?");
                129
            }
        };
        assert_eq!(pty.ends().exit_code(), code, "{end}");
        if end != "closed" {
            pty.assert_restored();
        }
        nothing_left(dir.path(), end);
    }
}
