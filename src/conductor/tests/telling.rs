//! The words on the screen.

use super::*;
use crate::model::{back::How, rollout::Phase};

fn holds(w: &World) -> Vec<String> {
    use crate::model::rollout::Hold;
    w.view()
        .holds
        .iter()
        .map(|h| match h {
            Hold::Manual { by, .. } => format!("manual {by}"),
            Hold::Step { until, .. } => format!("step {}", until.map_or("a person".into(), |u| format!("{} s", (u - w.now).num_seconds()))),
            Hold::Gate { gate, reason, .. } => format!("gate {}: {reason}", gate.text()),
            Hold::Inconclusive { reason, .. } => format!("inconclusive {reason}"),
            Hold::Freeze { reason, .. } => format!("freeze {reason}"),
            Hold::Stopped { reason, .. } => format!("stopped {reason}"),
            Hold::Backend { reason, .. } => format!("backend {reason}"),
        })
        .collect()
}

fn says(w: &World, phase: &Phase, attention: Option<&str>, next: &str, held: &[&str]) {
    let view = w.view();
    assert_eq!((&view.phase, view.attention.as_ref().map(|a| a.kind.as_str())), (phase, attention), "{:?}", view.holds);
    assert_eq!(w.next(), next);
    assert_eq!(holds(w), held);
    assert!(next.chars().count() < 90);
}

#[test]
fn what_is_next_is_always_said() {
    let mut w = World::new(PLAN);
    says(&w, &Phase::Idle, None, "nothing is deployed [nobody]", &[]);
    w = World::canary(PLAN);
    w.ready("v42", 1);
    says(&w, &Phase::Progressing, None, "5 % when all are ready: canary 1/2 ready [plan]", &["backend canary 1/2 ready"]);
    w.ready("v42", 2);
    says(&w, &Phase::Progressing, None, "gate(2) in 30 s [plan]", &["step 30 s"]);
    assert_eq!(w.view().at.unwrap().ends, Some(w.now + chrono::Duration::seconds(30)));
    w.pass(18);
    says(&w, &Phase::Progressing, None, "gate(2) in 12 s [plan]", &["step 12 s"]);
    w.ready("v42", 1);
    says(&w, &Phase::Held, Some("stuck"), "held: canary 1/2 ready [plan]", &["backend canary 1/2 ready", "step 12 s"]);
}

#[test]
fn gates_that_wait_are_told_from_gates_that_hold() {
    let mut w = World::canary(PLAN);
    w.ready("v42", 2);
    w.pass(30);
    says(&w, &Phase::Progressing, None, "25 % when gate errors passes: not judged yet [plan]", &["gate errors: WAIT not judged yet"]);
    w.gates(&wait());
    says(&w, &Phase::Progressing, None, "25 % when gate errors passes: 340 requests in 17 s [plan]", &["gate errors: WAIT 340 requests"]);
    w.gates(&blind());
    let line = "held by gate errors BLIND: nothing moves by itself [a person]";
    says(&w, &Phase::Held, Some("stuck"), line, &["gate errors: BLIND counters are stale"]);
    w.gates(&fail(Arm::Candidate));
    let line = "held by gate errors: nothing moves by itself [a person]";
    says(&w, &Phase::Held, Some("failing"), line, &["gate errors: FAIL 12.30>5.00 % (n 1,204)"]);
    w.act(Action::Pause).unwrap();
    let both = ["gate errors: FAIL 12.30>5.00 % (n 1,204)", "manual ben"];
    says(&w, &Phase::Held, Some("failing"), "paused by ben 03:10: c resumes [a person]", &both);
    w.act(Action::Resume).unwrap();
    w.gates(&pass());
    let recovered = ["gate errors: gate errors failed 12.30>5.00 % (n 1,204)"];
    says(&w, &Phase::Held, Some("failing"), "gate errors passes again: s goes on [a person]", &recovered);
    w.act(Action::Step).unwrap();
    says(&w, &Phase::Held, Some("waiting"), "paused by the plan: s goes on to gate(1) [a person]", &["step a person"]);
}

#[test]
fn more_traffic_needs_eyes() {
    let plan = PLAN.replace("{ gate = \"all\" }, ", "");
    let mut w = World::canary(&plan);
    w.ready("v42", 2);
    w.gates(&blind());
    says(&w, &Phase::Progressing, None, "25 % in 30 s [plan]", &["step 30 s"]);
    w.pass(30);
    let line = "held by gate errors BLIND: nothing moves by itself [a person]";
    says(&w, &Phase::Held, Some("stuck"), line, &["gate errors: BLIND counters are stale"]);
    w.act(Action::Step).unwrap();
    assert_eq!(w.place(), ("stepping", 4, 25.0), "a person may");
}

#[test]
fn the_way_back_is_named() {
    let mut w = World::new(PLAN);
    let how = |w: &World| (w.view().how, w.view().to.map(|d| d.label.to_string()));
    assert_eq!(how(&w), (How::None { why: "nothing was ever deployed".into() }, None));
    w.deploy("v41").unwrap();
    assert_eq!(how(&w), (How::None { why: "first version: there is none to go back to".into() }, None));
    let mut w = World::canary(PLAN);
    assert_eq!(how(&w), (How::Switch, Some("v41".into())));
    w.ready("v42", 2);
    w.because(Action::Promote, false).unwrap();
    assert_eq!(how(&w), (How::Switch, Some("v41".into())));
    says(&w, &Phase::Completed, None, "v41 is torn down in 600 s [plan]", &[]);
    let mut cold = World { life: w.life.clone(), now: w.now, ..World::new(PLAN) };
    cold.pass(600);
    assert_eq!(how(&cold), (How::Redeploy { steps: 7 }, Some("v41".into())));
    says(&cold, &Phase::Completed, None, "nothing [nobody]", &[]);
    w.routed = false;
    w.back("v41").unwrap();
    says(&w, &Phase::Reverting, None, "the router takes the canary to 0 % [plan]", &[]);
    assert_eq!(how(&w), (How::Already { since: w.now }, Some("v41".into())));
    w.routed = true;
    w.pass(3);
    says(&w, &Phase::Reverted, None, "nothing by itself; t retries v42 [a person]", &[]);
    assert_eq!(how(&w), (How::Already { since: w.now }, Some("v41".into())));
}

#[test]
fn a_run_remembers_when_its_share_changed() {
    let mut w = World::canary(PLAN);
    assert!(w.run().marks.is_empty(), "no share before instances are ready");
    w.ready("v42", 2);
    let first = w.now;
    w.pass(7);
    w.weight(12.5).unwrap();
    let second = w.now;
    w.pass(3);
    w.back("v41").unwrap();
    let marks: Vec<_> = w.run().marks.iter().map(|m| (m.at, m.weight.percent())).collect();
    assert_eq!(marks, [(first, 5.0), (second, 12.5), (w.now, 0.0)]);
}
