//! What the console costs: the real program in a real terminal, against a real host. Prints each
//! figure beside its goal and asserts nothing: machines differ.
//!
//! `cargo bench --bench console`
#![allow(
    missing_docs,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench is a test"
)]

#[path = "../support/host.rs"]
mod host;
#[path = "../support/pty.rs"]
mod pty;

use chrono::Utc;
use cutover::model::{
    delta::Delta,
    ident::{Rev, TargetId},
    rollout::Rollout,
};
use host::{CUTOVER, Host};
use portable_pty::CommandBuilder;
use pty::{Pty, resident, wakeups};
use rustix::process::Pid;
use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const COLS: u16 = 120;
const ROWS: u16 = 40;

fn main() {
    println!("binary: {:.1} MB (goal 15)", fs::metadata(CUTOVER).unwrap().len() as f64 / 1e6);
    deaf();
    let host = Host::start(&service());
    deploy(&host, "v1", "completed");
    first_paint("first paint, live host", &host, "live");
    idle("completed, no traffic", &host);
    deploy(&host, "v2", "paused");
    let mut load = load(&host);
    thread::sleep(Duration::from_secs(2));
    idle("canary, 300 requests/s", &host);
    keys("key to paint", &host);
    flooded(&host);
    logs();
    ways_back(&host);
    drop(load.stdin.take());
    load.wait().unwrap();
}

fn service() -> String {
    format!(
        r#"
[[service]]
name = "web"
listen = "127.0.0.1:0"
command = ["{CUTOVER}", "sample", "--port", "{{port}}", "--behaviour", "behaviour.toml"]
readiness = {{ path = "/healthz" }}
steps = [{{ weight = 50 }}, {{ pause = "manual" }}]
drain = "2s"
"#
    )
}

fn deploy(host: &Host, label: &str, goal: &str) {
    let digest = host.seal(label, &[("behaviour.toml", "median_ms = 1.0\n"), ("label", label)]);
    host.ok(&["deploy", "web", &digest]);
    host.ok(&["wait", "web", "--for", goal, "--timeout", "60s"]);
}

fn load(host: &Host) -> Child {
    let url = format!("http://{}", host.address);
    Command::new(CUTOVER).args(["load", "--url", &url, "--rate", "300"]).stdin(Stdio::piped()).spawn().unwrap()
}

fn console(dir: &Path) -> Pty {
    let mut command = CommandBuilder::new(CUTOVER);
    command.args(["-c", dir.join("config.toml").to_str().unwrap()]);
    command.env_clear();
    for (name, value) in [("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("PATH", "/usr/bin:/bin"), ("USER", "ana")] {
        command.env(name, value);
    }
    command.env("HOME", dir);
    command.cwd(dir);
    Pty::spawn(command, COLS, ROWS)
}

/// Median and 95th percentile in milliseconds.
fn print(what: &str, mut took: Vec<Duration>, goal: &str) {
    took.sort_unstable();
    let ms = |n: usize| took[n].as_secs_f64() * 1e3;
    println!("{what}: median {:.2} ms, p95 {:.2} ms of {} ({goal})", ms(took.len() / 2), ms(took.len() * 95 / 100), took.len());
}

/// A host that takes connections and never answers.
fn deaf() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::prepare(dir.path(), &service());
    let _listener = UnixListener::bind(dir.path().join("host.sock")).unwrap();
    first_paint("first paint, nobody answers", &host, "cutover");
    idle("nobody answers", &host);
}

fn first_paint(what: &str, host: &Host, text: &str) {
    let once = |_| {
        let began = Instant::now();
        let mut pty = console(&host.dir);
        while !pty.screen().contains(text) {
            pty.pump(Duration::from_secs(1));
        }
        began.elapsed()
    };
    print(what, (0..20).map(once).collect(), "goal 50 ms from exec");
}

/// Nanoseconds on a processor, by thread.
fn cpu(pid: Pid) -> BTreeMap<PathBuf, f64> {
    let tasks = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).unwrap();
    let spent = tasks.filter_map(|t| t.ok().map(|t| t.path())).filter_map(|path| {
        let text = fs::read_to_string(path.join("schedstat")).ok()?;
        Some((path, text.split_whitespace().next()?.parse().ok()?))
    });
    spent.collect()
}

fn idle(what: &str, host: &Host) {
    let mut pty = console(&host.dir);
    wait(&mut pty, Duration::from_secs(3));
    let mut all = vec![("console", pty.pid())];
    all.extend(host.child.as_ref().map(|child| ("host", Pid::from_child(child))));
    let before: Vec<_> = all.iter().map(|(_, pid)| (wakeups(*pid), cpu(*pid))).collect();
    let (bytes, began) = (pty.bytes.len(), Instant::now());
    wait(&mut pty, Duration::from_secs(10));
    let seconds = began.elapsed().as_secs_f64();
    for ((name, pid), (woken, used)) in all.into_iter().zip(before) {
        // A thread that ended takes its counts with it.
        let woken = wakeups(pid).saturating_sub(woken) as f64 / seconds;
        let used: f64 = cpu(pid).into_iter().map(|(thread, now)| now - used.get(&thread).unwrap_or(&0.0)).sum();
        let (used, resident) = (used / seconds / 1e7, resident(pid));
        println!("{what}: {name} woken {woken:.1}/s, CPU {used:.2} %, {resident:.1} MB resident");
    }
    println!(
        "{what}: goals for the console 3/s, 0.1 %, 40 MB; {:.0} B/s written, of which the clock is about 40",
        (pty.bytes.len() - bytes) as f64 / seconds
    );
}

fn wait(pty: &mut Pty, time: Duration) {
    let began = Instant::now();
    while let Some(left) = time.checked_sub(began.elapsed()) {
        pty.pump(left);
    }
}

/// Keys at a random phase, each to the first byte that follows; the floor is one hop between threads.
fn keys(what: &str, host: &Host) {
    let mut pty = console(&host.dir);
    pty.shows("live");
    let mut took = Vec::new();
    for n in 0..60_u64 {
        wait(&mut pty, Duration::from_millis(60 + n * 37 % 90));
        while pty.pump(Duration::from_millis(4)) {}
        let began = Instant::now();
        pty.keys("\t");
        while !pty.pump(Duration::from_secs(1)) {}
        took.push(began.elapsed());
    }
    print(what, took, "goal 2 ms, p95 8 ms");
}

/// The same while a source says 1,000 times a second that the rollout is another one.
fn flooded(host: &Host) {
    let dir = tempfile::tempdir().unwrap();
    let flooded = Host::prepare(dir.path(), "");
    let listener = UnixListener::bind(dir.path().join("host.sock")).unwrap();
    let mut rollout = host.rollout();
    rollout.key.target = TargetId::new("host");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = flood(stream, rollout.clone()); // until the console has gone
        }
    });
    keys("key to paint, 1,000 updates/s", &flooded);
}

fn flood(mut stream: UnixStream, mut rollout: Rollout) -> std::io::Result<()> {
    let _ = stream.read(&mut [0; 4096])?;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n")?;
    let mut say = |delta: &Delta| {
        let line = serde_json::to_string(delta)?;
        write!(stream, "{:x}\r\n{line}\n\r\n", line.len() + 1)
    };
    say(&Delta::Init { version: 1, epoch: rollout.seen.epoch, server_time: Utc::now() })?;
    say(&Delta::Apply { rollout: Box::new(rollout.clone()) })?;
    say(&Delta::InitDone { rev: rollout.seen.rev })?;
    loop {
        thread::sleep(Duration::from_millis(1));
        rollout.seen.rev = Rev(rollout.seen.rev.0 + 1);
        rollout.seen.server_time = Utc::now();
        for pool in rollout.tracks.iter_mut().flat_map(|t| &mut t.pools) {
            pool.restarts += 1;
        }
        say(&Delta::Apply { rollout: Box::new(rollout.clone()) })?;
    }
}

/// A service that prints 10,000 lines a second, with the log panel open: each `f` to the title that says
/// what it did, and what the console and the host hold in memory.
fn logs() {
    let printing = "import sys, threading, time\nfrom http.server import *\ndef flood():\n    n, began = 0, time.monotonic()\n    \
        while True:\n        due = int((time.monotonic() - began) * 10_000)\n        \
        sys.stdout.write(''.join(f'line {i} of a service that has a lot to say\\n' for i in range(n, due)))\n        \
        sys.stdout.flush()\n        n = due\n        time.sleep(0.01)\n\
        threading.Thread(target=flood, daemon=True).start()\n\
        ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), SimpleHTTPRequestHandler).serve_forever()\n";
    let host = Host::start(
        "[[service]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\ncommand = [\"python3\", \"serve.py\", \"{port}\"]\n\
         readiness = { path = \"/serve.py\" }\nsteps = [{ weight = 50 }]\ndrain = \"1s\"\n",
    );
    host.ok(&["deploy", "web", &host.seal("v1", &[("serve.py", printing)])]);
    host.ok(&["wait", "web", "--for", "completed", "--timeout", "60s"]);
    let mut pty = console(&host.dir);
    pty.shows("COMPLETED");
    pty.keys("l");
    pty.shows("that has a lot to say");
    let mut took = Vec::new();
    for n in 0..40_u64 {
        wait(&mut pty, Duration::from_millis(160 + n * 37 % 90));
        pty.keys("f");
        took.push(pty.shows(if n % 2 == 0 { "stopped, f follows" } else { "logs · following" }));
    }
    print("key to paint, 10,000 log lines/s", took, "goal 2 ms, p95 8 ms, and up to a frame of 33 ms behind");
    let (console, host) = (resident(pty.pid()), resident(Pid::from_child(host.child.as_ref().unwrap())));
    println!("10,000 log lines/s: console {console:.1} MB resident (goal 40), host {host:.1} MB");
}

/// From the request's arrival to the last new request on the version that was left, as the host counts
/// them, and how long the command takes until an observation has confirmed it.
fn ways_back(host: &Host) {
    let (mut last, mut command) = (Vec::new(), Vec::new());
    for n in 0..20 {
        if n > 0 {
            deploy(host, &format!("w{n}"), "paused");
            thread::sleep(Duration::from_millis(300));
        }
        let began = Instant::now();
        host.ok(&["revert", "web"]);
        command.push(began.elapsed());
        let proof = host.until("proof", |r| r.proof.is_some()).proof.unwrap();
        last.extend(proof.last_request.map(|at| (at - proof.asked).to_std().unwrap_or_default()));
    }
    print("way back, last new request after it was asked for", last, "goal 50 ms");
    print("way back, the command until confirmed", command, "goal: within a second");
}
