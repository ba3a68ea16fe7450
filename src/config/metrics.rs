//! `[metrics]`: where signals come from, and what is asked there.

use super::{Loaded, Origin};
use crate::{
    helper,
    metrics::{
        self,
        alerts::Rule,
        feed::Pace,
        preset::{Queries, Written},
        prometheus::{
            Settings, Tls,
            access::{Auth, Header},
        },
    },
    model::{spec::SecretSource, time::human},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// `[metrics]`: where signals come from. Of a target, the same as `[target.metrics]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// What is asked. What follows belongs to `prometheus`.
    pub kind: MetricsKind,
    /// Up to where `/api/v1` begins.
    pub url: Option<String>,
    /// What the series are called: one of [`crate::metrics::preset::names`].
    pub preset: String,
    /// How often it is asked; at least how often it scrapes.
    #[serde(with = "human")]
    pub every: Duration,
    /// How late samples arrive.
    #[serde(with = "human")]
    pub delay: Duration,
    /// From a question to the end of its answer.
    #[serde(with = "human")]
    pub timeout: Duration,
    /// So many questions at once, of all that this process asks the server.
    pub concurrency: usize,
    /// The longest answer, in bytes.
    pub body_limit: usize,
    /// An HTTP proxy; those of the environment are not used.
    pub proxy: Option<String>,
    /// Who we are.
    pub auth: Option<AuthConfig>,
    /// Headers of every request.
    pub headers: BTreeMap<String, HeaderConfig>,
    /// Certificates.
    pub tls: Option<TlsConfig>,
    /// Parameters of every request.
    pub parameters: BTreeMap<String, String>,
    /// What `{{name}}` in a query is, besides what a rollout itself says.
    pub variables: BTreeMap<String, String>,
    /// An alert is a service's when one of these labels has its name.
    pub alert_labels: Vec<String>,
    /// Labels that an alert must have besides, each with this value.
    pub alert_matchers: BTreeMap<String, String>,
    /// Whether what a rollout's own analyses ask of a Prometheus is judged too. Of a cluster.
    pub analysis: bool,
    /// Queries instead of those of the preset, by their names.
    pub query: BTreeMap<String, QueryConfig>,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            kind: MetricsKind::Host,
            url: None,
            preset: "host".into(),
            every: Duration::from_secs(15),
            delay: Duration::ZERO,
            timeout: Duration::from_secs(4),
            concurrency: 4,
            body_limit: 16 << 20,
            proxy: None,
            auth: None,
            headers: BTreeMap::new(),
            tls: None,
            parameters: BTreeMap::new(),
            variables: BTreeMap::new(),
            alert_labels: ["service", "app", "job", "deployment", "rollout"].map(Into::into).to_vec(),
            alert_matchers: BTreeMap::new(),
            analysis: false,
            query: BTreeMap::new(),
        }
    }
}

/// What is asked for signals.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricsKind {
    /// The counters of the host's own proxy.
    #[default]
    Host,
    /// A Prometheus-like server.
    Prometheus,
}

/// How we prove who we are: exactly one of these. Secrets are named by their place, never written here.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AuthConfig {
    /// By a name and a password.
    Basic {
        /// The name.
        user: String,
        /// Where the password is.
        password: SecretSource,
    },
    /// By a token.
    Bearer(SecretSource),
    /// By a token that a program prints.
    BearerCommand(Vec<String>),
}

/// The value of a header.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged, expecting = "write a text, or for a secret { file = \"…\" } or { env = \"…\" }")]
pub enum HeaderConfig {
    /// As it is.
    Plain(String),
    /// Where it is.
    Secret(SecretSource),
}

/// Certificates, beside the authorities that the system trusts. PEM files.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Authorities that are trusted too.
    pub ca: Option<PathBuf>,
    /// Our certificate.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// The name that the server's certificate is for, where that is not the host of the URL. Not through a
    /// proxy, which would be told this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

/// A query: the same for both versions, or one for each.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged, expecting = "write a query, or { stable = \"…\", canary = \"…\" }")]
pub enum QueryConfig {
    /// For both.
    One(String),
    /// For each.
    Each(Both),
}

/// A query for each version.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Both {
    /// For stable.
    pub stable: String,
    /// For the candidate.
    pub canary: String,
}

impl From<&QueryConfig> for Written {
    fn from(query: &QueryConfig) -> Self {
        match query.clone() {
            QueryConfig::One(query) => Self::One(query),
            QueryConfig::Each(Both { stable, canary }) => Self::Pair { stable, canary },
        }
    }
}

impl QueryConfig {
    /// Every text of it, by the key that it stands under.
    pub fn texts(&self) -> impl Iterator<Item = (Option<&'static str>, &str)> {
        let (one, each) = match self {
            Self::One(query) => (Some((None, query.as_str())), None),
            Self::Each(both) => (None, Some([(Some("stable"), both.stable.as_str()), (Some("canary"), both.canary.as_str())])),
        };
        one.into_iter().chain(each.into_iter().flatten())
    }
}

impl MetricsConfig {
    /// How often it is asked.
    #[must_use]
    pub const fn pace(&self) -> Pace {
        Pace { every: self.every, delay: self.delay }
    }

    /// By what an alert is a service's.
    #[must_use]
    pub fn alerts(&self) -> Rule {
        Rule { labels: self.alert_labels.clone(), matchers: self.alert_matchers.clone() }
    }

    /// What is asked: the preset's queries, and those that stand here instead; nothing where a cluster's
    /// own analyses say all of it.
    ///
    /// # Errors
    /// In one line, for what [`super::parse`] refuses.
    pub fn queries(&self) -> Result<Queries, String> {
        // No cluster has the series of this program's own host.
        if self.analysis && self.preset == Self::default().preset && self.query.is_empty() {
            return Ok(Queries::none());
        }
        Queries::of(&self.preset, &self.query.iter().map(|(name, query)| (name.clone(), query.into())).collect())
    }

    /// What a client of the server is made of; `None` where no server is asked, and for a URL that
    /// [`super::parse`] refuses.
    #[must_use]
    pub fn prometheus(&self) -> Option<Settings> {
        if self.kind != MetricsKind::Prometheus {
            return None;
        }
        let header = |value: &HeaderConfig| match value {
            HeaderConfig::Plain(value) => Header::Plain(value.clone()),
            HeaderConfig::Secret(source) => Header::Secret(source.clone()),
        };
        let tls = self.tls.clone().unwrap_or_default();
        Some(Settings {
            url: self.url.as_ref()?.parse().ok()?,
            timeout: self.timeout,
            concurrency: self.concurrency,
            body_limit: self.body_limit,
            proxy: self.proxy.as_ref().and_then(|proxy| proxy.parse().ok()),
            auth: match &self.auth {
                None => Auth::None,
                Some(AuthConfig::Basic { user, password }) => Auth::Basic { user: user.clone(), password: password.clone() },
                Some(AuthConfig::Bearer(source)) => Auth::Bearer(source.clone()),
                Some(AuthConfig::BearerCommand(command)) => Auth::BearerCommand(command.clone()),
            },
            headers: self.headers.iter().map(|(name, value)| (name.clone(), header(value))).collect(),
            tls: Tls { ca: tls.ca, identity: tls.cert.zip(tls.key), server_name: tls.server_name },
            parameters: self.parameters.clone(),
            launcher: helper::launcher(),
            lookup: super::secret,
        })
    }
}

impl Loaded {
    /// Where the queries of `metrics` are written, which stand at `at`: `metrics`, `target.N.metrics`.
    #[must_use]
    pub fn queries_at(&self, at: &str, metrics: &MetricsConfig) -> metrics::Origin {
        let line = |name: &String| match self.origins.of(&format!("{at}.query.{name}")) {
            Origin::File { line } => Some((name.clone(), line)),
            _ => None,
        };
        metrics::Origin { preset: metrics.preset.clone(), lines: metrics.query.keys().filter_map(line).collect() }
    }
}
