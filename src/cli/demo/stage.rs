//! What stands behind the demo: directory, artifacts, host, load, deploys. All of it ends with [`Stage`].

mod cast;
mod props;

use super::{
    load::Order,
    scenario::Scenario,
    scraper::Ports,
    tidy::{self, PREFIX, SOCKET},
};
use crate::{
    cli::Context,
    clock::{Clock, SystemClock},
    model::ident::TargetId,
    runtime::{Fault, host::HostRuntime},
};
use anyhow::{Context as _, bail};
use cast::{Cast, Deployer};
use signal_hook::{
    SigId,
    consts::{SIGHUP, SIGINT, SIGTERM},
};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
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

/// What the demo's target is called.
pub const TARGET: &str = "demo";

/// How long each part may take to come up; a slow machine is waited for, a broken one is not.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the host may take to end what it runs once the demo is left. Killed after that it ends all the same:
/// whatever it started notices by itself.
const LEAVING: Duration = Duration::from_secs(3);

/// How long is waited for the load generator, which by then only tidies up. It is not ended: what is still there it
/// removes later, when nobody waits.
const TIDYING: Duration = Duration::from_secs(1);

/// The running demo.
pub struct Stage {
    dir: Private,
    host: Option<Child>,
    load: Child,
    interrupted: Interrupted,
    cast: Option<Cast>,
}

impl Stage {
    /// Seals every version, starts host, stable versions and load; later versions follow by themselves. With
    /// `prometheus` the host is scraped and judged by that.
    ///
    /// # Errors
    /// What could not be started; everything that was is ended.
    pub fn set(scenario: &Scenario, seed: u64, prometheus: bool, cx: &Context) -> anyhow::Result<Self> {
        let interrupted = Interrupted::watch()?;
        let dir = Private(tempfile::Builder::new().prefix(PREFIX).tempdir()?.keep());
        // First of all: from here on somebody removes the directory, whatever becomes of us.
        let ports = prometheus.then(Ports::free).transpose()?;
        let seed = seed.to_string();
        let scraped = ports.map(|ports| [ports.scraper.to_string(), ports.host.to_string()]);
        let mut arguments = vec!["load", "--seed", &seed];
        if let Some([scraper, host]) = &scraped {
            arguments.extend(["--prometheus", scraper, host]);
        }
        arguments.push("--dir");
        let load = child(&arguments, &[dir.path()], &dir.path().join("load.log"))?;
        let mut stage = Self { dir, host: None, load, interrupted, cast: None };
        let program = props::program(stage.dir.path())?;
        fs::write(stage.config(), props::configuration(scenario, stage.dir.path(), &stage.socket(), &program, ports)?)?;
        stage.host = Some(child(&["host", "--until-eof", "-c"], &[&stage.config()], &stage.dir.path().join("host.log"))?);
        let announced = stage.host.as_mut().map(announcements).context("no host")??;
        let releases = props::seal(scenario, stage.dir.path(), &stage.interrupted)?;
        let addresses = stage.wait_for_host(&announced)?;
        let deployer =
            Deployer { target: TARGET, socket: stage.socket(), layout: props::layout(stage.dir.path()), user: cx.env.user.clone() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            for release in releases.iter().filter(|r| r.first) {
                stage.interrupted.check()?;
                deployer.deploy(release).await?;
            }
            stage.until_served(scenario.parts.len()).await
        })?;
        for (service, part) in &scenario.parts {
            let address = addresses.get(service).with_context(|| format!("the host has no service {service}"))?;
            if let Some(load) = part.load {
                stage.order(&Order { url: Some(format!("http://{address}")), load })?;
            }
        }
        let later = releases.into_iter().filter(|r| !r.first).collect();
        stage.cast = Some(Cast::start(deployer, later)?);
        Ok(stage)
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join(SOCKET)
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
        Context { global, env: cx.env.clone(), servers: cx.servers.clone() }
    }

    /// A client of the demo's host.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn client(&self) -> Result<HostRuntime, Fault> {
        client(TARGET, &self.socket())
    }

    /// Why a later version could not be deployed, if so.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.cast.as_ref().and_then(Cast::trouble)
    }

    /// Ends everything and waits until it is gone; then the directory goes too.
    pub fn strike(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.cast.take());
        // Requests first, so that instances have nothing to finish.
        let _ = self.order(&Order::NOTHING);
        if let Some(mut host) = self.host.take() {
            // It ends when the pipe does.
            drop(host.stdin.take());
            if !has_ended(&mut host, LEAVING) {
                let _ = host.kill();
                let _ = host.wait();
            }
        }
        // It ends what writes there, and removes the directory; one that was killed cannot.
        drop(self.load.stdin.take());
        has_ended(&mut self.load, TIDYING);
        self.dir.remove();
    }

    fn order(&mut self, order: &Order) -> anyhow::Result<()> {
        let mut line = serde_json::to_string(order)?;
        line.push('\n');
        self.load.stdin.as_mut().context("there is no load")?.write_all(line.as_bytes()).context("the load generator ended")
    }

    fn wait_for_host(&mut self, lines: &mpsc::Receiver<String>) -> anyhow::Result<BTreeMap<String, String>> {
        let mut addresses = BTreeMap::new();
        let clock = SystemClock::start();
        while clock.uptime() < PATIENCE {
            self.interrupted.check()?;
            match lines.recv_timeout(Duration::from_millis(100)) {
                Ok(line) if line.starts_with("control socket ") => return Ok(addresses),
                Ok(line) => {
                    let said = line.strip_prefix("service ").and_then(|l| l.split_once(" on "));
                    addresses.extend(said.map(|(service, address)| (service.to_owned(), address.to_owned())));
                }
                Err(_) if self.host.as_mut().is_some_and(|h| !matches!(h.try_wait(), Ok(None))) => break,
                Err(_) => {}
            }
        }
        let log = fs::read_to_string(self.dir.path().join("host.log")).unwrap_or_default();
        bail!("the demo's host did not start: {}", log.lines().last().unwrap_or("it said nothing"))
    }

    /// Until every service's first version has all traffic, or could not be started: that is told like any failure.
    async fn until_served(&self, services: usize) -> anyhow::Result<()> {
        let clock = SystemClock::start();
        let client = self.client()?;
        while clock.uptime() < PATIENCE {
            self.interrupted.check()?;
            let rollouts = client.rollouts().await?;
            let served = rollouts.iter().filter_map(|r| r.stable()).filter(|t| t.pools.iter().any(|p| p.ready >= p.desired));
            if served.count() >= services {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("a stable version did not become ready")
    }
}

/// A client of the host behind this socket.
fn client(target: &str, socket: &Path) -> Result<HostRuntime, Fault> {
    HostRuntime::new(TargetId::new(target), socket.to_owned(), Arc::new(SystemClock::start()))
}

/// Waits for the end of a child that was told to end, for so long.
fn has_ended(child: &mut Child, patience: Duration) -> bool {
    let clock = SystemClock::start();
    while matches!(child.try_wait(), Ok(None)) {
        if clock.uptime() >= patience {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    true
}

/// The demo's directory, gone with this value.
struct Private(PathBuf);

impl Private {
    fn path(&self) -> &Path {
        &self.0
    }

    fn remove(&self) {
        // What could not be removed is tried again by the load generator, which lives a moment longer.
        let _ = tidy::remove(&self.0);
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        self.remove();
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
