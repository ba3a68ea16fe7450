//! Blue-green, rolling, recreate: whole lives, and what a crash makes of them.

use super::*;
use crate::model::{back::How, rollout::Phase};

const BLUE_GREEN: &str = r#"
name = "checkout"
listen = "127.0.0.1:8080"
command = ["./serve"]
readiness = { path = "/ready" }
instances = 2
keep_warm = "10m"
bake = "0s"
strategy = "blue-green"
steps = [{ pause = "30s" }, { pause = "manual" }, { gate = "all" }, { pause = "1m" }]
[[gate]]
name = "errors"
signal = "errors"
on_fail = "revert"
"#;

const ROLLING: &str = r#"
name = "checkout"
listen = "127.0.0.1:8080"
command = ["./serve"]
readiness = { path = "/ready" }
instances = 4
bake = "0s"
strategy = "rolling"
deadline = { ready = "2m" }
[[gate]]
name = "errors"
signal = "errors"
"#;

const RECREATE: &str = r#"
name = "checkout"
listen = "127.0.0.1:8080"
command = ["./serve"]
readiness = { path = "/ready" }
instances = 2
bake = "0s"
strategy = "recreate"
deadline = { ready = "2m", on_fail = "revert" }
"#;

fn blue_green() -> World {
    let mut w = World::stable(BLUE_GREEN, 2);
    w.deploy("v42").unwrap();
    w
}

fn rolling(plan: &str) -> World {
    let mut w = World::stable(plan, 4);
    w.deploy("v42").unwrap();
    w
}

fn two(old: u32, new: u32) -> Vec<(String, u32)> {
    vec![("v41".into(), old), ("v42".into(), new)]
}

#[test]
fn blue_green_shows_the_candidate_and_switches_once() {
    let mut w = blue_green();
    assert_eq!(w.life.wanted().preview, Some(w.run().candidate.pool()), "it may be looked at before it is ready");
    w.ready("v42", 2);
    w.pass(30);
    assert_eq!((w.place(), w.life.wanted().preview.is_some()), (("stepping", 2, 0.0), true), "a person is waited for");
    assert_eq!(w.weight(5.0), Err("not_now: blue-green switches all traffic at once: s goes on, P promotes".into()));
    w.said();
    w.act(Action::Step).unwrap();
    assert_eq!((w.place(), w.life.wanted().preview), (("stepping", 3, 100.0), None));
    assert_eq!((w.serving(), w.pools().len()), (Some("v41"), 2), "the old one is complete until the new one is stable");
    w.gates(&pass());
    assert_eq!(w.place(), ("stepping", 4, 100.0));
    w.pass(60);
    assert_eq!((w.run().word(), w.serving(), w.pools()), ("completed", Some("v42"), vec!["v42.2".into(), "v41.1".into()]));
    assert_eq!(
        w.said(),
        [
            "ben: step 2 of 4 left: pause; 0 % → 100 %",
            "plan: step 3 of 4 done: gate(1)",
            "plan: step 4 of 4 done: pause 1m",
            "plan: v42 is stable; v41 is kept warm for 10m",
        ]
    );
    w.back("v41").unwrap();
    assert_eq!((w.run().word(), w.serving()), ("reverted", Some("v41")));
}

#[test]
fn blue_green_without_a_pause_promotes_itself_and_its_gates_judge_after_the_switch() {
    let mut w = World::stable(&BLUE_GREEN.replace("{ pause = \"30s\" }, { pause = \"manual\" }, ", ""), 2);
    w.deploy("v42").unwrap();
    w.ready("v42", 2);
    assert_eq!(w.place(), ("stepping", 1, 100.0));
    w.gates(&fail(Arm::Candidate));
    assert_eq!((w.place(), w.serving()), (("reverted", 1, 0.0), Some("v41")));
}

#[test]
fn rolling_replaces_one_after_the_other_and_never_lacks_one() {
    let mut w = rolling(ROLLING);
    assert_eq!((w.counts(), w.place().2), (two(4, 1), 0.0));
    for (ready, old, new, share) in [(1, 3, 2, 20.0), (2, 2, 3, 40.0), (3, 1, 4, 60.0)] {
        w.ready("v42", ready);
        assert_eq!((w.counts(), w.place().2), (two(old, new), share), "{ready} ready");
    }
    w.pass(60);
    assert_eq!((w.counts(), w.place().2), (two(1, 4), 60.0), "not before the batch is ready");
    w.ready("v42", 4);
    assert_eq!((w.run().word(), w.serving(), w.pools()), ("completed", Some("v42"), vec!["v42.2".into()]));
    let how = w.view().how;
    assert_eq!(how, How::Redeploy { steps: 0 }, "nothing is left to switch to");
}

#[test]
fn a_batch_waits_for_its_gates_and_pauses() {
    let plan = ROLLING.replace("strategy", "steps = [{ pause = \"10s\" }, { gate = \"all\" }, { pause = \"20s\" }]\nstrategy");
    let mut w = rolling(&plan);
    w.ready("v42", 4);
    assert_eq!(w.place(), ("stepping", 1, 0.0), "before traffic");
    w.pass(10);
    assert_eq!((w.place(), w.counts()), (("stepping", 2, 20.0), two(4, 1)));
    w.gates(&pass());
    assert_eq!(w.place(), ("stepping", 3, 20.0));
    w.pass(20);
    assert_eq!((w.place(), w.counts()), (("stepping", 2, 40.0), two(3, 2)), "a pass at 20 % is none at 40 %");
    assert_eq!(w.next(), "pause 20s when gate errors passes: not judged at 40 % yet [plan]");
    w.gates(&fail(Arm::Candidate));
    w.pass(3600);
    assert_eq!((w.place(), w.counts()), (("stepping", 2, 40.0), two(3, 2)), "a failed gate keeps the next batch back");
    assert_eq!(
        w.act(Action::Step).unwrap_err(),
        "guarded: gate errors has not passed: FAIL 12.30>5.00 % (n 1,204); to go on all the same: cutover step --force --reason TEXT"
    );
    w.because(Action::Promote, true).unwrap();
    assert_eq!((w.run().word(), w.serving()), ("completed", Some("v42")), "batches follow each other");
}

#[test]
fn a_promotion_of_a_rolling_replacement_keeps_its_batches() {
    let mut w = rolling(&ROLLING.replace("strategy", "steps = [{ pause = \"manual\" }, { gate = \"all\" }]\nstrategy"));
    w.ready("v42", 2);
    w.because(Action::Promote, false).unwrap();
    assert_eq!((w.counts(), w.place().2), (two(2, 3), 40.0));
    assert_eq!(w.act(Action::Promote), Err("already_so: 100 % is under way already".into()));
    assert_eq!(w.weight(50.0), Err("not_now: the share follows the instances: p pauses, R goes back".into()));
    w.ready("v42", 4);
    assert_eq!(w.serving(), Some("v42"));
}

#[test]
fn the_share_falls_with_the_instances_that_carry_it() {
    let mut w = rolling(ROLLING);
    w.ready("v42", 2);
    assert_eq!((w.counts(), w.place().2), (two(2, 3), 40.0));
    w.ready("v42", 1);
    assert_eq!(w.place().2, 33.33);
    w.act(Action::Freeze { until: None }).unwrap_err();
    w.because(Action::Freeze { until: None }, false).unwrap();
    w.ready("v42", 0);
    assert_eq!((w.place().2, w.counts()), (0.0, two(2, 3)), "also while it is frozen");
    w.ready("v42", 4);
    assert_eq!((w.place().2, w.counts()), (0.0, two(2, 3)));
    w.act(Action::Thaw).unwrap();
    assert_eq!(w.serving(), Some("v42"));
}

#[test]
fn a_batch_that_does_not_get_ready_misses_the_deadline() {
    let mut w = rolling(ROLLING);
    w.ready("v42", 2);
    assert_eq!((w.counts(), w.view().phase), (two(2, 3), Phase::Progressing), "a batch that starts is no loss");
    let due = w.life.next_deadline(w.now).unwrap();
    assert_eq!((due - w.now).num_seconds(), 120);
    w.pass(120);
    assert_eq!(w.run().stopped.as_ref().map(|s| s.why.to_string()).unwrap(), "canary 2/3 ready after 2m");
    assert_eq!(w.view().attention.map(|a| a.kind.to_string()).unwrap(), "stuck");
    w.ready("v42", 4);
    assert_eq!(w.counts(), two(2, 3), "held means held");
    w.act(Action::Step).unwrap();
    assert_eq!(w.serving(), Some("v42"));
}

#[test]
fn the_way_back_of_a_rolling_replacement_gives_stable_what_it_carries_at_once() {
    let mut w = rolling(ROLLING);
    w.ready("v42", 3);
    assert_eq!((w.counts(), w.place().2, w.view().how), (two(1, 4), 60.0, How::Redeploy { steps: 0 }));
    // The old instances that are missing take a while to start.
    w.ready("v41", 2);
    w.back("v41").unwrap();
    assert_eq!((w.place().0, w.place().2, w.counts()), ("reverting", 50.0, two(4, 4)));
    assert_eq!(w.next(), "v42 keeps 50 % until the old instances are ready again [plan]");
    w.ready("v41", 3);
    assert_eq!(w.place().2, 25.0);
    w.ready("v41", 2);
    assert_eq!(w.place().2, 25.0, "it never rises again");
    w.ready("v41", 4);
    assert_eq!((w.place().0, w.pools()), ("reverted", vec!["v41.1".into()]));

    // With an instance that may be missing, three of four carry everything.
    let mut w = rolling(&ROLLING.replace("strategy", "rolling = { unavailable = 1 }\nstrategy"));
    assert_eq!((w.counts(), w.view().how), (two(3, 2), How::Switch));
    w.ready("v42", 2);
    assert_eq!((w.counts(), w.view().how), (two(1, 4), How::Redeploy { steps: 0 }));
    w.ready("v41", 3);
    w.back("v41").unwrap();
    assert_eq!(w.place().0, "reverted");
}

#[test]
fn recreate_ends_the_old_version_first() {
    let mut w = World::stable(RECREATE, 2);
    w.lingers = true;
    w.deploy("v42").unwrap();
    assert_eq!((w.pools(), w.life.wanted().stable, w.life.wanted().candidate), (vec![], None, None), "nothing of v42 before v41 has ended");
    assert_eq!(w.next(), "v41 ends, then v42 starts: the service is away [plan]");
    w.pass(60);
    assert!(w.pools().is_empty());
    w.lingers = false;
    w.settle();
    assert_eq!((w.pools(), w.place()), (vec!["v42.2".into()], ("starting", 1, 0.0)));
    assert_eq!(w.next(), "100 % when all are ready: canary 0/2 ready; the service is away [plan]");
    w.ready("v42", 2);
    assert_eq!((w.run().word(), w.serving(), w.pools()), ("completed", Some("v42"), vec!["v42.2".into()]));
    assert_eq!(
        w.said(),
        [
            "ana: run r2 starts: v41 → v42",
            "plan: v41 has ended: v42 starts",
            "plan: v42 ready, 2 of 2: it starts at 100 %",
            "plan: v42 is stable",
        ]
    );
}

#[test]
fn recreate_goes_back_by_starting_the_old_version_again() {
    let mut w = World::stable(RECREATE, 2);
    w.deploy("v42").unwrap();
    assert_eq!(w.view().how, How::Redeploy { steps: 0 });
    assert_eq!(w.weight(10.0), Err("not_now: only one version runs at a time: there is nothing to share".into()));
    w.ready("v41", 0);
    w.lingers = true;
    w.pass(120);
    assert_eq!((w.run().word(), w.pools(), w.life.wanted().stable), ("reverting", vec![], None), "v42 ends before v41 starts");
    assert_eq!(w.next(), "v42 ends, then v41 starts: the service is away [plan]");
    w.lingers = false;
    w.settle();
    assert_eq!((w.pools(), w.life.wanted().weight), (vec!["v41.3".into()], Weight::ZERO));
    assert_eq!(w.next(), "all traffic to v41 when it is ready: 0/2 ready; the service is away [plan]");
    w.routed = false;
    w.ready("v41", 2);
    assert_eq!((w.run().word(), w.life.wanted().weight), ("reverting", Weight::FULL), "only the router says it is back");
    w.routed = true;
    w.settle();
    assert_eq!((w.run().word(), w.serving(), w.pools()), ("reverted", Some("v41"), vec!["v41.3".into()]));
    assert!(matches!(&w.run().state, RunState::Reverted { redeployed: true, .. }));
}

#[test]
fn a_crash_in_every_phase_loses_nothing() {
    // Blue-green before the switch, and after it.
    let mut w = blue_green();
    w.ready("v42", 2);
    w.pass(30);
    w.crash();
    assert_eq!(
        (w.place(), w.next()),
        (("stepping", 2, 0.0), "held after a restart of the host: s goes on from step 2 of 4 [a person]".into())
    );
    w.act(Action::Step).unwrap();
    w.act(Action::Step).unwrap();
    assert_eq!(w.place(), ("stepping", 3, 100.0));
    w.crash();
    assert_eq!((w.place(), w.run().is_held(), w.pools().len()), (("stepping", 3, 100.0), true, 2));
    w.back("v41").unwrap();
    assert_eq!(w.serving(), Some("v41"));

    // Rolling in the middle.
    let mut w = rolling(ROLLING);
    w.ready("v42", 2);
    w.crash();
    assert_eq!((w.counts(), w.place().2, w.run().is_held()), (two(2, 3), 40.0, true));
    w.ready("v42", 4);
    assert_eq!(w.counts(), two(2, 3));
    w.act(Action::Step).unwrap();
    assert_eq!(w.serving(), Some("v42"));

    // Recreate while nothing serves: every moment counts.
    let mut w = World::stable(RECREATE, 2);
    w.lingers = true;
    w.deploy("v42").unwrap();
    w.lingers = false;
    w.crash();
    assert_eq!((w.place().0, w.run().is_held(), w.pools()), ("starting", false, vec!["v42.2".into()]));
    w.crash();
    w.ready("v42", 2);
    assert_eq!(w.serving(), Some("v42"));

    // Its way back.
    let mut w = World::stable(RECREATE, 2);
    w.deploy("v42").unwrap();
    w.ready("v41", 0);
    w.back("v41").unwrap();
    w.crash();
    assert_eq!((w.place().0, w.pools()), ("reverting", vec!["v41.3".into()]));
    w.ready("v41", 2);
    assert_eq!((w.place().0, w.serving()), ("reverted", Some("v41")));
}
