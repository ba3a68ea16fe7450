//! What stands behind the demo: directory, artifacts, host, load. All of it ends with [`Stage`].

use super::scenario::Scenario;
use crate::{
    artifact::{Layout, SealOptions, seal},
    cli::Context,
    clock::{Clock, SystemClock},
    model::{digest::Digest, ident::ActionId, ident::TargetId, text::Raw, wire::DeployRequest},
    runtime::{Fault, host::HostRuntime},
};
use anyhow::{Context as _, bail};
use signal_hook::{
    SigId,
    consts::{SIGHUP, SIGINT, SIGTERM},
};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// What the demo's target is called.
pub const TARGET: &str = "demo";

/// How long each part may take to come up; a slow machine is waited for, a broken one is not.
const PATIENCE: Duration = Duration::from_secs(30);

/// Traffic on the stable version before the candidate starts: enough for a p99 to compare with.
const BASELINE: Duration = Duration::from_secs(3);

/// The running demo.
pub struct Stage {
    dir: TempDir,
    socket: PathBuf,
    host: Child,
    load: Option<Child>,
    interrupted: Interrupted,
}

impl Stage {
    /// Seals both versions, starts host, stable version and load, and deploys the candidate.
    ///
    /// # Errors
    /// What could not be started; everything that was is ended.
    pub fn set(scenario: &Scenario, seed: u64, cx: &Context) -> anyhow::Result<Self> {
        let interrupted = Interrupted::watch()?;
        let dir = tempfile::Builder::new().prefix("cutover-demo-").tempdir()?;
        let socket = dir.path().join("host.sock");
        let config = dir.path().join("config.toml");
        fs::write(&config, configuration(scenario, dir.path(), &socket)?)?;
        let layout = Layout::create(&dir.path().join("sealed"))?;
        let mut digests = Vec::new();
        for (label, behaviour) in &scenario.versions {
            interrupted.check()?;
            digests.push(seal_version(dir.path(), &layout, label, &toml::to_string(behaviour)?)?);
        }
        let mut host = child(&["host", "--until-eof", "-c"], &[&config], &dir.path().join("host.log"))?;
        let announced = announcements(&mut host);
        let mut stage = Self { dir, socket, host, load: None, interrupted };
        let address = stage.wait_for_host(&announced?, &scenario.service)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (Some(stable), Some(candidate)) = (digests.first(), digests.get(1)) else { bail!("a scenario has two versions") };
        runtime.block_on(stage.deploy(scenario, &layout, *stable, cx))?;
        runtime.block_on(stage.until_served(&scenario.service))?;
        let (url, rate) = (format!("http://{address}"), scenario.rate.to_string());
        let arguments = ["load", "--url", &url, "--rate", &rate, "--seed", &seed.to_string()];
        stage.load = Some(child(&arguments, &[], &stage.dir.path().join("load.log"))?);
        let clock = SystemClock::start();
        while clock.uptime() < BASELINE {
            stage.interrupted.check()?;
            thread::sleep(Duration::from_millis(50));
        }
        runtime.block_on(stage.deploy(scenario, &layout, *candidate, cx))?;
        Ok(stage)
    }

    /// The configuration with which another console joins.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("config.toml")
    }

    /// The same command line, on the demo's configuration.
    #[must_use]
    pub fn context(&self, cx: &Context) -> Context {
        let mut global = cx.global.clone();
        global.config = Some(self.config());
        global.target = Some(TARGET.into());
        Context { global, env: cx.env.clone() }
    }

    /// A client of the demo's host.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn client(&self) -> Result<HostRuntime, Fault> {
        HostRuntime::new(TargetId::new(TARGET), self.socket.clone(), Arc::new(SystemClock::start()))
    }

    /// Ends everything and waits until it is gone; then the directory goes too.
    pub fn strike(mut self) {
        self.end();
    }

    fn end(&mut self) {
        for child in self.load.iter_mut().chain([&mut self.host]) {
            // They end when the pipe does.
            drop(child.stdin.take());
        }
        let clock = SystemClock::start();
        for child in self.load.iter_mut().chain([&mut self.host]) {
            while matches!(child.try_wait(), Ok(None)) && clock.uptime() < PATIENCE {
                thread::sleep(Duration::from_millis(10));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn wait_for_host(&mut self, lines: &mpsc::Receiver<String>, service: &str) -> anyhow::Result<String> {
        let prefix = format!("service {service} on ");
        let mut address = None;
        let clock = SystemClock::start();
        while clock.uptime() < PATIENCE {
            self.interrupted.check()?;
            match lines.recv_timeout(Duration::from_millis(100)) {
                Ok(line) if line.starts_with("control socket ") => return address.context("the host has no such service"),
                Ok(line) => address = line.strip_prefix(&prefix).map(str::to_owned).or(address),
                Err(_) if self.host.try_wait()?.is_some() => break,
                Err(_) => {}
            }
        }
        let log = fs::read_to_string(self.dir.path().join("host.log")).unwrap_or_default();
        bail!("the demo's host did not start: {}", log.lines().last().unwrap_or("it said nothing"))
    }

    async fn deploy(&self, scenario: &Scenario, layout: &Layout, artifact: Digest, cx: &Context) -> anyhow::Result<()> {
        let request = DeployRequest {
            id: ActionId::new(format!("demo-{}", artifact.short())),
            service: Raw::new(&scenario.service),
            artifact,
            replace: false,
            layout: Some(layout.dir().to_owned()),
            name: cx.env.user.as_deref().map(Into::into),
            reason: None,
        };
        self.client()?.deploy(&request).await.map_err(|e| anyhow::anyhow!("{e}"))?;
        Ok(())
    }

    /// Until the first version has all traffic.
    async fn until_served(&self, service: &str) -> anyhow::Result<()> {
        let clock = SystemClock::start();
        while clock.uptime() < PATIENCE {
            self.interrupted.check()?;
            let rollouts = self.client()?.rollouts().await?;
            let served = rollouts.iter().find(|r| r.key.service.as_str() == service).and_then(|r| r.stable());
            if served.is_some_and(|t| t.pools.iter().any(|p| p.ready >= p.desired)) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the stable version did not become ready")
    }
}

/// Whether somebody wants to end the demo before it has begun: what was started must end too.
struct Interrupted {
    flag: Arc<AtomicBool>,
    watched: Vec<SigId>,
}

impl Interrupted {
    fn watch() -> anyhow::Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        let signals = [SIGINT, SIGTERM, SIGHUP];
        let watched = signals.iter().map(|s| signal_hook::flag::register(*s, Arc::clone(&flag))).collect::<Result<_, _>>()?;
        Ok(Self { flag, watched })
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.flag.load(Ordering::Relaxed) { bail!("interrupted; nothing is left behind") } else { Ok(()) }
    }
}

impl Drop for Interrupted {
    fn drop(&mut self) {
        for id in &self.watched {
            signal_hook::low_level::unregister(*id);
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.end();
    }
}

/// A child of our own program. It leaves our session by itself: Ctrl-Z on the console must not freeze the proxy.
fn child(arguments: &[&str], paths: &[&Path], log: &Path) -> anyhow::Result<Child> {
    let log = fs::File::create(log)?;
    let mut command = Command::new("/proc/self/exe");
    command.args(arguments).args(paths).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
    command.spawn().context("cannot start a part of the demo")
}

/// The lines a child prints on standard output, read on a thread so that waiting can be bounded.
fn announcements(child: &mut Child) -> anyhow::Result<mpsc::Receiver<String>> {
    let stdout = child.stdout.take().context("the host has no standard output")?;
    let (lines, receive) = mpsc::channel();
    thread::Builder::new().name("announcements".into()).spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                break;
            }
        }
    })?;
    Ok(receive)
}

/// The scenario's host configuration, with everything private to the demo's directory.
fn configuration(scenario: &Scenario, dir: &Path, socket: &Path) -> anyhow::Result<String> {
    let mut config = scenario.host.clone();
    let path = |name: &str| toml::Value::from(dir.join(name).display().to_string());
    let mut host = toml::Table::new();
    host.insert("socket".into(), socket.display().to_string().into());
    for name in ["state", "store", "run"] {
        host.insert(name.into(), path(name));
    }
    config.insert("host".into(), host.into());
    let journal = toml::Table::from_iter([("path".to_owned(), path("journal.jsonl"))]);
    config.insert("journal".into(), journal.into());
    let target = toml::Table::from_iter([("name".to_owned(), TARGET.into()), ("socket".to_owned(), socket.display().to_string().into())]);
    config.insert("target".into(), vec![toml::Value::from(target)].into());
    Ok(toml::to_string(&config)?)
}

/// Program and behaviour, sealed together: the version is its faults.
fn seal_version(dir: &Path, layout: &Layout, label: &str, behaviour: &str) -> anyhow::Result<Digest> {
    let source = dir.join("source").join(label);
    fs::create_dir_all(&source)?;
    fs::copy("/proc/self/exe", source.join("checkout"))?;
    fs::write(source.join("behaviour.toml"), behaviour)?;
    let options = SealOptions { version: Some(label.into()), ..SealOptions::default() };
    let sealed = seal(&source, layout, &options)?;
    fs::remove_dir_all(&source)?;
    Ok(sealed.digest)
}
