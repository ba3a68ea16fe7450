//! The task that asks for one service. It may be dropped at any moment, and nothing is lost by that: what
//! was not taken in is asked again.

use super::{Alerts, Backend, Following, Mail, lock};
use crate::{
    clock::Clock,
    metrics::{Metrics, feed::Feed},
    model::{
        gate::Arm,
        text::Text,
        time::{Time, until},
    },
};
use std::{
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
    loop {
        let following = wanted.borrow_and_update().clone();
        if following.number != number {
            number = following.number;
            feed = begin(&backend, &following, &mail, clock.now());
        }
        let mut wait = AGAIN;
        if let Some(feed) = &mut feed {
            feed.follow(following.course.clone());
            if lock(&mail).intervals.len() < WAITING {
                let mut changed = wanted.clone();
                tokio::select! {
                    // Of another subject nothing of this one is wanted.
                    other = changed.wait_for(|w| w.number != number) => if other.is_err() { return },
                    trouble = round(&backend, feed, &following, &*clock) => deliver(&mail, feed, &following, trouble, clock.now()),
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
#[derive(Default)]
struct Found {
    trouble: Option<Text>,
    alerts: Option<Alerts>,
}

/// Asks everything that is due.
async fn round(backend: &Backend, feed: &mut Feed, following: &Following, clock: &dyn Clock) -> Found {
    let now = clock.now();
    let questions = feed.due(now);
    let answers = futures::future::join_all(questions.iter().map(|question| backend.client.instant(&question.text, question.at)));
    let alerts = async {
        let since = following.run_since?;
        Some((since, backend.board.firing(&backend.client, clock.uptime(), backend.pace.every / 2).await))
    };
    let (answers, alerts) = futures::join!(answers, alerts);
    let mut found = Found::default();
    for (question, answer) in questions.iter().zip(answers) {
        found.trouble = found.trouble.or_else(|| backend.origin.remark(question.name(), backend.client.place(), &answer));
        feed.take(question, answer);
    }
    match alerts {
        Some((since, Ok(firing))) => {
            let query = backend.board.query(following.whom(), since, now);
            found.alerts = Some(Alerts { at: now, query, firing: backend.board.about(following.whom(), since, &firing) });
        }
        Some((_, Err(why))) => found.trouble = found.trouble.or_else(|| Some(format!("alerts: {why}").into())),
        None => {}
    }
    found
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
    // Old ones grow old.
    if found.alerts.is_some() || following.run_since.is_none() {
        mail.alerts = found.alerts;
    }
}
