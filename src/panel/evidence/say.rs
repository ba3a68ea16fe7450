//! What is known of a gate, in words, the most important first. Each line is said only where it means
//! something for the gate.

use crate::{
    model::{
        gate::{Arm, Bounds, Burn, Decider, Evidence, GateState, Quantile, Verdict, way},
        interval::{Sensor, SensorState},
        signal::{Sample, SignalId, Unit},
        spec::OnFail,
        text::Text,
        time::{Time, elapsed, span},
    },
    ui::{
        figure::{clock, grouped, left, long, millis, odds, percent_beside, scale_end},
        look::Tone,
    },
};
use std::time::Duration;

/// Labels of lines that may decide.
const CHANGE: &str = "change";
const WITHIN: &str = "within";
const OVER: &str = "over";
const LATE: &str = "late";

/// One line.
pub(super) struct Said {
    /// What it is about.
    pub label: &'static str,
    /// How full the bar before it is, where there is one.
    pub bar: Option<f64>,
    /// What is known.
    pub text: String,
    /// How it is meant.
    pub tone: Tone,
}

pub(super) fn said(label: &'static str, text: String, tone: Tone) -> Said {
    Said { label, bar: None, text, tone }
}

/// Everything that is known of a gate. `silent` is how long its source has not been heard of: so much older
/// is everything.
pub(super) fn everything(gate: &GateState, now: Time, silent: Duration) -> Vec<Said> {
    let Some(e) = &gate.evidence else {
        let none = said("evidence", "none: nothing was measured for it yet".into(), Tone::Warn);
        return vec![why(gate, None), rule(gate), none];
    };
    let mut all = vec![why(gate, Some(e))];
    all.extend(trouble(&e.sensors, silent));
    all.extend(warming(gate, e));
    let odds = if counts(gate, e) { shown(gate, e) } else { Vec::new() };
    // What decided it must be seen where there is room for few lines.
    let (decided, others): (Vec<_>, Vec<_>) = odds.into_iter().partition(|line| decides(gate, e, line));
    all.extend(decided);
    match &e.quantile {
        Some(q) => all.push(quantile(q, elapsed(now, e.since))),
        None if gate.signal == SignalId::Alerts => {}
        None => {
            all.push(said("this step", counted(gate, e, (e.candidate, e.stable), elapsed(now, e.since)), Tone::Plain));
            if e.run_candidate.samples() > 0 && e.run_since < e.since {
                all.push(said("the run", counted(gate, e, (e.run_candidate, e.run_stable), elapsed(now, e.run_since)), Tone::Plain));
            }
            all.extend(e.between.map(|[low, high]| between(e, low, high)));
            all.extend(others);
        }
    }
    all.push(rule(gate));
    all.extend(e.slow_over.map(|over| said("slow", format!("over {}, stable's p99 before the run", millis(over)), Tone::Plain)));
    all.extend(e.power.as_ref().map(|p| said("power", p.text.to_string(), Tone::Plain)));
    if e.quantile.is_none() && e.intervals > 0 {
        all.push(bursts(e));
    }
    all.extend(e.burn.as_ref().map(|b| burn(e, b)));
    all.extend(judged(e, silent));
    all.extend(sensors(&e.sensors, silent));
    for q in &e.queries {
        all.push(said("query", format!("{} at {}Z: {}", q.name, clock(q.at), q.text), Tone::Plain));
        all.extend(q.warnings.iter().map(|w| said("warning", format!("{}: {w}", q.name), Tone::Warn)));
        all.extend(q.infos.iter().map(|i| said("info", format!("{}: {i}", q.name), Tone::Dim)));
    }
    all.extend(e.peers.iter().map(|p| said("peer", format!("{} {}: {}", p.name, p.word, p.why), Tone::Plain)));
    all
}

/// The reason of its verdict; of one that waits what is missing and when it will be there.
pub(super) fn why(gate: &GateState, e: Option<&Evidence>) -> Said {
    let tone = Tone::of(&gate.verdict);
    let text = match &gate.verdict {
        Verdict::Fail { who: Arm::Both, why } => format!("{why}; going back does not help"),
        Verdict::Fail { who: Arm::Stable, why } => format!("{why}; it is stable that is sick"),
        Verdict::Wait { missing, eta } => {
            let when = match eta {
                Some(eta) => format!(", there in {} at this traffic", long(left(*eta))),
                // How fast they come is known of those that are judged.
                None if e.is_some_and(|e| e.missing.is_some() && e.eta.is_none() && !only_warms(e)) => ", never at this traffic".into(),
                None => String::new(),
            };
            return said("missing", format!("{missing}{when}"), tone);
        }
        verdict => verdict.reason().to_string(),
    };
    said("why", text, tone)
}

pub(super) fn rule(gate: &GateState) -> Said {
    let then = match gate.on_fail {
        OnFail::Hold => "a failure holds the plan",
        OnFail::Revert => "a failure takes all traffic back to stable",
        OnFail::Advise => "a failure is shown and changes nothing",
    };
    said("rule", format!("{}: {}; {then}", gate.signal.word(), gate.rule), Tone::Plain)
}

/// Sensors that are needed and cannot be believed.
pub(super) fn trouble(sensors: &[Sensor], silent: Duration) -> Vec<Said> {
    let bad = sensors.iter().filter(|s| s.required && s.state != SensorState::Fresh);
    bad.map(|s| said("blind", format!("{}, and it is needed", sensor(s, silent)), Tone::Warn)).collect()
}

/// `12 of 340 slow, not judged: to instances younger than 30 s`.
fn warming(gate: &GateState, e: &Evidence) -> Option<Said> {
    let Some(Sample::Counts { hits, of }) = e.warming else { return None };
    let counts = if e.quantile.is_some() || gate.signal != SignalId::Slow {
        format!("{} latencies", whole(of))
    } else {
        format!("{} of {} slow", whole(hits), whole(of))
    };
    Some(said("warming", format!("{counts}, not judged: instances younger than {}", long(e.warmup)), Tone::Plain))
}

/// Whether all that came at this weight went to instances that warm up.
fn only_warms(e: &Evidence) -> bool {
    e.warming.is_some() && e.candidate.samples() == 0
}

pub(super) fn sensors(sensors: &[Sensor], silent: Duration) -> Vec<Said> {
    let fresh: Vec<String> = sensors.iter().filter(|s| s.state == SensorState::Fresh).map(|s| sensor(s, silent)).collect();
    let others = sensors.iter().filter(|s| s.state != SensorState::Fresh && !s.required);
    let mut all: Vec<Said> = others.map(|s| said("sensor", format!("{}, not needed", sensor(s, silent)), Tone::Dim)).collect();
    if !fresh.is_empty() {
        all.push(said("sensors", fresh.join("; "), Tone::Plain));
    }
    all
}

fn sensor(s: &Sensor, silent: Duration) -> String {
    let age = s.age.map(|age| format!(", {} old", measured(age.saturating_add(silent)))).unwrap_or_default();
    format!("{} {}{age}", s.name, s.state.word())
}

/// How old the newest sample is that a gate rests on: of the query that is behind the others; where no sensor says
/// it, of what was judged.
pub(super) fn newest(e: &Evidence) -> Option<Duration> {
    let sensors = e.sensors.iter().filter(|s| s.required).filter_map(|s| s.age).max();
    sensors.or_else(|| (e.intervals > 0).then_some(e.age))
}

/// Ages below a second are not zero.
pub(super) fn measured(age: Duration) -> String {
    if age < Duration::from_secs(1) { format!("{} ms", age.as_millis()) } else { span(age) }
}

/// `candidate 278/1,204 23.08 %, stable 3/10,836 0.03 %, 10 min`.
fn counted(gate: &GateState, e: &Evidence, (candidate, stable): (Sample, Sample), since: Duration) -> String {
    let side = |sample: Sample| match (figure(gate, e, sample), sample) {
        (None, _) => "nothing yet".to_owned(),
        (Some(value), Sample::Counts { hits, of }) if gate.signal == SignalId::Restarts => {
            format!("{} in {} of instances {value}", whole(hits), span(Duration::from_secs_f64(of.clamp(0.0, 1e12))))
        }
        (Some(value), Sample::Counts { hits, of }) => format!("{}/{} {value}", whole(hits), whole(of)),
        (Some(value), Sample::Gauge { n, .. } | Sample::Floor { n, .. }) => format!("{value} (n {})", grouped(n)),
    };
    format!("candidate {}, stable {}, {}", side(candidate), side(stable), long(since))
}

/// `candidate >= 5 s (n 1,204), stable 10 to 25 ms (n 10,836); equal with p < 0.001; 10 min`.
fn quantile(q: &Quantile, since: Duration) -> Said {
    let side = |b: &Bounds| format!("{} (n {})", bounds(b), whole(b.n));
    let text = format!("candidate {}, stable {}; equal with p {}; {}", side(&q.candidate), side(&q.stable), small(q.p), long(since));
    said(quantile_name(q.q), text, Tone::Plain)
}

/// Both versions' figures since this weight converged: `23.08 % / 0.03 %`.
pub(super) fn both(gate: &GateState, e: &Evidence) -> Option<String> {
    if let Some(q) = &e.quantile {
        return Some(format!("{} / {}", bounds(&q.candidate), bounds(&q.stable)));
    }
    let stable = figure(gate, e, e.stable);
    Some(format!("{} / {}", figure(gate, e, e.candidate)?, stable.as_deref().unwrap_or("nothing")))
}

pub(super) fn figure(gate: &GateState, e: &Evidence, sample: Sample) -> Option<String> {
    if let Some(floor) = sample.at_least() {
        return Some(format!(">= {}", scale_end(floor, Unit::Millis)));
    }
    let value = sample.value()?;
    Some(match (gate.signal, sample) {
        (SignalId::Restarts, Sample::Counts { .. }) => format!("{}/h", trimmed(value * 3_600.0)),
        (_, Sample::Counts { .. }) => percent_beside(value, e.limit),
        (_, Sample::Gauge { .. } | Sample::Floor { .. }) => millis(value),
    })
}

/// Whether a gate is about counts of both versions, which odds are of: quantiles and alerts are not.
pub(super) fn counts(gate: &GateState, e: &Evidence) -> bool {
    e.quantile.is_none() && gate.signal != SignalId::Alerts
}

fn between(e: &Evidence, low: f64, high: f64) -> Said {
    let percent = |p: f64| percent_beside(p / 100.0, e.limit);
    said("between", format!("{} and {}: the candidate's share, in 95 of 100 runs", percent(low), percent(high)), Tone::Plain)
}

/// What the first odds of a gate are about: `worse`; of the split, that it is off.
pub(super) fn question(e: &Evidence) -> &'static str {
    if e.r_max > 0.0 { "worse" } else { "off" }
}

/// Each of the odds with its bar toward its line.
fn shown(gate: &GateState, e: &Evidence) -> Vec<Said> {
    let line = |label, value: f64, line: f64, text: String| Said { label, bar: Some(way(value, line)), text, tone: Tone::Plain };
    let (fails, passes) = (odds(e.lines.fail), odds(e.lines.pass));
    if e.r_max <= 0.0 {
        let text = format!("{}, bad at {fails}: the router does not do what is declared", odds(e.odds));
        return vec![line(question(e), e.odds, e.lines.fail, text)];
    }
    let worse = format!("{}, fails at {fails}, holds at {}; step {}", odds(e.odds), odds(e.lines.worse), odds(e.step_odds));
    let change = format!("{}, fails at {}: harm that began late", odds(e.change), odds(e.lines.change));
    let safe = format!("{}, passes at {passes}: not {}x stable", odds(e.safe), trimmed(e.r_max));
    let mut all = vec![line(question(e), e.odds, e.lines.fail, worse), line(CHANGE, e.change, e.lines.change, change)];
    // What is over its line and shown to be within this does not fail.
    let (suspect, changed) = (e.odds >= e.lines.worse, e.change >= e.lines.change);
    if suspect || changed {
        let excused = suspect && e.safe_run >= e.lines.pass;
        let spared = if excused || !changed { e.safe_run } else { e.safe_since };
        let (run, since) = (odds(e.safe_run), odds(e.safe_since));
        let text =
            format!("run {run}, since the change {since}; from {passes} on it holds and does not fail: not {}x stable", trimmed(e.r_max));
        all.push(line(WITHIN, spared, e.lines.pass, text));
    }
    all.push(line("safe", e.safe, e.lines.pass, safe));
    if let Some(limit) = e.limit {
        let limit = limit_text(gate, limit);
        let under = format!("{}, passes at {passes}: under {limit}", odds(e.under));
        let over = format!("candidate {}, stable {}, fails at {fails}: over {limit}", odds(e.over), odds(e.stable_over));
        all.push(line("under", e.under, e.lines.pass, under));
        all.push(line(OVER, e.over.max(e.stable_over), e.lines.fail, over));
        let (own, other) = (e.over_change, e.stable_over_change);
        // A limit that is kept all the time is not broken of late.
        if own.max(other) > 1.0 {
            let fails = odds(e.lines.change);
            let late = format!("candidate {}, stable {}, fails at {fails}: over {limit} of late", odds(own), odds(other));
            all.push(line(LATE, own.max(other), e.lines.change, late));
        }
    }
    all
}

/// Whether a line says why the verdict is what it is: its odds decide, or excuse what is over its line.
fn decides(gate: &GateState, e: &Evidence, line: &Said) -> bool {
    let full = line.bar.is_some_and(|part| part >= 1.0);
    match e.decided_by {
        Some(by) => line.label == by.word() || e.holds && full && line.label == WITHIN,
        // The split, which has one line, has no other to be told from.
        None => full && line.label == question(e) && matches!(gate.verdict, Verdict::Fail { .. }),
    }
}

/// The odds of a gate's own line: their word, the odds, how far they are on the way to their line. `worse`, of
/// the whole run, or `over` the limit where that is nearer to its line, which is the same. What is held to other
/// lines, such as a detector's, stands there only where it decides, by its own name. Where both versions are
/// sick, of the one that is less far over the limit.
pub(super) fn nearest(gate: &GateState, e: &Evidence) -> (&'static str, f64, f64) {
    let fails = |word, odds: f64| (word, odds, way(odds, e.lines.fail));
    let changes = |word, odds: f64| (word, odds, way(odds, e.lines.change));
    let (worse, over) = (fails(question(e), e.odds), fails(OVER, e.over));
    match e.decided_by {
        Some(Decider::Late) if gate.verdict.fails_both() => {
            // One of them may be over it by the whole run.
            let both = [(e.over, e.over_change), (e.stable_over, e.stable_over_change)];
            let late = both.into_iter().filter(|(run, _)| *run < e.lines.fail).map(|(_, late)| late);
            changes(LATE, late.min_by(f64::total_cmp).unwrap_or(e.over_change))
        }
        _ if gate.verdict.fails_both() => fails("both", e.over.min(e.stable_over)),
        Some(Decider::Change) => changes(CHANGE, e.change),
        Some(Decider::Late) => changes(LATE, e.over_change),
        Some(Decider::Over) => over,
        Some(Decider::Worse) => worse,
        _ if e.limit.is_some() && over.2 > worse.2 => over,
        _ => worse,
    }
}

pub(super) fn limit_text(gate: &GateState, limit: f64) -> String {
    match gate.signal {
        SignalId::Restarts => format!("{}/h", trimmed(limit)),
        SignalId::P50 | SignalId::P95 | SignalId::P99 => millis(limit),
        _ => format!("{} %", trimmed(limit)),
    }
}

pub(super) fn bursts(e: &Evidence) -> Said {
    let text = match e.phi {
        phi if (phi - 10.0).abs() < 1e-9 => {
            "10: too few errors to know, so the worst is assumed; odds grow at a tenth of the speed".to_owned()
        }
        phi if phi <= 1.05 => "1.0, independent errors".to_owned(),
        phi => format!("{phi:.1}: stable's errors come in bursts; odds grow {phi:.1} times slower"),
    };
    // Instances that are compared with each other say nothing of what is held to a limit.
    let other = e.limit.is_some() && (e.phi_limit - e.phi).abs() > 0.05;
    let limit = if other { format!("; those over and under the limit {:.1} times", e.phi_limit) } else { String::new() };
    said("bursts", text + &limit, Tone::Plain)
}

fn burn(e: &Evidence, b: &Burn) -> Said {
    let rate = |rate: Option<f64>| rate.map_or_else(|| "nothing yet".into(), |r| format!("{}x", trimmed(r)));
    let all = |alerts: &[Text]| alerts.iter().map(Text::as_str).collect::<Vec<_>>().join(", ");
    let alarm = match (b.alerts.as_slice(), b.stable_alerts.as_slice()) {
        ([], []) => "no alert".into(),
        (own, []) => format!("ALERT {}", all(own)),
        ([], other) => format!("ALERT of stable {}", all(other)),
        (own, other) => format!("ALERT {}; of stable {}", all(own), all(other)),
    };
    let spent = b.spent.map_or_else(|| "nothing yet".into(), |s| percent_beside(s / 100.0, Some(b.budget)));
    // What is spent and stops nothing must say why.
    let by_chance = b.spent.is_some_and(|spent| spent >= b.budget) && b.above < e.lines.worse;
    let chance = format!(", as chance may ({}, stops at {})", odds(b.above), odds(e.lines.worse));
    let spent = if by_chance { spent + &chance } else { spent };
    let (own, other, blast) = (rate(b.candidate), rate(b.stable), rate(b.blast));
    let text = format!(
        "{alarm}; {spent} of the month's budget spent, {} % allowed; last hour candidate {own}, stable {other}; the service {blast} by the candidate (slo {} %)",
        trimmed(b.budget),
        trimmed(b.slo)
    );
    let quiet = b.alerts.is_empty() && b.stable_alerts.is_empty();
    said("burn", text, if quiet { Tone::Plain } else { Tone::Bad })
}

pub(super) fn judged(e: &Evidence, silent: Duration) -> Option<Said> {
    (e.intervals > 0).then(|| {
        let plural = if e.intervals == 1 { "" } else { "s" };
        said(
            "samples",
            format!("{} interval{plural} judged, the newest {} old", grouped(e.intervals), measured(e.age.saturating_add(silent))),
            Tone::Plain,
        )
    })
}

pub(super) const fn quantile_name(q: f64) -> &'static str {
    match q {
        q if q <= 0.5 => "p50",
        q if q <= 0.95 => "p95",
        _ => "p99",
    }
}

/// `10 to 25 ms`; in the last bucket `>= 5 s`.
pub(super) fn bounds(b: &Bounds) -> String {
    match b.high {
        Some(high) => format!("{} to {}", millis(b.low).trim_end_matches(" ms"), millis(high)),
        None if b.low > 0.0 => format!(">= {}", scale_end(b.low, Unit::Millis)),
        None => "not known yet".into(),
    }
}

/// A probability: never zero unless it is.
fn small(p: f64) -> String {
    if p > 0.0 && p < 0.001 { "< 0.001".into() } else { format!("{p:.3}") }
}

/// At most two decimals, none that are zero; what is there is never zero.
pub(super) fn trimmed(value: f64) -> String {
    match value {
        v if v > 0.0 && v < 0.01 => "<0.01".into(),
        v if v >= 10_000.0 => grouped(count(v)),
        v => format!("{v:.2}").trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}

pub(super) fn whole(n: f64) -> String {
    grouped(count(n))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count; saturates")]
fn count(n: f64) -> u64 {
    n.round().max(0.0) as u64
}
