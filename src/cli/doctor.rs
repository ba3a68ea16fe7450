//! `cutover doctor`: is everything as it must be, and what to do where it is not. It changes nothing.
//!
//! One file per subject. A subject says lines, each of them good, a warning or bad; a new one is a file
//! and a line in [`SUBJECTS`].

mod clock;
mod directories;
mod isolation;
mod metrics;
mod rollouts;
mod services;
mod settings;
mod targets;

use super::{
    Context,
    act::Output,
    connect,
    exit::{self, Exit},
};
use crate::{
    config::{Env, Loaded},
    metrics::prometheus::Servers,
    model::{rollout::Rollout, time::Time},
};
use serde::Serialize;
use std::{fmt::Display, io::Write};

/// Arguments of `cutover doctor`.
#[derive(clap::Args, Debug)]
pub struct DoctorArgs {
    /// How it is printed.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// What is looked at, in this order.
const SUBJECTS: [(&str, Look); 8] = [
    ("config", settings::look),
    ("directories", directories::look),
    ("isolation", isolation::look),
    ("targets", targets::look),
    ("metrics", metrics::look),
    ("services", services::look),
    ("rollouts", rollouts::look),
    ("clock", clock::look),
];

/// Looks at one subject.
type Look = fn(&Facts<'_>) -> Vec<Line>;

/// What subjects look at; whoever answered was asked once.
struct Facts<'a> {
    env: &'a Env,
    servers: &'a Servers,
    loaded: &'a Loaded,
    /// Each target, with what it answered.
    targets: Vec<(connect::Target, Result<Vec<Rollout>, Exit>)>,
    /// Now, as this machine's clock says.
    now: Time,
}

impl Facts<'_> {
    /// Every rollout of every target that answered.
    fn rollouts(&self) -> impl Iterator<Item = &Rollout> {
        self.targets.iter().filter_map(|(_, answer)| answer.as_ref().ok()).flatten()
    }

    /// Whether the host of this configuration answers.
    fn host_is_up(&self) -> bool {
        self.targets.iter().any(|(target, answer)| target.socket() == Some(&*self.loaded.paths.socket) && answer.is_ok())
    }
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Line {
    state: State,
    /// In one line: what was found.
    what: String,
    /// What to do, if something is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// How good it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warn,
    Bad,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Bad => "BAD",
        }
    }
}

impl Line {
    fn ok(what: impl Display) -> Self {
        Self { state: State::Ok, what: what.to_string(), hint: None }
    }

    fn warn(what: impl Display, hint: impl Display) -> Self {
        Self { state: State::Warn, what: what.to_string(), hint: Some(hint.to_string()) }
    }

    fn bad(what: impl Display, hint: impl Display) -> Self {
        Self { state: State::Bad, what: what.to_string(), hint: Some(hint.to_string()) }
    }
}

/// Looks at everything and says it.
///
/// # Errors
/// Exit code 1 when something is bad, 2 when there is no configuration to start from.
pub fn run(args: &DoctorArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    let loaded = match cx.load() {
        Ok(loaded) => loaded,
        // Without it there is nothing else to look at.
        Err(exit) => {
            let line = Line::bad(exit.line().unwrap_or_default(), "mend it; `cutover config check` lists all of it");
            print(args.output, &[("config", vec![line])], out)?;
            return Err(exit.told());
        }
    };
    let targets = connect::targets(cx);
    let facts = Facts { env: &cx.env, servers: &cx.servers, loaded: &loaded, targets: Vec::new(), now: connect::now() };
    let facts = match &targets {
        Ok(targets) => Facts { targets: exit::block_on(connect::answers(targets))?, ..facts },
        Err(_) => facts,
    };
    let mut found: Vec<(&str, Vec<Line>)> = SUBJECTS.iter().map(|(name, look)| (*name, look(&facts))).collect();
    if let (Err(exit), Some((_, lines))) = (&targets, found.iter_mut().find(|(name, _)| *name == "targets")) {
        lines.push(Line::bad(exit.line().unwrap_or_default(), "nothing can be asked before that"));
    }
    print(args.output, &found, out)?;
    match found.iter().flat_map(|(_, lines)| lines).filter(|l| l.state == State::Bad).count() {
        0 => Ok(()),
        1 => Err(Exit::failed("one thing is bad").told()),
        n => Err(Exit::failed(format!("{n} things are bad")).told()),
    }
}

fn print(output: Output, found: &[(&str, Vec<Line>)], out: &mut impl Write) -> Result<(), Exit> {
    let all = found.iter().flat_map(|(subject, lines)| lines.iter().map(move |line| (*subject, line)));
    let mut text = String::new();
    if output == Output::Json {
        let checks: Vec<serde_json::Value> = all
            .map(|(subject, line)| serde_json::json!({ "subject": subject, "state": line.state, "what": line.what, "hint": line.hint }))
            .collect();
        text = format!("{}\n", serde_json::json!({ "schema": super::get::json::SCHEMA, "checks": checks }));
    } else {
        for (subject, line) in all {
            text += &format!("{:<4} {subject:<11} {}\n", line.state.word(), line.what);
            if let Some(hint) = &line.hint {
                text += &format!("                 -> {hint}\n");
            }
        }
    }
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).or_else(exit::closed)
}
