//! What is handed to the drawing besides the state: derived from the commands by whoever owns them.

use super::{
    look::{Look, Tone},
    row::Row,
};
use crate::model::text::Text;

/// One hint of the footer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hint {
    /// Key and what it does, or why it is off: `R back to v41`, `s off: gate failed`.
    pub text: String,
    /// How long it stays when there is too little room: higher is dropped later. The highest never goes.
    pub keep: u8,
}

/// One row of the actions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ActionRow {
    /// What it does.
    pub label: String,
    /// Its key.
    pub key: String,
    /// Why it is off, if it is.
    pub off: Option<Text>,
}

/// The footer in at most `max` columns. The hint with the highest `keep` stays whatever the room.
#[must_use]
pub fn row(look: Look, hints: &[Hint], max: usize) -> Row {
    let mut kept: Vec<&Hint> = hints.iter().collect();
    loop {
        let row = kept.iter().enumerate().fold(Row::new(look), |row, (i, hint)| {
            let row = if i == 0 { row } else { row.add(Tone::Dim, format!(" {} ", look.glyphs().dot)) };
            piece(row, &hint.text)
        });
        if row.width() <= max || kept.len() <= 1 {
            return row.cut(max);
        }
        // Of equals the last goes first.
        let drop = kept.iter().enumerate().rev().min_by_key(|(_, hint)| hint.keep).map_or(0, |(i, _)| i);
        kept.remove(drop);
    }
}

/// The key stands out; what is off is dim.
fn piece(row: Row, hint: &str) -> Row {
    match hint.split_once(' ') {
        Some((key, rest)) if rest.starts_with("off:") => row.add(Tone::Dim, format!("{key} {rest}")),
        Some((key, rest)) => row.add(Tone::Strong, key).plain(format!(" {rest}")),
        None => row.add(Tone::Strong, hint),
    }
}

#[cfg(test)]
mod tests {
    use super::{Hint, row};
    use crate::ui::look::Look;

    #[test]
    fn the_way_back_is_never_dropped() {
        let hints = [("R back to v41", 9), ("p pause", 5), ("s off: gate failed", 6), ("enter", 3), ("tab", 2), ("?", 1)]
            .map(|(text, keep)| Hint { text: text.into(), keep });
        let at = |max| row(Look::FULL, &hints, max).text();
        assert_eq!(at(80), "R back to v41 · p pause · s off: gate failed · enter · tab · ?");
        assert_eq!(at(60), "R back to v41 · p pause · s off: gate failed · enter · tab");
        assert_eq!(at(50), "R back to v41 · p pause · s off: gate failed");
        assert_eq!(at(40), "R back to v41 · s off: gate failed");
        assert_eq!(at(20), "R back to v41");
        assert_eq!(at(8), "R back…");
        assert_eq!(at(0), "");
    }
}
