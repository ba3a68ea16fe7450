//! One version's place in a rollout: shares, instances, signals.

use super::{At, exact, parts::Version};
use crate::model::{
    instance::{self, Fate},
    ratio::Ratio,
    signal::{self, Reading, Unit},
    version,
};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// One version's place in a rollout.
#[derive(Serialize, JsonSchema)]
pub struct Track {
    /// Who it is.
    #[schemars(extend("enum" = ["stable", "candidate", "superseded", "experiment"]))]
    role: String,
    /// Where it is attached: active, preview, an alias.
    slot: Option<String>,
    /// The address where it is reached while it has no traffic; `null` while nothing is shown there.
    preview: Option<String>,
    /// What runs there.
    version: Version,
    /// Its declared share, in percent.
    weight: Option<f64>,
    /// What the router says it does, in percent.
    programmed: Option<f64>,
    /// What was counted over the last minute, in percent.
    seen: Option<f64>,
    /// What was counted: `requests`, `replicas`, `connections`.
    basis: String,
    /// Whether clients stay on the version they were dealt to: then `seen` may be off and nobody is to blame.
    sticky: bool,
    /// Its running copies.
    instances: Instances,
    /// How the memory of the instance went that grew most since it was warm; `null` until that can be said.
    memory_growth: Option<Growth>,
    /// What is measured of it, by name.
    signals: BTreeMap<&'static str, Signal>,
    /// What whoever made it says of it, by key: its artifact's annotations, why it was rolled out.
    annotations: BTreeMap<String, String>,
}

/// Running copies of a version, all pools together.
#[derive(Serialize, JsonSchema)]
struct Instances {
    /// How many there should be; `null` where they are not seen.
    desired: Option<u32>,
    /// How many may get traffic.
    ready: Option<u32>,
    /// How often one of them was started again.
    restarts: Option<u32>,
    /// Each of them; `null` where they are not seen.
    each: Option<Vec<Instance>>,
    /// When they are stopped by themselves, if that is decided.
    scale_down_at: Option<At>,
    /// Why they stay although they are not wanted any more.
    kept: Option<String>,
}

/// One running copy.
#[derive(Serialize, JsonSchema)]
struct Instance {
    /// Its name.
    id: String,
    /// Where it is in its life.
    #[schemars(extend("enum" = ["starting", "ready", "not_ready", "back_off", "draining", "ended"]))]
    state: String,
    /// Since when.
    since: At,
    /// How often it was started again.
    restarts: u32,
    /// Why it is not ready, or why it ended last.
    reason: Option<String>,
    /// The region, zone or group.
    pool: String,
    /// The machine it runs on.
    node: Option<String>,
    /// What it was seen to run: the digest of its first artifact.
    digest: Option<String>,
    /// Whether it runs another one than most of its version.
    differs: bool,
    /// Its process.
    pid: Option<u32>,
    /// Its port.
    port: Option<u16>,
    /// Requests it is answering.
    in_flight: u64,
    /// Why it is the sick one among healthy ones.
    sick: Option<String>,
    /// What it uses, where that is measured.
    usage: Option<Usage>,
}

/// What an instance uses; `null` is what is not known.
#[derive(Serialize, JsonSchema)]
struct Usage {
    /// Cores, over the last 10 s.
    cpu: Option<f64>,
    /// Resident bytes.
    memory: Option<u64>,
    /// By how many bytes an hour its memory grows since it is warm, once that can be said; 0 is flat.
    memory_per_hour: Option<f64>,
    /// How its memory went since then.
    memory_growth: Option<Growth>,
    /// Open file descriptors.
    descriptors: Option<u32>,
    /// Probes that failed since it was ready for the first time.
    probe_failures: Option<u64>,
}

/// Memory that was taken and not given back.
#[derive(Serialize, JsonSchema)]
struct Growth {
    /// Bytes; 0 is flat.
    bytes: u64,
    /// In this time.
    over_ms: u64,
}

impl From<instance::Growth> for Growth {
    fn from(g: instance::Growth) -> Self {
        Self { bytes: g.bytes, over_ms: super::ms(g.over) }
    }
}

/// One series now.
#[derive(Serialize, JsonSchema)]
struct Signal {
    /// `null` unless it is fresh or stale, and where only `at_least` is known.
    value: Option<f64>,
    /// Instead of a value: a quantile in the last bucket of a histogram is known to be no less than this.
    at_least: Option<f64>,
    /// Of its value.
    #[schemars(extend("enum" = ["per_second", "ratio", "ms", "count", "cores", "bytes"]))]
    unit: &'static str,
    /// How many observations it rests on.
    samples: u64,
    /// How old it is.
    age_ms: u64,
    /// What is known.
    #[schemars(extend("enum" = ["fresh", "stale", "absent", "zero_traffic", "contradictory"]))]
    state: &'static str,
}

impl From<&version::Track> for Track {
    fn from(t: &version::Track) -> Self {
        let sum = |of: fn(&instance::Pool) -> u32| (!t.pools.is_empty()).then(|| t.pools.iter().map(of).sum());
        let seen = !t.pools.is_empty() && t.pools.iter().all(|p| !p.unseen);
        let fates = || t.pools.iter().filter_map(|p| p.fate.as_ref());
        Self {
            role: t.role.to_string(),
            slot: t.slot.as_ref().map(ToString::to_string),
            preview: t.preview.as_ref().map(ToString::to_string),
            version: Version::from(&t.version),
            weight: percent(t.share.declared),
            programmed: percent(t.share.programmed),
            seen: percent(t.share.seen),
            basis: t.share.basis.to_string(),
            sticky: t.share.sticky,
            instances: Instances {
                desired: sum(|p| p.desired),
                ready: sum(|p| p.ready),
                restarts: sum(|p| p.restarts).filter(|_| seen),
                each: seen.then(|| t.pools.iter().flat_map(|p| p.instances.iter().map(|i| one(p, i))).collect()),
                scale_down_at: fates().filter_map(|f| if let Fate::Stopped { at } = f { Some(At(*at)) } else { None }).next(),
                kept: fates().find_map(|f| if let Fate::Kept { why } = f { Some(why.to_string()) } else { None }),
            },
            memory_growth: t.growth().map(Growth::from),
            signals: t.signals.iter().map(|(id, s)| (id.word(), Signal::from(s))).collect(),
            annotations: t.about.iter().flat_map(|a| &a.annotations).map(|(key, said)| (key.to_string(), said.to_string())).collect(),
        }
    }
}

fn one(pool: &instance::Pool, i: &instance::Instance) -> Instance {
    Instance {
        id: exact(&i.id.0),
        state: i.state.word().replace([' ', '-'], "_"),
        since: At(i.since),
        restarts: i.restarts,
        reason: i.reason.as_ref().map(ToString::to_string),
        pool: pool.name.to_string(),
        node: i.node.as_ref().map(ToString::to_string),
        digest: i.parts.first().and_then(|p| p.running).map(|d| d.to_string()),
        differs: i.parts.iter().any(|p| p.differs),
        pid: i.pid,
        port: i.port,
        in_flight: i.in_flight,
        sick: i.sick.as_ref().map(ToString::to_string),
        usage: i.usage.as_ref().map(|u| Usage {
            cpu: u.cpu,
            memory: u.memory,
            memory_per_hour: u.memory_slope.filter(|slope| slope.is_finite()),
            memory_growth: u.growth().map(Growth::from),
            descriptors: u.descriptors,
            probe_failures: u.probe_failures,
        }),
    }
}

/// Percent with two decimals, or null.
pub fn percent(ratio: Option<Ratio>) -> Option<f64> {
    ratio?.percent().map(|p| (p * 100.0).round() / 100.0)
}

impl From<&signal::Signal> for Signal {
    fn from(s: &signal::Signal) -> Self {
        let (sample, age) = match &s.reading {
            Reading::Fresh(sample) => (Some(*sample), 0),
            Reading::Stale { last, age } => (Some(*last), super::ms(*age)),
            Reading::Absent | Reading::ZeroTraffic | Reading::Contradictory(..) => (None, 0),
        };
        let unit = match s.unit {
            Unit::PerSecond => "per_second",
            Unit::Ratio => "ratio",
            Unit::Millis => "ms",
            Unit::Count => "count",
            Unit::Cores => "cores",
            Unit::Bytes => "bytes",
        };
        Self {
            value: sample.and_then(signal::Sample::value),
            at_least: sample.and_then(signal::Sample::at_least),
            unit,
            samples: sample.map_or(0, signal::Sample::samples),
            age_ms: age,
            state: s.reading.word(),
        }
    }
}
