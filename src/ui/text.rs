//! Text in columns: how wide it is, and how it is cut when it does not fit. Works on graphemes, so
//! that no character is torn and no cell is left half filled.

use super::look::Look;
use std::borrow::Cow;
use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// The tail that a cut in the middle keeps at most: it tells `…-1` from `…-2`.
const TAIL: usize = 8;

/// Columns a text takes.
#[must_use]
pub fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.graphemes(true).map(columns).sum() }
}

/// Columns a grapheme takes; terminals give none more than two.
fn columns(grapheme: &str) -> usize {
    grapheme.width().min(2)
}

/// The longest start of `text` that takes at most `max` columns.
fn head(text: &str, max: usize) -> &str {
    let mut used = 0;
    for (at, grapheme) in text.grapheme_indices(true) {
        used += columns(grapheme);
        if used > max {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}

/// The longest end of `text` that takes at most `max` columns.
fn tail(text: &str, max: usize) -> &str {
    let mut used = 0;
    for (at, grapheme) in text.grapheme_indices(true).rev() {
        used += columns(grapheme);
        if used > max {
            return text.get(at + grapheme.len()..).unwrap_or_default();
        }
    }
    text
}

/// At most `max` columns: what is too much at the end becomes the cut mark.
#[must_use]
pub fn cut_end<'a>(text: &'a str, max: usize, look: &Look) -> Cow<'a, str> {
    if width(text) <= max {
        return Cow::Borrowed(text);
    }
    let mark = look.glyphs().cut;
    match max.checked_sub(width(mark)) {
        Some(room) => Cow::Owned(format!("{}{mark}", head(text, room).trim_end_matches(' '))),
        None => Cow::Borrowed(head(mark, max)),
    }
}

/// At most `max` columns: what is too much in the middle becomes the cut mark. The tail gets two
/// thirds of the room, but no more than 8 columns.
#[must_use]
pub fn cut_middle<'a>(text: &'a str, max: usize, look: &Look) -> Cow<'a, str> {
    if width(text) <= max {
        return Cow::Borrowed(text);
    }
    let mark = look.glyphs().cut;
    match max.checked_sub(width(mark)) {
        Some(room) => {
            let end = tail(text, TAIL.min(room * 2 / 3));
            let start = head(text, room - width(end));
            Cow::Owned(format!("{start}{mark}{end}"))
        }
        None => Cow::Borrowed(head(mark, max)),
    }
}

/// Lines of at most `max` columns, broken at spaces where there are any, inside words where not.
/// Nothing is lost but spaces at the breaks. Empty only for an empty text or no room at all.
#[must_use]
pub fn wrap(text: &str, max: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split_word_bounds() {
        let wide = width(word);
        if used + wide <= max {
            line.push_str(word);
            used += wide;
            continue;
        }
        if word.trim().is_empty() {
            // A break swallows the space that made it.
            flush(&mut lines, &mut line, &mut used);
            continue;
        }
        // Move the unbroken end of the line along with the word that belongs to it. What is broken
        // anyway may begin here.
        if wide <= max {
            let carried = carry(&mut line, max, wide);
            flush(&mut lines, &mut line, &mut used);
            line.push_str(&carried);
            used = width(&carried);
        }
        for grapheme in word.graphemes(true) {
            let wide = columns(grapheme);
            if wide > max {
                continue;
            }
            if used + wide > max {
                flush(&mut lines, &mut line, &mut used);
            }
            line.push_str(grapheme);
            used += wide;
        }
    }
    flush(&mut lines, &mut line, &mut used);
    lines
}

/// Takes off the end of `line` after its last space, if that and the next word fit one line.
fn carry(line: &mut String, max: usize, next: usize) -> String {
    match line.rfind(' ') {
        Some(space) if line.get(space + 1..).is_some_and(|end| width(end) + next <= max) => line.split_off(space + 1),
        _ => String::new(),
    }
}

fn flush(lines: &mut Vec<String>, line: &mut String, used: &mut usize) {
    line.truncate(line.trim_end_matches(' ').len());
    if !line.is_empty() {
        lines.push(std::mem::take(line));
    }
    line.clear();
    *used = 0;
}

/// Who a rollout is, in at most `max` columns: `target/scope/service`. The scope goes first, then
/// the middle of the target, then the middle of the service; tails stay.
#[must_use]
pub fn identity(target: &str, scope: &[Cow<'_, str>], service: &str, max: usize, look: &Look) -> String {
    let inner = if scope.is_empty() { String::new() } else { format!("{}/", scope.join("/")) };
    let whole = format!("{target}/{inner}{service}");
    if width(&whole) <= max {
        return whole;
    }
    let inner = if scope.is_empty() { String::new() } else { format!("{}/", look.glyphs().cut) };
    let fixed = 1 + width(&inner);
    // A target of less than 8 columns tells nothing: from there on the service gives way.
    let least = 8.min(width(target));
    let room = max.saturating_sub(fixed + width(service)).max(least);
    let target = cut_middle(target, room, look);
    let service = cut_middle(service, max.saturating_sub(fixed + width(&target)), look);
    let whole = format!("{target}/{inner}{service}");
    cut_end(&whole, max, look).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{cut_end, cut_middle, identity, width, wrap};
    use crate::ui::look::Look;
    use proptest::prelude::*;
    use std::borrow::Cow;

    const ASCII: Look = Look { ascii: true, color: false };

    #[test]
    fn labels_keep_the_tails_that_tell_them_apart() {
        assert_eq!(cut_middle("2026.08.14-hotfix.3", 12, &Look::FULL), "2026…otfix.3");
        assert_eq!(cut_middle("2026.08.21-rc.11", 12, &Look::FULL), "2026…1-rc.11");
        assert_eq!(cut_middle("http-5xx-ratio-by-route", 21, &Look::FULL), "http-5xx-rat…by-route");
        assert_eq!(cut_middle("checkout-eu-1", 9, &ASCII), "che..eu-1");
        assert_eq!(cut_end("nothing moves by itself", 9, &Look::FULL), "nothing…");
        assert_eq!(cut_middle("日本語日本語日本語", 9, &Look::FULL), "日本…本語");
    }

    #[test]
    fn identity_drops_scope_then_cuts_target_then_service() {
        let scope = [Cow::Borrowed("payments-platform")];
        let service = "checkout-order-orchestration-service-api";
        let id = |max| identity("prod-eu-west-1", &scope, service, max, &Look::FULL);
        assert_eq!(id(80), "prod-eu-west-1/payments-platform/checkout-order-orchestration-service-api");
        assert_eq!(id(60), "prod-eu-west-1/…/checkout-order-orchestration-service-api");
        assert_eq!(id(54), "prod…west-1/…/checkout-order-orchestration-service-api");
        assert_eq!(id(30), "pro…st-1/…/checkout-o…vice-api");
        assert_eq!(identity("demo", &[], "checkout", 78, &Look::FULL), "demo/checkout");
    }

    #[test]
    fn wrapping_breaks_at_spaces_and_only_then_inside_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("a /v1/actions", 9), ["a /v1/", "actions"]);
    }

    proptest! {
        #[test]
        fn nothing_is_wider_than_asked(text in "\\PC{0,80}", max in 0_usize..60) {
            for look in [Look::FULL, ASCII] {
                prop_assert!(width(&cut_end(&text, max, &look)) <= max);
                prop_assert!(width(&cut_middle(&text, max, &look)) <= max);
                prop_assert!(width(&identity(&text, &[Cow::Borrowed("x")], &text, max, &look)) <= max);
            }
            for line in wrap(&text, max) {
                prop_assert!(width(&line) <= max);
            }
        }

        #[test]
        fn wrapping_loses_only_spaces(text in "[a-z/ =.-]{0,120}", max in 1_usize..40) {
            let squeeze = |s: &str| s.chars().filter(|c| *c != ' ').collect::<String>();
            prop_assert_eq!(squeeze(&wrap(&text, max).concat()), squeeze(&text));
        }
    }
}
