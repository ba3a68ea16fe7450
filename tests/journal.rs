//! The journal shared by processes, and on a filesystem that is really full.

use crate::support::{Tmpfs, fill};
use cutover::{
    clock::SystemClock,
    journal::{Entry, Journal, JournalHandle, Kind, verify},
    model::time::Time,
};
use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(20);
const CHILD: &str = "CUTOVER_TEST_APPENDS_TO";

fn note(text: &str) -> Entry {
    Entry { note: Some(text.into()), ..Entry::new(Kind::Note, Time::UNIX_EPOCH, "ana".into()) }
}

#[test]
fn processes_append_one_chain_and_a_killed_one_does_not_break_it() {
    if let Some(path) = std::env::var_os(CHILD) {
        let journal = Journal::open(Path::new(&path)).unwrap();
        // Far more than it lives to write, and yet an end if nobody kills it.
        for _ in 0..20_000 {
            journal.append(&note("from a child")).unwrap();
        }
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let journal = Journal::open(&path).unwrap();
    let mut children: Vec<_> = (0..3)
        .map(|_| {
            let test = "journal::processes_append_one_chain_and_a_killed_one_does_not_break_it";
            Command::new("/proc/self/exe").args(["--exact", test, "--quiet"]).env(CHILD, &path).stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    // Children are killed one after the other, wherever they are in an append.
    let started = std::time::Instant::now();
    let mut own = 0;
    while !children.is_empty() {
        journal.append(&note("from the parent")).unwrap();
        own += 1;
        let lines = verify(&path).map_or(0, |seen| seen.lines);
        if lines > own + 100 || started.elapsed() > LIMIT {
            let mut child = children.pop().unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
    journal.append(&note("last")).unwrap();
    let seen = verify(&path).unwrap();
    assert!(seen.lines > own + 100, "{seen:?}, {own} of them by the parent");
}

#[tokio::test]
async fn a_full_filesystem_keeps_the_chain_whole_and_the_line_is_written_later() {
    let Some(disk) = Tmpfs::new("1m") else { return };
    let path = disk.path().join("journal.jsonl");
    let journal = Journal::open(&path).unwrap();
    let handle = JournalHandle::start(journal, Arc::new(SystemClock::start())).unwrap();
    handle.append(note("before")).await.unwrap();
    fill(disk.path());
    // The block that the file has already takes some more lines.
    let mut written = 1;
    let told = loop {
        match handle.append(note(&"x".repeat(300))).await {
            Ok(_) => written += 1,
            Err(e) => break e.to_string(),
        }
    };
    assert!(told.ends_with("no space left on device"), "{told}");
    assert_eq!(verify(&path).unwrap().lines, written, "nothing half-done is left");
    let mut banner = handle.trouble();
    handle.append_detached(note(&"way back ".repeat(40)));
    let up = tokio::time::timeout(LIMIT, banner.wait_for(Option::is_some)).await.unwrap().unwrap().clone().unwrap();
    assert!(up.as_str().ends_with(": no space left on device"), "{up}");
    std::fs::remove_file(disk.path().join("filler")).unwrap();
    tokio::time::timeout(LIMIT, banner.wait_for(Option::is_none)).await.unwrap().unwrap();
    assert_eq!(verify(&path).unwrap().lines, written + 1);
}
