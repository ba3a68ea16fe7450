//! Tracks beside the two that have a column of their own.

use super::{
    health,
    scene::{Scene, share_percent},
};
use crate::{
    model::{signal::SignalId, version::Track},
    ui::row::Row,
};

/// `other    warm 2026…otfix.3  0 %  2/2 ready  errors 0.00 %`
pub(super) fn other(scene: &Scene<'_>, track: &Track) -> Row {
    let start = scene.line("other").add(Scene::tone(track), scene.role(track)).plain(format!(" {}", scene.label(&track.version)));
    let traffic = start.plain(format!("  {}  ", share_percent(track.share.declared)));
    let ready = traffic.join(health::ready(scene, track)).plain(" ready");
    let (errors, tone, _) = health::value(scene, track, SignalId::Errors);
    scene.fit([ready.clone().plain("  errors ").add(tone, errors), ready])
}
