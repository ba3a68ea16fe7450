//! Where a candidate without traffic is reached: a listener of its own, with counters of its own.

use super::service::Service;
use crate::{
    clock::Clock,
    conductor::life::{Life, PoolId},
    host::proxy::{Arm, Proxy, Table},
    model::{ratio::Weight, spec::ServiceSpec, text::Text, time::Time},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// How soon a listener that could not be had is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// The preview listener of a service.
pub struct Preview {
    listen: SocketAddr,
    /// The listener, or why there is none, and when that was found by the host's uptime.
    proxy: Result<Proxy, (Text, Duration)>,
}

impl Preview {
    /// Listens, or remembers why not.
    pub fn open(name: &str, listen: SocketAddr, spec: &ServiceSpec, clock: &Arc<dyn Clock>) -> Self {
        let proxy = Proxy::bind_preview(name.into(), listen, spec.proxy.clone(), Arc::clone(clock));
        Self { listen, proxy: proxy.map_err(|e| (Text::from(e.to_string()), clock.uptime())) }
    }

    /// Its listener, if it has one.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref().ok()
    }

    fn trouble(&self) -> Option<Text> {
        self.proxy.as_ref().err().map(|(why, _)| format!("the preview {why}").into())
    }

    fn is_due(&self, listen: SocketAddr, uptime: Duration) -> bool {
        self.listen != listen || self.proxy.as_ref().is_err_and(|(_, tried)| uptime >= tried.saturating_add(RETRY))
    }
}

/// Listens where the run's candidate wants to be shown, and shows what is to be shown there. What to say
/// when somebody can look at it from now on: where, since the system may have chosen the port.
pub(super) fn keep(service: &mut Service, name: &str, life: &Life, arm: Option<Arm>, clock: &Arc<dyn Clock>, now: Time) -> Option<Text> {
    if let Some(spec) = life.run.as_ref().map(|r| &r.candidate.spec) {
        match spec.preview_listen {
            None => service.preview = None,
            Some(listen) if service.preview.as_ref().is_none_or(|p| p.is_due(listen, clock.uptime())) => {
                // Before the new one: it may be the same address after all.
                service.preview = None;
                service.preview = Some(Preview::open(name, listen, spec, clock));
            }
            Some(_) => {}
        }
    }
    let trouble = service.preview.as_ref().and_then(Preview::trouble);
    service.finding("preview", trouble, now);
    let mut shown = None;
    if let Some(proxy) = service.preview.as_ref().and_then(Preview::proxy) {
        if arm.as_ref().is_some_and(|arm| !service.previewed.contains(&arm.pool)) {
            let label = life.run.as_ref().map(|r| r.candidate.label.clone()).unwrap_or_default();
            shown = Some(format!("{label} is reached at {} while it has no traffic", proxy.local_addr()).into());
        }
        let gone: Vec<PoolId> = service.previewed.iter().filter(|p| arm.as_ref().is_none_or(|arm| arm.pool != **p)).cloned().collect();
        service.previewed.extend(arm.as_ref().map(|arm| arm.pool.clone()));
        proxy.program(Table { stable: arm, candidate: None, weight: Weight::ZERO, testers: false });
        for pool in gone.iter().filter(|pool| proxy.in_flight(pool) + proxy.upgraded(pool) == 0) {
            proxy.forget(pool);
            service.previewed.remove(pool);
        }
    }
    shown
}
