//! What fails, or has failed and has not passed since, in the terms of the gate that says so.

use super::{HUGE, NARROW, ROOMY, paint, rows};
use crate::fixtures::{self as fx, ago, fail, gate, pass, state, wait, with_evidence};
use cutover::model::{
    decided::{Alone, Decided, Decision},
    failed::Failed,
    gate::{Arm, GateState, Verdict},
    ident::GateId,
    rollout::{Bad, Phase, Rollout},
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
fn one_that_failed_and_is_blind_is_a_failure_wherever_it_is_told() {
    let (mut rollout, pasts) = fx::rising();
    rollout.gates[0].verdict = Verdict::Blind { why: "requests absent".into() };
    let id = rollout.gates[0].id.clone();
    rollout.bad = bad(&[id.as_str()], 0.0);
    let mut open = state((rollout, pasts));
    open.panels = cutover::panel::all();
    open.panel = open.panels.iter().position(|p| p.id() == "evidence").unwrap();
    let all = rows(&paint(&open, ROOMY.0, ROOMY.1)).join("\n");
    assert!(all.contains("✗ FAILED  errors") || all.contains("✗ FAILED errors"), "{all}");
    assert!(all.contains("evidence · 1 FAILED") && all.contains("worse 465:1; now BLIND"), "{all}");
}

#[test]
fn after_the_way_back_the_evidence_is_that_of_the_run_and_stable_is_no_candidate() {
    let (mut rollout, pasts) = fx::rising();
    let judged = |verdict| with_evidence(gate("errors", SignalId::Errors, verdict), (43.0, 574.0), (11.0, 1_149.0), 465.0);
    let run = cutover::model::ident::RunId::new("3");
    rollout.run = Some(run.clone());
    rollout.phase = Phase::Reverted;
    rollout.bad = None;
    rollout.decided = vec![Decided {
        run,
        at: ago(60),
        what: Decision::WentBack,
        version: "v3".into(),
        beside: Some("v2".into()),
        gates: vec![judged(fail(Arm::Candidate, "worse 465:1"))],
        dropped: 0,
    }];
    rollout.alone = Some(Alone { version: "v2".into(), since: ago(60) });
    rollout.gates = vec![with_evidence(gate("errors", SignalId::Errors, pass("under 5 %")), (11.0, 1_230.0), (0.0, 0.0), 1.0)];
    let mut open = state((rollout, pasts));
    open.panels = cutover::panel::all();
    open.panel = open.panels.iter().position(|p| p.id() == "evidence").unwrap();
    let all = rows(&paint(&open, HUGE.0, HUGE.1));
    let find = |what: &str| all.iter().position(|row| row.contains(what)).unwrap_or_else(|| panic!("no {what} in {all:#?}"));
    let (then, now) = (find("when it went back: v3 beside v2"), find("now: v2 has all the traffic"));
    assert!(then < now && find("why        worse 465:1") > then && find("candidate 43/574") < now, "{all:#?}");
    assert!(!all.iter().skip(now).take(3).any(|row| row.contains("candidate") || row.contains("worse")), "{all:#?}");
    assert!(all[now + 1].contains("pass") && all[now + 1].contains("0.89 %"), "{all:#?}");
    assert!(find("evidence · run 3 as of") < then);
    let gates = all.iter().find(|row| row.trim_start().starts_with("gates")).unwrap();
    assert!(gates.contains("FAIL errors") && gates.contains("when it went back"), "{gates}");
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
    assert!(gates.contains("13.50 %, stable 3.00 % over 89 ms"), "{gates}");
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
