//! The console: joins the state of [`app`](crate::app), the drawing of [`screen`], the loop of [`run`]
//! and the journal. Owns the [`State`] while the loop runs it.

mod journaled;
mod ledger;
mod planner;

pub use journaled::{Intents, Journaled};
pub use ledger::Ledger;

use crate::{
    app::{
        desk::Desk,
        docs,
        keymap::Keymap,
        msg::{Effect, Msg, Record, Stroke},
        state::{self, Following, Overlay, State, View},
        update::{next_wake, update},
    },
    journal::{Entry, Kind},
    model::{
        action::{Outcome, Plan},
        delta::Delta,
        event::LogLine,
        ident::{ActionId, Key, TargetId},
        text::Text,
        time::Time,
    },
    panel,
    run::{self, Program, port::Place},
    runtime::Link,
    screen::{self, Extras},
    term::decode::InputBatch,
    ui::look::Look,
};
use planner::Places;
use ratatui::{buffer::Buffer, layout::Rect};
use std::{
    collections::{BTreeMap, HashMap},
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Duration,
};

/// Actions of unknown outcome that are shown at the start, the newest.
const RECALLED: usize = 20;

/// What a console is started with.
pub struct Setup {
    /// How things look.
    pub look: Look,
    /// The keys.
    pub keymap: Keymap,
    /// How the person calls themselves.
    pub name: Option<Text>,
    /// Different for each start of a console: actions are named after it.
    pub ids: String,
    /// Whether acting is off.
    pub read_only: bool,
    /// The rollout to open. When absent, the only one there is; where there are several, all of them.
    pub open: Option<Key>,
    /// What is configured of each target.
    pub targets: BTreeMap<TargetId, state::Place>,
    /// What it watches.
    pub places: Vec<Place>,
    /// Where intents wait for the action they belong to.
    pub intents: Intents,
    /// For outcomes and observations.
    pub journal: Ledger,
    /// The start.
    pub now: Time,
}

/// See the module.
pub struct Console {
    state: State,
    places: Places,
    intents: Intents,
    /// Intents whose outcome is still to be written.
    open: HashMap<ActionId, Entry>,
    journal: Ledger,
    journal_trouble: Option<Text>,
    /// The journal is still read for what was sent before.
    reading: Option<Receiver<Vec<Entry>>>,
    effects: Vec<run::Effect>,
    /// What the targets were told to be open.
    focus: Option<Key>,
    now: Time,
    uptime: Duration,
    dirty: bool,
}

impl Console {
    /// Shows nothing yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let desk = Desk::new(setup.keymap, setup.name, &setup.ids);
        let mut state = State::new(setup.look, panel::all(), desk, setup.now);
        state.read_only = setup.read_only;
        state.targets = setup.targets;
        if setup.open.is_some() {
            state.view = View::Rollout;
        }
        state.shared.open = setup.open;
        Self {
            state,
            places: Places::new(setup.places),
            intents: setup.intents,
            open: HashMap::new(),
            journal: setup.journal,
            journal_trouble: None,
            reading: None,
            effects: Vec::new(),
            focus: None,
            now: setup.now,
            uptime: Duration::ZERO,
            dirty: true,
        }
    }

    /// Shows what an earlier console, or the command line, sent without hearing of its outcome: at
    /// once if it is read within `patience`, else when it is.
    pub fn recall(&mut self, intents: Receiver<Vec<Entry>>, patience: Duration) {
        match intents.recv_timeout(patience) {
            Ok(intents) => self.recalled(intents),
            Err(RecvTimeoutError::Timeout) => self.reading = Some(intents),
            Err(RecvTimeoutError::Disconnected) => {}
        }
    }

    fn recalled(&mut self, intents: Vec<Entry>) {
        let recalled: Vec<Following> = intents.iter().rev().take(RECALLED).rev().filter_map(following).collect();
        if !recalled.is_empty() {
            self.open.extend(intents.into_iter().filter_map(|entry| Some((entry.id.clone()?, entry))));
            self.take(Msg::Recalled(recalled));
        }
    }

    fn take(&mut self, msg: Msg) {
        let effects = update(&mut self.state, msg, self.now, self.uptime, &self.places);
        self.dirty |= self.state.wants_frame();
        for effect in effects {
            self.perform(effect);
        }
        self.focus();
    }

    /// Tells the targets what is open, when that is another one.
    fn focus(&mut self) {
        // On the fleet's screen a row is chosen, not open.
        let open = self.state.shared.open.as_ref().filter(|_| self.state.view != View::Fleet);
        if self.focus.as_ref() != open {
            self.focus = open.cloned();
            self.places.focus(self.focus.as_ref());
        }
    }

    fn perform(&mut self, effect: Effect) {
        let effect = match effect {
            // Whether the line or the request goes first is up to `Journaled`, by the action.
            Effect::Send { target, plan, .. } => run::Effect::Send { target, plan },
            Effect::Resolve { target, id } => run::Effect::Resolve { target, id },
            Effect::Journal(record) => return self.record(*record),
            Effect::WatchLogs(key) => run::Effect::WatchLogs(key.map(|key| (key.target.clone(), key))),
            Effect::Copy(text) => run::Effect::Copy(text),
            Effect::Suspend => run::Effect::Suspend,
            Effect::Redraw => run::Effect::Redraw,
            Effect::Quit => run::Effect::Quit,
        };
        self.effects.push(effect);
    }

    fn record(&mut self, record: Record) {
        match record {
            Record::Intent { plan, name, reason, evidence, at, .. } => {
                let evidence = evidence.map(|s| format!("{}: {}", s.word, s.sentence).into()).into_iter().collect();
                let entry = Entry::intent(&plan, at, name.unwrap_or_else(|| "unknown".into()), reason, evidence);
                self.open.insert(plan.id.clone(), entry.clone());
                self.intents.put(plan.id, entry);
            }
            Record::Outcome { key, id, outcome, at } => {
                let entry = self.intent(&key, &id, at).answered(at, outcome);
                self.journal.append_detached(entry);
            }
            Record::Observed { key, id, observation, at } => {
                let entry = self.intent(&key, &id, at).observed(at, observation);
                self.journal.append_detached(entry);
            }
        }
    }

    /// The intent that an outcome belongs to; one of an earlier console is known by its name only.
    fn intent(&self, key: &Key, id: &ActionId, at: Time) -> Entry {
        self.open.get(id).cloned().unwrap_or_else(|| {
            let mut entry = Entry::new(Kind::Intent, at, "unknown".into());
            entry.target = Some(key.target.clone());
            entry.service = Some(key.service.clone());
            entry.id = Some(id.clone());
            entry
        })
    }

    /// Says something that stays until the next key.
    pub fn say(&mut self, text: Text) {
        self.take(Msg::Say { text, bad: false });
    }

    /// Says that the journal cannot be written, once.
    fn watch_journal(&mut self) {
        let trouble = self.journal.trouble();
        if trouble != self.journal_trouble {
            self.journal_trouble.clone_from(&trouble);
            if let Some(text) = trouble {
                self.take(Msg::Say { text, bad: true });
            }
        }
    }
}

impl Program for Console {
    fn input(&mut self, batch: &InputBatch, at: Duration) {
        let batch = batch.typed.iter().map(|t| Stroke { input: t.input.clone(), repeat: t.repeat, read_at: at }).collect();
        self.take(Msg::Input { batch });
    }

    fn delta(&mut self, target: &TargetId, delta: Delta) {
        self.take(Msg::Delta(target.clone(), delta));
    }

    fn link(&mut self, target: &TargetId, link: Link) {
        self.take(Msg::Link(target.clone(), link));
    }

    fn logs(&mut self, lines: Vec<LogLine>, dropped: u64) {
        self.take(Msg::Logs(lines, dropped));
    }

    fn outcome(&mut self, id: &ActionId, outcome: Outcome) {
        self.take(Msg::Outcome(id.clone(), outcome));
    }

    fn resolved(&mut self, id: &ActionId, outcome: Option<Outcome>) {
        self.take(Msg::Resolved(id.clone(), outcome));
    }

    fn resumed(&mut self) {
        self.take(Msg::Resumed);
    }

    fn tick(&mut self, now: Time, uptime: Duration) {
        self.now = now;
        self.uptime = uptime;
    }

    fn resize(&mut self, cols: u16, rows: u16) {
        self.take(Msg::Resize(cols, rows));
    }

    fn due(&mut self) {
        self.take(Msg::Tick);
        if let Some(intents) = self.reading.as_ref().and_then(|r| r.try_recv().ok()) {
            self.reading = None;
            self.recalled(intents);
        }
        self.watch_journal();
    }

    fn take_effects(&mut self) -> Vec<run::Effect> {
        std::mem::take(&mut self.effects)
    }

    fn dirty(&self) -> bool {
        self.dirty
    }

    fn next_wake(&self) -> Option<Duration> {
        let reading = self.reading.is_some().then(|| self.uptime + Duration::from_secs(1));
        next_wake(&self.state).into_iter().chain(reading).min()
    }

    fn draw(&mut self, area: Rect, buf: &mut Buffer) {
        // Without a thread of its own the log's events are moved when they are looked at.
        tui_logger::move_events();
        self.take(Msg::Frame);
        self.dirty = false;
        draw(&self.state, area, buf);
    }

    fn painted(&mut self, at: Duration) {
        let effects = update(&mut self.state, Msg::Painted(at), self.now, self.uptime, &self.places);
        debug_assert!(effects.is_empty(), "a frame on the screen asks for nothing");
    }
}

/// An action as its intent tells it.
fn following(intent: &Entry) -> Option<Following> {
    let (id, belief, planned) = (intent.id.clone()?, intent.belief.clone()?, intent.plan.clone()?);
    let plan = Plan {
        action: intent.action.clone()?,
        id: id.clone(),
        belief: belief.clone(),
        title: planned.title,
        calls: planned.calls,
        weights: planned.weights,
        notes: Vec::new(),
        warns: Vec::new(),
        takes: None,
        needs_reason: false,
    };
    Some(Following { id, key: belief.key, plan, sent: intent.at, outcome: intent.outcome.clone(), seen: None })
}

/// Draws a state with what is derived from the commands.
pub fn draw(state: &State, area: Rect, buf: &mut Buffer) {
    let (footer, actions) = (docs::footer(state), docs::actions(state));
    // What is not looked at is not written.
    let help = if matches!(state.overlay, Overlay::Help(_)) { docs::help(state) } else { Vec::new() };
    let figures = if matches!(state.overlay, Overlay::Figures(_)) { docs::figures(state) } else { Vec::new() };
    let back_key = state.offers().iter().find(|o| o.command == "revert").map_or("R", |o| o.key.as_str());
    screen::draw(state, &Extras { footer: &footer, help: &help, figures: &figures, actions: &actions, back_key }, area, buf);
}
