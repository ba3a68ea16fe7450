//! The replaying server does what it says: other tests believe it.

use crate::replay::{
    args::Args,
    recording::Recording,
    server::{Options, Server},
};
use clap::{CommandFactory, Parser};
use flate2::{Compression, write::GzEncoder};
use futures::StreamExt;
use serde_json::{Value, json};
use std::{fs, io::Write, path::Path, time::Duration};

/// Three pods come, one goes, written down in disorder; the events in a compressed file.
fn record(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    let list = json!({ "t": 0.0, "kind": "pods", "status": 200, "path": "/api/v1/namespaces/shop/pods",
                       "response": { "kind": "PodList", "apiVersion": "v1", "metadata": { "resourceVersion": "10" },
                                     "items": [{ "metadata": { "name": "old", "namespace": "shop", "resourceVersion": "5" } }] } });
    fs::write(dir.join("list.pods.json"), list.to_string()).unwrap();
    fs::write(dir.join("meta.json"), json!({ "namespace": "shop", "start_epoch": 1_795_000_000.5 }).to_string()).unwrap();
    let event = |t: f64, change: &str, name: &str, rev: u64| {
        let object =
            json!({ "metadata": { "name": name, "namespace": "shop", "resourceVersion": rev.to_string(), "labels": { "app": name } } });
        json!({ "t": t, "kind": "pods", "type": change, "object": object }).to_string()
    };
    let mut file = GzEncoder::new(fs::File::create(dir.join("watch.jsonl.gz")).unwrap(), Compression::fast());
    for line in [event(3.0, "ADDED", "c", 13), event(1.0, "ADDED", "a", 11), event(1.0, "ADDED", "b", 12), event(4.0, "DELETED", "old", 14)]
    {
        writeln!(file, "{line}").unwrap();
    }
    file.finish().unwrap();
}

async fn get(server: &Server, path: &str) -> (u16, Value, String) {
    cutover::tls::ready();
    let response = reqwest::get(format!("{}{path}", server.url)).await.unwrap();
    let date = response.headers()["date"].to_str().unwrap().to_owned();
    let (status, text) = (response.status().as_u16(), response.text().await.unwrap());
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)), date)
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|i| i["metadata"]["name"].as_str().unwrap()).collect()
}

/// Names of the next lines of a watch.
async fn watched(server: &Server, query: &str, lines: usize) -> Vec<String> {
    cutover::tls::ready();
    let response = reqwest::get(format!("{}/api/v1/pods?watch=1&{query}", server.url)).await.unwrap();
    let mut body = response.bytes_stream();
    let mut text = String::new();
    while text.lines().count() < lines {
        text.push_str(std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap());
    }
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        format!("{} {}", line["type"].as_str().unwrap(), line["object"]["metadata"]["name"].as_str().unwrap_or_default())
    };
    text.lines().map(line).collect()
}

#[tokio::test]
async fn a_recording_is_served_as_it_was_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path());
    let still = Options { at: 2.0, speed: 0.0, bookmarks: Duration::from_millis(50), ..Options::default() };
    let server = Server::start(Recording::read_all(dir.path(), false).unwrap(), still).unwrap();
    let (status, list, date) = get(&server, "/api/v1/namespaces/shop/pods").await;
    assert_eq!((status, names(&list), &list["metadata"]["resourceVersion"]), (200, vec!["a", "b", "old"], &json!("12")));
    assert_eq!(date, "Wed, 18 Nov 2026 11:06:42 GMT");
    // Pages, selectors, other namespaces, kinds that nobody recorded, paths that nobody serves.
    let (_, page, _) = get(&server, "/api/v1/pods?limit=2").await;
    let next = page["metadata"]["continue"].as_str().unwrap().to_owned();
    server.seek(5.0);
    let (_, rest, _) = get(&server, &format!("/api/v1/pods?limit=2&continue={next}")).await;
    assert_eq!((names(&page), names(&rest)), (vec!["a", "b"], vec!["old"]), "a page goes on at the moment of the first");
    assert_eq!(names(&get(&server, "/api/v1/pods?labelSelector=app%20in%20(a%2Cc)").await.1), ["a", "c"]);
    assert_eq!(names(&get(&server, "/api/v1/namespaces/other/pods").await.1), Vec::<&str>::new());
    assert_eq!(get(&server, "/api/v1/services").await.0, 403);
    assert_eq!(get(&server, "/api/v1/nothing").await.1, json!("404 page not found\n"));
    assert_eq!(names(&get(&server, "/api/v1/pods").await.1), ["a", "b", "c"]);
    assert_eq!(get(&server, "/api/v1/namespaces/shop/pods/a").await.1["metadata"]["resourceVersion"], json!("11"));
    // A watch goes on after what was listed, and has bookmarks.
    let lines = watched(&server, "resourceVersion=12&allowWatchBookmarks=true", 3).await;
    assert_eq!(lines, ["ADDED c", "DELETED old", "BOOKMARK "]);
    assert_eq!(get(&server, "/api/v1/pods?watch=1&sendInitialEvents=true").await.0, 422);
    assert_eq!(server.counts()[&("pods".to_owned(), "watch".to_owned())], 2);
}

/// Each kind has resource versions of its own; what may not be listed is answered as it was; everything may be
/// compressed.
#[tokio::test]
async fn kinds_do_not_share_resource_versions_and_every_file_may_be_compressed() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path());
    let list = json!({ "kind": "ReplicaSetList", "apiVersion": "apps/v1", "metadata": { "resourceVersion": "700" }, "items": [] });
    let denied = json!({ "t": 0.0, "kind": "events", "status": 403, "response": { "kind": "Status", "code": 403, "message": "events is forbidden" } });
    for (name, body) in [("list.replicasets.json.gz", list), ("list.events.json.gz", denied)] {
        let mut file = GzEncoder::new(fs::File::create(dir.path().join(name)).unwrap(), Compression::fast());
        file.write_all(body.to_string().as_bytes()).unwrap();
        file.finish().unwrap();
    }
    // The start is found in it, too.
    let meta = fs::read(dir.path().join("meta.json")).unwrap();
    fs::remove_file(dir.path().join("meta.json")).unwrap();
    let mut file = GzEncoder::new(fs::File::create(dir.path().join("meta.json.gz")).unwrap(), Compression::fast());
    file.write_all(&meta).unwrap();
    file.finish().unwrap();
    let server =
        Server::start(Recording::read_all(dir.path(), false).unwrap(), Options { at: 3.5, speed: 0.0, ..Options::default() }).unwrap();
    let version = |list: &Value| list["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let (_, pods, date) = get(&server, "/api/v1/namespaces/shop/pods").await;
    let (_, sets, _) = get(&server, "/apis/apps/v1/namespaces/shop/replicasets").await;
    assert_eq!((version(&pods), version(&sets), date.as_str()), ("13".into(), "700".into(), "Wed, 18 Nov 2026 11:06:44 GMT"));
    assert_eq!(get(&server, "/api/v1/namespaces/shop/events").await.1["message"], json!("events is forbidden"));
    // A kind without files is forbidden whatever is asked of it, and is not said to be missing.
    for path in [
        "/apis/argoproj.io/v1alpha1/rollouts",
        "/apis/argoproj.io/v1alpha1/rollouts?watch=1",
        "/apis/apps/v1/namespaces/shop/deployments/web",
    ] {
        let (status, body, _) = get(&server, path).await;
        assert_eq!((status, &body["reason"]), (403, &json!("Forbidden")), "{path}");
    }
}

/// What is of one moment stays in the order in which it was written down.
#[test]
fn events_are_sorted_by_time_and_stay_in_order_within_a_moment() {
    let mut recording = Recording::default();
    for (t, name, rev) in [(2.0, "c", 30), (1.0, "b", 12), (2.0, "a", 20), (0.5, "d", 5), (1.0, "a", 11)] {
        recording.add("pods", t, "ADDED", json!({ "metadata": { "name": name, "resourceVersion": rev.to_string() } }));
    }
    recording.settle();
    let pods = &recording.kinds["pods"];
    let all: Vec<(f64, &str, u64)> =
        (0..).map_while(|at| pods.event(at)).map(|e| (e.t, e.object["metadata"]["name"].as_str().unwrap(), e.rev)).collect();
    // And the collection's resource version never goes back, whatever a single object has.
    assert_eq!(all, [(0.5, "d", 5), (1.0, "b", 12), (1.0, "a", 12), (2.0, "c", 30), (2.0, "a", 30)]);
    assert_eq!([0.4, 0.5, 1.0, 1.9, 2.0].map(|t| pods.passed(t)), [0, 1, 3, 3, 5]);
}

/// `--at` stands still unless a speed is given; without it, it plays as it was recorded.
#[test]
fn the_command_line_says_where_it_stands_and_how_fast_it_plays() {
    let options = |args: &[&str]| {
        let args = Args::try_parse_from(["replay", "some/recording"].iter().chain(args)).map_err(|e| e.to_string())?;
        args.options().map(|o| (o.at, o.speed, o.port, o.bookmarks.as_secs()))
    };
    assert_eq!(options(&[]), Ok((0.0, 1.0, 0, 60)));
    assert_eq!(options(&["--at", "41.6"]), Ok((41.6, 0.0, 0, 60)));
    assert_eq!(options(&["--at", "5", "--speed", "20", "--port", "8443", "--bookmarks", "2"]), Ok((5.0, 20.0, 8443, 2)));
    assert!(options(&["--bookmarks", "-1"]).is_err());
    assert!(options(&["--fault", "explode"]).unwrap_err().contains("--fault"));
    let help = Args::command().render_long_help().to_string();
    for word in ["--at <T>", "--speed <X>", "--kubeconfig <FILE>", "start_epoch", "403"] {
        assert!(help.contains(word), "{word} is not explained:\n{help}");
    }
}

#[tokio::test]
async fn what_is_played_goes_on_for_lists_and_dates_too() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path());
    let server =
        Server::start(Recording::read_all(dir.path(), false).unwrap(), Options { at: 0.9, speed: 100.0, ..Options::default() }).unwrap();
    let began = std::time::Instant::now();
    while names(&get(&server, "/api/v1/pods").await.1) != ["a", "b", "c"] {
        assert!(began.elapsed() < Duration::from_secs(10), "it does not play");
    }
    let (_, _, date) = get(&server, "/api/v1/pods").await;
    let at = chrono::DateTime::parse_from_rfc2822(&date).unwrap();
    assert!(at.timestamp() >= 1_795_000_004, "{date}");
}

#[tokio::test]
async fn a_recording_is_played() {
    let dir = tempfile::tempdir().unwrap();
    record(&dir.path().join("one"));
    record(&dir.path().join("two"));
    let recordings = Recording::read_all(dir.path(), false).unwrap();
    assert_eq!(recordings.len(), 2);
    let server = Server::start(recordings[..1].to_vec(), Options { speed: 20.0, ..Options::default() }).unwrap();
    let lines = watched(&server, "resourceVersion=10", 4).await;
    assert_eq!(lines, ["ADDED a", "ADDED b", "ADDED c", "DELETED old"]);
    // Several have a context each, and no common list.
    let server = Server::start(recordings, Options::default()).unwrap();
    assert_eq!(server.kubeconfig()["contexts"][1]["name"], json!("two"));
    assert_eq!(get(&server, "/api/v1/pods").await.0, 403);
    let error = Recording::read_all(&dir.path().join("none"), false).unwrap_err();
    assert!(error.contains("is no directory"), "{error}");
}
