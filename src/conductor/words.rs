//! How times stand in the conductor's lines: `02:14`, `03:12:09`, `8 s`.

use crate::model::time::{Time, elapsed};
use std::time::Duration;

/// A minute of the day, UTC.
pub(super) fn minute(at: Time) -> String {
    at.format("%H:%M").to_string()
}

/// A second of the day, UTC.
pub(super) fn second(at: Time) -> String {
    at.format("%H:%M:%S").to_string()
}

/// How long ago, in whole seconds below two minutes, else in the largest unit that fits.
pub(super) fn ago(now: Time, then: Time) -> String {
    span(elapsed(now, then))
}

/// A length of time in few letters.
pub(super) fn span(length: Duration) -> String {
    match length.as_secs() {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7200 => format!("{} min", s / 60),
        s @ 7200..172_800 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86_400),
    }
}
