//! Numbers in a gate's line of reason. Two numbers that differ never look equal, and nothing that is
//! there looks like zero.

use crate::model::time::span;
use std::time::Duration;

/// As few decimals as are needed: `1`, `0.5`.
pub(super) fn plain(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Two percentages that are compared, with two decimals, or as many as it takes for the comparison to
/// be seen: `1.004` and `1.000`.
pub(super) fn beside(one: f64, other: f64) -> (String, String) {
    for decimals in 2..=9 {
        let texts = (format!("{one:.decimals$}"), format!("{other:.decimals$}"));
        let order = |a: f64, b: f64| a.partial_cmp(&b);
        let shown = (texts.0.parse::<f64>().unwrap_or_default(), texts.1.parse::<f64>().unwrap_or_default());
        let hidden = (shown.0 == 0.0 && one != 0.0) || (shown.1 == 0.0 && other != 0.0);
        if order(shown.0, shown.1) == order(one, other) && !hidden {
            return texts;
        }
    }
    (format!("{one:e}"), format!("{other:e}"))
}

/// A part of one as a percentage in few characters: `18 %`, `0.4 %`. Only nothing is `0 %`, only all `100 %`.
pub(super) fn percent(ratio: f64) -> String {
    match ratio * 100.0 {
        p if p <= 0.0 => "0 %".into(),
        p if p < 0.005 => "<0.01 %".into(),
        p if p < 0.095 => format!("{p:.2} %"),
        p if p < 9.95 => format!("{p:.1} %"),
        p if p < 100.0 => format!("{:.0} %", p.min(99.0)),
        _ => "100 %".into(),
    }
}

/// A count with thousands set apart: `1,204`.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A sum of counts as a whole number with thousands set apart.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count; saturates")]
pub(super) fn sum(n: f64) -> String {
    count(n.round() as u64)
}

/// Odds rounded down, so that no line looks crossed that is not: `38:1`, `0.4:1`, `>1e9:1`.
pub(super) fn odds(ln: f64) -> String {
    match ln.exp() {
        odds if odds >= 1e9 => ">1e9:1".into(),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 1e9 and not negative")]
        odds if odds >= 10.0 => format!("{}:1", count(odds as u64)),
        odds => format!("{}:1", plain((odds * 10.0).floor() / 10.0)),
    }
}

/// How old something is, in one unit and cut off, as every age on a screen: `400 ms`, `40 s`, `11 min`.
pub(super) fn age(age: Duration) -> String {
    if age < Duration::from_secs(1) { format!("{} ms", age.as_millis()) } else { span(age) }
}

/// A span in one unit, rounded up, since it says when something will be there: `40 s`, `11 min`.
pub(super) fn within(span: Duration) -> String {
    match span.as_secs_f64().ceil() {
        secs if secs < 120.0 => format!("{secs} s"),
        secs if secs < 7_200.0 => format!("{} min", (secs / 60.0).ceil()),
        secs if secs < 172_800.0 => format!("{} h", (secs / 3_600.0).ceil()),
        secs => format!("{} d", (secs / 86_400.0).ceil()),
    }
}
