//! Which versions of a service had traffic when, as a backend remembers it: from the query of requests, asked
//! for all versions at once.

use super::{
    Metrics, Value,
    preset::{Queries, What},
    template::{LABEL, Template, Variables, window_text},
};
use crate::model::time::{Time, after};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What names a version in a query.
const HOLES: [&str; 3] = ["version", "pod_hash", LABEL];
/// So many intervals are asked for at once: servers refuse more than 11,000.
const PIECE: u32 = 10_000;
/// Of more versions, the label is no version.
const VERSIONS: usize = 500;

/// The requests of each version that had some, by the ends of intervals; each is a step long.
pub type Traffic = BTreeMap<Time, BTreeMap<String, f64>>;

/// Reads it, in intervals of `step`.
///
/// # Errors
/// In one line: requests that do not tell versions apart by a label, a name without a value, what the backend
/// says, a partial answer.
pub async fn past<M: Metrics>(
    backend: &M,
    queries: &Queries,
    values: &Variables,
    (since, until): (Time, Time),
    step: Duration,
) -> Result<Traffic, String> {
    let asked = queries.get(What::Requests).ok_or("there is no query `requests`: nothing says which version had traffic")?;
    let both = (asked.stable == asked.canary && asked.metric.is_some()).then(|| every_version(asked.stable.text())).flatten();
    let (label, text) = both.ok_or("`requests` does not tell versions apart by a label alone, so their names are not known")?;
    let others = values.iter().filter(|(name, _)| !HOLES.contains(&name.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect();
    let selector = Template::parse(&text)?.fill(&others, step).map_err(|why| format!("query `requests`: {why}"))?;
    let query = format!("sum by ({label}) (increase({selector}[{}]))", window_text(step));
    let mut traffic = Traffic::new();
    let mut seen = BTreeSet::new();
    let mut from = after(since, step);
    while from <= until {
        let to = after(from, step.saturating_mul(PIECE)).min(until);
        let answer = backend.range(&query, from, to, step).await.map_err(|trouble| trouble.to_string())?;
        if let Some(warning) = answer.warnings.first() {
            return Err(format!("a partial answer: {warning}"));
        }
        for series in answer.series {
            let Some(version) = series.labels.get(&label).filter(|version| !version.is_empty()) else { continue };
            seen.insert(version.to_owned());
            for point in &series.points {
                if let Value::Number(n) = point.value
                    && n > 0.0
                {
                    *traffic.entry(point.at).or_default().entry(version.to_owned()).or_default() += n;
                }
            }
        }
        if seen.len() > VERSIONS {
            return Err(format!("label `{label}` has more than {VERSIONS} values: is it a version?"));
        }
        from = after(to, step);
    }
    Ok(traffic)
}

/// The label that a selector tells versions apart by, and the selector of all of them. `None` where a version
/// is not the whole value of a label.
fn every_version(text: &str) -> Option<(String, String)> {
    let (mut label, mut all, mut rest) = (None, String::new(), text);
    while let Some((before, inside)) = rest.split_once("{{") {
        let (hole, behind) = inside.split_once("}}")?;
        if !HOLES.contains(&hole.trim()) {
            all.push_str(before);
            all.push_str("{{");
            all.push_str(hole);
            all.push_str("}}");
            rest = behind;
            continue;
        }
        let quote = before.chars().next_back().filter(|c| "\"'".contains(*c))?;
        let matcher = before.strip_suffix(quote)?.trim_end().strip_suffix('=')?.trim_end();
        let start = matcher.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |at| at + 1);
        // `!=` leaves nothing here.
        let name = matcher.get(start..).filter(|name| !name.is_empty())?;
        label.get_or_insert_with(|| name.to_owned());
        all.push_str(matcher);
        all.push_str("=~\".+\"");
        rest = behind.strip_prefix(quote)?;
    }
    all.push_str(rest);
    Some((label?, all))
}

#[cfg(test)]
mod tests {
    use super::every_version;

    #[test]
    fn all_versions_are_asked_for_at_once() {
        let all = |text: &str| every_version(text).map(|(label, text)| format!("{label} of {text}"));
        assert_eq!(all(r#"r{a="{{service}}",v="{{version}}"}"#).as_deref(), Some(r#"v of r{a="{{service}}",v=~".+"}"#));
        assert_eq!(all("r{v = '{{ pod_hash }}' , b=\"x\"}").as_deref(), Some(r#"v of r{v=~".+" , b="x"}"#));
        assert_eq!(all(r#"r{h="{{pod_hash}}",v="{{version}}"}"#).as_deref(), Some(r#"h of r{h=~".+",v=~".+"}"#));
        for none in [
            r#"r{p=~".+-{{pod_hash}}-.+"}"#,
            r#"r{v="v{{version}}"}"#,
            r#"r{v!="{{version}}"}"#,
            r#"r{v=~"{{version}}"}"#,
            "r{}",
            "r_{{version}}",
        ] {
            assert_eq!(all(none), None, "{none}");
        }
    }
}
