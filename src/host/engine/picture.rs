//! The rollout as it is told to watchers: the conductor's words, the proxy's counts, the lamp, the proof.

use super::{
    Engine, content,
    looking::about,
    service::Service,
    turning::{observed, returning, role_of},
};
use crate::{
    artifact::back_unsafe,
    conductor::life::{Deployed, Life, PoolId, Run, RunState, TaskSeen, Wanted},
    host::{
        instances::PoolStatus,
        lamp, measure,
        meter::Window,
        prometheus::{ServiceMetrics, VersionMetrics},
        proof::Counted,
        state::ServiceState,
    },
    judge,
    model::{
        back::{How, Measured, Proof, Proved, WayBack},
        decided::{Alone, Decided},
        ident::{Key, Rev, Role, VersionId},
        instance::Pool,
        ratio::{Ratio, Weight},
        rollout::{Bad, MeasuredBy, Next, Rollout, Seen},
        signal::{Signal, SignalId},
        spec::Strategy,
        text::Text,
        time::Time,
        version::{About, Share, Track, Version},
    },
};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// The expected interval between two pictures.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// A deployed version as it is shown.
pub(super) fn version(deployed: &Deployed, about: Option<&About>) -> Version {
    Version {
        id: deployed.id.clone(),
        label: deployed.label.clone(),
        revision: deployed.revision.clone(),
        parts: vec![content::declared(deployed)],
        config: Some(deployed.spec.runtime().hash()),
        back_unsafe: about.and_then(|about| back_unsafe(&about.annotations)),
        measured_as: None,
    }
}

impl Engine {
    /// Tells watchers what changed since the last turn, or everything.
    pub(super) fn tell(&mut self, pools: &[PoolStatus], now: Time, everything: bool) {
        let (epoch, uptime) = (self.bus.epoch(), self.clock.uptime());
        let found = self.availability.found();
        for (name, service) in &mut self.services {
            let key = Self::key(name);
            let empty = ServiceState::default();
            let state = self.state.services.get(name).unwrap_or(&empty);
            let lamp = lamp::Light {
                depot: &self.depot,
                pools,
                found: &found,
                secrets: &self.secrets,
                trouble: self.trouble.borrow().clone(),
                now,
            };
            let seen = Seen { epoch, rev: Rev(state.life.rev), server_time: now, fresh_for: FRESH_FOR };
            let mut rollout = picture(&key, service, state, self.tasks.seen(name), &lamp, seen, uptime);
            rollout.present = self.guests.at(name);
            super::using::enter(&mut rollout, &self.accounts);
            self.bus.events(&key, &state.events);
            tell_failed(&mut self.bus, &key, service);
            let same = service.told.as_ref().is_some_and(|told| Rollout { seen: told.seen, ..rollout.clone() } == *told);
            if !same || everything {
                self.bus.apply(rollout.clone());
                service.told = Some(rollout);
            }
        }
        if everything {
            self.bus.heartbeat(now);
        }
    }

    /// What a scraper is told.
    pub(super) fn metrics(&self) -> Vec<ServiceMetrics> {
        let told = self.services.iter().filter_map(|(name, service)| Some((name, service, service.told.as_ref()?)));
        told.map(|(name, service, rollout)| ServiceMetrics {
            service: name.as_str().into(),
            phase: rollout.phase.clone(),
            holds: rollout.holds.clone(),
            frozen: rollout.frozen.is_some(),
            findings: rollout.findings.iter().map(|f| f.kind.clone()).collect(),
            gates: rollout.gates.iter().map(|g| (g.id.clone(), g.verdict.clone())).collect(),
            unrouted: service.proxy.unrouted(),
            outlived: service.outlived,
            versions: rollout.tracks.iter().map(|track| version_metrics(service, track)).collect(),
        })
        .collect()
    }
}

fn version_metrics(service: &Service, track: &Track) -> VersionMetrics {
    let pool = service.newest(&track.version.id);
    let meter = pool.map(|pool| service.proxy.meter(pool));
    let weight = |share: Option<Ratio>| share.and_then(|r| Weight::from_percent(r.percent()?));
    VersionMetrics {
        role: track.role,
        label: track.version.label.clone(),
        id: track.version.id.clone(),
        totals: meter.as_ref().map(|m| m.totals()).unwrap_or_default(),
        tested: pool.and_then(|pool| service.proxy.tested(pool)).map_or(0, |m| m.totals().requests),
        parts: meter.as_ref().map(|m| m.parts()).unwrap_or_default(),
        nowhere: meter.as_ref().map(|m| m.nowhere()).unwrap_or_default(),
        declared: weight(track.share.declared),
        programmed: weight(track.share.programmed),
        ready: track.pools.iter().map(|p| p.ready).sum(),
        desired: track.pools.iter().map(|p| p.desired).sum(),
        restarts: track.pools.iter().flat_map(|p| &p.instances).map(|i| (i.id.text(), i.restarts)).collect(),
    }
}

fn tell_failed(bus: &mut crate::host::bus::Bus, key: &Key, service: &mut Service) {
    for (pool, deployed) in &service.known {
        if service.newest(&deployed.id) != Some(pool) {
            continue;
        }
        let meter = service.proxy.meter(pool);
        let revision = meter.failed_revision();
        if service.failed_told.insert(pool.clone(), revision) != Some(revision) {
            bus.failed(key, &deployed.id, meter.failed());
        }
    }
    let known: Vec<&VersionId> = service.known.values().map(|d| &d.id).collect();
    bus.retain(key, |version| known.contains(&version));
    service.failed_told.retain(|pool, _| service.known.contains_key(pool));
}

fn picture(
    key: &Key,
    service: &mut Service,
    state: &ServiceState,
    tasks: Vec<TaskSeen>,
    lamp: &lamp::Light<'_>,
    seen: Seen,
    uptime: Duration,
) -> Rollout {
    let (life, now) = (&state.life, lamp.now);
    let observed = observed(service, lamp.pools, tasks, lamp.found.gone.keys().copied().collect());
    let telling = life.view(&observed, &service.gates, now);
    let wanted = life.wanted();
    let proof = prove(service, life, now, uptime);
    let tracks = tracks(service, state, &wanted, lamp);
    let target = telling.to.as_ref();
    let shown = |deployed: &Deployed| version(deployed, about(state, lamp.found, &deployed.artifact).as_ref());
    let redeploy = matches!(telling.how, How::Redeploy { .. });
    Rollout {
        key: key.clone(),
        run: life.run.as_ref().map(|r| r.id.clone()),
        strategy: life.run.as_ref().map(|r| r.candidate.spec.strategy).unwrap_or_default(),
        phase: telling.phase,
        reason: telling.reason,
        started: life.run.as_ref().map(|r| r.started.clone()),
        holds: telling.holds,
        attention: telling.attention,
        bad: bad(service, life),
        tracks,
        steps: telling.steps,
        at: telling.at,
        next: Next { what: next_what(&telling.next.what, proof.as_ref()), ..telling.next },
        verdict: judge::summary(service.gates_of(life)),
        gates: service.gates_of(life).to_vec(),
        alone: life.judged().filter(|j| j.baking).map(|j| Alone { version: j.who.label.clone(), since: j.since.unwrap_or(now) }),
        decided: decided(state),
        back: WayBack {
            to: target.map(shown),
            how: telling.how,
            checks: target.map(|t| lamp.checks(t, redeploy)).unwrap_or_default(),
            measured: measured(if redeploy { &state.redeploys } else { &state.ways_back }),
            then: telling.then,
        },
        proof,
        last: life.last.clone(),
        findings: service.findings.iter().cloned().chain(life.findings()).chain(service.vitals.findings()).collect(),
        frozen: life.frozen.clone(),
        versions: life.known(&observed, shown),
        present: Vec::new(),
        analyses: Vec::new(),
        experiments: Vec::new(),
        tried: life.run.as_ref().map(|r| r.tried.clone()).unwrap_or_default(),
        owner: None,
        template: None,
        measured: Some(service.measured.as_ref().map_or_else(MeasuredBy::by_the_host, |m| m.backend().told())),
        marks: life.run.as_ref().map(|r| r.marks.clone()).unwrap_or_default(),
        names: std::collections::BTreeMap::new(),
        seen,
    }
}

/// What was known when the run was decided; of one that moves nothing is.
fn decided(state: &ServiceState) -> Vec<Decided> {
    let over = state.life.run.as_ref().filter(|run| !run.is_moving());
    state.decided.iter().filter(|d| over.is_some_and(|run| run.id == d.run)).cloned().collect()
}

/// What comes next: after a way back without requests the first of them, since silence proves nothing.
fn next_what(next: &Text, proof: Option<&Proof>) -> Text {
    match proof.map(Proof::proved) {
        Some(Proved::Unproved) => format!("{next}; proved by the first request").into(),
        Some(Proved::Waiting | Proved::Safe) | None => next.clone(),
    }
}

/// How long the ways back took so far.
fn measured(ways_back: &VecDeque<u64>) -> Option<Measured> {
    let mut took: Vec<u64> = ways_back.iter().copied().collect();
    took.sort_unstable();
    Some(Measured {
        worst: Duration::from_millis(*took.last()?),
        n: u32::try_from(took.len()).unwrap_or(u32::MAX),
        usual: took.get(took.len() / 2).copied().map(Duration::from_millis),
    })
}

fn tracks(service: &Service, state: &ServiceState, wanted: &Wanted, lamp: &lamp::Light<'_>) -> Vec<Track> {
    let (life, pools) = (&state.life, lamp.pools);
    let window = |pool: &PoolId| service.proxy.meter(pool).window();
    let mut shown: Vec<(Role, &Deployed)> = Vec::new();
    if let Some(stable) = &life.stable {
        shown.push((Role::Stable, stable));
    }
    let candidate = life.run.as_ref().map(|r| &r.candidate).filter(|c| life.stable.as_ref().is_none_or(|s| s.pool() != c.pool()));
    if let Some(candidate) = candidate {
        let left = life.warm.as_ref().is_some_and(|w| w.deployed.pool() == candidate.pool());
        shown.push((if left { Role::Superseded } else { Role::Candidate }, candidate));
    }
    if let Some(back) = returning(life) {
        // The same version with fresh instances takes the place of what ended.
        shown.retain(|(_, d)| d.id != back.id);
        let role = role_of(life, wanted, back);
        let place = if role == Role::Stable { 0 } else { shown.len() };
        shown.insert(place, (role, back));
    }
    if let Some(warm) = life.warm.as_ref().filter(|w| !shown.iter().any(|(_, d)| d.pool() == w.deployed.pool())) {
        shown.push((Role::Superseded, &warm.deployed));
    }
    let windows: Vec<Window> = shown.iter().map(|(_, d)| window(&d.pool())).collect();
    // What was seen before the weights became what they are says nothing of them.
    let since = life.run.as_ref().map(weights_since);
    let counted =
        |(d, w): (&(Role, &Deployed), &Window)| since.map_or(w.requests, |at| service.proxy.meter(&d.1.pool()).requests_since(at));
    let requests: Vec<u64> = shown.iter().zip(&windows).map(counted).collect();
    let all: u64 = requests.iter().sum();
    let (programmed_pool, programmed) = service.proxy.programmed();
    let sticks = life.run.as_ref().is_some_and(|r| r.candidate.spec.routing.sticky.is_some());
    shown
        .iter()
        .zip(windows.iter().zip(&requests))
        .map(|((role, deployed), (window, requests))| {
            let pool = deployed.pool();
            let declared = share_of(wanted.candidate.as_ref(), wanted.stable.as_ref(), wanted.weight, &pool);
            let done = share_of(programmed_pool.as_ref(), wanted.stable.as_ref(), programmed, &pool);
            let about = about(state, lamp.found, &deployed.artifact);
            let mut track = Track {
                role: *role,
                slot: slot(life, wanted, &pool),
                preview: previewed(service, wanted, pools, &pool),
                version: version(deployed, about.as_ref()),
                pools: pools.iter().filter(|p| p.id == pool).map(|p| pool_shown(service, p)).collect(),
                share: Share {
                    declared: Some(declared.into()),
                    programmed: Some(done.into()),
                    seen: (all > 0).then_some(Ratio { parts: *requests, whole: all }),
                    basis: "requests".into(),
                    sticky: sticks,
                },
                signals: signals(service, deployed, window, lamp.now),
                about,
            };
            content::enter(&mut track, deployed, lamp);
            track
        })
        .collect()
}

/// What a version's requests look like. The proxy's own counts are exact and of this second; where the
/// backend's series are others than those, such as the service's own, they are what gates look at too.
fn signals(service: &Service, deployed: &Deployed, window: &Window, now: Time) -> BTreeMap<SignalId, Signal> {
    let mut signals = measure::signals(window, &service.proxy.meter(&deployed.pool()).totals());
    if let Some(measured) = service.measured.as_ref().filter(|m| m.backend().sees_more()) {
        signals.extend(measured.signals(deployed.id.as_str(), now));
    }
    signals
}

/// Where somebody can look at a version that has no traffic, while one of its instances would answer.
fn previewed(service: &Service, wanted: &Wanted, pools: &[PoolStatus], pool: &PoolId) -> Option<Text> {
    let ready = wanted.preview.as_ref() == Some(pool) && pools.iter().any(|p| p.id == *pool && !p.ready.is_empty());
    let listener = service.preview.as_ref().filter(|_| ready)?.proxy()?;
    Some(listener.local_addr().to_string().into())
}

/// Where a version is attached, where the strategy attaches.
fn slot(life: &Life, wanted: &Wanted, pool: &PoolId) -> Option<Text> {
    life.run.as_ref().filter(|run| run.candidate.spec.strategy == Strategy::BlueGreen)?;
    if wanted.preview.as_ref() == Some(pool) {
        Some("preview".into())
    } else if wanted.stable.as_ref() == Some(pool) && wanted.weight != Weight::FULL {
        Some("active".into())
    } else {
        (wanted.candidate.as_ref() == Some(pool) && wanted.weight == Weight::FULL).then(|| "active".into())
    }
}

/// Since when the router does what it does now.
fn weights_since(run: &Run) -> Time {
    match run.state {
        RunState::Reverted { at, .. } | RunState::Completed { at } => at,
        RunState::Reverting { asked, .. } => asked,
        _ => run.converged.unwrap_or(run.step_since),
    }
}

/// What a pool gets of the default route.
fn share_of(candidate: Option<&PoolId>, stable: Option<&PoolId>, weight: Weight, pool: &PoolId) -> Weight {
    if candidate == Some(pool) {
        weight
    } else if stable == Some(pool) {
        candidate.map_or(Weight::FULL, |_| weight.rest())
    } else {
        Weight::ZERO
    }
}

fn pool_shown(service: &Service, status: &PoolStatus) -> Pool {
    let mut instances = status.instances.clone();
    for instance in &mut instances {
        instance.in_flight = service.proxy.in_flight_of(&instance.id);
        instance.sick = service.vitals.sick(&status.id, &instance.id);
    }
    Pool {
        name: "".into(),
        desired: status.desired,
        ready: u32::try_from(status.ready.len()).unwrap_or(u32::MAX),
        restarts: instances.iter().map(|i| i.restarts).sum(),
        instances,
        unseen: false,
        fate: None,
    }
}

fn prove(service: &mut Service, life: &Life, now: Time, uptime: Duration) -> Option<Proof> {
    let run = life.run.as_ref()?;
    if !matches!(run.state, RunState::Reverting { .. } | RunState::Reverted { .. }) {
        service.proof = None;
        return None;
    }
    let left = service.proxy.meter(&run.candidate.pool());
    // While a version is started again, what serves is still what is left.
    let serves = returning(life).or(life.stable.as_ref())?;
    let stable = service.proxy.meter(&serves.pool());
    let (candidate, weight) = service.proxy.programmed();
    let programmed_stable = service.proxy.programmed_stable();
    let (left_now, stable_now) = (left.totals(), stable.totals());
    let counted = Counted {
        // Also while another version has the candidate's place and this one what that does not get.
        programmed: share_of(candidate.as_ref(), programmed_stable.as_ref(), weight, &run.candidate.pool()),
        left_started: left_now.started,
        left_last: left_now.last_start,
        in_flight: service.proxy.in_flight(&run.candidate.pool()),
        upgraded: service.proxy.upgraded(&run.candidate.pool()),
        stable_started: stable_now.started,
        stable_errors: measure::error_ratio(&stable.window()),
    };
    service.proof.as_mut().map(|watch| watch.observe(&counted, now, uptime))
}

/// Also of a version that bakes: what was stable before serves nothing then, and is taken to fail nothing.
fn bad(service: &Service, life: &Life) -> Option<Bad> {
    let baking = life.baking().filter(|(_, run)| matches!(run.state, RunState::Completed { .. }));
    let run = life.run.as_ref().filter(|r| r.state == RunState::Stepping || baking.is_some())?;
    let since = run.bad_since?;
    let candidate = service.proxy.meter(&run.candidate.pool());
    let window = candidate.window();
    let stable = life.stable.as_ref().filter(|_| baking.is_none());
    let stable = stable.and_then(|s| measure::error_ratio(&service.proxy.meter(&s.pool()).window()));
    let own = measure::error_ratio(&window).unwrap_or_default();
    Some(Bad {
        since,
        failed: service.tally.failed_since_bad(&candidate),
        per_second: judge::waiting_cost(measure::rate(&window), own, stable.unwrap_or_default()),
        gates: run.failed(),
    })
}
