//! Actions that were sent are followed until an observation confirms them. An answer that was lost is
//! asked for, never sent again.

use super::{
    msg::{Effect, Planner, Record},
    state::{Following, Notice, State},
};
use crate::{
    model::{
        action::{Action, Observation, Outcome, Refusal},
        ident::{ActionId, Key, TargetId},
        text::Text,
        time::{Time, elapsed, span},
    },
    runtime::Link,
    ui::look::Tone,
};
use std::time::Duration;

/// How long a finished action stays on the screen.
const KEEP: Duration = Duration::from_secs(60);
/// How often it is asked what became of an action.
const ASK_AGAIN: Duration = Duration::from_secs(5);

impl Following {
    /// Whether nothing more is expected of it: refused, confirmed, or undone by somebody else.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Refused { .. }))
            || matches!(self.seen, Some(Observation::Confirmed | Observation::Contradicted { .. }))
    }

    /// What to say of it, and how. It says `done` only when that was observed.
    #[must_use]
    pub fn line(&self, now: Time) -> (Tone, Text) {
        let verb = self.plan.action.verb();
        let age = span(elapsed(now, self.sent));
        let (tone, text) = match (&self.outcome, &self.seen) {
            (Some(Outcome::Refused { refusal: Refusal::AlreadySo { what } }), _) => (Tone::Good, format!("{verb}: {what}")),
            (Some(Outcome::Refused { refusal }), _) => (Tone::Bad, format!("{verb} REFUSED, nothing done: {refusal}")),
            (_, Some(Observation::Contradicted { by })) => (Tone::Bad, format!("{verb} UNDONE: {by}")),
            (_, Some(Observation::Confirmed)) => (Tone::Good, format!("{verb} done")),
            (Some(Outcome::Unknown { why, .. }), seen) => {
                let missing = missing(seen.as_ref());
                // The reason may begin with the same words.
                let why = why.as_str();
                let why = if why.starts_with("no answer") { why.to_owned() } else { format!("no answer ({why})") };
                (Tone::Bad, format!("{verb} UNKNOWN: sent {age} ago, {why}; looking, not sent again{missing}"))
            }
            (Some(Outcome::Partial { done, then }), seen) => {
                let missing = missing(seen.as_ref());
                (Tone::Bad, format!("{verb} PARTIAL: {done} of {} done, then {then}{missing}", self.plan.calls.len()))
            }
            (Some(Outcome::Accepted { .. }), seen) => (Tone::Warn, format!("{verb} accepted{}", missing(seen.as_ref()))),
            (None, _) => (Tone::Warn, format!("{verb} sent {age} ago, no answer yet")),
        };
        (tone, text.into())
    }
}

fn missing(seen: Option<&Observation>) -> String {
    match seen {
        Some(Observation::Pending { missing }) => format!("; not yet: {missing}"),
        _ => String::new(),
    }
}

impl State {
    /// An answer came, or was lost.
    pub(super) fn answered(&mut self, id: &ActionId, outcome: Outcome, fx: &mut Vec<Effect>) {
        let now = self.shared.now;
        let Some(f) = self.following.iter_mut().find(|f| f.id == *id) else { return };
        // A known answer is final: a late "unknown" of the same action says nothing new.
        if matches!(f.outcome, Some(Outcome::Accepted { .. } | Outcome::Refused { .. })) || f.outcome.as_ref() == Some(&outcome) {
            return;
        }
        let again = matches!((&f.outcome, &outcome), (Some(Outcome::Unknown { .. }), Outcome::Unknown { .. }));
        match &outcome {
            Outcome::Unknown { .. } if !again => {
                self.desk.asked.insert(id.clone(), now);
                fx.push(Effect::Resolve { target: f.key.target.clone(), id: id.clone() });
            }
            Outcome::Refused { refusal } if !matches!(refusal, Refusal::AlreadySo { .. }) => {
                let text = format!("{}: nothing was done: {refusal}", f.plan.action.verb());
                self.notice = Some(Notice { text: text.into(), bad: true, fades: None });
            }
            _ => {}
        }
        f.outcome = Some(outcome.clone());
        let (key, settled) = (f.key.clone(), f.is_settled());
        if settled {
            self.desk.settled.insert(id.clone(), now);
        }
        if !again {
            fx.push(Effect::Journal(Box::new(Record::Outcome { key, id: id.clone(), outcome, at: now })));
        }
    }

    /// What became of an action whose answer was lost.
    pub(super) fn resolved(&mut self, id: &ActionId, found: Option<Outcome>, fx: &mut Vec<Effect>) {
        let unknown = self.following.iter().any(|f| f.id == *id && matches!(f.outcome, Some(Outcome::Unknown { .. })));
        if !unknown {
            return;
        }
        let never = || Outcome::Refused { refusal: Refusal::NotNow { why: "it never arrived".into() } };
        self.answered(id, found.unwrap_or_else(never), fx);
    }

    /// Actions of an earlier console that have no outcome: unknown until they are resolved.
    pub(super) fn recall(&mut self, recalled: Vec<Following>, fx: &mut Vec<Effect>) {
        for mut f in recalled {
            if self.following.iter().any(|known| known.id == f.id) {
                continue;
            }
            if f.outcome.is_none() {
                f.outcome = Some(Outcome::Unknown { sent: f.sent, why: "the console ended before an answer came".into() });
            }
            if !f.is_settled() {
                self.desk.asked.insert(f.id.clone(), self.shared.now);
                fx.push(Effect::Resolve { target: f.key.target.clone(), id: f.id.clone() });
            }
            self.following.push(f);
        }
    }

    /// Looks at a rollout for what its followed actions wait for.
    pub(super) fn observe(&mut self, touched: &[Key], planner: &dyn Planner, fx: &mut Vec<Effect>) {
        let now = self.shared.now;
        for f in self.following.iter_mut().filter(|f| !f.is_settled() && touched.contains(&f.key)) {
            let Some(w) = self.shared.rollouts.get(&f.key) else { continue };
            let seen = planner.confirm(&f.plan, &w.rollout);
            f.seen = Some(seen.clone());
            if f.is_settled() {
                self.desk.settled.insert(f.id.clone(), now);
                if matches!(f.outcome, Some(Outcome::Unknown { .. })) {
                    let (key, id) = (f.key.clone(), f.id.clone());
                    fx.push(Effect::Journal(Box::new(Record::Observed { key, id, observation: seen, at: now })));
                }
            }
        }
    }

    /// Asks again what became of actions of unknown outcome: when a target came back, else now and then.
    pub(super) fn ask_again(&mut self, back: Option<&TargetId>, fx: &mut Vec<Effect>) {
        let now = self.shared.now;
        for f in self.following.iter().filter(|f| !f.is_settled() && matches!(f.outcome, Some(Outcome::Unknown { .. }))) {
            let live = matches!(self.shared.links.get(&f.key.target), Some(Link::Live { .. }));
            let due = self.desk.asked.get(&f.id).is_none_or(|asked| elapsed(now, *asked) >= ASK_AGAIN);
            if live && (due || back == Some(&f.key.target)) {
                self.desk.asked.insert(f.id.clone(), now);
                fx.push(Effect::Resolve { target: f.key.target.clone(), id: f.id.clone() });
            }
        }
    }

    /// Forgets what has been settled for long enough; the proof of a way back stays in the rollout.
    pub(super) fn forget_settled(&mut self) {
        let (now, desk) = (self.shared.now, &mut self.desk);
        self.following.retain(|f| desk.settled.get(&f.id).is_none_or(|at| elapsed(now, *at) < KEEP));
        let following = &self.following;
        desk.settled.retain(|id, _| following.iter().any(|f| f.id == *id));
        desk.asked.retain(|id, _| following.iter().any(|f| f.id == *id));
    }

    /// Whether this console did what somebody is said to have done.
    pub(super) fn was_mine(&self, key: &Key, action: &Action, at: Time) -> bool {
        self.following.iter().filter(|f| f.key == *key && f.plan.action == *action).any(|f| match &f.outcome {
            None | Some(Outcome::Unknown { .. } | Outcome::Partial { .. }) => true,
            // The target's own clock on both sides.
            Some(Outcome::Accepted { at: taken, .. }) => (*taken - at).abs() <= chrono::Duration::seconds(2),
            Some(Outcome::Refused { .. }) => false,
        })
    }
}
