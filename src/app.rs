//! The console without a terminal: [`state::State`] is owned by one loop, `update` is the only
//! mutator, effects are data.

pub mod commands;
pub mod keymap;
pub mod state;
