//! What runs, as far as it was looked at: the copy that instances are started from, and each process
//! against what was started. Nothing is claimed that nobody looked at.

use crate::{
    conductor::life::{Deployed, PoolId},
    host::lamp::Light,
    model::{
        ident::InstanceId,
        text::Text,
        version::{Artifact, Part, Track},
    },
};

/// What was asked for; that it runs is another question.
pub(super) fn declared(deployed: &Deployed) -> Part {
    Part { container: "".into(), declared: Artifact::Digest(deployed.artifact), running: None, differs: false, checked: None, wrong: None }
}

/// Enters what was seen of a version's instances, and of all of them together.
pub(super) fn enter(track: &mut Track, deployed: &Deployed, lamp: &Light<'_>) {
    let pool = deployed.pool();
    let copy = lamp.depot.watchman.drift(&deployed.artifact);
    let checked = lamp.depot.watchman.verified_at(&deployed.artifact);
    let part = |wrong: Option<Text>, runs: bool| {
        let sound = wrong.is_none() && runs && checked.is_some();
        Part { running: sound.then_some(deployed.artifact), checked: checked.filter(|_| runs), wrong, ..declared(deployed) }
    };
    let (mut runs, mut strayed) = (0, Vec::new());
    for instance in track.pools.iter_mut().flat_map(|p| &mut p.instances).filter(|i| i.pid.is_some()) {
        let stray = stray(lamp, &pool, &instance.id);
        runs += 1;
        strayed.extend(stray.as_ref().map(|what| format!("{}: {what}", instance.id.text())));
        instance.parts = vec![part(stray.or_else(|| copy.clone()), true)];
    }
    let differs = !strayed.is_empty() && strayed.len() < runs;
    let wrong = copy.or_else(|| (!strayed.is_empty()).then(|| strayed.join("; ").into()));
    track.version.parts = vec![Part { differs, ..part(wrong, runs > 0) }];
}

fn stray(lamp: &Light<'_>, pool: &PoolId, instance: &InstanceId) -> Option<Text> {
    lamp.found.strayed.iter().find(|(p, i, _)| p == pool && i == instance).map(|(_, _, what)| what.clone())
}
