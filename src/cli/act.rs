//! The acting verbs: show the plan, ask, send, and say done only when an observation confirms it.

use super::{
    Context,
    connect::{self, Client, Named},
    exit::{self, Exit},
    get::json::SCHEMA,
    record,
};
use crate::{
    clock::{Clock, SystemClock},
    journal::Entry,
    model::{
        action::{Action, Observation, Outcome, Plan, Refusal},
        delta::Delta,
        ident::{ActionId, VersionId},
        ratio::Weight,
        rollout::Rollout,
        text::Text,
    },
    runtime::{Ask, Runtime},
};
use clap::ValueEnum;
use futures::StreamExt;
use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::PathBuf,
    time::Duration,
};

/// How long an accepted action may take until an observation confirms it.
const CONFIRM: Duration = Duration::from_secs(30);

/// Arguments of the acting verbs.
#[derive(clap::Args, Debug)]
pub struct ActArgs {
    /// SERVICE or SERVICE@RUN.
    pub rollout: Named,
    /// Show what would be sent, and send nothing.
    #[arg(long)]
    pub plan: bool,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
    /// Override a gate that has not passed; needs --reason.
    #[arg(long, requires = "reason")]
    pub force: bool,
    /// Why; it goes to the journal and the timeline.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// How the answer is printed.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

impl ActArgs {
    /// Whether the answer is for scripts.
    #[must_use]
    pub fn prints_json(&self) -> bool {
        self.output == Output::Json
    }
}

/// Arguments of `cutover revert`.
#[derive(clap::Args, Debug)]
pub struct RevertArgs {
    /// See there.
    #[command(flatten)]
    pub act: ActArgs,
    /// Only by switch: refused when the good version would have to be started again.
    #[arg(long)]
    pub switch_only: bool,
}

/// Arguments of `cutover weight`.
#[derive(clap::Args, Debug)]
pub struct WeightArgs {
    /// See there.
    #[command(flatten)]
    pub act: ActArgs,
    /// The candidate's share in percent, at most two decimals.
    #[arg(value_parser = percent)]
    pub percent: Weight,
}

/// How an answer is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For scripts.
    Json,
}

fn percent(text: &str) -> Result<Weight, String> {
    let number = text.trim_end_matches('%').trim();
    number.parse().ok().and_then(Weight::from_percent).ok_or_else(|| "expected 0 to 100 with at most two decimals".into())
}

/// `cutover step`.
///
/// # Errors
/// See [`exit`].
pub fn step(args: &ActArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    let skips = args.reason.is_some() && !args.force;
    act(args, |rollout| if skips && waits_at_gate(rollout) { Action::SkipGate } else { Action::Step }, false, cx, out)
}

/// `cutover pause`.
///
/// # Errors
/// See [`exit`].
pub fn pause(args: &ActArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    act(args, |_| Action::Pause, false, cx, out)
}

/// `cutover resume`.
///
/// # Errors
/// See [`exit`].
pub fn resume(args: &ActArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    act(args, |_| Action::Resume, false, cx, out)
}

/// `cutover promote`.
///
/// # Errors
/// See [`exit`].
pub fn promote(args: &ActArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    act(args, |_| Action::Promote, false, cx, out)
}

/// `cutover retry`.
///
/// # Errors
/// See [`exit`].
pub fn retry(args: &ActArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    act(args, |_| Action::Retry, false, cx, out)
}

/// `cutover weight`.
///
/// # Errors
/// See [`exit`].
pub fn weight(args: &WeightArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    act(&args.act, |_| Action::SetWeight { weight: args.percent }, false, cx, out)
}

/// `cutover revert`.
///
/// # Errors
/// See [`exit`].
pub fn revert(args: &RevertArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    let back = |rollout: &Rollout| {
        let to = rollout.back.to.as_ref().map(|v| v.id.clone());
        Action::Back { to: to.unwrap_or_else(|| VersionId::new("")) }
    };
    act(&args.act, back, args.switch_only, cx, out)
}

fn waits_at_gate(rollout: &Rollout) -> bool {
    let current = rollout.at.and_then(|at| rollout.steps.get(at.index));
    current.is_some_and(|s| s.spec.kind() == "gate")
}

fn act(args: &ActArgs, verb: impl Fn(&Rollout) -> Action, switch_only: bool, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    let targets = connect::targets(cx)?;
    let (rollout, plan, client, target) = exit::block_on(async {
        let rollout = connect::pick(connect::rollouts(&targets).await, &args.rollout)?;
        let target = targets.iter().find(|t| t.id == rollout.key.target).ok_or_else(|| Exit::failed("the target went away"))?;
        let client = target.client()?;
        let ask = Ask {
            action: verb(&rollout),
            id: new_id(cx),
            name: cx.env.user.as_deref().map(Into::into),
            reason: args.reason.as_deref().map(Into::into),
            force: args.force,
            switch_only,
        };
        let plan = client.plan(&rollout, &ask);
        Ok::<_, Exit>((rollout, plan, client, target))
    })??;
    let plan = match plan {
        Ok(plan) => plan,
        Err(Refusal::AlreadySo { what }) => return already(args.output, &what, out),
        Err(refusal) => return Err(Exit::refused(&refusal)),
    };
    if args.plan {
        return print_plan(args.output, &rollout, &plan, out);
    }
    if target.read_only {
        return Err(Exit::refused(&Refusal::ReadOnly));
    }
    if plan.needs_reason && args.reason.is_none() {
        return Err(Exit::not_sent("a gate has not passed; give a --reason"));
    }
    agree(args, &rollout, &plan, out)?;
    let sender = Sender {
        plan: &plan,
        client: &client,
        journal: cx.load()?.paths.journal,
        intent: Entry::intent(
            &plan,
            SystemClock::start().now(),
            cx.env.user.as_deref().unwrap_or("unknown").into(),
            args.reason.as_deref().map(Into::into),
            rollout.gates.iter().map(|g| format!("{} {} {}", g.id.text(), g.verdict.word(), g.verdict.reason()).into()).collect(),
        ),
    };
    exit::block_on(sender.carry_out(args.output, out))?
}

/// On a terminal whoever asked is shown the plan and asked; elsewhere `--yes` is needed, except for
/// what stops or reverts.
fn agree(args: &ActArgs, rollout: &Rollout, plan: &Plan, out: &mut impl Write) -> Result<(), Exit> {
    if args.yes {
        return Ok(());
    }
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        return match plan.action {
            Action::Pause | Action::Back { .. } => Ok(()),
            _ => Err(Exit::usage("not on a terminal: show the plan with --plan, or agree with --yes")),
        };
    }
    print_plan(Output::Text, rollout, plan, out)?;
    let expected = match plan.action {
        Action::Promote => rollout.candidate().map(|t| t.version.short_digest().as_str().chars().take(4).collect::<String>()),
        _ => None,
    };
    match &expected {
        Some(digits) => write!(out, "type {digits} (the candidate's digest) to promote: "),
        None => write!(out, "send it? [y/N] "),
    }
    .and_then(|()| out.flush())
    .map_err(Exit::failed)?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(Exit::failed)?;
    let agreed = match &expected {
        Some(digits) => line.trim() == digits,
        None => matches!(line.trim(), "y" | "Y" | "yes"),
    };
    if agreed { Ok(()) } else { Err(Exit::not_sent("nothing sent")) }
}

/// Everything that sending an action needs.
struct Sender<'a> {
    plan: &'a Plan,
    client: &'a Client,
    journal: PathBuf,
    intent: Entry,
}

impl Sender<'_> {
    async fn carry_out(self, output: Output, out: &mut impl Write) -> Result<(), Exit> {
        let Self { plan, client, journal, intent } = self;
        let clock = SystemClock::start();
        let outcome = if matches!(plan.action, Action::Back { .. }) {
            // The way back waits for no journal: both go on at the same time.
            let written = record::write(journal.clone(), intent.clone());
            let outcome = client.apply(plan).await;
            record::complain(record::at_most(written).await);
            outcome
        } else {
            let written = record::at_most(record::write(journal.clone(), intent.clone())).await;
            written.map_err(|e| Exit::failed(format!("{e}; nothing was sent")))?;
            client.apply(plan).await
        };
        // The action is done or not, whatever becomes of the line that says so.
        record::complain(record::at_most(record::write(journal, intent.answered(clock.now(), outcome.clone()))).await);
        match outcome {
            Outcome::Refused { refusal: Refusal::AlreadySo { what } } => already(output, &what, out),
            Outcome::Refused { refusal } => Err(Exit::refused(&refusal)),
            Outcome::Accepted { changed, .. } => {
                confirm(plan, client).await?;
                done(output, plan, changed, out)
            }
            Outcome::Partial { done: 0, then } => Err(Exit::unreachable(then)),
            Outcome::Partial { done, then } => Err(Exit::failed(format!("{done} of {} calls done, then {then}", plan.calls.len()))),
            Outcome::Unknown { why, .. } => resolve(plan, client, &why, output, out).await,
        }
    }
}

/// Watches until the plan is seen to be true.
async fn confirm(plan: &Plan, client: &Client) -> Result<(), Exit> {
    let watch = async {
        let mut deltas = Box::pin(client.watch());
        let mut missing = Text::from("no observation came");
        while let Some(delta) = deltas.next().await {
            let rollout = match delta.map_err(|e| connect::fault(&e))? {
                Delta::Apply { rollout } if rollout.key.service == plan.belief.key.service => rollout,
                _ => continue,
            };
            match client.confirm(plan, &rollout) {
                Observation::Confirmed => return Ok(()),
                Observation::Pending { missing: m } => missing = m,
                Observation::Contradicted { by } => return Err(Exit::failed(format!("accepted, then undone by {by}"))),
            }
        }
        Err(Exit::unreachable(format!("accepted, but not confirmed: {missing}")))
    };
    tokio::time::timeout(CONFIRM, watch).await.unwrap_or_else(|_| Err(Exit::timed_out("accepted, but not confirmed in time")))
}

/// An answer was lost: ask what became of it, never send it again.
async fn resolve(plan: &Plan, client: &Client, why: &Text, output: Output, out: &mut impl Write) -> Result<(), Exit> {
    let id = plan.id.text();
    match client.resolve(&plan.id).await {
        Ok(Some(record)) => match record.outcome {
            Outcome::Accepted { changed, .. } => {
                confirm(plan, client).await?;
                done(output, plan, changed, out)
            }
            Outcome::Refused { refusal } => Err(Exit::refused(&refusal)),
            Outcome::Partial { then, .. } | Outcome::Unknown { why: then, .. } => Err(Exit::failed(then)),
        },
        Ok(None) => Err(Exit::unreachable(format!("{why}; the target never heard of action {id}: nothing was done"))),
        Err(_) => Err(Exit::unreachable(format!("{why}; outcome unknown: look before you act again (action {id})"))),
    }
}

fn print_plan(output: Output, rollout: &Rollout, plan: &Plan, out: &mut impl Write) -> Result<(), Exit> {
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

fn done(output: Output, plan: &Plan, changed: bool, out: &mut impl Write) -> Result<(), Exit> {
    match output {
        Output::Json => json(
            out,
            &serde_json::json!({ "schema": SCHEMA, "action": plan.action.verb(), "id": plan.id, "changed": changed, "confirmed": true }),
        ),
        Output::Text => writeln!(out, "{}: done and confirmed", plan.title).map_err(Exit::failed),
    }
}

fn already(output: Output, what: &Text, out: &mut impl Write) -> Result<(), Exit> {
    match output {
        Output::Json => json(out, &serde_json::json!({ "schema": SCHEMA, "changed": false, "confirmed": true, "message": what })),
        Output::Text => writeln!(out, "{what}").map_err(Exit::failed),
    }
}

fn json(out: &mut impl Write, value: &serde_json::Value) -> Result<(), Exit> {
    writeln!(out, "{value}").map_err(Exit::failed)
}

/// A name no other action has: who, when, and a random part.
pub fn new_id(cx: &Context) -> ActionId {
    let random: u64 = rand::random();
    ActionId::new(format!("{}-{random:016x}", cx.env.user.as_deref().unwrap_or("cutover")))
}
