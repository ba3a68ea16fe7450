//! Whether what a person believed when they decided is still so.
//!
//! The way back believes only in the run and the version it goes to, a pause only in the run: both
//! must work on an old picture. A freeze, its end and a taint say what they are about themselves and
//! believe in nothing. Everything else is refused if any transition happened since, whoever
//! made it; facts that are no transition (an instance that restarts) and signals refuse nothing.

use super::{ask::Ordered, life::Life, words};
use crate::model::{
    action::{Action, Refusal},
    time::Time,
};

impl Life {
    pub(super) fn guard(&self, ask: &Ordered, now: Time) -> Result<(), Refusal> {
        if matches!(ask.action, Action::Freeze { .. } | Action::Thaw | Action::Taint { .. }) {
            return Ok(());
        }
        let belief = &ask.belief;
        let moved = |what: String| Err(Refusal::Moved { what: what.into() });
        let run = self.run.as_ref();
        if belief.run.as_ref() != run.map(|r| &r.id) {
            return moved(match run {
                Some(run) => format!(
                    "run {}, started by {} {}, is the current one now",
                    run.id.text(),
                    run.started.by,
                    words::minute(run.started.at)
                ),
                None => "there is no such run".into(),
            });
        }
        if matches!(ask.action, Action::Back { .. } | Action::Pause) {
            return Ok(());
        }
        let stable = self.stable.as_ref();
        let at = run.and_then(super::life::Run::at);
        let same = belief.stable.as_ref() == stable.map(|s| &s.id)
            && belief.candidate.as_ref() == self.shown_candidate()
            && belief.at == at
            && belief.rev.0 >= self.moved;
        if same {
            return Ok(());
        }
        let who = self.last.as_ref().filter(|l| run.is_some_and(|r| l.at >= r.started.at)).map_or_else(
            || "it moved since you looked".to_owned(),
            |last| format!("{} {} {} ago", last.by, last.action.past(), words::ago(now, last.at)),
        );
        let step = match (belief.at, at) {
            (Some(then), Some(now)) if then != now => format!("step {} → {}", then + 1, now + 1),
            (_, Some(now)) => format!("now at step {}", now + 1),
            (_, None) => run.map_or_else(|| "nothing runs".into(), |r| format!("now {}", r.word())),
        };
        moved(format!("{who}; {step}"))
    }
}
