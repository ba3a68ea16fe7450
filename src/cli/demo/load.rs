//! The load generator of the demo: open loop. Requests start when a Poisson process says so, whether
//! or not earlier ones were answered, so a slow service cannot slow its own measurement down.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, Exp};
use reqwest::{Client, redirect::Policy};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep_until},
};

/// Arguments of the hidden subcommand.
#[derive(clap::Args, Debug)]
pub struct LoadArgs {
    /// Where to send requests: `http://127.0.0.1:8080`.
    #[arg(long)]
    url: String,
    /// Requests per second on average.
    #[arg(long)]
    rate: f64,
    /// Seeds the arrivals.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Requests that may be open at once; beyond that the machine is at its end and arrivals are dropped.
const OPEN: usize = 2_000;

const PATHS: [&str; 4] = ["/checkout", "/cart", "/orders/7f3a", "/price?sku=12"];

/// Sends requests until standard input is closed.
///
/// # Errors
/// When the rate is no rate.
pub async fn run(args: LoadArgs) -> anyhow::Result<()> {
    let gaps = Exp::new(args.rate)?;
    crate::tls::ready();
    let client = Client::builder().no_proxy().redirect(Policy::none()).timeout(Duration::from_secs(30)).build()?;
    let mut random = StdRng::seed_from_u64(args.seed);
    let open = Arc::new(Semaphore::new(OPEN));
    let mut due = Instant::now();
    let alone = crate::cli::pipe::live_apart()?;
    loop {
        due += Duration::from_secs_f64(gaps.sample(&mut random));
        tokio::select! {
            () = alone.cancelled() => return Ok(()),
            () = sleep_until(due) => {}
        }
        let path = PATHS.get(random.random_range(0..PATHS.len())).copied().unwrap_or("/");
        let request = client.get(format!("{}{path}", args.url));
        let Ok(permit) = Arc::clone(&open).try_acquire_owned() else { continue };
        tokio::spawn(async move {
            if let Ok(response) = request.send().await {
                // Read to the end, so that the connection can be used again.
                let _ = response.bytes().await;
            }
            drop(permit);
        });
    }
}
