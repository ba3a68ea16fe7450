//! The one table of what a person can do. Keys, help, footer, palette, documentation and read-only
//! filtering are derived from it; each panel has a table of its own.

use super::state::Command;

const fn look(name: &'static str, doc: &'static str, keys: &'static [&'static str]) -> Command {
    Command { name, doc, keys, acts: false }
}

const fn act(name: &'static str, doc: &'static str, keys: &'static [&'static str]) -> Command {
    Command { name, doc, keys, acts: true }
}

/// Every command that is not a panel's own, in the order of the help.
pub const COMMANDS: &[Command] = &[
    look("down", "move down", &["j", "down"]),
    look("up", "move up", &["k", "up"]),
    look("page-down", "move down a page", &["pagedown", "ctrl-d"]),
    look("page-up", "move up a page", &["pageup", "ctrl-u"]),
    look("top", "move to the first line", &["g g", "home"]),
    look("bottom", "move to the last line", &["G", "end"]),
    look("open", "open the rollout; there, the list of actions", &["enter"]),
    look("close", "close the innermost thing; from a rollout to all of them", &["esc"]),
    look("fleet", "every rollout of every target", &[]),
    look("filter", "show only lines with a text", &["/"]),
    look("next-match", "the next line that is shown", &["n"]),
    look("previous-match", "the line before that is shown", &["N"]),
    look("mark", "mark the row, or take its mark away; `:VERB marked` acts on all that are", &["space"]),
    look("next-panel", "give the keyboard to the panel, then to the next one", &["tab"]),
    look("previous-panel", "the same backwards", &["backtab"]),
    look("failed", "failed requests of both versions", &["f"]),
    look("health", "the course of each signal, both versions in one chart", &["h"]),
    look("instances", "instances of both versions", &["i"]),
    look("evidence", "what each gate's verdict rests on", &["e"]),
    look("logs", "logs by version", &["l"]),
    look("events", "what happened", &["v"]),
    look("findings", "what is wrong and no figure says, and what heals it", &["F"]),
    look("analyses", "what the runtime measures by itself", &["A"]),
    look("artifact", "what runs: digests, size, store, how long proven", &["a"]),
    look("versions", "every version that is remembered", &["V"]),
    look("own-log", "the console's own log", &["o"]),
    look("connections", "how each source is connected", &["C"]),
    look("copy", "copy the artifact's digest, or the panel's line", &["y"]),
    look("redraw", "repaint the screen", &["r", "ctrl-l"]),
    act("step", "leave the current step as passed", &["s"]),
    act("pause", "stop moving", &["p"]),
    act("resume", "lift a manual pause (continue)", &["c"]),
    act("weight", "set the candidate's share and hold there", &["w"]),
    act("promote", "finish the rollout now", &["P"]),
    act("revert", "the fastest way back", &["R"]),
    act("retry", "the same candidate again, from the start", &["t"]),
    act("undo", "deploy an older version again, through the plan", &[]),
    act("freeze", "stop the line: no deploy, step or promotion", &[]),
    act("thaw", "lift a freeze", &[]),
    act("taint", "never go back to this version", &[]),
    look("palette", "write a command by its name", &[":"]),
    look("help", "every key; again: what each figure is", &["?"]),
    look("quit", "close the innermost thing, then quit", &["q", "ctrl-c"]),
    look("suspend", "stop and give the terminal back (fg returns)", &["ctrl-z"]),
];

/// Commands that open a panel, by the panel's id.
pub const PANELS: &[&str] =
    &["failed", "health", "instances", "evidence", "findings", "analyses", "artifact", "events", "logs", "versions", "own-log"];

/// Commands that move inside whatever has the keyboard; panels get them by name.
pub const MOVES: &[&str] = &["down", "up", "page-down", "page-up", "top", "bottom"];

/// The words that follow a command where it is written out; every other command takes none. After a
/// verb that acts, `marked` stands for every rollout that is marked.
const WORDS: &[(&str, &str)] = &[("weight", "PERCENT"), ("undo", "VERSION"), ("freeze", "[TIME] REASON"), ("taint", "VERSION REASON")];

/// The words that a command takes in the palette, as they are described.
#[must_use]
pub fn words(name: &str) -> &'static str {
    WORDS.iter().find(|(of, _)| *of == name).map_or("", |(_, words)| words)
}

/// A command as it is written out: `:undo VERSION`.
#[must_use]
pub fn written(name: &str) -> String {
    format!(":{name} {}", words(name)).trim_end().to_owned()
}

/// The command with this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|c| c.name == name)
}

/// The acting commands, in the order of the list of actions.
pub fn acting() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().filter(|c| c.acts)
}
