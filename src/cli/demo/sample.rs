//! The sample service of the demo: an HTTP server with faults that are part of its sealed artifact.

use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, LogNormal};
use serde::{Deserialize, Serialize};
use std::{
    convert::Infallible,
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{net::TcpListener, time::Instant};

/// Arguments of the hidden subcommand.
#[derive(clap::Args, Debug)]
pub struct SampleArgs {
    /// Where to listen on 127.0.0.1.
    #[arg(long)]
    port: u16,
    /// How it behaves.
    #[arg(long)]
    behaviour: PathBuf,
}

/// How a version behaves; part of its artifact.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Median time to answer, in milliseconds.
    pub median_ms: f64,
    /// Spread of the time to answer: sigma of the logarithm.
    pub spread: f64,
    /// Share of requests answered with 500, as points `[seconds since the first request, percent]`;
    /// linear between them.
    pub errors: Vec<[f64; 2]>,
    /// Share of requests that take ten times as long, likewise.
    pub slow: Vec<[f64; 2]>,
    /// Seeds what is random.
    pub seed: u64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { median_ms: 8.0, spread: 0.35, errors: Vec::new(), slow: Vec::new(), seed: 1 }
    }
}

/// The value of a piecewise linear curve; 0 without points.
#[must_use]
pub fn curve(points: &[[f64; 2]], at: f64) -> f64 {
    let mut before: Option<[f64; 2]> = None;
    for &[t, value] in points {
        if at < t {
            return match before {
                Some([t0, v0]) if t > t0 => v0 + (value - v0) * (at - t0) / (t - t0),
                _ => value,
            };
        }
        before = Some([t, value]);
    }
    before.map_or(0.0, |[_, value]| value)
}

struct Server {
    behaviour: Behaviour,
    random: Mutex<StdRng>,
    /// Faults begin with the first request, so that a warm-up does not use them up.
    first: Mutex<Option<Instant>>,
}

/// Serves until it is killed.
///
/// # Errors
/// When the behaviour cannot be read or the port is taken.
pub async fn run(args: SampleArgs) -> anyhow::Result<()> {
    let behaviour: Behaviour = toml::from_str(&std::fs::read_to_string(&args.behaviour)?)?;
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, args.port))).await?;
    say(&format!("listening on {}", listener.local_addr()?));
    let random = Mutex::new(StdRng::seed_from_u64(behaviour.seed ^ u64::from(args.port)));
    let server = Arc::new(Server { behaviour, random, first: Mutex::new(None) });
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&server), request));
            // A client that goes away is no news.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(server: Arc<Server>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/healthz" {
        return Ok(Response::new(Full::from("ok\n")));
    }
    let running = server.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now).elapsed().as_secs_f64();
    let (wait, fails) = {
        let mut random = server.random.lock().unwrap_or_else(PoisonError::into_inner);
        let b = &server.behaviour;
        let mut wait = LogNormal::new(b.median_ms.max(0.1).ln(), b.spread).map_or(b.median_ms, |d| d.sample(&mut *random));
        if random.random::<f64>() * 100.0 < curve(&b.slow, running) {
            wait *= 10.0;
        }
        (wait, random.random::<f64>() * 100.0 < curve(&b.errors, running))
    };
    tokio::time::sleep(Duration::from_secs_f64(wait / 1_000.0)).await;
    if fails {
        say(&format!("ERROR {} {}: payment provider: connection reset", request.method(), request.uri().path()));
        let mut response = Response::new(Full::from("payment provider: connection reset\n"));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return Ok(response);
    }
    Ok(Response::new(Full::from("{\"order\":\"accepted\"}\n")))
}

/// A service prints what it does on standard output; the host keeps it.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::curve;

    #[test]
    fn curves_are_linear_between_points_and_flat_outside() {
        let rising = [[10.0, 0.0], [20.0, 8.0]];
        for (at, value) in [(0.0, 0.0), (10.0, 0.0), (15.0, 4.0), (20.0, 8.0), (99.0, 8.0)] {
            assert!((curve(&rising, at) - value).abs() < 1e-9, "{at}");
        }
        assert!(curve(&[], 5.0).abs() < 1e-9);
    }
}
