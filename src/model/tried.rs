//! What came of trying a candidate before it has traffic: of a check or a warm-up, kept as evidence.

use super::{
    ident::InstanceId,
    text::Text,
    time::{Time, millis},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Answers that are kept of one try, and lines of all of them.
const ANSWERS: usize = 20;
const LINES: usize = 40;
/// Tries that are kept of one run, the newest.
const TRIES: usize = 16;

/// A step that was tried on a candidate's instances, and ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tried {
    /// At which step, from 0.
    pub step: usize,
    /// `check` or `warm`.
    pub kind: Text,
    /// What: `GET /selftest`, `./check`. No arguments and no query: they may be secret.
    pub what: Text,
    /// When the step was entered.
    pub since: Time,
    /// From the first instance that was tried to the last answer.
    #[serde(with = "millis")]
    pub took: Duration,
    /// Whether it worked.
    pub passed: bool,
    /// In few words: `2 instances passed`, `checkout-1: exit code 1`.
    pub result: Text,
    /// What was answered: those that failed last, at most 20.
    pub answers: Vec<Answer>,
    /// Answers and lines that are not kept.
    #[serde(default)]
    pub dropped: u32,
}

/// What was answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// By which instance; `None` where it is told of all of them together.
    #[serde(default)]
    pub instance: Option<InstanceId>,
    /// Whether it is what was wanted.
    pub passed: bool,
    /// How it ended: `exit code 0`, `HTTP 503`, `still running after 30s`.
    pub result: Text,
    /// How long it took.
    #[serde(with = "millis")]
    pub took: Duration,
    /// The last lines of what was printed, or the first of what was answered.
    #[serde(default)]
    pub lines: Vec<Text>,
}

impl Answer {
    /// As lines, the one that says who answered first.
    pub fn said(&self) -> impl Iterator<Item = Text> + '_ {
        let head = self.instance.as_ref().map(|instance| Text::from(format!("{}: {}", instance.text(), self.result)));
        head.into_iter().chain(self.lines.iter().cloned())
    }

    fn bytes(&self) -> usize {
        self.lines.iter().map(|line| line.as_str().len()).sum()
    }
}

impl Tried {
    /// Keeps what tells most: answers that failed before those that passed, the last lines of each, the
    /// same number of all as far as there is room.
    #[must_use]
    pub fn trimmed(mut self) -> Self {
        let many = self.answers.len().saturating_sub(ANSWERS);
        self.answers.sort_by_key(|a| a.passed);
        self.answers.truncate(ANSWERS);
        self.dropped = self.dropped.saturating_add(count(many));
        let failed = self.answers.iter().filter(|a| !a.passed).count();
        let (mut room, mut left) = (LINES, if failed > 0 { failed } else { self.answers.len() });
        for answer in &mut self.answers {
            let share = room / left.max(1);
            left = left.saturating_sub(1);
            let over = answer.lines.len().saturating_sub(share.min(room));
            answer.lines.drain(..over);
            self.dropped = self.dropped.saturating_add(count(over));
            room -= answer.lines.len();
        }
        // Whoever reads from the end reads what went wrong.
        self.answers.sort_by_key(|a| !a.passed);
        self
    }

    fn bytes(&self) -> usize {
        self.answers.iter().map(Answer::bytes).sum()
    }

    /// Lets go of lines until the others have so many bytes at most: the last ones stay.
    fn fit(&mut self, most: usize) {
        let mut over = self.bytes().saturating_sub(most);
        for answer in &mut self.answers {
            let go = answer.lines.iter().take_while(|line| {
                let goes = over > 0;
                over = over.saturating_sub(line.as_str().len());
                goes
            });
            let go = go.count();
            answer.lines.drain(..go);
            self.dropped = self.dropped.saturating_add(count(go));
        }
    }
}

/// Keeps the newest tries of a run, and of their lines at most so many bytes: the oldest lose theirs first.
pub fn keep(tried: &mut Vec<Tried>, most: usize) {
    tried.drain(..tried.len().saturating_sub(TRIES));
    let mut room = most;
    for one in tried.iter_mut().rev() {
        one.fit(room);
        room = room.saturating_sub(one.bytes());
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Answer, Tried, keep};
    use crate::model::{ident::InstanceId, time::Time};
    use std::time::Duration;

    fn answer(n: usize, passed: bool, lines: usize) -> Answer {
        Answer {
            instance: Some(InstanceId::new(format!("web-{n}"))),
            passed,
            result: if passed { "exit code 0" } else { "exit code 1" }.into(),
            took: Duration::from_millis(7),
            lines: (0..lines).map(|i| format!("{n}.{i}").into()).collect(),
        }
    }

    fn tried(answers: Vec<Answer>) -> Tried {
        Tried {
            step: 1,
            kind: "check".into(),
            what: "./check".into(),
            since: Time::UNIX_EPOCH,
            took: Duration::from_secs(1),
            passed: answers.iter().all(|a| a.passed),
            result: "".into(),
            answers,
            dropped: 0,
        }
    }

    #[test]
    fn what_failed_is_kept_before_what_passed_and_the_last_lines_before_the_first() {
        let all = (0..30).map(|n| answer(n, n != 4, 10)).collect();
        let kept = tried(all).trimmed();
        assert_eq!((kept.answers.len(), kept.dropped), (20, 10 + 16 * 10), "one of 30 failed: it and three more have their lines");
        let last = kept.answers.last().unwrap();
        assert_eq!((last.passed, last.lines.len()), (false, 10), "and stands last, where one looks");
        let one = tried(vec![answer(0, false, 60)]).trimmed();
        assert_eq!((one.dropped, one.answers[0].lines[0].as_str(), one.answers[0].lines.len()), (20, "0.20", 40));
        let fair = tried(vec![answer(0, false, 60), answer(1, false, 60), answer(2, true, 60)]).trimmed();
        assert_eq!(fair.answers.iter().map(|a| a.lines.len()).collect::<Vec<_>>(), [0, 20, 20]);
        let said: Vec<String> = tried(vec![answer(3, false, 1)]).answers[0].said().map(|l| l.to_string()).collect();
        assert_eq!(said, ["web-3: exit code 1", "3.0"]);
    }

    #[test]
    fn a_run_keeps_a_bounded_size_and_the_newest_first() {
        let mut all: Vec<Tried> = (0..20).map(|step| Tried { step, ..tried(vec![answer(step, false, 2)]) }).collect();
        keep(&mut all, 3 * 8);
        assert_eq!((all.len(), all[0].step), (16, 4));
        let lines: Vec<usize> = all.iter().map(|t| t.answers[0].lines.len()).collect();
        assert_eq!(lines[13..], [2, 2, 2]);
        assert!(lines[..13].iter().all(|n| *n == 0) && all[0].dropped == 2, "{lines:?}");
        let before = all.clone();
        keep(&mut all, 3 * 8);
        assert_eq!(all, before, "it is done once");
        // What is newest never loses all of it for being long.
        let mut long = vec![tried(vec![answer(1, true, 9), answer(2, false, 9)])];
        keep(&mut long, 11 * 3);
        let left: Vec<usize> = long[0].answers.iter().map(|a| a.lines.len()).collect();
        assert_eq!((left, long[0].dropped, long[0].answers[1].lines[8].as_str()), (vec![2, 9], 7, "2.8"));
    }
}
