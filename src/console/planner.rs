//! Plans and confirms by target.

use crate::{
    app::msg::Planner,
    model::{
        action::{Observation, Plan, Refusal},
        ident::{Key, TargetId},
        rollout::Rollout,
    },
    run::port::{Place, Port},
    runtime::Ask,
};
use std::{collections::BTreeMap, sync::Arc};

/// The runtime of each target.
pub struct Places(BTreeMap<TargetId, Arc<dyn Port>>);

impl Places {
    /// By target.
    pub fn new(places: Vec<Place>) -> Self {
        Self(places.into_iter().map(|p| (p.target, p.port)).collect())
    }
}

impl Places {
    /// Tells every target what is open.
    pub fn focus(&self, key: Option<&Key>) {
        for (target, port) in &self.0 {
            port.focus(key.filter(|key| key.target == *target));
        }
    }
}

impl Planner for Places {
    fn plan(&self, rollout: &Rollout, ask: &Ask) -> Result<Plan, Refusal> {
        match self.0.get(&rollout.key.target) {
            Some(port) => port.plan(rollout, ask),
            None => Err(Refusal::Unsupported { verb: ask.action.verb().into() }),
        }
    }

    fn confirm(&self, plan: &Plan, rollout: &Rollout) -> Observation {
        match self.0.get(&rollout.key.target) {
            Some(port) => port.confirm(plan, rollout),
            None => Observation::Pending { missing: "its target is not watched".into() },
        }
    }
}
