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
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Lines that are kept of a rollout.
const LINES: usize = 200;
/// Events that wait for what they are about. Of a namespace they are those of everybody.
const WAITING: usize = 1_000;

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
    /// What was said up to then is no longer kept: a list that is made anew says it once more, and it is no news.
    dropped: Option<Time>,
}

/// The timelines of all rollouts.
#[derive(Debug, Default)]
pub struct Timelines {
    of: BTreeMap<Box<str>, Timeline>,
    /// By the identity of what is not known yet.
    waiting: HashMap<Box<str>, Vec<Event>>,
    /// The same, oldest first.
    order: VecDeque<Box<str>>,
}

impl Timelines {
    /// Something was said about a rollout. What was heard before is not a new line.
    pub fn say(&mut self, rollout: &str, event: Event) {
        let Some(at) = event.at() else { return };
        let timeline = self.of.entry(rollout.into()).or_default();
        let times = event.times();
        if timeline.dropped.is_some_and(|dropped| at <= dropped) {
            return;
        }
        if timeline.lines.iter().any(|line| line.uid == event.metadata.uid && line.times >= times) {
            return;
        }
        timeline.last += 1;
        let line = said(event, timeline.last, at, times);
        timeline.lines.push_back(line);
        if timeline.lines.len() > LINES
            && let Some(oldest) = timeline.lines.iter().enumerate().min_by_key(|(_, line)| line.at).map(|(n, _)| n)
            && let Some(line) = timeline.lines.remove(oldest)
        {
            timeline.dropped = timeline.dropped.max(Some(line.at));
        }
    }

    /// Something was said about something that is not known before the object with this identity is.
    pub fn keep(&mut self, missing: &str, event: Event) {
        self.waiting.entry(missing.into()).or_default().push(event);
        self.order.push_back(missing.into());
        if self.order.len() > WAITING
            && let Some(oldest) = self.order.pop_front()
            && let Some(waiting) = self.waiting.get_mut(&oldest)
        {
            if waiting.len() > 1 {
                waiting.remove(0);
            } else {
                self.waiting.remove(&oldest);
            }
        }
    }

    /// What has waited for this object.
    pub fn claimed(&mut self, uid: &str) -> Vec<Event> {
        let events = self.waiting.remove(uid).unwrap_or_default();
        if !events.is_empty() {
            self.order.retain(|waits| **waits != *uid);
        }
        events
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

#[cfg(test)]
mod tests {
    use crate::runtime::argo::{
        kind::Kind,
        store::Store,
        watch::{Name, Objects},
    };
    use serde_json::{Value, json};

    fn event(n: i64) -> Value {
        let at = chrono::DateTime::from_timestamp(1_800_000_000 + n, 0).unwrap().to_rfc3339();
        json!({ "metadata": { "name": format!("web.{:x}", n * 7_919 % 1_009), "namespace": "shop", "uid": format!("event-{n}") },
            "involvedObject": { "kind": "Rollout", "uid": "ro" }, "reason": "X", "message": format!("event {n}"), "lastTimestamp": at })
    }

    #[test]
    fn a_list_is_told_in_the_order_of_time_and_made_anew_it_is_no_news() {
        let mut store = Store::default();
        store.take(Kind::Rollouts, json!({ "metadata": { "name": "web", "namespace": "shop", "uid": "ro" } }).to_string().as_bytes());
        let name = Name { namespace: "shop".into(), name: "web".into() };
        // As the API server lists them: by name.
        let mut all: Vec<Value> = (0..300).map(event).collect();
        all.sort_by_key(|e| e["metadata"]["name"].to_string());
        let listed: Vec<String> = all.iter().map(Value::to_string).collect();
        let list = |store: &mut Store| store.replace(Kind::Events, None, listed.iter().map(String::as_bytes));
        list(&mut store);
        let told = store.events(&name, 0);
        let said: Vec<String> = told.iter().map(|e| e.what.to_string()).collect();
        assert_eq!(said, (100..300).map(|n| format!("event {n}")).collect::<Vec<_>>());
        // Ten minutes later: the hundred that are no longer kept are not news either.
        let last = told.last().unwrap().seq;
        list(&mut store);
        assert_eq!(store.events(&name, last), []);
        store.take(Kind::Events, event(300).to_string().as_bytes());
        assert_eq!(store.events(&name, last).len(), 1);
    }
}
