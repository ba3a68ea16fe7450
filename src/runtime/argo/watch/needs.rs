//! What has to be looked at to show a rollout.

use super::{HASH, Name, query::Query};
use crate::runtime::argo::{
    kind::Kind,
    objects::lenient::{Str, object, text},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// Events of the controller of rollouts: of everything in a place there may be a hundred thousand.
const SAID: &str = "source=rollouts-controller";
/// What is said each time that all is well with a pod. The rest is said by whoever sees what is wrong (scheduler,
/// kubelet, controllers), and no selector can name several of them.
const USUAL: [&str; 8] = ["Scheduled", "Pulling", "Pulled", "Created", "Started", "Killing", "SuccessfulCreate", "SuccessfulDelete"];

/// What a rollout says about where its parts are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Needs {
    /// Its identity: another one of the same name is another rollout.
    uid: String,
    /// Selects its ReplicaSets and pods; empty when it does not say.
    selector: String,
    /// What has its template.
    workload: Option<(Kind, String)>,
    /// What attaches traffic to its versions.
    services: Vec<String>,
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
    #[serde(default, deserialize_with = "object")]
    strategy: Strategy,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Strategy {
    #[serde(deserialize_with = "object")]
    canary: Services,
    #[serde(deserialize_with = "object")]
    blue_green: Services,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Services {
    #[serde(deserialize_with = "text")]
    active_service: Str,
    #[serde(deserialize_with = "text")]
    preview_service: Str,
    #[serde(deserialize_with = "text")]
    stable_service: Str,
    #[serde(deserialize_with = "text")]
    canary_service: Str,
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
        let workload = spec.workload_ref.filter(|w| !w.name.is_empty()).and_then(|w| Some((Kind::of_workload(&w.kind)?, w.name)));
        let named = |s: Services| [s.active_service, s.preview_service, s.stable_service, s.canary_service];
        let services = [spec.strategy.canary, spec.strategy.blue_green].into_iter().flat_map(named);
        let services: BTreeSet<String> = services.filter(|name| !name.is_empty()).map(String::from).collect();
        let name = Name { namespace: metadata.namespace, name: metadata.name };
        Some((name, Self { uid: metadata.uid, selector, workload, services: services.into_iter().collect() }))
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
            all(Kind::Events).with(USUAL.map(|reason| format!("reason!={reason}")).join(",")),
        ];
        if let Some((kind, name)) = &self.workload {
            queries.push(all(*kind).with(format!("metadata.name={name}")));
        }
        match self.services.as_slice() {
            [] => {}
            [one] => queries.push(all(Kind::Services).with(format!("metadata.name={one}"))),
            // No selector can name two.
            _ => queries.push(all(Kind::Services)),
        }
        queries
    }
}

/// What to look at to show all of these rollouts at once.
pub fn everything<'a>(namespaces: &[Option<String>], rollouts: impl Iterator<Item = &'a Needs>) -> Vec<Query> {
    let mut more: BTreeSet<Kind> = BTreeSet::new();
    for needs in rollouts {
        more.extend(needs.workload.as_ref().map(|(kind, _)| *kind));
        more.extend((!needs.services.is_empty()).then_some(Kind::Services));
    }
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
        queries.extend(more.iter().map(|kind| all(*kind)));
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

#[cfg(test)]
mod tests {
    use super::{Kind, Needs, everything};
    use serde_json::{Value, json, value::to_raw_value};

    fn needs(spec: &Value) -> (super::Name, Needs) {
        let object =
            json!({ "metadata": { "name": "web", "namespace": "shop", "uid": "u" }, "spec": spec, "status": { "selector": "app=web" } });
        Needs::of(&to_raw_value(&object).unwrap()).unwrap()
    }

    fn fields(spec: &Value, kind: Kind) -> Vec<String> {
        let (name, needs) = needs(spec);
        needs.queries(&name).into_iter().filter(|q| q.kind == kind).map(|q| q.fields).collect()
    }

    #[test]
    fn services_and_templates_are_looked_at_where_a_rollout_names_them() {
        let none = json!({ "strategy": { "canary": {} } });
        assert_eq!(fields(&none, Kind::Services), Vec::<String>::new());
        let one = json!({ "strategy": { "blueGreen": { "activeService": "web" } } });
        assert_eq!(fields(&one, Kind::Services), ["metadata.name=web"]);
        let two = json!({ "strategy": { "canary": { "stableService": "web", "canaryService": "web-canary" } } });
        assert_eq!(fields(&two, Kind::Services), [""], "no selector can name two");
        // What no controller would take does no harm.
        let odd = json!({ "strategy": { "canary": { "stableService": { "name": 5 }, "canaryService": null }, "blueGreen": [] } });
        assert_eq!(fields(&odd, Kind::Services), Vec::<String>::new());
        for (word, kind) in [("Deployment", Kind::Deployments), ("ReplicaSet", Kind::Templates), ("PodTemplate", Kind::PodTemplates)] {
            let spec = json!({ "workloadRef": { "kind": word, "name": "src" } });
            assert_eq!(fields(&spec, kind), ["metadata.name=src"]);
        }
        let unknown = json!({ "workloadRef": { "kind": "StatefulSet", "name": "src" } });
        let (name, unknown) = needs(&unknown);
        assert_eq!(unknown.queries(&name).len(), 5);
        // Everything at once: each of these kinds once for each namespace, and only where anybody needs it.
        let all = [needs(&two).1, needs(&one).1, unknown];
        let queries = everything(&[Some("shop".into()), Some("yard".into())], all.iter());
        assert_eq!(queries.iter().filter(|q| q.kind == Kind::Services).count(), 2);
        assert_eq!(queries.len(), 12);
    }

    #[test]
    fn events_of_the_open_rollout_are_those_of_whoever_sees_what_is_wrong() {
        let of = fields(&json!({}), Kind::Events);
        assert!(of[0].contains("reason!=Pulled,reason!=Created") && !of[0].contains("source"), "{of:?}");
    }
}
