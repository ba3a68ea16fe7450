//! `BACK READY`: what the way back needs, looked at all the time, before it is needed.

use super::{availability::Found, deploy::Depot, instances::PoolStatus, secret_check::SecretCheck};
use crate::{
    conductor::life::Deployed,
    model::{
        back::{Check, CheckState},
        text::Text,
        time::Time,
    },
};

/// What the lamp looks at.
pub struct Light<'a> {
    /// Artifacts.
    pub depot: &'a Depot,
    /// What was found in the store.
    pub found: &'a Found,
    /// Instances.
    pub pools: &'a [PoolStatus],
    /// Secrets.
    pub secrets: &'a SecretCheck,
    /// What the disk says.
    pub trouble: Option<Text>,
    /// When it looks.
    pub now: Time,
}

impl Light<'_> {
    /// Everything that going back to this version needs.
    #[must_use]
    pub fn checks(&self, to: &Deployed, redeploy: bool) -> Vec<Check> {
        let pool = self.pools.iter().find(|p| p.id == to.pool());
        let mut checks =
            if redeploy { vec![self.fresh(to), self.to_unpack(to)] } else { vec![self.instances(pool, to), self.artifact(to)] };
        checks.extend(self.store(to));
        checks.extend(self.start(to).filter(|_| redeploy));
        checks.extend(self.secrets(to, pool));
        checks.push(match &self.trouble {
            None => self.check("disk", CheckState::Ok, "state is on disk"),
            Some(trouble) => self.check("disk", CheckState::Bad, trouble.as_str()),
        });
        checks
    }

    /// None of it runs, and none has to.
    fn fresh(&self, to: &Deployed) -> Check {
        self.check("instances", CheckState::Ok, &format!("{} to be started", to.spec.instances))
    }

    /// A copy is made of what is sealed, unless there is one.
    fn to_unpack(&self, to: &Deployed) -> Check {
        let (watchman, known) = (&self.depot.watchman, self.found.about.contains_key(&to.artifact));
        if known && watchman.drift(&to.artifact).is_none() && watchman.verified_at(&to.artifact).is_none() {
            return self.check("artifact", CheckState::Ok, &format!("{} sealed, to be unpacked", to.artifact.short()));
        }
        self.artifact(to)
    }

    /// As many as the version needs for all the traffic, however few there should be now.
    fn instances(&self, pool: Option<&PoolStatus>, to: &Deployed) -> Check {
        let Some(pool) = pool else { return self.check("instances", CheckState::Bad, "none run") };
        let (ready, enough) = (pool.ready.len(), pool.desired.max(to.spec.instances));
        let state = if ready > 0 && ready >= enough as usize { CheckState::Ok } else { CheckState::Bad };
        self.check("instances", state, &format!("{ready}/{enough} warm"))
    }

    /// Whether it could be started again.
    fn store(&self, to: &Deployed) -> Option<Check> {
        let at = self.found.at?;
        let (state, detail) = match self.found.gone.get(&to.artifact) {
            Some(why) => (CheckState::Bad, why.clone()),
            None if self.found.about.contains_key(&to.artifact) => (CheckState::Ok, "sealed artifact is there".into()),
            // Deployed after the last look.
            None => return None,
        };
        Some(Check { name: "store".into(), state, detail, at })
    }

    /// Whether its instances could be started, beside the artifact and the secrets, which have lines of
    /// their own.
    fn start(&self, to: &Deployed) -> Option<Check> {
        let (lacks, at) = (self.found.lacks.get(&to.pool())?, self.found.at?);
        let (state, detail) = match lacks.split_first() {
            None => (CheckState::Ok, "command, user, ports and room are there".into()),
            Some((first, [])) => (CheckState::Bad, first.clone()),
            Some((first, more)) => (CheckState::Bad, format!("{first} ({} more)", more.len()).into()),
        };
        Some(Check { name: "start".into(), state, detail, at })
    }

    fn artifact(&self, to: &Deployed) -> Check {
        let digest = to.artifact.short();
        match (self.depot.watchman.drift(&to.artifact), self.depot.watchman.verified_at(&to.artifact)) {
            (Some(drift), _) => self.check("artifact", CheckState::Bad, &format!("drift: {drift}")),
            (None, Some(at)) => Check { name: "artifact".into(), state: CheckState::Ok, detail: format!("{digest} verified").into(), at },
            (None, None) => self.check("artifact", CheckState::Bad, &format!("{digest} is not unpacked")),
        }
    }

    fn secrets(&self, to: &Deployed, pool: Option<&PoolStatus>) -> Option<Check> {
        let started_with = pool.and_then(|p| p.secrets.as_ref());
        let found = self.secrets.found(&to.pool())?;
        let (state, detail) = match found.hash.as_ref()? {
            // A switch needs no secret; a fresh start would get the new one.
            Ok(now) if started_with.is_some_and(|then| now.as_ref() != Some(then)) => {
                (CheckState::Ok, "changed since its instances started")
            }
            Ok(_) => (CheckState::Ok, "unchanged"),
            Err(why) => (CheckState::Bad, why.as_str()),
        };
        Some(Check { name: "secrets".into(), state, detail: detail.into(), at: found.at })
    }

    fn check(&self, name: &str, state: CheckState, detail: &str) -> Check {
        Check { name: name.into(), state, detail: detail.into(), at: self.now }
    }
}
