//! Label and field selectors, as far as consoles use them.

use serde_json::Value;

/// Whether an object matches the selectors of a request.
pub fn matches(object: &Value, labels: &str, fields: &str) -> bool {
    requirements(labels).iter().all(|r| label(object, r)) && fields.split(',').filter(|f| !f.is_empty()).all(|f| field(object, f))
}

/// Commas separate requirements, unless they are between brackets.
fn requirements(selector: &str) -> Vec<&str> {
    let mut depth = 0;
    let comma = |c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    };
    selector.split(comma).map(str::trim).filter(|r| !r.is_empty()).collect()
}

fn label(object: &Value, requirement: &str) -> bool {
    let value = |key: &str| object["metadata"]["labels"][key.trim()].as_str();
    let listed = |list: &str, value: &str| list.trim().trim_matches(['(', ')']).split(',').any(|v| v.trim() == value);
    if let Some((key, list)) = requirement.split_once(" notin ") {
        value(key).is_none_or(|v| !listed(list, v))
    } else if let Some((key, list)) = requirement.split_once(" in ") {
        value(key).is_some_and(|v| listed(list, v))
    } else if let Some((key, is)) = requirement.split_once("!=") {
        value(key) != Some(is.trim())
    } else if let Some((key, is)) = requirement.split_once('=') {
        value(key) == Some(is.trim_start_matches('=').trim())
    } else if let Some(key) = requirement.strip_prefix('!') {
        value(key).is_none()
    } else {
        value(requirement).is_some()
    }
}

fn field(object: &Value, requirement: &str) -> bool {
    let (path, is, wanted) = match requirement.split_once("!=") {
        Some((path, is)) => (path, is, false),
        None => match requirement.split_once('=') {
            Some((path, is)) => (path, is.trim_start_matches('='), true),
            None => return false,
        },
    };
    // The one name that does not lead to where the value is.
    let path = if path == "source" { "source.component" } else { path };
    let value = path.split('.').fold(object, |value, key| &value[key]).as_str().unwrap_or_default();
    (value == is) == wanted
}
