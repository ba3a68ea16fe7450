//! The way back: never disabled for a reason that is not its own.

use super::{
    Draft,
    facts::{count, instances, not_now, seconds, shift, spoken_against, stable_is_sick, unsafe_to_leave},
};
use crate::model::{
    action::{Refusal, Shift},
    back::{CheckState, How},
    ident::VersionId,
    ratio::Weight,
    rollout::{Phase, Rollout},
    spec::Strategy,
    text::Text,
};

pub fn back(r: &Rollout, to: &VersionId, switch_only: bool) -> Result<Draft, Refusal> {
    let name = r.back.to.as_ref().map_or_else(|| to.text(), |v| v.label.clone());
    let by = match &r.back.how {
        // It is there, or on its way: what is left to do is that nothing follows.
        How::Already { .. } if r.back.then.is_some() => "",
        // One that started a version which does not get ready may still be left for another.
        How::Already { .. } | How::Switch if r.phase == Phase::Reverting => {
            let asked = r.proof.as_ref().map_or(String::new(), |p| format!(" since {}", p.asked.format("%H:%M:%S")));
            return Err(Refusal::AlreadySo { what: format!("already on the way back to {name}{asked}").into() });
        }
        How::Already { since } => {
            return Err(Refusal::AlreadySo { what: format!("already back on {name} since {}", since.format("%H:%M:%S")).into() });
        }
        How::None { why } => return Err(Refusal::NotNow { why: why.clone() }),
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
    match &r.back.then {
        Some(then) if matches!(r.back.how, How::Already { .. }) => return Ok(call_off(r, to, &name, then)),
        Some(then) => draft.note(format!("{then} is not started")),
        None => {}
    }
    // An estimate only where it was measured.
    if let Some(measured) = r.back.measured {
        let took = match measured.usual {
            Some(usual) => format!(", about {}", seconds(usual)),
            None => format!(", worst {} of {}", seconds(measured.worst), measured.n),
        };
        draft.title += &took;
        draft.takes = Some(measured.worst);
    }
    if let How::Redeploy { steps } = r.back.how {
        draft.title += &format!(", {} skipped", count(steps, "step"));
        meanwhile(r, to, &name, &mut draft);
    }
    for track in &r.tracks {
        let (ready, desired) = instances(track);
        if track.version.id == *to {
            draft.note(format!("{ready} of {} of {} ready", count(desired as usize, "instance"), track.version.label));
            draft.weights.push(shift(track, Weight::FULL));
        } else {
            draft.weights.push(shift(track, Weight::ZERO));
            if desired > 0 {
                draft.note(format!("{} of {} finish their requests and end", count(desired as usize, "instance"), track.version.label));
                draft.warns.extend(unsafe_to_leave(&track.version));
            }
        }
    }
    if !r.tracks.iter().any(|t| t.version.id == *to) {
        draft.weights.push(Shift { version: name, before: Weight::ZERO, after: Weight::FULL });
    }
    draft.warns.extend(r.known(to).and_then(spoken_against));
    draft.warns.extend(stable_is_sick(r));
    for check in &r.back.checks {
        match check.state {
            CheckState::Ok => {}
            CheckState::Partly => draft.note(format!("{}: {}", check.name, check.detail)),
            CheckState::Bad => draft.warn(format!("{}: {}", check.name, check.detail)),
            CheckState::Unknown => draft.warn(format!("{}: not checked yet", check.name)),
        }
    }
    Ok(draft)
}

/// It goes back already, but only to make way for another version: that one does not start.
fn call_off(r: &Rollout, to: &VersionId, name: &Text, then: &Text) -> Draft {
    let mut draft = Draft { title: format!("BACK on {name}, {then} is called off"), ..Draft::default() };
    draft.note(match r.phase {
        Phase::Reverting => format!("already on the way back to {name}: it goes on"),
        _ => format!("already back on {name}: it stays so"),
    });
    draft.note(format!("{then} is not started: to have it all the same, deploy it again"));
    for track in &r.tracks {
        let after = if track.version.id == *to { Weight::FULL } else { Weight::ZERO };
        draft.weights.push(shift(track, after));
    }
    draft.warns.extend(r.known(to).and_then(spoken_against));
    draft.warns.extend(stable_is_sick(r));
    draft
}

/// What happens to requests while the version is started again.
fn meanwhile(r: &Rollout, to: &VersionId, name: &Text, draft: &mut Draft) {
    // Whatever has the traffic now has it until the switch.
    let serving = r.tracks.iter().filter(|t| t.version.id != *to).max_by_key(|t| super::facts::weight(t));
    match serving {
        Some(track) if r.strategy == Strategy::Recreate => {
            draft.warn(format!("nothing serves in between: {} ends before {name} starts", track.version.label));
        }
        Some(track) if super::facts::weight(track) > Weight::ZERO => {
            draft.note(format!("{} keeps serving until all of {name} is ready", track.version.label));
        }
        _ => draft.warn(format!("nothing serves until {name} is ready")),
    }
}
