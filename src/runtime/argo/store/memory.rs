//! What was seen of a rollout over time, and the object does not say: which writes the controller has not
//! answered, when a step was entered, which versions were once stable or given up.

use crate::{
    model::time::Time,
    runtime::argo::objects::{rollout::Rollout, set::Workload},
};
use std::collections::BTreeMap;

/// Versions that are remembered of a rollout; revisions kept by a cluster are ten, usually.
const VERSIONS: usize = 64;

/// A write that the controller has not answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Unanswered {
    /// It was told to give up.
    Abort,
    /// It was told to go on.
    Promote,
    /// It was told to finish.
    Full,
    /// It was told to try again.
    Retry,
    /// Its spec is another one.
    Spec,
    /// The spec of the workload with its template is another one.
    Workload,
}

/// Where in its plan a rollout is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    hash: Box<str>,
    step: Option<usize>,
}

impl Place {
    /// Of this rollout.
    #[must_use]
    pub fn of(rollout: &Rollout) -> Self {
        Self { hash: rollout.status.current_pod_hash.clone(), step: rollout.step() }
    }
}

/// Since when a write is not answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Open {
    /// When it was seen first.
    pub seen: Time,
    /// When somebody had written the object last before that: who wrote no later did not write this. `None` where
    /// nothing was seen before.
    pub before: Option<Time>,
}

/// What is to be remembered of a rollout as it is now.
#[derive(Clone, Debug)]
pub struct Glance {
    open: Vec<Unanswered>,
    paused: bool,
    /// When somebody beside the controller wrote it last.
    wrote: Option<Time>,
}

impl Glance {
    /// Of this rollout.
    #[must_use]
    pub fn of(rollout: &Rollout, workload: Option<&Workload>) -> Self {
        let others = rollout.metadata.managers.iter().filter(|m| !m.is_controller());
        Self { open: unanswered(rollout, workload), paused: rollout.spec.paused, wrote: others.filter_map(|m| m.time).max() }
    }
}

/// What was seen of a rollout.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// What is open.
    open: BTreeMap<Unanswered, Open>,
    /// When somebody beside the controller wrote the object last, as it was seen last.
    wrote: Option<Time>,
    /// When its place was seen to change last.
    entered: Option<Time>,
    /// Since when it has been seen paused by a person.
    paused: Option<Time>,
    /// Whether that was seen to begin.
    known: bool,
    begun: bool,
    /// Each by the newest state of the object that said so, so that what comes late changes no order.
    stable: BTreeMap<Box<str>, u64>,
    aborted: BTreeMap<Box<str>, u64>,
}

impl Memory {
    /// Takes note of the versions; also of a state that comes too late.
    pub fn learn(&mut self, rollout: &Rollout) {
        let status = &rollout.status;
        let version = rollout.metadata.meta.version;
        if !status.stable_hash.is_empty() {
            note(&mut self.stable, &status.stable_hash, version);
        }
        if status.abort && status.aborted_at.is_some() && !rollout.is_promoted() {
            note(&mut self.aborted, &status.current_pod_hash, version);
        }
    }

    /// Takes note of a change of place.
    pub fn step(&mut self, before: Option<Place>, now: &Place, at: Time) {
        if before.is_some_and(|before| before != *now) {
            self.entered = Some(at);
        }
    }

    /// Takes note of what is open now.
    pub fn hold(&mut self, now: Glance, at: Time) {
        let new = Open { seen: at, before: self.wrote };
        self.open = now.open.into_iter().map(|write| (write, self.open.get(&write).copied().unwrap_or(new))).collect();
        self.wrote = self.wrote.max(now.wrote);
        match (now.paused, self.paused) {
            (true, None) => (self.paused, self.begun) = (Some(at), self.known),
            (false, Some(_)) => self.paused = None,
            _ => {}
        }
        self.known = true;
    }

    /// Writes that are not answered, each since when.
    pub fn open(&self) -> impl Iterator<Item = (Unanswered, Open)> {
        self.open.iter().map(|(write, open)| (*write, *open))
    }

    /// When the current step was entered, if that was seen.
    #[must_use]
    pub const fn entered(&self) -> Option<Time> {
        self.entered
    }

    /// Since when it is paused by a person, and whether that was seen to begin.
    #[must_use]
    pub fn paused(&self) -> Option<(Time, bool)> {
        self.paused.map(|since| (since, self.begun))
    }

    /// Whether a version was seen to be stable.
    #[must_use]
    pub fn was_stable(&self, hash: &str) -> bool {
        self.stable.contains_key(hash)
    }

    /// The version that was stable before this one, as far as that was seen.
    #[must_use]
    pub fn stable_before(&self, hash: &str) -> Option<&str> {
        self.stable.iter().filter(|(other, _)| &***other != hash).max_by_key(|(_, seen)| **seen).map(|(other, _)| &**other)
    }

    /// Whether a version was seen to be given up.
    #[must_use]
    pub fn was_aborted(&self, hash: &str) -> bool {
        self.aborted.contains_key(hash)
    }
}

/// Notes a version; of too many, what was said longest ago is forgotten.
fn note(versions: &mut BTreeMap<Box<str>, u64>, hash: &str, version: u64) {
    match versions.get_mut(hash) {
        Some(seen) => *seen = version.max(*seen),
        None => drop(versions.insert(hash.into(), version)),
    }
    if versions.len() > VERSIONS
        && let Some(oldest) = versions.iter().min_by_key(|(_, seen)| **seen).map(|(hash, _)| hash.clone())
    {
        versions.remove(&oldest);
    }
}

/// Writes that the controller has not answered by now. It usually does within 50 ms; one that it overlooked
/// (argo-rollouts #4694) it does not see until something else of the object changes.
#[must_use]
pub fn unanswered(rollout: &Rollout, workload: Option<&Workload>) -> Vec<Unanswered> {
    let status = &rollout.status;
    let aborted = rollout.because("RolloutAborted").is_some();
    let mut open = Vec::new();
    if status.abort && !rollout.is_promoted() && (status.aborted_at.is_none() || &*status.phase != "Degraded") {
        open.push(Unanswered::Abort);
    }
    if rollout.is_unpausing() {
        open.push(Unanswered::Promote);
    }
    if status.promote_full && &*status.phase == "Paused" {
        open.push(Unanswered::Full);
    }
    if !status.abort && &*status.phase == "Degraded" && aborted {
        open.push(Unanswered::Retry);
    }
    // No word at all yet: is the controller there?
    let unseen = rollout.metadata.meta.generation.is_some() && status.observed_generation.is_empty();
    if unseen || !rollout.is_observed() {
        open.push(Unanswered::Spec);
    }
    if is_workload_new(rollout, workload) {
        open.push(Unanswered::Workload);
    }
    open
}

/// Whether the controller has yet to look at the workload with the template as it is. The workload itself says
/// it best; the annotation is what the controller noted of it.
#[must_use]
pub fn is_workload_new(rollout: &Rollout, workload: Option<&Workload>) -> bool {
    if rollout.spec.workload_ref.is_none() {
        return false;
    }
    let Ok(seen) = rollout.status.workload_observed_generation.parse::<i64>() else { return false };
    let noted = rollout.metadata.meta.annotations.get("rollout.argoproj.io/workload-generation").and_then(|g| g.parse().ok());
    let is = workload.and_then(|w| w.metadata.generation).or(noted);
    is.is_some_and(|is| is != seen)
}
