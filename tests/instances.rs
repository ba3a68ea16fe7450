//! Real child processes under the real supervisor: the hidden subcommand of the binary.

mod kill;
mod life;
mod scale;
mod strict;
mod tasks;

use cutover::{
    clock::SystemClock,
    conductor::life::PoolId,
    host::instances::{InstanceSettings, Instances, Isolation, Leftovers, LogFilter, PoolPlan, PoolStatus},
    model::{
        ident::VersionId,
        instance::{Instance, InstanceState},
        spec::{RuntimeSpec, ServiceSpec},
    },
};
use std::{
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

/// Nothing here takes this long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(30);

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The kinds of isolation that this machine allows: namespaces need root or user namespaces.
fn isolations() -> &'static [Isolation] {
    static FOUND: OnceLock<&[Isolation]> = OnceLock::new();
    FOUND.get_or_init(|| {
        let place = Place::new();
        match Instances::start(settings(place.path(), Isolation::PidNamespace), Arc::new(SystemClock::start())) {
            Ok(_) => &[Isolation::PidNamespace, Isolation::Plain],
            Err(why) if is_root() => panic!("{why}"),
            Err(why) => {
                println!("left out: {why}");
                &[Isolation::Plain]
            }
        }
    })
}

/// A directory with an artifact, and the settings of a host on it.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Services with a user of their own pass through it.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("artifact")).unwrap();
        Self { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn root(&self) -> PathBuf {
        self.path().join("artifact")
    }

    fn start(&self, isolation: Isolation) -> (Instances, Leftovers) {
        start(self.path(), isolation)
    }
}

fn start(dir: &Path, isolation: Isolation) -> (Instances, Leftovers) {
    Instances::start(settings(dir, isolation), Arc::new(SystemClock::start())).unwrap()
}

fn settings(dir: &Path, isolation: Isolation) -> InstanceSettings {
    // Control groups are named by it, and tests run side by side.
    let id = dir.file_name().unwrap().to_string_lossy().into_owned();
    let lookup = Arc::new(|name: &str| (name == "HOST_TOKEN").then(|| "from-the-host".into()));
    let settings = InstanceSettings::new(id, dir.join("run"), dir.join("log"), lookup);
    let supervisor = [env!("CARGO_BIN_EXE_cutover"), "supervise"].map(OsString::from).to_vec();
    InstanceSettings { isolation, supervisor, ..settings }
}

/// A service with quick probes and back-off.
fn runtime(command: &[&str]) -> RuntimeSpec {
    let spec: ServiceSpec = serde_json::from_value(serde_json::json!({
        "name": "checkout", "listen": "127.0.0.1:0", "command": command, "steps": [],
        "readiness": { "path": "/", "interval": "50ms", "timeout": "2s" },
        "restart": { "min": "50ms", "max": "400ms" },
    }))
    .unwrap();
    spec.runtime()
}

fn plan(version: &str, root: PathBuf, runtime: RuntimeSpec) -> PoolPlan {
    let id = PoolId { version: VersionId::new(version), generation: 1 };
    PoolPlan { id, service: "checkout".into(), label: version.into(), runtime, root, verify: Arc::new(|| Ok(())) }
}

/// A web server that is on every machine.
fn python() -> RuntimeSpec {
    runtime(&["/usr/bin/python3", "-m", "http.server", "{port}", "--bind", "127.0.0.1"])
}

/// Waits until the only pool is as wanted and returns it.
async fn pool_when(instances: &Instances, wanted: impl Fn(&PoolStatus) -> bool) -> PoolStatus {
    let mut changed = instances.changed();
    let wait = async {
        loop {
            if let Some(pool) = instances.status().into_iter().find(&wanted) {
                return pool;
            }
            changed.changed().await.unwrap();
        }
    };
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(pool) => pool,
        Err(_) => panic!("never happened: {:#?}\n{:#?}", instances.status(), logs(instances)),
    }
}

/// Waits until its only instance is as wanted and returns it.
async fn instance_when(instances: &Instances, wanted: impl Fn(&Instance) -> bool) -> Instance {
    pool_when(instances, |pool| pool.instances.first().is_some_and(&wanted)).await.instances.remove(0)
}

async fn ready(instances: &Instances) -> PoolStatus {
    pool_when(instances, |pool| !pool.ready.is_empty() && pool.ready.len() == pool.desired as usize).await
}

async fn ended_because(instances: &Instances, reason: &str) -> Instance {
    let is = |i: &Instance| i.state == InstanceState::BackOff && i.reason.as_ref().is_some_and(|r| r.as_str() == reason);
    instance_when(instances, is).await
}

/// Everything the instances printed, each line with its stream.
fn logs(instances: &Instances) -> Vec<String> {
    let lines = instances.logs().tail(&LogFilter::default(), 0);
    lines.iter().map(|l| format!("{:?} {}", l.stream, l.line).to_lowercase()).collect()
}

/// Waits for what no event tells.
async fn wait_until(what: &str, patience: Duration, is: impl Fn() -> bool + Send) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < patience, "not within {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The processes whose arguments contain this.
fn processes_with(mark: &str) -> Vec<(u32, String)> {
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let with_args =
        pids.filter_map(|pid| Some((pid, String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).ok()?).replace('\0', " "))));
    with_args.filter(|(pid, args)| *pid != std::process::id() && args.contains(mark)).collect()
}
