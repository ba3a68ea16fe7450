//! One life of each strategy, through everything that a plan, a person and a gate can do to it.

use super::machine::{Machine, Says};
use chrono::DateTime;
use cutover::{
    conductor::{
        Deployed, Life, NewRun, Observed, Ordered, RunState,
        life::{Cause, Run},
    },
    host::state::HostState,
    model::{
        action::Action,
        digest::Digest,
        ident::{Key, RunId, TargetId, VersionId},
        ratio::Weight,
        spec::{ServiceSpec, Strategy},
        step::{Pause, StepSpec},
        text::Raw,
        time::Time,
    },
};
use std::time::Duration;

/// Looks without a change after which nothing more happens by itself: no pool has more instances.
const QUIET: usize = 6;

/// What is done to the life, in order. After each the machine and the plan come to rest.
#[derive(Clone, Debug)]
pub enum Do {
    Deploy(&'static str),
    /// In place of the run in progress.
    Replace(&'static str),
    Act(Action),
    Undo(&'static str),
    Back,
    Says(Says),
    /// Whether checks and warm-ups fail from now on.
    Refuses(bool),
    /// Seconds.
    Wait(i64),
    /// Stable serves for so long that it is good.
    Bake,
}

/// A state that is written, and the one that was in effect before.
pub struct Write {
    pub before: HostState,
    pub next: HostState,
    pub what: String,
}

const COMMON: &str = r#"
name = "web"
listen = "127.0.0.1:8080"
command = ["./serve"]
readiness = { path = "/" }
keep_warm = "10m"
bake = "1h"
"#;

/// The gates come last: they are a table of their own.
const GATES: &str = r#"
[[gate]]
name = "errors"
signal = "errors"
"#;

pub fn spec(strategy: Strategy) -> ServiceSpec {
    let own = match strategy {
        Strategy::Canary => {
            "instances = 3\nsteps = [{ scale = 1 }, { check = { http = \"/\" } }, { warm = { requests = 9 } }, { weight = 10 }, \
             { pause = \"30s\" }, { gate = \"all\" }, { scale = 2 }, { pause = \"manual\" }, { weight = 50 }, { pause = \"manual\" }]"
        }
        Strategy::BlueGreen => {
            "instances = 2\nsteps = [{ check = { http = \"/\" } }, { warm = { requests = 9 } }, { pause = \"manual\" }, \
             { gate = \"all\" }, { pause = \"manual\" }]"
        }
        Strategy::Rolling => "instances = 3\nsteps = [{ check = { http = \"/\" } }, { gate = \"all\" }, { pause = \"manual\" }]",
        Strategy::Recreate => {
            "instances = 2\nsteps = [{ check = { http = \"/\" } }, { warm = { requests = 9 } }, { gate = \"all\" }, { pause = \"manual\" }]"
        }
    };
    toml::from_str(&format!("{COMMON}strategy = \"{}\"\n{own}\n{GATES}", strategy.word())).unwrap()
}

pub fn script(strategy: Strategy) -> Vec<Do> {
    use Do::{Act, Back, Bake, Deploy, Replace, Undo, Wait};
    let says = Do::Says;
    let plan = match strategy {
        Strategy::Canary => vec![
            Wait(30),
            says(Says::Pass),
            Act(Action::Step),
            Act(Action::SetWeight { weight: Weight::from_percent(20.0).unwrap() }),
            Act(Action::Resume),
        ],
        Strategy::BlueGreen => vec![Act(Action::Step), says(Says::Pass)],
        Strategy::Rolling => vec![says(Says::Pass), Act(Action::Step)],
        Strategy::Recreate => vec![says(Says::Pass)],
    };
    let rest = vec![
        // Held, and back.
        Act(Action::Pause),
        Act(Action::Resume),
        says(Says::Fail),
        says(Says::Pass),
        Back,
        // Again, to its end, and back while the old version is warm.
        Act(Action::Retry),
        Act(Action::Promote),
        Back,
        // To its end, and back when nothing of the old version runs any more.
        Deploy("v3"),
        Act(Action::Promote),
        says(Says::Fail),
        says(Says::Pass),
        Wait(660),
        Back,
        // One after the other, and an older one again.
        Deploy("v4"),
        Replace("v5"),
        Act(Action::Promote),
        Wait(660),
        Undo("v1"),
        Back,
        // Under a freeze.
        Deploy("v6"),
        Act(Action::Freeze { until: None }),
        Back,
        Act(Action::Thaw),
    ];
    let start = vec![Deploy("v1"), Bake, Do::Refuses(true), Deploy("v2"), Do::Refuses(false), Act(Action::Retry)];
    [start, plan, rest].concat()
}

pub fn at(second: i64) -> Time {
    DateTime::from_timestamp(1_790_000_000 + second, 0).unwrap()
}

fn deployed(label: &str, strategy: Strategy) -> Deployed {
    let (spec, artifact) = (spec(strategy), Digest::of(label.as_bytes()));
    let id = spec.runtime().version("web", &artifact);
    Deployed { id, generation: 0, artifact, label: label.into(), revision: None, spec, at: at(0) }
}

/// As a person who sees this now and says why.
pub fn ordered(life: &Life, action: Action, fresh: RunId) -> Ordered {
    let key = Key { target: TargetId::new("host"), scope: Vec::new(), service: Raw::new("web"), uid: None };
    Ordered { action, belief: life.belief(key), by: "ana".into(), reason: Some("a test".into()), force: false, switch_only: false, fresh }
}

fn version(life: &Life, label: &str) -> VersionId {
    life.past.iter().find(|d| d.label.as_str() == label).unwrap_or_else(|| panic!("{label} is not remembered")).id.clone()
}

/// Lives the life and returns everything that was written, in order.
pub fn live(strategy: Strategy) -> Vec<Write> {
    let (mut machine, mut writes, mut second) = (Machine::default(), Vec::new(), 0);
    let mut effect = HostState::default();
    effect.services.entry("web".into()).or_default();
    for step in script(strategy) {
        let what = format!("{} {step:?}", strategy.word());
        let mut next = effect.clone();
        let state = next.services.get_mut("web").unwrap();
        let id = state.next_run();
        let new = |label, now| NewRun { id: id.clone(), candidate: deployed(label, strategy), by: "ana".into(), now };
        match step {
            Do::Deploy(label) => drop(state.life.deploy(new(label, at(second))).unwrap()),
            Do::Replace(label) => drop(state.life.replace(new(label, at(second)), &machine.seen()).unwrap()),
            Do::Wait(seconds) => second += seconds,
            Do::Says(says) => machine.says = says,
            Do::Refuses(refuses) => machine.refuses = refuses,
            Do::Bake => {
                let (stable, hours) = (state.life.stable.as_ref().unwrap().id.clone(), Duration::from_secs(7_200));
                state.life.served(&stable, (1_000, 1), hours, hours, at(second));
            }
            Do::Act(action) => act(&mut state.life, &machine, action, id, at(second), &what),
            Do::Undo(label) => {
                let to = version(&state.life, label);
                act(&mut state.life, &machine, Action::Undo { to }, id, at(second), &what);
            }
            Do::Back => {
                let to = state.life.way_back(&machine.seen()).unwrap();
                act(&mut state.life, &machine, Action::Back { to }, id, at(second), &what);
            }
        }
        let mut quiet = 0;
        while quiet < QUIET {
            if next == effect {
                quiet += 1;
            } else {
                quiet = 0;
                writes.push(Write { before: effect, next: next.clone(), what: what.clone() });
                effect = next.clone();
            }
            second += 1;
            let life = &mut next.services.get_mut("web").unwrap().life;
            look(life, &mut machine, at(second));
        }
    }
    writes
}

fn act(life: &mut Life, machine: &Machine, action: Action, fresh: RunId, now: Time, what: &str) {
    let (order, gates) = (ordered(life, action, fresh), machine.gates(life, now));
    life.act(&order, &machine.seen(), &gates, now).unwrap_or_else(|e| panic!("{what}: {e}: {:?}", life.run));
}

/// One look of the conductor at the machine.
pub fn look(life: &mut Life, machine: &mut Machine, now: Time) -> Observed {
    let seen = machine.look(life);
    let gates = machine.gates(life, now);
    life.advance(&seen, &gates, now);
    seen
}

/// Where a life is, in words: what the matrix is made of.
pub fn moments(life: &Life) -> Vec<&'static str> {
    let Some(run) = &life.run else { return Vec::new() };
    let mut all = Vec::new();
    match &run.state {
        RunState::Starting if run.from.is_none() => all.push("first deploy"),
        RunState::Starting if !run.ending.is_empty() => all.push("ending the old"),
        RunState::Starting => all.push("starting candidates"),
        RunState::Stepping => all.extend(stepping(run)),
        RunState::Reverting { .. } => all.push(match &run.returning {
            None => "reverting",
            Some(back) if !back.ending.is_empty() => "re-deploy: ending the new",
            Some(back) if back.serves => "re-deploy: switching",
            Some(_) => "re-deploy: starting",
        }),
        RunState::Reverted { redeployed: false, .. } => all.push("reverted"),
        RunState::Reverted { redeployed: true, .. } => all.push("re-deployed"),
        RunState::Completed { .. } if life.baking().is_some() && run.bad_since.is_some() => all.push("failing while it bakes"),
        RunState::Completed { .. } if life.baking().is_some() => all.push("baking"),
        RunState::Completed { .. } => all.push("good"),
        RunState::Failed { .. } => all.push("failed"),
    }
    let over = !run.in_progress();
    let more = [
        (run.then.is_some(), "replacing"),
        (run.is_moving() && life.past.iter().any(|d| d.id == run.candidate.id), "undo"),
        (life.warm.is_some() && over, "old warm"),
        (life.frozen.is_some(), "frozen"),
    ];
    all.extend(more.into_iter().filter_map(|(is, word)| is.then_some(word)));
    all
}

fn stepping(run: &Run) -> Vec<&'static str> {
    let batch = run.batch.as_ref();
    let mut all = vec![match run.current() {
        Some(StepSpec::Scale(_)) => "scaling",
        Some(StepSpec::Check(_)) => "checking",
        Some(StepSpec::Warm(_)) => "warming",
        Some(StepSpec::Weight(_)) => "mid-weight",
        Some(StepSpec::Gate(_)) => "waiting gate",
        Some(StepSpec::Pause(Pause::Manual)) => "manual pause",
        Some(StepSpec::Pause(Pause::For(_)) | StepSpec::Native(_)) => "timed pause",
        None if !run.all_done() => "between batches",
        None => "promoting",
    }];
    let more = [
        (batch.is_some_and(|b| b.old < b.was && !b.ready), "a batch starts"),
        (batch.is_none() && run.from.is_some() && run.weight == Weight::FULL && !run.alone(), "switched, old warm"),
        (run.manual.as_ref().is_some_and(|m| m.weight.is_none()), "paused by hand"),
        (run.manual.as_ref().is_some_and(|m| m.weight.is_some()), "weight by hand"),
        (run.stopped.as_ref().is_some_and(|s| s.cause == Cause::Gate), "stopped by a gate"),
        (run.stopped.as_ref().is_some_and(|s| s.cause == Cause::Check), "stopped by a check"),
    ];
    all.extend(more.into_iter().filter_map(|(is, word)| is.then_some(word)));
    all
}
