//! Pools that grow and shrink, and commands that run once beside an instance.

use super::{PATIENCE, Place, isolations, logs, plan, pool_when, processes_with, python, ready, runtime, wait_until};
use cutover::{
    host::instances::{Beside, Instances, PoolPlan},
    model::{instance::InstanceState, spec::SecretSource},
};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

fn sized(place: &Place, instances: u32) -> PoolPlan {
    let mut plan = plan("v1", place.root(), python());
    plan.runtime.instances = instances;
    plan
}

#[tokio::test]
async fn a_pool_grows_by_new_instances_and_the_newest_leave_first() {
    for isolation in isolations() {
        let place = Place::new();
        let (instances, _) = place.start(*isolation);
        instances.ensure(sized(&place, 1));
        let one = ready(&instances).await;
        instances.ensure(sized(&place, 3));
        let three = pool_when(&instances, |p| p.ready.len() == 3).await;
        assert_eq!((three.desired, three.instances[0].pid), (3, one.instances[0].pid), "the first one stays");

        // Two are too many: they take nothing new at once, and live until they are told to end.
        instances.ensure(sized(&place, 1));
        let leaving = instances.status().remove(0);
        assert_eq!((leaving.desired, leaving.ready.len(), leaving.instances.len()), (1, 1, 3));
        assert_eq!(leaving.ready[0].0, one.ready[0].0);
        assert!(leaving.instances[1..].iter().all(|i| i.state == InstanceState::Draining && i.pid.is_some()));
        let names: Vec<_> = three.instances[1..].iter().map(|i| i.id.clone()).collect();
        assert_eq!(leaving.leaving, names);

        // One of them is wanted again before it was told: it goes on as it was.
        instances.ensure(sized(&place, 2));
        let again = instances.status().remove(0);
        assert_eq!((again.ready.len(), again.leaving.as_slice()), (2, &names[1..]));
        assert_eq!(again.instances[1].pid, three.instances[1].pid);

        instances.end(&again.id, &names[1], Duration::from_secs(5));
        assert!(instances.status()[0].leaving.is_empty(), "told once");
        // Wanted again after it was told: a new one takes its place.
        instances.ensure(sized(&place, 3));
        let fresh = pool_when(&instances, |p| p.ready.len() == 3 && p.instances.len() == 3).await;
        assert!(fresh.instances.iter().all(|i| i.id != names[1]));

        // None at all is a size, too, and such a pool can be stopped.
        instances.ensure(sized(&place, 0));
        for id in instances.status()[0].leaving.clone() {
            instances.end(&fresh.id, &id, Duration::from_secs(5));
        }
        pool_when(&instances, |p| p.instances.is_empty() && p.desired == 0).await;
        instances.ensure(sized(&place, 1));
        ready(&instances).await;
        instances.ensure(sized(&place, 0));
        let last = instances.status()[0].leaving.clone();
        instances.end(&fresh.id, &last[0], Duration::ZERO);
        pool_when(&instances, |p| p.instances.is_empty()).await;
        instances.stop(&fresh.id, Duration::ZERO);
        assert!(instances.status().is_empty());
        instances.shutdown(Duration::ZERO).await;
    }
}

/// A host with one instance whose secret is `hunter2`, and a script in its artifact.
async fn beside(place: &Place, isolation: super::Isolation, script: &str) -> (Instances, super::PoolStatus) {
    fs::write(place.root().join("check"), script).unwrap();
    fs::set_permissions(place.root().join("check"), fs::Permissions::from_mode(0o755)).unwrap();
    let token = place.path().join("token");
    fs::write(&token, "hunter2\n").unwrap();
    let mut runtime = python();
    runtime.secrets.insert("TOKEN".into(), SecretSource::File(token));
    runtime.environment.insert("COLOUR".into(), "green".into());
    let (instances, _) = place.start(isolation);
    instances.ensure(plan("v1", place.root(), runtime));
    let pool = ready(&instances).await;
    (instances, pool)
}

fn check(pool: &super::PoolStatus, args: &[&str]) -> Beside {
    let command = [&["./check"], args].concat().into_iter().map(str::to_owned).collect();
    Beside { command, port: pool.ready[0].1.port() }
}

#[tokio::test]
async fn a_check_runs_as_its_instance_does_and_what_it_prints_is_kept_without_secrets() {
    for isolation in isolations() {
        let place = Place::new();
        let script = "#!/bin/sh\necho \"$1 $PORT $COLOUR $TOKEN $(basename \"$PWD\")\"\nhead -c 1 | wc -c\n\
             python3 -c \"import urllib.request,os; print(urllib.request.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/check').status)\"\n\
             seq 1 60 >&2\nexit ${2:-0}\n";
        let (instances, pool) = beside(&place, *isolation, script).await;
        let port = pool.ready[0].1.port().to_string();
        let cancel = CancellationToken::new();
        let ran = instances.run_once(&pool.id, check(&pool, &["{port}", "3"]), PATIENCE, cancel.clone()).await;
        assert_eq!(ran.result.unwrap_err().as_str(), "exit code 3");
        assert_eq!(ran.lines.len(), 40, "the last ones");
        assert!(ran.lines.iter().any(|l| l.as_str() == "60"));

        let script = script.replace("seq 1 60 >&2\n", "");
        fs::write(place.root().join("check"), script).unwrap();
        let ran = instances.run_once(&pool.id, check(&pool, &["{port}"]), PATIENCE, cancel.clone()).await;
        assert_eq!(ran.result, Ok(()));
        let said: Vec<&str> = ran.lines.iter().map(|l| l.as_str()).collect();
        assert_eq!(said, [format!("{port} {port} green *** artifact").as_str(), "0", "200"]);
        assert!(!format!("{:?}", logs(&instances)).contains("hunter2"));

        let ran = instances.run_once(&pool.id, Beside { command: vec!["./nothing".into()], port: 1 }, PATIENCE, cancel).await;
        assert_eq!(ran.result.unwrap_err().as_str(), "command ./nothing not found in the artifact");
        // The instance is as it was.
        assert_eq!(instances.status()[0].ready, pool.ready);
        instances.shutdown(Duration::ZERO).await;
    }
}

/// Ignores TERM, and leaves a grandchild in a session of its own.
const STUBBORN: &str = "#!/bin/sh\ntrap '' TERM\nsetsid sh -c \"trap '' TERM; exec sleep $1\" &\necho started\nsleep $1\nsleep $1\n";

#[tokio::test]
async fn a_check_that_hangs_ends_with_all_it_started_in_time_or_when_it_is_not_wanted() {
    for isolation in isolations() {
        let place = Place::new();
        let (instances, pool) = beside(&place, *isolation, STUBBORN).await;
        // As long as no other test sleeps.
        let mark = format!("{}.{}", 4_000 + std::process::id() % 1_000, pool.ready[0].1.port());
        let sleeping = || processes_with(&format!("sleep {mark}"));
        let asked = Instant::now();
        let ran = instances.run_once(&pool.id, check(&pool, &[&mark]), Duration::from_secs(1), CancellationToken::new()).await;
        assert_eq!(ran.result.unwrap_err().as_str(), "still running after 1s");
        assert_eq!(ran.lines.iter().map(|l| l.as_str()).collect::<Vec<_>>(), ["started"]);
        assert!(asked.elapsed() < Duration::from_secs(20));
        assert_eq!(sleeping(), []);

        let cancel = CancellationToken::new();
        let run = instances.run_once(&pool.id, check(&pool, &[&mark]), PATIENCE, cancel.clone());
        let stop = async {
            wait_until("started", PATIENCE, || !sleeping().is_empty()).await;
            cancel.cancel();
        };
        let (ran, ()) = tokio::join!(run, stop);
        assert_eq!(ran.result.unwrap_err().as_str(), "it was not wanted any more");
        assert_eq!(sleeping(), []);

        // A host that ends takes it along.
        let own = instances.clone();
        let (id, what) = (pool.id.clone(), check(&pool, &[&mark]));
        let run = tokio::spawn(async move { own.run_once(&id, what, PATIENCE, CancellationToken::new()).await });
        wait_until("started", PATIENCE, || !sleeping().is_empty()).await;
        instances.shutdown(Duration::from_secs(1)).await;
        assert_eq!(sleeping(), []);
        assert_eq!(run.await.unwrap().result.unwrap_err().as_str(), "the host is stopping");
        let late = instances.run_once(&pool.id, check(&pool, &[&mark]), PATIENCE, CancellationToken::new()).await;
        assert_eq!(late.result.unwrap_err().as_str(), "its instances are being stopped");
    }
}

#[tokio::test]
async fn a_service_that_ignores_term_leaves_in_its_grace_when_the_pool_shrinks() {
    let script = "import signal,sys\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nfrom http.server import *\n\
                  HTTPServer(('127.0.0.1', int(sys.argv[1])), SimpleHTTPRequestHandler).serve_forever()\n";
    for isolation in isolations() {
        let place = Place::new();
        fs::write(place.root().join("serve.py"), script).unwrap();
        let (instances, _) = place.start(*isolation);
        let sized = |n: u32| {
            let mut plan = plan("v1", place.root(), runtime(&["/usr/bin/python3", "serve.py", "{port}"]));
            plan.runtime.instances = n;
            plan
        };
        instances.ensure(sized(2));
        let pool = pool_when(&instances, |p| p.ready.len() == 2).await;
        instances.ensure(sized(1));
        let asked = Instant::now();
        instances.end(&pool.id, &pool.instances[1].id, Duration::from_millis(500));
        let left = pool_when(&instances, |p| p.instances.len() == 1).await;
        assert!(asked.elapsed() >= Duration::from_millis(400), "it had its time");
        assert_eq!(left.instances[0].pid, pool.instances[0].pid);
        assert_eq!(instances.strayed(), []);
        instances.shutdown(Duration::from_millis(200)).await;
    }
}
