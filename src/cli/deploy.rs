//! `cutover deploy`: start a rollout.

use super::{
    Context, act,
    connect::{self, Target},
    exit::{self, Exit},
    record,
};
use crate::{
    artifact::ArtifactRef,
    clock::{Clock, SystemClock},
    journal::{Entry, Kind},
    model::{
        action::{Outcome, Refusal},
        text::Raw,
        wire::{ActionRecord, DeployRequest},
    },
    runtime::host::{HostRuntime, Refused},
};
use std::{io::Write, path::PathBuf};

/// Arguments of `cutover deploy`.
#[derive(clap::Args, Debug)]
pub struct DeployArgs {
    /// The service, as the host's configuration names it.
    pub service: String,
    /// `sha256:…` of the host's store, or `oci:DIR@sha256:…`.
    pub artifact: ArtifactRef,
    /// When a rollout is in progress, go back first and then start this one.
    #[arg(long)]
    pub replace: bool,
    /// Why; it goes to the timeline.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Starts the rollout and prints `service@run`.
///
/// # Errors
/// See [`exit`].
pub fn run(args: &DeployArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    let mut targets = connect::targets(cx)?;
    if targets.len() > 1 {
        return Err(Exit::usage(format!("there are {} targets; say which with --target", targets.len())));
    }
    let Some(target) = targets.pop() else { return Err(Exit::usage("no target")) };
    if target.read_only {
        return Err(Exit::refused(&Refusal::ReadOnly));
    }
    let (artifact, layout) = match &args.artifact {
        ArtifactRef::Store(digest) => (*digest, None),
        // The host reads it: a relative path would be relative to the host.
        ArtifactRef::Layout { dir, digest } => {
            (*digest, Some(std::path::absolute(dir).map_err(|e| Exit::usage(format!("{}: {e}", dir.display())))?))
        }
    };
    let request = DeployRequest {
        id: act::new_id(cx),
        service: Raw::new(&args.service),
        artifact,
        layout,
        replace: args.replace,
        name: cx.env.user.as_deref().map(Into::into),
        reason: args.reason.as_deref().map(Into::into),
    };
    let client = target.host()?;
    let journal = cx.load()?.paths.journal;
    let record = exit::block_on(journaled(&client, &request, intent(&target, &request, cx), journal))??;
    match record.outcome {
        Outcome::Accepted { .. } => {
            let run = record.run.map(|r| r.text().to_string()).unwrap_or_default();
            writeln!(out, "{}@{run}", args.service).map_err(Exit::failed)
        }
        Outcome::Refused { refusal: Refusal::AlreadySo { what } } => {
            let _ = writeln!(std::io::stderr().lock(), "cutover: {what}");
            let run = record.run.map(|r| r.text().to_string()).unwrap_or_default();
            writeln!(out, "{}@{run}", args.service).map_err(Exit::failed)
        }
        Outcome::Refused { refusal } => Err(Exit::refused(&refusal)),
        Outcome::Partial { then, .. } => Err(Exit::failed(then)),
        Outcome::Unknown { why, .. } => Err(Exit::unreachable(format!("{why}; outcome unknown: look with `cutover get`"))),
    }
}

/// Intent first, then the request, then its outcome.
async fn journaled(client: &HostRuntime, request: &DeployRequest, intent: Entry, journal: PathBuf) -> Result<ActionRecord, Exit> {
    let written = record::at_most(record::write(journal.clone(), intent.clone())).await;
    written.map_err(|e| Exit::failed(format!("{e}; nothing was sent")))?;
    let answer = client.deploy(request).await;
    let now = SystemClock::start().now();
    let outcome = match &answer {
        Ok(record) => record.outcome.clone(),
        Err(Refused::Said(error)) => {
            let why = error.message.clone();
            Outcome::Refused { refusal: error.refusal.clone().unwrap_or(Refusal::NotNow { why }) }
        }
        Err(Refused::Fault(fault)) => Outcome::Unknown { sent: intent.at, why: fault.to_string().into() },
    };
    record::complain(record::at_most(record::write(journal, intent.answered(now, outcome))).await);
    answer.map_err(|e| connect::refused(&e))
}

fn intent(target: &Target, request: &DeployRequest, cx: &Context) -> Entry {
    let actor = cx.env.user.as_deref().unwrap_or("unknown");
    let mut entry = Entry::new(Kind::Intent, SystemClock::start().now(), actor.into());
    entry.target = Some(target.id.clone());
    entry.service = Some(request.service.clone());
    entry.id = Some(request.id.clone());
    entry.reason.clone_from(&request.reason);
    entry.note = Some(format!("deploy {}", request.artifact).into());
    entry
}
