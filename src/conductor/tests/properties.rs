//! What holds whatever is observed, asked, and whenever the host dies.

use super::*;
use crate::{
    conductor::life::Cause,
    model::{ident::GateId, spec::OnFail, step::StepSpec},
};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// What every service here has: a gate of each kind and short times.
const COMMON: &str = r#"
name = "checkout"
listen = "127.0.0.1:8080"
command = ["./serve"]
readiness = { path = "/ready" }
keep = 3
keep_warm = "20s"
bake = "10s"
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

/// One plan of each strategy, and one that tries its candidate first.
const PLANS: [&str; 6] = [
    r#"instances = 2
steps = [{ weight = 5 }, { pause = "5s" }, { gate = "all" }, { weight = 33.33 }, { pause = "manual" }, { weight = 20 }, { gate = ["hold"] }, { weight = 50 }]"#,
    r#"instances = 3
steps = [{ scale = 1 }, { check = { http = "/" } }, { warm = { requests = 9 } }, { weight = 10 }, { scale = 2 }, { gate = ["hold"] }, { weight = 60 }]"#,
    r#"strategy = "blue-green"
instances = 2
steps = [{ check = { http = "/", on_fail = "revert" } }, { pause = "3s" }, { gate = "all" }, { pause = "5s" }]"#,
    r#"strategy = "rolling"
instances = 3"#,
    r#"strategy = "rolling"
instances = 4
rolling = { surge = 1, unavailable = 1 }
steps = [{ check = { http = "/", on_fail = "advise" } }, { gate = ["hold"] }, { pause = "2s" }]"#,
    r#"strategy = "recreate"
instances = 2
steps = [{ check = { http = "/" } }, { gate = ["hold"] }]"#,
];

fn plan(which: u8) -> ServiceSpec {
    let own = PLANS[usize::from(which) % PLANS.len()];
    let (head, gates) = COMMON.split_once("[[gate]]").unwrap();
    spec(&format!("{head}{own}\n[[gate]]{gates}"))
}

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
    /// A version, by a plan, replacing or not.
    Deploy(u8, u8, bool),
    /// How the task that is wanted stands: not begun, runs, worked, failed.
    Task(u8),
    /// Whether instances that are no longer wanted stay for a while.
    Linger(bool),
    /// Which versions' artifacts are gone.
    Gone(u8),
    /// Stable has served for so many seconds.
    Serve(u8),
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
        3 => proptest::array::uniform3(prop_oneof![4 => Just(4_u32), 1 => 0..4_u32]).prop_map(Thing::Ready),
        3 => router.prop_map(Thing::Route),
        5 => (proptest::array::uniform3(prop_oneof![5 => Just(0_u8), 1 => 0..6_u8]), any::<bool>()).prop_map(|(g, f)| Thing::Gates(g, f)),
        5 => (prop_oneof![4 => 0..8_u8, 1 => 8..12_u8], 0..=10_000_u16, proptest::bool::weighted(0.2), any::<bool>(), any::<bool>())
            .prop_map(|(verb, weight, stale, force, reason)| Thing::Act { verb, weight, stale, force, reason }),
        1 => (0..5_u8, 0..6_u8, proptest::bool::weighted(0.2)).prop_map(|(n, plan, replace)| Thing::Deploy(n, plan, replace)),
        3 => prop_oneof![1 => Just(0_u8), 1 => Just(1_u8), 5 => Just(2_u8), 1 => Just(3_u8)].prop_map(Thing::Task),
        1 => any::<bool>().prop_map(Thing::Linger),
        1 => prop_oneof![3 => Just(0_u8), 1 => any::<u8>()].prop_map(Thing::Gone),
        1 => (0..12_u8).prop_map(Thing::Serve),
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
    /// How every task stands that is wanted.
    task: u8,
    lingers: bool,
    completed: u32,
    reverted: u32,
    redeployed: u32,
    /// Those that came to their end.
    strategies: BTreeSet<&'static str>,
}

impl Watched {
    fn new() -> Self {
        let mut w = World::new(PLAN);
        w.spec = plan(0);
        let first = w.fresh();
        let new = NewRun { id: first, candidate: w.deployed("v0"), by: "ana".into(), now: w.now };
        w.life.deploy(new).unwrap();
        Self {
            w,
            router: Router::Follows,
            ready: [4; 3],
            ever_ready: BTreeSet::new(),
            old: None,
            task: 0,
            lingers: false,
            completed: 0,
            reverted: 0,
            redeployed: 0,

            strategies: BTreeSet::new(),
        }
    }

    fn look(&mut self) {
        let wanted = self.w.life.wanted();
        self.w.seen.programmed = match self.router {
            Router::Follows => Some((wanted.candidate.clone(), wanted.weight)),
            Router::Hangs => self.w.seen.programmed.clone(),
            Router::Unknown => None,
            Router::Lies(bp) => Some((wanted.candidate.clone(), Weight::from_bp(bp).unwrap())),
        };
        let pool = |(i, d): (usize, &Deployed)| {
            let desired = wanted.instances.get(&d.pool()).copied().unwrap_or(d.spec.instances);
            PoolSeen { pool: d.pool(), desired, ready: self.ready[i % 3].min(desired), trouble: None }
        };
        let before = std::mem::take(&mut self.w.seen.pools);
        self.w.seen.pools = wanted.pools.iter().enumerate().map(pool).collect();
        let leaving = before.into_iter().filter(|p| self.lingers && !wanted.pools.iter().any(|d| d.pool() == p.pool));
        self.w.seen.pools.extend(leaving.map(|p| PoolSeen { desired: 0, ready: 0, ..p }).collect::<Vec<_>>());
        let whole = self.w.seen.pools.iter().filter(|p| p.desired > 0 && p.ready >= p.desired).map(|p| p.pool.clone());
        self.ever_ready.extend(whole);
        if let Some(task) = wanted.task.filter(|_| self.task > 0) {
            let state = [TaskState::Running("".into()), TaskState::Done("".into()), TaskState::Failed("".into())]
                [usize::from(self.task - 1)]
            .clone();
            let known = self.w.seen.tasks.iter_mut().find(|t| (&t.run, t.step, t.since) == (&task.run, task.step, task.since));
            match known {
                Some(known) if matches!(known.state, TaskState::Running(_)) => known.state = state,
                Some(_) => {}
                None => self.w.seen.tasks.push(TaskSeen {
                    run: task.run,
                    step: task.step,
                    since: task.since,
                    state,
                    took: Duration::ZERO,
                    answers: vec![],
                }),
            }
        }
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
                    evidence: Some(Evidence { candidate: sample, stable: sample, limit: Some(5.0), since, ..Evidence::default() }),
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
        if was.id != run.id {
            let queued = was.then.as_ref().map(|then| &then.id);
            assert_eq!((queued, run.weight, life.frozen.as_ref()), (Some(&run.id), Weight::ZERO, None), "runs start by people only");
            return;
        }
        let candidate = run.candidate.pool();
        let whole = seen.pools.iter().any(|p| p.pool == candidate && p.ready >= run.instances());
        if before.frozen.is_some() && life.frozen.is_some() {
            let forward = run.step > was.step || run.weight > was.weight || run.pair() != was.pair() || run.ending.len() < was.ending.len();
            let begins = matches!(
                (&was.state, &run.state),
                (RunState::Starting | RunState::Failed { .. }, RunState::Stepping) | (_, RunState::Completed { .. })
            );
            let over = matches!(run.state, RunState::Reverted { .. }) || was.over().is_some();
            assert!((!forward && (!begins || was.state == run.state)) || over, "a freeze lets nothing advance: {was:?}\n{run:?}");
        }
        if was.state != run.state {
            match run.state {
                RunState::Completed { .. } => {
                    assert_eq!(seen.programmed, Some((Some(candidate.clone()), Weight::FULL)), "only the router says it is done");
                    assert!(whole);
                    self.completed += 1;
                    self.strategies.extend(run.from.as_ref().map(|_| run.strategy().word()));
                }
                RunState::Reverted { redeployed, .. } => {
                    self.redeployed += u32::from(redeployed);
                    let back = was.returning.as_ref().map_or_else(|| (candidate.clone(), Weight::ZERO), |b| (b.to.pool(), Weight::FULL));
                    assert_eq!(seen.programmed, Some((Some(back.0), back.1)), "only the router says it is back");
                    self.reverted += 1;
                }
                _ => {}
            }
        }
        let stays = || {
            let back = matches!(run.state, RunState::Reverting { .. } | RunState::Reverted { .. });
            // Of a rolling replacement the share falls with its instances.
            let weight = run.weight == was.weight || (run.batch.is_some() && run.weight < was.weight);
            assert!(back || (run.state == was.state && run.step == was.step && weight && run.pair() == was.pair()), "{was:?}\n{run:?}");
        };
        if was.is_moving() && was.is_held() {
            stays();
        }
        let judged = was.state == RunState::Stepping && was.from.is_some();
        let counts = |g: &&GateState| {
            g.on_fail != OnFail::Advise
                && matches!(g.verdict, Verdict::Fail { .. })
                && g.evidence.as_ref().is_some_and(|e| e.since >= was.started.at.min(was.converged.unwrap_or(was.started.at)))
                && was.overruled.is_none_or(|at| g.since > at || was.overruled_both && !g.verdict.fails_both())
        };
        if let Some(failed) = gates.iter().find(counts).filter(|_| judged && was.traffic.is_some()) {
            stays();
            let stopped = run.stopped.as_ref().is_some_and(|s| s.cause == Cause::Gate);
            assert!(stopped || !run.is_moving() || was.step == run.step, "a failed gate stops: {failed:?}");
            assert!(stopped || !run.is_moving(), "until a person acts: {run:?}");
        }
        if matches!(run.state, RunState::Reverting { .. }) && was.state == RunState::Stepping {
            let guilty = |g: &GateState| g.on_fail == OnFail::Revert && matches!(g.verdict, Verdict::Fail { who: Arm::Candidate, .. });
            let task = seen.tasks.iter().any(|t| matches!(t.state, TaskState::Failed(_)));
            let missed = was.batch.as_ref().is_some_and(|b| !b.ready);
            assert!(gates.iter().any(guilty) || task || missed, "nothing else goes back by itself");
        }
        if run.weight > was.weight {
            assert!(whole, "more traffic only to what is ready");
        }
        let of = |run: &Run| run.ending.iter().chain(run.returning.iter().flat_map(|b| &b.ending)).cloned().collect::<BTreeSet<_>>();
        if of(run).len() < of(was).len() && was.returning.is_some() == run.returning.is_some() {
            assert!(of(was).iter().all(|pool| seen.pools.iter().all(|p| p.pool != *pool)), "one version ends before the next starts");
        }
        let tried =
            |step: &StepSpec| matches!(step, StepSpec::Check(c) if c.on_fail != OnFail::Advise) || matches!(step, StepSpec::Warm(_));
        if let Some(step) = was.current().filter(|s| was.state == RunState::Stepping && tried(s)) {
            let task = seen.tasks.iter().find(|t| t.run == was.id && t.step == was.step && t.since == was.step_since);
            let worked = task.is_some_and(|t| matches!(t.state, TaskState::Done(_)));
            assert!(worked || run.step == was.step || !run.is_moving(), "{step:?} lets nothing advance before it worked");
        }
        if let Some((batch, bounds)) = run.batch.as_ref().zip(run.bounds()) {
            assert!(batch.new + batch.old <= bounds.ceiling() && batch.new <= bounds.new && batch.old <= bounds.old);
            if run.weight > was.weight {
                let ready = |pool: &PoolId| seen.pools.iter().find(|p| p.pool == *pool).map_or(0, |p| u64::from(p.ready));
                let (new, old) = (ready(&candidate), ready(&batch.pool).min(u64::from(batch.old)));
                assert!(u64::from(run.weight.bp()) * (new + old) <= 10_000 * new, "a share that ready instances carry");
            }
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
            8 => Action::Undo { to: version(&format!("v{}", weight % 5)) },
            9 => Action::Freeze { until: weight.is_multiple_of(2).then(|| self.w.now + chrono::Duration::seconds(i64::from(weight % 30))) },
            10 => Action::Thaw,
            11 => Action::Taint { version: version(&format!("v{}", weight % 5)) },
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
            let failed = || gates.iter().filter(|g| g.on_fail != OnFail::Advise && matches!(g.verdict, Verdict::Fail { .. }));
            let (alone, both) = (failed().any(|g| !g.verdict.fails_both()), failed().any(|g| g.verdict.fails_both()));
            let counted = was.traffic.is_some() && gates.iter().all(|g| g.evidence.as_ref().is_some_and(|e| e.since >= was.started.at));
            let counted = counted && was.state == RunState::Stepping;
            assert!(!(alone && counted) || ask.force && ask.reason.is_some(), "over a failed gate only by force");
            assert!(!(both && counted) || ask.reason.is_some(), "over one that fails both versions with a reason");
            assert!(was.manual.as_ref().is_none_or(|m| m.weight.is_some()), "a pause is lifted first");
        }
        if ask.action == Action::Retry {
            let candidate = &was.candidate;
            assert_eq!((&run.candidate.id, run.step, run.weight, run.tried.len()), (&candidate.id, 0, Weight::ZERO, 0), "from the start");
            assert!(run.id != was.id && run.candidate.pool() != candidate.pool(), "a run of its own");
            let again = life.wanted().pools.iter().any(|d| d.pool() == candidate.pool());
            assert!(!again || life.stable.as_ref().is_some_and(|s| s.pool() == candidate.pool()), "with fresh instances");
            assert!(was.weight == Weight::ZERO || !was.is_moving(), "nobody's traffic is taken away");
        }
        let done = matches!(run.state, RunState::Completed { .. } | RunState::Reverted { .. });
        assert!(!done || run.state == was.state, "done is what an observation confirms");
        if before.frozen.is_some() {
            let forward = matches!(ask.action, Action::Step | Action::SkipGate | Action::Promote | Action::Retry | Action::Undo { .. });
            assert!(!forward && run.weight <= was.weight, "nothing goes forward while it is frozen");
        }
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
            Thing::Task(task) => self.task = task,
            Thing::Linger(lingers) => self.lingers = lingers,
            Thing::Gone(which) => {
                let gone = (0..5_u8).filter(|n| which >> n & 1 == 1);
                self.w.seen.gone = gone.map(|n| Digest::of(format!("v{n}").as_bytes())).collect();
            }
            Thing::Serve(seconds) => {
                let Some(stable) = self.w.life.stable.as_ref().map(|s| s.id.clone()) else { return };
                self.w.life.served(&stable, (10, 1), Duration::from_secs(seconds.into()), Duration::from_secs(seconds.into()), self.w.now);
            }
            Thing::Deploy(n, which, replace) => {
                self.w.spec = plan(which);
                let new = NewRun { id: self.w.fresh(), candidate: self.w.deployed(&format!("v{n}")), by: "ana".into(), now: self.w.now };
                let before = self.w.life.clone();
                let seen = self.w.seen.clone();
                let answer = if replace { self.w.life.replace(new, &seen) } else { self.w.life.deploy(new) };
                if answer.is_err() {
                    assert_eq!(self.w.life, before);
                    return;
                }
                assert!(before.frozen.is_none());
                let free = before.run.is_none_or(|r| !r.in_progress() || r.returning.is_some_and(|b| b.missed));
                assert!(free || replace, "one run at a time");
            }
            Thing::Crash => {
                let bytes = serde_json::to_vec(&self.w.life).unwrap();
                let before = std::mem::replace(&mut self.w.life, serde_json::from_slice(&bytes).unwrap());
                assert_eq!(self.w.life, before, "what is written is what is read");
                self.w.seen = Observed { gone: self.w.seen.gone.clone(), ..Observed::default() };
                let notes = self.w.life.recover(self.w.now, &"a crash".into());
                assert_eq!(notes.len(), 1, "it says what it found");
                let untried = Wanted { task: None, ..before.wanted() };
                assert_eq!(Wanted { task: None, ..self.w.life.wanted() }, untried, "a crash alone moves no traffic");
                let run = self.w.life.run.as_ref().unwrap();
                let away = run.alone() && run.weight == Weight::ZERO;
                assert!(!run.is_moving() || run.from.is_none() || run.is_held() || away, "an unfinished rollout is held");
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
        let back = run.returning.as_ref().filter(|_| matches!(run.state, RunState::Reverting { .. }));
        let alone = (run.alone() && run.is_moving()) || back.is_some_and(|b| b.alone);
        if let Some(stable) = &life.stable {
            assert!(self.ever_ready.contains(&stable.pool()));
            assert_eq!(wanted.stable, (!alone).then(|| stable.pool()));
            assert_eq!(wanted.pools.contains(stable), !alone, "stable is there as long as it is stable");
            assert!(!alone || wanted.pools.len() <= 1, "one version at a time");
            if run.is_moving() {
                self.back_is_open(run, stable);
            }
        }
        let untainted = |d: &&Deployed| {
            !self.w.seen.gone.contains(&d.artifact) && life.record(&d.id).taint.is_none() && life.record(&d.id).left.is_none()
        };
        if matches!(run.state, RunState::Completed { .. }) && life.past.iter().any(|d| untainted(&d)) {
            self.back_is_accepted();
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
    fn back_is_accepted(&self) -> Option<Life> {
        let to = self.w.life.way_back(&self.w.seen)?;
        let mut w = World { life: self.w.life.clone(), now: self.w.now, ..World::new(PLAN) };
        let mut ask = w.order(Action::Back { to });
        ask.belief = Belief { rev: Rev(0), at: Some(99), stable: None, candidate: None, ..ask.belief };
        let seen = Observed { gone: self.w.seen.gone.clone(), ..Observed::default() };
        w.life.act(&ask, &seen, &self.w.gates, w.now).unwrap();
        Some(w.life)
    }

    fn back_is_open(&self, run: &Run, stable: &Deployed) {
        let before = self.w.life.wanted();
        let Some(life) = self.back_is_accepted() else {
            assert!(run.alone() && !self.w.seen.gone.is_empty(), "there is a way back");
            return;
        };
        let wanted = life.wanted();
        if run.alone() {
            assert!(wanted.weight == Weight::ZERO && !wanted.pools.contains(&run.candidate), "the candidate ends first");
            return;
        }
        assert_eq!(wanted.stable, Some(stable.pool()));
        assert_eq!(wanted.pools.len(), before.pools.len(), "nothing is torn down before the router confirms");
        match run.pair().zip(run.bounds()) {
            None => assert_eq!(wanted.weight, Weight::ZERO),
            Some((pair, bounds)) => {
                assert!(wanted.weight <= before.weight && wanted.weight <= bounds.left_behind(pair.old));
                assert_eq!(wanted.instances.get(&stable.pool()), None, "every old instance is wanted again");
            }
        }
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
    let (mut completed, mut reverted, mut redeployed, mut deep, mut strategies) = (0, 0, 0, 0, BTreeSet::new());
    for _ in 0..200 {
        let world = live(&lives.new_tree(&mut runner).unwrap().current());
        completed += world.completed.saturating_sub(1);
        reverted += world.reverted;
        redeployed += world.redeployed;
        deep += u32::from(world.w.run().step > 1);
        strategies.extend(world.strategies);
    }
    assert!(completed > 10 && reverted > 50 && redeployed > 5 && deep > 30, "{completed} {reverted} {redeployed} {deep}");
    assert_eq!(strategies.len(), 4, "{strategies:?}");
}

/// What a rolling replacement does on a machine that obeys, at its own pace.
fn obey(old: u32, plan: &ServiceSpec, pace: &[(u32, bool)]) -> Option<World> {
    let mut w = World::new(PLAN);
    w.spec = ServiceSpec { instances: old, ..plan.clone() };
    w.deploy("v41").unwrap();
    w.ready("v41", old);
    w.spec = plan.clone();
    w.deploy("v42").unwrap();
    let mut ready = 0;
    for (more, fails) in pace {
        if matches!(w.run().state, RunState::Completed { .. }) {
            break;
        }
        let verdict = if *fails { fail(Arm::Candidate) } else { pass() };
        if w.run().traffic.is_some() {
            w.gates(&verdict);
        }
        let (bounds, pair) = (w.run().bounds().unwrap(), w.run().pair().unwrap());
        if w.run().stopped.is_some() {
            w.ready("v42", 100);
            assert_eq!(w.run().pair(), Some(pair), "a failed gate keeps the next batch back");
            return None;
        }
        // Those that were ready stay so; of those that were started some more are.
        ready = (ready + more).min(pair.new);
        w.ready("v42", ready);
        let seen = |label: &str| {
            w.seen.pools.iter().zip(w.life.wanted().pools).find(|(_, d)| d.label.as_str() == label).map_or(0, |(p, _)| p.ready)
        };
        assert!(seen("v41") + seen("v42") >= bounds.floor(), "never fewer ready than configured");
        let wanted = w.counts().iter().map(|(_, n)| n).sum::<u32>();
        assert!(wanted <= bounds.ceiling() || w.serving() == Some("v42"), "never more wanted than configured");
    }
    Some(w)
}

proptest! {
    #[test]
    fn a_rolling_replacement_keeps_its_bounds(
        old in 1..7_u32, new in 1..7_u32, surge in 0..3_u32, unavailable in 0..3_u32,
        pace in proptest::collection::vec((0..3_u32, proptest::bool::weighted(0.02)), 60),
    ) {
        prop_assume!(surge + unavailable > 0);
        let mut plan = plan(3);
        plan.instances = new;
        plan.rolling = crate::model::spec::Rolling { surge, unavailable };
        plan.gates.truncate(1);
        plan.deadline.ready = Duration::from_secs(3600);
        if let Some(w) = obey(old, &plan, &pace) {
            let enough = pace.iter().filter(|(more, _)| *more > 0).count() > 20;
            prop_assert!(w.serving() == Some("v42") || !enough, "it comes to its end: {:?}", w.run());
        }
    }
}
