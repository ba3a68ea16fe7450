//! What follows from the figures of both versions: a word with its evidence, from the gate that
//! looks at them.

use super::scene::Scene;
use crate::{
    model::{
        gate::{Arm, GateState, Verdict},
        signal::SignalId,
        version::Track,
    },
    ui::{
        figure::{change, compact, millis, percent_beside, short},
        look::Tone,
        row::Row,
    },
};

/// The gate that a row of figures stands for: the worst of those that look at it. Slow requests
/// belong to the p99, unanswered ones to the errors.
pub(super) fn gate<'a>(scene: &Scene<'a>, row: SignalId) -> Option<&'a GateState> {
    let of = |signal| match signal {
        SignalId::Slow => SignalId::P99,
        SignalId::Unavailable => SignalId::Errors,
        signal => signal,
    };
    scene.rollout.gates.iter().filter(|g| of(g.signal) == row).min_by_key(|g| g.verdict.rank())
}

/// The words beside a row of figures, in at most `max` columns.
pub(super) fn note(scene: &Scene<'_>, row: SignalId, max: usize) -> Row {
    if !scene.judged() {
        return scene.row();
    }
    let value = |track: Option<&Track>| track?.signals.get(&row)?.reading.fresh()?.value();
    let compared = match (row, value(scene.left), value(scene.right)) {
        (SignalId::P50 | SignalId::P99, Some(stable), Some(candidate)) => change(stable, candidate),
        _ => None,
    };
    let start = match compared {
        Some(compared) => scene.row().plain(compared),
        None => scene.row(),
    };
    let Some(gate) = gate(scene, row) else { return start.cut(max) };
    let space = if start.is_empty() { "" } else { " " };
    // A gate over something else than the row says what it is over.
    let of = if gate.signal == row { String::new() } else { format!("{} ", gate.signal.word()) };
    let forms = words(gate).map(|text| format!("{of}{text}")).map(|text| start.clone().plain(space).add(Tone::of(&gate.verdict), text));
    // The number of requests stands in a row of its own where there is room.
    let skip = usize::from(scene.roomy);
    Row::fit(scene.look, max, forms.into_iter().skip(skip))
}

/// Longest first, the first with the number of requests.
fn words(gate: &GateState) -> [String; 3] {
    let n = gate.evidence.as_ref().map(|e| format!(" (n {})", compact(e.candidate.samples()))).unwrap_or_default();
    let with = |long: String, short: &str| [format!("{long}{n}"), long, short.to_owned()];
    match &gate.verdict {
        Verdict::Pass { .. } => with("pass".into(), "pass"),
        Verdict::Fail { who: Arm::Both, .. } => with("BOTH bad".into(), "BOTH"),
        Verdict::Fail { who: Arm::Stable, .. } => with("stable is WORSE".into(), "FAIL"),
        Verdict::Fail { who: Arm::Candidate, .. } => match &gate.evidence {
            Some(e) if e.certain() => with("WORSE, certain".into(), "WORSE"),
            Some(_) => with("WORSE".into(), "WORSE"),
            None => with("FAIL".into(), "FAIL"),
        },
        Verdict::Wait { eta, .. } => {
            let text = eta.map_or_else(|| "WAIT".to_owned(), |eta| format!("WAIT {}", short(eta)));
            [text.clone(), text, "WAIT".into()]
        }
        Verdict::Blind { .. } => ["BLIND".into(), "BLIND".into(), "BLIND".into()],
    }
}

/// What a failed gate measured beside what it is held to: the limit, `100.00>1.00 %`, or stable's own share where
/// it is shown to be worse than that and not to be over the limit, `7.42/0.98 %`; with room `100.00 % > 1.00 %`
/// and `7.42 %, stable 0.98 %`.
pub(super) fn broken(gate: &GateState, roomy: bool) -> Option<String> {
    let evidence = gate.evidence.as_ref()?;
    if !matches!(gate.signal, SignalId::Errors | SignalId::Slow | SignalId::Timeouts) {
        return None;
    }
    let (candidate, stable) = (evidence.candidate.value()?, evidence.stable.value());
    let over = |share: f64| evidence.limit.is_some_and(|limit| share * 100.0 > limit);
    // It may be far over a limit and not yet be shown to be.
    let limit = evidence.limit.filter(|_| over(candidate) && (evidence.over_limit() || !evidence.certain()));
    let bar = limit.or_else(|| stable.map(|stable| stable * 100.0)).filter(|bar| candidate * 100.0 > *bar)?;
    let own = percent_beside(candidate, Some(bar));
    let bound = format!("{bar:.2} %");
    let own = match stable {
        Some(stable) if limit.is_some() && over(stable) => {
            let stable = percent_beside(stable, evidence.limit);
            format!("{} (stable {})", own.trim_end_matches(" %"), stable.trim_end_matches(" %"))
        }
        _ => own,
    };
    if own.starts_with(['<', '>']) {
        return Some(own);
    }
    let slow = evidence.slow_over.map(|over| format!(" over {}", millis(over))).unwrap_or_default();
    let short = own.trim_end_matches(" %");
    Some(match (limit.is_some(), roomy) {
        (true, true) => format!("{own} > {bound}{slow}"),
        (true, false) => format!("{short}>{bound}{slow}"),
        (false, true) => format!("{own}, stable {bound}{slow}"),
        (false, false) => format!("{short}/{bound}{slow}"),
    })
}
