//! Keys that must never send anything, however they come.

use super::{APART, Person, Stage, story::quits};
use crate::support::pty::Pty;
use cutover::model::rollout::Phase;
use std::{thread::sleep, time::Duration};

/// How a key repeats that is held.
const DELAY: Duration = Duration::from_millis(500);
const REPEAT: Duration = Duration::from_millis(33);

/// Looks long enough for anything that was going to be sent, then asks the host.
#[track_caller]
fn nothing_sent(stage: &Stage, pty: &mut Pty, what: &str) {
    pty.waits(Duration::from_millis(400));
    assert_eq!((stage.phase().as_str(), stage.last()), ("held", None), "{what}\n{}", pty.screen());
}

/// Closes what is open and lets the keys before be forgotten.
fn afresh(pty: &mut Pty) {
    pty.presses("\x1b");
    pty.until("nothing lies over the screen", |p| !p.screen().contains("BACK by switch") && p.screen().contains("p pause"));
    pty.presses("r");
    pty.waits(APART);
}

#[test]
fn held_replayed_pasted_and_torn_keys_send_nothing() {
    let stage = Stage::canary();
    let mut pty = stage.console(80, 24);

    pty.keys("R");
    pty.waits(DELAY);
    for _ in 0..60 {
        pty.keys("R");
        pty.waits(REPEAT);
    }
    nothing_sent(&stage, &mut pty, "R held");
    pty.shows("too fast: press R once");
    afresh(&mut pty);

    pty.keys("RR");
    nothing_sent(&stage, &mut pty, "RR in one write");
    pty.shows("too fast: press R once");
    afresh(&mut pty);

    for _ in 0..12 {
        pty.keys("R");
        pty.waits(Duration::from_millis(120));
    }
    nothing_sent(&stage, &mut pty, "taps every 120 ms");
    pty.shows("too fast: press R once");
    afresh(&mut pty);

    pty.keys("\x1b[200~RR\x1b[201~");
    nothing_sent(&stage, &mut pty, "a paste");
    assert!(!pty.screen().contains("BACK by switch"), "a paste is no key\n{}", pty.screen());
    pty.presses("R");
    pty.shows("BACK by switch");
    pty.keys("\x1b[200~RR\x1b[201~");
    pty.shows("NOTHING SENT");
    nothing_sent(&stage, &mut pty, "a paste over a preview");
    afresh(&mut pty);

    for whole in [true, false] {
        pty.presses("R");
        pty.shows("BACK by switch");
        pty.waits(APART);
        if whole {
            pty.keys("\x1bOR");
        } else {
            pty.keys("\x1b");
            pty.waits(Duration::from_millis(70));
            pty.keys("OR");
        }
        nothing_sent(&stage, &mut pty, "F3 ends in R");
        afresh(&mut pty);
    }
    pty.keys("\x1bOR");
    pty.waits(APART);
    assert!(!pty.screen().contains("BACK by switch"), "F3 is no R\n{}", pty.screen());

    // And the same console still goes back when it is meant. The last escape led to all rollouts.
    pty.presses("\r");
    pty.shows("CANARY");
    pty.presses("R");
    pty.shows("BACK by switch");
    pty.presses("R");
    stage.host.until("reverted", |r| r.phase == Phase::Reverted);
    pty.shows("BACK: programmed 0 %");
    quits(&mut pty);
    // The line of the outcome is on disk at the latest when the console has ended.
    stage.assert_journal(&["revert"]);
}

#[test]
fn keys_that_waited_for_a_stalled_terminal_or_a_stopped_process_send_nothing() {
    let stage = Stage::canary();
    let mut pty = stage.console(200, 60);
    pty.shows("BACK   READY");
    pty.presses("R");
    pty.shows("BACK by switch");
    // The terminal takes nothing for three seconds: what is typed then answers a screen nobody saw.
    pty.stall(true);
    for n in 0..80 {
        // Every size is another full frame: what lies between takes only so many.
        pty.resize(199 + n % 2, 60);
        sleep(Duration::from_millis(25));
    }
    sleep(Duration::from_secs(3));
    pty.keys("RRR");
    sleep(Duration::from_millis(200));
    pty.stall(false);
    nothing_sent(&stage, &mut pty, "RRR after a stalled terminal");
    afresh(&mut pty);
    pty.presses("o");
    pty.shows("the terminal took nothing");
    pty.presses("\x1b");

    pty.presses("R");
    pty.shows("BACK by switch");
    pty.signal(rustix::process::Signal::STOP);
    sleep(Duration::from_secs(3));
    pty.keys("RRR");
    pty.signal(rustix::process::Signal::CONT);
    nothing_sent(&stage, &mut pty, "RRR while the process was stopped");
    afresh(&mut pty);
    // One key typed while it was stopped.
    pty.presses("R");
    pty.shows("BACK by switch");
    pty.signal(rustix::process::Signal::STOP);
    sleep(APART);
    pty.keys("R");
    pty.signal(rustix::process::Signal::CONT);
    nothing_sent(&stage, &mut pty, "R while the process was stopped");
    afresh(&mut pty);
    quits(&mut pty);
}
