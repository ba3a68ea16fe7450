//! The nouns of cutover: rollouts, versions, signals, gates, actions.
//!
//! Pure: no I/O, no clock, no async. What is serialised here is also the host's control API, so a
//! field added here is on the wire at once; every type tolerates unknown fields when it is read.

pub mod action;
pub mod back;
pub mod backend;
pub mod code;
pub mod decided;
pub mod delta;
pub mod digest;
pub mod event;
pub mod failed;
pub mod figure;
pub mod gate;
pub mod history;
pub mod ident;
pub mod instance;
pub mod interval;
pub mod naming;
pub mod ratio;
pub mod rollout;
pub mod routing;
pub mod rules;
pub mod signal;
pub mod spec;
pub mod step;
pub mod text;
pub mod time;
pub mod tried;
pub mod urgency;
pub mod version;
pub mod wire;
