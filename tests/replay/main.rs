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
use replay::{args::Args, recording::Recording, server::Server};
use std::{
    io::{Read, Write},
    process::ExitCode,
};

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
    let server = Server::start(recordings, args.options()?).map_err(|e| format!("cannot listen: {e}"))?;
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
