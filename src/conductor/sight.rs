//! What the conductor is told each time: the machine, the gates, the time. And what follows from it
//! for one run: is it where it should be, what do its gates say.

use super::{
    life::{Deployed, Observed, PoolId, PoolSeen, Run, TaskSeen},
    rolling::Pair,
};
use crate::model::{
    failed::Failed,
    gate::{Arm, GateState, Verdict},
    ident::GateId,
    ratio::Weight,
    spec::{GateSpec, OnFail},
    step::StepSpec,
    text::Text,
    time::Time,
};

/// One look at the world.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    pub seen: &'a Observed,
    pub gates: &'a [GateState],
    pub now: Time,
}

/// A gate that has not passed where it should have.
pub(super) struct Pending {
    pub gate: GateId,
    pub word: &'static str,
    pub reason: Text,
    /// Whether it waits because the candidate looks worse.
    pub worse: bool,
    pub since: Time,
    pub eta: Option<std::time::Duration>,
}

impl<'a> Sight<'a> {
    fn pool(&self, pool: &PoolId) -> Option<&'a PoolSeen> {
        self.seen.pools.iter().find(|p| p.pool == *pool)
    }

    fn ready_of(&self, pool: &PoolId) -> u32 {
        self.pool(pool).map_or(0, |p| p.ready)
    }

    /// Ready instances of the candidate, and how many it should have now.
    pub fn ready(&self, run: &Run) -> (u32, u32) {
        (self.ready_of(&run.candidate.pool()), run.instances())
    }

    /// Ready instances of both versions of a rolling replacement, not counting those that are to end.
    pub fn ready_pair(&self, run: &Run) -> Option<Pair> {
        let batch = run.batch.as_ref()?;
        let old = if run.is_moving() { batch.old } else { batch.was };
        Some(Pair { new: self.ready_of(&run.candidate.pool()).min(batch.new), old: self.ready_of(&batch.pool).min(old) })
    }

    /// Whether every instance of a version is ready.
    pub fn whole(&self, deployed: &Deployed) -> bool {
        self.ready_of(&deployed.pool()) >= deployed.spec.instances.max(1)
    }

    /// `1/2 ready: exit code 1`.
    pub fn ready_of_text(&self, deployed: &Deployed) -> String {
        let pool = self.pool(&deployed.pool());
        let trouble = pool.and_then(|p| p.trouble.as_ref()).map(|t| format!(": {t}")).unwrap_or_default();
        format!("{}/{} ready{trouble}", pool.map_or(0, |p| p.ready), deployed.spec.instances.max(1))
    }

    /// Whether nothing is left of these.
    pub fn ended(&self, pools: &[PoolId]) -> bool {
        !pools.iter().any(|pool| self.pool(pool).is_some())
    }

    /// How the task of the current step stands.
    pub fn task(&self, run: &Run) -> Option<&'a TaskSeen> {
        self.seen.tasks.iter().find(|t| t.run == run.id && t.step == run.step && t.since == run.step_since)
    }

    /// Whether every instance of the candidate may get traffic.
    pub fn all_ready(&self, run: &Run) -> bool {
        let (ready, desired) = self.ready(run);
        ready >= desired
    }

    /// Whether the router does what is declared of the candidate.
    pub fn programmed(&self, run: &Run) -> bool {
        self.seen.programmed.as_ref().is_some_and(|programmed| *programmed == run.place_wanted())
    }

    /// What keeps the candidate from being where it should be; `None` when nothing does.
    pub fn short(&self, run: &Run) -> Option<Text> {
        if !self.all_ready(run) {
            return Some(self.ready_text(run));
        }
        if self.programmed(run) {
            return None;
        }
        Some(match &self.seen.programmed {
            Some((Some(pool), weight)) if *pool == run.candidate.pool() => format!("router at {weight}, not yet {}", run.weight).into(),
            Some(_) => "router does not know the canary yet".into(),
            None => "router not confirmed yet".into(),
        })
    }

    /// `canary 2/4 ready: exit code 1`.
    pub fn ready_text(&self, run: &Run) -> Text {
        let (ready, desired) = self.ready(run);
        let trouble = self.pool(&run.candidate.pool()).and_then(|p| p.trouble.as_ref()).map(|t| format!(": {t}")).unwrap_or_default();
        format!("canary {ready}/{desired} ready{trouble}").into()
    }

    /// The gates that decide and whose verdict belongs to this run, once the candidate had traffic. A
    /// verdict that rests on another run's requests says nothing about this one.
    pub fn judging(&self, run: &Run) -> impl Iterator<Item = &'a GateState> + use<'a> {
        let judged = run.state == super::life::RunState::Stepping && run.from.is_some() && run.traffic.is_some();
        // The clock may have been set back since the start.
        let started = run.converged.map_or(run.started.at, |at| at.min(run.started.at));
        self.gates
            .iter()
            .filter(move |g| judged && g.on_fail != OnFail::Advise)
            .filter(move |g| g.evidence.as_ref().is_none_or(|e| e.since >= started))
    }

    /// The deciding gates' states about a version that bakes, on evidence since it has all the traffic.
    pub fn baking(&self, since: Time) -> impl Iterator<Item = &'a GateState> + use<'a> {
        self.gates.iter().filter(move |g| g.on_fail != OnFail::Advise && g.evidence.as_ref().is_none_or(|e| e.since >= since))
    }

    /// The gates that fail.
    pub fn failing(&self, run: &Run) -> impl Iterator<Item = &'a GateState> + use<'a> {
        self.judging(run).filter(|g| matches!(g.verdict, Verdict::Fail { .. }))
    }

    /// The gates that fail and that no person has overruled. Who went on because stable was sick too has
    /// not overruled a gate that blames the candidate alone.
    pub fn failing_anew(&self, run: &Run) -> impl Iterator<Item = &'a GateState> + use<'a> {
        let (overruled, both) = (run.overruled, run.overruled_both);
        self.failing(run).filter(move |g| overruled.is_none_or(|at| g.since > at || both && !g.verdict.fails_both()))
    }

    /// Whether gates fail, and each of them says that stable is sick too. Then going on is offered, with a
    /// reason: going back does not help.
    pub fn fails_both(&self, run: &Run) -> bool {
        self.failing(run).next().is_some() && self.failing(run).all(|g| g.verdict.fails_both())
    }

    /// The gate that sends the traffic back by itself: only if it blames the candidate alone. Where
    /// stable is sick too, going back does not help.
    pub fn reverting(&self, run: &Run) -> Option<&'a GateState> {
        self.failing_anew(run).find(|g| g.on_fail == OnFail::Revert && matches!(g.verdict, Verdict::Fail { who: Arm::Candidate, .. }))
    }

    /// The gates that keep the weight where it is without having failed: they cannot see, or what they
    /// see looks worse. With no traffic on the candidate there is nothing to be seen.
    pub fn blind(&self, run: &Run) -> impl Iterator<Item = &'a GateState> + use<'a> {
        let traffic = run.weight > Weight::ZERO;
        self.judging(run)
            .filter(move |g| traffic && (matches!(g.verdict, Verdict::Blind { .. }) || g.evidence.as_ref().is_some_and(|e| e.holds)))
    }

    /// Whether the plan may by itself give the candidate this share.
    pub fn may_raise(&self, run: &Run, to: Weight) -> bool {
        to <= run.weight || self.eyes(run)
    }

    /// Whether no gate fails or cannot see; or a person left the gates of the batches that follow out.
    pub fn eyes(&self, run: &Run) -> bool {
        let hurried = run.batch.as_ref().is_some_and(|b| b.hurried) && run.steps_over();
        hurried || self.failing(run).next().is_none() && self.blind(run).next().is_none()
    }

    /// What the current gate step still waits for; empty at any other step.
    pub fn pending(&self, run: &Run) -> Vec<Pending> {
        let Some(StepSpec::Gate(gates)) = run.current() else { return Vec::new() };
        run.deciding().filter(|g| gates.includes(&g.name)).filter_map(|g| self.not_passed(run, g)).collect()
    }

    /// Every gate that this or a later gate step waits for and that has not passed now.
    pub fn pending_ahead(&self, run: &Run) -> Vec<Pending> {
        // Steps that are taken after each batch are still to come as long as there are batches.
        let from = if run.batch.is_some() && !run.all_done() { run.step.min(run.switch_at()) } else { run.step };
        let ahead = run.plan().get(from..).unwrap_or_default();
        let wanted = |g: &&GateSpec| ahead.iter().any(|s| matches!(s, StepSpec::Gate(gates) if gates.includes(&g.name)));
        run.deciding().filter(wanted).filter_map(|g| self.not_passed(run, g)).collect()
    }

    /// A pass counts only if it rests on requests since this weight converged.
    fn not_passed(&self, run: &Run, spec: &GateSpec) -> Option<Pending> {
        let wait = |reason: &str, since| {
            Some(Pending { gate: spec.name.clone(), word: "WAIT", reason: reason.into(), worse: false, since, eta: None })
        };
        let Some(gate) = self.gates.iter().find(|g| g.id == spec.name) else { return wait("not judged yet", run.step_since) };
        let here = run.converged.is_some_and(|at| gate.evidence.as_ref().is_none_or(|e| e.since >= at));
        match &gate.verdict {
            Verdict::Pass { .. } if here => None,
            Verdict::Pass { .. } => wait(&format!("not judged at {} yet", run.weight), run.step_since),
            verdict => Some(Pending {
                gate: gate.id.clone(),
                word: verdict.word(),
                reason: verdict.reason().clone(),
                worse: gate.looks_worse(),
                since: gate.since,
                eta: if let Verdict::Wait { eta, .. } = verdict { *eta } else { None },
            }),
        }
    }

    /// The gate that stopped the run or failed since, and has not passed, if there is one.
    pub fn still_stopped(&self, run: &Run) -> Option<GateId> {
        let passes = |f: &Failed| self.judging(run).any(|g| g.id == f.gate && g.verdict.passed());
        run.failed().into_iter().find(|f| f.stands && !passes(f)).map(|f| f.gate)
    }
}
