//! From an acting command to a plan on the screen, or to the reason why there is none.

use super::{
    commands,
    desk::Offer,
    msg::Planner,
    palette::Palette,
    state::{KeyPress, Notice, Overlay, State},
};
use crate::{
    model::{
        action::{Action, Plan, Refusal},
        back::How,
        ident::{Key, Role, VersionId},
        ratio::Weight,
        rollout::{Known, Rollout, Standing},
        text::Text,
    },
    runtime::{Ask, Link},
};

impl State {
    /// An acting command: opens its preview, or says why not. `R` always opens something.
    pub(super) fn act(&mut self, command: &str, opened_by: Option<KeyPress>, planner: &dyn Planner) {
        let rollout = self.shared.watched().map(|w| w.rollout.clone());
        let Some(rollout) = rollout else {
            if self.chose_first(command) {
                return;
            }
            let action = action_of(command, None).unwrap_or_else(|| without_version(command));
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
        if takes_words(command) {
            self.overlay = match self.off(command, &rollout, planner) {
                Some(refusal) => {
                    let action = action_of(command, Some(&rollout)).unwrap_or_else(|| without_version(command));
                    Overlay::Refused { action, refusal }
                }
                None => Overlay::Palette(Palette { text: format!("{command} "), ..Palette::default() }),
            };
            return;
        }
        if let Some(action) = self.action_now(command, &rollout, planner) {
            self.ask(action, None, &rollout, opened_by, planner);
        }
    }

    /// Why a command is off as things are, whatever words may follow it.
    fn off(&self, command: &str, rollout: &Rollout, planner: &dyn Planner) -> Option<Refusal> {
        // That nothing may be sent is the reason, whatever else there is.
        if command != "revert" && self.is_read_only(&rollout.key) {
            return Some(Refusal::ReadOnly);
        }
        match self.action_now(command, rollout, planner) {
            Some(action) => self.refused(&rollout.key, &action, rollout, planner).map(|(_, refusal)| refusal),
            None if command == "taint" => Some(Refusal::NotNow { why: "nothing was deployed here yet".into() }),
            None => Some(Refusal::NotNow { why: "no other version is remembered that could be deployed".into() }),
        }
    }

    /// The action of a command as things are: where `step` is stopped by a gate that may be skipped, it
    /// is that, and says so.
    pub(super) fn action_now(&self, command: &str, rollout: &Rollout, planner: &dyn Planner) -> Option<Action> {
        let action = action_of(command, Some(rollout))?;
        let guarded = |a: &Action| matches!(self.refused(&rollout.key, a, rollout, planner), Some((_, Refusal::Guarded { .. })));
        let skips = action == Action::Step && guarded(&action) && self.refused(&rollout.key, &Action::SkipGate, rollout, planner).is_none();
        Some(if skips { Action::SkipGate } else { action })
    }

    /// Plans an action and shows what came of it.
    pub(super) fn ask(
        &mut self,
        action: Action,
        reason: Option<Text>,
        rollout: &Rollout,
        opened_by: Option<KeyPress>,
        planner: &dyn Planner,
    ) {
        let back = matches!(action, Action::Back { .. });
        if let Some(refusal) = self.forbidden(&rollout.key, &action) {
            self.overlay = Overlay::Refused { action, refusal };
            return;
        }
        let id = self.desk.ids.next();
        let ask = Ask { action, id, name: self.desk.name.clone(), reason, force: false, switch_only: false };
        match plan(planner, rollout, &ask) {
            Ok(plan) => self.show(plan, ask, rollout, Vec::new(), opened_by),
            Err(Refusal::AlreadySo { what }) if !back => {
                self.overlay = Overlay::None;
                self.notice = Some(Notice { text: what, bad: false, fades: None });
            }
            Err(refusal) => self.overlay = Overlay::Refused { action: ask.action, refusal },
        }
    }

    /// Whether nothing may be sent there.
    pub(super) fn is_read_only(&self, key: &Key) -> bool {
        self.read_only || self.targets.get(&key.target).is_some_and(|t| t.read_only)
    }

    /// What forbids an action whatever the rollout is like. Nothing forbids the way back: where nothing may
    /// be sent, its preview says so.
    pub(super) fn forbidden(&self, key: &Key, action: &Action) -> Option<Refusal> {
        if matches!(action, Action::Back { .. }) {
            return None;
        }
        if self.is_read_only(key) {
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
            let reason = needs_reason(action).then(stand_in);
            let ask = Ask { action: action.clone(), id, name: None, reason, force: false, switch_only: false };
            plan(planner, rollout, &ask).err()
        })?;
        // That the weight is zero already says nothing against setting another one.
        let moot = matches!((action, &refusal), (Action::SetWeight { .. }, Refusal::AlreadySo { .. }));
        (!moot).then(|| (action.clone(), refusal))
    }

    /// Every acting command as it stands now.
    pub(super) fn refresh_offers(&mut self, planner: &dyn Planner) {
        let rollout = self.shared.watched().map(|w| &w.rollout);
        let offers = commands::acting().map(|c| {
            let mut skips = false;
            let key = self.desk.keymap.keys_of(None, c.name).into_iter().next().unwrap_or_else(|| format!(":{}", c.name));
            let off = match rollout {
                None => Some(Refusal::NotNow { why: self.nothing_known() }),
                Some(rollout) => {
                    skips |= self.action_now(c.name, rollout, planner) == Some(Action::SkipGate);
                    self.off(c.name, rollout, planner)
                }
            };
            let label = if skips { "skip gate".into() } else { label(c.name, rollout) };
            Offer { command: c.name, key, label, off }
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
            let ask = Ask { reason: Some(stand_in()), ..ask.clone() };
            let with = planner.plan(rollout, &ask).map_err(|_| Refusal::Guarded { gate, why });
            with.map(|plan| Plan { needs_reason: true, ..plan })
        }
        other => other,
    }
}

/// Stands for a reason that is not given yet.
fn stand_in() -> Text {
    "(your reason)".into()
}

/// Whether an action is nothing without a reason, whatever the gates say.
const fn needs_reason(action: &Action) -> bool {
    matches!(action, Action::Freeze { .. } | Action::Taint { .. })
}

/// Whether a command must be written with words.
fn takes_words(command: &str) -> bool {
    command != "weight" && !commands::words(command).is_empty()
}

/// The version that an undo without words would mean: the newest good one that could be deployed, else
/// the newest that could.
fn older(rollout: &Rollout) -> Option<&Known> {
    let current = |k: &&Known| rollout.tracks.iter().any(|t| t.version.id == k.version.id && t.role != Role::Superseded);
    let could = || rollout.versions.iter().filter(|k| k.available && !current(k));
    could().find(|k| k.standing == Standing::Good).or_else(|| could().next())
}

/// What a command is called whose version is not known.
fn without_version(command: &str) -> Action {
    match command {
        "undo" => Action::Undo { to: VersionId::new("") },
        "taint" => Action::Taint { version: VersionId::new("") },
        _ => Action::Pause,
    }
}

/// The action of a command on this rollout; `None` where there is no version that it could be about.
fn action_of(command: &str, rollout: Option<&Rollout>) -> Option<Action> {
    Some(match command {
        "step" => Action::Step,
        "pause" => Action::Pause,
        "resume" => Action::Resume,
        "weight" => Action::SetWeight { weight: Weight::ZERO },
        "promote" => Action::Promote,
        "retry" => Action::Retry,
        "undo" => Action::Undo { to: older(rollout?)?.version.id.clone() },
        "freeze" => Action::Freeze { until: None },
        "thaw" => Action::Thaw,
        "taint" => {
            let track = rollout.and_then(|r| r.candidate().or_else(|| r.stable()))?;
            Action::Taint { version: track.version.id.clone() }
        }
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
        (How::Already { .. }, Some(_)) if back.then.is_some() => format!("call off {}", back.then.as_ref().map_or("", Text::as_str)).into(),
        (How::Already { .. }, Some(to)) => format!("already back on {}", to.label).into(),
        (How::None { .. }, _) => "nowhere to go back to".into(),
        (_, Some(to)) => format!("back to {}", to.label).into(),
        (_, None) => "back".into(),
    }
}
