//! The judge of a service that a metrics backend measures: what is followed there, and what comes of it.

use super::service::Service;
use crate::{
    conductor::{Judged, life::Deployed},
    host::{
        measured::{Backend, Begin, Key, Measured},
        state::ServiceState,
    },
    model::{
        ident::{GateId, RunId},
        ratio::Weight,
        spec::{GateSignal, GateSpec},
        text::Text,
        time::Time,
    },
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// What the judge is about, for a source that is followed.
pub struct Subject<'a> {
    /// What is judged now, if something is.
    pub judged: Option<&'a Judged<'a>>,
    /// What it is compared with, or what is stable while nothing is judged.
    pub beside: Option<&'a Deployed>,
    /// Its gates, or stable's.
    pub gates: &'a [GateSpec],
    /// The candidate's share as the router has it; `None` without one.
    pub programmed: Option<Weight>,
    /// When instances of what is judged got ready.
    pub ready_at: Vec<Time>,
}

impl Service {
    /// Starts to be measured by a backend, if there is one.
    pub fn be_measured(&mut self, name: &str, backend: Option<&Arc<Backend>>, clock: &Arc<dyn crate::clock::Clock>) {
        if self.measured.is_none() {
            self.measured = backend.map(|backend| Measured::start(Arc::clone(backend), name, Arc::clone(clock)));
        }
    }

    /// Tells the backend's task what is followed, and feeds the ledger with what has come. Whether
    /// anything did. The ledger follows the same run already.
    pub(super) fn take_measured(&mut self, state: &ServiceState, about: &Subject<'_>, now: Time) -> bool {
        let Some(measured) = &mut self.measured else { return false };
        let run = state.life.run.as_ref().filter(|_| about.judged.is_some());
        let named = |d: &Deployed| (d.id.as_str().to_owned(), d.label.clone());
        let key = Key {
            run: run.map(|r| r.id.as_str().to_owned()),
            candidate: about.judged.map(|j| named(j.who)),
            stable: about.beside.map(named),
            gates: about.gates.to_vec(),
        };
        let ledger = &self.ledger;
        measured.follow(key, || Begin {
            // Between runs only how errors come is to be known: nothing of before is needed.
            since: run.map_or(now, |r| r.started.at),
            judged: judged_until(about.gates, |gate| ledger.gate(gate).and_then(crate::judge::GateRun::last)),
            slow_from: state.slow_from,
            run_since: run.map(|r| r.started.at),
        });
        let share = about.programmed.map(|weight| weight.percent() / 100.0);
        measured.moved(share, about.judged.and_then(|j| j.since), now);
        measured.got_ready(about.ready_at.iter().copied());
        let mut fed = false;
        for (id, interval) in measured.intervals() {
            if let Some(gate) = about.gates.iter().find(|g| g.name == id) {
                self.ledger.feed_measured(gate, &interval);
                fed = true;
            }
        }
        fed
    }

    /// What is slow in this run by the backend's buckets; `None` where none measures, or it is not known yet.
    pub(super) fn slow_measured(&self, run: &RunId) -> Option<Duration> {
        self.measured.as_ref()?.slow_from(run.as_str())
    }

    /// What is said of the backend, and of alerts about this service: findings by their kinds.
    pub(super) fn said_by_backend(&self) -> [(&'static str, Option<Text>); 2] {
        let measured = self.measured.as_ref();
        let firing = measured.map(Measured::firing).unwrap_or_default();
        let alerts = match firing.as_slice() {
            [] => None,
            [only] => Some(only.clone()),
            [first, more @ ..] => Some(format!("{first} +{} more", more.len()).into()),
        };
        [("metrics", measured.and_then(Measured::trouble)), ("alerts", alerts)]
    }
}

/// Where each gate goes on: after a restart of the host, nothing is counted twice.
fn judged_until(gates: &[GateSpec], last: impl Fn(&GateId) -> Option<Time>) -> BTreeMap<GateId, Time> {
    let counted = gates.iter().filter(|g| g.signal != GateSignal::Alerts);
    counted.filter_map(|g| Some((g.name.clone(), last(&g.name)?))).collect()
}
