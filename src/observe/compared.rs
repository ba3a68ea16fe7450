//! Which versions of a rollout are compared, since when, and what is filled into queries for each.

use crate::{
    metrics::{alerts::Whom, feed::Subject, template::Variables},
    model::{
        ident::{Role, RunId, VersionId},
        rollout::{Phase, Rollout},
        text::Raw,
        time::Time,
        version::Track,
    },
};
use std::{collections::BTreeMap, time::Duration};

/// So long before a run stable is read: how its errors come is told from the last hour.
const LOOK_BACK: Duration = Duration::from_secs(3_600);

/// Two versions, or stable alone where nothing is rolled out.
#[derive(Clone, PartialEq, Debug)]
pub struct Compared {
    service: Raw,
    /// The run; `None` where nothing is rolled out.
    pub run: Option<RunId>,
    /// The version that is to be replaced.
    pub stable: VersionId,
    /// The one that is to replace it.
    pub candidate: Option<VersionId>,
    /// When the run began, where that is known.
    began: Option<Time>,
    values: [Variables; 2],
}

impl Compared {
    /// `None` while no version is stable: there is nothing to compare with.
    pub fn of(rollout: &Rollout, configured: &Variables) -> Option<Self> {
        let stable = rollout.tracks.iter().find(|t| t.role == Role::Stable)?;
        let candidate = rollout.tracks.iter().find(|t| t.role == Role::Candidate).filter(|_| is_moving(rollout));
        Some(Self {
            service: rollout.key.service.clone(),
            run: rollout.run.clone().filter(|_| candidate.is_some()),
            stable: stable.version.id.clone(),
            candidate: candidate.map(|t| t.version.id.clone()),
            began: rollout.started.as_ref().map(|s| s.at).filter(|_| candidate.is_some()),
            values: [values(rollout, stable, configured), candidate.map(|c| values(rollout, c, configured)).unwrap_or_default()],
        })
    }

    /// As a feed follows it.
    pub fn subject(&self, now: Time) -> Subject {
        let [stable, candidate] = self.values.clone();
        Subject {
            since: self.since(now),
            stable,
            candidate: self.candidate.as_ref().map(|_| candidate),
            slow_from: None,
            judged: BTreeMap::new(),
            look_back: if self.run.is_some() { LOOK_BACK } else { Duration::ZERO },
        }
    }

    /// From when on it is judged: when the run began, or now where that is not known.
    pub fn since(&self, now: Time) -> Time {
        self.began.map_or(now, |began| began.min(now))
    }

    /// What is filled into queries: of stable, and of the candidate.
    pub const fn values(&self) -> &[Variables; 2] {
        &self.values
    }

    /// Whom alerts are about.
    pub fn whom(&self) -> Whom<'_> {
        let [stable, _] = &self.values;
        Whom::of(self.service.as_str(), stable)
    }

    /// Whether what was counted for the one goes on for the other: the same versions of the same run.
    pub fn goes_on(&self, other: &Self) -> bool {
        (&self.run, &self.stable, &self.candidate, &self.values) == (&other.run, &other.stable, &other.candidate, &other.values)
    }
}

/// Whether traffic of two versions is to be compared: also of one that cannot go on and waits for a person, who
/// must know how it does.
pub const fn is_moving(rollout: &Rollout) -> bool {
    matches!(rollout.phase, Phase::Progressing | Phase::Held | Phase::Reverting | Phase::Failed)
}

/// What is filled into the queries of one version. What a configuration says goes before what is known.
#[must_use]
pub fn values(rollout: &Rollout, track: &Track, configured: &Variables) -> Variables {
    let key = &rollout.key;
    let version = track.version.measured_as.as_ref().map_or_else(|| track.version.label.to_string(), |name| name.as_str().to_owned());
    let mut values = Variables::from([
        ("service".to_owned(), key.service.as_str().to_owned()),
        ("version".to_owned(), version),
        ("label".to_owned(), track.version.label.to_string()),
        ("pod_hash".to_owned(), track.version.id.as_str().to_owned()),
    ]);
    values.extend(key.scope.last().map(|namespace| ("namespace".to_owned(), namespace.as_str().to_owned())));
    values.extend(rollout.names.iter().map(|(name, value)| (name.clone(), value.as_str().to_owned())));
    values.extend(configured.clone());
    values
}
