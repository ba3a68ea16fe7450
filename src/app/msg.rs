//! What happens to the console, and what it wants done. Both are data.

use super::state::{Following, Input};
use crate::{
    model::{
        action::{Observation, Outcome, Plan, Refusal},
        delta::Delta,
        event::LogLine,
        ident::{ActionId, Key, TargetId},
        rollout::{Rollout, Summary},
        text::Text,
        time::Time,
    },
    runtime::{Ask, Link},
};
use std::time::Duration;

/// One thing that happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Msg {
    /// What one read of the terminal gave, in order. Waiting input is handed over before [`Msg::Tick`]:
    /// a letter confirms only if no equal one followed it.
    Input {
        /// The strokes.
        batch: Vec<Stroke>,
    },
    /// A target changed.
    Delta(TargetId, Delta),
    /// A target's connection changed.
    Link(TargetId, Link),
    /// Log lines of the watched rollout, and how many were dropped since the last message.
    Logs(Vec<LogLine>, u64),
    /// The answer to an action.
    Outcome(ActionId, Outcome),
    /// What [`Effect::Resolve`] found: `None` when the target has never heard of the action.
    Resolved(ActionId, Option<Outcome>),
    /// Actions of an earlier console with an intent and no outcome in the journal.
    Recalled(Vec<Following>),
    /// Something to tell the person: the journal cannot be written, nothing was copied.
    Say {
        /// The line.
        text: Text,
        /// Whether it is bad news.
        bad: bool,
    },
    /// A deadline of [`next_wake`](super::update::next_wake) may be due. In a turn of the loop in which
    /// input was read too, the input comes first.
    Tick,
    /// The terminal has this many columns and rows.
    Resize(u16, u16),
    /// A frame is about to be drawn: what the frame shows is put in order first.
    Frame,
    /// The frame of the state after the last message was written, at this time since the start.
    /// The only message after which nothing needs to be drawn.
    Painted(Duration),
    /// Back from a stop, a re-attach or a write that stalled for 2 s: older input is discarded.
    Resumed,
}

/// One key or paste, as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stroke {
    /// What.
    pub input: Input,
    /// Whether the terminal says that the key is held.
    pub repeat: bool,
    /// When it was read, since the start.
    pub read_at: Duration,
}

/// What the loop is to do.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Send a plan, once.
    Send {
        /// Where.
        target: TargetId,
        /// What.
        plan: Box<Plan>,
        /// Whether the intent line of the same batch of effects must be on disk first. False for the
        /// way back: sending and writing go on at the same time.
        after_intent: bool,
    },
    /// Ask what became of an action whose answer was lost. Never sends it again.
    Resolve {
        /// Where.
        target: TargetId,
        /// Which.
        id: ActionId,
    },
    /// Write a line of the journal.
    Journal(Box<Record>),
    /// Watch the logs of this rollout from now on, or of none.
    WatchLogs(Option<Key>),
    /// Put this on the clipboard.
    Copy(String),
    /// Give the terminal back and stop.
    Suspend,
    /// Repaint every cell.
    Redraw,
    /// Leave.
    Quit,
}

/// A line of the journal.
#[derive(Clone, PartialEq, Debug)]
pub enum Record {
    /// An action is about to be sent.
    Intent {
        /// On what.
        key: Key,
        /// What: with its id, its belief and its exact calls.
        plan: Box<Plan>,
        /// Who, as they call themselves.
        name: Option<Text>,
        /// Why.
        reason: Option<Text>,
        /// What the gates said then.
        evidence: Option<Summary>,
        /// When the confirming key was accepted.
        at: Time,
    },
    /// What was answered. An unknown outcome may be followed by one that is known.
    Outcome {
        /// On what.
        key: Key,
        /// Which action.
        id: ActionId,
        /// The answer.
        outcome: Outcome,
        /// When it came.
        at: Time,
    },
    /// An action whose answer was lost was seen to have taken effect.
    Observed {
        /// On what.
        key: Key,
        /// Which action.
        id: ActionId,
        /// What was seen.
        observation: Observation,
        /// When.
        at: Time,
    },
}

/// Plans and confirms for every target. Pure.
pub trait Planner {
    /// The exact calls for an action, or why not.
    ///
    /// # Errors
    /// The refusal, complete enough to be shown.
    fn plan(&self, rollout: &Rollout, ask: &Ask) -> Result<Plan, Refusal>;

    /// Whether an accepted plan is true now.
    fn confirm(&self, plan: &Plan, rollout: &Rollout) -> Observation;
}
