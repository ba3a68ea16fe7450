//! Load balancers without a controller: they are polled, compare nothing, remember no action, must all
//! agree, and know backends by a name that only a map makes a version of.

use super::suite::Weather;
use chrono::{Days, Utc};
use cutover::{
    model::{
        action::{Action, Belief, Call, Guard, Observation, Outcome, Plan, Refusal, Shift},
        back::How,
        delta::Delta,
        ident::{ActionId, Key, Rev, Role, TargetId, VersionId},
        ratio::{Ratio, Weight},
        rollout::{Finding, Phase, Rollout},
        text::{Raw, Text},
        time::Time,
        wire::ActionRecord,
    },
    runtime::{Ask, Fault, Runtime},
};
use futures::{Stream, stream};
use serde_json::json;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// Between two polls.
const POLL: Duration = Duration::from_millis(10);
/// The backend to go back to, and the one that is tried.
const BLUE: &str = "blue";
const GREEN: &str = "green";

/// See the module.
#[derive(Clone)]
pub struct Proxies {
    target: TargetId,
    sky: Arc<Sky>,
}

struct Sky {
    farm: Mutex<Farm>,
    weather: Mutex<Weather>,
    cuts: watch::Sender<u64>,
    acted: AtomicUsize,
    taken: AtomicUsize,
}

struct Farm {
    balancers: Vec<Balancer>,
    /// Which backend is which version: all that says it.
    map: BTreeMap<&'static str, &'static str>,
    rev: u64,
}

struct Balancer {
    name: &'static str,
    /// What it gives the candidate's backend.
    green: Weight,
    answers: bool,
}

impl Proxies {
    /// All of them give each backend a half.
    pub fn new(target: TargetId, names: &[&'static str]) -> Self {
        let half = Weight::from_percent(50.0).unwrap();
        let balancers = names.iter().map(|name| Balancer { name, green: half, answers: true }).collect();
        let farm = Farm { balancers, map: [(BLUE, "v1"), (GREEN, "v2")].into(), rev: 1 };
        let sky = Sky {
            farm: Mutex::new(farm),
            weather: Mutex::new(Weather::Fair),
            cuts: watch::Sender::new(0),
            acted: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
        };
        Self { target, sky: Arc::new(sky) }
    }

    pub const fn target(&self) -> &TargetId {
        &self.target
    }

    pub fn weather(&self, weather: Weather) {
        *self.sky.weather.lock().unwrap() = weather;
        self.cut();
    }

    pub fn cut(&self) {
        self.sky.cuts.send_modify(|n| *n += 1);
    }

    pub fn acted(&self) -> usize {
        self.sky.acted.load(Ordering::SeqCst)
    }

    pub fn taken(&self) -> usize {
        self.sky.taken.load(Ordering::SeqCst)
    }

    /// Somebody logs in and changes one of them.
    pub fn by_hand(&self, name: &str, green: Weight) {
        self.change(name, |b| b.green = green);
    }

    /// One of them takes no changes, or again takes them.
    pub fn answers(&self, name: &str, answers: bool) {
        self.change(name, |b| b.answers = answers);
    }

    /// What each of them gives the candidate.
    pub fn shares(&self) -> Vec<Weight> {
        self.farm().balancers.iter().map(|b| b.green).collect()
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Balancer)) {
        let mut farm = self.farm();
        farm.rev += 1;
        change(farm.balancers.iter_mut().find(|b| b.name == name).unwrap());
    }

    fn farm(&self) -> MutexGuard<'_, Farm> {
        self.sky.farm.lock().unwrap()
    }

    fn now_is(&self) -> Weather {
        *self.sky.weather.lock().unwrap()
    }

    fn place(&self) -> Text {
        self.target.text()
    }

    /// One poll: everything there is.
    fn poll(&self) -> Vec<Delta> {
        let server_time = match self.now_is() {
            Weather::Skewed => Utc::now() + Days::new(365),
            _ => Utc::now(),
        };
        let farm = self.farm();
        let rollout = Box::new(farm.rollout(&self.target, server_time));
        vec![Delta::Init { version: 1, epoch: 1, server_time }, Delta::Apply { rollout }, Delta::InitDone { rev: Rev(farm.rev) }]
    }
}

impl Farm {
    /// What all of them do; `None` where they do not agree.
    fn agreed(&self) -> Option<Weight> {
        let first = self.balancers[0].green;
        self.balancers.iter().all(|b| b.green == first).then_some(first)
    }

    fn rollout(&self, target: &TargetId, now: Time) -> Rollout {
        let agreed = self.agreed();
        let phase = if agreed == Some(Weight::ZERO) { Phase::Reverted } else { Phase::Held };
        let version = |backend: &str| json!({ "id": backend, "label": self.map[backend], "parts": [] });
        let track = |role: Role, backend: &str, share: Option<Weight>| {
            let share = share.map(Ratio::from);
            json!({ "role": role, "version": version(backend), "pools": [],
                    "share": { "declared": share, "programmed": share, "basis": "weights of load balancers" } })
        };
        let how = if phase == Phase::Reverted { How::Already { since: now } } else { How::Switch };
        let mut rollout: Rollout = serde_json::from_value(json!({
            "key": { "target": target, "service": "shop" }, "run": GREEN, "strategy": "canary", "phase": phase, "holds": [],
            "tracks": [track(Role::Stable, BLUE, agreed.map(Weight::rest)), track(Role::Candidate, GREEN, agreed)],
            "steps": [], "next": { "what": "a person acts", "by": "a person" }, "gates": [],
            "back": { "to": version(BLUE), "how": how, "checks": [] },
            "seen": { "epoch": 1, "rev": self.rev, "server_time": now, "fresh_for": 1_000 },
        }))
        .unwrap();
        if agreed.is_none() {
            let each: Vec<String> = self.balancers.iter().map(|b| format!("{} {}", b.name, b.green)).collect();
            let what = format!("the load balancers do not agree: {}", each.join(", ")).into();
            rollout.findings.push(Finding { kind: "partial".into(), what, since: now });
        }
        rollout
    }
}

/// What all of them give the candidate.
fn agreed(rollout: &Rollout) -> Option<Weight> {
    rollout.candidate()?.share.programmed?.percent().and_then(Weight::from_percent)
}

/// What a plan is to give the candidate, and what it had when the plan was made.
fn shift(plan: &Plan) -> (Weight, Option<Weight>) {
    let body = &plan.calls[0].body;
    (serde_json::from_value(body[GREEN].clone()).unwrap(), serde_json::from_value(body["was"].clone()).unwrap())
}

impl Runtime for Proxies {
    fn watch(&self) -> impl Stream<Item = Result<Delta, Fault>> + Send + 'static {
        let mut cuts = self.sky.cuts.subscribe();
        cuts.mark_unchanged();
        // The first poll is made at once.
        let state = (self.clone(), cuts, VecDeque::new(), false, false);
        stream::unfold(state, |(this, mut cuts, mut queue, polled, ended)| async move {
            if ended {
                return None;
            }
            let (place, weather) = (this.place(), this.now_is());
            let fault = match weather {
                Weather::Away => Some(Fault::Unreachable { place: place.clone(), why: "connection refused".into() }),
                Weather::Denied => Some(Fault::Denied { place: place.clone(), what: "you are not known here".into() }),
                Weather::HalfFrames if polled => Some(Fault::Closed { place: place.clone() }),
                _ => None,
            };
            if let Some(fault) = fault {
                return Some((Err(fault), (this, cuts, queue, polled, true)));
            }
            if (polled && queue.is_empty()) || weather == Weather::Drip {
                tokio::select! {
                    _ = cuts.changed() => return Some((Err(Fault::Closed { place }), (this, cuts, queue, polled, true))),
                    () = tokio::time::sleep(POLL) => {}
                }
            }
            if queue.is_empty() {
                queue.extend(this.poll());
            }
            let next = queue.pop_front().unwrap();
            Some((Ok(next), (this, cuts, queue, true, false)))
        })
    }

    fn plan(&self, rollout: &Rollout, ask: &Ask) -> Result<Plan, Refusal> {
        let now = agreed(rollout);
        let after = match &ask.action {
            Action::SetWeight { weight } if now == Some(*weight) => {
                return Err(Refusal::AlreadySo { what: format!("all of them are at {weight} already").into() });
            }
            Action::SetWeight { .. } if rollout.phase == Phase::Reverted => {
                return Err(Refusal::NotNow { why: "nothing is rolled out".into() });
            }
            Action::SetWeight { weight } => *weight,
            Action::Back { to } if to.as_str() != BLUE => {
                return Err(Refusal::Moved { what: "the way back goes to v1".into() });
            }
            Action::Back { .. } if rollout.phase == Phase::Reverted => {
                return Err(Refusal::AlreadySo { what: "all of them are back on v1 already".into() });
            }
            Action::Back { .. } => Weight::ZERO,
            other => return Err(Refusal::Unsupported { verb: other.verb().into() }),
        };
        let before = now.unwrap_or(Weight::ZERO);
        let names: Vec<&str> = self.farm().balancers.iter().map(|b| b.name).collect();
        let call = |name: &&str| Call {
            verb: "PUT".into(),
            path: Raw::new(format!("/{name}/weights")),
            body: json!({ GREEN: after, "was": now }),
            guard: Guard::ReadBack,
            repeatable: true,
        };
        Ok(Plan {
            action: ask.action.clone(),
            id: ask.id.clone(),
            belief: Belief {
                key: rollout.key.clone(),
                run: rollout.run.clone(),
                rev: rollout.seen.rev,
                at: None,
                stable: Some(VersionId::new(BLUE)),
                candidate: Some(VersionId::new(GREEN)),
            },
            title: format!("{} on {} load balancers", ask.action.verb(), names.len()).into(),
            calls: names.iter().map(call).collect(),
            weights: vec![
                Shift { version: "v1".into(), before: before.rest(), after: after.rest() },
                Shift { version: "v2".into(), before, after },
            ],
            notes: Vec::new(),
            warns: rollout.findings.iter().map(|f| f.what.clone()).collect(),
            takes: None,
            needs_reason: false,
        })
    }

    /// Reads all of them first: nothing else guards it. Then one after the other.
    async fn apply(&self, plan: &Plan) -> Outcome {
        let (sent, weather) = (Utc::now(), self.now_is());
        let unknown = |why: &str| Outcome::Unknown { sent, why: why.into() };
        match weather {
            Weather::Denied => return Outcome::Refused { refusal: Refusal::Denied { what: "you are not known here".into() } },
            Weather::Away => return Outcome::Partial { done: 0, then: "connection refused: nothing was sent".into() },
            _ => {}
        }
        let (after, was) = shift(plan);
        let back = matches!(plan.action, Action::Back { .. });
        {
            let mut farm = self.farm();
            let moved = |what: String| Outcome::Refused { refusal: Refusal::Moved { what: what.into() } };
            if plan.belief.run.as_ref().is_none_or(|run| run.as_str() != GREEN) {
                return moved("another backend is tried now".into());
            }
            let other = farm.balancers.iter().find(|b| was.is_some_and(|was| b.green != was));
            if let Some((other, was)) = other.zip(was).filter(|_| !back) {
                return moved(format!("{} is at {} now, not at {was}", other.name, other.green));
            }
            self.sky.acted.fetch_add(1, Ordering::SeqCst);
            if weather == Weather::Swallowed {
                return unknown("the connection ended");
            }
            for done in 0..farm.balancers.len() {
                let balancer = &mut farm.balancers[done];
                if !balancer.answers {
                    return Outcome::Partial { done, then: format!("{} does not answer", balancer.name).into() };
                }
                balancer.green = after;
                farm.rev += 1;
            }
        }
        match weather {
            Weather::AnswerLost | Weather::Hanging => {
                let mut cuts = self.sky.cuts.subscribe();
                self.sky.taken.fetch_add(1, Ordering::SeqCst);
                if weather == Weather::Hanging {
                    let _ = cuts.changed().await;
                }
                unknown("the connection ended")
            }
            _ => Outcome::Accepted { changed: true, at: sent },
        }
    }

    /// They remember no action: only looking tells.
    async fn resolve(&self, _id: &ActionId) -> Result<Option<ActionRecord>, Fault> {
        Err(Fault::Lacks { place: self.place(), what: "memory of what was sent".into() })
    }

    fn confirm(&self, plan: &Plan, rollout: &Rollout) -> Observation {
        let (wanted, now) = (shift(plan).0, agreed(rollout));
        match now {
            Some(now) if now == wanted => Observation::Confirmed,
            Some(_) if rollout.phase == Phase::Reverted => Observation::Contradicted { by: "somebody went back".into() },
            Some(now) => Observation::Pending { missing: format!("all of them are at {now}").into() },
            None => Observation::Pending { missing: rollout.findings.first().map_or_else(|| "unknown".into(), |f| f.what.clone()) },
        }
    }

    fn focus(&self, _key: Option<&Key>) {}
}
