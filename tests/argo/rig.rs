//! A small cluster, a runtime that watches it, and what it has told.

use crate::replay::{
    recording::Recording,
    server::{Options, Server},
};
use cutover::{
    clock::SystemClock,
    model::{
        delta::Delta,
        event::Event,
        ident::{Key, TargetId},
        rollout::Rollout,
        text::Raw,
        time::Time,
    },
    runtime::{
        Fault, Runtime,
        argo::{
            ArgoRuntime,
            connect::Settings,
            kind::{Coverage, Kind},
            watch::{Name, Objects, feed::Patience},
        },
    },
};
use futures::{StreamExt, stream::BoxStream};
use serde_json::{Value, json, value::RawValue};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

/// Where everything is.
pub const NAMESPACE: &str = "shop";

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Objects as they are, shown as one line: what is watched, not what it means.
#[derive(Default)]
pub struct Bag(BTreeMap<Kind, BTreeMap<(String, String), Value>>);

impl Objects for Bag {
    fn swap(&mut self, kind: Kind, namespace: Option<&str>, objects: &[Box<RawValue>]) {
        let of_kind = self.0.entry(kind).or_default();
        of_kind.retain(|(ns, _), _| namespace.is_some_and(|only| only != ns));
        of_kind.extend(objects.iter().map(|object| named(object)));
    }

    fn apply(&mut self, kind: Kind, object: &RawValue) {
        self.0.entry(kind).or_default().extend([named(object)]);
    }

    fn delete(&mut self, kind: Kind, object: &RawValue) {
        self.0.entry(kind).or_default().remove(&named(object).0);
    }

    fn project(&self, name: &Name, now: Time, coverage: &Coverage) -> Option<Rollout> {
        let object = self.0.get(&Kind::Rollouts)?.get(&(name.namespace.clone(), name.name.clone()))?;
        let parts = [Kind::ReplicaSets, Kind::Pods, Kind::AnalysisRuns, Kind::Experiments, Kind::Events, Kind::Deployments];
        let mut counts = BTreeMap::new();
        for kind in parts.into_iter().filter(|kind| coverage.has(*kind)) {
            counts.insert(kind.plural(), self.0.get(&kind).map_or(0, BTreeMap::len));
        }
        let step = object["status"]["currentStepIndex"].as_u64().unwrap_or_default();
        Some(
            serde_json::from_value(json!({
                "key": { "target": "", "scope": [name.namespace], "service": name.name, "uid": object["metadata"]["uid"] },
                "run": null, "strategy": "canary", "phase": "completed", "reason": format!("step {step} {counts:?}"),
                "holds": [], "tracks": [], "steps": [], "next": { "what": "", "by": "nobody" }, "gates": [],
                "back": { "how": { "kind": "none", "why": "nothing" }, "checks": [] },
                "seen": { "epoch": 0, "rev": 0, "server_time": now, "fresh_for": 1000 },
            }))
            .unwrap(),
        )
    }

    fn events(&self, _name: &Name, _after: u64) -> Vec<Event> {
        Vec::new()
    }
}

fn named(object: &RawValue) -> ((String, String), Value) {
    let object: Value = serde_json::from_str(object.get()).unwrap();
    (crate::replay::recording::name(&object), object)
}

/// A rollout at a step, with revision `rev`.
pub fn rollout(name: &str, step: u64, rev: u64) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": { "name": name, "namespace": NAMESPACE, "uid": format!("uid-{name}"), "resourceVersion": rev.to_string() },
        "spec": { "selector": { "matchLabels": { "app": name } } },
        "status": { "currentStepIndex": step },
    })
}

/// Something that belongs to a rollout.
pub fn part(of: &str, name: &str, rev: u64) -> Value {
    json!({ "metadata": {
        "name": name, "namespace": NAMESPACE, "resourceVersion": rev.to_string(),
        "labels": { "app": of, "rollouts-pod-template-hash": "abc" } } })
}

fn list(items: Vec<Value>) -> Value {
    json!({ "kind": "List", "metadata": { "resourceVersion": "1000" }, "items": items })
}

/// A namespace with this many rollouts, each with one ReplicaSet and so many pods.
pub fn cluster(rollouts: usize, pods: usize) -> Recording {
    let mut recording = Recording { name: "shop".into(), namespace: NAMESPACE.into(), start: 1_795_000_000.0, ..Recording::default() };
    let names: Vec<String> = (0..rollouts).map(|n| format!("web-{n:02}")).collect();
    recording.list("rollouts", &list(names.iter().map(|name| rollout(name, 0, 100)).collect()));
    recording.list("replicasets", &list(names.iter().map(|name| part(name, &format!("{name}-abc"), 100)).collect()));
    let pods = names.iter().flat_map(|name| (0..pods).map(move |n| part(name, &format!("{name}-abc-{n}"), 100)));
    recording.list("pods", &list(pods.collect()));
    for kind in ["analysisruns", "experiments", "events"] {
        recording.list(kind, &list(Vec::new()));
    }
    recording.settle();
    recording
}

/// Another namespace, with one rollout of this name and one pod.
pub fn elsewhere(namespace: &str, name: &str) -> Recording {
    let mut recording = Recording { name: namespace.into(), namespace: namespace.into(), start: 1_795_000_000.0, ..Recording::default() };
    let there = |mut object: Value| {
        object["metadata"]["namespace"] = json!(namespace);
        object
    };
    recording.list("rollouts", &list(vec![there(rollout(name, 0, 100))]));
    recording.list("pods", &list(vec![there(part(name, &format!("{name}-abc-0"), 100))]));
    for kind in ["replicasets", "analysisruns", "experiments", "events"] {
        recording.list(kind, &list(Vec::new()));
    }
    recording.settle();
    recording
}

/// A server, and a runtime that knows nothing of it but a kubeconfig.
pub struct Rig {
    pub server: Server,
    pub dir: TempDir,
    pub runtime: ArgoRuntime<Bag>,
}

/// Stands still at the start, and sends bookmarks often.
pub fn still() -> Options {
    Options { speed: 0.0, bookmarks: Duration::from_millis(100), ..Options::default() }
}

/// Short, where a person would wait for minutes.
pub fn short() -> Patience {
    Patience {
        silent: Duration::from_millis(700),
        renew: Duration::from_secs(60),
        first: Duration::from_millis(20),
        longest: Duration::from_millis(200),
        denied: Duration::from_millis(300),
    }
}

pub fn settings(kubeconfig: &Path) -> Settings {
    Settings { kubeconfig: vec![PathBuf::from(kubeconfig)], ..Settings::of(TargetId::new("prod")) }
}

impl Rig {
    pub fn new(recording: Recording, options: Options) -> Self {
        Self::with(recording, options, |_| {})
    }

    pub fn with(recording: Recording, options: Options, change: impl FnOnce(&mut Settings)) -> Self {
        Self::of(vec![recording], options, change)
    }

    /// Of several namespaces of one cluster.
    pub fn of(recordings: Vec<Recording>, options: Options, change: impl FnOnce(&mut Settings)) -> Self {
        let server = Server::start(recordings, options).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let kubeconfig = dir.path().join("kubeconfig");
        std::fs::write(&kubeconfig, server.kubeconfig().to_string()).unwrap();
        let mut settings = settings(&kubeconfig);
        change(&mut settings);
        let runtime = ArgoRuntime::new(settings, Arc::new(SystemClock::start())).patient(short());
        Self { server, dir, runtime }
    }

    pub fn watch(&self) -> Told {
        Told {
            deltas: Runtime::watch(&self.runtime).boxed(),
            rollouts: BTreeMap::new(),
            deleted: Vec::new(),
            lists: 0,
            applied: 0,
            beats: 0,
            whole: false,
        }
    }

    pub fn open(&self, name: &str) {
        Runtime::focus(&self.runtime, Some(&key(name)));
    }

    /// How many requests of this verb there were for a kind.
    pub fn count(&self, verb: &str, kind: &str) -> usize {
        self.server.counts().get(&(kind.to_owned(), verb.to_owned())).copied().unwrap_or_default()
    }
}

pub fn key(name: &str) -> Key {
    let uid = Some(Raw::new(format!("uid-{name}")));
    Key { target: TargetId::new("prod"), scope: vec![Raw::new(NAMESPACE)], service: Raw::new(name), uid }
}

/// What a source has told so far.
pub struct Told {
    deltas: BoxStream<'static, Result<Delta, Fault>>,
    pub rollouts: BTreeMap<String, Rollout>,
    pub deleted: Vec<String>,
    pub lists: usize,
    pub applied: usize,
    pub beats: usize,
    pub whole: bool,
}

impl Told {
    /// Takes the next thing; `None` when nothing comes for so long.
    pub async fn next(&mut self, wait: Duration) -> Option<Result<(), Fault>> {
        let delta = match timeout(wait, self.deltas.next()).await {
            Err(_) => return None,
            Ok(None) => panic!("the source ended without a fault"),
            Ok(Some(Err(fault))) => return Some(Err(fault)),
            Ok(Some(Ok(delta))) => delta,
        };
        match delta {
            Delta::Init { .. } => self.lists += 1,
            Delta::InitDone { .. } => self.whole = true,
            Delta::Apply { rollout } => {
                self.applied += 1;
                self.rollouts.insert(rollout.key.service.as_str().to_owned(), *rollout);
            }
            Delta::Delete { key } => {
                self.rollouts.remove(key.service.as_str());
                self.deleted.push(key.service.as_str().to_owned());
            }
            Delta::Heartbeat { .. } => self.beats += 1,
            other => panic!("{other:?}"),
        }
        Some(Ok(()))
    }

    /// Waits until something is true.
    #[track_caller]
    pub fn until<'a>(&'a mut self, what: &'a str, mut f: impl FnMut(&Self) -> bool + 'a) -> impl Future<Output = ()> + 'a {
        let at = std::panic::Location::caller();
        async move {
            let began = Instant::now();
            while !f(self) {
                assert!(began.elapsed() < PATIENCE, "{at}: never: {what}\n{}", self.shown());
                if let Some(Err(fault)) = self.next(Duration::from_millis(50)).await {
                    panic!("{at}: never: {what}: {fault}");
                }
            }
        }
    }

    /// Waits for the end of the source.
    pub async fn ends(&mut self) -> Fault {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "it does not end");
            if let Some(Err(fault)) = self.next(Duration::from_millis(50)).await {
                return fault;
            }
        }
    }

    /// What comes within so long.
    pub async fn settle(&mut self, wait: Duration) {
        let end = Instant::now() + wait;
        while Instant::now() < end {
            if let Some(Err(fault)) = self.next(end - Instant::now()).await {
                panic!("{fault}");
            }
        }
    }

    /// The line of a rollout.
    pub fn line(&self, name: &str) -> String {
        self.rollouts.get(name).and_then(|r| r.reason.as_ref()).map(ToString::to_string).unwrap_or_default()
    }

    /// What is said to be missing at a rollout.
    pub fn gaps(&self, name: &str) -> BTreeSet<String> {
        let findings = self.rollouts.get(name).map(|r| r.findings.as_slice()).unwrap_or_default();
        findings.iter().filter(|f| f.kind.as_str() == "access").map(|f| f.what.to_string()).collect()
    }

    pub fn shown(&self) -> String {
        self.rollouts.keys().map(|name| format!("{name}: {} {:?}\n", self.line(name), self.gaps(name))).collect()
    }
}
