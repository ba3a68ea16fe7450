//! Past rollouts whose end is known, played again with other gates: what would have been caught, what
//! missed, what stopped for nothing, and how long it took. What other tools' rules would have said of the
//! same numbers stands beside it.

use super::{
    Said, acting,
    figures::{Part, median, seconds},
};
use crate::model::{
    ident::GateId,
    spec::{GateSpec, OnFail},
    time::{Time, elapsed},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// What a rollout turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// It should have gone through.
    Good,
    /// It should have been stopped.
    Bad,
}

/// One rollout that was played.
#[derive(Clone, Debug)]
pub struct Played {
    /// What it is called.
    pub name: String,
    /// What it was.
    pub label: Label,
    /// From when on it was bad; when it began where nobody says.
    pub bad_from: Time,
    /// When it began.
    pub since: Time,
    /// What each gate said.
    pub said: BTreeMap<GateId, Said>,
}

/// What would have been.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// One gate each.
    pub gates: Vec<Row>,
    /// The gates that act together; where none acts, those that advise.
    pub together: Row,
    /// What other tools' rules would have done with any of the gates' signals.
    pub peers: Vec<Row>,
    /// Run by run.
    pub runs: Vec<Run>,
}

/// One rule over all runs.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    /// Gate or tool.
    pub name: String,
    /// What its failure does; `None` of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_fail: Option<OnFail>,
    /// Bad runs that it stops after they became bad.
    pub caught: Part,
    /// Bad runs that it does not.
    pub missed: usize,
    /// Good runs that it stops, and bad ones before they were bad.
    pub falsely: Part,
    /// Seconds from bad to stopped, in the middle.
    pub seconds_to_catch: Option<u64>,
    /// The longest.
    pub worst_seconds: Option<u64>,
    /// For how many seconds of all runs it saw nothing; `None` of several rules and of other tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blind_seconds: Option<u64>,
}

/// One run.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Run {
    /// What it is called.
    pub name: String,
    /// What it was.
    pub label: Label,
    /// `caught`, `missed`, `false`, `passed`.
    pub outcome: &'static str,
    /// When it was stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Time>,
    /// By which gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// When a rule stops a run first, at or after a time.
type Stops<'a> = &'a dyn Fn(&Played) -> Option<Time>;

/// Adds up.
#[must_use]
pub fn report(gates: &[GateSpec], played: &[Played]) -> Report {
    let rows = gates.iter().map(|gate| {
        let stops = |run: &Played| run.said.get(&gate.name)?.fails.first().map(|(at, _)| *at);
        let blind = played.iter().filter_map(|run| run.said.get(&gate.name)).map(|said| said.blind).sum();
        Row { blind_seconds: seconds(Some(blind)), ..row(gate.name.text().to_string(), Some(gate.on_fail()), played, &stops) }
    });
    let peers = played.iter().flat_map(|run| run.said.values()).flat_map(|said| said.peers.keys());
    let mut names: Vec<String> = peers.cloned().collect();
    // Those that never go back are named too.
    names.extend(["Kayenta", "Flagger", "Argo Rollouts"].map(str::to_owned));
    names.sort();
    names.dedup();
    let peers = names.into_iter().map(|name| {
        let stops = |run: &Played| run.said.values().filter_map(|said| said.peers.get(&name)).min().copied();
        row(name.clone(), None, played, &stops)
    });
    let does = acting(gates);
    let first = |run: &Played| by(run, does).map(|(at, _)| at);
    Report {
        gates: rows.collect(),
        together: row("together".into(), None, played, &first),
        peers: peers.collect(),
        runs: played.iter().map(|run| one(run, does)).collect(),
    }
}

/// When and by which gate a run is stopped.
fn by<'a>(run: &'a Played, does: &[OnFail]) -> Option<(Time, &'a GateId)> {
    run.said.iter().filter_map(|(gate, said)| Some((said.failed(run.since, does)?, gate))).min()
}

fn one(run: &Played, does: &[OnFail]) -> Run {
    let stopped = by(run, does);
    let outcome = match (run.label, stopped) {
        (Label::Good, None) => "passed",
        (Label::Bad, None) => "missed",
        (Label::Bad, Some((at, _))) if at >= run.bad_from => "caught",
        (_, Some(_)) => "false",
    };
    Run {
        name: run.name.clone(),
        label: run.label,
        outcome,
        stopped: stopped.map(|(at, _)| at),
        by: stopped.map(|(_, gate)| gate.text().to_string()),
    }
}

fn row(name: String, on_fail: Option<OnFail>, played: &[Played], stops: Stops<'_>) -> Row {
    let bad = played.iter().filter(|run| run.label == Label::Bad);
    let times: Vec<Option<Duration>> =
        bad.map(|run| stops(run).filter(|at| *at >= run.bad_from).map(|at| elapsed(at, run.bad_from))).collect();
    let falsely = |run: &&Played| match run.label {
        Label::Good => stops(run).is_some(),
        Label::Bad => stops(run).is_some_and(|at| at < run.bad_from),
    };
    let caught: Vec<Duration> = times.iter().flatten().copied().collect();
    Row {
        name,
        on_fail,
        caught: Part::new(caught.len(), times.len()),
        missed: times.len() - caught.len(),
        falsely: Part::new(played.iter().filter(falsely).count(), played.len()),
        worst_seconds: seconds(caught.iter().max().copied()),
        seconds_to_catch: seconds(median(caught)),
        blind_seconds: None,
    }
}
