//! Answers that do not end: the watch and the logs, one JSON value a line.

use super::{Api, Command, Peer, query};
use crate::{
    host::{
        commit::Refused,
        instances::{LogFilter, LogHub},
    },
    model::{
        delta::Delta,
        event::LogLine,
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
    ndjson(api.cancel.clone(), |lines| tell(api.logs, asked, lines))
}

/// Sends what is there and what comes. What comes faster than it is read is left out, counted, and said
/// with the next line.
async fn tell(logs: LogHub, asked: LogQuery, lines: Lines) {
    let mut filter = LogFilter { service: asked.service.map(Into::into), role: asked.track, last: asked.last, ..LogFilter::default() };
    let mut live = logs.subscribe();
    // A number that nobody has given yet is of another host, whose lines these are not.
    let mut after = if asked.after > logs.last() { 0 } else { asked.after };
    // How many there were when we last knew all of them. What was there before we came is not lost.
    let mut known = None;
    loop {
        // Also after a gap: what the ring still has is sent in order.
        let (there, all) = logs.tail_of(&filter, after);
        let mut lost = known.map_or(0, |known: u64| all.saturating_sub(known.saturating_add(there.len() as u64)));
        let mut count = all;
        for line in there {
            after = line.seq;
            if send(&lines, &LogLine { lost: std::mem::take(&mut lost), ..line }).await.is_err() {
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
                    count += 1;
                    if send(&lines, &line).await.is_err() {
                        return;
                    }
                }
                Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => return,
            }
        }
        known = Some(count);
    }
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

#[cfg(test)]
mod tests {
    use super::{AHEAD, LogHub, LogLine, LogQuery, tell};
    use crate::{
        clock::SystemClock,
        conductor::life::PoolId,
        model::{
            event::LogStream,
            ident::{InstanceId, VersionId},
        },
    };
    use std::sync::Arc;
    use tokio::sync::mpsc;

    /// All that somebody gets who comes with the number of the last line they saw.
    async fn from(hub: &LogHub, after: u64) -> Vec<LogLine> {
        let (lines, mut receive) = mpsc::channel(AHEAD);
        let asked = LogQuery { service: Some("web".into()), track: None, after, last: None, follow: false };
        let telling = tokio::spawn(tell(hub.clone(), asked, lines));
        let mut got = Vec::new();
        while let Some(line) = receive.recv().await {
            got.push(serde_json::from_slice(&line.unwrap()).unwrap());
        }
        telling.await.unwrap();
        got
    }

    #[tokio::test]
    async fn whoever_comes_back_can_count_what_is_gone_and_is_never_left_without_lines() {
        let dir = tempfile::tempdir().unwrap();
        let hub = LogHub::open(dir.path().to_owned(), Arc::new(SystemClock::start())).unwrap();
        let pool = PoolId { version: VersionId::new("abc"), generation: 1 };
        let log = |name: &str, service: &str| hub.instance(pool.clone(), service.into(), "v1".into(), InstanceId::new(name));
        let (loud, quiet, other) = (log("loud", "web"), log("quiet", "web"), log("o", "cart"));
        loud.push(LogStream::Out, b"seen");
        let seen = from(&hub, 0).await.pop().unwrap();
        quiet.push(LogStream::Out, b"soon after");
        for n in 0..5_000 {
            loud.push(LogStream::Out, format!("{n}").as_bytes());
            other.push(LogStream::Out, b"of another service");
        }
        let got = from(&hub, seen.seq).await;
        // The quiet one's line is still there; what is gone is gone between it and the others.
        assert_eq!((got[0].line.as_str(), got[0].nth - seen.nth), ("soon after", 1));
        assert_eq!((got[1].nth - got[0].nth - 1) as usize, 5_000 - (got.len() - 1));
        assert!(got[1..].is_sorted_by(|a, b| a.nth + 1 == b.nth));
        // Numbers of a host that kept nothing are not ours.
        assert_eq!(from(&hub, hub.last() + 1).await, from(&hub, 0).await);
    }

    /// A reader that reads nothing while a flood comes, and what it has of it in the end.
    #[tokio::test]
    async fn what_comes_too_fast_for_a_reader_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let hub = LogHub::open(dir.path().to_owned(), Arc::new(SystemClock::start())).unwrap();
        let log = |service: &str| {
            let pool = PoolId { version: VersionId::new("abc"), generation: 1 };
            hub.instance(pool, service.into(), "v1".into(), InstanceId::new(service))
        };
        let (web, other) = (log("web"), log("other"));
        for n in 0..3_000 {
            web.push(LogStream::Out, format!("before {n}").as_bytes());
        }
        let (lines, mut receive) = mpsc::channel(AHEAD);
        let asked = LogQuery { service: Some("web".into()), track: None, after: 0, last: Some(2), follow: true };
        let telling = tokio::spawn(tell(hub.clone(), asked, lines));
        let mut got: Vec<LogLine> = Vec::new();
        let mut next = async |got: &mut Vec<LogLine>| {
            let line = receive.recv().await.unwrap().unwrap();
            got.push(serde_json::from_slice(&line).unwrap());
        };
        for _ in 0..2 {
            next(&mut got).await;
        }
        assert_eq!(got.iter().map(|l| l.lost).sum::<u64>(), 0, "what was there before is not lost");
        // Twice, so that what was counted once is not counted again.
        for flood in 1..=2_u64 {
            for n in 0..20_000 {
                web.push(LogStream::Out, format!("line {n}").as_bytes());
                other.push(LogStream::Out, b"nobody asked for it");
            }
            web.push(LogStream::Out, format!("end {flood}").as_bytes());
            while got.last().unwrap().line.as_str() != format!("end {flood}") {
                next(&mut got).await;
            }
            let lost: u64 = got.iter().map(|l| l.lost).sum();
            assert!(lost > 0, "the flood was too small");
            assert_eq!(lost + got.len() as u64, 2 + flood * 20_001);
            assert!(got.is_sorted_by_key(|l| l.seq));
        }
        telling.abort();
    }
}
