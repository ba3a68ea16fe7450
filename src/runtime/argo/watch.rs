//! Everything that is looked at in a cluster, from the first list on: rollouts always, what belongs to
//! one of them only while that one is open.
//!
//! The rollouts come first and are told at once. Feeds mend themselves ([`feed`]); only one of rollouts that
//! cannot go on ends the source, which is then opened again by [`supervise`](crate::runtime::supervise).
//! What the controller writes comes in bursts of two to five, milliseconds apart: a rollout is told once
//! for each of them.

pub mod feed;
pub mod needs;
pub mod query;

use super::{
    connect::{Session, kubeconfig::Resolved},
    kind::{Cover, Coverage, Kind},
};
use crate::{
    model::{
        delta::Delta,
        event::Event,
        ident::{Key, Rev},
        rollout::{Finding, Phase, Rollout, Seen},
        text::{Raw, Text},
        time::Time,
    },
    runtime::Fault,
};
use feed::{Feed, FeedId, News, Patience};
use futures::future::join_all;
use needs::Needs;
use query::{Listed, No, Query};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::value::RawValue;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

/// From the first change of a rollout to when it is told.
const GATHER: Duration = Duration::from_millis(30);
/// What depends on the time is looked at again so often, while a rollout moves.
const MOVING: Duration = Duration::from_secs(1);
/// How long after its last change a rollout that does not move is looked at once more: by then the
/// controller has noticed what was written, or has not.
const SETTLED: Duration = Duration::from_secs(4);
/// After so long a write that the controller has not looked at was overlooked.
const OVERLOOKED: Duration = Duration::from_millis(3_100);
/// The expected interval between two signs of life: bookmarks.
const FRESH: Duration = Duration::from_secs(60);
/// News that wait at most.
const NEWS: usize = 256;
/// How often a busy server is asked for the first list.
const TRIES: usize = 4;
/// The longest pause between two of these.
const BUSY: Duration = Duration::from_secs(5);
/// A label that everything has which belongs to a rollout or an experiment.
pub const HASH: &str = "rollouts-pod-template-hash";

/// Namespace and name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Name {
    /// The namespace.
    pub namespace: String,
    /// The name in it.
    pub name: String,
}

/// What is known of the objects of a cluster, and what it means for a person.
pub trait Objects: Default + Send + Sync + 'static {
    /// What follows is heard at this time of the server's clock.
    fn at(&mut self, _now: Time) {}
    /// These are all objects of a kind, in this namespace or everywhere.
    fn swap(&mut self, kind: Kind, namespace: Option<&str>, objects: &[Box<RawValue>]);
    /// An object is there, or otherwise than it was.
    fn apply(&mut self, kind: Kind, object: &RawValue);
    /// An object is gone; this is what it was.
    fn delete(&mut self, kind: Kind, object: &RawValue);
    /// A rollout as it is by the server's clock `now`; `None` if there is none of this name. The target, the
    /// revision and gaps of the coverage are filled in by whoever asks.
    fn project(&self, name: &Name, now: Time, coverage: &Coverage) -> Option<Rollout>;
    /// Whether a rollout was written to and nobody has looked at it yet: by itself that is the work of a moment.
    fn is_waiting(&self, _name: &Name) -> bool {
        false
    }
    /// What happened to a rollout after the event with this number, oldest first.
    fn events(&self, name: &Name, after: u64) -> Vec<Event>;
}

/// Which namespaces are looked at, and what is to be said about that.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Scope {
    /// `None` is all of them.
    namespaces: Vec<Option<String>>,
    /// What is not seen.
    notes: Vec<Text>,
}

/// One connected source.
pub struct Watch<O> {
    session: Arc<Session>,
    /// What is open.
    open: watch::Receiver<Option<Name>>,
    patience: Patience,
    epoch: u64,
    rev: u64,
    objects: O,
    rollouts: BTreeMap<Name, Known>,
    notes: Vec<(Text, Time)>,
    feeds: JoinSet<(FeedId, Fault)>,
    /// What each feed feeds.
    fed: BTreeMap<FeedId, Fed>,
    next_feed: FeedId,
    news: mpsc::Receiver<(FeedId, News)>,
    tell_news: mpsc::Sender<(FeedId, News)>,
    out: mpsc::Sender<Delta>,
    /// What is needed of the open rollout now.
    looking: Option<(Name, Needs)>,
    coverage: Coverage,
    /// Since when there are gaps.
    gaps: BTreeMap<Kind, Time>,
    dirty: BTreeSet<Name>,
    flush_at: Option<Instant>,
    look_at: Instant,
    beat_at: Option<Instant>,
}

struct Fed {
    kind: Kind,
    namespace: Option<String>,
    stop: tokio::task::AbortHandle,
}

/// What is known of a rollout beside its objects.
struct Known {
    needs: Needs,
    /// As it was told last.
    told: Option<Rollout>,
    /// The number of the last event that was told.
    event: u64,
    changed: Instant,
    /// Whether it was looked at since it settled.
    settled: bool,
}

/// The reader of the deltas is gone.
struct Unheard;

impl<O: Objects> Watch<O> {
    /// Reads nothing yet.
    pub fn new(
        session: Arc<Session>,
        open: watch::Receiver<Option<Name>>,
        patience: Patience,
        epoch: u64,
        out: mpsc::Sender<Delta>,
    ) -> Self {
        let (tell_news, news) = mpsc::channel(NEWS);
        Self {
            session,
            open,
            patience,
            epoch,
            rev: 0,
            objects: O::default(),
            rollouts: BTreeMap::new(),
            notes: Vec::new(),
            feeds: JoinSet::new(),
            fed: BTreeMap::new(),
            next_feed: 0,
            news,
            tell_news,
            out,
            looking: None,
            coverage: Coverage::default(),
            gaps: BTreeMap::new(),
            dirty: BTreeSet::new(),
            flush_at: None,
            look_at: Instant::now() + MOVING,
            beat_at: None,
        }
    }

    /// Runs until it cannot go on; why.
    pub async fn run(mut self) -> Fault {
        match self.begin().await {
            Ok(Ok(())) => {}
            Ok(Err(Unheard)) => return self.closed().await,
            Err(fault) => return fault,
        }
        loop {
            let flush = self.flush_at;
            let step = tokio::select! {
                Some((id, news)) = self.news.recv() => self.hear(id, news).await,
                Some(ended) = self.feeds.join_next() => match ended {
                    Ok((_, fault)) => return fault,
                    Err(e) if e.is_cancelled() => Ok(()),
                    Err(_) => return Fault::Protocol { place: self.session.place().await, what: "something that we cannot handle".into() },
                },
                Ok(()) = self.open.changed() => { self.refocus(); Ok(()) }
                () = sleep_until(flush.unwrap_or_else(Instant::now)), if flush.is_some() => self.flush().await,
                () = sleep_until(self.look_at), if self.moves() => { self.look(); Ok(()) }
            };
            if step.is_err() {
                return self.closed().await;
            }
        }
    }

    async fn closed(&self) -> Fault {
        Fault::Closed { place: self.session.place().await }
    }

    /// The first lists: they are told, and watched from there.
    async fn begin(&mut self) -> Result<Result<(), Unheard>, Fault> {
        let resolved = self.session.resolve().await?;
        let (scope, lists) = scope(&self.session, &resolved).await?;
        let now = self.session.now();
        self.notes = scope.notes.into_iter().map(|note| (note, now)).collect();
        self.coverage.set(Kind::Rollouts, Cover::Whole);
        self.objects.at(now);
        for (namespace, listed) in &lists {
            self.objects.swap(Kind::Rollouts, namespace.as_deref(), &listed.objects);
            self.name_all(namespace.as_deref(), &listed.objects);
        }
        if self.tell_all(now).await.is_err() {
            return Ok(Err(Unheard));
        }
        for (namespace, listed) in lists {
            self.feed(Query::all(Kind::Rollouts, namespace.as_deref()), Some(listed));
        }
        self.open.mark_changed();
        Ok(Ok(()))
    }

    async fn tell_all(&mut self, now: Time) -> Result<(), Unheard> {
        self.tell(Delta::Init { version: 1, epoch: self.epoch, server_time: now }).await?;
        self.dirty = self.rollouts.keys().cloned().collect();
        self.flush().await?;
        self.tell(Delta::InitDone { rev: Rev(self.rev) }).await
    }

    fn feed(&mut self, query: Query, first: Option<Listed>) {
        let id = self.next_feed;
        self.next_feed += 1;
        let essential = query.kind == Kind::Rollouts;
        let (kind, namespace) = (query.kind, query.namespace.clone());
        let (session, out) = (Arc::clone(&self.session), self.tell_news.clone());
        let feed = Feed { id, session, query, patience: self.patience, essential, out };
        // Feeds of one cluster do not ask in step.
        let rng = StdRng::seed_from_u64(self.epoch.wrapping_mul(31).wrapping_add(id));
        let stop = self.feeds.spawn(async move { (id, feed.run(rng, first).await) });
        self.fed.insert(id, Fed { kind, namespace, stop });
    }

    async fn hear(&mut self, id: FeedId, news: News) -> Result<(), Unheard> {
        let Some(fed) = self.fed.get(&id) else { return Ok(()) }; // it was stopped
        let (kind, namespace) = (fed.kind, fed.namespace.clone());
        if kind == Kind::Rollouts {
            self.beat().await?;
        }
        self.objects.at(self.session.now());
        match news {
            News::Listed(objects) => {
                self.objects.swap(kind, namespace.as_deref(), &objects);
                if kind == Kind::Rollouts {
                    self.name_all(namespace.as_deref(), &objects);
                }
                self.cover(kind, Cover::Whole);
                self.touch_all(kind);
            }
            News::Changed(object) => {
                self.objects.apply(kind, &object);
                self.touch(kind, &object, false);
            }
            News::Gone(object) => {
                self.objects.delete(kind, &object);
                self.touch(kind, &object, true);
            }
            News::Heard => {}
            News::Mended => self.cover(kind, Cover::Whole),
            News::Denied(what) => self.cover(kind, Cover::Denied(what)),
            News::Troubled(fault) => {
                tracing::warn!("{kind}: {fault}");
                let known = self.coverage.has(kind);
                let why = Text::from(fault.to_string());
                self.cover(kind, if known { Cover::Old(why) } else { Cover::Denied(why) });
            }
        }
        Ok(())
    }

    /// Rollouts of a list: those of before that are not in it are gone.
    fn name_all(&mut self, namespace: Option<&str>, objects: &[Box<RawValue>]) {
        let listed: BTreeMap<Name, Needs> = objects.iter().filter_map(|object| Needs::of(object)).collect();
        let before = self.rollouts.keys().filter(|name| namespace.is_none_or(|ns| ns == name.namespace));
        self.dirty.extend(before.filter(|name| !listed.contains_key(name)).cloned().collect::<Vec<_>>());
        for (name, needs) in listed {
            self.know(name, needs);
        }
    }

    fn know(&mut self, name: Name, needs: Needs) {
        let now = Instant::now();
        let known = self.rollouts.entry(name).or_insert_with(|| Known {
            needs: Needs::default(),
            told: None,
            event: 0,
            changed: now,
            settled: false,
        });
        (known.needs, known.changed, known.settled) = (needs, now, false);
    }

    fn touch_all(&mut self, kind: Kind) {
        if kind == Kind::Rollouts {
            self.dirty.extend(self.rollouts.keys().cloned().collect::<Vec<_>>());
            self.refocus();
        } else if let Some((name, _)) = &self.looking {
            self.dirty.insert(name.clone());
        }
        self.soon();
    }

    fn touch(&mut self, kind: Kind, object: &RawValue, gone: bool) {
        if kind == Kind::Rollouts {
            let Some((name, needs)) = Needs::of(object) else { return };
            let open = self.looking.as_ref().is_some_and(|(open, before)| *open == name && *before != needs);
            if !gone {
                self.know(name.clone(), needs);
            }
            self.dirty.insert(name);
            if open {
                self.refocus();
            }
        } else if let Some((name, _)) = &self.looking {
            self.dirty.insert(name.clone());
        }
        self.soon();
    }

    fn soon(&mut self) {
        self.flush_at.get_or_insert_with(|| Instant::now() + GATHER);
    }

    fn cover(&mut self, kind: Kind, cover: Cover) {
        let now = self.session.now();
        match cover {
            Cover::Denied(_) | Cover::Old(_) => drop(self.gaps.entry(kind).or_insert(now)),
            _ => drop(self.gaps.remove(&kind)),
        }
        if self.coverage.set(kind, cover) {
            self.touch_all_of_cover(kind);
        }
    }

    fn touch_all_of_cover(&mut self, kind: Kind) {
        if kind == Kind::Rollouts {
            self.dirty.extend(self.rollouts.keys().cloned().collect::<Vec<_>>());
        } else if let Some((name, _)) = &self.looking {
            self.dirty.insert(name.clone());
        }
        self.soon();
    }

    /// Looks at what belongs to the open rollout, and no longer at what belonged to another one.
    fn refocus(&mut self) {
        let open = self.open.borrow_and_update().clone();
        let wanted = open.and_then(|name| Some((name.clone(), self.rollouts.get(&name)?.needs.clone())));
        if wanted == self.looking {
            return;
        }
        let before = std::mem::replace(&mut self.looking, wanted);
        for (id, fed) in std::mem::take(&mut self.fed) {
            if fed.kind == Kind::Rollouts {
                self.fed.insert(id, fed);
                continue;
            }
            fed.stop.abort();
            self.objects.swap(fed.kind, None, &[]);
            self.coverage.set(fed.kind, Cover::NotAsked);
            self.gaps.remove(&fed.kind);
        }
        self.dirty.extend(before.map(|(name, _)| name));
        if let Some((name, needs)) = self.looking.clone() {
            for query in needs.queries(&name) {
                self.coverage.set(query.kind, Cover::Coming);
                self.feed(query, None);
            }
            self.dirty.insert(name);
        }
        self.soon();
    }

    /// Whether anything may change by itself soon.
    fn moves(&self) -> bool {
        self.rollouts.values().any(|known| !known.settled || known.is_moving())
    }

    /// Looks again at what depends on the time.
    fn look(&mut self) {
        let now = Instant::now();
        self.look_at = now + MOVING;
        for (name, known) in &mut self.rollouts {
            let settles = !known.settled && now >= known.changed + SETTLED;
            if settles || known.is_moving() {
                known.settled |= settles;
                self.dirty.insert(name.clone());
            }
        }
        if !self.dirty.is_empty() {
            self.soon();
        }
    }

    /// Tells what has changed.
    async fn flush(&mut self) -> Result<(), Unheard> {
        self.flush_at = None;
        for name in std::mem::take(&mut self.dirty) {
            self.tell_one(&name).await?;
        }
        Ok(())
    }

    async fn tell_one(&mut self, name: &Name) -> Result<(), Unheard> {
        let now = self.session.now();
        let open = self.looking.as_ref().is_some_and(|(open, _)| open == name);
        let nothing = Coverage::default();
        let coverage = if open { &self.coverage } else { &nothing };
        let fresh = self.objects.project(name, now, coverage);
        let Some(known) = self.rollouts.get_mut(name) else { return Ok(()) };
        let Some(mut fresh) = fresh else {
            let told = self.rollouts.remove(name).and_then(|known| known.told);
            return match told {
                Some(told) => self.tell(Delta::Delete { key: told.key }).await,
                None => Ok(()),
            };
        };
        fresh.key.target = self.session.settings().target.clone();
        for (what, since) in &self.notes {
            fresh.findings.push(access(what.clone(), *since));
        }
        if open {
            for (kind, why) in self.coverage.gaps() {
                let since = self.gaps.get(&kind).copied().unwrap_or(now);
                fresh.findings.push(access(format!("{kind} are not seen: {why}").into(), since));
            }
        }
        // What was told stays true while only its time has moved.
        fresh.seen = known.told.as_ref().map_or(fresh.seen, |told| told.seen);
        let mut out = Vec::new();
        if known.told.as_ref() != Some(&fresh) {
            self.rev += 1;
            fresh.seen = Seen { epoch: self.epoch, rev: Rev(self.rev), server_time: now, fresh_for: FRESH };
            if let Some(before) = known.told.replace(fresh.clone()).filter(|before| before.key != fresh.key) {
                out.push(Delta::Delete { key: before.key });
            }
            out.push(Delta::Apply { rollout: Box::new(fresh.clone()) });
        }
        let events = self.objects.events(name, known.event);
        if let Some(last) = events.last() {
            known.event = last.seq;
            out.push(Delta::Events { key: fresh.key, events });
        }
        for delta in out {
            self.tell(delta).await?;
        }
        Ok(())
    }

    /// The rollouts were heard of: at most once a second.
    async fn beat(&mut self) -> Result<(), Unheard> {
        let now = Instant::now();
        if self.beat_at.is_some_and(|at| now < at + MOVING) {
            return Ok(());
        }
        self.beat_at = Some(now);
        self.tell(Delta::Heartbeat { server_time: self.session.now(), rev: Rev(self.rev) }).await
    }

    async fn tell(&self, delta: Delta) -> Result<(), Unheard> {
        self.out.send(delta).await.map_err(|_| Unheard)
    }
}

impl Known {
    /// Whether what is shown of it depends on the time.
    fn is_moving(&self) -> bool {
        self.told.as_ref().is_some_and(|told| matches!(told.phase, Phase::Progressing | Phase::Held | Phase::Reverting))
    }
}

fn access(what: Text, since: Time) -> Finding {
    Finding { kind: "access".into(), what, since }
}

/// The first lists of rollouts. Where all namespaces together may not be listed, the context's own is.
async fn scope(session: &Session, resolved: &Resolved) -> Result<(Scope, Vec<(Option<String>, Listed)>), Fault> {
    let wanted = &session.settings().namespaces;
    let mut notes = Vec::new();
    let mut namespaces: Vec<Option<String>> = wanted.iter().cloned().map(Some).collect();
    if namespaces.is_empty() {
        match patiently(session, &Query::all(Kind::Rollouts, None)).await {
            Ok(listed) => return Ok((Scope { namespaces: vec![None], notes }, vec![(None, listed)])),
            Err(No::Denied(_)) => {
                let own = resolved.namespace.clone().unwrap_or_else(|| "default".into());
                notes.push(format!("only namespace {} is seen: listing all of them is not allowed", Text::clean(&own)).into());
                namespaces.push(Some(own));
            }
            Err(no) => return Err(fatal(session, no).await),
        }
    }
    let ask = |namespace: &Option<String>| {
        let query = Query::all(Kind::Rollouts, namespace.as_deref());
        async move { patiently(session, &query).await }
    };
    let answers = join_all(namespaces.iter().map(ask)).await;
    let (mut lists, mut denied) = (Vec::new(), None);
    for (namespace, answer) in namespaces.into_iter().zip(answers) {
        match answer {
            Ok(listed) => lists.push((namespace, listed)),
            Err(No::Denied(what)) => {
                let name = Raw::new(namespace.unwrap_or_default()).text();
                notes.push(format!("namespace {name} is not seen: {what}").into());
                denied = Some(No::Denied(what));
            }
            Err(no) => return Err(fatal(session, no).await),
        }
    }
    match (lists.is_empty(), denied) {
        (true, Some(no)) => Err(fatal(session, no).await),
        _ => Ok((Scope { namespaces: lists.iter().map(|(namespace, _)| namespace.clone()).collect(), notes }, lists)),
    }
}

/// A server that is busy, or whose list was too old at its second page, is asked again.
async fn patiently(session: &Session, query: &Query) -> Result<Listed, No> {
    for _ in 1..TRIES {
        match query.list(session).await {
            Err(No::Busy(after)) => sleep(after.min(BUSY)).await,
            Err(No::Gone) => {}
            other => return other,
        }
    }
    query.list(session).await
}

async fn fatal(session: &Session, no: No) -> Fault {
    let place = session.place().await;
    match no {
        No::Fault(fault) => fault,
        No::Denied(what) => Fault::Denied { place, what },
        No::Absent => Query::all(Kind::Rollouts, None).lacks(session).await,
        No::Gone => Fault::Unreachable { place, why: "its lists are too old before they are read".into() },
        No::Busy(after) => Fault::Unreachable { place, why: format!("it is too busy (429), for {} s more", after.as_secs()).into() },
    }
}

/// Every rollout as it is now, with everything that belongs to it, in one list for each kind and namespace.
///
/// # Errors
/// When rollouts cannot be listed.
pub async fn once<O: Objects>(session: &Session) -> Result<Vec<Rollout>, Fault> {
    let resolved = session.resolve().await?;
    let (scope, lists) = scope(session, &resolved).await?;
    let mut objects = O::default();
    objects.at(session.now());
    // What may not be seen in one namespace may be seen in another.
    let mut coverages: BTreeMap<Option<String>, Coverage> = BTreeMap::new();
    let mut names: BTreeMap<Name, Needs> = BTreeMap::new();
    for (namespace, listed) in &lists {
        objects.swap(Kind::Rollouts, namespace.as_deref(), &listed.objects);
        names.extend(listed.objects.iter().filter_map(|object| Needs::of(object)));
    }
    let queries: Vec<Query> = if names.is_empty() { Vec::new() } else { needs::everything(&scope.namespaces, names.values()) };
    let answers = join_all(queries.iter().map(|query| patiently(session, query))).await;
    for (query, answer) in queries.iter().zip(answers) {
        let cover = match answer {
            Ok(listed) => {
                objects.swap(query.kind, query.namespace.as_deref(), &listed.objects);
                Cover::Whole
            }
            Err(No::Denied(what)) => Cover::Denied(what),
            Err(No::Absent) => Cover::Denied(format!("{} is not installed there", query.kind).into()),
            Err(no) => Cover::Denied(fatal(session, no).await.to_string().into()),
        };
        coverages.entry(query.namespace.clone()).or_default().set(query.kind, cover);
    }
    let nothing = Coverage::default();
    let coverage = |name: &Name| {
        let own = coverages.get(&Some(name.namespace.clone())).or_else(|| coverages.get(&None));
        own.unwrap_or(&nothing)
    };
    let mut now = session.now();
    let found = |name: &Name, objects: &O| {
        let findings = objects.project(name, now, coverage(name)).map(|r| r.findings).unwrap_or_default();
        findings.iter().any(|f| f.kind.as_str() == "lost")
    };
    if names.keys().any(|name| objects.is_waiting(name) && !found(name, &objects)) {
        // Whether a write is under way or was overlooked only time tells.
        tokio::time::sleep(OVERLOOKED).await;
        now = session.now().max(now + OVERLOOKED);
        objects.at(now);
        for (namespace, listed) in &self::scope(session, &resolved).await?.1 {
            objects.swap(Kind::Rollouts, namespace.as_deref(), &listed.objects);
        }
    }
    let seen = Seen { epoch: 0, rev: Rev(0), server_time: now, fresh_for: FRESH };
    let target = &session.settings().target;
    let shown = names.keys().filter_map(|name| Some((name, objects.project(name, now, coverage(name))?))).map(|(name, mut rollout)| {
        rollout.key = Key { target: target.clone(), ..rollout.key };
        rollout.seen = seen;
        rollout.findings.extend(scope.notes.iter().map(|note| access(note.clone(), now)));
        rollout.findings.extend(coverage(name).gaps().map(|(kind, why)| access(format!("{kind} are not seen: {why}").into(), now)));
        rollout
    });
    Ok(shown.collect())
}
