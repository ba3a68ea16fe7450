//! A person's walk through several services: choose, filter, open, act on what is marked, and back.

use super::{Person, command, story::quits};
use crate::support::{
    host::{CUTOVER, Host},
    pty::Pty,
};
use cutover::model::rollout::Phase;
use std::fs;

/// The sample service as a canary that waits for a person at a quarter and at half of the traffic.
pub fn service(name: &str) -> String {
    format!(
        r#"
[[service]]
name = "{name}"
listen = "127.0.0.1:0"
command = ["{CUTOVER}", "sample", "--port", "{{port}}", "--behaviour", "behaviour.toml"]
readiness = {{ path = "/healthz", interval = "100ms" }}
steps = [{{ weight = 25 }}, {{ pause = "manual" }}, {{ weight = 50 }}, {{ pause = "manual" }}]
drain = "2s"
"#
    )
}

/// Each service's step, as the host says it.
fn steps(host: &Host) -> Vec<(String, usize)> {
    let all: serde_json::Value = serde_json::from_str(&host.ok(&["get", "-o", "json"])).unwrap();
    let step = |r: &serde_json::Value| Some((r["service"].as_str()?.to_owned(), usize::try_from(r["step"]["index"].as_u64()?).ok()?));
    let mut steps: Vec<_> = all["rollouts"].as_array().unwrap().iter().filter_map(step).collect();
    steps.sort();
    steps
}

#[test]
fn a_walk_through_the_fleet() {
    let host = Host::start(&[service("cart"), service("checkout"), service("mail")].concat());
    for (label, services, goal) in [("v1", &["cart", "checkout"][..], "completed"), ("v2", &["cart", "checkout"], "paused")] {
        let digest = host.seal(label, &[("behaviour.toml", &format!("median_ms = 1.0\n# {label}\n"))]);
        for service in services {
            host.ok(&["deploy", service, &digest]);
        }
        for service in services {
            host.ok(&["wait", service, "--for", goal, "--timeout", "60s"]);
        }
    }
    // A second target that is not there hides nothing of the first, and is said.
    let config = host.dir.join("console.toml");
    let socket = host.config();
    let text = fs::read_to_string(socket).unwrap();
    let line = text.lines().find(|l| l.starts_with("socket")).unwrap();
    let targets = format!(
        "[[target]]\nname = \"prod\"\ncolor = \"red\"\n{line}\n[[target]]\nname = \"far\"\nsocket = \"{}/no.sock\"\n",
        host.dir.display()
    );
    fs::write(&config, targets).unwrap();
    fs::set_permissions(&config, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();

    let mut pty = Pty::spawn(command(&host.dir, "ana", &["-c", config.to_str().unwrap()]), 80, 24);
    pty.shows("cutover  3 rollouts");
    pty.shows("2 waiting");
    pty.shows("far DOWN");
    let screen = pty.screen();
    assert!(!screen.contains('▶'), "nothing is chosen\n{screen}");
    assert_eq!(screen.lines().nth(4).unwrap().split_whitespace().collect::<Vec<_>>(), ["prod/mail", "–", "idle"], "{screen}");

    // An acting key without a row acts on nothing.
    pty.presses("s");
    pty.shows("nothing was chosen for step");
    pty.presses("/");
    pty.keys("check");
    pty.shows("/check_  1 of 3");
    pty.presses("\r");
    pty.presses("j");
    pty.presses("\r");
    pty.shows("CANARY step 2/4 at 25 %");
    pty.presses("a");
    pty.shows("sha256:");
    pty.shows("verified: exactly this");
    pty.presses("\x1b");
    pty.presses(":");
    pty.keys("w");
    pty.presses("\r");
    pty.shows("`w` is no order, write it in full: weight");
    pty.presses("\x1b");
    pty.until("the palette is closed", |p| !p.screen().contains("COMMAND"));
    pty.presses("\x1b");
    pty.shows("1 of 3");
    pty.presses("\x1b");
    pty.until("the filter is gone", |p| p.screen().contains("prod/mail"));

    // Both at once, each of them listed.
    pty.presses("g");
    pty.keys("g");
    pty.presses(" ");
    pty.presses(" ");
    pty.shows("2 marked");
    pty.presses(":");
    pty.keys("step marked");
    pty.presses("\r");
    pty.shows("STEP on 2 of 2 that are marked");
    pty.shows("prod/cart  STEP: 25 → 50 %");
    pty.shows("prod/checkout  STEP: 25 → 50 %");
    assert_eq!(steps(&host), [("cart".to_owned(), 1), ("checkout".to_owned(), 1)]);
    pty.presses("\r");
    pty.until("both went on", |p| p.screen().matches("4/4").count() == 2);
    assert_eq!(steps(&host), [("cart".to_owned(), 3), ("checkout".to_owned(), 3)]);
    pty.until("the marks are gone", |p| !p.screen().contains("marked"));
    quits(&mut pty);
}

/// Two hosts have a service of one name, at the same place of the same plan.
#[test]
fn what_is_done_on_one_host_is_not_done_on_the_other() {
    let hosts = [Host::start(&service("shop")), Host::start(&service("shop"))];
    for (label, goal) in [("v1", "completed"), ("v2", "paused")] {
        for host in &hosts {
            let digest = host.seal(label, &[("behaviour.toml", &format!("median_ms = 1.0\n# {label}\n"))]);
            host.ok(&["deploy", "shop", &digest]);
        }
        for host in &hosts {
            host.ok(&["wait", "shop", "--for", goal, "--timeout", "60s"]);
        }
    }
    let [north, south] = &hosts;
    let socket = |host: &Host| format!("socket = \"{}/host.sock\"\n", host.dir.display());
    let target = |name: &str, host: &Host| format!("[[target]]\nname = \"{name}\"\n{}", socket(host));
    let config = north.dir.join("console.toml");
    fs::write(&config, [target("north", north), target("south", south)].concat()).unwrap();
    fs::set_permissions(&config, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let at = |host: &Host| steps(host).remove(0).1;

    let mut pty = Pty::spawn(command(&north.dir, "ana", &["-c", config.to_str().unwrap()]), 80, 24);
    pty.shows("cutover  2 rollouts");
    pty.shows("2 waiting");
    pty.presses("/");
    pty.keys("south");
    pty.shows("/south_  1 of 2");
    pty.presses("\r");
    pty.presses("j");
    pty.presses("s");
    pty.shows("south/shop");
    pty.shows("STEP");
    pty.presses("\r");
    pty.until("it went on", |p| p.screen().lines().any(|l| l.contains("south/shop") && l.contains("4/4")));
    assert_eq!((at(north), at(south)), (1, 3));

    // Marked, both are listed by their targets, and each is sent its own.
    pty.presses("\x1b");
    pty.until("the filter is gone", |p| p.screen().contains("north/shop"));
    pty.presses("g");
    pty.keys("g");
    pty.presses(" ");
    pty.presses(" ");
    pty.shows("2 marked");
    pty.presses(":");
    pty.keys("revert marked");
    pty.presses("\r");
    pty.shows("BACK on 2 of 2 that are marked");
    for name in ["north/shop  BACK by switch", "south/shop  BACK by switch"] {
        pty.shows(name);
    }
    pty.presses("\r");
    for host in &hosts {
        host.until("back", |r| r.phase == Phase::Reverted);
    }
    quits(&mut pty);
}
