//! The effective configuration as TOML, each value with where it came from.

use super::{Loaded, MetricsKind, Origin};
use std::fmt::Write as _;
use toml::{Table, Value};

/// What `cutover config print` shows. It is a configuration that reads back as the same values.
#[must_use]
pub fn render(loaded: &Loaded) -> String {
    let mut config = loaded.config.clone();
    let paths = &loaded.paths;
    config.host.socket = Some(paths.socket.clone());
    config.host.state = Some(paths.state.clone());
    config.host.store = Some(paths.store.clone());
    config.host.run = Some(paths.run.clone());
    config.journal.path = Some(paths.journal.clone());
    // Every gate over counts has a limit, whether anybody set one or not.
    let gates = config.services.iter_mut().flat_map(|s| &mut s.gates).chain(config.targets.iter_mut().flat_map(|t| &mut t.gates));
    gates.for_each(|gate| gate.limit = gate.limit());
    let from = loaded.path.as_deref().map_or_else(|| "no file, defaults only".into(), super::read::shown);
    let mut out = format!("# effective configuration from {from}\n");
    match Table::try_from(&config) {
        Ok(mut table) => {
            // The rest belongs to servers that are asked, and would be refused.
            if config.metrics.kind == MetricsKind::Host
                && let Some(metrics) = table.get_mut("metrics").and_then(Value::as_table_mut)
            {
                metrics.retain(|key, _| key == "kind");
            }
            Printer { loaded, out: &mut out }.table(&[], "", &table);
        }
        Err(e) => drop(writeln!(out, "# cannot be printed: {e}")),
    }
    out
}

struct Printer<'a> {
    loaded: &'a Loaded,
    out: &'a mut String,
}

impl Printer<'_> {
    /// `heading` is what stands in brackets, `path` the same with indices.
    fn table(&mut self, heading: &[String], path: &str, table: &Table) {
        let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        let is_nothing = |key: &str, value: &Value| matches!(key, "service" | "gate") && value.as_array().is_some_and(Vec::is_empty);
        for (key, value) in table.iter().filter(|(key, value)| !is_table(value) && !is_nothing(key, value)) {
            let _ = writeln!(self.out, "{} = {value}{}", bare(key), self.origin(&below(key)));
        }
        for (key, value) in table.iter().filter(|(_, value)| is_table(value)) {
            let heading = [heading, &[bare(key)]].concat();
            match value {
                Value::Table(table) if !table.is_empty() => {
                    let _ = writeln!(self.out, "\n[{}]", heading.join("."));
                    self.table(&heading, &below(key), table);
                }
                Value::Array(items) => {
                    for (i, item) in items.iter().filter_map(Value::as_table).enumerate() {
                        let path = format!("{}.{i}", below(key));
                        let _ = writeln!(self.out, "\n[[{}]]{}", heading.join("."), self.origin(&path));
                        self.table(&heading, &path, item);
                    }
                }
                _ => {}
            }
        }
    }

    fn origin(&self, path: &str) -> String {
        match self.loaded.origins.of(path) {
            Origin::Default => "  # default".into(),
            Origin::File { line } => format!("  # line {line}"),
            Origin::Env(name) => format!("  # ${name}"),
            Origin::Flag(name) => format!("  # {name}"),
        }
    }
}

/// Whether it gets a heading of its own. Steps are short and stay in one line.
fn is_table(value: &Value) -> bool {
    let is_step =
        |item: &Value| item.as_table().is_some_and(|t| ["weight", "pause", "gate"].iter().any(|k| t.len() == 1 && t.contains_key(*k)));
    match value {
        Value::Table(_) => true,
        Value::Array(items) => items.iter().all(Value::is_table) && !items.iter().any(is_step) && !items.is_empty(),
        _ => false,
    }
}

fn bare(key: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !key.is_empty() && key.chars().all(fits) { key.to_owned() } else { Value::String(key.to_owned()).to_string() }
}
