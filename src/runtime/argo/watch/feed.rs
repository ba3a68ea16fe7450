//! One list and the watch that keeps it true. It mends itself: a watch that ends goes on where it was, one
//! that cannot is a new list, swapped in whole; and it says what it does.
//!
//! ```text
//! list ──► watch ── end, cut ──► watch from the newest revision seen
//!  ▲        │ 410 (also as an ERROR line) · a revision that nobody knows: silence · a line that is no JSON
//!  └────────┘
//! ```

mod memory;
pub mod signs;

use super::{
    super::{connect::Session, kind::Kind},
    query::{Listed, No, Query, error_of},
};
use crate::{model::text::Text, runtime::Fault};
use futures::StreamExt;
use memory::Memory;
use rand::{Rng, RngExt};
use serde_json::value::RawValue;
use signs::Signs;
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc::Sender,
    time::{Instant, sleep, timeout_at},
};

/// How patient a feed is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// Silence after which a watch that has had bookmarks is no longer believed. They come every 60 s.
    pub silent: Duration,
    /// After so long a list is made anew where there are no bookmarks to show that the watch lives.
    pub renew: Duration,
    /// Before the first new attempt; doubled each time.
    pub first: Duration,
    /// Before any new attempt, at most.
    pub longest: Duration,
    /// Before it is asked again whether something is allowed now.
    pub denied: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            silent: Duration::from_secs(90),
            renew: Duration::from_secs(600),
            first: Duration::from_millis(500),
            longest: Duration::from_secs(30),
            denied: Duration::from_secs(120),
        }
    }
}

/// How long one watch is asked for, in seconds.
const WATCH: std::ops::Range<u64> = 300..600;
/// A watch that lasted so long was a good one.
const GOOD: Duration = Duration::from_secs(5);
/// A server that is busy is asked again after so long at the latest.
const BUSY: Duration = Duration::from_secs(60);
/// Without the rollouts themselves there is nothing to show: after so many failures in a row the whole
/// source starts again.
const TRIES: u32 = 2;

/// What a feed has to say.
#[derive(Debug)]
pub enum News {
    /// This is everything now.
    Listed(Vec<Box<RawValue>>),
    /// An object is there, or is otherwise than it was.
    Changed(Box<RawValue>),
    /// An object is gone; this is what it was.
    Gone(Box<RawValue>),
    /// Nothing has changed, and the server is there.
    Heard,
    /// It may not be seen: for people.
    Denied(Text),
    /// What was said last may be old by now.
    Troubled(Fault),
    /// It is the truth again.
    Mended,
}

/// Why a feed ends; only one that everything depends on does.
pub type Ended = Fault;

/// Which feed, by its number.
pub type FeedId = u64;

/// One list and its watch.
pub struct Feed {
    /// Its number.
    pub id: FeedId,
    /// Through what.
    pub session: Arc<Session>,
    /// Of what.
    pub query: Query,
    /// How patiently.
    pub patience: Patience,
    /// Which kinds have bookmarks there.
    pub signs: Arc<Signs>,
    /// Whether everything depends on it: then it ends when it cannot go on.
    pub essential: bool,
    /// Where its news go.
    pub out: Sender<(FeedId, News)>,
}

/// How it went so far.
#[derive(Default)]
struct Luck {
    /// Attempts that failed, in a row.
    failed: u32,
    /// Whether it was said that something is wrong.
    troubled: bool,
}

/// How a watch ended.
enum End {
    /// As it should, or it broke off.
    Over,
    /// What was seen can no longer be continued.
    Relist(Option<Fault>),
    /// It could not be.
    No(No),
}

impl Feed {
    /// Runs until it is dropped, or until it cannot go on.
    pub async fn run(self, mut rng: impl Rng, first: Option<Listed>) -> Ended {
        let mut luck = Luck::default();
        let mut first = first;
        loop {
            let listed = match first.take() {
                Some(listed) => Ok(listed),
                None => self.query.list(&self.session).await,
            };
            match listed {
                Ok(listed) => {
                    let began = Instant::now();
                    let mut memory = Memory::of(&listed);
                    luck.troubled = false;
                    self.say(News::Listed(listed.objects)).await;
                    if let Some(ended) = self.watch(&mut memory, &mut rng, &mut luck).await {
                        return ended;
                    }
                    if began.elapsed() >= GOOD {
                        luck.failed = 0;
                    } else {
                        // A list that is too old at once is not asked for in a circle.
                        self.pause(&mut luck, &mut rng).await;
                    }
                }
                Err(no) => {
                    if let Some(ended) = self.wait(no, &mut luck, &mut rng).await {
                        return ended;
                    }
                }
            }
        }
    }

    /// Watches until a new list is needed, or until it cannot go on.
    async fn watch(&self, memory: &mut Memory, rng: &mut impl Rng, luck: &mut Luck) -> Option<Ended> {
        loop {
            let began = Instant::now();
            let end = self.once(memory, rng.random_range(WATCH), luck).await;
            // A request that nobody answered for long was no watch.
            if began.elapsed() >= GOOD && !matches!(end, End::No(_)) {
                luck.failed = 0;
            }
            match end {
                End::Relist(why) => {
                    if let Some(fault) = why {
                        luck.troubled = true;
                        self.say(News::Troubled(fault)).await;
                    }
                    return None;
                }
                // The first end of a watch is no trouble; one that ends again and again at once is.
                End::Over if luck.failed == 0 => luck.failed = 1,
                End::Over => {
                    let fault = Fault::Closed { place: self.session.place().await };
                    if let Some(ended) = self.wait(No::Fault(fault), luck, rng).await {
                        return Some(ended);
                    }
                }
                End::No(No::Gone) => return None,
                End::No(no @ (No::Denied(_) | No::Absent)) => {
                    if let Some(ended) = self.wait(no, luck, rng).await {
                        return Some(ended);
                    }
                    return None;
                }
                End::No(no) => {
                    if let Some(ended) = self.wait(no, luck, rng).await {
                        return Some(ended);
                    }
                }
            }
        }
    }

    async fn once(&self, memory: &mut Memory, seconds: u64, luck: &mut Luck) -> End {
        let lines = match self.query.watch(&self.session, &memory.rev, seconds).await {
            Ok(lines) => lines,
            Err(no) => return End::No(no),
        };
        if std::mem::take(&mut luck.troubled) {
            self.say(News::Mended).await;
        }
        let mut lines = pin!(lines);
        loop {
            // Events never have bookmarks: their silence says nothing. Silence goes on from one watch to the next,
            // for something on the way may end each of them before it is long enough.
            let signs = self.signs.has(self.kind());
            let until = if signs { memory.heard + self.patience.silent } else { memory.listed + self.patience.renew };
            let line = match timeout_at(until, lines.next()).await {
                Err(_) => return End::Relist(None),
                Ok(None) => return End::Over,
                Ok(Some(Err(fault))) => return End::Relist(Some(fault)),
                Ok(Some(Ok(line))) => line,
            };
            memory.heard = Instant::now();
            if line.change == "ERROR" {
                let (code, said) = error_of(&line.object);
                return match code {
                    410 => End::Relist(None),
                    403 => End::No(No::Denied(said)),
                    _ => End::Relist(Some(Fault::Protocol { place: self.session.place().await, what: said })),
                };
            }
            luck.failed = 0;
            if line.change == "BOOKMARK" {
                self.signs.note(self.kind());
            }
            if let Some(news) = memory.take(line) {
                self.say(news).await;
            }
        }
    }

    /// Says what is wrong and waits; or ends with it, if everything depends on it.
    async fn wait(&self, no: No, luck: &mut Luck, rng: &mut impl Rng) -> Option<Ended> {
        match no {
            No::Gone => self.pause(luck, rng).await,
            No::Busy(after) => sleep(after.min(BUSY)).await,
            No::Denied(what) if self.essential => return Some(Fault::Denied { place: self.session.place().await, what }),
            No::Absent if self.essential => return Some(self.query.lacks(&self.session).await),
            No::Absent => {
                self.say(News::Denied(format!("{} is not installed there", self.kind()).into())).await;
                sleep(self.patience.denied).await;
            }
            No::Denied(what) => {
                self.say(News::Denied(what)).await;
                sleep(self.patience.denied).await;
            }
            No::Fault(fault) if self.essential && luck.failed >= TRIES => return Some(fault),
            No::Fault(fault) => {
                luck.troubled = true;
                self.say(News::Troubled(fault)).await;
                self.pause(luck, rng).await;
            }
        }
        None
    }

    async fn pause(&self, luck: &mut Luck, rng: &mut impl Rng) {
        luck.failed += 1;
        let doubled = 2_u32.saturating_pow(luck.failed.saturating_sub(1));
        let pause = self.patience.first.saturating_mul(doubled).min(self.patience.longest);
        sleep(pause.mul_f64(rng.random_range(0.8..=1.2))).await;
    }

    async fn say(&self, news: News) {
        // Nobody listens any more: the feed is about to be dropped.
        let _ = self.out.send((self.id, news)).await;
    }

    /// Of what kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.query.kind
    }
}

#[cfg(test)]
mod tests;
