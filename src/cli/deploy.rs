//! `cutover deploy`: start a rollout.

use super::{
    Context, act,
    connect::{self, Target},
    exit::{self, Exit},
    record, seal,
};
use crate::{
    artifact::{ArtifactRef, Described},
    clock::{Clock, SystemClock},
    journal::{Entry, Kind},
    model::{
        action::{Outcome, Refusal},
        naming::SHORTEST,
        text::Raw,
        wire::{ActionRecord, DeployRequest},
    },
    runtime::host::{HostRuntime, Refused},
};
use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// Arguments of `cutover deploy`.
#[derive(clap::Args, Debug)]
pub struct DeployArgs {
    /// The service, as the host's configuration names it.
    pub service: String,
    /// `sha256:…` of the host's store (the beginning of the digest is enough where it is the only one,
    /// see `cutover seal --list`), or `oci:DIR@sha256:…`.
    #[arg(value_parser = wanted)]
    pub artifact: Wanted,
    /// When a rollout is in progress, go back first and then start this one.
    #[arg(long)]
    pub replace: bool,
    /// Why; it goes to the timeline.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// An artifact as a person names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// In full.
    Exactly(ArtifactRef),
    /// The beginning of a digest of the store, in hex.
    Beginning(String),
}

fn wanted(text: &str) -> Result<Wanted, String> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let short = (SHORTEST..64).contains(&hex.len()) && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if short {
        return Ok(Wanted::Beginning(hex.to_owned()));
    }
    text.parse().map(Wanted::Exactly).map_err(|e| e.to_string())
}

impl Wanted {
    /// The artifact that is meant.
    ///
    /// # Errors
    /// When no digest of this store begins so, or several do.
    fn find(&self, store: &Path) -> Result<ArtifactRef, Exit> {
        let beginning = match self {
            Self::Exactly(artifact) => return Ok(artifact.clone()),
            Self::Beginning(hex) => hex,
        };
        let all = seal::stored(store).and_then(|layout| layout.list()).map_err(Exit::usage)?;
        let found: Vec<_> = all.iter().filter(|a| a.digest.hex().starts_with(beginning)).collect();
        match found.as_slice() {
            [one] => Ok(ArtifactRef::Store(one.digest)),
            [] => Err(Exit::usage(format!(
                "no artifact {beginning}… in {}; `cutover seal --list` names those that are there",
                store.display()
            ))),
            several => {
                let label = |a: &&Described| a.version.as_ref().map_or_else(|| a.digest.short(), |v| format!("{} ({v})", a.digest.short()));
                let all: Vec<String> = several.iter().map(label).collect();
                Err(Exit::usage(format!("{beginning}… is the beginning of {} artifacts: {}; write more of it", all.len(), all.join(", "))))
            }
        }
    }
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
    let loaded = cx.load()?;
    let found = args.artifact.find(&loaded.paths.store)?;
    let (artifact, layout) = match &found {
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
    // Said before anything starts, and in the way of nothing: whoever reads it may go back at once.
    for doubt in loaded.doubts.iter().filter(|doubt| doubt.service == args.service) {
        let _ = writeln!(std::io::stderr().lock(), "cutover: {doubt}");
    }
    let client = target.host()?;
    let journal = loaded.paths.journal;
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

#[cfg(test)]
mod tests {
    use super::{Wanted, wanted};
    use crate::{
        artifact::{ArtifactRef, SealOptions, Store, seal},
        model::digest::Digest,
    };
    use std::fs;

    #[test]
    fn the_beginning_of_a_digest_is_enough_where_it_is_the_only_one() {
        let dir = tempfile::tempdir().expect("directory");
        let root = dir.path().join("store");
        let beginning =
            |text: &str| Wanted::Beginning(text.to_owned()).find(&root).map_err(|e| (e.code(), e.line().unwrap_or_default().to_owned()));
        assert!(beginning("9f2c").unwrap_err().1.contains("no such directory"));
        let store = Store::open(&root).expect("store");
        let app = dir.path().join("app");
        fs::create_dir(&app).expect("made");
        // Until two begin alike.
        let mut digests: Vec<Digest> = Vec::new();
        let twins = loop {
            fs::write(app.join("n"), digests.len().to_string()).expect("written");
            let digest = seal(&app, store.layout(), &SealOptions::default()).expect("sealed").digest;
            if let Some(twin) = digests.iter().find(|d| d.hex()[..1] == digest.hex()[..1]) {
                break (*twin, digest);
            }
            digests.push(digest);
        };
        let whole = twins.0.hex();
        assert_eq!(beginning(&whole[..12]), Ok(ArtifactRef::Store(twins.0)));
        let (code, line) = beginning(&whole[..1]).unwrap_err();
        assert!(code == 2 && line.contains("is the beginning of 2 artifacts") && line.contains(&twins.1.short()), "{line}");
        assert!(beginning("ffffffffffff0").unwrap_err().1.contains("cutover seal --list"));
    }

    #[test]
    fn what_is_written_in_full_stays_what_it_is() {
        let digest = Digest::of(b"x");
        assert_eq!(wanted(&digest.to_string()), Ok(Wanted::Exactly(ArtifactRef::Store(digest))));
        assert_eq!(wanted("9f2c41aa"), Ok(Wanted::Beginning("9f2c41aa".into())));
        assert_eq!(wanted("sha256:9f2c"), Ok(Wanted::Beginning("9f2c".into())));
        for bad in ["", "9f2", "v42", "9F2C", "sha256:", "latest"] {
            assert!(wanted(bad).is_err(), "{bad}");
        }
    }
}
