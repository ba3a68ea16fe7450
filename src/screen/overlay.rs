//! What lies over the screen: a sheet with a reversed first line, from the bottom upwards, so that
//! the figures above stay in view as long as there is room.

mod lists;
mod palette;
mod preview;
mod words;

use super::Extras;
use crate::{
    app::state::{Overlay, State},
    ui::{look::Tone, row::Row, text},
};
use ratatui::{buffer::Buffer, layout::Rect};

/// A sheet: its bar, its lines, and how many of the last lines must stay whatever the room.
struct Sheet {
    bar: String,
    lines: Vec<Row>,
    /// Lines at the end that are never left out.
    keep: usize,
}

/// Draws whatever lies over the screen into an area that ends above the footer.
pub(super) fn draw(state: &State, extras: &Extras<'_>, area: Rect, buf: &mut Buffer) {
    let width = usize::from(area.width.saturating_sub(2));
    let rows = usize::from(area.height.saturating_sub(1));
    let sheet = match &state.overlay {
        Overlay::None => return,
        Overlay::Help(first) => lists::help(state, "HELP", extras.help, *first, width, rows),
        Overlay::Figures(first) => lists::help(state, "WHAT THE FIGURES ARE", extras.figures, *first, width, rows),
        Overlay::Palette(palette) => palette::sheet(state, palette, width, rows),
        Overlay::Actions(row) => lists::actions(state, extras, *row, width, rows),
        Overlay::Connections => lists::connections(state, width),
        Overlay::Weight(typed) => words::weight(state, typed, width),
        Overlay::Refused { action, refusal } => words::refused(state, action, refusal, width),
        Overlay::Preview(preview) => preview::sheet(state, extras, preview, width, rows),
    };
    lay(state, sheet, area, buf);
}

/// Puts a sheet at the bottom of an area.
fn lay(state: &State, sheet: Sheet, area: Rect, buf: &mut Buffer) {
    let row = || Row::new(state.look);
    let bar: Vec<Row> = text::wrap(&state.look.plain(&sheet.bar), usize::from(area.width.saturating_sub(2)))
        .into_iter()
        .map(|line| row().add(Tone::Alert, format!(" {line}")).pad_with(Tone::Alert, usize::from(area.width)))
        .collect();
    let room = usize::from(area.height);
    let mut lines = sheet.lines;
    let needed = bar.len() + lines.len();
    if needed > room {
        // The end says how to confirm, so the middle gives way, and says so.
        let keep = sheet.keep.min(lines.len());
        let end = lines.split_off(lines.len() - keep);
        let left = room.saturating_sub(bar.len() + keep + 1);
        let hidden = lines.len().saturating_sub(left);
        lines.truncate(left);
        lines.push(row().plain(" ").add(Tone::Warn, format!("{} {hidden} more lines: make the terminal taller", state.look.glyphs().cut)));
        lines.extend(end);
    }
    let height = u16::try_from(bar.len() + lines.len()).unwrap_or(u16::MAX).min(area.height);
    let area = Rect { y: area.bottom() - height, height, ..area };
    wipe(area, buf);
    for (row, y) in bar.iter().chain(&lines).zip(area.y..area.bottom()) {
        row.draw(Rect { y, height: 1, ..area }, buf);
    }
}

fn wipe(area: Rect, buf: &mut Buffer) {
    let area = area.intersection(buf.area);
    for position in area.positions() {
        if let Some(cell) = buf.cell_mut(position) {
            cell.reset();
        }
    }
}

/// A text as lines of `width` columns behind a margin; the lines after the first are indented.
fn wrapped(state: &State, tone: Tone, text: &str, indent: usize, width: usize) -> Vec<Row> {
    let lines = text::wrap(&state.look.plain(text), width.saturating_sub(indent).max(1));
    let row = |(i, line): (usize, String)| {
        let margin = if i == 0 { 1 } else { 1 + indent };
        Row::new(state.look).plain(" ".repeat(margin)).add(tone, line)
    };
    lines.into_iter().enumerate().map(row).collect()
}
