//! Who may look and who may act, by what the kernel says of the other end of the socket.

use super::rig::{canary, sample};
use crate::support::{host::Host, need, need_root};
use cutover::model::rollout::Rollout;
use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Asks the control API as a user of this machine; the status and the body.
fn ask(host: &Host, user: (u32, u32), method: &str, path: &str, body: Option<&str>) -> (u16, String) {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-m", "20", "-w", "\n%{http_code}", "-X", method, "--unix-socket"]).arg(host.dir.join("host.sock"));
    if let Some(body) = body {
        curl.args(["-H", "content-type: application/json", "-d", body]);
    }
    let done = curl.arg(format!("http://host{path}")).uid(user.0).gid(user.1).current_dir("/").output().unwrap();
    let out = String::from_utf8_lossy(&done.stdout).into_owned();
    let (body, status) = out.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

fn ids(name: &str) -> (u32, u32) {
    let user = nix::unistd::User::from_name(name).unwrap().unwrap();
    (user.uid.as_raw(), user.gid.as_raw())
}

#[test]
fn others_may_look_or_act_as_the_configuration_says() {
    if !need_root() || !need("curl") {
        return;
    }
    let kept = tempfile::tempdir().unwrap();
    fs::set_permissions(kept.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let mut host = Host::prepare(kept.path(), &sample("web", ""));
    let config = fs::read_to_string(host.config()).unwrap();
    let others = "[host]\nallow_users = [\"daemon\"]\nallow_group = \"sys\"\nread_users = [\"nobody\"]\n";
    fs::write(host.config(), config.replacen("[host]\n", others, 1)).unwrap();
    host.run();
    let action = serde_json::json!({
        "id": "a-1", "action": { "verb": "pause" },
        "belief": { "key": { "target": "host", "service": "web" }, "run": null, "rev": 0, "at": null, "stable": null, "candidate": null },
    })
    .to_string();
    let act = |user: (u32, u32)| ask(&host, user, "POST", "/v1/actions", Some(&action));
    let look = |user: (u32, u32)| ask(&host, user, "GET", "/v1/rollouts", None).0;
    let (daemon, nobody, games) = (ids("daemon"), ids("nobody"), ids("games"));
    let sys = nix::unistd::Group::from_name("sys").unwrap().unwrap().gid.as_raw();

    // There is nothing to pause: whoever may act hears that from the engine.
    for may in [daemon, (games.0, sys), (0, 0)] {
        assert_eq!((look(may), act(may).0), (200, 409), "{may:?}: {}", act(may).1);
    }
    let (status, body) = act(nobody);
    assert_eq!((look(nobody), status), (200, 403));
    assert!(body.contains("nobody may look and not act here") && body.contains("\"denied\""), "{body}");
    assert_eq!((look(games), act(games).0), (403, 403));
    assert_eq!(fs::metadata(host.dir.join("host.sock")).unwrap().permissions().mode() & 0o777, 0o666);
}

/// A watch of a console that named itself, until it is dropped.
struct Watching(Child);

impl Watching {
    fn start(host: &Host, console: &str, name: &str) -> Self {
        let mut curl = Command::new("curl");
        curl.args(["-sN", "-m", "60", "--unix-socket"]).arg(host.dir.join("host.sock"));
        let url = format!("http://host/v1/watch?console={console}&name={name}");
        Self(curl.arg(url).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_rollout_says_which_consoles_have_it_open() {
    if !need("curl") {
        return;
    }
    let host = canary("");
    let me = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let names = |r: &Rollout| r.present.iter().map(|p| (p.console.to_string(), p.who.to_string())).collect::<Vec<_>>();
    let look = |console: &str, service: &str| {
        let body = format!(r#"{{"console":"{console}","service":{service}}}"#);
        ask(&host, me, "PUT", "/v1/presence", Some(&body)).0
    };
    let watching = Watching::start(&host, "c-1", "ana");
    let end = Instant::now() + Duration::from_secs(20);
    // Until its watch has arrived a console is not known.
    while names(&host.rollout()).is_empty() {
        assert_eq!(look("c-1", "\"web\""), 204);
        assert!(Instant::now() < end, "never seen");
        std::thread::sleep(Duration::from_millis(50));
    }
    let seen = names(&host.rollout());
    assert!(seen.len() == 1 && seen[0].0 == "c-1" && seen[0].1.ends_with("(ana)"), "{seen:?}");
    assert_eq!(look("c-1", "null"), 204);
    host.until("on the fleet's screen", |r| r.present.is_empty());
    assert_eq!(look("c-1", "\"web\""), 204);
    host.until("back", |r| r.present.len() == 1);
    drop(watching);
    host.until("gone", |r| r.present.is_empty());
}
