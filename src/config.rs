//! Configuration: one file format for the host and the console, and what of the environment matters.
//!
//! Layers: default < file < environment < flag; [`Loaded::origins`] knows which one each value came
//! from. The file is named by `-c`, else by `$CUTOVER_CONFIG`, else it is
//! `$XDG_CONFIG_HOME/cutover/config.toml`; never one in the working directory, because a
//! configuration can run commands. A file that others may write is refused for the same reason.
//!
//! Every error is one line with file, line and column, and says what to do. `config.example.toml`
//! names every key; tests hold it to the defaults here.

mod check;
mod env;
mod metrics;
mod parse;
mod paths;
mod print;
mod read;
mod schema;
#[cfg(test)]
mod tests;

pub use env::{Env, secret};
pub use metrics::{AuthConfig, HeaderConfig, MetricsConfig, MetricsKind, QueryConfig, TlsConfig};
pub use parse::{Places, nearest, parse, parse_beside};
pub use paths::{PathError, Paths, check_private, default_socket, private_dir};
pub use print::render;
pub use read::{read, shown};
pub use schema::schema;

use crate::model::{
    spec::{GateSpec, ServiceSpec},
    text::Text,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// The newest version of the format.
pub const VERSION: u32 = 1;

/// Everything that can be configured.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The version of the format: 1.
    pub version: u32,
    /// The embedded runtime.
    pub host: HostConfig,
    /// What the host runs.
    #[serde(rename = "service")]
    pub services: Vec<ServiceSpec>,
    /// Where the console looks.
    #[serde(rename = "target")]
    pub targets: Vec<TargetConfig>,
    /// Keys by command name, instead of the default ones; an empty list unbinds the command.
    #[serde(deserialize_with = "parse::keys")]
    pub keys: BTreeMap<String, Vec<String>>,
    /// The record of actions.
    pub journal: JournalConfig,
    /// Where signals come from.
    pub metrics: MetricsConfig,
    /// How the console looks.
    pub console: ConsoleConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            version: VERSION,
            host: HostConfig::default(),
            services: Vec::new(),
            targets: Vec::new(),
            keys: BTreeMap::new(),
            journal: JournalConfig::default(),
            metrics: MetricsConfig::default(),
            console: ConsoleConfig::default(),
        }
    }
}

/// `[host]`: the embedded single-machine runtime. [`Paths`] has what the paths default to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostConfig {
    /// The Unix socket of the control API.
    pub socket: Option<PathBuf>,
    /// The directory of the state that survives the host.
    pub state: Option<PathBuf>,
    /// The OCI image layout with the artifacts.
    pub store: Option<PathBuf>,
    /// Records of processes, and the private directories of instances.
    pub run: Option<PathBuf>,
    /// How instances are kept from outliving the host.
    pub isolation: Isolation,
    /// A loopback address that answers `GET /metrics`; none unless it is set.
    pub metrics_listen: Option<SocketAddr>,
    /// Bytes per second that the background check of unpacked artifacts reads.
    pub verify_rate: u64,
    /// System users who may act, besides the host's own and root.
    pub allow_users: Vec<String>,
    /// A system group whose members may act.
    pub allow_group: Option<String>,
    /// System users who may look and not act.
    pub read_users: Vec<String>,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            socket: None,
            state: None,
            store: None,
            run: None,
            isolation: Isolation::Auto,
            metrics_listen: None,
            verify_rate: 8 << 20,
            allow_users: Vec::new(),
            allow_group: None,
            read_users: Vec::new(),
        }
    }
}

/// How instances are kept from outliving the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// A PID namespace where that is allowed, else a cgroup.
    #[default]
    Auto,
    /// A PID namespace, or instances do not start.
    Namespace,
    /// Never a PID namespace.
    Cgroup,
}

/// `[[target]]`: a place where rollouts run.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetConfig {
    /// What it is called on the screen and for `--target`.
    pub name: String,
    /// What runs there.
    #[serde(default)]
    pub kind: TargetKind,
    /// The socket of its control API; that of `[host]` when absent. For `host`.
    #[serde(default)]
    pub socket: Option<PathBuf>,
    /// The context in the kubeconfig; the current one when absent. For `argo`, as what follows.
    #[serde(default)]
    pub context: Option<String>,
    /// The namespaces to look at; all of them when there are none.
    #[serde(default, deserialize_with = "parse::one_or_more", skip_serializing_if = "Vec::is_empty")]
    pub namespace: Vec<String>,
    /// The kubeconfig; what `KUBECONFIG` names when absent.
    #[serde(default)]
    pub kubeconfig: Option<PathBuf>,
    /// A user to act as.
    #[serde(default, rename = "as")]
    pub acts_as: Option<String>,
    /// Whether acting is switched off.
    #[serde(default)]
    pub read_only: bool,
    /// In which colour the console writes its name; its word is always there too.
    #[serde(default)]
    pub color: Option<TargetColor>,
    /// Where signals of its rollouts come from; nowhere when absent. For `argo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricsConfig>,
    /// Rules over them; errors and slow requests when there are none. They advise. For `argo`.
    #[serde(default, rename = "gate", skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateSpec>,
}

/// The colour of a target's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetColor {
    /// For production.
    Red,
    /// Yellow.
    Yellow,
    /// Green.
    Green,
    /// Cyan.
    Cyan,
    /// Blue.
    Blue,
    /// Magenta.
    Magenta,
}

/// What runs at a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// The embedded host.
    #[default]
    Host,
    /// Argo Rollouts in a Kubernetes cluster.
    Argo,
}

/// `[journal]`: the record of actions.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalConfig {
    /// The file.
    pub path: Option<PathBuf>,
}

/// `[console]`: how the console looks.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsoleConfig {
    /// Draw with ASCII only.
    pub ascii: Switch,
    /// Use colours.
    pub color: ColorChoice,
    /// Wrap every frame in synchronized output (DEC 2026).
    pub synchronized: Switch,
}

/// On, off, or what the terminal says: `true`, `false` or `"auto"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Switch {
    /// What the terminal says.
    #[default]
    Auto,
    /// On.
    On,
    /// Off.
    Off,
}

/// When to use colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ColorChoice {
    /// When the terminal can show them.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where a value came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Origin {
    /// Nobody said anything.
    #[default]
    Default,
    /// The file.
    File {
        /// Counted from 1.
        line: usize,
    },
    /// This variable of the environment.
    Env(&'static str),
    /// This flag of the command line.
    Flag(&'static str),
}

/// Where each value came from, by its path: `console.color`, `service.0.gate.1.margin`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Where this value came from.
    #[must_use]
    pub fn of(&self, path: &str) -> Origin {
        self.0.get(path).copied().unwrap_or_default()
    }
}

/// Flags of the command line that are a layer of the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flags {
    /// `--color`.
    pub color: Option<ColorChoice>,
    /// `--read-only`: every target.
    pub read_only: bool,
}

/// The effective configuration.
#[derive(Clone, PartialEq, Debug)]
pub struct Loaded {
    /// Its values. There is at least one target, and each of kind `host` has a socket.
    pub config: Config,
    /// The file it was read from.
    pub path: Option<PathBuf>,
    /// Where things are, configured or by default.
    pub paths: Paths,
    /// Where each value came from.
    pub origins: Origins,
    /// What can be used and is probably not meant.
    pub doubts: Vec<Doubt>,
}

/// What is wrong, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The file as it was named.
    pub file: Text,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What, and what to do, in one line.
    pub what: Text,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.what)
    }
}

/// What can be used and is probably not meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Doubt {
    /// The service whose plan it is about.
    pub service: String,
    /// Where, and what to do.
    pub found: Finding,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { file, line, column, what } = &self.found;
        write!(f, "{file}:{line}:{column}: warning: {what}")
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration {file}: {why}")]
    Read {
        /// Which.
        file: Text,
        /// What the system says.
        why: String,
    },
    /// Somebody else may write the file.
    #[error("configuration {file} is refused because it can run commands: {why}")]
    Refused {
        /// Which.
        file: Text,
        /// Who may write what, and what to do.
        why: String,
    },
    /// What stands in it is wrong.
    #[error("{}", first(.0))]
    Invalid(Vec<Finding>),
}

impl ConfigError {
    /// Everything that is wrong, one line each.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Invalid(findings) => findings.iter().map(ToString::to_string).collect(),
            other => vec![other.to_string()],
        }
    }
}

fn first(findings: &[Finding]) -> String {
    let first = findings.first().map(ToString::to_string).unwrap_or_default();
    match findings.len() {
        0 | 1 => first,
        n => format!("{first} ({} more: cutover config check)", n - 1),
    }
}

/// Reads the configuration: `path` is that of `-c`.
///
/// # Errors
/// When a file that was named is not there, or any is refused or wrong.
pub fn load(path: Option<&Path>, env: &Env) -> Result<Loaded, ConfigError> {
    let named = path.or(env.config.as_deref());
    let usual = env.config_home().map(|dir| dir.join("cutover/config.toml"));
    let (file, text) = match (named, usual) {
        (Some(file), _) => (Some(file.to_owned()), Some(read::read(file, env.uid)?)),
        (None, Some(file)) => {
            let text = read::read_if_there(&file, env.uid)?;
            (text.is_some().then_some(file), text)
        }
        (None, None) => (None, None),
    };
    let (config, origins, doubts) = match (&file, text) {
        (Some(file), Some(text)) => parse::parse_with_origins(&text, &read::shown(file))?,
        _ => (Config::default(), Origins::default(), Vec::new()),
    };
    let mut loaded = Loaded { paths: Paths::new(&config, env), config, path: file, origins, doubts };
    loaded.complete(env);
    Ok(loaded)
}

impl Loaded {
    /// Values that follow from others, and the environment's layer.
    fn complete(&mut self, env: &Env) {
        let config = &mut self.config;
        if config.targets.is_empty() {
            config.targets.push(TargetConfig { name: "host".into(), ..TargetConfig::default() });
        }
        for target in config.targets.iter_mut().filter(|t| t.kind == TargetKind::Host) {
            target.socket.get_or_insert_with(|| self.paths.socket.clone());
        }
        // By its own convention (no-color.org) the variable yields to a person's configuration.
        if env.no_color && self.origins.of("console.color") == Origin::Default {
            config.console.color = ColorChoice::Never;
            self.origins.0.insert("console.color".into(), Origin::Env("NO_COLOR"));
        }
    }

    /// Puts the command line's layer on top.
    #[must_use]
    pub fn with_flags(mut self, flags: Flags) -> Self {
        if let Some(color) = flags.color {
            self.config.console.color = color;
            self.origins.0.insert("console.color".into(), Origin::Flag("--color"));
        }
        if flags.read_only {
            for (i, target) in self.config.targets.iter_mut().enumerate() {
                target.read_only = true;
                self.origins.0.insert(format!("target.{i}.read_only"), Origin::Flag("--read-only"));
            }
        }
        self
    }

    /// An error about a value that somebody else has found wrong, such as a key of `[keys]`.
    #[must_use]
    pub fn wrong(&self, path: &str, what: &str) -> ConfigError {
        let line = match self.origins.of(path) {
            Origin::File { line } => line,
            _ => 1,
        };
        let file = self.path.as_deref().map_or_else(|| "configuration".into(), |p| Text::clean(&read::shown(p)));
        ConfigError::Invalid(vec![Finding { file, line, column: 1, what: Text::clean(what) }])
    }
}
