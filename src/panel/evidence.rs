//! What each gate's verdict rests on: a line for each gate, and below the one that is unfolded everything
//! that is known. Owns which line is marked and which gates are unfolded.
//!
//! ```text
//! ✗ FAIL  errors           worse ████░░░░░░ 38:1     23.08 % / 0.03 %   for 41 s
//!   why        23.08/0.03 % (n 1,204), worse 38:1
//!   rule       errors: not 3x stable, or under 5 %; a failure holds the plan
//!   this step  candidate 23.08 % (278 of 1,204), stable 0.03 % (3 of 10,836), 10 min
//! ```

mod say;

use super::{Panel, rows};
use crate::{
    app::state::{Command, Input, Shared, Watched},
    model::{
        figure::{self, Figure},
        gate::{self, GateState},
        ident::GateId,
        time::elapsed,
    },
    ui::{
        figure::{long, short_odds},
        gauge,
        look::{Look, Tone},
        row::Row,
        text,
    },
};
use ratatui::{buffer::Buffer, layout::Rect};
use std::{borrow::Cow, collections::BTreeSet};

const COMMANDS: &[Command] = &[
    Command { name: "unfold", doc: "all that is known of the gate, or only its line", keys: &["enter"], acts: false },
    Command { name: "next-gate", doc: "the next gate", keys: &["n"], acts: false },
    Command { name: "previous-gate", doc: "the gate before", keys: &["N"], acts: false },
];

/// Columns before the text of a line below a gate's.
const TEXT: usize = 13;
/// Rows that one line takes at most; copying takes all of it.
const MOST: usize = 8;

/// The gates.
#[derive(Default)]
pub struct Evidence {
    /// The marked line; `None` is the line of the worst gate.
    mark: Option<Mark>,
    /// The gates that are unfolded; `None` is the worst one, whichever that is.
    open: Option<BTreeSet<GateId>>,
}

/// A line by what it says of which gate; several of one name are counted.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Mark {
    gate: GateId,
    label: &'static str,
    nth: usize,
}

/// A line.
struct Line<'a> {
    gate: &'a GateState,
    mark: Mark,
    /// What it says; of a gate's own line nothing.
    said: Option<say::Said>,
}

impl Evidence {
    fn is_open(&self, w: &Watched, gate: &GateState) -> bool {
        match &self.open {
            Some(open) => open.contains(&gate.id),
            None => w.rollout.worst_gate().is_some_and(|worst| worst.id == gate.id),
        }
    }

    fn lines<'a>(&self, shared: &'a Shared) -> Vec<Line<'a>> {
        let Some(w) = shared.watched() else { return Vec::new() };
        let mut lines: Vec<Line<'a>> = Vec::new();
        for gate in &w.rollout.gates {
            lines.push(Line { gate, mark: Mark { gate: gate.id.clone(), label: "", nth: 0 }, said: None });
            if !self.is_open(w, gate) {
                continue;
            }
            let from = lines.len();
            for said in say::everything(gate, shared.now, shared.silent(w).unwrap_or_default()) {
                let nth = lines.iter().skip(from).filter(|l| l.mark.label == said.label).count();
                lines.push(Line { gate, mark: Mark { gate: gate.id.clone(), label: said.label, nth }, said: Some(said) });
            }
        }
        lines
    }

    /// A line that is said no longer gives the mark to its gate's.
    fn at(&self, shared: &Shared, lines: &[Line<'_>]) -> usize {
        let of = |gate: &GateId| lines.iter().position(|l| l.said.is_none() && l.mark.gate == *gate);
        let marked = self.mark.as_ref().and_then(|m| lines.iter().position(|l| l.mark == *m).or_else(|| of(&m.gate)));
        let worst = || of(&shared.watched()?.rollout.worst_gate()?.id);
        marked.or_else(worst).unwrap_or(0)
    }

    fn unfold(&mut self, gate: &GateId) {
        let open = self.open.get_or_insert_default();
        if !open.remove(gate) {
            open.insert(gate.clone());
        }
    }
}

impl Panel for Evidence {
    fn id(&self) -> &'static str {
        "evidence"
    }

    fn title(&self, shared: &Shared) -> String {
        let gates = shared.watched().map(|w| w.rollout.gates.as_slice()).unwrap_or_default();
        let of = |rank: u8| gates.iter().filter(move |g| g.verdict.rank() == rank);
        let counts = (0..=3).filter_map(|rank| Some((of(rank).next()?.verdict.word(), of(rank).count())));
        let counts: Vec<String> = counts.map(|(word, n)| format!("{n} {word}")).collect();
        if counts.is_empty() {
            return "evidence · no gate".into();
        }
        // Its age always stands beside it: the oldest of them, with the silence of the source.
        let silent = shared.watched().and_then(|w| shared.silent(w)).unwrap_or_default();
        let ages = gates.iter().filter_map(|g| g.evidence.as_ref()).filter(|e| e.intervals > 0).map(|e| e.age.saturating_add(silent));
        let age = ages.max().map(|age| format!(" · newest sample {} old", say::measured(age))).unwrap_or_default();
        format!("evidence · {}{age}", counts.join(", "))
    }

    fn commands(&self) -> &'static [Command] {
        COMMANDS
    }

    fn figures(&self) -> &'static [Figure] {
        figure::EVIDENCE
    }

    fn run(&mut self, command: &str, shared: &Shared) {
        // From the first key on nothing unfolds by itself.
        if self.open.is_none() {
            let worst = shared.watched().and_then(|w| w.rollout.worst_gate());
            self.open = worst.map(|gate| BTreeSet::from([gate.id.clone()]));
        }
        let lines = self.lines(shared);
        let at = self.at(shared, &lines);
        let heads = || lines.iter().enumerate().filter(|(_, l)| l.said.is_none()).map(|(n, _)| n);
        let to = match command {
            "unfold" => {
                let Some(gate) = lines.get(at).map(|l| l.mark.gate.clone()) else { return };
                self.mark = Some(Mark { gate: gate.clone(), label: "", nth: 0 });
                return self.unfold(&gate);
            }
            "next-gate" => heads().find(|n| *n > at).or(Some(at)),
            "previous-gate" => heads().rfind(|n| *n < at).or(Some(at)),
            _ => rows::moved(command, at, lines.len()),
        };
        self.mark = to.and_then(|n| lines.get(n)).map(|l| l.mark.clone());
    }

    fn input(&mut self, _input: &Input, _shared: &Shared) -> bool {
        false
    }

    fn changed(&mut self, _shared: &Shared) {}

    fn draw(&self, shared: &Shared, look: &Look, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        let lines = self.lines(shared);
        if lines.is_empty() {
            return rows::empty(buf, area, look, "no gate judges this rollout");
        }
        let (width, height) = (usize::from(area.width), usize::from(area.height));
        let texts: Vec<Vec<String>> = lines.iter().map(|l| wrapped(l, width, look)).collect();
        let at = self.at(shared, &lines);
        let (mut y, first) = (0, first(&texts, at, height));
        for (n, (line, text)) in lines.iter().zip(&texts).enumerate().skip(first) {
            let room = height.saturating_sub(y);
            if room == 0 {
                break;
            }
            match &line.said {
                None => head(line.gate, shared, look, rows::line(area, y), buf),
                Some(said) => {
                    for (i, part) in text.iter().take(room).enumerate() {
                        let label = if i == 0 { said.label } else { "" };
                        let row = Row::new(*look).plain("  ").add(Tone::Dim, label).pad(TEXT).add(said.tone, part);
                        row.cut(width).draw(rows::line(area, y + i), buf);
                    }
                }
            }
            let taken = text.len().min(room);
            if self.mark.is_some() && n == at {
                let height = u16::try_from(taken).unwrap_or(u16::MAX);
                buf.set_style(Rect { height, ..rows::line(area, y) }.intersection(area), look.style(Tone::Alert));
            }
            y += taken;
        }
    }

    fn copy(&self, shared: &Shared) -> Option<String> {
        self.mark.as_ref()?;
        let lines = self.lines(shared);
        let line = lines.get(self.at(shared, &lines))?;
        let name = line.gate.id.text();
        Some(match &line.said {
            Some(said) => format!("{name} {}: {}", said.label, said.text),
            None => format!("{name} {}: {}", line.gate.verdict.word(), line.gate.verdict.reason()),
        })
    }
}

/// The first line to draw: the marked one, or an earlier one if what follows it does not fill the place.
fn first(texts: &[Vec<String>], mark: usize, height: usize) -> usize {
    let mut left = height;
    let fits = texts.iter().rev().take_while(|text| {
        let fits = text.len() <= left;
        left = left.saturating_sub(text.len());
        fits
    });
    mark.min(texts.len() - fits.count())
}

/// The rows of a line: one of a gate's own, at most [`MOST`] of what is said.
fn wrapped(line: &Line<'_>, width: usize, look: &Look) -> Vec<String> {
    let Some(said) = &line.said else { return vec![String::new()] };
    let room = width.saturating_sub(TEXT);
    let bar = said.bar.map(|part| format!("{} ", gauge::bar(part, bar_width(width), look))).unwrap_or_default();
    let mut rows = text::wrap(&look.plain(&format!("{bar}{}", said.text)), room);
    if rows.len() > MOST {
        rows.truncate(MOST);
        if let Some(last) = rows.last_mut() {
            // One column too many forces the mark.
            *last = text::cut_end(&format!("{last}{}", " ".repeat(room + 1)), room, look).into_owned();
        }
    }
    if rows.is_empty() {
        rows.push(String::new());
    }
    rows
}

const fn bar_width(width: usize) -> usize {
    if width >= 100 { 20 } else { 10 }
}

/// A gate's own line: verdict, name, how sure it is, both versions, since when.
fn head(gate: &GateState, shared: &Shared, look: &Look, area: Rect, buf: &mut Buffer) {
    let width = usize::from(area.width);
    let since = Row::new(*look).add(Tone::Dim, format!("for {}", long(elapsed(shared.now, gate.since))));
    let glyphs = look.glyphs();
    let name = if width >= 100 { 32 } else { 16 };
    let sign = format!("{} {}", glyphs.verdict(&gate.verdict), gate.verdict.word());
    let start = Row::new(*look).add(Tone::of(&gate.verdict), sign).pad(8).name(Tone::Strong, gate.id.text().as_str(), name);
    let both = gate.evidence.as_ref().and_then(|e| say::both(gate, e));
    let with = |bar: Option<Row>| {
        // The bar's word, the bar itself, the odds.
        let column = 8 + name + 1 + if bar.is_some() { 6 + bar_width(width) + 9 } else { 0 };
        let row = bar.into_iter().fold(start.clone(), |row, bar| row.pad(8 + name + 1).join(bar));
        both.iter().fold(row, |row, both| row.pad(column).plain(both))
    };
    let room = width.saturating_sub(since.width() + 1);
    if start.width() > room {
        return start.cut(width).draw(area, buf);
    }
    let row = Row::fit(*look, room, [with(worse(gate, bar_width(width), look)), with(None), start.clone()]);
    row.draw(area, buf);
    since.draw_right(area, buf);
}

/// `worse ######---- 38:1`: how far the candidate is on the way to its line.
fn worse(gate: &GateState, cells: usize, look: &Look) -> Option<Row> {
    let evidence = gate.evidence.as_ref().filter(|e| e.quantile.is_none())?;
    let part = evidence.worse_part();
    let tone = match &gate.verdict {
        gate::Verdict::Fail { .. } => Tone::Bad,
        _ if evidence.holds || evidence.odds >= evidence.lines.worse => Tone::Warn,
        _ => Tone::Plain,
    };
    // What is nearer to its line is told.
    let by_change = gate::way(evidence.change, evidence.lines.change) > gate::way(evidence.odds, evidence.lines.fail);
    let odds: Cow<'_, str> = short_odds(if by_change { evidence.change } else { evidence.odds }).into();
    Some(Row::new(*look).add(Tone::Dim, say::question(evidence)).pad(6).add(tone, gauge::bar(part, cells, look)).plain(" ").add(tone, odds))
}
