//! Certificates: whom we trust, and whom we are.

use super::rig::{client, now, recorded};
use crate::support::{
    http::{Fake, json},
    tls::Tls,
};
use cutover::metrics::{
    Metrics, Trouble,
    prometheus::{self, Prometheus, Settings},
};
use std::{fs, path::PathBuf};

fn asking(tls: &Tls, change: impl FnOnce(&mut Settings)) -> Prometheus {
    client(&tls.url(), |s| {
        s.tls = prometheus::Tls {
            ca: Some(tls.path("ca.pem")),
            identity: Some((tls.path("client.pem"), tls.path("client.key"))),
            server_name: None,
        };
        change(s);
    })
}

async fn said(client: &Prometheus) -> String {
    let trouble = client.instant("up", now()).await.unwrap_err();
    assert!(!matches!(trouble, Trouble::Slow { .. }));
    trouble.to_string()
}

#[tokio::test]
async fn certificates_are_checked_and_shown() {
    let server = Fake::new(|_, client| json(client, 200, &recorded("vector.json")));
    let Some(tls) = Tls::before(&server.url) else { return };
    let good = asking(&tls, |_| ());
    assert_eq!(good.instant("up", now()).await.unwrap().series.len(), 2);
    for ca in [Some(tls.path("other.pem")), None] {
        let said = said(&asking(&tls, |s| s.tls.ca = ca)).await;
        assert!(said.ends_with("its certificate is signed by somebody unknown: is `tls.ca` missing or old?"), "{said}");
    }
    // The server answers a page of its own to whoever has no certificate.
    assert!(said(&asking(&tls, |s| s.tls.identity = None)).await.contains("certificate"));
    // Its certificate is for another name, and how that is put right.
    let local = |name: Option<&str>| {
        asking(&tls, |s| {
            s.url = tls.url().replace("127.0.0.1", "localhost").parse().unwrap();
            s.tls.server_name = name.map(str::to_owned);
        })
    };
    let wrong = said(&local(None)).await;
    assert!(wrong.ends_with("its certificate is for another name: is `url` or `tls.server_name` right?"), "{wrong}");
    local(Some("api.internal")).instant("up", now()).await.unwrap();
    assert!(said(&local(Some("other.internal"))).await.contains("for another name"));
    assert!(server.asked().len() >= 2);
}

#[tokio::test]
async fn files_that_are_none_of_certificates() {
    let server = Fake::new(|_, client| json(client, 200, &recorded("vector.json")));
    let Some(tls) = Tls::before(&server.url) else { return };
    let gone = PathBuf::from("/nowhere/at/all.pem");
    let with = |ca: Option<PathBuf>, identity: Option<(PathBuf, PathBuf)>| {
        asking(&tls, |s| s.tls = prometheus::Tls { ca, identity, server_name: None })
    };
    let no_ca = said(&with(Some(gone.clone()), None)).await;
    assert!(no_ca.ends_with("its certificate authority cannot be read: /nowhere/at/all.pem: no such file or directory"), "{no_ca}");
    assert!(said(&with(Some(tls.path("nginx.conf")), None)).await.ends_with("nginx.conf has no certificate (PEM) in it"));
    assert!(said(&with(None, Some((tls.path("client.pem"), gone)))).await.contains("the key of our certificate cannot be read"));
    let swapped = said(&with(None, Some((tls.path("ca.pem"), tls.path("nginx.conf"))))).await;
    assert!(swapped.contains("are no certificate and its key (PEM)"), "{swapped}");
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn certificates_that_are_renewed_are_used() {
    let server = Fake::new(|_, client| json(client, 200, &recorded("vector.json")));
    let Some(tls) = Tls::before(&server.url) else { return };
    let ca = tls.path("current.pem");
    fs::copy(tls.path("other.pem"), &ca).unwrap();
    let client = asking(&tls, |s| s.tls.ca = Some(ca.clone()));
    assert!(said(&client).await.contains("somebody unknown"));
    fs::copy(tls.path("ca.pem"), tls.path("next.pem")).unwrap();
    fs::rename(tls.path("next.pem"), &ca).unwrap();
    client.instant("up", now()).await.unwrap();
}
