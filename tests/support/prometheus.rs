//! A real Prometheus or VictoriaMetrics on a loopback port, with a directory of its own.

use super::{host::PATIENCE, need};
use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The server; it ends with the value.
pub struct Server {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    child: Child,
    dir: TempDir,
}

/// A configuration that scrapes this port of this machine every second, as job `shop`.
pub fn scraping(port: u16) -> String {
    format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs:\n- job_name: shop\n  static_configs: [{{ targets: [\"127.0.0.1:{port}\"] }}]\n"
    )
}

impl Server {
    /// Prometheus with this configuration, which may name `rules.yml`, whose content is the other. `None`
    /// where it is not installed.
    pub fn prometheus(config: &str, rules: &str) -> Option<Self> {
        Self::start("prometheus", "/-/ready", &[("prometheus.yml", config), ("rules.yml", rules)], |dir, port| {
            vec![
                format!("--config.file={dir}/prometheus.yml"),
                format!("--storage.tsdb.path={dir}/data"),
                format!("--web.listen-address=127.0.0.1:{port}"),
            ]
        })
    }

    /// Prometheus that scrapes nothing and knows this past, in the OpenMetrics format, as if it had scraped it.
    pub fn of_past(openmetrics: &str) -> Option<Self> {
        if !need("promtool") {
            return None;
        }
        let files = [("prometheus.yml", "global: { scrape_interval: 15s }\n"), ("past", openmetrics)];
        Self::start("prometheus", "/-/ready", &files, |dir, port| {
            let mut import = Command::new("promtool");
            let made = import
                .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"])
                .args([&format!("{dir}/past"), &format!("{dir}/data")]);
            let made = made.output().unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            vec![
                format!("--config.file={dir}/prometheus.yml"),
                format!("--storage.tsdb.path={dir}/data"),
                format!("--web.listen-address=127.0.0.1:{port}"),
            ]
        })
    }

    /// `VictoriaMetrics` with this configuration, and otherwise as it comes.
    pub fn victoria(config: &str) -> Option<Self> {
        Self::start("victoria-metrics", "/health", &[("scrape.yml", config)], |dir, port| {
            vec![
                format!("-promscrape.config={dir}/scrape.yml"),
                format!("-storageDataPath={dir}/data"),
                format!("-httpListenAddr=127.0.0.1:{port}"),
            ]
        })
    }

    fn start(program: &str, ready: &str, files: &[(&str, &str)], arguments: impl Fn(&str, u16) -> Vec<String>) -> Option<Self> {
        if !need(program) {
            return None;
        }
        // Somebody else may take the port between the choice and the start.
        for _ in 0..5 {
            let dir = tempfile::tempdir().unwrap();
            for (name, content) in files {
                fs::write(dir.path().join(name), content).unwrap();
            }
            let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
            let log = File::create(dir.path().join("log")).unwrap();
            let child = Command::new(program)
                .args(arguments(&dir.path().display().to_string(), port))
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn()
                .unwrap();
            let mut server = Self { url: format!("http://127.0.0.1:{port}"), child, dir };
            if server.is_ready(port, ready) {
                return Some(server);
            }
        }
        panic!("{program} does not start");
    }

    /// Waits until it is ready; false when it has ended instead.
    fn is_ready(&mut self, port: u16, path: &str) -> bool {
        let began = Instant::now();
        loop {
            if self.child.try_wait().unwrap().is_some() {
                eprintln!("{}", self.log());
                return false;
            }
            if get(port, path).is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return true;
            }
            assert!(began.elapsed() < PATIENCE, "it is never ready: {}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Ends it now.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
