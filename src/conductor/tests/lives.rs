//! Whole lives.

use super::*;

#[test]
fn a_first_deploy_gets_everything_once_it_is_ready() {
    let mut w = World::new(PLAN);
    assert_eq!(w.view().phase, crate::model::rollout::Phase::Idle);
    w.deploy("v41").unwrap();
    w.ready("v41", 1);
    assert_eq!((w.place(), w.pools()), (("starting", 1, 0.0), vec!["v41.1".into()]));
    w.ready("v41", 2);
    assert_eq!((w.run().word(), w.serving(), w.life.wanted().candidate), ("completed", Some("v41"), None));
    assert_eq!(
        w.said(),
        [
            "ana: run r1 starts: first deploy, v41 gets 100 % once it is ready",
            "plan: v41 ready, 2 of 2: it starts at 100 %",
            "plan: v41 is stable"
        ]
    );
    assert_eq!(w.back("v41"), Err("not_now: no version before this one is kept".into()));
}

#[test]
fn a_healthy_canary_completes() {
    let mut w = World::canary(PLAN);
    assert_eq!((w.place(), w.pools()), (("starting", 1, 0.0), vec!["v41.1".into(), "v42.2".into()]));
    w.ready("v42", 1);
    assert_eq!(w.place(), ("starting", 1, 0.0), "not one request before all are ready");
    w.ready("v42", 2);
    assert_eq!(w.place(), ("stepping", 2, 5.0));
    w.pass(29);
    assert_eq!(w.place(), ("stepping", 2, 5.0));
    w.pass(1);
    assert_eq!(w.place(), ("stepping", 3, 5.0), "the gate has said nothing yet");
    w.gates(&wait());
    assert_eq!(w.place(), ("stepping", 3, 5.0));
    w.gates(&pass());
    assert_eq!(w.place(), ("stepping", 5, 25.0));
    w.pass(3600);
    assert_eq!(w.place(), ("stepping", 5, 25.0), "a manual pause waits for a person");
    w.act(Action::Step).unwrap();
    assert_eq!(w.place(), ("stepping", 6, 25.0), "a pass at 5 % is no pass at 25 %");
    w.gates(&pass());
    assert_eq!((w.run().word(), w.serving()), ("completed", Some("v42")));
    assert_eq!(w.pools(), ["v42.2", "v41.1"], "the old instances are kept warm");
    w.pass(600);
    assert_eq!(w.pools(), ["v42.2"]);
    assert_eq!(w.life.past.iter().map(|p| p.label.as_str()).collect::<Vec<_>>(), ["v41"]);
    assert_eq!(
        w.said(),
        [
            "plan: v42 ready, 2 of 2: it starts at 5 %",
            "plan: step 1 of 7 done: 5 %",
            "plan: step 2 of 7 done: pause 30s",
            "plan: step 3 of 7 done: gate(2); 5 % → 25 %",
            "plan: step 4 of 7 done: 25 %",
            "ben: step 5 of 7 left: pause",
            "plan: step 6 of 7 done: gate(1); 25 % → 50 %",
            "plan: step 7 of 7 done: 50 %; 50 % → 100 %",
            "plan: v42 is stable; v41 is kept warm for 10m",
            "plan: v41 is no longer kept warm",
        ]
    );
}

#[test]
fn only_the_router_can_say_that_it_is_done() {
    let mut w = World::canary(PLAN);
    w.ready("v42", 2);
    w.pass(30);
    w.gates(&pass());
    w.act(Action::Step).unwrap();
    w.routed = false;
    w.gates(&pass());
    w.pass(3600);
    assert_eq!((w.place(), w.serving()), (("stepping", 7, 50.0), Some("v41")));
    w.routed = true;
    w.settle();
    let mut w = World::canary(&PLAN.replace(", { weight = 50 }", ""));
    w.ready("v42", 2);
    w.pass(30);
    w.gates(&pass());
    w.gates(&pass());
    w.routed = false;
    w.act(Action::Promote).unwrap();
    w.pass(3600);
    assert_eq!((w.place(), w.serving()), (("stepping", 7, 100.0), Some("v41")));
    w.routed = true;
    w.ready("v42", 1);
    assert_eq!(w.serving(), Some("v41"), "not with an instance missing");
    w.ready("v42", 2);
    assert_eq!(w.serving(), Some("v42"));

    let mut w = World::canary(PLAN);
    w.ready("v42", 2);
    w.routed = false;
    w.back("v41").unwrap();
    w.pass(3600);
    assert_eq!((w.place(), w.pools().len()), (("reverting", 2, 0.0), 2), "instances stay until nothing is sent to them");
    w.routed = true;
    w.settle();
    assert_eq!((w.place(), w.pools()), (("reverted", 2, 0.0), vec!["v41.1".into()]));
}

#[test]
fn a_failed_gate_holds_until_a_person_goes_back_and_tries_again() {
    let mut w = World::canary(PLAN);
    w.ready("v42", 2);
    w.gates(&fail(Arm::Candidate));
    let since = w.now;
    w.pass(3600);
    assert_eq!((w.place(), w.run().bad_since), (("stepping", 2, 5.0), Some(since)));
    let force = |verb: &str| format!("; to go on all the same: cutover {verb} --force --reason TEXT");
    let off = |verb: &str| Err(format!("guarded: gate errors has not passed: FAIL 12.30>5.00 % (n 1,204){}", force(verb)));
    assert_eq!(w.act(Action::Step), off("step"));
    assert_eq!(w.act(Action::Promote), off("promote"));
    assert_eq!(w.weight(6.0), off("weight"));
    for (verdict, word) in [(wait(), "WAIT"), (blind(), "BLIND")] {
        w.gates(&verdict);
        let failed = format!("failed 03:10: 12.30>5.00 % (n 1,204); now {word}, has not passed since{}", force("step"));
        assert_eq!(w.act(Action::Step), Err(format!("guarded: gate errors has not passed: {failed}")));
        let told: Vec<_> = w.run().failed().iter().map(|f| (f.gate.as_str().to_owned(), f.at, f.stands)).collect();
        assert_eq!(told, [("errors".into(), since, true)], "the console is told the same");
    }
    w.gates(&pass());
    w.pass(3600);
    assert_eq!((w.place(), w.run().bad_since), (("stepping", 2, 5.0), None), "it recovered and waits for a person all the same");
    w.gates(&fail(Arm::Candidate));
    w.said();
    w.back("v41").unwrap();
    assert_eq!((w.place(), w.pools(), w.run().bad_since), (("reverted", 2, 0.0), vec!["v41.1".into()], None));
    assert_eq!(w.said(), ["ben: back on v41", "host: the router confirms v41 at 100 %, 0 s after it was asked"]);
    assert_eq!(w.back("v41"), Err(format!("already_so: already back on v41 since {}", w.now.format("%H:%M:%S"))));

    w.ready("v42", 0);
    w.act(Action::Retry).unwrap();
    assert_eq!((w.place(), w.pools()), (("starting", 1, 0.0), vec!["v41.1".into(), "v42.3".into()]));
    w.ready("v42", 2);
    assert_eq!((w.place(), w.run().stopped.is_some()), (("stepping", 2, 5.0), false), "the verdict of the run before does not count");
}

#[test]
fn a_gate_goes_back_by_itself_unless_both_are_sick() {
    let plan = PLAN.replacen("signal = \"errors\"", "signal = \"errors\"\non_fail = \"revert\"", 1);
    let mut w = World::canary(&plan);
    w.ready("v42", 2);
    w.gates(&fail(Arm::Both));
    w.pass(3600);
    assert_eq!(w.place(), ("stepping", 2, 5.0));
    assert!(w.run().stopped.is_some());
    w.gates(&fail(Arm::Candidate));
    assert_eq!(w.place(), ("reverted", 2, 0.0));
    assert_eq!(
        w.life.last.as_ref().map(|l| format!("{} {}", l.by, l.effect)).unwrap(),
        "gate errors back on v41: gate errors failed 12.30>5.00 % (n 1,204)"
    );
    assert_eq!(w.view().reason.unwrap().as_str(), "back on v41: gate errors failed 12.30>5.00 % (n 1,204)");

    // A pause stops the plan, not the brakes.
    let mut w = World::canary(&plan);
    w.ready("v42", 2);
    w.act(Action::Pause).unwrap();
    assert!(w.next().ends_with("c resumes; gates still go back [a person]"), "{}", w.next());
    w.gates(&fail(Arm::Candidate));
    assert_eq!(w.place(), ("reverted", 2, 0.0));
}

#[test]
fn an_advising_gate_is_only_shown() {
    let plan = PLAN.replacen("signal = \"errors\"", "signal = \"errors\"\non_fail = \"advise\"", 1);
    let mut w = World::canary(&plan);
    w.ready("v42", 2);
    w.gates(&fail(Arm::Candidate));
    w.pass(30);
    assert_eq!(w.place(), ("stepping", 5, 25.0));
    assert_eq!(w.view().attention.map(|a| a.kind.to_string()).unwrap(), "waiting");
}

/// A quantile advises whatever is configured, and holds when nothing is.
#[test]
fn a_quantile_gate_blocks_nothing_and_arms_nothing() {
    let quantile = |more: &str| PLAN.replacen("signal = \"slow\"\non_fail = \"advise\"", &format!("signal = \"p99\"{more}"), 1);
    let mut w = World::canary(&quantile(""));
    w.ready("v42", 2);
    w.gates(&Verdict::Pass { why: "".into() });
    w.gates.iter_mut().filter(|g| g.id.as_str() == "slow").for_each(|g| g.verdict = fail(Arm::Candidate));
    w.pass(30);
    assert_eq!(w.place(), ("stepping", 5, 25.0), "the gate over errors passes, and p99 only advises: {}", w.next());

    let mut w = World::canary(&quantile("\non_fail = \"revert\""));
    w.ready("v42", 2);
    w.act(Action::Pause).unwrap();
    assert!(!w.next().contains("gates still go back"), "{}", w.next());
}

#[test]
fn a_missed_deadline_does_what_the_plan_says() {
    let mut w = World::canary(PLAN);
    w.ready("v42", 1);
    w.pass(119);
    assert_eq!(w.run().stopped, None);
    assert_eq!(w.life.next_deadline(w.now), Some(w.now + chrono::Duration::seconds(1)));
    w.pass(1);
    assert_eq!(w.run().stopped.as_ref().map(|s| s.why.to_string()).unwrap(), "canary 1/2 ready after 2m");
    assert_eq!(w.act(Action::Step), Err("not_now: canary 1/2 ready".into()));
    w.ready("v42", 2);
    assert_eq!(w.place(), ("starting", 1, 0.0), "held means held");
    w.act(Action::Step).unwrap();
    assert_eq!(w.place(), ("stepping", 2, 5.0));

    let mut w = World::canary(PLAN);
    w.pass(120);
    w.act(Action::Retry).unwrap();
    assert_eq!((w.place(), w.pools()), (("starting", 1, 0.0), vec!["v41.1".into(), "v42.3".into()]));

    let mut w = World::canary(&PLAN.replace("ready = \"2m\"", "ready = \"2m\", on_fail = \"revert\""));
    w.pass(120);
    assert_eq!((w.place(), w.pools()), (("reverted", 1, 0.0), vec!["v41.1".into()]));

    let mut w = World::canary(&PLAN.replace("ready = \"2m\"", "ready = \"2m\", on_fail = \"advise\""));
    w.pass(3600);
    assert_eq!((w.place(), w.view().attention.map(|a| a.kind.to_string())), (("starting", 1, 0.0), Some("stuck".into())));
    w.ready("v42", 2);
    assert_eq!(w.place(), ("stepping", 2, 5.0));
}

#[test]
fn a_first_deploy_that_fails_is_tried_on() {
    let mut w = World::new(PLAN);
    w.deploy("v41").unwrap();
    w.pass(120);
    assert_eq!((w.place(), w.pools()), (("failed", 1, 0.0), vec!["v41.1".into()]));
    assert_eq!(w.back("v41"), Err("not_now: first deploy: there is no version to go back to".into()));
    let mut other = World { life: w.life.clone(), ..World::new(PLAN) };
    other.runs = 1;
    other.act(Action::Retry).unwrap();
    assert_eq!(other.pools(), ["v41.2"]);
    w.ready("v41", 2);
    assert_eq!((w.run().word(), w.serving()), ("completed", Some("v41")));
}

#[test]
fn a_loss_of_instances_holds_the_plan_and_moves_no_weight() {
    let mut w = World::canary(PLAN);
    w.ready("v42", 2);
    w.pass(10);
    w.ready("v42", 1);
    let since = w.now;
    w.pass(600);
    assert_eq!((w.place(), w.run().short), (("stepping", 2, 5.0), Some(since)));
    assert_eq!(w.act(Action::Step), Err("not_now: canary 1/2 ready".into()));
    w.ready("v42", 2);
    assert_eq!(w.place(), ("stepping", 3, 5.0));
}

#[test]
fn a_pause_stops_the_plan_and_resume_lifts_nothing_else() {
    let mut w = World::canary(PLAN);
    w.ready("v42", 2);
    w.act(Action::Pause).unwrap();
    assert_eq!(w.act(Action::Pause), Err("already_so: already paused by ben 03:10".into()));
    w.gates(&pass());
    w.pass(3600);
    assert_eq!(w.place(), ("stepping", 2, 5.0));
    assert_eq!((w.life.next_deadline(w.now), w.view().at.unwrap().ends), (None, None));
    assert_eq!(w.act(Action::Step), Err("not_now: paused by ben 03:10, c resumes".into()));
    w.gates(&fail(Arm::Candidate));
    w.act(Action::Resume).unwrap();
    assert_eq!(w.place(), ("stepping", 2, 5.0), "the gate holds still");
    assert_eq!(w.act(Action::Resume), Err("already_so: nothing paused by hand; s goes on".into()));
}

#[test]
fn a_weight_by_hand_holds_and_resume_goes_on_from_the_current_step() {
    let mut w = World::canary(PLAN);
    w.ready("v42", 2);
    w.weight(40.0).unwrap();
    assert_eq!(w.weight(40.0), Err("already_so: already held at 40 % by ben 03:10".into()));
    w.weight(100.0).unwrap();
    w.pass(3600);
    assert_eq!((w.place(), w.serving()), (("stepping", 2, 100.0), Some("v41")), "held, not promoted");
    w.act(Action::Resume).unwrap();
    assert_eq!(w.place(), ("stepping", 3, 5.0));
    w.gates(&blind());
    w.weight(1.0).unwrap();
    w.act(Action::Resume).unwrap();
    assert_eq!(w.place(), ("stepping", 3, 1.0), "more traffic only with open eyes");
    w.gates(&wait());
    assert_eq!(w.place(), ("stepping", 3, 5.0));
    w.gates(&fail(Arm::Candidate));
    w.weight(0.0).unwrap();
    assert_eq!(w.place(), ("stepping", 3, 0.0), "less is always allowed");
}

#[test]
fn after_a_promotion_the_way_back_is_a_switch_while_it_is_warm() {
    let mut w = World::canary(PLAN);
    w.ready("v42", 2);
    w.gates(&pass());
    w.because(Action::Promote, false).unwrap();
    assert_eq!(w.serving(), Some("v42"));
    assert!(w.said().contains(&"ben: skipped 6 steps, 5 % → 100 %: seen it before".into()));
    let late = World { life: w.life.clone(), now: w.now, seen: w.seen.clone(), ..World::new(PLAN) };

    w.routed = false;
    w.back("v41").unwrap();
    assert_eq!((w.serving(), w.pools()), (Some("v41"), vec!["v41.1".into(), "v42.2".into()]));
    assert_eq!(w.place().0, "reverting", "the router still sends to v42");
    w.routed = true;
    w.settle();
    assert!(matches!(&w.run().state, RunState::Reverted { left, .. } if *left == version("v42")));
    assert_eq!((w.pools(), w.life.past.len()), (vec!["v41.1".into()], 0));
    assert!(w.back("v41").unwrap_err().starts_with("already_so: already back on v41"), "never one version further");

    let mut w = late;
    w.ready("v42", 2);
    w.pass(600);
    let ask = Ordered { switch_only: true, ..w.order(Action::Back { to: version("v41") }) };
    let slow = "not_now: only a re-deploy leads back to v41, and only a switch was asked for: leave --switch-only out";
    assert_eq!(w.give(&ask), Err(slow.into()));
}

#[test]
fn a_crash_holds_what_had_traffic_and_lets_a_way_back_go_on() {
    let why = Text::from("a restart of the host");
    let mut w = World::canary(PLAN);
    w.ready("v42", 2);
    w.pass(30);
    w.gates(&pass());
    assert_eq!(w.place(), ("stepping", 5, 25.0));
    w.act(Action::Step).unwrap();
    let notes = w.life.recover(w.now, &why);
    assert_eq!(notes[0].what.as_str(), "after a restart of the host: found v41 stable, v42 at 25 %, held");
    w.pass(3600);
    assert_eq!(w.place(), ("stepping", 6, 25.0));
    assert_eq!(w.next(), "held after a restart of the host: s goes on from step 6 of 7 [a person]");
    assert_eq!(w.act(Action::Resume), Err("already_so: nothing paused by hand; s goes on".into()));
    let twice = w.order(Action::Step);
    w.give(&twice).unwrap();
    assert_eq!((w.place(), w.run().stopped.is_some()), (("stepping", 6, 25.0), false), "goes on where it was, skips nothing");
    assert_eq!(w.give(&twice), Err("moved: ben stepped 0 s ago; now at step 6".into()));

    let mut w = World::canary(PLAN);
    assert_eq!(w.life.recover(w.now, &why)[0].what.as_str(), "after a restart of the host: found v41 stable, v42 without traffic, held");
    w.ready("v42", 2);
    assert_eq!(w.place(), ("starting", 1, 0.0));
    w.act(Action::Step).unwrap();
    assert_eq!(w.place(), ("stepping", 2, 5.0));

    w.routed = false;
    w.back("v41").unwrap();
    w.seen = Observed::default();
    assert_eq!(w.life.recover(w.now, &why)[0].what.as_str(), "after a restart of the host: found v41 stable, going back from v42 goes on");
    w.routed = true;
    w.settle();
    assert_eq!(w.place().0, "reverted");

    let mut w = World::new(PLAN);
    w.deploy("v41").unwrap();
    w.life.recover(w.now, &why);
    w.ready("v41", 2);
    assert_eq!(w.serving(), Some("v41"), "a first deploy has nothing to wait for");
}

#[test]
fn a_gate_that_is_forced_does_not_stop_the_same_run_again_for_the_same_failure() {
    let mut w = World::canary(PLAN);
    w.ready("v42", 2);
    w.gates(&fail(Arm::Candidate));
    w.pass(60);
    assert!(w.act(Action::Step).is_err());
    assert!(w.because(Action::Step, false).is_err(), "a reason alone is no force");
    w.because(Action::Step, true).unwrap();
    assert_eq!((w.place(), w.run().stopped.is_some()), (("stepping", 3, 5.0), false));
    assert_eq!(
        w.because(Action::SkipGate, false),
        Err("guarded: gate errors has not passed: FAIL 12.30>5.00 % (n 1,204); to go on all the same: cutover step --force --reason TEXT"
            .into())
    );
    w.pass(1);
    w.gates(&wait());
    w.gates(&fail(Arm::Candidate));
    assert!(w.run().stopped.is_some(), "a new failure does");
    w.because(Action::Promote, true).unwrap();
    assert_eq!(w.serving(), Some("v42"));
}

#[test]
fn no_two_starts_share_instances() {
    let mut w = World::canary(PLAN);
    w.back("v41").unwrap();
    w.deploy("v43").unwrap();
    w.back("v41").unwrap();
    w.deploy("v42").unwrap();
    assert_eq!(w.pools(), ["v41.1", "v42.4"]);
}

#[test]
fn the_last_versions_are_kept() {
    let mut w = World::canary(PLAN);
    for label in ["v42", "v43", "v44", "v42"] {
        let _ = w.deploy(label);
        w.ready(label, 2);
        w.because(Action::Promote, false).unwrap();
        assert_eq!(w.serving(), Some(label));
    }
    assert_eq!(w.life.past.iter().map(|p| p.label.as_str()).collect::<Vec<_>>(), ["v44", "v43"]);
}
