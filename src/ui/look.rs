//! How things look: glyphs and styles by meaning. State is always glyph, word and colour.

use crate::model::gate::Verdict;
use ratatui::style::{Color, Modifier, Style};
use std::borrow::Cow;

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
    /// A target in its own colour.
    Place(Paint),
    /// The same where it must be seen: in the first line of a screen.
    PlaceBar(Paint),
}

/// The colour of a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Paint {
    /// For what must not break.
    Red,
    /// The other colours a terminal has.
    Yellow,
    /// Green.
    Green,
    /// Cyan.
    Cyan,
    /// Blue.
    Blue,
    /// Magenta.
    Magenta,
}

impl Paint {
    const fn color(self) -> Color {
        match self {
            Self::Red => Color::Red,
            Self::Yellow => Color::Yellow,
            Self::Green => Color::Green,
            Self::Cyan => Color::Cyan,
            Self::Blue => Color::Blue,
            Self::Magenta => Color::Magenta,
        }
    }
}

/// The signs that are drawn, each one column wide unless said otherwise.
#[derive(Debug)]
pub struct Glyphs {
    /// It passed, it is done.
    pub pass: &'static str,
    /// It failed.
    pub fail: &'static str,
    /// It cannot be seen.
    pub blind: &'static str,
    /// It is waited for.
    pub wait: &'static str,
    /// Here; the row or step that is current.
    pub here: &'static str,
    /// Not known. Never a zero.
    pub unknown: &'static str,
    /// Something was cut here; two columns in ASCII.
    pub cut: &'static str,
    /// From here to there; two columns in ASCII.
    pub to: &'static str,
    /// Between things of one line.
    pub dot: &'static str,
    /// Is not the same; two columns in ASCII.
    pub differs: &'static str,
    /// A horizontal line.
    pub across: &'static str,
    /// A vertical line.
    pub down: &'static str,
    /// Corners: top left, top right, bottom left, bottom right.
    pub corners: [&'static str; 4],
    /// The levels of a spark, lowest first. No full block: it would touch the row above.
    pub ladder: [&'static str; 7],
    /// A part of a bar that is there, and one that is not.
    pub bar: [&'static str; 2],
    /// The levels of what fills a chart's cell from below; the last one is the whole cell.
    pub fill: [&'static str; 8],
    /// The levels of a dotted line in a chart's cell, lowest first. No shape of it is one of `fill`.
    pub line: [&'static str; 4],
    /// A limit across a chart.
    pub limit: &'static str,
}

const UNICODE: Glyphs = Glyphs {
    pass: "✓",
    fail: "✗",
    blind: "?",
    wait: "~",
    here: "▶",
    unknown: "–",
    cut: "…",
    to: "→",
    dot: "·",
    differs: "≠",
    across: "─",
    down: "│",
    corners: ["┌", "┐", "└", "┘"],
    ladder: ["▁", "▂", "▃", "▄", "▅", "▆", "▇"],
    bar: ["█", "░"],
    fill: ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
    line: ["⣀", "⠤", "⠒", "⠉"],
    limit: "╌",
};

const ASCII: Glyphs = Glyphs {
    pass: "+",
    fail: "x",
    blind: "?",
    wait: "~",
    here: ">",
    unknown: "-",
    cut: "..",
    to: "->",
    dot: "|",
    differs: "!=",
    across: "-",
    down: "|",
    corners: ["+", "+", "+", "+"],
    ladder: [".", ":", "-", "=", "+", "*", "#"],
    bar: ["#", "-"],
    fill: [".", ".", ":", ":", "+", "+", "#", "#"],
    line: ["_", "_", "-", "'"],
    limit: "=",
};

impl Glyphs {
    /// The sign of a verdict.
    #[must_use]
    pub const fn verdict(&self, verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Pass { .. } => self.pass,
            Verdict::Fail { .. } => self.fail,
            Verdict::Wait { .. } => self.wait,
            Verdict::Blind { .. } => self.blind,
        }
    }
}

impl Tone {
    /// What a verdict means.
    #[must_use]
    pub const fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Pass { .. } => Self::Good,
            Verdict::Fail { .. } => Self::Bad,
            Verdict::Wait { .. } | Verdict::Blind { .. } => Self::Warn,
        }
    }
}

impl Look {
    /// Unicode and colours.
    pub const FULL: Self = Self { ascii: false, color: true };

    /// The signs to draw with.
    #[must_use]
    pub const fn glyphs(&self) -> &'static Glyphs {
        if self.ascii { &ASCII } else { &UNICODE }
    }

    /// What of a text may be drawn: in ASCII mode our own signs become their ASCII forms and every
    /// other character that is not ASCII becomes `?`.
    #[must_use]
    pub fn plain<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if !self.ascii || text.is_ascii() {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                c if c.is_ascii() => out.push(c),
                '…' => out.push_str(ASCII.cut),
                '→' => out.push_str(ASCII.to),
                '≠' => out.push_str(ASCII.differs),
                '–' | '—' | '─' => out.push('-'),
                '·' | '│' => out.push('|'),
                '✓' => out.push_str(ASCII.pass),
                '✗' | '×' => out.push_str(ASCII.fail),
                '▶' => out.push_str(ASCII.here),
                _ => out.push('?'),
            }
        }
        Cow::Owned(out)
    }

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
            Tone::Place(paint) => (Some(paint.color()), Modifier::BOLD),
            Tone::PlaceBar(paint) => (Some(paint.color()), Modifier::BOLD.union(Modifier::REVERSED)),
        };
        let style = Style::new().add_modifier(modifier);
        match color {
            Some(color) if self.color => style.fg(color),
            _ => style,
        }
    }
}
