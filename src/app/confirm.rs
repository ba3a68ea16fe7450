//! Which keys confirm an open preview. The rules are those of the product: a key counts only if it was
//! read after the preview could be read, alone before and, for a letter, alone after. So a held key, a
//! burst or a replayed stall never confirms.

use super::{
    desk::{LOOK_AGAIN, QUIET_AFTER, READ_FIRST, Waiting},
    msg::{Effect, Planner, Record, Stroke},
    state::{Code, Confirm, Following, Input, KeyPress, Notice, Overlay, Preview, State},
};
use crate::{
    model::{
        action::{Action, Plan},
        ident::Key,
        text::Text,
    },
    runtime::Ask,
};
use std::time::Duration;

/// How long a reason may be.
const REASON: usize = 200;

/// One press of a key, with what its timing says of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Press {
    pub(super) key: KeyPress,
    pub(super) at: Duration,
    /// The terminal says that it is held.
    pub(super) repeat: bool,
    /// An equal one came in the 150 ms before it.
    pub(super) again: bool,
}

/// What a key does to a preview.
enum Verdict {
    /// It confirms.
    Accept,
    /// It gives this reason.
    Reason(Text),
    /// It stays open.
    Stay(Option<String>),
    /// Any other key: it closes.
    Close,
}

impl State {
    /// A key while a preview is open. It never reaches anything else.
    pub(super) fn preview_key(&mut self, press: Press, planner: &dyn Planner, fx: &mut Vec<Effect>) {
        let (desk, overlay) = (&mut self.desk, &mut self.overlay);
        let (Overlay::Preview(preview), Some(draft)) = (overlay, &mut desk.draft) else { return };
        if preview.withdrawn.is_some() {
            // What was being typed must not reach the screen behind it.
            if is_plain(press.key, Code::Esc) || desk.keymap.is("close", press.key) {
                self.close_preview();
            }
            return;
        }
        let counts = !press.repeat && !press.again && preview.painted.is_some_and(|p| press.at >= p + READ_FIRST);
        let enter = is_plain(press.key, Code::Enter);
        let again = || Verdict::Stay(Some(format!("too fast: press {} once", press.key)));
        let verdict = match &mut preview.confirm {
            Confirm::Never => Verdict::Close,
            Confirm::Key { letter, pending } => {
                let second = *letter && desk.keymap.is("revert", press.key);
                if !enter && !second {
                    Verdict::Close
                } else if !counts {
                    *pending = None;
                    again()
                } else if enter && draft.opened_by != Some(press.key) {
                    Verdict::Accept
                } else {
                    // It may be the first of a held key: it counts when nothing equal follows.
                    *pending = Some(press.at);
                    draft.waiting = Some(Waiting { key: press.key, ripe: None });
                    Verdict::Stay(None)
                }
            }
            Confirm::Typed { expected, typed } => match (press.key.code, printable(press.key)) {
                _ if enter && typed != expected => {
                    typed.clear();
                    Verdict::Stay(Some(format!("type {expected}, then enter")))
                }
                _ if enter && counts => Verdict::Accept,
                _ if enter => again(),
                (Code::Backspace, _) => {
                    typed.pop();
                    Verdict::Stay(None)
                }
                (_, Some(c)) if c.is_ascii_digit() || ('a'..='f').contains(&c) || expected.contains(c) => {
                    if press.repeat || preview.painted.is_none_or(|p| press.at <= p) {
                        Verdict::Stay(Some(format!("too fast: type {expected} once")))
                    } else {
                        if typed.len() < expected.len() {
                            typed.push(c);
                        }
                        Verdict::Stay(None)
                    }
                }
                _ => Verdict::Close,
            },
            Confirm::Reason { ready, chosen, typed, .. } => match (press.key.code, printable(press.key)) {
                _ if enter && !counts => again(),
                _ if enter => match ready.get(*chosen).cloned().or_else(|| Some(Text::clean(typed.trim())).filter(|t| !t.is_empty())) {
                    Some(reason) => Verdict::Reason(reason),
                    None => Verdict::Stay(Some("a reason is needed: choose one with the arrows, or type it".to_owned())),
                },
                (Code::Up, _) => {
                    *chosen = chosen.checked_sub(1).unwrap_or(ready.len());
                    Verdict::Stay(None)
                }
                (Code::Down, _) => {
                    *chosen = if *chosen >= ready.len() { 0 } else { *chosen + 1 };
                    Verdict::Stay(None)
                }
                _ if press.key.erases(typed) => Verdict::Stay(None),
                (_, Some(c)) => {
                    *chosen = ready.len();
                    if typed.len() < REASON {
                        typed.push(c);
                    }
                    Verdict::Stay(None)
                }
                _ => Verdict::Close,
            },
        };
        match verdict {
            Verdict::Accept => self.accept(fx),
            Verdict::Reason(reason) => {
                if self.reasoned(reason, planner) {
                    self.accept(fx);
                }
            }
            Verdict::Stay(hint) => preview.hint = hint.map(Text::from),
            Verdict::Close => self.close_preview(),
        }
    }

    /// A letter that waited for company had none: it counts from 120 ms on, at the tick after the one
    /// that noticed it.
    pub(super) fn ripen(&mut self, fx: &mut Vec<Effect>) {
        let uptime = self.shared.uptime;
        if self.ripens_at().is_none_or(|at| at > uptime) {
            return;
        }
        let Some(waiting) = self.desk.draft.as_mut().and_then(|d| d.waiting.as_mut()) else { return };
        match waiting.ripe {
            None => waiting.ripe = Some(uptime),
            Some(_) => self.accept(fx),
        }
    }

    /// Strokes that were just read, before anything is made of them: an equal one among them is company,
    /// however late the loop read it; without one, a letter that waited long enough was alone.
    pub(super) fn company(&mut self, batch: &[Stroke], fx: &mut Vec<Effect>) {
        let Some(waiting) = self.desk.draft.as_ref().and_then(|d| d.waiting) else { return };
        let Overlay::Preview(preview) = &mut self.overlay else { return };
        let Confirm::Key { pending: Some(pressed), .. } = preview.confirm else { return };
        if batch.iter().any(|s| s.input == Input::Key(waiting.key)) {
            preview.hint = Some(format!("too fast: press {} once", waiting.key).into());
            self.forget_waiting();
        } else if preview.withdrawn.is_none() && batch.iter().any(|s| s.read_at >= pressed + QUIET_AFTER) {
            self.accept(fx);
        }
    }

    /// When a waiting letter counts.
    pub(super) fn ripens_at(&self) -> Option<Duration> {
        let Overlay::Preview(preview) = &self.overlay else { return None };
        let Confirm::Key { pending: Some(pressed), .. } = preview.confirm else { return None };
        let ripe = self.desk.draft.as_ref().and_then(|d| d.waiting).and_then(|w| w.ripe);
        preview.withdrawn.is_none().then(|| ripe.map_or(pressed + QUIET_AFTER, |ripe| ripe + LOOK_AGAIN))
    }

    /// Nothing waits for company any more.
    pub(super) fn forget_waiting(&mut self) {
        if let Overlay::Preview(p) = &mut self.overlay
            && let Confirm::Key { pending, .. } = &mut p.confirm
        {
            *pending = None;
        }
        if let Some(draft) = &mut self.desk.draft {
            draft.waiting = None;
        }
    }

    /// Closes the preview and says what came of it.
    pub(super) fn close_preview(&mut self) {
        self.overlay = Overlay::None;
        self.desk.draft = None;
        self.notice = Some(Notice { text: "NOTHING SENT".into(), bad: false, fades: None });
    }

    /// The preview was confirmed. The way back is never stopped here; everything else needs a connection,
    /// because what it rests on may have moved unseen.
    fn accept(&mut self, fx: &mut Vec<Effect>) {
        let Overlay::Preview(preview) = &self.overlay else { return };
        let back = matches!(preview.plan.action, Action::Back { .. });
        let mut keys = std::iter::once(&preview.key).chain(preview.also.iter().filter(|a| a.plan.is_ok()).map(|a| &a.key));
        if !back && let Some(silence) = keys.find_map(|key| self.silence(key)) {
            return self.withdraw(format!("the view is stale: {silence}").into());
        }
        let Overlay::Preview(preview) = std::mem::replace(&mut self.overlay, Overlay::None) else { return };
        let Some(draft) = self.desk.draft.take() else { return };
        let Preview { key, plan, also, confirm, .. } = *preview;
        // Nothing that is shown only gets here; should it ever, it is not sent.
        if confirm == Confirm::Never {
            return;
        }
        let several = also.into_iter().filter_map(|a| Some((a.key, a.plan.ok()?)));
        for (key, plan) in std::iter::once((key, plan)).chain(several) {
            self.send(key, plan, &draft.ask, fx);
        }
        self.fleet.marks.clear();
    }

    /// Hands one plan over and follows it from then on.
    fn send(&mut self, key: Key, plan: Plan, ask: &Ask, fx: &mut Vec<Effect>) {
        let back = matches!(plan.action, Action::Back { .. });
        let evidence = self.shared.rollouts.get(&key).and_then(|w| w.rollout.verdict.clone());
        let at = self.shared.now;
        let (name, reason) = (ask.name.clone(), ask.reason.clone());
        let intent = Record::Intent { key: key.clone(), plan: Box::new(plan.clone()), name, reason, evidence, at };
        let send = Effect::Send { target: key.target.clone(), plan: Box::new(plan.clone()), after_intent: !back };
        let intent = Effect::Journal(Box::new(intent));
        // Nothing stands before the way back, not even the line that says it was asked for.
        fx.extend(if back { [send, intent] } else { [intent, send] });
        self.following.push(Following { id: plan.id.clone(), key, plan, sent: at, outcome: None, seen: None });
    }
}

fn is_plain(key: KeyPress, code: Code) -> bool {
    key.code == code && !key.ctrl && !key.alt
}

/// The character a key types, if it types one.
pub(super) fn printable(key: KeyPress) -> Option<char> {
    match key.code {
        Code::Char(c) if !key.ctrl && !key.alt && !c.is_control() => Some(c),
        _ => None,
    }
}
