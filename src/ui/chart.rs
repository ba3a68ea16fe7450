//! Two courses over the same time in one chart: the one fills its columns from below, the other is a
//! dotted line over it, so that they are told apart without colour. Both share one scale that begins at
//! zero; where nothing was measured there is a gap.
//!
//! ```text
//!     50 %          │              │  ▂▃▅▆▇▇        top of the scale
//!                   │              │▃▆██████
//!      0 % ⣀⣀⣀⣀⣀⣀⣀⣀⣀│⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀█⣀█⣀        marks
//!          30 min ago 5 %           25 %   now      time, and what each mark is
//! ```

use super::{
    look::{Look, Tone},
    text,
};
use crate::model::{
    history::{History, Span},
    signal::SignalId,
    time::Time,
};
use ratatui::{buffer::Buffer, layout::Rect};

/// Columns before the first of a chart's own: the ends of the scale.
pub const GUTTER: u16 = 10;

/// How a stretch of time lies on columns: so many points to a cell, so many columns to a cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    span: Span,
    points: u32,
    /// Cells, each of which covers the same time.
    pub cells: usize,
    /// Columns of a cell.
    pub wide: usize,
    now: Time,
}

impl Frame {
    /// The frame that shows all of a span, up to now, in at most `columns`.
    #[must_use]
    pub fn of(span: Span, columns: u16, now: Time) -> Self {
        let columns = usize::from(columns).max(1);
        let points = span.points().div_ceil(columns).max(1);
        let cells = span.points().div_ceil(points);
        // The newest second is on its way for up to a second: a gap at the end would come and go.
        let now = if span == Span::Minutes { now.checked_sub_signed(chrono::Duration::seconds(2)).unwrap_or(now) } else { now };
        Self { span, points: u32::try_from(points).unwrap_or(u32::MAX), cells, wide: (columns / cells.max(1)).max(1), now }
    }

    /// Columns it takes.
    #[must_use]
    pub const fn columns(&self) -> usize {
        self.cells.saturating_mul(self.wide)
    }

    /// A version's course in it, cell by cell.
    #[must_use]
    pub fn course(&self, history: &History, signal: SignalId) -> Vec<Option<f64>> {
        super::spark::over(history, signal, self.now, self.span, self.points, self.cells)
    }

    /// The first column of the cell that an instant is in; `None` outside.
    #[must_use]
    pub fn column(&self, at: Time) -> Option<usize> {
        let step = i64::from(self.span.interval()) * i64::from(self.points);
        let back = self.now.timestamp().div_euclid(step) - at.timestamp().div_euclid(step);
        let cell = self.cells.checked_sub(usize::try_from(back).ok()? + 1)?;
        Some(cell * self.wide)
    }
}

/// A chart, ready to be drawn.
#[derive(Clone, Debug)]
pub struct Chart<'a> {
    /// Where its cells lie.
    pub frame: Frame,
    /// The course that is a dotted line, cell by cell, and its tone.
    pub line: (&'a [Option<f64>], Tone),
    /// The course that is filled.
    pub fill: (&'a [Option<f64>], Tone),
    /// The end of the scale, in the unit of the courses; see [`scale`](super::spark::scale).
    pub top: f64,
    /// The ends of the scale in words: the highest, the lowest.
    pub ends: [&'a str; 2],
    /// A value that a line is drawn at, if it is on the scale.
    pub limit: Option<f64>,
    /// When something began, and what.
    pub marks: &'a [(Time, String)],
}

impl Chart<'_> {
    /// Draws it: the last row is the time, if there are three or more.
    pub fn draw(&self, look: &Look, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        if area.width <= GUTTER || area.height == 0 {
            return;
        }
        let timed = area.height >= 3;
        let plot = Rect { x: area.x + GUTTER, width: area.width - GUTTER, height: area.height - u16::from(timed), ..area };
        self.scale(look, Rect { width: GUTTER - 1, height: plot.height, ..area }, buf);
        self.behind(look, plot, buf);
        self.courses(look, plot, buf);
        if timed {
            self.time(look, Rect { y: area.bottom() - 1, height: 1, ..plot }, buf);
        }
    }

    fn scale(&self, look: &Look, area: Rect, buf: &mut Buffer) {
        let [high, low] = self.ends;
        let mut at = |y: u16, end: &str| {
            let end = look.plain(end);
            let end = text::cut_end(&end, usize::from(area.width), look);
            let x = area.right().saturating_sub(u16::try_from(text::width(&end)).unwrap_or(u16::MAX)).max(area.x);
            buf.set_stringn(x, y, &end, usize::from(area.width), look.style(Tone::Dim));
        };
        at(area.y, high);
        if area.height >= 2 {
            at(area.bottom() - 1, low);
        }
    }

    /// Marks and the limit: whatever is measured lies over them.
    fn behind(&self, look: &Look, plot: Rect, buf: &mut Buffer) {
        let glyphs = look.glyphs();
        if let Some(share) = self.limit.map(|limit| limit / self.top).filter(|s| (0.0..=1.0).contains(s)) {
            let (row, _) = place(share, plot.height, glyphs.line.len());
            // In the lowest row it could not be told from what is measured there.
            for x in (plot.x..plot.right()).take(if row > 0 { self.frame.columns() } else { 0 }) {
                buf.set_string(x, row_of(plot, row), glyphs.limit, look.style(Tone::Warn));
            }
        }
        for column in self.marks.iter().filter_map(|(at, _)| self.frame.column(*at)) {
            let Some(x) = column_of(plot, column) else { continue };
            for y in plot.top()..plot.bottom() {
                buf.set_string(x, y, glyphs.down, look.style(Tone::Dim));
            }
        }
    }

    fn courses(&self, look: &Look, plot: Rect, buf: &mut Buffer) {
        let glyphs = look.glyphs();
        let share = |value: &Option<f64>| {
            let value = value.filter(|v| v.is_finite())?;
            Some(if self.top > 0.0 { (value / self.top).clamp(0.0, 1.0) } else { 0.0 })
        };
        for column in 0..self.frame.columns() {
            let cell = column / self.frame.wide.max(1);
            let Some(x) = column_of(plot, column) else { break };
            let fill = self.fill.0.get(cell).and_then(share).map(|s| place(s, plot.height, glyphs.fill.len()));
            if let Some((top, level)) = fill {
                for row in 0..=top {
                    let glyph = if row < top { glyphs.fill.last() } else { glyphs.fill.get(level) };
                    buf.set_string(x, row_of(plot, row), glyph.copied().unwrap_or(" "), look.style(self.fill.1));
                }
            }
            if let Some((row, level)) = self.line.0.get(cell).and_then(share).map(|s| place(s, plot.height, glyphs.line.len())) {
                // Where both end in one row each gets every other column: neither hides the other.
                let meets = fill.is_some_and(|(top, _)| top == row) && column % 2 == 1;
                if !meets {
                    buf.set_string(x, row_of(plot, row), glyphs.line.get(level).copied().unwrap_or(" "), look.style(self.line.1));
                }
            }
        }
    }

    /// From when to when, and what each mark is: the newest ones first where there is no room for all.
    fn time(&self, look: &Look, area: Rect, buf: &mut Buffer) {
        let width = self.frame.columns().min(usize::from(area.width));
        let (from, to) = (format!("{} ago", self.frame.span.word()), "now");
        let mut taken: Vec<(usize, usize)> = Vec::new();
        let mut put = |start: usize, label: &str, tone: Tone| {
            let label = look.plain(label);
            let end = start + text::width(&label);
            // A gap on each side, or two labels would read as one.
            if end > width || taken.iter().any(|(a, b)| start < *b + 1 && *a < end + 1) {
                return;
            }
            taken.push((start, end));
            if let Some(x) = column_of(area, start) {
                buf.set_stringn(x, area.y, &label, usize::from(area.right().saturating_sub(x)), look.style(tone));
            }
        };
        put(width.saturating_sub(to.len()), to, Tone::Dim);
        put(0, &from, Tone::Dim);
        for (at, label) in self.marks.iter().rev() {
            if let Some(column) = self.frame.column(*at) {
                put(column, label, Tone::Plain);
            }
        }
    }
}

/// Which row from below, and which of `levels` in it. Anything above zero is above the lowest level's
/// floor; exactly the top is the highest level of the highest row.
fn place(share: f64, rows: u16, levels: usize) -> (u16, usize) {
    let all = usize::from(rows) * levels;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "0 to the number of levels")]
    let level = ((share * all as f64).ceil() as usize).clamp(1, all.max(1)) - 1;
    (u16::try_from(level / levels.max(1)).unwrap_or(u16::MAX), level % levels.max(1))
}

/// The row of the screen that is so many rows from below.
const fn row_of(plot: Rect, row: u16) -> u16 {
    (plot.y + plot.height).saturating_sub(row.saturating_add(1))
}

fn column_of(plot: Rect, column: usize) -> Option<u16> {
    let x = plot.x.checked_add(u16::try_from(column).ok()?)?;
    (x < plot.right()).then_some(x)
}

#[cfg(test)]
mod tests;
