//! Answers that do not end: the watch and the logs, one JSON value a line.

use super::{Api, Command, Peer, query};
use crate::{
    host::{commit::Refused, instances::LogFilter},
    model::{
        delta::Delta,
        ident::Role,
        text::{Raw, Text},
    },
};
use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, Query, State},
    http::header,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use std::{convert::Infallible, sync::Arc};
use tokio::sync::{broadcast::error::RecvError, mpsc};
use tokio_util::sync::CancellationToken;

/// Lines that may wait for a slow watcher before it is told to start again.
const AHEAD: usize = 64;

type Lines = mpsc::Sender<Result<Bytes, Infallible>>;

/// How a watcher names itself.
#[derive(Deserialize)]
pub struct WatchQuery {
    /// A console's own name, the same each time it connects; others watch without being told of.
    console: Option<String>,
    /// What the person calls themselves.
    name: Option<String>,
}

/// `GET /v1/watch`.
pub async fn watch(State(api): State<Api>, ConnectInfo(peer): ConnectInfo<Peer>, Query(asked): Query<WatchQuery>) -> Response {
    ndjson(api.cancel.clone(), |lines| async move {
        let name = asked.name.map(|name| Text::clean(&name));
        let _stay = asked.console.map(|console| api.guests.enter(Raw::new(console), peer.named(name.as_ref()), api.clock.now()));
        // A watcher that falls too far behind gets a full picture again.
        while let Some(subscription) = query(&api, |reply| Command::Subscribe { reply }).await {
            for delta in &subscription.picture {
                if send(&lines, delta.as_ref()).await.is_err() {
                    return;
                }
            }
            let mut changes = subscription.changes;
            loop {
                let next: Result<Arc<Delta>, RecvError> = tokio::select! {
                    () = lines.closed() => return,
                    next = changes.recv() => next,
                };
                match next {
                    Ok(delta) => {
                        if send(&lines, delta.as_ref()).await.is_err() {
                            return;
                        }
                    }
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return,
                }
            }
        }
    })
}

/// What `GET /v1/logs` can be asked for.
#[derive(Deserialize)]
pub struct LogQuery {
    service: Option<String>,
    track: Option<Role>,
    #[serde(default)]
    after: u64,
    last: Option<usize>,
    #[serde(default)]
    follow: bool,
}

/// `GET /v1/logs`.
pub async fn logs(State(api): State<Api>, query: Result<Query<LogQuery>, axum::extract::rejection::QueryRejection>) -> Response {
    let Query(asked) = match query {
        Ok(query) => query,
        Err(e) => return Refused::new(400, e.body_text()).into_response(),
    };
    let mut filter = LogFilter { service: asked.service.map(Into::into), role: asked.track, last: asked.last, ..LogFilter::default() };
    ndjson(api.cancel.clone(), |lines| async move {
        let mut live = api.logs.subscribe();
        let mut after = asked.after;
        loop {
            // Also after a gap: what the ring still has is sent in order.
            for line in api.logs.tail(&filter, after) {
                after = line.seq;
                if send(&lines, &line).await.is_err() {
                    return;
                }
            }
            if !asked.follow {
                return;
            }
            // `last` limits what is there already, not what comes.
            filter.last = None;
            loop {
                let next = tokio::select! {
                    () = lines.closed() => return,
                    next = live.recv() => next,
                };
                match next {
                    Ok(line) if line.seq <= after || !filter.wants(&line) => {}
                    Ok(line) => {
                        after = line.seq;
                        if send(&lines, &line).await.is_err() {
                            return;
                        }
                    }
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return,
                }
            }
        }
    })
}

async fn send<T: Serialize>(lines: &Lines, value: &T) -> Result<(), ()> {
    let mut line = serde_json::to_vec(value).map_err(|_| ())?;
    line.push(b'\n');
    lines.send(Ok(line.into())).await.map_err(|_| ())
}

/// A body that is fed by a task of its own, so that a slow reader holds up nobody else. It ends with
/// the host, also in the middle of a line that nobody reads.
fn ndjson<F, Fut>(cancel: CancellationToken, feed: F) -> Response
where
    F: FnOnce(Lines) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (lines, receive) = mpsc::channel(AHEAD);
    tokio::spawn(cancel.run_until_cancelled_owned(feed(lines)));
    let stream = futures::stream::unfold(receive, |mut receive| async move { receive.recv().await.map(|line| (line, receive)) });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(stream)).into_response()
}
