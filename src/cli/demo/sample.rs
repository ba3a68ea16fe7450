//! The sample service of the demo: an HTTP server with faults that are part of its sealed artifact.

pub mod behaviour;

use behaviour::{Behaviour, Dice};
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
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

struct Server {
    behaviour: Behaviour,
    dice: Mutex<Dice>,
    started: Instant,
    /// Faults of requests begin with the first one, so that a pause before it does not use them up.
    first: Mutex<Option<Instant>>,
    requests: AtomicU64,
}

/// How often memory is taken.
const SIP: Duration = Duration::from_millis(250);

/// Serves until it is killed, or ends itself because it behaves so.
///
/// # Errors
/// When the behaviour cannot be read or the port is taken.
pub async fn run(args: SampleArgs) -> anyhow::Result<()> {
    let behaviour: Behaviour = toml::from_str(&std::fs::read_to_string(&args.behaviour)?)?;
    let behaviour = behaviour.of(crate::config::Env::from_process().home.as_deref().and_then(number));
    let started = Instant::now();
    if let Some(crash) = behaviour.crash
        && let Some(after) = crash.after
    {
        tokio::spawn(async move {
            tokio::time::sleep_until(started + Duration::from_secs_f64(after)).await;
            end(crash.code, "FATAL: lost the connection to its database");
        });
    }
    if behaviour.leak > 0.0 {
        tokio::spawn(leak(behaviour.clone()));
    }
    tokio::time::sleep(Duration::from_secs_f64(behaviour.startup)).await;
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, args.port))).await?;
    say(&format!("listening on {}", listener.local_addr()?));
    let dice = Mutex::new(Dice::new(behaviour.clone(), args.port));
    let server = Arc::new(Server { behaviour, dice, started, first: Mutex::new(None), requests: AtomicU64::new(0) });
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

/// The number of an instance, by the `HOME` that its host gave it: `…/checkout.9f2c41-1-4/home`.
fn number(home: &Path) -> Option<u64> {
    home.parent()?.file_name()?.to_str()?.rsplit('-').next()?.parse().ok()
}

async fn answer(server: Arc<Server>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/healthz" {
        let ready = !server.behaviour.never_ready;
        return Ok(if ready { said(StatusCode::OK, "ok\n") } else { said(StatusCode::SERVICE_UNAVAILABLE, "waiting for its cache\n") });
    }
    let first = *server.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
    let number = server.requests.fetch_add(1, Ordering::Relaxed) + 1;
    if let Some(crash) = server.behaviour.crash
        && crash.requests.is_some_and(|n| number >= n)
    {
        end(crash.code, &format!("FATAL: index out of bounds in request {number}"));
    }
    let fate = {
        let mut dice = server.dice.lock().unwrap_or_else(PoisonError::into_inner);
        dice.next(first.elapsed().as_secs_f64(), server.started.elapsed().as_secs_f64())
    };
    tokio::time::sleep(fate.wait).await;
    if fate.fails {
        say(&format!("ERROR {} {}: payment provider: connection reset", request.method(), request.uri().path()));
        return Ok(said(StatusCode::INTERNAL_SERVER_ERROR, "payment provider: connection reset\n"));
    }
    Ok(said(StatusCode::OK, "{\"order\":\"accepted\"}\n"))
}

fn said(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
}

/// Takes memory and touches it, so that it is resident, and keeps it.
async fn leak(behaviour: Behaviour) {
    let most = behaviour.crash.and_then(|c| Some((c.megabytes?, c.code)));
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let mut taken = 0.0;
    loop {
        tokio::time::sleep(SIP).await;
        let megabytes = behaviour.leak * SIP.as_secs_f64();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "megabytes of a demo")]
        kept.push(vec![0xa5; (megabytes * 1_048_576.0) as usize]);
        taken += megabytes;
        if let Some((limit, code)) = most
            && taken >= limit
        {
            end(code, &format!("FATAL: out of memory: {taken:.0} MB in {} caches", kept.len()));
        }
    }
}

/// A service prints what it does on standard output; the host keeps it.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// As a crash ends a process: at once, whatever else it does.
fn end(code: u8, why: &str) -> ! {
    say(why);
    std::process::exit(i32::from(code))
}

#[cfg(test)]
mod tests {
    use super::number;
    use std::path::Path;

    #[test]
    fn an_instance_knows_its_number_by_its_home() {
        assert_eq!(number(Path::new("/run/homes/checkout.9f2c41-1-4/home")), Some(4));
        assert_eq!(number(Path::new("/root")), None);
    }
}
