//! `cutover judge` against a real Prometheus.

use crate::support::{
    host::{CUTOVER, PATIENCE},
    http::{Fake, reply},
    prometheus::{Server, scraping},
};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use std::{
    fmt::Write,
    fs,
    path::Path,
    process::{Command, Output},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Four instances of v1 that never fail, two of v2 of whose requests every fifth does: with every scrape 100
/// requests more of each. From the sixth on an alert about the service fires.
fn exporter() -> Fake {
    let scrapes = AtomicU64::new(0);
    Fake::new(move |_, client| {
        let n = scrapes.fetch_add(1, Ordering::SeqCst) + 1;
        let mut text = String::new();
        for (version, pod, bad) in [("v1", "a", 0), ("v1", "b", 0), ("v1", "c", 0), ("v1", "d", 0), ("v2", "e", 20), ("v2", "f", 20)] {
            for (code, each) in [(200, 100 - bad), (503, bad)] {
                writeln!(text, "req_total{{version=\"{version}\",pod=\"{pod}\",code=\"{code}\"}} {}", n * each).unwrap();
            }
        }
        if n >= 6 {
            text += "ALERTS{alertname=\"Burning\",alertstate=\"firing\",service=\"shop\"} 1\n";
        }
        reply(client, 200, "content-type: text/plain; version=0.0.4\r\n", text.as_bytes())
    })
}

/// By what its instances are told apart.
const POD: &str = "instance_label = \"pod\"";

const GATE: &str = "name = \"errors\"\nsignal = \"errors\"\ninterval = \"1s\"\n";

/// A configuration with one service; `more` is said of its queries.
fn config(dir: &Path, url: &str, more: &str) {
    let text = format!(
        "version = 1\n[metrics]\nkind = \"prometheus\"\nurl = \"{url}\"\nevery = \"1s\"\n\
         [metrics.query]\nrequests = 'req_total{{version=\"{{{{version}}}}\"}}'\ncode_label = \"code\"\ncode_values = \"status\"\n\
         {more}\n\
         [[service]]\nname = \"shop\"\nlisten = \"127.0.0.1:1\"\ncommand = [\"./a\"]\nreadiness = {{ path = \"/\" }}\nsteps = [{{ weight = 25 }}, {{ gate = \"all\" }}]\n\
         [[service.gate]]\n{GATE}on_fail = \"revert\"\n"
    );
    fs::write(dir.join("config.toml"), text).unwrap();
}

fn judge(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(CUTOVER);
    command.env_clear().env("HOME", dir).env("XDG_RUNTIME_DIR", dir).current_dir(dir);
    command.args(["--config", "config.toml", "judge"]).args(args).output().unwrap()
}

fn ok(dir: &Path, args: &[&str]) -> String {
    let output = judge(dir, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The code, and the one line that is said.
fn refused(dir: &Path, args: &[&str]) -> (i32, String) {
    let output = judge(dir, args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    (output.status.code().unwrap(), said)
}

/// Waits until it was scraped so many times.
fn scraped(exporter: &Fake, times: usize) {
    let began = Instant::now();
    while exporter.asked().len() < times {
        assert!(began.elapsed() < PATIENCE, "it is not scraped");
        thread::sleep(Duration::from_millis(50));
    }
}

fn stamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[test]
fn what_prometheus_keeps_is_judged_again() {
    let exporter = exporter();
    let Some(server) = Server::prometheus(&scraping(exporter.port), "") else { return };
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    config(dir, &server.url, POD);
    scraped(&exporter, 12);
    let aa = ["aa", "shop", "--stable", "v1", "--plan", "25:2s,50:2s", "--runs", "20", "-o", "json"];

    let first = ok(dir, &[&aa[..], &["--record", "samples"]].concat());
    let report: Value = serde_json::from_str(&first).unwrap();
    let report = &report["aa"];
    assert_eq!((report["runs"].as_u64(), report["instances"].as_u64()), (Some(20), Some(4)), "{report}");
    assert_eq!((report["together"]["reverted"]["n"].as_u64(), report["shares"][0]["off"].as_bool()), (Some(0), Some(false)), "{report}");
    assert!(report["gates"][0]["samples"].as_f64().unwrap() >= 100.0, "{report}");

    // A gate whose samples cannot be counted one by one is left out, and the others are played.
    let join = "latency = 'sum by (le) (increase(lat_bucket[{{window}}]) * on (pod) group_left () info{version=\"{{version}}\"})'";
    config(dir, &server.url, &format!("{POD}\n{join}"));
    let only = fs::read_to_string(dir.join("config.toml")).unwrap();
    fs::write(dir.join("config.toml"), format!("{only}[[service.gate]]\nname = \"slow\"\nsignal = \"slow\"\n")).unwrap();
    let output = judge(dir, &aa);
    let said = String::from_utf8(output.stderr).unwrap();
    let told: Vec<&str> = said.lines().filter(|line| line.contains("left out")).collect();
    assert!(output.status.success() && told.len() == 1, "{said}");
    assert!(told[0].starts_with("cutover: left out: slow: query `latency` is an expression: only the samples of a plain"), "{said}");
    let played: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((played["aa"]["gates"].as_array().unwrap().len(), &played["aa"]["together"]["reverted"]["n"]), (1, &0.into()), "{played}");
    fs::write(dir.join("config.toml"), only.replace("signal = \"errors\"", "signal = \"slow\"")).unwrap();
    let (code, said) = refused(dir, &aa);
    assert!(code == 2 && said.contains("query `latency` is an expression"), "{said}");
    config(dir, &server.url, POD);

    // What was recorded says the same, and the server is not asked.
    drop(server);
    let samples = ["aa", "shop", "--plan", "25:2s,50:2s", "--runs", "20", "--samples", "samples"];
    let table = ok(dir, &samples);
    assert!(table.lines().next().unwrap().starts_with("GATE    ON FAIL  FAILED"), "{table}");
    assert!(table.contains("a healthy release would have been reverted: 0/20, 0.0 % (0.0 to 16.8)"), "{table}");
    assert!(table.contains("shares played: 25, 50 %"), "{table}");
    let again: Value = serde_json::from_str(&ok(dir, &[&samples[..], &["-o", "json"]].concat())).unwrap();
    assert_eq!(again["aa"]["gates"][0]["fails"], report["gates"][0]["fails"]);

    let (code, said) = refused(dir, &["aa", "shop", "--stable", "v1", "--record", "samples"]);
    assert!(code == 2 && said.contains("must be a new file"), "{said}");
    let (code, said) = refused(dir, &["aa", "shop", "--stable", "v1"]);
    assert!(code == 3 && said.contains("cannot reach"), "{said}");
    let (code, said) = refused(dir, &["aa", "shoe", "--stable", "v1"]);
    assert!(code == 2 && said.contains("no service `shoe`"), "{said}");
    let (_, said) = refused(dir, &["aa", "shop", "--samples", "samples", "--plan", "25:10m"]);
    assert!(said.contains("are not enough for a plan of 10m"), "{said}");
    config(dir, "http://127.0.0.1:1", "");
    let (_, said) = refused(dir, &samples);
    assert!(said.contains("instances cannot be told apart"), "{said}");
}

#[test]
fn past_rollouts_are_played_with_other_gates() {
    let exporter = exporter();
    let Some(server) = Server::prometheus(&scraping(exporter.port), "") else { return };
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    config(dir, &server.url, POD);
    scraped(&exporter, 2);
    let since = Utc::now();
    scraped(&exporter, 14);
    let run = |name: &str, stable: &str, candidate: &str, label: &str| {
        let (since, until) = (stamp(since), stamp(Utc::now()));
        format!(
            "[[run]]\nname = \"{name}\"\nservice = \"shop\"\nstable = \"{stable}\"\ncandidate = \"{candidate}\"\n\
             since = {since}\nuntil = {until}\nlabel = \"{label}\"\n"
        )
    };
    fs::write(dir.join("runs.toml"), run("bad", "v1", "v2", "bad") + &run("good", "v2", "v1", "good")).unwrap();
    let backtest = |more: &[&str]| -> Value {
        let said = ok(dir, &[&["backtest", "runs.toml", "-o", "json"], more].concat());
        serde_json::from_str::<Value>(&said).unwrap()["backtest"].clone()
    };
    // An alert is seen when it fired, of the bad run and of the good one.
    fs::write(dir.join("gates.toml"), format!("[[gate]]\n{GATE}\n[[gate]]\nname = \"pages\"\nsignal = \"alerts\"\n")).unwrap();
    let paged = backtest(&["--gates", "gates.toml", "--record", "paged"]);
    let pages = |report: &Value| {
        (report["gates"][1]["name"].clone(), report["gates"][1]["caught"]["n"].clone(), report["gates"][1]["falsely"]["n"].clone())
    };
    assert_eq!(pages(&paged), ("pages".into(), 1.into(), 1.into()), "{paged}");
    assert_eq!(paged["gates"][0]["blind_seconds"].as_u64(), Some(0), "{paged}");
    let again = backtest(&["--gates", "gates.toml", "--samples", "paged"]);
    assert_eq!(pages(&again), pages(&paged));
    let report = backtest(&["--record", "samples"]);
    let outcomes = |report: &Value| (0..2).map(|n| report["runs"][n]["outcome"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(outcomes(&report), ["caught", "passed"], "{report}");
    assert!(report["together"]["worst_seconds"].as_u64().unwrap() <= 12, "{report}");
    assert_eq!(report["peers"].as_array().unwrap().len(), 3);
    // Both runs are in what was recorded.
    drop(server);
    assert_eq!(outcomes(&backtest(&["--samples", "samples"])), ["caught", "passed"]);
    // Of what was recorded without a query the gates that rest on it are left out.
    let more = "[[gate]]\nname = \"slow\"\nsignal = \"slow\"\n";
    fs::write(dir.join("more.toml"), format!("[[gate]]\n{GATE}\n{more}")).unwrap();
    let played = judge(dir, &["backtest", "runs.toml", "--samples", "samples", "--gates", "more.toml", "-o", "json"]);
    let said = String::from_utf8_lossy(&played.stderr);
    assert!(played.status.success() && said.contains("left out: slow: samples has no samples of"), "{said}");
    let report: Value = serde_json::from_slice(&played.stdout).unwrap();
    assert_eq!(outcomes(&report["backtest"]), ["caught", "passed"]);
    assert_eq!(report["backtest"]["gates"].as_array().unwrap().len(), 1, "{report}");
    // What was recorded without alerts knows of none.
    let none = judge(dir, &["backtest", "runs.toml", "--samples", "samples", "--gates", "gates.toml"]);
    assert!(String::from_utf8_lossy(&none.stderr).contains("left out, since what fired then is not known: pages"), "{none:?}");
    // A gate that only looks at how long requests take has nothing to look at.
    fs::write(dir.join("gates.toml"), "[[gate]]\nname = \"slow\"\nsignal = \"p99\"\n").unwrap();
    let (code, said) = refused(dir, &["backtest", "runs.toml", "--samples", "samples", "--gates", "gates.toml"]);
    assert!(code == 3 && said.contains("no samples of"), "{said}");
    // One that allows a lot.
    fs::write(dir.join("gates.toml"), format!("[[gate]]\n{GATE}limit = 90\nr_max = 100\non_fail = \"advise\"\n")).unwrap();
    let table = ok(dir, &["backtest", "runs.toml", "--samples", "samples", "--gates", "gates.toml"]);
    assert!(table.starts_with("RULE") && table.contains("Kayenta") && table.contains("errors  "), "{table}");

    fs::write(dir.join("none.toml"), run("x", "v1", "v9", "bad")).unwrap();
    let (_, said) = refused(dir, &["backtest", "none.toml", "--samples", "samples"]);
    assert!(said.contains("x: ") && said.contains("no samples of req_total"), "{said}");
    fs::write(dir.join("none.toml"), run("x", "v1", "v2", "odd")).unwrap();
    let (code, said) = refused(dir, &["backtest", "none.toml"]);
    assert!(code == 2 && said.contains("none.toml:8: "), "{said}");
}

/// Requests a minute of one version.
type Rate<'a> = (&'a str, u64);

/// v1 is replaced by v2 in two steps; v3, of whose requests every fifth fails, goes back. Up to `now`.
const STORY: [(u64, &[Rate<'_>]); 6] = [
    (30, &[("v1", 600)]),
    (10, &[("v1", 540), ("v2", 60)]),
    (10, &[("v1", 300), ("v2", 300)]),
    (15, &[("v2", 600)]),
    (10, &[("v2", 480), ("v3", 120)]),
    (20, &[("v2", 600)]),
];

/// As it was scraped every 15 s.
fn past(now: DateTime<Utc>) -> String {
    let minutes: Vec<&[Rate<'_>]> = STORY.iter().flat_map(|(minutes, rates)| (0..*minutes).map(move |_| *rates)).collect();
    let begin = now.timestamp() - 60 * minutes.len() as i64;
    let mut text = "# TYPE req counter\n".to_owned();
    for (version, bad) in [("v1", 0), ("v2", 0), ("v3", 20)] {
        for (code, failed) in [(200, false), (503, true)] {
            let mut total = 0;
            for (n, rates) in minutes.iter().enumerate() {
                let Some((_, rate)) = rates.iter().find(|(v, _)| *v == version) else { continue };
                for quarter in 0..4 {
                    let failures = rate / 4 * bad / 100;
                    total += if failed { failures } else { rate / 4 - failures };
                    let at = begin + 60 * n as i64 + 15 * quarter;
                    writeln!(text, "req_total{{version=\"{version}\",pod=\"{version}-a\",code=\"{code}\"}} {total} {at}").unwrap();
                }
            }
        }
    }
    text + "# EOF\n"
}

#[test]
fn past_rollouts_are_found_in_the_traffic_and_played() {
    let Some(server) = Server::of_past(&past(Utc::now())) else { return };
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    config(dir, &server.url, POD);
    let slower = fs::read_to_string(dir.join("config.toml")).unwrap().replace("every = \"1s\"", "every = \"15s\"");
    fs::write(dir.join("config.toml"), slower.replace("interval = \"1s\"", "interval = \"30s\"")).unwrap();
    let runs = ok(dir, &["runs", "shop", "--since", "3h"]);
    fs::write(dir.join("runs.toml"), &runs).unwrap();
    let read: toml::Table = runs.parse().unwrap();
    let run = |n: usize, key: &str| read["run"][n][key].as_str().unwrap().to_owned();
    let told: Vec<_> = (0..2).map(|n| ["service", "stable", "candidate", "label"].map(|key| run(n, key))).collect();
    assert_eq!(told, [["shop", "v1", "v2", "good"], ["shop", "v2", "v3", "bad"]], "{runs}");
    assert!(runs.contains("label = \"good\"  # it went through\n") && runs.contains("label = \"bad\"  # it went back\n"), "{runs}");
    let percent = |share: &toml::Value| share["percent"].as_float().or(share["percent"].as_integer().map(|n| n as f64)).unwrap().round();
    let shares: Vec<f64> = read["run"][0]["shares"].as_array().unwrap().iter().map(percent).collect();
    assert_eq!(shares, [10.0, 50.0], "{runs}");
    let report: Value = serde_json::from_str(&ok(dir, &["backtest", "runs.toml", "-o", "json"])).unwrap();
    let outcomes: Vec<&str> = (0..2).map(|n| report["backtest"]["runs"][n]["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["passed", "caught"], "{report:#}");

    let (code, said) = refused(dir, &["runs", "shop", "--since", "15m"]);
    assert!(code == 1 && said.contains("shop: no past rollout in 15m: one version had all the traffic"), "{said}");
    let (code, said) = refused(dir, &["runs", "shop", "--since", "1h", "--until", "2h"]);
    assert!(code == 2 && said.contains("--since must be longer ago than --until"), "{said}");
    // A version that is compared with itself is always as good.
    fs::write(dir.join("same.toml"), runs.replace("candidate = \"v2\"", "candidate = \"v1\"")).unwrap();
    let (code, said) = refused(dir, &["backtest", "same.toml"]);
    assert!(code == 2 && said.contains("stable and candidate are called the same"), "{said}");
    let by_pod = fs::read_to_string(dir.join("config.toml")).unwrap().replace("version=\"{{version}}\"", "pod=~\"{{version}}-.+\"");
    fs::write(dir.join("config.toml"), by_pod).unwrap();
    let (code, said) = refused(dir, &["runs", "shop"]);
    assert!(code == 1 && said.contains("does not tell versions apart by a label alone"), "{said}");
}
