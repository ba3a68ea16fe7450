//! Gates: pure functions from what was counted to verdicts.
//!
//! [`Judge`] is the interface behind which other rules can stand; [`FirstGate`] is the first of them.
//! A verdict is one of four words, and three of them are not "ok": fail, wait (not enough evidence
//! yet), blind (a needed signal is not there or not fresh).

pub mod first;
mod words;

pub use first::FirstGate;

use crate::model::{
    gate::{Evidence, GateState, Verdict},
    rollout::Summary,
    spec::GateSpec,
    text::Text,
    time::Time,
};

/// What was counted of one version since this weight converged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Requests answered or failed; without those that the client aborted.
    pub requests: u64,
    /// Of them: answered with 5xx or not at all.
    pub errors: u64,
    /// Of them: slower than stable's p99 was when the run started.
    pub slow: u64,
}

/// What a gate is judged from.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Arms {
    /// The candidate's; `None` when it is not measured.
    pub candidate: Option<Counts>,
    /// Stable's; `None` when it is not measured.
    pub stable: Option<Counts>,
    /// Whether stable's p99 was known when the run started.
    pub threshold_known: bool,
    /// Since when both are counted: when this weight converged.
    pub since: Time,
    /// Whether the counters were read just now.
    pub fresh: bool,
    /// Candidate requests per second, for when enough of them will be there.
    pub rate: f64,
}

/// A rule that gives verdicts.
pub trait Judge {
    /// The verdict on one gate, with the numbers it rests on if there are any.
    fn judge(&self, gate: &GateSpec, arms: &Arms, now: Time) -> (Verdict, Option<Evidence>);
}

/// A gate's new state. It says the same word since when it said it first.
#[must_use]
pub fn state(judge: &impl Judge, gate: &GateSpec, arms: &Arms, before: Option<&GateState>, now: Time) -> GateState {
    let (verdict, evidence) = judge.judge(gate, arms, now);
    let same = before.filter(|b| b.id == gate.name && b.verdict.word() == verdict.word());
    GateState {
        id: gate.name.clone(),
        signal: gate.signal.measured(),
        rule: rule_text(gate),
        on_fail: gate.on_fail,
        since: same.map_or(now, |b| b.since),
        verdict,
        evidence,
    }
}

/// All gates in the worst word, and a sentence about the gate that says it; `None` without gates.
#[must_use]
pub fn summary(gates: &[GateState]) -> Option<Summary> {
    let worst = gates.iter().min_by_key(|g| g.verdict.rank())?;
    let same = gates.iter().filter(|g| g.verdict.rank() == worst.verdict.rank()).count();
    let sentence = match (&worst.verdict, same) {
        (Verdict::Pass { why }, 1) => format!("{} {why}", worst.id.text()),
        (Verdict::Pass { .. }, n) => format!("all {n} gates pass"),
        (verdict, 1) => format!("{} {}", worst.id.text(), verdict.reason()),
        (verdict, n) => format!("{} {} +{} more", worst.id.text(), verdict.reason(), n - 1),
    };
    Some(Summary { word: worst.verdict.word().to_ascii_lowercase().into(), sentence: sentence.into() })
}

/// A gate's rule in words: `at most stable + 1 pp, at most 5 %`.
#[must_use]
pub fn rule_text(gate: &GateSpec) -> Text {
    format!(
        "at most stable + {} pp, at most {} %",
        words::plain(gate.retired_margin.unwrap_or(1.0)),
        words::plain(gate.limit().unwrap_or(5.0))
    )
    .into()
}

/// Failed requests per second that waiting costs: the candidate's rate times by how much its error
/// ratio is above stable's. Ratios are parts of one.
#[must_use]
pub fn waiting_cost(rate: f64, candidate: f64, stable: f64) -> f64 {
    let cost = rate * (candidate - stable);
    if cost.is_finite() { cost.max(0.0) } else { 0.0 }
}

#[cfg(test)]
mod tests;
