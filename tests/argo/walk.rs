//! Recordings of a real controller, looked at with the real program in a real terminal: every story opens, every
//! acting key and verb says that the target is read-only, the way back is shown, and nothing is ever sent.

use super::recorded::{data, scenarios};
use crate::{
    replay::{
        recording::Recording,
        server::{Options, Server},
    },
    support::{host::CUTOVER, pty::Pty},
};
use portable_pty::CommandBuilder;
use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

/// A story, the second it is looked at, a panel's key, and what the screen then says.
type Stop = (&'static str, f64, &'static str, &'static [&'static str]);

const STOPS: [Stop; 32] = [
    ("01-canary-manual-steps", 9.0, "i", &["CANARY step 4/6 at 40 %", "5 of 5 ready"]),
    ("02-canary-abort-retry", 14.5, "V", &["REVERTED", "already back on v1"]),
    ("03-canary-full-promote", 6.0, "F", &["NOT READY", "full promotion is pending"]),
    ("04-canary-manual-pause-resume", 20.0, "F", &["HELD by ", "clocks run"]),
    ("05-bluegreen-manual", 6.5, "a", &["BLUE/GREEN", "stable (active)", "NOT SEALED"]),
    ("06-bluegreen-autopromote-seconds", 10.0, "i", &["switch of the active service by itself"]),
    ("07-analysis-success", 7.0, "A", &["analysis web", "ends it"]),
    ("08-analysis-failed-abort", 16.5, "A", &["REVERTED", "already back on v1", "Failed"]),
    ("09-analysis-inconclusive", 6.5, "A", &["inconclusive", "2 unclear"]),
    ("10-background-analysis", 6.0, "A", &["background"]),
    ("12-invalid-spec", 8.0, "F", &["FAILED", "InvalidSpec"]),
    ("13-crashloop-and-pullfail", 28.0, "i", &["CrashLoopBackOff after OOMKilled", "back-off"]),
    ("14-experiment-step", 10.0, "A", &["trial baseline", "Running"]),
    ("15-workloadRef-deployment", 7.0, "v", &["CANARY step 2/2"]),
    ("16-rollbackWindow-fast-rollback", 12.0, "V", &["BACK"]),
    ("18-scaled-to-zero", 14.0, "i", &["BACK"]),
    ("20-deleted-while-watching", 2.5, "v", &["demo"]),
    ("21-trafficRouting", 41.65, "F", &["the router still sends traffic"]),
    ("23-race-lost-promote", 30.0, "F", &["promote sent", "not noticed by the controller"]),
    ("26-race-lost-undo-bluegreen", 20.0, "F", &["not noticed by the controller"]),
    ("26-race-lost-undo-bluegreen", 46.0, "V", &["remembered"]),
    ("h-bgretry", 45.0, "v", &["REVERTED"]),
    ("h-conflict", 2.5, "v", &["COMPLETED"]),
    ("h-expinc", 14.6, "i", &["5 alike", "ready"]),
    ("h-meta", 10.0, "i", &["demo"]),
    ("h-pausedscale", 15.0, "F", &["aborted while paused by hand"]),
    ("h-podtmpl", 5.0, "v", &["CANARY step 2/2"]),
    ("h-race", 9.0, "F", &["promote sent"]),
    ("h-race2", 11.04, "v", &["demo"]),
    ("h-terminate", 4.5, "A", &["analysis web"]),
    ("h-undofull", 5.15, "F", &["full promotion is pending"]),
    ("h-undostop", 5.1, "F", &["NOT READY"]),
];

/// Where each key and each command is tried; elsewhere it is one of each.
const ALL: [&str; 3] = ["01-canary-manual-steps", "05-bluegreen-manual", "h-bgretry"];
/// Keys and commands that act, but for the way back.
const KEYS: [&str; 6] = ["s", "p", "c", "w", "P", "t"];
const VERBS: [&str; 6] = ["undo", "undo v1", "freeze 1h stock-taking", "thaw", "taint v1 bad logo", "weight 30"];

fn start(stop: &Stop) -> (Server, tempfile::TempDir, Pty) {
    let (scenario, at, ..) = *stop;
    let recordings = Recording::read_all(&data().join(scenario), false).unwrap();
    let server = Server::start(recordings, Options { at, speed: 0.0, ..Options::default() }).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join(".kube")).unwrap();
    std::fs::write(dir.path().join(".kube/config"), server.kubeconfig().to_string()).unwrap();
    let context = server.kubeconfig()["current-context"].as_str().unwrap().to_owned();
    let mut command = CommandBuilder::new(CUTOVER);
    command.args(["--context", &context]);
    command.env_clear();
    for (name, value) in [("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("USER", "ana"), ("PATH", "/usr/bin:/bin")] {
        command.env(name, value);
    }
    command.env("HOME", dir.path());
    let pty = Pty::spawn(command, 80, 24);
    (server, dir, pty)
}

/// Enter, at a distance from the one before that nobody would call held.
fn enter(pty: &mut Pty) {
    thread::sleep(Duration::from_millis(160));
    pty.keys("\r");
}

/// Closes what lies over the screen.
fn closes(pty: &mut Pty, what: &str) {
    pty.keys("\x03");
    pty.until(&format!("{what} is closed"), |p| !p.screen().contains(what));
}

/// The way back opens, lists what it would do or why there is nothing to do, and no key sends it.
fn looks_at_the_way_back(pty: &mut Pty, story: &str) {
    pty.keys("R");
    pty.until(&format!("{story}: the way back"), |p| ["BACK by", "already so", "back: not now"].iter().any(|s| p.screen().contains(s)));
    if !pty.screen().contains("BACK by") {
        return closes(pty, "NOTHING SENT; esc closes");
    }
    pty.shows("this target is read-only: nothing can be sent");
    // A second one at a person's pace is what would confirm it elsewhere.
    thread::sleep(Duration::from_millis(300));
    pty.keys("R");
    pty.until(&format!("{story}: nothing was sent"), |p| p.screen().contains("NOTHING SENT") && !p.screen().contains("BACK by"));
}

fn walks(stop: &Stop) {
    let (story, _, panel, words) = *stop;
    let (server, _home, mut pty) = start(stop);
    pty.until(&format!("{story} is there"), |p| ["nobody has acted yet", " rollouts "].iter().any(|s| p.screen().contains(s)));
    // Where there are several, the one that the story is about is looked for.
    let several = pty.screen().contains(" rollouts ");
    if several {
        let name = if story.starts_with("12") { "demoat" } else { "demo" };
        pty.keys("/");
        pty.keys(name);
        pty.shows(&format!("/{name}_  1 of "));
        enter(&mut pty);
        pty.keys("j");
        pty.shows("enter opens it");
        enter(&mut pty);
    }
    pty.until(&format!("{story} opens"), |p| p.screen().contains("read-only live") && p.screen().contains("nobody has acted yet"));
    pty.keys(panel);
    pty.shows("to the rollout");
    for word in words {
        pty.until(&format!("{story} says {word}"), |p| p.screen().contains(word));
    }
    closes(&mut pty, "to the rollout");
    looks_at_the_way_back(&mut pty, story);
    let all = ALL.contains(&story);
    for key in KEYS.into_iter().take(if all { KEYS.len() } else { 1 }) {
        pty.keys(key);
        pty.until(&format!("{story}: {key} says why not"), |p| p.screen().contains("this target is read-only"));
        closes(&mut pty, "NOTHING SENT; esc closes");
    }
    for verb in VERBS.into_iter().take(if all { VERBS.len() } else { 1 }) {
        pty.keys(":");
        pty.shows("COMMAND");
        pty.keys(verb);
        pty.shows(&format!(":{verb}_"));
        enter(&mut pty);
        pty.until(&format!("{story}: :{verb} says why not"), |p| {
            p.screen().contains("this target is read-only") && p.screen().contains("NOTHING SENT; esc closes")
        });
        closes(&mut pty, "NOTHING SENT; esc closes");
    }
    enter(&mut pty);
    pty.shows("ACTIONS");
    let offered = pty.screen().lines().filter(|l| l.contains("off: this target is read-only")).count();
    assert_eq!(offered, 10, "{story}: each action but the way back is off, and says why\n{}", pty.screen());
    closes(&mut pty, "ACTIONS");
    if several {
        closes(&mut pty, "enter actions");
        closes(&mut pty, "  1 of ");
    }
    pty.keys("q");
    assert_eq!(pty.ends().exit_code(), 0, "{story}");
    pty.assert_restored();
    let log = server.log();
    assert!(log.iter().any(|r| r.verb == "watch"), "{story}: something was watched");
    let sent: Vec<_> = log.iter().filter(|r| !matches!(r.method.as_str(), "GET" | "HEAD")).collect();
    assert!(sent.is_empty(), "{story}: {sent:?}");
}

#[test]
fn every_story_is_looked_at_and_nothing_is_sent() {
    let all = scenarios().into_iter().filter(|dir| dir.starts_with(data()));
    let missing: Vec<_> = all.filter(|dir| !STOPS.iter().any(|(story, ..)| dir.ends_with(story))).collect();
    assert!(missing.is_empty(), "nobody looks at {missing:?}");
    let next = Mutex::new(STOPS.iter());
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(stop) = { next.lock().unwrap_or_else(PoisonError::into_inner).next() } {
                    walks(stop);
                }
            });
        }
    });
}
