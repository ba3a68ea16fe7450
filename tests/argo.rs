//! Argo Rollouts, against a server that replays and goes wrong.

mod access;
mod away;
mod counts;
mod faults;
mod measured;
mod parts;
mod program;
pub mod recorded;
mod replaying;
mod rig;
mod tls;
mod walk;
