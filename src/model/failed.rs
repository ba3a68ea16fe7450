//! A gate that failed and has not passed since, and what that refuses: said once, for the host that refuses and
//! for the console that must offer nothing else.

use super::{
    action::{Action, Refusal},
    gate::GateState,
    ident::GateId,
    text::Text,
    time::Time,
};
use serde::{Deserialize, Serialize};

/// Said where a reason gets past a gate that fails.
const BOTH: &str = "; stable is sick too, going back does not help: to go on give a reason";

/// A gate that failed and has not passed since, whatever it says now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failed {
    /// Which.
    pub gate: GateId,
    /// When it failed first.
    pub at: Time,
    /// Its line of reason then; may be empty.
    pub why: Text,
    /// Whether nothing goes forward until it passes, also while it does not fail now: it stopped the run, and
    /// nobody went on over it.
    pub stands: bool,
}

/// How somebody wants to go forward.
#[derive(Clone, Copy, Debug)]
pub struct Onward<'a> {
    /// What they want.
    pub action: &'a Action,
    /// Whether gates are to be overruled.
    pub force: bool,
    /// Whether they say why.
    pub reasoned: bool,
}

impl Failed {
    /// `failed 02:32: worse 2,065:1; now BLIND`
    #[must_use]
    pub fn text(&self, now: Option<&GateState>) -> String {
        let why = if self.why.is_empty() { String::new() } else { format!(": {}", self.why) };
        let now = now.map(|gate| format!("; now {}", gate.verdict.word())).unwrap_or_default();
        format!("failed {}{why}{now}", self.at.format("%H:%M"))
    }
}

/// Why nobody goes forward like that: a gate fails, or one failed that stands. `gates` are those that decide and
/// are about this run.
#[must_use]
pub fn refusal<'a>(gates: impl Iterator<Item = &'a GateState> + Clone, failed: &[Failed], how: Onward<'_>) -> Option<Refusal> {
    if how.force && how.reasoned {
        return None;
    }
    let failing = || gates.clone().filter(|g| g.verdict.fails());
    let alone = failing().find(|g| !g.verdict.fails_both());
    let both = alone.is_none() && failing().next().is_some();
    let force = match how {
        Onward { force: true, .. } => "; to force it give a reason".to_owned(),
        Onward { action, .. } => format!("; to go on all the same: cutover {} --force --reason TEXT", action.verb()),
    };
    if let Some(gate) = alone.or_else(|| failing().next().filter(|_| !how.reasoned)) {
        let hint = if both { BOTH } else { &force };
        return Some(Refusal::Guarded { gate: gate.id.clone(), why: format!("FAIL {}{hint}", gate.verdict.reason()).into() });
    }
    let now = |id: &GateId| gates.clone().find(|g| g.id == *id);
    let speaks = |f: &&Failed| f.stands && now(&f.gate).is_none_or(|g| !g.verdict.passed() && !g.verdict.fails());
    let stands = failed.iter().find(speaks)?;
    Some(Refusal::Guarded {
        gate: stands.gate.clone(),
        why: format!("{}, has not passed since{force}", stands.text(now(&stands.gate))).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Failed, Onward, refusal};
    use crate::model::{
        action::Action,
        gate::{Arm, GateState, Verdict},
        ident::GateId,
        signal::SignalId,
        spec::OnFail,
        text::Text,
        time::Time,
    };

    fn gate(name: &str, verdict: Verdict) -> GateState {
        let (id, rule, since) = (GateId::new(name), Text::default(), Time::UNIX_EPOCH);
        GateState { id, signal: SignalId::Errors, rule, on_fail: OnFail::Hold, verdict, since, evidence: None }
    }

    fn said(gates: &[GateState], failed: &[Failed], force: bool, reasoned: bool) -> String {
        let how = Onward { action: &Action::Promote, force, reasoned };
        refusal(gates.iter(), failed, how).map_or_else(|| "goes on".into(), |r| r.to_string())
    }

    #[test]
    fn one_that_failed_and_is_blind_now_is_as_much_in_the_way_as_one_that_fails() {
        let fail = |who| gate("errors", Verdict::Fail { who, why: "worse 465:1".into() });
        let blind = [gate("errors", Verdict::Blind { why: "requests absent".into() })];
        let failed = |stands| [Failed { gate: GateId::new("errors"), at: Time::UNIX_EPOCH, why: "worse 465:1".into(), stands }];
        let force = "; to go on all the same: cutover promote --force --reason TEXT";
        let alone = [fail(Arm::Candidate)];
        assert_eq!(said(&alone, &[], false, true), format!("gate errors has not passed: FAIL worse 465:1{force}"));
        let since = "gate errors has not passed: failed 00:00: worse 465:1; now BLIND, has not passed since";
        assert_eq!(said(&blind, &failed(true), false, true), format!("{since}{force}"));
        assert_eq!(said(&blind, &failed(true), true, false), format!("{since}; to force it give a reason"));
        assert_eq!(said(&blind, &failed(true), true, true), "goes on");
        assert_eq!(said(&blind, &failed(false), false, false), "goes on", "somebody went on over it");
        // A reason alone leads past those that fail for both, and not past one that stands.
        let beside = [blind[0].clone(), gate("slow", Verdict::Fail { who: Arm::Both, why: "both 9/8>5 %".into() })];
        assert!(said(&beside, &failed(true), false, false).ends_with("to go on give a reason"));
        assert_eq!(said(&beside, &failed(true), false, true), format!("{since}{force}"));
        let passed = [gate("errors", Verdict::Pass { why: "fine".into() })];
        assert_eq!(said(&passed, &failed(true), false, false), "goes on");
        assert!(said(&[fail(Arm::Both)], &[], false, false).ends_with("to go on give a reason"));
        assert_eq!(said(&[fail(Arm::Both)], &[], false, true), "goes on", "going back does not help");
        let mixed = [fail(Arm::Both), gate("slow", Verdict::Fail { who: Arm::Candidate, why: "slow".into() })];
        assert!(said(&mixed, &[], false, true).starts_with("gate slow has not passed"), "one that blames the candidate alone");
    }
}
