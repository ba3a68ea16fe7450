//! Which cluster a context means, and who we are there.

use super::{Settings, plugin::Plugin};
use crate::{model::text::Text, runtime::Fault};
use hyper::Uri;
use kube::config::{AuthInfo, Cluster, Config, Context, ExecAuthCluster, ExecInteractiveMode, Kubeconfig, NamedContext};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use secrecy::SecretString;
use std::{path::PathBuf, time::Duration};

/// How long a connection may take to come about: less than an answer, so that it is said which of them did not come.
pub(super) const CONNECT: Duration = Duration::from_secs(8);

/// A cluster and a way to prove who we are.
pub struct Resolved {
    /// Everything but the credential.
    pub config: Config,
    /// Where the credential comes from.
    pub source: Source,
    /// The context's own namespace.
    pub namespace: Option<String>,
    /// What faults call it: `context prod (https://10.0.0.1:6443)`.
    pub place: Text,
    /// Changes when anything of it changes.
    pub(super) mark: String,
}

/// Where a credential comes from.
pub enum Source {
    /// It stands in the kubeconfig, or none is needed.
    Fixed,
    /// A file that somebody else writes anew from time to time.
    TokenFile {
        /// Which.
        path: PathBuf,
        /// What to use while it cannot be read.
        otherwise: Option<SecretString>,
    },
    /// A program.
    Plugin(Plugin),
}

impl Resolved {
    /// Nowhere that anybody could connect to.
    #[cfg(test)]
    pub(super) fn nowhere() -> Self {
        let config = Config::new(Uri::from_static("http://nowhere.invalid"));
        Self { config, source: Source::Fixed, namespace: Some("shop".into()), place: "context t".into(), mark: String::new() }
    }

    /// Whether both were read from the same.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.mark == other.mark
    }
}

/// Reads the kubeconfig files and finds the context.
///
/// # Errors
/// [`Fault::Unusable`], with what to do.
pub fn resolve(settings: &Settings) -> Result<Resolved, Fault> {
    let unusable = |what: String| Fault::Unusable { place: settings.place(), what: what.into() };
    let Some(files) = read(settings)? else {
        if let (Some(account), None) = (&settings.account, &settings.context) {
            return account.resolve(settings);
        }
        let looked: Vec<String> = settings.kubeconfig.iter().map(|p| p.display().to_string()).collect();
        return Err(unusable(match looked.as_slice() {
            [] => "there is no kubeconfig: set KUBECONFIG".into(),
            _ => format!("there is no kubeconfig at {}: set KUBECONFIG, or `kubeconfig` of the target", looked.join(" or ")),
        }));
    };
    let (name, context) = context(settings, &files)?;
    let cluster = files.clusters.iter().find(|c| c.name == context.cluster).and_then(|c| c.cluster.clone());
    let cluster = cluster.ok_or_else(|| unusable(format!("its cluster `{}` is not in the kubeconfig", context.cluster)))?;
    // As kubectl: a user that is not there is nobody.
    let user = context.user.as_ref().and_then(|user| files.auth_infos.iter().find(|u| u.name == *user));
    let user = user.and_then(|u| u.auth_info.clone()).unwrap_or_default();
    let mark = serde_json::to_string(&(&cluster, &user, &context, &name)).unwrap_or_default();
    let (config, place) = config(settings, &name, &cluster)?;
    let (auth_info, source) = source(user, &cluster, &place)?;
    let config = with_account(config, auth_info, settings);
    Ok(Resolved { config, source, namespace: context.namespace.filter(|ns| !ns.is_empty()), place, mark })
}

/// The files merged; `None` if none of them is there.
fn read(settings: &Settings) -> Result<Option<Kubeconfig>, Fault> {
    let mut merged: Option<Kubeconfig> = None;
    for file in settings.kubeconfig.iter().filter(|file| file.exists()) {
        let broken = |e: &dyn std::fmt::Display| Fault::Unusable {
            place: settings.place(),
            // Parsers quote what they stumble over, and that may be a secret.
            what: format!("the kubeconfig {}: {}", file.display(), e.to_string().lines().next().unwrap_or_default()).into(),
        };
        let next = Kubeconfig::read_from(file).map_err(|e| match e {
            kube::config::KubeconfigError::Parse(_) => broken(&"it is no kubeconfig (YAML that cannot be read)"),
            other => broken(&other),
        })?;
        merged = Some(match merged {
            None => next,
            Some(before) => before.merge(next).map_err(|e| broken(&e))?,
        });
    }
    Ok(merged)
}

/// The context that is meant, and its name.
fn context(settings: &Settings, files: &Kubeconfig) -> Result<(String, Context), Fault> {
    let unusable = |what: String| Fault::Unusable { place: settings.place(), what: what.into() };
    let names: Vec<&str> = files.contexts.iter().map(|c| c.name.as_str()).collect();
    let listed = || {
        let shown: Vec<&str> = names.iter().take(8).copied().collect();
        let more = names.len().saturating_sub(shown.len());
        format!("{}{}", shown.join(", "), if more > 0 { format!(" and {more} more") } else { String::new() })
    };
    let Some(wanted) = settings.context.as_ref().or(files.current_context.as_ref()).filter(|name| !name.is_empty()) else {
        return Err(unusable(match names.as_slice() {
            [] => "the kubeconfig has no contexts".into(),
            _ => format!("the kubeconfig has no current context: name one with --context: {}", listed()),
        }));
    };
    let found = files.contexts.iter().find(|c| c.name == *wanted);
    if let Some(NamedContext { name, context: Some(context), .. }) = found {
        return Ok((name.clone(), context.clone()));
    }
    let near = |name: &&&str| strsim::osa_distance(wanted, name);
    let hint = match names.iter().min_by_key(near) {
        None => "the kubeconfig has none".to_owned(),
        Some(best) if near(&best) <= wanted.len().max(4) / 2 => format!("did you mean `{best}`?"),
        Some(_) => format!("there are {}", listed()),
    };
    Err(unusable(format!("no context `{wanted}`: {hint}")))
}

/// The cluster's part of a configuration, and what faults call it.
fn config(settings: &Settings, name: &str, cluster: &Cluster) -> Result<(Config, Text), Fault> {
    let server = cluster.server.clone().filter(|s| !s.is_empty()).unwrap_or_default();
    let unusable = |what: String| Fault::Unusable { place: format!("context {name}").into(), what: what.into() };
    if server.is_empty() {
        return Err(unusable("its cluster has no `server`".into()));
    }
    // As kubectl: without a scheme it is plain HTTP.
    let url = if server.contains("://") { server.clone() } else { format!("http://{server}") };
    let url: Uri = url.parse().map_err(|e| unusable(format!("its server `{server}` is no address: {e}")))?;
    let host = url.authority().map(|a| a.as_str().rsplit('@').next().unwrap_or_default().to_owned()).unwrap_or_default();
    let place = Text::from(format!("context {name} ({}://{host})", url.scheme_str().unwrap_or("http")));
    let mut config = Config::new(url.clone());
    let read = ExecAuthCluster::try_from(cluster).map_err(|e| unusable(format!("its certificate authority: {e}")))?;
    if let Some(pem) = read.certificate_authority_data {
        config.root_cert = Some(authority(&pem).map_err(unusable)?);
    }
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.tls_server_name = cluster.tls_server_name.clone().filter(|name| !name.is_empty());
    let proxy = cluster.proxy_url.clone().filter(|p| !p.is_empty()).or_else(|| settings.proxies.of(&url));
    config.proxy_url = proxy.map(|p| p.parse()).transpose().map_err(|e| unusable(format!("its proxy is no address: {e}")))?;
    ours(&mut config);
    Ok((config, place))
}

/// What every connection has, wherever it leads.
pub(super) const fn ours(config: &mut Config) {
    // We wait and try again ourselves, and say so.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT);
}

/// The certificates of an authority.
///
/// # Errors
/// Why it is none.
pub(super) fn authority(pem: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let roots: Result<Vec<Vec<u8>>, _> = CertificateDer::pem_slice_iter(pem).map(|c| c.map(|c| c.to_vec())).collect();
    match roots {
        Ok(roots) if roots.is_empty() => Err("its certificate authority has no certificate in it".into()),
        Ok(roots) => Ok(roots),
        Err(e) => Err(format!("its certificate authority is no PEM: {e}")),
    }
}

/// Takes out of a user what `kube` would do itself, and says where the credential comes from instead.
fn source(mut user: AuthInfo, cluster: &Cluster, place: &Text) -> Result<(AuthInfo, Source), Fault> {
    let unusable = |what: String| Fault::Unusable { place: place.clone(), what: what.into() };
    if let Some(provider) = &user.auth_provider
        && !(provider.name == "oidc" && provider.config.contains_key("id-token"))
    {
        return Err(unusable(format!("the auth-provider `{}` was replaced by exec plugins: see its documentation", provider.name)));
    }
    let (exec, file) = (user.exec.take(), user.token_file.take().filter(|file| !file.is_empty()));
    if let Some(file) = file {
        let otherwise = user.token.take();
        return Ok((user, Source::TokenFile { path: PathBuf::from(file), otherwise }));
    }
    // What stands there goes before a program that is to be run, as in kubectl.
    let Some(exec) = exec.filter(|_| user.token.is_none() && user.username.is_none()) else { return Ok((user, Source::Fixed)) };
    let Some(program) = exec.command.clone().filter(|program| !program.is_empty()) else {
        return Err(unusable("its exec plugin has no `command`".into()));
    };
    if exec.interactive_mode == Some(ExecInteractiveMode::Always) {
        return Err(unusable(format!(
            "its exec plugin `{program}` must ask a person (interactiveMode: Always), which it cannot do from here: log in with kubectl first"
        )));
    }
    let information = if exec.provide_cluster_info {
        Some(ExecAuthCluster::try_from(cluster).map_err(|e| unusable(format!("its certificate authority: {e}")))?)
    } else {
        None
    };
    let pair = |one: &std::collections::HashMap<String, String>| Some((one.get("name")?.clone(), one.get("value")?.clone()));
    let plugin = Plugin {
        program,
        arguments: exec.args.unwrap_or_default(),
        environment: exec.env.unwrap_or_default().iter().filter_map(pair).collect(),
        api_version: exec.api_version.unwrap_or_else(|| "client.authentication.k8s.io/v1".into()),
        cluster: information.and_then(|i| serde_json::to_value(i).ok()),
        hint: exec.install_hint.map(|hint| Text::clean(&hint)),
    };
    Ok((user, Source::Plugin(plugin)))
}

/// The configuration with who we are, and as whom we act.
pub(super) fn with_account(mut config: Config, mut user: AuthInfo, settings: &Settings) -> Config {
    if let Some(other) = &settings.acts_as {
        // Groups and the like belong to whom the kubeconfig names.
        (user.impersonate_groups, user.impersonate_uid, user.impersonate_user_extra) = (None, None, None);
        user.impersonate = Some(other.clone());
    }
    config.auth_info = user;
    config
}
