//! What the controller measures, with values, limits and counts.

use super::view::View;
use crate::{
    model::{
        rollout::{Analysis, Asked, Metric, MetricCounts},
        text::{Raw, Text},
        time::{Time, after},
    },
    runtime::argo::objects::{
        Meta,
        analysis::{AnalysisRun, Arg, MetricResult, MetricSpec},
        duration,
        rollout::RunBrief,
    },
};
use regex::bytes::RegexBuilder;
use std::time::Duration;

/// How many errors in a row the controller bears where the metric does not say.
const ERRORS: i64 = 4;
/// Values that are kept of a metric; the controller keeps ten, usually.
const VALUES: usize = 20;

/// The analysis runs of the current update, oldest first, and what still runs of another one.
#[must_use]
pub fn analyses(view: &View<'_>) -> Vec<Analysis> {
    let mut all: Vec<Analysis> = match &view.runs {
        Some(runs) => runs.iter().filter(|run| belongs(view, run)).map(|run| analysis(run)).collect(),
        None => briefs(view),
    };
    all.extend(later(view));
    all
}

/// What is measured beside the steps, and begins with a later one.
fn later(view: &View<'_>) -> Option<Analysis> {
    let rollout = view.rollout;
    let planned = rollout.spec.strategy.canary.as_ref().filter(|_| !rollout.is_blue_green())?.analysis.as_ref()?;
    let (at, begins) = (rollout.step()?, usize::try_from(planned.starting_step?).ok()?);
    let coming = at < begins && view.is_updating() && !rollout.status.abort && !view.is_aborted();
    coming.then(|| Analysis {
        name: Text::clean(&planned.names().join(", ")),
        place: "background".into(),
        phase: "Pending".into(),
        message: Some(format!("begins with step {} of {}", begins.saturating_add(1), rollout.steps().len()).into()),
        started: None,
        metrics: Vec::new(),
    })
}

fn belongs(view: &View<'_>, run: &AnalysisRun) -> bool {
    let meta = &run.metadata;
    if !is_over(&run.status.phase) {
        return true;
    }
    // A run of an experiment has neither hash nor revision: its experiment has.
    let owner = meta.controller();
    let experiment = view.experiments.iter().flatten().find(|e| owner.is_some_and(|o| o.uid == e.metadata.uid));
    is_of_this_update(view, experiment.map_or(meta, |e| &e.metadata))
}

/// Whether it was made for the update that is looked at.
#[must_use]
pub fn is_of_this_update(view: &View<'_>, meta: &Meta) -> bool {
    let revision = meta.revision();
    meta.hash() == Some(&*view.rollout.status.current_pod_hash) && (revision.is_none() || revision == view.revision())
}

/// Whether this is the last word.
#[must_use]
pub fn is_over(phase: &str) -> bool {
    matches!(phase, "Successful" | "Failed" | "Error" | "Inconclusive")
}

fn analysis(run: &AnalysisRun) -> Analysis {
    let place = match run.metadata.labels.get("rollout-type") {
        Some("Step") => "step".into(),
        Some("Background") => "background".into(),
        Some("PrePromotion") => "pre-promotion".into(),
        Some("PostPromotion") => "post-promotion".into(),
        Some(other) => Text::clean(other),
        None => "experiment".into(),
    };
    let result = |name: &str| run.status.metric_results.iter().find(|r| &*r.name == name);
    let mut metrics: Vec<Metric> = run.spec.metrics.iter().map(|m| metric(run, m, result(&m.name))).collect();
    let unspecified = run.status.metric_results.iter().filter(|r| run.spec.metrics.iter().all(|m| m.name != r.name));
    metrics.extend(unspecified.map(|r| metric(run, &MetricSpec { name: r.name.clone(), ..MetricSpec::default() }, Some(r))));
    Analysis {
        name: Text::clean(&run.metadata.name),
        place,
        phase: or_pending(&run.status.phase),
        message: said(&run.status.message),
        started: run.status.started_at,
        metrics,
    }
}

fn or_pending(phase: &str) -> Text {
    if phase.is_empty() { "Pending".into() } else { Text::clean(phase) }
}

fn said(message: &str) -> Option<Text> {
    (!message.is_empty()).then(|| Text::clean(message))
}

fn metric(run: &AnalysisRun, spec: &MetricSpec, result: Option<&MetricResult>) -> Metric {
    let condition = match (&*spec.success_condition, &*spec.failure_condition) {
        ("", "") => Text::default(),
        (success, "") => Text::clean(success),
        ("", failure) => Text::clean(&format!("not ({failure})")),
        (success, failure) => Text::clean(&format!("{success}, not ({failure})")),
    };
    // Once it was begun the result says so itself.
    let planned = || run.spec.dry_run.iter().any(|d| d.metric_name == spec.name || fits(&d.metric_name, &spec.name));
    let delayed = spec.initial_delay.as_ref().map(|d| Text::clean(&format!("begins after {d}")));
    Metric {
        name: Text::clean(&spec.name),
        phase: result.map_or_else(|| "Pending".into(), |r| or_pending(&r.phase)),
        values: result.map(values).unwrap_or_default(),
        condition,
        counts: counts(run, spec, result),
        dry_run: result.map_or_else(planned, |r| r.dry_run),
        measured: result.and_then(|r| r.measurements.iter().rev().find_map(|m| m.finished_at)),
        next: result.and_then(|r| next(run, spec, r)),
        message: match result {
            Some(result) => said(&result.message).or_else(|| result.measurements.last().and_then(|m| said(&m.message))),
            None => delayed,
        },
        asked: asked(run, spec),
        ours: None,
    }
}

/// What a Prometheus is asked, with the arguments of the run filled in. The value of a secret is not in it.
fn asked(run: &AnalysisRun, spec: &MetricSpec) -> Option<Asked> {
    let query = &spec.provider.prometheus.query;
    let of = |text: &str| Raw::new(filled(text, &run.spec.args));
    (!query.is_empty()).then(|| Asked { query: of(query), success: of(&spec.success_condition), failure: of(&spec.failure_condition) })
}

/// `{{args.name}}` and its value; as it is where that is not known.
fn filled(text: &str, args: &[Arg]) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, hole)) = rest.split_once("{{") {
        let Some((inside, after)) = hole.split_once("}}") else { break };
        let known = inside.trim().strip_prefix("args.").and_then(|name| args.iter().find(|a| &*a.name == name)?.value.as_deref());
        out.push_str(before);
        match known {
            Some(value) => out.push_str(value),
            None => out.extend(["{{", inside, "}}"]),
        }
        rest = after;
    }
    out + rest
}

/// Whether a pattern is found in a name, as Argo looks for it. One that nobody can read fits nothing.
fn fits(pattern: &str, name: &str) -> bool {
    let read = RegexBuilder::new(pattern).unicode(false).size_limit(PATTERN).build();
    read.is_ok_and(|pattern| pattern.is_match(name.as_bytes()))
}

/// Bytes that a pattern may take: names are short.
const PATTERN: usize = 100_000;
/// Between two attempts at what could not be measured.
const AGAIN: Duration = Duration::from_secs(10);

/// When it is measured next: as the measurement that runs says, else an interval after the last; what could not be
/// measured is tried again sooner.
fn next(run: &AnalysisRun, spec: &MetricSpec, result: &MetricResult) -> Option<Time> {
    if is_over(&run.status.phase) || is_over(&result.phase) {
        return None;
    }
    let last = result.measurements.last()?;
    if last.finished_at.is_none() {
        return last.resume_at;
    }
    let every = || duration::parse(&filled(spec.interval.as_deref()?, &run.spec.args));
    let wait = if &*last.phase == "Error" { AGAIN } else { every()? };
    Some(after(last.finished_at?, wait))
}

fn values(result: &MetricResult) -> Vec<Text> {
    let skip = result.measurements.len().saturating_sub(VALUES);
    result.measurements.iter().skip(skip).filter(|m| !m.value.is_empty()).map(|m| Text::clean(&m.value)).collect()
}

fn counts(run: &AnalysisRun, spec: &MetricSpec, result: Option<&MetricResult>) -> MetricCounts {
    // Limits may be arguments of the run; one that is secret is not known. -1 is no limit.
    let whole = |text: &str| filled(text, &run.spec.args).trim().parse::<i64>().ok();
    let limit = |text: Option<&str>, usual: i64| text.map_or(Some(usual), whole).and_then(|l| u32::try_from(l).ok());
    let count = match (&spec.count, &spec.interval) {
        (Some(count), _) => whole(count),
        (None, None) => Some(1),
        (None, Some(_)) => None,
    };
    MetricCounts {
        successful: result.map_or(0, |r| r.successful),
        failed: result.map_or(0, |r| r.failed),
        inconclusive: result.map_or(0, |r| r.inconclusive),
        error: result.map_or(0, |r| r.error),
        failure_limit: limit(spec.failure_limit.as_deref(), 0),
        inconclusive_limit: limit(spec.inconclusive_limit.as_deref(), 0),
        error_limit: limit(spec.consecutive_error_limit.as_deref(), ERRORS),
        count: count.and_then(|c| u32::try_from(c).ok()).filter(|c| *c > 0),
        success_limit: limit(spec.consecutive_success_limit.as_deref(), 0).filter(|l| *l > 0),
        successes_in_a_row: result.map_or(0, |r| r.consecutive_success),
        every: spec.interval.as_deref().and_then(|every| duration::parse(&filled(every, &run.spec.args))),
        errors_in_a_row: result.map_or(0, |r| r.consecutive_error),
    }
}

/// What the rollout itself says of its analysis runs, while they are not known.
fn briefs(view: &View<'_>) -> Vec<Analysis> {
    let status = &view.rollout.status;
    let (canary, blue_green) = (&status.canary, &status.blue_green);
    let all: [(&str, Option<&RunBrief>); 4] = [
        ("step", canary.current_step_analysis_run_status.as_ref()),
        ("background", canary.current_background_analysis_run_status.as_ref()),
        ("pre-promotion", blue_green.pre_promotion_analysis_run_status.as_ref()),
        ("post-promotion", blue_green.post_promotion_analysis_run_status.as_ref()),
    ];
    let some = all.into_iter().filter_map(|(place, brief)| Some((place, brief?))).filter(|(_, brief)| !brief.name.is_empty());
    some.map(|(place, brief)| Analysis {
        name: Text::clean(&brief.name),
        place: place.into(),
        phase: or_pending(&brief.status),
        message: said(&brief.message),
        started: None,
        metrics: Vec::new(),
    })
    .collect()
}

/// Whether an analysis stands before the switch of the active service, or before the promotion after it; as the
/// controller says, who goes by that.
#[must_use]
pub fn is_switch_judged(view: &View<'_>, switched: bool) -> bool {
    let status = &view.rollout.status.blue_green;
    let run = if switched { &status.post_promotion_analysis_run_status } else { &status.pre_promotion_analysis_run_status };
    run.as_ref().is_some_and(|run| !run.name.is_empty() && !is_over(&run.status))
}

/// The metric that could not decide, for people: `success-rate 0.93 is neither good nor bad`.
#[must_use]
pub fn undecided(view: &View<'_>) -> Option<Text> {
    let inconclusive = |phase: &str| phase == "Inconclusive";
    let runs = view.runs.as_ref()?;
    let run = runs.iter().rev().find(|r| inconclusive(&r.status.phase) && belongs(view, r))?;
    let result = run.status.metric_results.iter().find(|r| inconclusive(&r.phase))?;
    let value = result.measurements.iter().rev().find(|m| inconclusive(&m.phase) && !m.value.is_empty());
    let value = value.map(|m| format!(" {}", m.value)).unwrap_or_default();
    Some(Text::clean(&format!("{}{value} is neither good nor bad ({})", result.name, run.metadata.name)))
}
