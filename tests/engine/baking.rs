//! A version bakes on a real host: it is good only after its time without a failed gate.

use super::rig::{deploy, sample, until, version};
use crate::support::host::Host;
use cutover::model::rollout::{Phase, Rollout, Standing};

fn standing(rollout: &Rollout, label: &str) -> Option<Standing> {
    rollout.versions.iter().find(|k| k.version.label.as_str() == label).map(|k| k.standing.clone())
}

#[test]
fn a_version_is_good_after_a_clean_bake_and_not_after_one_with_errors() {
    let gate = "bake = \"5s\"\n[[service.gate]]\nname = \"errors\"\nsignal = \"errors\"\ninterval = \"1s\"\nlimit = 5\non_fail = \"hold\"";
    let host = Host::start(&sample("web", gate));
    deploy(&host, "web", &version(&host, "v1", ""), "completed");
    // It has no failed gate, and traffic.
    let good = until("good", || {
        assert_eq!(host.get("/").0, 200);
        let rollout = host.rollout();
        (standing(&rollout, "v1") == Some(Standing::Good)).then_some(rollout)
    });
    assert!(good.attention.is_none(), "{good:#?}");
    // One that fails as soon as it has all the traffic never is, and the person is told.
    deploy(&host, "web", &version(&host, "v2", "errors = [[0.0, 100.0]]"), "paused");
    host.ok(&["promote", "web", "--yes", "--reason", "to see it bake", "--force"]);
    host.until("completed", |r| r.phase == Phase::Completed);
    let bad = until("bad", || {
        // Enough of them to fail within a bake of five seconds, however slow the machine is.
        (0..10).for_each(|_| drop(host.get("/")));
        let rollout = host.rollout();
        rollout.findings.iter().any(|f| f.kind.as_str() == "bake").then_some(rollout)
    });
    let finding = bad.findings.iter().find(|f| f.kind.as_str() == "bake").unwrap();
    assert_eq!(finding.what.as_str(), "v2 fails while it bakes: errors");
    assert_eq!((bad.attention.unwrap().kind.as_str(), bad.phase), ("failing", Phase::Completed), "it is said, and nothing moves");
    assert_eq!(bad.back.to.as_ref().unwrap().label.as_str(), "v1", "the good one");
    // For longer than the bake.
    let since = bad.seen.server_time;
    let later = until("later", || {
        host.get("/");
        let rollout = host.rollout();
        ((rollout.seen.server_time - since).num_seconds() > 6).then_some(rollout)
    });
    assert!(!matches!(standing(&later, "v2"), Some(Standing::Good)), "{:?}", later.versions);
}

#[test]
fn a_version_that_does_not_run_does_not_get_good() {
    let host = Host::start(&sample("web", "bake = \"5s\"\nrestart = { min = \"50s\", max = \"1m\" }"));
    deploy(&host, "web", &version(&host, "v1", "crash = { after = 3.0, code = 3 }"), "completed");
    let down = host.until("down", |r| r.tracks.iter().flat_map(|t| &t.pools).all(|p| p.ready == 0));
    // For longer than the bake: there is no gate that could fail, and nothing that it could have proven.
    let later = host.until("later", |r| (r.seen.server_time - down.seen.server_time).num_seconds() > 6);
    assert!(matches!(standing(&later, "v1"), Some(Standing::Baking { .. })), "{:?}", later.versions);
}

/// What is told of v1, which bakes for a minute and does not do well; until its findings say so.
fn fails_while_it_bakes(more: &str, behaviour: &str, kind: &str) -> (Host, Rollout) {
    let host = Host::start(&sample("web", &format!("bake = \"1m\"\n{more}")));
    deploy(&host, "web", &version(&host, "v1", behaviour), "completed");
    let bad = until("bad", || {
        let rollout = host.rollout();
        rollout.findings.iter().any(|f| f.kind.as_str() == "bake").then_some(rollout)
    });
    let finding = bad.findings.iter().find(|f| f.kind.as_str() == "bake").unwrap();
    assert_eq!(finding.what.as_str(), format!("v1 fails while it bakes: {kind}"));
    assert_eq!(
        (bad.attention.as_ref().unwrap().kind.as_str(), &bad.phase),
        ("failing", &Phase::Completed),
        "it is said, and nothing moves"
    );
    assert_eq!(standing(&bad, "v1"), Some(Standing::Unproven), "and it does not become good");
    (host, bad)
}

#[test]
fn a_version_that_crashes_while_it_bakes_is_told_and_is_not_good() {
    let gate =
        "restart = { min = \"100ms\", max = \"200ms\" }\n[[service.gate]]\nname = \"restarts\"\nsignal = \"restarts\"\ninterval = \"1s\"";
    let (_host, bad) = fails_while_it_bakes(gate, "crash = { after = 1.0, code = 3 }", "restarts");
    assert!(bad.tracks[0].pools[0].restarts > 0);
}

#[test]
fn a_version_that_leaks_while_it_bakes_is_told_with_its_growth_and_is_not_good() {
    let (host, bad) = fails_while_it_bakes("warmup = \"1s\"", "leak = 2.0", "leak");
    let leak = bad.findings.iter().find(|f| f.kind.as_str() == "leak").unwrap();
    assert!(leak.what.as_str().starts_with("v1 grew ") && leak.what.as_str().contains(" MB in "), "{leak:?}");
    let usage = bad.tracks[0].pools[0].instances[0].usage.clone().unwrap();
    // Two megabytes a second are 7.5 GB an hour; the machine is busy.
    assert!(usage.memory_slope.is_some_and(|slope| slope > 2e9 && slope < 12e9) && usage.leaks(), "{usage:?}");
    assert!(usage.cpu.is_some() && usage.descriptors.is_some_and(|n| n > 3) && usage.probe_failures == Some(0), "{usage:?}");
    assert_eq!(bad.verdict.unwrap().word.as_str(), "fail");
    let gate = bad.gates.iter().find(|g| g.id.as_str() == "leak").unwrap();
    assert!(gate.verdict.reason().as_str().starts_with("memory grew "), "{gate:?}");
    let told: serde_json::Value = serde_json::from_str(&host.ok(&["get", "web", "-o", "json"])).unwrap();
    assert!(told["rollouts"][0]["tracks"][0]["memory_growth"]["bytes"].as_u64().is_some_and(|bytes| bytes > 1_000_000), "{told:#}");
}
