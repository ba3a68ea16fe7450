//! The account that a pod has at its own cluster: where the API server is stands in two variables, the rest in
//! files that Kubernetes mounts and renews.

use super::{
    Settings,
    kubeconfig::{Resolved, Source, authority, ours, with_account},
};
use crate::{model::text::Text, runtime::Fault};
use hyper::Uri;
use kube::config::{AuthInfo, Config};
use std::{fs, net::IpAddr, path::PathBuf};

/// Where a pod finds its account.
pub const MOUNTED: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The account of the pod that this process runs in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// `KUBERNETES_SERVICE_HOST`: a name or an address.
    pub host: String,
    /// `KUBERNETES_SERVICE_PORT`.
    pub port: String,
    /// Where `token`, `ca.crt` and `namespace` are: [`MOUNTED`].
    pub dir: PathBuf,
}

impl Account {
    /// Its cluster, and the token in its file, which is read again from time to time.
    ///
    /// # Errors
    /// [`Fault::Unusable`], with what is missing.
    pub fn resolve(&self, settings: &Settings) -> Result<Resolved, Fault> {
        let unusable = |what: String| Fault::Unusable { place: "this pod's account".into(), what: what.into() };
        let (token, ca) = (self.dir.join("token"), self.dir.join("ca.crt"));
        let lacks = |file: &PathBuf, e: std::io::Error| unusable(format!("{}: {e}", file.display()));
        fs::metadata(&token).map_err(|e| lacks(&token, e))?;
        let pem = fs::read(&ca).map_err(|e| lacks(&ca, e))?;
        let url = self.url().map_err(unusable)?;
        let place = Text::from(format!("this pod's cluster ({})", url.to_string().trim_end_matches('/')));
        let mut config = Config::new(url.clone());
        config.root_cert = Some(authority(&pem).map_err(unusable)?);
        config.proxy_url =
            settings.proxies.of(&url).map(|p| p.parse()).transpose().map_err(|e| unusable(format!("its proxy is no address: {e}")))?;
        ours(&mut config);
        let namespace = fs::read_to_string(self.dir.join("namespace")).ok().map(|ns| ns.trim().to_owned()).filter(|ns| !ns.is_empty());
        // A cluster may get another authority, and pods the file of it, while we run.
        let mark = format!("{url} {}", String::from_utf8_lossy(&pem));
        let config = with_account(config, AuthInfo::default(), settings);
        Ok(Resolved { config, source: Source::TokenFile { path: token, otherwise: None }, namespace, place, mark })
    }

    fn url(&self) -> Result<Uri, String> {
        let host = match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => self.host.clone(),
        };
        let wrong =
            || format!("KUBERNETES_SERVICE_HOST and _PORT are no address: {}:{}", self.host.escape_debug(), self.port.escape_debug());
        let port: u16 = self.port.parse().map_err(|_| wrong())?;
        if host.is_empty() {
            return Err(wrong());
        }
        format!("https://{host}:{port}").parse().map_err(|_| wrong())
    }
}
