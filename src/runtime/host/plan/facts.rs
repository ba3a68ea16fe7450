//! What plans read off a rollout, and how they word it.

use super::Draft;
use crate::{
    model::{
        action::{Refusal, Shift},
        failed::{self, Onward},
        gate::{GateState, Verdict},
        ident::{Role, VersionId},
        ratio::{Ratio, Weight},
        rollout::{Freeze, Hold, Known, Phase, Rollout, Standing},
        signal::SignalId,
        spec::{OnFail, Strategy},
        step::{Gates, StepSpec},
        text::Text,
        time::{Time, span},
        version::{Track, Version},
    },
    runtime::Ask,
};
use std::time::Duration;

pub fn not_now(why: impl Into<Text>) -> Refusal {
    Refusal::NotNow { why: why.into() }
}

/// Refuses where nothing is rolling out.
pub fn running(r: &Rollout) -> Result<(), Refusal> {
    let why = match &r.phase {
        Phase::Progressing | Phase::Held => return Ok(()),
        Phase::Idle => "nothing was deployed here yet".to_owned(),
        Phase::Reverting => "traffic is on its way back".to_owned(),
        Phase::Reverted => "the run was reverted; retry tries it again".to_owned(),
        Phase::Completed => "the run is completed".to_owned(),
        Phase::Failed => format!("the run failed{}; retry tries it again", r.reason.as_ref().map_or(String::new(), |w| format!(" ({w})"))),
        Phase::Unknown(word) => format!("the host calls its phase `{word}`, which is not known here"),
    };
    Err(not_now(why))
}

/// Refuses while the line is stopped.
pub fn thawed(r: &Rollout) -> Result<(), Refusal> {
    in_force(r).map_or(Ok(()), |freeze| Err(Refusal::Frozen { why: frozen(freeze).into() }))
}

/// The freeze that is in force: one that has run out stops nothing any more.
pub fn in_force(r: &Rollout) -> Option<&Freeze> {
    r.frozen.as_ref().filter(|f| f.until.is_none_or(|until| until > r.seen.server_time))
}

/// `by ana 02:14 until 06:00: peak hour`.
pub fn frozen(freeze: &Freeze) -> String {
    let until = freeze.until.map_or_else(|| ", until somebody thaws it".to_owned(), |t| format!(" until {}", moment(t, freeze.since)));
    format!("by {} {}{until}: {}", freeze.by, freeze.since.format("%H:%M"), freeze.reason)
}

/// A minute of the day, with the day unless it is that of another instant.
pub fn moment(at: Time, beside: Time) -> String {
    at.format(if at.date_naive() == beside.date_naive() { "%H:%M" } else { "%m-%d %H:%M" }).to_string()
}

/// What a person holds it by.
pub struct ByHand<'a> {
    pub by: &'a Text,
    pub since: Time,
    /// The share that was set; `None` for a pause.
    pub weight: Option<Weight>,
}

impl ByHand<'_> {
    /// `paused by ben 02:14`, `held at 10 % by ben 02:14`.
    pub fn text(&self) -> String {
        let at = self.since.format("%H:%M");
        self.weight.map_or_else(|| format!("paused by {} {at}", self.by), |weight| format!("held at {weight} by {} {at}", self.by))
    }

    pub fn refusal(&self) -> Refusal {
        not_now(format!("{}; resume lifts it", self.text()))
    }
}

/// Who holds it by hand.
pub fn manual(r: &Rollout) -> Option<ByHand<'_>> {
    r.holds.iter().find_map(|h| match h {
        Hold::Manual { by, since, weight } => Some(ByHand { by, since: *since, weight: *weight }),
        _ => None,
    })
}

/// Refuses while a person holds it.
pub fn not_held(r: &Rollout) -> Result<(), Refusal> {
    manual(r).map_or(Ok(()), |held| Err(held.refusal()))
}

/// Why it stopped by itself, if it did.
pub fn stopped(r: &Rollout) -> Option<&Text> {
    r.holds.iter().find_map(|h| match h {
        Hold::Stopped { reason, .. } => Some(reason),
        _ => None,
    })
}

/// The current step, if it tries the candidate before traffic does.
pub fn tried(r: &Rollout) -> Option<&StepSpec> {
    r.at.and_then(|at| r.steps.get(at.index)).map(|s| &s.spec).filter(|s| is_trial(s))
}

/// Whether a step tries the candidate before traffic does.
pub const fn is_trial(step: &StepSpec) -> bool {
    matches!(step, StepSpec::Check(_) | StepSpec::Warm(_))
}

/// Why what is tried at the current step failed, if it did. A run that waits there after a restart of
/// the host has failed nothing: it is tried again.
pub fn trial_failed(r: &Rollout) -> Option<&Text> {
    let waits = r.attention.as_ref().is_some_and(|a| a.kind.as_str() == "waiting");
    tried(r).and_then(|_| stopped(r)).filter(|_| !waits)
}

/// Checks and warm-ups that have not succeeded: whoever goes over them says why.
pub fn trials_ahead(r: &Rollout, draft: &mut Draft) {
    let at = r.at.map_or(0, |at| at.index);
    for (index, step) in r.steps.iter().enumerate().skip(at).filter(|(_, s)| is_trial(&s.spec)) {
        draft.needs_reason = true;
        draft.note(format!("the {} of step {} has not succeeded", step.spec.kind(), index + 1));
    }
}

/// Refuses while a gate fails or the runtime holds; with force it only warns, and with a reason alone where
/// every gate that fails says that stable is sick too.
pub fn failed_gates(r: &Rollout, ask: &Ask, draft: &mut Draft) -> Result<(), Refusal> {
    let deciding = r.gates.iter().filter(|g| g.on_fail != OnFail::Advise);
    // Whoever forces it is asked for a reason before it is sent.
    let how = Onward { action: &ask.action, force: ask.force, reasoned: ask.force || ask.reason.is_some() };
    if let Some(refusal) = failed::refusal(deciding.clone(), r.failed(), how) {
        return Err(refusal);
    }
    for gate in deciding.filter(|g| g.verdict.fails() || r.failure(g).is_some_and(|f| f.stands)) {
        draft.warn(gate_line(r, gate));
        draft.needs_reason = true;
    }
    draft.notes.extend(stable_is_sick(r));
    for hold in &r.holds {
        if let Hold::Backend { reason, .. } = hold {
            if !ask.force {
                return Err(Refusal::NotNow { why: reason.clone() });
            }
            draft.warn(reason.clone());
            draft.needs_reason = true;
        }
    }
    Ok(())
}

/// The gates among these that neither pass nor fail.
pub fn not_passed<'a>(r: &'a Rollout, of: &Gates) -> Vec<&'a GateState> {
    let unsure = |g: &&GateState| matches!(g.verdict, Verdict::Wait { .. } | Verdict::Blind { .. });
    r.gates.iter().filter(|g| of.includes(&g.id)).filter(unsure).collect()
}

/// Said wherever it is about going on or back, while stable is sick: going back leads to that version.
pub fn stable_is_sick(r: &Rollout) -> Option<Text> {
    let sick = |both: bool| r.gates.iter().find(|g| g.verdict.fails_both() == both && g.stable_is_sick());
    let gate = sick(true).or_else(|| sick(false))?;
    let too = if gate.verdict.fails_both() { " too" } else { "" };
    // Of this weight, or of the whole run where nothing was counted at this weight yet.
    let share = gate.evidence.as_ref().and_then(|e| e.stable.value().or_else(|| e.run_stable.value()));
    Some(match (gate.signal, share) {
        (SignalId::Slow, Some(share)) => format!("going back will not help: {} of stable's requests are slow{too}", percent(share)).into(),
        (SignalId::Errors, Some(share)) => format!("going back will not help: stable fails {}{too}", percent(share)).into(),
        _ => format!("going back will not help: stable is sick{too} (gate {}: {})", gate.id.text(), gate.verdict.reason()).into(),
    })
}

/// `gate errors WAIT: 391 more requests`; of one that failed and has not passed since, that it did.
pub fn gate_line(r: &Rollout, gate: &GateState) -> Text {
    if let Some(failed) = r.failed_before(gate) {
        return format!("gate {} {}: {}", gate.id.text(), failed.text(Some(gate)), gate.verdict.reason()).into();
    }
    format!("gate {} {}: {}", gate.id.text(), gate.verdict.word(), gate.verdict.reason()).into()
}

/// Refuses while the candidate is not whole or the router does not do what is declared.
pub fn converged(r: &Rollout) -> Result<(), Refusal> {
    let Some(candidate) = r.candidate() else { return Ok(()) };
    all_ready(r, candidate)?;
    match (candidate.share.declared, candidate.share.programmed) {
        (Some(declared), Some(programmed)) if declared != programmed => {
            Err(not_now(format!("the router is at {}, not yet at {}", bp(programmed), bp(declared))))
        }
        (Some(declared), None) => Err(not_now(format!("the router has not confirmed {}", bp(declared)))),
        _ => Ok(()),
    }
}

pub fn all_ready(r: &Rollout, candidate: &Track) -> Result<(), Refusal> {
    let (ready, desired) = instances(candidate);
    if ready >= desired {
        return Ok(());
    }
    let name = if r.strategy == Strategy::Canary { "canary" } else { "candidate" };
    Err(not_now(format!("{name} {ready}/{desired} ready")))
}

/// Ready and desired, all pools together.
pub fn instances(track: &Track) -> (u32, u32) {
    track.pools.iter().fold((0, 0), |(ready, desired), p| (ready + p.ready, desired + p.desired))
}

fn bp(ratio: Ratio) -> Weight {
    let bp = if ratio.whole == 0 { 0 } else { (u128::from(ratio.parts) * 10_000 + u128::from(ratio.whole) / 2) / u128::from(ratio.whole) };
    u16::try_from(bp).ok().and_then(Weight::from_bp).unwrap_or(Weight::FULL)
}

/// A track's share now.
pub fn weight(track: &Track) -> Weight {
    track.share.declared.or(track.share.programmed).map_or(Weight::ZERO, bp)
}

pub fn candidate_weight(r: &Rollout) -> Weight {
    r.candidate().map_or(Weight::ZERO, weight)
}

/// The share that the plan gives the candidate at a step, as the strategy has it. `None` where only the
/// instances that are ready then will tell.
pub fn planned_at(r: &Rollout, step: usize) -> Option<Weight> {
    let after = step >= r.steps.len();
    match r.strategy {
        Strategy::Canary if after => Some(Weight::FULL),
        Strategy::Canary => r.steps.iter().take(step.saturating_add(1)).rev().find_map(|s| match s.spec {
            StepSpec::Weight(w) => Some(w),
            _ => None,
        }),
        // A gate judges traffic: all of it is there from the first one on.
        Strategy::BlueGreen | Strategy::Recreate => {
            let gate = r.steps.iter().position(|s| matches!(s.spec, StepSpec::Gate(_)));
            Some(if step >= gate.unwrap_or(r.steps.len()) { Weight::FULL } else { Weight::ZERO })
        }
        Strategy::Rolling => None,
    }
}

/// The share that the plan gives the candidate at the current step.
pub fn planned(r: &Rollout) -> Option<Weight> {
    planned_at(r, r.at?.index)
}

pub fn shift(track: &Track, after: Weight) -> Shift {
    Shift { version: track.version.label.clone(), before: weight(track), after }
}

/// Every track's weight when the candidate gets this share and stable the rest.
pub fn weights(r: &Rollout, candidate: Weight) -> Vec<Shift> {
    r.tracks
        .iter()
        .filter_map(|t| match t.role {
            Role::Candidate => Some(shift(t, candidate)),
            Role::Stable => Some(shift(t, candidate.rest())),
            Role::Superseded | Role::Experiment => None,
        })
        .collect()
}

/// Every track's weight, which stays.
pub fn unmoved(r: &Rollout) -> Vec<Shift> {
    r.tracks.iter().map(|t| shift(t, weight(t))).collect()
}

/// `: 33.33 → 50 %`, or that it stays.
pub fn change(r: &Rollout, to: Weight) -> String {
    let from = candidate_weight(r);
    if from == to { format!(": stays at {to}") } else { format!(": {} → {to}", from.to_string().trim_end_matches(" %")) }
}

/// `, step 5 of 9`, or nothing.
pub fn at_step(r: &Rollout) -> String {
    r.at.map_or(String::new(), |at| format!(", step {} of {}", (at.index + 1).min(r.steps.len()), r.steps.len()))
}

/// ` at 33.33 %, step 5 of 9`.
pub fn place(r: &Rollout) -> String {
    format!(" at {}{}", candidate_weight(r), at_step(r))
}

/// Said when a version whose artifact forbids going back from it is left.
pub fn unsafe_to_leave(version: &Version) -> Option<Text> {
    version.back_unsafe.as_ref().map(|why| format!("UNSAFE to leave {}: {why}", version.label).into())
}

/// Said when traffic is to go to a version that somebody or something speaks against.
pub fn spoken_against(known: &Known) -> Option<Text> {
    let label = &known.version.label;
    match &known.standing {
        Standing::Tainted { by, reason } => Some(format!("{label} was tainted by {by}: {reason}").into()),
        Standing::Left { reason } => Some(format!("{label} was left because it was bad: {reason}").into()),
        Standing::Good | Standing::Baking { .. } | Standing::Unproven => None,
    }
}

/// `v41 is good: 26 h with all the traffic, 0.02 % of it failed`.
pub fn standing(known: &Known) -> String {
    let failed = known.error_ratio.map_or(String::new(), |ratio| format!(", {} of it failed", percent(ratio)));
    format!("{} is {}: {} with all the traffic{failed}", known.version.label, known.standing.word(), span(known.proven))
}

/// The versions that could be deployed, for whoever named another: `v41 (good), v40 (unproven)`.
pub fn could_be_deployed(r: &Rollout) -> String {
    let all: Vec<String> = r.undoable().iter().map(|k| format!("{} ({})", k.version.label, k.standing.word())).collect();
    if all.is_empty() { "none could be deployed".into() } else { format!("could be deployed: {}", all.join(", ")) }
}

/// What is remembered of a version.
///
/// # Errors
/// That nothing is.
pub fn remembered<'a>(r: &'a Rollout, id: &VersionId) -> Result<&'a Known, Refusal> {
    r.known(id).ok_or_else(|| {
        let known: Vec<&str> = r.versions.iter().map(|k| k.version.label.as_str()).collect();
        let known = if known.is_empty() { "none is".into() } else { format!("known: {}", known.join(", ")) };
        not_now(format!("no version {} is known here; {known}", id.text()))
    })
}

pub fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// `0.4 s`, `1.2 s`, `40 s`; never zero.
pub fn seconds(span: Duration) -> String {
    let s = span.as_secs_f64();
    if s < 0.1 {
        format!("{} ms", span.as_millis().max(1))
    } else if s < 10.0 {
        format!("{s:.1} s")
    } else {
        format!("{s:.0} s")
    }
}

/// A share of one as a percentage; never rounded to zero.
pub fn percent(share: f64) -> String {
    let p = share * 100.0;
    if p > 0.0 && p < 0.01 {
        "<0.01 %".to_owned()
    } else if p < 1.0 {
        format!("{p:.2} %")
    } else {
        format!("{p:.1} %")
    }
}
