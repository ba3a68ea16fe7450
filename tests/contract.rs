//! What every runtime promises, held against two that have little in common: the embedded host over its
//! control API, and proxies without a controller, which are polled and compare nothing.
//!
//! A [`World`](suite::World) is a runtime with weather between it and its target. The suite is the same
//! for each of them; what only one of them has stands beside it.

mod faulty;
mod memory;
mod partial;
mod seat;
mod suite;
mod worlds;

use suite::{Weather, whole};
use worlds::{Cloudy, Hosted};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_keeps_the_contract() {
    whole(&Hosted::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_that_are_polled_keep_the_contract() {
    whole(&Cloudy::start()).await;
}
