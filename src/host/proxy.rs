//! The weighted proxy of one service: HTTP/1.1 on both sides, one stable version, at most one
//! candidate, weights exact to 0.01 %.
//!
//! - **Owner of state:** the router, behind one lock that is never held while
//!   waiting. Picking an instance *and* counting the request in flight happen under that lock, so when
//!   [`Proxy::program`] returns, no request can start by the old table any more, and whatever started
//!   before is counted in [`Proxy::in_flight`] until the end of its body.
//! - **A switch cuts nothing:** requests in flight finish on the instance they are on, idle connections
//!   to instances that left the table are closed at once, connections of clients stay.
//! - **Nothing is repeated that could act twice:** one retry, on a fresh connection to the same version,
//!   only for idempotent requests without a body whose *reused* connection closed before any byte of an
//!   answer. Everything else goes on a fresh connection and is never sent again, least of all to the
//!   other version.
//! - **Who gets which version:** by default each request is dealt anew; clients may be kept on theirs, and
//!   testers let through, by the service's [`Routing`] (`who`).
//! - **Trust:** `X-Forwarded-*` and `Forwarded` of peers that are not trusted are replaced. No `Via` is
//!   added (common servers stop compressing when they see one), no version header unless configured.
//!
//! Interim answers other than `100` and `101` (early hints) are not passed on: the server side of hyper
//! cannot send them.

mod body;
mod forward;
mod headers;
mod listen;
mod pool;
mod router;
mod split;
mod upgrade;
mod who;
mod wire;

use crate::{
    clock::Clock,
    conductor::life::PoolId,
    host::meter::Meter,
    model::{digest::Digest, ident::InstanceId, ratio::Weight, routing::Routing, spec::ProxySpec, text::Text, time::Time},
};
pub use listen::not_listening;
use router::{Router, Settings};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Where a ready instance listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upstream {
    /// Which.
    pub instance: InstanceId,
    /// Its address.
    pub addr: SocketAddr,
}

/// One version's ready instances.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arm {
    /// Which start of which version.
    pub pool: PoolId,
    /// Those that may get traffic; may be empty.
    pub upstreams: Vec<Upstream>,
}

/// What the router does.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Table {
    /// Gets what is not the candidate's, and the candidate's share while that has no ready instance.
    pub stable: Option<Arm>,
    /// Gets its share and nothing else.
    pub candidate: Option<Arm>,
    /// The candidate's share; without a candidate it means nothing.
    pub weight: Weight,
    /// Whether testers reach the candidate whatever its share is; never after a way back.
    pub testers: bool,
}

/// A request or upgraded connection that is not over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lingering {
    /// Which instance has it.
    pub instance: InstanceId,
    /// Its method.
    pub method: Text,
    /// Its path without the query.
    pub path: Text,
    /// When it arrived.
    pub since: Time,
    /// Whether it is an upgraded connection (a websocket).
    pub upgraded: bool,
}

/// The proxy of one service. Dropping it stops it at once; [`Proxy::shutdown`] lets requests finish.
pub struct Proxy {
    router: Arc<Router>,
    local: SocketAddr,
    /// No new connections, and none is kept after the request it has.
    closing: CancellationToken,
    /// Connections that are still open are closed.
    killed: CancellationToken,
    connections: TaskTracker,
}

impl Proxy {
    /// Listens and serves, with an empty table: every request gets 503. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be listened on; the message names it and says whether the port is taken.
    pub fn bind(service: Text, listen: SocketAddr, spec: ProxySpec, clock: Arc<dyn Clock>) -> io::Result<Self> {
        Self::open(service, listen, Settings { spec, closed: "no instance is ready", ..Settings::default() }, clock)
    }

    /// The same for a preview listener, which says that it is closed while nothing is shown there. What
    /// arrives here has counters of its own.
    ///
    /// # Errors
    /// Those of [`Proxy::bind`].
    pub fn bind_preview(service: Text, listen: SocketAddr, spec: ProxySpec, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let closed = "no candidate is previewed now: this port answers while a plan shows one";
        Self::open(service, listen, Settings { spec, closed, ..Settings::default() }, clock)
    }

    fn open(service: Text, listen: SocketAddr, settings: Settings, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let listener = listen::open(listen)?;
        let proxy = Self {
            local: listener.local_addr()?,
            router: Arc::new(Router::new(settings, clock)),
            closing: CancellationToken::new(),
            killed: CancellationToken::new(),
            connections: TaskTracker::new(),
        };
        let accept = listen::Accept {
            service,
            router: Arc::clone(&proxy.router),
            closing: proxy.closing.clone(),
            killed: proxy.killed.clone(),
            connections: proxy.connections.clone(),
        };
        proxy.connections.spawn(accept.run(listener));
        Ok(proxy)
    }

    /// Where it listens; the port is the real one also when 0 was asked for.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Uses these settings from the next request on.
    pub fn configure(&self, spec: ProxySpec) {
        self.router.configure(|settings| settings.spec = spec);
    }

    /// Tells clients apart by this from the next request on. `tester` is the digest of the value by which
    /// testers are known; without it nobody is one, and their header still goes no further.
    pub fn route(&self, routing: &Routing, tester: Option<Digest>) {
        self.router.configure(|settings| settings.rules = who::Rules::new(routing, tester));
    }

    /// What testers asked of a pool, apart from its own counters; `None` if nobody did.
    #[must_use]
    pub fn tested(&self, pool: &PoolId) -> Option<Arc<Meter>> {
        self.router.tested(pool)
    }

    /// Routes by this table. When it returns, no request starts by the old one any more.
    pub fn program(&self, table: Table) {
        self.router.program(table);
    }

    /// What the router really does: the pool in the candidate's place and the share it is dealt.
    #[must_use]
    pub fn programmed(&self) -> (Option<PoolId>, Weight) {
        self.router.programmed()
    }

    /// The pool in stable's place.
    #[must_use]
    pub fn programmed_stable(&self) -> Option<PoolId> {
        self.router.stable()
    }

    /// The counters of a pool, made on first use.
    #[must_use]
    pub fn meter(&self, pool: &PoolId) -> Arc<Meter> {
        self.router.meter(pool)
    }

    /// Lets go of a pool's counters. Has no effect while the pool is in the table or has requests.
    pub fn forget(&self, pool: &PoolId) {
        self.router.forget(pool);
    }

    /// Requests of a pool now between start and end of the body; upgraded connections are apart.
    #[must_use]
    pub fn in_flight(&self, pool: &PoolId) -> u64 {
        self.router.count(|i| i.pool == *pool, false)
    }

    /// The same for one instance.
    #[must_use]
    pub fn in_flight_of(&self, instance: &InstanceId) -> u64 {
        self.router.count(|i| i.upstream.instance == *instance, false)
    }

    /// Upgraded connections of a pool that are open.
    #[must_use]
    pub fn upgraded(&self, pool: &PoolId) -> u64 {
        self.router.count(|i| i.pool == *pool, true)
    }

    /// The same for one instance.
    #[must_use]
    pub fn upgraded_of(&self, instance: &InstanceId) -> u64 {
        self.router.count(|i| i.upstream.instance == *instance, true)
    }

    /// What a pool has in flight, upgraded connections included, oldest first.
    #[must_use]
    pub fn lingering(&self, pool: &PoolId) -> Vec<Lingering> {
        self.router.lingering(pool)
    }

    /// Cuts everything a pool has in flight, upgraded connections included; returns how many it cuts.
    /// The cuts happen soon after; the counts say when.
    pub fn cut(&self, pool: &PoolId) -> u64 {
        self.router.cut(|i| i.pool == *pool)
    }

    /// Requests that had no version to go to, because there was no stable one at all.
    #[must_use]
    pub fn unrouted(&self) -> u64 {
        self.router.unrouted()
    }

    /// Stops listening, lets requests finish for at most `grace`, then closes what is left.
    pub async fn shutdown(&self, grace: Duration) {
        self.closing.cancel();
        self.connections.close();
        if tokio::time::timeout(grace, self.connections.wait()).await.is_err() {
            self.router.cut(|_| true);
            self.killed.cancel();
            self.connections.wait().await;
        }
        self.router.program(Table::default());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.closing.cancel();
        self.router.cut(|_| true);
        self.killed.cancel();
        self.router.program(Table::default());
    }
}
