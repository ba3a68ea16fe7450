//! The ordered steps of a rollout.

use super::{
    ident::GateId,
    ratio::Weight,
    spec::OnFail,
    text::Text,
    time::{Time, human},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, time::Duration};

/// One step as it is configured: `{ weight = 5 }`, `{ pause = "30s" }`, `{ pause = "manual" }`,
/// `{ gate = ["errors"] }` or `{ gate = "all" }`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepSpec {
    /// Give the candidate this share and wait until the router says so and every instance is ready.
    Weight(Weight),
    /// Wait for a time, or for a person.
    Pause(Pause),
    /// Wait until these gates pass.
    Gate(Gates),
    /// Test the candidate's instances, which must not have traffic yet.
    Check(CheckSpec),
    /// Send requests to the candidate's instances before traffic does.
    Warm(WarmSpec),
    /// Run this many instances of the candidate.
    Scale(u32),
    /// A step of a runtime that is not ours, in its own words; never in our configuration.
    Native(Text),
}

/// What tests a candidate: a command on the host, or a request to each instance. Exactly one of the two.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckSpec {
    /// Program and arguments, run once for each instance in the unpacked artifact with the instance's
    /// environment; `{port}` is replaced. Exit code 0 is yes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Path and query, from `/`, asked of each instance: 200 to 399 is yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// No end within this is a failure.
    #[serde(default = "thirty_seconds", with = "human")]
    pub timeout: Duration,
    /// What a failure does.
    #[serde(default)]
    pub on_fail: OnFail,
}

/// Requests that wake a candidate up.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmSpec {
    /// How many, over all instances: 1 to 1,000,000.
    pub requests: u32,
    /// Path and query, from `/`.
    #[serde(default = "root")]
    pub path: String,
}

const fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}

fn root() -> String {
    "/".into()
}

/// What ends a pause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pause {
    /// Time.
    For(Duration),
    /// A person's `step`.
    Manual,
}

/// Which gates a step waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Gates {
    /// All of the service.
    All,
    /// These.
    Named(Vec<GateId>),
}

/// One step as it is shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// What it does.
    pub spec: StepSpec,
    /// In few words: `33.33 %`, `gate(3)`, `pause 30s`.
    pub label: Text,
}

/// Where a rollout is in its plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StepAt {
    /// Counted from 0; equal to the number of steps when all are done.
    pub index: usize,
    /// When it was entered.
    pub since: Time,
    /// When it ends by itself, if that is known.
    pub ends: Option<Time>,
}

/// The candidate's declared share became this: a step of the plan, a person, or the way back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mark {
    /// When it was declared.
    pub at: Time,
    /// The candidate's share from then on.
    pub weight: Weight,
}

impl StepSpec {
    /// Its key in the configuration.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Weight(_) => "weight",
            Self::Pause(_) => "pause",
            Self::Gate(_) => "gate",
            Self::Check(_) => "check",
            Self::Warm(_) => "warm",
            Self::Scale(_) => "scale",
            Self::Native(_) => "native",
        }
    }

    /// The label of [`Step`]; `gates` is how many the service has.
    #[must_use]
    pub fn label(&self, gates: usize) -> Text {
        match self {
            Self::Weight(w) => w.to_string().into(),
            Self::Pause(Pause::Manual) => "pause".into(),
            Self::Pause(Pause::For(d)) => format!("pause {}", humantime::format_duration(*d)).into(),
            Self::Gate(Gates::All) => format!("gate({gates})").into(),
            Self::Gate(Gates::Named(names)) => format!("gate({})", names.len()).into(),
            Self::Check(_) => "check".into(),
            Self::Warm(warm) => format!("warm {}", warm.requests).into(),
            Self::Scale(instances) => format!("scale {instances}").into(),
            Self::Native(text) => text.clone(),
        }
    }

    /// What a check or a warm-up tries: `GET /selftest`, `./check`. Arguments and query may be secret.
    #[must_use]
    pub fn tries(&self) -> Option<Text> {
        let get = |path: &str| Text::from(format!("GET {}", path.split('?').next().unwrap_or_default()));
        match self {
            Self::Check(CheckSpec { http: Some(path), .. }) | Self::Warm(WarmSpec { path, .. }) => Some(get(path)),
            Self::Check(check) => Some(Text::clean(check.command.first()?)),
            Self::Weight(_) | Self::Pause(_) | Self::Gate(_) | Self::Scale(_) | Self::Native(_) => None,
        }
    }
}

impl Gates {
    /// Whether a step waits for this gate.
    #[must_use]
    pub fn includes(&self, gate: &GateId) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(gate),
        }
    }
}

impl Serialize for Pause {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::For(d) => human::serialize(d, s),
            Self::Manual => s.serialize_str("manual"),
        }
    }
}

impl<'de> Deserialize<'de> for Pause {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        if text == "manual" {
            return Ok(Self::Manual);
        }
        humantime::parse_duration(&text)
            .map(Self::For)
            .map_err(|_| D::Error::custom(format!("pause `{}` is neither \"manual\" nor a duration such as \"30s\"", text.escape_debug())))
    }
}

impl Serialize for Gates {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => s.serialize_str("all"),
            Self::Named(names) => names.serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for Gates {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Gates;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"all\" or a list of gate names")
            }

            fn visit_str<E: serde::de::Error>(self, s: &str) -> Result<Gates, E> {
                if s == "all" { Ok(Gates::All) } else { Ok(Gates::Named(vec![GateId::new(s)])) }
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Gates, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = seq.next_element()? {
                    names.push(name);
                }
                Ok(Gates::Named(names))
            }
        }
        d.deserialize_any(Visitor)
    }
}
