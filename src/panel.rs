//! What can be opened below a rollout: one file per panel, one line in `all`.

use crate::{
    app::state::{Command, Input, Shared},
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
}
