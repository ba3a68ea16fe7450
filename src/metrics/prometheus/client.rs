//! The HTTP client of one server: its certificates, its limits, and one exchange.

use super::{
    answer::{self, Head},
    files::{Stamps, aside},
};
use crate::{
    cause::{find, innermost, plain},
    clock::Clock,
    metrics::Trouble,
    model::text::Text,
};
use futures::StreamExt as _;
use reqwest::{
    Certificate, Identity, Proxy, Request, Response, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{CONTENT_TYPE, DATE, HeaderMap, LOCATION, RETRY_AFTER},
};
use std::{path::PathBuf, time::Duration};
use tokio::sync::Mutex;

/// What TLS needs, beside the certificate authorities that the system trusts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tls {
    /// PEM file of authorities that are trusted too.
    pub ca: Option<PathBuf>,
    /// PEM files of our certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name that its certificate is for, where that is not the host of the URL.
    pub server_name: Option<String>,
}

/// What came.
#[derive(Debug)]
pub struct Received {
    /// Its head.
    pub head: Head,
    /// Its body, whole.
    pub body: Vec<u8>,
    /// How far its clock is ahead of ours.
    pub ahead: Option<chrono::Duration>,
}

/// Makes a client, and makes it anew when the files of its certificates have changed.
pub struct Maker {
    tls: Tls,
    proxy: Option<Url>,
    /// The host that is connected to where its certificate is for another name.
    host: String,
    made: Mutex<Option<(reqwest::Client, Stamps)>>,
}

impl Maker {
    /// Nothing is read yet.
    pub fn new(url: &Url, tls: Tls, proxy: Option<Url>) -> Self {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        Self { tls, proxy, host, made: Mutex::default() }
    }

    /// The client to use now.
    ///
    /// # Errors
    /// Why none can be made: a file that is not there or is none of certificates.
    pub async fn client(&self) -> Result<reqwest::Client, String> {
        let mut made = self.made.lock().await;
        if let Some((client, stamps)) = made.as_ref() {
            let again = stamps.again();
            if stamps.is_empty() || aside(move || again.hold()).await? {
                return Ok(client.clone());
            }
        }
        let (tls, proxy, host) = (self.tls.clone(), self.proxy.clone(), self.host.clone());
        // The system's authorities are read, too.
        let (client, stamps) = aside(move || build(&tls, proxy, host)).await??;
        *made = Some((client.clone(), stamps));
        Ok(client)
    }
}

fn build(tls: &Tls, proxy: Option<Url>, host: String) -> Result<(reqwest::Client, Stamps), String> {
    crate::tls::ready();
    let mut stamps = Stamps::default();
    let mut builder =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).retry(reqwest::retry::never()).referer(false).no_proxy();
    if let Some(proxy) = proxy {
        builder = builder.proxy(Proxy::all(proxy).map_err(|e| format!("its proxy cannot be used: {}", innermost(&e)))?);
    }
    if let Some(ca) = &tls.ca {
        let pem = stamps.read(ca).map_err(|e| format!("its certificate authority cannot be read: {e}"))?;
        let roots = Certificate::from_pem_bundle(&pem).ok().filter(|roots| !roots.is_empty());
        let roots = roots.ok_or_else(|| format!("{} has no certificate (PEM) in it", ca.display()))?;
        builder = builder.tls_certs_merge(roots);
    }
    if let Some((certificate, key)) = &tls.identity {
        let mut pem = stamps.read(certificate).map_err(|e| format!("our certificate cannot be read: {e}"))?;
        pem.push(b'\n');
        pem.extend(stamps.read(key).map_err(|e| format!("the key of our certificate cannot be read: {e}"))?);
        // What stands in them is in no error.
        let identity = Identity::from_pem(&pem)
            .map_err(|_| format!("{} and {} are no certificate and its key (PEM)", certificate.display(), key.display()))?;
        builder = builder.identity(identity);
    }
    if tls.server_name.is_some() {
        builder = builder.dns_resolver(Always(host));
    }
    let client = builder.build().map_err(|e| format!("its certificates cannot be used: {}", innermost(&e)))?;
    Ok((client, stamps))
}

/// Whatever name is asked for: it is at this host.
struct Always(String);

impl Resolve for Always {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            // The port of the URL takes the place of 0.
            let found: Vec<_> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Sends a request and reads the whole answer, `limit` bytes at most.
///
/// # Errors
/// When nobody is there, or more comes. An answer that says no is an answer.
pub async fn exchange(
    http: &reqwest::Client,
    request: Request,
    place: &Text,
    limit: usize,
    clock: &dyn Clock,
) -> Result<Received, Trouble> {
    let sent = clock.now();
    let response = http.execute(request).await.map_err(|e| unreachable(place, &e))?;
    let received = clock.now();
    let text = |name| text(response.headers(), name);
    let head = Head {
        status: response.status().as_u16(),
        media: text(CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase(),
        after: answer::retry_after(&text(RETRY_AFTER), received),
        elsewhere: Some(text(LOCATION)).filter(|to| !to.is_empty()).map(|to| without_query(&to)),
    };
    let ahead = answer::ahead(&text(DATE), sent, received);
    let body = body(response, place, limit).await?;
    Ok(Received { head, body, ahead })
}

async fn body(response: Response, place: &Text, limit: usize) -> Result<Vec<u8>, Trouble> {
    let too_large = || Trouble::TooLarge { place: place.clone(), limit };
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|e| Trouble::Unreachable {
            place: place.clone(),
            why: format!("it was cut off in the middle of an answer: {}", plain(&innermost(&e))).into(),
        })?;
        if body.len() + chunk.len() > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn text(headers: &HeaderMap, name: reqwest::header::HeaderName) -> String {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
}

/// An address as it may be shown.
fn without_query(url: &str) -> Text {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    match Url::parse(plain) {
        Ok(url) => shown(&url),
        Err(_) => Text::clean(plain),
    }
}

/// A URL without user, password and query.
#[must_use]
pub fn shown(url: &Url) -> Text {
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path().trim_end_matches('/')).into()
}

fn unreachable(place: &Text, error: &reqwest::Error) -> Trouble {
    let why = match find::<rustls::Error>(error) {
        Some(tls) => tls_words(tls),
        None => plain(&innermost(error)),
    };
    Trouble::Unreachable { place: place.clone(), why: why.into() }
}

fn tls_words(error: &rustls::Error) -> String {
    use rustls::{AlertDescription, CertificateError, Error::*};
    match error {
        InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is signed by somebody unknown: is `tls.ca` missing or old?".into()
        }
        InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => "its certificate has expired".into(),
        InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            "its certificate is for another name: is `url` or `tls.server_name` right?".into()
        }
        AlertReceived(AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure) => {
            "it wants a client certificate: is `tls.cert` missing?".into()
        }
        AlertReceived(AlertDescription::BadCertificate | AlertDescription::UnknownCA | AlertDescription::CertificateExpired) => {
            "it does not accept our certificate: expired, or of another authority".into()
        }
        InvalidMessage(_) => "it does not speak TLS: is `url` http, or another port?".into(),
        other => other.to_string(),
    }
}

/// Seconds as a server reads them, to the millisecond.
#[must_use]
pub fn seconds(span: Duration) -> String {
    format!("{}.{:03}", span.as_secs(), span.subsec_millis())
}
