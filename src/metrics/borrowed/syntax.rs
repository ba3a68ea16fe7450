//! As much of PromQL as rules about shares are written in: sums, rates, ratios. What goes beyond it is
//! refused with its name, never guessed.

use crate::metrics::{selector::is_name, template::quoted};
use std::fmt;

/// An expression.
#[derive(Clone, PartialEq, Debug)]
pub enum Expr {
    /// `0.95`.
    Number(f64),
    /// `up{job="a"}`.
    Selector(Selector),
    /// `up{job="a"}[5m]`.
    Range(Selector),
    /// `sum(…)`, `rate(…)`: a function, or an aggregation over everything.
    Call(String, Vec<Expr>),
    /// `a / b`.
    Binary(&'static str, Box<Expr>, Box<Expr>),
}

/// A selector of series.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selector {
    /// Of this name; empty where a matcher says it.
    pub metric: String,
    /// In the order they are written.
    pub matchers: Vec<Matcher>,
}

/// `code=~"5.."`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Matcher {
    /// The label.
    pub label: String,
    /// `=`, `!=`, `=~`, `!~`.
    pub how: &'static str,
    /// What its value is compared with, without quotes and escapes.
    pub value: String,
}

/// How many expressions may stand inside each other.
const DEEP: usize = 32;

/// Operators, those that bind weakest first. What they do is known only of `-`, `*`, `/` and `or`.
const BINDS: [&[&str]; 6] =
    [&["or"], &["and", "unless"], &["==", "!=", "<=", ">=", "<", ">"], &["+", "-"], &["*", "/", "%", "atan2"], &["^"]];

/// How the values of labels are compared, the longer ones first.
const COMPARES: [&str; 4] = ["=~", "!~", "!=", "="];

/// Functions that add up series.
const AGGREGATES: [&str; 12] =
    ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "topk", "bottomk", "quantile", "count_values"];

/// Reads an expression.
///
/// # Errors
/// In one line, what of it is not known here.
pub fn parse(text: &str) -> Result<Expr, String> {
    let mut reader = Reader { rest: text, deep: 0 };
    let whole = reader.expr(0)?;
    reader.space();
    if reader.rest.is_empty() { Ok(whole) } else { Err(reader.unknown()) }
}

struct Reader<'a> {
    rest: &'a str,
    deep: usize,
}

impl<'a> Reader<'a> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
        while let Some(comment) = self.rest.strip_prefix('#') {
            self.rest = comment.split_once('\n').map_or("", |(_, after)| after).trim_start();
        }
    }

    /// Takes this, if it comes next.
    fn take(&mut self, what: &str) -> bool {
        self.space();
        let Some(after) = self.rest.strip_prefix(what) else { return false };
        // A word ends where no other letter follows.
        if what.chars().all(is_name) && after.starts_with(is_name) {
            return false;
        }
        self.rest = after;
        true
    }

    fn need(&mut self, what: &str) -> Result<(), String> {
        if self.take(what) { Ok(()) } else { Err(self.unknown()) }
    }

    fn unknown(&self) -> String {
        let near: String = self.rest.chars().take(24).collect();
        if near.is_empty() { "it ends too early".into() } else { format!("`{}` is not understood", near.escape_debug()) }
    }

    fn word(&mut self) -> &'a str {
        self.space();
        let end = self.rest.find(|c: char| !is_name(c)).unwrap_or(self.rest.len());
        let (word, after) = self.rest.split_at(end);
        self.rest = after;
        word
    }

    fn expr(&mut self, level: usize) -> Result<Expr, String> {
        let Some(operators) = BINDS.get(level) else { return self.one() };
        let mut left = self.expr(level + 1)?;
        while let Some(&operator) = operators.iter().find(|o| self.take(o)) {
            // `or on () vector(0)`: without labels it changes nothing about two single series.
            if operator == "or" && self.take("on") {
                self.need("(")?;
                self.need(")")?;
            }
            for word in ["on", "ignoring", "bool", "group_left", "group_right"] {
                if self.take(word) {
                    return Err(format!("`{word}` matches series by their labels"));
                }
            }
            let right = self.expr(level + 1)?;
            left = Expr::Binary(operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn one(&mut self) -> Result<Expr, String> {
        self.deep += 1;
        if self.deep > DEEP {
            return Err("too much stands inside each other".into());
        }
        let one = self.inner();
        self.deep -= 1;
        one
    }

    fn inner(&mut self) -> Result<Expr, String> {
        self.space();
        if self.take("(") {
            let inside = self.expr(0)?;
            self.need(")")?;
            return Ok(inside);
        }
        if self.rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            let end = self.rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(self.rest.len());
            let (digits, after) = self.rest.split_at(end);
            let number = digits.parse().ok().filter(|_| !after.starts_with(is_name)).ok_or_else(|| self.unknown())?;
            self.rest = after;
            return Ok(Expr::Number(number));
        }
        if self.rest.starts_with('{') {
            return self.selected(String::new());
        }
        let before = self.rest;
        let name = self.word().to_owned();
        if name.is_empty() {
            return Err(self.unknown());
        }
        if AGGREGATES.contains(&name.as_str()) {
            self.alone(&name)?;
        }
        if self.take("(") {
            let mut inside = Vec::new();
            while !self.take(")") {
                inside.push(self.expr(0)?);
                if !self.take(",") {
                    self.need(")")?;
                    break;
                }
            }
            if AGGREGATES.contains(&name.as_str()) {
                self.alone(&name)?;
            }
            return Ok(Expr::Call(name, inside));
        }
        if AGGREGATES.contains(&name.as_str()) {
            self.rest = before;
            return Err(self.unknown());
        }
        self.selected(name)
    }

    /// An aggregation that leaves one series.
    fn alone(&mut self, name: &str) -> Result<(), String> {
        let by = self.take("by");
        if !by && !self.take("without") {
            return Ok(());
        }
        self.need("(")?;
        if by && self.take(")") { Ok(()) } else { Err(format!("`{name} by (…)` may be several series")) }
    }

    fn selected(&mut self, metric: String) -> Result<Expr, String> {
        let mut selector = Selector { metric, matchers: Vec::new() };
        if self.take("{") {
            while !self.take("}") {
                selector.matchers.push(self.matcher()?);
                if !self.take(",") {
                    self.need("}")?;
                    break;
                }
            }
        }
        let ranged = self.take("[");
        if ranged {
            let end = self.rest.find(']').ok_or_else(|| self.unknown())?;
            let (window, after) = self.rest.split_at(end);
            if window.contains(':') {
                return Err("a subquery is no counter".into());
            }
            self.rest = after.get(1..).unwrap_or_default();
        }
        if self.take("offset") || self.take("@") {
            return Err("it looks at another time".into());
        }
        Ok(if ranged { Expr::Range(selector) } else { Expr::Selector(selector) })
    }

    fn matcher(&mut self) -> Result<Matcher, String> {
        let label = self.word().to_owned();
        let how = COMPARES.into_iter().find(|how| self.take(how)).filter(|_| !label.is_empty()).ok_or_else(|| self.unknown())?;
        Ok(Matcher { label, how, value: self.quoted()? })
    }

    /// The text between two quotes.
    fn quoted(&mut self) -> Result<String, String> {
        self.space();
        let quote = self.rest.chars().next().filter(|c| matches!(c, '"' | '\'' | '`')).ok_or_else(|| self.unknown())?;
        let mut letters = self.rest.char_indices().skip(1);
        let mut text = String::new();
        while let Some((at, c)) = letters.next() {
            match c {
                c if c == quote => {
                    self.rest = self.rest.get(at + 1..).unwrap_or_default();
                    return Ok(text);
                }
                '\\' if quote != '`' => text.push(match letters.next().map(|(_, c)| c) {
                    Some(c @ ('\\' | '"' | '\'')) => c,
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some('r') => '\r',
                    _ => return Err(self.unknown()),
                }),
                c => text.push(c),
            }
        }
        Err("a quote that is not closed".into())
    }
}

impl fmt::Display for Selector {
    /// As a backend reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.metric)?;
        if self.matchers.is_empty() && !self.metric.is_empty() {
            return Ok(());
        }
        let all: Vec<String> = self.matchers.iter().map(|m| format!("{}{}\"{}\"", m.label, m.how, quoted(&m.value))).collect();
        write!(f, "{{{}}}", all.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_bind_as_promql_says() {
        let read = |text: &str| parse(text).unwrap();
        assert_eq!(read("1 - a / b or vector(0)"), read("((1 - (a / b)) or (vector(0)))"));
        assert_eq!(read("a / b * 100"), read("(a / b) * 100"));
        assert_ne!(read("a / b * 100"), read("a / (b * 100)"));
        assert_eq!(read("sum(a) # of all\n / sum by () (b)"), read("sum(a)/sum(b)"));
    }

    #[test]
    fn a_selector_is_written_as_it_was_read() {
        for text in ["up", "a:b{c=\"d\",e!~\"f|g.*\"}", "{__name__=\"x\"}", "x{a=\"1\\\\.2\"}"] {
            let Expr::Selector(selector) = parse(text).unwrap() else { panic!("{text}") };
            assert_eq!(selector.to_string(), text);
        }
        let Expr::Selector(odd) = parse("x{a='it\\'s', b=`c\\d`}").unwrap() else { panic!() };
        assert_eq!(odd.to_string(), "x{a=\"it\\x27s\",b=\"c\\\\d\"}");
    }

    #[test]
    fn what_is_not_known_is_named() {
        for (text, says) in [
            ("sum(", "ends too early"),
            ("sum by (code) (rate(x[5m]))", "`sum by (…)` may be several series"),
            ("a / on (pod) b", "`on` matches series"),
            ("rate(x[5m] offset 1h)", "another time"),
            ("max_over_time(x[1h:1m])", "a subquery"),
            ("x{a=\"b}", "not closed"),
            ("x{a b}", "`b}` is not understood"),
            ("a b", "`b` is not understood"),
            ("5m", "`5m` is not understood"),
            ("sum", "`sum` is not understood"),
        ] {
            assert!(parse(text).unwrap_err().contains(says), "{text}: {:?}", parse(text));
        }
        assert!(parse(&"(".repeat(100)).unwrap_err().contains("inside each other"));
    }
}
