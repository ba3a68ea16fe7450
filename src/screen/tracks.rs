//! Tracks beside the two that have a column of their own.

use super::{
    health,
    scene::{Instances, Scene, instances, share_percent},
};
use crate::{
    model::{
        ident::Role,
        signal::{Sample, SignalId},
        version::Track,
    },
    ui::row::Row,
};

/// A row for each of them; experiments that run the same again and again are one row.
pub(super) fn others(scene: &Scene<'_>) -> Vec<Row> {
    let mut groups: Vec<Vec<&Track>> = Vec::new();
    for track in &scene.others {
        let same = |t: &Track| track.role == Role::Experiment && t.role == track.role && t.version.label == track.version.label;
        match groups.iter_mut().find(|group| group.first().is_some_and(|t| same(t))) {
            Some(group) => group.push(track),
            None => groups.push(vec![track]),
        }
    }
    groups.iter().filter_map(|group| other(scene, group)).collect()
}

/// `other    warm 2026…otfix.3  0 %  2/2 ready  errors 0.00 %`; of several the instances of all and the worst errors.
fn other(scene: &Scene<'_>, group: &[&Track]) -> Option<Row> {
    let first = group.first()?;
    let start = scene.line("other").add(Scene::tone(first), scene.role(first)).plain(format!(" {}", scene.label(&first.version)));
    let start = match group.len() {
        1 => start.plain(format!("  {}", share_percent(first.share.declared))),
        n => start.plain(format!("  {n} alike")),
    };
    let sum = group.iter().filter_map(|t| instances(t)).reduce(Instances::plus);
    let ready = start.plain("  ").join(health::ready_of(scene, sum)).plain(" ready");
    let errors = |track: &Track| track.signals.get(&SignalId::Errors).and_then(|s| s.reading.fresh()).and_then(Sample::value);
    let worst = group.iter().max_by(|a, b| errors(a).unwrap_or(-1.0).total_cmp(&errors(b).unwrap_or(-1.0)))?;
    let (value, tone, _) = health::value(scene, worst, SignalId::Errors);
    Some(scene.fit([ready.clone().plain("  errors ").add(tone, value), ready]))
}
