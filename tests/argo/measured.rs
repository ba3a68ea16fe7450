//! Rollouts of a cluster as a real Prometheus measures them: what their own analyses ask is judged by us too,
//! series are checked, stable is played beside itself.

use super::{
    program::Home,
    recorded::{Play, data},
    rig::{NAMESPACE, cluster, still},
};
use crate::{
    replay::recording::Recording,
    support::{
        http::{self, Fake},
        prometheus::Server,
    },
};
use chrono::{DateTime, SecondsFormat, Utc};
use cutover::{
    metrics::borrowed::{self, Names},
    model::rollout::Asked,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fmt::Write,
    io::{BufRead, BufReader},
    process::Stdio,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// Everything that analyses of a recording asked of a Prometheus, by metric.
fn asked(scenario: &str) -> Vec<(String, Asked)> {
    let mut play = Play::new(&data().join(scenario));
    let mut all = Vec::new();
    for at in 0..play.changes.len() {
        let t = play.play(at);
        for name in play.names() {
            let rollout = play.project(&name, t);
            let metrics = rollout.analyses.iter().flat_map(|a| &a.metrics);
            all.extend(
                metrics.filter_map(|m| Some((m.name.to_string(), m.asked.clone()?))).filter(|one| !all.contains(one)).collect::<Vec<_>>(),
            );
        }
    }
    all
}

#[test]
fn what_was_recorded_is_read_with_its_arguments_and_is_a_rate_of_everything() {
    let all = asked("08-analysis-failed-abort");
    let [(name, asked_for)] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((name.as_str(), asked_for.query.as_str()), ("error-rate", "sum(rate(http_errors{app=\"demo\"}[1m]))"));
    assert_eq!(asked_for.success.as_str(), "result[0] <= 0.05");
    let why = borrowed::read(name, asked_for, &Names::default()).unwrap_err();
    assert_eq!(why, "it is a rate: without how many requests it is of, nothing can be said of chance");
    // Other providers are not ours to ask.
    assert_eq!(asked("07-analysis-success"), []);
}

/// `web` from `aaa111` to `bbb222` since `began`, and its analysis.
fn story(began: DateTime<Utc>, now: DateTime<Utc>) -> Recording {
    let written = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut recording = Recording { start: now.timestamp() as f64, ..cluster(0, 0) };
    let rollout = json!({
        "metadata": {
            "name": "web", "namespace": NAMESPACE, "uid": "uid-web", "resourceVersion": "900", "generation": 2,
            "annotations": { "rollout.argoproj.io/revision": "2" }, "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{ "manager": "kubectl", "operation": "Update", "time": written(began), "fieldsV1": { "f:spec": { "f:template": {} } } }],
        },
        "spec": {
            "selector": { "matchLabels": { "app": "web" } },
            "strategy": { "canary": { "canaryService": "web-canary", "stableService": "web", "steps": [{ "setWeight": 20 }, { "pause": {} }] } },
            "template": { "spec": { "containers": [{ "name": "app", "image": "web:v2" }] } },
        },
        "status": {
            "observedGeneration": "2", "phase": "Paused", "message": "CanaryPauseStep", "currentPodHash": "bbb222", "stableRS": "aaa111",
            "currentStepIndex": 1, "controllerPause": true, "pauseConditions": [{ "reason": "CanaryPauseStep", "startTime": written(began) }],
        },
    });
    let metric = |name: &str, query: &str, condition: &str| json!({ "name": name, "provider": { "prometheus": { "address": "http://elsewhere", "query": query } }, "successCondition": condition });
    let good = "sum(rate(req_total{pod_template_hash=\"{{args.hash}}\",code!~\"5..\"}[1m])) / sum(rate(req_total{pod_template_hash=\"{{ args.hash }}\"}[1m]))";
    let run = json!({
        "metadata": {
            "name": "web-bbb222-2-1", "namespace": NAMESPACE, "uid": "uid-run", "resourceVersion": "901",
            "annotations": { "rollout.argoproj.io/revision": "2" },
            "labels": { "rollout-type": "Step", "rollouts-pod-template-hash": "bbb222", "step-index": "1" },
            "ownerReferences": [{ "kind": "Rollout", "name": "web", "uid": "uid-web", "controller": true }],
        },
        "spec": {
            "args": [{ "name": "hash", "value": "bbb222" }, { "name": "token", "valueFrom": { "secretKeyRef": { "name": "a", "key": "b" } } }],
            "metrics": [
                metric("success-rate", good, "result[0] >= 0.95"),
                metric("secret", "sum(rate(x{t=\"{{args.token}}\"}[1m]))", "result[0] < 1"),
            ],
        },
        "status": { "phase": "Running", "startedAt": written(began) },
    });
    recording.list("rollouts", &json!({ "metadata": { "resourceVersion": "1000" }, "items": [rollout] }));
    recording.list("analysisruns", &json!({ "metadata": { "resourceVersion": "1000" }, "items": [run] }));
    recording.settle();
    recording
}

/// Ten minutes of four instances of stable and two of the candidate, scraped every 15 s until `now`: of the
/// candidate's requests every tenth fails.
fn past(now: DateTime<Utc>) -> String {
    let mut text = "# TYPE req counter\n".to_owned();
    for (hash, pods, code, each) in
        [("aaa111", "abcd", 200, 200), ("aaa111", "abcd", 500, 0), ("bbb222", "ef", 200, 90), ("bbb222", "ef", 500, 10)]
    {
        for pod in pods.chars() {
            for n in 0..=60_i64 {
                let at = now.timestamp() - 15 * (60 - n);
                writeln!(text, "req_total{{pod_template_hash=\"{hash}\",pod=\"{pod}\",code=\"{code}\"}} {} {at}", n * each).unwrap();
            }
        }
    }
    text + "# EOF\n"
}

/// The same in a mesh: the pods of stable, then of the candidate, are labelled with these versions.
fn meshed(began: DateTime<Utc>, now: DateTime<Utc>, versions: [&str; 2]) -> Recording {
    let mut recording = story(began, now);
    let set = |(hash, revision, version): (&str, u32, &str)| {
        json!({
            "metadata": {
                "name": format!("web-{hash}"), "namespace": NAMESPACE, "uid": format!("uid-{hash}"), "resourceVersion": "902",
                "labels": { "app": "web", "rollouts-pod-template-hash": hash },
                "annotations": { "rollout.argoproj.io/revision": revision.to_string() },
                "ownerReferences": [{ "kind": "Rollout", "name": "web", "uid": "uid-web", "controller": true }],
            },
            "spec": { "replicas": 2, "template": {
                "metadata": { "labels": { "app": "web", "version": version, "app.kubernetes.io/version": "chart" } },
                "spec": { "containers": [{ "name": "app", "image": "web:latest" }] },
            } },
            "status": { "replicas": 2, "readyReplicas": 2, "availableReplicas": 2 },
        })
    };
    let sets: Vec<Value> = [("aaa111", 1, versions[0]), ("bbb222", 2, versions[1])].map(set).to_vec();
    recording.list("replicasets", &json!({ "metadata": { "resourceVersion": "1000" }, "items": sets }));
    recording.settle();
    recording
}

/// As Istio's sidecars count them, of another workload too: a tenth of what the version `1.4.2` answers is wrong.
fn past_of_a_mesh(now: DateTime<Utc>) -> String {
    let mut text = "# TYPE istio_requests counter\n".to_owned();
    for (workload, version, code, each) in [
        ("web", "1.4.1", 200, 800),
        ("web", "1.4.1", 500, 0),
        ("web", "1.4.2", 200, 180),
        ("web", "1.4.2", 500, 20),
        ("admin", "1.4.1", 500, 900),
    ] {
        let whose =
            format!("destination_workload=\"{workload}\",destination_workload_namespace=\"shop\",destination_version=\"{version}\"");
        for n in 0..=60_i64 {
            let at = now.timestamp() - 15 * (60 - n);
            let pod = format!("{workload}-{version}");
            writeln!(
                text,
                "istio_requests_total{{reporter=\"destination\",{whose},pod=\"{pod}\",response_code=\"{code}\"}} {} {at}",
                n * each
            )
            .unwrap();
        }
    }
    text + "# EOF\n"
}

/// A cluster at that moment, a server with its past, and a target over both.
struct Scene {
    home: Home,
    server: Server,
    config: String,
}

impl Scene {
    fn set() -> Option<Self> {
        let now = Utc::now();
        Self::of(story(now - chrono::Duration::minutes(10), now), &past(now))
    }

    fn of(cluster: Recording, past: &str) -> Option<Self> {
        let server = Server::of_past(past)?;
        let home = Home::new(cluster, still());
        let config = home.dir.path().join("config.toml").display().to_string();
        Some(Self { home, server, config })
    }

    /// With these lines below `[target.metrics]`.
    fn target(&self, more: &str) {
        let target = "[[target]]\nname = \"prod\"\nkind = \"argo\"\ncontext = \"shop\"\n[target.metrics]\nkind = \"prometheus\"\n";
        std::fs::write(&self.config, format!("{target}url = \"{}\"\n{more}", self.server.url)).unwrap();
    }

    fn json(&self, arguments: &[&str]) -> Value {
        self.home.json(&[&["-c", &self.config], arguments].concat())
    }
}

const QUERIES: &str = "[target.metrics.query]\nrequests = 'req_total{pod_template_hash=\"{{pod_hash}}\"}'\n\
                       code_label = \"code\"\ncode_values = \"status\"\ngrpc_label = \"\"\ninstance_label = \"pod\"\n";

#[test]
fn a_share_that_argo_judges_is_judged_by_us_from_the_same_server() {
    let Some(scene) = Scene::set() else { return };
    scene.target("analysis = true\n");
    let rollout = scene.json(&["get"])["rollouts"][0].clone();
    let gate = &rollout["gates"][0];
    assert_eq!(
        (&gate["name"], &gate["verdict"], &gate["on_fail"]),
        (&json!("success-rate"), &json!("fail"), &json!("advise")),
        "{rollout:#}"
    );
    let counted = |whose: &str| (gate["evidence"][whose]["hits"].as_f64().unwrap(), gate["evidence"][whose]["of"].as_f64().unwrap());
    let ((bad, of), (bad_stable, of_stable)) = (counted("run_candidate"), counted("run_stable"));
    assert!(of > 5_000.0 && (bad / of - 0.1).abs() < 0.01, "{bad} of {of}");
    assert!(bad_stable == 0.0 && of_stable > 20_000.0, "{bad_stable} of {of_stable}");
    let queries: Vec<&str> = gate["evidence"]["queries"].as_array().unwrap().iter().map(|q| q["text"].as_str().unwrap()).collect();
    assert!(queries.iter().any(|q| q.starts_with("req_total{pod_template_hash=\"aaa111\",code=~\"5..\"}[")), "{queries:?}");
    assert_eq!(gate["evidence"]["limit"], json!(5.0));
    let metrics: &Vec<Value> = rollout["analyses"][0]["metrics"].as_array().unwrap();
    assert_eq!(metrics[0]["ours"], json!("gate success-rate"));
    assert!(metrics[0]["query"].as_str().unwrap().contains("bbb222"), "{}", metrics[0]);
    assert!(metrics[1]["ours"].as_str().unwrap().starts_with("none: `args.token` in its query has no value"), "{}", metrics[1]);
    assert_eq!(rollout["measured"]["gates"], json!(format!("{}, and what the rollout's own analyses ask", scene.server.url)));
    // Without that it is Argo's alone.
    scene.target(&format!("preset = \"istio\"\n{QUERIES}"));
    let rollout = scene.json(&["get"])["rollouts"][0].clone();
    let gates: Vec<&Value> = rollout["gates"].as_array().unwrap().iter().map(|gate| &gate["name"]).collect();
    assert_eq!((gates[0], &rollout["gates"][0]["verdict"]), (&json!("errors"), &json!("fail")), "{rollout:#}");
    assert!(!gates.contains(&&json!("success-rate")) && rollout["analyses"][0]["metrics"][0]["ours"].is_null(), "{rollout:#}");
    assert_eq!(rollout["measured"]["signals"], json!(format!("{}, preset istio", scene.server.url)));
    assert!(rollout["measured"]["queries"]["requests"].as_str().unwrap().starts_with("req_total{"), "{rollout:#}");
}

#[test]
fn a_stream_of_all_rollouts_has_evidence_of_now_of_each() {
    let Some(scene) = Scene::set() else { return };
    // What is looked at is what was a minute ago, so there is more of it for a minute.
    scene.target(&format!("preset = \"haproxy\"\nevery = \"2s\"\ndelay = \"60s\"\n{QUERIES}"));
    let mut command = scene.home.command(&["-c", &scene.config, "get", "--watch", "-o", "json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let (send, lines) = mpsc::channel();
    let stdout = child.stdout.take().unwrap();
    thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    let (began, mut asked, mut seen) = (Instant::now(), BTreeSet::new(), String::new());
    while asked.len() < 3 {
        assert!(began.elapsed() < Duration::from_secs(45), "what it rests on stays as old as {asked:?}: {seen}");
        let Ok(line) = lines.recv_timeout(Duration::from_secs(1)) else { continue };
        let document: Value = serde_json::from_str(&line).unwrap();
        let gate = &document["rollouts"][0]["gates"][0];
        // A blind one is told anew wherever it is told.
        asked.extend(gate["evidence"]["queries"][0]["at"].as_str().filter(|_| gate["verdict"] == "fail").map(str::to_owned));
        seen = line;
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn doctor_asks_for_the_series_of_a_clusters_rollouts() {
    let Some(scene) = Scene::set() else { return };
    scene.target(&format!("preset = \"istio\"\nanalysis = true\n{QUERIES}"));
    let output = scene.home.run(&["-c", &scene.config, "doctor"]);
    let told = String::from_utf8(output.stdout).unwrap();
    let says = |state: &str, line: &str| told.lines().any(|l| l.starts_with(state) && l.contains(" metrics ") && l.contains(line));
    for line in [
        "answers, for prod",
        "shop/web: requests: 8 series",
        "shop/web: requests: scraped every 15 s",
        "label `pod_template_hash` has 2 values",
        "shop/web: analysis success-rate is judged here too: gate success-rate",
    ] {
        assert!(says("ok ", line), "no {line}: {told}");
    }
    assert!(says("warn ", "shop/web: analysis secret is not judged here: `args.token`"), "{told}");
    assert!(says("BAD ", "shop/web: latency: no series in 300 s for istio_request_duration"), "{told}");
    // The candidate's query may have nothing yet, and must be one.
    let pair = |canary: &str| {
        QUERIES.replacen("requests = '", "requests.stable = '", 1)
            + &format!("requests.canary = 'req_total{{pod_template_hash=~\"{canary}\"}}'\n")
    };
    scene.target(&format!("preset = \"haproxy\"\n{}", pair("none")));
    let told = String::from_utf8(scene.home.run(&["-c", &scene.config, "doctor"]).stdout).unwrap();
    assert!(told.lines().any(|l| l.starts_with("ok ") && l.contains("requests: canary: no series yet for req_total")), "{told}");
    scene.target(&format!("preset = \"haproxy\"\n{}", pair("(")));
    let told = String::from_utf8(scene.home.run(&["-c", &scene.config, "doctor"]).stdout).unwrap();
    assert!(
        told.lines().any(|l| l.starts_with("BAD ") && l.contains("requests: canary: at line ") && l.contains(": not a query: ")),
        "{told}"
    );
    // Asked less often than it scrapes would be too seldom.
    scene.target(&format!("preset = \"istio\"\nevery = \"5s\"\n{QUERIES}"));
    let told = String::from_utf8(scene.home.run(&["-c", &scene.config, "doctor"]).stdout).unwrap();
    assert!(told.contains("scraped every 15 s: a window of 4 x every has fewer than 4 scrapes; set every = \"15s\""), "{told}");
}

#[test]
fn stable_is_looked_up_where_it_runs_and_played_beside_itself() {
    let Some(scene) = Scene::set() else { return };
    scene.target(&format!("preset = \"haproxy\"\n{QUERIES}"));
    let played = scene.json(&["judge", "aa", "shop/web", "--since", "12m", "--plan", "25:2m", "--runs", "20"]);
    let report = &played["aa"];
    // The four instances of the version that is stable now, and none of the candidate's.
    assert_eq!(
        (&report["runs"], &report["instances"], &report["together"]["advised"]["n"]),
        (&json!(20), &json!(4), &json!(0)),
        "{played:#}"
    );
    assert!(report["gates"][0]["samples"].as_f64().unwrap() > 100.0, "{played:#}");
}

#[test]
fn two_targets_that_are_measured_by_one_server_share_its_patience() {
    let now = Utc::now();
    let home = Home::new(story(now - chrono::Duration::minutes(10), now), still());
    let tired = Fake::new(|_, client| http::reply(client, 429, "content-type: text/plain\r\nretry-after: 40\r\n", b"too many"));
    let config = home.dir.path().join("config.toml").display().to_string();
    let target = |name: &str, path: &str| {
        let metrics = format!("kind = \"prometheus\"\nurl = \"{}{path}\"\npreset = \"istio\"\nconcurrency = 1\n", tired.url);
        format!("[[target]]\nname = \"{name}\"\nkind = \"argo\"\ncontext = \"shop\"\n[target.metrics]\n{metrics}{QUERIES}")
    };
    std::fs::write(&config, format!("{}{}", target("east", ""), target("west", "/west"))).unwrap();
    let rollouts = home.json(&["-c", &config, "get"])["rollouts"].clone();
    let verdicts: Vec<&Value> = rollouts.as_array().unwrap().iter().map(|r| &r["gates"][0]["verdict"]).collect();
    assert_eq!(verdicts, [&json!("blind"), &json!("blind")], "{rollouts:#}");
    let asked = tired.asked();
    assert_eq!(asked.len(), 1, "of all questions one was sent, which said that it is enough: {asked:#?}");
}

#[test]
fn in_a_mesh_a_version_is_what_its_pods_are_labelled_with() {
    let now = Utc::now();
    let began = now - chrono::Duration::minutes(10);
    let Some(scene) = Scene::of(meshed(began, now, ["1.4.1", "1.4.2"]), &past_of_a_mesh(now)) else { return };
    scene.target("preset = \"istio\"\n");
    let rollout = scene.json(&["get"])["rollouts"][0].clone();
    let gate = &rollout["gates"][0];
    assert_eq!((&gate["name"], &gate["verdict"]), (&json!("errors"), &json!("fail")), "{rollout:#}");
    let counted = |whose: &str| (gate["evidence"][whose]["hits"].as_f64().unwrap(), gate["evidence"][whose]["of"].as_f64().unwrap());
    let ((bad, of), (bad_stable, of_stable)) = (counted("run_candidate"), counted("run_stable"));
    assert!(of > 5_000.0 && (bad / of - 0.1).abs() < 0.01, "{bad} of {of}");
    assert!(bad_stable == 0.0 && of_stable > 20_000.0, "of the other workload nothing: {bad_stable} of {of_stable}");
    // People still call them by their tags.
    let called: Vec<&Value> = rollout["tracks"].as_array().unwrap().iter().map(|t| &t["version"]["label"]).collect();
    assert_eq!(called, [&json!("latest r1"), &json!("latest r2")], "{rollout:#}");
}

#[test]
fn versions_that_a_mesh_calls_the_same_are_not_compared() {
    let now = Utc::now();
    let began = now - chrono::Duration::minutes(10);
    let Some(scene) = Scene::of(meshed(began, now, ["1.4.1", "1.4.1"]), &past_of_a_mesh(now)) else { return };
    let same = "requests = 'istio_requests_total{destination_workload=\"{{service}}\",destination_version=\"{{version}}\"}'\n";
    scene.target(&format!("preset = \"istio\"\n[target.metrics.query]\n{same}"));
    let rollout = scene.json(&["get"])["rollouts"][0].clone();
    let gate = &rollout["gates"][0];
    assert_eq!((&gate["name"], &gate["verdict"]), (&json!("errors"), &json!("blind")), "{rollout:#}");
    assert!(gate.to_string().contains("it counts both versions together: tell them apart by {{version}}, {{pod_hash}}"), "{gate:#}");
}
