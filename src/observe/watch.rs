//! The stream of one target: its runtime's deltas, with what the judge says of each rollout.
//!
//! Owns what is asked at this moment. A rollout that is no longer looked at takes its questions with it:
//! dropping them ends them at the backend too. What the judge says is told only while the runtime speaks:
//! a rollout must not look alive because its metrics are.

use super::{
    How,
    judged::{Judged, pace},
};
use crate::{
    clock::Clock,
    metrics::{
        Answer, Metrics, Trouble,
        alerts::{Board, Said},
        feed::Question,
    },
    model::{
        decided::{self, Decided, Decision},
        delta::Delta,
        ident::Key,
        rollout::{MeasuredBy, Phase, Rollout},
        time::{Time, until},
    },
    runtime::Fault,
};
use futures::{
    FutureExt, StreamExt,
    future::{AbortHandle, Abortable, BoxFuture},
    stream::{BoxStream, FuturesUnordered},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch::Receiver},
    time::sleep,
};

/// Without anything to ask it wakes up this seldom.
const IDLE: Duration = Duration::from_secs(3_600);

/// What came for which rollout in which of its lives here; `None` of what was given up.
type Came = Option<(Key, u64, News)>;

/// What came.
enum News {
    /// An answer to a question.
    Answer((usize, Question), Result<Answer, Trouble>),
    /// What fires.
    Alerts(Said),
}

/// Whom to ask, and what time it is.
pub struct Asks<M> {
    pub backend: M,
    /// Who measures, for people.
    pub told: Arc<MeasuredBy>,
    pub board: Arc<Board>,
    pub clock: Arc<dyn Clock>,
}

/// See the [module](self).
pub struct Desk<M> {
    asks: Asks<M>,
    how: Arc<How>,
    open: Receiver<Option<Key>>,
    /// Whether all of them are told with evidence of now.
    tells_all: bool,
    /// A runtime that was silent for longer is not to be spoken for.
    silent: Duration,
    /// When the runtime spoke last.
    heard: Duration,
    /// As the runtime told them.
    rollouts: BTreeMap<Key, Rollout>,
    /// What was known of runs when their traffic was decided, as far as they were looked at, until they move again.
    decided: BTreeMap<Key, Vec<Decided>>,
    /// What a list that is coming has named so far.
    coming: Option<BTreeSet<Key>>,
    watched: BTreeMap<Key, Watched>,
    /// Counts lives of watched rollouts.
    lives: u64,
    asked: FuturesUnordered<BoxFuture<'static, Came>>,
}

/// A rollout that is looked at.
struct Watched {
    judged: Judged,
    life: u64,
    /// Questions that are not answered yet.
    open: Vec<AbortHandle>,
    waiting: usize,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.open.iter().for_each(AbortHandle::abort);
    }
}

impl<M: Metrics + Clone> Desk<M> {
    /// Nothing is asked yet.
    pub fn new(asks: Asks<M>, how: Arc<How>, open: Receiver<Option<Key>>, silent: Duration) -> Self {
        let heard = asks.clock.uptime();
        Self {
            asks,
            how,
            open,
            tells_all: false,
            silent,
            heard,
            rollouts: BTreeMap::new(),
            decided: BTreeMap::new(),
            coming: None,
            watched: BTreeMap::new(),
            lives: 0,
            asked: FuturesUnordered::new(),
        }
    }

    /// Every rollout is told as the open one is.
    pub fn telling_all(self) -> Self {
        Self { tells_all: true, ..self }
    }

    /// Tells everything until the runtime's own stream ends: why it did.
    pub async fn run(mut self, mut inner: BoxStream<'static, Result<Delta, Fault>>, out: mpsc::Sender<Delta>) -> Fault {
        // Its sender may be dropped with the runtime: then nothing is opened any more.
        let mut opens = true;
        loop {
            self.ask();
            let wake = self.wake();
            let mut said = Vec::new();
            tokio::select! {
                delta = inner.next() => match delta {
                    Some(Ok(delta)) => self.hear(delta, &mut said),
                    Some(Err(fault)) => return fault,
                    None => return Fault::Closed { place: self.asks.backend.place().clone() },
                },
                Some(came) = self.asked.next() => self.answered(came, &mut said),
                changed = self.open.changed(), if opens => {
                    opens = changed.is_ok();
                    self.look_again(&mut said);
                }
                () = sleep(wake) => {}
            }
            for delta in said {
                if out.send(delta).await.is_err() {
                    // Whoever read it is about to drop this too.
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    fn hear(&mut self, delta: Delta, said: &mut Vec<Delta>) {
        self.heard = self.asks.clock.uptime();
        match delta {
            Delta::Apply { rollout } => {
                let key = rollout.key.clone();
                if let Some(coming) = &mut self.coming {
                    coming.insert(key.clone());
                }
                self.keep_decision(&rollout);
                self.rollouts.insert(key.clone(), *rollout);
                self.look(&key);
                said.extend(self.told(&key));
            }
            Delta::Delete { key } => {
                self.rollouts.remove(&key);
                self.decided.remove(&key);
                self.watched.remove(&key);
                said.push(Delta::Delete { key });
            }
            Delta::Init { .. } => {
                self.coming = Some(BTreeSet::new());
                said.push(delta);
            }
            Delta::InitDone { .. } => {
                if let Some(named) = self.coming.take() {
                    self.rollouts.retain(|key, _| named.contains(key));
                    self.decided.retain(|key, _| named.contains(key));
                    self.watched.retain(|key, _| named.contains(key));
                }
                said.push(delta);
            }
            other => said.push(other),
        }
    }

    /// Keeps what is known of a run in the moment in which it is told that its traffic goes back, or that it is
    /// promoted: from then on other versions are measured, or none.
    fn keep_decision(&mut self, new: &Rollout) {
        let old = self.rollouts.get(&new.key).filter(|old| old.run == new.run);
        let what = match new.phase {
            Phase::Reverting | Phase::Reverted => Decision::WentBack,
            Phase::Completed => Decision::Promoted,
            // A moment in which it is not known, or moves without a candidate, decides nothing and undoes nothing.
            Phase::Failed | Phase::Unknown(_) if old.is_some() => return,
            _ if old.is_some() && new.candidate().is_none() => return,
            // Undecided, or the next run.
            _ => return drop(self.decided.remove(&new.key)),
        };
        let Some(old) = old else { return drop(self.decided.remove(&new.key)) };
        let moved = !matches!(old.phase, Phase::Reverting | Phase::Reverted | Phase::Completed);
        let Some(watched) = self.watched.get_mut(&new.key).filter(|_| moved) else { return };
        if let Some(known) = watched.judged.decided(old, what, self.asks.clock.now()) {
            decided::add(self.decided.entry(new.key.clone()).or_default(), known);
        }
    }

    /// Another rollout is open: it is measured more often, and those that only were open no more.
    fn look_again(&mut self, said: &mut Vec<Delta>) {
        let keys: Vec<Key> = self.rollouts.keys().cloned().collect();
        for key in keys {
            if self.look(&key) {
                said.extend(self.told(&key));
            }
        }
    }

    /// Begins, goes on or stops looking at a rollout. True when there is something to tell: it began, it
    /// stopped, or it is put into other words because it is open now, or open no more.
    fn look(&mut self, key: &Key) -> bool {
        let Some(rollout) = self.rollouts.get(key) else { return self.watched.remove(key).is_some() };
        let is_open = self.open.borrow().as_ref().is_some_and(|open| is_same(open, key));
        let Some(pace) = pace(rollout, is_open, self.how.pace) else { return self.watched.remove(key).is_some() };
        let now = self.asks.clock.now();
        match self.watched.get_mut(key) {
            Some(watched) => {
                let other = watched.judged.pace() != pace;
                let anew = watched.judged.follow(rollout, pace, &self.how, now);
                if anew {
                    self.lives += 1;
                    watched.renew(self.lives);
                }
                // What is known is told at once, and not when the backend answers.
                let other = other && !anew && watched.judged.has_said();
                if other {
                    watched.judged.judge(is_open || self.tells_all, now);
                }
                anew || other
            }
            None => {
                self.lives += 1;
                let judged = Judged::new(rollout, pace, &self.how, now);
                self.watched.insert(key.clone(), Watched { judged, life: self.lives, open: Vec::new(), waiting: 0 });
                true
            }
        }
    }

    /// Asks what is due of every rollout whose last questions are all answered, and what fires.
    fn ask(&mut self) {
        let now = self.asks.clock.now();
        for (key, watched) in self.watched.iter_mut().filter(|(_, w)| w.waiting == 0) {
            let questions = watched.judged.due(now);
            if questions.is_empty() {
                continue;
            }
            let (backend, board, uptime) = (self.asks.backend.clone(), Arc::clone(&self.asks.board), self.asks.clock.uptime());
            // A little younger than a round: what fired a round ago is asked again.
            let fresh_for = watched.judged.pace().every / 2;
            let alerts = async move { News::Alerts(board.firing(&backend, uptime, fresh_for).await) }.boxed();
            let answers = questions.into_iter().map(|(lane, question)| {
                let backend = self.asks.backend.clone();
                async move {
                    let answer = backend.instant(&question.text, question.at).await;
                    News::Answer((lane, question), answer)
                }
                .boxed()
            });
            for news in answers.chain([alerts]) {
                let (handle, registration) = AbortHandle::new_pair();
                let (key, life) = (key.clone(), watched.life);
                watched.open.push(handle);
                watched.waiting += 1;
                let came = async move { Abortable::new(news, registration).await.ok().map(|news| (key, life, news)) };
                self.asked.push(Box::pin(came));
            }
        }
    }

    fn answered(&mut self, came: Came, said: &mut Vec<Delta>) {
        let Some((key, life, news)) = came else { return };
        let Some(watched) = self.watched.get_mut(&key).filter(|w| w.life == life) else { return };
        match news {
            News::Answer(question, answer) => watched.judged.take(&question, answer, &self.how, self.asks.backend.place()),
            News::Alerts(fired) => watched.judged.take_alerts(&fired, &self.asks.board, self.asks.clock.now()),
        }
        watched.waiting = watched.waiting.saturating_sub(1);
        if watched.waiting > 0 {
            return;
        }
        watched.open.clear();
        let now = self.asks.clock.now();
        if watched.judged.is_behind(now) {
            return;
        }
        let is_open = self.open.borrow().as_ref().is_some_and(|open| is_same(open, &key));
        watched.judged.judge(is_open || self.tells_all, now);
        let points = watched.judged.points();
        if self.asks.clock.uptime().saturating_sub(self.heard) > self.silent {
            return;
        }
        for (version, seconds) in points {
            said.extend(seconds.into_iter().map(|point| Delta::Point { key: key.clone(), version: version.clone(), point }));
        }
        said.extend(self.told(&key));
    }

    /// The rollout as it is to be shown.
    fn told(&self, key: &Key) -> Option<Delta> {
        let rollout = self.rollouts.get(key)?.clone();
        let decided = self.decided.get(key).cloned().unwrap_or_default();
        let mut rollout = match self.watched.get(key) {
            Some(watched) => watched.judged.decorate(rollout, self.asks.told.by(&self.asks.backend), self.asks.clock.now()),
            // It could be measured, and nobody looks.
            None => Rollout { measured: Some(self.asks.told.by(&self.asks.backend)), ..rollout },
        };
        if !decided.is_empty() {
            // On its way back what is measured of the candidate says nothing more of why.
            rollout.gates.clear();
            rollout.verdict = None;
        }
        rollout.decided = decided;
        Some(Delta::Apply { rollout: Box::new(rollout) })
    }

    /// Until something must be asked.
    fn wake(&self) -> Duration {
        let now = self.asks.clock.now();
        let idle = self.watched.values().filter(|w| w.waiting == 0);
        let next: Option<Time> = idle.filter_map(|w| w.judged.next(now)).min();
        next.map_or(IDLE, |next| until(now, next))
    }
}

impl Watched {
    fn renew(&mut self, life: u64) {
        self.open.drain(..).for_each(|handle| handle.abort());
        self.life = life;
        self.waiting = 0;
    }
}

/// Whether both name the same: a person's choice may lack the uid.
fn is_same(open: &Key, key: &Key) -> bool {
    let uid = open.uid.is_none() || open.uid == key.uid;
    open.target == key.target && open.scope == key.scope && open.service == key.service && uid
}
