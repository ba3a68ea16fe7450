//! The second line: where in the plan, at which weight, since when, and what holds it.

use super::scene::{Scene, instances, share_short};
use crate::{
    model::{
        rollout::{Hold, Phase, Standing},
        spec::Strategy,
        time::{Time, until},
    },
    ui::{
        figure::{self, short},
        look::Tone,
        row::Row,
    },
};
use ratatui::{buffer::Buffer, layout::Rect};

/// Draws the line, in the roomy layout with run and starter at its end.
pub(super) fn draw(scene: &Scene<'_>, area: Rect, buf: &mut Buffer) {
    let row = row(scene);
    row.draw(area, buf);
    if let Some(run) = run(scene)
        && scene.roomy
        && row.width() + run.width() + 3 <= scene.width
    {
        run.draw_right(area, buf);
    }
}

/// Everything but the run.
pub(super) fn row(scene: &Scene<'_>) -> Row {
    let join = |place: Row, what: Row| place.plain(if what.is_empty() { "" } else { "   " }).join(what);
    scene.fit([
        join(place(scene, true), phase(scene)),
        join(place(scene, false), phase(scene)),
        // Where there is no room for both, what holds it matters more.
        if phase(scene).is_empty() { place(scene, false) } else { scene.row().plain(" ").join(phase(scene)) },
    ])
}

/// `CANARY step 5/9 at 33.33 % for 14m`.
fn place(scene: &Scene<'_>, long: bool) -> Row {
    let rollout = scene.rollout;
    let row = scene.row().plain(" ").add(
        Tone::Strong,
        match rollout.strategy {
            Strategy::Canary => "CANARY",
            Strategy::BlueGreen => "BLUE/GREEN",
            Strategy::Rolling => "ROLLING",
            Strategy::Recreate => "RECREATE",
        },
    );
    let count = rollout.steps.len();
    let row = match (&rollout.phase, scene.right.and_then(instances)) {
        // The share follows the instances.
        (Phase::Progressing | Phase::Held, Some(new)) if rollout.strategy == Strategy::Rolling => {
            row.plain(format!(" {}/{} new", new.ready, new.desired))
        }
        _ => row,
    };
    match (&rollout.phase, rollout.at) {
        (Phase::Idle, _) => scene.row().plain(" ").add(Tone::Strong, "IDLE").plain(" nothing was ever deployed here"),
        _ if scene.first() => row.plain(" first deploy: 100 % when it is ready"),
        (Phase::Completed, _) | (_, None) => row,
        (_, Some(at)) => {
            let of = scene.pick(" of ", "/");
            let step = if count == 0 { String::new() } else { format!(" step {}{of}{count}", (at.index + 1).min(count)) };
            let stopped = matches!(rollout.phase, Phase::Reverting | Phase::Reverted | Phase::Failed);
            let row = row.plain(format!("{}{step}", if stopped { " left at" } else { "" }));
            if stopped || !long {
                return row;
            }
            // After its promotion it is stable, and what stands beside it is the version before.
            let weight = rollout.candidate().map(|t| format!(" at {}", share_short(t.share.declared))).unwrap_or_default();
            row.plain(format!("{weight} for {}", short(scene.age(at.since))))
        }
    }
}

/// `HELD gate http-5xx-rat…by-route +2 more`, or the phase where nothing holds it.
fn phase(scene: &Scene<'_>) -> Row {
    let rollout = scene.rollout;
    let holds = holds(scene);
    let reason = |row: Row| match &rollout.reason {
        Some(reason) => row.plain(format!(": {reason}")),
        None => row,
    };
    match &rollout.phase {
        Phase::Held | Phase::Progressing if !holds.is_empty() => {
            let row = holds.first().map_or_else(|| scene.row(), |worst| hold(scene, worst));
            if holds.len() > 1 { row.plain(format!(" +{} more", holds.len() - 1)) } else { row }
        }
        Phase::Held => reason(scene.row().add(Tone::Warn, "HELD")),
        Phase::Idle => scene.row(),
        Phase::Progressing => scene.row().add(Tone::Good, format!("{} progressing", scene.look.glyphs().here)),
        Phase::Reverting => reason(scene.row().add(Tone::Warn, "REVERTING")),
        Phase::Reverted => reason(scene.row().add(Tone::Good, format!("{} REVERTED", scene.look.glyphs().pass))),
        Phase::Completed => {
            // It has all the traffic, and that is not well.
            let (tone, glyph) =
                if scene.fails_baking() { (Tone::Bad, scene.look.glyphs().fail) } else { (Tone::Good, scene.look.glyphs().pass) };
            let row = scene.row().add(tone, format!("{glyph} COMPLETED"));
            let row = match rollout.at {
                Some(at) => row.plain(format!(" {} ago", short(scene.age(at.since)))),
                None => row,
            };
            // The plan is done, the judging is not; where it fails, the reason says so.
            reason(match bakes(scene).filter(|_| !scene.fails_baking()) {
                Some(end) => row.plain(format!(", bakes for {}", short(figure::left(until(scene.now, end))))),
                None => row,
            })
        }
        Phase::Failed => reason(scene.row().add(Tone::Bad, format!("{} FAILED", scene.look.glyphs().fail))),
        Phase::Unknown(word) => reason(scene.row().add(Tone::Warn, format!("{} {word}", scene.look.glyphs().blind))),
    }
}

/// Until when stable has to prove itself, if that is not over.
fn bakes(scene: &Scene<'_>) -> Option<Time> {
    let stable = &scene.rollout.stable()?.version.id;
    match scene.rollout.versions.iter().find(|k| k.version.id == *stable)?.standing {
        Standing::Baking { until: end } if end > scene.now => Some(end),
        _ => None,
    }
}

/// What holds it, the worst first. The plan's own pause is no hold of equal rank: beside others it is
/// neither shown nor counted.
pub(super) fn holds<'a>(scene: &Scene<'a>) -> Vec<&'a Hold> {
    let holds = &scene.rollout.holds;
    let own = |hold: &&Hold| matches!(hold, Hold::Step { .. });
    let only = holds.iter().all(|h| own(&h));
    let mut holds: Vec<&Hold> = holds.iter().filter(|h| only || !own(h)).collect();
    holds.sort_by_key(|hold| rank(scene, hold));
    holds
}

/// A failed gate first, then the machine, then people, then what passes by itself.
fn rank(scene: &Scene<'_>, hold: &Hold) -> u8 {
    match hold {
        Hold::Gate { gate, .. }
            if scene.rollout.gates.iter().any(|g| g.id == *gate && (g.verdict.fails() || scene.rollout.has_failed(g))) =>
        {
            0
        }
        Hold::Stopped { .. } | Hold::Backend { .. } => 1,
        Hold::Manual { .. } | Hold::Freeze { .. } | Hold::Inconclusive { .. } => 2,
        Hold::Gate { .. } => 3,
        Hold::Step { .. } => 4,
    }
}

fn hold(scene: &Scene<'_>, hold: &Hold) -> Row {
    let tone = if rank(scene, hold) == 0 { Tone::Bad } else { Tone::Warn };
    // What passes by itself is no hold to a person.
    let held = scene.rollout.phase == Phase::Held;
    let row = if held { scene.row().add(tone, "HELD") } else { scene.row().add(Tone::Good, scene.look.glyphs().here) };
    match hold {
        Hold::Gate { gate, .. } => {
            let row = row.plain(if held { " gate " } else { " waits for gate " });
            row.name(Tone::Plain, gate.text().as_str(), if scene.roomy { 40 } else { 21 })
        }
        Hold::Manual { by, since, .. } => {
            let row = row.plain(format!(" by {} since {}", scene.cut(by, 24), figure::since(scene.now, *since)));
            // Under it the plan may wait for a person too, who is then asked twice.
            let asked = scene.rollout.holds.iter().any(|h| matches!(h, Hold::Step { until: None, .. }));
            if asked && held { row.plain(", at a pause") } else { row }
        }
        Hold::Step { until: Some(end), .. } if *end <= scene.now => row.plain(" pause is over: due"),
        Hold::Step { until: Some(end), .. } => row.plain(format!(" pause, {} left", short(figure::left(until(scene.now, *end))))),
        Hold::Step { until: None, .. } => row.plain(" pause until a person steps"),
        Hold::Freeze { reason, until: Some(end), .. } => {
            row.plain(format!(" frozen until {}: {}", figure::since(scene.now, *end), scene.cut(reason, 24)))
        }
        Hold::Freeze { reason, until: None, .. } => row.plain(format!(" frozen: {}", scene.cut(reason, 24))),
        Hold::Inconclusive { reason, .. } => row.plain(format!(" inconclusive: {}", scene.cut(reason, if scene.roomy { 80 } else { 40 }))),
        Hold::Stopped { reason, .. } => row.plain(format!(" after {}", scene.cut(reason, 30))),
        Hold::Backend { reason, .. } => row.plain(format!(" {reason}")),
    }
}

/// `run 7f3a, started by ana 02:41Z`.
pub(super) fn run(scene: &Scene<'_>) -> Option<Row> {
    let run = scene.rollout.run.as_ref()?;
    let row = scene.row().add(Tone::Dim, "run ").name(Tone::Plain, run.text().as_str(), 12);
    Some(match started(scene, 16) {
        Some(started) => row.plain(", ").join(started),
        None => row,
    })
}

/// `started by ana 02:41Z`, the name in at most `max` columns.
pub(super) fn started(scene: &Scene<'_>, max: usize) -> Option<Row> {
    Some(scene.row().add(Tone::Dim, "started ").join(by(scene, max)?))
}

/// `by ana 02:41Z`, where there is less room.
pub(super) fn by(scene: &Scene<'_>, max: usize) -> Option<Row> {
    let started = scene.rollout.started.as_ref()?;
    let at = figure::since(scene.now, started.at);
    Some(scene.row().add(Tone::Dim, "by ").name(Tone::Plain, started.by.as_str(), max).add(Tone::Dim, format!(" {at}")))
}
