//! A whole life on a disk that forgets what was not synced, cut at every operation: what the next host
//! finds still serves, and nothing moves by itself. Pure: no process is started.

use super::rig::clock;
use chrono::DateTime;
use cutover::{
    conductor::{
        NewRun, Ordered,
        life::{Deployed, Life, Observed, PoolSeen, RunState},
    },
    host::{
        slots::{FilePort, Slots},
        state::HostState,
    },
    model::{
        action::{Action, Belief},
        digest::Digest,
        ident::{Key, Rev, RunId, TargetId},
        ratio::Weight,
        spec::ServiceSpec,
        text::Raw,
        time::Time,
    },
};
use std::{
    io,
    path::Path,
    sync::{Arc, Mutex},
};

const SIZE: usize = 64 << 10;

#[derive(Clone, Default)]
struct Forgetful {
    disk: [Vec<u8>; 2],
    memory: [Vec<u8>; 2],
    /// Where and how much of it, since the last sync.
    unsynced: Vec<(usize, usize, usize)>,
    operations: usize,
    cut: Option<usize>,
}

struct Port(Arc<Mutex<Forgetful>>, usize);

impl Forgetful {
    fn blank() -> Self {
        let files = || [vec![0; SIZE], vec![0; SIZE]];
        Self { disk: files(), memory: files(), ..Self::default() }
    }

    fn operation(&mut self) -> io::Result<()> {
        self.operations += 1;
        if self.cut.is_some_and(|cut| self.operations >= cut) { Err(io::Error::other("no power")) } else { Ok(()) }
    }

    /// After the cut: of what was not synced, this share reached the disk.
    fn found(&self, eighths: usize) -> Self {
        let mut next = Self { operations: 0, cut: None, unsynced: Vec::new(), ..self.clone() };
        for &(file, from, len) in &self.unsynced {
            let reached = from..from + len * eighths / 8;
            next.disk[file][reached.clone()].copy_from_slice(&self.memory[file][reached]);
        }
        next.memory = next.disk.clone();
        next
    }
}

impl FilePort for Port {
    fn read_all(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.0.lock().unwrap().memory[self.1].clone())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        let from = usize::try_from(offset).unwrap();
        disk.memory[self.1][from..from + bytes.len()].copy_from_slice(bytes);
        disk.unsynced.push((self.1, from, bytes.len()));
        disk.operation()
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.operation()?;
        let (file, memory) = (self.1, disk.memory[self.1].clone());
        disk.disk[file] = memory;
        disk.unsynced.retain(|(other, ..)| *other != file);
        Ok(())
    }
}

fn open(disk: &Arc<Mutex<Forgetful>>) -> (Slots<HostState>, Option<HostState>) {
    let ports: [Box<dyn FilePort>; 2] = [Box::new(Port(Arc::clone(disk), 0)), Box::new(Port(Arc::clone(disk), 1))];
    let (slots, loaded) = Slots::with_ports(ports, SIZE, clock(), Path::new("/state")).unwrap();
    (slots, loaded.state)
}

fn at(second: i64) -> Time {
    DateTime::from_timestamp(1_790_000_000 + second, 0).unwrap()
}

fn spec() -> ServiceSpec {
    serde_json::from_value(serde_json::json!({
        "name": "web", "listen": "127.0.0.1:8080", "command": ["./serve"], "readiness": { "path": "/" },
        "steps": [{ "weight": 10 }, { "pause": "manual" }, { "weight": 50 }, { "pause": "manual" }], "keep_warm": "10m",
    }))
    .unwrap()
}

fn deployed(label: &str) -> Deployed {
    let (spec, artifact) = (spec(), Digest::of(label.as_bytes()));
    let id = spec.runtime().version("web", &artifact);
    Deployed { id, generation: 0, artifact, label: label.into(), revision: None, spec, at: at(0) }
}

/// A machine that is at once as wanted.
fn obedient(life: &Life) -> Observed {
    let wanted = life.wanted();
    let pool = |d: &Deployed| PoolSeen { pool: d.pool(), desired: 1, ready: 1, trouble: None };
    Observed { pools: wanted.pools.iter().map(pool).collect(), programmed: Some((wanted.candidate, wanted.weight)), ..Observed::default() }
}

/// What is done to the life, in order.
enum Do {
    Deploy(&'static str),
    Act(Action),
    Back,
}

fn script() -> Vec<Do> {
    vec![
        Do::Deploy("v1"),
        Do::Deploy("v2"),
        Do::Act(Action::Step),
        Do::Back,
        Do::Act(Action::Retry),
        Do::Act(Action::Pause),
        Do::Act(Action::Resume),
        Do::Act(Action::Step),
        Do::Act(Action::Promote),
        Do::Deploy("v3"),
        Do::Act(Action::SetWeight { weight: Weight::from_percent(3.0).unwrap() }),
        Do::Back,
        Do::Deploy("v4"),
        Do::Act(Action::Promote),
        Do::Back,
    ]
}

fn ordered(life: &Life, action: Action, run: u64) -> Ordered {
    let current = life.run.as_ref().unwrap();
    let belief = Belief {
        key: Key { target: TargetId::new("host"), scope: Vec::new(), service: Raw::new("web"), uid: None },
        run: Some(current.id.clone()),
        rev: Rev(life.rev),
        at: (current.step < current.candidate.spec.steps.len() && current.state == RunState::Stepping).then_some(current.step),
        stable: life.stable.as_ref().map(|s| s.id.clone()),
        candidate: Some(current.candidate.id.clone()),
    };
    let fresh = RunId::new(run.to_string());
    Ordered { action, belief, by: "ana".into(), reason: None, force: false, switch_only: false, fresh }
}

/// What one power cut leaves to be judged.
struct Lived {
    /// In effect when the power went.
    effect: HostState,
    /// On its way to the disk then.
    next: Option<HostState>,
}

/// Writes before it lets take effect, as the engine does; the way back takes effect in any case.
fn live(disk: &Arc<Mutex<Forgetful>>) -> Lived {
    let (mut slots, found) = open(disk);
    let mut effect = found.unwrap_or_default();
    effect.services.entry("web".into()).or_default();
    let mut second = 0;
    for step in script() {
        second += 1;
        let mut next = effect.clone();
        let state = next.services.get_mut("web").unwrap();
        let back = matches!(step, Do::Back);
        match step {
            Do::Deploy(label) => {
                let id = state.next_run();
                let new = NewRun { id, candidate: deployed(label), by: "ana".into(), now: at(second) };
                state.life.deploy(new).unwrap();
            }
            Do::Act(action) => {
                let run = if action == Action::Retry { state.next_run().as_str().parse().unwrap() } else { 0 };
                let (order, seen) = (ordered(&state.life, action, run), obedient(&state.life));
                state.life.act(&order, &seen, &[], at(second)).unwrap_or_else(|e| panic!("{second}: {e}"));
            }
            Do::Back => {
                let to = state.life.way_back(&Observed::default()).unwrap();
                let (order, seen) = (ordered(&state.life, Action::Back { to }, 0), obedient(&state.life));
                state.life.act(&order, &seen, &[], at(second)).unwrap();
            }
        }
        let mut anyway = back;
        loop {
            if slots.write(&next).is_err() {
                if anyway {
                    effect.clone_from(&next);
                }
                return Lived { effect, next: Some(next) };
            }
            effect = next.clone();
            let state = next.services.get_mut("web").unwrap();
            let seen = obedient(&state.life);
            state.life.advance(&seen, &[], at(second));
            if next == effect {
                break;
            }
            anyway = false;
        }
    }
    Lived { effect, next: None }
}

fn check(lived: &Lived, found: Option<HostState>, what: &str) {
    let before = &lived.effect.services["web"].life;
    let Some(mut state) = found else {
        assert!(before.run.is_none(), "{what}: everything was lost");
        return;
    };
    let life = &mut state.services.get_mut("web").unwrap().life;
    let on_its_way = lived.next.as_ref().map(|n| &n.services["web"].life);
    // A way back that took effect before it was on disk may be forgotten: that is the price of not waiting.
    let going_back = before.run.as_ref().is_some_and(|r| matches!(r.state, RunState::Reverting { .. }));
    assert!(life == before || on_its_way == Some(life) || going_back, "{what}: neither what was in effect nor what was next");
    life.recover(at(1_000), &"a power cut".into());
    let wanted = life.wanted();
    if let Some(stable) = &life.stable {
        assert!(wanted.pools.iter().any(|p| p.pool() == stable.pool()), "{what}: stable is not wanted");
        assert_eq!(wanted.stable, Some(stable.pool()));
    }
    // The version that served before serves again: as stable, as what is kept warm, or as the candidate.
    if let Some(served) = &before.stable {
        assert!(wanted.pools.iter().any(|p| p.id == served.id), "{what}: {} was lost", served.label);
    }
    let Some(run) = &life.run else { return };
    if matches!(run.state, RunState::Starting | RunState::Stepping) && run.from.is_some() {
        assert!(run.stopped.is_some(), "{what}: it must be held");
        let weight = run.weight;
        let mut later = life.clone();
        for second in 0..100 {
            let seen = obedient(&later);
            later.advance(&seen, &[], at(2_000 + second * 1_000));
        }
        assert_eq!(later.wanted().weight, weight, "{what}: it moved by itself");
        // And the way back is open.
        let to = later.way_back(&Observed::default()).unwrap();
        let (order, seen) = (ordered(&later, Action::Back { to }, 0), obedient(&later));
        later.act(&order, &seen, &[], at(200_000)).unwrap();
        assert_eq!(later.wanted().weight, Weight::ZERO);
    } else if run.from.is_some() {
        assert_eq!(wanted.weight, Weight::ZERO, "{what}: safely at stable");
    }
}

#[test]
fn after_a_power_cut_at_any_moment_stable_serves_and_nothing_moves_by_itself() {
    let whole = Arc::new(Mutex::new(Forgetful::blank()));
    let lived = live(&whole);
    assert!(lived.next.is_none());
    assert!(matches!(lived.effect.services["web"].life.run.as_ref().unwrap().state, RunState::Reverted { .. }));
    let operations = whole.lock().unwrap().operations;
    assert!(operations > 60, "{operations}");
    for cut in 1..=operations {
        let disk = Arc::new(Mutex::new(Forgetful { cut: Some(cut), ..Forgetful::blank() }));
        let lived = live(&disk);
        for eighths in [0, 1, 4, 7, 8] {
            let found = Arc::new(Mutex::new(disk.lock().unwrap().found(eighths)));
            check(&lived, open(&found).1, &format!("cut at {cut}, {eighths}/8 of the last write"));
        }
    }
}
