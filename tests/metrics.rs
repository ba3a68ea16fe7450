//! Metrics backends over the wire.

mod access;
mod alerts;
mod faults;
mod rig;
mod servers;
mod tls;
