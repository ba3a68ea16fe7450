//! The demo as lines: what happened, every other second how it stands, and whether all ended as expected.

use super::{
    scenario::{Part, Scenario},
    stage::Stage,
};
use crate::{
    cli::{
        connect,
        exit::{self, Exit},
    },
    model::{
        delta::Delta,
        event::{Event, Level},
        rollout::Rollout,
        signal::SignalId,
        time::Time,
        version::Track,
    },
    runtime::Runtime,
};
use futures::StreamExt;
use std::{collections::BTreeMap, io::Write, time::Duration};
use tokio::time::{Instant, timeout_at};

/// Pictures in a row that must be as expected: what brought it there is told by then.
const SETTLED: u32 = 3;

/// How often it is told how a service stands.
const STATUS: i64 = 2_000;

/// What is known of a service's end.
struct Act<'a> {
    part: &'a Part,
    last: Option<Rollout>,
    said: Option<Time>,
    /// Pictures in a row that were as expected.
    settled: u32,
}

impl Act<'_> {
    fn label(&self) -> &str {
        self.part.versions.last().map_or("", |v| v.label.as_str())
    }

    const fn is_over(&self) -> bool {
        self.settled >= SETTLED
    }

    /// Takes a picture in; the line to print, if one is due.
    fn see(&mut self, rollout: Rollout) -> Option<String> {
        // Once it was there for long enough it has ended so, whatever follows.
        if !self.is_over() {
            self.settled = if self.part.expect.is_met(&rollout, self.label()) { self.settled + 1 } else { 0 };
        }
        let now = rollout.seen.server_time;
        let due = self.said.is_none_or(|then| (now - then).num_milliseconds() >= STATUS);
        let line = due.then(|| status(&rollout));
        self.said = if due { Some(now) } else { self.said };
        self.last = Some(rollout);
        line
    }

    /// How it ended, and whether as expected.
    fn end(&self, service: &str) -> Result<String, String> {
        let expected = self.part.expect.text();
        match &self.last {
            None => Err(format!("{service}: no rollout was seen; expected {expected}")),
            Some(r) if self.is_over() => Ok(format!("{}\n{service}: as expected: {expected}", summary(r))),
            Some(_) if self.settled > 0 => {
                Err(format!("{service}: as expected ({expected}) only at the very end: give it longer with --for"))
            }
            Some(r) => {
                let verdict = r.verdict.as_ref().map(|v| format!(", verdict {}: {}", v.word, v.sentence)).unwrap_or_default();
                Err(format!("{service}: expected {expected}; it is {}{verdict}; next: {}", r.phase.word(), r.next.what))
            }
        }
    }
}

/// Prints the life of the rollouts until all are as the scenario expects, but no longer than `span` and
/// than the scenario says that it may take.
///
/// # Errors
/// Exit code 1 and one line when one is not.
pub async fn tell(scenario: &Scenario, stage: &Stage, span: Option<Duration>) -> Result<(), Exit> {
    let longest = scenario.parts.values().map(Part::span).max().unwrap_or_default();
    let end = Instant::now() + span.map_or(longest, |span| span.min(longest));
    let client = stage.client().map_err(|e| connect::fault(&e))?;
    let mut deltas = Box::pin(client.watch());
    let act = |part| Act { part, last: None, said: None, settled: 0 };
    let mut acts: BTreeMap<String, Act<'_>> = scenario.parts.iter().map(|(name, part)| (name.clone(), act(part))).collect();
    while let Ok(Some(delta)) = timeout_at(end, deltas.next()).await {
        match delta.map_err(|e| connect::fault(&e))? {
            Delta::Events { events, key } => {
                for event in &events {
                    line(&happened(key.service.text().as_str(), event))?;
                }
            }
            Delta::Apply { rollout } => {
                let said = acts.get_mut(rollout.key.service.as_str()).and_then(|act| act.see(*rollout));
                said.map_or(Ok(()), |said| line(&said))?;
            }
            _ => {}
        }
        if let Some(trouble) = stage.trouble() {
            return Err(Exit::failed(trouble));
        }
        if acts.values().all(Act::is_over) {
            break;
        }
    }
    let mut wrong = Vec::new();
    for (service, act) in &acts {
        match act.end(service) {
            Ok(fine) => line(&fine)?,
            Err(why) => wrong.push(why),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Exit::failed(wrong.join("; "))) }
}

impl Part {
    /// How long it may take in all.
    fn span(&self) -> Duration {
        self.versions.iter().skip(1).map(super::scenario::Release::at).max().unwrap_or_default() + self.expect.within
    }
}

fn happened(service: &str, event: &Event) -> String {
    let mark = match event.level {
        Level::Info => "-",
        Level::Warn => "!",
        Level::Bad => "x",
    };
    format!("{} {mark} {service} {}: {}", event.at.format("%H:%M:%S"), event.by, event.what)
}

fn status(r: &Rollout) -> String {
    let verdict = r.verdict.as_ref().map(|v| format!(" | {}: {}", v.word, v.sentence)).unwrap_or_default();
    let tracks: Vec<String> = r.tracks.iter().map(track).collect();
    let service = r.key.service.text();
    format!("{} {service} {} | {}{verdict}", r.seen.server_time.format("%H:%M:%S"), r.phase.word(), tracks.join(" | "))
}

fn track(t: &Track) -> String {
    let value = |id| t.signals.get(&id).and_then(|s| s.reading.fresh()).and_then(|s| s.value());
    let share = t.share.declared.and_then(|r| r.percent()).unwrap_or_default();
    let shown = |value: Option<f64>, digits: usize, factor: f64| value.map_or_else(|| "-".into(), |v| format!("{:.digits$}", v * factor));
    format!(
        "{} {} {share:.2} %: {}/s, errors {} %, p99 {} ms",
        t.role,
        t.version.label,
        shown(value(SignalId::Requests), 0, 1.0),
        shown(value(SignalId::Errors), 2, 100.0),
        shown(value(SignalId::P99), 0, 1.0),
    )
}

fn summary(r: &Rollout) -> String {
    let version = |t: Option<&Track>| t.map_or_else(|| "-".into(), |t| format!("{} {}", t.version.label, t.version.short_digest()));
    let at = r.next.at.map(|at| format!(" at {}", at.format("%H:%M:%S"))).unwrap_or_default();
    format!(
        "summary: {} is {}; stable {}, candidate {}; next: {}{at}",
        r.key.service.text(),
        r.phase.word(),
        version(r.stable()),
        version(r.candidate()),
        r.next.what
    )
}

fn line(text: &str) -> Result<(), Exit> {
    writeln!(std::io::stdout().lock(), "{text}").or_else(exit::closed)
}
