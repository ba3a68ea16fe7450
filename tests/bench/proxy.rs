//! What the weighted proxy costs on loopback: paired rounds of the same load, direct and through it.
//! Server, proxy and load are three processes of one thread each. Figures are medians of the rounds;
//! on a shared machine only the ratios mean something. `cargo bench --bench proxy`
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench may fail loudly"
)]

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
use hdrhistogram::Histogram;
use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};

const ROLE: &str = "CUTOVER_BENCH_ROLE";
const CONNECTIONS: usize = 32;
const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: usize = 5;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 12\r\n\r\nhello world\n";

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match std::env::var(ROLE).as_deref() {
        Ok("server") => runtime.block_on(server()),
        Ok("proxy") => runtime.block_on(proxy()),
        Ok("load") => runtime.block_on(load()),
        _ => compare(),
    }
}

fn compare() {
    let (server, direct) = process("server", &[]);
    let (proxy, through) = process("proxy", &[&direct]);
    println!("{CONNECTIONS} connections, {ROUNDS} rounds of {} s each, medians", ROUND.as_secs());
    for method in ["GET", "POST"] {
        let mut rounds = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (addr, results) in [&direct, &through].into_iter().zip(&mut rounds) {
                let (mut load, line) = process("load", &[addr, method]);
                load.wait().unwrap();
                let figures: Vec<f64> = line.split(' ').map(|f| f.parse().unwrap()).collect();
                results.push([figures[0], figures[1], figures[2]]);
            }
        }
        let [direct, through] = rounds.map(|r| [0, 1, 2].map(|i| median(r.iter().map(|f| f[i]).collect())));
        println!("{method} direct:    {:>7.0} req/s  p50 {:>6.2} ms  p99 {:>6.2} ms", direct[0], direct[1], direct[2]);
        println!("{method} proxied:   {:>7.0} req/s  p50 {:>6.2} ms  p99 {:>6.2} ms", through[0], through[1], through[2]);
        println!("{method} added:     p50 {:+.2} ms, p99 {:+.2} ms at full load", through[1] - direct[1], through[2] - direct[2]);
    }
    println!("goal: 10,000 GET/s on one core. A POST takes a fresh connection each, by rule.");
    for mut child in [proxy, server] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Starts this program in a role; the line it says when it is ready or done.
fn process(role: &str, args: &[&str]) -> (Child, String) {
    let mut child = Command::new("/proc/self/exe").args(args).env(ROLE, role).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, line.trim().to_owned())
}

fn argument(n: usize) -> String {
    std::env::args().nth(n).unwrap()
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

async fn server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    say(&listener.local_addr().unwrap().to_string());
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let mut read = Vec::new();
            while matches!(stream.read_buf(&mut read).await, Ok(n) if n > 0) {
                if read.ends_with(b"\r\n\r\n") {
                    read.clear();
                    if stream.write_all(ANSWER).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

async fn proxy() {
    let clock = Arc::new(SystemClock::start());
    let proxy = Proxy::bind("bench".into(), "127.0.0.1:0".parse().unwrap(), ProxySpec::default(), clock).unwrap();
    let pool = PoolId { version: VersionId::new("v1"), generation: 1 };
    let upstreams = vec![Upstream { instance: InstanceId::new("a"), addr: argument(1).parse().unwrap() }];
    proxy.program(Table { stable: Some(Arm { pool, upstreams }), candidate: None, weight: Weight::ZERO, testers: false });
    say(&proxy.local_addr().to_string());
    std::future::pending::<()>().await;
}

async fn load() {
    let addr: SocketAddr = argument(1).parse().unwrap();
    let request = match argument(2).as_str() {
        "POST" => "POST /path HTTP/1.1\r\nhost: bench\r\ncontent-length: 0\r\n\r\n",
        _ => "GET /path?query=1 HTTP/1.1\r\nhost: bench\r\nuser-agent: bench\r\naccept: */*\r\n\r\n",
    };
    let began = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..CONNECTIONS {
        running.spawn(async move {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut latencies, mut read) = (Vec::new(), Vec::new());
            while began.elapsed() < ROUND {
                let sent = Instant::now();
                stream.write_all(request.as_bytes()).await.unwrap();
                read.clear();
                while !read.ends_with(b"hello world\n") {
                    assert!(stream.read_buf(&mut read).await.unwrap() > 0, "closed");
                }
                assert!(read.starts_with(b"HTTP/1.1 200"), "an error");
                latencies.push(u64::try_from(sent.elapsed().as_micros()).unwrap());
            }
            latencies
        });
    }
    let mut all = Histogram::<u64>::new(3).unwrap();
    while let Some(latencies) = running.join_next().await {
        for latency in latencies.unwrap() {
            all.record(latency).unwrap();
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "small")]
    let [n, p50, p99] = [all.len(), all.value_at_quantile(0.5), all.value_at_quantile(0.99)].map(|v| v as f64);
    say(&format!("{} {} {}", n / began.elapsed().as_secs_f64(), p50 / 1_000.0, p99 / 1_000.0));
}
