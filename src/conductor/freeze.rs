//! Stop the line: with a reason and, if wanted, an end. Nothing moves forward, whoever asks; brakes, a
//! pause, less traffic and the way back are never frozen.

use super::{Note, life::Life, words};
use crate::model::{action::Refusal, rollout::Freeze, text::Text, time::Time};

impl Life {
    /// Why nothing moves forward, as a refusal.
    ///
    /// # Errors
    /// [`Refusal::Frozen`], with who, since when, until when and why.
    pub(super) fn not_frozen(&self) -> Result<(), Refusal> {
        self.frozen.as_ref().map_or(Ok(()), |freeze| Err(Refusal::Frozen { why: freeze_text(freeze).into() }))
    }

    /// A freeze ends by itself.
    pub(super) fn thaw_in_time(&mut self, now: Time) -> Option<Note> {
        let freeze = self.frozen.take_if(|f| f.until.is_some_and(|until| until <= now))?;
        self.moved();
        Some(Note::plan(format!("the freeze by {} is over: {}", freeze.by, freeze.reason)))
    }

    /// Whether this is what is so already.
    pub(super) fn is_frozen_like(&self, until: Option<Time>, reason: &Text) -> bool {
        self.frozen.as_ref().is_some_and(|f| f.until == until && f.reason == *reason)
    }
}

/// `by ana 02:14 until 06:00: incident 4711`.
pub(super) fn freeze_text(freeze: &Freeze) -> String {
    let until = freeze.until.map_or_else(|| ", until somebody thaws it".into(), |until| format!(" until {}", words::minute(until)));
    format!("by {} {}{until}: {}", freeze.by, words::minute(freeze.since), freeze.reason)
}
