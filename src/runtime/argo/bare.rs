//! What Rollout objects say by themselves: phase, place in the plan, holds, declared weights. What belongs
//! to a rollout (ReplicaSets, pods, analysis) is not joined here: instances and digests stay unknown.

use super::{
    kind::{Coverage, Kind},
    watch::{Name, Objects},
};
use crate::model::{
    back::{How, WayBack},
    event::Event,
    ident::{Key, Rev, Role, RunId, TargetId, VersionId},
    ratio::{Ratio, Weight},
    rollout::{Attention, Hold, Next, Phase, Rollout, Seen},
    spec::Strategy,
    step::{Pause, Step, StepAt, StepSpec},
    text::{Raw, Text},
    time::Time,
    version::{Artifact, Part, Share, Track, Version},
};
use serde_json::{Value, value::RawValue};
use std::{collections::BTreeMap, time::Duration};

/// Rollout objects, and nothing else.
#[derive(Default)]
pub struct Bare(BTreeMap<Name, Value>);

impl Objects for Bare {
    fn swap(&mut self, kind: Kind, namespace: Option<&str>, objects: &[Box<RawValue>]) {
        if kind == Kind::Rollouts {
            self.0.retain(|name, _| namespace.is_some_and(|only| only != name.namespace));
            self.0.extend(objects.iter().filter_map(|object| named(object)));
        }
    }

    fn apply(&mut self, kind: Kind, object: &RawValue) {
        if kind == Kind::Rollouts {
            self.0.extend(named(object));
        }
    }

    fn delete(&mut self, kind: Kind, object: &RawValue) {
        if let (Kind::Rollouts, Some((name, _))) = (kind, named(object)) {
            self.0.remove(&name);
        }
    }

    fn project(&self, name: &Name, now: Time, _coverage: &Coverage) -> Option<Rollout> {
        self.0.get(name).map(|object| Glance { object, now }.rollout(name))
    }

    fn events(&self, _name: &Name, _after: u64) -> Vec<Event> {
        Vec::new()
    }
}

fn named(object: &RawValue) -> Option<(Name, Value)> {
    let object: Value = serde_json::from_str(object.get()).ok()?;
    let part = |key: &str| at(&object, &["metadata", key]).as_str().unwrap_or_default().to_owned();
    let name = Name { namespace: part("namespace"), name: part("name") };
    (!name.name.is_empty()).then_some((name, object))
}

/// What is at a path, or null.
fn at<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().try_fold(value, |value, key| value.get(key)).unwrap_or(&Value::Null)
}

fn time(value: &Value) -> Option<Time> {
    value.as_str().and_then(|text| text.parse().ok())
}

/// One look at an object.
struct Glance<'a> {
    object: &'a Value,
    now: Time,
}

impl Glance<'_> {
    fn at(&self, path: &[&str]) -> &Value {
        at(self.object, path)
    }

    fn text(&self, path: &[&str]) -> Option<&str> {
        self.at(path).as_str().filter(|text| !text.is_empty())
    }

    fn rollout(&self, name: &Name) -> Rollout {
        let phase = self.phase();
        let steps = self.steps();
        let position = self.position(&steps);
        let holds = self.holds(position);
        let waits =
            holds.iter().find(|hold| matches!(hold, Hold::Manual { .. } | Hold::Step { until: None, .. } | Hold::Inconclusive { .. }));
        let tracks = self.tracks(&steps, position);
        let revision = self.text(&["metadata", "annotations", "rollout.argoproj.io/revision"]);
        Rollout {
            key: Key {
                target: TargetId::new(""),
                scope: vec![Raw::new(&name.namespace)],
                service: Raw::new(&name.name),
                uid: self.text(&["metadata", "uid"]).map(Raw::new),
            },
            run: revision.map(RunId::new),
            strategy: if self.at(&["spec", "strategy", "blueGreen"]).is_object() { Strategy::BlueGreen } else { Strategy::Canary },
            reason: self.reason(),
            started: None,
            attention: waits.map(|hold| Attention { kind: "waiting".into(), since: hold.since() }),
            next: self.next(&phase, &holds, position),
            phase,
            holds,
            back: self.back(&tracks),
            tracks,
            steps,
            at: position,
            gates: Vec::new(),
            verdict: None,
            bad: None,
            proof: None,
            last: None,
            findings: Vec::new(),
            frozen: None,
            versions: Vec::new(),
            present: Vec::new(),
            analyses: Vec::new(),
            owner: None,
            seen: Seen { epoch: 0, rev: Rev(0), server_time: self.now, fresh_for: Duration::ZERO },
        }
    }

    /// Whether the controller has seen the spec; the number it has seen is written as text.
    fn is_observed(&self) -> bool {
        let observed = self.text(&["status", "observedGeneration"]).and_then(|text| text.parse::<i64>().ok());
        let generation = self.at(&["metadata", "generation"]).as_i64();
        // More than there are, or no number, comes from a controller that wrote a hash there.
        !matches!((observed, generation), (Some(observed), Some(generation)) if observed < generation)
    }

    fn is_unpausing(&self) -> bool {
        let conditions = self.at(&["status", "pauseConditions"]).as_array().is_some_and(|all| !all.is_empty());
        self.at(&["status", "controllerPause"]).as_bool() == Some(true) && !conditions
    }

    fn message(&self) -> &str {
        self.text(&["status", "message"]).unwrap_or_default()
    }

    fn phase(&self) -> Phase {
        if !self.is_observed() || self.is_unpausing() {
            return Phase::Progressing;
        }
        match self.text(&["status", "phase"]) {
            None | Some("Progressing") => Phase::Progressing,
            Some("Paused") => Phase::Held,
            Some("Healthy") => Phase::Completed,
            Some("Degraded") if self.message().starts_with("RolloutAborted") => Phase::Reverting,
            Some("Degraded") => Phase::Failed,
            Some(other) => Phase::Unknown(other.into()),
        }
    }

    fn reason(&self) -> Option<Text> {
        if !self.is_observed() {
            return Some("the controller has not seen the spec yet".into());
        }
        if self.is_unpausing() {
            return Some("promote sent, waiting for the controller".into());
        }
        self.text(&["status", "message"]).map(Into::into)
    }

    fn steps(&self) -> Vec<Step> {
        let steps = self.at(&["spec", "strategy", "canary", "steps"]).as_array();
        steps.into_iter().flatten().map(step).collect()
    }

    /// When the pause began that the controller is in.
    fn paused(&self) -> Option<(&str, Time)> {
        let first = self.at(&["status", "pauseConditions"]).as_array()?.first()?;
        Some((at(first, &["reason"]).as_str().unwrap_or_default(), time(at(first, &["startTime"]))?))
    }

    /// When the controller last saw progress.
    fn moved(&self) -> Time {
        let conditions = self.at(&["status", "conditions"]).as_array();
        let progressing = conditions.into_iter().flatten().find(|c| at(c, &["type"]) == "Progressing");
        let created = || time(self.at(&["metadata", "creationTimestamp"]));
        progressing.and_then(|c| time(at(c, &["lastUpdateTime"]))).or_else(created).unwrap_or(self.now)
    }

    fn position(&self, steps: &[Step]) -> Option<StepAt> {
        let index = usize::try_from(self.at(&["status", "currentStepIndex"]).as_u64()?).ok()?;
        let index = index.min(steps.len());
        let paused = self.paused().filter(|(reason, _)| *reason == "CanaryPauseStep").map(|(_, since)| since);
        let ends = match (steps.get(index).map(|s| &s.spec), paused) {
            (Some(StepSpec::Pause(Pause::For(span))), Some(since)) => Some(crate::model::time::after(since, *span)),
            _ => None,
        };
        Some(StepAt { index, since: paused.unwrap_or_else(|| self.moved()), ends })
    }

    fn holds(&self, position: Option<StepAt>) -> Vec<Hold> {
        let mut holds = Vec::new();
        if self.at(&["spec", "paused"]).as_bool() == Some(true) {
            holds.push(Hold::Manual { by: "a person".into(), since: self.moved(), weight: None });
        }
        match self.paused() {
            Some(("InconclusiveAnalysisRun" | "InconclusiveExperiment", since)) => {
                holds.push(Hold::Inconclusive { since, reason: self.message().into() });
            }
            Some(("BlueGreenPause", since)) => {
                let promotes = self.at(&["spec", "strategy", "blueGreen", "autoPromotionEnabled"]).as_bool() != Some(false);
                let after = self.at(&["spec", "strategy", "blueGreen", "autoPromotionSeconds"]).as_u64().filter(|_| promotes);
                let until = after.map(|seconds| crate::model::time::after(since, Duration::from_secs(seconds)));
                holds.push(Hold::Step { since, until });
            }
            Some((_, since)) => holds.push(Hold::Step { since, until: position.and_then(|at| at.ends) }),
            None => {}
        }
        holds
    }

    fn next(&self, phase: &Phase, holds: &[Hold], position: Option<StepAt>) -> Next {
        let until = position.and_then(|at| at.ends);
        let next = |what: &str, at: Option<Time>, by: &str| Next { what: what.into(), at, by: by.into() };
        match (phase, holds.first()) {
            (_, Some(Hold::Step { until: Some(until), .. })) => next("the next step", Some(*until), "plan"),
            (_, Some(_)) => next("nothing moves by itself", None, "a person"),
            (Phase::Progressing, None) => next("the current step", until, "plan"),
            (Phase::Reverting, None) => next("the candidate ends, stable serves", None, "plan"),
            _ => next("nothing", None, "nobody"),
        }
    }

    fn tracks(&self, steps: &[Step], position: Option<StepAt>) -> Vec<Track> {
        let (current, stable) = (self.text(&["status", "currentPodHash"]), self.text(&["status", "stableRS"]));
        let declared = self.declared(steps, position);
        let programmed = |which: &str| {
            let parts = self.at(&["status", "canary", "weights", which, "weight"]).as_u64()?;
            let whole = self.at(&["spec", "strategy", "canary", "trafficRouting", "maxTrafficWeight"]).as_u64().unwrap_or(100);
            Some(Ratio { parts, whole })
        };
        let track = |role, hash: &str, declared: Option<Weight>, which: &str| Track {
            role,
            slot: None,
            version: self.version(hash, Some(hash) == current),
            pools: Vec::new(),
            share: Share { declared: declared.map(Into::into), programmed: programmed(which), seen: None, basis: "replicas".into() },
            signals: BTreeMap::new(),
            about: None,
        };
        match (stable, current) {
            (Some(stable), Some(current)) if stable != current => {
                vec![track(Role::Stable, stable, declared.map(Weight::rest), "stable"), track(Role::Candidate, current, declared, "canary")]
            }
            (Some(stable), _) => vec![track(Role::Stable, stable, Some(Weight::FULL), "stable")],
            (None, Some(current)) => vec![track(Role::Candidate, current, None, "canary")],
            (None, None) => Vec::new(),
        }
    }

    /// The last weight that was set, at or before the current step.
    fn declared(&self, steps: &[Step], position: Option<StepAt>) -> Option<Weight> {
        if self.at(&["status", "abort"]).as_bool() == Some(true) {
            return Some(Weight::ZERO);
        }
        let position = position?;
        if position.index >= steps.len() {
            return Some(Weight::FULL);
        }
        let set = steps.iter().take(position.index + 1).rev().find_map(|step| match step.spec {
            StepSpec::Weight(weight) => Some(weight),
            _ => None,
        });
        Some(set.unwrap_or(Weight::ZERO))
    }

    fn version(&self, hash: &str, is_current: bool) -> Version {
        let containers = self.at(&["spec", "template", "spec", "containers"]).as_array().filter(|_| is_current);
        let part = |container: &Value| {
            let image = at(container, &["image"]).as_str().unwrap_or_default();
            let container = at(container, &["name"]).as_str().unwrap_or_default().into();
            Part { container, declared: Artifact::Tag(image.into()), running: None, differs: false }
        };
        Version {
            id: VersionId::new(hash),
            label: hash.into(),
            revision: None,
            parts: containers.into_iter().flatten().map(part).collect(),
            config: None,
            back_unsafe: None,
        }
    }

    fn back(&self, tracks: &[Track]) -> WayBack {
        let of = |role| tracks.iter().find(|t| t.role == role).map(|t| t.version.clone());
        let (to, how) = match (of(Role::Stable), of(Role::Candidate)) {
            (Some(stable), Some(_)) if self.at(&["status", "abort"]).as_bool() == Some(true) => {
                let since = time(self.at(&["status", "abortedAt"])).unwrap_or_else(|| self.moved());
                (Some(stable), How::Already { since })
            }
            (Some(stable), Some(_)) => (Some(stable), How::Switch),
            _ => (None, How::None { why: "no update is under way, and older versions are not known".into() }),
        };
        WayBack { to, how, checks: Vec::new(), measured: None }
    }
}

/// A step in its own words, where we have none for it.
fn step(step: &Value) -> Step {
    let (key, value) = step.as_object().and_then(|o| o.iter().next()).map_or(("", &Value::Null), |(key, value)| (key.as_str(), value));
    let weight = value.as_f64().and_then(Weight::from_percent);
    let spec = match (key, weight) {
        ("setWeight", Some(weight)) => StepSpec::Weight(weight),
        ("pause", _) => match at(value, &["duration"]) {
            Value::Null => StepSpec::Pause(Pause::Manual),
            span => match duration(span) {
                Some(span) => StepSpec::Pause(Pause::For(span)),
                None => StepSpec::Native("pause with a bad duration".into()),
            },
        },
        (key, _) => StepSpec::Native(if key.is_empty() { "an empty step".into() } else { key.into() }),
    };
    let label = match &spec {
        StepSpec::Weight(weight) => weight.to_string().into(),
        StepSpec::Pause(Pause::Manual) => "pause".into(),
        StepSpec::Pause(Pause::For(span)) => format!("pause {}", humantime::format_duration(*span)).into(),
        StepSpec::Native(text) => text.clone(),
        other => other.kind().into(),
    };
    Step { spec, label }
}

/// Seconds as a number or text, or `1h30m`.
fn duration(value: &Value) -> Option<Duration> {
    let seconds = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    seconds.map(Duration::from_secs).or_else(|| humantime::parse_duration(value.as_str()?).ok())
}
