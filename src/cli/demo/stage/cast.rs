//! Who deploys: the first versions before the curtain rises, later ones in their time, beside the console.

use super::client;
use crate::{
    clock::{Clock, SystemClock},
    model::{
        digest::Digest,
        ident::ActionId,
        rollout::{Phase, Rollout},
        text::Raw,
        wire::DeployRequest,
    },
};
use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// A version that is to be deployed.
pub struct Planned {
    /// Of which service.
    pub service: String,
    /// Its label.
    pub label: String,
    /// What was sealed.
    pub artifact: Digest,
    /// When, from when the load began.
    pub at: Duration,
    /// Whether it is the service's first.
    pub first: bool,
}

/// How deploys reach the host.
pub struct Deployer {
    /// What the host is called.
    pub target: &'static str,
    /// Its control socket.
    pub socket: PathBuf,
    /// Where the artifacts are.
    pub layout: PathBuf,
    /// Who deploys.
    pub user: Option<String>,
}

impl Deployer {
    /// Deploys a version.
    ///
    /// # Errors
    /// What the host says.
    pub async fn deploy(&self, planned: &Planned) -> anyhow::Result<()> {
        let request = DeployRequest {
            id: ActionId::new(format!("demo-{}-{}", planned.service, planned.label)),
            service: Raw::new(&planned.service),
            artifact: planned.artifact,
            replace: false,
            layout: Some(self.layout.clone()),
            name: self.user.as_deref().map(Into::into),
            reason: None,
        };
        let done = client(self.target, &self.socket)?.deploy(&request).await;
        done.map_err(|e| anyhow::anyhow!("{} {} cannot be deployed: {e}", planned.service, planned.label))?;
        Ok(())
    }

    async fn is_free(&self, service: &str) -> anyhow::Result<bool> {
        let rollouts = client(self.target, &self.socket)?.rollouts().await?;
        let moves = |r: &Rollout| matches!(r.phase, Phase::Progressing | Phase::Held | Phase::Reverting);
        Ok(!rollouts.iter().any(|r| r.key.service.as_str() == service && moves(r)))
    }
}

/// Deploys in their time. Ends with this value.
pub struct Cast {
    stop: CancellationToken,
    trouble: Arc<Mutex<Option<String>>>,
    thread: Option<JoinHandle<()>>,
}

/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_millis(50);

impl Cast {
    /// Deploys these, sorted by time, from now on.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(deployer: Deployer, planned: Vec<Planned>) -> io::Result<Self> {
        let (stop, trouble) = (CancellationToken::new(), Arc::new(Mutex::new(None)));
        let (stopped, told) = (stop.clone(), Arc::clone(&trouble));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = thread::Builder::new().name("cast".into()).spawn(move || {
            // In the middle of a deploy too: a host that takes its time to answer must not keep the demo.
            if let Some(Err(e)) = runtime.block_on(stopped.run_until_cancelled(play(&deployer, planned))) {
                tracing::error!("{e:#}");
                *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{e:#}"));
            }
        })?;
        Ok(Self { stop, trouble, thread: Some(thread) })
    }

    /// Why a version could not be deployed, if so.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Cast {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn play(deployer: &Deployer, mut planned: Vec<Planned>) -> anyhow::Result<()> {
    let clock = SystemClock::start();
    while !planned.is_empty() {
        let mut waiting = Vec::new();
        for next in planned {
            let held_up = waiting.iter().any(|w: &Planned| w.service == next.service);
            if held_up || clock.uptime() < next.at || !deployer.is_free(&next.service).await? {
                waiting.push(next);
            } else {
                deployer.deploy(&next).await?;
            }
        }
        planned = waiting;
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
