use super::{Urgency, Urgent, sentence, urgency};
use crate::model::{
    back::{How, Proof, WayBack},
    gate::{Arm, GateState, Verdict},
    ident::{GateId, Key, Rev, Role, RunId, TargetId, VersionId},
    instance::{Instance, InstanceState, Pool},
    ratio::Weight,
    rollout::{Attention, Bad, Freeze, Hold, Known, Next, Phase, Rollout, Seen, Standing},
    signal::SignalId,
    spec::{OnFail, Strategy},
    step::StepAt,
    text::Raw,
    time::Time,
    version::{Share, Track, Version},
};
use std::{collections::BTreeMap, time::Duration};

fn at(time: &str) -> Time {
    format!("2026-03-04T{time}:00Z").parse().unwrap()
}

fn version() -> Version {
    Version {
        id: VersionId::new("v41"),
        label: "v41".into(),
        revision: None,
        parts: vec![],
        config: None,
        back_unsafe: None,
        measured_as: None,
    }
}

fn rollout(phase: Phase) -> Rollout {
    let pool = Pool { desired: 2, ready: 2, ..Pool::default() };
    let stable = Track {
        role: Role::Stable,
        slot: None,
        version: version(),
        pools: vec![pool],
        share: Share::default(),
        signals: BTreeMap::new(),
        about: None,
        preview: None,
    };
    Rollout {
        key: Key { target: TargetId::new("t"), scope: vec![], service: Raw::new("web"), uid: None },
        run: Some(RunId::new("1")),
        strategy: Strategy::Canary,
        phase,
        reason: None,
        started: None,
        holds: vec![],
        attention: None,
        tracks: vec![stable],
        steps: vec![],
        at: Some(StepAt { index: 0, since: at("14:00"), ends: None }),
        next: Next::default(),
        gates: vec![],
        verdict: None,
        bad: None,
        back: WayBack { to: None, how: How::Switch, checks: vec![], measured: None, then: None },
        proof: None,
        last: None,
        findings: vec![],
        frozen: None,
        versions: vec![],
        present: vec![],
        analyses: vec![],
        experiments: vec![],
        tried: Vec::new(),
        alone: None,
        decided: Vec::new(),
        owner: None,
        template: None,
        measured: None,
        marks: Vec::new(),
        names: BTreeMap::new(),
        seen: Seen { epoch: 1, rev: Rev(1), server_time: at("14:30"), fresh_for: Duration::from_secs(1) },
    }
}

/// What it is and since when, with this change.
fn of(phase: Phase, change: impl FnOnce(&mut Rollout)) -> String {
    let mut rollout = rollout(phase);
    change(&mut rollout);
    sentence(&urgency(&rollout, None), at("14:34"))
}

fn manual(since: &str) -> Hold {
    serde_json::from_value(serde_json::json!({ "kind": "manual", "by": "ana", "since": at(since) })).unwrap()
}

#[test]
fn what_the_source_says_comes_first() {
    for (kind, said) in [
        ("waiting", "waiting for you since 14:02 (32 m)"),
        ("failing", "failing since 14:02 (32 m)"),
        ("stuck", "stuck since 14:02 (32 m)"),
        ("a word of tomorrow", "running since 14:00 (34 m)"),
    ] {
        let attention = Some(Attention { kind: kind.into(), since: at("14:02") });
        assert_eq!(of(Phase::Progressing, |r| r.attention = attention), said);
    }
}

#[test]
fn without_it_phase_and_holds_tell() {
    assert_eq!(of(Phase::Idle, |_| {}), "nothing deployed");
    assert_eq!(of(Phase::Failed, |_| {}), "failing since 14:00 (34 m)");
    assert_eq!(of(Phase::Reverting, |_| {}), "running since 14:00 (34 m)");
    assert_eq!(of(Phase::Unknown("odd".into()), |_| {}), "stuck since 14:00 (34 m)");
    assert_eq!(of(Phase::Completed, |_| {}), "healthy since 14:00 (34 m)");
    assert_eq!(of(Phase::Completed, |r| r.at = None), "healthy");
    let back = How::Already { since: at("14:10") };
    assert_eq!(of(Phase::Reverted, |r| r.back.how = back), "healthy since 14:10 (24 m)");
    let bad = Bad { since: at("14:20"), failed: 1, per_second: 0.0, gates: vec![] };
    assert_eq!(of(Phase::Held, |r| r.bad = Some(bad)), "failing since 14:20 (14 m)");
    let pause = |until| Hold::Step { since: at("14:31"), until };
    assert_eq!(of(Phase::Held, |r| r.holds = vec![pause(None)]), "waiting for you since 14:31 (3 m)");
    assert_eq!(of(Phase::Held, |r| r.holds = vec![pause(Some(at("14:40")))]), "running since 14:00 (34 m)");
    let backend = Hold::Backend { since: at("14:01"), reason: "1/2 ready".into() };
    assert_eq!(of(Phase::Held, |r| r.holds = vec![backend.clone()]), "stuck since 14:01 (33 m)");
    assert_eq!(of(Phase::Held, |r| r.holds = vec![backend, manual("14:33")]), "waiting for you since 14:33 (1 m)", "the worst of two");
    let freeze = Freeze { by: "ana".into(), reason: "x".into(), since: at("14:05"), until: None };
    assert_eq!(of(Phase::Completed, |r| r.frozen = Some(freeze)), "healthy since 14:00 (34 m)", "a freeze needs nobody");
}

#[test]
fn at_rest_its_instances_and_its_bake_tell() {
    let down = |at_least: u32| {
        move |r: &mut Rollout| {
            let instance = |id: &str, state, since: &str| {
                let json = serde_json::json!({ "id": id, "state": state, "since": at(since) });
                serde_json::from_value::<Instance>(json).unwrap()
            };
            r.tracks[0].pools[0].ready = at_least;
            r.tracks[0].pools[0].instances =
                vec![instance("1", InstanceState::Ready, "09:00"), instance("2", InstanceState::BackOff, "14:33")];
        }
    };
    assert_eq!(of(Phase::Completed, down(1)), "stuck since 14:33 (1 m)");
    assert_eq!(of(Phase::Completed, down(0)), "failing since 14:33 (1 m)");
    assert_eq!(of(Phase::Completed, |r| r.tracks.clear()), "failing");
    let bakes = |r: &mut Rollout| r.versions = vec![known(Standing::Baking { until: at("15:00") })];
    assert_eq!(of(Phase::Completed, bakes), "baking since 14:00 (34 m)");
    assert_eq!(of(Phase::Reverted, bakes), "healthy since 14:00 (34 m)", "what was gone back to is not the newest");
    assert_eq!(of(Phase::Completed, |r| r.versions = vec![known(Standing::Good)]), "healthy since 14:00 (34 m)");
    assert_eq!(of(Phase::Progressing, bakes), "running since 14:00 (34 m)");
    let other = |r: &mut Rollout| {
        bakes(r);
        r.versions[0].version.id = VersionId::new("v40");
    };
    assert_eq!(of(Phase::Completed, other), "healthy since 14:00 (34 m)", "only what has the traffic bakes");
}

/// What has nothing that serves is neither healthy nor merely baking, whoever says so.
#[test]
fn no_instance_is_worse_than_any_standing() {
    for phase in [Phase::Completed, Phase::Reverted] {
        for attention in [None, Some(Attention { kind: "baking".into(), since: at("14:02") })] {
            let none = |r: &mut Rollout| {
                r.attention.clone_from(&attention);
                r.tracks[0].pools[0].ready = 0;
                r.versions = vec![known(Standing::Baking { until: at("15:00") })];
            };
            assert_eq!(of(phase.clone(), none), "failing", "{phase:?} {attention:?}");
        }
    }
    let said = Some(Attention { kind: "baking".into(), since: at("14:02") });
    assert_eq!(of(Phase::Completed, |r| r.attention = said), "baking since 14:02 (32 m)");
}

#[test]
fn a_gate_that_failed_and_is_not_advice_needs_somebody() {
    let failed = |on_fail| GateState {
        id: GateId::new("errors"),
        signal: SignalId::Errors,
        rule: "at most 5 %".into(),
        on_fail,
        verdict: Verdict::Fail { who: Arm::Candidate, why: "9 %".into() },
        since: at("14:12"),
        evidence: None,
    };
    assert_eq!(of(Phase::Progressing, |r| r.gates = vec![failed(OnFail::Hold)]), "failing since 14:12 (22 m)");
    assert_eq!(of(Phase::Progressing, |r| r.gates = vec![failed(OnFail::Advise)]), "running since 14:00 (34 m)", "advice is no failure");
    assert_eq!(of(Phase::Reverting, |r| r.gates = vec![failed(OnFail::Hold)]), "running since 14:00 (34 m)", "it goes back");
    let backend = Hold::Backend { since: at("14:01"), reason: "1/2 ready".into() };
    assert_eq!(of(Phase::Progressing, |r| r.holds = vec![backend]), "running since 14:00 (34 m)", "it may still become ready");
}

#[test]
fn back_is_not_over_until_it_is_safe() {
    let proof = |safe: Option<&str>| Proof {
        left: version(),
        asked: at("14:20"),
        programmed: Weight::ZERO.into(),
        last_request: None,
        requests_after: 0,
        in_flight: 0,
        upgraded: 0,
        safe_at: None,
        safe_since: safe.map(at),
        unproved_since: None,
        missing: vec![],
    };
    assert_eq!(of(Phase::Reverted, |r| r.proof = Some(proof(None))), "running since 14:20 (14 m)");
    assert_eq!(of(Phase::Reverted, |r| r.proof = Some(proof(Some("14:21")))), "healthy since 14:00 (34 m)");
    let silent = || Proof { unproved_since: Some(at("14:21")), ..proof(None) };
    assert_eq!(of(Phase::Reverted, |r| r.proof = Some(silent())), "unproved since 14:21 (13 m)", "neither under way for ever nor healthy");
}

fn known(standing: Standing) -> Known {
    Known { version: version(), standing, proven: Duration::ZERO, error_ratio: None, until: None, available: true }
}

#[test]
fn staleness_hides_nothing_worse() {
    let stale = |phase, change: fn(&mut Rollout)| {
        let mut r = rollout(phase);
        change(&mut r);
        sentence(&urgency(&r, Some(at("14:30"))), at("14:34"))
    };
    assert_eq!(stale(Phase::Completed, |_| {}), "stale since 14:30 (4 m)");
    assert_eq!(stale(Phase::Progressing, |_| {}), "stale since 14:30 (4 m)");
    assert_eq!(stale(Phase::Held, |r| r.holds = vec![manual("14:02")]), "waiting for you since 14:02 (32 m)");
}

#[test]
fn the_most_urgent_first_and_of_equals_the_oldest() {
    let one = |how, since: Option<&str>| Urgency { how, since: since.map(at) };
    let mut all: Vec<Urgency> = Urgent::ALL.into_iter().rev().map(|how| one(how, None)).collect();
    all.extend([one(Urgent::Waiting, Some("14:20")), one(Urgent::Waiting, Some("14:10"))]);
    all.sort();
    assert_eq!(all[..3], [one(Urgent::Waiting, Some("14:10")), one(Urgent::Waiting, Some("14:20")), one(Urgent::Waiting, None)]);
    assert_eq!(all[2..].iter().map(|u| u.how).collect::<Vec<_>>(), Urgent::ALL);
    let words = "waiting failing stuck stale baking running unproved healthy idle";
    assert_eq!(Urgent::ALL.map(Urgent::word).join(" "), words);
}

#[test]
fn another_day_is_named() {
    let since = |text: &str| Urgency { how: Urgent::Waiting, since: Some(text.parse().unwrap()) };
    let said = |text: &str| sentence(&since(text), at("01:30"));
    assert_eq!(said("2026-03-03T23:59:00Z"), "waiting for you since 03-03 23:59 (1 h)");
    assert_eq!(said("2026-03-01T01:00:00Z"), "waiting for you since 03-01 01:00 (3 d)");
    assert_eq!(said("2026-03-04T01:29:52Z"), "waiting for you since 01:29 (8 s)");
    assert_eq!(said("2026-03-04T02:00:00Z"), "waiting for you since 02:00 (0 s)", "a clock that went back");
}
