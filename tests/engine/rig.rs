//! What these tests share: the sample service, raw HTTP, an engine in this very process.

use crate::support::host::{CUTOVER, Host, PATIENCE};
use cutover::{
    artifact::Store,
    clock::{Clock, SystemClock},
    config,
    host::{
        commit::Reply,
        deploy::Depot,
        drift::Watchman,
        engine::{Command, Engine, Parts},
        guests::Guests,
        instances::{InstanceSettings, Instances},
        preflight::Machine,
        slots::{FilePort, Saver, Slots},
        state::HostState,
        usage::Accounts,
    },
    journal::{Journal, JournalHandle},
    model::{
        action::{Action, Belief},
        ident::{ActionId, RunId},
        rollout::{Phase, Rollout},
        text::{Raw, Text},
        wire::{ActionRequest, DeployRequest},
    },
};
use std::{
    io,
    path::Path,
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// A service of our own binary: fast to start, and its artifact says how it behaves.
pub fn sample(name: &str, more: &str) -> String {
    format!(
        "[[service]]\nname = \"{name}\"\nlisten = \"127.0.0.1:0\"\n\
         command = [\"{CUTOVER}\", \"sample\", \"--port\", \"{{port}}\", \"--behaviour\", \"behaviour.toml\"]\n\
         readiness = {{ path = \"/healthz\", interval = \"50ms\" }}\n\
         steps = [{{ weight = 50 }}, {{ pause = \"manual\" }}]\ndrain = \"2s\"\n{more}\n"
    )
}

/// Seals a version of the sample service; `behaviour` is TOML.
pub fn version(host: &Host, label: &str, behaviour: &str) -> String {
    host.seal(label, &[("behaviour.toml", &format!("# {label}\nmedian_ms = 1.0\n{behaviour}\n"))])
}

/// Deploys a version and waits until it is there.
pub fn deploy(host: &Host, service: &str, digest: &str, goal: &str) {
    host.ok(&["deploy", service, digest]);
    host.ok(&["wait", service, "--for", goal, "--timeout", "60s"]);
}

/// A host with v1 stable and v2 a canary at half of the traffic.
pub fn canary(more: &str) -> Host {
    let host = Host::start(&sample("web", more));
    deploy(&host, "web", &version(&host, "v1", ""), "completed");
    deploy(&host, "web", &version(&host, "v2", ""), "paused");
    host
}

/// Waits for something that is neither a rollout nor a request.
pub fn until<T>(what: &str, mut is: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = is() {
            return found;
        }
        assert!(Instant::now() < end, "not {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Raw HTTP to a control socket.
pub struct Http {
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Http {
    pub fn to(host: &Host) -> Self {
        cutover::tls::ready();
        let client = reqwest::Client::builder().unix_socket(host.dir.join("host.sock")).no_proxy().build().unwrap();
        Self { client, runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap() }
    }

    fn answer(&self, request: reqwest::RequestBuilder) -> (u16, String) {
        self.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        })
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        self.answer(self.client.get(format!("http://host{path}")))
    }

    pub fn post(&self, path: &str, body: impl Into<String>) -> (u16, String) {
        let json = self.client.post(format!("http://host{path}")).header("content-type", "application/json");
        self.answer(json.body(body.into()))
    }

    /// Reads lines of a stream until `enough`; each with when it came.
    pub fn lines(&self, path: &str, mut enough: impl FnMut(&[(Instant, serde_json::Value)]) -> bool) -> Vec<(Instant, serde_json::Value)> {
        self.runtime.block_on(async {
            let mut answer = self.client.get(format!("http://host{path}")).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            let (mut lines, mut rest) = (Vec::new(), Vec::new());
            while !enough(&lines) {
                let Some(piece) = tokio::time::timeout(PATIENCE, answer.chunk()).await.expect("a line").unwrap() else { break };
                rest.extend_from_slice(&piece);
                while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    lines.push((Instant::now(), serde_json::from_slice(&line).unwrap()));
                }
            }
            lines
        })
    }
}

/// What somebody believes who looks at this rollout.
pub fn belief(rollout: &Rollout) -> Belief {
    Belief {
        key: rollout.key.clone(),
        run: rollout.run.clone(),
        rev: rollout.seen.rev,
        at: rollout.at.map(|at| at.index),
        stable: rollout.stable().map(|t| t.version.id.clone()),
        candidate: rollout.candidate().map(|t| t.version.id.clone()),
    }
}

/// An action as a client sends it.
pub fn request(id: &str, action: Action, rollout: &Rollout) -> ActionRequest {
    ActionRequest { id: ActionId::new(id), action, belief: belief(rollout), name: None, reason: None, force: false, switch_only: false }
}

/// The way back of a rollout.
pub fn back(id: &str, rollout: &Rollout) -> ActionRequest {
    request(id, Action::Back { to: rollout.back.to.clone().expect("a way back").id }, rollout)
}

/// A file in memory that can be made to hang, as a disk does.
#[derive(Clone)]
pub struct Disk(Arc<(Mutex<Hanging>, Condvar)>);

struct Hanging {
    files: [Vec<u8>; 2],
    hangs: bool,
    /// A write waits.
    stuck: bool,
}

struct Port(Disk, usize);

impl Disk {
    pub fn new() -> Self {
        let files = [vec![0; 1 << 20], vec![0; 1 << 20]];
        Self(Arc::new((Mutex::new(Hanging { files, hangs: false, stuck: false }), Condvar::new())))
    }

    pub fn hang(&self, hangs: bool) {
        self.0.0.lock().unwrap().hangs = hangs;
        self.0.1.notify_all();
    }

    pub fn is_stuck(&self) -> bool {
        self.0.0.lock().unwrap().stuck
    }

    pub fn ports(&self) -> [Box<dyn FilePort>; 2] {
        [Box::new(Port(self.clone(), 0)), Box::new(Port(self.clone(), 1))]
    }

    /// What a host that starts now would find; nothing is written.
    pub fn state(&self) -> HostState {
        let copy = Self::new();
        copy.0.0.lock().unwrap().files = self.0.0.lock().unwrap().files.clone();
        let (_, loaded) = Slots::<HostState>::with_ports(copy.ports(), 1 << 20, clock(), Path::new("/state")).unwrap();
        loaded.state.unwrap()
    }
}

impl FilePort for Port {
    fn read_all(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.0.0.0.lock().unwrap().files[self.1].clone())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (state, wake) = &*self.0.0;
        let mut state = state.lock().unwrap();
        state.stuck = state.hangs;
        let mut state = wake.wait_while(state, |s| s.hangs).unwrap();
        state.stuck = false;
        let offset = usize::try_from(offset).unwrap();
        state.files[self.1][offset..offset + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::start())
}

/// A host in this process: everything real but the disk of its state.
pub struct Inner {
    /// Its files, its configuration, and `address`; there is no process.
    pub host: Host,
    pub disk: Disk,
    pub commands: mpsc::Sender<Command>,
    depot: Depot,
    cancel: CancellationToken,
    run: tokio::task::JoinHandle<()>,
}

impl Inner {
    pub fn start(dir: &Path, services: &str) -> Self {
        let mut host = Host::prepare(dir, services);
        let env = config::Env::from_process();
        let loaded = config::load(Some(&host.config()), &env).unwrap();
        let (disk, clock) = (Disk::new(), clock());
        let (slots, found) = Slots::with_ports(disk.ports(), 1 << 20, Arc::clone(&clock), dir).unwrap();
        let supervisor = [CUTOVER, "supervise"].map(Into::into).to_vec();
        let usual = InstanceSettings::new("test", dir.join("run"), dir.join("logs"), Arc::new(|_| None));
        let (instances, _) = Instances::start(InstanceSettings { supervisor, ..usual }, Arc::clone(&clock)).unwrap();
        let path = host.config();
        let reload = move || config::load(Some(&path), &env).map(|l| l.config.services).map_err(|e| Text::from(e.to_string()));
        let store = Arc::new(Store::open(&dir.join("store")).unwrap());
        let depot = Depot::new(store, Watchman::new(Arc::clone(&clock)), Arc::new(reload));
        let depot = depot.on(Machine { instances: instances.clone(), writes: vec![dir.to_owned()] });
        let journal = Journal::open(&dir.join("journal.jsonl")).unwrap();
        let mut engine = Engine::new(Parts {
            state: found.state.unwrap_or_default(),
            saver: Saver::start(slots).unwrap(),
            instances,
            depot: depot.clone(),
            guests: Guests::default(),
            accounts: Accounts::default(),
            backend: None,
            journal: JournalHandle::start(journal, Arc::clone(&clock)).unwrap(),
            clock,
            found: Vec::new(),
            look_every: Duration::from_millis(200),
        });
        let open = engine.open(&loaded.config.services).unwrap();
        host.address = open[0].1.to_string();
        let (commands, receive) = mpsc::channel(64);
        let cancel = CancellationToken::new();
        let run = tokio::spawn(engine.run(receive, cancel.clone()));
        Self { host, disk, commands, depot, cancel, run }
    }

    pub async fn rollout(&self) -> Rollout {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Rollouts { reply }).await.ok().unwrap();
        answer.await.unwrap().pop().unwrap()
    }

    pub async fn until(&self, what: &str, is: impl Fn(&Rollout) -> bool) -> Rollout {
        let end = Instant::now() + PATIENCE;
        loop {
            let rollout = self.rollout().await;
            if is(&rollout) {
                return rollout;
            }
            assert!(Instant::now() < end, "not {what}: {rollout:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sends an action; the answer comes later.
    pub async fn act(&self, request: ActionRequest) -> oneshot::Receiver<Reply> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Act { request, by: "ana".into(), reply }).await.ok().unwrap();
        answer
    }

    pub async fn deploy(&self, label: &str, behaviour: &str) -> RunId {
        let digest = version(&self.host, label, behaviour);
        let request = DeployRequest {
            id: ActionId::new(format!("deploy {label}")),
            service: Raw::new("web"),
            artifact: digest.parse().unwrap(),
            replace: false,
            layout: None,
            name: None,
            reason: None,
        };
        let (depot, wanted) = (self.depot.clone(), request.clone());
        let prepared = tokio::task::spawn_blocking(move || depot.prepare(&wanted)).await.unwrap().unwrap();
        let (reply, answer) = oneshot::channel();
        let command = Command::Deploy { request, prepared: Box::new(prepared), by: "ana".into(), reply };
        self.commands.send(command).await.ok().unwrap();
        answer.await.unwrap().unwrap().run.unwrap()
    }

    /// v1 is stable, v2 a canary at half of the traffic.
    pub async fn canary(&self, behaviour: &str) -> Rollout {
        self.deploy("v1", "").await;
        self.until("stable", |r| r.phase == Phase::Completed).await;
        self.deploy("v2", behaviour).await;
        self.until("paused", paused).await
    }

    pub async fn end(self) {
        self.cancel.cancel();
        tokio::time::timeout(PATIENCE, self.run).await.unwrap().unwrap();
    }
}

/// Held by the plan's manual pause, at its weight.
pub fn paused(rollout: &Rollout) -> bool {
    rollout.phase == Phase::Held && rollout.at.is_some_and(|at| at.index == 1)
}

pub fn programmed(rollout: &Rollout) -> Option<f64> {
    rollout.tracks.iter().find(|t| t.version.label.as_str() == "v2")?.share.programmed?.percent()
}
