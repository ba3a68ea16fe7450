//! Numbers as people read them. Never rounded to zero, never rounded across a limit, never wider
//! than the 11 columns of a figure; what is not known is not written as a number at all.

use crate::model::{
    signal::{Sample, Unit},
    time::Time,
};
use std::time::Duration;

/// What stands for a number that is not known, before the look has its say.
pub const UNKNOWN: &str = "–";

/// A whole number with thousands separators: `1,204,339`. As wide as the number is.
#[must_use]
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count in at most 6 columns: `9,999`, `36.1M`, `288M`. Cut off, never rounded up: it must not
/// say more than there was.
#[must_use]
pub fn compact(n: u64) -> String {
    scaled(n).map_or_else(|| grouped(n), |(n, unit)| format!("{n}{unit}"))
}

/// [`compact`] with a space before the unit, for sentences: `288 M`.
#[must_use]
pub fn compact_spaced(n: u64) -> String {
    scaled(n).map_or_else(|| grouped(n), |(n, unit)| format!("{n} {unit}"))
}

/// Three digits and the unit of a count of 10,000 or more.
fn scaled(n: u64) -> Option<(String, char)> {
    let (unit, sign) = match n {
        0..10_000 => return None,
        10_000..1_000_000 => (1_000, 'k'),
        1_000_000..1_000_000_000 => (1_000_000, 'M'),
        1_000_000_000..1_000_000_000_000 => (1_000_000_000, 'G'),
        1_000_000_000_000..1_000_000_000_000_000 => (1_000_000_000_000, 'T'),
        _ => (1_000_000_000_000_000, 'P'),
    };
    let (whole, tenth) = (n / unit, n % unit * 10 / unit);
    Some(if whole < 100 && tenth > 0 { (format!("{whole}.{tenth}"), sign) } else { (whole.to_string(), sign) })
}

/// A number that can be shown: finite and not below zero.
fn shown(value: f64) -> Option<f64> {
    (value.is_finite() && value >= 0.0).then_some(value)
}

/// A quantity with as many decimals as it needs to tell it from zero, and its unit.
fn quantity(value: f64, unit: &str) -> String {
    let digits = match value {
        0.0 => return format!("0{unit}"),
        v if v < 0.01 => return format!("<0.01{unit}"),
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    if digits > 0 {
        let text = format!("{value:.digits$}");
        return format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; saturates")]
    let whole = value.round() as u64;
    let long = format!("{}{unit}", grouped(whole));
    if long.len() <= 11 { long } else { format!("{}{unit}", compact(whole)) }
}

/// A rate: `1,204,339/s`, `12.5/s`, `<0.01/s`. At most 11 columns.
#[must_use]
pub fn rate(per_second: f64) -> String {
    shown(per_second).map_or_else(|| UNKNOWN.into(), |v| quantity(v, "/s"))
}

/// Milliseconds: `18,204 ms`, `0.42 ms`; from a million on in seconds. At most 11 columns.
#[must_use]
pub fn millis(ms: f64) -> String {
    match shown(ms) {
        None => UNKNOWN.into(),
        Some(ms) if ms < 999_999.5 => quantity(ms, " ms"),
        Some(ms) => quantity(ms / 1_000.0, " s"),
    }
}

/// A part of one as a percentage with two decimals: `0.21 %`, `100.00 %`. Only exactly nothing is
/// `0.00 %` and only exactly all is `100.00 %`. At most 11 columns.
#[must_use]
pub fn percent(ratio: f64) -> String {
    percent_beside(ratio, None)
}

/// [`percent`], with as many more decimals as it takes to stand on the same side of a limit (in
/// percent) as the exact value.
#[must_use]
pub fn percent_beside(ratio: f64, limit: Option<f64>) -> String {
    let Some(exact) = shown(ratio).map(|r| r * 100.0) else { return UNKNOWN.into() };
    if exact > 0.0 && exact < 0.005 {
        return if exact >= 0.000_1 { format!("{} %", trim_to(exact, 4)) } else { "<0.0001 %".into() };
    }
    if exact > 1e6 {
        return ">1000000 %".into();
    }
    for digits in 2..=6 {
        let text = format!("{exact:.digits$}");
        let rounded: f64 = text.parse().unwrap_or(exact);
        let all = (rounded >= 100.0) == (exact >= 100.0);
        let side = limit.is_none_or(|limit| exact.total_cmp(&limit) == rounded.total_cmp(&limit));
        if all && side && text.len() <= 9 {
            return format!("{text} %");
        }
    }
    match limit {
        Some(limit) if exact > limit => format!(">{limit:.2} %"),
        Some(limit) if exact < limit && limit <= 100.0 => format!("<{limit:.2} %"),
        _ if exact < 100.0 => ">99.99 %".into(),
        _ => format!("{exact:.2} %"),
    }
}

/// Not zero, with at most so many decimals.
fn trim_to(value: f64, digits: usize) -> String {
    format!("{value:.digits$}").trim_end_matches('0').into()
}

/// A value in its unit; a ratio stands on its side of a limit in percent. At most 11 columns.
#[must_use]
pub fn in_unit(value: f64, unit: Unit, limit: Option<f64>) -> String {
    match unit {
        Unit::PerSecond => rate(value),
        Unit::Ratio => percent_beside(value, limit),
        Unit::Millis => millis(value),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count; saturates")]
        Unit::Count | Unit::Bytes => shown(value).map_or_else(|| UNKNOWN.into(), |v| compact(v as u64)),
        Unit::Cores => shown(value).map_or_else(|| UNKNOWN.into(), |v| format!("{v:.2}")),
    }
}

/// [`in_unit`] of what was sampled, or what it is no less than: `>= 10 s`. `None` of nothing. At most 12 columns.
#[must_use]
pub fn sampled(sample: Sample, unit: Unit, limit: Option<f64>) -> Option<String> {
    let value = || sample.value().map(|value| in_unit(value, unit, limit));
    sample.at_least().map(|floor| format!(">= {}", scale_end(floor, unit))).or_else(value)
}

/// The end of a scale, without needless digits: `50 %`, `200k/s`, `5 s`. At most 9 columns.
#[must_use]
pub fn scale_end(value: f64, unit: Unit) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; saturates")]
    let whole = value.round().max(0.0) as u64;
    match unit {
        Unit::PerSecond if value >= 10_000.0 => format!("{}/s", compact(whole)),
        Unit::Millis if value >= 10_000.0 => quantity(value / 1_000.0, " s"),
        // Two decimals would round 0.005 % to twice as much.
        Unit::Ratio if (0.000_001..0.000_1).contains(&value) => format!("{} %", trim_to(value * 100.0, 4)),
        Unit::Ratio => match percent(value).strip_suffix(" %") {
            Some(digits) if digits.contains('.') => format!("{} %", digits.trim_end_matches('0').trim_end_matches('.')),
            _ => percent(value),
        },
        unit => in_unit(value, unit, None),
    }
}

/// Odds, rounded down, so that no line looks crossed that is not: `38:1`, `0.4:1`, `>1e9:1`. At most
/// 13 columns.
#[must_use]
pub fn odds(odds: f64) -> String {
    match shown(odds) {
        None => UNKNOWN.into(),
        Some(v) if v >= 1e9 => ">1e9:1".into(),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 1e9 and not negative")]
        Some(v) if v >= 10.0 => format!("{}:1", grouped(v as u64)),
        Some(v) if v > 0.0 && v < 0.1 => "<0.1:1".into(),
        Some(v) => format!("{}:1", (v * 10.0).floor() / 10.0),
    }
}

/// The same in at most 8 columns: `6.6M:1`.
#[must_use]
pub fn short_odds(value: f64) -> String {
    match shown(value) {
        Some(v) if (1e6..1e9).contains(&v) => format!("{}M:1", (v / 1e5).floor() / 10.0),
        Some(v) if (1e5..1e6).contains(&v) => format!("{}k:1", (v / 1e3).floor()),
        _ => odds(value),
    }
}

/// How a figure differs from a base: `+35 %`, `-8 %`, `x12`, `same` within 2 %. `None` without a base.
#[must_use]
pub fn change(base: f64, value: f64) -> Option<String> {
    let (base, value) = (shown(base)?, shown(value)?);
    if base <= 0.0 {
        return (value <= 0.0).then(|| "same".into());
    }
    let by = (value / base - 1.0) * 100.0;
    Some(match by {
        by if by.abs() < 2.0 => "same".into(),
        by if by >= 99_900.0 => "> x999".into(),
        by if by >= 900.0 => format!("x{:.0}", by / 100.0 + 1.0),
        by if by > 0.0 => format!("+{by:.0} %"),
        by => format!("-{:.0} %", (-by).min(99.0)),
    })
}

/// A span in few columns: `45s`, `14m`, `3h`, `5d`. Cut off, never rounded up. At most 6 columns.
#[must_use]
pub fn short(span: Duration) -> String {
    let (n, unit) = largest(span);
    format!(
        "{n}{}",
        match unit {
            TimeUnit::Seconds => "s",
            TimeUnit::Minutes => "m",
            TimeUnit::Hours => "h",
            TimeUnit::Days => "d",
        }
    )
}

/// A span in a sentence: `12 s`, `8 min`, `3 h`, `5 d`. At most 8 columns.
#[must_use]
pub fn long(span: Duration) -> String {
    let (n, unit) = largest(span);
    format!(
        "{n} {}",
        match unit {
            TimeUnit::Seconds => "s",
            TimeUnit::Minutes => "min",
            TimeUnit::Hours => "h",
            TimeUnit::Days => "d",
        }
    )
}

/// A span that was measured: `40 ms`, `1.2 s`, from 10 s on as [`long`]. Rounded up: an estimate
/// must not promise too much. At most 8 columns.
#[must_use]
pub fn measured(span: Duration) -> String {
    let tenths = span.as_millis().div_ceil(100);
    match (tenths / 10, tenths % 10) {
        _ if span.as_micros() <= 999_000 => format!("{} ms", span.as_micros().div_ceil(1_000)),
        (whole, 0) if whole < 10 => format!("{whole} s"),
        (whole, tenth) if whole < 10 => format!("{whole}.{tenth} s"),
        _ => long(Duration::from_secs(u64::try_from(span.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX))),
    }
}

/// What is left of a span: rounded up, so that it is over when it says 0 s.
#[must_use]
pub fn left(span: Duration) -> Duration {
    Duration::from_secs(span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0)))
}

enum TimeUnit {
    Seconds,
    Minutes,
    Hours,
    Days,
}

fn largest(span: Duration) -> (u64, TimeUnit) {
    let s = span.as_secs();
    match s {
        s if s < 120 => (s, TimeUnit::Seconds),
        s if s < 120 * 60 => (s / 60, TimeUnit::Minutes),
        s if s < 48 * 3_600 => (s / 3_600, TimeUnit::Hours),
        s => ((s / 86_400).min(9_999), TimeUnit::Days),
    }
}

/// A time of day: `03:12:09`. UTC; whoever shows it says so once.
#[must_use]
pub fn clock(at: Time) -> String {
    at.format("%H:%M:%S").to_string()
}

/// A time of day with tenths: `03:12:09.4`. Cut off.
#[must_use]
pub fn clock_tenths(at: Time) -> String {
    format!("{}.{}", clock(at), at.timestamp_subsec_millis().min(999) / 100)
}

/// When something began, in 6 columns: `02:41Z`, or the date when that was 20 hours ago or more.
#[must_use]
pub fn since(now: Time, at: Time) -> String {
    if (now - at).num_hours().abs() < 20 { at.format("%H:%MZ").to_string() } else { at.format("%m-%d").to_string() }
}

#[cfg(test)]
mod tests {
    use super::{
        change, clock_tenths, compact, compact_spaced, grouped, in_unit, left, long, measured, millis, odds, percent, percent_beside, rate,
        scale_end, short, short_odds, since,
    };
    use crate::model::signal::Unit;
    use chrono::DateTime;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn numbers_read_as_they_were_drawn() {
        assert_eq!(grouped(1_204_339), "1,204,339");
        assert_eq!((rate(1_204_339.0).as_str(), rate(602_169.4).as_str()), ("1,204,339/s", "602,169/s"));
        assert_eq!(
            (rate(12.5).as_str(), rate(0.0).as_str(), rate(0.001).as_str(), rate(12_043_390.0).as_str()),
            ("12.5/s", "0/s", "<0.01/s", "12M/s")
        );
        assert_eq!((millis(18_204.0).as_str(), millis(0.42).as_str(), millis(1_500_000.0).as_str()), ("18,204 ms", "0.42 ms", "1,500 s"));
        assert_eq!((compact(36_130_140).as_str(), compact(288_433_920).as_str(), compact(9_999).as_str()), ("36.1M", "288M", "9,999"));
        assert_eq!(compact_spaced(288_433_920), "288 M");
        assert_eq!((short(Duration::from_secs(14 * 60 + 59)).as_str(), short(Duration::from_secs(45)).as_str()), ("14m", "45s"));
        assert_eq!((long(Duration::from_secs(485)).as_str(), long(Duration::from_secs(20)).as_str()), ("8 min", "20 s"));
        assert_eq!((measured(Duration::from_millis(1_000)).as_str(), measured(Duration::from_micros(39_100)).as_str()), ("1 s", "40 ms"));
        assert_eq!(left(Duration::from_millis(26_200)), Duration::from_secs(27));
    }

    #[test]
    fn odds_are_cut_off_and_ends_of_scales_are_short() {
        let said = [99.99, 38.4, 9.99, 1.0, 0.05, 0.0, 12_345.6, 1e300, f64::NAN].map(odds);
        assert_eq!(said, ["99:1", "38:1", "9.9:1", "1:1", "<0.1:1", "0:1", "12,345:1", ">1e9:1", "–"]);
        let said = [38.4, 99_999.9, 999_999.0, 6_668_243.0, 999_999_999.0, 1e9].map(short_odds);
        assert_eq!(said, ["38:1", "99,999:1", "999k:1", "6.6M:1", "999.9M:1", ">1e9:1"]);
        let ends =
            [(0.5, Unit::Ratio), (0.000_05, Unit::Ratio), (200_000.0, Unit::PerSecond), (50.0, Unit::Millis), (20_000.0, Unit::Millis)];
        assert_eq!(ends.map(|(v, unit)| scale_end(v, unit)), ["50 %", "0.005 %", "200k/s", "50 ms", "20 s"]);
        assert_eq!([in_unit(0.25, Unit::Cores, None), in_unit(3.0, Unit::Count, None)], ["0.25", "3"]);
    }

    #[test]
    fn never_rounded_to_zero_or_to_all() {
        assert_eq!(percent(0.0), "0.00 %");
        assert_eq!(percent(0.0004), "0.04 %");
        assert_eq!(percent(0.000_012), "0.0012 %");
        assert_eq!(percent(1e-12), "<0.0001 %");
        assert_eq!(percent(0.999_999), "99.9999 %");
        assert_eq!(percent(0.999_999_999_9), ">99.99 %");
        assert_eq!(percent(1.0), "100.00 %");
        assert_eq!((percent(f64::NAN).as_str(), percent(-0.1).as_str()), ("–", "–"));
    }

    #[test]
    fn never_rounded_across_a_limit() {
        assert_eq!(percent_beside(0.010_04, Some(1.0)), "1.004 %");
        assert_eq!(percent_beside(0.009_996, Some(1.0)), "0.9996 %");
        assert_eq!(percent_beside(0.010_000_000_1, Some(1.0)), ">1.00 %");
        assert_eq!(percent_beside(0.01, Some(1.0)), "1.00 %");
        assert_eq!(percent_beside(0.02, Some(1.0)), "2.00 %");
    }

    #[test]
    fn changes_are_said_in_words_where_there_is_none() {
        let change = |base, value| change(base, value).unwrap_or_default();
        assert_eq!(change(18_204.0, 24_510.0), "+35 %");
        assert_eq!(change(12_041.0, 12_043.0), "same");
        assert_eq!(change(100.0, 1_250.0), "x12");
        assert_eq!(change(100.0, 60.0), "-40 %");
        assert_eq!(change(100.0, 0.0), "-99 %");
        assert_eq!(change(0.0, 5.0), "");
    }

    #[test]
    fn old_times_show_their_date() {
        let at = |s| DateTime::from_timestamp(s, 450_000_000).unwrap();
        assert_eq!(since(at(1_787_368_329), at(1_787_366_460)), "02:41Z");
        assert_eq!(since(at(1_787_368_329), at(1_787_168_329)), "08-19");
        assert_eq!(clock_tenths(at(1_787_368_329)), "03:12:09.4");
    }

    proptest! {
        #[test]
        fn no_figure_is_wider_than_its_place(bits: u64, limit in 0.0..120.0_f64) {
            let value = f64::from_bits(bits);
            for text in [rate(value), millis(value), percent(value), percent_beside(value, Some(limit)), rate(bits as f64), millis(bits as f64)] {
                prop_assert!(text.chars().count() <= 11, "{text}");
            }
            prop_assert!(compact(bits).len() <= 6);
            let span = Duration::from_millis(bits);
            prop_assert!(short(span).len() <= 6 && long(span).len() <= 8 && measured(span).len() <= 8);
        }

        #[test]
        fn a_shown_percentage_stands_on_its_side(ratio in 0.0..1.0_f64, limit in 0.01..99.0_f64) {
            let shown = percent_beside(ratio, Some(limit));
            if let Ok(number) = shown.trim_end_matches(" %").parse::<f64>() {
                prop_assert_eq!(number > limit, ratio * 100.0 > limit, "{} beside {}", shown, limit);
                prop_assert_eq!(number > 0.0, ratio > 0.0);
            }
        }
    }
}
