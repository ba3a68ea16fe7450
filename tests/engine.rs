//! The host's engine: disks that hang or forget, gates that go back, the control API, drift, deploys
//! that fail, configuration that was edited, secrets.

mod access;
mod api;
mod availability;
mod baking;
mod config;
mod crash;
mod deploys;
mod disk;
mod drift;
mod evidence;
mod gate;
mod killed;
mod later;
mod life;
mod others;
pub mod rig;
mod routing;
mod secrets;
mod streams;
mod users;
mod verbs;
