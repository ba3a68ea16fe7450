//! One line of pieces, each with its meaning: built, measured, cut and put into a buffer.

use super::{
    look::{Look, Tone},
    text,
};
use ratatui::{buffer::Buffer, layout::Rect, style::Modifier};

/// One line. Every piece is safe for the look it was made for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    look: Look,
    pieces: Vec<(Tone, String)>,
    width: usize,
    dimmed: bool,
}

impl Row {
    /// An empty line.
    #[must_use]
    pub const fn new(look: Look) -> Self {
        Self { look, pieces: Vec::new(), width: 0, dimmed: false }
    }

    /// With one more piece at its end.
    #[must_use]
    pub fn add(mut self, tone: Tone, piece: impl AsRef<str>) -> Self {
        let piece = self.look.plain(piece.as_ref());
        if !piece.is_empty() {
            self.width += text::width(&piece);
            self.pieces.push((tone, piece.into_owned()));
        }
        self
    }

    /// With one more ordinary piece.
    #[must_use]
    pub fn plain(self, piece: impl AsRef<str>) -> Self {
        self.add(Tone::Plain, piece)
    }

    /// With a piece of outside text that takes at most `max` columns, cut in its middle.
    #[must_use]
    pub fn name(self, tone: Tone, name: impl AsRef<str>, max: usize) -> Self {
        let look = self.look;
        let name = look.plain(name.as_ref());
        self.add(tone, text::cut_middle(&name, max, &look))
    }

    /// With spaces up to a column, counted from its start.
    #[must_use]
    pub fn pad(self, column: usize) -> Self {
        self.pad_with(Tone::Plain, column)
    }

    /// [`Row::pad`] with spaces that are seen: reversed ones.
    #[must_use]
    pub fn pad_with(self, tone: Tone, column: usize) -> Self {
        match column.checked_sub(self.width) {
            Some(missing) if missing > 0 => self.add(tone, " ".repeat(missing)),
            _ => self,
        }
    }

    /// With another line at its end.
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        self.width += other.width;
        self.pieces.extend(other.pieces);
        self
    }

    /// Drawn dim as a whole: what it shows is too old.
    #[must_use]
    pub const fn dim_if(mut self, dimmed: bool) -> Self {
        self.dimmed = dimmed;
        self
    }

    /// Columns it takes.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Whether nothing is in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The text alone.
    #[must_use]
    pub fn text(&self) -> String {
        self.pieces.iter().map(|(_, piece)| piece.as_str()).collect()
    }

    /// At most `max` columns: what is too much at the end becomes the cut mark.
    #[must_use]
    pub fn cut(mut self, max: usize) -> Self {
        if self.width <= max {
            return self;
        }
        let mark = text::width(self.look.glyphs().cut);
        let mut room = max;
        let mut pieces = Vec::with_capacity(self.pieces.len());
        let mut rest = self.pieces.into_iter().peekable();
        while let Some((tone, piece)) = rest.next() {
            let wide = text::width(&piece);
            let last = rest.peek().is_none();
            if wide <= room && (last || wide + mark <= room) {
                room -= wide;
                pieces.push((tone, piece));
                continue;
            }
            // One more column than there is room forces the mark also where this piece just fits.
            let long = if last { piece } else { format!("{piece}{}", " ".repeat(room + 1)) };
            pieces.push((tone, text::cut_end(&long, room, &self.look).into_owned()));
            break;
        }
        self.width = pieces.iter().map(|(_, piece)| text::width(piece)).sum();
        self.pieces = pieces;
        self
    }

    /// The first of some lines that fits `max` columns; if none does, the last one, cut.
    #[must_use]
    pub fn fit(look: Look, max: usize, forms: impl IntoIterator<Item = Self>) -> Self {
        let mut last = Self::new(look);
        for form in forms {
            if form.width <= max {
                return form;
            }
            last = form;
        }
        last.cut(max)
    }

    /// Puts it into the first row of an area; what does not fit is left out.
    pub fn draw(&self, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        if area.is_empty() {
            return;
        }
        let mut x = area.x;
        for (tone, piece) in &self.pieces {
            let mut style = self.look.style(*tone);
            if self.dimmed {
                style = style.remove_modifier(Modifier::BOLD).add_modifier(Modifier::DIM);
            }
            let room = usize::from(area.right().saturating_sub(x));
            x = buf.set_stringn(x, area.y, piece, room, style).0;
        }
    }

    /// Puts it into an area so that it ends at the area's right edge.
    pub fn draw_right(&self, area: Rect, buf: &mut Buffer) {
        let wide = u16::try_from(self.width).unwrap_or(u16::MAX).min(area.width);
        self.draw(Rect { x: area.right() - wide, width: wide, ..area }, buf);
    }
}

#[cfg(test)]
mod tests {
    use super::Row;
    use crate::ui::look::{Look, Tone};
    use proptest::prelude::*;

    #[test]
    fn a_cut_row_says_so_whichever_piece_is_cut() {
        let row = || Row::new(Look::FULL).plain("one ").add(Tone::Bad, "two").plain(" three");
        assert_eq!(row().cut(13).text(), "one two three");
        assert_eq!(row().cut(9).text(), "one two…");
        assert_eq!(row().cut(7).text(), "one tw…");
        assert_eq!(row().cut(4).text(), "one…");
        assert_eq!(row().cut(0).text(), "");
    }

    proptest! {
        #[test]
        fn rows_keep_to_their_room(pieces in prop::collection::vec("\\PC{0,12}", 0..6), max in 0_usize..40, ascii: bool) {
            let look = Look { ascii, color: true };
            let row = pieces.iter().fold(Row::new(look), |row, p| row.add(Tone::Plain, p)).cut(max);
            prop_assert!(row.width() <= max);
            prop_assert!(!ascii || row.text().is_ascii());
        }
    }
}
