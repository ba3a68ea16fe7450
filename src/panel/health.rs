//! The course of each signal, both versions in one chart: where a weight began, where nothing was measured,
//! what both do now. Owns which signal is marked and how far back one looks.

use super::{Panel, failed::track, rows};
use crate::{
    app::state::{Command, Input, Shared, Watched},
    model::{
        figure::{self as figures, Figure},
        gate::GateState,
        history::{History, Span},
        ident::Role,
        rollout::Rollout,
        signal::{Reading, Signal, SignalId, Unit},
        time::{Time, elapsed, span},
        version::Track,
    },
    ui::{
        chart::{Chart, Frame, GUTTER},
        figure,
        look::{Look, Tone},
        row::Row,
        spark,
    },
};
use ratatui::{buffer::Buffer, layout::Rect};
use std::{collections::BTreeSet, time::Duration};

const COMMANDS: &[Command] = &[
    Command { name: "shorter", doc: "a shorter time, in finer steps", keys: &["+", "="], acts: false },
    Command { name: "longer", doc: "a longer time, in coarser steps", keys: &["-"], acts: false },
];

/// Rows that a chart gets before another one is drawn below it.
const ROWS: u16 = 7;
/// A run that began no longer ago fits into two minutes.
const YOUNG: Duration = Duration::from_secs(120);
/// Columns that a chart gets before another one is drawn beside it.
const COLUMNS: u16 = 56;

/// Signals that a past is kept of, in the order they are drawn.
const KEPT: [SignalId; 5] = [SignalId::Errors, SignalId::P99, SignalId::Requests, SignalId::Slow, SignalId::P50];

/// The health of both versions.
#[derive(Default)]
pub struct Health {
    /// The marked signal; `None` is the first.
    mark: Option<SignalId>,
    /// How far back; `None` as long as nobody has chosen: as far as the run goes, if that is short.
    span: Option<Span>,
}

/// The two versions that are compared: stable, and the candidate or else what was replaced.
fn sides(w: &Watched) -> [Option<&Track>; 2] {
    [w.rollout.stable(), w.rollout.candidate().or_else(|| w.rollout.track(Role::Superseded))]
}

/// What is measured of either version: each signal with a past alone, then all others together.
fn signals(w: &Watched) -> Vec<Vec<SignalId>> {
    let known: BTreeSet<SignalId> = sides(w).into_iter().flatten().flat_map(|t| t.signals.keys()).copied().collect();
    let mut all: Vec<Vec<SignalId>> = KEPT.into_iter().filter(|id| known.contains(id)).map(|id| vec![id]).collect();
    let others: Vec<SignalId> = known.into_iter().filter(|id| !KEPT.contains(id)).collect();
    all.extend((!others.is_empty()).then_some(others));
    all
}

impl Health {
    fn at(&self, signals: &[Vec<SignalId>]) -> usize {
        self.mark.and_then(|id| signals.iter().position(|s| s.contains(&id))).unwrap_or(0)
    }

    fn span(&self, shared: &Shared) -> Span {
        let now = shared.there_now();
        let recent = |at: Time| elapsed(now, at) <= YOUNG;
        let known = |r: &Rollout| r.started.iter().map(|s| s.at).chain(r.marks.iter().map(|m| m.at)).min();
        let seconds = |w: &Watched| w.history.values().any(|h| h.of(Span::Minutes).back().is_some_and(|p| recent(p.at)));
        let run = shared.watched().filter(|w| w.rollout.candidate().is_some() && seconds(w));
        let is_young = run.and_then(|w| known(&w.rollout)).is_some_and(recent);
        self.span.unwrap_or(if is_young { Span::Minutes } else { Span::default() })
    }

    fn stretch(&mut self, shared: &Shared, to: impl Fn(usize) -> usize) {
        let now = self.span(shared);
        let at = Span::ALL.iter().position(|s| *s == now).unwrap_or(0);
        self.span = Some(Span::ALL.get(to(at)).copied().unwrap_or(now));
    }
}

impl Panel for Health {
    fn id(&self) -> &'static str {
        "health"
    }

    fn title(&self, shared: &Shared) -> String {
        let all = shared.watched().map(signals).unwrap_or_default();
        let at = self.at(&all);
        let words = |s: &[SignalId]| s.iter().map(|id| id.word()).collect::<Vec<_>>().join(", ");
        let signal = all.get(at).map(|s| format!(" · {} {} of {}", words(s), at + 1, all.len())).unwrap_or_default();
        format!("health · {}{signal}", self.span(shared).word())
    }

    fn commands(&self) -> &'static [Command] {
        COMMANDS
    }

    fn figures(&self) -> &'static [Figure] {
        figures::HEALTH
    }

    fn run(&mut self, command: &str, shared: &Shared) {
        match command {
            "shorter" => return self.stretch(shared, |at| at.saturating_sub(1)),
            "longer" => return self.stretch(shared, |at| at + 1),
            _ => {}
        }
        let all = shared.watched().map(signals).unwrap_or_default();
        let to = rows::moved(command, self.at(&all), all.len());
        self.mark = to.and_then(|n| all.get(n)?.first()).copied();
    }

    fn input(&mut self, _input: &Input, _shared: &Shared) -> bool {
        false
    }

    fn changed(&mut self, _shared: &Shared) {}

    fn draw(&self, shared: &Shared, look: &Look, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        let Some(w) = shared.watched() else { return rows::empty(buf, area, look, "no rollout is open") };
        let all = signals(w);
        if all.is_empty() || area.is_empty() {
            return rows::empty(buf, area, look, "nothing is measured of this rollout");
        }
        let (across, down) = tiles(area, all.len());
        let at = self.at(&all);
        // The marked one is among those that are drawn, and the place is full.
        let first = at.saturating_sub(across * down - 1).min(all.len().saturating_sub(1));
        for (n, ids) in all.iter().enumerate().skip(first).take(across * down) {
            let tile = tile(area, (across, down), n - first);
            let marked = n == at && across * down > 1 && self.mark.is_some();
            let scene = Scene { w, look, now: shared.now, span: self.span(shared), old: shared.silent(w).is_some() };
            match ids.as_slice() {
                [id] if KEPT.contains(id) => one(&scene, *id, marked, tile, buf),
                others => present(&scene, others, marked, tile, buf),
            }
        }
    }

    fn copy(&self, shared: &Shared) -> Option<String> {
        let w = shared.watched()?;
        let id = self.mark?;
        let values = sides(w).into_iter().flatten().map(|t| format!("{} {}", t.version.label, value(t.signals.get(&id)).0));
        Some(format!("{}: {}", id.word(), values.collect::<Vec<_>>().join(", ")))
    }
}

/// How many charts stand beside each other and below each other: no more than there are.
fn tiles(area: Rect, all: usize) -> (usize, usize) {
    let down = usize::from(area.height / ROWS).max(1);
    let across = usize::from(area.width / COLUMNS).clamp(1, 2);
    // One below the other is easier to compare: all have the same time above each other.
    let across = if down >= all { 1 } else { across };
    (across, down.min(all.div_ceil(across)).max(1))
}

fn tile(area: Rect, (across, down): (usize, usize), n: usize) -> Rect {
    let part = |whole: u16, parts: usize, i: usize| u16::try_from(usize::from(whole) * i / parts.max(1)).unwrap_or(whole);
    let (column, row) = (n / down.max(1), n % down.max(1));
    let (x, right) = (part(area.width, across, column), part(area.width, across, column + 1));
    let (y, bottom) = (part(area.height, down, row), part(area.height, down, row + 1));
    let gap = if column + 1 < across { 2 } else { 0 };
    Rect { x: area.x + x, y: area.y + y, width: (right - x).saturating_sub(gap), height: bottom - y }
}

/// What one chart is drawn from.
struct Scene<'a> {
    w: &'a Watched,
    look: &'a Look,
    now: Time,
    span: Span,
    /// Whether the picture is too old to be believed.
    old: bool,
}

fn one(scene: &Scene<'_>, id: SignalId, marked: bool, area: Rect, buf: &mut Buffer) {
    let [stable, other] = sides(scene.w);
    legend(scene, id, marked, usize::from(GUTTER), area).draw(Rect { height: 1.min(area.height), ..area }, buf);
    let below = Rect { y: area.y.saturating_add(1), height: area.height.saturating_sub(1), ..area };
    if below.height == 0 || area.width <= GUTTER + 4 {
        return;
    }
    let frame = Frame::of(scene.span, below.width - GUTTER, scene.now);
    let none = History::default();
    let course = |t: Option<&Track>| frame.course(t.and_then(|t| scene.w.history.get(&t.version.id)).unwrap_or(&none), id);
    let (line, fill) = (course(stable), course(other));
    let unit = stable.into_iter().chain(other).find_map(|t| t.signals.get(&id)).map_or(Unit::Count, |s| s.unit);
    let limit = gate(scene.w, id).and_then(|g| g.evidence.as_ref()?.limit).map(|l| if unit == Unit::Ratio { l / 100.0 } else { l });
    if line.iter().chain(&fill).all(Option::is_none) {
        return Row::new(*scene.look).add(Tone::Dim, format!("  nothing was measured in the last {}", scene.span.word())).draw(below, buf);
    }
    let top = spark::scale([line.as_slice(), fill.as_slice()]);
    let marks: Vec<(Time, String)> = scene.w.rollout.marks.iter().map(|m| (m.at, m.weight.to_string())).collect();
    let (high, low) = (figure::scale_end(top, unit), figure::scale_end(0.0, unit));
    let chart = Chart {
        frame,
        line: (&line, Tone::Stable),
        fill: (&fill, tone(other)),
        top,
        ends: [if top > 0.0 { &high } else { "" }, &low],
        limit,
        marks: &marks,
    };
    chart.draw(scene.look, below, buf);
}

/// Signals of which only the present is known, a line each.
fn present(scene: &Scene<'_>, ids: &[SignalId], marked: bool, area: Rect, buf: &mut Buffer) {
    let height = usize::from(area.height);
    // The values stand below each other, also below charts.
    let label = ids.iter().map(|id| id.word().len() + 1).max().unwrap_or(0).max(usize::from(GUTTER));
    for (n, id) in ids.iter().enumerate().take(height) {
        legend(scene, *id, marked && n == 0, label, area).draw(rows::line(area, n), buf);
    }
    if height > ids.len() {
        Row::new(*scene.look).add(Tone::Dim, "as they are now: no past is kept of them").draw(rows::line(area, ids.len()), buf);
    }
}

/// `▶ errors   ⠒⠒ stable 0.21 %   ██ candidate 4.00 %   FAIL errors 8 min`.
fn legend(scene: &Scene<'_>, id: SignalId, marked: bool, label: usize, area: Rect) -> Row {
    let (look, glyphs) = (*scene.look, scene.look.glyphs());
    let [stable, other] = sides(scene.w);
    let line = glyphs.line.get(2).copied().unwrap_or_default();
    let fill = glyphs.fill.last().copied().unwrap_or_default();
    let verdict = gate(scene.w, id);
    // 3: everything; 2: without the gate's name; 1: close together; 0: without the versions' names.
    let form = |detail: u8| {
        let gap = if detail >= 2 { "   " } else { " " };
        let row = Row::new(look).add(Tone::Strong, if marked { glyphs.here } else { "" }).add(Tone::Strong, id.word());
        let start = if detail >= 2 { row.plain(" ").pad(label) } else { row.plain(" ") };
        let here = [(stable, line), (other, fill)].into_iter().filter_map(|(t, g)| Some((t?, g)));
        let row = here.enumerate().fold(start, |row, (n, (t, glyph))| {
            let (mut value, dim) = value(t.signals.get(&id));
            if let Some(growth) = t.growth().filter(|_| id == SignalId::Memory && detail >= 1) {
                value.push_str(&format!(", {}", growth.text()));
            }
            let name = if detail >= 1 { format!(" {} ", track(Some(t.role), scene.look).0) } else { " ".into() };
            let value_tone = if dim || scene.old { Tone::Dim } else { Tone::Strong };
            let row = row.plain(if n > 0 { gap } else { "" });
            row.add(tone(Some(t)), glyph.repeat(2)).add(tone(Some(t)), name).add(value_tone, value)
        });
        let Some(gate) = verdict else { return row };
        let word = format!("{} {}", glyphs.verdict(&gate.verdict), gate.verdict.word());
        let row = row.plain(gap).add(Tone::of(&gate.verdict), word);
        let since = format!(" for {}", span(elapsed(scene.now, gate.since)));
        if detail < 3 { row } else { row.plain(" ").name(Tone::Plain, gate.id.text().as_str(), 24).add(Tone::Dim, since) }
    };
    Row::fit(look, usize::from(area.width), [3, 2, 1, 0].map(form))
}

const fn tone(track: Option<&Track>) -> Tone {
    match track {
        Some(Track { role: Role::Stable, .. }) => Tone::Stable,
        Some(Track { role: Role::Candidate, .. }) => Tone::Candidate,
        _ => Tone::Strong,
    }
}

/// The worst gate that looks at a signal.
fn gate(w: &Watched, id: SignalId) -> Option<&GateState> {
    w.rollout.gates.iter().filter(|g| g.signal == id).min_by_key(|g| g.verdict.rank())
}

/// What is known now, and whether it is less than a fresh value.
fn value(signal: Option<&Signal>) -> (String, bool) {
    let unknown = || (figure::UNKNOWN.to_owned(), true);
    let Some(signal) = signal else { return unknown() };
    let written = |sample: crate::model::signal::Sample| figure::sampled(sample, signal.unit, None);
    match &signal.reading {
        Reading::Fresh(sample) => written(*sample).map_or_else(|| ("no traffic".into(), true), |text| (text, false)),
        Reading::Stale { last, age } => (format!("{}, {} old", written(*last).unwrap_or_default(), span(*age)), true),
        Reading::Absent => unknown(),
        Reading::ZeroTraffic => ("no traffic".into(), true),
        Reading::Contradictory(..) => ("conflict".into(), true),
    }
}
