//! The judge: pure functions from what was counted to verdicts that may be looked at all the time.
//!
//! A verdict is one of four words, and three of them are not "ok": fail, wait (not enough evidence
//! yet), blind (a needed signal is not there or not fresh). What it rests on are odds: e-values, whose
//! chance of *ever* reaching 100 with a healthy candidate is at most 1 %, however often they are looked at.
//!
//! | room | holds |
//! |---|---|
//! | [`odds`] | candidate against stable, at weights that change; the change detector |
//! | [`dispersion`] | how much errors come in bursts, by which evidence is divided |
//! | [`limit`] | one version beside an absolute limit |
//! | [`burn`] | error budgets |
//! | [`quantile`], [`mixture`] | latencies in buckets; bounds that hold at all times |
//! | [`split`] | whether the router does what it says |
//! | [`siblings`] | one instance beside the others of its version |
//! | [`power`] | what could be seen, and when |
//! | [`run`], [`decide`] | one gate in one run, and its verdict |
//! | [`ledger`] | all gates of a service; what hosts and consoles use |
//! | [`sequential`] | older tests, for a second opinion |
//! | [`peers`] | what Kayenta, Flagger and Argo Rollouts would say; decides nothing |
//!
//! Promises that need a condition: errors of different intervals are independent once they are divided
//! by their dispersion; both versions get a random share of the same requests. A switch by user or by
//! route breaks the second, and no test here can know.

pub mod burn;
pub mod decide;
pub mod dispersion;
pub mod ledger;
pub mod limit;
pub mod mixture;
pub mod odds;
pub mod peers;
pub mod power;
pub mod quantile;
pub mod run;
mod said;
mod say;
pub mod sequential;
pub mod siblings;
pub mod split;
mod words;

pub use ledger::{Ledger, Look, SPLIT};
pub use run::{Fed, GateRun};
pub use say::rule_text;

use crate::model::{
    gate::{GateState, Verdict},
    rollout::Summary,
};

/// All gates in the worst word, and a sentence about the gate that says it, and that stable is sick where one
/// shows it; `None` without gates.
#[must_use]
pub fn summary(gates: &[GateState]) -> Option<Summary> {
    let worst = gates.iter().min_by_key(|g| g.place())?;
    let same = gates.iter().filter(|g| g.verdict.rank() == worst.verdict.rank()).count();
    let sentence = match (&worst.verdict, same) {
        (Verdict::Pass { why }, 1) => format!("{} {why}", worst.id.text()),
        (Verdict::Pass { .. }, n) => format!("all {n} gates pass"),
        (verdict, 1) => format!("{} {}", worst.id.text(), verdict.reason()),
        (verdict, n) => format!("{} {} +{} more", worst.id.text(), verdict.reason(), n - 1),
    };
    let sentence = sentence + &stable_sick(gates).unwrap_or_default();
    Some(Summary { word: worst.verdict.word().to_ascii_lowercase().into(), sentence: sentence.into() })
}

/// What a verdict ends with where stable is sick, alone or as the candidate is.
fn stable_sick(gates: &[GateState]) -> Option<String> {
    if gates.iter().any(|g| g.verdict.fails_both()) {
        return Some("; stable is sick too: going back does not help".to_owned());
    }
    let gate = gates.iter().find(|g| g.stable_is_sick())?;
    Some(format!("; stable is over the limit of gate {}: going back does not help", gate.id.text()))
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
