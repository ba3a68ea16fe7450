//! Everything the console knows and shows.

use super::{
    desk::{Desk, Offer},
    fleet::Fleet,
    palette::Palette,
};
use crate::{
    model::{
        action::{Action, Observation, Outcome, Plan, Refusal},
        event::{Event, FailedRequest, LogLine},
        history::History,
        ident::{ActionId, Key, TargetId, VersionId},
        rollout::Rollout,
        text::Text,
        time::{Time, elapsed},
    },
    panel::Panel,
    runtime::Link,
    ui::look::{Look, Paint},
};
use chrono::TimeDelta;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// The whole state: owned by the loop, changed by `update` only.
pub struct State {
    /// What panels may read.
    pub shared: Shared,
    /// How things look.
    pub look: Look,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// What has the screen.
    pub view: View,
    /// Every rollout, most urgent first.
    pub fleet: Fleet,
    /// What is configured of each target.
    pub targets: BTreeMap<TargetId, Place>,
    /// Every panel; `tab` goes round.
    pub panels: Vec<Box<dyn Panel>>,
    /// The panel that is shown.
    pub panel: usize,
    /// Who has the keyboard.
    pub focus: Focus,
    /// What lies over the screen.
    pub overlay: Overlay,
    /// One line above the footer that stays until the next key (or, if `fades`, until a time).
    pub notice: Option<Notice>,
    /// Actions that were sent and are followed until an observation confirms them, newest last.
    pub following: Vec<Following>,
    /// Whether acting is switched off (`--read-only`).
    pub read_only: bool,
    /// What is not shown as it is: keymap, key timing, lists that are coming in.
    pub desk: Desk,
}

impl State {
    /// Knows nothing yet; 80 columns and 24 rows until it is told otherwise.
    #[must_use]
    pub fn new(look: Look, panels: Vec<Box<dyn Panel>>, desk: Desk, now: Time) -> Self {
        Self {
            shared: Shared {
                now,
                uptime: Duration::ZERO,
                links: BTreeMap::new(),
                skews: BTreeMap::new(),
                rollouts: BTreeMap::new(),
                open: None,
                logs: VecDeque::new(),
                logs_dropped: 0,
            },
            look,
            size: (80, 24),
            view: View::Fleet,
            fleet: Fleet::default(),
            targets: BTreeMap::new(),
            panels,
            panel: 0,
            focus: Focus::Rollout,
            overlay: Overlay::None,
            notice: None,
            following: Vec::new(),
            read_only: false,
            desk,
        }
    }

    /// Every acting command with, where it is off, the reason: row `n` of the list of actions is offer `n - 1`.
    #[must_use]
    pub fn offers(&self) -> &[Offer] {
        &self.desk.offers
    }

    /// Since when the open rollout is not named by its target any more; `None` while it is.
    #[must_use]
    pub fn gone(&self) -> Option<Time> {
        self.gone_since(self.shared.open.as_ref()?)
    }

    /// Since when a rollout is not named by its target any more; `None` while it is.
    #[must_use]
    pub fn gone_since(&self, key: &Key) -> Option<Time> {
        self.desk.gone.get(key).copied()
    }

    /// The beginning of a key sequence that was typed, such as `g`; empty when none is pending.
    #[must_use]
    pub fn pending_keys(&self) -> String {
        super::keymap::written(&self.desk.keyboard.sequence)
    }
}

/// What panels may read.
#[derive(Clone, PartialEq, Debug)]
pub struct Shared {
    /// Now, as the last message said: ages are computed from it, never from a clock.
    pub now: Time,
    /// Monotonic time since the console started: for key timing.
    pub uptime: Duration,
    /// How each target is connected.
    pub links: BTreeMap<TargetId, Link>,
    /// How far a target's clock is ahead of ours, where that is more than the seconds of a header can tell.
    pub skews: BTreeMap<TargetId, TimeDelta>,
    /// Each rollout that is known.
    pub rollouts: BTreeMap<Key, Watched>,
    /// The rollout that is open; among all of them the one that the cursor is on.
    pub open: Option<Key>,
    /// Log lines of the open rollout, oldest first, at most [`LOG_LINES`].
    pub logs: VecDeque<LogLine>,
    /// Log lines that were dropped because they came too fast.
    pub logs_dropped: u64,
}

/// How many log lines are kept for the log panel.
pub const LOG_LINES: usize = 5_000;

/// A rollout and its past.
#[derive(Clone, PartialEq, Debug)]
pub struct Watched {
    /// As it is now.
    pub rollout: Rollout,
    /// When it was heard of last, by our clock: for `STALE 41 s`.
    pub heard: Time,
    /// Each version's traffic.
    pub history: BTreeMap<VersionId, History>,
    /// Its timeline, oldest first, at most 500.
    pub events: VecDeque<Event>,
    /// The last failed requests of each version.
    pub failed: BTreeMap<VersionId, Vec<FailedRequest>>,
}

impl Watched {
    /// The age beyond which a picture of this source is not believed: twice the expected interval.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.rollout.seen.fresh_for.saturating_mul(2).max(Duration::from_secs(1))
    }
}

impl Shared {
    /// The open rollout, if it is known.
    #[must_use]
    pub fn watched(&self) -> Option<&Watched> {
        self.rollouts.get(self.open.as_ref()?)
    }

    /// Now, by a target's own clock: what it says of times is measured by that.
    #[must_use]
    pub fn there(&self, target: &TargetId) -> Time {
        let skew = self.skews.get(target).copied().unwrap_or_default();
        self.now.checked_add_signed(skew).unwrap_or(self.now)
    }

    /// Now, by the clock of the target whose rollout is open.
    #[must_use]
    pub fn there_now(&self) -> Time {
        self.open.as_ref().map_or(self.now, |open| self.there(&open.target))
    }

    /// How old the picture of a rollout is, if it is too old to be believed.
    #[must_use]
    pub fn silent(&self, watched: &Watched) -> Option<Duration> {
        let age = elapsed(self.now, watched.heard);
        let off = !matches!(self.links.get(&watched.rollout.key.target), None | Some(Link::Live { .. }));
        (off || age > watched.patience()).then_some(age)
    }
}

/// What has the screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum View {
    /// Every rollout of every target.
    Fleet,
    /// The open one.
    Rollout,
}

/// What is configured of a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// Its colour, so that production is told from the rest at a glance.
    pub paint: Option<Paint>,
    /// Whether nothing may be changed there from here.
    pub read_only: bool,
}

/// Who has the keyboard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Focus {
    /// The rollout, or the row of the cursor among all of them: acting keys work.
    Rollout,
    /// The panel: only `R` acts.
    Panel,
}

/// What lies over the screen.
#[derive(Clone, PartialEq, Debug)]
pub enum Overlay {
    /// Nothing.
    None,
    /// Every command with its keys. The number is the first line shown.
    Help(usize),
    /// What each figure is and where it comes from. The number is the first line shown.
    Figures(usize),
    /// Every action with, where it is off, the reason. The number is the row; row 0 is no action.
    Actions(usize),
    /// How each source is connected.
    Connections,
    /// A command is being typed.
    Palette(Palette),
    /// A weight is being typed.
    Weight(String),
    /// An action is about to be sent.
    Preview(Box<Preview>),
    /// An action cannot be planned: why. `R` opens this too when there is nowhere to go.
    Refused {
        /// What was asked for.
        action: Action,
        /// Why not.
        refusal: Refusal,
    },
}

/// An action that is shown before it is sent.
#[derive(Clone, PartialEq, Debug)]
pub struct Preview {
    /// On what.
    pub key: Key,
    /// What will be sent.
    pub plan: Plan,
    /// The same on other rollouts, where several are marked; empty for one.
    pub also: Vec<Also>,
    /// How it is confirmed.
    pub confirm: Confirm,
    /// Set when a guarded fact moved: every key but `esc` is swallowed.
    pub withdrawn: Option<Text>,
    /// Who acted since the person's last key: `ben resumed your pause 8 s ago; step 3 → 4`.
    pub meanwhile: Option<Text>,
    /// When the frame that shows it was written to the terminal ([`Shared::uptime`]); `None` until then.
    pub painted: Option<Duration>,
    /// Said about the last key: `too fast: press R once`.
    pub hint: Option<Text>,
}

/// The action of a preview on one more rollout.
#[derive(Clone, PartialEq, Debug)]
pub struct Also {
    /// On what.
    pub key: Key,
    /// What was asked for there.
    pub action: Action,
    /// Under which name.
    pub id: ActionId,
    /// What will be sent, or why nothing will.
    pub plan: Result<Plan, Refusal>,
}

/// How a preview is confirmed.
#[derive(Clone, PartialEq, Debug)]
pub enum Confirm {
    /// `enter`, and for the way back also a second `R`.
    Key {
        /// Whether `R` confirms too.
        letter: bool,
        /// The letter that was pressed and waits 120 ms for company ([`Shared::uptime`] when it was pressed).
        pending: Option<Duration>,
    },
    /// The first characters of the candidate's digest, then `enter`.
    Typed {
        /// What must be typed.
        expected: String,
        /// What was typed.
        typed: String,
    },
    /// A reason from a few ready ones, or text, then `enter`.
    Reason {
        /// The ready ones.
        ready: Vec<Text>,
        /// Which is chosen; equal to the number of ready ones when text is typed.
        chosen: usize,
        /// The text.
        typed: String,
        /// For a promotion over a gate: what must be typed after the reason.
        then_typed: Option<(String, String)>,
    },
    /// By nothing: it is shown only. Any key closes it.
    Never,
}

/// One line for the person.
#[derive(Clone, PartialEq, Debug)]
pub struct Notice {
    /// The line.
    pub text: Text,
    /// Whether it is bad news.
    pub bad: bool,
    /// When it goes by itself; `None` stays until the next key.
    pub fades: Option<Time>,
}

/// An action that was sent.
#[derive(Clone, PartialEq, Debug)]
pub struct Following {
    /// Its name.
    pub id: ActionId,
    /// On what.
    pub key: Key,
    /// What was sent.
    pub plan: Plan,
    /// When the confirming key was accepted.
    pub sent: Time,
    /// What was answered; `None` until then.
    pub outcome: Option<Outcome>,
    /// What was seen since.
    pub seen: Option<Observation>,
}

/// What a person typed, freed from the terminal library.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A key press.
    Key(KeyPress),
    /// Pasted text.
    Paste(String),
}

/// A key with its modifiers, matched exactly.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct KeyPress {
    /// Which.
    pub code: Code,
    /// With control.
    pub ctrl: bool,
    /// With alt.
    pub alt: bool,
}

impl KeyPress {
    /// Takes from the end of a typed text what this key erases there, as in a shell: backspace a
    /// character, ctrl-w a word, ctrl-u all of it. True when it is one of these.
    pub fn erases(self, text: &mut String) -> bool {
        match (self.code, self.ctrl) {
            (Code::Backspace, _) => {
                text.pop();
            }
            (Code::Char('u'), true) => text.clear(),
            (Code::Char('w'), true) => {
                text.truncate(text.trim_end().len());
                while text.chars().next_back().is_some_and(|c| !c.is_whitespace()) {
                    text.pop();
                }
            }
            _ => return false,
        }
        true
    }
}

/// Which key; letters carry their case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Code {
    /// A character.
    Char(char),
    /// A named key.
    Enter,
    /// Escape.
    Esc,
    /// Tab.
    Tab,
    /// Shift-tab.
    BackTab,
    /// Backspace.
    Backspace,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow left.
    Left,
    /// Arrow right.
    Right,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Home.
    Home,
    /// End.
    End,
    /// Delete.
    Delete,
    /// A function key.
    F(u8),
}

/// One thing a person can do, defined once: keys, help, footer, palette and documentation are derived.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Its name in configuration and palette: `revert`, `next-panel`.
    pub name: &'static str,
    /// One line of help.
    pub doc: &'static str,
    /// Default keys, in the notation of the configuration: `R`, `ctrl-c`, `g g`, `down`.
    pub keys: &'static [&'static str],
    /// Whether it opens a preview of something that changes production; gone in read-only.
    pub acts: bool,
}
