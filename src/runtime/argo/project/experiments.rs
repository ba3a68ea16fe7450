//! Versions that run beside a rollout: what becomes of them, and what is measured.

use super::{
    analyses::{is_of_this_update, is_over},
    view::View,
};
use crate::{
    model::{
        rollout::{Experiment as Shown, ExperimentRun},
        text::Text,
        time::{Time, after},
    },
    runtime::argo::objects::{analysis::Experiment, duration},
};

/// The experiments of the current update, oldest first, and what still runs of another one.
#[must_use]
pub fn experiments(view: &View<'_>) -> Vec<Shown> {
    let of_now = |e: &&&Experiment| !is_over(&e.status.phase) || is_of_this_update(view, &e.metadata);
    view.experiments.iter().flatten().filter(of_now).map(|e| shown(e)).collect()
}

/// When one that runs ends by itself; `None` without a duration, or before all of it is there.
#[must_use]
pub fn ends(experiment: &Experiment) -> Option<Time> {
    if experiment.is_over() {
        return None;
    }
    Some(after(experiment.status.available_at?, duration::parse(experiment.spec.duration.as_ref()?)?))
}

fn shown(experiment: &Experiment) -> Shown {
    let status = &experiment.status;
    let phase = |word: &str| if word.is_empty() { "Pending".into() } else { Text::clean(word) };
    let said = |message: &str| (!message.is_empty()).then(|| Text::clean(message));
    let runs = status.analysis_runs.iter().map(|run| ExperimentRun {
        what: Text::clean(&run.name),
        name: Text::clean(&run.analysis_run),
        phase: phase(&run.phase),
        message: said(&run.message),
    });
    Shown {
        name: Text::clean(&experiment.metadata.name),
        phase: phase(&status.phase),
        message: said(&status.message),
        since: status.available_at,
        ends: ends(experiment),
        runs: runs.collect(),
    }
}
