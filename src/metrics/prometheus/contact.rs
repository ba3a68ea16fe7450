//! How a server was met: since when it answers, or what it says instead, and what its clock says.

use crate::{
    metrics::{APART, Answer, Trouble},
    model::{backend::Silent, time::Time},
};
use std::sync::{Mutex, PoisonError};

/// See the [module](self). It is shared by all that ask.
#[derive(Default)]
pub struct Contact(Mutex<State>);

/// What was heard.
#[derive(Clone, Default)]
pub struct State {
    /// Since when it answers.
    pub answers: Option<Time>,
    /// Since when it does not, and why.
    pub trouble: Option<Silent>,
    /// By how many seconds its clock is ahead, where that matters.
    pub ahead: Option<i64>,
}

impl Contact {
    /// Takes in an answer, or that there is none. Whoever finds fault with a query has answered.
    pub fn heard(&self, answer: &Result<Answer, Trouble>, now: Time) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Err(why) if !why.is_about_the_query() => {
                let since = state.trouble.as_ref().map_or(now, |silent| silent.since);
                (state.answers, state.trouble) = (None, Some(Silent { why: why.to_string().into(), since }));
            }
            _ => {
                state.trouble = None;
                state.answers.get_or_insert(now);
            }
        }
        if let Ok(Answer { ahead: Some(ahead), .. }) = answer {
            state.ahead = (ahead.abs() > APART).then(|| ahead.num_seconds());
        }
    }

    /// What was heard so far.
    pub fn state(&self) -> State {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_when_it_answers_or_does_not() {
        let at = |second| Time::UNIX_EPOCH + chrono::Duration::seconds(second);
        let contact = Contact::default();
        let away = |why: &str| Err(Trouble::Unreachable { place: "prom".into(), why: why.into() });
        let ahead = |secs| Ok(Answer { ahead: Some(chrono::Duration::seconds(secs)), ..Answer::default() });
        let told = |contact: &Contact| {
            let State { answers, trouble, ahead } = contact.state();
            (answers, trouble.map(|silent| (silent.why.to_string(), silent.since)), ahead)
        };
        assert_eq!(told(&contact), (None, None, None));
        contact.heard(&ahead(1), at(10));
        contact.heard(&ahead(-7), at(20));
        assert_eq!(told(&contact), (Some(at(10)), None, Some(-7)));
        for (second, why) in [(30, "refused"), (40, "reset")] {
            contact.heard(&away(why), at(second));
        }
        assert_eq!(told(&contact), (None, Some(("cannot reach prom: reset".into(), at(30))), Some(-7)));
        contact.heard(&Err(Trouble::Query { why: "unclosed".into() }), at(50));
        contact.heard(&ahead(0), at(60));
        assert_eq!(told(&contact), (Some(at(50)), None, None));
    }
}
