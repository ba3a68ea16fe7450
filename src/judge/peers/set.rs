//! How the other tools are set, and who says so: the configuration, or else an analysis of the rollout
//! itself that asks what the gate asks, or else the tools' own examples.

use super::{super::words, argo};
use crate::model::spec::GateSpec;
use std::time::Duration;

/// Between two checks of Flagger where nothing else is said, as its examples have it.
const MINUTE: Duration = Duration::from_secs(60);
/// Failed checks at which Flagger rolls back, as its examples have it; one if nobody says.
const THRESHOLD: u32 = 5;
/// Failed measurements that Argo allows, as its examples have it; none if nobody says.
const FAILURES: u32 = 3;

/// Who says so, in the order in which it is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Whose {
    /// The configuration.
    Yours,
    /// The rollout's own analysis.
    Analysis,
    /// The tool's examples.
    Usual,
}

/// How Flagger is set.
#[derive(Clone, Copy, Debug)]
pub struct Flagger {
    /// Failed checks that roll back.
    pub threshold: u32,
    /// Between two checks.
    pub every: Duration,
    whose: [Whose; 2],
}

/// How Argo is set.
#[derive(Clone, Copy, Debug)]
pub struct Argo {
    /// What its counters are held to.
    pub limits: argo::Limits,
    /// Between two measurements; `None` for every interval of the gate.
    pub every: Option<Duration>,
    whose: [Whose; 2],
    rest: Whose,
}

impl Flagger {
    /// For a gate.
    pub fn of(gate: &GateSpec) -> Self {
        let rules = gate.rules.unwrap_or_default();
        let (threshold, first) = or(rules.flagger_threshold, None, THRESHOLD);
        let (every, second) = or(rules.every, None, MINUTE);
        Self { threshold, every: every.max(gate.interval), whose: [first, second] }
    }

    /// `usual: a check a minute, threshold 5`.
    pub fn text(&self) -> String {
        let checks = if self.every == MINUTE { "a check a minute".into() } else { format!("a check every {}", words::within(self.every)) };
        let [threshold, every] = self.whose;
        told(&[(every, checks), (threshold, format!("threshold {}", self.threshold))])
    }
}

impl Argo {
    /// For a gate.
    pub fn of(gate: &GateSpec) -> Self {
        let rules = gate.rules.unwrap_or_default();
        // -1 is any number.
        let yours = rules.argo_failure_limit.map(|limit| u32::try_from(limit).ok());
        let (failure, first) = or(yours, rules.analysis.map(|a| a.failure_limit), Some(FAILURES));
        let (every, second) = or(rules.every.map(Some), rules.analysis.map(|a| a.every), None);
        let limits = argo::Limits { failure, ..argo::Limits::USUAL };
        let whose = [first, second];
        match rules.analysis {
            Some(a) => {
                let consecutive_error = a.error_limit.unwrap_or(u32::MAX);
                let limits = argo::Limits { consecutive_error, consecutive_success: a.success_limit, count: a.count, ..limits };
                Self { limits, every, whose, rest: Whose::Analysis }
            }
            None => Self { limits, every, whose, rest: Whose::Usual },
        }
    }

    /// `usual: one every 10 s, failureLimit 3`; `its analysis: one every 60 s, failureLimit 2, count 10`.
    pub fn text(&self, gate: &GateSpec) -> String {
        let [failure, every] = self.whose;
        let most = self.limits.failure.map_or("-1".into(), |most| most.to_string());
        let mut all = vec![
            (every, format!("one every {}", words::within(self.every.unwrap_or(gate.interval).max(gate.interval)))),
            (failure, format!("failureLimit {most}")),
        ];
        all.extend(self.limits.count.map(|count| (self.rest, format!("count {count}"))));
        all.extend(self.limits.consecutive_success.map(|n| (self.rest, format!("consecutiveSuccessLimit {n}"))));
        told(&all)
    }

    /// `usual: consecutiveErrorLimit 4`.
    pub fn errors(&self) -> String {
        told(&[(self.rest, format!("consecutiveErrorLimit {}", self.limits.consecutive_error))])
    }
}

fn or<T>(yours: Option<T>, analysis: Option<T>, usual: T) -> (T, Whose) {
    match (yours, analysis) {
        (Some(value), _) => (value, Whose::Yours),
        (None, Some(value)) => (value, Whose::Analysis),
        (None, None) => (usual, Whose::Usual),
    }
}

/// Settings by whose they are: `yours: threshold 2; usual: a check a minute`.
fn told(all: &[(Whose, String)]) -> String {
    let of = |whose: Whose| -> Vec<&str> { all.iter().filter(|(w, _)| *w == whose).map(|(_, text)| text.as_str()).collect() };
    let groups = [(Whose::Yours, "yours"), (Whose::Analysis, "its analysis"), (Whose::Usual, "usual")];
    let groups = groups.into_iter().map(|(whose, name)| (name, of(whose))).filter(|(_, texts)| !texts.is_empty());
    groups.map(|(name, texts)| format!("{name}: {}", texts.join(", "))).collect::<Vec<_>>().join("; ")
}
