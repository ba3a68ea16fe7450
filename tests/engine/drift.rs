//! What runs is what was sealed, or it is not started again.

use super::rig::{canary, deploy, paused, until, version};
use crate::support::{
    host::{Host, marked},
    need_root,
};
use cutover::model::{
    back::CheckState,
    ident::Role,
    instance::InstanceState,
    rollout::{Phase, Rollout},
    version::Artifact,
};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

/// The unpacked copy whose behaviour file says this label.
fn copy(host: &Host, label: &str) -> PathBuf {
    let is = |dir: &Path| fs::read_to_string(dir.join("behaviour.toml")).is_ok_and(|t| t.starts_with(&format!("# {label}\n")));
    let all = fs::read_dir(host.dir.join("store/unpacked")).unwrap().flatten().map(|e| e.path());
    all.into_iter().find(|dir| is(dir)).unwrap()
}

/// As root: its permissions do not bind.
fn spoil(copy: &Path) {
    let mut file = fs::OpenOptions::new().append(true).open(copy.join("behaviour.toml")).unwrap();
    file.write_all(b"seed = 2\n").unwrap();
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn no_instance_starts_from_a_copy_that_drifted() {
    if !need_root() {
        return;
    }
    let mut host = canary("restart = { min = \"50ms\", max = \"200ms\" }");
    let running = host.rollout();
    let instance = &running.candidate().unwrap().pools[0].instances[0];
    spoil(&copy(&host, "v2"));
    kill(instance.pid.unwrap());
    let down = host.until("down for drift", |r| {
        let reason = |i: &cutover::model::instance::Instance| i.reason.as_ref().is_some_and(|r| r.as_str().starts_with("drift: `"));
        r.candidate().unwrap().pools[0].instances.iter().any(|i| i.state == InstanceState::BackOff && reason(i))
    });
    let finding = down.findings.iter().find(|f| f.kind.as_str() == "drift").unwrap_or_else(|| panic!("{:#?}", down.findings));
    assert!(finding.what.as_str().starts_with("v2 cannot be started: `behaviour.toml` "), "{finding:?}");
    assert!(down.back.checks.iter().all(|c| c.state == CheckState::Ok), "stable's own copy is sound: {:#?}", down.back.checks);
    assert!(!marked(&copy(&host, "v2").display().to_string()).iter().any(|p| *p != 0 && Path::new(&format!("/proc/{p}")).exists()));
    // Several more tries later it is still down, and stable has all the traffic.
    std::thread::sleep(std::time::Duration::from_millis(600));
    assert_eq!(host.rollout().candidate().unwrap().pools[0].ready, 0);
    assert_eq!(host.get("/").0, 200);

    // Given up, nothing runs from the copy: a retry gets a fresh one.
    host.ok(&["revert", "web"]);
    host.until("torn down", |r| r.phase == Phase::Reverted && r.candidate().unwrap().pools.is_empty());
    deploy(&host, "web", &version(&host, "v2", ""), "paused");
    assert!(host.rollout().findings.iter().all(|f| f.kind.as_str() != "drift"));

    // Stable's copy drifts while the host is away: it serves again all the same, from a fresh copy.
    host.kill();
    spoil(&copy(&host, "v1"));
    host.run();
    host.until("serving", |r| r.stable().is_some_and(|t| t.pools.iter().any(|p| p.ready == 1)));
    assert_eq!(host.get("/").0, 200);
    assert!(!fs::read_to_string(copy(&host, "v1").join("behaviour.toml")).unwrap().contains("seed = 2"));
    assert!(host.log().contains("made anew"), "{}", host.log());
}

#[test]
fn the_patrol_finds_drift_and_the_lamp_says_so() {
    if !need_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut host = Host::prepare(dir.path(), &super::rig::sample("web", ""));
    let config = fs::read_to_string(host.config()).unwrap();
    fs::write(host.config(), config.replace("[journal]", "verify_rate = 1000000000\n[journal]")).unwrap();
    host.run();
    deploy(&host, "web", &version(&host, "v1", ""), "completed");
    deploy(&host, "web", &version(&host, "v2", ""), "paused");
    let ready = host.rollout();
    assert!(ready.back.checks.iter().any(|c| c.name.as_str() == "artifact" && c.state == CheckState::Ok), "{:#?}", ready.back.checks);
    spoil(&copy(&host, "v1"));
    let found = host.until("found", |r| r.findings.iter().any(|f| f.kind.as_str() == "drift"));
    assert!(paused(&found), "nothing moves for it");
    let lamp = found.back.checks.iter().find(|c| c.name.as_str() == "artifact").unwrap();
    assert!(lamp.state == CheckState::Bad && lamp.detail.as_str().starts_with("drift: `behaviour.toml` "), "{lamp:?}");
    until("in the timeline", || host.ok(&["get", "web", "-o", "json"]).contains("v1 cannot be started").then_some(()));
    // Nothing is said to be verified that is not; the other version still is, and since when.
    let part = |r: &Rollout, role: Role| {
        let track = r.tracks.iter().find(|t| t.role == role).unwrap();
        let instance = &track.pools[0].instances[0].parts[0];
        assert_eq!((instance.running, &instance.wrong), (track.version.parts[0].running, &track.version.parts[0].wrong));
        track.version.parts[0].clone()
    };
    let (sound, spoilt) = (part(&found, Role::Candidate), part(&found, Role::Stable));
    assert!(matches!(&sound.declared, Artifact::Digest(d) if sound.running == Some(*d)), "{sound:?}");
    assert!(sound.checked.is_some() && sound.wrong.is_none(), "{sound:?}");
    assert_eq!(spoilt.running, None, "{spoilt:?}");
    assert!(spoilt.wrong.as_ref().is_some_and(|w| w.as_str().starts_with("`behaviour.toml` ")), "{spoilt:?}");
    assert!(ready.back.to.as_ref().is_none_or(|v| v.parts[0].running.is_none()), "what is to be gone back to claims nothing");
    // What runs goes on running, and the way back goes.
    assert_eq!(host.get("/").0, 200);
    host.ok(&["revert", "web"]);
    assert_eq!(host.get("/").0, 200);
    host.stop();
}
