//! A credential plugin of a kubeconfig: a program that prints a credential as JSON. It is run as a
//! [`helper`].

use crate::{
    helper::{self, Failure, Helper},
    model::{text::Text, time::Time},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::{ffi::OsString, time::Duration};

/// A program that prints a credential.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// A path, or a name that is looked for in `PATH`.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables beside those that we have.
    pub environment: Vec<(String, String)>,
    /// The form in which it is asked and answers.
    pub api_version: String,
    /// The cluster it is for, if it wants to know.
    pub cluster: Option<serde_json::Value>,
    /// What to do when it is not installed.
    pub hint: Option<Text>,
}

/// What proves who we are.
#[derive(Clone, Debug, Default)]
pub struct Credential {
    /// A bearer token.
    pub token: Option<SecretString>,
    /// A certificate and its key, both PEM.
    pub certificate: Option<(String, SecretString)>,
    /// When it ends, if it does.
    pub expires: Option<Time>,
}

impl Credential {
    /// Whether both prove the same.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        let token = |c: &Self| c.token.as_ref().map(|t| t.expose_secret().to_owned());
        let certificate = |c: &Self| c.certificate.as_ref().map(|(certificate, _)| certificate.clone());
        token(self) == token(other) && certificate(self) == certificate(other)
    }
}

/// The answer of a plugin.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    kind: Option<String>,
    api_version: Option<String>,
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    expiration_timestamp: Option<String>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// Runs a plugin. What it printed is never part of an error: it may be a secret.
///
/// # Errors
/// Why there is no credential, in one line.
pub async fn run(plugin: &Plugin, launcher: &[OsString], limit: Duration) -> Result<Credential, String> {
    let name = Text::clean(&plugin.program);
    let mut environment = plugin.environment.clone();
    environment.push(("KUBERNETES_EXEC_INFO".to_owned(), asked(plugin)));
    let helper = Helper { program: plugin.program.clone(), arguments: plugin.arguments.clone(), environment };
    let printed = helper::run(&helper, launcher, limit).await.map_err(|failure| match (&failure, &plugin.hint) {
        (Failure::NotInstalled, Some(hint)) => format!("exec plugin `{name}` {failure}: {hint}"),
        _ => format!("exec plugin `{name}` {failure}"),
    })?;
    understand(plugin, &printed.out).map_err(|what| {
        let said = printed.said().map_or_else(String::new, |line| format!(" ({line})"));
        format!("exec plugin `{name}` {what}{said}")
    })
}

/// What it is told about what is wanted.
fn asked(plugin: &Plugin) -> String {
    let spec = match &plugin.cluster {
        None => serde_json::json!({ "interactive": false }),
        Some(cluster) => serde_json::json!({ "interactive": false, "cluster": cluster }),
    };
    serde_json::json!({ "apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec }).to_string()
}

fn understand(plugin: &Plugin, out: &[u8]) -> Result<Credential, String> {
    let answer: Answer = serde_json::from_slice(out).map_err(|_| "printed something else than a credential".to_owned())?;
    if answer.kind.as_deref().is_some_and(|kind| kind != "ExecCredential") {
        return Err("printed something else than a credential".into());
    }
    if let Some(version) = answer.api_version.filter(|version| *version != plugin.api_version) {
        return Err(format!("answers in the form {}, but was asked in {}", Text::clean(&version), plugin.api_version));
    }
    let Some(status) = answer.status else { return Err("printed a credential without a status".into()) };
    let expires = match status.expiration_timestamp {
        None => None,
        Some(at) => {
            let at = chrono::DateTime::parse_from_rfc3339(&at).map_err(|_| "printed an expiration that is no time".to_owned())?;
            Some(at.to_utc())
        }
    };
    let certificate = match (status.client_certificate_data, status.client_key_data) {
        (Some(certificate), Some(key)) => Some((certificate, key.into())),
        (None, None) => None,
        _ => return Err("printed a certificate without its key, or the other way round".into()),
    };
    let token = status.token.filter(|token| !token.is_empty()).map(SecretString::from);
    if token.is_none() && certificate.is_none() {
        return Err("printed neither a token nor a certificate".into());
    }
    Ok(Credential { token, certificate, expires })
}
