//! What is known of one service: its gates in the current run, stable's errors of the last hour, and the
//! split. Kept by whoever feeds it, also over a restart: the odds of a run are never begun anew.
//!
//! A source hands over one [`Interval`] per gate and interval ([`Ledger::feed`]), also while no run is
//! judged, so that the dispersion of errors is known when one begins. Verdicts can be asked for at any
//! time and as often as wanted.

use super::{
    burn::Windows,
    dispersion::Dispersion,
    run::{Fed, GateRun},
    said::{Said, Words},
    split::Split,
};
use crate::model::{
    gate::GateState,
    ident::{GateId, RunId},
    interval::{Interval, Query, Sensor},
    ratio::Weight,
    spec::GateSpec,
    text::Text,
    time::{Time, elapsed},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The gate that is there without being configured: the router does what it is told.
pub const SPLIT: &str = "split";

/// See the [module](self).
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Ledger {
    /// The run that is judged.
    run: Option<RunId>,
    /// Those of the plan in its order, then what was fed without being in it.
    gates: Vec<Known>,
    /// Whether the version that is judged has all the traffic and nothing beside it.
    alone: bool,
    /// Which version's errors the dispersion is of.
    stable: Option<String>,
    split: Split,
    /// Whether the split was ever bad in this run: from then on it is told.
    split_told: bool,
    said: Said,
    /// Behind the gate that was fed last: gates are fed in their order.
    next: usize,
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

/// What is known of one gate.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Known {
    id: GateId,
    /// In this run.
    pub run: GateRun,
    /// How stable's errors come, also before the run.
    errors: Option<Dispersion>,
    /// What stable burnt of its error budget, likewise.
    pub burnt: Option<Windows>,
}

/// As it is kept on a disk.
#[derive(Serialize, Deserialize)]
struct Written {
    run: Option<RunId>,
    gates: BTreeMap<GateId, GateRun>,
    #[serde(default)]
    alone: bool,
    stable: Option<String>,
    errors: BTreeMap<GateId, Dispersion>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    burnt: BTreeMap<GateId, Windows>,
    split: Split,
    split_told: bool,
}

impl Ledger {
    /// Follows the plan: another run forgets the gates of the one before; a weight that converged at
    /// another time starts anew what belongs to a weight. Gates that are no longer configured go; verdicts
    /// are of these, in their order.
    pub fn follow(&mut self, run: Option<&RunId>, converged: Option<Time>, gates: &[GateSpec]) {
        let other = self.run.as_ref() != run;
        if other {
            self.run = run.cloned();
            self.split = Split::default();
            self.split_told = false;
        }
        self.said.plan(gates);
        let mut before = std::mem::take(&mut self.gates);
        for gate in gates {
            let place = before.iter().position(|known| known.id == gate.name);
            self.gates.push(place.map_or_else(|| Known::new(&gate.name), |place| before.swap_remove(place)));
        }
        let converged = converged.filter(|_| run.is_some());
        for (place, Known { run, .. }) in self.gates.iter_mut().enumerate() {
            if other {
                *run = GateRun::default();
                self.said.touch(place);
            }
            if let Some(since) = converged.filter(|since| !run.is_at(*since)) {
                run.begin_step(since);
                self.said.touch(place);
            }
        }
    }

    /// Says whether the version that is judged bakes: it has all the traffic and nothing beside it. The
    /// run is the same, but what was compared in it is settled: gates are judged by their limits and
    /// budgets, on what is counted from here on. Call it after [`Self::follow`].
    pub fn bakes(&mut self, bakes: bool) {
        self.alone = bakes;
        for (place, Known { run, burnt, .. }) in self.gates.iter_mut().enumerate() {
            match (bakes, run.is_alone()) {
                (true, false) => {
                    // It is stable now: what it burnt as a candidate is what stable burnt.
                    *burnt = run.burnt.take().or(burnt.take());
                    run.stand_alone();
                }
                (false, true) => *run = GateRun::default(),
                _ => continue,
            }
            self.said.touch(place);
        }
    }

    /// Says which version is stable: another one's errors say nothing of its bursts.
    pub fn stable_is(&mut self, version: &str) {
        if self.stable.as_deref() != Some(version) {
            self.stable = Some(version.to_owned());
            self.gates.iter_mut().for_each(|known| (known.errors, known.burnt) = (None, None));
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
        let since = self.gate(&gate.name).and_then(GateRun::step_since);
        let late = since.is_some_and(|since| interval.start < since);
        if late && self.alone { Fed::Shown } else { self.add(gate, interval, late) }
    }

    fn add(&mut self, gate: &GateSpec, interval: &Interval, late: bool) -> Fed {
        let place = self.place(&gate.name);
        let Some(Known { run, errors, burnt, .. }) = self.gates.get_mut(place) else { return Fed::Refused };
        let errors = errors.get_or_insert_default();
        let secs = elapsed(interval.end, interval.start).as_secs_f64();
        let fed = match &self.run {
            Some(_) if late => run.feed_late(gate, interval, secs, errors.phi()),
            Some(_) => run.feed(gate, interval, secs, errors.phi()),
            None => Fed::Shown,
        };
        self.said.touch(place);
        let (stable, instances) =
            if self.alone { (interval.candidate, [].as_slice()) } else { (interval.stable, interval.instances.as_slice()) };
        if fed != Fed::Refused && stable.of > 0.0 {
            let gap = errors.gap(interval.start);
            if gate.slo.is_some() {
                burnt.get_or_insert_default().add(gap, secs, stable);
            }
            errors.rest(gap);
            errors.add(secs, stable, instances);
            errors.fed_until(interval.end);
        }
        fed
    }

    /// Where a gate is kept: mostly behind the one that was fed before it.
    fn place(&mut self, id: &GateId) -> usize {
        let is = |place: &usize| self.gates.get(*place).is_some_and(|known| known.id == *id);
        let next = if self.next < self.gates.len() { self.next } else { 0 };
        let place = Some(next).filter(is).or_else(|| (0..self.gates.len()).find(is)).unwrap_or_else(|| {
            self.gates.push(Known::new(id));
            self.gates.len() - 1
        });
        self.next = place + 1;
        place
    }

    /// Takes in requests of both versions since the last time, for the split; see [`Split::add`].
    pub fn routed(&mut self, weight: Option<(Weight, Time)>, candidate: f64, stable: f64, now: Time) {
        self.split.add(weight, candidate, stable, now);
        self.split_told |= self.split.seen().is_some_and(|seen| seen.bad);
    }

    /// What one gate has learned in this run.
    #[must_use]
    pub fn gate(&self, id: &GateId) -> Option<&GateRun> {
        self.gates.iter().find(|known| known.id == *id).map(|known| &known.run)
    }

    /// Every gate's state, and the split's once it was bad, as of now. A gate says the same word since when
    /// it said it first.
    pub fn judge(&mut self, look: impl Fn(&GateSpec) -> Look, now: Time) -> &[GateState] {
        self.say(look, now, Words::All)
    }

    /// The same with as few words as will do for whoever draws none of it: what each gate decides is of now,
    /// and so are the words of those that fail and of the one that speaks for all. Numbers of the others
    /// are those of when they began to say what they say.
    pub fn decide(&mut self, look: impl Fn(&GateSpec) -> Look, now: Time) -> &[GateState] {
        self.say(look, now, Words::Fewest)
    }

    /// What was said last.
    #[must_use]
    pub fn said(&self) -> &[GateState] {
        self.said.states()
    }

    fn say(&mut self, look: impl Fn(&GateSpec) -> Look, now: Time, words: Words) -> &[GateState] {
        for (place, known) in self.gates.iter().enumerate() {
            self.said.look(place, known, &look, now, words);
        }
        if words == Words::Fewest {
            self.said.speak(&self.gates, now);
        }
        let told = self.split_told && !self.said.states().iter().take(self.said.planned()).any(|g| g.id.as_str() == SPLIT);
        self.said.split(self.split.seen().filter(|_| told).as_ref(), now);
        self.said.states()
    }
}

impl Known {
    fn new(id: &GateId) -> Self {
        Self { id: id.clone(), run: GateRun::default(), errors: None, burnt: None }
    }
}

impl From<Ledger> for Written {
    fn from(ledger: Ledger) -> Self {
        let Ledger { run, alone, stable, split, split_told, .. } = ledger;
        let (mut gates, mut errors, mut burnt) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for known in ledger.gates {
            gates.extend((known.run != GateRun::default()).then(|| (known.id.clone(), known.run)));
            errors.extend(known.errors.map(|errors| (known.id.clone(), errors)));
            burnt.extend(known.burnt.map(|burnt| (known.id, burnt)));
        }
        Self { run, gates, alone, stable, errors, burnt, split, split_told }
    }
}

impl From<Written> for Ledger {
    fn from(written: Written) -> Self {
        let Written { run, gates, alone, stable, errors, burnt, split, split_told } = written;
        let mut known: BTreeMap<GateId, Known> = BTreeMap::new();
        for (id, run) in gates {
            known.entry(id).or_insert_with_key(Known::new).run = run;
        }
        for (id, errors) in errors {
            known.entry(id).or_insert_with_key(Known::new).errors = Some(errors);
        }
        for (id, burnt) in burnt {
            known.entry(id).or_insert_with_key(Known::new).burnt = Some(burnt);
        }
        Self { run, gates: known.into_values().collect(), alone, stable, split, split_told, ..Self::default() }
    }
}
