//! After the host ended without finishing: what was found, and what becomes of it.
//!
//! Stable serves again at once. A rollout that had traffic is held at its weights, one that had none
//! stays at stable; both wait for a person, since what was measured is lost. A way back goes on. A
//! first deploy goes on too: there is nothing it could hurt. So does a `recreate` without traffic, whose
//! old version has ended: every moment of waiting is one without service. A version that bakes goes on
//! from what it had served when that was written.

use super::{
    Note,
    life::{Cause, Life, RunState},
};
use crate::model::{event::Level, ratio::Weight, text::Text, time::Time};

impl Life {
    /// To be called once, before anything is started again. `why` says what ended the host, as a
    /// noun: `a restart of the host`.
    pub fn recover(&mut self, now: Time, why: &Text) -> Vec<Note> {
        let stable = self.stable.as_ref().map_or_else(|| "no stable version".into(), |s| format!("{} stable", s.label));
        let note =
            |level, what: String| vec![Note { level, by: "host".into(), what: format!("after {why}: found {stable}, {what}").into() }];
        let Some(run) = &mut self.run else { return note(Level::Info, "nothing was deployed".into()) };
        let label = run.candidate.label.clone();
        if run.is_moving() {
            // The counters started again with the host, and so did the instances.
            run.converged = None;
            run.short = None;
            if run.state == RunState::Starting {
                run.step_since = now;
            }
            if let Some(batch) = &mut run.batch {
                batch.since = now;
                batch.ready = false;
            }
        }
        if let Some(back) = run.returning.as_mut().filter(|b| !b.serves) {
            back.since = now;
        }
        let away = run.alone() && run.weight == Weight::ZERO && run.stopped.is_none();
        let what = match &run.state {
            RunState::Starting | RunState::Stepping if run.from.is_none() || away => format!("{label} is started again"),
            RunState::Starting | RunState::Stepping => {
                let place = if run.weight == Weight::ZERO { "without traffic".into() } else { format!("at {}", run.weight) };
                let found = format!("{label} {place}, held");
                if run.stopped.is_none() {
                    let stopped = super::life::Stopped { why: why.clone(), since: now, gate: None, cause: Cause::Restart };
                    run.stopped = Some(stopped);
                }
                self.moved();
                return note(Level::Warn, found);
            }
            RunState::Reverting { .. } => match &run.returning {
                Some(back) => format!("going back from {label} goes on: {} is started", back.to.label),
                None => format!("going back from {label} goes on"),
            },
            RunState::Failed { .. } => format!("{label} is tried again"),
            RunState::Reverted { .. } | RunState::Completed { .. } => "no rollout in progress".into(),
        };
        self.touch();
        note(Level::Info, what)
    }
}
