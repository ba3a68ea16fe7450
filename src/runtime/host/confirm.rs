//! Whether an accepted plan is true now. Pure.

use crate::model::{
    action::{Action, Observation, Plan},
    ident::VersionId,
    ratio::{Ratio, Weight},
    rollout::{Hold, Phase, Rollout, Standing},
    text::Text,
    time::Time,
};

/// See [`Runtime::confirm`](crate::runtime::Runtime::confirm).
#[must_use]
pub fn confirm(plan: &Plan, rollout: &Rollout) -> Observation {
    let same_run = rollout.run == plan.belief.run;
    match &plan.action {
        Action::Back { to } => back(plan, rollout, to),
        Action::Undo { to } => undo(plan, rollout, to),
        Action::Freeze { until } => freeze(plan, rollout, *until),
        Action::Thaw => match &rollout.frozen {
            None => Observation::Confirmed,
            Some(freeze) => another(plan, rollout).unwrap_or_else(|| pending(&format!("still frozen by {}", freeze.by))),
        },
        Action::Taint { version } => taint(rollout, version),
        Action::Retry => retry(plan, rollout),
        _ if !same_run => by_starting(rollout),
        Action::Promote if rollout.phase == Phase::Completed => Observation::Confirmed,
        Action::Step | Action::SkipGate if rollout.phase == Phase::Completed => Observation::Confirmed,
        _ if matches!(rollout.phase, Phase::Reverting | Phase::Reverted) => by_acting(rollout),
        _ if matches!(rollout.phase, Phase::Failed | Phase::Completed) => {
            Observation::Contradicted { by: format!("the run {}", rollout.phase.word()).into() }
        }
        Action::Pause if manual(rollout).is_some() => Observation::Confirmed,
        Action::Pause => pending("it is not paused yet"),
        Action::Resume => match manual(rollout) {
            Some(by) => pending(&format!("still paused by {by}")),
            None => Observation::Confirmed,
        },
        Action::Step | Action::SkipGate => {
            let now = rollout.at.map(|at| at.index);
            // A step that goes on after a stop skips nothing: the host says that it was taken.
            let taken = rollout.last.as_ref().is_some_and(|l| matches!(l.action, Action::Step | Action::SkipGate));
            if now > plan.belief.at || (taken && rollout.seen.rev > plan.belief.rev) {
                Observation::Confirmed
            } else {
                pending(&format!("still at step {}", now.map_or(0, |n| n + 1)))
            }
        }
        Action::Promote => pending(&format!("{} of 100 % programmed", programmed(rollout).unwrap_or_default())),
        Action::SetWeight { weight } => match programmed(rollout) {
            Some(now) if now == *weight => Observation::Confirmed,
            Some(now) => pending(&format!("{now} programmed, {weight} wanted")),
            None => pending("the router has not said what it does"),
        },
    }
}

fn back(plan: &Plan, r: &Rollout, to: &VersionId) -> Observation {
    let arrived = r.tracks.iter().find(|t| t.version.id == *to);
    // What is left of it anywhere else, the largest first.
    let elsewhere = r.tracks.iter().filter(|t| t.version.id != *to);
    let elsewhere = elsewhere.filter_map(|t| Some((t, t.share.programmed.filter(|p| p.parts > 0)?))).max_by_key(|(_, p)| p.parts);
    let all = arrived.and_then(|t| t.share.programmed).is_some_and(|p| p.whole > 0 && p.parts == p.whole);
    if let Some(then) = r.back.then.as_ref().filter(|_| r.run == plan.belief.run) {
        return pending(&format!("{then} still follows"));
    }
    if all && elsewhere.is_none() && matches!(r.phase, Phase::Reverted | Phase::Completed | Phase::Idle) {
        return Observation::Confirmed;
    }
    if r.run != plan.belief.run && matches!(r.phase, Phase::Progressing | Phase::Held) {
        return by_starting(r);
    }
    if let Some((track, share)) = elsewhere {
        return pending(&format!("{} still has {} programmed", track.version.label, percent(share)));
    }
    match arrived {
        None => pending(&format!("{} is not there yet", to.text())),
        Some(track) if !all => {
            let (ready, desired) = track.pools.iter().fold((0, 0), |(r, d), p| (r + p.ready, d + p.desired));
            pending(&format!("{} has no traffic yet, {ready}/{desired} ready", track.version.label))
        }
        Some(_) => pending("the host has not confirmed it"),
    }
}

/// A retry is a run of its own, whatever becomes of it.
fn retry(plan: &Plan, r: &Rollout) -> Observation {
    if r.run == plan.belief.run { pending("no new run has begun") } else { Observation::Confirmed }
}

/// A new run has the version as its candidate, or has brought it to all the traffic already. What then
/// becomes of the run is another matter.
fn undo(plan: &Plan, r: &Rollout, to: &VersionId) -> Observation {
    if r.run == plan.belief.run {
        pending("no new run has begun")
    } else if r.tracks.iter().any(|t| t.version.id == *to) {
        Observation::Confirmed
    } else {
        by_starting(r)
    }
}

fn freeze(plan: &Plan, r: &Rollout, until: Option<Time>) -> Observation {
    match &r.frozen {
        Some(freeze) if freeze.until == until => Observation::Confirmed,
        // One that is short may be over before it is seen.
        None if until.is_some_and(|until| until <= r.seen.server_time) => Observation::Confirmed,
        Some(_) => another(plan, r).unwrap_or_else(|| pending("the freeze before it is still in force")),
        None => another(plan, r).unwrap_or_else(|| pending("it is not frozen yet")),
    }
}

/// Whether somebody froze or thawed it otherwise since the plan was made.
fn another(plan: &Plan, r: &Rollout) -> Option<Observation> {
    let last = r.last.as_ref().filter(|_| r.seen.rev > plan.belief.rev)?;
    let other = matches!(last.action, Action::Freeze { .. } | Action::Thaw) && last.action != plan.action;
    other.then(|| Observation::Contradicted { by: format!("{} {}", last.by, last.action.past()).into() })
}

fn taint(r: &Rollout, version: &VersionId) -> Observation {
    match r.known(version).map(|k| &k.standing) {
        Some(Standing::Tainted { .. }) => Observation::Confirmed,
        Some(standing) => pending(&format!("it is still called {}", standing.word())),
        None => pending("the version is not remembered any more"),
    }
}

fn manual(r: &Rollout) -> Option<&Text> {
    r.holds.iter().find_map(|h| match h {
        Hold::Manual { by, .. } => Some(by),
        _ => None,
    })
}

/// What the router gives the candidate, if that is a whole number of hundredths of a percent.
fn programmed(r: &Rollout) -> Option<Weight> {
    r.candidate()?.share.programmed?.percent().and_then(Weight::from_percent)
}

fn percent(ratio: Ratio) -> String {
    ratio.percent().map_or_else(|| "–".into(), |p| format!("{} %", (p * 100.0).ceil() / 100.0))
}

fn pending(missing: &str) -> Observation {
    Observation::Pending { missing: missing.into() }
}

fn by_starting(r: &Rollout) -> Observation {
    let by = match (&r.started, &r.run) {
        (Some(started), Some(run)) => format!("{} started run {}", started.by, run.text()),
        _ => "there is another run now".into(),
    };
    Observation::Contradicted { by: by.into() }
}

fn by_acting(r: &Rollout) -> Observation {
    let by = match &r.last {
        Some(last) if matches!(last.action, Action::Back { .. }) => format!("{} went back", last.by),
        _ => "the rollout goes back by itself".into(),
    };
    Observation::Contradicted { by: by.into() }
}

#[cfg(test)]
mod tests;
