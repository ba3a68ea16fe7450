//! What a large cluster costs: 200 rollouts with 10,000 pods, as a real API server sends them (a pod is 5 kB with
//! the fields that only the server needs).
//!
//! Goals: 10,000 changes of pods read from the lines of a watch, taken, and what they change seen anew, in under 1 s
//! on one core; under 100 MB with all of it, and with every rollout as it was seen last. What counts is the time that
//! the core worked for it (Linux says it), not what others took from it meanwhile, which is told beside it.
//!
//! `cargo bench --bench argo`
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a bench is a test")]

use cutover::{
    model::{rollout::Rollout, time::Time},
    runtime::argo::{
        kind::{Cover, Coverage, Kind},
        store::Store,
        watch::{Name, Objects},
    },
};
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    hint::black_box,
    io::Read,
    path::Path,
    time::{Duration, Instant},
};

const ROLLOUTS: usize = 200;
const SETS: usize = 2;
const PODS: usize = 25;
const ROUNDS: u64 = 5;

/// Lines that are made at once: nobody but the server works for that.
const BATCH: usize = 1_000;

/// From the first change of a rollout to when it is looked at again, as a watch does it.
const GATHER: Duration = Duration::from_millis(30);

/// A line of a watch: what it is, and an object that is read later.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    change: String,
    object: Box<RawValue>,
}

/// Objects of a recorded canary at its pause: one of each kind.
struct Patterns {
    rollout: Value,
    set: Value,
    pod: Value,
}

fn patterns() -> Patterns {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/argo/01-canary-manual-steps/watch.jsonl.gz");
    let mut text = String::new();
    MultiGzDecoder::new(&*fs::read(path).unwrap()).read_to_string(&mut text).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let find =
        |kind: &str, is: &dyn Fn(&Value) -> bool| events.iter().find(|e| e["kind"] == kind && is(&e["object"])).unwrap()["object"].clone();
    Patterns {
        rollout: find("rollouts", &|o| o["status"]["phase"] == "Paused"),
        set: find("replicasets", &|o| o["status"]["readyReplicas"] == 5),
        pod: find("pods", &|o| o["status"]["containerStatuses"][0]["ready"] == true),
    }
}

/// What only the server needs, and about as much of it.
fn managed() -> Value {
    let fields = json!({ "f:metadata": { "f:labels": { ".": {}, "f:app": {}, "f:rollouts-pod-template-hash": {} } },
        "f:spec": { "f:containers": { "k:{\"name\":\"app\"}": { ".": {}, "f:image": {}, "f:imagePullPolicy": {}, "f:name": {},
        "f:ports": { ".": {}, "k:{\"containerPort\":8080,\"protocol\":\"TCP\"}": { ".": {}, "f:containerPort": {}, "f:protocol": {} } },
        "f:resources": {}, "f:terminationMessagePath": {}, "f:terminationMessagePolicy": {} } }, "f:dnsPolicy": {}, "f:enableServiceLinks": {} } });
    let entry = |manager: &str| json!({ "manager": manager, "operation": "Update", "apiVersion": "v1", "time": "2026-11-20T11:29:22Z", "fieldsType": "FieldsV1", "fieldsV1": fields });
    json!([entry("kube-controller-manager"), entry("kubelet")])
}

fn owned(object: &mut Value, name: String, uid: String, owner: &str, version: u64) {
    let meta = &mut object["metadata"];
    meta["name"] = json!(name);
    meta["uid"] = json!(uid);
    meta["resourceVersion"] = json!(version.to_string());
    meta["managedFields"] = managed();
    if meta["ownerReferences"].is_array() {
        meta["ownerReferences"][0]["uid"] = json!(owner);
    }
}

fn pod(patterns: &Patterns, at: usize, version: u64) -> String {
    let (set, mut pod) = (at / PODS, patterns.pod.clone());
    owned(
        &mut pod,
        format!("service-{}-7d9f8c6b5d-{at:05}", set / SETS),
        format!("0a1b2c3d-pod-4444-8888-{at:012}"),
        &format!("set-{set}"),
        version,
    );
    pod["status"]["containerStatuses"][0]["restartCount"] = json!(version % 7);
    pod.to_string()
}

/// Resident bytes.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

/// For how long a core has worked for this thread.
fn worked() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// Sees anew what was touched.
fn look(store: &Store, now: Time, coverage: &Coverage, touched: &mut BTreeSet<Name>, told: &mut BTreeMap<Name, Rollout>) -> usize {
    let looks = touched.len();
    for name in std::mem::take(touched) {
        let rollout = store.project(&name, now, coverage).unwrap();
        told.insert(name, rollout);
    }
    looks
}

fn main() {
    let patterns = patterns();
    let before = resident();
    let mut store = Store::default();
    let now: Time = "2026-11-20T11:30:00Z".parse().unwrap();
    store.at(now);
    for at in 0..ROLLOUTS {
        let mut rollout = patterns.rollout.clone();
        owned(&mut rollout, format!("service-{at}"), format!("rollout-{at}"), "", 1);
        store.take(Kind::Rollouts, rollout.to_string().as_bytes());
        for nth in 0..SETS {
            let set_at = at * SETS + nth;
            let mut set = patterns.set.clone();
            owned(&mut set, format!("service-{at}-{nth}"), format!("set-{set_at}"), &format!("rollout-{at}"), 1);
            let hash = if nth == 0 { &patterns.rollout["status"]["stableRS"] } else { &patterns.rollout["status"]["currentPodHash"] };
            set["metadata"]["labels"]["rollouts-pod-template-hash"] = hash.clone();
            store.take(Kind::ReplicaSets, set.to_string().as_bytes());
        }
    }
    let all = ROLLOUTS * SETS * PODS;
    for at in 0..all {
        store.take(Kind::Pods, pod(&patterns, at, 2).as_bytes());
    }
    println!("{ROLLOUTS} rollouts, {all} pods: {} MB more (goal: under 100)", (resident() - before) / 1_000_000);

    let mut coverage = Coverage::default();
    for kind in [Kind::Rollouts, Kind::ReplicaSets, Kind::Pods, Kind::AnalysisRuns, Kind::Experiments] {
        coverage.set(kind, Cover::Whole);
    }
    let mut told: BTreeMap<Name, Rollout> = BTreeMap::new();
    let mut took = Vec::new();
    let (mut bytes, mut looks) = (0, 0);
    for round in 0..ROUNDS {
        let (mut busy, mut passed, mut since) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        let mut touched = BTreeSet::new();
        for batch in 0..all / BATCH {
            // Of all rollouts at once, in no order: 7,919 and their number have no divisor in common.
            let order = (batch * BATCH..(batch + 1) * BATCH).map(|at| at * 7_919 % all);
            let lines: Vec<String> =
                order.map(|at| format!("{{\"type\":\"MODIFIED\",\"object\":{}}}", pod(&patterns, at, 3 + round))).collect();
            let (work, start) = (worked(), Instant::now());
            let mut looked = start;
            for line in &lines {
                let Line { change, object } = serde_json::from_str(black_box(line)).unwrap();
                assert_eq!(change, "MODIFIED");
                touched.extend(store.take(Kind::Pods, object.get().as_bytes()));
                // What changes within this time is seen once.
                if since + looked.elapsed() >= GATHER {
                    looks += look(&store, now, &coverage, &mut touched, &mut told);
                    (since, looked) = (Duration::ZERO, Instant::now());
                }
            }
            since += looked.elapsed();
            if batch + 1 == all / BATCH {
                looks += look(&store, now, &coverage, &mut touched, &mut told);
            }
            (busy, passed) = (busy + (worked() - work), passed + start.elapsed());
            bytes = lines[0].len();
        }
        took.push((busy, passed));
    }
    took.sort_unstable();
    let (busy, passed) = took[took.len() / 2];
    println!(
        "{all} changes of pods, lines of {bytes} B, and {} looks at rollouts: a core worked for {busy:?} (goal: under 1 s), within {passed:?}: \
         median of {ROUNDS} rounds",
        looks / usize::try_from(ROUNDS).unwrap()
    );

    let names: Vec<Name> = store.names().collect();
    for (what, coverage) in [("open", &coverage), ("closed", &Coverage::default())] {
        let start = Instant::now();
        let shown: usize = names.iter().filter_map(|name| store.project(name, now, coverage)).map(|r| r.tracks.len()).sum();
        println!("all {ROLLOUTS} rollouts seen {what} ({shown} tracks): {:?}", start.elapsed());
    }
    println!(
        "{} MB more in the end, with {} rollouts as they were seen last; {} MB in all (goal: under 100)",
        (resident() - before) / 1_000_000,
        told.len(),
        resident() / 1_000_000
    );
}
