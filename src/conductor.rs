//! The pure state machine that runs a plan. It owns nothing and does nothing: time, observations and
//! verdicts are arguments, and what comes out is a new [`Life`] and the
//! [`Wanted`] state of the machine, which the host makes true. Because `Wanted` is
//! derived from `Life` alone, a host that crashed anywhere goes on from the `Life` it finds on disk.
//!
//! ```text
//!              all ready          every step, 100 % confirmed
//!  deploy ─► Starting ─► Stepping ─────────────────────────────► Completed
//!    ▲          │            │  R, or a gate that goes back          │ R while the old version is warm
//!    │          └──────┬─────┘                                       │
//!   retry              ▼           router confirms 0 %               ▼
//!    └───────────── Reverted ◄──────────────────────── Reverting ◄───┘
//! ```
//!
//! Where the old instances are gone, `R` starts them again within `Reverting`: see [`back`].
//!
//! What always holds, whatever is observed and asked, is proved in the tests: the candidate gets no
//! traffic before all of it was ready; while there is a stable version its instances are wanted and
//! the way back is open and takes effect at once (`rolling` and `recreate` have bounds of their own); a
//! failed gate or check lets nothing advance without a person, and a freeze nothing at all; one belief
//! makes at most one transition; a promotion is over only when the router confirmed it.

pub mod act;
pub mod advance;
pub mod ask;
pub mod back;
mod freeze;
mod guard;
pub mod life;
mod moves;
pub mod plan;
pub mod recover;
pub mod rolling;
mod sight;
pub mod standing;
pub mod start;
pub mod tell;
pub mod wanted;
mod words;

#[cfg(test)]
mod tests;

pub use self::{
    act::Acted,
    ask::Ordered,
    life::{Deployed, Life, Observed, PoolId, PoolSeen, Run, RunState, Wanted},
    standing::Judged,
    start::NewRun,
    tell::Telling,
};

use crate::model::{event::Level, text::Text};

/// One line for the timeline.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// How much it matters.
    pub level: Level,
    /// Who did it: a person, `plan`, `gate errors`, `deadline`, `host`.
    pub by: Text,
    /// What, in one line.
    pub what: Text,
}

impl Note {
    fn plan(what: String) -> Self {
        Self { level: Level::Info, by: "plan".into(), what: what.into() }
    }

    /// With the person's reason, if they gave one.
    fn because(mut self, reason: Option<&Text>) -> Self {
        if let Some(reason) = reason.filter(|r| !r.is_empty()) {
            self.what = format!("{}: {reason}", self.what).into();
        }
        self
    }
}
