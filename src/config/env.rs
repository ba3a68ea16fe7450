//! What of the process environment matters, read once.

use secrecy::SecretString;
use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The environment. Variables that are empty count as not set; paths that are not absolute, too.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Env {
    /// The user we run as.
    pub uid: u32,
    /// `HOME`, or what the system's user database says.
    pub home: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub xdg_config_home: Option<PathBuf>,
    /// `XDG_STATE_HOME`.
    pub xdg_state_home: Option<PathBuf>,
    /// `XDG_DATA_HOME`.
    pub xdg_data_home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub xdg_runtime_dir: Option<PathBuf>,
    /// `TMPDIR`.
    pub tmpdir: Option<PathBuf>,
    /// `CUTOVER_CONFIG`; may be relative, as a person has written it.
    pub config: Option<PathBuf>,
    /// Whether `NO_COLOR` is set.
    pub no_color: bool,
    /// `TERM`.
    pub term: Option<String>,
    /// `COLORTERM`.
    pub colorterm: Option<String>,
    /// The locale of characters: `LC_ALL`, else `LC_CTYPE`, else `LANG`.
    pub locale: Option<String>,
    /// Whether the terminal is at the other end of an SSH connection (`SSH_CONNECTION`, `SSH_TTY`).
    pub ssh: bool,
    /// `KUBECONFIG`: files, the first one wins. Empty when it is not set.
    pub kubeconfig: Vec<PathBuf>,
    /// Where a pod finds its cluster: `KUBERNETES_SERVICE_HOST` and `_PORT`, when both are set.
    pub in_cluster: Option<(String, String)>,
    /// `HTTPS_PROXY`, else `https_proxy`.
    pub https_proxy: Option<String>,
    /// `HTTP_PROXY`, else `http_proxy`.
    pub http_proxy: Option<String>,
    /// `NO_PROXY`, else `no_proxy`.
    pub no_proxy: Option<String>,
    /// `USER`, or what the system's user database says: how people call themselves.
    pub user: Option<String>,
}

/// A variable of this process's environment that a service was configured to get as a secret.
#[must_use]
pub fn secret(name: &str) -> Option<SecretString> {
    std::env::var(name).ok().map(SecretString::from)
}

impl Env {
    /// Reads the environment of this process.
    #[must_use]
    pub fn from_process() -> Self {
        let mut env = Self::from_vars(std::env::vars_os(), rustix::process::geteuid().as_raw());
        if env.home.is_none() || env.user.is_none() {
            let known = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(env.uid)).ok().flatten();
            if let Some(user) = known {
                env.home = env.home.or(Some(user.dir));
                env.user = env.user.or(Some(user.name));
            }
        }
        env
    }

    /// Reads these variables.
    #[must_use]
    pub fn from_vars<K: Into<OsString>, V: Into<OsString>>(vars: impl IntoIterator<Item = (K, V)>, uid: u32) -> Self {
        let vars: BTreeMap<OsString, OsString> = vars.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        let var = |name: &str| vars.get(std::ffi::OsStr::new(name)).filter(|v| !v.is_empty());
        let path = |name: &str| var(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let text = |name: &str| var(name).map(|v| v.to_string_lossy().into_owned());
        Self {
            uid,
            home: path("HOME"),
            xdg_config_home: path("XDG_CONFIG_HOME"),
            xdg_state_home: path("XDG_STATE_HOME"),
            xdg_data_home: path("XDG_DATA_HOME"),
            xdg_runtime_dir: path("XDG_RUNTIME_DIR"),
            tmpdir: path("TMPDIR"),
            config: var("CUTOVER_CONFIG").map(PathBuf::from),
            no_color: var("NO_COLOR").is_some(),
            term: text("TERM"),
            colorterm: text("COLORTERM"),
            locale: text("LC_ALL").or_else(|| text("LC_CTYPE")).or_else(|| text("LANG")),
            ssh: var("SSH_CONNECTION").or_else(|| var("SSH_TTY")).is_some(),
            kubeconfig: var("KUBECONFIG").into_iter().flat_map(std::env::split_paths).filter(|p| !p.as_os_str().is_empty()).collect(),
            in_cluster: text("KUBERNETES_SERVICE_HOST").zip(text("KUBERNETES_SERVICE_PORT")),
            https_proxy: text("HTTPS_PROXY").or_else(|| text("https_proxy")),
            http_proxy: text("HTTP_PROXY").or_else(|| text("http_proxy")),
            no_proxy: text("NO_PROXY").or_else(|| text("no_proxy")),
            user: text("USER"),
        }
    }

    /// Whether we are root.
    #[must_use]
    pub const fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Where configuration is kept.
    pub(super) fn config_home(&self) -> Option<PathBuf> {
        self.base(self.xdg_config_home.as_deref(), ".config")
    }

    /// The XDG directory, or its place below the home directory.
    pub(super) fn base(&self, xdg: Option<&Path>, below_home: &str) -> Option<PathBuf> {
        xdg.map(Path::to_owned).or_else(|| self.home.as_ref().map(|home| home.join(below_home)))
    }

    /// Where short-lived files go.
    pub(super) fn temp(&self) -> &Path {
        self.tmpdir.as_deref().unwrap_or(Path::new("/tmp"))
    }
}
