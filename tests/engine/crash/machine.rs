//! A machine that does what is wanted, but everything a look later than it was asked: instances get
//! ready one by one, leave when they have drained, and end with their host.

use cutover::{
    conductor::{
        Life, Observed, PoolId, PoolSeen,
        life::{TaskSeen, TaskState},
    },
    model::{
        gate::{Arm, Evidence, GateState, Verdict},
        ratio::Weight,
        signal::{Sample, SignalId},
        time::Time,
    },
};
use std::{collections::BTreeMap, time::Duration};

/// What every gate says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Says {
    #[default]
    Wait,
    Pass,
    Fail,
}

/// Empty: as after the death of its host.
#[derive(Clone, Default)]
pub struct Machine {
    pools: BTreeMap<PoolId, PoolSeen>,
    asked: Option<(Option<PoolId>, Weight)>,
    programmed: Option<(Option<PoolId>, Weight)>,
    tasks: Vec<TaskSeen>,
    /// What the gates say.
    pub says: Says,
    /// Whether what is tried on a candidate fails.
    pub refuses: bool,
}

impl Machine {
    /// Does the next bit of what is wanted, and is looked at.
    pub fn look(&mut self, life: &Life) -> Observed {
        let wanted = life.wanted();
        let leaves = |pool: &PoolId| !wanted.pools.iter().any(|d| d.pool() == *pool);
        self.pools.retain(|pool, seen| !leaves(pool) || seen.desired > 0);
        for (_, seen) in self.pools.iter_mut().filter(|(pool, _)| leaves(pool)) {
            (seen.desired, seen.ready) = (0, 0);
        }
        for deployed in &wanted.pools {
            let desired = wanted.instances.get(&deployed.pool()).copied().unwrap_or(deployed.spec.instances);
            match self.pools.get_mut(&deployed.pool()) {
                Some(seen) => (seen.desired, seen.ready) = (desired, (seen.ready + 1).min(desired)),
                None => {
                    let seen = PoolSeen { pool: deployed.pool(), desired, ready: 0, trouble: None };
                    self.pools.insert(deployed.pool(), seen);
                }
            }
        }
        self.programmed = self.asked.replace((wanted.candidate.clone(), wanted.weight));
        if let Some(task) = &wanted.task {
            let known = self.tasks.iter_mut().find(|t| (&t.run, t.step, t.since) == (&task.run, task.step, task.since));
            match known {
                Some(known) if self.refuses => known.state = TaskState::Failed("500".into()),
                Some(known) => known.state = TaskState::Done("worked".into()),
                None => {
                    let state = TaskState::Running("1 of 2".into());
                    self.tasks.push(TaskSeen {
                        run: task.run.clone(),
                        step: task.step,
                        since: task.since,
                        state,
                        took: Duration::ZERO,
                        answers: vec![],
                    });
                }
            }
        }
        self.seen()
    }

    /// What there is now.
    pub fn seen(&self) -> Observed {
        Observed {
            pools: self.pools.values().cloned().collect(),
            programmed: self.programmed.clone(),
            tasks: self.tasks.clone(),
            ..Observed::default()
        }
    }

    /// The gates of whoever is judged, on evidence since the weight converged.
    pub fn gates(&self, life: &Life, now: Time) -> Vec<GateState> {
        let Some(judged) = life.judged() else { return Vec::new() };
        let sample = Sample::Counts { hits: 0.0, of: 0.0 };
        let since = judged.since.unwrap_or(now);
        let verdict = match self.says {
            Says::Wait => Verdict::Wait { missing: "340 requests".into(), eta: None },
            Says::Pass => Verdict::Pass { why: "0.20<=1.20 %".into() },
            Says::Fail => Verdict::Fail { who: Arm::Candidate, why: "12.30>5.00 %".into() },
        };
        let gate = |spec: &cutover::model::spec::GateSpec| GateState {
            id: spec.name.clone(),
            signal: SignalId::Errors,
            rule: "".into(),
            on_fail: spec.on_fail(),
            verdict: verdict.clone(),
            since: now,
            evidence: Some(Evidence { candidate: sample, stable: sample, limit: Some(5.0), since, ..Evidence::default() }),
        };
        judged.who.spec.gates.iter().map(gate).collect()
    }
}
