//! The stories of the demo as a console that joins near their ends shows them: recorded from real runs,
//! every figure and word as the host told it (`tests/console/record.rs`).

use super::{HUGE, NARROW, ROOMY, paint, rows, shoot};
use crate::fixtures::empty;
use cutover::{
    app::{
        msg::{Msg, Planner},
        state::{State, View},
        update::update,
    },
    model::{
        action::{Observation, Plan, Refusal},
        delta::Delta,
        ident::TargetId,
        rollout::Rollout,
        time::Time,
    },
    panel,
    runtime::{Ask, Link},
};
use std::{fs, io::Read, path::Path};

/// Plans nothing.
struct Nobody;

impl Planner for Nobody {
    fn plan(&self, _: &Rollout, _: &Ask) -> Result<Plan, Refusal> {
        Err(Refusal::NotNow { why: "nobody plans here".into() })
    }
    fn confirm(&self, _: &Plan, _: &Rollout) -> Observation {
        Observation::Pending { missing: "everything".into() }
    }
}

fn recorded(name: &str) -> Vec<Delta> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/stories").join(format!("{name}.jsonl.gz"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a console knows once it heard all of it.
fn story(name: &str) -> State {
    let target = TargetId::new("demo");
    let mut state = empty();
    state.panels = panel::all();
    let mut now: Option<Time> = None;
    let deltas = recorded(name);
    let first = deltas.iter().find_map(|d| if let Delta::Init { server_time, .. } = d { Some(*server_time) } else { None }).unwrap();
    let tell = |state: &mut State, msg: Msg, now: Time| {
        let uptime = state.shared.uptime;
        update(state, msg, now, uptime, &Nobody);
    };
    tell(&mut state, Msg::Link(target.clone(), Link::Live { since: first }), first);
    for delta in deltas {
        match &delta {
            Delta::Apply { rollout } => now = now.max(Some(rollout.seen.server_time)),
            Delta::Heartbeat { server_time, .. } => now = now.max(Some(*server_time)),
            _ => {}
        }
        tell(&mut state, Msg::Delta(target.clone(), delta), now.unwrap_or(first));
    }
    if let [only] = state.shared.rollouts.keys().cloned().collect::<Vec<_>>().as_slice() {
        state.shared.open = Some(only.clone());
        state.view = View::Rollout;
    }
    tell(&mut state, Msg::Frame, now.unwrap_or(first));
    state
}

/// Each story with words that its end must show, also at 80x24.
const ENDS: [(&str, &[&str]); 18] = [
    ("fleet", &["5 rollouts", "waiting", "failing", "stuck"]),
    ("errors", &["HELD gate errors", "FAIL errors", "BAD"]),
    ("healthy", &["waits for gate errors", "v42"]),
    ("both-sick", &["BOTH bad", "going back will not help"]),
    ("p99", &["HELD gate latency", "FAIL latency"]),
    ("crash-loop", &["exit code 78", "HELD"]),
    ("blue-green", &["HELD pause until a person steps", "preview"]),
    ("rolling", &["ROLLING"]),
    ("recreate", &["RECREATE"]),
    ("leak", &["exit code 137", "found  leak: v42 grew ", "stable flat"]),
    ("sick-instance", &["found  sick: ", " of v42: ", " % errors, its siblings 0."]),
    ("never-ready", &["HELD", "0/2"]),
    ("delayed-crash", &["✗ COMPLETED: fails while it bakes", "rst exit code", "FAIL", "BACK   READY"]),
    ("flaky", &["v42"]),
    ("cold-start", &["v42", "p99"]),
    ("unsafe-migration", &["UNSAFE"]),
    ("rush-hour", &["v42"]),
    ("auto-revert", &["REVERTED", "SAFE"]),
];

#[test]
fn every_story_near_its_end() {
    let mut missing = Vec::new();
    for (name, words) in ENDS {
        let state = story(name);
        let narrow = rows(&paint(&state, 80, 24)).join("\n");
        missing.extend(words.iter().filter(|word| !narrow.contains(**word)).map(|word| format!("{name} does not say {word:?}:\n{narrow}")));
        shoot(&format!("story_{name}"), &state, NARROW);
        shoot(&format!("story_{name}"), &state, ROOMY);
    }
    shoot("story_fleet", &story("fleet"), HUGE);
    assert!(missing.is_empty(), "{}", missing.join("\n\n"));
}
