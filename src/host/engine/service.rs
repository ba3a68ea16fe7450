//! What the host has in memory of one service, beside what it remembers on disk.

use crate::{
    conductor::life::{Deployed, PoolId},
    host::{
        measure::Baseline,
        proof::Watch,
        proxy::{Lingering, Proxy},
    },
    journal,
    model::{
        gate::GateState,
        rollout::{Finding, Rollout},
        text::Text,
        time::{Time, after},
    },
};
use std::{collections::BTreeMap, time::Duration};

/// See the module.
pub struct Service {
    /// Its listener.
    pub proxy: Proxy,
    /// Zero points of the evidence.
    pub baseline: Baseline,
    /// Its gates as they were judged last.
    pub gates: Vec<GateState>,
    /// The way back that is being proved.
    pub proof: Option<Watch>,
    /// The journal's intent of a way back that the host itself asked for, until it has arrived.
    pub own_way_back: Option<journal::Entry>,
    /// Pools that are no longer wanted and finish what they have.
    pub drains: BTreeMap<PoolId, Drain>,
    /// Versions that were measured and are not routed any more, as long as their traffic is of interest.
    pub known: BTreeMap<PoolId, Deployed>,
    /// What is wrong beside the signals, with since when.
    pub findings: Vec<Finding>,
    /// What was told last.
    pub told: Option<Rollout>,
    /// The failed requests that were told last, by a counter of the meter.
    pub failed_told: BTreeMap<PoolId, u64>,
}

/// A pool that finishes what it has.
pub struct Drain {
    /// When it lost its traffic.
    pub since: Time,
    /// How long it may take.
    pub bound: Duration,
    /// Whether its instances were told to end.
    pub stopping: bool,
}

impl Drain {
    /// When what is still in flight is cut.
    pub fn ends(&self) -> Time {
        after(self.since, self.bound)
    }
}

impl Service {
    /// A service without instances.
    pub fn new(proxy: Proxy) -> Self {
        Self {
            proxy,
            baseline: Baseline::default(),
            gates: Vec::new(),
            proof: None,
            own_way_back: None,
            drains: BTreeMap::new(),
            known: BTreeMap::new(),
            findings: Vec::new(),
            told: None,
            failed_told: BTreeMap::new(),
        }
    }

    /// Lets go of everything but the listener.
    pub fn into_proxy(self) -> Proxy {
        self.proxy
    }

    /// When the next drain is over.
    pub fn next_drain_end(&self) -> Option<Time> {
        self.drains.values().filter(|d| !d.stopping).map(Drain::ends).min()
    }

    /// Opens or closes a finding; one that stays keeps its `since`.
    pub fn finding(&mut self, kind: &str, what: Option<Text>, now: Time) {
        let since = self.findings.iter().find(|f| f.kind.as_str() == kind).map(|f| f.since);
        self.findings.retain(|f| f.kind.as_str() != kind);
        if let Some(what) = what {
            self.findings.push(Finding { kind: kind.into(), what, since: since.unwrap_or(now) });
        }
    }
}

/// `3 requests outlived 30 s on v42: GET /slow for 41 s, …`
pub fn outlived(label: &Text, bound: Duration, left: &[Lingering], now: Time) -> Text {
    let shown = left.iter().take(3).map(|l| {
        let age = crate::model::time::elapsed(now, l.since).as_secs();
        format!("{} {}{} for {age} s", l.method, l.path, if l.upgraded { " (upgraded)" } else { "" })
    });
    let list = shown.collect::<Vec<_>>().join(", ");
    let more = if left.len() > 3 { format!(" and {} more", left.len() - 3) } else { String::new() };
    format!("{} requests outlived the drain of {} on {label}: {list}{more}", left.len(), humantime::format_duration(bound)).into()
}
