//! One turn: observe, judge, let the plan move, make the machine so, tell it.

use super::{
    Engine,
    acting::note_all,
    draining::{self, Moment},
    judging::freeze_threshold,
    looking, preview, routing,
    service::Service,
};
use crate::{
    conductor::life::{Deployed, Life, Observed, PoolId, PoolSeen, RunState, TaskSeen, Wanted},
    host::{
        commit::Pending,
        instances::{PoolPlan, PoolStatus},
        proof,
        proxy::{Arm, Table, Upstream},
        state::{HostState, Safe, ServiceState},
    },
    model::{
        digest::Digest,
        event::Level,
        ident::Role,
        text::Text,
        time::{Time, elapsed},
    },
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};
use tokio::time::Instant;

impl Engine {
    /// What a fresh start must do before its first turn.
    pub(super) fn adopt(&mut self) {
        for (name, state) in &self.state.services {
            let Some(service) = self.services.get_mut(name) else { continue };
            service.ledger = state.ledger.clone();
            service.tally.resume(state.life.run.as_ref(), state.failed_since_bad);
            if let Some(watch) = proof_of(state) {
                service.proof = Some(watch);
            }
        }
    }

    /// Observes, lets the plan move, makes it so and tells it. Safe to be called at any time.
    pub(super) fn turn(&mut self) {
        self.turn_and_tell(false);
    }

    /// Closes the second of every meter, and tells everything: watchers hear of us every second.
    pub(super) fn second(&mut self) {
        let now = self.clock.now();
        for (name, service) in &self.services {
            let key = Self::key(name);
            // A version that was left is still shown: without traffic, not as it was at the end.
            let run = self.state.services.get(name).and_then(|s| s.life.run.as_ref());
            let left = run.map(|r| (r.candidate.pool(), &r.candidate)).filter(|(pool, _)| !service.known.contains_key(pool));
            for (pool, deployed) in service.known.iter().chain(left.as_ref().map(|(pool, deployed)| (pool, *deployed))) {
                let point = service.proxy.meter(pool).tick(now);
                // Of a version that was started again, the instances of before finish unseen.
                if service.newest(&deployed.id) == Some(pool) {
                    self.bus.point(&key, &deployed.id, point);
                }
            }
        }
        self.look(now, self.clock.uptime());
        self.look_at_instances(now);
        self.turn_and_tell(true);
    }

    fn turn_and_tell(&mut self, everything: bool) {
        let now = self.clock.now();
        let pools = self.instances.status();
        self.judge_all(&pools, now, everything);
        self.move_plans(&pools, now);
        self.make_so(&pools, now);
        self.take_up_found(now);
        if self.state.services.values().any(|s| is_reverting(&s.life) && !is_reverted(&s.life)) {
            // The router was told just now: whether it went back is known without waiting for the next turn.
            self.move_plans(&pools, self.clock.now());
        }
        self.tell(&pools, now, everything);
    }

    /// Lets every plan move; what moved is written first and takes effect when it is on disk. The way
    /// back that a gate asks for, and its end, wait for the disk and for what is on its way to it no
    /// longer than one that a person asks for; they take nothing else with them.
    fn move_plans(&mut self, pools: &[PoolStatus], now: Time) {
        if self.pending.as_ref().is_some_and(|p| p.anyway) {
            return;
        }
        let mut next = self.state.clone();
        let mut back = Vec::new();
        let (needed, gone, uptime) = (self.needed_artifacts(), self.gone(), self.clock.uptime());
        let free = self.pending.is_none() && self.plans_from <= Instant::now();
        if free {
            self.tell_served(&mut next, pools, now, uptime);
        }
        for (name, service) in &self.services {
            let Some(state) = next.services.get_mut(name) else { continue };
            let before = state.life.clone();
            let seen = observed(service, pools, self.tasks.seen(name), gone.clone());
            let notes = state.life.advance(&seen, &service.gates, now);
            measure_way_back(state, &before, now);
            if let Some(was) = self.state.services.get(name) {
                service.keep_decision(was, state, pools, (now, uptime));
            }
            let safe = service.proof.as_ref().and_then(|proof| Some(Safe { asked: proof.asked(), since: proof.safe_since()? }));
            state.safe = safe.filter(|_| is_reverted(&state.life));
            if state.life.run.as_ref().map(|r| &r.id) != before.run.as_ref().map(|r| &r.id) {
                state.slow_from = None;
            }
            freeze_threshold(service, state);
            service.remember(state, state.life != before, uptime);
            note_all(state, now, notes);
            state.keep_artifacts(|artifact| needed.contains(artifact));
            if (is_reverting(&state.life) && !is_reverting(&before)) || arrived(&before, &state.life) {
                back.push((name.clone(), state.clone()));
            }
        }
        if !back.is_empty() {
            let mut only = self.state.clone();
            only.services.extend(back);
            self.give_way();
            self.pending = Some(Pending::way_back(&self.saver, only, None));
        } else if free {
            for (name, level, what) in std::mem::take(&mut self.news) {
                if let Some(state) = next.services.get_mut(&name) {
                    state.note(now, level, "host".into(), what);
                }
            }
            if next != self.state {
                for (name, service) in &mut self.services {
                    let given = |state: &HostState| state.services.get(name).map(|s| s.ledger.clone());
                    if given(&next) != given(&self.state) {
                        service.ledger_saved = uptime;
                    }
                }
                self.pending = Some(Pending::start(&self.saver, next, None));
            }
        }
    }

    /// Artifacts that are not there any more, of those that a version could be started from.
    pub(super) fn gone(&self) -> BTreeSet<Digest> {
        self.availability.found().gone.into_keys().collect()
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
        let (mut in_use, mut targets) = (BTreeSet::new(), BTreeSet::new());
        let uptime = self.clock.uptime();
        for (name, service) in &mut self.services {
            let Some(state) = self.state.services.get(name) else { continue };
            let wanted = state.life.wanted();
            let (mut drifted, mut missing) = (Vec::new(), Vec::new());
            for deployed in &wanted.pools {
                service.drains.remove(&deployed.pool());
                self.secrets.look(&self.instances, deployed, now, uptime);
                roles.insert(deployed.pool(), role_of(&state.life, &wanted, deployed));
                match pool_plan(&self.depot, name, deployed, wanted.instances.get(&deployed.pool())) {
                    Some(plan) => self.instances.ensure(plan),
                    // Every byte is hashed first; that may take a while.
                    None => missing.extend(self.depot.unpack_soon(&deployed.artifact).map(|why| (deployed, why))),
                }
                drifted.extend(self.depot.watchman.drift(&deployed.artifact).map(|drift| (deployed, drift)));
            }
            if let Some(to) = looking::way_back_to(service, &state.life).filter(|to| !roles.contains_key(&to.pool())) {
                self.secrets.look(&self.instances, to, now, uptime);
                targets.insert(to.pool());
            }
            for deployed in of_interest(&state.life) {
                service.known.entry(deployed.pool()).or_insert_with(|| deployed.clone());
            }
            if let Some(settings) = state.life.stable.as_ref().or(state.life.run.as_ref().map(|r| &r.candidate)) {
                service.configure(&settings.spec.proxy);
            }
            routing::keep(service, name, &state.life, &self.testers, &self.instances, now, uptime);
            service.proxy.program(Table { testers: routing::lets_testers(&state.life), ..table(&wanted, pools) });
            let shown = preview::keep(service, name, &state.life, arm(wanted.preview.as_ref(), pools), &self.clock, now);
            self.news.extend(shown.map(|what| (name.clone(), Level::Info, what)));
            let run = state.life.run.as_ref().map(|r| &r.id);
            self.tasks.keep(name, run, wanted.task.as_ref(), pools);
            let at = Moment { now, uptime };
            let mut said = draining::pools(service, &self.instances, &state.life, &wanted, pools, at);
            said.extend(draining::surplus(service, &self.instances, pools, at));
            said.extend(draining::cut_after_way_back(service, &state.life, at));
            self.news.extend(said.into_iter().map(|what| (name.clone(), Level::Warn, what)));
            self.news.extend(routing::tested(service, &state.life, uptime).map(|what| (name.clone(), Level::Info, what)));
            let trouble = self.trouble.borrow().clone();
            service.finding("disk", trouble, now);
            for (kind, what) in service.said_by_backend() {
                self.news.extend(service.change(kind, what, now).map(|(level, what)| (name.clone(), level, what)));
            }
            service.finding("journal", self.journal.trouble().borrow().clone(), now);
            for (kind, found) in [("drift", drifted), ("artifact", missing)] {
                let lines: Vec<String> = found.iter().map(|(d, why)| format!("{} cannot be started: {why}", d.label)).collect();
                let what = (!lines.is_empty()).then(|| Text::from(lines.join("; ")));
                self.news.extend(service.change(kind, what, now).map(|(level, what)| (name.clone(), level, what)));
            }
        }
        for (pool, deployed) in self.services.values().flat_map(|s| &s.known) {
            if roles.contains_key(pool) || pools.iter().any(|p| p.id == *pool) {
                in_use.insert(deployed.artifact);
            }
        }
        self.depot.watchman.forget_drifted(|artifact| in_use.contains(artifact));
        self.secrets.retain(|pool| roles.contains_key(pool) || targets.contains(pool));
        self.instances.set_roles(roles);
    }
}

/// A version is stable's, the candidate's, or was superseded, which it stays while it comes back.
pub(super) fn role_of(life: &Life, wanted: &Wanted, deployed: &Deployed) -> Role {
    let pool = deployed.pool();
    let returns = returning(life).is_some_and(|back| back.pool() == pool);
    if returns && life.stable.as_ref().is_some_and(|stable| stable.id == deployed.id) {
        Role::Stable
    } else if wanted.candidate.as_ref() == Some(&pool) && !returns {
        Role::Candidate
    } else if wanted.stable.as_ref() == Some(&pool) {
        Role::Stable
    } else {
        Role::Superseded
    }
}

/// The version that is started again for the way back.
pub(super) fn returning(life: &Life) -> Option<&Deployed> {
    let run = life.run.as_ref().filter(|r| matches!(r.state, RunState::Reverting { .. }))?;
    run.returning.as_ref().map(|back| &back.to)
}

/// Versions whose traffic is told, whether they run or not.
pub(super) fn of_interest(life: &Life) -> impl Iterator<Item = &Deployed> {
    let run = life.run.as_ref().map(|r| &r.candidate);
    life.stable.iter().chain(run).chain(life.warm.as_ref().map(|w| &w.deployed)).chain(returning(life))
}

/// What the host sees of the machine, in the conductor's words.
pub(super) fn observed(service: &Service, pools: &[PoolStatus], tasks: Vec<TaskSeen>, gone: BTreeSet<Digest>) -> Observed {
    let seen = pools.iter().map(|p| PoolSeen {
        pool: p.id.clone(),
        desired: p.desired,
        ready: u32::try_from(p.ready.len()).unwrap_or(u32::MAX),
        trouble: p.trouble.clone(),
    });
    Observed { pools: seen.collect(), programmed: Some(service.proxy.programmed()), tasks, gone }
}

fn pool_plan(depot: &crate::host::deploy::Depot, service: &str, deployed: &Deployed, instances: Option<&u32>) -> Option<PoolPlan> {
    // What could not be unpacked was said when that was tried; it is not started.
    let root = depot.watchman.unpacked(&deployed.artifact)?.root().to_owned();
    let (watchman, digest) = (depot.watchman.clone(), deployed.artifact);
    let mut runtime = deployed.spec.runtime();
    runtime.instances = instances.copied().unwrap_or(runtime.instances);
    Some(PoolPlan {
        id: deployed.pool(),
        service: service.into(),
        label: deployed.label.clone(),
        runtime,
        root,
        verify: Arc::new(move || watchman.verify(&digest)),
    })
}

pub(super) fn table(wanted: &Wanted, pools: &[PoolStatus]) -> Table {
    let (stable, candidate) = (arm(wanted.stable.as_ref(), pools), arm(wanted.candidate.as_ref(), pools));
    Table { stable, candidate, weight: wanted.weight, testers: false }
}

/// A pool's ready instances.
fn arm(pool: Option<&PoolId>, pools: &[PoolStatus]) -> Option<Arm> {
    let pool = pool?;
    let ready = pools.iter().find(|p| p.id == *pool).map(|p| p.ready.as_slice()).unwrap_or_default();
    let upstreams = ready.iter().map(|(instance, addr)| Upstream { instance: instance.clone(), addr: *addr }).collect();
    Some(Arm { pool: pool.clone(), upstreams })
}

/// Whether traffic goes back, or went back.
pub(super) fn is_reverting(life: &Life) -> bool {
    life.run.as_ref().is_some_and(|r| matches!(r.state, RunState::Reverting { .. } | RunState::Reverted { .. }))
}

/// Whether the router has confirmed it.
pub(super) fn is_reverted(life: &Life) -> bool {
    life.run.as_ref().is_some_and(|r| matches!(r.state, RunState::Reverted { .. }))
}

/// Whether a way back that was under way is there, also when the next run started at once.
pub(super) fn arrived(before: &Life, after: &Life) -> bool {
    is_reverting(before) && !is_reverted(before) && (is_reverted(after) || !is_reverting(after))
}

/// Remembers how long a way back took, once the router has confirmed it. Those that had to start instances
/// take longer and are kept apart.
fn measure_way_back(state: &mut ServiceState, before: &Life, now: Time) {
    let Some(run) = before.run.as_ref().filter(|_| arrived(before, &state.life)) else { return };
    if let RunState::Reverting { asked, .. } = run.state {
        let started = run.returning.is_some() || run.batch.is_some();
        state.went_back_in(elapsed(now, asked), started);
    }
}

/// The proof of a way back that was under way or done when the host was started again.
pub(super) fn proof_of(state: &ServiceState) -> Option<proof::Watch> {
    let run = state.life.run.as_ref()?;
    let asked = match &run.state {
        RunState::Reverting { asked, .. } | RunState::Reverted { asked, .. } => *asked,
        _ => return None,
    };
    let proved = state.safe.filter(|safe| safe.asked == asked).map(|safe| safe.since);
    Some(proof::Watch::new(super::picture::version(&run.candidate, state.sealed.get(&run.candidate.artifact)), asked).proved(proved))
}
