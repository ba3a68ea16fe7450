//! The host is killed in every phase of every strategy, with processes of services that hide as well as
//! they can: nothing of them is left, the next host serves again, and the way back works.

use super::rig::until;
use crate::support::{
    host::{Host, marked},
    need,
};
use cutover::{
    journal::verify,
    model::rollout::{Hold, Phase, Rollout},
};
use std::{
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// How long anything of a dead host may live on.
const GONE: Duration = Duration::from_secs(5);

/// Leaves a grandchild in a session of its own; becomes slow to start where its artifact says so.
const SERVE: &str = r#"#!/bin/sh
setsid sh -c '(sleep 4713 &)'
while test -e "$HOLD"; do sleep 0.05; done
test -e slow && sleep 2
exec python3 serve.py "$PORT"
"#;

/// Serves the artifact's files, and `/slow` slowly.
const PYTHON: &str = r#"import sys, time
from http.server import *
class H(SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(8)
            self.path = "/version"
        super().do_GET()
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
"#;

/// What is under way when the host is killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Under {
    /// Instances of the candidate are loading.
    Starting,
    /// The plan waits for a person.
    Paused,
    /// Somebody just asked for the way back.
    GoingBack,
    /// It arrived; what was left finishes its requests.
    Draining,
    /// Somebody just promoted it.
    Promoting,
    /// It is stable, and the old version still warm.
    Warm,
    /// Back by a switch from a version that was promoted.
    SwitchedBack,
    /// A deploy goes back first, to take the place of another.
    Replacing,
    /// An older version is deployed again.
    Undoing,
}

const PHASES: [Under; 9] = [
    Under::Starting,
    Under::Paused,
    Under::GoingBack,
    Under::Draining,
    Under::Promoting,
    Under::Warm,
    Under::SwitchedBack,
    Under::Replacing,
    Under::Undoing,
];

struct Rig {
    host: Host,
    mark: String,
    /// While this file is there, what starts does not get ready.
    hold: tempfile::TempPath,
    /// Requests that are open, and end by themselves or with the host.
    open: Vec<Child>,
}

impl Rig {
    fn start(strategy: &str, steps: &str) -> Self {
        static RIGS: AtomicUsize = AtomicUsize::new(0);
        let mark = format!("cutover-killed-{}-{}-", std::process::id(), RIGS.fetch_add(1, Ordering::Relaxed));
        let hold = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        std::fs::remove_file(&hold).unwrap();
        let host = Host::start(&format!(
            "[[service]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\ncommand = [\"./serve\"]\ninstances = 2\nstrategy = \"{strategy}\"\n\
             readiness = {{ path = \"/version\", interval = \"50ms\" }}\nsteps = {steps}\ndrain = \"2s\"\nkeep_warm = \"10m\"\n\
             environment = {{ MARK = \"{mark}\", HOLD = \"{}\" }}\n",
            hold.display()
        ));
        let rig = Self { host, mark, hold, open: Vec::new() };
        rig.host.ok(&["deploy", "web", &rig.version("v0", false)]);
        rig.host.ok(&["wait", "web", "--for", "completed", "--timeout", "60s"]);
        rig
    }

    fn version(&self, label: &str, slow: bool) -> String {
        let mut files = vec![("version", label), ("serve", SERVE), ("serve.py", PYTHON)];
        if slow {
            files.push(("slow", "yes"));
        }
        self.host.seal(label, &files)
    }

    /// Brings the host there.
    fn reach(&mut self, under: Under, label: &str) {
        let host = &self.host;
        if under == Under::Undoing {
            return drop(host.ok(&["undo", "web", "--yes"]));
        }
        host.ok(&["deploy", "web", &self.version(label, under == Under::Starting)]);
        if under == Under::Starting {
            std::thread::sleep(Duration::from_millis(300));
            return;
        }
        host.until("held", |r| r.phase == Phase::Held);
        match under {
            Under::Starting | Under::Paused | Under::Undoing => {}
            Under::Replacing => drop(host.ok(&["deploy", "web", &self.version(&format!("{label}-next"), false), "--replace"])),
            Under::GoingBack => drop(host.ok(&["revert", "web"])),
            Under::Draining => {
                for _ in 0..4 {
                    let url = format!("http://{}/slow", host.address);
                    let slow = Command::new("curl").args(["-s", "-m", "20", "-o", "/dev/null", &url]).stdin(Stdio::null()).spawn();
                    self.open.push(slow.unwrap());
                }
                std::thread::sleep(Duration::from_millis(200));
                host.ok(&["revert", "web"]);
                host.until("back", |r| r.phase == Phase::Reverted);
            }
            Under::Promoting => drop(host.ok(&["promote", "web", "--yes"])),
            Under::Warm | Under::SwitchedBack => {
                host.ok(&["promote", "web", "--yes"]);
                host.until("completed", |r| r.phase == Phase::Completed);
                if under == Under::SwitchedBack {
                    host.ok(&["revert", "web"]);
                }
            }
        }
    }

    fn kill(&mut self, what: &str) {
        self.host.kill();
        let killed = Instant::now();
        while !marked(&self.mark).is_empty() {
            assert!(killed.elapsed() < GONE, "{what}: {:?} live on", marked(&self.mark));
            std::thread::sleep(Duration::from_millis(20));
        }
        for mut open in self.open.drain(..) {
            let _ = open.kill();
            let _ = open.wait();
        }
        self.host.run();
        verify(&self.host.dir.join("journal.jsonl")).unwrap_or_else(|e| panic!("{what}: {e}"));
    }

    fn serves(&self, what: &str) -> String {
        until(&format!("{what}: serving\n{}", self.host.log()), || {
            let (status, body) = self.host.get("/version");
            (status == 200).then_some(body)
        })
    }
}

fn label(rollout: &Rollout) -> String {
    rollout.stable().map(|t| t.version.label.as_str().to_owned()).unwrap_or_default()
}

fn every_phase(strategy: &str, steps: &str) {
    if !need("python3") {
        return;
    }
    let mut rig = Rig::start(strategy, steps);
    for (round, under) in PHASES.into_iter().enumerate() {
        let (what, fresh) = (format!("{strategy} {under:?}"), format!("v{}", round + 1));
        let before = label(&rig.host.rollout());
        rig.reach(under, &fresh);
        let place = |r: &Rollout| (r.run.clone(), r.at.map(|a| a.index), r.candidate().and_then(|t| t.share.declared?.percent()));
        let was = place(&rig.host.rollout());
        rig.kill(&what);
        let found = rig.host.rollout();
        assert_ne!(found.phase, Phase::Failed, "{what}");
        let stable = label(&found);
        match under {
            Under::Warm => assert_eq!(stable, fresh, "{what}"),
            // It may have been on the disk or not.
            Under::Promoting => assert!(stable == fresh || stable == before, "{what}: {stable}"),
            _ => assert_eq!(stable, before, "{what}"),
        }
        if under == Under::Paused {
            // Also once all of it runs again.
            let whole = |r: &Rollout| r.candidate().is_some_and(|t| t.pools.iter().all(|p| p.ready == p.desired));
            let held = rig.host.until(&format!("{what}: the candidate runs again"), whole);
            assert_eq!((place(&held), held.phase.clone()), (was, Phase::Held), "{what}");
            let restart = |h: &Hold| matches!(h, Hold::Stopped { reason, .. } if reason.as_str().contains("restart"));
            // Where nothing served meanwhile it has come to its pause again, as nobody would want to wait.
            assert!(strategy == "recreate" || held.holds.iter().any(restart), "{what}: {:?}", held.holds);
        }
        if under == Under::Replacing {
            // It was ordered as one: what was to follow the way back does, unless somebody goes back meanwhile.
            let next = |r: &Rollout| r.candidate().is_some_and(|t| t.version.label.as_str().ends_with("-next"));
            rig.host.until(&format!("{what}: the next one waits"), |r| r.phase == Phase::Held && next(r));
        }
        // Nothing went further by itself, and whoever is there can go back.
        if matches!(found.phase, Phase::Held | Phase::Progressing) || under == Under::Replacing {
            rig.host.ok(&["revert", "web"]);
        }
        let back = rig.host.until(&format!("{what}: at rest"), |r| matches!(r.phase, Phase::Reverted | Phase::Completed));
        let serving = label(&back);
        // At first also the candidate of a promotion that goes on.
        until(&format!("{what}: only {serving} serves"), || (rig.serves(&what) == serving).then_some(()));
        assert!((0..10).all(|_| rig.serves(&what) == serving), "{what}");
        let all = |r: &Rollout| r.stable().is_some_and(|t| t.pools.iter().any(|p| p.ready == 2));
        rig.host.until(&format!("{what}: whole"), all);
    }
    rig.host.stop();
    assert_eq!(marked(&rig.mark), Vec::<i32>::new());
}

#[test]
fn a_check_under_way_ends_with_its_host_and_is_tried_again() {
    if !need("python3") {
        return;
    }
    let check =
        "{ check = { command = [\"/bin/sh\", \"-c\", \"echo try >> $TRACE; setsid sleep 4714 & sleep 4714\"], timeout = \"60s\" } }";
    let trace = tempfile::NamedTempFile::new().unwrap();
    let mut rig = Rig::start("canary", &format!("[{check}, {{ weight = 50 }}, {{ pause = \"manual\" }}]"));
    let config = std::fs::read_to_string(rig.host.config()).unwrap();
    let more = format!("environment = {{ TRACE = \"{}\", ", trace.path().display());
    std::fs::write(rig.host.config(), config.replace("environment = { ", &more)).unwrap();
    rig.host.ok(&["deploy", "web", &rig.version("v1", false)]);
    let tries = || std::fs::read_to_string(trace.path()).unwrap().lines().count();
    until("checking", || (tries() == 2).then_some(()));
    // Of both instances, with what they left behind.
    rig.kill("in a check");
    assert!((0..5).all(|_| rig.serves("after it") == "v0"));
    let held = rig.host.until("held", |r| r.phase == Phase::Held);
    assert_eq!(held.candidate().unwrap().share.programmed.unwrap().percent(), Some(0.0));
    assert_eq!(tries(), 2, "nothing is tried while a person is waited for");
    rig.host.until("ready", |r| r.candidate().unwrap().pools.iter().any(|p| p.ready == 2));
    rig.host.ok(&["step", "web", "--yes"]);
    until("tried again", || (tries() == 4).then_some(()));
    rig.host.ok(&["revert", "web"]);
    rig.host.until("back", |r| r.phase == Phase::Reverted && r.candidate().is_none_or(|t| t.pools.is_empty()));
    rig.host.stop();
    assert_eq!(marked(&rig.mark), Vec::<i32>::new());
}

#[test]
fn a_way_back_that_starts_instances_goes_on_after_its_host_was_killed() {
    if !need("python3") {
        return;
    }
    // While the old version is loading, and right after it was asked for.
    for moment in [Duration::from_millis(50), Duration::from_millis(1_000)] {
        let mut rig = Rig::start("recreate", "[{ pause = \"manual\" }]");
        for (label, slow) in [("v1", true), ("v2", false)] {
            rig.host.ok(&["deploy", "web", &rig.version(label, slow)]);
            rig.host.until("held", |r| r.phase == Phase::Held);
            if label == "v1" {
                rig.host.ok(&["promote", "web", "--yes"]);
                rig.host.until("completed", |r| r.phase == Phase::Completed);
            }
        }
        rig.host.ok(&["revert", "web"]);
        std::thread::sleep(moment);
        rig.kill("coming back");
        let back = rig.host.until("back", |r| r.phase == Phase::Reverted);
        assert_eq!(label(&back), "v1");
        until("v1 serves", || (rig.serves("after it") == "v1").then_some(()));
        assert!((0..10).all(|_| rig.serves("after it") == "v1"));
        rig.host.until("whole", |r| r.stable().is_some_and(|t| t.pools.iter().any(|p| p.ready == 2)));
        rig.host.stop();
        assert_eq!(marked(&rig.mark), Vec::<i32>::new());
    }
}

#[test]
fn what_was_to_follow_a_slow_way_back_is_called_off_and_stays_so() {
    if !need("python3") {
        return;
    }
    for killed_first in [true, false] {
        let mut rig = Rig::start("recreate", "[{ pause = \"manual\" }]");
        rig.host.ok(&["deploy", "web", &rig.version("v1", false)]);
        rig.host.until("held", |r| r.phase == Phase::Held);
        // From here on v0 does not come back before it may.
        std::fs::write(&rig.hold, "").unwrap();
        rig.host.ok(&["deploy", "web", &rig.version("v2", false), "--replace"]);
        let follows = |r: &Rollout| r.phase == Phase::Reverting && r.back.then.as_ref().is_some_and(|v| v.as_str() == "v2");
        let run = rig.host.until("v2 follows", follows).run;
        if killed_first {
            rig.kill("coming back");
            rig.host.until("v2 still follows", follows);
        }
        let plan = rig.host.ok(&["revert", "web", "--plan"]);
        assert!(plan.contains("BACK on v0, v2 is called off"), "{plan}");
        std::thread::scope(|scope| {
            // It waits until all of it is true.
            let asked = scope.spawn(|| rig.host.ok(&["revert", "web"]));
            rig.host.until("nothing follows", |r| r.phase == Phase::Reverting && r.back.then.is_none());
            std::fs::remove_file(&rig.hold).unwrap();
            asked.join().unwrap();
        });
        if !killed_first {
            rig.kill("back");
        }
        let back = rig.host.until("back", |r| r.phase == Phase::Reverted);
        assert_eq!((label(&back), &back.run), ("v0".into(), &run), "no other run has begun");
        until("v0 serves", || (rig.serves("after it") == "v0").then_some(()));
        assert!(rig.host.ok(&["revert", "web"]).contains("already back on v0"));
        rig.host.stop();
        assert_eq!(marked(&rig.mark), Vec::<i32>::new());
    }
}

#[test]
fn canary() {
    every_phase("canary", "[{ weight = 50 }, { pause = \"manual\" }]");
}

#[test]
fn blue_green() {
    every_phase("blue-green", "[{ pause = \"manual\" }]");
}

#[test]
fn rolling() {
    every_phase("rolling", "[{ pause = \"manual\" }]");
}

#[test]
fn recreate() {
    every_phase("recreate", "[{ pause = \"manual\" }]");
}
