//! The plan of a switch: it is nowhere written down, and follows from what the spec asks for around the switch.

use super::{analyses::is_over, steps::auto_promotion, view::View};
use crate::{
    model::{
        ratio::Weight,
        step::{Pause, Step as Shown, StepSpec},
        text::Text,
    },
    runtime::argo::objects::rollout::{BlueGreen, Templates},
};

/// One part of the plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    /// The candidate's pods are started.
    Start,
    /// It is measured before the switch.
    Before,
    /// It waits for a time or a person.
    Wait,
    /// The rest of its pods is started.
    Fill,
    /// The active service selects it.
    Switch,
    /// It is measured after the switch; then it is stable.
    After,
}

fn parts(view: &View<'_>, spec: &BlueGreen) -> Vec<Part> {
    let waits = spec.auto_promotion_enabled == Some(false) || auto_promotion(view).is_some();
    let all = [
        (Part::Start, true),
        (Part::Before, spec.pre_promotion_analysis.is_some()),
        (Part::Wait, waits),
        (Part::Fill, preview(view, spec) != view.rollout.replicas()),
        (Part::Switch, true),
        (Part::After, spec.post_promotion_analysis.is_some()),
    ];
    all.into_iter().filter_map(|(part, there)| there.then_some(part)).collect()
}

/// How many pods the candidate has before the switch.
fn preview(view: &View<'_>, spec: &BlueGreen) -> u32 {
    let asked = spec.preview_replica_count.and_then(|count| u32::try_from(count).ok()).filter(|count| *count > 0);
    asked.unwrap_or_else(|| view.rollout.replicas())
}

/// The plan; empty where nothing is switched.
#[must_use]
pub fn plan(view: &View<'_>) -> Vec<Shown> {
    let Some(spec) = view.rollout.blue_green() else { return Vec::new() };
    parts(view, spec).into_iter().map(|part| shown(view, spec, part)).collect()
}

/// How many parts of the plan wait for somebody or something else than pods: a full promotion skips them.
#[must_use]
pub fn waits(view: &View<'_>) -> usize {
    let Some(spec) = view.rollout.blue_green() else { return 0 };
    parts(view, spec).into_iter().filter(|part| matches!(part, Part::Before | Part::Wait | Part::After)).count()
}

fn shown(view: &View<'_>, spec: &BlueGreen, part: Part) -> Shown {
    let labelled = |spec: StepSpec| Shown { label: spec.label(0), spec };
    match part {
        Part::Start => labelled(StepSpec::Scale(preview(view, spec))),
        Part::Fill => labelled(StepSpec::Scale(view.rollout.replicas())),
        Part::Before => labelled(StepSpec::Native(analysis(spec.pre_promotion_analysis.as_ref()))),
        Part::After => labelled(StepSpec::Native(analysis(spec.post_promotion_analysis.as_ref()))),
        Part::Wait => labelled(StepSpec::Pause(auto_promotion(view).map_or(Pause::Manual, Pause::For))),
        Part::Switch => Shown { spec: StepSpec::Weight(Weight::FULL), label: "switch".into() },
    }
}

fn analysis(templates: Option<&Templates>) -> Text {
    let names = templates.map(Templates::names).unwrap_or_default();
    Text::clean(format!("analysis {}", names.join(", ")).trim_end())
}

/// Where in the plan it is, from 0; the number of its steps when all are done. `None` where nothing is switched, and
/// where it was given up.
#[must_use]
pub fn at(view: &View<'_>) -> Option<usize> {
    let parts = parts(view, view.rollout.blue_green()?);
    let (rollout, status) = (view.rollout, &view.rollout.status);
    let position = |part: Part| parts.iter().position(|p| *p == part);
    if rollout.is_promoted() {
        return Some(parts.len());
    }
    // Given up, it is nowhere; before the first promotion there is nothing to switch from.
    if status.abort || view.is_aborted() {
        return None;
    }
    if status.stable_hash.is_empty() {
        return Some(0);
    }
    let switch = &status.blue_green;
    if !status.current_pod_hash.is_empty() && switch.active_selector == status.current_pod_hash {
        return Some(position(Part::After).unwrap_or(parts.len()));
    }
    if status.pause_conditions.iter().any(|p| &*p.reason == "BlueGreenPause") {
        return position(Part::Wait).or(Some(0));
    }
    if switch.scale_up_preview_check_point {
        return position(Part::Fill).or_else(|| position(Part::Switch));
    }
    // Its pause is over and nothing else is begun.
    if status.controller_pause {
        return position(Part::Wait).or_else(|| position(Part::Switch));
    }
    let before = switch.pre_promotion_analysis_run_status.as_ref().filter(|run| !run.name.is_empty());
    match before {
        Some(run) if is_over(&run.status) => Some(position(Part::Before).map_or(0, |n| n + usize::from(&*run.status == "Successful"))),
        Some(_) => position(Part::Before).or(Some(0)),
        None => Some(0),
    }
}
