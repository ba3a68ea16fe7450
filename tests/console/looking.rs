//! Looking around: panels, help, actions, sizes, terminals that can do less.

use super::{Person, Stage, story::quits};
use crate::support::pty::Pty;

/// Every cell of the screen has the terminal's own colours.
fn is_plain(pty: &Pty) -> bool {
    let screen = pty.parser.screen();
    let (rows, cols) = (screen.size().0.get(), screen.size().1.get());
    (0..rows).flat_map(|r| (0..cols).map(move |c| (r, c))).all(|(r, c)| {
        screen.cell(r, c).is_none_or(|cell| cell.fgcolor() == vt100::Color::Default && cell.bgcolor() == vt100::Color::Default)
    })
}

#[test]
fn panels_help_and_actions() {
    let stage = Stage::canary();
    let mut pty = stage.console(80, 24);
    pty.presses("?");
    pty.shows("HELP");
    pty.shows("Acting: each key opens a preview");
    pty.presses("?");
    pty.shows("WHAT THE FIGURES ARE");
    pty.presses("?");
    pty.until("help is closed", |p| !p.screen().contains("WHAT THE FIGURES"));
    pty.presses("\r");
    pty.shows("ACTIONS");
    pty.shows("do nothing");
    pty.presses("\r");
    pty.until("nothing was done", |p| !p.screen().contains("ACTIONS"));
    // By arrows and enter alone: the second row is `step`.
    pty.presses("\r");
    pty.shows("ACTIONS");
    pty.presses("\x1b[B");
    pty.presses("\r");
    pty.shows("STEP");
    pty.presses("x");
    pty.shows("NOTHING SENT");
    for title in
        ["failed requests", "health", "instances", "evidence", "findings", "analyses", "artifact", "events", "logs", "versions", "own log"]
    {
        pty.presses("\t");
        pty.until(title, |p| p.screen().lines().any(|l| l.contains('─') && l.contains(title)));
    }
    pty.presses("\t");
    pty.presses("i");
    pty.until("both versions' instances", |p| p.screen().matches("ready").count() >= 3);
    pty.presses("\x1b");
    pty.presses("l");
    pty.shows("ERROR GET /cart: payment provider");
    pty.presses("/");
    pty.keys("listening");
    pty.keys("\r");
    pty.until("only what was asked for", |p| p.screen().contains("listening on") && !p.screen().contains("payment provider"));
    // The panel has the keyboard: letters are not orders.
    pty.presses("p");
    assert!(!pty.screen().contains("PAUSE"), "{}", pty.screen());
    pty.presses("\x1b");
    pty.presses("v");
    pty.shows("weight");
    // `q` closes the innermost thing, then quits.
    pty.presses("q");
    pty.until("the rollout has the keyboard", |p| p.screen().contains("p pause"));
    assert_eq!(stage.last(), None);
    quits(&mut pty);
}

#[test]
fn every_size_and_back() {
    let stage = Stage::canary();
    let mut pty = stage.console(120, 36);
    pty.shows("┌ stable");
    pty.shows("CANARY step 2 of 4");
    pty.resize(40, 8);
    pty.until("the small screen", |p| {
        p.screen().lines().count() <= 8 && p.screen().contains("HELD") && p.screen().contains("R back to v1")
    });
    pty.resize(30, 4);
    pty.shows("too small");
    pty.presses("R");
    pty.resize(80, 24);
    pty.shows("BACK by switch");
    pty.presses("x");
    pty.resize(200, 60);
    pty.shows("┌ stable");
    pty.resize(80, 24);
    pty.until("the screen of 80 columns", |p| p.screen().contains("CANARY step 2/4") && !p.screen().contains('┌'));
    // ctrl-c goes the same way as q.
    pty.presses("\x03");
    assert_eq!(pty.ends().exit_code(), 0);
    pty.assert_restored();
}

#[test]
fn without_colours_and_without_unicode() {
    let stage = Stage::canary();
    let mut command = stage.command("ana", &["--ascii"]);
    command.env("NO_COLOR", "1");
    let mut pty = Pty::spawn(command, 80, 24);
    pty.shows("CANARY step 2");
    pty.shows("BACK   READY");
    assert!(pty.screen().is_ascii(), "{}", pty.screen());
    assert!(is_plain(&pty));
    pty.presses("R");
    pty.shows("BACK by switch");
    assert!(pty.screen().is_ascii() && pty.screen().contains("->"), "{}", pty.screen());
    assert!(is_plain(&pty));
    pty.presses("x");
    quits(&mut pty);
    let mut coloured = stage.console(80, 24);
    coloured.until("colours", |p| !is_plain(p));
    quits(&mut coloured);
}
