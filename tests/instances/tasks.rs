//! Checks and warm-ups on real instances.

use super::{PATIENCE, Place, isolations, plan, pool_when, processes_with, ready, runtime, wait_until};
use cutover::{
    conductor::life::{Task, TaskState},
    host::{
        instances::{Instances, PoolStatus},
        tasks::Tasks,
    },
    model::{
        ident::RunId,
        spec::OnFail,
        step::{CheckSpec, StepSpec, WarmSpec},
        tried::Answer,
    },
};
use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

/// Counts its requests below its directory's file `count-PORT`; `/ready` counts nothing, `/bad` is 503, `/hang` is
/// answered too late.
const SERVE: &str = r#"
import sys, threading, pathlib
from http.server import *
port = int(sys.argv[1]); n = 0; lock = threading.Lock()
class H(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
    def do_GET(self):
        global n
        if self.path == "/hang":
            threading.Event().wait(30)
        if self.path != "/ready":
            with lock:
                n += 1
        body = str(n).encode()
        self.send_response(503 if self.path == "/bad" else 200)
        self.send_header("content-length", str(len(body))); self.end_headers(); self.wfile.write(body)
ThreadingHTTPServer(("127.0.0.1", port), H).serve_forever()
"#;

async fn two(place: &Place, isolation: super::Isolation) -> (Instances, PoolStatus) {
    fs::write(place.root().join("serve.py"), SERVE).unwrap();
    let (instances, _) = place.start(isolation);
    let mut runtime = runtime(&["/usr/bin/python3", "serve.py", "{port}"]);
    (runtime.instances, runtime.readiness.path) = (2, "/ready".into());
    instances.ensure(plan("v1", place.root(), runtime));
    let pool = pool_when(&instances, |p| p.ready.len() == 2).await;
    (instances, pool)
}

fn task(pool: &PoolStatus, step: usize, what: StepSpec) -> Task {
    let since = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    Task { run: RunId::new("7"), step, since, pool: pool.id.clone(), what }
}

fn command(script: &str) -> StepSpec {
    let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    StepSpec::Check(CheckSpec { command, http: None, timeout: Duration::from_secs(20), on_fail: OnFail::Hold })
}

fn http(path: &str) -> StepSpec {
    StepSpec::Check(CheckSpec { command: Vec::new(), http: Some(path.into()), timeout: Duration::from_secs(5), on_fail: OnFail::Hold })
}

/// How a task ended, and its evidence.
async fn ended(tasks: &mut Tasks, instances: &Instances, wanted: &Task) -> (TaskState, Vec<String>) {
    let mut changed = tasks.changed();
    let ended = async {
        loop {
            tasks.keep("web", Some(&wanted.run), Some(wanted), &instances.status());
            let seen = tasks.seen("web").into_iter().find(|s| s.step == wanted.step && s.since == wanted.since);
            if let Some(seen) = seen.filter(|s| !matches!(s.state, TaskState::Running(_))) {
                return (seen.state, seen.answers.iter().flat_map(Answer::said).map(|l| l.to_string()).collect());
            }
            changed.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("an end")
}

#[tokio::test]
async fn a_check_passes_on_every_instance_or_says_where_it_does_not() {
    let place = Place::new();
    let (instances, pool) = two(&place, isolations()[0]).await;
    let mut tasks = Tasks::new(instances.clone());
    let trace = place.path().join("trace");
    fs::write(&trace, "").unwrap();
    fs::set_permissions(&trace, fs::Permissions::from_mode(0o666)).unwrap();
    let once = task(&pool, 0, command(&format!("echo $PORT >> {}; echo said on $PORT", trace.display())));
    let (state, evidence) = ended(&mut tasks, &instances, &once).await;
    assert_eq!(state, TaskState::Done("2 instances passed".into()));
    for (instance, at) in &pool.ready {
        assert!(
            evidence.contains(&format!("{}: exit code 0", instance.text())) && evidence.contains(&format!("said on {}", at.port())),
            "{evidence:?}"
        );
    }
    // Once for each, however often it is wanted; again when its step is entered again.
    ended(&mut tasks, &instances, &once).await;
    assert_eq!(fs::read_to_string(&trace).unwrap().lines().count(), 2);
    let again = Task { since: once.since + chrono::Duration::seconds(1), ..once.clone() };
    ended(&mut tasks, &instances, &again).await;
    assert_eq!(fs::read_to_string(&trace).unwrap().lines().count(), 4);
    assert_eq!(tasks.seen("web").len(), 2, "what ended is told as long as its run");

    let second = pool.ready[1].1.port();
    let (state, evidence) =
        ended(&mut tasks, &instances, &task(&pool, 1, command(&format!("echo no {second}; test $PORT != {second}")))).await;
    assert_eq!(state, TaskState::Failed(format!("{}: exit code 1", pool.ready[1].0.text()).into()));
    assert_eq!(evidence.last().unwrap(), &format!("no {second}"));
    let (state, _) = ended(&mut tasks, &instances, &task(&pool, 2, http("/ok"))).await;
    assert_eq!(state, TaskState::Done("2 instances passed".into()));
    let (state, evidence) = ended(&mut tasks, &instances, &task(&pool, 3, http("/bad"))).await;
    let TaskState::Failed(why) = state else { panic!("{state:?}") };
    assert!(why.as_str().starts_with("2 of 2 instances failed; ") && why.as_str().ends_with(": HTTP 503"), "{why}");
    assert!(evidence.contains(&format!("{}: HTTP 503", pool.ready[0].0.text())), "{evidence:?}");
    // Another run's are not told any more.
    tasks.keep("web", Some(&RunId::new("8")), None, &instances.status());
    assert!(tasks.seen("web").is_empty());
    instances.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_check_that_hangs_ends_at_its_deadline_with_one_line() {
    let place = Place::new();
    let (instances, pool) = two(&place, isolations()[0]).await;
    let mut tasks = Tasks::new(instances.clone());
    let mark = format!("{}.3", 7_000 + std::process::id() % 1_000);
    let hangs = |step: StepSpec| match step {
        StepSpec::Check(check) => StepSpec::Check(CheckSpec { timeout: Duration::from_secs(1), ..check }),
        other => other,
    };
    let (command, request) = (hangs(command(&format!("echo begun; sleep {mark} & sleep {mark}"))), hangs(http("/hang")));
    for (step, what, why) in [(0, command, "still running after 1s"), (1, request, "no answer within 1s")] {
        let (state, evidence) = ended(&mut tasks, &instances, &task(&pool, step, what)).await;
        let first = pool.ready[0].0.text();
        assert_eq!(state, TaskState::Failed(format!("2 of 2 instances failed; {first}: {why}").into()));
        let lines: Vec<String> = pool.ready.iter().map(|(instance, _)| format!("{}: {why}", instance.text())).collect();
        assert!(lines.iter().all(|line| evidence.contains(line)), "{evidence:?}");
        if step == 0 {
            assert_eq!(evidence.iter().filter(|line| *line == "begun").count(), 2, "what it said until then is kept: {evidence:?}");
        }
        let seen = tasks.seen("web").into_iter().find(|s| s.step == step).unwrap();
        assert!(seen.took >= Duration::from_secs(1) && seen.answers.iter().all(|a| a.took >= Duration::from_secs(1)), "{seen:?}");
    }
    assert!(processes_with(&format!("sleep {mark}")).is_empty(), "nothing of it is left");
    instances.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_warm_up_is_counted_and_spread_evenly() {
    let place = Place::new();
    let (instances, pool) = two(&place, isolations()[0]).await;
    let mut tasks = Tasks::new(instances.clone());
    let warm = |requests, path: &str| StepSpec::Warm(WarmSpec { requests, path: path.into() });
    let (state, evidence) = ended(&mut tasks, &instances, &task(&pool, 0, warm(101, "/work?x=1"))).await;
    assert_eq!(state, TaskState::Done("101 requests: 101 × HTTP 200".into()));
    assert!(evidence[0].starts_with("GET /work on 2 instances in ") && evidence[0].ends_with(": 101 × HTTP 200"), "{evidence:?}");
    for (at, expected) in pool.ready.iter().zip(["51", "50"]) {
        let body = reqwest_text(&format!("http://{}/ready", at.1)).await;
        assert_eq!(body, expected);
    }
    let (state, _) = ended(&mut tasks, &instances, &task(&pool, 1, warm(3, "/bad"))).await;
    assert_eq!(state, TaskState::Failed("none of 3 requests was answered with 200 to 399: 3 × HTTP 503".into()));
    instances.shutdown(Duration::ZERO).await;
}

async fn reqwest_text(url: &str) -> String {
    cutover::tls::ready();
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn a_task_waits_for_all_instances_and_ends_with_everything_when_it_is_not_wanted() {
    for isolation in isolations() {
        let place = Place::new();
        fs::write(place.root().join("serve.py"), SERVE).unwrap();
        let (instances, _) = place.start(*isolation);
        let mut tasks = Tasks::new(instances.clone());
        let mut runtime = runtime(&["/bin/sh", "-c", "sleep 0.5; exec /usr/bin/python3 serve.py {port}"]);
        runtime.readiness.path = "/ready".into();
        instances.ensure(plan("v1", place.root(), runtime));
        let pool = instances.status().remove(0);
        let mark = format!("{}.7", 5_000 + std::process::id() % 1_000);
        let hangs = task(&pool, 0, command(&format!("setsid sleep {mark} & sleep {mark}")));
        tasks.keep("web", Some(&hangs.run), Some(&hangs), &instances.status());
        assert!(tasks.seen("web").is_empty(), "nothing is ready");
        ready(&instances).await;
        tasks.keep("web", Some(&hangs.run), Some(&hangs), &instances.status());
        assert!(matches!(tasks.seen("web")[0].state, TaskState::Running(_)));
        let sleeping = || processes_with(&format!("sleep {mark}"));
        wait_until("started", PATIENCE, || !sleeping().is_empty()).await;
        // The run goes back: the task is not wanted, and nothing of it is told.
        tasks.keep("web", Some(&hangs.run), None, &instances.status());
        assert!(tasks.seen("web").is_empty());
        wait_until("all of it ended", PATIENCE, || sleeping().is_empty()).await;
        instances.shutdown(Duration::ZERO).await;
    }
}
