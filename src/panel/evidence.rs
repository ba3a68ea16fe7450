//! What each gate's verdict rests on, and what came of checks and warm-ups: a line for each, and below the
//! one that is unfolded everything that is known. Owns which line is marked and which are unfolded.
//!
//! ```text
//! ✗ FAIL  errors           worse ████░░░░░░ 38:1     23.08 % / 0.03 %   for 41 s
//!   why        23.08/0.03 % (n 1,204), worse 38:1
//!   rule       errors: not 3x stable, or under 5 %; a failure holds the plan
//!   this step  candidate 23.08 % (278 of 1,204), stable 0.03 % (3 of 10,836), 10 min
//! ✓ pass  check, step 2    2 instances passed in 340 ms              for 5 min
//! ```
//!
//! Of a run that is over they are those of when that was decided, under a heading that says so. The gates of a
//! version that has all the traffic stand under a heading of their own: they are no candidate's.

mod alone;
mod came;
mod part;
mod say;

use super::{Panel, rows};
use crate::{
    app::state::{Command, Input, Shared, Watched},
    model::{
        figure::{self, Figure},
        gate::{self, GateState},
        ident::GateId,
        time::{Time, elapsed},
        tried::Tried,
    },
    ui::{
        figure::{long, short_odds},
        gauge,
        look::{Look, Tone},
        row::Row,
        text,
    },
};
use part::Part;
use ratatui::{buffer::Buffer, layout::Rect};
use std::{borrow::Cow, collections::BTreeSet};

const COMMANDS: &[Command] = &[
    Command { name: "unfold", doc: "all that is known of the gate or check, or only its line", keys: &["enter"], acts: false },
    Command { name: "next-gate", doc: "the next gate or check", keys: &["n"], acts: false },
    Command { name: "previous-gate", doc: "the gate or check before", keys: &["N"], acts: false },
];

/// Columns before the text of a line below a gate's.
const TEXT: usize = 13;
/// Columns of the word before a bar.
const WORD: usize = 6;
/// Rows that one line takes at most; copying takes all of it.
const MOST: usize = 8;

/// Gates, checks and warm-ups.
#[derive(Default)]
pub struct Evidence {
    /// The marked line; `None` is the line of the worst.
    mark: Option<Mark>,
    /// What is unfolded; `None` is the worst, whichever that is.
    open: Option<BTreeSet<Id>>,
}

/// A gate, or one try of a check or a warm-up.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Id {
    /// The heading of a part.
    Part(Part),
    Gate(Part, GateId),
    /// By its step, and when that was entered.
    Tried(usize, Time),
}

/// The same with what is known of it.
#[derive(Clone, Copy)]
enum Of<'a> {
    Part(Part),
    Gate(Part, &'a GateState),
    Tried(&'a Tried),
}

/// A line by what it says of what; several of one name are counted.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Mark {
    id: Id,
    label: &'static str,
    nth: usize,
}

/// A line.
struct Line<'a> {
    of: Of<'a>,
    mark: Mark,
    /// What it says; of what has a line of its own nothing.
    said: Option<say::Said>,
}

impl Of<'_> {
    fn id(self) -> Id {
        match self {
            Self::Part(part) => Id::Part(part),
            Self::Gate(part, gate) => Id::Gate(part, gate.id.clone()),
            Self::Tried(tried) => Id::Tried(tried.step, tried.since),
        }
    }

    /// `check, step 2`
    fn name(self) -> String {
        match self {
            Self::Part(_) => String::new(),
            Self::Gate(_, gate) => gate.id.text().to_string(),
            Self::Tried(tried) => format!("{}, step {}", tried.kind, tried.step + 1),
        }
    }

    /// What it came to, in one word and in few.
    fn verdict(self) -> (&'static str, String) {
        match self {
            Self::Part(_) => ("", String::new()),
            Self::Gate(_, gate) => (gate.verdict.word(), gate.verdict.reason().to_string()),
            Self::Tried(tried) => (came::word(tried), tried.result.to_string()),
        }
    }
}

/// What is shown: what failed before there was traffic stands before the gates, what passed after them.
fn shown(w: &Watched) -> impl Iterator<Item = Of<'_>> {
    let tried = |passed: bool| w.rollout.tried.iter().rev().filter(move |t| t.passed == passed).map(Of::Tried);
    let parts = part::all(&w.rollout).into_iter().flat_map(|part| {
        let heading = part.is_named(&w.rollout).then_some(Of::Part(part));
        heading.into_iter().chain(part.gates(&w.rollout).iter().map(move |gate| Of::Gate(part, gate)))
    });
    tried(false).chain(parts).chain(tried(true))
}

/// What is looked at first: what failed where the run stands, else the worst gate of what stands first, else what
/// was tried last.
fn worst(w: &Watched) -> Option<Id> {
    let last = w.rollout.tried.last();
    let here = |t: &&Tried| w.rollout.at.is_some_and(|at| at.index <= t.step);
    let failed = last.filter(|t| !t.passed).filter(here).map(Of::Tried);
    let gate = || part::all(&w.rollout).into_iter().find_map(|part| Some(Of::Gate(part, part.worst_gate(&w.rollout)?)));
    Some(failed.or_else(gate).or_else(|| last.map(Of::Tried))?.id())
}

impl Evidence {
    fn is_open(&self, w: &Watched, id: &Id) -> bool {
        match &self.open {
            Some(open) => open.contains(id),
            None => worst(w).as_ref() == Some(id),
        }
    }

    fn lines<'a>(&self, shared: &'a Shared) -> Vec<Line<'a>> {
        let Some(w) = shared.watched() else { return Vec::new() };
        let mut lines: Vec<Line<'a>> = Vec::new();
        for of in shown(w) {
            let id = of.id();
            lines.push(Line { of, mark: Mark { id: id.clone(), label: "", nth: 0 }, said: None });
            if !self.is_open(w, &id) {
                continue;
            }
            let all = match of {
                Of::Part(_) => Vec::new(),
                Of::Gate(part, gate) => {
                    let (now, silent) = part.seen(shared, w);
                    let failed = part.failed_before(&w.rollout, gate);
                    let all = match part.alone(&w.rollout) {
                        Some(who) => alone::everything(gate, who.as_str(), now, silent),
                        None => say::everything(gate, now, silent),
                    };
                    failed.map(|f| say::said("failed", f.text(Some(gate)), Tone::Bad)).into_iter().chain(all).collect()
                }
                Of::Tried(tried) => came::everything(tried),
            };
            let from = lines.len();
            for said in all {
                let nth = lines.iter().skip(from).filter(|l| l.mark.label == said.label).count();
                lines.push(Line { of, mark: Mark { id: id.clone(), label: said.label, nth }, said: Some(said) });
            }
        }
        lines
    }

    /// A line that is said no longer gives the mark to that of what it is about.
    fn at(&self, shared: &Shared, lines: &[Line<'_>]) -> usize {
        let of = |id: &Id| lines.iter().position(|l| l.said.is_none() && l.mark.id == *id);
        let marked = self.mark.as_ref().and_then(|m| lines.iter().position(|l| l.mark == *m).or_else(|| of(&m.id)));
        marked.or_else(|| of(&worst(shared.watched()?)?)).unwrap_or(0)
    }

    fn unfold(&mut self, id: &Id) {
        let open = self.open.get_or_insert_default();
        if !open.remove(id) {
            open.insert(id.clone());
        }
    }
}

impl Panel for Evidence {
    fn id(&self) -> &'static str {
        "evidence"
    }

    fn title(&self, shared: &Shared) -> String {
        let rollout = shared.watched().map(|w| &w.rollout);
        // Of what stands first, that is what is asked for.
        let part = rollout.and_then(|r| part::all(r).into_iter().next());
        let gates = rollout.zip(part).map(|(r, part)| part.gates(r)).unwrap_or_default();
        let failed = |g: &GateState| rollout.zip(part).is_some_and(|(r, part)| part.failed_before(r, g).is_some());
        let of = |rank: u8| gates.iter().filter(move |g| g.verdict.rank() == rank && !failed(g));
        let counts = (0..=3).filter_map(|rank| Some((of(rank).next()?.verdict.word(), of(rank).count())));
        let before = gates.iter().filter(|g| failed(g)).count();
        let counts = (before > 0).then_some(("FAILED", before)).into_iter().chain(counts);
        let counts = counts.map(|(word, n)| format!("{n} {word}"));
        let tried = shared.watched().and_then(|w| w.rollout.tried.last());
        let counts: Vec<String> = counts.chain(tried.map(|t| format!("{} {}", t.kind, came::word(t)))).collect();
        if counts.is_empty() {
            return "evidence · no gate".into();
        }
        // Its age always stands beside it: the oldest of them, with the silence of the source.
        let silent = shared.watched().and_then(|w| shared.silent(w)).unwrap_or_default();
        let then = rollout.zip(part).and_then(|(r, part)| part.title(r)).unwrap_or_default();
        if !then.is_empty() {
            return format!("evidence · {then}{}", counts.join(", "));
        }
        let ages = gates.iter().filter_map(|g| say::newest(g.evidence.as_ref()?)).map(|age| age.saturating_add(silent));
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
            self.open = shared.watched().and_then(worst).map(|id| BTreeSet::from([id]));
        }
        let lines = self.lines(shared);
        let at = self.at(shared, &lines);
        let is_head = |l: &Line<'_>| l.said.is_none() && !matches!(l.of, Of::Part(_));
        let heads = || lines.iter().enumerate().filter(|(_, l)| is_head(l)).map(|(n, _)| n);
        let to = match command {
            "unfold" => {
                let Some(id) = lines.get(at).map(|l| l.mark.id.clone()) else { return };
                self.mark = Some(Mark { id: id.clone(), label: "", nth: 0 });
                return self.unfold(&id);
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
                None => match line.of {
                    Of::Part(part) => part.draw(shared, look, rows::line(area, y), buf),
                    Of::Gate(part, gate) => head(part, gate, shared, look, rows::line(area, y), buf),
                    Of::Tried(tried) => came::head(tried, shared.now, look, rows::line(area, y), buf),
                },
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
        let name = line.of.name();
        Some(match &line.said {
            Some(said) => format!("{name} {}: {}", said.label, said.text),
            None if matches!(line.of, Of::Part(_)) => return None,
            None => {
                let (word, why) = line.of.verdict();
                format!("{name} {word}: {why}")
            }
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

/// The rows of a line: one of a gate's or check's own, at most [`MOST`] of what is said.
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
fn head(part: Part, gate: &GateState, shared: &Shared, look: &Look, area: Rect, buf: &mut Buffer) {
    let Some(w) = shared.watched() else { return };
    let width = usize::from(area.width);
    let (now, _) = part.seen(shared, w);
    let since = Row::new(*look).add(Tone::Dim, format!("for {}", long(elapsed(now, gate.since))));
    let alone = part.alone(&w.rollout).is_some();
    let glyphs = look.glyphs();
    let name = if width >= 100 { 32 } else { 16 };
    // What has failed and has not passed since is no gate that merely waits; what it says now stands below.
    let failed = part.failed_before(&w.rollout, gate).is_some();
    let (tone, sign) = if failed {
        (Tone::Bad, format!("{} FAILED ", glyphs.fail))
    } else {
        (Tone::of(&gate.verdict), format!("{} {}", glyphs.verdict(&gate.verdict), gate.verdict.word()))
    };
    let name = if failed { name - 1 } else { name };
    let start = Row::new(*look).add(tone, sign).pad(8).name(Tone::Strong, gate.id.text().as_str(), name);
    let both = gate.evidence.as_ref().and_then(|e| if alone { alone::own(gate, e) } else { say::both(gate, e) });
    // What is not fresh is the last that was seen.
    let known = if matches!(gate.verdict, gate::Verdict::Blind { .. }) { Tone::Dim } else { Tone::Plain };
    let with = |bar: Option<Row>| {
        // The bar's word, the bar itself, the odds.
        let column = 8 + name + 1 + if bar.is_some() { WORD + bar_width(width) + 9 } else { 0 };
        let row = bar.into_iter().fold(start.clone(), |row, bar| row.pad(8 + name + 1).join(bar));
        both.iter().fold(row, |row, both| row.plain(" ").pad(column).add(known, both))
    };
    let room = width.saturating_sub(since.width() + 1);
    if start.width() > room {
        return start.cut(width).draw(area, buf);
    }
    // Alone it is worse than nobody.
    let bar = if alone { None } else { nearest(gate, bar_width(width), look) };
    let row = Row::fit(*look, room, [with(bar), with(None), start.clone()]);
    row.draw(area, buf);
    since.draw_right(area, buf);
}

/// `worse ######---- 38:1`: how far the candidate is on the way to the line that fails the gate.
fn nearest(gate: &GateState, cells: usize, look: &Look) -> Option<Row> {
    let evidence = gate.evidence.as_ref().filter(|e| say::counts(gate, e))?;
    let (word, odds, part) = say::nearest(gate, evidence);
    let tone = match &gate.verdict {
        gate::Verdict::Fail { .. } => Tone::Bad,
        gate::Verdict::Blind { .. } => Tone::Dim,
        _ if evidence.holds || evidence.odds >= evidence.lines.worse => Tone::Warn,
        _ => Tone::Plain,
    };
    let odds: Cow<'_, str> = short_odds(odds).into();
    Some(
        Row::new(*look)
            .add(Tone::Dim, word)
            .pad(WORD.max(word.len() + 1))
            .add(tone, gauge::bar(part, cells, look))
            .plain(" ")
            .add(tone, odds),
    )
}
