//! Feeds against an API server in this process, by a paused clock: what takes minutes takes none.

use super::{Feed, Patience, signs::Signs};
use crate::{
    clock::SystemClock,
    runtime::argo::{
        connect::Session,
        kind::Kind,
        watch::{feed::News, query::Query},
    },
};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    response::Response,
};
use futures::stream;
use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

/// What a request is answered with.
enum Answer {
    /// A list of objects, each with its revision.
    List(u64, Vec<(&'static str, u64)>),
    /// A watch: pieces of it, each so many seconds after the one before.
    Watch(Vec<(u64, String)>, Then),
    /// A status, how long to wait before the next attempt, and what it says.
    Says(u16, Option<&'static str>, &'static str),
    /// Connected, and never a word.
    Nothing,
}
use Answer::{List, Nothing, Says, Watch};

/// What comes after the last piece.
enum Then {
    Ends,
    Breaks,
    Hangs,
}
use Then::{Breaks, Ends, Hangs};

struct Script {
    answers: VecDeque<Answer>,
    asked: Vec<(u64, String)>,
    began: Instant,
}

type Api = Arc<Mutex<Script>>;

async fn answer(State(api): State<Api>, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let of = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=').map(str::to_owned));
    let asked = match of("watch") {
        None => "list".to_owned(),
        Some(_) => format!("watch {}", of("resourceVersion").unwrap_or_default()),
    };
    assert!(!query.contains("sendInitialEvents"));
    let answer = {
        let mut api = api.lock().unwrap();
        let at = api.began.elapsed().as_secs();
        api.asked.push((at, asked.clone()));
        api.answers.pop_front()
    };
    match answer {
        None if asked == "list" => list(1, &[]),
        None => watch(Vec::new(), Hangs),
        Some(List(rev, objects)) => list(rev, &objects),
        Some(Watch(pieces, then)) => watch(pieces, then),
        Some(Says(status, after, what)) => {
            let mut response = Response::builder().status(status);
            if let Some(after) = after {
                response = response.header("retry-after", after);
            }
            response.body(Body::from(what)).unwrap()
        }
        Some(Nothing) => std::future::pending().await,
    }
}

fn list(rev: u64, objects: &[(&str, u64)]) -> Response {
    let items: Vec<Value> = objects.iter().map(|(name, rev)| object(name, *rev)).collect();
    Response::new(Body::from(json!({ "metadata": { "resourceVersion": rev.to_string() }, "items": items }).to_string()))
}

fn watch(pieces: Vec<(u64, String)>, then: Then) -> Response {
    let body = stream::unfold((pieces.into_iter(), Some(then)), |(mut pieces, then)| async move {
        if let Some((after, piece)) = pieces.next() {
            sleep(Duration::from_secs(after)).await;
            return Some((Ok(Bytes::from(piece)), (pieces, then)));
        }
        match then? {
            Ends => None,
            Breaks => Some((Err(io::Error::other("broken")), (pieces, None))),
            Hangs => std::future::pending().await,
        }
    });
    Response::new(Body::from_stream(body))
}

fn object(name: &str, rev: u64) -> Value {
    json!({ "metadata": { "name": name, "namespace": "shop", "resourceVersion": rev.to_string() } })
}

fn line(change: &str, object: &Value) -> String {
    format!("{}\n", json!({ "type": change, "object": object }))
}

fn change(kind: &str, name: &str, rev: u64) -> String {
    line(kind, &object(name, rev))
}

/// As built-in kinds have it: a stub of the kind, with nothing where lists and maps should be.
fn bookmark(rev: u64) -> String {
    line(
        "BOOKMARK",
        &json!({ "kind": "Pod", "metadata": { "resourceVersion": rev.to_string(), "creationTimestamp": null },
            "spec": { "containers": null, "selector": null }, "status": {} }),
    )
}

fn error(code: u16, message: &str) -> String {
    line("ERROR", &json!({ "kind": "Status", "status": "Failure", "message": message, "code": code }))
}

/// What was asked, and what was said, each at which second.
struct Played {
    asked: Vec<(u64, String)>,
    said: Vec<(u64, String)>,
}

impl Played {
    fn asked(&self) -> Vec<(u64, &str)> {
        self.asked.iter().map(|(at, what)| (*at, what.as_str())).collect()
    }

    fn said(&self) -> Vec<&str> {
        self.said.iter().map(|(_, what)| what.as_str()).collect()
    }
}

fn words(news: News) -> Option<String> {
    let named = |object: &serde_json::value::RawValue| {
        let object: Value = serde_json::from_str(object.get()).unwrap();
        let text = |key: &str| object["metadata"][key].as_str().unwrap().to_owned();
        format!("{}@{}", text("name"), text("resourceVersion"))
    };
    Some(match news {
        News::Listed(objects) => format!("all: {}", objects.iter().map(|o| named(o)).collect::<Vec<_>>().join(" ")),
        News::Changed(object) => named(&object),
        News::Gone(object) => format!("gone: {}", named(&object)),
        News::Heard => return None,
        News::Denied(what) => format!("denied: {what}"),
        News::Troubled(fault) => format!("troubled: {fault}"),
        News::Mended => "mended".into(),
    })
}

/// A feed of a kind runs for so many seconds against a server that answers so.
async fn play(kind: Kind, seconds: u64, signs: &Arc<Signs>, answers: Vec<Answer>) -> Played {
    let began = Instant::now();
    let api: Api = Arc::new(Mutex::new(Script { answers: answers.into(), asked: Vec::new(), began }));
    let router = Router::new().fallback(answer).with_state(Arc::clone(&api));
    let session = Arc::new(Session::answered_by(router, Arc::new(SystemClock::start())));
    let (out, mut news) = mpsc::channel(64);
    let query = Query::all(kind, Some("shop"));
    let essential = kind == Kind::Rollouts;
    let feed = Feed { id: 0, session, query, patience: Patience::default(), signs: Arc::clone(signs), essential, out };
    let running = tokio::spawn(feed.run(StdRng::seed_from_u64(1), None));
    let mut said = Vec::new();
    let all = async {
        while let Some((_, one)) = news.recv().await {
            said.extend(words(one).map(|words| (began.elapsed().as_secs(), words)));
        }
    };
    if timeout(Duration::from_secs(seconds), all).await.is_ok() {
        said.push((began.elapsed().as_secs(), format!("ends: {}", running.await.unwrap())));
    } else {
        running.abort();
    }
    let asked = std::mem::take(&mut api.lock().unwrap().asked);
    Played { asked, said }
}

async fn alone(kind: Kind, seconds: u64, answers: Vec<Answer>) -> Played {
    play(kind, seconds, &Arc::default(), answers).await
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_falls_silent_after_bookmarks_is_a_new_list_and_so_is_a_next_one_without_any() {
    let answers = vec![
        List(10, vec![("a", 3), ("b", 4)]),
        Watch(vec![(60, bookmark(11)), (60, bookmark(12))], Hangs),
        // The cluster was restored from further back: what is newer here gives way, and the watch says nothing.
        List(5, vec![("a", 2)]),
        Watch(vec![], Hangs),
        List(6, vec![("a", 2)]),
        Watch(vec![(1, change("MODIFIED", "a", 7))], Hangs),
    ];
    let played = alone(Kind::Pods, 350, answers).await;
    let asked = [(0, "list"), (0, "watch 10"), (210, "list"), (210, "watch 5"), (300, "list"), (300, "watch 6")];
    assert_eq!(played.asked(), asked);
    // Nothing was ever wrong, and nothing vanished in between.
    assert_eq!(played.said(), ["all: a@3 b@4", "all: a@2", "all: a@2", "a@7"]);
}

#[tokio::test(start_paused = true)]
async fn silence_of_a_kind_that_never_had_a_bookmark_says_nothing_for_ten_minutes() {
    let played = alone(Kind::Pods, 650, vec![List(10, vec![])]).await;
    assert_eq!(played.asked(), [(0, "list"), (0, "watch 10"), (600, "list"), (600, "watch 1")]);
}

#[tokio::test(start_paused = true)]
async fn bookmarks_of_one_watch_speak_for_every_other_of_the_kind() {
    let signs = Arc::default();
    play(Kind::Pods, 70, &signs, vec![List(10, vec![]), Watch(vec![(60, bookmark(11))], Hangs)]).await;
    // Another rollout is opened, or the source is: its watch never says a word.
    let played = play(Kind::Pods, 100, &signs, vec![List(10, vec![])]).await;
    assert_eq!(played.asked(), [(0, "list"), (0, "watch 10"), (90, "list"), (90, "watch 1")]);
    let played = play(Kind::ReplicaSets, 100, &signs, vec![List(10, vec![])]).await;
    assert_eq!(played.asked().len(), 2, "of another kind it says nothing");
}

#[tokio::test(start_paused = true)]
async fn events_never_have_bookmarks_and_are_listed_every_ten_minutes_whatever_comes() {
    let lines = (0..12).map(|n| (55, change("ADDED", "said", 11 + n))).collect();
    let played = alone(Kind::Events, 650, vec![List(10, vec![]), Watch(lines, Hangs)]).await;
    assert_eq!(played.asked(), [(0, "list"), (0, "watch 10"), (600, "list"), (600, "watch 1")]);
}

#[tokio::test(start_paused = true)]
async fn silence_goes_on_over_watches_that_somebody_in_between_ends() {
    let idle = || Watch(vec![(50, "\n".into())], Ends);
    let answers = vec![List(10, vec![]), Watch(vec![(60, bookmark(11))], Ends), idle(), idle(), List(10, vec![])];
    let played = alone(Kind::Pods, 160, answers).await;
    let asked = [(0, "list"), (0, "watch 10"), (60, "watch 11"), (110, "watch 11"), (150, "list"), (150, "watch 10")];
    assert_eq!(played.asked(), asked);
}

#[tokio::test(start_paused = true)]
async fn half_a_line_and_then_nothing_is_not_waited_for() {
    for (then, at) in [(Hangs, 21), (Breaks, 11)] {
        let half = change("MODIFIED", "a", 11)[..30].to_owned();
        let answers = vec![List(10, vec![("a", 3)]), Watch(vec![(10, change("MODIFIED", "a", 9)), (1, half)], then)];
        let played = alone(Kind::Pods, 60, answers).await;
        assert_eq!(played.asked()[2].0, at, "{:?}", played.asked());
        assert_eq!(played.said()[..2], ["all: a@3", "a@9"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_accepts_and_never_answers_is_given_up_in_ten_seconds() {
    // What belongs to a rollout is asked for again, and it is said meanwhile.
    let played = alone(Kind::Pods, 12, vec![Nothing, List(10, vec![("a", 3)])]).await;
    assert_eq!(played.asked(), [(0, "list"), (10, "list"), (10, "watch 10")]);
    assert_eq!(played.said(), ["troubled: context t has been silent for 10 s", "all: a@3"]);
    // Also while it is watched; the next answer says that all is well.
    let played = alone(Kind::Pods, 12, vec![List(10, vec![]), Nothing]).await;
    assert_eq!(played.asked(), [(0, "list"), (0, "watch 10"), (10, "watch 10")]);
    assert_eq!(played.said(), ["all: ", "troubled: context t has been silent for 10 s", "mended"]);
    // Without the rollouts there is nothing to show: the source ends, and is opened again by whoever opened it.
    let played = alone(Kind::Rollouts, 60, vec![List(10, vec![]), Nothing, Nothing, Nothing]).await;
    assert_eq!(played.said().last().unwrap(), &"ends: context t has been silent for 10 s");
    assert!((30..=36).contains(&played.said.last().unwrap().0), "{:?}", played.said);
}

#[tokio::test(start_paused = true)]
async fn too_old_is_a_new_list_whether_it_is_a_status_or_a_line() {
    for old in [Watch(vec![(6, error(410, "too old resource version: 1 (24073)"))], Ends), Says(410, None, "{}")] {
        let at_once = matches!(old, Says(..));
        let answers = vec![List(10, vec![("a", 3), ("b", 4)]), old, List(20, vec![("b", 4), ("c", 15)])];
        let played = alone(Kind::Rollouts, 60, answers).await;
        let asked: Vec<&str> = played.asked.iter().map(|(_, what)| what.as_str()).collect();
        assert_eq!(asked, ["list", "watch 10", "list", "watch 20"]);
        assert_eq!(played.asked()[2].0, if at_once { 0 } else { 6 });
        // All at once: what is gone is gone with the list.
        assert_eq!(played.said(), ["all: a@3 b@4", "all: b@4 c@15"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_server_is_given_the_time_it_asks_for_and_no_more_than_a_minute() {
    for (after, at) in [("7", 7), ("100000", 60)] {
        let answers = vec![Says(429, Some(after), "{}"), List(10, vec![])];
        assert_eq!(alone(Kind::Pods, 65, answers).await.asked()[1], (at, "list"));
        let answers = vec![List(10, vec![]), Says(429, Some(after), "{}")];
        let played = alone(Kind::Pods, 65, answers).await;
        assert_eq!((played.asked()[2], played.said()), ((at, "watch 10"), vec!["all: "]), "it is no trouble");
    }
}

#[tokio::test(start_paused = true)]
async fn a_permission_that_is_withdrawn_is_said_and_asked_for_again() {
    let answers = vec![
        List(10, vec![("a", 3)]),
        Watch(vec![(30, error(403, "pods is forbidden"))], Ends),
        Says(403, None, r#"{"message":"pods is forbidden: User \"ana\" cannot list"}"#),
        List(20, vec![("a", 3)]),
    ];
    let played = alone(Kind::Pods, 300, answers).await;
    assert_eq!(played.asked(), [(0, "list"), (0, "watch 10"), (150, "list"), (270, "list"), (270, "watch 20")]);
    let denied = "denied: pods is forbidden: User \"ana\" cannot list";
    assert_eq!(played.said(), ["all: a@3", "denied: pods is forbidden", denied, "all: a@3"]);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_nobody_serves_is_a_plain_text_404() {
    let played = alone(Kind::AnalysisRuns, 10, vec![Says(404, None, "404 page not found\n")]).await;
    assert_eq!(played.said(), ["denied: analysisruns is not installed there"]);
    let played = alone(Kind::Rollouts, 10, vec![Says(404, None, "404 page not found\n")]).await;
    assert_eq!(played.said(), ["ends: context t has no Argo Rollouts: the resource rollouts.argoproj.io is not installed there"]);
}

#[tokio::test(start_paused = true)]
async fn what_comes_twice_or_late_is_no_news_and_does_not_set_the_watch_back() {
    let lines = [
        change("ADDED", "b", 14),
        change("ADDED", "b", 14),
        change("MODIFIED", "a", 12),
        bookmark(16),
        change("DELETED", "a", 15),
        change("MODIFIED", "a", 13),
        line("MODIFIED", &json!({ "metadata": {} })),
        line("SOMETHING", &object("a", 17)),
    ];
    let lines = lines.into_iter().map(|line| (1, line)).collect();
    let played = alone(Kind::Pods, 20, vec![List(10, vec![("a", 3)]), Watch(lines, Ends)]).await;
    assert_eq!(played.said(), ["all: a@3", "b@14", "a@12", "gone: a@15"]);
    assert_eq!(played.asked()[2], (8, "watch 17"));
}
