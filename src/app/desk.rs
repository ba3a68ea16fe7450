//! What the console keeps for itself beside what it shows: keymap, key timing, the draft behind the
//! open preview, lists that are still coming in. Owned by [`State`](super::state::State).

use super::{
    keymap::Keymap,
    state::{Code, KeyPress, Watched},
};
use crate::{
    model::{
        action::Refusal,
        ident::{ActionId, Key, TargetId},
        rollout::LastAction,
        text::Text,
        time::Time,
    },
    runtime::Ask,
};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// A key pressed again within this is held, a burst or a replayed stall: it confirms nothing.
pub const QUIET_BEFORE: Duration = Duration::from_millis(150);
/// A preview must have been on the screen for this long before a key confirms it.
pub const READ_FIRST: Duration = Duration::from_millis(150);
/// A confirming letter must have no equal key for this long after it.
pub const QUIET_AFTER: Duration = Duration::from_millis(120);
/// What was waiting to be read when a deadline was noticed has been handed over after this.
pub const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// Letters this soon after an `ESC` byte belong to a torn escape sequence.
pub const TORN: Duration = Duration::from_millis(100);

/// What the console keeps for itself.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Desk {
    pub(super) keymap: Keymap,
    /// How the person calls themselves.
    pub(super) name: Option<Text>,
    pub(super) ids: Ids,
    pub(super) keyboard: Keyboard,
    /// What the open preview was made from.
    pub(super) draft: Option<Draft>,
    /// Who had acted last when the person pressed their last key; the outer `None` before any.
    pub(super) baseline: Option<Option<LastAction>>,
    /// Full lists that are not complete yet.
    pub(super) staging: BTreeMap<TargetId, Staging>,
    /// The current epoch of each target that sent a full list.
    pub(super) epochs: BTreeMap<TargetId, u64>,
    /// Open rollouts that their target does not name any more, and since when.
    pub(super) gone: BTreeMap<Key, Time>,
    pub(super) offers: Vec<Offer>,
    /// When a followed action needed no more following.
    pub(super) settled: BTreeMap<ActionId, Time>,
    /// When an action of unknown outcome was asked about last.
    pub(super) asked: BTreeMap<ActionId, Time>,
    /// Whether the rollout was opened from the fleet, where closing it leads back to.
    pub(super) entered: bool,
    /// Whether a panel was ever given the keyboard: from then on the open one is the person's choice.
    pub(super) chose_panel: bool,
    /// Whether a key was pressed: from then on nothing opens by itself.
    pub(super) touched: bool,
    /// When a rollout was opened by itself.
    pub(super) opened_itself: Option<Duration>,
    /// Whether what is on the screen changed since the last frame.
    pub(super) unseen: bool,
    /// Whose logs the loop was told to watch.
    pub(super) watching: Option<Key>,
    /// Whose lines the logs are.
    pub(super) logs_of: Option<Key>,
}

impl Desk {
    /// `ids` must be different for each start of a console: actions are named after it.
    #[must_use]
    pub fn new(keymap: Keymap, name: Option<Text>, ids: &str) -> Self {
        Self { keymap, name, ids: Ids { start: ids.to_owned(), count: 0 }, ..Self::default() }
    }

    /// The keys of which command means what.
    #[must_use]
    pub const fn keymap(&self) -> &Keymap {
        &self.keymap
    }
}

/// Names actions before they are sent.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Ids {
    start: String,
    count: u64,
}

impl Ids {
    pub(super) fn next(&mut self) -> ActionId {
        self.count += 1;
        ActionId::new(format!("{}-{}", self.start, self.count))
    }
}

/// An acting command as it stands: for the footer and the list of actions.
#[derive(Clone, PartialEq, Debug)]
pub struct Offer {
    /// The command's name.
    pub command: &'static str,
    /// Its first key, as written; empty when it has none.
    pub key: String,
    /// What it would do, in few words: `back to 2026.08.14-hotfix.3`.
    pub label: Text,
    /// Why it is off.
    pub off: Option<Refusal>,
}

/// What the open preview was made from.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Draft {
    pub(super) ask: Ask,
    /// The key that opened it: held down, it is no confirmation.
    pub(super) opened_by: Option<KeyPress>,
    /// When it was opened or last changed: only a frame written later shows it.
    pub(super) since: Duration,
    /// The letter that waits for company.
    pub(super) waiting: Option<Waiting>,
    /// Who acted since the person's last key.
    pub(super) meanwhile: Option<Meanwhile>,
}

/// A confirming letter of which it is not known yet whether it was alone.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Waiting {
    pub(super) key: KeyPress,
    /// When a tick first found that it had waited long enough. A loop that was late may have equal keys
    /// unread: it counts at the next tick, when what was waiting was read.
    pub(super) ripe: Option<Duration>,
}

/// Somebody acted while the person read.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Meanwhile {
    pub(super) act: LastAction,
    /// Whether it undid what the person themselves had done last.
    pub(super) yours: bool,
}

/// A full list that is not complete yet.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Staging {
    pub(super) epoch: u64,
    pub(super) rollouts: BTreeMap<Key, Watched>,
}

/// When which key was pressed.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Keyboard {
    recent: VecDeque<(KeyPress, Duration)>,
    escape: Option<Duration>,
    /// Input read up to here is discarded.
    resumed: Option<Duration>,
    /// The beginning of a sequence such as `g g`.
    pub(super) sequence: Vec<KeyPress>,
}

impl Keyboard {
    /// Everything read until now is not to be believed.
    pub(super) fn resume(&mut self, uptime: Duration) {
        self.resumed = Some(uptime);
        self.sequence.clear();
    }

    pub(super) fn is_stale(&self, read_at: Duration) -> bool {
        self.resumed.is_some_and(|resumed| read_at <= resumed)
    }

    /// Notes a key; true when an equal one was pressed in the 150 ms before it.
    pub(super) fn note(&mut self, key: KeyPress, at: Duration) -> bool {
        self.recent.retain(|(_, then)| at.saturating_sub(*then) < QUIET_BEFORE);
        let again = self.recent.iter().any(|(k, _)| *k == key);
        self.recent.retain(|(k, _)| *k != key);
        self.recent.push_back((key, at));
        again
    }

    /// Whether it is part of a torn escape sequence (F3 ends in `R`).
    pub(super) fn is_torn(&mut self, key: KeyPress, at: Duration) -> bool {
        let torn = !key.ctrl && matches!(key.code, Code::Char(_)) && self.escape.is_some_and(|esc| at.saturating_sub(esc) <= TORN);
        if key.code == Code::Esc || key.alt {
            self.escape = Some(at);
        }
        torn
    }
}
