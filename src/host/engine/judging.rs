//! The judge and what it is fed: counters become intervals, intervals become odds, odds become verdicts.
//!
//! What the judge knows of a run is kept on disk with everything else, so that a host that was started
//! again goes on where it was: the odds of a run are never begun anew. It is written with every
//! transition, and every ten seconds of a run besides.

use super::{Engine, service::Service};
use crate::{
    conductor::{
        Judged,
        life::{Life, Run, RunState},
    },
    host::{
        instances::PoolStatus,
        measure,
        served::Amount,
        state::{HostState, ServiceState},
        tally::Side,
    },
    judge::Look,
    model::{
        gate::Arm,
        ident::RunId,
        interval::{Sensor, SensorState},
        ratio::Weight,
        spec::{GateSignal, GateSpec},
        time::Time,
    },
};
use std::time::Duration;

/// How much of a run's evidence a crash may cost.
const SAVED_EVERY: Duration = Duration::from_secs(10);

impl Engine {
    /// Feeds every service's judge with what is due, and asks for verdicts where something is new or
    /// `everything` is told.
    pub(super) fn judge_all(&mut self, pools: &[PoolStatus], now: Time, everything: bool) {
        let uptime = self.clock.uptime();
        for (name, service) in &mut self.services {
            let Some(state) = self.state.services.get(name) else { continue };
            if let Some(slow) = state.slow_from {
                for deployed in state.life.stable.iter().chain(state.life.run.as_ref().map(|r| &r.candidate)) {
                    service.proxy.meter(&deployed.pool()).freeze_threshold(slow);
                }
            }
            service.judge(state, pools, (now, uptime), everything);
        }
    }

    /// Counts what each version served, once a minute, into a state that is about to be written.
    pub(super) fn tell_served(&mut self, next: &mut HostState, now: Time, uptime: Duration) {
        for (name, service) in &mut self.services {
            let Some(life) = next.services.get_mut(name).map(|s| &mut s.life) else { continue };
            let stable = life.stable.as_ref().filter(|_| life.has_all_traffic()).map(|s| (s.id.clone(), s.pool()));
            let Some((version, pool)) = stable else {
                service.served.follow(None, false, uptime);
                continue;
            };
            let meter = service.proxy.meter(&pool);
            let due = service.served.due(&pool, &meter, uptime);
            if let Some(Amount { requests, errors, elapsed }) = due {
                life.served(&version, requests, errors, elapsed, now);
            }
            service.served.follow(Some((&pool, &meter)), due.is_some(), uptime);
        }
    }
}

/// The run whose version is judged: compared with stable, and by its limits alone while it bakes.
fn run_of<'a>(life: &'a Life, judged: Option<&Judged<'_>>) -> Option<&'a Run> {
    life.run.as_ref().filter(|_| judged.is_some())
}

impl Service {
    fn judge(&mut self, state: &ServiceState, pools: &[PoolStatus], at: (Time, Duration), everything: bool) {
        let judged = state.life.judged();
        let run = run_of(&state.life, judged.as_ref());
        let compared = run.filter(|_| judged.as_ref().is_some_and(|j| !j.baking));
        // Stable is measured between runs too: how its errors come must be known when one begins.
        let gates = judged.as_ref().map(|j| &j.who.spec.gates).or(state.life.stable.as_ref().map(|d| &d.spec.gates));
        let gates: &[GateSpec] = gates.map(Vec::as_slice).unwrap_or_default();
        let beside = match &judged {
            Some(judged) => judged.against,
            None => state.life.stable.as_ref(),
        };
        let meters = [judged.as_ref().map(|j| j.who.pool()), beside.map(crate::conductor::life::Deployed::pool)]
            .map(|pool| pool.map(|pool| (self.proxy.meter(&pool), pool)));
        let sides = meters.each_ref().map(|side| {
            side.as_ref().map(|(meter, pool)| Side { pool: pool.clone(), meter, status: pools.iter().find(|p| p.id == *pool) })
        });
        let [candidate, stable] = sides.each_ref().map(Option::as_ref);
        let (now, uptime) = at;

        let follows = (run.map(|r| r.id.clone()), judged.as_ref().and_then(|j| j.since));
        let cut = self.followed != follows;
        let programmed = compared.map(|_| self.proxy.programmed().1);
        let mut fed = cut;
        self.tally.look([candidate, stable], uptime);
        for gate in gates {
            if !cut && !self.tally.is_due(gate, uptime) {
                continue;
            }
            let interval = self.tally.close(gate, [candidate, stable], state.slow_from, programmed, at);
            if let Some(interval) = interval {
                fed = true;
                self.ledger.feed(gate, &interval);
            }
        }
        if let Some(stable) = stable {
            self.ledger.stable_is(&stable.pool.to_string());
        }
        if cut {
            self.tally.retain(gates);
            self.ledger.follow(follows.0.as_ref(), follows.1, gates);
            self.followed = follows;
        }
        if everything && let (Some(run), Some(candidate), Some(stable)) = (compared, candidate, stable) {
            // Without a ready instance its share goes to stable, which the instances tell.
            let routed = candidate.status.is_some_and(|s| !s.ready.is_empty()) && programmed == Some(run.weight);
            let weight = run.converged.filter(|_| routed && run.weight > Weight::ZERO).map(|since| (run.weight, since));
            if let Some((own, other)) = self.tally.dealt(candidate, stable) {
                self.ledger.routed(weight, own, other, now);
            }
        }
        if let Some((candidate, _)) = meters.first().and_then(Option::as_ref) {
            self.tally.follow_bad(run.and_then(|r| r.bad_since), candidate);
        }
        match run {
            None => self.gates.clear(),
            Some(_) if fed || everything => {
                let look = |gate: &GateSpec| Look { sensors: sensors(gate, state.slow_from), queries: Vec::new() };
                self.gates = self.ledger.judge(gates, look, &self.gates, now);
            }
            Some(_) => {}
        }
    }

    /// Puts what the judge knows beside what is written: with everything that moved, and now and then.
    pub(super) fn remember(&self, state: &mut ServiceState, moved: bool, uptime: Duration) {
        let judged = state.life.judged();
        let due = judged.is_some() && uptime.saturating_sub(self.ledger_saved) >= SAVED_EVERY;
        if !moved && !due {
            return;
        }
        state.ledger = self.ledger.clone();
        let bad = run_of(&state.life, judged.as_ref()).is_some_and(|r| r.bad_since.is_some());
        if let Some(judged) = judged.filter(|_| bad) {
            state.failed_since_bad = self.tally.failed_since_bad(&self.proxy.meter(&judged.who.pool()));
        }
    }
}

/// What a run's judge follows: the run, and since when its weight is what it is.
pub(super) type Followed = (Option<RunId>, Option<Time>);

/// The host's own counters are always there and never old; what is slow has to be known first.
fn sensors(gate: &GateSpec, slow_from: Option<Duration>) -> Vec<Sensor> {
    let sensor = |name: &str, arm, state| Sensor { name: name.into(), arm, state, age: None, required: true };
    let what = if gate.signal == GateSignal::Restarts { "instances" } else { "requests" };
    let counted = [("canary", Arm::Candidate), ("stable", Arm::Stable)]
        .map(|(who, arm)| sensor(&format!("{what} of {who}"), arm, SensorState::Fresh));
    let threshold = (gate.signal == GateSignal::Slow)
        .then(|| sensor("stable's p99", Arm::Stable, if slow_from.is_some() { SensorState::Fresh } else { SensorState::Absent }));
    counted.into_iter().chain(threshold).collect()
}

/// Freezes what is slow: stable's p99 when the run started, or as soon as it has enough requests. Of a
/// service that never has enough in a minute, the bucket that its p99 lies in since its start.
pub(super) fn freeze_threshold(service: &Service, state: &mut ServiceState) {
    let in_progress = state.life.run.as_ref().is_some_and(|r| matches!(r.state, RunState::Starting | RunState::Stepping));
    if !in_progress || state.slow_from.is_some() {
        return;
    }
    let Some(stable) = &state.life.stable else { return };
    let meter = service.proxy.meter(&stable.pool());
    let window = meter.window();
    let recent = window.p99.filter(|_| window.n >= measure::ENOUGH_FOR_P99).map(|p99| Duration::from_secs_f64(p99 / 1_000.0));
    let ever = || {
        let all = meter.latencies();
        all.bound_of(0.99).filter(|_| all.count() >= measure::ENOUGH_FOR_P99)
    };
    // What is remembered is whole milliseconds, and must be the same before and after a restart.
    let whole = |exact: Duration| Duration::from_millis(u64::try_from(exact.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX));
    state.slow_from = recent.or_else(ever).map(whole);
}
