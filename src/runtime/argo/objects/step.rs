//! A step of a Rollout's plan: one key, whose name says what it is.

use super::lenient::{Str, every, list, maybe, maybe_flag, maybe_text, object, text, whole};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use std::fmt;

/// One step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Give the candidate this share, in the router's units.
    SetWeight(i64),
    /// Wait for a time, as it is written, or for a person.
    Pause(Option<Str>),
    /// Measure: the templates' names.
    Analysis(Vec<Str>),
    /// Run versions beside the rollout: their names, and for how long.
    Experiment(Vec<Str>, Option<Str>),
    /// Run this many pods of the candidate, in words.
    SetCanaryScale(Str),
    /// Send requests with a header to the candidate: the route, and what it matches; nothing takes it away.
    SetHeaderRoute(Str, Str),
    /// Send copies of requests to the candidate: the route, and how many percent; nothing takes it away.
    SetMirrorRoute(Str, Option<i64>),
    /// Something of a plugin: its name.
    Plugin(Str),
    /// A step of another version of Argo: its key.
    Other(Str),
    /// Nothing is left of a key that the cluster does not know.
    Empty,
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_map(StepVisitor)
    }
}

struct StepVisitor;

impl<'de> Visitor<'de> for StepVisitor {
    type Value = Step;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a step")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Step, A::Error> {
        let mut step = Step::Empty;
        while let Some(key) = map.next_key::<String>()? {
            step = match &*key {
                "setWeight" => match map.next_value::<Whole>()?.0 {
                    Some(weight) => Step::SetWeight(weight),
                    None => Step::Other(key.into()),
                },
                "pause" => Step::Pause(map.next_value::<Of<Pause>>()?.0.duration),
                "analysis" => Step::Analysis(map.next_value::<Of<Templates>>()?.0.names()),
                "experiment" => {
                    let Experiment { templates, duration } = map.next_value::<Of<Experiment>>()?.0;
                    Step::Experiment(templates.into_iter().map(|t| t.name).collect(), duration)
                }
                "setCanaryScale" => Step::SetCanaryScale(map.next_value::<Of<Scale>>()?.0.words()),
                "setHeaderRoute" => {
                    let route = map.next_value::<Of<HeaderRoute>>()?.0;
                    let matched: Vec<String> = route.matches.iter().map(HeaderMatch::words).collect();
                    Step::SetHeaderRoute(route.name, matched.join(", ").into())
                }
                "setMirrorRoute" => {
                    let route = map.next_value::<Of<MirrorRoute>>()?.0;
                    let copies = route.matches.is_some().then(|| route.percentage.unwrap_or(100));
                    Step::SetMirrorRoute(route.name, copies)
                }
                "plugin" => Step::Plugin(map.next_value::<Of<Plugin>>()?.0.name),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    Step::Other(key.into())
                }
            };
        }
        Ok(step)
    }
}

struct Whole(Option<i64>);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        whole(d).map(Self)
    }
}

struct Of<T>(T);

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Of<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        object(d).map(Self)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pause {
    #[serde(deserialize_with = "maybe_text")]
    duration: Option<Str>,
}

/// What is to be measured: in a step, beside all steps, or before and after a switch.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Templates {
    #[serde(deserialize_with = "list")]
    templates: Vec<TemplateRef>,
    #[serde(deserialize_with = "text")]
    template_name: Str,
    /// The step with which it begins, from 0, where it is beside all steps.
    #[serde(deserialize_with = "whole")]
    pub starting_step: Option<i64>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct TemplateRef {
    #[serde(deserialize_with = "text")]
    template_name: Str,
}

impl Templates {
    /// The templates' names.
    #[must_use]
    pub fn names(&self) -> Vec<Str> {
        let old = Some(&self.template_name).filter(|n| !n.is_empty());
        self.templates.iter().map(|t| &t.template_name).chain(old).cloned().collect()
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Experiment {
    #[serde(deserialize_with = "list")]
    templates: Vec<Named>,
    #[serde(deserialize_with = "maybe_text")]
    duration: Option<Str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    #[serde(deserialize_with = "text")]
    name: Str,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Scale {
    #[serde(deserialize_with = "whole")]
    weight: Option<i64>,
    #[serde(deserialize_with = "whole")]
    replicas: Option<i64>,
    #[serde(deserialize_with = "maybe_flag")]
    match_traffic_weight: Option<bool>,
}

impl Scale {
    fn words(&self) -> Str {
        match (self.replicas, self.weight) {
            (Some(replicas), _) => format!("{replicas}").into(),
            (None, Some(weight)) => format!("{weight} %").into(),
            (None, None) if self.match_traffic_weight == Some(true) => "as traffic".into(),
            (None, None) => Str::default(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HeaderRoute {
    #[serde(deserialize_with = "text")]
    name: Str,
    #[serde(rename = "match", deserialize_with = "list")]
    matches: Vec<HeaderMatch>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct HeaderMatch {
    #[serde(deserialize_with = "text")]
    header_name: Str,
    #[serde(deserialize_with = "object")]
    header_value: HeaderValue,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HeaderValue {
    #[serde(deserialize_with = "maybe_text")]
    exact: Option<Str>,
    #[serde(deserialize_with = "maybe_text")]
    prefix: Option<Str>,
    #[serde(deserialize_with = "maybe_text")]
    regex: Option<Str>,
}

impl HeaderMatch {
    fn words(&self) -> String {
        let Self { header_name, header_value: HeaderValue { exact, prefix, regex } } = self;
        match (exact, prefix, regex) {
            (Some(exact), _, _) => format!("{header_name}={exact}"),
            (_, Some(prefix), _) => format!("{header_name}={prefix}*"),
            (_, _, Some(regex)) => format!("{header_name}~{regex}"),
            _ => header_name.to_string(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MirrorRoute {
    #[serde(deserialize_with = "text")]
    name: Str,
    #[serde(deserialize_with = "whole")]
    percentage: Option<i64>,
    #[serde(rename = "match", deserialize_with = "some_list")]
    matches: Option<()>,
}

/// Whether there is a list with anything in it.
fn some_list<'de, D: Deserializer<'de>>(d: D) -> Result<Option<()>, D::Error> {
    let all: Vec<Anything> = list(d)?;
    Ok((!all.is_empty()).then_some(()))
}

#[derive(Deserialize)]
struct Anything {}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Plugin {
    #[serde(deserialize_with = "text")]
    name: Str,
}

/// A step that is no object is none at all, and has to be counted all the same.
pub fn steps<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Step>, D::Error> {
    struct Slot(Step);

    impl<'de> Deserialize<'de> for Slot {
        fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            maybe(d).map(|step| Self(step.unwrap_or(Step::Empty)))
        }
    }

    let all: Vec<Slot> = every(d)?;
    Ok(all.into_iter().map(|slot| slot.0).collect())
}
