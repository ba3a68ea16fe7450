//! Rollouts in every condition a screen must make sense of, with awkward names and numbers.

use chrono::{DateTime, Duration as Span};
use cutover::{
    app::{
        desk::Desk,
        fleet::Fleet,
        state::{Focus, Input, Overlay, Shared, State, View, Watched},
    },
    model::{
        action::Action,
        back::{Check, CheckState, How, Measured, Proof, WayBack},
        digest::Digest,
        gate::{Arm, Decider, Evidence, GateState, Verdict},
        history::{History, Point},
        ident::{GateId, InstanceId, Key, Rev, Role, RunId, TargetId, VersionId},
        instance::{Instance, InstanceState, Pool},
        ratio::{Ratio, Weight},
        rollout::{Bad, Finding, Hold, LastAction, Next, Phase, Presence, Rollout, Seen, Started},
        signal::{Reading, Sample, Signal, SignalId, Unit},
        spec::{OnFail, Strategy},
        step::{Gates, Pause, Step, StepAt, StepSpec},
        text::Raw,
        time::Time,
        tried::{Answer, Tried},
        version::{Artifact, Part, Share, Track, Version},
    },
    panel::Panel,
    runtime::Link,
    ui::look::Look,
};
use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use std::{collections::BTreeMap, collections::VecDeque, time::Duration};

/// 2026-08-22 03:12:09.4 UTC, as on the drawings.
pub fn now() -> Time {
    DateTime::from_timestamp_millis(1_787_368_329_400).unwrap()
}

pub fn ago(seconds: i64) -> Time {
    now() - Span::seconds(seconds)
}

fn digest(start: &str) -> Digest {
    let mut bytes = [0; 32];
    for (i, byte) in bytes.iter_mut().enumerate().take(start.len() / 2) {
        *byte = u8::from_str_radix(&start[2 * i..2 * i + 2], 16).unwrap();
    }
    Digest::from_array(bytes)
}

pub fn version(label: &str, short: &str, config: u8) -> Version {
    Version {
        id: VersionId::new(format!("{short}-{config}")),
        label: label.into(),
        revision: None,
        parts: vec![Part {
            container: "".into(),
            declared: Artifact::Digest(digest(short)),
            running: Some(digest(short)),
            differs: false,
            checked: None,
            wrong: None,
        }],
        config: Some(Digest::from_array([config; 32])),
        back_unsafe: None,
        measured_as: None,
    }
}

fn signal(unit: Unit, reading: Reading) -> Signal {
    Signal { unit, window: Duration::from_secs(60), reading }
}

/// What one version does per second.
#[derive(Clone, Copy)]
pub struct Traffic {
    pub rate: f64,
    pub errors: f64,
    pub p50: f64,
    pub p99: f64,
}

fn signals(t: Traffic) -> BTreeMap<SignalId, Signal> {
    let n = (t.rate * 60.0) as u64;
    let counts = |share: f64| Reading::Fresh(Sample::Counts { hits: (share * n as f64).round(), of: n as f64 });
    let gauge = |value| Reading::Fresh(Sample::Gauge { value, n });
    BTreeMap::from([
        (SignalId::Requests, signal(Unit::PerSecond, gauge(t.rate))),
        (SignalId::Errors, signal(Unit::Ratio, counts(t.errors))),
        (SignalId::P50, signal(Unit::Millis, gauge(t.p50))),
        (SignalId::P99, signal(Unit::Millis, gauge(t.p99))),
    ])
}

pub fn track(role: Role, version: Version, weight: Weight, ready: u32, desired: u32, traffic: Traffic) -> Track {
    Track {
        role,
        slot: None,
        version,
        pools: vec![Pool { desired, ready, ..Pool::default() }],
        share: Share {
            declared: Some(weight.into()),
            programmed: Some(weight.into()),
            seen: Some(weight.into()),
            basis: "requests".into(),
            sticky: false,
        },
        signals: signals(traffic),
        about: None,
        preview: None,
    }
}

/// Ten-second points from the oldest to the newest: requests per second, errors in thousandths, p50, p99.
pub fn history(points: &[(u64, u64, f64, f64)]) -> History {
    let end = now().timestamp() / 10 * 10 + 10;
    let mut history = History::default();
    for (i, (rate, thousandths, p50, p99)) in points.iter().enumerate() {
        let at = DateTime::from_timestamp(end - 10 * (points.len() - 1 - i) as i64, 0).unwrap();
        history.tens.push_back(Point {
            at,
            secs: 10,
            requests: rate * 10,
            errors: rate * thousandths / 100,
            slow: 0,
            p50: (*rate > 0).then_some(*p50),
            p99: (*rate > 0).then_some(*p99),
        });
    }
    history
}

fn flat(traffic: Traffic) -> History {
    let one = (traffic.rate as u64, (traffic.errors * 1_000.0) as u64, traffic.p50, traffic.p99);
    history(&[one; 60])
}

pub fn gate(name: &str, signal: SignalId, verdict: Verdict) -> GateState {
    GateState {
        id: GateId::new(name),
        signal,
        rule: "not 3x stable, or under 5 %".into(),
        on_fail: OnFail::Hold,
        verdict,
        since: ago(480),
        evidence: None,
    }
}

pub fn with_evidence(mut gate: GateState, candidate: (f64, f64), stable: (f64, f64), limit: f64) -> GateState {
    let worse = candidate.0 * stable.1 > 2.0 * stable.0 * candidate.1;
    gate.evidence = Some(Evidence {
        candidate: Sample::Counts { hits: candidate.0, of: candidate.1 },
        stable: Sample::Counts { hits: stable.0, of: stable.1 },
        limit: Some(limit),
        odds: if worse { 1e6 } else { 1.0 },
        over: if candidate.0 * 100.0 > 2.0 * limit * candidate.1 { 1e6 } else { 1.0 },
        decided_by: worse.then_some(Decider::Worse),
        since: ago(600),
        ..Evidence::default()
    });
    gate
}

pub fn pass(why: &str) -> Verdict {
    Verdict::Pass { why: why.into() }
}

pub fn fail(who: Arm, why: &str) -> Verdict {
    Verdict::Fail { who, why: why.into() }
}

pub fn wait(missing: &str, eta: Option<u64>) -> Verdict {
    Verdict::Wait { missing: missing.into(), eta: eta.map(Duration::from_secs) }
}

fn weight(percent: f64) -> Weight {
    Weight::from_percent(percent).unwrap()
}

fn steps(specs: Vec<StepSpec>) -> Vec<Step> {
    specs.into_iter().map(|spec| Step { label: spec.label(3), spec }).collect()
}

fn check(name: &str, detail: &str, seconds: i64) -> Check {
    Check { name: name.into(), state: CheckState::Ok, detail: detail.into(), at: ago(seconds) }
}

fn ready(to: &Version, how: How) -> WayBack {
    WayBack {
        to: Some(to.clone()),
        how,
        checks: vec![check("artifact", "verified", 20), check("instances", "all ready", 1), check("secrets", "unchanged", 4)],
        measured: Some(Measured { usual: Some(Duration::from_millis(40)), worst: Duration::from_millis(210), n: 12 }),
        then: None,
    }
}

fn seen() -> Seen {
    Seen { epoch: 1, rev: Rev(42), server_time: now(), fresh_for: Duration::from_secs(1) }
}

pub fn key(target: &str, scope: &[&str], service: &str) -> Key {
    Key { target: TargetId::new(target), scope: scope.iter().map(|s| Raw::new(*s)).collect(), service: Raw::new(service), uid: None }
}

const GOOD: Traffic = Traffic { rate: 180.0, errors: 0.0, p50: 4.2, p99: 18.0 };
const CANARY: Traffic = Traffic { rate: 20.0, errors: 0.0, p50: 4.3, p99: 18.5 };

/// Histories of a rollout's versions, flat unless given.
pub type Pasts = BTreeMap<VersionId, History>;

/// A canary at 10 %, all well.
pub fn healthy() -> (Rollout, Pasts) {
    let (v41, v42) = (version("v41", "9f2c41aa0b11", 1), version("v42", "77ab04c1d203", 1));
    let stable = track(Role::Stable, v41.clone(), weight(90.0), 2, 2, GOOD);
    let canary = track(Role::Candidate, v42.clone(), weight(10.0), 2, 2, CANARY);
    let pasts = BTreeMap::from([(v41.id.clone(), flat(GOOD)), (v42.id.clone(), flat(CANARY))]);
    let rollout = Rollout {
        key: key("demo", &[], "checkout"),
        run: Some(RunId::new("7f3a")),
        strategy: Strategy::Canary,
        phase: Phase::Progressing,
        reason: None,
        started: Some(Started { by: "ana".into(), at: ago(95) }),
        holds: vec![Hold::Step { since: ago(4), until: Some(ago(-26)) }],
        attention: None,
        tracks: vec![stable, canary],
        steps: steps(vec![
            StepSpec::Weight(weight(10.0)),
            StepSpec::Pause(Pause::For(Duration::from_secs(30))),
            StepSpec::Gate(Gates::All),
            StepSpec::Weight(weight(50.0)),
            StepSpec::Pause(Pause::Manual),
        ]),
        at: Some(StepAt { index: 1, since: ago(4), ends: Some(ago(-26)) }),
        next: Next { what: "gate(3)".into(), at: Some(ago(-26)), by: "plan".into() },
        gates: vec![
            with_evidence(gate("errors", SignalId::Errors, pass("0 of 1,204")), (0.0, 1_204.0), (3.0, 10_836.0), 5.0),
            with_evidence(gate("slow", SignalId::Slow, pass("1.0 % of 1,204")), (12.0, 1_204.0), (108.0, 10_836.0), 10.0),
        ],
        verdict: None,
        bad: None,
        back: ready(&v41, How::Switch),
        proof: None,
        last: Some(LastAction { by: "ana".into(), action: Action::Step, at: ago(34), effect: "step 1 → 2".into() }),
        findings: Vec::new(),
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
        seen: seen(),
    };
    (rollout, pasts)
}

/// What checks and a warm-up left: one that passed, one that failed on one of two instances.
pub fn tried() -> Vec<Tried> {
    let answer = |instance: Option<&str>, passed, result: &str, ms, lines: &[&str]| Answer {
        instance: instance.map(InstanceId::new),
        passed,
        result: result.into(),
        took: Duration::from_millis(ms),
        lines: lines.iter().map(|l| (*l).into()).collect(),
    };
    let one = |step, kind: &str, what: &str, seconds, ms, answers: Vec<Answer>, result: &str| Tried {
        step,
        kind: kind.into(),
        what: what.into(),
        since: ago(seconds),
        took: Duration::from_millis(ms),
        passed: answers.iter().all(|a| a.passed),
        result: result.into(),
        answers,
        dropped: 0,
    };
    let warm =
        answer(None, true, "200 × HTTP 200", 340, &["GET / on 2 instances in 340ms: 200 × HTTP 200", "slowest answer 41 ms, last 3 ms"]);
    let good = answer(Some("77ab04c1d203.2-1"), true, "exit code 0", 210, &["schema 7 found"]);
    let bad = answer(
        Some("77ab04c1d203.2-2"),
        false,
        "exit code 1",
        1_240,
        &["connecting to the \u{1b}[31mdatabase", "schema 7 is missing: run the migration first"],
    );
    let why = "77ab04c1d203.2-2: exit code 1";
    vec![
        one(0, "warm", "GET /", 190, 340, vec![warm], "200 requests: 200 × HTTP 200"),
        one(1, "check", "./selftest", 61, 1_250, vec![good, bad], why),
    ]
}

/// Errors rise; the gate has just failed and holds.
pub fn rising() -> (Rollout, Pasts) {
    let (mut r, mut pasts) = healthy();
    let sick = Traffic { rate: 20.0, errors: 0.231, p50: 4.6, p99: 41.0 };
    r.tracks[1].signals = signals(sick);
    let points: Vec<_> = (0..60_u64).map(|i| (20, i.saturating_sub(40) * 15, 4.4, 18.0 + i as f64 / 2.0)).collect();
    pasts.insert(r.tracks[1].version.id.clone(), history(&points));
    r.phase = Phase::Held;
    r.gates[0] =
        with_evidence(gate("errors", SignalId::Errors, fail(Arm::Candidate, "23.10 % > 5.00 %")), (278.0, 1_204.0), (3.0, 10_836.0), 5.0);
    r.gates[1].verdict = wait("340 requests", Some(120));
    r.holds = vec![Hold::Gate { gate: GateId::new("errors"), since: ago(41), reason: "23.10 % > 5.00 %".into() }];
    r.at = Some(StepAt { index: 1, since: ago(70), ends: None });
    r.next = Next { what: "held by gate errors: nothing moves by itself".into(), at: None, by: "a person".into() };
    r.bad = Some(Bad { since: ago(41), failed: 189, per_second: 4.59, gates: vec![] });
    (r, pasts)
}

/// Paused by a person, over a gate that waits.
pub fn paused() -> (Rollout, Pasts) {
    let (mut r, pasts) = healthy();
    r.phase = Phase::Held;
    r.gates[0].verdict = wait("340 requests", Some(17));
    r.holds = vec![
        Hold::Gate { gate: GateId::new("errors"), since: ago(10), reason: "340 requests".into() },
        Hold::Manual { by: "ben (ops@bastion-3)".into(), since: ago(3_480), weight: None },
    ];
    r.at = Some(StepAt { index: 2, since: ago(10), ends: None });
    r.next = Next { what: "paused by ben 02:14: c resumes; gates still go back".into(), at: None, by: "a person".into() };
    r.last = Some(LastAction { by: "ben (ops@bastion-3)".into(), action: Action::Pause, at: ago(3_480), effect: "".into() });
    (r, pasts)
}

/// Both versions fail: going back does not help.
pub fn both_sick() -> (Rollout, Pasts) {
    let (mut r, mut pasts) = rising();
    r.tracks[0].signals = signals(Traffic { errors: 0.21, ..GOOD });
    pasts.insert(r.tracks[0].version.id.clone(), flat(Traffic { errors: 0.21, ..GOOD }));
    r.gates[0] =
        with_evidence(gate("errors", SignalId::Errors, fail(Arm::Both, "both over 5 %")), (278.0, 1_204.0), (2_276.0, 10_836.0), 5.0);
    r.next = Next { what: "stable is sick too: going back does not help; s goes on with a reason".into(), at: None, by: "a person".into() };
    r.bad = Some(Bad { since: ago(41), failed: 189, per_second: 0.42, gates: vec![] });
    (r, pasts)
}

/// Stable alone is over the limit; the candidate is not shown to be.
pub fn stable_sick() -> (Rollout, Pasts) {
    let (mut r, mut pasts) = healthy();
    r.tracks[0].signals = signals(Traffic { errors: 0.21, ..GOOD });
    pasts.insert(r.tracks[0].version.id.clone(), flat(Traffic { errors: 0.21, ..GOOD }));
    r.gates[0] = with_evidence(r.gates[0].clone(), (3.0, 1_204.0), (2_276.0, 10_836.0), 5.0);
    if let Some(evidence) = &mut r.gates[0].evidence {
        evidence.stable_over = 4e8;
    }
    (r, pasts)
}

/// The signals of the candidate are old, absent and contradictory.
pub fn blind() -> (Rollout, Pasts) {
    let (mut r, mut pasts) = healthy();
    let last = Sample::Gauge { value: 20.0, n: 1_200 };
    let signals = &mut r.tracks[1].signals;
    signals.insert(SignalId::Requests, signal(Unit::PerSecond, Reading::Stale { last, age: Duration::from_secs(41) }));
    signals.insert(SignalId::Errors, signal(Unit::Ratio, Reading::Absent));
    signals.insert(SignalId::P50, signal(Unit::Millis, Reading::Absent));
    signals.insert(SignalId::P99, signal(Unit::Millis, Reading::Contradictory(last, Sample::Gauge { value: 3.0, n: 9 })));
    if let Some(history) = pasts.get_mut(&r.tracks[1].version.id) {
        history.tens.truncate(56);
    }
    r.tracks[1].share.seen = None;
    r.phase = Phase::Held;
    r.gates[0].verdict = Verdict::Blind { why: "errors of canary absent for 41 s".into() };
    r.gates[0].evidence = None;
    r.holds = vec![Hold::Gate { gate: GateId::new("errors"), since: ago(41), reason: "blind".into() }];
    r.next = Next { what: "held by gate errors BLIND: nothing moves by itself".into(), at: None, by: "a person".into() };
    r.findings = vec![
        Finding { kind: "drift".into(), what: "bin/server of v42 changed on disk; no new instance starts from it".into(), since: ago(300) },
        Finding { kind: "disk".into(), what: "slow".into(), since: ago(30) },
    ];
    (r, pasts)
}

/// Candidate instances are started; no traffic yet.
pub fn starting() -> (Rollout, Pasts) {
    let (mut r, mut pasts) = healthy();
    let canary = &mut r.tracks[1];
    canary.share = Share {
        declared: Some(Weight::ZERO.into()),
        programmed: Some(Weight::ZERO.into()),
        seen: Some(Weight::ZERO.into()),
        basis: "requests".into(),
        sticky: false,
    };
    canary.pools[0].ready = 1;
    canary.pools[0].restarts = 1;
    canary.pools[0].instances = vec![instance("v42-2", InstanceState::BackOff, "exit code 1", 12)];
    for id in [SignalId::Errors, SignalId::P50, SignalId::P99, SignalId::Requests] {
        canary.signals.get_mut(&id).unwrap().reading = Reading::ZeroTraffic;
    }
    r.tracks[0].share = Share {
        declared: Some(Weight::FULL.into()),
        programmed: Some(Weight::FULL.into()),
        seen: Some(Weight::FULL.into()),
        basis: "requests".into(),
        sticky: false,
    };
    pasts.remove(&r.tracks[1].version.id);
    r.gates[0].verdict = wait("candidate traffic", None);
    r.gates[1].verdict = wait("candidate traffic", None);
    r.gates.iter_mut().for_each(|g| g.evidence = None);
    r.holds = vec![Hold::Backend { since: ago(14), reason: "canary 1/2 ready: exit code 1".into() }];
    r.at = Some(StepAt { index: 0, since: ago(14), ends: None });
    r.next = Next { what: "10 % when all are ready: canary 1/2 ready: exit code 1".into(), at: None, by: "plan".into() };
    (r, pasts)
}

fn instance(id: &str, state: InstanceState, reason: &str, seconds: i64) -> Instance {
    Instance {
        id: InstanceId::new(id),
        state,
        since: ago(seconds),
        created: None,
        pid: Some(4_711),
        port: Some(40_001),
        restarts: 1,
        reason: Some(reason.into()),
        in_flight: 0,
        node: None,
        parts: Vec::new(),
        usage: None,
        sick: None,
    }
}

/// The first version ever: no stable beside it.
pub fn first_deploy() -> (Rollout, Pasts) {
    let (mut r, pasts) = starting();
    r.tracks.remove(0);
    r.gates.clear();
    r.steps.clear();
    r.at = None;
    r.holds = vec![Hold::Backend { since: ago(14), reason: "canary 1/2 ready: exit code 1".into() }];
    r.next = Next { what: "100 % when all are ready".into(), at: None, by: "plan".into() };
    r.back = WayBack {
        to: None,
        how: How::None { why: "first version: there is none to go back to".into() },
        checks: Vec::new(),
        measured: None,
        then: None,
    };
    r.last = None;
    (r, pasts)
}

/// Nothing was ever deployed.
pub fn idle() -> (Rollout, Pasts) {
    let (mut r, _) = first_deploy();
    r.tracks.clear();
    r.holds.clear();
    r.steps.clear();
    r.run = None;
    r.started = None;
    r.at = None;
    r.phase = Phase::Idle;
    r.next = Next { what: "nothing is deployed".into(), at: None, by: "nobody".into() };
    r.back.how = How::None { why: "nothing was ever deployed".into() };
    (r, BTreeMap::new())
}

fn reverted() -> (Rollout, Pasts) {
    let (mut r, pasts) = rising();
    r.bad = None;
    r.phase = Phase::Reverted;
    r.reason = Some("by ana".into());
    r.at = None;
    r.holds.clear();
    r.tracks[0].share = Share {
        declared: Some(Weight::FULL.into()),
        programmed: Some(Weight::FULL.into()),
        seen: Some(Ratio { parts: 9_997, whole: 10_000 }),
        basis: "requests".into(),
        sticky: false,
    };
    r.tracks[1].share = Share {
        declared: Some(Weight::ZERO.into()),
        programmed: Some(Weight::ZERO.into()),
        seen: Some(Ratio { parts: 3, whole: 10_000 }),
        basis: "requests".into(),
        sticky: false,
    };
    r.gates.iter_mut().for_each(|g| g.verdict = pass("no traffic to judge"));
    r.next = Next { what: "nothing by itself; t retries v42".into(), at: None, by: "a person".into() };
    r.last = Some(LastAction {
        by: "ana".into(),
        action: Action::Back { to: VersionId::new("v41") },
        at: ago(3),
        effect: "v42 33.33 → 0 %".into(),
    });
    r.proof = Some(Proof {
        left: r.tracks[1].version.clone(),
        asked: ago(3),
        programmed: Ratio { parts: 0, whole: 10_000 },
        last_request: Some(now() - Span::milliseconds(2_950)),
        requests_after: 0,
        in_flight: 2,
        upgraded: 41,
        safe_at: Some(ago(-27)),
        safe_since: None,
        unproved_since: None,
        missing: vec!["41 websockets open on v42".into(), "2 requests in flight on v42".into(), "27 s without a request".into()],
    });
    (r, pasts)
}

/// The router has not confirmed the way back.
pub fn reverting() -> (Rollout, Pasts) {
    let (mut r, pasts) = reverted();
    r.phase = Phase::Reverting;
    r.tracks[1].share.programmed = Some(weight(10.0).into());
    let proof = r.proof.as_mut().unwrap();
    proof.programmed = Ratio { parts: 1_000, whole: 10_000 };
    proof.safe_at = None;
    proof.missing = vec!["router not confirmed yet".into()];
    r.next = Next { what: "the router takes the canary to 0 %".into(), at: None, by: "plan".into() };
    (r, pasts)
}

/// Back, and the proof is running.
pub fn proving() -> (Rollout, Pasts) {
    reverted()
}

/// Back, and safe.
pub fn safe() -> (Rollout, Pasts) {
    let (mut r, pasts) = reverted();
    r.last.as_mut().unwrap().at = ago(50);
    let proof = r.proof.as_mut().unwrap();
    proof.asked = ago(50);
    proof.safe_at = None;
    proof.safe_since = Some(ago(45));
    proof.in_flight = 0;
    proof.upgraded = 0;
    proof.missing.clear();
    (r, pasts)
}

/// Back, and no request has come that would prove it.
pub fn unproved() -> (Rollout, Pasts) {
    let (mut r, pasts) = safe();
    let proof = r.proof.as_mut().unwrap();
    proof.unproved_since = proof.safe_since.take();
    proof.missing = vec!["no traffic since the switch: silence proves nothing".into()];
    r.next = Next { what: "nothing by itself; t retries v42; proved by the first request".into(), ..r.next };
    (r, pasts)
}

/// Promoted; the old instances are kept warm.
pub fn completed() -> (Rollout, Pasts) {
    let (mut r, pasts) = healthy();
    r.phase = Phase::Completed;
    r.holds.clear();
    r.tracks[0].role = Role::Superseded;
    r.tracks[0].share.declared = Some(Weight::ZERO.into());
    r.tracks[0].share.programmed = Some(Weight::ZERO.into());
    r.tracks[0].share.seen = Some(Weight::ZERO.into());
    r.tracks[1].role = Role::Stable;
    r.tracks[1].share.declared = Some(Weight::FULL.into());
    r.tracks[1].share.programmed = Some(Weight::FULL.into());
    r.tracks[1].share.seen = Some(Weight::FULL.into());
    r.tracks.swap(0, 1);
    r.at = None;
    r.next = Next { what: "v41 is torn down".into(), at: Some(ago(-525)), by: "plan".into() };
    r.last = Some(LastAction { by: "ana".into(), action: Action::Promote, at: ago(75), effect: "skipped 3 steps".into() });
    (r, pasts)
}

/// The candidate could not be started, and the way back is not whole.
pub fn failed() -> (Rollout, Pasts) {
    let (mut r, pasts) = starting();
    r.phase = Phase::Failed;
    r.reason = Some("canary missed its deadline of 2m: exit code 127, command not found".into());
    r.holds.clear();
    r.tracks[1].pools[0].ready = 0;
    r.tracks[1].pools[0].restarts = 7;
    r.tracks[0].pools[0].ready = 1;
    r.back.checks[1] = Check { name: "instances".into(), state: CheckState::Bad, detail: "1 of 2 ready".into(), at: ago(2) };
    r.back.checks[2].state = CheckState::Unknown;
    r.next = Next { what: "held: deadline missed; t retries".into(), at: None, by: "a person".into() };
    (r, pasts)
}

/// No signal has any data yet, on either side.
pub fn no_data() -> (Rollout, Pasts) {
    let (mut r, _) = healthy();
    for track in &mut r.tracks {
        track.signals.clear();
        track.pools.clear();
        track.share = Share::default();
    }
    r.gates.iter_mut().for_each(|g| {
        g.evidence = None;
        g.verdict = Verdict::Blind { why: "no data yet".into() };
    });
    r.back.checks.clear();
    r.back.measured = None;
    (r, BTreeMap::new())
}

/// Names that are long, wide, alike, and not clean; three tracks.
pub fn awkward_names() -> (Rollout, Pasts) {
    let (mut r, _) = rising();
    r.key =
        key("生產環境-region-東京-1", &["payments\u{1b}[2J", "platform"], "checkout-order-orchestration-service-with-a-very-long-name-2");
    for (track, label) in r
        .tracks
        .iter_mut()
        .zip(["release-2026.08.14-hotfix-of-the-payment-gateway-time-out-00-1", "发布-2026年八月-支付网关-超时修复\u{202e}-2"])
    {
        track.version.label = label.into();
        track.version.parts[0].declared = Artifact::Tag("latest-from-the-branch\nof ana".into());
    }
    r.holds = vec![
        Hold::Gate { gate: GateId::new("錯誤率-錯誤率-錯誤率-錯誤率-錯誤率"), since: ago(41), reason: "x".into() },
        Hold::Backend { since: ago(3), reason: "router \u{7}silent".into() },
    ];
    r.gates[0].id = GateId::new("錯誤率-錯誤率-錯誤率-錯誤率-錯誤率");
    r.next = Next {
        what: "held by gate 錯誤率-錯誤率-錯誤率-錯誤率-錯誤率 and a very long explanation of it: nothing moves by itself".into(),
        at: None,
        by: "a person".into(),
    };
    r.started = Some(Started { by: "somebody-with-a-long-name@bastion-3".into(), at: ago(400_000) });
    r.last = Some(LastAction {
        by: "somebody-with-a-long-name@bastion-3".into(),
        action: Action::SetWeight { weight: weight(12.5) },
        at: ago(8),
        effect: "10 → 12.5 %".into(),
    });
    let mut third = r.tracks[0].clone();
    third.role = Role::Superseded;
    third.version = version("v40", "00aa00aa00aa", 1);
    r.tracks.push(third);
    (r, BTreeMap::new())
}

/// The rollout of the two drawings.
pub fn drawn() -> (Rollout, Pasts) {
    let (mut r, _) = healthy();
    let (old, new) = (version("2026.08.14-hotfix.3", "9f2c41aa0b11", 1), version("2026.08.21-rc.11", "77ab04c1d203", 2));
    let left = Traffic { rate: 1_204_339.0, errors: 0.0021, p50: 12_041.0, p99: 18_204.0 };
    let right = Traffic { rate: 602_169.0, errors: 1.0, p50: 12_043.0, p99: 24_510.0 };
    let mut stable = track(Role::Stable, old.clone(), weight(66.67), 1_188, 1_200, left);
    let mut canary = track(Role::Candidate, new.clone(), weight(33.33), 412, 600, right);
    stable.pools[0].restarts = 12;
    canary.pools[0].restarts = 128;
    canary.pools[0].instances = vec![instance("api-412", InstanceState::BackOff, "OOMKilled", 125)];
    let requests = [
        (150, 100),
        (500, 150),
        (500, 300),
        (700, 500),
        (700, 600),
        (800, 600),
        (800, 600),
        (900, 600),
        (900, 600),
        (950, 600),
        (1_000, 600),
        (1_100, 600),
        (1_200, 600),
        (1_204, 602),
    ];
    let errors = [1, 10, 90, 200, 350, 600, 800, 900, 990, 1_000, 1_000, 1_000, 1_000, 1_000];
    let p99 = [
        (12., 12.),
        (13., 13.),
        (14., 16.),
        (18., 17.),
        (13., 18.),
        (12., 20.),
        (13., 24.),
        (14., 24.),
        (12., 24.),
        (13., 25.),
        (18., 24.),
        (13., 24.),
        (12., 24.),
        (14., 24.5),
    ];
    let course = |side: usize| {
        let points: Vec<_> = (0..14)
            .map(|i| {
                let rate = if side == 0 { requests[i].0 } else { requests[i].1 } * 1_000;
                let wrong = if side == 0 { 2 } else { errors[i] };
                (rate, wrong, 12_041.0, if side == 0 { p99[i].0 } else { p99[i].1 } * 1_000.0)
            })
            .collect();
        history(&points)
    };
    let pasts = BTreeMap::from([(old.id.clone(), course(0)), (new.id.clone(), course(1))]);
    r.key = key("prod-eu-west-1", &["payments-platform"], "checkout-order-orchestration-service-api");
    r.started = Some(Started { by: "ana".into(), at: ago(1_869) });
    r.phase = Phase::Held;
    r.tracks = vec![stable, canary];
    r.steps = steps(vec![
        StepSpec::Weight(weight(1.0)),
        StepSpec::Pause(Pause::For(Duration::from_secs(300))),
        StepSpec::Weight(weight(10.0)),
        StepSpec::Gate(Gates::All),
        StepSpec::Weight(weight(33.33)),
        StepSpec::Gate(Gates::All),
        StepSpec::Weight(weight(50.0)),
        StepSpec::Pause(Pause::Manual),
        StepSpec::Weight(Weight::FULL),
    ]);
    r.at = Some(StepAt { index: 4, since: ago(14 * 60 + 20), ends: None });
    let name = "http-5xx-ratio-by-route";
    r.holds = vec![
        Hold::Manual { by: "ben".into(), since: ago(300), weight: None },
        Hold::Gate { gate: GateId::new(name), since: ago(480), reason: "100.00 % > 1.00 %".into() },
        Hold::Backend { since: ago(60), reason: "canary 412/600 ready".into() },
    ];
    r.next = Next { what: format!("held by gate {name}: nothing moves by itself").into(), at: None, by: "a person".into() };
    r.gates = vec![
        with_evidence(
            gate(name, SignalId::Errors, fail(Arm::Candidate, "100.00 % > 1.00 %")),
            (36_130_140.0, 36_130_140.0),
            (151_747.0, 72_260_340.0),
            1.0,
        ),
        gate("saturation-cpu-and-memory", SignalId::Unavailable, Verdict::Blind { why: "no data".into() }),
        gate("p99", SignalId::P99, wait("340 requests", Some(120))),
        gate("a", SignalId::Slow, pass("ok")),
        gate("b", SignalId::Slow, pass("ok")),
        gate("c", SignalId::Slow, pass("ok")),
    ];
    r.bad = Some(Bad { since: ago(485), failed: 288_433_920, per_second: 600_904.4, gates: vec![] });
    r.back = ready(&old, How::Switch);
    r.back.measured = Some(Measured { usual: Some(Duration::from_secs(1)), worst: Duration::from_secs(2), n: 37 });
    r.last = Some(LastAction { by: "ben".into(), action: Action::Resume, at: ago(8), effect: "".into() });
    r.tracks[1].version.back_unsafe = Some("migration 0042".into());
    r.present = ["ben", "ops@bastion-3"].map(|who| Presence { who: who.into(), since: ago(600), console: who.into() }).into();
    (r, pasts)
}

/// The same with the courses of the drawing of 80 columns, which are not those of the other one.
pub fn drawn_narrow() -> (Rollout, Pasts) {
    let (r, _) = drawn();
    let requests = [(800, 500), (800, 550), (800, 600), (1_000, 600), (1_100, 600), (1_100, 600), (1_200, 600), (1_204, 602)];
    let errors = [1, 100, 200, 350, 600, 800, 990, 1_000];
    let p99 = [(12., 13.), (13., 18.), (14., 20.), (18., 19.), (13., 24.), (12., 25.), (13., 24.), (14., 24.5)];
    let side = |stable: bool| {
        let points = (0..8).map(|i| match stable {
            true => (requests[i].0 * 1_000, 2, 12_041.0, p99[i].0 * 1_000.0),
            false => (requests[i].1 * 1_000, errors[i], 12_043.0, p99[i].1 * 1_000.0),
        });
        history(&points.collect::<Vec<_>>())
    };
    let pasts = BTreeMap::from([(r.tracks[0].version.id.clone(), side(true)), (r.tracks[1].version.id.clone(), side(false))]);
    (r, pasts)
}

/// A panel of which every row says how wide it is.
pub struct Plain;

impl Panel for Plain {
    fn id(&self) -> &'static str {
        "plain"
    }
    fn title(&self, _: &Shared) -> String {
        "failed requests".into()
    }
    fn commands(&self) -> &'static [cutover::app::state::Command] {
        &[]
    }
    fn run(&mut self, _: &str, _: &Shared) {}
    fn input(&mut self, _: &Input, _: &Shared) -> bool {
        false
    }
    fn changed(&mut self, _: &Shared) {}
    fn draw(&self, _: &Shared, _: &Look, area: Rect, buf: &mut Buffer) {
        for y in area.top()..area.bottom() {
            buf.set_stringn(
                area.x,
                y,
                format!("row {} of {}, {} wide", y - area.y + 1, area.height, area.width),
                area.width.into(),
                Style::new(),
            );
        }
    }
}

/// A state that has this rollout open.
pub fn state((rollout, history): (Rollout, Pasts)) -> State {
    let key = rollout.key.clone();
    let links = BTreeMap::from([(key.target.clone(), Link::Live { since: ago(3_600) })]);
    let watched = Watched { rollout, heard: ago(0), history, events: VecDeque::new(), failed: BTreeMap::new() };
    State {
        view: View::Rollout,
        shared: Shared { rollouts: BTreeMap::from([(key.clone(), watched)]), open: Some(key), links, ..shared() },
        ..empty()
    }
}

fn shared() -> Shared {
    Shared {
        now: now(),
        uptime: Duration::from_secs(60),
        skews: BTreeMap::new(),
        links: BTreeMap::new(),
        rollouts: BTreeMap::new(),
        open: None,
        logs: VecDeque::new(),
        logs_dropped: 0,
    }
}

/// A state that knows nothing.
pub fn empty() -> State {
    State {
        desk: Desk::default(),
        view: View::Fleet,
        fleet: Fleet::default(),
        targets: BTreeMap::new(),
        shared: shared(),
        look: Look::FULL,
        size: (80, 24),
        panels: vec![Box::new(Plain)],
        panel: 0,
        focus: Focus::Rollout,
        overlay: Overlay::None,
        notice: None,
        following: Vec::new(),
        read_only: false,
    }
}
