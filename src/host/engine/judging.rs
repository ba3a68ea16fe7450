//! Whose gates are judged, on what was counted, and what a version served while it had all the traffic.

use super::{Engine, service::Service};
use crate::{
    conductor::life::{Life, PoolId, RunState},
    host::{
        measure,
        meter::Meter,
        recent::Amount,
        state::{HostState, ServiceState},
    },
    judge::{self, Arms, Counts, FirstGate},
    model::{
        gate::{GateState, Verdict},
        spec::GateSpec,
        time::Time,
    },
};
use std::time::Duration;

impl Engine {
    pub(super) fn judge_all(&mut self, now: Time, uptime: Duration) {
        for (name, service) in &mut self.services {
            let Some(state) = self.state.services.get(name) else { continue };
            if let Some(slow) = state.slow_from {
                for deployed in state.life.stable.iter().chain(state.life.run.as_ref().map(|r| &r.candidate)) {
                    service.proxy.meter(&deployed.pool()).freeze_threshold(slow);
                }
            }
            service.gates = judge(service, &state.life, state.slow_from, now, uptime);
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

/// Freezes what is slow: stable's p99 when the run started, or as soon as it has enough requests.
pub(super) fn freeze_threshold(service: &Service, state: &mut ServiceState) {
    let in_progress = state.life.run.as_ref().is_some_and(|r| matches!(r.state, RunState::Starting | RunState::Stepping));
    if in_progress
        && state.slow_from.is_none()
        && let Some(stable) = &state.life.stable
    {
        let window = service.proxy.meter(&stable.pool()).window();
        if window.n >= measure::ENOUGH_FOR_P99
            && let Some(p99) = window.p99
        {
            // What is remembered is whole milliseconds, and must be the same before and after a restart.
            let exact = Duration::from_secs_f64(p99 / 1_000.0);
            let whole = exact.as_micros().div_ceil(1_000);
            state.slow_from = Some(Duration::from_millis(u64::try_from(whole).unwrap_or(u64::MAX)));
        }
    }
}

fn judge(service: &mut Service, life: &Life, slow_from: Option<Duration>, now: Time, uptime: Duration) -> Vec<GateState> {
    let judged = life.judged();
    let run = life.run.as_ref().filter(|_| judged.is_some_and(|j| !j.baking));
    let Some(judged) = judged else {
        service.baseline.follow(None, None, &[]);
        service.recent.clear();
        return Vec::new();
    };
    let pool = judged.who.pool();
    let meter = service.proxy.meter(&pool);
    let against = judged.against.map(|d| (d.pool(), service.proxy.meter(&d.pool())));
    let mut meters: Vec<(PoolId, &Meter)> = vec![(pool.clone(), &meter)];
    meters.extend(against.iter().map(|(pool, meter)| (pool.clone(), meter.as_ref())));
    service.baseline.follow(run, slow_from, &meters);
    match judged.since.filter(|_| judged.baking) {
        Some(since) => service.recent.follow((pool.clone(), since, slow_from), &meter, now, uptime),
        None => service.recent.clear(),
    }
    let before = &service.gates;
    let gates = &judged.who.spec.gates;
    let Some(since) = judged.since else {
        // Nothing was counted at this weight yet: that is no blindness.
        return gates.iter().map(|gate| before.iter().find(|b| b.id == gate.name).cloned().unwrap_or_else(|| not_yet(gate, now))).collect();
    };
    let (own, counted_since) = if judged.baking {
        (service.recent.counts(&meter), service.recent.since())
    } else {
        (service.baseline.counts(&pool, &meter), service.baseline.since())
    };
    let arms = Arms {
        candidate: own,
        // With nothing beside it only limits count.
        stable: match &against {
            Some((pool, meter)) => service.baseline.counts(pool, meter),
            None => Some(Counts::default()),
        },
        threshold_known: slow_from.is_some(),
        since: counted_since.unwrap_or(since),
        fresh: true,
        rate: measure::rate(&meter.window()),
    };
    gates.iter().map(|gate| judge::state(&FirstGate, gate, &arms, before.iter().find(|b| b.id == gate.name), now)).collect()
}

/// A gate before the candidate had any traffic.
fn not_yet(gate: &GateSpec, now: Time) -> GateState {
    let verdict = Verdict::Wait { missing: "no traffic yet".into(), eta: None };
    GateState {
        id: gate.name.clone(),
        signal: gate.signal.measured(),
        rule: judge::rule_text(gate),
        on_fail: gate.on_fail,
        verdict,
        since: now,
        evidence: None,
    }
}
