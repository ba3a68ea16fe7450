//! The first line: who this is, and whether what follows may be believed.

use super::scene::Scene;
use crate::{
    app::state::Place,
    model::ident::Key,
    runtime::Link,
    ui::{
        figure,
        look::{Look, Tone},
        row::Row,
        text,
    },
};
use chrono::TimeDelta;
use ratatui::{buffer::Buffer, layout::Rect};

/// Clocks that are further apart than this confuse people who compare times.
const APART: TimeDelta = TimeDelta::seconds(30);

/// Draws identity and link.
pub(super) fn draw(scene: &Scene<'_>, area: Rect, buf: &mut Buffer) {
    let area = Rect { width: u16::try_from(scene.width.saturating_sub(1)).unwrap_or(area.width).min(area.width), height: 1, ..area };
    let link = link(scene).cut(usize::from(area.width));
    let room = usize::from(area.width).saturating_sub(1 + 2 + link.width());
    let name = identity(&scene.rollout.key, room, &scene.look);
    let place = scene.state.targets.get(&scene.rollout.key.target).copied().unwrap_or_default();
    let row = match name.split_once('/') {
        Some((target, rest)) => painted(scene.row().plain(" "), place, target, room, true).add(Tone::Strong, format!("/{rest}")),
        None => scene.row().plain(" ").add(Tone::Strong, name),
    };
    let room = usize::from(area.width).saturating_sub(link.width() + 2);
    owned(scene, &row).into_iter().find(|row| row.width() <= room).unwrap_or(row).draw(area, buf);
    link.draw_right(area, buf);
}

/// The name with who else writes the rollout, and would write it back: `by Argo CD application shop`, `by Argo CD`.
fn owned(scene: &Scene<'_>, name: &Row) -> Vec<Row> {
    let Some(owner) = &scene.rollout.owner else { return Vec::new() };
    let owner = scene.look.plain(owner.as_str()).into_owned();
    let tool: Vec<&str> = owner.split(' ').take_while(|word| word.starts_with(char::is_uppercase)).collect();
    let with = |owner: &str| name.clone().plain("  ").add(Tone::Warn, format!("by {owner}"));
    vec![with(&owner), with(&tool.join(" "))]
}

/// A target's name in its own colour; its word is always there too.
pub(super) fn painted(row: Row, place: Place, target: &str, max: usize, bar: bool) -> Row {
    let tone = match place.paint {
        Some(paint) if bar => Tone::PlaceBar(paint),
        Some(paint) => Tone::Place(paint),
        None => Tone::Strong,
    };
    row.name(tone, target, max)
}

/// A rollout's name in at most `max` columns.
pub(super) fn identity(key: &Key, max: usize, look: &Look) -> String {
    let (target, service) = (key.target.text(), key.service.text());
    let scope: Vec<_> = key.scope.iter().map(|s| look.plain(s.text().as_str()).into_owned().into()).collect();
    text::identity(&look.plain(target.as_str()), &scope, &look.plain(service.as_str()), max, look)
}

fn link(scene: &Scene<'_>) -> Row {
    let place = scene.state.targets.get(&scene.rollout.key.target).copied().unwrap_or_default();
    let row = if scene.state.read_only || place.read_only { scene.row().add(Tone::Warn, "read-only ") } else { scene.row() };
    let row = if scene.rollout.frozen.is_some() { row.add(Tone::Warn, "FROZEN ") } else { row };
    // The other targets are silent here, unless one of them is not there.
    let own = &scene.rollout.key.target;
    let down = scene.state.shared.links.iter().filter(|(t, l)| *t != own && !matches!(l, Link::Live { .. })).count();
    let row = match down {
        0 => row,
        1 if scene.roomy => row.add(Tone::Warn, "1 other target is not live  "),
        n if scene.roomy => row.add(Tone::Warn, format!("{n} other targets are not live  ")),
        n => row.add(Tone::Warn, format!("+{n} down ")),
    };
    let clock = format!(" {}Z", figure::clock(scene.now));
    // All times here are the target's; that its clock is not ours is said where there is room, and in the connections.
    let skew = scene.state.shared.skews.get(own).filter(|by| scene.roomy && by.abs() > APART);
    let row = match skew {
        Some(by) => row.add(Tone::Warn, format!("clock {} off ours  ", figure::long(by.abs().to_std().unwrap_or_default()))),
        None => row,
    };
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
