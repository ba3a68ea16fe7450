//! Programs of other people as services: Python's web server, nginx, and one that ignores TERM. Each goes
//! out, comes back by a switch, is promoted, survives the death of its host and leaves nothing behind.

use super::rig::until;
use crate::support::{
    host::{Host, marked},
    need,
};
use cutover::model::rollout::{Phase, Rollout};
use std::time::{Duration, Instant};

/// A service whose answers name its version, and the files of one version.
struct Program {
    command: &'static str,
    files: fn(label: &str) -> Vec<(&'static str, String)>,
}

const PYTHON: Program = Program {
    command: r#"["python3", "-m", "http.server", "{port}", "--bind", "127.0.0.1"]"#,
    files: |label| vec![("version", label.to_owned())],
};

/// A master with two workers; its configuration cannot name a port by a variable.
const NGINX: Program = Program {
    command: r#"["./start"]"#,
    files: |label| {
        let start = "#!/bin/sh\nset -e\nsed \"s|@PORT@|$PORT|; s|@ROOT@|$PWD|; s|@TMP@|$TMPDIR|g; s|@USER@|$(id -un)|\" nginx.conf > \"$TMPDIR/nginx.conf\"\n\
                     exec nginx -e stderr -c \"$TMPDIR/nginx.conf\"\n";
        let conf = "daemon off; user @USER@; pid @TMP@/nginx.pid; worker_processes 2; error_log stderr;\nevents { worker_connections 64; }\n\
                    http {\n  access_log off;\n  client_body_temp_path @TMP@/b; proxy_temp_path @TMP@/p; fastcgi_temp_path @TMP@/f;\n  \
                    uwsgi_temp_path @TMP@/u; scgi_temp_path @TMP@/s;\n  \
                    server { listen 127.0.0.1:@PORT@; location / { root @ROOT@; } }\n}\n";
        vec![("version", label.to_owned()), ("start", start.to_owned()), ("nginx.conf", conf.to_owned())]
    },
};

const STUBBORN: Program = Program {
    command: r#"["python3", "serve.py", "{port}"]"#,
    files: |label| {
        let serve = "import signal, sys\nfrom http.server import *\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
                     ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), SimpleHTTPRequestHandler).serve_forever()\n";
        vec![("version", label.to_owned()), ("serve.py", serve.to_owned())]
    },
};

fn version(host: &Host, program: &Program, label: &str) -> String {
    let files = (program.files)(label);
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    host.seal(label, &files)
}

fn live(name: &str, program: &Program) {
    if !need("python3") || !need(name) {
        return;
    }
    let mark = format!("cutover-others-{name}-{}", std::process::id());
    let mut host = Host::start(&format!(
        "[[service]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\ncommand = {}\ninstances = 2\n\
         readiness = {{ path = \"/version\", interval = \"100ms\" }}\nsteps = [{{ weight = 50 }}, {{ pause = \"manual\" }}]\n\
         drain = \"1s\"\nkeep_warm = \"10m\"\nenvironment = {{ MARK = \"{mark}\" }}\n",
        program.command
    ));
    let deploy = |host: &Host, label: &str, goal: &str| {
        host.ok(&["deploy", "web", &version(host, program, label)]);
        host.ok(&["wait", "web", "--for", goal, "--timeout", "60s"]);
    };
    let answers = |host: &Host| {
        let mut all: Vec<String> = (0..20).map(|_| host.get("/version")).map(|(status, body)| format!("{status} {body}")).collect();
        all.sort();
        all.dedup();
        all
    };
    deploy(&host, "v1", "completed");
    assert_eq!(answers(&host), ["200 v1"]);
    deploy(&host, "v2", "paused");
    assert_eq!(answers(&host), ["200 v1", "200 v2"]);
    host.ok(&["revert", "web"]);
    assert_eq!(answers(&host), ["200 v1"]);
    let asked = Instant::now();
    host.until("torn down", |r| r.candidate().is_none_or(|t| t.pools.is_empty()));
    assert!(asked.elapsed() < Duration::from_secs(20));
    deploy(&host, "v3", "paused");
    host.ok(&["promote", "web", "--yes"]);
    host.until("completed", |r| r.phase == Phase::Completed);
    assert_eq!(answers(&host), ["200 v3"]);
    host.ok(&["revert", "web", "--switch-only"]);
    assert_eq!(answers(&host), ["200 v1"]);

    host.kill();
    until("everything of it ended", || marked(&mark).is_empty().then_some(()));
    host.run();
    let ready = |r: &Rollout| r.stable().is_some_and(|t| t.pools.iter().any(|p| p.ready == 2));
    host.until("serving again", ready);
    assert_eq!(answers(&host), ["200 v1"]);
    host.stop();
    assert_eq!(marked(&mark), Vec::<i32>::new());
}

#[test]
fn pythons_web_server() {
    live("python3", &PYTHON);
}

#[test]
fn nginx() {
    live("nginx", &NGINX);
}

#[test]
fn a_program_that_ignores_term() {
    live("sh", &STUBBORN);
}
