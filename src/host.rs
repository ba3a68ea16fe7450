//! The embedded single-machine runtime: it runs the instances of each version, shifts traffic
//! between them with its own proxy, and counts what became of every request.

pub mod instances;
pub mod meter;
pub mod prometheus;
pub mod proxy;
pub mod slots;
