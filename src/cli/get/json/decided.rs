//! What was known when a run's traffic was decided, and what is known of the version that serves now.

use super::{
    At,
    evidence::Evidence,
    exact,
    parts::{Gate, Verdict},
};
use crate::{
    judge,
    model::{decided, gate::GateState, rollout::Rollout},
};
use schemars::JsonSchema;
use serde::Serialize;

/// What was known of a run when its traffic was decided.
#[derive(Serialize, JsonSchema)]
pub struct Decided {
    /// Of which run.
    run: String,
    /// When it was decided.
    at: At,
    /// What was decided.
    #[schemars(extend("enum" = ["promoted", "went_back"]))]
    what: &'static str,
    /// The label of the version that was judged.
    version: String,
    /// The label of what it was compared with; `null` where it stood alone: then its numbers are under `stable`.
    beside: Option<String>,
    /// Its gates as they stood.
    gates: Vec<Gate>,
    /// Gates of which nothing is kept, for want of room.
    dropped: u32,
}

/// A version that has all the traffic, with nothing beside it, until it is good.
#[derive(Serialize, JsonSchema)]
pub struct Serving {
    /// Its label.
    version: String,
    /// Since when it has all the traffic.
    since: At,
    /// Its gates; their numbers are under `stable`, and so is what they say of limits and burn rates.
    gates: Vec<Gate>,
    /// All of these gates in one word and one sentence.
    verdict: Option<Verdict>,
}

impl From<&decided::Decided> for Decided {
    fn from(d: &decided::Decided) -> Self {
        Self {
            run: exact(&d.run.0),
            at: At(d.at),
            what: d.what.word(),
            version: d.version.to_string(),
            beside: d.beside.as_ref().map(ToString::to_string),
            gates: d.gates.iter().map(|gate| if d.beside.is_some() { Gate::from(gate) } else { alone(Gate::from(gate), gate) }).collect(),
            dropped: d.dropped,
        }
    }
}

impl Serving {
    /// `None` where nothing that serves is judged.
    pub fn of(r: &Rollout) -> Option<Self> {
        let serves = r.alone.as_ref()?;
        Some(Self {
            version: serves.version.to_string(),
            since: At(serves.since),
            gates: r.gates.iter().map(|gate| alone(Gate::of(r, gate), gate)).collect(),
            verdict: judge::summary(&r.gates).as_ref().map(Verdict::from),
        })
    }
}

/// A gate of a version that is no candidate: its numbers are stable's.
fn alone(mut told: Gate, gate: &GateState) -> Gate {
    told.evidence = gate.evidence.as_ref().map(Evidence::of_stable);
    told
}
