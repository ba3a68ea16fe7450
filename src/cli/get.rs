//! `cutover get`: rollouts as a table or as JSON.

pub mod json;

use super::{
    Context,
    connect::{self, Named, Seen},
    exit::{self, Exit},
};
use crate::model::rollout::Rollout;
use clap::ValueEnum;
use std::{collections::BTreeSet, io::Write};

/// Arguments of `cutover get`.
#[derive(clap::Args, Debug)]
pub struct GetArgs {
    /// SERVICE or SERVICE@RUN; all when absent.
    pub rollout: Option<Named>,
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// How rollouts are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Output {
    /// One line each.
    Table,
    /// `{"schema":"cutover/v1","rollouts":[…]}`.
    Json,
}

/// Prints what is there now.
///
/// # Errors
/// See [`exit`].
pub fn run(args: &GetArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    let targets = connect::targets(cx)?;
    let mut seen = exit::block_on(connect::rollouts(&targets))?;
    if let Some(named) = &args.rollout {
        seen = Seen { rollouts: vec![connect::pick(seen, named)?], silent: Vec::new() };
    }
    // Nothing to show and nobody who answered: only the error. Otherwise what is known comes first.
    if seen.rollouts.is_empty()
        && let Some(exit) = seen.silent.pop()
    {
        return Err(exit);
    }
    match args.output {
        Output::Json => writeln!(out, "{}", json::document(&seen.rollouts)),
        Output::Table => table(&seen.rollouts, out),
    }
    .map_err(Exit::failed)?;
    if args.output == Output::Table {
        // What is not seen is said once, not at every rollout.
        let access = seen.rollouts.iter().flat_map(|r| &r.findings).filter(|f| f.kind.as_str() == "access");
        for what in access.map(|f| &f.what).collect::<BTreeSet<_>>() {
            let _ = writeln!(std::io::stderr().lock(), "cutover: {what}");
        }
    }
    seen.silent.pop().map_or(Ok(()), |exit| Err(exit.told()))
}

const HEAD: [&str; 8] = ["TARGET", "SERVICE", "PHASE", "STEP", "STABLE", "CANDIDATE", "WEIGHT", "WHY"];

fn table(rollouts: &[Rollout], out: &mut impl Write) -> std::io::Result<()> {
    let mut rows = vec![HEAD.map(String::from)];
    rows.extend(rollouts.iter().map(row));
    let mut widths = [0; HEAD.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(unicode_width::UnicodeWidthStr::width(cell.as_str()));
        }
    }
    for row in &rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            let pad = width - unicode_width::UnicodeWidthStr::width(cell.as_str());
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', pad + 2));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn row(r: &Rollout) -> [String; HEAD.len()] {
    let dash = || "-".to_owned();
    let label = |track: Option<&crate::model::version::Track>| track.map_or_else(dash, |t| t.version.label.to_string());
    let weight = r.candidate().and_then(|t| t.share.declared?.percent());
    [
        r.key.target.text().to_string(),
        {
            let scope = if r.key.scope.is_empty() { String::new() } else { format!("{}/", connect::scope(r)) };
            let run = r.run.as_ref().map_or_else(String::new, |run| format!("@{}", run.text()));
            format!("{scope}{}{run}", r.key.service.text())
        },
        r.phase.word().to_owned(),
        r.at.map_or_else(dash, |at| format!("{}/{}", (at.index + 1).min(r.steps.len()), r.steps.len())),
        label(r.stable()),
        label(r.candidate()),
        weight.map_or_else(dash, |w| format!("{w:.2} %")),
        match (&r.verdict, &r.reason) {
            (Some(v), None) => format!("{} {}", v.word, v.sentence),
            (_, Some(reason)) => reason.to_string(),
            (None, None) => dash(),
        },
    ]
}
