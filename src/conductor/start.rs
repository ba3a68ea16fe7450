//! How a run starts: by a deploy, as a retry of the one before, as an undo to an older version, or after
//! a way back that made room for it.

use super::{
    Note,
    ask::Ordered,
    life::{Batch, Cause, Deployed, Life, Observed, Queued, Run, RunState},
    rolling::Bounds,
    words,
};
use crate::model::{
    action::Refusal,
    digest::Digest,
    event::Level,
    ident::{RunId, VersionId},
    ratio::Weight,
    rollout::Started,
    spec::Strategy,
    text::Text,
    time::Time,
};
use std::collections::BTreeMap;

/// What a deploy can do while another run is in progress.
const REPLACE: &str = ", or --replace goes back and then deploys";

fn busy(run: &Run, or: &str) -> Refusal {
    let why = if run.is_moving() {
        format!("run {} of {} is in progress: revert or promote it first{or}", run.id.text(), run.candidate.label)
    } else {
        format!("run {} is going back: deploy when it is there", run.id.text())
    };
    Refusal::NotNow { why: why.into() }
}

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
    /// [`Refusal::NotNow`] while another run is in progress; [`Refusal::Frozen`].
    pub fn deploy(&mut self, new: NewRun) -> Result<Vec<Note>, Refusal> {
        self.may_start(&new.candidate, REPLACE)?;
        let what = self.starts_text(&new.id, &new.candidate.label);
        let (by, label) = (new.by.clone(), new.candidate.label.clone());
        let taint = self.record(&new.candidate.id).taint;
        self.start(new.id, new.candidate, new.by, new.now);
        let mut notes = vec![Note { level: Level::Info, by: by.clone(), what: what.into() }];
        notes.extend(taint.map(|t| {
            let what = format!("{label} was tainted by {}: {}", t.by, t.reason).into();
            Note { level: Level::Warn, by, what }
        }));
        Ok(notes)
    }

    /// Starts a run, also while another one is in progress: that one goes back first, and this one
    /// starts when it is back. One action, which [`Life::advance`] finishes.
    ///
    /// # Errors
    /// As [`Life::deploy`], but for a run in progress.
    pub fn replace(&mut self, new: NewRun, seen: &Observed) -> Result<Vec<Note>, Refusal> {
        self.not_frozen()?;
        let Some(run) = self.run.as_ref().filter(|r| r.in_progress() || r.then.is_some()) else { return self.deploy(new) };
        if let Some(then) = run.then.as_ref().filter(|t| t.candidate.id == new.candidate.id) {
            let what = format!("run {} of {} starts when the traffic is back", then.id.text(), then.candidate.label);
            return Err(Refusal::AlreadySo { what: what.into() });
        }
        if run.is_moving() && run.candidate.id == new.candidate.id {
            return self.deploy(new);
        }
        self.may_be_candidate(&new.candidate)?;
        let (by, label, now) = (new.by.clone(), new.candidate.label.clone(), new.now);
        let (id, replaced) = (new.id.clone(), run.candidate.label.clone());
        if run.from.is_none() {
            // Nothing serves yet, so there is nothing to go back to.
            self.start(new.id, new.candidate, new.by, now);
            let what = format!("run {} starts: {replaced} is given up, {label} gets 100 % once it is ready", id.text());
            return Ok(vec![Note { level: Level::Warn, by, what: what.into() }]);
        }
        let mut notes = Vec::new();
        if run.is_moving() {
            let why = format!("replaced by {label}").into();
            match self.go_back(&by, Some(&why), Level::Warn, &seen.gone, now) {
                Some(note) => notes.push(note),
                None => return Err(Refusal::NotNow { why: format!("{replaced} cannot go back, so {label} cannot follow").into() }),
            }
        } else {
            notes.push(Note {
                level: Level::Info,
                by: by.clone(),
                what: format!("run {} of {label} starts when the traffic is back", id.text()).into(),
            });
        }
        if let Some(run) = &mut self.run {
            run.then = Some(Box::new(Queued { id, candidate: new.candidate, by }));
        }
        self.moved();
        Ok(notes)
    }

    /// What waited for the way back starts.
    pub(super) fn start_next(&mut self, now: Time) -> Option<Note> {
        let queued = self.run.as_mut()?.then.take()?;
        if self.stable.as_ref().is_some_and(|s| s.id == queued.candidate.id) {
            self.moved();
            return Some(Note::plan(format!("{} is stable already", queued.candidate.label)));
        }
        let what = self.starts_text(&queued.id, &queued.candidate.label);
        let by = queued.by.clone();
        self.start(queued.id, queued.candidate, queued.by, now);
        Some(Note { level: Level::Info, by, what: what.into() })
    }

    /// Deploys an older version again, through its plan.
    pub(super) fn undo(&mut self, ask: &Ordered, to: &VersionId, seen: &Observed, now: Time) -> Result<Note, Refusal> {
        self.not_frozen()?;
        let not_now = |why: String| Err(Refusal::NotNow { why: why.into() });
        let Some(older) = self.remembered().find(|d| d.id == *to).cloned() else {
            let can: Vec<_> = self.past.iter().filter(|d| !seen.gone.contains(&d.artifact)).map(|d| d.label.as_str()).collect();
            let can = if can.is_empty() { "none is kept".into() } else { format!("there are {}", can.join(", ")) };
            return not_now(format!("no such version is remembered: {can}"));
        };
        self.may_start(&older, "")?;
        if seen.gone.contains(&older.artifact) {
            return not_now(format!("the artifact of {} is not in the store any more: deploy it from where it is", older.label));
        }
        if let Some(taint) = self.record(to).taint.filter(|_| !ask.reasoned()) {
            return not_now(format!(
                "{} was tainted by {}: {}; to deploy it all the same give a reason",
                older.label, taint.by, taint.reason
            ));
        }
        let effect = self.starts_text(&ask.fresh, &older.label);
        self.start(ask.fresh.clone(), older, ask.by.clone(), now);
        Ok(self.acted(ask, effect, now))
    }

    fn starts_text(&self, id: &RunId, label: &Text) -> String {
        match &self.stable {
            Some(stable) => format!("run {} starts: {} → {label}", id.text(), stable.label),
            None => format!("run {} starts: first deploy, {label} gets 100 % once it is ready", id.text()),
        }
    }

    fn may_be_candidate(&self, candidate: &Deployed) -> Result<(), Refusal> {
        if self.stable.as_ref().is_some_and(|s| s.id == candidate.id) {
            return Err(Refusal::AlreadySo { what: format!("{} is stable already", candidate.label).into() });
        }
        Ok(())
    }

    /// Whether a run of it may start; `or` is what else can be done while another is in progress.
    fn may_start(&self, candidate: &Deployed, or: &str) -> Result<(), Refusal> {
        self.not_frozen()?;
        let label = &candidate.label;
        if let Some(run) = self.in_the_way() {
            if run.is_moving() && run.candidate.id == candidate.id {
                let since = words::second(run.started.at);
                return Err(Refusal::AlreadySo {
                    what: format!("run {} has been rolling out {label} since {since}", run.id.text()).into(),
                });
            }
            return Err(busy(run, or));
        }
        self.may_be_candidate(candidate)
    }

    /// The run that another one has to wait for.
    fn in_the_way(&self) -> Option<&Run> {
        // A re-deploy that does not succeed is no reason to try nothing else.
        let tries_on = |r: &Run| r.returning.as_ref().is_some_and(|b| b.missed);
        self.run.as_ref().filter(|r| (r.in_progress() || r.then.is_some()) && !tries_on(r))
    }

    /// What refuses a deploy of this artifact whatever else it needs: to be known before the artifact is read,
    /// copied and unpacked for nothing.
    ///
    /// # Errors
    /// As [`Life::deploy`]; what depends on the configuration is not looked at.
    pub fn bars(&self, artifact: &Digest, replace: bool) -> Result<(), Refusal> {
        self.not_frozen()?;
        // The same artifact may be the same version, which is no refusal.
        let other = |r: &&Run| r.candidate.artifact != *artifact;
        self.in_the_way().filter(other).filter(|_| !replace).map_or(Ok(()), |run| Err(busy(run, REPLACE)))
    }

    /// The candidate of the run that failed, to be tried again.
    ///
    /// # Errors
    /// Why there is nothing to retry.
    pub(super) fn retriable(&self) -> Result<Deployed, Refusal> {
        let Some(run) = &self.run else { return Err(Refusal::NotNow { why: "nothing was ever deployed".into() }) };
        let why = match &run.state {
            RunState::Reverted { .. } | RunState::Failed { .. } => return Ok(run.candidate.clone()),
            RunState::Starting | RunState::Stepping if run.failed_untouched() => {
                run.not_paused()?;
                return Ok(run.candidate.clone());
            }
            RunState::Starting | RunState::Stepping => format!("run {} is in progress: R goes back first", run.id.text()),
            RunState::Reverting { .. } => "going back: t retries once the router confirms it".into(),
            RunState::Completed { .. } => format!("{} is stable: nothing to retry", run.candidate.label),
        };
        Err(Refusal::NotNow { why: why.into() })
    }

    pub(super) fn start(&mut self, id: RunId, mut candidate: Deployed, by: Text, now: Time) {
        self.put_aside(&candidate.id);
        self.starts = self.highest_start().saturating_add(1);
        candidate.generation = self.starts;
        candidate.at = now;
        let strategy = self.stable.as_ref().map(|_| candidate.spec.strategy);
        let batch = self.stable.as_ref().filter(|_| strategy == Some(Strategy::Rolling)).map(|stable| {
            let was = stable.spec.instances.max(1);
            let first = Bounds { new: candidate.spec.instances.max(1), old: was, rolling: candidate.spec.rolling }.first();
            Batch {
                new: first.new,
                old: first.old,
                pool: stable.pool(),
                was,
                since: now,
                ready: false,
                share: Weight::ZERO,
                hurried: false,
            }
        });
        let ending: Vec<_> = match (strategy, &self.stable) {
            (Some(Strategy::Recreate), Some(stable)) => {
                let left = self.run.as_ref().map(|r| r.candidate.pool());
                let warm = self.warm.take().map(|w| w.deployed.pool());
                [Some(stable.pool()), left, warm].into_iter().flatten().collect()
            }
            _ => Vec::new(),
        };
        self.run = Some(Run {
            id,
            candidate,
            from: self.stable.as_ref().map(|s| s.id.clone()),
            started: Started { by, at: now },
            state: RunState::Starting,
            step: 0,
            step_since: now,
            weight: Weight::ZERO,
            marks: Vec::new(),
            converged: None,
            traffic: None,
            short: None,
            manual: None,
            stopped: None,
            bad_since: None,
            failures: BTreeMap::new(),
            bad: Vec::new(),
            overruled: None,
            overruled_both: false,
            batch,
            ending,
            tried: Vec::new(),
            returning: None,
            then: None,
        });
        self.moved();
    }

    pub(super) fn highest_start(&self) -> u32 {
        let known = self
            .stable
            .iter()
            .chain(&self.past)
            .chain(self.warm.as_ref().map(|w| &w.deployed))
            .chain(self.run.as_ref().map(|r| &r.candidate))
            .chain(self.run.as_ref().and_then(|r| r.returning.as_ref()).map(|r| &r.to));
        known.map(|d| d.generation).fold(self.starts, u32::max)
    }
}

impl Run {
    /// Whether it stopped because its candidate failed (not ready in time, a check or a warm-up) while it has
    /// no traffic: then nobody needs its instances, and it can be started over without going back first.
    pub(super) fn failed_untouched(&self) -> bool {
        let failed = self.stopped.as_ref().is_some_and(|s| matches!(s.cause, Cause::Deadline | Cause::Check));
        self.is_moving() && failed && self.weight == Weight::ZERO
    }
}
