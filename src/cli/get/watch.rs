//! `cutover get --watch`: on a terminal the table, redrawn when it changes; elsewhere a line for each
//! rollout that changed; as JSON one document for each change.

use super::{GetArgs, Output, json, sort, table};
use crate::{
    cli::{
        connect::{self, Client, Named, Target},
        exit::{self, Exit},
    },
    clock::{Clock, SystemClock},
    model::{
        delta::Delta,
        ident::{Key, TargetId},
        rollout::Rollout,
        time::{Time, after, elapsed},
        urgency::urgency,
    },
    runtime::{Fault, Runtime},
};
use futures::StreamExt;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{IsTerminal, Write},
    time::Duration,
};
use tokio::{sync::mpsc, time::Instant};

/// Between two attempts to reach a target that is away.
const AGAIN: Duration = Duration::from_secs(2);
/// Changes that come together are shown together.
const TOGETHER: Duration = Duration::from_millis(50);
/// Without any change, ages are looked at this often.
const AGES: Duration = Duration::from_secs(10);
/// A target is not stale before it said nothing for this long, however often it says something.
const SILENT: Duration = Duration::from_secs(5);

enum News {
    Delta(TargetId, Box<Delta>),
    Away(TargetId, Fault),
}

/// Runs until it is interrupted, its reader is gone, or no target can be watched at all.
pub async fn watch(args: &GetArgs, targets: &[Target], out: &mut impl Write) -> Result<(), Exit> {
    let (send, mut news) = mpsc::channel(256);
    for target in targets {
        let client = target.client()?;
        // A document has the evidence of each, a line the verdict.
        let client = if args.output == Output::Json { client.telling_all() } else { client };
        tokio::spawn(follow(target.id.clone(), client, args.rollout.clone(), send.clone()));
    }
    drop(send);
    let clock = SystemClock::start();
    let mut view = View::new(args, targets.len());
    let mut due: Option<Instant> = None;
    let reader = exit::reader_gone();
    tokio::pin!(reader);
    loop {
        let ages = Instant::now() + AGES;
        let wake = due.unwrap_or(ages);
        tokio::select! {
            // A reader that went away ends it, whether something changes or not.
            () = &mut reader => return Ok(()),
            Some(news) = news.recv() => {
                view.take(news, &clock)?;
                due.get_or_insert_with(|| Instant::now() + TOGETHER);
            }
            () = tokio::time::sleep_until(wake) => {
                due = None;
                if let Err(e) = view.show(&clock, out) {
                    return exit::closed(e);
                }
            }
        }
    }
}

/// Tells what a target says, again and again. What belongs to the rollout that was named is looked at too.
async fn follow(target: TargetId, client: Client, named: Option<Named>, news: mpsc::Sender<News>) {
    loop {
        let mut deltas = Box::pin(client.watch());
        let mut why = None;
        while let Some(delta) = deltas.next().await {
            if let (Some(named), Ok(Delta::Apply { rollout })) = (&named, &delta)
                && named.means(&rollout.key)
            {
                client.focus(Some(&rollout.key));
            }
            let sent = match delta {
                Ok(delta) => news.send(News::Delta(target.clone(), Box::new(delta))).await,
                Err(fault) => {
                    why = Some(fault);
                    break;
                }
            };
            if sent.is_err() {
                return;
            }
        }
        let fault = why.unwrap_or_else(|| Fault::Closed { place: client.place().clone() });
        if news.send(News::Away(target.clone(), fault)).await.is_err() {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// What is known, and what was shown of it.
struct View<'a> {
    args: &'a GetArgs,
    targets: usize,
    rollouts: BTreeMap<Key, Rollout>,
    /// What a list that is coming has named so far.
    coming: BTreeMap<TargetId, BTreeSet<Key>>,
    /// Targets whose list was complete once.
    known: BTreeSet<TargetId>,
    heard: BTreeMap<TargetId, Time>,
    /// What each target's clock said when it was heard last.
    clocks: BTreeMap<TargetId, Time>,
    away: BTreeMap<TargetId, Fault>,
    shown: Vec<String>,
    /// What each line said that was printed last, without what grows by itself.
    said: BTreeMap<Key, Vec<String>>,
    redraws: bool,
    /// Whether the heading was printed.
    began: bool,
}

impl<'a> View<'a> {
    fn new(args: &'a GetArgs, targets: usize) -> Self {
        Self {
            args,
            targets,
            rollouts: BTreeMap::new(),
            coming: BTreeMap::new(),
            known: BTreeSet::new(),
            heard: BTreeMap::new(),
            clocks: BTreeMap::new(),
            away: BTreeMap::new(),
            shown: Vec::new(),
            said: BTreeMap::new(),
            redraws: args.output == Output::Table && std::io::stdout().is_terminal(),
            began: false,
        }
    }

    /// Takes a change. Fails when nobody could ever be watched, or what was named is not there.
    fn take(&mut self, news: News, clock: &impl Clock) -> Result<(), Exit> {
        match news {
            News::Away(target, fault) => {
                if self.away.insert(target, fault.clone()).is_none() {
                    connect::fault(&fault).complain();
                }
                if self.known.is_empty() && self.away.len() == self.targets {
                    return Err(connect::fault(&fault).told());
                }
            }
            News::Delta(target, delta) => {
                let told = match &*delta {
                    Delta::Init { server_time, .. } | Delta::Heartbeat { server_time, .. } => Some(*server_time),
                    Delta::Apply { rollout } => Some(rollout.seen.server_time),
                    _ => None,
                };
                let now = clock.now();
                // What tells no time leaves the clock where it went meanwhile.
                let told = told.unwrap_or_else(|| self.there(&target, now));
                self.clocks.insert(target.clone(), told);
                self.heard.insert(target.clone(), now);
                self.away.remove(&target);
                self.apply(target, *delta)?;
            }
        }
        Ok(())
    }

    fn apply(&mut self, target: TargetId, delta: Delta) -> Result<(), Exit> {
        match delta {
            Delta::Init { .. } => drop(self.coming.insert(target, BTreeSet::new())),
            Delta::InitDone { .. } => {
                let named = self.coming.remove(&target).unwrap_or_default();
                self.rollouts.retain(|key, _| key.target != target || named.contains(key));
                self.known.insert(target);
                self.is_there()?;
            }
            Delta::Apply { rollout } => {
                if let Some(named) = self.coming.get_mut(&target) {
                    named.insert(rollout.key.clone());
                }
                self.rollouts.insert(rollout.key.clone(), *rollout);
            }
            Delta::Delete { key } => drop(self.rollouts.remove(&key)),
            _ => {}
        }
        Ok(())
    }

    /// Once every target has answered, whoever named a rollout is told when there is none.
    fn is_there(&self) -> Result<(), Exit> {
        let Some(named) = &self.args.rollout else { return Ok(()) };
        if self.known.len() < self.targets {
            return Ok(());
        }
        let rollouts = self.rollouts.values().cloned().collect();
        connect::pick(connect::Seen { rollouts, silent: Vec::new(), answered: self.known.len() }, named).map(drop)
    }

    /// Now, by a target's own clock, in which it tells times: as it said last, and what has passed since.
    fn there(&self, target: &TargetId, now: Time) -> Time {
        let told = self.heard.get(target).zip(self.clocks.get(target));
        told.map_or(now, |(heard, told)| after(*told, elapsed(now, *heard)))
    }

    fn chosen(&self) -> Vec<Rollout> {
        let wanted = |r: &&Rollout| self.args.rollout.as_ref().is_none_or(|named: &Named| named.means(&r.key));
        let mut all: Vec<Rollout> = self.rollouts.values().filter(wanted).cloned().collect();
        sort(&mut all);
        all
    }

    /// Prints what is different from what was printed last.
    fn show(&mut self, clock: &impl Clock, out: &mut impl Write) -> std::io::Result<()> {
        if self.known.is_empty() {
            return Ok(());
        }
        let now = clock.now();
        let all = self.chosen();
        let stale = |r: &Rollout| {
            self.away.contains_key(&r.key.target)
                || self.heard.get(&r.key.target).is_none_or(|heard| elapsed(now, *heard) > (r.seen.fresh_for * 2).max(SILENT))
        };
        let rows: Vec<(Key, table::Row)> =
            all.iter().map(|r| (r.key.clone(), table::row(r, stale(r), self.there(&r.key.target, now)))).collect();
        match self.args.output {
            Output::Json => {
                let line = json::document(&all).to_string();
                if self.shown.first() != Some(&line) {
                    writeln!(out, "{line}")?;
                    self.shown = vec![line];
                }
            }
            Output::Table if self.redraws => {
                let (columns, lines) = size();
                let mut drawn = table::lines(rows.into_iter().map(|(_, row)| row), columns);
                let hidden = drawn.len().saturating_sub(lines.saturating_sub(1));
                if hidden > 0 {
                    drawn.truncate(drawn.len().saturating_sub(hidden + 1));
                    drawn.push(format!("… {} more", hidden + 1));
                }
                if drawn != self.shown {
                    redraw(&drawn, self.shown.len(), out)?;
                    self.shown = drawn;
                }
            }
            Output::Table => {
                let mut changed = Vec::new();
                for (rollout, (key, row)) in all.iter().zip(rows) {
                    let facts = facts(rollout, stale(rollout), &row);
                    if self.said.get(&key) != Some(&facts) {
                        changed.push(row);
                        self.said.insert(key, facts);
                    }
                }
                let head = usize::from(!std::mem::replace(&mut self.began, true));
                if !changed.is_empty() || head == 1 {
                    for line in table::lines(changed.into_iter(), usize::MAX).iter().skip(1 - head) {
                        writeln!(out, "{line}")?;
                    }
                }
            }
        }
        out.flush()
    }
}

/// What a line says, without ages and counts.
fn facts(r: &Rollout, stale: bool, row: &table::Row) -> Vec<String> {
    let verdict = r.verdict.as_ref().map_or_else(String::new, |v| v.word.to_string());
    let why = r.reason.as_ref().map_or(verdict, ToString::to_string);
    let state = urgency(r, stale.then_some(r.seen.server_time)).how.word().to_owned();
    row.iter().skip(1).take(row.len() - 2).cloned().chain([state, why, format!("{:?}", r.frozen)]).collect()
}

/// Over what was drawn before; what stood above it stays.
fn redraw(lines: &[String], before: usize, out: &mut impl Write) -> std::io::Result<()> {
    let mut text = String::new();
    if before > 0 {
        text += &format!("\x1b[{before}A\r");
    }
    for line in lines {
        text += line;
        text += "\x1b[K\r\n";
    }
    text += "\x1b[J";
    out.write_all(text.as_bytes())
}

/// Columns and lines of the terminal.
fn size() -> (usize, usize) {
    rustix::termios::tcgetwinsize(std::io::stdout())
        .ok()
        .filter(|size| size.ws_col > 0 && size.ws_row > 0)
        .map_or((80, 24), |size| (usize::from(size.ws_col), usize::from(size.ws_row)))
}
