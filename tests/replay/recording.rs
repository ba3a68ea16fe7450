//! A recording as it lies on the disk: `list.<kind>.json` (the initial lists), `watch.jsonl` (what came
//! after, one event a line) and `meta.json` (where and when). Each may be compressed with gzip.

use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

/// One scenario in one namespace.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// Its directory's name.
    pub name: String,
    /// Where its objects are.
    pub namespace: String,
    /// The server's clock at t = 0, in seconds since 1970.
    pub start: f64,
    /// When its last event is, in seconds since the start.
    pub end: f64,
    /// By plural name: `rollouts`.
    pub kinds: BTreeMap<String, Timeline>,
}

/// Everything that happened to the objects of one kind.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// `argoproj.io`, or empty for the core.
    pub group: String,
    /// `v1alpha1`.
    pub version: String,
    /// `Rollout`.
    pub kind: String,
    /// Why it could not be listed, if it could not: HTTP status and body.
    pub denied: Option<(u16, Value)>,
    initial: Vec<Value>,
    initial_rev: u64,
    events: Vec<Event>,
}

/// One line of a watch.
#[derive(Clone, Debug)]
pub struct Event {
    /// Seconds since the start.
    pub t: f64,
    /// `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK`.
    pub change: String,
    /// The object.
    pub object: Value,
    /// The collection's resource version from then on: never goes back.
    pub rev: u64,
}

/// What is where: group, version and kind of the plural names that people record.
const KNOWN: [(&str, &str, &str, &str); 11] = [
    ("rollouts", "argoproj.io", "v1alpha1", "Rollout"),
    ("analysisruns", "argoproj.io", "v1alpha1", "AnalysisRun"),
    ("experiments", "argoproj.io", "v1alpha1", "Experiment"),
    ("analysistemplates", "argoproj.io", "v1alpha1", "AnalysisTemplate"),
    ("clusteranalysistemplates", "argoproj.io", "v1alpha1", "ClusterAnalysisTemplate"),
    ("replicasets", "apps", "v1", "ReplicaSet"),
    ("deployments", "apps", "v1", "Deployment"),
    ("pods", "", "v1", "Pod"),
    ("events", "", "v1", "Event"),
    ("services", "", "v1", "Service"),
    ("podtemplates", "", "v1", "PodTemplate"),
];

/// Group, version and kind of a plural name that need not be in any recording.
pub fn known(plural: &str) -> Option<(&'static str, &'static str, &'static str)> {
    KNOWN.iter().find(|(name, ..)| *name == plural).map(|(_, group, version, kind)| (*group, *version, *kind))
}

impl Recording {
    /// Reads every recording in a directory: itself, or those in the directories below it. `full` prefers the
    /// events with all their fields (`watch.full.jsonl`).
    pub fn read_all(dir: &Path, full: bool) -> Result<Vec<Self>, String> {
        if !dir.is_dir() {
            return Err(format!("{} is no directory", dir.display()));
        }
        if is_recording(dir) {
            return Self::read(dir, full).map(|one| vec![one]);
        }
        let mut below: Vec<PathBuf> = fs::read_dir(dir).map_err(|e| e.to_string())?.flatten().map(|e| e.path()).collect();
        below.retain(|path| path.is_dir() && is_recording(path));
        below.sort();
        if below.is_empty() {
            return Err(format!("{} has no list.<kind>.json and no watch.jsonl, nor have the directories in it", dir.display()));
        }
        below.iter().map(|path| Self::read(path, full)).collect()
    }

    fn read(dir: &Path, full: bool) -> Result<Self, String> {
        let mut this = Self { name: dir.file_name().unwrap_or_default().to_string_lossy().into_owned(), ..Self::default() };
        for path in files(dir) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let plain = name.strip_suffix(".gz").unwrap_or(&name);
            if let Some(kind) = plain.strip_prefix("list.").and_then(|rest| rest.strip_suffix(".json")) {
                let list = parse(&text(&path)?, &path)?;
                this.list(kind, &list);
            } else if plain == "meta.json" {
                let meta = parse(&text(&path)?, &path)?;
                this.meta(&meta);
            }
        }
        let candidates = if full { ["watch.full.jsonl", "watch.jsonl"] } else { ["watch.jsonl", "watch.full.jsonl"] };
        let there = candidates.iter().flat_map(|name| [dir.join(name), dir.join(format!("{name}.gz"))]).find(|path| path.is_file());
        if let Some(path) = there {
            for line in text(&path)?.lines().filter(|line| !line.trim().is_empty()) {
                let event = parse(line, &path)?;
                let kind = event["kind"].as_str().unwrap_or_default().to_owned();
                this.add(
                    &kind,
                    event["t"].as_f64().unwrap_or_default(),
                    event["type"].as_str().unwrap_or_default(),
                    event["object"].clone(),
                );
            }
        }
        this.settle();
        Ok(this)
    }

    fn meta(&mut self, meta: &Value) {
        if let Some(namespace) = meta["namespace"].as_str() {
            self.namespace = namespace.into();
        }
        let said = meta["start_utc"].as_str().and_then(|s| chrono::DateTime::parse_from_rfc3339(s).ok());
        if let Some(start) = meta["start_epoch"].as_f64().or_else(|| said.map(|at| at.timestamp_millis() as f64 / 1e3)) {
            self.start = start;
        }
    }

    /// The initial list of a kind: as it was recorded with its path and status, or bare as `kubectl get -o json`
    /// prints it.
    pub fn list(&mut self, plural: &str, recorded: &Value) {
        let list = if recorded["response"].is_object() { &recorded["response"] } else { recorded };
        let timeline = self.kinds.entry(plural.into()).or_insert_with(|| Timeline::of(plural));
        if let Some(status) = recorded["status"].as_u64().filter(|status| *status != 200) {
            timeline.denied = Some((u16::try_from(status).unwrap_or(500), list.clone()));
        }
        let api = list["apiVersion"].as_str().filter(|api| list["kind"].as_str() != Some("List") && !api.is_empty());
        if let (Some(api), None) = (api, known(plural)) {
            timeline.place(api, list["kind"].as_str().map(|kind| kind.trim_end_matches("List")));
        }
        timeline.initial_rev = number(&list["metadata"]["resourceVersion"]);
        timeline.initial = list["items"].as_array().cloned().unwrap_or_default();
        for item in &timeline.initial {
            if self.namespace.is_empty() {
                self.namespace = item["metadata"]["namespace"].as_str().unwrap_or_default().into();
            }
            timeline.initial_rev = timeline.initial_rev.max(number(&item["metadata"]["resourceVersion"]));
        }
        let path: Vec<&str> = recorded["path"].as_str().unwrap_or_default().split('/').collect();
        if let (true, Some(at)) = (self.namespace.is_empty(), path.iter().position(|part| *part == "namespaces")) {
            self.namespace = path.get(at + 1).copied().unwrap_or_default().into();
        }
    }

    /// Adds an event; [`Recording::settle`] puts them in order.
    pub fn add(&mut self, plural: &str, t: f64, change: &str, object: Value) {
        let timeline = self.kinds.entry(plural.into()).or_insert_with(|| Timeline::of(plural));
        if known(plural).is_none() && timeline.version.is_empty() {
            timeline.place(object["apiVersion"].as_str().unwrap_or("v1"), object["kind"].as_str());
        }
        if self.namespace.is_empty() {
            self.namespace = object["metadata"]["namespace"].as_str().unwrap_or_default().into();
        }
        timeline.events.push(Event { t, change: change.into(), object, rev: 0 });
        self.end = self.end.max(t);
    }

    /// Sorts events by their time, those of one moment as they were read, and numbers them.
    pub fn settle(&mut self) {
        for timeline in self.kinds.values_mut() {
            timeline.events.sort_by(|a, b| a.t.total_cmp(&b.t));
            let mut rev = timeline.initial_rev;
            for event in &mut timeline.events {
                rev = rev.max(number(&event.object["metadata"]["resourceVersion"]));
                event.rev = rev;
            }
        }
    }
}

impl Timeline {
    fn of(plural: &str) -> Self {
        let (group, version, kind) = known(plural).unwrap_or_default();
        Self { group: group.into(), version: version.into(), kind: kind.into(), ..Self::default() }
    }

    fn place(&mut self, api_version: &str, kind: Option<&str>) {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        (self.group, self.version) = (group.into(), version.into());
        self.kind = kind.unwrap_or_default().into();
    }

    /// `argoproj.io/v1alpha1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// How many events have happened at `t`.
    pub fn passed(&self, t: f64) -> usize {
        self.events.partition_point(|event| event.t <= t)
    }

    /// The event at a position.
    pub fn event(&self, at: usize) -> Option<&Event> {
        self.events.get(at)
    }

    /// The objects after the first `passed` events, by namespace and name.
    pub fn state(&self, passed: usize) -> BTreeMap<(String, String), Value> {
        let mut state: BTreeMap<_, Value> = self.initial.iter().map(|item| (name(item), item.clone())).collect();
        for event in self.events.iter().take(passed) {
            match event.change.as_str() {
                "DELETED" => drop(state.remove(&name(&event.object))),
                "ADDED" | "MODIFIED" => drop(state.insert(name(&event.object), event.object.clone())),
                _ => {}
            }
        }
        state
    }

    /// The collection's resource version after the first `passed` events: watched from there, nothing is missed.
    pub fn rev(&self, passed: usize) -> u64 {
        let last = passed.checked_sub(1).and_then(|at| self.events.get(at)).map_or(self.initial_rev, |event| event.rev);
        // Events that share a number are sent again rather than never.
        let shared = self.events.get(passed).is_some_and(|next| next.rev == last && next.change != "BOOKMARK");
        if shared { last.saturating_sub(1) } else { last }
    }

    /// The position from which a watch goes on that has seen everything up to this resource version.
    pub fn position(&self, rev: u64) -> usize {
        self.events.partition_point(|event| event.rev <= rev)
    }

    /// Adds an event while it is played.
    pub fn push(&mut self, t: f64, change: &str, mut object: Value) -> u64 {
        let rev = self.events.last().map_or(self.initial_rev, |event| event.rev) + 1;
        object["metadata"]["resourceVersion"] = json!(rev.to_string());
        let at = self.passed(t);
        self.events.insert(at, Event { t, change: change.into(), object, rev });
        // What was to come later keeps its place and is numbered on.
        let mut last = rev;
        for event in self.events.iter_mut().skip(at + 1) {
            last = last.max(event.rev + 1);
            event.rev = last;
            event.object["metadata"]["resourceVersion"] = json!(last.to_string());
        }
        rev
    }
}

/// Namespace and name of an object.
pub fn name(object: &Value) -> (String, String) {
    let part = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
    (part("namespace"), part("name"))
}

fn number(value: &Value) -> u64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn is_recording(dir: &Path) -> bool {
    files(dir).iter().any(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("list.") || name.starts_with("watch.")
    })
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).filter(|p| p.is_file()).collect();
    all.sort();
    all
}

fn text(path: &Path) -> Result<String, String> {
    let bytes = fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    let mut text = String::new();
    // By what is in it, not by its name.
    let read = if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text)
    } else {
        bytes.as_slice().read_to_string(&mut text)
    };
    read.map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    Ok(text)
}

fn parse(text: &str, path: &Path) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|e| format!("{}: {e}", path.display()))
}
