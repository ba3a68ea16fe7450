//! `cutover get`: rollouts as a table or as JSON, the most urgent first.

pub mod json;
mod table;
mod watch;

use super::{
    Context,
    connect::{self, Named, Seen},
    exit::{self, Exit},
};
use crate::model::{rollout::Rollout, urgency::urgency};
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
    /// Go on: redraw the table when something changes, or print one JSON document a line for each change.
    #[arg(short, long)]
    pub watch: bool,
}

/// How rollouts are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Output {
    /// One line each.
    Table,
    /// One object for scripts, which names its schema.
    Json,
}

/// Prints what is there now, and with `--watch` what becomes of it.
///
/// # Errors
/// See [`exit`].
pub fn run(args: &GetArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    let targets = connect::targets(cx)?;
    if args.watch {
        return exit::block_on(watch::watch(args, &targets, out))?;
    }
    let mut seen = exit::block_on(connect::rollouts(&targets))?;
    if let Some(named) = &args.rollout {
        seen = Seen { rollouts: vec![connect::pick(seen, named)?], silent: Vec::new(), answered: 1 };
    }
    // One that is down hides nothing of the others.
    if seen.answered == 0
        && let Some(exit) = seen.silent.pop()
    {
        seen.silent.iter().for_each(Exit::complain);
        return Err(exit);
    }
    sort(&mut seen.rollouts);
    match args.output {
        Output::Json => writeln!(out, "{}", json::document(&seen.rollouts)),
        Output::Table => table::lines(seen.rollouts.iter().map(|r| table::row(r, false, r.seen.server_time)), usize::MAX)
            .iter()
            .try_for_each(|line| writeln!(out, "{line}")),
    }
    .or_else(exit::closed)?;
    if args.output == Output::Table {
        // What is not seen is said once, not at every rollout.
        let access = seen.rollouts.iter().flat_map(|r| &r.findings).filter(|f| f.kind.as_str() == "access");
        for what in access.map(|f| &f.what).collect::<BTreeSet<_>>() {
            let _ = writeln!(std::io::stderr().lock(), "cutover: {what}");
        }
    }
    // The others were printed; that some are missing is told by the code too.
    match seen.silent.pop() {
        Some(exit) => {
            seen.silent.iter().for_each(Exit::complain);
            Err(exit.told())
        }
        None => Ok(()),
    }
}

/// `cutover schema`: the JSON Schema of `get -o json`.
///
/// # Errors
/// When it cannot be printed.
pub fn print_schema(out: &mut impl Write) -> Result<(), Exit> {
    writeln!(out, "{:#}", json::schema()).or_else(exit::closed)
}

/// The most urgent first, then by name.
fn sort(rollouts: &mut [Rollout]) {
    rollouts.sort_by_cached_key(|r| (urgency(r, None), r.key.clone()));
}
