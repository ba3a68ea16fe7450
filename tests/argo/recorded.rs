//! What the decoder makes of recordings of a real controller.
//!
//! `tests/data/argo/<scenario>` has what the API server sent and what Argo's own command line printed
//! meanwhile; `golden/<scenario>.txt` has one line for each state that we make of it, written only when it
//! changes. `CUTOVER_GOLDEN=write` writes them again, to be read before they are kept.
//! `CUTOVER_RECORDINGS=<directory>` has more recordings looked at, without golden lines.

mod closed;
mod full;
mod golden;
mod lost;
mod order;
mod ruined;
mod summary;
mod wire;
mod words;

use crate::replay::recording::Recording;
use cutover::{
    model::{rollout::Rollout, time::Time},
    runtime::argo::{
        kind::{Cover, Coverage, Kind},
        project::{controller, view::View},
        store::Store,
        watch::{Name, Objects},
    },
};
use proptest::prelude::ProptestConfig;
use std::path::{Path, PathBuf};

/// So many cases of a property, or as many as `PROPTEST_CASES` says.
pub fn cases(usual: u32) -> ProptestConfig {
    let said = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: said.unwrap_or(usual), ..ProptestConfig::default() }
}

/// Every kind that is looked at.
pub const KINDS: [Kind; 7] =
    [Kind::Rollouts, Kind::ReplicaSets, Kind::Pods, Kind::AnalysisRuns, Kind::Experiments, Kind::Events, Kind::Deployments];

/// Where the recordings are.
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/argo")
}

/// The directories of all recordings.
pub fn scenarios() -> Vec<PathBuf> {
    let more = std::env::var_os("CUTOVER_RECORDINGS").map(PathBuf::from);
    let dirs = [Some(data()), more].into_iter().flatten();
    let mut all: Vec<PathBuf> = dirs.flat_map(|dir| std::fs::read_dir(dir).unwrap().flatten().map(|e| e.path())).collect();
    all.retain(|path| path.is_dir() && (path.join("watch.jsonl.gz").is_file() || path.join("watch.jsonl").is_file()));
    all.sort();
    assert!(!all.is_empty());
    all
}

/// Recordings that have every field, as the server sent it.
pub fn full() -> Vec<PathBuf> {
    let has = |dir: &PathBuf| ["watch.full.jsonl.gz", "watch.full.jsonl"].iter().any(|name| dir.join(name).is_file());
    scenarios().into_iter().filter(has).collect()
}

/// One change of one object.
pub struct Change {
    /// Seconds since the start.
    pub t: f64,
    pub kind: Kind,
    pub gone: bool,
    pub json: String,
}

/// A recording that is played into a store.
pub struct Play {
    pub store: Store,
    pub coverage: Coverage,
    pub changes: Vec<Change>,
    start: f64,
}

impl Play {
    /// With everything of the first lists.
    pub fn new(dir: &Path) -> Self {
        Self::of(dir, false)
    }

    /// `full` with the fields that only the server needs, where they were recorded.
    pub fn of(dir: &Path, full: bool) -> Self {
        let recording = Recording::read_all(dir, full).unwrap().remove(0);
        let mut this = Self { store: Store::default(), coverage: Coverage::default(), changes: Vec::new(), start: recording.start };
        let now = this.time(0.0);
        this.store.at(now);
        for kind in KINDS {
            let Some(timeline) = recording.kinds.get(kind.plural()) else {
                // A workload was not recorded: then it is not known.
                continue;
            };
            let listed: Vec<String> = timeline.state(0).values().map(ToString::to_string).collect();
            this.store.replace(kind, None, listed.iter().map(String::as_bytes));
            this.coverage.set(kind, Cover::Whole);
            let events = (0..).map_while(|at| timeline.event(at)).filter(|e| e.change != "BOOKMARK");
            this.changes.extend(events.map(|e| Change { t: e.t, kind, gone: e.change == "DELETED", json: e.object.to_string() }));
        }
        // Of one moment: what is rolled out before what belongs to it.
        this.changes.sort_by(|a, b| a.t.total_cmp(&b.t));
        this
    }

    /// The server's clock.
    pub fn time(&self, t: f64) -> Time {
        #[expect(clippy::cast_possible_truncation, reason = "milliseconds of this century")]
        chrono::DateTime::from_timestamp_millis(((self.start + t) * 1e3) as i64).unwrap()
    }

    /// Takes the change at this position; when it was.
    pub fn play(&mut self, at: usize) -> f64 {
        let t = self.changes[at].t;
        let now = self.time(t);
        self.store.at(now);
        let Change { kind, gone, json, .. } = &self.changes[at];
        if *gone {
            self.store.drop_object(*kind, json.as_bytes());
        } else {
            self.store.take(*kind, json.as_bytes());
        }
        t
    }

    /// Every rollout that there is.
    pub fn names(&self) -> Vec<Name> {
        let mut names: Vec<Name> = self.store.names().collect();
        names.sort();
        names
    }

    /// A rollout as it is.
    pub fn project(&self, name: &Name, t: f64) -> Rollout {
        self.store.project(name, self.time(t), &self.coverage).unwrap()
    }

    /// What Argo's own command line would print.
    pub fn words(&self, name: &Name, t: f64) -> controller::Words {
        controller::words(&View::of(&self.store, name, self.time(t), &self.coverage).unwrap())
    }
}
