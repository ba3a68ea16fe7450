//! From an acting command to a plan on the screen, or to the reason why there is none.

use super::{
    commands,
    desk::Offer,
    msg::Planner,
    state::{KeyPress, Notice, Overlay, State},
};
use crate::{
    model::{
        action::{Action, Plan, Refusal},
        back::How,
        ident::{Key, Role, VersionId},
        ratio::Weight,
        rollout::Rollout,
        text::Text,
    },
    runtime::{Ask, Link},
};

impl State {
    /// An acting command: opens its preview, or says why not. `R` always opens something.
    pub(super) fn act(&mut self, command: &str, opened_by: Option<KeyPress>, planner: &dyn Planner) {
        let rollout = self.shared.watched().map(|w| w.rollout.clone());
        let Some(rollout) = rollout else {
            let action = action_of(command, None).unwrap_or(Action::Pause);
            let why = self.nothing_known();
            self.overlay = Overlay::Refused { action, refusal: Refusal::NotNow { why } };
            return;
        };
        if command == "weight" {
            return match self.refused(&rollout.key, &Action::SetWeight { weight: Weight::ZERO }, &rollout, planner) {
                Some((action, refusal)) => self.overlay = Overlay::Refused { action, refusal },
                None => self.overlay = Overlay::Weight(String::new()),
            };
        }
        if let Some(action) = self.action_now(command, &rollout, planner) {
            self.ask(action, &rollout, opened_by, planner);
        }
    }

    /// The action of a command as things are: where `step` is stopped by a gate that may be skipped, it
    /// is that, and says so.
    fn action_now(&self, command: &str, rollout: &Rollout, planner: &dyn Planner) -> Option<Action> {
        let action = action_of(command, Some(rollout))?;
        let guarded = |a: &Action| matches!(self.refused(&rollout.key, a, rollout, planner), Some((_, Refusal::Guarded { .. })));
        let skips = action == Action::Step && guarded(&action) && self.refused(&rollout.key, &Action::SkipGate, rollout, planner).is_none();
        Some(if skips { Action::SkipGate } else { action })
    }

    /// Plans an action and shows what came of it.
    pub(super) fn ask(&mut self, action: Action, rollout: &Rollout, opened_by: Option<KeyPress>, planner: &dyn Planner) {
        let back = matches!(action, Action::Back { .. });
        if let Some(refusal) = self.forbidden(&rollout.key, &action) {
            self.overlay = Overlay::Refused { action, refusal };
            return;
        }
        let id = self.desk.ids.next();
        let ask = Ask { action, id, name: self.desk.name.clone(), reason: None, force: false, switch_only: false };
        match plan(planner, rollout, &ask) {
            Ok(plan) => self.show(plan, ask, rollout, opened_by),
            Err(Refusal::AlreadySo { what }) if !back => {
                self.overlay = Overlay::None;
                self.notice = Some(Notice { text: what, bad: false, fades: None });
            }
            Err(refusal) => self.overlay = Overlay::Refused { action: ask.action, refusal },
        }
    }

    /// What forbids an action whatever the rollout is like. Nothing forbids the way back: where nothing may
    /// be sent, its preview says so.
    fn forbidden(&self, key: &Key, action: &Action) -> Option<Refusal> {
        if matches!(action, Action::Back { .. }) {
            return None;
        }
        if self.read_only {
            return Some(Refusal::ReadOnly);
        }
        if self.desk.gone.contains_key(key) {
            return Some(Refusal::NotNow { why: format!("{} is gone from {}", key.service.text(), key.target.text()).into() });
        }
        self.silence(key).map(|what| Refusal::Stale { what })
    }

    /// Why an action is off, if it is.
    fn refused(&self, key: &Key, action: &Action, rollout: &Rollout, planner: &dyn Planner) -> Option<(Action, Refusal)> {
        let refusal = self.forbidden(key, action).or_else(|| {
            // Nothing is sent under this name: a question does not use one up.
            let id = crate::model::ident::ActionId::new("");
            let ask = Ask { action: action.clone(), id, name: None, reason: None, force: false, switch_only: false };
            plan(planner, rollout, &ask).err()
        })?;
        // That the weight is zero already says nothing against setting another one.
        let moot = matches!((action, &refusal), (Action::SetWeight { .. }, Refusal::AlreadySo { .. }));
        (!moot).then(|| (action.clone(), refusal))
    }

    /// Every acting command as it stands now.
    pub(super) fn refresh_offers(&mut self, planner: &dyn Planner) {
        let rollout = self.shared.watched().map(|w| &w.rollout);
        let offers = commands::acting().filter_map(|c| {
            let mut skips = false;
            let key = self.desk.keymap.keys_of(None, c.name).into_iter().next().unwrap_or_default();
            let off = match rollout {
                None => Some(Refusal::NotNow { why: self.nothing_known() }),
                Some(rollout) => {
                    let action = match c.name {
                        "weight" => Action::SetWeight { weight: Weight::ZERO },
                        name => self.action_now(name, rollout, planner)?,
                    };
                    skips |= action == Action::SkipGate;
                    self.refused(&rollout.key, &action, rollout, planner).map(|(_, refusal)| refusal)
                }
            };
            let label = if skips { "skip gate".into() } else { label(c.name, rollout) };
            Some(Offer { command: c.name, key, label, off })
        });
        self.desk.offers = offers.collect();
    }

    /// Why there is no rollout, from how the sources are connected.
    fn nothing_known(&self) -> Text {
        let Some((target, link)) = self.shared.links.iter().next() else {
            return "no target is configured: nothing is known, so there is nowhere to go".into();
        };
        let target = target.text();
        match link {
            Link::Live { .. } => format!("nothing was ever deployed on {target}: `cutover deploy SERVICE ARTIFACT` starts"),
            Link::Connecting { attempt, last: Some(fault), .. } => {
                format!("nothing is known yet: connecting to {target}, attempt {attempt}: {fault}")
            }
            Link::Connecting { .. } => format!("nothing is known yet: connecting to {target}"),
            Link::Stale { .. } => format!("nothing is known: {target} is silent"),
            Link::Denied { what, .. } => format!("nothing is known: {target} denies access: {what}"),
        }
        .into()
    }
}

/// A plan, or why not. Where a gate stands in the way that a reason gets past, the plan wants one.
pub(super) fn plan(planner: &dyn Planner, rollout: &Rollout, ask: &Ask) -> Result<Plan, Refusal> {
    match planner.plan(rollout, ask) {
        Err(Refusal::Guarded { gate, why }) if ask.reason.is_none() => {
            // The reason itself is put in when it was given: the plan is made again then.
            let ask = Ask { reason: Some("(your reason)".into()), ..ask.clone() };
            let with = planner.plan(rollout, &ask).map_err(|_| Refusal::Guarded { gate, why });
            with.map(|plan| Plan { needs_reason: true, ..plan })
        }
        other => other,
    }
}

/// The action of a command on this rollout.
fn action_of(command: &str, rollout: Option<&Rollout>) -> Option<Action> {
    Some(match command {
        "step" => Action::Step,
        "pause" => Action::Pause,
        "resume" => Action::Resume,
        "weight" => Action::SetWeight { weight: Weight::ZERO },
        "promote" => Action::Promote,
        "retry" => Action::Retry,
        "revert" => {
            let back = rollout.and_then(|r| r.back.to.as_ref().or_else(|| r.track(Role::Stable).map(|t| &t.version)));
            Action::Back { to: back.map_or_else(|| VersionId::new(""), |v| v.id.clone()) }
        }
        _ => return None,
    })
}

/// What a command would do, in few words.
fn label(command: &str, rollout: Option<&Rollout>) -> Text {
    let Some(back) = rollout.map(|r| &r.back).filter(|_| command == "revert") else {
        return if command == "revert" { "back".into() } else { command.into() };
    };
    match (&back.how, &back.to) {
        (How::Already { .. }, Some(to)) => format!("already back on {}", to.label).into(),
        (How::None { .. }, _) => "nowhere to go back to".into(),
        (_, Some(to)) => format!("back to {}", to.label).into(),
        (_, None) => "back".into(),
    }
}
