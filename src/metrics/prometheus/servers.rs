//! The servers that this process asks. What one of them may take holds for all of its clients together: a
//! target and a service, or ten targets, may name the same one.

use crate::{clock::Clock, metrics::SPARED};
use reqwest::Url;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

/// All of a server. A question takes its part, so that of clients with different limits the stricter ones
/// are heeded too, whichever came first.
const WHOLE: u32 = 1 << 20;
/// More questions at once are not told apart: below this `n` parts fit and `n + 1` do not.
const MOST: usize = 1_000;

/// Every server that is asked, by scheme, host and port. Make one where the program is put together, and
/// hand it down; clones are the same.
#[derive(Clone)]
pub struct Servers(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    known: Mutex<BTreeMap<String, Arc<Server>>>,
}

impl Servers {
    /// None yet; time is this clock's.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared { clock, known: Mutex::default() }))
    }

    /// The one that this URL leads to, whatever its path, tenant or user.
    pub(super) fn at(&self, url: &Url) -> Arc<Server> {
        let server = || Server { clock: self.clock(), whole: Semaphore::new(WHOLE as usize), spared: Mutex::default() };
        let mut known = lock(&self.0.known);
        Arc::clone(known.entry(url.origin().ascii_serialization()).or_insert_with(|| Arc::new(server())))
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.clock)
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(lock(&self.0.known).keys()).finish()
    }
}

/// What one server takes.
pub(super) struct Server {
    clock: Arc<dyn Clock>,
    whole: Semaphore,
    spared: Mutex<Option<Spared>>,
}

/// That it wants to be left alone.
#[derive(Clone, Copy)]
struct Spared {
    /// By the clock's uptime.
    until: Duration,
    /// The status that it said so with.
    status: u16,
}

/// Why there is no turn.
pub(super) enum NoTurn {
    /// It wants to be left alone for so long, and said so with this status.
    Spared(Duration, u16),
    /// Nobody has turns any more.
    Closed(AcquireError),
}

impl Server {
    /// Waits for a turn, which ends when it is dropped: with `concurrency` so many questions are under way
    /// at once. Turns come in the order in which they were asked for.
    pub async fn turn(&self, concurrency: usize) -> Result<SemaphorePermit<'_>, NoTurn> {
        #[expect(clippy::cast_possible_truncation, reason = "1,000 at most")]
        let part = WHOLE / concurrency.clamp(1, MOST) as u32;
        let turn = self.whole.acquire_many(part).await.map_err(NoTurn::Closed)?;
        // Looked at after waiting: an answer that came meanwhile holds for those who waited.
        match *lock(&self.spared) {
            Some(Spared { until, status }) if self.clock.uptime() < until => {
                Err(NoTurn::Spared(until.saturating_sub(self.clock.uptime()), status))
            }
            _ => Ok(turn),
        }
    }

    /// It answered with this status, and when it wants to be asked again.
    pub fn heed(&self, status: u16, after: Option<Duration>) {
        let (429 | 503, Some(after)) = (status, after) else { return };
        let until = self.clock.uptime().saturating_add(after.min(SPARED));
        let mut spared = lock(&self.spared);
        if spared.is_none_or(|known| known.until < until) {
            *spared = Some(Spared { until, status });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use chrono::DateTime;
    use futures::FutureExt;

    fn servers() -> (Servers, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH));
        (Servers::new(Arc::clone(&clock) as Arc<dyn Clock>), clock)
    }

    #[test]
    fn a_server_is_its_scheme_host_and_port() {
        let (servers, _) = servers();
        let at = |url: &str| servers.at(&url.parse().unwrap());
        let first = at("http://prom.example.org/prometheus");
        for same in ["http://PROM.example.org:80", "http://ana:pw@prom.example.org/other?tenant=1", "HTTP://prom.example.org/"] {
            assert!(Arc::ptr_eq(&first, &at(same)), "{same}");
        }
        for other in ["https://prom.example.org", "http://prom.example.org:9090", "http://example.org", "http://[::1]/"] {
            assert!(!Arc::ptr_eq(&first, &at(other)), "{other}");
        }
        // Another registry knows nothing of it.
        assert!(!Arc::ptr_eq(&first, &self::servers().0.at(&"http://prom.example.org".parse().unwrap())));
        assert_eq!(format!("{servers:?}").matches("prom.example.org").count(), 3, "no user, path or query: {servers:?}");
    }

    #[test]
    fn exactly_so_many_turns_fit() {
        let (servers, _) = servers();
        for concurrency in (1..=64).chain([999, 1_000]) {
            let server = servers.at(&format!("http://prom:{}", concurrency + 1).parse().unwrap());
            let taken: Vec<_> = (0..=concurrency).map_while(|_| server.turn(concurrency).now_or_never()).collect();
            assert_eq!(taken.len(), concurrency);
        }
    }

    #[test]
    fn of_two_limits_each_is_heeded() {
        let server = servers().0.at(&"http://prom".parse().unwrap());
        let half = server.turn(2).now_or_never();
        let quarters = [server.turn(4).now_or_never(), server.turn(4).now_or_never()];
        assert!(half.is_some() && quarters.iter().all(Option::is_some));
        assert!(server.turn(4).now_or_never().is_none());
        drop(quarters);
        assert!(server.turn(1).now_or_never().is_none(), "whoever asks one at a time asks alone");
        drop(half);
        assert!(server.turn(1).now_or_never().is_some());
    }

    #[test]
    fn it_is_left_alone_as_long_as_it_wants_and_a_minute_at_most() {
        let (servers, clock) = servers();
        let server = servers.at(&"http://prom".parse().unwrap());
        let rest = || match server.turn(4).now_or_never().unwrap() {
            Ok(_) => None,
            Err(NoTurn::Spared(rest, status)) => Some((rest.as_secs(), status)),
            Err(NoTurn::Closed(e)) => panic!("{e}"),
        };
        server.heed(503, None);
        server.heed(500, Some(Duration::from_secs(9)));
        assert_eq!(rest(), None);
        server.heed(429, Some(Duration::from_secs(9)));
        server.heed(503, Some(Duration::from_secs(2)));
        assert_eq!(rest(), Some((9, 429)), "what is longer holds");
        clock.advance(Duration::from_secs(4));
        assert_eq!(rest(), Some((5, 429)));
        clock.advance(Duration::from_secs(5));
        assert_eq!(rest(), None);
        server.heed(503, Some(Duration::from_secs(3_600)));
        assert_eq!(rest(), Some((60, 503)));
    }
}
