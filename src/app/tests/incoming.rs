//! What comes from outside becomes what is known.

use super::*;
use crate::model::{
    event::{Event, Level, LogLine, LogStream},
    history::{History, Point},
    ident::{InstanceId, Role, VersionId},
    text::Raw,
};

fn event(seq: u64) -> Event {
    Event { seq, at: t0(), run: None, level: Level::Info, by: "plan".into(), what: format!("{seq}").into() }
}

fn seqs(console: &Console) -> Vec<u64> {
    console.state.shared.watched().unwrap().events.iter().map(|e| e.seq).collect()
}

fn named(service: &str) -> Rollout {
    Rollout { key: fixture::key(service), ..rollout() }
}

fn list(console: &mut Console, epoch: u64, services: &[&str]) {
    console.delta(Delta::Init { version: 1, epoch, server_time: t0() });
    for s in services {
        let mut rollout = named(s);
        rollout.seen.epoch = epoch;
        console.delta(Delta::Apply { rollout: Box::new(rollout) });
    }
}

fn services(console: &Console) -> Vec<String> {
    console.state.shared.rollouts.keys().map(|k| k.service.as_str().to_owned()).collect()
}

#[test]
fn a_list_is_swapped_in_at_its_end() {
    let mut console = Console::new();
    list(&mut console, 1, &["cart", "checkout"]);
    assert_eq!(services(&console), ["checkout"], "not before it is complete");
    console.delta(Delta::InitDone { rev: Rev(2) });
    assert_eq!(services(&console), ["cart", "checkout"]);
    list(&mut console, 1, &["checkout"]);
    assert_eq!(services(&console), ["cart", "checkout"], "what is not named stays until the end");
    console.delta(Delta::InitDone { rev: Rev(3) });
    assert_eq!(services(&console), ["checkout"]);
    assert_eq!(console.state.gone(), None);
}

#[test]
fn the_open_rollout_stays_marked_when_it_is_gone() {
    let mut console = Console::new();
    list(&mut console, 1, &["cart"]);
    console.delta(Delta::InitDone { rev: Rev(2) });
    assert!(console.state.gone().is_some());
    assert_eq!(console.state.shared.open, Some(fixture::key("checkout")));
    assert!(console.notice().starts_with("checkout is gone from demo"));
    console.keys("s");
    assert!(matches!(console.state.overlay, Overlay::Refused { .. }));
    console.keys("+200ms R +200ms R");
    assert!(console.preview().unwrap().plan.warns.iter().any(|w| w.as_str() == "checkout is gone from demo"));
    console.delta(Delta::Apply { rollout: Box::new(rollout()) });
    assert_eq!(console.state.gone(), None);
}

#[test]
fn nothing_older_replaces_something_newer() {
    let mut console = Console::new();
    console.change(|r| r.reason = Some("new".into()));
    console.delta(Delta::Apply { rollout: Box::new(rollout()) });
    let reason = |c: &Console| c.state.shared.watched().unwrap().rollout.reason.clone();
    assert_eq!(reason(&console).unwrap().as_str(), "new");
    // Another epoch does not compare: only a full list brings it in.
    let mut other = rollout();
    (other.seen.epoch, other.seen.rev) = (2, Rev(900));
    console.delta(Delta::Apply { rollout: Box::new(other) });
    assert_eq!(reason(&console).unwrap().as_str(), "new");
    list(&mut console, 2, &["checkout"]);
    console.delta(Delta::InitDone { rev: Rev(1) });
    assert_eq!(reason(&console), None);
    // Another target's rollout cannot land here.
    let mut foreign = rollout();
    foreign.key.target = crate::model::ident::TargetId::new("other");
    console.delta(Delta::Apply { rollout: Box::new(foreign) });
    assert_eq!(services(&console), ["checkout"]);
}

#[test]
fn events_come_once_and_in_order_and_500_are_kept() {
    let mut console = Console::new();
    let key = fixture::key("checkout");
    console.delta(Delta::Events { key: key.clone(), events: vec![event(1), event(2), event(4)] });
    console.delta(Delta::Events { key: key.clone(), events: vec![event(2), event(3), event(5)] });
    assert_eq!(seqs(&console), [1, 2, 3, 4, 5]);
    list(&mut console, 1, &["checkout"]);
    console.delta(Delta::Events { key: key.clone(), events: vec![event(4), event(5), event(6)] });
    console.delta(Delta::InitDone { rev: Rev(2) });
    assert_eq!(seqs(&console), [1, 2, 3, 4, 5, 6], "after a reconnect");
    console.delta(Delta::Events { key: key.clone(), events: (1..=700).map(event).collect() });
    assert_eq!((seqs(&console).len(), seqs(&console)[0]), (500, 201));
    list(&mut console, 2, &["checkout"]);
    console.delta(Delta::Events { key, events: vec![event(1)] });
    console.delta(Delta::InitDone { rev: Rev(1) });
    assert_eq!(seqs(&console), [1], "another epoch counts anew");
}

#[test]
fn points_come_once_and_silence_is_counted_from_the_last_word() {
    let mut console = Console::new();
    let (key, version) = (fixture::key("checkout"), VersionId::new("v42"));
    let point = |s: u64| Point { at: after(t0(), Duration::from_secs(s)), secs: 1, requests: 1, errors: 0, slow: 0, p50: None, p99: None };
    for s in [1, 2, 2, 1, 3] {
        console.delta(Delta::Point { key: key.clone(), version: version.clone(), point: point(s) });
    }
    let seconds = |c: &Console| c.state.shared.watched().unwrap().history[&version].seconds.len();
    assert_eq!(seconds(&console), 3);
    let mut history = History::default();
    history.push(point(9));
    console.delta(Delta::History { key, version: version.clone(), history });
    assert_eq!(seconds(&console), 1);
    console.keys("+5s");
    let silent = |c: &Console| c.now() - c.state.shared.watched().unwrap().heard;
    assert!(silent(&console) >= chrono::Duration::seconds(5));
    console.delta(Delta::Heartbeat { server_time: t0(), rev: Rev(1) });
    assert!(silent(&console) < chrono::Duration::seconds(1));
}

#[test]
fn log_lines_come_once_and_what_was_dropped_is_counted() {
    let line = |seq: u64, s: u64| LogLine {
        seq,
        at: after(t0(), Duration::from_secs(s)),
        service: "checkout".into(),
        role: Role::Candidate,
        version: "v42".into(),
        instance: InstanceId(Raw::new("v42-0")),
        stream: LogStream::Out,
        line: "hello".into(),
        lost: 0,
        nth: 0,
    };
    let mut console = Console::new();
    console.msg(Msg::Logs(vec![line(1, 1), line(2, 1), line(3, 2)], 4));
    console.msg(Msg::Logs(vec![line(2, 1), line(3, 2), line(4, 3)], 1));
    assert_eq!((console.state.shared.logs.len(), console.state.shared.logs_dropped), (4, 5));
    console.msg(Msg::Logs(vec![line(1, 9)], 0));
    assert_eq!(console.state.shared.logs.len(), 5, "a host that was restarted counts anew");
    console.msg(Msg::Logs((10..20_000).map(|n| line(n, n)).collect(), 0));
    assert_eq!(console.state.shared.logs.len(), crate::app::state::LOG_LINES);
}

#[test]
fn nothing_wakes_a_console_that_shows_nothing() {
    let mut console = Console::blank();
    assert_eq!(next_wake(&console.state), None);
    console.msg(Msg::Link(target(), Link::Live { since: t0() }));
    assert_eq!(next_wake(&console.state), None);
    assert_eq!(TARGET, target().as_str());
    let console = Console::new();
    let in_a_second = console.uptime..=console.uptime + Duration::from_secs(1);
    assert!(next_wake(&console.state).is_some_and(|at| in_a_second.contains(&at)));
}
