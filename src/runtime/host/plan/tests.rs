use super::{
    facts::{percent, seconds},
    plan,
};
use crate::{
    model::{
        action::{Action, Plan, Refusal},
        back::{Check, CheckState, How, Measured, WayBack},
        digest::Digest,
        failed::Failed,
        gate::{Arm, Evidence, GateState, Verdict},
        ident::{ActionId, GateId, Key, Rev, Role, RunId, TargetId, VersionId},
        instance::Pool,
        ratio::{Ratio, Weight},
        rollout::{Bad, Freeze, Hold, Known, Next, Phase, Rollout, Seen, Standing},
        signal::{Sample, SignalId},
        spec::{OnFail, Strategy},
        step::{Gates, Pause, Step, StepAt, StepSpec},
        text::Raw,
        time::Time,
        version::{Share, Track, Version},
        wire::ActionRequest,
    },
    runtime::Ask,
};
use chrono::DateTime;
use proptest::prelude::*;
use std::{collections::BTreeMap, time::Duration};

pub fn at(time: &str) -> Time {
    DateTime::parse_from_rfc3339(&format!("2026-01-01T{time}Z")).unwrap().to_utc()
}

fn w(bp: u16) -> Weight {
    Weight::from_bp(bp).unwrap()
}

fn track(role: Role, label: &str, weight: Weight, ready: u32) -> Track {
    let version = Version {
        id: VersionId::new(format!("id-{label}")),
        label: label.into(),
        revision: None,
        parts: vec![],
        config: None,
        back_unsafe: None,
        measured_as: None,
    };
    let pool = Pool { desired: 4, ready, ..Pool::default() };
    let share =
        Share { declared: Some(weight.into()), programmed: Some(weight.into()), seen: None, basis: "requests".into(), sticky: false };
    Track { role, slot: None, preview: None, version, pools: vec![pool], share, signals: BTreeMap::new(), about: None }
}

/// v42 replaces v41: 5 %, gate, 33.33 %, gate, pause, 50 %, pause; it waits at step 3 with 33.33 %.
pub fn rollout() -> Rollout {
    let spec = [
        StepSpec::Weight(w(500)),
        StepSpec::Gate(Gates::All),
        StepSpec::Weight(w(3333)),
        StepSpec::Gate(Gates::Named(vec![GateId::new("errors")])),
        StepSpec::Pause(Pause::Manual),
        StepSpec::Weight(w(5000)),
        StepSpec::Pause(Pause::For(Duration::from_secs(30))),
    ];
    let tracks = vec![track(Role::Stable, "v41", w(6667), 4), track(Role::Candidate, "v42", w(3333), 4)];
    Rollout {
        key: Key { target: TargetId::new("t"), scope: vec![], service: Raw::new("checkout"), uid: None },
        run: Some(RunId::new("r1")),
        strategy: Strategy::Canary,
        phase: Phase::Progressing,
        reason: None,
        started: None,
        holds: vec![],
        attention: None,
        back: WayBack { to: Some(tracks[0].version.clone()), how: How::Switch, checks: vec![], measured: None, then: None },
        tracks,
        steps: spec.into_iter().map(|spec| Step { label: spec.label(2), spec }).collect(),
        at: Some(StepAt { index: 2, since: at("03:00:00"), ends: None }),
        next: Next::default(),
        gates: vec![],
        verdict: None,
        bad: None,
        proof: None,
        last: None,
        findings: vec![],
        frozen: None,
        versions: Vec::new(),
        present: Vec::new(),
        analyses: Vec::new(),
        experiments: Vec::new(),
        tried: Vec::new(),
        alone: None,
        decided: Vec::new(),
        owner: None,
        template: None,
        measured: None,
        marks: Vec::new(),
        names: BTreeMap::new(),
        seen: Seen { epoch: 1, rev: Rev(9), server_time: at("03:12:09"), fresh_for: Duration::from_secs(1) },
    }
}

fn gate(name: &str, verdict: Verdict) -> GateState {
    GateState {
        id: GateId::new(name),
        signal: SignalId::Errors,
        rule: "at most stable + 1 pp".into(),
        on_fail: OnFail::Hold,
        verdict,
        since: at("03:00:00"),
        evidence: None,
    }
}

fn fail(who: Arm) -> Verdict {
    Verdict::Fail { who, why: "9.00 % > 1.00 %".into() }
}

fn wait() -> Verdict {
    Verdict::Wait { missing: "340 requests, 2 min".into(), eta: None }
}

fn manual() -> Hold {
    by_hand(None)
}

fn by_hand(weight: Option<Weight>) -> Hold {
    Hold::Manual { by: "ben".into(), since: at("02:14:00"), weight }
}

/// Ana stopped the line for the peak hour.
pub fn freeze() -> Freeze {
    Freeze { by: "ana".into(), reason: "peak hour".into(), since: at("02:14:00"), until: Some(at("06:00:00")) }
}

/// v42 is new, v41 good, v40 tainted, v39 left, v38 gone, v37 good.
pub fn versions() -> Vec<Known> {
    let known = |label: &str, standing| Known {
        version: Version { config: Some(Digest::of(b"config")), ..track(Role::Stable, label, Weight::ZERO, 0).version },
        standing,
        proven: Duration::from_secs(26 * 3600),
        error_ratio: Some(0.000_2),
        until: None,
        available: label != "v38",
    };
    vec![
        known("v42", Standing::Unproven),
        known("v41", Standing::Good),
        known("v40", Standing::Tainted { by: "ana".into(), reason: "leaks memory".into() }),
        known("v39", Standing::Left { reason: "errors FAIL".into() }),
        known("v38", Standing::Good),
        known("v37", Standing::Good),
    ]
}

pub fn ask(action: Action) -> Ask {
    Ask { action, id: ActionId::new("a1"), name: Some("ana".into()), reason: None, force: false, switch_only: false }
}

fn back() -> Action {
    Action::Back { to: VersionId::new("id-v41") }
}

fn changed(change: impl FnOnce(&mut Rollout)) -> Rollout {
    let mut rollout = rollout();
    change(&mut rollout);
    rollout
}

/// The title, or the reason why not.
fn said(action: Action, change: impl FnOnce(&mut Rollout)) -> String {
    match plan(&changed(change), &ask(action)) {
        Ok(plan) => plan.title.to_string(),
        Err(refusal) => format!("{}: {refusal}", refusal.word()),
    }
}

fn planned(action: Action, change: impl FnOnce(&mut Rollout)) -> Plan {
    plan(&changed(change), &ask(action)).unwrap()
}

fn weights(plan: &Plan) -> Vec<String> {
    plan.weights.iter().map(|s| format!("{} {} → {}", s.version, s.before, s.after)).collect()
}

#[test]
fn the_way_back_says_how_and_what_it_does() {
    let plan = planned(back(), |_| {});
    assert_eq!(plan.title.as_str(), "BACK by switch");
    assert_eq!(weights(&plan), ["v41 66.67 % → 100 %", "v42 33.33 % → 0 %"]);
    assert_eq!(plan.notes[0].as_str(), "4 of 4 instances of v41 ready");
    assert_eq!(plan.notes[1].as_str(), "4 instances of v42 finish their requests and end");
    assert!(plan.takes.is_none() && plan.warns.is_empty());
    let plan = planned(back(), |r| r.back.measured = Some(Measured { worst: Duration::from_millis(1_940), n: 37, usual: None }));
    assert_eq!((plan.title.as_str(), plan.takes), ("BACK by switch, worst 1.9 s of 37", Some(Duration::from_millis(1_940))));
    assert_eq!(said(back(), |r| r.back.how = How::Redeploy { steps: 8 }), "BACK by re-deploy, 8 steps skipped");
}

#[test]
fn nothing_but_its_own_end_stops_the_way_back() {
    assert_eq!(said(back(), |r| r.back.how = How::Already { since: at("03:12:09") }), "already_so: already back on v41 since 03:12:09");
    assert_eq!(said(back(), |r| r.back.how = How::None { why: "v41 is gone".into() }), "not_now: v41 is gone");
    assert_eq!(said(back(), |r| r.phase = Phase::Reverting), "already_so: already on the way back to v41");
    assert_eq!(said(back(), |r| r.back.then = Some("v43".into())), "BACK by switch");
    assert!(said(Action::Back { to: VersionId::new("id-v40") }, |_| {}).starts_with("moved: the way back goes to v41"));
    let slow = Ask { switch_only: true, ..ask(back()) };
    assert!(plan(&changed(|r| r.back.how = How::Redeploy { steps: 1 }), &slow).is_err());
    assert!(plan(&rollout(), &slow).is_ok());
    for change in [
        (|r: &mut Rollout| r.gates = vec![gate("errors", fail(Arm::Candidate))]) as fn(&mut Rollout),
        |r| r.holds = vec![manual()],
        |r| r.phase = Phase::Unknown("odd".into()),
        |r| r.at = None,
        |r| r.tracks[1].pools[0].ready = 0,
        |r| r.phase = Phase::Completed,
    ] {
        assert_eq!(said(back(), change), "BACK by switch");
    }
}

#[test]
fn what_follows_a_way_back_is_called_off_by_another() {
    let goes = |r: &mut Rollout| {
        (r.phase, r.back.how) = (Phase::Reverting, How::Already { since: at("03:12:09") });
        r.back.then = Some("v43".into());
    };
    let plan = planned(back(), goes);
    assert_eq!(plan.title.as_str(), "BACK on v41, v43 is called off");
    assert_eq!(plan.notes[0].as_str(), "already on the way back to v41: it goes on");
    assert_eq!(plan.notes[1].as_str(), "v43 is not started: to have it all the same, deploy it again");
    assert_eq!((weights(&plan), plan.calls.len()), (vec!["v41 66.67 % → 100 %".to_owned(), "v42 33.33 % → 0 %".into()], 1));
    // It starts nothing, so that only a switch is wanted is no reason against it.
    assert!(super::plan(&changed(goes), &Ask { switch_only: true, ..ask(back()) }).is_ok());
    let there = planned(back(), |r| {
        goes(r);
        r.phase = Phase::Reverted;
    });
    assert_eq!(there.notes[0].as_str(), "already back on v41: it stays so");
    // Where it leads elsewhere by now, both are done at once.
    let elsewhere = planned(back(), |r| {
        goes(r);
        r.back.how = How::Redeploy { steps: 1 };
    });
    assert_eq!(elsewhere.title.as_str(), "BACK by re-deploy, 1 step skipped");
    assert!(elsewhere.notes.iter().any(|n| n.as_str() == "v43 is not started"), "{:?}", elsewhere.notes);
}

#[test]
fn the_way_back_believes_only_in_run_and_target() {
    let facts = |plan: &Plan| match &plan.calls[0].guard {
        crate::model::action::Guard::Facts(facts) => facts.iter().map(|f| format!("{}={}", f.name, f.is.as_str())).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(facts(&planned(back(), |_| {})), ["run=r1", "to=id-v41"]);
    assert_eq!(facts(&planned(Action::Pause, |_| {})), ["run=r1", "step=2", "stable=id-v41", "candidate=id-v42"]);
}

#[test]
fn the_way_back_warns_and_goes_all_the_same() {
    let both = |r: &mut Rollout| {
        let counts = |hits| Sample::Counts { hits, of: 1_000.0 };
        let evidence =
            Evidence { candidate: counts(90.0), stable: counts(41.0), limit: Some(5.0), since: at("03:00:00"), ..Evidence::default() };
        r.gates = vec![GateState { evidence: Some(evidence), ..gate("errors", fail(Arm::Both)) }];
        let check = |name: &str, state| Check { name: name.into(), state, detail: "2 of 4".into(), at: at("03:00:00") };
        r.back.checks = vec![check("instances", CheckState::Bad), check("disk", CheckState::Unknown), check("config", CheckState::Ok)];
    };
    let warns = planned(back(), both).warns;
    assert_eq!(
        warns.iter().map(|w| w.as_str()).collect::<Vec<_>>(),
        ["going back will not help: stable fails 4.1 % too", "instances: 2 of 4", "disk: not checked yet"]
    );
}

#[test]
fn pause_and_resume_are_no_toggles() {
    assert_eq!(said(Action::Pause, |_| {}), "PAUSE at 33.33 %, step 3 of 7");
    assert_eq!(said(Action::Pause, |r| r.holds = vec![manual()]), "already_so: already paused by ben 02:14");
    assert_eq!(said(Action::Resume, |r| r.holds = vec![manual()]), "RESUME: stays at 33.33 %, step 3 of 7, paused by ben 02:14");
    assert_eq!(said(Action::Resume, |r| r.at.as_mut().unwrap().index = 3), "not_now: nothing paused by hand; step skips the gate");
    assert_eq!(said(Action::Resume, |r| r.at.as_mut().unwrap().index = 4), "not_now: nothing paused by hand; step ends the pause");
    let by_hand = planned(Action::Resume, |r| {
        r.holds = vec![manual()];
        r.tracks[1].share.declared = Some(w(100).into());
        r.tracks[0].share.declared = Some(w(9900).into());
    });
    assert_eq!(weights(&by_hand), ["v41 99 % → 66.67 %", "v42 1 % → 33.33 %"], "back to the plan's weight");
}

#[test]
fn step_ends_a_pause_and_moves_traffic_only_if_a_weight_follows() {
    let step = planned(Action::Step, |r| r.at.as_mut().unwrap().index = 4);
    assert_eq!(step.title.as_str(), "STEP: 33.33 → 50 %");
    assert_eq!(step.notes[0].as_str(), "step 5 → 6 of 7 (50 %)");
    assert_eq!(weights(&step), ["v41 66.67 % → 50 %", "v42 33.33 % → 50 %"]);
    assert!(!step.needs_reason && step.belief.at == Some(4));
    assert_eq!(said(Action::Step, |_| {}), "STEP: stays at 33.33 %");
    let last = planned(Action::Step, |r| r.at.as_mut().unwrap().index = 6);
    assert_eq!((last.title.as_str(), last.notes[0].as_str()), ("STEP: 33.33 → 100 %", "step 7 was the last: it completes"));
    assert_eq!(said(Action::Step, |r| r.at.as_mut().unwrap().index = 7), "not_now: no step is left");
}

#[test]
fn step_waits_for_a_weight_to_converge() {
    assert_eq!(said(Action::Step, |r| r.tracks[1].pools[0].ready = 2), "not_now: canary 2/4 ready");
    let late = |r: &mut Rollout| r.tracks[1].share.programmed = Some(Ratio { parts: 1, whole: 20 });
    assert_eq!(said(Action::Step, late), "not_now: the router is at 5 %, not yet at 33.33 %");
    assert_eq!(said(Action::Step, |r| r.tracks[1].share.programmed = None), "not_now: the router has not confirmed 33.33 %");
}

#[test]
fn step_over_a_gate_is_a_skip_with_a_reason_and_over_a_failed_one_is_off() {
    let at_gate = |verdict: Verdict| {
        move |r: &mut Rollout| {
            r.at.as_mut().unwrap().index = 3;
            r.gates = vec![gate("errors", verdict), gate("slow", wait())];
        }
    };
    for verdict in [wait(), Verdict::Blind { why: "340 requests, 2 min".into() }] {
        let word = verdict.word();
        let skip = planned(Action::Step, at_gate(verdict));
        assert_eq!(skip.title.as_str(), "SKIP GATE errors: stays at 33.33 %", "the step waits for `errors` only");
        assert_eq!((skip.action.clone(), skip.needs_reason), (Action::SkipGate, true));
        assert_eq!(skip.notes[1].as_str(), format!("gate errors {word}: 340 requests, 2 min"));
        let sent: ActionRequest = serde_json::from_value(skip.calls[0].body.clone()).unwrap();
        assert_eq!((sent.action, sent.name.unwrap().as_str(), sent.belief.at), (Action::SkipGate, "ana", Some(3)));
    }
    assert_eq!(said(Action::Step, at_gate(Verdict::Pass { why: "fine".into() })), "STEP: stays at 33.33 %");
    let failed = at_gate(fail(Arm::Candidate));
    assert_eq!(
        said(Action::Step, failed),
        "guarded: gate errors has not passed: FAIL 9.00 % > 1.00 %; to go on all the same: cutover step --force --reason TEXT"
    );
    let failed = changed(at_gate(fail(Arm::Both)));
    let force = Ask { force: true, ..ask(Action::Step) };
    assert!(matches!(plan(&failed, &force), Err(Refusal::NotNow { why }) if why.as_str().contains("needs a reason")));
    let forced = plan(&failed, &Ask { reason: Some("known".into()), ..force }).unwrap();
    assert!(forced.needs_reason && forced.warns[0].as_str().starts_with("gate errors FAIL"));
    assert!(said(Action::SkipGate, |_| {}).starts_with("not_now: step 3 is no gate"));
}

#[test]
fn one_that_failed_and_is_blind_now_is_off_exactly_where_the_host_refuses() {
    let blind = |stands: bool| {
        move |r: &mut Rollout| {
            r.at.as_mut().unwrap().index = 3;
            r.gates = vec![gate("errors", Verdict::Blind { why: "requests absent".into() })];
            let failed = Failed { gate: GateId::new("errors"), at: at("02:32:00"), why: "worse 465:1".into(), stands };
            r.bad = Some(Bad { since: failed.at, failed: 9, per_second: 0.0, gates: vec![failed] });
        }
    };
    let since = "guarded: gate errors has not passed: failed 02:32: worse 465:1; now BLIND, has not passed since";
    for (action, verb) in [(Action::Step, "step"), (Action::Promote, "promote"), (Action::SetWeight { weight: w(5_000) }, "weight")] {
        let off = format!("{since}; to go on all the same: cutover {verb} --force --reason TEXT");
        assert_eq!(said(action.clone(), blind(true)), off);
        let reasoned = Ask { reason: Some("seen elsewhere".into()), ..ask(action.clone()) };
        assert!(plan(&changed(blind(true)), &reasoned).is_err(), "a reason alone does not get past it");
        let forced = plan(&changed(blind(true)), &Ask { force: true, ..reasoned }).unwrap();
        assert_eq!(forced.warns[0].as_str(), "gate errors failed 02:32: worse 465:1; now BLIND: requests absent", "{action:?}");
        assert!(forced.needs_reason);
    }
    let skip = planned(Action::Step, blind(false));
    assert_eq!((skip.title.as_str(), skip.needs_reason), ("SKIP GATE errors: stays at 33.33 %", true), "somebody went on over it");
    assert!(skip.notes.iter().any(|n| n.as_str().contains("failed 02:32")), "and it is said all the same: {:?}", skip.notes);
    assert!(said(Action::SetWeight { weight: w(100) }, blind(true)).starts_with("WEIGHT"), "less traffic is never off");
}

#[test]
fn where_both_are_sick_going_on_needs_a_reason_and_no_force() {
    let both = |index: usize| {
        changed(move |r: &mut Rollout| {
            r.at.as_mut().unwrap().index = index;
            let counts = |hits| Sample::Counts { hits, of: 1_000.0 };
            let evidence = Evidence { candidate: counts(90.0), stable: counts(41.0), limit: Some(1.0), ..Evidence::default() };
            r.gates = vec![GateState { evidence: Some(evidence), ..gate("errors", fail(Arm::Both)) }];
        })
    };
    let hint =
        "guarded: gate errors has not passed: FAIL 9.00 % > 1.00 %; stable is sick too, going back does not help: to go on give a reason";
    for action in [Action::Step, Action::Promote, Action::SetWeight { weight: w(5_000) }] {
        let refusal = plan(&both(4), &ask(action.clone())).unwrap_err();
        assert_eq!(format!("{}: {refusal}", refusal.word()), hint, "{action:?}");
        let with = plan(&both(4), &Ask { reason: Some("known".into()), ..ask(action) }).unwrap();
        assert!(with.needs_reason);
        assert_eq!(with.warns[0].as_str(), "gate errors FAIL: 9.00 % > 1.00 %");
        assert!(with.notes.iter().any(|n| n.as_str() == "going back will not help: stable fails 4.1 % too"), "{:?}", with.notes);
        let sent: ActionRequest = serde_json::from_value(with.calls[0].body.clone()).unwrap();
        assert!(!sent.force, "the host decides again who is sick");
    }
    // At a gate it is that gate which is skipped.
    let skip = plan(&both(3), &Ask { reason: Some("known".into()), ..ask(Action::Step) }).unwrap();
    assert_eq!((skip.title.as_str(), skip.action), ("SKIP GATE errors: stays at 33.33 %", Action::SkipGate));
    // One that blames the candidate alone is another matter.
    let mut mixed = both(4);
    mixed.gates.push(gate("slow", fail(Arm::Candidate)));
    let with = Ask { reason: Some("known".into()), ..ask(Action::Step) };
    assert!(matches!(plan(&mixed, &with), Err(Refusal::Guarded { gate, .. }) if gate.as_str() == "slow"));
    assert!(plan(&mixed, &Ask { force: true, ..with }).is_ok());
}

#[test]
fn a_stable_that_is_sick_alone_is_said() {
    let alone = |r: &mut Rollout| {
        let counts = |hits| Sample::Counts { hits, of: 1_000.0 };
        let sick = Evidence { candidate: counts(2.0), stable: counts(41.0), limit: Some(1.0), stable_over: 400.0, ..Evidence::default() };
        r.at.as_mut().unwrap().index = 4;
        r.gates = vec![GateState { evidence: Some(sick), ..gate("errors", Verdict::Pass { why: "fine".into() }) }];
    };
    let said = "going back will not help: stable fails 4.1 %";
    let step = planned(Action::Step, alone);
    assert!(!step.needs_reason && step.notes.iter().any(|n| n.as_str() == said), "{:?}", step.notes);
    assert_eq!(planned(back(), alone).warns[0].as_str(), said);
    let mut over = Evidence { limit: Some(1.0), ..Evidence::default() };
    assert!(!over.stable_is_over());
    over.stable_over_change = over.lines.change;
    assert!(over.stable_is_over(), "what begins late is seen by the change detector");
    over.limit = None;
    assert!(!over.stable_is_over(), "without a limit there is nothing to be over");
}

#[test]
fn a_gate_that_only_advises_stops_nothing() {
    let advice = |r: &mut Rollout| r.gates = vec![GateState { on_fail: OnFail::Advise, ..gate("slow", fail(Arm::Candidate)) }];
    assert_eq!(said(Action::Step, advice), "STEP: stays at 33.33 %");
}

#[test]
fn step_is_off_while_a_person_has_paused() {
    assert_eq!(said(Action::Step, |r| r.holds = vec![manual()]), "not_now: paused by ben 02:14; resume lifts it");
    let hold = || Hold::Backend { since: at("03:00:00"), reason: "split is bad: 33.33 % declared, 5 % seen".into() };
    assert_eq!(said(Action::Step, |r| r.holds = vec![hold()]), "not_now: split is bad: 33.33 % declared, 5 % seen");
}

#[test]
fn promote_says_what_it_skips() {
    let promote = planned(Action::Promote, |_| {});
    assert_eq!(promote.title.as_str(), "PROMOTE v42: 33.33 → 100 %");
    assert_eq!(promote.notes[0].as_str(), "PROMOTE skips 5 steps, 33.33 → 100 %; step = next step only");
    assert_eq!(weights(&promote), ["v41 66.67 % → 0 %", "v42 33.33 % → 100 %"]);
    assert!(planned(Action::Promote, |r| r.gates = vec![gate("errors", wait())]).needs_reason);
    assert!(said(Action::Promote, |r| r.gates = vec![gate("errors", fail(Arm::Candidate))]).starts_with("guarded:"));
    assert_eq!(said(Action::Promote, |r| r.tracks[1].pools[0].ready = 3), "not_now: canary 3/4 ready");
    assert_eq!(said(Action::Promote, |r| r.phase = Phase::Completed), "already_so: v41 is stable already");
}

#[test]
fn a_weight_is_held_and_an_increase_obeys_the_gates() {
    let set = |bp| Action::SetWeight { weight: w(bp) };
    assert_eq!(said(set(5000), |_| {}), "WEIGHT: 33.33 → 50 % and hold there");
    assert_eq!(said(set(100), |r| r.gates = vec![gate("errors", fail(Arm::Candidate))]), "WEIGHT: 33.33 → 1 % and hold there");
    assert!(said(set(5000), |r| r.gates = vec![gate("errors", fail(Arm::Candidate))]).starts_with("guarded:"));
    assert!(planned(set(5000), |r| r.gates = vec![gate("errors", wait())]).needs_reason);
    let held = |r: &mut Rollout| r.holds = vec![by_hand(Some(w(3333)))];
    assert_eq!(said(set(3333), held), "already_so: already held at 33.33 % by ben 02:14");
    assert_eq!(said(set(5000), held), "WEIGHT: 33.33 → 50 % and hold there", "what was set by hand may be set again");
    let paused = |r: &mut Rollout| r.holds = vec![by_hand(None)];
    assert_eq!(said(set(3333), paused), "WEIGHT: stays at 33.33 % and hold there");
    assert_eq!(said(set(5000), paused), "not_now: paused by ben 02:14; resume lifts it");
    assert_eq!(said(set(100), paused), "WEIGHT: 33.33 → 1 % and hold there", "less is always allowed");
}

#[test]
fn retry_only_after_the_end() {
    assert_eq!(said(Action::Retry, |_| {}), "not_now: the run goes on; revert goes back first");
    assert_eq!(said(Action::Retry, |r| r.phase = Phase::Reverted), "RETRY v42 from step 1");
    assert_eq!(said(Action::Retry, |r| r.phase = Phase::Reverting), "not_now: traffic is on its way back");
    assert!(said(Action::Retry, |r| r.phase = Phase::Completed).starts_with("not_now: the run is completed"));
}

#[test]
fn figures_are_never_rounded_to_nothing() {
    assert_eq!([0.0, 0.000_01, 0.000_4, 0.041, 1.0].map(percent), ["0.00 %", "<0.01 %", "0.04 %", "4.1 %", "100.0 %"]);
    assert_eq!([1, 90, 400, 1_940, 40_000].map(|ms| seconds(Duration::from_millis(ms))), ["1 ms", "90 ms", "0.4 s", "1.9 s", "40 s"]);
}

mod fleet;

proptest! {
    /// Whatever the rollout is like: no panic, weights before and after sum to 100 %, and the way back
    /// is planned whenever there is one.
    #[test]
    fn any_rollout(index in 0usize..10, bp in 0u16..=10_000, ready in 0u32..6, phase in 0usize..8, verdict in 0usize..5, hold in any::<bool>(), frozen in any::<bool>(), strategy in 0usize..4, verb in 0usize..12) {
        let strategies = [Strategy::Canary, Strategy::BlueGreen, Strategy::Rolling, Strategy::Recreate];
        let phases = [Phase::Idle, Phase::Progressing, Phase::Held, Phase::Reverting, Phase::Reverted, Phase::Completed, Phase::Failed, Phase::Unknown("x".into())];
        let r = changed(|r| {
            r.phase = phases[phase].clone();
            r.at = (index < 9).then_some(StepAt { index, since: at("03:00:00"), ends: None });
            r.tracks[0].share.declared = Some(w(10_000 - bp).into());
            r.tracks[1].share.declared = Some(w(bp).into());
            r.tracks[1].pools[0].ready = ready;
            r.holds = if hold { vec![manual()] } else { vec![] };
            let verdicts = [fail(Arm::Candidate), fail(Arm::Both), wait(), Verdict::Blind { why: "x".into() }, Verdict::Pass { why: "x".into() }];
            r.gates = vec![gate("errors", verdicts[verdict].clone())];
            r.strategy = strategies[strategy];
            r.frozen = frozen.then(freeze);
            r.versions = versions();
        });
        let verbs = [back(), Action::Pause, Action::Resume, Action::Step, Action::Promote, Action::SetWeight { weight: w(777) }, Action::Retry,
            Action::Undo { to: VersionId::new("id-v40") }, Action::Undo { to: VersionId::new("id-v42") }, Action::Freeze { until: None }, Action::Thaw, Action::Taint { version: VersionId::new("id-v42") }];
        let planned = plan(&r, &ask(verbs[verb].clone()));
        prop_assert!(verb != 0 || r.phase == Phase::Reverting || planned.is_ok());
        if let Ok(plan) = planned {
            for side in [|s: &crate::model::action::Shift| s.before, |s: &crate::model::action::Shift| s.after] {
                prop_assert_eq!(plan.weights.iter().map(|s| u32::from(side(s).bp())).sum::<u32>(), 10_000, "{:?}", plan.weights);
            }
            prop_assert_eq!(plan.calls.len(), 1);
        }
    }
}
