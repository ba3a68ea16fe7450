//! Why a client of `kube` has no answer, in one line for a person.

use super::kubeconfig::CONNECT;
use crate::{
    cause::{find, innermost},
    model::text::Text,
    runtime::Fault,
};

/// Why no client can be made of a configuration.
#[must_use]
pub fn unusable(place: &Text, error: &kube::Error) -> Fault {
    // These name the file; what is inside them does not.
    match find::<kube::config::LoadDataError>(error) {
        Some(file) => Fault::Unusable { place: place.clone(), what: format!("its client certificate or key: {file}").into() },
        None => match fault(place, error) {
            Fault::Unreachable { why, .. } => Fault::Unusable { place: place.clone(), what: why },
            other => other,
        },
    }
}

/// The fault behind an error.
#[must_use]
pub fn fault(place: &Text, error: &kube::Error) -> Fault {
    let unusable = |what: String| Fault::Unusable { place: place.clone(), what: what.into() };
    match error {
        kube::Error::ProxyProtocolUnsupported { .. } | kube::Error::ProxyProtocolDisabled { .. } => {
            return unusable("its proxy must be http, https or socks5".into());
        }
        // The client certificate or key of the kubeconfig.
        kube::Error::RustlsTls(e) => return unusable(format!("its certificates cannot be used: {}", innermost(e))),
        kube::Error::Auth(e) => return Fault::NoCredential { place: place.clone(), what: innermost(e).into() },
        _ => {}
    }
    if let Some(tls) = find::<rustls::Error>(error) {
        return Fault::Untrusted { place: place.clone(), why: tls_words(tls).into() };
    }
    let why = match find::<tokio::time::error::Elapsed>(error) {
        Some(_) => format!("no connection within {} s", CONNECT.as_secs()),
        None => innermost(error),
    };
    Fault::Unreachable { place: place.clone(), why: why.into() }
}

fn tls_words(error: &rustls::Error) -> String {
    use rustls::{AlertDescription, CertificateError, Error::*};
    match error {
        InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is signed by somebody unknown: is `certificate-authority` of the cluster missing or old?".into()
        }
        InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => "its certificate has expired".into(),
        InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            "its certificate is for another name: is `server` or `tls-server-name` of the cluster right?".into()
        }
        AlertReceived(AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure) => {
            "it wants a client certificate that we do not have".into()
        }
        AlertReceived(AlertDescription::BadCertificate | AlertDescription::UnknownCA | AlertDescription::CertificateExpired) => {
            "it does not accept our client certificate: expired, or of another cluster".into()
        }
        InvalidMessage(_) => "it does not speak TLS: is `server` of the cluster http, or another port?".into(),
        other => other.to_string(),
    }
}
