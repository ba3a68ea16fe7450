//! Draws the whole screen from the state. Pure: no clock, no I/O, no environment, no mutation.
//!
//! ```text
//!  identity                                                        live 03:12:09Z   header
//!  CANARY step 5/9 at 33.33 % for 14m   HELD gate errors +2 more                    status
//!           stable v41            canary v42
//!           9f2c41aa0b11          77ab04c1d203        started by ana 02:41Z
//!  traffic   66.67 % seen 66.67    33.33 % seen 33.33   by requests
//!  ready    2/2                   2/2                                               grid
//!  requests       120/s ▃▃▃▄▄▄▅▅        60/s ▂▂▃▃▃▃▃▃
//!  errors        0.21 % ▁▁▁▁▁▁▁▁       4.00 % ▁▁▂▃▅▆▇▇  WORSE, certain (n 3,600)
//!  p99            18 ms ▂▂▂▃▂▂▂▂        24 ms ▂▃▃▃▄▄▄▄  +35 % WAIT 2m
//!  plan   ✓ 4 done [33.33 %] gate(3) 50 % pause → 100 %                             plan
//!  next   held by gate errors: nothing moves by itself
//!  gates  ✗ FAIL errors 4.00>1.00 %  1 WAIT 2m  3 pass                              gates
//!  BAD    8 min, 288 failed. canary 4.00 % stable 0.21 %. Waiting: ~2.3/s           cost
//!  BACK   READY ~1 s (worst 2 of 37) 2/2 ok 20 s ago                                back
//!  the open panel                                                                   below
//!  last   ben resumed 8 s ago                                                       last
//!  R back to v41 · p pause · s off: gate failed · enter · tab · ?                   footer
//! ```
//!
//! All rollouts together are drawn by `fleet`. From 120 columns on the two versions stand in frames (`panes`). Below 80 columns the sparks go,
//! then the verdicts; below 24 rows the open panel shrinks and goes, then lines in the order of
//! their `Keep`. Header, hold, errors, the way back and the footer with its key stay. Below 40x8
//! there is one line.

mod back;
mod below;
mod cost;
mod empty;
mod fleet;
mod gates;
mod grid;
mod header;
mod health;
mod last;
mod overlay;
mod panes;
mod plan;
mod scene;
mod status;
mod tracks;
mod verdict;

use crate::{
    app::state::{Overlay, State, View},
    model::{rollout::Phase, signal::SignalId},
    ui::{
        footer::{self, ActionRow, Hint},
        look::Tone,
        row::Row,
    },
};
use grid::Line;
use ratatui::{buffer::Buffer, layout::Rect};
use scene::Scene;

/// What is drawn besides the state, derived from the commands and their keys.
#[derive(Clone, Copy, Debug)]
pub struct Extras<'a> {
    /// Hints of the last line, in the order they are drawn.
    pub footer: &'a [Hint],
    /// Keys and what they do.
    pub help: &'a [(String, String)],
    /// Figures and what they are.
    pub figures: &'a [(String, String)],
    /// Every action; the row "do nothing" before them is ours.
    pub actions: &'a [ActionRow],
    /// The key that opens the way back, and confirms it: `R` unless it was rebound.
    pub back_key: &'a str,
}

/// Columns and rows below which there is only one line, and no preview can be read.
pub const LEAST: (u16, u16) = (40, 8);

/// Draws the screen into an area of a buffer. Every cell of the area is written.
pub fn draw(state: &State, extras: &Extras<'_>, area: Rect, buf: &mut Buffer) {
    let area = area.intersection(buf.area);
    if area.is_empty() {
        return;
    }
    for position in area.positions() {
        if let Some(cell) = buf.cell_mut(position) {
            cell.reset();
        }
    }
    if area.width < LEAST.0 || area.height < LEAST.1 {
        too_small(state, extras, area, buf);
        return;
    }
    let above = Rect { height: area.height - 1, ..area };
    match state.shared.watched() {
        _ if state.view == View::Fleet && !state.shared.rollouts.is_empty() => fleet::draw(state, above, buf),
        Some(watched) => rollout(&Scene::new(state, watched, area.width), above, buf),
        None => empty::draw(state, above, buf),
    }
    overlay::draw(state, extras, Rect { y: area.y + 1, height: above.height - 1, ..area }, buf);
    let last = Rect { x: area.x + 1, y: area.bottom() - 1, width: area.width - 1, height: 1 };
    let width = if area.width >= 120 { last.width } else { last.width - 1 };
    footer::row(state.look, extras.footer, usize::from(width)).draw(last, buf);
}

/// One line that says so, and the way back.
fn too_small(state: &State, extras: &Extras<'_>, area: Rect, buf: &mut Buffer) {
    let width = usize::from(area.width);
    // What cannot be read must not be confirmed: no hint while something lies over the screen.
    let seen = if matches!(state.overlay, Overlay::None) { extras.footer } else { &[] };
    let (columns, rows) = LEAST;
    let small = Row::new(state.look).add(Tone::Warn, "too small");
    let hints = |of: &[Hint], room| footer::row(state.look, of, room);
    let [long, short] = [format!(" (needs {columns}x{rows}) "), " ".to_owned()].map(|end| small.clone().plain(end));
    // The way back is worth more than these words.
    let row = match (seen, seen.get(..1)) {
        ([], _) => Row::fit(state.look, width, [long, small]),
        (all, _) if long.width() + hints(all, usize::MAX).width() <= width => long.join(hints(all, width)),
        (all, Some(back)) if short.width() + hints(back, usize::MAX).width() <= width => {
            let room = width - short.width();
            short.join(hints(all, room))
        }
        (all, _) => hints(all, width),
    };
    row.draw(area, buf);
}

/// A line of the rollout and how long it stays when there are too few rows.
struct Part {
    keep: u8,
    what: What,
}

enum What {
    Header,
    Status,
    Grid(Line),
    Panes,
    Row(Row),
}

/// [`Part::keep`] of lines that never go.
const ALWAYS: u8 = u8::MAX;

fn rollout(scene: &Scene<'_>, area: Rect, buf: &mut Buffer) {
    let height = |part: &Part| if matches!(part.what, What::Panes) { panes::height(scene) } else { 1 };
    let mut top = parts(scene, area);
    // The last line has its place below the panel.
    let keep = if scene.state.notice.is_some() || !scene.state.following.is_empty() { ALWAYS } else { 30 };
    let mut last = Some(Part { keep, what: What::Row(last::row(scene)) });
    while top.iter().chain(&last).map(height).sum::<u16>() > area.height {
        let Some(least) = top.iter().chain(&last).map(|p| p.keep).min() else { break };
        if last.as_ref().is_some_and(|l| l.keep == least) {
            last = None;
        } else if let Some(at) = top.iter().rposition(|p| p.keep == least) {
            top.remove(at);
        }
    }
    let mut y = area.y;
    for part in &top {
        let rows = height(part).min(area.bottom().saturating_sub(y));
        let place = Rect { y, height: rows, ..area };
        match &part.what {
            What::Header => header::draw(scene, place, buf),
            What::Status => status::draw(scene, place, buf),
            What::Grid(line) => grid::draw(scene, *line, place, buf),
            What::Panes => panes::draw(scene, place, buf),
            What::Row(row) => row.draw(place, buf),
        }
        y += rows;
    }
    let end = area.bottom() - u16::from(last.is_some());
    below::draw(scene, Rect { y, height: end.saturating_sub(y), ..area }, buf);
    if let Some(Part { what: What::Row(row), .. }) = last {
        row.draw(Rect { y: end, height: 1, ..area }, buf);
    }
}

/// Every line above the panel, in order.
fn parts(scene: &Scene<'_>, area: Rect) -> Vec<Part> {
    let part = |keep, what| Part { keep, what };
    let row = |keep, row| Part { keep, what: What::Row(row) };
    let mut parts = vec![part(ALWAYS, What::Header), part(ALWAYS, What::Status)];
    let idle = scene.rollout.phase == Phase::Idle && scene.rollout.tracks.is_empty();
    if !idle {
        // The frames need their eight rows beside the nine other lines.
        if scene.roomy && area.height >= 20 {
            parts.push(part(ALWAYS, What::Panes));
            parts.extend(scene.unmeasured().then(|| row(45, gates::unmeasured(scene))));
        } else {
            let signal = |keep, signal| part(keep, What::Grid(Line::Signal(signal)));
            parts.extend([
                part(70, What::Grid(Line::Labels)),
                part(10, What::Grid(Line::Digests)),
                part(60, What::Grid(Line::Traffic)),
                part(40, What::Grid(Line::Ready)),
            ]);
            if scene.unmeasured() {
                parts.push(row(45, gates::unmeasured(scene)));
            } else {
                parts.extend([signal(50, SignalId::Requests), signal(ALWAYS, SignalId::Errors), signal(45, SignalId::P99)]);
            }
        }
        parts.extend(tracks::others(scene).into_iter().map(|r| row(15, r)));
    }
    parts.extend(last::frozen(scene).map(|r| row(85, r)));
    parts.push(row(35, plan::strip(scene)));
    parts.push(row(55, plan::next(scene)));
    if scene.judged() || scene.fails_baking() {
        parts.push(row(65, gates::row(scene)));
    } else if !scene.rollout.decided.is_empty() {
        parts.push(row(25, gates::row(scene)));
    }
    parts.extend(cost::row(scene).map(|r| row(80, r)));
    parts.extend(last::finding(scene).map(|r| row(20, r)));
    let mut back = back::rows(scene).into_iter();
    parts.extend(back.next().map(|r| row(ALWAYS, r)));
    parts.extend(back.map(|r| row(75, r)));
    parts
}
