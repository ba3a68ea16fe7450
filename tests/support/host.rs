//! A real host in a directory of its own, driven like a person would: by the command line.

use cutover::{
    clock::SystemClock,
    model::{ident::TargetId, rollout::Rollout},
    runtime::host::HostRuntime,
};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

/// The binary under test.
pub const CUTOVER: &str = env!("CARGO_BIN_EXE_cutover");

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A host, its directory and its configuration.
pub struct Host {
    pub dir: PathBuf,
    pub child: Option<Child>,
    /// Address of the service's proxy.
    pub address: String,
    /// The same of each service, by its name.
    pub addresses: BTreeMap<String, String>,
    _kept: Option<tempfile::TempDir>,
}

impl Host {
    /// Starts a host with these `[[service]]` tables.
    pub fn start(services: &str) -> Self {
        let kept = tempfile::Builder::new().prefix("cutover-test-").tempdir().unwrap();
        let dir = kept.path().to_owned();
        let mut host = Self::prepare(&dir, services);
        host._kept = Some(kept);
        host.run();
        host
    }

    /// Writes the configuration into `dir`, starts nothing.
    pub fn prepare(dir: &Path, services: &str) -> Self {
        let place = dir.display();
        let config = format!(
            "[host]\nsocket = \"{place}/host.sock\"\nstate = \"{place}/state\"\nstore = \"{place}/store\"\nrun = \"{place}/run\"\n\
             [journal]\npath = \"{place}/journal.jsonl\"\n[[target]]\nname = \"test\"\nsocket = \"{place}/host.sock\"\n{services}\n"
        );
        fs::write(dir.join("config.toml"), config).unwrap();
        Self { dir: dir.to_owned(), child: None, address: String::new(), addresses: BTreeMap::new(), _kept: None }
    }

    /// Keeps its directory as long as it lives.
    #[allow(dead_code, reason = "not every set of tests needs it")]
    pub fn keep(&mut self, dir: tempfile::TempDir) {
        self._kept = Some(dir);
    }

    /// Starts the process and waits until it says that it listens.
    pub fn run(&mut self) {
        let mut child = Command::new(CUTOVER)
            .args(["host", "-c"])
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::options().create(true).append(true).open(self.dir.join("host.log")).unwrap())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (lines, receive) = mpsc::channel();
        std::thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|l| lines.send(l)));
        self.child = Some(child);
        loop {
            let line = receive.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("the host did not start ({e}): {}", self.log()));
            if line.starts_with("control socket ") {
                return;
            }
            if let Some((name, address)) = line.strip_prefix("service ").and_then(|l| l.split_once(" on ")) {
                self.addresses.insert(name.to_owned(), address.to_owned());
                self.address = address.to_owned();
            }
        }
    }

    pub fn config(&self) -> PathBuf {
        self.dir.join("config.toml")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("host.log")).unwrap_or_default()
    }

    /// Runs a verb against this host.
    pub fn verb(&self, args: &[&str]) -> Output {
        Command::new(CUTOVER)
            .args(args)
            .arg("-c")
            .arg(self.config())
            .stdin(Stdio::null())
            .env("XDG_STATE_HOME", self.dir.join("xdg"))
            .output()
            .unwrap()
    }

    /// Runs a verb that must succeed; what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let done = self.verb(args);
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "cutover {args:?}: {}\n{out}{err}\nhost: {}", done.status, self.log());
        out.trim().to_owned()
    }

    /// Seals files into the host's store; the digest.
    pub fn seal(&self, label: &str, files: &[(&str, &str)]) -> String {
        let source = self.dir.join("source").join(label);
        for (name, content) in files {
            let path = source.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            if content.starts_with("#!") {
                use std::os::unix::fs::PermissionsExt;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        self.ok(&["seal", source.to_str().unwrap(), "--label", label])
    }

    /// A client of its control API.
    pub fn client(&self) -> HostRuntime {
        HostRuntime::new(TargetId::new("test"), self.dir.join("host.sock"), Arc::new(SystemClock::start())).unwrap()
    }

    /// The one rollout as a console sees it.
    pub fn rollout(&self) -> Rollout {
        self.rollouts().pop().unwrap()
    }

    /// All of them.
    fn rollouts(&self) -> Vec<Rollout> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.client().rollouts()).unwrap()
    }

    /// Waits until the rollout is as asked for.
    pub fn until(&self, what: &str, is: impl Fn(&Rollout) -> bool) -> Rollout {
        self.wait_for(|| self.rollout(), what, is)
    }

    /// Waits until the rollout of a service is as asked for.
    pub fn until_of(&self, service: &str, what: &str, is: impl Fn(&Rollout) -> bool) -> Rollout {
        self.wait_for(|| self.rollouts().into_iter().find(|r| r.key.service.as_str() == service).unwrap(), what, is)
    }

    fn wait_for(&self, rollout: impl Fn() -> Rollout, what: &str, is: impl Fn(&Rollout) -> bool) -> Rollout {
        let end = Instant::now() + PATIENCE;
        loop {
            let rollout = rollout();
            if is(&rollout) {
                return rollout;
            }
            assert!(Instant::now() < end, "not {what}: {rollout:#?}\nhost: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// One request through the proxy: status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let url = format!("http://{}{path}", self.address);
        runtime.block_on(async {
            cutover::tls::ready();
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let answer = client.get(url).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        })
    }

    /// So many requests, one after the other over one connection: their status. A client of its own for each
    /// costs more than the request does.
    pub fn requests(&self, n: usize) -> Vec<u16> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            cutover::tls::ready();
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let mut all = Vec::new();
            for _ in 0..n {
                let answer = client.get(format!("http://{}/", self.address)).send().await.unwrap();
                all.push(answer.status().as_u16());
                answer.bytes().await.unwrap();
            }
            all
        })
    }

    /// `kill -9`, and the zombie is reaped.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM; waits for the end.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let pid = rustix::process::Pid::from_child(&child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let end = Instant::now() + PATIENCE;
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "the host did not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Processes whose command line or environment carries this marker.
pub fn marked(marker: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
        let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let all = [read("cmdline"), read("environ")].concat();
        if all.windows(marker.len()).any(|w| w == marker.as_bytes()) {
            found.push(pid);
        }
    }
    found
}
