//! What is thought of versions: baking, good, left, tainted.

use super::*;
use crate::model::{
    rollout::{Phase, Standing},
    version::Version,
};

fn plan(on_fail: &str) -> String {
    PLAN.replace("bake = \"0s\"", "bake = \"2h\"").replacen(
        "signal = \"errors\"",
        &format!("signal = \"errors\"\non_fail = \"{on_fail}\""),
        1,
    )
}

/// v42 is stable and bakes; v41 is warm for 10 min.
fn baking(on_fail: &str) -> World {
    let mut w = World::canary(&plan(on_fail));
    w.ready("v42", 2);
    w.because(Action::Promote, false).unwrap();
    assert_eq!(w.serving(), Some("v42"));
    w.gates.clear();
    w.notes.clear();
    w
}

fn serve(w: &mut World, label: &str, minutes: u64) {
    let time = Duration::from_secs(minutes * 60);
    w.life.served(&version(label), (1000, 5), time, time, w.now);
    w.pass(minutes * 60);
}

fn gates(w: &mut World, verdict: &Verdict) {
    let sample = Sample::Counts { hits: 0.0, of: 0.0 };
    let judged = w.life.judged().unwrap();
    let (since, gates) = (judged.since.unwrap(), judged.who.spec.gates.clone());
    assert!(judged.baking && judged.against.is_none());
    let state = |g: &crate::model::spec::GateSpec| GateState {
        id: g.name.clone(),
        signal: SignalId::Errors,
        rule: "".into(),
        on_fail: g.on_fail,
        verdict: verdict.clone(),
        since: w.now,
        evidence: Some(Evidence { candidate: sample, stable: sample, limit: Some(5.0), since, ..Evidence::default() }),
    };
    w.gates = gates.iter().map(state).collect();
    w.settle();
}

fn known(w: &World) -> Vec<(String, Standing)> {
    let shown = |d: &Deployed| Version {
        id: d.id.clone(),
        label: d.label.clone(),
        revision: None,
        parts: vec![],
        config: None,
        back_unsafe: None,
        measured_as: None,
    };
    w.life.known(&w.seen, shown).into_iter().map(|k| (k.version.label.to_string(), k.standing)).collect()
}

#[test]
fn a_clock_that_is_set_makes_a_bake_neither_shorter_nor_endless() {
    for hours in [-30, 30] {
        let mut w = baking("hold");
        serve(&mut w, "v42", 60);
        w.now += chrono::Duration::hours(hours);
        w.settle();
        assert!(matches!(w.life.standing(&version("v42")), Standing::Baking { .. }), "{hours} h");
        // What fails after it counts as before.
        gates(&mut w, &fail(Arm::Candidate));
        assert_eq!(w.view().attention.unwrap().kind.as_str(), "failing", "{hours} h");
        gates(&mut w, &pass());
        let Standing::Baking { until } = w.life.standing(&version("v42")) else { panic!("{hours} h") };
        assert_eq!(until - w.now, chrono::Duration::hours(2), "it bakes anew, by the clock as it is now");
        serve(&mut w, "v42", 119);
        assert!(matches!(w.life.standing(&version("v42")), Standing::Baking { .. }), "{hours} h");
        serve(&mut w, "v42", 1);
        assert_eq!(w.life.standing(&version("v42")), Standing::Good, "{hours} h");
    }
}

#[test]
fn a_version_is_good_after_it_served_for_long_enough() {
    let mut w = baking("hold");
    let until = w.now + chrono::Duration::hours(2);
    assert_eq!(known(&w), [("v42".into(), Standing::Baking { until }), ("v41".into(), Standing::Unproven)]);
    let view = w.view();
    assert_eq!((view.phase, view.attention.unwrap().kind.as_str()), (Phase::Completed, "baking"));
    w.pass(24 * 3600);
    assert!(matches!(w.life.standing(&version("v42")), Standing::Baking { .. }), "a clock alone makes nothing good");
    serve(&mut w, "v42", 119);
    serve(&mut w, "v41", 600);
    assert!(matches!(w.life.standing(&version("v42")), Standing::Baking { .. }));
    assert_eq!(
        w.next(),
        format!("v42 is good if no gate fails in {} s [plan]", (w.life.record(&version("v42")).due.unwrap() - w.now).num_seconds())
    );
    w.said();
    serve(&mut w, "v42", 1);
    assert_eq!(w.life.standing(&version("v42")), Standing::Good);
    assert_eq!(w.said(), ["plan: v42 is good: 2 h with all the traffic and no failed gate"]);
    let record = w.life.record(&version("v42"));
    assert_eq!((record.proven.as_secs(), record.requests, record.errors), (7200, 2000, 10));
    assert_eq!(record.error_ratio(), Some(0.005));
    assert_eq!(w.life.record(&version("v41")).requests, 0, "only who has all the traffic is counted");
    assert_eq!((w.next().as_str(), w.life.judged()), ("nothing [nobody]", None));
    w.deploy("v43").unwrap();
    w.ready("v43", 2);
    serve(&mut w, "v42", 1);
    assert_eq!(w.life.record(&version("v42")).requests, 2000, "not while it shares the traffic");
}

#[test]
fn a_clock_that_is_set_back_neither_loses_a_bake_nor_fakes_one() {
    let mut w = baking("hold");
    serve(&mut w, "v42", 60);
    // Three hours back, before it was deployed at all: what was served stays served.
    w.now -= chrono::Duration::hours(3);
    w.settle();
    let at = w.now;
    w.life.served(&version("v42"), (1, 0), Duration::from_secs(60), Duration::from_secs(60), at);
    assert_eq!(w.life.standing(&version("v42")), Standing::Baking { until: at + chrono::Duration::minutes(59) });
    assert_eq!((w.run().word(), w.serving()), ("completed", Some("v42")));
    serve(&mut w, "v42", 58);
    assert!(matches!(w.life.standing(&version("v42")), Standing::Baking { .. }), "not before its time");
    serve(&mut w, "v42", 1);
    assert_eq!(w.life.standing(&version("v42")), Standing::Good, "nor after it");
    // And a leap of days fakes none.
    let mut w = baking("hold");
    w.now += chrono::Duration::days(3);
    w.settle();
    let at = w.now;
    w.life.served(&version("v42"), (1, 0), Duration::from_secs(1), Duration::from_secs(1), at);
    assert!(matches!(w.life.standing(&version("v42")), Standing::Baking { .. }));
    assert_eq!(w.life.record(&version("v42")).proven, Duration::from_secs(1));
}

#[test]
fn a_gate_that_fails_starts_the_baking_anew_and_moves_nothing() {
    for on_fail in ["hold", "revert"] {
        let mut w = baking(on_fail);
        w.pass(600);
        serve(&mut w, "v42", 60);
        w.said();
        gates(&mut w, &fail(Arm::Candidate));
        assert_eq!((w.run().word(), w.serving()), ("completed", Some("v42")), "{on_fail}: v41 is no longer warm");
        let view = w.view();
        assert_eq!((view.attention.unwrap().kind.as_str(), view.reason.unwrap().as_str()), ("failing", "fails while it bakes: errors"));
        assert_eq!(w.said(), ["gate errors: gate errors failed 12.30>5.00 % (n 1,204); v42 had baked for 60 min"]);
        assert_eq!(w.next(), "v42 bakes anew once its gates pass; R goes back [a person]");
        let found: Vec<_> = w.life.findings().into_iter().map(|f| f.what.to_string()).collect();
        assert_eq!(found, ["v42 fails while it bakes: errors"]);
        serve(&mut w, "v42", 120);
        assert_eq!((w.life.standing(&version("v42")), w.said().len()), (Standing::Unproven, 0));
        w.crash();
        assert_eq!(w.life.standing(&version("v42")), Standing::Unproven);
        gates(&mut w, &pass());
        assert!(w.said().contains(&"gate errors: passes again: v42 bakes anew".to_owned()));
        serve(&mut w, "v42", 119);
        assert!(matches!(w.life.standing(&version("v42")), Standing::Baking { .. }));
        serve(&mut w, "v42", 1);
        assert_eq!(w.life.standing(&version("v42")), Standing::Good);
    }
}

#[test]
fn what_is_warm_stays_warm_while_the_version_after_it_fails() {
    let mut w = baking("hold");
    w.pass(60);
    gates(&mut w, &fail(Arm::Candidate));
    assert_eq!(w.next(), "v41 stays warm while v42 fails; R goes back to it [a person]");
    w.pass(3 * 600);
    // A gate that does not see the failure any more has not shown that it is over.
    gates(&mut w, &wait());
    w.pass(3 * 600);
    assert_eq!(w.view().how, crate::model::back::How::Switch, "the way back is not let go");
    assert_eq!(w.life.next_deadline(w.now), None);
    w.said();
    gates(&mut w, &pass());
    assert_eq!(w.next(), "v41 is torn down in 600 s [plan]", "anew, as v42 bakes anew");
    assert_eq!(w.said(), ["gate errors: passes again: v42 bakes anew"]);
    w.pass(600);
    assert_eq!(w.said(), ["plan: v41 is no longer kept warm"]);
}

#[test]
fn a_version_that_nobody_could_see_fail_does_not_get_good() {
    use crate::model::interval::{Sensor, SensorState};
    let lacks = |w: &mut World, arm| {
        let sensor = Sensor { name: "requests".into(), arm, state: SensorState::Absent, age: None, required: true };
        for gate in &mut w.gates {
            gate.evidence.as_mut().unwrap().sensors = vec![sensor.clone()];
        }
    };
    let mut w = baking("hold");
    w.pass(600);
    assert!(w.life.bakes_unseen(&w.gates).is_none(), "not judged yet");
    gates(&mut w, &blind());
    lacks(&mut w, Arm::Candidate);
    assert_eq!(w.life.bakes_unseen(&w.gates).unwrap().id.as_str(), "errors");
    assert_eq!(w.next(), "v42 bakes on once gate errors sees again [plan]");
    // Of that time the host counts nothing: what had baked stays, and its end moves on.
    w.life.served(&version("v42"), (0, 0), Duration::from_secs(7200), Duration::ZERO, w.now);
    w.settle();
    assert_eq!(w.life.standing(&version("v42")), Standing::Baking { until: w.now + chrono::Duration::hours(2) });
    // Whom a first version is compared with there is nobody to say.
    lacks(&mut w, Arm::Stable);
    assert!(w.life.bakes_unseen(&w.gates).is_none());
    // A quiet service would never have a good version.
    gates(&mut w, &wait());
    assert!(w.life.bakes_unseen(&w.gates).is_none());
    for gate in &mut w.gates {
        (gate.verdict, gate.on_fail) = (blind(), crate::model::spec::OnFail::Advise);
    }
    assert!(w.life.bakes_unseen(&w.gates).is_none(), "what only advises keeps nobody");
    // Once it is good nothing is watched any more.
    serve(&mut w, "v42", 120);
    gates_gone_blind(&mut w);
    assert!(w.life.bakes_unseen(&w.gates).is_none());
}

fn gates_gone_blind(w: &mut World) {
    for gate in &mut w.gates {
        (gate.verdict, gate.on_fail) = (blind(), crate::model::spec::OnFail::Hold);
    }
}

#[test]
fn a_gate_goes_back_while_it_is_a_switch_and_its_owner_wants_that() {
    let mut w = baking("hold");
    gates(&mut w, &fail(Arm::Candidate));
    assert_eq!(w.serving(), Some("v42"));
    let mut w = baking("revert");
    gates(&mut w, &fail(Arm::Both));
    assert_eq!(w.serving(), Some("v42"), "going back would not help");
    gates(&mut w, &fail(Arm::Candidate));
    assert_eq!((w.run().word(), w.serving()), ("reverted", Some("v41")));
    let left = Standing::Left { reason: "gate errors failed 12.30>5.00 % (n 1,204)".into() };
    assert_eq!(w.life.standing(&version("v42")), left);
    w.gates.clear();
    w.act(Action::Retry).unwrap();
    w.ready("v42", 2);
    w.because(Action::Promote, false).unwrap();
    assert!(matches!(w.life.standing(&version("v42")), Standing::Baking { .. }), "another chance");
}

#[test]
fn a_leak_starts_the_baking_anew_and_moves_nothing_also_where_gates_go_back() {
    let mut w = baking("revert");
    serve(&mut w, "v42", 5);
    w.said();
    let leak = |w: &World, verdict: Verdict| GateState {
        id: crate::model::ident::GateId::new("leak"),
        signal: SignalId::Memory,
        rule: "".into(),
        on_fail: crate::model::spec::OnFail::Hold,
        verdict,
        since: w.now,
        evidence: None,
    };
    w.gates = vec![leak(&w, Verdict::Fail { who: Arm::Candidate, why: "memory grew 512 MB in 3 h 10 m".into() })];
    w.settle();
    assert_eq!((w.run().word(), w.serving()), ("completed", Some("v42")), "the way back is a person's");
    let view = w.view();
    assert_eq!((view.attention.unwrap().kind.as_str(), view.reason.unwrap().as_str()), ("failing", "fails while it bakes: leak"));
    assert_eq!(w.said(), ["gate leak: gate leak failed memory grew 512 MB in 3 h 10 m; v42 had baked for 5 min"]);
    serve(&mut w, "v42", 180);
    assert_eq!(w.life.standing(&version("v42")), Standing::Unproven);
    w.gates = vec![leak(&w, Verdict::Wait { missing: "memory is not known yet".into(), eta: None })];
    serve(&mut w, "v42", 180);
    assert_eq!((w.life.standing(&version("v42")), w.run().word()), (Standing::Unproven, "completed"), "not known is not healed");
    w.gates = vec![leak(&w, Verdict::Pass { why: "memory is flat".into() })];
    w.settle();
    w.gates.clear();
    assert!(w.said().contains(&"gate leak: passes again: v42 bakes anew".to_owned()));
    serve(&mut w, "v42", 120);
    assert_eq!(w.life.standing(&version("v42")), Standing::Good);
}

#[test]
fn a_tainted_version_that_serves_is_a_finding() {
    let mut w = baking("hold");
    assert_eq!(
        w.act(Action::Taint { version: version("v42") }),
        Err("not_now: a taint needs a reason: it is what everybody else reads".into())
    );
    assert_eq!(
        w.because(Action::Taint { version: version("v9") }, false),
        Err("not_now: no such version is remembered: there are v42, v41".into())
    );
    w.because(Action::Taint { version: version("v42") }, false).unwrap();
    assert_eq!(w.said(), ["ben: tainted v42, which serves: seen it before"]);
    let found: Vec<_> = w.life.findings().into_iter().map(|f| f.what.to_string()).collect();
    assert_eq!(found, ["v42 serves and was tainted by ben: seen it before"]);
    let again = w.because(Action::Taint { version: version("v42") }, false);
    assert_eq!(again, Err("already_so: v42 was tainted by ben 03:10: seen it before".into()));
    assert!(matches!(known(&w)[0].1, Standing::Tainted { .. }));
    w.back("v41").unwrap();
    w.said();
    w.deploy("v42").unwrap();
    assert_eq!(w.said()[..2], ["ana: run r9 starts: v41 → v42", "ana: v42 was tainted by ben: seen it before"], "who deploys it is told");
}

#[test]
fn what_was_left_keeps_its_name_and_can_be_tainted_after_the_next_deploy() {
    let mut w = baking("hold");
    w.back("v41").unwrap();
    for label in ["v43", "v44"] {
        w.deploy(label).unwrap();
        w.ready(label, 2);
        w.because(Action::Promote, false).unwrap();
    }
    assert_eq!(w.serving(), Some("v44"));
    let named = |w: &World| known(w).into_iter().map(|(label, _)| label).collect::<Vec<_>>();
    assert_eq!(named(&w), ["v44", "v43", "v41", "v42"]);
    let taint = |label: &str| Action::Taint { version: version(label) };
    w.said();
    w.because(taint("v42"), false).unwrap();
    assert_eq!(w.said(), ["ben: tainted v42: seen it before"]);
    assert!(w.because(taint("v42"), false).unwrap_err().starts_with("already_so: v42 was tainted by ben"));
    w.crash();
    assert!(matches!(w.life.standing(&version("v42")), Standing::Tainted { .. }), "it is on disk");
    // The way back passes it by, and whoever deploys it is told.
    assert_eq!(w.life.way_back(&w.seen), Some(version("v43")));
    w.deploy("v42").unwrap();
    assert!(w.said().iter().any(|line| line.ends_with("v42 was tainted by ben: seen it before")));
    assert_eq!(named(&w), ["v42", "v44", "v43", "v41"], "each once");
    w.back("v44").unwrap();
    // As many as are kept, the newest of them.
    for n in 50..70 {
        w.deploy(&format!("v{n}")).unwrap();
        w.back("v44").unwrap();
    }
    assert_eq!(w.life.left.len(), crate::conductor::standing::LEFT);
    assert_eq!((w.life.left[0].label.as_str(), known(&w).len()), ("v68", 3 + 1 + 8));
    assert!(w.because(taint("v42"), false).is_err(), "only its record is kept by then");
    assert!(w.life.record(&version("v42")).taint.is_some());
}

#[test]
fn a_first_version_that_was_given_up_is_nothing_to_go_back_to() {
    let mut w = World::new(PLAN);
    w.deploy("v40").unwrap();
    w.replace("v41").unwrap();
    w.ready("v41", 2);
    assert_eq!(w.serving(), Some("v41"));
    assert_eq!(w.life.standing(&version("v40")), Standing::Left { reason: "given up before it served".into() });
    assert_eq!(w.life.way_back(&w.seen), None);
}
