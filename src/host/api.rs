//! The control API: JSON over a Unix socket. See [`wire`](crate::model::wire) for its table.
//!
//! Who may look and who may act is [`Access`]'s to say; the actor is the kernel's peer user, to which a
//! claimed name is added. A body is at most 1 MiB; nothing here waits for a service.

mod access;
mod peer;
mod streams;

pub use access::{Access, AccessError, Right};
pub use peer::Peer;

use super::{
    commit::{Refused, Reply},
    deploy::Depot,
    engine::Command,
    guests::Guests,
    instances::LogHub,
    prometheus,
};
use crate::{
    clock::Clock,
    model::{
        action::{Action, Refusal},
        ident::ActionId,
        text::Text,
        wire::{ActionRequest, DeployRequest, LookRequest},
    },
};
use axum::{
    Json, Router,
    extract::{ConnectInfo, DefaultBodyLimit, Path, Request, State, rejection::JsonRejection},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// The largest body that is read.
const BODY: usize = 1 << 20;

/// Whoever may look may also say what they look at.
const PRESENCE: &str = "/v1/presence";

/// What the handlers share.
#[derive(Clone)]
pub struct Api {
    /// The engine.
    pub engine: mpsc::Sender<Command>,
    /// Prepares deploys.
    pub depot: Depot,
    /// What the instances print.
    pub logs: LogHub,
    /// Who may do what.
    pub access: Arc<Access>,
    /// Who looks at what.
    pub guests: Guests,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Ends the streams when the host ends.
    pub cancel: CancellationToken,
}

/// Everything, for the Unix socket.
pub fn control(api: Api) -> Router {
    Router::new()
        .route("/v1/watch", get(streams::watch))
        .route("/v1/logs", get(streams::logs))
        .route(PRESENCE, put(presence))
        .route("/v1/rollouts", get(rollouts))
        .route("/v1/actions", post(act))
        .route("/v1/actions/{id}", get(action))
        .route("/v1/deploy", post(deploy))
        .route("/metrics", get(metrics))
        .fallback(|| async { Refused::new(404, "no such path").into_response() })
        .method_not_allowed_fallback(|| async { Refused::new(405, "no such method here").into_response() })
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn_with_state(api.clone(), peers_only))
        .with_state(api)
}

/// Only the metrics, for a TCP port.
pub fn metrics_only(api: Api) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(api)
}

/// The socket's mode keeps others out; who got in all the same is refused by what the kernel says.
async fn peers_only(State(api): State<Api>, ConnectInfo(peer): ConnectInfo<Peer>, request: Request, next: Next) -> Response {
    match api.access.right(&peer) {
        Right::Act => next.run(request).await,
        Right::Read if request.method().is_safe() || request.uri().path() == PRESENCE => next.run(request).await,
        Right::Read => Refused::refusal(403, Refusal::Denied { what: format!("{} may look and not act here", peer.named(None)).into() })
            .into_response(),
        Right::Nothing => {
            let why = format!("{} may not look or act here: [host] allow_users, allow_group and read_users say who may", peer.named(None));
            Refused::new(403, why).into_response()
        }
    }
}

async fn act(State(api): State<Api>, ConnectInfo(peer): ConnectInfo<Peer>, body: Result<Json<ActionRequest>, JsonRejection>) -> Response {
    let Json(request) = match body {
        Ok(body) => body,
        Err(e) => return unreadable(&e).into_response(),
    };
    let by = peer.named(request.name.as_ref());
    // What is started anew is looked at first, like what is deployed. The way back is looked at all the
    // time, and goes in any case.
    if matches!(request.action, Action::Retry | Action::Undo { .. }) {
        let asked = request.clone();
        if let Some(Some(version)) = query(&api, |reply| Command::Starts { request: asked, reply }).await {
            let depot = api.depot.clone();
            match tokio::task::spawn_blocking(move || depot.again(&version)).await {
                Ok(Ok(())) => {}
                Ok(Err(refused)) => return refused.into_response(),
                Err(_) => return Refused::new(500, "looking at what is to be started failed; see the host's log").into_response(),
            }
        }
    }
    ask(&api, |reply| Command::Act { request, by, reply }).await
}

async fn presence(State(api): State<Api>, body: Result<Json<LookRequest>, JsonRejection>) -> Response {
    match body {
        Ok(Json(look)) => {
            api.guests.look(&look.console, look.service, api.clock.now());
            StatusCode::NO_CONTENT.into_response()
        }
        Err(e) => unreadable(&e).into_response(),
    }
}

/// 413 for a body that is too large, 415 for one that is not said to be JSON, else 400.
fn unreadable(e: &JsonRejection) -> Box<Refused> {
    match e.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refused::new(413, format!("the body has more than {BODY} bytes")),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Refused::new(415, e.body_text()),
        _ => Refused::new(400, e.body_text()),
    }
}

async fn deploy(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Result<Json<DeployRequest>, JsonRejection>,
) -> Response {
    let Json(request) = match body {
        Ok(body) => body,
        Err(e) => return unreadable(&e).into_response(),
    };
    // The second request of a name gets the first one's answer, whatever became of what it needs.
    let id = request.id.clone();
    if let Some(Some(record)) = query(&api, |reply| Command::Lookup { id, reply }).await {
        return Json(record).into_response();
    }
    let wanted = request.clone();
    if let Some(Some(refused)) = query(&api, |reply| Command::Bars { request: wanted, reply }).await {
        return refused.into_response();
    }
    let by = peer.named(request.name.as_ref());
    let (depot, wanted) = (api.depot.clone(), request.clone());
    // Hashing and unpacking take as long as the artifact is large.
    match tokio::task::spawn_blocking(move || depot.prepare(&wanted)).await {
        Ok(Ok(prepared)) => ask(&api, |reply| Command::Deploy { request, prepared: Box::new(prepared), by, reply }).await,
        Ok(Err(refused)) => refused.into_response(),
        Err(_) => Refused::new(500, "preparing the deploy failed; see the host's log").into_response(),
    }
}

async fn ask(api: &Api, command: impl FnOnce(oneshot::Sender<Reply>) -> Command) -> Response {
    let (reply, answered) = oneshot::channel();
    if api.engine.send(command(reply)).await.is_err() {
        return Refused::new(503, "the host is ending").into_response();
    }
    match answered.await {
        Ok(Ok(record)) => Json(record).into_response(),
        Ok(Err(refused)) => refused.into_response(),
        Err(_) => Refused::new(503, "the host ended before it answered").into_response(),
    }
}

async fn action(State(api): State<Api>, Path(id): Path<String>) -> Response {
    let shown = Text::clean(&id);
    let found = query(&api, |reply| Command::Lookup { id: ActionId::new(id), reply }).await;
    match found {
        Some(Some(record)) => Json(record).into_response(),
        Some(None) => Refused::new(404, format!("no action `{shown}`")).into_response(),
        None => Refused::new(503, "the host is ending").into_response(),
    }
}

async fn rollouts(State(api): State<Api>) -> Response {
    match query(&api, |reply| Command::Rollouts { reply }).await {
        Some(rollouts) => Json(rollouts).into_response(),
        None => Refused::new(503, "the host is ending").into_response(),
    }
}

async fn metrics(State(api): State<Api>) -> Response {
    match query(&api, |reply| Command::Metrics { reply }).await {
        Some(services) => ([(header::CONTENT_TYPE, prometheus::CONTENT_TYPE)], prometheus::render(&services)).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn query<T>(api: &Api, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
    let (reply, answered) = oneshot::channel();
    api.engine.send(command(reply)).await.ok()?;
    answered.await.ok()
}

impl IntoResponse for Box<Refused> {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.error)).into_response()
    }
}
