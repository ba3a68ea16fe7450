//! What came of a check or a warm-up, in words: what failed last is said last, as it is printed.

use super::say::Said;
use crate::{
    model::{
        time::{Time, elapsed},
        tried::Tried,
    },
    ui::{
        figure::{long, measured},
        look::{Look, Tone},
        row::Row,
    },
};
use ratatui::{buffer::Buffer, layout::Rect};
use std::time::Duration;

pub(super) const fn word(tried: &Tried) -> &'static str {
    if tried.passed { "pass" } else { "FAIL" }
}

/// Its own line: whether it worked, what it was, what came of it, how long ago.
pub(super) fn head(tried: &Tried, now: Time, look: &Look, area: Rect, buf: &mut Buffer) {
    let width = usize::from(area.width);
    let ago = Row::new(*look).add(Tone::Dim, format!("{} ago", long(elapsed(now, tried.since))));
    let glyphs = look.glyphs();
    let (glyph, tone) = if tried.passed { (glyphs.pass, Tone::Good) } else { (glyphs.fail, Tone::Bad) };
    let name = if width >= 100 { 32 } else { 16 };
    let start = Row::new(*look).add(tone, format!("{glyph} {}", word(tried))).pad(8);
    let start = start.name(Tone::Strong, super::Of::Tried(tried).name(), name).pad(8 + name + 1);
    let room = width.saturating_sub(ago.width() + 1);
    let took = in_time(tried.result.as_str(), tried.took);
    let result = room.saturating_sub(start.width() + took.len());
    if result < 8 {
        return start.plain(look.plain(tried.result.as_str())).cut(width).draw(area, buf);
    }
    start.name(Tone::Plain, tried.result.as_str(), result).plain(took).cut(room).draw(area, buf);
    ago.draw_right(area, buf);
}

/// Everything that is kept of it.
pub(super) fn everything(tried: &Tried) -> Vec<Said> {
    let say = |label: &'static str, text: String, tone: Tone| Said { label, bar: None, text, tone };
    let mut all = vec![say("tried", format!("{}: {}", tried.what, tried.result), Tone::Plain)];
    for answer in &tried.answers {
        let tone = if answer.passed { Tone::Plain } else { Tone::Bad };
        if let Some(instance) = &answer.instance {
            let took = in_time(answer.result.as_str(), answer.took);
            all.push(say("instance", format!("{}: {}{took}", instance.text(), answer.result), tone));
        }
        all.extend(answer.lines.iter().map(|line| say("output", line.to_string(), Tone::Dim)));
    }
    if tried.dropped > 0 {
        all.push(say("not kept", format!("{} more answers and lines; the logs have what was printed", tried.dropped), Tone::Dim));
    }
    all
}

/// ` in 0.4 s`, behind what came of it; nothing where that ends with its time itself: `still running after 2s`.
fn in_time(result: &str, took: Duration) -> String {
    let last = result.rsplit(' ').next().unwrap_or_default();
    // A bare number is an exit code or a status.
    let said = last.ends_with(char::is_alphabetic) && humantime::parse_duration(last).is_ok();
    if said { String::new() } else { format!(" in {}", measured(took)) }
}

#[cfg(test)]
mod tests {
    use super::in_time;
    use std::time::Duration;

    #[test]
    fn a_time_is_said_once() {
        let took = |result: &str| in_time(result, Duration::from_millis(2_003));
        for result in ["still running after 2s", "2 of 2 instances failed; web-1: no answer within 1m 30s", "still running after 500ms"] {
            assert_eq!(took(result), "", "{result}");
        }
        for result in ["exit code 0", "HTTP 503", "2 instances passed", "200 requests: 200 × HTTP 200", "signal 9", ""] {
            assert_eq!(took(result), " in 2.1 s", "{result}");
        }
    }
}
