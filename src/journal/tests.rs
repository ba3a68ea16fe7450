use super::{Entry, Journal, JournalError, JournalHandle, Kind, Line, MAX_LINE, open_intents, verify};
use crate::{
    clock::SystemClock,
    model::{
        action::{Action, Belief, Observation, Outcome, Plan},
        ident::{ActionId, Key, Rev, RunId, TargetId},
        text::{Raw, Text},
        time::Time,
    },
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(20);

fn at(seconds: i64) -> Time {
    Time::from_timestamp(1_786_000_000 + seconds, 0).unwrap()
}

fn note(text: &str) -> Entry {
    Entry { note: Some(text.into()), ..Entry::new(Kind::Note, at(0), "ana".into()) }
}

fn intent(id: &str) -> Entry {
    let key = Key { target: TargetId::new("demo"), scope: vec![], service: Raw::new("checkout"), uid: None };
    let belief = Belief { key, run: Some(RunId::new("7f3a")), rev: Rev(4), at: Some(1), stable: None, candidate: None };
    let plan = Plan {
        action: Action::Pause,
        id: ActionId::new(id),
        belief,
        title: "PAUSE".into(),
        calls: vec![],
        weights: vec![],
        notes: vec![],
        warns: vec![],
        takes: None,
        needs_reason: false,
    };
    Entry::intent(&plan, at(1), "ana".into(), Some("errors rise".into()), vec!["errors: FAIL 4.1 % > 1 %".into()])
}

/// A journal of three lines in a directory that goes with the first value.
fn three() -> (tempfile::TempDir, PathBuf, Journal) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cutover/journal.jsonl");
    let journal = Journal::open(&path).unwrap();
    for text in ["one", "two", "three"] {
        journal.append(&note(text)).unwrap();
    }
    (dir, path, journal)
}

fn notes(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|l| serde_json::from_str::<Line>(l).unwrap().entry.note.unwrap_or_default().to_string()).collect()
}

#[test]
fn a_chain_is_whole_private_and_goes_on() {
    let (_dir, path, journal) = three();
    let receipt = journal.append(&intent("a1")).unwrap();
    let seen = verify(&path).unwrap();
    assert_eq!((seen.lines, seen.head), (4, Some(receipt.hash)));
    assert_eq!(receipt.seq, 4);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    let last = fs::read_to_string(&path).unwrap().lines().last().unwrap().to_owned();
    assert!(last.starts_with("{\"seq\":4,\"prev\":\"sha256:"), "{last}");
    let line: Line = serde_json::from_str(&last).unwrap();
    assert_eq!(line.entry, intent("a1"));
}

#[test]
fn any_flipped_byte_is_found() {
    let (_dir, path, _) = three();
    let whole = fs::read(&path).unwrap();
    let head = verify(&path).unwrap().head;
    for i in 0..whole.len() {
        for bit in [0x01, 0x20, 0x80] {
            let mut bytes = whole.clone();
            bytes[i] ^= bit;
            fs::write(&path, &bytes).unwrap();
            // Of the last line only the hash kept elsewhere speaks.
            assert!(verify(&path).map_or(true, |seen| seen.head != head), "byte {i} bit {bit}");
            let line = whole[..i].iter().filter(|b| **b == b'\n').count() as u64 + 1;
            if line < 3 {
                let broken = verify(&path).unwrap_err();
                assert!(broken.line == line || broken.line == line + 1, "byte {i} of line {line}: {broken}");
            }
        }
    }
}

#[test]
fn lines_taken_out_or_swapped_are_found() {
    let (_dir, path, _) = three();
    let whole = fs::read_to_string(&path).unwrap();
    let l: Vec<&str> = whole.lines().collect();
    for (order, said) in [
        (vec![l[0], l[2]], "journal line 2: says it is line 3: lines are missing or were added"),
        (vec![l[1], l[2]], "journal line 1: says it is line 2: lines are missing or were added"),
        (vec![l[0], l[1], l[1]], "journal line 3: says it is line 2: lines are missing or were added"),
    ] {
        fs::write(&path, order.join("\n") + "\n").unwrap();
        assert_eq!(verify(&path).unwrap_err().to_string(), said);
    }
    let changed = whole.replacen("\"two\"", "\"TWO\"", 1);
    fs::write(&path, changed).unwrap();
    assert_eq!(
        verify(&path).unwrap_err().to_string(),
        "journal line 3: does not carry the hash of the line before: one of the two was changed"
    );
}

#[test]
fn a_torn_line_is_kept_aside_whatever_the_crash_left() {
    let (_dir, path, _) = three();
    let whole = fs::read(&path).unwrap();
    let start = whole.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(1).unwrap().0 + 1;
    let mut left: Vec<Vec<u8>> = (start + 1..whole.len()).map(|cut| whole[start..cut].to_vec()).collect();
    left.push(vec![0; 300]);
    left.push([vec![0; 40], whole[start + 40..].to_vec()].concat());
    for torn in left {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        fs::write(&path, [&whole[..start], &torn].concat()).unwrap();
        assert_eq!(verify(&path).unwrap_err().line, 3);
        assert_eq!(Journal::open(&path).unwrap().append(&note("next")).unwrap().seq, 4);
        assert_eq!(verify(&path).unwrap().lines, 4);
        let said = notes(&path);
        assert_eq!((said[0].as_str(), said[1].as_str(), said[3].as_str()), ("one", "two", "next"));
        let (what, name) = said[2].rsplit_once(' ').unwrap();
        assert_eq!(what, format!("a line of {} bytes was torn by a crash; it is kept in journal file", torn.len()));
        let mut aside = path.clone().into_os_string();
        aside.push(format!(".{name}"));
        assert_eq!(fs::read(&aside).unwrap(), torn);
        assert_eq!(fs::metadata(&aside).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_first_line_that_was_torn_is_kept_aside_too() {
    for torn in ["{\"seq\":1,\"pr", "{\"seq\":1,\"pr\n"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        fs::write(&path, torn).unwrap();
        Journal::open(&path).unwrap().append(&note("next")).unwrap();
        assert_eq!(verify(&path).unwrap().lines, 2);
    }
}

#[test]
fn damage_that_no_crash_leaves_is_not_written_over() {
    let (_dir, path, journal) = three();
    let mut damaged = fs::read(&path).unwrap();
    damaged.extend(b"garbage\nmore garbage\n");
    fs::write(&path, &damaged).unwrap();
    let error = journal.append(&note("next")).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), damaged);
}

#[test]
fn long_lines_are_found_again_and_longer_ones_refused() {
    let (_dir, path, journal) = three();
    journal.append(&note(&"x".repeat(MAX_LINE - 400))).unwrap();
    let error = journal.append(&note(&"x".repeat(MAX_LINE))).unwrap_err();
    assert!(matches!(error, JournalError::TooLong(_)), "{error}");
    assert_eq!(journal.append(&note("after")).unwrap().seq, 5);
    assert_eq!(verify(&path).unwrap().lines, 5);
}

#[test]
fn a_line_of_a_newer_cutover_is_read() {
    let text = r#"{"seq":1,"prev":null,"at":"2026-08-06T07:12:09Z","kind":"prophecy","actor":"ana","moon":"full"}"#;
    assert_eq!(serde_json::from_str::<Line>(text).unwrap().entry.kind, Kind::Other);
}

#[test]
fn intents_stay_open_until_what_became_of_them_is_known() {
    let (_dir, path, journal) = three();
    let accepted = Outcome::Accepted { changed: true, at: at(2) };
    let unknown = Outcome::Unknown { sent: at(2), why: "connection reset".into() };
    let lost = |id: &str| intent(id).answered(at(3), unknown.clone());
    for entry in [
        intent("answered"),
        intent("lost"),
        intent("lost and seen"),
        intent("lost and pending"),
        intent("never sent"),
        intent("answered").answered(at(2), accepted.clone()),
        lost("lost"),
        lost("lost and seen"),
        lost("lost and pending"),
        intent("lost and seen").observed(at(4), Observation::Confirmed),
        intent("lost and pending").observed(at(4), Observation::Pending { missing: "weight".into() }),
    ] {
        journal.append(&entry).unwrap();
    }
    let open: Vec<_> = open_intents(&path).unwrap().into_iter().map(|e| e.id.unwrap().as_str().to_owned()).collect();
    assert_eq!(open, ["lost", "lost and pending", "never sent"]);
    assert_eq!(open_intents(Path::new("/nowhere/journal.jsonl")).unwrap(), []);
}

#[test]
fn threads_append_one_chain() {
    let (_dir, path, _) = three();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let path = &path;
            scope.spawn(move || {
                let journal = Journal::open(path).unwrap();
                for n in 0..25 {
                    journal.append(&note(&format!("{thread} {n}"))).unwrap();
                }
            });
        }
    });
    assert_eq!(verify(&path).unwrap().lines, 3 + 8 * 25);
}

#[tokio::test]
async fn detached_lines_are_written_when_that_is_possible_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let journal = Journal::open(&path).unwrap();
    let handle = JournalHandle::start(journal, Arc::new(SystemClock::start())).unwrap();
    assert_eq!(handle.append(note("1")).await.unwrap().seq, 1);
    let mut banner = handle.trouble();
    assert_eq!(*banner.borrow(), None);

    // A directory in its place: nothing can be appended.
    let away = dir.path().join("away");
    fs::rename(&path, &away).unwrap();
    fs::create_dir(&path).unwrap();
    handle.append_detached(note("2"));
    handle.append_detached(note("3"));
    handle.append_detached(note(&"x".repeat(MAX_LINE)));
    let up = tokio::time::timeout(LIMIT, banner.wait_for(Option::is_some)).await.unwrap().unwrap().clone().unwrap();
    assert!(up.as_str().starts_with("journal not on disk") && up.as_str().ends_with(": is a directory"), "{up}");
    let told = handle.append(note("told")).await.unwrap_err().to_string();
    assert!(told.ends_with("is a directory"), "{told}");

    // Swapped in one go, or the thread would begin a new journal in between.
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, &away, CWD, &path, RenameFlags::EXCHANGE).unwrap();
    tokio::time::timeout(LIMIT, banner.wait_for(Option::is_none)).await.unwrap().unwrap();
    handle.flush().await.unwrap();
    assert_eq!(notes(&path), ["1", "2", "3"]);
    assert_eq!(verify(&path).unwrap().lines, 3);
    assert_eq!(*handle.lost().borrow(), 1, "the line that is too long");
}

#[tokio::test]
async fn more_lines_than_fit_are_counted_and_nobody_waits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let journal = Journal::open(&path).unwrap();
    let lock = fs::File::open(&path).unwrap();
    lock.lock().unwrap();
    let handle = JournalHandle::start(journal, Arc::new(SystemClock::start())).unwrap();
    // Another process holds the lock and hangs.
    for n in 0..400 {
        handle.append_detached(note(&n.to_string()));
    }
    assert!((400 - 2 * 256..=400 - 256).contains(&i64::try_from(*handle.lost().borrow()).unwrap()), "{}", *handle.lost().borrow());
    let up: Option<Text> = tokio::time::timeout(LIMIT, handle.trouble().wait_for(Option::is_some)).await.unwrap().unwrap().clone();
    assert!(up.unwrap().as_str().ends_with("the disk does not answer"));
    lock.unlock().unwrap();
    tokio::time::timeout(LIMIT, handle.trouble().wait_for(Option::is_none)).await.unwrap().unwrap();
    // What waited may still fill it.
    let flushed = async {
        while handle.flush().await.is_err() {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(LIMIT, flushed).await.unwrap();
    assert!(verify(&path).unwrap().lines >= 256);
}
