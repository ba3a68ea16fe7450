//! Recordings of a real controller as the console shows them at a chosen moment, with the keys and reasons that the
//! console itself derives. Everything that is written here was read by a person.

use super::{NARROW, ROOMY, keep, rows, whole::paint};
use crate::{
    argo::recorded::{Play, data, scenarios},
    fixtures::empty,
};
use cutover::{
    app::{
        msg::{Msg, Planner},
        state::{Place, State, View},
        update::update,
    },
    model::{
        action::{Observation, Plan, Refusal},
        delta::Delta,
        ident::{Rev, TargetId},
        rollout::Rollout,
    },
    panel,
    runtime::{Ask, Link, argo::watch::Objects},
};
use std::{collections::BTreeSet, path::Path};

/// Plans nothing: the target is read-only.
struct Nobody;

impl Planner for Nobody {
    fn plan(&self, _: &Rollout, _: &Ask) -> Result<Plan, Refusal> {
        Err(Refusal::ReadOnly)
    }
    fn confirm(&self, _: &Plan, _: &Rollout) -> Observation {
        Observation::Pending { missing: "everything".into() }
    }
}

/// What a console knows that has looked on from the start to this second, with a rollout and a panel open.
fn console(dir: &Path, t: f64, open: &str, panel: &str) -> State {
    let mut play = Play::new(dir);
    for at in 0..play.changes.len() {
        if play.changes[at].t <= t {
            play.play(at);
        }
    }
    let (target, now) = (TargetId::new("prod"), play.time(t));
    let mut state = empty();
    state.panels = panel::all();
    state.targets.insert(target.clone(), Place { read_only: true, ..Place::default() });
    let tell = |state: &mut State, msg: Msg| drop(update(state, msg, now, state.shared.uptime, &Nobody));
    tell(&mut state, Msg::Link(target.clone(), Link::Live { since: play.time(0.0) }));
    let mut deltas = vec![Delta::Init { version: 1, epoch: 1, server_time: now }];
    for name in play.names() {
        let mut rollout = play.project(&name, t);
        rollout.key.target = target.clone();
        let events = play.store.events(&name, 0);
        let key = rollout.key.clone();
        deltas.push(Delta::Apply { rollout: Box::new(rollout) });
        deltas.push(Delta::Events { key, events });
    }
    deltas.push(Delta::InitDone { rev: Rev(1) });
    for delta in deltas {
        tell(&mut state, Msg::Delta(target.clone(), delta));
    }
    let key = state.shared.rollouts.keys().find(|k| k.service.as_str() == open).cloned();
    assert!(key.is_some(), "{}: no {open} at {t}", dir.display());
    state.shared.open = key;
    state.view = View::Rollout;
    state.panel = state.panels.iter().position(|p| p.id() == panel).unwrap();
    tell(&mut state, Msg::Frame);
    state
}

/// Scenario, second, what is open, which panel, and words that must stand there also at 80x24.
type Moment = (&'static str, f64, &'static str, &'static str, &'static [&'static str]);

const MOMENTS: [Moment; 37] = [
    (
        "01-canary-manual-steps",
        9.0,
        "demo",
        "instances",
        &["step 4/6 at 40 %", "pause, 19s left", "BACK   READY, 3 of 5 ready, 2 are started"],
    ),
    ("02-canary-abort-retry", 14.5, "demo", "versions", &["REVERTED", "already back on v1"]),
    ("03-canary-full-promote", 6.0, "demo", "findings", &["NOT READY", "full promotion is pending"]),
    ("04-canary-manual-pause-resume", 20.0, "demo", "findings", &["HELD by ", "clocks run"]),
    ("05-bluegreen-manual", 6.5, "demo", "artifact", &["BLUE/GREEN", "pause until a person steps", "preview"]),
    ("05-bluegreen-manual", 17.0, "demo", "artifact", &["REVERTED", "goes live at once", "scale-down of v3 by itself"]),
    ("06-bluegreen-autopromote-seconds", 10.0, "demo", "instances", &["pause, 7s left", "switch of the active service by itself"]),
    ("07-analysis-success", 7.0, "demo", "analyses", &["analysis web", "ends it"]),
    ("08-analysis-failed-abort", 16.5, "demo", "analyses", &["REVERTED", "Failed"]),
    ("09-analysis-inconclusive", 6.5, "demo", "analyses", &["inconclusive", "2 unclear"]),
    ("10-background-analysis", 6.0, "demo", "analyses", &["background", "pause, 5s left"]),
    ("12-invalid-spec", 8.0, "demo", "findings", &["FAILED", "InvalidSpec"]),
    ("13-crashloop-and-pullfail", 10.0, "demo", "instances", &["CrashLoopBackOff"]),
    ("13-crashloop-and-pullfail", 28.0, "demo", "instances", &["CrashLoopBackOff after OOMKilled"]),
    ("13-crashloop-and-pullfail", 72.0, "demo", "findings", &["FAILED", "ProgressDeadlineExceeded"]),
    ("14-experiment-step", 10.0, "demo", "analyses", &["experiment", "Running"]),
    ("15-workloadRef-deployment", 7.0, "demo", "events", &["CANARY step 2/2"]),
    ("16-rollbackWindow-fast-rollback", 12.0, "demo", "versions", &["BACK"]),
    ("18-scaled-to-zero", 14.0, "demo", "instances", &["BACK"]),
    ("20-deleted-while-watching", 2.5, "demo", "events", &["demo"]),
    ("21-trafficRouting", 7.0, "demo", "instances", &["BACK   READY 5/5"]),
    ("21-trafficRouting", 41.65, "demo", "findings", &["the router still sends traffic"]),
    ("23-race-lost-promote", 30.0, "demo", "findings", &["promote sent", "not noticed by the controller"]),
    ("26-race-lost-undo-bluegreen", 20.0, "demo", "findings", &["spec changed", "not noticed by the controller"]),
    ("26-race-lost-undo-bluegreen", 46.0, "demo", "findings", &["is it?"]),
    ("h-bgretry", 45.0, "demo", "artifact", &["REVERTED", "retry"]),
    ("h-conflict", 2.5, "demo", "artifact", &["COMPLETED"]),
    ("h-expinc", 12.0, "demo", "findings", &["experiments made so far"]),
    ("h-expinc", 14.6, "demo", "analyses", &["5 experiments"]),
    ("h-meta", 10.0, "demo", "instances", &["demo"]),
    ("h-pausedscale", 15.0, "demo", "findings", &["aborted while paused by hand"]),
    ("h-podtmpl", 5.0, "demo", "events", &["CANARY step 2/2"]),
    ("h-race", 9.0, "demo", "findings", &["promote sent", "not noticed"]),
    ("h-race2", 11.04, "demo", "events", &["demo"]),
    ("h-terminate", 4.5, "demo", "analyses", &["analysis web"]),
    ("h-undofull", 5.15, "demo", "findings", &["full promotion is pending"]),
    ("h-undostop", 5.1, "demo", "findings", &["NOT READY"]),
];

#[test]
fn every_scenario_at_moments_that_matter() {
    let mut missing = Vec::new();
    for (scenario, t, open, panel, words) in MOMENTS {
        let state = console(&data().join(scenario), t, open, panel);
        let narrow = rows(&paint(&state, NARROW)).join("\n");
        let lacks: Vec<_> = words.iter().filter(|word| !narrow.contains(**word)).collect();
        if !lacks.is_empty() {
            missing.push(format!("{scenario} at {t} does not say {lacks:?}:\n{narrow}"));
        }
        let name =
            format!("argo_{}_{}", scenario.split('-').take(if scenario.starts_with('h') { 2 } else { 1 }).collect::<Vec<_>>().join("-"), t);
        for size in [NARROW, ROOMY] {
            keep(&name, &paint(&state, size));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n\n"));
}

/// A scenario that is recorded later has to be looked at too.
#[test]
fn no_scenario_is_left_out() {
    let shown: BTreeSet<&str> = MOMENTS.iter().map(|(scenario, ..)| *scenario).collect();
    let all = scenarios().into_iter().filter(|dir| dir.starts_with(data()));
    let all: Vec<String> = all.map(|dir| dir.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(all.iter().map(String::as_str).collect::<BTreeSet<_>>(), shown);
}

/// Whatever the second and the size: it is drawn, and what others wrote is no command to a terminal.
#[test]
fn every_state_of_some_scenarios_can_be_drawn() {
    for scenario in ["13-crashloop-and-pullfail", "21-trafficRouting", "h-expinc"] {
        for t in [0.0, 0.3, 2.0, 5.0, 9.0, 14.0] {
            let dir = data().join(scenario);
            if Play::new(&dir).changes.iter().all(|c| c.t > t) {
                continue;
            }
            for panel in ["analyses", "artifact", "events", "findings", "instances", "versions"] {
                let state = console(&dir, t, "demo", panel);
                for size in [(40, 8), (57, 20), (80, 24), (200, 60)] {
                    let all = rows(&paint(&state, size)).concat();
                    assert!(!all.chars().any(char::is_control), "{scenario} at {t}");
                }
            }
        }
    }
}
