use super::{Answer, Mailbox, Place, Port, Tasks};
use crate::{
    clock::SystemClock,
    model::{
        action::{Action, Observation, Outcome, Plan, Refusal},
        delta::Delta,
        event::{LogLine, LogStream},
        ident::{ActionId, InstanceId, Key, Role, TargetId},
        rollout::Rollout,
        text::Raw,
        time::Time,
        wire::ActionRecord,
    },
    run::mailbox::Letter,
    runtime::{Ask, Fault, Runtime, host::plan},
};
use chrono::DateTime;
use futures::{Stream, stream};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

fn at() -> Time {
    DateTime::from_timestamp(0, 0).unwrap()
}

fn accepted() -> Outcome {
    Outcome::Accepted { changed: true, at: at() }
}

type Resolved = Result<Option<ActionRecord>, Fault>;

/// Answers what it is told to, in order.
#[derive(Default)]
struct Scripted {
    applied: Mutex<Vec<(Duration, Outcome)>>,
    resolved: Mutex<Vec<Resolved>>,
    logs_after: Arc<Mutex<Vec<Option<u64>>>>,
    /// Lines that are gone by the time of each further connection.
    logs_missing: u64,
}

impl Runtime for Scripted {
    fn watch(&self) -> impl Stream<Item = Result<Delta, Fault>> + Send + 'static {
        stream::pending()
    }

    fn plan(&self, rollout: &Rollout, ask: &Ask) -> Result<Plan, Refusal> {
        plan::plan(rollout, ask)
    }

    async fn apply(&self, _: &Plan) -> Outcome {
        let (after, outcome) = self.applied.lock().unwrap().remove(0);
        sleep(after).await;
        outcome
    }

    async fn resolve(&self, _: &ActionId) -> Resolved {
        self.resolved.lock().unwrap().remove(0)
    }

    fn confirm(&self, _: &Plan, _: &Rollout) -> Observation {
        Observation::Confirmed
    }

    fn logs(&self, key: &Key, after: Option<u64>) -> impl Stream<Item = Result<LogLine, Fault>> + Send + 'static {
        self.logs_after.lock().unwrap().push(after);
        // Of what came between the connections the oldest is no longer there.
        let first = after.map_or(0, |n| n + 1 + self.logs_missing);
        let service = key.service.text();
        stream::iter((first..first + 2).map(move |seq| {
            Ok(LogLine {
                seq,
                at: at(),
                service: service.clone(),
                role: Role::Stable,
                version: "v".into(),
                instance: InstanceId::new("i"),
                stream: LogStream::Out,
                line: "x".into(),
                lost: 0,
                nth: seq + 1,
            })
        }))
    }
}

fn target() -> TargetId {
    TargetId::new("t")
}

fn tasks(scripted: Scripted) -> (Tasks, Arc<Mailbox>) {
    let mailbox = Arc::new(Mailbox::default());
    let port: Arc<dyn Port> = Arc::new(scripted);
    let places = vec![Place { target: target(), name: "t".into(), port }];
    (Tasks::new(places, Arc::new(SystemClock::start()), Arc::clone(&mailbox)), mailbox)
}

fn a_plan() -> Plan {
    plan::plan(&plan::tests::rollout(), &plan::tests::ask(Action::Pause)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_asked_for_once_and_said_only_if_it_is_known() {
    let record = ActionRecord { id: ActionId::new("a1"), by: "ana".into(), run: None, outcome: accepted(), at: at() };
    let script = vec![Err(Fault::Closed { place: "t".into() }), Ok(None), Ok(Some(record))];
    let (mut tasks, _) = tasks(Scripted { resolved: Mutex::new(script), ..Scripted::default() });
    let id = ActionId::new("a1");
    tasks.resolve(&target(), id.clone());
    assert!(timeout(Duration::from_secs(60), tasks.answer()).await.is_err(), "a target that cannot be asked says nothing");
    tasks.resolve(&target(), id.clone());
    assert_eq!(tasks.answer().await, Answer::Resolved(id.clone(), None));
    tasks.resolve(&target(), id.clone());
    assert_eq!(tasks.answer().await, Answer::Resolved(id, Some(accepted())));
}

#[tokio::test(start_paused = true)]
async fn actions_are_answered_each_in_its_time() {
    let seconds = Duration::from_secs;
    let (mut tasks, _) =
        tasks(Scripted { applied: Mutex::new(vec![(seconds(2), accepted()), (seconds(1), accepted())]), ..Scripted::default() });
    let second = Plan { id: ActionId::new("a2"), ..a_plan() };
    tasks.send(&target(), a_plan());
    tasks.send(&target(), second);
    assert_eq!(tasks.answer().await, Answer::Outcome(ActionId::new("a2"), accepted()));
    assert_eq!(tasks.answer().await, Answer::Outcome(ActionId::new("a1"), accepted()));
    tasks.send(&TargetId::new("elsewhere"), a_plan());
    assert!(matches!(tasks.answer().await, Answer::Outcome(_, Outcome::Refused { .. })));
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_what_was_sent_but_not_for_ever() {
    for (takes, waits) in [(2, 2), (60, 3)] {
        let script = vec![(Duration::from_secs(takes), accepted())];
        let (mut tasks, _) = tasks(Scripted { applied: Mutex::new(script), ..Scripted::default() });
        tasks.send(&target(), a_plan());
        let began = Instant::now();
        tasks.finish().await;
        assert_eq!(began.elapsed().as_secs(), waits);
    }
}

#[tokio::test(start_paused = true)]
async fn logs_go_on_where_they_ended_until_others_are_wanted() {
    let scripted = Scripted::default();
    let after = Arc::clone(&scripted.logs_after);
    let (mut tasks, mailbox) = tasks(scripted);
    let key = Key { target: target(), scope: vec![], service: Raw::new("a"), uid: None };
    tasks.logs(Some((target(), key)));
    let mut seqs = Vec::new();
    while seqs.len() < 5 {
        timeout(Duration::from_secs(10), mailbox.arrived()).await.unwrap();
        while let Some(Letter::Logs(lines, 0)) = mailbox.take(0) {
            seqs.extend(lines.iter().map(|l| l.seq));
        }
    }
    assert_eq!(seqs[..5], [0, 1, 2, 3, 4]);
    tasks.logs(None);
    let asked = after.lock().unwrap().len();
    assert_eq!(after.lock().unwrap()[..3], [None, Some(1), Some(3)]);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(after.lock().unwrap().len(), asked, "nobody asks any more");
}

#[tokio::test(start_paused = true)]
async fn lines_that_are_gone_by_the_next_connection_are_counted_where_they_are_missing() {
    let (mut tasks, mailbox) = tasks(Scripted { logs_missing: 3, ..Scripted::default() });
    let key = Key { target: target(), scope: vec![], service: Raw::new("a"), uid: None };
    tasks.logs(Some((target(), key)));
    let (mut seen, mut dropped) = (Vec::new(), 0);
    while seen.len() < 6 {
        timeout(Duration::from_secs(10), mailbox.arrived()).await.unwrap();
        while let Some(Letter::Logs(lines, lost)) = mailbox.take(0) {
            seen.extend(lines.iter().map(|l| (l.seq, l.lost)));
            dropped += lost;
        }
    }
    assert_eq!((&seen[..6], dropped), (&[(0, 0), (1, 0), (5, 3), (6, 0), (10, 3), (11, 0)][..], 6));
}
