//! Upgraded connections: they outlive a switch, are counted and listed apart, and can be cut.

use super::{
    client::Client,
    rig::{Instance, arm, only, pool, proxy, until},
};
use cutover::model::spec::ProxySpec;
use tokio::io::AsyncWriteExt;

const ASK: &str = "GET /ws?token=secret HTTP/1.1\r\nhost: t\r\nconnection: keep-alive, Upgrade\r\nupgrade: echo\r\n\r\n";

async fn echo(name: &str) -> Instance {
    Instance::start(name, |mut s| async move {
        let request = s.request().await.unwrap();
        assert_eq!((request.field("connection"), request.field("upgrade")), (Some("upgrade"), Some("echo")));
        // The first bytes come together with the head.
        s.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\nx-extra: 1\r\n\r\nhello").await;
        while s.more().await.is_some() {
            let said = std::mem::take(&mut s.rest);
            s.stream.write_all(&said).await.unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn an_upgraded_connection_outlives_a_switch_is_listed_and_can_be_cut() {
    let (old, new) = (echo("old").await, Instance::plain("new").await);
    let proxy = proxy(ProxySpec::default());
    proxy.program(only(arm("v1", &[&old])));
    let mut client = Client::to(proxy.local_addr()).await;
    client.send(ASK).await;
    let answer = client.answer(false).await.unwrap();
    assert_eq!((answer.status, answer.field("upgrade"), answer.field("connection")), (101, Some("echo"), Some("upgrade")));
    assert_eq!(answer.field("x-extra"), Some("1"));
    assert!(client.fill(5).await);
    assert_eq!((proxy.in_flight(&pool("v1")), proxy.upgraded(&pool("v1")), proxy.upgraded_of(&old.id())), (0, 1, 1));

    proxy.program(only(arm("v2", &[&new])));
    client.rest.clear();
    client.send("still here").await;
    assert!(client.fill(10).await);
    assert_eq!(client.rest, b"still here");
    let listed = proxy.lingering(&pool("v1"));
    assert_eq!((listed.len(), listed[0].upgraded, listed[0].path.as_str(), &listed[0].instance), (1, true, "/ws", &old.id()));
    let totals = proxy.meter(&pool("v1")).totals();
    assert_eq!((totals.class, totals.upgraded, totals.in_flight, totals.bytes_in, totals.bytes_out), ([1, 0, 0, 0, 0], 1, 0, 10, 15));
    assert_eq!(proxy.meter(&pool("v1")).latencies().count(), 0, "left out of latency");

    client.rest.clear();
    assert_eq!(proxy.cut(&pool("v1")), 1);
    assert!(client.is_closed().await);
    until("it is over", || proxy.upgraded(&pool("v1")) == 0).await;
    let totals = proxy.meter(&pool("v1")).totals();
    assert_eq!((totals.upgraded, totals.aborted, totals.errors), (0, 0, 0));
}

#[tokio::test]
async fn an_upgraded_connection_ends_when_either_side_ends_it() {
    for client_ends in [true, false] {
        let instance = Instance::start("a", move |mut s| async move {
            s.request().await;
            s.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await;
            if client_ends {
                while s.more().await.is_some() {}
            }
        })
        .await;
        let proxy = proxy(ProxySpec::default());
        proxy.program(only(arm("v1", &[&instance])));
        let mut client = Client::to(proxy.local_addr()).await;
        client.send(ASK).await;
        assert_eq!(client.answer(false).await.unwrap().status, 101);
        if client_ends {
            drop(client);
        } else {
            assert!(client.is_closed().await);
            drop(client);
        }
        until("it is over", || proxy.upgraded(&pool("v1")) == 0).await;
        assert_eq!(proxy.meter(&pool("v1")).totals().aborted, 0);
    }
}

#[tokio::test]
async fn an_upgrade_that_is_refused_is_an_ordinary_answer() {
    let plain = Instance::plain("plain").await;
    let proxy = proxy(ProxySpec::default());
    proxy.program(only(arm("v1", &[&plain])));
    let mut client = Client::to(proxy.local_addr()).await;
    client.send(ASK).await;
    assert_eq!(client.answer(false).await.unwrap().text(), "plain 0");
    assert_eq!(client.get("/").await.text(), "plain 0", "both connections are still good");
    assert_eq!(proxy.upgraded(&pool("v1")), 0);
}

#[tokio::test]
async fn a_shutdown_ends_upgraded_connections_after_its_grace() {
    let old = echo("old").await;
    let proxy = proxy(ProxySpec::default());
    proxy.program(only(arm("v1", &[&old])));
    let mut client = Client::to(proxy.local_addr()).await;
    client.send(ASK).await;
    assert_eq!(client.answer(false).await.unwrap().status, 101);
    assert!(client.fill(5).await);
    client.rest.clear();
    proxy.shutdown(std::time::Duration::from_millis(50)).await;
    assert!(client.is_closed().await);
    assert_eq!(proxy.upgraded(&pool("v1")), 0);
}
