//! What is handed to the drawing besides the state: derived from the commands by whoever owns them.

use super::{
    look::{Look, Tone},
    row::Row,
    text::cut_middle,
};
use crate::model::text::Text;

/// One hint of the footer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hint {
    /// The key, as written.
    pub key: String,
    /// What it does, or why it is off: `back to v41`, `off: gate failed`. May be empty.
    pub label: Text,
    /// Whether the label says why it is off.
    pub off: bool,
    /// When it is dropped for want of room: the highest first, 0 never.
    pub drop: u8,
}

impl Hint {
    /// A hint that is not off.
    #[must_use]
    pub fn new(key: &str, label: impl Into<Text>, drop: u8) -> Self {
        Self { key: key.to_owned(), label: label.into(), off: false, drop }
    }
}

/// One row of the actions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ActionRow {
    /// What it is called now.
    pub label: String,
    /// What it does, in a sentence; empty where the label says it all.
    pub doc: &'static str,
    /// Its key.
    pub key: String,
    /// Why it is off, if it is.
    pub off: Option<Text>,
}

/// Hints that drop this early are known by heart: where there is too little room they lose their
/// label before anything is dropped.
const BY_HEART: u8 = 7;

/// A version's label takes as much as a digest where there is too little room.
const NAME: usize = 12;

/// The footer in at most `max` columns. What never drops is cut at last, its key is not.
#[must_use]
pub fn row(look: Look, hints: &[Hint], max: usize) -> Row {
    let mut kept: Vec<&Hint> = hints.iter().collect();
    let mut full = true;
    loop {
        let row = kept.iter().enumerate().fold(Row::new(look), |row, (i, hint)| {
            let row = if i == 0 { row } else { row.add(Tone::Dim, format!(" {} ", look.glyphs().dot)) };
            piece(row, look, hint, full)
        });
        if row.width() <= max {
            return row;
        }
        if std::mem::take(&mut full) {
            continue;
        }
        // Of equals the last goes first.
        match kept.iter().enumerate().filter(|(_, h)| h.drop > 0).max_by_key(|(i, h)| (h.drop, *i)) {
            Some((drop, _)) => kept.remove(drop),
            None => return row.cut(max),
        };
    }
}

/// The key stands out; what is off is dim.
fn piece(row: Row, look: Look, hint: &Hint, full: bool) -> Row {
    let label = look.plain(hint.label.as_str());
    if label.is_empty() || (!full && hint.drop >= BY_HEART) {
        return row.add(Tone::Strong, &hint.key);
    }
    let tone = if hint.off { Tone::Dim } else { Tone::Plain };
    let row = row.add(if hint.off { Tone::Dim } else { Tone::Strong }, &hint.key).add(tone, " ");
    match label.rsplit_once(' ') {
        Some((verb, name)) if !full && hint.drop == 0 => row.add(tone, verb).add(tone, " ").add(tone, cut_middle(name, NAME, &look)),
        _ => row.add(tone, label),
    }
}

#[cfg(test)]
mod tests {
    use super::{Hint, row};
    use crate::ui::look::Look;

    #[test]
    fn the_way_back_is_never_dropped() {
        let hints = [
            ("R", "back to 2026.08.14-hotfix.3", 0),
            ("p", "pause", 1),
            ("s", "off: gate failed", 2),
            ("enter", "actions", 7),
            ("tab", "panel", 8),
            ("?", "", 9),
        ]
        .map(|(key, label, drop)| Hint { key: key.into(), label: label.into(), off: label.starts_with("off"), drop });
        let at = |max| row(Look::FULL, &hints, max).text();
        assert_eq!(at(92), "R back to 2026.08.14-hotfix.3 · p pause · s off: gate failed · enter actions · tab panel · ?");
        assert_eq!(at(78), "R back to 2026…otfix.3 · p pause · s off: gate failed · enter · tab · ?");
        assert_eq!(at(70), "R back to 2026…otfix.3 · p pause · s off: gate failed · enter · tab");
        assert_eq!(at(54), "R back to 2026…otfix.3 · p pause · s off: gate failed");
        assert_eq!(at(40), "R back to 2026…otfix.3 · p pause");
        assert_eq!(at(22), "R back to 2026…otfix.3");
        assert_eq!(at(8), "R back…");
        assert_eq!(at(0), "");
    }
}
