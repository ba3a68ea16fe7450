//! The last failed requests of both versions, newest first. Owns where one is and what is filtered.

use super::{
    Panel,
    rows::{self, Cell, Filter},
};
use crate::{
    app::state::{Command, Input, Shared, Watched},
    model::{
        event::FailedRequest,
        ident::{Role, VersionId},
        time::Time,
    },
    ui::look::{Look, Tone},
};
use ratatui::{buffer::Buffer, layout::Rect};
use std::cmp::Reverse;
use unicode_width::UnicodeWidthStr;

const COMMANDS: &[Command] = &[
    Command { name: "filter", doc: "show only lines with a text", keys: &["/"], acts: false },
    Command { name: "track", doc: "both versions, stable, candidate", keys: &["t"], acts: false },
    Command { name: "next-match", doc: "the next line that is shown", keys: &["n"], acts: false },
    Command { name: "previous-match", doc: "the line before that is shown", keys: &["N"], acts: false },
];

/// The failed requests.
#[derive(Default)]
pub struct Failed {
    /// The marked request; `None` stays with the newest.
    mark: Option<(Time, VersionId, usize)>,
    filter: Filter,
    track: Option<Role>,
}

/// A request with its version.
struct Row<'a> {
    version: &'a VersionId,
    role: Option<Role>,
    /// Which of its version's requests of this instant: two in one millisecond are two.
    nth: usize,
    request: &'a FailedRequest,
}

impl Failed {
    fn rows<'a>(&self, w: &'a Watched) -> Vec<Row<'a>> {
        let mut rows: Vec<Row<'a>> = Vec::new();
        for (version, requests) in &w.failed {
            let role = w.rollout.tracks.iter().find(|t| t.version.id == *version).map(|t| t.role);
            if self.track.is_some() && self.track != role {
                continue;
            }
            let mut before: Option<(Time, usize)> = None;
            for request in requests {
                let nth = before.filter(|(at, _)| *at == request.at).map_or(0, |(_, n)| n + 1);
                before = Some((request.at, nth));
                if self.filter.shows(&[request.method.as_str(), request.path.as_str(), &answer(request), &instance(request)]) {
                    rows.push(Row { version, role, nth, request });
                }
            }
        }
        rows.sort_by_key(|r| Reverse((r.request.at, r.nth)));
        rows
    }

    fn at(&self, rows: &[Row<'_>]) -> usize {
        let Some((at, version, nth)) = &self.mark else { return 0 };
        let same = |r: &Row<'_>| r.request.at == *at && r.version == version && r.nth == *nth;
        // One that is kept no longer was among the oldest.
        rows.iter()
            .position(same)
            .unwrap_or_else(|| rows.iter().take_while(|r| r.request.at > *at).count().min(rows.len().saturating_sub(1)))
    }
}

fn answer(request: &FailedRequest) -> String {
    match (&request.status, &request.error) {
        (Some(status), Some(error)) => format!("{status} {error}"),
        (Some(status), None) => status.to_string(),
        (None, Some(error)) => error.to_string(),
        (None, None) => "no answer".to_owned(),
    }
}

fn instance(request: &FailedRequest) -> String {
    request.instance.as_ref().map_or_else(|| "-".to_owned(), |i| i.text().to_string())
}

/// The word and style of a track.
pub(super) fn track(role: Option<Role>, look: &Look) -> (String, ratatui::style::Style) {
    match role {
        Some(Role::Stable) => ("stable".to_owned(), look.style(Tone::Stable)),
        Some(Role::Candidate) => ("candidate".to_owned(), look.style(Tone::Candidate)),
        Some(Role::Superseded) => ("old".to_owned(), look.style(Tone::Dim)),
        Some(other) => (other.to_string(), look.style(Tone::Dim)),
        None => ("gone".to_owned(), look.style(Tone::Dim)),
    }
}

/// The next choice of tracks: both, stable, candidate.
pub(super) const fn next_track(track: Option<Role>) -> Option<Role> {
    match track {
        None => Some(Role::Stable),
        Some(Role::Stable) => Some(Role::Candidate),
        Some(_) => None,
    }
}

impl Panel for Failed {
    fn id(&self) -> &'static str {
        "failed"
    }

    fn title(&self, shared: &Shared) -> String {
        let n = shared.watched().map_or(0, |w| w.failed.values().map(Vec::len).sum::<usize>());
        let track = self.track.map(|t| format!(" · {t} only")).unwrap_or_default();
        format!("failed requests · last {n}{track}{}", self.filter.title())
    }

    fn commands(&self) -> &'static [Command] {
        COMMANDS
    }

    fn run(&mut self, command: &str, shared: &Shared) {
        match command {
            "filter" => return self.filter.start(),
            "track" => {
                self.track = next_track(self.track);
                return;
            }
            _ => {}
        }
        let Some(w) = shared.watched() else { return };
        let rows = self.rows(w);
        let to = rows::moved(command, self.at(&rows), rows.len()).filter(|to| *to > 0 || command == "down");
        self.mark = to.and_then(|to| rows.get(to)).map(|r| (r.request.at, r.version.clone(), r.nth));
    }

    fn input(&mut self, input: &Input, _shared: &Shared) -> bool {
        self.filter.input(input)
    }

    fn changed(&mut self, _shared: &Shared) {}

    fn draw(&self, shared: &Shared, look: &Look, area: Rect, buf: &mut Buffer) {
        let rows = shared.watched().map(|w| self.rows(w)).unwrap_or_default();
        if rows.is_empty() {
            return rows::empty(buf, area, look, "no failed request is kept that fits");
        }
        let at = self.at(&rows);
        let share = (usize::from(area.width).saturating_sub(27) * 2 / 5).max(8);
        // What is cut of the marked one stands whole below the others.
        let marked = rows.get(at).filter(|_| self.mark.is_some()).map(|r| (r.request.path.as_str(), answer(r.request)));
        let cut = marked.filter(|(path, answer)| path.width() > share || answer.width() > share);
        let whole = cut.map(|(path, answer)| format!("{path}  {answer}")).unwrap_or_default();
        let area = rows::whole(buf, area, look, &whole, 0);
        let height = usize::from(area.height);
        let first = rows::first_line(at, rows.len(), height, false);
        for (n, r) in rows.iter().enumerate().skip(first).take(height) {
            let (word, style) = track(r.role, look);
            let (plain, bad) = (look.style(Tone::Plain), look.style(Tone::Bad));
            let (time, answer, instance) = (rows::clock(r.request.at), answer(r.request), instance(r.request));
            let cells = [
                Cell::left(&time, 8, look.style(Tone::Dim)),
                Cell::left(&word, 9, style),
                Cell::left(r.request.method.as_str(), 6, plain),
                Cell::left(r.request.path.as_str(), share, plain),
                Cell::left(&answer, share, bad),
                Cell::left(&instance, 0, look.style(Tone::Dim)),
            ];
            rows::row(buf, rows::line(area, n - first), &cells, self.mark.is_some() && n == at, look);
        }
    }

    fn typing(&self) -> bool {
        self.filter.typing()
    }

    fn copy(&self, shared: &Shared) -> Option<String> {
        let rows = self.rows(shared.watched()?);
        let r = rows.get(self.at(&rows))?.request;
        Some(format!("{} {} {} {} {}", r.at.to_rfc3339(), r.method, r.path, answer(r), instance(r)))
    }
}
