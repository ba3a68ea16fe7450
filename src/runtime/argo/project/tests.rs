//! What no recording has: other controllers, routers and clusters.

mod plans;
mod versions;

use super::{project, view::View};
use crate::{
    model::{
        back::{CheckState, How},
        instance::Fate,
        rollout::{Hold, Phase, Rollout},
        step::StepSpec,
        time::Time,
        version::Track,
    },
    runtime::argo::{
        kind::{Cover, Coverage, Kind},
        store::Store,
        watch::{Name, Objects},
    },
};
use serde_json::{Value, json};

fn at(seconds: i64) -> Time {
    chrono::DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn written(seconds: i64) -> String {
    at(seconds).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// A canary at 20 %, whose parts tests change.
struct Cluster {
    store: Store,
    coverage: Coverage,
    rollout: Value,
    version: u64,
}

impl Cluster {
    fn new() -> Self {
        let mut this = Self { store: Store::default(), coverage: Coverage::default(), rollout: rollout(), version: 10 };
        this.store.at(at(0));
        this.coverage.set(Kind::Rollouts, Cover::Whole);
        this.put(|_| {});
        this
    }

    /// With ReplicaSets of both versions and pods of the candidate.
    fn open() -> Self {
        let mut this = Self::new();
        for kind in [Kind::ReplicaSets, Kind::Pods, Kind::AnalysisRuns, Kind::Experiments, Kind::Deployments] {
            this.coverage.set(kind, Cover::Whole);
        }
        this.take(Kind::ReplicaSets, &set("aaa", 1, 4, "shop:v1"));
        this.take(Kind::ReplicaSets, &set("bbb", 2, 1, "shop:v2"));
        this
    }

    fn take(&mut self, kind: Kind, object: &Value) {
        self.store.take(kind, object.to_string().as_bytes());
    }

    /// The rollout, otherwise.
    fn put(&mut self, change: impl FnOnce(&mut Value)) -> &mut Self {
        change(&mut self.rollout);
        self.version += 1;
        self.rollout["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = self.rollout.clone();
        self.take(Kind::Rollouts, &object);
        self
    }

    fn look(&self, seconds: i64) -> Rollout {
        project(&self.store, &name(), at(seconds), &self.coverage).unwrap()
    }
}

fn name() -> Name {
    Name { namespace: "shop".into(), name: "web".into() }
}

fn rollout() -> Value {
    json!({
        "metadata": { "name": "web", "namespace": "shop", "uid": "ro", "generation": 3, "creationTimestamp": written(-500),
            "annotations": { "rollout.argoproj.io/revision": "2" } },
        "spec": { "replicas": 5, "template": { "spec": { "containers": [{ "name": "app", "image": "shop:v2" }] } },
            "strategy": { "canary": { "steps": [{ "setWeight": 20 }, { "pause": {} }, { "setWeight": 60 }] } } },
        "status": { "observedGeneration": "3", "phase": "Progressing", "message": "more replicas need to be updated", "currentPodHash": "bbb",
            "stableRS": "aaa", "currentStepIndex": 0, "replicas": 5, "updatedReplicas": 1, "readyReplicas": 4, "availableReplicas": 4 },
    })
}

fn set(hash: &str, revision: u64, replicas: u32, image: &str) -> Value {
    json!({
        "metadata": { "name": format!("web-{hash}"), "namespace": "shop", "uid": format!("rs-{hash}"), "resourceVersion": "5",
            "creationTimestamp": written(-400), "labels": { "rollouts-pod-template-hash": hash },
            "annotations": { "rollout.argoproj.io/revision": revision.to_string() }, "ownerReferences": [{ "uid": "ro", "controller": true }] },
        "spec": { "replicas": replicas, "template": { "spec": { "containers": [{ "name": "app", "image": image }] } } },
        "status": { "replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas },
    })
}

fn pod(name: &str, set: &str, image_id: &str) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "shop", "uid": format!("pod-{name}"), "resourceVersion": "6", "creationTimestamp": written(-300),
            "labels": { "rollouts-pod-template-hash": set }, "ownerReferences": [{ "uid": format!("rs-{set}"), "controller": true }] },
        "spec": { "nodeName": "node-1" },
        "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": written(-290) }],
            "containerStatuses": [{ "name": "app", "image": "shop:v2", "imageID": image_id, "ready": true, "state": { "running": {} } }] },
    })
}

fn percent(track: &Track) -> [Option<f64>; 3] {
    let share = &track.share;
    [share.declared, share.programmed, share.seen].map(|r| r.and_then(crate::model::ratio::Ratio::percent))
}

fn kinds(rollout: &Rollout) -> Vec<&str> {
    rollout.findings.iter().map(|f| f.kind.as_str()).collect()
}

#[test]
fn what_is_not_watched_is_not_known_and_never_empty() {
    let closed = Cluster::new().look(0);
    let [stable, candidate] = &closed.tracks[..] else { panic!("{:?}", closed.tracks) };
    assert!(stable.pools.is_empty() && candidate.pools.is_empty());
    // The rollout's own template says what the candidate is; nothing says what stable is.
    assert_eq!((stable.version.label.as_str(), candidate.version.label.as_str()), ("aaa", "v2"));
    assert_eq!([percent(stable), percent(candidate)], [[Some(80.0), None, None], [Some(20.0), None, None]]);
    assert_eq!(closed.run.unwrap().as_str(), "2");
    assert!(closed.versions.is_empty());

    let mut cluster = Cluster::open();
    let open = cluster.look(0);
    assert_eq!([percent(&open.tracks[0]), percent(&open.tracks[1])], [[Some(80.0), None, Some(80.0)], [Some(20.0), None, Some(20.0)]]);
    // A kind that may not be listed takes its part away, and nothing else.
    cluster.coverage.set(Kind::Pods, Cover::Denied("no".into()));
    let denied = cluster.look(0);
    assert_eq!((denied.tracks[1].pools[0].desired, denied.tracks[1].pools[0].instances.len()), (1, 0));
    cluster.coverage.set(Kind::ReplicaSets, Cover::Coming);
    assert!(cluster.look(0).tracks[1].pools.is_empty());

    cluster.put(|r| {
        r["status"]["stableRS"] = json!("bbb");
        r["status"]["phase"] = json!("Healthy");
    });
    let How::None { why } = cluster.look(0).back.how else { panic!() };
    assert!(why.as_str().contains("not known"), "{why}");
}

#[test]
fn routers_count_in_their_own_units_and_by_the_hash_of_the_pods() {
    let mut cluster = Cluster::open();
    cluster.put(|r| {
        r["spec"]["strategy"]["canary"]["trafficRouting"] = json!({ "maxTrafficWeight": 1000, "nginx": {} });
        r["spec"]["strategy"]["canary"]["steps"][0] = json!({ "setWeight": 5 });
        // Whatever the destinations are called: the hash says whose they are.
        r["status"]["canary"]["weights"] = json!({ "canary": { "weight": 996, "podTemplateHash": "aaa" },
            "stable": { "weight": 4, "podTemplateHash": "bbb" }, "verified": false });
    });
    let seen = cluster.look(0);
    assert_eq!(percent(&seen.tracks[0]), [Some(99.5), Some(99.6), None]);
    assert_eq!(percent(&seen.tracks[1]), [Some(0.5), Some(0.4), None]);
    assert_eq!(seen.steps[0].label.as_str(), "0.5 %");
    assert!(matches!(&seen.holds[..], [Hold::Backend { reason, .. }] if reason.as_str().contains("not verified")), "{:?}", seen.holds);

    // Healthy is not enough: somebody else still has traffic, by whatever name.
    cluster.put(|r| {
        r["status"]["stableRS"] = json!("bbb");
        r["status"]["phase"] = json!("Healthy");
    });
    let seen = cluster.look(0);
    assert_eq!((seen.phase, kinds(&cluster.look(0))), (Phase::Progressing, vec!["router"]));
    cluster.put(|r| {
        r["status"]["canary"]["weights"]["canary"]["podTemplateHash"] = json!("bbb");
        r["status"]["canary"]["weights"]["verified"] = Value::Null;
    });
    assert_eq!(cluster.look(0).phase, Phase::Completed);
}

#[test]
fn steps_are_said_in_the_words_of_the_field() {
    let mut cluster = Cluster::new();
    let steps = json!([
        { "setWeight": 0 }, { "setWeight": 120 }, { "pause": {} }, { "pause": { "duration": 90 } }, { "pause": { "duration": "1.5h" } },
        { "pause": { "duration": "soon" } }, { "setCanaryScale": { "weight": 25 } }, { "setCanaryScale": { "matchTrafficWeight": true } },
        { "setHeaderRoute": { "name": "beta", "match": [{ "headerName": "X-Beta", "headerValue": { "prefix": "y" } }] } },
        { "setHeaderRoute": { "name": "beta" } }, { "setMirrorRoute": { "name": "m", "percentage": 35, "match": [{ "path": {} }] } },
        { "setMirrorRoute": { "name": "m" } }, { "plugin": { "name": "argoproj-labs/x", "config": { "deep": [1] } } },
        { "analysis": { "templates": [{ "templateName": "a" }, { "templateName": "b" }] } },
        { "experiment": { "duration": "5m", "templates": [{ "name": "baseline" }] } }, { "holdTheDoor": { "x": 1 } }, {}, null, 7,
    ]);
    cluster.put(|r| r["spec"]["strategy"]["canary"]["steps"] = steps);
    let seen = cluster.look(0);
    let labels: Vec<&str> = seen.steps.iter().map(|s| s.label.as_str()).collect();
    assert_eq!(
        labels,
        [
            "0 %",
            "setWeight 120 of 100",
            "pause",
            "pause 1m 30s",
            "pause 1h 30m",
            "pause: bad duration soon",
            "setCanaryScale 25 %",
            "setCanaryScale as traffic",
            "setHeaderRoute beta X-Beta=y*",
            "setHeaderRoute beta off",
            "setMirrorRoute m 35 %",
            "setMirrorRoute m off",
            "plugin argoproj-labs/x",
            "analysis a, b",
            "experiment baseline 5m",
            "holdTheDoor",
            "a step this cluster does not know",
            "a step this cluster does not know",
            "a step this cluster does not know",
        ]
    );
    assert!(matches!(seen.steps[15].spec, StepSpec::Native(_)));
    // More than there are, for a moment after some were taken away.
    cluster.put(|r| r["status"]["currentStepIndex"] = json!(77));
    assert_eq!(cluster.look(0).at.unwrap().index, 19);
}

#[test]
fn a_write_that_nobody_answers_is_told_after_three_seconds_with_who_and_what_heals_it() {
    let mut cluster = Cluster::new();
    cluster.store.at(at(100));
    cluster.put(|r| {
        r["status"]["controllerPause"] = json!(true);
        r["status"]["phase"] = json!("Paused");
        r["status"]["message"] = json!("CanaryPauseStep");
    });
    assert_eq!(kinds(&cluster.look(102)), Vec::<&str>::new());
    let seen = cluster.look(112);
    assert_eq!((seen.phase, seen.findings[0].since), (Phase::Progressing, at(100)));
    let said = seen.findings[0].what.as_str();
    assert!(said.starts_with("promote sent 12 s ago: not noticed by the controller; ") && said.contains("any other change"), "{said}");
    assert_eq!(seen.attention.unwrap().kind.as_str(), "stuck");

    // The object says who wrote last, and when; the controller's own writes do not count.
    cluster.store.at(at(113));
    cluster.put(|r| {
        r["metadata"]["managedFields"] = json!([
            { "manager": "rollouts-controller", "subresource": "status", "time": written(109), "fieldsV1": { "f:status": {} } },
            { "manager": "kubectl-argo-rollouts", "subresource": "status", "time": written(95), "fieldsV1": { "f:status": { "f:currentStepIndex": {} } } },
            { "manager": "ben", "subresource": "status", "time": written(12), "fieldsV1": { "f:status": { "f:abort": {} } } },
            { "manager": "ana", "time": written(111), "fieldsV1": { "f:spec": { "f:paused": {}, "f:template": { "f:spec": {} } } } },
        ]);
        r["spec"]["paused"] = json!(true);
    });
    let seen = cluster.look(115);
    assert!(
        seen.findings[0].what.as_str().starts_with("promote sent 20 s ago by kubectl-argo-rollouts: not noticed"),
        "{:?}",
        seen.findings
    );
    assert!(matches!(&seen.holds[..], [Hold::Manual { by, .. }] if by.as_str() == "ana"), "{:?}", seen.holds);
    assert_eq!(seen.started.unwrap().by.as_str(), "ana");

    // It was answered.
    cluster.put(|r| {
        r["status"]["controllerPause"] = json!(null);
        r["spec"]["paused"] = json!(false);
    });
    assert!(!kinds(&cluster.look(130)).contains(&"lost"));
}

/// Something else writes now what somebody else wrote an hour ago.
#[test]
fn what_was_written_long_before_is_not_taken_for_what_is_written_now() {
    let wrote = |who: &str, subresource: &str, seconds: i64, fields: Value| json!({ "manager": who, "subresource": subresource, "time": written(seconds), "fieldsV1": fields });
    let ana = wrote("ana", "", -3_600, json!({ "f:spec": { "f:template": {} } }));
    let mut cluster = Cluster::new();
    cluster.put(|r| r["metadata"]["managedFields"] = json!([ana]));
    cluster.store.at(at(60));
    // An autoscaler, whom a cluster before 1.22 does not name.
    cluster.put(|r| r["metadata"]["generation"] = json!(4));
    assert_eq!(kinds(&cluster.look(61)), Vec::<&str>::new());
    let said = cluster.look(65).findings.remove(0);
    assert!(said.what.as_str().starts_with("spec changed 5 s ago: not noticed"), "{}", said.what);
    // And whom a newer one names.
    let scaler = wrote("kube-controller-manager", "scale", 60, json!({ "f:spec": { "f:replicas": {} } }));
    cluster.put(|r| r["metadata"]["managedFields"] = json!([ana, scaler]));
    let said = cluster.look(65).findings.remove(0);
    assert!(said.what.as_str().starts_with("spec changed 5 s ago by kube-controller-manager: not noticed"), "{}", said.what);
    // Who looks for the first time believes the object.
    let mut late = Cluster { store: Store::default(), ..Cluster::new() };
    late.store.at(at(65));
    late.put(|r| {
        r["metadata"]["generation"] = json!(4);
        r["metadata"]["managedFields"] = json!([ana, scaler]);
    });
    assert!(late.look(65).findings[0].what.as_str().starts_with("spec changed 5 s ago by kube-controller-manager"));
}

#[test]
fn every_kind_of_write_can_be_overlooked() {
    let overlooked = |change: fn(&mut Value)| {
        let mut cluster = Cluster::new();
        cluster.put(change);
        cluster.look(10).findings.iter().filter(|f| f.kind.as_str() == "lost").map(|f| f.what.to_string()).collect::<Vec<_>>().join("|")
    };
    for (said, change) in [
        ("abort sent", (|r| r["status"]["abort"] = json!(true)) as fn(&mut Value)),
        ("full promotion sent", |r| {
            r["status"]["promoteFull"] = json!(true);
            r["status"]["phase"] = json!("Paused");
        }),
        ("retry sent", |r| {
            r["status"]["phase"] = json!("Degraded");
            r["status"]["conditions"] = json!([{ "type": "Progressing", "reason": "RolloutAborted", "status": "False" }]);
        }),
        ("spec changed", |r| r["metadata"]["generation"] = json!(4)),
        ("rollout made", |r| r["status"] = json!(null)),
    ] {
        assert!(overlooked(change).starts_with(said), "{said}: {}", overlooked(change));
    }
    // Words of a controller that had no generations are no number; an abort of what is promoted is taken back.
    assert_eq!(overlooked(|r| r["status"]["observedGeneration"] = json!("5cf8dd")), "");
    assert_eq!(
        overlooked(|r| {
            r["status"]["abort"] = json!(true);
            r["status"]["stableRS"] = json!("bbb");
        }),
        ""
    );
}

#[test]
fn a_workload_elsewhere_is_looked_at_itself() {
    let mut cluster = Cluster::open();
    cluster.put(|r| {
        r["spec"]["template"] = json!(null);
        r["spec"]["workloadRef"] = json!({ "kind": "Deployment", "name": "web-src" });
        r["status"]["workloadObservedGeneration"] = json!("7");
        r["metadata"]["annotations"]["rollout.argoproj.io/workload-generation"] = json!("7");
    });
    assert_eq!(kinds(&cluster.look(0)), ["workload"]);
    let deployment = |generation: i64, version: &str| {
        json!({ "metadata": { "name": "web-src", "namespace": "shop", "uid": "dep", "generation": generation, "resourceVersion": version },
            "spec": { "template": { "spec": { "containers": [{ "name": "app", "image": "shop:v2" }] } } } })
    };
    cluster.take(Kind::Deployments, &deployment(7, "3"));
    let seen = cluster.look(0);
    assert_eq!((kinds(&seen).len(), seen.reason.unwrap().as_str()), (0, "more replicas need to be updated"));
    cluster.take(Kind::Deployments, &deployment(8, "4"));
    let seen = cluster.look(5);
    assert!(seen.reason.unwrap().as_str().ends_with("for the reference workload"));
    assert_eq!(kinds(&cluster.look(5)), ["lost"]);
}

#[test]
fn a_template_may_be_in_any_of_three_kinds() {
    let spec = json!({ "containers": [{ "name": "app", "image": "shop:v9" }] });
    for (word, kind) in [("Deployment", Kind::Deployments), ("ReplicaSet", Kind::Templates), ("PodTemplate", Kind::PodTemplates)] {
        let mut cluster = Cluster::new();
        cluster.put(|r| {
            r["spec"]["template"] = json!(null);
            r["spec"]["workloadRef"] = json!({ "kind": word, "name": "web-src" });
        });
        let seen = cluster.look(0);
        assert_eq!(seen.template.as_ref().unwrap().as_str(), format!("{word}/web-src"));
        // While the kind is not seen, nothing is said of it.
        assert_eq!((kinds(&seen).len(), seen.tracks[1].version.label.as_str()), (0, "bbb"));
        cluster.coverage.set(kind, Cover::Whole);
        assert_eq!(cluster.look(0).findings[0].what.as_str(), format!("its template is in {word} web-src, which is not there"));
        let metadata = json!({ "name": "web-src", "namespace": "shop", "uid": "src", "resourceVersion": "3" });
        let object = match word {
            "PodTemplate" => json!({ "metadata": metadata, "template": { "spec": spec } }),
            _ => json!({ "metadata": metadata, "spec": { "template": { "spec": spec } } }),
        };
        cluster.take(kind, &object);
        let seen = cluster.look(0);
        assert_eq!((kinds(&seen).len(), seen.tracks[1].version.label.as_str()), (0, "v9"), "{word}");
        cluster.store.drop_object(kind, object.to_string().as_bytes());
        assert_eq!(kinds(&cluster.look(0)), ["workload"]);
    }
}

#[test]
fn services_say_who_really_has_the_traffic() {
    let mut cluster = Cluster::open();
    cluster.put(|r| {
        r["spec"]["strategy"] = json!({ "blueGreen": { "activeService": "web", "previewService": "web-preview" } });
        r["status"]["blueGreen"] = json!({ "activeSelector": "aaa", "previewSelector": "bbb" });
        (r["status"]["phase"], r["status"]["message"]) = (json!("Paused"), json!("BlueGreenPause"));
    });
    let shares = |r: &Rollout| -> Vec<String> {
        let one =
            |t: &Track| format!("{:?} {} {}", t.slot.as_ref().map(ToString::to_string), percent(t)[0].unwrap(), percent(t)[1].unwrap());
        r.tracks.iter().map(one).collect()
    };
    let told = ["Some(\"active\") 100 100", "Some(\"preview\") 0 0"];
    // Services that are not seen: what the controller says that it told them.
    assert_eq!((shares(&cluster.look(0)), kinds(&cluster.look(0)).len()), (told.map(str::to_owned).to_vec(), 0));
    cluster.coverage.set(Kind::Services, Cover::Whole);
    let said: Vec<String> = cluster.look(0).findings.iter().map(|f| f.what.to_string()).collect();
    assert_eq!(said, ["its service web is not there", "its service web-preview is not there"]);
    let service = |name: &str, hash: Value, version: u32| {
        json!({ "metadata": { "name": name, "namespace": "shop", "uid": format!("svc-{name}"), "resourceVersion": version.to_string() },
            "spec": { "selector": { "app": "web", "rollouts-pod-template-hash": hash } } })
    };
    cluster.take(Kind::Services, &service("web", json!("aaa"), 1));
    cluster.take(Kind::Services, &service("web-preview", json!("bbb"), 1));
    assert_eq!((shares(&cluster.look(0)), kinds(&cluster.look(0)).len()), (told.map(str::to_owned).to_vec(), 0));
    // Somebody has edited the service: that is where the requests go.
    cluster.take(Kind::Services, &service("web", json!("bbb"), 2));
    let seen = cluster.look(0);
    assert_eq!(shares(&seen), ["None 100 0", "Some(\"active\") 0 100"]);
    assert_eq!(seen.findings[0].what.as_str(), "service web sends its traffic to bbb, and the rollout says aaa");
    // While the controller is at it, it has told the service a moment before it says so.
    cluster.put(|r| r["status"]["phase"] = json!("Progressing"));
    assert_eq!(kinds(&cluster.look(0)), Vec::<&str>::new());
    // Healthy is not completed while the service sends traffic to another version.
    cluster.put(|r| {
        (r["status"]["phase"], r["status"]["message"]) = (json!("Healthy"), json!(""));
        (r["status"]["stableRS"], r["status"]["blueGreen"]["activeSelector"]) = (json!("bbb"), json!("bbb"));
        r["status"]["blueGreen"]["previewSelector"] = json!("bbb");
    });
    assert_eq!(cluster.look(0).phase, Phase::Completed);
    cluster.take(Kind::Services, &service("web", json!("aaa"), 3));
    let seen = cluster.look(0);
    assert_eq!((&seen.phase, kinds(&seen)), (&Phase::Progressing, vec!["service"]));
    assert_eq!(seen.reason.unwrap().as_str(), "healthy, but the active service still sends traffic to another version");
    cluster.take(Kind::Services, &service("web", json!(null), 4));
    assert!(cluster.look(0).findings[0].what.as_str().contains("sends its traffic to every version"));
}

#[test]
fn what_is_said_about_a_pod_waits_for_the_pod_and_for_what_the_pod_belongs_to() {
    let mut cluster = Cluster::new();
    let event = |uid: &str, kind: &str, about: &str, seconds: i64| {
        json!({ "metadata": { "name": uid, "namespace": "shop", "uid": uid }, "involvedObject": { "kind": kind, "name": about, "uid": format!("pod-{about}") },
            "type": "Warning", "reason": "FailedScheduling", "message": "0/3 nodes are available", "source": { "component": "default-scheduler" },
            "lastTimestamp": written(seconds) })
    };
    cluster.take(Kind::Events, &event("e1", "Pod", "one", 1));
    cluster.take(Kind::Events, &event("e2", "Node", "one", 2));
    assert_eq!(cluster.store.events(&name(), 0), []);
    // The pod is there, and nobody knows yet whose it is.
    cluster.take(Kind::Pods, &pod("one", "bbb", ""));
    assert_eq!(cluster.store.events(&name(), 0), []);
    let listed = set("bbb", 2, 1, "shop:v2").to_string();
    cluster.store.replace(Kind::ReplicaSets, Some("shop"), [listed.as_bytes()].into_iter());
    let told = cluster.store.events(&name(), 0);
    let said: Vec<(&str, &str)> = told.iter().map(|e| (e.by.as_str(), e.what.as_str())).collect();
    assert_eq!(said, [("default-scheduler", "pod one: 0/3 nodes are available")]);
    // Of thousands about others, those that came last are kept.
    for n in 0..3_000 {
        cluster.take(Kind::Events, &event(&format!("f{n}"), "Pod", &format!("other-{n}"), 3));
    }
    cluster.take(Kind::Events, &event("e3", "Pod", "two", 4));
    cluster.take(Kind::Pods, &pod("two", "bbb", ""));
    assert_eq!(cluster.store.events(&name(), told[0].seq).len(), 1);
    cluster.take(Kind::Pods, &pod("other-0", "bbb", ""));
    assert_eq!(cluster.store.events(&name(), told[0].seq).len(), 1);
    cluster.take(Kind::Pods, &pod("other-2999", "bbb", ""));
    assert_eq!(cluster.store.events(&name(), told[0].seq).len(), 2);
}

#[test]
fn pods_that_run_another_digest_and_pods_that_do_not_run_are_found_behind_a_calm_phase() {
    let digest = |c: &str| format!("docker-pullable://shop@sha256:{}", c.repeat(64));
    let mut cluster = Cluster::open();
    cluster.take(Kind::Pods, &pod("one", "aaa", &digest("a")));
    assert_eq!(cluster.look(0).tracks[0].version.parts[0].running.unwrap().hex(), "a".repeat(64));
    cluster.take(Kind::Pods, &pod("two", "aaa", &digest("b")));
    let seen = cluster.look(0);
    let part = &seen.tracks[0].version.parts[0];
    assert_eq!((part.running, part.differs, kinds(&seen)), (None, true, vec!["digests"]));

    let mut cluster = Cluster::open();
    let mut sick = pod("sick", "bbb", &digest("a"));
    sick["status"]["conditions"][0]["status"] = json!("False");
    sick["status"]["containerStatuses"][0] = json!({ "name": "app", "restartCount": 3, "state": { "waiting": { "reason": "CrashLoopBackOff" } },
        "lastState": { "terminated": { "reason": "OOMKilled", "exitCode": 137 } } });
    cluster.take(Kind::Pods, &sick);
    cluster.put(|r| {
        r["status"]["phase"] = json!("Paused");
        r["status"]["currentStepIndex"] = json!(1);
        r["status"]["controllerPause"] = json!(true);
        r["status"]["pauseConditions"] = json!([{ "reason": "CanaryPauseStep", "startTime": written(-60) }]);
    });
    let seen = cluster.look(0);
    assert_eq!(seen.phase, Phase::Held);
    assert_eq!(seen.findings[0].what.as_str(), "candidate: 1 of 1 pods: CrashLoopBackOff after OOMKilled, behind the phase Paused");
    let attention = seen.attention.unwrap();
    assert_eq!((attention.kind.as_str(), attention.since), ("waiting", at(-60)));
    let instance = &seen.tracks[1].pools[0].instances[0];
    assert_eq!((instance.state.word(), instance.restarts), ("back-off", 3));
}

#[test]
fn pods_belong_to_what_controls_them_whatever_their_labels_say() {
    let mut cluster = Cluster::open();
    let mut foreign = pod("foreign", "bbb", "");
    foreign["metadata"]["ownerReferences"][0]["uid"] = json!("rs-of-an-experiment");
    cluster.take(Kind::Pods, &foreign);
    let mut set = set("bbb", 9, 3, "shop:v2");
    set["metadata"]["uid"] = json!("rs-foreign");
    set["metadata"]["ownerReferences"][0]["uid"] = json!("another");
    cluster.take(Kind::ReplicaSets, &set);
    let seen = cluster.look(0);
    assert_eq!((seen.tracks.len(), seen.tracks[1].pools[0].instances.len(), seen.run.unwrap().as_str()), (2, 0, "2"));
}

#[test]
fn slots_owners_and_the_rest_of_what_others_wrote() {
    let mut cluster = Cluster::new();
    cluster.put(|r| {
        r["status"]["canary"]["stablePingPong"] = json!("pong");
        r["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] = json!("shop-eu:argoproj.io/Rollout:shop/web");
        r["metadata"]["deletionTimestamp"] = json!(written(-3));
        r["status"]["phase"] = json!("Frozen\u{1b}[2J");
        r["status"]["conditions"] =
            json!([{ "type": "ReplicaFailure", "status": "True", "message": "exceeded quota: pods", "lastTransitionTime": written(-9) }]);
    });
    let seen = cluster.look(0);
    let slots: Vec<&str> = seen.tracks.iter().map(|t| t.slot.as_ref().unwrap().as_str()).collect();
    assert_eq!((slots, seen.owner.as_ref().unwrap().as_str()), (vec!["pong", "ping"], "Argo CD application shop-eu"));
    assert_eq!((seen.phase.clone(), kinds(&seen)), (Phase::Unknown("Frozen".into()), vec!["deleting", "quota"]));
    assert!(matches!(&seen.holds[..], [Hold::Backend { reason, since }] if reason.as_str() == "exceeded quota: pods" && *since == at(-9)));

    let mut flux = Cluster::new();
    flux.put(|r| r["metadata"]["labels"] = json!({ "kustomize.toolkit.fluxcd.io/name": "apps", "app.kubernetes.io/instance": "web" }));
    assert_eq!(flux.look(0).owner.unwrap().as_str(), "Flux kustomization apps");
    let mut helm = Cluster::new();
    helm.put(|r| r["metadata"]["labels"] = json!({ "app.kubernetes.io/instance": "web" }));
    assert_eq!(helm.look(0).owner, None);
    // Who wrote the spec says it where no label does; who only looks at the status does not own it.
    for (manager, subresource, owner) in [
        ("argocd-controller", "", Some("Argo CD application web")),
        ("kustomize-controller", "", Some("Flux")),
        ("helm-controller", "", Some("Flux")),
        ("argocd-controller", "status", None),
        ("kubectl-edit", "", None),
    ] {
        let fields = json!({ "f:spec": { "f:template": {} } });
        let wrote = json!([{ "manager": manager, "subresource": subresource, "time": written(0), "fieldsV1": fields }]);
        helm.put(|r| r["metadata"]["managedFields"] = wrote);
        assert_eq!(helm.look(0).owner.as_ref().map(|o| o.as_str()), owner, "{manager}");
    }
}

#[test]
fn a_restart_that_is_planned_is_counted_down() {
    let mut cluster = Cluster::new();
    cluster.put(|r| {
        r["spec"]["restartAt"] = json!(written(300));
        r["status"]["message"] = json!("rollout is restarting");
        r["status"]["stableRS"] = json!("bbb");
    });
    let next = cluster.look(0).next;
    assert_eq!((next.what.as_str(), next.at, next.by.as_str()), ("restart of all pods", Some(at(300)), "plan"));
}

#[test]
fn a_controller_before_phases_is_understood_by_the_same_rules() {
    let old = |change: fn(&mut Value)| {
        let mut cluster = Cluster::new();
        cluster.put(|r| {
            r["status"]["phase"] = json!(null);
            r["status"]["message"] = json!(null);
            change(r);
        });
        let view = View::of(&cluster.store, &name(), at(0), &cluster.coverage).unwrap();
        format!("{} {}", view.controller.word.as_str(), view.controller.message)
    };
    assert_eq!(old(|_| {}), "Progressing more replicas need to be updated");
    assert_eq!(old(|r| r["spec"]["paused"] = json!(true)), "Paused manually paused");
    assert_eq!(
        old(|r| r["status"]["conditions"] = json!([{ "type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "late" }])),
        "Degraded ProgressDeadlineExceeded: late"
    );
    assert_eq!(
        old(|r| {
            for count in ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"] {
                r["status"][count] = json!(5);
            }
        }),
        "Progressing waiting for all steps to complete"
    );
    assert_eq!(
        old(|r| {
            for count in ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"] {
                r["status"][count] = json!(5);
            }
            r["status"]["stableRS"] = json!("bbb");
        }),
        "Healthy "
    );
}

#[test]
fn what_is_kept_of_a_version_that_was_given_up_says_so() {
    let mut cluster = Cluster::open();
    let abort = |r: &mut Value| {
        r["spec"]["strategy"]["canary"]["trafficRouting"] = json!({ "nginx": {} });
        r["spec"]["strategy"]["canary"]["abortScaleDownDelaySeconds"] = json!(0);
        r["status"]["abort"] = json!(true);
        r["status"]["phase"] = json!("Degraded");
        r["status"]["message"] = json!("RolloutAborted: by hand");
    };
    cluster.put(abort);
    let fate = |cluster: &Cluster| cluster.look(0).tracks[1].pools[0].fate.clone();
    assert_eq!(fate(&cluster), Some(Fate::Kept { why: "abortScaleDownDelaySeconds 0".into() }));
    cluster.put(|r| r["spec"]["strategy"]["canary"]["abortScaleDownDelaySeconds"] = json!(30));
    assert_eq!(fate(&cluster), None);
    // Where pods are the weights, none of them is kept, whatever it says.
    cluster.put(|r| {
        r["spec"]["strategy"]["canary"]["abortScaleDownDelaySeconds"] = json!(0);
        r["spec"]["strategy"]["canary"]["trafficRouting"] = Value::Null;
    });
    assert_eq!(fate(&cluster), None);
}

#[test]
fn what_is_started_on_the_way_back_by_plan_is_no_fault_and_what_is_sick_is() {
    let mut cluster = Cluster::open();
    let check = |cluster: &Cluster| cluster.look(0).back.checks[0].clone();
    assert_eq!((check(&cluster).state, check(&cluster).detail.as_str()), (CheckState::Partly, "4 of 5 ready, 1 is started on the way"));
    assert!(cluster.look(0).back.is_ready());
    let mut sick = set("aaa", 1, 4, "shop:v1");
    sick["metadata"]["resourceVersion"] = json!("7");
    sick["status"]["availableReplicas"] = json!(3);
    cluster.take(Kind::ReplicaSets, &sick);
    assert_eq!(check(&cluster).state, CheckState::Bad);
    // With a router stable keeps all of its pods: fewer are a fault.
    let mut cluster = Cluster::open();
    cluster.put(|r| r["spec"]["strategy"]["canary"]["trafficRouting"] = json!({ "nginx": {} }));
    assert_eq!(check(&cluster).state, CheckState::Bad);
    cluster.put(|r| r["spec"]["strategy"]["canary"]["dynamicStableScale"] = json!(true));
    assert_eq!(check(&cluster).state, CheckState::Partly);
}

#[test]
fn the_pod_that_runs_another_digest_than_most_is_the_one() {
    let mut cluster = Cluster::open();
    let id = |c: char| format!("shop@sha256:{}", String::from(c).repeat(64));
    for (name, digest) in [("p1", 'a'), ("p2", 'b'), ("p3", 'a')] {
        cluster.take(Kind::Pods, &pod(name, "bbb", &id(digest)));
    }
    let rollout = cluster.look(0);
    let differs: Vec<&str> = rollout.tracks[1].pools[0].instances.iter().filter(|i| i.parts[0].differs).map(|i| i.id.as_str()).collect();
    assert_eq!(differs, ["p2"]);
    assert!(kinds(&rollout).contains(&"digests"));
}

#[test]
fn a_pause_that_nobody_can_read_waits_for_no_person() {
    let mut cluster = Cluster::open();
    cluster.put(|r| {
        r["spec"]["strategy"]["canary"]["steps"][1] = json!({ "pause": { "duration": "soon" } });
        r["status"]["currentStepIndex"] = json!(1);
        r["status"]["phase"] = json!("Paused");
        r["status"]["pauseConditions"] = json!([{ "reason": "CanaryPauseStep", "startTime": written(-10) }]);
    });
    let rollout = cluster.look(0);
    assert!(matches!(&rollout.holds[0], Hold::Backend { reason, .. } if reason.as_str() == "the pause has a bad duration: soon"));
    assert_eq!(rollout.attention.unwrap().kind.as_str(), "stuck");
}

#[test]
fn a_restart_that_is_asked_for_while_it_waits_is_said() {
    let mut cluster = Cluster::open();
    cluster.put(|r| {
        r["spec"]["restartAt"] = json!(written(60));
        r["status"]["phase"] = json!("Paused");
    });
    let rollout = cluster.look(0);
    let found = rollout.findings.iter().find(|f| f.kind.as_str() == "restart").unwrap();
    assert!(found.what.as_str().starts_with("all pods are to be started again at "), "{}", found.what);
    cluster.put(|r| r["status"]["restartedAt"] = r["spec"]["restartAt"].clone());
    assert!(!kinds(&cluster.look(0)).contains(&"restart"));
}
