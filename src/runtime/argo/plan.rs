//! What could be done: the way back, without any call. Acting is refused.

use crate::{
    model::{
        action::{Action, Belief, Plan, Refusal, Shift},
        back::{CheckState, How},
        ident::{Role, VersionId},
        ratio::Weight,
        rollout::Rollout,
        text::Text,
    },
    runtime::Ask,
};

/// The plan of an action, or why there is none.
pub fn plan(rollout: &Rollout, ask: &Ask) -> Result<Plan, Refusal> {
    match &ask.action {
        Action::Back { to } => back(rollout, ask, to),
        _ => Err(Refusal::ReadOnly),
    }
}

fn back(rollout: &Rollout, ask: &Ask, to: &VersionId) -> Result<Plan, Refusal> {
    let back = &rollout.back;
    let name = || back.to.as_ref().map_or_else(|| Text::from("the version before"), |version| version.label.clone());
    let candidate = rollout.candidate();
    let (title, deed) = match &back.how {
        How::Already { since } => {
            return Err(Refusal::AlreadySo { what: format!("already back on {} since {}", name(), since.format("%H:%M:%S")).into() });
        }
        How::None { why } => return Err(Refusal::NotNow { why: why.clone() }),
        How::Switch if candidate.is_some() => (
            "BACK by abort".to_owned(),
            format!("abort: the controller puts all traffic back on {}; the spec still wants {}", name(), label(rollout, Role::Candidate)),
        ),
        How::Switch => {
            ("BACK by switch".to_owned(), format!("undo to {}, whose pods are still there: the controller skips the steps", name()))
        }
        How::Redeploy { .. } if ask.switch_only => {
            return Err(Refusal::NotNow { why: "there is no switch back, only a re-deploy; leave --switch-only out to do that".into() });
        }
        How::Redeploy { steps } => (
            match steps {
                0 => "BACK by re-deploy".to_owned(),
                1 => "BACK by re-deploy, 1 step skipped".to_owned(),
                _ => format!("BACK by re-deploy, {steps} steps skipped"),
            },
            format!("undo to {}, whose pods are started again, then promote it in full", name()),
        ),
    };
    let mut notes = vec![Text::from(deed)];
    notes.extend(back.checks.iter().filter(|c| c.state != CheckState::Ok).map(|c| format!("{}: {}", c.name, c.detail).into()));
    let mut warns = Vec::new();
    if let Some(owner) = &rollout.owner {
        warns.push(format!("{owner} writes it too, and may write it back").into());
    }
    if let Some(other) = back.to.as_ref().filter(|version| version.id != *to && !to.as_str().is_empty()) {
        return Err(Refusal::Moved { what: format!("the way back goes to {} now", other.label).into() });
    }
    Ok(Plan {
        action: ask.action.clone(),
        id: ask.id.clone(),
        belief: Belief {
            key: rollout.key.clone(),
            run: rollout.run.clone(),
            rev: rollout.seen.rev,
            at: rollout.at.map(|at| at.index),
            stable: rollout.stable().map(|track| track.version.id.clone()),
            candidate: candidate.map(|track| track.version.id.clone()),
        },
        title: title.into(),
        calls: Vec::new(),
        weights: weights(rollout),
        notes,
        warns,
        takes: None,
        needs_reason: false,
    })
}

fn label(rollout: &Rollout, role: Role) -> Text {
    rollout.track(role).map_or_else(|| "another version".into(), |track| track.version.label.clone())
}

/// From what is declared now to everything on stable.
fn weights(rollout: &Rollout) -> Vec<Shift> {
    let (Some(stable), Some(candidate)) = (rollout.stable(), rollout.candidate()) else { return Vec::new() };
    let now = candidate.share.declared.and_then(|ratio| ratio.percent()).and_then(Weight::from_percent);
    let Some(now) = now else { return Vec::new() };
    vec![
        Shift { version: candidate.version.label.clone(), before: now, after: Weight::ZERO },
        Shift { version: stable.version.label.clone(), before: now.rest(), after: Weight::ZERO.rest() },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ident::ActionId;

    /// A completed rollout whose version before has no pods left.
    fn completed() -> Rollout {
        let object = serde_json::json!({
            "key": { "target": "prod", "scope": ["shop"], "service": "web", "uid": null },
            "run": "3", "strategy": "canary", "phase": "completed", "holds": [], "tracks": [], "steps": [],
            "next": { "what": "", "at": null, "by": "" }, "gates": [],
            "back": { "to": null, "how": { "kind": "redeploy", "steps": 4 }, "checks": [], "measured": null },
            "seen": { "epoch": 1, "rev": 1, "server_time": "2026-11-18T11:00:00Z", "fresh_for": 60_000 },
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn the_slow_way_back_is_refused_where_only_a_switch_is_wanted() {
        let ask = |switch_only| Ask {
            action: Action::Back { to: VersionId::new("") },
            id: ActionId::new("a1"),
            name: None,
            reason: None,
            force: false,
            switch_only,
        };
        assert_eq!(plan(&completed(), &ask(false)).unwrap().title.as_str(), "BACK by re-deploy, 4 steps skipped");
        let refused = plan(&completed(), &ask(true)).unwrap_err();
        assert!(matches!(&refused, Refusal::NotNow { why } if why.as_str().contains("--switch-only")), "{refused:?}");
    }
}
