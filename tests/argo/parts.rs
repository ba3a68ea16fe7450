//! What belongs to the open rollout, from the API server to the screen.

use super::{
    program::{Home, press},
    rig::{NAMESPACE, cluster, still},
};
use crate::{replay::recording::Recording, support::pty::Pty};
use serde_json::{Value, json};
use std::time::Duration;

fn meta(kind: &str, name: &str, owner: Option<&str>) -> Value {
    let owners: Vec<Value> = owner.iter().map(|uid| json!({ "uid": uid, "controller": true })).collect();
    json!({ "name": name, "namespace": NAMESPACE, "uid": format!("{kind}-{name}"), "resourceVersion": "500",
            "creationTimestamp": "2026-11-18T11:00:00Z", "ownerReferences": owners })
}

/// A version's ReplicaSet with one pod.
fn version(hash: &str, revision: &str, image: &str) -> (Value, Value) {
    let labels = json!({ "app": "web", "rollouts-pod-template-hash": hash });
    let template = json!({ "spec": { "containers": [{ "name": "app", "image": image }] } });
    let mut set = meta("set", &format!("web-{hash}"), Some("rollout-web"));
    (set["labels"], set["annotations"]) = (labels.clone(), json!({ "rollout.argoproj.io/revision": revision }));
    let mut pod = meta("pod", &format!("web-{hash}-x"), Some(&format!("set-web-{hash}")));
    pod["labels"] = labels;
    let status = json!({ "replicas": 1, "readyReplicas": 1, "availableReplicas": 1 });
    (json!({ "metadata": set, "spec": { "replicas": 1, "template": template }, "status": status }), json!({ "metadata": pod }))
}

/// Blue/green, with its template in a Deployment, before the switch; somebody has switched the service by hand.
fn story() -> Recording {
    let mut recording = cluster(0, 0);
    let mut rollout = meta("rollout", "web", None);
    rollout["generation"] = json!(2);
    rollout["annotations"] = json!({ "rollout.argoproj.io/revision": "2" });
    let spec = json!({ "replicas": 1, "workloadRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web-src" },
        "selector": { "matchLabels": { "app": "web" } },
        "strategy": { "blueGreen": { "activeService": "web-live", "previewService": "web-next", "autoPromotionEnabled": false } } });
    let status = json!({ "observedGeneration": "2", "phase": "Paused", "message": "BlueGreenPause", "currentPodHash": "bbb222", "stableRS": "aaa111",
        "blueGreen": { "activeSelector": "aaa111", "previewSelector": "bbb222" }, "controllerPause": true,
        "pauseConditions": [{ "reason": "BlueGreenPause", "startTime": "2026-11-18T11:06:00Z" }] });
    let list = |items: Vec<Value>| json!({ "metadata": { "resourceVersion": "1000" }, "items": items });
    recording.list("rollouts", &list(vec![json!({ "metadata": rollout, "spec": spec, "status": status })]));
    let (old, new) = (version("aaa111", "1", "web:v1"), version("bbb222", "2", "web:v2"));
    recording.list("replicasets", &list(vec![old.0, new.0]));
    recording.list("pods", &list(vec![old.1, new.1]));
    let template = json!({ "spec": { "containers": [{ "name": "app", "image": "web:v2" }] } });
    recording
        .list("deployments", &list(vec![json!({ "metadata": meta("deployment", "web-src", None), "spec": { "template": template } })]));
    let service = |name: &str, hash: &str| {
        let selector = json!({ "app": "web", "rollouts-pod-template-hash": hash });
        json!({ "metadata": meta("service", name, None), "spec": { "selector": selector } })
    };
    recording.list("services", &list(vec![service("web-live", "bbb222"), service("web-next", "bbb222"), service("another", "ccc333")]));
    let event = |name: &str, reason: &str, about: &str, what: &str| {
        json!({ "metadata": meta("event", name, None), "type": "Warning", "reason": reason, "message": what, "source": { "component": "kubelet" },
                "involvedObject": { "kind": "Pod", "name": about, "uid": format!("pod-{about}") }, "lastTimestamp": "2026-11-18T11:06:10Z" })
    };
    let events = vec![
        event("one", "BackOff", "web-bbb222-x", "Back-off restarting failed container"),
        event("two", "Pulled", "web-bbb222-x", "Successfully pulled image"),
        event("three", "BackOff", "somebody-else", "Back-off of another"),
    ];
    recording.list("events", &list(events));
    recording.settle();
    recording
}

/// Goes from panel to panel until one shows this.
fn find(pty: &mut Pty, text: &str) {
    for _ in 0..20 {
        pty.pump(Duration::from_millis(200));
        if pty.screen().contains(text) {
            return;
        }
        press(pty, "\t");
    }
    panic!("no panel shows {text}:\n{}", pty.screen());
}

#[test]
fn services_events_of_pods_and_where_the_template_is_are_shown() {
    let home = Home::new(story(), still());
    let rollout = home.json(&["get", "--context", "shop"])["rollouts"][0].clone();
    assert_eq!(rollout["template"], json!("Deployment/web-src"));
    assert_eq!(rollout["tracks"][1]["slot"], json!("active"), "{rollout:#}");
    let found: Vec<&str> = rollout["findings"].as_array().unwrap().iter().map(|f| f["what"].as_str().unwrap()).collect();
    assert!(found.contains(&"service web-live sends its traffic to bbb222, and the rollout says aaa111"), "{found:?}");
    let mut pty = home.console(&["--context", "shop"]);
    pty.shows("service web-live sends its traffic");
    pty.resize(120, 50);
    find(&mut pty, "from Deployment/web-src");
    find(&mut pty, "pod web-bbb222-x: Back-off restarting");
    assert!(!pty.screen().contains("Successfully pulled") && !pty.screen().contains("Back-off of another"), "{}", pty.screen());
    // Back to the rollout, and out.
    press(&mut pty, "\x1b");
    press(&mut pty, "q");
    assert_eq!(pty.ends().exit_code(), 0);
    // One list and one watch for each kind that is shown.
    let counts = home.server.counts();
    for kind in ["services", "events", "deployments", "pods"] {
        assert_eq!(counts.get(&(kind.to_owned(), "watch".to_owned())), Some(&1), "{kind}: {counts:?}");
    }
}
