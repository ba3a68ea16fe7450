//! What was found wrong beside the signals: opened, kept and closed, each told in the timeline.

use super::{Engine, service::Service};
use crate::{
    conductor::life::{Deployed, Life},
    host::{availability::Found, state::ServiceState},
    model::{
        back::How,
        digest::Digest,
        event::Level,
        ident::VersionId,
        rollout::Finding,
        text::Text,
        time::{Time, elapsed, span},
        version::About,
    },
};
use std::{collections::BTreeSet, time::Duration};

impl Engine {
    /// Looks at what may be needed when that is due.
    pub(super) fn look(&mut self, now: Time, uptime: Duration) {
        let returns = self.returns();
        let found = self.availability.found();
        // A version that the way back leads to from now on is not left for a minute without a look.
        if uptime >= self.look_at || returns.iter().any(|to| !found.lacks.contains_key(&to.pool())) {
            self.look_at = uptime.saturating_add(self.look_every);
            let artifacts: BTreeSet<Digest> = self.state.services.values().flat_map(ServiceState::told).collect();
            self.availability.look(&self.depot, &self.instances, artifacts, returns, now);
        }
    }

    /// Versions that would have to be started for the way back.
    fn returns(&self) -> Vec<Deployed> {
        let told = |service: &Service| service.told.as_ref().is_some_and(|r| matches!(r.back.how, How::Redeploy { .. }));
        let of = self.services.iter().filter(|(_, service)| told(service));
        of.filter_map(|(name, service)| way_back_to(service, &self.state.services.get(name)?.life).cloned()).collect()
    }

    /// Opens and closes what was found.
    pub(super) fn take_up_found(&mut self, now: Time) {
        let found = self.availability.found();
        for (name, service) in &mut self.services {
            let Some(state) = self.state.services.get(name) else { continue };
            for (kind, what) in [("way back", way_back(service, &state.life, &found)), ("instance", strayed(service, &found))] {
                self.news.extend(service.change(kind, what, now).map(|(level, what)| (name.clone(), level, what)));
            }
        }
    }
}

/// Why the version to go back to could not be started again.
fn way_back(service: &Service, life: &Life, found: &Found) -> Option<Text> {
    let deployed = way_back_to(service, life)?;
    let why = match (found.gone.get(&deployed.artifact), found.lacks.get(&deployed.pool())) {
        (Some(why), _) => why.to_string(),
        (None, lacks) => lacks.filter(|lacks| !lacks.is_empty())?.iter().map(Text::as_str).collect::<Vec<_>>().join("; "),
    };
    Some(format!("{} could not be started again: {why}", deployed.label).into())
}

/// The version that the way back goes to, as it was told last.
pub(super) fn way_back_to<'a>(service: &Service, life: &'a Life) -> Option<&'a Deployed> {
    let to: &VersionId = &service.told.as_ref()?.back.to.as_ref()?.id;
    remembered(life).find(|d| d.id == *to)
}

fn strayed(service: &Service, found: &Found) -> Option<Text> {
    let lines = found.strayed.iter().filter_map(|(pool, instance, what)| {
        let deployed = service.known.get(pool)?;
        Some(format!("{} of {}: {what}", instance.text(), deployed.label))
    });
    let lines: Vec<String> = lines.collect();
    (!lines.is_empty()).then(|| lines.join("; ").into())
}

/// Every version that is remembered.
fn remembered(life: &Life) -> impl Iterator<Item = &Deployed> {
    let now = life.stable.iter().chain(life.run.as_ref().map(|r| &r.candidate));
    now.chain(life.warm.as_ref().map(|w| &w.deployed)).chain(&life.past)
}

/// What is known of an artifact: as it was deployed, else as it was found in the store.
pub(super) fn about(state: &ServiceState, found: &Found, artifact: &Digest) -> Option<About> {
    state.sealed.get(artifact).or_else(|| found.about.get(artifact)).cloned()
}

impl Service {
    /// Opens or closes a finding, and says so when it does.
    pub fn change(&mut self, kind: &str, what: Option<Text>, now: Time) -> Option<(Level, Text)> {
        let before: Option<Finding> = self.findings.iter().find(|f| f.kind.as_str() == kind).cloned();
        self.finding(kind, what.clone(), now);
        match (before, what) {
            (None, Some(what)) => Some((Level::Bad, format!("{kind}: {what}").into())),
            (Some(before), None) => Some((
                Level::Info,
                format!("{kind} is as it should be again, after {}: {}", span(elapsed(now, before.since)), before.what).into(),
            )),
            _ => None,
        }
    }
}
