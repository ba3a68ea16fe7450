//! Who gets which request.

use super::{
    client::Client,
    rig::{Instance, arm, both, only, pool, proxy, until},
};
use cutover::{
    host::proxy::{Proxy, Table},
    model::{ratio::Weight, spec::ProxySpec},
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::sync::Notify;

#[tokio::test]
async fn the_candidate_gets_exactly_its_share_and_everything_stays_on_one_connection() {
    let (old, new) = (Instance::plain("old").await, Instance::plain("new").await);
    let proxy = proxy(ProxySpec::default());
    let mut client = Client::to(proxy.local_addr()).await;
    for (percent, expected) in [(0.0, 0), (12.5, 50), (50.0, 200), (100.0, 400), (0.0, 0)] {
        proxy.program(both(arm("v1", &[&old]), arm("v2", &[&new]), percent));
        assert_eq!(proxy.programmed(), (Some(pool("v2")), Weight::from_percent(percent).unwrap()));
        let before = proxy.meter(&pool("v2")).totals().started;
        let mut hits = 0;
        for _ in 0..400 {
            hits += u32::from(client.get("/").await.text().starts_with("new"));
        }
        assert_eq!((hits, proxy.meter(&pool("v2")).totals().started - before), (expected, u64::from(expected)), "{percent} %");
    }
    assert_eq!(proxy.programmed(), (Some(pool("v2")), Weight::ZERO));
}

#[tokio::test]
async fn within_a_version_the_least_loaded_instance_gets_the_next_one_and_ties_take_turns() {
    let slow = Instance::start("slow", |mut s| async move {
        while s.request().await.is_some() {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    })
    .await;
    let (a, b) = (Instance::plain("a").await, Instance::plain("b").await);
    let proxy = proxy(ProxySpec::default());
    proxy.program(only(arm("v1", &[&slow])));
    let mut held = Client::to(proxy.local_addr()).await;
    held.send("GET / HTTP/1.1\r\nhost: t\r\n\r\n").await;
    until("the slow one has it", || proxy.in_flight_of(&slow.id()) == 1).await;
    proxy.program(only(arm("v1", &[&a, &slow, &b])));
    let mut client = Client::to(proxy.local_addr()).await;
    let mut hits = [0, 0];
    for _ in 0..40 {
        let answer = client.get("/").await;
        hits[usize::from(answer.text().starts_with('b'))] += 1;
    }
    assert!(hits[0] >= 10 && hits[1] >= 10, "ties take turns: {hits:?}");
    assert_eq!((proxy.in_flight(&pool("v1")), proxy.in_flight_of(&slow.id())), (1, 1), "kept over the new table");
}

#[tokio::test]
async fn a_candidate_without_instances_spills_to_stable_and_stable_never_spills() {
    let (old, new) = (Instance::plain("old").await, Instance::plain("new").await);
    let proxy = proxy(ProxySpec::default());
    let mut client = Client::to(proxy.local_addr()).await;
    proxy.program(both(arm("v1", &[&old]), arm("v2", &[]), 25.0));
    for _ in 0..40 {
        assert!(client.get("/").await.text().starts_with("old"));
    }
    let (stable, candidate) = (proxy.meter(&pool("v1")).totals(), proxy.meter(&pool("v2")).totals());
    assert_eq!((candidate.unavailable, candidate.started, candidate.errors), (10, 0, 0));
    assert_eq!((stable.requests, stable.unavailable, stable.errors), (40, 0, 0));

    proxy.program(both(arm("v1", &[]), arm("v2", &[&new]), 25.0));
    let mut answers = [0, 0];
    for _ in 0..40 {
        let answer = client.get("/x?secret=1").await;
        match answer.status {
            200 => answers[0] += 1,
            503 => {
                assert_eq!(answer.field("retry-after"), Some("1"));
                answers[1] += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(answers, [10, 30]);
    let stable = proxy.meter(&pool("v1"));
    assert_eq!((stable.totals().unavailable, stable.totals().errors, stable.totals().in_flight), (30, 30, 0));
    let failed = stable.failed();
    assert_eq!((failed.len(), failed[0].path.as_str(), failed[0].status, failed[0].instance.as_ref()), (30, "/x", Some(503), None));
}

#[tokio::test]
async fn without_any_version_the_answer_is_503() {
    let proxy = proxy(ProxySpec::default());
    let mut client = Client::to(proxy.local_addr()).await;
    assert_eq!(client.get("/").await.status, 503);
    assert_eq!((proxy.unrouted(), proxy.programmed()), (1, (None, Weight::ZERO)));
    proxy.program(Table::default());
    assert_eq!(client.get("/").await.status, 503);
}

#[tokio::test]
async fn a_version_that_leaves_finishes_what_it_has_and_loses_its_idle_connections_at_once() {
    let closed = Arc::new(AtomicUsize::new(0));
    let release = Arc::new(Notify::new());
    let (count, released) = (Arc::clone(&closed), Arc::clone(&release));
    let old = Instance::start("old", move |mut s| {
        let (count, released) = (Arc::clone(&count), Arc::clone(&released));
        async move {
            while let Some(request) = s.request().await {
                if request.path().starts_with("/slow") {
                    released.notified().await;
                }
                s.ok("old").await;
            }
            count.fetch_add(1, SeqCst);
        }
    })
    .await;
    let new = Instance::plain("new").await;
    let proxy = proxy(ProxySpec::default());
    proxy.program(only(arm("v1", &[&old])));
    let mut client = Client::to(proxy.local_addr()).await;
    client.send("GET /slow?a=secret HTTP/1.1\r\nhost: t\r\n\r\n").await;
    until("it is on its way", || proxy.in_flight(&pool("v1")) == 1).await;
    assert_eq!(Client::to(proxy.local_addr()).await.get("/").await.text(), "old");
    until("the other one is over", || proxy.in_flight(&pool("v1")) == 1).await;
    assert_eq!((old.connections(), closed.load(SeqCst)), (2, 0));

    proxy.program(only(arm("v2", &[&new])));
    until("the idle connection is closed", || closed.load(SeqCst) == 1).await;
    assert_eq!((proxy.in_flight(&pool("v1")), proxy.in_flight_of(&old.id())), (1, 1));
    let lingering = proxy.lingering(&pool("v1"));
    assert_eq!((lingering.len(), lingering[0].method.as_str(), lingering[0].path.as_str()), (1, "GET", "/slow"));
    release.notify_one();
    assert_eq!(client.answer(false).await.unwrap().text(), "old");
    until("drained, and the connection is not kept", || proxy.in_flight(&pool("v1")) == 0 && closed.load(SeqCst) == 2).await;
    assert!(client.get("/").await.text().starts_with("new"), "the client keeps its connection");
    assert_eq!(proxy.meter(&pool("v1")).totals().started, 2);

    proxy.forget(&pool("v2"));
    assert_eq!(proxy.meter(&pool("v2")).totals().started, 1, "not while it is in the table");
    proxy.forget(&pool("v1"));
    assert_eq!(proxy.meter(&pool("v1")).totals().started, 0, "forgotten");
}

#[tokio::test]
async fn a_cut_ends_what_is_in_flight_and_says_how_many() {
    let old = Instance::start("old", |mut s| async move {
        s.request().await;
        s.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
        s.more().await;
    })
    .await;
    let proxy = proxy(ProxySpec::default());
    proxy.program(only(arm("v1", &[&old])));
    let mut client = Client::to(proxy.local_addr()).await;
    client.send("GET /stream HTTP/1.1\r\nhost: t\r\n\r\n").await;
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 200"));
    assert!(client.fill(4).await);
    proxy.program(Table::default());
    assert_eq!(proxy.cut(&pool("v1")), 1);
    assert_eq!(proxy.cut(&pool("v1")), 0, "each once");
    assert!(!client.fill(100).await, "visibly cut");
    until("over", || proxy.in_flight(&pool("v1")) == 0).await;
    let totals = proxy.meter(&pool("v1")).totals();
    assert_eq!((totals.aborted, totals.upstream_failures, totals.errors), (0, 0, 0), "neither the client's nor the version's doing");
}

#[tokio::test]
async fn a_shutdown_lets_requests_finish_and_closes_the_rest() {
    let slow = Instance::start("slow", |mut s| async move {
        while let Some(request) = s.request().await {
            tokio::time::sleep(Duration::from_millis(if request.path() == "/never" { 60_000 } else { 200 })).await;
            s.ok("late").await;
        }
    })
    .await;
    for (path, finishes) in [("/soon", true), ("/never", false)] {
        let proxy = proxy(ProxySpec::default());
        proxy.program(only(arm("v1", &[&slow])));
        let mut idle = Client::to(proxy.local_addr()).await;
        let mut client = Client::to(proxy.local_addr()).await;
        client.send(&format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n")).await;
        until("it is on its way", || proxy.in_flight(&pool("v1")) == 1).await;
        let grace = if finishes { Duration::from_secs(10) } else { Duration::from_millis(100) };
        tokio::time::timeout(Duration::from_secs(10), proxy.shutdown(grace)).await.unwrap();
        assert_eq!(client.answer(false).await.is_some_and(|a| a.status == 200), finishes);
        assert!(idle.is_closed().await);
        assert!(tokio::net::TcpStream::connect(proxy.local_addr()).await.is_err(), "nobody listens any more");
        assert_eq!(proxy.in_flight(&pool("v1")), 0);
        assert_eq!(proxy.meter(&pool("v1")).totals().aborted, 0);
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_in_one_line() {
    let first = proxy(ProxySpec::default());
    let clock = Arc::new(cutover::clock::SystemClock::start());
    let taken: SocketAddr = first.local_addr();
    let error = Proxy::bind("shop".into(), taken, ProxySpec::default(), clock).err().unwrap();
    assert_eq!(error.to_string(), format!("cannot listen on {taken}: port taken: another program listens there"));
}
