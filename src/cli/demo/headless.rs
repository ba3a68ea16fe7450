//! The demo as lines: what happened, once a second how it stands, and whether it ended as expected.

use super::{scenario::Scenario, stage::Stage};
use crate::{
    cli::{connect, exit::Exit},
    model::{delta::Delta, event::Level, rollout::Rollout, signal::SignalId, time::Time, version::Track},
    runtime::Runtime,
};
use futures::StreamExt;
use std::{io::Write, time::Duration};
use tokio::time::{Instant, timeout_at};

/// Pictures in a row that must be as expected: what brought it there is told by then.
const SETTLED: u32 = 3;

/// Prints the life of the rollout for `span`, or until it is as the scenario expects.
pub async fn tell(scenario: &Scenario, stage: &Stage, span: Duration) -> Result<(), Exit> {
    let end = Instant::now() + span.min(scenario.expect.within);
    let client = stage.client().map_err(|e| connect::fault(&e))?;
    let mut deltas = Box::pin(client.watch());
    let mut last: Option<Rollout> = None;
    let mut said: Option<Time> = None;
    let (mut met, mut settled) = (false, 0);
    while let Ok(Some(delta)) = timeout_at(end, deltas.next()).await {
        match delta.map_err(|e| connect::fault(&e))? {
            Delta::Events { events, .. } => {
                for event in &events {
                    let mark = match event.level {
                        Level::Info => "-",
                        Level::Warn => "!",
                        Level::Bad => "x",
                    };
                    line(&format!("{} {mark} {}: {}", event.at.format("%H:%M:%S"), event.by, event.what))?;
                }
            }
            Delta::Apply { rollout } => {
                let now = rollout.seen.server_time;
                if said.is_none_or(|then| (now - then).num_milliseconds() >= 2_000) {
                    line(&status(&rollout))?;
                    said = Some(now);
                }
                met = scenario.expect.is_met(&rollout);
                settled = if met { settled + 1 } else { 0 };
                last = Some(*rollout);
                if settled >= SETTLED {
                    break;
                }
            }
            _ => {}
        }
    }
    let Some(last) = last else { return Err(Exit::failed("the demo showed no rollout")) };
    line(&summary(&last))?;
    if met {
        line(&format!("as expected: {}", scenario.expect.phase))
    } else {
        Err(Exit::failed(format!("expected {} {}, it is {}", scenario.expect.phase, scenario.expect.verdict, last.phase.word())))
    }
}

fn status(r: &Rollout) -> String {
    let verdict = r.verdict.as_ref().map(|v| format!(" | {}: {}", v.word, v.sentence)).unwrap_or_default();
    let tracks: Vec<String> = r.tracks.iter().map(track).collect();
    format!("{} {} | {}{verdict}", r.seen.server_time.format("%H:%M:%S"), r.phase.word(), tracks.join(" | "))
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
    writeln!(std::io::stdout().lock(), "{text}").map_err(Exit::failed)
}
