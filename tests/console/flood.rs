//! A service that prints 10,000 lines a second, in the log panel. Bounds are wide: figures are printed
//! by `cargo bench --bench console`.

use super::{Person, command, story::quits};
use crate::support::{
    host::Host,
    need,
    pty::{Pty, resident},
};
use rustix::process::{Pid, Signal};
use std::time::{Duration, Instant};

/// Prints so many lines a second, whatever becomes of them, and answers its probe.
pub const FLOOD: &str = r#"import sys, threading, time
from http.server import *
def flood():
    n, began = 0, time.monotonic()
    while True:
        due = int((time.monotonic() - began) * 10_000)
        if due > n:
            sys.stdout.write("".join(f"line {i} of a service that has a lot to say about request {i % 97}\n" for i in range(n, due)))
            sys.stdout.flush()
            n = due
        time.sleep(0.01)
threading.Thread(target=flood, daemon=True).start()
class H(SimpleHTTPRequestHandler):
    def log_message(self, *a): pass
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
"#;

/// The number of the newest line, and when it was asked for.
fn newest(host: &Host) -> (u64, Instant) {
    let line: serde_json::Value = serde_json::from_str(&host.ok(&["logs", "web", "--last", "1", "-o", "json"])).unwrap();
    (line["seq"].as_u64().unwrap(), Instant::now())
}

/// What the panel's title says.
fn dropped(pty: &Pty) -> u64 {
    let screen = pty.screen();
    let title = screen.lines().find(|l| l.contains("logs · ")).and_then(|l| l.split_once(" dropped"));
    title.map_or(0, |(before, _)| before.rsplit(' ').next().unwrap().parse().unwrap())
}

#[test]
fn ten_thousand_lines_a_second_hold_up_neither_keys_nor_memory() {
    if !need("python3") {
        return;
    }
    let host = Host::start(
        "[[service]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\ncommand = [\"python3\", \"serve.py\", \"{port}\"]\n\
         readiness = { path = \"/version\", interval = \"200ms\" }\nsteps = [{ weight = 50 }]\ndrain = \"1s\"\n",
    );
    host.ok(&["deploy", "web", &host.seal("v1", &[("version", "v1"), ("serve.py", FLOOD)])]);
    host.ok(&["wait", "web", "--for", "completed", "--timeout", "60s"]);
    let mut pty = Pty::spawn(command(&host.dir, "ana", &["-c", host.config().to_str().unwrap()]), 120, 36);
    pty.shows("COMPLETED");
    let before = resident(pty.pid());
    pty.presses("l");
    pty.shows("of a service that has a lot to say");
    let (first, began) = newest(&host);

    // A key that shows what it did, while every frame is another one anyway.
    let mut took: Vec<Duration> = Vec::new();
    for n in 0..20_u64 {
        pty.waits(Duration::from_millis(150 + n * 37 % 90));
        pty.keys("f");
        took.push(pty.shows(if n % 2 == 0 { "stopped, f follows" } else { "logs · following" }));
    }
    took.sort_unstable();
    let (last, ended) = newest(&host);
    let rate = (last - first) as f64 / (ended - began).as_secs_f64();
    println!("{rate:.0} lines/s; key to paint: median {:?}, worst {:?} (debug build)", took[10], took[19]);
    assert!(rate > 3_000.0, "this was no flood: {rate} lines/s");
    assert!(took[10] < Duration::from_millis(500) && took[19] < Duration::from_secs(3), "{took:?}");

    // More time, no more memory: of either of them.
    let pids = [pty.pid(), Pid::from_child(host.child.as_ref().unwrap())];
    let settled = pids.map(resident);
    pty.waits(Duration::from_secs(4));
    let later = pids.map(resident);
    println!("console {before:.0} → {:.0} → {:.0} MB, host {:.0} → {:.0} MB", settled[0], later[0], settled[1], later[1]);
    for (settled, later) in settled.into_iter().zip(later) {
        assert!(later < settled + 30.0 && later < 300.0, "{settled} → {later} MB");
    }

    // What a console cannot take it counts and says; the newest lines are there all the same.
    let before = dropped(&pty);
    pty.signal(Signal::STOP);
    std::thread::sleep(Duration::from_secs(4));
    pty.signal(Signal::CONT);
    pty.until("what was lost is said", |p| dropped(p) > before + 1_000);
    let shown = |p: &Pty| p.screen().lines().rfind(|l| l.contains("of a service that has")).map(str::to_owned);
    let then = shown(&pty);
    pty.until("it goes on", |p| shown(p) != then);
    pty.presses("\x1b");
    quits(&mut pty);
}
