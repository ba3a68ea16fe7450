//! Verdicts of whole runs: their order, their words, and how often they are wrong.

mod first;
mod order;
mod peers;
mod rules;
mod simulation;

use super::{
    Fed, Ledger, Look,
    decide::{Held, lines},
    rule_text, summary, waiting_cost, words,
};
use crate::model::{
    gate::{Arm, Decider, Evidence, GateState, Verdict},
    ident::RunId,
    interval::{Count, Interval, Sensor, SensorState},
    spec::{GateSpec, OnFail},
    time::{Time, after},
};
use std::time::Duration;

fn gate(toml: &str) -> GateSpec {
    let name = if toml.contains("name =") { "" } else { "name = \"g\"\n" };
    let signal = if toml.contains("signal =") { "" } else { "signal = \"errors\"\n" };
    toml::from_str(&format!("{name}{signal}{toml}")).unwrap()
}

fn at(secs: u64) -> Time {
    after(Time::UNIX_EPOCH, Duration::from_secs(secs))
}

fn sensor(state: SensorState, required: bool) -> Sensor {
    Sensor { name: "requests of canary".into(), arm: Arm::Candidate, state, age: Some(Duration::from_millis(41_900)), required }
}

fn fresh(_: &GateSpec) -> Look {
    Look { sensors: vec![sensor(SensorState::Fresh, true)], queries: Vec::new(), alerts: Vec::new() }
}

/// A run of gates that are all fed the same counts.
struct World {
    ledger: Ledger,
    gates: Vec<GateSpec>,
    secs: u64,
    said: Vec<GateState>,
}

impl World {
    /// With an hour of stable's history: each interval so many errors of so many requests.
    fn new(gates: &[GateSpec], history: (f64, f64)) -> Self {
        let mut world = Self { ledger: Ledger::default(), gates: gates.to_vec(), secs: 0, said: Vec::new() };
        world.ledger.stable_is("v41");
        if history.1 > 0.0 {
            for _ in 0..60 {
                world.feed((0.0, 0.0), history);
            }
        }
        world.ledger.follow(Some(&RunId::new("2")), Some(at(world.secs)), gates);
        world
    }

    /// One interval of every gate.
    fn feed(&mut self, candidate: (f64, f64), stable: (f64, f64)) {
        let count = |(hits, of)| Count::new(hits, of);
        for gate in &self.gates {
            let span = gate.interval.as_secs();
            let interval = Interval::new(at(self.secs), at(self.secs + span), count(candidate), count(stable));
            assert_ne!(self.ledger.feed(gate, &interval), Fed::Refused);
        }
        self.secs += self.gates[0].interval.as_secs();
        self.said = self.ledger.judge(fresh, at(self.secs)).to_vec();
    }

    /// The same interval until a gate says another word; how many it took.
    fn until(&mut self, word: &str, candidate: (f64, f64), stable: (f64, f64)) -> u32 {
        for n in 1..20_000 {
            self.feed(candidate, stable);
            if self.said[0].verdict.word() == word {
                return n;
            }
        }
        panic!("never {word}: {:#?}", self.said[0]);
    }

    fn say(&self) -> String {
        say(&self.said[0])
    }

    fn evidence(&self) -> &Evidence {
        self.said[0].evidence.as_ref().unwrap()
    }
}

fn say(state: &GateState) -> String {
    let who = match &state.verdict {
        Verdict::Fail { who, .. } => format!(" {who:?}"),
        _ => String::new(),
    };
    format!("{}{who}: {}", state.verdict.word(), state.verdict.reason())
}
