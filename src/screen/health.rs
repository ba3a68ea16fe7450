//! The figures of a version: value, age, course.

use super::{
    scene::{Instances, Scene, instances},
    verdict,
};
use crate::{
    model::{
        gate::{Arm, Verdict},
        ident::Role,
        instance::Instance,
        signal::{Reading, Sample, SignalId},
        version::Track,
    },
    ui::{
        figure::{self, compact, grouped, short},
        look::Tone,
        row::Row,
        spark,
    },
};
use std::time::Duration;

/// A figure and what is drawn beside it.
pub(super) struct Figure {
    pub value: Row,
    pub spark: Row,
}

/// A row of figures of both versions, with sparks of one scale and of `cells` columns.
pub(super) fn figures(scene: &Scene<'_>, signal: SignalId, cells: usize) -> [Option<Figure>; 2] {
    let sides = [scene.left, scene.right];
    let courses = sides.map(|track| {
        let history = scene.watched.history.get(&track?.version.id)?;
        Some(spark::course(history, signal, scene.now, cells))
    });
    let top = spark::scale(courses.iter().flatten().map(Vec::as_slice));
    let [left, right] = courses.map(|course| course.map(|c| spark::draw(&c, top, &scene.look)));
    [figure(scene, sides[0], signal, left, cells), figure(scene, sides[1], signal, right, cells)]
}

fn figure(scene: &Scene<'_>, track: Option<&Track>, signal: SignalId, spark: Option<String>, cells: usize) -> Option<Figure> {
    let track = track?;
    let (value, tone, age) = value(scene, track, signal);
    let spark = match age {
        Some(age) => scene.row().add(Tone::Warn, format!("{} old", short(age))).cut(cells),
        None => scene.row().add(Scene::tone(track), spark.unwrap_or_default()),
    };
    let too_old = age.is_some() || scene.stale.is_some();
    Some(Figure { value: scene.row().add(tone, value).dim_if(too_old), spark: spark.dim_if(scene.stale.is_some()) })
}

/// What is known of a signal, in at most 11 columns, and its age if that is beyond twice the
/// expected interval.
pub(super) fn value(scene: &Scene<'_>, track: &Track, id: SignalId) -> (String, Tone, Option<Duration>) {
    let unknown = || (figure::UNKNOWN.to_owned(), Tone::Dim, None);
    let Some(signal) = track.signals.get(&id) else { return unknown() };
    let written = |sample: Sample| {
        let limit = verdict::gate(scene, id).filter(|g| g.signal == id).and_then(|g| g.evidence.as_ref()?.limit);
        figure::sampled(sample, signal.unit, limit)
    };
    match &signal.reading {
        Reading::Fresh(sample) => match written(*sample) {
            Some(text) => (text, tone(scene, track, id), None),
            None => ("no traffic".into(), Tone::Dim, None),
        },
        Reading::Stale { last, age } => {
            (written(*last).unwrap_or_else(|| figure::UNKNOWN.into()), Tone::Dim, (*age > scene.patience()).then_some(*age))
        }
        Reading::Absent => unknown(),
        Reading::ZeroTraffic if id == SignalId::Requests => ("0/s".into(), Tone::Dim, None),
        Reading::ZeroTraffic => ("no traffic".into(), Tone::Dim, None),
        Reading::Contradictory(..) => ("conflict".into(), Tone::Warn, None),
    }
}

/// Red where a gate blames this version.
fn tone(scene: &Scene<'_>, track: &Track, id: SignalId) -> Tone {
    let blamed = verdict::gate(scene, id).is_some_and(|gate| match (&gate.verdict, track.role) {
        (Verdict::Fail { who, .. }, Role::Candidate) => *who != Arm::Stable,
        (Verdict::Fail { who: Arm::Both, .. }, _) => true,
        (_, Role::Stable) => gate.stable_is_sick(),
        _ => false,
    });
    if blamed { Tone::Bad } else { Tone::Plain }
}

/// Over how many requests a version's figures go: `n 72,260,340`.
pub(super) fn samples(scene: &Scene<'_>, track: &Track) -> Row {
    let n = track.signals.get(&SignalId::Requests).and_then(|s| s.reading.fresh()).map(Sample::samples);
    n.map_or_else(|| scene.row(), |n| scene.row().add(Tone::Dim, "n ").plain(grouped(n)))
}

/// `1188/1200`.
pub(super) fn ready(scene: &Scene<'_>, track: &Track) -> Row {
    ready_of(scene, instances(track))
}

/// The same of instances that were counted.
pub(super) fn ready_of(scene: &Scene<'_>, counted: Option<Instances>) -> Row {
    let Some(Instances { desired, ready, .. }) = counted else { return scene.row().add(Tone::Dim, figure::UNKNOWN) };
    let tone = match ready {
        0 if desired > 0 => Tone::Bad,
        ready if ready < desired => Tone::Warn,
        _ => Tone::Plain,
    };
    scene.row().add(tone, format!("{ready}/{desired}")).dim_if(scene.stale.is_some())
}

/// `128 restarts OOMKilled 2m`: how often instances were started again, the last reason and when.
pub(super) fn trouble(scene: &Scene<'_>, track: &Track, max: usize) -> Row {
    let restarts = instances(track).map_or(0, |i| i.restarts);
    let told = |i: &&Instance| i.reason.is_some();
    let newest = track.pools.iter().flat_map(|p| &p.instances).filter(told).max_by_key(|i| i.since);
    let reason = newest.and_then(|i| i.reason.as_ref()).map(ToString::to_string).unwrap_or_default();
    let age = newest.map(|i| format!(" {}", short(scene.age(i.since)))).unwrap_or_default();
    if restarts == 0 {
        return if reason.is_empty() {
            scene.row()
        } else {
            Row::fit(scene.look, max, [scene.row().add(Tone::Warn, format!("{reason}{age}")), scene.row().add(Tone::Warn, reason)])
        };
    }
    let plural = if restarts == 1 { "restart" } else { "restarts" };
    let n = compact(u64::from(restarts));
    let space = if reason.is_empty() { "" } else { " " };
    let forms = [
        format!("{n} {plural}{space}{reason}{age}"),
        format!("{n} {plural}{space}{reason}"),
        format!("{n} rst{space}{reason}{age}"),
        format!("{n} rst{space}{reason}"),
    ];
    Row::fit(scene.look, max, forms.map(|text| scene.row().add(Tone::Warn, text)))
}
