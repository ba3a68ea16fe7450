//! Just enough of PromQL to tell a plain selector from an expression, and to find the selector inside one.

use std::ops::Range;

/// The metric that a plain selector names: `Some("")` where it has only matchers. `None` of anything more
/// than one selector: functions, operators, ranges, offsets.
#[must_use]
pub fn plain(text: &str) -> Option<&str> {
    let text = text.trim();
    let name = text.split(|c: char| !is_name(c)).next().unwrap_or_default();
    let rest = text.get(name.len()..)?.trim_start();
    let done = if rest.starts_with('{') { rest.get(braces(rest)?..)?.trim().is_empty() } else { rest.is_empty() };
    (done && !text.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())).then_some(name)
}

/// The selector before the first range in an expression.
#[must_use]
pub fn ranged(text: &str) -> Option<&str> {
    text.get(selector(text, Ends::Range)?)
}

/// The first selector with braces in an expression.
#[must_use]
pub fn first(text: &str) -> Option<&str> {
    text.get(selector(text, Ends::Braces)?)
}

/// What counts the series that two queries have in common, if it can be told: as many selectors in both, and
/// where they differ, of one metric. A query that joins is of the series that all of its selectors find.
#[must_use]
pub fn common(one: &str, other: &str) -> Option<String> {
    let (ones, others) = (all(one), all(other));
    let apart: Vec<(&str, &str)> = ones.iter().copied().zip(others.iter().copied()).filter(|(one, other)| one != other).collect();
    let counts = apart.into_iter().map(|(one, other)| {
        let ((name, matchers), (named, others)) = (halves(one)?, halves(other)?);
        (name == named).then(|| format!("count({name}{{{}}})", [matchers, others].map(|m| m.trim_end_matches([',', ' '])).join(",")))
    });
    let counts: Vec<String> = counts.collect::<Option<_>>()?;
    (ones.len() == others.len() && !counts.is_empty()).then(|| counts.join(" * "))
}

/// Every selector with braces in an expression.
fn all(text: &str) -> Vec<&str> {
    let (mut rest, mut found) = (text, Vec::new());
    while let Some(at) = selector(rest, Ends::Braces) {
        found.extend(rest.get(at.clone()));
        rest = rest.get(at.end..).unwrap_or_default();
    }
    found
}

/// The name of a selector and what stands between its braces, if both are there.
fn halves(selector: &str) -> Option<(&str, &str)> {
    let (name, matchers) = selector.strip_suffix('}')?.split_once('{')?;
    let is_of_one = !name.trim().is_empty() || matchers.contains("__name__");
    (is_of_one && !matchers.trim().is_empty()).then_some((name.trim(), matchers.trim()))
}

/// What the selector that is looked for ends with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// The end of its own braces.
    Braces,
    /// The begin of a range behind it.
    Range,
}

fn selector(text: &str, ends: Ends) -> Option<Range<usize>> {
    let (mut at, mut start, mut quote) = (0, None, None);
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(open), '\\') if open != '`' => at += text.get(at + 1..)?.chars().next().map_or(0, char::len_utf8),
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '{') => {
                let begin = start.unwrap_or(at);
                at += braces(text.get(at..)?)?;
                if ends == Ends::Braces {
                    return Some(begin..at);
                }
                start = Some(begin);
                continue;
            }
            (None, '[') if ends == Ends::Range => return Some(start?..at),
            (None, c) if is_name(c) => start = start.or(Some(at)),
            (None, _) => start = None,
        }
        at += c.len_utf8();
    }
    None
}

pub const fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// How long the braces are that a text begins with.
fn braces(text: &str) -> Option<usize> {
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in text.char_indices().skip(1) {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some('"' | '\''), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '}') => return Some(at + 1),
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_told_from_expressions() {
        for (text, name) in [("up", "up"), (" a:b{c=\"}\\\"{\", d=~'x'} ", "a:b"), ("{__name__=\"x\"}", "")] {
            assert_eq!(plain(text), Some(name), "{text}");
        }
        for text in ["", "sum(up)", "up[5m]", "up offset 5m", "a + b", "rate(x{a=\"b\"}[1m])", "up{a=\"b\"", "1"] {
            assert_eq!(plain(text), None, "{text}");
        }
    }

    #[test]
    fn what_a_range_is_of_is_found() {
        assert_eq!(ranged("sum by (a) (increase(x{a=\"[1]\"}[60s]) * on (b) c)"), Some("x{a=\"[1]\"}"));
        assert_eq!(ranged("increase(x[60s])"), Some("x"));
        assert_eq!(ranged("sum(x)"), None);
        assert_eq!(ranged("[60s]"), None);
    }

    #[test]
    fn what_two_queries_have_in_common_is_counted() {
        let both = "count(x{s=\"a\",v=~\"1|.+\",s=\"a\",v=~\"2|.+\"})";
        let of = |v: &str| format!("x{{s=\"a\",v=~\"{v}|.+\",}}");
        assert_eq!(common(&of("1"), &of("2")).as_deref(), Some(both));
        let sum = |v: &str| format!("sum by (c) (increase({}[60s]))", of(v));
        assert_eq!(common(&sum("1"), &sum("2")).as_deref(), Some(both));
        // Versions are told apart by what a join is with.
        let join = |v: &str| format!("sum(increase(x{{s=\"}}\"}}[60s]) * on (pod) group_left() info{{v=\"{v}\"}})");
        assert_eq!(common(&join("1"), &join("2")).as_deref(), Some("count(info{v=\"1\",v=\"2\"})"));
        let two = |v: &str| format!("increase(x{{v=\"{v}\"}}[60s]) + increase(y{{v=\"{v}\"}}[60s])");
        assert_eq!(common(&two("1"), &two("2")).as_deref(), Some("count(x{v=\"1\",v=\"2\"}) * count(y{v=\"1\",v=\"2\"})"));
        for (one, other) in [("x{v=\"1\"}", "y{v=\"1\"}"), ("x{v=\"1\"}", "x"), ("x_1", "x_2"), ("x{v=\"1\"}", "x{v=\"1\"} + x{v=\"2\"}")] {
            assert_eq!(common(one, other), None, "{one} {other}");
        }
    }

    #[test]
    fn the_series_that_a_value_is_computed_from_is_found() {
        assert_eq!(first("sum by (pod) (rate(x:y{a=\"}\",b!=\"\"}[60s])) * 2"), Some("x:y{a=\"}\",b!=\"\"}"));
        assert_eq!(first("label_replace({__name__=\"x\"}, \"a{\", \"\", \"\", \"\")"), Some("{__name__=\"x\"}"));
        assert_eq!(first("sum(x)"), None);
    }
}
