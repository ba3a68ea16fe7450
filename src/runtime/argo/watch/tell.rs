//! What is told of the rollouts, and when.

use super::{FRESH, MOVING, Name, Objects, Unheard, Watch, needs::Needs};
use crate::{
    model::{
        delta::Delta,
        ident::Rev,
        rollout::{Finding, Phase, Rollout, Seen},
        text::Text,
        time::Time,
    },
    runtime::argo::kind::{Coverage, Kind},
};
use tokio::time::Instant;

/// What is known of a rollout beside its objects.
pub(super) struct Known {
    pub needs: Needs,
    /// As it was told last.
    pub told: Option<Rollout>,
    /// The number of the last event that was told.
    pub event: u64,
    pub changed: Instant,
    /// Whether it was looked at since it settled.
    pub settled: bool,
}

impl Known {
    /// Whether what is shown of it depends on the time.
    pub fn is_moving(&self) -> bool {
        self.told.as_ref().is_some_and(|told| matches!(told.phase, Phase::Progressing | Phase::Held | Phase::Reverting))
    }
}

impl<O: Objects> Watch<O> {
    /// Tells what has changed.
    pub(super) async fn flush(&mut self) -> Result<(), Unheard> {
        self.flush_at = None;
        for name in std::mem::take(&mut self.dirty) {
            self.tell_one(&name).await?;
        }
        Ok(())
    }

    async fn tell_one(&mut self, name: &Name) -> Result<(), Unheard> {
        let now = self.session.now();
        let open = self.looking.as_ref().is_some_and(|(open, _)| open == name);
        let nothing = Coverage::default();
        let coverage = if open { &self.coverage } else { &nothing };
        let fresh = self.objects.project(name, now, coverage);
        let Some(known) = self.rollouts.get_mut(name) else { return Ok(()) };
        let Some(mut fresh) = fresh else {
            let told = self.rollouts.remove(name).and_then(|known| known.told);
            return match told {
                Some(told) => self.tell(Delta::Delete { key: told.key }).await,
                None => Ok(()),
            };
        };
        fresh.key.target = self.session.settings().target.clone();
        for (what, since) in &self.notes {
            fresh.findings.push(access(what.clone(), *since));
        }
        if open {
            for (kind, why) in self.coverage.gaps() {
                let since = self.gaps.get(&kind).copied().unwrap_or(now);
                fresh.findings.push(unseen(kind, why, since));
            }
        }
        // What was told stays true while only its time has moved.
        fresh.seen = known.told.as_ref().map_or(fresh.seen, |told| told.seen);
        let mut out = Vec::new();
        if known.told.as_ref() != Some(&fresh) {
            self.rev += 1;
            fresh.seen = Seen { epoch: self.epoch, rev: Rev(self.rev), server_time: now, fresh_for: FRESH };
            if let Some(before) = known.told.replace(fresh.clone()).filter(|before| before.key != fresh.key) {
                out.push(Delta::Delete { key: before.key });
            }
            out.push(Delta::Apply { rollout: Box::new(fresh.clone()) });
        }
        let events = self.objects.events(name, known.event);
        if let Some(last) = events.last() {
            known.event = last.seq;
            out.push(Delta::Events { key: fresh.key, events });
        }
        for delta in out {
            self.tell(delta).await?;
        }
        Ok(())
    }

    /// The rollouts were heard of: at most once a second.
    pub(super) async fn beat(&mut self) -> Result<(), Unheard> {
        let now = Instant::now();
        if self.beat_at.is_some_and(|at| now < at + MOVING) {
            return Ok(());
        }
        self.beat_at = Some(now);
        self.tell(Delta::Heartbeat { server_time: self.session.now(), rev: Rev(self.rev) }).await
    }

    pub(super) async fn tell(&self, delta: Delta) -> Result<(), Unheard> {
        self.out.send(delta).await.map_err(|_| Unheard)
    }
}

/// Which kind is not seen, and why: `pods are not seen: User "ana" cannot list resource "pods"…`, without the words
/// that a server says before it.
pub(super) fn unseen(kind: Kind, why: &Text, since: Time) -> Finding {
    let forbidden = why.as_str().split_once(" is forbidden: ").filter(|(what, _)| !what.contains(' '));
    let why = forbidden.map_or(why.as_str(), |(_, who)| who);
    access(format!("{kind} are not seen: {why}").into(), since)
}

/// What is not seen.
pub(super) fn access(what: Text, since: Time) -> Finding {
    Finding { kind: "access".into(), what, since }
}
