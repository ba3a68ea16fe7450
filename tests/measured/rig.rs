//! Hosts that are scraped, what stands between them and their scraper, and requests.

use crate::{
    engine::rig::{deploy, sample, version},
    support::{
        host::{Host, PATIENCE},
        http::{Asked, Fake, reply},
        prometheus::Server,
    },
};
use cutover::{
    model::{
        delta::Delta,
        gate::{GateState, Verdict},
        rollout::Rollout,
    },
    runtime::{Runtime, host::HostRuntime},
};
use futures::StreamExt;
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

/// How soon after its source is gone a gate has to be blind.
pub const BLIND_WITHIN: Duration = Duration::from_secs(10);

/// A port that nobody has now.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A host of services that are told apart by their versions: name, what stable does, what the candidate
/// does. Every candidate has half of the traffic when this returns.
pub struct Scene {
    pub host: Host,
    /// Requests of all services so far.
    pub sent: Arc<AtomicU64>,
    /// Every verdict that decided about a candidate, as it came: whose, and its word.
    heard: Arc<Mutex<Vec<(String, String)>>>,
    stop: Arc<AtomicBool>,
}

impl Scene {
    /// It is scraped at `port`; `metrics` is a table of the configuration.
    pub fn set(port: u16, metrics: &str, gates: &str, services: &[(&str, &str, &str)]) -> Self {
        let dir = tempfile::Builder::new().prefix("cutover-test-").tempdir().unwrap();
        let all: String = services.iter().map(|(name, ..)| sample(name, gates)).collect();
        let mut host = Host::prepare(dir.path(), &format!("{all}{metrics}"));
        host.keep(dir);
        let config = fs::read_to_string(host.config()).unwrap();
        fs::write(host.config(), config.replacen("[host]\n", &format!("[host]\nmetrics_listen = \"127.0.0.1:{port}\"\n"), 1)).unwrap();
        host.run();
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let heard = Arc::default();
        listen(host.client(), Arc::clone(&stop), Arc::clone(&heard));
        for (name, stable, _) in services {
            deploy(&host, name, &version(&host, &format!("{name}-1"), stable), "completed");
            send(format!("http://{}/", host.addresses[*name]), Arc::clone(&stop), Arc::clone(&sent));
        }
        for (name, _, candidate) in services {
            deploy(&host, name, &version(&host, &format!("{name}-2"), candidate), "paused");
        }
        Self { host, sent, heard, stop }
    }

    /// Kills the host and starts it again; its services may listen elsewhere then.
    pub fn restart(&mut self) {
        self.stop.store(true, SeqCst);
        self.host.kill();
        self.host.run();
        self.stop = Arc::new(AtomicBool::new(false));
        for address in self.host.addresses.values() {
            send(format!("http://{address}/"), Arc::clone(&self.stop), Arc::clone(&self.sent));
        }
    }

    pub fn rollouts(&self) -> Vec<Rollout> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.host.client().rollouts()).unwrap()
    }

    pub fn rollout(&self, service: &str) -> Rollout {
        self.rollouts().into_iter().find(|r| r.key.service.as_str() == service).unwrap()
    }

    /// The only gate of a service, once it is as it should be; and how long that took.
    pub fn until(&self, service: &str, what: &str, is: impl Fn(&GateState) -> bool) -> (GateState, Duration) {
        let began = Instant::now();
        loop {
            let rollout = self.rollout(service);
            if let Some(gate) = rollout.gates.iter().find(|g| is(g)) {
                return (gate.clone(), began.elapsed());
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{service} is never {what}: {:#?}\n{:?}\nhost: {}",
                rollout.gates,
                rollout.findings,
                self.host.log()
            );
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Every verdict that decided about a service's candidate so far, in their order, once this is the last.
    pub fn decided(&self, service: &str, last: &str) -> Vec<String> {
        let began = Instant::now();
        loop {
            let all = self.heard.lock().unwrap().clone();
            let said: Vec<String> = all.into_iter().filter(|(of, _)| of == service).map(|(_, word)| word).collect();
            if said.last().is_some_and(|said| said == last) {
                return said;
            }
            assert!(began.elapsed() < PATIENCE, "{service} is never {last}: {said:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until a service's gate is blind, which may not take long.
    pub fn until_blind(&self, service: &str) -> GateState {
        let (gate, took) = self.until(service, "blind", is_blind);
        assert!(took < BLIND_WITHIN, "blind after {took:?}");
        gate
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
    }
}

/// The word of a verdict that decides, and who is sick.
pub fn word(gate: &GateState) -> Option<String> {
    match &gate.verdict {
        Verdict::Fail { who, .. } => Some(format!("FAIL {who:?}")),
        Verdict::Pass { .. } => Some("pass".to_owned()),
        _ => None,
    }
}

/// Takes down every verdict that decides, as a console is told them: none is missed between two looks. What
/// is said of a version that stands alone compares nothing.
fn listen(host: HostRuntime, stop: Arc<AtomicBool>, heard: Arc<Mutex<Vec<(String, String)>>>) {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut told = Box::pin(host.watch());
            while let (Some(Ok(delta)), false) = (told.next().await, stop.load(SeqCst)) {
                let Delta::Apply { rollout } = delta else { continue };
                if rollout.stable().is_none() || rollout.candidate().is_none() {
                    continue;
                }
                let service = rollout.key.service.as_str();
                let mut heard = heard.lock().unwrap();
                for word in rollout.gates.iter().filter_map(word) {
                    let last = heard.iter().rev().find(|(of, _)| of == service);
                    if last.is_none_or(|(_, before)| *before != word) {
                        heard.push((service.to_owned(), word));
                    }
                }
            }
        });
    });
}

pub fn is_blind(gate: &GateState) -> bool {
    matches!(gate.verdict, Verdict::Blind { .. })
}

/// Forty requests a second until told to stop.
fn send(url: String, stop: Arc<AtomicBool>, sent: Arc<AtomicU64>) {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            cutover::tls::ready();
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let mut pace = tokio::time::interval(Duration::from_millis(25));
            while !stop.load(SeqCst) {
                pace.tick().await;
                sent.fetch_add(1, SeqCst);
                drop(client.get(&url).send().await);
            }
        });
    });
}

/// A TCP relay that can be cut: what was connected is closed, and nobody is let through.
pub struct Relay {
    pub port: u16,
    cut: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let own = listener.local_addr().unwrap().port();
        let (cut, open) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (is_cut, kept) = (Arc::clone(&cut), Arc::clone(&open));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if is_cut.load(SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let pair = [(client.try_clone(), server.try_clone()), (server.try_clone(), client.try_clone())];
                kept.lock().unwrap().extend([client, server]);
                for (from, to) in pair {
                    let (mut from, mut to) = (from.unwrap(), to.unwrap());
                    thread::spawn(move || {
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { port: own, cut, open }
    }

    pub fn cut(&self, cut: bool) {
        self.cut.store(cut, SeqCst);
        if cut {
            self.open.lock().unwrap().drain(..).for_each(|s| drop(s.shutdown(Shutdown::Both)));
        }
    }
}

/// What stands before a server and can begin to say the same for ever, with 200.
pub struct Front {
    pub fake: Fake,
    replays: Arc<AtomicBool>,
}

impl Front {
    pub fn of(server: &Server) -> Self {
        let port: u16 = server.url.rsplit(':').next().unwrap().parse().unwrap();
        let replays = Arc::new(AtomicBool::new(false));
        let (again, last) = (Arc::clone(&replays), Mutex::new(BTreeMap::new()));
        let fake = Fake::new(move |asked, client| {
            // Of the same series, whatever the window and the time.
            let key = asked.body.split("%5B").next().unwrap_or_default().to_owned();
            let key = format!("{} {}", asked.target, if key.contains("time=") { "" } else { &key });
            let known = last.lock().unwrap().get(&key).cloned();
            let (status, body) = match known.filter(|_| again.load(SeqCst)) {
                Some(known) => known,
                None => forward(port, asked)?,
            };
            last.lock().unwrap().insert(key, (status, body.clone()));
            reply(client, status, "content-type: application/json\r\n", &body)
        });
        Self { fake, replays }
    }

    pub fn replay(&self, replays: bool) {
        self.replays.store(replays, SeqCst);
    }
}

fn forward(port: u16, asked: &Asked) -> io::Result<(u16, Vec<u8>)> {
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    write!(
        server,
        "{} {} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n{}",
        asked.method,
        asked.target,
        asked.header("content-type").unwrap_or_default(),
        asked.body.len(),
        asked.body
    )?;
    let mut all = Vec::new();
    server.read_to_end(&mut all)?;
    let end = all.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(|| io::Error::other("no head"))?;
    let head = String::from_utf8_lossy(&all[..end]).to_lowercase();
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(|| io::Error::other("no status"))?;
    let body = all[end + 4..].to_vec();
    Ok((status, if head.contains("transfer-encoding: chunked") { unchunked(&body)? } else { body }))
}

fn unchunked(mut rest: &[u8]) -> io::Result<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let bad = || io::Error::other("a bad chunk");
        let end = rest.windows(2).position(|w| w == b"\r\n").ok_or_else(bad)?;
        let size = usize::from_str_radix(String::from_utf8_lossy(&rest[..end]).trim(), 16).map_err(|_| bad())?;
        if size == 0 {
            return Ok(whole);
        }
        whole.extend_from_slice(rest.get(end + 2..end + 2 + size).ok_or_else(bad)?);
        rest = rest.get(end + size + 4..).ok_or_else(bad)?;
    }
}
