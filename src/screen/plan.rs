//! The plan as a strip, and what happens next.

use super::scene::Scene;
use crate::{
    model::{ratio::Weight, rollout::Phase, step::StepSpec, time::until},
    ui::{figure, look::Tone, row::Row},
};

/// The plan: what is done collapses, then steps drop from the far end; current, next and last stay.
pub(super) fn strip(scene: &Scene<'_>) -> Row {
    let rollout = scene.rollout;
    let mut labels: Vec<String> = rollout.steps.iter().map(|s| s.label.to_string()).collect();
    match (&rollout.phase, labels.is_empty()) {
        (Phase::Idle, true) => {
            let service = scene.cut(&rollout.key.service.text(), 40);
            return scene.fit([scene.line("plan").plain(format!("to begin: cutover deploy {service} ARTIFACT"))]);
        }
        (_, _) if scene.first() => return scene.line("plan").plain("no steps: 100 % when it is ready"),
        (_, true) => return scene.line("plan").add(Tone::Dim, "no steps"),
        _ => {}
    }
    // 100 % follows by itself and is no step unless it was written as one.
    if !rollout.steps.iter().any(|s| s.spec == StepSpec::Weight(Weight::FULL)) {
        labels.push(Weight::FULL.to_string());
    }
    let finished = rollout.phase == Phase::Completed;
    let done = if finished { labels.len() } else { rollout.at.map_or(0, |at| at.index.min(labels.len())) };
    // The most steps after the current one that fit: the last stays, what is before it drops.
    let ahead = labels.len().saturating_sub(done + 1);
    let shown = |middle: usize| form(scene, &labels, done, middle);
    scene.fit((0..=ahead.saturating_sub(1)).rev().map(shown))
}

/// The strip with only so many steps between the current one and the last.
fn form(scene: &Scene<'_>, labels: &[String], done: usize, middle: usize) -> Row {
    let glyphs = scene.look.glyphs();
    let gap = if scene.roomy { format!(" {} ", glyphs.across) } else { " ".into() };
    let mut row = scene.line("plan");
    let mut first = true;
    let mut next = |row: Row, gap: &str| {
        let gap = if std::mem::take(&mut first) { "" } else { gap };
        row.add(Tone::Dim, gap)
    };
    // The last one that is done stands by itself where there is room, and at the end.
    let single = usize::from(scene.roomy || done == labels.len());
    if done > single {
        row = next(row, &gap).add(Tone::Good, glyphs.pass).plain(format!(" {} done", done - single));
    }
    if done > 0 && single > 0 {
        let label = labels.get(done - 1).map(String::as_str).unwrap_or_default();
        row = next(row, &gap).add(Tone::Good, glyphs.pass).plain(format!(" {label}"));
    }
    let (current, tone, sign) = match scene.rollout.phase {
        Phase::Reverting | Phase::Reverted | Phase::Failed => (false, Tone::Bad, glyphs.fail),
        _ => (scene.rollout.at.is_some(), Tone::Strong, glyphs.here),
    };
    let last = labels.len().saturating_sub(1);
    for (i, label) in labels.iter().enumerate().skip(done) {
        let dropped = i > done + middle.max(1) && i < last;
        if dropped {
            if i == done + middle.max(1) + 1 {
                row = next(row, &gap).add(Tone::Dim, glyphs.cut);
            }
            continue;
        }
        let arrow = format!(" {} ", glyphs.to);
        row = next(row, if i == last && i > 0 && !scene.roomy { &arrow } else { &gap });
        row = match (i == done, current, scene.roomy) {
            (true, true, false) => row.add(tone, format!("[{label}]")),
            (true, true, true) | (true, false, _) if scene.rollout.at.is_some() => row.add(tone, format!("{sign} {label}")),
            // What will not happen any more.
            _ if tone == Tone::Bad => row.add(Tone::Dim, label),
            _ => row.plain(label),
        };
    }
    row
}

/// What happens next, when, and by whom.
pub(super) fn next(scene: &Scene<'_>) -> Row {
    let next = &scene.rollout.next;
    let start = scene.line("next");
    if next.what.is_empty() {
        return start.add(Tone::Dim, figure::UNKNOWN);
    }
    // Gates that are waited for are counted in what is said.
    let holds = super::status::holds(scene).len();
    let held = scene.roomy && holds > 1 && scene.rollout.phase == Phase::Held;
    let held = if held { format!(" (the first of {holds} holds)") } else { String::new() };
    // What it is, and after a colon what follows from it.
    let (what, follows) = next.what.as_str().split_at(next.what.as_str().find(": ").unwrap_or(next.what.as_str().len()));
    let when = match next.at {
        // Nobody knows whether it still comes.
        Some(at) if scene.stale.is_some() => format!(" at {}Z", figure::clock(at)),
        Some(at) if at > scene.now => {
            let left = figure::long(figure::left(until(scene.now, at)));
            match next.by.as_str() {
                // Under a condition the time is an estimate.
                "plan" if what.contains(" when ") => format!(", in about {left}"),
                "plan" => format!(" by itself in {left}"),
                _ => format!(" in {left}"),
            }
        }
        Some(_) => " now".into(),
        None => String::new(),
    };
    let by = match next.by.as_str() {
        "nobody" if follows.is_empty() && !what.starts_with("nothing") => ": nothing moves by itself",
        "a person" if follows.is_empty() && !what.contains(';') => ": a person decides",
        _ => "",
    };
    let end = format!("{when}{follows}{by}");
    let room = scene.width.saturating_sub(start.width() + crate::ui::text::width(&end));
    let preview = scene.right.and_then(|t| t.preview.as_ref()).filter(|_| scene.roomy);
    let preview = preview.map(|at| format!("; preview at {}", scene.look.plain(at.as_str()))).unwrap_or_default();
    scene.fit([
        start.clone().plain(what).plain(format!("{held}{end}{preview}")),
        start.clone().plain(what).plain(format!("{held}{end}")),
        start.clone().plain(what).plain(&end),
        // What is missing stands in the line of gates, too.
        start.clone().plain(what).plain(format!("{when}{by}")),
        start.clone().name(Tone::Plain, what, room.max(12)).plain(&end),
    ])
}
