//! The host is killed, and the host is killed together with supervisors.

use super::{PATIENCE, Place, isolations, plan, processes_with, ready, runtime, start, wait_until};
use cutover::host::instances::{Isolation, LogFilter};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// After a kill of the host, nothing of ours may be left for longer.
const GONE: Duration = Duration::from_secs(5);

/// Not a test by itself: what [`host`] runs in a process of its own, until it is killed.
#[tokio::test]
async fn host_process() {
    let Ok(dir) = std::env::var("CUTOVER_TEST_HOST") else { return };
    let isolation = if std::env::var("CUTOVER_TEST_PLAIN").is_ok() { Isolation::Plain } else { Isolation::PidNamespace };
    let dir = PathBuf::from(dir);
    let mark = mark(&dir);
    let (instances, _) = start(&dir, isolation);
    let forks = format!("setsid sh -c '(sleep {mark}.1 &)'; (sleep {mark}.2 &) ; sleep {mark}.3; : end");
    let stubborn = format!("trap '' TERM; while :; do sleep {mark}.4; done");
    let talking = format!("exec 2>/dev/null; trap 'echo last words; exit 0' TERM; : {mark}.5; echo up; while :; do sleep 0.05; done");
    let root = dir.join("artifact");
    let web = ["/usr/bin/python3", "-m", "http.server", "{port}", "--bind", "127.0.0.1", "--directory", root.to_str().unwrap()];
    let shells = [forks, stubborn, talking].map(|script| runtime(&["/bin/sh", "-c", &script]));
    for (n, spec) in shells.into_iter().chain([runtime(&web)]).enumerate() {
        instances.ensure(plan(&format!("v{n}"), root.clone(), spec));
    }
    std::future::pending::<()>().await;
}

/// Stands in the arguments of every service of the host on this directory.
fn mark(dir: &Path) -> String {
    fs::read_to_string(dir.join("mark")).unwrap()
}

/// Killed at the latest when its test ends.
struct Host(Child);

impl Host {
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn host(dir: &Path, isolation: Isolation) -> Host {
    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", "instances::kill::host_process", "--nocapture"]).env("CUTOVER_TEST_HOST", dir);
    if isolation == Isolation::Plain {
        command.env("CUTOVER_TEST_PLAIN", "1");
    }
    Host(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

fn place(n: usize) -> (Place, String) {
    let place = Place::new();
    let mark = format!("{}{n:03}", std::process::id());
    fs::write(place.path().join("mark"), &mark).unwrap();
    (place, mark)
}

/// Services by their arguments, and everything that the host wrote down.
fn ours(dir: &Path, mark: &str) -> Vec<String> {
    let mut left: Vec<String> = processes_with(&format!("{mark}.")).into_iter().map(|(pid, args)| format!("{pid} {args}")).collect();
    left.extend(processes_with(&dir.join("artifact").to_string_lossy()).into_iter().map(|(pid, args)| format!("{pid} {args}")));
    left.extend(recorded(dir).into_iter().filter(|(pid, start)| started(*pid) == Some(*start)).map(|(pid, _)| format!("{pid} recorded")));
    left
}

fn recorded(dir: &Path) -> Vec<(u32, u64)> {
    let files = fs::read_dir(dir.join("run/records")).into_iter().flatten().flatten();
    let records = files.filter_map(|f| serde_json::from_slice::<serde_json::Value>(&fs::read(f.path()).ok()?).ok());
    let marks = records.flat_map(|r| ["supervisor", "init", "leader"].map(|who| r[who].clone()));
    marks.filter_map(|m| Some((u32::try_from(m["pid"].as_u64()?).ok()?, m["start"].as_u64()?))).collect()
}

/// When a process started; a dead one that the system has not reaped yet does not count.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    (fields[0] != "Z").then(|| fields[19].parse().ok())?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 5)]
async fn nothing_survives_a_killed_host() {
    let mut random = SmallRng::seed_from_u64(42);
    let mut slowest = Duration::ZERO;
    for batch in 0..4 {
        let runs: Vec<_> =
            (0..5).map(|n| tokio::spawn(killed(batch * 5 + n, Duration::from_millis(random.random_range(0..1_200))))).collect();
        for run in runs {
            slowest = slowest.max(run.await.unwrap());
        }
    }
    println!("20 hosts killed, nothing left after at most {slowest:?}");
}

/// Kills a host at this age; how long something of it was left.
async fn killed(n: usize, age: Duration) -> Duration {
    let isolation = isolations()[n % isolations().len()];
    let (place, mark) = place(n);
    let mut host = host(place.path(), isolation);
    tokio::time::sleep(age).await; // the moment of the kill is the point: any is good
    host.kill();
    let start_of_end = Instant::now();
    wait_until(&format!("run {n}, {isolation:?}, killed after {age:?}"), GONE, || ours(place.path(), &mark).is_empty()).await;
    let took = start_of_end.elapsed();
    let known = recorded(place.path()).len();
    let (next, leftovers) = start(place.path(), isolation);
    assert!(leftovers.found.iter().all(|l| l.killed == 0 && !l.survived), "{leftovers:?}");
    assert_eq!(leftovers.found.is_empty(), known == 0, "{leftovers:?}");
    assert_eq!(fs::read_dir(place.path().join("run/i")).unwrap().count(), 0);
    next.shutdown(Duration::ZERO).await;
    took
}

#[tokio::test]
async fn last_words_after_the_hosts_death_are_kept() {
    for &isolation in isolations() {
        let (place, mark) = place(100);
        let mut host = host(place.path(), isolation);
        let log = place.path().join("log/checkout/v2-1-3.jsonl");
        wait_until("it is up", PATIENCE, || fs::read_to_string(&log).unwrap_or_default().contains("\"up\"")).await;
        host.kill();
        wait_until("all are gone", GONE, || ours(place.path(), &mark).is_empty()).await;
        let (next, _) = start(place.path(), isolation);
        let lines = next.logs().tail(&LogFilter { version: Some("v2".into()), ..LogFilter::default() }, 0);
        let said: Vec<&str> = lines.iter().map(|l| l.line.as_str()).collect();
        assert_eq!(said, ["up", "last words", "the host died: exit code 0"]);
        next.shutdown(Duration::ZERO).await;
    }
}

/// What an orderly death of the host cannot leave, the next host ends: here host and supervisors
/// were killed together, without a namespace to take the rest along.
#[tokio::test]
async fn the_next_host_ends_what_is_left() {
    let (place, mark) = place(101);
    let mut host = host(place.path(), Isolation::Plain);
    let supervisors = || processes_with(&format!("supervise watch {}", host.0.id()));
    wait_until("all services run", PATIENCE, || {
        (1..=5).all(|n| !processes_with(&format!("{mark}.{n}")).is_empty()) && recorded(place.path()).len() == 8 && supervisors().len() == 4
    })
    .await;
    let supervisors = supervisors();
    let records = fs::read_dir(place.path().join("run/records")).unwrap().flatten();
    let groups = records.map(|f| fs::read_to_string(f.path()).unwrap()).any(|record| record.contains("cgroup\":\"/"));
    host.0.kill().unwrap();
    for (pid, _) in &supervisors {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid as i32), nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    host.kill();
    if !groups {
        println!("left out without control groups: the sweep");
        for (pid, _) in processes_with(&format!("{mark}.")) {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGKILL).unwrap();
        }
        return;
    }
    let (next, leftovers) = start(place.path(), Isolation::Plain);
    assert_eq!(ours(place.path(), &mark), Vec::<String>::new());
    assert_eq!(leftovers.found.len(), 4);
    assert!(leftovers.found.iter().map(|l| l.killed).sum::<usize>() > 0, "{leftovers:?}");
    assert!(leftovers.line().unwrap().as_str().starts_with("an earlier host left 4 instances: "));
    next.shutdown(Duration::ZERO).await;
}

/// A host that starts while the services of the one before still drain does not wait for them.
#[tokio::test]
async fn a_quick_restart_does_not_wait_for_the_drain() {
    for &isolation in isolations() {
        let (place, mark) = place(102);
        let mut host = host(place.path(), isolation);
        wait_until("it runs", PATIENCE, || !processes_with(&format!("{mark}.4")).is_empty() && recorded(place.path()).len() >= 8).await;
        host.kill();
        let (next, leftovers) = start(place.path(), isolation);
        assert_eq!(ours(place.path(), &mark), Vec::<String>::new(), "{isolation:?} {leftovers:?}");
        next.ensure(plan("v9", place.root(), super::python()));
        let fresh = ready(&next).await;
        assert_eq!(fresh.instances[0].id.as_str(), "v9-1-5", "no name is given twice");
        next.shutdown(Duration::from_secs(5)).await;
    }
}
