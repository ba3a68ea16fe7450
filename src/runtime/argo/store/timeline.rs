//! What was said about each rollout, in a bounded row.

use crate::{
    model::{
        event::{Event as Line, Level},
        ident::RunId,
        text::Text,
        time::Time,
    },
    runtime::argo::objects::set::Event,
};
use std::collections::{BTreeMap, VecDeque};

/// Lines that are kept of a rollout.
const LINES: usize = 200;
/// Events that wait for what they are about.
const WAITING: usize = 500;

/// A line about a rollout.
#[derive(Clone, Debug)]
pub struct Said {
    /// Which event, and the how-many-th time.
    uid: Box<str>,
    times: i64,
    /// Counted up per rollout.
    pub seq: u64,
    /// When.
    pub at: Time,
    /// In one word: `TrafficRoutingError`.
    pub reason: Box<str>,
    /// Whether it is a warning.
    pub warns: bool,
    by: Text,
    /// For people.
    pub what: Text,
}

#[derive(Debug, Default)]
struct Timeline {
    lines: VecDeque<Said>,
    last: u64,
}

/// The timelines of all rollouts.
#[derive(Debug, Default)]
pub struct Timelines {
    of: BTreeMap<Box<str>, Timeline>,
    waiting: VecDeque<Event>,
}

impl Timelines {
    /// Something was said about a rollout. What was heard before is not a new line.
    pub fn say(&mut self, rollout: &str, event: Event) {
        let Some(at) = event.at() else { return };
        let timeline = self.of.entry(rollout.into()).or_default();
        let times = event.times();
        if timeline.lines.iter().any(|line| line.uid == event.metadata.uid && line.times >= times) {
            return;
        }
        timeline.last += 1;
        let line = said(event, timeline.last, at, times);
        // Events come in almost the order in which they were said.
        timeline.lines.push_back(line);
        if timeline.lines.len() > LINES {
            timeline.lines.pop_front();
        }
    }

    /// Something was said about something that is not known yet.
    pub fn keep(&mut self, event: Event) {
        self.waiting.push_back(event);
        if self.waiting.len() > WAITING {
            self.waiting.pop_front();
        }
    }

    /// What waits, to be tried again.
    pub fn unclaimed(&mut self) -> VecDeque<Event> {
        std::mem::take(&mut self.waiting)
    }

    /// A rollout is gone.
    pub fn forget(&mut self, rollout: &str) {
        self.of.remove(rollout);
    }

    /// What was said about a rollout, in the order in which it was heard.
    pub fn of(&self, rollout: &str) -> impl Iterator<Item = &Said> {
        self.of.get(rollout).into_iter().flat_map(|t| &t.lines)
    }

    /// Lines after this number.
    pub fn after(&self, rollout: &str, seq: u64) -> Vec<Line> {
        self.of(rollout).filter(|said| said.seq > seq).map(Said::line).collect()
    }
}

fn said(event: Event, seq: u64, at: Time, times: i64) -> Said {
    let by = if event.source.component.is_empty() { &event.reporting_component } else { &event.source.component };
    let again = if times > 1 { format!(" ({times} times)") } else { String::new() };
    let about = match &*event.involved_object.kind {
        "Rollout" | "" => String::new(),
        kind => format!("{} {}: ", kind.to_lowercase(), event.involved_object.name),
    };
    let what = if event.message.is_empty() { &event.reason } else { &event.message };
    Said {
        seq,
        at,
        times,
        warns: &*event.kind == "Warning",
        by: if by.is_empty() { "cluster".into() } else { Text::clean(by) },
        what: Text::clean(&format!("{about}{what}{again}")),
        reason: event.reason,
        uid: event.metadata.uid,
    }
}

impl Said {
    fn line(&self) -> Line {
        let level = match (&*self.reason, self.warns) {
            ("RolloutAborted" | "AnalysisRunFailed" | "AnalysisRunError" | "ExperimentFailed" | "ExperimentError", _) => Level::Bad,
            (_, true) => Level::Warn,
            _ => Level::Info,
        };
        Line { seq: self.seq, at: self.at, run: None::<RunId>, level, by: self.by.clone(), what: self.what.clone() }
    }
}
