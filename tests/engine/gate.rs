//! A gate that goes back by itself, from the first failing request to the journal's last line.

use super::rig::{canary, deploy, until, version};
use cutover::{
    journal::{self, Kind, Line},
    model::{
        action::{Action, Observation, Outcome},
        rollout::Phase,
    },
};
use std::fs;

#[test]
fn a_failing_gate_goes_back_by_itself_and_everything_says_so() {
    let gate = "[[service.gate]]\nname = \"errors\"\nsignal = \"errors\"\ninterval = \"1s\"\nlimit = 50\non_fail = \"revert\"";
    let host = canary(gate);
    // v2 is sound: with traffic the gate passes and nothing moves. Nothing is known of bursts, so it
    // takes 3.65 x 10 / 50 % requests of the half that it gets.
    for _ in 0..200 {
        assert_eq!(host.get("/").0, 200);
    }
    host.until("passing", |r| r.gates.iter().all(|g| g.verdict.passed()));
    host.ok(&["revert", "web"]);
    deploy(&host, "web", &version(&host, "v3", "errors = [[0.0, 100.0]]"), "paused");
    let mut failed = 0;
    let back = until("back by itself", || {
        failed += u32::from(host.get("/").0 == 500);
        let rollout = host.rollout();
        (rollout.phase == Phase::Reverted).then_some(rollout)
    });
    assert!((50..400).contains(&failed), "{failed} failed");
    assert_eq!(back.last.as_ref().unwrap().by.as_str(), "gate errors");
    assert!(back.reason.as_ref().unwrap().as_str().contains("gate errors failed"), "{back:#?}");
    let proof = host.until("a proof", |r| r.proof.is_some()).proof.unwrap();
    assert_eq!((proof.left.label.as_str(), proof.requests_after), ("v3", 0));
    assert!(proof.safe_at.is_some() && proof.safe_since.is_none());
    for _ in 0..20 {
        assert_eq!(host.get("/").0, 200);
    }
    // What failed stays readable after the teardown.
    let torn_down = host.until("torn down", |r| r.candidate().is_some_and(|t| t.pools.is_empty()));
    assert!(torn_down.candidate().unwrap().signals.contains_key(&cutover::model::signal::SignalId::Errors));

    let place = host.dir.join("journal.jsonl");
    let own = until("three lines", || {
        let text = fs::read_to_string(&place).unwrap();
        let lines = text.lines().map(|l| serde_json::from_str::<Line>(l).unwrap().entry);
        let own: Vec<_> = lines.filter(|e| e.actor.as_str() == "gate errors").collect();
        (own.len() == 3).then_some(own)
    });
    journal::verify(&place).unwrap();
    assert_eq!(own.iter().map(|e| e.kind).collect::<Vec<_>>(), [Kind::Intent, Kind::Outcome, Kind::Observation]);
    assert!(own.iter().all(|e| e.id == own[0].id && e.run == own[0].run && matches!(e.action, Some(Action::Back { .. }))), "{own:#?}");
    assert!(own[0].evidence.iter().any(|line| line.as_str().contains("FAIL")), "{own:#?}");
    assert!(matches!(own[1].outcome, Some(Outcome::Accepted { changed: true, .. })));
    assert_eq!(own[2].observation, Some(Observation::Confirmed));
}
