//! Every story of the demo, told without a terminal: real hosts, real requests, and its expected end.

use crate::support::{
    host::{CUTOVER, marked},
    need,
};
use std::{
    fs,
    process::{Command, Output, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

/// Each scenario and how much faster it is told here: as far as two busy cores can keep up.
/// The longest come first.
const STORIES: [(&str, &str); 18] = [
    ("fleet", "6"),
    ("both-sick", "4"),
    ("errors", "5"),
    ("p99", "5"),
    ("healthy", "5"),
    ("cold-start", "5"),
    ("flaky", "5"),
    ("rush-hour", "4"),
    ("leak", "2"),
    ("sick-instance", "3"),
    ("rolling", "4"),
    ("auto-revert", "4"),
    ("delayed-crash", "5"),
    ("crash-loop", "4"),
    ("never-ready", "5"),
    ("unsafe-migration", "4"),
    ("blue-green", "1"),
    ("recreate", "1"),
];

/// How many are told at a time.
const AT_ONCE: usize = 5;

fn cutover(dir: &std::path::Path, args: &[&str]) -> Output {
    let mut command = Command::new(CUTOVER);
    command.args(args).stdin(Stdio::null()).current_dir(dir);
    for name in ["HOME", "TMPDIR", "XDG_STATE_HOME"] {
        command.env(name, dir);
    }
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The end of what was printed, for a message.
fn end(out: &Output) -> String {
    let all = text(&out.stdout);
    let lines: Vec<&str> = all.lines().collect();
    format!("{}\n{}", lines[lines.len().saturating_sub(30)..].join("\n"), text(&out.stderr))
}

#[test]
fn every_scenario_comes_to_its_end_and_leaves_nothing() {
    let began = Instant::now();
    let left = Mutex::new(STORIES.to_vec());
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let mut waiting = left.lock().unwrap();
                    if waiting.is_empty() {
                        return;
                    }
                    let (name, speed) = waiting.remove(0);
                    drop(waiting);
                    let dir = tempfile::Builder::new().prefix("cutover-test-").tempdir().unwrap();
                    let from = began.elapsed();
                    let told =
                        cutover(dir.path(), &["demo", "--scenario", name, "--headless", "--seed", "7", "--speed", speed, "--for", "3m"]);
                    println!("{name}: {:.0?} to {:.0?}", from, began.elapsed());
                    if !(told.status.success() && text(&told.stdout).contains(": as expected: ")) {
                        wrong.lock().unwrap().push(format!("{name}: {}\n{}", told.status, end(&told)));
                    }
                    let files: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().map(|e| e.path()).collect();
                    let living = marked(dir.path().to_str().unwrap());
                    if !(files.is_empty() && living.is_empty()) {
                        wrong.lock().unwrap().push(format!("{name} left {files:?} and {living:?}"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    let listed = cutover(&std::env::temp_dir(), &["demo", "--list"]);
    let mut names: Vec<String> = text(&listed.stdout).lines().filter_map(|l| l.split_whitespace().next().map(str::to_owned)).collect();
    names.sort();
    let mut told = STORIES.map(|(name, _)| name.to_owned());
    told.sort();
    assert_eq!(names, told, "a scenario is not told here");
}

/// A story of a person's own: any program, and an end that it does not come to.
const OWN: &str = r#"
[demo]
about = "a story of one's own"

[demo.service.web]
load = { rate = 20 }
version = [{ label = "v1" }, { label = "v2", at = "1s" }]
expect = { phase = "held", says = "nobody says this", within = "4s" }

[[service]]
name = "web"
listen = "127.0.0.1:0"
command = ["cutover", "sample", "--port", "{port}", "--behaviour", "behaviour.toml"]
readiness = { path = "/healthz", interval = "200ms" }
steps = [{ weight = 50 }, { pause = "manual" }]
"#;

#[test]
fn a_story_of_ones_own_that_ends_otherwise_is_exit_code_1_and_one_that_cannot_end_is_2() {
    let dir = tempfile::Builder::new().prefix("cutover-test-").tempdir().unwrap();
    let file = dir.path().join("own.toml");
    let tell = |content: &str| {
        fs::write(&file, content).unwrap();
        cutover(dir.path(), &["demo", "--scenario", "./own.toml", "--headless"])
    };
    let told = tell(OWN);
    let said = text(&told.stderr);
    assert_eq!(told.status.code(), Some(1), "{}", end(&told));
    assert!(
        said.contains("web: expected held, saying \"nobody says this\"; it is held") && said.contains("next: paused by the plan"),
        "{said}"
    );
    let told = tell(&OWN.replace("phase = \"held\"", "phase = \"completed\""));
    let said = text(&told.stderr);
    assert_eq!(told.status.code(), Some(2));
    assert_eq!(said.lines().count(), 1, "before anything moves: {said}");
    assert!(said.starts_with("cutover: ./own.toml:8:20: this can never be `completed`"), "{said}");
    fs::remove_file(file).unwrap();
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none());
    assert!(marked(dir.path().to_str().unwrap()).is_empty());
}

#[test]
fn a_killed_demo_is_tidied_up_by_what_it_left() {
    let dir = tempfile::Builder::new().prefix("cutover-test-").tempdir().unwrap();
    let mut command = Command::new(CUTOVER);
    command.args(["demo", "--scenario", "unsafe-migration", "--headless"]).env("TMPDIR", dir.path()).env("HOME", dir.path());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let marker = dir.path().to_str().unwrap().to_owned();
    let until = |what: &str, is: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !is() {
            assert!(began.elapsed() < Duration::from_secs(60), "not {what}: {:?}", marked(&marker));
            thread::sleep(Duration::from_millis(50));
        }
    };
    // Console, load, host, and instances with their parents.
    until("started", &|| marked(&marker).len() >= 7);
    child.kill().unwrap();
    child.wait().unwrap();
    until("gone", &|| marked(&marker).is_empty() && fs::read_dir(dir.path()).unwrap().next().is_none());
}

/// The port of the Prometheus that has this in its command line.
fn scraper(marker: &str) -> Option<u16> {
    marked(marker).into_iter().find_map(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line);
        line.split('\0').find_map(|word| word.strip_prefix("--web.listen-address=127.0.0.1:")?.parse().ok())
    })
}

#[test]
fn a_demo_that_is_killed_leaves_no_prometheus_either() {
    if !need("prometheus") {
        return;
    }
    // The demo itself; then what owns the Prometheus, which the system ends with it.
    for whom in ["demo", "load"] {
        let dir = tempfile::Builder::new().prefix("cutover-test-").tempdir().unwrap();
        let marker = dir.path().to_str().unwrap().to_owned();
        let mut command = Command::new(CUTOVER);
        command.args(["demo", "--scenario", "unsafe-migration", "--headless", "--prometheus"]);
        command.env("TMPDIR", dir.path()).env("HOME", dir.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let until = |what: &str, is: &dyn Fn() -> bool| {
            let began = Instant::now();
            while !is() {
                assert!(began.elapsed() < Duration::from_secs(60), "not {what}: {:?}", marked(&marker));
                thread::sleep(Duration::from_millis(50));
            }
        };
        let answers = |port: u16| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        until("answering", &|| scraper(&marker).is_some_and(answers));
        let port = scraper(&marker).unwrap();
        if whom == "load" {
            let is_load =
                |pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.split(|b| *b == 0).nth(1) == Some(b"load"));
            let load = marked(&marker).into_iter().find(is_load).unwrap();
            rustix::process::kill_process(rustix::process::Pid::from_raw(load).unwrap(), rustix::process::Signal::KILL).unwrap();
            until("gone", &|| scraper(&marker).is_none() && !answers(port));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        until("gone", &|| scraper(&marker).is_none() && !answers(port));
        if whom == "demo" {
            until("gone", &|| marked(&marker).is_empty() && fs::read_dir(dir.path()).unwrap().next().is_none());
        } else {
            // Nobody is left who would remove the directory; what runs still ends.
            until("gone", &|| marked(&marker).is_empty());
        }
    }
}

#[test]
fn judged_by_a_prometheus_the_story_ends_the_same_and_leaves_nothing() {
    if !need("prometheus") {
        return;
    }
    let dir = tempfile::Builder::new().prefix("cutover-test-").tempdir().unwrap();
    let told = cutover(dir.path(), &["demo", "--scenario", "errors", "--headless", "--prometheus", "--speed", "3", "--for", "3m"]);
    assert!(told.status.success() && text(&told.stdout).contains(": as expected: "), "{}\n{}", told.status, end(&told));
    let files: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().map(|e| e.path()).collect();
    let living = marked(dir.path().to_str().unwrap());
    assert!(files.is_empty() && living.is_empty(), "{files:?} and {living:?}");
}

#[test]
fn without_a_prometheus_there_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let told = Command::new(CUTOVER).args(["demo", "--headless", "--prometheus"]).env("PATH", dir.path()).output().unwrap();
    assert_eq!(told.status.code(), Some(2));
    let said = text(&told.stderr);
    assert!(said.lines().count() == 1 && said.contains("no `prometheus` in PATH: apt install prometheus"), "{said}");
}
