//! A whole life of each strategy on a disk that forgets what was not synced, cut at every operation of
//! every write: what the next host finds still serves, nothing moves by itself, the way back works and
//! so does going on. Pure: no process is started.

mod disk;
mod machine;
mod script;

use cutover::{
    conductor::{Life, RunState, life::Cause},
    host::state::HostState,
    model::{
        action::Action,
        ident::{RunId, VersionId},
        ratio::Weight,
        rollout::{Hold, Phase},
        spec::Strategy,
    },
};
use disk::{Forgetful, open};
use machine::{Machine, Says};
use script::{at, live, look, moments, ordered};
use std::collections::BTreeSet;

/// Of the last write, so many eighths reached the disk.
const TORN: [usize; 4] = [0, 3, 7, 8];

/// A host that has just started on what it found.
#[derive(Clone)]
struct Restarted {
    life: Life,
    machine: Machine,
    second: i64,
    what: String,
}

impl Restarted {
    fn on(mut life: Life, what: &str) -> Self {
        life.recover(at(1_000_000), &"a power cut".into());
        Self { life, machine: Machine::default(), second: 1_000_000, what: what.to_owned() }
    }

    fn look(&mut self) {
        self.second += 1;
        look(&mut self.life, &mut self.machine, at(self.second));
        let (wanted, run) = (self.life.wanted(), self.life.run.as_ref());
        let runs = |pool| wanted.pools.iter().any(|d| d.pool() == pool);
        let what = &self.what;
        assert!(wanted.weight == Weight::ZERO || wanted.candidate.clone().is_some_and(runs), "{what}: traffic to nobody");
        let alone = run.is_some_and(|r| r.in_progress() && (r.alone() || r.returning.as_ref().is_some_and(|b| b.alone)));
        if alone {
            assert!(wanted.pools.len() <= 1, "{what}: two versions at once");
        } else if let Some(stable) = &self.life.stable {
            assert!(runs(stable.pool()) && wanted.stable == Some(stable.pool()), "{what}: {} is not wanted", stable.label);
        }
    }

    /// Until nothing happens by itself any more.
    fn rest(&mut self) {
        let mut quiet = 0;
        for _ in 0..200 {
            let before = self.life.clone();
            self.look();
            quiet = if self.life == before { quiet + 1 } else { 0 };
            if quiet > 6 {
                return;
            }
        }
        panic!("{}: never comes to rest: {:?}", self.what, self.life.run);
    }

    fn act(&mut self, action: Action) {
        let (order, now) = (ordered(&self.life, action, RunId::new("fresh")), at(self.second));
        let gates = self.machine.gates(&self.life, now);
        let done = self.life.act(&order, &self.machine.seen(), &gates, now);
        done.unwrap_or_else(|e| panic!("{}: {:?}: {e}: {:?}", self.what, order.action, self.life.run));
    }

    fn serving(&self) -> Option<VersionId> {
        self.life.stable.as_ref().map(|s| s.id.clone())
    }

    /// The way back, whatever the state is; `None` where there is none.
    fn back(mut self) {
        let Some(to) = self.life.way_back(&self.machine.seen()) else {
            assert!(self.life.past.is_empty() && self.life.run.as_ref().is_none_or(|r| r.from.is_none()), "{}: no way back", self.what);
            return;
        };
        let run = self.life.run.as_ref().unwrap();
        let there = matches!(run.state, RunState::Reverting { .. } | RunState::Reverted { .. }) && run.then.is_none();
        if !there {
            self.act(Action::Back { to: to.clone() });
        }
        // What follows needs no gate and passes a freeze.
        self.machine.says = Says::Fail;
        self.rest();
        let run = self.life.run.as_ref().unwrap();
        assert!(matches!(run.state, RunState::Reverted { .. }), "{}: {:?}", self.what, run.state);
        assert_eq!(self.serving(), Some(to), "{}", self.what);
        let (seen, stable) = (self.machine.seen(), self.life.stable.as_ref().unwrap());
        let ready = seen.pools.iter().find(|p| p.pool == stable.pool()).map(|p| p.ready);
        assert_eq!((ready, seen.programmed), (Some(stable.spec.instances), Some((None, Weight::ZERO))), "{}", self.what);
    }

    /// Going on, as a person who is asked each time, to the candidate's promotion.
    fn go_on(mut self) {
        self.machine.says = Says::Pass;
        if self.life.frozen.is_some() {
            self.act(Action::Thaw);
        }
        if self.life.run.as_ref().unwrap().manual.is_some() {
            self.act(Action::Resume);
        }
        self.rest();
        let candidate = self.life.run.as_ref().unwrap().candidate.id.clone();
        for _ in 0..40 {
            let run = self.life.run.as_ref().unwrap();
            if matches!(run.state, RunState::Completed { .. }) {
                assert_eq!(self.serving(), Some(candidate), "{}", self.what);
                return;
            }
            let stopped = |cause| run.stopped.as_ref().is_some_and(|s| s.cause == cause);
            let (restart, step) = (stopped(Cause::Restart), run.step);
            // Of a check that failed nothing is used again.
            self.act(if stopped(Cause::Check) { Action::Retry } else { Action::Step });
            let skipped = restart && self.life.run.as_ref().unwrap().step != step;
            assert!(!skipped, "{}: going on after a restart skips nothing", self.what);
            self.rest();
        }
        panic!("{}: never completed: {:?}", self.what, self.life.run);
    }

    /// What was moving is held exactly where it was, and says so.
    fn held(&mut self, found: &Life) {
        let what = self.what.clone();
        let place = |life: &Life| life.run.as_ref().map(|r| (r.id.clone(), r.state.clone(), r.step, r.weight, r.instances()));
        assert_eq!(place(&self.life), place(found), "{what}");
        let told = self.life.view(&self.machine.seen(), &[], at(self.second));
        assert_eq!((told.phase, told.at.map(|a| a.index)), (Phase::Held, Some(found.run.as_ref().unwrap().step)), "{what}");
        let says = |hold: &Hold| match hold {
            Hold::Stopped { reason, .. } => reason.as_str() == "a power cut" || reason.as_str() == "check failed: 500",
            Hold::Gate { .. } => found.run.as_ref().is_some_and(|r| r.stopped.is_some()),
            _ => false,
        };
        assert!(told.holds.iter().any(says), "{what}: {:?}", told.holds);
        assert_eq!(told.next.by.as_str(), "a person", "{what}: {}", told.next.what);
        // Hours later, with all instances ready and every gate passing.
        self.machine.says = Says::Pass;
        for _ in 0..12 {
            self.second += 1_000;
            self.look();
        }
        assert_eq!(place(&self.life), place(found), "{what}: it moved by itself");
        assert_eq!(self.life.wanted().weight, found.wanted().weight, "{what}");
    }
}

/// What any host must make of what it finds.
fn check(found: &Life, what: &str) {
    let mut host = Restarted::on(found.clone(), what);
    assert_eq!(host.life.stable, found.stable, "{what}");
    // It dies again before anything has happened: the same once more.
    let twice = Restarted::on(host.life.clone(), what).life;
    assert_eq!((twice.wanted(), twice.run.map(|r| r.stopped)), (host.life.wanted(), host.life.run.clone().map(|r| r.stopped)), "{what}");
    // Before a single instance runs again somebody may want back, and later.
    host.clone().back();
    let Some(run) = found.run.clone() else { return };
    let away = run.alone() && run.weight == Weight::ZERO && run.stopped.is_none();
    match &run.state {
        RunState::Starting | RunState::Stepping if run.from.is_some() && !(away && run.manual.is_none()) => {
            host.held(found);
            host.clone().back();
            host.go_on();
        }
        // Nothing serves: every moment of waiting is one without service, and nothing can be hurt.
        RunState::Starting | RunState::Stepping => {
            host.rest();
            assert!(host.life.run.as_ref().is_some_and(|r| r.id == run.id), "{what}");
            host.clone().back();
            if run.from.is_some() {
                host.go_on();
            } else {
                assert_eq!(host.serving(), Some(run.candidate.id), "{what}");
            }
        }
        RunState::Reverting { .. } => {
            let to = found.way_back(&host.machine.seen());
            host.rest();
            assert_eq!(host.serving(), to, "{what}: a way back goes on");
            let now = host.life.run.as_ref().unwrap();
            match &run.then {
                Some(then) => assert_eq!((&now.id, &now.candidate.label), (&then.id, &then.candidate.label), "{what}"),
                None => assert!(matches!(now.state, RunState::Reverted { .. }), "{what}: {:?}", now.state),
            }
            host.back();
        }
        RunState::Reverted { .. } | RunState::Completed { .. } => {
            let served = |life: &Life| life.stable.as_ref().map(|s| life.record(&s.id)).map(|r| (r.proven, r.baked, r.left, r.taint));
            let before = (host.life.wanted(), served(&host.life));
            host.rest();
            if found.warm.is_none() && run.then.is_none() {
                assert_eq!((host.life.wanted(), served(&host.life)), before, "{what}: nothing is left to do");
            }
            host.back();
        }
        RunState::Failed { .. } => panic!("{what}: nothing fails here"),
    }
}

/// Cuts every write of a strategy's life at each of its operations; the moments at which that was.
fn cut(strategy: Strategy) -> BTreeSet<&'static str> {
    let life = |state: &HostState| state.services["web"].life.clone();
    let (mut seen, mut checked): (BTreeSet<&str>, Vec<Life>) = (BTreeSet::new(), Vec::new());
    let writes = live(strategy);
    let disk = Forgetful::blank(None);
    let (mut slots, _) = open(&disk);
    for write in writes {
        let before = disk.lock().unwrap().clone();
        let first = write.before.services["web"].runs == 0;
        for operation in 1.. {
            let cut = before.found(8, Some(operation));
            let whole = open(&cut).0.write(&write.next).is_ok();
            for eighths in TORN {
                let what = format!("{}, cut at operation {operation}, {eighths}/8 of it on disk", write.what);
                let found = open(&cut.lock().unwrap().found(eighths, None)).1;
                let Some(found) = found.filter(|f| !f.services.is_empty()) else {
                    assert!(first, "{what}: everything was lost");
                    continue;
                };
                // Also of a way back, which took effect all the same: what was before it is held.
                assert!(found == write.next || (!whole && found == write.before), "{what}: neither what was nor what was next");
                let found = life(&found);
                if !checked.contains(&found) {
                    check(&found, &what);
                    seen.extend(moments(&found));
                    checked.push(found);
                }
            }
            if whole {
                break;
            }
        }
        slots.write(&write.next).unwrap();
    }
    println!("{}: {} states", strategy.word(), checked.len());
    seen
}

/// What every strategy goes through.
const ALL: [&str; 14] = [
    "first deploy",
    "good",
    "starting candidates",
    "checking",
    "waiting gate",
    "manual pause",
    "paused by hand",
    "stopped by a gate",
    "stopped by a check",
    "promoting",
    "baking",
    "failing while it bakes",
    "replacing",
    "undo",
];

#[track_caller]
fn matrix(strategy: Strategy, own: &[&'static str]) {
    let all: BTreeSet<&str> =
        ALL.iter().chain(&["frozen", "re-deploy: starting", "re-deploy: switching", "re-deployed"]).chain(own).copied().collect();
    assert_eq!(cut(strategy), all);
}

#[test]
fn a_canary_that_loses_its_host_at_any_moment() {
    let own =
        ["scaling", "warming", "mid-weight", "timed pause", "weight by hand", "switched, old warm", "reverting", "reverted", "old warm"];
    matrix(Strategy::Canary, &own);
}

#[test]
fn a_blue_green_switch_that_loses_its_host_at_any_moment() {
    matrix(Strategy::BlueGreen, &["warming", "switched, old warm", "reverting", "reverted", "old warm"]);
}

#[test]
fn a_rolling_replacement_that_loses_its_host_at_any_moment() {
    matrix(Strategy::Rolling, &["a batch starts", "between batches", "reverting", "reverted"]);
}

#[test]
fn a_recreation_that_loses_its_host_at_any_moment() {
    matrix(Strategy::Recreate, &["warming", "ending the old", "re-deploy: ending the new"]);
}
