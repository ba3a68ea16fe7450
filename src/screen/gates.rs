//! The line of gates: the worst by name, the others counted. Of a run that is over they are those of when its
//! traffic was decided; of a version that has all the traffic it is said that it stands alone.

use super::{scene::Scene, verdict::broken};
use crate::{
    model::{
        gate::{GateState, Verdict},
        rollout::Phase,
    },
    ui::{
        figure::{clock, short},
        look::Tone,
        row::Row,
    },
};

/// The line.
pub(super) fn row(scene: &Scene<'_>) -> Row {
    let start = scene.line("gates");
    let told = told(scene);
    let Some(worst) = told.worst else {
        // Gates are judged from the first traffic on, where anything is measured.
        if !scene.unmeasured() && !scene.first() && scene.right.is_some_and(|t| t.share.declared.is_some_and(|d| d.parts == 0)) {
            return start.add(Tone::Dim, "not judged before the first traffic");
        }
        let judged = !scene.rollout.analyses.is_empty();
        return start
            .add(Tone::Dim, if judged { "none here: the runtime's own analyses judge it" } else { "none: nothing judges this rollout" });
    };
    let roomy = scene.roomy.then(|| line(scene, &start, &told, worst, true, true)).into_iter();
    let brief = start.clone().join(named(scene, worst, scene.gate_name(worst)));
    let forms: Vec<Row> =
        roomy.chain([line(scene, &start, &told, worst, true, false), line(scene, &start, &told, worst, false, false), brief]).collect();
    if told.tails.is_empty() {
        return scene.fit(forms);
    }
    // Whose they are is never left out.
    let with = |row: &Row| told.tails.iter().map(|tail| row.clone().plain("  ").add(Tone::Dim, tail)).collect::<Vec<_>>();
    scene.fit(forms.iter().flat_map(with))
}

/// Which gates the line is about.
struct Told<'a> {
    gates: &'a [GateState],
    worst: Option<&'a GateState>,
    /// Whose they are, or of when, the longest form first; none of a run that moves.
    tails: Vec<String>,
}

fn told<'a>(scene: &Scene<'a>) -> Told<'a> {
    let r = scene.rollout;
    let now = Told { gates: &r.gates, worst: r.worst_gate(), tails: Vec::new() };
    let alone = r.alone.as_ref().map(|alone| scene.cut(&alone.version, 12));
    let first = r.decided.first().filter(|d| d.worst_gate().is_some());
    match (first, &alone) {
        (Some(d), alone) if alone.is_none() || r.phase != Phase::Completed => {
            let at = format!("at {}Z", clock(d.at));
            let when = format!("{at}, {}", d.what.when());
            // What serves now and does not do well is said too.
            let serves = alone.as_ref().zip(now.worst).filter(|(_, gate)| !gate.verdict.passed());
            let serves = serves.map(|(who, gate)| format!("; {who} alone {} {}", gate.verdict.word(), scene.gate_name(gate)));
            let serves = serves.unwrap_or_default();
            Told { gates: &d.gates, worst: d.worst_gate(), tails: vec![format!("{when}{serves}"), when, at] }
        }
        (_, Some(who)) => Told { tails: vec![format!("{who} alone, no stable beside it"), format!("{who} alone"), "alone".into()], ..now },
        (_, None) => now,
    }
}

/// Instead of figures, where there cannot be any.
pub(super) fn unmeasured(scene: &Scene<'_>) -> Row {
    scene.line("health").add(Tone::Dim, UNMEASURED)
}

/// Why there are no figures.
pub(super) const UNMEASURED: &str = "not measured: no metrics backend is configured for this target";

/// `detail` gives the worst one's numbers, `names` names the others where one stands alone.
fn line(scene: &Scene<'_>, start: &Row, told: &Told<'_>, worst: &GateState, detail: bool, names: bool) -> Row {
    let gates = told.gates;
    let counts = |w: &GateState| gates.iter().filter(|g| g.verdict.rank() == w.verdict.rank()).count();
    // All passed: the count says it all.
    if worst.verdict.passed() && counts(worst) > 1 {
        return start.clone().add(Tone::Good, scene.look.glyphs().pass).plain(format!(" {} pass", counts(worst)));
    }
    let name = if names { scene.cut(&worst.id.text(), 40) } else { scene.gate_name(worst) };
    let mut row = start.clone().join(named(scene, worst, name));
    if detail && let Some(detail) = self::detail(scene, worst) {
        row = row.plain(if matches!(worst.verdict, Verdict::Fail { .. }) { " " } else { "" }).plain(detail);
    }
    let gap = if names { "   " } else { "  " };
    for rank in 0..=3 {
        let same = gates.iter().filter(|g| g.verdict.rank() == rank && !std::ptr::eq(*g, worst));
        let Some(first) = same.clone().next() else { continue };
        let n = same.count();
        row = row.plain(gap);
        row = match n {
            1 if names && !first.verdict.passed() => {
                row.join(named(scene, first, scene.cut(&first.id.text(), 40))).plain(eta(&first.verdict))
            }
            n if names => row
                .add(Tone::of(&first.verdict), scene.look.glyphs().verdict(&first.verdict))
                .plain(format!(" {n} {}", first.verdict.word())),
            n => row.plain(format!("{n} ")).add(Tone::of(&first.verdict), first.verdict.word()).plain(if n == 1 {
                eta(&first.verdict)
            } else {
                String::new()
            }),
        };
    }
    row
}

/// `✗ FAIL errors`.
fn named(scene: &Scene<'_>, gate: &GateState, name: String) -> Row {
    // What has failed and has not passed since is no gate that merely waits.
    if scene.rollout.failed_before(gate).is_some() {
        let sign = scene.look.glyphs().fail;
        return scene.row().add(Tone::Bad, format!("{sign} FAILED")).plain(format!(" {name}, now {}", gate.verdict.word()));
    }
    let sign = scene.look.glyphs().verdict(&gate.verdict);
    scene.row().add(Tone::of(&gate.verdict), format!("{sign} {}", gate.verdict.word())).plain(" ").plain(name)
}

/// The numbers of a failure; the reason of everything else.
fn detail(scene: &Scene<'_>, gate: &GateState) -> Option<String> {
    match &gate.verdict {
        Verdict::Pass { .. } => None,
        Verdict::Fail { why, .. } => Some(broken(gate, scene.roomy).unwrap_or_else(|| why.to_string())),
        verdict => Some(format!("{}: {}", eta(verdict), verdict.reason())),
    }
}

fn eta(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Wait { eta: Some(eta), .. } => format!(" {}", short(*eta)),
        _ => String::new(),
    }
}
