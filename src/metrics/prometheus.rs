//! A Prometheus-like server: Prometheus, Thanos, Mimir, `VictoriaMetrics`, and whatever else answers
//! <https://prometheus.io/docs/prometheus/latest/querying/api/>.
//!
//! ```text
//! access   headers that prove who we are  ─┐
//! client   TLS, limits, one exchange      ─┴─► bytes ─► answer (by the types of wire) ─► series
//! ```
//!
//! Nothing is asked twice, except that a proof that was refused is renewed once. Every answer is bounded
//! in time and size. What is under way at once is bounded for each server, whoever asks it
//! ([`Servers`]), and a server that wants to be left alone is. Whoever drops a future closes its
//! connection, so the server stops computing.

pub mod access;
mod alerts;
mod answer;
mod client;
mod contact;
mod files;
mod servers;
mod wire;

use super::{Alert, Answer, Metrics, Trouble};
use crate::{
    cause::innermost,
    clock::Clock,
    model::{
        backend::Backend,
        text::Text,
        time::{Time, span},
    },
};
use access::{Auth, Header, Keeper, Lookup, Proof, Sources};
pub use client::Tls;
use client::{Maker, Received, seconds};
use contact::{Contact, State};
use reqwest::{
    Method, Request, Url,
    header::{ACCEPT, ACCEPT_ENCODING, HOST, HeaderValue},
};
pub use servers::Servers;
use servers::{NoTurn, Server};
use std::{collections::BTreeMap, ffi::OsString, sync::Arc, time::Duration};

/// Larger answers are decoded aside, so that nobody waits for that.
const SMALL: usize = 128 << 10;

/// Sent with every query unless configured otherwise. `VictoriaMetrics` answers what is computed as of 30 s ago
/// (`-search.latencyOffset`), whatever time is asked for, except to these; others ignore them.
/// <https://docs.victoriametrics.com/keyconcepts/#query-latency>: `latency_offset` since 1.85.2, before that
/// `nocache`, which is for instant queries alone.
const AS_OF_NOW: [(&str, &str); 2] = [("nocache", "1"), ("latency_offset", "0s")];

/// Where a server is, who we are there, and how much it may take.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Up to where `/api/v1` begins: `https://prom.example.org/prometheus`. Without user and query.
    pub url: Url,
    /// From sending a question to the end of its answer; also told to the server.
    pub timeout: Duration,
    /// So many questions at once, with what others ask the same server; further ones wait.
    pub concurrency: usize,
    /// The longest answer, in bytes.
    pub body_limit: usize,
    /// An HTTP proxy; those of the environment are not used.
    pub proxy: Option<Url>,
    /// Who we are.
    pub auth: Auth,
    /// Headers of every request, such as `X-Scope-OrgID`.
    pub headers: BTreeMap<String, Header>,
    /// Certificates.
    pub tls: Tls,
    /// Parameters of every request, such as `partial_response`.
    pub parameters: BTreeMap<String, String>,
    /// What starts a program that prints a token apart from our terminal: [`crate::helper::launcher`].
    pub launcher: Vec<OsString>,
    /// Where variables of our environment are looked up.
    pub lookup: Lookup,
}

/// A client of one server. Clones share its connections.
#[derive(Clone)]
pub struct Prometheus(Arc<Inner>);

struct Inner {
    place: Text,
    url: Url,
    /// The host that is told, where the URL has the name of a certificate in its place.
    host: Option<HeaderValue>,
    timeout: Duration,
    body_limit: usize,
    parameters: BTreeMap<String, String>,
    concurrency: usize,
    server: Arc<Server>,
    clients: Maker,
    keeper: Keeper,
    clock: Arc<dyn Clock>,
    contact: Contact,
}

impl Prometheus {
    /// Nothing is read, run or connected yet.
    #[must_use]
    pub fn new(settings: Settings, servers: &Servers) -> Self {
        let Settings { url, timeout, concurrency, body_limit, proxy, auth, headers, tls, parameters, launcher, lookup } = settings;
        let place = client::shown(&url);
        let clients = Maker::new(&url, tls.clone(), proxy);
        let mut told = (url.clone(), None);
        if let Some(name) = &tls.server_name {
            let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
            let host = format!("{}{port}", url.host_str().unwrap_or_default());
            if told.0.set_host(Some(name)).is_ok() {
                told.1 = HeaderValue::from_str(&host).ok();
            }
        }
        let (server, clock) = (servers.at(&url), servers.clock());
        let keeper = Keeper::new(Sources { auth, headers, lookup, launcher }, Arc::clone(&clock));
        let (url, host) = told;
        let contact = Contact::default();
        Self(Arc::new(Inner { place, url, host, timeout, body_limit, parameters, concurrency, server, clients, keeper, clock, contact }))
    }

    /// What a query is now, by the server's clock.
    async fn now(&self, query: &str) -> Result<Answer, Trouble> {
        self.query("query", vec![("query", query.to_owned())]).await
    }

    async fn between(&self, query: &str, from: Time, to: Time, step: Duration) -> Result<Answer, Trouble> {
        let parameters = vec![("query", query.to_owned()), ("start", unix(from)), ("end", unix(to)), ("step", seconds(step))];
        self.query("query_range", parameters).await
    }

    async fn query(&self, endpoint: &str, parameters: Vec<(&str, String)>) -> Result<Answer, Trouble> {
        let answer = self.asked(endpoint, parameters).await;
        self.0.contact.heard(&answer, self.0.clock.now());
        answer
    }

    /// Asks by POST: a query may be longer than an address.
    async fn asked(&self, endpoint: &str, mut parameters: Vec<(&str, String)>) -> Result<Answer, Trouble> {
        parameters.push(("timeout", seconds(self.0.timeout)));
        let wanted = AS_OF_NOW.iter().filter(|(name, _)| !self.0.parameters.contains_key(*name));
        parameters.extend(wanted.map(|(name, value)| (*name, (*value).to_owned())));
        let received = self.ask(Method::POST, endpoint, &parameters).await?;
        let ahead = received.ahead;
        let (series, notes) = if received.body.len() <= SMALL {
            answer::query(&self.0.place, &received.head, &received.body)?
        } else {
            let place = self.0.place.clone();
            let decoded = tokio::task::spawn_blocking(move || answer::query(&place, &received.head, &received.body)).await;
            decoded
                .map_err(|e| Trouble::Protocol { place: self.0.place.clone(), what: format!("its answer was not decoded: {e}").into() })??
        };
        Ok(Answer { series, warnings: notes.warnings, infos: notes.infos, ahead })
    }

    /// Asks for a list by GET.
    async fn list(&self, endpoint: &str) -> Result<Received, Trouble> {
        self.ask(Method::GET, endpoint, &[]).await
    }

    /// One question and its answer, whatever it says. A proof that is refused is renewed once.
    async fn ask(&self, method: Method, endpoint: &str, parameters: &[(&str, String)]) -> Result<Received, Trouble> {
        let without = |why: String| Trouble::NoCredential { place: self.0.place.clone(), why: why.into() };
        let proof = self.0.keeper.proof().await.map_err(without)?;
        let received = self.once(&method, endpoint, parameters, &proof).await?;
        if received.head.status != 401 {
            return Ok(received);
        }
        match self.0.keeper.renew(&proof).await.map_err(without)? {
            Some(renewed) => self.once(&method, endpoint, parameters, &renewed).await,
            None => Ok(received),
        }
    }

    async fn once(&self, method: &Method, endpoint: &str, parameters: &[(&str, String)], proof: &Proof) -> Result<Received, Trouble> {
        let inner = &*self.0;
        let without = |why: String| Trouble::NoCredential { place: inner.place.clone(), why: why.into() };
        let client = inner.clients.client().await.map_err(without)?;
        let request = self.request(&client, method, endpoint, parameters, proof)?;
        let _turn = inner.server.turn(inner.concurrency).await.map_err(|none| match none {
            NoTurn::Spared(rest, status) => {
                let why = format!("it answered {status}, and wants to be left alone").into();
                Trouble::Busy { place: inner.place.clone(), why, after: Some(rest) }
            }
            NoTurn::Closed(e) => without(e.to_string()),
        })?;
        let exchange = client::exchange(&client, request, &inner.place, inner.body_limit, &*inner.clock);
        match tokio::time::timeout(inner.timeout, exchange).await {
            Ok(done) => {
                if let Ok(Received { head, .. }) = &done {
                    inner.server.heed(head.status, head.after);
                }
                done
            }
            Err(_) => Err(Trouble::Slow { place: inner.place.clone(), seconds: inner.timeout.as_secs_f64().ceil() as u64 }),
        }
    }

    fn request(
        &self,
        client: &reqwest::Client,
        method: &Method,
        endpoint: &str,
        parameters: &[(&str, String)],
        proof: &Proof,
    ) -> Result<Request, Trouble> {
        let mut url = self.0.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["api", "v1", endpoint]);
        }
        let own = self.0.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let all: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (*name, value.as_str())).chain(own).collect();
        // A form sets its own content type.
        let request = if method == Method::POST { client.post(url).form(&all) } else { client.request(method.clone(), url).query(&all) };
        let mut headers = proof.headers.clone();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.extend(self.0.host.clone().map(|host| (HOST, host)));
        let what = |e| Trouble::Protocol { place: self.0.place.clone(), what: format!("it cannot be asked: {}", innermost(&e)).into() };
        request.headers(headers).build().map_err(what)
    }
}

impl Metrics for Prometheus {
    async fn instant(&self, query: &str, at: Time) -> Result<Answer, Trouble> {
        self.query("query", vec![("query", query.to_owned()), ("time", unix(at))]).await
    }

    async fn range(&self, query: &str, from: Time, to: Time, step: Duration) -> Result<Answer, Trouble> {
        self.between(query, from, to, step).await
    }

    async fn alerts(&self) -> Result<Vec<Alert>, Trouble> {
        alerts::firing(self).await
    }

    fn place(&self) -> &Text {
        &self.0.place
    }

    fn met(&self) -> Option<Backend> {
        let Inner { place, concurrency, timeout, body_limit, .. } = &*self.0;
        let State { answers, trouble, ahead } = self.0.contact.state();
        let limits = format!("{concurrency} questions at once, {} each, {} KiB", span(*timeout), body_limit.div_ceil(1 << 10));
        Some(Backend { place: place.clone(), limits: limits.into(), answers, trouble, ahead })
    }
}

/// Seconds since 1970, to the millisecond, as this API has it.
fn unix(time: Time) -> String {
    let millis = time.timestamp_millis();
    format!("{}{}.{:03}", if millis < 0 { "-" } else { "" }, millis.unsigned_abs() / 1000, millis.unsigned_abs() % 1000)
}
