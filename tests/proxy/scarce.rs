//! Out of file descriptors: in a process of its own, because the limit is the whole process's.

use super::{
    client::Client,
    rig::{Instance, arm, only, proxy, until},
};
use cutover::model::spec::ProxySpec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{net::TcpStream, process::Command, time::Duration};

const CHILD: &str = "CUTOVER_TEST_SCARCE";

#[test]
fn the_proxy_goes_on_after_it_ran_out_of_descriptors() {
    let output = Command::new("/proc/self/exe").args(["proxy::scarce::child", "--exact", "--nocapture"]).env(CHILD, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("SERVED AGAIN"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn child() {
    if std::env::var(CHILD).is_err() {
        return;
    }
    let instance = Instance::plain("a").await;
    let proxy = proxy(ProxySpec::default());
    proxy.program(only(arm("v1", &[&instance])));
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).unwrap();
    let mut clients = Vec::new();
    // Each takes one descriptor here, and one more when the proxy accepts it.
    while let Ok(client) = TcpStream::connect(proxy.local_addr()) {
        clients.push(client);
        assert!(clients.len() < 64, "the limit does not hold");
    }
    // The proxy tries to accept the others meanwhile, and cannot.
    tokio::time::sleep(Duration::from_millis(250)).await;
    drop(clients);
    let open = || std::fs::read_dir("/proc/self/fd").is_ok_and(|fds| fds.count() < 24);
    until("all are closed", open).await;
    let answer = Client::to(proxy.local_addr()).await.get("/").await;
    assert_eq!(answer.text(), "a 0");
    println!("SERVED AGAIN");
}
