//! What the instances of each version look like, beside the signals: one that does worse than its siblings, and
//! memory that is taken and not given back. It is named, with its figures, and told when it begins and when it is
//! over; nothing moves by it. A version that leaks while it bakes does not become good: see [`Vitals::gate`].

use super::Engine;
use crate::{
    conductor::life::{Deployed, Life, PoolId},
    host::instances::PoolStatus,
    judge::siblings::{Seen, Siblings},
    model::{
        event::Level,
        gate::{Arm, GateState, Verdict},
        ident::{GateId, InstanceId},
        instance::{Growth, Usage},
        rollout::Finding,
        signal::SignalId,
        spec::OnFail,
        text::Text,
        time::{Time, elapsed, span},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What a leak is called among gates while a version bakes.
const LEAK: &str = "leak";

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Vitals {
    siblings: BTreeMap<PoolId, Siblings>,
    memory: BTreeMap<PoolId, Memory>,
    /// What is told now.
    found: BTreeMap<Subject, Finding>,
}

/// Whom a finding is about: an instance that is sick, or a version that leaks.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Subject {
    Sick(PoolId, InstanceId),
    Leak(PoolId),
}

/// The memory of a version's instances.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct Memory {
    /// The growth of the one that grew most, once that can be said.
    growth: Option<Growth>,
    /// The same while one of them leaks. It stays while nobody can say: a process that took all and ended for it
    /// has healed nothing.
    leak: Option<Growth>,
    /// Whether each of them is known to be flat.
    flat: bool,
}

impl Memory {
    fn seen(&mut self, used: &[Option<Usage>]) {
        let growth = |u: &Option<Usage>| u.as_ref().and_then(Usage::growth);
        let most = |all: &mut dyn Iterator<Item = Growth>| all.max_by_key(|g| (g.bytes, g.over));
        let leaks = |u: &&Option<Usage>| u.as_ref().is_some_and(Usage::leaks);
        let known = used.iter().all(|u| growth(u).is_some());
        self.growth = most(&mut used.iter().filter_map(growth));
        let leak = most(&mut used.iter().filter(leaks).filter_map(growth));
        self.leak = if known { leak } else { leak.or(self.leak) };
        self.flat = known && leak.is_none();
    }
}

impl Engine {
    /// Looks at every instance, once a second.
    pub(super) fn look_at_instances(&mut self, now: Time) {
        let (pools, uptime) = (self.instances.status(), self.clock.uptime());
        for (name, service) in &mut self.services {
            let Some(state) = self.state.services.get(name) else { continue };
            let here = |pool: &PoolId| pools.iter().find(|p| p.id == *pool);
            let running: Vec<(&Deployed, &PoolStatus)> =
                service.known.iter().filter_map(|(pool, deployed)| Some((deployed, here(pool)?))).collect();
            for (deployed, status) in &running {
                let parts = service.proxy.meter(&status.id).parts();
                let seen = status.instances.iter().map(|i| {
                    let counted = parts.iter().find(|(id, _)| *id == i.id).map(|(_, counted)| *counted).unwrap_or_default();
                    Seen {
                        instance: i.id.clone(),
                        restarts: i.restarts,
                        warm: elapsed(now, i.since) >= deployed.spec.warmup,
                        requests: counted.requests,
                        errors: counted.errors,
                        slow: counted.slow,
                    }
                });
                service.vitals.compare(&status.id, seen.collect(), uptime);
                self.accounts.warm_up(&status.id, deployed.spec.warmup);
                let used: Vec<Option<Usage>> = status.instances.iter().map(|i| self.accounts.of(&i.id)).collect();
                service.vitals.memory.entry(status.id.clone()).or_default().seen(&used);
            }
            let told = service.vitals.tell(&running, &state.life, now);
            self.news.extend(told.into_iter().map(|(level, what)| (name.clone(), level, what)));
        }
    }
}

impl Vitals {
    fn compare(&mut self, pool: &PoolId, seen: Vec<Seen>, uptime: Duration) {
        self.siblings.entry(pool.clone()).or_default().feed(uptime, seen);
    }

    /// Why an instance is the sick one, if it is.
    pub fn sick(&self, pool: &PoolId, instance: &InstanceId) -> Option<Text> {
        self.siblings.get(pool)?.sick(instance).map(|sick| sick.why().into())
    }

    /// What is found, what was found first at the top.
    pub fn findings(&self) -> Vec<Finding> {
        let mut all: Vec<Finding> = self.found.values().cloned().collect();
        all.sort_by_key(|f| f.since);
        all
    }

    /// Opens and closes what is found of the pools that run; what is to be said of it.
    fn tell(&mut self, running: &[(&Deployed, &PoolStatus)], life: &Life, now: Time) -> Vec<(Level, Text)> {
        let is_there = |pool: &PoolId| running.iter().any(|(_, p)| p.id == *pool);
        self.siblings.retain(|pool, _| is_there(pool));
        self.memory.retain(|pool, _| is_there(pool));
        let mut said = Vec::new();
        let mut open = BTreeSet::new();
        for (deployed, status) in running {
            let pool = &status.id;
            let siblings = self.siblings.get(pool).into_iter().flat_map(Siblings::all_sick);
            let sick = siblings.map(|(id, sick)| {
                let what = format!("{} of {}: {}", id.text(), deployed.label, sick.why());
                (Subject::Sick(pool.clone(), id.clone()), what)
            });
            let mut here: Vec<(Subject, String)> = sick.collect();
            if let Some(leak) = self.memory.get(pool).and_then(|m| m.leak) {
                let beside = self.beside(pool, running, life);
                here.push((Subject::Leak(pool.clone()), format!("{} grew {}{beside}", deployed.label, leak.text())));
            }
            for (subject, what) in here {
                let kind = subject.kind();
                let finding = self.found.entry(subject.clone()).or_insert_with(|| {
                    said.push((Level::Warn, format!("{kind}: {what}").into()));
                    Finding { kind: kind.into(), what: "".into(), since: now }
                });
                finding.what = what.into();
                open.insert(subject);
            }
        }
        self.found.retain(|subject, finding| {
            let stays = open.contains(subject);
            if !stays {
                let after = span(elapsed(now, finding.since));
                said.push((Level::Info, format!("{}: over after {after}: {}", finding.kind, finding.what).into()));
            }
            stays
        });
        said
    }

    /// What the memory of the other version does: `, stable flat`.
    fn beside(&self, pool: &PoolId, running: &[(&Deployed, &PoolStatus)], life: &Life) -> String {
        let stable = life.stable.as_ref().map(Deployed::pool);
        let candidate = life.run.as_ref().map(|r| r.candidate.pool());
        let other = if stable.as_ref() == Some(pool) { candidate } else { stable.clone() };
        let Some((deployed, status)) = running.iter().find(|(_, p)| p.id != *pool && Some(&p.id) == other.as_ref()) else {
            return String::new();
        };
        let name = if stable.as_ref() == Some(&status.id) { "stable" } else { deployed.label.as_str() };
        let does = self.memory.get(&status.id).and_then(|m| m.growth).map_or_else(|| "not known yet".into(), |g| g.text());
        format!(", {name} {does}")
    }

    /// A leak of the version that bakes, as a gate beside those that are configured: it has failed, and bakes
    /// anew once its memory is known to be flat. `None` where there is nothing to say.
    pub fn gate(&self, life: &Life, now: Time) -> Option<GateState> {
        let (stable, run) = life.baking()?;
        let (pool, id) = (stable.pool(), GateId::new(LEAK));
        let memory = self.memory.get(&pool).copied().unwrap_or_default();
        let found = self.found.get(&Subject::Leak(pool));
        let failed = run.bad.contains(&id);
        let verdict = match memory.leak {
            Some(leak) => Verdict::Fail { who: Arm::Candidate, why: format!("memory grew {}", leak.text()).into() },
            None if failed && memory.flat => Verdict::Pass { why: "memory is flat".into() },
            None if failed => Verdict::Wait { missing: "memory is not known yet".into(), eta: None },
            None => return None,
        };
        Some(GateState {
            id,
            signal: SignalId::Memory,
            rule: "memory that is taken is given back".into(),
            on_fail: OnFail::Hold,
            verdict,
            since: found.map_or(now, |f| f.since),
            evidence: None,
        })
    }
}

impl Subject {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Sick(..) => "sick",
            Self::Leak(_) => LEAK,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LEAK, Memory, Vitals};
    use crate::{
        conductor::life::{Deployed, Life, Run, RunState},
        host::instances::PoolStatus,
        judge::siblings::Seen,
        model::{
            digest::Digest,
            ident::{GateId, InstanceId, VersionId},
            instance::Usage,
            ratio::Weight,
            spec::ServiceSpec,
            time::{Time, after},
        },
    };
    use serde_json::json;
    use std::time::Duration;

    fn used(memory: u64, slope: f64) -> Option<Usage> {
        let over = Some(Duration::from_secs(3 * 3_600 + 600));
        Some(Usage { memory: Some(memory), memory_slope: Some(slope), memory_over: over, ..Usage::default() })
    }

    fn at(second: u64) -> Time {
        after(Time::UNIX_EPOCH, Duration::from_secs(second))
    }

    fn version(label: &str) -> (Deployed, PoolStatus) {
        let spec: ServiceSpec =
            toml::from_str("name = \"web\"\nlisten = \"127.0.0.1:0\"\ncommand = [\"./serve\"]\nreadiness = { path = \"/\" }").unwrap();
        let (id, artifact) = (VersionId::new(label), Digest::of(label.as_bytes()));
        let deployed = Deployed { id, generation: 1, artifact, label: label.into(), revision: None, spec, at: at(0) };
        let status = PoolStatus {
            id: deployed.pool(),
            service: "web".into(),
            desired: 2,
            instances: Vec::new(),
            ready: Vec::new(),
            leaving: Vec::new(),
            trouble: None,
            secrets: None,
        };
        (deployed, status)
    }

    #[test]
    fn a_leak_is_told_until_every_instance_is_known_to_be_flat() {
        let mut memory = Memory::default();
        let young = Some(Usage { memory: Some(40_000_000), ..Usage::default() });
        memory.seen(&[young.clone(), None]);
        assert_eq!((memory.growth, memory.leak, memory.flat), (None, None, false));
        memory.seen(&[used(900_000_000, 161_700_000.0), used(90_000_000, 0.0)]);
        assert_eq!(memory.leak.unwrap().text(), "512 MB in 3 h 10 m");
        // It took all there was, and was started again.
        memory.seen(&[young, used(90_000_000, 0.0)]);
        assert_eq!((memory.leak.unwrap().text().as_str(), memory.flat), ("512 MB in 3 h 10 m", false));
        memory.seen(&[used(90_000_000, 0.0), used(90_000_000, 0.0)]);
        assert_eq!((memory.leak, memory.growth.unwrap().text().as_str(), memory.flat), (None, "flat", true));
        // Growth of less than a tenth is measured, shown, and no leak.
        memory.seen(&[used(900_000_000, 10_000_000.0)]);
        assert_eq!((memory.leak, memory.growth.unwrap().text().as_str()), (None, "31 MB in 3 h 10 m"));
    }

    #[test]
    fn a_sick_instance_is_told_once_when_it_begins_and_once_when_it_is_over() {
        let (deployed, status) = version("v42");
        let (pool, running) = (status.id.clone(), [(&deployed, &status)]);
        let (mut vitals, life) = (Vitals::default(), Life::default());
        let mut said = Vec::new();
        let mut look = |vitals: &mut Vitals, second: u64, restarts: u32| {
            let seen = |n: u64, restarts, errors| Seen {
                instance: InstanceId::new(format!("v42-{n}")),
                restarts,
                warm: true,
                requests: second * 50,
                errors,
                slow: 0,
            };
            vitals.compare(&pool, vec![seen(1, 0, 0), seen(2, restarts, second * 9), seen(3, 0, 0)], Duration::from_secs(second));
            said.extend(vitals.tell(&running, &life, at(second)).into_iter().map(|(_, what)| what.to_string()));
        };
        (0..60).for_each(|second| look(&mut vitals, second, 0));
        let found = vitals.findings();
        assert_eq!(
            (found.len(), found[0].kind.as_str(), found[0].what.as_str()),
            (1, "sick", "v42-2 of v42: 18 % errors, its siblings 0 %")
        );
        assert_eq!(vitals.sick(&status.id, &InstanceId::new("v42-2")).unwrap().as_str(), "18 % errors, its siblings 0 %");
        assert_eq!(vitals.sick(&status.id, &InstanceId::new("v42-1")), None);
        let since = found[0].since;
        // Its process was started again: another one, of which nothing is known.
        look(&mut vitals, 60, 1);
        assert!(vitals.findings().is_empty());
        let over = format!("sick: over after {} s: v42-2 of v42: 18 % errors, its siblings 0 %", (at(60) - since).num_seconds());
        assert_eq!(said, ["sick: v42-2 of v42: 18 % errors, its siblings 0 %".to_owned(), over]);
    }

    #[test]
    fn a_leak_is_told_beside_the_other_version_and_is_a_gate_only_while_it_bakes() {
        let ((old, was), (new, is)) = (version("v41"), version("v42"));
        let running = [(&old, &was), (&new, &is)];
        let mut vitals = Vitals::default();
        let mut life = Life { stable: Some(old.clone()), ..Life::default() };
        vitals.memory.entry(is.id.clone()).or_default().seen(&[used(900_000_000, 161_700_000.0)]);
        let said = vitals.tell(&running, &life, at(5));
        assert_eq!(said[0].1.as_str(), "leak: v42 grew 512 MB in 3 h 10 m, stable not known yet");
        vitals.memory.entry(was.id.clone()).or_default().seen(&[used(90_000_000, 0.0)]);
        assert!(vitals.tell(&running, &life, at(6)).is_empty());
        assert_eq!(vitals.findings()[0].what.as_str(), "v42 grew 512 MB in 3 h 10 m, stable flat");
        assert_eq!(vitals.gate(&life, at(6)), None);
        // It is promoted, and bakes.
        let run = json!({
            "id": "r2", "candidate": new, "from": old.id, "started": { "by": "ana", "at": at(0) }, "state": RunState::Completed { at: at(7) },
            "step": 0, "step_since": at(7), "weight": Weight::FULL, "converged": null,
        });
        let run: Run = serde_json::from_value(run).unwrap();
        life = Life { stable: Some(new.clone()), run: Some(run), ..Life::default() };
        let gate = vitals.gate(&life, at(8)).unwrap();
        assert_eq!((gate.verdict.word(), gate.verdict.reason().as_str(), gate.since), ("FAIL", "memory grew 512 MB in 3 h 10 m", at(5)));
        life.run.as_mut().unwrap().bad.push(GateId::new(LEAK));
        // A process that ended for it has healed nothing; one that is known to be flat has.
        let memory = |vitals: &mut Vitals, now| vitals.memory.entry(is.id.clone()).or_default().seen(&[now]);
        memory(&mut vitals, None);
        assert_eq!(vitals.gate(&life, at(9)).unwrap().verdict.word(), "FAIL");
        memory(&mut vitals, used(90_000_000, 0.0));
        assert_eq!(vitals.gate(&life, at(10)).unwrap().verdict.word(), "pass");
        assert_eq!(vitals.tell(&running, &life, at(10))[0].1.as_str(), "leak: over after 5 s: v42 grew 512 MB in 3 h 10 m, stable flat");
        life.run.as_mut().unwrap().bad.clear();
        assert_eq!(vitals.gate(&life, at(11)), None);
        // After a start of the host nothing is known of what had failed.
        life.run.as_mut().unwrap().bad.push(GateId::new(LEAK));
        assert_eq!(Vitals::default().gate(&life, at(12)).unwrap().verdict.word(), "WAIT");
    }
}
