//! What can be opened below a rollout: one file per panel, one line in `all`.

pub mod analyses;
pub mod artifact;
pub mod events;
pub mod evidence;
pub mod failed;
pub mod findings;
pub mod health;
pub mod instances;
pub mod logs;
pub mod ownlog;
pub(crate) mod rows;
pub mod versions;

use crate::{
    app::state::{Command, Input, Shared},
    model::figure::Figure,
    ui::look::Look,
};
use ratatui::{buffer::Buffer, layout::Rect};

/// One panel. It has the keyboard while it has the focus; only `R` passes it by.
pub trait Panel: Send {
    /// Its name in commands and configuration: `logs`.
    fn id(&self) -> &'static str;

    /// What stands in its head line.
    fn title(&self, shared: &Shared) -> String;

    /// Its commands: keys, help and footer are derived from them.
    fn commands(&self) -> &'static [Command];

    /// What the figures it shows are, for `?`.
    fn figures(&self) -> &'static [Figure] {
        &[]
    }

    /// A command of this panel, by name, that the person gave.
    fn run(&mut self, command: &str, shared: &Shared);

    /// A key that is no command: text typed into a filter. True when it was used.
    fn input(&mut self, input: &Input, shared: &Shared) -> bool;

    /// Something changed in what is known.
    fn changed(&mut self, shared: &Shared);

    /// Draws itself. Never mutates, never reads a clock.
    fn draw(&self, shared: &Shared, look: &Look, area: Rect, buf: &mut Buffer);

    /// Whether it wants the log stream of the open rollout.
    fn wants_logs(&self) -> bool {
        false
    }

    /// Whether text is being typed into it: every key is text then, `R` too.
    fn typing(&self) -> bool {
        false
    }

    /// What copying takes from it: the line that is marked.
    fn copy(&self, _shared: &Shared) -> Option<String> {
        None
    }
}

/// Every panel, in the order of `tab`.
#[must_use]
pub fn all() -> Vec<Box<dyn Panel>> {
    vec![
        Box::new(failed::Failed::default()),
        Box::new(health::Health::default()),
        Box::new(instances::Instances::default()),
        Box::new(evidence::Evidence::default()),
        Box::new(findings::Findings::default()),
        Box::new(analyses::Analyses::default()),
        Box::new(artifact::Artifact::default()),
        Box::new(events::Events::default()),
        Box::new(logs::Logs::default()),
        Box::new(versions::Versions::default()),
        Box::new(ownlog::OwnLog::default()),
    ]
}

/// Each panel's table of commands, by its id: for the keymap and what is derived from it.
#[must_use]
pub fn tables(panels: &[Box<dyn Panel>]) -> Vec<(&'static str, &'static [Command])> {
    panels.iter().map(|p| (p.id(), p.commands())).collect()
}

#[cfg(test)]
mod tests;
