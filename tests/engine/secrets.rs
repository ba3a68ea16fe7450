//! Secrets reach the child and nobody else.

use super::rig::{Http, until};
use crate::support::{
    host::{CUTOVER, Host},
    need,
};
use cutover::model::back::{Check, CheckState};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

const FROM_FILE: &str = "hunter2-from-a-file";
const FROM_ENV: &str = "hunter2-from-the-environment";

/// Tells the hash of what it was given, never the value.
const SERVE: &str = r#"#!/usr/bin/env python3
import hashlib, http.server, os
def digest(name):
    return hashlib.sha256(os.environ[name].encode()).hexdigest()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (digest("FILE") + " " + digest("ENV")).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// Every file below `dir` that holds a secret.
fn leaks(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.extend(leaks(&path));
        } else if entry.file_type().unwrap().is_file() {
            let bytes = fs::read(&path).unwrap_or_default();
            if bytes.windows(7).any(|w| w == b"hunter2") {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

fn lamp(host: &Host, what: &str, is: impl Fn(&Check) -> bool) {
    until(what, || host.rollout().back.checks.iter().find(|c| c.name.as_str() == "secrets").filter(|c| is(c)).cloned());
}

#[test]
fn secrets_reach_the_child_and_appear_nowhere() {
    if !need("python3") {
        return;
    }
    let (dir, private) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = private.path().join("secret");
    fs::write(&file, format!("{FROM_FILE}\n")).unwrap();
    let service = format!(
        "[[service]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\ncommand = [\"./serve\"]\n\
         readiness = {{ path = \"/\", interval = \"50ms\" }}\nsteps = [{{ weight = 50 }}, {{ pause = \"manual\" }}]\n\
         secrets = {{ FILE = {{ file = \"{}\" }}, ENV = {{ env = \"CUTOVER_TEST_SECRET\" }} }}\n",
        file.display()
    );
    let mut host = Host::prepare(dir.path(), &service);
    let mut child = Command::new(CUTOVER)
        .args(["host", "-c"])
        .arg(host.config())
        .env("CUTOVER_TEST_SECRET", FROM_ENV)
        .env("RUST_LOG", "trace")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(host.dir.join("host.log")).unwrap())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let lines: Vec<_> = said.take_while(|l| !l.starts_with("control socket ")).collect();
    host.child = Some(child);
    host.address = lines[0].rsplit(' ').next().unwrap().to_owned();
    for label in ["v1", "v2"] {
        let digest = host.seal(label, &[("serve", SERVE), ("version", label)]);
        super::rig::deploy(&host, "web", &digest, if label == "v1" { "completed" } else { "paused" });
    }
    let of = |value: &str| cutover::model::digest::Digest::of(value.as_bytes()).hex();
    assert_eq!(host.get("/").1, format!("{} {}", of(FROM_FILE), of(FROM_ENV)));

    lamp(&host, "unchanged", |c| c.state == CheckState::Ok && c.detail.as_str() == "unchanged");
    fs::write(&file, "hunter2-another").unwrap();
    lamp(&host, "changed", |c| c.state == CheckState::Ok && c.detail.as_str().starts_with("changed"));
    fs::remove_file(&file).unwrap();
    lamp(&host, "gone", |c| c.state == CheckState::Bad && c.detail.as_str().ends_with("not found"));
    host.ok(&["revert", "web"]);

    let http = Http::to(&host);
    for path in ["/v1/rollouts", "/v1/logs", "/metrics"] {
        assert!(!http.get(path).1.contains("hunter2"), "{path}");
    }
    let watched = http.lines("/v1/watch", |lines| lines.last().is_some_and(|(_, l)| l["delta"] == "init_done"));
    assert!(watched.iter().all(|(_, l)| !l.to_string().contains("hunter2")));
    assert_eq!(leaks(dir.path()), Vec::<String>::new());
    host.stop();
    assert_eq!(leaks(dir.path()), Vec::<String>::new());
}
