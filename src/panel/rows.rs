//! What the list panels share: where the marked line is, a filter that is typed, and rows of cells.
//! The marked line is remembered by what it is, never by its number.

use crate::{
    app::state::{Code, Input, Shared},
    model::{rollout::Finding, time::Time},
    ui::{
        look::{Look, Tone},
        text::wrap,
    },
};
use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Lines of a page.
pub const PAGE: usize = 8;

/// Where a move leads from line `at` of `len`; `None` for an empty list.
pub fn moved(command: &str, at: usize, len: usize) -> Option<usize> {
    let last = len.checked_sub(1)?;
    let to = match command {
        "down" | "next-match" => at.saturating_add(1),
        "up" | "previous-match" => at.saturating_sub(1),
        "page-down" => at.saturating_add(PAGE),
        "page-up" => at.saturating_sub(PAGE),
        "top" => 0,
        "bottom" => last,
        _ => at,
    };
    Some(to.min(last))
}

/// The first line to draw so that `mark` is among `height` lines and the area is full if it can be.
/// A list that grows at its end keeps the mark on the last row, another one on the first.
pub fn first_line(mark: usize, len: usize, height: usize, at_end: bool) -> usize {
    let most = len.saturating_sub(height);
    if at_end { (mark + 1).saturating_sub(height).min(most) } else { mark.min(most) }
}

/// Text that narrows a list, and whether it is being typed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    text: String,
    typing: bool,
}

impl Filter {
    pub const fn start(&mut self) {
        self.typing = true;
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub const fn typing(&self) -> bool {
        self.typing
    }

    /// A key or paste while it is typed. True when it was used: all of them are.
    pub fn input(&mut self, input: &Input) -> bool {
        if !self.typing {
            return false;
        }
        match input {
            Input::Paste(text) => self.push(text),
            Input::Key(key) if key.erases(&mut self.text) => {}
            Input::Key(key) => match key.code {
                Code::Enter => self.typing = false,
                Code::Esc => *self = Self::default(),
                Code::Char(c) if !key.ctrl && !key.alt => self.push(c.encode_utf8(&mut [0; 4])),
                _ => return false,
            },
        }
        true
    }

    fn push(&mut self, text: &str) {
        let room = 64_usize.saturating_sub(self.text.len());
        self.text.extend(text.chars().filter(|c| !c.is_control()).take(room));
    }

    /// Whether a line with these parts is shown. Letters match whatever their case.
    pub fn shows(&self, parts: &[&str]) -> bool {
        let wanted = self.text.as_bytes();
        wanted.is_empty() || parts.iter().any(|p| p.as_bytes().windows(wanted.len()).any(|w| w.eq_ignore_ascii_case(wanted)))
    }

    /// What the head line says of it.
    pub fn title(&self) -> String {
        match (self.text.as_str(), self.typing) {
            ("", false) => String::new(),
            (text, true) => format!(" · filter: {text}_"),
            (text, false) => format!(" · filter: {text}"),
        }
    }
}

/// One cell of a row.
pub struct Cell<'a> {
    text: &'a str,
    width: usize,
    right: bool,
    style: Style,
}

impl<'a> Cell<'a> {
    pub const fn left(text: &'a str, width: usize, style: Style) -> Self {
        Self { text, width, right: false, style }
    }

    pub const fn right(text: &'a str, width: usize, style: Style) -> Self {
        Self { text, width, right: true, style }
    }
}

/// Draws cells one after the other with a gap of one; the last one gets what is left.
pub fn row(buf: &mut Buffer, area: Rect, cells: &[Cell<'_>], marked: bool, look: &Look) {
    let area = area.intersection(buf.area);
    let (mut x, end) = (area.x, area.right());
    for (i, cell) in cells.iter().enumerate() {
        let left = usize::from(end.saturating_sub(x));
        if left == 0 {
            break;
        }
        let width = if i + 1 == cells.len() { left } else { cell.width.min(left) };
        let text = cut(cell.text, width, look.ascii);
        let pad = if cell.right { width.saturating_sub(text.width()) } else { 0 };
        let start = x.saturating_add(u16::try_from(pad).unwrap_or(0));
        buf.set_stringn(start, area.y, &text, width, cell.style);
        x = x.saturating_add(u16::try_from(width + 1).unwrap_or(u16::MAX));
    }
    if marked {
        buf.set_style(Rect { height: 1.min(area.height), ..area }, look.style(Tone::Alert));
    }
}

/// A text in at most `width` columns, its end replaced by a sign that says so.
pub fn cut(text: &str, width: usize, ascii: bool) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let sign = if ascii { "~" } else { "…" };
    let (mut out, mut used) = (String::new(), 0);
    for g in text.graphemes(true) {
        if used + g.width() + 1 > width {
            break;
        }
        used += g.width();
        out.push_str(g);
    }
    if width > 0 {
        out.push_str(sign);
    }
    out
}

/// Why things of a kind (`pods`) are not seen, if that is so: what is not known is not said to be none.
pub fn unseen<'a>(shared: &'a Shared, kind: &str) -> Option<&'a str> {
    let findings = &shared.watched()?.rollout.findings;
    let about = |f: &&Finding| f.kind.as_str() == "access" && f.what.as_str().strip_prefix(kind).is_some_and(|r| r.starts_with(" are not"));
    findings.iter().find(about).map(|f| f.what.as_str())
}

/// Draws a text at the bottom of an area, wrapped and in at most half of it, if it is wider than the `room` it has in
/// its row; gives back what is left for the rows.
pub fn whole(buf: &mut Buffer, area: Rect, look: &Look, text: &str, room: usize) -> Rect {
    let text = look.plain(text);
    if text.width() <= room {
        return area;
    }
    let lines = wrap(&text, usize::from(area.width));
    let below = u16::try_from(lines.len()).unwrap_or(u16::MAX).min(area.height / 2);
    let rest = Rect { height: area.height - below, ..area };
    for (n, text) in lines.iter().take(usize::from(below)).enumerate() {
        row(buf, line(area, usize::from(rest.height) + n), &[Cell::left(text, 0, look.style(Tone::Strong))], false, look);
    }
    rest
}

/// Draws one dim line: why there is nothing to see.
pub fn empty(buf: &mut Buffer, area: Rect, look: &Look, why: &str) {
    row(buf, area, &[Cell::left(why, 0, look.style(Tone::Dim))], false, look);
}

/// The `n`-th row of an area.
pub fn line(area: Rect, n: usize) -> Rect {
    Rect { y: area.y.saturating_add(u16::try_from(n).unwrap_or(u16::MAX)), height: 1, ..area }
}

/// `03:12:09`, UTC.
pub fn clock(at: Time) -> String {
    at.format("%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::{Filter, cut, first_line, moved};
    use crate::app::state::{Code, Input, KeyPress};

    #[test]
    fn the_marked_line_is_always_drawn() {
        for len in 0..40 {
            for height in 1..12 {
                for mark in 0..len {
                    for at_end in [true, false] {
                        let first = first_line(mark, len, height, at_end);
                        assert!((first..first + height).contains(&mark), "{mark} of {len} in {height}");
                        assert!(first + height <= len.max(height), "no empty row while there are lines");
                    }
                }
            }
        }
        assert_eq!(moved("down", 0, 0), None);
        assert_eq!(moved("bottom", 9, 3), Some(2));
    }

    #[test]
    fn text_is_cut_between_graphemes() {
        assert_eq!(cut("abcdef", 4, false), "abc…");
        assert_eq!(cut("abcdef", 4, true), "abc~");
        assert_eq!(cut("日本語", 4, false), "日…");
        assert_eq!(cut("abc", 0, false), "");
    }

    #[test]
    fn a_filter_takes_every_letter_and_folds_case() {
        let mut filter = Filter::default();
        let key = |code| Input::Key(KeyPress { code, ctrl: false, alt: false });
        assert!(!filter.input(&key(Code::Char('R'))), "no text before it is started");
        filter.start();
        for c in "ERR".chars() {
            assert!(filter.input(&key(Code::Char(c))));
        }
        assert!(filter.shows(&["x", "an error"]) && !filter.shows(&["fine", ""]));
        let control = |c| Input::Key(KeyPress { code: Code::Char(c), ctrl: true, alt: false });
        assert!(filter.input(&Input::Paste(" GET /cart".into())) && filter.input(&control('w')));
        assert_eq!(filter.text(), "ERR GET ", "a word");
        assert!(filter.input(&control('u')) && filter.input(&control('w')));
        assert_eq!(filter.text(), "", "all of it");
        filter.input(&Input::Paste("x".into()));
        assert!(filter.input(&key(Code::Esc)));
        assert!(!filter.typing() && filter.shows(&["fine"]));
    }
}
