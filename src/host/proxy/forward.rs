//! One request, from its head to the head of its one answer.

use super::{
    body::{Life, RequestBody, ResponseBody, Upload},
    headers,
    pool::Conn,
    router::{Missed, Pick, Router, Settings, Ticket, shown_path},
    upgrade,
    wire::Tap,
};
use crate::{
    conductor::life::PoolId,
    host::meter::Head,
    model::{event::FailedRequest, spec::ProxySpec, text::Text},
};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri, Version,
    body::{Body, Incoming},
    header::{
        ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderValue, RETRY_AFTER, SET_COOKIE, TE, TRANSFER_ENCODING, UPGRADE,
    },
    upgrade::OnUpgrade,
};
use std::{
    future::poll_fn,
    io,
    net::IpAddr,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// One client's connection.
pub struct Client {
    pub router: Arc<Router>,
    pub peer: IpAddr,
    pub tap: Arc<Tap>,
    /// Where upgraded connections live on.
    pub tasks: TaskTracker,
}

/// Why no instance answered.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("{0}")]
    Lost(&'static str),
    #[error("no answer within {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    #[error("cut while draining")]
    Cut,
}

/// What is sent to an instance, as often as it is tried.
#[derive(Clone)]
struct Outgoing {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

/// The request as it came, apart from what is sent on.
struct Incomer {
    arrived: Instant,
    /// HTTP/1.0 knows no other end of an unmeasured body than the end of the connection.
    old: bool,
    head: bool,
    upgrade: Option<(HeaderValue, OnUpgrade)>,
    /// Idempotent, and nothing of it is gone once it was sent.
    replayable: bool,
}

impl Client {
    /// Answers a request. Dropped when the client goes away; then so is everything it holds.
    pub async fn serve(&self, mut request: Request<Incoming>) -> Response<ResponseBody> {
        let arrived = Instant::now();
        if request.method() == Method::CONNECT {
            let mut response = own(StatusCode::METHOD_NOT_ALLOWED, "this is no forward proxy");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE"));
            return response;
        }
        let settings = self.router.settings();
        let who = settings.rules.who(request.headers());
        settings.rules.hide(request.headers_mut());
        let (pick, dealt) = self.router.pick(who, request.method(), request.uri());
        let ticket = match pick {
            Pick::Go(ticket) => ticket,
            Pick::Nowhere(missed) => return nowhere(missed, &settings, &request),
        };
        let settings = &settings;
        let pool = ticket.instance.pool.clone();
        let upgrade = (request.version() == Version::HTTP_11).then(|| headers::upgrade(request.headers())).flatten();
        let upgrade = upgrade.map(|protocol| (protocol, hyper::upgrade::on(&mut request)));
        let idempotent =
            matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE);
        let incomer = Incomer {
            arrived,
            old: request.version() < Version::HTTP_11,
            head: request.method() == Method::HEAD,
            replayable: idempotent && upgrade.is_none() && request.body().is_end_stream(),
            upgrade,
        };
        let (outgoing, body, upload) = self.outgoing(request, &incomer, &ticket, &settings.spec);
        let mut response = self.forward(incomer, outgoing, body, upload, ticket, &settings.spec).await;
        mark(&mut response, &pool, &settings.spec);
        if let Some(cookie) = dealt.and_then(|dealt| settings.rules.cookie(dealt)) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        response
    }

    /// What is sent on.
    fn outgoing(
        &self,
        request: Request<Incoming>,
        incomer: &Incomer,
        ticket: &Ticket,
        settings: &ProxySpec,
    ) -> (Outgoing, RequestBody, Option<Arc<Upload>>) {
        let (parts, body) = request.into_parts();
        let mut fields = parts.headers;
        let held = !body.is_end_stream() && headers::expects_continue(&fields);
        let trailers = headers::takes_trailers(&fields);
        headers::strip(&mut fields);
        // RFC 9112, 3.2.2: the absolute form wins over `Host`.
        let host = match parts.uri.authority() {
            Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
            None if fields.contains_key(HOST) => None,
            None => HeaderValue::from_str(&ticket.instance.upstream.addr.to_string()).ok(),
        };
        if let Some(host) = host {
            fields.insert(HOST, host);
        }
        let trusted = settings.trusted_proxies.iter().any(|t| t.to_canonical() == self.peer);
        headers::forwarded(&mut fields, self.peer, trusted);
        if trailers {
            fields.insert(TE, HeaderValue::from_static("trailers"));
        }
        if !held {
            fields.remove(EXPECT);
        }
        if let Some((protocol, _)) = &incomer.upgrade {
            fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            fields.insert(UPGRADE, protocol.clone());
        }
        let (body, upload) = if body.is_end_stream() {
            (RequestBody::empty(), None)
        } else {
            if body.size_hint().exact().is_none() {
                fields.remove(CONTENT_LENGTH);
                fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
            let (body, upload) = RequestBody::streamed(body, Arc::clone(&ticket.meter), held);
            (body, Some(upload))
        };
        let mut uri = hyper::http::uri::Parts::default();
        uri.path_and_query = parts.uri.path_and_query().cloned();
        let uri = Uri::from_parts(uri).unwrap_or_default();
        (Outgoing { method: parts.method, uri, headers: fields }, body, upload)
    }

    /// Sends it, again if that is safe, and turns whatever comes of it into one answer.
    async fn forward(
        &self,
        incomer: Incomer,
        outgoing: Outgoing,
        body: RequestBody,
        upload: Option<Arc<Upload>>,
        mut ticket: Ticket,
        settings: &ProxySpec,
    ) -> Response<ResponseBody> {
        let limits = Limits { arrived: incomer.arrived, total: settings.timeout, per_try: settings.try_timeout };
        let reused = if incomer.replayable { ticket.instance.idle.take() } else { None };
        let first = match reused {
            None => None,
            Some(mut conn) => match limits.run(&ticket, send(&mut conn, outgoing.clone().into_request(RequestBody::empty()))).await {
                Err(Failure::Lost(_)) if !conn.tap.heard.load(Relaxed) => {
                    // It was closed while idle: nothing was answered, and nothing is done twice.
                    ticket.meter.retry();
                    self.router.pick_again(&mut ticket);
                    None
                }
                result => Some(result.map(|response| (response, conn))),
            },
        };
        let result = match first {
            Some(result) => result,
            None => {
                let addr = ticket.instance.upstream.addr;
                let mut request = outgoing.into_request(body);
                if let Some(upload) = upload.clone().filter(|_| request.headers().contains_key(EXPECT)) {
                    hyper::ext::on_informational(&mut request, move |interim| {
                        if interim.status() == StatusCode::CONTINUE {
                            upload.ask();
                        }
                    });
                }
                let fresh = async {
                    let mut conn = Conn::open(addr).await.map_err(Failure::Connect)?;
                    let response = send(&mut conn, request).await?;
                    Ok((response, conn))
                };
                limits.run(&ticket, fresh).await
            }
        };
        let result = result.and_then(|(response, conn)| {
            let agreed = response.status() == StatusCode::SWITCHING_PROTOCOLS;
            if agreed && incomer.upgrade.is_none() { Err(Failure::Lost("an upgrade that nobody asked for")) } else { Ok((response, conn)) }
        });
        match result {
            Ok((response, conn)) => self.answer(incomer, response, conn, upload, ticket),
            Err(_) if upload.is_some_and(|u| u.is_broken()) => {
                // It is the client who did not finish, whatever the instance made of that.
                drop(ticket);
                own(StatusCode::BAD_REQUEST, "the request's body ended early")
            }
            Err(failure) => fail(ticket, &failure, incomer.arrived),
        }
    }

    /// Passes an answer on.
    fn answer(
        &self,
        incomer: Incomer,
        mut response: Response<Incoming>,
        conn: Conn,
        upload: Option<Arc<Upload>>,
        mut ticket: Ticket,
    ) -> Response<ResponseBody> {
        let status = response.status();
        *response.version_mut() = Version::HTTP_11;
        if let (StatusCode::SWITCHING_PROTOCOLS, Some((asked, client))) = (status, incomer.upgrade) {
            let protocol = response.headers().get(UPGRADE).cloned().unwrap_or(asked);
            headers::strip(response.headers_mut());
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
            response.headers_mut().insert(UPGRADE, protocol);
            ticket.head(Head::Upgrade);
            ticket.upgrade();
            let instance = hyper::upgrade::on(&mut response);
            self.tasks.spawn(upgrade::carry(client, instance, conn, ticket));
            return response.map(|_| ResponseBody::Own(None));
        }
        headers::strip(response.headers_mut());
        let measured = response.body().size_hint().exact().is_some();
        if !measured {
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        ticket.head(Head::Answer { status: status.as_u16(), latency: incomer.arrived.elapsed() });
        if status.is_server_error() {
            ticket.meter.keep(failed(&ticket, status, None));
        }
        let ends_by_close = (incomer.old && !measured && !incomer.head).then(|| Arc::clone(&self.tap));
        let life = Life { ticket, conn, upload, ends_by_close, status: status.as_u16() };
        response.map(|body| ResponseBody::passed(body, life))
    }
}

/// How long may be waited for a response head.
struct Limits {
    arrived: Instant,
    total: Duration,
    per_try: Duration,
}

impl Limits {
    /// Waits for a try until its limit, or until it is cut.
    async fn run<T>(&self, ticket: &Ticket, attempt: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let now = Instant::now();
        let (until, limit) = match (self.arrived.checked_add(self.total), now.checked_add(self.per_try)) {
            (Some(total), Some(per_try)) if per_try < total => (per_try, self.per_try),
            (Some(total), _) => (total, self.total),
            (None, Some(per_try)) => (per_try, self.per_try),
            (None, None) => (now + Duration::from_secs(86_400), self.total),
        };
        let mut attempt = pin!(attempt);
        let guarded = poll_fn(|cx| {
            if ticket.active.poll_cut(cx).is_ready() {
                return std::task::Poll::Ready(Err(Failure::Cut));
            }
            attempt.as_mut().poll(cx)
        });
        tokio::time::timeout_at(until, guarded).await.unwrap_or(Err(Failure::TimedOut(limit)))
    }
}

impl Outgoing {
    fn into_request(self, body: RequestBody) -> Request<RequestBody> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        request
    }
}

async fn send(conn: &mut Conn, request: Request<RequestBody>) -> Result<Response<Incoming>, Failure> {
    conn.sender.send_request(request).await.map_err(|e| {
        Failure::Lost(if e.is_parse() {
            "an answer that is not HTTP"
        } else if conn.tap.heard.load(Relaxed) {
            "the connection was lost in the middle of the head"
        } else {
            "the connection was closed without an answer"
        })
    })
}

/// No instance is ready: the proxy answers.
fn nowhere(missed: Option<Missed>, settings: &Settings, request: &Request<Incoming>) -> Response<ResponseBody> {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let why = if missed.is_some() { "no instance is ready" } else { settings.closed };
    let mut response = own(status, why);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    if let Some(Missed { pool, meter, since }) = missed {
        meter.head(Head::Substitute { status: status.as_u16(), waited: None }, None);
        meter.end(false);
        meter.keep(FailedRequest {
            at: since,
            method: request.method().as_str().into(),
            path: shown_path(request.uri()),
            status: Some(status.as_u16()),
            instance: None,
            error: Some(why.into()),
        });
        mark(&mut response, &pool, &settings.spec);
    }
    response
}

/// No instance answered: the proxy does.
fn fail(ticket: Ticket, failure: &Failure, arrived: Instant) -> Response<ResponseBody> {
    let (status, waited) = match failure {
        Failure::TimedOut(_) => (StatusCode::GATEWAY_TIMEOUT, Some(arrived.elapsed())),
        _ => (StatusCode::BAD_GATEWAY, None),
    };
    let head = Head::Substitute { status: status.as_u16(), waited };
    if matches!(failure, Failure::Cut) {
        // It was we who did not wait for the instance.
        ticket.meter.head(head, None);
    } else {
        ticket.meter.upstream_failed();
        ticket.head(head);
    }
    let error = Text::from(failure.to_string());
    ticket.meter.keep(failed(&ticket, status, Some(error)));
    ticket.done();
    // What exactly went wrong inside is for the console, not for the public.
    own(status, if waited.is_some() { "no answer in time" } else { "no answer" })
}

fn failed(ticket: &Ticket, status: StatusCode, error: Option<Text>) -> FailedRequest {
    FailedRequest {
        at: ticket.active.since,
        method: ticket.active.method(),
        path: ticket.active.path(),
        status: Some(status.as_u16()),
        instance: Some(ticket.instance.upstream.instance.clone()),
        error,
    }
}

/// An answer of the proxy itself.
fn own(status: StatusCode, text: &str) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::own(&format!("{} {text}\n", status.as_str())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Says which version answered, if configured.
fn mark(response: &mut Response<ResponseBody>, pool: &PoolId, settings: &ProxySpec) {
    if settings.version_header
        && let Ok(version) = HeaderValue::from_str(pool.version.as_str())
    {
        response.headers_mut().insert(headers::VERSION, version);
    }
}
