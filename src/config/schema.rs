//! The JSON Schema of the configuration, for editors. It is read off `config.example.toml`, which names
//! every key with its default and is held to the code by tests, so no key can be missing here; the
//! names that a value may have are asked of the types that read them.

use super::{ColorChoice, Isolation, MetricsKind, TargetKind};
use crate::metrics::preset;
use crate::model::spec::{GateSignal, OnFail, Strategy};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

const EXAMPLE: &str = include_str!("../../config.example.toml");

/// The schema (draft 2020-12) of a configuration as JSON; TOML says the same.
#[must_use]
pub fn schema() -> Value {
    let mut root = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "configuration of cutover",
        "type": "object",
        "properties": {},
        "additionalProperties": false,
    });
    let mut heading: Vec<String> = Vec::new();
    let mut prose = String::new();
    for line in EXAMPLE.lines() {
        let entry = line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '['));
        match entry {
            Some(text) if text.starts_with('[') => {
                heading = text.trim_matches(['[', ']']).split('.').map(str::to_owned).collect();
                section(&mut root, &heading, text.starts_with("[["), &prose);
            }
            Some(text) => key(&mut root, &heading, text),
            None => {}
        }
        // What stands right above a heading says what the section is.
        match line.strip_prefix("# ") {
            Some(more) if entry.is_none() => prose = if prose.is_empty() { more.to_owned() } else { format!("{prose} {more}") },
            _ => prose.clear(),
        }
    }
    metrics(&mut root);
    root
}

/// What the sections of metrics have in common, and what depends on their kind.
fn metrics(root: &mut Value) {
    let Some(section) = properties(root).and_then(|p| p.get_mut("metrics")) else { return };
    put(section, "if", json!({ "properties": { "kind": { "const": "prometheus" } }, "required": ["kind"] }));
    put(section, "then", json!({ "required": ["url"] }));
    put(section, "else", json!({ "propertyNames": { "const": "kind" } }));
    if let Some(kind) = properties(section).and_then(|p| p.get_mut("kind")) {
        put(kind, "default", "host".into());
    }
    let mut of_a_target = section.clone();
    put(&mut of_a_target, "required", json!(["kind"]));
    if let Some(target) = object(root, &["target".to_owned()]) {
        properties(target).map(|p| p.insert("metrics".to_owned(), of_a_target));
    }
}

/// Makes the object of a section, or gives it the shape that no example can show.
fn section(root: &mut Value, heading: &[String], many: bool, prose: &str) {
    let path = heading.join(".");
    let Some((name, above)) = heading.split_last() else { return };
    let Some(parent) = object(root, above) else { return };
    // A second example of a section adds its keys to the first.
    if properties(parent).is_some_and(|p| p.contains_key(name)) {
        return;
    }
    let mut made = free(&path).unwrap_or_else(|| json!({ "type": "object", "properties": {}, "additionalProperties": false }));
    if many {
        made = json!({ "type": "array", "items": made });
    }
    if !prose.is_empty() {
        put(&mut made, "description", prose.into());
    }
    // Without it nothing can be said about an instance, so it is no option.
    if path == "service.readiness" {
        require(parent, name);
    }
    properties(parent).map(|p| p.insert(name.clone(), made));
}

fn key(root: &mut Value, heading: &[String], text: &str) {
    let Ok(table) = text.parse::<toml::Table>() else { return };
    let Some((name, value)) = table.into_iter().next() else { return };
    let path = [heading, std::slice::from_ref(&name)].concat().join(".");
    let Some(parent) = object(root, heading) else { return };
    if properties(parent).is_some_and(|p| p.contains_key(&name)) {
        return;
    }
    let Ok(value) = serde_json::to_value(value) else { return };
    let mut made = known(&path).unwrap_or_else(|| shape(&value));
    let says = text.rsplit_once("  # ").map(|(_, says)| says).unwrap_or_default();
    let (required, unset) = (says.contains("(required)"), says.contains("(unset)"));
    let says = says.replace("(required)", "").replace("(unset)", "");
    if !says.trim().is_empty() {
        put(&mut made, "description", says.trim().into());
    }
    if required && heading != ["metrics"] {
        require(parent, &name);
    } else if !unset {
        put(&mut made, "default", value);
    }
    properties(parent).map(|p| p.insert(name, made));
}

/// The object that keys of this section belong to.
fn object<'a>(root: &'a mut Value, heading: &[String]) -> Option<&'a mut Value> {
    let mut at = root;
    for name in heading {
        at = properties(at)?.get_mut(name)?;
        if at.get("items").is_some() {
            at = at.get_mut("items")?;
        }
    }
    Some(at)
}

fn properties(object: &mut Value) -> Option<&mut Map<String, Value>> {
    object.get_mut("properties")?.as_object_mut()
}

fn put(schema: &mut Value, name: &str, value: Value) {
    if let Some(map) = schema.as_object_mut() {
        map.insert(name.to_owned(), value);
    }
}

fn require(object: &mut Value, name: &str) {
    if let Some(map) = object.as_object_mut()
        && let Some(list) = map.entry("required").or_insert_with(|| json!([])).as_array_mut()
    {
        list.push(name.into());
    }
}

/// What values like this one are.
fn shape(value: &Value) -> Value {
    match value {
        Value::Bool(_) => json!({ "type": "boolean" }),
        Value::Number(n) if n.is_f64() => json!({ "type": "number" }),
        Value::Number(_) => json!({ "type": "integer" }),
        Value::Array(items) => {
            items.first().map_or_else(|| json!({ "type": "array" }), |one| json!({ "type": "array", "items": shape(one) }))
        }
        Value::Object(map) => {
            let properties: Map<String, Value> = map.iter().map(|(name, value)| (name.clone(), shape(value))).collect();
            json!({ "type": "object", "properties": properties })
        }
        Value::String(_) | Value::Null => json!({ "type": "string" }),
    }
}

/// Sections whose keys are the person's own.
fn free(path: &str) -> Option<Value> {
    let of = |values: Value| Some(json!({ "type": "object", "properties": {}, "additionalProperties": values }));
    let text = || json!({ "type": "string" });
    match path {
        "keys" => of(json!({ "oneOf": [text(), { "type": "array", "items": text() }] })),
        "metrics.query" => of(json!({ "oneOf": [text(), texts_by(&["stable", "canary"], &["stable", "canary"])] })),
        "service.environment" | "metrics.parameters" | "metrics.variables" => of(text()),
        "metrics.headers" => of(json!({ "oneOf": [text(), one("file", text()), one("env", text())] })),
        "service.secrets" => of(json!({ "oneOf": [one("file", text()), one("env", text())] })),
        _ => None,
    }
}

/// Values that an example shows only one of.
fn known(path: &str) -> Option<Value> {
    let section = |name: &str| path.starts_with(name);
    if section("metrics.query.") || section("keys.") || section("service.environment.") || section("service.secrets.") {
        let above = path.rsplit_once('.').map(|(above, _)| above)?;
        return free(above)?.get("additionalProperties").cloned();
    }
    match path {
        "host.isolation" => Some(names::<Isolation>()),
        "console.color" => Some(names::<ColorChoice>()),
        "console.ascii" | "console.synchronized" => Some(json!({ "oneOf": [{ "type": "boolean" }, { "const": "auto" }] })),
        "metrics.kind" => Some(names::<MetricsKind>()),
        "metrics.preset" => Some(json!({ "enum": preset::names().collect::<Vec<_>>() })),
        "metrics.headers" | "metrics.parameters" | "metrics.variables" => free(path),
        "metrics.tls" => Some(texts_by(&["ca", "cert", "key", "server_name"], &[])),
        "metrics.auth" => {
            let secret = || json!({ "oneOf": [one("file", json!({ "type": "string" })), one("env", json!({ "type": "string" }))] });
            let mut basic = texts_by(&["user", "password"], &["user", "password"]);
            properties(&mut basic).map(|p| p.insert("password".to_owned(), secret()));
            let command = json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 });
            Some(json!({ "oneOf": [one("basic", basic), one("bearer", secret()), one("bearer_command", command)] }))
        }
        "target.kind" => Some(names::<TargetKind>()),
        "target.namespace" => Some(json!({ "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })),
        "service.strategy" => Some(names::<Strategy>()),
        "service.deadline.on_fail" | "service.gate.on_fail" => Some(names::<OnFail>()),
        "service.gate.signal" => Some(names::<GateSignal>()),
        "service.steps" => Some(json!({ "type": "array", "items": step() })),
        _ => None,
    }
}

/// One step: exactly one of its kinds.
fn step() -> Value {
    let text = || json!({ "type": "string" });
    let texts = || json!({ "type": "array", "items": text() });
    let open = |properties: Value| json!({ "type": "object", "properties": properties });
    let check = json!({ "command": texts(), "http": text(), "timeout": text(), "on_fail": names::<OnFail>() });
    json!({ "oneOf": [
        one("weight", json!({ "type": "number", "minimum": 0, "maximum": 100 })),
        one("pause", text()),
        one("gate", json!({ "oneOf": [text(), texts()] })),
        one("check", open(check)),
        one("warm", open(json!({ "requests": { "type": "integer", "minimum": 1 }, "path": text() }))),
        one("scale", json!({ "type": "integer", "minimum": 0 })),
    ] })
}

/// Texts by these names, some of which must be there.
fn texts_by(names: &[&str], required: &[&str]) -> Value {
    let properties: Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), json!({ "type": "string" }))).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn one(name: &str, value: Value) -> Value {
    json!({ "type": "object", "properties": { name: value }, "required": [name], "additionalProperties": false })
}

/// The names that a type reads, as it lists them itself when it is given another.
fn names<T: DeserializeOwned>() -> Value {
    let listed = serde_json::from_str::<T>("\"?\"").err().map(|e| e.to_string()).unwrap_or_default();
    let names: Vec<&str> = listed.split('`').skip(3).step_by(2).collect();
    if names.is_empty() { json!({ "type": "string" }) } else { json!({ "enum": names }) }
}
