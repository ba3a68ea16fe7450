//! `cutover host`: the embedded single-machine runtime.

use super::{Context, exit::Exit, pipe};
use crate::{
    clock::{Clock, SystemClock},
    config::{self, Env},
    host::{
        api::Access,
        deploy::Reload,
        instances::{self, InstanceSettings},
        measured::Backend,
        serve::{self, Settings},
    },
    metrics::{alerts::Board, prometheus::Prometheus},
    model::{digest::Digest, text::Text},
    tls,
};
use std::{
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Arguments of `cutover host`.
#[derive(clap::Args, Debug)]
pub struct HostArgs {
    /// End when standard input is closed: for whoever starts a host and must not leave it behind.
    #[arg(long, hide = true)]
    until_eof: bool,
}

/// Runs a host until SIGTERM or SIGINT, then drains it.
///
/// # Errors
/// One line; nothing was started then.
pub fn run(args: &HostArgs, cx: &Context) -> Result<(), Exit> {
    super::logging::to_stderr(cx)?;
    let settings = settings(cx)?;
    let alone = if args.until_eof { Some(pipe::live_apart().map_err(Exit::failed)?) } else { None };
    let socket = settings.socket.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Exit::failed)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let done = runtime.block_on(async move {
        let cancel = CancellationToken::new();
        tokio::spawn(ended(cancel.clone(), alone));
        // In a worker, not on this thread: whatever wakes it would wake two.
        let serving = tokio::spawn(serve::serve(settings, clock, cancel, move |services| announce(&socket, services)));
        match serving.await {
            Ok(done) => done.map_err(Exit::usage),
            Err(panicked) => Err(Exit::failed(panicked)),
        }
    });
    runtime.shutdown_background();
    done
}

/// SIGTERM, SIGINT, or the end of whoever started us: drain and end. SIGHUP changes nothing.
async fn ended(cancel: CancellationToken, alone: Option<CancellationToken>) {
    let (Ok(mut term), Ok(mut int), Ok(mut hangup)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()))
    else {
        return;
    };
    let left_alone = async {
        match alone {
            Some(alone) => alone.cancelled().await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(left_alone);
    loop {
        tokio::select! {
            _ = term.recv() => break,
            _ = int.recv() => break,
            () = &mut left_alone => break,
            // A terminal that is closed must not end what it started, and there is nothing to reload.
            _ = hangup.recv() => tracing::info!("SIGHUP: the configuration is read at every deploy; going on"),
        }
    }
    cancel.cancel();
}

/// Says on standard output what listens where; whoever started us may wait for these lines.
fn announce(socket: &Path, services: &[(String, SocketAddr)]) {
    let mut out = std::io::stdout().lock();
    for (name, addr) in services {
        let _ = writeln!(out, "service {name} on {addr}");
    }
    let _ = writeln!(out, "control socket {}", socket.display());
    let _ = out.flush();
}

fn settings(cx: &Context) -> Result<Settings, Exit> {
    let loaded = cx.load()?;
    for doubt in &loaded.doubts {
        tracing::warn!("{}", doubt.found);
    }
    let host = &loaded.config.host;
    let others = !host.allow_users.is_empty() || host.allow_group.is_some() || !host.read_users.is_empty();
    if others && host.socket.is_none() {
        // The default one is in a directory that only its owner may enter.
        return Err(Exit::usage("[host] lets others in: give it a `socket` in a directory that they can reach"));
    }
    if host.socket.is_none()
        && let Some(dir) = loaded.paths.socket.parent()
    {
        // Chosen by us: below a temporary directory anybody could have made it.
        config::private_dir(dir, cx.env.uid).map_err(Exit::usage)?;
    }
    let backend = backend(cx, &loaded)?;
    let (paths, host) = (loaded.paths, loaded.config.host);
    let access = Access::new(cx.env.uid, &host.allow_users, host.allow_group.as_deref(), &host.read_users).map_err(Exit::usage)?;
    Ok(Settings {
        access,
        reload: reload(cx.global.config.clone(), cx.env.clone()),
        services: loaded.config.services,
        instances: InstanceSettings {
            isolation: isolation(host.isolation),
            ..InstanceSettings::new(host_id(&paths.state), paths.run, paths.state.join("logs"), Arc::new(config::secret))
        },
        socket: paths.socket,
        state_dir: paths.state,
        store_dir: paths.store,
        journal: paths.journal,
        backend,
        metrics_listen: host.metrics_listen,
        verify_rate: host.verify_rate,
    })
}

/// What measures the services, when that is not the proxy itself.
fn backend(cx: &Context, loaded: &config::Loaded) -> Result<Option<Backend>, Exit> {
    let metrics = &loaded.config.metrics;
    let Some(settings) = metrics.prometheus() else { return Ok(None) };
    tls::ready();
    Ok(Some(Backend {
        client: Prometheus::new(settings, &cx.servers),
        queries: metrics.queries().map_err(Exit::usage)?,
        origin: loaded.queries_at("metrics", metrics),
        pace: metrics.pace(),
        variables: metrics.variables.clone(),
        board: Board::new(metrics.alerts()),
    }))
}

fn reload(path: Option<PathBuf>, env: Env) -> Reload {
    Arc::new(move || match config::load(path.as_deref(), &env) {
        Ok(loaded) => Ok(loaded.config.services),
        Err(e) => Err(Text::from(e.to_string())),
    })
}

const fn isolation(chosen: config::Isolation) -> instances::Isolation {
    match chosen {
        config::Isolation::Auto => instances::Isolation::Auto,
        config::Isolation::Namespace => instances::Isolation::PidNamespace,
        config::Isolation::Cgroup => instances::Isolation::Plain,
    }
}

/// Tells this host's control groups from those of a host with another state directory.
fn host_id(state: &Path) -> String {
    Digest::of(state.as_os_str().as_encoded_bytes()).short()
}
