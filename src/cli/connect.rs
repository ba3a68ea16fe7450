//! From flags and configuration to targets, and from a name on the command line to one rollout.

use super::{Context, exit::Exit};
use crate::{
    clock::{Clock, SystemClock},
    config::{self, Env, Loaded, TargetConfig, TargetKind},
    helper,
    metrics::{
        Origin,
        prometheus::{self, Prometheus, Servers},
    },
    model::{
        action::{Observation, Outcome, Plan, Refusal},
        delta::Delta,
        event::LogLine,
        ident::{ActionId, Key, TargetId},
        rollout::Rollout,
        text::{Raw, Text},
        time::Time,
        wire::ActionRecord,
    },
    observe::{How, Observed},
    runtime::{
        Ask, Fault, Runtime,
        argo::{
            ArgoRuntime,
            connect::{
                Settings,
                account::{self, Account},
                proxy::Proxies,
            },
        },
        host::{HostRuntime, Refused, seat::Seat},
        supervise::Policy,
    },
};
use futures::{Stream, StreamExt};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// A place to look at.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name.
    pub id: TargetId,
    /// Whether acting is off here.
    pub read_only: bool,
    at: At,
}

/// What runs at a target, and where.
#[derive(Clone, Debug)]
enum At {
    /// A host on this socket.
    Host(PathBuf),
    /// A cluster, and where its rollouts are measured.
    Argo(Box<Settings>, Option<Box<Measured>>),
}

/// Where the rollouts of a cluster are measured, and how they are judged.
#[derive(Clone, Debug)]
struct Measured {
    server: prometheus::Settings,
    /// With whom it shares the server.
    servers: Servers,
    how: How,
}

impl Target {
    /// A host on this socket.
    #[must_use]
    pub const fn of_host(id: TargetId, socket: PathBuf, read_only: bool) -> Self {
        Self { id, read_only, at: At::Host(socket) }
    }

    /// The control socket of its host; `None` where it is no host.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        match &self.at {
            At::Host(socket) => Some(socket),
            At::Argo(..) => None,
        }
    }

    /// Whether this rollout is here.
    #[must_use]
    pub fn is(&self, rollout: &Rollout) -> bool {
        self.id == rollout.key.target
    }

    /// A client of it. Nothing is connected yet.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn client(&self) -> Result<Client, Exit> {
        match &self.at {
            At::Host(_) => self.host().map(|host| Client::Host(Box::new(host))),
            At::Argo(settings, measured) => {
                let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
                let argo = ArgoRuntime::new((**settings).clone(), Arc::clone(&clock));
                Ok(match measured {
                    None => Client::Argo(Box::new(argo)),
                    Some(measured) => {
                        let server = Prometheus::new(measured.server.clone(), &measured.servers);
                        Client::Judged(Box::new(Observed::new(argo, server, measured.how.clone(), clock)))
                    }
                })
            }
        }
    }

    /// A client that other consoles are told of, where the runtime knows consoles.
    ///
    /// # Errors
    /// See [`Self::client`].
    pub fn console(&self, console: &str, name: Option<&str>) -> Result<Client, Exit> {
        Ok(match self.client()? {
            Client::Host(host) => Client::Host(Box::new(host.seated(Seat::new(Raw::new(console), name.map(Text::clean))))),
            other => other,
        })
    }

    /// The host it is.
    ///
    /// # Errors
    /// When it is something else, or no HTTP client can be made.
    pub fn host(&self) -> Result<HostRuntime, Exit> {
        match &self.at {
            At::Host(socket) => HostRuntime::new(self.id.clone(), socket.clone(), Arc::new(SystemClock::start())).map_err(|e| fault(&e)),
            At::Argo(..) => Err(Exit::usage(format!("{} is a cluster: what it runs is deployed with kubectl or from Git", self.id.text()))),
        }
    }
}

/// Any runtime.
pub enum Client {
    /// A host.
    Host(Box<HostRuntime>),
    /// A cluster with Argo Rollouts.
    Argo(Box<ArgoRuntime>),
    /// The same, judged from what a metrics backend measures.
    Judged(Box<Observed<ArgoRuntime, Prometheus>>),
}

impl Client {
    /// Its socket or context, for faults and messages.
    #[must_use]
    pub fn place(&self) -> &Text {
        match self {
            Self::Host(host) => host.place(),
            Self::Argo(argo) => argo.place(),
            Self::Judged(judged) => judged.inner().place(),
        }
    }

    /// Every rollout as it is now.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn rollouts(&self) -> Result<Vec<Rollout>, Fault> {
        match self {
            Self::Host(host) => host.rollouts().await,
            Self::Argo(argo) => argo.rollouts().await,
            Self::Judged(judged) => Ok(judged.judge(judged.inner().rollouts().await?).await),
        }
    }

    /// The same for whoever prints the evidence of every rollout: see [`Observed::telling_all`]. A host judges all
    /// of its own alike.
    #[must_use]
    pub fn telling_all(self) -> Self {
        match self {
            Self::Judged(judged) => Self::Judged(Box::new(judged.telling_all())),
            other => other,
        }
    }
}

impl Runtime for Client {
    fn watch(&self) -> impl Stream<Item = Result<Delta, Fault>> + Send + 'static {
        match self {
            Self::Host(host) => host.watch().boxed(),
            Self::Argo(argo) => argo.watch().boxed(),
            Self::Judged(judged) => judged.watch().boxed(),
        }
    }

    fn plan(&self, rollout: &Rollout, ask: &Ask) -> Result<Plan, Refusal> {
        match self {
            Self::Host(host) => host.plan(rollout, ask),
            Self::Argo(argo) => argo.plan(rollout, ask),
            Self::Judged(judged) => judged.plan(rollout, ask),
        }
    }

    async fn apply(&self, plan: &Plan) -> Outcome {
        match self {
            Self::Host(host) => host.apply(plan).await,
            Self::Argo(argo) => argo.apply(plan).await,
            Self::Judged(judged) => judged.apply(plan).await,
        }
    }

    async fn resolve(&self, id: &ActionId) -> Result<Option<ActionRecord>, Fault> {
        match self {
            Self::Host(host) => host.resolve(id).await,
            Self::Argo(argo) => argo.resolve(id).await,
            Self::Judged(judged) => judged.resolve(id).await,
        }
    }

    fn confirm(&self, plan: &Plan, rollout: &Rollout) -> Observation {
        match self {
            Self::Host(host) => host.confirm(plan, rollout),
            Self::Argo(argo) => argo.confirm(plan, rollout),
            Self::Judged(judged) => judged.confirm(plan, rollout),
        }
    }

    fn policy(&self) -> Policy {
        match self {
            Self::Host(host) => host.policy(),
            Self::Argo(argo) => argo.policy(),
            Self::Judged(judged) => judged.policy(),
        }
    }

    fn focus(&self, key: Option<&Key>) {
        match self {
            Self::Host(host) => host.focus(key),
            Self::Argo(argo) => argo.focus(key),
            Self::Judged(judged) => judged.focus(key),
        }
    }

    fn logs(&self, key: &Key, after: Option<u64>) -> impl Stream<Item = Result<LogLine, Fault>> + Send + 'static {
        match self {
            Self::Host(host) => host.logs(key, after).boxed(),
            Self::Argo(argo) => argo.logs(key, after).boxed(),
            Self::Judged(judged) => judged.logs(key, after).boxed(),
        }
    }
}

/// The configured targets (the host on the default socket, if none is); only `--target` when it is given.
///
/// # Errors
/// When `--target` names none of them.
pub fn targets(cx: &Context) -> Result<Vec<Target>, Exit> {
    let loaded = cx.load()?;
    if let Some(cluster) = unnamed(cx, &loaded) {
        return Ok(vec![cluster]);
    }
    let uses_host = loaded.config.targets.iter().any(|t| t.kind == TargetKind::Host);
    if uses_host
        && loaded.config.host.socket.is_none()
        && let Some(dir) = loaded.paths.socket.parent().filter(|dir| dir.exists())
    {
        // Chosen by us: whoever made it could pretend to be the host.
        config::check_private(dir, cx.env.uid).map_err(Exit::unreachable)?;
    }
    let blind = loaded.config.targets.iter().position(|t| !t.gates.is_empty() && t.metrics.is_none());
    if let Some(i) = blind {
        let what = "its gates have nothing to look at: add [target.metrics] with kind = \"prometheus\" and its `url`";
        return Err(Exit::usage(loaded.wrong(&format!("target.{i}.gate.0.name"), what)));
    }
    let target = |(i, t): (usize, &TargetConfig)| match t.kind {
        TargetKind::Host => {
            let socket = t.socket.clone().unwrap_or_else(|| loaded.paths.socket.clone());
            Target::of_host(TargetId::new(t.name.clone()), socket, t.read_only)
        }
        TargetKind::Argo => {
            let origin = t.metrics.as_ref().map(|metrics| loaded.queries_at(&format!("target.{i}.metrics"), metrics));
            cluster(cx, t, origin.unwrap_or_default())
        }
    };
    let all = loaded.config.targets.iter().enumerate();
    let configured = all.filter(|(_, t)| cx.global.context.is_none() || t.context == cx.global.context);
    let mut all: Vec<Target> = configured.map(target).collect();
    let Some(wanted) = &cx.global.target else { return Ok(all) };
    let names: Vec<String> = all.iter().map(|t| t.id.text().to_string()).collect();
    all.retain(|t| t.id.as_str() == wanted);
    if all.is_empty() {
        return Err(Exit::usage(format!("no target `{}`; there are {}", wanted.escape_debug(), names.join(", "))));
    }
    Ok(all)
}

/// A cluster that the configuration does not name: the one that `--context` names, or the current one when only
/// `--namespace` or `--as` say that a cluster is meant.
fn unnamed(cx: &Context, loaded: &Loaded) -> Option<Target> {
    let clusters = || loaded.config.targets.iter().filter(|t| t.kind == TargetKind::Argo);
    let wanted = match &cx.global.context {
        Some(context) => clusters().all(|t| t.context.as_ref() != Some(context)),
        None => {
            clusters().next().is_none() && cx.global.target.is_none() && (!cx.global.namespace.is_empty() || cx.global.acts_as.is_some())
        }
    };
    let name = cx.global.context.clone().unwrap_or_else(|| "current".into());
    let context = cx.global.context.clone();
    wanted.then(|| cluster(cx, &TargetConfig { name, kind: TargetKind::Argo, context, ..TargetConfig::default() }, Origin::default()))
}

/// A cluster with Argo Rollouts. It is looked at only.
fn cluster(cx: &Context, target: &TargetConfig, origin: Origin) -> Target {
    let (env, global) = (&cx.env, &cx.global);
    let id = TargetId::new(target.name.clone());
    let settings = Settings {
        target: id.clone(),
        kubeconfig: kubeconfig(env, target),
        context: target.context.clone(),
        namespaces: if global.namespace.is_empty() { target.namespace.clone() } else { global.namespace.clone() },
        acts_as: global.acts_as.clone().or_else(|| target.acts_as.clone()),
        account: env.in_cluster.clone().map(|(host, port)| Account { host, port, dir: account::MOUNTED.into() }),
        proxies: Proxies { https: env.https_proxy.clone(), http: env.http_proxy.clone(), except: env.no_proxy.clone() },
        launcher: helper::launcher(),
    };
    Target { id, read_only: true, at: At::Argo(Box::new(settings), measured(cx, target, origin)) }
}

/// What a configuration that was checked says of it.
fn measured(cx: &Context, target: &TargetConfig, origin: Origin) -> Option<Box<Measured>> {
    let metrics = target.metrics.as_ref()?;
    let (server, queries) = (metrics.prometheus()?, metrics.queries().ok()?);
    let gates = if target.gates.is_empty() { How::usual_gates(&queries) } else { target.gates.clone() };
    let how = How {
        gates,
        queries,
        pace: metrics.pace(),
        variables: metrics.variables.clone(),
        alerts: metrics.alerts(),
        analyses: metrics.analysis,
        origin,
    };
    Some(Box::new(Measured { server, servers: cx.servers.clone(), how }))
}

fn kubeconfig(env: &Env, target: &TargetConfig) -> Vec<PathBuf> {
    match (&target.kubeconfig, env.kubeconfig.as_slice()) {
        (Some(file), _) => vec![file.clone()],
        (None, []) => env.home.iter().map(|home| home.join(".kube/config")).collect(),
        (None, files) => files.to_vec(),
    }
}

/// Without any configured target there is only the default socket: says how to get a host when there is none.
///
/// # Errors
/// When nobody is there.
pub fn somebody_there(targets: &[Target], by_default: bool) -> Result<(), Exit> {
    match targets {
        [Target { at: At::Host(socket), .. }] if by_default && !socket.exists() => Err(Exit::unreachable(format!(
            "no host at {}; start one with `cutover host`, look at a rollout with `cutover demo`, or at a cluster with --context",
            socket.display()
        ))),
        _ => Ok(()),
    }
}

/// A fault as an exit, with its hint.
#[must_use]
pub fn fault(fault: &Fault) -> Exit {
    if matches!(fault, Fault::Unusable { .. }) {
        return Exit::usage(fault);
    }
    match fault.hint() {
        Some(hint) => Exit::unreachable(format!("{fault}; {hint}")),
        None => Exit::unreachable(fault),
    }
}

/// Why a deploy was not carried out, as an exit.
#[must_use]
pub fn refused(refused: &Refused) -> Exit {
    match refused {
        Refused::Fault(e) => fault(e),
        Refused::Said(error) => match &error.refusal {
            Some(_) if error.failures.len() > 1 => {
                let lines: String = error.failures.iter().map(|line| format!("\n  {line}")).collect();
                Exit::not_sent(format!("preflight: {} failures, nothing was started{lines}", error.failures.len()))
            }
            Some(refusal) => Exit::refused(refusal),
            None => Exit::usage(&error.message),
        },
    }
}

/// `service` or `service@run`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    /// The service.
    pub service: String,
    /// The run it must be, if one is named.
    pub run: Option<String>,
}

impl Named {
    /// Whether this rollout is called so: by its service, or with its namespace before it.
    #[must_use]
    pub fn means(&self, key: &Key) -> bool {
        let (scope, service) = self.service.rsplit_once('/').map_or((None, self.service.as_str()), |(ns, name)| (Some(ns), name));
        key.service.as_str() == self.service
            || (key.service.as_str() == service && scope.is_some() && key.scope.last().map(Raw::as_str) == scope)
    }
}

impl std::str::FromStr for Named {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let (service, run) = match s.split_once('@') {
            Some((service, run)) => (service, Some(run)),
            None => (s, None),
        };
        if service.is_empty() || run.is_some_and(str::is_empty) {
            return Err("expected SERVICE or SERVICE@RUN".into());
        }
        Ok(Self { service: service.into(), run: run.map(Into::into) })
    }
}

/// What the targets answered: one that cannot be asked hides nothing of the others.
pub struct Seen {
    /// Every rollout of every target that answered.
    pub rollouts: Vec<Rollout>,
    /// Why others did not; exit code 3.
    pub silent: Vec<Exit>,
    /// How many did.
    pub answered: usize,
}

/// Asks every target at the same time.
pub async fn rollouts(targets: &[Target]) -> Seen {
    let mut seen = Seen { rollouts: Vec::new(), silent: Vec::new(), answered: 0 };
    for (target, answer) in answers(targets).await {
        match answer {
            Ok(rollouts) => {
                seen.rollouts.extend(rollouts);
                seen.answered += 1;
            }
            Err(exit) if targets.len() > 1 => seen.silent.push(exit.about(&target.id.text())),
            Err(exit) => seen.silent.push(exit),
        }
    }
    seen
}

/// The namespace of a rollout, and what is around it.
#[must_use]
pub fn scope(rollout: &Rollout) -> String {
    rollout.key.scope.iter().map(|part| part.text().to_string()).collect::<Vec<_>>().join("/")
}

/// What each target answers, all asked at the same time.
pub async fn answers(targets: &[Target]) -> Vec<(Target, Result<Vec<Rollout>, Exit>)> {
    let ask = |target: &Target| {
        let (target, client) = (target.clone(), target.client());
        async move {
            let answer = match client {
                Ok(client) => client.rollouts().await.map_err(|e| fault(&e)),
                Err(exit) => Err(exit),
            };
            (target, answer)
        }
    };
    futures::future::join_all(targets.iter().map(ask)).await
}

/// Now, as this machine's clock says.
#[must_use]
pub fn now() -> Time {
    SystemClock::start().now()
}

/// The one rollout that is meant.
///
/// # Errors
/// When there is none (with the nearest name), several, or another run: exit code 2. When it may be on
/// a target that did not answer: 3.
pub fn pick(seen: Seen, named: &Named) -> Result<Rollout, Exit> {
    let Seen { rollouts, mut silent, .. } = seen;
    let nearest = rollouts.iter().map(|r| r.key.service.text().to_string()).min_by_key(|name| strsim::osa_distance(name, &named.service));
    let mut found: Vec<Rollout> = rollouts.into_iter().filter(|r| named.means(&r.key)).collect();
    let one_target = found.windows(2).all(|pair| matches!(pair, [a, b] if a.key.target == b.key.target));
    if found.len() > 1 && one_target {
        let names: Vec<String> = found.iter().map(|r| format!("{}/{}", scope(r), r.key.service.text())).collect();
        return Err(Exit::usage(format!("`{}` is in {} namespaces; say which: {}", named.service, found.len(), names.join(", "))));
    }
    if found.len() > 1 {
        return Err(Exit::usage(format!("`{}` is on {} targets; say which with --target", named.service, found.len())));
    }
    let Some(rollout) = found.pop() else {
        if !silent.is_empty() {
            return Err(silent.swap_remove(0));
        }
        let hint = nearest.map_or_else(|| "; there are no rollouts".into(), |n| format!("; the nearest is `{n}`"));
        return Err(Exit::usage(format!("no rollout `{}`{hint}", named.service.escape_debug())));
    };
    match (&named.run, &rollout.run) {
        (Some(wanted), Some(is)) if wanted != is.as_str() => Err(Exit::usage(format!(
            "{0} is at run {1} now, not {2}; the nearest is `{0}@{1}`",
            named.service,
            is.text(),
            wanted.escape_debug()
        ))),
        (Some(_), None) => Err(Exit::usage(format!("{0} was never deployed and has no runs; the nearest is `{0}`", named.service))),
        _ => Ok(rollout),
    }
}
