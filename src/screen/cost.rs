//! Since when it has been bad, what that cost, what waiting costs. Absent when nothing is bad.

use super::{health, scene::Scene};
use crate::{
    model::{
        gate::{GateState, Verdict},
        signal::SignalId,
        spec::OnFail,
        version::Track,
    },
    ui::{
        figure::{compact, compact_spaced, grouped, long, millis, percent_beside, rate},
        look::Tone,
        row::Row,
    },
};

/// The line, if it is bad.
pub(super) fn row(scene: &Scene<'_>) -> Option<Row> {
    let bad = scene.rollout.bad.as_ref()?;
    let start = scene.labelled(Tone::Bad, "BAD");
    let since = long(scene.age(bad.since));
    if let Some(terms) = terms(scene) {
        let cost = if bad.per_second > 0.0 { format!(" Waiting: ~{} failed", rate(bad.per_second)) } else { String::new() };
        let head = start.plain(format!("{since}, "));
        return Some(scene.fit([
            head.clone().plain(format!("{terms}.{cost}")),
            head.clone().plain(format!("{terms}.")),
            head.plain(terms),
        ]));
    }
    let errors = |track: Option<&Track>| track.map(|t| (scene.role(t), health::value(scene, t, SignalId::Errors).0));
    let (candidate, stable) = (errors(scene.right), errors(scene.left));
    let both = |sep: &str| [&candidate, &stable].into_iter().flatten().map(|(role, v)| format!("{role} {v}")).collect::<Vec<_>>().join(sep);
    let cost = rate(bad.per_second);
    let about = cost.trim_end_matches("/s");
    let failed = |n: u64| if n < 10_000 { grouped(n) } else { compact_spaced(n) };
    let waiting = if bad.per_second > 0.0 { format!("Waiting: ~{cost}") } else { "Waiting: nothing".into() };
    let roomy_waiting = if bad.per_second > 0.0 {
        format!("Waiting costs about {about} failed requests/s.")
    } else {
        "Waiting costs no more than stable.".into()
    };
    let roomy = format!("{since}, {} requests failed.  {}.  {roomy_waiting}", failed(bad.failed), both(", "));
    let n = compact(bad.failed);
    let forms = [
        format!("{since}, {n} failed. {}. {waiting}", both(" ")),
        format!("{since}, {n} failed. {waiting}"),
        format!("{since}, {n} failed"),
    ];
    let forms = forms.map(|text| start.clone().plain(text));
    Some(scene.fit(scene.roomy.then(|| start.clone().plain(roomy)).into_iter().chain(forms)))
}

/// What is wrong in the terms of the gate that failed; `None` where failed requests say it.
fn terms(scene: &Scene<'_>) -> Option<String> {
    let gates = &scene.rollout.gates;
    let fails = |g: &&GateState| g.on_fail != OnFail::Advise && matches!(g.verdict, Verdict::Fail { .. });
    let gate = gates.iter().find(fails).or_else(|| gates.iter().find(|g| scene.rollout.has_failed(g)))?;
    if matches!(gate.signal, SignalId::Errors | SignalId::Timeouts | SignalId::Unavailable) {
        return None;
    }
    let name = scene.gate_name(gate);
    let evidence = gate.evidence.as_ref().filter(|_| gate.signal == SignalId::Slow);
    Some(match evidence.and_then(|e| e.candidate.value().zip(e.stable.value()).map(|both| (e, both))) {
        Some((e, (candidate, stable))) => {
            let over = e.slow_over.map(|over| format!(" over {}", millis(over))).unwrap_or_default();
            let [candidate, stable] = [candidate, stable].map(|share| percent_beside(share, e.limit));
            let who = scene.right.map_or("canary", |t| scene.role(t));
            format!("{name}{over}: {who} {candidate} stable {stable}")
        }
        None if matches!(gate.verdict, Verdict::Fail { .. }) => format!("{name}: {}", gate.verdict.reason()),
        None => format!("{name} failed, now {}: {}", gate.verdict.word(), gate.verdict.reason()),
    })
}
