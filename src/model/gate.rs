//! Gates, their verdicts, and what a verdict rests on.

use super::{
    ident::GateId,
    interval::{Query, Sensor, SensorState},
    signal::{Sample, SignalId},
    spec::OnFail,
    text::Text,
    time::{Time, millis},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A gate as it stands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GateState {
    /// Its name.
    pub id: GateId,
    /// What it looks at.
    pub signal: SignalId,
    /// The rule in words: `not 3x stable, or under 5 %`.
    pub rule: Text,
    /// What a failure does.
    pub on_fail: OnFail,
    /// What it says.
    pub verdict: Verdict,
    /// Since when it says so.
    pub since: Time,
    /// What it rests on.
    #[serde(default)]
    pub evidence: Option<Evidence>,
}

impl GateState {
    /// Whether it decides something and cannot see the candidate, or the version that bakes: if it were bad, this
    /// gate would not say so. What is missing only of stable, such as the p99 that a first version has nobody to
    /// take from, is no such blindness.
    #[must_use]
    pub fn is_blind_to_candidate(&self) -> bool {
        let sensors = self.evidence.as_ref().map(|e| e.sensors.as_slice()).unwrap_or_default();
        let mut missing = sensors.iter().filter(|s| s.required && s.state != SensorState::Fresh).peekable();
        let blind = self.on_fail != OnFail::Advise && matches!(self.verdict, Verdict::Blind { .. });
        blind && (missing.peek().is_none() || missing.any(|s| s.arm != Arm::Stable))
    }

    /// Whether it has not failed and keeps the plan from going on by itself all the same: the candidate looks worse.
    #[must_use]
    pub fn looks_worse(&self) -> bool {
        matches!(self.verdict, Verdict::Wait { .. }) && self.evidence.as_ref().is_some_and(|e| e.holds)
    }

    /// Its place among the gates, what speaks first for all of them being lowest: of those that can hold the plan
    /// what fails, cannot see, looks worse, waits; then what only advises and has not passed, likewise; then what
    /// passed.
    #[must_use]
    pub fn place(&self) -> u8 {
        let place = match &self.verdict {
            Verdict::Pass { .. } => return 8,
            Verdict::Fail { .. } => 0,
            Verdict::Blind { .. } => 1,
            Verdict::Wait { .. } if self.looks_worse() => 2,
            Verdict::Wait { .. } => 3,
        };
        if self.on_fail == OnFail::Advise { place + 4 } else { place }
    }

    /// Whether stable is shown to be bad by what this gate holds the candidate to: going back does not help,
    /// whatever it says of the candidate.
    #[must_use]
    pub fn stable_is_sick(&self) -> bool {
        self.verdict.fails_both() || self.evidence.as_ref().is_some_and(Evidence::stable_is_over)
    }
}

/// What a verdict rests on. Odds are parts to one: 38 means 38:1; they are finite, at most
/// [`Evidence::MOST`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Evidence {
    /// The candidate's, since this weight converged.
    pub candidate: Sample,
    /// Stable's, since this weight converged.
    pub stable: Sample,
    /// Since when those two are counted: a pass counts from here.
    pub since: Time,
    /// The candidate's, of the whole run.
    #[serde(default = "nothing")]
    pub run_candidate: Sample,
    /// Stable's, of the whole run.
    #[serde(default = "nothing")]
    pub run_stable: Sample,
    /// Since when the run is judged.
    #[serde(default)]
    pub run_since: Time,
    /// Percent between which the candidate's share since this weight converged lies, bursts discounted;
    /// right at all times at once in 95 of 100 runs.
    #[serde(default)]
    pub between: Option<[f64; 2]>,
    /// What the candidate must stay under: percent; restarts per instance and hour; milliseconds.
    /// `None` where no limit is set.
    pub limit: Option<f64>,
    /// Milliseconds from which on a request is slow; of a gate over slow requests, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_over: Option<f64>,
    /// As how many times stable's ratio the candidate must be shown not to be.
    #[serde(default)]
    pub r_max: f64,
    /// Odds that the candidate is worse, of the whole run. Never restarted.
    #[serde(default)]
    pub odds: f64,
    /// The same of this weight alone: shown, and decides nothing.
    #[serde(default)]
    pub step_odds: f64,
    /// The change detector: how far it is on the way to [`Lines::change`].
    #[serde(default)]
    pub change: f64,
    /// Odds that the candidate is *not* `r_max` times as bad as stable, since this weight converged.
    #[serde(default)]
    pub safe: f64,
    /// The same of the whole run: from [`Lines::pass`] on, [`Evidence::odds`] over their line do not fail.
    #[serde(default = "one")]
    pub safe_run: f64,
    /// The same since the change that the detector sees.
    #[serde(default = "one")]
    pub safe_since: f64,
    /// Odds that the candidate's ratio is over the limit, of the whole run.
    #[serde(default)]
    pub over: f64,
    /// Odds that stable's ratio is over the limit, likewise.
    #[serde(default)]
    pub stable_over: f64,
    /// The candidate over the limit by the change detector, held to [`Lines::change`].
    #[serde(default = "one")]
    pub over_change: f64,
    /// Stable over the limit, likewise.
    #[serde(default = "one")]
    pub stable_over_change: f64,
    /// Odds that the candidate's ratio is under the limit, since this weight converged.
    #[serde(default)]
    pub under: f64,
    /// Pearson's dispersion of stable's errors, by which all evidence is divided: 1 is independent
    /// errors, 10 also means that too few were seen to know.
    #[serde(default = "one")]
    pub phi: f64,
    /// The same by which what is held to the limit is divided: between intervals, where [`Evidence::phi`]
    /// may be between instances.
    #[serde(default = "one")]
    pub phi_limit: f64,
    /// The candidate's while an instance warmed up, since this weight converged: shown and not judged.
    #[serde(default)]
    pub warming: Option<Sample>,
    /// How long after an instance got ready that is.
    #[serde(with = "millis", default)]
    pub warmup: Duration,
    /// What the odds are held to.
    #[serde(default)]
    pub lines: Lines,
    /// Which of the odds makes the verdict, or holds the plan; `None` where none has reached its line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<Decider>,
    /// Intervals judged in this run.
    #[serde(default)]
    pub intervals: u64,
    /// Age of the newest sample that was judged; a sensor says that of its query.
    #[serde(with = "millis", default)]
    pub age: Duration,
    /// Whether the plan must not go on by itself although nothing has failed: the candidate looks worse.
    #[serde(default)]
    pub holds: bool,
    /// Candidate requests missing to a decision, where that can be said.
    #[serde(default)]
    pub missing: Option<u64>,
    /// When they will be there at this traffic.
    #[serde(with = "millis::option", default)]
    pub eta: Option<Duration>,
    /// What could be seen with this traffic.
    #[serde(default)]
    pub power: Option<Power>,
    /// How fast the error budget burns; only with an `slo`.
    #[serde(default)]
    pub burn: Option<Burn>,
    /// Quantiles of the latency; only for gates over them.
    #[serde(default)]
    pub quantile: Option<Quantile>,
    /// How far its series can be trusted.
    #[serde(default)]
    pub sensors: Vec<Sensor>,
    /// What was asked of a metrics backend; empty where the host counts itself.
    #[serde(default)]
    pub queries: Vec<Query>,
    /// What other tools' rules would say of the same numbers.
    #[serde(default)]
    pub peers: Vec<Peer>,
}

/// What odds are held to; multiplied by the number of reverting gates where this gate is one of them.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Lines {
    /// [`Evidence::odds`], [`Evidence::over`] and [`Evidence::stable_over`] fail from here on.
    pub fail: f64,
    /// [`Evidence::change`] fails from here on: a false alarm in n intervals has a chance of at most n
    /// in this many.
    pub change: f64,
    /// [`Evidence::odds`] hold the plan from here on.
    pub worse: f64,
    /// [`Evidence::safe`] and [`Evidence::under`] pass from here on.
    pub pass: f64,
}

/// Odds that decide, by the name that they have wherever they are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decider {
    /// [`Evidence::odds`].
    Worse,
    /// [`Evidence::change`].
    Change,
    /// [`Evidence::over`], of both versions where both are to blame.
    Over,
    /// [`Evidence::over_change`], likewise: over the limit of late.
    Late,
    /// [`Burn::above`], with the budget spent.
    Budget,
    /// [`Evidence::safe`].
    Safe,
    /// [`Evidence::under`].
    Under,
}

impl Decider {
    /// Its name, as on the screen and in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::Change => "change",
            Self::Over => "over",
            Self::Late => "late",
            Self::Budget => "budget",
            Self::Safe => "safe",
            Self::Under => "under",
        }
    }
}

/// What the judge could see, and when it could see more.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Power {
    /// The smallest ratio to stable that would have been seen by now: its odds at their line; `None` if not
    /// even those of ten times were. What is seen fails, or is held where it is shown to be within `r_max`.
    pub sees: Option<f64>,
    /// The smallest that would have failed the gate by its odds: from `sees` up to here it is held.
    #[serde(default)]
    pub fails: Option<f64>,
    /// A smaller ratio, and when it would be seen at this traffic.
    #[serde(default)]
    pub soon: Option<Soon>,
    /// The smallest weight, in percent, at which a healthy candidate would pass in a given time; absent
    /// when it passes by then anyway, or at no weight.
    #[serde(default)]
    pub decides: Option<Decides>,
    /// `can see >= 1.3x errors now (below 1.7x held, not failed); 1.2x in 11 min at this traffic`.
    pub text: Text,
}

/// A ratio and when it would be seen.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Soon {
    /// Candidate to stable.
    pub ratio: f64,
    /// From now.
    #[serde(with = "millis")]
    pub within: Duration,
}

/// A weight and how soon it would decide.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Decides {
    /// Percent.
    pub weight: f64,
    /// From its convergence.
    #[serde(with = "millis")]
    pub within: Duration,
}

/// How fast the error budget is spent: 1 spends it in exactly its 30 days.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Burn {
    /// Percent of requests that must be good.
    pub slo: f64,
    /// Burn rate of the candidate over the last hour; `None` without requests.
    pub candidate: Option<f64>,
    /// Of stable, likewise.
    pub stable: Option<f64>,
    /// What the candidate's part of the traffic burns of the whole service's budget.
    pub blast: Option<f64>,
    /// Multi-window alerts that the candidate's own requests would raise: `page 1h/5m`.
    #[serde(default)]
    pub alerts: Vec<Text>,
    /// Those that stable's own requests raise, with what came before the run.
    #[serde(default)]
    pub stable_alerts: Vec<Text>,
    /// Percent of the 30 days' budget that this run has spent: candidate errors above stable's ratio.
    pub spent: Option<f64>,
    /// Odds that this is more than chance gives: from [`Lines::worse`] on a spent budget stops the run.
    #[serde(default)]
    pub above: f64,
    /// Percent that one run may spend.
    pub budget: f64,
}

/// A quantile of both versions, in milliseconds, with bounds that hold however often they are looked at.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Quantile {
    /// Which: 0.5, 0.95, 0.99.
    pub q: f64,
    /// The candidate's.
    pub candidate: Bounds,
    /// Stable's.
    pub stable: Bounds,
    /// Sequential p-value of the two being equal.
    pub p: f64,
}

/// Where a quantile lies: edges of buckets. An upper bound of `None` means that it lies in the last
/// bucket, so that only a floor is known.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Bounds {
    /// At least this.
    pub low: f64,
    /// At most this.
    pub high: Option<f64>,
    /// Latencies it rests on.
    pub n: f64,
}

/// What another tool's rule says of the same numbers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Peer {
    /// Which tool.
    pub name: Text,
    /// What it would do: `would revert`, `would hold`, `would go on`, `cannot say`.
    pub word: Text,
    /// Why, in one line.
    pub why: Text,
}

/// What a gate says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "word")]
pub enum Verdict {
    /// The candidate is good enough.
    Pass {
        /// One line.
        why: Text,
    },
    /// It is not.
    Fail {
        /// Who is sick.
        who: Arm,
        /// One line.
        why: Text,
    },
    /// Not enough evidence yet.
    Wait {
        /// What is missing, in one line.
        missing: Text,
        /// When it will be there at this traffic.
        #[serde(with = "millis::option", default)]
        eta: Option<Duration>,
    },
    /// A needed signal is not fresh.
    Blind {
        /// Which and since when, in one line.
        why: Text,
    },
}

/// Which side is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The candidate alone.
    Candidate,
    /// Stable alone.
    Stable,
    /// Both: going back does not help.
    Both,
}

impl Evidence {
    /// Odds beyond this are written as this: JSON has no infinity.
    pub const MOST: f64 = 1e300;

    /// Whether stable is shown to be over the limit, by the rule that would fail the candidate.
    #[must_use]
    pub fn stable_is_over(&self) -> bool {
        let Some(limit) = self.limit else { return false };
        match &self.quantile {
            Some(seen) => seen.stable.low >= limit,
            None => self.stable_over >= self.lines.fail || self.stable_over_change >= self.lines.change,
        }
    }

    /// Whether the candidate is shown to be worse than stable: a line is crossed.
    #[must_use]
    pub fn certain(&self) -> bool {
        self.odds >= self.lines.fail || self.change >= self.lines.change
    }

    /// Whether the candidate is shown to be over its limit, likewise.
    #[must_use]
    pub fn over_limit(&self) -> bool {
        self.over >= self.lines.fail || self.over_change >= self.lines.change
    }
}

impl Default for Evidence {
    fn default() -> Self {
        Self {
            candidate: nothing(),
            stable: nothing(),
            since: Time::UNIX_EPOCH,
            run_candidate: nothing(),
            run_stable: nothing(),
            run_since: Time::UNIX_EPOCH,
            between: None,
            limit: None,
            slow_over: None,
            r_max: 0.0,
            odds: 1.0,
            step_odds: 1.0,
            change: 1.0,
            safe: 1.0,
            safe_run: 1.0,
            safe_since: 1.0,
            over: 1.0,
            stable_over: 1.0,
            over_change: 1.0,
            stable_over_change: 1.0,
            under: 1.0,
            phi: 1.0,
            phi_limit: 1.0,
            warming: None,
            warmup: Duration::ZERO,
            lines: Lines::default(),
            decided_by: None,
            intervals: 0,
            age: Duration::ZERO,
            holds: false,
            missing: None,
            eta: None,
            power: None,
            burn: None,
            quantile: None,
            sensors: Vec::new(),
            queries: Vec::new(),
            peers: Vec::new(),
        }
    }
}

impl Default for Lines {
    /// Those of a single gate that is judged once a minute.
    fn default() -> Self {
        Self { fail: 100.0, change: 10_000.0, worse: 20.0, pass: 20.0 }
    }
}

impl Verdict {
    /// `pass`, `FAIL`, `WAIT` or `BLIND`, as on the screen.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Pass { .. } => "pass",
            Self::Fail { .. } => "FAIL",
            Self::Wait { .. } => "WAIT",
            Self::Blind { .. } => "BLIND",
        }
    }

    /// Its line of reason.
    #[must_use]
    pub const fn reason(&self) -> &Text {
        match self {
            Self::Pass { why } | Self::Fail { why, .. } | Self::Blind { why } => why,
            Self::Wait { missing, .. } => missing,
        }
    }

    /// Whether a plan may go on.
    #[must_use]
    pub const fn passed(&self) -> bool {
        matches!(self, Self::Pass { .. })
    }

    /// Whether it fails.
    #[must_use]
    pub const fn fails(&self) -> bool {
        matches!(self, Self::Fail { .. })
    }

    /// Whether it fails and stable is sick too: going back does not help, so that going on is a person's to
    /// decide.
    #[must_use]
    pub const fn fails_both(&self) -> bool {
        matches!(self, Self::Fail { who: Arm::Both | Arm::Stable, .. })
    }

    /// How bad it is: fail, blind, wait, pass.
    #[must_use]
    pub const fn rank(&self) -> u8 {
        match self {
            Self::Fail { .. } => 0,
            Self::Blind { .. } => 1,
            Self::Wait { .. } => 2,
            Self::Pass { .. } => 3,
        }
    }
}

/// How far odds are on the way to their line, 0 to 1: 1:1 and less is nothing, the line is all of it.
#[must_use]
pub fn way(odds: f64, line: f64) -> f64 {
    if odds > 1.0 && line > 1.0 { (odds.ln() / line.ln()).clamp(0.0, 1.0) } else { 0.0 }
}

const fn nothing() -> Sample {
    Sample::Counts { hits: 0.0, of: 0.0 }
}

const fn one() -> f64 {
    1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_speaks_before_what_only_advises() {
        let verdicts = [
            Verdict::Fail { who: Arm::Candidate, why: "bad".into() },
            Verdict::Blind { why: "blind".into() },
            Verdict::Wait { missing: "more".into(), eta: None },
            Verdict::Pass { why: "good".into() },
        ];
        let gate = |verdict: &Verdict, on_fail| GateState {
            id: GateId::new("a"),
            signal: SignalId::Errors,
            rule: Text::default(),
            on_fail,
            verdict: verdict.clone(),
            since: Time::UNIX_EPOCH,
            evidence: None,
        };
        let places = |on_fail| verdicts.each_ref().map(|v| gate(v, on_fail).place());
        assert_eq!(places(OnFail::Hold), places(OnFail::Revert));
        assert_eq!(places(OnFail::Hold), [0, 1, 3, 8]);
        assert_eq!(places(OnFail::Advise), [4, 5, 7, 8], "what holds nothing is never why it is held");
        let evidence = Some(Evidence { holds: true, ..Evidence::default() });
        let worse = |on_fail| GateState { evidence: evidence.clone(), ..gate(&verdicts[2], on_fail) }.place();
        assert_eq!([worse(OnFail::Revert), worse(OnFail::Advise)], [2, 6], "before what merely waits");
    }
}
