//! A person's walk: the fleet, a filter, a rollout, the line stopped and let go, a promotion typed, an older
//! version again, a version that is never gone back to. The real program against a real host.

use super::{Person, command, fleet::service, story::quits};
use crate::support::{host::Host, pty::Pty};
use cutover::model::{
    back::How,
    rollout::{Hold, Phase, Rollout, Standing},
};

/// The rollout of `shop`, from the host itself.
fn shop(host: &Host, what: &str, is: impl Fn(&Rollout) -> bool) -> Rollout {
    host.until_of("shop", what, is)
}

/// Writes a command and runs it.
fn orders(pty: &mut Pty, line: &str) {
    pty.presses(":");
    pty.shows("COMMAND");
    pty.keys(line);
    pty.shows(&format!(":{line}_"));
    pty.presses("\r");
}

/// The line of the screen that begins so.
fn line(pty: &Pty, start: &str) -> String {
    pty.screen().lines().find(|l| l.trim_start().starts_with(start)).unwrap_or_default().to_owned()
}

#[test]
fn from_the_fleet_through_a_freeze_a_promotion_an_undo_and_a_taint() {
    let host = Host::start(&[service("mail"), service("shop")].concat());
    let mut labels = Vec::new();
    for (label, goal) in [("v1", "completed"), ("v2", "paused")] {
        let digest = host.seal(label, &[("behaviour.toml", &format!("median_ms = 1.0\n# {label}\n"))]);
        host.ok(&["deploy", "shop", &digest]);
        host.ok(&["wait", "shop", "--for", goal, "--timeout", "60s"]);
        labels.push(digest.trim_start_matches("sha256:").chars().take(4).collect::<String>());
    }
    let config = host.config();
    let mut pty = Pty::spawn(command(&host.dir, "ana", &["-c", config.to_str().unwrap()]), 80, 24);

    // What waits for somebody is said in full before a key is pressed.
    pty.shows("first: shop ~ waiting for you since ");
    pty.shows("at a pause");
    pty.presses("/");
    pty.keys("shop");
    pty.shows("/shop_  1 of 2");
    pty.presses("\r");
    pty.presses("j");
    pty.presses("\r");
    pty.shows("CANARY step 2/4 at 25 %");

    // The line is stopped: said in the header, on a line of its own, in the list of actions, in the fleet.
    orders(&mut pty, "freeze 2h stock-taking");
    pty.shows("FREEZE shop until");
    pty.shows("reason: stock-taking");
    pty.presses("\r");
    shop(&host, "frozen", |r| r.frozen.as_ref().is_some_and(|f| f.reason.as_str() == "stock-taking"));
    pty.shows("FROZEN live");
    pty.shows("FROZEN by ");
    pty.shows("s P off: frozen");
    assert!(line(&pty, "next").contains("the freeze by"), "{}", pty.screen());
    pty.presses("s");
    pty.shows("step: not now");
    pty.shows("frozen by ");
    pty.presses("\x03");
    pty.until("the refusal is closed", |p| !p.screen().contains("not now"));
    pty.presses("\r");
    pty.shows("ACTIONS");
    for verb in ["step", "promote"] {
        let row = pty.screen().lines().find(|l| l.contains(verb) && l.contains("off: frozen by")).map(str::to_owned);
        assert!(row.is_some(), "{verb}\n{}", pty.screen());
    }
    assert!(line(&pty, "R").contains("back to v1") && !line(&pty, "p ").contains("off"), "{}", pty.screen());
    pty.presses("\x03");
    pty.until("the list is closed", |p| !p.screen().contains("ACTIONS"));
    pty.presses("R");
    pty.shows("BACK by switch");
    pty.presses("\x03");
    pty.shows("NOTHING SENT");
    let refused = host.verb(&["step", "shop", "--yes"]);
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    orders(&mut pty, "fleet");
    pty.until("its row says it", |p| {
        p.screen().lines().any(|l| l.contains("shop") && l.contains("FROZEN ~ waiting") && l.contains(": stock-ta"))
    });
    pty.presses("\r");
    pty.shows("FROZEN by ");

    orders(&mut pty, "thaw");
    pty.shows("THAW shop");
    pty.presses("\r");
    shop(&host, "thawed", |r| r.frozen.is_none() && !r.holds.iter().any(|h| matches!(h, Hold::Freeze { .. })));
    pty.until("nothing is frozen", |p| !p.screen().contains("FROZEN"));
    pty.shows("s step");

    // Promoted by what is read off the screen.
    promotes(&mut pty, &labels[1]);
    shop(&host, "v2 is stable", |r| r.phase == Phase::Completed && r.stable().is_some_and(|t| t.version.label.as_str() == "v2"));
    pty.shows("R back to v1");

    // The version before it again, through the plan.
    pty.presses("V");
    pty.shows("versions · 2 remembered");
    pty.presses("\x03");
    orders(&mut pty, "undo v1");
    pty.shows("UNDO v2 → v1, through 25 %, pause");
    pty.presses("\r");
    shop(&host, "v1 comes again", |r| r.candidate().is_some_and(|t| t.version.label.as_str() == "v1") && r.phase == Phase::Held);
    pty.shows("CANARY step 2/4 at 25 %");
    promotes(&mut pty, &labels[0]);
    shop(&host, "v1 is stable", |r| r.phase == Phase::Completed && r.stable().is_some_and(|t| t.version.label.as_str() == "v1"));
    pty.shows("R back to v2");
    pty.until("the way back is ready", |p| line(p, "BACK").contains("READY"));

    // Never back to v2: it leaves the candidates, and the lamp goes out.
    orders(&mut pty, "taint v2 wrong logo");
    pty.shows("TAINT v2");
    pty.presses("\r");
    let tainted =
        |r: &Rollout| r.versions.iter().any(|k| k.version.label.as_str() == "v2" && matches!(k.standing, Standing::Tainted { .. }));
    let left = shop(&host, "v2 is tainted", |r| tainted(r) && r.back.to.as_ref().is_none_or(|v| v.label.as_str() != "v2"));
    assert!(matches!(left.back.how, How::None { .. }), "{:?}", left.back);
    pty.until("the lamp is out", |p| line(p, "BACK").contains("NOWHERE") && !p.screen().contains("R back to v2"));
    pty.presses("V");
    pty.until("it is told why", |p| p.screen().lines().any(|l| l.contains("v2") && l.contains("TAINTED")));
    pty.presses("R");
    pty.shows("back: not now");
    pty.shows("v2 was tainted by");
    // What is innermost is closed first: the refusal, the panel, the rollout, the filter, the console.
    pty.presses("\x03");
    pty.shows("to the rollout");
    pty.presses("\x03");
    pty.shows("enter actions");
    pty.presses("\x03");
    pty.shows("1 of 2");
    pty.presses("\x03");
    pty.until("the filter is gone", |p| p.screen().contains("test/mail"));
    quits(&mut pty);
}

/// Opens the preview of a promotion and types what it asks for.
fn promotes(pty: &mut Pty, digits: &str) {
    pty.presses("P");
    pty.shows(&format!("type {digits} then enter"));
    for c in digits.chars() {
        pty.presses(&c.to_string());
    }
    pty.shows(&format!("enter: {digits}_"));
    pty.presses("\r");
    pty.shows("COMPLETED");
}
