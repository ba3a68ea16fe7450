//! Every verb that is not proved elsewhere, against a real host: its exit code, its text, its JSON.

use super::rig::{canary, deploy, until, version};
use crate::support::host::{CUTOVER, Host};
use cutover::model::rollout::{Phase, Rollout, Standing};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
};

/// The exit code, what was printed, and what was said of it.
fn said(host: &Host, args: &[&str]) -> (Option<i32>, String, String) {
    let done = host.verb(args);
    (done.status.code(), String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap())
}

/// Refused with this code and one line; it. Nothing is printed for scripts to take for an answer.
#[track_caller]
fn refused(host: &Host, args: &[&str], code: i32) -> String {
    let (is, out, err) = said(host, args);
    assert_eq!((is, out.as_str(), err.lines().count()), (Some(code), "", 1), "{args:?}: {out}{err}");
    err
}

#[track_caller]
fn json(host: &Host, args: &[&str]) -> Value {
    let text = host.ok(args);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{args:?}: {e}: {text}"))
}

fn standing(rollout: &Rollout, label: &str) -> Option<Standing> {
    rollout.versions.iter().find(|k| k.version.label.as_str() == label).map(|k| k.standing.clone())
}

/// A verb that goes on until it is stopped, and the lines it prints.
struct Going(Child, Receiver<String>);

impl Going {
    fn start(host: &Host, args: &[&str]) -> Self {
        let mut child = Command::new(CUTOVER)
            .args(args)
            .arg("-c")
            .arg(host.config())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (send, lines) = channel();
        let out = child.stdout.take().unwrap();
        std::thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).try_for_each(|l| send.send(l)));
        Self(child, lines)
    }

    /// The first line that has all of these.
    fn shows(&self, what: &[&str]) -> String {
        until(&format!("{what:?} was printed"), || self.1.try_iter().find(|l| what.iter().all(|w| l.contains(w))))
    }

    /// SIGINT; the exit code.
    fn interrupt(mut self) -> Option<i32> {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), rustix::process::Signal::INT).unwrap();
        self.0.wait().unwrap().code()
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn freeze_thaw_taint_and_undo() {
    let host = canary("");
    // A freeze needs a reason and somebody to say yes; nothing forward passes it, and the way back does.
    assert!(refused(&host, &["freeze", "web", "--yes"], 4).contains("--reason"));
    let plan = host.ok(&["freeze", "web", "--for", "1h", "--reason", "release night", "--plan"]);
    assert!(plan.contains("FREEZE web until ") && plan.contains("POST /v1/actions"), "{plan}");
    assert!(host.rollout().frozen.is_none(), "a plan sends nothing");
    let answer = json(&host, &["freeze", "web", "--for", "1h", "--reason", "release night", "--yes", "-o", "json"]);
    assert_eq!((&answer["action"], &answer["changed"], &answer["confirmed"]), (&"freeze".into(), &true.into(), &true.into()), "{answer}");
    let frozen = host.rollout().frozen.unwrap();
    assert_eq!((frozen.reason.as_str(), (frozen.until.unwrap() - frozen.since).num_minutes() >= 59), ("release night", true));
    let v3 = version(&host, "v3", "");
    for args in [&["step", "web", "--yes"][..], &["promote", "web", "--yes"], &["deploy", "web", &v3]] {
        let line = refused(&host, args, 4);
        assert!(line.contains("frozen") && line.contains("release night"), "{args:?}: {line}");
    }
    host.ok(&["pause", "web", "--yes"]);
    host.ok(&["resume", "web", "--yes"]);
    host.ok(&["revert", "web"]);
    host.until("back", |r| r.phase == Phase::Reverted);
    let text = host.ok(&["thaw", "web", "--yes"]);
    assert!(text.starts_with("THAW web") && text.ends_with("done and confirmed"), "{text}");
    let again = json(&host, &["thaw", "web", "--yes", "-o", "json"]);
    assert_eq!((&again["changed"], &again["message"]), (&false.into(), &"web is not frozen".into()), "{again}");
    // Another way to lift it; all rollouts at once.
    host.ok(&["freeze", "--all", "--reason", "all of them", "--yes"]);
    host.until("frozen", |r| r.frozen.is_some());
    host.ok(&["freeze", "--all", "--lift", "--yes"]);
    host.until("not frozen", |r| r.frozen.is_none());

    // Undo deploys an older version by its label, never one that nobody knows.
    for digest in [v3, version(&host, "v4", "")] {
        deploy(&host, "web", &digest, "paused");
        host.ok(&["promote", "web", "--yes"]);
        host.until("promoted", |r| r.phase == Phase::Completed);
    }
    let line = refused(&host, &["undo", "web", "v11", "--yes"], 2);
    assert!(line.contains("no version `v11`") && line.contains("known: "), "{line}");
    // Without a name it is the last that nothing speaks against.
    let plan = host.ok(&["undo", "web", "--plan"]);
    assert!(plan.contains("v3"), "{plan}");
    let text = host.ok(&["undo", "web", "v1", "--yes"]);
    assert!(text.ends_with("done and confirmed"), "{text}");
    let run = host.until("v1 again", |r| r.candidate().is_some_and(|t| t.version.label.as_str() == "v1"));
    assert_eq!(run.stable().unwrap().version.label.as_str(), "v4");
    assert!(refused(&host, &["taint", "web", "v1", "--yes"], 4).contains("--reason"));
    let answer = json(&host, &["taint", "web", "v3", "--reason", "corrupts carts", "--yes", "-o", "json"]);
    assert_eq!(answer["confirmed"], true, "{answer}");
    match standing(&host.rollout(), "v3") {
        Some(Standing::Tainted { by, reason }) => {
            assert!(!by.as_str().is_empty());
            assert_eq!(reason.as_str(), "corrupts carts");
        }
        other => panic!("{other:?}"),
    }
    // So is one that was left several deploys ago.
    let answer = json(&host, &["taint", "web", "v2", "--reason", "loses carts", "--yes", "-o", "json"]);
    assert_eq!(answer["confirmed"], true, "{answer}");
    assert!(matches!(standing(&host.rollout(), "v2"), Some(Standing::Tainted { reason, .. }) if reason.as_str() == "loses carts"));
}

#[test]
fn logs_get_watch_and_doctor() {
    let host = canary("");
    host.get("/");
    // Each line says which version printed it; a follower sees what comes, and ends when it is told to.
    let all = host.ok(&["logs", "web"]);
    assert!(all.lines().count() > 1, "{all}");
    let one = host.ok(&["logs", "web", "--last", "1"]);
    assert_eq!(one.lines().count(), 1, "{one}");
    for track in ["stable", "candidate"] {
        let lines = host.ok(&["logs", "web", "--track", track, "-o", "json"]);
        let lines: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        // What v1 printed it printed as a candidate, until it was promoted.
        assert!((track == "stable" || !lines.is_empty()) && lines.iter().all(|l| l["role"] == track), "{track}: {lines:?}");
    }
    assert!(refused(&host, &["logs", "wep"], 2).contains("web"));

    let table = Going::start(&host, &["get", "--watch"]);
    table.shows(&["web", "held"]);
    let documents = Going::start(&host, &["get", "-w", "-o", "json"]);
    let first: Value = serde_json::from_str(&documents.shows(&["rollouts"])).unwrap();
    assert_eq!(first["rollouts"][0]["service"], "web", "{first}");
    host.ok(&["revert", "web"]);
    table.shows(&["web", "reverted"]);
    documents.shows(&["\"reverted\""]);
    assert_eq!((table.interrupt(), documents.interrupt()), (Some(130), Some(130)));

    // The line that was there says that it follows by now.
    let following = Going::start(&host, &["logs", "web", "-f", "--last", "1", "-o", "json"]);
    following.shows(&["\"version\""]);
    deploy(&host, "web", &version(&host, "v3", ""), "paused");
    following.shows(&["\"v3\"", "candidate"]);
    assert_eq!(following.interrupt(), Some(130));

    let (code, text, _) = said(&host, &["doctor"]);
    for subject in ["config", "directories", "targets", "services", "rollouts", "clock"] {
        assert!(text.lines().any(|l| l.split_whitespace().nth(1) == Some(subject)), "{subject}: {text}");
    }
    let bad = text.lines().any(|l| l.starts_with("BAD"));
    assert_eq!(code, Some(i32::from(bad)), "{text}");
    let (_, text, _) = said(&host, &["doctor", "-o", "json"]);
    let checks: Value = serde_json::from_str(&text).unwrap();
    assert!(checks["checks"].as_array().unwrap().iter().all(|c| c["hint"].is_null() == (c["state"] == "ok")), "{checks}");
    // A target that is away is bad, and what to do is said.
    let mut host = host;
    host.stop();
    let (code, text, _) = said(&host, &["doctor"]);
    assert_eq!(code, Some(1), "{text}");
    let line = text.lines().position(|l| l.starts_with("BAD") && l.contains("targets")).unwrap_or_else(|| panic!("{text}"));
    assert!(text.lines().nth(line + 1).is_some_and(|l| l.trim().starts_with("->")), "{text}");
}

#[test]
fn a_deploy_in_place_of_another_goes_back_first() {
    let host = canary("");
    let v3 = version(&host, "v3", "");
    let line = refused(&host, &["deploy", "web", &v3], 4);
    assert!(line.contains("run 2 of v2 is in progress") && line.contains("--replace"), "{line}");
    assert_eq!(host.rollout().candidate().unwrap().version.label.as_str(), "v2");
    host.ok(&["deploy", "web", &v3, "--replace"]);
    host.ok(&["wait", "web", "--for", "paused", "--timeout", "60s"]);
    let now = host.until("v3 at half", |r| r.candidate().is_some_and(|t| t.version.label.as_str() == "v3"));
    assert_eq!((now.run.as_ref().unwrap().as_str(), now.stable().unwrap().version.label.as_str()), ("3", "v1"));
    assert!(now.tracks.iter().all(|t| t.version.label.as_str() != "v2" || t.pools.iter().all(|p| p.ready == 0)), "v2 has no traffic");
    for _ in 0..10 {
        assert_eq!(host.get("/").0, 200);
    }
}

#[test]
fn what_needs_no_host_says_the_same_without_one() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::prepare(dir.path(), "");
    for shell in ["bash", "zsh", "fish"] {
        let script = host.ok(&["completions", shell]);
        assert!(["undo", "taint", "freeze", "doctor", "switch-only"].iter().all(|w| script.contains(w)), "{shell}");
    }
    assert_eq!(said(&host, &["completions", "basic"]).0, Some(2));
    let page = host.ok(&["man", "revert"]);
    assert!(page.contains(".TH cutover-revert 1") && page.contains("switch"), "{page}");
    assert_eq!(said(&host, &["man", "rewert"]).0, Some(2));
    let pages = dir.path().join("man1");
    host.ok(&["man", "--dir", pages.to_str().unwrap()]);
    assert!(fs::read_dir(&pages).unwrap().count() > 20);
    // A configuration that is wrong keeps nobody from asking what a right one is.
    fs::write(host.config(), "[hots]\n").unwrap();
    let schema = json(&host, &["config", "schema"]);
    assert!(schema["properties"]["service"].is_object() && schema["properties"]["target"].is_object(), "{schema}");
    let (code, _, err) = said(&host, &["config", "check"]);
    assert!(code == Some(2) && err.contains("hots") && err.contains("host"), "{err}");
    // With no host there: one line, and its own code.
    fs::write(host.config(), format!("[[target]]\nname = \"far\"\nsocket = \"{}/no.sock\"\n", dir.path().display())).unwrap();
    for args in [&["get"][..], &["undo", "web"], &["taint", "web", "v1"], &["freeze", "web"], &["thaw", "--all"], &["logs", "web"]] {
        assert!(refused(&host, args, 3).contains("no.sock"), "{args:?}");
    }
}
