//! Queries with holes: `{{service}}` and the like, filled in so that no value can become part of the query.
//!
//! A value inside quotes is escaped as a PromQL string, and after `=~` or `!~` as a regular expression
//! first, so `pod=~".+-{{pod_hash}}-.+"` means the hash and nothing else. Outside quotes only letters,
//! digits, `_` and `:` are let through. Backticks know no escapes: a hole inside them is refused.

use std::{collections::BTreeMap, time::Duration};

/// What every rollout can fill in. Others are given by the configuration.
pub const NAMES: [&str; 8] = ["service", "stable_service", "canary_service", "ingress", "namespace", "version", "pod_hash", WINDOW];

/// What people call the version, where this program deploys it.
pub const LABEL: &str = "label";

/// The hole for how far a query looks back.
pub const WINDOW: &str = "window";

/// Names and values that are filled in.
pub type Variables = BTreeMap<String, String>;

/// A query with holes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Text(String),
    Hole { name: String, place: Place },
}

/// Where in a query a hole is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Bare,
    Text,
    Regex,
}

impl Template {
    /// Finds the holes.
    ///
    /// # Errors
    /// In one line: a hole that is not closed, or one between backticks.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut quote = None;
        let mut rest = text.trim();
        while let Some(c) = rest.chars().next() {
            if let Some(inside) = rest.strip_prefix("{{") {
                let Some((name, after)) = inside.split_once("}}") else {
                    return Err("`{{` without `}}`".into());
                };
                let place = match quote {
                    None => Place::Bare,
                    Some(('`', _)) => return Err(format!("`{{{{{}}}}}` between backticks: use quotes", name.trim())),
                    Some((_, true)) => Place::Regex,
                    Some((_, false)) => Place::Text,
                };
                parts.push(Part::Text(std::mem::take(&mut plain)));
                parts.push(Part::Hole { name: name.trim().to_owned(), place });
                rest = after;
                continue;
            }
            let mut taken = c.len_utf8();
            match (quote, c) {
                (None, '"' | '\'' | '`') => {
                    let before = plain.trim_end();
                    quote = Some((c, before.ends_with("=~") || before.ends_with("!~")));
                }
                (Some((open, _)), '\\') if open != '`' => taken += rest.chars().nth(1).map_or(0, char::len_utf8),
                (Some((open, _)), c) if c == open => quote = None,
                _ => {}
            }
            let (now, after) = rest.split_at(taken);
            plain.push_str(now);
            rest = after;
        }
        if quote.is_some() {
            return Err("a quote that is not closed".into());
        }
        parts.push(Part::Text(plain));
        Ok(Self { text: text.trim().to_owned(), parts })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it has this hole.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.holes().any(|hole| hole == name)
    }

    /// The names of its holes.
    pub fn holes(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Hole { name, .. } => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The query with its holes filled in, looking back over `window`.
    ///
    /// # Errors
    /// In one line: a name that has no value, or a value that cannot stand where its hole is.
    pub fn fill(&self, values: &Variables, window: Duration) -> Result<String, String> {
        let mut text = String::with_capacity(self.text.len() + 64);
        for part in &self.parts {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Hole { name, place: Place::Bare } if name == WINDOW => text.push_str(&window_text(window)),
                Part::Hole { name, place } => {
                    let value = values.get(name).ok_or_else(|| unknown(name, values))?;
                    match place {
                        Place::Text => text.push_str(&quoted(value)),
                        Place::Regex => text.push_str(&quoted(&regex::escape(value))),
                        Place::Bare if value.chars().all(|c| c.is_ascii_alphanumeric() || "_:".contains(c)) => text.push_str(value),
                        Place::Bare => {
                            return Err(format!("`{{{{{name}}}}}` must stand in quotes: its value has other characters than a name"));
                        }
                    }
                }
            }
        }
        Ok(text)
    }
}

/// A duration as PromQL writes it, in whole seconds or else milliseconds.
#[must_use]
pub fn window_text(window: Duration) -> String {
    match window.subsec_millis() {
        0 => format!("{}s", window.as_secs()),
        _ => format!("{}ms", window.as_millis()),
    }
}

/// The line for a name without a value.
fn unknown(name: &str, values: &Variables) -> String {
    if NAMES.contains(&name) {
        return format!("`{{{{{name}}}}}` has no value here: set it in `variables`");
    }
    let known = NAMES.into_iter().chain(values.keys().map(String::as_str));
    format!("no variable `{{{{{}}}}}`{}", name.escape_debug(), nearest(name, known))
}

/// `; did you mean ...`, or nothing where no name is near.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = known.map(|k| (strsim::damerau_levenshtein(name, k), k)).min();
    near.filter(|(far, _)| *far <= 1 + name.len() / 3).map(|(_, k)| format!("; did you mean `{k}`?")).unwrap_or_default()
}

/// Escaped for either kind of quotes: PromQL refuses `\'` between `"`, and knows `\x27` in both.
pub(super) fn quoted(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\x22"),
            '\'' => text.push_str("\\x27"),
            '\n' => text.push_str("\\n"),
            c if c.is_control() => text.extend(c.encode_utf8(&mut [0; 4]).bytes().map(|b| format!("\\x{b:02x}"))),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str, value: &str) -> Result<String, String> {
        Template::parse(text)?.fill(&Variables::from([("version".into(), value.into())]), Duration::from_secs(60))
    }

    #[test]
    fn values_never_become_part_of_the_query() {
        assert_eq!(fill(r#"x{v="{{version}}"}"#, r#"a"} or up{b="\"#).unwrap(), r#"x{v="a\x22} or up{b=\x22\\"}"#);
        assert_eq!(fill(r#"x{v=~"a-{{ version }}-.+"}"#, "1.2").unwrap(), r#"x{v=~"a-1\\.2-.+"}"#);
        assert_eq!(fill(r#"x{u=~"a",v='{{version}}'}"#, "it's").unwrap(), r#"x{u=~"a",v='it\x27s'}"#);
        assert_eq!(fill("rate(x_{{version}}[{{window}}])", "v1").unwrap(), "rate(x_v1[60s])");
        assert!(fill("x_{{version}}", "v1} or up").unwrap_err().contains("must stand in quotes"));
        assert_eq!(fill(r#"x{v="\"{{version}}"}"#, "1").unwrap(), r#"x{v="\"1"}"#, "an escaped quote closes nothing");
    }

    #[test]
    fn wrong_ones_are_told_in_a_line() {
        assert_eq!(fill("x{v=\"{{verson}}\"}", "1").unwrap_err(), "no variable `{{verson}}`; did you mean `version`?");
        assert!(fill("x{v=\"{{ingress}}\"}", "1").unwrap_err().contains("set it in `variables`"));
        assert!(fill("x{v=`{{version}}`}", "1").unwrap_err().contains("backticks"));
        assert!(fill("x{v=\"{{version\"}", "1").unwrap_err().contains("without `}}`"));
        assert!(fill("x{v=\"1}", "1").unwrap_err().contains("not closed"));
    }
}
