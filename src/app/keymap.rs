//! Which keys mean which command: the notation of the configuration, rebinding, and sequences.
//! Every error is one line; a keymap that was built has no two commands on the same keys.

use super::{
    commands::COMMANDS,
    state::{Code, Command, KeyPress},
};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// Why a key or a binding cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyError {
    /// The text names no key.
    #[error("`{0}` is not a key: write one such as R, ctrl-c, alt-x, f5, down, space or the sequence `g g`")]
    NotAKey(String),
    /// No command has this name.
    #[error("keys.{name}: there is no such command{}", did_you_mean(.near.as_ref()))]
    Unknown {
        /// What was written.
        name: String,
        /// The nearest name.
        near: Option<String>,
    },
    /// A command's keys are wrong.
    #[error("keys.{name}: {why}")]
    Bad {
        /// The command.
        name: String,
        /// Why.
        why: Box<KeyError>,
    },
    /// Two commands want the same keys.
    #[error("keys.{name}: `{keys}` is taken by `{by}`; give one of them another key")]
    Conflict {
        /// The command.
        name: String,
        /// The keys.
        keys: String,
        /// The other command.
        by: String,
    },
    /// A command that must always be reachable has no key.
    #[error("keys.{0}: at least one key is needed")]
    Unreachable(String),
}

impl KeyError {
    /// The command whose binding is wrong, as it is written in `[keys]`.
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        match self {
            Self::NotAKey(_) => None,
            Self::Unknown { name, .. } | Self::Bad { name, .. } | Self::Conflict { name, .. } | Self::Unreachable(name) => Some(name),
        }
    }
}

fn did_you_mean(near: Option<&String>) -> String {
    near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default()
}

/// Commands that must have a key, in every layer.
const ALWAYS: &[&str] = &["revert", "close", "quit"];

/// Which keys mean which command. The first layer is global, the others belong to panels and come first
/// while their panel has the keyboard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keymap {
    global: Vec<Binding>,
    panels: BTreeMap<&'static str, Vec<Binding>>,
}

/// A command and one of its key sequences.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Binding {
    command: &'static str,
    keys: Vec<KeyPress>,
}

/// What a sequence of keys means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// This command.
    Command(&'static str),
    /// A command, if more keys follow.
    Prefix,
    /// Nothing.
    Nothing,
}

impl Default for Keymap {
    /// The default keys of [`COMMANDS`], without panels.
    fn default() -> Self {
        Self { global: defaults(COMMANDS), panels: BTreeMap::new() }
    }
}

fn defaults(commands: &'static [Command]) -> Vec<Binding> {
    let keys_of = |c: &'static Command| c.keys.iter().filter_map(|k| parse_sequence(k).ok().map(|keys| Binding { command: c.name, keys }));
    commands.iter().flat_map(keys_of).collect()
}

impl Keymap {
    /// The default keys of all commands, replaced by name where the configuration says so. A name that
    /// several panels have gets the same keys in each of them. An empty list takes the keys away.
    ///
    /// # Errors
    /// One line about the first key, name or conflict that is wrong.
    pub fn new(panels: &[(&'static str, &'static [Command])], changed: &BTreeMap<String, Vec<String>>) -> Result<Self, KeyError> {
        let all = || COMMANDS.iter().chain(panels.iter().flat_map(|(_, commands)| commands.iter()));
        for name in changed.keys() {
            if !all().any(|c| c.name == name) {
                let near = all().map(|c| (strsim::jaro_winkler(c.name, name), c.name)).max_by(|a, b| a.0.total_cmp(&b.0));
                let near = near.filter(|(score, _)| *score > 0.75).map(|(_, n)| n.to_owned());
                return Err(KeyError::Unknown { name: name.escape_debug().to_string(), near });
            }
        }
        let global = layer(COMMANDS, changed)?;
        let reserved: Vec<&Binding> =
            global.iter().filter(|b| ["revert", "close", "quit", "next-panel", "previous-panel", "help"].contains(&b.command)).collect();
        let mut layers = BTreeMap::new();
        for (id, commands) in panels {
            let bindings = layer(commands, changed)?;
            for b in &bindings {
                // `q` may be a panel's letter; the way back and the way out may not.
                if let Some(taken) = reserved.iter().find(|r| clash(&r.keys, &b.keys)) {
                    return Err(conflict(b, taken));
                }
            }
            layers.insert(*id, bindings);
        }
        for name in ALWAYS {
            if !global.iter().any(|b| b.command == *name) {
                return Err(KeyError::Unreachable((*name).to_owned()));
            }
        }
        Ok(Self { global, panels: layers })
    }

    /// What a sequence means while this panel has the keyboard, or none.
    #[must_use]
    pub fn find(&self, panel: Option<&str>, keys: &[KeyPress]) -> Found {
        let own = panel.and_then(|p| self.panels.get(p)).map_or(Found::Nothing, |bindings| find(bindings, keys));
        if own == Found::Nothing { find(&self.global, keys) } else { own }
    }

    /// Whether one press of this key is this global command.
    #[must_use]
    pub fn is(&self, command: &str, key: KeyPress) -> bool {
        self.global.iter().any(|b| b.command == command && b.keys == [key])
    }

    /// The keys of a command, as they are written, default first.
    #[must_use]
    pub fn keys_of(&self, panel: Option<&str>, command: &str) -> Vec<String> {
        let bindings = panel.and_then(|p| self.panels.get(p)).unwrap_or(&self.global);
        bindings.iter().filter(|b| b.command == command).map(|b| written(&b.keys)).collect()
    }
}

/// The bindings of one table.
fn layer(commands: &'static [Command], changed: &BTreeMap<String, Vec<String>>) -> Result<Vec<Binding>, KeyError> {
    let mut bindings: Vec<Binding> = Vec::new();
    for c in commands {
        let texts: Vec<&str> = match changed.get(c.name) {
            Some(keys) => keys.iter().map(String::as_str).collect(),
            None => c.keys.to_vec(),
        };
        for text in texts {
            let keys = parse_sequence(text).map_err(|why| KeyError::Bad { name: c.name.to_owned(), why: Box::new(why) })?;
            bindings.push(Binding { command: c.name, keys });
        }
    }
    for (i, b) in bindings.iter().enumerate() {
        if let Some(other) = bindings.iter().skip(i + 1).find(|o| o.command != b.command && clash(&o.keys, &b.keys)) {
            // The changed one is named, not the default it ran into.
            let (wrong, by) = if changed.contains_key(other.command) { (other, b) } else { (b, other) };
            return Err(conflict(wrong, by));
        }
    }
    Ok(bindings)
}

fn conflict(wrong: &Binding, by: &Binding) -> KeyError {
    KeyError::Conflict { name: wrong.command.to_owned(), keys: written(&wrong.keys), by: by.command.to_owned() }
}

/// Whether one sequence is the other or its beginning: it could never be told which is meant.
fn clash(a: &[KeyPress], b: &[KeyPress]) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

fn find(bindings: &[Binding], keys: &[KeyPress]) -> Found {
    match bindings.iter().find(|b| b.keys.starts_with(keys)) {
        Some(b) if b.keys.len() == keys.len() => Found::Command(b.command),
        Some(_) => Found::Prefix,
        None => Found::Nothing,
    }
}

/// Keys one after the other, separated by spaces.
///
/// # Errors
/// When one of them is no key, or there is none.
pub fn parse_sequence(text: &str) -> Result<Vec<KeyPress>, KeyError> {
    let keys: Vec<KeyPress> = text.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    if keys.is_empty() { Err(KeyError::NotAKey(text.to_owned())) } else { Ok(keys) }
}

/// A sequence as it is written.
#[must_use]
pub fn written(keys: &[KeyPress]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

const NAMES: &[(&str, Code)] = &[
    ("enter", Code::Enter),
    ("esc", Code::Esc),
    ("tab", Code::Tab),
    ("backtab", Code::BackTab),
    ("backspace", Code::Backspace),
    ("up", Code::Up),
    ("down", Code::Down),
    ("left", Code::Left),
    ("right", Code::Right),
    ("pageup", Code::PageUp),
    ("pagedown", Code::PageDown),
    ("home", Code::Home),
    ("end", Code::End),
    ("delete", Code::Delete),
    ("space", Code::Char(' ')),
];

impl FromStr for KeyPress {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bad = || KeyError::NotAKey(text.escape_debug().to_string());
        let (mut rest, mut ctrl, mut alt) = (text, false, false);
        loop {
            // `-` alone is a key, so a modifier needs something behind it.
            if let Some(after) = rest.strip_prefix("ctrl-").filter(|r| !r.is_empty() && !ctrl) {
                (rest, ctrl) = (after, true);
            } else if let Some(after) = rest.strip_prefix("alt-").filter(|r| !r.is_empty() && !alt) {
                (rest, alt) = (after, true);
            } else {
                break;
            }
        }
        if let Some((_, code)) = NAMES.iter().find(|(name, _)| *name == rest) {
            return Ok(Self { code: *code, ctrl, alt });
        }
        let mut chars = rest.chars();
        let code = match (chars.next(), chars.as_str()) {
            // Terminals send the same for ctrl-c and ctrl-C: only one of them is written.
            (Some(c), "") if !(c.is_control() || c.is_whitespace() || ctrl && c.is_uppercase()) => Code::Char(c),
            (Some('f'), n) => Code::F(n.parse().ok().filter(|n| (1..=24).contains(n) && !rest.starts_with("f0")).ok_or_else(bad)?),
            _ => return Err(bad()),
        };
        Ok(Self { code, ctrl, alt })
    }
}

impl fmt::Display for KeyPress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.ctrl { "ctrl-" } else { "" })?;
        f.write_str(if self.alt { "alt-" } else { "" })?;
        match (NAMES.iter().find(|(_, code)| *code == self.code), self.code) {
            (Some((name, _)), _) => f.write_str(name),
            (None, Code::Char(c)) => write!(f, "{c}"),
            (None, Code::F(n)) => write!(f, "f{n}"),
            (None, _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, KeyError, KeyPress, Keymap, parse_sequence, written};
    use crate::{app::commands::COMMANDS, panel};
    use std::collections::BTreeMap;

    fn built(changes: &[(&str, &[&str])]) -> Result<Keymap, KeyError> {
        let changed: BTreeMap<String, Vec<String>> =
            changes.iter().map(|(name, keys)| ((*name).to_owned(), keys.iter().map(|k| (*k).to_owned()).collect())).collect();
        Keymap::new(&panel::tables(&panel::all()), &changed)
    }

    #[test]
    fn the_notation_is_read_and_written_back() {
        for text in ["R", "ctrl-c", "g g", "f5", "down", "space", "alt-x", "ctrl-alt-x", "-", "ctrl--", "?", "backtab", "f24"] {
            assert_eq!(written(&parse_sequence(text).unwrap()), text);
        }
        for bad in ["", " ", "ctrl-", "ctrl-C", "f0", "f25", "f05", "Enter", "rr", "ctrl-ctrl-c", "\u{1b}"] {
            let error = parse_sequence(bad).map_err(|e| e.to_string());
            assert!(error.as_ref().is_err_and(|e| !e.contains('\n') && !e.contains('\u{1b}')), "{bad:?} {error:?}");
        }
    }

    #[test]
    fn defaults_have_no_conflict_and_modifiers_match_exactly() {
        let map = built(&[]).unwrap();
        let find = |keys: &str| map.find(None, &parse_sequence(keys).unwrap());
        assert_eq!(find("R"), Found::Command("revert"));
        assert_eq!(find("ctrl-r"), Found::Nothing);
        assert_eq!(find("alt-R"), Found::Nothing);
        assert_eq!(find("g"), Found::Prefix);
        assert_eq!(find("g g"), Found::Command("top"));
        for c in COMMANDS {
            assert_eq!(map.keys_of(None, c.name), c.keys, "{}", c.name);
        }
    }

    #[test]
    fn commands_are_rebound_by_name() {
        let map = built(&[("revert", &["f9", "b b"]), ("filter", &["ctrl-f"])]).unwrap();
        assert_eq!(map.find(None, &["f9".parse::<KeyPress>().unwrap()]), Found::Command("revert"));
        assert_eq!(map.find(None, &["R".parse::<KeyPress>().unwrap()]), Found::Nothing);
        assert_eq!(map.find(Some("logs"), &["ctrl-f".parse::<KeyPress>().unwrap()]), Found::Command("filter"));
        assert_eq!(map.find(Some("logs"), &["/".parse::<KeyPress>().unwrap()]), Found::Nothing);
        assert!(built(&[("retry", &[])]).unwrap().keys_of(None, "retry").is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        for (changes, line) in [
            (&[("rever", &["x"][..])][..], "keys.rever: there is no such command; did you mean `revert`?"),
            (&[("step", &["R"][..])][..], "keys.step: `R` is taken by `revert`; give one of them another key"),
            (&[("step", &["g"][..])][..], "keys.step: `g` is taken by `top`; give one of them another key"),
            (&[("filter", &["R"][..])][..], "keys.filter: `R` is taken by `revert`; give one of them another key"),
            (&[("revert", &[][..])][..], "keys.revert: at least one key is needed"),
            (
                &[("step", &["shift-s"][..])][..],
                "keys.step: `shift-s` is not a key: write one such as R, ctrl-c, alt-x, f5, down, space or the sequence `g g`",
            ),
        ] {
            assert_eq!(built(changes).unwrap_err().to_string(), line);
        }
    }
}
