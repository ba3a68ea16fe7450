//! What the instances print, by version. Owns where one is, whether it follows, and what is filtered.

use super::{
    Panel,
    failed::{next_track, track},
    rows::{self, Cell, Filter},
};
use crate::{
    app::state::{Command, Input, Shared},
    model::{
        event::{LogLine, LogStream},
        ident::Role,
        time::Time,
    },
    ui::{
        figure::compact,
        look::{Look, Tone},
    },
};
use ratatui::{buffer::Buffer, layout::Rect};

const COMMANDS: &[Command] = &[
    Command { name: "filter", doc: "show only lines with a text", keys: &["/"], acts: false },
    Command { name: "follow", doc: "stay with the newest line; moving up stops it", keys: &["f"], acts: false },
    Command { name: "track", doc: "both versions, stable, candidate", keys: &["t"], acts: false },
    Command { name: "next-match", doc: "the next line that is shown", keys: &["n"], acts: false },
    Command { name: "previous-match", doc: "the line before that is shown", keys: &["N"], acts: false },
];

/// The log.
#[derive(Default)]
pub struct Logs {
    /// The marked line, by its number and time; `None` follows the newest.
    mark: Option<(u64, Time)>,
    filter: Filter,
    track: Option<Role>,
}

impl Logs {
    fn shows(&self, line: &LogLine) -> bool {
        self.track.is_none_or(|t| t == line.role) && self.filter.shows(&[line.line.as_str(), line.instance.as_str()])
    }

    /// Where the marked line is among all lines; one that was dropped was the oldest.
    fn at(&self, shared: &Shared) -> usize {
        let last = shared.logs.len().saturating_sub(1);
        let Some((seq, at)) = self.mark else { return last };
        shared.logs.iter().position(|l| l.seq == seq && l.at == at).unwrap_or(0)
    }

    /// The `n`-th line that is shown before (or after) the one at `at`, or the last one that way.
    fn step(&self, shared: &Shared, at: usize, n: usize, forward: bool) -> usize {
        let shown = |i: &usize| shared.logs.get(*i).is_some_and(|l| self.shows(l));
        let to =
            if forward { (at + 1..shared.logs.len()).filter(shown).take(n).last() } else { (0..at).rev().filter(shown).take(n).last() };
        to.unwrap_or(at)
    }
}

/// What a line says, and how it looks.
fn said(line: &LogLine) -> (String, Tone) {
    let missing = if line.lost > 0 {
        format!("[{} missing before this] ", if line.lost == 1 { "1 line".to_owned() } else { format!("{} lines", compact(line.lost)) })
    } else {
        String::new()
    };
    match line.stream {
        LogStream::Out => (format!("{missing}{}", line.line), Tone::Plain),
        LogStream::Err => (format!("{missing}err {}", line.line), Tone::Warn),
        LogStream::End => (format!("{missing}end {}", line.line), Tone::Bad),
    }
}

/// How wide the name of the instance is in an area so wide, where it has room.
const fn named(width: u16) -> Option<usize> {
    match width {
        0..70 => None,
        70..120 => Some(10),
        _ => Some(16),
    }
}

impl Panel for Logs {
    fn id(&self) -> &'static str {
        "logs"
    }

    fn title(&self, shared: &Shared) -> String {
        let track = self.track.map(|t| format!(" · {t} only")).unwrap_or_default();
        let dropped = if shared.logs_dropped > 0 { format!(" · {} dropped", shared.logs_dropped) } else { String::new() };
        let follow = if self.mark.is_none() { "following" } else { "stopped, f follows" };
        format!("logs · {follow}{track}{}{dropped}", self.filter.title())
    }

    fn commands(&self) -> &'static [Command] {
        COMMANDS
    }

    fn run(&mut self, command: &str, shared: &Shared) {
        let (at, all) = (self.at(shared), shared.logs.len());
        let to = match command {
            "filter" => return self.filter.start(),
            "track" => {
                self.track = next_track(self.track);
                return;
            }
            "follow" => {
                self.mark = match self.mark {
                    None => shared.logs.back().map(|l| (l.seq, l.at)),
                    Some(_) => None,
                };
                return;
            }
            "down" | "next-match" => self.step(shared, at, 1, true),
            "up" | "previous-match" => self.step(shared, at, 1, false),
            "page-down" => self.step(shared, at, rows::PAGE, true),
            "page-up" => self.step(shared, at, rows::PAGE, false),
            "top" => self.step(shared, at, all, false),
            "bottom" => {
                self.mark = None;
                return;
            }
            _ => return,
        };
        // Down from the newest line goes on following; up from it stops, also where it is the only one.
        if self.mark.is_some() || to != at || command == "up" {
            self.mark = shared.logs.get(to).map(|l| (l.seq, l.at));
        }
    }

    fn input(&mut self, input: &Input, _shared: &Shared) -> bool {
        self.filter.input(input)
    }

    fn changed(&mut self, _shared: &Shared) {}

    fn draw(&self, shared: &Shared, look: &Look, area: Rect, buf: &mut Buffer) {
        let at = self.at(shared);
        // The marked line has all of its text below the others: its end is where an error says why.
        let marked = shared.logs.get(at).filter(|l| self.mark.is_some() && self.shows(l));
        let before = 8 + 1 + 9 + 1 + named(area.width).map_or(0, |width| width + 1);
        let whole = marked.map(|l| said(l).0).unwrap_or_default();
        let area = rows::whole(buf, area, look, &whole, usize::from(area.width).saturating_sub(before));
        let height = usize::from(area.height);
        let shown = |(_, l): &(usize, &LogLine)| self.shows(l);
        let numbered = || shared.logs.iter().enumerate();
        // The marked line is the last row; rows that stay free above it are filled from below.
        let mut lines: Vec<(usize, &LogLine)> = numbered().take(at + 1).rev().filter(shown).take(height).collect();
        lines.reverse();
        let room = height.saturating_sub(lines.len());
        lines.extend(numbered().skip(at + 1).filter(shown).take(room));
        if lines.is_empty() {
            return rows::empty(buf, area, look, "no line yet that fits");
        }
        for (n, (i, l)) in lines.into_iter().enumerate() {
            let (word, style) = track(Some(l.role), look);
            let (time, instance) = (rows::clock(l.at), l.instance.text());
            let (text, tone) = said(l);
            let dim = look.style(Tone::Dim);
            let mut cells = vec![Cell::left(&time, 8, dim), Cell::left(&word, 9, style)];
            if let Some(width) = named(area.width) {
                cells.push(Cell::left(instance.as_str(), width, dim));
            }
            cells.push(Cell::left(&text, 0, look.style(tone)));
            rows::row(buf, rows::line(area, n), &cells, self.mark.is_some() && i == at, look);
        }
    }

    fn wants_logs(&self) -> bool {
        true
    }

    fn typing(&self) -> bool {
        self.filter.typing()
    }

    fn copy(&self, shared: &Shared) -> Option<String> {
        let line = shared.logs.get(self.at(shared))?;
        Some(format!("{} {} {} {}", line.at.to_rfc3339(), line.version, line.instance.text(), line.line))
    }
}
