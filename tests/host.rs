//! The embedded host as a person meets it: real processes, real requests, real kills.

use crate::support::{
    Tmpfs, fill,
    host::{Host, PATIENCE, marked},
    need,
};
use cutover::{
    model::{
        action::Action,
        ident::ActionId,
        rollout::{Hold, Phase},
        wire::ActionRecord,
    },
    runtime::{Ask, Runtime},
};
use std::{
    fs,
    time::{Duration, Instant},
};

/// Serves the artifact's own files: the version can be read off every answer.
const PYTHON: &str = r#"
[[service]]
name = "web"
listen = "127.0.0.1:0"
command = ["python3", "-m", "http.server", "{port}", "--bind", "127.0.0.1"]
readiness = { path = "/version", interval = "100ms" }
steps = [{ weight = 50 }, { pause = "manual" }]
drain = "2s"
keep_warm = "10m"
"#;

fn version(host: &Host, label: &str) -> String {
    host.seal(label, &[("version", label)])
}

/// A host whose stable version is v1.
fn stable() -> Option<Host> {
    if !need("python3") {
        return None;
    }
    let host = Host::start(PYTHON);
    let v1 = version(&host, "v1");
    assert_eq!(host.ok(&["deploy", "web", &v1]), "web@1");
    host.ok(&["wait", "web", "--for", "completed", "--timeout", "60s"]);
    assert_eq!(host.get("/version"), (200, "v1".into()));
    Some(host)
}

/// A host with a canary at half of the traffic.
fn canary() -> Option<Host> {
    let host = stable()?;
    let v2 = version(&host, "v2");
    assert_eq!(host.ok(&["deploy", "web", &v2]), "web@2");
    host.ok(&["wait", "web", "--for", "paused", "--timeout", "60s"]);
    Some(host)
}

#[test]
fn a_canary_goes_out_and_comes_back() {
    let Some(host) = canary() else { return };
    let seen: Vec<String> = (0..20).map(|_| host.get("/version").1).collect();
    assert_eq!(seen.iter().filter(|v| *v == "v2").count(), 10, "{seen:?}");
    host.ok(&["revert", "web"]);
    let back = host.rollout();
    assert_eq!(back.phase, Phase::Reverted);
    assert!((0..20).all(|_| host.get("/version").1 == "v1"));
    let proof = host.until("proved", |r| r.proof.as_ref().is_some_and(|p| p.in_flight == 0)).proof.unwrap();
    assert_eq!((proof.requests_after, proof.left.label.as_str()), (0, "v2"));
    assert!(proof.safe_at.is_some() && proof.safe_since.is_none());
    // Never one version further, and it says since when.
    let again = host.ok(&["revert", "web", "-o", "json"]);
    assert!(again.contains("\"changed\":false") && again.contains("already back on v1"), "{again}");
    // What was left is torn down.
    host.until("torn down", |r| r.candidate().is_none_or(|t| t.pools.is_empty()));
}

#[test]
fn promoted_then_back_by_switch_while_the_old_version_is_warm() {
    let Some(host) = canary() else { return };
    host.ok(&["promote", "web", "--yes"]);
    let promoted = host.until("completed", |r| r.phase == Phase::Completed);
    assert_eq!(promoted.stable().unwrap().version.label.as_str(), "v2");
    assert!((0..10).all(|_| host.get("/version").1 == "v2"));
    host.ok(&["revert", "web", "--switch-only"]);
    assert!((0..10).all(|_| host.get("/version").1 == "v1"));
    assert_eq!(host.rollout().stable().unwrap().version.label.as_str(), "v1");
}

#[test]
fn the_verbs_are_idempotent_and_guarded() {
    let Some(host) = canary() else { return };
    host.ok(&["pause", "web"]);
    assert!(host.ok(&["pause", "web"]).contains("already paused"));
    assert!(host.rollout().holds.iter().any(|h| matches!(h, Hold::Manual { .. })));
    let stepped = host.verb(&["step", "web", "--yes"]);
    assert_eq!(stepped.status.code(), Some(4), "{stepped:?}");
    host.ok(&["resume", "web", "--yes"]);
    host.ok(&["weight", "web", "12.5", "--yes"]);
    let held = host.rollout();
    let weight = held.candidate().unwrap().share.programmed.unwrap().percent();
    assert_eq!(weight, Some(12.5));
    assert_eq!(host.verb(&["step", "web@9", "--yes"]).status.code(), Some(2));
    let unknown = host.verb(&["step", "wep", "--yes"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("nearest is `web`"), "{unknown:?}");
    assert_eq!(host.verb(&["promote", "web", "--yes"]).status.code(), Some(4), "held by hand");
    host.ok(&["resume", "web", "--yes"]);
    assert_eq!(host.verb(&["promote", "web"]).status.code(), Some(2), "not on a terminal");
    let again = host.verb(&["deploy", "web", &version(&host, "v3")]);
    assert_eq!(again.status.code(), Some(4), "{again:?}");
}

#[test]
fn a_restarted_host_uses_the_frozen_configuration_and_holds_what_was_unfinished() {
    let Some(mut host) = canary() else { return };
    let config = fs::read_to_string(host.config()).unwrap();
    fs::write(host.config(), config.replace("/version\"", "/nothing\"")).unwrap();
    host.kill();
    host.run();
    let held =
        host.until("held at its weights", |r| r.phase == Phase::Held && r.tracks.iter().all(|t| t.pools.iter().any(|p| p.ready > 0)));
    assert_eq!(held.candidate().unwrap().share.declared.unwrap().percent(), Some(50.0));
    assert_eq!(host.get("/version").0, 200);
    // A step goes on from where it was and skips nothing.
    let on = host.ok(&["step", "web", "--yes"]);
    assert!(on.contains("STEP goes on at 50 %, step 2 of 2"), "{on}");
    let on = host.rollout();
    assert!(on.holds.iter().all(|h| matches!(h, Hold::Step { .. })), "{:?}", on.holds);
    assert_eq!(on.at.unwrap().index, 1);
    host.ok(&["revert", "web"]);
    assert!((0..10).all(|_| host.get("/version").1 == "v1"));
}

#[test]
fn sigterm_drains_and_leaves_nothing() {
    let Some(mut host) = stable() else { return };
    let marker = format!("{}", host.dir.display());
    host.stop();
    assert_eq!(marked(&marker), Vec::<i32>::new());
    assert!(!host.dir.join("host.sock").exists());
}

#[test]
fn the_way_back_needs_no_free_disk_space() {
    if !need("python3") {
        return;
    }
    let Some(small) = Tmpfs::new("64m") else { return };
    let mut host = Host::prepare(small.path(), PYTHON);
    host.run();
    for label in ["v1", "v2"] {
        let digest = version(&host, label);
        host.ok(&["deploy", "web", &digest]);
        let goal = if label == "v1" { "completed" } else { "paused" };
        host.ok(&["wait", "web", "--for", goal, "--timeout", "60s"]);
    }
    fill(small.path());
    // The journal of the command line is elsewhere: its disk is not the host's.
    let elsewhere = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(host.config()).unwrap();
    let place = elsewhere.path().join("config.toml");
    fs::write(&place, text.replace(&format!("path = \"{}", small.path().display()), &format!("path = \"{}", elsewhere.path().display())))
        .unwrap();
    let done = std::process::Command::new(crate::support::host::CUTOVER).args(["revert", "web", "-c"]).arg(&place).output().unwrap();
    assert!(done.status.success(), "{done:?}\n{}", host.log());
    assert!((0..10).all(|_| host.get("/version").1 == "v1"));
    // And a restart still knows it.
    host.kill();
    host.run();
    assert_eq!(host.until("reverted", |r| r.phase == Phase::Reverted).stable().unwrap().version.label.as_str(), "v1");
    host.stop();
}

/// Every instance leaves a grandchild that called setsid and double-forked.
const STRAY: &str = r#"#!/bin/sh
setsid sh -c '(sleep 4711 &)'
exec python3 -m http.server "$PORT" --bind 127.0.0.1
"#;

#[test]
fn fifty_kills_at_random_moments_leave_no_process_and_lose_nothing() {
    if !need("python3") {
        return;
    }
    let mut host = Host::start(
        &PYTHON
            .replace("[\"python3\", \"-m\", \"http.server\", \"{port}\", \"--bind\", \"127.0.0.1\"]", "[\"./serve\"]")
            .replace("drain", "environment = { MARK = \"cutover-stray-4711\" }\ndrain"),
    );
    let artifact = |host: &Host, label: &str| host.seal(label, &[("version", label), ("serve", STRAY)]);
    let v1 = artifact(&host, "v1");
    host.ok(&["deploy", "web", &v1]);
    host.ok(&["wait", "web", "--for", "completed", "--timeout", "60s"]);
    let v2 = artifact(&host, "v2");
    let mut random = 0x9e37_79b9_u64;
    for round in 0..50 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let moment = Duration::from_millis(random >> 33 & 0x1ff);
        // In each round something is under way: a start, a deploy, a way back.
        match round % 3 {
            0 => drop(host.verb(&["deploy", "web", &v2])),
            1 => drop(host.verb(&["revert", "web"])),
            _ => {}
        }
        std::thread::sleep(moment);
        host.kill();
        let killed = Instant::now();
        while !marked("cutover-stray-4711").is_empty() {
            assert!(killed.elapsed() < Duration::from_secs(5), "round {round}: {:?} live on", marked("cutover-stray-4711"));
            std::thread::sleep(Duration::from_millis(20));
        }
        host.run();
        let rollout = host.rollout();
        assert!(rollout.stable().is_some(), "round {round}: the stable version was lost: {rollout:#?}");
        let end = Instant::now() + PATIENCE;
        while host.get("/version").0 != 200 {
            assert!(Instant::now() < end, "round {round}: nothing serves: {}", host.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    host.stop();
}

#[test]
fn an_action_that_was_answered_is_answered_the_same_again() {
    let Some(host) = canary() else { return };
    let rollout = host.rollout();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = host.client();
    let ask = Ask { action: Action::Pause, id: ActionId::new("once"), name: None, reason: None, force: false, switch_only: false };
    let plan = client.plan(&rollout, &ask).unwrap();
    let first = runtime.block_on(client.apply(&plan));
    let second = runtime.block_on(client.apply(&plan));
    assert_eq!(first, second);
    let record: ActionRecord = runtime.block_on(client.resolve(&plan.id)).unwrap().unwrap();
    assert_eq!(record.outcome, first);
    assert_eq!(runtime.block_on(client.resolve(&ActionId::new("never"))).unwrap(), None);
}

#[test]
fn what_outlives_a_drain_is_counted_listed_and_said() {
    let command =
        format!("[{:?}, \"sample\", \"--port\", \"{{port}}\", \"--behaviour\", \"behaviour.toml\"]", crate::support::host::CUTOVER);
    let service = PYTHON
        .replace("[\"python3\", \"-m\", \"http.server\", \"{port}\", \"--bind\", \"127.0.0.1\"]", &command)
        .replace("/version", "/healthz")
        .replace("drain = \"2s\"", "drain = \"1s\"");
    let host = Host::start(&service);
    for (label, median, goal) in [("v1", "5.0", "completed"), ("v2", "30000.0", "paused")] {
        let digest = host.seal(label, &[("behaviour.toml", &format!("median_ms = {median}\nspread = 0.01\n"))]);
        host.ok(&["deploy", "web", &digest]);
        host.ok(&["wait", "web", "--for", goal, "--timeout", "60s"]);
    }
    // Every second request goes to the slow version and stays there.
    let address = host.address.clone();
    let asking: Vec<_> = (0..4)
        .map(|n| {
            let url = format!("http://{address}/order/{n}");
            std::thread::spawn(move || std::process::Command::new("curl").args(["-s", "-m", "40", "-o", "/dev/null", &url]).status())
        })
        .collect();
    let on_v2 = |r: &cutover::model::rollout::Rollout| {
        r.candidate().map_or(0, |t| t.pools.iter().flat_map(|p| &p.instances).map(|i| i.in_flight).sum())
    };
    host.until("in flight on v2", |r| on_v2(r) == 2);
    host.ok(&["revert", "web"]);
    let said = host.until("said", |r| r.findings.iter().any(|f| f.what.as_str().contains("outlived")));
    let finding = said.findings.iter().find(|f| f.what.as_str().contains("outlived")).unwrap();
    assert!(finding.what.as_str().starts_with("2 requests outlived the drain of 1s on v2: GET /order/"), "{}", finding.what);
    asking.into_iter().for_each(|a| drop(a.join().unwrap()));
    // It stays to be read after the instances are gone.
    host.until("torn down", |r| r.candidate().is_none_or(|t| t.pools.is_empty()));
    assert!(host.rollout().findings.iter().any(|f| f.what.as_str().contains("outlived")));
}
