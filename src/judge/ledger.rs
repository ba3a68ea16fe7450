//! What is known of one service: its gates in the current run, stable's errors of the last hour, and the
//! split. Kept by whoever feeds it, also over a restart: the odds of a run are never begun anew.
//!
//! A source hands over one [`Interval`] per gate and interval ([`Ledger::feed`]), also while no run is
//! judged, so that the dispersion of errors is known when one begins. Verdicts can be asked for at any
//! time and as often as wanted.

use super::{
    burn::Windows,
    decide::lines,
    dispersion::Dispersion,
    run::{Fed, GateRun, Revision},
    said::{Asked, Said, Words},
    split::Split,
};
use crate::model::{
    gate::GateState,
    ident::{GateId, RunId},
    interval::{Interval, Query, Sensor},
    ratio::Weight,
    spec::{GateSignal, GateSpec, OnFail},
    text::Text,
    time::{Time, elapsed},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The gate that is there without being configured: the router does what it is told.
pub const SPLIT: &str = "split";

/// See the [module](self).
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// The run that is judged.
    run: Option<RunId>,
    gates: BTreeMap<GateId, GateRun>,
    /// Whether the version that is judged has all the traffic and nothing beside it.
    #[serde(default)]
    alone: bool,
    /// Which version's errors the dispersion is of.
    stable: Option<String>,
    errors: BTreeMap<GateId, Dispersion>,
    /// What stable burnt of its error budget, also before the run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    burnt: BTreeMap<GateId, Windows>,
    split: Split,
    /// Whether the split was ever bad in this run: from then on it is told.
    split_told: bool,
    /// Counts changes of gates.
    #[serde(skip)]
    changes: Revision,
    #[serde(skip)]
    said: Said,
}

/// What is known of a gate's measurement at the moment a verdict is asked for.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Look {
    /// Its sensors; one that is required and not fresh blinds the gate.
    pub sensors: Vec<Sensor>,
    /// What was asked of a metrics backend.
    pub queries: Vec<Query>,
    /// For a gate over alerts: those that fire, a line each.
    pub alerts: Vec<Text>,
}

impl Ledger {
    /// Follows the plan: another run forgets the gates of the one before; a weight that converged at
    /// another time starts anew what belongs to a weight. Gates that are no longer configured go.
    pub fn follow(&mut self, run: Option<&RunId>, converged: Option<Time>, gates: &[GateSpec]) {
        if self.run.as_ref() != run {
            self.run = run.cloned();
            self.gates.clear();
            self.split = Split::default();
            self.split_told = false;
        }
        let configured = |id: &GateId| gates.iter().any(|g| g.name == *id);
        self.gates.retain(|id, _| configured(id));
        self.errors.retain(|id, _| configured(id));
        self.burnt.retain(|id, _| configured(id));
        if let Some(since) = converged.filter(|_| run.is_some()) {
            for gate in gates {
                let state = self.gates.entry(gate.name.clone()).or_default();
                if !state.is_at(since) {
                    state.begin_step(since);
                    state.touch(self.changes.next());
                }
            }
        }
    }

    /// Says whether the version that is judged bakes: it has all the traffic and nothing beside it. The
    /// run is the same, but what was compared in it is settled: gates are judged by their limits and
    /// budgets, on what is counted from here on. Call it after [`Self::follow`].
    pub fn bakes(&mut self, bakes: bool) {
        self.alone = bakes;
        for (id, run) in &mut self.gates {
            match (bakes, run.is_alone()) {
                (true, false) => {
                    // It is stable now: what it burnt as a candidate is what stable burnt.
                    self.burnt.extend(run.burnt.take().map(|burnt| (id.clone(), burnt)));
                    run.stand_alone();
                }
                (false, true) => *run = GateRun::default(),
                _ => continue,
            }
            run.touch(self.changes.next());
        }
    }

    /// Says which version is stable: another one's errors say nothing of its bursts.
    pub fn stable_is(&mut self, version: &str) {
        if self.stable.as_deref() != Some(version) {
            self.stable = Some(version.to_owned());
            self.errors.clear();
            self.burnt.clear();
        }
    }

    /// Takes in an interval of a gate. Without a run it only adds to what is known of stable. A version
    /// that bakes is stable: how its errors come must be known when the next run begins.
    pub fn feed(&mut self, gate: &GateSpec, interval: &Interval) -> Fed {
        self.add(gate, interval, false)
    }

    /// The same for what was measured elsewhere and comes later than it was: what began before the weight
    /// converged counts for the run and not for this weight, and not at all for a version that stands
    /// alone since.
    pub fn feed_measured(&mut self, gate: &GateSpec, interval: &Interval) -> Fed {
        let run = self.gates.get(&gate.name);
        let late = run.and_then(GateRun::step_since).is_some_and(|since| interval.start < since);
        if late && self.alone { Fed::Shown } else { self.add(gate, interval, late) }
    }

    fn add(&mut self, gate: &GateSpec, interval: &Interval, late: bool) -> Fed {
        let errors = self.errors.entry(gate.name.clone()).or_default();
        let fed = match &self.run {
            Some(_) => {
                let run = self.gates.entry(gate.name.clone()).or_default();
                run.touch(self.changes.next());
                if late { run.feed_late(gate, interval, errors.phi()) } else { run.feed(gate, interval, errors.phi()) }
            }
            None => Fed::Shown,
        };
        let (stable, instances) =
            if self.alone { (interval.candidate, [].as_slice()) } else { (interval.stable, interval.instances.as_slice()) };
        if fed != Fed::Refused && stable.of > 0.0 {
            let secs = elapsed(interval.end, interval.start).as_secs_f64();
            if gate.slo.is_some() {
                self.burnt.entry(gate.name.clone()).or_default().add(errors.gap(interval.start), secs, stable);
            }
            errors.rest_until(interval.start);
            errors.add(secs, stable, instances);
            errors.fed_until(interval.end);
        }
        fed
    }

    /// Takes in requests of both versions since the last time, for the split; see [`Split::add`].
    pub fn routed(&mut self, weight: Option<(Weight, Time)>, candidate: f64, stable: f64, now: Time) {
        self.split.add(weight, candidate, stable, now);
        self.split_told |= self.split.seen().is_some_and(|seen| seen.bad);
    }

    /// What one gate has learned in this run.
    #[must_use]
    pub fn gate(&self, id: &GateId) -> Option<&GateRun> {
        self.gates.get(id)
    }

    /// Every gate's state, and the split's once it was bad, as of now. A gate says the same word since when
    /// it said it first.
    pub fn judge(&mut self, gates: &[GateSpec], look: impl Fn(&GateSpec) -> Look, now: Time) -> &[GateState] {
        self.say(gates, look, now, Words::All)
    }

    /// The same with as few words as will do for whoever draws none of it: what each gate decides is of now,
    /// and so are the words of those that fail and of the one that speaks for all. Numbers of the others
    /// are those of when they began to say what they say.
    pub fn decide(&mut self, gates: &[GateSpec], look: impl Fn(&GateSpec) -> Look, now: Time) -> &[GateState] {
        self.say(gates, look, now, Words::Fewest)
    }

    /// What was said last.
    #[must_use]
    pub fn said(&self) -> &[GateState] {
        self.said.states()
    }

    fn say(&mut self, gates: &[GateSpec], look: impl Fn(&GateSpec) -> Look, now: Time, words: Words) -> &[GateState] {
        let reverting = gates.iter().filter(|g| g.on_fail() == OnFail::Revert && g.signal != GateSignal::Alerts).count();
        // No run that was ever fed has this revision.
        let mut nothing = GateRun::default();
        nothing.touch(u64::MAX);
        self.said.arrange(gates);
        for (place, gate) in gates.iter().enumerate() {
            let look = look(gate);
            if gate.signal == GateSignal::Alerts {
                self.said.hear(place, gate, look, now);
                continue;
            }
            let (run, burnt) = (self.gates.get(&gate.name).unwrap_or(&nothing), self.burnt.get(&gate.name));
            self.said.look(place, Asked { gate, lines: lines(gate, reverting), look, run, burnt, now }, words);
        }
        if words == Words::Fewest {
            self.said.speak(|id| self.gates.get(id), now);
        }
        let told = self.split_told && !gates.iter().any(|g| g.name.as_str() == SPLIT);
        self.said.split(self.split.seen().filter(|_| told).as_ref(), now);
        self.said.states()
    }
}
