//! A host's stable version beside itself: its instances are told apart in what is scraped of it.

use super::{
    rig::{Scene, free_port},
    verdicts::{SOUND, asking},
};
use crate::support::{
    host::PATIENCE,
    prometheus::{Server, scraping},
};
use serde_json::Value;
use std::{
    thread,
    time::{Duration, Instant},
};

#[test]
fn a_hosts_instances_are_put_beside_each_other() {
    let gates = "instances = 2\n\
         [[service.gate]]\nname = \"errors\"\nsignal = \"errors\"\ninterval = \"1s\"\non_fail = \"revert\"\n\
         [[service.gate]]\nname = \"timeouts\"\nsignal = \"timeouts\"\ninterval = \"1s\"\n";
    let port = free_port();
    let Some(server) = Server::prometheus(&scraping(port), "") else { return };
    let scene = Scene::set(port, &asking(&server.url), gates, &[("web", SOUND, SOUND)]);
    let stable = scene.rollout("web").stable().unwrap().version.id.text().to_string();
    let aa = ["judge", "aa", "web", "--stable", &stable, "--plan", "50:4s", "--runs", "10"];
    let began = Instant::now();
    let report = loop {
        let said = scene.host.verb(&[&aa[..], &["-o", "json"]].concat());
        let why = String::from_utf8_lossy(&said.stderr);
        if said.status.success() {
            break serde_json::from_slice::<Value>(&said.stdout).unwrap()["aa"].clone();
        }
        // The past grows by the second.
        let is_young = ["no samples of stable", "not enough for a plan"].iter().any(|young| why.contains(young));
        assert!(is_young && began.elapsed() < PATIENCE, "{why}");
        thread::sleep(Duration::from_millis(500));
    };
    assert_eq!(report["instances"], 2, "{report}");
    assert!(report["runs"].as_u64().is_some_and(|runs| runs > 0), "{report}");
    assert_eq!(report["shares"][0]["off"], false, "both get the same: {report}");
    for gate in 0..2 {
        assert!(report["gates"][gate]["samples"].as_f64().is_some_and(|n| n > 20.0), "{report}");
    }
    let table = scene.host.ok(&aa);
    assert!(table.contains("a healthy release would have been reverted: 0/"), "{table}");
    // Two instances, and what none of them answered: five classes of each, by one role or by both.
    let told = String::from_utf8(scene.host.verb(&["doctor"]).stdout).unwrap();
    assert!([15, 20, 25, 30].into_iter().any(|n| told.contains(&format!("web: requests: {n} series"))), "{told}");
    assert!(!told.contains("no label `slot`"), "{told}");
}
