//! What the host has in memory of one service, beside what it remembers on disk.

use super::{judging::Followed, preview::Preview, routing::Tested, vitals::Vitals};
use crate::{
    conductor::life::{Deployed, PoolId},
    host::{
        measured::Measured,
        proof::Watch,
        proxy::{Lingering, Proxy},
        served::Served,
        tally::Tally,
    },
    journal,
    judge::Ledger,
    model::{
        digest::Digest,
        gate::GateState,
        ident::{InstanceId, VersionId},
        rollout::{Finding, Rollout},
        routing::Routing,
        spec::ProxySpec,
        text::Text,
        time::Time,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

/// See the module.
pub struct Service {
    /// Its listener.
    pub proxy: Proxy,
    /// Where it was asked to listen; port 0 is any.
    pub listen: SocketAddr,
    /// What the listener was told last.
    settings: ProxySpec,
    /// Counters on their way to the judge.
    pub tally: Tally,
    /// What a metrics backend says; `None` where the host's own counters are judged.
    pub measured: Option<Measured>,
    /// What the judge knows.
    pub ledger: Ledger,
    /// The run and weight that it follows.
    pub followed: Followed,
    /// When the ledger was last given to the disk, by the host's uptime.
    pub ledger_saved: Duration,
    /// What the version with all the traffic served since that was told.
    pub served: Served,
    /// Its gates as they were judged last.
    pub gates: Vec<GateState>,
    /// Whether they are about a version that stands alone; `None` where nothing is judged.
    pub judged_alone: Option<bool>,
    /// The way back that is being proved.
    pub proof: Option<Watch>,
    /// The journal's intent of a way back that the host itself asked for, until it has arrived.
    pub own_way_back: Option<journal::Entry>,
    /// Pools that are no longer wanted and finish what they have.
    pub drains: BTreeMap<PoolId, Drain>,
    /// Instances that are too many and finish what they have.
    pub surplus: BTreeMap<InstanceId, Drain>,
    /// What a way back left is cut.
    pub cut: Option<Cut>,
    /// Where a candidate without traffic is reached.
    pub preview: Option<Preview>,
    /// Pools that the preview has counters of.
    pub previewed: BTreeSet<PoolId>,
    /// By what the listener was told to tell clients apart.
    pub told_apart: Option<(Routing, Option<Digest>)>,
    /// What was said of testers last.
    pub tested: Option<Tested>,
    /// Versions that are measured, also when they are not routed any more, as long as they run or are told.
    pub known: BTreeMap<PoolId, Deployed>,
    /// Requests that were cut because they outlived a drain, since the host started.
    pub outlived: u64,
    /// What its instances look like.
    pub vitals: Vitals,
    /// What is wrong beside the signals, with since when.
    pub findings: Vec<Finding>,
    /// What was told last.
    pub told: Option<Rollout>,
    /// The failed requests that were told last, by a counter of the meter.
    pub failed_told: BTreeMap<PoolId, u64>,
}

/// What is still in flight on a version that was left is cut.
#[derive(Clone, Copy)]
pub struct Cut {
    /// When the way back was asked for.
    pub asked: Time,
    /// When it is cut, by the host's uptime.
    pub due: Duration,
    /// Whether it was.
    pub done: bool,
}

/// A pool that finishes what it has.
pub struct Drain {
    /// When it lost its traffic, by the host's uptime: the wall clock may be set.
    pub since: Duration,
    /// How long it may take.
    pub bound: Duration,
    /// Whether its instances were told to end.
    pub stopping: bool,
}

impl Drain {
    /// When what is still in flight is cut.
    pub const fn ends(&self) -> Duration {
        self.since.saturating_add(self.bound)
    }
}

impl Service {
    /// A service without instances.
    pub fn new(proxy: Proxy, listen: SocketAddr, settings: ProxySpec) -> Self {
        Self {
            proxy,
            listen,
            settings,
            tally: Tally::default(),
            measured: None,
            ledger: Ledger::default(),
            followed: Followed::default(),
            ledger_saved: Duration::ZERO,
            served: Served::default(),
            gates: Vec::new(),
            judged_alone: None,
            proof: None,
            own_way_back: None,
            drains: BTreeMap::new(),
            surplus: BTreeMap::new(),
            cut: None,
            preview: None,
            previewed: BTreeSet::new(),
            told_apart: None,
            tested: None,
            known: BTreeMap::new(),
            outlived: 0,
            vitals: Vitals::default(),
            findings: Vec::new(),
            told: None,
            failed_told: BTreeMap::new(),
        }
    }

    /// Passes requests on by these settings from now on.
    pub fn configure(&mut self, settings: &ProxySpec) {
        if self.settings != *settings {
            self.settings = settings.clone();
            self.proxy.configure(settings.clone());
        }
    }

    /// Lets go of everything but the listener.
    pub fn into_proxy(self) -> Proxy {
        self.proxy
    }

    /// When the next drain is over, by the host's uptime.
    pub fn next_drain_end(&self) -> Option<Duration> {
        let drains = self.drains.values().filter(|d| !d.stopping).chain(self.surplus.values());
        drains.map(Drain::ends).chain(self.cut.filter(|c| !c.done).map(|c| c.due)).min()
    }

    /// What a pool has in flight, upgraded connections and those of the preview included.
    pub fn in_flight(&self, pool: &PoolId) -> u64 {
        self.listeners().map(|p| p.in_flight(pool) + p.upgraded(pool)).sum()
    }

    /// The same of one instance.
    pub fn in_flight_of(&self, instance: &InstanceId) -> u64 {
        self.listeners().map(|p| p.in_flight_of(instance) + p.upgraded_of(instance)).sum()
    }

    fn listeners(&self) -> impl Iterator<Item = &Proxy> {
        [Some(&self.proxy), self.preview.as_ref().and_then(Preview::proxy)].into_iter().flatten()
    }

    /// The last start of a version that is measured.
    pub fn newest(&self, version: &VersionId) -> Option<&PoolId> {
        self.known.iter().rev().find(|(_, d)| d.id == *version).map(|(pool, _)| pool)
    }

    /// Opens or closes a finding; one that stays keeps its `since`. True when it is new.
    pub fn finding(&mut self, kind: &str, what: Option<Text>, now: Time) -> bool {
        let known = self.findings.iter().position(|f| f.kind.as_str() == kind);
        match (known, what) {
            (Some(place), Some(what)) => {
                if let Some(found) = self.findings.get_mut(place) {
                    found.what = what;
                }
                false
            }
            (Some(place), None) => {
                self.findings.remove(place);
                false
            }
            (None, Some(what)) => {
                self.findings.push(Finding { kind: kind.into(), what, since: now });
                true
            }
            (None, None) => false,
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
    let requests = if left.len() == 1 { "request" } else { "requests" };
    format!("{} {requests} outlived the drain of {} on {label}: {list}{more}", left.len(), humantime::format_duration(bound)).into()
}
