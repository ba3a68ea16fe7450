//! Everything that is tested from outside, in one binary.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests may fail loudly"
)]

mod architecture;
mod argo;
mod artifact;
mod console;
mod contract;
mod docs;
mod engine;
mod fixtures;
mod fleets;
mod host;
mod instances;
mod journal;
mod json;
mod measured;
mod metrics;
mod presets;
mod proxy;
mod rehearsal;
#[path = "replay/library.rs"]
#[allow(dead_code, reason = "shared with a program of its own")]
mod replay;
mod scenarios;
mod screens;
mod slots;
mod support;
mod term;
