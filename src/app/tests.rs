//! Key scripts against a planner in memory. A script is a line of tokens:
//!
//! | token | what it does |
//! |---|---|
//! | `R`, `ctrl-c`, `space` | one key in a batch of its own, then a frame is drawn and written |
//! | `[R R]` | several keys in one batch, then a frame |
//! | `~R` | a key that the terminal reports as held |
//! | `+300ms` | time passes; the loop wakes whenever it asked for it |
//! | `paste:RR` | pasted text |
//! | `stall` | from here on frames are not written, until `paint` |
//! | `resumed` | back from a stop |

mod actions;
mod confirming;
pub(crate) mod fixture;
mod fleet;
mod incoming;
mod property;

use super::{
    desk::Desk,
    keymap::Keymap,
    msg::{Effect, Msg, Planner, Record, Stroke},
    state::{Input, Overlay, Preview, State},
    update::{next_wake, update},
};
use crate::{
    model::{
        action::{Outcome, Plan},
        delta::Delta,
        ident::Rev,
        rollout::Rollout,
        time::{Time, after},
    },
    panel,
    runtime::Link,
    ui::look::Look,
};
use fixture::{Fake, TARGET, rollout, t0, target};
use std::time::Duration;

/// A console with a planner and a clock of its own.
struct Console {
    state: State,
    planner: Fake,
    uptime: Duration,
    fx: Vec<Effect>,
    stalled: bool,
}

const FRAME: Duration = Duration::from_millis(5);

impl Console {
    /// Connected to nothing.
    fn blank() -> Self {
        let keymap = Keymap::new(&panel::tables(&panel::all()), &std::collections::BTreeMap::new()).unwrap();
        let desk = Desk::new(keymap, Some("ana".into()), "t");
        let state = State::new(Look::FULL, panel::all(), desk, t0());
        Self { state, planner: Fake, uptime: Duration::from_secs(10), fx: Vec::new(), stalled: false }
    }

    /// Live on one canary whose gate waits for nothing: step 2 of 4 at 25 %.
    fn new() -> Self {
        let mut console = Self::blank();
        console.msg(Msg::Link(target(), Link::Live { since: t0() }));
        console.delta(Delta::Init { version: 1, epoch: 1, server_time: t0() });
        console.delta(Delta::Apply { rollout: Box::new(rollout()) });
        console.delta(Delta::InitDone { rev: Rev(1) });
        console.fx.clear();
        console
    }

    /// The same, typed at: `Console::typed("R +300ms R")`.
    fn typed(script: &str) -> Self {
        let mut console = Self::new();
        console.keys(script);
        console
    }

    fn now(&self) -> Time {
        after(t0(), self.uptime)
    }

    fn msg(&mut self, msg: Msg) {
        let painted = matches!(msg, Msg::Painted(_));
        let now = self.now();
        let fx = update(&mut self.state, msg, now, self.uptime, &self.planner);
        self.fx.extend(fx);
        if !painted && !self.stalled {
            update(&mut self.state, Msg::Frame, now, self.uptime, &self.planner);
            self.uptime += FRAME;
            self.msg(Msg::Painted(self.uptime));
        }
    }

    fn delta(&mut self, delta: Delta) {
        self.msg(Msg::Delta(target(), delta));
    }

    /// The rollout as it is now, changed.
    fn change(&mut self, change: impl FnOnce(&mut Rollout)) {
        let mut rollout = self.state.shared.watched().unwrap().rollout.clone();
        rollout.seen.rev.0 += 1;
        rollout.seen.server_time = self.now();
        change(&mut rollout);
        self.delta(Delta::Apply { rollout: Box::new(rollout) });
    }

    /// Time passes; the loop wakes whenever the state asked for it.
    fn wait(&mut self, span: Duration) {
        let end = self.uptime + span;
        while let Some(wake) = next_wake(&self.state).filter(|at| *at <= end) {
            self.uptime = self.uptime.max(wake);
            self.msg(Msg::Tick);
        }
        self.uptime = self.uptime.max(end);
    }

    fn keys(&mut self, script: &str) {
        let mut batch: Option<Vec<Stroke>> = None;
        for token in script.split_whitespace() {
            let (token, opens) = token.strip_prefix('[').filter(|t| !t.is_empty()).map_or((token, false), |t| (t, true));
            let (token, closes) = token.strip_suffix(']').filter(|t| !t.is_empty()).map_or((token, false), |t| (t, true));
            if opens {
                batch = Some(Vec::new());
            }
            if let Some(span) = token.strip_prefix('+').filter(|s| s.ends_with('s')) {
                self.wait(humantime::parse_duration(span).unwrap());
            } else if token == "stall" {
                self.stalled = true;
            } else if token == "paint" {
                self.stalled = false;
                self.msg(Msg::Painted(self.uptime));
            } else if token == "resumed" {
                self.msg(Msg::Resumed);
            } else {
                let (input, repeat) = match (token.strip_prefix("paste:"), token.strip_prefix('~')) {
                    (Some(text), _) => (Input::Paste(text.to_owned()), false),
                    (None, Some(key)) => (Input::Key(key.parse().unwrap()), true),
                    (None, None) => (Input::Key(token.parse().unwrap()), false),
                };
                let stroke = Stroke { input, repeat, read_at: self.uptime };
                match &mut batch {
                    Some(batch) => batch.push(stroke),
                    None => self.msg(Msg::Input { batch: vec![stroke] }),
                }
            }
            if closes && let Some(batch) = batch.take() {
                self.msg(Msg::Input { batch });
            }
        }
    }

    fn sent(&self) -> Vec<&Plan> {
        self.fx.iter().filter_map(|e| if let Effect::Send { plan, .. } = e { Some(&**plan) } else { None }).collect()
    }

    fn verbs(&self) -> Vec<&'static str> {
        self.sent().iter().map(|p| p.action.verb()).collect()
    }

    fn preview(&self) -> Option<&Preview> {
        if let Overlay::Preview(p) = &self.state.overlay { Some(p) } else { None }
    }

    fn hint(&self) -> &str {
        self.preview().and_then(|p| p.hint.as_ref()).map_or("", |h| h.as_str())
    }

    fn notice(&self) -> &str {
        self.state.notice.as_ref().map_or("", |n| n.text.as_str())
    }

    fn answer(&mut self, outcome: Outcome) {
        let id = self.state.following.last().unwrap().id.clone();
        self.msg(Msg::Outcome(id, outcome));
    }
}
