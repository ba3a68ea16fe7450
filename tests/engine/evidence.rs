//! What the judge knows of a run outlives the host that counted it.

use super::rig::{canary, deploy, until, version};
use cutover::model::decided::Decision;

const GATE: &str = "[[service.gate]]\nname = \"errors\"\nsignal = \"errors\"\ninterval = \"1s\"\nerrors = [\"5xx\", \"404\"]";

#[test]
fn the_odds_of_a_run_go_on_after_a_crash() {
    let mut host = canary(GATE);
    for _ in 0..120 {
        assert_eq!(host.get("/").0, 200);
    }
    let counted = |host: &crate::support::host::Host| {
        let gate = host.rollout().gates.into_iter().next()?;
        let evidence = gate.evidence?;
        Some((evidence.run_candidate.samples() + evidence.run_stable.samples(), evidence.run_since, evidence.intervals))
    };
    let (before, since, _) = until("counted", || counted(&host).filter(|(n, ..)| *n >= 120));
    assert_eq!(before, 120);
    let state = || std::fs::read_dir(host.dir.join("state")).unwrap().flatten().map(|e| std::fs::read(e.path()).unwrap_or_default());
    // Evidence alone is written every ten seconds.
    until("written", || state().any(|slot| String::from_utf8_lossy(&slot).contains("\"of\":6")).then_some(()));
    host.kill();
    host.run();
    host.until("stopped where it was", |r| r.gates.iter().any(|g| g.evidence.as_ref().is_some_and(|e| e.run_candidate.samples() > 0)));
    for _ in 0..10 {
        host.get("/");
    }
    let (after, same, _) = until("counted on", || counted(&host).filter(|(n, ..)| *n >= 130));
    assert_eq!((after, same), (130, since), "nothing is forgotten and nothing is counted twice");
}

#[test]
fn what_was_known_of_a_run_stays_after_the_way_back_until_the_next_begins() {
    let mut host = canary(GATE);
    for _ in 0..60 {
        assert_eq!(host.get("/").0, 200);
    }
    let samples = |e: &cutover::model::gate::Evidence| e.run_candidate.samples() + e.run_stable.samples();
    let counted = |r: &cutover::model::rollout::Rollout| r.gates.first()?.evidence.as_ref().map(samples);
    until("counted", || counted(&host.rollout()).filter(|n| *n >= 60));
    let run = host.rollout().run;
    host.ok(&["revert", "web"]);
    let back = |host: &crate::support::host::Host| {
        for _ in 0..5 {
            host.get("/");
        }
        let r = host.until("back, and judged alone", |r| r.phase.word() == "reverted" && r.alone.is_some());
        let [decided] = r.decided.as_slice() else { panic!("{:?}", r.decided) };
        assert_eq!((Some(&decided.run), decided.what), (run.as_ref(), Decision::WentBack));
        let labels = (decided.version.as_str(), decided.beside.as_ref().map(|b| b.as_str()), r.alone.as_ref().map(|a| a.version.as_str()));
        assert_eq!(labels, ("v2", Some("v1"), Some("v1")), "whose each is");
        let gate = &decided.gates[0];
        let evidence = gate.evidence.as_ref().unwrap();
        assert!(samples(evidence) >= 60 && !evidence.sensors.is_empty(), "{evidence:?}");
        assert!(!gate.rule.is_empty() && gate.since <= decided.at);
        decided.clone()
    };
    let before = back(&host);
    let json = |host: &crate::support::host::Host| -> serde_json::Value {
        let all: serde_json::Value = serde_json::from_str(&host.ok(&["get", "web", "-o", "json"])).unwrap();
        all["rollouts"][0].clone()
    };
    let told = json(&host);
    assert_eq!(told["decided"][0]["what"], "went_back");
    assert_eq!(told["gates"], told["decided"][0]["gates"], "the run's own, not those of what serves now");
    assert_eq!(told["serving"]["version"], "v1");
    let serving = until("judged alone", || json(&host)["serving"]["gates"][0]["evidence"].as_object().cloned());
    assert_eq!(serving["candidate"]["of"], 0.0, "stable's requests are no candidate's");
    host.kill();
    host.run();
    assert_eq!(back(&host), before, "as it was");
    deploy(&host, "web", &version(&host, "v3", ""), "paused");
    assert!(host.rollout().decided.is_empty() && host.rollout().alone.is_none());
}

#[test]
fn what_a_promotion_rested_on_stays_too() {
    let host = canary(GATE);
    for _ in 0..40 {
        assert_eq!(host.get("/").0, 200);
    }
    host.ok(&["promote", "web", "--yes", "--reason", "enough"]);
    let done = host.until("completed", |r| r.phase.word() == "completed");
    let [decided] = done.decided.as_slice() else { panic!("{:?}", done.decided) };
    assert_eq!(
        (decided.what, decided.version.as_str(), decided.beside.as_ref().map(|b| b.as_str())),
        (Decision::Promoted, "v2", Some("v1"))
    );
    assert!(done.alone.is_none_or(|alone| alone.version.as_str() == "v2"));
}
