//! What the terminal shows, and the bytes that make it show something else.
//!
//! ratatui's `Terminal` is left out on purpose: its `clear` asks for the cursor's position and waits
//! two seconds for an answer that the keyboard's reader has taken, and its `draw` flushes twice.

use ratatui::{
    backend::{Backend, CrosstermBackend},
    buffer::Buffer,
    layout::Rect,
};
use std::io::{self, Write};

const BEGIN: &[u8] = b"\x1b[?2026h";
const END: &[u8] = b"\x1b[?2026l";
/// No attributes, no cursor, everything erased.
const ERASE: &[u8] = b"\x1b[0m\x1b[?25l\x1b[2J";

/// The screen as the terminal has it, and the next one.
#[derive(Debug)]
pub struct Canvas {
    shown: Buffer,
    next: Buffer,
    repaint: bool,
    synchronised: bool,
}

impl Canvas {
    /// Knows nothing of what is shown: the first frame paints everything.
    #[must_use]
    pub fn new(cols: u16, rows: u16) -> Self {
        let area = Rect::new(0, 0, cols, rows);
        Self { shown: Buffer::empty(area), next: Buffer::empty(area), repaint: true, synchronised: false }
    }

    /// The terminal has this size now. True if it had another.
    pub fn resize(&mut self, cols: u16, rows: u16) -> bool {
        let area = Rect::new(0, 0, cols, rows);
        if area == self.next.area {
            return false;
        }
        self.next.resize(area);
        self.shown.resize(area);
        self.repaint = true;
        true
    }

    /// Whether the next frame paints everything.
    #[must_use]
    pub const fn wants_repaint(&self) -> bool {
        self.repaint
    }

    /// The terminal may show anything: the next frame paints everything.
    pub const fn repaint(&mut self) {
        self.repaint = true;
    }

    /// Whether frames are wrapped in synchronised updates from now on.
    pub const fn synchronise(&mut self, on: bool) {
        self.synchronised = on;
    }

    /// Appends the bytes of the next frame; none if it is what is shown. What they change counts as
    /// shown from here on.
    ///
    /// # Errors
    /// Those of the sink, which for memory never fails.
    pub fn frame(&mut self, out: &mut Vec<u8>, draw: impl FnOnce(Rect, &mut Buffer)) -> io::Result<()> {
        self.next.reset();
        draw(self.next.area, &mut self.next);
        let repaint = std::mem::take(&mut self.repaint);
        if repaint {
            self.shown.reset();
        }
        let mut changes = self.shown.diff_iter(&self.next).peekable();
        if repaint || changes.peek().is_some() {
            if self.synchronised {
                out.write_all(BEGIN)?;
            }
            if repaint {
                out.write_all(ERASE)?;
            }
            CrosstermBackend::new(&mut *out).draw(changes)?;
            if self.synchronised {
                out.write_all(END)?;
            }
        }
        std::mem::swap(&mut self.shown, &mut self.next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Canvas;
    use ratatui::{
        buffer::Buffer,
        layout::Rect,
        style::{Color, Modifier, Style},
        widgets::{Paragraph, Widget},
    };

    fn frame(canvas: &mut Canvas, text: &str) -> String {
        let mut out = Vec::new();
        canvas.frame(&mut out, |area: Rect, buf: &mut Buffer| Paragraph::new(text).render(area, buf)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_equal_frame_is_no_bytes_and_one_cell_is_few() {
        let mut canvas = Canvas::new(80, 24);
        assert!(frame(&mut canvas, "weight 5").contains("\x1b[2J"));
        assert_eq!(frame(&mut canvas, "weight 5"), "");
        let one = frame(&mut canvas, "weight 6");
        assert!(one.len() <= 100 && one.contains('6') && !one.contains("weight"), "{one:?}");
        canvas.repaint();
        let all = frame(&mut canvas, "weight 6");
        assert!(all.contains("\x1b[2J") && all.contains("weight"), "{all:?}");
    }

    #[test]
    fn synchronised_frames_are_whole() {
        let mut canvas = Canvas::new(80, 24);
        canvas.synchronise(true);
        let all = frame(&mut canvas, "x");
        assert!(all.starts_with("\x1b[?2026h\x1b[0m") && all.ends_with("\x1b[?2026l"), "{all:?}");
        assert_eq!(frame(&mut canvas, "x"), "", "nothing to show opens no update");
    }

    #[test]
    fn resized_to_anything() {
        let mut canvas = Canvas::new(10, 2);
        for (cols, rows) in [(0, 0), (1, 1), (500, 200), (3, 1), (80, 24)] {
            canvas.resize(cols, rows);
            let mut seen = Rect::ZERO;
            canvas.frame(&mut Vec::new(), |area, _| seen = area).unwrap();
            assert_eq!((seen.width, seen.height), (cols, rows));
        }
    }

    #[test]
    fn no_color_keeps_attributes() {
        crossterm::style::force_color_output(true);
        let mut canvas = Canvas::new(10, 1);
        let mut out = Vec::new();
        let style = Style::new().fg(Color::Red).add_modifier(Modifier::REVERSED | Modifier::BOLD);
        canvas.frame(&mut out, |_, buf| buf.set_style(Rect::new(0, 0, 3, 1), style)).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("\x1b[7m") && out.contains("\x1b[1m") && !out.contains("\x1b[;m"), "{out:?}");
    }
}
