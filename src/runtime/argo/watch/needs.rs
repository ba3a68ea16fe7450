//! What has to be looked at to show a rollout.

use super::{HASH, Name, query::Query};
use crate::runtime::argo::kind::Kind;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// Events of the controller of rollouts.
const SAID: &str = "source=rollouts-controller";

/// What a rollout says about where its parts are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Needs {
    /// Its identity: another one of the same name is another rollout.
    uid: String,
    /// Selects its ReplicaSets and pods; empty when it does not say.
    selector: String,
    /// The Deployment that has its template.
    deployment: Option<String>,
}

#[derive(Deserialize)]
struct Object {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
struct Meta {
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    uid: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    selector: Option<Selector>,
    #[serde(default)]
    workload_ref: Option<Workload>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Selector {
    #[serde(default)]
    match_labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    match_expressions: Option<Vec<Expression>>,
}

#[derive(Deserialize)]
struct Expression {
    key: String,
    operator: String,
    #[serde(default)]
    values: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Workload {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize, Default)]
struct Status {
    #[serde(default)]
    selector: Option<String>,
}

impl Needs {
    /// Of a rollout; `None` if it has no name, or is none.
    #[must_use]
    pub fn of(object: &RawValue) -> Option<(Name, Self)> {
        let object: Object = serde_json::from_str(object.get()).ok()?;
        let Object { metadata, spec, status } = object;
        let selector = match spec.selector.map(|s| s.text()).filter(|s| !s.is_empty()) {
            Some(selector) => selector,
            // With a workloadRef it stands in the status. Blue/green adds the active hash there.
            None => {
                let parts: Vec<&str> = status.selector.iter().flat_map(|s| s.split(',')).map(str::trim).collect();
                parts.into_iter().filter(|part| !part.is_empty() && !part.starts_with(HASH)).collect::<Vec<_>>().join(",")
            }
        };
        let deployment = spec.workload_ref.filter(|w| w.kind == "Deployment" && !w.name.is_empty()).map(|w| w.name);
        let name = Name { namespace: metadata.namespace, name: metadata.name };
        Some((name, Self { uid: metadata.uid, selector, deployment }))
    }

    /// What to look at while this rollout is open.
    #[must_use]
    pub fn queries(&self, name: &Name) -> Vec<Query> {
        let all = |kind| Query::all(kind, Some(&name.namespace));
        // Other workloads may have the same labels; only what a rollout made has a hash.
        let labels = if self.selector.is_empty() { HASH.to_owned() } else { format!("{},{HASH}", self.selector) };
        let mut queries = vec![
            all(Kind::ReplicaSets).labelled(&labels),
            all(Kind::Pods).labelled(&labels),
            all(Kind::AnalysisRuns),
            all(Kind::Experiments),
            all(Kind::Events).with(SAID),
        ];
        if let Some(deployment) = &self.deployment {
            queries.push(all(Kind::Deployments).with(format!("metadata.name={deployment}")));
        }
        queries
    }
}

/// What to look at to show all of these rollouts at once.
pub fn everything<'a>(namespaces: &[Option<String>], rollouts: impl Iterator<Item = &'a Needs>) -> Vec<Query> {
    let deployments: BTreeSet<&str> = rollouts.filter_map(|needs| needs.deployment.as_deref()).collect();
    let mut queries = Vec::new();
    for namespace in namespaces {
        let all = |kind| Query::all(kind, namespace.as_deref());
        queries.extend([
            all(Kind::ReplicaSets).labelled(HASH),
            all(Kind::Pods).labelled(HASH),
            all(Kind::AnalysisRuns),
            all(Kind::Experiments),
            all(Kind::Events).with(SAID),
        ]);
        if !deployments.is_empty() {
            queries.push(all(Kind::Deployments));
        }
    }
    queries
}

impl Selector {
    /// As it stands in a request.
    fn text(&self) -> String {
        let mut parts: Vec<String> = self.match_labels.iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
        for Expression { key, operator, values } in self.match_expressions.iter().flatten() {
            let values = values.as_deref().unwrap_or_default().join(",");
            match operator.as_str() {
                "In" => parts.push(format!("{key} in ({values})")),
                "NotIn" => parts.push(format!("{key} notin ({values})")),
                "Exists" => parts.push(key.clone()),
                "DoesNotExist" => parts.push(format!("!{key}")),
                _ => {}
            }
        }
        parts.join(",")
    }
}
