//! A scenario: an ordinary host configuration, and beside it, in `[demo]`, what there is to know of each
//! of its services: versions and how they behave, load, expected end. `assets/scenarios/errors.toml`
//! explains every key.

mod check;
mod expect;

pub use expect::Expect;

use super::{load::Load, sample::behaviour::Behaviour};
use crate::{
    config::{self, Config, ConfigError, nearest},
    model::time::human,
};
use serde::Deserialize;
use std::{collections::BTreeMap, path::Path, time::Duration};

/// Scenarios that come with the program.
const BUILT_IN: [(&str, &str); 18] = [
    ("fleet", include_str!("../../../assets/scenarios/fleet.toml")),
    ("errors", include_str!("../../../assets/scenarios/errors.toml")),
    ("healthy", include_str!("../../../assets/scenarios/healthy.toml")),
    ("both-sick", include_str!("../../../assets/scenarios/both-sick.toml")),
    ("p99", include_str!("../../../assets/scenarios/p99.toml")),
    ("crash-loop", include_str!("../../../assets/scenarios/crash-loop.toml")),
    ("blue-green", include_str!("../../../assets/scenarios/blue-green.toml")),
    ("rolling", include_str!("../../../assets/scenarios/rolling.toml")),
    ("recreate", include_str!("../../../assets/scenarios/recreate.toml")),
    ("leak", include_str!("../../../assets/scenarios/leak.toml")),
    ("never-ready", include_str!("../../../assets/scenarios/never-ready.toml")),
    ("delayed-crash", include_str!("../../../assets/scenarios/delayed-crash.toml")),
    ("flaky", include_str!("../../../assets/scenarios/flaky.toml")),
    ("cold-start", include_str!("../../../assets/scenarios/cold-start.toml")),
    ("unsafe-migration", include_str!("../../../assets/scenarios/unsafe-migration.toml")),
    ("rush-hour", include_str!("../../../assets/scenarios/rush-hour.toml")),
    ("sick-instance", include_str!("../../../assets/scenarios/sick-instance.toml")),
    ("auto-revert", include_str!("../../../assets/scenarios/auto-revert.toml")),
];

/// What is run when none is named.
pub const DEFAULT: &str = "fleet";

/// When a version that says nothing else is deployed: there is a p99 to compare with by then.
const SOON: Duration = Duration::from_secs(3);

/// A scenario that can be run.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    /// What it shows, in one line.
    pub about: String,
    /// What each service does, by its name.
    pub parts: BTreeMap<String, Part>,
    /// The host configuration: everything in the file beside `[demo]`.
    pub host: toml::Table,
}

/// `[demo]` of a scenario's file.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Demo {
    about: String,
    service: BTreeMap<String, Part>,
}

/// What one service does.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Requests that arrive at it; none without.
    #[serde(default)]
    pub load: Option<Load>,
    /// Its versions in the order of their deploys; the first is stable before anything is counted.
    #[serde(rename = "version")]
    pub versions: Vec<Release>,
    /// How it ends.
    pub expect: Expect,
}

/// A version and when it is deployed.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// What people call it.
    pub label: String,
    /// When it is deployed, from when the load began; never while another rollout of the service moves.
    #[serde(default, with = "optional")]
    pub at: Option<Duration>,
    /// Why going back from it is not safe.
    #[serde(default)]
    pub revert_unsafe: Option<String>,
    /// What it does.
    #[serde(default)]
    pub behaves: Behaviour,
}

impl Release {
    /// When it is deployed, from when the load began.
    #[must_use]
    pub fn at(&self) -> Duration {
        self.at.unwrap_or(SOON)
    }
}

/// Names and one line each.
///
/// # Errors
/// Never for scenarios that come with the program (tested).
pub fn list() -> Result<Vec<(&'static str, String)>, ConfigError> {
    BUILT_IN.iter().map(|(name, text)| Ok((*name, parse(text, name, 1.0)?.about))).collect()
}

/// A scenario by name, or from a file if there is a `/` in the name or it ends in `.toml`. Pauses and
/// faults come `speed` times as fast.
///
/// # Errors
/// When there is none of that name, or something in the file is wrong: where, and what to do.
pub fn find(name: &str, speed: f64, uid: u32) -> anyhow::Result<Scenario> {
    if name.contains('/') || name.to_ascii_lowercase().ends_with(".toml") {
        let path = Path::new(name);
        return parse(&config::read(path, uid)?, &config::shown(path), speed).map_err(|e| first(&e));
    }
    let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) else {
        let known = BUILT_IN.map(|(name, _)| name);
        let what = nearest("scenario", &name.escape_debug().to_string(), &known);
        anyhow::bail!("{what} (`cutover demo --list`; a file: ./{}.toml)", name.escape_debug());
    };
    Ok(parse(text, name, speed)?)
}

/// The first of everything that is wrong, in one line.
fn first(error: &ConfigError) -> anyhow::Error {
    match error.lines().as_slice() {
        [first, _, ..] => anyhow::anyhow!("{first} (and {} more)", error.lines().len() - 1),
        lines => anyhow::anyhow!("{}", lines.concat()),
    }
}

fn parse(text: &str, name: &str, speed: f64) -> Result<Scenario, ConfigError> {
    let check = |config: &Config, demo: &Demo, places: &config::Places<'_>| check::check(config, demo, places, speed);
    let (_, demo) = config::parse_beside(text, name, "demo", check)?;
    let mut host: toml::Table = toml::from_str(text).unwrap_or_default();
    host.remove("demo");
    Ok(Scenario { about: demo.about, parts: demo.service, host }.faster(speed))
}

impl Scenario {
    /// Pauses, deadlines and faults come so many times sooner; what counts requests takes as long as ever.
    fn faster(mut self, speed: f64) -> Self {
        for part in self.parts.values_mut() {
            for release in &mut part.versions {
                release.behaves = std::mem::take(&mut release.behaves).faster(speed);
            }
            // What waits for requests is not sped up, so more time is never harmful.
            part.expect.within = part.expect.within.div_f64(speed.min(1.0));
        }
        let shorter = |value: &mut toml::Value| {
            if let Some(Ok(span)) = value.as_str().map(humantime::parse_duration) {
                *value = humantime::format_duration(whole(span.div_f64(speed))).to_string().into();
            }
        };
        let services = self.host.get_mut("service").and_then(toml::Value::as_array_mut).into_iter().flatten();
        for service in services.filter_map(toml::Value::as_table_mut) {
            let steps = service.get_mut("steps").and_then(toml::Value::as_array_mut).into_iter().flatten();
            steps.filter_map(|step| step.get_mut("pause")).for_each(shorter);
            if let Some(ready) = service.get_mut("deadline").and_then(|d| d.get_mut("ready")) {
                shorter(ready);
            }
            for key in ["bake", "warmup"] {
                if let Some(span) = service.get_mut(key) {
                    shorter(span);
                }
            }
            let gates = service.get_mut("gate").and_then(toml::Value::as_array_mut).into_iter().flatten();
            gates.filter_map(|gate| gate.get_mut("warmup")).for_each(shorter);
        }
        self
    }
}

/// Whole milliseconds: what configuration can hold.
fn whole(span: Duration) -> Duration {
    Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1))
}

/// A duration that may be absent.
mod optional {
    use super::{Duration, human};
    use serde::{Deserialize, Deserializer};

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
        #[derive(Deserialize)]
        struct Given(#[serde(with = "human")] Duration);
        Ok(Some(Given::deserialize(d)?.0))
    }
}

#[cfg(test)]
mod tests;
