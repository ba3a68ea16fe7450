//! What is known of one service: its gates in the current run, stable's errors of the last hour, and the
//! split. Kept by whoever feeds it, also over a restart: the odds of a run are never begun anew.
//!
//! A source hands over one [`Interval`] per gate and interval ([`Ledger::feed`]), also while no run is
//! judged, so that the dispersion of errors is known when one begins. Verdicts can be asked for at any
//! time and as often as wanted.

use super::{
    decide::lines,
    dispersion::Dispersion,
    run::{Fed, GateRun},
    say::rule_text,
    split::{Seen, Split},
    words,
};
use crate::model::{
    gate::{Arm, Evidence, GateState, Verdict},
    ident::{GateId, RunId},
    interval::{Interval, Query, Sensor, SensorState},
    ratio::Weight,
    signal::{Sample, SignalId},
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
    split: Split,
    /// Whether the split was ever bad in this run: from then on it is told.
    split_told: bool,
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
        if let Some(since) = converged.filter(|_| run.is_some()) {
            for gate in gates {
                let state = self.gates.entry(gate.name.clone()).or_default();
                if !state.is_at(since) {
                    state.begin_step(since);
                }
            }
        }
    }

    /// Says whether the version that is judged bakes: it has all the traffic and nothing beside it. The
    /// run is the same, but what was compared in it is settled: gates are judged by their limits and
    /// budgets, on what is counted from here on. Call it after [`Self::follow`].
    pub fn bakes(&mut self, bakes: bool) {
        self.alone = bakes;
        for run in self.gates.values_mut() {
            match (bakes, run.is_alone()) {
                (true, false) => run.stand_alone(),
                (false, true) => *run = GateRun::default(),
                _ => {}
            }
        }
    }

    /// Says which version is stable: another one's errors say nothing of its bursts.
    pub fn stable_is(&mut self, version: &str) {
        if self.stable.as_deref() != Some(version) {
            self.stable = Some(version.to_owned());
            self.errors.clear();
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
                if late { run.feed_late(gate, interval, errors.phi()) } else { run.feed(gate, interval, errors.phi()) }
            }
            None => Fed::Shown,
        };
        let (stable, instances) =
            if self.alone { (interval.candidate, [].as_slice()) } else { (interval.stable, interval.instances.as_slice()) };
        if fed != Fed::Refused && stable.of > 0.0 {
            errors.rest_until(interval.start);
            errors.add(elapsed(interval.end, interval.start).as_secs_f64(), stable, instances);
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

    /// Every gate's state, and the split's once it was bad. A gate says the same word since when it said
    /// it first; `before` is what was said last.
    #[must_use]
    pub fn judge(&self, gates: &[GateSpec], look: impl Fn(&GateSpec) -> Look, before: &[GateState], now: Time) -> Vec<GateState> {
        let reverting = gates.iter().filter(|g| g.on_fail() == OnFail::Revert && g.signal != GateSignal::Alerts).count();
        let known = |id: &GateId| before.iter().find(|b| b.id == *id);
        // They were told in the same order the last time, unless the gates are others.
        let same = |i: usize, id: &GateId| before.get(i).filter(|b| b.id == *id).or_else(|| known(id));
        let state = |(i, gate): (usize, &GateSpec)| self.state(gate, reverting, look(gate), same(i, &gate.name), now);
        let mut states: Vec<GateState> = gates.iter().enumerate().map(state).collect();
        let split = GateId::new(SPLIT);
        if self.split_told
            && !gates.iter().any(|g| g.name == split)
            && let Some(seen) = self.split.seen()
        {
            states.push(split_state(&seen, known(&split), now));
        }
        states
    }

    fn state(&self, gate: &GateSpec, reverting: usize, look: Look, before: Option<&GateState>, now: Time) -> GateState {
        if gate.signal == GateSignal::Alerts {
            return alerts_state(gate, look, before, now);
        }
        let nothing = GateRun::default();
        let run = self.gates.get(&gate.name).unwrap_or(&nothing);
        let lines = lines(gate, reverting);
        let (verdict, evidence) = run.told(gate, &lines, &look.sensors, now);
        let evidence = Evidence { sensors: look.sensors, queries: look.queries, ..evidence };
        GateState {
            id: gate.name.clone(),
            signal: gate.signal.measured(),
            rule: rule_text(gate),
            on_fail: gate.on_fail(),
            since: since(before, &verdict, now),
            verdict,
            evidence: Some(evidence),
        }
    }
}

fn since(before: Option<&GateState>, verdict: &Verdict, now: Time) -> Time {
    before.filter(|b| b.verdict.word() == verdict.word()).map_or(now, |b| b.since)
}

/// No statistics: somebody else has decided that what fires is bad.
fn alerts_state(gate: &GateSpec, look: Look, before: Option<&GateState>, now: Time) -> GateState {
    let lacks = look.sensors.iter().find(|s| s.required && s.state != SensorState::Fresh);
    let verdict = match (look.sensors.is_empty(), lacks, look.alerts.as_slice()) {
        (true, ..) => Verdict::Blind { why: "nobody tells which alerts fire".into() },
        (_, Some(sensor), _) => Verdict::Blind { why: format!("{} {}", sensor.name, sensor.state.word()).into() },
        (_, None, []) => Verdict::Pass { why: "no alert fires that began after the run did".into() },
        (_, None, [only]) => Verdict::Fail { who: Arm::Candidate, why: only.clone() },
        (_, None, [first, more @ ..]) => Verdict::Fail { who: Arm::Candidate, why: format!("{first} +{} more", more.len()).into() },
    };
    GateState {
        id: gate.name.clone(),
        signal: gate.signal.measured(),
        rule: rule_text(gate),
        on_fail: gate.on_fail(),
        since: since(before, &verdict, now),
        verdict,
        evidence: Some(Evidence { since: now, run_since: now, sensors: look.sensors, queries: look.queries, ..Evidence::default() }),
    }
}

/// A bad split stops what gives the candidate more, and never goes back by itself: it may be the router's fault.
fn split_state(seen: &Seen, before: Option<&GateState>, now: Time) -> GateState {
    let share = seen.requests.ratio().unwrap_or_default() * 100.0;
    let (share, declared) = words::beside(share, seen.declared.percent());
    let n = words::sum(seen.requests.of);
    let verdict = if seen.bad {
        let why = format!("{share} % of requests, {declared} declared (n {n}), {}", words::odds(seen.ln_odds));
        Verdict::Fail { who: Arm::Candidate, why: why.into() }
    } else if seen.off {
        Verdict::Wait { missing: format!("{share} % of requests, {declared} declared").into(), eta: None }
    } else if seen.missing > 0.0 {
        Verdict::Wait { missing: format!("{} more requests to know the share", words::sum(seen.missing)).into(), eta: None }
    } else {
        Verdict::Pass { why: format!("{share} % of requests (n {n})").into() }
    };
    let counts = |hits: f64| Sample::Counts { hits, of: seen.requests.of };
    GateState {
        id: GateId::new(SPLIT),
        signal: SignalId::Requests,
        rule: "the share that is declared, give or take 1 pp or a tenth".into(),
        on_fail: OnFail::Hold,
        since: since(before, &verdict, now),
        verdict,
        evidence: Some(Evidence {
            candidate: counts(seen.requests.hits),
            stable: counts(seen.requests.of - seen.requests.hits),
            since: seen.since,
            run_since: seen.since,
            odds: seen.ln_odds.exp().min(Evidence::MOST),
            ..Evidence::default()
        }),
    }
}
