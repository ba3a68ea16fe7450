//! A small world around a [`Life`]: a router and instances that do what is wanted, or do not, and
//! gates that say what the test says.

mod both;
mod freezing;
mod lives;
mod properties;
mod refusals;
mod returning;
mod standing;
mod strategies;
mod suspect;
mod tasks;
mod telling;

use super::{
    life::{TaskSeen, TaskState},
    *,
};
use crate::model::{
    action::{Action, Belief, Refusal},
    digest::Digest,
    gate::{Arm, Evidence, GateState, Verdict},
    ident::{Key, Rev, RunId, TargetId, VersionId},
    ratio::Weight,
    signal::{Sample, SignalId},
    spec::ServiceSpec,
    text::Raw,
    time::{Time, after},
    tried::Answer,
};
use std::{collections::BTreeMap, time::Duration};

/// 5 %, 30 s, gate, 25 %, a person, gate, 50 %: seven steps.
const PLAN: &str = r#"
name = "checkout"
listen = "127.0.0.1:8080"
command = ["./serve"]
readiness = { path = "/ready" }
instances = 2
keep = 3
keep_warm = "10m"
bake = "0s"
steps = [{ weight = 5 }, { pause = "30s" }, { gate = "all" }, { weight = 25 }, { pause = "manual" }, { gate = ["errors"] }, { weight = 50 }]
deadline = { ready = "2m" }
[[gate]]
name = "errors"
signal = "errors"
[[gate]]
name = "slow"
signal = "slow"
on_fail = "advise"
"#;

struct World {
    life: Life,
    now: Time,
    seen: Observed,
    gates: Vec<GateState>,
    /// Whether the router follows.
    routed: bool,
    /// Instances that get ready, by version label.
    ready: BTreeMap<String, u32>,
    notes: Vec<Note>,
    runs: u32,
    spec: ServiceSpec,
    /// Whether instances that are no longer wanted take their time to end.
    lingers: bool,
    /// How the task of a step stands.
    task: Option<(usize, TaskState, Vec<Text>)>,
}

fn version(label: &str) -> VersionId {
    VersionId::new(label)
}

fn percent(p: f64) -> Weight {
    Weight::from_percent(p).unwrap()
}

fn spec(plan: &str) -> ServiceSpec {
    toml::from_str(plan).unwrap()
}

fn pass() -> Verdict {
    Verdict::Pass { why: "0.20<=1.20 % (n 1,204)".into() }
}

fn fail(who: Arm) -> Verdict {
    Verdict::Fail { who, why: "12.30>5.00 % (n 1,204)".into() }
}

fn wait() -> Verdict {
    Verdict::Wait { missing: "340 requests".into(), eta: Some(Duration::from_secs(17)) }
}

fn blind() -> Verdict {
    Verdict::Blind { why: "counters are stale".into() }
}

impl World {
    fn new(plan: &str) -> Self {
        Self {
            life: Life::default(),
            now: Time::UNIX_EPOCH + chrono::Duration::hours(3),
            seen: Observed::default(),
            gates: Vec::new(),
            routed: true,
            ready: BTreeMap::new(),
            notes: Vec::new(),
            runs: 0,
            spec: spec(plan),
            lingers: false,
            task: None,
        }
    }

    /// With v41 stable and v42 being started.
    fn canary(plan: &str) -> Self {
        let mut world = Self::new(plan);
        world.deploy("v41").unwrap();
        world.ready("v41", 2);
        world.pass(601);
        assert_eq!(world.serving(), Some("v41"));
        world.deploy("v42").unwrap();
        world.notes.clear();
        world
    }

    fn deployed(&self, label: &str) -> Deployed {
        let artifact = Digest::of(label.as_bytes());
        Deployed { id: version(label), generation: 0, artifact, label: label.into(), revision: None, spec: self.spec.clone(), at: self.now }
    }

    /// As [`Self::canary`], with more instances than two and v42 ready to be started.
    fn stable(plan: &str, instances: u32) -> Self {
        let mut world = Self::new(plan);
        world.deploy("v41").unwrap();
        world.ready("v41", instances);
        world.pass(601);
        world.notes.clear();
        world
    }

    fn replace(&mut self, label: &str) -> Result<(), Refusal> {
        let new = NewRun { id: self.fresh(), candidate: self.deployed(label), by: "cem".into(), now: self.now };
        let seen = self.seen.clone();
        self.notes.extend(self.life.replace(new, &seen)?);
        self.settle();
        Ok(())
    }

    /// Instances wanted of each version, by label.
    fn counts(&self) -> Vec<(String, u32)> {
        let wanted = self.life.wanted();
        let count = |d: &Deployed| wanted.instances.get(&d.pool()).copied().unwrap_or(d.spec.instances);
        wanted.pools.iter().map(|d| (d.label.to_string(), count(d))).collect()
    }

    /// The host dies and finds what it wrote; nothing of it runs any more.
    fn crash(&mut self) {
        let written = serde_json::to_string(&self.life).unwrap();
        self.life = serde_json::from_str(&written).unwrap();
        self.seen = Observed::default();
        self.gates.clear();
        self.notes.extend(self.life.recover(self.now, &"a restart of the host".into()));
        self.settle();
    }

    fn fresh(&mut self) -> RunId {
        self.runs += 1;
        RunId::new(format!("r{}", self.runs))
    }

    fn deploy(&mut self, label: &str) -> Result<(), Refusal> {
        let new = NewRun { id: self.fresh(), candidate: self.deployed(label), by: "ana".into(), now: self.now };
        self.notes.extend(self.life.deploy(new)?);
        self.settle();
        Ok(())
    }

    fn ready(&mut self, label: &str, ready: u32) {
        self.ready.insert(label.into(), ready);
        self.settle();
    }

    /// Every gate says this, on evidence since this weight converged.
    fn gates(&mut self, verdict: &Verdict) {
        let run = self.life.run.as_ref().unwrap();
        let since = run.converged.unwrap_or(self.now);
        let sample = Sample::Counts { hits: 0.0, of: 0.0 };
        self.gates = run
            .candidate
            .spec
            .gates
            .iter()
            .map(|g| GateState {
                id: g.name.clone(),
                signal: SignalId::Errors,
                rule: "".into(),
                on_fail: g.on_fail(),
                verdict: verdict.clone(),
                since: self.now,
                evidence: Some(Evidence { candidate: sample, stable: sample, limit: Some(5.0), since, ..Evidence::default() }),
            })
            .collect();
        self.settle();
    }

    /// The machine does what is wanted and the conductor sees it, until nothing moves.
    fn settle(&mut self) {
        for _ in 0..100 {
            let wanted = self.life.wanted();
            if self.routed {
                self.seen.programmed = Some((wanted.candidate.clone(), wanted.weight));
            }
            let ready = |d: &Deployed| self.ready.get(d.label.as_str()).copied().unwrap_or_default();
            let pool = |d: &Deployed| {
                let desired = wanted.instances.get(&d.pool()).copied().unwrap_or(d.spec.instances);
                PoolSeen { pool: d.pool(), desired, ready: ready(d).min(desired), trouble: None }
            };
            let before = std::mem::take(&mut self.seen.pools);
            self.seen.pools = wanted.pools.iter().map(pool).collect();
            let leaving = before.into_iter().filter(|p| self.lingers && !wanted.pools.iter().any(|d| d.pool() == p.pool));
            self.seen.pools.extend(leaving.map(|p| PoolSeen { desired: 0, ready: 0, ..p }));
            if let (Some(task), Some((step, state, evidence))) = (&wanted.task, &self.task)
                && task.step == *step
            {
                let seen = TaskSeen {
                    run: task.run.clone(),
                    step: task.step,
                    since: task.since,
                    state: state.clone(),
                    took: Duration::from_millis(1_200),
                    answers: vec![Answer {
                        instance: None,
                        passed: matches!(state, TaskState::Done(_)),
                        result: "".into(),
                        took: Duration::from_millis(900),
                        lines: evidence.clone(),
                    }],
                };
                self.seen.tasks = vec![seen];
            }
            let before = self.life.clone();
            self.notes.extend(self.life.advance(&self.seen, &self.gates, self.now));
            if self.life == before {
                return;
            }
        }
        panic!("never comes to rest: {:?}", self.life);
    }

    fn pass(&mut self, seconds: u64) {
        self.now = after(self.now, Duration::from_secs(seconds));
        self.settle();
    }

    fn belief(&self) -> Belief {
        self.life.belief(Key { target: TargetId::new("demo"), scope: Vec::new(), service: Raw::new("checkout"), uid: None })
    }

    fn order(&mut self, action: Action) -> Ordered {
        let fresh = self.fresh();
        Ordered { action, belief: self.belief(), by: "ben".into(), reason: None, force: false, switch_only: false, fresh }
    }

    fn give(&mut self, ask: &Ordered) -> Result<(), String> {
        let before = self.life.clone();
        match self.life.act(ask, &self.seen, &self.gates, self.now) {
            Ok(acted) => self.notes.extend(acted.notes),
            Err(refusal) => {
                assert_eq!(self.life, before, "a refusal changes nothing");
                return Err(format!("{}: {refusal}", refusal.word()));
            }
        }
        self.settle();
        Ok(())
    }

    fn act(&mut self, action: Action) -> Result<(), String> {
        let ask = self.order(action);
        self.give(&ask)
    }

    fn because(&mut self, action: Action, force: bool) -> Result<(), String> {
        let ask = Ordered { reason: Some("seen it before".into()), force, ..self.order(action) };
        self.give(&ask)
    }

    fn back(&mut self, to: &str) -> Result<(), String> {
        self.act(Action::Back { to: version(to) })
    }

    fn weight(&mut self, p: f64) -> Result<(), String> {
        self.act(Action::SetWeight { weight: percent(p) })
    }

    fn run(&self) -> &Run {
        self.life.run.as_ref().unwrap()
    }

    fn serving(&self) -> Option<&str> {
        self.life.stable.as_ref().map(|s| s.label.as_str())
    }

    /// State, current step counted from 1, declared percent.
    fn place(&self) -> (&str, usize, f64) {
        (self.run().word(), self.run().step + 1, self.life.wanted().weight.percent())
    }

    fn pools(&self) -> Vec<String> {
        self.life.wanted().pools.iter().map(|d| format!("{}.{}", d.label, d.generation)).collect()
    }

    fn view(&self) -> Telling {
        self.life.view(&self.seen, &self.gates, self.now)
    }

    /// What happens next, in seconds if that is known, and who moves.
    fn next(&self) -> String {
        let next = self.view().next;
        let at = next.at.map(|at| format!(" in {} s", (at - self.now).num_seconds())).unwrap_or_default();
        format!("{}{at} [{}]", next.what, next.by)
    }

    fn said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes).iter().map(|n| format!("{}: {}", n.by, n.what)).collect()
    }
}
