//! The acting verbs: show the plan, ask, send, and say done only when an observation confirms it.

mod answer;
mod send;

use super::{
    Context,
    connect::{self, Client, Named, Target},
    exit::{self, Exit},
};
use crate::{
    clock::{Clock, SystemClock},
    journal::Entry,
    model::{
        action::{Action, Plan, Refusal},
        back::How,
        ident::{ActionId, VersionId},
        ratio::Weight,
        rollout::Rollout,
    },
    runtime::{Ask, Runtime},
};
pub use answer::Output;
use answer::{already, print_plan};
use send::Sender;
use std::io::{self, BufRead, IsTerminal, Write};

/// How an acting verb acts.
#[derive(clap::Args, Debug)]
pub struct HowArgs {
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

/// Arguments of the acting verbs.
#[derive(clap::Args, Debug)]
pub struct ActArgs {
    /// SERVICE or SERVICE@RUN.
    pub rollout: Named,
    /// See there.
    #[command(flatten)]
    pub how: HowArgs,
}

impl HowArgs {
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

fn percent(text: &str) -> Result<Weight, String> {
    let number = text.trim_end_matches('%').trim();
    number.parse().ok().and_then(Weight::from_percent).ok_or_else(|| "expected 0 to 100 with at most two decimals".into())
}

/// `cutover step`.
///
/// # Errors
/// See [`exit`].
pub fn step(args: &ActArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    let skips = args.how.reason.is_some() && !args.how.force;
    act_on(args, |rollout| if skips && waits_at_gate(rollout) { Action::SkipGate } else { Action::Step }, false, cx, out)
}

/// `cutover pause`.
///
/// # Errors
/// See [`exit`].
pub fn pause(args: &ActArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    act_on(args, |_| Action::Pause, false, cx, out)
}

/// `cutover resume`.
///
/// # Errors
/// See [`exit`].
pub fn resume(args: &ActArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    act_on(args, |_| Action::Resume, false, cx, out)
}

/// `cutover promote`.
///
/// # Errors
/// See [`exit`].
pub fn promote(args: &ActArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    act_on(args, |_| Action::Promote, false, cx, out)
}

/// `cutover retry`.
///
/// # Errors
/// See [`exit`].
pub fn retry(args: &ActArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    act_on(args, |_| Action::Retry, false, cx, out)
}

/// `cutover weight`.
///
/// # Errors
/// See [`exit`].
pub fn weight(args: &WeightArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    act_on(&args.act, |_| Action::SetWeight { weight: args.percent }, false, cx, out)
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
    act_on(&args.act, back, args.switch_only, cx, out)
}

/// Whether its current step is one that whoever leaves it early must give a reason for.
fn waits_at_gate(rollout: &Rollout) -> bool {
    let current = rollout.at.and_then(|at| rollout.steps.get(at.index));
    current.is_some_and(|s| matches!(s.spec.kind(), "gate" | "check" | "warm"))
}

fn act_on(args: &ActArgs, verb: impl Fn(&Rollout) -> Action, switch_only: bool, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    let wanted = Wanted { how: &args.how, switch_only };
    let chosen = Chosen::one(cx, &args.rollout)?;
    wanted.carry_out(&chosen, verb(&chosen.rollout), cx, out)
}

/// A rollout and the place where it is.
pub struct Chosen {
    /// It.
    pub rollout: Rollout,
    /// Where.
    pub target: Target,
}

impl Chosen {
    /// The one that is named.
    ///
    /// # Errors
    /// When there is none, or several; see [`connect::pick`].
    pub fn one(cx: &Context, named: &Named) -> Result<Self, Exit> {
        let (targets, seen) = look(cx)?;
        Self::at(connect::pick(seen, named)?, &targets)
    }

    /// The only one there is.
    ///
    /// # Errors
    /// When there are several, or none.
    pub fn only(cx: &Context) -> Result<Self, Exit> {
        let (targets, mut seen) = look(cx)?;
        match (seen.rollouts.pop(), seen.rollouts.len(), seen.silent.pop()) {
            (Some(only), 0, None) => Self::at(only, &targets),
            (Some(_), _, _) => Err(Exit::usage("there are several rollouts; say which")),
            (None, _, Some(silent)) => Err(silent),
            (None, _, None) => Err(Exit::usage("there are no rollouts")),
        }
    }

    /// All there are, on every target that answered.
    ///
    /// # Errors
    /// When a target did not answer: a part is not all.
    pub fn all(cx: &Context) -> Result<Vec<Self>, Exit> {
        let (targets, mut seen) = look(cx)?;
        if let Some(silent) = seen.silent.pop() {
            return Err(silent);
        }
        if seen.rollouts.is_empty() {
            return Err(Exit::usage("there are no rollouts"));
        }
        seen.rollouts.into_iter().map(|rollout| Self::at(rollout, &targets)).collect()
    }

    fn at(rollout: Rollout, targets: &[Target]) -> Result<Self, Exit> {
        let target = targets.iter().find(|t| t.is(&rollout)).cloned().ok_or_else(|| Exit::failed("the target went away"))?;
        Ok(Self { rollout, target })
    }
}

fn look(cx: &Context) -> Result<(Vec<Target>, connect::Seen), Exit> {
    let targets = connect::targets(cx)?;
    let seen = exit::block_on(connect::rollouts(&targets))?;
    Ok((targets, seen))
}

/// How an action is to be carried out.
pub struct Wanted<'a> {
    /// As the flags say.
    pub how: &'a HowArgs,
    /// Only the fast way back.
    pub switch_only: bool,
}

impl Wanted<'_> {
    /// Plans, asks, sends and waits until it is seen.
    ///
    /// # Errors
    /// See [`exit`].
    pub fn carry_out(&self, chosen: &Chosen, action: Action, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
        let Some((plan, client)) = self.plan(chosen, action, cx, out)? else { return Ok(()) };
        if self.how.plan {
            return print_plan(self.how.output, &chosen.rollout, &plan, out);
        }
        self.allow(chosen, &plan)?;
        agree(self.how, &chosen.rollout, &plan, out)?;
        self.send(chosen, &plan, &client, cx, out)
    }

    /// The plan; `None` when it is so already, which is said.
    fn plan(&self, chosen: &Chosen, action: Action, cx: &Context, out: &mut impl Write) -> Result<Option<(Plan, Client)>, Exit> {
        let client = chosen.target.client()?;
        let ask = Ask {
            action,
            id: new_id(cx),
            name: cx.env.user.as_deref().map(Into::into),
            reason: self.how.reason.as_deref().map(Into::into),
            force: self.how.force,
            switch_only: self.switch_only,
        };
        match client.plan(&chosen.rollout, &ask) {
            Ok(plan) => Ok(Some((plan, client))),
            Err(Refusal::AlreadySo { what }) => already(self.how.output, &what, out).map(|()| None),
            Err(refusal) => Err(Exit::refused(&refusal)),
        }
    }

    fn allow(&self, chosen: &Chosen, plan: &Plan) -> Result<(), Exit> {
        if chosen.target.read_only {
            return Err(Exit::refused(&Refusal::ReadOnly));
        }
        if plan.needs_reason && self.how.reason.as_deref().is_none_or(|r| r.trim().is_empty()) {
            return Err(Exit::not_sent(format!("{}: give a --reason", plan.title)));
        }
        Ok(())
    }

    fn send(&self, chosen: &Chosen, plan: &Plan, client: &Client, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
        let rollout = &chosen.rollout;
        let sender = Sender {
            plan,
            client,
            journal: cx.load()?.paths.journal,
            intent: Entry::intent(
                plan,
                SystemClock::start().now(),
                cx.env.user.as_deref().unwrap_or("unknown").into(),
                self.how.reason.as_deref().map(Into::into),
                rollout.gates.iter().map(|g| format!("{} {} {}", g.id.text(), g.verdict.word(), g.verdict.reason()).into()).collect(),
            ),
            // What it goes back to may still be starting, where that was asked for before.
            slow: matches!(plan.action, Action::Back { .. }) && matches!(rollout.back.how, How::Redeploy { .. } | How::Already { .. }),
        };
        exit::block_on(sender.carry_out(self.how.output, out))?
    }

    /// The same action on several rollouts: all plans first, one question, then one after the other. One
    /// that is refused stops none of the others.
    ///
    /// # Errors
    /// The first refusal or failure, after the rest was tried.
    pub fn carry_out_all(&self, all: &[Chosen], action: &Action, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
        let mut worst = None;
        let mut ready = Vec::new();
        for chosen in all {
            let planned = self.plan(chosen, action.clone(), cx, out).and_then(|planned| {
                let Some((plan, client)) = planned else { return Ok(None) };
                if !self.how.plan {
                    self.allow(chosen, &plan)?;
                }
                Ok(Some((chosen, plan, client)))
            });
            match planned {
                Ok(planned) => ready.extend(planned),
                Err(exit) => worse(&mut worst, chosen, exit),
            }
        }
        let shows = self.how.plan || (!self.how.yes && is_interactive());
        for (chosen, plan, _) in ready.iter().filter(|_| shows) {
            print_plan(self.how.output, &chosen.rollout, plan, out)?;
        }
        if !self.how.plan && !ready.is_empty() {
            question(self.how, &format!("send all {}", ready.len()), false, out)?;
            for (chosen, plan, client) in &ready {
                if let Err(exit) = self.send(chosen, plan, client, cx, out) {
                    worse(&mut worst, chosen, exit);
                }
            }
        }
        worst.map_or(Ok(()), Err)
    }
}

/// Keeps the first and says the others at once.
fn worse(worst: &mut Option<Exit>, chosen: &Chosen, exit: Exit) {
    let named = exit.about(&chosen.rollout.key.service.text());
    match worst {
        None => *worst = Some(named),
        Some(_) => named.complain(),
    }
}

fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// On a terminal whoever asked is shown the plan and asked; elsewhere `--yes` is needed, except for
/// what stops or reverts.
fn agree(how: &HowArgs, rollout: &Rollout, plan: &Plan, out: &mut impl Write) -> Result<(), Exit> {
    if how.yes {
        return Ok(());
    }
    if is_interactive() {
        print_plan(Output::Text, rollout, plan, out)?;
    }
    let digits = match plan.action {
        Action::Promote => rollout.candidate().map(|t| t.version.short_id().as_str().chars().take(4).collect::<String>()),
        _ => None,
    };
    match digits {
        Some(digits) if is_interactive() => typed(&digits, out),
        _ => question(how, "send it", matches!(plan.action, Action::Pause | Action::Back { .. }), out),
    }
}

fn question(how: &HowArgs, what: &str, harmless: bool, out: &mut impl Write) -> Result<(), Exit> {
    if how.yes {
        return Ok(());
    }
    if !is_interactive() {
        return if harmless { Ok(()) } else { Err(Exit::usage("not on a terminal: show the plan with --plan, or agree with --yes")) };
    }
    write!(out, "{what}? [y/N] ").and_then(|()| out.flush()).map_err(Exit::failed)?;
    if matches!(answer_line()?.as_str(), "y" | "Y" | "yes") { Ok(()) } else { Err(Exit::not_sent("nothing sent")) }
}

fn typed(digits: &str, out: &mut impl Write) -> Result<(), Exit> {
    write!(out, "type {digits} (the candidate's digest) to promote: ").and_then(|()| out.flush()).map_err(Exit::failed)?;
    if answer_line()? == digits { Ok(()) } else { Err(Exit::not_sent("nothing sent")) }
}

fn answer_line() -> Result<String, Exit> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(Exit::failed)?;
    Ok(line.trim().to_owned())
}

/// A name no other action has: who, when, and a random part.
pub fn new_id(cx: &Context) -> ActionId {
    let random: u64 = rand::random();
    ActionId::new(format!("{}-{random:016x}", cx.env.user.as_deref().unwrap_or("cutover")))
}
