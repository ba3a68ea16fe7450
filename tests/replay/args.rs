//! The command line of the replaying server.

use super::{fault::Rule, server::Options};
use clap::Parser;
use std::{path::PathBuf, time::Duration};

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
pub struct Args {
    /// A recording, or a directory of recordings.
    pub dir: PathBuf,
    /// Begin at this second, and stand still there unless --speed is given.
    #[arg(long, value_name = "T")]
    pub at: Option<f64>,
    /// Play so many times as fast as it was recorded [default: 1 without --at].
    #[arg(long, value_name = "X")]
    pub speed: Option<f64>,
    /// Listen on this port; 0 is chosen by the system.
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Write a kubeconfig for it.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Write every request to this file, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Only this bearer token gets in; may be repeated. The kubeconfig has the first.
    #[arg(long, value_name = "TOKEN")]
    pub token: Vec<String>,
    /// Forbid lists over all namespaces.
    #[arg(long)]
    pub namespaced: bool,
    /// Let `sendInitialEvents` work (422 otherwise, as by default on 1.33).
    #[arg(long)]
    pub watch_list: bool,
    /// Seconds between two bookmarks of a watch.
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS")]
    pub bookmarks: f64,
    /// Prefer `watch.full.jsonl`, which has all the fields.
    #[arg(long)]
    pub full: bool,
    /// Let something go wrong; may be repeated. WHAT[,kind=PLURAL][,verb=list|watch|get][,namespace=NAME][,after=LINES][,skip=N][,times=N], where
    /// WHAT is stall, cut, close, status=CODE (an ERROR event with after=), busy=SECONDS (429), missing (404 in plain
    /// text), twice, swap, big=BYTES, silent, drip=BYTES (every 20 ms), garbage, no-bookmarks, late=MILLISECONDS.
    #[arg(long, value_name = "WHAT,…")]
    pub fault: Vec<Rule>,
    /// End when standard input is closed.
    #[arg(long)]
    pub until_eof: bool,
}

impl Args {
    /// How it is served: with `--at` alone it stands still, without it plays.
    pub fn options(&self) -> Result<Options, String> {
        Ok(Options {
            port: self.port,
            at: self.at.unwrap_or(0.0),
            speed: self.speed.unwrap_or(if self.at.is_some() { 0.0 } else { 1.0 }),
            namespaced: self.namespaced,
            watch_list: self.watch_list,
            bookmarks: Duration::try_from_secs_f64(self.bookmarks).map_err(|e| e.to_string())?,
            tokens: self.token.clone(),
            faults: self.fault.clone(),
            log: self.log.clone(),
        })
    }
}
