//! Argo Rollouts' rule for an analysis: each measurement of a metric is successful, failed,
//! inconclusive or an error; counters and their limits say what the metric is, the worst metric says
//! what the analysis is.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a measurement said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Measured {
    /// It is good.
    Successful,
    /// It is not.
    Failed,
    /// Neither condition holds.
    Inconclusive,
    /// There was no value, or the condition could not be evaluated.
    Error,
}

impl Measured {
    /// What the conditions make of a value: whether each holds, `None` where it is not configured.
    #[must_use]
    pub const fn by(success: Option<bool>, failure: Option<bool>) -> Self {
        match (success, failure) {
            (None, None) | (Some(true), None | Some(false)) | (None, Some(false)) => Self::Successful,
            (Some(false), None) | (_, Some(true)) => Self::Failed,
            (Some(false), Some(false)) => Self::Inconclusive,
        }
    }

    /// When the next one is made: what could not be measured is tried again sooner.
    #[must_use]
    pub fn next_in(self, interval: Duration) -> Duration {
        if self == Self::Error { RETRY } else { interval }
    }
}

/// How long after an error it is tried again.
pub const RETRY: Duration = Duration::from_secs(10);

/// What a metric or an analysis is, from the best to the worst.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It ended well.
    Successful,
    /// It is measured.
    #[default]
    Running,
    /// It has not begun.
    Pending,
    /// It ended undecided: the rollout pauses.
    Inconclusive,
    /// It could not be measured: the rollout is aborted.
    Error,
    /// It ended badly: the rollout is aborted.
    Failed,
}

impl Phase {
    /// Of an analysis with these metrics: the worst. Metrics that run dry are not among them.
    #[must_use]
    pub fn of(metrics: impl IntoIterator<Item = Self>) -> Self {
        metrics.into_iter().max().unwrap_or(Self::Successful)
    }

    /// Whether nothing is measured any more.
    #[must_use]
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Running | Self::Pending)
    }

    /// Whether the rollout is aborted.
    #[must_use]
    pub const fn aborts(self) -> bool {
        matches!(self, Self::Error | Self::Failed)
    }
}

/// What a metric's counters are held to. All "more than": a failure limit of 3 allows three.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Failed measurements; `None` is Argo's -1, no limit.
    pub failure: Option<u32>,
    /// Inconclusive ones.
    pub inconclusive: u32,
    /// Errors in a row.
    pub consecutive_error: u32,
    /// Successes in a row that are enough.
    pub consecutive_success: Option<u32>,
    /// Measurements that are made.
    pub count: Option<u32>,
    /// Whether it is measured again and again; if not, once.
    pub repeated: bool,
}

impl Limits {
    /// When nothing is configured, of a metric with an interval.
    pub const USUAL: Self =
        Self { failure: Some(0), inconclusive: 0, consecutive_error: 4, consecutive_success: None, count: None, repeated: true };
}

impl Default for Limits {
    fn default() -> Self {
        Self::USUAL
    }
}

/// A metric of an analysis: counters that only grow, but for those of what came in a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Metric {
    /// What it is.
    pub phase: Phase,
    /// Successful measurements.
    pub successful: u32,
    /// Failed ones.
    pub failed: u32,
    /// Undecided ones.
    pub inconclusive: u32,
    /// Those that could not be made.
    pub error: u32,
    /// The same since the last that could be made.
    pub consecutive_error: u32,
    /// Successes since the last that was none.
    pub consecutive_success: u32,
}

impl Metric {
    /// Takes in a measurement and says what the metric is now. What has ended stays as it ended.
    pub fn measure(&mut self, measured: Measured, limits: &Limits) -> Phase {
        if self.phase.is_over() {
            return self.phase;
        }
        let count = match measured {
            Measured::Successful => &mut self.successful,
            Measured::Failed => &mut self.failed,
            Measured::Inconclusive => &mut self.inconclusive,
            Measured::Error => &mut self.error,
        };
        *count = count.saturating_add(1);
        let in_a_row = |before: u32, goes_on: bool| if goes_on { before.saturating_add(1) } else { 0 };
        self.consecutive_error = in_a_row(self.consecutive_error, measured == Measured::Error);
        self.consecutive_success = in_a_row(self.consecutive_success, measured == Measured::Successful);
        self.phase = self.assess(limits);
        self.phase
    }

    /// All measurements that were made.
    #[must_use]
    pub const fn measured(&self) -> u32 {
        self.made().saturating_add(self.error)
    }

    /// Measurements with a value: errors are tried again and do not count.
    const fn made(&self) -> u32 {
        self.successful.saturating_add(self.failed).saturating_add(self.inconclusive)
    }

    fn assess(&self, limits: &Limits) -> Phase {
        let ended = [
            (limits.failure.is_some_and(|most| self.failed > most), Phase::Failed),
            (self.inconclusive > limits.inconclusive, Phase::Inconclusive),
            (self.consecutive_error > limits.consecutive_error, Phase::Error),
        ];
        // The later of these wins.
        if let Some((_, phase)) = ended.into_iter().rev().find(|(over, _)| *over) {
            return phase;
        }
        if limits.consecutive_success.is_some_and(|enough| self.consecutive_success >= enough) {
            return Phase::Successful;
        }
        let count = limits.count.or((!limits.repeated).then_some(1));
        if count.is_none_or(|count| self.made() < count) {
            return Phase::Running;
        }
        match (limits.failure, limits.consecutive_success) {
            (Some(_), Some(_)) => Phase::Inconclusive,
            (None, Some(_)) => Phase::Failed,
            (_, None) => Phase::Successful,
        }
    }

    /// The analysis is stopped: what has no verdict yet is good.
    pub fn terminate(&mut self) -> Phase {
        if !self.phase.is_over() {
            self.phase = Phase::Successful;
        }
        self.phase
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Measured::{Error, Failed, Inconclusive, Successful};

    fn after(limits: &Limits, all: &[Measured]) -> Phase {
        let mut metric = Metric::default();
        all.iter().for_each(|one| {
            metric.measure(*one, limits);
        });
        metric.phase
    }

    #[test]
    fn conditions() {
        assert_eq!(Measured::by(None, None), Successful);
        assert_eq!([true, false].map(|ok| Measured::by(Some(ok), None)), [Successful, Failed]);
        assert_eq!([true, false].map(|bad| Measured::by(None, Some(bad))), [Failed, Successful]);
        assert_eq!(Measured::by(Some(true), Some(true)), Failed, "what is bad is not good");
        assert_eq!(Measured::by(Some(true), Some(false)), Successful);
        assert_eq!(Measured::by(Some(false), Some(false)), Inconclusive);
    }

    #[test]
    fn a_failure_limit_of_three_allows_three() {
        let limits = Limits { failure: Some(3), ..Limits::default() };
        assert_eq!(after(&limits, &[Failed, Successful, Failed, Successful, Failed]), Phase::Running);
        assert_eq!(after(&limits, &[Failed, Successful, Failed, Successful, Failed, Failed]), Phase::Failed, "none is taken back");
        assert_eq!(after(&Limits::default(), &[Failed]), Phase::Failed, "none is allowed when nothing is configured");
        assert_eq!(after(&Limits { failure: None, ..Limits::default() }, &[Failed; 99]), Phase::Running, "-1");
    }

    #[test]
    fn inconclusive_and_errors_have_limits_of_their_own() {
        assert_eq!(after(&Limits::default(), &[Inconclusive]), Phase::Inconclusive);
        assert_eq!(after(&Limits { inconclusive: 1, ..Limits::default() }, &[Inconclusive]), Phase::Running);
        assert_eq!(after(&Limits::default(), &[Error; 4]), Phase::Running);
        assert_eq!(after(&Limits::default(), &[Error; 5]), Phase::Error);
        assert_eq!(after(&Limits::default(), &[Error, Error, Error, Error, Successful, Error, Error]), Phase::Running, "in a row");
    }

    #[test]
    fn later_rules_win_over_earlier_ones() {
        let limits = Limits::default();
        let crossed = |failed, inconclusive, consecutive_error| {
            Metric { failed, inconclusive, consecutive_error, ..Metric::default() }.assess(&limits)
        };
        assert_eq!(crossed(1, 0, 0), Phase::Failed);
        assert_eq!(crossed(1, 1, 0), Phase::Inconclusive);
        assert_eq!(crossed(1, 1, 5), Phase::Error);
    }

    #[test]
    fn what_is_over_stays_as_it_ended() {
        let mut metric = Metric::default();
        metric.measure(Failed, &Limits::default());
        let then = metric;
        assert_eq!(metric.measure(Error, &Limits::default()), Phase::Failed);
        assert_eq!(metric, then);
    }

    #[test]
    fn a_count_ends_it() {
        let counted = Limits { count: Some(3), failure: Some(1), ..Limits::default() };
        assert_eq!(after(&counted, &[Successful, Failed]), Phase::Running);
        assert_eq!(after(&counted, &[Successful, Failed, Successful]), Phase::Successful);
        assert_eq!(after(&counted, &[Successful, Error, Successful]), Phase::Running, "what had no value is made again");
        let once = Limits { repeated: false, ..Limits::default() };
        assert_eq!(after(&once, &[Successful]), Phase::Successful);
        assert_eq!(after(&Limits::default(), &[Successful; 99]), Phase::Running, "without a count until it is stopped");
    }

    #[test]
    fn enough_successes_in_a_row_end_it_and_too_few_of_them_do_not() {
        let both = Limits { failure: Some(9), consecutive_success: Some(2), count: Some(4), ..Limits::default() };
        assert_eq!(after(&both, &[Successful, Successful]), Phase::Successful);
        assert_eq!(after(&both, &[Successful, Failed, Successful, Failed]), Phase::Inconclusive);
        let only = Limits { failure: None, ..both };
        assert_eq!(after(&only, &[Successful, Failed, Successful, Failed]), Phase::Failed);
    }

    #[test]
    fn stopping_is_success_unless_it_has_failed() {
        assert_eq!(Metric::default().terminate(), Phase::Successful);
        let mut failed = Metric { phase: Phase::Failed, ..Metric::default() };
        assert_eq!(failed.terminate(), Phase::Failed);
    }

    #[test]
    fn errors_are_tried_again_after_ten_seconds() {
        let minute = Duration::from_secs(60);
        assert_eq!([Successful, Failed, Inconclusive].map(|m| m.next_in(minute)), [minute; 3]);
        assert_eq!(Error.next_in(minute), Duration::from_secs(10));
    }

    #[test]
    fn an_analysis_is_its_worst_metric() {
        use Phase::{Pending, Running};
        let order = [Phase::Successful, Running, Pending, Phase::Inconclusive, Phase::Error, Phase::Failed];
        for (i, worse) in order.into_iter().enumerate() {
            assert_eq!(Phase::of(order.into_iter().take(i + 1)), worse);
        }
        assert_eq!(order.map(Phase::aborts), [false, false, false, false, true, true]);
        assert_eq!(Phase::of([]), Phase::Successful);
    }
}
