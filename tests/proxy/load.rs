//! Switches under load. The load comes from another process (this test binary, started again), open
//! loop: arrivals are a Poisson process that does not wait for answers.

use super::{
    client::Client,
    rig::{Instance, Session, arm, both, only, pool, proxy, until},
};
use cutover::{host::proxy::Proxy, model::spec::ProxySpec};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, Exp};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io::Read,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

const ORDER: &str = "CUTOVER_TEST_LOAD";
const SWITCHES: usize = 200;
/// Requests to misbehaving instances, once without and once with switches.
const REQUESTS: usize = 1_000;

/// What the other process is to do.
#[derive(Serialize, Deserialize)]
struct Order {
    addr: SocketAddr,
    seed: u64,
    per_second: f64,
    /// It stops after so many, or when its standard input ends.
    requests: usize,
    /// `GET /path` or `POST /path`, each as often as the others.
    kinds: Vec<String>,
}

/// What came of each kind of request, and how often: a status, or what went wrong.
type Report = BTreeMap<String, BTreeMap<String, u64>>;

/// The other process.
#[test]
fn generator() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let order: Order = serde_json::from_str(&order).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&stop);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        ended.store(true, SeqCst);
    });
    let report = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(generate(order, &stop));
    println!("\nREPORT {}", serde_json::to_string(&report).unwrap());
}

async fn generate(order: Order, stop: &AtomicBool) -> Report {
    let mut random = StdRng::seed_from_u64(order.seed);
    let gaps = Exp::new(order.per_second).unwrap();
    let idle = Arc::new(Mutex::new(Vec::new()));
    let mut next = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..order.requests {
        next += Duration::from_secs_f64(gaps.sample(&mut random));
        let kind = order.kinds[random.random_range(0..order.kinds.len())].clone();
        sleep_until(next).await;
        if stop.load(SeqCst) {
            break;
        }
        let (idle, addr) = (Arc::clone(&idle), order.addr);
        running.spawn(async move {
            let outcome = tokio::time::timeout(Duration::from_secs(60), request(&kind, addr, &idle)).await;
            (kind, outcome.unwrap_or_else(|_| "nothing in 60 s".to_owned()))
        });
    }
    let mut report = Report::new();
    while let Some(done) = running.join_next().await {
        let (kind, outcome) = done.unwrap();
        *report.entry(kind).or_default().entry(outcome).or_default() += 1;
    }
    report
}

async fn request(kind: &str, addr: SocketAddr, idle: &Mutex<Vec<Client>>) -> String {
    let kept = idle.lock().unwrap().pop();
    let mut client = match kept {
        Some(client) => client,
        None => match tokio::net::TcpStream::connect(addr).await {
            Ok(stream) => Client { stream, rest: Vec::new() },
            Err(e) => return format!("connect: {e}"),
        },
    };
    // Anything that comes before the request was not asked for.
    match client.stream.try_read(&mut [0; 1]) {
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock && client.rest.is_empty() => {}
        other => return format!("a connection that was kept: {other:?}"),
    }
    let body = if kind.starts_with("POST") { "content-length: 4\r\n\r\nbody" } else { "\r\n" };
    if let Err(e) = client.stream.write_all(format!("{kind} HTTP/1.1\r\nhost: t\r\n{body}").as_bytes()).await {
        return format!("send: {e}");
    }
    let Some(answer) = client.answer(false).await else { return "no head".to_owned() };
    if answer.body.windows(7).any(|w| w == b"HTTP/1.") || client.rest.windows(7).any(|w| w == b"HTTP/1.") {
        return "two heads".to_owned();
    }
    if !answer.complete {
        return format!("{} cut", answer.status);
    }
    if answer.field("connection") != Some("close") {
        idle.lock().unwrap().push(client);
    }
    answer.status.to_string()
}

/// Starts the other process.
fn start(order: &Order) -> Child {
    Command::new("/proc/self/exe")
        .args(["proxy::load::generator", "--exact", "--nocapture", "--test-threads=1"])
        .env(ORDER, serde_json::to_string(order).unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Stops it, if it is not done, and reads its report.
async fn report(mut child: Child, stop: bool) -> Report {
    let kept = child.stdin.take().filter(|_| !stop);
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    drop(kept);
    let said = String::from_utf8(output.stdout).unwrap();
    let line = said.lines().find_map(|l| l.strip_prefix("REPORT ")).unwrap_or_else(|| panic!("no report: {said}"));
    serde_json::from_str(line).unwrap()
}

/// Replaces the version 200 times, each time over a half-and-half split, with fresh instances; tears
/// the old ones down when they have drained. Returns the names of all versions.
async fn switch(proxy: &Arc<Proxy>, every: Duration, fresh: impl AsyncFn(usize) -> [Instance; 2]) -> Vec<String> {
    let mut names = vec!["v0".to_owned()];
    let mut old = fresh(0).await;
    proxy.program(only(arm("v0", &[&old[0], &old[1]])));
    let mut teardown = JoinSet::new();
    for n in 1..=SWITCHES {
        let name = format!("v{n}");
        let new = fresh(n).await;
        let (was, is) = (arm(&names[n - 1], &[&old[0], &old[1]]), arm(&name, &[&new[0], &new[1]]));
        proxy.program(both(was, is.clone(), 50.0));
        sleep(every / 2).await;
        proxy.program(only(is));
        // Nothing new starts on the old version from here on.
        let left = pool(&names[n - 1]);
        let started = proxy.meter(&left).totals().started;
        let leaving = std::mem::replace(&mut old, new);
        let proxy = Arc::clone(proxy);
        teardown.spawn(async move {
            until("the old version has drained", || proxy.in_flight(&left) == 0).await;
            drop(leaving);
            assert_eq!(proxy.meter(&left).totals().started, started, "a request started after the switch");
        });
        names.push(name);
        sleep(every / 2).await;
    }
    while let Some(done) = teardown.join_next().await {
        done.unwrap();
    }
    // The last version must outlive the load.
    std::mem::forget(old);
    names
}

/// Answers after up to 4 ms, and closes a connection that is idle for a random time up to 30 ms.
async fn well_behaved(name: &str, seed: u64) -> Instance {
    let random = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
    Instance::start(name, move |mut s| {
        let random = Arc::clone(&random);
        async move {
            loop {
                let (patience, work) = {
                    let mut random = random.lock().unwrap();
                    (random.random_range(0..30_000), random.random_range(0..4_000))
                };
                tokio::select! {
                    ready = s.stream.readable() => ready.unwrap(),
                    () = sleep(Duration::from_micros(patience)), if s.served > 0 => return,
                }
                if s.request().await.is_none() {
                    return;
                }
                sleep(Duration::from_micros(work)).await;
                s.ok("fine").await;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_switches_under_load_cut_nothing() {
    let proxy = Arc::new(proxy(ProxySpec::default()));
    let kinds = ["GET /", "GET /", "GET /", "POST /"].map(str::to_owned).to_vec();
    let order = Order { addr: proxy.local_addr(), seed: 7, per_second: 200.0, requests: 1_000_000, kinds };
    let first = well_behaved("first", 1).await;
    proxy.program(only(arm("v0", &[&first])));
    let load = start(&order);
    until("the load has begun", || proxy.meter(&pool("v0")).totals().requests > 20).await;
    let names = switch(&proxy, Duration::from_millis(50), async |n| {
        [well_behaved(&format!("{n}-a"), n as u64).await, well_behaved(&format!("{n}-b"), n as u64 + 1_000).await]
    })
    .await;
    let report = report(load, true).await;
    let sent: u64 = report.values().flat_map(BTreeMap::values).sum();
    for (kind, outcomes) in &report {
        assert_eq!(outcomes.keys().collect::<Vec<_>>(), ["200"], "{kind}: {outcomes:?}");
    }
    assert!(sent > 1_000, "{sent} requests are no load");
    let meters: Vec<_> = names.iter().map(|n| proxy.meter(&pool(n)).totals()).collect();
    assert_eq!(meters.iter().map(|t| t.requests).sum::<u64>(), sent);
    assert_eq!(meters.iter().map(|t| t.errors + t.aborted + t.in_flight + t.upstream_failures).sum::<u64>(), 0);
    let retries: u64 = meters.iter().map(|t| t.retries).sum();
    println!("{SWITCHES} switches, {sent} requests, {retries} repeated, 0 failed");
    assert!(retries > 0, "the instances closed no connection that was about to be used: nothing was proved");
}

/// What each kind of request meets, and what its client must get.
const FAULTS: [(&str, &str); 15] = [
    ("GET /ok", "200"),
    ("POST /ok", "200"),
    ("GET /slow", "200"),
    ("GET /trickle", "200"),
    ("POST /trickle", "200"),
    // Closes without a byte, but only connections that were used before: repeated on a fresh one.
    ("GET /stale", "200"),
    ("POST /stale", "200"),
    ("GET /reset", "502"),
    ("POST /reset", "502"),
    ("GET /half-closed", "502"),
    ("POST /half-closed", "502"),
    ("GET /half-a-head", "502"),
    ("GET /silent", "504"),
    ("GET /short", "200 cut"),
    ("POST /broken", "200 cut"),
];

async fn misbehaved(mut s: Session) {
    while let Some(request) = s.request().await {
        match request.path() {
            "/slow" => {
                sleep(Duration::from_millis(80)).await;
                s.ok("late").await;
            }
            "/trickle" => {
                s.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chu").await;
                tokio::task::yield_now().await;
                s.send("nked\r\n\r\n").await;
                for _ in 0..20 {
                    s.send("1\r\nx\r\n").await;
                    tokio::task::yield_now().await;
                }
                s.send("0\r\n\r\n").await;
            }
            "/stale" if s.served > 1 => return,
            "/reset" => return s.reset(),
            "/half-closed" => {
                let _ = s.stream.shutdown().await;
                while s.more().await.is_some() {}
                return;
            }
            "/half-a-head" => return s.send("HTTP/1.1 200 OK\r\ncontent-le").await,
            "/silent" => {
                s.more().await;
                return;
            }
            "/short" => return s.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nshort").await,
            "/broken" => {
                s.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nstart\r\n3e8\r\nbro").await;
                // What was sent has to be read before the reset throws it away.
                sleep(Duration::from_millis(100)).await;
                return s.reset();
            }
            _ => s.ok("fine").await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn misbehaving_instances_fail_as_often_with_switches_as_without() {
    let mut reports = Vec::new();
    for switches in [false, true] {
        // Long enough that on a busy machine nothing but silence takes as long.
        let settings = ProxySpec { try_timeout: Duration::from_secs(5), ..ProxySpec::default() };
        let proxy = Arc::new(proxy(settings));
        let fresh =
            async |n: usize| [Instance::start(&format!("{n}-a"), misbehaved).await, Instance::start(&format!("{n}-b"), misbehaved).await];
        let first = fresh(0).await;
        proxy.program(only(arm("v0", &[&first[0], &first[1]])));
        let kinds = FAULTS.iter().map(|(kind, _)| (*kind).to_owned()).collect();
        let load = start(&Order { addr: proxy.local_addr(), seed: 11, per_second: 150.0, requests: REQUESTS, kinds });
        until("the load has begun", || proxy.meter(&pool("v0")).totals().started > 20).await;
        let names = if switches { switch(&proxy, Duration::from_millis(30), fresh).await } else { vec!["v0".to_owned()] };
        let report = report(load, false).await;
        for (kind, expected) in FAULTS {
            assert_eq!(report[kind].keys().collect::<Vec<_>>(), [expected], "{kind}, switches: {switches}: {:?}", report[kind]);
        }
        let injected: u64 = FAULTS.iter().filter(|(_, e)| *e != "200").map(|(kind, _)| report[*kind].values().sum::<u64>()).sum();
        until("all is counted", || names.iter().all(|n| proxy.in_flight(&pool(n)) == 0)).await;
        let totals: Vec<_> = names.iter().map(|n| proxy.meter(&pool(n)).totals()).collect();
        assert_eq!(totals.iter().map(|t| t.upstream_failures).sum::<u64>(), injected, "switches: {switches}");
        assert_eq!(totals.iter().map(|t| t.requests).sum::<u64>(), REQUESTS as u64);
        assert_eq!(totals.iter().map(|t| t.aborted).sum::<u64>(), 0);
        println!("switches: {switches}, {REQUESTS} requests, {injected} failures injected that cannot be repeated, as many seen");
        reports.push(report);
    }
    assert_eq!(reports[0], reports[1], "the same failures at the same rate");
}
