//! The server: a thread of its own that answers on a loopback port until it is dropped.

use super::{
    answers::{self, access_review, answer, discovery, forbidden, missing, refusal},
    clock::Clock,
    fault::{DRIP, Faults, Rule, What, inflate},
    kubeconfig::kubeconfig,
    recording::{Recording, Timeline},
    selector::matches,
    watching::Watching,
};
use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderValue, header},
    response::Response,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};
use tokio::{sync::mpsc, sync::oneshot, time::Instant};

/// How it serves.
#[derive(Clone, Debug)]
pub struct Options {
    /// 0 is chosen by the system.
    pub port: u16,
    /// Where in the recording it begins, in seconds.
    pub at: f64,
    /// How fast it plays; 0 stands still.
    pub speed: f64,
    /// Lists over all namespaces are forbidden.
    pub namespaced: bool,
    /// `sendInitialEvents` works.
    pub watch_list: bool,
    /// Between two bookmarks of a watch.
    pub bookmarks: Duration,
    /// Only these bearer tokens get in; anybody if there are none.
    pub tokens: Vec<String>,
    /// What goes wrong from the start.
    pub faults: Vec<Rule>,
    /// Where requests are written to, one a line.
    pub log: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            at: 0.0,
            speed: 1.0,
            namespaced: false,
            watch_list: false,
            bookmarks: Duration::from_secs(60),
            tokens: Vec::new(),
            faults: Vec::new(),
            log: None,
        }
    }
}

/// One request.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Logged {
    /// Seconds since the server started.
    pub at: f64,
    pub method: String,
    pub path: String,
    pub query: String,
    /// `list`, `watch`, `get`, `patch`, …
    pub verb: String,
    /// `rollouts`; empty for what belongs to no kind.
    pub kind: String,
    pub status: u16,
    /// `Impersonate-User`.
    pub acts_as: Option<String>,
    /// The bearer token.
    pub token: Option<String>,
}

/// What answers share.
pub struct Shared {
    pub options: Options,
    pub clock: Clock,
    pub faults: Faults,
    recordings: Mutex<Vec<Recording>>,
    tokens: Mutex<Vec<String>>,
    log: Mutex<Vec<Logged>>,
    file: Mutex<Option<File>>,
    started: Instant,
}

impl Shared {
    /// Looks at a kind of a recording.
    pub fn with<T>(&self, index: usize, plural: &str, f: impl FnOnce(&Timeline) -> T) -> Option<T> {
        self.recordings.lock().unwrap().get(index).and_then(|r| r.kinds.get(plural)).map(f)
    }
}

/// A server that runs.
pub struct Server {
    /// `http://127.0.0.1:41234`.
    pub url: String,
    pub shared: Arc<Shared>,
    contexts: Vec<(String, String)>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on the loopback address and answers from a thread of its own.
    pub fn start(recordings: Vec<Recording>, options: Options) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], options.port)))?;
        listener.set_nonblocking(true)?;
        let url = format!("http://{}", listener.local_addr()?);
        let contexts = recordings.iter().map(|r| (if r.name.is_empty() { "replay".into() } else { r.name.clone() }, r.namespace.clone()));
        let contexts = contexts.collect();
        let file = options.log.as_ref().map(File::create).transpose()?;
        let shared = Arc::new(Shared {
            clock: Clock::new(options.at, options.speed),
            faults: Faults::default(),
            recordings: Mutex::new(recordings),
            tokens: Mutex::new(options.tokens.clone()),
            log: Mutex::default(),
            file: Mutex::new(file),
            started: Instant::now(),
            options,
        });
        for rule in &shared.options.faults {
            shared.faults.add(rule.clone());
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let state = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let app = Router::new().fallback(handle).with_state(state);
                tokio::select! {
                    _ = async { axum::serve(listener, app).await } => {}
                    _ = stopped => {}
                }
            });
        });
        Ok(Self { url, shared, contexts, stop: Some(stop), thread: Some(thread) })
    }

    /// A kubeconfig for it.
    pub fn kubeconfig(&self) -> Value {
        let tokens = self.shared.tokens.lock().unwrap();
        kubeconfig(&self.url, &self.contexts, tokens.first().map(String::as_str))
    }

    /// Moves to `at` and stands still there.
    pub fn seek(&self, at: f64) {
        self.shared.clock.seek(at, 0.0);
    }

    /// From now on, only these tokens get in.
    pub fn accept(&self, tokens: &[&str]) {
        *self.shared.tokens.lock().unwrap() = tokens.iter().map(ToString::to_string).collect();
    }

    /// Something happens now.
    pub fn push(&self, plural: &str, change: &str, object: Value) {
        let now = self.shared.clock.now();
        self.shared.recordings.lock().unwrap()[0].kinds.get_mut(plural).unwrap().push(now, change, object);
        self.shared.clock.tell();
    }

    /// Every request so far.
    pub fn log(&self) -> Vec<Logged> {
        self.shared.log.lock().unwrap().clone()
    }

    /// How many requests there were, by kind and verb.
    pub fn counts(&self) -> BTreeMap<(String, String), usize> {
        let mut counts = BTreeMap::new();
        for one in self.log() {
            *counts.entry((one.kind, one.verb)).or_default() += 1;
        }
        counts
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What a request wants.
struct Wanted<'a> {
    verb: &'a str,
    group: &'a str,
    version: &'a str,
    namespace: Option<&'a str>,
    plural: &'a str,
    name: Option<&'a str>,
}

fn wanted<'a>(method: &str, path: &[&'a str], watch: bool) -> Option<Wanted<'a>> {
    let (group, version, rest) = match path {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let (namespace, plural, name) = match rest {
        ["namespaces", namespace, plural] => (Some(*namespace), *plural, None),
        ["namespaces", namespace, plural, name, ..] => (Some(*namespace), *plural, Some(*name)),
        [plural] => (None, *plural, None),
        [plural, name, ..] => (None, *plural, Some(*name)),
        [] => return None,
    };
    let verb = match (method, name) {
        ("GET", None) if watch => "watch",
        ("GET", None) => "list",
        ("GET", Some(_)) => "get",
        ("PATCH", _) => "patch",
        ("PUT", _) => "update",
        ("POST", _) => "create",
        _ => "delete",
    };
    Some(Wanted { verb, group, version, namespace, plural, name })
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let at = shared.started.elapsed().as_secs_f64();
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 4 << 20).await.unwrap_or_default();
    let query: BTreeMap<String, String> = parts
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), decoded(value)))
        .collect();
    let path: Vec<&str> = parts.uri.path().split('/').filter(|part| !part.is_empty()).collect();
    let watch = query.get("watch").is_some_and(|w| w == "1" || w == "true");
    let want = wanted(parts.method.as_str(), &path, watch);
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut logged = Logged {
        at,
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        verb: want.as_ref().map_or(String::new(), |w| w.verb.into()),
        kind: want.as_ref().map_or(String::new(), |w| w.plural.into()),
        status: 0,
        acts_as: text("impersonate-user"),
        token: text("authorization").and_then(|value| value.strip_prefix("Bearer ").map(str::to_owned)),
    };
    // Requests that never get an answer are counted, too.
    let index = {
        let mut log = shared.log.lock().unwrap();
        log.push(logged.clone());
        log.len() - 1
    };
    let mut response = route(&shared, &logged, &path, want, &query, &body).await;
    logged.status = response.status().as_u16();
    if let Some(file) = shared.file.lock().unwrap().as_mut() {
        let _ = writeln!(file, "{}", serde_json::to_string(&logged).unwrap());
    }
    shared.log.lock().unwrap()[index] = logged;
    if !response.headers().contains_key(header::DATE) {
        let namespace = wanted(parts.method.as_str(), &path, watch).and_then(|w| w.namespace.map(str::to_owned));
        response.headers_mut().insert(header::DATE, date(&shared, namespace.as_deref()));
    }
    response
}

async fn route(
    shared: &Arc<Shared>,
    logged: &Logged,
    path: &[&str],
    want: Option<Wanted<'_>>,
    query: &BTreeMap<String, String>,
    body: &Bytes,
) -> Response {
    let tokens = shared.tokens.lock().unwrap().clone();
    if !tokens.is_empty() {
        match &logged.token {
            None => return refusal(403, "forbidden: User \"system:anonymous\" cannot get path"),
            Some(token) if !tokens.contains(token) => return refusal(401, "Unauthorized"),
            Some(_) => {}
        }
    }
    if path == ["version"] {
        return answer(200, &answers::version());
    }
    if let Some(found) = discovery(path, &shared.recordings.lock().unwrap()) {
        return answer(200, &found);
    }
    let Some(want) = want else { return missing() };
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    match want.plural {
        "selfsubjectaccessreviews" => return answer(201, &access_review(&asked, &shared.recordings.lock().unwrap())),
        "selfsubjectreviews" => {
            return answer(201, &json!({ "kind": "SelfSubjectReview", "status": { "userInfo": { "username": "replay" } } }));
        }
        _ => {}
    }
    if !answers::served(want.plural, want.group, want.version, &shared.recordings.lock().unwrap()) {
        return missing();
    }
    let wrong = shared.faults.of(want.verb, want.plural, want.namespace);
    for (what, after) in &wrong {
        match what {
            What::Stall if want.verb != "watch" || after.is_none() => std::future::pending::<()>().await,
            What::Status(code) if want.verb != "watch" || after.is_none() => return fault(*code, &want),
            What::Busy(seconds) => {
                let mut response = refusal(429, "the server has received too many requests and has asked us to try again later");
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
                return response;
            }
            What::Missing => return missing(),
            What::Late(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
            _ => {}
        }
    }
    let Some((index, empty)) = place(shared, &want) else {
        return forbidden(want.verb, want.plural, want.group, want.namespace);
    };
    let denied = shared.with(index, want.plural, |t| t.denied.clone());
    match denied {
        None => return forbidden(want.verb, want.plural, want.group, want.namespace),
        Some(Some((code, body))) => return answer(code, &body),
        Some(None) => {}
    }
    match (want.verb, want.name) {
        ("list", _) => list(shared, &want, index, empty, query, &wrong),
        ("watch", _) => watching(shared, &want, index, empty, query, wrong),
        ("get", Some(name)) => {
            let now = shared.clock.now();
            let state = shared.with(index, want.plural, |t| t.state(t.passed(now))).unwrap_or_default();
            match state.into_iter().find(|((_, n), _)| n == name) {
                Some((_, object)) if !empty => answer(200, &object),
                _ => refusal(404, &format!("{}.{} \"{name}\" not found", want.plural, want.group)),
            }
        }
        // What was recorded does not change.
        _ => forbidden(want.verb, want.plural, want.group, want.namespace),
    }
}

fn fault(code: u16, want: &Wanted<'_>) -> Response {
    match code {
        403 => forbidden(want.verb, want.plural, want.group, want.namespace),
        401 => refusal(401, "Unauthorized"),
        410 => refusal(410, "The resourceVersion for the provided list is too old."),
        code => refusal(code, "the server is currently unable to handle the request"),
    }
}

/// Which recording is meant, and whether the namespace is one that has nothing.
fn place(shared: &Shared, want: &Wanted<'_>) -> Option<(usize, bool)> {
    let recordings = shared.recordings.lock().unwrap();
    match want.namespace {
        Some(namespace) => match recordings.iter().position(|r| r.namespace == namespace) {
            Some(index) => Some((index, false)),
            None => Some((0, true)),
        },
        // Recordings of several times have no common resource version.
        None => (recordings.len() == 1 && !shared.options.namespaced).then_some((0, false)),
    }
}

fn date(shared: &Shared, namespace: Option<&str>) -> HeaderValue {
    let recordings = shared.recordings.lock().unwrap();
    let named = recordings.iter().find(|r| Some(r.namespace.as_str()) == namespace);
    let start = named.or_else(|| recordings.first()).map_or(0.0, |r| r.start);
    let now = chrono::DateTime::from_timestamp_millis(((start + shared.clock.now()) * 1e3) as i64).unwrap_or_default();
    HeaderValue::from_str(&now.format("%a, %d %b %Y %H:%M:%S GMT").to_string()).unwrap()
}

fn list(
    shared: &Arc<Shared>,
    want: &Wanted<'_>,
    index: usize,
    empty: bool,
    query: &BTreeMap<String, String>,
    wrong: &[(What, Option<usize>)],
) -> Response {
    let part = |name: &str| query.get(name).map_or("", String::as_str);
    // A page goes on where the one before it stood in time.
    let token: Option<(usize, usize)> = part("continue").split_once('-').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    let now = shared.clock.now();
    let found = shared.with(index, want.plural, |t| {
        let passed = token.map_or_else(|| t.passed(now), |(passed, _)| passed);
        (t.state(passed), passed, t.rev(passed), t.kind.clone(), t.api_version())
    });
    let (state, passed, rev, kind, api_version) = found.unwrap_or_default();
    if part("resourceVersion").parse::<u64>().is_ok_and(|asked| asked > rev) {
        return refusal(504, &format!("Timeout: Too large resource version: {}, current: {rev}", part("resourceVersion")));
    }
    let fits = |object: &Value| !empty && matches(object, part("labelSelector"), part("fieldSelector"));
    let all: Vec<Value> = state.into_values().filter(fits).collect();
    let from = token.map_or(0, |(_, from)| from);
    let limit = part("limit").parse().ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let mut items: Vec<Value> = all.iter().skip(from).take(limit).cloned().collect();
    if let Some((What::Big(bytes), _)) = wrong.iter().find(|(what, _)| matches!(what, What::Big(_))) {
        items.iter_mut().for_each(|item| inflate(item, *bytes));
    }
    if wrong.iter().any(|(what, _)| *what == What::Twice) {
        items = items.into_iter().flat_map(|item| [item.clone(), item]).collect();
    }
    let mut metadata = json!({ "resourceVersion": rev.to_string() });
    let done = from + items.len();
    if done < all.len() {
        metadata["continue"] = json!(format!("{passed}-{done}"));
        metadata["remainingItemCount"] = json!(all.len() - done);
    }
    let body = json!({ "kind": format!("{kind}List"), "apiVersion": api_version, "metadata": metadata, "items": items });
    let drip = wrong.iter().find_map(|(what, _)| if let What::Drip(bytes) = what { Some(*bytes) } else { None });
    let has = |what: &What| wrong.iter().any(|(w, _)| w == what);
    if has(&What::Garbage) {
        return Response::new(Body::from("<html>a proxy has something to say</html>"));
    }
    if drip.is_some() || has(&What::Cut) || has(&What::Close) {
        return slowly(body.to_string(), drip, has(&What::Cut), has(&What::Cut) || has(&What::Close));
    }
    answer(200, &body)
}

/// An answer that comes in pieces, and perhaps not to its end.
fn slowly(text: String, drip: Option<usize>, cut: bool, half: bool) -> Response {
    let (out, lines) = mpsc::channel::<io::Result<Bytes>>(1);
    tokio::spawn(async move {
        let bytes = if half { &text.as_bytes()[..text.len() / 2] } else { text.as_bytes() };
        for piece in bytes.chunks(drip.unwrap_or(bytes.len()).max(1)) {
            if out.send(Ok(Bytes::copy_from_slice(piece))).await.is_err() {
                return;
            }
            if drip.is_some() {
                tokio::time::sleep(DRIP).await;
            }
        }
        if cut {
            let _ = out.send(Err(io::Error::other("cut"))).await;
        }
    });
    streamed(lines)
}

fn streamed(lines: mpsc::Receiver<io::Result<Bytes>>) -> Response {
    let lines = futures::stream::unfold(lines, |mut lines| async move { lines.recv().await.map(|line| (line, lines)) });
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn watching(
    shared: &Arc<Shared>,
    want: &Wanted<'_>,
    index: usize,
    empty: bool,
    query: &BTreeMap<String, String>,
    wrong: Vec<(What, Option<usize>)>,
) -> Response {
    let part = |name: &str| query.get(name).map_or("", String::as_str);
    let on = |name: &str| matches!(part(name), "1" | "true");
    if on("sendInitialEvents") && !shared.options.watch_list {
        return refusal(
            422,
            "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the \
             WatchList feature gate is enabled",
        );
    }
    let watching = Watching {
        shared: Arc::clone(shared),
        index,
        plural: want.plural.to_owned(),
        rev: part("resourceVersion").parse().ok().filter(|rev| *rev > 0),
        bookmarks: on("allowWatchBookmarks"),
        initial: on("sendInitialEvents"),
        labels: part("labelSelector").to_owned(),
        fields: part("fieldSelector").to_owned(),
        empty,
        timeout: Duration::from_secs(part("timeoutSeconds").parse().unwrap_or(1800)),
        wrong,
    };
    let (out, lines) = mpsc::channel(16);
    tokio::spawn(watching.run(out));
    streamed(lines)
}

/// `%2C` and the like.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = (byte == b'%').then(|| text.get(at + 1..at + 3)).flatten().and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(match (hex, byte) {
            (Some(hex), _) => hex,
            (None, b'+') => b' ',
            (None, byte) => byte,
        });
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}
