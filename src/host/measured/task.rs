//! The task that asks for one service. It may be dropped at any moment, and nothing is lost by that: what
//! was not taken in is asked again.

use super::{Alerts, Backend, Following, Mail, lock};
use crate::{
    clock::Clock,
    metrics::{
        Metrics,
        feed::{Feed, Pace},
    },
    model::{
        gate::Arm,
        text::Text,
        time::{Time, until},
    },
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::watch;

/// While so many intervals wait to be taken, nothing more is asked.
const WAITING: usize = 4_096;

/// After something cannot be followed at all, it is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// Between two pieces of what was measured before: others want to ask too.
const BREATH: Duration = Duration::from_millis(20);

/// Asks until nobody wants to know any more.
pub async fn run(backend: Arc<Backend>, mut wanted: watch::Receiver<Following>, mail: Arc<Mutex<Mail>>, clock: Arc<dyn Clock>) {
    let mut feed: Option<Feed> = None;
    let mut number = 0;
    let mut troubles = Troubles::default();
    loop {
        let following = wanted.borrow_and_update().clone();
        if following.number != number {
            number = following.number;
            feed = begin(&backend, &following, &mail, clock.now());
            troubles = Troubles::default();
        }
        let mut wait = AGAIN;
        if let Some(feed) = &mut feed {
            feed.follow(following.course.clone());
            feed.got_ready(following.ready_at.iter().copied());
            if lock(&mail).intervals.len() < WAITING {
                let mut changed = wanted.clone();
                tokio::select! {
                    // Of another subject nothing of this one is wanted.
                    other = changed.wait_for(|w| w.number != number) => if other.is_err() { return },
                    (asked, alerts) = round(&backend, feed, &following, &*clock) => {
                        troubles.take(asked, backend.pace, clock.uptime());
                        deliver(&mail, feed, &following, Found { trouble: troubles.first(), alerts }, clock.now());
                    }
                }
            }
            wait = feed.next().map_or(BREATH, |next| until(clock.now(), next)).clamp(BREATH, backend.pace.every);
        }
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Another subject; `None` when it cannot be followed, which is told.
fn begin(backend: &Backend, following: &Following, mail: &Mutex<Mail>, now: Time) -> Option<Feed> {
    let (feed, trouble) = if following.subject.stable.is_empty() {
        (None, None)
    } else {
        match Feed::new(backend.queries.clone(), &following.gates, backend.pace, &following.subject, now) {
            Ok(feed) => (Some(feed), None),
            Err(why) => (None, Some(why.into())),
        }
    };
    let mut mail = lock(mail);
    *mail = Mail { number: following.number, trouble, ..Mail::default() };
    feed
}

/// What one round found besides answers.
struct Found {
    trouble: Option<Text>,
    alerts: Option<Alerts>,
}

/// A question: of which version, of what, in which form.
type Asked = (usize, &'static str, usize);

/// What ails the questions that were asked. Not every one is due at every round: what ails one lasts until it is
/// answered, or is not asked any more.
#[derive(Default)]
struct Troubles(BTreeMap<Asked, (Duration, Text)>);

impl Troubles {
    fn take(&mut self, asked: Vec<(Asked, Option<Text>)>, pace: Pace, uptime: Duration) {
        for (question, trouble) in asked {
            match trouble {
                Some(trouble) => drop(self.0.insert(question, (uptime, trouble))),
                None => drop(self.0.remove(&question)),
            }
        }
        self.0.retain(|_, (at, _)| uptime.saturating_sub(*at) <= 2 * pace.stale_after());
    }

    fn first(&self) -> Option<Text> {
        self.0.values().next().map(|(_, trouble)| trouble.clone())
    }
}

/// The place of alerts among the questions: what ails a query is told first.
const ALERTS: Asked = (usize::MAX, "alerts", 0);

/// Asks everything that is due: what ails each question, and the alerts.
async fn round(
    backend: &Backend,
    feed: &mut Feed,
    following: &Following,
    clock: &dyn Clock,
) -> (Vec<(Asked, Option<Text>)>, Option<Alerts>) {
    let now = clock.now();
    let questions = feed.due(now);
    let answers = futures::future::join_all(questions.iter().map(|question| backend.client.instant(&question.text, question.at)));
    let alerts = async {
        let since = following.run_since?;
        Some((since, backend.board.firing(&backend.client, clock.uptime(), backend.pace.every / 2).await))
    };
    let (answers, alerts) = futures::join!(answers, alerts);
    let mut asked = Vec::new();
    for (question, answer) in questions.iter().zip(answers) {
        asked.push((question.key(), backend.origin.remark(question.name(), backend.client.place(), &answer)));
        feed.take(question, answer);
    }
    let firing = match alerts {
        Some((since, Ok(firing))) => {
            asked.push((ALERTS, None));
            let query = backend.board.query(following.whom(), since, now);
            Some(Alerts { at: now, query, firing: backend.board.about(following.whom(), since, &firing) })
        }
        Some((_, Err(why))) => {
            asked.push((ALERTS, Some(format!("alerts: {why}").into())));
            None
        }
        None => None,
    };
    (asked, firing)
}

fn deliver(mail: &Mutex<Mail>, feed: &mut Feed, following: &Following, found: Found, now: Time) {
    let looks = following.gates.iter().map(|gate| (gate.name.clone(), feed.look(gate, now))).collect();
    let signals = [Arm::Candidate, Arm::Stable].map(|arm| feed.signals(arm, now));
    // The proxy's own points are exact; these are not kept.
    for arm in [Arm::Candidate, Arm::Stable] {
        drop(feed.points(arm));
    }
    let came = feed.intervals();
    let mut mail = lock(mail);
    if mail.trouble != found.trouble
        && let Some(trouble) = &found.trouble
    {
        tracing::warn!("metrics of {}: {trouble}", following.service);
    }
    mail.at = Some(now);
    mail.intervals.extend(came);
    mail.looks = looks;
    mail.signals = signals;
    mail.slow_from = feed.slow_from();
    mail.trouble = found.trouble;
    mail.unfound = following.run_since.and_then(|_| feed.unfound(&following.gates, now));
    // Old ones grow old.
    if found.alerts.is_some() || following.run_since.is_none() {
        mail.alerts = found.alerts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ails_a_query_lasts_until_it_is_answered_or_not_asked_any_more() {
        let pace = Pace { every: Duration::from_secs(5), delay: Duration::ZERO };
        let at = Duration::from_secs;
        let (bad, other): (Asked, Asked) = ((0, "requests", 0), (1, "requests", 0));
        let mut troubles = Troubles::default();
        troubles.take(vec![(bad, Some("parse error".into())), (other, None)], pace, at(0));
        troubles.take(vec![(other, None), (ALERTS, Some("alerts: 401".into()))], pace, at(2));
        assert_eq!(troubles.first().unwrap().as_str(), "parse error", "another answer says nothing of it");
        troubles.take(vec![(bad, None)], pace, at(5));
        assert_eq!(troubles.first().unwrap().as_str(), "alerts: 401");
        troubles.take(vec![], pace, at(32));
        assert_eq!(troubles.first().unwrap().as_str(), "alerts: 401");
        troubles.take(vec![], pace, at(33));
        assert_eq!(troubles.first(), None);
    }
}
