//! The rows of figures of the 80-column layout: label, stable, canary, verdict.

use super::{
    health::{self, Figure},
    scene::{Scene, share, share_percent, share_short},
    status, verdict,
};
use crate::{
    model::{signal::SignalId, version::Track},
    ui::{
        figure,
        grid::{Grid, Side, Slot},
        look::Tone,
        row::Row,
    },
};
use ratatui::{buffer::Buffer, layout::Rect};

/// Which row of figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Line {
    /// Roles and labels.
    Labels,
    /// Digests; who started it.
    Digests,
    /// Declared and seen shares.
    Traffic,
    /// Instances.
    Ready,
    /// A signal.
    Signal(SignalId),
}

/// Draws a row of figures into the first line of an area.
pub(super) fn draw(scene: &Scene<'_>, line: Line, area: Rect, buf: &mut Buffer) {
    let grid = Grid::of(area.width);
    let mut at = |slot: Slot, row: Row| row.cut(usize::from(slot.width)).draw(place(area, slot), buf);
    let label = match line {
        Line::Labels | Line::Digests => "",
        Line::Traffic => "traffic",
        Line::Ready => "ready",
        Line::Signal(signal) => signal.word(),
    };
    at(grid.label, scene.row().add(Tone::Dim, label));
    at(grid.verdict, beside(scene, line, usize::from(grid.verdict.width)));
    if let Line::Signal(signal) = line {
        let sides = [grid.left, grid.right];
        for (figure, side) in health::figures(scene, signal, usize::from(grid.left.spark.width)).into_iter().zip(sides) {
            if let Some(Figure { value, spark }) = figure {
                value.draw_right(place(area, side.value), buf);
                spark.draw(place(area, side.spark), buf);
            }
        }
        return;
    }
    for (track, side) in [(scene.left, grid.left), (scene.right, grid.right)] {
        at(side.whole, text(scene, line, track, side));
    }
    if scene.first() && line == Line::Labels {
        at(grid.left.whole, scene.row().add(Tone::Dim, "no stable yet"));
    }
}

const fn place(area: Rect, slot: Slot) -> Rect {
    Rect { x: area.x.saturating_add(slot.x), y: area.y, width: slot.width, height: 1 }
}

/// What stands in a version's place where it is no figure.
fn text(scene: &Scene<'_>, line: Line, track: Option<&Track>, side: Side) -> Row {
    let Some(track) = track else { return scene.row() };
    let wide = side.spark.width > 0;
    match line {
        Line::Labels => {
            let role = scene.place(track);
            let room = usize::from(side.whole.width).saturating_sub(role.len() + 1).min(12);
            let row = scene.row().add(Scene::tone(track), &role);
            row.plain(" ").name(Tone::Strong, track.version.label.as_str(), if wide { room } else { 4 })
        }
        Line::Digests => {
            let row = scene.row().name(Tone::Plain, track.version.short_id().as_str(), if track.version.is_tag() { 11 } else { 12 });
            let row = if track.version.is_tag() && wide { row.add(Tone::Warn, " unsealed") } else { row };
            let differs = scene.other_config() && scene.right.is_some_and(|r| std::ptr::eq(r, track));
            if differs && wide { row.add(Tone::Warn, format!(" cfg{}", scene.look.glyphs().differs)) } else { row }
        }
        Line::Traffic => {
            let declared = format!("{:>8}", share_percent(track.share.declared));
            let row = scene.row().plain(if track.share.declared.is_some() { declared } else { format!("{:>6}", figure::UNKNOWN) });
            let row = if wide { row.pad(8).plain(" seen ").plain(share(track.share.seen)) } else { row };
            row.dim_if(scene.stale.is_some())
        }
        Line::Ready => health::ready(scene, track),
        Line::Signal(_) => scene.row(),
    }
}

/// What stands in the column of verdicts.
fn beside(scene: &Scene<'_>, line: Line, max: usize) -> Row {
    match line {
        Line::Labels => previewed(scene, max),
        Line::Digests => {
            let forms = [status::started(scene, max), status::by(scene, max.saturating_sub(10))];
            Row::fit(scene.look, max, forms.into_iter().flatten())
        }
        Line::Traffic => traffic(scene, max),
        Line::Ready => {
            match [scene.right, scene.left].into_iter().flatten().map(|t| (t, health::trouble(scene, t, max))).find(|(_, r)| !r.is_empty())
            {
                Some((track, row)) if Some(track.role) == scene.right.map(|t| t.role) => row,
                Some((track, _)) => {
                    let role = format!("{} ", scene.role(track));
                    let row = health::trouble(scene, track, max.saturating_sub(role.len()));
                    scene.row().add(Tone::Dim, role).join(row)
                }
                None => scene.row(),
            }
        }
        Line::Signal(signal) => verdict::note(scene, signal, max),
    }
}

/// Where one can look at the candidate before it has traffic: `see 127.0.0.1:8081`.
fn previewed(scene: &Scene<'_>, max: usize) -> Row {
    match scene.right.and_then(|t| t.preview.as_ref()) {
        Some(at) => scene.row().add(Tone::Dim, "see ").name(Tone::Candidate, at.as_str(), max.saturating_sub(4)),
        None => scene.row(),
    }
}

/// What was counted; where the router does not do what is declared, that.
fn traffic(scene: &Scene<'_>, max: usize) -> Row {
    let sides = [scene.right, scene.left];
    if let Some(track) = sides.into_iter().flatten().find(|t| unprogrammed(t)) {
        let programmed = share_short(track.share.programmed);
        return scene.row().add(Tone::Warn, format!("router {} at {programmed}", scene.role(track)));
    }
    match sides.into_iter().flatten().find(|t| !t.share.basis.is_empty()) {
        // Why what is seen may differ from what is declared.
        Some(track) if track.share.sticky => {
            let forms = [format!("by {}, clients stick", track.share.basis), "clients stick".into(), "stick".into()];
            Row::fit(scene.look, max, forms.map(|text| scene.row().add(Tone::Dim, text)))
        }
        Some(track) => scene.row().add(Tone::Dim, format!("by {}", track.share.basis)),
        None => scene.row(),
    }
}

/// Whether the router says something else than was declared.
pub(super) fn unprogrammed(track: &Track) -> bool {
    matches!((track.share.declared, track.share.programmed), (Some(a), Some(b)) if a != b)
}
