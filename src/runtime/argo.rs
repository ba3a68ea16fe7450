//! Argo Rollouts, through the Kubernetes API of a cluster.
//!
//! ```text
//! connect   kubeconfig, credential, client: nothing happens before the first request
//! watch     lists and watches of what is needed, each mending itself → objects, as text
//! ```

pub mod connect;
pub mod kind;
pub mod time;
pub mod watch;
