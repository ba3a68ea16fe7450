//! What is sent, and how we prove who we are.

use super::rig::{client, now, recorded};
use crate::support::{
    host::CUTOVER,
    http::{Fake, json, reply},
};
use cutover::{
    helper,
    metrics::{
        Metrics, Trouble,
        prometheus::access::{Auth, Header},
    },
    model::spec::SecretSource,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

fn form(body: &str) -> Vec<(String, String)> {
    reqwest::Url::parse(&format!("form:?{body}")).unwrap().query_pairs().into_owned().collect()
}

#[tokio::test]
async fn a_question_is_a_form_below_the_path_of_the_address() {
    let server = Fake::new(|asked, client| {
        json(client, 200, &recorded(if asked.target.contains("alerts") { "alerts.json" } else { "vector.json" }))
    });
    let asking = client(&format!("{}/prometheus/", server.url), |s| {
        s.parameters.extend([("dedup", "true"), ("latency_offset", "5s")].map(|(k, v)| (k.to_owned(), v.to_owned())));
        s.headers.insert("X-Scope-OrgID".into(), Header::Plain("shop".into()));
        s.timeout = Duration::from_millis(1500);
    });
    assert_eq!(asking.place().as_str(), format!("{}/prometheus", server.url));
    let at = chrono::DateTime::from_timestamp_millis(1_795_971_574_007).unwrap();
    let query = "sum by (v) (rate(a{b=\"c&d=é+\"}[1m])) % 2";
    asking.instant(query, at).await.unwrap();
    asking.range(query, at, at + chrono::Duration::seconds(60), Duration::from_millis(2500)).await.unwrap();
    assert_eq!(asking.alerts().await.unwrap().len(), 1);
    let asked = server.asked();
    let what: Vec<(&str, &str)> = asked.iter().map(|a| (a.method.as_str(), a.target.as_str())).collect();
    assert_eq!(
        what,
        [
            ("POST", "/prometheus/api/v1/query"),
            ("POST", "/prometheus/api/v1/query_range"),
            ("GET", "/prometheus/api/v1/alerts?dedup=true&latency_offset=5s")
        ]
    );
    let expected = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
    // What is configured goes before what is usual.
    assert_eq!(
        form(&asked[0].body),
        expected(&[
            ("query", query),
            ("time", "1795971574.007"),
            ("timeout", "1.500"),
            ("nocache", "1"),
            ("dedup", "true"),
            ("latency_offset", "5s")
        ])
    );
    assert_eq!(
        form(&asked[1].body),
        expected(&[
            ("query", query),
            ("start", "1795971574.007"),
            ("end", "1795971634.007"),
            ("step", "2.500"),
            ("timeout", "1.500"),
            ("nocache", "1"),
            ("dedup", "true"),
            ("latency_offset", "5s")
        ])
    );
    for asked in &asked {
        assert_eq!(asked.header("x-scope-orgid"), Some("shop"));
        assert_eq!(asked.header("accept"), Some("application/json"));
        assert!(asked.header("authorization").is_none());
    }
    assert_eq!(asked[0].header("content-type"), Some("application/x-www-form-urlencoded"));
}

#[tokio::test]
async fn a_proxy_is_used_when_it_is_configured() {
    let proxy = Fake::new(|_, client| json(client, 200, &recorded("vector.json")));
    let through = client("http://prom.invalid:9090/a", |s| s.proxy = Some(proxy.url.parse().unwrap()));
    assert_eq!(through.instant("up", now()).await.unwrap().series.len(), 2);
    assert_eq!(proxy.asked()[0].target, "http://prom.invalid:9090/a/api/v1/query");
    let without = client("http://prom.invalid:9090/a", |_| ()).instant("up", now()).await.unwrap_err();
    assert!(matches!(without, Trouble::Unreachable { .. }), "{without}");
}

fn bearer(path: &Path) -> Auth {
    Auth::Bearer(SecretSource::File(path.to_owned()))
}

#[tokio::test]
async fn a_token_that_is_rotated_while_we_ask() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    fs::write(&path, "first\n").unwrap();
    let rotated = path.clone();
    let server = Fake::new(move |asked, client| match asked.header("authorization") {
        Some("Bearer second") => json(client, 200, &recorded("vector.json")),
        _ => {
            fs::write(&rotated, "second\n")?;
            reply(client, 401, "content-type: text/plain\r\n", b"Unauthorized\n")
        }
    });
    let asking = client(&server.url, |s| s.auth = bearer(&path));
    assert_eq!(asking.instant("up", now()).await.unwrap().series.len(), 2);
    assert_eq!(server.asked().len(), 2);
    // From now on the right one is known.
    asking.instant("up", now()).await.unwrap();
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn who_is_refused_is_told_and_nothing_is_asked_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    fs::write(&path, "s3cret").unwrap();
    // The same token: once. Another one each time: twice.
    for (changes, times) in [(false, 1), (true, 2)] {
        let (rotated, count) = (path.clone(), AtomicUsize::new(0));
        let server = Fake::new(move |_, client| {
            if changes {
                fs::write(&rotated, format!("s3cret{}", count.fetch_add(1, Ordering::SeqCst)))?;
            }
            reply(client, 401, "content-type: text/plain\r\n", b"Unauthorized\n")
        });
        let denied = client(&server.url, |s| s.auth = bearer(&path)).instant("up", now()).await.unwrap_err();
        assert_eq!(denied.to_string(), format!("{} denies access: 401: Unauthorized", server.url));
        assert_eq!(server.asked().len(), times);
    }
    let server = Fake::new(|_, client| reply(client, 200, "", b""));
    let none = client(&server.url, |s| s.auth = bearer(&dir.path().join("gone"))).instant("up", now()).await.unwrap_err();
    assert!(matches!(none, Trouble::NoCredential { .. }) && none.to_string().contains("gone: no such file"), "{none}");
    assert!(server.asked().is_empty(), "without a credential nothing is asked");
}

#[tokio::test]
async fn a_program_prints_the_token_away_from_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("print-token");
    // A session of its own, so not even /dev/tty is ours.
    fs::write(&program, "#!/bin/sh\nread x && exit 3\necho \"token-$1-$(ps -o sid= -p $$ | tr -d ' ')-$$\"\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let server = Fake::new(|_, client| json(client, 200, &recorded("vector.json")));
    let asking = client(&server.url, |s| {
        s.auth = Auth::BearerCommand(vec![program.display().to_string(), "shop".into()]);
        s.launcher = vec![CUTOVER.into(), helper::APART.into()];
    });
    for _ in 0..2 {
        asking.instant("up", now()).await.unwrap();
    }
    let asked = server.asked();
    let token = asked[0].header("authorization").unwrap();
    let parts: Vec<&str> = token.split('-').collect();
    assert_eq!((parts[0], parts[1]), ("Bearer token", "shop"));
    assert_eq!(parts[2], parts[3], "it leads its own session: {token}");
    assert_eq!(asked[1].header("authorization"), Some(token), "and runs once");
}
