//! Every rollout of every target, most urgent first. Owns the order, which of it is shown, what is
//! filtered and marked. Where one is, is the open rollout: acting keys act on that row, never on marks.
//!
//! The true order is kept up to date with every change. What is shown follows it only while nobody has
//! just pressed a key, nothing lies over the screen, no filter is typed and nothing is marked, so that
//! no row moves under the cursor. What is new meanwhile is added at the end.

use super::{
    msg::Planner,
    state::{KeyPress, Overlay, State, View},
};
use crate::{
    model::{
        ident::Key,
        time::Time,
        urgency::{Urgency, Urgent, urgency},
    },
    panel::rows::Filter,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// Rows keep their order for so long after a key.
pub const FROZEN: Duration = Duration::from_secs(2);
/// Lines of the screen that are no rows: header, head of the columns, the line above the footer, footer.
const AROUND: usize = 4;

/// How many rows fit a screen of so many lines.
#[must_use]
pub fn room(lines: u16) -> usize {
    usize::from(lines).saturating_sub(AROUND)
}

/// See the module.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Fleet {
    /// Every rollout in its true order.
    order: Vec<(Urgency, Arc<Key>)>,
    ranks: BTreeMap<Arc<Key>, Urgency>,
    /// What is shown, in the order it is shown.
    shown: Vec<Arc<Key>>,
    /// The first row that is on the screen.
    top: usize,
    /// Whether the order moved since it was shown last.
    outdated: bool,
    /// Whether something came that is not shown yet.
    news: bool,
    pub(super) filter: Filter,
    pub(super) marks: BTreeSet<Key>,
    /// When the last key was pressed on this screen.
    last_key: Option<Duration>,
}

impl Fleet {
    /// The rows from the first that is on the screen on.
    #[must_use]
    pub fn rows(&self) -> &[Arc<Key>] {
        self.shown.get(self.top..).unwrap_or_default()
    }

    /// How many rows there are, and how many of them are above the screen.
    #[must_use]
    pub const fn extent(&self) -> (usize, usize) {
        (self.shown.len(), self.top)
    }

    /// How many rollouts have this urgency, whatever is filtered.
    #[must_use]
    pub fn count(&self, urgent: Urgent) -> usize {
        let up_to = |wanted: fn(Urgent, Urgent) -> bool| self.order.partition_point(|(r, _)| wanted(r.how, urgent));
        up_to(|is, of| is <= of) - up_to(|is, of| is < of)
    }

    /// The rank of a rollout.
    #[must_use]
    pub fn rank(&self, key: &Key) -> Option<Urgency> {
        self.ranks.get(key).copied()
    }

    /// What is marked.
    #[must_use]
    pub const fn marks(&self) -> &BTreeSet<Key> {
        &self.marks
    }

    /// What narrows the list: the text, and whether it is being typed.
    #[must_use]
    pub fn filter(&self) -> (&str, bool) {
        (self.filter.text(), self.filter.typing())
    }

    /// Puts a rollout where it belongs; `None` takes it out. True when that moved anything.
    fn place(&mut self, key: &Key, rank: Option<Urgency>) -> bool {
        let old = self.ranks.get_key_value(key).map(|(key, rank)| (*rank, Arc::clone(key)));
        if old.as_ref().map(|(rank, _)| *rank) == rank {
            return false;
        }
        let key = match &old {
            Some((_, key)) => Arc::clone(key),
            None => Arc::new(key.clone()),
        };
        if let Some(old) = old
            && let Ok(at) = self.order.binary_search(&old)
        {
            self.order.remove(at);
        }
        match rank {
            Some(rank) => {
                let entry = (rank, Arc::clone(&key));
                let at = self.order.binary_search(&entry).unwrap_or_else(|at| at);
                self.news |= !self.ranks.contains_key(&key);
                self.order.insert(at, entry);
                self.ranks.insert(key, rank);
            }
            None => {
                self.ranks.remove(&key);
            }
        }
        self.outdated = true;
        true
    }

    fn at(&self, key: Option<&Key>) -> Option<usize> {
        let key = key?;
        self.shown.iter().position(|k| **k == *key)
    }
}

impl State {
    /// Since when nothing was heard of a rollout, if that is too long ago to believe its picture.
    fn silent_since(&self, key: &Key) -> Option<Time> {
        let watched = self.shared.rollouts.get(key)?;
        self.shared.silent(watched).map(|_| watched.heard)
    }

    /// Rollouts changed, came or went. True when their order did.
    pub(super) fn place(&mut self, touched: &[Key]) -> bool {
        let mut moved = false;
        for key in touched {
            let now = self.shared.rollouts.get(key).map(|w| urgency(&w.rollout, self.silent_since(key)));
            moved |= self.fleet.place(key, now);
        }
        moved
    }

    /// Silence is noticed by nothing that arrives: every rollout is looked at anew.
    pub(super) fn place_all(&mut self) {
        let mut moved = Vec::new();
        for (key, watched) in &self.shared.rollouts {
            let now = urgency(&watched.rollout, self.shared.silent(watched).map(|_| watched.heard));
            if self.fleet.rank(key) != Some(now) {
                moved.push(key.clone());
            }
        }
        self.place(&moved);
    }

    /// Whether rows must stay where they are.
    fn is_frozen(&self) -> bool {
        let fleet = &self.fleet;
        let pressed = fleet.last_key.is_some_and(|at| self.shared.uptime < at + FROZEN);
        pressed || self.overlay != Overlay::None || fleet.filter.typing() || !fleet.marks.is_empty()
    }

    /// When the frozen order may move again, if it wants to.
    pub(super) fn thaws_at(&self) -> Option<Duration> {
        let fleet = &self.fleet;
        let at = (self.view == View::Fleet && fleet.outdated).then_some(fleet.last_key).flatten()? + FROZEN;
        // What else freezes it ends with a key.
        (at > self.shared.uptime).then_some(at)
    }

    /// Just before a frame: what is shown follows the order, if it may.
    pub(super) fn arrange(&mut self) {
        if self.view != View::Fleet || (!self.fleet.outdated && !self.fleet.shown.is_empty()) {
            return;
        }
        if self.is_frozen() && !self.fleet.shown.is_empty() {
            if std::mem::take(&mut self.fleet.news) {
                self.add_new();
            }
            return;
        }
        self.reorder();
    }

    /// What came while the order is frozen goes to the end, where it moves nothing.
    fn add_new(&mut self) {
        let known: BTreeSet<&Key> = self.fleet.shown.iter().map(|k| &**k).collect();
        let new: Vec<Arc<Key>> =
            self.fleet.order.iter().map(|(_, k)| k).filter(|k| !known.contains(&***k) && self.passes(k)).cloned().collect();
        self.fleet.shown.extend(new);
    }

    /// Shows the true order. The row of the cursor stays where it is on the screen if it can.
    pub(super) fn reorder(&mut self) {
        let line = self.fleet.at(self.shared.open.as_ref()).map(|at| at.saturating_sub(self.fleet.top));
        let shown: Vec<Arc<Key>> = self.fleet.order.iter().map(|(_, k)| k).filter(|k| self.passes(k)).cloned().collect();
        self.fleet.shown = shown;
        (self.fleet.outdated, self.fleet.news) = (false, false);
        let at = self.fleet.at(self.shared.open.as_ref());
        match (at, line) {
            (Some(at), Some(line)) => self.fleet.top = at.saturating_sub(line),
            (Some(_), None) => {}
            // What is not shown is not chosen: nothing acts on a row that cannot be seen.
            (None, _) => {
                self.choose(None);
                self.fleet.top = 0;
            }
        }
        self.keep_in_view();
    }

    /// Whether the filter lets a rollout through: by target, scope, service, strategy, state and versions.
    fn passes(&self, key: &Key) -> bool {
        if self.fleet.filter.text().is_empty() {
            return true;
        }
        let Some(w) = self.shared.rollouts.get(key) else { return false };
        let r = &w.rollout;
        let named = std::iter::once(&key.target.0).chain(&key.scope).chain([&key.service]).map(|raw| raw.text().to_string());
        let labels = r.tracks.iter().map(|t| t.version.label.to_string());
        let state = self.fleet.rank(key).map(|rank| rank.how.word().to_owned());
        let frozen = r.frozen.as_ref().map(|_| "frozen".to_owned());
        let words = [r.strategy.word().to_owned(), r.phase.word().to_owned()];
        let all: Vec<String> = named.chain(labels).chain(state).chain(frozen).chain(words).collect();
        self.fleet.filter.shows(&all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// A key was pressed on this screen: rows stay for a while.
    pub(super) fn hold_rows(&mut self) {
        if self.view == View::Fleet {
            self.fleet.last_key = Some(self.shared.uptime);
        }
    }

    /// Moves the cursor; the first move chooses the first row (or the last).
    pub(super) fn move_cursor(&mut self, command: &str) {
        let len = self.fleet.shown.len();
        let page = room(self.size.1).max(1);
        let Some(last) = len.checked_sub(1) else { return };
        let to = match (self.fleet.at(self.shared.open.as_ref()), command) {
            (None, "bottom") => last,
            (None, _) | (_, "top") => 0,
            (_, "bottom") => last,
            (Some(at), "down" | "next-match") => at + 1,
            (Some(at), "up" | "previous-match") => at.saturating_sub(1),
            (Some(at), "page-down") => at + page,
            (Some(at), "page-up") => at.saturating_sub(page),
            (Some(at), _) => at,
        };
        let key = self.fleet.shown.get(to.min(last)).map(|k| (**k).clone());
        self.choose(key);
        self.keep_in_view();
    }

    /// Puts the cursor on a rollout, or on none.
    pub(super) fn choose(&mut self, key: Option<Key>) {
        if self.shared.open == key {
            return;
        }
        if let Some(old) = std::mem::replace(&mut self.shared.open, key)
            && self.desk.gone.remove(&old).is_some()
        {
            // It stayed only because somebody looked at it.
            self.shared.rollouts.remove(&old);
            self.place(&[old]);
        }
    }

    pub(super) fn keep_in_view(&mut self) {
        let room = room(self.size.1).max(1);
        let fleet = &mut self.fleet;
        if let Some(at) = fleet.at(self.shared.open.as_ref()) {
            fleet.top = fleet.top.clamp((at + 1).saturating_sub(room), at);
        }
        fleet.top = fleet.top.min(fleet.shown.len().saturating_sub(room));
    }

    /// Whether one of these rollouts is on the screen.
    pub(super) fn is_on_screen(&self, touched: &[Key]) -> bool {
        let rows = self.fleet.rows();
        rows.iter().take(room(self.size.1)).any(|row| touched.contains(row))
    }

    /// Nothing is chosen: says so, and chooses the first row. True when that was needed.
    pub(super) fn chose_first(&mut self, for_what: &str) -> bool {
        if self.view != View::Fleet || self.shared.watched().is_some() || self.fleet.shown.is_empty() {
            return false;
        }
        self.move_cursor("top");
        let name = self.shared.open.as_ref().map(|k| k.service.text().to_string()).unwrap_or_default();
        self.say(&format!("nothing was chosen for {for_what}: the first row is now, {name}"), None);
        true
    }

    /// Marks the row of the cursor, or takes its mark away, and goes on to the next.
    pub(super) fn mark(&mut self) {
        if self.chose_first("a mark") {
            return;
        }
        let Some(key) = self.shared.open.clone() else { return };
        if !self.fleet.marks.remove(&key) {
            self.fleet.marks.insert(key);
        }
        self.move_cursor("down");
    }

    /// The rollout of the cursor's row gets the whole screen.
    pub(super) fn enter_rollout(&mut self) {
        if self.chose_first("opening") || self.shared.watched().is_none() {
            return;
        }
        self.view = View::Rollout;
        self.desk.entered = true;
        self.fleet.shown.clear();
        self.first_panel();
        self.tell_panels();
    }

    /// Back to every rollout. The one that was open has the cursor.
    pub(super) fn leave_rollout(&mut self) {
        self.view = View::Fleet;
        self.focus = super::state::Focus::Rollout;
        self.desk.entered = false;
        self.fleet.last_key = None;
        self.place_all();
        self.reorder();
    }

    /// The innermost thing of this screen is closed: a filter, then marks. False when there was none.
    pub(super) fn close_in_fleet(&mut self) -> bool {
        if !self.fleet.filter.text().is_empty() {
            self.fleet.filter = Filter::default();
            self.reorder();
        } else if !self.fleet.marks.is_empty() {
            self.fleet.marks.clear();
        } else {
            return false;
        }
        true
    }

    /// What narrows the list changed.
    pub(super) fn filtered(&mut self) {
        self.fleet.top = 0;
        self.reorder();
    }

    /// A command on this screen.
    pub(super) fn run_in_fleet(&mut self, command: &'static str, key: KeyPress, held: bool, planner: &dyn Planner) {
        match command {
            "open" if !held => self.enter_rollout(),
            "filter" => self.fleet.filter.start(),
            "mark" => self.mark(),
            "next-match" | "previous-match" => self.move_cursor(command),
            name if super::commands::MOVES.contains(&name) => self.move_cursor(name),
            name if super::commands::PANELS.contains(&name) => self.say("a panel belongs to a rollout: enter opens one", None),
            name if !held && super::commands::named(name).is_some_and(|c| c.acts) => self.act(name, Some(key), planner),
            _ => {}
        }
    }
}
