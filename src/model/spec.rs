//! A service as its owner configured it. `deploy` freezes this into version and run.

use super::{
    code::Code,
    digest::Digest,
    ident::{GateId, VersionId},
    ratio::Weight,
    routing::Routing,
    rules::Rules,
    signal::SignalId,
    step::StepSpec,
    time::human,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

/// One `[[service]]` of the configuration.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceSpec {
    /// What it is called: lower-case letters, digits, `-`, `_`, `.`; at most 63.
    pub name: String,
    /// Where the weighted proxy listens for the service's traffic. A change in the file is used from the
    /// first start of the host on that finds a version deployed with it stable.
    pub listen: SocketAddr,
    /// Where a candidate without traffic is reached while the plan shows it; not counted as traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview_listen: Option<SocketAddr>,
    /// Program and arguments; relative paths start in the unpacked artifact, `{port}` is replaced.
    pub command: Vec<String>,
    /// The whole environment besides `PATH`, `HOME`, `TMPDIR` and `PORT`.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Environment variables whose values are read when an instance starts and are kept nowhere.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretSource>,
    /// The system user to run as; the host's own when absent.
    #[serde(default)]
    pub user: Option<String>,
    /// Instances of each version, 1 to 100.
    #[serde(default = "one")]
    pub instances: u32,
    /// When an instance may get traffic. Required: without it nothing can be said about an instance.
    pub readiness: Probe,
    /// When an instance must be replaced; absent means only when it exits.
    #[serde(default)]
    pub liveness: Option<Probe>,
    /// How an instance that ended is started again.
    #[serde(default)]
    pub restart: Restart,
    /// How long an instance may finish its requests before it is killed.
    #[serde(default = "thirty_seconds", with = "human")]
    pub drain: Duration,
    /// How requests are passed on.
    #[serde(default)]
    pub proxy: ProxySpec,
    /// Who gets which version, beside the plain share.
    #[serde(default)]
    pub routing: Routing,
    /// How a candidate replaces stable.
    #[serde(default)]
    pub strategy: Strategy,
    /// The plan: what happens in which order after the candidate is ready. 100 % follows by itself. A
    /// canary needs one.
    #[serde(default)]
    pub steps: Vec<StepSpec>,
    /// The size of a batch, where the strategy replaces instances in batches.
    #[serde(default)]
    pub rolling: Rolling,
    /// How long a candidate may take to become ready.
    #[serde(default)]
    pub deadline: Deadline,
    /// Rules over signals; judged from the candidate's first traffic on.
    #[serde(default, rename = "gate")]
    pub gates: Vec<GateSpec>,
    /// How long the old instances are kept after a promotion, so that the way back stays a switch.
    #[serde(default = "ten_minutes", with = "human")]
    pub keep_warm: Duration,
    /// How long a version must have had all the traffic without a failed gate before it is called good:
    /// only then is it the first choice for the way back. Zero: at once.
    #[serde(default = "one_day", with = "human")]
    pub bake: Duration,
    /// How long after it is ready the memory of an instance may grow before that is a leak, and how long its
    /// latencies are not compared with its siblings'.
    #[serde(default = "two_minutes", with = "human")]
    pub warmup: Duration,
    /// How many artifacts to keep in the store for the way back, at least 2.
    #[serde(default = "five")]
    pub keep: u32,
}

/// Where a secret's value is when an instance starts. The value is never in this type.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum SecretSource {
    /// The content of a file, without its last line end.
    File(PathBuf),
    /// A variable of the host's own environment.
    Env(String),
}

/// An HTTP request that says whether an instance works: 200 to 399 is yes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Path and query, from `/`.
    pub path: String,
    /// Between the starts of two probes.
    #[serde(default = "one_second", with = "human")]
    pub interval: Duration,
    /// No answer within this is a failure.
    #[serde(default = "one_second", with = "human")]
    pub timeout: Duration,
    /// This many answers in a row make it good.
    #[serde(default = "one")]
    pub successes: u32,
    /// This many failures in a row make it bad.
    #[serde(default = "three")]
    pub failures: u32,
}

/// The pause before an instance that ended is started again: doubled each time, reset when it ran
/// for longer than `max` after becoming ready.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Restart {
    /// The first pause.
    #[serde(with = "human")]
    pub min: Duration,
    /// The longest pause.
    #[serde(with = "human")]
    pub max: Duration,
}

/// How requests are passed on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProxySpec {
    /// From the request's arrival to the response head, all tries together.
    #[serde(with = "human")]
    pub timeout: Duration,
    /// From sending one try to its response head.
    #[serde(with = "human")]
    pub try_timeout: Duration,
    /// Answers say which version gave them, in the header `x-cutover-version`.
    pub version_header: bool,
    /// Peers (addresses) whose `X-Forwarded-*` are kept.
    pub trusted_proxies: Vec<std::net::IpAddr>,
}

/// How a candidate replaces stable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// A growing share of the traffic.
    #[default]
    Canary,
    /// The candidate is complete and reachable on a port of its own before all traffic is switched at once.
    BlueGreen,
    /// Instances are replaced in batches; the share follows the instances.
    Rolling,
    /// The old version ends before the new one starts: the service is away in between.
    Recreate,
}

impl Strategy {
    /// Its word in JSON, configuration and on the screen.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::BlueGreen => "blue-green",
            Self::Rolling => "rolling",
            Self::Recreate => "recreate",
        }
    }
}

/// The size of a batch of a rolling replacement, in instances.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rolling {
    /// How many instances there may be above what is configured, of both versions together.
    pub surge: u32,
    /// How many of those configured may be missing, of both versions together.
    pub unavailable: u32,
}

/// How long a candidate may take to become ready, and what happens then.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Deadline {
    /// From the start of its instances to all of them ready.
    #[serde(with = "human")]
    pub ready: Duration,
    /// What follows when it is missed.
    pub on_fail: OnFail,
}

/// What a failed gate or a missed deadline does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFail {
    /// Nothing moves by itself any more; a person decides.
    #[default]
    Hold,
    /// All traffic goes back to stable at once.
    Revert,
    /// It is shown and nothing else.
    Advise,
}

/// One `[[service.gate]]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateSpec {
    /// What it is called.
    pub name: GateId,
    /// What it looks at.
    pub signal: GateSignal,
    /// What the candidate must stay under whatever stable does: percent of requests (5 when unset, or what
    /// burns the budget of its `slo` 14.4 times as fast as it lasts, if that is less);
    /// restarts per instance and hour (6 when unset); milliseconds for quantiles (none when unset).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    /// As how many times stable's ratio the candidate must be shown not to be, to pass.
    #[serde(default = "three_times")]
    pub r_max: f64,
    /// Percent of requests that must be good; with it burn rates are shown and `budget` counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slo: Option<f64>,
    /// Percent of the 30 days' error budget that one run may spend; only with an `slo`.
    #[serde(default = "one_percent")]
    pub budget: f64,
    /// What counts as an error.
    #[serde(default = "Code::usual")]
    pub errors: Vec<Code>,
    /// How often it is judged, each time on what came since.
    #[serde(default = "ten_seconds", with = "human")]
    pub interval: Duration,
    /// How long after an instance got ready its latencies are shown and not judged.
    #[serde(default = "thirty_seconds", with = "human")]
    pub warmup: Duration,
    /// What a failure does.
    #[serde(default)]
    pub on_fail: OnFail,
    /// How other tools are set whose rules are told beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Rules>,
    /// Retired: refused in a configuration, ignored in a version that was deployed with it.
    #[serde(default, skip_serializing, rename = "margin")]
    pub retired_margin: Option<f64>,
    /// Retired, likewise.
    #[serde(default, skip_serializing, rename = "min_requests")]
    pub retired_min_requests: Option<u64>,
}

impl GateSpec {
    /// With everything at its default.
    #[must_use]
    pub fn new(name: GateId, signal: GateSignal) -> Self {
        Self {
            name,
            signal,
            limit: None,
            r_max: three_times(),
            slo: None,
            budget: one_percent(),
            errors: Code::usual(),
            interval: ten_seconds(),
            warmup: thirty_seconds(),
            on_fail: OnFail::default(),
            rules: None,
            retired_margin: None,
            retired_min_requests: None,
        }
    }

    /// [`GateSpec::limit`], or what it is when unset.
    #[must_use]
    pub fn limit(&self) -> Option<f64> {
        match (self.limit, self.signal) {
            (Some(limit), _) => Some(limit),
            (None, GateSignal::Errors | GateSignal::Slow | GateSignal::Timeouts) => {
                // Rounded, as 100 - 99.9 is not a tenth.
                let pages = self.slo.map(|slo| (PAGES * (100.0 - slo) * 1e6).round() / 1e6);
                Some(pages.map_or(SHARE, |pages| pages.min(SHARE)))
            }
            (None, GateSignal::Restarts) => Some(6.0),
            (None, GateSignal::P50 | GateSignal::P95 | GateSignal::P99 | GateSignal::Alerts) => None,
        }
    }

    /// What a failure does; a quantile only advises, whatever is configured.
    #[must_use]
    pub const fn on_fail(&self) -> OnFail {
        if self.signal.quantile().is_some() { OnFail::Advise } else { self.on_fail }
    }
}

/// The usual limit of a share of requests, in percent.
const SHARE: f64 = 5.0;
/// With an `slo` it is at most the burn rate that pages somebody within the hour (Site Reliability Workbook,
/// chapter "Alerting on SLOs"): a version that pages is not under its limit.
const PAGES: f64 = 14.4;

/// What a gate looks at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GateSignal {
    /// Share of requests that ended in an error or not at all.
    Errors,
    /// Share of requests slower than stable's p99 was when the run started.
    Slow,
    /// Share of requests that were not answered in time.
    Timeouts,
    /// Restarts of instances, per ready instance and time.
    Restarts,
    /// Median latency; only advice.
    P50,
    /// 95th percentile of the latency; only advice.
    P95,
    /// 99th percentile of the latency; only advice.
    P99,
    /// Alerts of a metrics backend about the service that began after the run did; no statistics.
    Alerts,
}

impl GateSignal {
    /// Its word in configuration, JSON and on the screen.
    #[must_use]
    pub const fn word(self) -> &'static str {
        self.measured().word()
    }

    /// The measured series.
    #[must_use]
    pub const fn measured(self) -> SignalId {
        match self {
            Self::Errors => SignalId::Errors,
            Self::Slow => SignalId::Slow,
            Self::Timeouts => SignalId::Timeouts,
            Self::Restarts => SignalId::Restarts,
            Self::P50 => SignalId::P50,
            Self::P95 => SignalId::P95,
            Self::P99 => SignalId::P99,
            Self::Alerts => SignalId::Alerts,
        }
    }

    /// Which quantile of the latency it is, if it is one.
    #[must_use]
    pub const fn quantile(self) -> Option<f64> {
        match self {
            Self::P50 => Some(0.5),
            Self::P95 => Some(0.95),
            Self::P99 => Some(0.99),
            Self::Errors | Self::Slow | Self::Timeouts | Self::Restarts | Self::Alerts => None,
        }
    }

    /// Whether it is about latency, which says nothing while an instance warms up.
    #[must_use]
    pub const fn is_latency(self) -> bool {
        matches!(self, Self::Slow) || self.quantile().is_some()
    }
}

/// The part of a service that a version runs with: hashed with the artifact into its [`VersionId`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RuntimeSpec {
    /// See [`ServiceSpec::command`].
    pub command: Vec<String>,
    /// See [`ServiceSpec::environment`].
    pub environment: BTreeMap<String, String>,
    /// See [`ServiceSpec::secrets`]: where they are, not what they are.
    pub secrets: BTreeMap<String, SecretSource>,
    /// See [`ServiceSpec::user`].
    pub user: Option<String>,
    /// See [`ServiceSpec::instances`].
    pub instances: u32,
    /// See [`ServiceSpec::readiness`].
    pub readiness: Probe,
    /// See [`ServiceSpec::liveness`].
    pub liveness: Option<Probe>,
    /// See [`ServiceSpec::restart`].
    pub restart: Restart,
    /// See [`ServiceSpec::drain`].
    #[serde(with = "human")]
    pub drain: Duration,
}

impl ServiceSpec {
    /// What a version of this service runs with.
    #[must_use]
    pub fn runtime(&self) -> RuntimeSpec {
        RuntimeSpec {
            command: self.command.clone(),
            environment: self.environment.clone(),
            secrets: self.secrets.clone(),
            user: self.user.clone(),
            instances: self.instances,
            readiness: self.readiness.clone(),
            liveness: self.liveness.clone(),
            restart: self.restart.clone(),
            drain: self.drain,
        }
    }
}

impl RuntimeSpec {
    /// The hash of this configuration alone; two versions of one artifact differ in it (`cfg≠`).
    #[must_use]
    pub fn hash(&self) -> Digest {
        // Struct fields and BTreeMaps serialise in one order, so equal values give equal bytes.
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// The version of a service that this configuration makes of an artifact.
    #[must_use]
    pub fn version(&self, service: &str, artifact: &Digest) -> VersionId {
        let all = format!("{service}\n{artifact}\n{}", self.hash());
        VersionId::new(Digest::of(all.as_bytes()).short())
    }
}

impl Default for Restart {
    fn default() -> Self {
        Self { min: Duration::from_secs(1), max: Duration::from_secs(60) }
    }
}

impl Default for ProxySpec {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(60), try_timeout: Duration::from_secs(30), version_header: false, trusted_proxies: Vec::new() }
    }
}

impl Default for Rolling {
    fn default() -> Self {
        Self { surge: 1, unavailable: 0 }
    }
}

impl Default for Deadline {
    fn default() -> Self {
        Self { ready: Duration::from_secs(120), on_fail: OnFail::Hold }
    }
}

/// The weight after the last step.
pub const LAST_WEIGHT: Weight = Weight::FULL;

const fn one() -> u32 {
    1
}
const fn three() -> u32 {
    3
}
const fn five() -> u32 {
    5
}
const fn three_times() -> f64 {
    3.0
}
const fn one_percent() -> f64 {
    1.0
}
const fn one_second() -> Duration {
    Duration::from_secs(1)
}
const fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}
const fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}
const fn one_day() -> Duration {
    Duration::from_secs(24 * 3600)
}
const fn two_minutes() -> Duration {
    Duration::from_secs(120)
}
const fn ten_minutes() -> Duration {
    Duration::from_secs(600)
}
