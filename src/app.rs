//! The console without a terminal: [`state::State`] is owned by one loop, [`update::update`] is the
//! only mutator, effects are data. Pure: time, keys, plans and ids come in as arguments.

mod act;
mod bulk;
pub mod commands;
mod confirm;
mod data;
pub mod desk;
pub mod docs;
pub mod fleet;
pub mod follow;
mod input;
pub mod keymap;
pub mod msg;
pub mod palette;
mod preview;
pub mod state;
pub mod update;

#[cfg(test)]
pub(crate) mod tests;
