//! Both versions are sick: nothing moves by itself, and a person may go on with a reason.

use super::*;
use crate::model::spec::OnFail;

const REVERTS: (&str, &str) = ("signal = \"errors\"", "signal = \"errors\"\non_fail = \"revert\"");

/// At 5 %, with a gate that goes back by itself, and both versions over its limit.
fn both() -> World {
    let mut w = World::canary(&PLAN.replacen(REVERTS.0, REVERTS.1, 1));
    w.ready("v42", 2);
    w.gates(&fail(Arm::Both));
    w.pass(3_600);
    assert_eq!((w.place(), w.run().stopped.is_some()), (("stepping", 2, 5.0), true), "it holds and never goes back");
    w
}

#[test]
fn going_on_is_offered_with_a_reason_and_the_way_back_stays() {
    let mut w = both();
    let next = "stable is sick too: going back does not help; s goes on with a reason [a person]";
    assert_eq!(w.next(), next);
    let off = "guarded: gate errors has not passed: FAIL 12.30>5.00 % (n 1,204); stable is sick too, going back does not help: \
               to go on give a reason";
    for action in [Action::Step, Action::Promote, Action::SetWeight { weight: percent(10.0) }] {
        assert_eq!(w.act(action.clone()), Err(off.into()), "{action:?}");
        let mut other = both();
        let before = other.run().weight;
        other.because(action.clone(), false).unwrap();
        assert!(other.run().weight > before || action == Action::Step, "{action:?}");
    }
    let mut frozen = both();
    frozen.because(Action::Freeze { until: None }, false).unwrap();
    assert!(frozen.next().ends_with("s goes on with a reason once thawed [a person]"), "{}", frozen.next());
    assert!(frozen.because(Action::Step, false).unwrap_err().starts_with("frozen"));

    w.because(Action::Step, false).unwrap();
    w.pass(3_600);
    assert_eq!((w.place(), w.run().stopped.is_some()), (("stepping", 3, 5.0), false), "the same failure stops it no more");
    assert_eq!(w.next(), next, "and moves nothing by itself either");
    // A gate step is skipped, as one that waits is.
    assert!(w.because(Action::Step, false).is_err());
    w.because(Action::SkipGate, false).unwrap();
    assert_eq!(w.place(), ("stepping", 5, 25.0));
    w.back("v41").unwrap();
    assert_eq!(w.place().0, "reverted");
}

#[test]
fn promote_goes_all_the_way() {
    let mut w = both();
    w.because(Action::Promote, false).unwrap();
    assert_eq!(w.serving(), Some("v42"));
}

#[test]
fn going_on_while_both_are_sick_says_nothing_of_a_candidate_that_is_sick_alone() {
    let mut w = both();
    w.because(Action::Step, false).unwrap();
    let since = w.gates[0].since;
    w.gates(&fail(Arm::Candidate));
    assert_eq!(w.place().0, "reverted", "stable is well again");
    // Its word has been the same all the time.
    let mut w = both();
    w.because(Action::Step, false).unwrap();
    w.gates[0] = GateState { verdict: fail(Arm::Candidate), since, ..w.gates[0].clone() };
    w.settle();
    assert_eq!(w.place().0, "reverted");
}

#[test]
fn another_gate_that_blames_the_candidate_alone_needs_force() {
    let mut w = both();
    let split = GateState {
        id: crate::model::ident::GateId::new("split"),
        on_fail: OnFail::Hold,
        verdict: Verdict::Fail { who: Arm::Candidate, why: "30.00 % of requests, 5.00 declared".into() },
        ..w.gates[0].clone()
    };
    w.gates.push(split);
    w.settle();
    for action in [Action::Step, Action::Promote] {
        let why = w.because(action.clone(), false).unwrap_err();
        assert!(why.starts_with("guarded: gate split has not passed: FAIL") && why.contains("--force") && !why.contains("give"), "{why}");
        let mut forced = w.life.clone();
        let ask = Ordered { reason: Some("known".into()), force: true, ..w.order(action) };
        forced.act(&ask, &w.seen, &w.gates, w.now).unwrap();
    }
    assert_eq!(w.next(), "held by gate errors: nothing moves by itself [a person]");
}
