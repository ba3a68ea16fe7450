//! Since when it has been bad, what that cost, what waiting costs. Absent when nothing is bad.

use super::{health, scene::Scene};
use crate::{
    model::{signal::SignalId, version::Track},
    ui::{
        figure::{compact, compact_spaced, grouped, long, rate},
        look::Tone,
        row::Row,
    },
};

/// The line, if it is bad.
pub(super) fn row(scene: &Scene<'_>) -> Option<Row> {
    let bad = scene.rollout.bad?;
    let start = scene.labelled(Tone::Bad, "BAD");
    let since = long(scene.age(bad.since));
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
