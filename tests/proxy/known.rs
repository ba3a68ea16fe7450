//! Clients that stay on their version, and testers.

use super::{
    client::{Answer, Client},
    rig::{Instance, arm, both, only, pool, proxy},
};
use cutover::{
    clock::SystemClock,
    host::proxy::{Proxy, Table},
    model::{
        digest::Digest,
        routing::{OnRevert, Routing, Sticky, Tester},
        spec::{ProxySpec, SecretSource},
    },
};
use std::{collections::BTreeMap, sync::Arc};

fn routing(sticky: Option<Sticky>) -> Routing {
    let tester = Some(Tester { header: "x-cutover-track".into(), secret: SecretSource::Env("T".into()) });
    Routing { sticky, tester, on_revert: OnRevert::Finish }
}

async fn get(client: &mut Client, fields: &str) -> Answer {
    client.send(&format!("GET / HTTP/1.1\r\nhost: t\r\n{fields}\r\n")).await;
    client.answer(false).await.unwrap()
}

fn on_new(answer: &Answer) -> bool {
    assert_eq!(answer.status, 200);
    answer.text().starts_with("new")
}

/// `name=value` of the cookie that an answer sets.
fn set(answer: &Answer) -> Option<String> {
    let (pair, attributes) = answer.field("set-cookie")?.split_once("; ")?;
    assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax");
    Some(pair.to_owned())
}

#[tokio::test]
async fn clients_with_a_cookie_stay_while_the_share_grows_and_all_leave_when_it_is_gone() {
    let (old, new) = (Instance::plain("old").await, Instance::plain("new").await);
    let proxy = proxy(ProxySpec::default());
    proxy.route(&routing(Some(Sticky::Cookie("track".into()))), None);
    proxy.program(only(arm("v1", &[&old])));
    let mut client = Client::to(proxy.local_addr()).await;
    assert_eq!(set(&get(&mut client, "").await), None, "nothing is shared");

    // Whoever comes without a cookie is dealt exactly, and gets one that says where to.
    proxy.program(both(arm("v1", &[&old]), arm("v2", &[&new]), 20.0));
    let mut first = BTreeMap::new();
    for _ in 0..200 {
        let answer = get(&mut client, "").await;
        first.insert(set(&answer).unwrap(), on_new(&answer));
    }
    assert_eq!(first.values().filter(|new| **new).count(), 40, "the split stays exact");
    let mut last = first.clone();
    for percent in [20.0, 35.0, 60.0, 90.0, 100.0] {
        proxy.program(both(arm("v1", &[&old]), arm("v2", &[&new]), percent));
        for (cookie, before) in &mut last {
            let answer = get(&mut client, &format!("cookie: a=b; {cookie}\r\n")).await;
            assert_eq!(set(&answer), None, "it has one");
            assert!(!*before || on_new(&answer), "nobody moves back at {percent} %");
            *before = on_new(&answer);
        }
        if percent < 25.0 {
            assert_eq!(last, first, "with the same share nobody moves");
        }
        let share = last.values().filter(|new| **new).count() as f64 / 2.0;
        assert!((share - percent).abs() < 15.0, "{share} at {percent} %");
    }
    assert!(last.values().all(|new| *new));
    // The way back asks nobody where they were.
    proxy.program(both(arm("v1", &[&old]), arm("v2", &[&new]), 0.0));
    for cookie in last.keys() {
        assert!(!on_new(&get(&mut client, &format!("cookie: {cookie}\r\n")).await));
    }
    // A candidate that has no instance keeps nobody waiting.
    proxy.program(both(arm("v1", &[&old]), arm("v2", &[]), 100.0));
    let cookie = last.keys().next().unwrap();
    assert!(!on_new(&get(&mut client, &format!("cookie: {cookie}\r\n")).await));
}

#[tokio::test]
async fn clients_with_a_header_stay_and_others_are_dealt() {
    let (old, new) = (Instance::plain("old").await, Instance::plain("new").await);
    let proxy = proxy(ProxySpec::default());
    proxy.route(&routing(Some(Sticky::Header("X-User".into()))), None);
    proxy.program(both(arm("v1", &[&old]), arm("v2", &[&new]), 50.0));
    let mut client = Client::to(proxy.local_addr()).await;
    let mut hits = 0;
    for user in 0..100 {
        let first = on_new(&get(&mut client, &format!("x-user: {user}\r\n")).await);
        for _ in 0..3 {
            assert_eq!(on_new(&get(&mut client, &format!("X-User: {user}\r\n")).await), first);
        }
        hits += u32::from(first);
    }
    assert!((25..=75).contains(&hits), "{hits}");
    let mut dealt = 0;
    for _ in 0..100 {
        let answer = get(&mut client, "").await;
        assert_eq!(set(&answer), None, "whoever sets the header is in front");
        dealt += u32::from(on_new(&answer));
    }
    assert_eq!(dealt, 50, "exact for those who are not known");
}

#[tokio::test]
async fn a_tester_reaches_a_ready_candidate_and_nothing_else_changes() {
    let said = |name: &'static str| {
        Instance::start(name, move |mut s| async move {
            while let Some(request) = s.request().await {
                let leaked = request.head.to_ascii_lowercase().contains("cutover-track");
                s.ok(&format!("{name} {}", if leaked { "leaked" } else { "clean" })).await;
            }
        })
    };
    let (old, new) = (said("old").await, said("new").await);
    let proxy = proxy(ProxySpec::default());
    proxy.route(&routing(None), Some(Digest::of(b"s3cret")));
    let with = |percent, testers| Table { testers, ..both(arm("v1", &[&old]), arm("v2", &[&new]), percent) };
    proxy.program(with(0.0, true));
    let mut client = Client::to(proxy.local_addr()).await;
    for (fields, expected) in [
        ("x-cutover-track: s3cret\r\n", "new clean"),
        ("X-Cutover-Track: s3cret\r\n", "new clean"),
        ("x-cutover-track: s3cre\r\n", "old clean"),
        ("x-cutover-track: v2\r\n", "old clean"),
        ("x-cutover-track: \r\n", "old clean"),
        ("", "old clean"),
    ] {
        assert_eq!(get(&mut client, fields).await.text(), expected, "{fields}");
    }
    let (judged, tested) = (proxy.meter(&pool("v2")).totals(), proxy.tested(&pool("v2")).unwrap().totals());
    assert_eq!((judged.started, judged.requests, tested.requests, tested.errors), (0, 0, 2, 0));

    // Beside the share, which stays exact.
    proxy.program(with(25.0, true));
    let mut hits = 0;
    for n in 0..400 {
        if n % 3 == 0 {
            assert_eq!(get(&mut client, "x-cutover-track: s3cret\r\n").await.text(), "new clean");
        }
        hits += u32::from(on_new(&get(&mut client, "").await));
    }
    assert_eq!((hits, proxy.meter(&pool("v2")).totals().requests), (100, 100));
    // Not after a way back, not without a candidate that is ready, not without a secret.
    proxy.program(with(0.0, false));
    assert_eq!(get(&mut client, "x-cutover-track: s3cret\r\n").await.text(), "old clean");
    proxy.program(Table { testers: true, ..both(arm("v1", &[&old]), arm("v2", &[]), 0.0) });
    assert_eq!(get(&mut client, "x-cutover-track: s3cret\r\n").await.text(), "old clean");
    proxy.program(with(0.0, true));
    proxy.route(&routing(None), None);
    assert_eq!(get(&mut client, "x-cutover-track: s3cret\r\n").await.text(), "old clean");
    proxy.program(Table::default());
    proxy.forget(&pool("v2"));
    assert!(proxy.tested(&pool("v2")).is_none());
}

#[tokio::test]
async fn a_preview_says_that_it_is_closed_and_counts_for_itself() {
    let new = Instance::plain("new").await;
    let at = "127.0.0.1:0".parse().unwrap();
    let preview = Proxy::bind_preview("shop".into(), at, ProxySpec::default(), Arc::new(SystemClock::start())).unwrap();
    let service = proxy(ProxySpec::default());
    let mut client = Client::to(preview.local_addr()).await;
    let closed = client.get("/").await;
    assert_eq!((closed.status, closed.text()), (503, "503 no candidate is previewed now: this port answers while a plan shows one\n"));
    preview.program(only(arm("v2", &[&new])));
    assert!(client.get("/").await.text().starts_with("new"));
    assert_eq!((service.meter(&pool("v2")).totals().started, preview.meter(&pool("v2")).totals().started), (0, 1));
    preview.program(Table::default());
    assert_eq!(client.get("/").await.status, 503);
}
