//! What came of checks and warm-ups: the same that the evidence panel shows.

use super::{At, exact, ms};
use crate::model::tried;
use schemars::JsonSchema;
use serde::Serialize;

/// A step that was tried on a candidate's instances before it had traffic, and ended.
#[derive(Serialize, JsonSchema)]
pub struct Tried {
    /// At which step, from 0.
    step: usize,
    /// What kind of step.
    #[schemars(extend("enum" = ["check", "warm"]))]
    kind: String,
    /// What was tried, without arguments and query: `GET /selftest`, `./check`.
    what: String,
    /// When the step was entered.
    since: At,
    /// How long it took.
    took_ms: u64,
    /// Whether it worked.
    passed: bool,
    /// In few words: `2 instances passed`.
    result: String,
    /// What was answered; those that failed last.
    answers: Vec<Answer>,
    /// Answers and lines that are not kept.
    dropped: u32,
}

/// What was answered.
#[derive(Serialize, JsonSchema)]
struct Answer {
    /// By which instance; `null` where it is told of all of them together.
    instance: Option<String>,
    /// Whether it is what was wanted.
    passed: bool,
    /// How it ended: `exit code 0`, `HTTP 503`, `still running after 30s`.
    result: String,
    /// How long it took.
    took_ms: u64,
    /// The last lines of what was printed, or the first of what was answered.
    lines: Vec<String>,
}

impl From<&tried::Tried> for Tried {
    fn from(t: &tried::Tried) -> Self {
        let answer = |a: &tried::Answer| Answer {
            instance: a.instance.as_ref().map(|i| exact(&i.0)),
            passed: a.passed,
            result: a.result.to_string(),
            took_ms: ms(a.took),
            lines: a.lines.iter().map(ToString::to_string).collect(),
        };
        Self {
            step: t.step,
            kind: t.kind.to_string(),
            what: t.what.to_string(),
            since: At(t.since),
            took_ms: ms(t.took),
            passed: t.passed,
            result: t.result.to_string(),
            answers: t.answers.iter().map(answer).collect(),
            dropped: t.dropped,
        }
    }
}
