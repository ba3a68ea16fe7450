//! A scenario: an ordinary host configuration, and beside it faults, load and expected end.

use super::sample::Behaviour;
use crate::model::{
    rollout::{Phase, Rollout},
    time::human,
};
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};

/// Scenarios that come with the program.
const BUILT_IN: [(&str, &str); 3] = [
    ("errors", include_str!("../../../assets/scenarios/errors.toml")),
    ("healthy", include_str!("../../../assets/scenarios/healthy.toml")),
    ("both-sick", include_str!("../../../assets/scenarios/both-sick.toml")),
];

/// What is run when none is named.
pub const DEFAULT: &str = "errors";

/// A scenario that can be run.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    /// What it shows, in one line.
    pub about: String,
    /// Requests per second.
    pub rate: f64,
    /// The service that is rolled out.
    pub service: String,
    /// How each version behaves, by label, the stable one first.
    pub versions: Vec<(String, Behaviour)>,
    /// How it ends.
    pub expect: Expect,
    /// The host configuration: everything in the file beside `[demo]`.
    pub host: toml::Table,
}

/// How a scenario ends.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The phase it ends in.
    pub phase: String,
    /// The verdict it ends with: `pass`, `fail`, `wait`, `blind`; empty when none is needed.
    #[serde(default)]
    pub verdict: String,
    /// Words that the verdict's sentence must contain.
    #[serde(default)]
    pub says: String,
    /// How long it may take.
    #[serde(with = "human")]
    pub within: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Demo {
    about: String,
    rate: f64,
    service: String,
    stable: String,
    candidate: String,
    versions: BTreeMap<String, Behaviour>,
    expect: Expect,
}

/// Names and one line each.
///
/// # Errors
/// Never for scenarios that come with the program (tested).
pub fn list() -> anyhow::Result<Vec<(&'static str, String)>> {
    BUILT_IN.iter().map(|(name, text)| Ok((*name, parse(text)?.about))).collect()
}

/// A scenario by name.
///
/// # Errors
/// When there is none of that name; the message lists them.
pub fn find(name: &str) -> anyhow::Result<Scenario> {
    let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        anyhow::bail!("no scenario `{}`; there are {}", name.escape_debug(), known.join(", "));
    };
    parse(text)
}

fn parse(text: &str) -> anyhow::Result<Scenario> {
    let mut host: toml::Table = toml::from_str(text)?;
    let demo = host.remove("demo").ok_or_else(|| anyhow::anyhow!("a scenario needs a [demo] table"))?;
    let demo: Demo = demo.try_into()?;
    let mut versions = demo.versions;
    let mut take = |label: &String| {
        let behaviour = versions.remove(label).ok_or_else(|| anyhow::anyhow!("no [demo.versions.{label}]"))?;
        Ok::<_, anyhow::Error>((label.clone(), behaviour))
    };
    let versions = vec![take(&demo.stable)?, take(&demo.candidate)?];
    Ok(Scenario { about: demo.about, rate: demo.rate, service: demo.service, versions, expect: demo.expect, host })
}

impl Expect {
    /// Whether a rollout is as the scenario ends.
    #[must_use]
    pub fn is_met(&self, rollout: &Rollout) -> bool {
        let verdict = rollout.verdict.as_ref();
        let word = verdict.map(|v| v.word.as_str()).unwrap_or_default();
        let sentence = verdict.map(|v| v.sentence.as_str()).unwrap_or_default();
        rollout.phase.word() == self.phase
            && (self.verdict.is_empty() || word.eq_ignore_ascii_case(&self.verdict))
            && sentence.contains(&self.says)
            && rollout.phase != Phase::Idle
    }
}

#[cfg(test)]
mod tests {
    use super::{BUILT_IN, DEFAULT, find, list};

    #[test]
    fn every_scenario_is_well_formed_and_its_host_part_is_an_ordinary_configuration() {
        for (name, _) in BUILT_IN {
            let scenario = find(name).unwrap();
            let text = toml::to_string(&scenario.host).unwrap();
            let config = crate::config::parse(&text, name).unwrap();
            assert!(config.services.iter().any(|s| s.name == scenario.service), "{name}");
            assert_eq!(scenario.versions.len(), 2);
        }
        assert!(find(DEFAULT).is_ok());
        assert_eq!(list().unwrap().len(), BUILT_IN.len());
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let message = find("erors").unwrap_err().to_string();
        assert!(message.contains("errors, healthy, both-sick"), "{message}");
    }
}
