//! The open panel below the rollout: its head line, and the place it draws itself into.

use super::scene::Scene;
use crate::{
    app::state::Focus,
    ui::{look::Tone, text},
};
use ratatui::{buffer::Buffer, layout::Rect};

/// Draws the open panel. Below two rows there is no place for one.
pub(super) fn draw(scene: &Scene<'_>, area: Rect, buf: &mut Buffer) {
    let state = scene.state;
    let Some(panel) = state.panels.get(state.panel).filter(|_| area.height >= 2) else { return };
    let glyphs = scene.look.glyphs();
    let focused = state.focus == Focus::Panel;
    let width = scene.width.saturating_sub(1);
    let title = scene.look.plain(&panel.title(&state.shared)).into_owned();
    let title = text::cut_end(&title, width.saturating_sub(5), &scene.look);
    let head = scene.row().plain(" ");
    let head = if focused {
        head.add(Tone::Alert, format!(" {} {title} ", glyphs.here))
    } else {
        head.add(Tone::Dim, glyphs.across).plain(" ").add(Tone::Strong, title).plain(" ")
    };
    let line = glyphs.across.repeat((width + 1).saturating_sub(head.width()));
    head.add(Tone::Dim, line).draw(Rect { height: 1, ..area }, buf);
    let inside = Rect { x: area.x + 1, y: area.y + 1, width: area.width.saturating_sub(2), height: area.height - 1 };
    panel.draw(&state.shared, &state.look, inside.intersection(buf.area), buf);
}
