//! What a service gets and what it must not get: environment, files, users, secrets, ports.

use super::{
    PATIENCE, Place, ended_because, instance_when, is_root, isolations, logs, plan, pool_when, python, ready, runtime, settings, start,
    wait_until,
};
use cutover::{
    clock::SystemClock,
    host::instances::{Instances, Isolation},
    model::{instance::InstanceState, spec::SecretSource},
};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

#[tokio::test]
async fn the_environment_is_what_was_declared_and_nothing_else() {
    for &isolation in isolations() {
        let place = Place::new();
        let (instances, _) = place.start(isolation);
        let mut spec = runtime(&["/usr/bin/env"]);
        spec.environment.insert("COLOUR".into(), "grün {port}".into());
        spec.restart.min = Duration::from_secs(600);
        spec.restart.max = Duration::from_secs(600);
        instances.ensure(plan("v1", place.root(), spec));
        ended_because(&instances, "exit code 0").await;
        let mut printed = logs(&instances);
        printed.pop();
        printed.sort();
        let names: Vec<&str> = printed.iter().map(|l| l.strip_prefix("out ").unwrap().split('=').next().unwrap()).collect();
        assert_eq!(names, ["colour", "home", "path", "port", "tmpdir"]);
        assert_eq!(printed[0], "out colour=grün {port}", "only the command has a port to fill in");
        instances.shutdown(Duration::ZERO).await;
    }
}

#[tokio::test]
async fn home_and_tmpdir_are_private_and_the_artifact_is_where_it_runs() {
    for &isolation in isolations() {
        let place = Place::new();
        let (instances, _) = place.start(isolation);
        let script =
            "pwd; touch \"$HOME/a\" \"$TMPDIR/b\"; stat -c %a \"$HOME\" \"$TMPDIR\"; touch ./c 2>/dev/null && echo wrote; exec sleep 600";
        instances.ensure(plan("v1", place.root(), runtime(&["/bin/sh", "-c", script])));
        wait_until("it has looked", PATIENCE, || logs(&instances).len() >= 3).await;
        let running = instance_when(&instances, |i| i.pid.is_some()).await;
        let root = place.root();
        assert_eq!(logs(&instances)[..3], [format!("out {}", root.display()).to_lowercase(), "out 700".into(), "out 700".into()]);
        if isolation == Isolation::PidNamespace {
            wait_until("it sleeps", PATIENCE, || {
                fs::read_to_string(format!("/proc/{}/comm", running.pid.unwrap())).unwrap_or_default() == "sleep\n"
            })
            .await;
            assert!(!root.join("c").exists(), "read-only even for root");
        }
        let home = place.path().join("run/i/checkout.v1-1-1/home");
        assert!(home.join("a").exists());
        instances.shutdown(Duration::ZERO).await;
        assert!(!home.exists());
    }
}

#[tokio::test]
async fn a_service_can_have_a_user_of_its_own() {
    if !is_root() {
        println!("left out without root: users");
        return;
    }
    for &isolation in isolations() {
        let place = Place::new();
        let (instances, _) = place.start(isolation);
        let mut spec = python();
        spec.user = Some("nobody".into());
        instances.ensure(plan("v1", place.root(), spec));
        let pool = ready(&instances).await;
        let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
        let status = fs::read_to_string(format!("/proc/{}/status", pool.instances[0].pid.unwrap())).unwrap();
        let ids = |name: &str| {
            status.lines().find_map(|l| l.strip_prefix(name)).unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(ids("Uid:"), vec![nobody.uid.to_string(); 4]);
        assert_eq!(ids("Gid:"), vec![nobody.gid.to_string(); 4]);
        assert!(!ids("Groups:").contains(&"0".to_owned()), "root's groups are left");
        let home = fs::metadata(place.path().join("run/i/checkout.v1-1-1/home")).unwrap();
        assert_eq!((home.uid(), home.mode() & 0o777), (nobody.uid.as_raw(), 0o700));
        instances.shutdown(Duration::from_secs(5)).await;
    }
}

#[tokio::test]
async fn what_cannot_be_started_says_why_in_one_line() {
    let place = Place::new();
    fs::write(place.root().join("plain.txt"), "no program").unwrap();
    fs::write(place.root().join("orphan.sh"), "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(place.root().join("orphan.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    let (instances, _) = place.start(isolations()[0]);
    let root = place.root();
    for (n, (command, user, reason)) in [
        ("./server", None, "command ./server not found in the artifact"),
        ("no-such-program", None, "command no-such-program not found in PATH"),
        ("/no/such/program", None, "command /no/such/program not found on this machine"),
        ("./plain.txt", None, "command ./plain.txt may not be executed"),
        ("./orphan.sh", None, "command ./orphan.sh names an interpreter or loader that does not exist"),
        ("true", Some("no-such-user"), "user no-such-user does not exist"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut spec = runtime(&[command]);
        spec.user = user.map(Into::into);
        let wanted = plan(&format!("v{n}"), root.clone(), spec);
        instances.ensure(wanted.clone());
        ended_because(&instances, reason).await;
        instances.stop(&wanted.id, Duration::ZERO);
    }
    let gone = plan("gone", root.join("nowhere"), python());
    instances.ensure(gone);
    ended_because(&instances, &format!("artifact gone: {} is not there", root.join("nowhere").display())).await;
    instances.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn drift_starts_nothing_until_it_is_mended() {
    let place = Place::new();
    let (instances, _) = place.start(isolations()[0]);
    let asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&asked);
    let mut wanted = plan("v1", place.root(), python());
    wanted.verify =
        Arc::new(
            move || {
                if counter.fetch_add(1, Ordering::SeqCst) < 2 { Err("server.py changed since it was sealed".into()) } else { Ok(()) }
            },
        );
    instances.ensure(wanted);
    let drifted = ended_because(&instances, "drift: server.py changed since it was sealed").await;
    assert_eq!((drifted.pid, drifted.port, drifted.restarts), (None, None, 0));
    let pool = ready(&instances).await;
    assert_eq!((asked.load(Ordering::SeqCst), pool.instances[0].restarts), (3, 0));
    instances.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_panic_of_the_check_is_a_reason_too() {
    let place = Place::new();
    let (instances, _) = place.start(isolations()[0]);
    let mut wanted = plan("v1", place.root(), python());
    wanted.verify = Arc::new(|| panic!("on purpose"));
    instances.ensure(wanted);
    ended_because(&instances, "the host failed on the way to start it; its own log says more").await;
    instances.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_secret_reaches_the_service_and_nothing_else() {
    const VALUE: &str = "correct-horse-battery";
    for &isolation in isolations() {
        let place = Place::new();
        let file = place.path().join("token");
        let (instances, _) = place.start(isolation);
        let script =
            "[ \"$TOKEN\" = correct-horse\\-battery ] && [ \"$FROM_HOST\" = from-the-host ] && echo got it; while :; do sleep 1; done";
        let mut spec = runtime(&["/bin/sh", "-c", script]);
        spec.secrets.insert("TOKEN".into(), SecretSource::File(file.clone()));
        spec.secrets.insert("FROM_HOST".into(), SecretSource::Env("HOST_TOKEN".into()));
        instances.ensure(plan("v1", place.root(), spec.clone()));
        ended_because(&instances, &format!("secret TOKEN: file {}: not found", file.display())).await;
        assert!(instances.secrets_now(&spec).await.is_err());

        fs::write(&file, format!("{VALUE}\n")).unwrap();
        wait_until("it was started", PATIENCE, || logs(&instances).contains(&"out got it".to_owned())).await;
        let pool = pool_when(&instances, |p| p.secrets.is_some() && p.instances[0].pid.is_some()).await;
        assert_eq!(instances.secrets_now(&spec).await.unwrap(), pool.secrets);
        let own = format!("/proc/{}/environ", pool.instances[0].pid.unwrap());
        wait_until("its program is executed", PATIENCE, || fs::read_to_string(&own).unwrap_or_default().contains(VALUE)).await;
        // Its own environment has it, no argument and no other environment of ours has.
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let read = |name: &str| fs::read(entry.path().join(name)).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
            assert!(!read("cmdline").contains(VALUE));
            if read("cmdline").contains("supervise") {
                assert_eq!(read("environ"), "", "{}", entry.path().display());
            }
        }
        fs::write(&file, "another").unwrap();
        assert_ne!(instances.secrets_now(&spec).await.unwrap(), pool.secrets);

        instances.shutdown(Duration::ZERO).await;
        fs::remove_file(&file).unwrap();
        assert!(!format!("{:?} {:?}", instances.status(), logs(&instances)).contains(VALUE));
        let grep = Command::new("grep").args(["-r", VALUE]).arg(place.path()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&grep.stdout), "");
    }
}

#[tokio::test]
async fn a_port_that_somebody_else_answers_gets_no_traffic() {
    for &isolation in isolations() {
        let place = Place::new();
        let (instances, _) = place.start(isolation);
        instances.ensure(plan("v1", place.root(), runtime(&["/bin/sleep", "600"])));
        let port = instance_when(&instances, |i| i.port.is_some()).await.port.unwrap();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            }
        });
        let wrong = instance_when(&instances, |i| i.state == InstanceState::NotReady).await;
        let reason = format!("port {port} is answered by another process (pid {})", std::process::id());
        assert_eq!(wrong.reason.unwrap().as_str(), reason);
        let pool = instances.status().remove(0);
        assert_eq!((pool.ready, pool.trouble.unwrap().as_str()), (vec![], reason.as_str()));
        instances.shutdown(Duration::ZERO).await;
    }
}

#[tokio::test]
async fn one_host_per_directory() {
    let place = Place::new();
    let (first, _) = place.start(Isolation::Plain);
    let again = Instances::start(settings(place.path(), Isolation::Plain), Arc::new(SystemClock::start()));
    let error = again.err().unwrap().to_string();
    assert!(error.starts_with("another host uses ") && !error.contains('\n'), "{error}");
    first.shutdown(Duration::ZERO).await;
    drop(first);
    start(place.path(), Isolation::Plain);
}

#[tokio::test]
async fn a_supervisor_that_cannot_run_is_said_at_once() {
    let place = Place::new();
    for (program, why) in [("/no/such/program", "No such file"), ("/bin/true", "ended without a word")] {
        let mut broken = settings(place.path(), Isolation::Plain);
        broken.supervisor = vec![Path::new(program).into()];
        let error = Instances::start(broken, Arc::new(SystemClock::start())).err().unwrap().to_string();
        assert!(error.starts_with("cannot start a supervisor: ") && error.contains(why), "{error}");
    }
}
