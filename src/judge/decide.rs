//! The verdict, in this order:
//!
//! | | |
//! |---|---|
//! | blind | a required sensor is not fresh, the last counts cannot be, or nothing reaches a candidate that should have traffic |
//! | fail | the odds or the change detector cross their line, and the candidate is not shown to be within `r_max`: over the run, or since the change |
//! | fail, both | otherwise, when both versions are shown to be over the limit: going back would not help |
//! | fail, limit | the candidate is shown to be over the limit |
//! | fail, budget | the run has spent its part of the error budget, and that is more than chance gives: odds from 20 on |
//! | worse | a wait that holds the plan: odds from 20 on, or over the line but shown to be within `r_max` |
//! | pass | shown not to be `r_max` times as bad as stable, or shown to be under the limit |
//! | wait | otherwise |
//!
//! Two things are held against `r_max`, over two times. To pass, a candidate must be shown to be within it
//! at this weight: what was shown at 5 % of the traffic says little of 50 %. To fail, the odds of the run
//! must be over their line *and* the same run must not have shown it to be within `r_max`: held against a
//! weight that converged a minute ago, a candidate that is a little worse and was allowed to go on would
//! fail, and go back, at every next weight. What becomes worse than that later is the change detector's:
//! it asks each ratio for the time since that ratio became likely.
//!
//! A version that bakes has all the traffic and no stable beside it. Then only blind, limit and budget
//! decide, on what was counted since it has all the traffic; it passes by the limit alone.
//!
//! Nothing is averaged over gates: that loses a clear failure (400 and four times 0.2 average 80) and
//! lets one that only advises go back. Where several gates revert, the lines of each are multiplied by
//! their number, so that all of them together revert a healthy release as seldom as one would, and hold it
//! as seldom: a hold stops the plan until a person has looked, so *worse* and the budget's odds are
//! multiplied too. The lines of gates that hold or advise stay: they spend nothing. So does the line of
//! *pass* of every gate: it sends nothing back, and where all gates must pass, all of them together pass a
//! sick release no more often than the one that sees it.

use super::{burn, quantile::Asked, run::GateRun};
use crate::model::{
    gate::{Lines, Quantile},
    interval::{Sensor, SensorState},
    spec::{GateSpec, OnFail},
};

/// Requests that must have missed the candidate before silence means something: with an even chance for
/// each, none of five arrives in less than 1 % of cases.
const SILENT: f64 = 5.0;

/// Sequential p-value below which quantiles differ.
const DIFFERENT: f64 = 0.01;

/// What a verdict is made of.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Decision {
    /// The place of the sensor that is not fresh; `None` when nothing measures it at all.
    Blind(Option<usize>),
    /// The last counts cannot be: more failed requests than requests, or counts that fell.
    Refused,
    /// Requests should reach the candidate, and do not.
    Silent,
    /// Worse than stable, by the odds of the run.
    Worse,
    /// Worse than stable, by the change detector.
    Changed,
    /// Both are over the limit.
    Both,
    /// The candidate is over the limit.
    Limit,
    /// The run's part of the budget is spent.
    Budget,
    /// It looks worse: nothing moves by itself.
    Suspect,
    /// It is worse, and within what is allowed.
    Within,
    /// Not `r_max` times as bad as stable.
    Safe,
    /// Under the limit.
    Under,
    /// A quantile is higher than stable's.
    Slower,
    /// A quantile is not higher than stable's.
    Alike,
    /// Not enough was seen.
    Open,
}

/// All odds of a gate, as logarithms.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Odds {
    /// Of the whole run.
    pub run: f64,
    /// Of this weight.
    pub step: f64,
    /// The change detector's.
    pub change: f64,
    /// Not `r_max` times as bad, since this weight converged: for a pass.
    pub safe: f64,
    /// The same of the whole run: what is over the line and within this does not fail.
    pub safe_run: f64,
    /// The same since the change that the detector sees.
    pub safe_since: f64,
    /// The candidate over the limit: of the run or of its change detector, as far as they reach.
    pub over: Reach,
    /// Stable over the limit, likewise.
    pub stable_over: Reach,
    /// The candidate under the limit, since this weight converged.
    pub under: f64,
}

/// Odds of a run and of its change detector, as logarithms.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Reach {
    /// Of the whole run.
    pub run: f64,
    /// Of the change detector.
    pub change: f64,
}

impl Decision {
    /// Whether nothing can be said.
    #[must_use]
    pub const fn is_blind(self) -> bool {
        matches!(self, Self::Blind(_) | Self::Refused | Self::Silent)
    }

    /// Whether the gate fails.
    #[must_use]
    pub const fn fails(self) -> bool {
        matches!(self, Self::Worse | Self::Changed | Self::Both | Self::Limit | Self::Budget | Self::Slower)
    }
}

/// Why nothing can be said, whatever was counted; `None` where something can.
pub(super) fn blind(sensors: &[Sensor]) -> Option<Decision> {
    if sensors.is_empty() {
        return Some(Decision::Blind(None));
    }
    let lacks = sensors.iter().position(|s| s.required && s.state != SensorState::Fresh);
    lacks.map(|place| Decision::Blind(Some(place)))
}

/// What odds are held to, for a gate among so many that revert.
#[must_use]
pub fn lines(gate: &GateSpec, reverting: usize) -> Lines {
    #[expect(clippy::cast_precision_loss, reason = "a handful of gates")]
    let m = if gate.on_fail() == OnFail::Revert { reverting.max(1) as f64 } else { 1.0 };
    let usual = Lines::default();
    let per_minute = 60.0 / gate.interval.as_secs_f64().max(0.001);
    Lines { fail: usual.fail * m, change: usual.change * per_minute * m, worse: usual.worse * m, ..usual }
}

/// Lines with their logarithms, which are needed for every decision.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Held {
    /// What odds are held to.
    pub lines: Lines,
    fail: f64,
    change: f64,
    worse: f64,
    pass: f64,
}

impl Held {
    /// With their logarithms.
    #[must_use]
    pub fn new(lines: Lines) -> Self {
        let Lines { fail, change, worse, pass } = lines;
        Self { lines, fail: fail.ln(), change: change.ln(), worse: worse.ln(), pass: pass.ln() }
    }
}

impl GateRun {
    /// All odds now.
    #[must_use]
    pub fn odds(&self) -> Odds {
        let reach = |over: &super::limit::Over| Reach { run: over.ln_odds(), change: over.ln_change() };
        Odds {
            run: self.odds.ln_odds(),
            step: self.step.odds.ln_odds(),
            change: self.change.ln_odds(),
            safe: self.step.ln_safe,
            safe_run: self.ln_safe,
            safe_since: self.change.ln_since(),
            over: reach(&self.over),
            stable_over: reach(&self.stable_over),
            under: self.step.under.ln_odds(),
        }
    }

    /// The decision by these sensors.
    #[cfg(test)]
    pub fn decide(&self, gate: &GateSpec, held: &Held, sensors: &[Sensor]) -> Decision {
        blind(sensors).unwrap_or_else(|| self.decision(gate, held))
    }

    /// What is decided by what was counted. It needs none of [`Self::odds`], which cost more than it does.
    pub(super) fn decision(&self, gate: &GateSpec, held: &Held) -> Decision {
        if self.refused {
            return Decision::Refused;
        }
        if self.silence >= SILENT {
            return Decision::Silent;
        }
        if gate.signal.quantile().is_some() {
            return self.quantile_decision(gate);
        }
        let Held { fail, change, worse: line, pass, .. } = *held;
        let (worse, changed) = (self.odds.reaches(fail), self.change.reaches(change));
        // What crosses a line has more errors than its share: see the room `odds`.
        if worse && self.ln_safe < pass {
            return Decision::Worse;
        }
        let suspect = self.odds.reaches(line);
        // Hours in which it was within `r_max` say nothing of the minutes in which it became worse.
        if changed && self.change.ln_beyond(pass, suspect && self.ln_safe >= pass) >= change {
            return Decision::Changed;
        }
        if self.over.crosses(fail, change) {
            return if self.stable_over.crosses(fail, change) { Decision::Both } else { Decision::Limit };
        }
        if self.spent(gate).is_some_and(|spent| spent >= gate.budget / 100.0) && self.ln_above() >= line {
            return Decision::Budget;
        }
        if worse || changed {
            return Decision::Within;
        }
        if suspect {
            return Decision::Suspect;
        }
        if self.step.ln_safe >= pass {
            Decision::Safe
        } else if super::run::per_one(gate).is_some() && self.step.under.reaches(pass) {
            Decision::Under
        } else {
            Decision::Open
        }
    }

    /// The part of the 30 days' error budget that this run has spent, in parts of one.
    #[must_use]
    pub fn spent(&self, gate: &GateSpec) -> Option<f64> {
        burn::spent(self.excess, self.candidate.of + self.stable.of, self.secs, gate.slo? / 100.0)
    }

    /// The logarithm of the odds that what it has spent is more than chance gives; 0 without an `slo`.
    #[must_use]
    pub fn ln_above(&self) -> f64 {
        self.above.map_or(0.0, |above| above.ln_odds())
    }

    /// The quantile that the gate looks at, of both versions.
    #[must_use]
    pub fn quantile(&self, gate: &GateSpec) -> Option<Quantile> {
        let q = gate.signal.quantile()?;
        let [candidate, stable] = self.step.latency.as_deref()?;
        let asked = Asked::new(q);
        Some(Quantile { q, candidate: asked.bounds(candidate), stable: asked.bounds(stable), p: asked.p_value(candidate, stable) })
    }

    fn quantile_decision(&self, gate: &GateSpec) -> Decision {
        let Some(seen) = self.quantile(gate) else { return Decision::Open };
        let (own, other) = (seen.candidate, seen.stable);
        if gate.limit.is_some_and(|limit| own.low >= limit) {
            return if gate.limit.is_some_and(|limit| other.low >= limit) { Decision::Both } else { Decision::Limit };
        }
        // An upper bound that is not known is above every edge.
        let edge = |high: Option<f64>| high.unwrap_or(f64::INFINITY);
        let higher = own.low > other.low || edge(own.high) > edge(other.high);
        if seen.p <= DIFFERENT && higher {
            return Decision::Slower;
        }
        let within = own.high.is_some_and(|high| gate.limit.is_none_or(|limit| high <= limit));
        if within && edge(own.high) <= edge(other.high) { Decision::Alike } else { Decision::Open }
    }
}
