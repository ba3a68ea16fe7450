//! What the acting verbs print.

use crate::{
    cli::{exit::Exit, get::json::SCHEMA},
    model::{action::Plan, rollout::Rollout, text::Text},
};
use clap::ValueEnum;
use std::io::Write;

/// How an answer is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For scripts.
    Json,
}

/// The plan as it would be sent.
///
/// # Errors
/// When it cannot be printed.
pub fn print_plan(output: Output, rollout: &Rollout, plan: &Plan, out: &mut impl Write) -> Result<(), Exit> {
    if output == Output::Json {
        return json(out, &serde_json::json!({ "schema": SCHEMA, "plan": plan }));
    }
    let mut line = |text: String| writeln!(out, "{text}").map_err(Exit::failed);
    line(format!("{} / {}: {}", rollout.key.target.text(), rollout.key.service.text(), plan.title))?;
    for shift in &plan.weights {
        line(format!("  {}: {} -> {}", shift.version, shift.before, shift.after))?;
    }
    for call in &plan.calls {
        line(format!("  {} {}", call.verb, call.path.text()))?;
    }
    for note in &plan.notes {
        line(format!("  {note}"))?;
    }
    for warn in &plan.warns {
        line(format!("  WARNING: {warn}"))?;
    }
    Ok(())
}

/// It was done, and seen to be so.
///
/// # Errors
/// When that cannot be printed.
pub fn done(output: Output, plan: &Plan, changed: bool, out: &mut impl Write) -> Result<(), Exit> {
    match output {
        Output::Json => json(
            out,
            &serde_json::json!({ "schema": SCHEMA, "action": plan.action.verb(), "id": plan.id, "changed": changed, "confirmed": true }),
        ),
        Output::Text => writeln!(out, "{}: done and confirmed", plan.title).map_err(Exit::failed),
    }
}

/// It was so already.
///
/// # Errors
/// When that cannot be printed.
pub fn already(output: Output, what: &Text, out: &mut impl Write) -> Result<(), Exit> {
    match output {
        Output::Json => json(out, &serde_json::json!({ "schema": SCHEMA, "changed": false, "confirmed": true, "message": what })),
        Output::Text => writeln!(out, "{what}").map_err(Exit::failed),
    }
}

fn json(out: &mut impl Write, value: &serde_json::Value) -> Result<(), Exit> {
    writeln!(out, "{value}").map_err(Exit::failed)
}
