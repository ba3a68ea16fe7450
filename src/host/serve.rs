//! A host from its start to its end: everything is opened before anything is started, and what cannot
//! be opened is one line.

use super::{
    api::{self, Access, Api},
    availability,
    deploy::{Depot, Reload},
    drift::Watchman,
    engine::{Engine, Parts},
    guests::Guests,
    instances::{InstanceSettings, Instances},
    measured::Backend,
    preflight::Machine,
    slots::{Saver, Slots, SlotsError},
    socket::{self, SocketError},
    usage::Accounts,
};
use crate::{
    artifact::{LayoutError, Store},
    clock::Clock,
    journal::{Journal, JournalError, JournalHandle},
    model::spec::ServiceSpec,
};
use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

/// What a host is started with; every path is resolved.
pub struct Settings {
    /// Who may use the control API besides the host's own user and root.
    pub access: Access,
    /// Its services.
    pub services: Vec<ServiceSpec>,
    /// Reads them again at each deploy.
    pub reload: Reload,
    /// The control socket.
    pub socket: PathBuf,
    /// What it remembers.
    pub state_dir: PathBuf,
    /// Artifacts.
    pub store_dir: PathBuf,
    /// The journal file.
    pub journal: PathBuf,
    /// How instances are run.
    pub instances: InstanceSettings,
    /// What measures its services, beside its own counters.
    pub backend: Option<Backend>,
    /// Where metrics are served besides the socket.
    pub metrics_listen: Option<SocketAddr>,
    /// Bytes a second that the background verification may read.
    pub verify_rate: u64,
}

/// Why a host could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Its memory.
    #[error(transparent)]
    State(#[from] SlotsError),
    /// Its store.
    #[error(transparent)]
    Store(#[from] LayoutError),
    /// Its socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// Its journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The launcher of instances.
    #[error("instances: {0}")]
    Instances(io::Error),
    /// A listener; the message names the address.
    #[error("{0}")]
    Listen(io::Error),
    /// The control API ended.
    #[error("control API: {0}")]
    Api(io::Error),
}

/// How large the memory may become; both slots are allocated at the start.
const MEMORY: usize = 4 << 20;

/// How long answers may take to be read once everything has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Commands that may wait for the engine.
const COMMANDS: usize = 64;

/// Runs a host until `cancel`, then drains it. `ready` is told the control socket and each service's
/// address once everything listens.
///
/// # Errors
/// See [`ServeError`]; nothing was started then.
pub async fn serve(
    settings: Settings,
    clock: Arc<dyn Clock>,
    cancel: CancellationToken,
    ready: impl FnOnce(&[(String, SocketAddr)]),
) -> Result<(), ServeError> {
    let (slots, loaded) = Slots::open(&settings.state_dir, MEMORY)?;
    let store = Arc::new(Store::open(&settings.store_dir)?);
    let journal = JournalHandle::start(Journal::open(&settings.journal)?, Arc::clone(&clock))?;
    let listener = socket::listen(&settings.socket, &settings.access).await?;
    let _place = Place(settings.socket.clone());
    let metrics = match settings.metrics_listen {
        Some(addr) => Some(TcpListener::bind(addr).await.map_err(|e| ServeError::Listen(at(addr, &e)))?),
        None => None,
    };
    let watchman = Watchman::new(Arc::clone(&clock));
    let (instances, leftovers) = Instances::start(settings.instances, Arc::clone(&clock)).map_err(ServeError::Instances)?;
    let guests = Guests::default();
    let machine = Machine { instances: instances.clone(), writes: vec![settings.state_dir] };
    let depot = Depot::new(store, watchman.clone(), settings.reload).on(machine);
    let mut found = loaded.found;
    found.extend(leftovers.line());
    for line in &found {
        tracing::warn!("{line}");
    }
    let parts = Parts {
        state: loaded.state.unwrap_or_default(),
        saver: Saver::start(slots)?,
        instances: instances.clone(),
        depot: depot.clone(),
        guests: guests.clone(),
        accounts: Accounts::start(instances.clone(), Arc::clone(&clock), cancel.clone()).map_err(ServeError::Instances)?,
        backend: settings.backend.map(Arc::new),
        journal,
        clock: Arc::clone(&clock),
        found,
        look_every: availability::EVERY,
    };
    let mut engine = Engine::new(parts);
    let open = engine.open(&settings.services).map_err(ServeError::Listen)?;
    watchman.patrol(settings.verify_rate, cancel.clone()).map_err(ServeError::Instances)?;

    let (commands, receive) = mpsc::channel(COMMANDS);
    let api =
        Api { engine: commands, depot, logs: instances.logs(), access: Arc::new(settings.access), guests, clock, cancel: cancel.clone() };
    if let Some(metrics) = metrics {
        let app = api::metrics_only(api.clone());
        let stop = cancel.clone();
        tokio::spawn(async move { axum::serve(metrics, app).with_graceful_shutdown(stop.cancelled_owned()).await });
    }
    let app = api::control(api).into_make_service_with_connect_info::<api::Peer>();
    let stop = cancel.clone();
    let control = tokio::spawn(async move { axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await });
    ready(&open);
    engine.run(receive, cancel).await;
    // A client that is stopped and does not read its stream must not keep us.
    match tokio::time::timeout(LAST_ANSWERS, control).await {
        Ok(ended) => ended.map_err(|e| ServeError::Api(io::Error::other(e)))?.map_err(ServeError::Api),
        Err(_) => Ok(()),
    }
}

/// The socket's file, gone with the host, also when it cannot be started.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn at(addr: SocketAddr, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("cannot listen on {addr}: {e}"))
}
