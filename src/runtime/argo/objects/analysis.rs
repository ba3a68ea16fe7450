//! Analysis runs and experiments.

use super::{
    Meta, Template,
    lenient::{Str, count, flag, list, maybe_text, object, text, when, whole},
};
use crate::model::time::Time;
use serde::Deserialize;

/// Measurements that the controller makes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct AnalysisRun {
    /// Who it is.
    #[serde(deserialize_with = "object")]
    pub metadata: Meta,
    /// What is to be measured.
    #[serde(deserialize_with = "object")]
    pub spec: RunSpec,
    /// What was measured.
    #[serde(deserialize_with = "object")]
    pub status: RunStatus,
}

/// What is to be measured.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RunSpec {
    /// Each metric.
    #[serde(deserialize_with = "list")]
    pub metrics: Vec<MetricSpec>,
    /// What is filled into them.
    #[serde(deserialize_with = "list")]
    pub args: Vec<Arg>,
    /// Metrics without consequences: patterns of names.
    #[serde(deserialize_with = "list")]
    pub dry_run: Vec<DryRun>,
}

/// What is filled in for `{{args.name}}`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Arg {
    /// Its name.
    #[serde(deserialize_with = "text")]
    pub name: Str,
    /// Its value; absent of a secret.
    #[serde(deserialize_with = "maybe_text")]
    pub value: Option<Str>,
}

/// Who measures.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Provider {
    /// A Prometheus.
    #[serde(deserialize_with = "object")]
    pub prometheus: PrometheusQuery,
}

/// What a Prometheus is asked.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PrometheusQuery {
    /// The query; empty where none is asked.
    #[serde(deserialize_with = "text")]
    pub query: Str,
}

/// A metric without consequences.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DryRun {
    /// A pattern of names.
    #[serde(deserialize_with = "text")]
    pub metric_name: Str,
}

/// One metric, as it is to be measured. Limits may be templates (`{{args.x}}`), which are no numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MetricSpec {
    /// Its name.
    #[serde(deserialize_with = "text")]
    pub name: Str,
    /// What must hold.
    #[serde(deserialize_with = "text")]
    pub success_condition: Str,
    /// What must not hold.
    #[serde(deserialize_with = "text")]
    pub failure_condition: Str,
    /// Who measures.
    #[serde(deserialize_with = "object")]
    pub provider: Provider,
    /// How often.
    #[serde(deserialize_with = "maybe_text")]
    pub count: Option<Str>,
    /// How far apart.
    #[serde(deserialize_with = "maybe_text")]
    pub interval: Option<Str>,
    /// When it begins.
    #[serde(deserialize_with = "maybe_text")]
    pub initial_delay: Option<Str>,
    /// How many failures are too many, less one.
    #[serde(deserialize_with = "maybe_text")]
    pub failure_limit: Option<Str>,
    /// How many measurements without a verdict are too many, less one.
    #[serde(deserialize_with = "maybe_text")]
    pub inconclusive_limit: Option<Str>,
    /// How many errors in a row are too many, less one.
    #[serde(deserialize_with = "maybe_text")]
    pub consecutive_error_limit: Option<Str>,
    /// How many successful ones in a row are enough.
    #[serde(deserialize_with = "maybe_text")]
    pub consecutive_success_limit: Option<Str>,
}

/// What was measured.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RunStatus {
    /// Its state.
    #[serde(deserialize_with = "text")]
    pub phase: Str,
    /// Why.
    #[serde(deserialize_with = "text")]
    pub message: Str,
    /// Since when it runs.
    #[serde(deserialize_with = "when")]
    pub started_at: Option<Time>,
    /// Of each metric that was begun.
    #[serde(deserialize_with = "list")]
    pub metric_results: Vec<MetricResult>,
}

/// One metric, as it was measured.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MetricResult {
    /// Its name.
    #[serde(deserialize_with = "text")]
    pub name: Str,
    /// Its state.
    #[serde(deserialize_with = "text")]
    pub phase: Str,
    /// Why.
    #[serde(deserialize_with = "text")]
    pub message: Str,
    /// Successful measurements.
    #[serde(deserialize_with = "count")]
    pub successful: u32,
    /// Failed ones.
    #[serde(deserialize_with = "count")]
    pub failed: u32,
    /// Ones that said neither.
    #[serde(deserialize_with = "count")]
    pub inconclusive: u32,
    /// Ones that could not be made.
    #[serde(deserialize_with = "count")]
    pub error: u32,
    /// Ones in a row that could not be made, up to now.
    #[serde(deserialize_with = "count")]
    pub consecutive_error: u32,
    /// Successful ones in a row, up to now.
    #[serde(deserialize_with = "count")]
    pub consecutive_success: u32,
    /// Whether it has no consequences.
    #[serde(deserialize_with = "flag")]
    pub dry_run: bool,
    /// The last ones.
    #[serde(deserialize_with = "list")]
    pub measurements: Vec<Measurement>,
}

/// One measurement.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Measurement {
    /// When it was begun.
    #[serde(deserialize_with = "when")]
    pub started_at: Option<Time>,
    /// When it was made.
    #[serde(deserialize_with = "when")]
    pub finished_at: Option<Time>,
    /// When it is looked at again, if it takes long.
    #[serde(deserialize_with = "when")]
    pub resume_at: Option<Time>,
    /// Its verdict.
    #[serde(deserialize_with = "text")]
    pub phase: Str,
    /// What was measured, as the provider printed it.
    #[serde(deserialize_with = "text")]
    pub value: Str,
    /// Why there is no value.
    #[serde(deserialize_with = "text")]
    pub message: Str,
}

/// Versions beside a rollout.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Experiment {
    /// Who it is.
    #[serde(deserialize_with = "object")]
    pub metadata: Meta,
    /// What it should be.
    #[serde(deserialize_with = "object")]
    pub spec: ExperimentSpec,
    /// What it is.
    #[serde(deserialize_with = "object")]
    pub status: ExperimentStatus,
}

/// What an experiment should be.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ExperimentSpec {
    /// For how long, once everything is there.
    #[serde(deserialize_with = "maybe_text")]
    pub duration: Option<Str>,
    /// Each version.
    #[serde(deserialize_with = "list")]
    pub templates: Vec<ExperimentTemplate>,
}

/// One version of an experiment.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ExperimentTemplate {
    /// Its name.
    #[serde(deserialize_with = "text")]
    pub name: Str,
    /// How many pods; one if it does not say.
    #[serde(deserialize_with = "whole")]
    pub replicas: Option<i64>,
    /// Of what.
    #[serde(deserialize_with = "object")]
    pub template: Template,
}

/// What an experiment is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExperimentStatus {
    /// Its state.
    #[serde(deserialize_with = "text")]
    pub phase: Str,
    /// Why.
    #[serde(deserialize_with = "text")]
    pub message: Str,
    /// Since when all of it is there.
    #[serde(deserialize_with = "when")]
    pub available_at: Option<Time>,
    /// Of each version.
    #[serde(deserialize_with = "list")]
    pub template_statuses: Vec<TemplateStatus>,
    /// What is measured of it.
    #[serde(deserialize_with = "list")]
    pub analysis_runs: Vec<ExperimentRun>,
}

/// An analysis of an experiment, in brief.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExperimentRun {
    /// What the experiment calls it.
    #[serde(deserialize_with = "text")]
    pub name: Str,
    /// The name of the analysis run.
    #[serde(deserialize_with = "text")]
    pub analysis_run: Str,
    /// Its state.
    #[serde(deserialize_with = "text")]
    pub phase: Str,
    /// Why.
    #[serde(deserialize_with = "text")]
    pub message: Str,
}

/// One version of an experiment, as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TemplateStatus {
    /// Its name.
    #[serde(deserialize_with = "text")]
    pub name: Str,
    /// The hash of its pods, where it has a service of its own.
    #[serde(deserialize_with = "text")]
    pub pod_template_hash: Str,
    /// Pods that may get traffic.
    #[serde(deserialize_with = "count")]
    pub ready_replicas: u32,
}

impl Experiment {
    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(&*self.status.phase, "Successful" | "Failed" | "Error" | "Inconclusive")
    }
}
