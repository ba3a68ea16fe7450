//! Start, readiness, logs, restarts, stop.

use super::{Place, ended_because, instance_when, isolations, logs, plan, pool_when, processes_with, python, ready, runtime, wait_until};
use cutover::{
    host::instances::{Isolation, LogFilter},
    model::{event::LogStream, ident::Role, instance::InstanceState, spec::Probe},
};
use std::{
    collections::HashMap,
    fs,
    time::{Duration, Instant},
};

#[tokio::test]
async fn pythons_web_server_is_a_service() {
    for &isolation in isolations() {
        let place = Place::new();
        fs::write(place.root().join("hello.txt"), "hello from the artifact").unwrap();
        let (instances, leftovers) = place.start(isolation);
        assert_eq!((instances.isolation(), leftovers.line()), (isolation, None));
        let mut spec = python();
        spec.instances = 2;
        let wanted = plan("v42", place.root(), spec);
        instances.set_roles(HashMap::from([(wanted.id.clone(), Role::Stable)]));
        instances.ensure(wanted.clone());
        instances.ensure(wanted.clone());

        let pool = ready(&instances).await;
        assert_eq!((pool.instances.len(), pool.trouble, pool.secrets), (2, None, None));
        assert_eq!(pool.instances.iter().map(|i| i.id.as_str()).collect::<Vec<_>>(), ["v42-1-1", "v42-1-2"]);
        for (instance, (_, at)) in pool.instances.iter().zip(&pool.ready) {
            let args = fs::read_to_string(format!("/proc/{}/cmdline", instance.pid.unwrap())).unwrap();
            assert!(args.contains("http.server"), "the pid is the service's own: {args}");
            let got = reqwest::get(format!("http://{at}/hello.txt")).await.unwrap().text().await.unwrap();
            assert_eq!(got, "hello from the artifact");
        }

        instances.stop(&wanted.id, Duration::from_secs(10));
        pool_when_gone(&instances).await;
        for instance in &pool.instances {
            assert!(!fs::exists(format!("/proc/{}", instance.pid.unwrap())).unwrap());
        }
        let of_one = LogFilter { instance: Some(pool.instances[0].id.clone()), ..LogFilter::default() };
        let lines = instances.logs().tail(&of_one, 0);
        assert!(lines.iter().any(|l| l.stream == LogStream::Err && l.line.as_str().contains("GET /hello.txt")), "{lines:?}");
        let end = lines.last().unwrap();
        assert_eq!((end.stream, end.line.as_str()), (LogStream::End, "stopped: killed by SIGTERM"));
        assert_eq!((end.role, end.version.as_str(), end.service.as_str()), (Role::Stable, "v42", "checkout"));
        for dir in ["run/i", "run/records"] {
            assert_eq!(fs::read_dir(place.path().join(dir)).unwrap().count(), 0, "{dir}");
        }
        instances.shutdown(Duration::ZERO).await;
        let file = fs::read_to_string(place.path().join("log/checkout/v42-1-1.jsonl")).unwrap();
        assert!(file.contains("GET /hello.txt") && file.contains("stopped: killed by SIGTERM"));
    }
}

async fn pool_when_gone(instances: &cutover::host::instances::Instances) {
    let mut changed = instances.changed();
    let gone = async {
        while !instances.status().is_empty() {
            changed.changed().await.unwrap();
        }
    };
    tokio::time::timeout(super::PATIENCE, gone).await.unwrap();
}

#[tokio::test]
async fn an_end_has_a_reason_and_is_followed_by_a_fresh_start() {
    for &isolation in isolations() {
        let place = Place::new();
        let (instances, _) = place.start(isolation);
        instances.ensure(plan("v1", place.root(), runtime(&["/bin/sh", "-c", "echo last words; echo on $PORT >&2; exit 3"])));
        ended_because(&instances, "exit code 3").await;
        let later = instance_when(&instances, |i| i.restarts >= 2).await;
        assert_eq!(later.id.as_str(), "v1-1-1", "the name stays");
        let pool = pool_when(&instances, |p| p.trouble.is_some()).await;
        assert_eq!(pool.trouble.unwrap().as_str(), "exit code 3");
        instances.shutdown(Duration::ZERO).await;
        let printed = logs(&instances);
        // What it printed last comes before why it ended.
        assert_eq!(printed[0], "out last words", "{printed:?}");
        assert!(printed[1].starts_with("err on "), "{printed:?}");
        assert_eq!(printed[2], "end exit code 3", "{printed:?}");
    }
}

#[tokio::test]
async fn signals_are_named() {
    let place = Place::new();
    let (instances, _) = place.start(isolations()[0]);
    instances.ensure(plan("v1", place.root(), runtime(&["/bin/sh", "-c", "kill -SEGV $$"])));
    ended_because(&instances, "killed by SIGSEGV").await;
    instances.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_service_may_finish_what_it_does() {
    for &isolation in isolations() {
        let place = Place::new();
        let (instances, _) = place.start(isolation);
        let script = "exec 2>/dev/null; trap 'echo drained; exit 0' TERM; echo up; while :; do sleep 0.05; done";
        instances.ensure(plan("v1", place.root(), runtime(&["/bin/sh", "-c", script])));
        wait_until("it is up", super::PATIENCE, || logs(&instances).contains(&"out up".to_owned())).await;
        instances.shutdown(Duration::from_secs(20)).await;
        assert_eq!(logs(&instances), ["out up", "out drained", "end stopped: exit code 0"]);
    }
}

#[tokio::test]
async fn nothing_survives_a_stop() {
    for &isolation in isolations() {
        let place = Place::new();
        let mark = format!("60{}", std::process::id());
        let (instances, _) = place.start(isolation);
        let script =
            format!("trap '' TERM; setsid sh -c '(sleep {mark}.1 &)'; (sleep {mark}.2 &); echo up; while :; do sleep {mark}.3; done");
        instances.ensure(plan("v1", place.root(), runtime(&["/bin/sh", "-c", &script])));
        wait_until("all four run", super::PATIENCE, || processes_with(&format!("sleep {mark}.")).len() >= 4).await;
        instances.shutdown(Duration::from_millis(200)).await;
        assert_eq!(processes_with(&mark), [], "{isolation:?}");
        assert_eq!(logs(&instances).last().unwrap(), "end stopped: killed by sigkill");
    }
}

/// Its supervisor reads the order to start and the one to stop at once.
#[tokio::test]
async fn one_that_is_stopped_while_it_starts_ends_at_once() {
    for &isolation in isolations() {
        let place = Place::new();
        let (instances, _) = place.start(isolation);
        for version in ["v1", "v2", "v3"] {
            let plan = plan(version, place.root(), runtime(&["/bin/sleep", "600"]));
            let id = plan.id.clone();
            instances.ensure(plan);
            pool_when(&instances, |p| p.instances.iter().any(|i| i.port.is_some())).await;
            let asked = Instant::now();
            instances.stop(&id, Duration::from_secs(1));
            wait_until("it has ended", super::PATIENCE, || instances.status().is_empty()).await;
            assert!(asked.elapsed() < Duration::from_secs(8), "{isolation:?} {version}: {:?}", asked.elapsed());
        }
        instances.shutdown(Duration::ZERO).await;
    }
}

#[tokio::test]
async fn descendants_end_with_their_service() {
    for &isolation in isolations() {
        let place = Place::new();
        let mark = format!("61{}", std::process::id());
        let (instances, _) = place.start(isolation);
        let mut spec = runtime(&["/bin/sh", "-c", &format!("setsid sleep {mark}.1 & sleep {mark}.2 & exit 4")]);
        spec.restart.min = Duration::from_secs(600);
        spec.restart.max = Duration::from_secs(600);
        instances.ensure(plan("v1", place.root(), spec));
        ended_because(&instances, "exit code 4").await;
        assert_eq!(processes_with(&mark), [], "{isolation:?}");
        instances.shutdown(Duration::ZERO).await;
    }
}

/// Answers `/ready` with 503 while `$CONTROL/busy` is there, `/live` never while `$CONTROL/hung` is.
const MOODY: &str = "
import http.server, os, time
class Moody(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        control = os.environ['CONTROL']
        while self.path == '/live' and os.path.exists(control + '/hung'): time.sleep(0.05)
        busy = self.path == '/ready' and os.path.exists(control + '/busy')
        self.send_response(503 if busy else 200)
        self.end_headers()
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Moody).serve_forever()
";

#[tokio::test]
async fn readiness_comes_and_goes_and_a_hung_one_is_replaced() {
    let place = Place::new();
    let control = place.path().join("control");
    fs::create_dir(&control).unwrap();
    fs::write(place.root().join("moody.py"), MOODY).unwrap();
    let (instances, _) = place.start(isolations()[0]);
    let mut spec = runtime(&["/usr/bin/python3", "moody.py"]);
    spec.environment.insert("CONTROL".into(), control.to_string_lossy().into_owned());
    spec.readiness = Probe { path: "/ready".into(), successes: 2, ..spec.readiness };
    spec.liveness =
        Some(Probe { path: "/live".into(), timeout: Duration::from_millis(300), failures: 2, successes: 1, ..spec.readiness.clone() });
    instances.ensure(plan("v1", place.root(), spec));

    ready(&instances).await;
    fs::write(control.join("busy"), "").unwrap();
    let busy = instance_when(&instances, |i| i.state == InstanceState::NotReady).await;
    assert_eq!(busy.reason.unwrap().as_str(), "readiness: 3 probes failed: HTTP 503");
    assert!(instances.status()[0].ready.is_empty());
    fs::remove_file(control.join("busy")).unwrap();
    let again = ready(&instances).await;
    assert_eq!(again.instances[0].restarts, 0);

    fs::write(control.join("hung"), "").unwrap();
    ended_because(&instances, "liveness: 2 probes failed: timeout after 300ms").await;
    fs::remove_file(control.join("hung")).unwrap();
    let replaced = ready(&instances).await;
    assert!(replaced.instances[0].restarts > 0);
    assert!(replaced.instances[0].reason.as_ref().unwrap().as_str().starts_with("liveness: "), "it says why it ended last");
    assert_ne!(replaced.instances[0].pid, again.instances[0].pid);
    instances.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_flood_of_lines_is_kept_in_bounds_and_holds_nobody_up() {
    let place = Place::new();
    let (instances, _) = place.start(Isolation::Plain);
    let script =
        "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; head -c 20000 /dev/zero | tr '\\0' x; echo; echo done; sleep 600";
    instances.ensure(plan("v1", place.root(), runtime(&["/bin/sh", "-c", script])));
    wait_until("the flood is over", super::PATIENCE, || logs(&instances).contains(&"out done".to_owned())).await;
    let kept = instances.logs().tail(&LogFilter::default(), 0);
    assert_eq!(kept.len(), 2_000);
    assert_eq!(kept.last().unwrap().seq, 20_002, "nothing was lost on the way");
    assert!(kept[1_998].line.as_str().ends_with('…') && kept[1_998].line.as_str().len() <= 8 * 1024 + 3);
    instances.shutdown(Duration::ZERO).await;
    let file = fs::read_to_string(place.path().join("log/checkout/v1-1-1.jsonl")).unwrap();
    assert_eq!(file.lines().count(), 20_003, "every line and the end");
}

#[tokio::test]
async fn a_listener_may_be_a_descendant_and_a_stopped_pool_can_be_wanted_again() {
    for &isolation in isolations() {
        let place = Place::new();
        let (instances, _) = place.start(isolation);
        let script = "setsid /usr/bin/python3 -m http.server $PORT --bind 127.0.0.1 & wait";
        let wanted = plan("v1", place.root(), runtime(&["/bin/sh", "-c", script]));
        instances.ensure(wanted.clone());
        ready(&instances).await;
        instances.stop(&wanted.id, Duration::from_secs(10));
        instances.ensure(wanted.clone());
        let again = pool_when(&instances, |p| p.desired == 1 && p.ready.iter().any(|(id, _)| id.as_str() == "v1-1-2")).await;
        assert!(again.instances.iter().all(|i| i.id.as_str() != "v1-1-1" || i.state != InstanceState::Ready));
        instances.shutdown(Duration::from_secs(5)).await;
    }
}

/// What a supervisor's own death cannot take along, its namespace or its control group does.
#[tokio::test]
async fn a_killed_supervisor_takes_its_service_along() {
    for &isolation in isolations() {
        let place = Place::new();
        let mark = format!("62{}", std::process::id());
        let (instances, _) = place.start(isolation);
        let script = format!("setsid sleep {mark}.1 & sleep {mark}.2");
        let mut spec = runtime(&["/bin/sh", "-c", &script]);
        (spec.restart.min, spec.restart.max) = (Duration::from_secs(600), Duration::from_secs(600));
        instances.ensure(plan("v1", place.root(), spec));
        wait_until("all run", super::PATIENCE, || processes_with(&format!("sleep {mark}.")).len() == 2 + 1).await;
        let record = fs::read(place.path().join("run/records/checkout.v1-1-1.json")).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        let pid = i32::try_from(record["supervisor"]["pid"].as_i64().unwrap()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        instance_when(&instances, |i| i.state == InstanceState::BackOff).await;
        if isolation == Isolation::PidNamespace || !record["cgroup"].is_null() {
            assert_eq!(processes_with(&mark), [], "{isolation:?}");
        }
        for (pid, _) in processes_with(&mark) {
            println!("left out without control groups: who takes along what left the service");
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap()), nix::sys::signal::Signal::SIGKILL).unwrap();
        }
        instances.shutdown(Duration::ZERO).await;
    }
}
