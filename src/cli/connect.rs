//! From flags and configuration to targets, and from a name on the command line to one rollout.

use super::{Context, exit::Exit};
use crate::{
    clock::SystemClock,
    config::{self, TargetConfig},
    model::{ident::TargetId, rollout::Rollout},
    runtime::{
        Fault,
        host::{HostRuntime, Refused},
    },
};
use std::{path::PathBuf, sync::Arc};

/// A place to look at.
pub struct Target {
    /// Its name.
    pub id: TargetId,
    /// Its control socket.
    pub socket: PathBuf,
    /// Whether acting is off here.
    pub read_only: bool,
}

impl Target {
    /// Whether this rollout is here.
    #[must_use]
    pub fn is(&self, rollout: &Rollout) -> bool {
        self.id == rollout.key.target
    }

    /// A client of it.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn client(&self) -> Result<HostRuntime, Exit> {
        HostRuntime::new(self.id.clone(), self.socket.clone(), Arc::new(SystemClock::start())).map_err(|e| fault(&e))
    }
}

/// The configured targets (the host on the default socket, if none is); only `--target` when it is given.
///
/// # Errors
/// When `--target` names none of them.
pub fn targets(cx: &Context) -> Result<Vec<Target>, Exit> {
    let loaded = cx.load()?;
    if loaded.config.host.socket.is_none()
        && let Some(dir) = loaded.paths.socket.parent().filter(|dir| dir.exists())
    {
        // Chosen by us: whoever made it could pretend to be the host.
        config::check_private(dir, cx.env.uid).map_err(Exit::unreachable)?;
    }
    let target = |t: &TargetConfig| Target {
        id: TargetId::new(t.name.clone()),
        socket: t.socket.clone().unwrap_or_else(|| loaded.paths.socket.clone()),
        read_only: t.read_only,
    };
    let mut all: Vec<Target> = loaded.config.targets.iter().map(target).collect();
    let Some(wanted) = &cx.global.target else { return Ok(all) };
    let names: Vec<String> = all.iter().map(|t| t.id.text().to_string()).collect();
    all.retain(|t| t.id.as_str() == wanted);
    if all.is_empty() {
        return Err(Exit::usage(format!("no target `{}`; there are {}", wanted.escape_debug(), names.join(", "))));
    }
    Ok(all)
}

/// Without any configured target there is only the default socket: says how to get a host when there is none.
///
/// # Errors
/// When nobody is there.
pub fn somebody_there(targets: &[Target], by_default: bool) -> Result<(), Exit> {
    match targets {
        [only] if by_default && !only.socket.exists() => Err(Exit::unreachable(format!(
            "no host at {}; start one with `cutover host`, or look at a rollout with `cutover demo`",
            only.socket.display()
        ))),
        _ => Ok(()),
    }
}

/// A fault as an exit, with its hint.
#[must_use]
pub fn fault(fault: &Fault) -> Exit {
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
}

/// Asks every target at the same time.
pub async fn rollouts(targets: &[Target]) -> Seen {
    let ask = |target: &Target| {
        let client = target.client();
        async move { client?.rollouts().await.map_err(|e| fault(&e)) }
    };
    let mut seen = Seen { rollouts: Vec::new(), silent: Vec::new() };
    for answer in futures::future::join_all(targets.iter().map(ask)).await {
        match answer {
            Ok(rollouts) => seen.rollouts.extend(rollouts),
            Err(exit) => seen.silent.push(exit),
        }
    }
    seen
}

/// The one rollout that is meant.
///
/// # Errors
/// When there is none (with the nearest name), several, or another run: exit code 2. When it may be on
/// a target that did not answer: 3.
pub fn pick(seen: Seen, named: &Named) -> Result<Rollout, Exit> {
    let Seen { rollouts, mut silent } = seen;
    let nearest = rollouts.iter().map(|r| r.key.service.text().to_string()).min_by_key(|name| strsim::osa_distance(name, &named.service));
    let mut found: Vec<Rollout> = rollouts.into_iter().filter(|r| r.key.service.as_str() == named.service).collect();
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
        (Some(wanted), Some(is)) if wanted != is.as_str() => {
            Err(Exit::usage(format!("{} is at run {} now, not {}", named.service, is.text(), wanted.escape_debug())))
        }
        _ => Ok(rollout),
    }
}
