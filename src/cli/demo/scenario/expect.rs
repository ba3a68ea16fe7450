//! How a service ends, and whether it did.

use crate::model::{
    rollout::{Hold, Phase, Rollout},
    time::human,
};
use serde::Deserialize;
use std::time::Duration;

/// How a service ends.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The phase it ends in.
    pub phase: End,
    /// The verdict it ends with; any when none is named.
    #[serde(default)]
    pub verdict: Option<Word>,
    /// Words that stand in what is said of it: its verdict, reason, holds, findings, or what is next.
    #[serde(default)]
    pub says: String,
    /// How long it may take from the last deploy's time on.
    #[serde(with = "human")]
    pub within: Duration,
}

/// Phases in which something can end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// It waits for a person.
    Held,
    /// The last version is stable.
    Completed,
    /// All traffic is back on the version before.
    Reverted,
    /// No version serves.
    Failed,
    /// It goes on by itself, and does not get there in the scenario's time.
    Progressing,
}

/// Words of verdicts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// Good enough.
    Pass,
    /// Bad.
    Fail,
    /// Not enough evidence.
    Wait,
    /// A signal is missing.
    Blind,
}

impl End {
    /// As [`Phase::word`].
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Completed => "completed",
            Self::Reverted => "reverted",
            Self::Failed => "failed",
            Self::Progressing => "progressing",
        }
    }
}

impl Word {
    /// As a verdict's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Wait => "wait",
            Self::Blind => "blind",
        }
    }
}

impl Expect {
    /// In few words: `held, fail, "errors"`.
    #[must_use]
    pub fn text(&self) -> String {
        let verdict = self.verdict.map(|v| format!(", verdict {}", v.word())).unwrap_or_default();
        let says = if self.says.is_empty() { String::new() } else { format!(", saying \"{}\"", self.says.escape_debug()) };
        format!("{}{verdict}{says}", self.phase.word())
    }

    /// Whether a rollout of its last version, `label`, is as the scenario ends.
    #[must_use]
    pub fn is_met(&self, rollout: &Rollout, label: &str) -> bool {
        let word = rollout.verdict.as_ref().map(|v| v.word.as_str()).unwrap_or_default();
        let there = rollout.tracks.iter().any(|t| t.version.label.as_str() == label);
        let phase = rollout.phase.word() == self.phase.word() && rollout.phase != Phase::Idle;
        let verdict = self.verdict.is_none_or(|v| word.eq_ignore_ascii_case(v.word()));
        there && phase && verdict && (self.says.is_empty() || said(rollout).iter().any(|line| line.contains(&self.says)))
    }
}

/// Every line that is said of a rollout.
fn said(r: &Rollout) -> Vec<&str> {
    let mut lines: Vec<&str> = vec![r.next.what.as_str()];
    lines.extend(r.verdict.as_ref().map(|v| v.sentence.as_str()));
    lines.extend(r.reason.as_ref().map(|t| t.as_str()));
    lines.extend(r.findings.iter().map(|f| f.what.as_str()));
    lines.extend(r.gates.iter().map(|g| g.verdict.reason().as_str()));
    lines.extend(r.holds.iter().filter_map(|hold| match hold {
        Hold::Gate { reason, .. } | Hold::Stopped { reason, .. } | Hold::Backend { reason, .. } => Some(reason.as_str()),
        _ => None,
    }));
    lines.extend(r.back.checks.iter().map(|c| c.detail.as_str()));
    let instances = r.tracks.iter().flat_map(|t| &t.pools).flat_map(|p| &p.instances);
    lines.extend(instances.flat_map(|i| i.reason.iter().chain(&i.sick)).map(|t| t.as_str()));
    lines.extend(r.candidate().and_then(|t| t.version.back_unsafe.as_ref()).map(|t| t.as_str()));
    lines
}
