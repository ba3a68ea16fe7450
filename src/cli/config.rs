//! `cutover config`: look at the configuration.

use super::{
    Context,
    exit::{self, Exit},
};
use crate::{app::keymap::Keymap, config, panel};
use clap::Subcommand;
use std::io::Write;

/// What to do with it.
#[derive(Subcommand, Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConfigVerb {
    /// Say whether it can be used, and what is probably not meant.
    Check,
    /// Print what is in effect, and where each value comes from.
    Print,
    /// Print its JSON Schema, for editors.
    Schema,
}

/// Checks or prints.
///
/// # Errors
/// One line with file, line and column; exit code 2.
pub fn run(verb: &ConfigVerb, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    if *verb == ConfigVerb::Schema {
        // Whoever asks may have no configuration yet, or a wrong one.
        return writeln!(out, "{:#}", config::schema()).or_else(exit::closed);
    }
    let loaded = match (verb, config::load(cx.global.config.as_deref(), &cx.env)) {
        // All of it at once: whoever checks wants to mend all of it.
        (ConfigVerb::Check, Err(e)) => return Err(Exit::usage(e.lines().join("\ncutover: "))),
        _ => cx.load()?,
    };
    if let Err(e) = Keymap::new(&panel::tables(&panel::all()), &loaded.config.keys) {
        let at = e.command().map_or_else(|| "keys".to_owned(), |command| format!("keys.{command}"));
        return Err(Exit::usage(loaded.wrong(&at, &e.to_string())));
    }
    match verb {
        ConfigVerb::Schema => Ok(()),
        ConfigVerb::Print => write!(out, "{}", config::render(&loaded)),
        ConfigVerb::Check => {
            let name = loaded.path.as_ref().map_or_else(|| "no file, defaults".to_owned(), |p| p.display().to_string());
            let services = loaded.config.services.len();
            let doubts = &loaded.doubts;
            let targets = loaded.config.targets.len();
            let warnings = if doubts.is_empty() { String::new() } else { format!(", {}", counted(doubts.len(), "warning")) };
            let (services, targets) = (counted(services, "service"), counted(targets, "target"));
            let said = doubts.iter().try_for_each(|d| writeln!(out, "{d}"));
            said.and_then(|()| writeln!(out, "{name}: ok, {services}, {targets}{warnings}"))
        }
    }
    .map_err(Exit::failed)
}

/// `1 service`, `2 services`.
pub(super) fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
