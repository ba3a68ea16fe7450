//! How other tools are set whose rules are told beside a gate. They decide nothing here.

use super::time::human;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `rules` of a gate: what is left out is as the tools' examples have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Failed checks at which Flagger rolls back, 1 to 1,000; its examples have 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flagger_threshold: Option<u32>,
    /// Failed measurements that Argo Rollouts allows, up to 1,000; -1 for any number; its examples have 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub argo_failure_limit: Option<i32>,
    /// Between two checks and two measurements, 1 s to 1 h; else a minute for Flagger and the gate's own
    /// interval for Argo Rollouts.
    #[serde(with = "human::option", skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
    /// What an analysis of the rollout itself says that asks what the gate asks: found, never configured.
    #[serde(skip)]
    pub analysis: Option<Measuring>,
}

/// How a metric of an analysis is measured, and what it may be. All "more than"; `None` is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Measuring {
    /// Between two measurements; `None` where it is measured once.
    pub every: Option<Duration>,
    /// Failed measurements that are allowed.
    pub failure_limit: Option<u32>,
    /// Errors in a row that are allowed.
    pub error_limit: Option<u32>,
    /// Successes in a row that are enough.
    pub success_limit: Option<u32>,
    /// Measurements that are made.
    pub count: Option<u32>,
}
