//! What is on its way out: pools that are no longer wanted, instances that are too many, and what a way
//! back left on the version it came from. Requests finish first; what does not in its time is cut and said.

use super::{
    service::{Cut, Drain, Service, outlived},
    turning::{is_reverting, of_interest},
};
use crate::{
    conductor::life::{Deployed, Life, RunState, Wanted},
    host::instances::{Instances, PoolStatus},
    model::{routing::OnRevert, text::Text, time::Time},
};
use std::time::Duration;

/// How long a service whose requests outlived the drain has between TERM and KILL.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// When it is.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    /// For people.
    pub now: Time,
    /// For spans: the wall clock may be set.
    pub uptime: Duration,
}

/// Pools that are no longer wanted finish their requests; then their instances end. Says what did not
/// finish in time.
pub(super) fn pools(
    service: &mut Service,
    instances: &Instances,
    life: &Life,
    wanted: &Wanted,
    all: &[PoolStatus],
    at: Moment,
) -> Vec<Text> {
    let mut said = Vec::new();
    let leaving: Vec<Deployed> = service.known.values().filter(|d| !wanted.pools.iter().any(|w| w.pool() == d.pool())).cloned().collect();
    for deployed in leaving {
        let pool = deployed.pool();
        if !all.iter().any(|p| p.id == pool) {
            service.drains.remove(&pool);
            // What was cut stays to be read as long as its version is shown.
            if !of_interest(life).any(|d| d.pool() == pool) {
                service.finding(&format!("drain {pool}"), None, at.now);
                service.known.remove(&pool);
                service.proxy.forget(&pool);
            }
            continue;
        }
        let bound = deployed.spec.drain;
        let in_flight = service.in_flight(&pool);
        let drain = service.drains.entry(pool.clone()).or_insert(Drain { since: at.uptime, bound, stopping: false });
        let over = at.uptime >= drain.ends();
        if drain.stopping || (in_flight > 0 && !over) {
            continue;
        }
        drain.stopping = true;
        if in_flight > 0 {
            let left = service.proxy.lingering(&pool);
            let what = outlived(&deployed.label, bound, &left, at.now);
            tracing::warn!("{what}");
            service.outlived += left.len() as u64;
            service.finding(&format!("drain {pool}"), Some(what.clone()), at.now);
            said.push(what);
        }
        // The requests had their time; what is left is the service's own end.
        instances.stop(&pool, if over { bound.min(LAST_WORDS) } else { bound });
    }
    said
}

/// Instances that are too many finish what they have; then they end.
pub(super) fn surplus(service: &mut Service, instances: &Instances, all: &[PoolStatus], at: Moment) -> Vec<Text> {
    let mut said = Vec::new();
    let mut leaving = Vec::new();
    for (pool, instance) in all.iter().flat_map(|p| p.leaving.iter().map(move |i| (&p.id, i))) {
        let Some(deployed) = service.known.get(pool) else { continue };
        leaving.push(instance.clone());
        let (bound, label) = (deployed.spec.drain, deployed.label.clone());
        let in_flight = service.in_flight_of(instance);
        let drain = service.surplus.entry(instance.clone()).or_insert(Drain { since: at.uptime, bound, stopping: false });
        let over = at.uptime >= drain.ends();
        if in_flight > 0 && !over {
            continue;
        }
        if in_flight > 0 {
            let mut left = service.proxy.lingering(pool);
            left.retain(|l| l.instance == *instance);
            let what = outlived(&label, bound, &left, at.now);
            tracing::warn!("{what}");
            service.outlived += left.len() as u64;
            said.push(what);
        }
        instances.end(pool, instance, if over { bound.min(LAST_WORDS) } else { bound });
    }
    service.surplus.retain(|instance, _| leaving.contains(instance));
    said
}

/// What the left version still answers is cut some time after the way back was asked for, if its owner
/// wants that. Says what was cut.
pub(super) fn cut_after_way_back(service: &mut Service, life: &Life, at: Moment) -> Option<Text> {
    let run = life.run.as_ref().filter(|_| is_reverting(life));
    let (Some(run), Some(OnRevert::CutAfter(after))) = (run, run.map(|r| r.candidate.spec.routing.on_revert)) else {
        service.cut = None;
        return None;
    };
    let (RunState::Reverting { asked, .. } | RunState::Reverted { asked, .. }) = run.state else { return None };
    let fresh = Cut { asked, due: at.uptime.saturating_add(after), done: false };
    let cut = service.cut.filter(|cut| cut.asked == asked).unwrap_or(fresh);
    let due = at.uptime >= cut.due;
    service.cut = Some(Cut { done: due, ..cut });
    if cut.done || !due {
        return None;
    }
    let left = service.proxy.lingering(&run.candidate.pool());
    let cut = service.proxy.cut(&run.candidate.pool());
    if cut == 0 {
        return None;
    }
    let shown: Vec<String> =
        left.iter().take(3).map(|l| format!("{} {}{}", l.method, l.path, if l.upgraded { " (upgraded)" } else { "" })).collect();
    let more = if left.len() > 3 { format!(" and {} more", left.len() - 3) } else { String::new() };
    let what = if cut == 1 { "1 request".to_owned() } else { format!("{cut} requests") };
    let after = humantime::format_duration(after);
    Some(
        format!("{what} still on {} cut {after} after the way back, as configured: {}{more}", run.candidate.label, shown.join(", ")).into(),
    )
}
