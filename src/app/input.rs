//! One key to one command: who has the keyboard, and what a key means there.

use super::{
    commands::{self, MOVES, PANELS},
    confirm::{Press, printable},
    docs,
    keymap::Found,
    msg::{Effect, Planner, Stroke},
    palette,
    state::{Code, Focus, Input, KeyPress, Notice, Overlay, State, View},
};
use crate::model::{
    action::Action,
    text::Text,
    time::{Time, after},
    version::Artifact,
};
use std::time::Duration;

/// How long a notice stays that needs no attention.
const FADES: Duration = Duration::from_secs(3);

impl State {
    /// One stroke. What was read before a resume is not believed.
    pub(super) fn stroke(&mut self, stroke: &Stroke, planner: &dyn Planner, fx: &mut Vec<Effect>) {
        match &stroke.input {
            Input::Key(key) => {
                let again = self.desk.keyboard.note(*key, stroke.read_at);
                let torn = self.desk.keyboard.is_torn(*key, stroke.read_at);
                if torn || self.desk.keyboard.is_stale(stroke.read_at) {
                    return;
                }
                self.press(Press { key: *key, at: stroke.read_at, repeat: stroke.repeat, again }, planner, fx);
            }
            Input::Paste(text) => {
                if self.desk.keyboard.is_stale(stroke.read_at) {
                    return;
                }
                self.paste(text);
            }
        }
        self.desk.touched = true;
        self.hold_rows();
        // From here on the person may have seen who acted last.
        if let Some(w) = self.shared.watched() {
            self.desk.baseline = Some(w.rollout.last.clone());
        }
    }

    /// Pasted text is no keys: it closes a preview, fills a filter, and is nothing elsewhere.
    fn paste(&mut self, text: &str) {
        self.desk.keyboard.sequence.clear();
        if let Overlay::Preview(p) = &self.overlay {
            if p.withdrawn.is_none() {
                self.close_preview();
            }
        } else if self.overlay == Overlay::None && self.is_typing() {
            let input = Input::Paste(Text::clean(text).to_string());
            self.typed_input(&input);
        } else {
            self.say("a paste is ignored here", None);
        }
    }

    fn press(&mut self, press: Press, planner: &dyn Planner, fx: &mut Vec<Effect>) {
        // A key that is held is no next key: what was said stays readable.
        if !press.repeat && !press.again && self.notice.as_ref().is_some_and(|n| n.fades.is_none()) {
            self.notice = None;
        }
        if matches!(self.overlay, Overlay::Preview(_)) {
            self.desk.keyboard.sequence.clear();
            return self.preview_key(press, planner, fx);
        }
        if self.overlay == Overlay::None && self.is_typing() {
            self.desk.keyboard.sequence.clear();
            return self.type_into_panel(press.key, fx);
        }
        if matches!(self.overlay, Overlay::Palette(_)) {
            self.desk.keyboard.sequence.clear();
            return self.palette_key(press, planner, fx);
        }
        if let Overlay::Weight(_) = self.overlay
            && self.type_weight(press, planner)
        {
            return;
        }
        if let Some(command) = self.command(press.key) {
            self.run(command, press, planner, fx);
        } else if matches!(self.overlay, Overlay::Refused { .. }) && self.desk.keyboard.sequence.is_empty() {
            self.overlay = Overlay::None;
        }
    }

    /// What a key means with those before it; remembers it when more must follow.
    fn command(&mut self, key: KeyPress) -> Option<&'static str> {
        let panel = match (&self.overlay, self.focus) {
            (Overlay::None, Focus::Panel) => self.panels.get(self.panel).map(|p| p.id()),
            _ => None,
        };
        let desk = &mut self.desk;
        let mut keys = std::mem::take(&mut desk.keyboard.sequence);
        keys.push(key);
        let mut found = desk.keymap.find(panel, &keys);
        if found == Found::Nothing && keys.len() > 1 {
            // `g R`: the sequence was given up, the last key stands for itself.
            keys = vec![key];
            found = desk.keymap.find(panel, &keys);
        }
        match found {
            Found::Command(name) => Some(name),
            Found::Prefix => {
                desk.keyboard.sequence = keys;
                None
            }
            Found::Nothing => None,
        }
    }

    pub(super) fn run(&mut self, command: &'static str, press: Press, planner: &dyn Planner, fx: &mut Vec<Effect>) {
        match command {
            "revert" => return self.act(command, Some(press.key), planner),
            "redraw" => return fx.push(Effect::Redraw),
            "suspend" => return fx.push(Effect::Suspend),
            "close" => return self.close(),
            "quit" if self.is_outermost() => return fx.push(Effect::Quit),
            "quit" => return self.close(),
            _ => {}
        }
        match self.overlay {
            Overlay::None => match (self.view, self.focus) {
                _ if self.run_anywhere(command, fx) => {}
                (View::Fleet, _) => self.run_in_fleet(command, press.key, press.repeat || press.again, planner),
                (View::Rollout, Focus::Panel) => self.run_in_panel(command),
                (View::Rollout, Focus::Rollout) => self.run_in_rollout(command, press, planner),
            },
            Overlay::Actions(row) => self.run_in_actions(command, row, press, planner),
            Overlay::Help(first) => match command {
                "help" => self.overlay = Overlay::Figures(0),
                _ => {
                    let last = docs::help(self).len().saturating_sub(1);
                    self.overlay = Overlay::Help(moved(command, first, last));
                }
            },
            Overlay::Figures(first) => match command {
                "help" => self.overlay = Overlay::None,
                _ => {
                    let last = docs::figures(self).len().saturating_sub(1);
                    self.overlay = Overlay::Figures(moved(command, first, last));
                }
            },
            Overlay::Refused { .. } => self.overlay = Overlay::None,
            Overlay::Connections if command == "connections" => self.overlay = Overlay::None,
            Overlay::Connections | Overlay::Weight(_) | Overlay::Preview(_) | Overlay::Palette(_) => {}
        }
    }

    /// What a command means wherever one is. True when it was one of those.
    fn run_anywhere(&mut self, command: &str, fx: &mut Vec<Effect>) -> bool {
        match command {
            // In a panel the figures are asked for: its keys stand in the footer.
            "help" if self.view == View::Rollout && self.focus == Focus::Panel => self.overlay = Overlay::Figures(0),
            "help" => self.overlay = Overlay::Help(0),
            "connections" => self.overlay = Overlay::Connections,
            "palette" => self.overlay = Overlay::Palette(palette::Palette::default()),
            "fleet" if self.view == View::Rollout => self.leave_rollout(),
            "fleet" => {}
            "copy" => self.copy(fx),
            _ => return false,
        }
        true
    }

    /// Whether nothing is left to be closed but the console.
    fn is_outermost(&self) -> bool {
        let inner = match self.view {
            View::Fleet => !self.fleet.filter.text().is_empty() || !self.fleet.marks.is_empty(),
            // Where there is only one rollout, closing it is closing the console.
            View::Rollout => self.focus == Focus::Panel || (self.desk.entered && self.shared.rollouts.len() > 1),
        };
        self.overlay == Overlay::None && !inner
    }

    fn run_in_rollout(&mut self, command: &'static str, press: Press, planner: &dyn Planner) {
        match command {
            "open" => self.overlay = Overlay::Actions(0),
            "next-panel" => {
                self.focus = Focus::Panel;
                self.desk.chose_panel = true;
            }
            "previous-panel" => {
                self.desk.chose_panel = true;
                self.panel = self.panels.len().saturating_sub(1);
                self.focus = Focus::Panel;
            }
            "filter" | "next-match" | "previous-match" | "mark" => {
                self.say(&format!("{command}: esc shows every rollout, tab goes to a panel; there it works"), None);
            }
            name if PANELS.contains(&name) => self.open_panel(name),
            name if MOVES.contains(&name) => self.panel_run(name),
            // A held key opens nothing: closing its preview would open it again.
            name if commands::named(name).is_some_and(|c| c.acts) && !press.repeat && !press.again => {
                self.act(name, Some(press.key), planner);
            }
            _ => {}
        }
    }

    /// While a panel has the keyboard, letters and `enter` belong to it; only `R` acts.
    fn run_in_panel(&mut self, command: &'static str) {
        match command {
            "next-panel" if self.panel + 1 < self.panels.len() => self.panel += 1,
            "next-panel" => (self.panel, self.focus) = (0, Focus::Rollout),
            "previous-panel" if self.panel > 0 => self.panel -= 1,
            "previous-panel" => self.focus = Focus::Rollout,
            "open" | "mark" => {}
            name if PANELS.contains(&name) => self.open_panel(name),
            name if commands::named(name).is_some_and(|c| c.acts) => {
                self.say(&format!("{name}: the panel has the keyboard; esc gives it back"), None);
            }
            name => self.panel_run(name),
        }
    }

    fn run_in_actions(&mut self, command: &'static str, row: usize, press: Press, planner: &dyn Planner) {
        let last = commands::acting().count();
        match command {
            "open" => match row.checked_sub(1).and_then(|n| commands::acting().nth(n)) {
                // A held enter goes no further than this list.
                Some(c) if !press.repeat && !press.again => self.act(c.name, Some(press.key), planner),
                Some(_) => {}
                None => self.overlay = Overlay::None,
            },
            name if MOVES.contains(&name) => self.overlay = Overlay::Actions(moved(name, row, last)),
            name if commands::named(name).is_some_and(|c| c.acts) && !press.repeat && !press.again => {
                self.act(name, Some(press.key), planner);
            }
            _ => {}
        }
    }

    /// A weight is being typed. True when the key was used.
    fn type_weight(&mut self, press: Press, planner: &dyn Planner) -> bool {
        let Overlay::Weight(text) = &mut self.overlay else { return false };
        match (press.key.code, printable(press.key)) {
            (_, Some(c)) if c.is_ascii_digit() || c == '.' => {
                // One more than a weight can have, so that what is too much is said and not swallowed.
                if text.len() < 7 {
                    text.push(c);
                }
            }
            _ if press.key.erases(text) => {}
            (Code::Enter, _) if !press.repeat && !press.again => {
                let text = text.clone();
                let weight = match palette::weight(&text) {
                    Ok(weight) => weight,
                    Err(why) => {
                        self.say(&why, None);
                        return true;
                    }
                };
                if let Some(rollout) = self.shared.watched().map(|w| w.rollout.clone()) {
                    self.ask(Action::SetWeight { weight }, None, &rollout, Some(press.key), planner);
                }
            }
            (Code::Enter, _) => {}
            _ => return false,
        }
        true
    }

    /// Closes the innermost thing, never the console.
    fn close(&mut self) {
        match self.overlay {
            Overlay::None if self.view == View::Fleet => {
                self.close_in_fleet();
            }
            Overlay::None if self.focus == Focus::Rollout => self.leave_rollout(),
            Overlay::None => self.focus = Focus::Rollout,
            Overlay::Weight(_) => {
                self.overlay = Overlay::None;
                self.say("NOTHING SENT", None);
            }
            _ => self.overlay = Overlay::None,
        }
    }

    fn open_panel(&mut self, id: &str) {
        if let Some(at) = self.panels.iter().position(|p| p.id() == id) {
            (self.panel, self.focus) = (at, Focus::Panel);
            self.desk.chose_panel = true;
        }
    }

    /// The panel that a rollout opens with until somebody chooses one: where no requests are measured, none that
    /// failed can be listed, and what its pods do says most.
    pub(super) fn first_panel(&mut self) {
        let Some(w) = self.shared.watched().filter(|_| !self.desk.chose_panel) else { return };
        let measured = w.rollout.key.scope.is_empty() || w.rollout.tracks.iter().any(|t| !t.signals.is_empty());
        let id = if measured { "failed" } else { "instances" };
        self.panel = self.panels.iter().position(|p| p.id() == id).unwrap_or(self.panel);
    }

    /// Whether a filter takes every key as text.
    pub(super) fn is_typing(&self) -> bool {
        match self.view {
            View::Fleet => self.fleet.filter.typing(),
            View::Rollout => self.focus == Focus::Panel && self.panels.get(self.panel).is_some_and(|p| p.typing()),
        }
    }

    /// Every key is text, `R` too: who types ERROR into a filter goes nowhere. What has ctrl is no text.
    fn type_into_panel(&mut self, key: KeyPress, fx: &mut Vec<Effect>) {
        let keymap = &self.desk.keymap;
        if key.ctrl && keymap.is("redraw", key) {
            fx.push(Effect::Redraw);
        } else if key.ctrl && keymap.is("suspend", key) {
            fx.push(Effect::Suspend);
        } else {
            // ctrl-c closes the innermost thing, here the line that is typed.
            let closes = key.ctrl && keymap.is("quit", key);
            let key = if closes { KeyPress { code: Code::Esc, ctrl: false, alt: false } } else { key };
            self.typed_input(&Input::Key(key));
        }
    }

    fn typed_input(&mut self, input: &Input) {
        if self.view == View::Fleet {
            if self.fleet.filter.input(input) {
                self.filtered();
            }
            return;
        }
        let shared = &self.shared;
        if let Some(panel) = self.panels.get_mut(self.panel) {
            panel.input(input, shared);
        }
    }

    fn panel_run(&mut self, command: &str) {
        let shared = &self.shared;
        if let Some(panel) = self.panels.get_mut(self.panel) {
            panel.run(command, shared);
        }
    }

    /// What a person would want elsewhere: the panel's line, else the digest of the newer version.
    fn copy(&mut self, fx: &mut Vec<Effect>) {
        let line = match self.focus {
            _ if self.view == View::Fleet => None,
            Focus::Panel => self.panels.get(self.panel).and_then(|p| p.copy(&self.shared)),
            Focus::Rollout => None,
        };
        let Some(text) = line.or_else(|| self.artifact()) else { return self.say("there is nothing to copy", None) };
        self.say(&format!("copied {text}"), Some(FADES));
        fx.push(Effect::Copy(text));
    }

    fn artifact(&self) -> Option<String> {
        let rollout = &self.shared.watched()?.rollout;
        let version = rollout.candidate().or_else(|| rollout.stable()).map(|t| &t.version);
        let digest = version.and_then(|v| {
            v.parts.iter().find_map(|p| match &p.declared {
                Artifact::Digest(d) => Some(d.to_string()),
                Artifact::Tag(_) | Artifact::Opaque(_) => None,
            })
        });
        let name = || {
            let run = rollout.run.as_ref().map(|r| format!("@{}", r.text())).unwrap_or_default();
            format!("{}{run}", rollout.key.service.text())
        };
        Some(digest.unwrap_or_else(name))
    }

    /// Tells the person something that is no bad news.
    pub(super) fn say(&mut self, text: &str, fades: Option<Duration>) {
        let fades: Option<Time> = fades.map(|d| after(self.shared.now, d));
        self.notice = Some(Notice { text: text.into(), bad: false, fades });
    }
}

/// Where a move leads in a list that ends at `last`.
fn moved(command: &str, at: usize, last: usize) -> usize {
    match command {
        "down" => at.saturating_add(1),
        "up" => at.saturating_sub(1),
        "page-down" => at.saturating_add(10),
        "page-up" => at.saturating_sub(10),
        "top" => 0,
        "bottom" => last,
        _ => at,
    }
    .min(last)
}
