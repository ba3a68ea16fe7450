//! The embedded single-machine runtime: a process of its own that runs versions as child processes,
//! shifts traffic between them with its own proxy, counts what became of every request, and conducts
//! their rollouts.
//!
//! [`engine`] is the one owner of what is remembered; [`slots`] puts it on disk before it takes effect;
//! [`instances`] and [`proxy`] make it so; [`api`] tells it and takes orders; [`serve`] joins them.

pub mod api;
pub mod availability;
pub mod bus;
pub mod commit;
pub mod deploy;
pub mod drift;
pub mod engine;
pub mod guests;
pub mod instances;
pub mod lamp;
pub mod measure;
pub mod measured;
pub mod meter;
pub mod preflight;
pub mod prometheus;
pub mod proof;
pub mod proxy;
pub mod secret_check;
pub mod serve;
pub mod served;
pub mod slots;
pub mod socket;
pub mod state;
pub mod tally;
pub mod tasks;
pub mod usage;
