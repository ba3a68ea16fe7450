//! The load generator of the demo: open loop. Requests start when a Poisson process says so, whether
//! or not earlier ones were answered, so a slow service cannot slow its own measurement down.
//!
//! It lives apart from the console and outlives it by a moment: what the console cannot remove, because it was
//! killed, is removed here ([`tidy`](super::tidy)).

use super::{
    scraper::{Ports, Scraper},
    tidy,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, Exp1};
use reqwest::{Client, redirect::Policy};
use serde::{Deserialize, Serialize};
use std::{
    io::{self, BufRead},
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// Arguments of the hidden subcommand.
#[derive(clap::Args, Debug)]
pub struct LoadArgs {
    /// The demo's directory, removed when standard input ends and the host is gone.
    #[arg(long)]
    dir: PathBuf,
    /// Seeds the arrivals.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs a Prometheus on this port, which scrapes the next one.
    #[arg(long, num_args = 2, value_names = ["PORT", "HOST"])]
    prometheus: Option<Vec<u16>>,
}

/// Requests that arrive at a service.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// Requests per second on average, outside bursts.
    pub rate: f64,
    /// Times at which there are more of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bursts: Option<Rush>,
}

/// More requests, again and again.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rush {
    /// Seconds from the start of one to the start of the next; the first starts after so many.
    pub every: f64,
    /// Seconds that it lasts.
    pub lasts: f64,
    /// How many times as many requests there are meanwhile.
    pub times: f64,
}

/// One line of standard input: what to send from now on. Without a URL: nothing any more.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Where to: `http://127.0.0.1:8080`.
    pub url: Option<String>,
    /// How much.
    pub load: Load,
}

impl Order {
    /// No requests any more.
    pub const NOTHING: Self = Self { url: None, load: Load { rate: 0.0, bursts: None } };
}

/// Requests that may be open at once; beyond that the machine is at its end and arrivals are dropped.
const OPEN: usize = 2_000;

const PATHS: [&str; 4] = ["/checkout", "/cart", "/orders/7f3a", "/price?sku=12"];

impl Load {
    /// Requests per second, so many seconds after the first.
    fn rate_at(&self, at: f64) -> f64 {
        match self.bursts {
            Some(rush) if at >= rush.every && at % rush.every < rush.lasts => self.rate * rush.times,
            _ => self.rate,
        }
    }
}

/// Sends requests as ordered until standard input is closed, then tidies up.
///
/// # Errors
/// When no client can be made.
pub async fn run(args: LoadArgs) -> anyhow::Result<()> {
    // Ctrl-Z and ctrl-c in the console's terminal must not reach us.
    let _ = rustix::process::setsid();
    let dir = tidy::Dir::new(&args.dir)?;
    let mut scraper = match args.prometheus.as_deref() {
        Some([scraper, host]) => Some(Scraper::start(&args.dir, Ports { scraper: *scraper, host: *host })?),
        _ => None,
    };
    crate::tls::ready();
    let client = Client::builder().no_proxy().redirect(Policy::none()).timeout(Duration::from_secs(30)).build()?;
    let open = Arc::new(Semaphore::new(OPEN));
    let (tell, mut orders) = mpsc::channel(16);
    thread::Builder::new().name("orders".into()).spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if serde_json::from_str::<Order>(&line).is_ok_and(|order| tell.blocking_send(order).is_err()) {
                break;
            }
        }
    })?;
    let mut sending = tokio::task::JoinSet::new();
    let mut seed = args.seed;
    let mut ending = None;
    let over = CancellationToken::new();
    while let Some(order) = orders.recv().await {
        seed = seed.wrapping_add(1);
        match order.url {
            Some(url) => drop(sending.spawn(send(url, order.load, seed, client.clone(), Arc::clone(&open), over.clone()))),
            None => {
                // Also those that are open: on a machine at its end there are up to [`OPEN`] of them, and the host
                // would wait for each.
                over.cancel();
                sending.shutdown().await;
                // Killed before the directory goes, in which it writes. Its end takes as long as the system still
                // writes for it: not on the thread that closes connections.
                ending = scraper.take().map(|scraper| tokio::task::spawn_blocking(move || drop(scraper)));
            }
        }
    }
    sending.shutdown().await;
    if let Some(ending) = ending {
        ending.await?;
    }
    tokio::task::spawn_blocking(move || {
        // It writes there.
        drop(scraper);
        // Whoever sent nothing more has ended the host as well; who was killed may just have started one.
        dir.remove_when_left(!over.is_cancelled());
    })
    .await?;
    Ok(())
}

async fn send(url: String, load: Load, seed: u64, client: Client, open: Arc<Semaphore>, over: CancellationToken) {
    let mut random = StdRng::seed_from_u64(seed);
    let first = Instant::now();
    let mut due = first;
    loop {
        let gap: f64 = Exp1.sample(&mut random);
        let rate = load.rate_at((due - first).as_secs_f64());
        due += Duration::from_secs_f64(gap / rate.max(0.01));
        sleep_until(due).await;
        let path = PATHS.get(random.random_range(0..PATHS.len())).copied().unwrap_or("/");
        let request = client.get(format!("{url}{path}"));
        let Ok(permit) = Arc::clone(&open).try_acquire_owned() else { continue };
        tokio::spawn(over.clone().run_until_cancelled_owned(async move {
            if let Ok(response) = request.send().await {
                // Read to the end, so that the connection can be used again.
                let _ = response.bytes().await;
            }
            drop(permit);
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::{Load, Rush};

    #[test]
    fn a_rush_comes_again_and_again() {
        let load = Load { rate: 20.0, bursts: Some(Rush { every: 10.0, lasts: 2.0, times: 3.0 }) };
        for (at, rate) in [(0.0, 20.0), (1.0, 20.0), (10.0, 60.0), (11.9, 60.0), (12.0, 20.0), (21.0, 60.0), (25.0, 20.0)] {
            assert!((load.rate_at(at) - rate).abs() < 1e-9, "{at}");
        }
    }
}
