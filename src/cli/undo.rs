//! `cutover undo` and `cutover taint`: older versions, by the names people give them.

use super::{
    Context,
    act::{Chosen, HowArgs, Wanted},
    connect::Named,
    exit::Exit,
};
use crate::model::{
    action::{Action, Refusal},
    naming::NoVersion,
    rollout::{Known, Rollout},
};
use std::io::Write;

/// Arguments of `cutover undo`.
#[derive(clap::Args, Debug)]
pub struct UndoArgs {
    /// SERVICE or SERVICE@RUN; may be left out where there is only one.
    pub rollout: Option<Named>,
    /// The version to deploy again: its label, its id, or the beginning of its digest [default: the last good one].
    pub version: Option<String>,
    /// See there.
    #[command(flatten)]
    pub how: HowArgs,
}

/// Arguments of `cutover taint`.
#[derive(clap::Args, Debug)]
pub struct TaintArgs {
    /// SERVICE or SERVICE@RUN.
    pub rollout: Named,
    /// The version: its label, its id, or the beginning of its digest.
    pub version: String,
    /// See there.
    #[command(flatten)]
    pub how: HowArgs,
}

/// `cutover undo`.
///
/// # Errors
/// See [`exit`](super::exit).
pub fn undo(args: &UndoArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    let chosen = match &args.rollout {
        Some(named) => Chosen::one(cx, named)?,
        None => Chosen::only(cx)?,
    };
    let known = match &args.version {
        Some(name) => called(&chosen.rollout, name)?,
        None => *chosen.rollout.undoable().first().ok_or_else(|| none_left(&chosen.rollout))?,
    };
    let action = Action::Undo { to: known.version.id.clone() };
    Wanted { how: &args.how, switch_only: false }.carry_out(&chosen, action, cx, out)
}

/// `cutover taint`.
///
/// # Errors
/// See [`exit`](super::exit).
pub fn taint(args: &TaintArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    let chosen = Chosen::one(cx, &args.rollout)?;
    let version = called(&chosen.rollout, &args.version)?.version.id.clone();
    Wanted { how: &args.how, switch_only: false }.carry_out(&chosen, Action::Taint { version }, cx, out)
}

/// The version that is called so.
///
/// # Errors
/// Exit code 2, with the nearest name and all that are known.
fn called<'a>(rollout: &'a Rollout, name: &str) -> Result<&'a Known, Exit> {
    let service = rollout.key.service.text();
    let shown = name.escape_debug();
    match rollout.version_called(name) {
        Ok(known) => Ok(known),
        Err(NoVersion::Several(several)) => {
            let digests: Vec<String> = several.iter().map(|k| k.version.short_id().to_string()).collect();
            Err(Exit::usage(format!(
                "`{shown}` names {} versions of {service}; say which by digest: {}",
                several.len(),
                digests.join(", ")
            )))
        }
        Err(NoVersion::Unknown) if rollout.versions.is_empty() => Err(Exit::usage(format!("{service} remembers no version"))),
        Err(NoVersion::Unknown) => {
            let label = |k: &Known| k.version.label.to_string();
            let nearest = rollout.versions.iter().map(label).min_by_key(|l| strsim::osa_distance(l, name)).unwrap_or_default();
            Err(Exit::usage(format!("{service} knows no version `{shown}`; the nearest is `{nearest}`; known: {}", listed(rollout))))
        }
    }
}

fn none_left(rollout: &Rollout) -> Exit {
    let known = if rollout.versions.is_empty() { "none".into() } else { listed(rollout) };
    let why = format!("{} has no other version that nothing speaks against; known: {known}", rollout.key.service.text());
    Exit::refused(&Refusal::NotNow { why: why.into() })
}

/// `v42 (unproven), v41 (good), v40 (tainted, gone)`.
fn listed(rollout: &Rollout) -> String {
    let one = |k: &Known| format!("{} ({}{})", k.version.label, k.standing.word(), if k.available { "" } else { ", gone" });
    rollout.versions.iter().map(one).collect::<Vec<_>>().join(", ")
}
