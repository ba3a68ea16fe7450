//! `cutover judge runs`: the file of past rollouts that `judge backtest` plays, from what a backend remembers.

use super::{Context, Exit, Setting, values};
use crate::{
    cli::{connect, connect::Named, exit},
    metrics::{Metrics, traffic},
    model::{text::Text, time::Time},
    rehearse::runs::{self, End, Found, Past},
};
use chrono::SecondsFormat;
use std::{
    fmt::Write as _,
    io::{self, Write},
    time::Duration,
};

/// Arguments of `cutover judge runs`.
#[derive(clap::Args, Debug)]
pub struct RunsArgs {
    /// The service, in a cluster also as namespace/service.
    pub service: Named,
    /// How long ago the past begins that is looked at; at most 90 days.
    #[arg(long, default_value = "7d", value_parser = humantime::parse_duration)]
    pub since: Duration,
    /// How long ago it ends.
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    pub until: Duration,
}

/// Longer than this no past is looked at.
const LONGEST: Duration = Duration::from_secs(90 * 86_400);
/// Traffic is looked at in intervals of this length, where it is scraped often enough.
const STEP: Duration = Duration::from_secs(60);

/// Prints them.
///
/// # Errors
/// One line: see [`exit`].
pub fn run(args: &RunsArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    let loaded = cx.load()?;
    let (namespace, service) = match args.service.service.rsplit_once('/') {
        Some((namespace, service)) => (Some(namespace), service),
        None => (cx.global.namespace.first().map(String::as_str), args.service.service.as_str()),
    };
    let target = cx.global.target.as_deref();
    let setting = Setting::of(&loaded, service, target)?;
    let step = STEP.max(setting.pace().every.saturating_mul(4));
    let long = args.since.checked_sub(args.until).filter(|span| *span <= LONGEST && *span > step);
    let long = long.ok_or_else(|| Exit::usage("--since must be longer ago than --until, and by at most 90 days"))?;
    let ago = |span: Duration| chrono::Duration::from_std(span).ok().and_then(|span| connect::now().checked_sub_signed(span));
    let until = ago(args.until + setting.pace().delay).ok_or_else(|| Exit::usage("--until is too long ago"))?;
    let since = until - chrono::Duration::from_std(long).map_err(Exit::usage)?;
    let server = setting.server(cx)?;
    let named = values(service, namespace, Default::default(), &setting.metrics.variables);
    let past = exit::block_on(traffic::past(&server, &setting.queries, &named, (since, until), step))?.map_err(|why| {
        Exit::failed(format!("{}: {why}; [[run]] can be written by hand, see `cutover judge backtest --help`", service.escape_debug()))
    })?;
    let found = runs::find(&past, step);
    let mut stderr = io::stderr().lock();
    for line in &found.left_out {
        let _ = writeln!(stderr, "cutover: left out: {}", Text::clean(line));
    }
    if found.runs.is_empty() {
        let versions: std::collections::BTreeSet<&String> = past.values().flat_map(|counts| counts.keys()).collect();
        let seen = match versions.len() {
            0 => "no version had traffic; `cutover doctor` asks for its series".to_owned(),
            1 => "one version had all the traffic: look further back with --since".to_owned(),
            n => format!("{n} versions had traffic, and no two of them a rollout that is over"),
        };
        let service = service.escape_debug();
        return Err(Exit::failed(format!("{service}: no past rollout in {}: {seen}", humantime::format_duration(long))));
    }
    let head = Head { service, namespace, target, place: server.place(), span: (since, until) };
    out.write_all(text(&head, &found).as_bytes()).and_then(|()| out.flush()).or_else(exit::closed)
}

/// Whose runs, and where they were found.
struct Head<'a> {
    service: &'a str,
    namespace: Option<&'a str>,
    target: Option<&'a str>,
    place: &'a Text,
    span: (Time, Time),
}

/// The file, with what a person has to look at.
fn text(head: &Head<'_>, found: &Found) -> String {
    let (since, until) = head.span;
    let mut text = format!(
        "# Rollouts of {} that {} remembers, {} to {}.\n\
         # What went through is called good, what went back bad: correct what you know better, and add bad_from\n\
         # where it turned bad later than it began.\n",
        Text::clean(head.service),
        head.place,
        stamp(since),
        stamp(until)
    );
    for run in &found.runs {
        text.push('\n');
        text += &one(head, run);
    }
    text
}

fn one(head: &Head<'_>, run: &Past) -> String {
    let (label, why) = match run.end {
        End::Through => ("good", "it went through".to_owned()),
        End::Back => ("bad", "it went back".to_owned()),
        End::TakenBack(at) => ("bad", format!("it went through, and was taken back at {}", stamp(at))),
    };
    let mut text = "[[run]]\n".to_owned();
    let named = [("target", head.target), ("namespace", head.namespace), ("service", Some(head.service))];
    let versions = [("stable", Some(run.stable.as_str())), ("candidate", Some(run.candidate.as_str()))];
    for (key, value) in named.into_iter().chain(versions) {
        if let Some(value) = value {
            let _ = writeln!(text, "{key} = {}", toml::Value::from(value));
        }
    }
    let _ = writeln!(text, "since = {}\nuntil = {}\nlabel = \"{label}\"  # {why}", stamp(run.since), stamp(run.until));
    if !run.shares.is_empty() {
        let shares: Vec<String> =
            run.shares.iter().map(|(at, percent)| format!("{{ at = {}, percent = {percent} }}", stamp(*at))).collect();
        let _ = writeln!(text, "shares = [{}]", shares.join(", "));
    }
    text
}

fn stamp(at: Time) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
