//! The console as a person meets it: the real program in a real terminal, against a real host with
//! real traffic.

mod demo;
mod fleet;
mod flood;
mod idle;
mod keys;
mod looking;
mod picture;
mod presence;
mod record;
mod story;
mod together;
mod verbs;
mod walk;

use crate::support::{
    host::{CUTOVER, Host},
    pty::Pty,
};
use cutover::{
    journal::{Kind, Line, verify},
    model::rollout::Rollout,
};
use portable_pty::CommandBuilder;
use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// A key's distance from the last that nobody would call held.
const APART: Duration = Duration::from_millis(300);

/// The sample service with a canary at a quarter of the traffic, until somebody steps.
fn service() -> String {
    format!(
        r#"
[[service]]
name = "web"
listen = "127.0.0.1:0"
command = ["{CUTOVER}", "sample", "--port", "{{port}}", "--behaviour", "behaviour.toml"]
readiness = {{ path = "/healthz", interval = "100ms" }}
steps = [{{ weight = 25 }}, {{ pause = "manual" }}, {{ weight = 50 }}, {{ pause = "manual" }}]
drain = "2s"
keep_warm = "10m"
"#
    )
}

/// A host with a canary that waits for a person, and traffic on both versions.
struct Stage {
    host: Host,
    _traffic: Traffic,
}

impl Stage {
    fn canary() -> Self {
        let host = Host::start(&service());
        for (label, errors, goal) in [("v1", 0.0, "completed"), ("v2", 40.0, "paused")] {
            let behaviour = format!("median_ms = 1.0\nerrors = [[0.0, {errors:.1}]]\n");
            let digest = host.seal(label, &[("behaviour.toml", &behaviour)]);
            host.ok(&["deploy", "web", &digest]);
            host.ok(&["wait", "web", "--for", goal, "--timeout", "60s"]);
        }
        let traffic = Traffic::on(&host.address);
        Self { host, _traffic: traffic }
    }

    /// Opens a console as `ana` and waits until it shows the canary.
    fn console(&self, cols: u16, rows: u16) -> Pty {
        let mut pty = Pty::spawn(self.command("ana", &[]), cols, rows);
        pty.shows("CANARY step 2");
        pty
    }

    fn command(&self, user: &str, more: &[&str]) -> CommandBuilder {
        let config = self.host.config();
        let mut args = vec!["-c", config.to_str().unwrap()];
        args.extend(more);
        command(&self.host.dir, user, &args)
    }

    /// What the host says, past everything that lies between it and the screen.
    fn phase(&self) -> String {
        self.host.rollout().phase.word().to_owned()
    }

    fn last(&self) -> Option<String> {
        self.host.rollout().last.map(|l| l.action.verb().to_owned())
    }

    /// Each action has one intent line and then one outcome line, and the chain is whole.
    fn assert_journal(&self, actions: &[&str]) {
        let path = self.host.dir.join("journal.jsonl");
        verify(&path).unwrap();
        let mut lines: BTreeMap<String, Vec<Kind>> = BTreeMap::new();
        let mut order = Vec::new();
        for line in fs::read_to_string(&path).unwrap().lines() {
            let entry = serde_json::from_str::<Line>(line).unwrap().entry;
            let (Some(id), Some(action)) = (entry.id, entry.action) else { continue };
            let of = lines.entry(id.as_str().to_owned()).or_default();
            if of.is_empty() {
                order.push(action.verb().to_owned());
            }
            of.push(entry.kind);
        }
        assert_eq!(order, actions);
        for (id, mut kinds) in lines {
            // The way back does not wait for the line that says it was asked for.
            kinds.sort_by_key(|k| *k != Kind::Intent);
            assert_eq!(kinds, [Kind::Intent, Kind::Outcome], "{id}");
        }
    }
}

/// The program with an environment of its own.
fn command(home: &Path, user: &str, args: &[&str]) -> CommandBuilder {
    let mut command = CommandBuilder::new(CUTOVER);
    command.args(args);
    command.env_clear();
    for (name, value) in [("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("PATH", "/usr/bin:/bin"), ("USER", user)] {
        command.env(name, value);
    }
    for name in ["HOME", "TMPDIR", "XDG_STATE_HOME"] {
        command.env(name, home);
    }
    command.cwd(home);
    command
}

/// Requests, one after the other, until it is dropped.
struct Traffic {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Traffic {
    fn on(address: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, address) = (Arc::clone(&stop), address.to_owned());
        let request = move || -> std::io::Result<()> {
            let mut stream = TcpStream::connect(&address)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"GET /cart HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n")?;
            stream.read_to_end(&mut Vec::new()).map(drop)
        };
        let run = move || {
            while !stopped.load(Ordering::Relaxed) {
                // A host that was killed answers nothing: the next one may.
                let _ = request();
                thread::sleep(Duration::from_millis(40));
            }
        };
        Self { stop, thread: Some(thread::spawn(run)) }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

trait Person {
    /// Waits as a person does between two keys, while the screen goes on.
    fn waits(&mut self, time: Duration);
    /// One key, at a distance from the one before.
    fn presses(&mut self, key: &str);
}

impl Person for Pty {
    fn waits(&mut self, time: Duration) {
        let began = std::time::Instant::now();
        while let Some(left) = time.checked_sub(began.elapsed()) {
            self.pump(left.max(Duration::from_millis(1)));
        }
    }

    fn presses(&mut self, key: &str) {
        self.waits(APART);
        self.keys(key);
    }
}

/// The candidate's programmed share in percent.
fn weight(rollout: &Rollout) -> Option<f64> {
    rollout.candidate()?.share.programmed?.percent()
}
