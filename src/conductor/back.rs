//! The way back: where it goes, how, and each of its moves.
//!
//! | state | goes to | how |
//! |---|---|---|
//! | a candidate rolls | stable | switch; a rolling replacement starts the old instances that are missing |
//! | a candidate rolls, `recreate` | the version that ended for it | re-deploy, once the candidate has ended |
//! | completed, the old one warm | the old one | switch |
//! | completed, the old one gone | the last good version | re-deploy |
//! | gone back | – | already there, never one version further |
//!
//! A re-deploy is one action: the version is started again with fresh instances while the bad one keeps
//! serving (unless the strategy lets only one run), and gets all the traffic at once as soon as all of
//! it is ready. No step, gate or freeze is in its way. One that does not get ready in time is tried on;
//! a person may then go elsewhere, since *that* way back is not the fastest any more.
//!
//! The last good version: of those that were stable before, the newest that baked, else the newest at
//! all; never one that is tainted or that is not in the store any more.

use super::{
    Note,
    ask::Ordered,
    life::{Deployed, Life, Observed, Returning, RunState},
    sight::Sight,
    words,
};
use crate::model::{
    action::{Action, Refusal},
    back::How,
    digest::Digest,
    event::Level,
    ident::VersionId,
    ratio::Weight,
    rollout::LastAction,
    spec::Strategy,
    text::Text,
    time::{Time, after},
};
use std::collections::BTreeSet;

/// A way back that can be taken now.
pub(super) enum Route<'a> {
    /// Stable's instances are there.
    Switch(&'a Deployed),
    /// Those of the version before stable still are.
    Warm(&'a Deployed),
    /// It must be started again.
    Start(&'a Deployed),
}

impl<'a> Route<'a> {
    pub const fn to(&self) -> &'a Deployed {
        match self {
            Self::Switch(to) | Self::Warm(to) | Self::Start(to) => to,
        }
    }
}

impl Life {
    /// The version that [`Action::Back`] goes to now, or went to.
    #[must_use]
    pub fn way_back(&self, seen: &Observed) -> Option<VersionId> {
        self.goes_to(seen).map(|to| to.id.clone())
    }

    /// The same, as it was deployed.
    pub(super) fn goes_to(&self, seen: &Observed) -> Option<&Deployed> {
        if let Some(route) = self.route(&seen.gone) {
            return Some(route.to());
        }
        let run = self.run.as_ref()?;
        match (&run.state, &run.returning) {
            (RunState::Reverting { .. }, Some(back)) => Some(&back.to),
            (RunState::Reverting { .. } | RunState::Reverted { .. }, _) => self.stable.as_ref(),
            _ => None,
        }
    }

    /// The way back that would be taken now; `None` if there is none or it is being taken.
    pub(super) fn route(&self, gone: &BTreeSet<Digest>) -> Option<Route<'_>> {
        let run = self.run.as_ref()?;
        let untainted = |d: &&Deployed| self.records.get(&d.id).is_none_or(|r| r.taint.is_none());
        match &run.state {
            RunState::Starting | RunState::Stepping if run.alone() => {
                let before = self.stable.as_ref().filter(|s| !gone.contains(&s.artifact));
                let start = before.filter(untainted).or_else(|| self.last_good(gone, &[&run.candidate.id])).or(before);
                start.map(Route::Start)
            }
            RunState::Starting | RunState::Stepping => self.stable.as_ref().map(Route::Switch),
            RunState::Completed { .. } => {
                let warm = self.warm.as_ref().map(|w| &w.deployed).filter(untainted);
                warm.map(Route::Warm).or_else(|| self.last_good(gone, &[&run.candidate.id]).map(Route::Start))
            }
            RunState::Reverting { .. } => {
                let back = run.returning.as_ref().filter(|back| back.missed)?;
                self.last_good(gone, &[&run.candidate.id, &back.to.id]).map(Route::Start)
            }
            RunState::Reverted { .. } | RunState::Failed { .. } => None,
        }
    }

    fn last_good(&self, gone: &BTreeSet<Digest>, but: &[&VersionId]) -> Option<&Deployed> {
        let fits = |d: &&Deployed| {
            let record = self.records.get(&d.id);
            !but.contains(&&d.id) && !gone.contains(&d.artifact) && record.is_none_or(|r| r.taint.is_none() && r.left.is_none())
        };
        let good = |d: &&Deployed| self.records.get(&d.id).is_some_and(|r| r.good);
        self.past.iter().filter(fits).find(good).or_else(|| self.past.iter().find(fits))
    }

    /// How the way back goes.
    pub(super) fn how(&self, seen: &Observed) -> How {
        let none = |why: String| How::None { why: why.into() };
        let Some(run) = &self.run else { return none("nothing was ever deployed".into()) };
        match (&run.state, self.route(&seen.gone)) {
            (_, Some(Route::Start(to))) => How::Redeploy { steps: to.spec.steps.len() },
            (_, Some(Route::Switch(to))) if self.lacks_old() => How::Redeploy { steps: to.spec.steps.len() },
            (_, Some(_)) => How::Switch,
            (RunState::Reverting { asked: since, .. } | RunState::Reverted { at: since, .. }, None) => How::Already { since: *since },
            (RunState::Completed { .. }, None) => none(self.nowhere(seen)),
            (_, None) if run.from.is_some() => none(self.nowhere(seen)),
            (_, None) => none("first version: there is none to go back to".into()),
        }
    }

    /// Whether a rolling replacement has taken more old instances away than may be missing.
    fn lacks_old(&self) -> bool {
        let run = self.run.as_ref().filter(|r| r.is_moving());
        run.is_some_and(|r| r.pair().zip(r.bounds()).is_some_and(|(pair, bounds)| bounds.left_behind(pair.old) > Weight::ZERO))
    }

    /// Why there is nowhere to go, and what could be deployed.
    fn nowhere(&self, seen: &Observed) -> String {
        let mut others: Vec<&Deployed> = Vec::new();
        let warm = self.warm.as_ref().map(|w| &w.deployed);
        for deployed in warm.into_iter().chain(&self.past) {
            if self.stable.as_ref().is_none_or(|s| s.id != deployed.id) && others.iter().all(|o| o.id != deployed.id) {
                others.push(deployed);
            }
        }
        let Some(last) = others.first() else { return "no version before this one is kept".into() };
        let why = |d: &Deployed| {
            let record = self.record(&d.id);
            let gone = seen.gone.contains(&d.artifact);
            let tainted = record.taint.map(|t| format!("was tainted by {}", t.by));
            let left = record.left.map(|_| "was left".to_owned());
            if gone { Some("is not in the store any more".to_owned()) } else { tainted.or(left) }
        };
        let can: Vec<&str> = others.iter().filter(|d| !seen.gone.contains(&d.artifact)).map(|d| d.label.as_str()).collect();
        let first = format!("{} {}", last.label, why(last).unwrap_or_else(|| "is no longer warm".into()));
        if can.is_empty() { first } else { format!("{first}; could be deployed: {}", can.join(", ")) }
    }

    pub(super) fn back(&mut self, ask: &Ordered, to: &VersionId, sight: &Sight<'_>) -> Result<Note, Refusal> {
        let not_now = |why: String| Err(Refusal::NotNow { why: why.into() });
        let already = |what: String| Err(Refusal::AlreadySo { what: what.into() });
        let Some(run) = &self.run else { return not_now("nothing was ever deployed".into()) };
        let goes = self.way_back(sight.seen);
        // While a re-deploy that missed its deadline is tried on, asking for it again is no mistake.
        if let (RunState::Reverting { asked, by }, Some(back)) = (&run.state, &run.returning)
            && back.to.id == *to
            && run.then.is_none()
        {
            return already(format!("already going back to {}: {by} {}", back.to.label, words::second(*asked)));
        }
        match (&run.state, goes) {
            (RunState::Completed { .. }, None) => not_now(self.nowhere(sight.seen)),
            (_, None) if run.from.is_some() => not_now(self.nowhere(sight.seen)),
            (_, None) => not_now("first deploy: there is no version to go back to".into()),
            (_, Some(goes)) if goes != *to => {
                let label = self.label_of(&goes);
                Err(Refusal::Moved { what: format!("the way back goes to {label} now").into() })
            }
            // One that misses its deadline may be left for another; what was to follow is called off with it.
            (RunState::Reverting { .. } | RunState::Reverted { .. }, Some(goes))
                if run.then.is_some() && self.route(&sight.seen.gone).is_none() =>
            {
                Ok(self.call_off(ask, &goes, sight.now))
            }
            (RunState::Reverted { at, .. }, Some(goes)) => {
                already(format!("already back on {} since {}", self.label_of(&goes), words::second(*at)))
            }
            (RunState::Reverting { asked, by }, Some(goes)) if self.route(&sight.seen.gone).is_none() => {
                already(format!("already going back to {}: {by} {}", self.label_of(&goes), words::second(*asked)))
            }
            (_, Some(_)) => {
                let route = self.route(&sight.seen.gone);
                let slow = route.filter(|r| ask.switch_only && (matches!(r, Route::Start(_)) || self.lacks_old()));
                if let Some(route) = slow {
                    return not_now(format!(
                        "only a re-deploy leads back to {}, and only a switch was asked for: leave --switch-only out",
                        route.to().label
                    ));
                }
                let note = self.go_back(&ask.by, ask.reason.as_ref(), Level::Warn, &sight.seen.gone, sight.now);
                note.map_or_else(|| not_now("there is no version to go back to".into()), Ok)
            }
        }
    }

    /// Who wants to be back does not want the deploy that was to follow.
    fn call_off(&mut self, ask: &Ordered, to: &VersionId, now: Time) -> Note {
        let label = self.label_of(to);
        let queued = self.run.as_mut().and_then(|r| r.then.take());
        let effect: Text = format!("back on {label}; {} is not started", queued.map(|q| q.candidate.label).unwrap_or_default()).into();
        self.last = Some(LastAction { by: ask.by.clone(), action: ask.action.clone(), at: now, effect: effect.clone() });
        self.moved();
        Note { level: Level::Warn, by: ask.by.clone(), what: effect }.because(ask.reason.as_ref())
    }

    /// Takes the way back, at once.
    pub(super) fn go_back(&mut self, by: &Text, why: Option<&Text>, level: Level, gone: &BTreeSet<Digest>, now: Time) -> Option<Note> {
        let (to, start) = match self.route(gone)? {
            Route::Switch(to) => (to.clone(), false),
            Route::Warm(to) => {
                let to = to.clone();
                self.warm = None;
                self.past.retain(|p| p.id != to.id);
                self.stable = Some(to.clone());
                self.crown(&to.id, to.spec.bake, now);
                (to, false)
            }
            Route::Start(to) => (to.clone(), true),
        };
        let unproven = start && !self.record(&to.id).good && to.spec.bake > std::time::Duration::ZERO;
        let returning = start.then(|| self.return_to(to.clone(), now)).flatten();
        let run = self.run.as_mut()?;
        let left = run.candidate.id.clone();
        let served = run.traffic.is_some();
        // Old instances that a rolling replacement took away are started again: until then the candidate
        // keeps what the others cannot carry.
        let keeps = run.pair().zip(run.bounds()).map_or(Weight::ZERO, |(pair, bounds)| bounds.left_behind(pair.old));
        run.share(if start || !run.is_moving() { Weight::ZERO } else { run.weight.min(keeps) }, now);
        let asked = match &run.state {
            RunState::Reverting { asked, .. } => *asked,
            _ => now,
        };
        run.state = RunState::Reverting { asked, by: by.clone() };
        run.returning = returning;
        run.then = None;
        run.converged = None;
        run.manual = None;
        run.stopped = None;
        run.short = None;
        let how = if start { " by re-deploy" } else { "" };
        let unproven = if unproven { ", never proven" } else { "" };
        let because = why.filter(|w| !w.is_empty()).map(|w| format!(": {w}")).unwrap_or_default();
        let effect: Text = format!("back on {}{how}{unproven}{because}", to.label).into();
        self.blame(
            &left,
            &why.filter(|w| !w.is_empty()).cloned().unwrap_or_else(|| format!("{by} went back").into()),
            served.then_some(now),
        );
        let action = Action::Back { to: to.id };
        self.last = Some(LastAction { by: by.clone(), action, at: now, effect: effect.clone() });
        self.moved();
        Some(Note { level, by: by.clone(), what: effect })
    }

    fn return_to(&mut self, mut to: Deployed, now: Time) -> Option<Returning> {
        self.starts = self.highest_start().saturating_add(1);
        to.generation = self.starts;
        to.at = now;
        let run = self.run.as_ref()?;
        let alone = run.alone() || to.spec.strategy == Strategy::Recreate;
        let before = run.returning.as_ref().map(|r| r.to.pool());
        let others = self.stable.iter().map(Deployed::pool).chain([run.candidate.pool()]).chain(before).chain(run.ending.iter().cloned());
        let ending: Vec<_> = if alone { others.collect() } else { Vec::new() };
        if alone {
            self.warm = None;
        }
        Some(Returning { to, since: now, alone, ending, serves: false, missed: false })
    }

    /// What a version that is started again does next, if anything.
    pub(super) fn come_back(&mut self, sight: &Sight<'_>) -> Option<Note> {
        let run = self.run.as_mut().filter(|r| matches!(r.state, RunState::Reverting { .. }))?;
        let left = run.candidate.label.clone();
        let back = run.returning.as_mut().filter(|b| !b.serves)?;
        let label = back.to.label.clone();
        let due = after(back.since, back.to.spec.deadline.ready);
        let note = if !back.ending.is_empty() {
            if !sight.ended(&back.ending) {
                return None;
            }
            back.ending.clear();
            back.since = sight.now;
            Note::plan(format!("{left} has ended: {label} starts"))
        } else if sight.whole(&back.to) {
            back.serves = true;
            Note::plan(format!("{label} {}: it gets all the traffic", sight.ready_of_text(&back.to)))
        } else if !back.missed && due <= sight.now {
            back.missed = true;
            let waited = humantime::format_duration(back.to.spec.deadline.ready);
            let what = format!("{label} {} after {waited}; still trying", sight.ready_of_text(&back.to)).into();
            Note { level: Level::Bad, by: "deadline".into(), what }
        } else {
            return None;
        };
        self.moved();
        Some(note)
    }

    /// The router confirms the way back.
    pub(super) fn arrive(&mut self, now: Time) -> Option<Note> {
        let run = self.run.as_mut()?;
        let RunState::Reverting { asked, by } = run.state.clone() else { return None };
        let left = run.candidate.id.clone();
        let returned = run.returning.take();
        run.state = RunState::Reverted { asked, at: now, by, left: left.clone(), redeployed: returned.is_some() };
        run.ending.clear();
        run.forget_troubles();
        if let Some(Returning { to, .. }) = returned {
            if let Some(before) = self.stable.replace(to.clone()).filter(|b| b.id != to.id && b.id != left) {
                self.remember(before);
            }
            self.keep_past(to.spec.keep.max(2) as usize);
            self.warm = None;
            self.crown(&to.id, to.spec.bake, now);
        }
        let label = &self.stable.as_ref()?.label;
        let what = format!("the router confirms {label} at 100 %, {} after it was asked", words::ago(now, asked));
        self.moved();
        Some(Note { level: Level::Info, by: "host".into(), what: what.into() })
    }

    pub(super) fn label_of(&self, id: &VersionId) -> Text {
        self.remembered().find(|d| d.id == *id).map_or_else(|| id.text(), |d| d.label.clone())
    }
}
