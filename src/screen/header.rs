//! The first line: who this is, and whether what follows may be believed.

use super::scene::Scene;
use crate::{
    model::ident::Key,
    runtime::Link,
    ui::{
        figure,
        look::{Look, Tone},
        row::Row,
        text,
    },
};
use ratatui::{buffer::Buffer, layout::Rect};

/// Draws identity and link.
pub(super) fn draw(scene: &Scene<'_>, area: Rect, buf: &mut Buffer) {
    let area = Rect { width: u16::try_from(scene.width.saturating_sub(1)).unwrap_or(area.width).min(area.width), height: 1, ..area };
    let link = link(scene).cut(usize::from(area.width));
    let room = usize::from(area.width).saturating_sub(1 + 2 + link.width());
    scene.row().plain(" ").add(Tone::Strong, identity(&scene.rollout.key, room, &scene.look)).draw(area, buf);
    link.draw_right(area, buf);
}

/// A rollout's name in at most `max` columns.
pub(super) fn identity(key: &Key, max: usize, look: &Look) -> String {
    let (target, service) = (key.target.text(), key.service.text());
    let scope: Vec<_> = key.scope.iter().map(|s| look.plain(s.text().as_str()).into_owned().into()).collect();
    text::identity(&look.plain(target.as_str()), &scope, &look.plain(service.as_str()), max, look)
}

fn link(scene: &Scene<'_>) -> Row {
    let row = if scene.state.read_only { scene.row().add(Tone::Warn, "read-only ") } else { scene.row() };
    let clock = format!(" {}Z", figure::clock(scene.now));
    let Some(age) = scene.stale else {
        return row.add(Tone::Good, "live").plain(clock);
    };
    let row = match scene.link() {
        Some(Link::Connecting { attempt: 0 | 1, .. }) => row.add(Tone::Warn, "connecting "),
        Some(Link::Connecting { attempt, .. }) => row.add(Tone::Warn, format!("connecting {attempt} ")),
        Some(Link::Denied { .. }) => row.add(Tone::Bad, "DENIED "),
        _ => row,
    };
    row.add(Tone::Bad, format!("STALE {}", figure::long(age))).plain(clock)
}
