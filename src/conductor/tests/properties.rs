//! What holds whatever is observed, asked, and whenever the host dies.

use super::*;
use crate::{
    conductor::life::Cause,
    model::{ident::GateId, spec::OnFail},
};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// As [`PLAN`], with a gate of each kind and short times.
const WILD: &str = r#"
name = "checkout"
listen = "127.0.0.1:8080"
command = ["./serve"]
readiness = { path = "/ready" }
instances = 2
keep = 3
keep_warm = "20s"
bake = "10s"
steps = [{ weight = 5 }, { pause = "5s" }, { gate = "all" }, { weight = 33.33 }, { pause = "manual" }, { weight = 20 }, { gate = ["hold"] }, { weight = 50 }]
deadline = { ready = "15s", on_fail = "revert" }
[[gate]]
name = "hold"
signal = "errors"
[[gate]]
name = "revert"
signal = "errors"
on_fail = "revert"
[[gate]]
name = "advise"
signal = "slow"
on_fail = "advise"
"#;

#[derive(Clone, Debug)]
enum Thing {
    /// Time goes on, or jumps back as clocks do.
    Time(i64),
    /// Instances of every pool that are ready.
    Ready([u32; 3]),
    Route(Router),
    /// What each gate says, and whether it says it on requests of now.
    Gates([u8; 3], bool),
    Act {
        verb: u8,
        weight: u16,
        /// With a picture from before the last things.
        stale: bool,
        force: bool,
        reason: bool,
    },
    Deploy(u8),
    /// The host dies and finds what it wrote.
    Crash,
}

#[derive(Clone, Copy, Debug)]
enum Router {
    Follows,
    Hangs,
    Unknown,
    Lies(u16),
}

fn thing() -> impl Strategy<Value = Thing> {
    let router = prop_oneof![
        6 => Just(Router::Follows),
        1 => Just(Router::Hangs),
        1 => Just(Router::Unknown),
        1 => (0..=10_000_u16).prop_map(Router::Lies),
    ];
    prop_oneof![
        4 => (0..12_i64).prop_map(Thing::Time),
        1 => (-5..400_i64).prop_map(Thing::Time),
        3 => proptest::array::uniform3(prop_oneof![4 => Just(2_u32), 1 => 0..4_u32]).prop_map(Thing::Ready),
        3 => router.prop_map(Thing::Route),
        5 => (proptest::array::uniform3(prop_oneof![5 => Just(0_u8), 1 => 0..6_u8]), any::<bool>()).prop_map(|(g, f)| Thing::Gates(g, f)),
        5 => (0..8_u8, 0..=10_000_u16, proptest::bool::weighted(0.2), any::<bool>(), any::<bool>())
            .prop_map(|(verb, weight, stale, force, reason)| Thing::Act { verb, weight, stale, force, reason }),
        1 => (0..4_u8).prop_map(Thing::Deploy),
        1 => Just(Thing::Crash),
    ]
}

/// A world that is watched.
struct Watched {
    w: World,
    router: Router,
    ready: [u32; 3],
    /// Pools that were seen with every instance ready.
    ever_ready: BTreeSet<PoolId>,
    /// The picture that a stale action is decided on.
    old: Option<Ordered>,
    completed: u32,
    reverted: u32,
}

impl Watched {
    fn new() -> Self {
        let mut w = World::new(WILD);
        let first = w.fresh();
        let new = NewRun { id: first, candidate: w.deployed("v0"), by: "ana".into(), now: w.now };
        w.life.deploy(new).unwrap();
        Self { w, router: Router::Follows, ready: [2; 3], ever_ready: BTreeSet::new(), old: None, completed: 0, reverted: 0 }
    }

    fn look(&mut self) {
        let wanted = self.w.life.wanted();
        self.w.seen.programmed = match self.router {
            Router::Follows => Some((wanted.candidate.clone(), wanted.weight)),
            Router::Hangs => self.w.seen.programmed.clone(),
            Router::Unknown => None,
            Router::Lies(bp) => Some((wanted.candidate.clone(), Weight::from_bp(bp).unwrap())),
        };
        let pool = |(i, d): (usize, &Deployed)| PoolSeen { pool: d.pool(), desired: 2, ready: self.ready[i % 3], trouble: None };
        self.w.seen.pools = wanted.pools.iter().enumerate().map(pool).collect();
        let whole = self.w.seen.pools.iter().filter(|p| p.ready >= 2).map(|p| p.pool.clone());
        self.ever_ready.extend(whole);
    }

    fn gates(&mut self, words: [u8; 3], fresh: bool) {
        let say = |word| match word {
            0 => pass(),
            1 => wait(),
            2 => blind(),
            3 => fail(Arm::Candidate),
            4 => fail(Arm::Both),
            _ => fail(Arm::Stable),
        };
        let before = std::mem::take(&mut self.w.gates);
        let sample = Sample::Counts { hits: 0.0, of: 0.0 };
        let since = if fresh { self.w.now } else { Time::UNIX_EPOCH };
        self.w.gates = [("hold", OnFail::Hold), ("revert", OnFail::Revert), ("advise", OnFail::Advise)]
            .into_iter()
            .zip(words)
            .enumerate()
            .map(|(i, ((name, on_fail), word))| {
                let verdict = say(word);
                let same = before.get(i).filter(|b| b.verdict.word() == verdict.word()).map(|b| b.since);
                GateState {
                    id: GateId::new(name),
                    signal: SignalId::Errors,
                    rule: "".into(),
                    on_fail,
                    verdict,
                    since: same.unwrap_or(self.w.now),
                    evidence: Some(Evidence { candidate: sample, stable: sample, limit: 5.0, margin: 1.0, since }),
                }
            })
            .collect();
    }

    fn advance(&mut self) {
        let before = self.w.life.clone();
        self.look();
        let (seen, gates, now) = (self.w.seen.clone(), self.w.gates.clone(), self.w.now);
        let notes = self.w.life.advance(&seen, &gates, now);
        let life = &self.w.life;

        let mut again = life.clone();
        assert_eq!((again.advance(&seen, &gates, now), &again), (vec![], life), "the same twice is once");
        assert_eq!(notes.is_empty(), before.moved == life.moved, "what happens is said, and only that: {notes:?}");
        if let Some(deadline) = life.next_deadline(now) {
            assert!(deadline > now);
        }

        let (Some(was), Some(run)) = (&before.run, &life.run) else { return };
        assert_eq!(was.id, run.id, "runs start by people only");
        let candidate = run.candidate.pool();
        let whole = seen.pools.iter().any(|p| p.pool == candidate && p.ready >= 2);
        if was.state != run.state {
            match run.state {
                RunState::Completed { .. } => {
                    assert_eq!(seen.programmed, Some((Some(candidate), Weight::FULL)), "only the router says it is done");
                    assert!(whole);
                    self.completed += 1;
                }
                RunState::Reverted { .. } => {
                    let back = was.returning.as_ref().map_or((candidate, Weight::ZERO), |b| (b.to.pool(), Weight::FULL));
                    assert_eq!(seen.programmed, Some((Some(back.0), back.1)), "only the router says it is back");
                    self.reverted += 1;
                }
                _ => {}
            }
        }
        let stays = || {
            let back = matches!(run.state, RunState::Reverting { .. } | RunState::Reverted { .. });
            assert!(back || (run.state == was.state && run.step == was.step && run.weight == was.weight), "{was:?}\n{run:?}");
        };
        if was.is_moving() && was.is_held() {
            stays();
        }
        let judged = was.state == RunState::Stepping && was.from.is_some();
        let counts = |g: &&GateState| {
            g.on_fail != OnFail::Advise
                && matches!(g.verdict, Verdict::Fail { .. })
                && g.evidence.is_some_and(|e| e.since >= was.started.at.min(was.converged.unwrap_or(was.started.at)))
                && was.overruled.is_none_or(|at| g.since > at)
        };
        if let Some(failed) = gates.iter().find(counts).filter(|_| judged && was.traffic.is_some()) {
            stays();
            let stopped = run.stopped.as_ref().is_some_and(|s| s.cause == Cause::Gate);
            assert!(stopped || !run.is_moving() || was.step == run.step, "a failed gate stops: {failed:?}");
            assert!(stopped || !run.is_moving(), "until a person acts: {run:?}");
        }
        if matches!(run.state, RunState::Reverting { .. }) && was.state == RunState::Stepping {
            let guilty = |g: &GateState| g.on_fail == OnFail::Revert && matches!(g.verdict, Verdict::Fail { who: Arm::Candidate, .. });
            assert!(gates.iter().any(guilty), "nothing else goes back by itself");
        }
        if run.weight > was.weight {
            assert!(whole, "more traffic only to what is ready");
        }
    }

    fn order(&mut self, verb: u8, weight: u16) -> Ordered {
        let to = self.w.life.way_back(&self.w.seen).unwrap_or_else(|| version("none"));
        let action = match verb {
            0 => Action::Step,
            1 => Action::SkipGate,
            2 => Action::Pause,
            3 => Action::Resume,
            4 => Action::Promote,
            5 => Action::Retry,
            6 => Action::SetWeight { weight: Weight::from_bp(weight).unwrap() },
            _ => Action::Back { to },
        };
        self.w.order(action)
    }

    fn act(&mut self, ask: &Ordered) {
        let before = self.w.life.clone();
        let (seen, gates, now) = (self.w.seen.clone(), self.w.gates.clone(), self.w.now);
        let answer = self.w.life.act(ask, &seen, &gates, now);
        let life = &self.w.life;
        if answer.is_err() {
            assert_eq!(*life, before, "a refusal changes nothing");
            return;
        }
        assert!(life.moved > before.moved, "what was believed before is out of date");
        let mut twice = life.clone();
        let second = twice.act(ask, &seen, &gates, now);
        assert!(matches!(second, Err(Refusal::AlreadySo { .. } | Refusal::Moved { .. })), "{:?} twice: {second:?}", ask.action);
        assert_eq!(twice, *life, "one belief, one transition");
        let (was, run) = (before.run.as_ref().unwrap(), life.run.as_ref().unwrap());
        if run.weight > was.weight && !matches!(ask.action, Action::Retry) {
            let blocked = gates.iter().any(|g| g.on_fail != OnFail::Advise && matches!(g.verdict, Verdict::Fail { .. }));
            let counted = was.traffic.is_some() && gates.iter().all(|g| g.evidence.is_some_and(|e| e.since >= was.started.at));
            let forced = ask.force && ask.reason.is_some();
            assert!(!(blocked && counted && was.state == RunState::Stepping) || forced, "over a failed gate only by force");
            assert!(was.manual.as_ref().is_none_or(|m| m.weight.is_some()), "a pause is lifted first");
        }
        assert!(!matches!(run.state, RunState::Completed { .. } | RunState::Reverted { .. }), "done is what an observation confirms");
    }

    fn happen(&mut self, thing: &Thing) {
        match *thing {
            Thing::Time(seconds) => self.w.now += chrono::Duration::seconds(seconds),
            Thing::Ready(ready) => self.ready = ready,
            Thing::Route(router) => self.router = router,
            Thing::Gates(words, fresh) => self.gates(words, fresh),
            Thing::Act { verb, weight, stale, force, reason } => {
                let ask = Ordered { force, reason: reason.then(|| "because".into()), ..self.order(verb, weight) };
                let ask = if stale { self.old.replace(ask.clone()).unwrap_or(ask) } else { ask };
                self.act(&ask);
            }
            Thing::Deploy(n) => {
                let new = NewRun { id: self.w.fresh(), candidate: self.w.deployed(&format!("v{n}")), by: "ana".into(), now: self.w.now };
                let before = self.w.life.clone();
                if self.w.life.deploy(new).is_err() {
                    assert_eq!(self.w.life, before);
                } else {
                    assert!(before.run.is_none_or(|r| !r.in_progress()), "one run at a time");
                }
            }
            Thing::Crash => {
                let bytes = serde_json::to_vec(&self.w.life).unwrap();
                let before = std::mem::replace(&mut self.w.life, serde_json::from_slice(&bytes).unwrap());
                assert_eq!(self.w.life, before, "what is written is what is read");
                self.w.seen = Observed::default();
                let notes = self.w.life.recover(self.w.now, &"a crash".into());
                assert_eq!(notes.len(), 1, "it says what it found");
                assert_eq!(self.w.life.wanted(), before.wanted(), "a crash alone moves no traffic");
                let run = self.w.life.run.as_ref().unwrap();
                assert!(!run.is_moving() || run.from.is_none() || run.is_held(), "an unfinished rollout is held");
            }
        }
    }

    fn check(&mut self, before: &Life) {
        let life = self.w.life.clone();
        let wanted = life.wanted();
        let run = life.run.as_ref().unwrap();
        assert_eq!(wanted.weight.bp() + wanted.weight.rest().bp(), 10_000);
        assert!(run.step <= run.plan().len());
        assert!(life.rev >= before.rev && life.moved <= life.rev);
        if before.wanted() != wanted {
            assert!(life.rev > before.rev);
        }

        if wanted.weight > Weight::ZERO {
            let candidate = wanted.candidate.as_ref().unwrap();
            assert!(self.ever_ready.contains(candidate), "no traffic before readiness");
            assert!(wanted.pools.iter().any(|d| d.pool() == *candidate));
        }
        if let Some(stable) = &life.stable {
            assert!(self.ever_ready.contains(&stable.pool()));
            assert_eq!(wanted.stable, Some(stable.pool()));
            assert!(wanted.pools.contains(stable), "stable is there as long as it is stable");
            if run.is_moving() {
                self.back_is_open(stable);
            }
        }
        let pools: BTreeSet<_> = wanted.pools.iter().map(Deployed::pool).collect();
        assert_eq!(pools.len(), wanted.pools.len(), "no two starts share a pool");
        assert!(life.past.len() <= 2 && life.past.iter().all(|p| life.stable.as_ref().is_none_or(|s| s.id != p.id)));

        let view = life.view(&self.w.seen, &self.w.gates, self.w.now);
        assert!(!view.next.what.is_empty() && !view.next.by.is_empty());
        assert_eq!(view.at.map(|at| at.index), run.at());
        if matches!(view.phase, crate::model::rollout::Phase::Held) {
            assert!(!view.holds.is_empty(), "what is held says by what");
        }
        assert_eq!(life.allowed(&self.w.seen, &self.w.gates, self.w.now).len(), 10);
    }

    /// Whatever else is so, and on however old a picture of everything but the run and the version.
    fn back_is_open(&self, stable: &Deployed) {
        let mut w = World { life: self.w.life.clone(), now: self.w.now, ..World::new(WILD) };
        let mut ask = w.order(Action::Back { to: stable.id.clone() });
        ask.belief = Belief { rev: Rev(0), at: Some(99), stable: None, candidate: None, ..ask.belief };
        w.life.act(&ask, &Observed::default(), &self.w.gates, w.now).unwrap();
        let wanted = w.life.wanted();
        assert_eq!((wanted.weight, wanted.stable), (Weight::ZERO, Some(stable.pool())));
        assert_eq!(wanted.pools.len(), self.w.life.wanted().pools.len(), "nothing is torn down before the router confirms");
    }
}

fn live(things: &[Thing]) -> Watched {
    let mut world = Watched::new();
    world.advance();
    world.advance();
    for thing in things {
        let before = world.w.life.clone();
        world.happen(thing);
        world.check(&before);
        let before = world.w.life.clone();
        world.advance();
        world.check(&before);
    }
    world
}

proptest! {
    #[test]
    fn every_life_is_safe(things in proptest::collection::vec(thing(), 1..80)) {
        live(&things);
    }
}

/// The property above is worth something only if lives come to their ends.
#[test]
fn random_lives_go_far() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let lives = proptest::collection::vec(thing(), 60..80);
    let (mut completed, mut reverted, mut deep) = (0, 0, 0);
    for _ in 0..200 {
        let world = live(&lives.new_tree(&mut runner).unwrap().current());
        completed += world.completed.saturating_sub(1);
        reverted += world.reverted;
        deep += u32::from(world.w.run().step > 3);
    }
    assert!(completed > 10 && reverted > 100 && deep > 30, "{completed} {reverted} {deep}");
}
