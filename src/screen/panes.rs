//! The two framed versions of the 120-column layout, side by side.

use super::{
    grid::unprogrammed,
    health::{self, Figure},
    scene::{Scene, share_percent, share_short},
    verdict,
};
use crate::{
    model::{signal::SignalId, version::Track},
    ui::{
        grid::{Pane, Slot},
        look::Tone,
        row::Row,
    },
};
use ratatui::{buffer::Buffer, layout::Rect};

/// Rows that the panes take, frames included: without those of signals where there cannot be any.
pub(super) fn height(scene: &Scene<'_>) -> u16 {
    if scene.unmeasured() { 4 } else { 8 }
}

const SIGNALS: [SignalId; 4] = [SignalId::Requests, SignalId::Errors, SignalId::P50, SignalId::P99];

/// Draws both panes.
pub(super) fn draw(scene: &Scene<'_>, area: Rect, buf: &mut Buffer) {
    let width = area.width.saturating_sub(2) / 2;
    let left = Rect { x: area.x + 1, width, ..area };
    let right = Rect { x: left.right(), ..left };
    let pane = Pane::of(width);
    for (track, area, missing) in [(scene.left, left, "stable"), (scene.right, right, "canary")] {
        frame(scene, track, missing, area, buf);
        if let Some(track) = track {
            facts(scene, track, pane, area, buf);
        }
    }
    let signals = if scene.unmeasured() { &[][..] } else { &SIGNALS };
    for (i, signal) in (3_u16..).zip(signals.iter().copied()) {
        let figures = health::figures(scene, signal, usize::from(pane.spark.width));
        for (figure, (track, area)) in figures.into_iter().zip([(scene.left, left), (scene.right, right)]) {
            let (Some(Figure { value, spark }), Some(track)) = (figure, track) else { continue };
            let at = |slot: Slot| place(area, slot, i);
            scene.row().add(Tone::Dim, signal.word()).draw(at(pane.label), buf);
            value.draw_right(at(pane.value), buf);
            spark.draw(at(pane.spark), buf);
            note(scene, track, signal, usize::from(pane.note.width)).draw(at(pane.note), buf);
        }
    }
}

const fn place(area: Rect, slot: Slot, row: u16) -> Rect {
    let y = area.y.saturating_add(row);
    let height = if row < area.height { 1 } else { 0 };
    Rect { x: area.x.saturating_add(slot.x), y, width: slot.width, height }
}

/// What follows from a figure: beside the version that is judged.
fn note(scene: &Scene<'_>, track: &Track, signal: SignalId, max: usize) -> Row {
    if signal == SignalId::Requests {
        return health::samples(scene, track).cut(max);
    }
    if scene.right.is_some_and(|right| std::ptr::eq(right, track)) { verdict::note(scene, signal, max) } else { scene.row() }
}

/// The rows that are no signals.
fn facts(scene: &Scene<'_>, track: &Track, pane: Pane, area: Rect, buf: &mut Buffer) {
    let max = usize::from(pane.note.width);
    let counted = match &track.share {
        s if unprogrammed(track) => scene.row().add(Tone::Warn, format!("router at {}", share_short(s.programmed))),
        s if s.seen.is_some() && s.sticky => scene.row().add(Tone::Dim, format!("{}, clients stick", s.basis)),
        s if s.seen.is_some() && !s.basis.is_empty() => scene.row().add(Tone::Dim, format!("{}, 1 min", s.basis)),
        _ => scene.row(),
    };
    let seen = scene.row().plain(share_percent(track.share.seen)).dim_if(scene.stale.is_some());
    let rows = [("seen", seen, counted.cut(max)), ("ready", health::ready(scene, track), health::trouble(scene, track, max))];
    for (i, (label, value, note)) in (1_u16..).zip(rows) {
        let at = |slot: Slot| place(area, slot, i);
        scene.row().add(Tone::Dim, label).draw(at(pane.label), buf);
        value.draw_right(at(pane.value), buf);
        note.draw(at(pane.note), buf);
    }
}

/// `┌ stable  2026.08.14-hotfix.3 9f2c41aa0b11 ────── 66.67 % ┐`
fn frame(scene: &Scene<'_>, track: Option<&Track>, missing: &str, area: Rect, buf: &mut Buffer) {
    let glyphs = scene.look.glyphs();
    let [top_left, top_right, bottom_left, bottom_right] = glyphs.corners;
    let width = usize::from(area.width);
    let across = |n: usize| glyphs.across.repeat(n);
    let head = match track {
        None => scene.row().add(Tone::Dim, format!("{top_left} no {missing} ")),
        Some(track) => {
            let weight = share_percent(track.share.declared);
            let end = scene.row().add(Tone::Dim, " ").add(Tone::Strong, weight).add(Tone::Dim, format!(" {top_right}"));
            let digest = scene.row().plain(" ").name(Tone::Plain, track.version.short_id().as_str(), 12);
            let digest = if track.version.is_tag() { digest.add(Tone::Warn, " unsealed") } else { digest };
            let differs = scene.other_config() && scene.right.is_some_and(|r| std::ptr::eq(r, track));
            let digest = if differs { digest.add(Tone::Warn, format!(" cfg{}", glyphs.differs)) } else { digest };
            let start = scene.row().add(Tone::Dim, format!("{top_left} ")).add(Scene::tone(track), scene.place(track)).plain("  ");
            let room = width.saturating_sub(start.width() + digest.width() + end.width() + 4);
            let start = start.name(Tone::Strong, track.version.label.as_str(), room).join(digest).plain(" ");
            let line = across(width.saturating_sub(start.width() + end.width()));
            start.add(Tone::Dim, line).join(end)
        }
    };
    let head = match track {
        None => {
            let line = across(width.saturating_sub(head.width() + 1));
            head.add(Tone::Dim, line).add(Tone::Dim, top_right)
        }
        Some(_) => head,
    };
    head.draw(area, buf);
    let side = scene.row().add(Tone::Dim, glyphs.down);
    let foot = height(scene) - 1;
    for row in 1..foot {
        side.draw(place(area, Slot { x: 0, width: 1 }, row), buf);
        side.draw(place(area, Slot { x: area.width - 1, width: 1 }, row), buf);
    }
    let line = scene.row().add(Tone::Dim, format!("{bottom_left}{}{bottom_right}", across(width.saturating_sub(2))));
    line.draw(place(area, Slot { x: 0, width: area.width }, foot), buf);
}
