//! What was worked out of a gate since its last interval. Bounds, power and words cost a hundred times
//! what a decision costs, and change only when something was fed; verdicts are asked for at every look.
//!
//! It is no part of what is known: it is not written down, not copied, and equal to any other.

use super::{
    decide::{Decision, Odds},
    run::GateRun,
};
use crate::model::{
    gate::{Evidence, Lines, Verdict},
    interval::Sensor,
    spec::GateSpec,
    time::{Time, elapsed},
};
use std::sync::OnceLock;

/// Room for it in a gate's run, which is emptied by whatever changes the run.
#[derive(Debug, Default)]
pub(super) struct Told(OnceLock<Box<Known>>);

#[derive(Debug)]
struct Known {
    gate: GateSpec,
    lines: Lines,
    verdict: Verdict,
    evidence: Evidence,
}

impl Clone for Told {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Told {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Told {
    /// Forgets it: something was fed.
    pub fn clear(&mut self) {
        self.0.take();
    }
}

impl GateRun {
    /// The verdict and what it rests on, without sensors and queries.
    pub(super) fn told(&self, gate: &GateSpec, lines: &Lines, sensors: &[Sensor], now: Time) -> (Verdict, Evidence) {
        let blind = self.blind(sensors);
        // What was never fed has times of its own, and blindness is seldom and short.
        let (None, Some(last)) = (blind, self.last) else {
            let odds = self.odds();
            let decision = blind.unwrap_or_else(|| self.decision(gate, lines, &odds));
            return self.work_out(gate, lines, (decision, &odds), sensors, now);
        };
        let known = self.told.0.get_or_init(|| {
            let odds = self.odds();
            let (verdict, evidence) = self.work_out(gate, lines, (self.decision(gate, lines, &odds), &odds), sensors, now);
            Box::new(Known { gate: gate.clone(), lines: *lines, verdict, evidence })
        });
        if known.lines == *lines && known.gate == *gate {
            return (known.verdict.clone(), Evidence { age: elapsed(now, last), ..known.evidence.clone() });
        }
        // Somebody asks with another gate than the one before.
        let odds = self.odds();
        self.work_out(gate, lines, (self.decision(gate, lines, &odds), &odds), sensors, now)
    }

    fn work_out(&self, gate: &GateSpec, lines: &Lines, said: (Decision, &Odds), sensors: &[Sensor], now: Time) -> (Verdict, Evidence) {
        (self.verdict(gate, lines, said, sensors), self.evidence(gate, lines, said.0, said.1, now))
    }
}
