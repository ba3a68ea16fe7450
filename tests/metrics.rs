//! Metrics backends over the wire.

mod access;
mod alerts;
mod faults;
mod presets;
mod rig;
mod servers;
mod tls;
