//! Everything that waits for somebody else: sources, log streams, actions that were sent. Each is a
//! task of its own and reports through the mailbox or the channel of answers; the loop waits for none.

use super::{
    followed::Followed,
    mailbox::Mailbox,
    port::{Place, Port},
};
use crate::{
    clock::Clock,
    model::{
        action::{Outcome, Plan, Refusal},
        ident::{ActionId, Key, TargetId},
        time::Time,
    },
    runtime::supervise::{Heard, supervise},
};
use futures::StreamExt;
use rand::{SeedableRng, rngs::StdRng};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};

/// Actions whose answers wait for the loop at most; more wait in their own tasks.
const ANSWERS: usize = 64;

/// What was answered.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Answer {
    /// To an action.
    Outcome(ActionId, Outcome),
    /// To the question what became of one; `None` when the target has never heard of it.
    Resolved(ActionId, Option<Outcome>),
}

/// The tasks of one console. Dropped, it ends them all.
pub struct Tasks {
    places: Vec<Place>,
    clock: Arc<dyn Clock>,
    mailbox: Arc<Mailbox>,
    /// Actions that were sent and not yet answered: the end of the program waits for these.
    sent: JoinSet<()>,
    others: JoinSet<()>,
    logs: Option<AbortHandle>,
    answer: mpsc::Sender<Answer>,
    answers: mpsc::Receiver<Answer>,
}

impl Tasks {
    pub(super) fn new(places: Vec<Place>, clock: Arc<dyn Clock>, mailbox: Arc<Mailbox>) -> Self {
        let (answer, answers) = mpsc::channel(ANSWERS);
        Self { places, clock, mailbox, sent: JoinSet::new(), others: JoinSet::new(), logs: None, answer, answers }
    }

    /// Connects every place.
    pub(super) fn watch(&mut self, seed: u64) {
        for (n, place) in self.places.iter().cloned().enumerate() {
            let (clock, mailbox) = (Arc::clone(&self.clock), Arc::clone(&self.mailbox));
            let rng = StdRng::seed_from_u64(seed.wrapping_add(n as u64));
            self.others.spawn(async move {
                let tell = |heard| match heard {
                    Heard::Link(link) => mailbox.link(&place.target, link),
                    Heard::Delta(delta) => mailbox.delta(&place.target, delta),
                };
                match supervise(&place.name, place.port.policy(), &*clock, rng, || place.port.watch(), tell).await {}
            });
        }
    }

    /// The next answer to an action. Loses nothing when it is dropped.
    pub(super) async fn answer(&mut self) -> Answer {
        match self.answers.recv().await {
            Some(answer) => answer,
            None => std::future::pending().await, // it holds a sender itself
        }
    }

    /// Sends an action.
    pub(super) fn send(&mut self, target: &TargetId, plan: Plan) {
        let (id, port, answer) = (plan.id.clone(), self.port(target), self.answer.clone());
        self.sent.spawn(async move {
            let outcome = match port {
                Some(port) => port.apply(plan).await,
                None => nobody(),
            };
            let _ = answer.send(Answer::Outcome(id, outcome)).await;
        });
        while self.sent.try_join_next().is_some() {}
    }

    /// Asks what became of an action whose answer was lost, after a second in which it may still arrive.
    /// Without an answer there is nothing to say.
    pub(super) fn resolve(&mut self, target: &TargetId, id: ActionId) {
        let Some(port) = self.port(target) else { return };
        let answer = self.answer.clone();
        self.others.spawn(async move {
            sleep(Duration::from_secs(1)).await;
            if let Ok(found) = port.resolve(id.clone()).await {
                let _ = answer.send(Answer::Resolved(id, found.map(|record| record.outcome))).await;
            }
        });
        while self.others.try_join_next().is_some() {}
    }

    /// Follows what the instances of one rollout print, and no other.
    pub(super) fn logs(&mut self, of: Option<(TargetId, Key)>) {
        if let Some(old) = self.logs.take() {
            old.abort();
        }
        let stream = self.mailbox.follow_logs();
        let Some((target, key)) = of else { return };
        let Some(port) = self.port(&target) else { return };
        let mailbox = Arc::clone(&self.mailbox);
        self.logs = Some(self.others.spawn(async move {
            let mut followed = Followed::default();
            loop {
                let mut lines = port.logs(&key, followed.resume());
                while let Some(Ok(line)) = lines.next().await {
                    for line in followed.take(line) {
                        mailbox.log(stream, line);
                    }
                }
                // How the target is connected is said by its watch; here it is enough to come back.
                sleep(Duration::from_secs(1)).await;
            }
        }));
    }

    /// Waits until every action that was sent is answered, at most 3 s: their outcome must be written.
    pub(super) async fn finish(&mut self) {
        let sent = &mut self.sent;
        let answers = &mut self.answers;
        let all = async {
            loop {
                tokio::select! {
                    done = sent.join_next() => if done.is_none() { break },
                    _ = answers.recv() => {}
                }
            }
        };
        if timeout(Duration::from_secs(3), all).await.is_err() {
            tracing::warn!("an action is still unanswered");
        }
    }

    pub(super) fn now(&self) -> (Time, Duration) {
        (self.clock.now(), self.clock.uptime())
    }

    fn port(&self, target: &TargetId) -> Option<Arc<dyn Port>> {
        self.places.iter().find(|p| p.target == *target).map(|p| Arc::clone(&p.port))
    }
}

fn nobody() -> Outcome {
    Outcome::Refused { refusal: Refusal::NotNow { why: "this target is not configured any more: nothing was sent".into() } }
}

#[cfg(test)]
mod tests;
