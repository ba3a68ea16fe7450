//! What is wrong and no figure says, each in full: what was found, since when, and what heals it. Owns which one is
//! marked.

use super::{
    Panel,
    rows::{self, Cell},
};
use crate::{
    app::state::{Command, Input, Shared},
    model::{
        rollout::{Finding, Phase},
        text::Text,
        time::{elapsed, span},
    },
    ui::{
        look::{Look, Tone},
        text,
    },
};
use ratatui::{buffer::Buffer, layout::Rect};

/// Columns before the text: kind and age.
const BEFORE: usize = 12 + 1 + 8 + 1;

/// The findings.
#[derive(Default)]
pub struct Findings {
    /// The marked one, by its kind and how many of that kind stand above it.
    mark: Option<(Text, usize)>,
}

/// A finding with what tells it from the others of its kind.
struct Found<'a> {
    id: (Text, usize),
    finding: &'a Finding,
}

fn all(shared: &Shared) -> Vec<Found<'_>> {
    let mut all: Vec<Found<'_>> = Vec::new();
    for finding in shared.watched().map(|w| w.rollout.findings.as_slice()).unwrap_or_default() {
        let nth = all.iter().filter(|f| f.finding.kind == finding.kind).count();
        all.push(Found { id: (finding.kind.clone(), nth), finding });
    }
    all
}

/// The runtime's own words for why it failed, which have no room in the second line.
fn failed(shared: &Shared) -> Option<&Text> {
    let r = &shared.watched()?.rollout;
    r.reason.as_ref().filter(|_| r.phase == Phase::Failed)
}

impl Findings {
    fn at(&self, all: &[Found<'_>]) -> usize {
        self.mark.as_ref().and_then(|id| all.iter().position(|f| f.id == *id)).unwrap_or(0)
    }
}

/// Draws wrapped text behind its first cells; the lines it took.
#[expect(clippy::too_many_arguments, reason = "one row of a list")]
fn say(buf: &mut Buffer, area: Rect, y: usize, kind: &str, age: &str, what: &str, tone: Tone, marked: bool, look: &Look) -> usize {
    let width = usize::from(area.width).saturating_sub(BEFORE).max(8);
    let lines = text::wrap(&look.plain(what), width);
    for (n, line) in lines.iter().enumerate() {
        if y + n >= usize::from(area.height) {
            break;
        }
        let first = n == 0;
        let cells = [
            Cell::left(if first { kind } else { "" }, 12, look.style(tone)),
            Cell::right(if first { age } else { "" }, 8, look.style(Tone::Dim)),
            Cell::left(line, 0, look.style(Tone::Plain)),
        ];
        rows::row(buf, rows::line(area, y + n), &cells, marked, look);
    }
    lines.len()
}

impl Panel for Findings {
    fn id(&self) -> &'static str {
        "findings"
    }

    fn title(&self, shared: &Shared) -> String {
        match all(shared).len() {
            0 => "findings · none".to_owned(),
            n => format!("findings · {n}, the most important first"),
        }
    }

    fn commands(&self) -> &'static [Command] {
        &[]
    }

    fn run(&mut self, command: &str, shared: &Shared) {
        let all = all(shared);
        let to = rows::moved(command, self.at(&all), all.len());
        self.mark = to.and_then(|n| all.get(n)).map(|f| f.id.clone());
    }

    fn input(&mut self, _input: &Input, _shared: &Shared) -> bool {
        false
    }

    fn changed(&mut self, shared: &Shared) {
        if self.mark.as_ref().is_some_and(|id| !all(shared).iter().any(|f| f.id == *id)) {
            self.mark = None;
        }
    }

    fn draw(&self, shared: &Shared, look: &Look, area: Rect, buf: &mut Buffer) {
        let all = all(shared);
        let failed = failed(shared);
        if all.is_empty() && failed.is_none() {
            return rows::empty(buf, area, look, "nothing was found beside what stands above");
        }
        let mut y = 0;
        if let Some(reason) = failed {
            y += say(buf, area, y, "failed", "", reason.as_str(), Tone::Bad, false, look);
        }
        // What is marked is drawn first where not all have room.
        let skip = if self.mark.is_some() { self.at(&all) } else { 0 };
        for (n, Found { finding, .. }) in all.iter().enumerate().skip(skip) {
            let age = span(elapsed(shared.there_now(), finding.since));
            let marked = self.mark.is_some() && n == self.at(&all);
            y += say(buf, area, y, finding.kind.as_str(), &age, finding.what.as_str(), Tone::Warn, marked, look);
            if y >= usize::from(area.height) {
                break;
            }
        }
    }

    fn copy(&self, shared: &Shared) -> Option<String> {
        let all = all(shared);
        all.get(self.at(&all)).map(|f| format!("{}: {}", f.finding.kind, f.finding.what))
    }
}
