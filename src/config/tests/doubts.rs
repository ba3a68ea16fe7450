//! Plans that can be used and are probably not meant: a line each, and nothing is refused.

use super::{SERVICE, env_in, write};
use crate::config::load;

/// What is doubted of the good service with these steps, in line 7, and lines from line 8 on.
fn doubted(steps: &str, lines: &str) -> Vec<String> {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("c.toml");
    let text = format!("{}{lines}\n", SERVICE.replace("[{ weight = 5 }]", steps));
    write(&path, &text);
    let loaded = load(Some(&path), &env_in(home.path())).unwrap_or_else(|e| panic!("{text}: {e}"));
    assert!(loaded.doubts.iter().all(|d| d.service == loaded.config.services[0].name), "{:?}", loaded.doubts);
    loaded.doubts.iter().map(|d| format!("{}:{}: {}", d.found.line, d.found.column, d.found.what)).collect()
}

/// Alerts that send it back, whoever's they are.
const PAGES: &str = "[[service.gate]]\nname = \"pages\"\nsignal = \"alerts\"\non_fail = \"revert\"\n\
                     [metrics]\nkind = \"prometheus\"\nurl = \"http://prom\"\n";

fn gate(name: &str, more: &str) -> String {
    format!("[[service.gate]]\nname = \"{name}\"\nsignal = \"errors\"\n{more}")
}

#[test]
fn every_doubt_has_its_line() {
    let one = "[{ weight = 5 }]";
    let errors = gate("errors", "");
    for (steps, lines, said) in [
        (
            one,
            format!("bake = \"5s\"\n{errors}"),
            "8:8: a version is good after 5s, before gate `errors` is judged once (every 10s): make `bake` longer, or 0s to mean at once",
        ),
        (
            "[{ weight = 5 }, { gate = [\"p99\"] }]",
            "[[service.gate]]\nname = \"p99\"\nsignal = \"p99\"".to_owned(),
            "7:26: this step waits for nothing: p99 only advises; to wait for it use on_fail = \"hold\"",
        ),
        (
            "[{ weight = 5 }, { gate = \"all\" }]",
            format!("{}\n{}", gate("a", "on_fail = \"advise\""), gate("b", "on_fail = \"advise\"")),
            "7:26: this step waits for nothing: a, b only advises; to wait for it use on_fail = \"hold\"",
        ),
        (
            "[{ weight = 5 }, { weight = 100 }, { pause = \"10m\" }]",
            String::new(),
            "7:44: this waits for time after 100 %: the candidate has all the traffic and stable none; to watch it use `bake` and `keep_warm`",
        ),
        (
            "[{ scale = 4 }, { weight = 5 }]",
            "instances = 2".to_owned(),
            "7:10: 4 instances are more than the 2 it has at 100 %: it shrinks when it gets all the traffic",
        ),
        (
            "[]",
            "strategy = \"rolling\"\ninstances = 2\nrolling = { surge = 0, unavailable = 2 }".to_owned(),
            "10:38: all of 2 may be away at once, so nothing serves in between: raise `surge` instead",
        ),
        (
            one,
            "preview_listen = \"127.0.0.1:8081\"".to_owned(),
            "8:18: a candidate is shown there only until it is ready: put a pause before the first weight, such as { pause = \"manual\" }",
        ),
        (
            "[{ gate = \"all\" }, { pause = \"1m\" }]",
            format!("strategy = \"blue-green\"\npreview_listen = \"127.0.0.1:8081\"\n{errors}"),
            "9:18: a candidate is shown there only until it is ready: put a pause before the first gate, such as { pause = \"manual\" }",
        ),
        (
            "[]",
            "strategy = \"recreate\"\nrouting.sticky = { cookie = \"track\" }".to_owned(),
            "9:18: recreate runs one version at a time: there is nothing for clients to stay on",
        ),
        (
            one,
            PAGES.to_owned(),
            "11:11: an alert about any other `checkout` that this server knows sends this one back too: name its labels in metrics.alert_matchers",
        ),
        (one, gate("errors", "limit = 0.01"), "11:9: `limit` is in percent: 0.01 is 100 of a million requests; for 1 % write 1"),
        ("[{ weight = 0.25 }]", String::new(), "7:10: a weight is in percent: for 25 % write 25"),
        (
            "[{ weight = 5 }, { gate = \"all\" }]",
            "instances = 2\n[[service.gate]]\nname = \"r\"\nsignal = \"restarts\"".to_owned(),
            "11:10: a version that never restarts passes gate `r` after about 4 h at 2 instances: leave it out of the plan's gate steps, where it brakes all the same, or use on_fail = \"advise\"",
        ),
    ] {
        assert_eq!(doubted(steps, &lines), [said], "{steps} {lines}");
    }
}

#[test]
fn what_is_meant_is_not_doubted() {
    let one = "[{ weight = 5 }]";
    let errors = gate("errors", "");
    for (steps, lines) in [
        ("[{ weight = 5 }]", String::new()),
        ("[{ weight = 5 }]", format!("bake = \"0s\"\n{errors}")),
        ("[{ weight = 5 }]", format!("bake = \"10s\"\n{errors}")),
        (
            "[{ weight = 5 }, { gate = \"all\" }, { pause = \"1m\" }, { weight = 100 }]",
            format!("{errors}\n{}", gate("b", "on_fail = \"advise\"")),
        ),
        ("[{ check = { http = \"/\" } }, { weight = 5 }]", "preview_listen = \"127.0.0.1:8081\"".to_owned()),
        ("[{ pause = \"manual\" }]", "strategy = \"blue-green\"\npreview_listen = \"127.0.0.1:8081\"".to_owned()),
        ("[]", "strategy = \"rolling\"\ninstances = 2\nrolling = { surge = 0, unavailable = 1 }".to_owned()),
        (one, gate("errors", "limit = 0.1")),
        (one, "[[service.gate]]\nname = \"r\"\nsignal = \"restarts\"".to_owned()),
        (
            "[{ weight = 5 }, { gate = \"all\" }]",
            "[[service.gate]]\nname = \"r\"\nsignal = \"restarts\"\non_fail = \"advise\"\n[[service.gate]]\nname = \"e\"\nsignal = \"errors\"".to_owned(),
        ),
        (one, format!("{PAGES}alert_matchers = {{ cluster = \"eu\" }}")),
        (one, format!("{PAGES}variables = {{ namespace = \"shop\" }}")),
        (one, PAGES.replace("revert", "hold")),
    ] {
        assert_eq!(doubted(steps, &lines), [""; 0], "{steps} {lines}");
    }
    // Our own example says nothing that it does not mean.
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("c.toml");
    write(&path, &super::example::uncommented());
    let doubts = load(Some(&path), &env_in(home.path())).unwrap().doubts;
    assert!(doubts.is_empty(), "{doubts:?}");
}
