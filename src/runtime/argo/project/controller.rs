//! Where the controller says a rollout is, as its own command line would print it.
//!
//! The rules are those of `GetRolloutPhase` and `CalculateRolloutPhase` in argo-rollouts'
//! `utils/rollout/rolloututil.go`, in their order, except that a workload's staleness is seen here.

use super::view::View;
use crate::{
    model::text::Text,
    runtime::argo::{
        objects::{rollout::Rollout, set::Workload, step::Step},
        store::memory::is_workload_new,
    },
};

/// The controller's word for where a rollout is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Word {
    /// The version that is wanted is stable.
    Healthy,
    /// It cannot go on, or was given up.
    Degraded,
    /// It moves.
    Progressing,
    /// It waits.
    Paused,
    /// A word of another version of Argo.
    Other(Text),
}

impl Word {
    fn of(phase: &str) -> Self {
        match phase {
            "Healthy" => Self::Healthy,
            "Degraded" => Self::Degraded,
            "Progressing" => Self::Progressing,
            "Paused" => Self::Paused,
            other => Self::Other(Text::clean(other)),
        }
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Healthy => "Healthy",
            Self::Degraded => "Degraded",
            Self::Progressing => "Progressing",
            Self::Paused => "Paused",
            Self::Other(other) => other.as_str(),
        }
    }
}

/// What the controller says of a rollout.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Controller {
    /// In one word.
    pub word: Word,
    /// Why.
    pub message: Text,
    /// Whether it speaks of the rollout as it is now.
    pub is_current: bool,
}

impl Controller {
    /// The first word of why: `RolloutAborted`, `InvalidSpec`.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.message.as_str().split_once(": ").map_or(self.message.as_str(), |(reason, _)| reason)
    }
}

/// What the controller says of a rollout.
#[must_use]
pub fn controller(rollout: &Rollout, workload: Option<&Workload>) -> Controller {
    let status = &rollout.status;
    let waits = |message: &str| Controller { word: Word::Progressing, message: message.into(), is_current: false };
    if !rollout.is_observed() {
        return waits("waiting for rollout spec update to be observed");
    }
    if rollout.is_unpausing() {
        return waits("waiting for rollout to unpause");
    }
    if is_workload_new(rollout, workload) {
        return waits("waiting for rollout spec update to be observed for the reference workload");
    }
    let (word, message) = if status.phase.is_empty() {
        let (word, message) = computed(rollout);
        (word, Text::from(message))
    } else {
        (Word::of(&status.phase), Text::clean(&status.message))
    };
    Controller { word, message, is_current: true }
}

/// What a controller before v1.0 would have said.
fn computed(rollout: &Rollout) -> (Word, String) {
    let (status, spec) = (&rollout.status, &rollout.spec);
    let progressing = |message: &str| (Word::Progressing, message.to_owned());
    if let Some(invalid) = rollout.condition("InvalidSpec") {
        return (Word::Degraded, format!("InvalidSpec: {}", invalid.message));
    }
    for reason in ["RolloutAborted", "ProgressDeadlineExceeded"] {
        if let Some(c) = rollout.because(reason) {
            return (Word::Degraded, format!("{reason}: {}", c.message));
        }
    }
    if spec.paused {
        return (Word::Paused, "manually paused".into());
    }
    if let Some(pause) = status.pause_conditions.first() {
        return (Word::Paused, pause.reason.to_string());
    }
    if spec.restart_at.is_some() && spec.restart_at != status.restarted_at {
        return progressing("rollout is restarting");
    }
    if status.updated_replicas < rollout.replicas() {
        return progressing("more replicas need to be updated");
    }
    if status.available_replicas < status.updated_replicas {
        return progressing("updated replicas are still becoming available");
    }
    let current = &status.current_pod_hash;
    if rollout.is_blue_green() {
        let blue_green = &status.blue_green;
        if blue_green.active_selector.is_empty() || blue_green.active_selector != *current {
            return progressing("active service cutover pending");
        }
        if status.stable_hash.is_empty() || status.stable_hash != *current {
            let analysed = blue_green.post_promotion_analysis_run_status.as_ref();
            let done = |s: &str| matches!(s, "Successful" | "Failed" | "Error" | "Inconclusive");
            return progressing(if analysed.is_some_and(|a| !done(&a.status)) {
                "waiting for analysis to complete"
            } else {
                "waiting for post-promotion verification to complete"
            });
        }
    } else {
        if rollout.routing().is_none() && status.replicas > status.updated_replicas {
            return progressing("old replicas are pending termination");
        }
        if status.stable_hash.is_empty() || status.stable_hash != *current {
            return progressing("waiting for all steps to complete");
        }
    }
    (Word::Healthy, String::new())
}

/// What Argo's own command line prints above the tree, word for word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Words {
    /// `Status`, without its sign.
    pub status: String,
    /// `Message`, or empty.
    pub message: String,
    /// `Strategy`.
    pub strategy: &'static str,
    /// `Step`: current and number of steps.
    pub step: Option<(i64, usize)>,
    /// `SetWeight`, of a canary.
    pub set_weight: Option<i64>,
    /// `ActualWeight`, of a canary; `None` also while ReplicaSets are not known.
    pub actual_weight: Option<i64>,
    /// `Desired`, `Current`, `Updated`, `Ready`, `Available`.
    pub replicas: [u32; 5],
}

/// What Argo's own command line would print.
#[must_use]
pub fn words(view: &View<'_>) -> Words {
    let rollout = view.rollout;
    let status = &rollout.status;
    let canary = !rollout.is_blue_green();
    let steps = rollout.steps().len();
    Words {
        status: view.controller.word.as_str().to_owned(),
        message: view.controller.message.to_string(),
        strategy: if canary { "Canary" } else { "BlueGreen" },
        step: status.current_step_index.filter(|_| steps > 0).map(|index| (index, steps)),
        set_weight: canary.then(|| set_weight(rollout)),
        actual_weight: if canary { actual_weight(view) } else { None },
        replicas: [rollout.replicas(), status.replicas, status.updated_replicas, status.ready_replicas, status.available_replicas],
    }
}

/// The candidate's share by the plan, in the router's units: that of the last such step that was begun.
#[must_use]
pub fn set_weight(rollout: &Rollout) -> i64 {
    if rollout.status.abort {
        return 0;
    }
    let (steps, whole) = (rollout.steps(), i64::from(rollout.whole()));
    match rollout.step() {
        Some(index) if index < steps.len() => {
            let begun = steps.iter().take(index + 1).rev();
            begun.filter_map(|s| if let Step::SetWeight(w) = s { Some(*w) } else { None }).next().unwrap_or(0)
        }
        _ => whole,
    }
}

fn actual_weight(view: &View<'_>) -> Option<i64> {
    let (rollout, status, whole) = (view.rollout, &view.rollout.status, i64::from(view.rollout.whole()));
    if rollout.current_step().is_none() {
        return Some(whole);
    }
    if status.available_replicas == 0 {
        return Some(0);
    }
    if rollout.routing().is_some() {
        return Some(status.canary.weights.as_ref().map_or_else(|| set_weight(rollout), |w| i64::from(w.canary.weight)));
    }
    view.sets.as_ref()?;
    let canary = view.current.filter(|_| !rollout.is_promoted()).map_or(0, |set| set.status.available_replicas);
    Some(i64::from(canary) * whole / i64::from(status.available_replicas))
}
