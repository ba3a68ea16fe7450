//! Serves recordings of a cluster as a Kubernetes API: `cargo run --example replay -- --help`.
#![allow(
    missing_docs,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "shared with the tests, and may fail as loudly"
)]

#[path = "library.rs"]
mod replay;

use clap::Parser;
use replay::{
    fault::Rule,
    recording::Recording,
    server::{Options, Server},
};
use std::{
    io::{Read, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

/// Serves recordings of a cluster as a Kubernetes API, on a loopback port.
///
/// A recording is a directory with `list.<kind>.json` (the initial lists), `watch.jsonl` (one event a line:
/// `{"t":SECONDS,"kind":PLURAL,"type":ADDED|MODIFIED|DELETED|BOOKMARK,"object":…}`) and `meta.json`
/// (`namespace`, `start_epoch`); each may be compressed (`.gz`). A directory of such directories serves
/// all of them, one namespace and one kubeconfig context each; lists over all namespaces are forbidden then.
///
/// A LIST is the initial list plus the events up to T, a WATCH goes on from there, `Date` is the recording's
/// start plus T. Kinds that were not recorded answer 403, writes too. It prints its URL and serves until it is
/// ended, or until its standard input is closed when --until-eof is given.
#[derive(Parser)]
#[command(name = "replay")]
struct Args {
    /// A recording, or a directory of recordings.
    dir: PathBuf,
    /// Begin at this second, and stand still there unless --speed is given.
    #[arg(long, value_name = "T")]
    at: Option<f64>,
    /// Play so many times as fast as it was recorded [default: 1 without --at].
    #[arg(long, value_name = "X")]
    speed: Option<f64>,
    /// Listen on this port; 0 is chosen by the system.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Write a kubeconfig for it.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Write every request to this file, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Only this bearer token gets in; may be repeated. The kubeconfig has the first.
    #[arg(long, value_name = "TOKEN")]
    token: Vec<String>,
    /// Forbid lists over all namespaces.
    #[arg(long)]
    namespaced: bool,
    /// Let `sendInitialEvents` work (422 otherwise, as by default on 1.33).
    #[arg(long)]
    watch_list: bool,
    /// Seconds between two bookmarks of a watch.
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS")]
    bookmarks: f64,
    /// Prefer `watch.full.jsonl`, which has all the fields.
    #[arg(long)]
    full: bool,
    /// Let something go wrong; may be repeated. WHAT[,kind=PLURAL][,verb=list|watch|get][,namespace=NAME][,after=LINES][,skip=N][,times=N], where
    /// WHAT is stall, cut, close, status=CODE (an ERROR event with after=), busy=SECONDS (429), missing (404 in plain
    /// text), twice, swap, big=BYTES, silent, drip=BYTES (every 20 ms), garbage, no-bookmarks, late=MILLISECONDS.
    #[arg(long, value_name = "WHAT,…")]
    fault: Vec<Rule>,
    /// End when standard input is closed.
    #[arg(long)]
    until_eof: bool,
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("replay: {why}");
            ExitCode::from(2)
        }
    }
}

fn run(args: Args) -> Result<(), String> {
    let recordings = Recording::read_all(&args.dir, args.full)?;
    let options = Options {
        port: args.port,
        at: args.at.unwrap_or(0.0),
        speed: args.speed.unwrap_or(if args.at.is_some() { 0.0 } else { 1.0 }),
        namespaced: args.namespaced,
        watch_list: args.watch_list,
        bookmarks: Duration::try_from_secs_f64(args.bookmarks).map_err(|e| e.to_string())?,
        tokens: args.token,
        faults: args.fault,
        log: args.log,
    };
    let server = Server::start(recordings, options).map_err(|e| format!("cannot listen: {e}"))?;
    if let Some(file) = args.kubeconfig {
        std::fs::write(&file, format!("{:#}\n", server.kubeconfig())).map_err(|e| format!("cannot write {}: {e}", file.display()))?;
    }
    println!("{}", server.url);
    std::io::stdout().flush().map_err(|e| e.to_string())?;
    if args.until_eof {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        return Ok(());
    }
    loop {
        std::thread::park();
    }
}
