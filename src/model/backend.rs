//! A metrics backend as whoever asks it met it last.

use super::{
    text::Text,
    time::{Time, span},
};
use serde::{Deserialize, Serialize};

/// See the [module](self). It changes when the backend does, and not with every question.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Backend {
    /// Its address without anything secret.
    pub place: Text,
    /// What is taken of it: `4 questions at once, 10 s each, 16 MiB`.
    pub limits: Text,
    /// Since when it answers; `None` while it does not, or was not asked yet.
    #[serde(default)]
    pub answers: Option<Time>,
    /// Why it does not answer.
    #[serde(default)]
    pub trouble: Option<Silent>,
    /// How far its clock is ahead of the asker's, in seconds, negative when it is behind; `None` where they agree.
    #[serde(default)]
    pub ahead: Option<i64>,
}

/// That a backend does not answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Silent {
    /// What it, or the way to it, said last.
    pub why: Text,
    /// Since when.
    pub since: Time,
}

impl Backend {
    /// How it is, in a line; a person's clock shows `now`.
    #[must_use]
    pub fn line(&self, now: Time) -> String {
        let age = |since| span(super::time::elapsed(now, since));
        let clock = self.ahead.map_or_else(String::new, |ahead| {
            let way = if ahead > 0 { "ahead of" } else { "behind" };
            format!("; its clock is {} s {way} its asker's", ahead.unsigned_abs())
        });
        let state = match (&self.trouble, self.answers) {
            (Some(silent), _) => format!("no answer for {}: {}", age(silent.since), silent.why),
            (None, Some(since)) => format!("answers for {}", age(since)),
            (None, None) => "not asked yet".to_owned(),
        };
        format!("metrics {} {state}{clock} ({})", self.place, self.limits)
    }
}
