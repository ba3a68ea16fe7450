//! The way back: the lamp before it is needed, the proof after it was taken.

use super::{
    health,
    scene::{Scene, instances},
};
use crate::{
    app::state::Following,
    model::{
        action::Action,
        back::{Check, CheckState, How, Measured, Proof},
        gate::GateState,
        rollout::Phase,
        signal::SignalId,
        time::{elapsed, until},
    },
    ui::{
        figure::{clock, clock_tenths, compact, left, long, measured},
        look::Tone,
        row::Row,
    },
};

/// The line, and a second one where something is still missing.
pub(super) fn rows(scene: &Scene<'_>) -> Vec<Row> {
    match &scene.rollout.proof {
        Some(proof) => proof_rows(scene, proof),
        None => vec![lamp(scene)],
    }
}

/// `BACK: programmed 0 %, last request on v42 at 03:12:09.4, SAFE in 27 s`.
fn proof_rows(scene: &Scene<'_>, proof: &Proof) -> Vec<Row> {
    let start = scene.row().plain(" ").add(Tone::Strong, "BACK:").plain(" ");
    let label = scene.label(&proof.left);
    let mut rows = match (proof.safe_since, proof.unproved_since) {
        (Some(since), _) => {
            let took = elapsed(since, proof.asked);
            let whose = if ours(scene) { "your key" } else { "it was asked for" };
            let took = if took.is_zero() { format!("from {whose} on") } else { format!("{} after {whose}", measured(took)) };
            let safe =
                start.clone().add(Tone::Good, format!("{} SAFE", scene.look.glyphs().pass)).plain(format!(" since {}", clock(since)));
            vec![scene.fit([
                safe.clone().plain(format!(" ({took}), no request on {label} since")),
                safe.clone().plain(format!(" ({took})")),
                safe,
            ])]
        }
        (None, Some(since)) => {
            let word = format!("{} ROUTED", scene.look.glyphs().wait);
            let routed = start.add(Tone::Warn, word).plain(format!(" since {}", clock(since)));
            return vec![scene.fit([
                routed.clone().plain(", not proved: no request has come since then; the first one proves it"),
                routed.clone().plain(", not proved: no request has come since"),
                routed.plain(", not proved"),
            ])];
        }
        (None, None) => {
            let programmed = proof
                .programmed
                .percent()
                .map_or_else(|| "?".into(), |p| if p > 0.0 { crate::ui::figure::percent(p / 100.0) } else { "0 %".into() });
            let tone = if proof.programmed.parts == 0 { Tone::Good } else { Tone::Warn };
            let head = start.clone().plain("programmed ").add(tone, programmed);
            let last = match proof.last_request {
                Some(at) => format!(", last request on {label} at {}", clock_tenths(at)),
                None => format!(", no request ever on {label}"),
            };
            let short_last = proof.last_request.map_or_else(|| ", no request".into(), |at| format!(", last request {}", clock(at)));
            let safe = match proof.safe_at.filter(|_| scene.stale.is_none()) {
                Some(at) => scene.row().plain(", ").add(Tone::Warn, format!("SAFE in {}", long(left(until(scene.now, at))))),
                None => scene.row().plain(", ").add(Tone::Warn, "not SAFE yet"),
            };
            vec![scene.fit([
                head.clone().plain(last).join(safe.clone()),
                head.clone().plain(short_last).join(safe.clone()),
                head.join(safe),
            ])]
        }
    };
    rows.extend(missing(scene, proof));
    rows
}

/// What is still not true.
fn missing(scene: &Scene<'_>, proof: &Proof) -> Option<Row> {
    let mut parts: Vec<String> = proof.missing.iter().map(ToString::to_string).collect();
    if parts.len() == 1 && proof.safe_at.is_some_and(|at| at > scene.now) && scene.stale.is_none() {
        // Only time: the line above counts it down.
        return None;
    }
    if parts.is_empty() && proof.safe_since.is_none() {
        // Known without being told.
        let counted =
            [(proof.requests_after, "after the switch"), (proof.in_flight, "in flight"), (proof.upgraded, "upgraded connections open")];
        parts.extend(counted.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", compact(n))));
    }
    let first = parts.first()?;
    let start = scene.row().plain(" ".repeat(super::scene::CONTENT)).add(Tone::Warn, "not yet: ");
    let more = if parts.len() > 1 { format!(" +{} more", parts.len() - 1) } else { String::new() };
    let room = scene.width.saturating_sub(start.width() + more.len());
    Some(scene.fit([
        start.clone().plain(parts.join(&format!(" {} ", scene.look.glyphs().dot))),
        start.name(Tone::Plain, first, room).plain(more),
    ]))
}

/// Whether the way back was our own.
fn ours(scene: &Scene<'_>) -> bool {
    let back = |f: &Following| f.key == scene.rollout.key && matches!(f.plan.action, Action::Back { .. });
    scene.state.following.iter().any(back)
}

/// The lamp, and why going back is not safe, if a version says so: shown, never blocking.
fn lamp(scene: &Scene<'_>) -> Row {
    let row = checked(scene);
    let to = scene.rollout.back.to.as_ref();
    let left = [scene.right, scene.left].into_iter().flatten().find(|t| Some(&t.version.id) != to.map(|v| &v.id));
    let Some(why) = left.and_then(|t| t.version.back_unsafe.as_ref()).filter(|_| to.is_some()) else { return row };
    if matches!(scene.rollout.back.how, How::Already { .. } | How::None { .. }) {
        return row;
    }
    let warn = |why: &str| scene.row().plain(if scene.roomy { "   " } else { "  " }).add(Tone::Warn, format!("UNSAFE {why}").trim_end());
    let whole = row.clone().join(warn(why.as_str()));
    if whole.width() <= scene.width {
        return whole;
    }
    // The warning stays when there is no room for every figure.
    let short = warn(&scene.cut(why, if scene.roomy { 32 } else { 20 }));
    let narrow = Scene { width: scene.width.saturating_sub(short.width()), others: Vec::new(), ..*scene };
    checked(&narrow).join(short)
}

/// `READY ~1 s (worst 2 of 37) 1188/1200 ok 20 s ago`.
fn checked(scene: &Scene<'_>) -> Row {
    let back = &scene.rollout.back;
    let start = scene.labelled(Tone::Strong, "BACK");
    match &back.how {
        How::None { why } => return scene.fit([start.add(Tone::Warn, "NOWHERE").plain(format!(": {why}"))]),
        How::Already { since } => {
            let to = back.to.as_ref().map(|v| format!(" on {}", scene.label(v))).unwrap_or_default();
            let then = back.then.as_ref().map(|v| format!("; then {v} starts, R calls it off")).unwrap_or_default();
            // It was asked for, and is not so yet: a pause by hand can keep it from ever being so.
            if scene.rollout.phase == Phase::Reverting {
                return scene.fit([start.add(Tone::Warn, "on its way back").plain(format!("{to} since {}{then}", clock(*since)))]);
            }
            return scene.fit([start.add(Tone::Good, "already back").plain(format!("{to} since {}{then}", clock(*since)))]);
        }
        How::Switch | How::Redeploy { .. } => {}
    }
    let bad = back.checks.iter().filter(|c| c.state == CheckState::Bad);
    let unknown = back.checks.iter().filter(|c| c.state == CheckState::Unknown);
    let open: Vec<&Check> = bad.chain(unknown).collect();
    if let Some(silent) = scene.stale {
        // One of the things it needs is the host itself.
        let silent = long(silent);
        let was = if back.is_ready() { "was READY, " } else { "" };
        return scene.fit([start
            .add(Tone::Warn, format!("{} NOT KNOWN", scene.look.glyphs().blind))
            .plain(format!(" {was}no news for {silent}; back is tried all the same"))]);
    }
    let row = match open.first() {
        Some(worst) if worst.state == CheckState::Bad => start.add(Tone::Bad, format!("{} NOT READY", scene.look.glyphs().fail)),
        Some(_) => start.add(Tone::Warn, "NOT CHECKED"),
        None if back.checks.is_empty() => start.add(Tone::Warn, "NOT CHECKED"),
        None => start.add(Tone::Good, "READY"),
    };
    if let Some(worst) = open.first() {
        let more = if open.len() > 1 { format!(" +{} more", open.len() - 1) } else { String::new() };
        let age = long(scene.age(worst.at));
        let said = if worst.detail.is_empty() { "not looked at yet" } else { worst.detail.as_str() };
        let said = format!(" {}: {said}", worst.name);
        let room = |end: usize| scene.width.saturating_sub(row.width() + end);
        let end = format!(" {age} ago{more}");
        return scene.fit([row.clone().plain(&said).plain(&end), row.clone().name(Tone::Plain, &said, room(end.len())).plain(&end)]);
    }
    let row = row.plain(if matches!(back.how, How::Redeploy { .. }) { " by re-deploy" } else { "" });
    // What is made on the way costs time, and nothing else.
    if let Some(partly) = back.checks.iter().find(|c| c.state == CheckState::Partly).filter(|_| scene.stable_sick().is_none()) {
        let time = estimate(back.measured, true);
        let with = |row: Row| row.plain(", ").add(Tone::Warn, partly.detail.as_str());
        return scene.fit([
            with(row.clone().plain(&time)),
            with(row.clone()),
            row.plain(", ").name(Tone::Warn, partly.detail.as_str(), 20),
        ]);
    }
    if let Some(gate) = scene.stable_sick() {
        return unhelpful(scene, &row, gate);
    }
    ready(scene, &row)
}

/// Going back will not help: stable is sick, alone or as the candidate is.
fn unhelpful(scene: &Scene<'_>, row: &Row, gate: &GateState) -> Row {
    let (signal, too) = (gate.signal, if gate.verdict.fails_both() { " too" } else { "" });
    let seen = if signal == SignalId::Slow { SignalId::P99 } else { signal };
    let stable = scene.left.map(|t| health::value(scene, t, seen).0).unwrap_or_default();
    let what = match signal {
        SignalId::Errors => format!("stable fails {stable}{too}"),
        SignalId::Unavailable => format!("stable is not available{}", if too.is_empty() { "" } else { " either" }),
        signal => format!("stable's {} is bad{too}: {stable}", signal.word()),
    };
    let time = estimate(scene.rollout.back.measured, true);
    scene.fit([
        row.clone().plain(&time).plain(", but ").add(Tone::Warn, format!("going back will not help: {what}")),
        row.clone().plain(", but ").add(Tone::Warn, format!("going back will not help: {what}")),
        row.clone().plain(", ").add(Tone::Warn, format!("will not help: {what}")),
    ])
}

fn ready(scene: &Scene<'_>, row: &Row) -> Row {
    let back = &scene.rollout.back;
    let oldest = back.checks.iter().map(|c| c.at).min().map(|at| long(scene.age(at)));
    let target = back.to.as_ref();
    let warm = target.and_then(|v| scene.track_of(v)).and_then(instances);
    let artifact = back.checks.iter().find(|c| c.name.as_str() == "artifact").map(|c| long(scene.age(c.at)));
    let skipped = match back.how {
        How::Redeploy { steps: steps @ 1.. } => format!(", {steps} step{} skipped", if steps == 1 { "" } else { "s" }),
        _ => String::new(),
    };
    let narrow = |warmth: bool| {
        let warm = warm.filter(|_| warmth).map(|i| format!(" {}/{}", i.ready, i.desired)).unwrap_or_default();
        let age = oldest.as_ref().map(|age| format!(" ok {age} ago")).unwrap_or_default();
        format!("{warm}{age}")
    };
    let roomy = scene.roomy.then(|| {
        let warm = warm.map(|i| format!("   {} of {} warm", i.ready, i.desired)).unwrap_or_default();
        let verified = match (target, &artifact) {
            (Some(version), Some(age)) => format!(", {} verified {age} ago", scene.cut(&version.short_digest(), 12)),
            _ => oldest.as_ref().map(|age| format!(", checked {age} ago")).unwrap_or_default(),
        };
        row.clone().plain(estimate(back.measured, false)).plain(&skipped).plain(warm).plain(verified)
    });
    let timed = row.clone().plain(estimate(back.measured, true)).plain(&skipped);
    // The time is worth more than how fresh the checks are, where it is long.
    let slow = matches!(back.how, How::Redeploy { .. }).then(|| {
        let time = back.measured.map(|m| format!(" ~{}", measured(m.usual.unwrap_or(m.worst)))).unwrap_or_default();
        let brief = row.clone().plain(time);
        [timed.clone(), brief.clone().plain(&skipped), brief]
    });
    let forms = [timed.clone().plain(narrow(true)), timed.plain(narrow(false))];
    scene.fit(roomy.into_iter().chain(forms).chain(slow.into_iter().flatten()).chain([row.clone().plain(narrow(false))]))
}

/// How long it took so far; nothing where that was never measured.
fn estimate(took: Option<Measured>, narrow: bool) -> String {
    let Some(Measured { usual, worst, n }) = took else { return String::new() };
    let worst = measured(worst);
    match (usual.map(measured), narrow) {
        (Some(usual), true) => {
            format!(" ~{usual} (worst {} of {n})", if usual.ends_with(" s") { worst.trim_end_matches(" s") } else { &worst })
        }
        (Some(usual), false) => format!(" about {usual} (worst {worst} of {n})"),
        (None, _) => format!(" (worst {worst} of {n})"),
    }
}
