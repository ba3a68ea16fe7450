//! `config.example.toml` is what the code does.

use crate::config::{Config, parse};
use serde_json::Value;
use std::collections::BTreeSet;

const EXAMPLE: &str = include_str!("../../../config.example.toml");

/// A key of the example, or a heading, as opposed to prose, which has a space after `#`.
fn entry(line: &str) -> Option<&str> {
    line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '['))
}

pub fn uncommented() -> String {
    EXAMPLE.lines().map(|line| entry(line).unwrap_or(line)).fold(String::new(), |text, line| text + line + "\n")
}

/// The example without these lines, uncommented.
fn without(drop: impl Fn(usize) -> bool) -> Config {
    let kept = uncommented().lines().enumerate().filter(|(i, _)| !drop(*i)).fold(String::new(), |text, (_, line)| text + line + "\n");
    parse(&kept, "example").unwrap_or_else(|e| panic!("{e}\n{kept}"))
}

/// Each entry with its number and whether its value is a default. Keys are held to the commands elsewhere.
fn entries() -> Vec<(usize, &'static str, bool)> {
    let derived = |line: &&str| !line.starts_with("# --- end of keys");
    let keys = EXAMPLE.lines().position(|line| line.starts_with("# --- keys")).unwrap();
    let keys = keys..keys + EXAMPLE.lines().skip(keys).take_while(derived).count();
    let entries = EXAMPLE.lines().enumerate().filter_map(|(i, line)| Some((i, entry(line)?)));
    let entries = entries.filter(|(i, _)| !keys.contains(i));
    let values = entries.filter(|(_, line)| !line.starts_with('['));
    values.map(|(i, line)| (i, line, !line.contains("# (required)") && !line.contains("# (unset)"))).collect()
}

#[test]
fn as_it_stands_it_changes_nothing() {
    assert_eq!(parse(EXAMPLE, "example").unwrap(), Config::default());
}

#[test]
fn uncommented_it_is_complete_and_every_default_is_what_it_says() {
    let whole = without(|_| false);
    assert_eq!((whole.services.len(), whole.targets.len()), (1, 2));
    let mut defaults = 0;
    for (i, line, default) in entries() {
        if default {
            assert_eq!(without(|n| n == i), whole, "not the default: {line}");
            defaults += 1;
        } else if line.contains("# (unset)") {
            assert_ne!(without(|n| n == i), whole, "is set by default: {line}");
        } else {
            let text = uncommented().lines().enumerate().filter(|(n, _)| *n != i).fold(String::new(), |t, (_, l)| t + l + "\n");
            let error = parse(&text, "example").expect_err(line).to_string();
            assert!(error.contains("is missing"), "{error}");
        }
    }
    assert!(defaults > 30, "{defaults}");

    // Taken all together, too: what is left when every default goes.
    let lines: BTreeSet<usize> = entries().into_iter().filter(|(_, _, default)| *default).map(|(i, _, _)| i).collect();
    assert_eq!(without(|n| lines.contains(&n)), whole);
}

/// Every key that a value has, with the keys below it; lists count by their first item.
fn key_names(prefix: &str, value: &Value, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = format!("{prefix}.{key}");
                key_names(&path, value, out);
                out.insert(path);
            }
        }
        Value::Array(items) if !prefix.ends_with(".steps") => items.iter().for_each(|item| key_names(prefix, item, out)),
        _ => {}
    }
}

#[test]
fn every_key_is_there() {
    // Serialising writes every field there is, also those that the example might have forgotten.
    let whole = without(|_| false);
    let mut known = BTreeSet::new();
    key_names("", &serde_json::to_value(&whole).unwrap(), &mut known);
    let text: toml::Table = toml::from_str(&uncommented()).unwrap();
    let mut shown = BTreeSet::new();
    key_names("", &serde_json::to_value(&text).unwrap(), &mut shown);
    assert_eq!(known, shown);
}
