//! A kubeconfig for a server of recordings.

use serde_json::{Value, json};

/// One context for each namespace; the first is current. JSON is YAML.
pub fn kubeconfig(url: &str, contexts: &[(String, String)], token: Option<&str>) -> Value {
    let named: Vec<Value> = contexts
        .iter()
        .map(|(name, namespace)| json!({ "name": name, "context": { "cluster": "replay", "user": "replay", "namespace": namespace } }))
        .collect();
    let user = token.map_or_else(|| json!({}), |token| json!({ "token": token }));
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "replay", "cluster": { "server": url } }],
        "users": [{ "name": "replay", "user": user }],
        "contexts": named,
        "current-context": contexts.first().map(|(name, _)| name),
    })
}
