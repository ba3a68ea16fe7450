//! What the machine should be like, from what is remembered and nothing else. A host that crashed
//! anywhere goes on from here.

use super::life::{Life, RunState, Wanted};
use crate::model::ratio::Weight;

impl Life {
    /// What should run and be routed.
    ///
    /// Stable's pool is wanted as long as it is stable; the candidate's from its start until the
    /// promotion (it is stable then) or until the router confirmed the way back; the version before
    /// stable as long as it is kept warm. The candidate's share is above 0 only in
    /// [`RunState::Stepping`]; after a promotion the candidate *is* stable and nobody has its place.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        let mut wanted = Wanted { stable: self.stable.as_ref().map(super::life::Deployed::pool), ..Wanted::default() };
        wanted.pools.extend(self.stable.clone());
        if let Some(run) = &self.run {
            match run.state {
                RunState::Starting | RunState::Stepping | RunState::Reverting { .. } | RunState::Failed { .. } => {
                    wanted.pools.push(run.candidate.clone());
                    wanted.candidate = Some(run.candidate.pool());
                    wanted.weight = if run.state == RunState::Stepping { run.weight } else { Weight::ZERO };
                }
                RunState::Reverted { .. } | RunState::Completed { .. } => {}
            }
        }
        wanted.pools.extend(self.warm.as_ref().map(|w| w.deployed.clone()));
        wanted
    }
}
