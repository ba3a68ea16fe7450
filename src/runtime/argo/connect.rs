//! From a kubeconfig to a client, as kubectl does it, with two differences: credential plugins are run by
//! us (`plugin`), because the terminal belongs to the console, and nothing at all happens before the
//! first request.

pub mod account;
pub mod kubeconfig;
pub mod plugin;
pub mod proxy;
pub mod why;

use crate::{
    clock::Clock,
    helper,
    model::{ident::TargetId, text::Text, time::Time},
    runtime::{Fault, argo::time::ServerTime},
};
use account::Account;
use hyper::{Request, Response, StatusCode, header};
use kube::{Client, client::Body};
use kubeconfig::{Resolved, Source};
use plugin::Credential;
use proxy::Proxies;
use secrecy::ExposeSecret;
use std::{ffi::OsString, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// A credential is renewed so long before it expires.
const EARLY: Duration = Duration::from_secs(60);
/// A credential that expires even sooner is used for so long all the same.
const AT_LEAST: Duration = Duration::from_secs(20);
/// How long a file with a token is believed before it is read again.
const TOKEN_FILE: Duration = Duration::from_secs(60);
/// From sending a request to the head of its answer. With the limits of a connection and of a body that stops
/// half-way it bounds what a command waits for a cluster that does not answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Where a cluster is and who we are there.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the configuration calls it.
    pub target: TargetId,
    /// Kubeconfig files, the first one wins; those that are not there are passed over.
    pub kubeconfig: Vec<PathBuf>,
    /// The context; the current one of the kubeconfig when absent.
    pub context: Option<String>,
    /// The namespaces to look at; all of them, as far as that is allowed, when there are none.
    pub namespaces: Vec<String>,
    /// Another user to act as.
    pub acts_as: Option<String>,
    /// The account of the pod that this process runs in, which is used when there is no kubeconfig.
    pub account: Option<Account>,
    /// Proxies of the environment.
    pub proxies: Proxies,
    /// What starts a credential plugin apart from our terminal: a program and arguments that the plugin's
    /// are added to. Nothing starts it directly.
    pub launcher: Vec<OsString>,
}

impl Settings {
    /// Of a target whose kubeconfig says everything else.
    #[must_use]
    pub fn of(target: TargetId) -> Self {
        Self {
            target,
            kubeconfig: Vec::new(),
            context: None,
            namespaces: Vec::new(),
            acts_as: None,
            account: None,
            proxies: Proxies::default(),
            launcher: Vec::new(),
        }
    }

    /// What faults call it: nothing of it was looked at yet.
    #[must_use]
    pub fn place(&self) -> Text {
        match &self.context {
            Some(context) => format!("context {context}").into(),
            None => "the current context".into(),
        }
    }
}

/// One cluster: its kubeconfig, the credential in use and the client that has it.
pub struct Session {
    settings: Settings,
    clock: Arc<dyn Clock>,
    time: ServerTime,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    resolved: Option<Arc<Resolved>>,
    live: Option<Live>,
    generation: u64,
}

/// A client with a credential.
#[derive(Clone)]
struct Live {
    client: Client,
    credential: Credential,
    /// When the credential must be renewed ([`Clock::uptime`]).
    until: Option<Duration>,
    generation: u64,
}

impl Session {
    /// Nothing is read, run or connected yet.
    #[must_use]
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Self {
        Self { settings, clock, time: ServerTime::default(), state: Mutex::default() }
    }

    /// One whose requests this answers instead of a cluster.
    #[cfg(test)]
    pub(super) fn answered_by(router: axum::Router, clock: Arc<dyn Clock>) -> Self {
        let live = Live { client: Client::new(router, "shop"), credential: Credential::default(), until: None, generation: 1 };
        let state = State { resolved: Some(Arc::new(Resolved::nowhere())), live: Some(live), generation: 1 };
        Self { settings: Settings::of(TargetId::new("t")), clock, time: ServerTime::default(), state: Mutex::new(state) }
    }

    /// The server's clock now, as far as its answers told.
    #[must_use]
    pub fn now(&self) -> Time {
        self.time.at(self.clock.now())
    }

    /// What it was made from.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Reads the kubeconfig again: a credential is kept only while nothing there has changed.
    ///
    /// # Errors
    /// [`Fault::Unusable`].
    pub async fn resolve(&self) -> Result<Arc<Resolved>, Fault> {
        let settings = self.settings.clone();
        // Files on a slow or hanging disk hold up nobody else.
        let read = tokio::task::spawn_blocking(move || kubeconfig::resolve(&settings)).await;
        let fresh = read.map_err(|e| self.unusable(&format!("reading its configuration failed: {e}")))??;
        let mut state = self.state.lock().await;
        match &state.resolved {
            Some(known) if known.same(&fresh) => Ok(Arc::clone(known)),
            _ => {
                let fresh = Arc::new(fresh);
                (state.resolved, state.live) = (Some(Arc::clone(&fresh)), None);
                Ok(fresh)
            }
        }
    }

    /// Sends a request and returns the head of its answer with the body that follows. A credential that was
    /// refused is renewed once, if it can be.
    ///
    /// # Errors
    /// Why there is no answer; an answer that says no is an answer.
    pub async fn send(&self, path: &str) -> Result<Response<Body>, Fault> {
        let live = self.live().await?;
        let response = self.once(&live, path).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let renewed = self.renew(live.generation).await?;
        let response = self.once(&renewed, path).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            return Err(self.refused());
        }
        Ok(response)
    }

    async fn once(&self, live: &Live, path: &str) -> Result<Response<Body>, Fault> {
        let request = Request::get(path).header("accept", "application/json").header("accept-encoding", "identity");
        let request = request.body(Body::empty()).map_err(|e| self.unusable(&format!("no such path: {e}")))?;
        let sent = self.clock.now();
        match tokio::time::timeout(ANSWER, live.client.send(request)).await {
            Ok(Ok(response)) => {
                if let Some(date) = response.headers().get(header::DATE).and_then(|date| date.to_str().ok()) {
                    self.time.heard(date, sent, self.clock.now());
                }
                Ok(response)
            }
            Ok(Err(error)) => Err(why::fault(&self.place().await, &error)),
            Err(_) => Err(Fault::Silent { place: self.place().await, seconds: ANSWER.as_secs() }),
        }
    }

    async fn live(&self) -> Result<Live, Fault> {
        let resolved = {
            let state = self.state.lock().await;
            state.resolved.clone()
        };
        let resolved = match resolved {
            Some(resolved) => resolved,
            None => self.resolve().await?,
        };
        // Held while a plugin runs, so that it runs once for all who wait.
        let mut state = self.state.lock().await;
        match &state.live {
            Some(live) if live.until.is_none_or(|until| self.clock.uptime() < until) => Ok(live.clone()),
            _ => self.connect(&mut state, &resolved).await,
        }
    }

    /// After a 401: another client has been made since, or a new credential is asked for.
    async fn renew(&self, refused: u64) -> Result<Live, Fault> {
        let mut state = self.state.lock().await;
        let Some(resolved) = state.resolved.clone() else { return Err(self.refused()) };
        match &state.live {
            Some(live) if live.generation != refused => Ok(live.clone()),
            before => {
                if matches!(resolved.source, Source::Fixed) {
                    return Err(self.refused());
                }
                let before = before.as_ref().map(|live| live.credential.clone());
                let live = self.connect(&mut state, &resolved).await?;
                if before.is_some_and(|before| before.same(&live.credential)) { Err(self.refused()) } else { Ok(live) }
            }
        }
    }

    async fn connect(&self, state: &mut State, resolved: &Resolved) -> Result<Live, Fault> {
        let credential = self.credential(resolved).await?;
        let mut config = resolved.config.clone();
        if let Some(token) = &credential.token {
            config.auth_info.token = Some(token.clone());
        }
        if let Some((certificate, key)) = &credential.certificate {
            use base64::{Engine, engine::general_purpose::STANDARD};
            config.auth_info.client_certificate_data = Some(STANDARD.encode(certificate));
            config.auth_info.client_key_data = Some(STANDARD.encode(key.expose_secret()).into());
        }
        crate::tls::ready();
        let client = Client::try_from(config).map_err(|error| why::unusable(&resolved.place, &error))?;
        state.generation += 1;
        let until = self.until(resolved, credential.expires);
        let live = Live { client, credential, until, generation: state.generation };
        state.live = Some(live.clone());
        Ok(live)
    }

    async fn credential(&self, resolved: &Resolved) -> Result<Credential, Fault> {
        let none = |what: String| Fault::NoCredential { place: resolved.place.clone(), what: what.into() };
        match &resolved.source {
            Source::Fixed => Ok(Credential::default()),
            Source::TokenFile { path, otherwise } => {
                let file = path.clone();
                let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(file)).await;
                match (read, otherwise) {
                    (Ok(Ok(token)), _) => Ok(Credential { token: Some(token.trim().into()), ..Credential::default() }),
                    (_, Some(token)) => Ok(Credential { token: Some(token.clone()), ..Credential::default() }),
                    (Ok(Err(e)), None) => Err(none(format!("the token file {}: {e}", path.display()))),
                    (Err(e), None) => Err(none(format!("the token file {}: {e}", path.display()))),
                }
            }
            Source::Plugin(plugin) => plugin::run(plugin, &self.settings.launcher, helper::LIMIT).await.map_err(none),
        }
    }

    /// When a credential must be renewed.
    fn until(&self, resolved: &Resolved, expires: Option<Time>) -> Option<Duration> {
        let uptime = self.clock.uptime();
        if matches!(resolved.source, Source::TokenFile { .. }) {
            return Some(uptime + TOKEN_FILE);
        }
        let left = (expires? - self.clock.now()).to_std().unwrap_or_default();
        Some(uptime + left.saturating_sub(EARLY).max(AT_LEAST))
    }

    /// What faults call it, as exactly as is known.
    pub async fn place(&self) -> Text {
        let state = self.state.lock().await;
        state.resolved.as_ref().map_or_else(|| self.settings.place(), |resolved| resolved.place.clone())
    }

    fn refused(&self) -> Fault {
        let what = "the credential was refused (401): it has expired or was revoked, log in again".into();
        Fault::Denied { place: self.settings.place(), what }
    }

    fn unusable(&self, what: &str) -> Fault {
        Fault::Unusable { place: self.settings.place(), what: what.into() }
    }
}

#[cfg(test)]
mod tests;
