//! Rollouts of a runtime that has no judge of ours, judged by it all the same: what a metrics backend
//! measured of their versions becomes gates, a verdict, signals and a past.
//!
//! ```text
//! runtime ─► deltas ─┬───────────────────────────────────────────────► deltas, with verdicts
//!                    └► compared: which versions, since when              ▲
//!                           └► metrics::feed ◄─► backend                  │
//!                                   └► intervals ─► judge::Ledger ─► judged
//! ```
//!
//! Whoever reads the stream drives all of it, and when nobody does nothing is asked. Nothing is kept
//! between two lives of a console: a run is read from the backend's history and judged as it would have
//! been live ([`feed`](crate::metrics::feed)), so the odds of a run are those of the whole run; of one that
//! began more than six hours before the console did, those of the last six hours, which is said.
//!
//! It advises. Nothing here conducts a rollout, so no gate here holds it or goes back by itself.

mod compared;
mod judged;
mod lent;
mod past;
mod watch;

pub use compared::values;

use crate::{
    clock::Clock,
    metrics::{
        Metrics, Origin,
        alerts::{Board, Rule},
        feed::Pace,
        preset::Queries,
        template::Variables,
    },
    model::{
        action::{Observation, Outcome, Plan, Refusal},
        delta::Delta,
        event::LogLine,
        ident::{ActionId, GateId, Key},
        rollout::{MeasuredBy, Rollout},
        spec::{GateSignal, GateSpec, OnFail},
        text::Text,
        wire::ActionRecord,
    },
    runtime::{Ask, Fault, Runtime, driven, supervise::Policy},
};
use futures::{Stream, StreamExt, future::join_all};
use judged::Judged;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch::Sender},
    time::timeout,
};
use watch::{Asks, Desk};

/// Deltas that wait to be taken.
const DELTAS: usize = 256;

/// How long a picture for the command line waits for the backend.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is asked of a backend, and how it is judged.
#[derive(Clone, Debug)]
pub struct How {
    /// What the series are called.
    pub queries: Queries,
    /// Where that is written.
    pub origin: Origin,
    /// Rules over them.
    pub gates: Vec<GateSpec>,
    /// How often the open rollout is measured; the others in progress four times as seldom.
    pub pace: Pace,
    /// What the configuration fills into queries, before what a rollout itself says.
    pub variables: Variables,
    /// By what an alert is about a rollout.
    pub alerts: Rule,
    /// Whether what a rollout's own analyses ask is judged too.
    pub analyses: bool,
}

impl How {
    /// The gates that are judged where none are configured: errors, and requests that are slower than
    /// stable's were, as far as this stack can tell.
    #[must_use]
    pub fn usual_gates(queries: &Queries) -> Vec<GateSpec> {
        let usual = [("errors", GateSignal::Errors), ("slow", GateSignal::Slow), ("restarts", GateSignal::Restarts)];
        let usual =
            usual.into_iter().map(|(name, signal)| GateSpec { on_fail: OnFail::Advise, ..GateSpec::new(GateId::new(name), signal) });
        let has = |gate: &GateSpec| {
            let (hits, of) = queries.needs(gate);
            queries.get(hits).is_some() && queries.get(of).is_some() && queries.can_judge(gate).is_ok()
        };
        usual.filter(has).collect()
    }

    /// Who measures, for people; `place` is asked.
    fn told(&self, place: &Text) -> MeasuredBy {
        let own = if self.analyses { ", and what the rollout's own analyses ask" } else { "" };
        let stack = if self.queries.all().next().is_some() { format!(", preset {}", self.origin.preset) } else { String::new() };
        let all = Text::from(format!("{place}{stack}{own}"));
        MeasuredBy { signals: all.clone(), gates: all, queries: self.queries.written(), backend: None }
    }

    /// The same, with gates that advise: nothing here acts by itself.
    #[must_use]
    pub fn advising(mut self) -> Self {
        for gate in &mut self.gates {
            gate.on_fail = OnFail::Advise;
        }
        self
    }
}

impl MeasuredBy {
    /// The same, with how the backend was met until now.
    fn by(&self, backend: &impl Metrics) -> Self {
        Self { backend: backend.met(), ..self.clone() }
    }
}

/// A runtime whose rollouts are judged from a metrics backend.
pub struct Observed<R, M> {
    inner: R,
    backend: M,
    how: Arc<How>,
    told: Arc<MeasuredBy>,
    board: Arc<Board>,
    clock: Arc<dyn Clock>,
    open: Sender<Option<Key>>,
    /// Whether the evidence of every rollout is told, and not only of the open one.
    tells_all: bool,
}

impl<R: Runtime, M: Metrics + Clone> Observed<R, M> {
    /// Nothing is asked before somebody looks.
    #[must_use]
    pub fn new(inner: R, backend: M, how: How, clock: Arc<dyn Clock>) -> Self {
        let board = Arc::new(Board::new(how.alerts.clone()));
        let told = Arc::new(how.told(backend.place()));
        Self { inner, backend, how: Arc::new(how.advising()), told, board, clock, open: Sender::new(None), tells_all: false }
    }

    /// The same for whoever reads the evidence of every rollout: it is of now, of whichever is told. Otherwise only
    /// the open one has that, and a list says verdicts. How often it is asked for stays the same.
    #[must_use]
    pub fn telling_all(self) -> Self {
        Self { tells_all: true, ..self }
    }

    /// The runtime itself.
    #[must_use]
    pub const fn inner(&self) -> &R {
        &self.inner
    }

    /// These rollouts of it with what can be said of those in progress now, from the backend's history.
    /// A backend that does not answer in time delays nothing for longer, and its gates are blind.
    pub async fn judge(&self, rollouts: Vec<Rollout>) -> Vec<Rollout> {
        let judged = rollouts.into_iter().map(|rollout| async move {
            let Some(pace) = judged::pace(&rollout, false, self.how.pace) else {
                return Rollout { measured: Some(self.told.by(&self.backend)), ..rollout };
            };
            let mut judged = Judged::new(&rollout, pace, &self.how, self.clock.now());
            // Asked at once, so its age is the youngest there is: as one looks at an open rollout.
            let _ = timeout(PATIENCE, judged.catch_up(&self.backend, &self.how, &*self.clock)).await;
            let fired = timeout(PATIENCE, self.board.firing(&self.backend, self.clock.uptime(), pace.every)).await;
            if let Ok(fired) = fired {
                judged.take_alerts(&fired, &self.board, self.clock.now());
            }
            judged.judge(true, self.clock.now());
            judged.decorate(rollout, self.told.by(&self.backend), self.clock.now())
        });
        join_all(judged).await
    }
}

impl<R: Runtime, M: Metrics + Clone> Runtime for Observed<R, M> {
    fn watch(&self) -> impl Stream<Item = Result<Delta, Fault>> + Send + 'static {
        let (out, deltas) = mpsc::channel(DELTAS);
        let silent = self.inner.policy().stale;
        let (told, board, clock) = (Arc::clone(&self.told), Arc::clone(&self.board), Arc::clone(&self.clock));
        let asks = Asks { backend: self.backend.clone(), told, board, clock };
        let desk = Desk::new(asks, Arc::clone(&self.how), self.open.subscribe(), silent);
        let desk = if self.tells_all { desk.telling_all() } else { desk };
        driven(desk.run(self.inner.watch().boxed(), out), deltas)
    }

    fn plan(&self, rollout: &Rollout, ask: &Ask) -> Result<Plan, Refusal> {
        self.inner.plan(rollout, ask)
    }

    async fn apply(&self, plan: &Plan) -> Outcome {
        self.inner.apply(plan).await
    }

    async fn resolve(&self, id: &ActionId) -> Result<Option<ActionRecord>, Fault> {
        self.inner.resolve(id).await
    }

    fn confirm(&self, plan: &Plan, rollout: &Rollout) -> Observation {
        self.inner.confirm(plan, rollout)
    }

    fn policy(&self) -> Policy {
        self.inner.policy()
    }

    fn focus(&self, key: Option<&Key>) {
        self.inner.focus(key);
        self.open.send_if_modified(|open| {
            let other = open.as_ref() != key;
            *open = key.cloned();
            other
        });
    }

    fn logs(&self, key: &Key, after: Option<u64>) -> impl Stream<Item = Result<LogLine, Fault>> + Send + 'static {
        self.inner.logs(key, after)
    }
}

#[cfg(test)]
mod tests;
