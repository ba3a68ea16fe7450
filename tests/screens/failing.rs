//! What fails, or has failed and has not passed since, in the terms of the gate that says so.

use super::{HUGE, NARROW, paint, rows};
use crate::fixtures::{self as fx, ago, fail, gate, pass, state, wait, with_evidence};
use cutover::model::{
    failed::Failed,
    gate::{Arm, GateState},
    ident::GateId,
    rollout::{Bad, Rollout},
    signal::SignalId,
    spec::OnFail,
};

/// The line with this label, of the rollout that fails after a change.
fn line(label: &str, change: impl Fn(&mut Rollout), (width, height): (u16, u16)) -> String {
    let (mut rollout, pasts) = fx::rising();
    change(&mut rollout);
    let rows = rows(&paint(&state((rollout, pasts)), width, height));
    rows.into_iter().find(|row| row.trim_start().starts_with(label)).unwrap_or_default()
}

fn bad(gates: &[&str], per_second: f64) -> Option<Bad> {
    Some(Bad { since: ago(56), failed: 4, per_second, gates: gates.iter().map(|g| failed(g)).collect() })
}

fn failed(gate: &str) -> Failed {
    Failed { gate: GateId::new(gate), at: ago(56), why: "worse 465:1".into(), stands: true }
}

#[test]
fn a_gate_that_failed_and_now_waits_is_still_the_one_that_failed() {
    let waits = |r: &mut Rollout| {
        r.gates[0].verdict = wait("12 more instance-minutes", Some(2_460));
        r.gates.push(gate("late", SignalId::Errors, wait("5 %: neither shown under nor over 5 %", None)));
        r.bad = bad(&["late"], 0.0);
    };
    let said = line("gates", waits, NARROW);
    assert!(said.contains("FAILED late, now WAIT"), "{said}");
    let passes = |r: &mut Rollout| {
        waits(r);
        r.gates.iter_mut().for_each(|g| g.verdict = pass("fine"));
    };
    assert!(!line("gates", passes, NARROW).contains("FAILED"), "until it passes");
    let worse = |r: &mut Rollout| {
        waits(r);
        r.gates[0].verdict = fail(Arm::Candidate, "23.10 % > 5.00 %");
    };
    assert!(line("gates", worse, NARROW).contains("FAIL errors"), "what fails now goes first");
}

#[test]
fn the_gate_that_decides_is_named_before_one_that_only_advises() {
    let advised = |r: &mut Rollout| {
        r.bad = None;
        let advice = GateState { on_fail: OnFail::Advise, ..gate("p99", SignalId::P99, wait("p99 10 to 50 ms", Some(260_000))) };
        r.gates = vec![advice, gate("restarts", SignalId::Restarts, wait("888 more instance-minutes", Some(57_600)))];
    };
    let said = line("gates", advised, NARROW);
    assert!(said.contains("WAIT restarts") && said.contains("888 more"), "{said}");
}

#[test]
fn the_cost_is_told_in_the_terms_of_the_gate_that_fails() {
    let slow = |r: &mut Rollout| {
        let mut gate =
            with_evidence(gate("latency", SignalId::Slow, fail(Arm::Candidate, "worse")), (135.0, 1_000.0), (30.0, 1_000.0), 20.0);
        gate.evidence.as_mut().unwrap().slow_over = Some(89.0);
        r.gates = vec![gate];
        r.bad = bad(&["latency"], 0.0);
    };
    let said = line("BAD", slow, NARROW);
    assert!(
        said.contains("56s, latency over 89 ms: canary 13.50 % stable 3.00 %")
            || said.contains("56 s, latency over 89 ms: canary 13.50 % stable 3.00 %"),
        "{said}"
    );
    assert!(!said.contains("Waiting"), "what is slow is no failed request: {said}");
    let gates = line("gates", slow, HUGE);
    assert!(gates.contains("13.50 % > 3.00 % over 89 ms"), "{gates}");
    let alert = |r: &mut Rollout| {
        r.gates = vec![gate("alerts", SignalId::Alerts, fail(Arm::Candidate, "alert CheckoutErrors fires since 23:38"))];
        r.bad = bad(&["alerts"], 2.0);
    };
    let said = line("BAD", alert, HUGE);
    assert!(said.contains("alerts: alert CheckoutErrors fires since 23:38. Waiting: ~"), "{said}");
    let errors = line("BAD", |_| (), NARROW);
    assert!(errors.contains("189 failed"), "{errors}");
}

#[test]
fn a_gate_over_slow_requests_does_not_answer_for_the_p99() {
    let slow = |r: &mut Rollout| r.gates = vec![gate("latency", SignalId::Slow, pass("fine"))];
    let (mut rollout, pasts) = fx::healthy();
    slow(&mut rollout);
    let rows = rows(&paint(&state((rollout, pasts)), 80, 24));
    let p99 = rows.iter().find(|row| row.trim_start().starts_with("p99")).unwrap();
    assert!(p99.contains("slow pass"), "{p99}");
}
