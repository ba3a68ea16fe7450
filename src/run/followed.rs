//! What of a log has come, so that what is missing over a reconnect is said where it is missing. Pure.

use crate::model::event::{LogLine, LogStream};

/// Said where nobody can count: the lines of two hosts have nothing in common.
const RESTARTED: &str = "the host was started again: lines before this may be missing";

/// The last line of a log that is followed.
#[derive(Default)]
pub(super) struct Followed {
    seq: Option<u64>,
    /// Its [`LogLine::nth`], or of the last one that had one.
    nth: u64,
    /// Whether the connection is not the first one: what was there before anybody listened is not missing, and
    /// the host itself counts what it leaves out within one connection.
    again: bool,
}

impl Followed {
    /// The line after which a connection goes on that is made now.
    pub const fn resume(&mut self) -> Option<u64> {
        self.again = self.seq.is_some();
        self.seq
    }

    /// The line, told how many before it did not come; before it one that says so where that is not known.
    pub fn take(&mut self, mut line: LogLine) -> impl Iterator<Item = LogLine> + use<> {
        self.seq = Some(line.seq);
        let last = if line.nth > 0 { std::mem::replace(&mut self.nth, line.nth) } else { 0 };
        let mut restarted = None;
        if self.again && last > 0 {
            match line.nth.checked_sub(last + 1) {
                Some(missing) => line.lost = line.lost.max(missing),
                // With a number of its own: it comes before.
                None => {
                    let seq = line.seq.saturating_sub(1);
                    restarted = Some(LogLine { seq, stream: LogStream::End, line: RESTARTED.into(), lost: 0, nth: 0, ..line.clone() });
                }
            }
        }
        restarted.into_iter().chain([line])
    }
}

#[cfg(test)]
mod tests {
    use super::{Followed, RESTARTED};
    use crate::model::{
        event::{LogLine, LogStream},
        ident::{InstanceId, Role},
        time::Time,
    };

    fn line(seq: u64, nth: u64) -> LogLine {
        LogLine {
            seq,
            at: Time::UNIX_EPOCH,
            service: "web".into(),
            role: Role::Stable,
            version: "v1".into(),
            instance: InstanceId::new("i"),
            stream: LogStream::Out,
            line: "x".into(),
            lost: 0,
            nth,
        }
    }

    /// Of each line that comes over these connections its number, how many are missing before it, and whether
    /// it only says that the host was started again.
    fn come(connections: &[&[LogLine]]) -> Vec<(u64, u64, bool)> {
        let (mut followed, mut all) = (Followed::default(), Vec::new());
        for lines in connections {
            assert_eq!(followed.resume(), all.last().map(|(seq, _, _)| *seq));
            for line in *lines {
                all.extend(followed.take(line.clone()).map(|l| (l.seq, l.lost, l.line.as_str() == RESTARTED)));
            }
        }
        all
    }

    #[test]
    fn what_did_not_come_is_counted_where_it_is_missing() {
        // What was there before anybody listened is not missing, nor are other services' lines; of one connection
        // the host says what it left out.
        let first = [line(900, 500), line(905, 502), LogLine { lost: 3, ..line(910, 506) }];
        assert_eq!(come(&[&first]), [(900, 0, false), (905, 0, false), (910, 3, false)]);
        // Over a reconnect, and in between where one instance's log is kept for longer than another's.
        let then = [line(930, 521), line(931, 522), line(990, 576)];
        assert_eq!(come(&[&first, &then])[3..], [(930, 14, false), (931, 0, false), (990, 53, false)]);
        // What the host has counted itself is not counted twice; whoever does not count says what they say.
        let both = [LogLine { lost: 14, ..line(930, 521) }, LogLine { lost: 2, ..line(940, 0) }, line(941, 523)];
        assert_eq!(come(&[&first, &both])[3..], [(930, 14, false), (940, 2, false), (941, 1, false)]);
        assert_eq!(come(&[&[line(1, 0)], &[line(9, 0)]]), [(1, 0, false), (9, 0, false)]);
    }

    #[test]
    fn after_a_restart_of_the_host_nobody_knows() {
        let (before, after) = ([line(10, 10), line(11, 11)], [line(12, 0), line(5_000, 1), line(5_004, 5)]);
        let all = come(&[&before, &after]);
        assert_eq!(all[2..], [(12, 0, false), (4_999, 0, true), (5_000, 0, false), (5_004, 3, false)]);
        assert!(come(&[&[&before[..], &after].concat()]).iter().all(|(_, lost, says)| *lost == 0 && !says), "nobody listened");
    }
}
