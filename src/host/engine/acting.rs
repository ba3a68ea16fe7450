//! What people ask for: checked, written, done, answered. And the way back, which waits for nobody.

use super::{Engine, turning};
use crate::{
    conductor::{Acted, NewRun, Note, Ordered, life::Deployed},
    host::{
        commit::{BACK_WAITS, Pending, Refused, Reply, Waiting},
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
use tokio::sync::oneshot;

/// An answer for which nothing has to be written.
type AtOnce = Box<Reply>;

/// Adds the conductor's notes to the timeline.
pub(super) fn note_all(state: &mut ServiceState, now: Time, notes: Vec<Note>) {
    for note in notes {
        state.note(now, note.level, note.by, note.what);
    }
}

impl Engine {
    /// An action that waits for the disk before it takes effect.
    pub(super) fn act(&mut self, request: ActionRequest, by: Text, reply: oneshot::Sender<Reply>) {
        match self.decide(&request, &by) {
            Ok((next, record)) => self.pending = Some(Pending::start(&self.saver, next, Some(Waiting { reply, record }))),
            Err(answer) => drop(reply.send(*answer)),
        }
    }

    /// The way back: computed from what is in effect, done after at most 20 ms of waiting for the disk.
    pub(super) async fn back(&mut self, request: ActionRequest, by: Text, reply: oneshot::Sender<Reply>) {
        match self.decide(&request, &by) {
            Ok((next, record)) => {
                self.refuse_pending("the way back was faster");
                let ticket = self.saver.save(next.clone());
                self.take_effect(next);
                if ticket.wait(BACK_WAITS).await.is_err() {
                    tracing::warn!("the way back takes effect before it is on disk");
                }
                self.watch_way_back(request.belief.key.service.as_str());
                self.turn();
                let _ = reply.send(Ok(record));
            }
            Err(answer) => drop(reply.send(*answer)),
        }
    }

    /// What the host does by itself when a gate or a deadline says so.
    pub(super) fn automatic_way_back(&mut self, next: HostState, services: &[String], now: Time) {
        self.refuse_pending("the way back was faster");
        // Nobody waits for an answer: the disk follows, a banner says so when it does not.
        drop(self.saver.save(next.clone()));
        self.take_effect(next);
        for name in services {
            self.watch_way_back(name);
            if let Some(intent) = self.intent(name, now) {
                self.journal.append_detached(intent.clone());
                self.journal.append_detached(intent.answered(now, Outcome::Accepted { changed: true, at: now }));
                if let Some(service) = self.services.get_mut(name) {
                    service.own_way_back = Some(intent);
                }
            }
        }
    }

    /// The answer at once, or the next state and the answer to give when it is on disk.
    fn decide(&self, request: &ActionRequest, by: &Text) -> Result<(HostState, ActionRecord), AtOnce> {
        let now = self.clock.now();
        if let Some(answered) = self.known(&request.id) {
            return Err(Box::new(Ok(answered)));
        }
        let name = request.belief.key.service.as_str();
        let (Some(state), Some(service)) = (self.state.services.get(name), self.services.get(name)) else {
            return Err(Box::new(Err(Refused::new(404, format!("no rollout `{}` here", Text::clean(name))))));
        };
        let mut next = self.state.clone();
        let Some(changed) = next.services.get_mut(name) else { return Err(Box::new(Err(Refused::new(404, "no such rollout")))) };
        let fresh = if request.action == Action::Retry { changed.next_run() } else { RunId::new("") };
        let order = Ordered {
            action: request.action.clone(),
            belief: request.belief.clone(),
            by: by.clone(),
            reason: request.reason.clone(),
            force: request.force,
            switch_only: request.switch_only,
            fresh,
        };
        let seen = turning::observed(service, &self.instances.status());
        let record = |run: Option<RunId>, outcome| ActionRecord { id: request.id.clone(), by: by.clone(), run, outcome, at: now };
        match changed.life.act(&order, &seen, &service.gates, now) {
            Ok(Acted { changed: did, notes }) => {
                if request.action == Action::Retry {
                    changed.slow_from = None;
                }
                note_all(changed, now, notes);
                let record = record(changed.life.run.as_ref().map(|r| r.id.clone()), Outcome::Accepted { changed: did, at: now });
                next.answer(record.clone());
                Ok((next, record))
            }
            Err(refusal @ Refusal::AlreadySo { .. }) => {
                let run = state.life.run.as_ref().map(|r| r.id.clone());
                Err(Box::new(Ok(record(run, Outcome::Refused { refusal }))))
            }
            Err(refusal) => Err(Box::new(Err(self.refused(name, refusal)))),
        }
    }

    fn known(&self, id: &ActionId) -> Option<ActionRecord> {
        self.state.answered(id).cloned()
    }

    /// 409 with the fresh state.
    fn refused(&self, name: &str, refusal: Refusal) -> Box<Refused> {
        let rollout = self.bus.rollout(&Self::key(name)).cloned().map(Box::new);
        Box::new(Refused { status: 409, error: ApiError { message: refusal.to_string().into(), refusal: Some(refusal), rollout } })
    }

    /// Starts a rollout from what was prepared.
    pub(super) fn deploy(&mut self, request: DeployRequest, prepared: Prepared, by: Text, reply: oneshot::Sender<Reply>) {
        let answer = self.start_run(&request, prepared, &by);
        match answer {
            Ok((next, record)) => self.pending = Some(Pending::start(&self.saver, next, Some(Waiting { reply, record }))),
            Err(answer) => drop(reply.send(*answer)),
        }
    }

    fn start_run(&mut self, request: &DeployRequest, prepared: Prepared, by: &Text) -> Result<(HostState, ActionRecord), AtOnce> {
        let now = self.clock.now();
        if let Some(answered) = self.known(&request.id) {
            return Err(Box::new(Ok(answered)));
        }
        let name = prepared.spec.name.clone();
        if !self.services.contains_key(&name) {
            self.open(&prepared.spec).map_err(|e| Box::new(Err(Refused::new(400, e.to_string()))))?;
        }
        let mut next = self.state.clone();
        let state = next.services.entry(name.clone()).or_default();
        let (described, spec) = (prepared.described, prepared.spec);
        let id = spec.runtime().version(&name, &described.digest);
        let label = described.version.clone().unwrap_or_else(|| described.digest.short().into());
        let candidate = Deployed { id, generation: 0, artifact: described.digest, label, revision: described.revision, spec, at: now };
        state.deploys(described.digest);
        let run = state.next_run();
        state.slow_from = None;
        let notes = match state.life.deploy(NewRun { id: run.clone(), candidate, by: by.clone(), now }) {
            Ok(notes) => notes,
            Err(refusal @ Refusal::AlreadySo { .. }) => {
                let outcome = Outcome::Refused { refusal };
                let run = self.state.services.get(&name).and_then(|s| s.life.run.as_ref()).map(|r| r.id.clone());
                return Err(Box::new(Ok(ActionRecord { id: request.id.clone(), by: by.clone(), run, outcome, at: now })));
            }
            Err(refusal) => return Err(Box::new(Err(self.refused(&name, refusal)))),
        };
        note_all(state, now, notes);
        if let Some(reason) = &request.reason {
            state.note(now, Level::Info, by.clone(), format!("reason: {reason}").into());
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

    /// A state reached the disk and takes effect, or did not and never happened.
    pub(super) fn settled(&mut self, settled: Result<(), SaveError>) {
        let Some(Pending { next, waiting, .. }) = self.pending.take() else { return };
        match settled {
            Ok(()) => {
                self.take_effect(next);
                if let Some(waiting) = waiting {
                    let _ = waiting.reply.send(Ok(waiting.record));
                }
                self.turn();
            }
            Err(why) => {
                // What is in effect must be what the disk holds when it answers again.
                drop(self.saver.save(self.state.clone()));
                let message = format!("not written to disk, so nothing was done: {why}");
                tracing::error!("{message}");
                if let Some(waiting) = waiting {
                    let _ = waiting.reply.send(Err(Refused::new(503, message)));
                }
            }
        }
    }

    fn refuse_pending(&mut self, why: &str) {
        if let Some(Pending { waiting: Some(waiting), .. }) = self.pending.take() {
            let _ = waiting.reply.send(Err(Refused::new(409, why)));
        }
    }

    /// Starts the proof of the way back that was just ordered.
    fn watch_way_back(&mut self, name: &str) {
        let (Some(service), Some(state)) = (self.services.get_mut(name), self.state.services.get(name)) else { return };
        service.proof = turning::proof_of(&state.life);
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
