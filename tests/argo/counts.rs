//! How much is asked, and what is shown first.

use super::rig::{NAMESPACE, Rig, cluster, part, rollout, still};
use crate::replay::{
    fault::{Rule, What},
    server::Options,
};
use serde_json::json;
use std::time::Duration;

const SHOWN: [&str; 6] = ["rollouts", "replicasets", "pods", "analysisruns", "experiments", "events"];

#[tokio::test]
async fn forty_rollouts_cost_one_list_and_one_watch_per_kind_shown() {
    let rig = Rig::new(cluster(40, 5), still());
    let mut told = rig.watch();
    told.until("the rollouts", |t| t.whole && t.rollouts.len() == 40).await;
    told.settle(Duration::from_millis(200)).await;
    // Nothing is open: nothing else is asked for, and nothing comes before the list.
    assert_eq!(rig.server.log().len(), 2, "{:?}", rig.server.counts());
    rig.open("web-07");
    told.until("its parts", |t| t.line("web-07").contains("\"pods\": 5") && t.line("web-07").contains("\"events\": 0")).await;
    assert!(told.line("web-07").contains("\"replicasets\": 1"), "{}", told.line("web-07"));
    told.settle(Duration::from_millis(500)).await;
    let counts = rig.server.counts();
    for kind in SHOWN {
        assert_eq!((rig.count("list", kind), rig.count("watch", kind)), (1, 1), "{kind}: {counts:?}");
    }
    assert_eq!(rig.server.log().len(), 12, "nothing but lists and watches: {counts:?}");
    // Only what belongs to it was asked for.
    let pods = rig.server.log().into_iter().find(|r| r.kind == "pods").unwrap();
    assert!(pods.path.contains(&format!("/namespaces/{NAMESPACE}/")) && pods.query.contains("app%3Dweb-07"), "{pods:?}");
    assert_eq!(told.line("web-08"), "step 0 {}");
    assert_eq!(told.lists, 1);
}

#[tokio::test]
async fn services_are_looked_at_for_the_open_rollout_that_names_them() {
    let mut recording = cluster(2, 1);
    let mut switched = rollout("web-09", 0, 100);
    switched["spec"]["strategy"] = json!({ "blueGreen": { "activeService": "web-09", "previewService": "web-09-preview" } });
    recording.add("rollouts", 0.0, "ADDED", switched);
    recording.list("services", &json!({ "metadata": { "resourceVersion": "1000" }, "items": [part("web-09", "web-09", 100)] }));
    recording.settle();
    let rig = Rig::new(recording, Options { at: 1.0, ..still() });
    let mut told = rig.watch();
    rig.open("web-00");
    told.until("its parts", |t| t.line("web-00").contains("\"pods\": 1") && t.line("web-00").contains("\"events\": 0")).await;
    assert_eq!(rig.count("list", "services"), 0);
    rig.open("web-09");
    told.until("its parts", |t| t.line("web-09").contains("\"pods\": 0") && rig.count("watch", "services") == 1).await;
    assert_eq!((rig.count("list", "services"), told.gaps("web-09").len()), (1, 0));
    // Nothing is a streamed list, whatever the server could do.
    assert!(rig.server.log().iter().all(|r| !r.query.contains("sendInitialEvents")));
}

#[tokio::test]
async fn another_one_that_is_opened_replaces_the_parts_of_the_first() {
    let rig = Rig::new(cluster(3, 2), still());
    let mut told = rig.watch();
    rig.open("web-00");
    told.until("its parts", |t| t.line("web-00").contains("\"pods\": 2")).await;
    rig.open("web-01");
    told.until("the other's parts", |t| t.line("web-01").contains("\"pods\": 2") && t.line("web-00") == "step 0 {}").await;
    rig.server.push("pods", "ADDED", part("web-00", "web-00-new", 0));
    rig.server.push("pods", "ADDED", part("web-01", "web-01-new", 0));
    told.until("one more", |t| t.line("web-01").contains("\"pods\": 3")).await;
    assert_eq!(told.line("web-00"), "step 0 {}");
    // Opened again it is looked at once more, and nothing of the kind that was never open.
    let runtime = &rig.runtime;
    cutover::runtime::Runtime::focus(runtime, None);
    told.until("nothing is open", |t| t.line("web-01") == "step 0 {}").await;
}

#[tokio::test]
async fn the_rollouts_are_told_while_everything_else_hangs() {
    let rig = Rig::new(cluster(2, 2), still());
    for kind in &SHOWN[1..] {
        rig.server.shared.faults.add(Rule::new(What::Stall).only("list", kind));
    }
    let mut told = rig.watch();
    rig.open("web-00");
    told.until("the rollouts", |t| t.whole && t.rollouts.len() == 2).await;
    rig.server.push("rollouts", "MODIFIED", rollout("web-00", 3, 0));
    told.until("a step", |t| t.line("web-00").starts_with("step 3")).await;
    rig.server.push("rollouts", "DELETED", rollout("web-01", 0, 0));
    told.until("the end of the other", |t| t.deleted == ["web-01"]).await;
}

#[tokio::test]
async fn a_burst_of_writes_is_told_once() {
    let rig = Rig::new(cluster(1, 1), still());
    let mut told = rig.watch();
    told.until("the rollouts", |t| t.whole).await;
    told.settle(Duration::from_millis(200)).await;
    let before = told.applied;
    for step in 1..=5 {
        rig.server.push("rollouts", "MODIFIED", rollout("web-00", step, 0));
    }
    told.until("the last", |t| t.line("web-00").starts_with("step 5")).await;
    told.settle(Duration::from_millis(200)).await;
    assert!(told.applied - before <= 2, "{} times", told.applied - before);
    // A write that changes nothing that is shown is not told at all.
    let before = told.applied;
    rig.server.push("rollouts", "MODIFIED", rollout("web-00", 5, 0));
    told.settle(Duration::from_millis(300)).await;
    assert_eq!(told.applied, before);
}

#[tokio::test]
async fn a_list_of_many_pages_is_swapped_in_whole() {
    let rig = Rig::new(cluster(1_201, 0), still());
    let mut told = rig.watch();
    told.until("all", |t| t.whole).await;
    assert_eq!((told.rollouts.len(), rig.count("list", "rollouts")), (1_201, 3));
}

#[tokio::test]
async fn everything_at_once_costs_one_list_per_kind() {
    let rig = Rig::new(cluster(40, 5), still());
    let rollouts = rig.runtime.rollouts().await.unwrap();
    assert_eq!(rollouts.len(), 40);
    let line = rollouts[0].reason.as_ref().unwrap().to_string();
    assert!(line.contains("\"pods\": 200") && line.contains("\"replicasets\": 40"), "{line}");
    let counts = rig.server.counts();
    assert_eq!(counts.len(), 6, "{counts:?}");
    assert!(counts.iter().all(|((_, verb), n)| verb == "list" && *n == 1), "{counts:?}");
    // An empty place is asked nothing more.
    let rig = Rig::new(cluster(0, 0), still());
    assert!(rig.runtime.rollouts().await.unwrap().is_empty());
    assert_eq!(rig.server.log().len(), 1);
}

#[tokio::test]
async fn the_servers_clock_is_used() {
    let rig = Rig::new(cluster(1, 0), Options { at: 100.0, ..still() });
    let rollouts = rig.runtime.rollouts().await.unwrap();
    let away = rollouts[0].seen.server_time.timestamp_millis() - 1_795_000_100_000;
    assert!((-1_000..1_500).contains(&away), "{away} ms");
}
