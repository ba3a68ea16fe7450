//! The judge and what it is fed: counters become intervals, intervals become odds, odds become verdicts.
//!
//! What the judge knows of a run is kept on disk with everything else, so that a host that was started
//! again goes on where it was: the odds of a run are never begun anew. It is written with every
//! transition, and every ten seconds of a run besides.

use super::{Engine, measured::Subject, service::Service, turning::is_reverting};
use crate::{
    conductor::{
        Judged,
        life::{Life, Run, RunState},
    },
    host::{
        instances::PoolStatus,
        measure,
        measured::Measured,
        served::{Amount, Bake},
        state::{HostState, ServiceState},
        tally::{Side, Tally},
    },
    judge::Look,
    model::{
        code::Code,
        decided::{self, Decided, Decision},
        gate::{Arm, GateState},
        ident::RunId,
        instance::InstanceState,
        interval::{Sensor, SensorState},
        ratio::Weight,
        signal::SignalId,
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
            // Both versions are counted by one definition of an error: that of the gates that are judged.
            let errors = state.life.judged().map(|j| j.who).or(state.life.stable.as_ref()).map(|d| shown_errors(&d.spec.gates));
            for deployed in state.life.stable.iter().chain(state.life.run.as_ref().map(|r| &r.candidate)) {
                let meter = service.proxy.meter(&deployed.pool());
                if let Some(slow) = state.slow_from {
                    meter.freeze_threshold(slow);
                }
                if let Some(codes) = &errors {
                    meter.count_as_errors(codes);
                }
            }
            service.be_measured(name, self.backend.as_ref(), &self.clock);
            service.judge(state, pools, (now, uptime), everything);
        }
    }

    /// Counts what each version served, once a minute and at the end of its bake, into a state that is about to be written.
    pub(super) fn tell_served(&mut self, next: &mut HostState, pools: &[PoolStatus], now: Time, uptime: Duration) {
        for (name, service) in &mut self.services {
            let Some(life) = next.services.get_mut(name).map(|s| &mut s.life) else { continue };
            let stable = life.stable.as_ref().filter(|_| life.has_all_traffic()).map(|s| (s.id.clone(), s.pool()));
            let Some((version, pool)) = stable else {
                service.served.follow(None, false, uptime);
                continue;
            };
            let meter = service.proxy.meter(&pool);
            let serves = pools.iter().any(|p| p.id == pool && !p.ready.is_empty());
            let bake = if life.fails() {
                Bake::Anew
            } else if serves && life.bakes_unseen(&service.gates).is_none() {
                Bake::Counts
            } else {
                Bake::Waits
            };
            service.served.look(bake, uptime);
            let due = service.served.due(&pool, &meter, life.bake_left(), uptime);
            if let Some(Amount { requests, errors, elapsed, clean }) = due {
                life.served(&version, (requests, errors), elapsed, clean, now);
            }
            service.served.follow(Some((&pool, &meter)), due.is_some(), uptime);
        }
    }
}

/// What counts as an error on the screen and in what waiting costs: what the first gate over errors says.
fn shown_errors(gates: &[GateSpec]) -> Vec<Code> {
    gates.iter().find(|g| g.signal == GateSignal::Errors).map_or_else(Code::usual, |g| g.errors.clone())
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
        let baking = judged.as_ref().is_some_and(|j| j.baking);
        // A backend's intervals come later; these counters are not asked then.
        let counted = if self.measured.is_none() { gates } else { &[] };
        for gate in counted {
            if !cut && !self.tally.is_due(gate, uptime) {
                continue;
            }
            if let Some(closed) = self.tally.close(gate, [candidate, stable], state.slow_from, programmed, at) {
                fed = true;
                self.ledger.feed(gate, &closed.judged);
                // Of a version that stands alone all that is fed is how stable's errors come: once for each time.
                if let Some(shown) = closed.shown.filter(|_| !baking) {
                    self.ledger.feed(gate, &shown);
                }
            }
        }
        // A version that bakes is stable: what is known of its errors stays when the next run begins.
        if let Some(stable) = if baking { candidate } else { stable } {
            self.ledger.stable_is(&stable.pool.to_string());
        }
        if cut {
            self.tally.retain(gates);
            self.ledger.follow(follows.0.as_ref(), follows.1, gates);
            self.ledger.bakes(baking);
            self.followed = follows;
        }
        let instances = candidate.and_then(|side| side.status).map(|status| status.instances.as_slice()).unwrap_or_default();
        let ready_at = instances.iter().filter(|i| i.state == InstanceState::Ready).map(|i| i.since).collect();
        let about = Subject { judged: judged.as_ref(), beside, gates, programmed, ready_at };
        let fed = self.take_measured(state, &about, now) || fed;
        if everything && let (Some(run), Some(candidate), Some(stable)) = (compared, candidate, stable) {
            // Without a ready instance its share goes to stable, which the instances tell.
            let routed = candidate.status.is_some_and(|s| !s.ready.is_empty()) && programmed == Some(run.weight);
            // Clients that stick send requests that depend on each other: their share proves nothing.
            let sticks = run.candidate.spec.routing.sticky.is_some();
            let weight = run.converged.filter(|_| routed && !sticks && run.weight > Weight::ZERO).map(|since| (run.weight, since));
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
                let eyes = Eyes { measured: self.measured.as_ref(), tally: &self.tally, sides: [candidate, stable], state, at };
                let look = |gate: &GateSpec| eyes.look(gate);
                let said = if everything { self.ledger.judge(look, now) } else { self.ledger.decide(look, now) };
                self.gates = said.to_vec();
                say_what_is_slow(&mut self.gates, state.slow_from);
            }
            Some(_) => {}
        }
        // No gate that is configured looks at memory.
        self.gates.retain(|g| g.signal != SignalId::Memory);
        self.gates.extend(self.vitals.gate(&state.life, now));
        self.judged_alone = judged.as_ref().map(|j| j.baking);
    }

    /// The gates as they were judged last, if they are about what is judged in this life: in the moment in which a
    /// run is decided they are still about what was.
    pub(super) fn gates_of(&self, life: &Life) -> &[GateState] {
        let judges = life.judged().map(|j| j.baking);
        if judges.is_some() && judges == self.judged_alone { &self.gates } else { &[] }
    }

    /// All that is known of the run now, in words and numbers of now: what is to be kept of a decision.
    fn known(&self, state: &ServiceState, pools: &[PoolStatus], at: (Time, Duration)) -> Vec<GateState> {
        let Some(judged) = state.life.judged() else { return Vec::new() };
        let meters = [Some(judged.who), judged.against].map(|d| d.map(|d| (self.proxy.meter(&d.pool()), d.pool())));
        let sides = meters.each_ref().map(|side| {
            side.as_ref().map(|(meter, pool)| Side { pool: pool.clone(), meter, status: pools.iter().find(|p| p.id == *pool) })
        });
        let sides = sides.each_ref().map(Option::as_ref);
        let eyes = Eyes { measured: self.measured.as_ref(), tally: &self.tally, sides, state, at };
        let mut gates = self.ledger.clone().judge(|gate| eyes.look(gate), at.0).to_vec();
        say_what_is_slow(&mut gates, state.slow_from);
        // It is the judge of this moment only: since when they say it is known already.
        for gate in &mut gates {
            let said = self.gates.iter().find(|g| g.id == gate.id && g.verdict.word() == gate.verdict.word());
            gate.since = said.map_or(gate.since, |said| said.since);
        }
        gates.extend(self.vitals.gate(&state.life, at.0));
        gates
    }

    /// Keeps what was known if the traffic of the run was decided just now: it goes back, or its plan is done
    /// and it is promoted.
    pub(super) fn keep_decision(&self, before: &ServiceState, after: &mut ServiceState, pools: &[PoolStatus], at: (Time, Duration)) {
        let Some(what) = decision(&before.life, after) else { return };
        let (Some(run), Some(judged)) = (&before.life.run, before.life.judged()) else { return };
        let gates = self.known(before, pools, at);
        if run.traffic.is_none() || gates.is_empty() {
            return;
        }
        let (version, beside) = (judged.who.label.clone(), judged.against.map(|d| d.label.clone()));
        let new = Decided { run: run.id.clone(), at: at.0, what, version, beside, gates, dropped: 0 };
        decided::add(&mut after.decided, new);
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

/// What was decided of a run between two states of a service, if anything was.
fn decision(before: &Life, after: &ServiceState) -> Option<Decision> {
    let run = after.life.run.as_ref().filter(|run| before.run.as_ref().is_some_and(|b| b.id == run.id))?;
    if is_reverting(&after.life) {
        return (!is_reverting(before)).then_some(Decision::WentBack);
    }
    let promoted = |run: &Run| matches!(run.state, RunState::Completed { .. }) || run.state == RunState::Stepping && run.all_done();
    (promoted(run) && !before.run.as_ref().is_some_and(promoted)).then_some(Decision::Promoted)
}

/// Where a gate looks for what its numbers are worth.
struct Eyes<'a> {
    measured: Option<&'a Measured>,
    tally: &'a Tally,
    /// The version that is judged, and what it is compared with.
    sides: [Option<&'a Side<'a>>; 2],
    state: &'a ServiceState,
    at: (Time, Duration),
}

impl Eyes<'_> {
    fn look(&self, gate: &GateSpec) -> Look {
        let (now, uptime) = self.at;
        if let Some(measured) = self.measured {
            return measured.look(gate, now);
        }
        let age = self.tally.age(gate, uptime);
        let alone = self.state.life.judged().is_some_and(|j| j.baking);
        Look { sensors: sensors(gate, self.sides, alone, self.state.slow_from, age), queries: Vec::new(), alerts: Vec::new() }
    }
}

/// What is slow is frozen when a run begins.
fn say_what_is_slow(gates: &mut [GateState], slow_from: Option<Duration>) {
    let slow = slow_from.map(|from| from.as_secs_f64() * 1_000.0);
    for evidence in gates.iter_mut().filter(|g| g.signal == SignalId::Slow).filter_map(|g| g.evidence.as_mut()) {
        evidence.slow_over = slow;
    }
}

/// What a run's judge follows: the run, and since when its weight is what it is.
pub(super) type Followed = (Option<RunId>, Option<Time>);

/// What the host's own counters are worth now; `age` is that of the last whole interval.
///
/// Nothing here is contradictory: the proxy sees every answer itself, and where it answers in place of an
/// instance that is what the client got. A second opinion that calls a candidate which answers nothing
/// "not measured" would turn its failure into blindness.
fn sensors(gate: &GateSpec, sides: [Option<&Side<'_>>; 2], alone: bool, slow_from: Option<Duration>, age: Option<Duration>) -> Vec<Sensor> {
    // A version that has all the traffic is judged in the candidate's place, and is none.
    let judged = if alone { "stable" } else { "canary" };
    let instances = gate.signal == GateSignal::Restarts;
    let what = if instances { "instances" } else { "requests" };
    let counted = [(judged, Arm::Candidate), ("stable", Arm::Stable)].into_iter().zip(sides).filter_map(|((who, arm), side)| {
        let side = side?;
        let window = side.meter.window();
        let state = match side.status {
            None if instances => SensorState::Absent,
            _ if !instances && window.secs > 0.0 && window.requests == 0 => SensorState::ZeroTraffic,
            _ => SensorState::Fresh,
        };
        // A quiet service is no blind one: the judge itself notes when a share of requests should have come.
        let required = state != SensorState::ZeroTraffic;
        Some(Sensor { name: format!("{what} of {who}").into(), arm, state, age, required })
    });
    let lacks = |name: &str, arm| Sensor { name: name.into(), arm, state: SensorState::Absent, age: None, required: true };
    let is = |known: bool| if known { SensorState::Fresh } else { SensorState::Absent };
    let threshold =
        (gate.signal == GateSignal::Slow).then(|| Sensor { state: is(slow_from.is_some()), ..lacks("stable's p99", Arm::Stable) });
    // Refused in a configuration; a version may have been deployed with it.
    let grpc = gate.signal == GateSignal::Errors && gate.errors.iter().any(|code| matches!(code, Code::Grpc(_)));
    counted.chain(threshold).chain(grpc.then(|| lacks("gRPC codes at the host's proxy", Arm::Both))).collect()
}

/// Freezes what is slow: stable's p99 when the run started, or as soon as it has enough requests. Of a
/// service that never has enough in a minute, the bucket that its p99 lies in since its start.
pub(super) fn freeze_threshold(service: &Service, state: &mut ServiceState) {
    let in_progress = state.life.run.as_ref().is_some_and(|r| matches!(r.state, RunState::Starting | RunState::Stepping));
    if !in_progress || state.slow_from.is_some() {
        return;
    }
    if service.measured.is_some() {
        // Edges of other buckets than the proxy's.
        state.slow_from = state.life.run.as_ref().and_then(|run| service.slow_measured(&run.id));
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

#[cfg(test)]
mod tests;
