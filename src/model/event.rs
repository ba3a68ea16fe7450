//! What happened to a service, one line each.

use super::{
    ident::{InstanceId, Role, RunId},
    text::Text,
    time::Time,
};
use serde::{Deserialize, Serialize};

/// One line of a service's timeline.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Counted up per service, without gaps.
    pub seq: u64,
    /// When.
    pub at: Time,
    /// Which run, if it belongs to one.
    #[serde(default)]
    pub run: Option<RunId>,
    /// How much it matters.
    pub level: Level,
    /// Who did it: a person, `plan`, `gate errors`, `host`.
    pub by: Text,
    /// What, in one line.
    pub what: Text,
}

/// How much an event matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It went as planned.
    Info,
    /// Somebody should know.
    Warn,
    /// Something is broken.
    Bad,
}

/// A request that a version failed to answer well.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FailedRequest {
    /// When it arrived.
    pub at: Time,
    /// Its method.
    pub method: Text,
    /// Its path without the query.
    pub path: Text,
    /// The status that was sent down, if a head was sent at all.
    #[serde(default)]
    pub status: Option<u16>,
    /// Which instance had it.
    #[serde(default)]
    pub instance: Option<InstanceId>,
    /// What went wrong if it was not the status: `no answer within 30s`, `connection reset`.
    #[serde(default)]
    pub error: Option<Text>,
}

/// A line that an instance printed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LogLine {
    /// Counted up per host, also over its restarts, where numbers are left out.
    pub seq: u64,
    /// When it was read.
    pub at: Time,
    /// Which service.
    pub service: Text,
    /// What its version was then.
    pub role: Role,
    /// The version's label.
    pub version: Text,
    /// Which instance.
    pub instance: InstanceId,
    /// `out`, `err`, or `end` for the line that says why it ended.
    pub stream: LogStream,
    /// The line.
    pub line: Text,
    /// Lines before this one that whoever follows did not get: they came faster than they were read.
    #[serde(default, skip_serializing_if = "is_none")]
    pub lost: u64,
    /// The how-manieth of its service it is since the host was started: whoever reads all of them knows by it
    /// what did not come. 0 where nobody counts.
    #[serde(default, skip_serializing_if = "is_none")]
    pub nth: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_none(lost: &u64) -> bool {
    *lost == 0
}

/// Where a log line came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// Written by the host: why the instance ended.
    End,
}
