//! Flagger's rule: every interval one check; a check that fails is counted and never forgotten, and at
//! the threshold the canary is rolled back.

use serde::{Deserialize, Serialize};

/// What a metric must lie within.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Range {
    /// At least this.
    pub min: Option<f64>,
    /// At most this.
    pub max: Option<f64>,
}

impl Range {
    /// The older `threshold` of a metric: what a success rate must reach, what any other must not exceed.
    #[must_use]
    pub const fn threshold(threshold: f64, success_rate: bool) -> Self {
        if success_rate { Self { min: Some(threshold), max: None } } else { Self { min: None, max: Some(threshold) } }
    }

    /// Whether a metric passes. Without a value (the query failed, or found nothing, "probably not
    /// receiving traffic") it does not.
    #[must_use]
    pub fn passes(&self, value: Option<f64>) -> bool {
        value.is_some_and(|value| !(self.min.is_some_and(|min| value < min) || self.max.is_some_and(|max| value > max)))
    }
}

/// What became of a canary.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It is analysed.
    #[default]
    Progressing,
    /// It was rolled back: all requests to the primary, no canary.
    Failed,
}

/// A canary under analysis.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Canary {
    /// Checks made.
    pub checks: u32,
    /// Those that failed. A success does not take one back; only another revision does.
    pub failed: u32,
    /// What became of it.
    pub phase: Phase,
}

impl Canary {
    /// Failed checks that roll back when nothing is configured.
    pub const THRESHOLD: u32 = 1;

    /// One tick of the scheduler: whether it was enough is looked at first, so that the rollback comes
    /// an interval after the check that was one too many. The metrics are asked in their order, and none
    /// after the first that fails. Whether the canary was given more traffic.
    pub fn tick(&mut self, threshold: u32, metrics: impl IntoIterator<Item = bool>) -> bool {
        if self.phase == Phase::Failed {
            return false;
        }
        if self.exceeds(threshold) {
            self.phase = Phase::Failed;
            return false;
        }
        self.checks = self.checks.saturating_add(1);
        let passes = metrics.into_iter().all(|passes| passes);
        self.failed = self.failed.saturating_add(u32::from(!passes));
        passes
    }

    /// Whether the next tick rolls back, or one did.
    #[must_use]
    pub const fn exceeds(&self, threshold: u32) -> bool {
        self.failed >= threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn bounds_themselves_pass() {
        let range = Range { min: Some(99.0), max: Some(100.0) };
        for (value, passes) in [(98.999, false), (99.0, true), (99.5, true), (100.0, true), (100.001, false)] {
            assert_eq!(range.passes(Some(value)), passes, "{value}");
        }
        assert!(Range::default().passes(Some(1e9)), "without bounds everything passes");
        assert!(!Range::default().passes(None), "no value is a failed check");
    }

    #[test]
    fn the_older_threshold_is_a_floor_for_a_success_rate_and_a_ceiling_for_the_rest() {
        let (rate, duration) = (Range::threshold(99.0, true), Range::threshold(500.0, false));
        assert!(!rate.passes(Some(98.9)) && rate.passes(Some(99.0)) && rate.passes(Some(100.0)));
        assert!(!duration.passes(Some(500.1)) && duration.passes(Some(500.0)) && duration.passes(Some(0.0)));
    }

    #[test]
    fn successes_take_no_failure_back_and_the_next_tick_rolls_back() {
        let mut canary = Canary::default();
        for passes in [false, true, true, false, true, true] {
            assert_eq!(canary.tick(3, [passes]), passes);
        }
        assert_eq!((canary.checks, canary.failed, canary.exceeds(3)), (6, 2, false));
        canary.tick(3, [false]);
        assert_eq!((canary.phase, canary.exceeds(3)), (Phase::Progressing, true), "counted, and looked at next time");
        assert!(!canary.tick(3, [true]), "however well it does then");
        assert_eq!((canary.phase, canary.checks), (Phase::Failed, 7));
        canary.tick(3, [true]);
        assert_eq!(canary.checks, 7, "nothing is checked any more");
    }

    #[test]
    fn one_failure_is_enough_when_nothing_is_configured() {
        let mut canary = Canary::default();
        canary.tick(Canary::THRESHOLD, [false]);
        canary.tick(Canary::THRESHOLD, [true]);
        assert_eq!(canary.phase, Phase::Failed);
    }

    #[test]
    fn a_metric_that_fails_ends_the_list() {
        let asked = Cell::new(0);
        let metric = |passes: bool| {
            asked.set(asked.get() + 1);
            passes
        };
        let mut canary = Canary::default();
        canary.tick(5, [true, false, false].into_iter().map(metric));
        assert_eq!((asked.get(), canary.failed), (2, 1), "two failing metrics are one failed check");
    }
}
