//! `cutover wait`: until a rollout is in a state.

use super::{
    Context,
    connect::{self, Named},
    exit::{self, Exit},
};
use crate::{
    model::{
        back::Proved,
        delta::Delta,
        rollout::{Hold, Phase, Rollout},
        text::Text,
    },
    runtime::Runtime,
};
use clap::ValueEnum;
use futures::StreamExt;
use std::{cell::RefCell, io::Write, time::Duration};

/// Arguments of `cutover wait`.
#[derive(clap::Args, Debug)]
pub struct WaitArgs {
    /// SERVICE or SERVICE@RUN.
    pub rollout: Named,
    /// The state to wait for.
    #[arg(long = "for", value_enum)]
    pub state: State,
    /// The run it must be.
    #[arg(long)]
    pub run: Option<String>,
    /// How long to wait.
    #[arg(long, default_value = "10m", value_parser = humantime::parse_duration)]
    pub timeout: Duration,
}

/// What can be waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum State {
    /// The candidate became stable.
    Completed,
    /// It waits for a person.
    Paused,
    /// Completed, verdict neither fail nor blind, all ready.
    Healthy,
    /// All traffic is back.
    Reverted,
    /// It is back, and requests have proved it; without any it never is, which the time-out says.
    Safe,
}

/// What a rollout is, as seen from what is waited for.
enum Progress {
    Reached,
    Possible,
    /// It may come to it, once this is so.
    Lacks(Text),
    /// It ended otherwise.
    Missed(String),
}

/// Waits.
///
/// # Errors
/// See [`exit`].
pub fn run(args: &WaitArgs, cx: &Context, out: &mut impl Write) -> Result<(), Exit> {
    let targets = connect::targets(cx)?;
    let named = Named { service: args.rollout.service.clone(), run: args.run.clone().or_else(|| args.rollout.run.clone()) };
    let lacks = RefCell::new(None);
    let waited = async {
        let rollout = connect::pick(connect::rollouts(&targets).await, &named)?;
        let target = targets.iter().find(|t| t.is(&rollout)).ok_or_else(|| Exit::failed("the target went away"))?;
        let run = named.run.clone().or_else(|| rollout.run.as_ref().map(|r| r.as_str().to_owned()));
        let client = target.client()?;
        client.focus(Some(&rollout.key));
        loop {
            let mut deltas = Box::pin(client.watch());
            while let Some(Ok(delta)) = deltas.next().await {
                let Delta::Apply { rollout: now } = delta else { continue };
                if (&now.key.scope, &now.key.service) != (&rollout.key.scope, &rollout.key.service) {
                    continue;
                }
                if now.run.as_ref().map(|r| r.as_str()) != run.as_deref() {
                    return Err(Exit::failed(format!("{} went on to another run", named.service)));
                }
                match progress(&now, args.state) {
                    Progress::Reached => return Ok(()),
                    Progress::Missed(why) => return Err(Exit::failed(why)),
                    Progress::Possible => drop(lacks.take()),
                    Progress::Lacks(what) => drop(lacks.replace(Some(what))),
                }
            }
            // The host may be starting again; the time-out bounds this.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let done = exit::block_on(async { tokio::time::timeout(args.timeout, waited).await })?;
    match done {
        Ok(reached) => reached?,
        Err(_) => {
            let waited = humantime::format_duration(args.timeout);
            let lacks = lacks.take().map_or_else(String::new, |what| format!(": {what}"));
            return Err(Exit::timed_out(format!("{} was not {} within {waited}{lacks}", named.service, word(args.state))));
        }
    }
    writeln!(out, "{} is {}", named.service, word(args.state)).map_err(Exit::failed)
}

const fn word(state: State) -> &'static str {
    match state {
        State::Completed => "completed",
        State::Paused => "paused",
        State::Healthy => "healthy",
        State::Reverted => "reverted",
        State::Safe => "safe",
    }
}

fn progress(r: &Rollout, state: State) -> Progress {
    let ended = |but: &Phase| {
        let over = matches!(r.phase, Phase::Completed | Phase::Reverted | Phase::Failed) && r.phase != *but;
        if over { Progress::Missed(format!("{} is {}", r.key.service.text(), r.phase.word())) } else { Progress::Possible }
    };
    match state {
        State::Completed if r.phase == Phase::Completed => Progress::Reached,
        State::Healthy if r.phase == Phase::Completed && healthy(r) => Progress::Reached,
        State::Completed | State::Healthy => ended(&Phase::Completed),
        State::Reverted if r.phase == Phase::Reverted => Progress::Reached,
        State::Reverted => ended(&Phase::Reverted),
        State::Safe if r.phase == Phase::Reverted => proved(r),
        State::Safe => ended(&Phase::Reverted),
        State::Paused if r.phase == Phase::Held && r.holds.iter().any(waits_for_person) => Progress::Reached,
        State::Paused => ended(&Phase::Held),
    }
}

fn proved(r: &Rollout) -> Progress {
    let Some(proof) = &r.proof else {
        return Progress::Missed(format!("{} is back, and {} proves no way back", r.key.service.text(), r.key.target.as_str()));
    };
    match proof.proved() {
        Proved::Safe => Progress::Reached,
        Proved::Waiting | Proved::Unproved => proof.missing.first().map_or(Progress::Possible, |what| Progress::Lacks(what.clone())),
    }
}

fn healthy(r: &Rollout) -> bool {
    let verdict = r.verdict.as_ref().map(|v| v.word.as_str()).unwrap_or_default();
    !matches!(verdict, "fail" | "blind") && r.stable().is_some_and(|t| t.pools.iter().all(|p| p.ready >= p.desired && p.desired > 0))
}

const fn waits_for_person(hold: &Hold) -> bool {
    matches!(
        hold,
        Hold::Manual { .. }
            | Hold::Step { until: None, .. }
            | Hold::Gate { .. }
            | Hold::Stopped { .. }
            | Hold::Inconclusive { .. }
            | Hold::Freeze { .. }
            | Hold::Backend { .. }
    )
}
