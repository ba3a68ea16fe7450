//! Serves recordings of a cluster as a Kubernetes API: for tests, and as a program of its own (`main.rs`).

pub mod answers;
pub mod args;
pub mod clock;
pub mod fault;
pub mod kubeconfig;
pub mod recording;
pub mod selector;
pub mod server;
pub mod watching;
