//! What is known of a gate of a version that has all the traffic: it is no candidate, and nothing is beside it
//! that it could be worse than. What is left is its limit, its budget and what they are counted from.

use super::say::{self, Said, said};
use crate::{
    model::{
        gate::{Evidence, GateState, way},
        signal::{Sample, SignalId},
        text::Text,
        time::{Time, elapsed, span},
    },
    ui::{
        figure::{clock, grouped, long, odds, percent_beside},
        look::Tone,
    },
};
use std::time::Duration;

/// Its figure.
pub(super) fn own(gate: &GateState, e: &Evidence) -> Option<String> {
    match &e.quantile {
        Some(q) => Some(say::bounds(&q.candidate)),
        None => say::figure(gate, e, e.candidate),
    }
}

/// Everything that is known, the most important first.
pub(super) fn everything(gate: &GateState, who: &str, now: Time, silent: Duration) -> Vec<Said> {
    let mut all = vec![say::why(gate, gate.evidence.as_ref())];
    let Some(e) = &gate.evidence else {
        all.push(say::rule(gate));
        return all;
    };
    all.extend(say::trouble(&e.sensors, silent));
    all.push(said("counted", counted(gate, e, who, elapsed(now, e.since)), Tone::Plain));
    if let Some(limit) = e.limit.filter(|_| e.quantile.is_none()) {
        let limit = say::limit_text(gate, limit);
        let line = |label, value: f64, line: f64, text: String| Said { label, bar: Some(way(value, line)), text, tone: Tone::Plain };
        let (fails, passes, late) = (odds(e.lines.fail), odds(e.lines.pass), odds(e.lines.change));
        all.push(line("over", e.over, e.lines.fail, format!("{}, fails at {fails}: over {limit}", odds(e.over))));
        if e.over_change > 1.0 {
            let text = format!("{}, fails at {late}: over {limit} of late", odds(e.over_change));
            all.push(line("over late", e.over_change, e.lines.change, text));
        }
        all.push(line("under", e.under, e.lines.pass, format!("{}, passes at {passes}: under {limit}", odds(e.under))));
    }
    all.push(say::rule(gate));
    all.extend(e.burn.as_ref().map(|b| {
        let alerts: Vec<&str> = b.alerts.iter().map(Text::as_str).collect();
        let alarm = if alerts.is_empty() { "no alert".to_owned() } else { format!("ALERT {}", alerts.join(", ")) };
        let rate = b.candidate.map_or_else(|| "nothing yet".to_owned(), |rate| format!("{}x", say::trimmed(rate)));
        let tone = if alerts.is_empty() { Tone::Plain } else { Tone::Bad };
        said("burn", format!("{alarm}; last hour {rate} (slo {} %)", say::trimmed(b.slo)), tone)
    }));
    if e.quantile.is_none() && e.intervals > 0 && gate.signal != SignalId::Restarts {
        all.push(say::bursts(e));
    }
    all.extend(say::judged(e, silent));
    all.extend(say::sensors(&e.sensors, silent));
    all.extend(e.queries.iter().map(|q| said("query", format!("{} at {}Z: {}", q.name, clock(q.at), q.text), Tone::Plain)));
    all
}

/// `v2 11/1,230 0.89 %, 68 s`
fn counted(gate: &GateState, e: &Evidence, who: &str, since: Duration) -> String {
    let what = match (&e.quantile, e.candidate, own(gate, e)) {
        (Some(q), _, Some(bounds)) => format!("{} {bounds} (n {})", say::quantile_name(q.q), say::whole(q.candidate.n)),
        (_, _, None) => "nothing yet".to_owned(),
        (_, Sample::Counts { hits, of }, Some(value)) if gate.signal == SignalId::Restarts => {
            format!("{} in {} of instances {value}", say::whole(hits), span(Duration::from_secs_f64(of.clamp(0.0, 1e12))))
        }
        (_, Sample::Counts { hits, of }, Some(value)) => format!("{}/{} {value}", say::whole(hits), say::whole(of)),
        (_, Sample::Gauge { n, .. } | Sample::Floor { n, .. }, Some(value)) => format!("{value} (n {})", grouped(n)),
    };
    let between = e.between.map(|[low, high]| {
        let percent = |p: f64| percent_beside(p / 100.0, e.limit);
        format!(", between {} and {}", percent(low), percent(high))
    });
    format!("{who} {what}{}, {}", between.unwrap_or_default(), long(since))
}
