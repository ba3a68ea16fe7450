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
        host.get("/");
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
