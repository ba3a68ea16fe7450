//! HTTP to the host over its Unix socket: no redirects, no proxy, limits on time and size.

use super::{LogAsk, Refused};
use crate::{
    clock::Clock,
    model::{
        action::{Action, Outcome, Plan, Refusal},
        delta::Delta,
        event::LogLine,
        ident::{ActionId, Key},
        rollout::Rollout,
        text::Text,
        wire::{ActionRecord, ApiError, DeployRequest, LookRequest},
    },
    runtime::Fault,
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use reqwest::{Method, Response, StatusCode, Url};
use serde::{Serialize, de::DeserializeOwned};
use std::{error::Error, io, path::PathBuf, sync::Arc, time::Duration};
use tokio_util::{
    codec::{FramedRead, LinesCodec, LinesCodecError},
    io::StreamReader,
};

/// The wire format that this client speaks.
const VERSION: u32 = 1;
/// One line of a stream, or one whole answer, at most.
const LIMIT: usize = 8 << 20;
/// From sending a request to the end of its answer.
const ORDINARY: Duration = Duration::from_secs(10);
/// The same for the way back: the person is told sooner that the answer is missing.
const BACK: Duration = Duration::from_secs(3);
/// Unpacking an artifact takes its time.
const DEPLOY: Duration = Duration::from_secs(120);

/// A client of one host.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    place: Text,
    clock: Arc<dyn Clock>,
}

impl Client {
    /// For the host on this socket; nothing is connected yet.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(socket: PathBuf, clock: Arc<dyn Clock>) -> Result<Self, Fault> {
        let place: Text = socket.display().to_string().into();
        crate::tls::ready();
        let http = reqwest::Client::builder()
            .unix_socket(socket)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .build()
            .map_err(|e| Fault::Protocol { place: place.clone(), what: innermost(&e).to_string().into() })?;
        Ok(Self { http, place, clock })
    }

    /// The socket.
    #[must_use]
    pub const fn place(&self) -> &Text {
        &self.place
    }

    /// `GET /v1/watch`, by whom the query says.
    pub fn watch(&self, query: &[(&str, String)]) -> impl Stream<Item = Result<Delta, Fault>> + Send + use<> {
        let place = self.place.clone();
        self.lines::<Delta>(&["watch"], query).map(move |delta| match delta {
            Ok(Delta::Init { version, .. }) if version != VERSION => {
                Err(Fault::Protocol { place: place.clone(), what: format!("wire format {version} instead of {VERSION}").into() })
            }
            other => other,
        })
    }

    /// `PUT /v1/presence`.
    ///
    /// # Errors
    /// When the host cannot be asked, or does not know what is asked.
    pub async fn look(&self, look: &LookRequest) -> Result<(), Fault> {
        let url = self.url(&["presence"], &[]);
        let response = self.send(Method::PUT, url, Some(look), Some(ORDINARY)).await.map_err(|lost| lost.fault)?;
        self.good(response).await.map(drop)
    }

    /// `GET /v1/logs`, following.
    pub fn logs(&self, key: &Key, after: Option<u64>) -> impl Stream<Item = Result<LogLine, Fault>> + Send + use<> {
        let mut query = vec![("service", key.service.as_str().to_owned()), ("follow", "true".to_owned())];
        query.extend(after.map(|seq| ("after", seq.to_string())));
        self.lines(&["logs"], &query)
    }

    /// `GET /v1/logs`, as much of it as is asked for.
    pub fn log_lines(&self, asked: &LogAsk) -> impl Stream<Item = Result<LogLine, Fault>> + Send + use<> {
        let mut query = vec![("service", asked.service.as_str().to_owned()), ("follow", asked.follow.to_string())];
        query.extend(asked.track.map(|role| ("track", role.to_string())));
        query.extend(asked.last.map(|last| ("last", last.to_string())));
        self.lines(&["logs"], &query)
    }

    /// `GET /v1/rollouts`.
    ///
    /// # Errors
    /// When the host cannot be asked.
    pub async fn rollouts(&self) -> Result<Vec<Rollout>, Fault> {
        let response =
            self.send(Method::GET, self.url(&["rollouts"], &[]), None::<&()>, Some(ORDINARY)).await.map_err(|lost| lost.fault)?;
        self.read(self.good(response).await?).await
    }

    /// `GET /v1/actions/{id}`; `None` if the host has never heard of it.
    ///
    /// # Errors
    /// When the host cannot be asked.
    pub async fn resolve(&self, id: &ActionId) -> Result<Option<ActionRecord>, Fault> {
        let url = self.url(&["actions", id.as_str()], &[]);
        let response = self.send(Method::GET, url, None::<&()>, Some(ORDINARY)).await.map_err(|lost| lost.fault)?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.read(self.good(response).await?).await.map(Some)
    }

    /// Sends the one call of a plan, in one round trip.
    pub async fn apply(&self, plan: &Plan) -> Outcome {
        let Some(call) = plan.calls.first() else {
            return Outcome::Refused { refusal: Refusal::NotNow { why: "the plan has no call: nothing was sent".into() } };
        };
        let limit = if matches!(plan.action, Action::Back { .. }) { BACK } else { ORDINARY };
        let sent = self.clock.now();
        let unknown = |why: String| Outcome::Unknown { sent, why: why.into() };
        let Ok(url) = self.url(&[], &[]).join(call.path.as_str()) else {
            return unknown("the plan's path is no path".into());
        };
        let response = match self.send(Method::POST, url, Some(&call.body), Some(limit)).await {
            Ok(response) => response,
            Err(Lost { before_sending: true, fault }) => {
                return Outcome::Partial { done: 0, then: format!("{fault}: nothing was sent").into() };
            }
            Err(lost) => return unknown(format!("no answer: {}", lost.fault)),
        };
        let status = response.status();
        if status.is_success() {
            return match self.read::<ActionRecord>(response).await {
                Ok(record) => record.outcome,
                Err(fault) => unknown(format!("the answer was lost: {fault}")),
            };
        }
        if status.is_server_error() {
            return unknown(format!("the host answered {status}"));
        }
        match self.read::<ApiError>(response).await {
            Ok(ApiError { refusal: Some(refusal), .. }) => Outcome::Refused { refusal },
            Ok(ApiError { message, .. }) if status == StatusCode::FORBIDDEN => {
                Outcome::Refused { refusal: Refusal::Denied { what: message } }
            }
            Ok(ApiError { message, .. }) => Outcome::Refused { refusal: Refusal::NotNow { why: message } },
            Err(fault) => unknown(format!("the host answered {status}: {fault}")),
        }
    }

    /// `POST /v1/deploy`.
    ///
    /// # Errors
    /// The host's refusal, or why it could not be asked.
    pub async fn deploy(&self, request: &DeployRequest) -> Result<ActionRecord, Refused> {
        let url = self.url(&["deploy"], &[]);
        let response = self.send(Method::POST, url, Some(request), Some(DEPLOY)).await.map_err(|lost| lost.fault)?;
        if response.status().is_success() {
            return Ok(self.read(response).await?);
        }
        if response.status().is_client_error() {
            return Err(Refused::Said(Box::new(self.read(response).await?)));
        }
        Err(Refused::Fault(self.protocol(format!("status {}", response.status()))))
    }

    /// A stream of JSON lines. A line that is cut off by the end of the connection is dropped.
    fn lines<T: DeserializeOwned + Send + 'static>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> impl Stream<Item = Result<T, Fault>> + Send + use<T> {
        let (this, url) = (self.clone(), self.url(path, query));
        stream::once(async move {
            let response = this.send(Method::GET, url, None::<&()>, None).await.map_err(|lost| lost.fault)?;
            let response = this.good(response).await?;
            let bytes = response.bytes_stream().map_err(io::Error::other);
            // The last line of a body that ends in the middle of it would be taken for a whole one.
            let lines = FramedRead::new(StreamReader::new(bytes), WholeLines(LinesCodec::new_with_max_length(LIMIT)));
            Ok(lines.filter_map(move |line| {
                let parsed = match line {
                    Ok(line) if line.is_empty() => None,
                    Ok(line) => Some(serde_json::from_str(&line).map_err(|e| this.protocol(format!("a line that is not understood: {e}")))),
                    Err(LinesCodecError::MaxLineLengthExceeded) => Some(Err(this.protocol(format!("a line of more than {LIMIT} bytes")))),
                    Err(LinesCodecError::Io(_)) => Some(Err(Fault::Closed { place: this.place.clone() })),
                };
                std::future::ready(parsed)
            }))
        })
        .try_flatten()
    }

    /// One request. `limit` covers it until its answer's body is read.
    async fn send(
        &self,
        method: Method,
        url: Url,
        body: Option<&(impl Serialize + Sync)>,
        limit: Option<Duration>,
    ) -> Result<Response, Lost> {
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(limit) = limit {
            request = request.timeout(limit);
        }
        request.send().await.map_err(|e| Lost { before_sending: e.is_connect(), fault: self.fault(&e) })
    }

    /// The answer if it is a success, else what its status says.
    async fn good(&self, response: Response) -> Result<Response, Fault> {
        match response.status() {
            status if status.is_success() => Ok(response),
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {
                let what = self.read::<ApiError>(response).await.map_or_else(|_| "no right to read".into(), |e| e.message);
                Err(Fault::Denied { place: self.place.clone(), what })
            }
            status => Err(self.protocol(format!("status {status}"))),
        }
    }

    /// A whole body of at most [`LIMIT`] bytes.
    async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T, Fault> {
        let mut body = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            body.extend_from_slice(&chunk.map_err(|e| self.fault(&e))?);
            if body.len() > LIMIT {
                return Err(self.protocol(format!("an answer of more than {LIMIT} bytes")));
            }
        }
        serde_json::from_slice(&body).map_err(|e| self.protocol(format!("an answer that is not understood: {e}")))
    }

    fn protocol(&self, what: String) -> Fault {
        Fault::Protocol { place: self.place.clone(), what: what.into() }
    }

    fn fault(&self, error: &reqwest::Error) -> Fault {
        let place = self.place.clone();
        let cause = innermost(error);
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::PermissionDenied) {
            Fault::Denied { place, what: "no right to open the socket".into() }
        } else if error.is_timeout() {
            Fault::Unreachable { place, why: "it takes too long".into() }
        } else if error.is_connect() {
            Fault::Unreachable { place, why: plain(cause).into() }
        } else {
            Fault::Closed { place }
        }
    }

    fn url(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        // The name stands for the socket; the host accepts any over it.
        let mut url = BASE.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().push("v1").extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

#[expect(clippy::expect_used, reason = "a constant that a test covers")]
static BASE: std::sync::LazyLock<Url> = std::sync::LazyLock::new(|| Url::parse("http://localhost/").expect("a URL"));

/// A request without an answer.
struct Lost {
    /// It cannot have had an effect.
    before_sending: bool,
    fault: Fault,
}

/// [`LinesCodec`] without the line that the end of the stream cuts off.
struct WholeLines(LinesCodec);

impl tokio_util::codec::Decoder for WholeLines {
    type Item = String;
    type Error = LinesCodecError;

    fn decode(&mut self, bytes: &mut tokio_util::bytes::BytesMut) -> Result<Option<String>, LinesCodecError> {
        self.0.decode(bytes)
    }

    fn decode_eof(&mut self, bytes: &mut tokio_util::bytes::BytesMut) -> Result<Option<String>, LinesCodecError> {
        let line = self.0.decode(bytes)?;
        if line.is_none() {
            bytes.clear();
        }
        Ok(line)
    }
}

fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

/// What the system says, without its number.
fn plain(error: &(dyn Error + 'static)) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

#[cfg(test)]
mod tests;
