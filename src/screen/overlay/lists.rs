//! Sheets that are lists: help, actions, connections.

use super::{Sheet, wrapped};
use crate::{
    app::state::State,
    model::{
        backend::Backend,
        ident::TargetId,
        time::{Time, elapsed, until},
    },
    runtime::Link,
    screen::Extras,
    ui::{
        figure::{left, long},
        look::Tone,
        row::Row,
        text,
    },
};
use std::collections::BTreeMap;

/// Every command with its keys, from line `first` on.
pub(super) fn help(state: &State, bar: &str, of: &[(String, String)], first: usize, width: usize, rows: usize) -> Sheet {
    let keys = of.iter().map(|(keys, _)| text::width(keys)).max().unwrap_or(0).min(width / 3);
    let mut lines: Vec<Row> = Vec::new();
    for (key, doc) in of {
        // A line without keys is a heading.
        let margin = if key.is_empty() { 1 } else { keys + 3 };
        let docs = text::wrap(&state.look.plain(doc), width.saturating_sub(margin).max(1));
        let docs = if docs.is_empty() { vec![String::new()] } else { docs };
        for (i, doc) in docs.into_iter().enumerate() {
            let row = Row::new(state.look).plain(" ");
            lines.push(match (key.is_empty(), i) {
                (true, _) => row.add(Tone::Strong, doc),
                (false, 0) => row.name(Tone::Strong, key, keys).pad(margin).plain(doc),
                (false, _) => row.pad(margin).plain(doc),
            });
        }
    }
    let shown = rows.saturating_sub(1).max(1);
    let first = first.min(lines.len().saturating_sub(shown));
    let total = lines.len();
    let mut lines: Vec<Row> = lines.into_iter().skip(first).take(shown).collect();
    let place = if total > shown { format!("lines {}-{} of {total}; j k move; ", first + 1, first + lines.len()) } else { String::new() };
    lines.push(Row::new(state.look).plain(" ").add(Tone::Dim, format!("{place}esc closes")).cut(width + 1));
    Sheet { bar: bar.into(), lines, keep: 1 }
}

/// Every action with what it does; where it is off, why. The first row is none. Reasons are never cut where there
/// are lines for them: the chosen one's has them first.
pub(super) fn actions(state: &State, extras: &Extras<'_>, chosen: usize, width: usize, rows: usize) -> Sheet {
    let shown = rows.saturating_sub(1).max(1);
    let whole = action_lines(state, extras, chosen, width, |_| true);
    let fits = whole.iter().map(Vec::len).sum::<usize>() <= shown;
    let items = if fits { whole } else { action_lines(state, extras, chosen, width, |i| i == chosen) };
    // The chosen row stays in view.
    let end: usize = items.iter().take(chosen + 1).map(Vec::len).sum();
    let lines: Vec<Row> = items.into_iter().flatten().collect();
    let skip = end.saturating_sub(shown).min(lines.len().saturating_sub(shown));
    let mut lines: Vec<Row> = lines.into_iter().skip(skip).take(shown).collect();
    lines.push(Row::new(state.look).plain(" ").add(Tone::Dim, "enter opens its preview; esc closes"));
    Sheet { bar: "ACTIONS".into(), lines, keep: 1 }
}

/// The lines of each action, after the row that is none; what does not wrap is cut.
fn action_lines(state: &State, extras: &Extras<'_>, chosen: usize, width: usize, wraps: impl Fn(usize) -> bool) -> Vec<Vec<Row>> {
    let row = |i: usize| {
        let mark = if i == chosen { state.look.glyphs().here } else { " " };
        let tone = if i == chosen { Tone::Strong } else { Tone::Plain };
        (Row::new(state.look).plain(" ").add(Tone::Strong, mark).plain(" "), tone)
    };
    let labels = extras.actions.iter().map(|a| text::width(&a.label)).max().unwrap_or(0).min(width / 3);
    let keys = extras.actions.iter().map(|a| text::width(&a.key)).max().unwrap_or(0).min(12);
    let said = 3 + keys + 2 + labels + 2;
    let room = (width + 1).saturating_sub(said).max(1);
    let (first, tone) = row(0);
    let mut items = vec![vec![first.add(tone, "do nothing")]];
    for (i, action) in extras.actions.iter().enumerate() {
        let (line, tone) = row(i + 1);
        let (tone, said_tone, what) = match &action.off {
            Some(why) => (Tone::Dim, Tone::Warn, format!("off: {why}")),
            None => (tone, Tone::Dim, action.doc.to_owned()),
        };
        let start = line.name(Tone::Strong, &action.key, keys).pad(3 + keys + 2).name(tone, &action.label, labels).pad(said);
        let what = state.look.plain(&what);
        let pieces = if wraps(i + 1) { text::wrap(&what, room) } else { vec![text::cut_end(&what, room, &state.look).into_owned()] };
        let mut pieces = pieces.into_iter();
        let first = start.add(said_tone, pieces.next().unwrap_or_default()).cut(width + 1);
        let more = pieces.map(|piece| Row::new(state.look).pad(said).add(said_tone, piece).cut(width + 1));
        items.push(std::iter::once(first).chain(more).collect());
    }
    items
}

/// `; its clock is 3 min ahead of ours`, where that is so: times on the screen are the target's.
fn skew(state: &State, target: &TargetId) -> String {
    let Some(by) = state.shared.skews.get(target) else { return String::new() };
    let way = if by.num_milliseconds() > 0 { "ahead of" } else { "behind" };
    format!("; its clock is {} {way} ours", long(by.abs().to_std().unwrap_or_default()))
}

/// The metrics backends that the rollouts of a target are measured by, each as it was met last.
fn backends<'a>(state: &'a State, target: &TargetId) -> impl Iterator<Item = &'a Backend> {
    let mut all: BTreeMap<&str, (Time, &Backend)> = BTreeMap::new();
    for watched in state.shared.rollouts.values().filter(|w| w.rollout.key.target == *target) {
        let Some(backend) = watched.rollout.measured.as_ref().and_then(|m| m.backend.as_ref()) else { continue };
        let newest = all.entry(backend.place.as_str()).or_insert((watched.heard, backend));
        if watched.heard > newest.0 {
            *newest = (watched.heard, backend);
        }
    }
    all.into_values().map(|(_, backend)| backend)
}

/// How each source is connected, and since when; below it, how the metrics backend is that its gates rest on.
pub(super) fn connections(state: &State, width: usize) -> Sheet {
    let now = state.shared.now;
    let glyphs = state.look.glyphs();
    let mut lines = Vec::new();
    let mut links: Vec<_> = state.shared.links.iter().collect();
    // What is wrong first.
    links.sort_by_key(|(_, link)| match link {
        Link::Denied { .. } => 0,
        Link::Stale { .. } => 1,
        Link::Connecting { .. } => 2,
        Link::Live { .. } => 3,
    });
    for (target, link) in links {
        let (tone, sign, what) = match link {
            Link::Live { since } => (Tone::Good, glyphs.pass, format!("live for {}", long(elapsed(now, *since)))),
            Link::Stale { since } => (Tone::Bad, glyphs.fail, format!("STALE, silent for {}", long(elapsed(now, *since)))),
            Link::Denied { what, since } => (Tone::Bad, glyphs.fail, format!("DENIED for {}: {what}", long(elapsed(now, *since)))),
            Link::Connecting { attempt, next_at, last } => {
                let again = long(left(until(now, *next_at)));
                let why = last.as_ref().map(|f| format!("; last: {f}")).unwrap_or_default();
                (Tone::Warn, glyphs.wait, format!("connecting, attempt {attempt}, next in {again}{why}"))
            }
        };
        lines.extend(wrapped(state, tone, &format!("{sign} {} {what}{}", target.text(), skew(state, target)), 2, width));
        lines.extend(backends(state, target).flat_map(|backend| {
            let (tone, sign) = match (&backend.trouble, backend.answers) {
                (Some(_), _) => (Tone::Bad, glyphs.fail),
                (None, Some(_)) => (Tone::Good, glyphs.pass),
                (None, None) => (Tone::Warn, glyphs.wait),
            };
            wrapped(state, tone, &format!("  {sign} {}", backend.line(state.shared.there(target))), 4, width)
        }));
    }
    if lines.is_empty() {
        lines.push(Row::new(state.look).plain(" ").add(Tone::Warn, "no source is configured"));
    }
    lines.push(Row::new(state.look).plain(" ").add(Tone::Dim, "esc closes"));
    Sheet { bar: "CONNECTIONS".into(), lines, keep: 1 }
}
