//! Connections to one instance: opened, kept while idle, handed out again, closed.

use super::{
    body::RequestBody,
    wire::{Tap, Wire},
};
use hyper::client::conn::http1::{self, SendRequest};
use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{net::TcpStream, task::JoinHandle, time::Instant};

/// Idle connections kept per instance.
const MOST_IDLE: usize = 32;

/// How long one is kept: shorter than the keep-alive of common servers (Node.js has 5 s, which the
/// retry covers; most others 60 s or more).
const LONGEST_IDLE: Duration = Duration::from_secs(30);

/// A connection to an instance. Dropping it closes it, whatever is under way on it.
pub struct Conn {
    pub sender: SendRequest<RequestBody>,
    pub tap: Arc<Tap>,
    /// Moves the connection's bytes; ends with its owner. After an upgrade it has ended already.
    driver: JoinHandle<()>,
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Conn {
    /// Opens one.
    ///
    /// # Errors
    /// When nobody accepts there.
    pub async fn open(addr: SocketAddr) -> io::Result<Self> {
        let (io, tap) = Wire::new(TcpStream::connect(addr).await?);
        let (sender, connection) = http1::handshake(io).await.map_err(io::Error::other)?;
        let driver = tokio::spawn(async move {
            // Whoever sent the request on it learns of an error there.
            let _ = connection.with_upgrades().await;
        });
        Ok(Self { sender, tap, driver })
    }
}

/// Idle connections to one instance, the one used last at the back.
#[derive(Default)]
pub struct Idle(Mutex<Shelf>);

#[derive(Default)]
struct Shelf {
    retired: bool,
    kept: VecDeque<(Instant, Conn)>,
}

impl Idle {
    /// Takes one that is open as far as is known.
    pub fn take(&self) -> Option<Conn> {
        let mut shelf = self.shelf();
        shelf.sweep();
        // One that has not quite finished its last request is passed over and stays.
        let ready = shelf.kept.iter().rposition(|(_, conn)| conn.sender.is_ready())?;
        let (_, conn) = shelf.kept.remove(ready)?;
        drop(shelf);
        conn.tap.heard.store(false, Relaxed);
        Some(conn)
    }

    /// Keeps one for later, unless the instance is out of the table or enough are kept.
    pub fn keep(&self, conn: Conn) {
        let mut shelf = self.shelf();
        if !shelf.retired && !conn.sender.is_closed() {
            if shelf.kept.len() >= MOST_IDLE {
                shelf.kept.pop_front();
            }
            shelf.kept.push_back((Instant::now(), conn));
        }
    }

    /// Closes those that were idle for too long.
    pub fn sweep(&self) {
        self.shelf().sweep();
    }

    /// Closes all and keeps none any more, or keeps them again.
    pub fn retire(&self, retired: bool) {
        let mut shelf = self.shelf();
        shelf.retired = retired;
        if retired {
            shelf.kept.clear();
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn sweep(&mut self) {
        let now = Instant::now();
        self.kept.retain(|(since, conn)| !conn.sender.is_closed() && now.saturating_duration_since(*since) < LONGEST_IDLE);
    }
}
