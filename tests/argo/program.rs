//! The program as a person meets it, on clusters that are replayed.

use super::rig::{NAMESPACE, cluster, part, still};
use crate::{
    replay::{
        fault::{Rule, What},
        recording::Recording,
        server::{Options, Server},
    },
    support::{
        host::CUTOVER,
        http::{self, Fake},
        pty::Pty,
    },
};
use portable_pty::CommandBuilder;
use serde_json::{Value, json};
use std::{
    os::unix::fs::PermissionsExt,
    process::{Command, Output},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A canary at its second step, which waits for a person; at 10 s somebody promotes it.
pub fn story() -> Recording {
    let mut recording = cluster(0, 0);
    let at = |index: u64, phase: &str, paused: bool, rev: u64| {
        let mut object = json!({
            "metadata": { "name": "web", "namespace": NAMESPACE, "uid": "uid-web", "resourceVersion": rev.to_string(), "generation": 2,
                          "annotations": { "rollout.argoproj.io/revision": "2" }, "creationTimestamp": "2026-11-18T11:00:00Z" },
            "spec": { "selector": { "matchLabels": { "app": "web" } },
                      "strategy": { "canary": { "steps": [{ "setWeight": 20 }, { "pause": {} }, { "setWeight": 60 }] } },
                      "template": { "spec": { "containers": [{ "name": "app", "image": "web:v2\u{1b}[31m" }] } } },
            "status": { "observedGeneration": "2", "phase": phase, "message": if paused { "CanaryPauseStep" } else { "" },
                        "currentPodHash": "bbb222", "stableRS": "aaa111", "currentStepIndex": index },
        });
        if paused {
            object["status"]["pauseConditions"] = json!([{ "reason": "CanaryPauseStep", "startTime": "2026-11-18T11:06:00Z" }]);
            object["status"]["controllerPause"] = json!(true);
        }
        object
    };
    recording.list("rollouts", &json!({ "metadata": { "resourceVersion": "1000" }, "items": [at(1, "Paused", true, 900)] }));
    recording.add("rollouts", 10.0, "MODIFIED", at(2, "Progressing", false, 1100));
    recording.settle();
    recording
}

/// A home with a kubeconfig for a server.
pub struct Home {
    pub server: Server,
    pub dir: TempDir,
}

impl Home {
    pub fn new(recording: Recording, options: Options) -> Self {
        let home = Self { server: Server::start(vec![recording], options).unwrap(), dir: tempfile::tempdir().unwrap() };
        home.kubeconfig(home.server.kubeconfig());
        home
    }

    pub fn kubeconfig(&self, kubeconfig: Value) {
        std::fs::create_dir_all(self.dir.path().join(".kube")).unwrap();
        std::fs::write(self.dir.path().join(".kube/config"), kubeconfig.to_string()).unwrap();
    }

    /// A plugin that is a shell script, instead of a token.
    fn plugin(&self, script: &str) {
        let path = self.dir.path().join("login");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut kubeconfig = self.server.kubeconfig();
        kubeconfig["users"][0]["user"] = json!({ "exec": { "apiVersion": "client.authentication.k8s.io/v1", "command": path } });
        self.kubeconfig(kubeconfig);
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(CUTOVER);
        command.args(arguments).env_clear().env("HOME", self.dir.path()).env("PATH", "/usr/bin:/bin");
        command
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["-o", "json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
    }

    pub fn console(&self, arguments: &[&str]) -> Pty {
        let mut command = CommandBuilder::new(CUTOVER);
        command.args(arguments);
        command.env_clear();
        for (name, value) in [("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("USER", "ana"), ("PATH", "/usr/bin:/bin")] {
            command.env(name, value);
        }
        command.env("HOME", self.dir.path());
        Pty::spawn(command, 80, 24)
    }
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

/// A key's distance from the last that nobody would call held.
pub fn press(pty: &mut Pty, keys: &str) {
    std::thread::sleep(Duration::from_millis(300));
    pty.keys(keys);
}

#[test]
fn get_shows_a_context_that_nobody_configured() {
    let home = Home::new(story(), still());
    let rollout = home.json(&["get", "--context", "shop"])["rollouts"][0].clone();
    assert_eq!((&rollout["target"], &rollout["scope"], &rollout["service"]), (&json!("shop"), &json!([NAMESPACE]), &json!("web")));
    assert_eq!((&rollout["phase"], &rollout["run"], &rollout["step"]["index"]), (&json!("held"), &json!("2"), &json!(1)));
    assert_eq!((&rollout["holds"][0]["kind"], &rollout["attention"]["kind"]), (&json!("step"), &json!("waiting")));
    let tracks: Vec<_> = rollout["tracks"].as_array().unwrap().iter().map(|t| (t["role"].clone(), t["weight"].clone())).collect();
    assert_eq!(tracks, [(json!("stable"), json!(80.0)), (json!("candidate"), json!(20.0))]);
    let output = home.run(&["get", "shop/web", "--context", "shop"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("shop/web@2  held"), "{output:?}");
    // The current context, and a name that is near.
    let here = home.json(&["get", "-n", NAMESPACE]);
    assert_eq!((&here["rollouts"][0]["target"], &here["rollouts"][0]["service"]), (&json!("current"), &json!("web")));
    assert!(home.server.log().last().unwrap().path.contains("/namespaces/shop/"));
    let output = home.run(&["get", "--context", "shpo"]);
    assert_eq!(
        (output.status.code(), stderr(&output).as_str()),
        (Some(2), "cutover: context shpo cannot be used: no context `shpo`: did you mean `shop`?",)
    );
}

#[test]
fn get_looks_again_before_it_says_that_a_promote_was_lost() {
    let mut recording = story();
    let promoted = |rev: u64, handled: bool| {
        let mut object = json!({
            "metadata": { "name": "web", "namespace": NAMESPACE, "uid": "uid-web", "resourceVersion": rev.to_string(), "generation": 2 },
            "spec": { "strategy": { "canary": { "steps": [{ "setWeight": 20 }, { "pause": {} }] } },
                      "template": { "spec": { "containers": [{ "name": "app", "image": "web:v2" }] } } },
            "status": { "observedGeneration": "2", "phase": "Paused", "currentPodHash": "bbb222", "stableRS": "aaa111", "currentStepIndex": 1 },
        });
        if !handled {
            object["status"]["controllerPause"] = json!(true);
        }
        object
    };
    recording.add("rollouts", 20.0, "MODIFIED", promoted(1200, false));
    recording.add("rollouts", 22.0, "MODIFIED", promoted(1300, true));
    recording.settle();
    let lost = |options: Options| {
        let home = Home::new(recording.clone(), options);
        let rollout = home.json(&["get", "--context", "shop"])["rollouts"][0].clone();
        let findings = rollout["findings"].as_array().unwrap().clone();
        findings.iter().any(|f| f["kind"] == json!("lost") && f["what"].as_str().unwrap().starts_with("promote sent 3 s ago: not noticed"))
    };
    assert!(lost(Options { at: 21.0, ..still() }));
    assert!(!lost(Options { at: 21.0, speed: 1.0, ..still() }), "it was only under way");
}

#[test]
fn a_context_is_never_written_to() {
    let home = Home::new(story(), still());
    for verb in [&["pause"][..], &["promote", "--yes"], &["step", "--yes"], &["resume", "--yes"], &["retry", "--yes"], &["revert"]] {
        let output = home.run(&[&[verb[0], "web", "--context", "shop"], &verb[1..]].concat());
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(4), "cutover: this target is read-only"), "{verb:?}");
    }
    let output = home.run(&["revert", "web", "--context", "shop", "--plan"]);
    let plan = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && plan.contains("BACK by abort") && plan.contains("v2: 20 % -> 0 %"), "{plan}");
    let methods = home.server.log().into_iter().filter(|r| r.method != "GET").count();
    assert_eq!(methods, 0);
}

#[test]
fn a_configured_target_beside_one_that_nobody_reaches() {
    let home = Home::new(story(), still());
    let config = home.dir.path().join("config.toml");
    let target = |name: &str, rest: &str| format!("[[target]]\nname = \"{name}\"\nkind = \"argo\"\n{rest}\n");
    let text = target("prod", "context = \"shop\"\nnamespace = \"shop\"") + &target("gone", "context = \"nowhere\"");
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let output = home.run(&["-c", config, "get"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("prod    shop/web@2  held"), "{output:?}");
    assert!(stderr(&output).contains("no context `nowhere`"), "{output:?}");
    // Named, it is the target that has the name.
    let rollouts = home.json(&["-c", config, "get", "--context", "shop"]);
    assert_eq!(rollouts["rollouts"][0]["target"], json!("prod"));
    let output = home.run(&["-c", config, "config", "check"]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn the_console_follows_and_the_way_back_is_shown_and_never_sent() {
    let home = Home::new(story(), Options { at: 5.0, ..still() });
    let mut pty = home.console(&["--context", "shop"]);
    pty.shows("CANARY step 2/3");
    pty.shows("read-only");
    pty.shows("bbb222");
    // Escape sequences of others are none on our screen.
    assert!(!pty.wrote(0, "\x1b[31mv2") && !pty.screen().contains('\u{1b}'));
    press(&mut pty, "s");
    pty.shows("this target is read-only");
    press(&mut pty, "\x1b");
    press(&mut pty, "R");
    pty.shows("BACK by abort");
    pty.shows("this target is read-only: nothing is sent");
    pty.shows("puts all traffic back on aaa111");
    press(&mut pty, "R");
    pty.shows("NOTHING SENT");
    press(&mut pty, "R");
    pty.shows("BACK by abort");
    press(&mut pty, "\r");
    pty.until("it is closed", |p| !p.screen().contains("BACK by abort"));
    home.server.seek(11.0);
    pty.shows("CANARY step 3/3 at 60 %");
    press(&mut pty, "q");
    assert_eq!(pty.ends().exit_code(), 0);
    pty.assert_restored();
    assert!(home.server.log().iter().all(|r| r.method == "GET"));
    let watched: Vec<_> = home.server.counts().into_iter().filter(|((_, verb), _)| verb == "watch").collect();
    assert!(watched.len() == 6 && watched.iter().all(|(_, n)| *n == 1), "{watched:?}");
}

#[test]
fn a_rollout_that_vanishes_while_it_is_open_stays_and_says_so() {
    let home = Home::new(story(), still());
    let mut pty = home.console(&["--context", "shop"]);
    pty.shows("CANARY step 2/3");
    home.server.push("rollouts", "DELETED", json!({ "metadata": { "name": "web", "namespace": NAMESPACE, "uid": "uid-web" } }));
    pty.shows("web is gone from shop");
    press(&mut pty, "q");
    assert_eq!(pty.ends().exit_code(), 0);
}

#[test]
fn the_first_frame_waits_for_no_plugin_and_no_plugin_gets_the_terminal() {
    let home = Home::new(story(), still());
    let answer = r#"echo '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"t"}}'"#;
    // It writes to the terminal in every way it can find, asks, and takes its time.
    home.plugin(&format!(
        "(echo SCRIBBLE > /dev/tty) 2>/dev/null\n(read -r answer < /dev/tty) 2>/dev/null && exit 8\necho SCRIBBLE >&2\n\
         read -r answer && exit 9\nwhile [ ! -e {} ]; do sleep 0.02; done\n{answer}",
        home.dir.path().join("go").display()
    ));
    let began = Instant::now();
    let mut pty = home.console(&["--context", "shop"]);
    pty.shows("shop");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(home.server.log().is_empty());
    pty.pump(Duration::from_millis(300));
    std::fs::write(home.dir.path().join("go"), "").unwrap();
    pty.shows("CANARY step 2/3");
    assert!(!pty.wrote(0, "SCRIBBLE"), "a plugin has written to the terminal");
    press(&mut pty, "q");
    assert_eq!(pty.ends().exit_code(), 0);
    pty.assert_restored();
}

#[test]
fn a_plugin_that_hangs_ends_with_the_console() {
    let home = Home::new(story(), still());
    let pid = home.dir.path().join("pid");
    home.plugin(&format!("sleep 600 & echo $! > {}\nwait", pid.display()));
    let mut pty = home.console(&["--context", "shop"]);
    let mut process = String::new();
    pty.until("the plugin runs", |_| {
        process = std::fs::read_to_string(&pid).unwrap_or_default().trim().to_owned();
        !process.is_empty()
    });
    press(&mut pty, "q");
    assert_eq!(pty.ends().exit_code(), 0);
    let began = Instant::now();
    while std::path::Path::new(&format!("/proc/{process}")).exists() {
        assert!(began.elapsed() < Duration::from_secs(5), "what the plugin started is still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_is_wrong_is_one_line() {
    let home = Home::new(story(), still());
    home.server.shared.faults.add(Rule::new(What::Missing).only("list", "rollouts"));
    let output = home.run(&["get", "--context", "shop"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).ends_with("has no Argo Rollouts: the resource rollouts.argoproj.io is not installed there"), "{output:?}");
    home.plugin("echo 'token has expired' >&2; exit 1");
    let output = home.run(&["get", "--context", "shop"]);
    assert!(output.status.code() == Some(3) && stderr(&output).contains("ended with 1: token has expired"), "{output:?}");
    let mut kubeconfig = home.server.kubeconfig();
    kubeconfig["users"][0]["user"] = json!({ "exec": { "command": "no-such-login", "installHint": "install it\nwith care" } });
    home.kubeconfig(kubeconfig);
    let output = home.run(&["get", "--context", "shop"]);
    assert!(stderr(&output).ends_with("exec plugin `no-such-login` is not installed: install it with care"), "{output:?}");
    std::fs::remove_file(home.dir.path().join(".kube/config")).unwrap();
    let output = home.run(&["get", "--context", "shop"]);
    assert_eq!((output.status.code(), stderr(&output).lines().count()), (Some(2), 1), "{output:?}");
    let error = home.json(&["get", "--context", "shop"]);
    assert!(error["message"].as_str().unwrap().contains("there is no kubeconfig at"), "{error}");
}

#[test]
fn what_may_not_be_seen_is_said_once() {
    let home = Home::new(cluster(3, 1), Options { namespaced: true, ..still() });
    home.server.shared.faults.add(Rule::new(What::Status(403)).only("list", "pods"));
    let output = home.run(&["get", "--context", "shop"]);
    let said = stderr(&output);
    let lines: Vec<&str> = said.lines().collect();
    assert!(output.status.success() && lines.len() == 2, "{output:?}");
    assert_eq!(lines[0], "cutover: only namespace shop is seen: listing all of them is not allowed");
    assert!(lines[1].starts_with("cutover: pods are not seen: User \"replay\" cannot list"), "{said}");
    home.server.push("pods", "ADDED", part("web-00", "late", 0));
}

/// A metrics backend that knows of no series is asked for each version by its hash, and nothing is ever a pass.
#[test]
fn a_cluster_is_judged_from_a_metrics_backend_that_its_target_names() {
    let metrics = Fake::new(|_, client| http::json(client, 200, br#"{"status":"success","data":{"resultType":"vector","result":[]}}"#));
    let home = Home::new(story(), still());
    let config = home.dir.path().join("config.toml");
    let text = format!(
        "[[target]]\nname = \"prod\"\nkind = \"argo\"\ncontext = \"shop\"\n[target.metrics]\nkind = \"prometheus\"\nurl = \"{}\"\n\
         preset = \"istio\"\n[target.metrics.query]\nrequests = 'req{{hash=\"{{{{pod_hash}}}}\"}}'\n\
         [[target.gate]]\nname = \"bad answers\"\nsignal = \"errors\"\n",
        metrics.url
    );
    std::fs::write(&config, text.replace("bad answers", "bad-answers")).unwrap();
    let config = config.to_str().unwrap();
    let rollouts = home.json(&["-c", config, "get"]);
    let gate = &rollouts["rollouts"][0]["gates"][0];
    assert_eq!((&gate["name"], &gate["verdict"], &gate["on_fail"]), (&json!("bad-answers"), &json!("blind"), &json!("advise")), "{gate:#}");
    assert_eq!(gate["evidence"]["sensors"][0]["state"], json!("absent"));
    let asked: Vec<String> = metrics.asked().iter().map(|asked| asked.body.clone()).collect();
    for hash in ["aaa111", "bbb222"] {
        assert!(asked.iter().any(|body| body.contains(&format!("hash%3D%22{hash}"))), "{hash} in {asked:#?}");
    }
    let mut pty = home.console(&["-c", config]);
    pty.shows("BLIND");
    pty.keys("e");
    pty.shows("bad-answers");
    press(&mut pty, "\x1b");
    press(&mut pty, "q");
    // What cannot be is refused where it stands.
    let refused = |from: &str, to: &str, says: &str| {
        let text = std::fs::read_to_string(config).unwrap().replacen(from, to, 1);
        let other = home.dir.path().join("other.toml");
        std::fs::write(&other, text).unwrap();
        let output = home.run(&["-c", other.to_str().unwrap(), "get"]);
        assert!(output.status.code() == Some(2) && stderr(&output).contains(says), "{output:?}");
    };
    refused("signal = \"errors\"", "signal = \"errors\"\non_fail = \"revert\"", "nothing goes back by itself on a cluster");
    refused("signal = \"errors\"", "signal = \"restarts\"", "so nothing could judge this gate");
    refused("preset = \"istio\"", "preset = \"isto\"", "did you mean `istio`?");
}

/// What belongs to a rollout that is named is watched too, however it is named.
#[test]
fn get_watch_looks_at_what_belongs_to_the_rollout_that_is_named() {
    use std::io::{BufRead, BufReader};
    let home = Home::new(story(), still());
    let mut command = Command::new(CUTOVER);
    command.args(["get", "shop/web", "--context", "shop", "--watch", "-o", "json"]);
    command.env_clear().env("HOME", home.dir.path()).env("PATH", "/usr/bin:/bin").stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let document: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(document["rollouts"][0]["service"], json!("web"), "{line}");
    let end = Instant::now() + Duration::from_secs(20);
    while !home.server.log().iter().any(|r| r.path.contains("/pods")) {
        assert!(Instant::now() < end, "pods were never asked for");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
