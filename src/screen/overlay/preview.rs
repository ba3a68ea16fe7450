//! An action before it is sent: what it does to whom, the exact calls, and how to confirm. It wraps
//! and never cuts.

use super::{Sheet, wrapped};
use crate::{
    app::state::{Also, Confirm, Preview, State},
    model::{
        action::{Action, Call, Guard, Plan},
        ident::Key,
        rollout::Rollout,
        version::Version,
    },
    screen::{Extras, header::identity},
    ui::{figure, look::Tone, row::Row},
};

/// Rows of the screen that stay in view beside what is a convenience only.
const FIGURES: usize = 17;

/// The preview as a sheet of `width` columns. The bodies of calls are shown where `rows` leave room for
/// them and for the figures above the sheet.
pub(super) fn sheet(state: &State, extras: &Extras<'_>, preview: &Preview, width: usize, rows: usize) -> Sheet {
    let rollout = state.shared.rollouts.get(&preview.key).map(|w| &w.rollout);
    let end = confirm(state, extras, preview, width);
    if !preview.also.is_empty() {
        let mut lines = several(state, preview, width);
        let keep = end.len();
        lines.extend(end);
        return Sheet { bar: several_bar(preview), lines, keep };
    }
    let mut lines = body(state, preview, width, true);
    if lines.len() + end.len() + FIGURES > rows {
        lines = body(state, preview, width, false);
    }
    let keep = end.len();
    lines.extend(end);
    Sheet { bar: bar(state, preview, rollout), lines, keep }
}

/// `step on 3 of 4 that are marked`.
fn several_bar(preview: &Preview) -> String {
    let planned = 1 + preview.also.iter().filter(|a| a.plan.is_ok()).count();
    let verb = match preview.plan.action {
        Action::Back { .. } => "BACK".to_owned(),
        ref action => action.verb().to_uppercase(),
    };
    format!("{verb} on {planned} of {} that are marked", 1 + preview.also.len())
}

/// Every rollout that is marked, with its plan or why there is none.
fn several(state: &State, preview: &Preview, width: usize) -> Vec<Row> {
    let mut lines = Vec::new();
    if let Some(meanwhile) = &preview.meanwhile {
        lines.extend(wrapped(state, Tone::Warn, meanwhile.as_str(), 2, width));
    }
    let mut planned = |key: &Key, plan: &Plan| {
        let title = format!("{}  {}", identity(key, usize::MAX, &state.look), plan.title);
        lines.extend(wrapped(state, Tone::Strong, &title, 2, width));
        for warn in &plan.warns {
            lines.extend(wrapped(state, Tone::Warn, &format!("  ! {warn}"), 4, width));
        }
    };
    planned(&preview.key, &preview.plan);
    let mut refused = Vec::new();
    for Also { key, plan, .. } in &preview.also {
        match plan {
            Ok(plan) => planned(key, plan),
            Err(why) => refused.push((key, why)),
        }
    }
    for (key, why) in refused {
        let text = format!("{}  not: {why}", identity(key, usize::MAX, &state.look));
        lines.extend(wrapped(state, Tone::Dim, &text, 2, width));
    }
    let calls: usize =
        preview.plan.calls.len() + preview.also.iter().filter_map(|a| a.plan.as_ref().ok()).map(|p| p.calls.len()).sum::<usize>();
    let text = format!("{calls} calls, each with its own guard: what moved on one withdraws all");
    lines.extend(wrapped(state, Tone::Dim, &text, 2, width));
    lines
}

/// `prod/checkout   77ab04c1d203 → 9f2c41aa0b11`: from digest to digest.
fn bar(state: &State, preview: &Preview, rollout: Option<&Rollout>) -> String {
    let name = identity(&preview.key, usize::MAX, &state.look).replace('/', " / ");
    let Some(rollout) = rollout else { return name };
    let stable = rollout.stable().map(|t| &t.version);
    let candidate = rollout.candidate().map(|t| &t.version);
    let (from, to) = match preview.plan.action {
        Action::Back { .. } => (candidate.or(stable), rollout.back.to.as_ref().or(stable)),
        Action::Undo { ref to } | Action::Taint { version: ref to } => {
            let known = rollout.versions.iter().find(|k| k.version.id == *to).map(|k| &k.version);
            if matches!(preview.plan.action, Action::Undo { .. }) { (stable, known) } else { (known, None) }
        }
        _ => (stable, candidate),
    };
    let digest = |version: Option<&Version>| version.map(|v| v.short_id().to_string()).unwrap_or_default();
    match (digest(from), digest(to)) {
        (from, to) if to.is_empty() => format!("{name}   {from}"),
        (from, to) if from.is_empty() => format!("{name}   {} {to}", state.look.glyphs().to),
        (from, to) => format!("{name}   {from} {} {to}", state.look.glyphs().to),
    }
}

fn body(state: &State, preview: &Preview, width: usize, bodies: bool) -> Vec<Row> {
    let plan = &preview.plan;
    let glyphs = state.look.glyphs();
    let mut lines = Vec::new();
    if let Some(meanwhile) = &preview.meanwhile {
        lines.extend(wrapped(state, Tone::Warn, meanwhile.as_str(), 2, width));
    }
    lines.extend(wrapped(state, Tone::Strong, plan.title.as_str(), 2, width));
    // What stays as it is needs no line.
    for shift in plan.weights.iter().filter(|s| s.before != s.after) {
        let moves = format!("{}  {} {} {}", shift.version, shift.before, glyphs.to, shift.after);
        lines.extend(wrapped(state, Tone::Plain, &moves, 2, width));
    }
    for warn in &plan.warns {
        lines.extend(wrapped(state, Tone::Warn, &format!("! {warn}"), 2, width));
    }
    for note in &plan.notes {
        lines.extend(wrapped(state, Tone::Plain, &format!("{} {note}", glyphs.dot), 2, width));
    }
    for (i, call) in plan.calls.iter().enumerate() {
        lines.extend(wrapped(state, Tone::Dim, &written(i + 1, call, bodies), 2, width));
    }
    if let Some(takes) = plan.takes {
        lines.extend(wrapped(state, Tone::Plain, &format!("takes about {}", figure::measured(takes)), 2, width));
    }
    lines
}

/// One call in words: `1 POST /v1/actions {…} only if run is 7f3a`.
fn written(n: usize, call: &Call, body: bool) -> String {
    let mut text = format!("{n} {} {}", call.verb, call.path.text());
    if body && !call.body.is_null() {
        text.push_str(&format!(" {}", crate::model::text::Text::clean(&call.body.to_string())));
    }
    match &call.guard {
        Guard::Facts(facts) if !facts.is_empty() => {
            let facts: Vec<String> = facts.iter().map(|f| format!("{} is {}", f.name, f.is.text())).collect();
            text.push_str(&format!(" only if {}", facts.join(", ")));
        }
        Guard::Facts(_) => {}
        Guard::ReadBack => text.push_str(", read back afterwards"),
    }
    text
}

/// How to confirm, or why it cannot be any more; and what was said about the last key.
fn confirm(state: &State, extras: &Extras<'_>, preview: &Preview, width: usize) -> Vec<Row> {
    if let Some(why) = &preview.withdrawn {
        let mut lines = wrapped(state, Tone::Bad, &format!("WITHDRAWN: {why}"), 2, width);
        lines.extend(wrapped(state, Tone::Strong, "nothing was sent and nothing will be; esc closes", 2, width));
        return lines;
    }
    let mut lines = Vec::new();
    let here = state.look.glyphs().here;
    match &preview.confirm {
        Confirm::Key { letter, .. } => {
            let keys = if *letter { format!("{} again, or enter, sends it", extras.back_key) } else { "enter sends it".into() };
            lines.extend(wrapped(state, Tone::Strong, &format!("{here} {keys}; any other key: nothing is sent"), 2, width));
        }
        Confirm::Never => {
            lines.extend(wrapped(state, Tone::Strong, "this target is read-only: nothing can be sent; any key closes", 2, width))
        }
        Confirm::Typed { expected, typed } => {
            let second = preview.plan.notes.iter().any(|n| n.as_str().starts_with("reason: "));
            let which = if second { "2 of 2, the reason is taken: " } else { "" };
            lines.extend(typing(state, which, expected, typed, width));
        }
        Confirm::Reason { ready, chosen, typed, then_typed } => {
            let first = if then_typed.is_some() { "1 of 2: why? choose with the arrows, or type it; enter takes it" } else { "why?" };
            lines.extend(wrapped(state, Tone::Strong, first, 2, width));
            for (i, reason) in ready.iter().enumerate() {
                let (sign, tone) = if i == *chosen { (here, Tone::Strong) } else { (" ", Tone::Plain) };
                lines.extend(wrapped(state, tone, &format!("{sign} {reason}"), 2, width));
            }
            let (sign, tone) = if *chosen >= ready.len() { (here, Tone::Strong) } else { (" ", Tone::Dim) };
            lines.extend(wrapped(state, tone, &format!("{sign} other: {}_", clean(typed)), 2, width));
            match then_typed {
                Some((expected, _)) => {
                    let then = format!("2 of 2, after that: type {} and enter   esc: nothing is sent", clean(expected));
                    lines.extend(wrapped(state, Tone::Dim, &then, 2, width));
                }
                None => lines.extend(wrapped(state, Tone::Strong, "enter sends it with this reason; esc: nothing is sent", 2, width)),
            }
        }
    }
    if let Some(hint) = &preview.hint {
        lines.extend(wrapped(state, Tone::Warn, hint.as_str(), 2, width));
    }
    lines
}

fn typing(state: &State, which: &str, expected: &str, typed: &str, width: usize) -> Vec<Row> {
    let here = state.look.glyphs().here;
    let text = format!("{here} {which}type {} then enter: {}_   esc: nothing is sent", clean(expected), clean(typed));
    wrapped(state, Tone::Strong, &text, 2, width)
}

fn clean(text: &str) -> String {
    crate::model::text::Text::clean(text).to_string()
}
