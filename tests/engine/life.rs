//! What a candidate goes through before it has traffic, on a real host: checks and what they leave,
//! previews, and what the way back would need.

use super::rig::{Inner, deploy, sample, version};
use crate::support::{
    Tmpfs, fill,
    host::{CUTOVER, Host},
};
use cutover::model::{
    back::{CheckState, How},
    rollout::{Phase, Rollout},
};
use std::{collections::BTreeSet, fs, os::unix::fs::symlink};

/// The sample service with another plan.
fn planned(name: &str, steps: &str, more: &str) -> String {
    sample(name, more).replace("steps = [{ weight = 50 }, { pause = \"manual\" }]", &format!("steps = [{steps}]"))
}

fn json(host: &Host) -> serde_json::Value {
    let document: serde_json::Value = serde_json::from_str(&host.ok(&["get", "web", "-o", "json"])).unwrap();
    document["rollouts"][0].clone()
}

#[test]
fn a_check_that_hangs_ends_at_its_deadline_and_what_it_left_outlives_the_host() {
    let check =
        "{ check = { command = [\"/bin/sh\", \"-c\", \"echo schema 7 is missing on $PORT; sleep 600\", \"hidden\"], timeout = \"1s\" } }";
    let steps = format!("{check}, {{ pause = \"manual\" }}, {{ weight = 50 }}");
    let mut host = Host::start(&planned("web", &steps, "instances = 2"));
    deploy(&host, "web", &version(&host, "v1", ""), "completed");
    host.ok(&["deploy", "web", &version(&host, "v2", "")]);
    let held = host.until("held", |r| r.phase == Phase::Held && !r.tried.is_empty());
    let reason = held.reason.unwrap().to_string();
    assert!(reason.starts_with("check failed: 2 of 2 instances failed; ") && reason.ends_with(": still running after 1s"), "{reason}");
    let kept = json(&host)["tried"].clone();
    let one = &kept[0];
    assert_eq!((one["step"].as_u64(), one["kind"].as_str(), one["passed"].as_bool()), (Some(0), Some("check"), Some(false)), "{kept}");
    assert_eq!(one["what"], "/bin/sh", "arguments may be secret");
    let answers = one["answers"].as_array().unwrap();
    assert_eq!(answers.len(), 2);
    for answer in answers {
        assert_eq!(answer["result"], "still running after 1s");
        assert!(answer["took_ms"].as_u64().is_some_and(|ms| (1_000..30_000).contains(&ms)), "{answer}");
        assert!(answer["lines"][0].as_str().unwrap().starts_with("schema 7 is missing on "), "{answer}");
    }
    assert!(!kept.to_string().contains("hidden"));
    host.kill();
    host.run();
    host.until("taken up", |r| r.candidate().is_some_and(|t| t.pools.iter().any(|p| p.ready == 2)));
    assert_eq!(json(&host)["tried"], kept, "it is on disk with the run");
    host.ok(&["step", "web", "--yes", "--reason", "looked at it"]);
    host.ok(&["wait", "web", "--for", "paused", "--timeout", "60s"]);
    host.ok(&["revert", "web"]);
    assert_eq!(json(&host)["tried"], kept, "and stays with it after it is over");
    host.stop();
}

#[test]
fn a_failed_check_is_retried_from_the_start_on_instances_that_nothing_was_tried_on() {
    let flag = tempfile::tempdir().unwrap();
    let flag = flag.path().join("fixed");
    let check = "{ check = { command = [\"/bin/sh\", \"-c\", \"test -e $FIXED\"] } }";
    let more = format!("instances = 2\nenvironment = {{ FIXED = \"{}\" }}", flag.display());
    let mut host = Host::start(&planned("web", &format!("{check}, {{ weight = 50 }}, {{ pause = \"manual\" }}, {{ scale = 4 }}"), &more));
    deploy(&host, "web", &version(&host, "v1", ""), "completed");
    // What is doubted of its plan is said once more, and stops nothing.
    let began = host.verb(&["deploy", "web", &version(&host, "v2", "")]);
    assert_eq!((began.status.code(), String::from_utf8(began.stdout).unwrap().trim()), (Some(0), "web@2"));
    let doubt = "warning: 4 instances are more than the 2 it has at 100 %: it shrinks when it gets all the traffic\n";
    let said = String::from_utf8(began.stderr).unwrap();
    assert!(said.starts_with(&format!("cutover: {}:", host.config().display())) && said.ends_with(doubt), "{said}");
    let failed = |run: &'static str| move |r: &Rollout| r.run.as_ref().is_some_and(|r| r.as_str() == run) && !r.tried.is_empty();
    let instances = |r: &Rollout| -> BTreeSet<String> {
        let pools = r.candidate().into_iter().flat_map(|t| &t.pools);
        pools.flat_map(|p| &p.instances).map(|i| i.id.text().to_string()).collect()
    };
    let first = host.until("failed", failed("2"));
    assert!(host.ok(&["retry", "web", "--plan"]).contains("RETRY v2 from step 1"));
    assert!(host.ok(&["retry", "web", "--yes"]).ends_with("done and confirmed"));
    let second = host.until("failed again", failed("3"));
    assert_eq!((second.at.unwrap().index, second.tried.len(), instances(&second).len()), (0, 1, 2));
    assert!(instances(&second).is_disjoint(&instances(&first)), "{:?} {:?}", instances(&first), instances(&second));

    // What was begun is on disk before it begins: a host that dies then finds the new run, held.
    fs::write(&flag, "").unwrap();
    host.ok(&["retry", "web", "--yes"]);
    host.kill();
    host.run();
    let found = host.until("found", |r| r.phase == Phase::Held && r.candidate().is_some_and(|t| t.pools.iter().any(|p| p.ready == 2)));
    assert_eq!(found.run.unwrap().as_str(), "4");
    assert_eq!(host.requests(4), [200; 4]);
    host.ok(&["step", "web", "--yes"]);
    let passed = host.until("passed", |r| r.tried.iter().any(|t| t.passed) && r.at.is_some_and(|at| at.index == 2));
    assert_eq!(passed.candidate().unwrap().share.programmed.unwrap().percent(), Some(50.0));
    host.ok(&["revert", "web"]);
    host.stop();
}

#[test]
fn a_preview_is_where_it_is_said_to_be_as_long_as_it_is_said() {
    let more = "strategy = \"blue-green\"\npreview_listen = \"127.0.0.1:0\"\nproxy = { version_header = true }";
    let mut host = Host::start(&planned("web", "{ pause = \"manual\" }", more));
    deploy(&host, "web", &version(&host, "v1", ""), "completed");
    assert!(json(&host)["tracks"].as_array().unwrap().iter().all(|t| t["preview"].is_null()), "nobody is previewed");
    deploy(&host, "web", &version(&host, "v2", ""), "paused");
    let shown = json(&host);
    let green = &shown["tracks"][1];
    let address = green["preview"].as_str().unwrap_or_else(|| panic!("{shown:#}")).to_owned();
    assert_eq!((green["slot"].as_str(), shown["tracks"][0]["preview"].is_null()), (Some("preview"), true));
    let ask = |address: &str| {
        let curl = std::process::Command::new("curl").args(["-s", "-i", "-m", "10", &format!("http://{address}/")]).output().unwrap();
        String::from_utf8(curl.stdout).unwrap().to_ascii_lowercase()
    };
    assert!(ask(&address).contains(green["version"]["id"].as_str().unwrap()));
    host.ok(&["step", "web", "--yes"]);
    let done = host.until("switched", |r| r.phase == Phase::Completed);
    assert!(done.tracks.iter().all(|t| t.preview.is_none()), "it has the traffic now");
    assert!(ask(&address).starts_with("http/1.1 503"), "and nothing is shown there");

    // The port that another service of this host has, whatever the file says by now.
    let config = fs::read_to_string(host.config()).unwrap();
    let other = planned("other", "{ pause = \"manual\" }", "strategy = \"blue-green\"")
        .replace("127.0.0.1:0", &address.replace("127.0.0.1", "127.0.0.2"));
    let taken = format!("preview_listen = \"{address}\"\ndrain = ");
    fs::write(host.config(), format!("{config}{}", other.replace("drain = ", &taken))).unwrap();
    let refused = host.verb(&["deploy", "other", &version(&host, "v3", "")]);
    let said = String::from_utf8(refused.stderr).unwrap();
    let port = address.rsplit(':').next().unwrap();
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(said.contains(&format!("preview_listen: port {port} is that of service `web`: choose another one")), "{said}");
    assert!(!host.ok(&["get", "-o", "json"]).contains("\"other\""), "nothing of it is there");
    host.stop();
}

fn start_check(rollout: &Rollout) -> Option<(CheckState, String)> {
    let check = rollout.back.checks.iter().find(|c| c.name.as_str() == "start")?;
    Some((check.state, check.detail.to_string()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lamp_looks_at_all_that_a_slow_way_back_needs() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("serve");
    symlink(CUTOVER, &program).unwrap();
    let service = sample("web", "keep_warm = \"100ms\"").replace(&format!("[\"{CUTOVER}\", "), &format!("[\"{}\", ", program.display()));
    let inner = Inner::start(dir.path(), &service.replace("{ weight = 50 }, { pause = \"manual\" }", "{ weight = 50 }"));
    inner.deploy("v1", "").await;
    inner.until("stable", |r| r.phase == Phase::Completed).await;
    inner.deploy("v2", "").await;
    let slow = inner.until("a slow way back", |r| matches!(r.back.how, How::Redeploy { .. }) && start_check(r).is_some()).await;
    assert_eq!(start_check(&slow).unwrap(), (CheckState::Ok, "command, user, ports and room are there".into()));
    assert!(slow.back.is_ready(), "{:?}", slow.back.checks);
    // The program is gone, which is seen before anybody needs it.
    fs::remove_file(&program).unwrap();
    let dark = inner.until("said", |r| start_check(r).is_some_and(|(state, _)| state == CheckState::Bad)).await;
    let gone = format!("command `{}` of service `web` is not on this machine", program.display());
    assert_eq!((start_check(&dark).unwrap().1, dark.back.is_ready()), (gone.clone(), false));
    let finding = inner.until("found", |r| r.findings.iter().any(|f| f.kind.as_str() == "way back")).await.findings[0].what.to_string();
    assert_eq!(finding, format!("v1 could not be started again: {gone}"));
    symlink(CUTOVER, &program).unwrap();
    inner.until("mended", |r| r.back.is_ready() && r.findings.is_empty()).await;
    inner.end().await;
}

#[test]
fn instances_that_a_full_disk_cannot_start_are_said_in_one_line() {
    // Directories take room by their number.
    let Some(small) = Tmpfs::new("64m,nr_inodes=2000") else { return };
    let mut host = Host::prepare(
        small.path(),
        &planned(
            "web",
            "{ scale = 1 }, { weight = 5 }, { pause = \"manual\" }, { scale = 3 }, { weight = 50 }",
            "instances = 2\ndeadline.ready = \"3s\"",
        ),
    );
    host.run();
    deploy(&host, "web", &version(&host, "v1", ""), "completed");
    deploy(&host, "web", &version(&host, "v2", ""), "paused");
    fill(small.path());
    let mut made = 0;
    while fs::create_dir(small.path().join(format!("d{made}"))).is_ok() {
        made += 1;
    }
    host.verb(&["step", "web", "--yes"]);
    let short = host.until("said", |r| r.next.what.as_str().contains("no space left"));
    assert!(short.next.what.as_str().contains("canary 1/3 ready: no space left on device: cannot make "), "{:?}", short.next);
    host.until("stuck", |r| r.phase == Phase::Held && r.attention.as_ref().is_some_and(|a| a.kind.as_str() == "stuck"));
    assert_eq!(host.get("/").0, 200, "what runs goes on");
    host.ok(&["revert", "web"]);
    host.until("back without a byte", |r| r.phase == Phase::Reverted);
    host.stop();
}
