//! The other acting keys: each does what it says, once, or says why not.

use super::{Person, Stage, story::quits, weight};
use crate::support::pty::Pty;
use cutover::model::rollout::{Hold, Phase};

#[test]
fn pause_resume_step_weight_and_promote() {
    let stage = Stage::canary();
    let host = &stage.host;
    let mut pty = stage.console(80, 24);

    pty.presses("p");
    pty.shows("PAUSE");
    pty.presses("\r");
    host.until("paused by hand", |r| r.holds.iter().any(|h| matches!(h, Hold::Manual { .. })));
    pty.until("who paused", |p| p.screen().lines().nth(1).is_some_and(|l| l.contains("HELD by") && l.contains("ana")));
    pty.presses("p");
    pty.shows("already paused by ");
    pty.presses("s");
    pty.shows("step: not now");
    pty.shows("resume lifts it");
    pty.presses("\x1b");

    pty.presses("c");
    pty.shows("RESUME");
    pty.presses("\r");
    host.until("not paused any more", |r| !r.holds.iter().any(|h| matches!(h, Hold::Manual { .. })));
    pty.until("the pause is gone", |p| !p.screen().contains("HELD by") && p.screen().contains("p pause"));
    pty.presses("c");
    pty.shows("nothing paused by hand");
    pty.presses("\x1b");

    pty.presses("s");
    pty.shows("STEP");
    pty.presses("\r");
    host.until("at half", |r| weight(r) == Some(50.0));
    pty.shows("step 4/4 at 50 %");

    pty.presses("w");
    pty.shows("WEIGHT of the candidate");
    pty.keys("12.5");
    pty.shows("12.5_");
    pty.presses("\r");
    pty.shows("50 % → 12.5 %");
    pty.presses("\r");
    host.until("held by hand", |r| weight(r) == Some(12.5) && r.holds.iter().any(|h| matches!(h, Hold::Manual { .. })));
    pty.shows("at 12.5 %");

    pty.presses("P");
    pty.shows("promote: not now");
    pty.presses("\x1b");
    pty.presses("c");
    pty.shows("12.5 % → 50 %");
    pty.presses("\r");
    host.until("at half again", |r| weight(r) == Some(50.0));
    pty.shows("p pause");

    let digest = host.rollout().candidate().unwrap().version.short_digest().to_string();
    let four: String = digest.chars().take(4).collect();
    pty.presses("P");
    pty.shows("PROMOTE v2");
    pty.shows(&format!("type {four} then enter"));
    pty.presses("\r");
    pty.shows("PROMOTE v2");
    assert_eq!(weight(&host.rollout()), Some(50.0), "enter alone promotes nothing");
    for c in four.chars() {
        pty.presses(&c.to_string());
    }
    pty.shows(&format!("enter: {four}_"));
    pty.presses("\r");
    let done = host.until("completed", |r| r.phase == Phase::Completed);
    assert_eq!(done.stable().unwrap().version.label.as_str(), "v2");
    pty.shows("COMPLETED");
    pty.shows("R back to v1");
    stage.assert_journal(&["pause", "resume", "step", "weight", "resume", "promote"]);

    // While the old version is warm, the way back is a switch.
    pty.presses("R");
    pty.shows("BACK by switch");
    pty.presses("R");
    pty.shows("BACK: programmed 0 %");
    let back = host.until("back", |r| r.phase == Phase::Reverted);
    assert_eq!(back.stable().unwrap().version.label.as_str(), "v1");
    quits(&mut pty);
}

#[test]
fn another_console_sees_who_acted_and_what_that_did_to_its_preview() {
    let stage = Stage::canary();
    let mut ana = stage.console(80, 24);
    let mut ben = Pty::spawn(stage.command("ben", &[]), 80, 24);
    ben.shows("CANARY step 2");
    // What forbids it withdraws it.
    ana.presses("P");
    ana.shows("PROMOTE v2");
    ben.presses("p");
    ben.shows("PAUSE");
    ben.presses("\r");
    ana.shows("WITHDRAWN: paused by ");
    ana.presses("\x1b");
    ana.presses("r");
    ana.until("who acted last", |p| p.screen().lines().any(|l| l.starts_with(" last") && l.contains("ben") && l.contains("paused")));
    // What moves one withdraws it, and every key but esc is swallowed.
    ben.presses("c");
    ben.shows("RESUME");
    ben.presses("\r");
    ana.shows("p pause");
    ana.presses("s");
    ana.shows("STEP");
    ben.shows("p pause");
    ben.presses("s");
    ben.shows("STEP");
    ben.presses("\r");
    ana.shows("WITHDRAWN");
    ana.shows("ben");
    for key in ["\r", "R", "p", "x"] {
        ana.presses(key);
    }
    assert!(ana.screen().contains("WITHDRAWN"), "{}", ana.screen());
    ana.presses("\x1b");
    ana.shows("step 4/4 at 50 %");
    let rollout = stage.host.rollout();
    assert_eq!((weight(&rollout), rollout.phase), (Some(50.0), Phase::Held));
    // The way back guards no step: it stays, and says it.
    ana.presses("R");
    ana.shows("BACK by switch");
    ben.presses("p");
    ben.shows("PAUSE");
    ben.presses("\r");
    ana.shows("paused");
    ana.presses("R");
    ana.shows("BACK: programmed 0 %");
    ben.until("who went back", |p| p.screen().lines().any(|l| l.starts_with(" last") && l.contains("ana") && l.contains("went back")));
    stage.assert_journal(&["pause", "resume", "step", "pause", "revert"]);
    quits(&mut ana);
    quits(&mut ben);
}
