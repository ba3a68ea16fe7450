//! What is not done, and what is said then.

use super::*;

#[test]
fn nothing_is_done_on_an_old_picture_but_the_way_back_and_a_pause() {
    let mut w = World::canary(PLAN);
    w.ready("v42", 2);
    let old = |w: &mut World, action| w.order(action);
    let (step, pause, back) = (old(&mut w, Action::Step), old(&mut w, Action::Pause), old(&mut w, Action::Back { to: version("v41") }));
    w.pass(30);
    assert_eq!(w.give(&step), Err("moved: it moved since you looked; step 2 → 3".into()));
    w.gates(&pass());
    w.act(Action::Pause).unwrap();
    w.pass(8);
    w.act(Action::Resume).unwrap();
    w.pass(8);
    assert_eq!(w.give(&step), Err("moved: ben resumed 8 s ago; step 2 → 5".into()));
    w.give(&pause).unwrap();
    w.give(&back).unwrap();
    assert_eq!(w.place().0, "reverted");
    w.deploy("v43").unwrap();
    assert_eq!(w.give(&back), Err("moved: run r8, started by ana 03:10, is the current one now".into()));
}

#[test]
fn the_same_picture_moves_only_once() {
    let mut w = World::canary(PLAN);
    w.ready("v42", 2);
    for action in [Action::SetWeight { weight: percent(10.0) }, Action::Resume, Action::Step] {
        let ask = w.order(action);
        w.give(&ask).unwrap();
        assert!(w.give(&ask).unwrap_err().starts_with("moved: ben "), "{:?}", ask.action);
    }
    // A fact that is no transition withdraws nothing.
    let ask = w.order(Action::SetWeight { weight: percent(1.0) });
    w.life.rev += 10;
    w.give(&ask).unwrap();
}

#[test]
fn the_way_back_names_the_version_it_goes_to() {
    let mut w = World::canary(PLAN);
    w.ready("v42", 2);
    assert_eq!(w.back("v40"), Err("moved: the way back goes to v41 now".into()));
    w.routed = false;
    w.back("v41").unwrap();
    assert_eq!(w.back("v41"), Err("already_so: already going back to v41: ben 03:10:01".into()));
    assert_eq!(w.act(Action::Pause), Err("not_now: going back".into()));
    assert_eq!(w.act(Action::Retry), Err("not_now: going back: t retries once the router confirms it".into()));
    assert_eq!(w.deploy("v43").unwrap_err().to_string(), "run r2 is going back: deploy when it is there");
}

#[test]
fn one_run_at_a_time() {
    let mut w = World::canary(PLAN);
    assert_eq!(
        w.deploy("v43").unwrap_err().to_string(),
        "run r2 of v42 is in progress: revert or promote it first, or --replace goes back and then deploys"
    );
    assert_eq!(w.deploy("v42").unwrap_err().to_string(), "run r2 has been rolling out v42 since 03:10:01");
    assert_eq!(w.act(Action::Retry), Err("not_now: run r2 is in progress: R goes back first".into()));
    w.back("v41").unwrap();
    assert_eq!(w.deploy("v41").unwrap_err().to_string(), "v41 is stable already");
    assert_eq!(w.act(Action::Step), Err("not_now: all traffic is back: t retries".into()));
}

#[test]
fn before_anything_there_is_nothing_to_do() {
    let mut w = World::new(PLAN);
    for action in [Action::Step, Action::Pause, Action::Resume, Action::Promote, Action::Retry, Action::Back { to: version("v1") }] {
        assert_eq!(w.act(action), Err("not_now: nothing was ever deployed".into()));
    }
}

#[test]
fn nothing_is_forced_that_is_not_ready() {
    let mut w = World::canary(PLAN);
    for action in [Action::Step, Action::SkipGate, Action::Promote, Action::SetWeight { weight: percent(5.0) }] {
        assert_eq!(w.because(action, true), Err("not_now: canary 0/2 ready".into()));
    }
    w.act(Action::Pause).unwrap();
    w.ready("v42", 2);
    assert_eq!(w.place(), ("starting", 1, 0.0));
    assert_eq!(w.weight(5.0), Err("not_now: paused by ben 03:10, c resumes".into()));
    w.act(Action::Resume).unwrap();
    w.routed = false;
    w.pass(30);
    w.gates(&pass());
    assert_eq!(w.act(Action::Step), Err("not_now: router at 5 %, not yet 25 %".into()));
}

#[test]
fn a_gate_is_skipped_with_a_reason() {
    let mut w = World::canary(PLAN);
    w.ready("v42", 2);
    assert_eq!(w.because(Action::SkipGate, false), Err("not_now: step 2 of 7 is no gate".into()));
    w.gates(&wait());
    w.act(Action::Step).unwrap();
    assert_eq!(w.place(), ("stepping", 3, 5.0));
    for verdict in [wait(), blind()] {
        w.gates(&verdict);
        let why = format!("guarded: gate errors has not passed: {} {}", verdict.word(), verdict.reason());
        assert_eq!(w.act(Action::Step), Err(why.clone()));
        assert_eq!(w.act(Action::SkipGate), Err(format!("{why}; to skip it give a reason")));
        assert_eq!(w.weight(20.0), Err(format!("{why}; to go over it give a reason")));
        assert_eq!(w.act(Action::Promote), Err(format!("{why}; to promote over it give a reason")));
    }
    w.said();
    w.because(Action::SkipGate, false).unwrap();
    assert_eq!(w.place(), ("stepping", 5, 25.0));
    assert_eq!(w.said()[0], "ben: step 3 of 7 skipped: gate(2); 5 % → 25 %: seen it before");
    assert_eq!(w.life.last.as_ref().map(|l| l.effect.to_string()).unwrap(), "step 3 → 4");
}

#[test]
fn every_action_says_what_it_would_answer() {
    let mut w = World::canary(PLAN);
    w.ready("v42", 2);
    w.gates(&fail(Arm::Candidate));
    let before = w.life.clone();
    let off: Vec<_> = w
        .life
        .allowed(&w.seen, &w.gates, w.now)
        .into_iter()
        .map(|(action, refusal)| (action.verb(), refusal.map_or("ok".into(), |r| r.word().to_owned())))
        .collect();
    let said: Vec<_> = off.iter().map(|(verb, word)| (*verb, word.as_str())).collect();
    let expected = [
        ("step", "guarded"),
        ("step", "guarded"),
        ("pause", "ok"),
        ("resume", "already_so"),
        ("weight", "guarded"),
        ("promote", "guarded"),
        ("revert", "ok"),
        ("retry", "not_now"),
        ("freeze", "ok"),
        ("thaw", "already_so"),
    ];
    assert_eq!(said, expected);
    assert_eq!(w.life.refusal(&Action::Step, true, &w.seen, &w.gates, w.now), None);
    assert_eq!(w.life, before);
}
