//! What the machine should be like, from what is remembered and nothing else. A host that crashed
//! anywhere goes on from here.

use super::life::{Life, Run, RunState, Task, Wanted};
use crate::model::{ratio::Weight, step::StepSpec};

impl Life {
    /// What should run and be routed.
    ///
    /// - Stable's pool is wanted as long as it is stable; the candidate's from its start until the
    ///   promotion (it is stable then) or until the router confirmed the way back; the version before
    ///   stable as long as it is kept warm. Where the strategy is `recreate` stable's is not wanted while
    ///   a run moves, and the candidate's only once stable's has ended.
    /// - The candidate's share is above 0 only in [`RunState::Stepping`] (and, of a rolling replacement,
    ///   for as long on the way back as too few of the old instances are ready). After a promotion the
    ///   candidate *is* stable and nobody has its place.
    /// - A version that is started again for the way back has the candidate's place, and what was
    ///   promoted goes on as stable until the router confirms the switch.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        let Some(run) = &self.run else {
            return Wanted {
                stable: self.stable.as_ref().map(super::life::Deployed::pool),
                pools: self.stable.iter().cloned().collect(),
                ..Wanted::default()
            };
        };
        let (candidate, weight) = run.place_wanted();
        let mut wanted = Wanted { candidate, weight, preview: run.preview(), task: run.task(), ..Wanted::default() };
        if let Some(stable) = self.stable.as_ref().filter(|_| !run.excludes_others()) {
            wanted.stable = Some(stable.pool());
            wanted.pools.push(stable.clone());
        }
        match (&run.state, &run.returning) {
            (RunState::Reverting { .. }, Some(back)) if back.ending.is_empty() => wanted.pools.push(back.to.clone()),
            (RunState::Reverting { .. }, Some(_)) | (RunState::Reverted { .. } | RunState::Completed { .. }, _) => {}
            (_, _) if run.ending.is_empty() => {
                wanted.pools.push(run.candidate.clone());
                if run.instances() != run.candidate.spec.instances {
                    wanted.instances.insert(run.candidate.pool(), run.instances());
                }
                // On the way back every old instance is wanted again.
                if let Some(batch) = run.batch.as_ref().filter(|b| run.is_moving() && b.old != b.was) {
                    wanted.instances.insert(batch.pool.clone(), batch.old);
                }
            }
            (_, _) => {}
        }
        wanted.pools.extend(self.warm.as_ref().filter(|_| !run.excludes_others()).map(|w| w.deployed.clone()));
        wanted
    }
}

impl Run {
    /// Whether nothing but what this run starts may run now.
    fn excludes_others(&self) -> bool {
        match &self.state {
            RunState::Starting | RunState::Stepping => self.alone(),
            RunState::Reverting { .. } => self.returning.as_ref().is_some_and(|back| back.alone),
            RunState::Reverted { .. } | RunState::Completed { .. } | RunState::Failed { .. } => false,
        }
    }

    /// What arrives at the preview listener goes to the candidate while nothing else does.
    fn preview(&self) -> Option<super::life::PoolId> {
        (self.is_moving() && self.from.is_some() && self.ending.is_empty() && self.weight == Weight::ZERO).then(|| self.candidate.pool())
    }

    /// What is to be tried now. A run that stopped tries nothing.
    fn task(&self) -> Option<Task> {
        let due = self.state == RunState::Stepping && self.weight == Weight::ZERO && self.stopped.is_none();
        let what = self.current().filter(|step| due && matches!(step, StepSpec::Check(_) | StepSpec::Warm(_)))?;
        Some(Task { run: self.id.clone(), step: self.step, since: self.step_since, pool: self.candidate.pool(), what: what.clone() })
    }
}
