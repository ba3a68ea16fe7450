//! The same verdicts from a backend as from the host's own counters, and none without fresh samples.

use super::rig::{Front, Relay, Scene, free_port, is_blind, word};
use crate::support::prometheus::{Server, scraping};
use cutover::{
    metrics::TOGETHER,
    model::{gate::GateState, interval::SensorState, rollout::Phase},
};
use std::{sync::atomic::Ordering::SeqCst, time::Duration};

const GATES: &str = "[[service.gate]]\nname = \"errors\"\nsignal = \"errors\"\ninterval = \"1s\"\nlimit = 20.0\n";
const SICK: &str = "errors = [[0.0, 60.0]]\nseed = 7";
pub const SOUND: &str = "seed = 8";

pub fn asking(url: &str) -> String {
    format!("[metrics]\nkind = \"prometheus\"\nurl = \"{url}\"\nevery = \"1s\"\n")
}

fn is(gate: &GateState, expected: &str) -> bool {
    word(gate).as_deref() == Some(expected)
}

/// What a person is told it rests on.
fn rests_on_queries(gate: &GateState) {
    let evidence = gate.evidence.as_ref().unwrap();
    assert!(evidence.queries.iter().any(|q| q.text.as_str().contains("cutover_requests_total")), "{evidence:#?}");
    assert!(evidence.run_candidate.samples() > 20 && evidence.run_stable.samples() > 20, "{evidence:#?}");
}

#[test]
fn prometheus_says_what_the_hosts_own_counters_say_and_nothing_once_it_is_silent() {
    let services = [("errors", SOUND, SICK), ("healthy", SOUND, SOUND), ("sick", SICK, SICK)];
    let port = free_port();
    let relay = Relay::to(port);
    let Some(mut server) = Server::prometheus(&scraping(relay.port), "") else { return };
    let front = Front::of(&server);
    let (measured, counted) = std::thread::scope(|scope| {
        let own = scope.spawn(|| Scene::set(free_port(), "", GATES, &services));
        (Scene::set(port, &asking(&front.fake.url), GATES, &services), own.join().unwrap())
    });
    // What may be said on the way: that one of two sick versions is as good as the other is known before it is
    // that both are over the limit, and of the candidate that may be known an interval sooner. What is sound never
    // fails, and what fails alone never passes.
    let stories = [("errors", "FAIL Candidate", &[][..]), ("healthy", "pass", &[]), ("sick", "FAIL Both", &["pass", "FAIL Candidate"])];
    for (service, expected, before) in stories {
        for (who, scene) in [("the host", &counted), ("the backend", &measured)] {
            scene.until(service, expected, |g| is(g, expected));
            let said = scene.decided(service, expected);
            let fits = |word: &String| word == expected || before.contains(&word.as_str());
            assert!(said.iter().all(fits), "{service} by {who}: {said:?}");
        }
        rests_on_queries(&measured.until(service, expected, |g| is(g, expected)).0);
    }
    // It went on while the others were looked at.
    assert_eq!(counted.decided("healthy", "pass"), ["pass"]);
    drop(counted);
    let met = measured.rollout("healthy").measured.and_then(|measured| measured.backend).unwrap();
    assert!(met.answers.is_some() && met.trouble.is_none(), "{met:#?}");
    // It says 200, and what it said before.
    front.replay(true);
    let old = measured.until_blind("healthy");
    assert!(old.verdict.reason().as_str().contains("requests of"), "{old:#?}");
    front.replay(false);
    measured.until("healthy", "seeing again", |g| !is_blind(g));
    // The target is gone.
    relay.cut(true);
    measured.until_blind("healthy");
    relay.cut(false);
    measured.until("healthy", "seeing again", |g| !is_blind(g));
    // Nothing that it was told on the way made it fail.
    assert_eq!(measured.decided("healthy", "pass"), ["pass"]);
    // All of it is gone; the way back needs nothing of it.
    server.stop();
    measured.until_blind("healthy");
    let rollout = measured.rollout("healthy");
    assert!(rollout.findings.iter().any(|f| f.kind.as_str() == "metrics"), "{:#?}", rollout.findings);
    let met = rollout.measured.and_then(|measured| measured.backend).unwrap();
    assert!(met.place.as_str() == front.fake.url && met.answers.is_none() && met.trouble.is_some(), "{met:#?}");
    measured.host.ok(&["revert", "healthy"]);
    measured.host.ok(&["wait", "healthy", "--for", "reverted", "--timeout", "30s"]);
    assert_eq!(measured.rollout("healthy").phase, Phase::Reverted);
}

#[test]
fn versions_that_the_same_series_count_are_told_apart_by_nobody() {
    let port = free_port();
    let Some(server) = Server::prometheus(&scraping(port), "") else { return };
    // The series of the host change their role, and are the same series all the same.
    let query = "[metrics.query]\nrequests = 'cutover_requests_total{service=\"{{service}}\",version_id=~\"{{version}}|.+\"}'\n";
    let scene = Scene::set(port, &format!("{}{query}", asking(&server.url)), GATES, &[("errors", SOUND, SICK)]);
    let (gate, _) = scene.until("errors", "blind for it", |g| is_blind(g) && g.verdict.reason().as_str().contains(TOGETHER));
    let evidence = gate.evidence.unwrap();
    assert_eq!(evidence.run_candidate.samples(), 0, "{evidence:#?}");
    let told = String::from_utf8(scene.host.verb(&["doctor"]).stdout).unwrap();
    let says = |line: &str| line.starts_with("BAD ") && line.contains(&format!("errors: requests: canary: {TOGETHER}, asked "));
    assert!(told.lines().any(says), "{told}");
}

#[test]
fn victoria_metrics_says_the_same_and_a_restart_of_the_host_forgets_nothing() {
    let port = free_port();
    let Some(server) = Server::victoria(&scraping(port)) else { return };
    // As a large service is counted: the backend adds up, and says how old that is.
    let buckets = "cutover_request_duration_seconds_bucket{service=\"{{service}}\",version_id=\"{{version}}\"}";
    let added_up = format!("[metrics.query]\nlatency = 'sum by (le) (increase({buckets}[{{{{window}}}}]))'\n");
    let gates = format!("{GATES}[[service.gate]]\nname = \"slow\"\nsignal = \"slow\"\ninterval = \"5s\"\nwarmup = \"2m\"\n");
    let mut scene = Scene::set(port, &(asking(&server.url) + &added_up), &gates, &[("errors", SOUND, SICK)]);
    let (gate, _) = scene.until("errors", "failed", |g| is(g, "FAIL Candidate"));
    // The instances of the candidate are known to be new, though its series name none.
    let (slow, _) = scene.until("errors", "seen while it warms up", |g| {
        let evidence = g.evidence.as_ref().filter(|_| g.id.as_str() == "slow");
        evidence.is_some_and(|e| e.warming.is_some() && e.sensors.iter().all(|s| s.state == SensorState::Fresh))
    });
    let evidence = slow.evidence.as_ref().unwrap();
    assert_eq!(evidence.run_candidate.samples(), 0, "{evidence:#?}");
    assert!(evidence.sensors.iter().filter_map(|s| s.age).all(|age| age < Duration::from_secs(15)), "{evidence:#?}");
    rests_on_queries(&gate);
    let before = gate.evidence.clone().unwrap();
    let told = String::from_utf8(scene.host.verb(&["doctor"]).stdout).unwrap();
    let says = |line: &str| told.lines().any(|l| l.starts_with("ok ") && l.contains(" metrics ") && l.contains(line));
    for line in ["answers, for the host", "errors: requests: scraped every 1 s", "label `version_id` has 2 values"] {
        assert!(says(line), "no {line}: {told}");
    }
    // A version's series are five of its instance and five of none, and more where the server still knows those of
    // the role it had before.
    assert!([10, 15, 20].into_iter().any(|n| says(&format!("errors: requests: {n} series"))), "{told}");
    // What was judged is on disk some seconds later.
    scene
        .until("errors", "older", |g| is(g, "FAIL Candidate") && g.evidence.as_ref().is_some_and(|e| e.intervals >= before.intervals + 12));
    scene.restart();
    let sum = |g: &GateState| g.evidence.as_ref().map_or(0, |e| e.run_candidate.samples() + e.run_stable.samples());
    let first = sum(&gate);
    let (again, _) = scene.until("errors", "going on", |g| is(g, "FAIL Candidate") && sum(g) > first + 1_000);
    assert_eq!(again.evidence.as_ref().unwrap().run_since, before.run_since);
    // Nothing was counted twice.
    assert!(sum(&again) <= scene.sent.load(SeqCst), "{again:#?}");
}
