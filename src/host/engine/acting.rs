//! What people ask for: checked, written, done, answered. And the way back, which waits for nobody.

use super::{Engine, Queued, turning};
use crate::{
    conductor::{
        Acted, NewRun, Note, Ordered,
        life::{Deployed, Life},
    },
    host::{
        commit::{OTHERS_WAIT, Order, Pending, Refused, Reply, Waiting, What},
        deploy::Prepared,
        slots::SaveError,
        state::{HostState, ServiceState},
    },
    journal,
    model::{
        action::{Action, Observation, Outcome, Refusal},
        event::Level,
        ident::{ActionId, RunId},
        text::{Raw, Text},
        time::Time,
        wire::{ActionRecord, ActionRequest, ApiError, DeployRequest},
    },
};
use std::time::Duration;
use tokio::time::Instant;

/// After a write that failed, plans rest for as long as the saver does; the way back never does.
const PLANS_REST: Duration = Duration::from_secs(1);

/// Bytes of an action's name, and characters of a reason: what is remembered has a fixed size.
const LONGEST_ID: usize = 200;
const LONGEST_REASON: usize = 500;

fn short(reason: &Text) -> Text {
    let cut: String = reason.as_str().chars().take(LONGEST_REASON).collect();
    if cut.len() < reason.as_str().len() { format!("{cut}…").into() } else { reason.clone() }
}

/// An answer for which nothing has to be written.
type AtOnce = Box<Reply>;

/// Adds the conductor's notes to the timeline.
pub(super) fn note_all(state: &mut ServiceState, now: Time, notes: Vec<Note>) {
    for note in notes {
        state.note(now, note.level, note.by, note.what);
    }
}

impl Engine {
    /// What waits for the disk before it takes effect.
    pub(super) fn carry_out(&mut self, order: Order) {
        if order.until <= Instant::now() {
            let refused = self.not_written(&order, &SaveError::Slow(OTHERS_WAIT));
            let _ = order.reply.send(Err(refused));
            return;
        }
        match self.decide(&order) {
            Ok((next, record)) => self.pending = Some(Pending::start(&self.saver, next, Some(Waiting { order, record }))),
            Err(answer) => self.answer_at_once(order, *answer),
        }
    }

    /// The way back: computed from what is in effect, done after at most 20 ms of waiting for the disk.
    pub(super) fn back(&mut self, order: Order) {
        // One that is on its way may take effect at any time, so why not now.
        if self.pending.as_ref().is_some_and(|p| p.anyway) {
            self.settled(Ok(()));
        }
        match self.decide(&order) {
            Ok((next, record)) => {
                self.give_way();
                self.pending = Some(Pending::way_back(&self.saver, next, Some(Waiting { order, record })));
            }
            Err(answer) => self.answer_at_once(order, *answer),
        }
    }

    fn decide(&mut self, order: &Order) -> Result<(HostState, ActionRecord), AtOnce> {
        if order.id().as_str().len() > LONGEST_ID {
            return Err(Box::new(Err(Refused::new(400, format!("an action id has at most {LONGEST_ID} bytes")))));
        }
        match &order.what {
            What::Act(request) => self.next_by_action(request, &order.by),
            What::Deploy(request, prepared) => self.next_by_deploy(request, prepared, &order.by),
        }
    }

    fn answer_at_once(&mut self, order: Order, answer: Reply) {
        if let Ok(record) = &answer
            && self.known(&record.id).is_none()
        {
            // It is so already: the same question gets the same answer later, when it may be otherwise.
            self.state.answer(record.clone());
            if let Some(pending) = &mut self.pending {
                pending.next.answer(record.clone());
            }
        }
        let _ = order.reply.send(answer);
    }

    /// The answer at once, or the next state and the answer to give when it is on disk.
    fn next_by_action(&self, request: &ActionRequest, by: &Text) -> Result<(HostState, ActionRecord), AtOnce> {
        let now = self.clock.now();
        if let Some(answered) = self.known(&request.id) {
            return Err(Box::new(Ok(answered)));
        }
        let name = request.belief.key.service.as_str();
        let Some(service) = self.services.get(name) else {
            return Err(Box::new(Err(Refused::new(404, format!("no rollout `{}` here", Text::clean(name))))));
        };
        let mut next = self.state.clone();
        // A service that was never deployed has its own reasons to refuse.
        let changed = next.services.entry(name.to_owned()).or_default();
        let before = changed.life.run.as_ref().map(|r| r.id.clone());
        let starts = matches!(request.action, Action::Retry | Action::Undo { .. });
        let fresh = if starts { changed.next_run() } else { RunId::new("") };
        let order = Ordered {
            action: request.action.clone(),
            belief: request.belief.clone(),
            by: by.clone(),
            reason: request.reason.as_ref().map(short),
            force: request.force,
            switch_only: request.switch_only,
            fresh,
        };
        let seen = turning::observed(service, &self.instances.status(), self.tasks.seen(name), self.gone());
        let record = |run: Option<RunId>, outcome| ActionRecord { id: request.id.clone(), by: by.clone(), run, outcome, at: now };
        match changed.life.act(&order, &seen, &service.gates, now) {
            Ok(Acted { changed: did, notes }) => {
                if starts {
                    let taken = changed.life.run.as_ref().and_then(|r| self.preview_taken(&r.candidate.spec));
                    if let Some(taken) = taken.filter(|_| did) {
                        return Err(Box::new(Err(Refused::preflight(vec![taken]))));
                    }
                    changed.slow_from = None;
                }
                if let Some(was) = self.state.services.get(name) {
                    service.keep_decision(was, changed, &self.instances.status(), (now, self.clock.uptime()));
                }
                note_all(changed, now, notes);
                let record = record(changed.life.run.as_ref().map(|r| r.id.clone()), Outcome::Accepted { changed: did, at: now });
                next.answer(record.clone());
                Ok((next, record))
            }
            Err(refusal @ Refusal::AlreadySo { .. }) => Err(Box::new(Ok(record(before, Outcome::Refused { refusal })))),
            Err(refusal) => Err(Box::new(Err(self.refused(name, refusal)))),
        }
    }

    /// The version that an action would start anew, were it carried out now.
    pub(super) fn would_start(&self, request: &ActionRequest) -> Option<Deployed> {
        if !matches!(request.action, Action::Retry | Action::Undo { .. }) {
            return None;
        }
        // Who asks makes no difference to what is started.
        let (next, record) = self.next_by_action(request, &Text::default()).ok()?;
        let run = next.services.get(request.belief.key.service.as_str())?.life.run.clone()?;
        (record.run.as_ref() == Some(&run.id)).then_some(run.candidate)
    }

    fn known(&self, id: &ActionId) -> Option<ActionRecord> {
        self.state.answered(id).cloned()
    }

    /// 409 with the fresh state.
    fn refused(&self, name: &str, refusal: Refusal) -> Box<Refused> {
        let rollout = self.bus.rollout(&Self::key(name)).cloned().map(Box::new);
        Box::new(Refused {
            status: 409,
            error: ApiError { message: refusal.to_string().into(), refusal: Some(refusal), failures: Vec::new(), rollout },
        })
    }

    /// What refuses a deploy before anything is prepared for it.
    pub(super) fn bars(&self, request: &DeployRequest) -> Option<Box<Refused>> {
        let name = request.service.as_str();
        let refusal = self.state.services.get(name)?.life.bars(&request.artifact, request.replace).err()?;
        Some(self.refused(name, refusal))
    }

    /// A rollout starts from what was prepared.
    fn next_by_deploy(&mut self, request: &DeployRequest, prepared: &Prepared, by: &Text) -> Result<(HostState, ActionRecord), AtOnce> {
        let now = self.clock.now();
        if let Some(answered) = self.known(&request.id) {
            return Err(Box::new(Ok(answered)));
        }
        let name = prepared.spec.name.clone();
        self.open_for(&prepared.spec).map_err(|e| Box::new(Err(Refused::preflight(vec![e.to_string().into()]))))?;
        if let Some(taken) = self.preview_taken(&prepared.spec) {
            self.opening = None;
            return Err(Box::new(Err(Refused::preflight(vec![taken]))));
        }
        // Of a service that is new here nothing can be seen yet.
        let seen = self.services.get(&name);
        let seen = seen.map(|s| turning::observed(s, &self.instances.status(), self.tasks.seen(&name), self.gone())).unwrap_or_default();
        let mut next = self.state.clone();
        let state = next.services.entry(name.clone()).or_default();
        let (described, spec) = (prepared.described.clone(), prepared.spec.clone());
        let listens = state.life.stable.as_ref().map(|s| s.spec.listen).filter(|listen| *listen != spec.listen);
        let moves = listens
            .map(|from| format!("listen {from} → {}: once this version is stable, from the next start of the host on", spec.listen).into());
        let id = spec.runtime().version(&name, &described.digest);
        let label = described.version.clone().unwrap_or_else(|| described.digest.short().into());
        let candidate =
            Deployed { id, generation: 0, artifact: described.digest, label, revision: described.revision.clone(), spec, at: now };
        state.deploys(described.digest, described.about(self.depot.store.layout()));
        let run = state.next_run();
        let new = NewRun { id: run.clone(), candidate, by: by.clone(), now };
        let replaces = state.life.run.as_ref().map(|r| r.id.clone());
        let started = if request.replace { state.life.replace(new, &seen) } else { state.life.deploy(new) };
        if let (Some(service), Some(was)) = (self.services.get(&name), self.state.services.get(&name)) {
            // Replacing a run takes it back first.
            service.keep_decision(was, state, &self.instances.status(), (now, self.clock.uptime()));
        }
        let notes = match started {
            Ok(notes) => notes,
            Err(refusal @ Refusal::AlreadySo { .. }) => {
                let outcome = Outcome::Refused { refusal };
                let run = self.state.services.get(&name).and_then(|s| s.life.run.as_ref()).map(|r| r.id.clone());
                return Err(Box::new(Ok(ActionRecord { id: request.id.clone(), by: by.clone(), run, outcome, at: now })));
            }
            Err(refusal) => return Err(Box::new(Err(self.refused(&name, refusal)))),
        };
        if state.life.run.as_ref().map(|r| &r.id) != replaces.as_ref() {
            state.slow_from = None;
        }
        note_all(state, now, notes);
        if let Some(reason) = &request.reason {
            state.note(now, Level::Info, by.clone(), format!("reason: {}", short(reason)).into());
        }
        if let Some(moves) = moves {
            state.note(now, Level::Warn, "host".into(), moves);
        }
        let record = ActionRecord {
            id: request.id.clone(),
            by: by.clone(),
            run: Some(run),
            outcome: Outcome::Accepted { changed: true, at: now },
            at: now,
        };
        next.answer(record.clone());
        Ok((next, record))
    }

    /// A state reached the disk and takes effect, or did not and never happened. The way back does
    /// in any case.
    pub(super) fn settled(&mut self, settled: Result<(), SaveError>) {
        let Some(Pending { next, waiting, anyway, .. }) = self.pending.take() else { return };
        match settled {
            Err(why) if !anyway => {
                // What is in effect must be what the disk holds when it answers again.
                drop(self.saver.save(self.state.clone()));
                self.opening = None;
                self.plans_from = Instant::now() + PLANS_REST;
                if let Some(Waiting { order, .. }) = waiting {
                    let refused = self.not_written(&order, &why);
                    let _ = order.reply.send(Err(refused));
                }
            }
            settled => {
                if let Err(why) = settled {
                    tracing::warn!("the way back takes effect before it is on disk: {why}");
                }
                self.arrives(next, waiting.is_none());
                self.turn();
                if let Some(Waiting { order, record }) = waiting {
                    let _ = order.reply.send(Ok(record));
                }
            }
        }
    }

    /// Takes up a state, and follows each way back that begins or ends with it.
    fn arrives(&mut self, next: HostState, by_itself: bool) {
        let now = self.clock.now();
        if let Some((name, service)) = self.opening.take() {
            self.services.insert(name, service);
        }
        let before: Vec<(String, Life)> = self.state.services.iter().map(|(n, s)| (n.clone(), s.life.clone())).collect();
        self.take_effect(next);
        for (name, old) in before {
            let Some(life) = self.state.services.get(&name).map(|s| &s.life) else { continue };
            let goes = turning::is_reverting(life) && !turning::is_reverting(&old);
            let done = turning::arrived(&old, life) || (turning::is_reverted(life) && !turning::is_reverted(&old));
            if goes {
                self.watch_way_back(&name);
                if by_itself {
                    self.journal_own(&name, now);
                }
            }
            if done {
                self.way_back_arrived(&name, now);
            }
        }
    }

    fn not_written(&self, order: &Order, why: &SaveError) -> Box<Refused> {
        let message = format!("not written to disk, so nothing was done: {why}");
        tracing::error!("{message}");
        let name = match &order.what {
            What::Act(request) => request.belief.key.service.as_str(),
            What::Deploy(request, _) => request.service.as_str(),
        };
        self.refused(name, Refusal::NotNow { why: message.into() })
    }

    /// What waits for the disk steps aside for a way back; it is decided anew on what is so then.
    pub(super) fn give_way(&mut self) {
        if let Some(Pending { waiting: Some(waiting), .. }) = self.pending.take() {
            self.queue.push_front(Queued::Order(Box::new(waiting.order)));
        }
    }

    /// Starts the proof of the way back that was just ordered.
    fn watch_way_back(&mut self, name: &str) {
        let (Some(service), Some(state)) = (self.services.get_mut(name), self.state.services.get(name)) else { return };
        service.proof = turning::proof_of(state);
    }

    /// What the host does by itself is journaled like what a person does.
    fn journal_own(&mut self, name: &str, now: Time) {
        let Some(intent) = self.intent(name, now) else { return };
        self.journal.append_detached(intent.clone());
        self.journal.append_detached(intent.answered(now, Outcome::Accepted { changed: true, at: now }));
        if let Some(service) = self.services.get_mut(name) {
            service.own_way_back = Some(intent);
        }
    }

    /// The journal line of a way back that nobody but the host asked for.
    fn intent(&self, name: &str, now: Time) -> Option<journal::Entry> {
        let life = &self.state.services.get(name)?.life;
        let (run, last) = (life.run.as_ref()?, life.last.as_ref()?);
        let gates = self.services.get(name).map(|s| s.gates.as_slice()).unwrap_or_default();
        let mut entry = journal::Entry::new(journal::Kind::Intent, now, last.by.clone());
        entry.service = Some(Raw::new(name));
        entry.run = Some(run.id.clone());
        entry.id = Some(ActionId::new(format!("host-{name}-{}-{}", run.id.as_str(), now.timestamp_millis())));
        entry.action = Some(last.action.clone());
        entry.evidence = gates.iter().map(|g| format!("{} {} {}", g.id.text(), g.verdict.word(), g.verdict.reason()).into()).collect();
        Some(entry)
    }

    /// The router has confirmed a way back: the journal says so if the host had asked for it.
    pub(super) fn way_back_arrived(&mut self, name: &str, now: Time) {
        let intent = self.services.get_mut(name).and_then(|s| s.own_way_back.take());
        if let Some(intent) = intent {
            self.journal.append_detached(intent.observed(now, Observation::Confirmed));
        }
    }
}
