//! Stop the line.

use super::*;
use crate::model::rollout::{Hold, Phase};

fn frozen(minutes: i64) -> World {
    let mut w = World::canary(PLAN);
    w.ready("v42", 2);
    let until = w.now + chrono::Duration::minutes(minutes);
    w.because(Action::Freeze { until: Some(until) }, false).unwrap();
    w
}

#[test]
fn nothing_moves_forward_until_it_ends_by_itself() {
    let mut w = frozen(20);
    let why = "frozen: frozen by ben 03:10 until 03:30: seen it before";
    w.pass(60);
    w.gates(&pass());
    assert_eq!(w.place(), ("stepping", 2, 5.0), "the pause is over and nothing follows");
    for action in [Action::Step, Action::SkipGate, Action::Promote, Action::SetWeight { weight: percent(6.0) }] {
        assert_eq!(w.because(action, true), Err(why.into()));
    }
    assert_eq!(w.replace("v43").unwrap_err().to_string(), "frozen by ben 03:10 until 03:30: seen it before");
    let view = w.view();
    assert!(matches!(view.holds.as_slice(), [Hold::Freeze { until: Some(_), .. }]), "{:?}", view.holds);
    assert_eq!((view.phase, view.attention.unwrap().kind.as_str()), (Phase::Held, "waiting"));
    assert_eq!(w.next(), "the freeze by ben ends: nothing moves forward before in 1140 s [plan]");
    w.act(Action::Pause).unwrap();
    w.act(Action::Resume).unwrap();
    w.weight(1.0).unwrap();
    w.act(Action::Resume).unwrap();
    assert_eq!(w.place().2, 1.0, "what was taken away does not come back by itself");
    assert!(w.life.next_deadline(w.now).is_some());
    w.said();
    w.pass(20 * 60);
    assert_eq!((w.place(), w.life.frozen.clone()), (("stepping", 3, 5.0), None));
    assert_eq!(w.said()[0], "plan: the freeze by ben is over: seen it before");
}

#[test]
fn the_way_back_and_the_brakes_are_never_frozen() {
    let mut w = frozen(20);
    w.back("v41").unwrap();
    assert_eq!(w.place().0, "reverted");
    let why = "frozen: frozen by ben 03:10 until 03:30: seen it before";
    assert_eq!(w.act(Action::Retry), Err(why.into()));
    assert_eq!(w.deploy("v43").unwrap_err().to_string(), "frozen by ben 03:10 until 03:30: seen it before");
    w.act(Action::Thaw).unwrap();
    assert_eq!(w.act(Action::Thaw), Err("already_so: nothing is frozen".into()));
    w.act(Action::Retry).unwrap();

    let mut w = frozen(20);
    w.gates(&fail(Arm::Candidate));
    assert!(w.run().stopped.is_some());

    let mut w = World::canary(PLAN);
    w.ready("v42", 2);
    w.because(Action::Promote, false).unwrap();
    w.because(Action::Freeze { until: None }, false).unwrap();
    w.back("v41").unwrap();
    assert_eq!(w.serving(), Some("v41"));
    assert_eq!(w.act(Action::Undo { to: version("v42") }).unwrap_err().split(':').next(), Some("frozen"));
}

#[test]
fn a_freeze_is_for_everybody_to_read() {
    let mut w = frozen(20);
    let until = w.life.frozen.as_ref().unwrap().until;
    assert_eq!(w.act(Action::Freeze { until: None }), Err("not_now: a freeze needs a reason: it is what everybody else reads".into()));
    let again = Action::Freeze { until };
    assert_eq!(w.because(again, false), Err("already_so: already frozen by ben 03:10 until 03:30: seen it before".into()));
    let past = Action::Freeze { until: Some(w.now) };
    assert_eq!(w.because(past, false), Err("not_now: the end of the freeze has passed already".into()));
    w.because(Action::Freeze { until: None }, false).unwrap();
    assert_eq!(w.next(), "frozen by ben until somebody thaws it: nothing moves forward [a person]");
    // On however old a picture, also before anything was deployed.
    let mut w = World::new(PLAN);
    w.because(Action::Freeze { until: None }, false).unwrap();
    assert!(w.deploy("v41").is_err());
    w.crash();
    assert!(w.life.frozen.is_some(), "and it outlives the host");
}

#[test]
fn what_a_freeze_refuses_is_not_offered_before_it_is_over() {
    let mut w = World::canary(PLAN);
    w.ready("v42", 2);
    w.back("v41").unwrap();
    assert_eq!(w.next(), "nothing by itself; t retries v42 [a person]");
    w.because(Action::Freeze { until: None }, false).unwrap();
    assert_eq!(w.next(), "nothing by itself; t retries v42 once thawed [a person]");
    w.act(Action::Thaw).unwrap();
    assert_eq!(w.next(), "nothing by itself; t retries v42 [a person]");
}
