//! What is thought of each version: for how long it had all the traffic, with how many failures,
//! whether it baked, was left or tainted. The way back prefers what is good.
//!
//! A version **bakes** from the moment it has all the traffic: its gates go on being judged, and it is
//! good once it has served for [`ServiceSpec::bake`](crate::model::spec::ServiceSpec::bake) without one
//! that failed. Time is what the host measured ([`Life::served`]), never the difference of two wall
//! clocks, so a clock that is set makes nothing good. A gate that still waits for requests keeps no
//! version from being good: a quiet service would never have one. Time in which a gate is blind to the
//! version does not count, since nobody would have seen it fail; it goes on where it was. A gate that fails starts the baking
//! anew; it moves traffic by itself only where its owner asked for that and the version before is still
//! warm.

use super::{
    Note,
    life::{Deployed, Life, Observed, Run, RunState},
    words,
};
use crate::model::{
    event::Level,
    gate::GateState,
    ident::VersionId,
    rollout::{Finding, Known, Standing},
    text::Text,
    time::{Time, after, millis},
    version::Version,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Records that are kept of versions which are not remembered themselves: those that were tainted or left.
const REMEMBERED: usize = 50;
/// Versions that were left and are remembered: so many that whoever looks back at a bad day finds them.
pub const LEFT: usize = 8;

/// What is known of a version from what it did here.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// For how long it had all the traffic, in all.
    #[serde(with = "millis", default)]
    pub proven: Duration,
    /// For how long it has had it since a gate failed last.
    #[serde(with = "millis", default)]
    pub baked: Duration,
    /// Whether it baked for long enough once.
    #[serde(default)]
    pub good: bool,
    /// When it will be good if nothing happens.
    #[serde(default)]
    pub due: Option<Time>,
    /// Requests in [`Self::proven`].
    #[serde(default)]
    pub requests: u64,
    /// Of them, those that failed.
    #[serde(default)]
    pub errors: u64,
    /// When it had traffic last; `None` while it has or if it never had.
    #[serde(default)]
    pub until: Option<Time>,
    /// Why it was left, if it was left because it was bad and has not been stable since.
    #[serde(default)]
    pub left: Option<Text>,
    /// Who took it out of the candidates for the way back.
    #[serde(default)]
    pub taint: Option<Taint>,
}

/// A version is not to be gone back to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Taint {
    /// Who says so.
    pub by: Text,
    /// Why.
    pub reason: Text,
    /// When.
    pub at: Time,
}

/// Which version is judged now, and against what.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Judged<'a> {
    /// The version whose gates are judged, on its own pool.
    pub who: &'a Deployed,
    /// What it is compared with; `None` where only limits count.
    pub against: Option<&'a Deployed>,
    /// Since when evidence counts; `None` before the router does what is declared.
    pub since: Option<Time>,
    /// Whether it has all the traffic and is watched until it is good.
    pub baking: bool,
}

impl Record {
    /// Errors of one request; `None` without requests.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    pub fn error_ratio(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.errors as f64 / self.requests as f64)
    }
}

impl Life {
    /// What is known of a version.
    #[must_use]
    pub fn record(&self, version: &VersionId) -> Record {
        self.records.get(version).cloned().unwrap_or_default()
    }

    pub(super) fn record_mut(&mut self, version: &VersionId) -> &mut Record {
        self.records.entry(version.clone()).or_default()
    }

    /// Counts what a version served in a length of time, as the host's own clock measured it: requests,
    /// and of them those that failed; `clean` is what of that time counts for its bake: since a gate failed
    /// last, and without what nobody could see. It counts only for a version that has all the traffic; the caller
    /// need not know which. Nothing moves by it; [`Life::advance`] draws the conclusions.
    pub fn served(&mut self, version: &VersionId, (requests, errors): (u64, u64), elapsed: Duration, clean: Duration, now: Time) {
        let all = self.stable.as_ref().is_some_and(|s| s.id == *version) && self.has_all_traffic();
        if !all || elapsed.is_zero() {
            return;
        }
        let fails = self.fails();
        let bake = self.stable.as_ref().map(|s| s.spec.bake).unwrap_or_default();
        let record = self.record_mut(version);
        record.proven = record.proven.saturating_add(elapsed);
        record.requests = record.requests.saturating_add(requests);
        record.errors = record.errors.saturating_add(errors.min(requests));
        if !fails && !record.good {
            record.baked = record.baked.saturating_add(clean.min(elapsed)).min(bake);
            record.due = Some(after(now, bake.saturating_sub(record.baked)));
        }
    }

    /// Whether stable has all the traffic: no candidate shares it and none of it is on its way.
    #[must_use]
    pub fn has_all_traffic(&self) -> bool {
        let Some(run) = &self.run else { return false };
        match run.state {
            RunState::Completed { .. } | RunState::Reverted { .. } => true,
            RunState::Starting => run.batch.is_none() && !run.alone(),
            RunState::Stepping | RunState::Reverting { .. } | RunState::Failed { .. } => false,
        }
    }

    /// The version that has all the traffic and is not good yet, with its run.
    #[must_use]
    pub fn baking(&self) -> Option<(&Deployed, &Run)> {
        let run = self.run.as_ref()?;
        let stable = self.stable.as_ref()?;
        let over = matches!(run.state, RunState::Completed { .. } | RunState::Reverted { .. });
        let good = self.records.get(&stable.id).is_some_and(|r| r.good);
        (over && !good).then_some((stable, run))
    }

    /// For how long the version that bakes has to serve yet; `None` while none does.
    #[must_use]
    pub fn bake_left(&self) -> Option<Duration> {
        let (stable, _) = self.baking()?;
        Some(stable.spec.bake.saturating_sub(self.record(&stable.id).baked))
    }

    /// Whether a gate of the run fails, also of one that is over and whose version bakes.
    #[must_use]
    pub fn fails(&self) -> bool {
        self.run.as_ref().is_some_and(|r| !r.bad.is_empty())
    }

    /// Whether the version that has all the traffic has failed a gate and is not good yet.
    #[must_use]
    pub fn fails_baking(&self) -> bool {
        self.baking().is_some_and(|(_, run)| !run.bad.is_empty())
    }

    /// The gate that could not see it if the version that bakes were bad: until it can, no time counts.
    #[must_use]
    pub fn bakes_unseen<'a>(&self, gates: &'a [GateState]) -> Option<&'a GateState> {
        self.baking()?;
        gates.iter().find(|g| g.is_blind_to_candidate())
    }

    /// Whose gates are judged now; `None` when nobody's are.
    #[must_use]
    pub fn judged(&self) -> Option<Judged<'_>> {
        if let Some((stable, run)) = self.baking() {
            return Some(Judged { who: stable, against: None, since: run.over(), baking: true });
        }
        let run = self.run.as_ref().filter(|r| r.is_moving() && r.from.is_some())?;
        let against = self.stable.as_ref().filter(|_| !run.alone());
        Some(Judged { who: &run.candidate, against, since: run.converged, baking: false })
    }

    /// What is good by now is called so.
    pub(super) fn ripen(&mut self) -> Option<Note> {
        let (stable, run) = self.baking()?;
        let (id, label, bake) = (stable.id.clone(), stable.label.clone(), stable.spec.bake);
        if !run.bad.is_empty() || self.record(&id).baked < bake {
            return None;
        }
        self.record_mut(&id).good = true;
        self.moved();
        Some(Note::plan(format!("{label} is good: {} with all the traffic and no failed gate", words::span(bake))))
    }

    /// A version was left because it was bad.
    pub(super) fn blame(&mut self, version: &VersionId, why: &Text, served: Option<Time>) {
        let record = self.record_mut(version);
        record.left = Some(why.clone());
        record.good = false;
        record.baked = Duration::ZERO;
        record.due = None;
        record.until = served.or(record.until);
    }

    /// A version has all the traffic now.
    pub(super) fn crown(&mut self, version: &VersionId, bake: Duration, now: Time) {
        let record = self.record_mut(version);
        record.left = None;
        record.until = None;
        record.baked = Duration::ZERO;
        record.due = Some(after(now, bake));
        // There is nothing to wait for, so nothing is said of it.
        record.good |= bake.is_zero();
        self.forget_records();
    }

    /// A version gave its traffic away.
    pub(super) fn retire(&mut self, version: &VersionId, now: Time) {
        self.record_mut(version).until = Some(now);
    }

    /// What the last run brought is remembered where nothing else does, before another run takes its place.
    pub(super) fn put_aside(&mut self, next: &VersionId) {
        self.left.retain(|d| d.id != *next);
        let Some(last) = self.run.as_ref().map(|r| r.candidate.clone()).filter(|d| d.id != *next) else { return };
        let warm = self.warm.as_ref().map(|w| &w.deployed);
        if self.stable.iter().chain(warm).chain(&self.past).any(|d| d.id == last.id) {
            return;
        }
        let record = self.record_mut(&last.id);
        record.left.get_or_insert_with(|| "given up before it served".into());
        self.left.retain(|d| d.id != last.id);
        self.left.insert(0, last);
        self.left.truncate(LEFT);
    }

    fn forget_records(&mut self) {
        let known: Vec<VersionId> = self.remembered().map(|d| d.id.clone()).collect();
        let mut others: Vec<(Option<Time>, VersionId)> =
            self.records.iter().filter(|(id, _)| !known.contains(id)).map(|(id, r)| (r.until, id.clone())).collect();
        others.sort();
        let many = others.len().saturating_sub(REMEMBERED);
        for (_, id) in others.into_iter().take(many) {
            self.records.remove(&id);
        }
    }

    /// Every version that is remembered as it was deployed, newest first, each once.
    pub(super) fn remembered(&self) -> impl Iterator<Item = &Deployed> {
        let run = self.run.as_ref();
        let all: Vec<&Deployed> = run
            .map(|r| &r.candidate)
            .into_iter()
            .chain(run.and_then(|r| r.returning.as_ref()).map(|r| &r.to))
            .chain(&self.stable)
            .chain(self.warm.as_ref().map(|w| &w.deployed))
            .chain(&self.past)
            .chain(&self.left)
            .collect();
        let first = all.clone();
        all.into_iter().enumerate().filter(move |(i, d)| first.iter().take(*i).all(|e| e.id != d.id)).map(|(_, d)| d)
    }

    /// What is thought of a version.
    #[must_use]
    pub fn standing(&self, version: &VersionId) -> Standing {
        let record = self.record(version);
        if let Some(taint) = record.taint {
            return Standing::Tainted { by: taint.by, reason: taint.reason };
        }
        if let Some(reason) = record.left {
            return Standing::Left { reason };
        }
        if record.good {
            return Standing::Good;
        }
        let bakes = self.baking().is_some_and(|(stable, run)| stable.id == *version && run.bad.is_empty());
        record.due.filter(|_| bakes).map_or(Standing::Unproven, |until| Standing::Baking { until })
    }

    /// Every version that is remembered, newest first. `version` makes what is shown of one.
    #[must_use]
    pub fn known(&self, seen: &Observed, version: impl Fn(&Deployed) -> Version) -> Vec<Known> {
        self.remembered()
            .map(|deployed| {
                let record = self.record(&deployed.id);
                Known {
                    version: version(deployed),
                    standing: self.standing(&deployed.id),
                    proven: record.proven,
                    error_ratio: record.error_ratio(),
                    until: record.until,
                    available: !seen.gone.contains(&deployed.artifact),
                }
            })
            .collect()
    }

    /// What is wrong with the version that serves, beside what is measured.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        let Some(stable) = &self.stable else { return found };
        if let Some(taint) = self.records.get(&stable.id).and_then(|r| r.taint.as_ref()) {
            let what = format!("{} serves and was tainted by {}: {}", stable.label, taint.by, taint.reason).into();
            found.push(Finding { kind: "taint".into(), what, since: taint.at });
        }
        if let Some((_, run)) = self.baking()
            && let Some(since) = run.bad_since
        {
            let gates: Vec<String> = run.bad.iter().map(|g| g.text().to_string()).collect();
            let what = format!("{} fails while it bakes: {}", stable.label, gates.join(", ")).into();
            found.push(Finding { kind: "bake".into(), what, since });
        }
        found
    }

    pub(super) fn taint(&mut self, version: &VersionId, by: &Text, reason: &Text, now: Time) -> Note {
        let label = self.label_of(version);
        self.record_mut(version).taint = Some(Taint { by: by.clone(), reason: reason.clone(), at: now });
        self.moved();
        let serves = if self.stable.as_ref().is_some_and(|s| s.id == *version) { ", which serves" } else { "" };
        Note { level: Level::Warn, by: by.clone(), what: format!("tainted {label}{serves}").into() }
    }
}

impl Run {
    /// Since when it is over: completed or back.
    #[must_use]
    pub const fn over(&self) -> Option<Time> {
        match self.state {
            RunState::Completed { at } | RunState::Reverted { at, .. } => Some(at),
            _ => None,
        }
    }
}
