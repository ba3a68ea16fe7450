//! Bodies as a Kubernetes API server writes them.

use super::recording::{Recording, Timeline, known};
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde_json::{Value, json};

/// An answer in JSON.
pub fn answer(status: u16, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer that says no, with a `Status`.
pub fn refusal(code: u16, message: &str) -> Response {
    let mut response = answer(code, &status(code, message));
    if matches!(code, 429 | 504) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// What the API server says for a path that nobody serves.
pub fn missing() -> Response {
    let mut response = Response::new(Body::from("404 page not found\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A `Status` object.
pub fn status(code: u16, message: &str) -> Value {
    let reason = match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code })
}

/// `rollouts.argoproj.io is forbidden: …`.
pub fn forbidden(verb: &str, plural: &str, group: &str, namespace: Option<&str>) -> Response {
    let resource = if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") };
    let place = namespace.map_or_else(|| "at the cluster scope".to_owned(), |ns| format!("in the namespace \"{ns}\""));
    let message = format!("{resource} is forbidden: User \"replay\" cannot {verb} resource \"{plural}\" in API group \"{group}\" {place}");
    let mut body = status(403, &message);
    body["details"] = json!({ "group": group, "kind": plural });
    answer(403, &body)
}

/// `{"type":…,"object":…}` and a line end.
pub fn line(change: &str, object: &Value) -> String {
    format!("{}\n", json!({ "type": change, "object": object }))
}

/// A bookmark: custom resources carry nothing but the resource version, built-in ones a stub with nulls.
pub fn bookmark(timeline: &Timeline, rev: u64, initial_end: bool) -> Value {
    let mut object =
        json!({ "kind": timeline.kind, "apiVersion": timeline.api_version(), "metadata": { "resourceVersion": rev.to_string() } });
    if !timeline.group.contains('.') {
        object["metadata"]["creationTimestamp"] = Value::Null;
        let (spec, status) = match timeline.kind.as_str() {
            "Pod" => (json!({ "containers": null }), json!({})),
            "ReplicaSet" => (
                json!({ "replicas": 0, "selector": null, "template": { "metadata": { "creationTimestamp": null }, "spec": { "containers": null } } }),
                json!({ "replicas": 0 }),
            ),
            "Deployment" => (
                json!({ "selector": null, "template": { "metadata": { "creationTimestamp": null }, "spec": { "containers": null } }, "strategy": {} }),
                json!({}),
            ),
            _ => (json!({}), json!({})),
        };
        (object["spec"], object["status"]) = (spec, status);
    }
    if initial_end {
        object["metadata"]["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
    }
    object
}

/// `/version`.
pub fn version() -> Value {
    json!({ "major": "1", "minor": "33", "gitVersion": "v1.33.13", "platform": "linux/amd64" })
}

/// `/api` and `/apis`, and the resources of a group and version, from what was recorded.
pub fn discovery(path: &[&str], recordings: &[Recording]) -> Option<Value> {
    let recorded = || recordings.iter().flat_map(|r| &r.kinds);
    match path {
        ["api"] => Some(json!({ "kind": "APIVersions", "versions": ["v1"] })),
        ["apis"] => {
            let mut groups: Vec<(String, String)> = recorded().map(|(_, t)| (t.group.clone(), t.version.clone())).collect();
            groups.extend([("apps".into(), "v1".into()), ("authorization.k8s.io".into(), "v1".into())]);
            groups.retain(|(group, _)| !group.is_empty());
            groups.sort();
            groups.dedup();
            let group = |(group, version): &(String, String)| {
                let version = json!({ "groupVersion": format!("{group}/{version}"), "version": version });
                json!({ "name": group, "versions": [version], "preferredVersion": version })
            };
            Some(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups.iter().map(group).collect::<Vec<_>>() }))
        }
        ["api", version] | ["apis", _, version] => {
            let group = if path.len() == 3 { path[1] } else { "" };
            let short = |plural: &str| match plural {
                "rollouts" => vec!["ro"],
                "analysisruns" => vec!["ar"],
                "experiments" => vec!["exp"],
                "replicasets" => vec!["rs"],
                "pods" => vec!["po"],
                "events" => vec!["ev"],
                _ => Vec::new(),
            };
            let mut resources: Vec<Value> = recorded()
                .filter(|(_, t)| t.group == group && t.version == *version)
                .map(|(plural, t)| {
                    json!({ "name": plural, "singularName": t.kind.to_lowercase(), "namespaced": !plural.starts_with("cluster"),
                            "kind": t.kind, "shortNames": short(plural), "verbs": ["get", "list", "watch", "patch"] })
                })
                .collect();
            resources.dedup();
            if resources.iter().any(|r| r["name"] == "rollouts") {
                resources.push(json!({ "name": "rollouts/status", "singularName": "", "namespaced": true, "kind": "Rollout",
                                       "verbs": ["get", "patch", "update"] }));
            }
            let name = if group.is_empty() { (*version).to_owned() } else { format!("{group}/{version}") };
            let exists = !resources.is_empty() || matches!(group, "" | "apps" | "authorization.k8s.io");
            exists.then(|| json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": resources }))
        }
        _ => None,
    }
}

/// What a `SelfSubjectAccessReview` is answered: what was recorded may be read, nothing may be written.
pub fn access_review(asked: &Value, recordings: &[Recording]) -> Value {
    let attributes = &asked["spec"]["resourceAttributes"];
    let (verb, resource) = (attributes["verb"].as_str().unwrap_or_default(), attributes["resource"].as_str().unwrap_or_default());
    let recorded = recordings.iter().any(|r| r.kinds.get(resource).is_some_and(|t| t.denied.is_none()));
    let allowed = recorded && matches!(verb, "get" | "list" | "watch");
    let mut review = asked.clone();
    review["status"] = json!({ "allowed": allowed, "reason": if allowed { "it was recorded" } else { "" } });
    review
}

/// Whether a group and version may hold this plural name.
pub fn served(plural: &str, group: &str, version: &str, recordings: &[Recording]) -> bool {
    let recorded = recordings.iter().filter_map(|r| r.kinds.get(plural)).any(|t| t.group == group && t.version == version);
    recorded || known(plural).is_some_and(|(g, v, _)| g == group && v == version)
}
