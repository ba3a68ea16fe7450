//! The plan, and where in it a rollout is.

use super::{experiments, switch, view::View};
use crate::{
    model::{
        ratio::Weight,
        step::{Pause, Step as Shown, StepAt, StepSpec},
        text::Text,
        time::{Time, after},
    },
    runtime::argo::objects::{
        duration,
        rollout::{PauseCondition, PluginStatus},
        step::Step,
    },
};
use std::time::Duration;

/// The plan.
#[must_use]
pub fn steps(view: &View<'_>) -> Vec<Shown> {
    if view.rollout.is_blue_green() {
        return switch::plan(view);
    }
    view.rollout.steps().iter().map(|step| shown(step, view.rollout.whole())).collect()
}

fn shown(step: &Step, whole: u32) -> Shown {
    let spec = match step {
        Step::SetWeight(weight) => {
            part(*weight, whole).map_or_else(|| StepSpec::Native(format!("setWeight {weight} of {whole}").into()), StepSpec::Weight)
        }
        Step::Pause(None) => StepSpec::Pause(Pause::Manual),
        Step::Pause(Some(text)) => match duration::parse(text) {
            Some(span) => StepSpec::Pause(Pause::For(span)),
            None => StepSpec::Native(Text::clean(&format!("pause: bad duration {text}"))),
        },
        other => StepSpec::Native(Text::clean(&words(other))),
    };
    Shown { label: spec.label(0), spec }
}

/// A weight in the router's units, if it is one that can be said exactly.
fn part(weight: i64, whole: u32) -> Option<Weight> {
    let weight = u64::try_from(weight).ok().filter(|w| *w <= u64::from(whole))?;
    let bp = weight * 10_000;
    (bp % u64::from(whole) == 0).then(|| u16::try_from(bp / u64::from(whole)).ok()).flatten().and_then(Weight::from_bp)
}

/// In the words of the field.
fn words(step: &Step) -> String {
    let with = |key: &str, rest: &str| if rest.is_empty() { key.to_owned() } else { format!("{key} {rest}") };
    match step {
        Step::SetWeight(weight) => format!("setWeight {weight}"),
        Step::Pause(span) => with("pause", span.as_deref().unwrap_or_default()),
        Step::Analysis(names) => with("analysis", &names.join(", ")),
        Step::Experiment(names, span) => {
            let what = with("experiment", &names.join(", "));
            span.as_ref().map_or_else(|| what.clone(), |span| format!("{what} {span}"))
        }
        Step::SetCanaryScale(scale) => with("setCanaryScale", scale),
        Step::SetHeaderRoute(name, matched) if matched.is_empty() => format!("{} off", with("setHeaderRoute", name)),
        Step::SetHeaderRoute(name, matched) => format!("{} {matched}", with("setHeaderRoute", name)),
        Step::SetMirrorRoute(name, None) => format!("{} off", with("setMirrorRoute", name)),
        Step::SetMirrorRoute(name, Some(percent)) => format!("{} {percent} %", with("setMirrorRoute", name)),
        Step::Plugin(name) => with("plugin", name),
        Step::Other(key) => key.to_string(),
        Step::Empty => "a step this cluster does not know".to_owned(),
    }
}

/// Where in the plan it is; `None` without one.
#[must_use]
pub fn at(view: &View<'_>) -> Option<StepAt> {
    let index = view.rollout.step().or_else(|| switch::at(view))?;
    let step = view.rollout.steps().get(index);
    let pause = step_pause(view);
    let done = || view.rollout.is_promoted().then(|| view.since(view.rollout.condition("Completed")));
    // What is seen of a switch is when its update began, and when it moved last.
    let moved = || view.rollout.condition("Progressing").filter(|_| view.rollout.is_blue_green() && index > 0).and_then(|c| c.updated);
    let entered = || moved().or_else(|| view.memory.and_then(|m| m.entered()));
    let since = pause.and_then(|p| p.start_time).or_else(entered);
    let since = if view.rollout.is_blue_green() { done().or(since) } else { since.or_else(|| if step.is_none() { done() } else { None }) };
    let progressing = view.rollout.condition("Progressing");
    let since = since.unwrap_or_else(|| view.since(progressing)).min(view.now);
    let ends = match step {
        Some(Step::Pause(_)) => pause.and_then(|p| pause_ends(view, p)),
        Some(Step::Experiment(..)) => experiment_ends(view),
        None => pause.and_then(|p| pause_ends(view, p)),
        _ => None,
    };
    Some(StepAt { index, since, ends })
}

/// The condition of a pause that the plan has here.
#[must_use]
pub fn step_pause<'a>(view: &View<'a>) -> Option<&'a PauseCondition> {
    view.rollout.status.pause_conditions.iter().find(|p| matches!(&*p.reason, "CanaryPauseStep" | "BlueGreenPause"))
}

/// When a pause ends by itself, if it does.
#[must_use]
pub fn pause_ends(view: &View<'_>, pause: &PauseCondition) -> Option<Time> {
    let span = match &*pause.reason {
        "CanaryPauseStep" => match view.rollout.current_step()? {
            Step::Pause(Some(text)) => duration::parse(text)?,
            _ => return None,
        },
        "BlueGreenPause" => auto_promotion(view)?,
        _ => return None,
    };
    Some(after(pause.start_time?, span))
}

/// How long a switch waits before it is made by itself, if it is.
#[must_use]
pub fn auto_promotion(view: &View<'_>) -> Option<Duration> {
    let blue_green = view.rollout.spec.strategy.blue_green.as_ref()?;
    if blue_green.auto_promotion_enabled == Some(false) {
        return None;
    }
    let seconds = blue_green.auto_promotion_seconds.and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0)?;
    Some(Duration::from_secs(seconds))
}

fn experiment_ends(view: &View<'_>) -> Option<Time> {
    let name = &view.rollout.status.canary.current_experiment;
    experiments::ends(view.experiments.as_ref()?.iter().find(|e| e.metadata.name == *name)?)
}

/// What the plugin of the current step says of it; `None` where it is another step, or nothing was said.
#[must_use]
pub fn plugin(view: &View<'_>) -> Option<Text> {
    let index = i64::try_from(view.rollout.step()?).ok();
    let all = &view.rollout.status.canary.step_plugin_statuses;
    // Of what it did to one step, the last.
    all.iter().rev().find(|p| p.index == index && index.is_some()).map(plugin_says)
}

/// `Running, called 3 times: waiting for approval`.
#[must_use]
pub fn plugin_says(plugin: &PluginStatus) -> Text {
    let what = if matches!(&*plugin.operation, "" | "Run") { String::new() } else { format!("{} ", plugin.operation) };
    let times = if plugin.executions > 1 { format!(", called {} times", plugin.executions) } else { String::new() };
    let why = if plugin.message.is_empty() { String::new() } else { format!(": {}", plugin.message) };
    Text::clean(&format!("{what}{}{times}{why}", plugin.phase))
}
