//! Two people at one rollout: one of them wins, the other is told who, and nothing is done twice.

use super::{APART, Person, Stage, story::quits, weight};
use crate::support::pty::Pty;
use cutover::model::rollout::{Hold, Phase};
use std::{
    fs,
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

#[test]
fn of_two_who_confirm_at_once_one_wins_and_the_other_is_told_who() {
    let stage = Stage::canary();
    let mut ana = stage.console(80, 24);
    let mut ben = Pty::spawn(stage.command("ben", &[]), 80, 24);
    ben.shows("CANARY step 2");
    for pty in [&mut ana, &mut ben] {
        pty.presses("s");
        pty.shows("25 → 50 %");
        pty.waits(APART);
    }
    ana.pump(Duration::ZERO);
    ana.keys("\r");
    ben.keys("\r");
    let done = stage.host.until("one step", |r| weight(r) == Some(50.0));
    let winner = done.last.unwrap().by;
    let (name, loser) = if winner.as_str().contains("ana") { ("(ana)", &mut ben) } else { ("(ben)", &mut ana) };
    loser.until("who was faster", |p| {
        let screen = p.screen();
        screen.contains(name) && (screen.contains("WITHDRAWN") || screen.contains("step: nothing was done: "))
    });
    // One step for both of them: the plan is at its second pause, not over.
    loser.waits(APART);
    let still = stage.host.rollout();
    assert_eq!((still.phase.clone(), still.at.map(|a| a.index), weight(&still)), (Phase::Held, Some(3), Some(50.0)));
    if loser.screen().contains("WITHDRAWN") {
        loser.presses("\x1b");
    }
    for pty in [&mut ana, &mut ben] {
        pty.shows("step 4/4 at 50 %");
        quits(pty);
    }
}

#[test]
fn what_was_typed_when_the_preview_was_withdrawn_goes_nowhere() {
    let stage = Stage::canary();
    let mut ana = stage.console(80, 24);
    let mut ben = Pty::spawn(stage.command("ben", &[]), 80, 24);
    ben.shows("CANARY step 2");
    let digest = stage.host.rollout().candidate().unwrap().version.short_digest().to_string();
    let four: Vec<String> = digest.chars().take(4).map(String::from).collect();
    ana.presses("P");
    ana.shows("PROMOTE v2");
    for c in &four[..2] {
        ana.presses(c);
    }
    ana.shows(&format!("{}_", four[..2].concat()));
    ben.presses("p");
    ben.shows("PAUSE");
    ben.presses("\r");
    // Ana does not look up and types on: the rest of the word, enter, and what she would do next.
    stage.host.until("paused", |r| r.holds.iter().any(|h| matches!(h, Hold::Manual { .. })));
    ana.shows("WITHDRAWN");
    for key in [&four[2], &four[3], "\r", "s", "\r", "c", "\r", "R", "R", "q"] {
        ana.presses(key);
    }
    let screen = ana.screen();
    assert!(screen.contains("WITHDRAWN: paused by ") && screen.contains("(ben)"), "{screen}");
    let now = stage.host.rollout();
    assert_eq!(
        (now.phase.clone(), weight(&now), now.last.clone().map(|l| l.action.verb().to_owned())),
        (Phase::Held, Some(25.0), Some("pause".into()))
    );
    stage.assert_journal(&["pause"]);
    ana.presses("\x1b");
    ana.until("the screen behind it", |p| !p.screen().contains("WITHDRAWN") && p.screen().contains("HELD by"));
    quits(&mut ana);
    quits(&mut ben);
}

#[test]
fn who_acts_on_a_picture_that_is_late_is_refused_and_told_who_was_there_first() {
    let stage = Stage::canary();
    let place = tempfile::tempdir().unwrap();
    let late = Late::before(&stage.host.dir.join("host.sock"), &place.path().join("late.sock"));
    let config = place.path().join("config.toml");
    fs::write(&config, format!("[[target]]\nname = \"test\"\nsocket = \"{}\"\n", place.path().join("late.sock").display())).unwrap();
    let mut ben = Pty::spawn(super::command(place.path(), "ben", &["-c", config.to_str().unwrap()]), 200, 60);
    ben.shows("CANARY step 2");
    ben.presses("s");
    ben.shows("25 → 50 %");
    ben.waits(APART);
    late.hold(true);
    stage.host.ok(&["step", "web", "--yes"]);
    // His picture still shows the step that somebody else has taken already.
    assert!(ben.screen().contains("25 → 50 %") && !ben.screen().contains("WITHDRAWN"), "{}", ben.screen());
    ben.keys("\r");
    ben.shows("step: nothing was done: ");
    let screen = ben.screen();
    let line = screen.lines().find(|l| l.contains("nothing was done")).unwrap();
    assert!(line.contains(" stepped ") && line.contains("step 2 → 4"), "{screen}");
    let now = stage.host.rollout();
    assert_eq!((now.phase.clone(), now.at.map(|a| a.index), weight(&now)), (Phase::Held, Some(3), Some(50.0)));
    late.hold(false);
    ben.shows("step 4 of 4 at 50 %");
    quits(&mut ben);
}

/// Passes everything on to a host, and what the host tells of itself only when it is let.
struct Late(Arc<(Mutex<bool>, Condvar)>, Arc<AtomicBool>);

impl Late {
    fn before(host: &Path, own: &Path) -> Self {
        let (listener, host) = (UnixListener::bind(own).unwrap(), host.to_owned());
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let (held, ended) = (Arc::clone(&gate), Arc::new(AtomicBool::new(false)));
        let over = Arc::clone(&ended);
        thread::spawn(move || {
            for client in listener.incoming().flatten().take_while(|_| !over.load(Ordering::Relaxed)) {
                let Ok(server) = UnixStream::connect(&host) else { break };
                let watch = Arc::new(AtomicBool::new(false));
                let (asks, is_watch) = ((client.try_clone().unwrap(), server.try_clone().unwrap()), Arc::clone(&watch));
                thread::spawn(move || pass(asks, |bytes| is_watch.store(bytes.starts_with(b"GET /v1/watch"), Ordering::Relaxed)));
                let held = Arc::clone(&held);
                let wait = move |_: &[u8]| {
                    if watch.load(Ordering::Relaxed) {
                        drop(held.1.wait_while(held.0.lock().unwrap(), |held| *held).unwrap());
                    }
                };
                thread::spawn(move || pass((server, client), wait));
            }
        });
        Self(gate, ended)
    }

    fn hold(&self, held: bool) {
        *self.0.0.lock().unwrap() = held;
        self.0.1.notify_all();
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        self.1.store(true, Ordering::Relaxed);
        self.hold(false);
    }
}

fn pass((mut from, mut to): (UnixStream, UnixStream), before: impl Fn(&[u8])) {
    let mut piece = [0; 65536];
    while let Ok(read) = from.read(&mut piece) {
        before(&piece[..read]);
        if read == 0 || to.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
