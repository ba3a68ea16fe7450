//! What the judge knows of a run outlives the host that counted it.

use super::rig::{canary, until};

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
