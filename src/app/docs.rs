//! What is derived from the tables of commands: footer, help, the key table of the README and the
//! `[keys]` part of the example configuration.

use super::{
    commands::{self, COMMANDS},
    desk::Offer,
    state::{Command, Confirm, Focus, Overlay, State, View},
};
use crate::{
    model::{
        action::Refusal,
        figure,
        rollout::{Hold, MeasuredBy, Phase},
        text::Text,
    },
    ui::footer::{ActionRow, Hint},
};
use std::fmt::Write as _;

/// What can be done now. The first is the way back and is never dropped, except where `R` does nothing.
#[must_use]
pub fn footer(state: &State) -> Vec<Hint> {
    let key = |command: &str| state.desk.keymap.keys_of(None, command).into_iter().next().unwrap_or_default();
    let back = || state.offers().iter().find(|o| o.command == "revert").map(|o| Hint::new(&o.key, o.label.clone(), 0));
    let mut hints: Vec<Hint> = Vec::new();
    match &state.overlay {
        Overlay::Preview(p) if p.withdrawn.is_some() => hints.push(Hint::new(&key("close"), "close; nothing was sent", 0)),
        Overlay::Preview(p) => {
            let enter = match &p.confirm {
                Confirm::Key { letter: true, .. } => format!("or {} sends it", key("revert")),
                Confirm::Key { .. } => "sends it".to_owned(),
                Confirm::Typed { expected, .. } => format!("after typing {expected} sends it"),
                Confirm::Reason { then_typed: Some(_), .. } => "takes the reason; sends nothing yet".to_owned(),
                Confirm::Reason { .. } => "sends it with the reason".to_owned(),
                Confirm::Never => String::new(),
            };
            if !enter.is_empty() {
                hints.push(Hint::new("enter", enter, 0));
            }
            hints.push(Hint::new(&key("close"), "close, nothing is sent", 1));
        }
        Overlay::Weight(_) => hints.extend([Hint::new("enter", "shows the plan", 0), Hint::new(&key("close"), "close", 1)]),
        Overlay::None if state.view == View::Fleet => hints.extend(in_fleet(state)),
        Overlay::None if state.focus == Focus::Panel => {
            let panel = state.panels.get(state.panel);
            if panel.is_some_and(|p| p.typing()) {
                return vec![Hint::new("enter", "keeps the text", 0), Hint::new("esc", "drops it", 0)];
            }
            hints.extend(back());
            hints.push(Hint::new(&key("close"), "to the rollout", 1));
            for (c, drop) in panel.map(|p| p.commands()).unwrap_or_default().iter().zip((2..=7).chain(std::iter::repeat(7))) {
                let own = state.desk.keymap.keys_of(panel.map(|p| p.id()), c.name);
                hints.extend(own.into_iter().next().map(|k| Hint::new(&k, c.name, drop)));
            }
            hints.extend([Hint::new(&key("next-panel"), "panel", 8), Hint::new(&key("help"), "", 9)]);
        }
        Overlay::Palette(_) => {
            hints.extend([Hint::new("enter", "runs what is written", 0), Hint::new("tab", "completes", 1), Hint::new("esc", "close", 2)]);
        }
        Overlay::None => {
            hints.extend(back());
            hints.extend(acting(state));
            hints.push(Hint::new(&key("open"), "actions", 7));
            hints.push(Hint::new(&key("next-panel"), "panel", 8));
            hints.push(Hint::new(&key("palette"), "", 9));
            hints.push(Hint::new(&key("help"), "", 10));
        }
        Overlay::Actions(_) => {
            hints.extend(back());
            hints.extend([Hint::new(&key("open"), "choose", 1), Hint::new(&key("close"), "close", 2)]);
        }
        Overlay::Help(_) | Overlay::Figures(_) | Overlay::Connections | Overlay::Refused { .. } => {
            hints.extend(back());
            let more = match state.overlay {
                Overlay::Help(_) => Some("what the figures are"),
                Overlay::Figures(_) => Some("close"),
                _ => None,
            };
            hints.extend(more.map(|more| Hint::new(&key("help"), more, 2)));
            hints.push(Hint::new(&key("close"), "close", 1));
        }
    }
    hints.retain(|h| !h.key.is_empty());
    hints
}

/// What can be done among all rollouts. Acting keys act on the row of the cursor, and say so.
fn in_fleet(state: &State) -> Vec<Hint> {
    let key = |command: &str| state.desk.keymap.keys_of(None, command).into_iter().next().unwrap_or_default();
    if state.is_typing() {
        return vec![Hint::new("enter", "keeps the text", 0), Hint::new("esc", "drops it", 0)];
    }
    let mut hints = Vec::new();
    match state.shared.watched() {
        Some(w) => {
            let back = state.offers().iter().find(|o| o.command == "revert");
            let name = w.rollout.key.service.text();
            hints.extend(back.map(|o| Hint::new(&o.key, format!("{name} {}", o.label), 0)));
            hints.push(Hint::new(&key("open"), "opens it", 1));
            hints.extend(acting(state).into_iter().take(3).map(|h| Hint { drop: h.drop + 4, ..h }));
        }
        None => hints.push(Hint::new(&key("down"), "chooses a row", 0)),
    }
    if state.fleet.marks().is_empty() {
        hints.push(Hint::new(&key("mark"), "marks", 3));
    } else {
        hints.push(Hint::new(":VERB marked", format!("acts on {}", state.fleet.marks().len()), 1));
        hints.push(Hint::new(&key("close"), "drops the marks", 2));
    }
    let filter = if state.fleet.filter().0.is_empty() { "filter" } else { "other filter" };
    hints.extend([Hint::new(&key("filter"), filter, 4), Hint::new(&key("palette"), "", 8), Hint::new(&key("help"), "", 9)]);
    hints
}

/// The acting commands a person may look for, the likeliest first.
fn acting(state: &State) -> Vec<Hint> {
    let Some(rollout) = state.shared.watched().map(|w| &w.rollout) else { return Vec::new() };
    let paused = rollout.holds.iter().any(|h| matches!(h, Hold::Manual { .. }));
    // Where nothing rolls out it goes without saying that there is no step.
    let running = matches!(rollout.phase, Phase::Progressing | Phase::Held);
    let order = if paused { ["resume", "step", "promote", "weight", "retry"] } else { ["pause", "step", "promote", "weight", "retry"] };
    let mut hints: Vec<Hint> = Vec::new();
    for (name, drop) in order.into_iter().zip(1_u8..) {
        let Some(o) = state.offers().iter().find(|o| o.command == name) else { continue };
        match &o.off {
            // The first three say why they are off; the others only show when they can be used.
            Some(refusal) if running && drop <= 3 => {
                let why: Text = format!("off: {}", short(refusal)).into();
                match hints.last_mut().filter(|h| h.off && h.label == why) {
                    Some(same) => same.key = format!("{} {}", same.key, o.key),
                    None => hints.push(Hint { key: o.key.clone(), label: why, off: true, drop }),
                }
            }
            Some(_) => {}
            None => hints.push(Hint::new(&o.key, o.label.clone(), drop)),
        }
    }
    hints
}

/// A refusal in a word or two; the list of actions has all of it.
fn short(refusal: &Refusal) -> Text {
    match refusal {
        Refusal::Guarded { .. } => "gate failed".into(),
        Refusal::Stale { .. } => "view is stale".into(),
        Refusal::ReadOnly => "read-only".into(),
        Refusal::Frozen { .. } => "frozen".into(),
        other => {
            let all = other.to_string();
            all.split([',', ';', ':']).next().unwrap_or_default().into()
        }
    }
}

/// The rows of the list of actions, after the first, which is no action.
#[must_use]
pub fn actions(state: &State) -> Vec<ActionRow> {
    let row = |o: &Offer| ActionRow { label: o.label.to_string(), key: o.key.clone(), off: o.off.as_ref().map(|r| r.to_string().into()) };
    state.offers().iter().map(row).collect()
}

/// Every command with its keys, panel by panel; headings have no keys.
#[must_use]
pub fn help(state: &State) -> Vec<(String, String)> {
    let heading = |doc: &str| (String::new(), doc.to_owned());
    let map = &state.desk.keymap;
    let line = |panel: Option<&str>, c: &Command| {
        let mut keys = map.keys_of(panel, c.name);
        if keys.is_empty() && panel.is_none() {
            keys.push(commands::written(c.name));
        }
        let gone = keys.is_empty() || (state.read_only && c.acts && c.name != "revert");
        (!gone).then(|| (keys.join(", "), c.doc.to_owned()))
    };
    let mut lines = vec![heading("Acting: each key opens a preview, nothing is sent before it is confirmed")];
    lines.extend(commands::acting().filter_map(|c| line(None, c)));
    lines.push(heading("Looking"));
    lines.extend(COMMANDS.iter().filter(|c| !c.acts).filter_map(|c| line(None, c)));
    for p in &state.panels {
        lines.push(heading(&format!("Panel {}", p.id())));
        lines.extend(p.commands().iter().filter_map(|c| line(Some(p.id()), c)));
    }
    lines
}

/// What each figure of the screen is: its name, and where it comes from. Headings have no name.
#[must_use]
pub fn figures(state: &State) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let mut table = |heading: &str, figures: &[figure::Figure]| {
        if !figures.is_empty() {
            lines.push((String::new(), heading.to_owned()));
            lines.extend(figures.iter().map(|f| (f.name.to_owned(), f.line())));
        }
    };
    if state.view == View::Fleet {
        table("All rollouts", figure::FLEET);
        return lines;
    }
    let panel = state.panels.get(state.panel);
    let own = |table: &mut dyn FnMut(&str, &[figure::Figure])| {
        if let Some(p) = panel {
            table(&format!("Panel {}", p.id()), p.figures());
        }
    };
    if state.focus == Focus::Panel {
        own(&mut table);
        table("The rollout", figure::ROLLOUT);
    } else {
        table("The rollout", figure::ROLLOUT);
        own(&mut table);
    }
    let measured = state.shared.watched().and_then(|w| w.rollout.measured.as_ref());
    let (mut who, asked) = measured.map(measured_by).unwrap_or_default();
    who.append(&mut lines);
    who.extend(asked);
    who
}

/// Names, and what they are.
type Lines = Vec<(String, String)>;

/// Who measures the rollout; and below everything else, what is asked.
fn measured_by(measured: &MeasuredBy) -> (Lines, Lines) {
    let line = |name: &str, text: &Text| (name.to_owned(), text.to_string());
    let heading = |text: &str| (String::new(), text.to_owned());
    let who = vec![heading("Measured by"), line("signals", &measured.signals), line("gates", &measured.gates)];
    let asked = measured.queries.iter().map(|(name, text)| line(name.as_str(), text));
    let asked = if measured.queries.is_empty() { Vec::new() } else { [heading("Asked there")].into_iter().chain(asked).collect() };
    (who, asked)
}

/// The key table of the README.
#[must_use]
pub fn readme_table(panels: &[(&'static str, &'static [Command])]) -> String {
    let mut out = String::from("| key | name | what it does |\n|---|---|---|\n");
    let mut row = |c: &Command, place: &str| {
        let keys = c.keys.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(" ");
        let keys = if keys.is_empty() { format!("`{}`", commands::written(c.name)) } else { keys };
        let _ = writeln!(out, "| {keys} | `{}` | {}{place} |", c.name, c.doc);
    };
    for c in COMMANDS {
        row(c, "");
    }
    for (c, places) in panel_commands(panels) {
        row(c, &format!(" (in {})", places.join(", ")));
    }
    out
}

/// The `[keys]` part of the example configuration: every name with its default, commented out.
#[must_use]
pub fn example(panels: &[(&'static str, &'static [Command])]) -> String {
    let commands: Vec<&Command> = COMMANDS.iter().chain(panel_commands(panels).into_iter().map(|(c, _)| c)).collect();
    let line = |c: &Command| format!("#{} = {:?}", c.name, c.keys);
    let width = commands.iter().map(|c| line(c).len()).max().unwrap_or(0).min(40);
    let mut out = String::from("#[keys]\n");
    for c in commands {
        let _ = writeln!(out, "{:width$}  # {}", line(c), c.doc);
    }
    out
}

/// Every command that panels have, once, with the panels that have it.
fn panel_commands(panels: &[(&'static str, &'static [Command])]) -> Vec<(&'static Command, Vec<&'static str>)> {
    let mut all: Vec<(&'static Command, Vec<&'static str>)> = Vec::new();
    for (id, own) in panels {
        // What every place has is written once.
        for c in own.iter().filter(|c| commands::named(c.name).is_none()) {
            match all.iter_mut().find(|(known, _)| known.name == c.name) {
                Some((_, places)) => places.push(id),
                None => all.push((c, vec![id])),
            }
        }
    }
    all
}
