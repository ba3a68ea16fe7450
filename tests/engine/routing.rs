//! Who gets which version, through a real host: testers, clients that stay, what is cut after a way back.

use super::rig::{canary, deploy, sample, until, version};
use crate::support::host::Host;
use cutover::model::{
    rollout::{Phase, Rollout},
    signal::{Reading, SignalId},
};
use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

/// The answer's head and body.
fn ask(host: &Host, fields: &[&str]) -> String {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-i", "-m", "20"]);
    for field in fields {
        curl.args(["-H", field]);
    }
    let answer = curl.arg(format!("http://{}/", host.address)).output().unwrap();
    String::from_utf8(answer.stdout).unwrap().to_ascii_lowercase()
}

fn version_of(rollout: &Rollout, label: &str) -> String {
    rollout.tracks.iter().find(|t| t.version.label.as_str() == label).unwrap().version.id.as_str().to_owned()
}

#[test]
fn a_tester_reaches_a_candidate_without_traffic_and_is_told_but_not_judged() {
    let place = tempfile::tempdir().unwrap();
    let secret = place.path().join("tester");
    fs::write(&secret, "open-sesame-4711\n").unwrap();
    let more = format!("routing.tester = {{ secret = {{ file = \"{}\" }} }}\nproxy = {{ version_header = true }}", secret.display());
    let service = sample("web", &more).replace("{ weight = 50 }, { pause = \"manual\" }", "{ pause = \"manual\" }, { weight = 50 }");
    let mut host = Host::start(&service);
    deploy(&host, "web", &version(&host, "v1", ""), "completed");
    deploy(&host, "web", &version(&host, "v2", ""), "paused");
    let (v1, v2) = (version_of(&host.rollout(), "v1"), version_of(&host.rollout(), "v2"));
    until("let through", || ask(&host, &["x-cutover-track: open-sesame-4711"]).contains(&v2).then_some(()));
    for _ in 0..10 {
        assert!(ask(&host, &["x-cutover-track: open-sesame-4711"]).contains(&v2));
        assert!(ask(&host, &["x-cutover-track: open-sesame"]).contains(&v1));
        assert!(ask(&host, &[]).contains(&v1));
    }
    let errors = |r: &Rollout| r.candidate().and_then(|t| t.signals.get(&SignalId::Errors)).map(|s| s.reading.clone());
    let seen = host.until("a second of it", |r| errors(r).is_some_and(|reading| reading != Reading::Absent));
    assert_eq!(errors(&seen), Some(Reading::ZeroTraffic), "nobody judges testers");
    let said = until("told", || events(&host).into_iter().find(|e| e.starts_with("testers: ")));
    assert!(said.contains(" to v2 so far, 0 failed; not in its figures"), "{said}");

    // The value is changed: the new one works soon, the old one no longer.
    fs::write(&secret, "another-4712\n").unwrap();
    until("the new value", || ask(&host, &["x-cutover-track: another-4712"]).contains(&v2).then_some(()));
    assert!(ask(&host, &["x-cutover-track: open-sesame-4711"]).contains(&v1));
    // Gone: said, and nobody is let through.
    fs::remove_file(&secret).unwrap();
    host.until("said", |r| r.findings.iter().any(|f| f.kind.as_str() == "tester" && f.what.as_str().contains("not found")));
    assert!(ask(&host, &["x-cutover-track: another-4712"]).contains(&v1));
    fs::write(&secret, "another-4712\n").unwrap();
    until("again", || ask(&host, &["x-cutover-track: another-4712"]).contains(&v2).then_some(()));
    // After the way back nobody reaches what was left, whatever they know.
    host.ok(&["revert", "web"]);
    assert!((0..5).all(|_| ask(&host, &["x-cutover-track: another-4712"]).contains(&v1)));
    assert_eq!(host.rollout().proof.unwrap().requests_after, 0);
    host.stop();
    for value in ["open-sesame-4711", "another-4712"] {
        let found = Command::new("grep").args(["-r", "-l", "-F", value]).arg(&host.dir).output().unwrap();
        assert_eq!(String::from_utf8(found.stdout).unwrap(), "", "{value} is in a file");
        assert!(!host.log().contains(value));
    }
}

/// The timeline, as a watcher is told it.
fn events(host: &Host) -> Vec<String> {
    let lines = super::rig::Http::to(host).lines("/v1/watch", |lines| lines.iter().any(|(_, line)| line.to_string().contains("init_done")));
    let texts = lines.iter().flat_map(|(_, line)| strings(line));
    texts.collect()
}

fn strings(value: &serde_json::Value) -> Vec<String> {
    match value {
        serde_json::Value::String(text) => vec![text.clone()],
        serde_json::Value::Array(items) => items.iter().flat_map(strings).collect(),
        serde_json::Value::Object(map) => map.values().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn clients_stay_on_their_version_by_the_cookie_that_is_set_for_them() {
    let host = canary("routing.sticky = { cookie = \"track\" }\nproxy = { version_header = true }");
    let v2 = version_of(&host.rollout(), "v2");
    let mut clients = Vec::new();
    for _ in 0..40 {
        let answer = ask(&host, &[]);
        let set = answer.lines().find_map(|l| l.strip_prefix("set-cookie: ")).expect("a cookie").to_owned();
        assert!(set.ends_with("; path=/; httponly; samesite=lax"), "{set}");
        clients.push((set.split(';').next().unwrap().to_owned(), answer.contains(&v2)));
    }
    assert_eq!(clients.iter().filter(|(_, new)| *new).count(), 20, "exactly the share");
    for (cookie, new) in &clients {
        assert_eq!(ask(&host, &[&format!("cookie: {cookie}")]).contains(&v2), *new);
    }
    host.ok(&["weight", "web", "90", "--yes"]);
    for (cookie, _) in clients.iter().filter(|(_, new)| *new) {
        assert!(ask(&host, &[&format!("cookie: {cookie}")]).contains(&v2), "nobody moves back");
    }
    host.ok(&["revert", "web"]);
    assert!(clients.iter().all(|(cookie, _)| !ask(&host, &[&format!("cookie: {cookie}")]).contains(&v2)));
    // The cookies of that run bind nobody to the next one's candidate, nor keep anybody from it.
    host.until("gone", |r| r.candidate().is_none_or(|t| t.pools.is_empty()));
    deploy(&host, "web", &version(&host, "v3", ""), "paused");
    let v3 = version_of(&host.rollout(), "v3");
    let meets = |cookie: &String| ask(&host, &[&format!("cookie: {cookie}")]).contains(&v3);
    let new: Vec<bool> = clients.iter().map(|(cookie, _)| meets(cookie)).collect();
    let of = |was: bool| clients.iter().zip(&new).filter(|((_, on), new)| *on == was && **new).count();
    assert!((1..20).contains(&of(true)) && (1..20).contains(&of(false)), "{new:?}: dealt anew by the version, not by what it was before");
    assert_eq!(clients.iter().map(|(cookie, _)| meets(cookie)).collect::<Vec<_>>(), new, "and each stays where it is now");
    host.ok(&["promote", "web", "--yes"]);
    host.until("promoted", |r| r.phase == Phase::Completed);
    assert!(clients.iter().all(|(cookie, _)| meets(cookie)), "a cookie keeps nobody on what was left");
}

#[test]
fn what_is_in_flight_on_a_version_that_was_left_is_cut_when_its_owner_wants_that() {
    let host = Host::start(&sample("web", "routing.on_revert = { cut_after = \"1s\" }").replace("drain = \"2s\"", "drain = \"50s\""));
    deploy(&host, "web", &version(&host, "v1", ""), "completed");
    let slow = host.seal("v2", &[("behaviour.toml", "# v2\nmedian_ms = 40000.0\nspread = 0.01\n")]);
    deploy(&host, "web", &slow, "paused");
    // Every second one is on the slow version.
    let asking: Vec<_> = (0..4)
        .map(|n| {
            let url = format!("http://{}/order/{n}", host.address);
            std::thread::spawn(move || {
                let asked = Instant::now();
                let status = Command::new("curl").args(["-s", "-m", "60", "-o", "/dev/null", "-w", "%{http_code}", &url]).output().unwrap();
                (String::from_utf8(status.stdout).unwrap(), asked.elapsed())
            })
        })
        .collect();
    let on_v2 = |r: &Rollout| r.candidate().map_or(0, |t| t.pools.iter().flat_map(|p| &p.instances).map(|i| i.in_flight).sum());
    host.until("in flight on v2", |r| on_v2(r) == 2);
    let asked = Instant::now();
    host.ok(&["revert", "web"]);
    host.until("cut", |r| r.proof.as_ref().is_some_and(|p| p.in_flight == 0));
    let took = asked.elapsed();
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(20), "{took:?}");
    let answers: Vec<_> = asking.into_iter().map(|a| a.join().unwrap()).collect();
    assert_eq!(answers.iter().filter(|(status, _)| status == "200").count(), 2, "{answers:?}");
    assert_eq!(answers.iter().filter(|(status, _)| status == "502").count(), 2, "{answers:?}");
    let said = until("told", || events(&host).into_iter().find(|e| e.contains("as configured")));
    assert!(said.starts_with("2 requests still on v2 cut 1s after the way back, as configured: GET /order/"), "{said}");
    host.until("torn down", |r| r.candidate().is_none_or(|t| t.pools.is_empty()));
}
