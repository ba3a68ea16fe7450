//! Two consoles at one host: each is told of the other, by the name the kernel knows it by, for as long
//! as it is there.

use super::{Person, Stage, story::quits};
use crate::support::pty::Pty;
use rustix::process::Signal;
use std::process::Command;

/// Whom the kernel takes this process for.
fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn others(pty: &Pty) -> bool {
    pty.screen().contains("other console")
}

#[test]
fn each_console_sees_the_others() {
    let stage = Stage::canary();
    let (ana, ben) = (format!("1 other console: {} (ana)", user()), format!("1 other console: {} (ben)", user()));
    let open = |who| Pty::spawn(stage.command(who, &[]), 120, 36);
    let mut first = open("ana");
    first.shows("CANARY step 2 of 4");
    assert!(!others(&first), "nobody is told of itself\n{}", first.screen());
    let mut second = open("ben");
    second.shows(&ana);
    first.shows(&ben);

    // The fleet's screen is no rollout.
    second.presses(":");
    second.keys("fleet\r");
    second.shows("1 rollout");
    first.until("ben has closed it", |p| !others(p));
    second.presses("j");
    second.presses("\r");
    first.shows(&ben);

    // Killed, it cannot say goodbye.
    second.signal(Signal::KILL);
    first.until("ben is gone", |p| !others(p));
    let mut third = open("cleo");
    third.shows(&ana);
    first.shows("(cleo)");
    quits(&mut first);
    third.until("ana has quit", |p| !others(p));
    quits(&mut third);
}
