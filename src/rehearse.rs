//! The judge on what is past: a rollout is played again from counted samples, interval by interval, with
//! the gates that are configured now. Pure.
//!
//! | room | holds |
//! |---|---|
//! | [`plan`] | shares and how long each lasts |
//! | [`aa`] | stable beside itself, split by instance: how often a healthy release would be stopped |
//! | [`runs`] | past rollouts, found in which versions had traffic when |
//! | [`backtest`] | past rollouts whose end is known: what would have been caught, and when |
//! | [`figures`] | shares with their 95 % interval, medians |
//!
//! Nothing here moves by a verdict: every gate is followed to the end of the run, so that each is
//! measured whatever another one would have done before.

pub mod aa;
pub mod backtest;
pub mod figures;
pub mod plan;
pub mod runs;

use crate::{
    judge::{Ledger, Look},
    metrics::{
        feed::history::{History, intervals},
        preset::Queries,
    },
    model::{
        gate::{Arm, GateState, Verdict},
        ident::{GateId, RunId},
        interval::{Interval, Sensor, SensorState},
        signal::Sample,
        spec::{GateSpec, OnFail},
        time::{Time, after, elapsed},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What is judged, and how its series are read.
#[derive(Clone, Debug)]
pub struct Stage<'a> {
    /// How labels are read.
    pub queries: &'a Queries,
    /// The gates in force.
    pub gates: &'a [GateSpec],
    /// How long stable is watched before a run; where nothing is known of it, bursts are taken at their worst.
    pub look_back: Duration,
    /// Without samples for longer than this a gate is blind.
    pub stale_after: Duration,
}

/// A run that is played.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// When it begins.
    pub since: Time,
    /// When it is over.
    pub until: Time,
    /// Share by share, parts of one, and when each began; `None` for a share that nobody knows.
    pub course: &'a [(Time, Option<f64>)],
    /// What stable did before it.
    pub before: &'a History,
    /// What stable did in it.
    pub stable: &'a History,
    /// What the candidate did in it.
    pub candidate: &'a History,
}

/// What one gate said in a run.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Said {
    /// Every interval after which it said fail, and what that does.
    pub fails: Vec<(Time, OnFail)>,
    /// When it first held the plan because the candidate looked worse.
    pub worse: Option<Time>,
    /// How long each share took to pass; `None` for one that did not.
    pub passes: Vec<Option<Duration>>,
    /// The candidate's requests.
    pub samples: f64,
    /// By what evidence was divided at the end.
    pub phi: Option<f64>,
    /// When each other tool's rule would have gone back first.
    pub peers: BTreeMap<String, Time>,
    /// How many intervals were judged.
    pub intervals: usize,
    /// For how long it could not see anything.
    pub blind: Duration,
}

impl Said {
    /// The first time at or after `from` at which it said fail and did one of these.
    #[must_use]
    pub fn failed(&self, from: Time, does: &[OnFail]) -> Option<Time> {
        self.fails.iter().find(|(at, what)| *at >= from && does.contains(what)).map(|(at, _)| *at)
    }
}

impl Stage<'_> {
    /// Plays a run to its end.
    #[must_use]
    pub fn play(&self, run: &Run<'_>) -> BTreeMap<GateId, Said> {
        let mut ledger = Ledger::default();
        ledger.stable_is("stable");
        ledger.follow(None, None, self.gates);
        let early = run.since - chrono::Duration::from_std(self.look_back).unwrap_or_default();
        for (gate, interval) in intervals(self.queries, self.gates, &[], (early, run.since), (None, run.before)) {
            if let Some(gate) = self.gates.iter().find(|g| g.name == gate) {
                ledger.feed(gate, &interval);
            }
        }
        let both = (Some(run.candidate), run.stable);
        let mut ended: BTreeMap<Time, Vec<(GateId, Interval)>> = BTreeMap::new();
        for (gate, interval) in intervals(self.queries, self.gates, run.course, (run.since, run.until), both) {
            ended.entry(interval.end).or_default().push((gate, interval));
        }
        let mut said = self.follow(&mut ledger, run, ended);
        for gate in self.gates {
            if let Some(said) = said.get_mut(&gate.name) {
                said.blind = self.blind(gate, run);
            }
        }
        said
    }

    /// For how much of a run one of the series that a gate needs was not fresh.
    fn blind(&self, gate: &GateSpec, run: &Run<'_>) -> Duration {
        let (hits, of) = self.queries.needs(gate);
        // None of the same series with another label value is none that was counted.
        let needed = BTreeSet::from([if self.queries.may_be_zero(hits) { of } else { hits }, of]);
        let mut dark: Vec<(Time, Time)> = Vec::new();
        for (history, what) in [run.stable, run.candidate].into_iter().flat_map(|history| needed.iter().map(move |what| (history, *what))) {
            let mut last = run.since;
            for at in history.sampled(what, run.since, run.until).chain([run.until]) {
                let stale = after(last, self.stale_after);
                dark.extend((stale < at).then_some((stale, at)));
                last = at;
            }
        }
        dark.sort_unstable();
        let mut seen = run.since;
        let mut sum = Duration::ZERO;
        for (from, to) in dark {
            sum += elapsed(to, from.max(seen));
            seen = seen.max(to);
        }
        sum
    }

    /// Judges after every interval, as a host or a console does.
    fn follow(&self, ledger: &mut Ledger, run: &Run<'_>, ended: BTreeMap<Time, Vec<(GateId, Interval)>>) -> BTreeMap<GateId, Said> {
        let id = RunId::new("run");
        let mut said: BTreeMap<GateId, Said> = self.gates.iter().map(|g| (g.name.clone(), Said::default())).collect();
        let mut step: Option<Time> = None;
        for (end, intervals) in ended {
            // A share that began when this interval ended is the next one's.
            let now = run.course.iter().rev().map(|(from, _)| *from).find(|from| *from < end).unwrap_or(run.since);
            if step != Some(now) {
                step = Some(now);
                ledger.follow(Some(&id), step, self.gates);
                said.values_mut().for_each(|s| s.passes.push(None));
            }
            let measured: BTreeSet<GateId> = intervals.iter().map(|(gate, _)| gate.clone()).collect();
            for (gate, interval) in &intervals {
                if let Some(gate) = self.gates.iter().find(|g| g.name == *gate) {
                    ledger.feed(gate, interval);
                }
            }
            for state in ledger.judge(|_| fresh(), end).iter().filter(|s| measured.contains(&s.id)) {
                if let Some(said) = said.get_mut(&state.id) {
                    said.hear(state, end, now);
                }
            }
        }
        said
    }
}

impl Said {
    fn hear(&mut self, state: &GateState, now: Time, step: Time) {
        self.intervals += 1;
        match &state.verdict {
            Verdict::Fail { who, .. } => {
                // A sick stable is no reason to go back to it.
                let does = if *who == Arm::Candidate { state.on_fail } else { hold(state.on_fail) };
                self.fails.push((now, does));
            }
            Verdict::Pass { .. } => {
                if let Some(last) = self.passes.last_mut() {
                    last.get_or_insert(elapsed(now, step));
                }
            }
            Verdict::Wait { .. } | Verdict::Blind { .. } => {}
        }
        let Some(evidence) = &state.evidence else { return };
        if evidence.holds && state.on_fail != OnFail::Advise {
            self.worse.get_or_insert(now);
        }
        self.phi = Some(evidence.phi);
        self.samples = match evidence.run_candidate {
            Sample::Counts { of, .. } => of,
            _ => self.samples,
        };
        for peer in evidence.peers.iter().filter(|peer| peer.word.as_str() == crate::judge::peers::REVERTS) {
            self.peers.entry(peer.name.to_string()).or_insert(now);
        }
    }
}

const fn hold(does: OnFail) -> OnFail {
    match does {
        OnFail::Revert | OnFail::Hold => OnFail::Hold,
        OnFail::Advise => OnFail::Advise,
    }
}

/// What was stored was measured: whether it would have been fresh at the time is not played.
fn fresh() -> Look {
    let sensor = Sensor { name: "stored samples".into(), arm: Arm::Both, state: SensorState::Fresh, age: None, required: true };
    Look { sensors: vec![sensor], ..Look::default() }
}

/// What happens when a gate of several fails: those that act; where none acts, those that advise.
#[must_use]
pub fn acting(gates: &[GateSpec]) -> &'static [OnFail] {
    if gates.iter().all(|g| g.on_fail() == OnFail::Advise) { &[OnFail::Advise] } else { &[OnFail::Revert, OnFail::Hold] }
}

#[cfg(test)]
mod tests;
