//! A proxy with scripted instances behind it.

use cutover::{
    clock::SystemClock,
    conductor::life::PoolId,
    host::proxy::{Arm, Proxy, Table, Upstream},
    model::{
        ident::{InstanceId, VersionId},
        ratio::Weight,
        spec::ProxySpec,
    },
};
use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

pub fn pool(version: &str) -> PoolId {
    PoolId { version: VersionId::new(version), generation: 1 }
}

pub fn proxy(settings: ProxySpec) -> Proxy {
    Proxy::bind("shop".into(), "127.0.0.1:0".parse().unwrap(), settings, Arc::new(SystemClock::start())).unwrap()
}

pub fn arm(version: &str, instances: &[&Instance]) -> Arm {
    let upstreams = instances.iter().map(|i| i.upstream()).collect();
    Arm { pool: pool(version), upstreams }
}

pub fn only(stable: Arm) -> Table {
    Table { stable: Some(stable), candidate: None, weight: Weight::ZERO, testers: false }
}

pub fn both(stable: Arm, candidate: Arm, percent: f64) -> Table {
    Table { stable: Some(stable), candidate: Some(candidate), weight: Weight::from_percent(percent).unwrap(), testers: false }
}

/// Waits until it is so; fails after 30 s, which even a starved machine does not take.
pub async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let asked = tokio::time::Instant::now();
    while !so() {
        assert!(asked.elapsed() < Duration::from_secs(30), "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A connection as an instance sees it.
pub struct Session {
    pub stream: TcpStream,
    pub rest: Vec<u8>,
    /// Which connection of this instance it is, from 0.
    pub number: usize,
    /// Requests read on it.
    pub served: usize,
}

#[derive(Debug)]
pub struct Request {
    pub head: String,
    pub body: String,
}

impl Request {
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    pub fn method(&self) -> &str {
        self.head.split(' ').next().unwrap()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().filter_map(|l| l.split_once(": ")).find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }
}

impl Session {
    /// The next head; `None` when the proxy closed.
    pub async fn head(&mut self) -> Option<Request> {
        loop {
            if let Some(at) = self.rest.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = String::from_utf8(self.rest.drain(..at + 4).collect()).unwrap();
                self.served += 1;
                return Some(Request { head, body: String::new() });
            }
            self.more().await?;
        }
    }

    /// The next request with its body of known length.
    pub async fn request(&mut self) -> Option<Request> {
        let mut request = self.head().await?;
        let length: usize = request.field("content-length").map_or(0, |v| v.parse().unwrap());
        while self.rest.len() < length {
            self.more().await?;
        }
        request.body = String::from_utf8(self.rest.drain(..length).collect()).unwrap();
        Some(request)
    }

    pub async fn more(&mut self) -> Option<()> {
        matches!(self.stream.read_buf(&mut self.rest).await, Ok(n) if n > 0).then_some(())
    }

    pub async fn send(&mut self, text: &str) {
        // The proxy may be gone; that is for the other side to notice.
        let _ = self.stream.write_all(text.as_bytes()).await;
    }

    pub async fn ok(&mut self, body: &str) {
        self.send(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
    }

    /// Closes with a reset.
    pub fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }
}

/// A scripted instance. Dropped, it and its connections are gone.
pub struct Instance {
    pub name: String,
    pub addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
    _accept: JoinSet<()>,
}

impl Instance {
    /// Runs `script` on each connection.
    pub async fn start<F: Future<Output = ()> + Send + 'static>(name: &str, script: impl Fn(Session) -> F + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let mut accept = JoinSet::new();
        accept.spawn(async move {
            let mut sessions = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let number = count.fetch_add(1, SeqCst);
                sessions.spawn(script(Session { stream, rest: Vec::new(), number, served: 0 }));
            }
        });
        Self { name: name.to_owned(), addr, accepted, _accept: accept }
    }

    /// Answers everything with its name and a space and the number of the connection.
    pub async fn plain(name: &str) -> Self {
        let said = name.to_owned();
        Self::start(name, move |mut s| {
            let said = said.clone();
            async move {
                while s.request().await.is_some() {
                    let number = s.number;
                    s.ok(&format!("{said} {number}")).await;
                }
            }
        })
        .await
    }

    pub fn connections(&self) -> usize {
        self.accepted.load(SeqCst)
    }

    pub fn id(&self) -> InstanceId {
        InstanceId::new(self.name.clone())
    }

    pub fn upstream(&self) -> Upstream {
        Upstream { instance: self.id(), addr: self.addr }
    }
}
