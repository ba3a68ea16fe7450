//! Commands by name: what is typed after `:`, what could follow, and what it means. Verbs that act must
//! be written in full: `:w` and `:re` are habits, not orders.

use super::{
    commands::{self, COMMANDS},
    confirm::{Press, printable},
    msg::{Effect, Planner},
    state::{Code, Overlay, State, View},
};
use crate::model::{
    action::Action,
    ratio::Weight,
    rollout::{Known, Rollout, Standing},
    text::Text,
    time::{after, span},
    version::Artifact,
};

/// How long a line may be.
const LONGEST: usize = 240;
/// Digits of a digest that name a version.
const DIGITS: usize = 4;

/// A line that is being typed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Palette {
    /// Without the colon.
    pub text: String,
    /// The suggestion that was chosen with the arrows.
    pub chosen: Option<usize>,
    /// Said about the last key.
    pub said: Option<Text>,
}

/// What could be meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Suggestion {
    /// The whole line.
    pub line: String,
    /// What it does, or what is known of it.
    pub doc: String,
}

/// A weight as people type it, or what is wrong with it.
///
/// # Errors
/// One line.
pub fn weight(text: &str) -> Result<Weight, String> {
    let number = text.trim().trim_end_matches('%').trim_end();
    let shown = Text::clean(text);
    if number.is_empty() {
        return Err("write a weight: 0 to 100".into());
    }
    let plain = number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let Some(percent) = number.parse::<f64>().ok().filter(|p| plain && p.is_finite()) else {
        return Err(format!("`{shown}` is no weight: write a number from 0 to 100"));
    };
    if percent > 100.0 {
        return Err(format!("`{shown}` is more than all of the traffic: 0 to 100"));
    }
    if number.split_once('.').is_some_and(|(_, decimals)| decimals.trim_end_matches('0').len() > 2) {
        return Err(format!("`{shown}` has more than two decimals: the router knows hundredths of a percent"));
    }
    Weight::from_percent(percent).ok_or_else(|| format!("`{shown}` is no weight: 0 to 100 with at most two decimals"))
}

/// A remembered version by its label, its id or the beginning of its digest.
///
/// # Errors
/// One line, with the nearest label.
pub fn version<'a>(rollout: &'a Rollout, word: &str) -> Result<&'a Known, String> {
    let known = &rollout.versions;
    if let Some(exact) = known.iter().find(|k| k.version.label.as_str() == word || k.version.id.as_str() == word) {
        return Ok(exact);
    }
    let digits = word.trim_start_matches("sha256:");
    let sealed = |k: &&Known| {
        k.version
            .parts
            .iter()
            .any(|p| matches!(&p.declared, Artifact::Digest(d) if d.to_string().trim_start_matches("sha256:").starts_with(digits)))
    };
    let mut found = known.iter().filter(|_| digits.len() >= DIGITS).filter(sealed);
    match (found.next(), found.next()) {
        (Some(one), None) => return Ok(one),
        (Some(_), Some(_)) => return Err(format!("several versions begin with `{}`: write more of the digest", Text::clean(word))),
        (None, _) => {}
    }
    let near = known.iter().max_by(|a, b| {
        let score = |k: &Known| strsim::jaro_winkler(k.version.label.as_str(), word);
        score(a).total_cmp(&score(b))
    });
    let hint = near.map_or_else(|| "; none is remembered".into(), |k| format!("; there is `{}`", k.version.label));
    Err(format!("no version `{}`{hint}", Text::clean(word)))
}

/// What is known of a version, in a line.
#[must_use]
pub fn standing(known: &Known) -> String {
    let word = match &known.standing {
        Standing::Good => "good".to_owned(),
        Standing::Baking { .. } => "baking".to_owned(),
        Standing::Unproven => "unproven".to_owned(),
        Standing::Left { reason } => format!("left: {reason}"),
        Standing::Tainted { by, reason } => format!("TAINTED by {by}: {reason}"),
    };
    let gone = if known.available { "" } else { ", its artifact is gone" };
    let proven =
        if known.proven.is_zero() { "never had all traffic".to_owned() } else { format!("{} with all traffic", span(known.proven)) };
    format!("{word}, {proven}{gone}")
}

/// What could be meant by what is typed, the likeliest first.
#[must_use]
pub fn suggestions(state: &State, palette: &Palette) -> Vec<Suggestion> {
    let text = palette.text.trim_start();
    let Some((verb, rest)) = text.split_once(char::is_whitespace) else {
        let mut all = names(state);
        // What changes something first, then what looks; what has a key under every finger last.
        all.sort_by_key(|(name, _)| (commands::MOVES.contains(name), !commands::named(name).is_some_and(|c| c.acts)));
        let starts = all.iter().filter(|(name, _)| name.starts_with(text));
        let within = all.iter().filter(|(name, _)| !name.starts_with(text) && name.contains(text));
        let line = |(name, doc): &(&'static str, &'static str)| Suggestion {
            line: commands::written(name).trim_start_matches(':').to_owned(),
            doc: (*doc).into(),
        };
        return starts.chain(within).map(line).collect();
    };
    let rest = rest.trim_start();
    let mut all = Vec::new();
    if commands::named(verb).is_some_and(|c| c.acts) && !state.fleet.marks.is_empty() && "marked".starts_with(rest) && per_rollout(verb) {
        all.push(Suggestion { line: format!("{verb} marked"), doc: format!("on all {} that are marked", state.fleet.marks.len()) });
    }
    if ["undo", "taint"].contains(&verb)
        && let Some(w) = state.shared.watched()
    {
        let current = |k: &&Known| {
            verb == "taint"
                || !w.rollout.tracks.iter().any(|t| t.version.id == k.version.id && t.role != crate::model::ident::Role::Superseded)
        };
        let fits = w.rollout.versions.iter().filter(current).filter(|k| k.version.label.as_str().starts_with(rest));
        all.extend(fits.map(|k| Suggestion { line: format!("{verb} {}", k.version.label), doc: standing(k) }));
    }
    all
}

/// Whether a verb means the same on each of several rollouts.
pub(super) fn per_rollout(verb: &str) -> bool {
    !["undo", "taint"].contains(&verb)
}

/// Every command that can be written here, with its line of help.
fn names(state: &State) -> Vec<(&'static str, &'static str)> {
    let own = state.panels.get(state.panel).filter(|_| state.view == View::Rollout).map(|p| p.commands()).unwrap_or_default();
    let own = own.iter().filter(|c| commands::named(c.name).is_none());
    let shown = |c: &&super::state::Command| !(c.acts && state.read_only && c.name != "revert");
    COMMANDS.iter().filter(shown).chain(own).map(|c| (c.name, c.doc)).collect()
}

impl State {
    /// A key while a command is typed. It never reaches anything else.
    pub(super) fn palette_key(&mut self, press: Press, planner: &dyn Planner, fx: &mut Vec<Effect>) {
        let Overlay::Palette(palette) = &self.overlay else { return };
        let mut palette = palette.clone();
        palette.said = None;
        let offered = suggestions(self, &palette);
        let closes = press.key.ctrl && self.desk.keymap.is("quit", press.key);
        match (press.key.code, printable(press.key)) {
            (Code::Esc, _) => return self.overlay = Overlay::None,
            _ if closes => return self.overlay = Overlay::None,
            (Code::Backspace, _) if palette.text.is_empty() => return self.overlay = Overlay::None,
            _ if press.key.erases(&mut palette.text) => palette.chosen = None,
            (Code::Up | Code::Down, _) if !offered.is_empty() => {
                let last = offered.len() - 1;
                palette.chosen = Some(match (press.key.code, palette.chosen) {
                    (Code::Up, None | Some(0)) => last,
                    (Code::Up, Some(at)) => at.min(last + 1) - 1,
                    (_, None) => 0,
                    (_, Some(at)) => {
                        if at >= last {
                            0
                        } else {
                            at + 1
                        }
                    }
                });
            }
            (Code::Tab, _) => complete(&mut palette, &offered),
            (Code::Enter, _) if press.repeat || press.again => {}
            // Choosing writes the command in full; the next enter means it.
            (Code::Enter, _) if palette.chosen.is_some() => complete(&mut palette, &offered),
            (Code::Enter, _) => {
                self.overlay = Overlay::None;
                return match self.written(&palette.text, press, planner, fx) {
                    Ok(()) => {}
                    Err(said) => {
                        palette.said = Some(said.into());
                        self.overlay = Overlay::Palette(palette);
                    }
                };
            }
            (_, Some(c)) => {
                if palette.text.len() < LONGEST {
                    palette.text.push(c);
                }
                palette.chosen = None;
            }
            _ => {}
        }
        self.overlay = Overlay::Palette(palette);
    }

    /// What was written is done, or it is said why not.
    fn written(&mut self, line: &str, press: Press, planner: &dyn Planner, fx: &mut Vec<Effect>) -> Result<(), String> {
        let line = line.trim();
        let (verb, rest) = line.split_once(char::is_whitespace).map_or((line, ""), |(verb, rest)| (verb, rest.trim()));
        if verb.is_empty() {
            return Ok(());
        }
        let all = names(self);
        // Where nothing may be sent the verbs that act are not offered; who writes one is told why.
        let hidden = || commands::acting().find(|c| c.name == verb).map(|c| c.name);
        let Some(name) = all.iter().map(|(name, _)| *name).find(|name| *name == verb).or_else(hidden) else {
            let starts: Vec<&str> = all.iter().map(|(name, _)| *name).filter(|name| name.starts_with(verb)).collect();
            let acts = |name: &str| commands::named(name).is_some_and(|c| c.acts);
            return match starts.as_slice() {
                [only] if !acts(only) && rest.is_empty() => {
                    self.run_by_name(only, press, planner, fx);
                    Ok(())
                }
                [] => {
                    let near = all.iter().map(|(n, _)| (strsim::jaro_winkler(n, verb), *n)).max_by(|a, b| a.0.total_cmp(&b.0));
                    let near = near.filter(|(score, _)| *score > 0.75).map(|(_, n)| format!("; did you mean `{n}`?")).unwrap_or_default();
                    Err(format!("there is no command `{}`{near}", Text::clean(verb)))
                }
                some => Err(format!("`{}` is no order, write it in full: {}", Text::clean(verb), some.join(", "))),
            };
        };
        if !commands::named(name).is_some_and(|c| c.acts) {
            if !rest.is_empty() {
                return Err(format!("`{name}` stands alone"));
            }
            self.run_by_name(name, press, planner, fx);
            return Ok(());
        }
        let (first, others) = rest.split_once(char::is_whitespace).map_or((rest, ""), |(first, others)| (first, others.trim()));
        if first == "marked" {
            if !per_rollout(name) {
                return Err(format!("`{name}` is for one rollout: versions differ"));
            }
            return self.act_on_marked(name, others, Some(press.key), planner);
        }
        let Some(rollout) = self.shared.watched().map(|w| w.rollout.clone()) else {
            self.act(name, Some(press.key), planner);
            return Ok(());
        };
        // No words make it possible there: they are not asked for.
        if self.is_read_only(&rollout.key) {
            self.act(name, Some(press.key), planner);
            return Ok(());
        }
        match self.order(name, rest, &rollout)? {
            Some((action, reason)) => self.ask(action, reason, &rollout, Some(press.key), planner),
            None => self.act(name, Some(press.key), planner),
        }
        Ok(())
    }

    /// The action that a verb and its words mean on a rollout; `None` where the verb alone says it all.
    pub(super) fn order(&self, verb: &str, rest: &str, rollout: &Rollout) -> Result<Option<(Action, Option<Text>)>, String> {
        let (first, others) = rest.split_once(char::is_whitespace).map_or((rest, ""), |(first, others)| (first, others.trim()));
        let needs = || format!("write `{}`", commands::written(verb));
        let reason = |text: &str| Some(Text::clean(text)).filter(|t| !t.is_empty()).ok_or_else(needs);
        Ok(Some(match verb {
            "weight" if rest.is_empty() => return Ok(None),
            "weight" => (Action::SetWeight { weight: weight(rest)? }, None),
            "undo" if first.is_empty() || !others.is_empty() => return Err(needs()),
            "undo" => (Action::Undo { to: version(rollout, first)?.version.id.clone() }, None),
            "taint" if first.is_empty() => return Err(needs()),
            "taint" => {
                let version = version(rollout, first)?.version.id.clone();
                (Action::Taint { version }, Some(reason(others)?))
            }
            "freeze" if first.starts_with(|c: char| c.is_ascii_digit()) => {
                let span =
                    humantime::parse_duration(first).map_err(|_| format!("`{}` is no time: write 30m, 2h or 1d", Text::clean(first)))?;
                (Action::Freeze { until: Some(after(self.shared.there_now(), span)) }, Some(reason(others)?))
            }
            "freeze" => (Action::Freeze { until: None }, Some(reason(rest)?)),
            _ if !rest.is_empty() => return Err(format!("`{verb}` stands alone; a reason is asked for where one is needed")),
            _ => return Ok(None),
        }))
    }

    /// A command that does not act, wherever one is.
    fn run_by_name(&mut self, name: &'static str, press: Press, planner: &dyn Planner, fx: &mut Vec<Effect>) {
        match name {
            "palette" => self.overlay = Overlay::Palette(Palette::default()),
            // What was typed at the palette is no second press of the same key.
            name => self.run(name, Press { repeat: false, again: false, ..press }, planner, fx),
        }
    }
}

/// Writes a suggestion: the chosen one, else the first. Where more must follow, a space is written too.
fn complete(palette: &mut Palette, offered: &[Suggestion]) {
    let Some(line) = palette.chosen.map_or_else(|| offered.first(), |at| offered.get(at)).map(|s| s.line.as_str()) else { return };
    let verb = line.split_whitespace().next().unwrap_or_default();
    let words = commands::words(verb);
    palette.text = match line.strip_suffix(words).filter(|_| !words.is_empty()) {
        Some(verb) => format!("{} ", verb.trim_end()),
        None if verb == "taint" && line != "taint" => format!("{line} "),
        None => line.to_owned(),
    };
    palette.chosen = None;
}
