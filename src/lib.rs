//! **cutover** is the terminal console for live rollouts. This is its architecture.
//!
//! ```text
//!  bytes from the terminal ─► term::input ─► Msg ─┐
//!  runtime / metrics sources ─► Msg ──────────────┼─► app::update(&mut State, Msg) ─► Effects (data)
//!  a deadline that is due ─► Msg ─────────────────┤            │ dirty? next deadline?      │
//!  signals ─► Msg ────────────────────────────────┘            ▼                            ▼
//!                       screen::draw(&State, area, buf)  at the frame deadline   run loop performs them
//! ```
//!
//! One owner of state, one `select!` loop (`run`); `update` is synchronous, total and the only
//! mutator; `draw` takes `&State` and a buffer and reads no clock.
//!
//! The embedded single-machine runtime (`host`) is a separate process. Its conductor is pure
//! ([`conductor`]); the console reaches it over its control API like any other runtime
//! ([`runtime`]), so the demo goes the same way as production, and closing the console changes nothing.
//!
//! What is judged is measured by the host itself or by a metrics backend ([`metrics`]); a runtime without
//! a judge of ours, such as a cluster's, is wrapped by [`observe`], which advises and conducts nothing.
//!
//! Everything that decides (`model`, `judge`, `conductor`, `app`) is pure: time, randomness, keys,
//! network and environment are arguments.

pub mod app;
pub mod artifact;
pub mod cause;
pub mod cli;
pub mod clock;
pub mod conductor;
pub mod config;
pub mod console;
pub mod helper;
pub mod host;
pub mod journal;
pub mod judge;
pub mod metrics;
pub mod model;
pub mod observe;
pub mod panel;
pub mod rehearse;
pub mod run;
pub mod runtime;
pub mod screen;
pub mod term;
pub mod tls;
pub mod ui;
mod watchdog;
