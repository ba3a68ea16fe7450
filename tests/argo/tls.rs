//! Certificates and proxies, with a real TLS server in front of the replayed cluster.

use super::rig::{NAMESPACE, Rig, cluster, still};
use crate::{replay::server::Options, support::tls::Tls};
use cutover::runtime::argo::connect::account::Account;
use serde_json::{Value, json};
use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

fn write(rig: &Rig, cluster: &Value, user: &Value) {
    let mut kubeconfig = rig.server.kubeconfig();
    kubeconfig["clusters"][0]["cluster"] = cluster.clone();
    kubeconfig["users"][0]["user"] = user.clone();
    fs::write(rig.dir.path().join("kubeconfig"), kubeconfig.to_string()).unwrap();
}

async fn fault(rig: &Rig) -> String {
    let fault = rig.runtime.rollouts().await.unwrap_err().to_string();
    assert_eq!(fault.lines().count(), 1, "{fault}");
    fault
}

#[tokio::test]
async fn certificates_are_checked_and_shown() {
    let rig = Rig::new(cluster(2, 1), still());
    let Some(tls) = Tls::before(&rig.server.url) else { return };
    let client = json!({ "client-certificate-data": tls.data("client.pem"), "client-key": tls.path("client.key") });
    let good = json!({ "server": tls.url(), "certificate-authority": tls.path("ca.pem") });
    // From files and from data, over a watch too.
    write(&rig, &good, &client);
    let mut told = rig.watch();
    told.until("the rollouts", |t| t.whole && t.rollouts.len() == 2).await;
    let data = json!({ "server": tls.url(), "certificate-authority-data": tls.data("ca.pem") });
    write(&rig, &data, &client);
    assert_eq!(rig.runtime.rollouts().await.unwrap().len(), 2);
    // Somebody else's authority, and none at all.
    for ca in [json!({ "server": tls.url(), "certificate-authority": tls.path("other.pem") }), json!({ "server": tls.url() })] {
        write(&rig, &ca, &client);
        let said = fault(&rig).await;
        assert!(said.contains("is not trusted: its certificate is signed by somebody unknown"), "{said}");
    }
    // Only where the kubeconfig says so.
    write(&rig, &json!({ "server": tls.url(), "insecure-skip-tls-verify": true }), &client);
    assert_eq!(rig.runtime.rollouts().await.unwrap().len(), 2);
    // Another name, and how that is put right.
    let localhost = tls.url().replace("127.0.0.1", "localhost");
    let mut named = json!({ "server": localhost, "certificate-authority": tls.path("ca.pem") });
    write(&rig, &named, &client);
    let said = fault(&rig).await;
    assert!(said.contains("is not trusted: its certificate is for another name"), "{said}");
    named["tls-server-name"] = json!("api.internal");
    write(&rig, &named, &client);
    assert_eq!(rig.runtime.rollouts().await.unwrap().len(), 2);
    // Without a certificate of ours, with one that cannot be read, and with an authority that is none.
    write(&rig, &good, &json!({}));
    let said = fault(&rig).await;
    assert!(said.contains("400"), "{said}");
    write(&rig, &good, &json!({ "client-certificate": tls.path("ca.pem"), "client-key": tls.path("gone") }));
    let said = fault(&rig).await;
    assert!(said.contains("gone"), "{said}");
    write(&rig, &json!({ "server": tls.url(), "certificate-authority": tls.path("nginx.conf") }), &client);
    let said = fault(&rig).await;
    assert!(said.contains("its certificate authority"), "{said}");
}

#[tokio::test]
async fn a_pod_looks_at_its_own_cluster_by_its_own_account_whose_token_is_renewed() {
    let options = || Options { tokens: vec!["one".into()], namespaced: true, ..still() };
    let behind = Rig::new(cluster(2, 1), options());
    let Some(tls) = Tls::open(&behind.server.url) else { return };
    let mounted = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &[u8]| fs::write(mounted.path().join(name), text).unwrap();
    put("token", b"one\n");
    put("ca.crt", &fs::read(tls.path("ca.pem")).unwrap());
    put("namespace", NAMESPACE.as_bytes());
    let rig = Rig::with(cluster(0, 0), still(), |s| {
        s.kubeconfig = vec![mounted.path().join("no-kubeconfig")];
        s.account = Some(Account { host: "127.0.0.1".into(), port: tls.port().to_string(), dir: mounted.path().into() });
    });
    let rollouts = rig.runtime.rollouts().await.unwrap();
    let said: Vec<&str> = rollouts[0].findings.iter().map(|f| f.what.as_str()).collect();
    // Its own namespace, where all of them may not be listed.
    assert_eq!((rollouts.len(), said), (2, vec!["only namespace shop is seen: listing all of them is not allowed"]));
    // The kubelet has written a new token, and the old one is refused.
    put("token", b"two");
    behind.server.accept(&["two"]);
    assert_eq!(rig.runtime.rollouts().await.unwrap().len(), 2);
    let used: std::collections::BTreeSet<Option<String>> = behind.server.log().into_iter().map(|r| r.token).collect();
    assert_eq!(used.into_iter().flatten().collect::<Vec<_>>(), ["one", "two"]);
    put("ca.crt", &fs::read(tls.path("other.pem")).unwrap());
    let said = fault(&rig).await;
    assert!(said.starts_with("this pod's cluster (https://127.0.0.1:") && said.contains("signed by somebody unknown"), "{said}");
}

#[tokio::test]
async fn a_plugin_may_answer_with_a_certificate() {
    use std::os::unix::fs::PermissionsExt;
    let rig = Rig::new(cluster(2, 1), still());
    let Some(tls) = Tls::before(&rig.server.url) else { return };
    let text = |name: &str| fs::read_to_string(tls.path(name)).unwrap();
    let answer = json!({ "kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1",
                         "status": { "clientCertificateData": text("client.pem"), "clientKeyData": text("client.key") } });
    fs::write(tls.path("answer"), answer.to_string()).unwrap();
    fs::write(tls.path("login"), format!("#!/bin/sh\ncat {}\n", tls.path("answer").display())).unwrap();
    fs::set_permissions(tls.path("login"), fs::Permissions::from_mode(0o755)).unwrap();
    let good = json!({ "server": tls.url(), "certificate-authority": tls.path("ca.pem") });
    write(&rig, &good, &json!({ "exec": { "apiVersion": "client.authentication.k8s.io/v1", "command": tls.path("login") } }));
    assert_eq!(rig.runtime.rollouts().await.unwrap().len(), 2);
}

/// A proxy that knows CONNECT, and counts.
fn proxy() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (port, count) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let counted = Arc::clone(&counted);
            thread::spawn(move || -> io::Result<()> {
                let mut reader = BufReader::new(client.try_clone()?);
                let mut line = String::new();
                reader.read_line(&mut line)?;
                let port = line.split_whitespace().nth(1).and_then(|to| to.rsplit_once(':')?.1.parse::<u16>().ok());
                while reader.read_line(&mut line)? > 2 {}
                counted.fetch_add(1, Ordering::SeqCst);
                // Wherever it is to go: names that nobody resolves are here.
                let mut server = TcpStream::connect(("127.0.0.1", port.unwrap_or_default()))?;
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
                let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
                thread::spawn(move || io::copy(&mut from, &mut to));
                io::copy(&mut reader, &mut server)?;
                Ok(())
            });
        }
    });
    (port, count)
}

#[tokio::test]
async fn a_proxy_is_used_where_the_kubeconfig_or_the_environment_names_one() {
    let (port, count) = proxy();
    let rig = Rig::new(cluster(2, 1), still());
    let there = rig.server.url.replace("127.0.0.1", "api.invalid");
    write(&rig, &json!({ "server": there, "proxy-url": format!("http://127.0.0.1:{port}") }), &json!({}));
    assert_eq!(rig.runtime.rollouts().await.unwrap().len(), 2);
    assert!(count.load(Ordering::SeqCst) > 0);
    // From the environment, and not where it says that none is needed.
    for (except, through) in [("other.invalid", true), ("invalid", false)] {
        let before = count.load(Ordering::SeqCst);
        let rig = Rig::with(cluster(1, 1), still(), |s| {
            s.proxies.http = Some(format!("127.0.0.1:{port}"));
            s.proxies.except = Some(except.into());
            s.namespaces = vec![NAMESPACE.into()];
        });
        write(&rig, &json!({ "server": rig.server.url.replace("127.0.0.1", "api.invalid") }), &json!({}));
        assert_eq!(rig.runtime.rollouts().await.is_ok(), through);
        assert_eq!(count.load(Ordering::SeqCst) > before, through, "{except}");
    }
    write(&rig, &json!({ "server": there, "proxy-url": "ftp://127.0.0.1:1" }), &json!({}));
    let said = fault(&rig).await;
    assert!(said.contains("its proxy must be http, https or socks5"), "{said}");
    write(&rig, &json!({ "server": there, "proxy-url": "http://127.0.0.1:1" }), &json!({}));
    let said = fault(&rig).await;
    assert!(said.contains("cannot reach context shop (http://api.invalid:") && said.contains("refused"), "{said}");
}
