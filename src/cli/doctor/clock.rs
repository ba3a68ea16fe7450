//! Clocks: do this machine and its targets agree, and was it set back.

use super::{Facts, Line};
use crate::{journal, model::time::Time};
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
    time::Duration,
};

/// Two clocks that differ by more say different things about what came first.
const APART: Duration = Duration::from_secs(2);

pub fn look(facts: &Facts<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    for (target, answer) in &facts.targets {
        let theirs = answer.as_ref().ok().and_then(|all| all.iter().map(|r| r.seen.server_time).max());
        if let Some(theirs) = theirs {
            lines.extend(compare(&target.id.text().to_string(), theirs, facts.now));
        }
    }
    if let Some(last) = last_written(&facts.loaded.paths.journal)
        && last > facts.now
    {
        lines.push(Line::warn(
            format!("the journal's last line is of {}, which is still to come: the clock was set back", last.format("%Y-%m-%d %H:%M:%SZ")),
            "let a time service keep the clock",
        ));
    }
    if lines.is_empty() {
        lines.push(Line::ok(format!("{} UTC, and nobody says otherwise", facts.now.format("%Y-%m-%d %H:%M:%S"))));
    }
    lines
}

/// When the journal's last whole line was written.
fn last_written(journal: &Path) -> Option<Time> {
    let mut file = File::open(journal).ok()?;
    let from = file.metadata().ok()?.len().saturating_sub(2 * journal::MAX_LINE as u64);
    file.seek(SeekFrom::Start(from)).ok()?;
    let mut tail = Vec::new();
    file.take(2 * journal::MAX_LINE as u64).read_to_end(&mut tail).ok()?;
    let whole = tail.get(..tail.iter().rposition(|b| *b == b'\n')?)?;
    let last = whole.rsplit(|b| *b == b'\n').next()?;
    serde_json::from_slice::<journal::Line>(last).ok().map(|line| line.entry.at)
}

fn compare(target: &str, theirs: Time, ours: Time) -> Option<Line> {
    let apart = (theirs - ours).abs().to_std().unwrap_or_default();
    let way = if theirs > ours { "ahead of" } else { "behind" };
    (apart > APART).then(|| {
        Line::warn(
            format!("{target} is {} {way} this clock", crate::model::time::span(apart)),
            "let a time service keep both; ages and pauses are told by the target's",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{compare, last_written};
    use crate::journal::{Entry, Journal, Kind};

    #[test]
    fn clocks_that_differ_are_said() {
        let at = |s: i64| chrono::DateTime::from_timestamp(1_767_225_600 + s, 0).unwrap();
        assert_eq!(compare("host", at(1), at(0)), None);
        assert_eq!(compare("host", at(0), at(2)), None);
        assert_eq!(compare("host", at(90), at(0)).unwrap().what, "host is 90 s ahead of this clock");
        assert_eq!(compare("host", at(0), at(3_600)).unwrap().what, "host is 60 min behind this clock");
    }

    #[test]
    fn the_last_whole_line_tells_when_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        assert_eq!(last_written(&path), None);
        let at = |s: i64| chrono::DateTime::from_timestamp(1_767_225_600 + s, 0).unwrap();
        let journal = Journal::open(&path).unwrap();
        for second in [0, 60] {
            journal.append(&Entry::new(Kind::Intent, at(second), "ana".into())).unwrap();
        }
        assert_eq!(last_written(&path), Some(at(60)));
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], b"{\"torn"].concat()).unwrap();
        assert_eq!(last_written(&path), Some(at(60)));
    }
}
