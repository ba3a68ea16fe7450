//! Heads and bodies on their way through.

use super::{
    client::Client,
    rig::{Instance, Session, arm, only, pool, proxy, until},
};
use cutover::{host::proxy::Proxy, model::spec::ProxySpec};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::sync::{Notify, mpsc};

/// A proxy before one instance, and what the instance reads.
async fn before<F: Future<Output = ()> + Send + 'static>(
    settings: ProxySpec,
    script: impl Fn(Session) -> F + Send + Sync + 'static,
) -> (Proxy, Instance, Client) {
    let instance = Instance::start("a", script).await;
    let proxy = proxy(settings);
    proxy.program(only(arm("v1", &[&instance])));
    let client = Client::to(proxy.local_addr()).await;
    (proxy, instance, client)
}

/// The same, with the heads that the instance reads; it answers each with `answer`.
async fn recorded(settings: ProxySpec, answer: &'static str) -> (Proxy, Instance, Client, mpsc::UnboundedReceiver<super::rig::Request>) {
    let (heads, read) = mpsc::unbounded_channel();
    let (proxy, instance, client) = before(settings, move |mut s| {
        let heads = heads.clone();
        async move {
            while let Some(request) = s.request().await {
                let _ = heads.send(request);
                s.send(answer).await;
            }
        }
    })
    .await;
    (proxy, instance, client, read)
}

const NO_CONTENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";

#[tokio::test]
async fn hop_by_hop_fields_go_and_forwarding_fields_are_ours() {
    let (_proxy, instance, mut client, mut read) = recorded(
        ProxySpec::default(),
        "HTTP/1.1 201 Made It\r\ncontent-length: 0\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=9\r\nx-cutover-version: forged\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nserver: me\r\n\r\n",
    )
    .await;
    client
        .send("GET /p?q=1 HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Port: 1\r\nForwarded: for=9.9.9.9\r\nX-Cutover-Version: forged\r\nCookie: c\r\n\r\n")
        .await;
    let answer = client.answer(false).await.unwrap();
    assert!(answer.head.starts_with("HTTP/1.1 201 Made It\r\n"), "{}", answer.head);
    for gone in ["x-hop", "keep-alive", "connection", "x-cutover-version"] {
        assert_eq!(answer.field(gone), None, "{gone}");
    }
    assert_eq!((answer.head.matches("set-cookie: ").count(), answer.field("server")), (2, Some("me")));
    let request = read.recv().await.unwrap();
    assert_eq!((request.method(), request.path()), ("GET", "/p?q=1"));
    for (name, value) in [
        ("host", Some("shop.example")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some("shop.example")),
        ("cookie", Some("c")),
        ("connection", None),
        ("x-hop", None),
        ("x-forwarded-port", None),
        ("forwarded", None),
        ("x-cutover-version", None),
        ("via", None),
        ("transfer-encoding", None),
        ("content-length", None),
    ] {
        assert_eq!(request.field(name), value, "{name}");
    }
    assert_eq!(instance.connections(), 1);
}

#[tokio::test]
async fn a_trusted_peer_is_added_to_the_chain_and_the_version_is_said_only_when_configured() {
    let settings = ProxySpec { version_header: true, trusted_proxies: vec!["127.0.0.1".parse().unwrap()], ..ProxySpec::default() };
    let (proxy, _instance, mut client, mut read) = recorded(settings, NO_CONTENT).await;
    client.send("GET / HTTP/1.1\r\nhost: t\r\nx-forwarded-for: 9.9.9.9\r\nx-forwarded-proto: https\r\n\r\n").await;
    let answer = client.answer(false).await.unwrap();
    assert_eq!((answer.status, answer.field("x-cutover-version")), (204, Some("v1")));
    let request = read.recv().await.unwrap();
    assert_eq!((request.field("x-forwarded-for"), request.field("x-forwarded-proto")), (Some("9.9.9.9, 127.0.0.1"), Some("https")));
    proxy.configure(ProxySpec::default());
    assert_eq!(client.get("/").await.field("x-cutover-version"), None);
}

#[tokio::test]
async fn other_forms_of_a_target_and_old_clients_work() {
    let (_proxy, instance, mut client, mut read) = recorded(ProxySpec::default(), NO_CONTENT).await;
    client.send("GET http://other.example:81/a?b HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    assert_eq!(client.answer(false).await.unwrap().status, 204);
    let request = read.recv().await.unwrap();
    assert_eq!((request.path(), request.field("host")), ("/a?b", Some("other.example:81")));

    client.send("OPTIONS * HTTP/1.1\r\nhost: shop\r\n\r\n").await;
    assert_eq!(client.answer(false).await.unwrap().status, 204);
    assert_eq!(read.recv().await.unwrap().path(), "*");

    client.send("CONNECT other:443 HTTP/1.1\r\nhost: other\r\n\r\n").await;
    assert_eq!(client.answer(false).await.unwrap().status, 405);

    let mut old = Client::to(_proxy.local_addr()).await;
    old.send("GET /old HTTP/1.0\r\n\r\n").await;
    let answer = old.answer(false).await.unwrap();
    assert!(answer.head.starts_with("HTTP/1.0 204"), "{}", answer.head);
    assert!(old.is_closed().await);
    let request = read.recv().await.unwrap();
    assert!(request.head.starts_with("GET /old HTTP/1.1\r\n"), "{}", request.head);
    assert_eq!(request.field("host"), Some(instance.addr.to_string().as_str()));
}

#[tokio::test]
async fn two_lengths_never_reach_an_instance() {
    let (_proxy, _instance, mut client) = before(ProxySpec::default(), |mut s| async move {
        let request = s.head().await.unwrap();
        assert_eq!((request.field("content-length"), request.field("transfer-encoding")), (None, Some("chunked")));
        while !s.rest.ends_with(b"0\r\n\r\n") {
            s.more().await.unwrap();
        }
        s.ok("ok").await;
    })
    .await;
    client.send("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 30\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n").await;
    assert_eq!(client.answer(false).await.unwrap().text(), "ok");
    let mut client = Client::to(_proxy.local_addr()).await;
    client.send("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc").await;
    assert_eq!(client.answer(false).await.unwrap().status, 400);
}

#[tokio::test]
async fn answers_without_a_body_keep_what_they_say_of_it() {
    let (proxy, instance, mut client) = before(ProxySpec::default(), |mut s| async move {
        while let Some(request) = s.request().await {
            match request.path() {
                "/304" => s.send("HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n").await,
                "/204" => s.send(NO_CONTENT).await,
                "/long" => s.send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await,
                _ => s.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await,
            }
        }
    })
    .await;
    for (request, status, length) in
        [("HEAD /long", 200, Some("1000")), ("HEAD /chunked", 200, None), ("GET /304", 304, None), ("GET /204", 204, None)]
    {
        client.send(&format!("{request} HTTP/1.1\r\nhost: t\r\n\r\n")).await;
        let answer = client.answer(true).await.unwrap();
        assert_eq!((answer.status, answer.field("content-length")), (status, length), "{request}");
    }
    assert_eq!(instance.connections(), 1, "each left the connection good for the next");
    let totals = proxy.meter(&pool("v1")).totals();
    assert_eq!((totals.aborted, totals.in_flight, totals.requests), (0, 0, 4));
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once() {
    let (proxy, _instance, mut client) = before(ProxySpec::default(), |mut s| async move {
        s.head().await;
        s.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        loop {
            if s.rest.is_empty() && s.more().await.is_none() {
                return;
            }
            let said = String::from_utf8(std::mem::take(&mut s.rest)).unwrap();
            s.send(&said).await;
        }
    })
    .await;
    client.send("POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n").await;
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200"), "before any of the body is sent");
    for word in ["one", "two", "three"] {
        client.send(&format!("{:x}\r\n{word}\r\n", word.len())).await;
        assert_eq!(client.chunk().await.unwrap().unwrap(), word.as_bytes());
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.chunk().await.unwrap(), None);
    let totals = proxy.meter(&pool("v1")).totals();
    assert_eq!((totals.bytes_in, totals.bytes_out), (11, 11));
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_instance_and_not_the_memory() {
    const WHOLE: usize = 64 << 20;
    let (written, wrote) = tokio::sync::watch::channel(0usize);
    let (_proxy, _instance, mut client) = before(ProxySpec::default(), move |mut s| {
        let written = written.clone();
        async move {
            s.request().await;
            s.send(&format!("HTTP/1.1 200 OK\r\ncontent-length: {WHOLE}\r\n\r\n")).await;
            let piece = "x".repeat(1 << 16);
            for n in 1..=WHOLE / piece.len() {
                s.send(&piece).await;
                written.send_replace(n * piece.len());
            }
            s.more().await;
        }
    })
    .await;
    client.send("GET / HTTP/1.1\r\nhost: t\r\n\r\n").await;
    client.head().await.unwrap();
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = *wrote.borrow();
        if now == before {
            break;
        }
        before = now;
    }
    assert!(before > 0 && before < WHOLE / 2, "{before} bytes are under way");
    assert!(client.fill(WHOLE).await, "and all of it comes when it is read");
}

#[tokio::test]
async fn trailers_are_kept_both_ways() {
    let (_proxy, _instance, mut client) = before(ProxySpec::default(), |mut s| async move {
        let request = s.head().await.unwrap();
        assert_eq!((request.field("trailer"), request.field("te")), (Some("x-sum"), Some("trailers")));
        while !s.rest.ends_with(b"\r\n\r\n") {
            s.more().await.unwrap();
        }
        assert_eq!(std::str::from_utf8(&s.rest).unwrap(), "2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n");
        s.send("HTTP/1.1 200 OK\r\ntrailer: x-end\r\ntransfer-encoding: chunked\r\n\r\n2\r\nyo\r\n0\r\nx-end: 8\r\n\r\n").await;
    })
    .await;
    client
        .send("POST / HTTP/1.1\r\nhost: t\r\nte: trailers\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n")
        .await;
    let answer = client.answer(false).await.unwrap();
    assert_eq!((answer.text(), answer.trailers.as_str(), answer.complete), ("yo", "x-end: 8\r\n", true));
}

#[tokio::test]
async fn a_client_that_expects_100_sends_its_body_when_the_instance_asks() {
    let (proxy, instance, mut client) = before(ProxySpec::default(), |mut s| async move {
        while let Some(request) = s.head().await {
            assert_eq!(request.field("expect"), Some("100-continue"));
            if request.path() == "/refused" {
                s.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
                continue;
            }
            assert!(s.rest.is_empty());
            s.send("HTTP/1.1 100 Continue\r\n\r\n").await;
            while s.rest.len() < 2 {
                s.more().await.unwrap();
            }
            s.ok("thanks").await;
            return;
        }
    })
    .await;
    const HEAD: &str = "HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n";
    client.send(&format!("POST /wanted {HEAD}")).await;
    assert_eq!(client.answer(false).await.unwrap().status, 100);
    client.send("hi").await;
    assert_eq!(client.answer(false).await.unwrap().text(), "thanks");

    client.send(&format!("POST /refused {HEAD}")).await;
    let answer = client.answer(false).await.unwrap();
    assert_eq!(answer.status, 403, "without asking for the body");
    assert!(client.is_closed().await, "whether the body follows is not known");
    assert_eq!(instance.connections(), 2);
    until("over", || proxy.in_flight(&pool("v1")) == 0).await;
    assert_eq!(proxy.meter(&pool("v1")).totals().bytes_in, 2);
}

#[tokio::test]
async fn a_version_that_knows_nothing_of_100_gets_the_body_all_the_same() {
    let (_proxy, _instance, mut client) = before(ProxySpec::default(), |mut s| async move {
        s.request().await;
        s.ok("thanks").await;
    })
    .await;
    client.send("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n").await;
    assert_eq!(client.answer(false).await.unwrap().status, 100);
    client.send("hi").await;
    assert_eq!(client.answer(false).await.unwrap().text(), "thanks");
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_is_passed_on() {
    let (proxy, _instance, mut client) = before(ProxySpec::default(), |mut s| async move {
        s.head().await;
        s.send("HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig").await;
        s.more().await;
    })
    .await;
    client.send("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 1000000\r\n\r\nstart").await;
    let answer = client.answer(false).await.unwrap();
    assert_eq!((answer.status, answer.text()), (413, "big"));
    until("over", || proxy.in_flight(&pool("v1")) == 0).await;
    let totals = proxy.meter(&pool("v1")).totals();
    assert_eq!((totals.class[3], totals.errors, totals.upstream_failures), (1, 0, 0));
}

#[tokio::test]
async fn a_body_that_is_cut_is_visibly_cut_and_there_is_one_head() {
    for (head, reset, old) in [
        ("content-length: 100", false, false),
        ("content-length: 100", true, false),
        ("transfer-encoding: chunked", false, false),
        ("transfer-encoding: chunked", true, false),
        ("connection: close", true, false),
        // A client of HTTP/1.0 can tell only by a reset.
        ("transfer-encoding: chunked", false, true),
        ("connection: close", true, true),
    ] {
        let (end, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let go = Arc::clone(&end);
        let gone = Arc::clone(&ended);
        let (proxy, _instance, mut client) = before(ProxySpec::default(), move |mut s| {
            let (go, gone) = (Arc::clone(&go), Arc::clone(&gone));
            async move {
                s.request().await;
                let start = if head.starts_with("transfer") { "5\r\nstart\r\n5\r\nha" } else { "start" };
                s.send(&format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{start}")).await;
                // What was sent has to arrive before a reset would throw it away.
                go.notified().await;
                if reset {
                    s.reset();
                } else {
                    drop(s);
                }
                gone.notify_one();
            }
        })
        .await;
        let version = if old { "1.0" } else { "1.1" };
        client.send(&format!("GET / HTTP/{version}\r\nhost: t\r\n\r\n")).await;
        let meter = proxy.meter(&pool("v1"));
        until("the start has arrived", || meter.totals().bytes_out >= 5).await;
        end.notify_one();
        ended.notified().await;
        let answer = client.answer(false).await.unwrap();
        assert_eq!((answer.status, answer.complete), (200, false), "{head} reset={reset} old={old}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("HTTP/"), "one head");
        until("over", || proxy.in_flight(&pool("v1")) == 0).await;
        assert_eq!((meter.totals().upstream_failures, meter.totals().errors, meter.totals().aborted), (1, 0, 0));
        assert_eq!(meter.failed()[0].error.as_ref().unwrap().as_str(), "the instance ended the body early");
    }
}

#[tokio::test]
async fn a_head_that_comes_together_with_the_end_is_passed_on_before_the_cut() {
    for start in ["", "some"] {
        let (_proxy, _instance, mut client) = before(ProxySpec::default(), move |mut s| async move {
            s.request().await;
            s.send(&format!("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{start}")).await;
        })
        .await;
        client.send("GET / HTTP/1.1\r\nhost: t\r\n\r\n").await;
        let answer = client.answer(false).await.expect("one head");
        assert_eq!((answer.status, answer.text(), answer.complete), (200, start, false));
    }
}
