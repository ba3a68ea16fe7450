//! Everything that is looked at in a cluster, from the first list on: rollouts always, what belongs to
//! one of them only while that one is open.
//!
//! The rollouts come first and are told at once. Feeds mend themselves ([`feed`]); only one of rollouts that
//! cannot go on ends the source, which is then opened again by [`supervise`](crate::runtime::supervise).
//! What the controller writes comes in bursts of two to five, milliseconds apart: a rollout is told once
//! for each of them.
//!
//! Each kind is a list in pages and a watch from there. A streamed list (`sendInitialEvents`) is never asked
//! for: up to 1.33 a server refuses it by default (422), so it would cost a request more for each kind to
//! find out; and it would show nothing sooner, for a list is told only when it is whole. What it saves is the
//! server's memory, and pages of 500 save that as well.

pub mod feed;
mod focus;
pub mod needs;
pub mod once;
pub mod query;
mod scope;
mod tell;

use super::{
    connect::Session,
    kind::{Cover, Coverage, Kind},
};
use crate::{
    model::{delta::Delta, event::Event, ident::Rev, rollout::Rollout, text::Text, time::Time},
    runtime::Fault,
};
use feed::{Feed, FeedId, News, Patience, signs::Signs};
use needs::Needs;
use query::{Listed, Query};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::value::RawValue;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tell::Known;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// From the first change of a rollout to when it is told.
const GATHER: Duration = Duration::from_millis(30);
/// What depends on the time is looked at again so often, while a rollout moves.
const MOVING: Duration = Duration::from_secs(1);
/// How long after its last change a rollout that does not move is looked at once more: by then the
/// controller has noticed what was written, or has not.
const SETTLED: Duration = Duration::from_secs(4);
/// The expected interval between two signs of life: bookmarks.
const FRESH: Duration = Duration::from_secs(60);
/// News that wait at most.
const NEWS: usize = 256;
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

/// One connected source.
pub struct Watch<O> {
    session: Arc<Session>,
    /// What is open.
    open: watch::Receiver<Option<Name>>,
    patience: Patience,
    signs: Arc<Signs>,
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

/// The reader of the deltas is gone.
struct Unheard;

impl<O: Objects> Watch<O> {
    /// Reads nothing yet.
    pub fn new(
        session: Arc<Session>,
        open: watch::Receiver<Option<Name>>,
        (patience, signs): (Patience, Arc<Signs>),
        epoch: u64,
        out: mpsc::Sender<Delta>,
    ) -> Self {
        let (tell_news, news) = mpsc::channel(NEWS);
        Self {
            session,
            open,
            patience,
            signs,
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
        let (scope, lists) = scope::scope(&self.session, &resolved).await?;
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
        let feed = Feed { id, session, query, patience: self.patience, signs: Arc::clone(&self.signs), essential, out };
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
}
