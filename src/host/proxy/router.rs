//! The table, the instances behind it, and what each of them has in flight.

use super::{
    Arm, Lingering, Table, Upstream,
    pool::Idle,
    split::Split,
    who::{self, Dealt, Rules, Who},
};
use crate::{
    clock::Clock,
    conductor::life::PoolId,
    host::meter::{Head, Meter, Part},
    model::{ratio::Weight, spec::ProxySpec, text::Text, time::Time},
};
use futures::task::AtomicWaker;
use hyper::{Method, Uri};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

/// Paths longer than this are shortened where they are shown.
const SHOWN_PATH: usize = 512;

/// Routes requests. Its lock is held for a few hundred nanoseconds and never while waiting.
pub struct Router {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    unrouted: AtomicU64,
}

/// How requests are told apart and passed on.
#[derive(Clone, Default)]
pub struct Settings {
    pub spec: ProxySpec,
    pub rules: Rules,
    /// What is answered while there is no version at all.
    pub closed: &'static str,
}

struct State {
    settings: Arc<Settings>,
    stable: Option<Place>,
    candidate: Option<Place>,
    split: Split,
    /// Whether testers reach the candidate.
    testers: bool,
    /// Which clients the candidate meets first.
    salt: u64,
    meters: HashMap<PoolId, Arc<Meter>>,
    /// What testers asked for, which nobody judges.
    tested: HashMap<PoolId, Arc<Meter>>,
    /// Instances that left the table and still have requests.
    leaving: Vec<Arc<Instance>>,
    names: u64,
}

/// A version in the table.
struct Place {
    pool: PoolId,
    meter: Arc<Meter>,
    ready: Vec<Arc<Instance>>,
    /// Where the search for the least loaded one starts, so that ties take turns.
    turn: usize,
}

/// One instance, from its first request to the end of its last one.
pub struct Instance {
    pub pool: PoolId,
    pub upstream: Upstream,
    pub idle: Idle,
    /// Its part of its version's requests.
    part: Arc<Part>,
    /// Requests and upgraded connections that are not over.
    active: Mutex<HashMap<u64, Arc<Active>>>,
    load: AtomicU64,
    upgraded: AtomicU64,
}

/// One request that is not over.
pub struct Active {
    pub method: Method,
    pub uri: Uri,
    pub since: Time,
    upgraded: AtomicBool,
    cut: AtomicBool,
    waker: AtomicWaker,
}

/// Where a request goes, or why it goes nowhere.
pub enum Pick {
    /// To this instance; it is counted in flight there until the ticket is dropped.
    Go(Ticket),
    /// The version it is meant for has no ready instance. `None`: there is no version at all.
    Nowhere(Option<Missed>),
}

/// A request that its version could not take. It is counted as started and waits to be counted as answered.
pub struct Missed {
    pub pool: PoolId,
    pub meter: Arc<Meter>,
    pub since: Time,
}

/// A request's place in the count of what is in flight.
pub struct Ticket {
    pub instance: Arc<Instance>,
    pub meter: Arc<Meter>,
    pub active: Arc<Active>,
    name: u64,
    /// A tester's: its instance is judged by what clients see of it.
    apart: bool,
    upgraded: bool,
    /// It came to its end; if not when it is dropped, the client went away.
    over: bool,
}

impl Router {
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Self {
        let state = State {
            settings: Arc::new(settings),
            stable: None,
            candidate: None,
            split: Split::new(),
            testers: false,
            salt: 0,
            meters: HashMap::new(),
            tested: HashMap::new(),
            leaving: Vec::new(),
            names: 0,
        };
        Self { clock, state: Mutex::new(state), unrouted: AtomicU64::new(0) }
    }

    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.state().settings)
    }

    pub fn configure(&self, change: impl FnOnce(&mut Settings)) {
        let mut state = self.state();
        let mut settings = Settings::clone(&state.settings);
        change(&mut settings);
        state.settings = Arc::new(settings);
    }

    pub fn program(&self, table: Table) {
        let mut guard = self.state();
        let state = &mut *guard;
        let mut known: Vec<Arc<Instance>> = std::mem::take(&mut state.leaving);
        for place in [state.stable.take(), state.candidate.take()].into_iter().flatten() {
            known.extend(place.ready);
        }
        let weight = if table.candidate.is_some() { table.weight } else { Weight::ZERO };
        state.stable = table.stable.map(|arm| Place::new(arm, &mut known, &mut state.meters));
        state.candidate = table.candidate.map(|arm| Place::new(arm, &mut known, &mut state.meters));
        state.split.set(weight);
        state.testers = table.testers;
        state.salt = state.candidate.as_ref().map_or(0, |place| who::salt(place.pool.version.as_str()));
        for instance in &known {
            instance.idle.retire(true);
        }
        known.retain(|i| i.load() > 0);
        state.leaving = known;
    }

    pub fn programmed(&self) -> (Option<PoolId>, Weight) {
        let state = self.state();
        (state.candidate.as_ref().map(|p| p.pool.clone()), state.split.weight())
    }

    pub fn stable(&self) -> Option<PoolId> {
        self.state().stable.as_ref().map(|p| p.pool.clone())
    }

    pub fn meter(&self, pool: &PoolId) -> Arc<Meter> {
        meter(&mut self.state().meters, pool)
    }

    pub fn forget(&self, pool: &PoolId) {
        let mut state = self.state();
        if !state.instances().any(|i| i.pool == *pool && i.load() > 0) && !state.places().any(|p| p.pool == *pool) {
            state.meters.remove(pool);
            state.tested.remove(pool);
        }
    }

    pub fn tested(&self, pool: &PoolId) -> Option<Arc<Meter>> {
        self.state().tested.get(pool).map(Arc::clone)
    }

    pub fn unrouted(&self) -> u64 {
        self.unrouted.load(Ordering::Relaxed)
    }

    /// Picks a version and its least loaded instance, and counts the request in flight there. Says where
    /// a client that was not known was dealt to.
    pub fn pick(&self, who: Who, method: &Method, uri: &Uri) -> (Pick, Option<Dealt>) {
        let mut guard = self.state();
        let state = &mut *guard;
        if who == Who::Tester
            && let Some(ticket) = self.pick_tester(state, method, uri)
        {
            return (Pick::Go(ticket), None);
        }
        let (weight, salt) = (state.split.weight(), state.salt);
        let candidate = match who {
            Who::Client(client) => who::is_candidates(client, salt, weight),
            Who::Anyone | Who::New | Who::Tester => state.split.deal(),
        };
        (self.pick_in(state, candidate, method, uri), (who == Who::New).then_some(Dealt { candidate, weight, salt }))
    }

    /// A tester reaches a candidate that is ready, and is counted apart.
    fn pick_tester(&self, state: &mut State, method: &Method, uri: &Uri) -> Option<Ticket> {
        let candidate = state.candidate.as_mut().filter(|_| state.testers)?;
        let instance = candidate.least_loaded(None)?;
        let meter = meter(&mut state.tested, &candidate.pool);
        let mut ticket = Ticket::new(instance, &meter, &mut state.names, method, uri, self.clock.now());
        ticket.apart = true;
        Some(ticket)
    }

    fn pick_in(&self, state: &mut State, for_candidate: bool, method: &Method, uri: &Uri) -> Pick {
        let now = self.clock.now();
        let mut meant = None;
        if for_candidate && let Some(candidate) = &mut state.candidate {
            if let Some(instance) = candidate.least_loaded(None) {
                return Pick::Go(Ticket::new(instance, &candidate.meter, &mut state.names, method, uri, now));
            }
            // It spills to stable; the other direction does not exist.
            candidate.meter.unavailable();
            meant = Some(&*candidate);
        }
        if let Some(stable) = &mut state.stable {
            if let Some(instance) = stable.least_loaded(None) {
                return Pick::Go(Ticket::new(instance, &stable.meter, &mut state.names, method, uri, now));
            }
            stable.meter.unavailable();
            meant = Some(&*stable);
        }
        match meant {
            Some(place) => place.meter.start(now),
            None => drop(self.unrouted.fetch_add(1, Ordering::Relaxed)),
        }
        Pick::Nowhere(meant.map(|p| Missed { pool: p.pool.clone(), meter: Arc::clone(&p.meter), since: now }))
    }

    /// Moves a request that will be sent again to another instance of its version, if the version is
    /// still in the table and has another one; else it stays, because nothing new may start on a
    /// version that was switched off.
    pub fn pick_again(&self, ticket: &mut Ticket) {
        let mut state = self.state();
        let other = state.places_mut().find(|p| p.pool == ticket.instance.pool).and_then(|p| p.least_loaded(Some(&ticket.instance)));
        if let Some(other) = other {
            ticket.move_to(other);
        }
    }

    pub fn count(&self, of: impl Fn(&Instance) -> bool, upgraded: bool) -> u64 {
        self.state()
            .instances()
            .filter(|i| of(i))
            .map(|i| if upgraded { i.upgraded() } else { i.load().saturating_sub(i.upgraded()) })
            .sum()
    }

    pub fn lingering(&self, pool: &PoolId) -> Vec<Lingering> {
        let state = self.state();
        let mut all = Vec::new();
        for instance in state.instances().filter(|i| i.pool == *pool) {
            all.extend(instance.active().values().map(|a| a.lingering(&instance.upstream)));
        }
        drop(state);
        all.sort_by(|a, b| (a.since, &a.instance).cmp(&(b.since, &b.instance)));
        all
    }

    pub fn cut(&self, of: impl Fn(&Instance) -> bool) -> u64 {
        self.state().instances().filter(|i| of(i)).map(|i| i.active().values().filter(|a| a.cut()).count() as u64).sum()
    }

    /// Closes what was idle for too long.
    pub fn sweep(&self) {
        let mut state = self.state();
        state.leaving.retain(|i| i.load() > 0);
        for instance in state.instances() {
            instance.idle.sweep();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn places(&self) -> impl Iterator<Item = &Place> {
        self.stable.iter().chain(&self.candidate)
    }

    fn places_mut(&mut self) -> impl Iterator<Item = &mut Place> {
        self.stable.iter_mut().chain(&mut self.candidate)
    }

    fn instances(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.places().flat_map(|p| &p.ready).chain(&self.leaving)
    }
}

fn meter(meters: &mut HashMap<PoolId, Arc<Meter>>, pool: &PoolId) -> Arc<Meter> {
    Arc::clone(meters.entry(pool.clone()).or_insert_with(|| Arc::new(Meter::new())))
}

impl Place {
    /// Takes over from `known` what it has of this pool.
    fn new(arm: Arm, known: &mut Vec<Arc<Instance>>, meters: &mut HashMap<PoolId, Arc<Meter>>) -> Self {
        let meter = meter(meters, &arm.pool);
        let ready = arm.upstreams.into_iter().map(|upstream| {
            let same = known.iter().position(|i| i.pool == arm.pool && i.upstream == upstream);
            let instance = same.map_or_else(
                || {
                    let part = meter.part(&upstream.instance);
                    Arc::new(Instance::new(arm.pool.clone(), upstream, part))
                },
                |at| known.swap_remove(at),
            );
            instance.idle.retire(false);
            instance
        });
        Self { ready: ready.collect(), meter, pool: arm.pool, turn: 0 }
    }

    /// The instance with the fewest requests, ties in turn.
    fn least_loaded(&mut self, except: Option<&Arc<Instance>>) -> Option<Arc<Instance>> {
        self.turn = self.turn.wrapping_add(1);
        let start = self.turn.checked_rem(self.ready.len())?;
        let (before, from) = self.ready.split_at_checked(start)?;
        // `min_by_key` takes the first of equals.
        from.iter().chain(before).filter(|i| except.is_none_or(|e| !Arc::ptr_eq(i, e))).min_by_key(|i| i.load()).cloned()
    }
}

/// The path without the query, shortened.
pub fn shown_path(uri: &Uri) -> Text {
    let path = uri.path();
    if path.len() <= SHOWN_PATH {
        return path.into();
    }
    let end = (0..=SHOWN_PATH).rev().find(|i| path.is_char_boundary(*i)).unwrap_or(0);
    format!("{}…", path.get(..end).unwrap_or_default()).into()
}

impl Instance {
    fn new(pool: PoolId, upstream: Upstream, part: Arc<Part>) -> Self {
        Self { pool, upstream, part, idle: Idle::default(), active: Mutex::default(), load: AtomicU64::new(0), upgraded: AtomicU64::new(0) }
    }

    fn load(&self) -> u64 {
        self.load.load(Ordering::Acquire)
    }

    fn upgraded(&self) -> u64 {
        self.upgraded.load(Ordering::Acquire)
    }

    fn active(&self) -> MutexGuard<'_, HashMap<u64, Arc<Active>>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, name: u64, active: &Arc<Active>) {
        self.active().insert(name, Arc::clone(active));
        self.load.fetch_add(1, Ordering::AcqRel);
    }

    fn leave(&self, name: u64) {
        self.active().remove(&name);
        self.load.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Active {
    pub fn method(&self) -> Text {
        self.method.as_str().into()
    }

    pub fn path(&self) -> Text {
        shown_path(&self.uri)
    }

    /// Ready once somebody has decided to cut it.
    pub fn poll_cut(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_cut() {
            return Poll::Ready(());
        }
        self.waker.register(cx.waker());
        if self.is_cut() { Poll::Ready(()) } else { Poll::Pending }
    }

    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// Whether this was the first to decide it.
    fn cut(&self) -> bool {
        let first = !self.cut.swap(true, Ordering::AcqRel);
        self.waker.wake();
        first
    }

    fn is_upgraded(&self) -> bool {
        self.upgraded.load(Ordering::Acquire)
    }

    fn lingering(&self, upstream: &Upstream) -> Lingering {
        Lingering {
            instance: upstream.instance.clone(),
            method: self.method(),
            path: self.path(),
            since: self.since,
            upgraded: self.is_upgraded(),
        }
    }
}

impl Ticket {
    fn new(instance: Arc<Instance>, meter: &Arc<Meter>, names: &mut u64, method: &Method, uri: &Uri, now: Time) -> Self {
        *names += 1;
        let active = Arc::new(Active {
            method: method.clone(),
            uri: uri.clone(),
            since: now,
            upgraded: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        meter.start(now);
        instance.enter(*names, &active);
        Self { instance, meter: Arc::clone(meter), active, name: *names, apart: false, upgraded: false, over: false }
    }

    fn move_to(&mut self, other: Arc<Instance>) {
        other.enter(self.name, &self.active);
        self.instance.leave(self.name);
        self.instance = other;
    }

    /// The response head goes down, by this instance or because it failed.
    pub fn head(&self, head: Head) {
        self.meter.head(head, (!self.apart).then_some(&*self.instance.part));
    }

    /// It is an upgraded connection from now on.
    pub fn upgrade(&mut self) {
        self.upgraded = true;
        self.active.upgraded.store(true, Ordering::Release);
        self.instance.upgraded.fetch_add(1, Ordering::AcqRel);
    }

    /// It came to its end, good or bad, and not because its client went away.
    pub fn done(mut self) {
        self.over = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.over && !self.active.is_cut() {
            self.meter.abort();
        }
        if self.upgraded {
            self.instance.upgraded.fetch_sub(1, Ordering::AcqRel);
        }
        self.instance.leave(self.name);
        self.meter.end(self.upgraded);
    }
}
