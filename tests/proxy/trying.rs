//! What is sent again, what never is, and what a client gets when no instance answers.

use super::{
    client::{Answer, Client},
    rig::{Instance, Session, arm, both, only, pool, proxy, until},
};
use cutover::model::spec::ProxySpec;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

/// Answers the first request of each connection, and lets the second one meet `then`.
async fn faulty_when_reused<F: Future<Output = ()> + Send + 'static>(
    name: &str,
    then: impl Fn(Session) -> F + Clone + Send + Sync + 'static,
) -> Instance {
    Instance::start(name, move |mut s| {
        let then = then.clone();
        async move {
            s.request().await;
            let number = s.number;
            s.ok(&format!("answer {number}")).await;
            if s.request().await.is_some() {
                then(s).await;
            }
        }
    })
    .await
}

/// One request that leaves an idle connection behind, then `request`.
async fn second(instance: &Instance, request: &str) -> (Answer, cutover::host::meter::Totals) {
    let proxy = proxy(ProxySpec::default());
    proxy.program(only(arm("v1", &[instance])));
    let mut client = Client::to(proxy.local_addr()).await;
    assert_eq!(client.get("/").await.status, 200);
    client.send(request).await;
    let answer = client.answer(request.starts_with("HEAD")).await.unwrap();
    (answer, proxy.meter(&pool("v1")).totals())
}

#[tokio::test]
async fn an_idempotent_request_is_repeated_once_if_its_reused_connection_closes_without_a_byte() {
    for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
        for reset in [false, true] {
            let instance = faulty_when_reused("a", move |s| async move {
                if reset {
                    s.reset();
                }
            })
            .await;
            let (answer, totals) = second(&instance, &format!("{method} / HTTP/1.1\r\nhost: t\r\n\r\n")).await;
            assert_eq!((answer.status, instance.connections()), (200, 2), "{method}");
            assert_eq!((totals.started, totals.requests, totals.retries, totals.errors, totals.upstream_failures), (2, 2, 1, 0, 0));
        }
    }
}

#[tokio::test]
async fn a_repeated_request_goes_to_another_instance_of_its_version_if_there_is_one() {
    let bad = faulty_when_reused("bad", |_| async {}).await;
    let (good, candidate) = (Instance::plain("good").await, Instance::plain("candidate").await);
    let proxy = proxy(ProxySpec::default());
    proxy.program(only(arm("v1", &[&bad])));
    let mut client = Client::to(proxy.local_addr()).await;
    client.get("/").await;
    proxy.program(both(arm("v1", &[&bad, &good]), arm("v2", &[&candidate]), 0.0));
    let mut retried = 0;
    for _ in 0..4 {
        assert_eq!(client.get("/").await.status, 200);
        retried = proxy.meter(&pool("v1")).totals().retries;
        if retried > 0 {
            break;
        }
    }
    assert_eq!((retried, bad.connections(), candidate.connections()), (1, 1, 0));
    assert_eq!((proxy.in_flight(&pool("v1")), proxy.in_flight_of(&bad.id()), proxy.in_flight_of(&good.id())), (0, 0, 0));
}

#[tokio::test]
async fn what_was_switched_off_gets_no_repeated_request_on_a_new_instance() {
    let release = Arc::new(tokio::sync::Notify::new());
    let released = Arc::clone(&release);
    let bad = faulty_when_reused("bad", move |s| {
        let released = Arc::clone(&released);
        async move {
            released.notified().await;
            drop(s);
        }
    })
    .await;
    let (good, new) = (Instance::plain("good").await, Instance::plain("new").await);
    let proxy = proxy(ProxySpec::default());
    proxy.program(only(arm("v1", &[&bad])));
    let mut client = Client::to(proxy.local_addr()).await;
    client.get("/").await;
    client.send("GET / HTTP/1.1\r\nhost: t\r\n\r\n").await;
    until("it is on its way", || proxy.in_flight(&pool("v1")) == 1).await;
    proxy.program(only(arm("v1", &[&bad, &good])));
    proxy.program(only(arm("v2", &[&new])));
    release.notify_one();
    assert_eq!(client.answer(false).await.unwrap().text(), "answer 1", "the instance that is held for it has it again");
    assert_eq!((bad.connections(), good.connections(), new.connections()), (2, 0, 0));
}

#[tokio::test]
async fn everything_else_goes_on_fresh_connections_and_is_never_repeated() {
    for request in [
        "POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\n\r\n",
        "PATCH / HTTP/1.1\r\nhost: t\r\n\r\n",
        "PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\nhi",
        "GET / HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\nhi",
    ] {
        let seen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen);
        // Connection 1 closes without an answer; had it gone on connection 0, that would close too.
        let instance = Instance::start("a", move |mut s| {
            let count = Arc::clone(&count);
            async move {
                while s.request().await.is_some() {
                    if s.number > 0 || s.served > 1 {
                        count.fetch_add(1, SeqCst);
                        return;
                    }
                    s.ok("first").await;
                }
            }
        })
        .await;
        let (answer, totals) = second(&instance, request).await;
        assert_eq!((answer.status, seen.load(SeqCst), instance.connections()), (502, 1, 2), "{request}");
        assert_eq!((totals.retries, totals.errors, totals.upstream_failures), (0, 1, 1));
    }
}

#[tokio::test]
async fn after_any_byte_of_an_answer_nothing_is_repeated() {
    let instance = faulty_when_reused("a", |mut s| async move { s.send("H").await }).await;
    let (answer, totals) = second(&instance, "GET / HTTP/1.1\r\nhost: t\r\n\r\n").await;
    assert_eq!((answer.status, instance.connections(), totals.retries, totals.errors), (502, 1, 0, 1));
}

#[tokio::test]
async fn a_fresh_connection_that_closes_is_the_answer() {
    let instance = Instance::start("a", |mut s| async move { drop(s.request().await) }).await;
    let proxy = proxy(ProxySpec::default());
    proxy.program(only(arm("v1", &[&instance])));
    let mut client = Client::to(proxy.local_addr()).await;
    assert_eq!(client.get("/a?token=secret").await.status, 502);
    let meter = proxy.meter(&pool("v1"));
    assert_eq!((instance.connections(), meter.totals().retries, meter.totals().upstream_failures), (1, 0, 1));
    let failed = meter.failed();
    assert_eq!((failed[0].method.as_str(), failed[0].path.as_str(), failed[0].status), ("GET", "/a", Some(502)));
    assert_eq!(failed[0].error.as_ref().unwrap().as_str(), "the connection was closed without an answer");
    assert_eq!(failed[0].instance, Some(instance.id()));
}

#[tokio::test]
async fn a_repeated_request_that_fails_again_is_502_and_one_failure() {
    let instance = Instance::start("a", |mut s| async move {
        s.request().await;
        if s.number == 0 {
            s.ok("first").await;
            s.request().await;
        }
    })
    .await;
    let (answer, totals) = second(&instance, "GET / HTTP/1.1\r\nhost: t\r\n\r\n").await;
    assert_eq!((answer.status, instance.connections()), (502, 2));
    assert_eq!((totals.retries, totals.upstream_failures, totals.errors, totals.requests), (1, 1, 1, 2));
}

#[tokio::test]
async fn nobody_there_and_nonsense_are_502() {
    let nobody = Instance::plain("nobody").await;
    let gone = arm("v1", &[&nobody]);
    drop(nobody);
    let nonsense = Instance::start("nonsense", |mut s| async move {
        s.request().await;
        s.send("220 mail.example ESMTP\r\n").await;
    })
    .await;
    let switching = Instance::start("switching", |mut s| async move {
        s.request().await;
        s.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n").await;
    })
    .await;
    let proxy = proxy(ProxySpec::default());
    let mut client = Client::to(proxy.local_addr()).await;
    for arm in [gone, arm("v1", &[&nonsense]), arm("v1", &[&switching])] {
        proxy.program(only(arm));
        let answer = client.get("/").await;
        assert_eq!((answer.status, answer.text()), (502, "502 no answer\n"));
    }
    let meter = proxy.meter(&pool("v1"));
    let errors: Vec<String> = meter.failed().into_iter().map(|f| f.error.unwrap().to_string()).collect();
    assert!(errors[0].starts_with("cannot connect: Connection refused"), "{errors:?}");
    assert_eq!(errors[1..], ["an answer that is not HTTP", "an upgrade that nobody asked for"]);
    assert_eq!((meter.totals().errors, meter.latencies().count()), (3, 0), "a version that is down is not fast");
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_504() {
    let slow = Instance::start("slow", |mut s| async move {
        s.request().await;
        s.more().await;
    })
    .await;
    let millis = Duration::from_millis;
    for (total, per_try, said) in
        [(millis(60_000), millis(80), "no answer within 80ms"), (millis(90), millis(60_000), "no answer within 90ms")]
    {
        let proxy = proxy(ProxySpec { timeout: total, try_timeout: per_try, ..ProxySpec::default() });
        proxy.program(only(arm("v1", &[&slow])));
        let mut client = Client::to(proxy.local_addr()).await;
        let answer = client.get("/").await;
        assert_eq!((answer.status, answer.text()), (504, "504 no answer in time\n"));
        let meter = proxy.meter(&pool("v1"));
        assert_eq!(meter.failed()[0].error.as_ref().unwrap().as_str(), said);
        assert_eq!((meter.totals().errors, meter.totals().upstream_failures, meter.latencies().count()), (1, 1, 1));
        proxy.configure(ProxySpec { timeout: millis(10), ..ProxySpec::default() });
        client.get("/").await;
        assert_eq!(meter.failed()[1].error.as_ref().unwrap().as_str(), "no answer within 10ms", "the new settings");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_is_no_error_and_the_instance_is_let_go() {
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    let instance = Instance::start("a", move |mut s| {
        let count = Arc::clone(&count);
        async move {
            let request = s.request().await.unwrap();
            if request.path() == "/body" {
                s.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
            }
            while s.more().await.is_some() {}
            count.fetch_add(1, SeqCst);
        }
    })
    .await;
    let proxy = proxy(ProxySpec::default());
    proxy.program(only(arm("v1", &[&instance])));
    let meter = proxy.meter(&pool("v1"));
    for (n, path, heads) in [(1, "/head", 0), (2, "/body", 1)] {
        let mut client = Client::to(proxy.local_addr()).await;
        client.send(&format!("GET {path} HTTP/1.1\r\nhost: t\r\n\r\n")).await;
        if path == "/body" {
            client.head().await.unwrap();
            client.chunk().await.unwrap();
        } else {
            until("it is on its way", || instance.connections() == n).await;
        }
        drop(client);
        until("the instance is let go", || told.load(SeqCst) == n).await;
        until("it is counted", || meter.totals().aborted == n as u64).await;
        let totals = meter.totals();
        assert_eq!((totals.requests, totals.errors, totals.upstream_failures, totals.in_flight), (heads, 0, 0, 0));
    }
    assert!(meter.failed().is_empty());
}

#[tokio::test]
async fn a_client_that_stops_in_the_middle_of_its_body_is_no_error_of_the_version() {
    let instance = Instance::start("a", |mut s| async move {
        s.head().await;
        while s.more().await.is_some() {}
    })
    .await;
    let proxy = proxy(ProxySpec::default());
    proxy.program(only(arm("v1", &[&instance])));
    let mut client = Client::to(proxy.local_addr()).await;
    client.send("POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\nhalf").await;
    until("it is on its way", || proxy.meter(&pool("v1")).totals().bytes_in == 4).await;
    drop(client);
    until("it is counted", || proxy.meter(&pool("v1")).totals().aborted == 1).await;
    let totals = proxy.meter(&pool("v1")).totals();
    assert_eq!((totals.requests, totals.errors, totals.upstream_failures, totals.in_flight), (0, 0, 0, 0));
}
