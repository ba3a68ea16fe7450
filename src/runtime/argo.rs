//! Argo Rollouts, through the Kubernetes API of a cluster.

pub mod connect;
