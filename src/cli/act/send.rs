//! Sending what a person has agreed to: intent in the journal, the request, what was seen of it.

use super::answer::{Output, already, done};
use crate::{
    cli::{
        connect::{self, Client},
        exit::Exit,
        record,
    },
    clock::{Clock, SystemClock},
    journal::Entry,
    model::{
        action::{Action, Observation, Outcome, Plan, Refusal},
        delta::Delta,
        text::Text,
    },
    runtime::Runtime,
};
use futures::StreamExt;
use std::{io::Write, path::PathBuf, time::Duration};

/// How long an accepted action may take until an observation confirms it.
const CONFIRM: Duration = Duration::from_secs(30);
/// The same for a way back that starts a version again: as long as its instances may take.
const REDEPLOY: Duration = Duration::from_secs(300);

/// Everything that sending an action needs.
pub struct Sender<'a> {
    pub plan: &'a Plan,
    pub client: &'a Client,
    pub journal: PathBuf,
    pub intent: Entry,
    /// Whether what is waited for is started again first.
    pub slow: bool,
}

impl Sender<'_> {
    /// Until it is done and seen to be so.
    ///
    /// # Errors
    /// See [`exit`](crate::cli::exit).
    pub async fn carry_out(self, output: Output, out: &mut impl Write) -> Result<(), Exit> {
        let Self { plan, client, journal, intent, slow } = self;
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
                confirm(plan, client, slow).await?;
                done(output, plan, changed, out)
            }
            Outcome::Partial { done: 0, then } => Err(Exit::unreachable(then)),
            Outcome::Partial { done, then } => Err(Exit::failed(format!("{done} of {} calls done, then {then}", plan.calls.len()))),
            Outcome::Unknown { why, .. } => resolve(plan, client, slow, &why, output, out).await,
        }
    }
}

/// Watches until the plan is seen to be true.
async fn confirm(plan: &Plan, client: &Client, slow: bool) -> Result<(), Exit> {
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
    let limit = if slow { REDEPLOY } else { CONFIRM };
    tokio::time::timeout(limit, watch).await.unwrap_or_else(|_| Err(Exit::timed_out("accepted, but not confirmed in time")))
}

/// An answer was lost: ask what became of it, never send it again.
async fn resolve(plan: &Plan, client: &Client, slow: bool, why: &Text, output: Output, out: &mut impl Write) -> Result<(), Exit> {
    let id = plan.id.text();
    match client.resolve(&plan.id).await {
        Ok(Some(record)) => match record.outcome {
            Outcome::Accepted { changed, .. } => {
                confirm(plan, client, slow).await?;
                done(output, plan, changed, out)
            }
            Outcome::Refused { refusal } => Err(Exit::refused(&refusal)),
            Outcome::Partial { then, .. } | Outcome::Unknown { why: then, .. } => Err(Exit::failed(then)),
        },
        Ok(None) => Err(Exit::unreachable(format!("{why}; the target never heard of action {id}: nothing was done"))),
        Err(_) => Err(Exit::unreachable(format!("{why}; outcome unknown: look before you act again (action {id})"))),
    }
}
