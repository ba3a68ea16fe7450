//! How a run starts: by a deploy, or as a retry of the one before.

use super::{
    Note,
    life::{Cause, Deployed, Life, Run, RunState},
    words,
};
use crate::model::{action::Refusal, event::Level, ident::RunId, ratio::Weight, rollout::Started, text::Text, time::Time};

/// A deploy.
#[derive(Clone, PartialEq, Debug)]
pub struct NewRun {
    /// The run's name, unique for ever.
    pub id: RunId,
    /// What is to replace stable. Its generation is given here, whatever it says.
    pub candidate: Deployed,
    /// Who starts it.
    pub by: Text,
    /// When.
    pub now: Time,
}

impl Life {
    /// Starts a run.
    ///
    /// # Errors
    /// [`Refusal::AlreadySo`] when the version is stable or is being rolled out already;
    /// [`Refusal::NotNow`] while another run is in progress.
    pub fn deploy(&mut self, new: NewRun) -> Result<Vec<Note>, Refusal> {
        let label = &new.candidate.label;
        if let Some(run) = self.run.as_ref().filter(|r| r.in_progress()) {
            if run.is_moving() && run.candidate.id == new.candidate.id {
                let since = words::second(run.started.at);
                return Err(Refusal::AlreadySo {
                    what: format!("run {} has been rolling out {label} since {since}", run.id.text()).into(),
                });
            }
            let why = if run.is_moving() {
                format!("run {} of {} is in progress: revert or promote it first", run.id.text(), run.candidate.label)
            } else {
                format!("run {} is going back: deploy when it is there", run.id.text())
            };
            return Err(Refusal::NotNow { why: why.into() });
        }
        if self.stable.as_ref().is_some_and(|s| s.id == new.candidate.id) {
            return Err(Refusal::AlreadySo { what: format!("{label} is stable already").into() });
        }
        let what = match &self.stable {
            Some(stable) => format!("run {} starts: {} → {label}", new.id.text(), stable.label),
            None => format!("run {} starts: first deploy, {label} gets 100 % once it is ready", new.id.text()),
        };
        let by = new.by.clone();
        self.start(new.id, new.candidate, new.by, new.now);
        Ok(vec![Note { level: Level::Info, by, what: what.into() }])
    }

    /// The candidate of the run that ended badly, to be tried again.
    ///
    /// # Errors
    /// Why there is nothing to retry.
    pub(super) fn retriable(&self) -> Result<Deployed, Refusal> {
        let Some(run) = &self.run else { return Err(Refusal::NotNow { why: "nothing was ever deployed".into() }) };
        let why = match &run.state {
            RunState::Reverted { .. } | RunState::Failed { .. } => return Ok(run.candidate.clone()),
            RunState::Starting if run.stopped.as_ref().is_some_and(|s| s.cause == Cause::Deadline) => return Ok(run.candidate.clone()),
            RunState::Starting | RunState::Stepping => format!("run {} is in progress: R goes back first", run.id.text()),
            RunState::Reverting { .. } => "going back: t retries once the router confirms it".into(),
            RunState::Completed { .. } => format!("{} is stable: nothing to retry", run.candidate.label),
        };
        Err(Refusal::NotNow { why: why.into() })
    }

    pub(super) fn start(&mut self, id: RunId, mut candidate: Deployed, by: Text, now: Time) {
        self.starts = self.highest_start().saturating_add(1);
        candidate.generation = self.starts;
        candidate.at = now;
        self.run = Some(Run {
            id,
            candidate,
            from: self.stable.as_ref().map(|s| s.id.clone()),
            started: Started { by, at: now },
            state: RunState::Starting,
            step: 0,
            step_since: now,
            weight: Weight::ZERO,
            converged: None,
            traffic: None,
            short: None,
            manual: None,
            stopped: None,
            bad_since: None,
            bad: Vec::new(),
            overruled: None,
        });
        self.moved();
    }

    fn highest_start(&self) -> u32 {
        let known = self
            .stable
            .iter()
            .chain(&self.past)
            .chain(self.warm.as_ref().map(|w| &w.deployed))
            .chain(self.run.as_ref().map(|r| &r.candidate));
        known.map(|d| d.generation).fold(self.starts, u32::max)
    }
}
