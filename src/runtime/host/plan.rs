//! From a rollout and a wish to the one call that carries it out, or to the reason why not. Pure.
//!
//! The host decides again with its own facts; what is refused here is refused before anyone confirms it.

use crate::{
    model::{
        action::{Action, Belief, Call, Fact, Guard, Plan, Refusal, Shift},
        back::{CheckState, How},
        gate::{Arm, GateState, Verdict},
        ident::{Role, VersionId},
        ratio::{Ratio, Weight},
        rollout::{Hold, Phase, Rollout},
        signal::SignalId,
        spec::OnFail,
        step::{Gates, StepSpec},
        text::{Raw, Text},
        time::Time,
        version::Track,
        wire::ActionRequest,
    },
    runtime::Ask,
};
use std::time::Duration;

/// Where every action goes.
const PATH: &str = "/v1/actions";

/// See [`Runtime::plan`](crate::runtime::Runtime::plan).
///
/// # Errors
/// The refusal, complete enough to be shown.
pub fn plan(rollout: &Rollout, ask: &Ask) -> Result<Plan, Refusal> {
    if ask.force && ask.reason.is_none() {
        return Err(not_now("overriding a gate needs a reason"));
    }
    let draft = match &ask.action {
        Action::Back { to } => back(rollout, to, ask.switch_only),
        Action::Pause => pause(rollout),
        Action::Resume => resume(rollout),
        Action::Step | Action::SkipGate => step(rollout, ask),
        Action::Promote => promote(rollout, ask),
        Action::SetWeight { weight } => set_weight(rollout, *weight, ask),
        Action::Retry => retry(rollout),
        Action::Undo { .. } | Action::Freeze { .. } | Action::Thaw | Action::Taint { .. } => {
            Err(Refusal::Unsupported { verb: ask.action.verb().into() })
        }
    }?;
    Ok(draft.finish(rollout, ask))
}

/// What the verbs differ in.
#[derive(Default)]
struct Draft {
    title: String,
    /// If it is not the one that was asked for.
    action: Option<Action>,
    weights: Vec<Shift>,
    notes: Vec<Text>,
    warns: Vec<Text>,
    takes: Option<Duration>,
    needs_reason: bool,
}

impl Draft {
    fn finish(self, rollout: &Rollout, ask: &Ask) -> Plan {
        let action = self.action.unwrap_or_else(|| ask.action.clone());
        let belief = belief(rollout);
        let request = ActionRequest {
            id: ask.id.clone(),
            action: action.clone(),
            belief: belief.clone(),
            name: ask.name.clone(),
            reason: ask.reason.clone(),
            force: ask.force,
            switch_only: ask.switch_only,
        };
        let call = Call {
            verb: "POST".into(),
            path: Raw::new(PATH),
            body: serde_json::to_value(&request).unwrap_or_default(),
            guard: Guard::Facts(facts(&belief, &action)),
            repeatable: true, // the host knows an action by its id
        };
        Plan {
            action,
            id: ask.id.clone(),
            belief,
            title: self.title.into(),
            calls: vec![call],
            weights: self.weights,
            notes: self.notes,
            warns: self.warns,
            takes: self.takes,
            needs_reason: self.needs_reason,
        }
    }
}

fn belief(rollout: &Rollout) -> Belief {
    Belief {
        key: rollout.key.clone(),
        run: rollout.run.clone(),
        rev: rollout.seen.rev,
        at: rollout.at.map(|at| at.index),
        stable: rollout.stable().map(|t| t.version.id.clone()),
        candidate: rollout.candidate().map(|t| t.version.id.clone()),
    }
}

/// What the host compares. The way back believes only in the run and in where it goes.
fn facts(belief: &Belief, action: &Action) -> Vec<Fact> {
    let fact = |name: &str, is: Option<Raw>| is.map(|is| Fact { name: name.into(), is });
    let run = fact("run", belief.run.as_ref().map(|r| r.0.clone()));
    if let Action::Back { to } = action {
        return run.into_iter().chain(fact("to", Some(to.0.clone()))).collect();
    }
    let version = |v: &Option<VersionId>| v.as_ref().map(|v| v.0.clone());
    [
        run,
        fact("step", belief.at.map(|at| Raw::new(at.to_string()))),
        fact("stable", version(&belief.stable)),
        fact("candidate", version(&belief.candidate)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn back(r: &Rollout, to: &VersionId, switch_only: bool) -> Result<Draft, Refusal> {
    let name = r.back.to.as_ref().map_or_else(|| to.text(), |v| v.label.clone());
    let by = match &r.back.how {
        How::Already { since } => {
            return Err(Refusal::AlreadySo { what: format!("already back on {name} since {}", since.format("%H:%M:%S")).into() });
        }
        How::None { why } => return Err(Refusal::NotNow { why: why.clone() }),
        _ if r.phase == Phase::Reverting => {
            let asked = r.proof.as_ref().map_or(String::new(), |p| format!(" since {}", p.asked.format("%H:%M:%S")));
            return Err(Refusal::AlreadySo { what: format!("already on the way back to {name}{asked}").into() });
        }
        How::Switch => "switch",
        How::Redeploy { .. } if switch_only => {
            return Err(not_now("there is no switch back, only a re-deploy; leave --switch-only out to do that"));
        }
        How::Redeploy { .. } => "re-deploy",
    };
    if let Some(version) = r.back.to.as_ref().filter(|v| v.id != *to) {
        return Err(Refusal::Moved { what: format!("the way back goes to {} now", version.label).into() });
    }
    let mut draft = Draft { title: format!("BACK by {by}"), ..Draft::default() };
    if let Some(measured) = r.back.measured {
        draft.title += &format!(", worst {} of {}", seconds(measured.worst), measured.n);
        draft.takes = Some(measured.worst);
    }
    if let How::Redeploy { steps } = r.back.how {
        draft.title += &format!(", {} skipped", count(steps, "step"));
    }
    for track in &r.tracks {
        let (ready, desired) = instances(track);
        if track.version.id == *to {
            draft.notes.push(format!("{ready} of {} of {} ready", count(desired as usize, "instance"), track.version.label).into());
            draft.weights.push(shift(track, Weight::FULL));
        } else {
            draft.weights.push(shift(track, Weight::ZERO));
            if desired > 0 {
                draft.notes.push(
                    format!("{} of {} finish their requests and end", count(desired as usize, "instance"), track.version.label).into(),
                );
            }
        }
    }
    if !r.tracks.iter().any(|t| t.version.id == *to) {
        draft.weights.push(Shift { version: name, before: Weight::ZERO, after: Weight::FULL });
    }
    draft.warns.extend(stable_is_sick(r));
    for check in &r.back.checks {
        match check.state {
            CheckState::Ok => {}
            CheckState::Bad => draft.warns.push(format!("{}: {}", check.name, check.detail).into()),
            CheckState::Unknown => draft.warns.push(format!("{}: not checked yet", check.name).into()),
        }
    }
    Ok(draft)
}

/// Said when going back leads to a version that is sick as well.
fn stable_is_sick(r: &Rollout) -> Option<Text> {
    let gate = r.gates.iter().find(|g| matches!(g.verdict, Verdict::Fail { who: Arm::Both | Arm::Stable, .. }))?;
    let share = gate.evidence.and_then(|e| e.stable.value());
    Some(match (gate.signal, share) {
        (SignalId::Slow, Some(share)) => format!("going back will not help: {} of stable's requests are slow too", percent(share)).into(),
        (_, Some(share)) => format!("going back will not help: stable fails {} too", percent(share)).into(),
        (_, None) => format!("going back will not help: stable is sick too ({})", gate.verdict.reason()).into(),
    })
}

fn pause(r: &Rollout) -> Result<Draft, Refusal> {
    running(r)?;
    if let Some((by, since)) = manual(r) {
        return Err(Refusal::AlreadySo { what: format!("already paused by {by} {}", since.format("%H:%M")).into() });
    }
    let mut draft = Draft { title: format!("PAUSE{}", place(r)), ..Draft::default() };
    draft.weights = r.tracks.iter().map(|t| shift(t, weight(t))).collect();
    draft.notes.push("nothing moves by itself until c resumes; a gate may still revert".into());
    Ok(draft)
}

fn resume(r: &Rollout) -> Result<Draft, Refusal> {
    running(r)?;
    let Some((by, since)) = manual(r) else {
        if stopped(r).is_some() {
            return Err(not_now("nothing paused by hand; s goes on"));
        }
        let instead = match r.at.and_then(|at| r.steps.get(at.index)).map(|s| &s.spec) {
            Some(StepSpec::Gate(_)) => "s skips the gate",
            Some(StepSpec::Pause(_)) => "s ends the pause",
            _ => "it moves by itself",
        };
        return Err(not_now(&format!("nothing paused by hand; {instead}")));
    };
    let to = planned(r).unwrap_or_else(|| candidate_weight(r));
    let step = r.at.map_or(String::new(), |at| format!(", step {} of {}", (at.index + 1).min(r.steps.len()), r.steps.len()));
    let mut draft = Draft { title: format!("RESUME{}{step}, paused by {by} {}", change(r, to), since.format("%H:%M")), ..Draft::default() };
    draft.weights = weights(r, to);
    Ok(draft)
}

fn step(r: &Rollout, ask: &Ask) -> Result<Draft, Refusal> {
    running(r)?;
    if let Some((by, _)) = manual(r) {
        return Err(not_now(&format!("paused by {by}, c resumes")));
    }
    let mut draft = Draft::default();
    failed_gates(r, ask, &mut draft)?;
    if let Some(reason) = stopped(r) {
        draft.title = format!("STEP goes on{}", place(r));
        draft.notes.push(format!("held after {reason}; nothing is skipped").into());
        draft.weights = weights(r, planned(r).unwrap_or_else(|| candidate_weight(r)));
        return Ok(draft);
    }
    let Some((at, current)) = r.at.and_then(|at| Some((at.index, r.steps.get(at.index)?))) else {
        return Err(not_now("no step is left"));
    };
    let gates = match &current.spec {
        StepSpec::Weight(_) => {
            converged(r)?;
            Vec::new()
        }
        StepSpec::Pause(_) | StepSpec::Check(_) | StepSpec::Warm(_) | StepSpec::Scale(_) | StepSpec::Native(_) => Vec::new(),
        StepSpec::Gate(gates) => not_passed(r, gates),
    };
    let next = match r.steps.get(at + 1).map(|s| &s.spec) {
        Some(StepSpec::Weight(w)) => *w,
        Some(_) => candidate_weight(r),
        None => Weight::FULL,
    };
    let to = match r.steps.get(at + 1) {
        Some(step) => format!("step {} → {} of {} ({})", at + 1, at + 2, r.steps.len(), step.label),
        None => format!("step {} was the last: it completes", at + 1),
    };
    if gates.is_empty() {
        if ask.action == Action::SkipGate && !matches!(current.spec, StepSpec::Gate(_)) {
            return Err(not_now(&format!("step {} is no gate; s leaves it", at + 1)));
        }
        draft.title = format!("STEP{}", change(r, next));
        draft.notes.insert(0, to.into());
    } else {
        let names: Vec<String> = gates.iter().map(|g| g.id.text().to_string()).collect();
        draft.title = format!("SKIP GATE {}{}", names.join(", "), change(r, next));
        draft.action = Some(Action::SkipGate);
        draft.needs_reason = true;
        draft.notes.insert(0, to.into());
        draft.notes.extend(gates.iter().map(|g| gate_line(g)));
    }
    draft.weights = weights(r, next);
    Ok(draft)
}

fn promote(r: &Rollout, ask: &Ask) -> Result<Draft, Refusal> {
    if r.phase == Phase::Completed {
        let label = r.stable().map_or_else(Text::default, |t| t.version.label.clone());
        return Err(Refusal::AlreadySo { what: format!("{label} is stable already").into() });
    }
    running(r)?;
    if let Some((by, _)) = manual(r) {
        return Err(not_now(&format!("paused by {by}, c resumes")));
    }
    let candidate = r.candidate().ok_or_else(|| not_now("there is no candidate"))?;
    let mut draft = Draft::default();
    failed_gates(r, ask, &mut draft)?;
    all_ready(candidate)?;
    let left = r.at.map_or(0, |at| r.steps.len().saturating_sub(at.index));
    draft.title = format!("PROMOTE {}{}", candidate.version.label, change(r, Weight::FULL));
    draft
        .notes
        .push(format!("PROMOTE skips {}{}; s = next step only", count(left, "step"), change(r, Weight::FULL).replacen(':', ",", 1)).into());
    let gates = not_passed(r, &Gates::All);
    draft.needs_reason |= !gates.is_empty();
    draft.notes.extend(gates.into_iter().map(gate_line));
    if let Some(stable) = r.stable() {
        let (_, desired) = instances(stable);
        draft.notes.push(format!("{} of {} stay warm for the way back", count(desired as usize, "instance"), stable.version.label).into());
    }
    draft.weights = weights(r, Weight::FULL);
    Ok(draft)
}

fn set_weight(r: &Rollout, to: Weight, ask: &Ask) -> Result<Draft, Refusal> {
    running(r)?;
    let candidate = r.candidate().ok_or_else(|| not_now("there is no candidate"))?;
    let (mut draft, now) = (Draft::default(), weight(candidate));
    if now == to
        && let Some((by, since)) = manual(r)
    {
        return Err(Refusal::AlreadySo { what: format!("already held at {to} by {by} {}", since.format("%H:%M")).into() });
    }
    if to > now {
        failed_gates(r, ask, &mut draft)?;
        converged(r)?;
        let gates = not_passed(r, &Gates::All);
        draft.needs_reason |= !gates.is_empty();
        draft.notes.extend(gates.into_iter().map(gate_line));
    }
    draft.title = format!("WEIGHT{} and hold there", change(r, to));
    let then = planned(r).map_or_else(String::new, |w| format!(", at {w}"));
    draft.notes.insert(0, format!("c goes on from the current step{then}").into());
    draft.weights = weights(r, to);
    Ok(draft)
}

fn retry(r: &Rollout) -> Result<Draft, Refusal> {
    match &r.phase {
        Phase::Reverted | Phase::Failed => {}
        Phase::Completed => return Err(not_now("the run is completed: there is nothing to try again")),
        Phase::Progressing | Phase::Held => return Err(not_now("the run goes on; R goes back first")),
        _ => {
            running(r)?;
        }
    }
    let left = r.candidate().map(|t| &t.version).or_else(|| r.proof.as_ref().map(|p| &p.left));
    let label = left.map_or_else(|| Text::from("the candidate"), |v| v.label.clone());
    let mut draft = Draft { title: format!("RETRY {label} from step 1"), ..Draft::default() };
    draft.notes.push("fresh instances; no traffic before they are ready".into());
    draft.weights = weights(r, Weight::ZERO);
    Ok(draft)
}

fn not_now(why: &str) -> Refusal {
    Refusal::NotNow { why: why.into() }
}

/// Refuses where nothing is rolling out.
fn running(r: &Rollout) -> Result<(), Refusal> {
    let why = match &r.phase {
        Phase::Progressing | Phase::Held => return Ok(()),
        Phase::Idle => "nothing was deployed here yet".to_owned(),
        Phase::Reverting => "traffic is on its way back".to_owned(),
        Phase::Reverted => "the run was reverted; t tries it again".to_owned(),
        Phase::Completed => "the run is completed".to_owned(),
        Phase::Failed => format!("the run failed{}; t tries it again", r.reason.as_ref().map_or(String::new(), |w| format!(" ({w})"))),
        Phase::Unknown(word) => format!("the host calls its phase `{word}`, which is not known here"),
    };
    Err(not_now(&why))
}

/// Who paused it by hand, and since when.
fn manual(r: &Rollout) -> Option<(&Text, Time)> {
    r.holds.iter().find_map(|h| match h {
        Hold::Manual { by, since } => Some((by, *since)),
        _ => None,
    })
}

/// Why it stopped by itself, if it did.
fn stopped(r: &Rollout) -> Option<&Text> {
    r.holds.iter().find_map(|h| match h {
        Hold::Stopped { reason, .. } => Some(reason),
        _ => None,
    })
}

/// Refuses while a gate fails or the runtime holds; with force it only warns.
fn failed_gates(r: &Rollout, ask: &Ask, draft: &mut Draft) -> Result<(), Refusal> {
    let failed = r.gates.iter().filter(|g| matches!(g.verdict, Verdict::Fail { .. }) && g.on_fail != OnFail::Advise);
    for gate in failed {
        if !ask.force {
            return Err(Refusal::Guarded { gate: gate.id.clone(), why: gate.verdict.reason().clone() });
        }
        draft.warns.push(gate_line(gate));
        draft.needs_reason = true;
    }
    for hold in &r.holds {
        if let Hold::Backend { reason, .. } = hold {
            if !ask.force {
                return Err(Refusal::NotNow { why: reason.clone() });
            }
            draft.warns.push(reason.clone());
            draft.needs_reason = true;
        }
    }
    Ok(())
}

/// The gates among these that neither pass nor fail.
fn not_passed<'a>(r: &'a Rollout, of: &Gates) -> Vec<&'a GateState> {
    let unsure = |g: &&GateState| matches!(g.verdict, Verdict::Wait { .. } | Verdict::Blind { .. });
    r.gates.iter().filter(|g| of.includes(&g.id)).filter(unsure).collect()
}

fn gate_line(gate: &GateState) -> Text {
    format!("gate {} {}: {}", gate.id.text(), gate.verdict.word(), gate.verdict.reason()).into()
}

/// Refuses while the candidate is not whole or the router does not do what is declared.
fn converged(r: &Rollout) -> Result<(), Refusal> {
    let Some(candidate) = r.candidate() else { return Ok(()) };
    all_ready(candidate)?;
    match (candidate.share.declared, candidate.share.programmed) {
        (Some(declared), Some(programmed)) if declared != programmed => {
            Err(not_now(&format!("the router is at {}, not yet at {}", bp(programmed), bp(declared))))
        }
        (Some(declared), None) => Err(not_now(&format!("the router has not confirmed {}", bp(declared)))),
        _ => Ok(()),
    }
}

fn all_ready(candidate: &Track) -> Result<(), Refusal> {
    let (ready, desired) = instances(candidate);
    if ready < desired { Err(not_now(&format!("canary {ready}/{desired} ready"))) } else { Ok(()) }
}

/// Ready and desired, all pools together.
fn instances(track: &Track) -> (u32, u32) {
    track.pools.iter().fold((0, 0), |(ready, desired), p| (ready + p.ready, desired + p.desired))
}

fn bp(ratio: Ratio) -> Weight {
    let bp = if ratio.whole == 0 { 0 } else { (u128::from(ratio.parts) * 10_000 + u128::from(ratio.whole) / 2) / u128::from(ratio.whole) };
    u16::try_from(bp).ok().and_then(Weight::from_bp).unwrap_or(Weight::FULL)
}

/// A track's share now.
fn weight(track: &Track) -> Weight {
    track.share.declared.or(track.share.programmed).map_or(Weight::ZERO, bp)
}

fn candidate_weight(r: &Rollout) -> Weight {
    r.candidate().map_or(Weight::ZERO, weight)
}

/// The share that the plan gives the candidate at the current step.
fn planned(r: &Rollout) -> Option<Weight> {
    let at = r.at?.index;
    r.steps.iter().take(at.saturating_add(1)).rev().find_map(|s| match s.spec {
        StepSpec::Weight(w) => Some(w),
        _ => None,
    })
}

fn shift(track: &Track, after: Weight) -> Shift {
    Shift { version: track.version.label.clone(), before: weight(track), after }
}

/// Every track's weight when the candidate gets this share and stable the rest.
fn weights(r: &Rollout, candidate: Weight) -> Vec<Shift> {
    r.tracks
        .iter()
        .filter_map(|t| match t.role {
            Role::Candidate => Some(shift(t, candidate)),
            Role::Stable => Some(shift(t, candidate.rest())),
            Role::Superseded | Role::Experiment => None,
        })
        .collect()
}

/// `: 33.33 → 50 %`, or nothing if it stays.
fn change(r: &Rollout, to: Weight) -> String {
    let from = candidate_weight(r);
    if from == to { format!(": stays at {to}") } else { format!(": {} → {to}", from.to_string().trim_end_matches(" %")) }
}

/// ` at 33.33 %, step 5 of 9`.
fn place(r: &Rollout) -> String {
    let step = r.at.map_or(String::new(), |at| format!(", step {} of {}", (at.index + 1).min(r.steps.len()), r.steps.len()));
    format!(" at {}{step}", candidate_weight(r))
}

fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// `0.4 s`, `1.2 s`, `40 s`; never zero.
fn seconds(span: Duration) -> String {
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
fn percent(share: f64) -> String {
    let p = share * 100.0;
    if p > 0.0 && p < 0.01 {
        "<0.01 %".to_owned()
    } else if p < 1.0 {
        format!("{p:.2} %")
    } else {
        format!("{p:.1} %")
    }
}

#[cfg(test)]
pub(crate) mod tests;
