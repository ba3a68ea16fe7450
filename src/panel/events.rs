//! What happened to the service, oldest first. Owns where one is, whether it follows, what is filtered.

use super::{
    Panel,
    rows::{self, Cell, Filter},
};
use crate::{
    app::state::{Command, Input, Shared},
    model::event::{Event, Level},
    ui::look::{Look, Tone},
};
use ratatui::{buffer::Buffer, layout::Rect};

const COMMANDS: &[Command] = &[
    Command { name: "filter", doc: "show only lines with a text", keys: &["/"], acts: false },
    Command { name: "next-match", doc: "the next line that is shown", keys: &["n"], acts: false },
    Command { name: "previous-match", doc: "the line before that is shown", keys: &["N"], acts: false },
    Command { name: "follow", doc: "stay with the newest line; moving up stops it", keys: &["f"], acts: false },
];

/// Columns before the text of an event.
const BEFORE: usize = 8 + 1 + 6 + 1 + 14 + 1;

/// The timeline.
#[derive(Default)]
pub struct Events {
    /// The marked event, by its number; `None` follows the newest.
    mark: Option<u64>,
    filter: Filter,
}

impl Events {
    fn rows<'a>(&self, shared: &'a Shared) -> Vec<&'a Event> {
        let events = shared.watched().map(|w| w.events.iter()).into_iter().flatten();
        let mut rows: Vec<&Event> = events.filter(|e| self.filter.shows(&[e.what.as_str(), e.by.as_str(), word(e.level)])).collect();
        // What is about a part that was not known yet is heard late, and happened before.
        rows.sort_by_key(|e| (e.at, e.seq));
        rows
    }

    fn at(&self, rows: &[&Event]) -> usize {
        let last = rows.len().saturating_sub(1);
        self.mark.and_then(|seq| rows.iter().position(|e| e.seq >= seq)).unwrap_or(last)
    }
}

const fn word(level: Level) -> &'static str {
    match level {
        Level::Info => "info",
        Level::Warn => "WARN",
        Level::Bad => "BAD",
    }
}

const fn glyph(level: Level, ascii: bool) -> (&'static str, Tone) {
    match (level, ascii) {
        (Level::Info, false) => ("·", Tone::Dim),
        (Level::Info, true) => (".", Tone::Dim),
        (Level::Warn, _) => ("!", Tone::Warn),
        (Level::Bad, false) => ("✗", Tone::Bad),
        (Level::Bad, true) => ("x", Tone::Bad),
    }
}

impl Panel for Events {
    fn id(&self) -> &'static str {
        "events"
    }

    fn title(&self, _shared: &Shared) -> String {
        let follow = if self.mark.is_none() { "following" } else { "stopped, f follows" };
        format!("events · {follow}{}", self.filter.title())
    }

    fn commands(&self) -> &'static [Command] {
        COMMANDS
    }

    fn run(&mut self, command: &str, shared: &Shared) {
        let rows = self.rows(shared);
        let at = self.at(&rows);
        match command {
            "filter" => self.filter.start(),
            "follow" if self.mark.is_none() => self.mark = rows.get(at).map(|e| e.seq),
            "follow" | "bottom" => self.mark = None,
            _ => match rows::moved(command, at, rows.len()) {
                // Up stops following, also where the newest is the only one.
                Some(to) if to != at || self.mark.is_some() || command == "up" => self.mark = rows.get(to).map(|e| e.seq),
                _ => {}
            },
        }
    }

    fn input(&mut self, input: &Input, _shared: &Shared) -> bool {
        self.filter.input(input)
    }

    fn changed(&mut self, _shared: &Shared) {}

    fn draw(&self, shared: &Shared, look: &Look, area: Rect, buf: &mut Buffer) {
        let rows = self.rows(shared);
        if rows.is_empty() {
            return rows::empty(buf, area, look, rows::unseen(shared, "events").unwrap_or("nothing happened yet that fits"));
        }
        let at = self.at(&rows);
        // The marked line has all of its text below the others: what a check printed is evidence.
        let whole = rows.get(at).filter(|_| self.mark.is_some()).map_or("", |e| e.what.as_str());
        let area = rows::whole(buf, area, look, whole, usize::from(area.width).saturating_sub(BEFORE));
        let height = usize::from(area.height);
        let first = rows::first_line(at, rows.len(), height, true);
        for (n, e) in rows.iter().enumerate().skip(first).take(height) {
            let (sign, tone) = glyph(e.level, look.ascii);
            let (time, level) = (rows::clock(e.at), format!("{sign} {}", word(e.level)));
            let cells = [
                Cell::left(&time, 8, look.style(Tone::Dim)),
                Cell::left(&level, 6, look.style(tone)),
                Cell::left(e.by.as_str(), 14, look.style(Tone::Strong)),
                Cell::left(e.what.as_str(), 0, look.style(if e.level == Level::Info { Tone::Plain } else { tone })),
            ];
            rows::row(buf, rows::line(area, n - first), &cells, self.mark.is_some() && n == at, look);
        }
    }

    fn typing(&self) -> bool {
        self.filter.typing()
    }

    fn copy(&self, shared: &Shared) -> Option<String> {
        let rows = self.rows(shared);
        let e = rows.get(self.at(&rows))?;
        Some(format!("{} {} {} {}", e.at.to_rfc3339(), word(e.level), e.by, e.what))
    }
}
