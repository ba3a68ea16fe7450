//! One question to the API server, and what it answers to it.

use super::super::{connect::Session, kind::Kind};
use crate::{model::text::Text, runtime::Fault};
use futures::{Stream, StreamExt, TryStreamExt};
use http_body_util::BodyExt;
use hyper::{Response, StatusCode, header};
use kube::client::Body;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{collections::VecDeque, fmt::Write, time::Duration};
use tokio::time::timeout;

/// Objects of a page.
const PAGE: usize = 500;
/// Between two pieces of an answer that is being read, or of one line of a watch.
const PIECE: Duration = Duration::from_secs(10);
/// One page, or one line of a watch, at most.
const LIMIT: usize = 64 << 20;
/// An answer that says no, at most.
const NO: usize = 64 << 10;

/// Which objects.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Query {
    /// Of this kind.
    pub kind: Kind,
    /// In this namespace; in all of them without it.
    pub namespace: Option<String>,
    /// With these labels.
    pub labels: String,
    /// With these fields.
    pub fields: String,
}

/// Why there is no list or watch.
#[derive(Clone, PartialEq, Debug)]
pub enum No {
    /// No answer, or none that can be understood.
    Fault(Fault),
    /// We may not.
    Denied(Text),
    /// Nobody serves this kind (404).
    Absent,
    /// What was asked for is too old (410).
    Gone,
    /// Too much at once (429): not before so long.
    Busy(Duration),
}

impl From<Fault> for No {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A complete list.
#[derive(Debug)]
pub struct Listed {
    /// Where a watch goes on.
    pub rev: String,
    /// Its objects.
    pub objects: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Page {
    metadata: PageMeta,
    #[serde(default)]
    items: Option<Vec<Box<RawValue>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMeta {
    #[serde(default)]
    resource_version: String,
    #[serde(default, rename = "continue")]
    next: String,
}

/// The part of a `Status` that people read.
#[derive(Deserialize, Default)]
struct Status {
    #[serde(default)]
    message: String,
}

/// One line of a watch.
#[derive(Deserialize, Debug)]
pub struct Line {
    /// `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK`, `ERROR`.
    #[serde(rename = "type")]
    pub change: String,
    /// The object, or a `Status`.
    pub object: Box<RawValue>,
}

impl Query {
    /// Everything of a kind in a namespace, or everywhere.
    #[must_use]
    pub fn all(kind: Kind, namespace: Option<&str>) -> Self {
        Self { kind, namespace: namespace.map(str::to_owned), labels: String::new(), fields: String::new() }
    }

    /// Only with these labels.
    #[must_use]
    pub fn labelled(mut self, labels: impl Into<String>) -> Self {
        self.labels = labels.into();
        self
    }

    /// Only with these fields.
    #[must_use]
    pub fn with(mut self, fields: impl Into<String>) -> Self {
        self.fields = fields.into();
        self
    }

    fn path(&self, rest: &[(&str, &str)]) -> String {
        let mut path = self.kind.root().to_owned();
        if let Some(namespace) = &self.namespace {
            let _ = write!(path, "/namespaces/{}", encoded(namespace));
        }
        let _ = write!(path, "/{}", self.kind.plural());
        let selectors = [("labelSelector", self.labels.as_str()), ("fieldSelector", self.fields.as_str())];
        for (n, (name, value)) in rest.iter().copied().chain(selectors).filter(|(_, value)| !value.is_empty()).enumerate() {
            let _ = write!(path, "{}{name}={}", if n == 0 { '?' } else { '&' }, encoded(value));
        }
        path
    }

    /// Lists them, page by page.
    ///
    /// # Errors
    /// Why not.
    pub async fn list(&self, session: &Session) -> Result<Listed, No> {
        let (mut objects, mut next) = (Vec::new(), String::new());
        let limit = PAGE.to_string();
        loop {
            let response = self.ask(session, &[("limit", &limit), ("continue", &next)]).await?;
            let body = whole(session, response, LIMIT).await?;
            let place = session.place().await;
            let page: Page = serde_json::from_slice(&body).map_err(|_| No::Fault(unreadable(place, self.kind)))?;
            objects.extend(page.items.unwrap_or_default());
            next = page.metadata.next;
            if next.is_empty() {
                return Ok(Listed { rev: page.metadata.resource_version, objects });
            }
        }
    }

    /// Watches them from a resource version on, for at most `seconds`.
    ///
    /// # Errors
    /// Why not.
    pub async fn watch(&self, session: &Session, rev: &str, seconds: u64) -> Result<impl Stream<Item = Result<Line, Fault>> + use<>, No> {
        let seconds = seconds.to_string();
        let asked = [("watch", "1"), ("allowWatchBookmarks", "true"), ("resourceVersion", rev), ("timeoutSeconds", &seconds)];
        let response = self.ask(session, &asked).await?;
        Ok(lines(session.place().await, response.into_body()))
    }

    /// The fault that nobody serves this kind there.
    pub async fn lacks(&self, session: &Session) -> Fault {
        let what = match self.kind {
            Kind::Rollouts => "Argo Rollouts: the resource rollouts.argoproj.io is not installed there".into(),
            other => format!("{other}").into(),
        };
        Fault::Lacks { place: session.place().await, what }
    }

    async fn ask(&self, session: &Session, rest: &[(&str, &str)]) -> Result<Response<Body>, No> {
        let response = session.send(&self.path(rest)).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let after = response.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.trim().parse().ok());
        let body = whole(session, response, NO).await.unwrap_or_default();
        let said = serde_json::from_slice::<Status>(&body).map(|s| s.message).unwrap_or_default();
        let said = Text::clean(if said.is_empty() { status.canonical_reason().unwrap_or_default() } else { &said });
        Err(match status {
            StatusCode::FORBIDDEN => No::Denied(said),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => No::Absent,
            StatusCode::GONE => No::Gone,
            StatusCode::TOO_MANY_REQUESTS => No::Busy(Duration::from_secs(after.unwrap_or(1))),
            // With it the server says that it is for a moment only.
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT if after.is_some() => {
                No::Busy(Duration::from_secs(after.unwrap_or(1)))
            }
            _ => No::Fault(Fault::Unreachable { place: session.place().await, why: format!("{}: {said}", status.as_u16()).into() }),
        })
    }
}

fn unreadable(place: Text, kind: Kind) -> Fault {
    Fault::Protocol { place, what: format!("a list of {kind} that is none: is something between us and the API server?").into() }
}

/// The code of a `Status` in an `ERROR` line, and what it says.
pub fn error_of(object: &RawValue) -> (u16, Text) {
    #[derive(Deserialize, Default)]
    struct Error {
        #[serde(default)]
        code: u16,
        #[serde(default)]
        message: String,
    }
    let error: Error = serde_json::from_str(object.get()).unwrap_or_default();
    (error.code, Text::clean(&error.message))
}

/// Reads an answer to its end.
async fn whole(session: &Session, response: Response<Body>, limit: usize) -> Result<Vec<u8>, Fault> {
    let place = session.place().await;
    let mut pieces = response.into_body().into_data_stream();
    let mut body = Vec::new();
    loop {
        match timeout(PIECE, pieces.next()).await {
            Err(_) => return Err(Fault::Silent { place, seconds: PIECE.as_secs() }),
            Ok(None) => return Ok(body),
            Ok(Some(Err(e))) => {
                tracing::debug!("{place}: an answer broke off: {e}");
                return Err(Fault::Closed { place });
            }
            Ok(Some(Ok(piece))) if body.len() + piece.len() > limit => {
                let what = format!("more than {} MiB at once", limit >> 20).into();
                return Err(Fault::Protocol { place, what });
            }
            Ok(Some(Ok(piece))) => body.extend_from_slice(&piece),
        }
    }
}

/// Whole lines of a body; what comes after the last line end is no line.
fn lines(place: Text, body: Body) -> impl Stream<Item = Result<Line, Fault>> {
    struct Reading<S> {
        pieces: S,
        buffer: Vec<u8>,
        ready: VecDeque<Vec<u8>>,
        place: Text,
    }
    let pieces = body.into_data_stream().map_err(|e| tracing::debug!("a watch broke off: {e}"));
    let reading = Reading { pieces: Box::pin(pieces), buffer: Vec::new(), ready: VecDeque::new(), place };
    futures::stream::unfold(reading, |mut r| async move {
        loop {
            if let Some(line) = r.ready.pop_front() {
                let line = serde_json::from_slice(&line)
                    .map_err(|_| Fault::Protocol { place: r.place.clone(), what: "a watch with lines that are no JSON".into() });
                return Some((line, r));
            }
            // Between two lines there may be minutes; within one there is nothing to wait for.
            let next = if r.buffer.is_empty() { Ok(r.pieces.next().await) } else { timeout(PIECE, r.pieces.next()).await };
            // An end in good order and one in bad order are the same: the watch goes on from what was seen.
            let piece = match next {
                Ok(Some(Ok(piece))) => piece,
                Ok(Some(Err(())) | None) => return None,
                Err(_) => {
                    r.buffer.clear();
                    return Some((Err(Fault::Silent { place: r.place.clone(), seconds: PIECE.as_secs() }), r));
                }
            };
            let mut rest = piece.as_ref();
            while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
                let (line, after) = rest.split_at(at);
                r.buffer.extend_from_slice(line);
                rest = after.get(1..).unwrap_or_default();
                let line = std::mem::take(&mut r.buffer);
                if !line.iter().all(u8::is_ascii_whitespace) {
                    r.ready.push_back(line);
                }
            }
            r.buffer.extend_from_slice(rest);
            if r.buffer.len() > LIMIT {
                let what = format!("a line of more than {} MiB", LIMIT >> 20).into();
                return Some((Err(Fault::Protocol { place: r.place.clone(), what }), r));
            }
        }
    })
}

/// For a path or a query: everything but letters, digits and a few signs is `%XX`.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
