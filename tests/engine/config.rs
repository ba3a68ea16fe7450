//! The configuration file is read at each deploy; what runs, runs by the frozen copy.

use super::rig::{canary, deploy, sample, version};
use crate::support::host::Host;
use std::{
    fs,
    net::{SocketAddr, TcpListener},
};

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn edit(host: &Host, from: &str, to: &str) {
    let config = fs::read_to_string(host.config()).unwrap();
    assert!(config.contains(from), "{config}");
    fs::write(host.config(), config.replace(from, to)).unwrap();
}

fn named(host: &Host) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        cutover::tls::ready();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("http://{}/", host.address)).send().await.unwrap();
        answer.headers().get("x-cutover-version").map(|v| v.to_str().unwrap().to_owned())
    })
}

#[test]
fn the_proxy_follows_the_stable_version_not_the_file() {
    let mut host = canary("");
    edit(&host, "drain = \"2s\"", "drain = \"2s\"\nproxy = { version_header = true }");
    host.ok(&["revert", "web"]);
    host.until("back", |r| r.phase == cutover::model::rollout::Phase::Reverted);
    // Neither the file nor a canary of the new configuration changes how requests are passed on.
    deploy(&host, "web", &version(&host, "v3", ""), "paused");
    assert_eq!(named(&host), None);
    host.ok(&["promote", "web", "--yes"]);
    host.ok(&["wait", "web", "--for", "completed", "--timeout", "60s"]);
    let id = host.rollout().stable().unwrap().version.id.as_str().to_owned();
    assert_eq!(named(&host), Some(id.clone()));
    // A restarted host uses the frozen copy.
    edit(&host, "version_header = true", "version_header = false");
    host.kill();
    host.run();
    host.until("serving", |r| r.stable().unwrap().pools.iter().any(|p| p.ready == 1));
    assert_eq!(named(&host), Some(id));
}

#[test]
fn a_service_listens_where_its_stable_version_was_told_to() {
    let (one, two) = (free(), free());
    let dir = tempfile::tempdir().unwrap();
    let mut host = Host::prepare(dir.path(), &sample("web", "").replace("127.0.0.1:0", &one.to_string()));
    host.run();
    deploy(&host, "web", &version(&host, "v1", ""), "completed");
    edit(&host, &one.to_string(), &two.to_string());
    host.kill();
    host.run();
    assert_eq!(host.address, one.to_string(), "the file affects the next deploy only");
    deploy(&host, "web", &version(&host, "v2", ""), "paused");
    assert!(host.ok(&["get", "web", "-o", "json"]).contains("web"));
    host.ok(&["promote", "web", "--yes"]);
    host.ok(&["wait", "web", "--for", "completed", "--timeout", "60s"]);
    assert_eq!(host.get("/").0, 200, "still on the old address");
    host.kill();
    host.run();
    assert_eq!(host.address, two.to_string(), "from the next start on");
    host.until("serving", |r| r.stable().unwrap().pools.iter().any(|p| p.ready == 1));
    assert_eq!(host.get("/").0, 200);

    // The port was lost to another program: the file says where else, and the host starts.
    host.kill();
    let _taken = TcpListener::bind(two).unwrap();
    let three = free();
    edit(&host, &two.to_string(), &three.to_string());
    host.run();
    assert_eq!(host.address, three.to_string());
    host.stop();
}

#[test]
fn a_service_that_is_new_in_the_file_does_not_keep_the_host_from_starting() {
    let (one, two) = (free(), free());
    let dir = tempfile::tempdir().unwrap();
    let mut host = Host::prepare(dir.path(), &sample("web", "").replace("127.0.0.1:0", &one.to_string()));
    host.run();
    deploy(&host, "web", &version(&host, "v1", ""), "completed");
    host.kill();
    // `web` is to move, and a new service to take its port: in the file they do not clash.
    edit(&host, &one.to_string(), &two.to_string());
    let file = fs::read_to_string(host.config()).unwrap();
    fs::write(host.config(), format!("{file}{}", sample("new", "").replace("127.0.0.1:0", &one.to_string()))).unwrap();
    host.run();
    assert_eq!(host.address, one.to_string());
    host.until("serving", |r| r.stable().is_some_and(|t| t.pools.iter().any(|p| p.ready == 1)));
    assert_eq!(host.get("/").0, 200);
    assert!(host.log().contains("service new cannot be opened"), "{}", host.log());
    let said = host.verb(&["deploy", "new", &version(&host, "v2", "")]);
    assert!(said.status.code() == Some(4) && String::from_utf8_lossy(&said.stderr).contains("port taken"), "{said:?}");
    // In one file it is refused at once.
    edit(&host, &two.to_string(), &one.to_string());
    let said = host.verb(&["config", "check"]);
    assert!(said.status.code() == Some(2) && String::from_utf8_lossy(&said.stderr).contains(&one.port().to_string()), "{said:?}");
    host.stop();
}
