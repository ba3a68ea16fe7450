use super::Client;
use crate::{
    clock::SystemClock,
    model::{
        action::{Action, Outcome, Plan, Refusal},
        delta::Delta,
        ident::{ActionId, Key, Rev, TargetId},
        text::Raw,
    },
    runtime::{Ask, Fault, host::plan::tests::rollout},
};
use futures::StreamExt;
use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

/// A host made of bytes: each connection is answered with the next script, piece by piece, and closed.
struct Script {
    dir: tempfile::TempDir,
    asked: mpsc::Receiver<String>,
}

const HANG: &[u8] = b"hang";

impl Script {
    fn new(scripts: Vec<Vec<Vec<u8>>>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("sock")).unwrap();
        let (tx, asked) = mpsc::channel();
        thread::spawn(move || {
            for script in scripts {
                let Ok((mut stream, _)) = listener.accept() else { return };
                let _ = tx.send(request(&mut stream));
                for piece in script {
                    if piece == HANG {
                        // Until the client has given up.
                        let _ = stream.read(&mut [0]);
                    }
                    if stream.write_all(&piece).is_err() {
                        break;
                    }
                    thread::sleep(Duration::from_millis(2));
                }
            }
        });
        Self { dir, asked }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("sock")
    }

    fn client(&self) -> Client {
        client(&self.socket())
    }
}

fn client(socket: &Path) -> Client {
    Client::new(socket.to_owned(), Arc::new(SystemClock::start())).unwrap()
}

fn request(stream: &mut UnixStream) -> String {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|l| l.to_lowercase().strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        match stream.read(&mut chunk) {
            Ok(n) if n > 0 => bytes.extend_from_slice(&chunk[..n]),
            _ => return text,
        }
    }
}

fn answer(status: &str, body: &str) -> Vec<Vec<u8>> {
    vec![format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).into_bytes()]
}

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\nconnection: close\r\n\r\n";

fn stream_of(pieces: &[&str]) -> Vec<Vec<u8>> {
    std::iter::once(STREAM).chain(pieces.iter().copied()).map(|p| p.as_bytes().to_vec()).collect()
}

fn a_plan(action: Action) -> Plan {
    let ask = Ask { action, id: ActionId::new("a/1 ü"), name: None, reason: None, force: false, switch_only: false };
    super::super::plan::plan(&rollout(), &ask).unwrap()
}

fn back() -> Plan {
    a_plan(Action::Back { to: rollout().stable().unwrap().version.id.clone() })
}

const BEAT: &str = r#"{"delta":"heartbeat","server_time":"2026-01-01T00:00:00Z","rev":7}"#;

async fn watched(script: &Script) -> Vec<Result<Delta, Fault>> {
    script.client().watch(&[]).collect().await
}

#[tokio::test]
async fn a_watch_is_whole_lines_however_they_are_cut() {
    let long = format!("{}{BEAT}", " ".repeat(300_000));
    let script = Script::new(vec![stream_of(&[
        &BEAT[..10],
        &BEAT[10..],
        "\n\n",
        BEAT,
        "\n",
        &long[..100],
        &long[100..],
        "\n",
        "{\"delta\":\"heart",
    ])]);
    let got = watched(&script).await;
    assert_eq!(got.len(), 3, "{got:?}");
    assert!(got.iter().all(|d| matches!(d, Ok(Delta::Heartbeat { rev: Rev(7), .. }))), "{got:?}");
    assert!(script.asked.recv().unwrap().starts_with("GET /v1/watch HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_watch_ends_with_what_is_wrong() {
    let init = r#"{"delta":"init","version":2,"epoch":1,"server_time":"2026-01-01T00:00:00Z"}"#;
    for (pieces, fault) in [
        (stream_of(&["nonsense\n"]), "a line that is not understood"),
        (stream_of(&[init, "\n"]), "wire format 2 instead of 1"),
        (stream_of(&[&"x".repeat(9 << 20)]), "a line of more than 8388608 bytes"),
        (answer("503 Service Unavailable", ""), "status 503"),
        (answer("403 Forbidden", r#"{"message":"not your host"}"#), "denies access: not your host"),
        (answer("302 Found", ""), "status 302"),
    ] {
        let got = watched(&Script::new(vec![pieces])).await;
        assert_eq!(got.len(), 1, "{got:?}");
        let said = got[0].as_ref().unwrap_err().to_string();
        assert!(said.contains(fault), "{said} is not {fault}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let to = b"HTTP/1.1 302 Found\r\nlocation: /v1/elsewhere\r\ncontent-length: 0\r\n\r\n".to_vec();
    let script = Script::new(vec![vec![to], answer("200 OK", "[]")]);
    assert!(script.client().rollouts().await.is_err());
    assert_eq!(script.asked.try_iter().count(), 1);
}

#[tokio::test]
async fn nobody_there() {
    let dir = tempfile::tempdir().unwrap();
    let absent = client(&dir.path().join("sock"));
    let said = absent.watch(&[]).boxed().next().await.unwrap().unwrap_err();
    assert!(matches!(&said, Fault::Unreachable { why, .. } if why.as_str() == "no such file or directory"), "{said:?}");
    match absent.apply(&back()).await {
        Outcome::Partial { done: 0, then } => assert!(then.as_str().ends_with("nothing was sent"), "{then}"),
        other => panic!("{other:?}"),
    }
    drop(UnixListener::bind(dir.path().join("sock")).unwrap());
    let said = absent.rollouts().await.unwrap_err();
    assert!(matches!(&said, Fault::Unreachable { why, .. } if why.as_str() == "connection refused"), "{said:?}");
}

const RECORD: &str =
    r#"{"id":"a/1 ü","by":"root","outcome":{"outcome":"accepted","changed":true,"at":"2026-01-01T00:00:00Z"},"at":"2026-01-01T00:00:00Z"}"#;

#[tokio::test]
async fn an_action_is_one_request_and_its_answer() {
    let script = Script::new(vec![answer("200 OK", RECORD)]);
    let plan = back();
    assert!(matches!(script.client().apply(&plan).await, Outcome::Accepted { changed: true, .. }));
    let asked = script.asked.recv().unwrap();
    let (head, body) = asked.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/actions HTTP/1.1\r\n") && head.to_lowercase().contains("content-type: application/json"), "{head}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap(), plan.calls[0].body);
    assert!(script.asked.try_recv().is_err(), "no request before or after it");
}

#[tokio::test]
async fn what_is_not_accepted_is_refused_or_unknown_but_never_sent_twice() {
    let moved = r#"{"message":"moved","refusal":{"reason":"moved","what":"step 3 → 4 by ben"}}"#;
    for (script, want) in [
        (answer("409 Conflict", moved), "refused: step 3 → 4 by ben"),
        (answer("400 Bad Request", r#"{"message":"no such verb"}"#), "refused: no such verb"),
        (answer("403 Forbidden", r#"{"message":"another user"}"#), "refused: denied: another user"),
        (answer("409 Conflict", "<html>"), "unknown"),
        (answer("500 Internal Server Error", ""), "unknown"),
        (answer("200 OK", "{}"), "unknown"),
        (vec![], "unknown"),
        (vec![b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"id".to_vec()], "unknown"),
    ] {
        let script = Script::new(vec![script, answer("200 OK", RECORD)]);
        let got = match script.client().apply(&back()).await {
            Outcome::Refused { refusal } => format!("refused: {refusal}"),
            Outcome::Unknown { .. } => "unknown".into(),
            other => format!("{other:?}"),
        };
        assert_eq!(got, want);
        assert_eq!(script.asked.try_iter().count(), 1, "{want}");
    }
}

#[tokio::test]
async fn the_way_back_waits_three_seconds_for_its_answer() {
    let script = Script::new(vec![vec![HANG.to_vec()]]);
    let began = std::time::Instant::now();
    assert!(matches!(script.client().apply(&back()).await, Outcome::Unknown { .. }));
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(2_900) && took < Duration::from_secs(8), "{took:?}");
}

#[tokio::test]
async fn a_lost_answer_is_looked_up_by_its_name() {
    let script = Script::new(vec![answer("200 OK", RECORD), answer("404 Not Found", r#"{"message":"unknown"}"#), answer("500 Oops", "")]);
    let (client, id) = (script.client(), ActionId::new("a/1 ü"));
    assert!(client.resolve(&id).await.unwrap().is_some_and(|r| r.id == id));
    assert!(client.resolve(&id).await.unwrap().is_none());
    assert!(client.resolve(&id).await.is_err());
    assert!(script.asked.recv().unwrap().starts_with("GET /v1/actions/a%2F1%20%C3%BC HTTP/1.1"), "one segment whatever it contains");
}

#[tokio::test]
async fn logs_go_on_after_a_line() {
    let script = Script::new(vec![stream_of(&[]), stream_of(&[])]);
    let key = Key { target: TargetId::new("t"), scope: vec![], service: Raw::new("a&b"), uid: None };
    assert_eq!(script.client().logs(&key, None).count().await, 0);
    assert_eq!(script.client().logs(&key, Some(41)).count().await, 0);
    assert!(script.asked.recv().unwrap().starts_with("GET /v1/logs?service=a%26b&follow=true HTTP"));
    assert!(script.asked.recv().unwrap().starts_with("GET /v1/logs?service=a%26b&follow=true&after=41 HTTP"));
}

#[tokio::test]
async fn a_plan_without_a_call_sends_nothing() {
    let script = Script::new(vec![]);
    let plan = Plan { calls: vec![], ..back() };
    assert!(matches!(script.client().apply(&plan).await, Outcome::Refused { refusal: Refusal::NotNow { .. } }));
}
