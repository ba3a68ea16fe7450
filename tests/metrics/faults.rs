//! Servers that are slow, silent, endless, broken or somebody else: bounded, clear, never a number.

use super::rig::{client, client_among, now, recorded, servers};
use crate::support::{
    host::PATIENCE,
    http::{Fake, json, reply, silence},
};
use cutover::{
    clock::{Clock, ManualClock},
    metrics::{Metrics, Trouble, prometheus::Servers},
};
use std::{
    io::{self, Write},
    net::TcpListener,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

async fn trouble(server: &Fake) -> Trouble {
    client(&server.url, |s| s.body_limit = 1 << 20).instant("up", now()).await.unwrap_err()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn nobody_waits_longer_than_the_limit() {
    let silent = Fake::new(|_, client| silence(client));
    let drip = Fake::new(|_, client| {
        client.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")?;
        loop {
            client.write_all(b" ")?;
            client.flush()?;
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    for server in [silent, drip] {
        let began = Instant::now();
        let slow = client(&server.url, |s| s.timeout = Duration::from_millis(300)).instant("up", now()).await.unwrap_err();
        assert_eq!(slow.to_string(), format!("{} did not answer within 1 s", server.url));
        assert!(slow.passes() && began.elapsed() >= Duration::from_millis(300) && began.elapsed() < Duration::from_secs(10));
        until("the connection is closed", || server.closed() == 1).await;
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let endless = Fake::new(move |_, client| {
        client.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")?;
        let piece = vec![b' '; 64 << 10];
        for _ in 0..200 * 16 {
            client.write_all(&piece)?;
            counted.fetch_add(piece.len(), Ordering::SeqCst);
        }
        Err(io::Error::other("all of it was taken"))
    });
    let said = trouble(&endless).await.to_string();
    assert_eq!(said, format!("{} answers more than 1048576 bytes: the query matches too many series", endless.url));
    until("the connection is closed", || endless.closed() == 1).await;
    assert!(sent.load(Ordering::SeqCst) < 64 << 20, "{sent:?}");
    // Where it says so beforehand nothing is read.
    let honest = Fake::new(|_, client| {
        client.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 209715200\r\n\r\n")?;
        silence(client)
    });
    assert!(matches!(trouble(&honest).await, Trouble::TooLarge { limit: 1_048_576, .. }));
}

#[tokio::test]
async fn what_is_cut_off_is_no_answer() {
    let whole = recorded("matrix.json");
    let half = Fake::new(move |_, client| {
        write!(client, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", whole.len())?;
        client.write_all(&whole[..whole.len() / 2])?;
        Err(io::Error::other("enough"))
    });
    let said = trouble(&half).await;
    assert!(said.to_string().contains("it was cut off in the middle of an answer") && said.passes(), "{said}");
    let mute = Fake::new(|_, _| Err(io::Error::other("nothing at all")));
    assert!(matches!(trouble(&mute).await, Trouble::Unreachable { .. }));
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let nobody = client(&format!("http://127.0.0.1:{port}"), |_| ()).instant("up", now()).await.unwrap_err();
    assert_eq!(nobody.to_string(), format!("cannot reach http://127.0.0.1:{port}: connection refused"));
}

#[tokio::test]
async fn somebody_else_answers() {
    let page = Fake::new(|_, client| reply(client, 200, "content-type: text/html; charset=utf-8\r\n", b"<html><title>Sign in</title>"));
    assert_eq!(trouble(&page).await.to_string(), format!("{} answers something else: text/html: Sign in", page.url));
    // Right in everything but its type.
    let typed = Fake::new(|_, client| reply(client, 200, "content-type: text/plain\r\n", &recorded("vector.json")));
    assert!(matches!(trouble(&typed).await, Trouble::Protocol { .. }));
    let lost = Fake::new(|_, client| reply(client, 404, "content-type: text/plain; charset=utf-8\r\n", &recorded("lost.txt")));
    assert!(trouble(&lost).await.to_string().contains("404 page not found: is the path of `url` right?"));
    // Nobody goes where a redirection leads.
    let elsewhere = Fake::new(|_, client| json(client, 200, &recorded("vector.json")));
    let location = format!("location: {}/api/v1/query?token=s3cret\r\n", elsewhere.url);
    for status in [301, 302, 307, 308] {
        let location = location.clone();
        let moved = Fake::new(move |_, client| reply(client, status, &location, b""));
        let said = trouble(&moved).await.to_string();
        assert!(said.contains(&format!("{status}: it sends us to {}/api/v1/query, and", elsewhere.url)), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
    }
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn a_server_that_is_busy_says_when_to_come_back() {
    let busy = Fake::new(|_, client| reply(client, 429, "content-type: text/plain\r\nretry-after: 12\r\n", b"too many"));
    let said = trouble(&busy).await;
    assert_eq!(said.to_string(), format!("{} is busy: 429: too many", busy.url));
    assert!(matches!(said, Trouble::Busy { after: Some(after), .. } if after == Duration::from_secs(12)));
    assert_eq!(busy.asked().len(), 1, "nothing is asked twice");
}

#[tokio::test]
async fn its_clock_is_compared_with_ours() {
    for (off, least, most) in [(0, 0, 0), (90, 89, 91), (-3600, -3601, -3599)] {
        let server = Fake::new(move |_, client| {
            let date = (now() + chrono::Duration::seconds(off)).format("%a, %d %b %Y %H:%M:%S GMT");
            reply(client, 200, &format!("content-type: application/json\r\ndate: {date}\r\n"), &recorded("vector.json"))
        });
        let ahead = client(&server.url, |_| ()).instant("up", now()).await.unwrap().ahead.unwrap().num_seconds();
        assert!((least..=most).contains(&ahead), "{off}: {ahead}");
    }
}

#[tokio::test]
async fn whoever_does_not_wait_any_more_hangs_up() {
    let server = Fake::new(|_, client| silence(client));
    let asking = client(&server.url, |_| ());
    let running = tokio::spawn(async move { asking.instant("up", now()).await.map(drop) });
    until("it is asked", || server.asked().len() == 1).await;
    assert_eq!(server.closed(), 0);
    running.abort();
    until("the connection is closed", || server.closed() == 1).await;
}

/// How many questions a server has now, and how many it had at once at most; and that this changed.
type Counts = Arc<(Mutex<(usize, usize)>, Condvar)>;

/// A server that counts its questions. It answers when it has three at once, or when no other one comes.
fn counting() -> (Fake, Counts) {
    let state = Arc::new((Mutex::new((0, 0)), Condvar::new()));
    let shared = Arc::clone(&state);
    let server = Fake::new(move |_, client| {
        let (counts, changed) = &*shared;
        {
            let mut held = counts.lock().unwrap();
            held.0 += 1;
            held.1 = held.1.max(held.0);
            changed.notify_all();
            let _held = changed.wait_timeout_while(held, Duration::from_millis(400), |held| held.0 < 3).unwrap();
        }
        counts.lock().unwrap().0 -= 1;
        json(client, 200, &recorded("vector.json"))
    });
    (server, state)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_so_many_questions_are_under_way_at_a_server_whoever_asks() {
    let (server, state) = counting();
    let shared = servers();
    // The same server by another path, as two targets name it.
    let first = client_among(&shared, &server.url, |s| s.concurrency = 2);
    let second = client_among(&shared, &format!("{}/prometheus", server.url), |s| s.concurrency = 2);
    let asked = (0..6).map(|n| {
        let client = if n % 2 == 0 { first.clone() } else { second.clone() };
        tokio::spawn(async move { client.instant("up", now()).await })
    });
    for answer in futures::future::join_all(asked).await {
        assert_eq!(answer.unwrap().unwrap().series.len(), 2);
    }
    assert_eq!(server.asked().len(), 6);
    assert_eq!(state.0.lock().unwrap().1, 2);
}

#[tokio::test]
async fn a_server_that_wants_to_be_left_alone_is_by_everybody() {
    let tired = Fake::new(|asked, client| match asked.target.as_str() {
        "/api/v1/query" => reply(client, 503, "content-type: text/plain\r\nretry-after: 40\r\n", b"starting"),
        _ => json(client, 200, &recorded("vector.json")),
    });
    let clock = Arc::new(ManualClock::new(now()));
    let shared = Servers::new(Arc::clone(&clock) as Arc<dyn Clock>);
    let first = client_among(&shared, &tired.url, |_| ());
    let second = client_among(&shared, &format!("{}/prometheus", tired.url), |_| ());
    assert_eq!(first.instant("up", now()).await.unwrap_err().to_string(), format!("{} is busy: 503: starting", tired.url));
    clock.advance(Duration::from_secs(10));
    let said = second.instant("up", now()).await.unwrap_err();
    assert_eq!(said.to_string(), format!("{}/prometheus is busy: it answered 503, and wants to be left alone", tired.url));
    assert!(matches!(said, Trouble::Busy { after: Some(after), .. } if after == Duration::from_secs(30)));
    assert_eq!(tired.asked().len(), 1, "it was not asked");
    // Another server is another matter, and so is another process.
    let (other, _) = counting();
    assert!(client_among(&shared, &other.url, |_| ()).instant("up", now()).await.is_ok());
    assert!(client(&format!("{}/prometheus", tired.url), |_| ()).instant("up", now()).await.is_ok());
    clock.advance(Duration::from_secs(30));
    assert!(second.instant("up", now()).await.is_ok());
}
