//! The line above the footer: what the person must know now; else what became of their action; else
//! who acted last. And what was found wrong beside the signals.

use super::scene::Scene;
use crate::{
    app::state::Following,
    model::{
        action::{Observation, Outcome},
        time::elapsed,
    },
    ui::{
        figure::{long, since},
        look::Tone,
        row::Row,
        text::cut_end,
    },
};
use std::time::Duration;

/// A confirmed action is shown so long before the last action takes its place again.
const CONFIRMED_FOR: Duration = Duration::from_secs(10);

/// The line.
pub(super) fn row(scene: &Scene<'_>) -> Row {
    if let Some(notice) = &scene.state.notice {
        let (sign, tone) = if notice.bad { (scene.look.glyphs().fail, Tone::Bad) } else { (scene.look.glyphs().dot, Tone::Strong) };
        return scene.fit([scene.row().plain(" ").add(tone, format!("{sign} {}", notice.text))]);
    }
    if let Some(row) = scene.state.following.iter().rev().find_map(|f| follow(scene, f)) {
        return row;
    }
    let start = scene.line("last");
    let Some(last) = &scene.rollout.last else {
        let nobody = start.add(Tone::Dim, "nobody has acted yet");
        return scene.fit(with_others(scene, &[nobody]));
    };
    let by = scene.cut(&last.by, 24);
    let what = start.add(Tone::Strong, by).plain(format!(" {} {} ago", last.action.past(), long(scene.age(last.at))));
    let forms = if last.effect.is_empty() { vec![what] } else { vec![what.clone().plain(format!("; {}", last.effect)), what] };
    scene.fit(with_others(scene, &forms))
}

/// Each form with who else looks at this rollout, at the end those without.
fn with_others(scene: &Scene<'_>, forms: &[Row]) -> Vec<Row> {
    let present = &scene.rollout.present;
    let n = present.len();
    if n == 0 {
        return forms.to_vec();
    }
    let consoles = if n == 1 { "console" } else { "consoles" };
    let names: Vec<String> = present.iter().map(|p| scene.cut(&p.who, 20)).collect();
    let dot = scene.look.glyphs().dot;
    let all = format!(" {dot} {n} other {consoles}: {}", names.join(", "));
    let some = format!(" {dot} {n} other {consoles}");
    let with = |form: &Row, tail: &str| form.clone().plain(tail);
    let mut rows: Vec<Row> = forms.iter().map(|f| with(f, &all)).collect();
    rows.extend(forms.iter().map(|f| with(f, &some)));
    rows.extend(forms.iter().cloned());
    rows
}

/// `frozen by ana since 14:02Z until 16:00Z: stock-taking`.
pub(super) fn frozen(scene: &Scene<'_>) -> Option<Row> {
    let freeze = scene.rollout.frozen.as_ref()?;
    let end = freeze.until.map_or_else(|| "until it is lifted".to_owned(), |at| format!("until {}", since(scene.now, at)));
    let start = scene.labelled(Tone::Warn, "FROZEN");
    let by = scene.cut(&freeze.by, 24);
    let why = scene.look.plain(freeze.reason.as_str());
    let open = "; the way back and pause stay open";
    let long = format!("by {by} since {}, {end}: {why}", since(scene.now, freeze.since));
    let brief = format!("by {by} {end}: {why}");
    Some(scene.fit([start.clone().plain(format!("{long}{open}")), start.clone().plain(long), start.clone().plain(brief)]))
}

/// Whether somebody did something else since. Both times are the target's.
fn overtaken(scene: &Scene<'_>, following: &Following) -> bool {
    match (&following.outcome, &scene.rollout.last) {
        (Some(Outcome::Accepted { at, .. }), Some(last)) => last.at > *at && last.action != following.plan.action,
        _ => false,
    }
}

/// What became of an action that was sent; `None` once that is of no more interest.
fn follow(scene: &Scene<'_>, following: &Following) -> Option<Row> {
    if following.key != scene.rollout.key {
        return None;
    }
    let age = elapsed(scene.state.shared.now, following.sent);
    let glyphs = scene.look.glyphs();
    let (sign, tone, word, more) = match (&following.outcome, &following.seen) {
        (_, Some(Observation::Confirmed)) if age > CONFIRMED_FOR || overtaken(scene, following) => return None,
        (_, Some(Observation::Confirmed)) => (glyphs.pass, Tone::Good, "confirmed", String::new()),
        (_, Some(Observation::Contradicted { by })) => (glyphs.fail, Tone::Bad, "CONTRADICTED", format!(" by {by}")),
        (None, _) => (glyphs.to, Tone::Warn, "sent", format!(" {} ago, no answer yet", long(age))),
        (Some(Outcome::Refused { refusal }), _) => (glyphs.fail, Tone::Bad, "REFUSED", format!(": {refusal}")),
        (Some(Outcome::Partial { done, then }), _) => {
            (glyphs.fail, Tone::Bad, "PARTIAL", format!(" {done} of {} calls, then {then}", following.plan.calls.len()))
        }
        (Some(Outcome::Unknown { why, .. }), _) => (glyphs.blind, Tone::Warn, "UNKNOWN", format!(": {why}; looking, not sent again")),
        (Some(Outcome::Accepted { changed: false, .. }), _) => (glyphs.pass, Tone::Good, "already so", String::new()),
        (Some(Outcome::Accepted { .. }), Some(Observation::Pending { missing })) => {
            (glyphs.wait, Tone::Warn, "accepted", format!(", not yet: {missing}"))
        }
        (Some(Outcome::Accepted { .. }), None) => (glyphs.wait, Tone::Warn, "accepted", format!(" {} ago, not yet seen", long(age))),
    };
    let start = scene.row().plain(" ").add(tone, format!("{sign} {word}"));
    let title = following.plan.title.as_str();
    let verb = following.plan.action.verb();
    Some(scene.fit([start.clone().plain(format!(" {title}{more}")), start.clone().plain(format!(" {verb}{more}"))]))
}

/// `found  drift: … 3 min ago`, if something was found.
pub(super) fn finding(scene: &Scene<'_>) -> Option<Row> {
    let first = scene.rollout.findings.first()?;
    let more = scene.rollout.findings.len() - 1;
    let more = if more > 0 { format!(" +{more} more") } else { String::new() };
    // Of what was sent or written it stands there already.
    let age = if first.what.as_str().contains(" ago") { String::new() } else { format!(" {} ago", long(scene.age(first.since))) };
    let end = format!("{age}{more}");
    let start = scene.labelled(Tone::Warn, "found").add(Tone::Warn, first.kind.as_str()).plain(": ");
    let room = scene.width.saturating_sub(start.width() + end.len());
    Some(scene.fit([
        start.clone().plain(first.what.as_str()).plain(&end),
        start.plain(cut_end(&scene.look.plain(first.what.as_str()), room, &scene.look)).plain(&end),
    ]))
}
