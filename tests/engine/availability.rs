//! What may be needed is looked at before it is: the sealed artifact of the way back, and what artifacts say.

use super::rig::{Inner, deploy, sample, version};
use crate::support::host::{CUTOVER, Host, PATIENCE};
use cutover::model::{
    back::CheckState,
    rollout::{Phase, Rollout},
};
use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_way_back_that_could_not_be_started_again_opens_and_closes() {
    let dir = tempfile::tempdir().unwrap();
    let inner = Inner::start(dir.path(), &sample("web", ""));
    let canary = inner.canary("").await;
    let to = canary.back.to.unwrap();
    assert_eq!(to.label.as_str(), "v1");
    let store = |r: &Rollout| r.back.checks.iter().find(|c| c.name.as_str() == "store").map(|c| c.state);
    inner.until("looked at", |r| store(r) == Some(CheckState::Ok) && r.findings.is_empty()).await;

    let manifest = match &to.parts[0].declared {
        cutover::model::version::Artifact::Digest(digest) => dir.path().join("store/oci/blobs/sha256").join(digest.hex()),
        other => panic!("{other:?}"),
    };
    let kept = dir.path().join("kept");
    fs::rename(&manifest, &kept).unwrap();
    let opened = inner.until("opened", |r| r.findings.iter().any(|f| f.kind.as_str() == "way back")).await;
    let finding = &opened.findings[0];
    assert!(
        finding.what.as_str().starts_with("v1 could not be started again: ") && finding.what.as_str().contains("is gone"),
        "{finding:?}"
    );
    assert_eq!(store(&opened), Some(CheckState::Bad));
    assert_eq!(opened.phase, Phase::Held, "what runs goes on");
    fs::rename(&kept, &manifest).unwrap();
    inner.until("closed", |r| r.findings.is_empty() && store(r) == Some(CheckState::Ok)).await;
    // News are written with the next state.
    let told = || -> Vec<String> { inner.disk.state().services["web"].events.iter().map(|e| e.what.as_str().to_owned()).collect() };
    let end = Instant::now() + PATIENCE;
    loop {
        let said = told();
        let opened = said.iter().position(|what| what.starts_with("way back: v1 could not be started again"));
        if opened.is_some_and(|at| said[at..].iter().any(|what| what.starts_with("way back is as it should be again, after "))) {
            break;
        }
        assert!(Instant::now() < end, "opened and closed are told: {said:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    inner.end().await;
}

#[test]
fn what_an_artifact_says_is_shown_and_kept_over_a_restart() {
    let mut host = Host::start(&sample("web", ""));
    let source = host.dir.join("unsafe");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("behaviour.toml"), "median_ms = 1.0\n").unwrap();
    let sealed = Command::new(CUTOVER)
        .args(["seal", "-l", "v1", "--revision", "9f2c41a", "--revert-unsafe", "migration 0042", "-c"])
        .arg(host.config())
        .arg(&source)
        .output()
        .unwrap();
    let digest = String::from_utf8(sealed.stdout).unwrap().trim().to_owned();
    deploy(&host, "web", &digest, "completed");
    let says = |r: &Rollout| {
        let stable = r.stable().unwrap();
        assert_eq!(stable.version.back_unsafe.as_ref().unwrap().as_str(), "migration 0042");
        let about = stable.about.clone().unwrap();
        assert!(about.size.unwrap() > 0 && about.sealed.is_some() && about.store.as_ref().unwrap().as_str().ends_with("store/oci"));
        assert_eq!(about.annotations[&"org.opencontainers.image.revision".into()].as_str(), "9f2c41a");
        about
    };
    let before = says(&host.rollout());
    deploy(&host, "web", &version(&host, "v2", ""), "paused");
    assert_eq!(host.rollout().back.to.unwrap().back_unsafe.unwrap().as_str(), "migration 0042");
    assert_eq!(host.rollout().candidate().unwrap().version.back_unsafe, None);
    host.kill();
    host.run();
    assert_eq!(says(&host.rollout()), before);
    host.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_runs_from_another_copy_opens_and_closes() {
    let dir = tempfile::tempdir().unwrap();
    // A version whose artifact says so leaves for the copy of another one.
    let command = format!(
        "[\"/bin/sh\", \"-c\", \"grep -q stray behaviour.toml && cd $(ls -d ../*/ | grep -v $(basename $PWD) | head -n 1); \
         exec {CUTOVER} sample --port {{port}} --behaviour behaviour.toml\"]"
    );
    let service = sample("web", "");
    let line = service.lines().find(|l| l.starts_with("command = ")).unwrap().to_owned();
    let inner = Inner::start(dir.path(), &service.replace(&line, &format!("command = {command}")));
    let canary = inner.canary("# stray").await;
    let instance = canary.candidate().unwrap().pools[0].instances[0].id.text();
    let opened = inner.until("opened", |r| r.findings.iter().any(|f| f.kind.as_str() == "instance")).await;
    let what = opened.findings[0].what.as_str();
    assert!(what.starts_with(&format!("{instance} of v2: its directory is in another copy: ")), "{what}");
    let reply = inner.act(super::rig::back("back", &opened)).await;
    reply.await.unwrap().unwrap();
    inner.until("closed", |r| r.phase == Phase::Reverted && r.findings.is_empty()).await;
    inner.end().await;
}
