use super::{ENDED_KEPT, LogFilter, LogHub, RING_BYTES, RING_LINES};
use crate::{
    clock::{Clock, ManualClock},
    conductor::life::PoolId,
    model::{
        event::LogStream,
        ident::{InstanceId, Role, VersionId},
        text::Text,
    },
};
use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(chrono::DateTime::from_timestamp(1_000, 0).unwrap()))
}

fn hub(dir: &Path) -> LogHub {
    LogHub::open(dir.to_owned(), clock()).unwrap()
}

fn pool() -> PoolId {
    PoolId { version: VersionId::new("abc"), generation: 1 }
}

fn instance(hub: &LogHub, name: &str) -> super::InstanceLog {
    let log = hub.instance(pool(), "checkout".into(), "v1".into(), InstanceId::new(name));
    log.make_file().unwrap();
    log
}

fn texts(hub: &LogHub, filter: &LogFilter, after: u64) -> Vec<String> {
    hub.tail(filter, after).into_iter().map(|l| l.line.as_str().to_owned()).collect()
}

#[test]
fn lines_are_numbered_across_instances_and_filtered() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub(dir.path());
    let (a, b) = (instance(&hub, "a-1-1"), instance(&hub, "a-1-2"));
    let mut live = hub.subscribe();
    a.push(LogStream::Out, b"one \x1b[31mred");
    hub.set_roles(HashMap::from([(pool(), Role::Stable)]));
    b.push(LogStream::Err, b"two");
    a.end(&"exit code 3".into());

    let all = hub.tail(&LogFilter::default(), 0);
    assert_eq!(all.iter().map(|l| l.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(all.iter().map(|l| l.role).collect::<Vec<_>>(), [Role::Candidate, Role::Stable, Role::Stable]);
    assert_eq!(all[0].line.as_str(), "one red");
    assert_eq!((all[2].stream, &all[2].version), (LogStream::End, &Text::from("v1")));
    assert_eq!(live.try_recv().unwrap(), all[0]);

    let of_a = LogFilter { instance: Some(InstanceId::new("a-1-1")), ..LogFilter::default() };
    assert_eq!(texts(&hub, &of_a, 1), ["exit code 3"]);
    let stable = LogFilter { role: Some(Role::Stable), contains: Some("tw".into()), ..LogFilter::default() };
    assert_eq!(texts(&hub, &stable, 0), ["two"]);
    assert_eq!(texts(&hub, &LogFilter { last: Some(1), ..LogFilter::default() }, 0), ["exit code 3"]);
    assert!(texts(&hub, &LogFilter { service: Some("other".into()), ..LogFilter::default() }, 0).is_empty());
}

#[test]
fn memory_is_bounded_by_lines_bytes_and_ended_instances() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub(dir.path());
    let many = instance(&hub, "a-1-1");
    for n in 0..RING_LINES + 10 {
        many.push(LogStream::Out, n.to_string().as_bytes());
    }
    assert_eq!(texts(&hub, &LogFilter::default(), 0).first().unwrap(), "10");
    drop(many);
    let long = instance(&hub, "a-1-2");
    for _ in 0..RING_BYTES / 8_000 + 10 {
        long.push(LogStream::Out, &[b'x'; 8_000]);
    }
    let of_long = LogFilter { instance: Some(InstanceId::new("a-1-2")), ..LogFilter::default() };
    assert!(texts(&hub, &of_long, 0).len() <= RING_BYTES / 8_000);
    for n in 0..ENDED_KEPT {
        instance(&hub, &format!("a-1-{}", n + 3)).push(LogStream::Out, b"short");
    }
    assert!(texts(&hub, &LogFilter { instance: Some(InstanceId::new("a-1-1")), ..LogFilter::default() }, 0).is_empty());
    assert!(!texts(&hub, &of_long, 0).is_empty(), "it has not ended");
}

#[test]
fn the_next_host_still_knows_the_last_lines_and_no_name_is_given_twice() {
    let dir = tempfile::tempdir().unwrap();
    let manual = clock();
    let hub = LogHub::open(dir.path().to_owned(), Arc::clone(&manual) as Arc<dyn Clock>).unwrap();
    assert_eq!((hub.next_number(&"checkout".into()), hub.next_number(&"checkout".into())), (1, 2));
    let log = instance(&hub, "abc-1-7");
    log.push(LogStream::Out, b"first");
    manual.advance(Duration::from_secs(1));
    log.end(&"exit code 3".into());
    drop(log);
    hub.flush();
    drop(hub);

    let next = LogHub::open(dir.path().to_owned(), manual).unwrap();
    assert_eq!(next.next_number(&"checkout".into()), 8);
    assert_eq!(texts(&next, &LogFilter::default(), 0), ["first", "exit code 3"]);
    instance(&next, "abc-1-8").push(LogStream::Out, b"second life");
    // Whoever comes back with the last number they saw gets what came since and nothing twice, even if lines
    // that they saw are in no file.
    for after in [2, 3, 1_000] {
        assert_eq!(texts(&next, &LogFilter::default(), after), ["second life"]);
    }
    let all = next.tail(&LogFilter::default(), 0);
    assert_eq!(all.iter().map(|l| l.seq).collect::<Vec<_>>(), [1, 2, next.last()]);
}

#[test]
fn lines_of_a_service_are_counted_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub(dir.path());
    let (a, b) = (instance(&hub, "a-1-1"), instance(&hub, "a-1-2"));
    let other = hub.instance(pool(), "cart".into(), "v1".into(), InstanceId::new("c-1-1"));
    a.push(LogStream::Out, b"one");
    other.push(LogStream::Out, b"of another");
    hub.set_roles(HashMap::from([(pool(), Role::Stable)]));
    b.push(LogStream::Err, b"two");
    a.end(&"exit code 3".into());
    let of = |service: &str| LogFilter { service: Some(service.into()), ..LogFilter::default() };
    let nth = |service: &str| hub.tail(&of(service), 0).iter().map(|l| l.nth).collect::<Vec<_>>();
    assert_eq!((nth("checkout"), nth("cart")), (vec![1, 2, 3], vec![1]));
}

#[test]
fn a_full_file_becomes_the_older_of_two() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub(dir.path());
    let log = instance(&hub, "abc-1-1");
    let file = dir.path().join("checkout/abc-1-1.jsonl");
    std::fs::File::options().write(true).open(&file).unwrap().set_len(8 * 1024 * 1024).unwrap();
    log.push(LogStream::Out, b"the last of the old");
    hub.flush();
    log.push(LogStream::Out, b"the first of the new");
    hub.flush();
    let old = std::fs::read_to_string(file.with_extension("jsonl.1")).unwrap();
    let new = std::fs::read_to_string(&file).unwrap();
    assert!(old.contains("the last of the old") && !new.contains("the last of the old"));
    assert!(new.contains("the first of the new") && new.lines().count() == 1);
}
