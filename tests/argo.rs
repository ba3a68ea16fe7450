//! Argo Rollouts, against a server that replays and goes wrong.

mod access;
mod counts;
mod faults;
mod program;
pub mod recorded;
mod replaying;
mod rig;
mod tls;
mod walk;
