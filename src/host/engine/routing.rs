//! By what a service's clients are told apart, and what its testers did.

use super::service::Service;
use crate::{
    conductor::life::{Life, PoolId, RunState},
    host::instances::Instances,
    model::{digest::Digest, routing::Routing, spec::SecretSource, text::Text, time::Time},
};
use secrecy::ExposeSecret as _;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How often the value of the testers is read again: it may have been changed.
const READ: Duration = Duration::from_secs(5);

/// How often it is said what testers did.
const SAID: Duration = Duration::from_secs(60);

/// The digests of the values by which testers are known, by service. Read in the background.
#[derive(Clone, Default)]
pub struct TesterValues(Arc<Mutex<BTreeMap<String, Value>>>);

struct Value {
    source: SecretSource,
    /// `None` until it was read.
    digest: Option<Result<Digest, Text>>,
    asked: Duration,
}

/// What was said last of a pool's testers.
pub struct Tested {
    pool: PoolId,
    requests: u64,
    at: Duration,
}

impl TesterValues {
    /// What is known of a service's value; reads it if that was not done lately.
    fn look(&self, service: &str, source: &SecretSource, instances: &Instances, uptime: Duration) -> Option<Result<Digest, Text>> {
        let mut all = self.all();
        let known = all.get(service).filter(|v| v.source == *source);
        let (digest, lately) = known.map_or((None, false), |v| (v.digest.clone(), uptime.saturating_sub(v.asked) < READ));
        if !lately {
            all.insert(service.to_owned(), Value { source: source.clone(), digest: digest.clone(), asked: uptime });
            let (own, service, source, instances) = (self.clone(), service.to_owned(), source.clone(), instances.clone());
            tokio::spawn(async move {
                let read = instances.secret("tester", &source).await;
                let digest = read.map(|value| Digest::of(value.expose_secret().as_bytes()));
                if let Some(value) = own.all().get_mut(&service).filter(|v| v.source == source) {
                    value.digest = Some(digest);
                }
            });
        }
        digest
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells clients apart as the run's candidate wants it.
pub(super) fn keep(
    service: &mut Service,
    name: &str,
    life: &Life,
    values: &TesterValues,
    instances: &Instances,
    now: Time,
    uptime: Duration,
) {
    let routing = life.run.as_ref().map(|r| r.candidate.spec.routing.clone()).unwrap_or_default();
    let digest = routing.tester.as_ref().and_then(|tester| values.look(name, &tester.secret, instances, uptime));
    let trouble = digest.as_ref().and_then(|d| d.as_ref().err()).map(|why| format!("testers are not let through: {why}").into());
    service.finding("tester", trouble, now);
    service.tell_apart(routing, digest.and_then(Result::ok));
}

/// Whether testers reach the candidate: from its start until it is stable or was left.
pub(super) fn lets_testers(life: &Life) -> bool {
    life.run.as_ref().is_some_and(|r| matches!(r.state, RunState::Starting | RunState::Stepping))
}

/// What testers did since it was said last, at once for the first of them.
pub(super) fn tested(service: &mut Service, life: &Life, uptime: Duration) -> Option<Text> {
    let candidate = &life.run.as_ref()?.candidate;
    let pool = candidate.pool();
    let totals = service.proxy.tested(&pool)?.totals();
    let (before, at) = service.tested.as_ref().filter(|t| t.pool == pool).map_or((0, None), |t| (t.requests, Some(t.at)));
    if totals.requests == before || at.is_some_and(|at| uptime.saturating_sub(at) < SAID) {
        return None;
    }
    service.tested = Some(Tested { pool, requests: totals.requests, at: uptime });
    let requests = if totals.requests == 1 { "1 request".to_owned() } else { format!("{} requests", totals.requests) };
    Some(format!("testers: {requests} to {} so far, {} failed; not in its figures", candidate.label, totals.errors).into())
}

impl Service {
    fn tell_apart(&mut self, routing: Routing, tester: Option<Digest>) {
        let told = (routing, tester);
        if self.told_apart.as_ref() != Some(&told) {
            self.proxy.route(&told.0, told.1);
            self.told_apart = Some(told);
        }
    }
}
