//! Deploys that cannot be: one line, and nothing is half done.

use super::rig::{canary, deploy, sample, until, version};
use crate::support::{
    Tmpfs, fill,
    host::{CUTOVER, Host},
    need_root,
};
use cutover::model::rollout::Phase;
use std::{fs, net::TcpListener, path::PathBuf, process::Command};

/// Refused with one line on standard error; it.
fn refused(host: &Host, args: &[&str], code: i32) -> String {
    let done = host.verb(args);
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(code), "{args:?}: {said}");
    assert_eq!(said.trim().lines().count(), 1, "{said}");
    said
}

fn unpacked(host: &Host) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(host.dir.join("store/unpacked")).unwrap().flatten().map(|e| e.path()).collect();
    all.sort();
    all
}

#[test]
fn a_deploy_that_cannot_be_changes_nothing() {
    let host = Host::start(&sample("web", ""));
    let v1 = version(&host, "v1", "");
    deploy(&host, "web", &v1, "completed");
    let before = (serde_json::to_string(&host.rollout().run).unwrap(), unpacked(&host));
    let nothing_happened = |said: &str| {
        assert_eq!((serde_json::to_string(&host.rollout().run).unwrap(), unpacked(&host)), before, "{said}");
        assert_eq!(host.get("/").0, 200);
    };
    let nowhere = format!("sha256:{}", "0".repeat(64));
    let said = refused(&host, &["deploy", "web", &nowhere], 2);
    assert!(said.contains("000000000000"), "{said}");
    nothing_happened(&said);
    let said = refused(&host, &["deploy", "wep", &v1], 2);
    assert!(said.contains("did you mean `web`?"), "{said}");
    nothing_happened(&said);
    let said = refused(&host, &["deploy", "web", &format!("oci:{}@{nowhere}", host.dir.join("not-there").display())], 2);
    nothing_happened(&said);

    // The command of the next version is not in its artifact.
    let config = fs::read_to_string(host.config()).unwrap();
    let v2 = version(&host, "v2", "");
    fs::write(host.config(), config.replace(&format!("[\"{CUTOVER}\", "), "[\"./serve\", ")).unwrap();
    let said = refused(&host, &["deploy", "web", &v2], 4);
    assert!(said.contains("`./serve`") && said.contains("not in the artifact"), "{said}");
    assert_eq!(host.get("/").0, 200);

    // A new service wants a port that somebody has.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = sample("other", "").replace("127.0.0.1:0", &taken.local_addr().unwrap().to_string());
    fs::write(host.config(), format!("{config}{other}")).unwrap();
    let said = refused(&host, &["deploy", "other", &v2], 4);
    assert!(
        said.contains("listen: port ") && said.contains(&format!("is taken by another process (pid {})", std::process::id())),
        "{said}"
    );
    assert!(!host.ok(&["get", "-o", "json"]).contains("\"other\""), "it must not be there at all");
    drop(taken);
    deploy(&host, "other", &v2, "completed");

    // The file is broken: one line, and what runs goes on.
    fs::write(host.config(), config.replace("[[service]]", "[[sarvice]]")).unwrap();
    let body = serde_json::json!({ "id": "x", "service": "web", "artifact": v2 }).to_string();
    let (status, said) = super::rig::Http::to(&host).post("/v1/deploy", body);
    assert!(status == 400 && said.contains("sarvice") && !said.contains("\\n"), "{said}");
    assert_eq!(host.get("/").0, 200);
}

#[test]
fn an_artifact_that_is_gone_keeps_nothing_else_from_serving() {
    if !need_root() {
        return;
    }
    let mut host = canary("");
    let (old, v2) = (unpacked(&host), version(&host, "v2", ""));
    host.kill();
    // The candidate's artifact is lost, copy and layer.
    let copy = old.iter().find(|p| fs::read_to_string(p.join("behaviour.toml")).is_ok_and(|t| t.starts_with("# v2"))).unwrap();
    fs::remove_dir_all(copy).unwrap();
    let blobs = host.dir.join("store/oci/blobs/sha256");
    let manifest = blobs.join(v2.strip_prefix("sha256:").unwrap());
    fs::rename(&manifest, host.dir.join("kept")).unwrap();
    host.run();
    let held = host.until("said", |r| r.findings.iter().any(|f| f.kind.as_str() == "artifact"));
    let finding = held.findings.iter().find(|f| f.kind.as_str() == "artifact").unwrap();
    assert!(finding.what.as_str().starts_with("v2 cannot be started: "), "{finding:?}");
    host.until("serving", |r| r.stable().unwrap().pools.iter().any(|p| p.ready == 1));
    for _ in 0..10 {
        assert_eq!(host.get("/").0, 200, "what the candidate cannot take, stable takes");
    }
    // And it is taken up again once it is there again.
    fs::rename(host.dir.join("kept"), &manifest).unwrap();
    host.until("started", |r| r.candidate().unwrap().pools.iter().any(|p| p.ready == 1) && r.findings.is_empty());
    host.ok(&["revert", "web"]);
}

#[test]
fn a_full_disk_refuses_a_deploy_and_leaves_no_pieces() {
    let Some(small) = Tmpfs::new("64m") else { return };
    let mut host = Host::prepare(small.path(), &sample("web", ""));
    host.run();
    deploy(&host, "web", &version(&host, "v1", ""), "completed");
    let elsewhere = tempfile::tempdir().unwrap();
    let source = elsewhere.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("behaviour.toml"), "# v2\n").unwrap();
    fs::write(source.join("ballast"), vec![7; 4 << 20]).unwrap();
    let layout = elsewhere.path().join("layout");
    let sealed = Command::new(CUTOVER).args(["seal", "--to"]).arg(&layout).arg(&source).arg("-c").arg(host.config()).output().unwrap();
    let digest = String::from_utf8(sealed.stdout).unwrap().trim().to_owned();
    assert!(digest.starts_with("sha256:"), "{}", String::from_utf8_lossy(&sealed.stderr));
    let listed = || {
        let mut all: Vec<_> = fs::read_dir(small.path().join("store/oci/blobs/sha256")).unwrap().flatten().map(|e| e.path()).collect();
        all.extend(unpacked(&host));
        all.sort();
        all
    };
    let before = listed();
    fill(small.path());
    let body = serde_json::json!({ "id": "x", "service": "web", "artifact": digest, "layout": layout }).to_string();
    let (status, said) = super::rig::Http::to(&host).post("/v1/deploy", body);
    assert!(status == 409 && said.contains("disk: artifact ") && said.contains(" MiB are free"), "{status} {said}");
    assert_eq!(listed(), before);
    assert_eq!(host.get("/").0, 200);
    fs::remove_file(small.path().join("filler")).unwrap();
    deploy(&host, "web", &format!("oci:{}@{digest}", layout.display()), "paused");
    until("both serve", || (host.get("/").0 == 200).then_some(()));
    host.stop();
}

#[test]
fn the_last_artifacts_are_kept_and_no_others() {
    let mut host = Host::start(&sample("web", "keep_warm = \"100ms\"\nkeep = 2").replace(", { pause = \"manual\" }", ""));
    let all: Vec<String> = ["v1", "v2", "v3", "v4"].map(|label| version(&host, label, "")).into();
    for digest in &all {
        deploy(&host, "web", digest, "completed");
    }
    let manifest = |digest: &str| host.dir.join("store/oci/blobs/sha256").join(digest.strip_prefix("sha256:").unwrap());
    until("the oldest are gone", || all[..2].iter().all(|d| !manifest(d).exists()).then_some(()));
    assert!(all[2..].iter().all(|d| manifest(d).exists()));
    until("their copies, too", || (unpacked(&host).iter().filter(|p| p.is_dir()).count() == 2).then_some(()));
    let said = refused(&host, &["deploy", "web", &all[0]], 2);
    assert!(said.contains(&all[0][7..19]), "{said}");
    // One that is kept can be deployed again, also by the next host.
    host.kill();
    host.run();
    host.until("serving", |r| r.stable().is_some_and(|t| t.pools.iter().any(|p| p.ready == 1)));
    deploy(&host, "web", &all[2], "completed");
    assert_eq!(host.get("/").0, 200);
    host.stop();
}

#[test]
fn everything_that_is_wrong_is_said_at_once_and_nothing_is_left_of_it() {
    let host = Host::start(&sample("web", ""));
    deploy(&host, "web", &version(&host, "v1", ""), "completed");
    let before = unpacked(&host);
    let blobs = || fs::read_dir(host.dir.join("store/oci/blobs/sha256")).unwrap().count();
    let (taken, held) = (TcpListener::bind("127.0.0.1:0").unwrap(), blobs());

    // From another layout: what a deploy that cannot be brings along goes with it.
    let source = host.dir.join("other-source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("behaviour.toml"), "# v2\n").unwrap();
    let layout = host.dir.join("layout");
    let sealed = Command::new(CUTOVER).args(["seal", "--to"]).arg(&layout).arg(&source).arg("-c").arg(host.config()).output().unwrap();
    let artifact = format!("oci:{}@{}", layout.display(), String::from_utf8(sealed.stdout).unwrap().trim());
    let config = fs::read_to_string(host.config()).unwrap();
    let wrong = format!(
        "preview_listen = \"{}\"\nuser = \"nobody-of-that-name\"\nrouting.tester = {{ secret = {{ env = \"CUTOVER_NO_TESTER\" }} }}\n\
         secrets = {{ ONE = {{ file = \"/no/such/file\" }}, TWO = {{ env = \"CUTOVER_NO_SUCH\" }} }}\n",
        taken.local_addr().unwrap()
    );
    let edited = config.replace("drain = ", &format!("{wrong}drain = ")).replace(&format!("[\"{CUTOVER}\", "), "[\"./serve\", ");
    fs::write(host.config(), edited).unwrap();
    let done = host.verb(&["deploy", "web", &artifact]);
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(4), "{said}");
    // What is only doubted of the plan is said before that.
    let (doubts, lines): (Vec<&str>, Vec<&str>) = said.trim().lines().partition(|line| line.contains(": warning: "));
    assert!(doubts.len() == 1 && said.starts_with(doubts[0]), "{said}");
    assert_eq!(lines[0], "cutover: preflight: 6 failures, nothing was started");
    for expected in [
        "user nobody-of-that-name does not exist",
        "secret ONE: file /no/such/file: not found",
        "secret TWO: variable CUTOVER_NO_SUCH is not in the host's environment",
        "secret tester: variable CUTOVER_NO_TESTER is not in the host's environment",
        &format!("preview_listen: port {} is taken by another process (pid {})", taken.local_addr().unwrap().port(), std::process::id()),
        "command `./serve` of service `web` is not in the artifact",
    ] {
        assert!(lines[1..].contains(&format!("  {expected}").as_str()), "{expected}: {said}");
    }
    assert_eq!((unpacked(&host), blobs()), (before, held), "nothing of it is left");
    assert_eq!(host.rollout().run.unwrap().as_str(), "1");
    // Put right, it goes.
    drop(taken);
    fs::write(host.config(), config).unwrap();
    deploy(&host, "web", &artifact, "paused");
    assert_eq!(host.get("/").0, 200);
}

#[test]
fn what_is_refused_anyway_is_refused_before_anything_is_copied() {
    let host = canary("");
    let source = host.dir.join("other-source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("behaviour.toml"), "# v3\n").unwrap();
    let layout = host.dir.join("layout");
    let sealed = Command::new(CUTOVER).args(["seal", "--to"]).arg(&layout).arg(&source).arg("-c").arg(host.config()).output().unwrap();
    let artifact = format!("oci:{}@{}", layout.display(), String::from_utf8(sealed.stdout).unwrap().trim());
    let blobs = || fs::read_dir(host.dir.join("store/oci/blobs/sha256")).unwrap().count();
    let before = (unpacked(&host), blobs());
    let said = refused(&host, &["deploy", "web", &artifact], 4);
    assert!(said.contains("run 2 of v2 is in progress") && said.contains("--replace"), "{said}");
    assert_eq!((unpacked(&host), blobs()), before, "by a run in progress");
    host.ok(&["freeze", "web", "--reason", "stock-taking", "--yes"]);
    for more in [&[][..], &["--replace"]] {
        let said = refused(&host, &[&["deploy", "web", artifact.as_str()][..], more].concat(), 4);
        assert!(said.contains("frozen by ") && said.contains("stock-taking"), "{said}");
        assert_eq!((unpacked(&host), blobs()), before, "by a freeze");
    }
    // What is rolled out already is no refusal, and may replace itself.
    host.ok(&["thaw", "web", "--yes"]);
    let same = host.verb(&["deploy", "web", &version(&host, "v2", "")]);
    assert_eq!((same.status.code(), String::from_utf8_lossy(&same.stdout).trim()), (Some(0), "web@2"), "{same:?}");
    host.ok(&["deploy", "web", &artifact, "--replace"]);
    host.until("its turn", |r| r.run.as_ref().is_some_and(|run| run.as_str() == "3"));
    assert!(blobs() > before.1, "it is there");
}

#[test]
fn what_is_started_again_is_looked_at_like_what_is_new() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), "s3cret\n").unwrap();
    fs::set_permissions(secret.path(), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let host =
        Host::start(&sample("web", &format!("keep_warm = \"100ms\"\nsecrets = {{ ONE = {{ file = \"{}\" }} }}", secret.path().display())));
    deploy(&host, "web", &version(&host, "v1", ""), "completed");
    deploy(&host, "web", &version(&host, "v2", ""), "paused");
    host.ok(&["revert", "web"]);
    host.until("back", |r| r.phase == Phase::Reverted && r.candidate().is_none_or(|c| c.pools.is_empty()));
    let path = secret.path().to_owned();
    let away = path.with_extension("away");
    fs::rename(&path, &away).unwrap();
    for verb in [&["retry", "web", "--yes"][..], &["undo", "web", "v2", "--yes", "--reason", "again"]] {
        let said = refused(&host, verb, 4);
        assert!(said.contains("preflight: ") && said.contains(&format!("secret ONE: file {}: not found", path.display())), "{said}");
        assert_eq!(host.rollout().phase, Phase::Reverted, "nothing was started");
    }
    // Put right, it goes; and the way back goes without it.
    fs::rename(&away, &path).unwrap();
    host.ok(&["retry", "web", "--yes"]);
    host.ok(&["wait", "web", "--for", "paused", "--timeout", "60s"]);
    fs::rename(&path, &away).unwrap();
    host.ok(&["revert", "web"]);
    host.until("back again", |r| r.phase == Phase::Reverted);
    fs::rename(&away, &path).unwrap();
}
