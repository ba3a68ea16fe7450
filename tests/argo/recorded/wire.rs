//! What API servers of two versions really answered, with every field: pages, bookmarks, tables, bare metadata,
//! and objects as a PATCH returns them.

use super::{KINDS, data};
use cutover::{
    model::{rollout::Phase, time::Time},
    runtime::argo::{
        kind::{Coverage, Kind},
        project::project,
        store::Store,
        watch::Name,
    },
};
use serde_json::Value;
use std::{fs, io::Read};

const VERSIONS: [&str; 2] = ["1.33", "1.36"];

/// One answer.
struct Sample {
    name: String,
    kind: Kind,
    body: Value,
}

fn samples(version: &str) -> Vec<Sample> {
    let bytes = fs::read(data().join(format!("wire/{version}.json.gz"))).unwrap();
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(&*bytes).read_to_string(&mut text).unwrap();
    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    let one = |sample: Value| {
        let path = sample["path"].as_str().unwrap();
        let kind = KINDS.into_iter().find(|kind| path.contains(&format!("/{}", kind.plural()))).unwrap();
        Sample { name: sample["name"].as_str().unwrap().to_owned(), kind, body: sample["body"].clone() }
    };
    all.into_iter().map(one).collect()
}

fn items(samples: &[Sample], name: &str) -> Vec<String> {
    let found = samples.iter().find(|s| s.name.contains(name)).unwrap();
    found.body["items"].as_array().unwrap().iter().map(ToString::to_string).collect()
}

fn named(name: &str) -> Name {
    Name { namespace: "wire".into(), name: name.into() }
}

fn now() -> Time {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

/// What is seen of each, by its own object only.
fn seen(store: &Store) -> Vec<String> {
    let one = |name: &str| {
        let rollout = project(store, &named(name), now(), &Coverage::default()).unwrap();
        assert_eq!((&rollout.phase, rollout.findings.len()), (&Phase::Completed, 0), "{rollout:?}");
        let started = rollout.started.map(|s| s.by.to_string()).unwrap_or_default();
        format!(
            "{name} run {} {} {:?} by {started}",
            rollout.run.unwrap().text(),
            rollout.tracks[0].version.label,
            rollout.at.map(|at| at.index)
        )
    };
    ["r0", "r1", "r2"].into_iter().map(one).collect()
}

#[test]
fn pages_events_and_answers_of_two_server_versions_say_the_same() {
    for version in VERSIONS {
        let samples = samples(version);
        let mut store = Store::default();
        store.at(now());
        let pages: Vec<String> = ["list-page1", "list-page2"].iter().flat_map(|page| items(&samples, page)).collect();
        store.replace(Kind::Rollouts, None, pages.iter().map(String::as_bytes));
        let listed = seen(&store);
        assert_eq!(listed[0], "r0 run 1 v1 Some(2) by unknown", "{version}");
        // An object as a PATCH that changed nothing returns it.
        for sample in samples.iter().filter(|s| s.name.contains("wrong-uid") || s.name.contains("noop")) {
            store.take(sample.kind, sample.body.to_string().as_bytes());
        }
        assert_eq!(seen(&store), listed, "{version}");
        // The lines of a watch that begins with what there is.
        let mut watched = Store::default();
        watched.at(now());
        let lines = samples.iter().filter(|s| s.name.contains("watch")).flat_map(|s| s.body.as_array().unwrap());
        let mut bookmarks = 0;
        for line in lines.filter(|line| line["type"].is_string()) {
            let touched = watched.take(Kind::Rollouts, line["object"].to_string().as_bytes());
            let stub = line["type"] == "BOOKMARK" || line["type"] == "ERROR";
            assert_eq!(touched.is_empty(), stub, "{version}: {line}");
            bookmarks += usize::from(stub);
        }
        assert!(bookmarks >= 2, "{version}");
        if version == "1.36" {
            assert_eq!(seen(&watched), listed, "{version}");
        }
        // Events about pods that are not known, and pods whose ReplicaSets are not known, are nobody's.
        for (name, kind) in [("events-list", Kind::Events), ("pod-log", Kind::Pods)] {
            assert!(items(&samples, name).iter().all(|item| store.take(kind, item.as_bytes()).is_empty()), "{version}: {name}");
        }
    }
}

/// Tables, bare metadata and refusals, in the place of any kind: nothing falls, and what has no identity is nobody.
#[test]
fn what_is_no_object_of_the_kind_is_survived() {
    for version in VERSIONS {
        for sample in samples(version) {
            for kind in KINDS {
                let mut store = Store::default();
                let whole = sample.body.to_string();
                let touched = store.take(kind, whole.as_bytes());
                assert!(touched.is_empty() || sample.body["metadata"]["uid"].is_string(), "{version} {} as {kind}", sample.name);
                let parts: Vec<String> = sample.body["items"].as_array().into_iter().flatten().map(ToString::to_string).collect();
                store.replace(kind, None, parts.iter().map(String::as_bytes));
                for name in store.names().collect::<Vec<_>>() {
                    assert!(project(&store, &name, now(), &Coverage::default()).is_some());
                }
            }
        }
    }
}
