//! The control API as any client may speak it: raw HTTP over the socket.

use super::rig::{Http, back, canary, request, sample, version};
use crate::support::host::Host;
use cutover::model::{
    action::{Action, Outcome, Refusal},
    rollout::{Hold, Phase},
    wire::{ActionRecord, ActionRequest, ApiError},
};
use serde_json::{from_str, json, to_string, to_value};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

fn error(status: u16, answer: &(u16, String)) -> ApiError {
    assert_eq!(answer.0, status, "{answer:?}");
    let error: ApiError = from_str(&answer.1).unwrap_or_else(|e| panic!("{e}: {answer:?}"));
    assert!(!error.message.is_empty() && !error.message.as_str().contains('\n'), "{error:?}");
    error
}

#[test]
fn bad_requests_get_one_line_and_the_right_status() {
    let host = canary("");
    let http = Http::to(&host);
    for body in ["", "{", "[]", "{\"id\":\"a\"}", "{\"id\":1,\"action\":{\"verb\":\"fly\"}}", "\u{1b}[2J"] {
        error(400, &http.post("/v1/actions", body));
        error(400, &http.post("/v1/deploy", body));
    }
    let huge = format!("{{\"reason\":\"{}\"}}", "x".repeat(1 << 20));
    error(413, &http.post("/v1/actions", huge.clone()));
    error(413, &http.post("/v1/deploy", huge));
    error(404, &http.get("/v1/nothing"));
    error(405, &http.get("/v1/actions"));
    error(404, &http.get("/v1/actions/never"));
    error(400, &http.get("/v1/logs?last=many"));
    let rollout = host.rollout();
    let mut unknown = request("a", Action::Pause, &rollout);
    unknown.belief.key.service = cutover::model::text::Raw::new("wep\u{1b}");
    error(404, &http.post("/v1/actions", to_string(&unknown).unwrap()));
    error(400, &http.post("/v1/actions", to_string(&request(&"a".repeat(300), Action::Pause, &rollout)).unwrap()));
    let long = ActionRequest { reason: Some("why ".repeat(10_000).as_str().into()), ..back("long", &rollout) };
    assert_eq!(http.post("/v1/actions", to_string(&long).unwrap()).0, 200, "the way back is refused for no formality");
    let said = to_string(&host.until("reverted", |r| r.phase == Phase::Reverted)).unwrap();
    assert!(said.len() < 20_000, "{} bytes", said.len());
}

#[test]
fn beliefs_guard_and_ids_are_answered_once() {
    let host = canary("");
    let http = Http::to(&host);
    let act = |request: &ActionRequest| http.post("/v1/actions", to_string(request).unwrap());
    let seen = host.rollout();

    let mut stale = request("stale", Action::Step, &seen);
    stale.belief.at = Some(0);
    let refused = error(409, &act(&stale));
    assert!(matches!(refused.refusal, Some(Refusal::Moved { .. })), "{refused:?}");
    assert_eq!(refused.rollout.unwrap().at, seen.at);
    error(404, &http.get("/v1/actions/stale"));

    let pause = request("pause once", Action::Pause, &seen);
    let first = act(&pause);
    assert_eq!(first.0, 200);
    let record: ActionRecord = from_str(&first.1).unwrap();
    assert!(matches!(record.outcome, Outcome::Accepted { changed: true, .. }));
    // Later, and when it would mean something else.
    let now = host.until("paused by hand", |r| r.holds.iter().any(|h| matches!(h, Hold::Manual { .. })));
    let already = act(&request("again", Action::Pause, &now));
    let said: ActionRecord = from_str(&already.1).unwrap();
    assert!(matches!(said.outcome, Outcome::Refused { refusal: Refusal::AlreadySo { .. } }), "{said:?}");
    assert_eq!(act(&request("go on", Action::Resume, &host.rollout())).0, 200);
    let running = host.until("resumed", |r| !r.holds.iter().any(|h| matches!(h, Hold::Manual { .. })));
    assert_eq!(act(&pause), first, "the first answer again");
    assert_eq!(act(&request("again", Action::Pause, &now)), already, "also of what was so already");
    assert_eq!(http.get("/v1/actions/pause%20once"), first);
    assert_eq!(host.rollout().seen.rev, running.seen.rev, "and nothing moved");

    // Deploys likewise, also when what they need is gone.
    assert_eq!(act(&back("back", &running)).0, 200);
    host.until("reverted", |r| r.phase == Phase::Reverted);
    let deploy = json!({ "id": "d", "service": "web", "artifact": version(&host, "v3", "") }).to_string();
    let started = http.post("/v1/deploy", deploy.clone());
    assert_eq!(started.0, 200, "{started:?}");
    std::fs::write(host.config(), "nonsense").unwrap();
    assert_eq!(http.post("/v1/deploy", deploy), started);
    assert_eq!(http.get("/v1/actions/d"), started);
}

#[test]
fn a_watch_is_a_full_picture_then_every_second_and_rev_moves_with_facts_only() {
    let host = canary("");
    let http = Http::to(&host);
    let started = Instant::now();
    let lines = http.lines("/v1/watch", |lines| lines.last().is_some_and(|(at, _)| at.duration_since(started) > Duration::from_secs(4)));
    let word = |i: usize| lines[i].1["delta"].as_str().unwrap().to_owned();
    assert_eq!((word(0).as_str(), &lines[0].1["version"]), ("init", &json!(1)));
    let done = (0..lines.len()).find(|i| word(*i) == "init_done").unwrap();
    let full: Vec<_> = (1..done).map(word).collect();
    assert!(full.contains(&"apply".into()) && full.contains(&"history".into()) && full.contains(&"events".into()), "{full:?}");
    let mut last = lines[done].0;
    for (at, line) in &lines[done + 1..] {
        assert!(at.duration_since(last) < Duration::from_millis(1_700), "silent before {line}");
        last = *at;
    }
    // Signals moved, no fact did: one revision.
    let revs: Vec<_> = lines.iter().filter(|(_, l)| l["delta"] == "apply").map(|(_, l)| l["rollout"]["seen"]["rev"].clone()).collect();
    assert!(revs.len() > 3 && revs.iter().all(|r| *r == revs[0]), "{revs:?}");
    let points: Vec<_> = lines[done..].iter().filter(|(_, l)| l["delta"] == "point").map(|(_, l)| l["version"].clone()).collect();
    assert!(points.iter().any(|v| *v != points[0]), "both versions: {points:?}");
    let before = host.rollout().seen.rev;
    host.ok(&["pause", "web"]);
    assert!(host.rollout().seen.rev > before);
    let epoch = to_value(host.rollout().seen).unwrap()["epoch"].clone();
    assert_eq!(lines[0].1["epoch"], epoch);
}

#[test]
fn logs_are_a_stream_of_their_own() {
    let host = canary("");
    let http = Http::to(&host);
    let all = http.lines("/v1/logs", |_| false);
    let said: Vec<_> = all.iter().filter(|(_, l)| l["line"].as_str().unwrap().starts_with("listening on")).collect();
    assert_eq!(said.len(), 2, "{all:?}");
    let seq = |l: &serde_json::Value| l["seq"].as_u64().unwrap();
    assert!(all.windows(2).all(|w| seq(&w[0].1) < seq(&w[1].1)));
    assert_eq!(http.lines("/v1/logs?last=1", |_| false).len(), 1);
    assert_eq!(http.lines(&format!("/v1/logs?after={}", seq(&all[0].1)), |_| false).len(), all.len() - 1);
    assert!(http.lines("/v1/logs?service=other", |_| false).is_empty());
    let canarys = http.lines("/v1/logs?track=candidate", |_| false);
    // A first version is nobody's stable while it starts.
    assert_eq!(canarys.len(), 2);
    assert!(http.lines("/v1/logs?track=stable", |_| false).is_empty());
    // What comes later follows.
    let socket = host.dir.join("host.sock");
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(b"GET /v1/logs?last=0&follow=true HTTP/1.1\r\nhost: h\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.find(|l| l.is_empty()).is_some());
    host.ok(&["revert", "web"]);
    let ended = lines.filter(|l| l.starts_with('{')).find(|l| l.contains("stopped: ")).unwrap();
    assert!(ended.contains("v2"), "{ended}");
}

#[test]
fn metrics_are_on_the_socket_and_on_their_own_port() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut host = Host::prepare(dir.path(), &sample("web", ""));
    let config = std::fs::read_to_string(host.config()).unwrap();
    std::fs::write(host.config(), config.replace("[journal]", &format!("metrics_listen = \"{free}\"\n[journal]"))).unwrap();
    host.run();
    super::rig::deploy(&host, "web", &version(&host, "v1", ""), "completed");
    assert_eq!(host.get("/").0, 200);
    let own = Http::to(&host).get("/metrics");
    assert!(own.0 == 200 && own.1.contains("phase") && own.1.contains("v1"), "{own:?}");
    let get = |path: &str| {
        let mut stream = std::net::TcpStream::connect(free).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {free}\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(get("/metrics").starts_with("HTTP/1.1 200") && get("/metrics").contains("text/plain"));
    assert!(get("/v1/rollouts").starts_with("HTTP/1.1 404"), "nothing else is on that port");
    host.stop();
}

#[test]
fn a_client_that_does_not_read_does_not_keep_the_host() {
    let mut host = canary("");
    let mut stuck: Vec<UnixStream> = Vec::new();
    for path in ["/v1/watch", "/v1/logs?follow=true"] {
        let mut stream = UnixStream::connect(host.dir.join("host.sock")).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: h\r\n\r\n").unwrap();
        stuck.push(stream);
    }
    // Enough to fill what the system keeps for the reader.
    let http = Http::to(&host);
    for n in 0..40 {
        let rollout = host.rollout();
        let action = if n % 2 == 0 { Action::Pause } else { Action::Resume };
        assert_eq!(http.post("/v1/actions", to_string(&request(&format!("{n}"), action, &rollout)).unwrap()).0, 200);
    }
    let asked = Instant::now();
    host.stop();
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
    assert!(!host.dir.join("host.sock").exists());
}
