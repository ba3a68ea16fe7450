//! The part of `config.example.toml` that is derived.

use crate::app::state::Command;
use std::fmt::Write as _;
use toml::Value;

/// The `[keys]` section of the example: every command with its default keys, commented out.
#[must_use]
pub fn keys_section(commands: &[Command]) -> String {
    let mut out = String::from("#[keys]\n");
    let line = |c: &Command| format!("#{} = {}", c.name, Value::from(c.keys.to_vec()));
    let width = commands.iter().map(|c| line(c).len()).max().unwrap_or(0).min(40);
    for command in commands {
        let _ = writeln!(out, "{:width$}  # {}", line(command), command.doc);
    }
    out
}
