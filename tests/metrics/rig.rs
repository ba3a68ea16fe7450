//! A client of a server on this machine.

use cutover::{
    clock::{Clock, SystemClock},
    metrics::prometheus::{Prometheus, Servers, Settings, Tls, access::Auth},
    model::time::Time,
};
use std::{collections::BTreeMap, fs, path::Path, sync::Arc, time::Duration};

/// No secret is in the environment.
fn nowhere(_: &str) -> Option<secrecy::SecretString> {
    None
}

pub fn settings(url: &str) -> Settings {
    Settings {
        url: url.parse().unwrap(),
        timeout: Duration::from_secs(20),
        concurrency: 4,
        body_limit: 16 << 20,
        proxy: None,
        auth: Auth::None,
        headers: BTreeMap::new(),
        tls: Tls::default(),
        parameters: BTreeMap::new(),
        launcher: Vec::new(),
        lookup: nowhere,
    }
}

/// With what is different.
pub fn client(url: &str, change: impl FnOnce(&mut Settings)) -> Prometheus {
    client_among(&servers(), url, change)
}

/// Another client in the process that asks these servers.
pub fn client_among(servers: &Servers, url: &str, change: impl FnOnce(&mut Settings)) -> Prometheus {
    let mut settings = settings(url);
    change(&mut settings);
    Prometheus::new(settings, servers)
}

/// Those of a process of its own.
pub fn servers() -> Servers {
    Servers::new(Arc::new(SystemClock::start()))
}

pub fn now() -> Time {
    SystemClock::start().now()
}

/// What a real server once answered.
pub fn recorded(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/prometheus").join(name)).unwrap()
}
