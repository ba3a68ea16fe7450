//! A command that is typed, and what could be meant.

use super::{Sheet, wrapped};
use crate::{
    app::{
        palette::{Palette, suggestions},
        state::State,
    },
    ui::{look::Tone, row::Row, text},
};

/// Suggestions at most: more are found by typing on.
const MOST: usize = 12;

/// The line and its suggestions, the likeliest first.
pub(super) fn sheet(state: &State, palette: &Palette, width: usize, rows: usize) -> Sheet {
    let look = state.look;
    let offered = suggestions(state, palette);
    let room = rows.saturating_sub(6).clamp(1, MOST);
    let chosen = palette.chosen.unwrap_or(0);
    let skip = (chosen + 1).saturating_sub(room);
    let wide = offered.iter().skip(skip).take(room).map(|s| text::width(&s.line)).max().unwrap_or(0).min(width / 2);
    let mut lines = Vec::new();
    for (i, s) in offered.iter().enumerate().skip(skip).take(room) {
        let (sign, tone) = if palette.chosen == Some(i) { (look.glyphs().here, Tone::Strong) } else { (" ", Tone::Plain) };
        let row = Row::new(look).plain(" ").add(Tone::Strong, sign).plain(" ").name(tone, &s.line, wide).pad(3 + wide + 2);
        lines.push(row.add(Tone::Dim, &s.doc).cut(width + 1));
    }
    let hidden = offered.len().saturating_sub(skip + room);
    if hidden > 0 {
        lines.push(Row::new(look).plain("   ").add(Tone::Dim, format!("{} {hidden} more: type on", look.glyphs().cut)));
    }
    let mut end = Vec::new();
    if let Some(said) = &palette.said {
        end.extend(wrapped(state, Tone::Warn, said.as_str(), 2, width));
    }
    let typed = crate::model::text::Text::clean(&palette.text);
    end.extend(wrapped(state, Tone::Strong, &format!(":{typed}_"), 2, width));
    let keep = end.len();
    lines.extend(end);
    Sheet { bar: "COMMAND   verbs that act are written in full; tab completes".into(), lines, keep }
}
