//! Why a rollout does not move by itself, and whether a person is waited for.

use super::{analyses, pods, steps::pause_ends, view::View};
use crate::{
    model::{
        rollout::{Attention, Finding, Hold, Phase},
        text::Text,
        time::{Time, after, elapsed},
    },
    runtime::argo::{objects::rollout::PauseCondition, project::controller::Word},
};
use std::time::Duration;

/// How long after its end a pause may still stand there: the controller looks within milliseconds.
const DUE: Duration = Duration::from_secs(10);

/// Everything that keeps it from moving, a person's pause first.
#[must_use]
pub fn holds(view: &View<'_>) -> Vec<Hold> {
    let mut holds: Vec<Hold> = manual(view).into_iter().collect();
    holds.extend(view.rollout.status.pause_conditions.iter().map(|pause| hold(view, pause)));
    holds.extend(backend(view));
    holds
}

fn manual(view: &View<'_>) -> Option<Hold> {
    if !view.rollout.spec.paused {
        return None;
    }
    let writer = view.writer(|m| m.subresource.is_empty() && m.fields.spec.iter().any(|f| &**f == "f:paused"));
    let by = writer.map_or_else(|| "somebody".into(), |m| Text::clean(&m.name));
    Some(Hold::Manual { by, since: paused_since(view), weight: None })
}

/// Since when it is paused by a person: as it was seen to begin; else as whoever wrote it or the controller says.
#[must_use]
pub fn paused_since(view: &View<'_>) -> Time {
    let seen = view.memory.and_then(|m| m.paused());
    if let Some((since, true)) = seen {
        return since;
    }
    let writer = view.writer(|m| m.subresource.is_empty() && m.fields.spec.iter().any(|f| &**f == "f:paused"));
    let told = writer.and_then(|m| m.time);
    let paused = view.rollout.condition("Paused").filter(|c| &*c.status == "True").and_then(|c| c.since);
    told.or(paused).or(seen.map(|(since, _)| since)).unwrap_or(view.now)
}

fn hold(view: &View<'_>, pause: &PauseCondition) -> Hold {
    let since = pause.start_time.unwrap_or(view.now);
    match &*pause.reason {
        "CanaryPauseStep" | "BlueGreenPause" => match bad_duration(view) {
            Some(text) => Hold::Backend { since, reason: Text::clean(&format!("the pause has a bad duration: {text}")) },
            None => Hold::Step { since, until: pause_ends(view, pause) },
        },
        "InconclusiveAnalysisRun" | "InconclusiveExperiment" => {
            let reason = analyses::undecided(view).unwrap_or_else(|| Text::clean(&pause.reason));
            Hold::Inconclusive { since, reason }
        }
        other => Hold::Backend { since, reason: Text::clean(other) },
    }
}

/// Whether the pause for an experiment stands there after the plan went on: it holds nothing, and the next pause
/// of the plan will take it for its own.
#[must_use]
pub fn is_left_over(view: &View<'_>) -> bool {
    use crate::runtime::argo::objects::step::Step;
    view.rollout.status.pause_conditions.iter().any(|p| &*p.reason == "InconclusiveExperiment")
        && !matches!(view.rollout.current_step(), Some(Step::Experiment(..)))
}

/// What the cluster or the router lacks.
fn backend(view: &View<'_>) -> Vec<Hold> {
    let mut holds = Vec::new();
    let status = &view.rollout.status;
    if view.controller.word == Word::Progressing && view.controller.is_current {
        let unverified = view.rollout.routing().is_some() && status.canary.weights.as_ref().is_some_and(|w| w.verified == Some(false));
        if unverified {
            let since = view.memory.and_then(|m| m.entered()).unwrap_or(view.now);
            holds.push(Hold::Backend { since, reason: "the weight is not verified by the load balancer".into() });
        }
        if let Some(set) = view.current.filter(|s| s.status.ready_replicas < s.spec.replicas)
            && let Some((reason, since)) = ill(view, set)
        {
            holds.push(Hold::Backend { since, reason });
        }
    }
    if let Some(failure) = view.rollout.condition("ReplicaFailure").filter(|c| &*c.status == "True") {
        holds.push(Hold::Backend { since: view.since(Some(failure)), reason: Text::clean(&failure.message) });
    }
    holds
}

/// When an update that does not move is said to have timed out, and when it moved last; `None` before half of that
/// time, and where the controller does not count it: while it waits, measures, runs an experiment or was given up.
#[must_use]
pub fn times_out(view: &View<'_>) -> Option<(Time, Time)> {
    use crate::runtime::argo::objects::step::Step;
    let rollout = view.rollout;
    let progressing =
        rollout.condition("Progressing").filter(|c| !matches!(&*c.reason, "NewReplicaSetAvailable" | "ProgressDeadlineExceeded"))?;
    let waits = rollout.spec.paused || rollout.status.abort || !rollout.status.pause_conditions.is_empty();
    let measures = matches!(rollout.current_step(), Some(Step::Pause(_) | Step::Analysis(_) | Step::Experiment(..)));
    // Nor while pods of an older version are kept until a time that is set.
    let kept = view.sets.iter().flatten().any(|set| set.spec.replicas > 0 && set.deadline().is_some_and(|at| at > view.now));
    if view.controller.word != Word::Progressing || !view.controller.is_current || waits || measures || kept {
        return None;
    }
    let deadline = rollout.spec.progress_deadline_seconds.and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0);
    let span = Duration::from_secs(deadline.unwrap_or(DEADLINE));
    let moved = progressing.updated?;
    (elapsed(view.now, moved) >= span / 2).then(|| (after(moved, span), moved))
}

/// Seconds without progress that the controller bears where the spec does not say.
const DEADLINE: u64 = 600;

/// `2 of 3 pods: CrashLoopBackOff after exit 1`, and since when the first of them is so.
#[must_use]
pub fn ill(view: &View<'_>, set: &crate::runtime::argo::objects::set::ReplicaSet) -> Option<(Text, Time)> {
    let pods = view.pods(set)?;
    let ill: Vec<(Text, Time)> = pods.iter().filter_map(|pod| Some((pods::ill(pod)?, pod.metadata.created.unwrap_or(view.now)))).collect();
    let since = ill.iter().map(|(_, since)| *since).min()?;
    // The reason that most of them have.
    let often = |why: &Text| ill.iter().filter(|(other, _)| other == why).count();
    let (worst, _) = ill.iter().max_by_key(|(why, _)| (often(why), std::cmp::Reverse(why.clone())))?;
    let of = usize::try_from(set.spec.replicas).unwrap_or(usize::MAX).max(ill.len());
    Some((format!("{} of {of} pods: {worst}", ill.len()).into(), since))
}

/// Whether a person is waited for, and since when.
#[must_use]
pub fn attention(view: &View<'_>, phase: &Phase, holds: &[Hold], findings: &[Finding]) -> Option<Attention> {
    let kind = |kind: &str, since: Time| Some(Attention { kind: kind.into(), since: since.min(view.now) });
    // A pause by a person does not count while others would end by themselves: then nothing moves before it is lifted.
    let waits = holds.iter().filter(|hold| match hold {
        Hold::Manual { .. } | Hold::Inconclusive { .. } => true,
        Hold::Step { until, .. } => until.is_none(),
        _ => false,
    });
    let waiting = waits.map(Hold::since).min();
    let found = |kinds: &[&str]| findings.iter().filter(|f| kinds.contains(&f.kind.as_str())).map(|f| f.since).min();
    match phase {
        Phase::Held => {
            if let Some(since) = waiting {
                return kind("waiting", since);
            }
        }
        Phase::Failed => {
            let reason = view.controller.reason();
            let condition = view.rollout.because(reason).or_else(|| view.rollout.condition(reason));
            return kind("failing", view.since(condition));
        }
        _ => {}
    }
    if let Some(since) = found(&["lost"]) {
        return kind("stuck", since);
    }
    if let Some(since) = found(&["pods"]).filter(|_| matches!(phase, Phase::Progressing | Phase::Held | Phase::Completed)) {
        return kind("failing", since);
    }
    let due = holds.iter().find_map(|h| match h {
        Hold::Step { until: Some(until), .. } if elapsed(view.now, *until) > DUE => Some(*until),
        _ => None,
    });
    if let Some(since) = due {
        return kind("stuck", since);
    }
    let blocked = holds.iter().find(|h| matches!(h, Hold::Backend { .. }))?;
    kind("stuck", blocked.since())
}

/// The duration of the pause that the plan has here, where nobody can read it.
fn bad_duration<'a>(view: &View<'a>) -> Option<&'a str> {
    use crate::runtime::argo::objects::{duration, step::Step};
    match view.rollout.current_step()? {
        Step::Pause(Some(text)) if duration::parse(text).is_none() => Some(text),
        _ => None,
    }
}
