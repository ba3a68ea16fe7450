//! How things look: glyphs and styles by meaning. State is always glyph, word and colour.

use ratatui::style::{Color, Modifier, Style};

/// The terminal's abilities as far as they change what is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Look {
    /// Draw with ASCII only: no character of ambiguous width.
    pub ascii: bool,
    /// Use colours; without them only bold, dim and reverse tell things apart.
    pub color: bool,
}

/// What a style means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    /// Ordinary text.
    Plain,
    /// Labels and what matters less.
    Dim,
    /// Names and what is looked for.
    Strong,
    /// It is as it should be.
    Good,
    /// Somebody should look.
    Warn,
    /// It is broken.
    Bad,
    /// The stable version's own colour.
    Stable,
    /// The candidate's own colour.
    Candidate,
    /// A bar that must be seen: preview titles.
    Alert,
}

impl Look {
    /// Unicode and colours.
    pub const FULL: Self = Self { ascii: false, color: true };

    /// The style of a meaning, with attributes that tell it apart without colour.
    #[must_use]
    pub fn style(&self, tone: Tone) -> Style {
        let (color, modifier) = match tone {
            Tone::Plain => (None, Modifier::empty()),
            Tone::Dim => (None, Modifier::DIM),
            Tone::Strong => (None, Modifier::BOLD),
            Tone::Good => (Some(Color::Green), Modifier::empty()),
            Tone::Warn => (Some(Color::Yellow), Modifier::empty()),
            Tone::Bad => (Some(Color::Red), Modifier::BOLD),
            Tone::Stable => (Some(Color::Blue), Modifier::empty()),
            Tone::Candidate => (Some(Color::Magenta), Modifier::empty()),
            Tone::Alert => (None, Modifier::BOLD.union(Modifier::REVERSED)),
        };
        let style = Style::new().add_modifier(modifier);
        match color {
            Some(color) if self.color => style.fg(color),
            _ => style,
        }
    }
}
