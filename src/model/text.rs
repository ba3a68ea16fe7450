//! Text from outside is two types: [`Raw`] is sent and compared, [`Text`] is drawn and printed.

use compact_str::CompactString;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// Exactly what the other side called something. Sent and compared, never drawn: it has no `Display`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Raw(CompactString);

impl Raw {
    /// Takes the bytes as they are.
    #[must_use]
    pub fn new(exact: impl Into<CompactString>) -> Self {
        Self(exact.into())
    }

    /// The exact text, to send or compare.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What may be drawn of it.
    #[must_use]
    pub fn text(&self) -> Text {
        Text::clean(&self.0)
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_debug())
    }
}

/// Text that is safe to draw: one line, without control characters, escape sequences, direction
/// marks or characters whose width terminals disagree on. Made by [`Text::clean`] only, also when it
/// is read from the wire.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Text(CompactString);

impl Text {
    /// The one sanitiser. Escape sequences vanish, tabs become four spaces, line ends one space,
    /// every other character that could move the cursor, change direction or hide becomes `U+FFFD`.
    #[must_use]
    pub fn clean(untrusted: &str) -> Self {
        Self::from_bytes(untrusted.as_bytes())
    }

    /// [`Text::clean`] for bytes that may not be UTF-8.
    #[must_use]
    pub fn from_bytes(untrusted: &[u8]) -> Self {
        // Most text is harmless ASCII: skip the parser then.
        if untrusted.iter().all(|b| (0x20..0x7f).contains(b))
            && let Ok(plain) = CompactString::from_utf8(untrusted)
        {
            return Self(plain);
        }
        let mut cleaner = Cleaner::default();
        vte::Parser::new().advance(&mut cleaner, untrusted);
        let mut out = cleaner.0;
        out.truncate(out.trim_end_matches(' ').len());
        Self(out.into())
    }

    /// What to draw.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing to draw.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Default)]
struct Cleaner(String);

impl vte::Perform for Cleaner {
    fn print(&mut self, c: char) {
        self.0.push(if is_drawable(c) { c } else { '\u{fffd}' });
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' => self.0.push(' '),
            b'\t' => self.0.push_str("    "),
            _ => {}
        }
    }
}

/// Characters that stay on their cell and can be seen.
fn is_drawable(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl From<&str> for Text {
    fn from(s: &str) -> Self {
        Self::clean(s)
    }
}

impl From<String> for Text {
    fn from(s: String) -> Self {
        Self::clean(&s)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d).map(|s| Self::clean(&s))
    }
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn nothing_that_moves_a_cursor_survives() {
        for (dirty, clean) in [
            ("\x1b[31mred\x1b[0m plain", "red plain"),
            ("a\x1b[2J\x1b[10;10Hb", "ab"),
            ("a\x1b]52;c;QUFB\x07b", "ab"),
            ("a\x1bPq#0;2\x1b\\b", "ab"),
            ("one\ntwo\tthree\r", "one two    three"),
            ("safe\u{202e}live", "safe\u{fffd}live"),
            ("gr\u{fc}n \u{65e5}\u{672c}", "gr\u{fc}n \u{65e5}\u{672c}"),
        ] {
            assert_eq!(Text::clean(dirty).as_str(), clean);
        }
    }

    #[test]
    fn what_is_read_from_the_wire_is_cleaned_again() -> Result<(), serde_json::Error> {
        let text: Text = serde_json::from_str("\"a\\u001b[2Jb\"")?;
        assert_eq!(text.as_str(), "ab");
        Ok(())
    }
}
