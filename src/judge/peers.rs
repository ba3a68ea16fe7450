//! What other tools' rules would say of the same numbers: "what your current rule would do". They decide
//! nothing; they stand beside the gate's own verdict so that the two can be compared before one is
//! trusted instead of the other.
//!
//! | room | holds |
//! |---|---|
//! | [`kayenta`] | `NetflixACAJudge-v1.0` and its score, with [`mann_whitney`] and [`effect`] |
//! | [`flagger`] | failed checks, and the threshold of them |
//! | [`argo`] | measurements, counters and their limits |
//! | [`set`] | what both are set to, and whose that is |
//!
//! None of the three knows how often errors come in bursts, or that it looks again and again. How Flagger
//! and Argo are set is what the configuration says, or an analysis of the rollout itself; else what their
//! examples have, and which of these is said. Analyses of several steps are taken as one. They are fed the shares of requests of both versions
//! that the gate is judged by. State does not grow: an hour of minutes for Kayenta, counters for the
//! others. Taking in an interval costs no more than counting; the ranking, which is the dear part, is
//! done only when evidence is told.

pub mod argo;
mod brent;
pub mod effect;
pub mod flagger;
pub mod kayenta;
pub mod mann_whitney;
mod set;

use super::words;
use crate::model::{
    gate::Peer,
    interval::{Count, Interval},
    spec::{GateSignal, GateSpec},
    text::Text,
    time::Time,
};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Seconds between two points of Kayenta's series.
const MINUTE: f64 = 60.0;
/// Points of a series that are kept: an hour, as long as Kayenta's documentation proposes to wait before
/// it judges.
const KEPT: usize = 60;

/// What a rule is said to do that goes back.
pub const REVERTS: &str = "would revert";
const HOLDS: &str = "would hold";
const GOES_ON: &str = "would go on";
const CANNOT_SAY: &str = "cannot say";

/// One gate of one run as other tools see it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Peers {
    minute: Span,
    /// Of Flagger's check and of Argo's measurement.
    checking: Span,
    measuring: Span,
    minutes: Box<Minutes>,
    flagger: flagger::Canary,
    /// When the first check failed.
    failing_since: Option<Time>,
    /// Failed checks that had no requests to look at.
    quiet: u32,
    argo: argo::Metric,
    /// Seconds since Argo last found no value; `None` while it finds one.
    unanswered: Option<f64>,
}

/// Percent of the requests of each minute that had some, oldest first. They are touched once a minute, and
/// lie apart from what every interval touches.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
struct Minutes {
    candidate: VecDeque<f32>,
    stable: VecDeque<f32>,
}

/// Counts of a time that is not over.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
struct Span {
    candidate: Count,
    stable: Count,
    secs: f64,
}

impl Span {
    /// Takes in an interval of so many seconds. What there is when it is over, as near to `every` seconds
    /// as intervals allow.
    fn add(&mut self, interval: &Interval, secs: f64, every: f64) -> Option<Self> {
        self.candidate += interval.candidate;
        self.stable += interval.stable;
        self.secs += secs;
        (self.secs + secs / 2.0 >= every).then(|| std::mem::take(self))
    }
}

/// What the candidate's share must stay under, in percent; `None` for gates that are not over shares
/// of requests, of which the other tools' rules are not asked here.
fn limit(gate: &GateSpec) -> Option<f64> {
    match gate.signal {
        GateSignal::Errors | GateSignal::Slow | GateSignal::Timeouts => gate.limit(),
        GateSignal::Restarts | GateSignal::P50 | GateSignal::P95 | GateSignal::P99 | GateSignal::Alerts => None,
    }
}

const fn what(gate: &GateSpec) -> &'static str {
    match gate.signal {
        GateSignal::Slow => "slow requests",
        _ => gate.signal.word(),
    }
}

fn percent(count: Count) -> Option<f64> {
    (count.of > 0.0).then(|| count.hits * 100.0 / count.of)
}

impl Peers {
    /// Takes in an interval of so many seconds that was judged.
    pub fn feed(&mut self, gate: &GateSpec, interval: &Interval, secs: f64) {
        let Some(limit) = limit(gate) else { return };
        let Interval { candidate: c, stable: s, .. } = *interval;
        // All three analyse a canary beside a primary: from its first request on, and as long as both
        // have their share.
        let began = self.argo.measured() > 0 || c.of > 0.0;
        let alone = (c.of > 0.0 && s.of <= 0.0) || interval.share == Some(0.0);
        if !began || alone {
            return;
        }
        let (flagger, argo) = (set::Flagger::of(gate), set::Argo::of(gate));
        // What had no value is tried again sooner than it would be measured.
        let every = argo.every.filter(|_| self.unanswered.is_none()).map_or(0.0, |every| every.as_secs_f64());
        if let Some(span) = self.measuring.add(interval, secs, every) {
            self.measure(&argo.limits, percent(span.candidate), limit, span.secs);
        }
        if let Some(span) = self.checking.add(interval, secs, flagger.every.as_secs_f64()) {
            self.check(flagger.threshold, percent(span.candidate), limit, interval.end);
        }
        if let Some(minute) = self.minute.add(interval, secs, MINUTE) {
            self.keep(&minute);
        }
    }

    /// What has no value is measured again and again.
    fn measure(&mut self, limits: &argo::Limits, value: Option<f64>, limit: f64, secs: f64) {
        let Some(value) = value else {
            let retry = argo::RETRY.as_secs_f64();
            let mut waited = self.unanswered.map_or(retry, |waited| waited + secs);
            while waited >= retry && !self.argo.phase.is_over() {
                self.argo.measure(argo::Measured::Error, limits);
                waited -= retry;
            }
            self.unanswered = Some(waited);
            return;
        };
        self.unanswered = None;
        self.argo.measure(argo::Measured::by(Some(value < limit), None), limits);
    }

    /// A check of Flagger's.
    fn check(&mut self, threshold: u32, value: Option<f64>, limit: f64, now: Time) {
        let range = flagger::Range::threshold(100.0 - limit, true);
        let before = self.flagger.failed;
        self.flagger.tick(threshold, [range.passes(value.map(|bad| 100.0 - bad))]);
        if self.flagger.failed > before {
            self.failing_since = self.failing_since.or(Some(now));
            self.quiet += u32::from(value.is_none());
        }
    }

    /// A point of Kayenta's series.
    fn keep(&mut self, minute: &Span) {
        let Minutes { candidate, stable } = self.minutes.as_mut();
        for (series, count) in [(candidate, minute.candidate), (stable, minute.stable)] {
            #[expect(clippy::cast_possible_truncation, reason = "seven digits of a percentage are enough to rank it")]
            series.extend(percent(count).map(|value| value as f32));
            while series.len() > KEPT {
                series.pop_front();
            }
        }
    }

    /// What each would say now; nothing before the candidate's first request.
    pub fn say(&self, gate: &GateSpec) -> Vec<Peer> {
        match limit(gate) {
            Some(limit) if self.argo.measured() > 0 => {
                let limit = words::plain(limit);
                vec![self.kayenta(), self.flagger(gate, &limit), self.argo(gate, &limit)]
            }
            _ => Vec::new(),
        }
    }

    /// Kayenta's judgement of the minutes that are kept.
    pub fn judged(&self) -> kayenta::Judged {
        let series = |minutes: &VecDeque<f32>| -> Vec<f64> { minutes.iter().map(|v| f64::from(*v)).collect() };
        kayenta::judge(&kayenta::Metric::new(kayenta::Direction::Increase), &series(&self.minutes.stable), &series(&self.minutes.candidate))
    }

    fn kayenta(&self) -> Peer {
        use kayenta::{Group, Label, MARGINAL, PASS, Word};
        let judged = self.judged();
        let minutes = match self.minutes.candidate.len() {
            1 => "1 minute".to_owned(),
            n => format!("{n} minutes"),
        };
        // Digits below its tolerance mean nothing.
        let points = |v: f64| words::plain((v * 1e4).round() / 1e4);
        let shift = judged.shift.map_or("no shift".to_owned(), |s| format!("shift {} to {} points", points(s.low), points(s.high)));
        let score = kayenta::score(&[Group { weight: None, metrics: vec![judged] }]);
        let (word, why) = match (judged.label, kayenta::word(score, MARGINAL, PASS)) {
            (Label::Nodata | Label::NodataFailMetric, _) => (CANNOT_SAY, "no minute with requests of both yet".to_owned()),
            (Label::Error, _) => (CANNOT_SAY, format!("{minutes} cannot be ranked")),
            (_, Word::Fail) => (REVERTS, format!("score {score}, below {MARGINAL}: {shift} in {minutes}")),
            (_, Word::Marginal) => (HOLDS, format!("score {score}, below {PASS}: {shift} in {minutes}")),
            (_, Word::Pass) => (GOES_ON, format!("score {score}, from {PASS} on it passes: {shift} in {minutes}")),
        };
        peer("Kayenta", word, why)
    }

    fn flagger(&self, gate: &GateSpec, limit: &str) -> Peer {
        let flagger::Canary { checks, failed, .. } = self.flagger;
        let set = set::Flagger::of(gate);
        let settings = set.text();
        if !self.flagger.exceeds(set.threshold) {
            return peer("Flagger", GOES_ON, format!("{failed} of {checks} checks failed; {settings}"));
        }
        let over = format!("{} over {limit} %", what(gate));
        let bad = match self.quiet {
            0 => over,
            quiet if quiet >= failed => "no requests".to_owned(),
            _ => format!("{over} or no requests"),
        };
        let since = self.failing_since.map(|at| format!(" since {}", at.format("%H:%M"))).unwrap_or_default();
        peer("Flagger", REVERTS, format!("{bad} in {failed} checks{since}; {settings}"))
    }

    fn argo(&self, gate: &GateSpec, limit: &str) -> Peer {
        let (metric, set) = (&self.argo, set::Argo::of(gate));
        let settings = set.text(gate);
        let all = metric.measured();
        let (word, why) = match metric.phase {
            argo::Phase::Failed => {
                (REVERTS, format!("{} not under {limit} % in {} of {all} measurements; {settings}", what(gate), metric.failed))
            }
            argo::Phase::Error => (REVERTS, format!("no value {} times in a row; {}", metric.consecutive_error, set.errors())),
            argo::Phase::Inconclusive => (HOLDS, format!("{} of {all} measurements undecided; {settings}", metric.inconclusive)),
            argo::Phase::Successful | argo::Phase::Running | argo::Phase::Pending => {
                (GOES_ON, format!("{} of {all} measurements failed; {settings}", metric.failed))
            }
        };
        peer("Argo Rollouts", word, why)
    }
}

fn peer(name: &str, word: &str, why: String) -> Peer {
    Peer { name: name.into(), word: word.into(), why: Text::from(why) }
}
