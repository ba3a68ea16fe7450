//! What is shown while no rollout is open: why, and what to do.

use crate::{
    app::state::State,
    model::time::elapsed,
    runtime::{Fault, Link},
    ui::{
        figure::{clock, long},
        look::Tone,
        row::Row,
        text,
    },
};
use ratatui::{buffer::Buffer, layout::Rect};

/// Draws it.
pub(super) fn draw(state: &State, area: Rect, buf: &mut Buffer) {
    let width = usize::from(area.width.saturating_sub(1));
    let row = || Row::new(state.look);
    let head = row().plain(" ").add(Tone::Strong, "cutover").plain("   ").plain(format!("{}Z", clock(state.shared.now)));
    let mut rows = vec![head.cut(width), row()];
    let mut say = |tone: Tone, line: &str| {
        for line in text::wrap(&state.look.plain(line), width.saturating_sub(2)) {
            rows.push(row().plain(" ").add(tone, line));
        }
    };
    for line in why(state) {
        say(line.0, &line.1);
    }
    for (row, y) in rows.iter().zip(area.y..area.bottom()) {
        row.draw(Rect { y, height: 1, ..area }, buf);
    }
}

fn why(state: &State) -> Vec<(Tone, String)> {
    let shared = &state.shared;
    let mut lines = Vec::new();
    if shared.links.is_empty() {
        lines.push((Tone::Warn, "no host found".to_owned()));
        lines.push((Tone::Plain, "`cutover demo` starts one; `cutover host -c FILE` runs yours".to_owned()));
        return lines;
    }
    for (target, link) in &shared.links {
        let target = target.text();
        match link {
            Link::Connecting { last: Some(Fault::Unreachable { place, why }), .. } => {
                lines.push((Tone::Warn, format!("no host found at {place}: {why}")));
                lines.push((Tone::Plain, "`cutover demo` starts one; `cutover host -c FILE` runs yours".to_owned()));
            }
            Link::Connecting { last: Some(fault), attempt, .. } => {
                lines.push((Tone::Warn, format!("connecting to {target}, attempt {attempt}: {fault}")));
                lines.extend(fault.hint().map(|hint| (Tone::Plain, hint.to_owned())));
            }
            Link::Connecting { last: None, .. } => lines.push((Tone::Plain, format!("connecting to {target}"))),
            Link::Denied { what, .. } => {
                lines.push((Tone::Bad, format!("{target} denies access: {what}")));
                lines.push((Tone::Plain, "run as the user who runs the host".to_owned()));
            }
            Link::Stale { since } => lines.push((Tone::Bad, format!("{target} STALE {}", long(elapsed(shared.now, *since))))),
            Link::Live { .. } => {
                let named = shared.rollouts.keys().filter(|k| k.target.text() == target).count();
                let what = match (named, &shared.open) {
                    (0, _) => {
                        format!("{target} is live and has no service: add one to its configuration, then `cutover deploy SERVICE ARTIFACT`")
                    }
                    (n, Some(open)) if !shared.rollouts.contains_key(open) => {
                        format!("{} is gone; {target} has {n} others", open.service.text())
                    }
                    (n, _) => format!("{target} is live with {n} rollouts; none is open"),
                };
                lines.push((Tone::Plain, what));
            }
        }
    }
    lines
}
