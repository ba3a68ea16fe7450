//! From "this is bad" to "we are back", with what proves it.

use super::{APART, Person, Stage, weight};
use crate::support::pty::Pty;
use cutover::model::rollout::Phase;
use std::time::{Duration, Instant};

#[test]
fn two_keys_go_back_and_the_screen_proves_it() {
    let stage = Stage::canary();
    let mut pty = stage.console(80, 24);
    pty.until("figures of both versions", |p| p.screen().contains("25.00 %") && p.screen().contains("errors"));
    let screen = pty.screen();
    for part in ["test/web", "live ", "stable v1", "canary v2", "HELD", "BACK   READY", "R back to v1"] {
        assert!(screen.contains(part), "{part:?} is not on\n{screen}");
    }
    pty.presses("R");
    pty.shows("BACK by switch");
    let bar = pty.screen().lines().find(|l| l.contains('→') && l.contains("test / web")).unwrap_or_default().to_owned();
    let digests: Vec<String> = stage.host.rollout().tracks.iter().map(|t| t.version.short_digest().to_string()).collect();
    assert!(digests.len() == 2 && digests.iter().all(|d| bar.contains(d.as_str())), "{bar:?} {digests:?}");
    assert_eq!(stage.phase(), "held", "one key sends nothing");
    pty.waits(APART);
    let pressed = Instant::now();
    pty.keys("R");
    pty.shows("BACK: programmed 0 %, last request on v2 at ");
    let took = pressed.elapsed();
    println!("second key to proof on the screen: {took:?}");
    pty.shows("SAFE in ");
    assert!(took < Duration::from_secs(1), "{took:?}");
    let back = stage.host.until("reverted", |r| r.phase == Phase::Reverted);
    assert_eq!(weight(&back), Some(0.0));
    // Who asks again is answered and goes no version further.
    pty.presses("R");
    pty.shows("already back on v1 since");
    pty.presses("\x1b");
    pty.shows("R already back on v1");
    let began = Instant::now();
    while !pty.screen().contains("SAFE since") {
        assert!(began.elapsed() < Duration::from_secs(60), "never safe\n{}", pty.screen());
        pty.waits(Duration::from_millis(200));
    }
    assert!(pressed.elapsed() >= Duration::from_secs(30), "safe takes 30 quiet seconds");
    assert!(pty.screen().contains("your key"), "{}", pty.screen());
    stage.assert_journal(&["revert"]);
    quits(&mut pty);
}

#[test]
fn enter_confirms_as_well_and_a_retry_follows() {
    let stage = Stage::canary();
    let mut pty = stage.console(80, 24);
    pty.presses("R");
    pty.shows("BACK by switch");
    pty.presses("\r");
    pty.shows("BACK: programmed 0 %");
    stage.host.until("reverted", |r| r.phase == Phase::Reverted);
    pty.shows("t retry");
    pty.presses("t");
    pty.shows("RETRY v2");
    pty.presses("\r");
    stage.host.until("held again", |r| r.phase == Phase::Held && weight(r) == Some(25.0));
    pty.shows("CANARY step 2");
    stage.assert_journal(&["revert", "retry"]);
    quits(&mut pty);
}

#[test]
fn a_host_that_was_killed_is_stale_and_comes_back_by_itself() {
    let mut stage = Stage::canary();
    let mut pty = stage.console(80, 24);
    stage.host.kill();
    pty.until("the screen says that it is old", |p| p.screen().contains("STALE"));
    assert!(pty.screen().contains("NOT KNOWN"), "{}", pty.screen());
    pty.presses("C");
    pty.shows("connecting");
    pty.presses("\x1b");
    // The way back is offered whatever is known, and says what it does not know.
    pty.presses("R");
    pty.shows("BACK by switch");
    pty.shows("last heard");
    pty.presses("x");
    pty.shows("NOTHING SENT");
    pty.presses("s");
    pty.shows("step: not now");
    pty.presses("\x1b");
    stage.host.run();
    pty.until("live again", |p| p.screen().contains("live ") && !p.screen().contains("STALE"));
    stage.host.until("held at its weights", |r| r.phase == Phase::Held);
    pty.shows("BACK   READY");
    pty.presses("R");
    pty.shows("BACK by switch");
    pty.presses("R");
    pty.shows("BACK: programmed 0 %");
    quits(&mut pty);
}

pub fn quits(pty: &mut Pty) {
    pty.presses("q");
    assert_eq!(pty.ends().exit_code(), 0);
    pty.assert_restored();
}
