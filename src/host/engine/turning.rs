//! One turn: observe, judge, let the plan move, make the machine so, tell it.

use super::{
    Engine,
    acting::note_all,
    service::{Drain, Service, outlived},
};
use crate::{
    conductor::life::{Deployed, Life, Observed, PoolId, PoolSeen, RunState, Wanted},
    host::{
        commit::Pending,
        instances::{PoolPlan, PoolStatus},
        measure,
        meter::Meter,
        proof,
        proxy::{Arm, Table, Upstream},
        state::{HostState, ServiceState},
    },
    judge::{self, Arms, FirstGate},
    model::{digest::Digest, event::Level, gate::GateState, ident::Role, text::Text, time::Time},
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

impl Engine {
    /// What a fresh start must do before its first turn: unpack and verify what should run.
    pub(super) fn adopt(&mut self) {
        let now = self.clock.now();
        for (name, state) in &mut self.state.services {
            let Some(service) = self.services.get_mut(name) else { continue };
            for deployed in state.life.wanted().pools {
                if let Err(why) = self.depot.unpack(&deployed.artifact) {
                    let what = Text::from(format!("{} cannot be started: {why}", deployed.label));
                    service.finding(&format!("artifact {}", deployed.artifact.short()), Some(what.clone()), now);
                    state.note(now, Level::Bad, "host".into(), what);
                }
            }
            if let Some(watch) = proof_of(&state.life) {
                service.proof = Some(watch);
            }
        }
    }

    /// Observes, lets the plan move, makes it so and tells it. Safe to be called at any time.
    pub(super) fn turn(&mut self) {
        let now = self.clock.now();
        let pools = self.instances.status();
        self.judge_all(now);
        if self.pending.is_none() {
            self.move_plans(&pools, now);
        }
        self.make_so(&pools, now);
        self.tell(&pools, now);
    }

    /// Closes the second of every meter.
    pub(super) fn second(&mut self) {
        let now = self.clock.now();
        for (name, service) in &self.services {
            let key = Self::key(name);
            for (pool, deployed) in &service.known {
                let point = service.proxy.meter(pool).tick(now);
                self.bus.point(&key, &deployed.id, point);
            }
        }
    }

    fn judge_all(&mut self, now: Time) {
        for (name, service) in &mut self.services {
            let Some(state) = self.state.services.get_mut(name) else { continue };
            freeze_threshold(service, state);
            service.gates = judge(service, &state.life, state.slow_from.is_some(), now);
        }
    }

    /// Lets every plan move; what moved is written first and takes effect when it is on disk. The way
    /// back that a gate asks for waits for the disk no longer than one that a person asks for.
    fn move_plans(&mut self, pools: &[PoolStatus], now: Time) {
        let mut next = self.state.clone();
        let (mut went_back, mut arrived) = (Vec::new(), Vec::new());
        let needed = self.needed_artifacts();
        for (name, service) in &self.services {
            let Some(state) = next.services.get_mut(name) else { continue };
            let before = state.life.clone();
            let seen = observed(service, pools);
            let notes = state.life.advance(&seen, &service.gates, now);
            if measure_way_back(state, &before) {
                arrived.push(name.clone());
            }
            note_all(state, now, notes);
            state.keep_artifacts(|artifact| needed.contains(artifact));
            if is_reverting(&state.life) && !is_reverting(&before) {
                went_back.push(name.clone());
            }
        }
        if next == self.state {
            return;
        }
        for name in &arrived {
            self.way_back_arrived(name, now);
        }
        if went_back.is_empty() {
            self.pending = Some(Pending::start(&self.saver, next, None));
        } else {
            self.automatic_way_back(next, &went_back, now);
        }
    }

    /// Artifacts that a version could be started from, or that instances still run from.
    fn needed_artifacts(&self) -> BTreeSet<Digest> {
        let remembered = self.state.services.values().flat_map(ServiceState::needed);
        let running = self.services.values().flat_map(|s| s.known.values().map(|d| d.artifact));
        remembered.chain(running).collect()
    }

    /// Takes up a state: what it no longer keeps is removed from the store, in the background.
    pub(super) fn take_effect(&mut self, next: HostState) {
        let kept = |state: &HostState| -> BTreeSet<Digest> { state.services.values().flat_map(|s| s.artifacts.clone()).collect() };
        let after = kept(&next);
        let gone: Vec<Digest> = kept(&self.state).difference(&after).copied().collect();
        self.state = next;
        if gone.is_empty() {
            return;
        }
        self.depot.watchman.retain(|artifact| !gone.contains(artifact));
        let store = Arc::clone(&self.depot.store);
        tokio::task::spawn_blocking(move || {
            for artifact in gone {
                match store.remove(&artifact) {
                    Ok(()) => tracing::info!("{} is not kept any longer", artifact.short()),
                    Err(e) => tracing::warn!("{} cannot be removed: {e}", artifact.short()),
                }
            }
        });
    }

    /// Makes the machine what the state in effect says: instances, routes, drains.
    pub(super) fn make_so(&mut self, pools: &[PoolStatus], now: Time) {
        let mut roles = HashMap::new();
        for (name, service) in &mut self.services {
            let Some(state) = self.state.services.get(name) else { continue };
            let wanted = state.life.wanted();
            for deployed in &wanted.pools {
                service.known.insert(deployed.pool(), deployed.clone());
                service.drains.remove(&deployed.pool());
                self.secrets.look(&self.instances, deployed, now);
                roles.insert(deployed.pool(), role_of(&wanted, &deployed.pool()));
                if let Some(plan) = pool_plan(&self.depot, name, deployed) {
                    self.instances.ensure(plan);
                }
            }
            service.proxy.program(table(&wanted, pools));
            drain(service, &self.instances, &wanted, pools, now);
            let banner = self.trouble.borrow().clone();
            service.finding("disk", banner, now);
            service.finding("journal", self.journal.trouble().borrow().clone(), now);
        }
        self.secrets.retain(|pool| roles.contains_key(pool));
        self.instances.set_roles(roles);
    }
}

/// A version is stable's, the candidate's, or was superseded.
fn role_of(wanted: &Wanted, pool: &PoolId) -> Role {
    if wanted.candidate.as_ref() == Some(pool) {
        Role::Candidate
    } else if wanted.stable.as_ref() == Some(pool) {
        Role::Stable
    } else {
        Role::Superseded
    }
}

/// Freezes what is slow: stable's p99 when the run started, or as soon as it has enough requests.
fn freeze_threshold(service: &Service, state: &mut ServiceState) {
    let in_progress = state.life.run.as_ref().is_some_and(|r| matches!(r.state, RunState::Starting | RunState::Stepping));
    if in_progress
        && state.slow_from.is_none()
        && let Some(stable) = &state.life.stable
    {
        let window = service.proxy.meter(&stable.pool()).window();
        if window.n >= measure::ENOUGH_FOR_P99
            && let Some(p99) = window.p99
        {
            state.slow_from = Some(Duration::from_secs_f64(p99 / 1_000.0));
        }
    }
    if let Some(slow) = state.slow_from {
        let runs = state.life.run.as_ref().map(|r| &r.candidate);
        for deployed in state.life.stable.iter().chain(runs) {
            service.proxy.meter(&deployed.pool()).freeze_threshold(slow);
        }
    }
}

fn judge(service: &mut Service, life: &Life, threshold_known: bool, now: Time) -> Vec<GateState> {
    let Some(run) = life.run.as_ref().filter(|r| r.state == RunState::Stepping) else {
        service.baseline.follow(None, &[]);
        return Vec::new();
    };
    let candidate = service.proxy.meter(&run.candidate.pool());
    let stable = life.stable.as_ref().map(|d| (d.pool(), service.proxy.meter(&d.pool())));
    let mut meters: Vec<(PoolId, &Meter)> = vec![(run.candidate.pool(), &candidate)];
    meters.extend(stable.iter().map(|(pool, meter)| (pool.clone(), meter.as_ref())));
    service.baseline.follow(Some(run), &meters);
    let arms = Arms {
        candidate: service.baseline.counts(&run.candidate.pool(), &candidate),
        stable: stable.as_ref().and_then(|(pool, meter)| service.baseline.counts(pool, meter)),
        threshold_known,
        since: service.baseline.since().unwrap_or(run.step_since),
        fresh: true,
        rate: measure::rate(&candidate.window()),
    };
    let before = &service.gates;
    let gates = &run.candidate.spec.gates;
    gates.iter().map(|gate| judge::state(&FirstGate, gate, &arms, before.iter().find(|b| b.id == gate.name), now)).collect()
}

/// What the host sees of the machine, in the conductor's words.
pub(super) fn observed(service: &Service, pools: &[PoolStatus]) -> Observed {
    let seen = pools.iter().map(|p| PoolSeen {
        pool: p.id.clone(),
        desired: p.desired,
        ready: u32::try_from(p.ready.len()).unwrap_or(u32::MAX),
        trouble: p.trouble.clone(),
    });
    Observed { pools: seen.collect(), programmed: Some(service.proxy.programmed()) }
}

fn pool_plan(depot: &crate::host::deploy::Depot, service: &str, deployed: &Deployed) -> Option<PoolPlan> {
    // What could not be unpacked was said when that was tried; it is not started.
    let root = depot.watchman.unpacked(&deployed.artifact)?.root().to_owned();
    let (watchman, digest) = (depot.watchman.clone(), deployed.artifact);
    Some(PoolPlan {
        id: deployed.pool(),
        service: service.into(),
        label: deployed.label.clone(),
        runtime: deployed.spec.runtime(),
        root,
        verify: Arc::new(move || watchman.verify(&digest)),
    })
}

fn table(wanted: &Wanted, pools: &[PoolStatus]) -> Table {
    let arm = |pool: &Option<PoolId>| {
        let pool = pool.clone()?;
        let ready = pools.iter().find(|p| p.id == pool).map(|p| p.ready.as_slice()).unwrap_or_default();
        let upstreams = ready.iter().map(|(instance, addr)| Upstream { instance: instance.clone(), addr: *addr }).collect();
        Some(Arm { pool, upstreams })
    };
    Table { stable: arm(&wanted.stable), candidate: arm(&wanted.candidate), weight: wanted.weight }
}

/// Pools that are no longer wanted finish their requests; then their instances end.
fn drain(service: &mut Service, instances: &crate::host::instances::Instances, wanted: &Wanted, pools: &[PoolStatus], now: Time) {
    let leaving: Vec<Deployed> = service.known.values().filter(|d| !wanted.pools.iter().any(|w| w.pool() == d.pool())).cloned().collect();
    for deployed in leaving {
        let pool = deployed.pool();
        if !pools.iter().any(|p| p.id == pool) {
            service.drains.remove(&pool);
            service.known.remove(&pool);
            service.finding(&format!("drain {pool}"), None, now);
            continue;
        }
        let bound = deployed.spec.drain;
        let drain = service.drains.entry(pool.clone()).or_insert(Drain { since: now, bound, stopping: false });
        let in_flight = service.proxy.in_flight(&pool) + service.proxy.upgraded(&pool);
        if drain.stopping || (in_flight > 0 && now < drain.ends()) {
            continue;
        }
        drain.stopping = true;
        if in_flight > 0 {
            let what = outlived(&deployed.label, bound, &service.proxy.lingering(&pool), now);
            tracing::warn!("{what}");
            service.finding(&format!("drain {pool}"), Some(what), now);
        }
        instances.stop(&pool, bound);
    }
}

fn is_reverting(life: &Life) -> bool {
    life.run.as_ref().is_some_and(|r| matches!(r.state, RunState::Reverting { .. } | RunState::Reverted { .. }))
}

/// Remembers how long a way back took, once the router has confirmed it. True when it has just now.
fn measure_way_back(state: &mut ServiceState, before: &Life) -> bool {
    let reverted = |life: &Life| match life.run.as_ref().map(|r| &r.state) {
        Some(RunState::Reverted { asked, at, .. }) => Some((*asked, *at)),
        _ => None,
    };
    match (reverted(&state.life), reverted(before)) {
        (Some((asked, at)), None) => {
            state.went_back_in(crate::model::time::elapsed(at, asked));
            true
        }
        _ => false,
    }
}

/// The proof of a way back that was under way or done when the host was started again.
pub(super) fn proof_of(life: &Life) -> Option<proof::Watch> {
    let run = life.run.as_ref()?;
    let asked = match &run.state {
        RunState::Reverting { asked, .. } | RunState::Reverted { asked, .. } => *asked,
        _ => return None,
    };
    Some(proof::Watch::new(super::picture::version(&run.candidate), asked))
}
