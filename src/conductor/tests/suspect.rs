//! Gates that have not failed and hold all the same, and the gate that nobody configured.

use super::*;
use crate::model::spec::OnFail;

fn suspect(w: &mut World) {
    w.gates(&wait());
    for gate in &mut w.gates {
        gate.verdict = Verdict::Wait { missing: "worse 38:1, fails at 100:1".into(), eta: None };
        gate.evidence.as_mut().unwrap().holds = true;
    }
    w.settle();
}

#[test]
fn a_candidate_that_looks_worse_gets_no_more_traffic_by_itself() {
    // 5 %, 30 s, then 25 %: no gate step stands between them.
    let mut w = World::canary(&PLAN.replace("{ gate = \"all\" }, ", ""));
    w.ready("v42", 2);
    suspect(&mut w);
    w.pass(600);
    assert_eq!(w.place(), ("stepping", 2, 5.0));
    assert_eq!(w.next(), "held by gate errors: worse 38:1, fails at 100:1 [plan]");
    let hold = w.view().holds.into_iter().find_map(|h| match h {
        crate::model::rollout::Hold::Gate { reason, .. } => Some(reason.to_string()),
        _ => None,
    });
    assert_eq!(hold.as_deref(), Some("WAIT worse 38:1, fails at 100:1"));
    // It is no failure: nothing stopped, and it goes on as soon as it no longer looks so.
    w.gates(&wait());
    assert_eq!(w.place(), ("stepping", 4, 25.0));
}

#[test]
fn a_bad_split_blocks_what_gives_more_and_never_the_way_back() {
    let mut w = World::canary(PLAN);
    w.ready("v42", 2);
    w.gates(&pass());
    let split = GateState {
        id: crate::model::ident::GateId::new("split"),
        signal: SignalId::Requests,
        rule: "".into(),
        on_fail: OnFail::Hold,
        verdict: Verdict::Fail { who: Arm::Candidate, why: "30.00 % of requests, 5.00 declared".into() },
        since: w.now,
        evidence: Some(Evidence { since: w.now, ..Evidence::default() }),
    };
    w.gates.push(split);
    w.settle();
    assert_eq!(w.place().0, "stepping", "it never goes back by itself");
    let refused = "guarded: gate split has not passed: FAIL 30.00 % of requests, 5.00 declared";
    for action in [Action::Step, Action::Promote, Action::SetWeight { weight: percent(50.0) }] {
        let refused = format!("{refused}; to go on all the same: cutover {} --force --reason TEXT", action.verb());
        assert_eq!(w.act(action.clone()), Err(refused), "{action:?}");
    }
    w.weight(1.0).unwrap();
    w.because(Action::SetWeight { weight: percent(10.0) }, true).unwrap();
    assert!((w.place().2 - 10.0).abs() < f64::EPSILON, "overridden with a reason");
    w.back("v41").unwrap();
    assert_eq!(w.place().0, "reverted");
}
