//! The Rollout object.

use super::{
    Condition, Manager, Meta, Template,
    lenient::{Str, count, flag, list, maybe, maybe_flag, object, text, when, whole},
};
use crate::model::time::Time;
use serde::Deserialize;

use super::step::steps;
pub use super::step::{Step, Templates};

/// What is rolled out.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Rollout {
    /// Who it is.
    #[serde(deserialize_with = "object")]
    pub metadata: RolloutMeta,
    /// What it should be.
    #[serde(deserialize_with = "object")]
    pub spec: Spec,
    /// What the controller says it is.
    #[serde(deserialize_with = "object")]
    pub status: Status,
}

/// What a Rollout says of itself, and who wrote it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RolloutMeta {
    /// What every object says.
    #[serde(flatten)]
    pub meta: Meta,
    /// Who wrote what.
    #[serde(rename = "managedFields", deserialize_with = "list")]
    pub managers: Vec<Manager>,
}

/// What a Rollout should be.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// How many pods; one if it does not say.
    #[serde(deserialize_with = "whole")]
    pub replicas: Option<i64>,
    /// Whether a person stopped it.
    #[serde(deserialize_with = "flag")]
    pub paused: bool,
    /// When its pods are to be started again.
    #[serde(deserialize_with = "when")]
    pub restart_at: Option<Time>,
    /// What runs, unless another object says it.
    #[serde(deserialize_with = "maybe")]
    pub template: Option<Template>,
    /// The object that says what runs.
    #[serde(deserialize_with = "maybe")]
    pub workload_ref: Option<WorkloadRef>,
    /// How a candidate replaces stable.
    #[serde(deserialize_with = "object")]
    pub strategy: Strategy,
    /// Which older versions are gone back to without the steps.
    #[serde(deserialize_with = "maybe")]
    pub rollback_window: Option<Window>,
    /// How long it may go on without progress; 600 s if it does not say.
    #[serde(deserialize_with = "whole")]
    pub progress_deadline_seconds: Option<i64>,
    /// Whether it is given up then; otherwise the controller only says so.
    #[serde(deserialize_with = "flag")]
    pub progress_deadline_abort: bool,
}

/// An object that has the pod template.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct WorkloadRef {
    /// Its kind.
    #[serde(deserialize_with = "text")]
    pub kind: Str,
    /// Its name.
    #[serde(deserialize_with = "text")]
    pub name: Str,
}

/// Which older versions are gone back to without the steps.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Window {
    /// How many versions may be between.
    #[serde(deserialize_with = "whole")]
    pub revisions: Option<i64>,
}

/// Exactly one of the two, in a valid one.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Strategy {
    /// A growing share.
    #[serde(deserialize_with = "maybe")]
    pub canary: Option<Canary>,
    /// A switch.
    #[serde(deserialize_with = "maybe")]
    pub blue_green: Option<BlueGreen>,
}

/// A growing share.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Canary {
    /// The plan.
    #[serde(deserialize_with = "steps")]
    pub steps: Vec<Step>,
    /// The router, if there is one.
    #[serde(deserialize_with = "maybe")]
    pub traffic_routing: Option<Routing>,
    /// The service of the version that was promoted last.
    #[serde(deserialize_with = "text")]
    pub stable_service: Str,
    /// The service of the candidate.
    #[serde(deserialize_with = "text")]
    pub canary_service: Str,
    /// Whether stable shrinks while the candidate grows, with a router.
    #[serde(deserialize_with = "flag")]
    pub dynamic_stable_scale: bool,
    /// How long the pods of a candidate stay that was given up; 0 for ever.
    #[serde(deserialize_with = "whole")]
    pub abort_scale_down_delay_seconds: Option<i64>,
    /// What is measured beside the steps.
    #[serde(deserialize_with = "maybe")]
    pub analysis: Option<Templates>,
}

/// The router.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Routing {
    /// What all of the traffic is in its units; 100 if it does not say.
    #[serde(deserialize_with = "whole")]
    pub max_traffic_weight: Option<i64>,
    /// An ingress of ingress-nginx.
    #[serde(deserialize_with = "maybe")]
    pub nginx: Option<Nginx>,
}

/// An ingress of ingress-nginx.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Nginx {
    /// The ingress of the version that was promoted last.
    #[serde(deserialize_with = "text")]
    pub stable_ingress: Str,
}

/// A switch.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BlueGreen {
    /// Whether it switches by itself; yes if it does not say.
    #[serde(deserialize_with = "maybe_flag")]
    pub auto_promotion_enabled: Option<bool>,
    /// The service that has the traffic.
    #[serde(deserialize_with = "text")]
    pub active_service: Str,
    /// The service of the candidate, if there is one.
    #[serde(deserialize_with = "text")]
    pub preview_service: Str,
    /// How long it waits before.
    #[serde(deserialize_with = "whole")]
    pub auto_promotion_seconds: Option<i64>,
    /// How long the pods of a candidate stay that was given up; 0 for ever.
    #[serde(deserialize_with = "whole")]
    pub abort_scale_down_delay_seconds: Option<i64>,
    /// How many pods the candidate has before the switch; as many as there should be if it does not say.
    #[serde(deserialize_with = "whole")]
    pub preview_replica_count: Option<i64>,
    /// What is measured before the switch.
    #[serde(deserialize_with = "maybe")]
    pub pre_promotion_analysis: Option<Templates>,
    /// What is measured after it, before the promotion.
    #[serde(deserialize_with = "maybe")]
    pub post_promotion_analysis: Option<Templates>,
}

/// What the controller says.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    /// Its word for where it is.
    #[serde(deserialize_with = "text")]
    pub phase: Str,
    /// Why, for people.
    #[serde(deserialize_with = "text")]
    pub message: Str,
    /// The generation it speaks of: a number as text.
    #[serde(deserialize_with = "text")]
    pub observed_generation: Str,
    /// The generation of the workload it speaks of: a number as text.
    #[serde(deserialize_with = "text")]
    pub workload_observed_generation: Str,
    /// The version that is wanted.
    #[serde(deserialize_with = "text")]
    pub current_pod_hash: Str,
    /// The version that was promoted last.
    #[serde(rename = "stableRS", deserialize_with = "text")]
    pub stable_hash: Str,
    /// The step that is being done, from 0.
    #[serde(deserialize_with = "whole")]
    pub current_step_index: Option<i64>,
    /// Why it waits.
    #[serde(deserialize_with = "list")]
    pub pause_conditions: Vec<PauseCondition>,
    /// Whether the controller waits.
    #[serde(deserialize_with = "flag")]
    pub controller_pause: bool,
    /// Whether it was told to give up.
    #[serde(deserialize_with = "flag")]
    pub abort: bool,
    /// When it gave up.
    #[serde(deserialize_with = "when")]
    pub aborted_at: Option<Time>,
    /// Whether it was told to finish.
    #[serde(deserialize_with = "flag")]
    pub promote_full: bool,
    /// When its pods were started again last.
    #[serde(deserialize_with = "when")]
    pub restarted_at: Option<Time>,
    /// Pods of all versions.
    #[serde(deserialize_with = "count")]
    pub replicas: u32,
    /// Pods of the version that is wanted.
    #[serde(deserialize_with = "count")]
    pub updated_replicas: u32,
    /// Ready pods; with a switch, of the active version only.
    #[serde(deserialize_with = "count")]
    pub ready_replicas: u32,
    /// Pods that have been ready for long enough; with a switch, of the active version only.
    #[serde(deserialize_with = "count")]
    pub available_replicas: u32,
    /// What holds of it.
    #[serde(deserialize_with = "list")]
    pub conditions: Vec<Condition>,
    /// Of a growing share.
    #[serde(deserialize_with = "object")]
    pub canary: CanaryStatus,
    /// Of a switch.
    #[serde(deserialize_with = "object")]
    pub blue_green: BlueGreenStatus,
}

/// Why the controller waits.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PauseCondition {
    /// In one word.
    #[serde(deserialize_with = "text")]
    pub reason: Str,
    /// Since when.
    #[serde(deserialize_with = "when")]
    pub start_time: Option<Time>,
}

/// Of a growing share.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CanaryStatus {
    /// What the router was told.
    #[serde(deserialize_with = "maybe")]
    pub weights: Option<Weights>,
    /// The analysis of the current step.
    #[serde(deserialize_with = "maybe")]
    pub current_step_analysis_run_status: Option<RunBrief>,
    /// The analysis beside all steps.
    #[serde(deserialize_with = "maybe")]
    pub current_background_analysis_run_status: Option<RunBrief>,
    /// The experiment of the current step.
    #[serde(deserialize_with = "text")]
    pub current_experiment: Str,
    /// Which of the two services is stable: `ping` or `pong`.
    #[serde(deserialize_with = "text")]
    pub stable_ping_pong: Str,
    /// What plugins say of their steps.
    #[serde(deserialize_with = "list")]
    pub step_plugin_statuses: Vec<PluginStatus>,
}

/// What a plugin says of its step.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PluginStatus {
    /// The step, from 0.
    #[serde(deserialize_with = "whole")]
    pub index: Option<i64>,
    /// What it does: `Run`, `Terminate`, `Abort`.
    #[serde(deserialize_with = "text")]
    pub operation: Str,
    /// How often it was called.
    #[serde(deserialize_with = "count")]
    pub executions: u32,
    /// Its state.
    #[serde(deserialize_with = "text")]
    pub phase: Str,
    /// Why.
    #[serde(deserialize_with = "text")]
    pub message: Str,
    /// Since when.
    #[serde(deserialize_with = "when")]
    pub started_at: Option<Time>,
}

/// What the router was told.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Weights {
    /// For the candidate.
    #[serde(deserialize_with = "object")]
    pub canary: Destination,
    /// For stable.
    #[serde(deserialize_with = "object")]
    pub stable: Destination,
    /// For experiments.
    #[serde(deserialize_with = "list")]
    pub additional: Vec<Destination>,
    /// Whether the router says so too, where it was asked.
    #[serde(deserialize_with = "maybe_flag")]
    pub verified: Option<bool>,
}

impl Weights {
    /// Every destination.
    pub fn all(&self) -> impl Iterator<Item = &Destination> {
        [&self.canary, &self.stable].into_iter().chain(&self.additional)
    }
}

/// A part of the traffic.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Destination {
    /// How much.
    #[serde(deserialize_with = "count")]
    pub weight: u32,
    /// For which version.
    #[serde(deserialize_with = "text")]
    pub pod_template_hash: Str,
}

/// An analysis run, in brief.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RunBrief {
    /// Its name.
    #[serde(deserialize_with = "text")]
    pub name: Str,
    /// Its state.
    #[serde(deserialize_with = "text")]
    pub status: Str,
    /// Why.
    #[serde(deserialize_with = "text")]
    pub message: Str,
}

/// Of a switch.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BlueGreenStatus {
    /// The version that has the traffic.
    #[serde(deserialize_with = "text")]
    pub active_selector: Str,
    /// The version that can be looked at.
    #[serde(deserialize_with = "text")]
    pub preview_selector: Str,
    /// The analysis before the switch.
    #[serde(deserialize_with = "maybe")]
    pub pre_promotion_analysis_run_status: Option<RunBrief>,
    /// The analysis after it.
    #[serde(deserialize_with = "maybe")]
    pub post_promotion_analysis_run_status: Option<RunBrief>,
    /// Whether what was to happen before the switch is over, and all pods are started.
    #[serde(deserialize_with = "flag")]
    pub scale_up_preview_check_point: bool,
}

impl Rollout {
    /// How many pods it should have.
    #[must_use]
    pub fn replicas(&self) -> u32 {
        u32::try_from(self.spec.replicas.unwrap_or(1).max(0)).unwrap_or(u32::MAX)
    }

    /// The plan; empty without one.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        if self.is_blue_green() { &[] } else { self.spec.strategy.canary.as_ref().map_or(&[], |c| &c.steps) }
    }

    /// Whether traffic is switched and not shifted: what the spec says, never the status.
    #[must_use]
    pub const fn is_blue_green(&self) -> bool {
        self.spec.strategy.blue_green.is_some() && self.spec.strategy.canary.is_none()
    }

    /// The names of its services, each once.
    #[must_use]
    pub fn services(&self) -> Vec<&str> {
        let (canary, switch) = (self.spec.strategy.canary.as_ref(), self.spec.strategy.blue_green.as_ref());
        let canary = canary.map(|c| [&*c.stable_service, &*c.canary_service]);
        let switch = switch.map(|s| [&*s.active_service, &*s.preview_service]);
        let mut names: Vec<&str> = canary.into_iter().chain(switch).flatten().filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// What is asked for around the switch, if traffic is switched.
    #[must_use]
    pub fn blue_green(&self) -> Option<&BlueGreen> {
        self.spec.strategy.blue_green.as_ref().filter(|_| self.is_blue_green())
    }

    /// The router, if there is one.
    #[must_use]
    pub fn routing(&self) -> Option<&Routing> {
        self.spec.strategy.canary.as_ref().filter(|_| !self.is_blue_green())?.traffic_routing.as_ref()
    }

    /// Whether the pods of a candidate that was given up stay until somebody takes them away. Where pods are the
    /// weights they never do.
    #[must_use]
    pub fn keeps_what_it_gave_up(&self) -> bool {
        let delay = match (&self.spec.strategy.blue_green, &self.spec.strategy.canary) {
            (Some(blue_green), None) => blue_green.abort_scale_down_delay_seconds,
            (_, Some(canary)) if canary.traffic_routing.is_some() => canary.abort_scale_down_delay_seconds,
            _ => None,
        };
        delay == Some(0)
    }

    /// Whether stable has fewer pods the more traffic the candidate has: without a router pods are the weights.
    #[must_use]
    pub fn shrinks_stable(&self) -> bool {
        let dynamic = self.spec.strategy.canary.as_ref().is_some_and(|c| c.dynamic_stable_scale);
        !self.is_blue_green() && (self.routing().is_none() || dynamic)
    }

    /// What all of the traffic is in the units of the weights.
    #[must_use]
    pub fn whole(&self) -> u32 {
        self.routing().and_then(|r| r.max_traffic_weight).and_then(|w| u32::try_from(w).ok()).filter(|w| *w > 0).unwrap_or(100)
    }

    /// The current step, from 0; the number of steps when all are done; `None` without steps.
    #[must_use]
    pub fn step(&self) -> Option<usize> {
        let len = self.steps().len();
        // It is greater for a moment after steps were taken away.
        (len > 0).then(|| usize::try_from(self.status.current_step_index.unwrap_or(0).max(0)).unwrap_or(len).min(len))
    }

    /// The current step.
    #[must_use]
    pub fn current_step(&self) -> Option<&Step> {
        self.steps().get(self.step()?)
    }

    /// Whether the version that is wanted is stable.
    #[must_use]
    pub fn is_promoted(&self) -> bool {
        !self.status.stable_hash.is_empty() && self.status.stable_hash == self.status.current_pod_hash
    }

    /// A condition.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status.conditions.iter().find(|c| &*c.kind == kind)
    }

    /// The first condition with this reason.
    #[must_use]
    pub fn because(&self, reason: &str) -> Option<&Condition> {
        self.status.conditions.iter().find(|c| &*c.reason == reason)
    }

    /// Whether the controller has seen the spec as it is. What is no number was written by controllers that
    /// had no generations.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        match (self.status.observed_generation.parse::<i64>(), self.metadata.meta.generation) {
            (Ok(seen), Some(is)) => seen >= is,
            _ => true,
        }
    }

    /// Whether it was told to go on and has not begun to.
    #[must_use]
    pub fn is_unpausing(&self) -> bool {
        self.status.controller_pause && self.status.pause_conditions.is_empty()
    }
}
