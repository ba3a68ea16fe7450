//! The console's own state over one runtime, without a terminal: supervised as it is in the real loop,
//! typed at, and looked at.

use cutover::{
    app::{
        desk::Desk,
        keymap::Keymap,
        msg::{Effect, Msg, Planner, Stroke},
        state::{Following, Input, State},
        update::update,
    },
    clock::{Clock, SystemClock},
    model::{
        action::{Observation, Outcome, Plan, Refusal},
        delta::Delta,
        ident::{Key, TargetId},
        rollout::Rollout,
    },
    panel,
    runtime::{
        Ask, Link, Runtime,
        supervise::{Heard, Policy, supervise},
    },
    ui::look::Look,
};
use rand::SeedableRng;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Plans and confirms with one runtime.
struct Only<R>(R);

impl<R: Runtime> Planner for Only<R> {
    fn plan(&self, rollout: &Rollout, ask: &Ask) -> Result<Plan, Refusal> {
        self.0.plan(rollout, ask)
    }

    fn confirm(&self, plan: &Plan, rollout: &Rollout) -> Observation {
        self.0.confirm(plan, rollout)
    }
}

/// See the module.
pub struct Seat<R: Runtime + Clone> {
    pub state: State,
    /// Plans that were handed over, whatever became of them.
    pub sent: Vec<Plan>,
    /// Connections that were taken up so far.
    pub opened: Arc<AtomicUsize>,
    runtime: R,
    target: TargetId,
    clock: SystemClock,
    /// Time that was only claimed to have passed: between keys.
    ahead: Duration,
    heard: mpsc::UnboundedReceiver<Heard>,
    answers: mpsc::UnboundedReceiver<Msg>,
    answer: mpsc::UnboundedSender<Msg>,
    watching: JoinHandle<()>,
}

impl<R: Runtime + Clone> Seat<R> {
    pub fn at(target: &TargetId, runtime: R) -> Self {
        let (tell, heard) = mpsc::unbounded_channel();
        let (answer, answers) = mpsc::unbounded_channel();
        let opened = Arc::new(AtomicUsize::new(0));
        let (source, count, name) = (runtime.clone(), Arc::clone(&opened), target.text());
        // Tried again soon: that pauses grow is tested where they are made.
        let quick = Policy { first: Duration::from_millis(20), longest: Duration::from_millis(40), ..Policy::default() };
        let watching = tokio::spawn(async move {
            let clock = SystemClock::start();
            let open = || {
                count.fetch_add(1, Ordering::SeqCst);
                source.watch()
            };
            let rng = rand::rngs::StdRng::seed_from_u64(1);
            supervise(&name, quick, &clock, rng, open, |heard| drop(tell.send(heard))).await;
        });
        let keymap = Keymap::new(&panel::tables(&panel::all()), &std::collections::BTreeMap::new()).unwrap();
        let clock = SystemClock::start();
        // Actions are named after the start of a console: a target tells them apart by that.
        static SEATS: AtomicUsize = AtomicUsize::new(0);
        let ids = format!("seat-{}", SEATS.fetch_add(1, Ordering::SeqCst));
        let state = State::new(Look::FULL, panel::all(), Desk::new(keymap, Some("ana".into()), &ids), clock.now());
        let (target, sent, ahead) = (target.clone(), Vec::new(), Duration::ZERO);
        Self { state, sent, opened, runtime, target, clock, ahead, heard, answers, answer, watching }
    }

    /// One that shows the rollout already.
    pub async fn taken(target: &TargetId, runtime: R) -> Self {
        let mut seat = Self::at(target, runtime);
        seat.until("live", |s| s.is_live() && !s.shared().rollouts.is_empty()).await;
        seat
    }

    fn shared(&self) -> &cutover::app::state::Shared {
        &self.state.shared
    }

    pub fn is_live(&self) -> bool {
        matches!(self.link(), Some(Link::Live { .. }))
    }

    pub fn link(&self) -> Option<&Link> {
        self.shared().links.get(&self.target)
    }

    pub fn rollout(&self) -> &Rollout {
        &self.shared().rollouts.values().next().unwrap().rollout
    }

    /// Whether what is known is too old to act on.
    pub fn is_silent(&self) -> bool {
        self.shared().rollouts.values().any(|w| self.shared().silent(w).is_some())
    }

    pub fn followed(&self) -> Option<&Following> {
        self.state.following.last()
    }

    /// What is said of the last action.
    pub fn line(&self) -> String {
        self.followed().map_or_else(String::new, |f| f.line(self.shared().now).1.to_string())
    }

    pub fn msg(&mut self, msg: Msg) {
        let uptime = self.clock.uptime() + self.ahead;
        let runtime = Only(self.runtime.clone());
        for effect in update(&mut self.state, msg, self.clock.now(), uptime, &runtime) {
            self.perform(effect);
        }
    }

    /// As the real loop does it: an action is sent once, what became of it may be asked again.
    fn perform(&mut self, effect: Effect) {
        let (runtime, answer) = (self.runtime.clone(), self.answer.clone());
        match effect {
            Effect::Send { plan, .. } => {
                self.sent.push((*plan).clone());
                tokio::spawn(async move {
                    let outcome = runtime.apply(&plan).await;
                    let _ = answer.send(Msg::Outcome(plan.id, outcome));
                });
            }
            Effect::Resolve { id, .. } => {
                tokio::spawn(async move {
                    if let Ok(found) = runtime.resolve(&id).await {
                        let _ = answer.send(Msg::Resolved(id, found.map(|record| record.outcome)));
                    }
                });
            }
            _ => {}
        }
    }

    /// Takes in what comes until something is true.
    #[track_caller]
    pub fn until(&mut self, what: &str, is: impl Fn(&Self) -> bool) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move {
            let end = Instant::now() + PATIENCE;
            while !is(self) {
                assert!(
                    Instant::now() < end,
                    "{at}: never {what}: {:?}, {}, {:?}",
                    self.link(),
                    self.line(),
                    (&self.state.overlay, &self.state.notice)
                );
                self.next().await;
            }
        }
    }

    async fn next(&mut self) {
        let msg = tokio::select! {
            Some(heard) = self.heard.recv() => match heard {
                Heard::Link(link) => Msg::Link(self.target.clone(), link),
                Heard::Delta(delta) => Msg::Delta(self.target.clone(), delta),
            },
            Some(msg) = self.answers.recv() => msg,
            () = tokio::time::sleep(Duration::from_millis(100)) => Msg::Tick,
        };
        self.msg(msg);
        self.msg(Msg::Tick);
    }

    /// A change from the target, by hand.
    pub fn delta(&mut self, delta: Delta) {
        self.msg(Msg::Delta(self.target.clone(), delta));
    }

    /// One key after the other, each read after the frame that answers the one before.
    pub fn keys(&mut self, keys: &[&str]) {
        for key in keys {
            self.msg(Msg::Frame);
            self.msg(Msg::Painted(self.clock.uptime() + self.ahead));
            self.ahead += Duration::from_millis(400);
            let stroke = Stroke { input: Input::Key(key.parse().unwrap()), repeat: false, read_at: self.clock.uptime() + self.ahead };
            self.msg(Msg::Input { batch: vec![stroke] });
        }
    }

    /// What the console knows, as one picture to compare.
    pub fn picture(&self) -> Vec<(Key, Rollout)> {
        self.shared().rollouts.iter().map(|(key, w)| (key.clone(), w.rollout.clone())).collect()
    }

    /// What is known, and nothing of what the last action did.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.followed().and_then(|f| f.outcome.as_ref())
    }
}

impl<R: Runtime + Clone> Drop for Seat<R> {
    fn drop(&mut self) {
        self.watching.abort();
    }
}
