//! One rollout, and a planner that knows only the rules these tests need.

use super::Planner;
use crate::{
    model::{
        action::{Action, Belief, Call, Fact, Guard, Observation, Plan, Refusal, Shift},
        back::{How, WayBack},
        digest::Digest,
        gate::{GateState, Verdict},
        ident::{GateId, Key, Rev, Role, RunId, TargetId, VersionId},
        instance::{Instance, InstanceState, Pool},
        ratio::Weight,
        rollout::{Hold, Next, Phase, Rollout, Seen},
        signal::SignalId,
        spec::{OnFail, Strategy},
        step::{Gates, Pause, Step, StepAt, StepSpec},
        text::Raw,
        time::Time,
        version::{Artifact, Part, Share, Track, Version},
    },
    runtime::Ask,
};
use std::{collections::BTreeMap, time::Duration};

pub const TARGET: &str = "demo";

pub fn target() -> TargetId {
    TargetId::new(TARGET)
}

pub fn t0() -> Time {
    chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

pub fn key(service: &str) -> Key {
    Key { target: target(), scope: Vec::new(), service: Raw::new(service), uid: None }
}

pub fn version(label: &str) -> Version {
    let digest = Digest::of(label.as_bytes());
    let part = Part {
        container: "".into(),
        declared: Artifact::Digest(digest),
        running: Some(digest),
        differs: false,
        checked: None,
        wrong: None,
    };
    Version {
        id: VersionId::new(label),
        label: label.into(),
        revision: None,
        parts: vec![part],
        config: None,
        back_unsafe: None,
        measured_as: None,
    }
}

fn track(role: Role, label: &str, bp: u16) -> Track {
    let instance = |n: u32| Instance {
        id: crate::model::ident::InstanceId::new(format!("{label}-{n}")),
        state: InstanceState::Ready,
        since: t0(),
        created: None,
        pid: Some(100 + n),
        port: Some(9_000),
        restarts: 0,
        reason: None,
        in_flight: 1,
        node: None,
        parts: Vec::new(),
        usage: None,
        sick: None,
    };
    let pool = Pool { name: "".into(), desired: 2, ready: 2, instances: (0..2).map(instance).collect(), ..Pool::default() };
    let declared = Weight::from_bp(bp).map(Into::into);
    let share = Share { declared, programmed: declared, seen: declared, basis: "requests".into(), sticky: false };
    Track { role, slot: None, preview: None, version: version(label), pools: vec![pool], share, signals: BTreeMap::new(), about: None }
}

pub fn gate(verdict: Verdict) -> GateState {
    GateState {
        id: GateId::new("errors"),
        signal: SignalId::Errors,
        rule: "at most 5 %".into(),
        on_fail: OnFail::Hold,
        verdict,
        since: t0(),
        evidence: None,
    }
}

/// `checkout`: v41 to v42, at the manual pause behind 25 %, all gates passed.
pub fn rollout() -> Rollout {
    let specs = [
        StepSpec::Weight(Weight::from_bp(2_500).unwrap()),
        StepSpec::Pause(Pause::Manual),
        StepSpec::Gate(Gates::All),
        StepSpec::Weight(Weight::from_bp(5_000).unwrap()),
    ];
    Rollout {
        key: key("checkout"),
        run: Some(RunId::new("7f3a")),
        strategy: Strategy::Canary,
        phase: Phase::Held,
        reason: None,
        started: None,
        holds: vec![Hold::Step { since: t0(), until: None }],
        attention: None,
        tracks: vec![track(Role::Stable, "v41", 7_500), track(Role::Candidate, "v42", 2_500)],
        steps: specs.into_iter().map(|spec| Step { label: spec.label(1), spec }).collect(),
        at: Some(StepAt { index: 1, since: t0(), ends: None }),
        next: Next::default(),
        gates: vec![gate(Verdict::Pass { why: "0.2 % of 900".into() })],
        verdict: None,
        bad: None,
        back: WayBack { to: Some(version("v41")), how: How::Switch, checks: Vec::new(), measured: None, then: None },
        proof: None,
        last: None,
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
        seen: Seen { epoch: 1, rev: Rev(1), server_time: t0(), fresh_for: Duration::from_secs(1) },
    }
}

/// Plans as a runtime would.
pub struct Fake;

impl Planner for Fake {
    fn plan(&self, r: &Rollout, ask: &Ask) -> Result<Plan, Refusal> {
        let manual = r.holds.iter().find_map(|h| if let Hold::Manual { by, .. } = h { Some(by.clone()) } else { None });
        let verdict = r.gates.first().map(|g| &g.verdict);
        let failed = matches!(verdict, Some(Verdict::Fail { .. }));
        // A reason gets past a gate that waits, never past one that failed.
        let barred = !verdict.is_some_and(Verdict::passed) && (failed || ask.reason.is_none());
        let at_gate = r.at.and_then(|at| r.steps.get(at.index)).is_some_and(|s| matches!(s.spec, StepSpec::Gate(_)));
        let guarded = || Refusal::Guarded { gate: GateId::new("errors"), why: "9 % > 5 %".into() };
        let now =
            r.candidate().and_then(|t| t.share.programmed).and_then(|s| s.percent()).and_then(Weight::from_percent).unwrap_or(Weight::ZERO);
        let after = match &ask.action {
            Action::Pause => match manual {
                Some(by) => return Err(Refusal::AlreadySo { what: format!("already paused by {by} 02:14").into() }),
                None => now,
            },
            Action::Resume if manual.is_none() => {
                return Err(Refusal::AlreadySo { what: "nothing paused by hand; s skips the gate".into() });
            }
            Action::Step if manual.is_some() => return Err(Refusal::NotNow { why: "paused by ben, c resumes".into() }),
            Action::Step if at_gate && !verdict.is_some_and(Verdict::passed) => return Err(guarded()),
            Action::SkipGate if !at_gate => return Err(Refusal::NotNow { why: "no gate".into() }),
            Action::SkipGate | Action::Promote if barred => return Err(guarded()),
            Action::SetWeight { weight } if *weight == now => return Err(Refusal::AlreadySo { what: "it is so".into() }),
            Action::SetWeight { weight } if *weight > now && barred => return Err(guarded()),
            Action::SetWeight { weight } => *weight,
            Action::SkipGate => Weight::from_bp(5_000).unwrap(),
            Action::Promote => Weight::FULL,
            Action::Back { .. } => match &r.back.how {
                How::Already { .. } if r.back.then.is_some() => Weight::ZERO,
                How::Already { .. } => return Err(Refusal::AlreadySo { what: "already back on v41 since 03:12:09".into() }),
                How::None { why } => return Err(Refusal::NotNow { why: why.clone() }),
                _ => Weight::ZERO,
            },
            Action::Step
            | Action::Resume
            | Action::Retry
            | Action::Undo { .. }
            | Action::Freeze { .. }
            | Action::Thaw
            | Action::Taint { .. } => now,
        };
        let names =
            if matches!(ask.action, Action::Back { .. }) { &["run", "to"][..] } else { &["run", "step", "stable", "candidate"][..] };
        let facts = names.iter().map(|n| Fact { name: (*n).into(), is: Raw::new("") }).collect();
        let body = serde_json::json!({ "reason": ask.reason });
        let call = Call { verb: "POST".into(), path: Raw::new("/v1/actions"), body, guard: Guard::Facts(facts), repeatable: true };
        Ok(Plan {
            action: ask.action.clone(),
            id: ask.id.clone(),
            belief: Belief {
                key: r.key.clone(),
                run: r.run.clone(),
                rev: r.seen.rev,
                at: r.at.map(|a| a.index),
                stable: r.stable().map(|t| t.version.id.clone()),
                candidate: r.candidate().map(|t| t.version.id.clone()),
            },
            title: ask.action.verb().into(),
            calls: vec![call],
            weights: vec![Shift { version: "v42".into(), before: now, after }],
            notes: Vec::new(),
            warns: Vec::new(),
            takes: None,
            needs_reason: false,
        })
    }

    fn confirm(&self, plan: &Plan, r: &Rollout) -> Observation {
        let manual = r.holds.iter().any(|h| matches!(h, Hold::Manual { .. }));
        let so = match plan.action {
            Action::Back { .. } => r.phase == Phase::Reverted,
            Action::Pause => manual,
            Action::Resume => !manual,
            _ => r.phase == Phase::Completed,
        };
        if so { Observation::Confirmed } else { Observation::Pending { missing: "traffic".into() } }
    }
}
