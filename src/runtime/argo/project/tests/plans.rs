//! Plans that are written down nowhere, and what stands beside a plan.

use super::{Cluster, at, kinds, percent, set, written};
use crate::{
    model::{
        back::How,
        rollout::{Phase, Rollout},
        step::StepSpec,
        version::Artifact,
    },
    runtime::argo::kind::Kind,
};
use serde_json::{Value, json};

fn labels(rollout: &Rollout) -> Vec<&str> {
    rollout.steps.iter().map(|s| s.label.as_str()).collect()
}

/// A switch whose candidate is being started, with everything that can be asked for around it.
fn switch() -> Cluster {
    let mut cluster = Cluster::open();
    cluster.put(|r| {
        r["spec"]["strategy"] = json!({ "blueGreen": { "activeService": "web", "previewService": "web-preview", "previewReplicaCount": 2,
            "autoPromotionSeconds": 90, "prePromotionAnalysis": { "templates": [{ "templateName": "smoke" }] },
            "postPromotionAnalysis": { "templates": [{ "templateName": "web" }, { "templateName": "money", "clusterScope": true }] } } });
        r["status"]["currentStepIndex"] = Value::Null;
        r["status"]["blueGreen"] = json!({ "activeSelector": "aaa", "previewSelector": "bbb" });
    });
    cluster
}

#[test]
fn a_switch_has_a_plan_and_a_place_in_it() {
    let mut cluster = switch();
    let seen = cluster.look(0);
    assert_eq!(labels(&seen), ["scale 2", "analysis smoke", "pause 1m 30s", "scale 5", "switch", "analysis web, money"]);
    assert_eq!(seen.steps[0].spec, StepSpec::Scale(2));
    let mut place = |change: fn(&mut Value)| {
        cluster.put(change);
        let at = cluster.look(0).at.unwrap();
        (at.index, at.ends)
    };
    assert_eq!(place(|_| {}), (0, None));
    assert_eq!(place(|r| r["status"]["blueGreen"]["prePromotionAnalysisRunStatus"] = json!({ "name": "a", "status": "" })).0, 1);
    assert_eq!(place(|r| r["status"]["blueGreen"]["prePromotionAnalysisRunStatus"]["status"] = json!("Inconclusive")).0, 1);
    assert_eq!(place(|r| r["status"]["blueGreen"]["prePromotionAnalysisRunStatus"]["status"] = json!("Successful")).0, 2);
    let pause = |r: &mut Value| {
        r["status"]["controllerPause"] = json!(true);
        r["status"]["pauseConditions"] = json!([{ "reason": "BlueGreenPause", "startTime": written(-30) }]);
    };
    assert_eq!(place(pause), (2, Some(at(60))));
    // Told to go on, and not begun to.
    assert_eq!(place(|r| r["status"]["pauseConditions"] = json!([])), (2, None));
    let check = |r: &mut Value| {
        r["status"]["controllerPause"] = json!(false);
        r["status"]["blueGreen"]["scaleUpPreviewCheckPoint"] = json!(true);
    };
    assert_eq!(place(check).0, 3);
    assert_eq!(place(|r| r["status"]["blueGreen"]["activeSelector"] = json!("bbb")).0, 5);
    assert_eq!(place(|r| r["status"]["stableRS"] = json!("bbb")).0, 6);
    cluster.put(|r| (r["status"]["stableRS"], r["status"]["abort"]) = (json!("aaa"), json!(true)));
    assert_eq!(cluster.look(0).at, None);
}

#[test]
fn a_switch_that_waits_for_nobody_is_short() {
    let mut cluster = switch();
    cluster.put(|r| r["spec"]["strategy"]["blueGreen"] = json!({ "activeService": "web" }));
    assert_eq!(labels(&cluster.look(0)), ["scale 5", "switch"]);
    // Where it does not go on by itself, seconds mean nothing.
    cluster.put(|r| {
        r["spec"]["strategy"]["blueGreen"] = json!({ "autoPromotionEnabled": false, "autoPromotionSeconds": 5, "previewReplicaCount": 5 })
    });
    assert_eq!(labels(&cluster.look(0)), ["scale 5", "pause", "switch"]);
}

#[test]
fn what_is_measured_beside_the_steps_is_said_before_it_begins() {
    let mut cluster = Cluster::open();
    let said = |cluster: &Cluster| {
        cluster.look(0).analyses.iter().map(|a| format!("{} {} {}: {:?}", a.place, a.name, a.phase, a.message)).collect::<Vec<_>>()
    };
    cluster
        .put(|r| r["spec"]["strategy"]["canary"]["analysis"] = json!({ "startingStep": 2, "templates": [{ "templateName": "errors" }] }));
    assert_eq!(said(&cluster), ["background errors Pending: Some(\"begins with step 3 of 3\")"]);
    cluster.put(|r| r["status"]["currentStepIndex"] = json!(2));
    assert_eq!(said(&cluster), Vec::<String>::new());
    cluster.put(|r| (r["status"]["currentStepIndex"], r["status"]["abort"]) = (json!(0), json!(true)));
    assert_eq!(said(&cluster), Vec::<String>::new());
}

#[test]
fn what_a_plugin_says_of_its_step_is_told() {
    let mut cluster = Cluster::open();
    cluster.put(|r| {
        r["spec"]["strategy"]["canary"]["steps"][0] = json!({ "plugin": { "name": "org/approval", "config": { "a": [1] } } });
        r["status"]["canary"]["stepPluginStatuses"] = json!([
            { "index": 0, "name": "org/approval", "operation": "Run", "phase": "Running", "message": "asked ana", "executions": 3, "status": { "free": [] } }]);
    });
    let seen = cluster.look(0);
    assert_eq!(seen.next.what.as_str(), "pause when its plugin is done: Running, called 3 times: asked ana");
    assert_eq!(kinds(&seen), Vec::<&str>::new());
    cluster.put(|r| r["status"]["canary"]["stepPluginStatuses"][0]["phase"] = json!("Error"));
    let found = cluster.look(0).findings.remove(0);
    assert_eq!(found.what.as_str(), "step 1: plugin Error, called 3 times: asked ana");
    // A phase that nobody knows is said as it is.
    cluster.put(|r| r["status"]["canary"]["stepPluginStatuses"][0]["phase"] = json!("Pondering"));
    assert!(cluster.look(0).next.what.as_str().contains("Pondering"));
}

#[test]
fn an_update_that_does_not_move_is_counted_down() {
    let mut cluster = Cluster::open();
    cluster.put(|r| {
        r["spec"]["progressDeadlineSeconds"] = json!(60);
        r["status"]["conditions"] = json!([{ "type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated",
            "lastUpdateTime": written(-40), "lastTransitionTime": written(-300) }]);
    });
    let (since, end) = (at(-40).format("%H:%M:%S"), at(20).format("%H:%M:%S"));
    let said = |cluster: &Cluster, t| {
        cluster.look(t).findings.iter().filter(|f| f.kind.as_str() == "deadline").map(|f| f.what.to_string()).collect::<String>()
    };
    assert_eq!(said(&cluster, 0), format!("no progress since {since}Z: times out at {end}Z"));
    assert_eq!(said(&cluster, -15), "", "it may still move");
    cluster.put(|r| r["spec"]["progressDeadlineAbort"] = json!(true));
    assert!(said(&cluster, 0).ends_with(", and is given up then"));
    // Ten minutes, where nobody says.
    cluster.put(|r| r["spec"]["progressDeadlineSeconds"] = Value::Null);
    assert_eq!(said(&cluster, 0), "");
    assert!(!said(&cluster, 300).is_empty());
    // The clock stands still while it waits for something else than pods.
    cluster.put(|r| r["status"]["currentStepIndex"] = json!(1));
    assert_eq!(said(&cluster, 300), "");
    cluster.put(|r| (r["status"]["currentStepIndex"], r["spec"]["paused"]) = (json!(0), json!(true)));
    assert_eq!(said(&cluster, 300), "");
}

#[test]
fn a_weight_that_the_load_balancer_has_not_verified_is_not_arrived() {
    let mut cluster = Cluster::open();
    cluster.put(|r| {
        r["spec"]["strategy"]["canary"]["trafficRouting"] = json!({ "alb": { "ingress": "web" } });
        r["status"]["stableRS"] = json!("bbb");
        r["status"]["phase"] = json!("Healthy");
        r["status"]["canary"]["weights"] = json!({ "canary": { "weight": 0, "podTemplateHash": "bbb" },
            "stable": { "weight": 100, "podTemplateHash": "bbb" }, "verified": false });
    });
    let seen = cluster.look(0);
    assert_eq!(
        (seen.phase, seen.reason.unwrap().as_str()),
        (Phase::Progressing, "healthy, but the load balancer has not verified the weight")
    );
    cluster.put(|r| r["status"]["canary"]["weights"]["verified"] = json!(true));
    assert_eq!(cluster.look(0).phase, Phase::Completed);
    // The way back has not arrived before that, either.
    let mut whole = set("aaa", 1, 5, "shop:v1");
    whole["metadata"]["resourceVersion"] = json!("9");
    cluster.take(Kind::ReplicaSets, &whole);
    cluster.put(|r| {
        r["status"]["stableRS"] = json!("aaa");
        r["status"]["phase"] = json!("Degraded");
        r["status"]["message"] = json!("RolloutAborted: by hand");
        r["status"]["abort"] = json!(true);
        r["status"]["canary"]["weights"] = json!({ "canary": { "weight": 0, "podTemplateHash": "bbb" },
            "stable": { "weight": 100, "podTemplateHash": "aaa" }, "verified": false });
    });
    assert_eq!(cluster.look(0).phase, Phase::Reverting);
    cluster.put(|r| r["status"]["canary"]["weights"]["verified"] = json!(true));
    assert_eq!(cluster.look(0).phase, Phase::Reverted);
}

/// Each router that Argo knows writes its weights into the status alike; only what all of it is may differ.
#[test]
fn every_router_is_believed_by_its_weights_and_none_where_there_is_none() {
    let routers = json!({
        "istio": { "virtualService": { "name": "web", "routes": ["primary"] }, "destinationRule": { "name": "web" } },
        "nginx": { "stableIngresses": ["a", "b"] }, "alb": { "ingress": "web", "servicePort": 443 }, "smi": {},
        "ambassador": { "mappings": ["web"] }, "appMesh": { "virtualService": { "name": "web" } },
        "traefik": { "weightedTraefikServiceName": "web" }, "apisix": { "route": { "name": "web" } },
        "plugins": { "argoproj-labs/gatewayAPI": { "httpRoute": "web", "namespace": "shop" } }, "of-tomorrow": 7,
    });
    for (name, router) in routers.as_object().unwrap() {
        let mut cluster = Cluster::open();
        cluster.put(|r| {
            r["spec"]["strategy"]["canary"]["trafficRouting"] = json!({ name: router });
            r["status"]["canary"]["weights"] = json!({ "canary": { "weight": 15, "serviceName": "c", "podTemplateHash": "bbb" },
                "stable": { "weight": 85, "serviceName": "s", "podTemplateHash": "aaa" } });
        });
        let seen = cluster.look(0);
        let shares = [percent(&seen.tracks[0]), percent(&seen.tracks[1])];
        assert_eq!(shares, [[Some(80.0), Some(85.0), None], [Some(20.0), Some(15.0), None]], "{name}");
        // Before it has said anything.
        cluster.put(|r| r["status"]["canary"] = json!({}));
        assert_eq!(percent(&cluster.look(0).tracks[1]), [Some(20.0), None, None], "{name}");
    }
    // What an earlier spec left in the status is no router.
    let mut cluster = Cluster::open();
    cluster.put(|r| r["status"]["canary"]["weights"] = json!({ "canary": { "weight": 15, "podTemplateHash": "bbb" }, "verified": false }));
    let seen = cluster.look(0);
    assert_eq!((percent(&seen.tracks[1]), seen.holds), ([Some(20.0), None, Some(20.0)], Vec::new()));
}

/// Given up while somebody had paused it by hand, it stays where it is: the way back is not behind us.
#[test]
fn nobody_is_back_while_a_pause_by_hand_keeps_what_was_given_up() {
    let mut cluster = switch();
    cluster.put(|r| {
        r["spec"]["paused"] = json!(true);
        r["status"]["abort"] = json!(true);
        r["status"]["phase"] = json!("Degraded");
        r["status"]["message"] = json!("RolloutAborted: by hand");
        r["status"]["blueGreen"]["activeSelector"] = json!("bbb");
        r["status"]["availableReplicas"] = json!(5);
    });
    let seen = cluster.look(0);
    assert_eq!(seen.phase, Phase::Reverting);
    let said: Vec<&str> = seen.back.checks.iter().map(|c| c.name.as_str()).collect();
    assert_eq!((&seen.back.how, said, seen.back.is_ready()), (&How::Switch, vec!["instances", "pause"], false));
    cluster.put(|r| r["spec"]["paused"] = json!(false));
    assert!(matches!(cluster.look(0).back.how, How::Already { .. }));
}

#[test]
fn why_a_version_was_made_is_kept_with_it() {
    let mut cluster = Cluster::open();
    let cause = |cluster: &Cluster, at: usize| {
        cluster.look(0).tracks[at].about.iter().flat_map(|a| &a.annotations).map(|(key, why)| format!("{key} = {why}")).collect::<String>()
    };
    assert_eq!(cause(&cluster, 0), "");
    let mut older = set("aaa", 1, 4, "shop:v1");
    older["metadata"]["resourceVersion"] = json!("8");
    older["metadata"]["annotations"]["kubernetes.io/change-cause"] = json!("CHG-1: the \u{1b}[31mfirst");
    cluster.take(Kind::ReplicaSets, &older);
    assert_eq!(cause(&cluster, 0), "kubernetes.io/change-cause = CHG-1: the first");
    // What is wanted has it from the rollout, while its ReplicaSet is not known.
    let mut closed = Cluster::new();
    closed.put(|r| r["metadata"]["annotations"]["kubernetes.io/change-cause"] = json!("CHG-2"));
    assert_eq!([cause(&closed, 0), cause(&closed, 1)], ["", "kubernetes.io/change-cause = CHG-2"]);
}

#[test]
fn what_was_asked_for_by_a_tag_is_not_sealed_also_where_pods_say_what_they_run() {
    let mut cluster = Cluster::open();
    let digest = format!("shop@sha256:{}", "c".repeat(64));
    cluster.take(Kind::Pods, &super::pod("one", "bbb", &digest));
    let seen = cluster.look(0);
    let part = &seen.tracks[1].version.parts[0];
    assert_eq!(part.declared, Artifact::Tag("shop:v2".into()));
    assert_eq!(part.running.unwrap().hex(), "c".repeat(64));
}
